//! Floor 4: ACKs of ours, and which of the peer's are possible at all (RFC 9147 §7).
//!
//! Collects the numbers of received handshake records and says when an ACK is due. The ACK's octets are
//! [`crate::wire::ack`]'s business, its keys the connection's.

use super::timer::Span;
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ack::{Epoch, RecordNumber},
    record::MAX_SEQUENCE_48,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What was received and is to be acknowledged.
#[derive(Debug)]
pub(crate) struct AckSender {
    acks: Acks,
    /// In the order of arrival.
    received: VecDeque<RecordNumber>,
    delay: Delay,
}

/// How flights are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Not known yet: records are remembered, and no ACK is sent ("endpoints MUST NOT send ACK records until the
    /// sender knows that the peer is negotiating" a version that has them, draft-ietf-tls-rfc9147bis §7).
    Undecided,
    /// By the next flight only.
    Implicit,
    /// By ACKs as well.
    Explicit,
}

/// When the next ACK goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delay {
    /// Not at all.
    Idle,
    /// When a quarter of the retransmission timeout has passed.
    Running { since: Instant, retransmission_timeout: Span },
    /// Now.
    Due,
}

impl AckSender {
    /// Nothing received, nothing decided.
    pub(crate) fn new() -> Self {
        Self { acks: Acks::Undecided, received: VecDeque::new(), delay: Delay::Idle }
    }

    /// How flights are acknowledged is known. What was collected before starts no timer by itself.
    pub(crate) fn set_acks(&mut self, acks: Acks) {
        self.acks = acks;
        if acks == Acks::Implicit {
            self.forget();
        }
    }

    /// A handshake record arrived, was opened, and nothing of it was discarded (RFC 9147 §7: "MUST NOT acknowledge
    /// records containing handshake messages or fragments which have not been processed or buffered"). Starts the
    /// delay unless it runs: a quarter of the current retransmission timeout (RFC 9147 §7.1).
    pub(crate) fn collect(&mut self, number: RecordNumber, now: Instant, retransmission_timeout: Duration) {
        if self.acks == Acks::Implicit {
            return;
        }
        // One that comes again is the newest again.
        self.received.retain(|known| *known != number);
        if self.received.len() >= MAX_NUMBERS {
            self.received.pop_front();
        }
        self.received.push_back(number);
        if self.acks == Acks::Explicit && self.delay == Delay::Idle {
            self.delay = Delay::Running { since: now, retransmission_timeout: retransmission_timeout.into() };
        }
    }

    /// Gives back what the list holds for more than is in it.
    pub(crate) fn give_back(&mut self) {
        self.received.shrink_to_fit();
    }

    /// Empties the list, unless an ACK of it is to go out. What was acknowledged and comes again is acknowledged by itself.
    pub(crate) fn forget_history(&mut self) {
        if self.delay == Delay::Idle {
            self.received = VecDeque::new();
        }
    }

    /// Lets an ACK that is being delayed go out now.
    pub(crate) fn hurry(&mut self) {
        if let Delay::Running { .. } = self.delay {
            self.delay = Delay::Due;
        }
    }

    /// Waits no longer: the last flight of a handshake is acknowledged at once. Does nothing before ACKs are decided, or if
    /// nothing came that may be acknowledged.
    pub(crate) fn request(&mut self) {
        if self.acks == Acks::Explicit && !self.received.is_empty() {
            self.delay = Delay::Due;
        }
    }

    /// When the delay ends. `None` if none runs, also when an ACK is due already.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.delay {
            Delay::Running { since, retransmission_timeout } => {
                let timeout = Duration::from(retransmission_timeout);
                since.checked_add(timeout.checked_div(DELAY_DIVISOR).unwrap_or_default())
            }
            Delay::Idle | Delay::Due => None,
        }
    }

    /// To be called when the deadline of [`Self::poll_timeout`] may have come; until then no ACK is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.delay = Delay::Due;
        }
    }

    /// Whether an ACK is to be sent now.
    pub(crate) fn is_due(&self) -> bool {
        self.delay == Delay::Due
    }

    /// What the ACK lists, in increasing order.
    pub(crate) fn numbers(&self) -> AckNumbers {
        let mut numbers = AckNumbers { numbers: [RecordNumber { epoch: 0, sequence: 0 }; MAX_NUMBERS], len: 0 };
        for (slot, number) in numbers.numbers.iter_mut().zip(&self.received) {
            *slot = *number;
            numbers.len = numbers.len.saturating_add(1);
        }
        if let Some(filled) = numbers.numbers.get_mut(..numbers.len) {
            filled.sort_unstable();
        }
        numbers
    }

    /// An ACK was sent. What it listed is listed again by the next one, which may be the one that arrives.
    pub(crate) fn sent(&mut self) {
        self.delay = Delay::Idle;
    }

    /// A flight of ours answers what was received and acknowledges all of it (RFC 9147 §7.1).
    pub(crate) fn on_flight_sent(&mut self) {
        self.forget();
    }

    /// Another retransmission timeout: a delay that runs is counted anew from its start.
    pub(crate) fn set_retransmission_timeout(&mut self, timeout: Duration) {
        if let Delay::Running { retransmission_timeout, .. } = &mut self.delay {
            *retransmission_timeout = timeout.into();
        }
    }

    fn forget(&mut self) {
        self.received = VecDeque::new();
        self.delay = Delay::Idle;
    }
}

/// Record numbers in increasing order.
#[derive(Clone, Debug)]
pub(crate) struct AckNumbers {
    numbers: [RecordNumber; MAX_NUMBERS],
    len: usize,
}

impl AckNumbers {
    pub(crate) fn as_slice(&self) -> &[RecordNumber] {
        self.numbers.get(..self.len).unwrap_or_default()
    }
}

/// Checks a number that an ACK received in `ack_epoch` lists, before it is looked up.
///
/// During the handshake an ACK must come in the epoch of what it names or a later one, or a forger could acknowledge
/// protected records in plaintext (draft-ietf-tls-rfc9147bis §7.2). Afterwards the two directions change their keys
/// independently, and their epochs cannot be compared.
///
/// # Errors
/// [`PeerMisbehaved::AckOfHigherEpoch`] if `number` cannot be acknowledged there, or is none that a record can have.
pub(crate) fn check_ack(ack_epoch: Epoch, number: RecordNumber) -> Result<(), Error> {
    let vouched = ack_epoch >= FIRST_APPLICATION_EPOCH || number.epoch <= u64::from(ack_epoch.0);
    let possible = number.epoch <= u64::from(u16::MAX) && number.sequence <= MAX_SEQUENCE_48;
    if vouched && possible { Ok(()) } else { Err(Error::PeerMisbehaved(PeerMisbehaved::AckOfHigherEpoch)) }
}

/// Record numbers an ACK lists at most: 512 octets, which fit every path, and more records than a flight has.
const MAX_NUMBERS: usize = 32;

/// The part of the retransmission timeout that an ACK is delayed (RFC 9147 §7.1: "a timer for 1/4 the current
/// retransmit timer value").
const DELAY_DIVISOR: u32 = 4;

/// The epoch of the first application keys, where ACKs exist (RFC 9147 §6.1).
const FIRST_APPLICATION_EPOCH: Epoch = Epoch(3);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn number(epoch: u16, sequence: u64) -> RecordNumber {
        RecordNumber::new(Epoch(epoch), sequence)
    }

    fn explicit() -> AckSender {
        let mut acks = AckSender::new();
        acks.set_acks(Acks::Explicit);
        acks
    }

    #[test]
    fn waits_a_quarter_of_the_retransmission_timeout() {
        let (mut acks, now) = (explicit(), Instant::now());
        assert_eq!(acks.poll_timeout(), None);
        acks.collect(number(2, 1), now, MS * 250);
        let deadline = now + Duration::from_micros(62_500);
        assert_eq!(acks.poll_timeout(), Some(deadline));
        // The first record started it.
        acks.collect(number(2, 0), now + MS, MS * 1000);
        assert_eq!(acks.poll_timeout(), Some(deadline));
        acks.expire(deadline - Duration::from_nanos(1));
        assert!(!acks.is_due());
        acks.expire(deadline);
        assert!(acks.is_due());
        assert_eq!(acks.poll_timeout(), None);
        assert_eq!(acks.numbers().as_slice(), [number(2, 0), number(2, 1)]);
        acks.sent();
        assert!(!acks.is_due());
        // Listed again.
        acks.collect(number(0, 9), deadline, MS * 400);
        assert_eq!(acks.poll_timeout(), Some(deadline + MS * 100));
        assert_eq!(acks.numbers().as_slice(), [number(0, 9), number(2, 0), number(2, 1)]);
        acks.set_retransmission_timeout(MS * 40);
        assert_eq!(acks.poll_timeout(), Some(deadline + MS * 10));
        assert!(!acks.is_due());
        acks.on_flight_sent();
        assert_eq!(acks.poll_timeout(), None);
        assert!(acks.numbers().as_slice().is_empty());
        assert_eq!(acks.received.capacity(), 0);
    }

    #[test]
    fn a_delay_may_be_cut_short_and_only_what_waits_is_kept() {
        let (mut acks, now) = (explicit(), Instant::now());
        acks.hurry();
        assert!(!acks.is_due(), "nothing waits");
        acks.collect(number(2, 0), now, MS * 250);
        acks.forget_history();
        assert_eq!(acks.numbers().as_slice(), [number(2, 0)], "an ACK is being delayed");
        acks.hurry();
        assert!(acks.is_due());
        assert_eq!(acks.poll_timeout(), None);
        acks.forget_history();
        assert_eq!(acks.numbers().as_slice(), [number(2, 0)], "and now it is due");
        acks.sent();
        acks.give_back();
        assert_eq!(acks.numbers().as_slice(), [number(2, 0)], "it may be listed again");
        assert_eq!(acks.received.capacity(), 1, "and takes no room for others");
        acks.forget_history();
        assert!(acks.numbers().as_slice().is_empty());
        assert_eq!(acks.received.capacity(), 0);
    }

    #[test]
    fn s9_nothing_is_sent_before_it_is_known_to_be_understood() {
        let (mut acks, now) = (AckSender::new(), Instant::now());
        acks.collect(number(0, 3), now, MS);
        acks.request();
        acks.expire(now + MS);
        assert!(!acks.is_due());
        assert_eq!(acks.poll_timeout(), None);
        acks.set_acks(Acks::Explicit);
        assert_eq!(acks.poll_timeout(), None);
        acks.collect(number(2, 0), now, MS * 4);
        assert_eq!(acks.poll_timeout(), Some(now + MS));
        assert_eq!(acks.numbers().as_slice(), [number(0, 3), number(2, 0)]);
        acks.request();
        assert!(acks.is_due());
        assert_eq!(acks.poll_timeout(), None);
        acks.set_acks(Acks::Implicit);
        acks.collect(number(2, 1), now, MS * 4);
        assert!(acks.numbers().as_slice().is_empty());
        assert!(!acks.is_due());
    }

    /// RFC 9147 §7: what was discarded is not acknowledged, be it with what was not.
    #[test]
    fn nothing_is_sent_where_nothing_may_be_acknowledged() {
        let mut acks = explicit();
        acks.request();
        assert!(!acks.is_due());
        acks.collect(number(2, 0), Instant::now(), MS);
        acks.request();
        assert!(acks.is_due());
    }

    #[test]
    fn t4_the_newest_thirty_two_are_listed_in_order() {
        let (mut acks, now) = (explicit(), Instant::now());
        // Newest means last received: of two epochs, the lower may be the later.
        for sequence in (0..40).rev() {
            acks.collect(number(2, sequence), now, MS);
        }
        acks.collect(number(0, 5), now, MS);
        acks.collect(number(2, 31), now, MS);
        let listed: Vec<_> = std::iter::once(number(0, 5)).chain((0..30).map(|s| number(2, s))).collect();
        let listed: Vec<_> = listed.into_iter().chain([number(2, 31)]).collect();
        assert_eq!(acks.numbers().as_slice(), listed);
    }

    #[test]
    fn rfc9147_7_2_acks_of_higher_epochs_are_fatal_during_the_handshake() {
        let wrong = Err(Error::PeerMisbehaved(PeerMisbehaved::AckOfHigherEpoch));
        assert_eq!(check_ack(Epoch(0), number(0, 7)), Ok(()));
        assert_eq!(check_ack(Epoch(2), number(0, 7)), Ok(()));
        assert_eq!(check_ack(Epoch(0), number(2, 0)), wrong);
        assert_eq!(check_ack(Epoch(2), number(3, 0)), wrong);
        assert_eq!(check_ack(Epoch(3), number(9, 0)), Ok(()));
        assert_eq!(check_ack(Epoch(3), RecordNumber { epoch: 0x1_0000, sequence: 0 }), wrong);
        assert_eq!(check_ack(Epoch(3), number(3, MAX_SEQUENCE_48 + 1)), wrong);
    }
}
