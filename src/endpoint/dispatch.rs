//! A datagram's way: to the association that it belongs to, into the pool, to the listener, or to the application as a client
//! that wants in.

use super::admission::Admitted;
use super::closed::Closed;
use super::framing::{FirstRecord, HelloFragments};
use super::incoming::{Proof, Unasked};
use super::listener::{Decision, Request};
use super::pool::Added;
use super::routes::{Again, Identity, Kinship, Origin, Place, Stage};
use super::{ConnectionHandle, DropReason, Endpoint, Incoming, Server, Source, Validation, Verdict, stats};
use crate::connection::{Order, Path, Standing};
use crate::handshake::{Selection, estimated_flight12, select};
use crate::wire::{ProtocolVersion, hello::ClientHello};
use std::hash::BuildHasher;
use std::time::Instant;

impl Endpoint {
    pub(super) fn handle_from(&mut self, now: Instant, source: Source, datagram: &[u8], reply: &mut [u8]) -> Verdict {
        let first = FirstRecord::of(datagram);
        let Some(known) = self.routes.find(&source) else {
            return match first {
                FirstRecord::ClientHello => self.greet(now, source, datagram, reply),
                FirstRecord::Handshake | FirstRecord::Other => Verdict::Drop(DropReason::NotForUs),
            };
        };
        self.routes.promote(&known, Self::revoked(&mut self.stats.replaced, &mut self.closed));
        if first == FirstRecord::ClientHello && !self.routes.is_ours(&known) {
            return self.greet(now, known, datagram, reply);
        }
        let addressee = self.routes.addressee(&known, first);
        addressee.map_or(Verdict::Drop(DropReason::NotForUs), |handle| self.deliver(handle))
    }

    /// A datagram for a connection; what the application does not have yet cannot take any.
    fn deliver(&self, handle: ConnectionHandle) -> Verdict {
        match self.routes.get(handle).map(|place| place.stage) {
            Some(Stage::Begun) => Verdict::Connection(handle),
            Some(Stage::Undecided) => Verdict::Drop(DropReason::Undecided),
            None => Verdict::Drop(DropReason::NotForUs),
        }
    }

    /// A ClientHello, or parts of some.
    fn greet(&mut self, now: Instant, source: Source, datagram: &[u8], reply: &mut [u8]) -> Verdict {
        let mut verdict = Verdict::Drop(DropReason::Malformed);
        for part in HelloFragments::of(datagram) {
            let header = part.fragment.header;
            if header.fragment_length == header.length {
                let request = Request {
                    hello: part.fragment.body,
                    message_seq: header.message_seq,
                    record: part.record,
                    received: part.received,
                };
                return self.judge(now, source, request, reply);
            }
            // A handshake that began without a cookie puts its second ClientHello together itself.
            if header.message_seq > 0
                && let Some(handle) = self.routes.awaits_client_hello(&source)
            {
                return Verdict::Connection(handle);
            }
            let Server::Yes(serving) = &mut self.server else { return Verdict::Drop(DropReason::NoServer) };
            match (serving.pool.add(now, source, &part), &verdict) {
                (Added::Whole, _) => return self.judge_whole(now, source, header.message_seq, reply),
                (Added::Kept, _) => verdict = Verdict::Kept,
                // What one part is good for counts, whatever the others are.
                (_, Verdict::Kept) => {}
                (Added::Repeated, _) => verdict = Verdict::Drop(DropReason::Fragment),
                (Added::Refused, _) => verdict = Verdict::Drop(DropReason::FragmentRefused),
            }
        }
        verdict
    }

    /// ClientHellos that were put together: the first that makes sense counts.
    fn judge_whole(&mut self, now: Instant, source: Source, message_seq: u16, reply: &mut [u8]) -> Verdict {
        let mut verdict = Verdict::Drop(DropReason::Malformed);
        loop {
            let Server::Yes(serving) = &mut self.server else { return Verdict::Drop(DropReason::NoServer) };
            let Some(whole) = serving.pool.lend(now, source, message_seq) else { return verdict };
            let hello = whole.body.get(..whole.length).unwrap_or_default();
            let request = Request { hello, message_seq, record: whole.record, received: whole.received };
            verdict = self.judge(now, source, request, reply);
            if let Server::Yes(serving) = &mut self.server {
                serving.pool.give_back(whole);
            }
            let Server::Yes(serving) = &mut self.server else { return verdict };
            match &verdict {
                Verdict::Drop(DropReason::Malformed) => {}
                Verdict::Incoming(_) | Verdict::Connection(_) => {
                    serving.pool.forget(source, message_seq);
                    return verdict;
                }
                Verdict::Drop(_) | Verdict::Reply(_) | Verdict::Kept => {
                    serving.pool.forget_whole(source);
                    return verdict;
                }
            }
        }
    }

    /// A whole ClientHello.
    fn judge(&mut self, now: Instant, source: Source, request: Request<'_>, reply: &mut [u8]) -> Verdict {
        let resident = self.routes.find(&source).is_some();
        let asked = self.config.validation == Validation::Always;
        // Without an association, and where everyone needs a cookie, it is the listener that reads it.
        if resident || !asked {
            let Ok(hello) = ClientHello::read(request.hello) else { return Verdict::Drop(DropReason::Malformed) };
            let identity = self.identity(&hello);
            match self.routes.kinship(&source, &identity) {
                Kinship::Of(handle) => return Verdict::Connection(handle),
                Kinship::Undecided => return Verdict::Drop(DropReason::Undecided),
                Kinship::New => {}
            }
            if request.message_seq == 0
                && let Some(welcome) = self.welcome(&hello, &request, resident)
            {
                let Welcome { path, version, again } = welcome;
                let unasked = Unasked { body: request.hello.into(), record: request.record, version, path };
                return self.arrive(source, Proof::Unasked(unasked), Origin::Plain(identity, again));
            }
        }
        let Server::Yes(serving) = &self.server else { return Verdict::Drop(DropReason::NoServer) };
        match serving.listener.decide(now, &source, &request, reply) {
            Decision::Drop(reason) => Verdict::Drop(reason),
            Decision::Reply(answer) => {
                self.stats.replied(&answer);
                Verdict::Reply(answer.len)
            }
            Decision::Accept(validated) => {
                stats::count(&mut self.stats.cookies_accepted);
                let Ok(hello) = ClientHello::read(request.hello) else { return Verdict::Drop(DropReason::Malformed) };
                let identity = self.identity(&hello);
                self.arrive(source, Proof::Cookie(validated), Origin::Cookie(identity))
            }
        }
    }

    fn identity(&self, hello: &ClientHello<'_>) -> Identity {
        let random = hello.random;
        let whole = (random, hello.legacy_cookie, hello.known.cookie.unwrap_or_default());
        Identity { random: self.hasher.hash_one(random), whole: self.hasher.hash_one(whole) }
    }
}

/// How a client begins that needs no cookie.
struct Welcome {
    path: Path,
    version: ProtocolVersion,
    again: Again,
}

/// What is not at the heart of it: who needs no cookie, who gets a place, who loses one.
impl Endpoint {
    /// How a client may be answered that shows no cookie, if it may.
    fn welcome(&self, hello: &ClientHello<'_>, request: &Request<'_>, has_association: bool) -> Option<Welcome> {
        let Server::Yes(serving) = &self.server else { return None };
        if !hello.legacy_cookie.is_empty() || hello.known.cookie.is_some() {
            return None;
        }
        // What is wrong with it, the listener says.
        let selection = select(hello, &serving.config).ok()?;
        let loaded = self.admission.places().half_open() >= self.config.load_threshold;
        let version = match selection {
            Selection::Dtls13(_) => ProtocolVersion::DTLS1_3,
            Selection::Dtls12 => ProtocolVersion::DTLS1_2,
        };
        let again = if selection.wants_retry() { Again::Awaited } else { Again::Never };
        let path = match self.config.validation {
            Validation::Vouched => Some(Path::Validated),
            // Nobody loses an association to a forger.
            Validation::UnderLoad if loaded || has_association => None,
            // The round trip is due anyway, and a cookie comes with it. Nor may a forger have an association wait for a
            // second ClientHello at another's address: the parts of a genuine one would go there.
            Validation::UnderLoad if again == Again::Awaited => None,
            Validation::UnderLoad => {
                let path = Path::unvalidated(request.received);
                match selection {
                    // An ACK under keys lets the rest of the flight go.
                    Selection::Dtls13(_) => Some(path),
                    // Nothing would, before the flight is whole.
                    Selection::Dtls12 => estimated_flight12(&serving.config, hello)
                        .filter(|octets| *octets <= path.limit())
                        .map(|_| path),
                }
            }
            Validation::Always => None,
        };
        path.map(|path| Welcome { path, version, again })
    }

    /// A client that may come in, if there is a place for it.
    fn arrive(&mut self, source: Source, proof: Proof, origin: Origin) -> Verdict {
        loop {
            let routes = &self.routes;
            let evictable = |handle| routes.get(handle).is_some_and(Place::is_evictable);
            match self.admission.admit(&source, evictable) {
                Admitted::Yes => break,
                Admitted::No(reason) => return Verdict::Drop(reason),
                Admitted::Instead(handle) => self.evict(handle),
            }
        }
        let (seat, lease) = self.admission.seat(&source, Standing::HalfOpen);
        let place = Place { source, seat, origin, stage: Stage::Undecided };
        let handle = self.routes.insert(place, Self::revoked(&mut self.stats.replaced, &mut self.closed));
        let incoming = Incoming { handle, source, lease, proof };
        incoming.account();
        self.routes.sweep(self.admission.places().left());
        Verdict::Incoming(Box::new(incoming))
    }

    fn evict(&mut self, handle: ConnectionHandle) {
        let revoked = Self::revoked(&mut self.stats.evicted, &mut self.closed);
        self.routes.revoke(handle, Order::Evicted, revoked);
    }

    pub(super) fn keep_memory_bounded(&mut self) {
        loop {
            let routes = &self.routes;
            let evictable = |handle| routes.get(handle).is_some_and(Place::is_evictable);
            let Some(handle) = self.admission.one_too_many(evictable) else { return };
            self.evict(handle);
        }
    }

    /// Counts associations that are ended, and tells the application of those that it has.
    pub(super) fn revoked(counter: &mut u64, closed: &mut Closed) -> impl FnMut(ConnectionHandle, Place) {
        move |handle, place| {
            stats::count(counter);
            if place.stage == Stage::Begun {
                closed.push(handle, place.seat);
            }
        }
    }
}
