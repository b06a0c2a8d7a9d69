//! The shim for BoringSSL's conformance runner: a DTLS endpoint that does what the runner's flags say, over datagrams and
//! a virtual clock that the runner sends through a TCP connection. `tests/bogo/README.md` says how to run it.
//!
//! * `arguments.rs`: the flags, and which apply to which connection
//! * `framing.rs`: datagrams and orders on the TCP stream
//! * `clock.rs`: the virtual clock, and which timers count as due
//! * `configuration.rs`: flags → [`udtls::ClientConfig`], [`udtls::ServerConfig`]
//! * `credentials.rs`: certificates and keys, and which of several is shown
//! * `notes.rs`: what is noted during a handshake for a check after it
//! * `sessions.rs`: what lasts from one connection to the next
//! * `verification.rs`: the hook that judges the peer's certificate
//! * `connection.rs`: one association from its first datagram to its end
//! * `checks.rs`: what must hold once the handshake is complete

mod arguments;
mod checks;
mod clock;
mod configuration;
mod connection;
mod credentials;
mod framing;
mod notes;
mod sessions;
mod verification;

use arguments::Arguments;
use clock::Clock;
use sessions::Kept;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Why the shim ends otherwise than well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The flags ask for something that udtls does not have.
    Unimplemented(String),
    /// The connection failed, or a check.
    Failed(String),
}

impl Failure {
    pub(crate) fn failed(what: impl fmt::Debug) -> Self {
        Self::Failed(format!("{what:?}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("the runner's TCP connection: {error}"))
    }
}

fn main() -> ExitCode {
    // The runner takes any failure for the one it expects; a panic must not pass for one.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failure::Unimplemented(what))) => {
            eprintln!("not implemented: {what}");
            ExitCode::from(UNIMPLEMENTED)
        }
        Ok(Err(Failure::Failed(why))) => {
            eprintln!("{why}");
            ExitCode::from(FAILED)
        }
        Err(_) => ExitCode::from(MUST_FAIL),
    }
}

/// The exit statuses that the runner knows.
const FAILED: u8 = 1;
const UNIMPLEMENTED: u8 = 89;
const MUST_FAIL: u8 = 90;

fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse(std::env::args_os().skip(1))?;
    if arguments.probe {
        println!("No");
        return Ok(());
    }
    let (mut clock, kept) = (Clock::new(), Kept::new()?);
    for index in 0..=arguments.resume_count {
        let settings = arguments.settings(index)?;
        connection::run(&arguments, &settings, &kept, &mut clock)?;
    }
    Ok(())
}
