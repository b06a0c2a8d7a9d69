//! Application data and replay protection (RFC 6347 §4.1.2.6; RFC 9147 §4.5.1), and a peer that is not there.

use crate::kinds;
use crate::network::{Network, Weather};
use crate::pair::{PATIENCE, Pair, Stop, check};
use crate::provider::End;
use std::time::Duration;
use udtls::{CloseReason, Discard, Error, Event, SendError};

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
