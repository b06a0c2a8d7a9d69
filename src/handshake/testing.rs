//! What the tests of both versions share: a small public key infrastructure and a key log.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, LazyLock, Mutex};

pub(super) const NAME: &str = "server.example";

/// One authority and one certificate of each kind.
pub(super) struct Pki {
    pub(super) authority: CertificateDer<'static>,
    pub(super) certificates: Vec<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

/// The kinds, as indices of [`Pki::certificates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

pub(super) const KINDS: [Kind; 4] = [Kind::P256, Kind::P384, Kind::Ed25519, Kind::Rsa];

impl Pki {
    fn new(common_name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let algorithms: [&'static SignatureAlgorithm; 4] =
            [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256];
        let certificates = algorithms.map(|algorithm| {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new([NAME.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        });
        Self { authority: authority.as_ref().der().clone(), certificates: certificates.into() }
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        Arc::new(roots)
    }

    pub(super) fn of(&self, kind: Kind) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (certificate, key) = &self.certificates[kind as usize];
        (vec![certificate.clone()], key.clone_key())
    }
}

pub(super) static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("authority"));
/// An authority that vouches for nobody.
pub(super) static STRANGERS: LazyLock<Pki> = LazyLock::new(|| Pki::new("strangers"));

/// What a server thinks of client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    None,
    Optional,
    Required,
}

/// Collects key log lines: label, client random, secret.
#[derive(Debug, Default)]
pub(super) struct Log(pub(super) Mutex<Vec<Line>>);

type Line = (String, Vec<u8>, Vec<u8>);

impl rustls::KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), client_random.to_vec(), secret.to_vec()));
    }
}
