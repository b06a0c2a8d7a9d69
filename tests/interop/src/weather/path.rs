//! A path on which datagrams are lost, come twice and overtake each other, all of it by one number.

use crate::ladder::{End, Ladder, Rung, What};
use std::collections::BTreeMap;
use std::time::Duration;

/// Datagrams on their way, in virtual time.
pub(crate) struct Path {
    random: u64,
    /// By arrival, and among those that arrive together by the order of sending.
    flying: BTreeMap<(Duration, usize), (End, usize, Vec<u8>)>,
    copies: usize,
    sent: usize,
    pub(crate) ladder: Ladder,
}

/// Percent of the datagrams that never arrive, that arrive twice, and that others overtake.
pub(crate) const LOSS: u64 = 20;
pub(crate) const DUPLICATION: u64 = 20;
pub(crate) const REORDERING: u64 = 30;
/// From one end to the other. What is overtaken takes up to four times as long, a copy comes up to two times as long after.
pub(crate) const LATENCY: Duration = Duration::from_millis(25);

impl Path {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, flying: BTreeMap::new(), copies: 0, sent: 0, ladder: Ladder::default() }
    }

    pub(crate) fn send(&mut self, now: Duration, from: End, datagram: Vec<u8>) {
        let ordinal = self.sent;
        self.sent += 1;
        self.note(now, from, ordinal, What::Sent, &datagram);
        // All are drawn for each datagram: what happens to one does not change what happens to the next.
        let (lost, twice, late) = (self.chance(LOSS), self.chance(DUPLICATION), self.chance(REORDERING));
        let (copy_after, delay) = (self.up_to(2 * LATENCY), self.up_to(3 * LATENCY));
        if lost {
            self.note(now, from, ordinal, What::Lost, &datagram);
            return;
        }
        let arrival = now + LATENCY + if late { delay } else { Duration::ZERO };
        if twice {
            self.fly(arrival + copy_after, from, ordinal, datagram.clone());
        }
        self.fly(arrival, from, ordinal, datagram);
    }

    fn fly(&mut self, at: Duration, from: End, ordinal: usize, datagram: Vec<u8>) {
        self.flying.insert((at, self.copies), (from, ordinal, datagram));
        self.copies += 1;
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next datagram that has arrived, and who sent it.
    pub(crate) fn arrive(&mut self, now: Duration) -> Option<(End, Vec<u8>)> {
        let entry = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (from, ordinal, datagram) = entry.remove();
        self.note(now, from, ordinal, What::Received, &datagram);
        Some((from, datagram))
    }

    fn note(&mut self, at: Duration, from: End, ordinal: usize, what: What, datagram: &[u8]) {
        self.ladder.rungs.push(Rung { at, from, ordinal: Some(ordinal), what, datagram: datagram.to_vec() });
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.draw() % u64::try_from(most.as_micros()).unwrap())
    }

    /// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
