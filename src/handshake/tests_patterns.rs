//! What state machines of DTLS were found to take though they must not, tried on ours: both versions, both ends, from one
//! list of handshakes. The messages are two real machines'; on their way they are left out, repeated, moved, exchanged and
//! joined by others. Records, epochs and what comes after an end are tried in `connection/tests/patterns.rs`.

mod early_data;
mod hellos;
mod named;

use super::testing::{Kind as Key, NAME, PKI};
use super::{Effect, Handshake, Input};
use crate::config::{ClientConfig, ServerConfig};
use crate::crypto::Role;
use crate::error::Error;
use crate::wire::{
    AlertDescription, NamedGroup, ProtocolVersion, ack::Epoch, enums::HandshakeType as T, handshake::OwnedMessage,
};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeMap;
use std::sync::Arc;

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];
const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A kind of handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    version: ProtocolVersion,
    /// The client shows a certificate.
    mutual: bool,
    /// The server asks for another key share.
    retry: bool,
}

impl Shape {
    const fn new(version: ProtocolVersion) -> Self {
        Self { version, mutual: false, retry: false }
    }

    /// With client authentication: the longest flights.
    const fn mutual(version: ProtocolVersion) -> Self {
        Self { mutual: true, ..Self::new(version) }
    }

    fn all() -> Vec<Self> {
        let mut all: Vec<_> =
            VERSIONS.into_iter().flat_map(|version| [Self::new(version), Self::mutual(version)]).collect();
        all.push(Self { retry: true, ..Self::mutual(ProtocolVersion::DTLS1_3) });
        all
    }

    fn is_13(self) -> bool {
        self.version == ProtocolVersion::DTLS1_3
    }

    fn client(self) -> ClientConfig {
        let builder = ClientConfig::builder().with_root_certificates(PKI.roots()).unwrap();
        let mut config = match self.mutual {
            true => {
                let (chain, key) = PKI.of(Key::P256);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            false => builder.with_no_client_auth(),
        };
        config.set_versions(&[self.version]).unwrap();
        config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
        config.set_cert_decompressors(vec![]);
        config
    }

    fn server(self) -> ServerConfig {
        let builder = match self.mutual {
            true => {
                let verifier = WebPkiClientVerifier::builder(PKI.roots()).build().unwrap();
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
            false => ServerConfig::builder().with_no_client_auth(),
        };
        let (chain, key) = PKI.of(Key::P256);
        let mut config = builder.unwrap().with_single_cert(chain, key).unwrap();
        config.set_versions(&[self.version]).unwrap();
        let group = if self.retry { NamedGroup::SECP256R1 } else { NamedGroup::X25519 };
        config.set_groups(&[group]).unwrap();
        config.set_cert_decompressors(vec![]);
        if self.is_13() {
            config.set_ticket_count(0);
        }
        config
    }

    fn scene(self) -> Scene {
        Scene::between(self.client(), self.server())
    }

    /// What is sent, flight by flight, when nobody interferes.
    fn flights(self) -> Vec<(Role, Vec<Sent>)> {
        let mut flights = Vec::new();
        let outcome = self.scene().run(|role, _, batch| flights.push((role, batch.clone())));
        assert_eq!((outcome.failure, outcome.complete), (None, [true; 2]));
        flights
    }

    /// A handshake in which `edit` changes the first flight of `role` that holds such a message.
    fn tampered(self, role: Role, msg_type: T, edit: impl Fn(&mut Vec<Sent>)) -> Outcome {
        let mut edited = false;
        let outcome = self.scene().run(|sender, _, batch| {
            if sender == role && !edited && batch.iter().any(|sent| sent.is(msg_type)) {
                edit(batch);
                edited = true;
            }
        });
        assert!(edited, "{self:?}: no {msg_type:?} of {role:?}");
        outcome
    }
}

/// What one end sends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Message(Epoch, OwnedMessage),
    ChangeCipherSpec,
}

impl Sent {
    fn new(msg_type: T, body: &[u8]) -> Self {
        Self::Message(Epoch::PLAINTEXT, OwnedMessage { msg_type, message_seq: 9, body: body.to_vec() })
    }

    fn is(&self, msg_type: T) -> bool {
        self.msg_type() == Some(msg_type)
    }

    fn msg_type(&self) -> Option<T> {
        match self {
            Self::Message(_, message) => Some(message.msg_type),
            Self::ChangeCipherSpec => None,
        }
    }

    fn body(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Message(_, message) => &mut message.body,
            Self::ChangeCipherSpec => panic!("no message"),
        }
    }
}

/// Where the message of this type is in a flight.
fn place(batch: &[Sent], msg_type: T) -> usize {
    batch.iter().position(|sent| sent.is(msg_type)).unwrap()
}

/// One end, and what it has to say.
struct End {
    handshake: Handshake,
    queue: Vec<Sent>,
    complete: bool,
}

impl End {
    fn new(handshake: Handshake) -> Self {
        let mut end = Self { handshake, queue: Vec::new(), complete: false };
        end.carry_out();
        end
    }

    fn carry_out(&mut self) {
        for effect in self.handshake.take_effects() {
            match effect {
                Effect::Send { epoch, message } => self.queue.push(Sent::Message(epoch, message)),
                Effect::SendChangeCipherSpec { .. } => self.queue.push(Sent::ChangeCipherSpec),
                Effect::Complete(_) => self.complete = true,
                _ => {}
            }
        }
    }

    fn give(&mut self, sent: &Sent) -> Result<(), Error> {
        let input = match sent {
            Sent::Message(_, message) => Input::Message(message.as_message()),
            Sent::ChangeCipherSpec => Input::ChangeCipherSpec,
        };
        let given = self.handshake.handle(input);
        self.carry_out();
        given
    }
}

/// Two ends.
struct Scene {
    client: End,
    server: End,
}

/// How a handshake went.
struct Outcome {
    failure: Option<(Role, Error)>,
    /// The client, the server.
    complete: [bool; 2],
}

impl Scene {
    fn between(client: ClientConfig, server: ServerConfig) -> Self {
        let name = ServerName::try_from(NAME).unwrap();
        Self {
            client: End::new(Handshake::client(Arc::new(client), Some(name)).unwrap()),
            server: End::new(Handshake::server(Arc::new(server))),
        }
    }

    fn established(shape: Shape) -> Self {
        let mut scene = shape.scene();
        assert_eq!(scene.run(|_, _, _| ()).complete, [true; 2]);
        scene
    }

    fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Lets flights pass until nobody has anything to say or an end fails; `edit` sees each, with its sender and how many
    /// flights there were before. Whoever has failed does nothing more, whatever comes.
    fn run(&mut self, mut edit: impl FnMut(Role, usize, &mut Vec<Sent>)) -> Outcome {
        let mut flights = 0;
        loop {
            let before = flights;
            for role in ROLES {
                let mut batch = std::mem::take(&mut self.end(role).queue);
                if batch.is_empty() {
                    continue;
                }
                edit(role, flights, &mut batch);
                flights += 1;
                for (nth, sent) in batch.iter().enumerate() {
                    let to = self.end(role.peer());
                    let Err(error) = to.give(sent) else { continue };
                    let (complete, said) = (to.complete, to.queue.len());
                    for late in &batch[nth..] {
                        assert_eq!(to.give(late), Ok(()), "over");
                    }
                    assert_eq!((to.complete, to.queue.len()), (complete, said), "it is over");
                    return self.outcome(Some((role.peer(), error)));
                }
            }
            if flights == before {
                return self.outcome(None);
            }
        }
    }

    fn outcome(&self, failure: Option<(Role, Error)>) -> Outcome {
        Outcome { failure, complete: [self.client.complete, self.server.complete] }
    }
}

impl Outcome {
    fn is_complete(&self, role: Role) -> bool {
        self.complete[usize::from(role == Role::Server)]
    }

    /// Who failed, and what it tells the other.
    fn alert(&self) -> Option<(Role, AlertDescription)> {
        self.failure.as_ref().map(|(role, error)| (*role, error.alert().unwrap()))
    }

    /// `role` noticed, and said so.
    #[track_caller]
    fn refused(&self, role: Role, alert: AlertDescription, what: impl std::fmt::Debug) {
        assert_eq!(self.alert(), Some((role, alert)), "{what:?}: {:?}", self.failure);
    }

    /// `role` was sent what has no place there.
    #[track_caller]
    fn unexpected(&self, role: Role, what: impl std::fmt::Debug) {
        self.refused(role, AlertDescription::UNEXPECTED_MESSAGE, what);
    }
}

/// Every message of every flight left out, repeated at every later place, and moved to every other place.
#[test]
fn sm00_every_message_has_its_place() {
    for shape in Shape::all() {
        for (nth, (role, flight)) in shape.flights().into_iter().enumerate() {
            for (at, sent) in flight.iter().enumerate() {
                let run = |edit: &dyn Fn(&mut Vec<Sent>)| {
                    shape.scene().run(|_, flight, batch| {
                        if flight == nth {
                            edit(batch)
                        }
                    })
                };
                let what = |edit| format!("{shape:?}, {role:?}'s flight {nth}, {:?} {edit}", sent.msg_type());
                check_dropped(
                    shape,
                    role,
                    &flight[at..],
                    &run(&|batch| drop(batch.remove(at))),
                    &what("left out".into()),
                );
                for to in at + 1..=flight.len() {
                    let outcome = run(&|batch| batch.insert(to, batch[at].clone()));
                    let what = what(format!("again at {to}"));
                    // A first ClientHello in the place of the second is not what was asked for.
                    match shape.retry && nth == 0 {
                        true => outcome.refused(role.peer(), AlertDescription::ILLEGAL_PARAMETER, what),
                        false => outcome.unexpected(role.peer(), what),
                    }
                }
                for to in (0..flight.len()).filter(|to| *to != at) {
                    let outcome = run(&|batch| {
                        let moved = batch.remove(at);
                        batch.insert(to, moved);
                    });
                    let what = what(format!("moved to {to}"));
                    // A CertificateRequest may be missing: then the transcript is another one, which the signature tells.
                    match shape.is_13() && sent.is(T::CERTIFICATE_REQUEST) && to > at + 1 {
                        true => outcome.refused(role.peer(), AlertDescription::DECRYPT_ERROR, what),
                        false => outcome.unexpected(role.peer(), what),
                    }
                }
            }
        }
    }
}

fn check_dropped(shape: Shape, role: Role, dropped: &[Sent], outcome: &Outcome, what: &str) {
    let [sent, rest @ ..] = dropped else { panic!("nothing was dropped") };
    assert!(!outcome.is_complete(role.peer()), "{what}");
    match (sent.is(T::CERTIFICATE_REQUEST), shape.is_13()) {
        // The last of a flight is only missing.
        _ if rest.is_empty() => assert_eq!(outcome.failure, None, "{what}"),
        (true, true) => outcome.refused(role.peer(), AlertDescription::DECRYPT_ERROR, what),
        // The client sends no certificate then, and the server has asked for one.
        (true, false) => outcome.unexpected(role, what),
        (false, _) => outcome.unexpected(role.peer(), what),
    }
}

/// Messages of both roles and both versions as they come in real handshakes, and whatever else there is.
fn foreign() -> Vec<Sent> {
    let mut seen = BTreeMap::new();
    for shape in Shape::all() {
        for (role, flight) in shape.flights() {
            for sent in flight {
                let Some(msg_type) = sent.msg_type() else { continue };
                let retry = shape.retry && msg_type == T::SERVER_HELLO;
                seen.entry((msg_type.0, shape.version.0, role == Role::Client, retry)).or_insert(sent);
            }
        }
    }
    let mut all: Vec<_> = seen.into_values().collect();
    let ticket = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 0];
    let others: [(T, &[u8]); 9] = [
        (T::HELLO_REQUEST, &[]),
        (T::HELLO_VERIFY_REQUEST, &[0xfe, 0xff, 3, 1, 2, 3]),
        (T::NEW_SESSION_TICKET, &ticket),
        (END_OF_EARLY_DATA, &[]),
        (T::CERTIFICATE_STATUS, &[1, 0, 0, 1, 0]),
        (T::KEY_UPDATE, &[0]),
        (T::COMPRESSED_CERTIFICATE, &[0, 1, 0, 0, 1, 0, 0, 1, 0]),
        (T::MESSAGE_HASH, &[0; 32]),
        (T(77), &[]),
    ];
    all.extend(others.map(|(msg_type, body)| Sent::new(msg_type, body)));
    all.push(Sent::ChangeCipherSpec);
    all
}

/// RFC 8446 §4.5; there is none in DTLS (RFC 9147 §5.6).
const END_OF_EARLY_DATA: T = T(5);

/// Whether a message may come before `next`, of this role's. What is due comes a second time then, and is refused.
fn is_due(shape: Shape, role: Role, next: Option<&Sent>, msg_type: Option<T>) -> bool {
    let Some(next) = next else {
        // After the handshake: only DTLS 1.3 has messages there, and tickets are the server's.
        return shape.is_13()
            && (msg_type == Some(T::KEY_UPDATE) || msg_type == Some(T::NEW_SESSION_TICKET) && role == Role::Server);
    };
    next.msg_type() == msg_type
        || match (role, next.msg_type(), msg_type) {
            (Role::Server, Some(T::SERVER_HELLO), Some(T::HELLO_VERIFY_REQUEST)) => true,
            (Role::Server, Some(T::CERTIFICATE), Some(T::CERTIFICATE_REQUEST)) => shape.is_13(),
            (Role::Server, Some(T::CERTIFICATE_REQUEST), Some(T::CERTIFICATE)) => shape.is_13(),
            (Role::Server, Some(T::SERVER_HELLO_DONE), Some(T::CERTIFICATE_REQUEST)) => true,
            _ => false,
        }
}

/// Messages of the other role, of the other version, of other handshakes and of none, at every place.
#[test]
fn sm00_no_other_message_has_a_place() {
    let foreign = foreign();
    assert!(foreign.len() > 25);
    for shape in Shape::all() {
        let flights = shape.flights();
        for (nth, (role, flight)) in flights.iter().enumerate() {
            let later = flights.iter().skip(nth + 1).find(|(sender, _)| sender == role);
            for at in 0..=flight.len() {
                let next = flight.get(at).or_else(|| later.map(|(_, flight)| &flight[0]));
                for sent in &foreign {
                    let outcome = shape.scene().run(|_, flight, batch| {
                        if flight == nth {
                            batch.insert(at, sent.clone());
                        }
                    });
                    let what = || format!("{shape:?}, {role:?}'s flight {nth}, {:?} at {at}", sent.msg_type());
                    match is_due(shape, *role, next, sent.msg_type()) {
                        // A ticket of the other version does not parse.
                        true if next.is_none() && outcome.failure.is_some() => {
                            outcome.refused(role.peer(), AlertDescription::DECODE_ERROR, what());
                        }
                        true if next.is_none() => assert_eq!(outcome.complete, [true; 2], "{}", what()),
                        true => {
                            assert!(outcome.failure.is_some(), "{}", what());
                            assert_ne!(outcome.complete, [true; 2], "{}", what());
                        }
                        false => outcome.unexpected(role.peer(), what()),
                    }
                }
            }
        }
    }
}

/// Every octet of every message changed, and every message cut at every place: an error and its alert, never a panic, and
/// never a handshake that is complete at both ends.
#[test]
fn p1_no_octet_of_any_message_brings_an_end_down() {
    for shape in [Shape::mutual(VERSIONS[0]), Shape { retry: true, ..Shape::mutual(VERSIONS[1]) }] {
        for (nth, (_, flight)) in shape.flights().into_iter().enumerate() {
            for (at, sent) in flight.iter().enumerate() {
                let Sent::Message(_, message) = sent else { continue };
                let len = message.body.len();
                // All that is structure, and some of what is certificate, signature and key.
                let octets = (0..len).filter(|octet| *octet < 48 || octet % 7 == 0 || octet + 4 > len);
                let changes = octets.flat_map(|octet| [(octet, Some(0xff)), (octet, Some(1)), (octet, None)]);
                for (octet, change) in changes {
                    let outcome = shape.scene().run(|_, flight, batch| {
                        if flight == nth {
                            let body = batch[at].body();
                            match change {
                                // A length of our own messages may differ from run to run.
                                Some(mask) if octet < body.len() => body[octet] ^= mask,
                                _ => body.truncate(octet.min(body.len().saturating_sub(1))),
                            }
                        }
                    });
                    let what = format!("{shape:?} flight {nth} {:?} octet {octet} {change:?}", message.msg_type);
                    // A ticket may say what it likes, and is no part of a secret.
                    let ticket = message.msg_type == T::NEW_SESSION_TICKET;
                    assert!(outcome.failure.is_some() || ticket, "{what}");
                    assert!(outcome.complete != [true; 2], "{what}");
                    assert!(outcome.failure.is_none_or(|(_, error)| error.alert().is_some()), "{what}");
                }
            }
        }
    }
}
