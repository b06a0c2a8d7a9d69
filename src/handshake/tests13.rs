//! DTLS 1.3, client against server, without records: what succeeds. What must fail is in `hostile.rs`.

mod bad_resumption;
mod clauses;
mod hostile;
mod key_update;
mod pair;
mod resumption;

use super::negotiate::{HelloRetryRequest, KeyShareChoice, Selection, Selection13, select};
use super::server13::ExpectRetriedClientHello;
use super::{APPLICATION_EPOCH, State};
use crate::config::{KeyShares, ServerNameAcknowledgement};
use crate::error::{ApiMisuse, Error};
use crate::wire::{
    CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme,
    codec::Reader,
    enums::{ExtensionType, HandshakeType},
    extensions::Extensions,
    handshake::OwnedMessage,
    hello::{ClientHello, ServerHello},
};
use pair::{Auth, KINDS, Kind, NAME, PKI, Pair, Setup, established, server_config};

const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS_AES_128_GCM_SHA256,
    CipherSuite::TLS_AES_256_GCM_SHA384,
    CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
];

const GROUPS: [NamedGroup; 4] =
    [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1, NamedGroup::X25519MLKEM768];

#[test]
fn every_suite_group_and_certificate() {
    for suite in SUITES {
        for group in GROUPS {
            for kind in KINDS {
                for (auth, client_certificate) in [(Auth::None, None), (Auth::Required, Some(kind))] {
                    let pair = established(&Setup {
                        suites: vec![suite],
                        client_groups: vec![group],
                        server_groups: vec![group],
                        server_certificate: kind,
                        client_certificate,
                        auth,
                        ..Setup::default()
                    });
                    let (client, server) = (pair.client.negotiated.unwrap(), pair.server.negotiated.unwrap());
                    for negotiated in [&client, &server] {
                        assert_eq!(negotiated.version(), ProtocolVersion::DTLS1_3);
                        assert_eq!(negotiated.cipher_suite(), suite);
                        assert_eq!(negotiated.group(), group);
                        assert_eq!(negotiated.server_name(), Some(NAME));
                        assert_eq!(negotiated.alpn_protocol(), None);
                        assert_eq!(negotiated.hello_retry_request(), HelloRetryRequest::Unneeded);
                    }
                    assert_eq!(client.signature_scheme(), server.signature_scheme());
                    assert_ne!(client.signature_scheme(), SignatureScheme::RSA_PKCS1_SHA256);
                    assert_eq!(client.peer_certificates(), PKI.of(kind).0);
                    let clients = client_certificate.map(|kind| PKI.of(kind).0).unwrap_or_default();
                    assert_eq!(server.peer_certificates(), clients);
                }
            }
        }
    }
}

/// The order of the effects is a promise to the connection.
#[test]
fn effects_come_in_order() {
    let setup = Setup { auth: Auth::Required, client_certificate: Some(Kind::Ed25519), ..Setup::default() };
    let pair = established(&setup);
    let client = "Answer CLIENT_HELLO@0 ExplicitAcks r2 w2 Flight(Acknowledgement) CERTIFICATE@2 \
                  CERTIFICATE_VERIFY@2 FINISHED@2 r3 w3 Complete";
    assert_eq!(pair.client.log.join(" "), client);
    let server = "ExplicitAcks Answer SERVER_HELLO@0 w2 r2 ENCRYPTED_EXTENSIONS@2 CERTIFICATE_REQUEST@2 CERTIFICATE@2 \
                  CERTIFICATE_VERIFY@2 FINISHED@2 w3 r3 AcknowledgeNow Complete";
    assert_eq!(pair.server.log.join(" "), server);
}

#[test]
fn client_authentication_may_be_optional() {
    let setup = Setup { auth: Auth::Optional, ..Setup::default() };
    let pair = established(&setup);
    assert!(pair.server.negotiated.unwrap().peer_certificates().is_empty());
    assert!(pair.client.log.contains(&"CERTIFICATE@2".to_owned()));
    assert!(!pair.client.log.contains(&"CERTIFICATE_VERIFY@2".to_owned()));
    let pair = established(&Setup { client_certificate: Some(Kind::Rsa), ..setup });
    assert_eq!(pair.server.negotiated.unwrap().peer_certificates(), PKI.of(Kind::Rsa).0);
}

#[test]
fn a_hello_retry_request_asks_for_a_group() {
    for (suite, group) in
        SUITES.into_iter().zip([NamedGroup::SECP256R1, NamedGroup::SECP384R1, NamedGroup::X25519MLKEM768])
    {
        let pair = established(&Setup {
            suites: vec![suite],
            client_groups: vec![NamedGroup::X25519, group],
            server_groups: vec![group],
            ..Setup::default()
        });
        for negotiated in [pair.client.negotiated.unwrap(), pair.server.negotiated.unwrap()] {
            assert_eq!(negotiated.group(), group);
            assert_eq!(negotiated.hello_retry_request(), HelloRetryRequest::Answered);
        }
        let client = "Answer CLIENT_HELLO@0 ExplicitAcks Answer CLIENT_HELLO@0 ExplicitAcks r2 w2";
        assert!(
            pair.client
                .log
                .join(" ")
                .replace("ExplicitAcks r2", "r2")
                .starts_with(&client.replace("ExplicitAcks r2", "r2"))
        );
        assert!(
            pair.server.log.join(" ").starts_with("ExplicitAcks Answer SERVER_HELLO@0 Answer SERVER_HELLO@0 w2 r2")
        );
    }
}

/// The share of the classical half comes along with the hybrid's, and is worth as much.
#[test]
fn hybrid_first_offers_its_classical_half_too() {
    let setup = Setup {
        client_groups: vec![NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::SECP256R1],
        shares: KeyShares::HybridFirst,
        ..Setup::default()
    };
    for group in [NamedGroup::X25519MLKEM768, NamedGroup::X25519] {
        let pair = established(&Setup { server_groups: vec![group], ..setup.clone() });
        assert_eq!(pair.client.negotiated.unwrap().group(), group);
        assert_eq!(pair.client.log.iter().filter(|entry| *entry == "CLIENT_HELLO@0").count(), 1);
    }
    let pair = established(&Setup { server_groups: vec![NamedGroup::SECP256R1], ..setup.clone() });
    assert_eq!(pair.client.negotiated.unwrap().group(), NamedGroup::SECP256R1);
    // The default waits until the server asks for it.
    let classical = Setup { shares: KeyShares::Classical, server_groups: vec![NamedGroup::X25519MLKEM768], ..setup };
    let mut shares = Vec::new();
    Pair::new(&classical)
        .run_with(|_, batch| {
            for (_, message) in batch.iter().filter(|(_, message)| message.msg_type == HandshakeType::CLIENT_HELLO) {
                let hello = ClientHello::read(&message.body).unwrap();
                shares.push(hello.known.key_shares.unwrap().iter().map(|entry| entry.group).collect::<Vec<_>>());
            }
        })
        .unwrap();
    // RFC 8446 §4.1.2: one share, though the hybrid has a half that could be one.
    assert_eq!(shares, [vec![NamedGroup::X25519], vec![NamedGroup::X25519MLKEM768]]);
}

#[test]
fn the_servers_first_protocol_that_the_client_offers() {
    let setup =
        Setup { client_protocols: vec!["a", "b", "c"], server_protocols: vec!["x", "c", "b"], ..Setup::default() };
    let pair = established(&setup);
    assert_eq!(pair.client.negotiated.unwrap().alpn_protocol(), Some(&b"c"[..]));
    assert_eq!(pair.server.negotiated.unwrap().alpn_protocol(), Some(&b"c"[..]));
    let pair = established(&Setup { server_protocols: vec![], ..setup.clone() });
    assert_eq!(pair.client.negotiated.unwrap().alpn_protocol(), None);
    let pair = established(&Setup { client_protocols: vec![], ..setup });
    assert_eq!(pair.server.negotiated.unwrap().alpn_protocol(), None);
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
            let encrypted = |message: &&OwnedMessage| message.msg_type == HandshakeType::ENCRYPTED_EXTENSIONS;
            for message in batch.iter().map(|(_, message)| message).filter(encrypted) {
                let extensions = Extensions::read(&mut Reader::new(&message.body)).unwrap();
                acknowledged = Some(extensions.has(ExtensionType::SERVER_NAME));
            }
        });
        assert_eq!((finished, acknowledged), (Ok(()), Some(expected)));
        assert_eq!(pair.server.negotiated.unwrap().server_name(), Some(NAME));
    }
}

/// RFC 9850: all secrets of a connection under their labels, with the client's random.
#[test]
fn secrets_are_logged() {
    let setup = Setup::default();
    let mut pair = Pair::new(&setup);
    let mut random = Vec::new();
    pair.run_with(|_, batch| {
        for (_, message) in batch.iter().filter(|(_, message)| message.msg_type == HandshakeType::CLIENT_HELLO) {
            random = ClientHello::read(&message.body).unwrap().random.to_vec();
        }
    })
    .unwrap();
    let log = setup.key_log.0.lock().unwrap();
    let labels: Vec<_> = log.iter().map(|(label, ..)| label.as_str()).collect();
    let expected = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    ];
    assert_eq!(labels, expected);
    assert!(log.iter().all(|(_, logged, _)| *logged == random));
    for (label, place) in [(0, ('w', 2)), (1, ('r', 2)), (2, ('w', 3)), (3, ('r', 3))] {
        assert_eq!(pair.client.keys.get(&place), Some(&log[label].2));
    }
}

/// RFC 8446 §7.5: label and context matter; nothing comes out before the handshake is complete.
#[test]
fn exporters() {
    let mut pair = Pair::new(&Setup::default());
    assert_eq!(pair.client.export(), Err(Error::ApiMisuse(ApiMisuse::HandshakeNotComplete)));
    pair.run().unwrap();
    let export = |label: &[u8], context: Option<&[u8]>| {
        let [mut one, mut other] = [[0; 32]; 2];
        pair.client.handshake.export(label, context, &mut one).unwrap();
        pair.server.handshake.export(label, context, &mut other).unwrap();
        assert_eq!(one, other);
        one
    };
    assert_eq!(export(b"label", None), export(b"label", Some(b"")));
    assert_ne!(export(b"label", None), export(b"label", Some(b"c")));
    assert_ne!(export(b"label", None), export(b"other", None));
}

/// A listener that kept nothing but a hash hands over; the handshake is the same (RFC 9147 §5.1).
#[test]
fn a_server_starts_after_a_stateless_retry() {
    let setup = Setup { client_groups: vec![NamedGroup::X25519, NamedGroup::SECP256R1], ..Setup::default() };
    let setup = Setup { server_groups: vec![NamedGroup::SECP256R1], ..setup };
    let mut pair = Pair::new(&setup);
    let mut stateless = Pair::new(&setup);
    let [(_, first)] = &pair.client.take()[..] else { panic!("one ClientHello") };
    pair.server.give(first).unwrap();
    let [(_, request)] = &mut pair.server.take()[..] else { panic!("one HelloRetryRequest") };
    put_cookie(request);
    assert_eq!(ServerHello::read(&request.body).unwrap().cookie(), Ok(Some(&b"crumb"[..])));
    pair.client.give(request).unwrap();
    let config = server_config(&setup);
    let hello = ClientHello::read(&first.body).unwrap();
    let Ok(Selection::Dtls13(Selection13 { suite, key_share: KeyShareChoice::Retry(group) })) = select(&hello, &config)
    else {
        panic!("a retry")
    };
    let hash = suite.hash().hash(&[&first.as_message().tls_header()[..], &first.body].concat());
    let request = request.as_message();
    let state = ExpectRetriedClientHello::after_stateless_retry(config, suite, group, hash.as_ref(), &request);
    stateless.server.handshake.state = State::ExpectRetriedClientHello13(Box::new(state));
    stateless.client = pair.client;
    stateless.run().unwrap();
    stateless.check_keys();
    assert_eq!(stateless.client.export(), stateless.server.export());
    assert!(stateless.client.keys.contains_key(&('w', APPLICATION_EPOCH.0)));
}

/// Appends a cookie to a HelloRetryRequest.
pub(super) fn put_cookie(request: &mut OwnedMessage) {
    append_extension(&mut request.body, SERVER_EXTENSIONS, ExtensionType::COOKIE, b"\0\x05crumb");
}

/// Where the extension block of a ServerHello without session id begins.
const SERVER_EXTENSIONS: usize = 2 + 32 + 1 + 2 + 1;

/// Appends an extension to the block that begins at `block` and ends the message.
fn append_extension(body: &mut Vec<u8>, block: usize, ty: ExtensionType, data: &[u8]) {
    body.extend_from_slice(&ty.0.to_be_bytes());
    body.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    body.extend_from_slice(data);
    let len = u16::try_from(body.len() - block - 2).unwrap();
    body[block..block + 2].copy_from_slice(&len.to_be_bytes());
}
