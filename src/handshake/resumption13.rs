//! Resumption in DTLS 1.3: which PSK a server takes, and the tickets that follow a handshake (RFC 8446 §2.2, §4.2.9–§4.2.11,
//! §4.6.1; RFC 9147 §5.8.4).

use super::negotiate::Negotiated;
use super::schedule13::{EarlySchedule, ResumptionSecret};
use super::session::{self, ResumableSession};
use super::transcript::Transcript;
use super::{APPLICATION_EPOCH, Effect, FlightEnd, Outbox};
use crate::config::{ClientConfig, ServerConfig, Session, SessionHandle, SessionState, SessionTimes};
use crate::crypto::{self, prf::Derivation, suites::Suite13};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ProtocolVersion,
    enums::HandshakeType,
    handshake::Message,
    hello::ClientHello,
    post_handshake::NewSessionTicket13,
    pre_shared_key::{OfferedPsks, PSK_DHE_KE},
};
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// A PSK of the client's whose binder is right.
pub(super) struct AcceptedPsk {
    /// Which of those that were offered.
    pub(super) selected_identity: u16,
    pub(super) schedule: EarlySchedule,
    pub(super) session: SessionState,
}

/// The PSK to resume with, if one that is offered can be used with the suite that was chosen. `transcript` ends before this
/// ClientHello.
///
/// # Errors
/// What RFC 8446 §4.2.9 and §4.2.11 end the handshake for; an identity that is unknown or cannot be used is none of it.
pub(super) fn select_psk(
    config: &ServerConfig,
    suite: Suite13,
    hello: &ClientHello<'_>,
    message: &Message<'_>,
    transcript: &Transcript,
) -> Result<Option<AcceptedPsk>, Error> {
    let Some(offered) = &hello.known.pre_shared_key else { return Ok(None) };
    // "If clients offer "pre_shared_key" without a "psk_key_exchange_modes" extension, servers MUST abort the handshake."
    let modes = hello.known.psk_modes.ok_or(PeerMisbehaved::MissingPskKeyExchangeModes)?;
    if offered.identities().count() != offered.binders().count() {
        return Err(PeerMisbehaved::BinderCountMismatch.into());
    }
    if !modes.contains(&PSK_DHE_KE) {
        return Ok(None);
    }
    let Some((selected_identity, binder, session)) = find_session(config, suite, hello, offered) else {
        return Ok(None);
    };
    let schedule = EarlySchedule::with_psk(suite, &session.secret);
    let covered = message.body.len().checked_sub(offered.binders_len()).and_then(|end| message.body.get(..end));
    let hash = transcript.hash_with(&[&message.tls_header(), covered.unwrap_or_default()]);
    // "they SHOULD select a single PSK and validate solely the binder that corresponds to that PSK".
    match crypto::constant_time_eq(schedule.resumption_binder(&hash)?.as_ref(), binder) {
        true => Ok(Some(AcceptedPsk { selected_identity, schedule, session })),
        false => Err(PeerMisbehaved::BinderMismatch.into()),
    }
}

/// The first identity that is a session of ours and fits, with its place and binder.
fn find_session<'a>(
    config: &ServerConfig,
    suite: Suite13,
    hello: &ClientHello<'a>,
    offered: &OfferedPsks<'a>,
) -> Option<(u16, &'a [u8], SessionState)> {
    let pairs = offered.identities().zip(offered.binders()).zip(0..).take(MAX_IDENTITIES);
    pairs.into_iter().find_map(|((psk, binder), index)| {
        let session = ResumableSession::open(config, psk.identity, ProtocolVersion::DTLS1_3, hello)
            .or_else(|| ResumableSession::take(config, psk.identity, ProtocolVersion::DTLS1_3, hello))?
            .into_state();
        // "Any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm" (RFC 8446 §4.6.1).
        let known = config.suites().iter().find(|known| known.id() == session.suite)?;
        (known.hash().algorithm() == suite.hash().algorithm()).then_some((index, binder, session))
    })
}

/// Identities that a server looks at: each costs it an attempt to open a ticket.
const MAX_IDENTITIES: usize = 4;

/// Whether the client can make use of tickets (RFC 8446 §4.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TicketsWanted {
    Yes,
    No,
}

impl TicketsWanted {
    pub(super) fn by(hello: &ClientHello<'_>) -> Self {
        match hello.known.psk_modes {
            Some(modes) if modes.contains(&PSK_DHE_KE) => Self::Yes,
            _ => Self::No,
        }
    }
}

/// Whether NewSessionTickets are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tickets {
    Sent,
    NotSent,
}

/// Sends the tickets that follow a handshake, as a flight of their own (RFC 8446 §4.6.1, RFC 9147 §5.8.4).
pub(super) fn send_tickets(
    config: &ServerConfig,
    negotiated: &Negotiated,
    secret: &ResumptionSecret,
    out: &mut Outbox,
) -> Result<Tickets, Error> {
    let mut tickets = Tickets::NotSent;
    for number in 0..config.ticket_count() {
        // "a per-ticket value that is unique across all tickets issued on this connection".
        let nonce = [number];
        let Some((lifetime, ticket)) = make_ticket(config, negotiated, secret, &nonce)? else { break };
        let age_add = u32::from_be_bytes(crypto::random(config.provider())?);
        let body = NewSessionTicket13 { lifetime, age_add, nonce: &nonce, ticket: &ticket }.encode();
        if tickets == Tickets::NotSent {
            out.push(Effect::Flight(FlightEnd::Acknowledgement));
            tickets = Tickets::Sent;
        }
        let message = out.number(HandshakeType::NEW_SESSION_TICKET, body)?;
        out.push(Effect::Send { epoch: APPLICATION_EPOCH, message });
    }
    Ok(tickets)
}

/// A ticket and the seconds for which it is good; none if there is neither a ticketer nor a storage.
fn make_ticket(
    config: &ServerConfig,
    negotiated: &Negotiated,
    secret: &ResumptionSecret,
    nonce: &[u8],
) -> Result<Option<(u32, Vec<u8>)>, Error> {
    let Some(times) = session::times(config, negotiated.authenticated) else { return Ok(None) };
    let psk = secret.psk(nonce)?;
    let state = negotiated.session(psk, Derivation::Extended, config.session_context(), times);
    let ticket = match session::seal(config, &state) {
        Some(ticket) => Some(ticket),
        None => session::store(config, &state)?,
    };
    Ok(ticket.map(|ticket| (times.lifetime, ticket)))
}

/// What a client needs to make sessions of the tickets that may come as long as the association lasts.
pub(super) struct TicketKeeper {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server: ServerName<'static>,
    pub(super) secret: ResumptionSecret,
    pub(super) negotiated: Arc<Negotiated>,
}

impl TicketKeeper {
    /// Makes a session of a ticket and keeps it, unless it is of no use (RFC 8446 §4.6.1).
    pub(super) fn keep(&self, ticket: &NewSessionTicket13<'_>, out: &mut Outbox) -> Result<(), Error> {
        // "The value of zero indicates that the ticket should be discarded immediately."
        if ticket.lifetime == 0 || ticket.ticket.len() > MAX_TICKET {
            return Ok(());
        }
        let Self { config, server, secret, negotiated } = self;
        let times = SessionTimes::new(negotiated.authenticated, config.now(), ticket.lifetime);
        let psk = secret.psk(ticket.nonce)?;
        let session = Session {
            state: negotiated.session(psk, Derivation::Extended, config.session_context(), times),
            server: server.to_str().into_owned(),
            handle: SessionHandle::Psk { ticket: ticket.ticket.to_vec(), age_add: ticket.age_add },
        };
        config.put_session(server, session);
        out.push(Effect::SessionKept);
        Ok(())
    }
}

/// Octets of a ticket that a client keeps and sends back: a quarter of what a ClientHello could say.
pub(super) const MAX_TICKET: usize = 1 << 14;
