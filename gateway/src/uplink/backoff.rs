//! Waiting between two attempts: exponential with full jitter, never less than the server's hint.

use std::time::Duration;

/// Waits of one loop.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    attempts: u32,
}

impl Backoff {
    /// Waits up to `first`, then up to twice that, and so on, up to `most`.
    pub(super) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, attempts: 0 }
    }

    /// The attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How long to wait now. With a hint: between once and twice the hint, so that the peers that got the same hint do not
    /// come back at once.
    pub(super) fn next(&mut self, hint: Option<Duration>) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.attempts.min(20)).min(self.most);
        self.attempts = self.attempts.saturating_add(1);
        match hint {
            Some(hint) => hint + hint.mul_f64(random()),
            None => ceiling.mul_f64(random()),
        }
    }
}

/// A random number in 0..1.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_to_its_bound_and_begins_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for attempt in 0..64 {
            let ceiling = Duration::from_millis(100 << attempt.min(10)).min(Duration::from_secs(5));
            assert!(backoff.next(None) <= ceiling, "attempt {attempt}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_millis(100));
    }

    #[test]
    fn a_hint_is_kept_and_spread() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        for _ in 0..100 {
            let wait = backoff.next(Some(Duration::from_secs(3)));
            assert!((Duration::from_secs(3)..Duration::from_secs(6)).contains(&wait), "{wait:?}");
        }
    }
}
