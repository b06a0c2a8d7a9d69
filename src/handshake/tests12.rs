//! DTLS 1.2 handshakes that succeed, and how parameters are chosen.

mod hostile;
mod pair;
mod resumption;

use super::State;
use crate::config::{ExtendedMasterSecret, ServerNameAcknowledgement, UnofferedProtocol};
use crate::crypto::Role;
use crate::error::{ApiMisuse, Error, PeerIncompatible, PeerMisbehaved};
use crate::wire::{
    NamedGroup, ProtocolVersion,
    ack::Epoch,
    enums::{ExtensionType, HandshakeType as T},
    extensions::Extensions,
    handshake::{Message, OwnedMessage},
    hello::{ClientHello, ServerHello},
};
use pair::*;
use std::slice;
use std::sync::{Arc, LazyLock};

/// Renames an extension, so that it is as good as missing.
pub(super) fn rename(body: &mut [u8], extensions: impl Fn(&[u8]) -> Extensions<'_>, ty: ExtensionType, to: u16) {
    let at = extensions(body).find(ty).unwrap().as_ptr() as usize - body.as_ptr() as usize;
    body[at - 4..at - 2].copy_from_slice(&to.to_be_bytes());
}

pub(super) fn client_extensions(body: &[u8]) -> Extensions<'_> {
    ClientHello::read(body).unwrap().extensions
}

pub(super) fn server_extensions(body: &[u8]) -> Extensions<'_> {
    ServerHello::read(body).unwrap().extensions
}

/// Where a ServerHello with an empty session id names its suite and its compression, and the length of its extensions.
pub(super) const SUITE: usize = 2 + 32 + 1;
pub(super) const COMPRESSION: usize = SUITE + 2;
pub(super) const EXTENSIONS: usize = COMPRESSION + 1;

pub(super) fn append_extension(body: &mut Vec<u8>, ty: ExtensionType, data: &[u8]) {
    body.extend([&ty.0.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat());
    let len = (body.len() - EXTENSIONS - 2) as u16;
    body[EXTENSIONS..EXTENSIONS + 2].copy_from_slice(&len.to_be_bytes());
}

#[test]
fn every_suite_with_every_certificate_and_client_certificate() {
    let certificates: [&[Kind]; 4] = [&[Kind::P256], &[Kind::P384], &[Kind::Ed25519], &[Kind::Rsa]];
    let own = [Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519];
    for (certificates, client_certificate) in certificates.into_iter().zip(own) {
        let suites = if certificates == [Kind::Rsa] { RSA_SUITES } else { ECDSA_SUITES };
        for suite in suites {
            for (auth, own) in [
                (Auth::None, Some(client_certificate)),
                (Auth::Optional, None),
                (Auth::Optional, Some(client_certificate)),
                (Auth::Required, Some(client_certificate)),
            ] {
                let setup = Setup {
                    certificates,
                    auth,
                    client_certificate: own,
                    suites: [slice::from_ref(suite), Setup::default().suites[1]],
                    ..Setup::default()
                };
                let pair = established(&setup);
                let negotiated = pair.client.negotiated.unwrap();
                assert_eq!((negotiated.version(), negotiated.cipher_suite()), (ProtocolVersion::DTLS1_2, *suite));
                assert_eq!(negotiated.group(), NamedGroup::X25519);
                assert_eq!(negotiated.peer_certificates(), PKI.of(certificates[0]).0);
                let seen = pair.server.negotiated.unwrap();
                assert_eq!(seen.cipher_suite(), *suite);
                assert_eq!(seen.signature_scheme(), negotiated.signature_scheme());
                assert_eq!(seen.server_name(), Some(NAME));
                let expected = match (auth, own) {
                    (Auth::Optional | Auth::Required, Some(kind)) => PKI.of(kind).0,
                    _ => Vec::new(),
                };
                assert_eq!(seen.peer_certificates(), expected, "{auth:?} {own:?}");
            }
        }
    }
}

#[test]
fn effects_in_order() {
    let pair = established(&mutual());
    assert_eq!(pair.client.log.join(" "), "answer 1@0 answer 11@0 16@0 15@0 ccs@0 w1 20@1 await r1 complete kept");
    assert_eq!(pair.server.log.join(" "), "answer 2@0 11@0 12@0 13@0 14@0 await r1 repeat 4@0 ccs@0 w1 20@1 complete");
}

#[test]
fn groups_and_protocols() {
    for group in &GROUPS[1..] {
        let pair = established(&Setup { groups: [slice::from_ref(group), GROUPS], ..Setup::default() });
        assert_eq!(pair.server.negotiated.unwrap().group(), *group);
    }
    let with_protocols = Setup { protocols: [&["a", "b"], &["c", "b"]], ..Setup::default() };
    let pair = established(&with_protocols);
    for end in [pair.client, pair.server] {
        assert_eq!(end.negotiated.unwrap().alpn_protocol(), Some(&b"b"[..]));
    }
    let unoffered = altered(&with_protocols, T::SERVER_HELLO, Role::Server, |body| *body.last_mut().unwrap() = b'c');
    assert_eq!(unoffered, client(PeerMisbehaved::SelectedUnofferedProtocol));
    // Whoever accepts it goes on, up to where the change shows.
    let accepting = Setup { unoffered_protocol: UnofferedProtocol::Accepted, ..with_protocols };
    let accepted = altered(&accepting, T::SERVER_HELLO, Role::Server, |body| *body.last_mut().unwrap() = b'c');
    assert_eq!(accepted, server(PeerMisbehaved::FinishedMismatch));
    let none_in_common = Setup { protocols: [&["a", "b"], &["c"]], ..with_protocols };
    assert_eq!(Pair::new(&none_in_common).run_with(|_, _| ()), server(PeerIncompatible::NoCommonProtocol));
}

/// RFC 6066 §3.
#[test]
fn a_server_acknowledges_the_name_unless_told_not_to() {
    for (name_acknowledgement, expected) in
        [(ServerNameAcknowledgement::Sent, true), (ServerNameAcknowledgement::Omitted, false)]
    {
        let mut acknowledged = None;
        let mut pair = Pair::new(&Setup { name_acknowledgement, ..Setup::default() });
        let finished = pair.run_with(|_, batch| {
            for sent in batch.iter().filter(|sent| sent.is(T::SERVER_HELLO)) {
                let Sent::Message(_, message) = sent else { panic!() };
                acknowledged = Some(server_extensions(&message.body).has(ExtensionType::SERVER_NAME));
            }
        });
        assert_eq!((finished, acknowledged), (Ok(()), Some(expected)));
        assert_eq!(pair.server.negotiated.unwrap().server_name(), Some(NAME));
    }
}

/// The certificate is one whose key the client's suites admit (RFC 5246 §7.4.2).
#[test]
fn the_certificate_fits_the_suites() {
    let rsa_only = Setup {
        certificates: &[Kind::P256, Kind::Rsa],
        suites: [RSA_SUITES, Setup::default().suites[1]],
        ..Setup::default()
    };
    let pair = established(&rsa_only);
    assert_eq!(pair.client.negotiated.unwrap().peer_certificates(), PKI.of(Kind::Rsa).0);
    for (certificates, suites) in [(&[Kind::Rsa], RSA_SUITES), (&[Kind::Ed25519], ECDSA_SUITES)] {
        let pair = established(&Setup { certificates, ..Setup::default() });
        assert!(suites.contains(&pair.client.negotiated.unwrap().cipher_suite()));
    }
    let no_rsa = Setup { certificates: &[Kind::P256], ..rsa_only };
    assert_eq!(Pair::new(&no_rsa).run_with(|_, _| ()), server(PeerIncompatible::NoCertificateForPeer));
}

#[test]
fn nothing_in_common() {
    let suites = Setup { suites: [&ECDSA_SUITES[..1], &ECDSA_SUITES[1..]], ..Setup::default() };
    assert_eq!(Pair::new(&suites).run_with(|_, _| ()), server(PeerIncompatible::NoCommonCipherSuite));
    let groups = Setup { groups: [&GROUPS[1..2], &GROUPS[2..]], ..Setup::default() };
    assert_eq!(Pair::new(&groups).run_with(|_, _| ()), server(PeerIncompatible::NoCommonGroup));
    let without_schemes = altered(&Setup::default(), T::CLIENT_HELLO, Role::Client, |body| {
        rename(body, client_extensions, ExtensionType::SIGNATURE_ALGORITHMS, 0xfafa);
    });
    assert_eq!(without_schemes, server(PeerIncompatible::NoCommonSignatureScheme));
}

fn optional() -> Setup {
    Setup { extended_master_secret: ExtendedMasterSecret::Optional, ..Setup::default() }
}

/// RFC 7627 §5.2, §5.4: an old peer is served, and nothing is exported.
#[test]
fn an_old_peer_without_extended_master_secret() {
    let pair = without_extended_master_secret(&optional());
    let misuse: Error = ApiMisuse::ExporterUnavailable.into();
    for end in [&pair.client, &pair.server] {
        assert!(end.negotiated.is_some());
        assert_eq!(end.export(), Err(misuse.clone()));
    }
}

/// Unless the application bears the risk.
#[test]
fn an_old_peer_may_be_given_exporters() {
    let extended_master_secret = ExtendedMasterSecret::OptionalWithExporters;
    let pair = without_extended_master_secret(&Setup { extended_master_secret, ..Setup::default() });
    assert_eq!(pair.client.export().unwrap(), pair.server.export().unwrap());
    // A peer that has it is bound as always.
    let extended = established(&Setup { extended_master_secret, ..Setup::default() });
    assert_ne!(extended.client.export().unwrap(), pair.client.export().unwrap());
}

fn without_extended_master_secret(setup: &Setup) -> Pair {
    let mut pair = Pair::new(setup);
    let mut hello = pair.client.take().remove(0);
    if let Sent::Message(_, message) = &mut hello {
        rename(&mut message.body, client_extensions, ExtensionType::EXTENDED_MASTER_SECRET, 0xfafa);
    }
    let mut flight = pair.server.give(&hello).unwrap();
    let server_hello = flight.remove(0);
    assert!(pair.client.give(&server_hello).unwrap().is_empty());
    // As if the client had sent that hello.
    let State::ExpectServerCertificate12(state) = &mut pair.client.handshake.state else { panic!() };
    let messages: Vec<Message<'_>> = [&hello, &server_hello]
        .into_iter()
        .map(|sent| match sent {
            Sent::Message(_, message) => message.as_message(),
            Sent::ChangeCipherSpec => panic!(),
        })
        .collect();
    state.replace_transcript(&messages);
    let mut give = |batch: Vec<Sent>, role| -> Vec<Sent> {
        let end = if role == Role::Client { &mut pair.client } else { &mut pair.server };
        batch.iter().flat_map(|sent| end.give(sent).unwrap()).collect()
    };
    let flight = give(flight, Role::Client);
    let flight = give(flight, Role::Server);
    assert!(give(flight, Role::Client).is_empty());
    pair
}

/// RFC 5746 §3.6: the signalling suite is answered like the extension; what was not offered is not answered.
#[test]
fn a_server_answers_only_what_it_was_asked() {
    let mut pair = Pair::new(&Setup::default());
    let hello = |pair: &mut Pair| pair.client.take().remove(0);
    let Sent::Message(epoch, mut message) = hello(&mut pair) else { panic!() };
    for ty in [
        ExtensionType::SERVER_NAME,
        ExtensionType::EC_POINT_FORMATS,
        ExtensionType::RENEGOTIATION_INFO,
        ExtensionType::SESSION_TICKET,
    ] {
        rename(&mut message.body, client_extensions, ty, 0xfa00 | ty.0 & 0xff);
    }
    let answered = |message: &OwnedMessage| -> Vec<ExtensionType> {
        let mut server = Pair::new(&Setup::default()).server;
        let Sent::Message(_, hello) = server.give(&Sent::Message(epoch, message.clone())).unwrap().remove(0) else {
            panic!()
        };
        server_extensions(&hello.body).iter().map(|(ty, _)| ty).collect()
    };
    assert_eq!(answered(&message), [ExtensionType::EXTENDED_MASTER_SECRET, ExtensionType::RECORD_SIZE_LIMIT]);
    // The last suite of the list becomes the signalling one.
    let suites = ClientHello::read(&message.body).unwrap().cipher_suites.iter().count();
    let last = 2 + 32 + 1 + 1 + 2 + 2 * (suites - 1);
    message.body[last..last + 2].copy_from_slice(&[0, 0xff]);
    let with_scsv = [ExtensionType::RENEGOTIATION_INFO, ExtensionType::EXTENDED_MASTER_SECRET];
    assert_eq!(answered(&message)[..2], with_scsv);
}

#[test]
fn after_a_cookie_the_numbers_go_on() {
    let mut pair = Pair::new(&mutual());
    let first = pair.client.take();
    assert_eq!(first.len(), 1);
    let body = vec![0xfe, 0xff, 3, 1, 2, 3];
    let request = OwnedMessage { msg_type: T::HELLO_VERIFY_REQUEST, message_seq: 0, body };
    let second = pair.client.give(&Sent::Message(Epoch::PLAINTEXT, request)).unwrap();
    assert!(matches!(&second[..], [Sent::Message(_, message)] if message.message_seq == 1));
    let flight: Vec<_> = second.iter().flat_map(|sent| pair.server.give(sent).unwrap()).collect();
    let flight: Vec<_> = flight.iter().flat_map(|sent| pair.client.give(sent).unwrap()).collect();
    let flight: Vec<_> = flight.iter().flat_map(|sent| pair.server.give(sent).unwrap()).collect();
    flight.iter().for_each(|sent| drop(pair.client.give(sent).unwrap()));
    assert_eq!(pair.client.export().unwrap(), pair.server.export().unwrap());
}

/// RFC 9850 §2.2.
#[test]
fn both_ends_log_the_master_secret() {
    static LOG: LazyLock<Arc<Log>> = LazyLock::new(Arc::default);
    established(&Setup { key_log: &LOG, ..Setup::default() });
    let lines = LOG.0.lock().unwrap();
    let [client, server] = &lines[..] else { panic!("{} lines", lines.len()) };
    assert_eq!(client, server);
    assert_eq!((client.0.as_str(), client.1.len(), client.2.len()), ("CLIENT_RANDOM", 32, 48));
}
