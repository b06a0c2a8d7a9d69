//! An attacker who is not on the path, and knows both addresses, before there are keys (RFC 9147 §4.5.2, §11).
//!
//! What does not fit is tolerated: a handshake completes although a datagram of the attacker's comes between any two honest
//! ones. What fits is taken for the peer's, because nothing tells it from that: SECURITY.md lists it, and here each ends in
//! an error within the time of a timeout, never in a handshake that goes on for ever or that two ends see differently.

use crate::kinds::{self, Kind, Shape};
use crate::loss::{SEED, Tally};
use crate::network::Network;
use crate::noise::{below, classic, octets};
use crate::pair::{Figures, PATIENCE, Pair, Stop, check, prove_handshake};
use crate::provider::{End, provider};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;
use udtls::{AlertDescription, CloseReason, Discard, Error, Event, PeerMisbehaved, ProtocolVersion};

const V12: [u8; 2] = [0xFE, 0xFD];
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;

/// Handshake messages that come in plaintext in one version or the other.
const MESSAGES: [u8; 9] = [CLIENT_HELLO, SERVER_HELLO, 11, 12, 13, 14, 15, 16, 20];

/// A fragment of a handshake message in a record of its own (RFC 6347 §4.2.2).
fn fragment(message: u8, length: usize, message_seq: u16, offset: usize, body: &[u8]) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).expect("three octets").to_be_bytes();
    let mut payload = vec![message];
    payload.extend(&number(length)[1..]);
    payload.extend(message_seq.to_be_bytes());
    payload.extend(&number(offset)[1..]);
    payload.extend(&number(body.len())[1..]);
    payload.extend(body);
    classic(HANDSHAKE, V12, 0, 1 << 20, &payload)
}

fn whole(message: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    fragment(message, body.len(), message_seq, 0, body)
}

/// Makes the attacker's next datagram; what it is told of is the honest one that has just arrived.
type Attack = fn(&mut ChaCha8Rng, honest: &[u8]) -> Vec<u8>;

/// Handshakes with one such datagram after each honest one.
fn tolerated(class: &str, attack: Attack) {
    tolerated_by(&kinds::with_cookies(), class, attack);
}

fn tolerated_by(kinds: &[&'static Kind], class: &str, attack: Attack) {
    kinds::for_each(kinds, |kind| {
        let mut tally = Tally::default();
        for seed in crate::chaos::seeds(10) {
            tally.attempt(|| attacked(kind, seed, attack));
        }
        tally.print(kind, class);
        let failed = tally.runs - tally.completed;
        assert!(
            failed * 100 <= tally.runs,
            "{failed} of {} runs failed: {kind}, {class}\n{:?}",
            tally.runs,
            tally.failure
        );
    });
}

fn attacked(kind: &'static Kind, seed: u64, attack: Attack) -> Figures {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
    let stop = pair.run_with(PATIENCE, &mut |pair, to, honest| {
        let datagram = attack(&mut rng, honest);
        pair.network.log_noise(pair.now, to.other(), &datagram);
        pair.deliver(to, datagram);
        check!(pair, pair.handshake_memory() <= MOST, "what is kept is bounded");
    });
    check!(pair, stop == Stop::Quiet, "the handshake comes to rest");
    let figures = prove_handshake(&mut pair);
    pair.check_data();
    figures
}

/// Octets that an endpoint counts for one handshake at most: the association itself, records that came early, messages that
/// came out of order, and its own flight.
const MOST: usize = (8 + 16 + 64 + 8) << 10;

#[test]
fn fragments_of_another_length_are_tolerated() {
    tolerated("another length", |rng, _| {
        // No honest message is so long.
        let length = below(rng, 20_000, 60_000);
        let (message, offset) = (MESSAGES[below(rng, 0, 9)], below(rng, 0, 2000));
        fragment(message, length, below(rng, 0, 8) as u16, offset, &octets(rng, 1, 200))
    });
}

#[test]
fn fragments_of_another_type_are_tolerated() {
    tolerated("another type", |rng, _| {
        // No type of any message in plaintext (RFC 8446 §4, RFC 5246 §7.4).
        let message = [0, 4, 8, 24, 67, 200][below(rng, 0, 6)];
        let length = below(rng, 1, 300);
        let body = octets(rng, 1, length);
        fragment(message, length.max(body.len()), below(rng, 0, 8) as u16, 0, &body)
    });
}

#[test]
fn fragments_with_other_octets_are_tolerated() {
    tolerated_by(&kinds::all().iter().collect::<Vec<_>>(), "other octets", with_another_octet);
}

/// To a server that keeps nothing, a ClientHello with another octet is another ClientHello: it answers that, and the answer is one
/// of those that fit.
#[test]
fn fragments_with_other_octets_are_tolerated_by_endpoints() {
    let cookies: Vec<_> = kinds::with_cookies().into_iter().filter(|kind| kind.shape.has_cookie()).collect();
    tolerated_by(&cookies, "other octets", |rng, honest| match honest.get(13) {
        Some(&CLIENT_HELLO) => honest.to_vec(),
        _ => with_another_octet(rng, honest),
    });
}

/// What an honest datagram brought comes again with another octet.
fn with_another_octet(rng: &mut ChaCha8Rng, honest: &[u8]) -> Vec<u8> {
    let mut forged = honest.to_vec();
    if let [HANDSHAKE, _, _, 0, 0, ..] = honest
        && honest.len() > 25
    {
        let len = usize::from(u16::from_be_bytes([honest[11], honest[12]]));
        forged.truncate(13 + len);
        let at = below(rng, 25, forged.len());
        forged[at] ^= 1 + below(rng, 0, 255) as u8;
        forged[5..11].copy_from_slice(&(1u64 << 24).to_be_bytes()[2..]);
    }
    forged
}

#[test]
fn alerts_and_acks_that_make_no_sense_are_tolerated() {
    tolerated("malformed alerts, ACKs", |rng, _| {
        let content_type = [21, 26][below(rng, 0, 2)];
        let body: Vec<u8> = match (content_type, below(rng, 0, 4)) {
            (21, 0) => vec![2],
            (21, 1) => vec![2, 40, 1],
            (21, 2) => vec![9, 40],
            (21, _) => Vec::new(),
            (_, 0) => vec![0, 16, 0, 0],
            (_, 1) => vec![0, 3, 1, 2, 3],
            (_, 2) => vec![0],
            (_, _) => octets(rng, 3, 40),
        };
        classic(content_type, V12, 0, u64::from(rng.next_u32()), &body)
    });
}

#[test]
fn whole_messages_that_do_not_parse_are_tolerated() {
    tolerated("messages that do not parse", |rng, _| {
        let message = MESSAGES[below(rng, 0, 9)];
        whole(message, below(rng, 0, 8) as u16, &octets(rng, 1, 2))
    });
}

/// RFC 9147 §7 and draft-ietf-tls-rfc9147bis §7: the fault ends a handshake only where `PlaintextFaults::Fatal` asks for it.
#[test]
fn acks_of_higher_epochs_are_tolerated() {
    tolerated("ACKs of higher epochs", |rng, _| {
        let mut list = vec![0, 16];
        list.extend(2u64.to_be_bytes());
        list.extend(u64::from(rng.next_u32() % 8).to_be_bytes());
        classic(26, V12, 0, u64::from(rng.next_u32()), &list)
    });
}

/// The same where the application has asked for faults in plaintext to be fatal: an error at the end that took it for the
/// peer's, an alert, and an end at the other.
#[test]
fn an_ack_of_a_higher_epoch_ends_a_handshake_that_takes_plaintext_at_its_word() {
    for receiver in End::BOTH {
        let faithful = |transport: &mut udtls::TransportConfig| {
            transport.set_plaintext_faults(udtls::PlaintextFaults::Fatal);
        };
        let kind = Kind::with_provider(ProtocolVersion::DTLS1_3, Shape::Retry, 1200, provider, faithful);
        let mut pair = Pair::new(Box::leak(Box::new(kind)), SEED, Network::with_faults(&[]));
        // The HelloRetryRequest has made known which version it is, and there are no keys.
        pair.run(Duration::from_millis(60));
        let list = [&[0, 16][..], &2u64.to_be_bytes(), &0u64.to_be_bytes()].concat();
        let forged = classic(26, V12, 0, 1 << 20, &list);
        pair.network.log_noise(pair.now, receiver.other(), &forged);
        pair.deliver(receiver, forged);
        let blamed = Error::PeerMisbehaved(PeerMisbehaved::AckOfHigherEpoch);
        check!(
            pair,
            pair.side(receiver).failure == Some(blamed.clone()),
            "it is the peer's fault as far as anyone can tell"
        );
        check_clean_end(&mut pair, "ACK of a higher epoch");
        let told = pair.side(receiver.other()).failure.as_ref().and_then(alert_received);
        check!(pair, told == blamed.alert(), "the other end hears why");
    }
}

fn alert_received(error: &Error) -> Option<AlertDescription> {
    if let Error::AlertReceived(description) = error { Some(*description) } else { None }
}

/// A flood between any two honest datagrams: what is kept of it is bounded, and what is counted is all of it.
#[test]
fn a_flood_of_forged_fragments_only_delays() {
    let cookies = kinds::with_cookies().into_iter().filter(|kind| kind.shape.has_cookie());
    for kind in kinds::plain().chain(cookies) {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
        let mut flood = 0;
        pair.run_with(PATIENCE, &mut |pair, to, _| {
            if flood < 20_000 {
                for _ in 0..2000 {
                    let (length, offset) = (below(&mut rng, 10_000, 60_000), below(&mut rng, 0, 9000));
                    let message = MESSAGES[below(&mut rng, 0, 9)];
                    let body = octets(&mut rng, 1, 1000);
                    let forged = fragment(message, length, below(&mut rng, 0, 9) as u16, offset, &body);
                    pair.deliver(to, forged);
                    check!(pair, pair.handshake_memory() <= MOST, "what is kept is bounded");
                    flood += 1;
                }
                check!(pair, pair.poll_transmit(to).len() <= 20, "a flood is not answered");
            }
        });
        let ended = End::BOTH.map(|end| pair.deadline_of(end).is_none());
        check!(pair, ended == [true; 2], "it comes to an end");
    }
}

/// What was well-formed enough to be taken for the peer's.
struct Forgery {
    name: &'static str,
    /// At whom.
    to: End,
    version: ProtocolVersion,
    datagram: fn() -> Vec<u8>,
}

const FORGERIES: [Forgery; 13] = [
    Forgery { name: "ServerHello", to: End::Client, version: ProtocolVersion::DTLS1_2, datagram: server_hello_12 },
    Forgery { name: "ServerHello", to: End::Client, version: ProtocolVersion::DTLS1_3, datagram: server_hello_13 },
    Forgery {
        name: "ServerHelloDone",
        to: End::Client,
        version: ProtocolVersion::DTLS1_2,
        datagram: server_hello_done,
    },
    Forgery {
        name: "ServerHelloDone",
        to: End::Client,
        version: ProtocolVersion::DTLS1_3,
        datagram: server_hello_done,
    },
    Forgery { name: "ClientHello", to: End::Server, version: ProtocolVersion::DTLS1_2, datagram: client_hello_12 },
    Forgery { name: "ClientHello", to: End::Server, version: ProtocolVersion::DTLS1_3, datagram: client_hello_13 },
    Forgery { name: "alert", to: End::Client, version: ProtocolVersion::DTLS1_2, datagram: alert },
    Forgery { name: "alert", to: End::Server, version: ProtocolVersion::DTLS1_2, datagram: alert },
    Forgery { name: "alert", to: End::Client, version: ProtocolVersion::DTLS1_3, datagram: alert },
    Forgery { name: "alert", to: End::Server, version: ProtocolVersion::DTLS1_3, datagram: alert },
    Forgery {
        name: "HelloVerifyRequest",
        to: End::Client,
        version: ProtocolVersion::DTLS1_2,
        datagram: hello_verify_request,
    },
    Forgery {
        name: "HelloVerifyRequest",
        to: End::Client,
        version: ProtocolVersion::DTLS1_3,
        datagram: hello_verify_request,
    },
    Forgery {
        name: "HelloRetryRequest",
        to: End::Client,
        version: ProtocolVersion::DTLS1_3,
        datagram: hello_retry_request,
    },
];

#[test]
fn what_fits_ends_the_handshake_or_does_nothing() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        for forgery in FORGERIES.iter().filter(|forgery| forgery.version == kind.version) {
            // While both hellos are under way, while the answer is, and later.
            for at in [10, 30, 60] {
                let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
                pair.run(Duration::from_millis(at));
                let datagram = (forgery.datagram)();
                pair.network.log_noise(pair.now, forgery.to.other(), &datagram);
                pair.deliver(forgery.to, datagram);
                check_clean_end(&mut pair, forgery.name);
            }
        }
    });
}

/// A fragment that overlaps nothing and completes a message: there is nothing it contradicts.
#[test]
fn a_fragment_that_completes_a_message_wrongly_ends_the_handshake_or_does_nothing() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        for receiver in End::BOTH {
            for nth in 0..4 {
                let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
                let mut seen = 0;
                pair.run_with(PATIENCE, &mut |pair, to, honest| {
                    let [HANDSHAKE, _, _, 0, 0, ..] = honest else { return };
                    let Some(forged) = rest_of_last_message(honest).filter(|_| to == receiver) else { return };
                    seen += 1;
                    if seen == nth + 1 {
                        pair.network.log_noise(pair.now, to.other(), &forged);
                        pair.deliver(to, forged);
                    }
                });
                check_clean_end(&mut pair, "the rest of a message");
            }
        }
    });
}

/// Completes the message whose beginning ends this datagram, with octets of no meaning.
fn rest_of_last_message(honest: &[u8]) -> Option<Vec<u8>> {
    let record = *crate::ladder::split_records(honest).last()?;
    let mut payload = record.get(13..).filter(|_| matches!(record, [HANDSHAKE, _, _, 0, 0, ..]))?;
    loop {
        let (header, body) = payload.split_at_checked(12)?;
        let number = |range: &[u8]| range.iter().fold(0usize, |n, octet| n << 8 | usize::from(*octet));
        let (length, offset, len) = (number(&header[1..4]), number(&header[6..9]), number(&header[9..12]));
        if body.len() <= len {
            let message_seq = u16::from_be_bytes([header[4], header[5]]);
            let rest = length.checked_sub(offset + len).filter(|rest| *rest > 0)?;
            return Some(fragment(header[0], length, message_seq, offset + len, &vec![0x41; rest]));
        }
        payload = &body[len..];
    }
}

/// Each end is complete or has failed, nothing goes on, and two that are complete agree.
fn check_clean_end(pair: &mut Pair, what: &str) {
    check!(pair, pair.handshake_memory() <= MOST, format!("{what}: what is kept is bounded"));
    let stop = pair.run(Duration::from_secs(3600));
    check!(pair, stop == Stop::Quiet, format!("{what}: no hang"));
    let mut ends = Vec::new();
    for end in End::BOTH {
        pair.side(end).drain_events();
        let failed = |event: &&Event| matches!(event, Event::Closed(CloseReason::Failed(_)));
        let failures = pair.side(end).events.iter().filter(failed).count();
        let established = pair.side(end).connection.is_established();
        let unheard = pair.side(end).connection.stats().datagrams_received == 0;
        check!(pair, unheard || established != (failures == 1), format!("{what}: {end:?} is complete or has failed"));
        ends.push(established);
    }
    // One may be complete without the other: it has had the other's Finished, and then the other was told to give up.
    if ends == [true; 2] {
        pair.check_exporters();
        pair.check_data();
    }
}

/// As an honest server's that has chosen what every client offers (RFC 5246 §7.4.1.3).
fn server_hello_12() -> Vec<u8> {
    let mut body = V12.to_vec();
    body.extend([0x77; 32]);
    // No session, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression.
    body.extend([0, 0xC0, 0x2B, 0]);
    // extended_master_secret, and renegotiation_info of a first handshake.
    body.extend([0, 9, 0, 23, 0, 0, 0xFF, 1, 0, 1, 0]);
    whole(SERVER_HELLO, 0, &body)
}

/// It parses, and comes too early (RFC 5246 §7.4.5) or does not exist (RFC 8446 §4).
fn server_hello_done() -> Vec<u8> {
    whole(14, 1, &[])
}

/// Another client's, as it was when that began.
fn client_hello(version: ProtocolVersion) -> Vec<u8> {
    let kind = kinds::plain().find(|kind| kind.version == version).expect("one for each version");
    let mut datagrams = crate::knobs::clean_datagrams_of(kind, 4711);
    datagrams.swap_remove(0)
}

fn client_hello_12() -> Vec<u8> {
    client_hello(ProtocolVersion::DTLS1_2)
}

fn client_hello_13() -> Vec<u8> {
    client_hello(ProtocolVersion::DTLS1_3)
}

/// RFC 8446 §4.1.3.
fn server_hello_13() -> Vec<u8> {
    let mut share = vec![0, 0x1D, 0, 32];
    share.extend([9; 32]);
    hello_13([0x77; 32], &[(43, &[0xFE, 0xFC]), (51, &share)])
}

/// RFC 8446 §4.1.4: the random value that is the digest of "HelloRetryRequest", and a cookie.
fn hello_retry_request() -> Vec<u8> {
    let random = [
        0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2,
        0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
    ];
    hello_13(random, &[(43, &[0xFE, 0xFC]), (44, &[0, 4, 1, 2, 3, 4])])
}

fn hello_13(random: [u8; 32], extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (extension, content) in extensions {
        list.extend(extension.to_be_bytes());
        list.extend(u16::try_from(content.len()).expect("short").to_be_bytes());
        list.extend(*content);
    }
    let mut body = V12.to_vec();
    body.extend(random);
    // No session, TLS_AES_128_GCM_SHA256, no compression.
    body.extend([0, 0x13, 0x01, 0]);
    body.extend(u16::try_from(list.len()).expect("short").to_be_bytes());
    body.extend(list);
    whole(SERVER_HELLO, 0, &body)
}

/// RFC 6347 §4.2.1.
fn hello_verify_request() -> Vec<u8> {
    whole(HELLO_VERIFY_REQUEST, 0, &[0xFE, 0xFF, 4, 1, 2, 3, 4])
}

/// handshake_failure, fatal (RFC 8446 §6.2).
fn alert() -> Vec<u8> {
    classic(21, V12, 0, 1 << 20, &[2, 40])
}

/// What is forged and discarded is counted, so that an application can tell an attack from a bad line.
#[test]
fn attacks_are_counted() {
    for kind in kinds::plain() {
        let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
        pair.run(Duration::from_millis(10));
        pair.deliver(End::Client, whole(SERVER_HELLO, 0, &[1]));
        let counted = pair.client.connection.stats().discarded(Discard::MalformedPlaintext);
        check!(pair, counted == 1, "a message that does not parse");
        pair.deliver(End::Client, classic(26, V12, 0, 7, &[0]));
        check!(pair, pair.client.connection.stats().discarded(Discard::Ack) == 1, "an ACK that does not");
    }
}
