//! Handshakes that resume: each run of a kind begins with the same session, so that what one run gets changes no other.

use crate::kinds::{self, Kind, Shape};
use crate::network::{Fault, Network};
use crate::pair::{PATIENCE, Pair, Stop, check};
use crate::pki::NAME;
use crate::provider::End;
use crate::tally::SEED;
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use udtls::{
    ClientConfig, ClientSessionStore, Connection, Datagram, Direction, Event, KeyUpdateRequest, ProtocolVersion,
    ServerConfig, Session,
};

/// Gives the same session each time.
#[derive(Debug, Default)]
struct SameSession(Mutex<Option<Session>>);

impl ClientSessionStore for SameSession {
    /// The first that comes is the one.
    fn put(&self, _: &ServerName<'static>, session: Session) {
        self.0.lock().expect("nobody panics").get_or_insert(session);
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().expect("nobody panics").clone()
    }
}

/// Lets the client resume the session of a handshake with the server.
pub(crate) fn resume(client: &mut ClientConfig, server: &Arc<ServerConfig>) {
    let store = Arc::new(SameSession::default());
    client.set_session_store(store.clone());
    let now = Instant::now();
    let name = ServerName::try_from(NAME).expect("a valid name");
    let mut client = Connection::client(Arc::new(client.clone()), Some(name), now).expect("a client");
    let mut server = Connection::server(server.clone(), now).expect("a server");
    while pass(&mut client, &mut server, now) | pass(&mut server, &mut client, now) {}
    assert!(store.0.lock().expect("nobody panics").is_some(), "the server gives a session");
}

/// Gives the one what the other has to say, if it has.
fn pass(from: &mut Connection, to: &mut Connection, now: Instant) -> bool {
    let mut out = [0; 2048];
    let mut said = false;
    while let Some(len) = from.poll_transmit(now, &mut out).expect("a buffer that suffices") {
        said = true;
        let mut datagram = Datagram::new(&mut out[..len]);
        while to.receive(now, &mut datagram).expect("a handshake that succeeds").is_some() {}
    }
    said
}

/// Tickets are on their way while both ends want new keys: a KeyUpdate waits for them (draft-ietf-tls-rfc9147bis §8), and they
/// come under the keys that they were sent with.
#[test]
fn key_updates_that_cross_tickets_survive_every_loss_of_one_or_two_datagrams() {
    let crossing = |kind: &&&Kind| kind.shape == Shape::Resumed && kind.version == ProtocolVersion::DTLS1_3;
    let kinds: Vec<_> = kinds::all().iter().filter(|kind| crossing(&kind)).collect();
    assert!(!kinds.is_empty());
    kinds::for_each(&kinds, |kind| {
        let clean = update_at_once(kind, &[]);
        for first in 0..clean {
            let one = update_at_once(kind, &[Fault::Lose(first)]);
            for second in first + 1..one {
                update_at_once(kind, &[Fault::Lose(first), Fault::Lose(second)]);
            }
        }
    });
}

/// A handshake in which each end asks for new keys as soon as it is complete; how many datagrams it took.
fn update_at_once(kind: &'static Kind, faults: &[Fault]) -> usize {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
    let mut asked = Vec::new();
    let stop = pair.run_with(PATIENCE, &mut |pair, _, _| {
        for end in End::BOTH {
            let now = pair.instant();
            if pair.side(end).connection.is_established() && !asked.contains(&end) {
                let request = pair.side(end).connection.request_key_update(now, KeyUpdateRequest::Requested);
                check!(pair, request.is_ok(), "an update may be asked for");
                asked.push(end);
            }
        }
    });
    check!(pair, stop == Stop::Quiet, "updates come to rest");
    for end in End::BOTH {
        pair.side(end).drain_events();
        for direction in [Direction::Sending, Direction::Receiving] {
            let changed = pair.side(end).events.contains(&Event::KeyUpdated(direction));
            check!(pair, changed, format!("{end:?} changed its keys to {direction:?}"));
        }
    }
    let tickets = pair.side(End::Client).events.contains(&Event::SessionTicket);
    check!(pair, tickets, "the tickets came");
    let sent = pair.network.sent;
    pair.network.clear_up();
    pair.check_data();
    sent
}
