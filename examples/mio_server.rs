//! A DTLS server for any number of peers on one UDP socket, on `mio`: echoes what they send. `echo_server` is the same on the
//! standard library.
//!
//! ```sh
//! cargo run --release --example mio_server -- --listen 127.0.0.1:4433
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
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use udtls::CookieKeys;

/// How often the loop looks for Ctrl-C and the next line of statistics.
const TICK: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let settings = Settings::parse("mio_server", "", |_, _| Ok(false));
    match settings.and_then(|settings| settings.map_or(Ok(()), |settings| run(&settings))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mio_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<(), Failure> {
    let address = &settings.options.address;
    let socket = std::net::UdpSocket::bind(address).map_err(|error| format!("--listen {address}: {error}"))?;
    socket.set_nonblocking(true)?;
    let mut wire = Socket(UdpSocket::from_std(socket));
    let mut poll = Poll::new()?;
    poll.registry().register(&mut wire.0, Token(0), Interest::READABLE)?;
    println!("listening on {}", wire.0.local_addr()?);
    let mut many = Many::new(settings.endpoint(settings.config()?, CookieKeys::new(Instant::now())?)?);
    let stop = settings.stop_on_ctrl_c()?;
    let mut events = Events::with_capacity(8);
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut said = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let due = many.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now));
        match poll.poll(&mut events, Some(due.min(TICK))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        // Readiness is told once: read until there is nothing left.
        while let Some((len, from)) = receive(&wire.0, &mut buffer)? {
            many.receive(Instant::now(), from, &mut buffer[..len], &mut wire);
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

/// The next datagram, if there is one.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, Failure> {
    use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    loop {
        match socket.recv_from(buffer) {
            Ok(received) => return Ok(Some(received)),
            Err(error) if error.kind() == WouldBlock => return Ok(None),
            // The system reports here, too, that a former peer's port is closed.
            Err(error) if matches!(error.kind(), Interrupted | ConnectionRefused | ConnectionReset) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

struct Socket(UdpSocket);

impl Wire for Socket {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        // What does not go out is lost, as any datagram may be.
        let _ = self.0.send_to(datagram, to);
    }
}
