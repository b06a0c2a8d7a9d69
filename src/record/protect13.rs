//! Record protection of DTLS 1.3 (RFC 9147 §4, §4.2.2, §4.2.3; RFC 8446 §5.2–5.4). Knows no replay window and no limit.

use super::context::Context;
use super::protection::{Failure, TRUNCATED, Unprotected, no_room, nonce};
use super::split::UnifiedHeader;
use crate::crypto::{
    aead::AeadKey,
    hkdf::record_keys,
    mask::MaskKey,
    secret::Secret,
    suites::{AeadAlgorithm, AeadLimits, Suite13},
};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ack::Epoch,
    enums::ContentType,
    record::{UNIFIED_HEADER_LEN, UnifiedFlags},
};
use rustls::crypto::tls13::Hkdf;
use zeroize::Zeroizing;

/// The keys of one direction of one epoch.
pub(super) struct Protection13 {
    aead: AeadAlgorithm,
    hkdf: &'static dyn Hkdf,
    /// From which the keys follow.
    secret: Secret,
    keys: Context<Box<Keys>>,
}

/// The keys, ready for use.
struct Keys {
    aead: AeadKey,
    iv: Zeroizing<[u8; AeadAlgorithm::NONCE_LEN]>,
    mask: MaskKey,
}

impl Protection13 {
    /// Octets in front of the payload of a record that we send.
    pub(super) const HEADER_LEN: usize = UNIFIED_HEADER_LEN;

    /// Octets behind it: the content type and the tag. The ciphertext is thus always long enough for the mask's sample
    /// without padding (RFC 9147 §4.2.3).
    pub(super) const TRAILER_LEN: usize = TYPE_LEN + AeadAlgorithm::TAG_LEN;

    pub(super) fn new(suite: &Suite13, secret: &Secret) -> Result<Self, Error> {
        let (aead, hkdf) = (suite.aead, suite.hkdf());
        let keys = Context::Ready(Keys::derive(hkdf, aead, secret)?);
        Ok(Self { aead, hkdf, secret: secret.clone(), keys })
    }

    /// Only the secret stays, until the next record.
    pub(super) fn rest(&mut self) {
        self.keys.discard();
    }

    #[cfg(test)]
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.keys, Context::Ready(_))
    }

    #[inline]
    fn keys(&mut self) -> Result<&Keys, Error> {
        let keys = self.keys.ready(|| Keys::derive(self.hkdf, self.aead, &self.secret));
        keys.map(AsRef::as_ref)
    }

    pub(super) const fn limits(&self) -> AeadLimits {
        self.aead.limits()
    }

    /// Opens a record in place; `raw` is all of it. Its number is the one nearest to `expected`.
    #[inline]
    pub(super) fn open<'d>(
        &mut self,
        header: UnifiedHeader,
        expected: u64,
        max: usize,
        raw: &'d mut [u8],
    ) -> Result<Unprotected<'d>, Failure> {
        let (head, sealed) = raw.split_at_mut_checked(header.len).ok_or(TRUNCATED)?;
        // Shorter than the sample: "as if they had failed deprotection" (RFC 9147 §4.2.3).
        let keys = self.keys().map_err(|_| Failure::Unready)?;
        let mask = keys.mask.mask(sealed).ok_or(Failure::Forged)?;
        let sequence = header.unmask(head, mask).ok_or(TRUNCATED)?.reconstruct(expected);
        let len = keys.aead.open(nonce(&keys.iv, sequence), head, sealed).ok_or(Failure::Forged)?;
        let inner = sealed.get_mut(..len).ok_or(Failure::Forged)?;
        let (content_type, payload) = strip_padding(inner, max).map_err(Failure::Misbehaved)?;
        Ok(Unprotected { content_type, sequence, payload })
    }

    /// Seals `record`, in which the payload stands between room for header and trailer.
    #[inline]
    pub(super) fn seal(
        &mut self,
        epoch: Epoch,
        sequence: u64,
        content_type: ContentType,
        record: &mut [u8],
    ) -> Result<(), Error> {
        let (header, sealed) = record.split_first_chunk_mut::<UNIFIED_HEADER_LEN>().ok_or_else(no_room)?;
        let [l0, l1] = u16::try_from(sealed.len()).map_err(|_| no_room())?.to_be_bytes();
        let [.., s0, s1] = sequence.to_be_bytes();
        let flags = UnifiedFlags::long(epoch.0);
        let (inner, tag) = sealed.split_last_chunk_mut().ok_or_else(no_room)?;
        *inner.last_mut().ok_or_else(no_room)? = content_type.0;
        // The header before its number is masked is the additional data (RFC 9147 §4).
        let keys = self.keys()?;
        keys.aead.seal(nonce(&keys.iv, sequence), &[flags.0, s0, s1, l0, l1], inner, tag)?;
        let [m0, m1] = keys.mask.mask(sealed).ok_or_else(no_room)?;
        *header = [flags.0, s0 ^ m0, s1 ^ m1, l0, l1];
        Ok(())
    }
}

impl Keys {
    fn derive(hkdf: &dyn Hkdf, aead: AeadAlgorithm, secret: &Secret) -> Result<Box<Self>, Error> {
        let keys = record_keys(hkdf, aead, secret)?;
        Ok(Box::new(Self {
            aead: AeadKey::new(aead, keys.key.as_ref())?,
            iv: Zeroizing::new(keys.iv),
            mask: MaskKey::new(aead, keys.sn_key.as_ref())?,
        }))
    }
}

/// Takes a DTLSInnerPlaintext apart: content ‖ type ‖ zeros (RFC 9147 §4, RFC 8446 §5.4).
#[inline]
fn strip_padding(inner: &mut [u8], max: usize) -> Result<(ContentType, &mut [u8]), PeerMisbehaved> {
    // Padding counts (RFC 8446 §5.4, RFC 8449 §4).
    if inner.len() > max.saturating_add(TYPE_LEN) {
        return Err(PeerMisbehaved::PlaintextTooLong);
    }
    let at = inner.iter().rposition(|octet| *octet != 0).ok_or(PeerMisbehaved::NoContentType)?;
    let (content, rest) = inner.split_at_mut_checked(at).ok_or(PeerMisbehaved::NoContentType)?;
    let content_type = *rest.first().ok_or(PeerMisbehaved::NoContentType)?;
    Ok((ContentType(content_type), content))
}

/// Octets of the content type.
const TYPE_LEN: usize = 1;
