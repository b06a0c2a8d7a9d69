//! What other implementations were seen to do wrong when datagrams are lost, each by a test of its own; t1, t7 and t9 are
//! where the losses, the last flight and the narrow path are (RFC 6347 §4.2.4, RFC 9147 §5.8, §7).

use crate::kinds::{self, Kind, Shape};
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network, Weather};
use crate::pair::{Figures, PATIENCE, Pair, Stop, check, prove, prove_handshake};
use crate::patterns::{self, permutations, shuffled};
use crate::provider::End;
use std::time::Duration;
use udtls::{CloseReason, Direction, Error, Event, KeyUpdateRequest, ProtocolVersion};

/// Kinds in which the server gives tickets.
fn with_tickets() -> Vec<&'static Kind> {
    let tickets = |kind: &&Kind| kind.shape == Shape::Resumed && kind.version == ProtocolVersion::DTLS1_3;
    kinds::all().iter().filter(tickets).collect()
}

/// An update of keys does not throw away what was not yet acknowledged.
#[test]
fn t2_key_updates_both_ways_while_tickets_are_on_their_way() {
    kinds::for_each(&with_tickets(), |kind| {
        let mut tally = Tally::default();
        let Some(clean) = tally.attempt(|| update_early(kind, &[])) else { return tally.check(kind, "t2") };
        for first in 0..clean.sent {
            let Some(one) = tally.attempt(|| update_early(kind, &[Fault::Lose(first)])) else { continue };
            for second in first + 1..one.sent {
                tally.attempt(|| update_early(kind, &[Fault::Lose(first), Fault::Lose(second)]));
            }
        }
        tally.check(kind, "updates and tickets");
    });
}

/// Each end asks for new keys as soon as it may.
fn update_early(kind: &'static Kind, faults: &[Fault]) -> Figures {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
    let mut asked = [false; 2];
    while pair.now < PATIENCE {
        for end in End::BOTH {
            let now = pair.instant_of(end);
            let connection = &mut pair.side(end).connection;
            if connection.is_established() && !asked[end as usize] {
                asked[end as usize] = true;
                let requested = connection.request_key_update(now, KeyUpdateRequest::Requested);
                check!(pair, requested.is_ok(), "an update may be asked for");
            }
        }
        let stop = pair.run(pair.now + Duration::from_millis(5));
        if stop == Stop::Quiet && asked == [true; 2] {
            break;
        }
    }
    for end in End::BOTH {
        pair.side(end).drain_events();
        for direction in [Direction::Sending, Direction::Receiving] {
            let updated = pair.side(end).events.contains(&Event::KeyUpdated(direction));
            check!(pair, updated, format!("{end:?} changed its keys to {direction:?}"));
        }
    }
    let figures = Figures { sent: pair.network.sent, complete_at: pair.now, quiet_at: pair.now };
    pair.network.clear_up();
    pair.check_data();
    figures
}

/// The client's ACKs of the tickets are lost, as often as the server repeats them.
#[test]
fn t3_a_ticket_that_comes_again_is_acknowledged_again() {
    kinds::for_each(&with_tickets(), |kind| {
        for times in 1..=6 {
            let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
            let complete = |pair: &Pair| pair.client.complete_at.is_some() && pair.server.complete_at.is_some();
            while !complete(&pair) {
                pair.run(pair.now + Duration::from_millis(1));
            }
            let retransmissions = |pair: &Pair| pair.server.connection.stats().retransmissions;
            let before = retransmissions(&pair);
            // What the client says from now on is ACKs.
            pair.network.lose_all(End::Client, true);
            while retransmissions(&pair) - before < times {
                pair.run(pair.now + Duration::from_millis(10));
                check!(pair, pair.now < PATIENCE, "the server repeats its tickets");
            }
            let acked = pair.client.connection.stats().acks_sent;
            check!(pair, acked >= times, format!("each repetition was acknowledged: {acked}"));
            pair.network.lose_all(End::Client, false);
            let stop = pair.run(pair.now + PATIENCE);
            check!(pair, stop == Stop::Quiet && retransmissions(&pair) - before == times, "the next ACK is enough");
            pair.check_complete();
            pair.check_data();
        }
    });
}

/// An ACK names handshake records and nothing else: data that overtakes the handshake has none sent.
#[test]
fn t4b_early_application_data_is_not_acknowledged() {
    let kinds: Vec<_> = kinds::all().iter().filter(|kind| kind.version == ProtocolVersion::DTLS1_3).collect();
    kinds::for_each(&kinds, |kind| {
        let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
        while !pair.client.connection.is_established() {
            pair.run(pair.now + Duration::from_millis(1));
        }
        // The client's last flight is on its way; data arrives before it.
        for number in 0..20u8 {
            let early = pair.seal(End::Client, &[number]).expect("an established association");
            let sent = pair.server.connection.stats().acks_sent;
            let deadline = pair.deadline_of(End::Server);
            pair.deliver(End::Server, early);
            check!(pair, pair.poll_transmit(End::Server).is_empty(), "nothing answers it");
            check!(pair, pair.server.connection.stats().acks_sent == sent, "no ACK is sent");
            check!(pair, pair.deadline_of(End::Server) == deadline, "nor will be");
        }
        check!(pair, pair.server.delivered.is_empty(), "it is lost");
        prove_handshake(&mut pair);
        pair.check_data();
    });
}

/// A timer that garbage resets never ends; one that says nothing leaves its owner waiting.
#[test]
fn t5_garbage_neither_resets_nor_stretches_a_timer_and_giving_up_is_an_error() {
    for kind in kinds::plain() {
        let deserted = || {
            let away = Weather { loss: 100, ..Weather::default() };
            Pair::new(kind, SEED, Network::with_weather(away, SEED))
        };
        let mut alone = deserted();
        alone.run(Duration::from_secs(3600));
        let mut pair = deserted();
        let mut deadlines = vec![];
        while pair.client.events.is_empty() {
            pair.run(pair.now + Duration::from_millis(100));
            let before = pair.deadline_of(End::Client);
            for garbage in
                [vec![0x16], vec![0x2C; 60], vec![0xFE; 300], b"\x16\xFE\xFD\0\0\0\0\0\0\0\x07\0\x01\x02".to_vec()]
            {
                pair.deliver(End::Client, garbage);
            }
            check!(pair, pair.deadline_of(End::Client) == before, "the deadline stays");
            deadlines.extend(before);
        }
        deadlines.dedup();
        check!(pair, deadlines.len() == 13, format!("thirteen timeouts: {deadlines:?}"));
        let gave_up = alone.now;
        check!(pair, pair.now - gave_up <= Duration::from_millis(100), "the end comes when it would");
        let timed_out = |event: &Event| matches!(event, Event::Closed(CloseReason::Failed(Error::TimedOut { .. })));
        check!(pair, pair.client.events.iter().all(timed_out), "and is an error that says so");
    }
}

/// The cases of BoringSSL's runner that are about lost datagrams are held, all of them.
#[test]
fn t6_boringssls_retransmission_cases_pass() {
    let passing = include_str!("../bogo/passing.txt");
    let cases = passing.lines().filter(|case| case.contains("DTLS-Retransmit")).count();
    assert!(cases >= 75, "{cases} of 75");
}

#[test]
fn t8_every_order_of_a_flight_of_which_one_datagram_is_lost() {
    kinds::for_all(|kind| {
        let mut clean = Pair::new(kind, SEED, Network::with_faults(&[]));
        prove_handshake(&mut clean);
        let mut tally = Tally::default();
        for (burst, len) in clean.network.bursts.iter().enumerate() {
            let mut run = |lost: usize, order: Vec<usize>| {
                let faults = [Fault::Arrange(burst, order), Fault::LoseOf(burst, lost)];
                tally.attempt(|| prove(kind, SEED, Network::with_faults(&faults)));
            };
            let mut short = |order: Vec<usize>| (0..*len).for_each(|lost| run(lost, order.clone()));
            if *len <= 4 {
                permutations(*len, &mut short);
            } else {
                for seed in 0..100 {
                    run(usize::try_from(seed).expect("short") % len, shuffled(*len, seed));
                }
            }
        }
        tally.check(kind, patterns::ORDER);
    });
}
