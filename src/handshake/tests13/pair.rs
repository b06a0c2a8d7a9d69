//! Two ends of a handshake, joined by whole messages: effects of the one become inputs of the other.

pub(super) use super::super::testing::{Auth, KINDS, Kind, Log, NAME, PKI, Pki, STRANGERS};
use super::super::{Effect, FlightEnd, Handshake, Input, Negotiated};
use crate::config::{ClientConfig, KeyShares, ServerConfig, ServerNameAcknowledgement, UnofferedProtocol};
use crate::crypto::{Role, suites::TrafficKeys};
use crate::error::Error;
use crate::wire::{
    CipherSuite, NamedGroup, ProtocolVersion, ack::Epoch, enums::HandshakeType, handshake::OwnedMessage,
};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The two configurations of a test.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) client_versions: Vec<ProtocolVersion>,
    pub(super) suites: Vec<CipherSuite>,
    pub(super) client_groups: Vec<NamedGroup>,
    pub(super) server_groups: Vec<NamedGroup>,
    pub(super) shares: KeyShares,
    pub(super) server_certificate: Kind,
    pub(super) client_certificate: Option<Kind>,
    pub(super) auth: Auth,
    pub(super) client_protocols: Vec<&'static str>,
    pub(super) server_protocols: Vec<&'static str>,
    pub(super) unoffered_protocol: UnofferedProtocol,
    pub(super) name_acknowledgement: ServerNameAcknowledgement,
    pub(super) trusted: &'static LazyLock<Pki>,
    pub(super) name: &'static str,
    pub(super) key_log: Arc<Log>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            client_versions: vec![ProtocolVersion::DTLS1_3],
            suites: vec![CipherSuite::TLS_AES_128_GCM_SHA256],
            client_groups: vec![NamedGroup::X25519, NamedGroup::SECP256R1],
            server_groups: vec![NamedGroup::X25519, NamedGroup::SECP256R1],
            shares: KeyShares::Classical,
            server_certificate: Kind::P256,
            client_certificate: None,
            auth: Auth::None,
            client_protocols: vec![],
            server_protocols: vec![],
            unoffered_protocol: UnofferedProtocol::default(),
            name_acknowledgement: ServerNameAcknowledgement::default(),
            trusted: &PKI,
            name: NAME,
            key_log: Arc::default(),
        }
    }
}

/// One end and what it wanted done.
pub(super) struct End {
    pub(super) role: Role,
    pub(super) handshake: Handshake,
    /// By direction ("r" or "w") and epoch.
    pub(super) keys: HashMap<(char, u16), Vec<u8>>,
    pub(super) negotiated: Option<Arc<Negotiated>>,
    /// Everything but `Send`, in short.
    pub(super) log: Vec<String>,
}

impl End {
    fn new(role: Role, handshake: Handshake) -> Self {
        Self { role, handshake, keys: HashMap::new(), negotiated: None, log: Vec::new() }
    }

    /// Carries out the effects; the messages are for the peer.
    pub(super) fn take(&mut self) -> Vec<(Epoch, OwnedMessage)> {
        let mut messages = Vec::new();
        for effect in self.handshake.take_effects() {
            match effect {
                Effect::Send { epoch, message } => {
                    self.log.push(format!("{:?}@{}", message.msg_type, epoch.0));
                    messages.push((epoch, message));
                }
                Effect::InstallRead { epoch, keys } => self.install('r', epoch, &keys),
                Effect::InstallWrite { epoch, keys } => self.install('w', epoch, &keys),
                Effect::Complete(negotiated) => {
                    self.log.push("Complete".into());
                    assert!(self.negotiated.replace(negotiated).is_none());
                }
                Effect::Flight(FlightEnd::Answer) => self.log.push("Answer".into()),
                other => self.log.push(format!("{other:?}")),
            }
        }
        messages
    }

    fn install(&mut self, direction: char, epoch: Epoch, keys: &TrafficKeys) {
        let TrafficKeys::Dtls13 { secret, .. } = keys else { panic!("keys of DTLS 1.2") };
        self.log.push(format!("{direction}{}", epoch.0));
        assert!(self.keys.insert((direction, epoch.0), secret.as_ref().to_vec()).is_none());
    }

    pub(super) fn give(&mut self, message: &OwnedMessage) -> Result<(), Error> {
        self.handshake.handle(Input::Message(message.as_message()))
    }

    pub(super) fn export(&self) -> Result<[u8; 48], Error> {
        let mut out = [0; 48];
        self.handshake.export(b"EXPERIMENTAL-udtls", Some(b"context"), &mut out).map(|()| out)
    }
}

/// Client and server.
pub(super) struct Pair {
    pub(super) client: End,
    pub(super) server: End,
}

/// Which end failed, and why.
pub(super) type Failure = (Role, Error);

impl Pair {
    pub(super) fn new(setup: &Setup) -> Self {
        Self::between(client_config(setup), server_config(setup), setup.name)
    }

    /// Two ends whose configurations may have been in use before.
    pub(super) fn between(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &'static str) -> Self {
        let client = Handshake::client(client, Some(ServerName::try_from(name).unwrap())).unwrap();
        let server = Handshake::server(server);
        Self { client: End::new(Role::Client, client), server: End::new(Role::Server, server) }
    }

    /// Lets messages pass until nobody has one left, or an end fails. `tamper` sees each batch before it arrives.
    pub(super) fn run_with(
        &mut self,
        mut tamper: impl FnMut(Role, &mut Vec<(Epoch, OwnedMessage)>),
    ) -> Result<(), Failure> {
        loop {
            let mut idle = true;
            for role in [Role::Client, Role::Server] {
                let (from, to) = match role {
                    Role::Client => (&mut self.client, &mut self.server),
                    Role::Server => (&mut self.server, &mut self.client),
                };
                let mut batch = from.take();
                idle &= batch.is_empty();
                tamper(role, &mut batch);
                for (_, message) in &batch {
                    if let Err(error) = to.give(message) {
                        assert!(to.take().is_empty(), "a failed step leaves nothing to be done");
                        return Err((to.role, error));
                    }
                }
            }
            if idle {
                return Ok(());
            }
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Failure> {
        self.run_with(|_, _| ())
    }

    /// Both ends hold the same keys wherever both have installed them.
    pub(super) fn check_keys(&self) {
        for (one, other) in [(&self.client, &self.server), (&self.server, &self.client)] {
            for ((direction, epoch), secret) in one.keys.iter().filter(|((direction, _), _)| *direction == 'w') {
                assert_eq!(other.keys.get(&('r', *epoch)), Some(secret), "{direction}{epoch}");
            }
        }
        let own = &self.client.keys;
        assert!(own.values().all(|secret| own.values().filter(|other| *other == secret).count() == 1));
    }
}

/// A handshake that succeeds, with its messages acknowledged.
pub(super) fn established(setup: &Setup) -> Pair {
    let mut pair = Pair::new(setup);
    pair.run().unwrap();
    pair.check_keys();
    assert_eq!(pair.client.export(), pair.server.export());
    pair
}

/// Runs a handshake in which `change` rewrites the first message of `msg_type` that `role` sends.
pub(super) fn altered(
    setup: &Setup,
    role: Role,
    msg_type: HandshakeType,
    change: impl Fn(&mut Vec<u8>),
) -> Result<(), Failure> {
    let mut done = false;
    Pair::new(setup).run_with(|sender, batch| {
        let found = batch.iter_mut().find(|(_, message)| message.msg_type == msg_type);
        if let (true, false, Some((_, message))) = (sender == role, done, found) {
            change(&mut message.body);
            done = true;
        }
    })
}

pub(super) fn client_config(setup: &Setup) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_root_certificates(roots(setup)).unwrap();
    let mut config = match setup.client_certificate.map(|kind| PKI.of(kind)) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.set_versions(&setup.client_versions).unwrap();
    config.set_cipher_suites(&setup.suites).unwrap();
    config.set_groups(&setup.client_groups).unwrap();
    config.set_alpn_protocols(octets(&setup.client_protocols)).unwrap();
    config.set_key_shares(setup.shares).unwrap().set_key_log(setup.key_log.clone());
    // Certificates travel as they are, whatever the features.
    config.set_cert_decompressors(vec![]);
    config.set_unoffered_protocol(setup.unoffered_protocol);
    Arc::new(config)
}

pub(super) fn server_config(setup: &Setup) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(setup), provider);
    let builder = match setup.auth {
        Auth::None => builder.with_no_client_auth(),
        Auth::Optional => builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap()),
        Auth::Required => builder.with_client_cert_verifier(verifier.build().unwrap()),
    };
    let (chain, key) = PKI.of(setup.server_certificate);
    let mut config = builder.unwrap().with_single_cert(chain, key).unwrap();
    config.set_versions(&[ProtocolVersion::DTLS1_3]).unwrap();
    config.set_groups(&setup.server_groups).unwrap();
    config.set_alpn_protocols(octets(&setup.server_protocols)).unwrap();
    // Certificates travel as they are, whatever the features.
    config.set_cert_decompressors(vec![]);
    config.set_server_name_acknowledgement(setup.name_acknowledgement);
    // The tests of resumption want them.
    config.set_ticket_count(0);
    Arc::new(config)
}

fn octets(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn roots(setup: &Setup) -> Arc<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(setup.trusted.authority.clone()).unwrap();
    Arc::new(roots)
}
