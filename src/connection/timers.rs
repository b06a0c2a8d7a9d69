//! Deadlines of an association: retransmission, delayed ACK, and what is dropped quietly after a while
//! (RFC 6347 §4.2.4, RFC 9147 §4.2.1, §5.8, §7.1).

use super::{Connection, KEPT_AFTER_KEY_CHANGE, LastFault, Phase, Silence, stats};
use crate::error::{ApiMisuse, Error};
use crate::flight::Expiry;
use crate::handshake::FlightEnd;
use std::time::Instant;

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
        if matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        self.acks.expire(now);
        match self.timer.expire(now) {
            Expiry::NotYet if self.give_up_at().is_some_and(|deadline| deadline <= now) => self.give_up(),
            Expiry::NotYet => {}
            Expiry::Retransmit => {
                stats::count(&mut self.stats.retransmissions);
                self.mtu.lower(self.timer.fruitless_expiries());
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

    /// Changes the MTU: the longest datagram to be sent, in octets of UDP payload. Flights sent from now on, also
    /// again, are cut for it.
    ///
    /// # Errors
    /// [`ApiMisuse::MtuTooSmall`] below the least that works with the keys of the moment.
    pub fn set_mtu(&mut self, mtu: usize) -> Result<(), ApiMisuse> {
        let floor = self.mtu_floor();
        if mtu < floor {
            return Err(ApiMisuse::MtuTooSmall { floor });
        }
        self.mtu = Mtu::fixed(mtu);
        Ok(())
    }

    /// The longest datagram to be sent at this moment, in octets of UDP payload.
    pub fn mtu(&self) -> usize {
        self.mtu.current
    }

    /// Changes the initial retransmission timeout. A timer that runs is counted anew from its start.
    pub fn set_initial_timeout(&mut self, timeout: std::time::Duration) {
        self.timer.set_initial(timeout);
        self.acks.set_retransmission_timeout(self.timer.timeout());
    }

    /// What is only kept for a peer that has not noticed a change of keys is kept for its whole time from `now` on.
    pub(super) fn keep_for_stragglers(&mut self, now: Instant) {
        if let Expiring::Since(_) = self.clock {
            self.clock = Expiring::Since(now);
        }
    }

    /// Drops quietly what was only kept for a peer that had not yet noticed a change of keys. No deadline is reported for
    /// this: it happens whenever the association is next used.
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
    }
}

/// The quiet deadline of what is kept after a change of keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expiring {
    Nothing,
    /// The new keys are there and were not used yet.
    FromNewKeys,
    Since(Instant),
}

impl Expiring {
    /// A record was opened under the newest keys.
    pub(super) const fn start(&mut self, now: Instant) {
        if matches!(self, Self::FromNewKeys) {
            *self = Self::Since(now);
        }
    }

    pub(super) const fn new(now: Instant) -> Self {
        Self::Since(now)
    }

    fn is_over(self, now: Instant) -> bool {
        match self {
            Self::Nothing | Self::FromNewKeys => false,
            Self::Since(start) => now.saturating_duration_since(start) >= KEPT_AFTER_KEY_CHANGE,
        }
    }
}

/// The longest datagram to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mtu {
    configured: usize,
    current: usize,
    steps: MtuSteps,
}

/// Whether the MTU falls back when a path seems too narrow (RFC 9147 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MtuSteps {
    FallBack,
    Fixed,
}

impl Mtu {
    /// Tried in turn: the payloads of UDP datagrams of 576 octets, which every IPv4 host takes (RFC 791 §3.1), and of
    /// the least that is of any use.
    const STEPS: [usize; 2] = [548, 256];
    /// Expiries without any progress before a step is taken (RFC 9147 §4.4: "if repeated retransmissions do not result
    /// in a response").
    const PATIENCE: u32 = 2;

    pub(super) const fn new(mtu: usize) -> Self {
        Self { configured: mtu, current: mtu, steps: MtuSteps::FallBack }
    }

    /// The application knows the path.
    const fn fixed(mtu: usize) -> Self {
        Self { configured: mtu, current: mtu, steps: MtuSteps::Fixed }
    }

    /// For flights.
    pub(super) const fn current(&self) -> usize {
        self.current
    }

    /// For data, whose size is the application's choice.
    pub(super) const fn configured(&self) -> usize {
        self.configured
    }

    fn lower(&mut self, fruitless: u32) {
        if self.steps == MtuSteps::FallBack && fruitless >= Self::PATIENCE {
            self.current = Self::STEPS.into_iter().find(|step| *step < self.current).unwrap_or(self.current);
        }
    }
}
