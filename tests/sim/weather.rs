//! Random weather: how likely a handshake is to complete over a path of some kind, and how long it takes.

use crate::kinds::{self, Kind, Shape};
use crate::network::{Network, Weather};
use crate::pair::Pair;
use crate::provider::End;
use crate::tally::SEED;
use std::time::Duration;
use udtls::ProtocolVersion;

/// A path, in what its users know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Percent.
    pub(crate) loss: u32,
    /// Percent.
    pub(crate) duplication: u32,
    /// Percent.
    pub(crate) reordering: u32,
    /// Milliseconds, and a tenth of it more by chance.
    pub(crate) round_trip: u64,
}

/// What the others differ from in one thing at a time.
const USUAL: Path = Path { loss: 5, duplication: 0, reordering: 0, round_trip: 50 };

pub(crate) const LOSSES: [u32; 9] = [0, 1, 2, 5, 10, 20, 30, 40, 50];

/// All paths, each once.
pub(crate) fn paths() -> Vec<Path> {
    let mut paths = Vec::new();
    let mut add = |path| {
        if !paths.contains(&path) {
            paths.push(path);
        }
    };
    LOSSES.iter().for_each(|loss| add(Path { loss: *loss, ..USUAL }));
    [5, 10, 20, 30].iter().for_each(|duplication| add(Path { duplication: *duplication, ..USUAL }));
    [5, 10, 20, 30].iter().for_each(|reordering| add(Path { reordering: *reordering, ..USUAL }));
    [1, 10, 50, 100, 200, 500, 1000, 2000].iter().for_each(|round_trip| add(Path { round_trip: *round_trip, ..USUAL }));
    for loss in [1, 5, 10, 20, 30, 50] {
        for round_trip in [1, 10, 200, 500, 1000, 2000] {
            add(Path { loss, round_trip, ..USUAL });
        }
    }
    paths
}

/// The kinds that go through it.
pub(crate) fn kinds() -> Vec<&'static Kind> {
    let shapes = [Shape::ServerAuth, Shape::MutualAuth];
    kinds::all().iter().filter(|kind| kind.mtu == 1200 && shapes.contains(&kind.shape)).collect()
}

/// So many handshakes for each path and kind.
pub(crate) const RUNS: u64 = 2000;

/// A handshake that is not complete by then is none: the last of thirteen sendings is given up earlier.
const PATIENCE: Duration = Duration::from_secs(1200);

/// How the handshakes of one kind went over one path.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) path: Path,
    pub(crate) runs: usize,
    /// When the later end was complete, of those that completed, in increasing order.
    times: Vec<Duration>,
    /// Handshakes in which nobody had to send anything again.
    pub(crate) at_once: usize,
    /// Datagrams of a handshake to which nothing happens.
    datagrams: i32,
}

impl Outcome {
    pub(crate) fn completed(&self) -> usize {
        self.times.len()
    }

    /// The time in which so many percent of the completed handshakes were.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((self.times.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }

    /// The part of the handshakes, in percent, of which no datagram is lost.
    pub(crate) fn undisturbed(&self) -> f64 {
        100.0 * self.arrival().powi(self.datagrams)
    }

    /// The part of the handshakes, in percent, that would complete if one end alone repeated single datagrams: in each of two
    /// exchanges one of thirteen sendings and its answer arrive.
    pub(crate) fn allowed(&self) -> f64 {
        let in_vain = 1.0 - self.arrival().powi(2);
        100.0 * (1.0 - in_vain.powi(13)).powi(2)
    }

    fn arrival(&self) -> f64 {
        1.0 - f64::from(self.path.loss) / 100.0
    }
}

/// Handshakes of this kind over this path.
pub(crate) fn handshakes(kind: &'static Kind, path: Path, runs: u64) -> Outcome {
    let latency = Duration::from_millis(path.round_trip) / 2;
    let weather = Weather {
        latency,
        jitter: latency / 10,
        loss: path.loss,
        duplication: path.duplication,
        reordering: path.reordering,
        ..Weather::default()
    };
    let mut outcome = Outcome { path, runs: 0, times: Vec::new(), at_once: 0, datagrams: 0 };
    let mut clean = Pair::new(kind, SEED, Network::with_faults(&[]));
    clean.run(PATIENCE);
    // A lost ACK has something sent again when all is complete.
    outcome.datagrams = i32::try_from(clean.network.sent).unwrap_or(i32::MAX);
    for seed in 0..runs {
        // The ends draw the same numbers each time: what differs is the path.
        let mut pair = Pair::new(kind, SEED, Network::with_weather(weather, seed));
        pair.run(PATIENCE);
        outcome.runs += 1;
        let again: u64 = End::BOTH.map(|end| pair.side(end).connection.stats().retransmissions).iter().sum();
        outcome.at_once += usize::from(again == 0);
        if let (Some(client), Some(server)) = (pair.client.complete_at, pair.server.complete_at)
            && End::BOTH.into_iter().all(|end| pair.side(end).failure.is_none())
        {
            outcome.times.push(client.max(server));
        }
    }
    outcome.times.sort_unstable();
    outcome
}

/// One-way trips of a handshake to which nothing happens.
pub(crate) fn trips(kind: &Kind) -> u32 {
    if kind.version == ProtocolVersion::DTLS1_2 { 4 } else { 3 }
}
