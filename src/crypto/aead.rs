//! The AEAD of one direction of one epoch. Knows no header and no record number: the nonce and the additional data are
//! handed in (RFC 5116 §2; nonces: RFC 5288 §3, RFC 7905 §2, RFC 8446 §5.3).

use super::suites::AeadAlgorithm;
use crate::error::Error;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::fmt;

/// A key ready for use; whoever holds it sees to it that no nonce is used twice.
pub(crate) struct AeadKey {
    key: LessSafeKey,
}

impl AeadKey {
    /// Fails if `key` is not [`AeadAlgorithm::key_len`] octets long.
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, Error> {
        let algorithm = match algorithm {
            AeadAlgorithm::Aes128Gcm => &AES_128_GCM,
            AeadAlgorithm::Aes256Gcm => &AES_256_GCM,
            AeadAlgorithm::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::Provider)?;
        Ok(Self { key: LessSafeKey::new(key) })
    }

    /// Encrypts `in_out` in place and writes the tag.
    #[inline]
    pub(crate) fn seal(
        &self,
        nonce: [u8; AeadAlgorithm::NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
        tag: &mut [u8; AeadAlgorithm::TAG_LEN],
    ) -> Result<(), Error> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_scatter(nonce, Aad::from(aad), in_out, &[], tag).map_err(|_| Error::Provider)
    }

    /// Opens `in_out`, a ciphertext followed by its tag, in place; the plaintext's length, or `None` if it does not
    /// authenticate. What `in_out` holds then is not to be used.
    #[inline]
    pub(crate) fn open(&self, nonce: [u8; AeadAlgorithm::NONCE_LEN], aad: &[u8], in_out: &mut [u8]) -> Option<usize> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, Aad::from(aad), in_out).ok().map(|plaintext| plaintext.len())
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}
