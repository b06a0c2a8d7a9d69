//! A server's key that counts how often it signs.

use super::ends::identity;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use udtls::{ClientHello, Credential, ResolvesServerCert, ServerConfig};

#[derive(Debug)]
struct Counting {
    inner: Arc<dyn SigningKey>,
    signatures: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountingSigner {
    inner: Box<dyn Signer>,
    signatures: Arc<AtomicUsize>,
}

impl SigningKey for Counting {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let inner = self.inner.choose_scheme(offered)?;
        Some(Box::new(CountingSigner { inner, signatures: self.signatures.clone() }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }
}

impl Signer for CountingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signatures.fetch_add(1, Ordering::SeqCst);
        self.inner.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.inner.scheme()
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: &ClientHello<'_>) -> Option<Credential> {
        Some(self.0.clone().into())
    }
}

/// A server of both versions, and how often it has signed. Nobody trusts its certificate.
pub(crate) fn counting_server() -> (ServerConfig, Arc<AtomicUsize>) {
    let (certificate, key) = identity();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let inner = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    let signatures = Arc::new(AtomicUsize::new(0));
    let key = Arc::new(Counting { inner, signatures: signatures.clone() });
    let certified = Arc::new(CertifiedKey::new(vec![certificate], key));
    let builder = ServerConfig::builder().with_no_client_auth().expect("a provider");
    (builder.with_cert_resolver(Arc::new(Always(certified))), signatures)
}
