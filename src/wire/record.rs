//! Record headers: the 13-octet form of DTLS 1.2 and of plaintext (RFC 6347 §4.1, RFC 9147 §4), and the unified
//! header of DTLS 1.3 ciphertexts (RFC 9147 §4, figure 3).

use super::codec::{Malformed, Reader};
use super::enums::{ContentType, ProtocolVersion};

/// Octets of the header of DTLSPlaintext and of every DTLS 1.2 record without a connection ID.
pub(crate) const PLAINTEXT_HEADER_LEN: usize = 13;

/// Octets of the unified header as udtls writes it: 16-bit sequence number, length present, no connection ID.
pub(crate) const UNIFIED_HEADER_LEN: usize = 5;

/// The longest plaintext of a record (RFC 8446 §5.1, RFC 5246 §6.2.1).
pub(crate) const MAX_PLAINTEXT_LEN: usize = 1 << 14;

/// Octets of content that a record may have in each direction (RFC 8449 §4, RFC 6066 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentLimits {
    pub(crate) send: u16,
    /// Of protected records; padding counts (RFC 8449 §4).
    pub(crate) receive: u16,
}

impl ContentLimits {
    /// What holds without any extension.
    pub(crate) const USUAL: Self = Self { send: 1 << 14, receive: 1 << 14 };
}

/// The highest sequence number of a record in DTLS 1.2 and plaintext: 48 bits (RFC 6347 §4.1).
pub(crate) const MAX_SEQUENCE_48: u64 = (1 << 48) - 1;

/// The header of DTLSPlaintext and of a DTLS 1.2 record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaintextHeader {
    pub(crate) content_type: ContentType,
    pub(crate) version: ProtocolVersion,
    pub(crate) epoch: u16,
    pub(crate) sequence_number: u64,
    pub(crate) length: u16,
}

impl PlaintextHeader {
    #[inline]
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            content_type: ContentType(r.u8()?),
            version: ProtocolVersion(r.u16()?),
            epoch: r.u16()?,
            sequence_number: r.u48()?,
            length: r.u16()?,
        })
    }

    #[inline]
    pub(crate) fn encode(&self) -> [u8; PLAINTEXT_HEADER_LEN] {
        let [v0, v1] = self.version.0.to_be_bytes();
        let [e0, e1] = self.epoch.to_be_bytes();
        let [_, _, s0, s1, s2, s3, s4, s5] = self.sequence_number.to_be_bytes();
        let [l0, l1] = self.length.to_be_bytes();
        [self.content_type.0, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1]
    }
}

/// The first octet of a unified header: `0 0 1 C S L E E` (RFC 9147 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnifiedFlags(pub(crate) u8);

impl UnifiedFlags {
    const FIXED: u8 = 0b0010_0000;
    const FIXED_MASK: u8 = 0b1110_0000;
    const CID: u8 = 0b0001_0000;
    const SEQUENCE_16: u8 = 0b0000_1000;
    const LENGTH: u8 = 0b0000_0100;
    const EPOCH_MASK: u8 = 0b0000_0011;

    /// `Some` if the first octet of a record announces a unified header.
    #[inline]
    pub(crate) const fn read(first: u8) -> Option<Self> {
        if first & Self::FIXED_MASK == Self::FIXED { Some(Self(first)) } else { None }
    }

    /// The flags udtls writes: no connection ID, 16-bit sequence number, length present.
    pub(crate) fn long(epoch: u16) -> Self {
        let [_, low] = epoch.to_be_bytes();
        Self(Self::FIXED | Self::SEQUENCE_16 | Self::LENGTH | (low & Self::EPOCH_MASK))
    }

    pub(crate) const fn has_cid(self) -> bool {
        self.0 & Self::CID != 0
    }

    pub(crate) const fn has_sequence_16(self) -> bool {
        self.0 & Self::SEQUENCE_16 != 0
    }

    pub(crate) const fn has_length(self) -> bool {
        self.0 & Self::LENGTH != 0
    }

    /// The two low bits of the epoch.
    pub(crate) const fn epoch_bits(self) -> u8 {
        self.0 & Self::EPOCH_MASK
    }

    /// Whether `epoch` has these two low bits.
    pub(crate) fn matches(self, epoch: u16) -> bool {
        let [_, low] = epoch.to_be_bytes();
        low & Self::EPOCH_MASK == self.epoch_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_header_round_trip() {
        let header = PlaintextHeader {
            content_type: ContentType::HANDSHAKE,
            version: ProtocolVersion::DTLS1_2,
            epoch: 1,
            sequence_number: 0x0102_0304_0506,
            length: 7,
        };
        let bytes = header.encode();
        assert_eq!(bytes, [22, 0xfe, 0xfd, 0, 1, 1, 2, 3, 4, 5, 6, 0, 7]);
        assert_eq!(PlaintextHeader::read(&mut Reader::new(&bytes)), Ok(header));
    }

    #[test]
    fn unified_flags_are_0x2c_to_0x2f() {
        assert_eq!(UnifiedFlags::long(2).0, 0x2e);
        assert_eq!(UnifiedFlags::long(7).0, 0x2f);
        assert!(UnifiedFlags::read(22).is_none());
        assert!(UnifiedFlags::read(0x3f).is_some_and(UnifiedFlags::has_cid));
    }
}
