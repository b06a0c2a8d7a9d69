//! Floor 4: reliable delivery of handshake messages (RFC 6347 §4.2.2–4.2.4, RFC 9147 §5.2, §5.5, §5.8, §7).
//!
//! Cuts messages into fragments and puts fragments together, acknowledges records and remembers which octets each
//! sent record carried, and says when to send again. Knows no key, no version, no datagram and no clock: records come
//! and go as plaintext payloads, differences between versions come as data ([`Acks`], [`Trust`]), and `now` is a
//! parameter. What a message means is the handshake's business.

mod ack;
mod assembly;
mod incoming;
mod outgoing;
mod ranges;
mod timer;

#[cfg(test)]
mod tests;

pub(crate) use ack::{AckSender, Acks, check_ack};
pub(crate) use incoming::{Incoming, IncomingLimits, Progress, Repeated, Trust};
pub(crate) use outgoing::{Acknowledged, Outgoing};
pub(crate) use timer::{Expiry, RetransmitTimer, RttAdaptation, TimerKnobs};
