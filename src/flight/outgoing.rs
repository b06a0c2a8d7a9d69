//! Floor 4: our flight, kept as plaintext messages until it is acknowledged (RFC 6347 §4.2.4, RFC 9147 §5.8, §7.2).
//!
//! Fragments are cut when a record is filled, for the room there is at that moment, and never out of what was
//! acknowledged. Each record sent is remembered as the stretch of the flight it covered, so an ACK that names it can be
//! turned into octets that need not be sent again. Knows no key and no datagram.

use super::ranges::RangeSet;
use crate::wire::{
    ack::{Epoch, RecordNumber},
    enums::ContentType,
    handshake::{FragmentHeader, HANDSHAKE_HEADER_LEN, OwnedMessage},
    record::MAX_PLAINTEXT_LEN,
};
use std::collections::VecDeque;
use std::ops::Range;

/// The current flight, if there is one: most of the time there is not, and then it takes no memory.
pub(crate) struct Outgoing {
    /// How many records are remembered: a peer that acknowledges later than that has the content sent again, which is all
    /// that is lost.
    max_sent: usize,
    room: Room,
}

/// The room that flights have.
enum Room {
    GivenBack,
    Kept(Box<Flight>),
}

/// A flight; without parts it is none.
#[derive(Default)]
struct Flight {
    parts: Vec<Part>,
    /// What comes next; everything before it was sent or acknowledged.
    cursor: Position,
    /// What begins here was never sent.
    reached: Position,
    /// What the last record filled covered.
    filled: Range<Position>,
    sent: VecDeque<SentRecord>,
}

/// What the next record of the flight will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) epoch: Epoch,
    pub(crate) content_type: ContentType,
    /// Octets of plaintext that [`Outgoing::fill`] needs at least: a header and one octet of body, if there is a body.
    pub(crate) smallest: usize,
}

/// What an ACK brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// Nothing that was not known before.
    Nothing,
    /// More of the flight, not all of it.
    Some,
    /// The rest: the flight is complete and forgotten.
    All,
}

impl Outgoing {
    /// No flight; of those to come so many records are remembered.
    pub(crate) fn new(max_sent: usize) -> Self {
        Self { max_sent, room: Room::GivenBack }
    }

    /// Begins a new flight: the old one, and what its records carried, is forgotten (RFC 9147 §5.8.1, PREPARING).
    pub(crate) fn begin(&mut self) {
        if let Room::Kept(flight) = &mut self.room {
            flight.clear();
        }
    }

    /// Gives back the room if there is no flight; the next one makes its own.
    pub(crate) fn give_back(&mut self) {
        if self.is_acknowledged() {
            self.room = Room::GivenBack;
        }
    }

    /// Appends a handshake message, to be sent in `epoch` and in no other however often it is sent.
    pub(crate) fn push_message(&mut self, epoch: Epoch, message: OwnedMessage) {
        self.push(epoch, Content::Message(message));
    }

    /// Appends a ChangeCipherSpec: no handshake message, yet a part of the flight (RFC 6347 §4.2.4).
    pub(crate) fn push_change_cipher_spec(&mut self, epoch: Epoch) {
        self.push(epoch, Content::ChangeCipherSpec);
    }

    fn push(&mut self, epoch: Epoch, content: Content) {
        let part = Part { epoch, content, acknowledged: RangeSet::default() };
        match &mut self.room {
            Room::Kept(flight) => flight.parts.push(part),
            Room::GivenBack => {
                let mut parts = Vec::with_capacity(USUAL_PARTS);
                parts.push(part);
                self.room = Room::Kept(Box::new(Flight { parts, ..Flight::default() }));
            }
        }
    }

    const fn flight(&self) -> Option<&Flight> {
        match &self.room {
            Room::Kept(flight) => Some(flight),
            Room::GivenBack => None,
        }
    }

    const fn flight_mut(&mut self) -> Option<&mut Flight> {
        match &mut self.room {
            Room::Kept(flight) => Some(flight),
            Room::GivenBack => None,
        }
    }

    /// What the next record will carry, or `None` if all was sent or acknowledged.
    pub(crate) fn next(&self) -> Option<Pending> {
        self.flight()?.next()
    }

    /// Writes the plaintext of the next record, as [`Self::next`] announced it, into `room` and returns its length:
    /// fragments of as many messages of one epoch as fit. A fragment is cut short only by the end of `room`, which it
    /// then fills to the last octet. `None`: nothing is left, or `room` is too small for anything.
    pub(crate) fn fill(&mut self, room: &mut [u8]) -> Option<usize> {
        self.flight_mut()?.fill(room)
    }

    /// Remembers that the last record filled was sent as `number`.
    pub(crate) fn sent(&mut self, number: RecordNumber) {
        let max_sent = self.max_sent;
        if let Some(flight) = self.flight_mut() {
            flight.remember(number, max_sent);
        }
    }

    /// The peer has received the records in `numbers`. Those that were never sent, or so long ago that they are
    /// forgotten, say nothing. A record whose content was sent again since counts all the same (RFC 9147 §7.2).
    pub(crate) fn acknowledge(&mut self, numbers: impl IntoIterator<Item = RecordNumber>) -> Acknowledged {
        self.flight_mut().map_or(Acknowledged::Nothing, |flight| flight.acknowledge(numbers))
    }

    /// The peer's next flight arrived, which acknowledges this one (RFC 9147 §7.1), or no answer is expected any more:
    /// the flight is forgotten.
    pub(crate) fn acknowledge_all(&mut self) {
        self.begin();
    }

    /// Begins to send the flight again, without what was acknowledged (RFC 9147 §5.8.1).
    pub(crate) fn rewind(&mut self) {
        if let Some(flight) = self.flight_mut() {
            flight.cursor = Position::default();
        }
    }

    /// Whether nothing of the flight needs the peer's acknowledgement, also because there is no flight.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.flight().is_none_or(|flight| flight.parts.is_empty())
    }

    /// The epoch of what was not sent even once, if there is such.
    pub(crate) fn first_unsent(&self) -> Option<Epoch> {
        let flight = self.flight()?;
        let (position, _) = flight.next_gap(flight.reached)?;
        flight.parts.get(position.part).map(|part| part.epoch)
    }

    /// Octets of messages kept.
    pub(crate) fn buffered(&self) -> usize {
        self.flight().map_or(0, Flight::buffered)
    }

    /// Whether part of the flight waits to be sent, or sent again.
    pub(crate) fn has_pending(&self) -> bool {
        self.flight().is_some_and(|flight| flight.next_gap(flight.cursor).is_some())
    }
}

impl Flight {
    /// Forgets the flight and keeps its room.
    fn clear(&mut self) {
        let start = Position::default();
        self.parts.clear();
        self.sent.clear();
        (self.cursor, self.reached, self.filled) = (start, start, start..start);
    }

    fn next(&self) -> Option<Pending> {
        let (position, _) = self.next_gap(self.cursor)?;
        let part = self.parts.get(position.part)?;
        let (content_type, smallest) = match &part.content {
            Content::ChangeCipherSpec => (ContentType::CHANGE_CIPHER_SPEC, 1),
            Content::Message(message) => {
                (ContentType::HANDSHAKE, HANDSHAKE_HEADER_LEN.saturating_add(message.body.len().min(1)))
            }
        };
        Some(Pending { epoch: part.epoch, content_type, smallest })
    }

    fn fill(&mut self, room: &mut [u8]) -> Option<usize> {
        let (start, _) = self.next_gap(self.cursor)?;
        let limit = room.len().min(MAX_PLAINTEXT_LEN);
        let room = room.get_mut(..limit)?;
        let epoch = self.parts.get(start.part)?.epoch;
        let (mut written, mut end) = (0_usize, start);
        while let Some((position, units)) = self.next_gap(end) {
            let Some(part) = self.parts.get(position.part).filter(|part| part.epoch == epoch) else { break };
            let Some(rest) = room.get_mut(written..).filter(|rest| !rest.is_empty()) else { break };
            let Some(fragment) = (match &part.content {
                Content::Message(message) => write_fragment(message, &units, rest),
                Content::ChangeCipherSpec if written == 0 => write_change_cipher_spec(rest),
                Content::ChangeCipherSpec => None,
            }) else {
                break;
            };
            written = written.saturating_add(fragment.written);
            end = Position { part: position.part, unit: units.start.saturating_add(fragment.units) };
            // A ChangeCipherSpec is a record by itself, and a fragment cut short is the last in its record.
            if matches!(part.content, Content::ChangeCipherSpec) || fragment.units < units.len() {
                break;
            }
        }
        if written == 0 {
            return None;
        }
        self.filled = start..end;
        self.cursor = end;
        self.reached = self.reached.max(end);
        Some(written)
    }

    fn remember(&mut self, number: RecordNumber, max_sent: usize) {
        if self.sent.len() >= max_sent {
            self.sent.pop_front();
        }
        self.sent.push_back(SentRecord { number, covered: self.filled.clone() });
    }

    fn acknowledge(&mut self, numbers: impl IntoIterator<Item = RecordNumber>) -> Acknowledged {
        let mut new: usize = 0;
        for number in numbers {
            let covered = self.sent.iter().find(|record| record.number == number).map(|record| record.covered.clone());
            new = new.saturating_add(covered.map_or(0, |covered| self.mark(&covered)));
        }
        if new == 0 {
            Acknowledged::Nothing
        } else if self.parts.iter().all(|part| part.acknowledged.covers(part.units())) {
            self.clear();
            Acknowledged::All
        } else {
            Acknowledged::Some
        }
    }

    fn buffered(&self) -> usize {
        self.parts.iter().fold(0, |sum, part| match &part.content {
            Content::Message(message) => sum.saturating_add(message.body.capacity()),
            Content::ChangeCipherSpec => sum,
        })
    }

    /// The first stretch at or after `from` that was not acknowledged, within one part: where it begins, and its units.
    fn next_gap(&self, from: Position) -> Option<(Position, Range<usize>)> {
        self.parts.iter().enumerate().skip(from.part).find_map(|(part, content)| {
            let first = if part == from.part { from.unit } else { 0 };
            let gap = content.acknowledged.next_gap(first, content.units())?;
            Some((Position { part, unit: gap.start }, gap))
        })
    }

    /// Marks a stretch of the flight as received; returns how many of its units are new.
    ///
    /// What lies in the stretch and was not in the record had been acknowledged before the record was filled, so the
    /// two ends are all that must be remembered of a record.
    fn mark(&mut self, covered: &Range<Position>) -> usize {
        let mut new: usize = 0;
        for (index, part) in self.parts.iter_mut().enumerate().skip(covered.start.part) {
            if index > covered.end.part {
                break;
            }
            let start = if index == covered.start.part { covered.start.unit } else { 0 };
            let end = if index == covered.end.part { covered.end.unit } else { part.units() };
            new = new.saturating_add(part.acknowledged.insert(start..end));
        }
        new
    }
}

/// One message of the flight, or a ChangeCipherSpec.
struct Part {
    epoch: Epoch,
    content: Content,
    acknowledged: RangeSet,
}

enum Content {
    Message(OwnedMessage),
    ChangeCipherSpec,
}

impl Part {
    /// What can be sent and acknowledged by itself: the octets of the body. A part without a body counts one, so that
    /// there is something to be sent and acknowledged.
    fn units(&self) -> usize {
        match &self.content {
            Content::Message(message) => message.body.len().max(1),
            Content::ChangeCipherSpec => 1,
        }
    }
}

/// A place in the flight, ordered as the flight is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    part: usize,
    unit: usize,
}

/// A record that was sent, and the stretch of the flight that is received if the record is.
struct SentRecord {
    number: RecordNumber,
    covered: Range<Position>,
}

/// What was written of a part.
struct Written {
    written: usize,
    units: usize,
}

/// Writes a fragment that begins at `units.start` and brings as many of `units` as fit.
fn write_fragment(message: &OwnedMessage, units: &Range<usize>, room: &mut [u8]) -> Option<Written> {
    let (header, room) = room.split_first_chunk_mut::<HANDSHAKE_HEADER_LEN>()?;
    // An empty message has a unit and no octet.
    let end = units.end.min(message.body.len());
    let octets = message.body.get(units.start..end)?;
    let brought = octets.get(..room.len()).unwrap_or(octets);
    if brought.is_empty() && !octets.is_empty() {
        return None;
    }
    room.get_mut(..brought.len())?.copy_from_slice(brought);
    *header = FragmentHeader {
        msg_type: message.msg_type,
        length: message.body.len(),
        message_seq: message.message_seq,
        fragment_offset: units.start,
        fragment_length: brought.len(),
    }
    .encode();
    Some(Written { written: HANDSHAKE_HEADER_LEN.saturating_add(brought.len()), units: brought.len().max(1) })
}

/// A ChangeCipherSpec is one octet (RFC 5246 §7.1).
fn write_change_cipher_spec(room: &mut [u8]) -> Option<Written> {
    *room.first_mut()? = 1;
    Some(Written { written: 1, units: 1 })
}

/// Messages of the longest flight without client certificates, and one more: room is made once.
const USUAL_PARTS: usize = 6;
