//! The kinds of handshakes: every scenario is written once and run for all of them. [`SHAPES`] is the one list to extend.

use crate::keys::Log;
use crate::pki::{Chain, FixedTime, Identity};
use crate::provider::{End, provider, reseed};
use crate::sessions::{resume, want_tickets};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use std::fmt;
use std::sync::{Arc, LazyLock};
use udtls::{ClientConfig, KeyShares, NamedGroup, ProtocolVersion, ServerConfig, TransportConfig};

/// What distinguishes a handshake on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Only the server shows a certificate.
    ServerAuth,
    /// Both do, of 1.2 kB.
    MutualAuth,
    /// Both do, and neither chain fits a datagram: the server's has 12 kB, the client's 3 kB.
    LongChains,
    /// The server wants another group than the client's first (DTLS 1.3).
    Retry,
    /// The client's first share is of X25519MLKEM768, and its ClientHello fits no datagram (DTLS 1.3).
    Hybrid,
    /// The server wants X25519MLKEM768, of which the client has shown no share (DTLS 1.3).
    RetryHybrid,
    /// The server keeps nothing until its cookie comes back, by a HelloVerifyRequest or a HelloRetryRequest.
    Cookie,
    /// The same with a first ClientHello that fits no datagram, for X25519MLKEM768 (DTLS 1.3).
    CookieHybrid,
    /// A session is resumed, and the client gets new ones; in every other shape it asks for none.
    Resumed,
}

/// The shapes that each version has.
const SHAPES: [(ProtocolVersion, &[Shape]); 2] = [
    (ProtocolVersion::DTLS1_2, &[Shape::ServerAuth, Shape::MutualAuth, Shape::LongChains, Shape::Resumed]),
    (
        ProtocolVersion::DTLS1_3,
        &[
            Shape::ServerAuth,
            Shape::MutualAuth,
            Shape::LongChains,
            Shape::Retry,
            Shape::Hybrid,
            Shape::RetryHybrid,
            Shape::Resumed,
        ],
    ),
];

/// The shapes that need an endpoint.
const COOKIES: [(ProtocolVersion, &[Shape]); 2] =
    [(ProtocolVersion::DTLS1_2, &[Shape::Cookie]), (ProtocolVersion::DTLS1_3, &[Shape::Cookie, Shape::CookieHybrid])];

/// Octets of UDP payload.
const MTUS: [usize; 3] = [256, 576, 1200];

impl Shape {
    pub(crate) const fn shows_both_certificates(self) -> bool {
        matches!(self, Self::MutualAuth | Self::LongChains)
    }

    /// Whether it takes a round trip more.
    pub(crate) const fn is_retried(self) -> bool {
        matches!(self, Self::Retry | Self::RetryHybrid | Self::Cookie | Self::CookieHybrid)
    }

    /// Whether an endpoint asks for a cookie before there is an association.
    pub(crate) const fn has_cookie(self) -> bool {
        matches!(self, Self::Cookie | Self::CookieHybrid)
    }

    /// How many lost datagrams are counted out, in every combination: of a chain of 12 kB in short datagrams two.
    pub(crate) const fn losses(self) -> usize {
        if matches!(self, Self::LongChains) { 2 } else { 3 }
    }

    /// The client's and the server's.
    const fn chains(self) -> [Chain; 2] {
        match self {
            Self::LongChains => [Chain::Long, Chain::VeryLong],
            Self::MutualAuth => [Chain::Usual, Chain::Usual],
            _ => [Chain::Short, Chain::Short],
        }
    }
}

/// A handshake, ready to be run any number of times.
pub(crate) struct Kind {
    pub(crate) version: ProtocolVersion,
    pub(crate) shape: Shape,
    pub(crate) mtu: usize,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.version == ProtocolVersion::DTLS1_3 { "1.3" } else { "1.2" };
        write!(f, "{version} {:?} mtu {}", self.shape, self.mtu)
    }
}

/// All kinds of two bare associations: versions × shapes × MTUs.
pub(crate) fn all() -> &'static [Kind] {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| every(&SHAPES, Kind::new));
    &KINDS
}

/// These and the kinds in which an endpoint asks for a cookie first.
pub(crate) fn with_cookies() -> Vec<&'static Kind> {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| every(&COOKIES, Kind::new));
    all().iter().chain(KINDS.iter()).collect()
}

/// All of these with aws-lc-rs alone, which cannot be seeded: a run repeats in its decisions, and in its sizes but for the
/// signatures'.
pub(crate) fn with_aws_lc() -> &'static [Kind] {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| with_aws_lc_and(|_| {}));
    &KINDS
}

/// The same, tuned.
pub(crate) fn with_aws_lc_and(tune: impl Fn(&mut TransportConfig)) -> Vec<Kind> {
    let own = |_| Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let make = |version, shape, mtu| Kind::with_provider(version, shape, mtu, own, &tune);
    every(&SHAPES, make).into_iter().chain(every(&COOKIES, make)).collect()
}

fn every(shapes: &[(ProtocolVersion, &[Shape])], make: impl Fn(ProtocolVersion, Shape, usize) -> Kind) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (version, shapes) in shapes {
        for shape in *shapes {
            kinds.extend(MTUS.map(|mtu| make(*version, *shape, mtu)));
        }
    }
    kinds
}

/// Handshakes of DTLS 1.2 in which the server gives a ticket, full and abbreviated (RFC 5077 §3.1).
pub(crate) fn with_tickets() -> Vec<&'static Kind> {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
        let kind = |mtu| Kind::new(ProtocolVersion::DTLS1_2, Shape::ServerAuth, mtu);
        let full = MTUS.map(|mtu| {
            let mut kind = kind(mtu);
            let mut client = ClientConfig::clone(&kind.client);
            want_tickets(&mut client);
            kind.client = Arc::new(client);
            kind
        });
        let abbreviated = MTUS.map(|mtu| {
            let mut kind = kind(mtu);
            // A session that is known by its id becomes one of a ticket.
            let mut client = ClientConfig::clone(&kind.client);
            let mut first = ServerConfig::clone(&kind.server);
            resume(&mut client, &Arc::new(first.set_ticket_count(0).clone()));
            kind.client = Arc::new(client);
            Kind { shape: Shape::Resumed, ..kind }
        });
        full.into_iter().chain(abbreviated).collect()
    });
    KINDS.iter().collect()
}

/// One kind for each version: for what does not depend on the shape of the handshake.
pub(crate) fn plain() -> impl Iterator<Item = &'static Kind> {
    all().iter().filter(|kind| kind.shape == Shape::ServerAuth && kind.mtu == 1200)
}

/// Runs a scenario for every kind, on as many threads as there are processors.
pub(crate) fn for_all(scenario: impl Fn(&'static Kind) + Sync) {
    for_each(&all().iter().collect::<Vec<_>>(), scenario);
}

/// Runs a scenario for these kinds, on as many threads as there are processors, and returns what came of each.
pub(crate) fn for_each<T: Send>(kinds: &[&'static Kind], scenario: impl Fn(&'static Kind) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(kind) = kinds.get(index) else { break };
                    let result = scenario(kind);
                    results.lock().expect("no scenario ends while it holds this").push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("all threads have ended");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

impl Kind {
    pub(crate) fn new(version: ProtocolVersion, shape: Shape, mtu: usize) -> Self {
        Self::with_provider(version, shape, mtu, provider, |_| {})
    }

    pub(crate) fn with_provider(
        version: ProtocolVersion,
        shape: Shape,
        mtu: usize,
        provider: impl Fn(End) -> Arc<CryptoProvider>,
        tune: impl Fn(&mut TransportConfig),
    ) -> Self {
        let mut transport = TransportConfig::new();
        transport.set_mtu(mtu).expect("an MTU above the floor");
        tune(&mut transport);
        // What a configuration draws does not depend on what this thread has drawn before.
        reseed(0);
        let [client_chain, server_chain] = shape.chains();
        let (servers, clients) = (Identity::new(1, server_chain), Identity::new(2, client_chain));

        let client =
            ClientConfig::builder_with_provider(provider(End::Client)).with_root_certificates(servers.roots.clone());
        let client = client.expect("roots");
        let mut client = if shape.shows_both_certificates() {
            client.with_client_auth_cert(clients.chain.clone(), clients.key()).expect("the client's certificate")
        } else {
            client.with_no_client_auth()
        };
        // What a feature could compress would change every figure.
        client.set_cert_decompressors(Vec::new()).set_key_log(Arc::new(Log));
        client.set_versions(&[version]).expect("a version");
        match shape {
            // The cheapest first, and the hybrid last unless it is what the handshake is about.
            Shape::Hybrid | Shape::CookieHybrid => {
                client.set_groups(&[NamedGroup::X25519MLKEM768, NamedGroup::X25519]).expect("groups");
                client.set_key_shares(KeyShares::HybridFirst).expect("a hybrid");
            }
            _ if version == ProtocolVersion::DTLS1_2 => {}
            _ => {
                let groups = [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::X25519MLKEM768];
                client.set_groups(&groups).expect("groups");
            }
        }
        client.set_time_provider(Arc::new(FixedTime)).set_transport(transport.clone()).set_session_capacity(0);

        let server = ServerConfig::builder_with_provider(provider(End::Server));
        let server = if shape.shows_both_certificates() {
            let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider(End::Server));
            server.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            server.with_no_client_auth()
        };
        let server = server.expect("client authentication").with_single_cert(servers.chain.clone(), servers.key());
        let mut server = server.expect("the server's certificate");
        server.set_cert_decompressors(Vec::new()).set_key_log(Arc::new(Log));
        server.set_versions(&[version]).expect("a version");
        let group = match shape {
            Shape::Retry => NamedGroup::SECP256R1,
            Shape::Hybrid | Shape::RetryHybrid | Shape::CookieHybrid => NamedGroup::X25519MLKEM768,
            Shape::ServerAuth | Shape::MutualAuth | Shape::LongChains | Shape::Resumed | Shape::Cookie => {
                NamedGroup::X25519
            }
        };
        server.set_groups(&[group]).expect("a group");
        server.set_time_provider(Arc::new(FixedTime)).set_transport(transport);
        let server = Arc::new(server);
        if shape == Shape::Resumed {
            resume(&mut client, &server);
        }
        Self { version, shape, mtu, client: Arc::new(client), server }
    }
}
