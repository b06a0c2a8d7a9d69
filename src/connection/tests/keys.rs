//! Keys that wear out, and those that come after them (RFC 9147 §4.5.3, §8).

use super::*;
use crate::config::{ConfigError, Direction};
use crate::connection::{CloseReason, SendError};
use crate::error::{ApiMisuse, Discard, PeerMisbehaved};
use crate::wire::{AlertDescription, ack::Epoch, handshake::OwnedMessage, record::MAX_SEQUENCE_48};

/// An association in which a key seals and bears no more than this.
fn worn(version: ProtocolVersion, sealed: u64, forgeries: u64) -> Pair {
    limited(version, |transport| {
        transport.set_aead_limits(sealed, forgeries).unwrap();
    })
}

fn limited(version: ProtocolVersion, limit: impl Fn(&mut TransportConfig)) -> Pair {
    let mut setup = Setup::new(version);
    limit(&mut setup.transport);
    setup.established()
}

const MANY: u64 = 1 << 20;

fn updates(end: &mut Connection, direction: Direction) -> usize {
    events(end).iter().filter(|event| **event == Event::KeyUpdated(direction)).count()
}

/// Lets time pass until nobody waits for anything.
fn settle(pair: &mut Pair) {
    pair.run();
    while pair.client.poll_timeout().or(pair.server.poll_timeout()).is_some() {
        pair.sleep();
        pair.run();
    }
}

#[test]
fn limits_may_be_lowered_and_never_raised() {
    let mut transport = TransportConfig::new();
    let refused = ConfigError::BadAeadLimits { floor: 16, sealed: 23_726_566, forgeries: 1 << 36 };
    for (sealed, forgeries) in [(23_726_567, 16), (16, (1 << 36) + 1), (15, 16), (16, 15), (0, 0), (u64::MAX, u64::MAX)]
    {
        assert_eq!(transport.set_aead_limits(sealed, forgeries).unwrap_err(), refused);
    }
    transport.set_aead_limits(23_726_566, 1 << 36).unwrap().set_aead_limits(16, 16).unwrap();
}

/// RFC 9147 §4.5.3: "SHOULD initiate a key update before reaching this limit".
#[test]
fn keys_are_changed_before_they_wear_out() {
    let mut pair = worn(ProtocolVersion::DTLS1_3, 64, MANY);
    for n in 0..1000u32 {
        let data = send(&mut pair.client, &n.to_be_bytes(), pair.now);
        assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![n.to_be_bytes().to_vec()]));
        pair.run();
        if n % 7 == 0 {
            settle(&mut pair);
        }
    }
    settle(&mut pair);
    // An update every 56 records, counted with those that it takes itself.
    let sent = updates(&mut pair.client, Direction::Sending);
    assert!((17..=25).contains(&sent), "{sent}");
    // The server was asked for nothing: its own keys are not worn.
    assert_eq!(updates(&mut pair.server, Direction::Receiving), sent);
}

/// Whatever kind of record comes near the limit.
#[test]
fn an_ack_that_wears_the_keys_brings_new_ones() {
    let mut pair = worn(ProtocolVersion::DTLS1_3, 16, MANY);
    let mut changes = Vec::new();
    for _ in 0..14 {
        pair.client.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
        settle(&mut pair);
        changes.extend(events(&mut pair.server));
    }
    let own = changes.iter().filter(|event| **event == Event::KeyUpdated(Direction::Sending)).count();
    assert_eq!((own, changes.len()), (1, 15), "fourteen ACKs, and the first was for the Finished");
}

#[test]
fn worn_keys_send_no_data_until_the_peer_has_the_new_ones() {
    let mut pair = worn(ProtocolVersion::DTLS1_3, 16, MANY);
    let mut buffer = [0; 100];
    let mut sent = 0;
    // What the client sends is lost.
    while pair.client.send(pair.now, b"data", &mut buffer).is_ok() {
        pair.up();
        sent += 1;
        assert!(sent <= 16);
    }
    assert_eq!(sent, 15, "and one record was the KeyUpdate");
    assert_eq!(pair.client.send(pair.now, b"data", &mut buffer), Err(SendError::KeysExhausted));
    assert_eq!(updates(&mut pair.client, Direction::Sending), 0);
    settle(&mut pair);
    assert_eq!(updates(&mut pair.client, Direction::Sending), 1);
    let data = send(&mut pair.client, b"data", pair.now);
    assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"data".to_vec()]));
}

/// Keys that cannot be changed: the application decides.
#[test]
fn without_key_updates_the_limit_is_an_event() {
    let mut pair = worn(ProtocolVersion::DTLS1_2, 16, MANY);
    for _ in 0..40 {
        let data = send(&mut pair.client, b"data", pair.now);
        assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"data".to_vec()]));
    }
    assert_eq!(events(&mut pair.client), [Event::ConfidentialityLimitReached]);
    assert!(pair.client.is_established() && pair.up().is_empty());
}

#[test]
fn without_key_updates_the_limit_may_close() {
    let mut pair = limited(ProtocolVersion::DTLS1_2, |transport| {
        transport.set_aead_limits(16, MANY).unwrap().close_at_confidentiality_limit();
    });
    let mut buffer = [0; 100];
    let sent = (0..40).take_while(|_| pair.client.send(pair.now, b"data", &mut buffer).is_ok()).count();
    assert_eq!(sent, 15, "the Finished was one");
    pair.run();
    let closed = [Event::ConfidentialityLimitReached, Event::Closed(CloseReason::Local)];
    assert_eq!(events(&mut pair.client)[..2], closed);
    assert_eq!(events(&mut pair.server)[0], Event::PeerClosed);
}

/// The same record with another tag.
fn forged(pair: &mut Pair) -> Vec<u8> {
    let mut data = send(&mut pair.client, b"data", pair.now);
    *data.last_mut().unwrap() ^= 1;
    data
}

/// RFC 9147 §4.5.3: "SHOULD immediately close the connection".
#[test]
fn forgeries_end_the_association_at_the_limit() {
    for version in VERSIONS {
        let mut pair = worn(version, MANY, 16);
        let forgery = forged(&mut pair);
        for _ in 1..16 {
            assert_eq!(give(&mut pair.server, &forgery, pair.now), Ok(vec![]));
            // What the server asks for is lost.
            pair.down();
        }
        assert_eq!(pair.server.stats().discarded(Discard::Undecryptable), 15);
        assert_eq!(give(&mut pair.server, &forgery, pair.now), Err(Error::IntegrityLimitReached));
        let closed = Event::Closed(CloseReason::Failed(Error::IntegrityLimitReached));
        assert_eq!(events(&mut pair.server), [closed]);
        pair.run();
        let alert = Error::AlertReceived(AlertDescription::BAD_RECORD_MAC);
        assert_eq!(events(&mut pair.client), [Event::Closed(CloseReason::Failed(alert))]);
    }
}

/// RFC 9147 §4.5.3: "SHOULD initiate a key update with update_requested before reaching this limit. Once a key update has been
/// initiated, the previous keys can be dropped when the limit is reached rather than closing the connection."
#[test]
fn forgeries_bring_new_keys_before_the_limit() {
    let mut pair = worn(ProtocolVersion::DTLS1_3, MANY, 16);
    let forgery = forged(&mut pair);
    for _ in 0..14 {
        assert_eq!(give(&mut pair.server, &forgery, pair.now), Ok(vec![]));
    }
    settle(&mut pair);
    assert_eq!(updates(&mut pair.client, Direction::Sending), 1);
    let data = send(&mut pair.client, b"data", pair.now);
    assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"data".to_vec()]));
    // The old keys go at their limit, the new ones stay.
    for _ in 0..100 {
        assert_eq!(give(&mut pair.server, &forgery, pair.now), Ok(vec![]));
    }
    assert_eq!(pair.server.stats().discarded(Discard::UnknownEpoch), 98);
    let data = send(&mut pair.client, b"data", pair.now);
    assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"data".to_vec()]));
}

fn key_update(message_seq: u16) -> OwnedMessage {
    OwnedMessage { msg_type: HandshakeType::KEY_UPDATE, message_seq, body: vec![0] }
}

/// Sends these in one flight, each in its epoch, and returns how the server fares.
fn sent(pair: &mut Pair, messages: &[(u16, OwnedMessage)]) -> Result<(), Error> {
    pair.client.outgoing.begin();
    for (epoch, message) in messages {
        pair.client.outgoing.push_message(Epoch(*epoch), message.clone());
    }
    let now = pair.now;
    pair.up().iter().try_for_each(|datagram| give(&mut pair.server, datagram, now).map(drop))
}

fn expect_unexpected(pair: &mut Pair, fault: PeerMisbehaved) {
    assert_eq!(Error::from(fault).alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
    pair.run();
    let told = events(&mut pair.client).pop();
    let alert = Error::AlertReceived(AlertDescription::UNEXPECTED_MESSAGE);
    assert_eq!(told, Some(Event::Closed(CloseReason::Failed(alert))));
}

/// draft-ietf-tls-rfc9147bis §8: "A KeyUpdate message terminates the post-handshake stream in an epoch."
#[test]
fn two_key_updates_in_one_epoch_are_fatal() {
    let excess = Err(PeerMisbehaved::ExcessHandshakeData.into());
    for at_once in [true, false] {
        let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
        // After the ClientHello and the Finished.
        let both = [(3, key_update(2)), (3, key_update(3))];
        if at_once {
            assert_eq!(sent(&mut pair, &both), excess);
        } else {
            assert_eq!(sent(&mut pair, &both[..1]), Ok(()));
            assert_eq!(sent(&mut pair, &both[1..]), excess);
        }
        expect_unexpected(&mut pair, PeerMisbehaved::ExcessHandshakeData);
    }
}

/// Handshake data that is left over when the keys change ends an association whose Finished has just verified: it never
/// completed, and exports nothing. Found by fuzzing.
#[test]
fn a_handshake_that_fails_in_its_last_step_exports_nothing() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    let hello = pair.up();
    pair.give_server(&hello);
    let flight = pair.down();
    pair.give_client(&flight);
    let finished = pair.up();
    assert_eq!(sent(&mut pair, &[(2, key_update(2))]), Ok(()));
    let excess = Err(PeerMisbehaved::ExcessHandshakeData.into());
    assert_eq!(give(&mut pair.server, &finished[0], pair.now), excess);
    let exported = pair.server.export_keying_material(b"EXPORTER-test", None, &mut [0; 32]);
    assert_eq!(exported, Err(ApiMisuse::HandshakeNotComplete));
    assert!(pair.server.negotiated().is_none());
}

/// RFC 9147 §6.1: epoch 2 ends with the handshake; its keys stay for the peer's Finished alone.
#[test]
fn a_key_update_in_the_handshakes_epoch_is_fatal() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    let hello = pair.up();
    pair.give_server(&hello);
    let flight = pair.down();
    pair.give_client(&flight);
    let finished = pair.up();
    pair.give_server(&finished);
    assert!(pair.server.is_established());
    // The ACK is lost, so that the client has both keys.
    pair.down();
    assert_eq!(sent(&mut pair, &[(2, key_update(2))]), Err(PeerMisbehaved::ExcessHandshakeData.into()));
    expect_unexpected(&mut pair, PeerMisbehaved::ExcessHandshakeData);
}

/// RFC 8446 §4.6.3: "MUST NOT send this message before sending [its] Finished".
#[test]
fn a_key_update_before_the_finished_is_fatal() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
    let hello = pair.up();
    pair.give_server(&hello);
    let flight = pair.down();
    pair.give_client(&flight);
    assert_eq!(sent(&mut pair, &[(2, key_update(1))]), Err(PeerMisbehaved::UnexpectedMessage.into()));
    expect_unexpected(&mut pair, PeerMisbehaved::UnexpectedMessage);
}

/// A KeyUpdate that comes again is acknowledged again, and changes nothing (RFC 9147 §7.1).
#[test]
fn a_repeated_key_update_is_acknowledged_and_no_other_one() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
    pair.client.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
    for _ in 0..3 {
        let update = pair.up();
        assert_eq!(update.len(), 1);
        pair.give_server(&update);
        pair.now = pair.server.poll_timeout().unwrap();
        pair.server.handle_timeout(pair.now);
        assert_eq!(pair.down().len(), 1, "an ACK, which is lost");
        pair.now = pair.client.poll_timeout().unwrap();
        pair.client.handle_timeout(pair.now);
    }
    assert_eq!(updates(&mut pair.server, Direction::Receiving), 1);
    settle(&mut pair);
    assert_eq!(updates(&mut pair.client, Direction::Sending), 1);
}

#[test]
fn keys_are_not_changed_after_the_end() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        pair.client.close(pair.now);
        for request in [KeyUpdateRequest::Requested, KeyUpdateRequest::NotRequested] {
            assert_eq!(pair.client.request_key_update(pair.now, request), Err(ApiMisuse::Closed));
        }
        pair.run();
        pair.client.abort(AlertDescription::INTERNAL_ERROR);
        assert_eq!(pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested), Err(ApiMisuse::Closed));
    }
}

/// RFC 9147 §4.2.1, RFC 6347 §4.1: numbers never wrap. Whatever would take one more is an error, and so is the end of an
/// association that cannot say that it ends.
#[test]
fn when_the_numbers_run_out_nothing_more_is_sealed() {
    type Use = fn(&mut Pair);
    let uses: [Use; 3] = [
        |pair| pair.client.close(pair.now),
        |pair| pair.client.abort(AlertDescription::INTERNAL_ERROR),
        |pair| {
            let _ = pair.client.request_key_update(pair.now, KeyUpdateRequest::Requested);
        },
    ];
    for version in VERSIONS {
        for last_use in uses {
            let mut pair = Setup::new(version).established();
            pair.client.records.skip_to(MAX_SEQUENCE_48);
            pair.server.records.expect_sequence(MAX_SEQUENCE_48);
            let last = send(&mut pair.client, b"last", pair.now);
            assert_eq!(give(&mut pair.server, &last, pair.now), Ok(vec![b"last".to_vec()]));
            let mut buffer = [0; 200];
            let refused = pair.client.send(pair.now, b"one more", &mut buffer);
            assert_eq!(refused, Err(SendError::KeysExhausted), "{version:?}");
            assert!(buffer.iter().all(|octet| *octet == 0), "nothing was sealed");
            let refused = pair.client.send_in_place(pair.now, &mut buffer, 50..60);
            assert_eq!(refused, Err(SendError::KeysExhausted), "{version:?}");
            last_use(&mut pair);
            let sent = pair.up();
            assert!(sent.is_empty(), "{version:?}: {sent:?}");
            assert_eq!(pair.client.poll_timeout(), None);
            // It hears to the end.
            let data = send(&mut pair.server, b"data", pair.now);
            let heard = give(&mut pair.client, &data, pair.now);
            assert!(heard.is_err() || heard == Ok(vec![b"data".to_vec()]), "{heard:?}");
            assert!(pair.up().is_empty());
        }
    }
}

/// The same before there is an association: a flight that has no number left is not sent.
#[test]
fn a_handshake_whose_numbers_run_out_ends() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        pair.client.records.skip_to(MAX_SEQUENCE_48 + 1);
        assert!(pair.up().is_empty());
        let failed = CloseReason::Failed(Error::NumbersExhausted);
        assert_eq!(events(&mut pair.client), [Event::Closed(failed)]);
        assert_eq!(pair.client.poll_timeout(), None);
        assert!(pair.up().is_empty());
    }
}
