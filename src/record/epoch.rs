//! One epoch in one direction: its protection, its numbers, its limits (RFC 6347 §4.1, RFC 9147 §4.2). Knows no other
//! epoch and no version.

use super::limits::{Forgeries, LimitState, SealLimit};
use super::number::SequenceCounter;
use super::protection::{Failure, PlaintextVersion, Protection, Unprotected};
use super::replay::{Novelty, ReplayWindow};
use super::split::{Framed, HeaderForm};
use super::{Opened, Record};
use crate::crypto::suites::{AeadLimits, TrafficKeys};
use crate::error::{Discard, Error};
use crate::wire::{
    ack::{Epoch, RecordNumber},
    enums::ContentType,
};

/// An epoch to receive in.
pub(super) struct ReadEpoch {
    epoch: Epoch,
    protection: Protection,
    window: ReplayWindow,
    repeats: Repeats,
    forgeries: Forgeries,
}

/// Whether a record whose number was seen before, or may have been, is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    Refused,
    Accepted,
}

/// An epoch to send in.
pub(super) struct WriteEpoch {
    epoch: Epoch,
    protection: Protection,
    counter: SequenceCounter,
    limit: SealLimit,
}

impl ReadEpoch {
    pub(super) fn plaintext() -> Self {
        Self::with(Epoch::PLAINTEXT, Protection::Plaintext(PlaintextVersion::Usual))
    }

    pub(super) fn new(epoch: Epoch, keys: &TrafficKeys) -> Result<Self, Error> {
        Ok(Self::with(epoch, Protection::new(keys)?))
    }

    fn with(epoch: Epoch, protection: Protection) -> Self {
        let forgeries = Forgeries::new(protection.limits());
        Self { epoch, protection, window: ReplayWindow::default(), repeats: Repeats::Refused, forgeries }
    }

    /// Opens records from now on whatever their number.
    pub(super) fn accept_repeats(&mut self) {
        self.repeats = Repeats::Accepted;
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) const fn form(&self) -> HeaderForm {
        self.protection.form()
    }

    /// Keeps secrets, window and counts, and gives back what can be built again.
    pub(super) fn rest(&mut self) {
        self.protection.rest();
    }

    /// Bears no more forgeries than these limits say.
    pub(super) fn lower_limit(&mut self, limits: AeadLimits) {
        self.forgeries.lower(limits);
    }

    /// How near the keys are to the number of forgeries that they bear.
    #[inline]
    pub(super) fn limit_state(&self) -> LimitState {
        self.forgeries.state()
    }

    /// Whether a record is addressed to this epoch. A unified header says only its two low bits.
    #[inline]
    pub(super) fn is_addressed(&self, record: &Framed<'_>) -> bool {
        match record {
            Framed::Full { header, .. } => self.form() == HeaderForm::Full && Epoch(header.epoch) == self.epoch,
            Framed::Unified { header, .. } => self.form() == HeaderForm::Unified && header.flags.matches(self.epoch.0),
        }
    }

    /// Opens a record that is addressed to this epoch, in place. Under keys it may hold `max` octets.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`] for what authenticated and is wrong; [`Error::IntegrityLimitReached`].
    #[inline(always)]
    pub(super) fn open<'d>(&mut self, record: Framed<'d>, max: usize) -> Result<Opened<'d>, Error> {
        let opened = match record {
            Framed::Full { header, raw } => match self.novelty(header.sequence_number) {
                // The number is in the clear: nothing is given away by looking at it first (RFC 6347 §4.1.2.6).
                Ok(_) => self.protection.open_full(&header, max, raw),
                Err(reason) => return Ok(Opened::Discarded(reason)),
            },
            Framed::Unified { header, raw } => self.protection.open_unified(header, self.window.expected(), max, raw),
        };
        match opened {
            Ok(unprotected) => Ok(self.receive(unprotected)),
            Err(Failure::Discarded(reason)) => Ok(Opened::Discarded(reason)),
            Err(Failure::Misbehaved(misbehaved)) => Err(misbehaved.into()),
            Err(Failure::Unready) => Err(Error::Provider),
            Err(Failure::Forged) => {
                self.forgeries.count()?;
                Ok(Opened::Discarded(Discard::Undecryptable))
            }
        }
    }

    /// Only here does the window move: the record is the peer's (RFC 9147 §4.5.1).
    #[inline]
    fn receive<'d>(&mut self, unprotected: Unprotected<'d>) -> Opened<'d> {
        let Unprotected { content_type, sequence, payload } = unprotected;
        // A masked number is looked at only now, lest the time taken betray it (RFC 9147 §4.5.1).
        let novelty = match self.novelty(sequence) {
            Ok(novelty) => novelty,
            Err(reason) => return Opened::Discarded(reason),
        };
        self.window.accept(sequence);
        let number = RecordNumber::new(self.epoch, sequence);
        Opened::Record(Record { content_type, number, epoch: self.epoch, novelty, payload })
    }

    #[inline]
    fn novelty(&self, sequence: u64) -> Result<Novelty, Discard> {
        match self.window.check(sequence) {
            Novelty::New => Ok(Novelty::New),
            novelty if self.repeats == Repeats::Accepted => Ok(novelty),
            Novelty::Replayed => Err(Discard::Replayed),
            // Anyone can send a plaintext record of a high number; it must not shut out the peer's.
            Novelty::TooOld if self.epoch == Epoch::PLAINTEXT => Ok(Novelty::TooOld),
            Novelty::TooOld => Err(Discard::TooOld),
        }
    }
}

impl WriteEpoch {
    /// Epoch 0, with `sequence` as the first number.
    pub(super) fn plaintext(sequence: u64) -> Self {
        Self::with(
            Epoch::PLAINTEXT,
            Protection::Plaintext(PlaintextVersion::Usual),
            SequenceCounter::starting_at(sequence),
        )
    }

    pub(super) fn new(epoch: Epoch, keys: &TrafficKeys) -> Result<Self, Error> {
        Ok(Self::with(epoch, Protection::new(keys)?, SequenceCounter::default()))
    }

    /// Has no effect on protected records.
    pub(super) fn set_plaintext_version(&mut self, version: PlaintextVersion) {
        if let Protection::Plaintext(current) = &mut self.protection {
            *current = version;
        }
    }

    fn with(epoch: Epoch, protection: Protection, counter: SequenceCounter) -> Self {
        let limit = SealLimit::new(protection.limits());
        Self { epoch, protection, counter, limit }
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Octets of a record in front of its payload.
    #[inline]
    pub(super) fn header_len(&self) -> usize {
        self.protection.header_len()
    }

    /// Octets of a record behind its payload.
    #[inline]
    pub(super) const fn trailer_len(&self) -> usize {
        self.protection.trailer_len()
    }

    /// Keeps secrets and counts, and gives back what can be built again.
    pub(super) fn rest(&mut self) {
        self.protection.rest();
    }

    /// Has sealed enough when these limits say so.
    pub(super) fn lower_limit(&mut self, limits: AeadLimits) {
        self.limit.lower(limits);
    }

    /// How near the keys are to the number of records that they may seal.
    #[inline]
    pub(super) fn limit_state(&self) -> LimitState {
        self.limit.state(&self.counter)
    }

    /// Fails if the numbers of this epoch are used up.
    #[inline]
    pub(super) fn check_numbers(&self) -> Result<(), Error> {
        self.counter.peek().map(|_| ())
    }

    /// Makes `record` a record: its payload stands there already, between room for header and trailer.
    #[inline]
    pub(super) fn seal(&mut self, content_type: ContentType, record: &mut [u8]) -> Result<RecordNumber, Error> {
        // Used even if sealing fails: a number is a nonce.
        let sequence = self.counter.take()?;
        self.protection.seal(self.epoch, sequence, content_type, record)?;
        Ok(RecordNumber::new(self.epoch, sequence))
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sequence: u64) {
        self.counter = SequenceCounter::starting_at(sequence);
    }
}

#[cfg(test)]
impl WriteEpoch {
    pub(super) fn is_ready(&self) -> bool {
        self.protection.is_ready()
    }
}

#[cfg(test)]
impl ReadEpoch {
    pub(super) fn is_ready(&self) -> bool {
        self.protection.is_ready()
    }

    pub(super) fn expected_sequence(&self) -> u64 {
        self.window.expected()
    }

    pub(super) fn expect_sequence(&mut self, sequence: u64) {
        self.window = ReplayWindow::default();
        if let Some(before) = sequence.checked_sub(1) {
            self.window.accept(before);
        }
    }
}
