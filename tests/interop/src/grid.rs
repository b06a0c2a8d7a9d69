//! Our DTLS with stacks that have DTLS 1.3: wolfSSL, BoringSSL and dimpl, in both versions and both roles. Each cell of
//! `table.rs` is one association. The chosen cells run, and `docs/INTEROP.md` is written anew; with words as arguments, only
//! the cells whose line has them all run, with `--all` every cell that a peer can hold, and nothing is written.
//!
//! `UDTLS_WOLFSSL` is the folder with wolfSSL's programs; `run`, beside the manifest, sees to it.

mod boring;
mod cannot;
#[path = "../../peers/capture.rs"]
mod capture;
#[path = "../../peers/certificates.rs"]
mod certificates;
mod dimpl;
#[path = "../../peers/feature.rs"]
mod feature;
mod features;
#[path = "../../sim/keys.rs"]
mod keys;
#[path = "../../sim/ladder.rs"]
#[expect(dead_code, reason = "nobody is cut out here")]
mod ladder;
#[path = "../../peers/link.rs"]
#[expect(dead_code, reason = "what is checked on the wire is another matter here")]
mod link;
mod memory;
mod ours;
#[path = "../../peers/process.rs"]
#[expect(dead_code, reason = "no input is ended here")]
mod process;
#[path = "../../peers/programs.rs"]
mod programs;
mod report;
mod table;
mod weather;
mod wolfssl;

use certificates::Authority;
use features::Verdict;
use report::Outcome;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use table::{Cell, Grid, Peer};

/// Cells that run at the same time; most of a cell is waiting.
const WORKERS: usize = 3;

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let table = if options.iter().any(|option| option == "--all") { Grid::possible } else { Grid::chosen };
    let authority = Authority::new();
    let outcomes: Vec<_> = Grid::all().into_iter().map(|grid| run(grid, table(grid), &authority, &words)).collect();
    let failures: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.cells).collect();
    for (cell, result) in failures {
        if let Err(error) = result {
            println!("\nFAILED {}\n{error}", line(cell));
        }
    }
    let started = Instant::now();
    let rows = features::run(&authority, &words);
    let all = rows.len();
    let rows_with = |verdict: fn(&Verdict) -> bool| rows.iter().filter(|(_, found)| verdict(found)).count();
    let rows_passed = rows_with(|verdict| *verdict == Verdict::Passed);
    let rows_left_out = rows_with(|verdict| matches!(verdict, Verdict::LeftOut(_)));
    let rows_failed = all - rows_passed - rows_left_out;
    println!("features: {all} rows, {rows_failed} failed, {} ms", started.elapsed().as_millis());
    let started = Instant::now();
    let thorough = options.iter().any(|option| option == "--all");
    let in_weather = weather::run(&authority, &words, thorough);
    println!("weather: {} ms", started.elapsed().as_millis());
    let weather_failed = in_weather.iter().filter(|outcome| outcome.failed()).count();
    let weather_passed = in_weather.len() - weather_failed;
    let passed = outcomes.iter().map(Outcome::passed).sum::<usize>() + rows_passed + weather_passed;
    let failed = outcomes.iter().map(Outcome::failed).sum::<usize>() + rows_failed + weather_failed;
    let skipped = outcomes.iter().map(|outcome| outcome.left_out().len()).sum::<usize>() + rows_left_out;
    if words.is_empty() && options.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/INTEROP.md");
        let sections = features::markdown(&rows) + &weather::markdown(&in_weather);
        fs::write(path, report::markdown(&outcomes, &sections, &versions())).unwrap();
    }
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(grid: Grid, mut cells: Vec<Cell>, authority: &Authority, words: &[String]) -> Outcome {
    cells.retain(|cell| words.iter().all(|word| line(cell).contains(word.as_str())));
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    let result = panic::catch_unwind(AssertUnwindSafe(|| hold(cell, authority)));
                    let result = result.unwrap_or_else(|_| Err("a panic".into()));
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    let cells = cells.into_iter().zip(results.into_iter().map(|(_, result)| result)).collect();
    let outcome = Outcome { grid, cells };
    let Grid { peer, version, we } = grid;
    let (all, failed) = (outcome.cells.len(), outcome.failed());
    let millis = started.elapsed().as_millis();
    println!("{} {} {}: {all} cells, {failed} failed, {millis} ms", peer.name(), version.name(), we.name());
    outcome
}

fn hold(cell: &Cell, authority: &Authority) -> Result<(), String> {
    let now = Instant::now();
    let (result, datagrams, more) = match cell.grid.peer {
        Peer::WolfSsl => {
            let folder = std::env::var_os("UDTLS_WOLFSSL").map(PathBuf::from);
            let folder = folder.ok_or("UDTLS_WOLFSSL is not set: start tests/interop/run")?;
            let mut association = wolfssl::Association::start(cell, authority, &folder)?;
            let result = association.hold(cell);
            (result, association.ours.datagrams, association.theirs.said())
        }
        Peer::BoringSsl | Peer::Dimpl => {
            let theirs: Box<dyn memory::Peer> = match cell.grid.peer {
                Peer::BoringSsl => Box::new(boring::Boring::new(cell, authority)?),
                _ => Box::new(dimpl::Dimpl::new(cell, authority, now)?),
            };
            let mut association =
                memory::Association::new(cell.grid.we, ours::connection(cell, authority, now)?, theirs);
            let result = association.hold(cell, |both| {
                ours::check(cell, &both.connection, &both.datagrams, |seen| seen.from == memory::SERVER)
            });
            (result, association.datagrams, format!("{:?}", association.connection.stats()))
        }
    };
    result.map_err(|error| {
        let name = line(cell).replace(' ', "-");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"));
        let _ = fs::write(&path, capture::pcap(&datagrams));
        format!("{error}\ncapture: {}\n{more}", path.display())
    })
}

/// A cell in words, which are what a run can be narrowed to.
fn line(cell: &Cell) -> String {
    let Grid { peer, version, we } = cell.grid;
    let [suite, group, certificate, client, mtu, retry, cookie, versions, closer] = report::columns(cell);
    format!(
        "{} {} we={} {suite} {group} server={certificate} client={client} mtu={mtu} retry={retry} cookie={cookie} \
         versions={} closer={closer}",
        peer.name(),
        version.name(),
        we.name(),
        versions.replace(' ', "-"),
    )
}

/// The peers' releases, as they are locked.
fn versions() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap();
    let locked = |name: &str| {
        let at = lock.find(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        lock[at..].split('"').nth(3).unwrap().to_owned()
    };
    let recipe = fs::read_to_string(folder.join("wolfssl.sh")).unwrap();
    let wolfssl = recipe.lines().find_map(|line| line.strip_prefix("version=")).unwrap();
    format!(
        "wolfSSL 5.9.4 (the source in the crate `wolfssl-sys` {wolfssl}), BoringSSL as in the crate `boring` {}, dimpl {}.",
        locked("boring"),
        locked("dimpl"),
    )
}
