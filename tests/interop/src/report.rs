//! docs/INTEROP.md: every cell with its result. Nothing in it depends on when or where it was made.

use crate::cannot::{Reason, reason};
use crate::table::{Cell, ClientAuth, Closer, Cookie, Grid, Retry, Versions};
use std::fmt::Write;

/// A grid that was run.
pub(crate) struct Outcome {
    pub(crate) grid: Grid,
    /// In the table's order, with what went wrong.
    pub(crate) cells: Vec<(Cell, Result<(), String>)>,
}

impl Outcome {
    pub(crate) fn passed(&self) -> usize {
        self.cells.iter().filter(|(_, result)| result.is_ok()).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.cells.len() - self.passed()
    }

    /// What the peer cannot do here, each reason once.
    pub(crate) fn left_out(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for reason in self.grid.product().iter().filter_map(reason) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        reasons
    }
}

/// `features` is the section about them; `versions` names the peers' releases.
pub(crate) fn markdown(outcomes: &[Outcome], features: &str, versions: &str) -> String {
    let mut out = String::from(HEAD);
    let _ = writeln!(out, "{versions}\n");
    summary(&mut out, outcomes);
    out.push_str(features);
    values(&mut out, outcomes);
    for outcome in outcomes {
        cells(&mut out, outcome);
    }
    out
}

const HEAD: &str = "\
<!-- Written by tests/interop/run. Do not edit. -->

# DTLS with other implementations

Each row of the tables below is one association: a handshake, a check of what was negotiated and of what was on the wire, data
both ways, a close. For each peer, version and role there are so many that every two values of two columns meet in one of
them, as far as the peer can, and so does every group with each MTU, with and without retry and cookie.
`tests/interop/README.md` says how the peers are driven. OpenSSL, GnuTLS and socat are in `tests/peers/`.

";

fn summary(out: &mut String, outcomes: &[Outcome]) {
    out.push_str("## In all\n\n| peer | DTLS | we are the | passed | failed | left out |\n|---|---|---|---|---|---|\n");
    for outcome in outcomes {
        let Grid { peer, version, we } = outcome.grid;
        let counts = format!("{} | {} | {}", outcome.passed(), outcome.failed(), outcome.left_out().len());
        let _ = writeln!(out, "| {} | {} | {} | {counts} |", peer.name(), version.name(), we.name());
    }
    out.push_str(
        "\n## Left out\n\nWhat a peer cannot do.\n\n| peer | DTLS | we are the | what | why |\n|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let Grid { peer, version, we } = outcome.grid;
        for Reason { what, why } in outcome.left_out() {
            let _ = writeln!(out, "| {} | {} | {} | {what} | {why} |", peer.name(), version.name(), we.name());
        }
    }
}

/// How many cells with each value passed with each peer.
fn values(out: &mut String, outcomes: &[Outcome]) {
    out.push_str("\n## By value\n\nCells that passed, of all with this value; – where the peer has none.\n\n|  |");
    for Outcome { grid: Grid { peer, version, we }, .. } in outcomes {
        let _ = write!(out, " {} {} {} |", peer.name(), version.name(), we.name());
    }
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(outcomes.len()));
    let mut seen: Vec<(usize, String)> = Vec::new();
    for (cell, _) in outcomes.iter().flat_map(|outcome| &outcome.cells) {
        for value in columns(cell).into_iter().enumerate() {
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }
    seen.sort_by_key(|(column, _)| *column);
    for (column, value) in seen {
        let _ = write!(out, "| {}: {value} |", COLUMNS[column]);
        for outcome in outcomes {
            let with: Vec<_> = outcome.cells.iter().filter(|(cell, _)| columns(cell)[column] == value).collect();
            let passed = with.iter().filter(|(_, result)| result.is_ok()).count();
            let _ = match with.len() {
                0 => write!(out, " – |"),
                all if all == passed => write!(out, " {passed} |"),
                all => write!(out, " **{passed} of {all}** |"),
            };
        }
        out.push('\n');
    }
}

fn cells(out: &mut String, outcome: &Outcome) {
    let Grid { peer, version, we } = outcome.grid;
    let _ = writeln!(out, "\n## {}, DTLS {}, we are the {}\n", peer.name(), version.name(), we.name());
    let _ = writeln!(out, "| {} | result |\n|{}---|", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for (cell, result) in &outcome.cells {
        let result = if result.is_ok() { "passed" } else { "**failed**" };
        let _ = writeln!(out, "| {} | {result} |", columns(cell).join(" | "));
    }
}

const COLUMNS: [&str; 9] = [
    "suite",
    "group",
    "server certificate",
    "client certificate",
    "MTU",
    "retry for the group",
    "cookie",
    "our versions",
    "closed by",
];

pub(crate) fn columns(cell: &Cell) -> [String; 9] {
    [
        cell.suite.name().into(),
        cell.group.name().into(),
        format!("{:?}", cell.certificate),
        match cell.client_auth {
            ClientAuth::None => "none".into(),
            ClientAuth::By(kind) => format!("{kind:?}"),
        },
        cell.mtu.to_string(),
        if cell.retry == Retry::ForGroup { "yes" } else { "no" }.into(),
        if cell.cookie == Cookie::Demanded { "yes" } else { "no" }.into(),
        if cell.versions == Versions::Both { "both".into() } else { cell.grid.version.name().to_owned() + " only" },
        if cell.closer == Closer::Us { "us" } else { "peer" }.into(),
    ]
}
