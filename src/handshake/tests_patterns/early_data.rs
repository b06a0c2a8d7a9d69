//! Early data (RFC 8446 §2.3, RFC 9147 §5.6) is never offered, never accepted and never delivered.

use super::*;
use crate::wire::{codec::Reader, enums::ExtensionType, extensions::Extensions, hello::ClientHello};

/// Appends `early_data` to the extensions that end a message and begin at `block`.
fn offer(body: &mut Vec<u8>, block: usize) {
    body.extend_from_slice(&[0, 42, 0, 0]);
    let len = u16::try_from(body.len() - block - 2).unwrap();
    body[block..block + 2].copy_from_slice(&len.to_be_bytes());
}

/// Where the extensions of a ClientHello begin.
fn block(body: &[u8]) -> usize {
    let hello = ClientHello::read(body).unwrap();
    body.len() - hello.extensions.iter().map(|(_, data)| data.len() + 4).sum::<usize>() - 2
}

/// A server that was offered it goes on as if nothing had been said (RFC 8446 §4.2.10); after a retry it may not be offered.
#[test]
fn z5_a_server_passes_early_data_over() {
    for retry in [false, true] {
        let shape = Shape { retry, ..Shape::new(VERSIONS[1]) };
        let mut answers = Vec::new();
        let outcome = shape.scene().run(|role, nth, batch| match (role, nth) {
            (Role::Client, 0) => {
                let body = batch[0].body();
                let block = block(body);
                offer(body, block);
            }
            (Role::Server, _) => {
                for sent in batch.iter_mut().filter(|sent| sent.is(T::ENCRYPTED_EXTENSIONS)) {
                    let extensions = Extensions::read(&mut Reader::new(sent.body())).unwrap();
                    answers.push(extensions.has(ExtensionType::EARLY_DATA));
                }
            }
            _ => {}
        });
        // The retried hello lacks it, which is as it should be; what differs is the transcript of the client.
        outcome.refused(Role::Client, AlertDescription::DECRYPT_ERROR, retry);
        assert_eq!(answers, [false], "retry: {retry}");
    }
    let shape = Shape { retry: true, ..Shape::new(VERSIONS[1]) };
    let outcome = shape.scene().run(|role, nth, batch| {
        if role == Role::Client && nth == 2 {
            let body = batch[0].body();
            let block = block(body);
            offer(body, block);
        }
    });
    outcome.refused(Role::Server, AlertDescription::ILLEGAL_PARAMETER, "after a retry");
}

/// A client never offers it, and a server that accepts it all the same accepts what nobody offered.
#[test]
fn z5_a_client_offers_none_and_takes_none() {
    for shape in Shape::all() {
        for (_, flight) in shape.flights() {
            for mut sent in flight.into_iter().filter(|sent| sent.is(T::CLIENT_HELLO)) {
                assert!(!ClientHello::read(sent.body()).unwrap().extensions.has(ExtensionType::EARLY_DATA));
            }
        }
    }
    let shape = Shape::new(VERSIONS[1]);
    let outcome = shape.tampered(Role::Server, T::ENCRYPTED_EXTENSIONS, |batch| {
        let at = place(batch, T::ENCRYPTED_EXTENSIONS);
        offer(batch[at].body(), 0);
    });
    outcome.refused(Role::Client, AlertDescription::UNSUPPORTED_EXTENSION, "nobody offered it");
}

/// RFC 9147 §5.6: "EndOfEarlyData" does not exist in DTLS.
#[test]
fn z5_there_is_no_end_of_early_data() {
    for shape in Shape::all() {
        for (nth, (role, flight)) in shape.flights().into_iter().enumerate() {
            for at in 0..=flight.len() {
                let outcome = shape.scene().run(|_, flight, batch| {
                    if flight == nth {
                        batch.insert(at, Sent::new(END_OF_EARLY_DATA, &[]));
                    }
                });
                outcome.unexpected(role.peer(), (shape, nth, at));
            }
        }
    }
}
