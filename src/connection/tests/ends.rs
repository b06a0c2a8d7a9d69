//! Data, close, abort and misuse, in every phase.

use super::*;
use crate::config::{DataSize, Direction};
use crate::connection::{CloseReason, SendError, Sending};
use crate::error::{ApiMisuse, Discard};
use crate::wire::AlertDescription;

/// RFC 9147 §5.10: "generated again" while the peer goes on.
#[test]
fn a_fatal_alert_is_sent_four_times_at_most() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        pair.server.abort(AlertDescription::ACCESS_DENIED);
        let error = Error::Application(AlertDescription::ACCESS_DENIED);
        let lost = pair.down();
        assert_eq!(lost.len(), 1);
        let mut sent = 1;
        for _ in 0..10 {
            // Nothing by itself.
            pair.server.handle_timeout(pair.now + 1000 * SECOND);
            assert!(pair.down().is_empty());
            let data = send(&mut pair.client, b"hello?", pair.now);
            assert_eq!(give(&mut pair.server, &data, pair.now), Err(error.clone()));
            sent += pair.down().len();
        }
        assert_eq!(sent, 4);
        assert_eq!(pair.server.stats().discarded(Discard::AfterClose), 10);
        assert_eq!(events(&mut pair.server), [Event::Closed(CloseReason::Failed(error))]);
        let received = Error::AlertReceived(AlertDescription::ACCESS_DENIED);
        assert_eq!(give(&mut pair.client, &lost[0], pair.now), Err(received.clone()));
        // It is final, and is not answered.
        assert_eq!(give(&mut pair.client, &lost[0], pair.now), Err(received));
        assert!(pair.up().is_empty());
        assert_eq!(pair.client.send(pair.now, b"x", &mut [0; 100]), Err(SendError::Closed));
        assert!(pair.client.negotiated().is_none());
    }
}

/// RFC 9147 §5.10: "any data received with an epoch/sequence number pair after that of a valid received closure alert MUST be
/// ignored".
#[test]
fn s11_data_counts_up_to_the_close_notify() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        // The server's keys are the same whether it has closed or not.
        let before = send(&mut pair.server, b"before", pair.now);
        pair.server.close(pair.now);
        pair.server.close(pair.now);
        assert_eq!(pair.server.send(pair.now, b"x", &mut [0; 100]), Err(SendError::Closed));
        let close = pair.down();
        assert_eq!(close.len(), 1);
        let closed = std::mem::replace(&mut pair.server.conduct.sending, Sending::Open);
        let after = send(&mut pair.server, b"after", pair.now);
        pair.server.conduct.sending = closed;

        pair.give_client(&close);
        assert_eq!(give(&mut pair.client, &before, pair.now), Ok(vec![b"before".to_vec()]));
        assert_eq!(give(&mut pair.client, &after, pair.now), Ok(vec![]));
        assert_eq!(pair.client.stats().discarded(Discard::AfterClose), 1);
        assert_eq!(events(&mut pair.server), [Event::Closed(CloseReason::Local)]);
        if version == ProtocolVersion::DTLS1_3 {
            assert_eq!(events(&mut pair.client), [Event::PeerClosed]);
            // Half closed: our side still sends.
            let data = send(&mut pair.client, b"still", pair.now);
            assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"still".to_vec()]));
        } else {
            assert_eq!(events(&mut pair.client), [Event::PeerClosed, Event::Closed(CloseReason::Peer)]);
            assert_eq!(pair.client.send(pair.now, b"x", &mut [0; 100]), Err(SendError::Closed));
        }
        pair.client.close(pair.now);
        let close = pair.up();
        pair.give_server(&close);
        assert_eq!(events(&mut pair.server), [Event::PeerClosed]);
        assert_eq!((pair.client.poll_timeout(), pair.server.poll_timeout()), (None, None));
    }
}

#[test]
fn closing_during_the_handshake_ends_it() {
    for setup in Setup::all() {
        for rounds in 0..3 {
            let mut pair = setup.pair();
            for _ in 0..rounds {
                let up = pair.up();
                pair.give_server(&up);
                let down = pair.down();
                if !pair.client.is_established() {
                    pair.give_client(&down);
                }
            }
            if pair.client.is_established() {
                continue;
            }
            pair.client.close(pair.now);
            assert_eq!(events(&mut pair.client), [Event::Closed(CloseReason::Local)]);
            assert_eq!(pair.client.poll_timeout(), None);
            assert_eq!(pair.up().len(), 1, "close_notify and nothing else");
            pair.client.close(pair.now);
            pair.client.abort(AlertDescription::INTERNAL_ERROR);
            pair.client.handle_timeout(pair.now + 1000 * SECOND);
            assert!(pair.up().is_empty());
            // Whatever still comes, there is no way back.
            pair.server.handle_timeout(pair.now + 1000 * SECOND);
            for datagram in pair.down() {
                assert!(give(&mut pair.client, &datagram, pair.now).is_err());
            }
            assert_eq!(events(&mut pair.client), []);
            assert!(!pair.client.is_established());
        }
    }
}

#[test]
fn whoever_has_closed_is_told_of_no_failure() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    let hello = pair.up();
    pair.give_server(&hello);
    let down = pair.down();
    pair.give_client(&down);
    assert!(pair.client.is_established());
    pair.client.close(pair.now);
    assert_eq!(pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested), Err(ApiMisuse::Closed));
    // Its Finished is lost with all else, and so is its patience.
    assert!(!pair.up().is_empty());
    while let Some(deadline) = pair.client.poll_timeout() {
        pair.up();
        pair.now = deadline;
        pair.client.handle_timeout(pair.now);
    }
    assert_eq!(events(&mut pair.client), [Event::HandshakeComplete, Event::Closed(CloseReason::Local)]);
    pair.client.abort(AlertDescription::INTERNAL_ERROR);
    assert_eq!(events(&mut pair.client), []);
}

#[test]
fn misuse_leaves_the_association_unharmed() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        for _ in 0..2 {
            for end in [&mut pair.client, &mut pair.server] {
                assert_eq!(end.send(pair.now, b"early", &mut [0; 100]), Err(SendError::NotConnected));
                assert_eq!(end.send_in_place(pair.now, &mut [0; 100], 50..55), Err(SendError::NotConnected));
                assert_eq!(
                    end.request_key_update(pair.now, KeyUpdateRequest::Requested),
                    Err(ApiMisuse::HandshakeNotComplete)
                );
                let export = end.export_keying_material(b"EXPORTER-x", None, &mut [0; 8]);
                assert_eq!(export, Err(ApiMisuse::HandshakeNotComplete));
                assert!(end.negotiated().is_none() && !end.is_established());
                end.handle_timeout(pair.now);
            }
            let up = pair.up();
            pair.give_server(&up);
        }
        pair.run();
        assert!(pair.client.is_established() && pair.server.is_established());
        if version == ProtocolVersion::DTLS1_2 {
            assert_eq!(
                pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested),
                Err(ApiMisuse::NotInThisVersion)
            );
        }
        let max = pair.client.max_payload();
        let needed = max + pair.client.headroom() + pair.client.tailroom();
        assert_eq!(needed, 1200);
        let mut buffer = [0; 4000];
        let too_large = Err(SendError::TooLarge { max });
        assert_eq!(pair.client.send(pair.now, &vec![0; max + 1], &mut buffer), too_large);
        assert_eq!(pair.client.send_in_place(pair.now, &mut buffer, 100..101 + max).map(|r| r.len()), too_large);
        let short = pair.client.send(pair.now, &vec![0; max], &mut buffer[..needed - 1]);
        assert_eq!(short, Err(SendError::BufferTooSmall { needed }));
        // No headroom, no tailroom, beyond the buffer, end before start.
        for payload in [0..max, 4000 - max..4000, 3990..4010, std::ops::Range { start: 10, end: 5 }] {
            assert!(pair.client.send_in_place(pair.now, &mut buffer, payload).is_err());
        }
        assert_eq!(pair.client.stats().records_sent, 0);
        let data = send(&mut pair.client, b"unharmed", pair.now);
        assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"unharmed".to_vec()]));
    }
}

#[test]
fn both_ways_to_send_do_the_same() {
    for version in VERSIONS {
        let mut setup = Setup::new(version);
        setup.transport.set_data_size(DataSize::WholeRecord);
        let mut pair = setup.established();
        assert_eq!(pair.client.max_payload(), 1 << 14);
        let mut buffer = vec![0; 20_000];
        for len in [0, 1, 15, 16, 17, 1200, 1 << 14] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let sent = pair.client.send(pair.now, &payload, &mut buffer).unwrap();
            assert_eq!(give(&mut pair.server, &buffer[..sent], pair.now), Ok(vec![payload.clone()]));
            buffer[1000..1000 + len].copy_from_slice(&payload);
            let range = pair.client.send_in_place(pair.now, &mut buffer, 1000..1000 + len).unwrap();
            assert_eq!(range.len(), sent);
            assert_eq!(range.start, 1000 - pair.client.headroom());
            assert_eq!(give(&mut pair.server, &buffer[range], pair.now), Ok(vec![payload]));
        }
        let over = vec![0; (1 << 14) + 1];
        assert_eq!(pair.client.send(pair.now, &over, &mut buffer), Err(SendError::TooLarge { max: 1 << 14 }));
    }
}

/// An ACK behind the close_notify would be ignored (RFC 9147 §5.10), and the peer would repeat what it acknowledges.
#[test]
fn a_delayed_ack_goes_before_the_close_notify() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
    pair.client.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
    let update = pair.up();
    pair.give_server(&update);
    assert!(pair.down().is_empty(), "the ACK is delayed");
    pair.server.close(pair.now);
    let last = pair.down();
    pair.give_client(&last);
    assert_eq!(events(&mut pair.client), [Event::KeyUpdated(Direction::Sending), Event::PeerClosed]);
    assert_eq!(pair.client.poll_timeout(), None);
}
