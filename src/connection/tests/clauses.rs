//! Single sentences of the standards that an association keeps and that nothing else here shows; docs/RFC.md lists all of
//! them.

use super::*;
use crate::connection::CloseReason;
use crate::wire::{AlertDescription, ack::Epoch, hello::ClientHello, record::UnifiedFlags};

/// Content types and epochs of the 13-octet headers in datagrams; a record with a unified header ends the look at one.
fn full_headers(datagrams: &[Vec<u8>]) -> Vec<(ContentType, u16)> {
    let mut headers = Vec::new();
    for mut datagram in datagrams.iter().map(Vec::as_slice) {
        while datagram.len() >= 13 && UnifiedFlags::read(datagram[0]).is_none() {
            headers.push((ContentType(datagram[0]), u16::from_be_bytes([datagram[3], datagram[4]])));
            datagram = &datagram[13 + usize::from(u16::from_be_bytes([datagram[11], datagram[12]]))..];
        }
    }
    headers
}

/// The two low bits of the epoch of a record with a unified header.
fn epoch_bits(datagram: &[u8]) -> u8 {
    assert!(UnifiedFlags::read(datagram[0]).is_some());
    datagram[0] & 0b11
}

/// draft-ietf-tls-rfc9147bis §5: "DTLS servers MUST NOT send ChangeCipherSpec messages when negotiating DTLS 1.3"; no client
/// does, either. In DTLS 1.2 each end sends one.
#[test]
fn rfc9147_5_nobody_sends_a_change_cipher_spec_in_dtls13() {
    for setup in Setup::all() {
        let mut pair = setup.pair();
        let mut specs = [0; 2];
        loop {
            let flights = [pair.up(), pair.down()];
            if flights.iter().all(Vec::is_empty) {
                break;
            }
            for (count, flight) in specs.iter_mut().zip(&flights) {
                let headers = full_headers(flight);
                *count += headers.iter().filter(|(ty, _)| *ty == ContentType::CHANGE_CIPHER_SPEC).count();
            }
            pair.give_server(&flights[0]);
            pair.give_client(&flights[1]);
        }
        assert!(pair.client.is_established() && pair.server.is_established());
        let expected = if setup.version == ProtocolVersion::DTLS1_2 { [1, 1] } else { [0, 0] };
        assert_eq!(specs, expected, "{}", setup.version);
    }
}

/// RFC 9147 §5.3, RFC 8446 §4.1.2: what a ClientHello of DTLS 1.3 says in the fields that older versions have left; the one
/// that answers a HelloRetryRequest is the same (§5.1).
#[test]
fn rfc9147_5_3_legacy_fields_of_a_client_hello() {
    let setup = Setup { retry: true, ..Setup::new(ProtocolVersion::DTLS1_3) };
    let mut pair = setup.pair();
    let mut hellos = Vec::new();
    for _ in 0..2 {
        let up = pair.up();
        hellos.push(up[0][25..].to_vec());
        pair.give_server(&up);
        let down = pair.down();
        pair.give_client(&down);
    }
    let hellos: Vec<_> = hellos.iter().map(|body| ClientHello::read(body).unwrap()).collect();
    for hello in &hellos {
        assert_eq!(hello.legacy_version, ProtocolVersion::DTLS1_2);
        assert_eq!((hello.session_id, hello.legacy_cookie), (&[][..], &[][..]));
        assert_eq!(hello.compression_methods, [0]);
        let versions: Vec<_> = hello.known.supported_versions.unwrap().iter().collect();
        assert_eq!(versions, [ProtocolVersion::DTLS1_3]);
    }
    assert_eq!(hellos[0].random, hellos[1].random);
    pair.run();
    assert!(pair.client.is_established() && pair.server.is_established());
}

/// RFC 9147 §7: during the handshake an ACK goes "with an epoch which is equal to or higher than the record which is being
/// acknowledged", which is "the highest current sending epoch"; after it, under the newest keys.
#[test]
fn rfc9147_7_acks_go_under_the_newest_keys() {
    let mut setup = Setup::new(ProtocolVersion::DTLS1_3);
    setup.transport.set_mtu(200).unwrap();
    let mut pair = setup.pair();
    let up = pair.up();
    pair.give_server(&up);
    let down = pair.down();
    // A piece of the server's flight: the client has keys of epoch 2, and nothing else to say.
    pair.give_client(&down[..down.len() - 1]);
    pair.now += SECOND / 4;
    pair.client.handle_timeout(pair.now);
    let acks = pair.up();
    assert_eq!((acks.len(), pair.client.stats().acks_sent), (1, 1));
    assert_eq!(epoch_bits(&acks[0]), 2);
    pair.give_client(&down[down.len() - 1..]);
    // The Finished came in epoch 2, and the server acknowledges it in epoch 3.
    let finished = pair.up();
    assert_eq!(epoch_bits(&finished[0]), 2);
    pair.give_server(&finished);
    let acks = pair.down();
    assert_eq!((acks.len(), pair.server.stats().acks_sent), (1, 1));
    assert_eq!(epoch_bits(&acks[0]), 3);
    pair.give_client(&acks);
    // The server's keys change; what it then acknowledges came under the client's old ones.
    pair.server.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
    pair.run();
    while pair.client.poll_timeout().or(pair.server.poll_timeout()).is_some() {
        pair.sleep();
        pair.run();
    }
    pair.client.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
    let update = pair.up();
    assert_eq!(epoch_bits(&update[0]), 3);
    pair.give_server(&update);
    pair.now = pair.server.poll_timeout().unwrap();
    pair.server.handle_timeout(pair.now);
    let acks = pair.down();
    assert_eq!((acks.len(), pair.server.stats().acks_sent), (1, 2));
    assert_eq!(epoch_bits(&acks[0]), Epoch(4).0 as u8 & 0b11);
}

/// RFC 9147 §5.8.2, RFC 6347 §4.2.4.1: "an initial timer value of 1000 ms", doubled "up to no less than 60 seconds".
#[test]
fn rfc9147_5_8_2_the_timer_starts_with_a_second() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        let mut timeouts = Vec::new();
        pair.up();
        while let Some(deadline) = pair.client.poll_timeout() {
            timeouts.push((deadline - pair.now).as_millis());
            pair.now = deadline;
            pair.client.handle_timeout(pair.now);
            pair.up();
        }
        assert_eq!(timeouts[..7], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000], "{version}");
        assert!(timeouts[7..].iter().all(|timeout| *timeout == 60_000), "{timeouts:?}");
    }
}

/// RFC 9147 §7.1: "ACKs MUST NOT be sent for records of any content type other than handshake or for records which cannot be
/// deprotected", not even later together with others.
#[test]
fn rfc9147_7_1_what_does_not_deprotect_is_not_acknowledged() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
    pair.client.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
    let update = pair.up();
    let mut forged = update[0].clone();
    *forged.last_mut().unwrap() ^= 1;
    let data = send(&mut pair.client, b"data", pair.now);
    let acks = pair.server.stats().acks_sent;
    give(&mut pair.server, &forged, pair.now).unwrap();
    give(&mut pair.server, &data, pair.now).unwrap();
    assert_eq!(pair.server.poll_timeout(), None);
    assert!(pair.down().is_empty());
    pair.now += SECOND;
    pair.client.handle_timeout(pair.now);
    let again = pair.up();
    assert_eq!(again.len(), 1);
    pair.give_server(&again);
    pair.now = pair.server.poll_timeout().unwrap();
    pair.server.handle_timeout(pair.now);
    // One ACK, of the Finished and of what came at last: a header of five octets, two of length, sixteen for each number, the
    // content type and the tag.
    let ack = pair.down();
    assert_eq!((ack.len(), pair.server.stats().acks_sent - acks), (1, 1));
    assert_eq!(ack[0].len(), 5 + 2 + 2 * 16 + 1 + 16);
}

/// RFC 6347 §4.2.1: "the client MUST use the same parameter values (version, random, session_id, cipher_suites,
/// compression_method) as it did in the original ClientHello", however often it is asked.
#[test]
fn rfc6347_4_2_1_the_second_hello_is_the_first_with_a_cookie() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_2).pair();
    let mut hellos = vec![pair.up()[0][25..].to_vec()];
    for asked in 0..4u8 {
        let request = message(HandshakeType::HELLO_VERIFY_REQUEST, asked.into(), &[0xfe, 0xff, 2, asked, asked]);
        pair.give_client(&[plaintext(ContentType::HANDSHAKE, asked.into(), &request)]);
        hellos.push(pair.up()[0][25..].to_vec());
    }
    let first = ClientHello::read(&hellos[0]).unwrap();
    assert!(first.legacy_cookie.is_empty());
    // RFC 5246 §7.4.1.2: null, and nothing else.
    assert_eq!(first.compression_methods, [0]);
    for (asked, hello) in (0..).zip(&hellos[1..]) {
        let hello = ClientHello::read(hello).unwrap();
        assert_eq!(hello.legacy_cookie, [asked; 2]);
        assert_eq!((hello.legacy_version, hello.random), (first.legacy_version, first.random));
        assert_eq!(hello.session_id, first.session_id);
        let suites = |hello: &ClientHello<'_>| hello.cipher_suites.iter().collect::<Vec<_>>();
        assert_eq!(suites(&hello), suites(&first));
        assert_eq!(hello.compression_methods, first.compression_methods);
        assert!(hello.extensions.iter().eq(first.extensions.iter()));
    }
}

/// A record that the client seals for the server under its newest keys, whatever is in it.
fn sealed(pair: &mut Pair, version: ProtocolVersion, content_type: ContentType, payload: &[u8]) -> Vec<u8> {
    let epoch = if version == ProtocolVersion::DTLS1_2 { Epoch(1) } else { Epoch(3) };
    let mut out = [0; 200];
    let fill = |room: &mut [u8]| {
        room[..payload.len()].copy_from_slice(payload);
        Some(payload.len())
    };
    let sealed = pair.client.records.seal(epoch, content_type, &mut out, fill).unwrap().unwrap();
    out[..sealed.len].to_vec()
}

/// RFC 8446 §5, §5.1, §5.4, RFC 5246 §6, §6.2.1: what no honest peer seals: unknown types, change_cipher_spec after the
/// handshake, empty handshake records, alerts of other lengths than one.
#[test]
fn rfc8446_5_odd_records_under_keys_are_fatal() {
    use AlertDescription as Alert;
    let odd = [
        (ContentType(99), &[1][..], Alert::UNEXPECTED_MESSAGE),
        (ContentType::CHANGE_CIPHER_SPEC, &[2], Alert::UNEXPECTED_MESSAGE),
        (ContentType::HANDSHAKE, &[], Alert::UNEXPECTED_MESSAGE),
        (ContentType::ALERT, &[], Alert::DECODE_ERROR),
        (ContentType::ALERT, &[1], Alert::DECODE_ERROR),
        (ContentType::ALERT, &[1, 0, 1, 0], Alert::DECODE_ERROR),
    ];
    for version in VERSIONS {
        for (content_type, payload, alert) in odd {
            let mut pair = Setup::new(version).established();
            let record = sealed(&mut pair, version, content_type, payload);
            let error = give(&mut pair.server, &record, pair.now).unwrap_err();
            assert_eq!(error.alert(), Some(alert), "{version} {content_type:?} {payload:?}");
            assert!(!pair.server.is_established());
            pair.run();
            let told = Event::Closed(CloseReason::Failed(Error::AlertReceived(alert)));
            assert_eq!(events(&mut pair.client), [told]);
        }
    }
}

/// RFC 8446 §6: "Unknown Alert types MUST be treated as error alerts", and all but two are errors "regardless of the
/// AlertLevel". RFC 5246 §7.2.2 leaves warnings to the receiver: none ends a DTLS 1.2 association here.
#[test]
fn rfc8446_6_unknown_alerts_and_levels_are_errors() {
    for version in VERSIONS {
        for description in [AlertDescription(99), AlertDescription::HANDSHAKE_FAILURE, AlertDescription(100)] {
            for level in [1, 2] {
                let mut pair = Setup::new(version).established();
                let record = sealed(&mut pair, version, ContentType::ALERT, &[level, description.0]);
                let result = give(&mut pair.server, &record, pair.now);
                let fatal = level == 2 || version == ProtocolVersion::DTLS1_3;
                let expected = if fatal { Err(Error::AlertReceived(description)) } else { Ok(vec![]) };
                assert_eq!(result, expected, "{version} {level} {description:?}");
                assert_eq!(pair.server.is_established(), !fatal);
                assert!(pair.down().is_empty(), "an alert is not answered");
            }
        }
        // user_canceled is no error in either version.
        let mut pair = Setup::new(version).established();
        let record = sealed(&mut pair, version, ContentType::ALERT, &[1, AlertDescription::USER_CANCELED.0]);
        assert_eq!(give(&mut pair.server, &record, pair.now), Ok(vec![]));
        assert!(pair.server.is_established());
    }
}

/// RFC 5246 §7.4.1.3: the server's random is "independently generated from the ClientHello.random", and both are new each time.
#[test]
fn rfc5246_7_4_1_3_randoms_are_drawn_anew() {
    for version in VERSIONS {
        let mut randoms = Vec::new();
        for _ in 0..3 {
            let mut pair = Setup::new(version).pair();
            let up = pair.up();
            pair.give_server(&up);
            randoms.extend([&up, &pair.down()].map(|flight| flight[0][27..59].to_vec()));
        }
        randoms.sort();
        randoms.dedup();
        assert_eq!(randoms.len(), 6, "{version}");
    }
}

/// RFC 5246 §7.2.2, RFC 8446 §B.2: what "MUST NOT be sent" has no name here, so that no error of ours can become it.
#[test]
fn rfc5246_7_2_2_obsolete_alerts_have_no_name() {
    let has_name = |code: u8| !format!("{:?}", AlertDescription(code)).starts_with("AlertDescription(0x");
    assert!(has_name(40) && has_name(0) && !has_name(255));
    for obsolete in [21, 30, 41, 60] {
        assert!(!has_name(obsolete), "{obsolete}");
    }
}
