//! Which associations are held with whom: for each peer, version and role, so many that every two values of two axes meet in
//! one of them, as far as the peer can, and every group is agreed on with each MTU, with and without retry and cookie: that is
//! how ClientHellos come to be fragmented.

use crate::certificates::Kind;
use udtls::{CipherSuite, NamedGroup, ProtocolVersion};

/// One grid: a peer, the version that it has, and our role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) peer: Peer,
    pub(crate) version: Version,
    pub(crate) we: Role,
}

/// One association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) grid: Grid,
    pub(crate) suite: Suite,
    pub(crate) group: Group,
    /// The server's.
    pub(crate) certificate: Kind,
    pub(crate) client_auth: ClientAuth,
    /// Of both ends.
    pub(crate) mtu: usize,
    pub(crate) retry: Retry,
    pub(crate) cookie: Cookie,
    pub(crate) versions: Versions,
    pub(crate) closer: Closer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    WolfSsl,
    BoringSsl,
    Dimpl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Dtls12,
    Dtls13,
}

/// Ours.
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
pub(crate) enum Group {
    X25519,
    Secp256r1,
    Secp384r1,
    X25519MlKem768,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    None,
    /// Demanded, with a key of this kind.
    By(Kind),
}

/// Whether the server asks for a key share of another group than the client's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    No,
    ForGroup,
}

/// Whether the peer, as a server, has the client show that it receives at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    No,
    Demanded,
}

/// What we have; the peer has the grid's version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    One,
    Both,
}

/// Who closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closer {
    Us,
    Peer,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::WolfSsl, Self::BoringSsl, Self::Dimpl];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WolfSsl => "wolfSSL",
            Self::BoringSsl => "BoringSSL",
            Self::Dimpl => "dimpl",
        }
    }
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::Dtls13, Self::Dtls12];

    pub(crate) const fn wire(self) -> ProtocolVersion {
        match self {
            Self::Dtls12 => ProtocolVersion::DTLS1_2,
            Self::Dtls13 => ProtocolVersion::DTLS1_3,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dtls12 => "1.2",
            Self::Dtls13 => "1.3",
        }
    }
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Suite {
    const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20 => "ChaCha20-Poly1305",
        }
    }
}

impl Group {
    const ALL: [Self; 4] = [Self::X25519, Self::Secp256r1, Self::Secp384r1, Self::X25519MlKem768];

    pub(crate) const fn wire(self) -> NamedGroup {
        match self {
            Self::X25519 => NamedGroup::X25519,
            Self::Secp256r1 => NamedGroup::SECP256R1,
            Self::Secp384r1 => NamedGroup::SECP384R1,
            Self::X25519MlKem768 => NamedGroup::X25519MLKEM768,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "X25519",
            Self::Secp256r1 => "P-256",
            Self::Secp384r1 => "P-384",
            Self::X25519MlKem768 => "X25519MLKEM768",
        }
    }

    /// What a client has a share of at first when it is to be asked for one of this group.
    pub(crate) const fn another(self) -> Self {
        match self {
            Self::X25519 => Self::Secp256r1,
            Self::Secp256r1 | Self::Secp384r1 | Self::X25519MlKem768 => Self::X25519,
        }
    }
}

impl ClientAuth {
    const ALL: [Self; 5] =
        [Self::None, Self::By(Kind::P256), Self::By(Kind::P384), Self::By(Kind::Rsa), Self::By(Kind::Ed25519)];

    pub(crate) const fn kind(self) -> Option<Kind> {
        match self {
            Self::None => None,
            Self::By(kind) => Some(kind),
        }
    }
}

impl Cell {
    /// An Ed25519 certificate goes with the ECDSA suites (RFC 8422 §2).
    pub(crate) const fn cipher_suite(&self) -> CipherSuite {
        match (self.grid.version, self.suite, self.certificate) {
            (Version::Dtls13, Suite::Aes128Gcm, _) => CipherSuite::TLS_AES_128_GCM_SHA256,
            (Version::Dtls13, Suite::Aes256Gcm, _) => CipherSuite::TLS_AES_256_GCM_SHA384,
            (Version::Dtls13, Suite::ChaCha20, _) => CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
            (_, Suite::Aes128Gcm, Kind::Rsa) => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            (_, Suite::Aes256Gcm, Kind::Rsa) => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            (_, Suite::ChaCha20, Kind::Rsa) => CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            (_, Suite::Aes128Gcm, _) => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            (_, Suite::Aes256Gcm, _) => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            (_, Suite::ChaCha20, _) => CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        }
    }

    /// The certificates that an end of the association has, and so must be told about.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        [Some(self.certificate), self.client_auth.kind()].into_iter().flatten()
    }

    /// Where the cell is on each axis.
    fn coordinates(&self) -> [usize; AXES] {
        let place = |found: Option<usize>| found.unwrap_or(0);
        [
            self.suite as usize,
            self.group as usize,
            place(Kind::ALL.iter().position(|kind| *kind == self.certificate)),
            place(ClientAuth::ALL.iter().position(|auth| *auth == self.client_auth)),
            place(MTUS.iter().position(|mtu| *mtu == self.mtu)),
            self.retry as usize,
            self.cookie as usize,
            self.versions as usize,
            self.closer as usize,
        ]
    }
}

/// Octets of UDP payload: a narrow radio's, the least that IPv4 hosts must take, and our default.
const MTUS: [usize; 3] = [256, 576, 1200];

const AXES: usize = 9;
const MOST_VALUES: usize = 5;
const PAIRS: usize = AXES * AXES * MOST_VALUES * MOST_VALUES;
const OPENINGS: usize = MOST_VALUES * MOST_VALUES * 2 * 2;

impl Grid {
    pub(crate) fn all() -> Vec<Self> {
        let mut grids = Vec::new();
        for peer in Peer::ALL {
            for version in Version::ALL {
                grids.extend(Role::ALL.map(|we| Self { peer, version, we }));
            }
        }
        grids
    }

    /// Every association that the peer can hold.
    pub(crate) fn possible(self) -> Vec<Cell> {
        self.product().into_iter().filter(|cell| crate::cannot::reason(cell).is_none()).collect()
    }

    /// The associations to hold.
    pub(crate) fn chosen(self) -> Vec<Cell> {
        let possible = self.possible();
        let met: Vec<_> = possible.iter().map(meetings).collect();
        let mut wanted = vec![false; PAIRS + OPENINGS];
        met.iter().flatten().for_each(|meeting| wanted[*meeting] = true);
        let mut cells = Vec::new();
        // The cell with the most meetings that no cell has yet, the first of equals, until each is in one.
        loop {
            let new = |at: &usize| met[*at].iter().filter(|meeting| wanted[**meeting]).count();
            let best = (0..possible.len()).rev().max_by_key(new);
            let Some(best) = best.filter(|best| new(best) > 0) else { return cells };
            met[best].iter().for_each(|meeting| wanted[*meeting] = false);
            cells.push(possible[best]);
        }
    }

    /// Every value with every other. What a version does not have at all is not an axis there.
    pub(crate) fn product(self) -> Vec<Cell> {
        let is_13 = self.version == Version::Dtls13;
        let groups = if is_13 { &Group::ALL[..] } else { &Group::ALL[..3] };
        let retries: &[_] = if is_13 { &[Retry::No, Retry::ForGroup] } else { &[Retry::No] };
        let cookies: &[_] = if self.we == Role::Client { &[Cookie::No, Cookie::Demanded] } else { &[Cookie::No] };
        let first = Cell {
            grid: self,
            suite: Suite::Aes128Gcm,
            group: Group::X25519,
            certificate: Kind::P256,
            client_auth: ClientAuth::None,
            mtu: MTUS[0],
            retry: Retry::No,
            cookie: Cookie::No,
            versions: Versions::One,
            closer: Closer::Us,
        };
        let mut cells = vec![first];
        spread(&mut cells, &Suite::ALL, |cell, suite| Cell { suite, ..cell });
        spread(&mut cells, groups, |cell, group| Cell { group, ..cell });
        spread(&mut cells, &Kind::ALL, |cell, certificate| Cell { certificate, ..cell });
        spread(&mut cells, &ClientAuth::ALL, |cell, client_auth| Cell { client_auth, ..cell });
        spread(&mut cells, &MTUS, |cell, mtu| Cell { mtu, ..cell });
        spread(&mut cells, retries, |cell, retry| Cell { retry, ..cell });
        spread(&mut cells, cookies, |cell, cookie| Cell { cookie, ..cell });
        spread(&mut cells, &[Versions::One, Versions::Both], |cell, versions| Cell { versions, ..cell });
        spread(&mut cells, &[Closer::Us, Closer::Peer], |cell, closer| Cell { closer, ..cell });
        // A server of both versions needs a group for DTLS 1.2, and the hybrid would not be its only one.
        let ambiguous = |cell: &Cell| {
            self.we == Role::Server && cell.group == Group::X25519MlKem768 && cell.versions == Versions::Both
        };
        cells.retain(|cell| !ambiguous(cell));
        cells
    }
}

/// One more axis.
fn spread<T: Copy>(cells: &mut Vec<Cell>, values: &[T], with: impl Fn(Cell, T) -> Cell) {
    *cells = cells.iter().flat_map(|cell| values.iter().map(|value| with(*cell, *value))).collect();
}

/// The pairs of values that meet in a cell, and how it opens, as numbers below `PAIRS + OPENINGS`.
fn meetings(cell: &Cell) -> Vec<usize> {
    let at = cell.coordinates();
    let mut meetings = Vec::with_capacity(AXES * (AXES - 1) / 2 + 1);
    for a in 0..AXES {
        for b in 0..a {
            meetings.push(((a * AXES + b) * MOST_VALUES + at[a]) * MOST_VALUES + at[b]);
        }
    }
    let [_, group, _, _, mtu, retry, cookie, ..] = at;
    meetings.push(PAIRS + ((group * MOST_VALUES + mtu) * 2 + retry) * 2 + cookie);
    meetings
}
