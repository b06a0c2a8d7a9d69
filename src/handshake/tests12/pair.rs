//! Two ends of a DTLS 1.2 handshake, joined by whole messages: effects of the one become inputs of the other.

pub(super) use super::super::testing::{Auth, Kind, Log, NAME, PKI, Pki, STRANGERS};
use super::super::{Effect, FlightEnd, Handshake, Input, Negotiated};
use crate::config::{ClientConfig, ExtendedMasterSecret, ServerConfig, ServerNameAcknowledgement, UnofferedProtocol};
use crate::crypto::{Role, suites::TrafficKeys};
use crate::error::Error;
use crate::wire::{
    CipherSuite, NamedGroup, ProtocolVersion, ack::Epoch, enums::HandshakeType as T, handshake::OwnedMessage,
};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The two configurations of a test: the client's first where there are two of a kind.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) certificates: &'static [Kind],
    pub(super) client_certificate: Option<Kind>,
    pub(super) auth: Auth,
    pub(super) unoffered_protocol: UnofferedProtocol,
    pub(super) name_acknowledgement: ServerNameAcknowledgement,
    pub(super) trusted: [&'static LazyLock<Pki>; 2],
    pub(super) name: &'static str,
    pub(super) versions: [&'static [ProtocolVersion]; 2],
    /// Those of 1.2; whoever has 1.3 has one suite of it besides.
    pub(super) suites: [&'static [CipherSuite]; 2],
    pub(super) groups: [&'static [NamedGroup]; 2],
    pub(super) protocols: [&'static [&'static str]; 2],
    pub(super) extended_master_secret: ExtendedMasterSecret,
    pub(super) key_log: &'static LazyLock<Arc<Log>>,
}

/// One that nobody reads.
static LOG: LazyLock<Arc<Log>> = LazyLock::new(Arc::default);

const ONLY_12: &[ProtocolVersion] = &[ProtocolVersion::DTLS1_2];
pub(super) const BOTH: &[ProtocolVersion] = &[ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2];
pub(super) const ECDSA_SUITES: &[CipherSuite] = &[
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];
pub(super) const RSA_SUITES: &[CipherSuite] = &[
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
const ALL_SUITES: &[CipherSuite] =
    &[ECDSA_SUITES[0], ECDSA_SUITES[1], ECDSA_SUITES[2], RSA_SUITES[0], RSA_SUITES[1], RSA_SUITES[2]];
pub(super) const GROUPS: &[NamedGroup] =
    &[NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1];

impl Default for Setup {
    fn default() -> Self {
        Self {
            certificates: &[Kind::P256],
            client_certificate: None,
            auth: Auth::None,
            unoffered_protocol: UnofferedProtocol::default(),
            name_acknowledgement: ServerNameAcknowledgement::default(),
            trusted: [&PKI; 2],
            name: NAME,
            versions: [ONLY_12; 2],
            suites: [ALL_SUITES; 2],
            groups: [GROUPS; 2],
            protocols: [&[]; 2],
            extended_master_secret: ExtendedMasterSecret::Required,
            key_log: &LOG,
        }
    }
}

/// A handshake with client authentication, the longest one.
pub(super) fn mutual() -> Setup {
    Setup { auth: Auth::Required, client_certificate: Some(Kind::P256), ..Setup::default() }
}

/// The settings that both configurations have.
macro_rules! apply {
    ($setup:expr, $end:literal, $config:expr) => {{
        let (setup, config) = ($setup, $config);
        let mut suites = setup.suites[$end].to_vec();
        if setup.versions[$end] == BOTH {
            suites.push(CipherSuite::TLS_AES_128_GCM_SHA256);
            config.set_cipher_suites(&suites).unwrap();
            config.set_versions(BOTH).unwrap();
        } else {
            config.set_versions(setup.versions[$end]).unwrap();
            config.set_cipher_suites(&suites).unwrap();
        }
        config.set_groups(setup.groups[$end]).unwrap();
        config.set_alpn_protocols(setup.protocols[$end].iter().map(|name| name.as_bytes().to_vec()).collect()).unwrap();
        config.set_extended_master_secret(setup.extended_master_secret);
        config.set_key_log((*setup.key_log).clone());
    }};
}

impl Setup {
    pub(super) fn client(&self) -> ClientConfig {
        let builder = ClientConfig::builder().with_root_certificates(self.trusted[0].roots()).unwrap();
        let mut config = match self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(kind) => {
                let (chain, key) = PKI.of(kind);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        apply!(self, 0, &mut config);
        config.set_unoffered_protocol(self.unoffered_protocol);
        config
    }

    pub(super) fn server(&self) -> ServerConfig {
        let builder = ServerConfig::builder();
        let verifier = WebPkiClientVerifier::builder(self.trusted[1].roots());
        let builder = match self.auth {
            Auth::None => builder.with_no_client_auth(),
            Auth::Optional => builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap()),
            Auth::Required => builder.with_client_cert_verifier(verifier.build().unwrap()),
        };
        let mut config = builder.unwrap().with_certs(self.certificates.iter().map(|kind| PKI.of(*kind))).unwrap();
        apply!(self, 1, &mut config);
        config.set_server_name_acknowledgement(self.name_acknowledgement);
        config
    }
}

/// What one end sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Message(Epoch, OwnedMessage),
    ChangeCipherSpec,
}

impl Sent {
    pub(super) fn is(&self, msg_type: T) -> bool {
        matches!(self, Self::Message(_, message) if message.msg_type == msg_type)
    }
}

/// One end and what it wanted done.
pub(super) struct End {
    pub(super) role: Role,
    pub(super) handshake: Handshake,
    /// By direction ("r" or "w") and epoch.
    pub(super) keys: HashMap<(char, u16), Vec<u8>>,
    pub(super) negotiated: Option<Arc<Negotiated>>,
    pub(super) log: Vec<String>,
}

/// Who failed, and why.
pub(super) type Failure = (Role, Error);

impl End {
    fn new(role: Role, handshake: Handshake) -> Self {
        Self { role, handshake, keys: HashMap::new(), negotiated: None, log: Vec::new() }
    }

    pub(super) fn take(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for effect in self.handshake.take_effects() {
            match effect {
                Effect::Send { epoch, message } => {
                    self.log.push(format!("{}@{}", message.msg_type.0, epoch.0));
                    sent.push(Sent::Message(epoch, message));
                }
                Effect::SendChangeCipherSpec { epoch } => {
                    self.log.push(format!("ccs@{}", epoch.0));
                    sent.push(Sent::ChangeCipherSpec);
                }
                Effect::InstallRead { epoch, keys } => self.install('r', epoch, &keys),
                Effect::InstallWrite { epoch, keys } => self.install('w', epoch, &keys),
                Effect::Complete(negotiated) => {
                    self.log.push("complete".into());
                    assert!(self.negotiated.replace(negotiated).is_none());
                }
                Effect::Flight(FlightEnd::Answer) => self.log.push("answer".into()),
                Effect::Flight(FlightEnd::RepeatOfPeer) => self.log.push("repeat".into()),
                Effect::AwaitChangeCipherSpec => self.log.push("await".into()),
                Effect::SessionKept => self.log.push("kept".into()),
                other => panic!("{other:?}"),
            }
        }
        sent
    }

    fn install(&mut self, direction: char, epoch: Epoch, keys: &TrafficKeys) {
        self.log.push(format!("{direction}{}", epoch.0));
        let TrafficKeys::Dtls12 { key, fixed_iv, .. } = keys else { panic!("not of DTLS 1.2") };
        self.keys.insert((direction, epoch.0), [key.as_ref(), fixed_iv.as_ref()].concat());
    }

    pub(super) fn give(&mut self, sent: &Sent) -> Result<Vec<Sent>, Failure> {
        let input = match sent {
            Sent::Message(_, message) => Input::Message(message.as_message()),
            Sent::ChangeCipherSpec => Input::ChangeCipherSpec,
        };
        self.handshake.handle(input).map_err(|error| (self.role, error))?;
        Ok(self.take())
    }

    pub(super) fn export(&self) -> Result<[u8; 40], Error> {
        let mut out = [0; 40];
        self.handshake.export(b"EXPORTER-test", Some(b"context"), &mut out)?;
        Ok(out)
    }
}

pub(super) struct Pair {
    pub(super) client: End,
    pub(super) server: End,
}

impl Pair {
    pub(super) fn new(setup: &Setup) -> Self {
        Self::between(setup.client(), setup.server(), setup.name)
    }

    pub(super) fn between(client: ClientConfig, server: ServerConfig, name: &'static str) -> Self {
        let name = ServerName::try_from(name).unwrap();
        let client = Handshake::client(Arc::new(client), Some(name)).unwrap();
        let server = Handshake::server(Arc::new(server));
        Self { client: End::new(Role::Client, client), server: End::new(Role::Server, server) }
    }

    /// Until nothing is left to say; `edit` sees every batch on its way.
    pub(super) fn run_with(&mut self, mut edit: impl FnMut(Role, &mut Vec<Sent>)) -> Result<(), Failure> {
        let mut batch = self.client.take();
        let mut sender = Role::Client;
        while !batch.is_empty() {
            edit(sender, &mut batch);
            sender = sender.peer();
            let receiver = if sender == Role::Client { &mut self.client } else { &mut self.server };
            let mut answers = Vec::new();
            for sent in &batch {
                answers.extend(receiver.give(sent)?);
            }
            batch = answers;
        }
        Ok(())
    }
}

impl Pair {
    /// Runs a handshake that must succeed, and checks that both ends have the same keys.
    pub(super) fn complete(&mut self) {
        self.run_with(|_, _| ()).unwrap();
        let (client, server) = (&self.client, &self.server);
        assert_eq!(client.keys[&('w', 1)], server.keys[&('r', 1)]);
        assert_eq!(client.keys[&('r', 1)], server.keys[&('w', 1)]);
        assert_ne!(client.keys[&('r', 1)], client.keys[&('w', 1)]);
        assert_eq!(client.export().unwrap(), server.export().unwrap());
    }
}

/// A handshake that must succeed.
pub(super) fn established(setup: &Setup) -> Pair {
    let mut pair = Pair::new(setup);
    pair.complete();
    pair
}

/// The end of a handshake in which the body of one message is changed.
pub(super) fn altered(setup: &Setup, msg_type: T, sender: Role, change: impl Fn(&mut Vec<u8>)) -> Result<(), Failure> {
    Pair::new(setup).run_with(|role, batch| {
        for sent in batch {
            match sent {
                Sent::Message(_, message) if role == sender && message.msg_type == msg_type => {
                    change(&mut message.body);
                }
                _ => {}
            }
        }
    })
}

pub(super) fn client(error: impl Into<Error>) -> Result<(), Failure> {
    Err((Role::Client, error.into()))
}

pub(super) fn server(error: impl Into<Error>) -> Result<(), Failure> {
    Err((Role::Server, error.into()))
}
