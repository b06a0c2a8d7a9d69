//! What an association tells the application.

use crate::config::Direction;
use crate::error::Error;

/// Something that happened, from [`Connection::poll_event`](crate::Connection::poll_event).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake waits for an answer of the application's: [`Connection::pending`](crate::Connection::pending) says
    /// which.
    AnswerWanted,
    /// The peer is authenticated and application data may be sent.
    HandshakeComplete,
    /// The peer sent close_notify: no more data will come, but what was sent before may still be on its way
    /// (RFC 8446 §6.1, RFC 9147 §5.10). In DTLS 1.3 our side stays open until [`Connection::close`](crate::Connection::close);
    /// in DTLS 1.2 it is closed with the peer's, as RFC 5246 §7.2.1 demands.
    ///
    /// Where this is missing, nobody knows whether all data has come: a network that keeps it back looks the same as a
    /// peer that vanished.
    PeerClosed,
    /// At a client: the server has given a session, or several, and they are in the configuration's
    /// [`ClientSessionStore`](crate::ClientSessionStore).
    SessionTicket,
    /// The keys of one direction were updated (RFC 8446 §4.6.3): those that open what the peer sends, or those that protect
    /// what is sent.
    KeyUpdated(Direction),
    /// So many records were sealed under these keys that no more should be (RFC 9147 §4.5.3), and this version has no way
    /// to change them: open another association. Sent once.
    ConfidentialityLimitReached,
    /// [`Connection::max_payload`](crate::Connection::max_payload) is now this: the MTU was changed, or fell
    /// (RFC 9147 §4.4). After [`HandshakeComplete`](Self::HandshakeComplete) only, when it is worth asking for the first
    /// time.
    MaxPayloadChanged {
        /// Octets.
        max: usize,
    },
    /// The association ended. Nothing can be sent any more but the alert that
    /// [`Connection::poll_transmit`](crate::Connection::poll_transmit) may still hold.
    Closed(CloseReason),
}

/// Why an association ended, and by whom: [`Error::AlertReceived`] is the peer's fatal alert; of what failed here
/// [`Error::alert`] is what the peer was told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application closed it, and the close_notify is on its way.
    Local,
    /// The peer closed it, in a version where no side goes on alone (RFC 5246 §7.2.1); our close_notify answers.
    Peer,
    /// It failed.
    Failed(Error),
}
