//! Floor 4: the peer's handshake messages, put together from fragments and handed on in order (RFC 6347 §4.2.2–4.2.3,
//! RFC 9147 §5.2, §5.5).
//!
//! Under keys, fragments that contradict each other are the peer's fault. In plaintext anyone can send them, so each
//! contradiction opens another *candidate* for the message, and what turns out to make sense is the message
//! (RFC 9147 §4.5.2). Memory is bounded and follows the octets received. Knows no key and no meaning of a message.

use super::assembly::Assembly;
use crate::error::{Discard, Error, PeerMisbehaved, PlaintextFault};
use crate::wire::{
    ack::Epoch,
    codec::Reader,
    enums::HandshakeType,
    handshake::{Fragment, Message},
};

/// Messages of the peer's that are not handled yet.
pub(crate) struct Incoming {
    limits: Limits,
    /// The epoch whose messages are handed on.
    epoch: Epoch,
    /// The message_seq to be handed on next; one beyond the last possible when that one was handled.
    next: u32,
    candidates: Vec<Candidate>,
    /// The time of this little world: grows with every candidate extended.
    stamp: u64,
}

/// How much a peer can make us keep. One message of `max_message` octets always finds room when its turn comes;
/// everything else (later messages, further candidates) shares `max_buffered` octets. A message that is still in
/// fragments takes about twice its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IncomingLimits {
    /// Octets of the longest message's body.
    pub(crate) max_message: usize,
    /// Octets of memory.
    pub(crate) max_buffered: usize,
}

/// The same in half the memory: associations keep them for life.
struct Limits {
    max_message: u32,
    max_buffered: u32,
}

impl From<IncomingLimits> for Limits {
    fn from(limits: IncomingLimits) -> Self {
        let [max_message, max_buffered] =
            [limits.max_message, limits.max_buffered].map(|octets| u32::try_from(octets).unwrap_or(u32::MAX));
        Self { max_message, max_buffered }
    }
}

impl Limits {
    fn max_message(&self) -> usize {
        usize::try_from(self.max_message).unwrap_or(usize::MAX)
    }

    fn max_buffered(&self) -> usize {
        usize::try_from(self.max_buffered).unwrap_or(usize::MAX)
    }
}

/// How sure it is that a record is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Anyone may have sent it: what is wrong with it is reported, and not an error.
    Plaintext,
    /// It is the peer's, because it authenticated or because the application vouches for the path.
    Protected,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) progress: Progress,
    pub(crate) repeated: Repeated,
    /// Why part of the record was not kept, or is in doubt. Such a record must not be acknowledged (RFC 9147 §7).
    pub(crate) discarded: Option<Discard>,
    /// What would have been fatal had it come under keys.
    pub(crate) fault: Option<PlaintextFault>,
}

/// Whether a record brought something that was not there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing new.
    Nothing,
    /// Octets of a message that is not handled yet.
    Octets,
}

/// Whether a record brought something that was handled before: the peer sends a flight again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Repeated {
    /// It did not.
    Nothing,
    /// A later part of the message handled last.
    RestOfLastMessage,
    /// Some older message.
    Old,
    /// The first fragment of the message handled last. If that ended the peer's last flight, our own last flight, or
    /// the ACK, was lost (RFC 6347 §4.2.4, RFC 9147 §5.8.1).
    LastMessage,
}

impl Incoming {
    /// Expects message 0 in plaintext.
    pub(crate) fn new(limits: IncomingLimits) -> Self {
        Self { limits: limits.into(), epoch: Epoch::PLAINTEXT, next: 0, candidates: Vec::new(), stamp: 0 }
    }

    /// Expects `message_seq` next: a server begins with the number of the ClientHello that carried its cookie
    /// (RFC 6347 §4.2.2). Whatever was received before is forgotten.
    pub(crate) fn start_at(&mut self, message_seq: u16) {
        self.next = u32::from(message_seq);
        self.candidates = Vec::new();
    }

    /// The epoch whose messages are handed on.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The message_seq expected next; `None` after the last one: every further message is an old one.
    #[cfg(test)]
    pub(crate) fn next_message_seq(&self) -> Option<u16> {
        u16::try_from(self.next).ok()
    }

    /// Takes the payload of one handshake record: fragments, one after the other.
    ///
    /// # Errors
    /// Only with [`Trust::Protected`]: a fragment that is cut off or not within its message, that contradicts earlier
    /// ones, announces a message longer than allowed, or comes under keys that were replaced since.
    pub(crate) fn receive(&mut self, epoch: Epoch, trust: Trust, payload: &[u8]) -> Result<Received, Error> {
        let mut received = Received::NOTHING;
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            match (Fragment::read(&mut reader), trust) {
                (Ok(fragment), _) => self.receive_fragment(epoch, trust, &fragment, &mut received)?,
                (Err(malformed), Trust::Protected) => return Err(Error::Malformed(malformed)),
                (Err(malformed), Trust::Plaintext) => {
                    // Where the next fragment would begin is unknown.
                    received.refuse(Discard::MalformedPlaintext, Some(PlaintextFault::Malformed(malformed)));
                    break;
                }
            }
        }
        Ok(received)
    }

    /// The next message, if it is complete. In plaintext it may be the wrong candidate: see [`Self::reject`].
    pub(crate) fn next(&self) -> Option<Message<'_>> {
        let candidate = self.candidates.get(self.complete_index()?)?;
        let Candidate { msg_type, message_seq, .. } = *candidate;
        Some(Message { msg_type, message_seq, body: candidate.body.complete()? })
    }

    /// The message that [`Self::next`] gave was handled: it and all its candidates are forgotten.
    pub(crate) fn consume(&mut self) {
        let next = self.next;
        self.forget(|candidate| u32::from(candidate.message_seq) == next);
        // 0x10000 says that there is no further number (draft-ietf-tls-rfc9147bis §5.2: "MUST NOT wrap").
        self.next = next.saturating_add(1).min(END_OF_NUMBERS);
    }

    /// The message that [`Self::next`] gave is not the peer's: another candidate may be.
    pub(crate) fn reject(&mut self) {
        if let Some(index) = self.complete_index() {
            self.candidates.remove(index);
            self.release();
        }
    }

    /// The keys for reading handshake messages changed, after the message that changed them was consumed.
    ///
    /// # Errors
    /// [`PeerMisbehaved::ExcessHandshakeData`] if messages, or parts of them, of an older epoch are left: "Handshake
    /// messages MUST NOT span key changes" (RFC 8446 §5.1). Left-overs that anyone may have sent are dropped.
    pub(crate) fn advance_epoch(&mut self, epoch: Epoch) -> Result<(), Error> {
        let left = |candidate: &Candidate| candidate.epoch < epoch;
        if self.candidates.iter().any(|candidate| left(candidate) && candidate.trust == Trust::Protected) {
            return Err(Error::PeerMisbehaved(PeerMisbehaved::ExcessHandshakeData));
        }
        self.forget(left);
        self.epoch = self.epoch.max(epoch);
        Ok(())
    }

    fn receive_fragment(
        &mut self,
        epoch: Epoch,
        trust: Trust,
        fragment: &Fragment<'_>,
        received: &mut Received,
    ) -> Result<(), Error> {
        let message_seq = u32::from(fragment.header.message_seq);
        let Some(ahead) = message_seq.checked_sub(self.next) else {
            let repeated = match (message_seq.saturating_add(1) == self.next, fragment.header.fragment_offset) {
                (true, 0) => Repeated::LastMessage,
                (true, _) => Repeated::RestOfLastMessage,
                (false, _) => Repeated::Old,
            };
            received.repeated = received.repeated.max(repeated);
            return Ok(());
        };
        // New messages come under the newest keys only.
        if epoch < self.epoch {
            return received.blame(trust, PeerMisbehaved::ExcessHandshakeData, Discard::PlaintextAfterProtected);
        }
        if ahead >= WINDOW {
            received.refuse(Discard::BeyondWindow, None);
            return Ok(());
        }
        if fragment.header.length > self.limits.max_message() {
            return received.blame(trust, PeerMisbehaved::MessageTooLong, Discard::MalformedPlaintext);
        }
        match trust {
            Trust::Protected => self.receive_protected(epoch, fragment, received),
            Trust::Plaintext => {
                self.receive_plaintext(epoch, fragment, received);
                Ok(())
            }
        }
    }

    /// One candidate; a contradiction is an error (RFC 9147 §5.5: "SHOULD abort the handshake with an
    /// "illegal_parameter" alert if the value of a byte changes").
    fn receive_protected(
        &mut self,
        epoch: Epoch,
        fragment: &Fragment<'_>,
        received: &mut Received,
    ) -> Result<(), Error> {
        let message_seq = fragment.header.message_seq;
        // What the peer says under keys outweighs what anyone may have said.
        self.forget(|candidate| candidate.message_seq == message_seq && candidate.trust == Trust::Plaintext);
        match self.candidates.iter().find(|candidate| candidate.message_seq == message_seq) {
            Some(candidate) if !candidate.agrees(epoch, fragment) => {
                Err(Error::PeerMisbehaved(PeerMisbehaved::FragmentMismatch))
            }
            Some(candidate) => {
                let stamp = candidate.stamp;
                let fresh = self.next_stamp();
                self.extend(stamp, fresh, fragment, received);
                Ok(())
            }
            None => {
                self.open_candidate(epoch, Trust::Protected, fragment, received);
                Ok(())
            }
        }
    }

    /// The fragment goes to every candidate that it does not contradict, or opens another.
    fn receive_plaintext(&mut self, epoch: Epoch, fragment: &Fragment<'_>, received: &mut Received) {
        let message_seq = fragment.header.message_seq;
        let same = |candidate: &&Candidate| candidate.message_seq == message_seq;
        if self.candidates.iter().filter(same).any(|candidate| candidate.trust == Trust::Protected) {
            received.refuse(Discard::PlaintextAfterProtected, None);
            return;
        }
        let known = self.candidates.iter().any(|candidate| same(&candidate));
        let mut agreeing =
            self.candidates.iter().filter(same).filter(|c| c.agrees(epoch, fragment)).map(|candidate| candidate.stamp);
        let stamps: [Option<u64>; MAX_CANDIDATES] = std::array::from_fn(|_| agreeing.next());
        if stamps.iter().all(Option::is_none) {
            if known {
                let fault = PlaintextFault::Misbehaved(PeerMisbehaved::FragmentMismatch);
                received.refuse(Discard::MalformedPlaintext, Some(fault));
            }
            self.open_candidate(epoch, Trust::Plaintext, fragment, received);
        }
        // Of those that grow alike the one that was there first is the one to keep. A forger who contradicts each genuine
        // fragment after it has come would otherwise have the genuine message dropped for its own.
        let fresh: [u64; MAX_CANDIDATES] = std::array::from_fn(|_| self.next_stamp());
        for (stamp, fresh) in stamps.into_iter().zip(fresh.into_iter().rev()) {
            if let Some(stamp) = stamp {
                self.extend(stamp, fresh, fragment, received);
            }
        }
    }

    /// Adds a fragment to the candidate with this stamp, which gets a fresh one, if there is room.
    fn extend(&mut self, stamp: u64, fresh: u64, fragment: &Fragment<'_>, received: &mut Received) {
        let offset = fragment.header.fragment_offset;
        let Some(candidate) = self.candidates.iter().find(|candidate| candidate.stamp == stamp) else { return };
        let growth = candidate.body.growth(offset, fragment.body);
        if !self.make_room(Room { of: stamp, before: fresh }, fragment.header.message_seq, growth) {
            received.refuse(Discard::BeyondWindow, None);
            return;
        }
        let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.stamp == stamp) else { return };
        if candidate.body.insert(offset, fragment.body) > 0 {
            candidate.stamp = fresh;
            received.progress = Progress::Octets;
        }
    }

    /// Begins a candidate with a fragment, if there is room.
    fn open_candidate(&mut self, epoch: Epoch, trust: Trust, fragment: &Fragment<'_>, received: &mut Received) {
        let header = fragment.header;
        // An empty fragment of a message that is not empty says nothing worth keeping.
        if fragment.body.is_empty() && header.length > 0 {
            return;
        }
        let of_message = self.candidates.iter().filter(|candidate| candidate.message_seq == header.message_seq);
        if of_message.count() >= MAX_CANDIDATES {
            self.evict(header.message_seq, Room { of: u64::MAX, before: u64::MAX });
        }
        let mut body = Assembly::new(header.length);
        let stamp = self.next_stamp();
        let growth = body.growth(header.fragment_offset, fragment.body).saturating_add(CANDIDATE_COST);
        if !self.make_room(Room { of: stamp, before: stamp }, header.message_seq, growth) {
            received.refuse(Discard::BeyondWindow, None);
            return;
        }
        body.insert(header.fragment_offset, fragment.body);
        let (msg_type, message_seq) = (header.msg_type, header.message_seq);
        self.candidates.push(Candidate { message_seq, epoch, trust, msg_type, body, stamp });
        received.progress = Progress::Octets;
    }

    /// Whether a candidate may take `growth` more octets of memory. Other candidates of the message expected next make way
    /// for it, and alone it is always allowed: messages that wait for it must not keep it from coming, or nothing would ever
    /// be freed.
    fn make_room(&mut self, room: Room, message_seq: u16, growth: usize) -> bool {
        let expected = u32::from(message_seq) == self.next;
        while growth > 0 && self.buffered().saturating_add(growth) > self.limits.max_buffered() {
            if !expected {
                return false;
            }
            if !self.evict(message_seq, room) {
                let mut others = self.candidates.iter().filter(|candidate| candidate.message_seq == message_seq);
                return others.all(|candidate| candidate.stamp == room.of);
            }
        }
        true
    }

    /// Drops the least recently extended candidate of a message, if one may be.
    fn evict(&mut self, message_seq: u16, room: Room) -> bool {
        let of_message = self.candidates.iter().filter(|candidate| candidate.message_seq == message_seq);
        let may_go = |stamp: &u64| *stamp != room.of && *stamp < room.before;
        let oldest = of_message.map(|candidate| candidate.stamp).filter(may_go).min();
        self.candidates.retain(|candidate| Some(candidate.stamp) != oldest);
        oldest.is_some()
    }

    /// Octets of memory held.
    pub(crate) fn buffered(&self) -> usize {
        self.candidates.iter().fold(0, |sum, c| sum.saturating_add(c.body.cost()).saturating_add(CANDIDATE_COST))
    }

    fn complete_index(&self) -> Option<usize> {
        self.candidates.iter().position(|candidate| {
            u32::from(candidate.message_seq) == self.next
                && candidate.epoch == self.epoch
                && candidate.body.complete().is_some()
        })
    }

    fn forget(&mut self, forgotten: impl Fn(&Candidate) -> bool) {
        self.candidates.retain(|candidate| !forgotten(candidate));
        self.release();
    }

    /// Nothing is kept for nothing: most of a connection's life no message is on its way.
    fn release(&mut self) {
        if self.candidates.is_empty() {
            self.candidates = Vec::new();
        }
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp = self.stamp.wrapping_add(1);
        self.stamp
    }
}

impl Received {
    const NOTHING: Self =
        Self { progress: Progress::Nothing, repeated: Repeated::Nothing, discarded: None, fault: None };

    /// Whether the record may be acknowledged (RFC 9147 §7).
    #[cfg(test)]
    pub(crate) fn may_be_acknowledged(&self) -> bool {
        self.discarded.is_none()
    }

    fn refuse(&mut self, discard: Discard, fault: Option<PlaintextFault>) {
        self.discarded = Some(discard);
        self.fault = fault.or(self.fault);
    }

    /// An error if it is certain whose fault it is, else something to be remembered.
    fn blame(&mut self, trust: Trust, fault: PeerMisbehaved, discard: Discard) -> Result<(), Error> {
        match trust {
            Trust::Protected => Err(Error::PeerMisbehaved(fault)),
            Trust::Plaintext => {
                self.refuse(discard, Some(PlaintextFault::Misbehaved(fault)));
                Ok(())
            }
        }
    }
}

/// For whom others make way.
#[derive(Clone, Copy)]
struct Room {
    /// The candidate with this stamp, which stays.
    of: u64,
    /// Those with older stamps than it will have.
    before: u64,
}

/// What may be a message: fragments that do not contradict each other.
struct Candidate {
    message_seq: u16,
    /// All fragments of a message come under the same keys (RFC 8446 §5.1).
    epoch: Epoch,
    trust: Trust,
    msg_type: HandshakeType,
    body: Assembly,
    /// When it was last extended; no two candidates have the same.
    stamp: u64,
}

impl Candidate {
    fn agrees(&self, epoch: Epoch, fragment: &Fragment<'_>) -> bool {
        self.epoch == epoch
            && self.msg_type == fragment.header.msg_type
            && self.body.length() == fragment.header.length
            && self.body.agrees(fragment.header.fragment_offset, fragment.body)
    }
}

/// Messages that are kept: the next expected and six after it. No flight of the handshake has more messages, and what
/// lies beyond is sent again.
const WINDOW: u32 = 7;

/// Candidates of one message: a forger who can send more contradictions than these between two genuine fragments
/// delays the handshake until the peer sends again.
const MAX_CANDIDATES: usize = 4;

/// Octets of memory a candidate takes beside its body.
const CANDIDATE_COST: usize = size_of::<Candidate>();

/// One beyond the last message_seq.
const END_OF_NUMBERS: u32 = 1 << 16;

#[cfg(test)]
mod tests;
