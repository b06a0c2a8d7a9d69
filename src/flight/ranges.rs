//! Floor 4: a set of positions as sorted ranges: which octets of an outgoing message were acknowledged.
//!
//! Only ranges that we cut ourselves get here, so their number is bounded by the fragments sent. What a *peer* cuts
//! goes to [`super::assembly`], where the order of arrival cannot make the work grow.

use std::ops::Range;

/// Sorted, disjoint, never touching ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    ranges: Vec<Range<usize>>,
}

impl RangeSet {
    /// Adds `range` and returns how many of its positions are new.
    pub(super) fn insert(&mut self, range: Range<usize>) -> usize {
        if range.is_empty() {
            return 0;
        }
        // All that overlap or touch `range` become one with it.
        let first = self.ranges.partition_point(|r| r.end < range.start);
        let last = self.ranges.partition_point(|r| r.start <= range.end);
        let touched = self.ranges.get(first..last).unwrap_or_default();
        let merged = Range {
            start: touched.first().map_or(range.start, |r| r.start.min(range.start)),
            end: touched.last().map_or(range.end, |r| r.end.max(range.end)),
        };
        let known = touched.iter().fold(0, |sum: usize, r| sum.saturating_add(r.len()));
        let new = merged.len().saturating_sub(known);
        self.ranges.splice(first..last, [merged]);
        new
    }

    /// The first range at or after `from` and below `limit` that is not in the set.
    pub(super) fn next_gap(&self, from: usize, limit: usize) -> Option<Range<usize>> {
        let following = self.ranges.partition_point(|r| r.end <= from);
        let mut rest = self.ranges.iter().skip(following);
        let (start, next) = match rest.next() {
            Some(r) if r.start <= from => (r.end, rest.next()),
            other => (from, other),
        };
        let end = next.map_or(limit, |r| r.start.min(limit));
        (start < end).then_some(Range { start, end })
    }

    /// Whether every position below `limit` is in the set.
    pub(super) fn covers(&self, limit: usize) -> bool {
        self.next_gap(0, limit).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn touching_ranges_become_one() {
        let mut set = RangeSet::default();
        assert_eq!(set.insert(5..5), 0);
        assert_eq!(set.insert(2..4), 2);
        assert_eq!(set.insert(6..8), 2);
        assert_eq!(set.insert(4..6), 2);
        assert_eq!(set, RangeSet { ranges: std::iter::once(2..8).collect() });
        assert_eq!(set.next_gap(0, 10), Some(0..2));
        assert_eq!(set.next_gap(2, 10), Some(8..10));
        assert_eq!(set.next_gap(3, 8), None);
        assert!(!set.covers(8));
        assert_eq!(set.insert(0..9), 3);
        assert!(set.covers(9));
        assert!(!set.covers(10));
    }

    #[test]
    fn agrees_with_a_set_of_single_positions() {
        const SIZE: usize = 40;
        for seed in 0..if cfg!(miri) { 3 } else { 200 } {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut below = |n: usize| rng.next_u32() as usize % n;
            let (mut set, mut model) = (RangeSet::default(), [false; SIZE]);
            for _ in 0..25 {
                let start = below(SIZE);
                let end = start + below((SIZE - start).min(9) + 1);
                let new = model[start..end].iter().filter(|m| !**m).count();
                model[start..end].fill(true);
                assert_eq!(set.insert(start..end), new, "seed {seed}");
                for from in 0..=SIZE {
                    let gap = (from..SIZE).find(|i| !model[*i]).map(|start| {
                        let end = (start..SIZE).find(|i| model[*i]).unwrap_or(SIZE);
                        start..end
                    });
                    assert_eq!(set.next_gap(from, SIZE), gap, "seed {seed}");
                }
                assert_eq!(set.covers(SIZE), model.iter().all(|m| *m), "seed {seed}");
                assert!(set.ranges.windows(2).all(|w| w[0].end < w[1].start), "seed {seed}");
            }
        }
    }
}
