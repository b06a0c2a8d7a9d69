//! A DTLS client: sends standard input line by line and prints what comes back.
//!
//! ```sh
//! cargo run --example client -- --connect localhost:4433 --ca ca.pem
//! ```

mod common {
    pub(crate) mod client_config;
    pub(crate) mod extras;
    pub(crate) mod failure;
    pub(crate) mod options;
    pub(crate) mod sessions;
    pub(crate) mod udp;
}

use common::client_config::{config, resolve, server_name};
use common::extras::{self, Extras};
use common::failure::Failure;
use common::options::{Options, Verification};
use common::sessions::SessionFile;
use common::udp::{Link, State, describe};
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use udtls::Connection;

const USAGE: &str = "\
Sends standard input line by line over DTLS and prints what comes back.

usage: client --connect HOST:PORT (--ca FILE | --insecure) [options]

  --connect HOST:PORT   the server
  --ca FILE             certificates to trust, PEM
  --insecure            trust any certificate: for experiments only
  --version VERSION     1.2, 1.3 or auto (default)
  --name NAME           the server's name, sent to it and looked for in its certificate; default HOST
  --cert FILE           the client's own certificate chain, PEM
  --key FILE            its private key, PEM
  --alpn NAME[,NAME]    application protocols, the best first
  --resume FILE         resume the session in this file, and keep the next one there
  --mtu OCTETS          longest datagram to send, UDP payload; default 1200
  --keylog FILE         append secrets for Wireshark; SSLKEYLOGFILE works too
";

/// A server that answers does so sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// After the end of input, so long without an echo means that no more will come.
const QUIET: Duration = Duration::from_millis(500);

/// How often the loop looks for another line.
const TICK: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let (mut sessions, mut extras) = (None, Extras::default());
    let options = Options::parse("connect", |name, parser| {
        if name != "resume" {
            return extras.take(name, parser);
        }
        sessions = Some(SessionFile(parser.value()?.into()));
        Ok(true)
    });
    let outcome = match options {
        Ok(Some(options)) => run(&options, &extras, sessions),
        Ok(None) => {
            print!("{USAGE}{}", extras::USAGE);
            Ok(())
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, extras: &Extras, sessions: Option<SessionFile>) -> Result<(), Failure> {
    let mut config = config(options)?;
    config.set_srtp_profiles(extras.srtp_profiles())?;
    if let Some(sessions) = sessions {
        config.set_session_store(Arc::new(sessions));
        if options.verification == Verification::Insecure {
            // Who trusts anyone trusts the same as the last time.
            config.set_session_context(b"anyone");
        }
    }
    let config = Arc::new(config);
    let name = server_name(options)?;
    let remote = resolve(&options.address)?;
    let socket = UdpSocket::bind(if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(remote)?;
    let connection = Connection::client(config, Some(name), Instant::now())?;
    let mut link = Link::new(&socket, None, connection);

    let started = Instant::now();
    link.complete_handshake(PATIENCE).map_err(|error| explain(error, remote))?;
    if let Some(negotiated) = link.connection().negotiated() {
        println!("connected to {remote} in {:.1?}: {}", started.elapsed(), describe(negotiated));
    }
    extras.run(&mut link, |_, data| print(data))?;
    converse(&mut link, &lines())?;
    link.close()?;
    // The peer's own close_notify; it may be lost, or never come.
    let patience = Instant::now() + QUIET;
    while link.state() == State::Established && Instant::now() < patience {
        // A server that has gone at once is no failure.
        if link.turn(patience, |_, data| print(data)).is_err() {
            break;
        }
    }
    let stats = link.connection().stats();
    println!("closed: {} records sent, {} received", stats.records_sent, stats.records_received);
    Ok(())
}

/// Sends lines and prints echoes, until the end of both or until the peer closes.
fn converse(link: &mut Link<'_>, lines: &Receiver<io::Result<String>>) -> Result<(), Failure> {
    let mut input_open = true;
    let mut last_heard = Instant::now();
    while link.state() == State::Established && (input_open || last_heard.elapsed() < QUIET) {
        match lines.try_recv() {
            Ok(line) => {
                link.outlet.send(line?.as_bytes())?;
                continue;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) if input_open => {
                input_open = false;
                last_heard = Instant::now();
            }
            Err(TryRecvError::Disconnected) => {}
        }
        link.turn(Instant::now() + TICK, |_, data| {
            last_heard = Instant::now();
            print(data)
        })?;
    }
    Ok(())
}

fn print(data: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(data)?;
    Ok(out.flush()?)
}

/// Standard input, with the ends of its lines; the channel closes at the end of input.
fn lines() -> Receiver<io::Result<String>> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = String::new();
            match input.read_line(&mut line) {
                Ok(0) => return,
                Ok(_) if sender.send(Ok(line)).is_ok() => {}
                Ok(_) => return,
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        }
    });
    receiver
}

/// What to do about a handshake that failed.
fn explain(error: Failure, remote: SocketAddr) -> Failure {
    let refused = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    if refused {
        return format!("nothing listens on UDP {remote}: start the server, or check the port").into();
    }
    match error.downcast_ref() {
        Some(udtls::Error::Certificate(_)) => {
            format!("{error}; --ca must hold the server's CA, and --name the name in its certificate").into()
        }
        _ => format!("the handshake with {remote} failed: {error}").into(),
    }
}
