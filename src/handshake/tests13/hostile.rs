//! What a peer may try, and how it ends (RFC 8446 §4, §6.2).

use super::super::Input;
use super::pair::{Auth, End, Failure, Kind, NAME, PKI, Pair, STRANGERS, Setup, altered, established};
use super::{SERVER_EXTENSIONS, append_extension, put_cookie};
use crate::crypto::Role;
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::wire::{
    AlertDescription, CipherSuite, Malformed, NamedGroup, ProtocolVersion,
    enums::{ExtensionType, HandshakeType},
    extensions::Extensions,
    handshake::OwnedMessage,
    hello::{ClientHello, HELLO_RETRY_REQUEST_RANDOM},
};

pub(super) fn client(error: impl Into<Error>) -> Result<(), Failure> {
    Err((Role::Client, error.into()))
}

pub(super) fn server(error: impl Into<Error>) -> Result<(), Failure> {
    Err((Role::Server, error.into()))
}

/// A handshake with client authentication, the longest one.
fn mutual() -> Setup {
    Setup { auth: Auth::Required, client_certificate: Some(Kind::P256), ..Setup::default() }
}

/// One that needs a HelloRetryRequest.
pub(super) fn retried() -> Setup {
    Setup {
        client_groups: vec![NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1],
        server_groups: vec![NamedGroup::SECP256R1],
        ..Setup::default()
    }
}

#[test]
fn a_wrong_finished() {
    for role in [Role::Client, Role::Server] {
        let changes: [fn(&mut Vec<u8>); 4] =
            [|body| body[0] ^= 1, |body| body[31] ^= 128, |body| body.push(0), |body| body.clear()];
        for change in changes {
            let failed = altered(&mutual(), role, HandshakeType::FINISHED, change);
            assert_eq!(failed, Err((role.peer(), PeerMisbehaved::FinishedMismatch.into())));
        }
    }
}

/// Every message of the protected part left out, doubled, or swapped with the next one.
#[test]
fn s6_every_message_has_its_place() {
    use HandshakeType as T;
    let flights: [(Role, &[T]); 2] = [
        (
            Role::Server,
            &[T::ENCRYPTED_EXTENSIONS, T::CERTIFICATE_REQUEST, T::CERTIFICATE, T::CERTIFICATE_VERIFY, T::FINISHED],
        ),
        (Role::Client, &[T::CERTIFICATE, T::CERTIFICATE_VERIFY, T::FINISHED]),
    ];
    type Edit = fn(&mut Vec<OwnedMessage>, usize);
    let edits: [(&str, Edit); 3] = [
        ("dropped", |messages, at| drop(messages.remove(at))),
        ("doubled", |messages, at| messages.insert(at, messages[at].clone())),
        ("swapped", |messages, at| messages.swap(at, at + 1)),
    ];
    for (role, types) in flights {
        for (at, msg_type) in types.iter().enumerate() {
            for (what, edit) in edits {
                // The last one left out is only missing; doubled, it comes after the end.
                if *msg_type == T::FINISHED && what != "doubled" {
                    continue;
                }
                let failed = Pair::new(&mutual()).run_with(|sender, batch| {
                    let start = batch.iter().position(|(_, message)| message.msg_type == types[0]);
                    if let (true, Some(start)) = (sender == role, start) {
                        let epoch = batch[start].0;
                        let mut messages: Vec<_> = batch.drain(start..).map(|(_, message)| message).collect();
                        edit(&mut messages, at);
                        batch.extend(messages.into_iter().map(|message| (epoch, message)));
                    }
                });
                // Without the request the transcript differs, and the signature is the first to tell.
                let expected = match (*msg_type, what) {
                    (T::CERTIFICATE_REQUEST, "dropped") => PeerMisbehaved::BadSignature,
                    _ => PeerMisbehaved::UnexpectedMessage,
                };
                assert_eq!(failed, Err((role.peer(), expected.into())), "{msg_type:?} {what}");
            }
        }
    }
}

/// Every message with a trailing octet, and cut short.
#[test]
fn sm47_every_message_ends_where_it_ends() {
    use HandshakeType as T;
    let messages = [
        (Role::Client, T::CLIENT_HELLO),
        (Role::Server, T::SERVER_HELLO),
        (Role::Server, T::ENCRYPTED_EXTENSIONS),
        (Role::Server, T::CERTIFICATE_REQUEST),
        (Role::Server, T::CERTIFICATE),
        (Role::Server, T::CERTIFICATE_VERIFY),
        (Role::Client, T::CERTIFICATE),
        (Role::Client, T::CERTIFICATE_VERIFY),
    ];
    for (role, msg_type) in messages {
        for change in [|body: &mut Vec<u8>| body.push(0), |body: &mut Vec<u8>| body.truncate(body.len() - 1)] {
            let (failed, error) = altered(&mutual(), role, msg_type, change).unwrap_err();
            assert_eq!((failed, error.alert()), (role.peer(), Some(AlertDescription::DECODE_ERROR)), "{msg_type:?}");
        }
    }
}

/// "There MUST NOT be more than one extension of the same type" (RFC 8446 §4.2), which names no alert: what cannot be
/// parsed is a decode_error (§6.2).
#[test]
fn an_extension_comes_once() {
    let repeat = |body: &mut Vec<u8>| append_extension(body, SERVER_EXTENSIONS, ExtensionType::KEY_SHARE, b"");
    let failed = altered(&Setup::default(), Role::Server, HandshakeType::SERVER_HELLO, repeat);
    assert_eq!(failed, client(Malformed::DuplicateExtension));
    assert_eq!(failed.unwrap_err().1.alert(), Some(AlertDescription::DECODE_ERROR));
}

/// RFC 9147 §5.1: whoever sends it has chosen a version below 1.3.
#[test]
fn s8_a_hello_verify_request_chooses_a_version() {
    let body = vec![0xfe, 0xff, 3, 1, 2, 3];
    let request = OwnedMessage { msg_type: HandshakeType::HELLO_VERIFY_REQUEST, message_seq: 0, body };
    let give = |client_versions| {
        let mut pair = Pair::new(&Setup {
            client_versions,
            suites: vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
            ..Setup::default()
        });
        pair.client.take();
        pair.client.give(&request)
    };
    let refused = give(vec![ProtocolVersion::DTLS1_3]).unwrap_err();
    assert_eq!(refused, PeerMisbehaved::SelectedUnofferedVersion.into());
    assert_eq!(refused.alert(), Some(AlertDescription::PROTOCOL_VERSION));
    assert_eq!(give(vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2]), Ok(()));
}

#[test]
fn p3_a_server_hello_must_keep_to_the_offer() {
    let change = |at: usize, value: &'static [u8]| {
        let edit = move |body: &mut Vec<u8>| body[at..at + value.len()].copy_from_slice(value);
        altered(&Setup::default(), Role::Server, HandshakeType::SERVER_HELLO, edit)
    };
    const SUITE: usize = 2 + 32 + 1;
    const VERSION: usize = SERVER_EXTENSIONS + 2 + 4;
    const GROUP: usize = VERSION + 2 + 4;
    assert_eq!(change(SUITE, &[0x13, 2]), client(PeerMisbehaved::SelectedUnofferedCipherSuite));
    assert_eq!(change(SUITE, &[0xc0, 0x2b]), client(PeerMisbehaved::SelectedUnofferedCipherSuite));
    assert_eq!(change(SUITE + 2, &[1]), client(PeerMisbehaved::SelectedUnofferedCompression));
    assert_eq!(change(0, &[0xfe, 0xfc]), client(PeerMisbehaved::SelectedUnofferedVersionInExtension));
    assert_eq!(change(VERSION, &[0xfe, 0xfd]), client(PeerMisbehaved::SelectedUnofferedVersionInExtension));
    assert_eq!(change(GROUP, &[0, 24]), client(PeerMisbehaved::KeyShareGroupMismatch));
    // Offered, but no share of it was sent.
    assert_eq!(change(GROUP, &[0, 23]), client(PeerMisbehaved::KeyShareGroupMismatch));
    // X25519 with a point of small order.
    assert_eq!(change(GROUP + 4, &[0; 32]), client(PeerMisbehaved::BadKeyShare));
    let suites = vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let client_versions = vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2];
    let both = Setup { suites, client_versions, ..Setup::default() };
    let other = |body: &mut Vec<u8>| body[SUITE..SUITE + 2].copy_from_slice(&[0xc0, 0x2b]);
    let failed = altered(&both, Role::Server, HandshakeType::SERVER_HELLO, other);
    assert_eq!(failed, client(PeerMisbehaved::CipherSuiteOfOtherVersion));
}

#[test]
fn a_session_id_is_never_echoed() {
    let change = |body: &mut Vec<u8>| drop(body.splice(34..35, [1, 7]));
    let failed = altered(&Setup::default(), Role::Server, HandshakeType::SERVER_HELLO, change);
    assert_eq!(failed, client(PeerMisbehaved::LegacySessionIdEchoed));
}

/// draft-ietf-tls-rfc9147bis §5: "DTLS 1.3 servers MUST NOT echo the "legacy_session_id" value from the ClientHello".
#[test]
fn rfc9147_5_a_server_echoes_no_session_id() {
    let mut ids = Vec::new();
    let failed = Pair::new(&retried()).run_with(|sender, batch| {
        let Some((_, first)) = batch.first_mut() else { return };
        match (sender, first.msg_type) {
            (Role::Client, HandshakeType::CLIENT_HELLO) => drop(first.body.splice(34..35, [2, 7, 7])),
            (Role::Server, HandshakeType::SERVER_HELLO) => ids.push(first.body[34]),
            _ => (),
        }
    });
    // The request and the ServerHello; then the transcripts differ, which is how the client notices.
    assert_eq!((failed, ids), (client(PeerMisbehaved::BadSignature), vec![0, 0]));
}

#[test]
fn extensions_in_the_wrong_place() {
    let setup = mutual();
    let add = |msg_type, block, ty, data: &'static [u8]| {
        altered(&setup, Role::Server, msg_type, |body| append_extension(body, block, ty, data))
    };
    const UNKNOWN: ExtensionType = ExtensionType(0xfafa);
    use HandshakeType as T;
    for (msg_type, block) in [(T::SERVER_HELLO, SERVER_EXTENSIONS), (T::ENCRYPTED_EXTENSIONS, 0)] {
        for ty in [UNKNOWN, ExtensionType::STATUS_REQUEST, ExtensionType::PRE_SHARED_KEY, ExtensionType::EARLY_DATA] {
            assert_eq!(add(msg_type, block, ty, &[]), client(PeerMisbehaved::UnsolicitedExtension), "{ty:?}");
        }
        for ty in [ExtensionType::SIGNATURE_ALGORITHMS, ExtensionType::COOKIE] {
            assert_eq!(add(msg_type, block, ty, &[]), client(PeerMisbehaved::ExtensionInWrongMessage), "{ty:?}");
        }
    }
    let in_hello = add(T::SERVER_HELLO, SERVER_EXTENSIONS, ExtensionType::SUPPORTED_GROUPS, &[0, 2, 0, 29]);
    assert_eq!(in_hello, client(PeerMisbehaved::ExtensionInWrongMessage));
    let protocol =
        add(T::ENCRYPTED_EXTENSIONS, 0, ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION, b"\0\x02\x01a");
    assert_eq!(protocol, client(PeerMisbehaved::UnsolicitedExtension));
    let groups = add(T::ENCRYPTED_EXTENSIONS, 0, ExtensionType::SUPPORTED_GROUPS, &[0, 2, 0, 29]);
    assert_eq!(
        groups,
        client(PeerMisbehaved::BadSignature),
        "welcome as such, but not part of the server's transcript"
    );
    // RFC 9846 §4.4.2: clients "MUST ignore unrecognized extensions" of a CertificateRequest.
    assert_eq!(add(T::CERTIFICATE_REQUEST, 1, UNKNOWN, &[]), client(PeerMisbehaved::BadSignature));
}

#[test]
fn certificates_that_are_none() {
    let server_sends = |change: fn(&mut Vec<u8>)| altered(&mutual(), Role::Server, HandshakeType::CERTIFICATE, change);
    let client_sends = |change: fn(&mut Vec<u8>)| altered(&mutual(), Role::Client, HandshakeType::CERTIFICATE, change);
    let empty: fn(&mut Vec<u8>) = |body| *body = vec![0; 4];
    assert_eq!(server_sends(empty), client(Malformed::BadLength));
    assert_eq!(client_sends(empty), server(Error::NoCertificate));
    let context: fn(&mut Vec<u8>) = |body| drop(body.splice(0..1, [1, 7]));
    assert_eq!(server_sends(context), client(PeerMisbehaved::NonEmptyCertificateContext));
    assert_eq!(client_sends(context), server(PeerMisbehaved::NonEmptyCertificateContext));
    // status_request in the entry: nobody asked for it.
    let stapled: fn(&mut Vec<u8>) = |body| {
        let entries = body.len() - 4 + 4;
        body[1..4].copy_from_slice(&u32::try_from(entries).unwrap().to_be_bytes()[1..]);
        let end = body.len();
        body.splice(end - 2.., [0, 4, 0, 5, 0, 0]);
    };
    assert_eq!(server_sends(stapled), client(PeerMisbehaved::UnsolicitedExtension));
    assert_eq!(client_sends(stapled), server(PeerMisbehaved::UnsolicitedExtension));
    let request =
        |change: fn(&mut Vec<u8>)| altered(&mutual(), Role::Server, HandshakeType::CERTIFICATE_REQUEST, change);
    assert_eq!(request(context), client(PeerMisbehaved::NonEmptyCertificateContext));
    assert_eq!(request(|body| *body = vec![0; 3]), client(PeerMisbehaved::MissingSignatureAlgorithms));
}

#[test]
fn signatures_that_are_none() {
    let sends = |role, change: fn(&mut Vec<u8>)| altered(&mutual(), role, HandshakeType::CERTIFICATE_VERIFY, change);
    for role in [Role::Client, Role::Server] {
        let failed = |error: PeerMisbehaved| Err((role.peer(), error.into()));
        assert_eq!(sends(role, |body| *body.last_mut().unwrap() ^= 1), failed(PeerMisbehaved::BadSignature));
        // RFC 8446 §4.4.3: no PKCS#1 v1.5, and the curve belongs to the scheme.
        let pkcs1 = sends(role, |body| body[..2].copy_from_slice(&[4, 1]));
        assert_eq!(pkcs1, failed(PeerMisbehaved::SignatureSchemeOfOtherVersion));
        let curve = sends(role, |body| body[..2].copy_from_slice(&[5, 3]));
        assert_eq!(curve, failed(PeerMisbehaved::SignatureSchemeDoesNotFitKey));
        let unknown = sends(role, |body| body[..2].copy_from_slice(&[9, 9]));
        assert_eq!(unknown, failed(PeerMisbehaved::SelectedUnofferedSignatureScheme));
    }
}

#[test]
fn nobody_vouches_for_the_peer() {
    let mut pair = Pair::new(&Setup { trusted: &STRANGERS, ..Setup::default() });
    let Err((Role::Client, error)) = pair.run() else { panic!("trusted") };
    assert_eq!(error.alert(), Some(AlertDescription::UNKNOWN_CA));
    assert!(pair.client.keys.keys().all(|(_, epoch)| *epoch == 2), "no application keys");
    let Err((Role::Client, error)) = Pair::new(&Setup { name: "other.example", ..Setup::default() }).run() else {
        panic!("any name will do")
    };
    assert!(matches!(error, Error::Certificate(_)));
    // The client trusts; the server does not.
    let mut pair = Pair::new(&mutual());
    pair.server = Pair::new(&Setup { trusted: &STRANGERS, ..mutual() }).server;
    let Err((Role::Server, error)) = pair.run() else { panic!("trusted") };
    assert_eq!(error.alert(), Some(AlertDescription::UNKNOWN_CA));
}

#[test]
fn a_required_certificate_is_required() {
    let failed = Pair::new(&Setup { auth: Auth::Required, ..Setup::default() }).run();
    assert_eq!(failed, server(Error::NoCertificate));
    assert_eq!(Error::NoCertificate.alert(), Some(AlertDescription::CERTIFICATE_REQUIRED));
}

#[test]
fn nothing_in_common() {
    let protocols = Setup { client_protocols: vec!["a"], server_protocols: vec!["b"], ..Setup::default() };
    assert_eq!(Pair::new(&protocols).run(), server(PeerIncompatible::NoCommonProtocol));
    let groups = Setup { server_groups: vec![NamedGroup::SECP384R1], ..Setup::default() };
    assert_eq!(Pair::new(&groups).run(), server(PeerIncompatible::NoCommonGroup));
    let offered = Setup { client_protocols: vec!["a"], server_protocols: vec!["a"], ..Setup::default() };
    let failed = altered(&offered, Role::Server, HandshakeType::ENCRYPTED_EXTENSIONS, |body| {
        let at = body.iter().position(|octet| *octet == b'a').unwrap();
        body[at] = b'z';
    });
    assert_eq!(failed, client(PeerMisbehaved::SelectedUnofferedProtocol));
}

/// RFC 8446 §4.1.4.
#[test]
fn p3_hello_retry_requests_that_are_none() {
    const GROUP: usize = SERVER_EXTENSIONS + 2 + 4 + 2 + 4;
    let request = |change: fn(&mut Vec<u8>)| altered(&retried(), Role::Server, HandshakeType::SERVER_HELLO, change);
    assert_eq!(
        request(|body| body[GROUP..].copy_from_slice(&[0, 29])),
        client(PeerMisbehaved::HelloRetryRequestForOfferedGroup)
    );
    assert_eq!(request(|body| body[GROUP..].copy_from_slice(&[0, 25])), client(PeerMisbehaved::SelectedUnofferedGroup));
    let nothing = request(|body| {
        body.truncate(GROUP - 4);
        body[SERVER_EXTENSIONS + 1] = 6;
    });
    assert_eq!(nothing, client(PeerMisbehaved::HelloRetryRequestWithoutChange));
    assert_eq!(
        request(|body| append_extension(body, SERVER_EXTENSIONS, ExtensionType(0xfafa), &[])),
        client(PeerMisbehaved::UnsolicitedExtension)
    );
    // Another group than the one the server will see: it asked for P-256.
    let other = request(|body| body[GROUP..].copy_from_slice(&[0, 24]));
    assert_eq!(other, server(PeerMisbehaved::RetriedClientHelloDiffers));
}

#[test]
fn s8_only_one_retry() {
    let mut requests = 0;
    let failed = Pair::new(&retried()).run_with(|sender, batch| {
        if let (Role::Server, Some((_, hello))) = (sender, batch.first_mut()) {
            requests += 1;
            // The real ServerHello, disguised.
            hello.body[2..34].copy_from_slice(&HELLO_RETRY_REQUEST_RANDOM);
        }
    });
    assert_eq!((failed, requests), (client(PeerMisbehaved::SecondHelloRetryRequest), 2));
    // The ServerHello keeps to the suite of the request.
    let suites = vec![CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_CHACHA20_POLY1305_SHA256];
    let mut hellos = 0;
    let failed = Pair::new(&Setup { suites, ..retried() }).run_with(|sender, batch| {
        if let (Role::Server, Some((_, hello))) = (sender, batch.first_mut()) {
            hellos += 1;
            if hellos == 2 {
                hello.body[36] ^= 2;
            }
        }
    });
    assert_eq!(failed, client(PeerMisbehaved::CipherSuiteChangedAfterRetry));
}

/// RFC 8446 §4.1.2: the second ClientHello is the first one, but for what was asked.
#[test]
fn s4_sm42_a_retried_hello_may_not_differ() {
    let second = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut hellos = 0;
        Pair::new(&retried()).run_with(|sender, batch| {
            if let (Role::Client, Some((_, hello))) = (sender, batch.first_mut()) {
                hellos += 1;
                if hellos == 2 {
                    change(&mut hello.body);
                }
            }
        })
    };
    let differs = server(PeerMisbehaved::RetriedClientHelloDiffers);
    // Version, random, session id, suites.
    assert_eq!(second(&|body| body[1] = 0xfc), differs);
    assert_eq!(second(&|body| body[2] ^= 1), differs);
    assert_eq!(second(&|body| drop(body.splice(34..35, [1, 7]))), differs);
    let suites = |body: &mut Vec<u8>| {
        let len = usize::from(body[37]) + 2;
        body[37] += 2;
        body.splice(36 + len..36 + len, [0x13, 3]);
    };
    assert_eq!(second(&suites), differs);
    let block = |body: &[u8]| {
        let hello = ClientHello::read(body).unwrap();
        let len: usize = hello.extensions.iter().map(|(_, data)| data.len() + 4).sum();
        body.len() - len - 2
    };
    let add =
        |ty, data: &'static [u8]| second(&move |body: &mut Vec<u8>| append_extension(body, block(body), ty, data));
    assert_eq!(add(ExtensionType(0xfafa), &[]), differs);
    assert_eq!(add(ExtensionType::EARLY_DATA, &[]), differs);
    assert_eq!(add(ExtensionType::COOKIE, b"\0\x01c"), server(PeerMisbehaved::UnexpectedCookie));
    // Another order is no difference (RFC 8446 §4.2; wolfSSL's clients change it); here only the transcript betrays it.
    let reordered = second(&|body: &mut Vec<u8>| {
        let extensions = block(body) + 2;
        let first = 4 + usize::from(u16::from_be_bytes([body[extensions + 2], body[extensions + 3]]));
        body[extensions..].rotate_left(first);
    });
    assert_eq!(reordered, client(PeerMisbehaved::BadSignature));
    // Padding may come and go.
    assert_eq!(add(ExtensionType::PADDING, &[0; 9]), client(PeerMisbehaved::BadSignature));
    // The first hello again: not the group that was asked for.
    let mut first = None;
    let failed = Pair::new(&retried()).run_with(|sender, batch| {
        if let (Role::Client, Some((_, hello))) = (sender, batch.first_mut()) {
            *hello = first.get_or_insert_with(|| hello.clone()).clone();
        }
    });
    assert_eq!(failed, differs);
}

#[test]
fn cookies_come_from_a_listener_only() {
    // A client echoes what it got, and the bare server, who gave none, notices.
    let failed = Pair::new(&retried()).run_with(|sender, batch| {
        if let (Role::Server, Some((_, request))) = (sender, batch.first_mut()) {
            put_cookie(request);
        }
    });
    assert_eq!(failed, server(PeerMisbehaved::UnexpectedCookie));
}

/// What a completed handshake still takes: KeyUpdate, and at the client tickets.
#[test]
fn after_the_handshake() {
    let ticket = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 0];
    let message = |msg_type, body: &[u8]| OwnedMessage { msg_type, message_seq: 9, body: body.to_vec() };
    let give = |end: &mut End, msg_type, body: &[u8]| end.give(&message(msg_type, body));
    let mut pair = established(&Setup::default());
    assert_eq!(give(&mut pair.client, HandshakeType::NEW_SESSION_TICKET, &ticket), Ok(()));
    let unexpected = Err(PeerMisbehaved::UnexpectedMessage.into());
    assert_eq!(give(&mut pair.server, HandshakeType::NEW_SESSION_TICKET, &ticket), unexpected);
    let truncated = give(&mut pair.client, HandshakeType::NEW_SESSION_TICKET, &ticket[..9]);
    assert_eq!(truncated, Err(Malformed::Truncated.into()));
    for msg_type in (0..=u8::MAX).map(HandshakeType) {
        if [HandshakeType::NEW_SESSION_TICKET, HandshakeType::KEY_UPDATE].contains(&msg_type) {
            continue;
        }
        let mut pair = established(&Setup::default());
        assert_eq!(give(&mut pair.client, msg_type, &[0]), unexpected, "{msg_type:?}");
        assert_eq!(give(&mut pair.server, msg_type, &[0]), unexpected, "{msg_type:?}");
        assert_eq!(pair.server.handshake.handle(Input::Message(message(msg_type, &[]).as_message())), Ok(()), "over");
    }
}

/// An empty block and a name that is no name are no reason to refuse (RFC 6066 §3).
#[test]
fn an_address_is_not_a_server_name() {
    assert_ne!(NAME, "192.0.2.1");
    let mut block = Vec::new();
    Pair::new(&Setup { name: "192.0.2.1", trusted: &PKI, ..Setup::default() })
        .run_with(|sender, batch| {
            for (_, message) in batch.iter().filter(|_| sender == Role::Client) {
                if message.msg_type == HandshakeType::CLIENT_HELLO {
                    let hello = ClientHello::read(&message.body).unwrap();
                    let found: &Extensions<'_> = &hello.extensions;
                    block.extend(found.iter().map(|(ty, _)| ty));
                }
            }
        })
        .unwrap_err();
    assert!(!block.contains(&ExtensionType::SERVER_NAME));
}
