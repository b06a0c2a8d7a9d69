//! wolfSSL's example client and server, as child processes, over UDP on loopback.

use crate::certificates::{Authority, Chain};
use crate::link::{self, Echo, Link};
use crate::ours;
use crate::process::Program;
use crate::table::{Cell, Closer, Cookie, Group, Retry, Role, Suite, Version};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Both ends.
pub(crate) struct Association {
    pub(crate) ours: Link,
    pub(crate) theirs: Program,
    port: u16,
}

const PATIENCE: Duration = Duration::from_secs(8);

/// What we send as a client.
const OURS: &str = "data from udtls";
/// What its server answers when it does not echo.
const ANSWER: &str = "I hear you fa shizzle!";
/// What its client sends.
const THEIRS: &str = "hello wolfssl!";

impl Association {
    /// Both ends running, no handshake yet. The programs are in `folder`.
    pub(crate) fn start(cell: &Cell, authority: &Authority, folder: &Path) -> Result<Self, String> {
        let now = Instant::now();
        let connection = ours::connection(cell, authority, now)?;
        match cell.grid.we {
            Role::Client => {
                let (theirs, port) = listening(cell, authority, folder)?;
                let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let ours = Link::new(connection, link::loopback(), Some(peer), Echo::Off);
                Ok(Self { ours, theirs, port })
            }
            Role::Server => {
                let socket = link::loopback();
                let port = socket.local_addr().unwrap().port();
                let ours = Link::new(connection, socket, None, Echo::On);
                let theirs = Program::start(client(cell, authority, folder, port))?;
                Ok(Self { ours, theirs, port })
            }
        }
    }

    /// Handshake, data both ways, close.
    pub(crate) fn hold(&mut self, cell: &Cell) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let Self { ours, theirs, port } = self;
        ours.drive("the handshake", deadline, |ours| ours.established)?;
        ours::check(cell, &ours.connection, &ours.datagrams, |seen| seen.from.port() == *port)?;
        match cell.grid.we {
            Role::Client => {
                ours.send(OURS.as_bytes())?;
                let answer = if cell.closer == Closer::Us { OURS } else { ANSWER };
                ours.drive("the answer", deadline, |ours| ours.received.starts_with(answer.as_bytes()))?;
                if cell.closer == Closer::Us {
                    ours.close();
                }
                ours.drive("close_notify", deadline, |ours| ours.peer_closed)
            }
            Role::Server => {
                ours.drive("the peer's data", deadline, |ours| ours.received == THEIRS.as_bytes())?;
                ours.drive("the echo at the peer", deadline, |_| theirs.has_said(THEIRS))?;
                ours.drive("close_notify", deadline, |ours| ours.peer_closed)
            }
        }
    }
}

/// Its server, on a port that was free; should another take it in between, on the next.
fn listening(cell: &Cell, authority: &Authority, folder: &Path) -> Result<(Program, u16), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let port = link::loopback().local_addr().unwrap().port();
        let ready = authority.file(&format!("ready-{port}"));
        let _ = fs::remove_file(&ready);
        let mut theirs = Program::start(server(cell, authority, folder, port, &ready))?;
        while !ready.exists() && !theirs.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        if ready.exists() {
            return Ok((theirs, port));
        }
        // Its last words are on their way.
        thread::sleep(Duration::from_millis(50));
        if Instant::now() > deadline || !theirs.has_said("Address already in use") {
            return Err(format!("its server does not listen\n{}", theirs.said()));
        }
    }
}

fn server(cell: &Cell, authority: &Authority, folder: &Path, port: u16, ready: &PathBuf) -> Command {
    let mut command = program(cell, folder, "server", port);
    identify(&mut command, authority.chain(cell.certificate));
    command.arg("-R").arg(ready);
    // An echo lasts until the client closes; without it the server answers once and closes.
    if cell.closer == Closer::Us {
        command.arg("-e");
    }
    match cell.client_auth.kind() {
        None => command.arg("-d"),
        Some(_) => command.arg("-A").arg(authority.root_file()),
    };
    if cell.grid.version == Version::Dtls13 {
        if cell.cookie == Cookie::No {
            command.args(["-J", "n"]);
        }
        // Its only group.
        command.args(match cell.group {
            Group::X25519 => &["-t"][..],
            Group::Secp256r1 => &["-Y"],
            Group::Secp384r1 => &["--force-curve", "SECP384R1"],
            Group::X25519MlKem768 => &["--pqc", "X25519MLKEM768"],
        });
    }
    command
}

fn client(cell: &Cell, authority: &Authority, folder: &Path, port: u16) -> Command {
    let mut command = program(cell, folder, "client", port);
    command.args(["-h", "127.0.0.1", "-S", "localhost", "-A"]).arg(authority.root_file());
    match cell.client_auth.kind() {
        None => {
            command.arg("-x");
        }
        Some(kind) => identify(&mut command, authority.chain(kind)),
    }
    if cell.grid.version == Version::Dtls13 {
        let share = if cell.retry == Retry::ForGroup { cell.group.another() } else { cell.group };
        // What it has a share of; the hybrid, and then it is its only group, only when asked.
        command.args(match (cell.group, share) {
            (Group::X25519MlKem768, _) => &["--pqc", "X25519MLKEM768"][..],
            (_, Group::X25519) => &["-t"],
            _ => &["-Y"],
        });
    }
    command
}

/// What both programs are told alike. They look for certs/dh2048.pem in their folder.
fn program(cell: &Cell, folder: &Path, name: &str, port: u16) -> Command {
    let mut command = Command::new(folder.join(name));
    command.current_dir(folder);
    command.args(["-u", &cell.mtu.to_string(), "-p", &port.to_string()]);
    command.args(["-v", if cell.grid.version == Version::Dtls13 { "4" } else { "3" }]);
    command.args(["-l", suite(cell)]);
    command
}

fn identify(command: &mut Command, chain: &Chain) {
    command.arg("-c").arg(&chain.certificate_file).arg("-k").arg(&chain.key_file);
}

const fn suite(cell: &Cell) -> &'static str {
    use crate::certificates::Kind;
    match (cell.grid.version, cell.suite, cell.certificate) {
        (Version::Dtls13, Suite::Aes128Gcm, _) => "TLS13-AES128-GCM-SHA256",
        (Version::Dtls13, Suite::Aes256Gcm, _) => "TLS13-AES256-GCM-SHA384",
        (Version::Dtls13, Suite::ChaCha20, _) => "TLS13-CHACHA20-POLY1305-SHA256",
        (_, Suite::Aes128Gcm, Kind::Rsa) => "ECDHE-RSA-AES128-GCM-SHA256",
        (_, Suite::Aes256Gcm, Kind::Rsa) => "ECDHE-RSA-AES256-GCM-SHA384",
        (_, Suite::ChaCha20, Kind::Rsa) => "ECDHE-RSA-CHACHA20-POLY1305",
        (_, Suite::Aes128Gcm, _) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        (_, Suite::Aes256Gcm, _) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        (_, Suite::ChaCha20, _) => "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
}
