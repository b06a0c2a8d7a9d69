//! What a peer cannot do, and why: each reason is a row of the report and of README.md.

use crate::certificates::Kind;
use crate::table::{Cell, Closer, Cookie, Group, Peer, Retry, Role, Version, Versions};

/// A reason for leaving cells out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// What is left out.
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
}

/// Why the peer cannot hold this association, if it cannot.
pub(crate) fn reason(cell: &Cell) -> Option<Reason> {
    match cell.grid.peer {
        Peer::WolfSsl => wolfssl(cell),
        Peer::BoringSsl => boringssl(cell),
        Peer::Dimpl => dimpl(cell),
    }
}

fn wolfssl(cell: &Cell) -> Option<Reason> {
    match cell.grid.we {
        Role::Client => wolfssl_server(cell),
        Role::Server => wolfssl_client(cell),
    }
}

fn wolfssl_server(cell: &Cell) -> Option<Reason> {
    let narrow = cell.mtu == 256 && cell.versions == Versions::Both;
    match (cell.grid.version, cell.group) {
        (Version::Dtls12, _) if cell.cookie == Cookie::No => {
            Some(Reason { what: "no HelloVerifyRequest", why: "its example server has no switch that leaves it out" })
        }
        (Version::Dtls12, Group::X25519 | Group::Secp256r1) if cell.certificate == Kind::P384 => Some(Reason {
            what: "P-384 certificate with X25519 or P-256",
            why: "its server takes no group that is shorter than the curve of its certificate",
        }),
        (Version::Dtls12, _) if narrow => Some(Reason {
            what: "MTU 256 when we offer both versions",
            why: "its server is stateless until the cookie comes back and drops a ClientHello that comes in fragments",
        }),
        (Version::Dtls13, Group::X25519MlKem768) if cell.retry == Retry::No => Some(Reason {
            what: "X25519MLKEM768 in the first ClientHello",
            why: "its server is stateless until the second ClientHello and drops a first one that comes in fragments",
        }),
        (Version::Dtls13, _) => match first_share(cell) {
            Group::Secp384r1 if cell.mtu == 256 => Some(Reason {
                what: "P-384 in the first ClientHello at MTU 256",
                why: "its server is stateless until the second ClientHello and drops a first one that comes in fragments",
            }),
            Group::Secp256r1 if narrow => Some(Reason {
                what: "P-256 in the first ClientHello at MTU 256 when we offer both versions",
                why: "its server is stateless until the second ClientHello and drops a first one that comes in fragments",
            }),
            _ => None,
        },
        (Version::Dtls12, _) => None,
    }
}

/// What our first ClientHello has a key share of.
fn first_share(cell: &Cell) -> Group {
    match cell.retry {
        Retry::No => cell.group,
        Retry::ForGroup => cell.group.another(),
    }
}

fn wolfssl_client(cell: &Cell) -> Option<Reason> {
    if cell.closer == Closer::Us {
        return Some(Reason {
            what: "close by our server",
            why: "its example client sends one message, waits for one, and closes",
        });
    }
    if (cell.grid.version, cell.retry) != (Version::Dtls13, Retry::No) {
        return None;
    }
    match cell.group {
        Group::X25519MlKem768 => Some(Reason {
            what: "X25519MLKEM768 in the first ClientHello",
            why: "its client sends no key share at first when the ClientHello would not fit into one datagram",
        }),
        Group::Secp256r1 if cell.mtu == 256 => Some(Reason {
            what: "P-256 in the first ClientHello at MTU 256",
            why: "its client sends no key share at first when the ClientHello would not fit into one datagram",
        }),
        Group::Secp384r1 => Some(Reason {
            what: "P-384 in the first ClientHello",
            why: "its example client has switches for key shares of X25519 and P-256 only",
        }),
        Group::X25519 | Group::Secp256r1 => None,
    }
}

fn boringssl(cell: &Cell) -> Option<Reason> {
    if cell.cookie == Cookie::Demanded {
        return Some(Reason { what: "cookies", why: "its server sends neither HelloVerifyRequest nor cookie" });
    }
    let retry_for_hybrid =
        (cell.grid.we, cell.group, cell.retry) == (Role::Server, Group::X25519MlKem768, Retry::ForGroup);
    retry_for_hybrid.then_some(Reason {
        what: "retry for X25519MLKEM768",
        why: "its client has a key share of the hybrid whenever it has that group at all",
    })
}

fn dimpl(cell: &Cell) -> Option<Reason> {
    if cell.kinds().any(|kind| kind == Kind::Rsa) {
        return Some(Reason { what: "RSA certificates", why: "it has ECDSA only" });
    }
    if cell.kinds().any(|kind| kind == Kind::Ed25519) {
        return Some(Reason { what: "Ed25519 certificates", why: "it has ECDSA only" });
    }
    if cell.group == Group::X25519MlKem768 {
        return Some(Reason { what: "X25519MLKEM768", why: "it has X25519, P-256 and P-384 only" });
    }
    ((cell.grid.we, cell.group, cell.retry) == (Role::Server, Group::X25519, Retry::ForGroup)).then_some(Reason {
        what: "retry for X25519",
        why: "its client has a key share of X25519 whenever it has that group at all",
    })
}
