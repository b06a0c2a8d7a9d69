//! Writes docs/LOSS.md and docs/loss.svg, what tests/sim proves and measures, or compares them with what they should be:
//!
//! ```sh
//! cargo run --release --example loss_page               # writes both: some minutes
//! cargo run --release --example loss_page -- --check    # compares the part that is counted out: some seconds
//! cargo run --release --example loss_page -- --check-all
//! ```

#![expect(dead_code, reason = "the modules are those of tests/sim, which uses all of them")]

mod door;
mod exchange;
mod keys;
mod kinds;
mod ladder;
mod network;
mod pair;
mod patterns;
mod picture;
mod pki;
mod provider;
mod sessions;
mod tally;
mod weather;

use patterns::{Class, Depth, LATER};
use std::fmt::{self, Write as _};
use std::process::ExitCode;
use tally::Tally;
use weather::Outcome;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/LOSS.md");
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/loss.svg");

/// What comes before and after the part that is drawn by lot.
const WEATHER: &str = "\n## Random weather\n";

fn main() -> ExitCode {
    // A run that fails says so in the table, and below it.
    std::panic::set_hook(Box::new(|_| {}));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let task = std::env::args().nth(1);
    let mut failures = Vec::new();
    let counted = counted_out(&mut failures).map_err(|error| error.to_string())?;
    let page = match task.as_deref() {
        Some("--check") => {
            let committed = read(PAGE)?;
            compare(committed.split(WEATHER).next().unwrap_or_default(), &counted)?;
            None
        }
        Some("--check-all") | None => {
            let outcomes = outcomes();
            let drawn = drawn_by_lot(&outcomes).map_err(|error| error.to_string())?;
            Some((format!("{counted}{WEATHER}{drawn}"), picture::draw(&outcomes)?))
        }
        Some(other) => return Err(format!("{other}? --check, --check-all, or nothing")),
    };
    match (page, task) {
        (Some((page, picture)), Some(_)) => {
            compare(&read(PAGE)?, &page)?;
            compare(&read(PICTURE)?, &picture)?;
        }
        (Some((page, picture)), None) => {
            for (path, content) in [(PAGE, page), (PICTURE, picture)] {
                std::fs::write(path, content).map_err(|error| format!("{path}: {error}"))?;
            }
        }
        (None, _) => {}
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn compare(committed: &str, new: &str) -> Result<(), String> {
    if committed == new {
        return Ok(());
    }
    let differ = committed.lines().zip(new.lines()).find(|(old, new)| old != new);
    let (old, new) = differ.unwrap_or(("one is longer", "than the other"));
    Err(format!("docs/LOSS.md is not what the runs say; write it again, and look why.\nis:     {old}\nshould: {new}"))
}

const HEAD: &str = "\
<!-- Written by `cargo run --release --example loss_page`. Do not edit. -->

# Loss, repetition, disorder

What happens to handshakes when the network does what it likes with their datagrams. All of it takes place in virtual time,
in `tests/sim`, and repeats to the byte: the network obeys a list of faults or a seed, and both ends draw from a seed.

A run ends well when both ends are complete, their exporters agree, nothing failed, nothing is left to be sent again, and one
datagram of data has arrived each way. Unless said otherwise a datagram takes 25 ms. Nothing is tuned: the first timeout is
one second, doubled up to a minute, and a flight is sent thirteen times at most.

## Every pattern

*n lost*: every set of n datagrams, chosen among those that the run really sends, repetitions included. *one twice*: each
datagram comes again, at once, a nanosecond, 60 ms, 1.2 s or 20 s later. *two twice*: each pair, 60 ms later. *order*: each
flight in every order; if it has more than seven datagrams, every datagram in every place, the reversal, and 2,000 shuffles.

Each field: runs, those that ended well, and the longest virtual time until both ends were complete.

*ServerAuth*: the server shows a certificate of 0.4 kB. *MutualAuth*: both do, of 1.2 kB. *LongChains*: both do, of 12 and
3 kB. *Retry*: a HelloRetryRequest asks for P-256. *Hybrid*: X25519MLKEM768, whose ClientHello fits no datagram.
*RetryHybrid*: a HelloRetryRequest asks for it. *Resumed*: a session is resumed; in 1.3 two tickets are given.
*Cookie*: the server is an endpoint that keeps nothing until its cookie comes back, by HelloVerifyRequest in 1.2 and by
HelloRetryRequest in 1.3. *CookieHybrid*: the same with X25519MLKEM768, so that the first ClientHello comes in fragments.

";

/// The part that is not left to chance.
fn counted_out(failures: &mut Vec<String>) -> Result<String, fmt::Error> {
    let all = kinds::with_cookies();
    let rows = kinds::for_each(&all, handshakes);
    let classes = ["none lost", "one lost", "two lost", "three lost", "one twice", "two twice", "order"];
    let mut page = HEAD.to_owned();
    table(&mut page, &all, &rows, &classes)?;
    let plain: Vec<_> = kinds::plain().collect();
    let later = kinds::for_each(&plain, |kind| {
        LATER.map(|(class, later)| (class, patterns::afterwards(kind, later, Depth::Full))).into()
    });
    page.push_str(
        "\n## After the handshake\n\nEvery set of up to three datagrams lost, of those that follow the handshake. An end \
         that asked for new keys has them in the end, and so has its peer; an end that closes is told so once.\n\n",
    );
    let classes = LATER.map(|(class, _)| class);
    table(&mut page, &plain, &later, &classes)?;
    let runs: usize = rows.iter().chain(&later).flatten().map(|(_, tally)| tally.runs).sum();
    let completed: usize = rows.iter().chain(&later).flatten().map(|(_, tally)| tally.completed).sum();
    writeln!(page, "\nIn all {completed} of {runs} runs ended well.")?;
    failures.extend(rows.into_iter().chain(later).flatten().filter_map(|(_, tally)| tally.failure));
    Ok(page)
}

/// All classes of one kind's handshakes.
fn handshakes(kind: &'static kinds::Kind) -> Vec<(Class, Tally)> {
    let mut classes = patterns::losses(kind, Depth::Full);
    classes.extend(patterns::duplications(kind));
    classes.push((patterns::ORDER, patterns::orders(kind, Depth::Full)));
    classes
}

fn table(
    page: &mut String,
    kinds: &[&kinds::Kind],
    rows: &[Vec<(Class, Tally)>],
    classes: &[Class],
) -> Result<(), fmt::Error> {
    writeln!(page, "| kind | {} |\n|---|{}", classes.join(" | "), "---|".repeat(classes.len()))?;
    for (kind, row) in kinds.iter().zip(rows) {
        write!(page, "| {kind} |")?;
        for class in classes {
            match row.iter().find(|(of, _)| of == class) {
                Some((_, tally)) if tally.runs > 0 => write!(
                    page,
                    " {}, {}, {:.3} s |",
                    tally.runs,
                    percent(tally.completed, tally.runs),
                    tally.worst.as_secs_f64()
                )?,
                _ => write!(page, " – |")?,
            }
        }
        writeln!(page)?;
    }
    Ok(())
}

/// Never 100 % unless it is all.
fn percent(part: usize, whole: usize) -> String {
    if part == whole { "100 %".into() } else { format!("{:.2} %", (part * 10_000 / whole.max(1)) as f64 / 100.0) }
}

fn outcomes() -> Vec<(&'static kinds::Kind, Vec<Outcome>)> {
    let kinds = weather::kinds();
    let of = |kind| weather::paths().into_iter().map(|path| weather::handshakes(kind, path, weather::RUNS)).collect();
    let outcomes = kinds::for_each(&kinds, of);
    kinds.into_iter().zip(outcomes).collect()
}

/// The part that is left to chance.
fn drawn_by_lot(outcomes: &[(&kinds::Kind, Vec<Outcome>)]) -> Result<String, fmt::Error> {
    let mut page = format!(
        "\n{} handshakes a row. Loss, repetition and overtaking hit each datagram by chance, both ways; the round trip varies \
         by a tenth. The times are those until both ends are complete, of the handshakes that complete.\n\n\
         *at once*: nobody had to send anything again; in brackets, the chance that no datagram is lost, which is what the \
         schedule allows. *completed*: in brackets, the chance that in two exchanges of single datagrams, which one end alone \
         repeats, each is answered within thirteen sendings. A flight of more datagrams has a smaller one, ACKs and the \
         peer's own repetitions make it larger. No handshake of DTLS 1.2 takes less than two round trips, none of 1.3 less \
         than one and a half; each timeout adds 1 s, 2 s, 4 s ….\n\n\
         What is not complete failed as it must. An end gave up after thirteen sendings; or, in 1.2 alone, the server was done \
         and had forgotten its last flight, which nothing acknowledges. It keeps it for twice the maximum segment lifetime, \
         four minutes, and longer once it was asked again; the client, which by then asks once a minute, goes on for eight.\n\n\
         ![Time until both ends are complete, by loss and by round trip](loss.svg)\n",
        weather::RUNS
    );
    for (kind, outcomes) in outcomes {
        writeln!(page, "\n### {kind}\n")?;
        writeln!(
            page,
            "| loss | twice | overtaken | round trip | completed | at once | median | 90 % | 99 % | longest |"
        )?;
        writeln!(page, "|---|---|---|---|---|---|---|---|---|---|")?;
        for outcome in outcomes {
            let path = outcome.path;
            writeln!(
                page,
                "| {} % | {} % | {} % | {} ms | {} ({:.2} %) | {:.1} % ({:.1} %) | {} | {} | {} | {} |",
                path.loss,
                path.duplication,
                path.reordering,
                path.round_trip,
                percent(outcome.completed(), outcome.runs),
                outcome.allowed(),
                outcome.at_once as f64 * 100.0 / outcome.runs as f64,
                outcome.undisturbed(),
                seconds(outcome, 50),
                seconds(outcome, 90),
                seconds(outcome, 99),
                seconds(outcome, 100),
            )?;
        }
    }
    Ok(page)
}

fn seconds(outcome: &Outcome, percent: usize) -> String {
    format!("{:.3} s", outcome.percentile(percent).as_secs_f64())
}
