//! A place among many associations, counted while it is held, and given back on every way out.
//!
//! The association itself holds the place: an application that just drops it has given it back. The other end, with whoever
//! counts, sees where the association stands, and can tell it to end.

use crate::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};

/// How much of everything is taken, by all places together.
#[derive(Debug, Default)]
pub(crate) struct Places {
    connections: AtomicUsize,
    half_open: AtomicUsize,
    memory: AtomicUsize,
    /// Ever left.
    left: AtomicUsize,
}

/// One place.
#[derive(Debug)]
pub(crate) struct Seat {
    places: Arc<Places>,
    /// Half-open handshakes with the peer's network.
    network: Arc<AtomicUsize>,
    standing: AtomicU8,
    order: AtomicU8,
    memory: AtomicUsize,
}

/// Where the association stands that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The peer has not authenticated the handshake yet.
    HalfOpen,
    /// The handshake is complete, or it is our own.
    Established,
    /// It has ended, and the application still holds it. It counts no more.
    Over,
    /// The application has let go of it.
    Left,
}

/// What the one who counts wants of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    None,
    /// Another association with the same peer has taken its place (RFC 6347 §4.2.8, RFC 9147 §5.11).
    Replaced,
    /// It had to make way for others.
    Evicted,
}

/// The association's hold on its place: when it is dropped, the place is free.
#[derive(Debug)]
pub(crate) enum Lease {
    /// Nobody counts.
    Uncounted,
    Held(Arc<Seat>),
}

impl Places {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    pub(crate) fn half_open(&self) -> usize {
        self.half_open.load(SeqCst)
    }

    /// Octets of memory that half-open handshakes take.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(SeqCst)
    }

    /// How many places were ever left.
    pub(crate) fn left(&self) -> usize {
        self.left.load(SeqCst)
    }
}

impl Seat {
    /// Takes a place for a handshake that begins, or with `Established` for one of our own.
    pub(crate) fn take(places: &Arc<Places>, network: &Arc<AtomicUsize>, standing: Standing) -> Arc<Self> {
        places.connections.fetch_add(1, SeqCst);
        if standing == Standing::HalfOpen {
            places.half_open.fetch_add(1, SeqCst);
            network.fetch_add(1, SeqCst);
        }
        Arc::new(Self {
            places: Arc::clone(places),
            network: Arc::clone(network),
            standing: AtomicU8::new(standing.code()),
            order: AtomicU8::new(Order::None.code()),
            memory: AtomicUsize::new(0),
        })
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing::from_code(self.standing.load(SeqCst))
    }

    /// Tells the association to end, when it is next used, and takes its place from it.
    pub(crate) fn revoke(&self, order: Order) {
        self.order.store(order.code(), SeqCst);
        self.moved_on(Standing::Over);
    }

    /// Counts change with the first call that brings the association this far, and never back.
    fn moved_on(&self, to: Standing) {
        let before = Standing::from_code(self.standing.fetch_max(to.code(), SeqCst));
        if to <= before {
            return;
        }
        if before == Standing::HalfOpen {
            self.places.half_open.fetch_sub(1, SeqCst);
            self.network.fetch_sub(1, SeqCst);
            self.account(0);
        }
        if before < Standing::Over && to >= Standing::Over {
            self.places.connections.fetch_sub(1, SeqCst);
        }
        if to == Standing::Left {
            self.places.left.fetch_add(1, SeqCst);
        }
    }

    fn account(&self, octets: usize) {
        let before = self.memory.swap(octets, SeqCst);
        // Modulo 2^64, as the sum of all: the difference may be negative.
        self.places.memory.fetch_add(octets.wrapping_sub(before), SeqCst);
    }
}

impl Standing {
    const fn code(self) -> u8 {
        match self {
            Self::HalfOpen => 0,
            Self::Established => 1,
            Self::Over => 2,
            Self::Left => 3,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::HalfOpen,
            1 => Self::Established,
            2 => Self::Over,
            _ => Self::Left,
        }
    }
}

impl Order {
    const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Replaced => 1,
            Self::Evicted => 2,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Replaced,
            2 => Self::Evicted,
            _ => Self::None,
        }
    }
}

impl Lease {
    /// The handshake is complete.
    pub(super) fn established(&self) {
        if let Self::Held(seat) = self {
            seat.moved_on(Standing::Established);
        }
    }

    /// The association has ended.
    pub(super) fn over(&self) {
        if let Self::Held(seat) = self {
            seat.moved_on(Standing::Over);
        }
    }

    /// What the handshake takes of memory now. Another thread may end it meanwhile: whoever is last takes it back.
    pub(crate) fn set_memory(&self, octets: usize) {
        if let Self::Held(seat) = self {
            seat.account(octets);
            if seat.standing() != Standing::HalfOpen {
                seat.account(0);
            }
        }
    }

    /// Why the association is to end, if it is.
    pub(super) fn order(&self) -> Option<Error> {
        let Self::Held(seat) = self else { return None };
        match Order::from_code(seat.order.load(SeqCst)) {
            Order::None => None,
            Order::Replaced => Some(Error::Replaced),
            Order::Evicted => Some(Error::Evicted),
        }
    }

    /// The place, if it is counted.
    pub(crate) fn seat(&self) -> Option<Arc<Seat>> {
        match self {
            Self::Held(seat) => Some(Arc::clone(seat)),
            Self::Uncounted => None,
        }
    }

    /// Whether it is one of these places.
    pub(crate) fn is_among(&self, places: &Arc<Places>) -> bool {
        matches!(self, Self::Held(seat) if Arc::ptr_eq(&seat.places, places))
    }

    pub(super) fn is_counted(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Self::Held(seat) = self {
            seat.moved_on(Standing::Left);
        }
    }
}

#[cfg(test)]
mod tests;
