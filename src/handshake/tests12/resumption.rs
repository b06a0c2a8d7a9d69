//! Resumption: what it costs, what it carries over, what must not be resumed, and what a peer may try (RFC 5246 §7.3,
//! RFC 5077 §3, RFC 7627 §5.3).

use super::super::HandshakeKind;
use super::pair::*;
use super::*;
use crate::config::{
    self, ClientConfig, ClientSessionStore, ResolvesServerCert, ServerConfig, Session, SessionHandle, Ticketer,
};
use crate::crypto::prf::Derivation;
use crate::wire::{AlertDescription, Malformed, post_handshake::NewSessionTicket12};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache};
use rustls::time_provider::TimeProvider;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Tickets that hide nothing.
#[derive(Debug)]
struct Clear;

impl ProducesTickets for Clear {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        600
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        Some(plain.to_vec())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        Some(cipher.to_vec())
    }
}

/// A server that has no certificate, so that every full handshake fails.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: &config::ClientHello<'_>) -> Option<config::Credential> {
        None
    }
}

/// Two ends with all that lasts beyond an association.
struct World {
    client: ClientConfig,
    server: ServerConfig,
    store: Arc<Store>,
    clock: Arc<Clock>,
}

/// By what sessions are known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Ticket,
    Id,
}

const START: u64 = 1_900_000_000;
const HOUR: u64 = 3600;

impl World {
    fn new(setup: &Setup, by: By) -> Self {
        let (store, clock) = (Arc::new(Store::default()), Arc::new(Clock(AtomicU64::new(START))));
        let mut client = setup.client();
        client.set_session_store(store.clone()).set_time_provider(clock.clone());
        let mut server = setup.server();
        server.set_time_provider(clock.clone()).set_ticket_count(u8::from(by == By::Ticket));
        Self { client, server, store, clock }
    }

    fn pair(&self) -> Pair {
        Pair::between(self.client.clone(), self.server.clone(), NAME)
    }

    /// A handshake that succeeds, in one way or the other.
    fn run(&self, kind: HandshakeKind) -> Pair {
        let mut pair = self.pair();
        pair.complete();
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.negotiated.as_ref().unwrap().handshake_kind(), kind, "{:?}", end.role);
        }
        pair
    }

    /// After a full handshake.
    fn primed(setup: &Setup, by: By) -> Self {
        let world = Self::new(setup, by);
        world.run(HandshakeKind::Full);
        assert_eq!(world.sessions(), 1);
        world
    }

    fn sessions(&self) -> usize {
        self.store.0.lock().unwrap().len()
    }

    fn handle(&self) -> SessionHandle {
        self.store.0.lock().unwrap().last().unwrap().handle.clone()
    }

    fn advance(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn change(&self, change: impl Fn(&mut Session)) {
        self.store.0.lock().unwrap().iter_mut().for_each(change);
    }

    fn change_handle(&self, change: impl Fn(&mut Vec<u8>)) {
        self.change(|session| match &mut session.handle {
            SessionHandle::Ticket(handle) | SessionHandle::Id(handle) => change(handle),
            SessionHandle::Psk { .. } => panic!("a session of DTLS 1.3"),
        });
    }

    /// A handshake in which `change` rewrites the messages of one type.
    fn altered(&self, role: Role, msg_type: T, change: impl Fn(&mut Vec<u8>)) -> Result<(), Failure> {
        self.pair().run_with(|sender, batch| {
            for sent in batch.iter_mut().filter(|sent| sender == role && sent.is(msg_type)) {
                let Sent::Message(_, message) = sent else { panic!() };
                change(&mut message.body);
            }
        })
    }
}

fn refused(result: Result<(), Failure>, role: Role, error: impl Into<Error>, alert: AlertDescription) {
    let error = error.into();
    assert_eq!(error.alert(), Some(alert));
    assert_eq!(result, Err((role, error)));
}

const WAYS: [By; 2] = [By::Ticket, By::Id];

/// RFC 5246 §7.3, figure 2; RFC 5077 §3.1, figure 2.
#[test]
fn a_resumed_handshake_has_no_certificate_and_no_signature() {
    for by in WAYS {
        let mut world = World::primed(&Setup::default(), by);
        assert_eq!(matches!(world.handle(), SessionHandle::Ticket(_)), by == By::Ticket);
        let pair = world.run(HandshakeKind::Resumed);
        assert_eq!(pair.client.log.join(" "), "answer 1@0 await r1 repeat ccs@0 w1 20@1 complete");
        assert_eq!(pair.server.log.join(" "), "answer 2@0 ccs@0 w1 20@1 await r1 complete");
        // Kept again, as often as it is good.
        world.run(HandshakeKind::Resumed);
        assert_eq!(world.sessions(), 1);
        let mut server =
            ServerConfig::builder().with_no_client_auth().unwrap().with_cert_resolver(Arc::new(NoCertificate));
        server.set_versions(&[ProtocolVersion::DTLS1_2]).unwrap();
        server.set_time_provider(world.clock.clone());
        if by == By::Ticket {
            // Another node of the fleet, which has the same secret.
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let ticketer = Ticketer::from_secret([7; 32], provider, world.clock.clone());
            server.set_ticketer(Arc::new(ticketer.clone()));
            world.server.set_ticketer(Arc::new(ticketer));
        } else {
            let storage = ServerSessionMemoryCache::new(4);
            server.set_session_storage(storage.clone()).set_ticket_count(0);
            world.server.set_session_storage(storage);
        }
        world.run(HandshakeKind::Full);
        World { server, ..world }.run(HandshakeKind::Resumed);
    }
}

#[test]
fn every_suite_resumes() {
    for (certificates, suites) in [(&[Kind::P256], ECDSA_SUITES), (&[Kind::Rsa], RSA_SUITES)] {
        for (suite, by) in suites.iter().zip([By::Ticket, By::Id, By::Ticket]) {
            let setup = Setup { certificates, suites: [slice::from_ref(suite); 2], ..Setup::default() };
            let world = World::primed(&setup, by);
            assert_eq!(world.run(HandshakeKind::Resumed).server.negotiated.unwrap().cipher_suite(), *suite);
        }
    }
}

#[test]
fn a_session_carries_over_who_the_peer_is() {
    for by in WAYS {
        let setup = Setup { protocols: [&["a", "b"], &["b"]], ..mutual() };
        let mut world = World::primed(&setup, by);
        world.advance(100);
        // The protocol is negotiated anew (RFC 7301 §3.1).
        world.server.set_alpn_protocols(vec![b"a".to_vec()]).unwrap();
        let pair = world.run(HandshakeKind::Resumed);
        for end in [pair.client, pair.server] {
            let negotiated = end.negotiated.unwrap();
            assert_eq!(negotiated.peer_certificates(), PKI.of(Kind::P256).0);
            assert_eq!(negotiated.authenticated_at().as_secs(), START);
            assert_eq!(negotiated.server_name(), Some(NAME));
            assert_eq!(negotiated.group(), NamedGroup::X25519);
            assert_eq!(negotiated.alpn_protocol(), Some(&b"a"[..]));
            assert_eq!(negotiated.version(), ProtocolVersion::DTLS1_2);
        }
    }
}

/// RFC 5077 §3.3: "it MAY renew the ticket by including a NewSessionTicket handshake message after the ServerHello".
#[test]
fn a_ticket_is_renewed_before_it_dies() {
    let world = World::primed(&Setup::default(), By::Ticket);
    let first = world.handle();
    // Half of the twelve hours is over.
    world.advance(6 * HOUR);
    let pair = world.run(HandshakeKind::Resumed);
    assert_eq!(pair.client.log.join(" "), "answer 1@0 await r1 repeat ccs@0 w1 20@1 complete kept");
    assert_eq!(pair.server.log.join(" "), "answer 2@0 4@0 ccs@0 w1 20@1 await r1 complete");
    assert_ne!(world.handle(), first);
    // The first would be too old; what was proven then counts all the same.
    world.advance(7 * HOUR);
    let pair = world.run(HandshakeKind::Resumed);
    assert_eq!(pair.client.negotiated.unwrap().authenticated_at().as_secs(), START);
    assert_eq!(pair.server.negotiated.unwrap().authenticated_at().as_secs(), START);
    // Renewed or not, after seven days the peer must prove again who it is.
    for _ in 0..25 {
        world.advance(6 * HOUR);
        world.run(HandshakeKind::Resumed);
    }
    world.advance(6 * HOUR);
    world.run(HandshakeKind::Full);
}

/// The key of a ticket goes with the period after its own.
#[test]
fn a_ticket_is_renewed_when_its_key_is_rotated() {
    let world = World::new(&Setup::default(), By::Ticket);
    // The last hour of a period of twelve.
    let into = START % (12 * HOUR);
    world.advance(11 * HOUR + 12 * HOUR - into);
    world.run(HandshakeKind::Full);
    assert!(!world.run(HandshakeKind::Resumed).server.log.contains(&"4@0".to_owned()));
    world.advance(2 * HOUR);
    assert!(world.run(HandshakeKind::Resumed).server.log.contains(&"4@0".to_owned()));
    assert!(!world.run(HandshakeKind::Resumed).server.log.contains(&"4@0".to_owned()));
}

/// For servers whose clients should not be known again by those who listen (RFC 8446 §C.4).
#[test]
fn a_ticket_is_renewed_each_time_if_the_server_says_so() {
    let mut world = World::primed(&Setup::default(), By::Ticket);
    let first = world.handle();
    assert!(!world.run(HandshakeKind::Resumed).server.log.contains(&"4@0".to_owned()));
    assert_eq!(world.handle(), first);
    world.server.renew_tickets();
    for _ in 0..3 {
        let before = world.handle();
        assert!(world.run(HandshakeKind::Resumed).server.log.contains(&"4@0".to_owned()));
        assert_ne!(world.handle(), before);
    }
}

/// Who came by an id and would like a ticket gets one.
#[test]
fn an_id_becomes_a_ticket() {
    let mut world = World::primed(&Setup::default(), By::Id);
    world.server.set_ticket_count(1);
    world.run(HandshakeKind::Resumed);
    assert!(matches!(world.handle(), SessionHandle::Ticket(_)));
    world.run(HandshakeKind::Resumed);
}

/// "A ticket that does not open is a full handshake, never an error": forged, truncated, another server's, of another version.
#[test]
fn a_session_that_is_not_known_is_none() {
    for by in WAYS {
        let length = match World::primed(&Setup::default(), by).handle() {
            SessionHandle::Ticket(handle) | SessionHandle::Id(handle) => handle.len(),
            SessionHandle::Psk { .. } => panic!(),
        };
        let world = World::primed(&Setup::default(), by);
        for bit in (0..length * 8).step_by(61) {
            world.change_handle(|handle| handle[bit / 8] ^= 1 << (bit % 8));
            world.run(HandshakeKind::Full);
        }
        for at in (1..length).step_by(17) {
            world.change_handle(|handle| handle.truncate(at));
            world.run(HandshakeKind::Full);
        }
        world.change_handle(|handle| handle[..].reverse());
        world.run(HandshakeKind::Full);
        // Another server's.
        let other = World::primed(&Setup::default(), by);
        *world.store.0.lock().unwrap() = std::mem::take(&mut *other.store.0.lock().unwrap());
        world.run(HandshakeKind::Full);
        world.run(HandshakeKind::Resumed);
    }
}

#[test]
fn what_must_not_be_resumed_is_not() {
    type Change = fn(&mut World);
    let changes: [Change; 8] = [
        |world| world.advance(12 * HOUR),
        |world| world.server = World::new(&Setup::default(), By::Ticket).server,
        |world| {
            world.server.set_session_context(b"other");
        },
        |world| {
            world.client.set_session_context(b"other");
        },
        |world| {
            world.client.set_cipher_suites(&ECDSA_SUITES[1..]).unwrap();
        },
        |world| {
            world.server.set_cipher_suites(&ECDSA_SUITES[1..]).unwrap();
        },
        |world| {
            world.server.set_session_storage(Arc::new(NoServerSessionStorage {})).set_ticket_count(0);
        },
        |world| {
            world.client.set_session_capacity(4);
        },
    ];
    for by in WAYS {
        for (index, change) in changes.iter().enumerate() {
            let mut world = World::primed(&Setup::default(), by);
            change(&mut world);
            world.server.set_time_provider(world.clock.clone());
            let mut pair = world.pair();
            pair.complete();
            let kind = pair.server.negotiated.unwrap().handshake_kind();
            assert_eq!(kind, HandshakeKind::Full, "{by:?} {index}");
        }
    }
}

/// RFC 6066 §3: "MUST NOT accept the request to resume the session if the server_name extension contains a different name".
#[test]
fn a_session_is_good_for_one_name() {
    for by in WAYS {
        let world = World::primed(&Setup::default(), by);
        let renamed = world.altered(Role::Client, T::CLIENT_HELLO, |body| {
            rename(body, client_extensions, ExtensionType::SERVER_NAME, 0xfafa);
        });
        // The server begins a full handshake; the client, which did not send this hello, finds out at the end.
        refused(renamed, Role::Server, PeerMisbehaved::FinishedMismatch, AlertDescription::DECRYPT_ERROR);
    }
}

/// RFC 5246 §7.4.1.2: whoever offers a session offers its suite; for one who does not there is another session.
#[test]
fn a_session_is_good_for_its_suite() {
    for by in WAYS {
        let world = World::primed(&Setup { suites: [ECDSA_SUITES; 2], ..Setup::default() }, by);
        let other = world.altered(Role::Client, T::CLIENT_HELLO, |body| {
            // The first of the list becomes the last.
            let first = 2 + 32 + 1 + 32 + 1 + 2;
            let [last, first] = [first + 4, first].map(|at| body[at..at + 2].to_vec());
            let at = 2 + 32 + 1 + 32 + 1 + 2;
            assert_eq!(first, ECDSA_SUITES[0].0.to_be_bytes());
            body[at..at + 2].copy_from_slice(&last);
        });
        // The server begins a full handshake; the client, which did not send this hello, finds out at the end.
        refused(other, Role::Server, PeerMisbehaved::FinishedMismatch, AlertDescription::DECRYPT_ERROR);
    }
}

/// RFC 7627 §5.3: a session without extended master secret is neither offered nor resumed.
#[test]
fn an_old_session_is_of_no_use() {
    let world = World::primed(&Setup::default(), By::Ticket);
    world.change(|session| session.state.derivation = Derivation::Legacy);
    world.run(HandshakeKind::Full);
    // "the server MUST NOT perform the abbreviated handshake. Instead, it SHOULD continue with a full handshake".
    let mut world = World::new(&Setup::default(), By::Ticket);
    world.server.set_ticketer(Arc::new(Clear));
    world.run(HandshakeKind::Full);
    world.run(HandshakeKind::Resumed);
    // Format, version, suite and a secret of 48 octets come before it.
    world.change_handle(|ticket| assert_eq!(std::mem::replace(&mut ticket[1 + 2 + 2 + 1 + 48], 0), 1));
    world.run(HandshakeKind::Full);
    // None is made of a handshake without.
    let pair = without_extended_master_secret(&optional());
    assert!(!pair.server.log.contains(&"4@0".to_owned()) && !pair.client.log.contains(&"kept".to_owned()));
}

/// RFC 7627 §5.3: "the server MUST abort the abbreviated handshake", "the client MUST abort the handshake".
#[test]
fn a_resumption_without_extended_master_secret_is_refused() {
    for by in WAYS {
        for (role, msg_type) in [(Role::Client, T::CLIENT_HELLO), (Role::Server, T::SERVER_HELLO)] {
            let world = World::primed(&optional(), by);
            let result = world.altered(role, msg_type, |body| match role {
                Role::Client => rename(body, client_extensions, ExtensionType::EXTENDED_MASTER_SECRET, 0xfafa),
                Role::Server => {
                    let extensions = server_extensions(body);
                    let at = extensions.find(ExtensionType::EXTENDED_MASTER_SECRET).unwrap().as_ptr() as usize;
                    let at = at - body.as_ptr() as usize;
                    body.drain(at - 4..at);
                    let length = SUITE + 32 + 3;
                    body[length + 1] -= 4;
                }
            });
            let missing = PeerMisbehaved::MissingExtendedMasterSecret;
            refused(result, role.peer(), missing, AlertDescription::HANDSHAKE_FAILURE);
        }
    }
}

/// RFC 7627 §5.2, §5.3: in all handshakes, full and abbreviated, a client sends the extension and a server answers it.
#[test]
fn rfc7627_5_2_the_extension_is_offered_and_answered() {
    for by in WAYS {
        let world = World::new(&Setup::default(), by);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut offered = Vec::new();
            let mut pair = world.pair();
            pair.run_with(|role, batch| {
                for sent in batch.iter().filter(|sent| sent.is(T::CLIENT_HELLO) || sent.is(T::SERVER_HELLO)) {
                    let Sent::Message(_, message) = sent else { panic!() };
                    let extensions = match role {
                        Role::Client => client_extensions(&message.body),
                        Role::Server => server_extensions(&message.body),
                    };
                    offered.push((role, extensions.find(ExtensionType::EXTENDED_MASTER_SECRET).map(<[u8]>::len)));
                }
            })
            .unwrap();
            assert_eq!(offered, [(Role::Client, Some(0)), (Role::Server, Some(0))]);
            assert_eq!(pair.client.negotiated.unwrap().handshake_kind(), kind);
        }
    }
}

/// RFC 5246 §7.4.1.3, §7.4.1.4.
#[test]
fn a_server_hello_must_keep_to_the_session() {
    for by in WAYS {
        let setup = Setup { suites: [ECDSA_SUITES; 2], ..Setup::default() };
        let change =
            |change: &dyn Fn(&mut Vec<u8>)| World::primed(&setup, by).altered(Role::Server, T::SERVER_HELLO, change);
        let suite = change(&|body| body[SUITE + 32 + 1] = 0x2c);
        refused(
            suite,
            Role::Client,
            PeerMisbehaved::CipherSuiteChangedOnResumption,
            AlertDescription::ILLEGAL_PARAMETER,
        );
        let unoffered = change(&|body| body[SUITE + 32 + 1] = 0x2f);
        refused(
            unoffered,
            Role::Client,
            PeerMisbehaved::SelectedUnofferedCipherSuite,
            AlertDescription::ILLEGAL_PARAMETER,
        );
        let compression = change(&|body| body[COMPRESSION + 32] = 1);
        refused(
            compression,
            Role::Client,
            PeerMisbehaved::SelectedUnofferedCompression,
            AlertDescription::ILLEGAL_PARAMETER,
        );
        let append = |ty: ExtensionType, data: &'static [u8]| {
            change(&|body| {
                body.extend([&ty.0.to_be_bytes()[..], &[0, data.len() as u8], data].concat());
                body[EXTENSIONS + 32 + 1] += 4 + data.len() as u8;
            })
        };
        let unsolicited = append(ExtensionType(0xfafa), &[]);
        refused(
            unsolicited,
            Role::Client,
            PeerMisbehaved::UnsolicitedExtension,
            AlertDescription::UNSUPPORTED_EXTENSION,
        );
        let ticket = append(ExtensionType::SESSION_TICKET, &[1]);
        refused(ticket, Role::Client, Malformed::TrailingData, AlertDescription::DECODE_ERROR);
        // What was not offered is not resumed: the server goes on as if it were, and the client awaits a certificate.
        let other_id = change(&|body| body[SUITE] ^= 1);
        refused(other_id, Role::Client, PeerMisbehaved::UnexpectedMessage, AlertDescription::UNEXPECTED_MESSAGE);
    }
}

/// RFC 5077 §3.3: "This message MUST be sent if the server included a SessionTicket extension in the ServerHello. This message
/// MUST NOT be sent if the server did not".
#[test]
fn a_new_session_ticket_comes_if_it_is_announced() {
    let announced = |full: bool| {
        let world = World::new(&Setup::default(), By::Ticket);
        if !full {
            world.run(HandshakeKind::Full);
            world.advance(6 * HOUR);
        }
        world
    };
    for full in [true, false] {
        let missing = announced(full).pair().run_with(|_, batch| batch.retain(|sent| !sent.is(T::NEW_SESSION_TICKET)));
        refused(missing, Role::Client, PeerMisbehaved::UnexpectedMessage, AlertDescription::UNEXPECTED_MESSAGE);
        // After the ChangeCipherSpec it is too late, and before the ServerHelloDone too early.
        let late = announced(full).pair().run_with(|_, batch| {
            if let Some(at) = batch.iter().position(|sent| sent.is(T::NEW_SESSION_TICKET)) {
                batch.swap(at, at + 1);
            }
        });
        refused(late, Role::Client, PeerMisbehaved::UnexpectedMessage, AlertDescription::UNEXPECTED_MESSAGE);
        let truncated = |body: &mut Vec<u8>| body.truncate(body.len() - 1);
        let truncated = announced(full).altered(Role::Server, T::NEW_SESSION_TICKET, truncated);
        refused(truncated, Role::Client, Malformed::Truncated, AlertDescription::DECODE_ERROR);
        let longer = announced(full).altered(Role::Server, T::NEW_SESSION_TICKET, |body| body.push(0));
        refused(longer, Role::Client, Malformed::TrailingData, AlertDescription::DECODE_ERROR);
        // Another ticket is not the server's: its Finished says so, and the client keeps nothing.
        let world = announced(full);
        let forged = world.altered(Role::Server, T::NEW_SESSION_TICKET, |body| *body.last_mut().unwrap() ^= 1);
        refused(forged, Role::Client, PeerMisbehaved::FinishedMismatch, AlertDescription::DECRYPT_ERROR);
        assert_eq!(world.sessions(), 0);
    }
    let body = NewSessionTicket12 { lifetime_hint: 60, ticket: b"unwanted" }.encode();
    let stray = Sent::Message(Epoch::PLAINTEXT, OwnedMessage { msg_type: T::NEW_SESSION_TICKET, message_seq: 9, body });
    for resumed in [false, true] {
        let world = match resumed {
            true => World::primed(&Setup::default(), By::Id),
            false => World::new(&Setup::default(), By::Id),
        };
        let outcome = world.pair().run_with(|role, batch| {
            if role == Role::Server
                && let Some(at) = batch.iter().position(|sent| *sent == Sent::ChangeCipherSpec)
            {
                batch.insert(at, stray.clone());
            }
        });
        refused(outcome, Role::Client, PeerMisbehaved::UnexpectedMessage, AlertDescription::UNEXPECTED_MESSAGE);
        let outcome = world.pair().run_with(|role, batch| {
            if role == Role::Client
                && let Some(at) = batch.iter().position(|sent| *sent == Sent::ChangeCipherSpec)
            {
                batch.insert(at, stray.clone());
            }
        });
        refused(outcome, Role::Server, PeerMisbehaved::UnexpectedMessage, AlertDescription::UNEXPECTED_MESSAGE);
    }
}

/// Sessions whose chain is too long for a ticket lie at the server (RFC 5077 §3.3: "it sends a zero-length ticket").
#[test]
fn an_empty_ticket_is_none() {
    #[derive(Debug)]
    struct Unable;
    impl ProducesTickets for Unable {
        fn enabled(&self) -> bool {
            true
        }
        fn lifetime(&self) -> u32 {
            600
        }
        fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
        fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }
    let mut world = World::new(&mutual(), By::Ticket);
    world.server.set_ticketer(Arc::new(Unable));
    world.run(HandshakeKind::Full);
    assert!(matches!(world.handle(), SessionHandle::Id(_)));
    let pair = world.run(HandshakeKind::Resumed);
    assert!(pair.server.log.contains(&"4@0".to_owned()));
    assert_eq!(world.sessions(), 1);
    // A client that shows no certificate got no id.
    let mut world = World::new(&Setup::default(), By::Ticket);
    world.server.set_ticketer(Arc::new(Unable));
    world.run(HandshakeKind::Full);
    assert_eq!(world.sessions(), 0);
}

/// RFC 5246 §7.1, §7.4.9: no Finished without the ChangeCipherSpec, none of either twice, and none that is wrong.
#[test]
fn the_end_of_a_resumption_has_an_order() {
    for by in WAYS {
        for role in [Role::Server, Role::Client] {
            let unexpected = PeerMisbehaved::UnexpectedMessage;
            let alert = AlertDescription::UNEXPECTED_MESSAGE;
            let edit = |edit: &dyn Fn(&mut Vec<Sent>)| {
                World::primed(&Setup::default(), by).pair().run_with(|sender, batch| {
                    if sender == role && batch.contains(&Sent::ChangeCipherSpec) {
                        edit(batch);
                    }
                })
            };
            refused(
                edit(&|batch| batch.retain(|sent| *sent != Sent::ChangeCipherSpec)),
                role.peer(),
                unexpected,
                alert,
            );
            let twice = |batch: &mut Vec<Sent>| batch.insert(batch.len() - 1, Sent::ChangeCipherSpec);
            refused(edit(&twice), role.peer(), unexpected, alert);
            let mismatch = |batch: &mut Vec<Sent>| {
                let Some(Sent::Message(_, finished)) = batch.last_mut() else { panic!() };
                finished.body[0] ^= 1;
            };
            let wrong = PeerMisbehaved::FinishedMismatch;
            refused(edit(&mismatch), role.peer(), wrong, AlertDescription::DECRYPT_ERROR);
        }
    }
}

/// RFC 5077 §3.4: "If the server accepts the ticket and the Session ID is not empty, then it MUST respond with the same Session
/// ID"; "the server MUST NOT rely upon the Session ID having a particular value".
#[test]
fn a_session_id_of_any_length_beside_a_ticket_is_echoed() {
    for length in [0, 16, 32] {
        let world = World::primed(&Setup::default(), By::Ticket);
        let mut pair = world.pair();
        let Sent::Message(_, mut hello) = pair.client.take().remove(0) else { panic!() };
        let id = vec![0xa5; length];
        hello.body.splice(34..34 + 1 + 32, [&[length as u8], &id[..]].concat());
        let flight = pair.server.give(&Sent::Message(Epoch::PLAINTEXT, hello)).unwrap();
        let Sent::Message(_, server_hello) = &flight[0] else { panic!() };
        assert_eq!(ServerHello::read(&server_hello.body).unwrap().session_id, id);
        assert_eq!(pair.server.log.join(" "), "answer 2@0 ccs@0 w1 20@1 await");
    }
}

/// RFC 5077 §3.4: "If a ticket is presented by the client, the server MUST NOT attempt to use the Session ID".
#[test]
fn beside_a_ticket_the_session_id_means_nothing() {
    let mut world = World::primed(&Setup::default(), By::Id);
    world.server.set_ticket_count(1);
    let altered = world.altered(Role::Client, T::CLIENT_HELLO, |body| {
        let extensions = client_extensions(body);
        let at = extensions.find(ExtensionType::SESSION_TICKET).unwrap().as_ptr() as usize - body.as_ptr() as usize;
        let end = extensions.iter().last().unwrap().1;
        assert_eq!(at, end.as_ptr() as usize + end.len() - body.as_ptr() as usize, "the last one");
        let block = extensions.iter().map(|(_, data)| 4 + data.len()).sum::<usize>();
        body[at - 2..].copy_from_slice(&3u16.to_be_bytes());
        body.extend(b"???");
        let length = at - block - 2;
        body[length..length + 2].copy_from_slice(&(block as u16 + 3).to_be_bytes());
    });
    refused(altered, Role::Server, PeerMisbehaved::FinishedMismatch, AlertDescription::DECRYPT_ERROR);
    world.server.set_ticket_count(0);
}

/// A client of both versions resumes what a server of the older one gave it.
#[test]
fn a_client_of_both_versions_resumes() {
    for by in WAYS {
        let setup = Setup { versions: [BOTH, Setup::default().versions[1]], ..Setup::default() };
        World::primed(&setup, by).run(HandshakeKind::Resumed);
    }
}

/// A verdict of the first handshake holds, unless the application wants it anew.
#[test]
fn reverification_judges_the_chain_again() {
    for by in WAYS {
        let lax = World::primed(&mutual(), by);
        lax.run(HandshakeKind::Resumed);
        let mut strict = World::primed(&mutual(), by);
        strict.client.reverify_on_resumption();
        strict.server.reverify_on_resumption();
        strict.run(HandshakeKind::Resumed);
        // Its chain is somebody else's now: the client that looks again finds out.
        let foreign = |world: &World| {
            let chain: Arc<[_]> = STRANGERS.of(Kind::P256).0.into();
            world.change(|session| session.state.peer.certificates = chain.clone());
        };
        foreign(&lax);
        lax.run(HandshakeKind::Resumed);
        foreign(&strict);
        let (role, error) = strict.pair().run_with(|_, _| ()).unwrap_err();
        assert_eq!((role, error.alert()), (Role::Client, Some(AlertDescription::UNKNOWN_CA)));
    }
}

/// What `to_bytes` gives is resumed like the session itself.
#[test]
fn a_session_survives_as_octets() {
    for by in WAYS {
        let world = World::primed(&Setup::default(), by);
        world.change(|session| *session = Session::from_bytes(&session.to_bytes()).unwrap());
        world.run(HandshakeKind::Resumed);
    }
}

/// A client that keeps no sessions asks for none.
#[test]
fn who_wants_no_session_gets_none() {
    let mut world = World::new(&Setup::default(), By::Ticket);
    world.client.set_session_capacity(0);
    let pair = world.run(HandshakeKind::Full);
    assert!(!pair.server.log.contains(&"4@0".to_owned()));
    world.server.set_ticket_count(0);
    world.run(HandshakeKind::Full);
    world.run(HandshakeKind::Full);
}

/// The secret of a session is logged under the random of each handshake (RFC 9850 §2.2).
#[test]
fn a_resumed_handshake_is_logged() {
    static LOGGED: LazyLock<Arc<Log>> = LazyLock::new(Arc::default);
    let world = World::primed(&Setup { key_log: &LOGGED, ..Setup::default() }, By::Ticket);
    world.run(HandshakeKind::Resumed);
    let lines = LOGGED.0.lock().unwrap();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|(label, _, secret)| label == "CLIENT_RANDOM" && *secret == lines[0].2));
    assert_eq!(lines.iter().filter(|(_, random, _)| *random == lines[0].1).count(), 2);
}
