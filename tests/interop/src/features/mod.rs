//! What the ends can agree on beside the handshake, and use after it: a row for each peer, version, role of ours and
//! feature. OpenSSL's and GnuTLS' rows are held by `tests/peers/programs.rs`, which `cargo test` runs too.

mod boringssl;
mod cannot;
mod ours;
mod scenarios;
pub(crate) mod wolfssl;

use crate::certificates::Authority;
use crate::feature::Feature;
use crate::memory;
use crate::programs::{self, Program};
use crate::table::{Role, Version};
use std::fmt::Write;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) stack: Stack,
    pub(crate) version: Version,
    pub(crate) we: Role,
    pub(crate) feature: Feature,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    WolfSsl,
    BoringSsl,
    Command(Program),
}

/// How a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    /// The peer cannot do it, and why.
    LeftOut(&'static str),
}

/// An end with another stack, which can be asked what it has agreed on.
pub(crate) trait Foreign: memory::Peer {
    /// 32 octets for [`crate::feature::LABEL`].
    fn export(&mut self, context: Option<&[u8]>) -> Result<Vec<u8>, String>;
    /// Has it change its sending keys.
    fn update_keys(&mut self) -> Result<(), String>;
    fn facts(&mut self) -> Result<Facts, String>;
}

/// What the peer says that was agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) protocol: Option<Vec<u8>>,
    /// Known to a server only.
    pub(crate) server_name: Option<String>,
    pub(crate) resumed: bool,
    /// With keys and salts as RFC 5764 §4.2 has them.
    pub(crate) srtp: Option<(String, Vec<u8>)>,
    /// Known to a client only.
    pub(crate) ocsp_response: Option<Vec<u8>>,
    /// `SignedCertificateTimestampList`; known to a client only.
    pub(crate) timestamps: Option<Vec<u8>>,
    /// Certificates that it has compressed or decompressed.
    pub(crate) compressions: usize,
}

/// A timestamp that says nothing: nobody but a verifier looks into it.
pub(crate) const TIMESTAMP: &[u8] = b"a timestamp";

/// A list of it, on the wire (RFC 6962 §3.3).
pub(crate) const TIMESTAMPS: &[u8] = b"\x00\x0d\x00\x0ba timestamp";

/// Makes the peer's ends of one row, which share what is kept between associations.
pub(crate) trait Factory {
    fn end(&mut self) -> Result<Box<dyn Foreign>, String>;
    /// How many sessions its clients have to resume.
    fn sessions(&self) -> usize;
}

impl Stack {
    const ALL: [Self; 4] =
        [Self::WolfSsl, Self::BoringSsl, Self::Command(Program::OpenSsl), Self::Command(Program::GnuTls)];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WolfSsl => "wolfSSL",
            Self::BoringSsl => "BoringSSL",
            Self::Command(program) => program.name(),
        }
    }

    /// OpenSSL and GnuTLS have no DTLS 1.3.
    const fn has(self, version: Version) -> bool {
        !matches!((self, version), (Self::Command(_), Version::Dtls13))
    }
}

impl Row {
    fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for feature in Feature::ALL {
            for (stack, version, we) in columns() {
                let is_of = feature.is_of(version.wire()) && (we == Role::Server || !feature.is_servers_only());
                if is_of {
                    rows.push(Self { stack, version, we, feature });
                }
            }
        }
        rows
    }

    /// In words, which are what a run can be narrowed to.
    fn line(&self) -> String {
        let Self { stack, version, we, feature } = self;
        format!("feature {} {} we={} {}", stack.name(), version.name(), we.name(), feature.name())
    }

    fn judge(&self, authority: &Authority) -> Verdict {
        let impossible = match self.stack {
            Stack::Command(program) => program.cannot(self.we, self.feature),
            _ => cannot::reason(self),
        };
        if let Some(why) = impossible {
            return Verdict::LeftOut(why);
        }
        let held = panic::catch_unwind(AssertUnwindSafe(|| match self.stack {
            Stack::Command(program) => programs::hold(program, self.we, self.feature, authority),
            _ => scenarios::hold(self, authority),
        }));
        match held {
            Ok(Ok(())) => Verdict::Passed,
            Ok(Err(error)) => Verdict::Failed(error),
            Err(_) => Verdict::Failed("a panic".into()),
        }
    }
}

/// Every peer with each version that it has and each role of ours.
fn columns() -> Vec<(Stack, Version, Role)> {
    let mut columns = Vec::new();
    for stack in Stack::ALL {
        for version in Version::ALL.into_iter().filter(|version| stack.has(*version)) {
            columns.extend(Role::ALL.map(|we| (stack, version, we)));
        }
    }
    columns
}

/// Rows that run at the same time.
const WORKERS: usize = 3;

/// Runs the rows whose line has all the words.
pub(crate) fn run(authority: &Authority, words: &[String]) -> Vec<(Row, Verdict)> {
    let mut rows = Row::all();
    rows.retain(|row| words.iter().all(|word| row.line().contains(word.as_str())));
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(at) else { break };
                    let verdict = row.judge(authority);
                    verdicts.lock().unwrap().push((at, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap();
    verdicts.sort_by_key(|(at, _)| *at);
    let judged: Vec<_> = rows.into_iter().zip(verdicts.into_iter().map(|(_, verdict)| verdict)).collect();
    for (row, verdict) in &judged {
        if let Verdict::Failed(error) = verdict {
            println!("\nFAILED {}\n{error}", row.line());
        }
    }
    judged
}

/// The section of docs/INTEROP.md.
pub(crate) fn markdown(judged: &[(Row, Verdict)]) -> String {
    let mut out = String::from(HEAD);
    for (stack, version, we) in columns() {
        let _ = write!(out, " {} {} {} |", stack.name(), version.name(), we.name());
    }
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(columns().len()));
    for feature in Feature::ALL {
        let _ = write!(out, "| {} |", feature.name());
        for (stack, version, we) in columns() {
            let row = Row { stack, version, we, feature };
            let verdict = judged.iter().find(|(judged, _)| *judged == row).map(|(_, verdict)| verdict);
            out.push_str(match verdict {
                None => "  |",
                Some(Verdict::Passed) => " passed |",
                Some(Verdict::Failed(_)) => " **failed** |",
                Some(Verdict::LeftOut(_)) => " – |",
            });
        }
        out.push('\n');
    }
    out.push_str("\nWhat a peer cannot do:\n\n| peer | DTLS | we are the | feature | why |\n|---|---|---|---|---|\n");
    for (Row { stack, version, we, feature }, verdict) in judged {
        if let Verdict::LeftOut(why) = verdict {
            let (stack, version, we) = (stack.name(), version.name(), we.name());
            let _ = writeln!(out, "| {stack} | {version} | {we} | {} | {why} |", feature.name());
        }
    }
    out
}

const HEAD: &str = "
## Features

What the ends agree on beside the handshake, and use after it. Each entry is one association or more: the values of both ends
are compared, and data goes both ways afterwards. The columns are peer, DTLS version and our role; – is what the peer cannot do,
and nothing stands where the version or the role has no such thing.

|  |";
