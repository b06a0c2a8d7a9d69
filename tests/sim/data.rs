//! Application data, replay protection and the end of an association (RFC 6347 §4.1.2.6; RFC 9147 §4.5.1, §5.10).

use crate::kinds;
use crate::network::{Network, Weather};
use crate::pair::{PATIENCE, Pair, Stop, check};
use crate::provider::End;
use std::time::Duration;
use udtls::{AlertDescription, CloseReason, Discard, Error, Event, SendError};

#[test]
fn data_gets_through_both_ways_at_every_size() {
    kinds::for_all(|kind| {
        let mut pair = Pair::established(kind, 1);
        for end in End::BOTH {
            let max = pair.side(end).connection.max_payload();
            check!(pair, max < kind.mtu && max > kind.mtu - 64, "a payload and its record fit the MTU");
            for len in [0, 1, 2, 15, 16, 17, max / 2, max - 1, max] {
                let payload: Vec<_> = (0..len).map(|i| i as u8).collect();
                let datagram = pair.seal(end, &payload).expect("not too large");
                check!(pair, datagram.len() <= kind.mtu, "the datagram fits the MTU");
                pair.deliver(end.other(), datagram);
                let delivered = pair.side(end.other()).delivered.pop();
                check!(pair, delivered == Some(payload), "what arrives is what was sent");
            }
            let refused = pair.seal(end, &vec![0; max + 1]);
            check!(pair, refused == Err(SendError::TooLarge { max }), "what does not fit is refused");
        }
        pair.check_data();
    });
}

#[test]
fn data_in_a_storm_arrives_at_most_once_and_unharmed() {
    for kind in kinds::plain() {
        for seed in crate::chaos::seeds(4) {
            let weather = Weather { loss: 20, duplication: 30, reordering: 30, corruption: 10, ..Weather::default() };
            let mut pair = Pair::new(kind, seed, Network::with_weather(weather, seed));
            crate::pair::prove_handshake(&mut pair);
            let numbers = 0..300u32;
            for number in numbers.clone() {
                for end in End::BOTH {
                    pair.send(end, &number.to_be_bytes()).expect("an established association");
                }
                pair.run(pair.now + Duration::from_millis(2));
            }
            pair.run(pair.now + PATIENCE);
            for end in End::BOTH {
                let mut delivered = std::mem::take(&mut pair.side(end).delivered);
                let count = delivered.len();
                check!(pair, count > 180 && count < 270, format!("about a quarter is lost: {count} of 300 came"));
                delivered.sort_unstable();
                delivered.dedup();
                check!(pair, delivered.len() == count, "nothing arrives twice");
                let sent = |data: &Vec<u8>| numbers.clone().any(|n| n.to_be_bytes() == data[..]);
                check!(pair, delivered.iter().all(sent), "nothing arrives that was not sent");
            }
            pair.check_complete();
        }
    }
}

#[test]
fn replayed_records_are_dropped_and_counted() {
    for kind in kinds::plain() {
        let mut pair = Pair::established(kind, 1);
        let datagrams: Vec<_> = (0..300u16)
            .map(|n| pair.seal(End::Client, &n.to_be_bytes()).expect("an established association"))
            .collect();
        // The first overtakes nothing; the last leaves the first 44 behind the window of 256.
        for datagram in [&datagrams[0], &datagrams[1], &datagrams[299], &datagrams[100]] {
            pair.deliver(End::Server, datagram.clone());
        }
        check!(pair, pair.server.delivered.len() == 4, "each is delivered, in any order");
        let counted = |pair: &Pair, reason| pair.server.connection.stats().discarded(reason);
        for datagram in [&datagrams[299], &datagrams[100], &datagrams[299]] {
            pair.deliver(End::Server, datagram.clone());
        }
        check!(pair, counted(&pair, Discard::Replayed) == 3, "a second time they are replays");
        for datagram in [&datagrams[0], &datagrams[2], &datagrams[40]] {
            pair.deliver(End::Server, datagram.clone());
        }
        check!(pair, counted(&pair, Discard::TooOld) == 3, "what is behind the window is too old");
        // Everything else comes once.
        for datagram in &datagrams[60..299] {
            pair.deliver(End::Server, datagram.clone());
        }
        check!(pair, pair.server.delivered.len() == 4 + 238, "what is in the window is delivered once");
        check!(pair, counted(&pair, Discard::Replayed) == 4, "and the one that was there is a replay");
        pair.check_complete();
    }
}

#[test]
fn data_that_overtakes_the_handshake_is_lost_and_nothing_else() {
    kinds::for_all(|kind| {
        let mut pair = Pair::new(kind, 1, Network::with_faults(&[]));
        // Both ends send as soon as they may, every millisecond, into whatever the other is doing.
        for _ in 0..400 {
            pair.run(pair.now + Duration::from_millis(1));
            for end in End::BOTH {
                if pair.side(end).connection.is_established() {
                    pair.send(end, b"early").expect("an established association");
                }
            }
        }
        pair.run(pair.now + PATIENCE);
        for end in End::BOTH {
            let (delivered, sent) =
                (pair.side(end).delivered.len() as u64, pair.side(end.other()).connection.stats().records_sent);
            check!(pair, delivered > 200 && delivered <= sent, "data arrives once both are complete");
        }
        pair.check_complete();
        pair.check_data();
    });
}

#[test]
fn each_end_closes_and_the_other_hears_of_it() {
    kinds::for_all(|kind| {
        for first in End::BOTH {
            let mut pair = Pair::established(kind, 1);
            let second = first.other();
            // Sent before the close_notify, overtaken by it: it counts (RFC 9147 §5.10).
            let straggler = pair.seal(first, b"straggler").expect("an established association");
            close(&mut pair, first);
            check!(pair, pair.side(second).events.contains(&Event::PeerClosed), "the other end hears of it");
            pair.deliver(second, straggler);
            check!(pair, pair.side(second).delivered.contains(&b"straggler".to_vec()), "what was sent before counts");
            check!(pair, pair.seal(first, b"more") == Err(SendError::Closed), "who closed says no more");
            // The other may still talk, and is heard.
            pair.send(second, b"last words").expect("the other end may still send");
            pair.run(pair.now + PATIENCE);
            check!(pair, pair.side(first).delivered.contains(&b"last words".to_vec()), "the other end may still talk");
            close(&mut pair, second);
            check!(pair, pair.side(first).events.contains(&Event::PeerClosed), "both hear of it");
            for end in End::BOTH {
                let closed = Event::Closed(CloseReason::Local);
                let count = |event: &Event| pair_events(&mut pair, end).iter().filter(|e| *e == event).count();
                let mut count = count;
                let counts = [count(&closed), count(&Event::PeerClosed)];
                check!(pair, counts == [1, 1], "each event comes once");
                check!(pair, pair.deadline_of(end).is_none(), "nothing is waited for");
                check!(pair, pair.poll_transmit(end).is_empty(), "nothing is left to say");
            }
        }
    });
}

fn pair_events(pair: &mut Pair, end: End) -> Vec<Event> {
    pair.side(end).events.clone()
}

fn close(pair: &mut Pair, end: End) {
    let now = pair.instant();
    pair.side(end).connection.close(now);
    pair.side(end).connection.close(now);
    let stop = pair.run(pair.now + PATIENCE);
    pair.side(end).drain_events();
    check!(pair, stop == Stop::Quiet, "a closed association rests");
}

#[test]
fn a_fatal_alert_ends_both_sides() {
    kinds::for_all(|kind| {
        for end in End::BOTH {
            let mut pair = Pair::established(kind, 1);
            pair.side(end).connection.abort(AlertDescription::INTERNAL_ERROR);
            pair.run(pair.now + PATIENCE);
            pair.side(end).drain_events();
            let reason = Error::AlertReceived(AlertDescription::INTERNAL_ERROR);
            check!(pair, pair.side(end.other()).failure == Some(reason.clone()), "the other end gets the alert");
            let closed = Event::Closed(CloseReason::Failed(reason));
            check!(pair, pair.side(end.other()).events.contains(&closed), "and says so");
            check!(pair, pair.seal(end, b"x") == Err(SendError::Closed), "nothing more is sent");
            check!(pair, pair.seal(end.other(), b"x") == Err(SendError::Closed), "by neither");
        }
    });
}

#[test]
fn a_peer_that_is_not_there_is_given_up() {
    for kind in kinds::plain() {
        let mut pair = Pair::new(kind, 1, Network::with_weather(Weather { loss: 100, ..Weather::default() }, 1));
        let stop = pair.run(Duration::from_secs(3600));
        check!(pair, stop == Stop::Quiet, "it comes to an end");
        let gave_up = Event::Closed(CloseReason::Failed(Error::TimedOut { last_fault: None }));
        check!(pair, pair.client.events == [gave_up], "the client says that it timed out");
        // 1 + 2 + 4 + … + 32 seconds, then 60 each: thirteen waits.
        check!(pair, pair.now == Duration::from_secs(63 + 7 * 60), "after thirteen timeouts");
        check!(pair, pair.client.connection.stats().retransmissions == 12, "and twelve retransmissions");
        let now = pair.instant();
        let mut out = [0; 2048];
        check!(pair, pair.client.connection.poll_transmit(now, &mut out) == Ok(None), "nobody is there to be told");
    }
}
