//! Lives of a gateway: does this hello follow from what is known, or does a clone speak? Pure.

use ids::Epoch;

/// The life that Central knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// None before the first hello after an enrolment.
    pub epoch: Option<Epoch>,
    /// The one before.
    pub predecessor: Option<Epoch>,
    /// Something beyond a hello came from it. A gateway writes down that Central knows its life before it says more
    /// than a hello; until then the life before may still be the one that it names as its predecessor.
    pub confirmed: bool,
}

/// What a hello is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The known life speaks again.
    SameLife,
    /// It follows the known life, which is over.
    NewLife,
    /// A superseded life, or one that follows from a life that is not known.
    Clone,
}

impl Known {
    /// Judges a hello.
    pub fn judge(&self, epoch: Epoch, predecessor: Option<Epoch>) -> Verdict {
        match self.epoch {
            None => Verdict::NewLife,
            Some(known) if known == epoch => Verdict::SameLife,
            Some(known) if predecessor == Some(known) => Verdict::NewLife,
            Some(_) if !self.confirmed && predecessor == self.predecessor => Verdict::NewLife,
            Some(_) => Verdict::Clone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn epoch(number: u128) -> Epoch {
        Epoch(Uuid::from_u128(number))
    }

    fn known(epoch_: u128, predecessor: Option<u128>, confirmed: bool) -> Known {
        Known { epoch: Some(epoch(epoch_)), predecessor: predecessor.map(epoch), confirmed }
    }

    #[test]
    fn the_first_hello_is_a_new_life_whatever_it_names() {
        assert_eq!(Known::default().judge(epoch(1), None), Verdict::NewLife);
        assert_eq!(Known::default().judge(epoch(1), Some(epoch(9))), Verdict::NewLife);
    }

    #[test]
    fn a_restart_names_the_life_before() {
        assert_eq!(known(1, None, true).judge(epoch(2), Some(epoch(1))), Verdict::NewLife);
        assert_eq!(known(1, None, true).judge(epoch(1), None), Verdict::SameLife);
    }

    #[test]
    fn a_superseded_life_that_speaks_again_is_a_clone() {
        assert_eq!(known(2, Some(1), true).judge(epoch(1), None), Verdict::Clone);
    }

    #[test]
    fn two_lives_from_one_predecessor_are_a_clone_once_the_first_is_confirmed() {
        assert_eq!(known(2, Some(1), true).judge(epoch(3), Some(epoch(1))), Verdict::Clone);
    }

    #[test]
    fn a_life_that_died_before_it_wrote_down_that_it_is_known_is_no_clone() {
        assert_eq!(known(2, Some(1), false).judge(epoch(3), Some(epoch(1))), Verdict::NewLife);
        assert_eq!(known(2, None, false).judge(epoch(3), None), Verdict::NewLife);
    }

    proptest! {
        /// A gateway as the protocol has it, restarted and cut off at any point, is never taken for a clone.
        #[test]
        fn an_honest_gateway_is_never_quarantined(steps in prop::collection::vec(0_u8..4, 1..200)) {
            let (mut central, mut written, mut mine, mut fresh) = (Known::default(), None, epoch(1), 1);
            for step in steps {
                match step {
                    // It dies and starts again; the predecessor is what it wrote down.
                    0 => {
                        fresh += 1;
                        mine = epoch(fresh);
                    }
                    // It says hello; the answer is lost, or it dies before it writes down.
                    1 | 2 => {
                        let verdict = central.judge(mine, written);
                        prop_assert_ne!(verdict, Verdict::Clone);
                        if verdict == Verdict::NewLife {
                            central = Known { epoch: Some(mine), predecessor: written, confirmed: false };
                        }
                        // The answer arrives: it writes down, and says more.
                        if step == 2 {
                            written = Some(mine);
                            central.confirmed = true;
                        }
                    }
                    // It wrote down, and died before anything more arrived.
                    _ => {
                        if central.epoch == Some(mine) {
                            written = Some(mine);
                        }
                    }
                }
            }
        }
    }
}
