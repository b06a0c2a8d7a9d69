//! What an observer of messages is shown.

use super::*;
use crate::config::{Direction, TracedMessage};
use std::sync::Mutex;

/// Lines of a trace: `<` for what comes in, `>` for what goes out.
type Lines = Arc<Mutex<Vec<String>>>;

fn line(direction: Direction, message: TracedMessage<'_>) -> String {
    let arrow = if direction == Direction::Receiving { '<' } else { '>' };
    match message {
        TracedMessage::Handshake { msg_type, length, fragment_offset: 0, fragment, .. } if fragment.len() == length => {
            format!("{arrow} {msg_type}")
        }
        TracedMessage::Handshake { msg_type, length, fragment_offset, fragment, .. } => {
            format!("{arrow} {msg_type} {fragment_offset}+{} of {length}", fragment.len())
        }
        TracedMessage::ChangeCipherSpec => format!("{arrow} ChangeCipherSpec"),
        TracedMessage::Alert { level, description } => format!("{arrow} {level} {description}"),
        TracedMessage::Ack { records } => format!("{arrow} ACK {records}"),
    }
}

/// Two ends, each with an observer.
fn traced(version: ProtocolVersion, mtu: usize) -> (Pair, [Lines; 2]) {
    let now = Instant::now();
    let Identity { certificate, key } = &*IDENTITY;
    let lines = [Lines::default(), Lines::default()];
    let observer = |lines: &Lines| {
        let lines = lines.clone();
        move |direction, message: TracedMessage<'_>| lines.lock().unwrap().push(line(direction, message))
    };
    let mut transport = TransportConfig::new();
    transport.set_mtu(mtu).unwrap();
    let client = ClientConfig::builder().with_peer_fingerprints([Fingerprint::of(certificate)]).unwrap();
    let mut client = client.with_no_client_auth();
    client.set_versions(&[version]).unwrap().set_message_trace(observer(&lines[0])).set_transport(transport.clone());
    let server = ServerConfig::builder().with_no_client_auth().unwrap();
    let mut server = server.with_single_cert(vec![certificate.clone()], key.clone_key()).unwrap();
    server.set_message_trace(observer(&lines[1])).set_transport(transport).set_ticket_count(1);
    // Certificates travel as they are, whatever the features.
    client.set_cert_decompressors(vec![]);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let client = Connection::client(Arc::new(client), Some(name), now).unwrap();
    let server = Connection::server(Arc::new(server), now).unwrap();
    (Pair { client, server, now }, lines)
}

fn taken(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut *lines.lock().unwrap())
}

#[test]
fn a_handshake_is_shown_as_it_goes() {
    let (mut pair, [client, server]) = traced(ProtocolVersion::DTLS1_2, 1200);
    pair.run();
    let expected = [
        "> CLIENT_HELLO",
        "< SERVER_HELLO",
        "< CERTIFICATE",
        "< SERVER_KEY_EXCHANGE",
        "< SERVER_HELLO_DONE",
        "> CLIENT_KEY_EXCHANGE",
        "> ChangeCipherSpec",
        "> FINISHED",
        "< NEW_SESSION_TICKET",
        "< ChangeCipherSpec",
        "< FINISHED",
    ];
    assert_eq!(taken(&client), expected);
    let mirrored = |line: &&str| match line.split_at(1) {
        ("<", rest) => format!(">{rest}"),
        (_, rest) => format!("<{rest}"),
    };
    assert_eq!(taken(&server), expected.iter().map(mirrored).collect::<Vec<_>>());

    let (mut pair, [client, server]) = traced(ProtocolVersion::DTLS1_3, 1200);
    pair.run();
    let flight = ["SERVER_HELLO", "ENCRYPTED_EXTENSIONS", "CERTIFICATE", "CERTIFICATE_VERIFY", "FINISHED"];
    let mut expected = vec!["> CLIENT_HELLO".to_owned()];
    expected.extend(flight.map(|message| format!("< {message}")));
    expected.extend(["> FINISHED", "< ACK 1", "< NEW_SESSION_TICKET"].map(str::to_owned));
    assert_eq!(taken(&client), expected);
    assert_eq!(taken(&server).last().map(String::as_str), Some("> NEW_SESSION_TICKET"));
    pair.client.close(pair.now);
    pair.run();
    assert!(taken(&client).contains(&"> 1 CLOSE_NOTIFY".to_owned()));
    assert!(taken(&server).contains(&"< 1 CLOSE_NOTIFY".to_owned()));
}

#[test]
fn fragments_are_shown_each_time_they_are_sent_and_messages_when_they_are_whole() {
    for version in VERSIONS {
        let (mut pair, [client, server]) = traced(version, 100);
        let lost = pair.up();
        let sent = taken(&client);
        assert!(lost.len() > 1 && sent.len() >= lost.len());
        assert!(sent[0].starts_with("> CLIENT_HELLO 0+"), "{sent:?}");
        assert!(taken(&server).is_empty());
        pair.sleep();
        pair.up().iter().for_each(|datagram| assert_eq!(give(&mut pair.server, datagram, pair.now), Ok(vec![])));
        assert_eq!(taken(&client), sent);
        assert_eq!(taken(&server), ["< CLIENT_HELLO"]);
    }
}

#[test]
fn alerts_are_shown() {
    for version in VERSIONS {
        let (mut pair, [client, server]) = traced(version, 1200);
        let hello = pair.up();
        pair.give_server(&hello);
        pair.server.abort(crate::wire::AlertDescription::INTERNAL_ERROR);
        let alert = pair.down();
        assert!(
            give(&mut pair.client, alert.last().unwrap(), pair.now).is_err() || version == ProtocolVersion::DTLS1_3
        );
        assert_eq!(taken(&server).last().map(String::as_str), Some("> 2 INTERNAL_ERROR"));
        if version == ProtocolVersion::DTLS1_2 {
            assert_eq!(taken(&client).last().map(String::as_str), Some("< 2 INTERNAL_ERROR"));
        }
    }
}
