//! Floor 4: one record at a time, protected and opened in place (RFC 6347 §4.1, RFC 9147 §4).
//!
//! Knows keys, epochs and replay; knows no handshake message, no flight and no clock. A datagram is split by headers
//! (`split.rs`), each record goes to the epoch it is addressed to (`epoch.rs`), which removes its protection
//! (`protection.rs` and the file of its version) and asks the window (`replay.rs`). What the network may have done is a
//! [`Discard`], never an error (RFC 9147 §4.5.2). No record costs an allocation, and none is copied here.

mod context;
mod epoch;
mod limits;
mod number;
mod protect12;
mod protect13;
mod protection;
mod replay;
mod split;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub(crate) use limits::LimitState;
pub(crate) use protection::PlaintextVersion;
pub(crate) use replay::Novelty;

use crate::crypto::suites::{AeadLimits, TrafficKeys};
use crate::error::{ApiMisuse, Discard, Error};
use crate::wire::{
    ack::{Epoch, RecordNumber},
    enums::ContentType,
    record::ContentLimits,
};
use epoch::{ReadEpoch, WriteEpoch};
use split::{Framed, HeaderForm, split};
use std::ops::Range;

/// All epochs of one association, both directions.
pub(crate) struct RecordLayer {
    /// In the order of installation, which is that of epochs.
    read: Vec<ReadEpoch>,
    write: Vec<WriteEpoch>,
    limits: ContentLimits,
}

/// What came of the first record of a datagram.
pub(crate) enum Opened<'d> {
    /// It is the peer's, or in epoch 0 may be.
    Record(Record<'d>),
    /// It belongs to the first epoch with keys, and they are not there yet: the whole record, untouched.
    Early(&'d mut [u8]),
    /// It was of no use.
    Discarded(Discard),
}

/// An opened record. The payload lies in the datagram.
pub(crate) struct Record<'d> {
    pub(crate) content_type: ContentType,
    pub(crate) number: RecordNumber,
    pub(crate) epoch: Epoch,
    /// Always new, but for plaintext.
    pub(crate) novelty: Novelty,
    pub(crate) payload: &'d mut [u8],
}

/// A record to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) number: RecordNumber,
    /// Octets, header and all.
    pub(crate) len: usize,
}

impl RecordLayer {
    /// Epoch 0 both ways.
    pub(crate) fn new() -> Self {
        let (mut read, mut write) = (Vec::with_capacity(EPOCHS), Vec::with_capacity(EPOCHS));
        read.push(ReadEpoch::plaintext());
        write.push(WriteEpoch::plaintext(0));
        Self { read, write, limits: ContentLimits::USUAL }
    }

    #[cfg(test)]
    pub(crate) fn continuing(sequence_number: u64) -> Self {
        let mut records = Self::new();
        records.continue_at(sequence_number);
        records
    }

    /// Numbers what is sent in plaintext from `sequence_number` on: a server that answered a ClientHello statelessly goes on
    /// from the next one (RFC 6347 §4.2.1, RFC 9147 §5.1). Only before anything was sent.
    pub(crate) fn continue_at(&mut self, sequence_number: u64) {
        self.write.clear();
        self.write.push(WriteEpoch::plaintext(sequence_number));
    }

    /// What plaintext records say of the version from now on.
    pub(crate) fn set_plaintext_version(&mut self, version: PlaintextVersion) {
        self.write.iter_mut().for_each(|epoch| epoch.set_plaintext_version(version));
    }

    /// Opens plaintext records whatever their number. Where anyone may have sent them, a window is a weapon: a forger
    /// who uses up the numbers that come next shuts out the peer's records, though RFC 9147 §4.5.2 wants what makes no
    /// sense to leave no trace. What repetition would harm is told apart by message_seq.
    pub(crate) fn accept_plaintext_repeats(&mut self) {
        self.read.iter_mut().filter(|epoch| epoch.epoch() == Epoch::PLAINTEXT).for_each(ReadEpoch::accept_repeats);
    }

    /// Receives records of `epoch` from now on, besides those of the epochs before.
    ///
    /// # Errors
    /// [`Error::Provider`]; [`Error::NumbersExhausted`] if `epoch` is not beyond the newest: epochs do not come again
    /// (RFC 9147 §4.2.1).
    pub(crate) fn install_read(&mut self, epoch: Epoch, keys: &TrafficKeys) -> Result<(), Error> {
        if self.read.last().is_some_and(|newest| newest.epoch() >= epoch) {
            return Err(Error::NumbersExhausted);
        }
        let installed = ReadEpoch::new(epoch, keys)?;
        // "the most recent past epoch which has matching bits" (RFC 9147 §4.2.2): one before it is never asked again.
        self.read.retain(|older| !(older.form() == HeaderForm::Unified && same_bits(older.epoch(), epoch)));
        // Few records come under old keys, if any.
        self.read.iter_mut().for_each(ReadEpoch::rest);
        self.read.push(installed);
        Ok(())
    }

    /// Can send in `epoch` from now on, besides the epochs before.
    ///
    /// # Errors
    /// [`Error::Provider`]; [`Error::NumbersExhausted`] if `epoch` is not beyond the newest: numbers, and with them
    /// nonces, would come again.
    pub(crate) fn install_write(&mut self, epoch: Epoch, keys: &TrafficKeys) -> Result<(), Error> {
        if self.write.last().is_some_and(|newest| newest.epoch() >= epoch) {
            return Err(Error::NumbersExhausted);
        }
        let installed = WriteEpoch::new(epoch, keys)?;
        self.write.push(installed);
        Ok(())
    }

    /// Forgets the keys of receiving in epochs before `epoch`.
    pub(crate) fn drop_read_below(&mut self, epoch: Epoch) {
        self.read.retain(|older| older.epoch() >= epoch);
    }

    /// Forgets the keys of sending in epochs before `epoch`.
    pub(crate) fn drop_write_below(&mut self, epoch: Epoch) {
        self.write.retain(|older| older.epoch() >= epoch);
    }

    /// Keeps secrets, windows and counts, and gives back what the next record can have built again from the secrets.
    pub(crate) fn rest(&mut self) {
        self.read.iter_mut().for_each(ReadEpoch::rest);
        self.write.iter_mut().for_each(WriteEpoch::rest);
    }

    /// Gives back the room that past epochs had.
    pub(crate) fn give_back(&mut self) {
        self.read.shrink_to_fit();
        self.write.shrink_to_fit();
    }

    /// How many keys are ready for use.
    #[cfg(test)]
    pub(crate) fn contexts(&self) -> usize {
        let read = self.read.iter().filter(|epoch| epoch.is_ready()).count();
        read + self.write.iter().filter(|epoch| epoch.is_ready()).count()
    }

    /// Splits the first record off `datagram` and opens it in place; the rest stays there. Call it while the datagram is
    /// not empty: each call takes something.
    ///
    /// # Errors
    /// Only for what authenticated and breaks the protocol ([`Error::PeerMisbehaved`]), and
    /// [`Error::IntegrityLimitReached`].
    // In the one place that opens record after record, nothing of one is written to memory and read again.
    #[inline(always)]
    pub(crate) fn open<'d>(&mut self, datagram: &mut &'d mut [u8]) -> Result<Opened<'d>, Error> {
        let record = match split(datagram) {
            Ok(record) => record,
            Err(reason) => return Ok(Opened::Discarded(reason)),
        };
        let Some(at) = self.read.iter().rposition(|epoch| epoch.is_addressed(&record)) else {
            return Ok(self.without_keys(record));
        };
        let Some(epoch) = self.read.get_mut(at) else { return Ok(Opened::Discarded(Discard::UnknownEpoch)) };
        let opened = epoch.open(record, self.limits.receive.into());
        // "the previous keys can be dropped when the limit is reached rather than closing" (RFC 9147 §4.5.3).
        if matches!(opened, Err(Error::IntegrityLimitReached)) && at.saturating_add(1) < self.read.len() {
            self.read.remove(at);
            return Ok(Opened::Discarded(Discard::Undecryptable));
        }
        opened
    }

    /// A record of an epoch that is not installed.
    fn without_keys<'d>(&self, record: Framed<'d>) -> Opened<'d> {
        let raw = match record {
            Framed::Full { header, raw } if Epoch(header.epoch) == FIRST_FULL_EPOCH => raw,
            Framed::Unified { header, raw } if header.flags.matches(FIRST_UNIFIED_EPOCH.0) => raw,
            Framed::Full { .. } | Framed::Unified { .. } => return Opened::Discarded(Discard::UnknownEpoch),
        };
        match self.read.last() {
            Some(newest) if newest.epoch() == Epoch::PLAINTEXT => Opened::Early(raw),
            _ => Opened::Discarded(Discard::UnknownEpoch),
        }
    }

    /// Octets of a record of ours in front of its payload, or `None` without keys for sending in `epoch`.
    pub(crate) fn header_len(&self, epoch: Epoch) -> Option<usize> {
        self.writer(epoch).map(WriteEpoch::header_len)
    }

    /// Octets of a record of ours besides its payload, or `None` without keys for sending in `epoch`.
    pub(crate) fn overhead(&self, epoch: Epoch) -> Option<usize> {
        self.writer(epoch).map(overhead)
    }

    /// The keys installed so far wear out at these limits, unless their AEAD's own are lower.
    pub(crate) fn lower_limits(&mut self, limits: AeadLimits) {
        self.read.iter_mut().for_each(|epoch| epoch.lower_limit(limits));
        self.write.iter_mut().for_each(|epoch| epoch.lower_limit(limits));
    }

    /// Records have no more content than this from now on. To keep to it in plaintext too harms nobody.
    pub(crate) const fn limit_content(&mut self, limits: ContentLimits) {
        self.limits = limits;
    }

    /// Octets of content that a record of ours may have.
    pub(crate) fn max_content(&self) -> usize {
        self.limits.send.into()
    }

    /// How near the keys for sending in `epoch` are to the number of records that they may seal (RFC 9147 §4.5.3). They
    /// go on sealing beyond it: whoever drives the association decides.
    pub(crate) fn write_limit_state(&self, epoch: Epoch) -> LimitState {
        self.writer(epoch).map_or(LimitState::Below, WriteEpoch::limit_state)
    }

    /// How near the newest keys for receiving are to the number of forgeries that they bear (RFC 9147 §4.5.3).
    pub(crate) fn read_limit_state(&self) -> LimitState {
        self.read.last().map_or(LimitState::Below, ReadEpoch::limit_state)
    }

    /// Seals one record at the front of `out`. `fill` writes the payload into all the room there is and says how much it
    /// is, or `None` for nothing to send: then no number is used.
    ///
    /// # Errors
    /// [`Error::NumbersExhausted`]; [`Error::Provider`]; [`Error::ApiMisuse`] if `out` is smaller than the overhead,
    /// `fill` claims more than the room, or there are no keys for sending in `epoch`.
    pub(crate) fn seal(
        &mut self,
        epoch: Epoch,
        content_type: ContentType,
        out: &mut [u8],
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Option<Sealed>, Error> {
        let max = self.max_content();
        let writer = self.writer_mut(epoch)?;
        writer.check_numbers()?;
        let (needed, header_len) = (overhead(writer), writer.header_len());
        let room_len = out.len().checked_sub(needed).ok_or_else(|| too_small(needed))?.min(max);
        let room = out.get_mut(header_len..header_len.saturating_add(room_len)).ok_or_else(|| too_small(needed))?;
        let Some(payload_len) = fill(room) else { return Ok(None) };
        let len = needed.saturating_add(payload_len);
        let record = match payload_len <= room_len {
            true => out.get_mut(..len).ok_or_else(|| too_small(len))?,
            false => return Err(too_small(len)),
        };
        Ok(Some(Sealed { number: writer.seal(content_type, record)?, len }))
    }

    /// Seals the record whose payload stands in `buffer[payload]`, with room before and after it as
    /// [`header_len`](Self::header_len) and [`overhead`](Self::overhead) say; returns where in `buffer` the record is.
    ///
    /// # Errors
    /// [`Error::NumbersExhausted`]; [`Error::Provider`]; [`Error::ApiMisuse`] if there is too little room, too much
    /// payload, or no keys for sending in `epoch`.
    pub(crate) fn seal_in_place(
        &mut self,
        epoch: Epoch,
        content_type: ContentType,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Result<Range<usize>, Error> {
        let max = self.max_content();
        let writer = self.writer_mut(epoch)?;
        if payload.len() > max {
            return Err(ApiMisuse::PayloadTooLong { max }.into());
        }
        let needed = overhead(writer).saturating_add(payload.len());
        let start = payload.start.checked_sub(writer.header_len()).ok_or_else(|| too_small(needed))?;
        let end = start.saturating_add(needed);
        let record = buffer.get_mut(start..end).ok_or_else(|| too_small(needed))?;
        writer.seal(content_type, record)?;
        Ok(start..end)
    }

    fn writer(&self, epoch: Epoch) -> Option<&WriteEpoch> {
        self.write.iter().rfind(|writer| writer.epoch() == epoch)
    }

    fn writer_mut(&mut self, epoch: Epoch) -> Result<&mut WriteEpoch, Error> {
        let writer = self.write.iter_mut().rfind(|writer| writer.epoch() == epoch);
        writer.ok_or_else(|| ApiMisuse::HandshakeNotComplete.into())
    }
}

#[cfg(test)]
impl RecordLayer {
    /// The next record sent has this number.
    pub(crate) fn skip_to(&mut self, sequence: u64) {
        self.write.iter_mut().next_back().into_iter().for_each(|newest| newest.skip_to(sequence));
    }

    /// The next record received is expected to have this number.
    pub(crate) fn expect_sequence(&mut self, sequence: u64) {
        self.read.iter_mut().next_back().into_iter().for_each(|newest| newest.expect_sequence(sequence));
    }
}

fn overhead(writer: &WriteEpoch) -> usize {
    writer.header_len().saturating_add(writer.trailer_len())
}

/// Whether unified headers cannot tell the two apart.
const fn same_bits(one: Epoch, other: Epoch) -> bool {
    one.0 & 0b11 == other.0 & 0b11
}

const fn too_small(needed: usize) -> Error {
    Error::ApiMisuse(ApiMisuse::BufferTooSmall { needed })
}

/// Epochs that there are at a time in a handshake: of plaintext, of the handshake's keys, of data.
const EPOCHS: usize = 3;

/// The first epoch with keys where headers are full (RFC 6347 §4.1).
const FIRST_FULL_EPOCH: Epoch = Epoch(1);

/// The same where they are unified: epoch 1 is early data, which is not accepted (RFC 9147 §6.1).
const FIRST_UNIFIED_EPOCH: Epoch = Epoch(2);
