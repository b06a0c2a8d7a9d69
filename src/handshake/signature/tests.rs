//! What may sign what, with keys of every kind.

use super::*;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

const P256: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
const P384: SignatureScheme = SignatureScheme::ECDSA_SECP384R1_SHA384;
const PSS: SignatureScheme = SignatureScheme::RSA_PSS_RSAE_SHA256;
const PKCS1: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;
const ALL: &[SignatureScheme] = &[P256, P384, SignatureScheme::ED25519, PSS, PKCS1];

const SKE_ECDSA: SignatureContext = SignatureContext::ServerKeyExchange12(Authentication::Ecdsa);
const SKE_RSA: SignatureContext = SignatureContext::ServerKeyExchange12(Authentication::Rsa);
const CV12: SignatureContext = SignatureContext::CertificateVerify12;
const CV13: SignatureContext = SignatureContext::CertificateVerify13;

fn certified(algorithm: &'static SignatureAlgorithm) -> CertifiedKey {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = rcgen::CertificateParams::new(["peer.example".into()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signing = default_provider().key_provider.load_private_key(private).unwrap();
    CertifiedKey::new(vec![certificate.der().clone()], signing)
}

fn verify(
    context: SignatureContext,
    key: &CertifiedKey,
    scheme: SignatureScheme,
    signature: &[u8],
) -> Result<(), Error> {
    let signed = DigitallySigned { scheme, signature };
    verify_signature(&default_provider(), context, ALL, &key.cert[0], b"content", &signed).map(|_| ())
}

/// Signs with the key itself, whatever the context says.
fn raw(key: &CertifiedKey, scheme: SignatureScheme) -> Vec<u8> {
    key.key.choose_scheme(&[scheme.into()]).unwrap().sign(b"content").unwrap()
}

#[test]
fn every_kind_of_key_signs_where_it_may() {
    for (algorithm, contexts) in [
        (&PKCS_ECDSA_P256_SHA256, [SKE_ECDSA, CV12, CV13]),
        (&PKCS_ECDSA_P384_SHA384, [SKE_ECDSA, CV12, CV13]),
        (&PKCS_ED25519, [SKE_ECDSA, CV12, CV13]),
        (&PKCS_RSA_SHA256, [SKE_RSA, CV12, CV13]),
    ] {
        let key = certified(algorithm);
        for context in contexts {
            let (scheme, signature) = sign(context, &*key.key, ALL, b"content").unwrap();
            assert_eq!(verify(context, &key, scheme, &signature), Ok(()), "{context:?} {scheme}");
            let other = certified(algorithm);
            assert_eq!(verify(context, &other, scheme, &signature), Err(PeerMisbehaved::BadSignature.into()));
        }
    }
}

/// RFC 8446 §4.4.3.
#[test]
fn pkcs1_signs_in_dtls12_only() {
    let key = certified(&PKCS_RSA_SHA256);
    let signature = raw(&key, PKCS1);
    assert_eq!(verify(CV12, &key, PKCS1, &signature), Ok(()));
    assert_eq!(verify(SKE_RSA, &key, PKCS1, &signature), Ok(()));
    assert_eq!(verify(CV13, &key, PKCS1, &signature), Err(PeerMisbehaved::SignatureSchemeOfOtherVersion.into()));
    let refused = sign(CV13, &*key.key, &[PKCS1], b"content");
    assert_eq!(refused.err(), Some(PeerIncompatible::NoCommonSignatureScheme.into()));
    assert_eq!(sign(CV13, &*key.key, &[PKCS1, PSS], b"content").unwrap().0, PSS);
}

/// RFC 8446 §4.2.3: in 1.3 the scheme names the curve, in 1.2 only the hash.
#[test]
fn a4_the_curve_is_bound_to_the_scheme_in_dtls13_only() {
    // rustls' keys sign with their curve's own hash alone, so sign with P-521 and SHA-256 by hand.
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA256).unwrap();
    let algorithm = &aws_lc_rs::signature::ECDSA_P521_SHA256_ASN1_SIGNING;
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der()).unwrap();
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), b"content").unwrap();
    let certificate = rcgen::CertificateParams::new(["peer.example".into()]).unwrap().self_signed(&key).unwrap();
    let any = certified(&PKCS_ECDSA_P256_SHA256).key;
    let key = CertifiedKey::new(vec![certificate.der().clone()], any);

    assert_eq!(verify(CV12, &key, P256, signature.as_ref()), Ok(()));
    assert_eq!(verify(SKE_ECDSA, &key, P256, signature.as_ref()), Ok(()));
    let unfit = Err(PeerMisbehaved::SignatureSchemeDoesNotFitKey.into());
    assert_eq!(verify(CV13, &key, P256, signature.as_ref()), unfit);
}

#[test]
fn a4_the_scheme_must_fit_the_key_and_the_suite() {
    let ecdsa = certified(&PKCS_ECDSA_P256_SHA256);
    let rsa = certified(&PKCS_RSA_SHA256);
    let unfit = Err(PeerMisbehaved::SignatureSchemeDoesNotFitKey.into());
    for context in [CV12, CV13] {
        assert_eq!(verify(context, &ecdsa, PSS, &raw(&rsa, PSS)), unfit);
        assert_eq!(verify(context, &rsa, P256, &raw(&ecdsa, P256)), unfit);
    }
    let other = Err(PeerMisbehaved::SignatureSchemeOfOtherVersion.into());
    assert_eq!(verify(SKE_RSA, &ecdsa, P256, &raw(&ecdsa, P256)), other);
    assert_eq!(verify(SKE_ECDSA, &rsa, PSS, &raw(&rsa, PSS)), other);
    let none = Some(PeerIncompatible::NoCommonSignatureScheme.into());
    assert_eq!(sign(SKE_RSA, &*ecdsa.key, ALL, b"content").err(), none);
    assert_eq!(sign(CV13, &*ecdsa.key, &[PSS, SignatureScheme::ED25519], b"content").err(), none);
}

/// RFC 9155 §2, RFC 8446 §4.2.3.
#[test]
fn sha1_and_unknown_schemes_are_refused() {
    let key = certified(&PKCS_ECDSA_P256_SHA256);
    let signature = raw(&key, P256);
    for scheme in [0x0201, 0x0203, 0x0101] {
        for context in [SKE_ECDSA, SKE_RSA, CV12, CV13] {
            let refused = Err(PeerMisbehaved::SignatureSchemeOfOtherVersion.into());
            assert_eq!(verify(context, &key, SignatureScheme(scheme), &signature), refused);
        }
    }
    let unoffered = Err(PeerMisbehaved::SelectedUnofferedSignatureScheme.into());
    assert_eq!(verify(CV13, &key, SignatureScheme(0xfe01), &signature), unoffered);
}

#[test]
fn a_certificate_that_is_none_is_a_certificate_error() {
    let mut key = certified(&PKCS_ECDSA_P256_SHA256);
    let signature = raw(&key, P256);
    key.cert[0] = CertificateDer::from(vec![0x30, 0x80]);
    assert_eq!(verify(CV13, &key, P256, &signature), Err(Error::Certificate(CertificateError::BadEncoding)));
}

/// The application's own key may answer with anything.
#[derive(Debug)]
struct Stubborn(Arc<dyn SigningKey>);

impl SigningKey for Stubborn {
    fn choose_scheme(&self, _: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(&[P256.into()])
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[test]
fn a_key_that_answers_with_an_unoffered_scheme_does_not_sign() {
    let key = Stubborn(certified(&PKCS_ECDSA_P256_SHA256).key);
    assert!(sign(CV13, &key, &[P256], b"content").is_ok());
    assert_eq!(sign(CV13, &key, &[P384], b"content").err(), Some(Error::Signing));
}

/// RFC 8446 §4.4.3 prints this very example.
#[test]
fn certificate_verify_content_of_rfc8446() {
    let content = certificate_verify_content(Role::Server, &Output::new(&[1; 32]));
    let expected = "20".repeat(64)
        + "544c5320312e332c207365727665722043657274696669636174655665726966790"
        + "0"
        + &"01".repeat(32);
    assert_eq!(hex::encode(content), expected);
    assert_ne!(
        certificate_verify_content(Role::Client, &Output::new(&[1; 32])),
        certificate_verify_content(Role::Server, &Output::new(&[1; 32]))
    );
}
