//! Resumption in DTLS 1.2: which session a server resumes, what it leaves to the client, and what a client keeps
//! (RFC 5246 §7.3, RFC 5077 §3, RFC 7627 §5.3).
//!
//! Only sessions with extended master secret are kept: to resume any other is what RFC 7627 §5.3 says not to do.
//!
//! Deviation: a session outlives an association of its that ends with a fatal alert, though RFC 5246 §7.2.2 has it forgotten.
//! No server can take back a ticket, and RFC 8446 no longer asks for it.

use super::authentication::{Judged, TrustedChain};
use super::negotiate::Negotiated;
use super::resumption13::MAX_TICKET;
use super::schedule12::{Derivation, MasterSecret};
use super::session::{self, ResumableSession};
use super::transcript::Transcript;
use super::{Effect, Outbox};
use crate::config::{ClientConfig, PeerCredentials, ServerConfig, Session, SessionHandle, SessionState, SessionTimes};
use crate::crypto::suites::{Suite, Suite12};
use crate::error::{Error, PeerMisbehaved};
use crate::verify::ClientAuth;
use crate::wire::{
    Malformed, ProtocolVersion,
    ack::Epoch,
    enums::{ExtensionType, HandshakeType},
    extensions::Extensions,
    handshake::Message,
    hello::{ClientHello, ServerHello},
    post_handshake::NewSessionTicket12,
};
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// A session that a client offers and the server resumes.
pub(super) struct AcceptedSession {
    pub(super) state: SessionState,
    pub(super) suite: Suite12,
    pub(super) promise: Promise,
}

impl AcceptedSession {
    /// The session to resume, if one that can be used is offered (RFC 5246 §7.4.1.2, RFC 5077 §3.4).
    ///
    /// # Errors
    /// A session with extended master secret, and a ClientHello without (RFC 7627 §5.3). What cannot be resumed for any other
    /// reason is as good as not offered.
    pub(super) fn find(config: &ServerConfig, hello: &ClientHello<'_>) -> Result<Option<Self>, Error> {
        const VERSION: ProtocolVersion = ProtocolVersion::DTLS1_2;
        // "If a ticket is presented by the client, the server MUST NOT attempt to use the Session ID in the ClientHello for
        // stateful session resumption" (RFC 5077 §3.4).
        let ticket = ticket_of(hello).filter(|ticket| !ticket.is_empty() && config.seals_tickets());
        let found = match (ticket, hello.session_id) {
            (Some(ticket), _) => ResumableSession::open(config, ticket, VERSION, hello),
            (None, []) => None,
            (None, id) => ResumableSession::find(config, id, VERSION, hello),
        };
        let Some(state) = found.map(ResumableSession::into_state) else { return Ok(None) };
        let offered = hello.cipher_suites.contains(&state.suite);
        let suite = config.suites().iter().filter(|suite| suite.id() == state.suite).find_map(|suite| match suite {
            Suite::Dtls12(suite) if offered => Some(*suite),
            _ => None,
        });
        let (Some(suite), Derivation::Extended) = (suite, state.derivation) else { return Ok(None) };
        // "If the original session used the "extended_master_secret" extension but the new ClientHello does not contain it,
        // the server MUST abort the abbreviated handshake" (RFC 7627 §5.3).
        if !hello.extensions.flag(ExtensionType::EXTENDED_MASTER_SECRET)? {
            return Err(PeerMisbehaved::MissingExtendedMasterSecret.into());
        }
        let promise = Promise::of_resumption(config, hello, ticket, &state.times);
        Ok(Some(Self { state, suite, promise }))
    }
}

/// The content of session_ticket, if the client has it: a ticket, or nothing at all from a client that would like one
/// (RFC 5077 §3.2).
fn ticket_of<'a>(hello: &ClientHello<'a>) -> Option<&'a [u8]> {
    hello.extensions.find(ExtensionType::SESSION_TICKET)
}

/// What a ServerHello says about the session that it begins.
pub(super) struct Promise {
    ticket: TicketPromise,
    /// Empty: the session is not kept at the server.
    id: Vec<u8>,
}

/// Whether a NewSessionTicket follows (RFC 5077 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TicketPromise {
    Announced,
    None,
}

impl TicketPromise {
    /// "The server uses a zero-length SessionTicket extension to indicate to the client that it will send a new session
    /// ticket" (RFC 5077 §3.2).
    pub(super) fn of_server(extensions: &Extensions<'_>) -> Result<Self, Malformed> {
        Ok(match extensions.flag(ExtensionType::SESSION_TICKET)? {
            true => Self::Announced,
            false => Self::None,
        })
    }
}

impl Promise {
    /// For a full handshake. A client that takes tickets gets an id besides if its certificates may be too many for one.
    pub(super) fn of_full(
        config: &ServerConfig,
        hello: &ClientHello<'_>,
        derivation: Derivation,
    ) -> Result<Self, Error> {
        if derivation == Derivation::Legacy || config.session_lifetime() == 0 {
            return Ok(Self { ticket: TicketPromise::None, id: Vec::new() });
        }
        let ticket = match ticket_of(hello) {
            Some(_) if config.seals_tickets() => TicketPromise::Announced,
            _ => TicketPromise::None,
        };
        // "If a server is planning on issuing a session ticket [...] it SHOULD include an empty Session ID" (RFC 5077 §3.4).
        let id = match (ticket, config.client_auth()) {
            (TicketPromise::Announced, ClientAuth::None) => Vec::new(),
            _ => session::new_id(config)?,
        };
        Ok(Self { ticket, id })
    }

    /// For a resumption by `ticket`, or by id if there is none. A ticket is renewed when half its life is over or its key will
    /// be forgotten soon, or always if that is configured; whoever came by an id and would like a ticket gets one
    /// (RFC 5077 §3.3).
    fn of_resumption(
        config: &ServerConfig,
        hello: &ClientHello<'_>,
        ticket: Option<&[u8]>,
        times: &SessionTimes,
    ) -> Self {
        let age = config.now().as_secs().saturating_sub(times.issued);
        let old = age.saturating_mul(2) >= u64::from(times.lifetime);
        let wanted = ticket.is_none_or(|ticket| old || config.renews_tickets() || config.ticket_is_stale(ticket));
        let possible = ticket_of(hello).is_some() && config.seals_tickets();
        let lasts = session::times(config, times.authenticated).is_some();
        let ticket = if wanted && possible && lasts { TicketPromise::Announced } else { TicketPromise::None };
        Self { ticket, id: Vec::new() }
    }

    pub(super) fn announces_ticket(&self) -> bool {
        self.ticket == TicketPromise::Announced
    }

    /// The id of a session that is new.
    pub(super) fn session_id(&self) -> &[u8] {
        &self.id
    }

    /// Keeps the promise, at the place of the NewSessionTicket: of a full handshake that is after the client's Finished
    /// (RFC 5077 §3.3).
    pub(super) fn keep(
        self,
        config: &ServerConfig,
        negotiated: &Negotiated,
        master: &MasterSecret,
        transcript: &mut Transcript,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let state = session::times(config, negotiated.authenticated).map(|times| {
            let (secret, context) = (master.secret().clone(), config.session_context());
            negotiated.session(secret, master.derivation(), context, times)
        });
        let sealed = match (self.ticket, &state) {
            (TicketPromise::Announced, Some(state)) => session::seal(config, state),
            _ => None,
        };
        if self.announces_ticket() {
            // "If the server determines that it does not want to include a ticket [...] it sends a zero-length ticket".
            let ticket = sealed.as_deref().unwrap_or_default();
            let lifetime_hint = state.as_ref().map_or(0, |state| state.times.lifetime);
            let body = NewSessionTicket12 { lifetime_hint, ticket }.encode();
            out.send(Epoch::PLAINTEXT, HandshakeType::NEW_SESSION_TICKET, body, transcript)?;
        }
        if let (None, Some(state)) = (sealed, state) {
            // Without room for it the id means nothing when it comes back.
            session::store_as(config, &self.id, &state);
        }
        Ok(())
    }
}

/// What a client keeps of a handshake, once it is over.
pub(super) struct Keeper {
    config: Arc<ClientConfig>,
    server: Option<ServerName<'static>>,
    kept: Kept,
}

/// By what the server will know the session again.
enum Kept {
    /// By nothing, as far as it has said.
    Nothing,
    New {
        handle: SessionHandle,
        lifetime: u32,
    },
    /// As before: the session that is resumed.
    Again(Box<Session>),
}

impl Keeper {
    /// After the ServerHello of a full handshake.
    pub(super) fn of_full(
        config: Arc<ClientConfig>,
        server: Option<ServerName<'static>>,
        hello: &ServerHello<'_>,
    ) -> Self {
        let kept = match hello.session_id {
            [] => Kept::Nothing,
            id => Kept::New { handle: SessionHandle::Id(id.to_vec()), lifetime: UNSPECIFIED_LIFETIME },
        };
        Self { config, server, kept }
    }

    /// Of a session that is resumed.
    pub(super) fn of_resumption(
        config: Arc<ClientConfig>,
        server: Option<ServerName<'static>>,
        session: Session,
    ) -> Self {
        Self { config, server, kept: Kept::Again(Box::new(session)) }
    }

    /// Whom we want to talk to.
    pub(super) const fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server.as_ref()
    }

    /// Has the server's chain judged once more, if that is wanted of a resumption.
    pub(super) fn judge_again(&self, peer: &PeerCredentials) -> Result<Option<Judged>, Error> {
        if !self.config.reverifies_on_resumption() {
            return Ok(None);
        }
        let verify = |peer: &_| self.config.verify_server(peer, self.server.as_ref());
        TrustedChain::verify_again(peer.clone(), verify).map(Some)
    }

    /// "If the client receives a session ticket from the server, then it discards any Session ID that was sent in the
    /// ServerHello" (RFC 5077 §3.4). An empty ticket is none (§3.3).
    pub(super) fn receive_ticket(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let NewSessionTicket12 { lifetime_hint, ticket } = NewSessionTicket12::read(message.body)?;
        if !ticket.is_empty() && ticket.len() <= MAX_TICKET {
            let lifetime = if lifetime_hint == 0 { UNSPECIFIED_LIFETIME } else { lifetime_hint };
            self.kept = Kept::New { handle: SessionHandle::Ticket(ticket.to_vec()), lifetime };
        }
        Ok(())
    }

    /// "The client MUST NOT treat the ticket as valid until it has verified the server's Finished message" (RFC 5077 §3.3).
    pub(super) fn keep(self, negotiated: &Negotiated, master: &MasterSecret, out: &mut Outbox) {
        let Self { config, server: Some(server), kept } = self else { return };
        match kept {
            Kept::New { handle, lifetime }
                if master.derivation() == Derivation::Extended && config.keeps_sessions() =>
            {
                let times = SessionTimes::new(negotiated.authenticated, config.now(), lifetime);
                let (secret, context) = (master.secret().clone(), config.session_context());
                let state = negotiated.session(secret, master.derivation(), context, times);
                let session = Session { state, server: server.to_str().into_owned(), handle };
                config.put_session(&server, session);
                out.push(Effect::SessionKept);
            }
            Kept::New { .. } | Kept::Nothing => {}
            Kept::Again(mut session) => {
                session.state.peer = negotiated.peer.clone();
                config.put_session(&server, *session);
            }
        }
    }
}

/// Seconds for which a session is kept of which the server does not say how long it is good (RFC 5246 §F.1.4: "An upper limit of
/// 24 hours is suggested for session ID lifetimes").
const UNSPECIFIED_LIFETIME: u32 = 86_400;
