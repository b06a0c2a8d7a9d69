//! Our end: how it is configured for a cell, and what must be true of it afterwards.

use crate::certificates::{Authority, Chain};
use crate::keys;
use crate::link::{Seen, is_hello_verify_request};
use crate::table::{Cell, Cookie, Group, Peer, Retry, Role, Version, Versions};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    CipherSuite, ClientConfig, Connection, KeyShares, NamedGroup, ProtocolVersion, ServerConfig, TransportConfig,
};

pub(crate) fn connection(cell: &Cell, authority: &Authority, now: Instant) -> Result<Connection, String> {
    match cell.grid.we {
        Role::Client => {
            let name = ServerName::try_from("localhost").unwrap();
            Connection::client(Arc::new(client_config(cell, authority)), Some(name), now)
        }
        Role::Server => Connection::server(Arc::new(server_config(cell, authority)), now),
    }
    .map_err(|error| error.to_string())
}

/// Timers are what they are by default, and so is all else that the path's quality has a say in.
pub(crate) fn in_weather(cell: &Cell, authority: &Authority, now: Instant) -> Result<Connection, String> {
    let mut transport = TransportConfig::new();
    transport.set_mtu(cell.mtu).unwrap();
    match cell.grid.we {
        Role::Client => {
            let mut config = client_config(cell, authority);
            config.set_transport(transport);
            config.set_key_log(Arc::new(keys::Log));
            Connection::client(Arc::new(config), Some(ServerName::try_from("localhost").unwrap()), now)
        }
        Role::Server => {
            let mut config = server_config(cell, authority);
            config.set_transport(transport);
            config.set_key_log(Arc::new(keys::Log));
            Connection::server(Arc::new(config), now)
        }
    }
    .map_err(|error| error.to_string())
}

fn client_config(cell: &Cell, authority: &Authority) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(roots(cell, authority)).unwrap();
    let mut config = match cell.client_auth.kind() {
        None => builder.with_no_client_auth(),
        Some(kind) => {
            let chain = authority.chain(kind);
            builder.with_client_auth_cert(chain.certificates(), chain.key()).unwrap()
        }
    };
    config.set_versions(versions(cell)).unwrap();
    config.set_groups(&groups(cell)).unwrap();
    if (cell.group, cell.retry) == (Group::X25519MlKem768, Retry::No) {
        config.set_key_shares(KeyShares::HybridFirst).unwrap();
    }
    if let Some(suites) = suites(cell) {
        config.set_cipher_suites(&suites).unwrap();
    }
    config.set_transport(transport(cell));
    config
}

fn server_config(cell: &Cell, authority: &Authority) -> ServerConfig {
    let builder = match cell.client_auth.kind() {
        None => ServerConfig::builder().with_no_client_auth().unwrap(),
        Some(_) => {
            let (roots, provider) = (Arc::new(roots(cell, authority)), Arc::new(aws_lc_rs::default_provider()));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier).unwrap()
        }
    };
    let chain = authority.chain(cell.certificate);
    let mut config = builder.with_single_cert(chain.certificates(), chain.key()).unwrap();
    config.set_versions(versions(cell)).unwrap();
    config.set_groups(&groups(cell)).unwrap();
    if let Some(suites) = suites(cell) {
        config.set_cipher_suites(&suites).unwrap();
    }
    config.set_transport(transport(cell));
    config
}

/// dimpl sends its certificate alone: who trusts it must trust its issuer.
fn roots(cell: &Cell, authority: &Authority) -> RootCertStore {
    let mut roots = authority.roots();
    if cell.grid.peer == Peer::Dimpl {
        cell.kinds().filter_map(|kind| issuer(authority.chain(kind))).for_each(|issuer| roots.add(issuer).unwrap());
    }
    roots
}

fn issuer(chain: &Chain) -> Option<rustls::pki_types::CertificateDer<'static>> {
    chain.certificates().into_iter().nth(1)
}

const fn versions(cell: &Cell) -> &'static [ProtocolVersion] {
    match (cell.versions, cell.grid.version) {
        (Versions::Both, _) => &[ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2],
        (Versions::One, Version::Dtls13) => &[ProtocolVersion::DTLS1_3],
        (Versions::One, Version::Dtls12) => &[ProtocolVersion::DTLS1_2],
    }
}

/// A server has the group that it is to choose, and as a client we have it and what we are to have a share of at first. In
/// DTLS 1.2 the curves of ECDSA certificates must be among the groups (RFC 8422 §5.1): there all are, the one first.
fn groups(cell: &Cell) -> Vec<NamedGroup> {
    let mut groups = match (cell.grid.version, cell.grid.we, cell.retry) {
        (Version::Dtls12, Role::Client, _) if cell.grid.peer == Peer::WolfSsl => vec![cell.group],
        (Version::Dtls12, ..) => vec![cell.group, Group::X25519, Group::Secp256r1, Group::Secp384r1],
        (Version::Dtls13, Role::Server, _) => vec![cell.group],
        (Version::Dtls13, Role::Client, Retry::No) => vec![cell.group, cell.group.another()],
        // A share of the best classical group is sent: the hybrid may stand first.
        (Version::Dtls13, Role::Client, Retry::ForGroup) if cell.group == Group::X25519MlKem768 => {
            vec![cell.group, cell.group.another()]
        }
        (Version::Dtls13, Role::Client, Retry::ForGroup) => vec![cell.group.another(), cell.group],
    };
    let mut seen = Vec::new();
    groups.retain(|group| {
        !seen.contains(group) && {
            seen.push(*group);
            true
        }
    });
    groups.into_iter().map(Group::wire).collect()
}

/// BoringSSL's suites of DTLS 1.3 cannot be chosen, so ours are; all others' are chosen at the peer.
fn suites(cell: &Cell) -> Option<Vec<CipherSuite>> {
    if (cell.grid.peer, cell.grid.version) != (Peer::BoringSsl, Version::Dtls13) {
        return None;
    }
    let mut suites = vec![cell.cipher_suite()];
    if cell.versions == Versions::Both {
        suites.push(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
        suites.push(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    }
    Some(suites)
}

/// Nothing is lost here; what is late on a busy machine is sent again.
fn transport(cell: &Cell) -> TransportConfig {
    let mut transport = TransportConfig::new();
    transport.set_mtu(cell.mtu).unwrap();
    transport.set_timeouts(Duration::from_millis(400), Duration::from_secs(1)).unwrap();
    transport
}

/// What was negotiated, and what was on the wire, is what the cell says. `from_server` tells whose a datagram is.
pub(crate) fn check(
    cell: &Cell,
    connection: &Connection,
    datagrams: &[Seen],
    from_server: impl Fn(&Seen) -> bool,
) -> Result<(), String> {
    let negotiated = connection.negotiated().ok_or("nothing negotiated")?;
    let authenticated = cell.grid.we == Role::Client || cell.client_auth.kind().is_some();
    // The end entity and the intermediate; dimpl sends no chain.
    let sent = if cell.grid.peer == Peer::Dimpl { 1 } else { 2 };
    let certificates = if authenticated { sent } else { 0 };
    let as_told = negotiated.version() == cell.grid.version.wire()
        && negotiated.cipher_suite() == cell.cipher_suite()
        && negotiated.group() == cell.group.wire()
        && negotiated.peer_certificates().len() == certificates;
    if !as_told {
        return Err(format!("negotiated something else: {negotiated:?}"));
    }
    let retried = datagrams.iter().filter(|seen| from_server(seen)).any(|seen| asks_again(&seen.bytes));
    if retried != (cell.retry == Retry::ForGroup || cell.cookie == Cookie::Demanded) {
        return Err(format!("the server {} for another ClientHello", if retried { "asked" } else { "did not ask" }));
    }
    let ours_from_server = cell.grid.we == Role::Server;
    let ours = datagrams.iter().filter(|seen| from_server(seen) == ours_from_server);
    let longest = ours.map(|seen| seen.bytes.len()).max().unwrap_or(0);
    if longest > cell.mtu {
        return Err(format!("we sent {longest} octets, which is above the MTU"));
    }
    Ok(())
}

/// Whether a datagram begins with a HelloVerifyRequest, or is a plaintext one with a HelloRetryRequest, which is a
/// ServerHello with a random of its own (RFC 8446 §4.1.3).
fn asks_again(datagram: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const RETRY_RANDOM: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];
    is_hello_verify_request(datagram)
        || (matches!(datagram, [HANDSHAKE, _, _, 0, 0, ..])
            && datagram.windows(RETRY_RANDOM.len()).any(|octets| octets == RETRY_RANDOM))
}
