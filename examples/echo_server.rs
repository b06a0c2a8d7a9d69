//! A DTLS server for any number of peers on one UDP socket, on the standard library alone: echoes what they send.
//!
//! ```sh
//! cargo run --release --example echo_server -- --listen 127.0.0.1:4433
//! ```

mod common {
    pub(crate) mod failure;
    pub(crate) mod many;
    pub(crate) mod many_options;
    pub(crate) mod options;
    pub(crate) mod server_config;
}

use common::failure::{Failure, MAX_DATAGRAM};
use common::many::{Many, Wire};
use common::many_options::Settings;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the loop looks for Ctrl-C and the next line of statistics.
const TICK: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    match Settings::parse("echo_server").and_then(|settings| settings.map_or(Ok(()), |settings| run(&settings))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<(), Failure> {
    let address = &settings.options.address;
    let mut wire = Socket(UdpSocket::bind(address).map_err(|error| format!("--listen {address}: {error}"))?);
    println!("listening on {}", wire.0.local_addr()?);
    let mut many = Many::new(settings.endpoint()?);
    let stop = settings.stop_on_ctrl_c()?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut said = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let due = many.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now)).min(TICK);
        wire.0.set_read_timeout(Some(due.max(Duration::from_millis(1))))?;
        match wire.0.recv_from(&mut buffer) {
            Ok((len, from)) => many.receive(Instant::now(), from, &mut buffer[..len], &mut wire),
            Err(error) if is_nothing(error.kind()) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        many.handle_timeout(now, &mut wire);
        if now.duration_since(said) >= Duration::from_secs(1) {
            said = now;
            println!("{}", many.statistics());
        }
    }
    println!("stopping: close_notify to all");
    many.close(Instant::now(), &mut wire);
    println!("{}", many.statistics());
    Ok(())
}

/// What a receive call may end with for no fault of ours: the system reports there, too, that a former peer's port is closed.
fn is_nothing(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(kind, WouldBlock | TimedOut | Interrupted | ConnectionRefused | ConnectionReset)
}

struct Socket(UdpSocket);

impl Wire for Socket {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        // What does not go out is lost, as any datagram may be.
        let _ = self.0.send_to(datagram, to);
    }
}
