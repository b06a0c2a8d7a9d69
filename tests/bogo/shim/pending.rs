//! `-async`: a key and a hook that answer later, as a security module or a remote verifier would.

use rustls::SignatureAlgorithm;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use std::sync::Arc;
use udtls::{Error, SignatureScheme};

/// Chooses a scheme as the key in it would, and does not sign.
#[derive(Debug)]
pub(crate) struct LaterKey(pub(crate) Arc<dyn SigningKey>);

#[derive(Debug)]
struct LaterSigner(rustls::SignatureScheme);

impl SigningKey for LaterKey {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(LaterSigner(signer.scheme())))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for LaterSigner {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Err(Error::AnswerLater.into())
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        self.0
    }
}

/// What the key would have said at once.
pub(crate) fn sign(key: &dyn SigningKey, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let signer = key.choose_scheme(&[scheme.into()]);
    signer.ok_or_else(|| rustls::Error::General("a scheme that the key did not choose".to_owned()))?.sign(message)
}
