//! Handshake signatures of both versions: what is signed, which schemes may sign it, and whether the signature is the
//! certificate's owner's. Knows no trust: whether the certificate is acceptable is `verify`'s business.
//!
//! RFC 8446 §4.2.3 and §4.4.3; RFC 5246 §7.4.3 and §7.4.8; RFC 8422 §5.4, §5.8 and §5.10.

use super::schedule12::Randoms;
use crate::crypto::{Role, suites::Authentication};
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::wire::{SignatureScheme, certificate::DigitallySigned};
use rustls::CertificateError;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::Output;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustls::sign::{Signer, SigningKey};
use webpki::EndEntityCert;

/// What a signature is for: it decides which schemes are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureContext {
    /// ServerKeyExchange: the suite says which keys may sign.
    ServerKeyExchange12(Authentication),
    /// The client's CertificateVerify of DTLS 1.2: any key.
    CertificateVerify12,
    /// CertificateVerify of DTLS 1.3, by either end.
    CertificateVerify13,
}

/// Witness: the peer holds the private key of the certificate it sent.
#[derive(Debug)]
pub(crate) struct SignatureVerified(());

/// Verifies `signed` over `content` with the key of `certificate`. `offered` are the schemes that we told the peer.
pub(crate) fn verify_signature(
    provider: &CryptoProvider,
    context: SignatureContext,
    offered: &[SignatureScheme],
    certificate: &CertificateDer<'_>,
    content: &[u8],
    signed: &DigitallySigned<'_>,
) -> Result<SignatureVerified, Error> {
    let scheme = signed.scheme;
    // Before `offered`: DTLS 1.3 lists PKCS#1 schemes for certificates, and admits no signature with them
    // (RFC 8446 §4.2.3).
    if !context.admits(scheme) {
        return Err(PeerMisbehaved::SignatureSchemeOfOtherVersion.into());
    }
    if !offered.contains(&scheme) {
        return Err(PeerMisbehaved::SelectedUnofferedSignatureScheme.into());
    }
    let certificate =
        EndEntityCert::try_from(certificate).map_err(|_| Error::Certificate(CertificateError::BadEncoding))?;
    for algorithm in algorithms(provider, context, scheme) {
        match certificate.verify_signature(*algorithm, content, signed.signature) {
            Ok(()) => return Ok(SignatureVerified(())),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => return Err(PeerMisbehaved::BadSignature.into()),
        }
    }
    // "the signature algorithm MUST be compatible with the key in the sender's end-entity certificate"
    // (RFC 8446 §4.4.3; RFC 5246 §7.4.3 says the same of 1.2).
    Err(PeerMisbehaved::SignatureSchemeDoesNotFitKey.into())
}

/// The provider's algorithms for `scheme`: in DTLS 1.2 one for each curve that the key may be on, in DTLS 1.3 the first
/// alone, whose curve is the scheme's (RFC 8446 §4.2.3).
fn algorithms(
    provider: &CryptoProvider,
    context: SignatureContext,
    scheme: SignatureScheme,
) -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    let mapping = provider.signature_verification_algorithms.mapping;
    let all = mapping.iter().find(|(known, _)| SignatureScheme::from(*known) == scheme).map_or(&[][..], |(_, all)| all);
    match context {
        SignatureContext::CertificateVerify13 => all.get(..1).unwrap_or_default(),
        SignatureContext::ServerKeyExchange12(_) | SignatureContext::CertificateVerify12 => all,
    }
}

/// Chooses a scheme for our key out of those that the peer offered, or fails if there is none.
pub(crate) fn choose_signer(
    context: SignatureContext,
    key: &dyn SigningKey,
    offered: &[SignatureScheme],
) -> Result<Box<dyn Signer>, Error> {
    let admitted: Vec<_> =
        offered.iter().filter(|scheme| context.admits(**scheme)).map(|scheme| (*scheme).into()).collect();
    let signer = key.choose_scheme(&admitted).ok_or(PeerIncompatible::NoCommonSignatureScheme)?;
    // The key may be the application's own code.
    if admitted.contains(&signer.scheme()) { Ok(signer) } else { Err(Error::Signing) }
}

/// What came of asking a key to sign.
pub(crate) enum Signing {
    Done(Vec<u8>),
    /// The application will hand the signature in.
    Later,
}

impl Signing {
    /// Asks `signer`, which may be the application's own code.
    pub(crate) fn ask(signer: &dyn Signer, content: &[u8]) -> Result<Self, Error> {
        Self::of(signer.sign(content))
    }

    /// A signer's answer, given at once or later.
    ///
    /// # Errors
    /// [`Error::Signing`], or the alert that was chosen.
    pub(crate) fn of(signature: Result<Vec<u8>, rustls::Error>) -> Result<Self, Error> {
        match signature {
            Ok(signature) if signature.is_empty() || signature.len() > MAX_SIGNATURE => Err(Error::Signing),
            Ok(signature) => Ok(Self::Done(signature)),
            Err(error) => match Error::inside(&error) {
                Some(Error::AnswerLater) => Ok(Self::Later),
                // A verifier's answer, and none of a key's.
                Some(Error::AcceptedDespite(_)) | None => Err(Error::Signing),
                Some(own) => Err(own),
            },
        }
    }
}

/// Octets: `opaque signature<0..2^16-1>` (RFC 8446 §4.4.3) in a message that a peer's reassembly may be expected to
/// take. RSA of 16,384 bits has 2,048; SLH-DSA has 49,856 at most.
const MAX_SIGNATURE: usize = 50_000;

/// Signs `content` with a scheme that the peer offered.
#[cfg(test)]
pub(crate) fn sign(
    context: SignatureContext,
    key: &dyn SigningKey,
    offered: &[SignatureScheme],
    content: &[u8],
) -> Result<(SignatureScheme, Vec<u8>), Error> {
    let signer = choose_signer(context, key, offered)?;
    let signature = signer.sign(content).map_err(|_| Error::Signing)?;
    Ok((signer.scheme().into(), signature))
}

/// What a CertificateVerify of DTLS 1.3 signs (RFC 8446 §4.4.3).
pub(crate) fn certificate_verify_content(signer: Role, transcript: &Output) -> Vec<u8> {
    let context_string: &[u8] = match signer {
        Role::Client => b"TLS 1.3, client CertificateVerify",
        Role::Server => b"TLS 1.3, server CertificateVerify",
    };
    [&[0x20; 64][..], context_string, &[0], transcript.as_ref()].concat()
}

/// What a ServerKeyExchange signs: both randoms and the parameters (RFC 8422 §5.4).
pub(crate) fn server_key_exchange_content(randoms: &Randoms, params: &[u8]) -> Vec<u8> {
    [&randoms.client[..], &randoms.server, params].concat()
}

impl SignatureContext {
    /// Whether `scheme` may make such a signature. Neither SHA-1 nor MD5 is known at all (RFC 9155 §2).
    pub(crate) fn admits(self, scheme: SignatureScheme) -> bool {
        let ecdsa = EC_SCHEMES.contains(&scheme);
        let rsa = RSA_PSS_SCHEMES.contains(&scheme) || PKCS1_SCHEMES.contains(&scheme);
        match self {
            // RFC 8422 §5.10: EdDSA signs under ECDHE_ECDSA suites.
            Self::ServerKeyExchange12(Authentication::Ecdsa) => ecdsa,
            Self::ServerKeyExchange12(Authentication::Rsa) => rsa,
            Self::CertificateVerify12 => ecdsa || rsa,
            // "RSA signatures MUST use an RSASSA-PSS algorithm" (RFC 8446 §4.4.3). Schemes that are newer than 1.3, like
            // ML-DSA, belong to 1.3 alone.
            Self::CertificateVerify13 => !PKCS1_SCHEMES.contains(&scheme) && !is_legacy(scheme),
        }
    }
}

/// MD5, SHA-1 and SHA-224 (RFC 5246 §7.4.1.4.1): the first octet of such a scheme is the hash.
const fn is_legacy(scheme: SignatureScheme) -> bool {
    matches!(scheme.0 >> 8, 0..=3)
}

const EC_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_SECP256R1_SHA256,
    SignatureScheme::ECDSA_SECP384R1_SHA384,
    SignatureScheme::ECDSA_SECP521R1_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::ED448,
];

const RSA_PSS_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_RSAE_SHA256,
    SignatureScheme::RSA_PSS_RSAE_SHA384,
    SignatureScheme::RSA_PSS_RSAE_SHA512,
    SignatureScheme::RSA_PSS_PSS_SHA256,
    SignatureScheme::RSA_PSS_PSS_SHA384,
    SignatureScheme::RSA_PSS_PSS_SHA512,
];

const PKCS1_SCHEMES: &[SignatureScheme] =
    &[SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PKCS1_SHA384, SignatureScheme::RSA_PKCS1_SHA512];

#[cfg(test)]
mod tests;
