//! What lasts from one connection to the next: a client's sessions, a server's tickets and cache.

use crate::Failure;
use crate::arguments::{Role, Settings, TicketCallback};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache};
use rustls::time_provider::DefaultTimeProvider;
use std::sync::{Arc, Mutex};
use udtls::{
    ClientConfig, ClientSessionStore, HandshakeKind, Negotiated, ProtocolVersion, ServerConfig, Session, Ticketer,
};

#[derive(Debug)]
pub(crate) struct Kept {
    store: Arc<Store>,
    ticketer: Arc<Ticketer>,
    cache: Arc<ServerSessionMemoryCache>,
}

/// The newest session last. Whose they are does not matter: there is one runner.
#[derive(Debug, Default)]
struct Store(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    sessions: Vec<Session>,
    /// Those that the current connection brought.
    received: usize,
}

impl ClientSessionStore for Store {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        let mut sessions = self.0.lock().expect("nobody panics while holding it");
        sessions.sessions.push(session);
        sessions.received += 1;
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().expect("nobody panics while holding it").sessions.pop()
    }
}

/// Tickets in a format of the application's: the library's, after a name.
#[derive(Debug)]
struct OwnTickets(Arc<Ticketer>);

const TICKET_NAME: &[u8] = b"the shim's ";

impl ProducesTickets for OwnTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        Some([TICKET_NAME, &self.0.encrypt(plain)?].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket.strip_prefix(TICKET_NAME)?)
    }
}

/// An application that declines to make a ticket, and knows none.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::MAX
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Configurations change from one connection to the next; the sessions go with all of them.
const CONTEXT: &[u8] = b"the runner";

impl Kept {
    pub(crate) fn new() -> Result<Self, Failure> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            store: Arc::default(),
            ticketer: Arc::new(Ticketer::new(provider, Arc::new(DefaultTimeProvider)).map_err(Failure::failed)?),
            cache: ServerSessionMemoryCache::new(16),
        })
    }

    pub(crate) fn configure_client(&self, config: &mut ClientConfig, settings: &Settings) {
        self.store.0.lock().expect("nobody panics while holding it").received = 0;
        config.set_session_store(self.store.clone()).set_session_context(CONTEXT);
        if settings.verification.on_resumption {
            config.reverify_on_resumption();
        }
    }

    pub(crate) fn configure_server(&self, config: &mut ServerConfig, settings: &Settings) {
        config.set_session_storage(self.cache.clone());
        match settings.conduct.tickets {
            TicketCallback::None => config.set_ticketer(self.ticketer.clone()),
            TicketCallback::Makes => config.set_ticketer(Arc::new(OwnTickets(self.ticketer.clone()))),
            // What no ticket holds would go into the storage.
            TicketCallback::Declines => {
                config.set_ticketer(Arc::new(NoTickets)).set_session_storage(Arc::new(NoServerSessionStorage {}))
            }
        };
        config.set_session_context(CONTEXT);
        if settings.conduct.renew_tickets {
            config.renew_tickets();
        }
        if settings.conduct.no_ticket {
            config.set_ticket_count(0);
        }
        if settings.verification.on_resumption {
            config.reverify_on_resumption();
        }
    }

    /// At the end of a connection: whether it brought the client a session.
    pub(crate) fn check(&self, settings: &Settings, negotiated: &Negotiated) -> Result<(), Failure> {
        if settings.role == Role::Server {
            return Ok(());
        }
        let received = self.store.0.lock().expect("nobody panics while holding it").received > 0;
        let expected = &settings.expected;
        let wanted = match (negotiated.version(), negotiated.handshake_kind()) {
            _ if expected.no_session => false,
            // A session that is resumed comes back to the store, whether its ticket is renewed or not (RFC 5077 §3.3).
            (ProtocolVersion::DTLS1_2, HandshakeKind::Resumed) => true,
            _ => true,
        };
        match received == wanted {
            true => Ok(()),
            false => Err(Failure::Failed(format!("check of a new session: expected {wanted}, found {received}"))),
        }
    }
}
