//! Single sentences of RFC 8446 that nothing else here shows; docs/RFC.md lists all of them.

use super::hostile::{client, retried, server};
use super::pair::{Failure, Pair, Setup, altered, established};
use super::{SERVER_EXTENSIONS, append_extension};
use crate::config::KeyShares;
use crate::crypto::Role;
use crate::error::PeerMisbehaved;
use crate::wire::{
    CipherSuite, NamedGroup, ProtocolVersion,
    enums::{ExtensionType, HandshakeType},
    handshake::OwnedMessage,
    hello::{ClientHello, HELLO_RETRY_REQUEST_RANDOM, ServerHello},
};

const SUITE: usize = 2 + 32 + 1;
const VERSION: usize = SERVER_EXTENSIONS + 2 + 4;
const GROUP: usize = VERSION + 2 + 4;

/// The hellos of both ends in a handshake that succeeds.
fn hellos(setup: &Setup) -> [Vec<Vec<u8>>; 2] {
    let mut hellos = [vec![], vec![]];
    Pair::new(setup)
        .run_with(|_, batch| {
            for (_, OwnedMessage { msg_type, body, .. }) in batch {
                match *msg_type {
                    HandshakeType::CLIENT_HELLO => hellos[0].push(body.clone()),
                    HandshakeType::SERVER_HELLO => hellos[1].push(body.clone()),
                    _ => (),
                }
            }
        })
        .unwrap();
    hellos
}

/// Where the extensions of a ClientHello begin, their length first.
fn client_extensions(body: &[u8]) -> usize {
    let hello = ClientHello::read(body).unwrap();
    body.len() - 2 - hello.extensions.iter().map(|(_, data)| data.len() + 4).sum::<usize>()
}

/// Version, random, session id, compression method and extensions of what a server answers, a retry and the ServerHello.
#[test]
fn rfc8446_4_1_3_what_a_server_hello_says() {
    let mut randoms = Vec::new();
    for setup in [Setup::default(), retried()] {
        let [clients, servers] = hellos(&setup);
        for body in &servers {
            assert_eq!((body[..2].to_vec(), body[34], body[SUITE + 2]), (vec![0xfe, 0xfd], 0, 0));
            let types: Vec<_> = ServerHello::read(body).unwrap().extensions.iter().map(|(ty, _)| ty).collect();
            assert_eq!(types, [ExtensionType::SUPPORTED_VERSIONS, ExtensionType::KEY_SHARE]);
            assert_eq!(body[VERSION..VERSION + 2], [0xfe, 0xfc]);
        }
        let last = servers.last().unwrap();
        randoms.push(last[2..34].to_vec());
        assert!(servers[..servers.len() - 1].iter().all(|body| body[2..34] == HELLO_RETRY_REQUEST_RANDOM));
        randoms.extend(clients.first().map(|body| body[2..34].to_vec()));
        assert!(!last[2..34].starts_with(b"DOWNGRD") && !last[26..34].starts_with(b"DOWNGRD"));
    }
    let distinct = randoms.iter().filter(|one| randoms.iter().filter(|other| other == one).count() == 1).count();
    assert_eq!(distinct, 4, "each is drawn for itself");
}

/// "Upon receipt of a HelloRetryRequest, the client MUST check the legacy_version, legacy_session_id_echo, cipher_suite, and
/// legacy_compression_method".
#[test]
fn rfc8446_4_1_4_a_retry_is_checked_like_a_server_hello() {
    let request = |change: fn(&mut Vec<u8>)| altered(&retried(), Role::Server, HandshakeType::SERVER_HELLO, change);
    assert_eq!(request(|body| body[1] = 0xfc), client(PeerMisbehaved::SelectedUnofferedVersionInExtension));
    assert_eq!(request(|body| drop(body.splice(34..35, [1, 7]))), client(PeerMisbehaved::LegacySessionIdEchoed));
    assert_eq!(request(|body| body[SUITE + 1] = 9), client(PeerMisbehaved::SelectedUnofferedCipherSuite));
    assert_eq!(request(|body| body[SUITE + 2] = 1), client(PeerMisbehaved::SelectedUnofferedCompression));
    assert_eq!(request(|body| body[VERSION + 1] = 0xfb), client(PeerMisbehaved::SelectedUnofferedVersionInExtension));
}

/// Suite, version and group of the ServerHello are those of the HelloRetryRequest.
#[test]
fn rfc8446_4_1_4_the_suite_and_the_version_of_a_retry_are_kept() {
    let suites = vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_CHACHA20_POLY1305_SHA256];
    let second = |change: fn(&mut Vec<u8>)| -> Result<(), Failure> {
        let mut hellos = 0;
        Pair::new(&Setup { suites: suites.clone(), ..retried() }).run_with(|sender, batch| {
            if let (Role::Server, Some((_, hello))) = (sender, batch.first_mut()) {
                hellos += 1;
                if hellos == 2 {
                    change(&mut hello.body);
                }
            }
        })
    };
    assert_eq!(second(|_| ()), Ok(()));
    assert_eq!(second(|body| body[SUITE + 1] ^= 2), client(PeerMisbehaved::CipherSuiteChangedAfterRetry));
    assert_eq!(second(|body| body[VERSION + 1] = 0xfd), client(PeerMisbehaved::SelectedUnofferedVersionInExtension));
    // The group of the first ClientHello's share, and one of which no share was sent.
    for group in [29, 24] {
        let failed = second(match group {
            29 => |body| body[GROUP + 1] = 29,
            _ => |body| body[GROUP + 1] = 24,
        });
        assert_eq!(failed, client(PeerMisbehaved::KeyShareGroupMismatch), "{group}");
    }
}

/// "containing all versions of TLS which they are prepared to negotiate", the preferred one first.
#[test]
fn rfc8446_4_2_1_all_versions_are_offered() {
    let client_versions = vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2];
    let suites = vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let [clients, _] = hellos(&Setup { client_versions: client_versions.clone(), suites, ..Setup::default() });
    let hello = ClientHello::read(&clients[0]).unwrap();
    assert_eq!(hello.known.supported_versions.unwrap().iter().collect::<Vec<_>>(), client_versions);
}

/// "Each KeyShareEntry value MUST correspond to a group offered in the "supported_groups" extension and MUST appear in the
/// same order", one for each group at most.
#[test]
fn rfc8446_4_2_8_shares_are_of_groups_offered_in_their_order() {
    let all = vec![NamedGroup::X25519MLKEM768, NamedGroup::SECP256R1, NamedGroup::X25519, NamedGroup::SECP384R1];
    for shares in [KeyShares::Classical, KeyShares::HybridFirst] {
        let setup = Setup { client_groups: all.clone(), server_groups: all.clone(), shares, ..Setup::default() };
        for body in &hellos(&setup)[0] {
            let hello = ClientHello::read(body).unwrap();
            let mut offered = hello.known.supported_groups.unwrap().iter();
            for share in hello.known.key_shares.unwrap().iter() {
                assert!(offered.any(|group| group == share.group), "{shares:?}: {:?} is out of order", share.group);
            }
        }
    }
}

/// A server without early data "ignore[s] the extension and return[s] a regular 1-RTT response": the client is the first to
/// notice, by the transcript.
#[test]
fn rfc8446_4_2_10_early_data_is_passed_over() {
    let offered = altered(&Setup::default(), Role::Client, HandshakeType::CLIENT_HELLO, |body| {
        append_extension(body, client_extensions(body), ExtensionType::EARLY_DATA, &[]);
    });
    assert_eq!(offered, client(PeerMisbehaved::BadSignature));
}

/// "Clients MUST ignore unrecognized extensions."
#[test]
fn rfc8446_4_6_1_unknown_extensions_of_a_ticket_are_ignored() {
    let ticket = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 4, 0xfa, 0xfa, 0, 0];
    let message =
        |body: &[u8]| OwnedMessage { msg_type: HandshakeType::NEW_SESSION_TICKET, message_seq: 9, body: body.to_vec() };
    let mut pair = established(&Setup::default());
    assert_eq!(pair.client.give(&message(&ticket)), Ok(()));
    assert!(pair.client.give(&message(&ticket[..ticket.len() - 1])).is_err());
}

/// A ClientHello without one of the mandatory extensions is answered with missing_extension.
#[test]
fn rfc8446_9_2_what_a_client_hello_must_have() {
    for (ty, missing) in [
        (ExtensionType::SIGNATURE_ALGORITHMS, PeerMisbehaved::MissingSignatureAlgorithms),
        (ExtensionType::SUPPORTED_GROUPS, PeerMisbehaved::MissingSupportedGroups),
        (ExtensionType::KEY_SHARE, PeerMisbehaved::MissingKeyShare),
    ] {
        let failed = altered(&Setup::default(), Role::Client, HandshakeType::CLIENT_HELLO, |body| {
            let mut at = client_extensions(body) + 2;
            while body[at..at + 2] != ty.0.to_be_bytes() {
                at += 4 + usize::from(u16::from_be_bytes([body[at + 2], body[at + 3]]));
            }
            // One that nobody knows, in its place.
            body[at..at + 2].copy_from_slice(&[0xfa, 0xfa]);
        });
        assert_eq!(failed, server(missing));
        assert_eq!(failed.unwrap_err().1.alert(), Some(crate::wire::AlertDescription::MISSING_EXTENSION));
    }
}
