//! record_size_limit (RFC 8449) and max_fragment_length (RFC 6066 §4).

use super::*;
use crate::config::TransportConfig;

fn pair(version: ProtocolVersion, client: usize, server: usize) -> Pair {
    let (mut ours, mut theirs) = (client_config(version), server_config(version));
    let limited = |limit| {
        let mut transport = TransportConfig::new();
        transport.set_record_size_limit(limit).unwrap();
        transport
    };
    ours.set_transport(limited(client));
    theirs.set_transport(limited(server));
    Pair::new(ours, theirs)
}

#[test]
fn each_end_tells_its_own() {
    for version in VERSIONS {
        let mut pair = pair(version, 512, 64);
        pair.run();
        assert_eq!(pair.limits[0], Some(ContentLimits { send: 64, receive: 512 }));
        assert_eq!(pair.limits[1], Some(ContentLimits { send: 512, receive: 64 }));
        // "The value includes the content type" in 1.3 (RFC 8449 §4).
        let told = |role, msg_type| pair.extension(role, msg_type, ExtensionType::RECORD_SIZE_LIMIT).unwrap();
        let expected: [[u8; 2]; 2] =
            if version == ProtocolVersion::DTLS1_3 { [[2, 1], [0, 65]] } else { [[2, 0], [0, 64]] };
        assert_eq!(told(Role::Client, HandshakeType::CLIENT_HELLO), expected[0]);
        assert_eq!(told(Role::Server, answers(version)), expected[1]);
    }
}

#[test]
fn the_most_is_told_and_changes_nothing() {
    for version in VERSIONS {
        let mut pair = Pair::new(client_config(version), server_config(version));
        pair.run();
        assert_eq!(pair.limits, [None; 2]);
        assert!(pair.extension(Role::Server, answers(version), ExtensionType::RECORD_SIZE_LIMIT).is_some());
    }
}

#[test]
fn limits_that_are_none() {
    for version in VERSIONS {
        for (sender, msg_type) in [(Role::Client, HandshakeType::CLIENT_HELLO), (Role::Server, answers(version))] {
            let told = |data: &[u8]| {
                let mut pair = pair(version, 512, 512);
                with_extension(&mut pair, (sender, msg_type), ExtensionType::RECORD_SIZE_LIMIT, Some(data))
            };
            let too_small = told(&[0, 63]);
            assert_eq!(too_small, Err((sender.peer(), PeerMisbehaved::BadRecordSizeLimit.into())));
            assert_eq!(alert(&too_small), Some(AlertDescription::ILLEGAL_PARAMETER));
            assert_ne!(told(&[0, 64]), too_small);
            for data in [&[][..], &[9], &[1, 0, 0]] {
                assert_eq!(alert(&told(data)), Some(AlertDescription::DECODE_ERROR));
            }
        }
    }
}

/// "A server MUST NOT enforce this restriction" (RFC 8449 §4), and sends no more than the protocol allows.
#[test]
fn more_than_the_protocol_allows() {
    for version in VERSIONS {
        let mut pair = pair(version, 512, 512);
        let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
        let _ = with_extension(&mut pair, offer, ExtensionType::RECORD_SIZE_LIMIT, Some(&[0xff, 0xff]));
        assert_eq!(pair.limits[1], Some(ContentLimits { send: 1 << 14, receive: 512 }));
    }
}

/// For old clients: the same in both directions, by the code that they sent.
#[test]
fn max_fragment_length_of_old_clients() {
    for version in VERSIONS {
        for (code, len) in [(1, 512), (2, 1024), (3, 2048), (4, 4096)] {
            let mut pair = pair(version, 512, 100);
            let _ = pair.run_with(|role, message| {
                if role == Role::Client && message.msg_type == HandshakeType::CLIENT_HELLO {
                    put(message, ExtensionType::RECORD_SIZE_LIMIT, None);
                    put(message, ExtensionType::MAX_FRAGMENT_LENGTH, Some(&[code]));
                }
            });
            assert_eq!(pair.limits[1], Some(ContentLimits { send: len, receive: len }));
            let answer = |ty| pair.extension(Role::Server, answers(version), ty);
            assert_eq!(answer(ExtensionType::MAX_FRAGMENT_LENGTH), Some(vec![code]));
            assert_eq!(answer(ExtensionType::RECORD_SIZE_LIMIT), None);
        }
    }
}

#[test]
fn max_fragment_length_is_ignored_beside_record_size_limit() {
    for version in VERSIONS {
        // Not even a code that does not exist matters (RFC 8449 §5).
        for code in [1, 9] {
            let mut pair = pair(version, 600, 700);
            let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
            let _ = with_extension(&mut pair, offer, ExtensionType::MAX_FRAGMENT_LENGTH, Some(&[code]));
            assert_eq!(pair.limits[1], Some(ContentLimits { send: 600, receive: 700 }));
            assert_eq!(pair.extension(Role::Server, answers(version), ExtensionType::MAX_FRAGMENT_LENGTH), None);
        }
    }
}

#[test]
fn max_fragment_lengths_that_are_none() {
    for version in VERSIONS {
        for code in [0, 5, 255] {
            let mut pair = pair(version, 512, 512);
            let result = pair.run_with(|role, message| {
                if role == Role::Client && message.msg_type == HandshakeType::CLIENT_HELLO {
                    put(message, ExtensionType::RECORD_SIZE_LIMIT, None);
                    put(message, ExtensionType::MAX_FRAGMENT_LENGTH, Some(&[code]));
                }
            });
            assert_eq!(result, Err((Role::Server, PeerMisbehaved::BadMaxFragmentLength.into())));
            assert_eq!(alert(&result), Some(AlertDescription::ILLEGAL_PARAMETER));
        }
        // We never ask for it.
        let mut pair = pair(version, 512, 512);
        let answer = (Role::Server, answers(version));
        let unasked = with_extension(&mut pair, answer, ExtensionType::MAX_FRAGMENT_LENGTH, Some(&[1]));
        assert_eq!(unasked, Err((Role::Client, PeerMisbehaved::UnsolicitedExtension.into())));
    }
}
