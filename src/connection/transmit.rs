//! The way out: flights, ACKs, alerts and data, sealed straight into the caller's buffer (RFC 6347 §4.1.1, RFC 9147 §4.4).

use super::close::{AlertDue, CLOSE_REPEATS, Sending};
use super::{CloseReason, Connection, Event, Phase, stats};
use crate::config::{Direction, TracedMessage, WornKeys};
use crate::error::{ApiMisuse, Error};
use crate::flight::Acks;
use crate::handshake::{FlightEnd, Input};
use crate::record::{LimitState, Sealed};
use crate::wire::{
    AlertDescription,
    ack::{RecordNumber, ack_capacity, ack_len, write_ack},
    alert::Alert,
    enums::ContentType,
    post_handshake::KeyUpdateRequest,
};
use std::fmt;
use std::ops::Range;
use std::time::Instant;

/// Why data was not sent. The association is unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The handshake is not complete.
    NotConnected,
    /// The data does not fit one datagram of the MTU, or one record.
    TooLarge {
        /// The most that does.
        max: usize,
    },
    /// The output buffer is too small.
    BufferTooSmall {
        /// Octets it must have for this data.
        needed: usize,
    },
    /// The association was closed or has failed.
    Closed,
    /// The sending keys are used up (RFC 9147 §4.5.3).
    KeysExhausted,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("the handshake is not complete"),
            Self::TooLarge { max } => write!(f, "the data is longer than the {max} octets that fit"),
            Self::BufferTooSmall { needed } => write!(f, "the buffer needs {needed} octets"),
            Self::Closed => f.write_str("the association is closed"),
            Self::KeysExhausted => f.write_str("the sending keys are used up"),
        }
    }
}

impl std::error::Error for SendError {}

impl Connection {
    /// Writes the next datagram for the peer to the front of `out` and returns its length; `None` when there is nothing to
    /// send now. A datagram is no longer than the MTU and `out`.
    ///
    /// # Errors
    /// [`ApiMisuse::BufferTooSmall`] if there is something to send and `out` is below the least that works.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Result<Option<usize>, ApiMisuse> {
        if !self.wants_to_transmit() {
            return Ok(None);
        }
        let needed = self.mtu_floor();
        if out.len() < needed {
            return Err(ApiMisuse::BufferTooSmall { needed });
        }
        let allowed = self.place.path.limit();
        if allowed < needed {
            // Nothing until the peer has shown more of itself; if it never does, the timer ends the handshake.
            if matches!(self.phase, Phase::Handshaking(_)) && self.timer.poll_timeout().is_none() {
                self.timer.start(now);
            }
            return Ok(None);
        }
        let limit = self.mtu.current().min(out.len()).min(allowed);
        let datagram = out.get_mut(..limit).unwrap_or_default();
        let written = match self.transmit(now, datagram) {
            Ok(written) => written,
            Err(error) => {
                self.fail(error);
                self.transmit(now, datagram).unwrap_or(None)
            }
        };
        if let Some(octets) = written {
            stats::count(&mut self.stats.datagrams_sent);
            self.place.path.sent(octets);
        }
        self.look_after_keys(now);
        Ok(written)
    }

    fn wants_to_transmit(&self) -> bool {
        match &self.phase {
            Phase::Failed(failure) => matches!(failure.alert, AlertDue::Now { .. }),
            Phase::Handshaking(_) | Phase::Established(_) => {
                let close = matches!(self.conduct.sending, Sending::Closing | Sending::CloseNotifyDue { .. });
                self.acks.is_due() || self.outgoing.has_pending() || close
            }
        }
    }

    fn transmit(&mut self, now: Instant, out: &mut [u8]) -> Result<Option<usize>, Error> {
        if let Phase::Failed(failure) = &mut self.phase {
            let AlertDue::Now { description, repeats } = failure.alert else { return Ok(None) };
            failure.alert = AlertDue::IfPeerGoesOn { description, repeats };
            return self.transmit_alert(description, out);
        }
        if self.acks.is_due() {
            return self.transmit_ack(out);
        }
        if self.outgoing.has_pending() {
            return self.transmit_flight(now, out);
        }
        let repeats = match self.conduct.sending {
            Sending::Open | Sending::Closed { .. } => return Ok(None),
            Sending::Closing => {
                self.events.push_back(Event::Closed(CloseReason::Local));
                CLOSE_REPEATS
            }
            Sending::CloseNotifyDue { repeats } => repeats,
        };
        self.conduct.sending = Sending::Closed { at: now, repeats };
        self.transmit_alert(AlertDescription::CLOSE_NOTIFY, out)
    }

    /// As much of the flight as fits one datagram (RFC 9147 §5.5).
    fn transmit_flight(&mut self, now: Instant, out: &mut [u8]) -> Result<Option<usize>, Error> {
        let mut used = 0usize;
        while let Some(pending) = self.outgoing.next() {
            let room = out.get_mut(used..).unwrap_or_default();
            let overhead = self.records.overhead(pending.epoch).ok_or_else(|| Error::NumbersExhausted)?;
            if room.len() < overhead.saturating_add(pending.smallest) {
                break;
            }
            let (outgoing, trace) = (&mut self.outgoing, &self.trace);
            let sealed = self.records.seal(pending.epoch, pending.content_type, room, |room| {
                let filled = outgoing.fill(room)?;
                trace.show_sent(pending.content_type, room.get(..filled)?);
                Some(filled)
            })?;
            let Some(Sealed { number, len }) = sealed else { break };
            self.outgoing.sent(number);
            used = used.saturating_add(len);
        }
        if !self.outgoing.has_pending() && self.conduct.flight_end != FlightEnd::RepeatOfPeer {
            self.timer.start(now);
        }
        self.mtu.sent(used);
        Ok((used > 0).then_some(used))
    }

    fn transmit_ack(&mut self, out: &mut [u8]) -> Result<Option<usize>, Error> {
        let numbers = self.acks.numbers();
        self.acks.sent();
        stats::count(&mut self.stats.acks_sent);
        // A peer that takes only short records gets several (RFC 8449 §4), the newest numbers first; what no datagram holds
        // stays away.
        let (newest, mut older) = split_newest(numbers.as_slice(), ack_capacity(self.records.max_content()));
        self.trace.show(Direction::Sending, TracedMessage::Ack { records: newest.len() });
        let mut used = self.transmit_record(ContentType::ACK, out, |room| write_ack(newest, room))?.unwrap_or(0);
        while !older.is_empty() {
            let (numbers, rest) = split_newest(older, ack_capacity(self.records.max_content()));
            let needed = self.records.overhead(self.conduct.write_epoch).unwrap_or(0).saturating_add(ack_len(numbers));
            let room = out.get_mut(used..).filter(|room| room.len() >= needed);
            let Some(room) = room else { break };
            self.trace.show(Direction::Sending, TracedMessage::Ack { records: numbers.len() });
            let sealed = self.transmit_record(ContentType::ACK, room, |room| write_ack(numbers, room))?;
            used = used.saturating_add(sealed.unwrap_or(0));
            older = rest;
        }
        Ok((used > 0).then_some(used))
    }

    fn transmit_alert(&mut self, description: AlertDescription, out: &mut [u8]) -> Result<Option<usize>, Error> {
        self.trace.show_alert(Direction::Sending, Alert::new(description));
        self.transmit_record(ContentType::ALERT, out, |room| {
            *room.first_chunk_mut()? = Alert::new(description).encode();
            Some(Alert::LEN)
        })
    }

    /// One record in the newest epoch.
    fn transmit_record(
        &mut self,
        content_type: ContentType,
        out: &mut [u8],
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Option<usize>, Error> {
        let sealed = self.records.seal(self.conduct.write_epoch, content_type, out, fill)?;
        Ok(sealed.map(|sealed| sealed.len))
    }

    /// Seals `payload` as one record at the front of `out` and returns the datagram's length. Nothing is kept: a datagram
    /// that is lost is lost.
    ///
    /// # Errors
    /// [`SendError`]; the association is unharmed.
    pub fn send(&mut self, now: Instant, payload: &[u8], out: &mut [u8]) -> Result<usize, SendError> {
        let needed = self.check_send(now, payload.len())?;
        if out.len() < needed {
            return Err(SendError::BufferTooSmall { needed });
        }
        let sealed = self.records.seal(self.conduct.write_epoch, ContentType::APPLICATION_DATA, out, |room| {
            room.get_mut(..payload.len())?.copy_from_slice(payload);
            Some(payload.len())
        });
        match sealed {
            Ok(Some(sealed)) => {
                stats::count(&mut self.stats.records_sent);
                self.look_after_keys(now);
                Ok(sealed.len)
            }
            Ok(None) => Err(SendError::BufferTooSmall { needed }),
            Err(_) => Err(SendError::KeysExhausted),
        }
    }

    /// Seals the payload that already stands in `buffer[payload]`, without a copy, and returns where in `buffer` the
    /// datagram now is. [`headroom`](Self::headroom) octets must be free before it and [`tailroom`](Self::tailroom) after.
    ///
    /// # Errors
    /// [`SendError`]; the association is unharmed, and so is the buffer.
    pub fn send_in_place(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Result<Range<usize>, SendError> {
        let len = payload.end.saturating_sub(payload.start);
        let needed = self.check_send(now, len)?;
        let headroom = self.headroom();
        let fits = payload.start <= payload.end
            && payload.start.checked_sub(headroom).is_some_and(|start| start.saturating_add(needed) <= buffer.len());
        if !fits {
            return Err(SendError::BufferTooSmall { needed });
        }
        let epoch = self.conduct.write_epoch;
        let sealed = self.records.seal_in_place(epoch, ContentType::APPLICATION_DATA, buffer, payload);
        let range = sealed.map_err(|_| SendError::KeysExhausted)?;
        stats::count(&mut self.stats.records_sent);
        self.look_after_keys(now);
        Ok(range)
    }

    /// Octets that [`send_in_place`](Self::send_in_place) needs before the payload.
    pub fn headroom(&self) -> usize {
        self.records.header_len(self.conduct.write_epoch).unwrap_or(0)
    }

    /// Octets that [`send_in_place`](Self::send_in_place) needs after the payload.
    pub fn tailroom(&self) -> usize {
        self.records.overhead(self.conduct.write_epoch).unwrap_or(0).saturating_sub(self.headroom())
    }

    /// Whether data of this length may be sent now, and the octets its record takes.
    #[inline]
    fn check_send(&mut self, now: Instant, len: usize) -> Result<usize, SendError> {
        self.expire_kept(now);
        match (&self.phase, self.conduct.sending) {
            (Phase::Established(_), Sending::Open) => {}
            (Phase::Handshaking(_), Sending::Open) => return Err(SendError::NotConnected),
            _ => return Err(SendError::Closed),
        }
        // Keys that could have been changed in time must not be used any further.
        if self.conduct.wear == LimitState::Reached && self.conduct.acks == Acks::Explicit {
            return Err(SendError::KeysExhausted);
        }
        let overhead = self.records.overhead(self.conduct.write_epoch).unwrap_or(0);
        let max = self.max_payload_beside(overhead);
        if len > max {
            return Err(SendError::TooLarge { max });
        }
        Ok(overhead.saturating_add(len))
    }

    /// Looks after the keys that sealed something, be it data, an ACK or part of a flight (RFC 9147 §4.5.3).
    #[inline]
    fn look_after_keys(&mut self, now: Instant) {
        let wear = self.records.write_limit_state(self.conduct.write_epoch);
        let in_use = matches!(self.phase, Phase::Established(_)) && self.conduct.sending == Sending::Open;
        if wear == self.conduct.wear || !in_use {
            return;
        }
        self.conduct.wear = wear;
        match (wear, self.conduct.acks) {
            (LimitState::Near | LimitState::Reached, Acks::Explicit) => {
                let update = Input::RequestKeyUpdate(KeyUpdateRequest::NotRequested);
                if let Err(error) = self.step(update, now) {
                    self.fail(error);
                }
            }
            (LimitState::Reached, Acks::Implicit | Acks::Undecided) => {
                self.events.push_back(Event::ConfidentialityLimitReached);
                if self.transport.worn_keys() == WornKeys::Closing {
                    self.close(now);
                }
            }
            _ => {}
        }
    }
}

/// The last `count` of some record numbers, and those before.
fn split_newest(numbers: &[RecordNumber], count: usize) -> (&[RecordNumber], &[RecordNumber]) {
    let (older, newest) = numbers.split_at_checked(numbers.len().saturating_sub(count)).unwrap_or((&[], numbers));
    (newest, older)
}
