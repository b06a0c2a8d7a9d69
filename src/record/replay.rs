//! The sliding window against replayed records (RFC 6347 §4.1.2.6, RFC 9147 §4.5.1). Knows sequence numbers and nothing
//! else: its owner sees to it that only records that authenticated move it.

/// Which sequence numbers of one epoch were received: the highest, and a bit for each of the [`Self::WIDTH`] up to it.
// Halves of 128 bits would have all that holds a window begin at sixteen octets.
#[derive(Clone, Copy, Debug, Default)]
#[repr(Rust, packed(8))]
pub(super) struct ReplayWindow {
    highest: u64,
    /// Bit n stands for `highest - n`; all zero before the first record.
    recent: u128,
    /// Bit n stands for `highest - 128 - n`.
    older: u128,
}

/// What the window says of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// It was not received before.
    New,
    /// It was.
    Replayed,
    /// It lies left of the window: it may have been.
    TooOld,
}

impl ReplayWindow {
    /// Records. RFC 6347 §4.1.2.6 prefers 64; fast paths reorder more than that.
    pub(super) const WIDTH: u64 = 256;

    /// What is known of `sequence`. Changes nothing.
    #[inline]
    pub(super) fn check(&self, sequence: u64) -> Novelty {
        let Some(age) = self.highest.checked_sub(sequence) else { return Novelty::New };
        match self.bit(age) {
            None => Novelty::TooOld,
            Some((recent, older)) if self.recent & recent == 0 && self.older & older == 0 => Novelty::New,
            Some(_) => Novelty::Replayed,
        }
    }

    /// Notes that the record of that number was received. One left of the window changes nothing.
    #[inline]
    pub(super) fn accept(&mut self, sequence: u64) {
        self.advance(sequence.saturating_sub(self.highest));
        let age = self.highest.saturating_sub(sequence);
        if let Some((recent, older)) = self.bit(age) {
            self.recent |= recent;
            self.older |= older;
        }
    }

    /// One more than the highest number received, or 0: what truncated numbers are taken to be near
    /// (RFC 9147 §4.2.2).
    #[inline]
    pub(super) fn expected(&self) -> u64 {
        if self.recent == 0 { 0 } else { self.highest.saturating_add(1) }
    }

    /// Moves the right edge by `distance`.
    #[inline]
    fn advance(&mut self, distance: u64) {
        self.highest = self.highest.saturating_add(distance);
        let distance = u32::try_from(distance.min(Self::WIDTH)).unwrap_or(HALF);
        let carried = match HALF.checked_sub(distance) {
            Some(rest) => self.recent.unbounded_shr(rest),
            None => self.recent.unbounded_shl(distance.saturating_sub(HALF)),
        };
        self.older = self.older.unbounded_shl(distance) | carried;
        self.recent = self.recent.unbounded_shl(distance);
    }

    /// The bit for `highest - age`, in `recent` or in `older`.
    #[inline]
    fn bit(&self, age: u64) -> Option<(u128, u128)> {
        let age = u32::try_from(age).ok()?;
        match age.checked_sub(HALF) {
            None => Some((1u128.unbounded_shl(age), 0)),
            Some(age) if age < HALF => Some((0, 1u128.unbounded_shl(age))),
            Some(_) => None,
        }
    }
}

/// Numbers in one half of the window.
const HALF: u32 = u128::BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The window as the RFC words it: every number ever received, and the edges.
    #[derive(Default)]
    struct Model {
        received: BTreeSet<u64>,
    }

    impl Model {
        fn check(&self, sequence: u64) -> Novelty {
            let left = self.expected().saturating_sub(ReplayWindow::WIDTH);
            if self.received.contains(&sequence) && sequence >= left {
                Novelty::Replayed
            } else if sequence < left {
                Novelty::TooOld
            } else {
                Novelty::New
            }
        }

        fn expected(&self) -> u64 {
            self.received.last().map_or(0, |highest| highest + 1)
        }
    }

    fn agrees_with_the_model(numbers: impl Iterator<Item = u64>) {
        let (mut window, mut model) = (ReplayWindow::default(), Model::default());
        for sequence in numbers {
            assert_eq!(window.check(sequence), model.check(sequence), "{sequence} at {}", model.expected());
            if window.check(sequence) == Novelty::New {
                window.accept(sequence);
                model.received.insert(sequence);
            }
            assert_eq!(window.check(sequence), model.check(sequence));
            assert_eq!(window.expected(), model.expected());
        }
    }

    #[test]
    fn any_order_agrees_with_a_set() {
        let mut random = super::super::tests::Lcg::new(1);
        for spread in [1, 2, 16, 64, 127, 128, 129, 255, 256, 257, 300, 600, 100_000] {
            let mut centre = 0u64;
            let numbers: Vec<_> = (0..if cfg!(miri) { 100 } else { 5_000 })
                .map(|_| {
                    centre += random.below(3);
                    (centre + random.below(spread)).saturating_sub(random.below(spread))
                })
                .collect();
            agrees_with_the_model(numbers.into_iter());
        }
    }

    #[test]
    fn every_jump_agrees_with_a_set() {
        for jump in (0..520).step_by(if cfg!(miri) { 257 } else { 1 }) {
            agrees_with_the_model((0..300).chain([299 + jump]).chain(0..300 + jump).chain(0..300));
        }
    }

    #[test]
    fn blocks_of_256_may_count_down() {
        let mut window = ReplayWindow::default();
        for sequence in (0..8).flat_map(|block| (block * 256..(block + 1) * 256).rev()) {
            assert_eq!(window.check(sequence), Novelty::New);
            window.accept(sequence);
            assert_eq!(window.check(sequence), Novelty::Replayed);
        }
    }

    #[test]
    fn the_last_numbers_are_numbers_too() {
        let mut window = ReplayWindow::default();
        window.accept(u64::MAX);
        assert_eq!(window.check(u64::MAX), Novelty::Replayed);
        assert_eq!(window.check(u64::MAX - 255), Novelty::New);
        assert_eq!(window.check(u64::MAX - 256), Novelty::TooOld);
        assert_eq!(window.expected(), u64::MAX);
        window.accept(u64::MAX - 256);
        assert_eq!(window.check(u64::MAX - 256), Novelty::TooOld);
    }
}
