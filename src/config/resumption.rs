//! What the application chose about resumption: where sessions are kept, how tickets are sealed, how long and for whom
//! they are good (RFC 8446 §2.2, §4.6.1; RFC 5246 §7.3; RFC 5077).

use super::session::{ClientSessionStore, DEFAULT_SESSIONS, MAX_LIFETIME, MemoryStore, Session, SessionContext};
use super::ticketer::{DEFAULT_LIFETIME, Ticketer};
use super::{ClientConfig, ConfigError, ServerConfig};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::time_provider::DefaultTimeProvider;
use std::sync::Arc;
use std::time::Duration;

/// Whether a peer's certificate is judged once more when its session is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reverification {
    /// The judgement of the first handshake holds as long as the session.
    Never,
    EachTime,
}

/// A client's choices.
#[derive(Clone, Debug)]
pub(super) struct ClientResumption {
    store: Option<Arc<dyn ClientSessionStore>>,
    context: SessionContext,
    reverification: Reverification,
}

impl ClientResumption {
    pub(super) fn new(context: SessionContext) -> Self {
        let store: Arc<dyn ClientSessionStore> = Arc::new(MemoryStore::new(DEFAULT_SESSIONS));
        Self { store: Some(store), context, reverification: Reverification::Never }
    }
}

impl ClientConfig {
    /// Where sessions are kept. Default: in memory, 256 at most; clones of the configuration share them.
    pub fn set_session_store(&mut self, store: Arc<dyn ClientSessionStore>) -> &mut Self {
        self.resumption.store = Some(store);
        self
    }

    /// Keeps sessions in memory, so many at most, and begins with none. With 0 nothing is resumed, and no server is asked for a session.
    pub fn set_session_capacity(&mut self, sessions: usize) -> &mut Self {
        let store = || -> Arc<dyn ClientSessionStore> { Arc::new(MemoryStore::new(sessions)) };
        self.resumption.store = (sessions > 0).then(store);
        self
    }

    /// What tells whether another configuration may resume this one's sessions: the same octets vouch that both trust the same
    /// servers and show the same certificate. Default: what root certificates or fingerprints and the client's own
    /// certificate tell; with a verifier or resolver of the application's, only clones resume.
    pub fn set_session_context(&mut self, context: &[u8]) -> &mut Self {
        self.resumption.context = SessionContext::of([b"chosen", context]);
        self
    }

    /// Has the server's certificate judged again whenever its session is resumed: by the time of day, revocation lists and
    /// the like.
    pub fn reverify_on_resumption(&mut self) -> &mut Self {
        self.resumption.reverification = Reverification::EachTime;
        self
    }

    pub(crate) fn reverifies_on_resumption(&self) -> bool {
        self.resumption.reverification == Reverification::EachTime
    }

    pub(crate) const fn session_context(&self) -> SessionContext {
        self.resumption.context
    }

    /// A session to offer to this server, if there is one that is good still. What is not is forgotten.
    pub(crate) fn take_session(&self, server: Option<&ServerName<'static>>) -> Option<Session> {
        let (server, now, store) = (server?, self.now(), self.resumption.store.as_ref()?);
        // A store may hold any number that is of no use any more.
        (0..MAX_TAKEN).map_while(|_| store.take(server)).find(|session| {
            session.is_of(server)
                && session.state.context == self.session_context()
                && session.state.times.are_good(now)
                && self.versions().contains(&session.state.version)
                && self
                    .suites()
                    .iter()
                    .any(|suite| suite.id() == session.state.suite && suite.version() == session.state.version)
        })
    }

    /// Keeps a session with this server.
    pub(crate) fn put_session(&self, server: &ServerName<'static>, session: Session) {
        if let Some(store) = &self.resumption.store {
            store.put(server, session);
        }
    }

    /// Whether sessions are kept at all.
    pub(crate) const fn keeps_sessions(&self) -> bool {
        self.resumption.store.is_some()
    }
}

/// Sessions that are looked at before a client goes without.
const MAX_TAKEN: usize = 8;

/// A server's choices.
#[derive(Clone, Debug)]
pub(super) struct ServerResumption {
    tickets: Tickets,
    ticket_count: u8,
    renewal: Renewal,
    storage: Arc<dyn StoresServerSessions>,
    lifetime: u32,
    context: SessionContext,
    reverification: Reverification,
}

/// When a ticket of DTLS 1.2 that is resumed with is replaced by a new one (RFC 5077 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    /// When half its life is over or its key will be forgotten soon.
    WhenDue,
    EachTime,
}

/// Who seals tickets.
#[derive(Clone, Debug)]
enum Tickets {
    /// Ours, by the configuration's time.
    Own(Ticketer),
    Custom(Arc<dyn ProducesTickets>),
}

impl ServerResumption {
    pub(super) fn new(provider: &Arc<CryptoProvider>, context: SessionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            // Its own time provider is never asked.
            tickets: Tickets::Own(Ticketer::new(provider.clone(), Arc::new(DefaultTimeProvider))?),
            ticket_count: DEFAULT_TICKETS,
            renewal: Renewal::WhenDue,
            storage: ServerSessionMemoryCache::new(DEFAULT_SESSIONS),
            lifetime: DEFAULT_LIFETIME,
            context,
            reverification: Reverification::Never,
        })
    }
}

/// NewSessionTickets after a handshake of DTLS 1.3: one to use, and one for an association beside it.
const DEFAULT_TICKETS: u8 = 2;

impl ServerConfig {
    /// How tickets are sealed: by a [`Ticketer`] whose secret others have too, or by one's own. Default: a [`Ticketer`] with a
    /// secret of this process, by the time of [`Self::set_time_provider`]. A session that it makes
    /// no ticket for, or too long a one, goes to [`Self::set_session_storage`]; so do all if it is not enabled.
    pub fn set_ticketer(&mut self, ticketer: Arc<dyn ProducesTickets>) -> &mut Self {
        self.resumption.tickets = Tickets::Custom(ticketer);
        self
    }

    /// Where sessions are kept that no ticket holds: DTLS 1.2 session ids, and everything if there is no ticketer. Default:
    /// in memory, 256 at most.
    pub fn set_session_storage(&mut self, storage: Arc<dyn StoresServerSessions>) -> &mut Self {
        self.resumption.storage = storage;
        self
    }

    /// How many tickets a client gets after a handshake of DTLS 1.3 (RFC 8446 §4.6.1); 0: none, in DTLS 1.2 neither.
    /// Default: 2.
    pub fn set_ticket_count(&mut self, tickets: u8) -> &mut Self {
        self.resumption.ticket_count = tickets;
        self
    }

    /// Gives clients of DTLS 1.2 a new ticket with each resumption: whoever listens can tell that two associations which begin
    /// with the same ticket are of the same client (RFC 8446 §C.4). In DTLS 1.3 each association brings new tickets anyway.
    /// Default: when half its life is over, or its key will be forgotten soon.
    pub fn renew_tickets(&mut self) -> &mut Self {
        self.resumption.renewal = Renewal::EachTime;
        self
    }

    pub(crate) fn renews_tickets(&self) -> bool {
        self.resumption.renewal == Renewal::EachTime
    }

    /// How long sessions may be resumed, seven days at most (RFC 8446 §4.6.1). A ticketer of a shorter life shortens it.
    /// Default: 12 hours.
    pub fn set_session_lifetime(&mut self, lifetime: Duration) -> &mut Self {
        self.resumption.lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME);
        // Tickets open as long as sessions live, and not much longer.
        if let Tickets::Own(ticketer) = &self.resumption.tickets {
            self.resumption.tickets = Tickets::Own(ticketer.clone().with_lifetime(lifetime));
        }
        self
    }

    /// What tells whether another configuration may resume this one's sessions: the same octets vouch that both trust the
    /// same clients. Default: what is configured, or with a verifier of the application's: only clones resume, so that a
    /// fleet that asks for certificates must say something here.
    pub fn set_session_context(&mut self, context: &[u8]) -> &mut Self {
        self.resumption.context = SessionContext::of([b"chosen", context]);
        self
    }

    /// Has a client's certificate judged again before its session is resumed; where it is refused, there is a full handshake.
    pub fn reverify_on_resumption(&mut self) -> &mut Self {
        self.resumption.reverification = Reverification::EachTime;
        self
    }

    pub(crate) fn reverifies_on_resumption(&self) -> bool {
        self.resumption.reverification == Reverification::EachTime
    }

    pub(crate) const fn session_context(&self) -> SessionContext {
        self.resumption.context
    }

    pub(crate) fn session_storage(&self) -> &dyn StoresServerSessions {
        &*self.resumption.storage
    }

    /// Whether there are tickets that hold the session.
    pub(crate) fn seals_tickets(&self) -> bool {
        self.resumption.ticket_count > 0
            && match &self.resumption.tickets {
                Tickets::Own(_) => true,
                Tickets::Custom(ticketer) => ticketer.enabled(),
            }
    }

    pub(crate) const fn ticket_count(&self) -> u8 {
        self.resumption.ticket_count
    }

    /// Seconds that a session made now is good for.
    pub(crate) fn session_lifetime(&self) -> u32 {
        match &self.resumption.tickets {
            Tickets::Custom(ticketer) if ticketer.enabled() => self.resumption.lifetime.min(ticketer.lifetime()),
            Tickets::Own(_) | Tickets::Custom(_) => self.resumption.lifetime,
        }
    }

    /// A ticket with this content, if one can be made.
    pub(crate) fn seal_ticket(&self, plain: &[u8]) -> Option<Vec<u8>> {
        match &self.resumption.tickets {
            _ if !self.seals_tickets() => None,
            Tickets::Own(ticketer) => ticketer.seal(plain, self.now()),
            Tickets::Custom(ticketer) => ticketer.encrypt(plain),
        }
        .filter(|ticket| !ticket.is_empty())
    }

    /// Whether a ticket of ours is under a key that will be forgotten soon, as far as can be known.
    pub(crate) fn ticket_is_stale(&self, ticket: &[u8]) -> bool {
        match &self.resumption.tickets {
            Tickets::Own(ticketer) => ticketer.is_stale(ticket, self.now()),
            Tickets::Custom(_) => false,
        }
    }

    /// What a ticket holds, if it is one of ours.
    pub(crate) fn open_ticket(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        match &self.resumption.tickets {
            _ if !self.seals_tickets() => None,
            Tickets::Own(ticketer) => ticketer.open(ticket, self.now()),
            Tickets::Custom(ticketer) => ticketer.decrypt(ticket),
        }
    }
}
