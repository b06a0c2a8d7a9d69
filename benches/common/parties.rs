//! Who talks to whom: a certification authority, a server and a client that have certificates of it, all with P-256, and
//! their configurations.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use std::sync::Arc;
use std::time::Instant;
use udtls::{
    ClientConfig, Connection, DataSize, Datagram, KeyShares, NamedGroup, ProtocolVersion, ServerConfig, TransportConfig,
};

/// The authority and those whom it vouches for.
pub(crate) struct Parties {
    authority: KeyPair,
    root: CertificateDer<'static>,
    server: Party,
    client: Party,
}

struct Party {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

/// Whether the client shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    None,
    Required,
}

/// Whether there are sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// Neither kept nor sealed.
    None,
    /// A ticket after each handshake.
    Ticket,
}

/// What an association is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) version: ProtocolVersion,
    pub(crate) group: NamedGroup,
    pub(crate) client_auth: ClientAuth,
    pub(crate) sessions: Sessions,
}

impl Parties {
    pub(crate) fn new() -> Self {
        let authority = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&authority).expect("a certificate");
        let issuer = Issuer::from_params(&params, &authority);
        let party = || {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate").der().clone();
            Party { certificate, key }
        };
        let (server, client) = (party(), party());
        Self { root: root.der().clone(), server, client, authority }
    }

    pub(crate) fn server_config(&self, provider: &Arc<CryptoProvider>, kind: Kind) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = match kind.client_auth {
            ClientAuth::None => builder.with_no_client_auth().expect("a provider"),
            ClientAuth::Required => {
                let roots = Arc::new(self.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier")).expect("a provider")
            }
        };
        let (certificate, key) = self.server.shown();
        let mut config = builder.with_single_cert(vec![certificate], key).expect("a certificate that fits");
        config.set_versions(&[kind.version]).expect("a version").set_groups(&[kind.group]).expect("a group");
        match kind.sessions {
            Sessions::None => config.set_ticket_count(0).set_session_storage(Arc::new(NoServerSessionStorage {})),
            Sessions::Ticket => config.set_ticket_count(1),
        };
        config
    }

    pub(crate) fn client_config(&self, provider: &Arc<CryptoProvider>, kind: Kind) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_root_certificates(self.roots()).expect("roots");
        let mut config = match kind.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Required => {
                let (certificate, key) = self.client.shown();
                builder.with_client_auth_cert(vec![certificate], key).expect("a certificate that fits")
            }
        };
        config.set_versions(&[kind.version]).expect("a version").set_groups(&[kind.group]).expect("a group");
        if kind.group == NamedGroup::X25519MLKEM768 {
            config.set_key_shares(KeyShares::HybridFirst).expect("a hybrid group");
        }
        if kind.sessions == Sessions::None {
            config.set_session_capacity(0);
        }
        config
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        roots
    }

    /// The key that signed the certificates.
    pub(crate) const fn authority(&self) -> &KeyPair {
        &self.authority
    }

    /// The key of a server's certificate; the client's is of the same kind.
    pub(crate) const fn server_key(&self) -> &KeyPair {
        &self.server.key
    }

    /// Octets of the server's certificate; the client's is as long.
    pub(crate) fn certificate_len(&self) -> usize {
        self.server.certificate.len()
    }
}

impl Party {
    fn shown(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (self.certificate.clone(), private_key(&self.key))
    }
}

pub(crate) fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// Lets data be as long as a record may be.
pub(crate) fn whole_records() -> TransportConfig {
    let mut transport = TransportConfig::new();
    transport.set_data_size(DataSize::WholeRecord);
    transport
}

/// Both ends before their first word.
pub(crate) fn ends(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, now: Instant) -> (Connection, Connection) {
    let name = ServerName::try_from("localhost").expect("a name");
    let client = Connection::client(client.clone(), Some(name), now).expect("a client");
    (client, Connection::server(server.clone(), now).expect("a server"))
}

/// A handshake, until neither end has anything to say; `see` sees the datagrams.
pub(crate) fn shake_hands(client: &mut Connection, server: &mut Connection, now: Instant, mut see: impl FnMut(&[u8])) {
    loop {
        let said = carry(client, server, now, &mut see) + carry(server, client, now, &mut see);
        if said == 0 {
            break;
        }
    }
    assert!(client.is_established() && server.is_established(), "{client:?} {server:?}");
}

/// All that one end has to say; how many datagrams that were.
fn carry(from: &mut Connection, to: &mut Connection, now: Instant, see: &mut impl FnMut(&[u8])) -> usize {
    let mut buffer = [0; 1500];
    let mut count = 0;
    while let Some(len) = from.poll_transmit(now, &mut buffer).expect("room for a datagram") {
        let datagram = &mut buffer[..len];
        see(datagram);
        assert!(to.receive(now, &mut Datagram::new(datagram)).expect("a datagram that is good").is_none());
        count += 1;
    }
    count
}
