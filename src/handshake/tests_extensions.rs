//! What extensions settle, in both versions, and what a peer can do wrong with each of them: whole messages, rewritten on
//! their way.

mod compression;
mod credentials;
mod grease;
mod protocols;
mod sizes;
mod srtp;
mod stapling;

use super::testing::{Kind, NAME, PKI};
use super::{Effect, Handshake, Input, Negotiated};
use crate::config::{ClientConfig, ServerConfig};
use crate::crypto::Role;
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    AlertDescription, Malformed, ProtocolVersion,
    codec::Reader,
    enums::{ExtensionType, HandshakeType},
    extensions::Extensions,
    handshake::OwnedMessage,
    record::ContentLimits,
};
use rustls::pki_types::ServerName;
use std::sync::Arc;

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

fn client_config(version: ProtocolVersion) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(PKI.roots()).unwrap();
    let mut config = builder.with_no_client_auth();
    // Certificates travel as they are, whatever the features.
    config.set_cert_decompressors(vec![]);
    config.set_versions(&[version]).unwrap();
    config
}

fn server_config(version: ProtocolVersion) -> ServerConfig {
    let (chain, key) = PKI.of(Kind::P256);
    let mut config = ServerConfig::builder().with_no_client_auth().unwrap().with_single_cert(chain, key).unwrap();
    // Certificates travel as they are, whatever the features.
    config.set_cert_decompressors(vec![]);
    config.set_versions(&[version]).unwrap();
    config
}

/// Two ends, joined by messages.
struct Pair {
    ends: [Handshake; 2],
    negotiated: [Option<Arc<Negotiated>>; 2],
    limits: [Option<ContentLimits>; 2],
    /// What each end sent, as it was.
    sent: Vec<(Role, OwnedMessage)>,
}

impl Pair {
    fn new(client: ClientConfig, server: ServerConfig) -> Self {
        let name = ServerName::try_from(NAME).unwrap();
        let client = Handshake::client(Arc::new(client), Some(name)).unwrap();
        let ends = [client, Handshake::server(Arc::new(server))];
        Self { ends, negotiated: [None, None], limits: [None; 2], sent: Vec::new() }
    }

    /// Runs until nobody has anything to say, or an end fails. `tamper` rewrites messages on their way.
    fn run_with(&mut self, mut tamper: impl FnMut(Role, &mut OwnedMessage)) -> Result<(), (Role, Error)> {
        loop {
            let mut idle = true;
            for (from, role) in [(0, Role::Client), (1, Role::Server)] {
                for effect in self.ends[from].take_effects() {
                    match effect {
                        Effect::Send { mut message, .. } => {
                            idle = false;
                            self.sent.push((role, message.clone()));
                            tamper(role, &mut message);
                            let given = self.ends[1 - from].handle(Input::Message(message.as_message()));
                            given.map_err(|error| (role.peer(), error))?;
                        }
                        Effect::SendChangeCipherSpec { .. } => {
                            let given = self.ends[1 - from].handle(Input::ChangeCipherSpec);
                            given.map_err(|error| (role.peer(), error))?;
                        }
                        Effect::Complete(negotiated) => self.negotiated[from] = Some(negotiated),
                        Effect::LimitRecords(limits) => self.limits[from] = Some(limits),
                        _ => {}
                    }
                }
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn run(&mut self) {
        assert_eq!(self.run_with(|_, _| ()), Ok(()));
        assert!(self.negotiated.iter().all(Option::is_some));
    }

    fn negotiated(&self, role: Role) -> &Negotiated {
        self.negotiated[role as usize].as_deref().unwrap()
    }

    /// The message of the type that the end sent.
    fn message(&self, role: Role, msg_type: HandshakeType) -> Option<&OwnedMessage> {
        let found = self.sent.iter().find(|(sender, message)| *sender == role && message.msg_type == msg_type);
        found.map(|(_, message)| message)
    }

    /// The extensions of the first message of the type that the end sent.
    fn extension(&self, role: Role, msg_type: HandshakeType, ty: ExtensionType) -> Option<Vec<u8>> {
        let message = self.message(role, msg_type).unwrap();
        let mut r = Reader::new(&message.body[block(&message.body, msg_type)..]);
        Extensions::read(&mut r).unwrap().find(ty).map(<[u8]>::to_vec)
    }
}

/// Where the server answers extensions.
fn answers(version: ProtocolVersion) -> HandshakeType {
    match version {
        ProtocolVersion::DTLS1_3 => HandshakeType::ENCRYPTED_EXTENSIONS,
        _ => HandshakeType::SERVER_HELLO,
    }
}

/// Where the extension block of a message begins.
fn block(body: &[u8], msg_type: HandshakeType) -> usize {
    let skip = |from: usize, width: usize| {
        from + width + body[from..from + width].iter().fold(0, |len, octet| len << 8 | usize::from(*octet))
    };
    match msg_type {
        HandshakeType::CLIENT_HELLO => skip(skip(skip(skip(34, 1), 1), 2), 1),
        HandshakeType::SERVER_HELLO => skip(34, 1) + 3,
        HandshakeType::CERTIFICATE_REQUEST => 1,
        _ => 0,
    }
}

/// Puts an extension into a message, in the place of the one of its type if there is one, or takes it away.
fn put(message: &mut OwnedMessage, ty: ExtensionType, data: Option<&[u8]>) {
    let body = &mut message.body;
    let at = block(body, message.msg_type);
    let old: Vec<(ExtensionType, Vec<u8>)> = {
        let extensions = Extensions::read_optional(&mut Reader::new(&body[at..])).unwrap();
        extensions.iter().filter(|(other, _)| *other != ty).map(|(ty, data)| (ty, data.to_vec())).collect()
    };
    body.truncate(at);
    let mut list = Vec::new();
    for (ty, data) in old.iter().map(|(ty, data)| (*ty, data.as_slice())).chain(data.map(|data| (ty, data))) {
        list.extend_from_slice(&ty.0.to_be_bytes());
        list.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        list.extend_from_slice(data);
    }
    body.extend_from_slice(&u16::try_from(list.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&list);
}

/// Runs a handshake in which `sender`'s message of the type has the extension with this data.
fn with_extension(
    pair: &mut Pair,
    (sender, msg_type): (Role, HandshakeType),
    ty: ExtensionType,
    data: Option<&[u8]>,
) -> Result<(), (Role, Error)> {
    pair.run_with(|role, message| {
        if role == sender && message.msg_type == msg_type {
            put(message, ty, data);
        }
    })
}

fn alert(result: &Result<(), (Role, Error)>) -> Option<AlertDescription> {
    result.as_ref().err().and_then(|(_, error)| error.alert())
}
