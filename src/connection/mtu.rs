//! How long a datagram may be, and what makes it shorter (RFC 6347 §4.1.1.1, RFC 9147 §4.4).

use super::{Connection, Event, Phase};
use crate::config::{DataSize, FallBack};
use crate::error::ApiMisuse;
use crate::wire::{ack::Epoch, handshake::HANDSHAKE_HEADER_LEN};

impl Connection {
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
        self.mtu.set(mtu);
        self.tell_max_payload();
        Ok(())
    }

    /// The longest datagram to be sent at this moment, in octets of UDP payload.
    pub fn mtu(&self) -> usize {
        self.mtu.current
    }

    /// The socket refused a datagram of `size` octets (EMSGSIZE), or the path did: the MTU falls at once to the first of
    /// 1024, 576 and 256 octets that is less, whatever was configured, and what was cut of the handshake for the old one
    /// is sent again by [`poll_transmit`](Self::poll_transmit). Data is the application's to send again.
    ///
    /// A `size` that is longer than the MTU says nothing new, and neither does one that no association could do without.
    pub fn datagram_too_large(&mut self, size: usize) {
        let floor = self.mtu_floor();
        // Only what could have been a datagram of the flight has it sent again.
        let of_flight = size <= self.mtu.longest();
        if !self.mtu.refuse(size, floor) {
            return;
        }
        if of_flight && !self.outgoing.is_acknowledged() {
            self.timer.resent();
            self.outgoing.rewind();
        }
        self.tell_max_payload();
    }

    /// The longest payload that [`send`](Self::send) takes now, in octets.
    /// [`Event::MaxPayloadChanged`] tells when it is another one.
    pub fn max_payload(&self) -> usize {
        self.max_payload_beside(self.records.overhead(self.conduct.write_epoch).unwrap_or(0))
    }

    /// The same, for records with this overhead.
    #[inline]
    pub(super) fn max_payload_beside(&self, overhead: usize) -> usize {
        let fitting = match self.transport.data_size() {
            DataSize::WholeRecord => usize::MAX,
            DataSize::WithinMtu => self.mtu.current.saturating_sub(overhead),
        };
        fitting.min(self.records.max_content())
    }

    /// The flight is sent again after an expiry: perhaps in shorter datagrams.
    pub(super) fn lower_mtu(&mut self) {
        let floor = self.mtu_floor();
        self.mtu.lower(self.timer.fruitless_expiries(), floor);
        self.tell_max_payload();
    }

    /// Tells an application that may send how much, if that is not what it was told last.
    pub(super) fn tell_max_payload(&mut self) {
        let max = self.max_payload();
        let now = short(max);
        let told = std::mem::replace(&mut self.mtu.told, now);
        if told != now && matches!(self.phase, Phase::Established(_)) {
            self.events.push_back(Event::MaxPayloadChanged { max });
        }
    }

    /// The least datagram that every record in use fits: its overhead, a handshake header, and sixteen octets of
    /// message, so that a handshake makes progress.
    pub(super) fn mtu_floor(&self) -> usize {
        let overhead = [Epoch::PLAINTEXT, self.conduct.write_epoch]
            .into_iter()
            .filter_map(|epoch| self.records.overhead(epoch))
            .max()
            .unwrap_or(0usize);
        overhead.saturating_add(HANDSHAKE_HEADER_LEN).saturating_add(LEAST_FRAGMENT).max(LEAST_MTU)
    }
}

/// No datagram limit is below this, whatever the keys.
const LEAST_MTU: usize = 64;

/// Octets of a handshake message that a fragment carries at least.
const LEAST_FRAGMENT: usize = 16;

/// Octets of a datagram in half the memory of a `usize`: associations keep them for life.
fn short(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}

/// The longest datagram to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mtu {
    current: usize,
    fall_back: FallBack,
    /// The longest datagram of the flight that was sent with this MTU.
    longest: u32,
    /// The longest payload that the application knows of.
    told: u32,
}

impl Mtu {
    /// Tried in turn. The last is for paths that are hardly of any use.
    const STEPS: [usize; 3] = [1024, 576, 256];
    /// Expiries without any progress before a step is taken (RFC 9147 §4.4: "if repeated retransmissions do not result
    /// in a response").
    const PATIENCE: u32 = 2;

    pub(super) const fn new(mtu: usize, fall_back: FallBack) -> Self {
        Self { current: mtu, fall_back, longest: 0, told: 0 }
    }

    /// For flights and data alike.
    pub(super) const fn current(&self) -> usize {
        self.current
    }

    fn longest(&self) -> usize {
        usize::try_from(self.longest).unwrap_or(usize::MAX)
    }

    const fn set(&mut self, mtu: usize) {
        (self.current, self.longest) = (mtu, 0);
    }

    /// A new flight: nothing is known of how it gets through.
    pub(super) const fn begin_flight(&mut self) {
        self.longest = 0;
    }

    /// A datagram of the flight was written.
    pub(super) fn sent(&mut self, len: usize) {
        self.longest = self.longest.max(short(len));
    }

    /// A step that would make no datagram of the flight shorter cures nothing, and is not taken: it is loss that keeps
    /// short datagrams from being answered.
    fn lower(&mut self, fruitless: u32, floor: usize) {
        if self.fall_back == FallBack::InSteps && fruitless >= Self::PATIENCE {
            self.fall_below(self.longest(), floor);
        }
    }

    /// Whether the MTU is another one because a datagram of `size` octets was too long.
    fn refuse(&mut self, size: usize, floor: usize) -> bool {
        size <= self.current && self.fall_below(size, floor)
    }

    fn fall_below(&mut self, size: usize, floor: usize) -> bool {
        let below = |step: &usize| *step < size.min(self.current) && *step >= floor;
        let Some(step) = Self::STEPS.into_iter().find(below) else { return false };
        self.set(step);
        true
    }
}
