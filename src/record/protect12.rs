//! Record protection of DTLS 1.2 with an AEAD (RFC 6347 §4.1.2, RFC 5246 §6.2.3.3, RFC 5288 §3, RFC 7905 §2). Knows no
//! replay window and no limit.

use super::context::Context;
use super::protection::{Failure, check_plaintext_len, full_header, no_room, nonce};
use crate::crypto::{
    aead::AeadKey,
    secret::Secret,
    suites::{AeadAlgorithm, AeadLimits},
};
use crate::error::{Discard, Error};
use crate::wire::{
    ack::Epoch,
    enums::{ContentType, ProtocolVersion},
    record::{PLAINTEXT_HEADER_LEN, PlaintextHeader},
};
use zeroize::Zeroizing;

/// The keys of one direction of one epoch.
pub(super) struct Protection12 {
    aead: AeadAlgorithm,
    secret: Secret,
    key: Context<AeadKey>,
    /// What the key block gives to the nonce, in front of zeroes: all of it that is to be XORed (RFC 7905 §2), or the
    /// salt before the part that travels (RFC 5288 §3).
    fixed_iv: Zeroizing<[u8; AeadAlgorithm::NONCE_LEN]>,
}

impl Protection12 {
    /// Octets behind the payload.
    pub(super) const TRAILER_LEN: usize = AeadAlgorithm::TAG_LEN;

    pub(super) fn new(aead: AeadAlgorithm, secret: &Secret, fixed_iv: &Secret) -> Result<Self, Error> {
        let (mut padded, fixed_iv) = (Zeroizing::new([0; AeadAlgorithm::NONCE_LEN]), fixed_iv.as_ref());
        match padded.get_mut(..aead.fixed_iv_len()) {
            Some(front) if front.len() == fixed_iv.len() => front.copy_from_slice(fixed_iv),
            _ => return Err(Error::Provider),
        }
        let key = Context::Ready(AeadKey::new(aead, secret.as_ref())?);
        Ok(Self { aead, secret: secret.clone(), key, fixed_iv: padded })
    }

    /// Only the secret stays, until the next record.
    pub(super) fn rest(&mut self) {
        self.key.discard();
    }

    #[cfg(test)]
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.key, Context::Ready(_))
    }

    #[inline]
    fn key(&mut self) -> Result<&AeadKey, Error> {
        self.key.ready(|| AeadKey::new(self.aead, self.secret.as_ref()))
    }

    /// Octets in front of the payload: the header, and the explicit part of the nonce.
    #[inline]
    pub(super) fn header_len(&self) -> usize {
        PLAINTEXT_HEADER_LEN.saturating_add(self.aead.explicit_nonce_len())
    }

    pub(super) const fn limits(&self) -> AeadLimits {
        self.aead.limits()
    }

    /// Opens the body of a record in place.
    #[inline]
    pub(super) fn open<'d>(
        &mut self,
        header: &PlaintextHeader,
        max: usize,
        body: &'d mut [u8],
    ) -> Result<&'d mut [u8], Failure> {
        if header.version != ProtocolVersion::DTLS1_2 {
            return Err(Failure::Discarded(Discard::UnknownVersion));
        }
        let (explicit, sealed) = body.split_at_mut_checked(self.aead.explicit_nonce_len()).ok_or(Failure::Forged)?;
        let len = sealed.len().checked_sub(AeadAlgorithm::TAG_LEN).ok_or(Failure::Forged)?;
        let len = u16::try_from(len).map_err(|_| Failure::Forged)?;
        // What travels counts: a peer may have made it otherwise than we do.
        let place = explicit.first_chunk().map_or_else(|| place(header), |sent| u64::from_be_bytes(*sent));
        let additional_data = additional_data(&PlaintextHeader { length: len, ..*header });
        // What travels is epoch and sequence number, or what the peer sent in their stead. Ours are never random, so no
        // nonce is used twice (RFC 5288 §3).
        let nonce = nonce(&self.fixed_iv, place);
        let key = self.key().map_err(|_| Failure::Unready)?;
        let len = key.open(nonce, &additional_data, sealed).ok_or(Failure::Forged)?;
        check_plaintext_len(len, max)?;
        sealed.get_mut(..len).ok_or(Failure::Forged)
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
        let (header, body) = record.split_first_chunk_mut().ok_or_else(no_room)?;
        let on_the_wire = full_header(epoch, sequence, content_type, body.len())?;
        *header = on_the_wire.encode();
        let place = place(&on_the_wire);
        let (explicit, sealed) = body.split_at_mut_checked(self.aead.explicit_nonce_len()).ok_or_else(no_room)?;
        if let Some(explicit) = explicit.first_chunk_mut() {
            *explicit = place.to_be_bytes();
        }
        let (payload, tag) = sealed.split_last_chunk_mut().ok_or_else(no_room)?;
        let length = u16::try_from(payload.len()).map_err(|_| no_room())?;
        let additional_data = additional_data(&PlaintextHeader { length, ..on_the_wire });
        let nonce = nonce(&self.fixed_iv, place);
        self.key()?.seal(nonce, &additional_data, payload, tag)
    }
}

/// Epoch and sequence number, as in the header (RFC 6347 §4.1.2.1).
fn place(header: &PlaintextHeader) -> u64 {
    (u64::from(header.epoch) << 48) | header.sequence_number
}

/// epoch ‖ sequence number ‖ type ‖ version ‖ length of the *plaintext* (RFC 5246 §6.2.3.3, RFC 6347 §4.1.2.1).
fn additional_data(header: &PlaintextHeader) -> [u8; PLAINTEXT_HEADER_LEN] {
    let rest =
        (u64::from(header.content_type.0) << 32) | (u64::from(header.version.0) << 16) | u64::from(header.length);
    let [additional_data @ .., _, _, _] = ((u128::from(place(header)) << 64) | (u128::from(rest) << 24)).to_be_bytes();
    additional_data
}
