//! What follows a handshake: KeyUpdate and NewSessionTicket (RFC 8446 §4.6, RFC 9147 §8, RFC 5077 §3.3).

use super::codec::{Malformed, Put, Reader};
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

/// A DTLS 1.2 NewSessionTicket (RFC 5077 §3.3). The ticket may be empty, which is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewSessionTicket12<'a> {
    /// Seconds; 0: unspecified.
    pub(crate) lifetime_hint: u32,
    pub(crate) ticket: &'a [u8],
}

impl<'a> NewSessionTicket12<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let message = Self { lifetime_hint: r.u32()?, ticket: r.vec16()? };
        r.finish()?;
        Ok(message)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ticket.len().saturating_add(6));
        out.put(&self.lifetime_hint.to_be_bytes());
        out.put_vec::<2>(|out| out.put(self.ticket));
        out
    }
}

/// A DTLS 1.3 NewSessionTicket (RFC 8446 §4.6.1). Its extensions are of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewSessionTicket13<'a> {
    /// Seconds.
    pub(crate) lifetime: u32,
    pub(crate) age_add: u32,
    pub(crate) nonce: &'a [u8],
    pub(crate) ticket: &'a [u8],
}

impl<'a> NewSessionTicket13<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let message = Self { lifetime: r.u32()?, age_add: r.u32()?, nonce: r.vec8()?, ticket: r.vec16()? };
        Extensions::read(&mut r)?;
        r.finish()?;
        if message.ticket.is_empty() { Err(Malformed::BadLength) } else { Ok(message) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ticket.len().saturating_add(32));
        out.put(&self.lifetime.to_be_bytes());
        out.put(&self.age_add.to_be_bytes());
        out.put_vec::<1>(|out| out.put(self.nonce));
        out.put_vec::<2>(|out| out.put(self.ticket));
        out.put_vec::<2>(|_| ());
        out
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
    fn tickets_of_1_2_may_be_empty() {
        let ticket = [0, 0, 1, 2, 0, 1, 7];
        let read = NewSessionTicket12::read(&ticket).unwrap();
        assert_eq!(read, NewSessionTicket12 { lifetime_hint: 258, ticket: &[7] });
        assert_eq!(read.encode(), ticket);
        for end in 0..ticket.len() {
            assert!(NewSessionTicket12::read(&ticket[..end]).is_err(), "cut at {end}");
        }
        assert!(NewSessionTicket12::read(&[0, 0, 1, 2, 0, 1, 7, 8]).is_err());
        assert!(NewSessionTicket12::read(&[0; 6]).unwrap().ticket.is_empty());
    }

    #[test]
    fn tickets_must_not_be_empty() {
        let ticket = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 0];
        let read = NewSessionTicket13::read(&ticket).unwrap();
        assert_eq!(read, NewSessionTicket13 { lifetime: 1, age_add: 2, nonce: &[9], ticket: &[7] });
        assert_eq!(read.encode(), ticket);
        for end in 0..ticket.len() {
            assert!(NewSessionTicket13::read(&ticket[..end]).is_err(), "cut at {end}");
        }
        let empty = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 0, 0, 0];
        assert!(NewSessionTicket13::read(&empty).is_err());
    }
}
