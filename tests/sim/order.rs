//! Duplicates and datagrams out of order: reassembly, early records and replay protection (RFC 6347 §4.1.2.6, §4.2.3;
//! RFC 9147 §4.2.1, §4.5.1, §5.5).

use crate::kinds::{self, Kind};
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network};
use crate::pair::{Pair, check, prove, prove_handshake};
use std::time::Duration;

/// By so little a datagram changes places with the next of its burst.
const A_BIT: Duration = Duration::from_nanos(1);
/// Until the answer to what it belongs to is on its way.
const AN_ANSWER: Duration = Duration::from_millis(60);
/// Until it was sent again.
const A_TIMEOUT: Duration = Duration::from_millis(1200);
/// Until all is over.
const LATE: Duration = Duration::from_secs(20);

#[test]
fn every_datagram_comes_twice() {
    for_every_datagram("one duplicated", |ordinal| {
        [Duration::ZERO, A_BIT, AN_ANSWER, A_TIMEOUT, LATE].map(|later| Fault::Duplicate(ordinal, later)).to_vec()
    });
}

#[test]
fn every_datagram_is_overtaken() {
    for_every_datagram("one delayed", |ordinal| {
        [A_BIT, AN_ANSWER, A_TIMEOUT, LATE].map(|later| Fault::Delay(ordinal, later)).to_vec()
    });
}

/// Runs each of the faults, alone, for each datagram of a clean run.
fn for_every_datagram(class: &str, faults: impl Fn(usize) -> Vec<Fault> + Sync) {
    kinds::for_all(|kind| {
        let clean = prove(kind, SEED, Network::with_faults(&[]));
        let mut tally = Tally::default();
        for fault in (0..clean.sent).flat_map(&faults) {
            tally.add(prove(kind, SEED, Network::with_faults(&[fault])));
        }
        tally.print(kind, class);
    });
}

#[test]
fn every_two_datagrams_come_twice() {
    kinds::for_all(|kind| {
        let clean = prove(kind, SEED, Network::with_faults(&[]));
        let mut tally = Tally::default();
        for first in 0..clean.sent {
            for second in first + 1..clean.sent {
                let faults = [first, second].map(|ordinal| Fault::Duplicate(ordinal, AN_ANSWER));
                tally.add(prove(kind, SEED, Network::with_faults(&faults)));
            }
        }
        tally.print(kind, "two duplicated");
    });
}

#[test]
fn a_reversed_flight_completes_without_retransmission() {
    kinds::for_all(|kind| {
        let clean = prove(kind, SEED, Network::with_faults(&[]));
        let mut tally = Tally::default();
        let all: Vec<_> = (0..clean.bursts).map(Fault::Reverse).collect();
        for faults in all.iter().map(std::slice::from_ref).chain([all.as_slice()]) {
            let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
            tally.add(prove_handshake(&mut pair));
            // A flight that does not fit the window of seven messages or the buffer for early records may need more.
            for side in [&pair.client, &pair.server] {
                check!(pair, side.connection.stats().retransmissions == 0, "all was kept until its turn");
            }
            pair.check_data();
        }
        tally.print(kind, "flights reversed");
    });
}

#[test]
fn every_move_of_a_datagram_within_its_flight() {
    kinds::for_all(|kind| {
        let clean = prove(kind, SEED, Network::with_faults(&[]));
        let mut tally = Tally::default();
        for ordinal in 0..clean.sent {
            // Bursts leave at one instant, so the n-th nanosecond is the n-th place: all others of a burst keep theirs when
            // they are spread, two nanoseconds apart, over it.
            for place in 1..spread_len(kind) {
                let mut faults: Vec<_> = (0..clean.sent).map(|n| Fault::Delay(n, A_BIT * 2 * n as u32)).collect();
                faults[ordinal] = Fault::Delay(ordinal, A_BIT * (2 * (ordinal + place) as u32 + 1));
                tally.add(prove(kind, SEED, Network::with_faults(&faults)));
            }
        }
        tally.print(kind, "one moved");
    });
}

/// How far a datagram is moved at most: every place of a short flight, the first few of a long one.
const fn spread_len(kind: &Kind) -> usize {
    if kind.mtu == 256 { 6 } else { 4 }
}
