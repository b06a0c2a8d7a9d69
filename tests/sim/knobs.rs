//! What the network can do besides: to single records, messages and octets, to one direction, to the path while it is in
//! use, and to the clocks (RFC 9147 §4.4, §4.5.2, §5.8).

use crate::kinds;
use crate::ladder::{What, split_records};
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network, Weather};
use crate::pair::{PATIENCE, Pair, Stop, check, prove, prove_handshake};
use crate::provider::End;
use std::time::Duration;

/// The datagrams of a run to which nothing happens.
fn clean_datagrams(kind: &'static kinds::Kind) -> Vec<Vec<u8>> {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
    prove_handshake(&mut pair);
    let rungs = std::mem::take(&mut pair.network.ladder.rungs);
    rungs.into_iter().filter(|rung| rung.what == What::Sent).map(|rung| rung.datagram).collect()
}

#[test]
fn every_record_is_cut_out_of_its_datagram() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for (ordinal, datagram) in clean_datagrams(kind).iter().enumerate() {
            for place in 0..split_records(datagram).len() {
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&[Fault::LoseRecord(ordinal, place)])));
            }
        }
        tally.check(kind, "one record lost");
    });
}

#[test]
fn every_plaintext_message_is_lost_again_and_again() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        // ClientHello to ClientKeyExchange, as far as each version has them in plaintext.
        for message in [1, 2, 11, 12, 13, 14, 15, 16] {
            for times in 1..=3 {
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&[Fault::LoseMessage(message, times)])));
            }
        }
        tally.check(kind, "one message lost");
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
fn the_two_directions_differ() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        let good = Weather { latency: Duration::from_millis(3), ..Weather::default() };
        let bad = Weather { latency: Duration::from_millis(900), loss: 30, duplication: 10, ..Weather::default() };
        for weather in [[good, bad], [bad, good]] {
            for seed in crate::chaos::seeds(6) {
                tally.attempt(|| {
                    let mut pair = Pair::new(kind, seed, Network::asymmetric(weather, seed));
                    let figures = prove_handshake(&mut pair);
                    pair.check_data();
                    figures
                });
            }
        }
        tally.check(kind, "asymmetric");
    });
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
