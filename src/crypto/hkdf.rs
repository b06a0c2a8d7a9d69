//! HKDF-Expand-Label and the record keys of DTLS 1.3. Knows no transcript and no stage of the key schedule.
//!
//! RFC 8446 §7.1 and §7.3, with the label prefix of RFC 9147 §5.9; `sn_key` is RFC 9147 §4.2.3.

use super::secret::Secret;
use super::suites::AeadAlgorithm;
use crate::error::Error;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What stands before every label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelPrefix {
    /// `"dtls13"`, without a space (RFC 9147 §5.9).
    Dtls,
    /// `"tls13 "` (RFC 8446 §7.1): published vectors use it.
    #[cfg(test)]
    Tls,
}

impl LabelPrefix {
    const fn octets(self) -> &'static [u8] {
        match self {
            Self::Dtls => b"dtls13",
            #[cfg(test)]
            Self::Tls => b"tls13 ",
        }
    }
}

/// The inputs of record protection, derived from a traffic secret. Wiped when dropped; `Debug` prints nothing of them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct RecordKeys {
    /// `[sender]_write_key`
    pub(crate) key: Secret,
    /// `[sender]_write_iv`, [`AeadAlgorithm::NONCE_LEN`] octets.
    pub(crate) iv: [u8; AeadAlgorithm::NONCE_LEN],
    /// `[sender]_sn_key`
    pub(crate) sn_key: Secret,
}

impl fmt::Debug for RecordKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKeys(..)")
    }
}

/// Key, IV and record number key of a traffic secret (RFC 8446 §7.3, RFC 9147 §4.2.3).
pub(crate) fn record_keys(hkdf: &dyn Hkdf, aead: AeadAlgorithm, secret: &Secret) -> Result<RecordKeys, Error> {
    let expander = expander(hkdf, secret);
    let expand = |label: &[u8], out: &mut [u8]| expand_label(&*expander, LabelPrefix::Dtls, label, &[], out);
    let key_len = aead.key_len();
    let mut iv = Zeroizing::new([0; AeadAlgorithm::NONCE_LEN]);
    expand(b"iv", &mut *iv)?;
    Ok(RecordKeys {
        key: Secret::derive(key_len, |out| expand(b"key", out))?,
        iv: *iv,
        sn_key: Secret::derive(key_len, |out| expand(b"sn", out))?,
    })
}

/// `secret` as the key of HKDF-Expand.
pub(crate) fn expander(hkdf: &dyn Hkdf, secret: &Secret) -> Box<dyn HkdfExpander> {
    // An `OkmBlock` holds as many octets as a `Secret` may.
    hkdf.expander_for_okm(&OkmBlock::new(secret.as_ref()))
}

/// HKDF-Expand-Label(secret, label, context, out.len()) of RFC 8446 §7.1. Fails for what `HkdfLabel` cannot hold.
pub(crate) fn expand_label(
    expander: &dyn HkdfExpander,
    prefix: LabelPrefix,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<(), Error> {
    let prefix = prefix.octets();
    let length = u16::try_from(out.len()).map_err(|_| Error::Provider)?;
    let label_len = u8::try_from(prefix.len().saturating_add(label.len())).map_err(|_| Error::Provider)?;
    let context_len = u8::try_from(context.len()).map_err(|_| Error::Provider)?;
    let info: [&[u8]; 6] = [&length.to_be_bytes(), &[label_len], prefix, label, &[context_len], context];
    expander.expand_slice(&info, out).map_err(|_| Error::Provider)
}

/// Octets of a label that still fit behind a prefix of 6.
pub(crate) const MAX_LABEL_LEN: usize = 249;

const _: () = assert!(OkmBlock::MAX_LEN >= Secret::MAX_LEN);
