//! Sessions at the server: what goes into a ticket or into the storage, and whether what comes out of it may be resumed
//! (RFC 8446 §4.2.11, §4.6.1; RFC 5246 §7.3; RFC 5077 §3.4; RFC 7627 §5.3).
//!
//! A session that cannot be had or used is as good as none: a full handshake follows, and never an error.

use super::negotiate::{Negotiated, server_name};
use crate::config::{MAX_LIFETIME, ServerConfig, SessionContext, SessionState, SessionTimes, session_bytes};
use crate::crypto::{self, prf::Derivation, secret::Secret};
use crate::error::Error;
use crate::verify::{ClientAuth, Judgement};
use crate::wire::{ProtocolVersion, codec::Reader, hello::ClientHello};
use zeroize::Zeroizing;

/// A session of ours that may be resumed with the client that offers it: every check was made that does not depend on the
/// version. Only [`Self::check`] makes one.
pub(super) struct ResumableSession(SessionState);

impl ResumableSession {
    /// The session in a ticket of ours (RFC 5077 §3.4).
    pub(super) fn open(
        config: &ServerConfig,
        ticket: &[u8],
        version: ProtocolVersion,
        hello: &ClientHello<'_>,
    ) -> Option<Self> {
        let plain = Zeroizing::new(config.open_ticket(ticket)?);
        Self::check(read(&plain)?, config, version, hello)
    }

    /// The session that is kept under this id, as it stays (RFC 5246 §7.3).
    pub(super) fn find(
        config: &ServerConfig,
        id: &[u8],
        version: ProtocolVersion,
        hello: &ClientHello<'_>,
    ) -> Option<Self> {
        let plain = Zeroizing::new(config.session_storage().get(id)?);
        Self::check(read(&plain)?, config, version, hello)
    }

    /// The same, for once only (RFC 8446 §8.1).
    pub(super) fn take(
        config: &ServerConfig,
        id: &[u8],
        version: ProtocolVersion,
        hello: &ClientHello<'_>,
    ) -> Option<Self> {
        // The storage, which may be far away, is asked for nothing that cannot be in it.
        let id = Some(id).filter(|id| id.len() == SESSION_ID_LEN)?;
        let plain = Zeroizing::new(config.session_storage().take(id)?);
        Self::check(read(&plain)?, config, version, hello)
    }

    /// Version, verifier, age, name and, if it is wanted, the certificate once more.
    fn check(
        mut state: SessionState,
        config: &ServerConfig,
        version: ProtocolVersion,
        hello: &ClientHello<'_>,
    ) -> Option<Self> {
        let certificates = &state.peer.certificates;
        let authenticated = !certificates.is_empty() || config.client_auth() != ClientAuth::Required;
        // RFC 6066 §3: "MUST NOT accept the request to resume the session if the server_name extension contains a different
        // name".
        let fits = state.version == version
            && state.context == config.session_context()
            && state.times.are_good(config.now())
            && state.server_name.as_deref() == server_name(hello)
            && authenticated;
        if !fits {
            return None;
        }
        if !certificates.is_empty() && config.reverifies_on_resumption() {
            let Ok(Judgement::Accepted(verified)) = config.verify_client(certificates) else { return None };
            state.peer.fault = verified.fault();
        }
        Some(Self(state))
    }

    pub(super) fn into_state(self) -> SessionState {
        self.0
    }
}

fn read(plain: &[u8]) -> Option<SessionState> {
    let mut r = Reader::new(plain);
    let state = (r.u8().ok()? == FORMAT).then(|| SessionState::read(&mut r).ok())??;
    r.finish().ok().map(|()| state)
}

impl Negotiated {
    /// What either end keeps of this handshake, which is over.
    pub(super) fn session(
        &self,
        secret: Secret,
        derivation: Derivation,
        context: SessionContext,
        times: SessionTimes,
    ) -> SessionState {
        SessionState {
            version: self.version,
            suite: self.cipher_suite,
            secret,
            derivation,
            group: self.group,
            signature_scheme: self.signature_scheme,
            server_name: self.server_name.clone(),
            protocol: self.protocol.clone(),
            peer: self.peer.clone(),
            context,
            times,
        }
    }
}

/// A ticket that holds the session, if there is to be one and it is not too long to be sent back in a ClientHello.
pub(super) fn seal(config: &ServerConfig, state: &SessionState) -> Option<Vec<u8>> {
    config.seal_ticket(&session_bytes(state, &[FORMAT])).filter(|ticket| ticket.len() <= MAX_TICKET)
}

/// A new id under which the session is kept, if there is room for it (RFC 5246 §7.3).
///
/// # Errors
/// [`Error::Provider`] if there is no randomness.
pub(super) fn store(config: &ServerConfig, state: &SessionState) -> Result<Option<Vec<u8>>, Error> {
    let id = new_id(config)?;
    Ok(store_as(config, &id, state).then_some(id))
}

/// An id that may be given to a session; empty if none is kept.
///
/// # Errors
/// [`Error::Provider`] if there is no randomness.
pub(super) fn new_id(config: &ServerConfig) -> Result<Vec<u8>, Error> {
    match config.session_storage().can_cache() {
        true => Ok(crypto::random::<SESSION_ID_LEN>(config.provider())?.to_vec()),
        false => Ok(Vec::new()),
    }
}

/// Keeps the session under its id, unless that is empty; whether there was room for it.
pub(super) fn store_as(config: &ServerConfig, id: &[u8], state: &SessionState) -> bool {
    // The storage takes ownership, and wipes nothing.
    let plain = || session_bytes(state, &[FORMAT]).to_vec();
    !id.is_empty() && config.session_storage().put(id.to_vec(), plain())
}

/// How long a session is good that is made now by a peer that proved at unix time `authenticated` who it is; nothing if it is
/// not good at all. However often it is resumed, what was proven once gets old (RFC 8446 §4.6.1).
pub(super) fn times(config: &ServerConfig, authenticated: u64) -> Option<SessionTimes> {
    let now = config.now();
    let age = now.as_secs().saturating_sub(authenticated);
    let left = u64::from(MAX_LIFETIME).saturating_sub(age).try_into().unwrap_or(MAX_LIFETIME);
    let lifetime = config.session_lifetime().min(left);
    (lifetime > 0).then(|| SessionTimes::new(authenticated, now, lifetime))
}

/// First octet of a session at the server; another one with each change of the format.
const FORMAT: u8 = 2;

/// Octets of a session id: as many as fit (RFC 5246 §7.4.1.2).
const SESSION_ID_LEN: usize = 32;

/// Octets of a ticket. Sessions with longer chains of certificates go into the storage: a ClientHello with more than this
/// would not fit where servers put the fragments of those whom they do not know.
const MAX_TICKET: usize = 2048;
