//! Weather: everything at once, by chance, from a seed.

use crate::kinds::{self, Kind};
use crate::ladder::Rung;
use crate::loss::Tally;
use crate::network::{Fault, Network, Weather};
use crate::pair::{PATIENCE, Pair, prove_handshake};
use crate::provider::End;
use sha2::{Digest, Sha256};
use std::time::Duration;
use udtls::ProtocolVersion;

/// Seeds to run: the one in `UDTLS_SIM_SEED`, or so many as `UDTLS_SIM_RUNS` says, or `default`.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| {
        let value = std::env::var(name).ok()?;
        Some(value.parse::<u64>().unwrap_or_else(|_| panic!("{name}={value} is no number")))
    };
    match (number("UDTLS_SIM_SEED"), number("UDTLS_SIM_RUNS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, runs) => 0..runs.unwrap_or(default),
    }
}

/// Loss, duplication and reordering as hard as any path is for long.
pub(crate) fn storm() -> Weather {
    Weather { jitter: Duration::from_millis(10), loss: 20, duplication: 10, reordering: 30, ..Weather::default() }
}

#[test]
fn handshakes_complete_in_a_storm() {
    in_weather("storm", storm());
}

#[test]
fn handshakes_complete_over_a_path_that_damages_datagrams() {
    // Not worse: with three of ten datagrams gone, one handshake of DTLS 1.2 in some thousands fails as it must. Nothing but its
    // Finished tells a server that the client still waits; when no Finished comes through for 2 × MSL, at one a minute, the
    // server has forgotten its last flight (RFC 6347 §4.2.4). With a loss of 10 %, seed 118 of LongChains at 1200 is one.
    in_weather("storm and damage", Weather { corruption: 5, truncation: 5, loss: 5, ..storm() });
}

/// A handshake and data in this weather, for every kind and seed.
fn in_weather(class: &str, weather: Weather) {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for seed in seeds(12) {
            let mut pair = Pair::new(kind, seed, Network::with_weather(weather, seed));
            tally.add(prove_handshake(&mut pair));
            pair.check_data();
        }
        tally.print(kind, class);
    });
}

#[test]
fn a_run_with_the_same_seed_repeats_to_the_byte() {
    kinds::for_all(|kind| {
        for seed in seeds(3) {
            let weather = Weather { corruption: 10, truncation: 10, ..storm() };
            let [first, second] = [transcript(kind, seed, weather), transcript(kind, seed, weather)];
            assert!(first == second, "kind {kind}, seed {seed}");
            // To be compared between processes.
            let digest =
                first.iter().fold(Sha256::new(), |digest, rung| digest.chain_update(&rung.datagram)).finalize();
            println!("{:<32} seed {seed}: {} events, SHA-256 {:02x?}", kind.to_string(), first.len(), &digest[..8]);
            let other = transcript(kind, seed + 1, weather);
            assert!(first != other, "kind {kind}: seeds {seed} and {} are the same", seed + 1);
        }
    });
}

/// What cannot be seeded changes no decision, and no size by more than signatures differ in length.
#[test]
fn a_run_with_aws_lc_repeats_in_its_decisions_and_sizes() {
    // A datagram may have room for the head of one more fragment, or, with another signature, not quite: the MTU stays, and
    // every flight is cut as it always is.
    let pinned = kinds::with_aws_lc_and(|transport| {
        transport.pin_mtu();
    });
    let short: Vec<_> = pinned.into_iter().filter(|kind| kind.mtu == 1200).collect();
    let short: &'static [Kind] = short.leak();
    kinds::for_each(&short.iter().collect::<Vec<_>>(), |kind| {
        for seed in seeds(3) {
            let [first, second] = [transcript(kind, seed, storm()), transcript(kind, seed, storm())];
            let decisions = |rungs: &[Rung]| -> Vec<_> {
                rungs.iter().map(|rung| (rung.at, rung.from, rung.ordinal, rung.what)).collect()
            };
            assert_eq!(decisions(&first), decisions(&second), "kind {kind}, seed {seed}");
            let sizes = first.iter().zip(&second).map(|(one, other)| one.datagram.len().abs_diff(other.datagram.len()));
            // Two integers of a signature, each with an octet more or less or two; what no longer fits with them is a
            // fragment of its own, with a header (RFC 9147 §5.5), in the next datagram.
            assert!(sizes.max() <= Some(6 + 12), "kind {kind}, seed {seed}");
        }
    });
}

/// Everything that happens on the network from the first ClientHello to the last close_notify, however it goes.
fn transcript(kind: &'static Kind, seed: u64, weather: Weather) -> Vec<Rung> {
    let mut pair = Pair::new(kind, seed, Network::with_weather(weather, seed));
    pair.run(PATIENCE);
    for end in End::BOTH {
        let _ = pair.send(end, b"data, if the handshake is complete");
        let now = pair.instant();
        pair.side(end).connection.close(now);
        pair.run(pair.now + PATIENCE);
    }
    pair.network.ladder.rungs
}

/// What is printed is enough to run it again and to see what happened.
#[test]
fn a_failure_tells_seed_faults_and_every_datagram() {
    for kind in kinds::plain() {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut pair = Pair::new(kind, 7, Network::with_faults(&[Fault::Lose(1)]));
            prove_handshake(&mut pair);
            pair.fail("a test of tests")
        }));
        let said = said.expect_err("it fails").downcast::<String>().expect("words");
        let finished = if kind.version == ProtocolVersion::DTLS1_3 { "Finished(1) 0+" } else { "1.0 protected" };
        for part in ["a test of tests", "UDTLS_SIM_SEED=7", "[Lose(1)]", "ClientHello(0) 0+", "x---|", finished] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
}

#[test]
fn handshakes_complete_on_slow_paths() {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        // A round trip of three seconds is longer than the first timeouts (RFC 9147 §5.8.2).
        let slow = Weather { latency: Duration::from_millis(1500), ..Weather::default() };
        for seed in seeds(2) {
            let mut pair = Pair::new(kind, seed, Network::with_weather(slow, seed));
            tally.add(prove_handshake(&mut pair));
            pair.check_data();
        }
        tally.print(kind, "round trip 3 s");
    });
}
