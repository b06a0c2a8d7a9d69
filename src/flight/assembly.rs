//! Floor 4: the body of one incoming message while its octets arrive (RFC 6347 §4.2.3, RFC 9147 §5.5).
//!
//! The peer chooses where it cuts and in which order it sends, so neither may cost more than the octets are worth:
//! octets go into blocks that are allocated when first touched. Work is linear in the octets received whatever their
//! order, and memory follows what was received, never the announced length.

use std::collections::BTreeMap;

/// A message's body, complete or not.
pub(super) enum Assembly {
    /// Octets are missing.
    Partial(Partial),
    /// Every octet is there, in one piece.
    Complete(Vec<u8>),
}

/// A body with holes.
pub(super) struct Partial {
    length: usize,
    missing: usize,
    blocks: BTreeMap<usize, Box<Block>>,
}

/// A stretch of a body; `None` where the octet has not arrived.
type Block = [Option<u8>; BLOCK_LEN];

impl Assembly {
    /// A body of `length` octets of which none has arrived; an empty one is complete at once.
    pub(super) const fn new(length: usize) -> Self {
        if length == 0 {
            Self::Complete(Vec::new())
        } else {
            Self::Partial(Partial { length, missing: length, blocks: BTreeMap::new() })
        }
    }

    /// The announced length.
    pub(super) const fn length(&self) -> usize {
        match self {
            Self::Partial(partial) => partial.length,
            Self::Complete(body) => body.len(),
        }
    }

    /// The body if it is complete.
    pub(super) fn complete(&self) -> Option<&[u8]> {
        match self {
            Self::Partial(_) => None,
            Self::Complete(body) => Some(body),
        }
    }

    /// Octets of memory held, at most: of blocks with the allocator's overhead.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Partial(partial) => partial.blocks.len().saturating_mul(BLOCK_COST),
            Self::Complete(body) => body.len(),
        }
    }

    /// Octets of memory that [`Self::insert`] with the same arguments would take in addition.
    pub(super) fn growth(&self, offset: usize, bytes: &[u8]) -> usize {
        match self {
            Self::Complete(_) => 0,
            Self::Partial(partial) if partial.is_whole(bytes) => partial.length,
            Self::Partial(partial) => {
                let new = pieces(offset, bytes).filter(|piece| !partial.blocks.contains_key(&piece.block)).count();
                new.saturating_mul(BLOCK_COST)
            }
        }
    }

    /// Whether `bytes` at `offset` agree with every octet that is already there.
    pub(super) fn agrees(&self, offset: usize, bytes: &[u8]) -> bool {
        match self {
            Self::Complete(body) => body.get(offset..).is_some_and(|rest| rest.starts_with(bytes)),
            Self::Partial(partial) => pieces(offset, bytes).all(|piece| {
                partial.blocks.get(&piece.block).is_none_or(|block| {
                    let slots = block.iter().skip(piece.start);
                    slots.zip(piece.bytes).all(|(slot, byte)| slot.is_none_or(|known| known == *byte))
                })
            }),
        }
    }

    /// Adds `bytes` at `offset`, within the length, which must agree with what is there. Returns how many are new.
    pub(super) fn insert(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let Self::Partial(partial) = self else { return 0 };
        if partial.is_whole(bytes) {
            let new = partial.missing;
            *self = Self::Complete(bytes.to_vec());
            return new;
        }
        let new = partial.insert(offset, bytes);
        if partial.missing == 0 {
            *self = Self::Complete(partial.join());
        }
        new
    }
}

impl Partial {
    /// Whether `bytes`, known to be within the length, are the whole body: no blocks are needed then.
    const fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length
    }

    fn insert(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let mut new: usize = 0;
        for piece in pieces(offset, bytes) {
            let block = self.blocks.entry(piece.block).or_insert_with(|| Box::new([None; BLOCK_LEN]));
            for (slot, byte) in block.iter_mut().skip(piece.start).zip(piece.bytes) {
                if slot.replace(*byte).is_none() {
                    new = new.saturating_add(1);
                }
            }
        }
        self.missing = self.missing.saturating_sub(new);
        new
    }

    /// All octets in one piece; each block is freed as soon as it is copied.
    fn join(&mut self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.length);
        while let Some((_, block)) = self.blocks.pop_first() {
            body.extend(block.iter().flatten());
            #[cfg(test)]
            work(BLOCK_LEN);
        }
        body
    }
}

/// The part of a fragment that falls into one block.
struct Piece<'a> {
    block: usize,
    start: usize,
    bytes: &'a [u8],
}

/// Cuts a fragment at the borders of blocks.
fn pieces(offset: usize, bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let (mut offset, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let (block, start) = (offset / BLOCK_LEN, offset % BLOCK_LEN);
        let room = BLOCK_LEN.saturating_sub(start).min(rest.len());
        let (bytes, following) = rest.split_at_checked(room)?;
        #[cfg(test)]
        work(bytes.len());
        (offset, rest) = (offset.saturating_add(room), following);
        (!bytes.is_empty()).then_some(Piece { block, start, bytes })
    })
}

#[cfg(test)]
thread_local! {
    /// Octets looked at, compared or copied, and the blocks that they are in.
    pub(super) static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn work(octets: usize) {
    WORK.set(WORK.get() + octets + 1);
}

/// Octets of body in a block: few enough that one octet in each of many blocks gains an attacker little (a fragment
/// costs it 25 octets of headers), many enough that an honest fragment needs a handful of allocations.
const BLOCK_LEN: usize = 256;

/// Octets of memory a block takes at most: its slots, its place in a map whose nodes may be half empty, and what an allocator
/// keeps beside a piece.
const BLOCK_COST: usize = size_of::<Block>() + 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f6_memory_follows_the_octets_received() {
        let mut body = Assembly::new(0xff_ffff);
        assert_eq!(body.cost(), 0);
        // The slots, and in the map at least a key and a pointer.
        assert!(BLOCK_COST >= size_of::<Block>() + 2 * size_of::<usize>());
        assert_eq!(body.growth(0xff_fff0, &[7]), BLOCK_COST);
        assert_eq!(body.insert(0xff_fff0, &[7]), 1);
        assert_eq!(body.cost(), BLOCK_COST);
        assert_eq!(body.growth(0xff_fff1, &[7]), 0);
    }

    #[test]
    fn whole_bodies_take_their_size() {
        let mut body = Assembly::new(1000);
        assert_eq!(body.growth(0, &[5; 1000]), 1000);
        assert_eq!(body.insert(0, &[5; 1000]), 1000);
        assert_eq!(body.complete(), Some(&[5; 1000][..]));
        assert!(body.agrees(999, &[5]));
        assert!(!body.agrees(999, &[6]));
        assert_eq!(body.cost(), 1000);
        assert_eq!(Assembly::new(0).complete(), Some(&[][..]));
    }

    #[test]
    fn fragments_across_blocks() {
        let octets: Vec<u8> = (0..700_u32).map(|i| i as u8).collect();
        let mut body = Assembly::new(700);
        assert_eq!(body.insert(200, &octets[200..600]), 400);
        assert!(body.agrees(100, &octets[100..650]));
        assert!(!body.agrees(599, &[0]));
        assert_eq!(body.insert(0, &octets[..300]), 200);
        assert!(body.complete().is_none());
        assert_eq!(body.insert(550, &octets[550..]), 100);
        assert_eq!(body.complete(), Some(&octets[..]));
    }
}
