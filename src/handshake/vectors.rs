//! Whole captured connections of both versions through transcript, key schedule and signatures: every handshake message
//! is hashed, every signature and Finished verified, every protected record opened with the derived keys.

use super::schedule12::{Derivation, MasterSecret, Randoms};
use super::schedule13::{ApplicationTrafficSecret, EarlySchedule, Exporter, HandshakeTrafficSecret, SecretLog};
use super::signature::{SignatureContext, certificate_verify_content, server_key_exchange_content, verify_signature};
use super::transcript::{Retention, Transcript, TranscriptBuffer, TranscriptForm};
use crate::crypto::{
    Role,
    aead::AeadKey,
    hkdf::record_keys,
    secret::Secret,
    suites::{AeadAlgorithm, Suite, Suite12, Suite13, TrafficKeys},
    vectors::{hex, list, load, load_extra, open_record13, published_captures, suite_named},
};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    SignatureScheme,
    certificate::{Certificate13, DigitallySigned, read_certificate12},
    enums::{ContentType, ExtensionType, HandshakeType},
    handshake::Message,
    hello::{ClientHello, ServerHello},
    key_exchange::ServerKeyExchange,
    post_handshake::{NewSessionTicket12, NewSessionTicket13},
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use std::collections::HashMap;

/// A message of a capture, owned.
struct Captured {
    sender: Role,
    msg_type: HandshakeType,
    message_seq: u16,
    body: Vec<u8>,
}

impl Captured {
    fn message(&self) -> Message<'_> {
        Message { msg_type: self.msg_type, message_seq: self.message_seq, body: &self.body }
    }
}

fn role(value: &Value) -> Role {
    match value.as_str().unwrap() {
        "client" => Role::Client,
        "server" => Role::Server,
        other => panic!("{other}"),
    }
}

fn messages(connection: &Value) -> Vec<Captured> {
    list(&connection["handshake"])
        .iter()
        .map(|message| Captured {
            sender: role(&message["sender"]),
            msg_type: match message["name"].as_str().unwrap() {
                "client_hello" => HandshakeType::CLIENT_HELLO,
                "server_hello" => HandshakeType::SERVER_HELLO,
                "hello_verify_request" => HandshakeType::HELLO_VERIFY_REQUEST,
                "new_session_ticket" => HandshakeType::NEW_SESSION_TICKET,
                "encrypted_extensions" => HandshakeType::ENCRYPTED_EXTENSIONS,
                "certificate" => HandshakeType::CERTIFICATE,
                "server_key_exchange" => HandshakeType::SERVER_KEY_EXCHANGE,
                "certificate_request" => HandshakeType::CERTIFICATE_REQUEST,
                "server_hello_done" => HandshakeType::SERVER_HELLO_DONE,
                "certificate_verify" => HandshakeType::CERTIFICATE_VERIFY,
                "client_key_exchange" => HandshakeType::CLIENT_KEY_EXCHANGE,
                "finished" => HandshakeType::FINISHED,
                "key_update" => HandshakeType::KEY_UPDATE,
                other => panic!("{other}"),
            },
            message_seq: u16::try_from(message["message_seq"].as_u64().unwrap()).unwrap(),
            body: hex(&message["body"]),
        })
        .collect()
}

fn protected_records(connection: &Value) -> Vec<(Role, Value)> {
    let records: Vec<_> = list(&connection["datagrams"])
        .iter()
        .flat_map(|datagram| {
            list(&datagram["records"]).iter().map(|record| (role(&datagram["sender"]), record.clone()))
        })
        .filter(|(_, record)| record["protected"] == true)
        .collect();
    assert_eq!(Some(records.len()), connection["verified"]["decrypted"].as_u64().map(|n| usize::try_from(n).unwrap()));
    records
}

fn all_schemes() -> Vec<SignatureScheme> {
    default_provider().signature_verification_algorithms.supported_schemes().into_iter().map(Into::into).collect()
}

/// Verifies a signature, and that neither another content, nor another signature, nor an unoffered scheme passes.
fn assert_signature(
    context: SignatureContext,
    certificate: &CertificateDer<'_>,
    content: &[u8],
    signed: &DigitallySigned<'_>,
) {
    let provider = default_provider();
    let schemes = all_schemes();
    let verify = |offered: &[SignatureScheme], content: &[u8], signed: &DigitallySigned<'_>| {
        verify_signature(&provider, context, offered, certificate, content, signed).map(|_| ())
    };
    assert_eq!(verify(&schemes, content, signed), Ok(()));

    let bad: Result<(), Error> = Err(PeerMisbehaved::BadSignature.into());
    let mut other = content.to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&schemes, &other, signed), bad);
    let mut other = signed.signature.to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&schemes, content, &DigitallySigned { scheme: signed.scheme, signature: &other }), bad);
    let others: Vec<_> = schemes.into_iter().filter(|scheme| *scheme != signed.scheme).collect();
    assert_eq!(verify(&others, content, signed), Err(PeerMisbehaved::SelectedUnofferedSignatureScheme.into()));
}

// ---- DTLS 1.2

/// What has been seen of a DTLS 1.2 connection.
struct Progress12 {
    suite: Suite12,
    master: MasterSecret,
    randoms: Randoms,
    certificates: HashMap<Role, CertificateDer<'static>>,
    verified: Vec<(HandshakeType, Role)>,
}

impl Progress12 {
    fn step(&mut self, transcript: &Transcript, captured: &Captured) {
        let Captured { sender, msg_type, body, .. } = captured;
        match *msg_type {
            HandshakeType::CERTIFICATE => {
                let der = read_certificate12(body).unwrap()[0].to_vec();
                self.certificates.insert(*sender, der.into());
                return;
            }
            HandshakeType::SERVER_KEY_EXCHANGE => {
                let exchange = ServerKeyExchange::read(body).unwrap();
                let content = server_key_exchange_content(&self.randoms, exchange.params);
                let context = SignatureContext::ServerKeyExchange12(self.suite.auth);
                assert_signature(context, &self.certificates[sender], &content, &exchange.signed);
            }
            HandshakeType::CERTIFICATE_VERIFY => {
                let signed = DigitallySigned::read_certificate_verify(body).unwrap();
                let content = transcript.messages().unwrap();
                assert_signature(SignatureContext::CertificateVerify12, &self.certificates[sender], content, &signed);
            }
            HandshakeType::FINISHED => {
                assert_eq!(self.master.verify_data(*sender, &transcript.current_hash()).unwrap(), body[..]);
            }
            _ => return,
        }
        self.verified.push((*msg_type, *sender));
    }
}

fn run_dtls12(path: &str) -> Vec<(HandshakeType, Role)> {
    let capture = load(path);
    let connection = &capture["connections"][0];
    // The one of 200 octets a datagram was made without.
    assert!(connection["exporters"].as_array().is_some_and(|list| !list.is_empty()) || path.contains("mtu200"));
    run_connection12(connection, &connection["master_secret"])
}

fn run_connection12(connection: &Value, master_secret: &Value) -> Vec<(HandshakeType, Role)> {
    let Some(Suite::Dtls12(suite)) = suite_named(connection["cipher_suite"].as_str().unwrap()) else { panic!() };
    let random = |name: &str| hex(&connection[name]).try_into().unwrap();
    let randoms = Randoms { client: random("client_random"), server: random("server_random") };
    let secret = Secret::new(&hex(master_secret)).unwrap();
    let master = MasterSecret::resumed(suite, secret, Derivation::Extended, randoms);
    let mut progress = Progress12 { suite, master, randoms, certificates: HashMap::new(), verified: Vec::new() };

    let messages = messages(connection);
    let mut buffer = TranscriptBuffer::new();
    let mut rest = messages.iter();
    for captured in rest.by_ref() {
        match captured.msg_type {
            HandshakeType::HELLO_VERIFY_REQUEST => buffer.clear(),
            HandshakeType::SERVER_HELLO => {
                let hello = ServerHello::read(&captured.body).unwrap();
                assert_eq!((hello.random, hello.cipher_suite), (&randoms.server, suite.id));
                buffer.add(&captured.message());
                break;
            }
            _ => buffer.add(&captured.message()),
        }
    }
    let mut transcript = buffer.start(suite.hash(), TranscriptForm::Dtls12, Retention::Messages);
    for captured in rest {
        progress.step(&transcript, captured);
        transcript.add(&captured.message());
    }

    let block = progress.master.key_block().unwrap();
    for (sender, record) in protected_records(connection) {
        let keys = if sender == Role::Client { &block.client } else { &block.server };
        assert_eq!(open_record12(keys, &record), hex(&record["content"]));
    }
    for exporter in connection["exporters"].as_array().into_iter().flatten() {
        let expected = hex(&exporter["value"]);
        let mut out = vec![0; expected.len()];
        progress.master.export(exporter["label"].as_str().unwrap().as_bytes(), None, &mut out).unwrap();
        assert_eq!(out, expected);
    }
    progress.verified
}

fn open_record12(keys: &TrafficKeys, record: &Value) -> Vec<u8> {
    /// Octets of a DTLS 1.2 record header (RFC 6347 §4.1).
    const HEADER_LEN: usize = 13;
    let TrafficKeys::Dtls12 { aead, key, fixed_iv } = keys else { panic!("not of DTLS 1.2") };
    let nonce: [u8; AeadAlgorithm::NONCE_LEN] = hex(&record["nonce"]).try_into().unwrap();
    if aead.explicit_nonce_len() > 0 {
        assert!(nonce.starts_with(fixed_iv.as_ref()));
    } else {
        // RFC 7905 §2: the IV, XOR epoch and sequence number.
        assert_eq!(nonce[..4], fixed_iv.as_ref()[..4]);
    }
    let mut fragment = hex(&record["raw"])[HEADER_LEN + aead.explicit_nonce_len()..].to_vec();
    let len = AeadKey::new(*aead, key.as_ref()).unwrap().open(nonce, &hex(&record["aad"]), &mut fragment);
    fragment.truncate(len.expect("authentic"));
    fragment
}

#[test]
fn k3_openssl_dtls12_connections() {
    let server_auth = [
        (HandshakeType::SERVER_KEY_EXCHANGE, Role::Server),
        (HandshakeType::FINISHED, Role::Client),
        (HandshakeType::FINISHED, Role::Server),
    ];
    for name in ["alpn-sni-noticket", "ecdsa-aes128gcm", "ecdsa384-aes256gcm-p384", "rsa-chacha20", "srtp-ecdsa"] {
        assert_eq!(run_dtls12(&format!("openssl/{name}.json")), server_auth, "{name}");
    }
    for name in ["dtls12-mtu200", "dtls12-srtp"] {
        assert_eq!(run_dtls12(&format!("pion/{name}.json")), server_auth, "{name}");
    }
}

#[test]
fn openssl_dtls12_client_certificate() {
    let expected = [
        (HandshakeType::SERVER_KEY_EXCHANGE, Role::Server),
        (HandshakeType::CERTIFICATE_VERIFY, Role::Client),
        (HandshakeType::FINISHED, Role::Client),
        (HandshakeType::FINISHED, Role::Server),
    ];
    assert_eq!(run_dtls12("openssl/clientauth-ecdsa.json"), expected);
}

/// RFC 5246 §7.3, RFC 5077 §3: under new randoms the master secret of the first connection opens the records of the second.
#[test]
fn openssl_dtls12_resumptions() {
    let server_auth = [
        (HandshakeType::SERVER_KEY_EXCHANGE, Role::Server),
        (HandshakeType::FINISHED, Role::Client),
        (HandshakeType::FINISHED, Role::Server),
    ];
    let server_first = [(HandshakeType::FINISHED, Role::Server), (HandshakeType::FINISHED, Role::Client)];
    for name in ["resume-ticket", "resume-sessionid"] {
        let capture = load(&format!("openssl/{name}.json"));
        let [first, second] = list(&capture["connections"]) else { panic!("{name}") };
        let secret = &first["master_secret"];
        assert_eq!(run_connection12(first, secret), server_auth, "{name}");
        assert_eq!(run_connection12(second, secret), server_first, "{name}");

        let [first, second] = [messages(first), messages(second)];
        let find = |messages: &[Captured], msg_type| {
            messages.iter().rfind(|message| message.msg_type == msg_type).map(|message| message.body.clone())
        };
        let offer = find(&second, HandshakeType::CLIENT_HELLO).unwrap();
        let offer = ClientHello::read(&offer).unwrap();
        let [given, answer] = [&first, &second].map(|messages| find(messages, HandshakeType::SERVER_HELLO).unwrap());
        let [given, answer] = [&given, &answer].map(|body| ServerHello::read(body).unwrap());
        assert_eq!(answer.session_id, offer.session_id);
        let ticket = offer.extensions.find(ExtensionType::SESSION_TICKET).unwrap_or_default();
        match find(&first, HandshakeType::NEW_SESSION_TICKET) {
            Some(body) => {
                assert!(given.extensions.flag(ExtensionType::SESSION_TICKET).unwrap());
                let message = NewSessionTicket12::read(&body).unwrap();
                assert_eq!((message.ticket, message.encode()), (ticket, body.clone()));
            }
            None => assert_eq!((given.session_id, ticket), (offer.session_id, &[][..])),
        }
    }
}

/// What others have published of suites that exist, with keys; not part of this repository.
#[test]
fn published_dtls12_connections() {
    let mut run = Vec::new();
    for (name, capture) in published_captures() {
        let [connection] = list(&capture["connections"]) else { continue };
        let suite = connection["cipher_suite"].as_str().and_then(suite_named);
        let secret = &connection["master_secret"];
        if suite.is_none() || secret.is_null() {
            continue;
        }
        let verified = run_connection12(connection, secret);
        assert!(verified.contains(&(HandshakeType::SERVER_KEY_EXCHANGE, Role::Server)), "{name}");
        for role in [Role::Client, Role::Server] {
            assert!(verified.contains(&(HandshakeType::FINISHED, role)), "{name}");
        }
        run.push(name);
    }
    assert!(run.is_empty() || run.len() == 2, "{run:?}");
}

// ---- DTLS 1.3

/// The transcript up to and including the ServerHello, and the messages after it.
fn after_server_hello<'c>(suite: &Suite13, messages: &'c [Captured]) -> (Transcript, &'c [Captured]) {
    let mut buffer = TranscriptBuffer::new();
    buffer.add(&messages[0].message());
    let mut transcript = buffer.start(suite.hash(), TranscriptForm::Dtls13, Retention::HashOnly);
    for (i, captured) in messages.iter().enumerate().skip(1) {
        let mut is_server_hello = false;
        if captured.msg_type == HandshakeType::SERVER_HELLO {
            let hello = ServerHello::read(&captured.body).unwrap();
            assert_eq!(hello.cipher_suite, suite.id);
            is_server_hello = !hello.is_hello_retry_request();
            if !is_server_hello {
                transcript.roll_up_for_retry();
            }
        }
        transcript.add(&captured.message());
        if is_server_hello {
            return (transcript, &messages[i + 1..]);
        }
    }
    panic!("no ServerHello")
}

/// CertificateVerify and both Finished.
fn verify_handshake13(
    mut transcript: Transcript,
    messages: &[Captured],
    secrets: [(Role, &HandshakeTrafficSecret); 2],
) -> Vec<(HandshakeType, Role)> {
    let mut verified = Vec::new();
    let mut certificates: HashMap<Role, CertificateDer<'static>> = HashMap::new();
    for captured in messages {
        let Captured { sender, msg_type, body, .. } = captured;
        match *msg_type {
            HandshakeType::CERTIFICATE => {
                let der = Certificate13::read(body).unwrap().chain[0].to_vec();
                certificates.insert(*sender, der.into());
            }
            HandshakeType::CERTIFICATE_VERIFY => {
                let signed = DigitallySigned::read_certificate_verify(body).unwrap();
                let content = certificate_verify_content(*sender, &transcript.current_hash());
                assert_signature(SignatureContext::CertificateVerify13, &certificates[sender], &content, &signed);
                verified.push((*msg_type, *sender));
            }
            HandshakeType::FINISHED => {
                let (_, secret) = secrets.iter().find(|(role, _)| role == sender).unwrap();
                assert_eq!(secret.verify_data(&transcript.current_hash()).unwrap().as_ref(), body);
                verified.push((*msg_type, *sender));
            }
            // After the handshake (RFC 8446 §4.6).
            HandshakeType::NEW_SESSION_TICKET => {
                let ticket = NewSessionTicket13::read(body).unwrap();
                assert!((1..=604_800).contains(&ticket.lifetime), "{} s", ticket.lifetime);
                assert_eq!(ticket.encode(), *body);
                continue;
            }
            HandshakeType::KEY_UPDATE => break,
            _ => {}
        }
        transcript.add(&captured.message());
    }
    verified
}

const SERVER_AUTH13: [(HandshakeType, Role); 3] = [
    (HandshakeType::CERTIFICATE_VERIFY, Role::Server),
    (HandshakeType::FINISHED, Role::Server),
    (HandshakeType::FINISHED, Role::Client),
];

/// Returns how many epochs of the capture follow from the one before by "traffic upd".
fn run_dtls13(path: &str) -> usize {
    let capture = load(path);
    let connection = &capture["connections"][0];
    let Some(Suite::Dtls13(suite)) = suite_named(connection["cipher_suite"].as_str().unwrap()) else {
        panic!("{path}")
    };
    let secret = |sender: Role, epoch: u64| {
        let sender = if sender == Role::Client { "client" } else { "server" };
        let secret = &connection["traffic_secrets"][format!("{sender}_epoch{epoch}")];
        (!secret.is_null()).then(|| hex(secret))
    };

    let messages = messages(connection);
    let (transcript, rest) = after_server_hello(&suite, &messages);
    let handshake = |role| HandshakeTrafficSecret::from_secret(suite, &secret(role, 2).unwrap());
    let (client, server) = (handshake(Role::Client), handshake(Role::Server));
    let verified = verify_handshake13(transcript, rest, [(Role::Client, &client), (Role::Server, &server)]);
    assert_eq!(verified, SERVER_AUTH13, "{path}");

    let mut updates = 0;
    for role in [Role::Client, Role::Server] {
        let mut current = ApplicationTrafficSecret::from_secret(suite, &secret(role, 3).unwrap());
        for expected in (4..).map_while(|epoch| secret(role, epoch)) {
            current = current.next().unwrap();
            assert_eq!(current.octets(), expected);
            updates += 1;
        }
    }
    for (sender, record) in protected_records(connection) {
        let traffic_secret = secret(sender, record["epoch"].as_u64().unwrap()).unwrap();
        let keys = record_keys(suite.hkdf(), suite.aead, &Secret::new(&traffic_secret).unwrap()).unwrap();
        let inner = open_record13(&suite, &keys, &record);
        let content = hex(&record["content"]);
        assert!(inner.starts_with(&content));
        let content_type = ContentType(inner[content.len()]);
        assert_eq!(content_type == ContentType::HANDSHAKE, record["content_type"] == "handshake");
        assert!(inner[content.len() + 1..].iter().all(|octet| *octet == 0));
    }
    updates
}

#[test]
fn k3_pion_dtls13_connections() {
    for name in ["x25519", "aes128gcm", "aes256gcm", "chacha20"] {
        assert_eq!(run_dtls13(&format!("pion/dtls13-{name}.json")), 3, "{name}");
    }
    for name in ["no-hrr", "alpn", "srtp"] {
        assert_eq!(run_dtls13(&format!("pion/dtls13-{name}.json")), 0, "{name}");
    }
}

#[test]
fn pion_dtls13_hello_retry_request() {
    for name in ["p256-hrr", "x25519-cookie"] {
        assert_eq!(run_dtls13(&format!("pion/dtls13-{name}.json")), 0, "{name}");
    }
}

/// The Illustrated DTLS 1.3 Connection, from the shared secret to the application's keys; not part of this repository.
#[test]
fn illustrated_dtls13_connection() {
    let Some(vectors) = load_extra("illustrated-dtls13/illustrated-dtls13.json") else { return };
    let Some(Suite::Dtls13(suite)) = suite_named("TLS_AES_128_GCM_SHA256") else { panic!() };
    let captured: Vec<_> = list(&vectors["handshake_messages"])
        .iter()
        .map(|message| {
            let bytes = hex(&message["dtls_bytes"]);
            Captured {
                sender: role(&message["direction"]),
                msg_type: HandshakeType(bytes[0]),
                message_seq: u16::from_be_bytes([bytes[4], bytes[5]]),
                body: bytes[12..].to_vec(),
            }
        })
        .collect();
    let log = SecretLog { key_log: &rustls::NoKeyLog {}, client_random: &[0; 32] };
    let expected = |epoch: &str| Secret::new(&hex(&vectors["traffic_keys"][epoch]["traffic_secret"])).unwrap();
    let octets = |keys: TrafficKeys| match keys {
        TrafficKeys::Dtls13 { secret, .. } => secret.as_ref().to_vec(),
        TrafficKeys::Dtls12 { .. } => panic!("not of DTLS 1.3"),
    };

    let (transcript, rest) = after_server_hello(&suite, &captured);
    let shared = hex(&vectors["x25519"]["shared_secret"]);
    let schedule = EarlySchedule::new(suite).into_handshake(&shared).unwrap();
    let client = schedule.traffic_secret(Role::Client, &transcript.current_hash(), log).unwrap();
    let server = schedule.traffic_secret(Role::Server, &transcript.current_hash(), log).unwrap();
    assert_eq!(octets(client.keys()), expected("client_epoch2").as_ref());
    assert_eq!(octets(server.keys()), expected("server_epoch2").as_ref());
    assert_eq!(verify_handshake13(transcript, rest, [(Role::Client, &client), (Role::Server, &server)]), SERVER_AUTH13);

    let (mut transcript, _) = after_server_hello(&suite, &captured);
    for message in rest.iter().filter(|message| message.sender == Role::Server) {
        transcript.add(&message.message());
    }
    let master = schedule.into_master().unwrap();
    let hash = transcript.current_hash();
    let secret = |role| octets(master.traffic_secret(role, &hash, log).unwrap().keys());
    assert_eq!(secret(Role::Client), expected("client_epoch3").as_ref());
    assert_eq!(secret(Role::Server), expected("server_epoch3").as_ref());

    // The derived exporter vectors belong to this connection.
    let exporter: Exporter = master.exporter(&hash, log).unwrap();
    for case in list(&load("derived/dtls13_exporter.json")["cases"]) {
        let value = hex(&case["value"]);
        let mut out = vec![0; value.len()];
        exporter.export(case["label"].as_str().unwrap().as_bytes(), Some(&hex(&case["context"])), &mut out).unwrap();
        assert_eq!(out, value);
    }
}
