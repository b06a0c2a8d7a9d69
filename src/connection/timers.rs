//! Deadlines of an association: retransmission, delayed ACK, and what is dropped quietly after a while
//! (RFC 6347 §4.2.4, RFC 9147 §4.2.1, §5.8, §7.1).

use super::{Connection, KEPT_AFTER_KEY_CHANGE, LastFault, Phase, Silence, stats};
use crate::error::Error;
use crate::flight::Expiry;
use crate::handshake::FlightEnd;
use std::time::{Duration, Instant};

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next; `None` if no timer runs. May be past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Failed(_) => None,
            Phase::Handshaking(_) | Phase::Established(_) => {
                [self.timer.poll_timeout(), self.acks.poll_timeout(), self.give_up_at()].into_iter().flatten().min()
            }
        }
    }

    /// When a handshake ends in which it is the peer's turn, or the application's: no flight of ours is out whose last retransmission would end
    /// it (RFC 9147 §5.8.1, WAITING, has no other way out). Nothing is sent before.
    fn give_up_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Handshaking(handshaking) => match handshaking.silence {
                Silence::Since(start) | Silence::Ours(start) => start.checked_add(self.timer.patience()),
                Silence::NotAwaiting => None,
            },
            Phase::Established(_) | Phase::Failed(_) => None,
        }
    }

    /// Time has passed: sends again what was not acknowledged, or gives up. Harmless at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_kept(now);
        self.obey();
        if matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        self.acks.expire(now);
        match self.timer.expire(now) {
            Expiry::NotYet if self.give_up_at().is_some_and(|deadline| deadline <= now) => self.give_up(),
            Expiry::NotYet => {}
            Expiry::Retransmit => {
                stats::count(&mut self.stats.retransmissions);
                // The path is not to blame for what the application takes its time for.
                if !self.awaits_application() {
                    self.lower_mtu();
                }
                self.outgoing.rewind();
            }
            // The peer may well have answered: the next message waits for the application.
            Expiry::GaveUp if self.awaits_application() => {}
            Expiry::GaveUp => self.give_up(),
        }
    }

    fn awaits_application(&self) -> bool {
        matches!(&self.phase, Phase::Handshaking(handshaking) if matches!(handshaking.silence, Silence::Ours(_)))
    }

    fn give_up(&mut self) {
        // Whoever has closed awaits nothing: a peer that has gone by now is no failure.
        if self.conduct.sending.is_over() {
            self.outgoing.acknowledge_all();
            return;
        }
        if self.awaits_application() {
            self.fail(Error::Unanswered);
            return;
        }
        let last_fault = match &self.phase {
            Phase::Handshaking(handshaking) => match handshaking.last_fault {
                LastFault::Some(fault) => Some(fault),
                LastFault::None => None,
            },
            Phase::Established(_) | Phase::Failed(_) => None,
        };
        self.fail(Error::TimedOut { last_fault });
    }

    /// Changes the initial retransmission timeout. A timer that runs is counted anew from its start. Less than a
    /// millisecond means a millisecond, more than the longest timeout means that.
    pub fn set_initial_timeout(&mut self, timeout: Duration) {
        self.timer.set_initial(timeout.max(SHORTEST_TIMEOUT));
        self.acks.set_retransmission_timeout(self.timer.timeout());
    }

    /// The peer has asked again for what is only kept for one that has not noticed a change of keys: it may do so once
    /// more, and again in vain.
    pub(super) fn keep_for_stragglers(&mut self, now: Instant) {
        if let Expiring::At(_) = self.clock {
            // As long as it may go on to repeat itself, which is as long as we would.
            self.clock = Expiring::after(now, KEPT_AFTER_KEY_CHANGE.max(self.timer.patience()));
        }
    }

    /// Drops quietly what was only kept for a peer that had not yet noticed a change of keys. No deadline is reported for
    /// this: it happens whenever the association is next used.
    #[inline]
    pub(super) fn expire_kept(&mut self, now: Instant) {
        let Phase::Established(_) = self.phase else { return };
        if !self.clock.is_over(now) {
            return;
        }
        self.clock = Expiring::Nothing;
        self.records.drop_read_below(self.incoming.epoch());
        if self.conduct.flight_end == FlightEnd::RepeatOfPeer {
            self.outgoing.begin();
        }
        self.drop_old_sending_keys();
        self.give_back();
    }
}

/// The quiet deadline of what is kept after a change of keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expiring {
    Nothing,
    /// The new keys are there and were not used yet.
    FromNewKeys,
    /// At this time; later if the peer is heard to repeat itself: what it is told does not get through, and its timer may
    /// have become long.
    At(Instant),
}

impl Expiring {
    /// [`KEPT_AFTER_KEY_CHANGE`] from `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self::after(now, KEPT_AFTER_KEY_CHANGE)
    }

    /// A time that no `Instant` can express never comes.
    fn after(now: Instant, time: Duration) -> Self {
        now.checked_add(time).map_or(Self::Nothing, Self::At)
    }

    /// A record was opened under the newest keys.
    pub(super) fn start(&mut self, now: Instant) {
        if matches!(self, Self::FromNewKeys) {
            *self = Self::new(now);
        }
    }

    #[inline]
    fn is_over(self, now: Instant) -> bool {
        matches!(self, Self::At(deadline) if deadline <= now)
    }
}

/// Shorter ones would send a flight again before any path could have answered, and an application that took the time of
/// day for a timeout would give up at once.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
