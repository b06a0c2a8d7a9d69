//! The handshake header and its fragments (RFC 6347 §4.2.2, RFC 9147 §5.2).

use super::certificate::{CertificateRequest, DigitallySigned, read_certificate12};
use super::codec::{Malformed, Reader};
use super::enums::HandshakeType;
use super::hello::{ClientHello, ServerHello, read_hello_verify_request};
use super::key_exchange::{ServerKeyExchange, read_client_key_exchange};
use super::post_handshake::NewSessionTicket12;
use super::stapling::read_certificate_status_message;

/// Octets of a handshake header in DTLS.
pub(crate) const HANDSHAKE_HEADER_LEN: usize = 12;

/// One fragment of a handshake message: its header and the octets it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) header: FragmentHeader,
    pub(crate) body: &'a [u8],
}

/// The header of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentHeader {
    pub(crate) msg_type: HandshakeType,
    /// Length of the whole message's body.
    pub(crate) length: usize,
    pub(crate) message_seq: u16,
    pub(crate) fragment_offset: usize,
    pub(crate) fragment_length: usize,
}

impl<'a> Fragment<'a> {
    /// Reads the next fragment of a record; the range is within the message.
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let header = FragmentHeader {
            msg_type: HandshakeType(r.u8()?),
            length: r.u24()?,
            message_seq: r.u16()?,
            fragment_offset: r.u24()?,
            fragment_length: r.u24()?,
        };
        let end = header.fragment_offset.checked_add(header.fragment_length).ok_or(Malformed::BadFragment)?;
        if end > header.length {
            return Err(Malformed::BadFragment);
        }
        Ok(Self { header, body: r.take(header.fragment_length)? })
    }
}

impl FragmentHeader {
    pub(crate) fn encode(&self) -> [u8; HANDSHAKE_HEADER_LEN] {
        let u24 = |value: usize| {
            let [_, a, b, c] = u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
            [a, b, c]
        };
        let [l0, l1, l2] = u24(self.length);
        let [s0, s1] = self.message_seq.to_be_bytes();
        let [o0, o1, o2] = u24(self.fragment_offset);
        let [f0, f1, f2] = u24(self.fragment_length);
        [self.msg_type.0, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2]
    }
}

/// A whole handshake message, received or about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) msg_type: HandshakeType,
    pub(crate) message_seq: u16,
    pub(crate) body: &'a [u8],
}

impl Message<'_> {
    /// The header as if the message were sent in one fragment: what a DTLS 1.2 transcript hashes before the body
    /// (RFC 6347 §4.2.6), and what an outgoing message carries when it fits.
    pub(crate) fn header(&self) -> [u8; HANDSHAKE_HEADER_LEN] {
        let length = self.body.len();
        FragmentHeader {
            msg_type: self.msg_type,
            length,
            message_seq: self.message_seq,
            fragment_offset: 0,
            fragment_length: length,
        }
        .encode()
    }

    /// The TLS 1.3 header, which a DTLS 1.3 transcript hashes before the body (RFC 9147 §5.2).
    pub(crate) fn tls_header(&self) -> [u8; 4] {
        let [t, a, b, c, ..] = self.header();
        [t, a, b, c]
    }
}

/// A handshake message to be sent: type, number and body, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedMessage {
    pub(crate) msg_type: HandshakeType,
    pub(crate) message_seq: u16,
    pub(crate) body: Vec<u8>,
}

impl OwnedMessage {
    pub(crate) fn as_message(&self) -> Message<'_> {
        Message { msg_type: self.msg_type, message_seq: self.message_seq, body: &self.body }
    }
}

/// Whether messages of this type come in plaintext, in any version (RFC 5246 §7.4, RFC 6347 §4.3.2, RFC 8446 §4).
pub(crate) const fn comes_in_plaintext(msg_type: HandshakeType) -> bool {
    matches!(
        msg_type,
        HandshakeType::CLIENT_HELLO
            | HandshakeType::SERVER_HELLO
            | HandshakeType::HELLO_VERIFY_REQUEST
            | HandshakeType::NEW_SESSION_TICKET
            | HandshakeType::CERTIFICATE
            | HandshakeType::SERVER_KEY_EXCHANGE
            | HandshakeType::CERTIFICATE_REQUEST
            | HandshakeType::SERVER_HELLO_DONE
            | HandshakeType::CERTIFICATE_VERIFY
            | HandshakeType::CLIENT_KEY_EXCHANGE
            | HandshakeType::CERTIFICATE_STATUS
    )
}

/// Whether a message that came in plaintext decodes, whatever the state: what tells a genuine candidate from a forged
/// one before the handshake sees it (RFC 9147 §4.5.2). Types that never come in plaintext are left to the handshake.
pub(crate) fn check_plaintext(message: &Message<'_>) -> Result<(), Malformed> {
    let body = message.body;
    match message.msg_type {
        HandshakeType::CLIENT_HELLO => ClientHello::read(body).map(drop),
        HandshakeType::SERVER_HELLO => ServerHello::read(body).map(drop),
        HandshakeType::HELLO_VERIFY_REQUEST => read_hello_verify_request(body).map(drop),
        HandshakeType::NEW_SESSION_TICKET => NewSessionTicket12::read(body).map(drop),
        HandshakeType::CERTIFICATE => read_certificate12(body).map(drop),
        HandshakeType::SERVER_KEY_EXCHANGE => ServerKeyExchange::read(body).map(drop),
        HandshakeType::CERTIFICATE_STATUS => read_certificate_status_message(body).map(drop),
        HandshakeType::CERTIFICATE_REQUEST => CertificateRequest::read12(body).map(drop),
        HandshakeType::SERVER_HELLO_DONE if !body.is_empty() => Err(Malformed::TrailingData),
        HandshakeType::CLIENT_KEY_EXCHANGE => read_client_key_exchange(body).map(drop),
        HandshakeType::CERTIFICATE_VERIFY => DigitallySigned::read_certificate_verify(body).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_fragment_ranges_are_checked() {
        let mut bytes = FragmentHeader {
            msg_type: HandshakeType::FINISHED,
            length: 4,
            message_seq: 3,
            fragment_offset: 3,
            fragment_length: 2,
        }
        .encode()
        .to_vec();
        bytes.extend_from_slice(&[0, 0]);
        assert_eq!(Fragment::read(&mut Reader::new(&bytes)), Err(Malformed::BadFragment));
        bytes[8] = 2;
        assert!(Fragment::read(&mut Reader::new(&bytes)).is_ok());
        bytes.truncate(13);
        assert_eq!(Fragment::read(&mut Reader::new(&bytes)), Err(Malformed::Truncated));
    }
}
