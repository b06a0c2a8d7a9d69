//! Handshakes that resume: each run of a kind begins with the same session, so that what one run gets changes no other.

use crate::pki::NAME;
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use udtls::{ClientConfig, ClientSessionStore, Connection, Datagram, ServerConfig, Session};

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

/// Gives none, so that no run changes another.
#[derive(Debug)]
struct NoSession;

impl ClientSessionStore for NoSession {
    fn put(&self, _: &ServerName<'static>, _: Session) {}

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        None
    }
}

/// Has the client ask for tickets without making use of them.
pub(crate) fn want_tickets(client: &mut ClientConfig) {
    client.set_session_store(Arc::new(NoSession));
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
