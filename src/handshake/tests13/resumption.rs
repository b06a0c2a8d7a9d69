//! Resumption: what it costs, what it carries over, and everything that must not be resumed.

use super::super::{HandshakeKind, HelloRetryRequest, Input};
use super::SUITES;
use super::pair::{Auth, Failure, KINDS, Kind, NAME, PKI, Pair, STRANGERS, Setup, client_config, server_config};
use crate::config::{
    self, ClientConfig, ClientSessionStore, Preference, ResolvesServerCert, ServerConfig, Session, SessionHandle,
    Ticketer,
};
use crate::crypto::Role;
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    AlertDescription, CipherSuite, Malformed, NamedGroup, ProtocolVersion,
    enums::HandshakeType,
    hello::ClientHello,
    post_handshake::{KeyUpdateRequest, NewSessionTicket13},
};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache};
use rustls::time_provider::TimeProvider;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The time, to be set.
#[derive(Debug)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// Sessions that the test looks at and changes.
#[derive(Debug, Default)]
struct Store(Mutex<Vec<Session>>);

impl ClientSessionStore for Store {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        self.0.lock().unwrap().push(session);
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().unwrap().pop()
    }
}

/// Two ends with all that lasts beyond an association.
pub(super) struct World {
    client: ClientConfig,
    server: ServerConfig,
    store: Arc<Store>,
    clock: Arc<Clock>,
}

const START: u64 = 1_900_000_000;
const DAY: u64 = 86_400;

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let (store, clock) = (Arc::new(Store::default()), Arc::new(Clock(AtomicU64::new(START))));
        let mut client = Arc::unwrap_or_clone(client_config(setup));
        client.set_session_store(store.clone()).set_time_provider(clock.clone());
        let mut server = Arc::unwrap_or_clone(server_config(setup));
        server.set_ticket_count(2).set_time_provider(clock.clone());
        Self { client, server, store, clock }
    }

    pub(super) fn pair(&self) -> Pair {
        Pair::between(Arc::new(self.client.clone()), Arc::new(self.server.clone()), NAME)
    }

    /// A handshake that succeeds, in one way or the other.
    pub(super) fn run(&self, kind: HandshakeKind) -> Pair {
        let mut pair = self.pair();
        pair.run().unwrap();
        pair.check_keys();
        assert_eq!(pair.client.export(), pair.server.export());
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.negotiated.as_ref().unwrap().handshake_kind(), kind, "{:?}", end.role);
        }
        pair
    }

    /// After a full handshake.
    pub(super) fn primed(setup: &Setup) -> Self {
        let world = Self::new(setup);
        world.run(HandshakeKind::Full);
        assert_eq!(world.sessions(), 2);
        world
    }

    fn sessions(&self) -> usize {
        self.store.0.lock().unwrap().len()
    }

    fn advance(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Changes all sessions of the client.
    fn change(&self, change: impl Fn(&mut Session)) {
        self.store.0.lock().unwrap().iter_mut().for_each(change);
    }

    /// Changes all tickets of the client.
    fn change_tickets(&self, change: impl Fn(&mut Vec<u8>)) {
        self.change(|session| match &mut session.handle {
            SessionHandle::Psk { ticket, .. } => change(ticket),
            _ => panic!("a session of DTLS 1.2"),
        });
    }

    /// A handshake in which `change` rewrites a message.
    pub(super) fn altered(
        &self,
        role: Role,
        msg_type: HandshakeType,
        change: impl Fn(&mut Vec<u8>),
    ) -> Result<(), Failure> {
        self.pair().run_with(|sender, batch| {
            if let Some((_, message)) = batch.iter_mut().find(|(_, m)| sender == role && m.msg_type == msg_type) {
                change(&mut message.body);
            }
        })
    }
}

/// A handshake with a retry.
pub(super) fn retried() -> Setup {
    Setup { server_groups: vec![NamedGroup::SECP256R1], ..Setup::default() }
}

pub(super) fn refused(result: Result<(), Failure>, role: Role, error: impl Into<Error>, alert: AlertDescription) {
    let error = error.into();
    assert_eq!(error.alert(), Some(alert));
    assert_eq!(result, Err((role, error)));
}

/// RFC 8446 §2.2: "no CertificateRequest, Certificate or CertificateVerify".
#[test]
fn a_resumed_handshake_has_no_certificate_and_no_signature() {
    for suite in SUITES {
        let world = World::primed(&Setup { suites: vec![suite], ..Setup::default() });
        let pair = world.run(HandshakeKind::Resumed);
        let client = "Answer CLIENT_HELLO@0 ExplicitAcks r2 w2 Flight(Acknowledgement) FINISHED@2 r3 w3 Complete \
                      SessionKept SessionKept";
        assert_eq!(pair.client.log.join(" "), client);
        let server = "ExplicitAcks Answer SERVER_HELLO@0 w2 r2 ENCRYPTED_EXTENSIONS@2 FINISHED@2 w3 r3 AcknowledgeNow \
                      Complete Flight(Acknowledgement) NEW_SESSION_TICKET@3 NEW_SESSION_TICKET@3";
        assert_eq!(pair.server.log.join(" "), server);
        // One was spent, two came.
        assert_eq!(world.sessions(), 3);
    }
}

/// A key that cannot sign would end any other handshake.
#[test]
fn a_resumed_handshake_asks_nobody_for_a_signature() {
    #[derive(Debug)]
    struct NoCertificate;
    impl ResolvesServerCert for NoCertificate {
        fn resolve(&self, _: &config::ClientHello<'_>) -> Option<config::Credential> {
            None
        }
    }
    let world = World::primed(&Setup::default());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_no_client_auth().unwrap();
    let mut server = builder.with_cert_resolver(Arc::new(NoCertificate));
    server.set_time_provider(world.clock.clone());
    let ticketer = |config: &mut ServerConfig| {
        let ticketer = Ticketer::from_secret([7; 32], provider.clone(), world.clock.clone());
        config.set_ticketer(Arc::new(ticketer)).set_versions(&[ProtocolVersion::DTLS1_3]).unwrap();
    };
    let mut first = world.server.clone();
    ticketer(&mut first);
    ticketer(&mut server);
    // Another node of the fleet, which has the same secret.
    let world = World { server: first, ..world };
    world.store.0.lock().unwrap().clear();
    world.run(HandshakeKind::Full);
    World { server, ..world }.run(HandshakeKind::Resumed);
}

#[test]
fn a_session_carries_over_who_the_peer_is() {
    for kind in KINDS {
        let setup = Setup {
            server_certificate: kind,
            client_certificate: Some(Kind::P256),
            auth: Auth::Required,
            client_protocols: vec!["coap"],
            server_protocols: vec!["coap"],
            ..Setup::default()
        };
        let world = World::primed(&setup);
        world.advance(100);
        let pair = world.run(HandshakeKind::Resumed);
        let (client, server) = (pair.client.negotiated.unwrap(), pair.server.negotiated.unwrap());
        assert_eq!(client.peer_certificates(), PKI.of(kind).0);
        assert_eq!(server.peer_certificates(), PKI.of(Kind::P256).0);
        assert_eq!(client.signature_scheme(), server.signature_scheme());
        for end in [&client, &server] {
            assert_eq!(end.authenticated_at().as_secs(), START, "the proof is as old as it is");
            assert_eq!(end.alpn_protocol(), Some(&b"coap"[..]));
            assert_eq!(end.server_name(), Some(NAME));
        }
        // And so on, from one session to the next.
        world.advance(100);
        let pair = world.run(HandshakeKind::Resumed);
        let client = pair.client.negotiated.unwrap();
        assert_eq!((client.peer_certificates(), client.authenticated_at().as_secs()), (&PKI.of(kind).0[..], START));
    }
}

/// Sessions in a file, say.
#[test]
fn a_session_survives_as_octets() {
    let world = World::primed(&Setup { suites: SUITES.to_vec(), ..Setup::default() });
    world.change(|session| {
        let octets = session.to_bytes();
        assert!(!format!("{session:?}").contains("cert"));
        *session = Session::from_bytes(&octets).unwrap();
        assert_eq!(session.to_bytes(), octets);
        for end in 0..octets.len() {
            assert!(Session::from_bytes(&octets[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(Session::from_bytes(&[&octets[..], &[0]].concat()).err(), Some(Malformed::TrailingData));
        assert_eq!(Session::from_bytes(&[&[9], &octets[1..]].concat()).err(), Some(Malformed::BadValue));
    });
    world.run(HandshakeKind::Resumed);
}

/// The binder covers ClientHello1's hash and the HelloRetryRequest (RFC 8446 §4.2.11.2).
#[test]
fn resumes_after_a_hello_retry_request() {
    let world = World::primed(&retried());
    let pair = world.run(HandshakeKind::Resumed);
    let negotiated = pair.client.negotiated.unwrap();
    assert_eq!(negotiated.hello_retry_request(), HelloRetryRequest::Answered);
    assert_eq!(negotiated.group(), NamedGroup::SECP256R1);
}

#[test]
fn without_a_ticketer_sessions_are_kept_by_the_server_and_good_once() {
    #[derive(Debug)]
    struct Off;
    impl ProducesTickets for Off {
        fn enabled(&self) -> bool {
            false
        }
        fn lifetime(&self) -> u32 {
            0
        }
        fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
        fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }
    let mut world = World::new(&Setup::default());
    world.server.set_ticketer(Arc::new(Off)).set_session_storage(ServerSessionMemoryCache::new(8));
    world.run(HandshakeKind::Full);
    let kept = world.store.0.lock().unwrap().clone();
    world.run(HandshakeKind::Resumed);
    // The same one again.
    *world.store.0.lock().unwrap() = kept;
    world.run(HandshakeKind::Full);

    world.server.set_session_storage(Arc::new(NoServerSessionStorage {}));
    world.store.0.lock().unwrap().clear();
    world.run(HandshakeKind::Full);
    assert_eq!(world.sessions(), 0);
}

/// A chain of certificates in it, say: a ClientHello with it would be too long.
#[test]
fn a_session_too_long_for_a_ticket_is_kept_by_the_server() {
    #[derive(Debug)]
    struct Long;
    impl ProducesTickets for Long {
        fn enabled(&self) -> bool {
            true
        }
        fn lifetime(&self) -> u32 {
            1000
        }
        fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
            Some([plain, &[0; 2048]].concat())
        }
        fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }
    let mut world = World::new(&Setup::default());
    world.server.set_ticketer(Arc::new(Long));
    world.run(HandshakeKind::Full);
    world.change_tickets(|ticket| assert_eq!(ticket.len(), 32));
    world.run(HandshakeKind::Resumed);
}

#[test]
fn what_came_with_the_certificate_is_carried_over() {
    let world = World::primed(&Setup::default());
    world.change(|session| {
        session.state.peer.ocsp_response = b"staple".as_slice().into();
        session.state.peer.timestamps = b"timestamps".as_slice().into();
    });
    // From one session to the next.
    for _ in 0..3 {
        let pair = world.run(HandshakeKind::Resumed);
        let peer = &pair.client.negotiated.as_ref().unwrap().peer;
        assert_eq!((&*peer.ocsp_response, &*peer.timestamps), (&b"staple"[..], &b"timestamps"[..]));
    }
}

/// Who keeps no sessions does not ask for any (RFC 8446 §4.2.9), and a server may be told to give none.
#[test]
fn tickets_may_be_declined() {
    let mut world = World::new(&Setup::default());
    world.server.set_ticket_count(5);
    world.run(HandshakeKind::Full);
    assert_eq!(world.sessions(), 5);
    world.server.set_ticket_count(0);
    world.store.0.lock().unwrap().clear();
    world.run(HandshakeKind::Full);
    assert_eq!(world.sessions(), 0);
    world.server.set_ticket_count(2);
    world.client.set_session_capacity(0);
    let pair = world.run(HandshakeKind::Full);
    assert!(!pair.server.log.contains(&"NEW_SESSION_TICKET@3".to_owned()));
}

/// RFC 8446 §4.2.11: unknown identities are "simply ignored".
#[test]
fn a_ticket_that_does_not_open_is_a_full_handshake() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |ticket| ticket.truncate(1),
        |ticket| *ticket.last_mut().unwrap() ^= 1,
        |ticket| ticket[0] ^= 1,
        |ticket| ticket.push(0),
    ];
    for damage in damages {
        let world = World::primed(&Setup::default());
        world.change_tickets(damage);
        world.run(HandshakeKind::Full);
    }
    // A server that began anew has another secret.
    let world = World::primed(&Setup::default());
    let fresh = World::new(&Setup::default());
    World { server: fresh.server, ..world }.run(HandshakeKind::Full);
}

/// Whoever swaps tickets has the one's PSK and the other's identity: the binder tells.
#[test]
fn a_ticket_with_another_ones_secret_is_refused() {
    let world = World::primed(&Setup::default());
    world.store.0.lock().unwrap().iter_mut().fold(None, |before: Option<Session>, session| {
        let own = session.clone();
        if let Some(before) = before {
            session.handle = before.handle;
        }
        Some(own)
    });
    let (error, alert) = (PeerMisbehaved::BinderMismatch, AlertDescription::DECRYPT_ERROR);
    refused(world.pair().run(), Role::Server, error, alert);
}

#[test]
fn nothing_is_resumed_when_it_is_too_old() {
    let mut world = World::new(&Setup::default());
    world.server.set_session_lifetime(Duration::from_secs(1000));
    for (age, kind) in [(999, HandshakeKind::Resumed), (1000, HandshakeKind::Full)] {
        world.store.0.lock().unwrap().clear();
        world.run(HandshakeKind::Full);
        world.advance(age);
        world.run(kind);
    }
    // The server knows it as well as the client.
    world.store.0.lock().unwrap().clear();
    world.run(HandshakeKind::Full);
    world.change(|session| session.state.times.lifetime = 600_000);
    world.advance(1000);
    world.run(HandshakeKind::Full);
}

/// RFC 8446 §4.6.1: "implementations place limits on the total lifetime of such keying material".
#[test]
fn what_was_proven_once_is_good_for_a_week_however_often_it_is_renewed() {
    let mut world = World::new(&Setup::default());
    world.server.set_session_lifetime(Duration::from_secs(7 * DAY));
    world.run(HandshakeKind::Full);
    // The default ticketer opens tickets as long as sessions live.
    for days in [3, 1, 1, 1] {
        world.advance(days * DAY);
        world.run(HandshakeKind::Resumed);
    }
    world.advance(DAY);
    world.run(HandshakeKind::Full);
}

/// A server's lifetime of more than a week counts as one, and none as none (RFC 8446 §4.6.1).
#[test]
fn the_lifetime_of_a_ticket_is_a_week_at_most() {
    for (lifetime, age, kind) in [
        (u32::MAX, 7 * DAY - 1, Some(HandshakeKind::Resumed)),
        (u32::MAX, 7 * DAY, None),
        (5, 4, Some(HandshakeKind::Resumed)),
        (5, 5, None),
        (0, 0, None),
    ] {
        let mut world = World::new(&Setup::default());
        let long = Duration::from_secs(7 * DAY);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let ticketer = Ticketer::from_secret([1; 32], provider, world.clock.clone()).with_lifetime(long);
        world.server.set_session_lifetime(long).set_ticketer(Arc::new(ticketer));
        let mut pair = world.pair();
        pair.run_with(|_, batch| {
            for (_, message) in batch.iter_mut().filter(|(_, m)| m.msg_type == HandshakeType::NEW_SESSION_TICKET) {
                message.body[..4].copy_from_slice(&lifetime.to_be_bytes());
            }
        })
        .unwrap();
        world.advance(age);
        let hello = world.pair().client.take().remove(0).1.body;
        let offered = ClientHello::read(&hello).unwrap().known.pre_shared_key.is_some();
        assert_eq!(offered, kind.is_some(), "{lifetime} after {age}");
    }
}

/// RFC 8446 §4.2.11.1: milliseconds since the ticket came, plus what obscures them.
#[test]
fn the_age_of_a_ticket_is_obscured() {
    let world = World::primed(&Setup::default());
    world.change(|session| match &mut session.handle {
        SessionHandle::Psk { age_add, .. } => *age_add = u32::MAX - 1,
        _ => panic!("a session of DTLS 1.2"),
    });
    world.advance(3);
    let hello = world.pair().client.take().remove(0).1.body;
    let psks = ClientHello::read(&hello).unwrap().known.pre_shared_key.unwrap();
    assert_eq!(psks.identities().next().unwrap().obfuscated_ticket_age, 2998);
}

#[test]
fn each_ticket_has_its_own_nonce_and_age_add() {
    let world = World::new(&Setup::default());
    let mut seen = Vec::new();
    let mut pair = world.pair();
    pair.run_with(|_, batch| {
        let tickets = batch.iter().filter(|(_, m)| m.msg_type == HandshakeType::NEW_SESSION_TICKET);
        seen.extend(tickets.map(|(_, message)| message.body.clone()));
    })
    .unwrap();
    let [first, second] = [&seen[0], &seen[1]].map(|body| NewSessionTicket13::read(body).unwrap());
    assert_ne!(first.nonce, second.nonce);
    assert_ne!(first.age_add, second.age_add);
    assert_ne!(first.ticket, second.ticket);
    assert_eq!(first.lifetime, 43_200);
}

/// A client with other roots, another certificate, or another name; a server with another verifier.
#[test]
fn nothing_is_resumed_with_a_changed_verifier_or_name() {
    let setup = Setup { auth: Auth::Required, client_certificate: Some(Kind::P256), ..Setup::default() };
    let world = World::primed(&setup);

    // Another certificate of its own.
    let mut other = World::new(&Setup { client_certificate: Some(Kind::P384), ..setup.clone() });
    other.client.set_session_store(world.store.clone());
    World {
        client: other.client,
        server: world.server.clone(),
        store: world.store.clone(),
        clock: world.clock.clone(),
    }
    .run(HandshakeKind::Full);

    // A verifier built anew.
    let world = World::primed(&setup);
    let other = World::new(&setup);
    let ticketer = |config: &mut ServerConfig| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let ticketer = Ticketer::from_secret([3; 32], provider, world.clock.clone());
        config.set_ticketer(Arc::new(ticketer));
    };
    let (mut one, mut two) = (world.server.clone(), other.server);
    ticketer(&mut one);
    ticketer(&mut two);
    for (context, kind) in [(&b""[..], HandshakeKind::Full), (b"the same clients", HandshakeKind::Resumed)] {
        if !context.is_empty() {
            one.set_session_context(context);
            two.set_session_context(context);
        }
        world.store.0.lock().unwrap().clear();
        let primed = |server: &ServerConfig, kind| {
            let (client, store, clock) = (world.client.clone(), world.store.clone(), world.clock.clone());
            World { client, server: server.clone(), store, clock }.run(kind)
        };
        primed(&one, HandshakeKind::Full);
        primed(&two, kind);
    }

    // Another name.
    let world = World::primed(&Setup::default());
    world.change(|session| session.server = "other.example".into());
    world.run(HandshakeKind::Full);
}

/// The server holds the name against the session: no resumption across names.
#[test]
fn a_session_of_another_name_is_passed_over_by_the_server() {
    let mut world = World::primed(&Setup::default());
    world.client.withhold_server_name();
    world.run(HandshakeKind::Full);
}

/// RFC 8446 §4.6.1: "Any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm".
#[test]
fn a_session_is_resumed_with_suites_of_its_hash_only() {
    let both = vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_CHACHA20_POLY1305_SHA256];
    let world = World::primed(&Setup { suites: both, ..Setup::default() });
    let mut other = world.server.clone();
    other.set_cipher_suites(&[CipherSuite::TLS_CHACHA20_POLY1305_SHA256, CipherSuite::TLS_AES_128_GCM_SHA256]).unwrap();
    other.set_cipher_preference(Preference::Server);
    let pair = World { server: other, ..world }.run(HandshakeKind::Resumed);
    assert_eq!(pair.client.negotiated.unwrap().cipher_suite(), CipherSuite::TLS_CHACHA20_POLY1305_SHA256);

    // With another hash the server takes none, and after a retry the client offers none.
    for groups in [vec![NamedGroup::X25519], vec![NamedGroup::SECP256R1]] {
        let setup = Setup { suites: SUITES.to_vec(), ..Setup::default() };
        let mut world = World::new(&setup);
        world
            .client
            .set_cipher_suites(&[CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_AES_256_GCM_SHA384])
            .unwrap();
        world.run(HandshakeKind::Full);
        world.server.set_groups(&groups).unwrap();
        world.server.set_cipher_preference(Preference::Server);
        world
            .server
            .set_cipher_suites(&[CipherSuite::TLS_AES_256_GCM_SHA384, CipherSuite::TLS_AES_128_GCM_SHA256])
            .unwrap();
        let mut hellos = Vec::new();
        let mut pair = world.pair();
        pair.run_with(|_, batch| {
            let sent = batch.iter().filter(|(_, m)| m.msg_type == HandshakeType::CLIENT_HELLO);
            hellos.extend(sent.map(|(_, m)| ClientHello::read(&m.body).unwrap().known.pre_shared_key.is_some()));
        })
        .unwrap();
        assert_eq!(pair.client.negotiated.unwrap().handshake_kind(), HandshakeKind::Full);
        let expected: &[bool] = if groups[0] == NamedGroup::X25519 { &[true] } else { &[true, false] };
        assert_eq!(hellos, expected);
    }
}

/// A verdict of the first handshake holds, unless the application wants it anew.
#[test]
fn reverification_judges_the_chain_again() {
    let setup = Setup { auth: Auth::Required, client_certificate: Some(Kind::P256), ..Setup::default() };
    let world = World::primed(&setup);
    world.run(HandshakeKind::Resumed);
    let mut strict = World::primed(&setup);
    strict.client.reverify_on_resumption();
    strict.server.reverify_on_resumption();
    strict.run(HandshakeKind::Resumed);
    // Its chain is somebody else's now: the client that looks again finds out.
    let foreign = |world: &World| {
        let chain: Arc<[_]> = STRANGERS.of(Kind::P256).0.into();
        world.change(|session| session.state.peer.certificates = chain.clone());
    };
    foreign(&world);
    world.run(HandshakeKind::Resumed);
    foreign(&strict);
    let (role, error) = strict.pair().run().unwrap_err();
    assert_eq!((role, error.alert()), (Role::Client, Some(AlertDescription::UNKNOWN_CA)));
}

/// A KeyUpdate that is wanted while tickets are on their way waits for them (draft-ietf-tls-rfc9147bis §8).
#[test]
fn a_key_update_waits_for_the_tickets() {
    let world = World::new(&Setup::default());
    let mut pair = world.run(HandshakeKind::Full);
    let request = Input::RequestKeyUpdate(KeyUpdateRequest::Requested);
    pair.server.handshake.handle(request).unwrap();
    assert!(pair.server.take().is_empty());
    pair.server.handshake.handle(Input::FlightAcknowledged).unwrap();
    let update = pair.server.take();
    assert_eq!(update.len(), 1);
    // The client's own Finished is not acknowledged yet: its answer waits in turn.
    pair.client.give(&update[0].1).unwrap();
    assert!(pair.client.take().is_empty());
    pair.client.handshake.handle(Input::FlightAcknowledged).unwrap();
    let answer = pair.client.take();
    pair.server.give(&answer[0].1).unwrap();
    pair.server.take();
    pair.server.handshake.handle(Input::FlightAcknowledged).unwrap();
    pair.server.take();
    pair.client.handshake.handle(Input::FlightAcknowledged).unwrap();
    pair.client.take();
    pair.check_keys();
    assert!(pair.server.keys.contains_key(&('w', 4)) && pair.client.keys.contains_key(&('w', 4)));
}
