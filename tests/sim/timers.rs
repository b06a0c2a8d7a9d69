//! Timers, sentence by sentence (RFC 6347 §4.2.4, RFC 9147 §5.8): what the application sets, what the path teaches, what is
//! kept to the nanosecond, and how long an end that has done its part still answers.

use crate::kinds::{self, Kind, Shape};
use crate::ladder::What;
use crate::loss::SEED;
use crate::network::{Fault, Network, Weather};
use crate::noise::{classic, octets};
use crate::pair::{PATIENCE, Pair, Stop, TWO_MSL, check, prove_handshake};
use crate::provider::{End, provider};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::time::Duration;
use udtls::{CloseReason, Error, Event, KeyUpdateRequest, ProtocolVersion, TimeoutPolicy, TransportConfig};

const MS: Duration = Duration::from_millis(1);
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// One kind for each version, with these timers.
fn tuned(tune: impl Fn(&mut TransportConfig)) -> [&'static Kind; 2] {
    VERSIONS.map(|version| -> &'static Kind {
        Box::leak(Box::new(Kind::with_provider(version, Shape::ServerAuth, 1200, provider, &tune)))
    })
}

fn slow(latency: Duration, faults: &[Fault]) -> Network {
    let mut network = Network::with_weather(Weather { latency, ..Weather::default() }, SEED);
    network.faults = faults.to_vec();
    network
}

/// When this end sent.
fn sendings(pair: &Pair, end: End) -> Vec<Duration> {
    let sent = pair.network.ladder.rungs.iter().filter(|rung| rung.from == end && rung.what == What::Sent);
    sent.map(|rung| rung.at).collect()
}

/// Lets time pass until the client's second flight is on its way.
fn until_second_flight(pair: &mut Pair) {
    while pair.client.connection.stats().datagrams_received == 0 {
        pair.run(pair.now + MS);
    }
    pair.transmit();
}

#[test]
fn the_first_timeout_the_longest_and_their_number_are_the_applications() {
    let kinds = tuned(|transport| {
        transport.set_timeouts(300 * MS, 1000 * MS).expect("the first is shorter").set_max_retransmissions(5);
    });
    for kind in kinds {
        let mut pair = Pair::new(kind, SEED, slow(25 * MS, &[]));
        pair.network.lose_all(End::Client, true);
        let stop = pair.run(PATIENCE);
        check!(pair, stop == Stop::Quiet, "the end comes");
        let expected = [0, 300, 900, 1900, 2900, 3900].map(|ms| ms * MS);
        check!(pair, sendings(&pair, End::Client) == expected, "300 ms, twice that, and a second from then on");
        check!(pair, pair.now == 4900 * MS, "and a second after the last it is over");
        let gave_up = Event::Closed(CloseReason::Failed(Error::TimedOut { last_fault: None }));
        check!(pair, pair.client.events == [gave_up], "which is an error that says so");
    }
}

/// RFC 9147 §5.8.2: "the value SHOULD be adjusted to 1.5 times the measured round trip time".
#[test]
fn the_round_trip_sets_the_timeout_and_the_application_may_forbid_it() {
    for (policy, timeout) in [(TimeoutPolicy::Adaptive, 900), (TimeoutPolicy::Fixed, 1000)] {
        let kinds = tuned(|transport| {
            transport.set_timeout_policy(policy);
        });
        for kind in kinds {
            let mut pair = Pair::new(kind, SEED, slow(300 * MS, &[]));
            until_second_flight(&mut pair);
            check!(pair, pair.now == 600 * MS, "a round trip");
            check!(pair, pair.deadline_of(End::Client) == Some((600 + timeout) * MS), format!("{policy:?}"));
            prove_handshake(&mut pair);
            pair.check_data();
        }
    }
}

/// RFC 9147 §5.8.2: "SHOULD retain the current timer value until a message is transmitted and acknowledged without having to be
/// retransmitted".
#[test]
fn a_flight_that_was_sent_again_measures_nothing() {
    for kind in kinds::plain() {
        for lost in [0, 1] {
            let mut pair = Pair::new(kind, SEED, slow(300 * MS, &[Fault::Lose(lost)]));
            until_second_flight(&mut pair);
            check!(pair, pair.client.connection.stats().retransmissions == 1, "the ClientHello was sent twice");
            let timeout = pair.deadline_of(End::Client).map(|deadline| deadline - pair.now);
            check!(pair, timeout == Some(2000 * MS), "the timeout that brought it through is kept");
            prove_handshake(&mut pair);
            pair.check_data();
        }
    }
}

#[test]
fn the_initial_timeout_may_be_changed_on_a_live_connection() {
    for kind in kinds::plain() {
        let mut pair = Pair::new(kind, SEED, slow(25 * MS, &[Fault::Lose(0), Fault::Lose(1)]));
        pair.transmit();
        check!(pair, pair.deadline_of(End::Client) == Some(1000 * MS), "a second by default");
        for ms in [5000, 400, 250] {
            pair.client.connection.set_initial_timeout(ms * MS);
            check!(
                pair,
                pair.deadline_of(End::Client) == Some(ms * MS),
                "the timer that runs is counted from its start"
            );
        }
        pair.run(300 * MS);
        check!(pair, sendings(&pair, End::Client) == [0, 250].map(|ms| ms * MS), "the new one counts");
        check!(pair, pair.deadline_of(End::Client) == Some(750 * MS), "and is doubled");
        // Less than what has gone by: due at once, and once.
        pair.client.connection.set_initial_timeout(10 * MS);
        pair.run(300 * MS);
        check!(pair, sendings(&pair, End::Client).len() == 3, "due at once, and once");
        prove_handshake(&mut pair);
        pair.check_data();
    }
}

/// After the handshake, where the version has flights there.
#[test]
fn the_initial_timeout_may_be_changed_when_the_handshake_is_over() {
    for kind in kinds::plain().filter(|kind| kind.version == ProtocolVersion::DTLS1_3) {
        for end in End::BOTH {
            let mut pair = Pair::established(kind, SEED);
            pair.network.lose_all(end, true);
            let (now, start) = (pair.instant(), pair.now);
            pair.side(end).connection.set_initial_timeout(200 * MS);
            let requested = pair.side(end).connection.request_key_update(now, KeyUpdateRequest::NotRequested);
            check!(pair, requested.is_ok(), "an update may be asked for");
            pair.transmit();
            check!(pair, pair.deadline_of(end) == Some(start + 200 * MS), "the new timeout");
            pair.run(start + 250 * MS);
            pair.network.lose_all(end, false);
            let stop = pair.run(pair.now + PATIENCE);
            check!(pair, stop == Stop::Quiet && pair.now - start < 1000 * MS, "the update is through with the second");
            pair.check_data();
        }
    }
}

#[test]
fn deadlines_keep_nanoseconds() {
    let odd = Duration::from_nanos(1_000_000_007);
    let kinds = tuned(|transport| {
        transport.set_timeouts(odd, Duration::from_secs(60)).expect("the first is shorter");
    });
    for kind in kinds {
        let mut pair = Pair::new(kind, SEED, slow(Duration::from_nanos(12_345_678), &[Fault::Lose(0), Fault::Lose(1)]));
        pair.transmit();
        let nanosecond = Duration::from_nanos(1);
        for (before, after) in [(0, 1), (1, 3)].map(|(before, after)| (odd * before, odd * after)) {
            check!(pair, pair.deadline_of(End::Client) == Some(after), "the deadline is what it was set to");
            pair.now = after - nanosecond;
            let now = pair.instant();
            pair.client.connection.handle_timeout(now);
            check!(pair, pair.poll_transmit(End::Client).is_empty(), format!("nothing a nanosecond early: {before:?}"));
            pair.run(after);
        }
        check!(pair, sendings(&pair, End::Client) == [0, 1, 3].map(|n| odd * n), "and everything in its nanosecond");
        prove_handshake(&mut pair);
        pair.check_data();
    }
}

/// Records that are discarded, of all sorts, at each end, while it waits for the other.
#[test]
fn garbage_never_resets_or_stretches_a_deadline() {
    kinds::for_all(|kind| {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut garbage: Vec<_> = (0..40).map(|_| octets(&mut rng, 1, 300)).collect();
        for content_type in 20..=26 {
            for epoch in [0, 1, 2, 3, 9] {
                garbage.push(classic(content_type, [0xFE, 0xFD], epoch, 1 << 30, &octets(&mut rng, 2, 3)));
            }
        }
        for end in End::BOTH {
            let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
            // The server has been called, and from then on nobody hears anybody.
            pair.run(30 * MS);
            for other in End::BOTH {
                pair.network.lose_all(other, true);
            }
            pair.run(200 * MS);
            for _ in 0..3 {
                let before = pair.deadline_of(end);
                for datagram in &garbage {
                    pair.deliver(end, datagram.clone());
                    let (now, at) = (pair.instant(), pair.now);
                    pair.side(end).connection.handle_timeout(now);
                    check!(pair, pair.deadline_of(end) == before, "the deadline stays");
                    check!(pair, pair.poll_transmit(end).is_empty(), "nobody answers");
                    pair.now = at + MS;
                }
                // An end that is complete may wait for nothing, and still does.
                let Some(deadline) = before else { break };
                pair.run(deadline + 5 * MS);
                check!(pair, pair.deadline_of(end) > before, "it has come");
            }
        }
    });
}

/// RFC 6347 §4.2.4: "for at least twice the default MSL".
#[test]
fn the_last_flight_of_1_2_is_answerable_for_twice_the_maximum_segment_lifetime() {
    let finishers = [(Shape::ServerAuth, End::Server), (Shape::MutualAuth, End::Server), (Shape::Resumed, End::Client)];
    for (shape, last) in finishers {
        for mtu in [256, 1200] {
            let patient = |transport: &mut TransportConfig| {
                transport.set_timeouts(1000 * MS, PATIENCE).expect("the first is shorter");
            };
            let kind = Kind::with_provider(ProtocolVersion::DTLS1_2, shape, mtu, provider, patient);
            let kind: &'static Kind = Box::leak(Box::new(kind));
            for (after, answered) in [(1, true), (239, true), (241, false)] {
                let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
                // What it says when it is complete is lost, and its peer is silent for so long.
                pair.run_with(100 * MS, &mut |pair, _, _| {
                    if pair.side(last).complete_at.is_some() {
                        pair.network.lose_all(last, true);
                    }
                });
                let waiting = last.other();
                check!(pair, pair.side(waiting).complete_at.is_none(), "the last flight is lost");
                check!(pair, pair.deadline_of(last).is_none(), "nothing is awaited");
                pair.side(waiting).connection.set_initial_timeout(Duration::from_secs(after));
                pair.transmit();
                let due = pair.deadline_of(waiting).unwrap_or_default();
                check!(pair, due > TWO_MSL - Duration::from_secs(3) || after == 1, "the peer has time");
                pair.now = due;
                let now = pair.instant();
                pair.side(waiting).connection.handle_timeout(now);
                for datagram in pair.poll_transmit(waiting) {
                    pair.deliver(last, datagram);
                }
                let again = pair.poll_transmit(last);
                check!(pair, again.is_empty() != answered, format!("after {after} s"));
                if answered {
                    again.into_iter().for_each(|datagram| pair.deliver(waiting, datagram));
                    pair.check_complete();
                    pair.network.lose_all(last, false);
                    pair.check_data();
                }
            }
        }
    }
}

/// RFC 9147 §5.8.1: whoever has sent the last flight is FINISHED only when it is acknowledged.
#[test]
fn the_last_flight_of_1_3_is_repeated_until_it_is_acknowledged() {
    let new = |kind: &&Kind| kind.version == ProtocolVersion::DTLS1_3;
    let kinds: Vec<_> = kinds::all().iter().filter(new).collect();
    kinds::for_each(&kinds, |kind| {
        let mut pair = Pair::new(kind, SEED, Network::with_faults(&[]));
        while pair.client.complete_at.is_none() {
            pair.run(pair.now + MS);
        }
        let start = pair.now;
        pair.network.lose_all(End::Server, true);
        // Longer than twice the maximum segment lifetime.
        pair.run(start + TWO_MSL + Duration::from_secs(60));
        check!(pair, pair.server.complete_at.is_some(), "the server has it");
        let repeated = pair.client.connection.stats().retransmissions;
        check!(pair, repeated >= 8 && pair.deadline_of(End::Client).is_some(), format!("{repeated} times so far"));
        pair.network.lose_all(End::Server, false);
        let stop = pair.run(pair.now + PATIENCE);
        let once_more = pair.client.connection.stats().retransmissions - repeated;
        check!(pair, stop == Stop::Quiet && once_more <= 1, format!("one ACK is enough: {once_more}"));
        pair.check_complete();
        pair.check_data();
    });
}
