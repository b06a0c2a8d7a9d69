//! The abbreviated handshake of DTLS 1.2 up to where it goes on as the full one ends, in both roles (RFC 5246 §7.3,
//! RFC 5077 §3.1, RFC 7627 §5.3).
//!
//! ```text
//! ClientHello               -->
//!                           <--  ServerHello
//!                           <--  [NewSessionTicket]
//!                           <--  [ChangeCipherSpec]
//!                           <--  Finished
//! [ChangeCipherSpec]        -->
//! Finished                  -->
//! ```
//!
//! The server speaks first, so that it is the client's last flight that may have to be repeated (RFC 6347 §4.2.4).

use super::client_finish12::{self, Confirmation};
use super::client12::check_server_hello;
use super::common12::send_finished;
use super::extensions::Settled;
use super::negotiate::{HandshakeKind, HelloRetryRequest, Negotiated};
use super::offer::{Offer, OfferedSession12};
use super::resumption12::{AcceptedSession, Keeper, TicketPromise};
use super::schedule12::{KeyBlock, MasterSecret, Randoms};
use super::server12::{put_session_extensions, server_random};
use super::transcript::{Retention, Transcript, TranscriptBuffer, TranscriptForm};
use super::{Effect, FlightEnd, Outbox, State, server_finish12};
use crate::config::{ServerConfig, SessionState};
use crate::crypto::{Role, suites::Suite12};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ProtocolVersion,
    ack::Epoch,
    enums::{ExtensionType, HandshakeType},
    handshake::Message,
    hello::{ClientHello, ServerHello},
};
use std::sync::Arc;

/// The server's flight: ServerHello to Finished.
pub(super) fn resume(
    config: &Arc<ServerConfig>,
    session: AcceptedSession,
    hello: &ClientHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    let AcceptedSession { state, suite, promise } = session;
    // Settled anew: "the previous contents of this extension are irrelevant" (RFC 7301 §3.1).
    let settled = Settled::choose(config, hello, ProtocolVersion::DTLS1_2)?;
    let randoms = Randoms { client: *hello.random, server: server_random(config)? };
    let mut transcript = Transcript::new(suite.hash(), TranscriptForm::Dtls12, Retention::HashOnly);
    transcript.add(message);

    out.push(Effect::Flight(FlightEnd::Answer));
    settled.limit_records(out);
    let mut body = Vec::with_capacity(SERVER_HELLO_LEN);
    // By the echo the client knows that its session is resumed (RFC 5246 §7.4.1.3, RFC 5077 §3.4). Its name is not
    // acknowledged: "the server MUST NOT include a server_name extension in the server hello" (RFC 6066 §3).
    ServerHello::put(&mut body, &randoms.server, hello.session_id, suite.id, |out| {
        put_session_extensions(config, hello, state.derivation, &promise, &settled, out);
    });
    out.send(Epoch::PLAINTEXT, HandshakeType::SERVER_HELLO, body, &mut transcript)?;

    let (master, keys) = derive(suite, &state, randoms, |master| master.log(config.key_log()))?;
    let server_name = state.server_name.clone();
    let negotiated = negotiated(state, settled, server_name);
    promise.keep(config, &negotiated, &master, &mut transcript, out)?;
    send_finished(Role::Server, &master, keys.server, &mut transcript, out)?;
    let own = server_finish12::OwnFinished::Sent;
    let confirmation = server_finish12::Confirmation { master, transcript, negotiated, own };
    Ok(confirmation.expect(keys.client, out))
}

/// Octets of a ServerHello without a protocol name.
const SERVER_HELLO_LEN: usize = 128;

/// The master secret under new randoms, logged, and its keys (RFC 5246 §7.3).
fn derive(
    suite: Suite12,
    session: &SessionState,
    randoms: Randoms,
    log: impl FnOnce(&MasterSecret),
) -> Result<(MasterSecret, KeyBlock), Error> {
    let master = MasterSecret::resumed(suite, session.secret.clone(), session.derivation, randoms);
    log(&master);
    let keys = master.key_block()?;
    Ok((master, keys))
}

/// What the first handshake agreed on, but for what is settled anew.
fn negotiated(session: SessionState, settled: Settled, server_name: Option<String>) -> Box<Negotiated> {
    Box::new(Negotiated {
        version: ProtocolVersion::DTLS1_2,
        cipher_suite: session.suite,
        group: session.group,
        signature_scheme: session.signature_scheme,
        protocol: settled.protocol,
        srtp_profile: settled.srtp_profile,
        server_name,
        peer: session.peer,
        hello_retry_request: HelloRetryRequest::Unneeded,
        kind: HandshakeKind::Resumed,
        authenticated: session.times.authenticated,
    })
}

/// The server has echoed the id that came with our session: it resumes it.
pub(super) fn handle_server_hello(
    offer: Offer,
    resumed: OfferedSession12,
    transcript: TranscriptBuffer,
    hello: &ServerHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    let suite = check_server_hello(&offer, hello)?;
    let session = resumed.into_session();
    if suite.id != session.state.suite {
        return Err(PeerMisbehaved::CipherSuiteChangedOnResumption.into());
    }
    // "If the original session used the extension but the new ServerHello does not contain the extension, the client MUST
    // abort the handshake" (RFC 7627 §5.3). No session without it is ever offered.
    if !hello.extensions.flag(ExtensionType::EXTENDED_MASTER_SECRET)? {
        return Err(PeerMisbehaved::MissingExtendedMasterSecret.into());
    }
    let ticket = TicketPromise::of_server(&hello.extensions)?;
    let settled = Settled::read(&offer, &hello.extensions, ProtocolVersion::DTLS1_2)?;
    settled.limit_records(out);
    let mut transcript = transcript.start(suite.hash(), TranscriptForm::Dtls12, Retention::HashOnly);
    transcript.add(message);
    let randoms = Randoms { client: offer.random, server: *hello.random };
    let (master, keys) = derive(suite, &session.state, randoms, |master| master.log(offer.config.key_log()))?;
    let server_name = offer.sni().map(str::to_owned);
    let negotiated = negotiated(session.state.clone(), settled, server_name);
    let Offer { config, name, .. } = offer;
    let keeper = Keeper::of_resumption(config, name, session);
    let own = client_finish12::OwnFinished::Due(keys.client);
    let confirmation = Confirmation { master, transcript, negotiated, keeper, own };
    Ok(confirmation.expect(keys.server, ticket, out))
}
