//! Application protocols (RFC 7301) and the server's name (RFC 6066 §3).

use super::*;
use crate::error::PeerIncompatible;

fn pair(version: ProtocolVersion) -> Pair {
    let (mut client, mut server) = (client_config(version), server_config(version));
    client.set_alpn_protocols(vec![b"coap".to_vec(), b"h3".to_vec()]).unwrap();
    server.set_alpn_protocols(vec![b"h3".to_vec(), b"coap".to_vec()]).unwrap();
    Pair::new(client, server)
}

const ALPN: ExtensionType = ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION;

#[test]
fn lists_that_are_none() {
    for version in VERSIONS {
        let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
        for data in [&[][..], &[0, 0], &[0, 1, 0], &[0, 3, 1, b'a', 0], &[0, 2, 2, b'a'], &[0, 2, 1, b'a', 0]] {
            let result = with_extension(&mut pair(version), offer, ALPN, Some(data));
            assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{data:?}");
        }
        let strange = with_extension(&mut pair(version), offer, ALPN, Some(&[0, 2, 1, b'z']));
        assert_eq!(strange, Err((Role::Server, PeerIncompatible::NoCommonProtocol.into())));
        assert_eq!(alert(&strange), Some(AlertDescription::NO_APPLICATION_PROTOCOL));
    }
}

#[test]
fn answers_that_are_none() {
    for version in VERSIONS {
        let answer = (Role::Server, answers(version));
        // RFC 7301 §3.1: "MUST contain exactly one "ProtocolName"".
        for data in [&[][..], &[0, 0], &[0, 1, 0], &[0, 8, 2, b'h', b'3', 4, b'c', b'o', b'a', b'p']] {
            let result = with_extension(&mut pair(version), answer, ALPN, Some(data));
            assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{data:?}");
        }
        let unoffered = with_extension(&mut pair(version), answer, ALPN, Some(&[0, 3, 2, b'h', b'2']));
        assert_eq!(unoffered, Err((Role::Client, PeerMisbehaved::SelectedUnofferedProtocol.into())));
        assert_eq!(alert(&unoffered), Some(AlertDescription::ILLEGAL_PARAMETER));
    }
}

#[test]
fn names_that_are_none() {
    for version in VERSIONS {
        let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
        for data in [&[][..], &[0, 0], &[0, 3, 0, 0, 0], &[0, 4, 0, 0, 2, b'a']] {
            let result = with_extension(&mut pair(version), offer, ExtensionType::SERVER_NAME, Some(data));
            assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{data:?}");
        }
        let twice = [0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'];
        let twice = with_extension(&mut pair(version), offer, ExtensionType::SERVER_NAME, Some(&twice));
        assert_eq!(alert(&twice), Some(AlertDescription::ILLEGAL_PARAMETER));
        // "The "extension_data" field of this extension SHALL be empty" in an answer.
        let answer = (Role::Server, answers(version));
        let filled = with_extension(&mut pair(version), answer, ExtensionType::SERVER_NAME, Some(&[0]));
        assert_eq!(alert(&filled), Some(AlertDescription::DECODE_ERROR));
    }
}

/// Every extension that the ClientHello has, once more at its end; and the answers twice.
#[test]
fn nothing_stands_twice() {
    for version in VERSIONS {
        for (sender, msg_type) in [(Role::Client, HandshakeType::CLIENT_HELLO), (Role::Server, answers(version))] {
            let result = pair(version).run_with(|role, message| {
                if role == sender && message.msg_type == msg_type {
                    let at = block(&message.body, msg_type);
                    let list = message.body[at + 2..].to_vec();
                    message.body.extend_from_slice(&list);
                    let len = u16::try_from(2 * list.len()).unwrap().to_be_bytes();
                    message.body[at..at + 2].copy_from_slice(&len);
                }
            });
            // The pre_shared_key that is not last would be another matter; there is none.
            assert_eq!(result, Err((sender.peer(), Malformed::DuplicateExtension.into())));
            assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR));
        }
    }
}
