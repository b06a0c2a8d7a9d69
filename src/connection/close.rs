//! How an association ends: close_notify one way and both, fatal alerts, and what is said again when it was lost
//! (RFC 5246 §7.2, RFC 8446 §6, RFC 9147 §5.10).

use super::{CloseReason, Connection, Event, Phase};
use crate::error::Error;
use crate::record::Record;
use crate::wire::{AlertDescription, ack::RecordNumber};
use std::time::Instant;

impl Connection {
    /// Whether the peer has said that no more data will come. If an association ends otherwise, or nothing is heard any
    /// more, what came may be less than what was sent (RFC 8446 §6.1).
    pub fn is_peer_closed(&self) -> bool {
        self.conduct.receiving != Receiving::Open
    }

    /// Sends close_notify and no more data (RFC 8446 §6.1). What the peer still sends is delivered; data that comes a while
    /// after shows that the close_notify was lost, and it is sent again, three times at most. During the handshake there
    /// is nothing to deliver: it ends here.
    pub fn close(&mut self, _now: Instant) {
        match (&self.phase, self.conduct.sending) {
            (Phase::Established(_), Sending::Open) => {
                self.conduct.sending = Sending::Closing;
                // "Any data received with an epoch/sequence number pair after that of a valid received closure alert MUST be
                // ignored" (RFC 9147 §5.10): an ACK that waits must go before.
                self.acks.hurry();
            }
            (Phase::Handshaking(_), _) => {
                self.end(Error::Application(AlertDescription::CLOSE_NOTIFY), CloseReason::Local);
            }
            _ => {}
        }
    }

    /// Ends the association with a fatal alert of the application's choice.
    pub fn abort(&mut self, description: AlertDescription) {
        if !matches!(self.phase, Phase::Failed(_)) {
            self.fail(Error::Application(description));
        }
    }

    /// Ends the association: nothing more is sent but the alert.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        if let Phase::Failed(failure) = &self.phase {
            return failure.error.clone();
        }
        let reason = CloseReason::Failed(error.clone());
        self.end(error, reason)
    }

    pub(super) fn end(&mut self, error: Error, reason: CloseReason) -> Error {
        // What never leaves would have told the peer of the keys that come after it: an alert under those says nothing.
        if let Some(unsent) = self.outgoing.first_unsent().filter(|epoch| self.records.overhead(*epoch).is_some()) {
            self.conduct.write_epoch = self.conduct.write_epoch.min(unsent);
        }
        self.outgoing.begin();
        self.timer.stop();
        self.acks.on_flight_sent();
        let alert = match error.alert() {
            Some(description) => AlertDue::Now { description, repeats: ALERT_REPEATS },
            None => AlertDue::Silent,
        };
        // It ends once: an application that has closed it was told already.
        if !self.conduct.sending.is_over() {
            self.events.push_back(Event::Closed(reason));
        }
        if matches!(self.phase, Phase::Handshaking(_)) {
            self.handshake.abandon();
        }
        self.phase = Phase::Failed(Box::new(Failure { error: error.clone(), alert }));
        self.place.lease.over();
        error
    }

    pub(super) fn receive_close_notify(&mut self, record: &Record<'_>) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Established(_)) {
            return Err(Error::AlertReceived(AlertDescription::CLOSE_NOTIFY));
        }
        if self.conduct.receiving != Receiving::Open {
            return Ok(());
        }
        self.conduct.receiving = Receiving::ClosedAt(record.number);
        self.events.push_back(Event::PeerClosed);
        if self.conduct.half_close == HalfClose::Impossible && self.conduct.sending == Sending::Open {
            self.conduct.sending = Sending::CloseNotifyDue { repeats: CLOSE_REPEATS };
            self.events.push_back(Event::Closed(CloseReason::Peer));
        }
        Ok(())
    }

    /// Data came although we have closed: what was on its way, or from a peer that did not hear of it, alerts being sent
    /// once (RFC 9147 §5.10).
    pub(super) fn repeat_close_notify(&mut self, now: Instant) {
        let Sending::Closed { at, repeats } = self.conduct.sending else { return };
        let Some(repeats) = repeats.checked_sub(1) else { return };
        if now.saturating_duration_since(at) >= self.timer.timeout() {
            self.conduct.sending = Sending::CloseNotifyDue { repeats };
        }
    }
}

/// Whether we may still send data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// The application closed; the close_notify is to be sent, and the application to be told when it is.
    Closing,
    /// The close_notify is to be sent, perhaps again; `repeats` more may follow. The application knows.
    CloseNotifyDue {
        repeats: u8,
    },
    /// It was sent, last at this time. It is sent again, `repeats` times at most, if data shows that the peer did not get it.
    Closed {
        at: Instant,
        repeats: u8,
    },
}

/// Whether one side may go on when the other has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HalfClose {
    /// RFC 8446 §6.1: closing "does not have any effect on its read side of the connection".
    Possible,
    /// RFC 5246 §7.2.1: "MUST respond with a close_notify alert of its own and close down the connection immediately,
    /// discarding any pending writes".
    Impossible,
}

/// Whether the peer may still send data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Open,
    /// Its close_notify came in this record; data in later ones does not count (RFC 9147 §5.10).
    ClosedAt(RecordNumber),
}

/// How an association ended.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) alert: AlertDue,
}

/// The alert that tells the peer of a failure (RFC 9147 §5.10).
#[derive(Clone, Copy, Debug)]
pub(super) enum AlertDue {
    /// There is nothing to say, or it was said often enough.
    Silent,
    /// To be sent now; `repeats` more may follow.
    Now { description: AlertDescription, repeats: u8 },
    /// To be sent again when the peer goes on, `repeats` times at most.
    IfPeerGoesOn { description: AlertDescription, repeats: u8 },
}

impl Sending {
    /// Whether the application has closed, or was told that it cannot send any more.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::CloseNotifyDue { .. } | Self::Closed { .. })
    }
}

/// A close_notify is sent up to four times in all, no sooner than after a retransmission timeout each.
pub(super) const CLOSE_REPEATS: u8 = 3;

/// A fatal alert is sent up to four times in all, once for each datagram that shows that the peer did not get it.
const ALERT_REPEATS: u8 = 3;

impl AlertDue {
    /// A datagram came although the alert was sent: it may have been lost (RFC 9147 §5.10).
    pub(super) fn peer_goes_on(self) -> Self {
        match self {
            Self::IfPeerGoesOn { description, repeats } => match repeats.checked_sub(1) {
                Some(repeats) => Self::Now { description, repeats },
                None => Self::Silent,
            },
            due => due,
        }
    }
}
