//! Record number encryption of DTLS 1.3 (RFC 9147 §4.2.3). Knows no header: a sample of ciphertext goes in, a mask
//! comes out.

use super::suites::AeadAlgorithm;
use crate::error::Error;
use aws_lc_rs::aead::quic::{AES_128, AES_256, CHACHA20, HeaderProtectionKey};
use std::fmt;

/// The key that masks the record numbers of one direction of one epoch (`sn_key`).
pub(crate) struct MaskKey {
    key: HeaderProtectionKey,
}

impl MaskKey {
    /// Octets of ciphertext that the mask depends on: a record needs at least as many (RFC 9147 §4.2.3).
    pub(crate) const SAMPLE_LEN: usize = 16;

    /// Fails if `key` is not [`AeadAlgorithm::key_len`] octets long.
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, Error> {
        let algorithm = match algorithm {
            AeadAlgorithm::Aes128Gcm => &AES_128,
            AeadAlgorithm::Aes256Gcm => &AES_256,
            AeadAlgorithm::ChaCha20Poly1305 => &CHACHA20,
        };
        Ok(Self { key: HeaderProtectionKey::new(algorithm, key).map_err(|_| Error::Provider)? })
    }

    /// The mask for a record whose ciphertext begins with `sample`; further octets are ignored. The first octet serves
    /// an 8-bit number, both a 16-bit one. `None` if there are fewer than [`Self::SAMPLE_LEN`] octets.
    #[inline]
    pub(crate) fn mask(&self, sample: &[u8]) -> Option<[u8; 2]> {
        let sample = sample.first_chunk::<{ Self::SAMPLE_LEN }>()?;
        self.key.new_mask(sample).ok()?.first_chunk::<2>().copied()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(..)")
    }
}
