//! Where the fragments of ClientHellos wait for each other before their sender has shown a cookie.
//!
//! A ClientHello with a post-quantum key share takes two datagrams or more, and who sent them is not known until it is whole.
//! The memory for all of them is allocated once and never grows. A new one that finds no room takes that of another, drawn
//! at random: whoever floods the pool with forged first fragments cannot tell whose place he takes, and an honest client,
//! who sends its fragments close together and again after a second, mostly finds its own still there. While there is room
//! they wait for the next sending, whenever that comes: a path may well lose some part of each.
//!
//! Fragments that contradict each other are kept apart as *candidates*, so a forger who knows the client's address spoils
//! nothing by speaking first (RFC 9147 §4.5.2).

use super::Source;
use super::framing::HelloFragment;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Octets of the longest ClientHello that may come in fragments.
pub(super) const SLOT_LEN: usize = 4096;

/// How long a fragment waits for the others: twice the longest timeout between two sendings of a ClientHello (RFC 6347
/// §4.2.4.1, RFC 9147 §5.8.2), and what a path takes, so that what two of them have lost the third may bring.
const LIFE: Duration = Duration::from_secs(2 * 60 + 10);

/// How long it does so whether others need the place or not: the first two sendings, a second apart. Later it makes way for
/// any other that finds none, so that whoever sends a flood of them comes no further than he would without.
const CLAIM: Duration = Duration::from_secs(2);

/// Candidates of one source, all its messages taken together.
const MAX_PER_SOURCE: usize = 4;

/// The pool. The number of its slots never changes.
pub(super) struct FragmentPool {
    slots: Vec<Slot>,
    chance: Chance,
}

/// Room for one candidate.
struct Slot {
    body: Box<[u8]>,
    /// One bit an octet.
    present: Box<[u64]>,
    occupant: Occupant,
}

#[derive(Clone, Copy)]
enum Occupant {
    Nobody,
    Candidate(Candidate),
}

/// A ClientHello of which part has come.
#[derive(Clone, Copy)]
struct Candidate {
    key: Key,
    /// The highest record number of its fragments: an answer carries that.
    record: u64,
    /// Octets received for it; those that repeat others do not count.
    received: usize,
    /// Octets of the body that are there.
    filled: usize,
    since: Instant,
}

impl Candidate {
    fn is_younger_than(&self, age: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < age
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    length: usize,
    message_seq: u16,
    source: Source,
}

/// What became of a fragment; of several candidates the one that it did most for counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Added {
    /// It is of no use, or there is no room that it may take.
    Refused,
    /// It brought nothing new.
    Repeated,
    /// It waits for others.
    Kept,
    /// With it a ClientHello is whole: [`FragmentPool::lend`] gives it.
    Whole,
}

/// A ClientHello put together of fragments, out of the pool for as long as it is looked at.
pub(super) struct WholeHello {
    /// The slot's own memory, of which only so much is the ClientHello.
    pub(super) body: Box<[u8]>,
    pub(super) length: usize,
    /// The highest record number of its fragments.
    pub(super) record: u64,
    /// Octets received for it.
    pub(super) received: usize,
    slot: usize,
}

impl FragmentPool {
    /// A pool of `slots` places, which draws lots by `seed`.
    pub(super) fn new(slots: usize, seed: [u8; 32]) -> Self {
        let slot = || Slot {
            body: vec![0; SLOT_LEN].into(),
            present: vec![0; SLOT_LEN.div_ceil(BITS)].into(),
            occupant: Occupant::Nobody,
        };
        Self { slots: std::iter::repeat_with(slot).take(slots).collect(), chance: Chance::new(seed) }
    }

    /// Keeps a fragment with those candidates that it does not contradict.
    pub(super) fn add(&mut self, now: Instant, source: Source, part: &HelloFragment<'_>) -> Added {
        let header = &part.fragment.header;
        let end = header.fragment_offset.saturating_add(part.fragment.body.len());
        if header.length > SLOT_LEN || end > header.length || part.fragment.body.is_empty() {
            return Added::Refused;
        }
        let key = Key { source, message_seq: header.message_seq, length: header.length };
        let mut added = Added::Refused;
        for slot in self.slots.iter_mut().filter(|slot| slot.holds(&key, now)) {
            added = added.max(slot.extend(part));
        }
        if added != Added::Refused {
            return added;
        }
        match self.find_room(&key, now) {
            Some(slot) => slot.open(key, part, now),
            None => Added::Refused,
        }
    }

    /// A whole ClientHello of that source and number, which leaves the pool; the memory is to be given back.
    pub(super) fn lend(&mut self, now: Instant, source: Source, message_seq: u16) -> Option<WholeHello> {
        let (index, slot) = self.slots.iter_mut().enumerate().find(|(_, slot)| {
            slot.candidate(now).is_some_and(|candidate| {
                let Key { source: from, message_seq: number, length } = candidate.key;
                candidate.filled == length && from == source && number == message_seq
            })
        })?;
        let candidate = *slot.candidate(now)?;
        slot.occupant = Occupant::Nobody;
        let Candidate { key: Key { length, .. }, record, received, .. } = candidate;
        Some(WholeHello { body: std::mem::take(&mut slot.body), length, record, received, slot: index })
    }

    /// The memory of what was lent.
    pub(super) fn give_back(&mut self, whole: WholeHello) {
        if let Some(slot) = self.slots.get_mut(whole.slot) {
            slot.body = whole.body;
        }
    }

    /// The ClientHello began an association or belongs to one: what is left of it, and of earlier ones of that source, is
    /// of no use.
    pub(super) fn forget(&mut self, source: Source, message_seq: u16) {
        self.clear(|candidate| candidate.key.source == source && candidate.key.message_seq <= message_seq);
    }

    /// The ClientHello was answered, which anyone can bring about who writes that source's address: others that are whole
    /// were too late, and those that are not go on waiting.
    pub(super) fn forget_whole(&mut self, source: Source) {
        self.clear(|candidate| candidate.key.source == source && candidate.filled == candidate.key.length);
    }

    fn clear(&mut self, of_no_use: impl Fn(&Candidate) -> bool) {
        for slot in &mut self.slots {
            if matches!(&slot.occupant, Occupant::Candidate(candidate) if of_no_use(candidate)) {
                slot.occupant = Occupant::Nobody;
            }
        }
    }

    /// How many slots are taken.
    #[cfg(test)]
    fn taken(&self, now: Instant) -> usize {
        self.slots.iter().filter(|slot| slot.candidate(now).is_some()).count()
    }

    /// A slot for a new candidate: a free one, or one that is taken from another, from one that has waited for long if there
    /// is any. A source has a few at most that have not. A fragment of
    /// an earlier message, which may come late, does not take the place of a later one's, unless these have all the
    /// places of the source: no client sends so many, but a forger who would shut it out may.
    fn find_room(&mut self, key: &Key, now: Instant) -> Option<&mut Slot> {
        let (mut own, mut free) = (0_usize, None);
        for (index, slot) in self.slots.iter().enumerate() {
            match slot.candidate(now) {
                Some(candidate) if candidate.key.source == key.source && candidate.is_younger_than(CLAIM, now) => {
                    own = own.saturating_add(1);
                }
                Some(_) => {}
                None => free = Some(index),
            }
        }
        let crowded = own >= MAX_PER_SOURCE;
        let may = |candidate: &Candidate| {
            let same = candidate.key.source == key.source;
            let later = same && candidate.key.message_seq > key.message_seq;
            !later && (same || !crowded)
        };
        let mut index = free.filter(|_| !crowded);
        if index.is_none() {
            index = self.draw(|candidate| may(candidate) && !candidate.is_younger_than(CLAIM, now));
        }
        if index.is_none() {
            index = self.draw(may);
        }
        if index.is_none() && crowded {
            index = self.draw(|candidate| candidate.key.source == key.source);
        }
        self.slots.get_mut(index?)
    }

    /// A slot drawn at random among those that may be taken, each as likely as the others: whoever knows which it will be
    /// can have the same client lose its place every time.
    fn draw(&mut self, may: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let takable = |slot: &Slot| matches!(&slot.occupant, Occupant::Candidate(candidate) if may(candidate));
        let lot = self.chance.below(self.slots.iter().filter(|slot| takable(slot)).count())?;
        let mut slots = self.slots.iter().enumerate().filter(|(_, slot)| takable(slot));
        slots.nth(lot).map(|(index, _)| index)
    }
}

impl Slot {
    fn candidate(&self, now: Instant) -> Option<&Candidate> {
        match &self.occupant {
            Occupant::Candidate(candidate) if candidate.is_younger_than(LIFE, now) => Some(candidate),
            Occupant::Candidate(_) | Occupant::Nobody => None,
        }
    }

    fn holds(&self, key: &Key, now: Instant) -> bool {
        self.candidate(now).is_some_and(|candidate| candidate.key == *key)
    }

    fn open(&mut self, key: Key, part: &HelloFragment<'_>, now: Instant) -> Added {
        self.present.fill(0);
        self.occupant = Occupant::Candidate(Candidate { key, record: part.record, received: 0, filled: 0, since: now });
        self.extend(part)
    }

    /// Adds a fragment. One that contradicts what is there is refused.
    fn extend(&mut self, part: &HelloFragment<'_>) -> Added {
        let Self { body, present, occupant: Occupant::Candidate(candidate) } = self else { return Added::Refused };
        let start = part.fragment.header.fragment_offset;
        let range = start..start.saturating_add(part.fragment.body.len());
        let Some(target) = body.get_mut(range.clone()) else { return Added::Refused };
        let bits = || range.clone().map(|octet| (octet / BITS, 1_u64 << (octet % BITS)));
        let is_there = |present: &[u64], (word, bit): (usize, u64)| present.get(word).is_some_and(|w| w & bit != 0);
        let contradicts = bits()
            .zip(target.iter().zip(part.fragment.body))
            .any(|(place, (ours, theirs))| ours != theirs && is_there(present, place));
        if contradicts {
            return Added::Refused;
        }
        target.copy_from_slice(part.fragment.body);
        let mut new = 0_usize;
        for (word, bit) in bits() {
            if let Some(word) = present.get_mut(word).filter(|word| **word & bit == 0) {
                *word |= bit;
                new = new.saturating_add(1);
            }
        }
        if new == 0 {
            return Added::Repeated;
        }
        candidate.filled = candidate.filled.saturating_add(new);
        candidate.received = candidate.received.saturating_add(part.received);
        candidate.record = candidate.record.max(part.record);
        if candidate.filled == candidate.key.length { Added::Whole } else { Added::Kept }
    }
}

/// Octets that one word of [`Slot::present`] tells of.
const BITS: usize = 64;

/// Lots that nobody can foretell: SHA-256 over a secret seed and a counter.
struct Chance {
    seed: [u8; 32],
    drawn: u64,
    lots: [u8; 32],
    left: Range<usize>,
}

impl Chance {
    fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0, lots: [0; 32], left: 0..0 }
    }

    /// A number below `count`; `None` if there is none.
    fn below(&mut self, count: usize) -> Option<usize> {
        let lot = u64::from(u32::from_be_bytes([self.octet(), self.octet(), self.octet(), self.octet()]));
        usize::try_from(lot.checked_rem(u64::try_from(count).ok()?)?).ok()
    }

    fn octet(&mut self) -> u8 {
        if self.left.is_empty() {
            self.drawn = self.drawn.wrapping_add(1);
            self.lots = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_be_bytes()).finalize().into();
            self.left = 0..self.lots.len();
        }
        self.left.next().and_then(|index| self.lots.get(index)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
