//! A server's certificate and what goes with it.

use super::ConfigError;
use super::common::check_chain;
use crate::wire::{NamedGroup, SignatureScheme, codec::Put};
use rustls::SignatureAlgorithm;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// A certificate with its private key, and what rustls' [`CertifiedKey`] has no field for. The OCSP response to staple
/// (RFC 6066 §8) is the one in [`CertifiedKey::ocsp`].
#[derive(Clone, Debug)]
pub struct Credential {
    certified: Arc<CertifiedKey>,
    /// `SignedCertificateTimestampList` without its length; empty for none.
    timestamps: Arc<[u8]>,
    /// By which schemes it may sign, best first; empty for all that the key has, in the key's order.
    schemes: Arc<[SignatureScheme]>,
    issuer: Issuer,
}

/// Whether a client has to say that it knows a certificate's issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    Any,
    Named,
}

impl Credential {
    /// Nothing but the key with its certificate, and the OCSP response in it.
    pub fn new(certified: impl Into<Arc<CertifiedKey>>) -> Self {
        let (timestamps, schemes): (Arc<[u8]>, Arc<[_]>) = (Arc::new([]), Arc::new([]));
        Self { certified: certified.into(), timestamps, schemes, issuer: Issuer::Any }
    }

    /// With signed certificate timestamps, each as the log gave it, for clients that ask for them (RFC 6962 §3.3.1).
    ///
    /// # Errors
    /// [`ConfigError::BadTimestamps`] if one is empty, or all together are more than 32 KiB.
    pub fn with_timestamps<T: AsRef<[u8]>>(
        mut self,
        timestamps: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        let mut list = Vec::new();
        for timestamp in timestamps {
            let timestamp = timestamp.as_ref();
            let total = list.len().saturating_add(timestamp.len());
            if timestamp.is_empty() || total > MAX_TIMESTAMPS {
                return Err(ConfigError::BadTimestamps);
            }
            list.put_vec::<2>(|out| out.put(timestamp));
        }
        if list.len() > MAX_TIMESTAMPS {
            return Err(ConfigError::BadTimestamps);
        }
        self.timestamps = list.into();
        Ok(self)
    }

    /// Signs by these schemes alone, best first.
    pub fn with_signature_schemes(mut self, schemes: &[SignatureScheme]) -> Self {
        self.schemes = schemes.into();
        self
    }

    /// Only for clients that name an issuer of its chain in certificate_authorities (RFC 8446 §4.2.4).
    pub fn only_if_issuer_is_named(mut self) -> Self {
        self.issuer = Issuer::Named;
        self
    }

    /// The certificate and the key.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    pub(crate) fn timestamps(&self) -> &[u8] {
        &self.timestamps
    }

    pub(super) const fn issuer(&self) -> Issuer {
        self.issuer
    }

    /// Those of a client's schemes by which this may sign, best first where it has preferences.
    pub(crate) fn usable_schemes(&self, offered: &[SignatureScheme]) -> Vec<SignatureScheme> {
        let can_sign = |scheme: &&SignatureScheme| self.certified.key.choose_scheme(&[(**scheme).into()]).is_some();
        match &*self.schemes {
            [] => offered.to_vec(),
            // The key chooses by its own preference among several.
            own => own.iter().filter(|own| offered.contains(own)).find(can_sign).copied().into_iter().collect(),
        }
    }

    /// Whether it can sign by one of a client's schemes.
    pub(super) fn can_sign(&self, offered: &[SignatureScheme]) -> bool {
        let schemes: Vec<_> = self.usable_schemes(offered).into_iter().map(Into::into).collect();
        self.certified.key.choose_scheme(&schemes).is_some()
    }

    /// The curve of an ECDSA key, where it tells its public half.
    pub(super) fn curve(&self) -> Option<NamedGroup> {
        let public = self.certified.key.public_key()?;
        // The object identifiers of RFC 5480 §2.1.1.1, which stand in front of the key.
        const CURVES: [(&[u8], NamedGroup); 3] = [
            (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", NamedGroup::SECP256R1),
            (b"\x06\x05\x2b\x81\x04\x00\x22", NamedGroup::SECP384R1),
            (b"\x06\x05\x2b\x81\x04\x00\x23", NamedGroup::SECP521R1),
        ];
        let head = public.as_ref().get(..ALGORITHM_END.min(public.as_ref().len()))?;
        let found = CURVES.iter().find(|(oid, _)| head.windows(oid.len()).any(|window| window == *oid));
        found.filter(|_| self.certified.key.algorithm() == SignatureAlgorithm::ECDSA).map(|(_, curve)| *curve)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_chain(&self.certified.cert).map(drop)
    }
}

impl From<Arc<CertifiedKey>> for Credential {
    fn from(certified: Arc<CertifiedKey>) -> Self {
        Self::new(certified)
    }
}

impl From<CertifiedKey> for Credential {
    fn from(certified: CertifiedKey) -> Self {
        Self::new(certified)
    }
}

/// Octets from the beginning of a SubjectPublicKeyInfo to the end of its algorithm, at most.
const ALGORITHM_END: usize = 32;

/// Octets: half of what the 16-bit length of the extension could say, for others stand beside it.
const MAX_TIMESTAMPS: usize = 1 << 15;
