//! Alerts (RFC 5246 §7.2, RFC 8446 §6).

use super::codec::{Malformed, Reader};
use super::enums::registry;
use std::fmt;

registry! {
    /// What an alert says (RFC 8446 §6, RFC 5246 §7.2, RFC 7301 §3.2).
    pub AlertDescription(u8) {
        /// The sender will send no more.
        CLOSE_NOTIFY = 0,
        /// A message arrived that has no place here.
        UNEXPECTED_MESSAGE = 10,
        /// A record could not be deprotected; DTLS discards such records instead (RFC 9147 §4.5.2).
        BAD_RECORD_MAC = 20,
        /// A record was longer than allowed.
        RECORD_OVERFLOW = 22,
        /// No acceptable set of parameters.
        HANDSHAKE_FAILURE = 40,
        /// A certificate was corrupt.
        BAD_CERTIFICATE = 42,
        /// A certificate of an unsupported type.
        UNSUPPORTED_CERTIFICATE = 43,
        /// A certificate was revoked.
        CERTIFICATE_REVOKED = 44,
        /// A certificate has expired or is not yet valid.
        CERTIFICATE_EXPIRED = 45,
        /// A certificate was unacceptable for another reason.
        CERTIFICATE_UNKNOWN = 46,
        /// A field was inconsistent or out of range.
        ILLEGAL_PARAMETER = 47,
        /// No trusted authority vouches for the certificate.
        UNKNOWN_CA = 48,
        /// Access was refused by policy.
        ACCESS_DENIED = 49,
        /// A message could not be decoded.
        DECODE_ERROR = 50,
        /// A signature or Finished did not verify.
        DECRYPT_ERROR = 51,
        /// Too many cid requests (RFC 9147 §9).
        TOO_MANY_CIDS_REQUESTED = 52,
        /// The version is recognised and refused.
        PROTOCOL_VERSION = 70,
        /// The parameters are less secure than required.
        INSUFFICIENT_SECURITY = 71,
        /// An error that is not the peer's fault.
        INTERNAL_ERROR = 80,
        /// An inappropriate retry (RFC 7507).
        INAPPROPRIATE_FALLBACK = 86,
        /// The user cancelled.
        USER_CANCELED = 90,
        /// Renegotiation is refused (RFC 5246 §7.2.2).
        NO_RENEGOTIATION = 100,
        /// An extension that must be there was not.
        MISSING_EXTENSION = 109,
        /// An extension that must not be there was.
        UNSUPPORTED_EXTENSION = 110,
        /// The server knows no such name.
        UNRECOGNIZED_NAME = 112,
        /// The stapled certificate status was invalid.
        BAD_CERTIFICATE_STATUS_RESPONSE = 113,
        /// No such pre-shared key.
        UNKNOWN_PSK_IDENTITY = 115,
        /// A client certificate is required (RFC 8446 §6.2).
        CERTIFICATE_REQUIRED = 116,
        /// An error with no code of its own (RFC 9846 §6.2).
        GENERAL_ERROR = 117,
        /// No common application protocol (RFC 7301 §3.2).
        NO_APPLICATION_PROTOCOL = 120,
    }
}

registry! {
    /// Alert levels (RFC 5246 §7.2); 1.3 ignores the level on receipt (RFC 8446 §6).
    pub(crate) AlertLevel(u8) {
        WARNING = 1,
        FATAL = 2,
    }
}

/// One alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) level: AlertLevel,
    pub(crate) description: AlertDescription,
}

impl Alert {
    /// Octets of an alert on the wire.
    pub(crate) const LEN: usize = 2;

    pub(crate) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let alert = Self { level: AlertLevel(r.u8()?), description: AlertDescription(r.u8()?) };
        r.finish()?;
        Ok(alert)
    }

    pub(crate) const fn encode(self) -> [u8; Self::LEN] {
        [self.level.0, self.description.0]
    }

    /// The alert for a description at its customary level: close_notify and user_canceled warn, all else is fatal
    /// (RFC 8446 §6).
    pub(crate) const fn new(description: AlertDescription) -> Self {
        let level = match description {
            AlertDescription::CLOSE_NOTIFY | AlertDescription::USER_CANCELED => AlertLevel::WARNING,
            _ => AlertLevel::FATAL,
        };
        Self { level, description }
    }
}
