//! Keys for SRTP (RFC 5764 §4.2).

use super::Handshake;
use crate::error::{ApiMisuse, Error};
use crate::wire::SrtpProfile;
use std::fmt;
use zeroize::Zeroizing;

/// Keys and salts of both directions of SRTP, from
/// [`Connection::srtp_keying_material`](crate::Connection::srtp_keying_material); wiped when dropped.
pub struct SrtpKeyingMaterial {
    profile: SrtpProfile,
    octets: Zeroizing<[u8; MAX_LEN]>,
    key_len: usize,
    salt_len: usize,
}

impl SrtpKeyingMaterial {
    fn export(handshake: &Handshake, profile: SrtpProfile) -> Result<Self, Error> {
        let (key_len, salt_len) = profile.lengths().ok_or(ApiMisuse::NoSrtpProfile)?;
        let mut octets = Zeroizing::new([0; MAX_LEN]);
        let len = key_len.saturating_add(salt_len).saturating_mul(2);
        let out = octets.get_mut(..len).ok_or(ApiMisuse::ExportTooLong)?;
        // "The per-association context value is empty" (RFC 5764 §4.2), which everyone takes to mean that there is none.
        handshake.export(LABEL, None, out)?;
        Ok(Self { profile, octets, key_len, salt_len })
    }

    /// The profile that they are for.
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// `client_write_SRTP_master_key`: of what the client sends.
    pub fn client_key(&self) -> &[u8] {
        self.part(0, self.key_len)
    }

    /// `server_write_SRTP_master_key`: of what the server sends.
    pub fn server_key(&self) -> &[u8] {
        self.part(self.key_len, self.key_len)
    }

    /// `client_write_SRTP_master_salt`.
    pub fn client_salt(&self) -> &[u8] {
        self.part(self.key_len.saturating_mul(2), self.salt_len)
    }

    /// `server_write_SRTP_master_salt`.
    pub fn server_salt(&self) -> &[u8] {
        self.part(self.key_len.saturating_mul(2).saturating_add(self.salt_len), self.salt_len)
    }

    /// All four in the order of RFC 5764 §4.2: client key, server key, client salt, server salt.
    pub fn as_bytes(&self) -> &[u8] {
        self.part(0, self.key_len.saturating_add(self.salt_len).saturating_mul(2))
    }

    fn part(&self, from: usize, len: usize) -> &[u8] {
        self.octets.get(from..from.saturating_add(len)).unwrap_or_default()
    }
}

impl fmt::Debug for SrtpKeyingMaterial {
    /// The profile alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeyingMaterial").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Handshake {
    /// Keying material for the profile that was agreed on (RFC 5764 §4.2).
    pub(crate) fn srtp_keying_material(&self, profile: SrtpProfile) -> Result<SrtpKeyingMaterial, Error> {
        SrtpKeyingMaterial::export(self, profile)
    }
}

/// The exporter's label (RFC 5764 §4.2).
const LABEL: &[u8] = b"EXTRACTOR-dtls_srtp";

/// Octets of two keys and two salts of the profile with the longest.
const MAX_LEN: usize = 2 * (32 + 12);
