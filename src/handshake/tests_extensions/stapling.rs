//! OCSP responses and signed certificate timestamps.

use super::*;
use crate::config::Credential;
use crate::wire::{certificate::Certificate13, extensions::put_extension};
use rustls::sign::CertifiedKey;
use std::sync::Mutex;

const OCSP: &[u8] = b"an OCSP response";
const TIMESTAMPS: [&[u8]; 2] = [b"one", b"other"];

/// A client that asks for neither, and a server that has both.
fn configs(version: ProtocolVersion) -> (ClientConfig, ServerConfig) {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let (chain, key) = PKI.of(Kind::P256);
    let mut certified = CertifiedKey::from_der(chain, key, &provider).unwrap();
    certified.ocsp = Some(OCSP.to_vec());
    let credential = Credential::new(certified).with_timestamps(TIMESTAMPS).unwrap();
    let mut server = ServerConfig::builder().with_no_client_auth().unwrap().with_credentials([credential]).unwrap();
    server.set_versions(&[version]).unwrap();
    (client_config(version), server)
}

/// A client that asks for both.
fn asking(version: ProtocolVersion) -> (ClientConfig, ServerConfig) {
    let (mut client, server) = configs(version);
    client.request_ocsp_response().request_timestamps();
    (client, server)
}

fn with(configs: (ClientConfig, ServerConfig)) -> Pair {
    Pair::new(configs.0, configs.1)
}

#[test]
fn sent_to_those_who_ask() {
    for version in VERSIONS {
        for (ocsp, timestamps) in [(false, false), (true, false), (false, true), (true, true)] {
            let (mut client, server) = configs(version);
            if ocsp {
                client.request_ocsp_response();
            }
            if timestamps {
                client.request_timestamps();
            }
            let mut pair = Pair::new(client, server);
            pair.run();
            let negotiated = pair.negotiated(Role::Client);
            assert_eq!(negotiated.ocsp_response(), ocsp.then_some(OCSP));
            let came: Vec<_> = negotiated.signed_certificate_timestamps().collect();
            assert_eq!(came, if timestamps { &TIMESTAMPS[..] } else { &[] });
            assert_eq!(pair.negotiated(Role::Server).ocsp_response(), None);
        }
    }
}

/// A server that has neither says nothing, and a client without them goes on.
#[test]
fn nothing_to_send() {
    for version in VERSIONS {
        let (client, _) = asking(version);
        let mut pair = Pair::new(client, server_config(version));
        pair.run();
        assert_eq!(pair.negotiated(Role::Client).ocsp_response(), None);
        assert_eq!(pair.negotiated(Role::Client).signed_certificate_timestamps().count(), 0);
    }
}

/// The check sees what came, decides, and chooses the alert.
#[test]
fn the_applications_check_of_timestamps_decides() {
    for version in VERSIONS {
        let (mut client, server) = configs(version);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        client.set_timestamp_check(move |chain, timestamps, _| {
            log.lock().unwrap().push((chain.to_vec().len(), timestamps.concat()));
            Ok(())
        });
        Pair::new(client, server).run();
        assert_eq!(*seen.lock().unwrap(), [(1, TIMESTAMPS.concat())]);
        let (mut client, server) = configs(version);
        client.set_timestamp_check(|_, _, _| Err(Error::Application(AlertDescription::BAD_CERTIFICATE).into()));
        let refused = Pair::new(client, server).run_with(|_, _| ());
        assert_eq!(refused, Err((Role::Client, Error::Application(AlertDescription::BAD_CERTIFICATE))));
    }
}

/// RFC 6066 §8: a server that announced a status "MAY choose not to" send it. The transcripts differ then, which is how it
/// ends here: at the signature, and not before.
#[test]
fn an_announced_status_need_not_come() {
    let mut pair = with(asking(ProtocolVersion::DTLS1_2));
    let mut messages: Vec<OwnedMessage> = Vec::new();
    for effect in pair.ends[0].take_effects() {
        if let Effect::Send { message, .. } = effect {
            pair.ends[1].handle(Input::Message(message.as_message())).unwrap();
        }
    }
    for effect in pair.ends[1].take_effects() {
        if let Effect::Send { message, .. } = effect {
            messages.push(message);
        }
    }
    assert_eq!(messages[2].msg_type, HandshakeType::CERTIFICATE_STATUS);
    messages.remove(2);
    // The ServerKeyExchange's signature covers no transcript: all is well up to the Finished.
    messages.iter().for_each(|message| pair.ends[0].handle(Input::Message(message.as_message())).unwrap());
    let answer = pair.ends[0].take_effects();
    assert!(
        answer.iter().any(
            |effect| matches!(effect, Effect::Send { message, .. } if message.msg_type == HandshakeType::FINISHED)
        )
    );
}

/// A status that nobody announced, twice, or at another place.
#[test]
fn statuses_at_the_wrong_place() {
    let unexpected = Err((Role::Client, PeerMisbehaved::UnexpectedMessage.into()));
    let rename = |from, to| {
        with(asking(ProtocolVersion::DTLS1_2)).run_with(|_, message| {
            if message.msg_type == from {
                message.msg_type = to;
            }
        })
    };
    assert_eq!(rename(HandshakeType::CERTIFICATE, HandshakeType::CERTIFICATE_STATUS), unexpected);
    assert_eq!(rename(HandshakeType::SERVER_KEY_EXCHANGE, HandshakeType::CERTIFICATE_STATUS), unexpected);
    let unannounced = with_extension(
        &mut with(asking(ProtocolVersion::DTLS1_2)),
        (Role::Server, HandshakeType::SERVER_HELLO),
        ExtensionType::STATUS_REQUEST,
        None,
    );
    assert_eq!(unannounced, unexpected);
}

#[test]
fn statuses_that_are_none() {
    for body in [&[][..], &[1, 0, 0, 0], &[2, 0, 0, 1, 9], &[1, 0, 0, 1], &[1, 0, 0, 1, 9, 9]] {
        let result = with(asking(ProtocolVersion::DTLS1_2)).run_with(|_, message| {
            if message.msg_type == HandshakeType::CERTIFICATE_STATUS {
                message.body = body.to_vec();
            }
        });
        assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{body:?}");
    }
}

#[test]
fn answers_that_nobody_asked_for() {
    for (ty, data) in [
        (ExtensionType::STATUS_REQUEST, &[][..]),
        (ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, &[0, 3, 0, 1, 9]),
        (ExtensionType::CERTIFICATE_AUTHORITIES, &[]),
        (ExtensionType::SIGNATURE_ALGORITHMS_CERT, &[]),
    ] {
        for version in VERSIONS {
            let answer = (Role::Server, answers(version));
            let unasked = with_extension(&mut with(configs(version)), answer, ty, Some(data));
            assert_eq!(unasked, Err((Role::Client, PeerMisbehaved::UnsolicitedExtension.into())));
            assert_eq!(alert(&unasked), Some(AlertDescription::UNSUPPORTED_EXTENSION));
        }
    }
    // In 1.3 they belong to the certificate (RFC 8446 §4.2).
    for ty in [ExtensionType::STATUS_REQUEST, ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP] {
        for msg_type in [HandshakeType::SERVER_HELLO, HandshakeType::ENCRYPTED_EXTENSIONS] {
            let mut pair = with(asking(ProtocolVersion::DTLS1_3));
            let elsewhere = with_extension(&mut pair, (Role::Server, msg_type), ty, Some(&[]));
            assert_eq!(elsewhere, Err((Role::Client, PeerMisbehaved::ExtensionInWrongMessage.into())));
            assert_eq!(alert(&elsewhere), Some(AlertDescription::ILLEGAL_PARAMETER));
        }
    }
}

#[test]
fn requests_and_lists_that_are_none() {
    for version in VERSIONS {
        let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
        for (ty, data) in [
            (ExtensionType::STATUS_REQUEST, &[][..]),
            (ExtensionType::STATUS_REQUEST, &[1, 0, 0]),
            (ExtensionType::STATUS_REQUEST, &[1, 0, 0, 0, 0, 0]),
            (ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, &[0]),
            (ExtensionType::SIGNATURE_ALGORITHMS_CERT, &[0, 0]),
            (ExtensionType::CERTIFICATE_AUTHORITIES, &[0, 0]),
        ] {
            let result = with_extension(&mut with(asking(version)), offer, ty, Some(data));
            assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{ty:?} {data:?}");
        }
    }
    for data in [&[][..], &[0, 0], &[0, 2, 0, 0], &[0, 3, 0, 2, 9]] {
        let mut pair = with(asking(ProtocolVersion::DTLS1_2));
        let answer = (Role::Server, HandshakeType::SERVER_HELLO);
        let result = with_extension(&mut pair, answer, ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, Some(data));
        assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{data:?}");
    }
}

/// Extensions of a CertificateEntry of DTLS 1.3 (RFC 8446 §4.4.2).
#[test]
fn entries_with_what_they_may_not_hold() {
    let entry = |configs: (ClientConfig, ServerConfig), ty: ExtensionType, data: &[u8]| {
        with(configs).run_with(|role, message| {
            if role == Role::Server && message.msg_type == HandshakeType::CERTIFICATE {
                message.body = certificate_with(&message.body, ty, data);
            }
        })
    };
    let v = ProtocolVersion::DTLS1_3;
    for ty in [ExtensionType::STATUS_REQUEST, ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, ExtensionType(0xfafa)] {
        let unasked = entry(configs(v), ty, &[]);
        assert_eq!(unasked, Err((Role::Client, PeerMisbehaved::UnsolicitedExtension.into())));
        assert_eq!(alert(&unasked), Some(AlertDescription::UNSUPPORTED_EXTENSION));
    }
    for ty in [ExtensionType::SERVER_NAME, ExtensionType::SUPPORTED_GROUPS, ExtensionType::KEY_SHARE] {
        let elsewhere = entry(asking(v), ty, &[]);
        assert_eq!(elsewhere, Err((Role::Client, PeerMisbehaved::ExtensionInWrongMessage.into())));
        assert_eq!(alert(&elsewhere), Some(AlertDescription::ILLEGAL_PARAMETER));
    }
    for data in [&[][..], &[1, 0, 0, 0], &[2, 0, 0, 1, 9], &[1, 0, 0, 1, 9, 9]] {
        let malformed = entry(asking(v), ExtensionType::STATUS_REQUEST, data);
        assert_eq!(alert(&malformed), Some(AlertDescription::DECODE_ERROR), "{data:?}");
    }
    for data in [&[][..], &[0, 0], &[0, 2, 0, 0], &[0, 3, 0, 1, 9, 9]] {
        let malformed = entry(asking(v), ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, data);
        assert_eq!(alert(&malformed), Some(AlertDescription::DECODE_ERROR), "{data:?}");
    }
}

/// The same chain with this one extension at the end entity's entry.
fn certificate_with(body: &[u8], ty: ExtensionType, data: &[u8]) -> Vec<u8> {
    let read = Certificate13::read(body).unwrap();
    let mut out = Vec::new();
    Certificate13::put(&mut out, read.context, read.chain.into_iter(), |out| {
        put_extension(out, ty, |out| out.extend_from_slice(data));
    });
    out
}
