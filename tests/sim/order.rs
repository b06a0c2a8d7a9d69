//! Duplicates and datagrams out of order: reassembly, early records and replay protection (RFC 6347 §4.1.2.6, §4.2.3;
//! RFC 9147 §4.2.1, §4.5.1, §5.5).

use crate::kinds;
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network};
use crate::pair::{Pair, check, prove, prove_handshake};
use crate::patterns::{self, A_BIT, A_TIMEOUT, AN_ANSWER, Depth, LATE};

#[test]
fn f3_one_or_two_datagrams_come_twice() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        for (class, tally) in patterns::duplications(kind) {
            tally.check(kind, class);
        }
    });
}

/// With `UDTLS_DEEP=1` longer flights and more shuffles.
#[test]
fn f3_each_flight_in_every_order() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        patterns::orders(kind, Depth::from_environment()).check(kind, patterns::ORDER);
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
fn a_reversed_flight_completes_without_retransmission() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let mut clean = Pair::new(kind, SEED, Network::with_faults(&[]));
        prove_handshake(&mut clean);
        let mut tally = Tally::default();
        let all: Vec<_> = (0..clean.network.bursts.len()).map(Fault::Reverse).collect();
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
