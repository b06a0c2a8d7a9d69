//! The other stacks in virtual time: their timers expire when the test says so.

use crate::boring::{self, Boring};
use crate::certificates::Authority;
use crate::features::{Foreign, wolfssl};
use crate::table::{Cell, Cookie, Peer};
use std::time::Duration;

/// The other stack's end of an association.
pub(crate) enum Theirs {
    BoringSsl(Box<Boring>),
    WolfSsl(Waiting),
}

/// wolfSSL says how long to wait, and is told when that was in vain.
pub(crate) struct Waiting {
    end: wolfssl::End,
    now: Duration,
    since: Duration,
    patience: Option<Duration>,
}

/// Makes the ends of one cell.
pub(crate) enum Source {
    BoringSsl,
    WolfSsl(wolfssl::Ends),
}

impl Source {
    pub(crate) fn new(cell: &Cell, authority: &Authority) -> Result<Self, String> {
        if cell.grid.peer == Peer::BoringSsl {
            return Ok(Self::BoringSsl);
        }
        let cookie = if cell.cookie == Cookie::Demanded { "yes" } else { "no" };
        let words = ["afresh=yes".into(), format!("mtu={}", cell.mtu), format!("cookie={cookie}")];
        Ok(Self::WolfSsl(wolfssl::Ends::told(cell.grid.version, cell.grid.we, authority, &words)?))
    }

    pub(crate) fn end(&mut self, cell: &Cell, authority: &Authority) -> Result<Theirs, String> {
        boring::set_clock(Duration::ZERO);
        Ok(match self {
            Self::BoringSsl => Theirs::BoringSsl(Box::new(Boring::in_virtual_time(cell, authority)?)),
            Self::WolfSsl(ends) => {
                let end = ends.next()?;
                Theirs::WolfSsl(Waiting { end, now: Duration::ZERO, since: Duration::ZERO, patience: None })
            }
        })
    }
}

impl Theirs {
    pub(crate) fn end(&mut self) -> &mut dyn Foreign {
        match self {
            Self::BoringSsl(end) => &mut **end,
            Self::WolfSsl(waiting) => &mut waiting.end,
        }
    }

    pub(crate) fn set_clock(&mut self, now: Duration) -> Result<(), String> {
        match self {
            Self::BoringSsl(_) => boring::set_clock(now),
            Self::WolfSsl(waiting) => {
                waiting.now = now;
                waiting.end.set_clock(now)?;
            }
        }
        Ok(())
    }

    /// What is to be sent; what is due is done before.
    pub(crate) fn transmit(&mut self) -> Result<Vec<Vec<u8>>, String> {
        match self {
            Self::BoringSsl(end) => crate::memory::Peer::transmit(&mut **end),
            Self::WolfSsl(waiting) => waiting.transmit(),
        }
    }

    /// When its next timer expires.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        match self {
            Self::BoringSsl(end) => end.timeout().map(|left| now + left),
            Self::WolfSsl(waiting) => waiting.deadline(),
        }
    }
}

impl Waiting {
    fn deadline(&self) -> Option<Duration> {
        Some(self.since + self.patience?)
    }

    /// It waits anew when it has sent something, and for as long as it says then. A datagram that has arrived is no reason: it
    /// may have been an old one.
    fn transmit(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let expired = self.deadline().is_some_and(|deadline| deadline <= self.now);
        if expired {
            self.end.expire()?;
        }
        let leaving = crate::memory::Peer::transmit(&mut self.end)?;
        let patience = self.end.patience()?;
        if expired || !leaving.is_empty() || patience != self.patience {
            self.since = self.now;
        }
        self.patience = patience;
        Ok(leaving)
    }
}
