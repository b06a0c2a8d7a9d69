//! Our DTLS 1.2 with OpenSSL's and GnuTLS' command lines, in both roles, over UDP on loopback.
//!
//! Each cell of `table.rs` is one association: a handshake, what was negotiated, data both ways, a close. A program that is
//! not installed makes its tests say which Debian package has it; with `UDTLS_REQUIRE_PEERS=1` they fail instead. A cell
//! that fails leaves a capture in the target folder.

mod capture;
mod certificates;
mod commands;
mod feature;
mod link;
mod process;
mod programs;
mod table;

use certificates::{Authority, Kind};
use feature::Feature;
use link::{Echo, Link};
use process::Program;
use rustls::KeyLog;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use table::{Cell, ClientAuth, Cookie, Peer, Role, Suite, Versions, table};
use udtls::{ClientConfig, Connection, ProtocolVersion, ServerConfig, TransportConfig};

#[test]
fn our_client_talks_to_openssl() {
    run(Peer::OpenSsl, Role::Client);
}

#[test]
fn our_server_talks_to_openssl() {
    run(Peer::OpenSsl, Role::Server);
}

#[test]
fn our_client_talks_to_gnutls() {
    run(Peer::GnuTls, Role::Client);
}

#[test]
fn our_server_talks_to_gnutls() {
    run(Peer::GnuTls, Role::Server);
}

/// An echo by OpenSSL, which `s_server` cannot do.
#[test]
fn our_client_talks_to_socat() {
    run(Peer::Socat, Role::Client);
}

#[test]
fn openssl_and_gnutls_agree_with_us_on_each_feature() {
    let authority = Authority::new();
    let mut failures = Vec::new();
    for (program, peer) in [(programs::Program::OpenSsl, Peer::OpenSsl), (programs::Program::GnuTls, Peer::GnuTls)] {
        for we in [Role::Client, Role::Server] {
            let (command, package) = peer.program(we);
            if !installed(command, package) {
                continue;
            }
            let is_of = |feature: &Feature| {
                feature.is_of(ProtocolVersion::DTLS1_2) && (we == Role::Server || !feature.is_servers_only())
            };
            let features = Feature::ALL.into_iter().filter(is_of);
            for feature in features.filter(|feature| program.cannot(we, *feature).is_none()) {
                if let Err(error) = programs::hold(program, we, feature, &authority) {
                    failures.push(format!("{} {we:?} {}\n{error}", program.name(), feature.name()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn tshark_decrypts_with_our_key_log() {
    if !installed("tshark", "tshark") || !installed("openssl", "openssl") {
        return;
    }
    let authority = Authority::new();
    let cell = Cell {
        peer: Peer::OpenSsl,
        we: Role::Client,
        suite: Suite::Aes128Gcm,
        certificate: Kind::P256,
        client_auth: ClientAuth::None,
        mtu: 1200,
        cookie: Cookie::Demanded,
        versions: Versions::Dtls12,
    };
    let keys = Arc::new(Secrets::default());
    let mut association = Association::start(&cell, &authority, keys.clone()).unwrap();
    association.hold(&cell).unwrap();

    let capture = authority.file("capture.pcap");
    let bytes = capture::pcap(&association.ours.datagrams);
    assert!(!bytes.windows(OURS.len()).any(|window| window == OURS.as_bytes()), "sent in the clear");
    fs::write(&capture, bytes).unwrap();
    let key_log = authority.file("keys.log");
    fs::write(&key_log, &*keys.0.lock().unwrap()).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&capture).arg("-o").arg(format!("tls.keylog_file:{}", key_log.display()));
    tshark.args(["-d", &format!("udp.port=={},dtls", association.port), "-T", "fields", "-e", "data.data"]);
    let output = tshark.output().unwrap();
    let decrypted = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    for text in [OURS, THEIRS] {
        assert!(decrypted.contains(&hex::encode(text)), "tshark does not show {text:?}:\n{decrypted}\n{errors}");
    }
}

/// What we send as a client, and what a peer sends as a client. No first letter is a command of OpenSSL's.
const OURS: &str = "data from udtls\n";
const THEIRS: &str = "data from the peer\n";

/// A cell takes some hundredths of a second; GnuTLS, when a flight comes in several datagrams, half a second or more (from
/// whomever it comes: it does not look at what it has read until a timer or another datagram wakes it).
const PATIENCE: Duration = Duration::from_secs(6);

/// Cells of one test that run at the same time.
const WORKERS: usize = 3;

fn run(peer: Peer, we: Role) {
    let (program, package) = peer.program(we);
    if !installed(program, package) {
        return;
    }
    let cells = table(peer, we);
    let authority = Authority::new();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let outcome = run_cell(cell, &authority);
                    println!("{:5} ms  {cell:?}", started.elapsed().as_millis());
                    if let Err(error) = outcome {
                        failures.lock().unwrap().push(format!("{cell:?}\n{error}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} failed:\n\n{}", failures.len(), cells.len(), failures.join("\n\n"));
}

fn run_cell(cell: &Cell, authority: &Authority) -> Result<(), String> {
    let mut association = Association::start(cell, authority, Arc::new(rustls::NoKeyLog))?;
    association.hold(cell).map_err(|error| {
        let Cell { peer, we, suite, certificate, mtu, .. } = cell;
        let name = format!("failed-{peer:?}-{we:?}-{suite:?}-{certificate:?}-{mtu}.pcap");
        let capture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::write(&capture, capture::pcap(&association.ours.datagrams));
        format!(
            "{error}\ncapture: {}, UDP port {}\n{:?}\n{}",
            capture.display(),
            association.port,
            association.ours.connection.stats(),
            association.theirs.said()
        )
    })
}

/// Whether a test can run. If not, it says what to do, past the test harness that would keep it to itself.
fn installed(program: &str, package: &str) -> bool {
    if process::is_installed(program) {
        return true;
    }
    let advice = format!("no `{program}` here: apt-get install {package}");
    assert!(std::env::var_os("UDTLS_REQUIRE_PEERS").is_none_or(|required| required != "1"), "{advice}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {}: {advice}", thread::current().name().unwrap_or("a test"));
    false
}

/// Both ends.
struct Association {
    ours: Link,
    theirs: Program,
    port: u16,
}

impl Association {
    /// Both ends running, no handshake yet.
    fn start(cell: &Cell, authority: &Authority, key_log: Arc<dyn KeyLog>) -> Result<Self, String> {
        let now = Instant::now();
        match cell.we {
            Role::Client => {
                let port = free_port();
                let mut theirs = Program::start(commands::command(cell, authority, port))?;
                let ready = commands::ready(cell.peer);
                until(&format!("{ready:?}"), &mut theirs, |theirs| theirs.has_said(ready))?;
                let config = Arc::new(client_config(cell, authority, key_log));
                let name = ServerName::try_from("localhost").unwrap();
                let connection = Connection::client(config, Some(name), now).map_err(|error| error.to_string())?;
                let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let ours = Link::new(connection, link::loopback(), Some(peer), Echo::Off);
                Ok(Self { ours, theirs, port })
            }
            Role::Server => {
                let socket = link::loopback();
                let port = socket.local_addr().unwrap().port();
                let config = Arc::new(server_config(cell, authority, key_log));
                let connection = Connection::server(config, now).map_err(|error| error.to_string())?;
                let ours = Link::new(connection, socket, None, Echo::On);
                let theirs = Program::start(commands::command(cell, authority, port))?;
                Ok(Self { ours, theirs, port })
            }
        }
    }

    /// Handshake, data both ways, close.
    fn hold(&mut self, cell: &Cell) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        self.ours.drive("the handshake", deadline, |ours| ours.established)?;
        self.check(cell)?;
        let Self { ours, theirs, .. } = self;
        match (cell.we, cell.peer) {
            (Role::Client, Peer::OpenSsl) => {
                ours.send(OURS.as_bytes())?;
                ours.drive("our data at the peer", deadline, |_| theirs.has_said(OURS))?;
                theirs.tell(THEIRS);
                ours.drive("the peer's data", deadline, |ours| ours.received == THEIRS.as_bytes())?;
                ours.close();
            }
            (Role::Client, Peer::GnuTls | Peer::Socat) => {
                ours.send(OURS.as_bytes())?;
                ours.drive("our echo", deadline, |ours| ours.received == OURS.as_bytes())?;
                // As long as a datagram holds; the peer's record for it is as long.
                let longest = [vec![b'd'; ours.connection.max_payload() - 1], vec![b'\n']].concat();
                ours.send(&longest)?;
                if ours.longest_sent() != cell.mtu {
                    return Err(format!("max_payload() makes a datagram of {} octets", ours.longest_sent()));
                }
                ours.drive("the longest echo", deadline, |ours| ours.received.ends_with(&longest))?;
                ours.close();
            }
            (Role::Server, _) => {
                theirs.tell(THEIRS);
                ours.drive("the peer's data", deadline, |ours| ours.received == THEIRS.as_bytes())?;
                ours.drive("the echo at the peer", deadline, |_| theirs.has_said(THEIRS))?;
                // The one is a command, the other what everyone else understands.
                theirs.tell("Q\n");
                theirs.end_input();
            }
        }
        // gnutls-serv answers no close_notify.
        if (cell.we, cell.peer) != (Role::Client, Peer::GnuTls) {
            ours.drive("close_notify", deadline, |ours| ours.peer_closed)?;
        }
        ours.close();
        if ours.longest_sent() > cell.mtu {
            return Err(format!("a datagram of {} octets is above the MTU", ours.longest_sent()));
        }
        Ok(())
    }

    fn check(&self, cell: &Cell) -> Result<(), String> {
        let negotiated = self.ours.connection.negotiated().ok_or("nothing negotiated")?;
        let protocol = (cell.peer != Peer::Socat).then_some(commands::ALPN.as_bytes());
        // GnuTLS sends no server name for an address.
        let name = (cell.peer != Peer::GnuTls || cell.we == Role::Client).then_some("localhost");
        // The end entity and the intermediate.
        let authenticated = cell.we == Role::Client || cell.client_auth != ClientAuth::None;
        let certificates = if authenticated { 2 } else { 0 };
        let as_told = negotiated.version() == ProtocolVersion::DTLS1_2
            && negotiated.cipher_suite() == cell.suite.with(cell.certificate)
            && negotiated.alpn_protocol() == protocol
            && negotiated.server_name() == name
            && negotiated.peer_certificates().len() == certificates;
        if !as_told {
            return Err(format!("negotiated something else: {negotiated:?}"));
        }
        if self.ours.saw_hello_verify_request() != (cell.cookie == Cookie::Demanded) {
            return Err("HelloVerifyRequest: not as told".into());
        }
        Ok(())
    }
}

fn client_config(cell: &Cell, authority: &Authority, key_log: Arc<dyn KeyLog>) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(authority.roots()).unwrap();
    let mut config = match cell.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::By(kind) => {
            let chain = authority.chain(kind);
            builder.with_client_auth_cert(chain.certificates(), chain.key()).unwrap()
        }
    };
    config.set_versions(versions(cell)).unwrap();
    config.set_alpn_protocols(protocols(cell)).unwrap();
    config.set_transport(transport(cell));
    config.set_key_log(key_log);
    config
}

fn server_config(cell: &Cell, authority: &Authority, key_log: Arc<dyn KeyLog>) -> ServerConfig {
    let builder = match cell.client_auth {
        ClientAuth::None => ServerConfig::builder().with_no_client_auth().unwrap(),
        ClientAuth::By(_) => {
            let (roots, provider) = (Arc::new(authority.roots()), Arc::new(aws_lc_rs::default_provider()));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier).unwrap()
        }
    };
    let chain = authority.chain(cell.certificate);
    let mut config = builder.with_single_cert(chain.certificates(), chain.key()).unwrap();
    config.set_versions(versions(cell)).unwrap();
    config.set_alpn_protocols(protocols(cell)).unwrap();
    config.set_transport(transport(cell));
    config.set_key_log(key_log);
    config
}

const fn versions(cell: &Cell) -> &'static [ProtocolVersion] {
    match cell.versions {
        Versions::Dtls12 => &[ProtocolVersion::DTLS1_2],
        Versions::Both => &[ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2],
    }
}

fn protocols(cell: &Cell) -> Vec<Vec<u8>> {
    if cell.peer == Peer::Socat { Vec::new() } else { vec![commands::ALPN.into()] }
}

/// On loopback what is late is lost.
fn transport(cell: &Cell) -> TransportConfig {
    let mut transport = TransportConfig::new();
    transport.set_mtu(cell.mtu).unwrap();
    transport.set_timeouts(Duration::from_millis(300), Duration::from_secs(1)).unwrap();
    transport
}

/// Key log lines, in memory.
#[derive(Debug, Default)]
struct Secrets(Mutex<String>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}

/// A port that nobody has, and that no other cell gets.
fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = link::loopback().local_addr().unwrap().port();
        if TAKEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// Looks at a program until it has done something, has ended, or the patience is over.
fn until(what: &str, theirs: &mut Program, done: impl Fn(&Program) -> bool) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !done(theirs) {
        if Instant::now() > deadline || theirs.has_ended() {
            return Err(format!("in vain waited for {what}\n{}", theirs.said()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
