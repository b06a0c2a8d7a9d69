//! What follows a handshake: KeyUpdate and NewSessionTicket (RFC 8446 §4.6, RFC 9147 §8, RFC 5077 §3.3).

use super::codec::{Malformed, Reader};
use super::extensions::Extensions;

/// Whether the sender of a KeyUpdate asks for one in return (RFC 8446 §4.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum KeyUpdateRequest {
    /// Only the sender's keys change.
    NotRequested,
    /// The receiver is to change its own keys as well.
    Requested,
}

impl KeyUpdateRequest {
    /// Reads a whole KeyUpdate. `Ok(None)`: a value that the RFC answers with illegal_parameter.
    pub(crate) fn read(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut r = Reader::new(body);
        let value = r.u8()?;
        r.finish()?;
        Ok(match value {
            0 => Some(Self::NotRequested),
            1 => Some(Self::Requested),
            _ => None,
        })
    }

    pub(crate) const fn encode(self) -> [u8; 1] {
        match self {
            Self::NotRequested => [0],
            Self::Requested => [1],
        }
    }
}

/// A well-formed DTLS 1.3 NewSessionTicket (RFC 8446 §4.6.1). Sessions are not resumed, so nothing of it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSessionTicket13;

impl NewSessionTicket13 {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let (_lifetime, _age_add, _nonce) = (r.u32()?, r.u32()?, r.vec8()?);
        let ticket = r.vec16()?;
        Extensions::read(&mut r)?;
        r.finish()?;
        if ticket.is_empty() { Err(Malformed::BadLength) } else { Ok(Self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_update_values() {
        assert_eq!(KeyUpdateRequest::read(&[1]), Ok(Some(KeyUpdateRequest::Requested)));
        assert_eq!(KeyUpdateRequest::read(&[2]), Ok(None));
        assert_eq!(KeyUpdateRequest::read(&[0, 0]), Err(Malformed::TrailingData));
        assert_eq!(KeyUpdateRequest::read(&[]), Err(Malformed::Truncated));
    }

    #[test]
    fn tickets_must_not_be_empty() {
        let ticket = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 0];
        assert!(NewSessionTicket13::read(&ticket).is_ok());
        let empty = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 0, 0, 0];
        assert!(NewSessionTicket13::read(&empty).is_err());
    }
}
