//! The features that OpenSSL's and GnuTLS' command lines can show, in DTLS 1.2: what the program prints is compared with what
//! we have.

use crate::certificates::{Authority, Kind};
use crate::feature::{Feature, LABEL, PROTOCOLS, Profile, RECORD_LIMIT, SERVER_NAME, SRTP_LABEL};
use crate::link::{self, Echo, Link};
use crate::process;
use crate::table::Role;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use udtls::{
    ClientConfig, ConfigError, Connection, Credential, DropReason, Endpoint, EndpointConfig, HandshakeKind,
    ProtocolVersion, ServerConfig, TransportConfig, Verdict,
};

/// Whose command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    OpenSsl,
    GnuTls,
}

/// What our ends of a row share.
enum Ours {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

/// An association takes some hundredths of a second; with GnuTLS half a second or more.
const PATIENCE: Duration = Duration::from_secs(6);

/// No first letter is a command of OpenSSL's.
const DATA: &str = "data\n";

/// Octets of keying material.
const EXPORTED: usize = 32;

impl Program {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OpenSsl => "OpenSSL",
            Self::GnuTls => "GnuTLS",
        }
    }

    /// Why it cannot hold this row, if it cannot.
    pub(crate) const fn cannot(self, we: Role, feature: Feature) -> Option<&'static str> {
        match (self, we, feature) {
            (Self::GnuTls, _, Feature::Srtp(Profile::Aes128Gcm | Profile::Aes256Gcm)) => {
                Some("it has the profiles of RFC 5764 only")
            }
            (_, Role::Server, Feature::Grease) => Some("its client sends none"),
            (_, _, Feature::Timestamps) => Some("its programs neither send nor show any"),
            (Self::OpenSsl, _, Feature::RecordSizeLimit) | (Self::GnuTls, _, Feature::MaxFragmentLength) => {
                Some("its programs do not have the extension")
            }
            (_, _, Feature::ExporterWithContext) => Some("its programs export without a context only"),
            (Self::GnuTls, Role::Client, Feature::Exporter | Feature::ServerName | Feature::Srtp(_)) => {
                Some("its server says nothing about an association over UDP")
            }
            _ => None,
        }
    }
}

/// Holds the associations of one row.
pub(crate) fn hold(program: Program, we: Role, feature: Feature, authority: &Authority) -> Result<(), String> {
    let ours = Ours::new(we, feature, authority).map_err(|error| error.to_string())?;
    let (mut link, mut theirs) = match feature {
        Feature::SessionId | Feature::Ticket | Feature::TicketAndCookie => {
            return resume(program, we, feature, &ours, authority);
        }
        _ => start(program, feature, &ours, authority)?,
    };
    let deadline = Instant::now() + PATIENCE;
    let held =
        talk(program, &mut link, &mut theirs, we, deadline).and_then(|()| compare(feature, authority, &link, &theirs));
    link.close();
    held.map_err(|error| format!("{error}\n{:?}\n{}", link.connection.stats(), theirs.said()))
}

/// Two associations, the second by what the first has left.
fn resume(program: Program, we: Role, feature: Feature, ours: &Ours, authority: &Authority) -> Result<(), String> {
    let (mut link, mut theirs) = start(program, feature, ours, authority)?;
    let deadline = Instant::now() + PATIENCE;
    // gnutls-cli has data for the second only.
    let first = match (program, we) {
        (Program::GnuTls, Role::Server) => link.drive("the handshake", deadline, |link| link.established),
        _ => talk(program, &mut link, &mut theirs, we, deadline),
    };
    let mut held = first.and_then(|()| {
        let ticket = link.datagrams.iter().any(|seen| link::has_new_session_ticket(&seen.bytes));
        let expected = feature != Feature::SessionId;
        if ticket == expected { is(&link, HandshakeKind::Full) } else { Err(format!("a ticket: {ticket}")) }
    });
    if held.is_ok() {
        let command = |port| client(program, feature, authority, port);
        held = again(program, feature, &mut link, &mut theirs, ours, command).and_then(|mut second| {
            talk(program, &mut second, &mut theirs, we, Instant::now() + PATIENCE)?;
            is(&second, HandshakeKind::Resumed)?;
            link = second;
            let said = ["gnutls-serv", "Reused, ", "Reused session-id", "This is a resumed session"];
            // The first says nothing, the others may take their time.
            link.drive("its word for it", deadline, |_| said.iter().any(|said| theirs.has_said(said)))
        });
    }
    held.map_err(|error| format!("{error}\n{:?}\n{}", link.connection.stats(), theirs.said()))
}

fn is(link: &Link, kind: HandshakeKind) -> Result<(), String> {
    let found = link.connection.negotiated().map(udtls::Negotiated::handshake_kind);
    if found == Some(kind) { Ok(()) } else { Err(format!("{found:?} where it should be {kind:?}")) }
}

/// Ends the first association, and begins another with the same program, or the same program's next run.
fn again(
    program: Program,
    feature: Feature,
    first: &mut Link,
    theirs: &mut process::Program,
    ours: &Ours,
    command: impl Fn(u16) -> Command,
) -> Result<Link, String> {
    let now = Instant::now();
    match ours {
        Ours::Client(config) => {
            first.close();
            // gnutls-serv answers no close_notify.
            if program == Program::OpenSsl {
                first.drive("close_notify", now + PATIENCE, |first| first.peer_closed)?;
            }
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            let connection = Connection::client(config.clone(), Some(name), now).map_err(|error| error.to_string())?;
            Ok(Link::new(connection, link::loopback(), first.peer(), Echo::Off))
        }
        Ours::Server(config) => {
            match program {
                Program::OpenSsl => {
                    theirs.tell("Q\n");
                    first.drive("close_notify", now + PATIENCE, |first| first.peer_closed)?;
                    let socket = link::loopback();
                    *theirs = process::Program::start(command(socket.local_addr().unwrap().port()))?;
                    serve(config, feature, socket)
                }
                // It comes again by itself.
                Program::GnuTls => {
                    first.drive("close_notify", now + PATIENCE, |first| first.peer_closed)?;
                    serve(config, feature, first.socket())
                }
            }
        }
    }
}

impl Ours {
    fn new(we: Role, feature: Feature, authority: &Authority) -> Result<Self, ConfigError> {
        let mut transport = TransportConfig::new();
        transport.set_timeouts(Duration::from_millis(300), Duration::from_secs(1))?;
        match we {
            Role::Client => {
                let builder = ClientConfig::builder().with_root_certificates(authority.roots())?;
                let mut config = builder.with_no_client_auth();
                config.set_versions(&[ProtocolVersion::DTLS1_2])?;
                config.set_transport(transport);
                if feature == Feature::Protocol {
                    config.set_alpn_protocols(PROTOCOLS.map(Vec::from).to_vec())?;
                }
                if let Feature::Srtp(profile) = feature {
                    config.set_srtp_profiles(&profile.offered())?;
                }
                if feature == Feature::OcspResponse {
                    config.request_ocsp_response();
                }
                if feature == Feature::Grease {
                    config.send_grease();
                }
                Ok(Self::Client(Arc::new(config)))
            }
            Role::Server => {
                let chain = authority.chain(Kind::P256);
                let builder = ServerConfig::builder().with_no_client_auth()?;
                let key = aws_lc_rs::sign::any_ecdsa_type(&chain.key()).unwrap();
                let mut certified = CertifiedKey::new(chain.certificates(), key);
                if feature == Feature::OcspResponse {
                    certified.ocsp = Some(fs::read(authority.ocsp_response().unwrap()).unwrap());
                }
                let mut config = builder.with_credentials([Credential::new(certified)])?;
                config.set_versions(&[ProtocolVersion::DTLS1_2])?;
                config.set_transport(transport);
                if feature == Feature::Protocol {
                    config.set_alpn_protocols(vec![PROTOCOLS[1].into()])?;
                }
                if let Feature::Srtp(profile) = feature {
                    config.set_srtp_profiles(&[profile.wire()])?;
                }
                Ok(Self::Server(Arc::new(config)))
            }
        }
    }
}

/// Both ends running, no handshake yet.
fn start(
    program: Program,
    feature: Feature,
    ours: &Ours,
    authority: &Authority,
) -> Result<(Link, process::Program), String> {
    let now = Instant::now();
    match ours {
        Ours::Client(config) => {
            let port = free_port();
            let command = server(program, feature, authority, port);
            let theirs = process::Program::start(command)?;
            let ready = if program == Program::OpenSsl { "ACCEPT" } else { "listening on IPv4" };
            let deadline = now + PATIENCE;
            while !theirs.has_said(ready) {
                if Instant::now() > deadline {
                    return Err(format!("its server does not listen\n{}", theirs.said()));
                }
                thread::sleep(Duration::from_millis(5));
            }
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            let connection = Connection::client(config.clone(), Some(name), now).map_err(|error| error.to_string())?;
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            Ok((Link::new(connection, link::loopback(), Some(peer), Echo::Off), theirs))
        }
        Ours::Server(config) => {
            let socket = link::loopback();
            let port = socket.local_addr().unwrap().port();
            let theirs = process::Program::start(client(program, feature, authority, port))?;
            let ours = serve(config, feature, socket).map_err(|error| format!("{error}\n{}", theirs.said()))?;
            Ok((ours, theirs))
        }
    }
}

/// Our server on a socket to which a client comes: an association, or an endpoint's once the cookie exchange is done.
fn serve(config: &Arc<ServerConfig>, feature: Feature, socket: UdpSocket) -> Result<Link, String> {
    let now = Instant::now();
    if !feature.has_cookie() {
        let connection = Connection::server(config.clone(), now).map_err(|error| error.to_string())?;
        return Ok(Link::new(connection, socket, None, Echo::On));
    }
    let endpoint = Endpoint::new(EndpointConfig::new(), Some(config.clone()), now);
    let mut endpoint = endpoint.map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut buffer, mut reply) = ([0; 2048], [0; 2048]);
    loop {
        let (len, from) = socket.recv_from(&mut buffer).map_err(|error| format!("no cookie came back: {error}"))?;
        match endpoint.handle(Instant::now(), from, None, &buffer[..len], &mut reply) {
            Verdict::Reply(len) => _ = socket.send_to(&reply[..len], from),
            Verdict::Incoming(incoming) => {
                let accepted = endpoint.accept(*incoming, None, Instant::now());
                let (_, connection) = accepted.map_err(|error| error.to_string())?;
                let stats = endpoint.stats();
                if (stats.cookies_sent, stats.cookies_accepted) != (1, 1) {
                    return Err(format!("not one cookie that was good: {stats:?}"));
                }
                return Ok(Link::new(connection, socket, Some(from), Echo::On));
            }
            // What an earlier association of the program has left.
            Verdict::Drop(DropReason::NotForUs) => {}
            verdict => return Err(format!("our endpoint: {verdict:?}")),
        }
    }
}

fn server(program: Program, feature: Feature, authority: &Authority, port: u16) -> Command {
    let chain = authority.chain(Kind::P256);
    let (mut command, certificate, key) = match program {
        Program::OpenSsl => {
            let mut command = Command::new("openssl");
            command.args(["s_server", "-4", "-dtls1_2", "-accept", &format!("127.0.0.1:{port}")]);
            command.arg("-cert_chain").arg(&chain.intermediate_file);
            if feature == Feature::ServerName {
                // It says the name only if it has another certificate for it.
                command.args(["-servername", SERVER_NAME, "-cert2"]).arg(&chain.certificate_file);
                command.arg("-key2").arg(&chain.key_file).arg("-CAfile").arg(&chain.intermediate_file);
            }
            (command, "-cert", "-key")
        }
        Program::GnuTls => {
            let mut command = Command::new("gnutls-serv");
            command.args(["--udp", "--echo", "--port", &port.to_string()]);
            (command, "--x509certfile", "--x509keyfile")
        }
    };
    command.arg(certificate).arg(&chain.certificate_file).arg(key).arg(&chain.key_file);
    if feature == Feature::Protocol {
        command.args([dashes(program, "alpn").as_str(), PROTOCOLS[1]]);
    }
    match (feature, program) {
        (Feature::OcspResponse, Program::OpenSsl) => {
            _ = command.arg("-status_file").arg(authority.ocsp_response().unwrap())
        }
        (Feature::OcspResponse, Program::GnuTls) => {
            _ = command.arg("--ocsp-response").arg(authority.ocsp_response().unwrap())
        }
        (Feature::RecordSizeLimit, _) => _ = command.args(["--recordsize", &RECORD_LIMIT.to_string()]),
        (Feature::SessionId, Program::OpenSsl) => _ = command.arg("-no_ticket"),
        (Feature::SessionId, Program::GnuTls) => _ = command.arg("--noticket"),
        _ => {}
    }
    command.args(exporter(program, feature)).args(srtp(program, Role::Client, feature));
    command
}

fn client(program: Program, feature: Feature, authority: &Authority, port: u16) -> Command {
    let mut command = match program {
        Program::OpenSsl => {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-4", "-dtls1_2", "-connect", &format!("127.0.0.1:{port}")]);
            command.args(["-servername", SERVER_NAME, "-verify_return_error", "-CAfile"]).arg(authority.root_file());
            command
        }
        Program::GnuTls => {
            let mut command = Command::new("gnutls-cli");
            command.args(["--udp", "--port", &port.to_string(), "--sni-hostname", SERVER_NAME, "--x509cafile"]);
            command.arg(authority.root_file());
            command
        }
    };
    match (feature, program) {
        (Feature::Protocol, Program::OpenSsl) => {
            command.args(["-alpn", &PROTOCOLS.join(",")]);
        }
        (Feature::Protocol, Program::GnuTls) => {
            command.args(PROTOCOLS.iter().flat_map(|name| ["--alpn", name]));
        }
        (Feature::OcspResponse, Program::OpenSsl) => _ = command.arg("-status"),
        (Feature::OcspResponse, Program::GnuTls) => _ = command.arg("--save-ocsp").arg(saved(authority, port)),
        (Feature::SessionId | Feature::Ticket | Feature::TicketAndCookie, Program::OpenSsl) => {
            let session = authority.file(&format!("{feature:?}.session"));
            command.arg(if session.exists() { "-sess_in" } else { "-sess_out" }).arg(session);
            if feature == Feature::SessionId {
                command.arg("-no_ticket");
            }
        }
        (Feature::SessionId, Program::GnuTls) => _ = command.args(["--resume", "--priority", "NORMAL:%NO_TICKETS"]),
        (Feature::Ticket | Feature::TicketAndCookie, Program::GnuTls) => _ = command.arg("--resume"),
        (Feature::MaxFragmentLength, _) => _ = command.args(["-maxfraglen", &RECORD_LIMIT.to_string()]),
        (Feature::RecordSizeLimit, _) => _ = command.args(["--recordsize", &RECORD_LIMIT.to_string()]),
        _ => {}
    }
    command.args(exporter(program, feature)).args(srtp(program, Role::Server, feature));
    if program == Program::GnuTls {
        command.arg("127.0.0.1");
    }
    command
}

/// Where gnutls-cli puts the OCSP response that it got.
fn saved(authority: &Authority, port: u16) -> PathBuf {
    authority.file(&format!("ocsp-{port}.der"))
}

fn exporter(program: Program, feature: Feature) -> Vec<String> {
    let (label, len) = match feature {
        Feature::Exporter => (LABEL, EXPORTED),
        Feature::Srtp(Profile::Aes256Gcm) => (SRTP_LABEL, 2 * (32 + 12)),
        Feature::Srtp(Profile::Aes128Gcm) => (SRTP_LABEL, 2 * (16 + 12)),
        Feature::Srtp(_) => (SRTP_LABEL, 2 * (16 + 14)),
        _ => return Vec::new(),
    };
    let octets = if program == Program::OpenSsl { "keymatexportlen" } else { "keymatexportsize" };
    vec![dashes(program, "keymatexport"), label.into(), dashes(program, octets), len.to_string()]
}

fn srtp(program: Program, we: Role, feature: Feature) -> Vec<String> {
    let Feature::Srtp(profile) = feature else { return Vec::new() };
    match (program, we) {
        (Program::OpenSsl, Role::Client) => vec!["-use_srtp".into(), profile.openssl_name().into()],
        (Program::OpenSsl, Role::Server) => vec!["-use_srtp".into(), profile.openssl_names()],
        (Program::GnuTls, _) => vec!["--srtp-profiles".into(), gnutls_name(profile)],
    }
}

fn gnutls_name(profile: Profile) -> String {
    profile.openssl_name().replace("_CM_SHA1", "_CM_HMAC_SHA1")
}

fn dashes(program: Program, option: &str) -> String {
    let dashes = if program == Program::OpenSsl { "-" } else { "--" };
    format!("{dashes}{option}")
}

/// A handshake, and data both ways.
fn talk(
    program: Program,
    link: &mut Link,
    theirs: &mut process::Program,
    we: Role,
    deadline: Instant,
) -> Result<(), String> {
    link.drive("the handshake", deadline, |link| link.established)?;
    let times = theirs.said().matches(DATA).count();
    match (we, program) {
        (Role::Client, Program::OpenSsl) => {
            link.send(DATA.as_bytes())?;
            link.drive("our data at the peer", deadline, |_| theirs.said().matches(DATA).count() > times)?;
            theirs.tell(DATA);
            link.drive("the peer's data", deadline, |link| link.received == DATA.as_bytes())
        }
        (Role::Client, Program::GnuTls) => {
            link.send(DATA.as_bytes())?;
            link.drive("our echo", deadline, |link| link.received == DATA.as_bytes())
        }
        (Role::Server, _) => {
            theirs.tell(DATA);
            link.drive("the peer's data", deadline, |link| link.received == DATA.as_bytes())?;
            link.drive("the echo at the peer", deadline, |_| theirs.said().matches(DATA).count() > times)
        }
    }
}

/// What we have, and what it says.
fn compare(feature: Feature, authority: &Authority, link: &Link, theirs: &process::Program) -> Result<(), String> {
    let negotiated = link.connection.negotiated().ok_or("nothing negotiated")?;
    let said = theirs.said();
    let value = |names: &[&str]| names.iter().find_map(|name| after(&said, name)).unwrap_or_default();
    match feature {
        Feature::Exporter => {
            let mut ours = [0; EXPORTED];
            let exported = link.connection.export_keying_material(LABEL.as_bytes(), None, &mut ours);
            exported.map_err(|error| error.to_string())?;
            let theirs = value(&["Keying material: ", "Key material: "]).to_lowercase();
            same("keying material", &hex::encode(ours), &theirs)
        }
        Feature::Srtp(profile) => {
            if negotiated.srtp_profile() != Some(profile.wire()) {
                return Err(format!("profile: {:?}", negotiated.srtp_profile()));
            }
            let theirs = value(&["SRTP Extension negotiated, profile=", "SRTP profile: "]);
            same("profile", profile.openssl_name(), &theirs.replace("_HMAC", ""))?;
            let theirs = value(&["Keying material: ", "Key material: "]).to_lowercase();
            same("SRTP keys", &hex::encode(Profile::keys(&link.connection)?), &theirs)
        }
        Feature::OcspResponse => {
            let stapled = fs::read(authority.ocsp_response()?).unwrap();
            if let Some(port) = said.contains("gnutls-cli").then(|| link.port()) {
                let got = fs::read(saved(authority, port)).unwrap_or_default();
                return same("OCSP response", &hex::encode(stapled), &hex::encode(got));
            }
            if said.contains("s_client") {
                return same("OCSP response", "successful (0x0)", value(&["OCSP Response Status: "]));
            }
            same("OCSP response", &hex::encode(stapled), &hex::encode(negotiated.ocsp_response().unwrap_or_default()))
        }
        Feature::RecordSizeLimit | Feature::MaxFragmentLength => {
            same("our longest payload", &RECORD_LIMIT.to_string(), &link.connection.max_payload().to_string())
        }
        // Whoever does not tolerate it has failed.
        Feature::Grease => Ok(()),
        // Looked at before.
        Feature::Cookie => Ok(()),
        Feature::Protocol => {
            let ours = String::from_utf8_lossy(negotiated.alpn_protocol().unwrap_or_default()).into_owned();
            same("what was to be chosen", PROTOCOLS[1], &ours)?;
            // gnutls-serv says nothing; a server that had not chosen it would have left it out.
            if said.contains("gnutls-serv") {
                return Ok(());
            }
            same("protocol", &ours, value(&["ALPN protocol: ", "ALPN protocols selected: ", "Application protocol: "]))
        }
        Feature::ServerName => {
            same("what was to be sent", SERVER_NAME, negotiated.server_name().unwrap_or_default())?;
            if !said.contains("s_server") {
                return Ok(());
            }
            same("server name", SERVER_NAME, value(&["Hostname in TLS extension: "]).trim_matches('"'))
        }
        _ => Err("not for these programs".into()),
    }
}

/// The rest of the line after some words.
fn after<'s>(said: &'s str, words: &str) -> Option<&'s str> {
    let (_, rest) = said.split_once(words)?;
    rest.lines().next().map(str::trim)
}

fn same(what: &str, ours: &str, theirs: &str) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: we have {ours:?}, the peer has {theirs:?}")) }
}

/// A port that nobody has, and that no other row gets.
fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = link::loopback().local_addr().unwrap().port();
        if TAKEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}
