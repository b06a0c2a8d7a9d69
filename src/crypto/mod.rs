//! Floor 1: what the protocol needs from cryptography. Knows no message, no state and no record.
//!
//! Groups, hashes, HKDF, PRF, signing and randomness come from a rustls [`CryptoProvider`]; the AEAD and the record
//! number mask are aws-lc-rs' own, because rustls' are bound to TLS records. This file is the seam to the provider:
//! randomness and key exchange (RFC 8446 §4.2.8, RFC 8422 §5, draft-ietf-tls-ecdhe-mlkem).

pub(crate) mod aead;
pub(crate) mod hkdf;
pub(crate) mod mask;
pub(crate) mod prf;
pub(crate) mod secret;
pub(crate) mod suites;

use crate::error::{Error, PeerMisbehaved};
use crate::wire::{CipherSuite, NamedGroup, SignatureScheme};
use rustls::crypto::tls12::Prf;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use std::fmt;
use zeroize::Zeroizing;

/// One of the two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// The end that sends the ClientHello.
    Client,
    /// The end that answers it.
    Server,
}

#[cfg(test)]
impl Role {
    /// The other end.
    pub(crate) const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// `N` octets from the provider's source of randomness.
pub(crate) fn random<const N: usize>(provider: &CryptoProvider) -> Result<[u8; N], Error> {
    let mut octets = [0; N];
    provider.secure_random.fill(&mut octets).map_err(|_| Error::Provider)?;
    Ok(octets)
}

/// The same for a secret, written where it is kept.
pub(crate) fn random_secret<const N: usize>(provider: &CryptoProvider) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut octets = Zeroizing::new([0; N]);
    provider.secure_random.fill(&mut *octets).map_err(|_| Error::Provider)?;
    Ok(octets)
}

/// The provider's implementation of `group`, if it has one.
#[cfg(test)]
pub(crate) fn find_group(provider: &CryptoProvider, group: NamedGroup) -> Option<&'static dyn SupportedKxGroup> {
    provider.kx_groups.iter().copied().find(|candidate| group_of(*candidate) == group)
}

/// The name of a provider's group.
pub(crate) fn group_of(group: &dyn SupportedKxGroup) -> NamedGroup {
    group.name().into()
}

/// Whether both are the same, without telling by the time it takes where they differ.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// A key exchange of ours that waits for the peer's share: an ephemeral key pair, used once.
pub(crate) struct KeyExchange {
    active: Box<dyn ActiveKeyExchange>,
}

impl KeyExchange {
    /// Draws a key pair.
    pub(crate) fn start(group: &'static dyn SupportedKxGroup) -> Result<Self, Error> {
        Ok(Self { active: group.start().map_err(|_| Error::Provider)? })
    }

    /// The group of [`Self::public_key`].
    pub(crate) fn group(&self) -> NamedGroup {
        self.active.group().into()
    }

    /// Our share, as it stands in a KeyShareEntry (RFC 8446 §4.2.8) or an ECPoint (RFC 8422 §5.4).
    pub(crate) fn public_key(&self) -> &[u8] {
        self.active.pub_key()
    }

    /// The classical half of a hybrid, which may be offered as a share of its own: no further key pair is needed.
    pub(crate) fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        self.active.hybrid_component().map(|(group, share)| (group.into(), share))
    }

    /// The shared secret. `selected` is the group of the peer's share: ours, or that of
    /// [`Self::hybrid_component`]; `share` is what `peer` sent.
    pub(crate) fn complete(self, selected: NamedGroup, peer: Role, share: &[u8]) -> Result<SharedSecret, Error> {
        check_share(selected, peer, share)?;
        if selected == self.group() {
            return self.active.complete(share).map_err(map_key_exchange_error);
        }
        match self.active.hybrid_component() {
            Some((component, _)) if NamedGroup::from(component) == selected => {
                self.active.complete_hybrid_component(share).map_err(map_key_exchange_error)
            }
            _ => Err(PeerMisbehaved::KeyShareGroupMismatch.into()),
        }
    }

    /// PRF(shared secret, label, seed) of DTLS 1.2 (RFC 5246 §8.1, RFC 7627 §4): the provider may keep the shared
    /// secret to itself.
    pub(crate) fn complete_into_prf(
        self,
        peer: (Role, &[u8]),
        prf: &dyn Prf,
        label: &[u8],
        seed: &[u8],
        out: &mut [u8; prf::MASTER_SECRET_LEN],
    ) -> Result<(), Error> {
        let (role, share) = peer;
        check_share(self.group(), role, share)?;
        prf.for_key_exchange(out, self.active, share, label, seed).map_err(map_key_exchange_error)
    }
}

#[cfg(test)]
impl KeyExchange {
    /// A key exchange whose outcome the test knows.
    pub(crate) fn from_active(active: Box<dyn ActiveKeyExchange>) -> Self {
        Self { active }
    }
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyExchange").field(&self.group()).finish()
    }
}

/// The server's whole part of a key exchange of DTLS 1.3: from the client's share to ours and the shared secret.
/// In a hybrid the two depend on each other, so they are made in one step.
pub(crate) fn start_and_complete(
    group: &'static dyn SupportedKxGroup,
    client_share: &[u8],
) -> Result<CompletedKeyExchange, Error> {
    check_share(group_of(group), Role::Client, client_share)?;
    group.start_and_complete(client_share).map_err(map_key_exchange_error)
}

/// Checks length and form of a share before the provider sees it (RFC 8446 §4.2.8.2, RFC 8422 §5.11,
/// draft-ietf-tls-ecdhe-mlkem §4.1). That a point is on its curve and that X25519 does not yield zero
/// (RFC 8446 §7.4.2) is the provider's business; so is a group that is not in this table.
pub(crate) fn check_share(group: NamedGroup, sender: Role, share: &[u8]) -> Result<(), Error> {
    let (expected, point) = match (group, sender) {
        (NamedGroup::SECP256R1, _) => (P256_LEN, Point::First),
        (NamedGroup::SECP384R1, _) => (97, Point::First),
        (NamedGroup::SECP521R1, _) => (133, Point::First),
        (NamedGroup::X25519, _) => (X25519_LEN, Point::None),
        (NamedGroup::X25519MLKEM768, Role::Client) => (MLKEM768_KEY_LEN.saturating_add(X25519_LEN), Point::None),
        (NamedGroup::X25519MLKEM768, Role::Server) => (MLKEM768_CIPHERTEXT_LEN.saturating_add(X25519_LEN), Point::None),
        (NamedGroup::SECP256R1MLKEM768, Role::Client) => (P256_LEN.saturating_add(MLKEM768_KEY_LEN), Point::First),
        (NamedGroup::SECP256R1MLKEM768, Role::Server) => {
            (P256_LEN.saturating_add(MLKEM768_CIPHERTEXT_LEN), Point::First)
        }
        _ => return Ok(()),
    };
    let form = point == Point::None || share.first() == Some(&UNCOMPRESSED);
    if share.len() == expected && form { Ok(()) } else { Err(PeerMisbehaved::BadKeyShare.into()) }
}

/// Whether a share begins with an UncompressedPointRepresentation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Point {
    None,
    First,
}

/// `legacy_form` of the only point format there is (RFC 8446 §4.2.8.2).
const UNCOMPRESSED: u8 = 4;
/// Form octet and two coordinates.
const P256_LEN: usize = 65;
/// RFC 7748 §5.
const X25519_LEN: usize = 32;
/// Octets of an ML-KEM-768 encapsulation key (FIPS 203 §8).
const MLKEM768_KEY_LEN: usize = 1184;
/// Octets of an ML-KEM-768 ciphertext (FIPS 203 §8).
const MLKEM768_CIPHERTEXT_LEN: usize = 1088;

/// Once our key pair exists, nothing but the peer's share is left to blame, or the provider's randomness.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn map_key_exchange_error(error: rustls::Error) -> Error {
    match error {
        rustls::Error::FailedToGetRandomBytes => Error::Provider,
        _ => PeerMisbehaved::BadKeyShare.into(),
    }
}

/// Our registries and rustls' hold the same 16 bits.
macro_rules! same_registry {
    ($ours:ident, $theirs:ty) => {
        impl From<$theirs> for $ours {
            fn from(value: $theirs) -> Self {
                Self(u16::from(value))
            }
        }

        impl From<$ours> for $theirs {
            fn from(value: $ours) -> Self {
                Self::from(value.0)
            }
        }
    };
}
same_registry!(CipherSuite, rustls::CipherSuite);
same_registry!(NamedGroup, rustls::NamedGroup);
same_registry!(SignatureScheme, rustls::SignatureScheme);

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod vectors;
#[cfg(test)]
mod wycheproof;
