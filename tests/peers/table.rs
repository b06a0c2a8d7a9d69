//! Which handshakes are held with whom.

use crate::certificates::Kind;
use udtls::CipherSuite;

/// One association with one program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) peer: Peer,
    pub(crate) we: Role,
    /// The only one that the peer has; we offer all.
    pub(crate) suite: Suite,
    /// The server's.
    pub(crate) certificate: Kind,
    pub(crate) client_auth: ClientAuth,
    /// Of both ends, where the peer can be told.
    pub(crate) mtu: usize,
    pub(crate) cookie: Cookie,
    pub(crate) versions: Versions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    OpenSsl,
    GnuTls,
    Socat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    None,
    /// Demanded, with a key of this kind.
    By(Kind),
}

/// Whether the peer, as a server, sends a HelloVerifyRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    None,
    Demanded,
}

/// Which versions we have; the peers have 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    Dtls12,
    Both,
}

impl Peer {
    /// The program, and the Debian package it comes in.
    pub(crate) const fn program(self, we: Role) -> (&'static str, &'static str) {
        match (self, we) {
            (Self::OpenSsl, _) => ("openssl", "openssl"),
            (Self::GnuTls, Role::Client) => ("gnutls-serv", "gnutls-bin"),
            (Self::GnuTls, Role::Server) => ("gnutls-cli", "gnutls-bin"),
            (Self::Socat, _) => ("socat", "socat"),
        }
    }

    /// OpenSSL 3 has no suite for an Ed25519 server certificate over DTLS.
    const fn has(self, we: Role, certificate: Kind) -> bool {
        !matches!((self, we, certificate), (Self::OpenSsl | Self::Socat, Role::Client, Kind::Ed25519))
    }

    /// GnuTLS can leave the HelloVerifyRequest out; `s_server` always sends one, socat never.
    const fn cookie(self, we: Role, wanted: Cookie) -> Cookie {
        match (self, we) {
            (_, Role::Server) | (Self::Socat, Role::Client) => Cookie::None,
            (Self::OpenSsl, Role::Client) => Cookie::Demanded,
            (Self::GnuTls, Role::Client) => wanted,
        }
    }

    /// socat knows no group but P-256, and so accepts no P-384 client key.
    fn client_kind(self, wanted: Kind) -> Kind {
        if self == Self::Socat && wanted == Kind::P384 { Kind::P256 } else { wanted }
    }
}

impl Suite {
    pub(crate) const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20];

    /// An Ed25519 certificate goes with the ECDSA suites (RFC 8422 §2).
    pub(crate) const fn with(self, certificate: Kind) -> CipherSuite {
        match (self, certificate) {
            (Self::Aes128Gcm, Kind::Rsa) => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            (Self::Aes256Gcm, Kind::Rsa) => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            (Self::ChaCha20, Kind::Rsa) => CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            (Self::Aes128Gcm, _) => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            (Self::Aes256Gcm, _) => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            (Self::ChaCha20, _) => CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        }
    }
}

/// The associations with one peer in one role: every suite with every certificate, with and without client authentication,
/// with each MTU. Over these, cookie and versions alternate so that each meets every value of every other axis.
pub(crate) fn table(peer: Peer, we: Role) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (i, certificate) in Kind::ALL.into_iter().enumerate().filter(|(_, kind)| peer.has(we, *kind)) {
        for (j, suite) in Suite::ALL.into_iter().enumerate() {
            for (k, mtu) in MTUS.into_iter().enumerate() {
                // With each certificate, client keys of every kind.
                let client = peer.client_kind(Kind::ALL[(i + 3 + j + k) % Kind::ALL.len()]);
                for (l, client_auth) in [ClientAuth::None, ClientAuth::By(client)].into_iter().enumerate() {
                    let wanted = if (i + j + k + l) % 2 == 0 { Cookie::Demanded } else { Cookie::None };
                    cells.push(Cell {
                        peer,
                        we,
                        suite,
                        certificate,
                        client_auth,
                        mtu,
                        cookie: peer.cookie(we, wanted),
                        versions: if (i + j / 2 + k + l) % 2 == 0 { Versions::Both } else { Versions::Dtls12 },
                    });
                }
            }
        }
    }
    cells
}

/// Octets of UDP payload: a narrow radio's, and the default.
const MTUS: [usize; 2] = [256, 1200];

#[test]
fn every_two_values_of_two_axes_meet_with_every_peer_in_every_role() {
    for (peer, we) in [
        (Peer::OpenSsl, Role::Client),
        (Peer::OpenSsl, Role::Server),
        (Peer::GnuTls, Role::Client),
        (Peer::GnuTls, Role::Server),
        (Peer::Socat, Role::Client),
    ] {
        let cells = table(peer, we);
        let axes: Vec<Vec<String>> = cells.iter().map(Cell::axes).collect();
        for a in 0..axes[0].len() {
            for b in 0..a {
                let values = |axis: usize| {
                    let mut values: Vec<_> = axes.iter().map(|cell| cell[axis].as_str()).collect();
                    values.sort_unstable();
                    values.dedup();
                    values
                };
                for x in values(a) {
                    for y in values(b) {
                        let met = axes.iter().any(|cell| cell[a] == x && cell[b] == y);
                        assert!(met, "{peer:?}, we are the {we:?}: no cell has both {x} and {y}");
                    }
                }
            }
        }
    }
}

impl Cell {
    fn axes(&self) -> Vec<String> {
        let client_auth = if self.client_auth == ClientAuth::None { "no client authentication" } else { "mutual" };
        vec![
            format!("{:?}", self.suite),
            format!("{:?}", self.certificate),
            client_auth.into(),
            format!("MTU {}", self.mtu),
            format!("cookie {:?}", self.cookie),
            format!("versions {:?}", self.versions),
        ]
    }
}
