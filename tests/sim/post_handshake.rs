//! After the handshake: KeyUpdate in either direction and in both at once, whatever is lost (RFC 9147 §5.8.4, §8), and the
//! quiet end of what is kept for stragglers.

use crate::kinds::{self, Kind, Shape};
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network};
use crate::pair::{PATIENCE, Pair, Stop, TWO_MSL, check};
use crate::patterns::{self, Depth};
use crate::provider::End;
use udtls::{Direction, Event, KeyUpdateRequest, ProtocolVersion};

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
fn what_follows_the_handshake_survives_repetition_and_delay() {
    let kinds: Vec<_> = kinds::plain().collect();
    kinds::for_each(&kinds, |kind| {
        for (class, later) in patterns::LATER {
            patterns::afterwards_again(kind, later).check(kind, &format!("{class}, again or late"));
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

/// Tickets are on their way while both ends want new keys: a KeyUpdate waits for them (draft-ietf-tls-rfc9147bis §8), and they
/// come under the keys that they were sent with.
#[test]
fn key_updates_that_cross_tickets_survive_every_loss_of_one_or_two_datagrams() {
    let crossing = |kind: &&&Kind| kind.shape == Shape::Resumed && kind.version == ProtocolVersion::DTLS1_3;
    let kinds: Vec<_> = kinds::all().iter().filter(|kind| crossing(&kind)).collect();
    assert!(!kinds.is_empty());
    kinds::for_each(&kinds, |kind| {
        let clean = update_at_once(kind, &[]);
        for first in 0..clean {
            let one = update_at_once(kind, &[Fault::Lose(first)]);
            for second in first + 1..one {
                update_at_once(kind, &[Fault::Lose(first), Fault::Lose(second)]);
            }
        }
    });
}

/// A handshake in which each end asks for new keys as soon as it is complete; how many datagrams it took.
fn update_at_once(kind: &'static Kind, faults: &[Fault]) -> usize {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
    let mut asked = Vec::new();
    let stop = pair.run_with(PATIENCE, &mut |pair, _, _| {
        for end in End::BOTH {
            let now = pair.instant();
            if pair.side(end).connection.is_established() && !asked.contains(&end) {
                let request = pair.side(end).connection.request_key_update(now, KeyUpdateRequest::Requested);
                check!(pair, request.is_ok(), "an update may be asked for");
                asked.push(end);
            }
        }
    });
    check!(pair, stop == Stop::Quiet, "updates come to rest");
    for end in End::BOTH {
        pair.side(end).drain_events();
        for direction in [Direction::Sending, Direction::Receiving] {
            let changed = pair.side(end).events.contains(&Event::KeyUpdated(direction));
            check!(pair, changed, format!("{end:?} changed its keys to {direction:?}"));
        }
    }
    let tickets = pair.side(End::Client).events.contains(&Event::SessionTicket);
    check!(pair, tickets, "the tickets came");
    let sent = pair.network.sent;
    pair.network.clear_up();
    pair.check_data();
    sent
}
