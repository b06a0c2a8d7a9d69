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
    discarded: [u32; Discard::ALL.len()],
}

impl Stats {
    pub(super) const fn new() -> Self {
        Self {
            datagrams_received: 0,
            datagrams_sent: 0,
            records_received: 0,
            records_sent: 0,
            retransmissions: 0,
            acks_sent: 0,
            acks_received: 0,
            discarded: [0; Discard::ALL.len()],
        }
    }

    /// How often something was discarded for this reason.
    pub fn discarded(&self, reason: Discard) -> u64 {
        Discard::ALL.iter().zip(self.discarded).find_map(|(r, n)| (*r == reason).then_some(n.into())).unwrap_or(0)
    }

    /// Everything that was discarded, whatever the reason.
    pub fn discarded_in_all(&self) -> u64 {
        self.discarded.iter().fold(0, |sum, n| sum.saturating_add(u64::from(*n)))
    }

    pub(super) fn discard(&mut self, reason: Discard) {
        for (slot, counted) in self.discarded.iter_mut().zip(Discard::ALL) {
            if *counted == reason {
                *slot = slot.saturating_add(1);
            }
        }
    }
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
    }
}
