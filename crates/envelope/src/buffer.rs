//! Buffers of segments, used again by whichever object needs the next one.
//!
//! ```text
//! take ─▶ Buffer, filled and sealed or opened ─▶ share ─▶ Bytes, on its way to a socket ─▶ dropped ─┐
//!   └──────────────────────────── the one that came back last ◀── kept ◀───────────────────────────┘
//! ```
//! The one that came back last is still in the processor's cache, however many transfers there are; fresh memory would
//! have to be cleared besides. What a buffer held before is never given out: every caller writes all that it shares.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::keys::TAG_LEN;
use crate::layout::SEGMENT_SIZE;

/// Bytes of the buffers that are kept: a segment and its tag.
const LEN: usize = SEGMENT_SIZE as usize + TAG_LEN;
/// How many are kept at most: 2 MiB in all.
const MOST: usize = 32;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer of its length, to be written before it is shared.
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// A buffer of `len` bytes, with anything in it.
    pub(crate) fn take(len: usize) -> Self {
        let kept = if len == LEN { KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop() } else { None };
        let mut buffer = Self(kept.unwrap_or_else(|| vec![0; len]));
        if cfg!(debug_assertions) {
            // Whoever shares what was not written is found out by every test.
            buffer.fill(0xa5);
        }
        buffer
    }

    /// Its bytes, to be read by several; it comes back when all of them have dropped it.
    pub(crate) fn share(mut self) -> Bytes {
        if self.0.len() == LEN { Bytes::from_owner(self) } else { std::mem::take(&mut self.0).into() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.len() == LEN {
            let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MOST {
                kept.push(std::mem::take(&mut self.0));
            }
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_taken_again_up_to_a_bound_and_what_is_shared_is_not() {
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner).len();
        let taken: Vec<_> = (0..MOST + 8).map(|_| Buffer::take(LEN)).collect();
        drop(taken);
        assert_eq!(kept(), MOST);
        let mut buffer = Buffer::take(LEN);
        buffer.fill(1);
        let shared = buffer.share();
        let part = shared.slice(5..9);
        drop(shared);
        let others: Vec<_> = (0..MOST + 8).map(|_| Buffer::take(LEN)).collect();
        for mut other in others {
            other.fill(2);
        }
        assert_eq!(part, [1; 4].as_slice());
        drop(part);
        assert!((1..=MOST).contains(&kept()));
        assert_eq!(Buffer::take(LEN - 1).share().len(), LEN - 1);
    }
}
