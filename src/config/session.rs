//! Sessions: what one association leaves to the next, so that the next needs no certificate and no signature
//! (RFC 8446 §2.2, RFC 5246 §7.3, RFC 5077), and where a client keeps them.

use crate::crypto::{self, prf::Derivation, secret::Secret};
use crate::error::Error;
use crate::verify::{Fault, Fingerprint};
use crate::wire::{
    AlertDescription, CipherSuite, Malformed, NamedGroup, ProtocolVersion, SignatureScheme,
    codec::{Put, Reader},
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// A session that a client may resume: opaque, to be kept in memory or as octets.
///
/// Whoever has it can pass for the client's end of the association that it came from and, in DTLS 1.2, read what was sent:
/// keep it as carefully as a private key. It is good for the server, the verifier and the client certificate with which it
/// was made, and for none else.
#[derive(Clone)]
pub struct Session {
    pub(crate) state: SessionState,
    /// Whom the application wanted to reach, as it said so.
    pub(crate) server: String,
    pub(crate) handle: SessionHandle,
}

/// By what the server knows the session again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionHandle {
    /// DTLS 1.3: a ticket, and what obscures its age (RFC 8446 §4.6.1).
    Psk { ticket: Vec<u8>, age_add: u32 },
    /// DTLS 1.2: a ticket (RFC 5077 §3.3).
    Ticket(Vec<u8>),
    /// DTLS 1.2: a session id (RFC 5246 §7.3).
    Id(Vec<u8>),
}

/// What either end keeps of a session.
#[derive(Clone)]
pub(crate) struct SessionState {
    pub(crate) version: ProtocolVersion,
    pub(crate) suite: CipherSuite,
    /// The PSK of DTLS 1.3, the master secret of 1.2.
    pub(crate) secret: Secret,
    /// DTLS 1.2: how the master secret came to be (RFC 7627 §5.3). Always extended in 1.3.
    pub(crate) derivation: Derivation,
    /// The group of the first handshake's key exchange.
    pub(crate) group: NamedGroup,
    /// The scheme of the server's signature in the first handshake.
    pub(crate) signature_scheme: SignatureScheme,
    /// What the client sent in server_name.
    pub(crate) server_name: Option<String>,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) peer: PeerCredentials,
    pub(crate) context: SessionContext,
    pub(crate) times: SessionTimes,
}

/// What the peer authenticated itself with in the first handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerCredentials {
    /// End entity first; empty if the peer has none.
    pub(crate) certificates: Arc<[CertificateDer<'static>]>,
    /// The stapled OCSP response; empty if there was none (RFC 6066 §8).
    pub(crate) ocsp_response: Arc<[u8]>,
    /// `SignedCertificateTimestampList`; empty if there was none (RFC 6962 §3.3).
    pub(crate) timestamps: Arc<[u8]>,
    /// What is wrong with the certificates.
    pub(crate) fault: Fault,
}

/// How long a session is good, in seconds of unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimes {
    /// When the peer last proved who it is: a session that comes of another has the time of the first.
    pub(crate) authenticated: u64,
    /// When this session was made.
    pub(crate) issued: u64,
    /// Seconds from `issued` on.
    pub(crate) lifetime: u32,
}

/// The most seconds that a session is good for, renewed or not (RFC 8446 §4.6.1).
pub(crate) const MAX_LIFETIME: u32 = 604_800;

impl SessionTimes {
    /// Of a session made now, after `authenticated`.
    pub(crate) fn new(authenticated: u64, now: UnixTime, lifetime: u32) -> Self {
        Self { authenticated, issued: now.as_secs(), lifetime: lifetime.min(MAX_LIFETIME) }
    }

    /// Whether the session may still be resumed: neither itself nor the proof behind it too old (RFC 8446 §4.2.11.1,
    /// §4.6.1).
    pub(crate) fn are_good(&self, now: UnixTime) -> bool {
        let now = now.as_secs();
        // A node of the fleet may be ahead of this one by a little.
        let age = now.saturating_add(CLOCK_SKEW).checked_sub(self.issued);
        let expired = now.saturating_sub(self.issued) >= u64::from(self.lifetime);
        let stale = now.saturating_sub(self.authenticated) >= u64::from(MAX_LIFETIME);
        age.is_some() && !expired && !stale
    }

    /// Milliseconds since the session was made, modulo 2^32 (RFC 8446 §4.2.11.1).
    pub(crate) fn age(&self, now: UnixTime) -> u32 {
        let seconds = u32::try_from(now.as_secs().saturating_sub(self.issued)).unwrap_or(u32::MAX);
        seconds.wrapping_mul(1000)
    }
}

/// Seconds by which clocks may differ.
const CLOCK_SKEW: u64 = 60;

/// Whom a configuration trusts and as whom it appears: sessions of one context mean nothing in another, so that nothing is
/// resumed with a changed verifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionContext([u8; 32]);

impl SessionContext {
    /// Of what determines it.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Of trust in end-entity certificates.
    pub(crate) fn of_fingerprints(fingerprints: &[Fingerprint]) -> Self {
        let mut octets: Vec<&[u8]> = fingerprints.iter().map(|fingerprint| &fingerprint.octets()[..]).collect();
        octets.sort_unstable();
        Self::of(octets)
    }

    /// Like no other: what determines it cannot be looked at.
    pub(crate) fn unique(provider: &CryptoProvider) -> Result<Self, Error> {
        crypto::random(provider).map(Self)
    }

    /// Narrowed down by one more part.
    pub(crate) fn and(self, part: &[u8]) -> Self {
        Self::of([&self.0[..], part])
    }
}

impl SessionState {
    /// Appends the state; [`Self::read`] reads it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(self.version.0);
        out.put_u16(self.suite.0);
        out.put_vec::<1>(|out| out.put(self.secret.as_ref()));
        out.put_u8(match self.derivation {
            Derivation::Legacy => 0,
            Derivation::Extended => 1,
        });
        out.put_u16(self.group.0);
        out.put_u16(self.signature_scheme.0);
        // Neither is ever empty.
        out.put_vec::<1>(|out| out.put(self.server_name.as_deref().unwrap_or_default().as_bytes()));
        out.put_vec::<1>(|out| out.put(self.protocol.as_deref().unwrap_or_default()));
        out.put_vec::<3>(|out| {
            self.peer.certificates.iter().for_each(|der| out.put_vec::<3>(|out| out.put(der)));
        });
        out.put_vec::<3>(|out| out.put(&self.peer.ocsp_response));
        out.put_vec::<2>(|out| out.put(&self.peer.timestamps));
        out.put_vec::<1>(|out| self.peer.fault.iter().for_each(|fault| out.put_u8(fault.0)));
        out.put(&self.context.0);
        out.put(&self.times.authenticated.to_be_bytes());
        out.put(&self.times.issued.to_be_bytes());
        out.put(&self.times.lifetime.to_be_bytes());
    }

    /// Reads what [`Self::put`] wrote.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let version = ProtocolVersion(r.u16()?);
        if ![ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3].contains(&version) {
            return Err(Malformed::BadValue);
        }
        Ok(Self {
            version,
            suite: CipherSuite(r.u16()?),
            secret: Secret::new(r.vec8()?).map_err(|_| Malformed::BadLength)?,
            derivation: match r.u8()? {
                0 => Derivation::Legacy,
                1 => Derivation::Extended,
                _ => return Err(Malformed::BadValue),
            },
            group: NamedGroup(r.u16()?),
            signature_scheme: SignatureScheme(r.u16()?),
            server_name: read_name(r.vec8()?)?,
            protocol: Some(r.vec8()?).filter(|name| !name.is_empty()).map(<[u8]>::to_vec),
            peer: PeerCredentials {
                certificates: read_chain(r.vec24()?)?,
                ocsp_response: r.vec24()?.into(),
                timestamps: r.vec16()?.into(),
                fault: read_fault(r.vec8()?)?,
            },
            context: SessionContext(r.array()?),
            times: SessionTimes {
                authenticated: u64::from_be_bytes(r.array()?),
                issued: u64::from_be_bytes(r.array()?),
                lifetime: r.u32()?,
            },
        })
    }
}

fn read_name(octets: &[u8]) -> Result<Option<String>, Malformed> {
    let name = std::str::from_utf8(octets).map_err(|_| Malformed::BadValue)?;
    Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
}

fn read_fault(octets: &[u8]) -> Result<Fault, Malformed> {
    match octets {
        [] => Ok(None),
        [fault] => Ok(Some(AlertDescription(*fault))),
        _ => Err(Malformed::BadLength),
    }
}

fn read_chain(octets: &[u8]) -> Result<Arc<[CertificateDer<'static>]>, Malformed> {
    let mut chain = Vec::new();
    let mut r = Reader::new(octets);
    while !r.is_empty() {
        chain.push(CertificateDer::from(r.vec24()?.to_vec()));
    }
    Ok(chain.into())
}

impl Session {
    /// The session as octets, which [`Self::from_bytes`] reads. They hold its secret, and are wiped when dropped by
    /// whoever asks for that.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.put_u8(FORMAT);
        self.state.put(&mut out);
        out.put_vec::<1>(|out| out.put(self.server.as_bytes()));
        match &self.handle {
            SessionHandle::Psk { ticket, age_add } => {
                out.put_u8(HANDLE_PSK);
                out.put(&age_add.to_be_bytes());
                out.put_vec::<2>(|out| out.put(ticket));
            }
            SessionHandle::Ticket(ticket) => {
                out.put_u8(HANDLE_TICKET);
                out.put_vec::<2>(|out| out.put(ticket));
            }
            SessionHandle::Id(id) => {
                out.put_u8(HANDLE_ID);
                out.put_vec::<2>(|out| out.put(id));
            }
        }
        out
    }

    /// Reads what [`Self::to_bytes`] gave, by the same version of this crate.
    ///
    /// # Errors
    /// [`Malformed`] if it is nothing of the kind: use the session as if there were none.
    pub fn from_bytes(octets: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(octets);
        if r.u8()? != FORMAT {
            return Err(Malformed::BadValue);
        }
        let state = SessionState::read(&mut r)?;
        let server = read_name(r.vec8()?)?.ok_or(Malformed::BadLength)?;
        let handle = match (r.u8()?, state.version) {
            (HANDLE_PSK, ProtocolVersion::DTLS1_3) => {
                let age_add = r.u32()?;
                SessionHandle::Psk { age_add, ticket: r.vec16()?.to_vec() }
            }
            (HANDLE_TICKET, ProtocolVersion::DTLS1_2) => SessionHandle::Ticket(r.vec16()?.to_vec()),
            (HANDLE_ID, ProtocolVersion::DTLS1_2) => SessionHandle::Id(r.vec16()?.to_vec()),
            _ => return Err(Malformed::BadValue),
        };
        r.finish()?;
        Ok(Self { state, server, handle })
    }

    /// The protocol version: only that one resumes it.
    pub fn version(&self) -> ProtocolVersion {
        self.state.version
    }

    /// The cipher suite that it was made with.
    pub fn cipher_suite(&self) -> CipherSuite {
        self.state.suite
    }

    /// Whether it came of an association with this server.
    pub(crate) fn is_of(&self, server: &ServerName<'_>) -> bool {
        self.server == server.to_str()
    }
}

/// First octet of a session as octets; another one with each change of the format.
const FORMAT: u8 = 2;
const HANDLE_PSK: u8 = 1;
const HANDLE_TICKET: u8 = 2;
const HANDLE_ID: u8 = 3;

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionState")
            .field("version", &self.version)
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    /// Version and suite; nothing by which the session could be used or recognised.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("version", &self.state.version)
            .field("cipher_suite", &self.state.suite)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionContext(..)")
    }
}

/// Keeps a client's sessions.
pub trait ClientSessionStore: fmt::Debug + Send + Sync {
    /// Keeps a session for the next association with `server`.
    fn put(&self, server: &ServerName<'static>, session: Session);

    /// Gives the newest session with `server` and forgets it: one of DTLS 1.3 is to be used only once, lest whoever watches
    /// recognise the client (RFC 8446 §C.4); one of DTLS 1.2 comes back by [`Self::put`] after it was good.
    fn take(&self, server: &ServerName<'static>) -> Option<Session>;
}

/// The store that a client has by default: in memory, and bounded.
#[derive(Debug)]
pub(super) struct MemoryStore {
    /// The newest last.
    sessions: Mutex<VecDeque<(ServerName<'static>, Session)>>,
    capacity: usize,
}

impl MemoryStore {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { sessions: Mutex::new(VecDeque::new()), capacity }
    }
}

impl ClientSessionStore for MemoryStore {
    fn put(&self, server: &ServerName<'static>, session: Session) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that gives one ticket after another takes no other's place.
        if sessions.iter().filter(|(name, _)| name == server).count() >= SESSIONS_OF_ONE_SERVER
            && let Some(oldest) = sessions.iter().position(|(name, _)| name == server)
        {
            sessions.remove(oldest);
        }
        if sessions.len() >= self.capacity {
            sessions.pop_front();
        }
        sessions.push_back((server.clone(), session));
    }

    fn take(&self, server: &ServerName<'static>) -> Option<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = sessions.iter().rposition(|(name, _)| name == server)?;
        sessions.remove(newest).map(|(_, session)| session)
    }
}

/// Sessions that the default store keeps.
pub(super) const DEFAULT_SESSIONS: usize = 256;

/// Sessions of one server that the default store keeps: servers give two, and a client may open several associations.
const SESSIONS_OF_ONE_SERVER: usize = 8;

/// A session's octets on their way into a ticket or out of it.
pub(crate) type SessionBytes = Zeroizing<Vec<u8>>;

/// Grows `out` without leaving secrets behind in memory that was given back.
pub(crate) fn session_bytes(state: &SessionState, head: &[u8]) -> SessionBytes {
    // Room for everything, so that the buffer never moves.
    let chain: usize = state.peer.certificates.iter().map(|der| der.len().saturating_add(3)).sum();
    let names = state.server_name.as_ref().map_or(0, String::len);
    let lists = state.peer.ocsp_response.len().saturating_add(state.peer.timestamps.len());
    let length = [chain, names, lists, head.len()].into_iter().fold(1024, usize::saturating_add);
    let mut out = Vec::with_capacity(length);
    out.put(head);
    state.put(&mut out);
    let bytes = Zeroizing::new(out);
    debug_assert!(bytes.len() <= length, "the buffer has moved");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn session(number: u32) -> Session {
        let state = SessionState {
            version: ProtocolVersion::DTLS1_3,
            suite: CipherSuite::TLS_AES_128_GCM_SHA256,
            secret: Secret::new(&[7; 32]).unwrap(),
            derivation: Derivation::Extended,
            group: NamedGroup::X25519,
            signature_scheme: SignatureScheme::ED25519,
            server_name: Some("server.example".into()),
            protocol: Some(b"coap".to_vec()),
            peer: PeerCredentials {
                certificates: Arc::new([CertificateDer::from(vec![1, 2]), CertificateDer::from(vec![3])]),
                ocsp_response: Arc::new([4, 5]),
                timestamps: Arc::new([6]),
                fault: Some(AlertDescription::UNKNOWN_CA),
            },
            context: SessionContext([9; 32]),
            times: SessionTimes { authenticated: 1, issued: 2, lifetime: 3 },
        };
        Session {
            state,
            server: "server.example".into(),
            handle: SessionHandle::Psk { ticket: vec![8], age_add: number },
        }
    }

    fn number(session: Option<Session>) -> Option<u32> {
        match session?.handle {
            SessionHandle::Psk { age_add, .. } => Some(age_add),
            _ => None,
        }
    }

    #[test]
    fn a_state_survives_as_octets() {
        let state = session(0).state;
        let bytes = session_bytes(&state, b"!");
        let mut r = Reader::new(&bytes[1..]);
        let read = SessionState::read(&mut r).unwrap();
        assert!(r.is_empty());
        assert_eq!(session_bytes(&read, b"!"), bytes);
        assert_eq!((read.peer, read.times), (state.peer, state.times));
        assert_eq!(read.server_name.as_deref(), Some("server.example"));
        assert_eq!(read.protocol.as_deref(), Some(&b"coap"[..]));
    }

    /// There is one fault at most, and a list of two is none of ours.
    #[test]
    fn a_second_fault_is_refused() {
        let mut bytes = session(0).to_bytes();
        let context = bytes.windows(32).position(|window| window == [9; 32]).unwrap();
        bytes.insert(context, 0);
        bytes[context - 2] = 2;
        assert_eq!(Session::from_bytes(&bytes).err(), Some(Malformed::BadLength));
    }

    /// Octets that an application kept somewhere else may come back as anything: they are read or refused, never more than
    /// what is there.
    #[test]
    fn m2_altered_octets_are_read_or_refused() {
        let bytes = session(0).to_bytes();
        for len in 0..bytes.len() {
            assert!(Session::from_bytes(&bytes[..len]).is_err(), "{len} of {} octets", bytes.len());
        }
        assert!(Session::from_bytes(&[&bytes[..], &[0]].concat()).is_err(), "something follows");
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = Session::from_bytes(&altered) {
                // No length was believed, and nothing was added or left out.
                assert_eq!(read.to_bytes(), altered, "bit {bit}");
            }
        }
        for at in 0..bytes.len() - 4 {
            let mut altered = bytes.clone();
            altered[at..at + 4].fill(0xff);
            let _ = Session::from_bytes(&altered);
        }
    }

    #[test]
    fn every_handle_survives_as_octets() {
        let mut legacy = session(0);
        legacy.state.version = ProtocolVersion::DTLS1_2;
        for handle in [SessionHandle::Ticket(vec![1; 300]), SessionHandle::Id(vec![2; 32])] {
            legacy.handle = handle.clone();
            assert_eq!(Session::from_bytes(&legacy.to_bytes()).unwrap().handle, handle);
            // A handle of the other version is none.
            legacy.state.version = ProtocolVersion::DTLS1_3;
            assert_eq!(Session::from_bytes(&legacy.to_bytes()).err(), Some(Malformed::BadValue));
            legacy.state.version = ProtocolVersion::DTLS1_2;
        }
    }

    #[test]
    fn sessions_are_good_for_their_lifetime_and_a_week_after_the_proof() {
        let times = SessionTimes::new(1_000, at(2_000), 500);
        for (now, good) in [(1_939, false), (1_940, true), (2_000, true), (2_499, true), (2_500, false)] {
            assert_eq!(times.are_good(at(now)), good, "at {now}");
        }
        let week = u64::from(MAX_LIFETIME);
        let renewed = SessionTimes::new(1_000, at(week), u32::MAX);
        assert_eq!(renewed.lifetime, MAX_LIFETIME);
        assert!(renewed.are_good(at(week + 999)) && !renewed.are_good(at(week + 1_000)));
        assert_eq!(times.age(at(2_003)), 3_000);
    }

    #[test]
    fn the_default_store_is_bounded_and_gives_the_newest_first() {
        let store = MemoryStore::new(10);
        let [one, other] = ["one.example", "other.example"].map(|name| ServerName::try_from(name).unwrap());
        store.put(&other, session(100));
        (0..20).for_each(|number| store.put(&one, session(number)));
        let taken: Vec<_> = std::iter::from_fn(|| number(store.take(&one))).collect();
        assert_eq!(taken, [19, 18, 17, 16, 15, 14, 13, 12]);
        assert_eq!(number(store.take(&other)), Some(100), "one server takes no other's place");
        for number in 0..20 {
            let name = ServerName::try_from(format!("{number}.example")).unwrap();
            store.put(&name, session(number));
        }
        assert_eq!(store.sessions.lock().unwrap().len(), 10);
    }

    #[test]
    fn nothing_of_a_session_shows() {
        let shown = format!("{:?} {:?}", session(0), session(0).state);
        assert!(!shown.contains('7') && !shown.contains("server"), "{shown}");
    }
}
