//! After the handshake: KeyUpdate in either direction and in both at once, whatever is lost (RFC 9147 §5.8.4, §8), and the
//! quiet end of what is kept for stragglers.

use crate::kinds::{self, Kind};
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network};
use crate::pair::{Figures, PATIENCE, Pair, Stop, TWO_MSL, check, prove_handshake};
use crate::provider::End;
use udtls::{Direction, Event, KeyUpdateRequest, ProtocolVersion};

/// Who asks for new keys.
#[derive(Clone, Copy, Debug)]
struct Updates {
    by: &'static [End],
    times: usize,
}

#[test]
fn key_updates_survive_every_loss_of_one_or_two_datagrams() {
    let kinds = kinds::plain().filter(|kind| kind.version == ProtocolVersion::DTLS1_3).collect::<Vec<_>>();
    for updates in [
        Updates { by: &[End::Client], times: 1 },
        Updates { by: &[End::Server], times: 1 },
        Updates { by: &[End::Client, End::Server], times: 1 },
        Updates { by: &[End::Client], times: 3 },
        Updates { by: &[End::Client, End::Server], times: 2 },
    ] {
        kinds::for_each(&kinds, |kind| {
            let mut tally = Tally::default();
            let clean = tally.add(update(kind, updates, &[]));
            for first in 4..clean.sent {
                let one = tally.add(update(kind, updates, &[Fault::Lose(first)]));
                for second in first + 1..one.sent {
                    tally.add(update(kind, updates, &[Fault::Lose(first), Fault::Lose(second)]));
                }
            }
            tally.print(kind, &format!("{updates:?}"));
        });
    }
}

/// A handshake, then updates with these faults, then data.
fn update(kind: &'static Kind, updates: Updates, faults: &[Fault]) -> Figures {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
    prove_handshake(&mut pair);
    let start = pair.now;
    for _ in 0..updates.times {
        for end in updates.by {
            let now = pair.instant();
            let requested = pair.side(*end).connection.request_key_update(now, KeyUpdateRequest::Requested);
            check!(pair, requested.is_ok(), "an update may be asked for");
        }
        let stop = pair.run(pair.now + PATIENCE);
        check!(pair, stop == Stop::Quiet, "updates come to rest");
    }
    for end in End::BOTH {
        pair.side(end).drain_events();
        for direction in [Direction::Sending, Direction::Receiving] {
            let event = Event::KeyUpdated(direction);
            let seen = pair.side(end).events.iter().filter(|e| **e == event).count();
            check!(pair, seen >= updates.times, format!("{end:?} changed its keys to {direction:?}: {seen}"));
        }
    }
    let figures = Figures {
        sent: pair.network.sent,
        bursts: pair.network.bursts,
        complete_at: pair.now - start,
        quiet_at: pair.now,
    };
    pair.network.clear_up();
    pair.check_data();
    figures
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
fn a_last_flight_that_was_lost_is_sent_again_when_the_peer_repeats_its_own() {
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
