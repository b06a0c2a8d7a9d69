//! After the handshake: KeyUpdate in either direction and in both at once, whatever is lost (RFC 9147 §5.8.4, §8), and the
//! quiet end of what is kept for stragglers.

use crate::kinds;
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network};
use crate::pair::{Pair, TWO_MSL, check};
use crate::patterns::{self, Depth};
use crate::provider::End;

/// Up to two, and with `UDTLS_DEEP=1` up to three.
#[test]
fn what_follows_the_handshake_survives_every_loss_of_a_few_datagrams() {
    let kinds: Vec<_> = kinds::plain().collect();
    kinds::for_each(&kinds, |kind| {
        for (class, later) in patterns::LATER {
            patterns::afterwards(kind, later, Depth::from_environment()).check(kind, class);
        }
    });
}

#[test]
fn what_is_kept_for_stragglers_goes_quietly() {
    kinds::for_all(|kind| {
        let mut pair = Pair::established(kind, SEED);
        let events = End::BOTH.map(|end| pair.side(end).events.len());
        pair.run_for(TWO_MSL);
        pair.check_data();
        let later = End::BOTH.map(|end| pair.side(end).events.len());
        check!(pair, events == later, "nobody hears of it");
    });
}

#[test]
fn t7_a_last_flight_that_was_lost_is_sent_again_when_the_peer_repeats_its_own() {
    // The last datagram of the handshake proper: what the one end that is complete first is asked for again.
    kinds::for_all(|kind| {
        let clean = crate::pair::prove(kind, SEED, Network::with_faults(&[]));
        let last = clean.sent - 1;
        // As often as the peer repeats its own, which in the end is every minute: longer than 2 × MSL, each time within it.
        let mut tally = Tally::default();
        for times in 1..=12 {
            let faults: Vec<_> = (0..times).map(|n| Fault::Lose(last + 2 * n)).collect();
            tally.add(crate::pair::prove(kind, SEED, Network::with_faults(&faults)));
        }
        tally.print(kind, "last flight lost");
    });
}
