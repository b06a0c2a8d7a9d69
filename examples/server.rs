//! A DTLS server: echoes what its peer sends, one peer at a time.
//!
//! ```sh
//! cargo run --example server -- --listen 127.0.0.1:4433 --cert cert.pem --key key.pem
//! ```

mod common {
    pub(crate) mod extras;
    pub(crate) mod failure;
    pub(crate) mod options;
    pub(crate) mod server_config;
    pub(crate) mod udp;
}

use common::extras::{self, Extras};
use common::failure::{Failure, MAX_DATAGRAM};
use common::options::Options;
use common::server_config::config;
use common::udp::{Link, Outlet, State, describe};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::Connection;

const USAGE: &str = "\
Echoes what its peer sends over DTLS, one peer at a time.

usage: server --listen ADDRESS:PORT [options]

  --listen ADDRESS:PORT where to listen
  --cert FILE           the server's certificate chain, PEM; without it one is made up
  --key FILE            its private key, PEM
  --name NAME           the name in a certificate that is made up; default localhost
  --ca FILE             demand a client certificate by one of these, PEM
  --insecure            demand a client certificate, and take any: for experiments only
  --version VERSION     1.2, 1.3 or auto (default)
  --alpn NAME[,NAME]    application protocols, the best first
  --mtu OCTETS          longest datagram to send, UDP payload; default 1200
  --keylog FILE         append secrets for Wireshark; SSLKEYLOGFILE works too
";

/// A handshake may take so long before another peer has its turn.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(15);

/// A peer may be silent for so long before another has its turn.
const IDLE_PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut extras = Extras::default();
    let options = Options::parse("listen", |name, parser| extras.take(name, parser));
    let outcome = match options {
        Ok(Some(options)) => run(&options, &extras),
        Ok(None) => {
            print!("{USAGE}{}", extras::USAGE);
            Ok(())
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, extras: &Extras) -> Result<(), Failure> {
    let mut config = config(options)?;
    config.set_srtp_profiles(extras.srtp_profiles())?;
    let config = Arc::new(config);
    let address = &options.address;
    let socket = UdpSocket::bind(address)
        .map_err(|error| format!("--listen {address}: {error}; choose another address or port"))?;
    println!("listening on {}", socket.local_addr()?);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        socket.set_read_timeout(None)?;
        let (len, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // The system reports here that an earlier peer's port is closed.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error.into()),
        };
        let datagram = &mut buffer[..len];
        if !begins_handshake(datagram) {
            continue;
        }
        let connection = Connection::server(config.clone(), Instant::now())?;
        let mut link = Link::new(&socket, Some(peer), connection);
        // One peer's failure is no reason to stop.
        match serve(&mut link, extras, peer, datagram) {
            Ok(()) => println!("{peer}: closed"),
            Err(error) => eprintln!("server: {peer}: {error}"),
        }
    }
}

/// One association, from its first datagram to its end.
fn serve(link: &mut Link<'_>, extras: &Extras, peer: SocketAddr, first: &mut [u8]) -> Result<(), Failure> {
    link.receive(first, |_, _| Ok(()))?;
    link.complete_handshake(HANDSHAKE_PATIENCE)?;
    if let Some(negotiated) = link.connection().negotiated() {
        println!("{peer}: {}", describe(negotiated));
    }
    extras.run(link, |outlet, data| {
        echo(outlet, data, peer);
        Ok(())
    })?;
    let mut last_heard = Instant::now();
    while link.state() == State::Established && last_heard.elapsed() < IDLE_PATIENCE {
        link.turn(Instant::now() + Duration::from_secs(1), |outlet, data| {
            last_heard = Instant::now();
            echo(outlet, data, peer);
            Ok(())
        })?;
    }
    link.close()
}

fn echo(outlet: &mut Outlet<'_>, data: &[u8], peer: SocketAddr) {
    // A peer with a larger MTU may send what does not fit back.
    if let Err(error) = outlet.send(data) {
        eprintln!("server: {peer}: not echoed: {error}");
    }
}

/// Whether a datagram may be the first of an association: a plaintext handshake record (RFC 6347 §4.1, RFC 9147 §4). What
/// a former peer still sends is not.
fn begins_handshake(datagram: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    matches!(datagram, [HANDSHAKE, _, _, 0, 0, ..])
}
