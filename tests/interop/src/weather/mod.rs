//! Bad weather: 20 % of the datagrams are lost, 20 % come twice, 30 % are overtaken, with wolfSSL and BoringSSL, in virtual
//! time. A run's number decides what happens to its datagrams, in the order in which they are sent.

mod foreign;
mod path;
mod run;

use crate::capture;
use crate::certificates::{Authority, Kind};
use crate::keys;
use crate::ours;
use crate::table::{Cell, ClientAuth, Closer, Cookie, Grid, Group, Peer, Retry, Role, Suite, Version, Versions};
use foreign::Source;
use run::Run;
use std::fmt::Write;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How the runs of one cell ended.
pub(crate) struct Outcome {
    cell: Cell,
    /// By their numbers.
    runs: Vec<(u64, Result<Duration, String>)>,
}

impl Outcome {
    pub(crate) fn completed(&self) -> usize {
        self.runs.iter().filter(|(_, result)| result.is_ok()).count()
    }

    /// Fewer than 98 in 100 have completed, or one has failed for a reason that nobody has looked for.
    pub(crate) fn failed(&self) -> bool {
        self.completed() * 100 < self.runs.len() * 98 || self.failures().any(|(_, error)| self.cause(error).is_none())
    }

    fn failures(&self) -> impl Iterator<Item = (u64, &str)> {
        self.runs.iter().filter_map(|(seed, result)| Some((*seed, result.as_ref().err()?.as_str())))
    }

    fn cause(&self, error: &str) -> Option<&'static str> {
        let Grid { peer, version, we } = self.cell.grid;
        let known = CAUSES.iter().find(|(of, says, _)| *of == (peer, version, we) && error.starts_with(says));
        known.map(|(_, _, cause)| *cause)
    }
}

/// What was found to be behind failures: with whom, what the failure begins with, and why.
const CAUSES: [((Peer, Version, Role), &str, &str); 3] = [
    (
        (Peer::WolfSsl, Version::Dtls12, Role::Server),
        "the peer: read: -395, Duplicate HandShake message Error",
        "wolfSSL's client expects message_seq 0 again once it is complete. A datagram of before with our ServerHello, whose \
         message_seq is 0 as there was no HelloVerifyRequest, passes for the next message then, and ends the association. It \
         has been received and is to be discarded (RFC 6347 §4.2.2), and it has no keys (§4.1).",
    ),
    (
        (Peer::WolfSsl, Version::Dtls12, Role::Client),
        "the peer: read: -373, Out of order message, fatal",
        "A ClientHello that we had to send again comes when wolfSSL's server is complete. It has been received and is to be \
         discarded (RFC 6347 §4.2.2), and it has no keys (§4.1); there it ends the association.",
    ),
    (
        (Peer::WolfSsl, Version::Dtls12, Role::Server),
        "the peer: timeout: -308, error state on socket",
        "The weather: all answers to seven sendings of wolfSSL's last flight are lost. It doubles its timeout from 1 s up to \
         64 s, and gives up then.",
    ),
];

/// Runs of each cell.
const RUNS: u64 = 100;
/// Runs of each cell when all that can be run is.
const ALL_RUNS: u64 = 1000;
/// Cells that run at the same time.
const WORKERS: usize = 2;

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for peer in [Peer::WolfSsl, Peer::BoringSsl] {
        for version in Version::ALL {
            for we in Role::ALL {
                for mtu in [1200, 300] {
                    cells.push(cell(Grid { peer, version, we }, mtu));
                }
            }
        }
    }
    cells
}

fn cell(grid: Grid, mtu: usize) -> Cell {
    let cookie = if grid.peer == Peer::WolfSsl && grid.we == Role::Client { Cookie::Demanded } else { Cookie::No };
    Cell {
        grid,
        suite: Suite::Aes128Gcm,
        group: Group::X25519,
        certificate: Kind::P256,
        client_auth: ClientAuth::None,
        mtu,
        retry: Retry::No,
        cookie,
        versions: Versions::One,
        closer: Closer::Us,
    }
}

/// In words, which are what a run can be narrowed to.
fn line(cell: &Cell, seed: u64) -> String {
    let Grid { peer, version, we } = cell.grid;
    format!("weather {} {} we={} mtu={} seed={seed:03}", peer.name(), version.name(), we.name(), cell.mtu)
}

/// Holds the runs whose line has all the words; `thorough` is many more of them.
pub(crate) fn run(authority: &Authority, words: &[String], thorough: bool) -> Vec<Outcome> {
    let cells = cells();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    let seeds = 0..if thorough { ALL_RUNS } else { RUNS };
                    let is_asked = |seed: &u64| words.iter().all(|word| line(cell, *seed).contains(word.as_str()));
                    let runs = hold_all(cell, authority, seeds.filter(is_asked).collect());
                    outcomes.lock().unwrap().push((at, Outcome { cell: *cell, runs }));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|(at, _)| *at);
    let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    outcomes.iter().filter(|outcome| !outcome.runs.is_empty()).for_each(tell);
    outcomes
}

fn hold_all(cell: &Cell, authority: &Authority, seeds: Vec<u64>) -> Vec<(u64, Result<Duration, String>)> {
    let mut source = None;
    let runs = seeds.into_iter().map(|seed| {
        let held = panic::catch_unwind(AssertUnwindSafe(|| {
            // After a failure another program is asked: who knows what this one thinks.
            let mut fresh = source.take().map_or_else(|| Source::new(cell, authority), Ok)?;
            let held = hold(cell, authority, &mut fresh, seed);
            source = held.is_ok().then_some(fresh);
            held
        }));
        (seed, held.unwrap_or_else(|_| Err("a panic".into())))
    });
    runs.collect()
}

fn hold(cell: &Cell, authority: &Authority, source: &mut Source, seed: u64) -> Result<Duration, String> {
    keys::forget();
    let start = Instant::now();
    let connection = ours::in_weather(cell, authority, start)?;
    let theirs = source.end(cell, authority)?;
    let mut run = Run::new(connection, cell.grid.we, theirs, start, seed);
    let result = run.hold();
    result.map_err(|error| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let name = line(cell, seed).replace([' ', '='], "-");
        let _ = fs::write(folder.join(format!("{name}.pcap")), capture::pcap(&run.datagrams()));
        let _ = fs::write(folder.join(format!("{name}.txt")), format!("{error}\n{}", run.story()));
        format!("{error}\nladder and capture: {}/{name}.txt and .pcap", folder.display())
    })
}

fn tell(outcome: &Outcome) {
    for (seed, result) in &outcome.runs {
        if let Err(error) = result {
            println!("\nFAILED {}\n{error}", line(&outcome.cell, *seed));
        }
    }
    let mut times: Vec<_> = outcome.runs.iter().filter_map(|(_, result)| result.as_ref().ok()).collect();
    times.sort_unstable();
    let (median, worst) = (times.get(times.len() / 2), times.last());
    let millis = |time: Option<&&Duration>| time.map_or(0, |time| time.as_millis());
    let line = line(&outcome.cell, 0);
    let line = line.rsplit_once(' ').map_or(line.as_str(), |(line, _)| line);
    let (completed, all) = (outcome.completed(), outcome.runs.len());
    println!("{line}: {completed} of {all}, virtual ms: median {}, worst {}", millis(median), millis(worst));
}

/// The section of docs/INTEROP.md.
pub(crate) fn markdown(outcomes: &[Outcome]) -> String {
    let mut out = String::from(HEAD);
    for outcome in outcomes {
        let Grid { peer, version, we } = outcome.cell.grid;
        let (completed, all) = (outcome.completed(), outcome.runs.len());
        let (peer, version, we, mtu) = (peer.name(), version.name(), we.name(), outcome.cell.mtu);
        let _ = writeln!(out, "| {peer} | {version} | {we} | {mtu} | {completed} of {all} |");
    }
    out.push_str("\nEach failure has a cause:\n\n| run | what it ended with | why |\n|---|---|---|\n");
    for outcome in outcomes {
        for (seed, error) in outcome.failures() {
            let (run, error) = (line(&outcome.cell, seed), error.lines().next().unwrap_or_default());
            let cause = outcome.cause(error).unwrap_or("**not known**");
            let _ = writeln!(out, "| `{run}` | {error} | {cause} |");
        }
    }
    out
}

const HEAD: &str = "
## Bad weather

Of the datagrams 20 % are lost, 20 % arrive twice and 30 % are overtaken, in both directions, on a path of 25 ms, in virtual
time. A run is complete when both ends are, export the same, and data has arrived at both. Each run has a number that decides
what happens to its datagrams: `tests/interop/run weather wolfSSL 1.3 we=client mtu=1200 seed=017` repeats one, in its
decisions if not in its keys. `tests/interop/failures/` has the ladders and captures of those that failed.

| peer | DTLS | we are the | MTU | complete |
|---|---|---|---|---|
";
