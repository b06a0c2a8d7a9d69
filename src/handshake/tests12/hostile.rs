//! What a peer may try, and how it ends (RFC 5246 §7.2.2, §7.3, §7.4).

use super::pair::*;
use super::*;
use crate::wire::{AlertDescription, SignatureScheme, hello::DOWNGRADE_TO_1_2, key_exchange::ServerKeyExchange};
use rustls::CertificateError;

#[test]
fn p3_a_server_hello_must_keep_to_the_offer() {
    let setup = Setup { suites: [&ECDSA_SUITES[..1]; 2], ..Setup::default() };
    let change = |change: &dyn Fn(&mut Vec<u8>)| altered(&setup, T::SERVER_HELLO, Role::Server, change);
    assert_eq!(change(&|body| body[SUITE + 1] = 0x2c), client(PeerMisbehaved::SelectedUnofferedCipherSuite));
    assert_eq!(
        change(&|body| body[SUITE..COMPRESSION].copy_from_slice(&[0x13, 1])),
        client(PeerMisbehaved::SelectedUnofferedCipherSuite)
    );
    assert_eq!(change(&|body| body[COMPRESSION] = 1), client(PeerMisbehaved::SelectedUnofferedCompression));
    assert_eq!(change(&|body| body[1] = 0xff), client(PeerMisbehaved::SelectedUnofferedVersion));
    for (ty, data, expected) in [
        (ExtensionType::USE_SRTP, &[][..], PeerMisbehaved::UnsolicitedExtension),
        (ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION, &[0, 2, 1, 9], PeerMisbehaved::UnsolicitedExtension),
        (ExtensionType::SIGNATURE_ALGORITHMS, &[], PeerMisbehaved::ExtensionInWrongMessage),
    ] {
        assert_eq!(change(&|body| append_extension(body, ty, data)), client(expected), "{ty:?}");
    }
    // A session id says nothing, and supported_groups is put up with; the Finished betrays both changes.
    let tolerated = server(PeerMisbehaved::FinishedMismatch);
    assert_eq!(change(&|body| drop(body.splice(34..35, [2, 7, 7]))), tolerated);
    assert_eq!(change(&|body| append_extension(body, ExtensionType::SUPPORTED_GROUPS, &[0, 2, 0, 29])), tolerated);
    // The order of our ServerHello: server_name, renegotiation_info, extended_master_secret, ec_point_formats.
    let find = |body: &[u8], ty| {
        server_extensions(body).find(ty).map(|data| data.as_ptr() as usize - body.as_ptr() as usize).unwrap()
    };
    let formats = change(&|body| {
        let at = find(body, ExtensionType::EC_POINT_FORMATS);
        body[at + 1] = 1;
    });
    assert_eq!(formats, client(PeerMisbehaved::UncompressedPointFormatMissing));
    let renegotiation = change(&|body| {
        let at = find(body, ExtensionType::RENEGOTIATION_INFO);
        let length = u16::from_be_bytes([body[EXTENSIONS], body[EXTENSIONS + 1]]) + 12;
        body.splice(at..=at, [12; 13]);
        body[at - 1] = 13;
        body[EXTENSIONS..EXTENSIONS + 2].copy_from_slice(&length.to_be_bytes());
    });
    assert_eq!(renegotiation, client(PeerMisbehaved::BadRenegotiationInfo));
}

/// Every message left out, doubled, or swapped with the next one.
#[test]
fn s6_every_message_has_its_place() {
    let flights: [(Role, &[T], usize); 3] = [
        (Role::Server, &[T::SERVER_HELLO, T::CERTIFICATE, T::SERVER_KEY_EXCHANGE, T::CERTIFICATE_REQUEST], 5),
        (Role::Client, &[T::CERTIFICATE], 5),
        (Role::Server, &[T::NEW_SESSION_TICKET, T::FINISHED], 3),
    ];
    type Edit = fn(&mut Vec<Sent>, usize);
    let edits: [(&str, Edit); 3] = [
        ("dropped", |batch, at| drop(batch.remove(at))),
        ("doubled", |batch, at| batch.insert(at, batch[at].clone())),
        ("swapped", |batch, at| batch.swap(at, at + 1)),
    ];
    for (role, types, len) in flights {
        for at in 0..len {
            for (what, edit) in edits {
                // The last one left out is only missing.
                if at + 1 == len && what != "doubled" {
                    continue;
                }
                let outcome = Pair::new(&mutual()).run_with(|sender, batch| {
                    if sender == role && types.iter().all(|ty| batch.iter().any(|sent| sent.is(*ty))) {
                        assert_eq!(batch.len(), len);
                        edit(batch, at);
                    }
                });
                let requested = role == Role::Server && len == 5;
                let expected = match (what, at) {
                    // The client sends no certificate then, and the server asked for one.
                    ("dropped", 3) if requested => (Role::Server, PeerMisbehaved::UnexpectedMessage),
                    ("doubled", 4) if role == Role::Client => (Role::Server, PeerMisbehaved::RenegotiationAttempted),
                    ("doubled", 2) if len == 3 => (Role::Client, PeerMisbehaved::RenegotiationAttempted),
                    _ => (role.peer(), PeerMisbehaved::UnexpectedMessage),
                };
                assert_eq!(outcome, Err((expected.0, expected.1.into())), "{role:?} {len} {at} {what}");
            }
        }
    }
}

/// A handshake begun anew in its middle, and messages of the other role.
#[test]
fn no_message_restarts_a_handshake() {
    let mut hello = Vec::new();
    let mut first = Pair::new(&mutual());
    first
        .run_with(|role, batch| {
            if role == Role::Client && hello.is_empty() {
                hello = batch.clone()
            }
        })
        .unwrap();
    for at in 0..5 {
        let outcome = Pair::new(&mutual()).run_with(|role, batch| {
            if role == Role::Client && batch.len() == 5 {
                batch.insert(at, hello[0].clone());
            }
        });
        assert_eq!(outcome, server(PeerMisbehaved::UnexpectedMessage), "{at}");
    }
    for msg_type in [T::HELLO_REQUEST, T::NEW_SESSION_TICKET, T::CERTIFICATE_STATUS, T::HELLO_VERIFY_REQUEST] {
        for at in 1..5 {
            let stray = OwnedMessage { msg_type, message_seq: 9, body: Vec::new() };
            let outcome = Pair::new(&mutual()).run_with(|role, batch| {
                if role == Role::Server && batch.len() == 5 {
                    batch.insert(at, Sent::Message(Epoch::PLAINTEXT, stray.clone()));
                }
            });
            assert_eq!(outcome, client(PeerMisbehaved::UnexpectedMessage), "{msg_type:?} {at}");
        }
    }
}

#[test]
fn sm47_every_message_ends_where_it_ends() {
    let messages = [
        (T::CLIENT_HELLO, Role::Client),
        (T::SERVER_HELLO, Role::Server),
        (T::CERTIFICATE, Role::Server),
        (T::SERVER_KEY_EXCHANGE, Role::Server),
        (T::CERTIFICATE_REQUEST, Role::Server),
        (T::SERVER_HELLO_DONE, Role::Server),
        (T::CERTIFICATE, Role::Client),
        (T::CLIENT_KEY_EXCHANGE, Role::Client),
        (T::CERTIFICATE_VERIFY, Role::Client),
    ];
    for (msg_type, role) in messages {
        for change in
            [|body: &mut Vec<u8>| body.push(0), |body: &mut Vec<u8>| body.truncate(body.len().saturating_sub(1))]
        {
            let Err((failed, error)) = altered(&mutual(), msg_type, role, change) else {
                // It is empty and cannot be cut.
                assert_eq!(msg_type, T::SERVER_HELLO_DONE);
                continue;
            };
            assert_eq!((failed, error.alert()), (role.peer(), Some(AlertDescription::DECODE_ERROR)), "{msg_type:?}");
        }
    }
}

#[test]
fn a_wrong_finished() {
    for role in [Role::Client, Role::Server] {
        let changes: [fn(&mut Vec<u8>); 4] =
            [|body| body[0] ^= 1, |body| body[11] ^= 128, |body| body.push(0), |body| body.clear()];
        for change in changes {
            let failed = altered(&mutual(), T::FINISHED, role, change);
            assert_eq!(failed, Err((role.peer(), PeerMisbehaved::FinishedMismatch.into())));
        }
    }
}

#[test]
fn a2_a_server_key_exchange_is_signed_by_the_certificates_key() {
    let setup = Setup { versions: [BOTH, &BOTH[1..]], groups: [&GROUPS[..2], GROUPS], ..Setup::default() };
    let change = |change: &dyn Fn(&mut Vec<u8>)| altered(&setup, T::SERVER_KEY_EXCHANGE, Role::Server, change);
    let scheme = |scheme: SignatureScheme| {
        change(&|body| {
            let at = ServerKeyExchange::read(body).unwrap().params.len();
            body[at..at + 2].copy_from_slice(&scheme.0.to_be_bytes());
        })
    };
    assert_eq!(change(&|body| *body.last_mut().unwrap() ^= 1), client(PeerMisbehaved::BadSignature));
    assert_eq!(change(&|body| body[10] ^= 1), client(PeerMisbehaved::BadSignature));
    assert_eq!(change(&|body| body[2] = 23), client(PeerMisbehaved::SelectedUnofferedGroup));
    // Offered, but not of DTLS 1.2.
    assert_eq!(
        change(&|body| body[1..3].copy_from_slice(&NamedGroup::X25519MLKEM768.0.to_be_bytes())),
        client(PeerMisbehaved::SelectedUnofferedGroup)
    );
    assert_eq!(scheme(SignatureScheme::ED25519), client(PeerMisbehaved::SignatureSchemeDoesNotFitKey));
    assert_eq!(scheme(SignatureScheme::RSA_PKCS1_SHA256), client(PeerMisbehaved::SignatureSchemeOfOtherVersion));
    assert_eq!(scheme(SignatureScheme::ED448), client(PeerMisbehaved::SelectedUnofferedSignatureScheme));
    assert_eq!(scheme(SignatureScheme(0x0203)), client(PeerMisbehaved::SignatureSchemeOfOtherVersion));
}

#[test]
fn a_client_must_own_its_certificate() {
    let change = |change: &dyn Fn(&mut Vec<u8>)| altered(&mutual(), T::CERTIFICATE_VERIFY, Role::Client, change);
    assert_eq!(change(&|body| *body.last_mut().unwrap() ^= 1), server(PeerMisbehaved::BadSignature));
    let unrequested = change(&|body| body[..2].copy_from_slice(&SignatureScheme::ED448.0.to_be_bytes()));
    assert_eq!(unrequested, server(PeerMisbehaved::SelectedUnofferedSignatureScheme));
    // Another's certificate, trusted, under the client's signature.
    let stolen = altered(&mutual(), T::CERTIFICATE, Role::Client, |body| {
        body.clear();
        let (chain, _) = PKI.of(Kind::Rsa);
        crate::wire::certificate::put_certificate12(body, chain.iter().map(AsRef::as_ref));
    });
    assert_eq!(stolen, server(PeerMisbehaved::SignatureSchemeDoesNotFitKey));
}

#[test]
fn certificates_that_are_not_trusted() {
    let unknown = Setup { trusted: [&STRANGERS, &PKI], ..Setup::default() };
    let outcome = Pair::new(&unknown).run_with(|_, _| ());
    assert_eq!(outcome, client(Error::Certificate(CertificateError::UnknownIssuer)));
    let (role, error) =
        Pair::new(&Setup { name: "other.example", ..Setup::default() }).run_with(|_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Certificate(CertificateError::NotValidForNameContext { .. })), "{error:?}");
    assert_eq!(role, Role::Client);
    let unknown = Setup { trusted: [&PKI, &STRANGERS], ..mutual() };
    // The client sees that none of the authorities is its own's, and sends its certificate all the same.
    let outcome = Pair::new(&unknown).run_with(|_, _| ());
    assert_eq!(outcome, server(Error::Certificate(CertificateError::UnknownIssuer)));
    let missing = Pair::new(&Setup { client_certificate: None, ..mutual() }).run_with(|_, _| ()).unwrap_err();
    assert_eq!(missing, (Role::Server, PeerIncompatible::NoClientCertificate.into()));
    assert_eq!(missing.1.alert(), Some(AlertDescription::HANDSHAKE_FAILURE));
    let empty = altered(&Setup::default(), T::CERTIFICATE, Role::Server, |body| *body = vec![0; 3]);
    assert_eq!(empty.unwrap_err().1.alert(), Some(AlertDescription::DECODE_ERROR));
}

/// RFC 5246 §7.4.4: without a type or a scheme for its key, the client has no certificate.
#[test]
fn a_client_certificate_must_be_of_a_kind_requested() {
    for position in [1, 2] {
        let mut sent = Vec::new();
        let setup = Setup { auth: Auth::Optional, ..mutual() };
        let outcome = Pair::new(&setup).run_with(|role, batch| {
            for item in batch.iter_mut() {
                if let Sent::Message(_, message) = item
                    && message.msg_type == T::CERTIFICATE_REQUEST
                {
                    // Two types: ecdsa_sign, rsa_sign.
                    message.body[position] = 99;
                }
            }
            if role == Role::Client {
                sent.clone_from(batch);
            }
        });
        // The transcripts differ by the change, and the first to tell is the signature or the Finished.
        let signed = sent.iter().any(|item| item.is(T::CERTIFICATE_VERIFY));
        assert_eq!(signed, position == 2);
        let expected = if signed { PeerMisbehaved::BadSignature } else { PeerMisbehaved::FinishedMismatch };
        assert_eq!(outcome, server(expected));
    }
}

#[test]
fn extended_master_secret_is_required_by_default() {
    let without = |setup: &Setup, msg_type, role| {
        altered(setup, msg_type, role, |body| match role {
            Role::Client => rename(body, client_extensions, ExtensionType::EXTENDED_MASTER_SECRET, 0xfafa),
            Role::Server => {
                let at = server_extensions(body).find(ExtensionType::EXTENDED_MASTER_SECRET).unwrap().as_ptr() as usize
                    - body.as_ptr() as usize;
                body.drain(at - 4..at);
                append_extension(body, ExtensionType::SUPPORTED_GROUPS, &[0, 2, 0, 29]);
            }
        })
    };
    let required = PeerIncompatible::ExtendedMasterSecretRequired;
    assert_eq!(without(&Setup::default(), T::CLIENT_HELLO, Role::Client), server(required));
    assert_eq!(without(&Setup::default(), T::SERVER_HELLO, Role::Server), client(required));
    // To take it away unseen is to fail at the Finished.
    let setup = optional();
    assert_eq!(without(&setup, T::CLIENT_HELLO, Role::Client), server(PeerMisbehaved::FinishedMismatch));
    assert_eq!(without(&setup, T::SERVER_HELLO, Role::Server), server(PeerMisbehaved::FinishedMismatch));
    established(&setup);
}

/// RFC 8446 §4.1.3.
#[test]
fn s7_a_downgrade_is_seen() {
    let random = |setup: &Setup| {
        let mut random = [0; 32];
        Pair::new(setup)
            .run_with(|_, batch| {
                if let Some(Sent::Message(_, message)) = batch.iter().find(|sent| sent.is(T::SERVER_HELLO)) {
                    random = *ServerHello::read(&message.body).unwrap().random;
                }
            })
            .unwrap();
        random
    };
    let server_13 = Setup { versions: [&BOTH[1..], BOTH], ..Setup::default() };
    let client_13 = Setup { versions: [BOTH, &BOTH[1..]], ..Setup::default() };
    assert!(random(&server_13).ends_with(&DOWNGRADE_TO_1_2));
    assert!(!random(&client_13).ends_with(&DOWNGRADE_TO_1_2));
    let both = Setup { versions: [BOTH; 2], ..Setup::default() };
    let outcome = altered(&both, T::CLIENT_HELLO, Role::Client, |body| {
        rename(body, client_extensions, ExtensionType::SUPPORTED_VERSIONS, 0xfafa);
    });
    assert_eq!(outcome, client(PeerMisbehaved::DowngradeDetected));
    // Suites of 1.3 were offered too, and are none for 1.2; neither are extensions of 1.3.
    let suite = altered(&client_13, T::SERVER_HELLO, Role::Server, |body| {
        body[SUITE..COMPRESSION].copy_from_slice(&[0x13, 1]);
    });
    assert_eq!(suite, client(PeerMisbehaved::CipherSuiteOfOtherVersion));
    let share = altered(&client_13, T::SERVER_HELLO, Role::Server, |body| {
        append_extension(body, ExtensionType::KEY_SHARE, &[0, 29]);
    });
    assert_eq!(share, client(PeerMisbehaved::ExtensionInWrongMessage));
}

#[test]
fn s12_there_is_no_renegotiation() {
    for msg_type in [T::HELLO_REQUEST, T::CLIENT_HELLO, T::FINISHED, T::KEY_UPDATE, T::NEW_SESSION_TICKET] {
        let Pair { client, server } = established(&Setup::default());
        for mut end in [client, server] {
            let message = OwnedMessage { msg_type, message_seq: 9, body: Vec::new() };
            let (_, error) = end.give(&Sent::Message(Epoch(1), message)).unwrap_err();
            assert_eq!(error, PeerMisbehaved::RenegotiationAttempted.into());
            assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
        }
    }
}
