//! What comes to the shim's knowledge during a handshake and is asked for by a check after it.

use std::sync::{Arc, Mutex, MutexGuard};
use udtls::{ClientHello, Direction, TracedMessage};

/// Of one connection, shared by all who note something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// The application protocols that the client offered, as they stand on the wire.
    protocols: Vec<u8>,
    credential: Option<i64>,
    /// What was said and heard, a line for each, to the peer's first alert: what answers it is no part of the case.
    trace: String,
    ended: bool,
}

impl Notes {
    pub(crate) fn note_hello(&self, hello: &ClientHello<'_>) {
        let mut noted = self.noted();
        noted.protocols.clear();
        for name in hello.alpn_protocols() {
            noted.protocols.push(u8::try_from(name.len()).expect("the length was one octet on the wire"));
            noted.protocols.extend_from_slice(name);
        }
    }

    /// A key was asked to sign.
    pub(crate) fn note_credential(&self, place: i64) {
        self.noted().credential = Some(place);
    }

    pub(crate) fn note_message(&self, direction: Direction, message: TracedMessage<'_>) {
        let mut noted = self.noted();
        if noted.ended {
            return;
        }
        let verb = if direction == Direction::Sending { "write" } else { "read" };
        let what = match message {
            TracedMessage::Handshake { msg_type, .. } => format!("hs {}", u8::from(msg_type)),
            TracedMessage::ChangeCipherSpec => "ccs".to_owned(),
            TracedMessage::Alert { level, description } => format!("alert {level} {}", u8::from(description)),
            TracedMessage::Ack { .. } => "ack".to_owned(),
            _ => "what the shim does not know".to_owned(),
        };
        noted.trace.push_str(&format!("{verb} {what}\n"));
        noted.ended = direction == Direction::Receiving && matches!(message, TracedMessage::Alert { .. });
    }

    pub(crate) fn offered_protocols(&self) -> Vec<u8> {
        self.noted().protocols.clone()
    }

    /// The place of the credential that was chosen, as the runner counts: -1 for the default one, and for none.
    pub(crate) fn credential(&self) -> i64 {
        self.noted().credential.unwrap_or(-1)
    }

    pub(crate) fn trace(&self) -> String {
        self.noted().trace.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().expect("nobody panics while holding it")
    }
}
