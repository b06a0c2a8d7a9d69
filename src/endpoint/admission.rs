//! Who gets a place, and who must make way: the oldest handshake whose peer has not proven who it is goes first.

use super::config::Limits;
use super::{ConnectionHandle, DropReason, Source};
use crate::connection::{Lease, Places, Seat, Standing};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Counts what is taken, and holds it against the limits.
pub(super) struct Admission {
    limits: Limits,
    places: Arc<Places>,
    /// Handshakes that the application has begun, the oldest first.
    order: Order,
    networks: HashMap<Network, Crowd>,
}

/// One IPv4 address, or the first 56 bits of an IPv6 address: about what one subscriber has (RFC 6177 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(u128);

/// The half-open handshakes with one network.
#[derive(Default)]
struct Crowd {
    count: Arc<AtomicUsize>,
    order: Order,
}

/// Handles in the order in which their handshakes began. Those that are complete or over leave it late.
#[derive(Default)]
struct Order(VecDeque<ConnectionHandle>);

/// Whether there is a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Yes,
    /// Once this handshake has made way; ask again then.
    Instead(ConnectionHandle),
    No(DropReason),
}

impl Network {
    pub(super) const fn of(source: &Source) -> Self {
        match source.remote().ip() {
            IpAddr::V4(ip) => Self(ip.to_ipv6_mapped().to_bits()),
            IpAddr::V6(ip) => Self(ip.to_bits() & PREFIX_56),
        }
    }
}

const PREFIX_56: u128 = u128::MAX << (128 - 56);

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, places: Arc::default(), order: Order::default(), networks: HashMap::new() }
    }

    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Whether a handshake with a client of `source` may begin. `is_half_open` tells of a handle whether its handshake
    /// still is one that may make way.
    pub(super) fn admit(&mut self, source: &Source, is_half_open: impl Fn(ConnectionHandle) -> bool) -> Admitted {
        // Whoever is turned away leaves nothing behind.
        let crowd = self.networks.get_mut(&Network::of(source));
        if crowd.as_ref().map_or(0, |crowd| crowd.count.load(SeqCst)) >= self.limits.half_open_per_network {
            let oldest = crowd.and_then(|crowd| crowd.order.oldest(is_half_open));
            return oldest.map_or(Admitted::No(DropReason::Network), Admitted::Instead);
        }
        let reason = match () {
            () if self.places.connections() >= self.limits.connections => DropReason::Connections,
            () if self.places.half_open() >= self.limits.half_open => DropReason::HalfOpen,
            () if self.places.memory() > self.limits.handshake_memory => DropReason::HalfOpen,
            () => return Admitted::Yes,
        };
        self.order.oldest(is_half_open).map_or(Admitted::No(reason), Admitted::Instead)
    }

    /// Whether one of our own connections may begin.
    pub(super) fn has_room(&self) -> bool {
        self.places.connections() < self.limits.connections
    }

    /// The handshake that must make way, if they take too much memory all together.
    pub(super) fn one_too_many(&mut self, is_half_open: impl Fn(ConnectionHandle) -> bool) -> Option<ConnectionHandle> {
        if self.places.memory() <= self.limits.handshake_memory {
            return None;
        }
        self.order.oldest(is_half_open)
    }

    /// Takes a place.
    pub(super) fn seat(&mut self, source: &Source, standing: Standing) -> (Arc<Seat>, Lease) {
        let seat = match standing {
            Standing::HalfOpen => {
                let crowd = self.networks.entry(Network::of(source)).or_default();
                let seat = Seat::take(&self.places, &crowd.count, standing);
                self.forget_empty_networks();
                seat
            }
            _ => Seat::take(&self.places, &Arc::default(), standing),
        };
        (Arc::clone(&seat), Lease::Held(seat))
    }

    /// The application has begun this handshake: from now on it may have to make way.
    pub(super) fn begun(
        &mut self,
        source: &Source,
        handle: ConnectionHandle,
        is_half_open: impl Fn(ConnectionHandle) -> bool,
    ) {
        self.order.push(handle, self.places.half_open(), &is_half_open);
        let crowd = self.networks.entry(Network::of(source)).or_default();
        crowd.order.push(handle, crowd.count.load(SeqCst), &is_half_open);
    }

    /// Networks without a handshake are of no interest. Every place that is half-open has one at most.
    fn forget_empty_networks(&mut self) {
        if self.networks.len() > self.places.half_open().saturating_mul(2).saturating_add(SLACK) {
            self.networks.retain(|_, crowd| crowd.count.load(SeqCst) > 0);
        }
    }
}

impl Order {
    fn push(&mut self, handle: ConnectionHandle, half_open: usize, is_half_open: impl Fn(ConnectionHandle) -> bool) {
        if self.0.len() > half_open.saturating_mul(2).saturating_add(SLACK) {
            self.0.retain(|handle| is_half_open(*handle));
        }
        self.0.push_back(handle);
    }

    /// The oldest that still is half-open. It leaves the order.
    fn oldest(&mut self, is_half_open: impl Fn(ConnectionHandle) -> bool) -> Option<ConnectionHandle> {
        while let Some(handle) = self.0.pop_front() {
            if is_half_open(handle) {
                return Some(handle);
            }
        }
        None
    }
}

/// Entries that may be out of date beside as many as are not.
const SLACK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> Source {
        Source::new(std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0a00_0000 + n), 5)), None).unwrap()
    }

    fn admission(connections: usize, half_open_per_network: usize) -> Admission {
        Admission::new(Limits { connections, half_open: 100, half_open_per_network, handshake_memory: usize::MAX })
    }

    /// However many networks come and are turned away, or come and go, none is remembered.
    #[test]
    fn networks_without_a_handshake_are_forgotten() {
        let mut full = admission(0, 10);
        let mut open = admission(10, 10);
        for n in 0..10_000 {
            assert_eq!(full.admit(&source(n), |_| false), Admitted::No(DropReason::Connections));
            assert_eq!(open.admit(&source(n), |_| false), Admitted::Yes);
            drop(open.seat(&source(n), Standing::HalfOpen));
        }
        assert_eq!(full.networks.len(), 0);
        assert!(open.networks.len() <= SLACK + 3, "{}", open.networks.len());
    }

    #[test]
    fn a_network_may_be_allowed_none() {
        assert_eq!(admission(10, 0).admit(&source(1), |_| false), Admitted::No(DropReason::Network));
    }
}
