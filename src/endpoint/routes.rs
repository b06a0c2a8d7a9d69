//! To which association a datagram belongs: by its source.
//!
//! A source has one association, and while a client that began anew (RFC 6347 §4.2.8, RFC 9147 §5.11) has not proven that it
//! is the same client, a second one beside it. Handles are found by source here; whatever else may lead to a handle, such
//! as a connection ID, is another index over the same places.

use super::Source;
use super::framing::FirstRecord;
use crate::connection::{Order, Seat, Standing};
use std::collections::HashMap;
use std::sync::Arc;

/// Names one connection of an [`Endpoint`](super::Endpoint). No two connections of an endpoint ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionHandle(u64);

impl From<ConnectionHandle> for u64 {
    fn from(handle: ConnectionHandle) -> Self {
        handle.0
    }
}

/// Every association, and the ways to it.
#[derive(Default)]
pub(super) struct Routes {
    places: HashMap<ConnectionHandle, Place>,
    by_source: HashMap<Source, Residents>,
    last: u64,
    /// Of the places that were ever left, those that had been when all were last gone through.
    left_then: usize,
}

/// An association, as far as the endpoint knows it.
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) seat: Arc<Seat>,
    pub(super) origin: Origin,
    pub(super) stage: Stage,
}

/// How an association began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By us.
    Ours,
    /// By this ClientHello, with a cookie.
    Cookie(Identity),
    /// By this ClientHello, without one.
    Plain(Identity, Again),
}

/// Whether an association without a cookie has its client send its ClientHello once more (RFC 8446 §4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Awaited,
}

/// Tells one ClientHello from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of its random alone.
    pub(super) random: u64,
    /// Of its random and its cookie.
    pub(super) whole: u64,
}

/// Whether the application has the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is yet to decide.
    Undecided,
    Begun,
}

/// The associations with one source.
struct Residents {
    current: ConnectionHandle,
    /// Begun anew, and not complete.
    challenger: Challenger,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Challenger {
    Nobody,
    Somebody(ConnectionHandle),
}

/// What a ClientHello is to the associations of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// None of theirs.
    New,
    /// It belongs to this one.
    Of(ConnectionHandle),
    /// It repeats what the application is yet to decide about.
    Undecided,
}

impl Residents {
    fn handles(&self) -> impl Iterator<Item = ConnectionHandle> {
        let challenger = match self.challenger {
            Challenger::Nobody => None,
            Challenger::Somebody(handle) => Some(handle),
        };
        challenger.into_iter().chain([self.current])
    }
}

impl Place {
    /// Whether its handshake goes on: then it may have to make way for another.
    pub(super) fn is_evictable(&self) -> bool {
        self.stage == Stage::Begun && self.seat.standing() == Standing::HalfOpen
    }
}

impl Routes {
    pub(super) fn get(&self, handle: ConnectionHandle) -> Option<&Place> {
        self.places.get(&handle)
    }

    pub(super) fn get_mut(&mut self, handle: ConnectionHandle) -> Option<&mut Place> {
        self.places.get_mut(&handle)
    }

    /// The form of the source under which there is an association; those that were let go of are forgotten on the way.
    pub(super) fn find(&mut self, source: &Source) -> Option<Source> {
        if self.tidy(source) {
            return Some(*source);
        }
        let anywhere = source.anywhere();
        (anywhere != *source && self.tidy(&anywhere)).then_some(anywhere)
    }

    /// Forgets the associations of a source that the application has let go of. Whether there are others.
    fn tidy(&mut self, source: &Source) -> bool {
        let Some(residents) = self.by_source.get(source) else { return false };
        let gone = |handle: &ConnectionHandle| {
            self.places.get(handle).is_none_or(|place| place.seat.standing() == Standing::Left)
        };
        let [first, second] = {
            let mut handles = residents.handles().filter(gone);
            [handles.next(), handles.next()]
        };
        if first.is_none() {
            return true;
        }
        for handle in [first, second].into_iter().flatten() {
            self.remove(handle);
        }
        self.by_source.contains_key(source)
    }

    /// Which of its source's associations a datagram belongs to that is no ClientHello. While a client begins anew, what
    /// belongs to a handshake is the new one's.
    pub(super) fn addressee(&self, source: &Source, first: FirstRecord) -> Option<ConnectionHandle> {
        let residents = self.by_source.get(source)?;
        let goes_on = |handle| self.places.get(&handle).is_some_and(Place::is_evictable);
        match (first, residents.challenger) {
            (FirstRecord::Handshake, Challenger::Somebody(challenger)) if goes_on(challenger) => Some(challenger),
            _ => Some(residents.current),
        }
    }

    /// Whose a ClientHello is.
    pub(super) fn kinship(&self, source: &Source, identity: &Identity) -> Kinship {
        let Some(residents) = self.by_source.get(source) else { return Kinship::New };
        for handle in residents.handles() {
            let Some(place) = self.places.get(&handle) else { continue };
            let same = match (place.origin, place.seat.standing()) {
                // A ClientHello of a handshake that goes on, whatever its cookie: late, or the answer to a request.
                (Origin::Cookie(known) | Origin::Plain(known, _), Standing::HalfOpen) => {
                    known.random == identity.random
                }
                (Origin::Cookie(known) | Origin::Plain(known, _), _) => known.whole == identity.whole,
                (Origin::Ours, _) => false,
            };
            match place.stage {
                Stage::Undecided if same => return Kinship::Undecided,
                Stage::Begun if same => return Kinship::Of(handle),
                _ => {}
            }
        }
        Kinship::New
    }

    /// The handshake with that source that wants a second ClientHello, which no stateless reply asked for.
    pub(super) fn awaits_client_hello(&self, source: &Source) -> Option<ConnectionHandle> {
        let of = |handle: &ConnectionHandle| {
            self.places.get(handle).is_some_and(|place| {
                matches!(place.origin, Origin::Plain(_, Again::Awaited))
                    && place.seat.standing() == Standing::HalfOpen
                    && place.stage == Stage::Begun
            })
        };
        self.by_source.get(source)?.handles().find(of)
    }

    /// Whether all there is with that source is a handshake whose address nobody has shown to be right, by a cookie or by
    /// an answer under keys.
    pub(super) fn is_unproven(&self, source: &Source) -> bool {
        self.by_source.get(source).is_some_and(|residents| {
            residents.handles().all(|handle| {
                self.places.get(&handle).is_some_and(|place| {
                    matches!(place.origin, Origin::Plain(..)) && place.seat.standing() == Standing::HalfOpen
                })
            })
        })
    }

    /// Whether the association with that source is one that we began.
    pub(super) fn is_ours(&self, source: &Source) -> bool {
        let current = self.by_source.get(source).and_then(|residents| self.places.get(&residents.current));
        current.is_some_and(|place| place.origin == Origin::Ours)
    }

    /// A new association. Beside one that is complete it is a challenger; any other it replaces, and `revoked` is told.
    pub(super) fn insert(
        &mut self,
        place: Place,
        mut revoked: impl FnMut(ConnectionHandle, Place),
    ) -> ConnectionHandle {
        self.last = self.last.wrapping_add(1);
        let handle = ConnectionHandle(self.last);
        let source = place.source;
        let residents = self.by_source.get(&source);
        let current = residents.and_then(|residents| self.places.get(&residents.current));
        let live = current.is_some_and(|place| place.seat.standing() == Standing::Established);
        let before: Vec<_> = residents.into_iter().flat_map(Residents::handles).collect();
        for old in before {
            let spared = live && self.by_source.get(&source).is_some_and(|residents| residents.current == old);
            if !spared {
                self.revoke(old, Order::Replaced, &mut revoked);
            }
        }
        self.places.insert(handle, place);
        let beginner = Residents { current: handle, challenger: Challenger::Nobody };
        self.by_source
            .entry(source)
            .and_modify(|residents| residents.challenger = Challenger::Somebody(handle))
            .or_insert(beginner);
        handle
    }

    /// If the client that began anew has proven that it is the same, its older association ends.
    pub(super) fn promote(&mut self, source: &Source, revoked: impl FnMut(ConnectionHandle, Place)) {
        let Some(residents) = self.by_source.get(source) else { return };
        let Challenger::Somebody(challenger) = residents.challenger else { return };
        let complete = self.places.get(&challenger).is_some_and(|place| place.seat.standing() == Standing::Established);
        if complete {
            self.revoke(residents.current, Order::Replaced, revoked);
        }
    }

    /// Ends an association.
    pub(super) fn revoke(
        &mut self,
        handle: ConnectionHandle,
        order: Order,
        mut revoked: impl FnMut(ConnectionHandle, Place),
    ) {
        let Some(place) = self.remove(handle) else { return };
        let counted = place.seat.standing() < Standing::Over;
        place.seat.revoke(order);
        if counted {
            revoked(handle, place);
        }
    }

    /// Forgets an association. One that began anew beside it takes its place.
    fn remove(&mut self, handle: ConnectionHandle) -> Option<Place> {
        let place = self.places.remove(&handle)?;
        if let Some(residents) = self.by_source.get_mut(&place.source) {
            match residents.challenger {
                Challenger::Somebody(challenger) if residents.current == handle => {
                    *residents = Residents { current: challenger, challenger: Challenger::Nobody };
                }
                Challenger::Somebody(challenger) if challenger == handle => {
                    residents.challenger = Challenger::Nobody;
                }
                Challenger::Nobody if residents.current == handle => {
                    self.by_source.remove(&place.source);
                }
                Challenger::Somebody(_) | Challenger::Nobody => {}
            }
        }
        Some(place)
    }

    /// Forgets all that the application has let go of, once there may be as many of these as of the others: so a datagram
    /// costs the same however many there are.
    pub(super) fn sweep(&mut self, left: usize) {
        let since = left.saturating_sub(self.left_then);
        if since <= (self.places.len() / 2).max(LEFT_BEHIND) {
            return;
        }
        self.left_then = left;
        let of = |place: &Place| place.seat.standing() == Standing::Left;
        let gone: Vec<_> = self.places.iter().filter(|(_, place)| of(place)).map(|(handle, _)| *handle).collect();
        for handle in gone {
            self.remove(handle);
        }
        self.places.shrink_to(self.places.len().saturating_mul(2));
        self.by_source.shrink_to(self.by_source.len().saturating_mul(2));
    }
}

/// So many associations that the application has let go of may be remembered in any case.
const LEFT_BEHIND: usize = 64;

#[cfg(test)]
pub(super) mod tests {
    use super::ConnectionHandle;

    /// A handle of a test's own.
    pub(in crate::endpoint) fn handle(number: u64) -> ConnectionHandle {
        ConnectionHandle(number)
    }
}
