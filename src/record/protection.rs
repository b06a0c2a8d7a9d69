//! The protection of one direction of one epoch, whatever the version: none, or one of the two kinds of keys. The one
//! file of this floor that tells versions apart. Knows no replay window and no limit.

use super::protect12::Protection12;
use super::protect13::Protection13;
use super::split::{HeaderForm, UnifiedHeader};
use crate::crypto::suites::{AeadAlgorithm, AeadLimits, TrafficKeys};
use crate::error::{Discard, Error, PeerMisbehaved};
use crate::wire::{
    ack::Epoch,
    enums::{ContentType, ProtocolVersion},
    record::{PLAINTEXT_HEADER_LEN, PlaintextHeader},
};

/// How records of one epoch are protected, in one direction.
pub(super) enum Protection {
    /// Epoch 0.
    Plaintext(PlaintextVersion),
    /// RFC 6347 §4.1.2.
    Dtls12(Protection12),
    /// RFC 9147 §4.
    Dtls13(Protection13),
}

/// A record without its protection.
pub(super) struct Unprotected<'d> {
    pub(super) content_type: ContentType,
    pub(super) sequence: u64,
    pub(super) payload: &'d mut [u8],
}

/// Why the protection of a record could not be removed.
pub(super) enum Failure {
    /// It does not belong here, and no key was asked.
    Discarded(Discard),
    /// It did not authenticate.
    Forged,
    /// It did, and its sender broke the protocol.
    Misbehaved(PeerMisbehaved),
    /// The key could not be made ready for use.
    Unready,
}

impl Protection {
    pub(super) fn new(keys: &TrafficKeys) -> Result<Self, Error> {
        Ok(match keys {
            TrafficKeys::Dtls12 { aead, key, fixed_iv } => Self::Dtls12(Protection12::new(*aead, key, fixed_iv)?),
            TrafficKeys::Dtls13 { suite, secret } => Self::Dtls13(Protection13::new(suite, secret)?),
        })
    }

    /// Gives back what the next record can have built again from the secret.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Plaintext(_) => {}
            Self::Dtls12(protection) => protection.rest(),
            Self::Dtls13(protection) => protection.rest(),
        }
    }

    #[cfg(test)]
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Plaintext(_) => false,
            Self::Dtls12(protection) => protection.is_ready(),
            Self::Dtls13(protection) => protection.is_ready(),
        }
    }

    /// The header that records have under this protection.
    pub(super) const fn form(&self) -> HeaderForm {
        match self {
            Self::Plaintext(_) | Self::Dtls12(_) => HeaderForm::Full,
            Self::Dtls13(_) => HeaderForm::Unified,
        }
    }

    /// Octets in front of the payload of a record that we send.
    #[inline]
    pub(super) fn header_len(&self) -> usize {
        match self {
            Self::Plaintext(_) => PLAINTEXT_HEADER_LEN,
            Self::Dtls12(protection) => protection.header_len(),
            Self::Dtls13(_) => Protection13::HEADER_LEN,
        }
    }

    /// Octets behind it.
    #[inline]
    pub(super) const fn trailer_len(&self) -> usize {
        match self {
            Self::Plaintext(_) => 0,
            Self::Dtls12(_) => Protection12::TRAILER_LEN,
            Self::Dtls13(_) => Protection13::TRAILER_LEN,
        }
    }

    pub(super) fn limits(&self) -> AeadLimits {
        match self {
            // There is no key to wear out.
            Self::Plaintext(_) => AeadLimits::NONE,
            Self::Dtls12(protection) => protection.limits(),
            Self::Dtls13(protection) => protection.limits(),
        }
    }

    /// Opens a record with the 13-octet header in place. `raw` is all of it.
    #[inline]
    pub(super) fn open_full<'d>(
        &mut self,
        header: &PlaintextHeader,
        max: usize,
        raw: &'d mut [u8],
    ) -> Result<Unprotected<'d>, Failure> {
        let (_, body) = raw.split_at_mut_checked(PLAINTEXT_HEADER_LEN).ok_or(TRUNCATED)?;
        let payload = match self {
            Self::Plaintext(_) => body,
            Self::Dtls12(protection) => protection.open(header, max, body)?,
            // After a switch to unified headers no other opens under keys (RFC 9147 §4.1).
            Self::Dtls13(_) => return Err(Failure::Discarded(Discard::UnknownEpoch)),
        };
        Ok(Unprotected { content_type: header.content_type, sequence: header.sequence_number, payload })
    }

    /// Opens a record with a unified header in place. `raw` is all of it; its number is taken to be near `expected`.
    #[inline]
    pub(super) fn open_unified<'d>(
        &mut self,
        header: UnifiedHeader,
        expected: u64,
        max: usize,
        raw: &'d mut [u8],
    ) -> Result<Unprotected<'d>, Failure> {
        match self {
            Self::Dtls13(protection) => protection.open(header, expected, max, raw),
            Self::Plaintext(_) | Self::Dtls12(_) => Err(Failure::Discarded(Discard::UnknownEpoch)),
        }
    }

    /// Makes `record` a record: its payload stands there already, between the room for what goes before and after.
    #[inline]
    pub(super) fn seal(
        &mut self,
        epoch: Epoch,
        sequence: u64,
        content_type: ContentType,
        record: &mut [u8],
    ) -> Result<(), Error> {
        match self {
            Self::Plaintext(version) => {
                let (header, body) = record.split_first_chunk_mut().ok_or_else(no_room)?;
                let sent = full_header(epoch, sequence, content_type, body.len())?;
                *header = PlaintextHeader { version: version.on_the_wire(), ..sent }.encode();
                Ok(())
            }
            Self::Dtls12(protection) => protection.seal(epoch, sequence, content_type, record),
            Self::Dtls13(protection) => protection.seal(epoch, sequence, content_type, record),
        }
    }
}

/// What our plaintext records say of the version; nobody may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaintextVersion {
    /// A ClientHello's before the version is agreed on, also one with the cookie of a HelloVerifyRequest: "for
    /// compatibility purposes" with servers and middleboxes that know no newer one (RFC 9147 §4).
    FirstHello,
    /// Everything else's.
    Usual,
}

impl PlaintextVersion {
    const fn on_the_wire(self) -> ProtocolVersion {
        match self {
            Self::FirstHello => ProtocolVersion::DTLS1_0,
            Self::Usual => ProtocolVersion::DTLS1_2,
        }
    }
}

/// The 13-octet header of a record that we send.
pub(super) fn full_header(
    epoch: Epoch,
    sequence_number: u64,
    content_type: ContentType,
    length: usize,
) -> Result<PlaintextHeader, Error> {
    let length = u16::try_from(length).map_err(|_| no_room())?;
    Ok(PlaintextHeader { content_type, version: ProtocolVersion::DTLS1_2, epoch: epoch.0, sequence_number, length })
}

/// The nonce of a record: its number, left-padded, XORed with the IV. The number is the 64-bit sequence number without the
/// epoch (RFC 8446 §5.3, RFC 9147 §4), or epoch and sequence number of 16 and 48 bits (RFC 7905 §2), before which an IV of 4
/// octets is a salt (RFC 5288 §3).
#[inline]
pub(super) fn nonce(iv: &[u8; AeadAlgorithm::NONCE_LEN], number: u64) -> [u8; AeadAlgorithm::NONCE_LEN] {
    // In one piece: octets written by twos and fours and read by eights wait for each other.
    let [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11] = *iv;
    let iv = u128::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11, 0, 0, 0, 0]);
    let [nonce @ .., _, _, _, _] = (iv ^ (u128::from(number) << 32)).to_be_bytes();
    nonce
}

/// The peer authenticated too long a plaintext (RFC 5246 §6.2.1, RFC 8449 §4).
pub(super) const fn check_plaintext_len(len: usize, max: usize) -> Result<(), Failure> {
    if len > max { Err(Failure::Misbehaved(PeerMisbehaved::PlaintextTooLong)) } else { Ok(()) }
}

/// A record shorter than its own header is never cut off a datagram.
pub(super) const TRUNCATED: Failure = Failure::Discarded(Discard::TruncatedRecord);

/// The room for a record is measured before it is sealed: never seen. A function, because an [`Error`] that is made
/// only to be dropped costs as much as a header.
pub(super) fn no_room() -> Error {
    Error::Provider
}
