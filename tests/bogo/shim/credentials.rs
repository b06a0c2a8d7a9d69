//! Certificates and keys, and which of several is shown.

use crate::Failure;
use crate::arguments::{CredentialFlags, OcspCallback, Settings};
use crate::notes::Notes;
use p384::ecdsa::{DerSignature, signature::hazmat::PrehashSigner};
use p384::pkcs8::DecodePrivateKey;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use udtls::{ClientHello, Credential, Error, ResolvesServerCert};

/// The credentials that the flags name, in the order in which they are tried: the one of the first flags comes last.
pub(crate) fn credentials(settings: &Settings, notes: &Notes) -> Result<Vec<Credential>, Failure> {
    let others = (0..).zip(settings.credentials.get(1..).unwrap_or_default());
    let default = settings.credentials.first().map(|flags| (-1, flags));
    let mut credentials = Vec::new();
    for (place, flags) in others.chain(default) {
        if let (Some(chain), Some(key)) = (chain(flags)?, private_key(flags)?) {
            let later = settings.conduct.answers_later;
            let key = Arc::new(ShimKey { key, later, place, notes: notes.clone() });
            credentials.push(credential(flags, settings, CertifiedKey::new(chain, key))?);
        }
    }
    Ok(credentials)
}

fn credential(
    flags: &CredentialFlags,
    settings: &Settings,
    mut certified: CertifiedKey,
) -> Result<Credential, Failure> {
    if settings.extensions.ocsp_callback == OcspCallback::Agrees {
        certified.ocsp = flags.ocsp_response.clone();
    }
    let mut credential = Credential::new(certified).with_signature_schemes(&flags.schemes).only_if_curve_is_listed();
    if let Some(list) = &flags.timestamps {
        credential = credential.with_timestamps(timestamps(list)).map_err(Failure::failed)?;
    }
    Ok(if flags.issuer_must_be_named { credential.only_if_issuer_is_named() } else { credential })
}

fn chain(flags: &CredentialFlags) -> Result<Option<Vec<CertificateDer<'static>>>, Failure> {
    let Some(chain) = &flags.chain else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(chain).map_err(Failure::failed)?;
    chain.collect::<Result<_, _>>().map(Some).map_err(Failure::failed)
}

fn private_key(flags: &CredentialFlags) -> Result<Option<Arc<dyn SigningKey>>, Failure> {
    let Some(key) = &flags.key else { return Ok(None) };
    let der = PrivateKeyDer::from_pem_file(key).map_err(Failure::failed)?;
    let key = aws_lc_rs::sign::any_supported_type(&der).map_err(Failure::failed)?;
    Ok(Some(match p384::ecdsa::SigningKey::from_pkcs8_der(der.secret_der()) {
        Ok(p384) => Arc::new(P384Key { key, p384: Arc::new(p384) }),
        Err(_) => key,
    }))
}

/// Keys that sign at once.
pub(crate) struct Keys(Vec<(CertificateDer<'static>, Arc<dyn SigningKey>)>);

impl Keys {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        for flags in &settings.credentials {
            if let (Some(chain), Some(key)) = (chain(flags)?, private_key(flags)?) {
                keys.extend(chain.into_iter().next().map(|end_entity| (end_entity, key)));
            }
        }
        Ok(Self(keys))
    }

    /// What the key that belongs to a chain would have said at once.
    pub(crate) fn sign(
        &self,
        chain: &[CertificateDer<'_>],
        scheme: udtls::SignatureScheme,
        message: &[u8],
    ) -> Result<Vec<u8>, rustls::Error> {
        let found = self.0.iter().find(|(end_entity, _)| chain.first().is_some_and(|first| first == end_entity));
        let signer = found.and_then(|(_, key)| key.choose_scheme(&[scheme.into()]));
        signer.ok_or_else(|| rustls::Error::General("no key that signs so".to_owned()))?.sign(message)
    }
}

/// Timestamps of a list as it stands on the wire.
fn timestamps(list: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = list.get(2..).unwrap_or_default();
    let mut timestamps = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (timestamp, after) = after.split_at(usize::from(u16::from_be_bytes(*len)).min(after.len()));
        timestamps.push(timestamp.to_vec());
        rest = after;
    }
    timestamps
}

/// A server's choice among its credentials.
#[derive(Debug)]
pub(crate) struct Resolver {
    credentials: Vec<Credential>,
    notes: Notes,
}

impl Resolver {
    pub(crate) fn new(settings: &Settings, notes: &Notes) -> Result<Self, Failure> {
        // No certificate is how a resolver refuses a client.
        let credentials = match settings.extensions.ocsp_callback {
            OcspCallback::Fails => Vec::new(),
            OcspCallback::Agrees | OcspCallback::Declines => credentials(settings, notes)?,
        };
        Ok(Self { credentials, notes: notes.clone() })
    }
}

impl ResolvesServerCert for Resolver {
    /// Chooses as the library does, and notes what the client offers.
    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Credential> {
        self.notes.note_hello(hello);
        hello.choose(&self.credentials).cloned()
    }
}

/// A key that notes that it was chosen and, with `-async`, answers later.
#[derive(Debug)]
struct ShimKey {
    key: Arc<dyn SigningKey>,
    later: bool,
    place: i64,
    notes: Notes,
}

impl SigningKey for ShimKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.key.choose_scheme(offered)?;
        Some(Box::new(ShimSigner { signer, later: self.later, place: self.place, notes: self.notes.clone() }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct ShimSigner {
    signer: Box<dyn Signer>,
    later: bool,
    place: i64,
    notes: Notes,
}

impl Signer for ShimSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.notes.note_credential(self.place);
        match self.later {
            true => Err(Error::AnswerLater.into()),
            false => self.signer.sign(message),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.signer.scheme()
    }
}

/// A key on P-384 that signs over SHA-256 too, which in DTLS 1.2 is all that a scheme says (RFC 5246 §7.4.1.4.1); those of
/// rustls sign by the scheme of their own curve only.
#[derive(Debug)]
struct P384Key {
    key: Arc<dyn SigningKey>,
    p384: Arc<p384::ecdsa::SigningKey>,
}

impl SigningKey for P384Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let over_sha256 = || -> Option<Box<dyn Signer>> {
            let offered = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
            offered.then(|| Box::new(P384Signer(self.p384.clone())) as Box<dyn Signer>)
        };
        self.key.choose_scheme(offered).or_else(over_sha256)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct P384Signer(Arc<p384::ecdsa::SigningKey>);

impl Signer for P384Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed: Result<DerSignature, _> = self.0.sign_prehash(&Sha256::digest(message));
        let signature = signed.map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
