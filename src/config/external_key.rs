//! A private key that lies elsewhere, in a security module or behind a network: all that is here is its public half and the
//! schemes by which it signs.

use super::ConfigError;
use super::common::check_chain;
use crate::error::Error;
use crate::wire::SignatureScheme;
use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use std::sync::Arc;
use webpki::EndEntityCert;

/// In the place of a private key: whoever asks it to sign is told to wait.
#[derive(Debug)]
pub(super) struct ExternalKey {
    algorithm: SignatureAlgorithm,
    /// Best first.
    schemes: Vec<rustls::SignatureScheme>,
    public_key: SubjectPublicKeyInfoDer<'static>,
}

impl ExternalKey {
    /// A chain whose key signs by these schemes, best first.
    ///
    /// # Errors
    /// [`ConfigError`] if the chain is empty or cannot be read, there is no scheme, or one is not of the key's kind.
    pub(super) fn certified(
        chain: Vec<CertificateDer<'static>>,
        schemes: &[SignatureScheme],
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, ConfigError> {
        let leaf = check_chain(&chain)?;
        let schemes: Vec<_> = schemes.iter().map(|scheme| rustls::SignatureScheme::from(*scheme)).collect();
        let algorithm = schemes.first().map(|scheme| algorithm(*scheme)).ok_or(ConfigError::NoSignatureScheme)?;
        if !schemes.iter().all(|scheme| fits(&leaf, *scheme, provider)) {
            return Err(ConfigError::KeyDoesNotFitCertificate);
        }
        let public_key = leaf.subject_public_key_info().into_owned();
        Ok(Arc::new(CertifiedKey::new(chain, Arc::new(Self { algorithm, schemes, public_key }))))
    }
}

/// The kind of key that signs by `scheme`.
const fn algorithm(scheme: rustls::SignatureScheme) -> SignatureAlgorithm {
    use rustls::SignatureScheme as S;
    match scheme {
        S::ED25519 => SignatureAlgorithm::ED25519,
        S::ED448 => SignatureAlgorithm::ED448,
        S::ECDSA_NISTP256_SHA256 | S::ECDSA_NISTP384_SHA384 | S::ECDSA_NISTP521_SHA512 => SignatureAlgorithm::ECDSA,
        S::RSA_PSS_SHA256
        | S::RSA_PSS_SHA384
        | S::RSA_PSS_SHA512
        | S::RSA_PKCS1_SHA256
        | S::RSA_PKCS1_SHA384
        | S::RSA_PKCS1_SHA512 => SignatureAlgorithm::RSA,
        // Newer than DTLS 1.2, where alone this matters.
        _ => SignatureAlgorithm::Unknown(u8::MAX),
    }
}

/// Whether signatures by `scheme` can be of the certificate's key: one that is none is found wrong, and not unsuitable.
fn fits(leaf: &EndEntityCert<'_>, scheme: rustls::SignatureScheme, provider: &CryptoProvider) -> bool {
    let mapping = provider.signature_verification_algorithms.mapping;
    let algorithms = mapping.iter().find(|(known, _)| *known == scheme).map_or(&[][..], |(_, algorithms)| algorithms);
    algorithms.iter().any(|algorithm| {
        !matches!(
            leaf.verify_signature(*algorithm, &[], &[]),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_))
        )
    })
}

impl SigningKey for ExternalKey {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.schemes.iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(ExternalSigner(scheme)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public_key.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

/// An external key with the scheme chosen.
#[derive(Debug)]
struct ExternalSigner(rustls::SignatureScheme);

impl Signer for ExternalSigner {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Err(Error::AnswerLater.into())
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        self.0
    }
}
