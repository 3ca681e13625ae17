//! Where random bytes come from: the system, and in this crate's own tests a fixed sequence, so that vectors can be
//! made again. The choice is not part of the public API: callers cannot seal with anything but the system's randomness.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::SealError;

/// A source of random bytes.
pub(crate) enum Entropy {
    /// The system's generator.
    System(SystemRandom),
    /// HKDF output from a seed, for vectors only.
    #[cfg(test)]
    Fixed {
        /// Which sequence.
        seed: [u8; 32],
        /// How many draws were made.
        draws: u64,
    },
}

impl Entropy {
    pub(crate) fn system() -> Self {
        Self::System(SystemRandom::new())
    }

    #[cfg(test)]
    pub(crate) fn fixed(name: &str) -> Self {
        let mut seed = [0; 32];
        seed.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes()).as_ref());
        Self::Fixed { seed, draws: 0 }
    }

    /// Draws `N` fresh bytes.
    pub(crate) fn draw<const N: usize>(&mut self) -> Result<Zeroizing<[u8; N]>, SealError> {
        let mut bytes = Zeroizing::new([0; N]);
        match self {
            Self::System(system) => system.fill(bytes.as_mut_slice()).map_err(|_| SealError::Random)?,
            #[cfg(test)]
            Self::Fixed { seed, draws } => {
                *draws += 1;
                bytes.copy_from_slice(&crate::keys::derive::<N>(seed, &draws.to_be_bytes(), &[b"test entropy"])[..]);
            }
        }
        Ok(bytes)
    }
}
