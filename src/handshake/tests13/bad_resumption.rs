//! What a peer may try with sessions, and how it ends (RFC 8446 §4.2.9, §4.2.11, §4.6.1).

use super::super::{HandshakeKind, Input};
use super::pair::{Failure, Setup};
use super::resumption::{World, refused, retried};
use crate::crypto::Role;
use crate::error::PeerMisbehaved;
use crate::wire::{
    AlertDescription, CipherSuite, Malformed,
    codec::{Put, Reader},
    enums::{ExtensionType, HandshakeType},
    extensions::{Extensions, put_extension},
    handshake::Message,
    hello::ServerHello,
    post_handshake::NewSessionTicket13,
};

/// RFC 8446 §4.2.11.2: "If this value is not present or does not validate, the server MUST abort the handshake."
#[test]
fn a_binder_that_is_wrong_by_a_bit_is_refused() {
    for setup in [Setup::default(), retried()] {
        for bit in [0, 100, 255] {
            let world = World::primed(&setup);
            let result = world.altered(Role::Client, HandshakeType::CLIENT_HELLO, |body| {
                let start = body.len() - 32;
                body[start + bit / 8] ^= 1 << (bit % 8);
            });
            refused(result, Role::Server, PeerMisbehaved::BinderMismatch, AlertDescription::DECRYPT_ERROR);
        }
    }
}

/// What the binder covers is everything before it.
#[test]
fn a_hello_that_was_changed_under_its_binder_is_refused() {
    let world = World::primed(&Setup::default());
    let result = world.altered(Role::Client, HandshakeType::CLIENT_HELLO, |body| body[2] ^= 1);
    refused(result, Role::Server, PeerMisbehaved::BinderMismatch, AlertDescription::DECRYPT_ERROR);
}

/// Rewrites the extensions of a hello whose block begins at `start`.
fn rewrite(body: &mut Vec<u8>, start: usize, change: impl FnOnce(&mut Vec<(ExtensionType, Vec<u8>)>)) {
    let mut r = Reader::new(&body[start..]);
    let block = Extensions::read(&mut r).unwrap();
    let mut extensions: Vec<_> = block.iter().map(|(ty, data)| (ty, data.to_vec())).collect();
    change(&mut extensions);
    body.truncate(start);
    body.put_vec::<2>(|out| {
        extensions.iter().for_each(|(ty, data)| put_extension(out, *ty, |out| out.put(data)));
    });
}

/// Where the extensions of our ClientHello begin: behind version, random, two empty vectors, one suite and a compression
/// method.
const CLIENT_EXTENSIONS: usize = 2 + 32 + 1 + 1 + 4 + 2;
/// And of our ServerHello.
const SERVER_EXTENSIONS: usize = 2 + 32 + 1 + 2 + 1;

fn client_altered(world: &World, change: impl Fn(&mut Vec<(ExtensionType, Vec<u8>)>)) -> Result<(), Failure> {
    world.altered(Role::Client, HandshakeType::CLIENT_HELLO, |body| rewrite(body, CLIENT_EXTENSIONS, &change))
}

fn server_altered(world: &World, change: impl Fn(&mut Vec<(ExtensionType, Vec<u8>)>)) -> Result<(), Failure> {
    world.altered(Role::Server, HandshakeType::SERVER_HELLO, |body| rewrite(body, SERVER_EXTENSIONS, &change))
}

#[test]
fn pre_shared_key_must_be_last() {
    let world = World::primed(&Setup::default());
    let result = client_altered(&world, |extensions| extensions.rotate_right(1));
    refused(result, Role::Server, Malformed::PreSharedKeyNotLast, AlertDescription::ILLEGAL_PARAMETER);
}

#[test]
fn pre_shared_key_must_be_there_once() {
    let world = World::primed(&Setup::default());
    let result = client_altered(&world, |extensions| extensions.push(extensions.last().unwrap().clone()));
    refused(result, Role::Server, Malformed::DuplicateExtension, AlertDescription::DECODE_ERROR);
}

/// RFC 8446 §4.2.9.
#[test]
fn a_psk_without_modes_is_refused() {
    let world = World::primed(&Setup::default());
    let result = client_altered(&world, |extensions| {
        extensions.retain(|(ty, _)| *ty != ExtensionType::PSK_KEY_EXCHANGE_MODES);
    });
    let error = PeerMisbehaved::MissingPskKeyExchangeModes;
    refused(result, Role::Server, error, AlertDescription::MISSING_EXTENSION);
}

/// `psk_ke` alone (RFC 8446 §4.2.9) is of no use here, and nobody's fault: what fails is the transcript that was changed.
#[test]
fn a_psk_without_key_exchange_is_not_taken() {
    let world = World::primed(&Setup::default());
    let result = client_altered(&world, |extensions| {
        let modes = extensions.iter_mut().find(|(ty, _)| *ty == ExtensionType::PSK_KEY_EXCHANGE_MODES);
        modes.unwrap().1 = vec![1, 0];
    });
    assert_eq!(result, Err((Role::Client, PeerMisbehaved::BadSignature.into())));
}

/// Z3: PSK in ClientHello1 but not 2. RFC 8446 §4.1.2 allows it ("optionally removing any PSKs").
#[test]
fn z3_a_psk_that_is_gone_after_the_retry_is_a_full_handshake() {
    let world = World::primed(&retried());
    let mut hellos = 0;
    let result = world.pair().run_with(|_, batch| {
        for (_, message) in batch.iter_mut().filter(|(_, m)| m.msg_type == HandshakeType::CLIENT_HELLO) {
            hellos += 1;
            if hellos == 2 {
                rewrite(&mut message.body, CLIENT_EXTENSIONS, |extensions| {
                    assert_eq!(extensions.pop().unwrap().0, ExtensionType::PRE_SHARED_KEY);
                });
            }
        }
    });
    // The server signs a transcript that is not the client's.
    assert_eq!(result, Err((Role::Client, PeerMisbehaved::BadSignature.into())));
}

/// Z3: as many binders as identities (RFC 8446 §4.2.11).
#[test]
fn z3_other_numbers_of_binders_are_refused() {
    for setup in [Setup::default(), retried()] {
        let world = World::primed(&setup);
        let result = client_altered(&world, |extensions| {
            let psks = &mut extensions.last_mut().unwrap().1;
            let start = psks.len() - 35;
            let binder = psks[start + 2..].to_vec();
            psks.truncate(start);
            psks.put_vec::<2>(|out| out.put(&[&binder[..], &binder[..]].concat()));
        });
        refused(result, Role::Server, PeerMisbehaved::BinderCountMismatch, AlertDescription::ILLEGAL_PARAMETER);
    }
}

/// Several identities: the first that opens is taken, whatever stands before it.
#[test]
fn unknown_identities_before_a_good_one_are_passed_over() {
    for (unknown, found) in [(1, true), (3, true), (4, false)] {
        let world = World::primed(&Setup::default());
        let mut selected = Vec::new();
        let result = world.pair().run_with(|role, batch| {
            for (_, message) in batch.iter_mut() {
                match (role, message.msg_type) {
                    (Role::Client, HandshakeType::CLIENT_HELLO) => {
                        rewrite(&mut message.body, CLIENT_EXTENSIONS, |extensions| {
                            let psks = &mut extensions.last_mut().unwrap().1;
                            let (identities, binder) = psks.split_at(psks.len() - 35);
                            let mut out = Vec::new();
                            out.put_vec::<2>(|out| {
                                (0..unknown).for_each(|_| out.put(b"\0\x07unknown\0\0\0\0"));
                                out.put(&identities[2..]);
                            });
                            out.put_vec::<2>(|out| (0..=unknown).for_each(|_| out.put(&binder[2..])));
                            *psks = out;
                        });
                    }
                    (Role::Server, HandshakeType::SERVER_HELLO) => {
                        let hello = ServerHello::read(&message.body).unwrap();
                        selected.push(hello.selected_identity().unwrap());
                    }
                    _ => {}
                }
            }
        });
        // The binder covers what was rewritten: that it is found wrong shows that the identity was found.
        match found {
            true => refused(result, Role::Server, PeerMisbehaved::BinderMismatch, AlertDescription::DECRYPT_ERROR),
            false => assert_eq!(selected, [None]),
        }
    }
}

/// RFC 8446 §4.2.11: "clients MUST verify that the server's selected_identity is within the range".
#[test]
fn a_selected_identity_out_of_range_is_refused() {
    let world = World::primed(&Setup::default());
    for selected in [1u16, 2, 0xffff] {
        world.run(HandshakeKind::Resumed);
        let result = server_altered(&world, |extensions| {
            let psk = extensions.iter_mut().find(|(ty, _)| *ty == ExtensionType::PRE_SHARED_KEY);
            psk.unwrap().1 = selected.to_be_bytes().to_vec();
        });
        refused(result, Role::Client, PeerMisbehaved::SelectedUnofferedPsk, AlertDescription::ILLEGAL_PARAMETER);
    }
}

#[test]
fn a_psk_with_a_suite_of_another_hash_is_refused() {
    let suites = vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_AES_256_GCM_SHA384];
    let world = World::primed(&Setup { suites, ..Setup::default() });
    let result = world.altered(Role::Server, HandshakeType::SERVER_HELLO, |body| {
        body[35..37].copy_from_slice(&CipherSuite::TLS_AES_256_GCM_SHA384.0.to_be_bytes());
    });
    refused(result, Role::Client, PeerMisbehaved::SelectedUnofferedPsk, AlertDescription::ILLEGAL_PARAMETER);
}

#[test]
fn a_psk_without_key_share_is_refused() {
    let world = World::primed(&Setup::default());
    let result = server_altered(&world, |extensions| extensions.retain(|(ty, _)| *ty != ExtensionType::KEY_SHARE));
    refused(result, Role::Client, PeerMisbehaved::PskWithoutKeyShare, AlertDescription::ILLEGAL_PARAMETER);
}

#[test]
fn a_psk_that_nobody_offered_is_refused() {
    let world = World::new(&Setup::default());
    let result = server_altered(&world, |extensions| {
        extensions.push((ExtensionType::PRE_SHARED_KEY, vec![0, 0]));
    });
    refused(result, Role::Client, PeerMisbehaved::UnsolicitedExtension, AlertDescription::UNSUPPORTED_EXTENSION);
}

/// RFC 8446 §4.3.2: "Servers which are authenticating with a PSK MUST NOT send the CertificateRequest message".
#[test]
fn a_certificate_in_a_resumed_handshake_is_refused() {
    for msg_type in [HandshakeType::CERTIFICATE_REQUEST, HandshakeType::CERTIFICATE, HandshakeType::CERTIFICATE_VERIFY]
    {
        let world = World::primed(&Setup::default());
        let result = world.pair().run_with(|role, batch| {
            for (_, message) in batch.iter_mut().filter(|(_, m)| m.msg_type == HandshakeType::FINISHED) {
                if role == Role::Server {
                    message.msg_type = msg_type;
                }
            }
        });
        refused(result, Role::Client, PeerMisbehaved::UnexpectedMessage, AlertDescription::UNEXPECTED_MESSAGE);
    }
}

/// Z4: every part of a ticket is there, or it is none.
#[test]
fn z4_tickets_that_do_not_parse_are_refused() {
    let world = World::new(&Setup::default());
    let result = world.altered(Role::Server, HandshakeType::NEW_SESSION_TICKET, |body| body.truncate(body.len() - 3));
    let (role, error) = result.unwrap_err();
    assert_eq!((role, error.alert()), (Role::Client, Some(AlertDescription::DECODE_ERROR)));
}

/// RFC 8446 §4.6.1: tickets are the server's to give.
#[test]
fn a_ticket_from_a_client_is_refused() {
    let world = World::new(&Setup::default());
    let mut pair = world.run(HandshakeKind::Full);
    let body = NewSessionTicket13 { lifetime: 1, age_add: 2, nonce: &[3], ticket: &[4] }.encode();
    let message = Message { msg_type: HandshakeType::NEW_SESSION_TICKET, message_seq: 2, body: &body };
    let error = pair.server.handshake.handle(Input::Message(message)).unwrap_err();
    assert_eq!(error, PeerMisbehaved::UnexpectedMessage.into());
}
