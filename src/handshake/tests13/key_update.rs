//! KeyUpdate as a dialogue of two ends, each acknowledgement given by hand (RFC 9147 §8).

use super::super::Input;
use super::pair::{Auth, End, Kind, Pair, Setup, established};
use crate::crypto::Role;
use crate::error::{ApiMisuse, Error, PeerMisbehaved};
use crate::wire::{ack::Epoch, enums::HandshakeType, handshake::OwnedMessage, post_handshake::KeyUpdateRequest};

const NOT_REQUESTED: Input<'static> = Input::RequestKeyUpdate(KeyUpdateRequest::NotRequested);
const REQUESTED: Input<'static> = Input::RequestKeyUpdate(KeyUpdateRequest::Requested);

/// A pair whose last flight was acknowledged, with logs from here on.
fn idle() -> Pair {
    let mut pair = established(&Setup::default());
    acknowledge(&mut pair.client);
    assert!(pair.client.take().is_empty());
    for end in [&mut pair.client, &mut pair.server] {
        end.log.clear();
    }
    pair
}

fn acknowledge(end: &mut End) {
    end.handshake.handle(Input::FlightAcknowledged).unwrap();
}

fn ask(end: &mut End, input: Input<'_>) -> Vec<(Epoch, OwnedMessage)> {
    end.handshake.handle(input).unwrap();
    end.take()
}

/// Gives one KeyUpdate to its receiver and returns what that sends.
fn deliver(messages: &[(Epoch, OwnedMessage)], to: &mut End) -> Vec<(Epoch, OwnedMessage)> {
    let [(_, message)] = messages else { panic!("{} messages", messages.len()) };
    assert_eq!(message.msg_type, HandshakeType::KEY_UPDATE);
    to.give(message).unwrap();
    to.take()
}

fn log(end: &mut End) -> String {
    std::mem::take(&mut end.log).join(" ")
}

#[test]
fn new_send_keys_only_when_acknowledged() {
    for role in [Role::Client, Role::Server] {
        let Pair { client, server } = idle();
        let (mut from, mut to) = if role == Role::Client { (client, server) } else { (server, client) };
        let update = ask(&mut from, NOT_REQUESTED);
        assert_eq!(log(&mut from), "Flight(Acknowledgement) KEY_UPDATE@3");
        assert!(deliver(&update, &mut to).is_empty());
        assert_eq!(log(&mut to), "r4 KeyUpdated(Receiving)");
        acknowledge(&mut from);
        from.take();
        assert_eq!(log(&mut from), "w4 KeyUpdated(Sending)");
        assert_eq!(from.keys[&('w', 4)], to.keys[&('r', 4)]);
        assert_ne!(from.keys[&('w', 4)], from.keys[&('w', 3)]);
        assert_eq!(from.export(), to.export());
        // A second acknowledgement says nothing new.
        acknowledge(&mut from);
        assert!(from.take().is_empty() && from.log.is_empty());
    }
}

#[test]
fn a_request_is_answered_once() {
    let Pair { mut client, mut server } = idle();
    let update = ask(&mut client, REQUESTED);
    let answer = deliver(&update, &mut server);
    assert_eq!(log(&mut server), "r4 KeyUpdated(Receiving) Flight(Acknowledgement) KEY_UPDATE@3");
    assert_eq!(answer[0].1.body, [0]);
    // The client does not wait for the answer to ask again: its first one was acknowledged.
    acknowledge(&mut client);
    assert!(client.take().is_empty());
    let again = ask(&mut client, REQUESTED);
    assert!(deliver(&again, &mut server).is_empty(), "the answer is on its way");
    assert_eq!(log(&mut server), "r5 KeyUpdated(Receiving)");
    assert!(deliver(&answer, &mut client).is_empty());
    acknowledge(&mut server);
    server.take();
    assert_eq!(server.keys[&('w', 4)], client.keys[&('r', 4)]);
}

#[test]
fn updates_may_cross() {
    let Pair { mut client, mut server } = idle();
    let (from_client, from_server) = (ask(&mut client, REQUESTED), ask(&mut server, REQUESTED));
    assert!(deliver(&from_client, &mut server).is_empty());
    assert!(deliver(&from_server, &mut client).is_empty());
    for end in [&mut client, &mut server] {
        acknowledge(end);
        end.take();
    }
    let pair = Pair { client, server };
    pair.check_keys();
    assert_eq!(pair.client.keys[&('w', 4)], pair.server.keys[&('r', 4)]);
    assert_eq!(pair.server.keys[&('w', 4)], pair.client.keys[&('r', 4)]);
}

/// RFC 9147 §5.8.4: one at a time.
#[test]
fn a_request_while_one_is_outstanding_is_ignored() {
    let Pair { mut client, .. } = idle();
    assert_eq!(ask(&mut client, NOT_REQUESTED).len(), 1);
    assert!(ask(&mut client, REQUESTED).is_empty());
    acknowledge(&mut client);
    assert!(client.take().is_empty());
    assert_eq!(ask(&mut client, REQUESTED)[0].0, Epoch(4));
}

/// draft-ietf-tls-rfc9147bis §8: all preceding messages must be acknowledged too.
#[test]
fn waits_for_the_clients_finished() {
    let mut pair = established(&Setup::default());
    assert!(ask(&mut pair.client, REQUESTED).is_empty());
    let update = ask(&mut pair.server, REQUESTED);
    assert!(deliver(&update, &mut pair.client).is_empty());
    let update = ask(&mut pair.client, Input::FlightAcknowledged);
    assert_eq!(update.len(), 1);
    assert_eq!(update[0].1.body, [1], "the request is not forgotten over the answer");
    pair.server.give(&update[0].1).unwrap();
}

#[test]
fn misuse_and_early_acknowledgements_harm_nothing() {
    let mut pair = Pair::new(&Setup::default());
    for end in [&mut pair.client, &mut pair.server] {
        let asked = end.handshake.handle(REQUESTED);
        assert_eq!(asked, Err(Error::ApiMisuse(ApiMisuse::HandshakeNotComplete)));
        end.handshake.handle(Input::FlightAcknowledged).unwrap();
    }
    pair.run().unwrap();
}

#[test]
fn odd_key_updates() {
    let message =
        |body: &[u8]| OwnedMessage { msg_type: HandshakeType::KEY_UPDATE, message_seq: 9, body: body.to_vec() };
    let fault = |body: &[u8]| idle().server.give(&message(body)).unwrap_err();
    assert_eq!(fault(&[2]), PeerMisbehaved::BadKeyUpdate.into());
    assert!(matches!(fault(&[]), Error::Malformed(_)));
    assert!(matches!(fault(&[0, 0]), Error::Malformed(_)));
    // Before the handshake is complete it is a message like any other that does not belong there.
    let mut early = Pair::new(&Setup::default());
    assert_eq!(early.server.give(&message(&[0])), Err(PeerMisbehaved::UnexpectedMessage.into()));
}

/// RFC 8446 §4.6.3: before its Finished no end sends one; in the place of any message it is a message like any other.
#[test]
fn a_key_update_in_the_place_of_any_message_of_the_handshake() {
    let setup = Setup { auth: Auth::Required, client_certificate: Some(Kind::P256), ..Setup::default() };
    let mut messages = 0;
    established_with(&setup, |_| messages += 1);
    for place in 0..messages {
        let mut seen = 0;
        let outcome = Pair::new(&setup).run_with(|_, batch| {
            for (_, message) in batch {
                if seen == place {
                    (message.msg_type, message.body) = (HandshakeType::KEY_UPDATE, vec![0]);
                }
                seen += 1;
            }
        });
        assert_eq!(outcome.unwrap_err().1, PeerMisbehaved::UnexpectedMessage.into(), "{place}");
    }
}

fn established_with(setup: &Setup, mut see: impl FnMut(&OwnedMessage)) {
    let run = Pair::new(setup).run_with(|_, batch| batch.iter().for_each(|(_, message)| see(message)));
    assert_eq!(run, Ok(()));
}

/// draft-ietf-tls-rfc9147bis §8: sixteen bits of epoch, and not one update more.
#[test]
fn the_last_epoch() {
    let Pair { mut client, mut server } = idle();
    let last = usize::from(u16::MAX - 3);
    for _ in 0..last {
        let update = ask(&mut client, NOT_REQUESTED);
        deliver(&update, &mut server);
        acknowledge(&mut client);
        client.take();
        for end in [&mut client, &mut server] {
            end.log.clear();
            end.keys.retain(|(_, epoch), _| *epoch == u16::MAX);
        }
    }
    assert_eq!(client.keys[&('w', u16::MAX)], server.keys[&('r', u16::MAX)]);
    let update = OwnedMessage { msg_type: HandshakeType::KEY_UPDATE, message_seq: 0, body: vec![1] };
    // A peer's request cannot be granted any more, and is ignored ("SHOULD instead ignore").
    assert_eq!(deliver(&[(Epoch(3), update.clone())], &mut client).len(), 0);
    assert_eq!(client.handshake.handle(NOT_REQUESTED), Err(Error::NumbersExhausted));
    assert_eq!(server.give(&update), Err(PeerMisbehaved::TooManyKeyUpdates.into()));
}

/// draft-ietf-tls-rfc9147bis §5.2: "Implementations MUST NOT allow message_seq to wrap".
#[test]
fn rfc9147_5_2_the_last_message_seq() {
    let Pair { mut client, mut server } = idle();
    client.handshake.outbox.next_message_seq = u16::MAX.into();
    let last = ask(&mut client, NOT_REQUESTED);
    assert_eq!(last[0].1.message_seq, u16::MAX);
    deliver(&last, &mut server);
    acknowledge(&mut client);
    client.take();
    // A peer's request cannot be granted any more, and is no reason to end.
    let request = ask(&mut server, REQUESTED);
    assert!(deliver(&request, &mut client).is_empty());
    assert_eq!(client.handshake.handle(NOT_REQUESTED), Err(Error::NumbersExhausted));
}
