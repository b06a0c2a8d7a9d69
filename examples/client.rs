//! A DTLS client: sends standard input line by line and prints what comes back.
//!
//! ```sh
//! cargo run --example client -- --connect localhost:4433 --ca ca.pem
//! ```

mod common {
    pub(crate) mod options;
    pub(crate) mod udp;
}

use common::options::{Options, Verification};
use common::udp::{Failure, Link, State, describe};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use udtls::{ClientConfig, Connection};

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
  --mtu OCTETS          longest datagram to send, UDP payload; default 1200
  --keylog FILE         append secrets for Wireshark; SSLKEYLOGFILE works too
  --help                this text
";

/// A server that answers does so sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// After the end of input, so long without an echo means that no more will come.
const QUIET: Duration = Duration::from_millis(500);

/// How often the loop looks for another line.
const TICK: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let outcome = match Options::parse("connect") {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{USAGE}");
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

fn run(options: &Options) -> Result<(), Failure> {
    let config = Arc::new(config(options)?);
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

fn config(options: &Options) -> Result<ClientConfig, Failure> {
    let builder = match (options.verification, options.roots()?) {
        (Verification::Insecure, _) => {
            let anyone = Arc::new(Anyone(Arc::new(aws_lc_rs::default_provider())));
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(anyone)?
        }
        (Verification::Required, Some(roots)) => ClientConfig::builder().with_root_certificates(roots)?,
        (Verification::Required, None) => {
            return Err("give --ca FILE, the certificates to trust in PEM, or --insecure to trust any".into());
        }
    };
    let mut config = match options.identity()? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.set_versions(&options.versions)?;
    config.set_alpn_protocols(options.alpn.clone())?;
    config.set_transport(options.transport()?);
    config.set_key_log(options.key_log()?);
    Ok(config)
}

fn server_name(options: &Options) -> Result<ServerName<'static>, Failure> {
    let host = options.address.rsplit_once(':').map_or(options.address.as_str(), |(host, _)| host);
    let name = options.name.as_deref().unwrap_or(host.trim_matches(['[', ']']));
    let name = ServerName::try_from(name.to_owned());
    Ok(name.map_err(|_| "--name: give a DNS name or an IP address".to_owned())?)
}

fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let mut found = address.to_socket_addrs().map_err(|error| format!("--connect {address}: {error}"))?;
    Ok(found.next().ok_or_else(|| format!("--connect {address}: no such address"))?)
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

/// Trusts every certificate. The handshake still proves that the server holds its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // udtls checks signatures itself and calls neither of these.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("not for TLS".into()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("not for TLS".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
