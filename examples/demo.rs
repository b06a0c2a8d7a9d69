//! A server and a client over UDP on loopback, with certificates made on the spot: for DTLS 1.2 and for 1.3 one handshake,
//! an echo of a thousand datagrams, a clean close.
//!
//! ```sh
//! cargo run --release --example demo
//! ```

mod common {
    pub(crate) mod failure;
    pub(crate) mod udp;
}

use common::failure::{Failure, MAX_DATAGRAM};
use common::udp::{Link, State, describe};
use rustls::RootCertStore;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use udtls::{ClientConfig, Connection, ProtocolVersion, ServerConfig, Stats};

/// Datagrams echoed in each version.
const ECHOES: u32 = 1000;

/// No step on loopback takes as long.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        if let Err(error) = run(version) {
            eprintln!("demo: {version}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(version: ProtocolVersion) -> Result<(), Failure> {
    let (client_config, server_config) = configs(version)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let server = thread::spawn(move || serve(&socket, server_config));
    let outcome = converse(address, client_config);
    let served = match server.join() {
        Ok(served) => served.map_err(|error| format!("the server: {error}")),
        Err(_) => Err("the server panicked".to_owned()),
    };
    // The server's trouble is the likelier cause of the client's.
    let served = served?;
    print(version, &outcome?, &served);
    Ok(())
}

/// A self-signed certificate that the client trusts.
fn configs(version: ProtocolVersion) -> Result<(ClientConfig, ServerConfig), Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;

    let mut client = ClientConfig::builder().with_root_certificates(roots)?.with_no_client_auth();
    client.set_versions(&[version])?;
    client.set_alpn_protocols(vec![b"echo".to_vec()])?;
    let mut server = ServerConfig::builder().with_no_client_auth()?.with_single_cert(vec![certificate], key.into())?;
    server.set_alpn_protocols(vec![b"echo".to_vec()])?;
    Ok((client, server))
}

/// Echoes what its only peer sends, until that closes.
fn serve(socket: &UdpSocket, config: ServerConfig) -> Result<Stats, Failure> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    let (len, peer) = socket.recv_from(&mut buffer)?;
    let connection = Connection::server(Arc::new(config), Instant::now())?;
    let mut link = Link::new(socket, Some(peer), connection);
    link.receive(&mut buffer[..len], |_, _| Ok(()))?;
    link.complete_handshake(PATIENCE)?;
    let mut last_heard = Instant::now();
    while link.state() != State::PeerClosed {
        if last_heard.elapsed() > PATIENCE {
            return Err("the client fell silent".into());
        }
        link.turn(Instant::now() + PATIENCE, |outlet, data| {
            last_heard = Instant::now();
            outlet.send(data)
        })?;
    }
    link.close()?;
    Ok(link.connection().stats().clone())
}

/// What the client saw.
struct Outcome {
    negotiated: String,
    handshake: Duration,
    round_trips: Vec<Duration>,
    octets: usize,
    stats: Stats,
}

fn converse(server: SocketAddr, config: ClientConfig) -> Result<Outcome, Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    let name = ServerName::try_from("localhost")?;
    let started = Instant::now();
    let connection = Connection::client(Arc::new(config), Some(name), started)?;
    let mut link = Link::new(&socket, None, connection);
    link.complete_handshake(PATIENCE)?;
    let handshake = started.elapsed();
    let negotiated = link.connection().negotiated().map(describe).ok_or("nothing was negotiated")?;

    let max = link.connection().max_payload();
    let mut round_trips = Vec::new();
    let mut octets = 0;
    for number in 0..ECHOES {
        // Every length that fits has its turn.
        let padding = usize::try_from(number).map_or(0, |number| number % (max - 4));
        let payload = [number.to_be_bytes().as_slice(), &vec![0x2a; padding]].concat();
        octets += payload.len();
        round_trips.push(echo(&mut link, &payload)?);
    }

    link.close()?;
    let deadline = Instant::now() + PATIENCE;
    while link.state() != State::PeerClosed {
        if Instant::now() > deadline {
            return Err("the server did not close".into());
        }
        link.turn(deadline, |_, _| Ok(()))?;
    }
    let stats = link.connection().stats().clone();
    Ok(Outcome { negotiated, handshake, round_trips, octets, stats })
}

/// Sends a payload and waits for it to come back.
fn echo(link: &mut Link<'_>, payload: &[u8]) -> Result<Duration, Failure> {
    let sent = Instant::now();
    link.outlet.send(payload)?;
    let mut came = false;
    while !came {
        if sent.elapsed() > PATIENCE {
            return Err("an echo did not come back".into());
        }
        link.turn(sent + PATIENCE, |_, data| {
            came |= data == payload;
            Ok(())
        })?;
    }
    Ok(sent.elapsed())
}

fn print(version: ProtocolVersion, outcome: &Outcome, served: &Stats) {
    let mut sorted = outcome.round_trips.clone();
    sorted.sort_unstable();
    let total: Duration = sorted.iter().sum();
    let at = |part: usize| sorted.get(sorted.len().saturating_sub(1) * part / 100).copied().unwrap_or_default();
    println!("{version}");
    println!("  negotiated   {}", outcome.negotiated);
    println!("  handshake    {:.2?}", outcome.handshake);
    println!("  echo         {} datagrams, {} octets, {total:.1?}", sorted.len(), outcome.octets);
    println!("  round trip   least {:.1?}, median {:.1?}, 99 % {:.1?}, most {:.1?}", at(0), at(50), at(99), at(100));
    for (who, stats) in [("client", &outcome.stats), ("server", served)] {
        println!(
            "  {who}       {} records of data sent, {} received; {} flights sent again; {} discarded",
            stats.records_sent,
            stats.records_received,
            stats.retransmissions,
            stats.discarded_in_all(),
        );
    }
    println!("  closed by both");
}
