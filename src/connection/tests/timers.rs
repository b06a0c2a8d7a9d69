//! Time: what is sent again, and that everything ends.

use super::*;
use crate::connection::CloseReason;
use crate::error::{ApiMisuse, Discard};
use crate::wire::record::PLAINTEXT_HEADER_LEN;

/// Whatever is the last that one end hears of the other: it always ends, in bounded time and with bounded effort.
#[test]
fn a_peer_that_vanishes_is_given_up_at_every_point_of_every_handshake() {
    for setup in Setup::all() {
        for mtu in [1200, 200] {
            let mut setup = setup.clone();
            setup.transport.set_mtu(mtu).unwrap();
            for victim_is_client in [true, false] {
                for heard in 0.. {
                    if vanish_after(&setup, victim_is_client, heard) {
                        break;
                    }
                }
            }
        }
    }
}

/// The victim hears `heard` datagrams and no more. Returns whether there were no more.
fn vanish_after(setup: &Setup, victim_is_client: bool, mut heard: usize) -> bool {
    let case =
        format!("{} mutual {} retry {} client {victim_is_client} {heard}", setup.version, setup.mutual, setup.retry);
    let mut pair = setup.pair();
    let nothing_heard = heard == 0;
    let all_heard = loop {
        let (up, down) = (pair.up(), pair.down());
        if up.is_empty() && down.is_empty() {
            break true;
        }
        let (to_victim, to_peer) = if victim_is_client { (down, up) } else { (up, down) };
        let now = pair.now;
        let (victim, peer) = match victim_is_client {
            true => (&mut pair.client, &mut pair.server),
            false => (&mut pair.server, &mut pair.client),
        };
        for datagram in to_peer {
            give(peer, &datagram, now).unwrap();
        }
        let passed = to_victim.len().min(heard);
        for datagram in &to_victim[..passed] {
            give(victim, datagram, now).unwrap();
        }
        heard -= passed;
        if passed < to_victim.len() {
            break false;
        }
    };
    let victim = if victim_is_client { &mut pair.client } else { &mut pair.server };
    let start = pair.now;
    let mut now = start;
    drain(victim, now);
    let mut steps = 0;
    while let Some(deadline) = victim.poll_timeout() {
        now = now.max(deadline);
        victim.handle_timeout(now);
        drain(victim, now);
        steps += 1;
        assert!(steps <= 20, "{case}: busy");
    }
    assert!(now - start < 900 * SECOND, "{case}: after {:?}", now - start);
    if victim_is_client || !nothing_heard {
        let failed =
            events(victim).last() == Some(&Event::Closed(CloseReason::Failed(Error::TimedOut { last_fault: None })));
        assert!(victim.is_established() != failed, "{case}");
        assert!(all_heard || failed || victim.is_established(), "{case}");
    }
    all_heard
}

#[test]
fn waiting_for_the_peer_sends_nothing_and_is_forgotten_when_it_comes() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    pair.client.set_mtu(1200).unwrap();
    pair.server.set_mtu(200).unwrap();
    let up = pair.up();
    pair.give_server(&up);
    let down = pair.down();
    // ServerHello alone: the ClientHello is answered, and not sent again.
    pair.give_client(&down[..1]);
    // The ACK is lost.
    pair.now += SECOND / 4;
    pair.client.handle_timeout(pair.now);
    assert_eq!(pair.up().len(), 1);
    let deadline = pair.client.poll_timeout().unwrap();
    assert!(deadline - pair.now > 60 * SECOND);
    // However late the rest comes, the handshake goes on.
    pair.now = deadline - SECOND;
    pair.client.handle_timeout(pair.now);
    pair.give_client(&down[1..]);
    pair.run();
    assert!(pair.client.is_established() && pair.server.is_established());
    assert_eq!(pair.client.poll_timeout(), None);
}

/// A ServerHello, which anyone may have sent, stops no timer; the next record of the server's flight does, however little
/// it brings.
#[test]
fn a_client_hello_is_repeated_until_the_server_is_heard_under_keys() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    let up = pair.up();
    pair.give_server(&up);
    let down = pair.down();
    let (header, rest) = down[0].split_at(PLAINTEXT_HEADER_LEN);
    let server_hello = usize::from(u16::from_be_bytes([header[11], header[12]]));
    assert!(rest.len() > server_hello);
    let deadline = pair.client.poll_timeout().unwrap();
    pair.give_client(&[[header, &rest[..server_hello]].concat()]);
    // First the ACK of it, then the ClientHello again and again, then the end.
    let mut expired = Vec::new();
    while let Some(at) = pair.client.poll_timeout() {
        pair.now = at;
        pair.client.handle_timeout(at);
        let sent = pair.up().first().map(|datagram| datagram[0]);
        expired.push((at, sent));
    }
    let hello = ContentType::HANDSHAKE.0;
    assert!(expired.iter().filter(|(_, sent)| *sent == Some(hello)).count() == 12, "{expired:?}");
    assert!(expired.contains(&(deadline, Some(hello))), "the timer was not restarted");
    let timed_out = Event::Closed(CloseReason::Failed(Error::TimedOut { last_fault: None }));
    assert_eq!(events(&mut pair.client), [timed_out]);

    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    pair.server.set_mtu(200).unwrap();
    let up = pair.up();
    pair.give_server(&up);
    let down = pair.down();
    pair.give_client(&down[..1]);
    pair.now = pair.client.poll_timeout().unwrap();
    pair.client.handle_timeout(pair.now);
    assert_ne!(pair.up()[0][0], hello, "an ACK under keys is all");
}

#[test]
fn a_server_that_nobody_has_called_waits_without_a_timer() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    assert_eq!(pair.server.poll_timeout(), None);
    pair.server.handle_timeout(pair.now + 10_000 * SECOND);
    assert!(pair.down().is_empty());
    pair.run();
    assert!(pair.server.is_established());
}

/// draft-ietf-tls-rfc9147bis §7 lets endpoints process ACKs in epoch 0; a forged one must not stop a retransmission.
#[test]
fn a_forged_ack_in_plaintext_stops_nothing() {
    let setup = Setup { retry: true, ..Setup::new(ProtocolVersion::DTLS1_3) };
    let mut pair = setup.pair();
    let up = pair.up();
    pair.give_server(&up);
    let down = pair.down();
    pair.give_client(&down);
    let lost = pair.up();
    assert!(!lost.is_empty());
    let numbers: Vec<u8> = (0..8_u64).flat_map(|n| [0_u64.to_be_bytes(), n.to_be_bytes()].concat()).collect();
    let ack = [&u16::try_from(numbers.len()).unwrap().to_be_bytes()[..], &numbers].concat();
    let forged = plaintext(ContentType::ACK, 900, &ack);
    assert_eq!(give(&mut pair.client, &forged, pair.now), Ok(vec![]));
    assert_eq!(pair.client.stats().discarded(Discard::Ack), 1);
    assert_eq!(give(&mut pair.server, &forged, pair.now), Ok(vec![]));
    assert!(pair.client.poll_timeout().unwrap() - pair.now <= SECOND);
    pair.sleep();
    pair.run();
    assert!(pair.client.is_established() && pair.server.is_established());
}

#[test]
fn r8_plaintext_that_is_repeated_makes_us_send_nothing() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        let hello = pair.up();
        pair.give_server(&hello);
        assert!(!pair.down().is_empty());
        let timeout = pair.server.poll_timeout();
        for _ in 0..100 {
            pair.give_server(&hello);
        }
        assert!(pair.down().is_empty());
        assert_eq!(pair.server.poll_timeout(), timeout);
    }
}

/// RFC 9147 §4.4: "if repeated retransmissions do not result in a response".
#[test]
fn the_mtu_falls_back_after_two_expiries_in_vain() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        let hello = pair.up();
        pair.give_server(&hello);
        let mut longest = Vec::new();
        for _ in 0..5 {
            longest.push(pair.down().iter().map(Vec::len).max().unwrap());
            pair.now = pair.server.poll_timeout().unwrap();
            pair.server.handle_timeout(pair.now);
        }
        assert!(longest[0] > 576 && longest[1] == longest[0], "{longest:?}");
        // A flight that would fit is no shorter for the step to 1024.
        let first = if longest[0] > 1024 { 1024 } else { 576 };
        assert!(longest[2] <= first && longest[2] > first - 50, "{longest:?}");
        assert!(longest[4] <= 256, "{longest:?}");
        // The application knows better.
        pair.server.set_mtu(1000).unwrap();
        let down = pair.down();
        assert!(down[0].len() > 500);
        pair.give_client(&down);
        pair.run();
        assert!(pair.server.is_established());
        assert_eq!(pair.server.mtu(), 1000);
    }
}

#[test]
fn a_pinned_mtu_stays_and_short_flights_never_lower_one() {
    for version in VERSIONS {
        let mut setup = Setup::new(version);
        for pinned in [false, true] {
            if pinned {
                setup.transport.pin_mtu();
            }
            let mut pair = setup.pair();
            let hello = pair.up();
            pair.give_server(&hello);
            for _ in 0..5 {
                pair.down();
                pair.now = pair.server.poll_timeout().unwrap();
                pair.client.handle_timeout(pair.now);
                pair.server.handle_timeout(pair.now);
                // It is not its length that keeps a ClientHello from being answered.
                assert!(pair.up().iter().all(|datagram| datagram.len() <= 256));
            }
            assert_eq!(pair.client.mtu(), 1200);
            assert_eq!(pair.server.mtu(), if pinned { 1200 } else { 256 });
        }
    }
}

#[test]
fn a_datagram_that_is_refused_lowers_the_mtu_at_once() {
    for version in VERSIONS {
        let mut setup = Setup::new(version);
        setup.transport.pin_mtu();
        let mut pair = setup.pair();
        let hello = pair.up();
        pair.give_server(&hello);
        let refused = pair.down();
        assert!(refused[0].len() > 576);
        pair.server.datagram_too_large(2000);
        assert!(pair.down().is_empty(), "longer than any that was sent");
        pair.server.datagram_too_large(refused[0].len());
        let steps = if refused[0].len() > 1024 { vec![1024, 576, 256] } else { vec![576, 256] };
        for step in steps {
            assert_eq!(pair.server.mtu(), step);
            let again = pair.down();
            assert!(again[0].len() > step - 50 && again.iter().all(|datagram| datagram.len() <= step));
            pair.server.datagram_too_large(again[0].len());
        }
        assert_eq!(pair.server.mtu(), 256, "there is nothing below");
        assert!(pair.down().is_empty());
        pair.sleep();
        pair.run();
        assert!(pair.server.is_established() && events(&mut pair.server) == [Event::HandshakeComplete]);
        // Data that is too long has nothing sent again.
        assert_eq!(pair.client.mtu(), 1200);
        events(&mut pair.client);
        let max = pair.client.max_payload();
        let mut datagram = [0; 1200];
        assert_eq!(pair.client.send(pair.now, &vec![0; max], &mut datagram), Ok(1200));
        pair.client.datagram_too_large(1200);
        assert!(pair.up().is_empty());
        let lower = pair.client.max_payload();
        assert_eq!(lower, max - 176);
        assert_eq!(events(&mut pair.client), [Event::MaxPayloadChanged { max: lower }]);
        let refused = pair.client.send(pair.now, &vec![0; max], &mut datagram);
        assert_eq!(refused, Err(crate::connection::SendError::TooLarge { max: lower }));
        pair.client.set_mtu(1024).unwrap();
        assert!(events(&mut pair.client).is_empty(), "it is what it was");
        pair.client.set_mtu(1200).unwrap();
        assert_eq!(events(&mut pair.client), [Event::MaxPayloadChanged { max }]);
    }
}

#[test]
fn a_timeout_of_nothing_is_no_reason_to_give_up() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    pair.client.set_initial_timeout(Duration::ZERO);
    pair.run();
    assert!(pair.client.is_established());
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    pair.up();
    pair.client.set_initial_timeout(Duration::ZERO);
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + Duration::from_millis(1)));
}

#[test]
fn the_mtu_has_a_floor_at_which_handshakes_work() {
    for setup in Setup::all() {
        let mut pair = setup.pair();
        assert_eq!(pair.client.set_mtu(63), Err(ApiMisuse::MtuTooSmall { floor: 64 }));
        pair.client.set_mtu(64).unwrap();
        pair.server.set_mtu(64).unwrap();
        let mut buffer = [0; 63];
        let short = pair.client.poll_transmit(pair.now, &mut buffer);
        assert_eq!(short, Err(ApiMisuse::BufferTooSmall { needed: 64 }));
        pair.run();
        assert!(pair.client.is_established() && pair.server.is_established());
        let floor = pair.client.mtu_floor();
        assert!(pair.client.set_mtu(floor - 1).is_err() && pair.client.set_mtu(floor).is_ok());
    }
}

/// RFC 6347 §4.2.4: the last flight is sent again when the peer's last message comes again, for twice the maximum
/// segment lifetime.
#[test]
fn t7_sm27_the_last_flight_of_dtls12_is_answerable_for_four_minutes() {
    for (after, answered) in [(0, true), (239, true), (241, false)] {
        let mut pair = Setup::new(ProtocolVersion::DTLS1_2).pair();
        let hello = pair.up();
        pair.give_server(&hello);
        let down = pair.down();
        pair.give_client(&down);
        let up = pair.up();
        pair.give_server(&up);
        assert!(!pair.down().is_empty());
        assert!(pair.server.is_established());
        assert_eq!(pair.server.poll_timeout(), None);
        // The client repeats its flight in vain.
        pair.now = pair.client.poll_timeout().unwrap();
        pair.client.handle_timeout(pair.now);
        let repeated = pair.up();
        let at = pair.now + Duration::from_secs(after) - SECOND;
        for datagram in &repeated {
            assert_eq!(give(&mut pair.server, datagram, at), Ok(vec![]));
        }
        let again = drain(&mut pair.server, at);
        assert_eq!(!again.is_empty(), answered, "after {after} s");
        // Replayed, it causes nothing.
        for datagram in &repeated {
            assert_eq!(give(&mut pair.server, datagram, at), Ok(vec![]));
        }
        assert!(drain(&mut pair.server, at).is_empty());
        if answered {
            pair.give_client(&again);
            assert!(pair.client.is_established());
        }
    }
}

/// A peer that was heard to repeat itself may be heard once more when its timer has become long.
#[test]
fn t7_who_has_asked_once_may_ask_again_after_more_than_four_minutes() {
    for version in VERSIONS {
        for (again_after, answered) in [(300, true), (700, false)] {
            let mut pair = Setup::new(version).pair();
            let hello = pair.up();
            pair.give_server(&hello);
            let down = pair.down();
            pair.give_client(&down);
            let up = pair.up();
            pair.give_server(&up);
            assert!(!pair.down().is_empty() && pair.server.is_established());
            // Each question is new to the server, each answer is lost.
            let mut questions = Vec::new();
            for _ in 0..2 {
                pair.now = pair.client.poll_timeout().unwrap();
                pair.client.handle_timeout(pair.now);
                questions.push(pair.up());
            }
            let start = pair.now;
            for (question, after, expected) in [(&questions[0], 0, true), (&questions[1], again_after, answered)] {
                let at = start + Duration::from_secs(after);
                for datagram in question {
                    assert_eq!(give(&mut pair.server, datagram, at), Ok(vec![]));
                }
                pair.server.handle_timeout(at + SECOND);
                assert_eq!(!drain(&mut pair.server, at + SECOND).is_empty(), expected, "{version} after {after} s");
            }
        }
    }
}

/// draft-ietf-tls-rfc9147bis §4.2.1.
#[test]
fn old_receive_keys_live_for_four_minutes() {
    for (after, arrives) in [(239, true), (242, false)] {
        let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
        let old = send(&mut pair.client, b"old", pair.now);
        pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested).unwrap();
        assert_eq!(pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested), Ok(()));
        pair.run();
        while pair.client.poll_timeout().or(pair.server.poll_timeout()).is_some() {
            pair.sleep();
            pair.run();
        }
        let updated = events(&mut pair.client);
        assert_eq!(updated.len(), 2, "{updated:?}");
        assert_eq!(events(&mut pair.server).len(), 2);
        let new = send(&mut pair.client, b"new", pair.now);
        assert_eq!(give(&mut pair.server, &new, pair.now), Ok(vec![b"new".to_vec()]));
        let late = pair.now + Duration::from_secs(after) - SECOND / 2;
        let expected = if arrives { vec![b"old".to_vec()] } else { vec![] };
        assert_eq!(give(&mut pair.server, &old, late), Ok(expected));
        assert_eq!(pair.server.stats().discarded(Discard::UnknownEpoch), u64::from(!arrives));
    }
}

/// draft-ietf-tls-rfc9147bis §8: "receivers MUST retain the pre-update keying material until receipt and successful
/// decryption of a message using the new keys", or a lost ACK would end the association.
#[test]
fn old_receive_keys_live_until_the_new_ones_are_used() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
    pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested).unwrap();
    let update = pair.up();
    pair.give_server(&update);
    // Every ACK is lost for longer than four minutes.
    pair.now += 250 * SECOND;
    pair.server.handle_timeout(pair.now);
    assert!(!pair.down().is_empty());
    let data = send(&mut pair.client, b"under old keys", pair.now);
    assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"under old keys".to_vec()]));
    pair.client.handle_timeout(pair.now);
    for _ in 0..3 {
        pair.run();
        pair.now += SECOND;
        pair.server.handle_timeout(pair.now);
        pair.client.handle_timeout(pair.now);
    }
    assert_eq!(events(&mut pair.client).len(), 2, "both directions are updated");
}

#[test]
fn input_before_the_output_is_drained_does_no_harm() {
    for setup in Setup::all() {
        let mut setup = setup;
        setup.transport.set_mtu(200).unwrap();
        let mut pair = setup.pair();
        for round in 0.. {
            // One datagram of each at most, with clocks that fire in between.
            pair.now += 100 * Duration::from_millis(1);
            pair.client.handle_timeout(pair.now);
            pair.server.handle_timeout(pair.now);
            let mut buffer = [0; 2048];
            if let Some(len) = pair.client.poll_transmit(pair.now, &mut buffer).unwrap() {
                give(&mut pair.server, &buffer[..len], pair.now).unwrap();
            }
            if let Some(len) = pair.server.poll_transmit(pair.now, &mut buffer).unwrap() {
                give(&mut pair.client, &buffer[..len], pair.now).unwrap();
            }
            if pair.client.is_established() && pair.server.is_established() {
                break;
            }
            assert!(round < 200, "{} stuck", setup.version);
        }
    }
}
