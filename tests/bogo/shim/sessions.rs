//! What lasts from one connection to the next: a client's sessions, a server's tickets and cache.

use crate::Failure;
use crate::arguments::{Role, Settings, TicketCallback};
use crate::checks::equal;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::time_provider::DefaultTimeProvider;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use udtls::{
    ClientConfig, ClientSessionStore, HandshakeKind, Negotiated, ProtocolVersion, ServerConfig, Session, Ticketer,
};

#[derive(Debug)]
pub(crate) struct Kept {
    store: Arc<Store>,
    ticketer: Arc<Ticketer>,
    cache: Arc<Cache>,
}

/// The newest session last. Whose they are does not matter: there is one runner.
#[derive(Debug, Default)]
struct Store(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    sessions: Vec<Session>,
    /// The one that the current connection offers, as octets.
    offered: Vec<u8>,
    /// Those that it brought, without that one, which comes back if it is resumed and its ticket is not renewed.
    received: usize,
}

impl ClientSessionStore for Store {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        let mut sessions = self.0.lock().expect("nobody panics while holding it");
        sessions.received += usize::from(session.to_bytes() != sessions.offered);
        sessions.sessions.push(session);
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        let mut sessions = self.0.lock().expect("nobody panics while holding it");
        let session = sessions.sessions.pop()?;
        sessions.offered = session.to_bytes();
        Some(session)
    }
}

/// A server's sessions that no ticket holds.
#[derive(Debug)]
struct Cache {
    sessions: Arc<ServerSessionMemoryCache>,
    /// Those that were put there, as they came.
    count: AtomicUsize,
}

impl StoresServerSessions for Cache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.take(key)
    }

    fn can_cache(&self) -> bool {
        self.sessions.can_cache()
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
            cache: Arc::new(Cache { sessions: ServerSessionMemoryCache::new(16), count: AtomicUsize::new(0) }),
        })
    }

    pub(crate) fn configure_client(&self, config: &mut ClientConfig, settings: &Settings) {
        let mut sessions = self.store.0.lock().expect("nobody panics while holding it");
        (sessions.received, sessions.offered) = (0, Vec::new());
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

    /// At the end of a connection: whether it brought the client a session, or the server's cache.
    pub(crate) fn check(&self, settings: &Settings, negotiated: &Negotiated) -> Result<(), Failure> {
        if settings.role == Role::Server {
            return self.check_cache(settings, negotiated);
        }
        let received = self.store.0.lock().expect("nobody panics while holding it").received > 0;
        let expected = &settings.expected;
        let wanted = match (negotiated.version(), negotiated.handshake_kind()) {
            _ if expected.no_session => false,
            (ProtocolVersion::DTLS1_2, HandshakeKind::Resumed) => expected.ticket_renewal,
            _ => true,
        };
        equal("a new session", received, wanted)
    }

    fn check_cache(&self, settings: &Settings, negotiated: &Negotiated) -> Result<(), Failure> {
        let cached = self.cache.count.load(Ordering::Relaxed) > 0;
        match (settings.expected.session_id, negotiated.handshake_kind()) {
            (Some(expected), HandshakeKind::Full) => equal("a session in the cache", cached, expected),
            _ => Ok(()),
        }
    }
}
