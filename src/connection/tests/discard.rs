//! What the network and forgers do, and what it must not do to us (RFC 9147 §4.5.2).

use super::*;
use crate::config::PlaintextFaults;
use crate::connection::{CloseReason, Phase};
use crate::error::{Discard, PeerMisbehaved, PlaintextFault};
use crate::wire::{AlertDescription, Malformed};

fn timed_out(fault: PlaintextFault) -> Event {
    Event::Closed(CloseReason::Failed(Error::TimedOut { last_fault: Some(fault) }))
}

/// Lets the client wait in vain until it gives up.
fn give_up(pair: &mut Pair) {
    while let Some(deadline) = pair.client.poll_timeout() {
        pair.now = pair.now.max(deadline);
        pair.client.handle_timeout(pair.now);
        if pair.client.poll_timeout().is_some() {
            drain(&mut pair.client, pair.now);
        }
    }
}

/// RFC 9147 §4.5.2: what is discarded touches no replay state, or a handful of datagrams would end a handshake.
#[test]
fn r1_forged_numbers_do_not_shut_out_the_peer() {
    let junk: [(ContentType, Vec<u8>); 3] = [
        (ContentType::APPLICATION_DATA, vec![]),
        (ContentType(99), vec![1]),
        // A fragment that might be the peer's.
        (ContentType::HANDSHAKE, message(HandshakeType::SERVER_HELLO_DONE, 6, &[])),
    ];
    for setup in Setup::all() {
        for (content_type, payload) in &junk {
            let mut pair = setup.pair();
            for sequence in 0..200 {
                let forged = plaintext(*content_type, sequence, payload);
                give(&mut pair.client, &forged, pair.now).unwrap();
                give(&mut pair.server, &forged, pair.now).unwrap();
            }
            pair.run();
            assert!(pair.client.is_established() && pair.server.is_established(), "{content_type:?}");
        }
    }
}

#[test]
fn plaintext_that_makes_no_sense_is_discarded_and_remembered() {
    let misbehaved = |what| PlaintextFault::Misbehaved(what);
    let cases = [
        (ContentType::APPLICATION_DATA, vec![1], misbehaved(PeerMisbehaved::ApplicationDataInWrongEpoch)),
        (ContentType(99), vec![1], misbehaved(PeerMisbehaved::UnknownContentType)),
        (ContentType::ALERT, vec![2], misbehaved(PeerMisbehaved::BadAlert)),
        (ContentType::ALERT, vec![9, 40], misbehaved(PeerMisbehaved::UnknownAlertLevel)),
        (ContentType::CHANGE_CIPHER_SPEC, vec![2], misbehaved(PeerMisbehaved::BadChangeCipherSpec)),
        (ContentType::HANDSHAKE, vec![], misbehaved(PeerMisbehaved::UnexpectedMessage)),
        (ContentType::HANDSHAKE, vec![2, 0, 0], PlaintextFault::Malformed(Malformed::Truncated)),
        (
            ContentType::HANDSHAKE,
            message(HandshakeType::SERVER_HELLO, 0, &[0xfe, 0xfd]),
            PlaintextFault::Malformed(Malformed::Truncated),
        ),
        (
            ContentType::HANDSHAKE,
            message(HandshakeType::FINISHED, 0, &[7; 12]),
            misbehaved(PeerMisbehaved::UnexpectedMessage),
        ),
        (ContentType::HANDSHAKE, message(HandshakeType(77), 0, &[]), misbehaved(PeerMisbehaved::UnexpectedMessage)),
    ];
    for (content_type, payload, fault) in cases {
        let forged = plaintext(content_type, 70, &payload);
        for version in VERSIONS {
            let mut setup = Setup::new(version);
            // It does not keep the handshake from completing …
            let mut pair = setup.pair();
            let hello = pair.up();
            let timeout = pair.client.poll_timeout();
            assert_eq!(give(&mut pair.client, &forged, pair.now), Ok(vec![]), "{fault:?}");
            assert_eq!(pair.client.stats().discarded_in_all(), 1);
            assert_eq!((pair.client.poll_timeout(), pair.up().len()), (timeout, 0));
            pair.give_server(&hello);
            pair.run();
            assert!(pair.client.is_established() && pair.server.is_established(), "{fault:?}");
            // … and explains why it did not.
            let mut pair = setup.pair();
            pair.up();
            assert_eq!(give(&mut pair.client, &forged, pair.now), Ok(vec![]));
            give_up(&mut pair);
            assert_eq!(events(&mut pair.client), [timed_out(fault)]);
            let alert = Error::from(fault).alert().unwrap();
            let sent = pair.up();
            assert_eq!(sent.len(), 1);
            assert_eq!((sent[0][0], &sent[0][11..]), (21, &[0, 2, 2, alert.0][..]));
            // On a transport that is hard to forge it is fatal.
            setup.transport.set_plaintext_faults(PlaintextFaults::Fatal);
            let mut pair = setup.pair();
            pair.up();
            assert_eq!(give(&mut pair.client, &forged, pair.now), Err(Error::from(fault)));
            assert_eq!(pair.up().len(), 1);
            assert_eq!(pair.client.poll_timeout(), None);
        }
    }
}

#[test]
fn a_plaintext_alert_counts_only_before_the_first_protected_record() {
    let alert = |sequence| plaintext(ContentType::ALERT, sequence, &[2, 40]);
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        let hello = pair.up();
        let failure = Err(Error::AlertReceived(AlertDescription::HANDSHAKE_FAILURE));
        assert_eq!(give(&mut pair.client, &alert(9), pair.now), failure);
        assert!(pair.up().is_empty(), "nobody answers an alert");
        pair.give_server(&hello);
        assert_eq!(give(&mut pair.server, &alert(9), pair.now), failure);

        let mut pair = Setup::new(version).established();
        assert_eq!(give(&mut pair.client, &alert(90), pair.now), Ok(vec![]));
        assert_eq!(give(&mut pair.server, &alert(90), pair.now), Ok(vec![]));
        assert!(pair.client.is_established() && pair.server.is_established());
    }
    // In the middle of a handshake too.
    let mut setup = Setup::new(ProtocolVersion::DTLS1_3);
    setup.transport.set_mtu(300).unwrap();
    let mut pair = setup.pair();
    let hello = pair.up();
    pair.give_server(&hello);
    let down = pair.down();
    pair.give_client(&down[..down.len() - 1]);
    assert_eq!(give(&mut pair.client, &alert(90), pair.now), Ok(vec![]));
    assert_eq!(pair.client.stats().discarded(Discard::PlaintextAlert), 1);
}

#[test]
fn records_that_overtake_the_server_hello_are_kept_within_bounds() {
    for keep in [true, false] {
        let mut setup = Setup::new(ProtocolVersion::DTLS1_3);
        setup.transport.set_mtu(300).unwrap();
        if !keep {
            setup.transport.set_max_early_records(0);
        }
        let mut pair = setup.pair();
        let hello = pair.up();
        pair.give_server(&hello);
        let mut down = pair.down();
        assert!(down.len() > 2);
        down.reverse();
        pair.give_client(&down);
        assert_eq!(pair.client.stats().discarded(Discard::EarlyRecord) > 0, !keep);
        assert_eq!(pair.client.is_established(), keep);
        // What was kept and opened cannot be opened again.
        let before = pair.client.stats().discarded(Discard::Replayed);
        pair.give_client(&down[..1]);
        assert_eq!(pair.client.stats().discarded(Discard::Replayed) - before, u64::from(keep));
        while !pair.client.is_established() || !pair.server.is_established() {
            pair.run();
            if !pair.client.is_established() || !pair.server.is_established() {
                pair.sleep();
            }
        }
    }
}

/// Short records cost more than their octets.
#[test]
fn r2_a_flood_of_early_records_fills_no_memory() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        let hello = pair.up();
        let unified = [0x2e, 0, 0, 0, 0].repeat(200);
        let full = [22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0].repeat(80);
        for _ in 0..200 {
            give(&mut pair.client, &unified, pair.now).unwrap();
            give(&mut pair.client, &full, pair.now).unwrap();
            give(&mut pair.server, &unified, pair.now).unwrap();
        }
        for end in [&pair.client, &pair.server] {
            let Phase::Handshaking(handshaking) = &end.phase else { panic!() };
            let memory: usize = handshaking.early.iter().map(|raw| raw.len().next_multiple_of(16) + 32).sum();
            assert!(memory <= 20 << 10, "{memory}");
            assert!(end.stats().discarded(Discard::EarlyRecord) > 30_000);
        }
        pair.give_server(&hello);
        pair.run();
        assert!(pair.client.is_established() && pair.server.is_established());
    }
}

/// RFC 5246 §7.1: a ChangeCipherSpec has no place in the order of messages, and anyone can send one.
#[test]
fn s1_change_cipher_specs_from_anyone_at_any_time_do_no_harm() {
    for setup in Setup::all() {
        let mut pair = setup.pair();
        let mut sequence = 1000;
        loop {
            let (up, down) = (pair.up(), pair.down());
            if up.is_empty() && down.is_empty() {
                break;
            }
            let mut forge = |end: &mut Connection| {
                sequence += 1;
                give(end, &plaintext(ContentType::CHANGE_CIPHER_SPEC, sequence, &[1]), pair.now).unwrap();
            };
            for datagram in up {
                forge(&mut pair.server);
                give(&mut pair.server, &datagram, pair.now).unwrap();
                forge(&mut pair.server);
            }
            for datagram in down {
                forge(&mut pair.client);
                give(&mut pair.client, &datagram, pair.now).unwrap();
                forge(&mut pair.client);
            }
        }
        assert!(pair.client.is_established() && pair.server.is_established());
    }
}

#[test]
fn records_of_one_datagram_are_taken_one_by_one() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        let (one, two) = (send(&mut pair.client, b"one", pair.now), send(&mut pair.client, b"two", pair.now));
        let mut forged = two.clone();
        *forged.last_mut().unwrap() ^= 1;
        let datagram = [&one[..], &forged, &one, &two, b"garbage"].concat();
        let before = pair.server.stats().clone();
        let data = give(&mut pair.server, &datagram, pair.now).unwrap();
        assert_eq!(data, [b"one", b"two"]);
        let stats = pair.server.stats();
        assert_eq!(stats.datagrams_received - before.datagrams_received, 1);
        assert_eq!(stats.records_received - before.records_received, 2);
        assert_eq!(stats.discarded(Discard::Undecryptable), 1);
        assert_eq!(stats.discarded(Discard::Replayed) - before.discarded(Discard::Replayed), 1);
        assert_eq!(stats.discarded_in_all() - before.discarded_in_all(), 3);
    }
}

/// A plaintext ClientHello on a live association is not renegotiation, only noise.
#[test]
fn s12_plaintext_on_a_live_association_is_noise() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        let hello = Setup::new(version).pair().up();
        for datagram in &hello {
            assert_eq!(give(&mut pair.server, datagram, pair.now), Ok(vec![]));
        }
        let forged = plaintext(ContentType::APPLICATION_DATA, 99, b"forged");
        assert_eq!(give(&mut pair.server, &forged, pair.now), Ok(vec![]));
        assert!(pair.server.is_established() && pair.down().is_empty());
        assert_eq!(pair.server.poll_timeout(), None);
    }
}
