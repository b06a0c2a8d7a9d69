//! A stateless listener before associations: the decision table, sizes and numbers of its answers, whole handshakes through it.

mod common {
    pub(crate) mod ends;
}

use common::ends::{client_config, deliver, drain, new_client, server_config};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    AlertDescription, ClientConfig, ConfigError, Connection, CookieFault, CookieKeys, Decision, DropReason,
    HelloRetryRequest, Listener, NamedGroup, ProtocolVersion, Reply, ReplyKind, ServerConfig, Source,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

struct Scene {
    listener: Listener,
    config: Arc<ServerConfig>,
    now: Instant,
    source: Source,
}

impl Scene {
    fn new(config: ServerConfig) -> Self {
        let (config, now) = (Arc::new(config), Instant::now());
        let listener = Listener::new(config.clone(), CookieKeys::new(now).unwrap());
        Self { listener, config, now, source: source("192.0.2.1:40000") }
    }

    /// A server of both versions, without the hybrid group, whose share would make the second ClientHello two datagrams.
    fn both() -> Self {
        let mut config = server_config(ProtocolVersion::DTLS1_3);
        config.set_versions(&VERSIONS).unwrap();
        config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
        Self::new(config)
    }

    fn decide(&self, datagram: &[u8]) -> (Decision, Vec<u8>) {
        let mut reply = vec![0; 200];
        let decision = self.listener.handle(self.now, self.source, datagram, &mut reply);
        if let Decision::Reply(Reply { len, .. }) = &decision {
            reply.truncate(*len);
        }
        (decision, reply)
    }

    /// What is answered, and with which fault.
    fn answer(&self, datagram: &[u8]) -> (ReplyKind, Option<CookieFault>, Vec<u8>) {
        match self.decide(datagram) {
            (Decision::Reply(Reply { kind, cookie, .. }), reply) => (kind, cookie, reply),
            (other, _) => panic!("{other:?}"),
        }
    }
}

fn source(remote: &str) -> Source {
    Source::new(remote.parse::<SocketAddr>().unwrap(), None).unwrap()
}

fn client(config: ClientConfig, now: Instant) -> Connection {
    new_client(&Arc::new(config), now)
}

/// The one datagram of a client's next flight.
fn datagram(client: &mut Connection, now: Instant) -> Vec<u8> {
    let mut flight = drain(client, now);
    assert_eq!(flight.len(), 1, "in one datagram");
    flight.remove(0)
}

/// Record sequence number and message_seq of a datagram that begins with a handshake message.
fn numbers(datagram: &[u8]) -> ([u8; 6], [u8; 2]) {
    (datagram[5..11].try_into().unwrap(), datagram[17..19].try_into().unwrap())
}

#[test]
fn a_client_shows_its_cookie_and_is_served() {
    for version in VERSIONS {
        let scene = Scene::both();
        let mut client = client(client_config(version), scene.now);
        let first = datagram(&mut client, scene.now);
        let (kind, cookie, mut reply) = scene.answer(&first);
        let (expected, most) = match version {
            ProtocolVersion::DTLS1_3 => (ReplyKind::HelloRetryRequest, 180.min(2 * first.len() - 1)),
            _ => (ReplyKind::HelloVerifyRequest, first.len()),
        };
        assert_eq!((kind, cookie), (expected, None), "{version}");
        assert!(reply.len() <= most, "{version}: {} octets", reply.len());
        assert_eq!(numbers(&reply), numbers(&first), "{version}");

        deliver(&mut client, scene.now, &mut reply).unwrap();
        let second = datagram(&mut client, scene.now);
        let (Decision::Accept(validated), _) = scene.decide(&second) else { panic!("{version}: not accepted") };
        let mut server = validated.accept(scene.config.clone(), scene.now).unwrap();
        let mut flight = drain(&mut server, scene.now);
        assert_eq!(numbers(&flight[0]), numbers(&second), "{version}: it goes on from there");
        for _ in 0..5 {
            flight.iter_mut().for_each(|datagram| drop(deliver(&mut client, scene.now, datagram).unwrap()));
            drain(&mut client, scene.now)
                .iter_mut()
                .for_each(|datagram| drop(deliver(&mut server, scene.now, datagram).unwrap()));
            flight = drain(&mut server, scene.now);
        }
        assert!(client.is_established() && server.is_established(), "{version}");
        // Tickets are acknowledged after a while; then nothing is waited for, and nothing was sent twice.
        let mut now = scene.now;
        while let Some(due) = [&client, &server].iter().filter_map(|end| end.poll_timeout()).min() {
            now = now.max(due);
            client.handle_timeout(now);
            server.handle_timeout(now);
            drain(&mut client, now).iter_mut().for_each(|datagram| drop(deliver(&mut server, now, datagram).unwrap()));
            drain(&mut server, now).iter_mut().for_each(|datagram| drop(deliver(&mut client, now, datagram).unwrap()));
        }
        assert_eq!(client.stats().retransmissions + server.stats().retransmissions, 0, "{version}");
        let (mut ours, mut theirs) = ([0; 32], [0; 32]);
        client.export_keying_material(b"EXPERIMENTAL label", None, &mut ours).unwrap();
        server.export_keying_material(b"EXPERIMENTAL label", None, &mut theirs).unwrap();
        assert_eq!(ours, theirs, "{version}");
        let retried = match version {
            ProtocolVersion::DTLS1_3 => HelloRetryRequest::Answered,
            _ => HelloRetryRequest::Unneeded,
        };
        assert_eq!(server.negotiated().unwrap().hello_retry_request(), retried, "{version}");
    }
}

/// The retry is due anyway: it asks for the best group, and what the client sent a share of need not be it.
#[test]
fn the_retry_asks_for_the_best_group() {
    for (groups, asked) in [
        (&[NamedGroup::X25519MLKEM768, NamedGroup::X25519][..], true),
        (&[NamedGroup::X25519, NamedGroup::SECP256R1], false),
        (&[NamedGroup::SECP384R1], true),
    ] {
        let mut config = server_config(ProtocolVersion::DTLS1_3);
        config.set_groups(groups).unwrap();
        let scene = Scene::new(config);
        let mut client = client(client_config(ProtocolVersion::DTLS1_3), scene.now);
        let (_, _, reply) = scene.answer(&datagram(&mut client, scene.now));
        let group = u16::from(groups[0]).to_be_bytes();
        let key_share = [0, 51, 0, 2, group[0], group[1]];
        assert_eq!(reply.windows(6).any(|octets| octets == key_share), asked, "{groups:?}");
        assert!(reply.len() <= 180);
    }
}

#[test]
fn nothing_in_common_is_a_stateless_alert() {
    let offer = |change: &dyn Fn(&mut ClientConfig), version| {
        let mut config = client_config(version);
        change(&mut config);
        config
    };
    let chacha = [udtls::CipherSuite::TLS_CHACHA20_POLY1305_SHA256];
    let chacha12 = [udtls::CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256];
    for (server, client_config, alert) in [
        (VERSIONS[0], offer(&|_| {}, VERSIONS[1]), AlertDescription::PROTOCOL_VERSION),
        (VERSIONS[1], offer(&|_| {}, VERSIONS[0]), AlertDescription::PROTOCOL_VERSION),
        (
            VERSIONS[1],
            offer(
                &|c| {
                    c.set_cipher_suites(&chacha).unwrap();
                },
                VERSIONS[1],
            ),
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            VERSIONS[0],
            offer(
                &|c| {
                    c.set_cipher_suites(&chacha12).unwrap();
                },
                VERSIONS[0],
            ),
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            VERSIONS[1],
            offer(
                &|c| {
                    c.set_groups(&[NamedGroup::SECP384R1]).unwrap();
                },
                VERSIONS[1],
            ),
            AlertDescription::HANDSHAKE_FAILURE,
        ),
    ] {
        let mut config = server_config(server);
        config.set_groups(&[NamedGroup::X25519]).unwrap();
        config
            .set_cipher_suites(&match server {
                ProtocolVersion::DTLS1_3 => [udtls::CipherSuite::TLS_AES_128_GCM_SHA256],
                _ => [udtls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
            })
            .unwrap();
        let scene = Scene::new(config);
        let hello = datagram(&mut client(client_config, scene.now), scene.now);
        let (kind, _, reply) = scene.answer(&hello);
        assert_eq!(kind, ReplyKind::Alert(alert));
        // alert, DTLS 1.2, epoch 0, the number of the hello, two octets.
        assert_eq!([&reply[..5], &reply[11..]].concat(), [21, 254, 253, 0, 0, 0, 2, 2, alert.into()]);
        assert_eq!(reply[5..11], hello[5..11]);
    }
}

/// Expired, from another address, with a flipped bit: in DTLS 1.2 as if there were none, in 1.3 an alert.
#[test]
fn sm13_a_bad_cookie_is_answered_as_each_version_wants_it() {
    for version in VERSIONS {
        let mut scene = Scene::both();
        let mut client = client(client_config(version), scene.now);
        let first = datagram(&mut client, scene.now);
        let (_, _, mut reply) = scene.answer(&first);
        deliver(&mut client, scene.now, &mut reply).unwrap();
        let second = datagram(&mut client, scene.now);
        let expected = match version {
            ProtocolVersion::DTLS1_3 => ReplyKind::Alert(AlertDescription::ILLEGAL_PARAMETER),
            _ => ReplyKind::HelloVerifyRequest,
        };
        let check = |scene: &Scene, datagram: &[u8], fault| {
            let (kind, cookie, reply) = scene.answer(datagram);
            assert_eq!((kind, cookie), (expected, Some(fault)), "{version}");
            assert!(reply.len() <= datagram.len(), "{version}");
        };
        for remote in ["192.0.2.2:40000", "192.0.2.1:40001", "[2001:db8::1]:40000"] {
            scene.source = source(remote);
            check(&scene, &second, CookieFault::Forged);
        }
        scene.source = source("[::ffff:192.0.2.1]:40000");
        assert!(matches!(scene.decide(&second), (Decision::Accept(_), _)), "{version}: the same address");
        scene.now += Duration::from_secs(181);
        check(&scene, &second, CookieFault::Age);
        scene.listener.rotate(scene.now).unwrap();
        scene.listener.rotate(scene.now).unwrap();
        check(&scene, &second, CookieFault::Key);
    }
}

/// Every octet of a ClientHello changed, every length: a verdict, and no panic.
#[test]
fn damaged_hellos_get_a_verdict() {
    for version in VERSIONS {
        let scene = Scene::both();
        let hello = datagram(&mut client(client_config(version), scene.now), scene.now);
        for at in 0..hello.len() {
            for value in [0, 1, 0x7f, 0xff, hello[at] ^ 1] {
                let mut changed = hello.clone();
                changed[at] = value;
                let (decision, reply) = scene.decide(&changed);
                match decision {
                    Decision::Reply(_) => assert!(reply.len() < 2 * changed.len()),
                    Decision::Accept(_) => panic!("{version}: accepted with octet {at} = {value}"),
                    _ => {}
                }
            }
            let (decision, _) = scene.decide(&hello[..at]);
            assert!(matches!(decision, Decision::Drop(_)), "{version}: cut at {at}: {decision:?}");
        }
    }
}

#[test]
fn what_is_no_whole_hello_is_dropped_by_reason() {
    let scene = Scene::both();
    let hello = datagram(&mut client(client_config(VERSIONS[1]), scene.now), scene.now);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = hello.clone();
        change(&mut changed);
        match scene.decide(&changed).0 {
            Decision::Drop(reason) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(changed(&|datagram| datagram.clear()), DropReason::NotForUs);
    assert_eq!(changed(&|datagram| datagram[0] = 23), DropReason::NotForUs, "application data");
    assert_eq!(changed(&|datagram| datagram[1] = 3), DropReason::NotForUs, "TLS");
    assert_eq!(changed(&|datagram| datagram[4] = 1), DropReason::NotForUs, "epoch 1");
    assert_eq!(changed(&|datagram| datagram[13] = 2), DropReason::NotForUs, "a ServerHello");
    assert_eq!(changed(&|datagram| datagram[16] += 1), DropReason::Fragment, "of a longer message");
    assert_eq!(changed(&|datagram| datagram.truncate(40)), DropReason::Malformed);
    let mut reply = [0; 10];
    let decision = scene.listener.handle(scene.now, scene.source, &hello, &mut reply);
    assert!(matches!(decision, Decision::Drop(DropReason::ReplyTooLong)));
}

/// What was chosen by one configuration is not begun by another that would have chosen otherwise.
#[test]
fn a_client_is_accepted_by_what_it_was_answered_by() {
    for version in VERSIONS {
        let scene = Scene::both();
        let accepted = |scene: &Scene| {
            let mut client = client(client_config(version), scene.now);
            let first = datagram(&mut client, scene.now);
            let (_, _, mut reply) = scene.answer(&first);
            deliver(&mut client, scene.now, &mut reply).unwrap();
            let Decision::Accept(validated) = scene.decide(&datagram(&mut client, scene.now)).0 else { panic!("in") };
            validated
        };
        let other = VERSIONS.into_iter().find(|other| *other != version).unwrap();
        for config in [server_config(other), server_config(version)] {
            let refused = accepted(&scene).accept(Arc::new(config), scene.now);
            assert_eq!(refused.err(), Some(ConfigError::ParametersDiffer), "{version}");
        }
        assert!(accepted(&scene).accept(scene.config.clone(), scene.now).is_ok());
    }
}

/// Numbers at their end: a ClientHello may have any, and what cannot be numbered any more is not sent.
#[test]
fn hellos_with_the_last_numbers_do_no_harm() {
    for version in VERSIONS {
        for (record, message_seq) in [([0xff; 6], [0xff; 2]), ([0, 0, 0, 0, 0, 1], [0xff; 2]), ([0xff; 6], [0, 1])] {
            let scene = Scene::both();
            let mut client = client(client_config(version), scene.now);
            let first = datagram(&mut client, scene.now);
            let (_, _, mut reply) = scene.answer(&first);
            deliver(&mut client, scene.now, &mut reply).unwrap();
            let mut second = datagram(&mut client, scene.now);
            second[5..11].copy_from_slice(&record);
            second[17..19].copy_from_slice(&message_seq);
            let Decision::Accept(validated) = scene.decide(&second).0 else { panic!("{version}: let in") };
            let mut server = validated.accept(scene.config.clone(), scene.now).unwrap();
            let sent = drain(&mut server, scene.now);
            assert!(sent.iter().all(|datagram| datagram.len() <= 1500));
            assert!(!server.is_established());
            server.handle_timeout(scene.now + Duration::from_secs(2));
            drain(&mut server, scene.now + Duration::from_secs(2));
            // What goes beyond the last number would be another message, or another record, of the same number.
            let mut numbers: Vec<_> = sent.iter().map(|datagram| datagram[3..11].to_vec()).collect();
            numbers.sort();
            numbers.dedup();
            assert_eq!(numbers.len(), sent.len());
        }
    }
}
