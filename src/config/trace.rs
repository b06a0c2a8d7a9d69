//! Who is shown the messages of an association, for debugging.

use crate::wire::{
    AlertDescription, HandshakeType,
    alert::Alert,
    codec::Reader,
    enums::ContentType,
    handshake::{Fragment, Message},
};
use std::fmt;
use std::sync::Arc;

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// From the peer.
    Receiving,
    /// To the peer.
    Sending,
}

/// What an association says or hears beside application data, for
/// [`ClientConfig::set_message_trace`](crate::ClientConfig::set_message_trace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TracedMessage<'a> {
    /// Of a handshake message (RFC 6347 §4.2.2, RFC 9147 §5.2): each fragment that is sent, as often as it is sent; what comes
    /// in as a whole, once, in its place in the handshake.
    Handshake {
        /// What it is.
        msg_type: HandshakeType,
        /// Its place among the messages of its sender.
        message_seq: u16,
        /// Octets of the whole message's body.
        length: usize,
        /// Where in that body the fragment begins.
        fragment_offset: usize,
        /// The fragment. There is no key in any message, but names and certificates that nobody else sees, and tickets.
        fragment: &'a [u8],
    },
    /// A ChangeCipherSpec of DTLS 1.2 (RFC 5246 §7.1).
    ChangeCipherSpec,
    /// An alert (RFC 5246 §7.2, RFC 8446 §6).
    Alert {
        /// 1 for a warning, 2 if it is fatal.
        level: u8,
        /// What it says.
        description: AlertDescription,
    },
    /// An ACK of DTLS 1.3 (RFC 9147 §7).
    Ack {
        /// How many records it acknowledges.
        records: usize,
    },
}

/// What the application does with them.
type Observer = dyn Fn(Direction, TracedMessage<'_>) + Send + Sync;

/// The application's observer, if there is one.
#[derive(Clone, Default)]
pub(crate) enum MessageTrace {
    #[default]
    Off,
    On(Arc<Observer>),
}

impl MessageTrace {
    /// Shows a message.
    pub(crate) fn show(&self, direction: Direction, message: TracedMessage<'_>) {
        if let Self::On(observer) = self {
            observer(direction, message);
        }
    }

    /// Shows a whole handshake message that came in.
    pub(crate) fn show_received(&self, message: &Message<'_>) {
        let Message { msg_type, message_seq, body } = *message;
        let whole =
            TracedMessage::Handshake { msg_type, message_seq, length: body.len(), fragment_offset: 0, fragment: body };
        self.show(Direction::Receiving, whole);
    }

    /// Shows what is in a record of a flight of ours.
    pub(crate) fn show_sent(&self, content_type: ContentType, content: &[u8]) {
        let Self::On(observer) = self else { return };
        if content_type == ContentType::CHANGE_CIPHER_SPEC {
            return observer(Direction::Sending, TracedMessage::ChangeCipherSpec);
        }
        let mut r = Reader::new(content);
        while let Ok(Fragment { header, body }) = Fragment::read(&mut r) {
            let fragment = TracedMessage::Handshake {
                msg_type: header.msg_type,
                message_seq: header.message_seq,
                length: header.length,
                fragment_offset: header.fragment_offset,
                fragment: body,
            };
            observer(Direction::Sending, fragment);
        }
    }

    /// Shows an alert.
    pub(crate) fn show_alert(&self, direction: Direction, alert: Alert) {
        self.show(direction, TracedMessage::Alert { level: alert.level.0, description: alert.description });
    }
}

impl fmt::Debug for MessageTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::On(_) => "On(..)",
        })
    }
}
