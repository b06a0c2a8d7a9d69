//! The extension use_srtp and its protection profiles (RFC 5764 §4.1, RFC 7714 §14.2).

use super::codec::{Malformed, Put, Reader};
use super::enums::{ExtensionType, registry};
use super::extensions::{List16, put_extension};
use std::fmt;

registry! {
    /// How SRTP protects its packets with keys from a DTLS handshake (IANA "DTLS-SRTP Protection Profiles").
    pub SrtpProfile(u16) {
        /// AES-128 in counter mode, HMAC-SHA1 with a tag of 80 bits (RFC 5764 §4.1.2).
        SRTP_AES128_CM_HMAC_SHA1_80 = 0x0001,
        /// The same with a tag of 32 bits in SRTP, and 80 in SRTCP.
        SRTP_AES128_CM_HMAC_SHA1_32 = 0x0002,
        /// AES-128-GCM (RFC 7714 §14.2).
        SRTP_AEAD_AES_128_GCM = 0x0007,
        /// AES-256-GCM (RFC 7714 §14.2).
        SRTP_AEAD_AES_256_GCM = 0x0008,
    }
}

impl SrtpProfile {
    /// Octets of a master key and of a master salt, or `None` for a profile that is not known (RFC 5764 §4.1.2,
    /// RFC 7714 §14.2).
    pub(crate) const fn lengths(self) -> Option<(usize, usize)> {
        match self {
            Self::SRTP_AES128_CM_HMAC_SHA1_80 | Self::SRTP_AES128_CM_HMAC_SHA1_32 => Some((16, 14)),
            Self::SRTP_AEAD_AES_128_GCM => Some((16, 12)),
            Self::SRTP_AEAD_AES_256_GCM => Some((32, 12)),
            _ => None,
        }
    }
}

/// `UseSRTPData` (RFC 5764 §4.1.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct UseSrtp<'a> {
    pub(crate) profiles: List16<'a, SrtpProfile>,
    pub(crate) mki: &'a [u8],
}

impl<'a> UseSrtp<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { profiles: List16::read(r)?, mki: r.vec8()? })
    }

    /// Without an MKI.
    pub(crate) fn put(out: &mut Vec<u8>, profiles: &[SrtpProfile]) {
        put_extension(out, ExtensionType::USE_SRTP, |out| {
            out.put_vec::<2>(|out| profiles.iter().for_each(|profile| out.put_u16(profile.0)));
            out.put_u8(0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_mki() {
        let mut out = Vec::new();
        UseSrtp::put(&mut out, &[SrtpProfile::SRTP_AEAD_AES_128_GCM, SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_80]);
        assert_eq!(out, [0, 14, 0, 7, 0, 4, 0, 7, 0, 1, 0]);
        let read = |data| UseSrtp::read(&mut Reader::new(data));
        let with_mki = read(&[0, 2, 0, 7, 1, 9]).unwrap();
        assert_eq!((with_mki.profiles.iter().count(), with_mki.mki), (1, &[9][..]));
        assert!(read(&[0, 0, 0]).is_err() && read(&[0, 3, 0, 7, 0, 0]).is_err() && read(&[0, 2, 0, 7]).is_err());
    }
}
