//! GREASE (RFC 8701), and the order of extensions.

use super::*;
use crate::wire::{NamedGroup, hello::ClientHello};

fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// A client that sends it, and a server that wants another group than the one that is shared.
fn pair(version: ProtocolVersion, retry: bool) -> Pair {
    let (mut client, mut server) = (client_config(version), server_config(version));
    client.send_grease().set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
    if retry {
        server.set_groups(&[NamedGroup::SECP256R1]).unwrap();
    }
    Pair::new(client, server)
}

#[test]
fn it_is_sent_and_tolerated() {
    for (version, retry) in VERSIONS.into_iter().zip([false, true]) {
        let mut pair = pair(version, retry);
        pair.run();
        let hellos: Vec<_> =
            pair.sent.iter().filter(|(_, message)| message.msg_type == HandshakeType::CLIENT_HELLO).collect();
        assert_eq!(hellos.len(), 1 + usize::from(retry));
        for (at, (_, message)) in hellos.into_iter().enumerate() {
            let hello = ClientHello::read(&message.body).unwrap();
            assert!(is_grease(hello.cipher_suites.iter().next().unwrap().0));
            assert!(is_grease(hello.known.supported_groups.unwrap().iter().next().unwrap().0));
            assert!(is_grease(hello.known.signature_schemes.unwrap().iter().next().unwrap().0));
            assert_eq!(hello.extensions.iter().filter(|(ty, _)| is_grease(ty.0)).count(), 2);
            if version == ProtocolVersion::DTLS1_3 {
                assert!(is_grease(hello.known.supported_versions.unwrap().iter().next().unwrap().0));
                let shares: Vec<_> =
                    hello.known.key_shares.unwrap().iter().map(|share| is_grease(share.group.0)).collect();
                assert_eq!(shares, if at == 0 { &[true, false][..] } else { &[false] });
            }
        }
    }
}

/// RFC 8701 §3.1: a client "MUST" refuse what a server negotiates of it.
#[test]
fn a_server_that_selects_it_selected_what_was_not_offered() {
    for version in VERSIONS {
        let mut suite = [0; 2];
        let result = pair(version, false).run_with(|role, message| match (role, message.msg_type) {
            (Role::Client, HandshakeType::CLIENT_HELLO) => {
                let hello = ClientHello::read(&message.body).unwrap();
                suite = hello.cipher_suites.iter().next().unwrap().0.to_be_bytes();
            }
            (Role::Server, HandshakeType::SERVER_HELLO) => message.body[35..37].copy_from_slice(&suite),
            _ => {}
        });
        assert_eq!(result, Err((Role::Client, PeerMisbehaved::SelectedUnofferedCipherSuite.into())));
        let mut ty = ExtensionType(0);
        let result = pair(version, false).run_with(|role, message| match (role, message.msg_type) {
            (Role::Client, HandshakeType::CLIENT_HELLO) => {
                let hello = ClientHello::read(&message.body).unwrap();
                ty = hello.extensions.iter().find(|(ty, _)| is_grease(ty.0)).unwrap().0;
            }
            (Role::Server, msg_type) if msg_type == answers(version) => put(message, ty, Some(&[])),
            _ => {}
        });
        assert_eq!(result, Err((Role::Client, PeerMisbehaved::UnsolicitedExtension.into())));
    }
}

#[test]
fn none_is_sent_by_default() {
    for version in VERSIONS {
        let mut pair = Pair::new(client_config(version), server_config(version));
        pair.run();
        let hello = pair.message(Role::Client, HandshakeType::CLIENT_HELLO).unwrap();
        let hello = ClientHello::read(&hello.body).unwrap();
        assert!(!hello.extensions.iter().any(|(ty, _)| is_grease(ty.0)));
        assert!(!hello.cipher_suites.iter().any(|suite| is_grease(suite.0)));
    }
}

/// The types in the ClientHellos of a handshake that resumes a session, with a retry.
fn orders(permute: bool) -> Vec<Vec<u16>> {
    let (mut client, mut server) = (client_config(ProtocolVersion::DTLS1_3), server_config(ProtocolVersion::DTLS1_3));
    client.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
    server.set_groups(&[NamedGroup::SECP256R1]).unwrap();
    if permute {
        client.permute_extensions();
    }
    let mut orders = Vec::new();
    for round in 0..2 {
        let mut pair = Pair::new(client.clone(), server.clone());
        pair.run();
        let hellos = pair.sent.iter().filter(|(_, message)| message.msg_type == HandshakeType::CLIENT_HELLO);
        let types = |hello: ClientHello<'_>| hello.extensions.iter().map(|(ty, _)| ty.0).collect();
        if round == 1 {
            orders = hellos.map(|(_, message)| types(ClientHello::read(&message.body).unwrap())).collect();
        }
    }
    orders
}

/// RFC 8446 §4.2, §4.2.11.
#[test]
fn extensions_come_in_any_order_but_for_the_last() {
    const LAST: u16 = ExtensionType::PRE_SHARED_KEY.0;
    let usual = orders(false).remove(0);
    assert_eq!(orders(false)[0], usual);
    let sorted = |mut types: Vec<u16>| {
        types.sort_unstable();
        types
    };
    let mut seen = std::collections::HashSet::new();
    for _ in 0..8 {
        let hellos = orders(true);
        for hello in &hellos {
            assert_eq!(hello.last(), Some(&LAST));
            assert_eq!(sorted(hello.clone()), sorted(usual.clone()));
        }
        // A retry changes nothing but what it must (RFC 8446 §4.1.2).
        assert_eq!(hellos[0], hellos[1]);
        seen.insert(hellos[0].clone());
    }
    assert!(seen.len() > 4, "hardly two of {} orders are the same", seen.len());
}
