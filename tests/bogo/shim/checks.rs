//! What must hold once the handshake is complete: the runner's expectations, and those that hold without a flag.

use crate::Failure;
use crate::arguments::{Role, Settings};
use crate::notes::Notes;
use std::fmt::Debug;
use udtls::{HandshakeKind, Negotiated};

pub(crate) fn check(settings: &Settings, negotiated: &Negotiated, notes: &Notes) -> Result<(), Failure> {
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
        equal("offered protocols", &notes.offered_protocols(), protocols)?;
    }
    if let Some(response) = &expected.ocsp_response {
        equal("OCSP response", negotiated.ocsp_response(), Some(response.as_slice()))?;
    }
    if let Some(list) = &expected.timestamps {
        let came: Vec<u8> = negotiated.signed_certificate_timestamps().flat_map(entry).collect();
        equal("timestamps", came.as_slice(), list.get(2..).unwrap_or_default())?;
    }
    if let (Some(credential), false) = (expected.credential, resumed) {
        equal("credential", notes.credential(), credential)?;
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

pub(crate) fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Failed(format!("check of {what}: expected {expected:?}, found {found:?}")))
}
