//! What the network can do besides: to single records, messages and octets, to one direction, to the path while it is in
//! use, and to the clocks (RFC 9147 §4.4, §4.5.2, §5.8).

use crate::keys::{Content, contents};
use crate::kinds::{self, Shape};
use crate::ladder::{What, split_records};
use crate::loss::{SEED, Tally};
use crate::network::{Act, Fault, Network, Weather};
use crate::pair::{Figures, PATIENCE, Pair, Stop, check, prove, prove_handshake};
use crate::patterns::{A_BIT, A_TIMEOUT, AN_ANSWER, LATE};
use crate::provider::End;
use std::time::Duration;
use udtls::{ApiMisuse, CloseReason, Error, Event, ProtocolVersion};

/// The datagrams of a run to which nothing happens.
pub(crate) fn clean_datagrams(kind: &'static kinds::Kind) -> Vec<Vec<u8>> {
    clean_datagrams_of(kind, SEED)
}

/// The same of ends that draw from this seed.
pub(crate) fn clean_datagrams_of(kind: &'static kinds::Kind, seed: u64) -> Vec<Vec<u8>> {
    let mut pair = Pair::new(kind, seed, Network::with_faults(&[]));
    prove_handshake(&mut pair);
    let rungs = std::mem::take(&mut pair.network.ladder.rungs);
    rungs.into_iter().filter(|rung| rung.what == What::Sent).map(|rung| rung.datagram).collect()
}

/// What may happen to a record or a message, and not to the rest of its datagram.
const ACTS: [(&str, Act); 5] = [
    ("lost", Act::Lose),
    ("twice", Act::Duplicate(AN_ANSWER)),
    ("overtaken", Act::Delay(A_BIT)),
    ("late", Act::Delay(A_TIMEOUT)),
    ("very late", Act::Delay(LATE)),
];

#[test]
fn every_record_is_lost_repeated_and_overtaken_alone() {
    kinds::for_all(|kind| {
        let datagrams = clean_datagrams(kind);
        for (name, act) in ACTS {
            let mut tally = Tally::default();
            for (ordinal, datagram) in datagrams.iter().enumerate() {
                for place in 0..split_records(datagram).len() {
                    let fault = Fault::Record(ordinal, place, act);
                    tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
                }
            }
            tally.check(kind, &format!("one record {name}"));
        }
    });
}

/// The handshake messages of a run to which nothing happens, in plaintext and under keys, and how many ACKs each end sends.
fn clean_messages(kind: &'static kinds::Kind) -> (Vec<u8>, [usize; 2]) {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
    prove_handshake(&mut pair);
    let (mut messages, mut acks) = (Vec::new(), [0; 2]);
    for rung in pair.network.ladder.rungs.iter().filter(|rung| rung.what == What::Sent) {
        for record in split_records(&rung.datagram) {
            for content in contents(rung.from, record) {
                match content {
                    Content::Message(fragment) => messages.push(fragment.message),
                    Content::Ack => acks[rung.from as usize] += 1,
                    _ => {}
                }
            }
        }
    }
    messages.sort_unstable();
    messages.dedup();
    (messages, acks)
}

#[test]
fn the_network_sees_every_message_of_every_handshake() {
    for kind in kinds::plain() {
        // Under keys in 1.3 from EncryptedExtensions on; in 1.2 but Finished.
        let expected: &[u8] = match kind.version {
            ProtocolVersion::DTLS1_3 => &[1, 2, 8, 11, 15, 20],
            _ => &[1, 2, 11, 12, 14, 16, 20],
        };
        let (messages, acks) = clean_messages(kind);
        assert_eq!(messages, expected, "{kind}");
        assert_eq!(acks, if kind.version == ProtocolVersion::DTLS1_3 { [0, 1] } else { [0, 0] }, "{kind}");
    }
}

#[test]
fn every_message_is_lost_repeated_and_overtaken_again_and_again() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let (messages, _) = clean_messages(kind);
        for (name, act) in ACTS {
            let mut tally = Tally::default();
            for message in &messages {
                for times in 1..=3 {
                    let fault = Fault::Message(*message, times, act);
                    tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
                }
            }
            tally.check(kind, &format!("one message {name}"));
        }
    });
}

#[test]
fn every_two_messages_are_lost() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let (messages, _) = clean_messages(kind);
        let mut tally = Tally::default();
        for (place, first) in messages.iter().enumerate() {
            for second in &messages[place + 1..] {
                for times in [(1, 1), (1, 2), (2, 1)] {
                    let faults =
                        [Fault::Message(*first, times.0, Act::Lose), Fault::Message(*second, times.1, Act::Lose)];
                    tally.attempt(|| prove(kind, SEED, Network::with_faults(&faults)));
                }
            }
        }
        tally.check(kind, "two messages lost");
    });
}

/// A record that has lost half of its payload is none (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2), whatever of a message it holds.
#[test]
fn every_record_and_every_message_is_truncated() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let mut tally = Tally::default();
        for (ordinal, datagram) in clean_datagrams(kind).iter().enumerate() {
            for place in 0..split_records(datagram).len() {
                let fault = Fault::Record(ordinal, place, Act::Truncate);
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
            }
        }
        for message in clean_messages(kind).0 {
            for times in 1..=3 {
                let fault = Fault::Message(message, times, Act::Truncate);
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
            }
        }
        tally.check(kind, "truncated records");
    });
}

/// Messages of plaintext are spared: UDP's checksum is all that protects them.
#[test]
fn every_protected_message_is_corrupted() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let mut tally = Tally::default();
        let protected: &[u8] = if kind.version == ProtocolVersion::DTLS1_3 { &[4, 8, 11, 13, 15, 20] } else { &[20] };
        for message in clean_messages(kind).0.iter().filter(|message| protected.contains(message)) {
            for times in 1..=3 {
                let fault = Fault::Message(*message, times, Act::Corrupt);
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
            }
        }
        tally.check(kind, "corrupted messages");
    });
}

/// Tickets, which come last, in order, again, late, damaged and not at all; and every ACK of a handshake, alone and with the
/// tickets.
#[test]
fn tickets_and_acks_are_lost_repeated_overtaken_and_damaged() {
    const TICKET: u8 = 4;
    let acts: Vec<_> = ACTS.into_iter().chain([("damaged", Act::Corrupt)]).collect();
    let new: Vec<_> = kinds::all().iter().filter(|kind| kind.version == ProtocolVersion::DTLS1_3).collect();
    kinds::for_each(&new, |kind| {
        let (messages, acks) = clean_messages(kind);
        let mut tally = Tally::default();
        let mut faults: Vec<_> = acts.iter().map(|(_, act)| vec![Fault::Message(TICKET, 1, *act)]).collect();
        if !messages.contains(&TICKET) {
            faults.clear();
        }
        for end in End::BOTH {
            // Some more, for what is sent again is acknowledged again.
            for ack in 0..acks[end as usize] + 2 {
                for (_, act) in &acts {
                    faults.push(vec![Fault::Ack(end, ack, *act)]);
                    let tickets = acts.iter().map(|(_, other)| Fault::Message(TICKET, 1, *other));
                    faults.extend(
                        tickets.filter(|_| messages.contains(&TICKET)).map(|f| vec![Fault::Ack(end, ack, *act), f]),
                    );
                }
            }
        }
        for faults in faults {
            tally.attempt(|| prove(kind, SEED, Network::with_faults(&faults)));
        }
        tally.check(kind, "tickets and ACKs");
        assert_eq!(messages.contains(&TICKET), kind.shape == Shape::Resumed, "{kind}");
    });
}

#[test]
fn every_protected_record_is_corrupted_and_every_datagram_truncated() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for (ordinal, datagram) in clean_datagrams(kind).iter().enumerate() {
            let mut start = 0;
            for record in split_records(datagram) {
                // UDP's checksum is all that protects plaintext.
                if !matches!(record, [20..=26, _, _, 0, 0, ..]) {
                    for at in [0, 1, 3, 4, record.len() / 2, record.len() - 1] {
                        let fault = Fault::Corrupt(ordinal, start + at);
                        tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
                    }
                }
                start += record.len();
            }
            for len in [0, 1, 5, 13, 14, datagram.len() / 2, datagram.len() - 1] {
                let fault = Fault::Truncate(ordinal, len);
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&[fault])));
            }
        }
        tally.check(kind, "corrupted, truncated");
    });
}

#[test]
fn the_path_becomes_narrow_at_any_time() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for after in (0..140).step_by(20) {
            tally.attempt(|| {
                let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
                pair.run(Duration::from_millis(after));
                pair.network.narrow(300);
                let figures = prove_handshake(&mut pair);
                pair.check_data();
                figures
            });
        }
        tally.check(kind, "narrow from some time on");
    });
}

#[test]
fn the_mtu_is_set_at_any_time_to_anything() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for after in (0..140).step_by(10) {
            for mtus in [[100, 1400], [1400, 100], [200, 200], [1400, 1400]] {
                tally.attempt(|| {
                    let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
                    pair.run(Duration::from_millis(after));
                    for (end, mtu) in End::BOTH.into_iter().zip(mtus) {
                        let connection = &mut pair.side(end).connection;
                        // The least depends on the keys of the moment, and is said.
                        if let Err(ApiMisuse::MtuTooSmall { floor }) = connection.set_mtu(mtu) {
                            connection.set_mtu(floor).expect("what was asked for");
                        }
                    }
                    let figures = prove_handshake(&mut pair);
                    pair.check_data();
                    figures
                });
            }
        }
        tally.check(kind, "MTU set");
    });
}

/// EMSGSIZE: the socket says at once what is too long, and nobody waits for a timer.
#[test]
fn a_socket_that_refuses_large_datagrams_costs_no_time() {
    kinds::for_all(|kind| {
        let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
        pair.socket = 600;
        let figures = prove_handshake(&mut pair);
        let clean = prove(kind, SEED, Network::with_faults(&[]));
        // Less is acknowledged at once, and more datagrams may need an ACK more.
        check!(pair, figures.complete_at == clean.complete_at, "no time is lost");
        let longest = pair.network.ladder.rungs.iter().map(|rung| rung.datagram.len()).max();
        check!(pair, longest <= Some(600), "what was refused was not sent");
        check!(pair, kind.shape != Shape::LongChains || pair.server.connection.mtu() <= 576, "the server was told");
        pair.check_data();
    });
}

#[test]
fn the_two_directions_differ() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        let good = Weather { latency: Duration::from_millis(3), ..Weather::default() };
        let bad = Weather { latency: Duration::from_millis(900), loss: 30, duplication: 10, ..Weather::default() };
        for weather in [[good, bad], [bad, good]] {
            for seed in crate::chaos::seeds(6) {
                tally.attempt(|| {
                    let mut pair = Pair::new(kind, seed, Network::asymmetric(weather, seed));
                    if let Some(figures) = given_up(&mut pair) {
                        return figures;
                    }
                    let figures = prove_handshake(&mut pair);
                    pair.check_data();
                    figures
                });
            }
        }
        tally.check(kind, "asymmetric");
    });
}

/// A client that gets through with its last ClientHello, after eight minutes, goes on for thirteen more.
const LONGEST: Duration = Duration::from_secs(8 * 60 + 13 * 60 + 30);

/// Three of ten datagrams lost is too much for one handshake in some ten thousand: some part of a flight is lost whenever it
/// is sent. Who was called and hears no more waits 483 s by default, and in this time the other asks eight times at least, for
/// no timeout is longer than a minute. Then, and only then, both ends give up with an error that says so.
fn given_up(pair: &mut Pair) -> Option<Figures> {
    while pair.run(pair.now + Duration::from_secs(1)) == Stop::Deadline && over(pair) == [false; 2] {
        check!(pair, pair.now < LONGEST, "it ends");
    }
    if over(pair) == [false; 2] {
        return None;
    }
    let mut fragments = Vec::new();
    for rung in pair.network.ladder.rungs.iter().filter(|rung| matches!(rung.what, What::Sent | What::Received)) {
        for content in split_records(&rung.datagram).into_iter().flat_map(|record| contents(rung.from, record)) {
            if let Content::Message(fragment) = content {
                fragments.push((rung.from, rung.what, fragment));
            }
        }
    }
    // Of what was never received the first octet is the first of some fragment.
    let hopeless = fragments.iter().any(|(from, _, first)| {
        let with_it = fragments.iter().filter(|(end, _, fragment)| {
            let same = (end, fragment.message, fragment.message_seq) == (from, first.message, first.message_seq);
            same && (fragment.offset..fragment.offset + fragment.len).contains(&first.offset)
        });
        let (received, sent): (Vec<_>, Vec<_>) =
            with_it.map(|(_, what, _)| *what).partition(|what| *what == What::Received);
        sent.len() >= 8 && received.is_empty()
    });
    check!(pair, hopeless, "the path has lost some part each time");
    let stop = pair.run(LONGEST);
    check!(pair, stop == Stop::Quiet && over(pair) == [true; 2], "both give up");
    Some(Figures { sent: pair.network.sent, complete_at: Duration::ZERO, quiet_at: pair.now })
}

/// Whether each end has given up.
fn over(pair: &mut Pair) -> [bool; 2] {
    let timed_out = |event: &Event| matches!(event, Event::Closed(CloseReason::Failed(Error::TimedOut { .. })));
    End::BOTH.map(|end| pair.side(end).events.iter().any(timed_out))
}

/// A datagram that comes from another address belongs to nobody, and is as good as lost.
#[test]
fn the_source_of_any_datagrams_is_rewritten() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let mut tally = Tally::default();
        let sent = clean_datagrams(kind).len();
        for first in 0..sent {
            for second in first..sent {
                let faults = [Fault::Rewrite(first), Fault::Rewrite(second)];
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&faults)));
            }
        }
        tally.check(kind, "source rewritten");
    });
}

/// A clock that jumps makes timers fire early or late, and nothing else.
#[test]
fn clocks_jump() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for end in End::BOTH {
            for (before, after) in [(0, 3), (0, 90), (3, 0), (90, 0)] {
                for at in (0..140).step_by(20) {
                    for faults in [&[][..], &[Fault::Lose(1)], &[Fault::Lose(2)]] {
                        tally.attempt(|| {
                            let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
                            // A clock cannot be behind the origin of time, but it may have been ahead.
                            pair.side(end).ahead = Duration::from_secs(before);
                            pair.run(Duration::from_millis(at));
                            pair.side(end).ahead = Duration::from_secs(after);
                            let stop = pair.run(PATIENCE);
                            check!(pair, stop == Stop::Quiet, "it comes to rest");
                            let figures = prove_handshake(&mut pair);
                            pair.check_data();
                            figures
                        });
                    }
                }
            }
        }
        tally.check(kind, "clocks jump");
    });
}
