//! What must hold once the handshake is complete: the runner's expectations, and those that hold without a flag.

use crate::Failure;
use crate::arguments::{Role, Settings};
use std::fmt::Debug;
use udtls::{ClientHello, Direction, HandshakeKind, Negotiated, TracedMessage};

/// What a client offered, beside what was agreed on, and what was chosen of our own.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// The application protocols, as they stand on the wire.
    pub(crate) protocols: Vec<u8>,
    /// The place of the credential that was chosen, as the runner counts.
    pub(crate) credential: Option<i64>,
    /// What was said and heard, a line for each, to the peer's first alert: what answers it is no part of the case.
    trace: String,
    ended: bool,
}

impl Offered {
    pub(crate) fn note(&mut self, hello: &ClientHello<'_>) {
        self.protocols.clear();
        for name in hello.alpn_protocols() {
            self.protocols.push(u8::try_from(name.len()).expect("the length was one octet on the wire"));
            self.protocols.extend_from_slice(name);
        }
    }

    pub(crate) fn trace(&mut self, direction: Direction, message: TracedMessage<'_>) {
        if self.ended {
            return;
        }
        let verb = match direction {
            Direction::Sending => "write",
            _ => "read",
        };
        let what = match message {
            TracedMessage::Handshake { msg_type, .. } => format!("hs {}", u8::from(msg_type)),
            TracedMessage::ChangeCipherSpec => "ccs".to_owned(),
            TracedMessage::Alert { level, description } => format!("alert {level} {}", u8::from(description)),
            TracedMessage::Ack { .. } => "ack".to_owned(),
            _ => "what the shim does not know".to_owned(),
        };
        self.trace.push_str(&format!("{verb} {what}\n"));
        self.ended = direction == Direction::Receiving && matches!(message, TracedMessage::Alert { .. });
    }

    /// At the end of the connection.
    pub(crate) fn check_trace(&self, settings: &Settings) -> Result<(), Failure> {
        match &settings.expected.trace {
            Some(expected) => equal("the trace", &self.trace, expected),
            None => Ok(()),
        }
    }
}

pub(crate) fn check(settings: &Settings, negotiated: &Negotiated, offered: &Offered) -> Result<(), Failure> {
    let expected = &settings.expected;
    let resumed = negotiated.handshake_kind() == HandshakeKind::Resumed;
    equal("resumption", resumed, expected.resumed)?;
    if expected.verify_result {
        let despite = negotiated.accepted_despite().is_some();
        equal("fault found by verification", despite, settings.verification.refuse)?;
    }
    if settings.role == Role::Client || settings.verification.certificate_required {
        equal("there is a peer certificate", !negotiated.peer_certificates().is_empty(), true)?;
    }
    let protocol = match settings.role {
        Role::Client => expected.protocol.as_deref(),
        Role::Server => settings.names.selected_protocol.as_deref(),
    };
    equal("application protocol", negotiated.alpn_protocol(), protocol)?;
    if let Some(expected) = expected.hello_retry_request {
        equal("HelloRetryRequest", negotiated.hello_retry_request(), expected)?;
    }
    // Nobody resolves a certificate where none is needed.
    if let (Some(protocols), false) = (&expected.offered_protocols, resumed) {
        equal("offered protocols", &offered.protocols, protocols)?;
    }
    if let Some(response) = &expected.ocsp_response {
        equal("OCSP response", negotiated.ocsp_response(), Some(response.as_slice()))?;
    }
    if let Some(list) = &expected.timestamps {
        let came: Vec<u8> = negotiated.signed_certificate_timestamps().flat_map(entry).collect();
        equal("timestamps", came.as_slice(), list.get(2..).unwrap_or_default())?;
    }
    if let (Some(credential), false) = (expected.credential, resumed) {
        equal("credential", offered.credential.unwrap_or(-1), credential)?;
    }
    if expected.server_name.is_some() {
        equal("server name", negotiated.server_name(), expected.server_name.as_deref())?;
    }
    Ok(())
}

/// A timestamp as it stands in its list.
fn entry(timestamp: &[u8]) -> Vec<u8> {
    [&u16::try_from(timestamp.len()).unwrap_or_default().to_be_bytes()[..], timestamp].concat()
}

fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Failed(format!("check of {what}: expected {expected:?}, found {found:?}")))
}
