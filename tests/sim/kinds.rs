//! The kinds of handshakes: every scenario is written once and run for all of them.

use crate::pki::{Chain, FixedTime, Identity};
use crate::provider::{End, provider, reseed};
use crate::sessions::resume;
use rustls::server::WebPkiClientVerifier;
use std::fmt;
use std::sync::{Arc, LazyLock};
use udtls::{ClientConfig, NamedGroup, ProtocolVersion, ServerConfig, TransportConfig};

/// What distinguishes a handshake on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Only the server shows a certificate.
    ServerAuth,
    /// Both do.
    MutualAuth,
    /// Both do, and neither chain fits a datagram.
    LongChains,
    /// The server wants another group than the client's first (DTLS 1.3).
    Retry,
    /// A session is resumed, and the client gets new ones; in every other shape it asks for none.
    Resumed,
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

/// All kinds: versions × shapes × MTUs.
pub(crate) fn all() -> &'static [Kind] {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
        let shapes: [(ProtocolVersion, &[Shape]); 2] = [
            (ProtocolVersion::DTLS1_2, &[Shape::ServerAuth, Shape::MutualAuth, Shape::LongChains]),
            (
                ProtocolVersion::DTLS1_3,
                &[Shape::ServerAuth, Shape::MutualAuth, Shape::LongChains, Shape::Retry, Shape::Resumed],
            ),
        ];
        let each = |(version, shapes): (ProtocolVersion, &'static [Shape])| {
            shapes.iter().flat_map(move |shape| [256, 1200].map(|mtu| Kind::new(version, *shape, mtu)))
        };
        shapes.into_iter().flat_map(each).collect()
    });
    &KINDS
}

/// One kind for each version: for what does not depend on the shape of the handshake.
pub(crate) fn plain() -> impl Iterator<Item = &'static Kind> {
    all().iter().filter(|kind| kind.shape == Shape::ServerAuth && kind.mtu == 1200)
}

/// Runs a scenario for every kind, on as many threads as there are processors.
pub(crate) fn for_all(scenario: impl Fn(&'static Kind) + Sync) {
    for_each(&all().iter().collect::<Vec<_>>(), scenario);
}

/// Runs a scenario for these kinds, on as many threads as there are processors.
pub(crate) fn for_each(kinds: &[&'static Kind], scenario: impl Fn(&'static Kind) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(kind) = kinds.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    scenario(kind);
                }
            });
        }
    });
}

impl Kind {
    pub(crate) fn new(version: ProtocolVersion, shape: Shape, mtu: usize) -> Self {
        Self::with_transport(version, shape, mtu, |_| {})
    }

    pub(crate) fn with_transport(
        version: ProtocolVersion,
        shape: Shape,
        mtu: usize,
        tune: impl Fn(&mut TransportConfig),
    ) -> Self {
        let mut transport = TransportConfig::new();
        transport.set_mtu(mtu).expect("an MTU above the floor");
        tune(&mut transport);
        // What a configuration draws does not depend on what this thread has drawn before.
        reseed(0);
        let length = if shape == Shape::LongChains { Chain::Long } else { Chain::Short };
        let (servers, clients) = (Identity::new(1, length), Identity::new(2, length));

        let client =
            ClientConfig::builder_with_provider(provider(End::Client)).with_root_certificates(servers.roots.clone());
        let client = client.expect("roots");
        let mut client = match shape {
            Shape::ServerAuth | Shape::Retry | Shape::Resumed => client.with_no_client_auth(),
            Shape::MutualAuth | Shape::LongChains => {
                client.with_client_auth_cert(clients.chain.clone(), clients.key()).expect("the client's certificate")
            }
        };
        client.set_versions(&[version]).expect("a version");
        client.set_time_provider(Arc::new(FixedTime)).set_transport(transport.clone()).set_session_capacity(0);

        let server = ServerConfig::builder_with_provider(provider(End::Server));
        let server = match shape {
            Shape::ServerAuth | Shape::Retry | Shape::Resumed => server.with_no_client_auth(),
            Shape::MutualAuth | Shape::LongChains => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider(End::Server));
                server.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let server = server.expect("client authentication").with_single_cert(servers.chain.clone(), servers.key());
        let mut server = server.expect("the server's certificate");
        server.set_versions(&[version]).expect("a version");
        if shape == Shape::Retry {
            server.set_groups(&[NamedGroup::SECP256R1]).expect("a group");
        }
        server.set_time_provider(Arc::new(FixedTime)).set_transport(transport);
        let server = Arc::new(server);
        if shape == Shape::Resumed {
            resume(&mut client, &server);
        }
        Self { version, shape, mtu, client: Arc::new(client), server }
    }
}
