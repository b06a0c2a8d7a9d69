//! What an endpoint has counted, and the reasons it counts by.

use super::Verdict;
use super::listener::{Reply, ReplyKind};
use std::fmt;

/// Why a datagram went no further: nothing was answered, and nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It came from what no peer sends from: port 0, a multicast, broadcast or unspecified address.
    Source,
    /// It belongs to no association, and begins with no ClientHello in plaintext.
    NotForUs,
    /// A ClientHello that cannot be read.
    Malformed,
    /// Part of a ClientHello that brings nothing new; to a [`Listener`](super::Listener) alone, any part of one.
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
            Self::Fragment => "part of a ClientHello that is of no use",
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

/// Counters of one endpoint, from its beginning, and what it has at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connections at the moment.
    pub connections: usize,
    /// Of these, clients' handshakes that are not complete, and clients that wait for the application.
    pub half_open: usize,
    /// Octets of memory that these take, by estimate.
    pub handshake_memory: usize,
    /// Datagrams with part of a ClientHello that was kept.
    pub fragments_kept: u64,
    /// Cookies sent, by HelloVerifyRequest or HelloRetryRequest.
    pub cookies_sent: u64,
    /// ClientHellos with a valid cookie.
    pub cookies_accepted: u64,
    /// Alerts sent in answer to a ClientHello.
    pub alerts_sent: u64,
    /// Clients that the application was asked about.
    pub incoming: u64,
    /// Clients that it accepted.
    pub accepted: u64,
    /// Clients that it refused.
    pub refused: u64,
    /// Clients that it ignored.
    pub ignored: u64,
    /// Half-open handshakes that had to make way for others.
    pub evicted: u64,
    /// Associations that another with the same peer replaced.
    pub replaced: u64,
    dropped: [u64; DropReason::ALL.len()],
    rejected: [u64; CookieFault::ALL.len()],
}

impl EndpointStats {
    pub(super) const fn new() -> Self {
        Self {
            connections: 0,
            half_open: 0,
            handshake_memory: 0,
            fragments_kept: 0,
            cookies_sent: 0,
            cookies_accepted: 0,
            alerts_sent: 0,
            incoming: 0,
            accepted: 0,
            refused: 0,
            ignored: 0,
            evicted: 0,
            replaced: 0,
            dropped: [0; DropReason::ALL.len()],
            rejected: [0; CookieFault::ALL.len()],
        }
    }

    /// How many datagrams were dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        DropReason::ALL.iter().zip(self.dropped).find_map(|(r, n)| (*r == reason).then_some(n)).unwrap_or(0)
    }

    /// How many cookies were rejected for this fault.
    pub fn cookies_rejected(&self, fault: CookieFault) -> u64 {
        CookieFault::ALL.iter().zip(self.rejected).find_map(|(f, n)| (*f == fault).then_some(n)).unwrap_or(0)
    }

    pub(super) fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Drop(reason) => count_in(&mut self.dropped, DropReason::ALL, reason),
            Verdict::Kept => count(&mut self.fragments_kept),
            Verdict::Incoming(_) => count(&mut self.incoming),
            Verdict::Reply(_) | Verdict::Connection(_) => {}
        }
    }

    pub(super) fn replied(&mut self, reply: &Reply) {
        if let Some(fault) = &reply.cookie {
            count_in(&mut self.rejected, CookieFault::ALL, fault);
        }
        match reply.kind {
            ReplyKind::HelloVerifyRequest | ReplyKind::HelloRetryRequest => count(&mut self.cookies_sent),
            ReplyKind::Alert(_) => count(&mut self.alerts_sent),
        }
    }
}

fn count_in<T: PartialEq>(counters: &mut [u64], names: &[T], name: &T) {
    for (counter, _) in counters.iter_mut().zip(names).filter(|(_, other)| *other == name) {
        count(counter);
    }
}

/// Adds one; a counter stays at its end rather than begin anew.
pub(super) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
