//! The hellos: how a handshake begins, how it begins anew, and how its version and its share may not change on the way.

use super::*;
use crate::error::{PeerIncompatible, PeerMisbehaved};
use crate::wire::{CipherSuite, codec::Reader, enums::ExtensionType, hello::ClientHello};

/// A handshake begins with a ClientHello, and goes on with one of its two answers.
#[test]
fn sm19_nothing_else_begins_a_handshake() {
    for version in VERSIONS {
        for msg_type in (0..=u8::MAX).map(T) {
            let mut scene = Shape::new(version).scene();
            if msg_type != T::CLIENT_HELLO {
                let refused = scene.server.give(&Sent::new(msg_type, &[0; 40])).unwrap_err();
                assert_eq!(refused, PeerMisbehaved::UnexpectedMessage.into(), "{version} {msg_type:?}");
            }
            if ![T::SERVER_HELLO, T::HELLO_VERIFY_REQUEST].contains(&msg_type) {
                let refused = scene.client.give(&Sent::new(msg_type, &[0; 40])).unwrap_err();
                assert_eq!(refused, PeerMisbehaved::UnexpectedMessage.into(), "{version} {msg_type:?}");
            }
        }
        assert_eq!(
            Shape::new(version).scene().server.give(&Sent::ChangeCipherSpec).unwrap_err().alert().unwrap().0,
            10
        );
    }
}

/// A client is no server: a ClientHello in the place of the ServerHello ends the handshake, however good it is.
#[test]
fn sm30_a_client_answers_no_client() {
    for version in VERSIONS {
        let [mut one, mut other] = [(); 2].map(|()| Shape::new(version).scene().client);
        let hello = other.queue.remove(0);
        assert_eq!(one.give(&hello), Err(PeerMisbehaved::UnexpectedMessage.into()));
        assert!(one.queue.len() == 1 && !one.complete);
    }
}

/// A hello in the middle begins nothing anew: another client's, another server's, or the same once more.
#[test]
fn sm10_sm28_no_hello_restarts_a_handshake() {
    for shape in Shape::all() {
        let another = shape.flights();
        for role in ROLES {
            let msg_type = if role == Role::Client { T::CLIENT_HELLO } else { T::SERVER_HELLO };
            let hello = |(sender, flight): &(Role, Vec<Sent>)| {
                (*sender == role && flight[0].is(msg_type)).then(|| flight[0].clone())
            };
            let hello = another.iter().rev().find_map(hello).unwrap();
            let len =
                another.iter().find(|(sender, flight)| *sender == role && flight.iter().any(|s| s.is(T::FINISHED)));
            for at in 1..=len.unwrap().1.len() {
                let outcome = shape.tampered(role, T::FINISHED, |batch| batch.insert(at, hello.clone()));
                outcome.unexpected(role.peer(), (shape, role, at));
            }
        }
    }
}

/// A client of both versions, and what a server of 1.2 and one of 1.3 answer it.
fn of_both_versions() -> ClientConfig {
    let mut config = Shape::new(VERSIONS[0]).client();
    config.set_versions(&[VERSIONS[1], VERSIONS[0]]).unwrap();
    config
}

fn retrying_server() -> ServerConfig {
    Shape { retry: true, ..Shape::new(VERSIONS[1]) }.server()
}

const VERIFY: (T, &[u8]) = (T::HELLO_VERIFY_REQUEST, &[0xfe, 0xff, 3, 1, 2, 3]);

/// Who has answered a HelloVerifyRequest is spoken to in 1.2, and not more than eight times.
#[test]
fn s8_sm40_a_hello_verify_request_leaves_no_way_to_the_newer_version() {
    let mut scene = Scene::between(of_both_versions(), Shape::new(VERSIONS[1]).server());
    let outcome = scene.run(|role, nth, batch| {
        // In front of the server's first flight.
        if role == Role::Server && nth == 1 {
            batch.insert(0, Sent::new(VERIFY.0, VERIFY.1));
        }
    });
    assert_eq!(outcome.failure, Some((Role::Client, PeerMisbehaved::VersionAfterHelloVerifyRequest.into())));
    outcome.refused(Role::Client, AlertDescription::ILLEGAL_PARAMETER, "a ServerHello of 1.3");
    for version in VERSIONS {
        let mut client = Shape::new(version).scene().client;
        let mut answered = 0;
        let refused = loop {
            match client.give(&Sent::new(VERIFY.0, VERIFY.1)) {
                Ok(()) => answered += 1,
                Err(error) => break error,
            }
        };
        let expected = match version {
            ProtocolVersion::DTLS1_2 => (8, PeerMisbehaved::TooManyHelloVerifyRequests),
            _ => (0, PeerMisbehaved::SelectedUnofferedVersion),
        };
        assert_eq!((answered, refused), (expected.0, expected.1.into()));
    }
}

/// After a HelloRetryRequest there is no HelloVerifyRequest, and no second one of its kind.
#[test]
fn s8_sm39_a_retry_is_asked_for_once() {
    let shape = Shape { retry: true, ..Shape::new(VERSIONS[1]) };
    let mut request = None;
    let outcome = shape.scene().run(|role, _, batch| {
        if role == Role::Server {
            match &request {
                None => request = Some(batch[0].clone()),
                Some(request) => batch.insert(0, request.clone()),
            }
        }
    });
    assert_eq!(outcome.failure, Some((Role::Client, PeerMisbehaved::SecondHelloRetryRequest.into())));
    let outcome = Scene::between(of_both_versions(), retrying_server()).run(|role, nth, batch| {
        if role == Role::Server && nth == 3 {
            batch.insert(0, Sent::new(VERIFY.0, VERIFY.1));
        }
    });
    outcome.unexpected(Role::Client, "a HelloVerifyRequest after a HelloRetryRequest");
}

/// After a HelloRetryRequest, which is of 1.3, an answer of 1.2 is refused before anything of it is used: no key of the one
/// version ever serves in the other.
#[test]
fn s7_no_version_falls_back_after_a_retry() {
    let mut old = Scene::between(of_both_versions(), Shape::new(VERSIONS[0]).server());
    let mut answer = None;
    old.run(|role, _, batch| {
        if role == Role::Server && answer.is_none() {
            answer = Some(batch[0].clone());
        }
    });
    let outcome = Scene::between(of_both_versions(), retrying_server()).run(|role, nth, batch| {
        if role == Role::Server && nth == 3 {
            batch[0] = answer.clone().unwrap();
        }
    });
    assert_eq!(outcome.failure, Some((Role::Client, PeerMisbehaved::VersionChangedAfterRetry.into())));
    outcome.refused(Role::Client, AlertDescription::ILLEGAL_PARAMETER, "a ServerHello of 1.2");
}

/// No share at all asks for a retry; none again gets no second one, and no answer either.
#[test]
fn sm43_no_key_share_twice_is_no_loop() {
    for retry in [false, true] {
        let shape = Shape { retry, ..Shape::new(VERSIONS[1]) };
        let mut requests = 0;
        let outcome = shape.scene().run(|role, _, batch| match role {
            Role::Client => remove_shares(batch[0].body()),
            Role::Server => requests += 1,
        });
        assert_eq!(requests, 1);
        // A request for a share that it has sent is none to the client; the server sees the second hello without one.
        let role = if retry { Role::Server } else { Role::Client };
        outcome.refused(role, AlertDescription::ILLEGAL_PARAMETER, retry);
    }
}

/// The key_share extension of a ClientHello gets an empty list.
fn remove_shares(body: &mut Vec<u8>) {
    let hello = ClientHello::read(body).unwrap();
    let all = hello.extensions.iter().map(|(_, data)| data.len() + 4).sum::<usize>();
    let shares = hello.extensions.find(ExtensionType::KEY_SHARE).unwrap();
    let (at, len) = (shares.as_ptr() as usize - body.as_ptr() as usize, shares.len());
    let block = body.len() - all - 2;
    body.splice(at - 2..at + len, [0, 2, 0, 0]);
    let left = u16::try_from(all + 2 - len).unwrap();
    body[block..block + 2].copy_from_slice(&left.to_be_bytes());
    assert!(Reader::new(&body[block..]).u16().is_ok() && ClientHello::read(body).is_ok());
}

/// One suite here, another there: what the server says the second time is not what it said the first time, and the client
/// holds to what it was told first.
#[test]
fn sm29_the_suite_stays_what_it_was() {
    for version in VERSIONS {
        let other = match version {
            ProtocolVersion::DTLS1_2 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            _ => CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        };
        let outcome = Shape::new(version).tampered(Role::Server, T::SERVER_HELLO, |batch| {
            let mut again = batch[0].clone();
            let body = again.body();
            let at = 2 + 32 + 1 + usize::from(body[34]);
            body[at..at + 2].copy_from_slice(&other.0.to_be_bytes());
            batch.insert(1, again);
        });
        outcome.unexpected(Role::Client, version);
    }
}

/// RFC 5246 §7.4.6, RFC 8446 §4.4.2: who has no certificate says so, and is judged by who asked.
#[test]
fn sm05_sm32_who_must_have_a_certificate_and_has_none_is_refused() {
    for version in VERSIONS {
        let mut sent = Vec::new();
        let mut scene = Scene::between(Shape::new(version).client(), Shape::mutual(version).server());
        let outcome = scene.run(|role, nth, batch| {
            if role == Role::Client && nth > 0 {
                sent = batch.clone();
            }
        });
        let (error, body) = match version {
            ProtocolVersion::DTLS1_2 => (PeerIncompatible::NoClientCertificate.into(), &[0; 3][..]),
            _ => (Error::NoCertificate, &[0; 4][..]),
        };
        assert_eq!(outcome.failure, Some((Role::Server, error)));
        assert_eq!(
            sent[0],
            match &sent[0] {
                Sent::Message(epoch, message) =>
                    Sent::Message(*epoch, OwnedMessage { body: body.to_vec(), ..message.clone() }),
                Sent::ChangeCipherSpec => panic!("a Certificate"),
            }
        );
        assert!(sent[0].is(T::CERTIFICATE) && !sent.iter().any(|sent| sent.is(T::CERTIFICATE_VERIFY)));
        assert_eq!(outcome.complete, [version == VERSIONS[1], false], "the server has not let it in");
    }
}
