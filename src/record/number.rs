//! Sequence numbers: handed out once each when sending, put together from their low bits when receiving
//! (RFC 9147 §4.2.1, §4.2.2). Knows no key and no header.

use crate::error::Error;
use crate::wire::record::MAX_SEQUENCE_48;

/// The sequence numbers of one epoch that are left to send.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SequenceCounter {
    next: u64,
}

impl SequenceCounter {
    /// Numbers in an epoch. 48 bits is what a plaintext or DTLS 1.2 header holds (RFC 6347 §4.1); where the protocol has
    /// 64 (RFC 9147 §4), nobody gets as far.
    pub(super) const CAPACITY: u64 = MAX_SEQUENCE_48 + 1;

    /// The first number is `next`.
    pub(super) const fn starting_at(next: u64) -> Self {
        Self { next }
    }

    /// A number that was not handed out before. It never wraps: the nonce depends on it (RFC 9147 §4.2.1).
    #[inline]
    pub(super) fn take(&mut self) -> Result<u64, Error> {
        let sequence = self.peek()?;
        self.next = sequence.saturating_add(1);
        Ok(sequence)
    }

    /// The number that [`take`](Self::take) hands out next.
    #[inline]
    pub(super) fn peek(&self) -> Result<u64, Error> {
        if self.next < Self::CAPACITY { Ok(self.next) } else { Err(Error::NumbersExhausted) }
    }

    /// How many were handed out, or skipped at the start.
    #[inline]
    pub(super) const fn used(&self) -> u64 {
        self.next
    }
}

/// The low bits of a sequence number, as a unified header carries them (RFC 9147 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TruncatedSequence {
    /// The S bit is 0.
    Bits8(u8),
    /// The S bit is 1.
    Bits16(u16),
}

impl TruncatedSequence {
    /// The number with these low bits that is nearest to `expected` (RFC 9147 §4.2.2); of two as near, the higher.
    #[inline]
    pub(super) fn reconstruct(self, expected: u64) -> u64 {
        let (low, mask) = match self {
            Self::Bits8(low) => (u64::from(low), u64::from(u8::MAX)),
            Self::Bits16(low) => (u64::from(low), u64::from(u16::MAX)),
        };
        let ahead = low.wrapping_sub(expected) & mask;
        let behind = mask.saturating_sub(ahead).saturating_add(1);
        match (expected.checked_add(ahead), expected.checked_sub(behind)) {
            (Some(_), Some(below)) if behind < ahead => below,
            (Some(above), _) => above,
            (None, below) => below.unwrap_or(expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word: of all numbers with these low bits, the one at the least distance.
    fn nearest(low: u64, modulus: u64, expected: u64) -> u64 {
        let from = expected.saturating_sub(2 * modulus);
        let to = expected.saturating_add(2 * modulus);
        let candidates = (from..=to).filter(|n| n % modulus == low);
        candidates.min_by_key(|n| (n.abs_diff(expected), u64::MAX - n)).unwrap()
    }

    #[test]
    fn eight_bits_anywhere() {
        // Under Miri this takes a thousand times as long.
        let step = if cfg!(miri) { 97 } else { 1 };
        for expected in (0..600).chain(u64::MAX - 600..=u64::MAX).chain([MAX_SEQUENCE_48]).step_by(step) {
            for low in (0..=u8::MAX).step_by(step) {
                let full = TruncatedSequence::Bits8(low).reconstruct(expected);
                assert_eq!(full, nearest(low.into(), 256, expected), "{low} near {expected}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "looks for each of them among a quarter of a million")]
    fn sixteen_bits_where_it_matters() {
        for expected in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_0000, 0x1_8000, u64::MAX - 0x8000, u64::MAX] {
            for low in [0, 1, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff] {
                let full = TruncatedSequence::Bits16(low).reconstruct(expected);
                assert_eq!(full, nearest(low.into(), 0x1_0000, expected), "{low} near {expected}");
            }
        }
    }

    #[test]
    fn k2_numbers_end_and_do_not_wrap() {
        let mut counter = SequenceCounter::starting_at(MAX_SEQUENCE_48);
        assert_eq!(counter.take(), Ok(MAX_SEQUENCE_48));
        for _ in 0..3 {
            assert_eq!(counter.peek(), Err(Error::NumbersExhausted));
            assert_eq!(counter.take(), Err(Error::NumbersExhausted));
        }
        assert_eq!(counter.used(), SequenceCounter::CAPACITY);
        assert_eq!(SequenceCounter::starting_at(u64::MAX).take(), Err(Error::NumbersExhausted));
    }
}
