//! What went wrong in Qt's DTLS classes, and goes right here. Each test bears the number of the defect in the table of
//! docs/FROM-QT.md; those of cookies, which need a listener, are in `qt_endpoint.rs`.

mod common {
    pub(crate) mod ends;
    pub(crate) mod pair;
}

use common::ends::{client_config, deliver, drain, server_config};
use common::pair::Pair;
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::time::{Duration, Instant};
use udtls::{
    AlertDescription, ClientConfig, CloseReason, Connection, Datagram, Error, Event, ProtocolVersion, SendError,
    ServerConfig,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// 5: an error is the association's own, says what was wrong, and leaves nothing behind for the next association.
#[test]
fn q05_an_error_is_the_associations_own() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        pair.client_trusts_nobody();
        pair.run();
        let errors = [pair.client_error(), pair.server_error()];
        assert!(matches!(errors[0], Some(Error::Certificate(_))), "{version}: {errors:?}");
        let alert = errors[0].as_ref().and_then(Error::alert).expect("an alert");
        assert_eq!(errors[1], Some(Error::AlertReceived(alert)), "{version}");
        let mut next = Pair::new(version);
        next.run();
        assert!(next.client.is_established() && next.server.is_established(), "{version}");
    }
}

/// 6: every record of a datagram is delivered, also of the datagram that completes the handshake.
#[test]
fn q06_every_record_of_a_datagram_is_delivered() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        // Who speaks last in the handshake adds data to its last datagram.
        let (client, server, now) = (&mut pair.client, &mut pair.server, pair.now);
        let (data, receiver) = loop {
            let flight = drain(client, now);
            if let Some(data) = joined(client, server, flight, now) {
                break (data, server);
            }
            let flight = drain(server, now);
            if let Some(data) = joined(server, client, flight, now) {
                break (data, client);
            }
        };
        assert!(receiver.is_established(), "{version}");
        assert_eq!(data, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()], "{version}");
    }
}

/// Hands a flight over. If its sender is done with the handshake and the receiver is not, data is added to the last datagram;
/// what of it arrives.
fn joined(from: &mut Connection, to: &mut Connection, flight: Vec<Vec<u8>>, now: Instant) -> Option<Vec<Vec<u8>>> {
    let (last, others) = flight.split_last()?;
    others.iter().for_each(|datagram| drop(deliver(to, now, &mut datagram.clone()).unwrap()));
    let mut last = last.clone();
    if !from.is_established() || to.is_established() {
        deliver(to, now, &mut last).unwrap();
        return None;
    }
    for payload in [&b"one"[..], b"two", b"three"] {
        let mut out = [0; 1500];
        let len = from.send(now, payload, &mut out).unwrap();
        last.extend_from_slice(&out[..len]);
    }
    Some(deliver(to, now, &mut last).unwrap())
}

/// 7: what is left of one datagram is never taken for the beginning of another.
#[test]
fn q07_a_datagram_ends_where_it_ends() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        let mut out = [0; 1500];
        let len = pair.client.send(pair.now, b"whole", &mut out).unwrap();
        let (front, back) = out[..len].split_at(len / 2);
        for mut half in [front.to_vec(), back.to_vec()] {
            assert_eq!(deliver(&mut pair.server, pair.now, &mut half), Ok(vec![]), "{version}");
        }
        assert_eq!(deliver(&mut pair.server, pair.now, &mut out[..len]), Ok(vec![b"whole".to_vec()]), "{version}");
    }
}

/// 8: a datagram that could not be written is a lost one: the flight comes again, and the application knows its own errors.
#[test]
fn q08_a_flight_that_was_not_written_comes_again() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        assert!(!drain(&mut pair.client, pair.now).is_empty(), "the ClientHello, which goes nowhere");
        pair.now = pair.client.poll_timeout().expect("a timer");
        pair.client.handle_timeout(pair.now);
        pair.run();
        assert!(pair.client.is_established() && pair.server.is_established(), "{version}");
        assert_eq!(pair.client.stats().retransmissions, 1, "{version}");
    }
}

/// 9: a handshake that nobody answers is given up, and says so.
#[test]
fn q09_a_client_gives_up_and_says_so() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        let mut expiries = 0;
        drain(&mut pair.client, pair.now);
        while let Some(due) = pair.client.poll_timeout() {
            pair.now = due;
            pair.client.handle_timeout(due);
            drain(&mut pair.client, due);
            expiries += 1;
            assert!(expiries < 100, "{version}: it tries for ever");
        }
        let error = pair.client_error();
        assert!(matches!(error, Some(Error::TimedOut { .. })), "{version}: {error:?}");
        assert!(expiries > 5, "{version}: it gave up after {expiries} expiries");
    }
}

/// 10: a deadline is exact; one that is due within a second is not another second away.
#[test]
fn q10_a_deadline_is_exact() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        let sent = pair.now;
        drain(&mut pair.client, sent);
        let due = pair.client.poll_timeout().expect("a timer");
        assert_eq!(due - sent, Duration::from_secs(1), "{version}");
        let nearly = due - Duration::from_nanos(1);
        pair.client.handle_timeout(nearly);
        assert!(drain(&mut pair.client, nearly).is_empty(), "{version}: too early");
        assert_eq!(pair.client.poll_timeout(), Some(due), "{version}");
        pair.client.handle_timeout(due);
        assert!(!drain(&mut pair.client, due).is_empty(), "{version}: the flight again");
    }
}

/// 11: garbage neither stops the timer nor moves it.
#[test]
fn q11_garbage_does_not_touch_the_timer() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        drain(&mut pair.client, pair.now);
        let due = pair.client.poll_timeout();
        for garbage in
            [&[][..], &[0], &[22; 13], &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4], &[255; 1400]]
        {
            let later = pair.now + Duration::from_millis(300);
            assert_eq!(deliver(&mut pair.client, later, &mut garbage.to_vec()), Ok(vec![]), "{version}");
            assert_eq!(pair.client.poll_timeout(), due, "{version}");
        }
    }
}

/// 12: the peer is judged before our Finished, and learns the verdict by an alert; there was never an association.
#[test]
fn q12_a_refused_server_never_sees_a_complete_handshake() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        pair.client_trusts_nobody();
        pair.run();
        assert!(!pair.client_events.contains(&Event::HandshakeComplete), "{version}");
        assert!(!pair.server_events.contains(&Event::HandshakeComplete), "{version}");
        assert!(matches!(pair.server_error(), Some(Error::AlertReceived(_))), "{version}");
    }
}

/// 13: to abort sends the alert, in the middle of a handshake as after it.
#[test]
fn q13_abort_tells_the_peer() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        pair.client.abort(AlertDescription::ACCESS_DENIED);
        pair.run();
        assert_eq!(pair.server_error(), Some(Error::AlertReceived(AlertDescription::ACCESS_DENIED)), "{version}");

        let mut pair = Pair::new(version);
        pair.exchange();
        pair.server.abort(AlertDescription::INTERNAL_ERROR);
        pair.run();
        assert!(!pair.client.is_established(), "{version}");
    }
}

/// 15: the name is sent, and only subjectAltName is looked at (RFC 9525 §2).
#[test]
fn q15_the_name_is_sent_and_the_common_name_is_not_looked_at() {
    for version in VERSIONS {
        let pair = Pair::established(version);
        assert_eq!(pair.server.negotiated().and_then(|agreed| agreed.server_name()), Some("localhost"), "{version}");

        // localhost by its common name alone.
        let mut params = rcgen::CertificateParams::new(["other.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let server = ServerConfig::builder().with_no_client_auth().unwrap();
        let mut server = server.with_single_cert(vec![certificate], key).unwrap();
        server.set_versions(&[version]).unwrap();
        let mut client = ClientConfig::builder().with_root_certificates(roots).unwrap().with_no_client_auth();
        client.set_versions(&[version]).unwrap();
        let mut pair = Pair::with(client, server);
        pair.run();
        assert!(matches!(pair.client_error(), Some(Error::Certificate(_))), "{version}");
    }
}

/// 17: no order of calls does harm: before the handshake, during it, after the end.
#[test]
fn q17_no_order_of_calls_does_harm() {
    for version in VERSIONS {
        for phase in ["new", "established", "failed"] {
            let mut pair = match phase {
                "established" => Pair::established(version),
                _ => Pair::new(version),
            };
            if phase == "failed" {
                pair.server.abort(AlertDescription::INTERNAL_ERROR);
            }
            let server = &mut pair.server;
            for _ in 0..3 {
                server.handle_timeout(pair.now);
                let _ = server.poll_transmit(pair.now, &mut []);
                let mut none = [];
                let _ = server.receive(pair.now, &mut Datagram::new(&mut none));
                let _ = server.send(pair.now, b"data", &mut []);
                let _ = server.export_keying_material(b"label", None, &mut []);
                let _ = server.request_key_update(pair.now, udtls::KeyUpdateRequest::Requested);
                assert!(server.set_mtu(0).is_err());
                while server.poll_event().is_some() {}
            }
            server.close(pair.now);
            server.close(pair.now);
            let refused = server.send(pair.now, b"data", &mut [0; 1500]);
            assert!(refused.is_err(), "{version} {phase}: {refused:?}");
        }
    }
}

/// 18: whether a client verifies is decided when its configuration is built, and nothing can fail later for lack of it.
#[test]
fn q18_verification_is_decided_by_the_builder() {
    // Compiling is most of the test: a builder without a verification step has no `with_no_client_auth`.
    let roots = RootCertStore::empty();
    assert!(ClientConfig::builder().with_root_certificates(roots).is_err(), "nobody to trust");
    assert!(ClientConfig::builder().with_peer_fingerprints([]).is_err(), "nobody to trust");
}

/// 19: a server that discards the hello leaves no client hanging.
#[test]
fn q19_a_silent_server_ends_the_handshake() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        // The server's first flight comes, and nothing after it.
        let (hello, _) = pair.exchange();
        assert!(hello.is_some());
        drain(&mut pair.client, pair.now);
        let mut last = pair.now;
        while let Some(due) = pair.client.poll_timeout() {
            last = due;
            pair.client.handle_timeout(due);
            drain(&mut pair.client, due);
        }
        assert!(last > pair.now && pair.client_error().is_some(), "{version}");
    }
}

/// 20: a hello longer than the MTU goes out in fragments, and the headers are counted.
#[test]
fn q20_a_long_hello_goes_out_in_fragments() {
    let (mut client, server) = (client_config(ProtocolVersion::DTLS1_3), server_config(ProtocolVersion::DTLS1_3));
    client.set_key_shares(udtls::KeyShares::HybridFirst).unwrap();
    let mut pair = Pair::with(client, server);
    let now = pair.now;
    let flight = drain(&mut pair.client, now);
    assert!(flight.len() > 1, "one datagram of {}", flight[0].len());
    assert!(flight.iter().all(|datagram| datagram.len() <= 1200));
    for mut datagram in flight {
        deliver(&mut pair.server, now, &mut datagram).unwrap();
    }
    pair.run();
    assert!(pair.client.is_established() && pair.server.is_established());
}

/// 22: after a fatal error nothing is sent but the alert, and the error is the same however often one asks.
#[test]
fn q22_after_a_fatal_error_nothing_lives_on() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        pair.client.abort(AlertDescription::INTERNAL_ERROR);
        let now = pair.now;
        for _ in 0..3 {
            assert!(matches!(pair.client.send(now, b"data", &mut [0; 1500]), Err(SendError::Closed)), "{version}");
        }
        assert_eq!(drain(&mut pair.client, now).len(), 1, "{version}: the alert");
        assert!(drain(&mut pair.client, now).is_empty(), "{version}");
        assert_eq!(pair.client.poll_timeout(), None, "{version}");
        let closed = std::iter::from_fn(|| pair.client.poll_event());
        let closed = closed.filter(|event| matches!(event, Event::Closed(CloseReason::Failed(_)))).count();
        assert_eq!(closed, 1, "{version}");
    }
}

/// Of the table of tests: a write that is too long fails, says what fits, and does not harm the association.
#[test]
fn a_write_that_is_too_long_fails_and_harms_nothing() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        let mut out = vec![0; 20_000];
        let max = pair.client.max_payload();
        let refused = pair.client.send(pair.now, &[7; 17_000], &mut out);
        assert!(matches!(refused, Err(SendError::TooLarge { max: said }) if said == max), "{version}: {refused:?}");
        let len = pair.client.send(pair.now, &vec![7; max], &mut out).unwrap();
        let data = deliver(&mut pair.server, pair.now, &mut out[..len]);
        assert_eq!(data, Ok(vec![vec![7; max]]), "{version}");
    }
}
