//! How each program is told what a cell asks.

use crate::certificates::{Authority, Kind};
use crate::table::{Cell, ClientAuth, Cookie, Peer, Role, Suite};
use std::ffi::OsString;
use std::process::Command;

/// The application protocol of all associations but socat's, which knows of none.
pub(crate) const ALPN: &str = "udtls-peers";

/// The peer's command line; `port` is where the server of the two is.
pub(crate) fn command(cell: &Cell, authority: &Authority, port: u16) -> Command {
    match (cell.peer, cell.we) {
        (Peer::OpenSsl, Role::Client) => openssl_server(cell, authority, port),
        (Peer::OpenSsl, Role::Server) => openssl_client(cell, authority, port),
        (Peer::GnuTls, Role::Client) => gnutls_server(cell, authority, port),
        (Peer::GnuTls, Role::Server) => gnutls_client(cell, authority, port),
        (Peer::Socat, _) => socat_server(cell, authority, port),
    }
}

/// What a server says when it listens.
pub(crate) const fn ready(peer: Peer) -> &'static str {
    match peer {
        Peer::OpenSsl => "ACCEPT",
        Peer::GnuTls => "listening on IPv4",
        Peer::Socat => "listening on",
    }
}

fn openssl_server(cell: &Cell, authority: &Authority, port: u16) -> Command {
    let mut command = openssl("s_server", cell);
    command.arg("-accept").arg(format!("127.0.0.1:{port}"));
    openssl_identity(&mut command, authority, cell.certificate);
    if cell.client_auth != ClientAuth::None {
        command.args(["-Verify", "3", "-verify_return_error", "-CAfile"]).arg(authority.root_file());
    }
    command
}

fn openssl_client(cell: &Cell, authority: &Authority, port: u16) -> Command {
    let mut command = openssl("s_client", cell);
    command.arg("-connect").arg(format!("127.0.0.1:{port}"));
    command.args(["-servername", "localhost", "-verify_return_error", "-CAfile"]).arg(authority.root_file());
    if let ClientAuth::By(kind) = cell.client_auth {
        openssl_identity(&mut command, authority, kind);
    }
    command
}

fn openssl(program: &str, cell: &Cell) -> Command {
    let mut command = Command::new("openssl");
    command.args([program, "-4", "-dtls1_2", "-alpn", ALPN, "-cipher", openssl_suite(cell), "-mtu"]);
    command.arg(cell.mtu.to_string());
    command
}

fn openssl_identity(command: &mut Command, authority: &Authority, kind: Kind) {
    let chain = authority.chain(kind);
    command.arg("-cert").arg(&chain.certificate_file).arg("-key").arg(&chain.key_file);
    command.arg("-cert_chain").arg(&chain.intermediate_file);
}

const fn openssl_suite(cell: &Cell) -> &'static str {
    match (cell.suite, cell.certificate) {
        (Suite::Aes128Gcm, Kind::Rsa) => "ECDHE-RSA-AES128-GCM-SHA256",
        (Suite::Aes256Gcm, Kind::Rsa) => "ECDHE-RSA-AES256-GCM-SHA384",
        (Suite::ChaCha20, Kind::Rsa) => "ECDHE-RSA-CHACHA20-POLY1305",
        (Suite::Aes128Gcm, _) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        (Suite::Aes256Gcm, _) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        (Suite::ChaCha20, _) => "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
}

/// It asks for a client certificate in any case; where none is demanded, ours is an empty Certificate message.
fn gnutls_server(cell: &Cell, authority: &Authority, port: u16) -> Command {
    let mut command = gnutls("gnutls-serv", cell, port);
    command.arg("--echo");
    gnutls_identity(&mut command, authority, cell.certificate);
    if cell.cookie == Cookie::None {
        command.arg("--nocookie");
    }
    if cell.client_auth != ClientAuth::None {
        command.arg("--require-client-cert").arg("--x509cafile").arg(authority.root_file());
    }
    command
}

fn gnutls_client(cell: &Cell, authority: &Authority, port: u16) -> Command {
    let mut command = gnutls("gnutls-cli", cell, port);
    command.arg("--x509cafile").arg(authority.root_file());
    if let ClientAuth::By(kind) = cell.client_auth {
        gnutls_identity(&mut command, authority, kind);
    }
    command.arg("127.0.0.1");
    command
}

fn gnutls(program: &str, cell: &Cell, port: u16) -> Command {
    let exchange = if cell.certificate == Kind::Rsa { "ECDHE-RSA" } else { "ECDHE-ECDSA" };
    let cipher = match cell.suite {
        Suite::Aes128Gcm => "AES-128-GCM",
        Suite::Aes256Gcm => "AES-256-GCM",
        Suite::ChaCha20 => "CHACHA20-POLY1305",
    };
    let priority =
        format!("NONE:+VERS-DTLS1.2:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+MAC-ALL:+CTYPE-X509:+{exchange}:+{cipher}");
    let mut command = Command::new(program);
    command.args(["--udp", "--alpn", ALPN, "--priority", &priority]);
    command.args(["--port", &port.to_string(), "--mtu", &cell.mtu.to_string()]);
    command
}

fn gnutls_identity(command: &mut Command, authority: &Authority, kind: Kind) {
    let chain = authority.chain(kind);
    command.arg("--x509certfile").arg(&chain.certificate_file).arg("--x509keyfile").arg(&chain.key_file);
}

fn socat_server(cell: &Cell, authority: &Authority, port: u16) -> Command {
    let chain = authority.chain(cell.certificate);
    let verify = u8::from(cell.client_auth != ClientAuth::None);
    let mut address = OsString::from(format!("OPENSSL-DTLS-LISTEN:{port},bind=127.0.0.1,verify={verify}"));
    address.push(format!(",cipher={}", openssl_suite(cell)));
    for (name, file) in
        [("cert", &chain.certificate_file), ("key", &chain.key_file), ("cafile", &authority.root_file())]
    {
        address.push(format!(",{name}="));
        address.push(file);
    }
    let mut command = Command::new("socat");
    command.args(["-d", "-d"]).arg(address).arg("EXEC:cat");
    command
}
