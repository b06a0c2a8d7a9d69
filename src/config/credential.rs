//! A certificate of ours and what goes with it, and which of several fits the peer.

use super::ConfigError;
use super::common::check_chain;
use crate::wire::{NamedGroup, ProtocolVersion, SignatureScheme, codec::Put};
use rustls::sign::CertifiedKey;
use rustls::{DistinguishedName, SignatureAlgorithm};
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
    issuer: Condition,
    curve: Condition,
    /// Of an ECDSA key that tells its public half, with the scheme that signs on it in DTLS 1.3.
    key_curve: Option<(NamedGroup, SignatureScheme)>,
}

/// Whether a peer has to name what a certificate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// One that is named is better than others.
    Preferred,
    /// The certificate is no use otherwise.
    Required,
}

impl Credential {
    /// Nothing but the key with its certificate, and the OCSP response in it.
    pub fn new(certified: impl Into<Arc<CertifiedKey>>) -> Self {
        let certified = certified.into();
        let (timestamps, schemes) = (Arc::default(), Arc::default());
        let (issuer, curve) = (Condition::Preferred, Condition::Preferred);
        let key_curve = curve_of(&certified);
        Self { certified, timestamps, schemes, issuer, curve, key_curve }
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

    /// Only for peers that name an issuer of its chain: a client in certificate_authorities (RFC 8446 §4.2.4), a server in its
    /// CertificateRequest (RFC 5246 §7.4.4, RFC 8446 §4.3.2).
    pub fn only_if_issuer_is_named(mut self) -> Self {
        self.issuer = Condition::Required;
        self
    }

    /// Only for clients that list the curve of its key in supported_groups, in DTLS 1.2 (RFC 8422 §5.3). Otherwise it is shown
    /// to others too if there is none that fits better, since many verify signatures on curves that they list no key exchange
    /// for. In DTLS 1.3 the curve is part of the signature scheme, and says itself whether it fits.
    pub fn only_if_curve_is_listed(mut self) -> Self {
        self.curve = Condition::Required;
        self
    }

    /// The certificate and the key.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    pub(crate) fn timestamps(&self) -> &[u8] {
        &self.timestamps
    }

    pub(super) const fn curve_condition(&self) -> Condition {
        self.curve
    }

    /// Those of a peer's schemes by which this may sign in this version, best first where it has preferences.
    pub(crate) fn usable_schemes(&self, offered: &[SignatureScheme], version: ProtocolVersion) -> Vec<SignatureScheme> {
        let usable = self.admissible_schemes(offered, version);
        match &*self.schemes {
            [] => {
                let mut schemes = Vec::with_capacity(offered.len());
                schemes.extend(usable);
                schemes
            }
            // The key chooses by its own preference among several.
            _ => usable.filter(|scheme| self.has_scheme(*scheme)).take(1).collect(),
        }
    }

    /// Whether it can sign by one of a peer's schemes.
    pub(super) fn can_sign(&self, offered: &[SignatureScheme], version: ProtocolVersion) -> bool {
        self.admissible_schemes(offered, version).any(|scheme| self.has_scheme(scheme))
    }

    /// Those of a peer's schemes that application and version leave, whatever the key has; best first where the application
    /// has preferences.
    fn admissible_schemes<'a>(
        &'a self,
        offered: &'a [SignatureScheme],
        version: ProtocolVersion,
    ) -> impl Iterator<Item = SignatureScheme> + 'a {
        // In DTLS 1.3 the scheme says the curve (RFC 8446 §4.2.3), whatever the key could sign by elsewhere.
        let of_curve = match version {
            ProtocolVersion::DTLS1_3 => self.curve().map(|(_, scheme)| scheme),
            _ => None,
        };
        let preferred = if self.schemes.is_empty() { offered } else { &*self.schemes };
        preferred
            .iter()
            .copied()
            .filter(move |scheme| offered.contains(scheme) && of_curve.is_none_or(|of_curve| of_curve == *scheme))
    }

    fn has_scheme(&self, scheme: SignatureScheme) -> bool {
        self.certified.key.choose_scheme(&[scheme.into()]).is_some()
    }

    /// Whether a certificate of the chain was issued by one of these.
    fn is_issued_by(&self, authorities: &[&[u8]]) -> bool {
        // Names are read only where there is something to compare them with.
        !authorities.is_empty()
            && self.certified.cert.iter().any(|der| {
                let issuer =
                    webpki::EndEntityCert::try_from(der).map(|read| DistinguishedName::in_sequence(read.issuer()));
                issuer.is_ok_and(|issuer| authorities.contains(&issuer.as_ref()))
            })
    }

    /// The curve of an ECDSA key, where it tells its public half, and the scheme that signs on it in DTLS 1.3.
    pub(super) const fn curve(&self) -> Option<(NamedGroup, SignatureScheme)> {
        self.key_curve
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_chain(&self.certified.cert).map(drop)
    }
}

/// Those whose keys can sign for a peer, best first: of an issuer that it names, then of others.
pub(super) fn candidates<'c>(
    credentials: &'c [Credential],
    authorities: &[&[u8]],
    schemes: &[SignatureScheme],
    version: ProtocolVersion,
) -> Vec<&'c Credential> {
    let fitting = credentials.iter().filter(|credential| credential.can_sign(schemes, version));
    let (mut named, others): (Vec<_>, Vec<_>) = fitting.partition(|credential| credential.is_issued_by(authorities));
    // A certificate of another issuer is better than none (RFC 8446 §4.2.4).
    named.extend(others.into_iter().filter(|credential| credential.issuer == Condition::Preferred));
    named
}

/// What [`Credential::curve`] tells, found once.
fn curve_of(certified: &CertifiedKey) -> Option<(NamedGroup, SignatureScheme)> {
    let public = certified.key.public_key()?;
    // The object identifiers of RFC 5480 §2.1.1.1, which stand in front of the key.
    const CURVES: [(&[u8], NamedGroup, SignatureScheme); 3] = [
        (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", NamedGroup::SECP256R1, SignatureScheme::ECDSA_SECP256R1_SHA256),
        (b"\x06\x05\x2b\x81\x04\x00\x22", NamedGroup::SECP384R1, SignatureScheme::ECDSA_SECP384R1_SHA384),
        (b"\x06\x05\x2b\x81\x04\x00\x23", NamedGroup::SECP521R1, SignatureScheme::ECDSA_SECP521R1_SHA512),
    ];
    let head = public.as_ref().get(..ALGORITHM_END.min(public.as_ref().len()))?;
    let found = CURVES.iter().find(|(oid, ..)| head.windows(oid.len()).any(|window| window == *oid));
    let found = found.filter(|_| certified.key.algorithm() == SignatureAlgorithm::ECDSA);
    found.map(|(_, curve, scheme)| (*curve, *scheme))
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
