//! The PRF of DTLS 1.2 (RFC 5246 §5). Knows no message and no state: [`Prf`] is the provider's, guarded here against
//! the inputs that it may panic on.

use super::suites::AeadAlgorithm;
use crate::error::Error;
use rustls::crypto::tls12::Prf;

/// Octets of `verify_data` in DTLS 1.2 with every suite of ours (RFC 5246 §7.4.9).
pub(crate) const VERIFY_DATA_LEN: usize = 12;

/// Octets of a master secret (RFC 5246 §8.1).
pub(crate) const MASTER_SECRET_LEN: usize = 48;

/// How a master secret came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derivation {
    /// From the hash of the handshake (RFC 7627 §4).
    Extended,
    /// From the randoms alone (RFC 5246 §8.1): not bound to the handshake, so nothing may be exported
    /// (RFC 7627 §5.4).
    Legacy,
}

/// PRF(secret, label, seed), as many octets as `out` has. Fails for an empty secret, and for less than two octets of
/// label and seed together.
pub(crate) fn expand(prf: &dyn Prf, secret: &[u8], label: &[u8], seed: &[u8], out: &mut [u8]) -> Result<(), Error> {
    // "P_<hash>(secret, label + seed)": where the one ends and the other begins does not count, but providers refuse an
    // empty label.
    let (label, seed) = match label.is_empty() {
        true => seed.split_at_checked(1).ok_or(Error::Provider)?,
        false => (label, seed),
    };
    if secret.is_empty() || seed.is_empty() {
        return Err(Error::Provider);
    }
    if !out.is_empty() {
        prf.for_secret(out, secret, label, seed);
    }
    Ok(())
}

/// The most octets of key block that a suite of ours needs: two keys of 32 and two IVs of 12.
pub(crate) const MAX_KEY_BLOCK_LEN: usize = 88;

/// Octets of key block that a suite with this AEAD needs (RFC 5246 §6.3): no MAC keys, two keys, two IVs.
pub(crate) const fn key_block_len(aead: AeadAlgorithm) -> usize {
    aead.key_len().saturating_add(aead.fixed_iv_len()).saturating_mul(2)
}
