//! What an endpoint has counted, and the reasons it counts by.

use std::fmt;

/// Why a datagram went no further: nothing was answered, and nothing is kept but what a reason says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It came from what no peer sends from: port 0, a multicast, broadcast or unspecified address.
    Source,
    /// It belongs to no association, and begins with no ClientHello in plaintext.
    NotForUs,
    /// A ClientHello that cannot be read.
    Malformed,
    /// Part of a ClientHello; the rest is awaited.
    Fragment,
    /// Part of a ClientHello, for which there is no room: it is too long, or all room is taken by those that go before.
    FragmentRefused,
    /// It repeats what waits for the application's decision.
    Undecided,
    /// Nothing to answer it with: no room in the reply buffer, or a reply longer than the peer's request allows.
    ReplyTooLong,
    /// The endpoint takes no clients.
    NoServer,
    /// As many connections as there may be.
    Connections,
    /// As many half-open handshakes as there may be, all of them waiting for the application.
    HalfOpen,
    /// As many half-open handshakes with the peer's network as there may be, all of them waiting for the application.
    Network,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: &'static [Self] = &[
        Self::Source,
        Self::NotForUs,
        Self::Malformed,
        Self::Fragment,
        Self::FragmentRefused,
        Self::Undecided,
        Self::ReplyTooLong,
        Self::NoServer,
        Self::Connections,
        Self::HalfOpen,
        Self::Network,
    ];
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "no peer sends from that address",
            Self::NotForUs => "it belongs to no association",
            Self::Malformed => "a ClientHello that cannot be read",
            Self::Fragment => "the rest of the ClientHello is awaited",
            Self::FragmentRefused => "no room for this part of a ClientHello",
            Self::Undecided => "the application has not decided yet",
            Self::ReplyTooLong => "no reply fits",
            Self::NoServer => "no clients are taken",
            Self::Connections => "too many connections",
            Self::HalfOpen => "too many handshakes",
            Self::Network => "too many handshakes with that network",
        })
    }
}

/// What was wrong with a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieFault {
    /// Its length or layout is none of ours.
    Length,
    /// Its key is neither the current nor the previous one.
    Key,
    /// It was not made here, or for another address, or for another ClientHello.
    Forged,
    /// It was made too long ago, or is yet to be made.
    Age,
}

impl CookieFault {
    /// Every fault, in the order of the counters.
    pub const ALL: &'static [Self] = &[Self::Length, Self::Key, Self::Forged, Self::Age];
}
