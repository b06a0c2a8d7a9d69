//! What an association has counted.

use crate::error::Discard;

/// Counters of one association, from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed to [`Connection::receive`](crate::Connection::receive), each counted once its last record was read.
    pub datagrams_received: u64,
    /// Datagrams that [`Connection::poll_transmit`](crate::Connection::poll_transmit) wrote.
    pub datagrams_sent: u64,
    /// Application records delivered.
    pub records_received: u64,
    /// Application records sealed.
    pub records_sent: u64,
    /// Timer expiries that sent a flight again (RFC 6347 §4.2.4, RFC 9147 §5.8).
    pub retransmissions: u64,
    /// ACKs sent (RFC 9147 §7).
    pub acks_sent: u64,
    /// ACKs received and understood.
    pub acks_received: u64,
    /// For each reason in the order of [`Discard::ALL`]; empty once nothing was discarded for long, as with most associations:
    /// then the first one makes room. In a handshake there is room from the start, and no stranger takes any.
    discarded: Discarded,
}

/// Counters for each reason to discard, or none at all.
#[derive(Clone, Debug, Eq)]
struct Discarded(Box<[u32]>);

impl PartialEq for Discarded {
    fn eq(&self, other: &Self) -> bool {
        match (&*self.0, &*other.0) {
            ([], counted) | (counted, []) => counted.iter().all(|n| *n == 0),
            (one, other) => one == other,
        }
    }
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            datagrams_received: 0,
            datagrams_sent: 0,
            records_received: 0,
            records_sent: 0,
            retransmissions: 0,
            acks_sent: 0,
            acks_received: 0,
            discarded: Discarded(room()),
        }
    }

    /// How often something was discarded for this reason.
    pub fn discarded(&self, reason: Discard) -> u64 {
        let counted = Discard::ALL.iter().zip(&self.discarded.0);
        counted.filter(|(counted, _)| **counted == reason).map(|(_, n)| u64::from(*n)).sum()
    }

    /// Everything that was discarded, whatever the reason.
    pub fn discarded_in_all(&self) -> u64 {
        self.discarded.0.iter().fold(0, |sum, n| sum.saturating_add(u64::from(*n)))
    }

    /// Gives back the room for what never happened.
    pub(super) fn give_back(&mut self) {
        if self.discarded_in_all() == 0 {
            self.discarded = Discarded(Box::default());
        }
    }

    pub(super) fn discard(&mut self, reason: Discard) {
        if self.discarded.0.is_empty() {
            self.discarded = Discarded(room());
        }
        for (slot, counted) in self.discarded.0.iter_mut().zip(Discard::ALL) {
            if *counted == reason {
                *slot = slot.saturating_add(1);
            }
        }
    }
}

/// A counter for each reason.
fn room() -> Box<[u32]> {
    vec![0; Discard::ALL.len()].into()
}

/// Adds one; a counter stays at its end rather than begin anew.
pub(super) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let mut stats = Stats::new();
        for reason in Discard::ALL {
            stats.discard(*reason);
            assert_eq!(stats.discarded(*reason), 1, "{reason:?}");
        }
        assert_eq!(stats.discarded_in_all(), Discard::ALL.len() as u64);
        stats.give_back();
        assert_eq!(stats.discarded_in_all(), Discard::ALL.len() as u64, "what was counted stays");
    }

    #[test]
    fn counting_goes_on_after_the_room_was_given_back() {
        let mut stats = Stats::new();
        stats.give_back();
        assert_eq!((stats.discarded.0.len(), stats.discarded_in_all()), (0, 0));
        assert_eq!(stats, Stats::new());
        stats.discard(Discard::Replayed);
        assert_eq!((stats.discarded(Discard::Replayed), stats.discarded_in_all()), (1, 1));
        assert_ne!(stats, Stats::new());
    }
}
