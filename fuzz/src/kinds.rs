//! The kinds of handshakes, each with its two configurations, and the time in which all happens.

use crate::provider::{End, Key, provider, reseed};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyUsagePurpose, SerialNumber};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{KeyLog, RootCertStore};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use udtls::{
    CipherSuite, ClientConfig, ClientSessionStore, Connection, Datagram, KeyShares, NamedGroup, PlaintextFaults,
    ProtocolVersion, ServerConfig, Session, TransportConfig,
};

/// What distinguishes a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Plain,
    /// Both show a certificate, of more than one datagram.
    Mutual,
    /// Short datagrams.
    Narrow,
    /// ChaCha20-Poly1305.
    OtherCipher,
    /// What is wrong in plaintext is fatal.
    Strict,
    /// Keys wear out after a few records.
    Worn,
    /// A session is resumed, by a ticket.
    Resumed,
    /// The server wants another group than the client's first (DTLS 1.3).
    Retry,
    /// The first ClientHello fits no datagram (DTLS 1.3).
    Hybrid,
}

/// A handshake, ready to be run any number of times.
pub struct Kind {
    pub version: ProtocolVersion,
    pub shape: Shape,
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
}

/// All of them.
pub static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let both =
        [Shape::Plain, Shape::Mutual, Shape::Narrow, Shape::OtherCipher, Shape::Strict, Shape::Worn, Shape::Resumed];
    let of = |version| both.map(|shape| Kind::new(version, shape));
    let mut kinds: Vec<_> = of(ProtocolVersion::DTLS1_3).into();
    kinds.extend(of(ProtocolVersion::DTLS1_2));
    kinds.extend([Shape::Retry, Shape::Hybrid].map(|shape| Kind::new(ProtocolVersion::DTLS1_3, shape)));
    kinds
});

/// When every run begins.
pub static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The server's name.
pub const NAME: &str = "fuzz.example";

pub fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a valid name")
}

impl Kind {
    /// Everything that a run changes is as it was before: to be called first.
    pub fn begin(&self) {
        reseed(0);
        set_unix_time(UNIX_TIME);
        SECRETS.with_borrow_mut(Vec::clear);
    }

    pub fn new_end(&self, end: End, now: Instant) -> Connection {
        match end {
            End::Client => Connection::client(self.client.clone(), Some(server_name()), now).expect("a client"),
            End::Server => Connection::server(self.server.clone(), now).expect("a server"),
        }
    }

    fn new(version: ProtocolVersion, shape: Shape) -> Self {
        reseed(0);
        let mut transport = TransportConfig::new();
        match shape {
            Shape::Narrow => transport.set_mtu(200).map(drop).expect("an MTU above the floor"),
            Shape::Strict => drop(transport.set_plaintext_faults(PlaintextFaults::Fatal)),
            Shape::Worn => transport.set_aead_limits(16, 16).map(drop).expect("limits above the floor"),
            _ => {}
        }
        let padding = if shape == Shape::Mutual { 1500 } else { 0 };
        let (servers, clients) = (Identity::new(1, padding), Identity::new(2, padding));

        let client = ClientConfig::builder_with_provider(provider(End::Client));
        let client = client.with_root_certificates(servers.roots.clone()).expect("roots");
        let mut client = match shape {
            Shape::Mutual => {
                client.with_client_auth_cert(clients.chain.clone(), clients.key.private()).expect("a certificate")
            }
            _ => client.with_no_client_auth(),
        };
        let server = ServerConfig::builder_with_provider(provider(End::Server));
        let server = match shape {
            Shape::Mutual => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider(End::Server));
                server.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
            _ => server.with_no_client_auth(),
        };
        let server = server.expect("client authentication");
        let mut server = server.with_single_cert(servers.chain.clone(), servers.key.private()).expect("a certificate");

        client.set_versions(&[version]).expect("a version");
        server.set_versions(&[version]).expect("a version");
        let suites: &[_] = match shape {
            Shape::OtherCipher => {
                &[CipherSuite::TLS_CHACHA20_POLY1305_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]
            }
            _ => &[CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
        };
        server.set_cipher_suites(suites).expect("suites");
        let group = match shape {
            Shape::Retry => NamedGroup::SECP256R1,
            Shape::Hybrid => NamedGroup::X25519MLKEM768,
            _ => NamedGroup::X25519,
        };
        server.set_groups(&[group]).expect("a group");
        if shape == Shape::Hybrid {
            client.set_groups(&[NamedGroup::X25519MLKEM768, NamedGroup::X25519]).expect("groups");
            client.set_key_shares(KeyShares::HybridFirst).expect("a hybrid");
        } else {
            client.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).expect("groups");
        }
        client.set_alpn_protocols(vec![b"fuzz".to_vec(), b"other".to_vec()]).expect("protocols");
        server.set_alpn_protocols(vec![b"other".to_vec()]).expect("protocols");
        client.set_time_provider(Arc::new(Clock)).set_transport(transport.clone()).set_key_log(Arc::new(Log));
        server.set_time_provider(Arc::new(Clock)).set_transport(transport).set_key_log(Arc::new(Log));
        server.set_session_storage(Arc::new(NoServerSessionStorage {}));
        client.set_session_store(Arc::new(NoSession));
        let server = Arc::new(server);
        if shape == Shape::Resumed {
            resume(&mut client, &server);
        }
        Self { version, shape, client: Arc::new(client), server }
    }
}

// ---- time

/// Seconds, when every run begins.
pub const UNIX_TIME: u64 = 1_800_000_000;

thread_local! {
    static SECONDS: Cell<u64> = const { Cell::new(UNIX_TIME) };
    static CLIENT_RANDOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SECRETS: RefCell<Vec<(String, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

pub fn set_unix_time(seconds: u64) {
    SECONDS.set(seconds);
}

#[derive(Debug)]
pub struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(SECONDS.get())))
    }
}

// ---- secrets

/// Keeps what is logged.
#[derive(Debug)]
struct Log;

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        CLIENT_RANDOM.with_borrow_mut(|random| *random = client_random.to_vec());
        SECRETS.with_borrow_mut(|secrets| secrets.push((label.to_owned(), secret.to_vec())));
    }
}

/// What has been logged under this label in this run.
pub fn logged(label: &str) -> Option<Vec<u8>> {
    SECRETS.with_borrow(|secrets| secrets.iter().rfind(|(known, _)| known == label).map(|(_, secret)| secret.clone()))
}

/// The client's random, of the last secret that was logged.
pub fn client_random() -> Vec<u8> {
    CLIENT_RANDOM.with_borrow(Vec::clone)
}

// ---- sessions

/// Gives the same session each time.
#[derive(Debug, Default)]
struct SameSession(Mutex<Option<Session>>);

impl ClientSessionStore for SameSession {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        self.0.lock().expect("nobody panics").get_or_insert(session);
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().expect("nobody panics").clone()
    }
}

/// Asks for sessions and keeps none.
#[derive(Debug)]
struct NoSession;

impl ClientSessionStore for NoSession {
    fn put(&self, _: &ServerName<'static>, _: Session) {}

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        None
    }
}

fn resume(client: &mut ClientConfig, server: &Arc<ServerConfig>) {
    let store = Arc::new(SameSession::default());
    client.set_session_store(store.clone());
    let now = *ORIGIN;
    let mut one = Connection::client(Arc::new(client.clone()), Some(server_name()), now).expect("a client");
    let mut other = Connection::server(server.clone(), now).expect("a server");
    while pass(&mut one, &mut other, now) | pass(&mut other, &mut one, now) {}
    assert!(store.0.lock().expect("nobody panics").is_some(), "the server gives a session");
}

/// Gives the one what the other has to say, if it has.
pub fn pass(from: &mut Connection, to: &mut Connection, now: Instant) -> bool {
    let mut out = [0; 2048];
    let mut said = false;
    while let Some(len) = from.poll_transmit(now, &mut out).expect("a buffer that suffices") {
        said = true;
        let mut datagram = Datagram::new(&mut out[..len]);
        while to.receive(now, &mut datagram).expect("a handshake that succeeds").is_some() {}
    }
    said
}

// ---- certificates

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Key,
    roots: Arc<RootCertStore>,
}

impl Identity {
    fn new(number: u8, padding: usize) -> Self {
        let [root_key, key] = [10, 20].map(|n| Key::numbered(n + number));
        let mut params = parameters("root", 0);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&root_key).expect("a root");
        let issuer = Issuer::new(params, root_key);
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root that parses");
        let end_entity = parameters(NAME, padding).signed_by(&key, &issuer).expect("an end entity");
        Self { chain: vec![end_entity.der().clone()], key, roots: Arc::new(roots) }
    }
}

fn parameters(name: &str, padding: usize) -> CertificateParams {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("a valid name");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(1));
    if padding > 0 {
        // An extension of nobody's that verifiers skip.
        let content = vec![0x5A; padding];
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], content));
    }
    params
}
