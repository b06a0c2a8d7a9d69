//! The way in: datagram → records → handshake messages or application data (RFC 6347 §4.1, RFC 9147 §4.5).

use super::close::Receiving;
use super::{ChangeCipherSpec, Connection, LastFault, Path, Phase, Silence, stats};
use crate::config::{Direction, PartialAcks, PlaintextFaults, TracedMessage};
use crate::error::{Discard, Error, PeerMisbehaved, PlaintextFault};
use crate::flight::{Acknowledged, Acks, Progress, Repeated, Trust, check_ack};
use crate::handshake::{FlightEnd, Input};
use crate::record::{LimitState, Novelty, Opened, Record};
use crate::wire::{
    ack::{Epoch, RecordNumber, read_ack},
    alert::{Alert, AlertDescription, AlertLevel},
    enums::ContentType,
    handshake::{Message, check_plaintext, comes_in_plaintext},
    post_handshake::KeyUpdateRequest,
};
use std::time::Instant;

/// A datagram being read. It borrows the caller's buffer, where records are opened in place.
#[derive(Debug)]
pub struct Datagram<'d> {
    rest: &'d mut [u8],
}

impl<'d> Datagram<'d> {
    /// A datagram as it came from the socket, one UDP payload.
    pub fn new(bytes: &'d mut [u8]) -> Self {
        Self { rest: bytes }
    }
}

/// One record of application data, opened in place.
#[derive(Debug)]
pub struct ApplicationData<'d> {
    payload: &'d mut [u8],
    number: RecordNumber,
}

impl<'d> ApplicationData<'d> {
    /// The data, in the caller's buffer.
    pub fn payload(&mut self) -> &mut [u8] {
        self.payload
    }

    /// The data, for as long as the buffer lives.
    pub fn into_payload(self) -> &'d mut [u8] {
        self.payload
    }

    /// The epoch of the record (RFC 9147 §4.2.1).
    pub fn epoch(&self) -> u64 {
        self.number.epoch
    }

    /// The record's sequence number within its epoch: an application can tell what was delayed on the way
    /// (RFC 9147 §11.1).
    pub fn sequence_number(&self) -> u64 {
        self.number.sequence
    }
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    /// It is data for the application.
    Data,
    /// It has nothing for the application.
    Nothing,
}

impl Connection {
    /// Takes a datagram from the peer and returns the next record of application data in it, `None` at its end.
    /// To be called until it returns `None`; the data borrows the buffer, not the connection, which may be used meanwhile.
    ///
    /// What is not the peer's, was seen before or makes no sense is skipped and counted in [`stats`](Self::stats).
    ///
    /// # Errors
    /// [`Error`] if the association ends by what the peer sent, and from then on. Whatever else the datagram held is lost.
    pub fn receive<'d>(
        &mut self,
        now: Instant,
        datagram: &mut Datagram<'d>,
    ) -> Result<Option<ApplicationData<'d>>, Error> {
        self.expire_kept(now);
        self.obey();
        if let Phase::Failed(failure) = &mut self.phase {
            failure.alert = failure.alert.peer_goes_on();
            datagram.rest = &mut [];
            self.stats.discard(Discard::AfterClose);
            return Err(failure.error.clone());
        }
        while !datagram.rest.is_empty() {
            let before = datagram.rest.len();
            let opened = self.records.open(&mut datagram.rest);
            self.place.path.received(before.saturating_sub(datagram.rest.len()));
            // Whatever is moved here is moved for every record: nothing of a record is, until it is handed out.
            let received = match opened {
                Ok(Opened::Record(record)) => match self.receive_record(&record, now) {
                    Ok(Received::Data) => {
                        return Ok(Some(ApplicationData { payload: record.payload, number: record.number }));
                    }
                    Ok(Received::Nothing) => self.open_early(now),
                    Err(error) => Err(error),
                },
                Ok(Opened::Early(raw)) => {
                    self.keep_early(raw);
                    Ok(())
                }
                Ok(Opened::Discarded(reason)) => {
                    self.stats.discard(reason);
                    self.update_worn_keys(now)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = received {
                datagram.rest = &mut [];
                self.account();
                return Err(self.fail(error));
            }
        }
        stats::count(&mut self.stats.datagrams_received);
        // There is no data while there is a handshake to account for.
        self.account();
        Ok(None)
    }

    /// One opened record; data is to be handed on, all else is dealt with.
    #[inline]
    fn receive_record(&mut self, record: &Record<'_>, now: Instant) -> Result<Received, Error> {
        if record.epoch == Epoch::PLAINTEXT && matches!(self.phase, Phase::Established(_)) {
            self.stats.discard(Discard::PlaintextAfterProtected);
            return Ok(Received::Nothing);
        }
        if record.novelty == Novelty::Replayed {
            self.stats.discard(Discard::Replayed);
        }
        self.conduct.heard = self.conduct.heard.max(record.epoch);
        if record.epoch > Epoch::PLAINTEXT {
            self.place.path = Path::Validated;
        }
        if record.epoch >= self.incoming.epoch() {
            self.clock.start(now);
        }
        match record.content_type {
            ContentType::APPLICATION_DATA => return self.receive_data(record, now),
            ContentType::HANDSHAKE => self.receive_handshake(record, now)?,
            ContentType::ACK => self.receive_ack(record, now)?,
            ContentType::ALERT => self.receive_alert(record)?,
            ContentType::CHANGE_CIPHER_SPEC => self.receive_change_cipher_spec(record, now)?,
            _ => self.refuse(record, PeerMisbehaved::UnknownContentType, Discard::UnknownContentType)?,
        }
        Ok(Received::Nothing)
    }

    /// Asks for new keys before forgeries wear out those that open what the peer sends (RFC 9147 §4.5.3: "SHOULD initiate
    /// a key update before reaching this limit").
    fn update_worn_keys(&mut self, now: Instant) -> Result<(), Error> {
        let worn = self.records.read_limit_state() == LimitState::Near;
        match (&self.phase, self.conduct.acks) {
            (Phase::Established(_), Acks::Explicit) if worn => {
                self.step(Input::RequestKeyUpdate(KeyUpdateRequest::Requested), now)
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn receive_data(&mut self, record: &Record<'_>, now: Instant) -> Result<Received, Error> {
        if record.epoch < self.conduct.data_epoch {
            self.refuse(record, PeerMisbehaved::ApplicationDataInWrongEpoch, Discard::ApplicationData)?;
            return Ok(Received::Nothing);
        }
        // Data may overtake the end of the handshake, or a close_notify; before the one and after the other it is lost.
        let late = match self.conduct.receiving {
            Receiving::Open => false,
            Receiving::ClosedAt(end) => record.number > end,
        };
        if late || !matches!(self.phase, Phase::Established(_)) {
            self.stats.discard(if late { Discard::AfterClose } else { Discard::ApplicationData });
            return Ok(Received::Nothing);
        }
        self.repeat_close_notify(now);
        stats::count(&mut self.stats.records_received);
        Ok(Received::Data)
    }

    fn receive_handshake(&mut self, record: &Record<'_>, now: Instant) -> Result<(), Error> {
        // RFC 5246 §6.2.1, RFC 8446 §5.1: no handshake record is empty.
        if record.payload.is_empty() {
            return self.refuse(record, PeerMisbehaved::UnexpectedMessage, Discard::MalformedPlaintext);
        }
        let trust = self.trust(record.epoch);
        let received = self.incoming.receive(record.epoch, trust, record.payload)?;
        if let Some(fault) = received.fault {
            self.remember(fault);
        }
        match received.discarded {
            Some(reason) => self.stats.discard(reason),
            // What anyone may repeat starts no ACK.
            None if trust == Trust::Plaintext && received.progress == Progress::Nothing => {}
            None => self.acks.collect(record.number, now, self.timer.timeout()),
        }
        if received.repeated == Repeated::Old && self.is_renegotiation(record.epoch) {
            return Err(PeerMisbehaved::RenegotiationAttempted.into());
        }
        self.note_progress(received.progress, trust, now);
        if matches!(self.phase, Phase::Established(_)) {
            self.answer_repetition(received.repeated, record.epoch, now);
        }
        if received.progress == Progress::Octets
            && trust == Trust::Protected
            && self.conduct.acks == Acks::Explicit
            && self.conduct.flight_end == FlightEnd::Answer
            && !self.outgoing.is_acknowledged()
        {
            // RFC 9147 §7.1: the peer's next flight acknowledges ours, however little of it has come. What anyone may
            // have sent acknowledges nothing until a whole message of it makes sense.
            self.answered(now);
        }
        self.handle_messages(now)
    }

    /// Where ACKs are implicit, the numbers of messages begin anew with each handshake (RFC 6347 §4.2.2), and only the last
    /// message of one comes under its keys: an old number there belongs to the next handshake.
    fn is_renegotiation(&self, epoch: Epoch) -> bool {
        self.conduct.acks != Acks::Explicit
            && epoch >= self.conduct.data_epoch
            && matches!(self.phase, Phase::Established(_))
    }

    /// A peer that brings something on is not silent. What anyone may have sent begins the wait and never prolongs it.
    fn note_progress(&mut self, progress: Progress, trust: Trust, now: Instant) {
        let Phase::Handshaking(handshaking) = &self.phase else { return };
        let awaited = match handshaking.silence {
            Silence::Since(_) => trust == Trust::Protected,
            Silence::NotAwaiting => self.outgoing.is_acknowledged(),
            Silence::Ours(_) => false,
        };
        if awaited && progress == Progress::Octets {
            self.await_peer(now);
        }
    }

    /// The peer sends its last flight again: our answer was lost.
    fn answer_repetition(&mut self, repeated: Repeated, epoch: Epoch, now: Instant) {
        let by_flight = self.conduct.flight_end == FlightEnd::RepeatOfPeer;
        if by_flight && repeated == Repeated::LastMessage {
            self.outgoing.rewind();
        }
        // What answers it is kept for at least twice the maximum segment lifetime (RFC 6347 §4.2.4, RFC 9147 §5.8.1). The
        // peer's timer may be a minute by now, so a question prolongs that; keys that open data do not live longer for
        // being used.
        if repeated != Repeated::Nothing && (by_flight || epoch < self.conduct.data_epoch) {
            self.keep_for_stragglers(now);
        }
    }

    /// Gives the handshake every message that is complete and in order, unless it waits for the application.
    pub(super) fn handle_messages(&mut self, now: Instant) -> Result<(), Error> {
        while self.handshake.pending().is_none()
            && let Some(message) = self.incoming.next()
        {
            if self.incoming.epoch() == Epoch::PLAINTEXT
                && let Err(fault) = check_plaintext_message(&message)
            {
                self.incoming.reject();
                self.fault(fault, Discard::MalformedPlaintext)?;
                continue;
            }
            self.trace.show_received(&message);
            self.handshake.handle(Input::Message(message))?;
            self.incoming.consume();
            self.carry_out(now)?;
            self.give_change_cipher_spec(now)?;
        }
        Ok(())
    }

    fn receive_change_cipher_spec(&mut self, record: &Record<'_>, now: Instant) -> Result<(), Error> {
        if record.epoch != Epoch::PLAINTEXT {
            return Err(PeerMisbehaved::UnexpectedRecord.into());
        }
        // RFC 5246 §7.1: a single octet of value 1.
        if *record.payload != [1] {
            let fault = PlaintextFault::Misbehaved(PeerMisbehaved::BadChangeCipherSpec);
            return self.fault(fault, Discard::ChangeCipherSpec);
        }
        match &mut self.phase {
            Phase::Handshaking(handshaking) if self.conduct.acks != Acks::Explicit => {
                handshaking.change_cipher_spec = handshaking.change_cipher_spec.seen();
                self.give_change_cipher_spec(now)
            }
            _ => {
                self.stats.discard(Discard::ChangeCipherSpec);
                Ok(())
            }
        }
    }

    /// A ChangeCipherSpec that came before the messages it follows counts when they have come.
    pub(super) fn give_change_cipher_spec(&mut self, now: Instant) -> Result<(), Error> {
        let Phase::Handshaking(handshaking) = &mut self.phase else { return Ok(()) };
        if handshaking.change_cipher_spec != ChangeCipherSpec::Due {
            return Ok(());
        }
        handshaking.change_cipher_spec = ChangeCipherSpec::Quiet;
        self.trace.show(Direction::Receiving, TracedMessage::ChangeCipherSpec);
        self.step(Input::ChangeCipherSpec, now)
    }

    fn receive_ack(&mut self, record: &Record<'_>, now: Instant) -> Result<(), Error> {
        if self.conduct.acks != Acks::Explicit {
            self.stats.discard(Discard::Ack);
            return Ok(());
        }
        let list = match read_ack(record.payload) {
            Ok(list) => list,
            Err(malformed) if self.trust(record.epoch) == Trust::Protected => return Err(malformed.into()),
            Err(malformed) => return self.fault(PlaintextFault::Malformed(malformed), Discard::Ack),
        };
        if list.iter().any(|number| check_ack(record.epoch, number).is_err()) {
            return self.refuse(record, PeerMisbehaved::AckOfHigherEpoch, Discard::Ack);
        }
        if self.trust(record.epoch) == Trust::Plaintext {
            // Anyone could stop us from sending again what never arrived. draft-ietf-tls-rfc9147bis §7: "MAY send and
            // process ACK records in epoch 0"; without them the timer does the work.
            self.stats.discard(Discard::Ack);
            return Ok(());
        }
        stats::count(&mut self.stats.acks_received);
        self.trace.show(Direction::Receiving, TracedMessage::Ack { records: list.iter().count() });
        match self.outgoing.acknowledge(list.iter()) {
            Acknowledged::Nothing => Ok(()),
            Acknowledged::Some => {
                self.timer.partly_acknowledged();
                if self.transport.partial_acks() == PartialAcks::Retransmit {
                    self.timer.resent();
                    self.outgoing.rewind();
                }
                Ok(())
            }
            Acknowledged::All => {
                self.timer.acknowledged(now);
                self.await_peer(now);
                self.drop_old_sending_keys();
                if !matches!(self.phase, Phase::Established(_)) {
                    return Ok(());
                }
                self.step(Input::FlightAcknowledged, now)?;
                self.outgoing.give_back();
                Ok(())
            }
        }
    }

    fn receive_alert(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let plaintext = record.epoch == Epoch::PLAINTEXT;
        if plaintext && self.conduct.heard > Epoch::PLAINTEXT {
            self.stats.discard(Discard::PlaintextAlert);
            return Ok(());
        }
        let Ok(alert) = Alert::read(record.payload) else {
            return self.refuse(record, PeerMisbehaved::BadAlert, Discard::PlaintextAlert);
        };
        self.trace.show_alert(Direction::Receiving, alert);
        match (alert.description, alert.level) {
            (AlertDescription::CLOSE_NOTIFY, _) => self.receive_close_notify(record),
            // RFC 8446 §6: only these two are not errors.
            (AlertDescription::USER_CANCELED, _) => Ok(()),
            (description, AlertLevel::FATAL) => Err(Error::AlertReceived(description)),
            (description, AlertLevel::WARNING) if self.conduct.acks == Acks::Explicit => {
                Err(Error::AlertReceived(description))
            }
            // RFC 5246 §7.2.2 leaves it to us; no warning is a reason to end here.
            (_, AlertLevel::WARNING) => Ok(()),
            _ => self.refuse(record, PeerMisbehaved::UnknownAlertLevel, Discard::PlaintextAlert),
        }
    }

    /// Keeps a record whose keys are not there yet (RFC 9147 §4.2.1: "MAY buffer"), within the configured bound.
    fn keep_early(&mut self, raw: &[u8]) {
        let limit = self.transport.max_early_records();
        if let Phase::Handshaking(handshaking) = &mut self.phase {
            let kept = memory_of_early(handshaking.early.iter().map(AsRef::as_ref));
            if kept.saturating_add(memory_of_early([raw])) <= limit {
                handshaking.early.push(raw.into());
                return;
            }
        }
        self.stats.discard(Discard::EarlyRecord);
    }

    /// Opens what was kept, once its keys are there.
    pub(super) fn open_early(&mut self, now: Instant) -> Result<(), Error> {
        let Phase::Handshaking(handshaking) = &mut self.phase else { return Ok(()) };
        if handshaking.early.is_empty() || self.incoming.epoch() == Epoch::PLAINTEXT {
            return Ok(());
        }
        for mut raw in std::mem::take(&mut handshaking.early) {
            let mut rest = &mut *raw;
            match self.records.open(&mut rest)? {
                Opened::Discarded(reason) => self.stats.discard(reason),
                Opened::Early(_) => self.stats.discard(Discard::EarlyRecord),
                Opened::Record(record) => {
                    if self.receive_record(&record, now)? == Received::Data {
                        // It has no place in the caller's buffer; UDP loses such things too.
                        self.stats.discard(Discard::ApplicationData);
                    }
                }
            }
        }
        Ok(())
    }

    /// How sure it is that a record of `epoch` is the peer's.
    fn trust(&self, epoch: Epoch) -> Trust {
        match (epoch, self.transport.plaintext_faults()) {
            (Epoch::PLAINTEXT, PlaintextFaults::Discard) => Trust::Plaintext,
            _ => Trust::Protected,
        }
    }

    /// Refuses a record: fatal if it is the peer's, otherwise counted and remembered.
    fn refuse(&mut self, record: &Record<'_>, misbehaved: PeerMisbehaved, discard: Discard) -> Result<(), Error> {
        match record.epoch {
            Epoch::PLAINTEXT => self.fault(PlaintextFault::Misbehaved(misbehaved), discard),
            _ => Err(misbehaved.into()),
        }
    }

    /// Something wrong in plaintext, where anyone may have sent it (RFC 9147 §4.5.2).
    fn fault(&mut self, fault: PlaintextFault, discard: Discard) -> Result<(), Error> {
        match self.trust(Epoch::PLAINTEXT) {
            Trust::Protected => Err(fault.into()),
            Trust::Plaintext => {
                self.stats.discard(discard);
                self.remember(fault);
                Ok(())
            }
        }
    }

    fn remember(&mut self, fault: PlaintextFault) {
        if let Phase::Handshaking(handshaking) = &mut self.phase {
            handshaking.last_fault = LastFault::Some(fault);
        }
    }
}

/// Whether a message may be what it is in plaintext, whatever the state: what no version sends there is no message of the
/// peer's.
fn check_plaintext_message(message: &Message<'_>) -> Result<(), PlaintextFault> {
    if !comes_in_plaintext(message.msg_type) {
        return Err(PlaintextFault::Misbehaved(PeerMisbehaved::UnexpectedMessage));
    }
    check_plaintext(message).map_err(PlaintextFault::Malformed)
}

/// Octets of memory that these records take while they are kept.
pub(super) fn memory_of_early<'r>(records: impl IntoIterator<Item = &'r [u8]>) -> usize {
    // A short record costs more to keep than its octets.
    let each = |raw: &[u8]| raw.len().saturating_add(EARLY_RECORD_COST);
    records.into_iter().fold(0, |sum: usize, raw| sum.saturating_add(each(raw)))
}

/// Octets that keeping a record takes at most beside its own: its place in a list that may be half empty, and what an
/// allocator keeps beside a piece.
const EARLY_RECORD_COST: usize = 56;
