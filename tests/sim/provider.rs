//! A `CryptoProvider` that gives the same octets for the same seed: seeded key pairs (`exchange.rs`), and ECDSA with
//! deterministic nonces (RFC 6979) and signatures of one length. What is deterministic by nature is aws-lc-rs'.
//!
//! Each end draws from a stream of its own, so that what the network does to one does not change what the other draws.
//! The streams belong to the thread: a test runs in one. So does the memory of what was computed before: thousands of runs
//! of one seed multiply and verify the same numbers.

use crate::exchange::{Hybrid, P256, X25519};
pub(crate) use crate::ladder::End;
use p256::ecdsa::signature::hazmat::RandomizedPrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
};
use rustls::sign::Signer;
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Begins both ends' streams anew: what follows on this thread repeats what followed the same seed before.
pub(crate) fn reseed(seed: u64) {
    STREAMS.with_borrow_mut(|streams| {
        for (number, stream) in (0..).zip(streams) {
            *stream = ChaCha8Rng::seed_from_u64(seed);
            stream.set_stream(number);
        }
    });
}

/// The provider of one end.
pub(crate) fn provider(end: End) -> Arc<CryptoProvider> {
    let (secure_random, kx_groups): (_, [&'static dyn SupportedKxGroup; 3]) = match end {
        End::Client => (&SeededRandom(End::Client), [&X25519(End::Client), &P256(End::Client), &Hybrid(End::Client)]),
        End::Server => (&SeededRandom(End::Server), [&X25519(End::Server), &P256(End::Server), &Hybrid(End::Server)]),
    };
    Arc::new(CryptoProvider {
        kx_groups: kx_groups.to_vec(),
        secure_random,
        key_provider: &Keys,
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: &[&Verification],
            mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[&Verification])],
        },
        ..aws_lc_rs::default_provider()
    })
}

thread_local! {
    static STREAMS: RefCell<[ChaCha8Rng; 2]> = RefCell::new(std::array::from_fn(|_| ChaCha8Rng::seed_from_u64(0)));
    /// By a digest of what it was made of.
    static COMPUTED: RefCell<HashMap<[u8; 32], Vec<u8>>> = RefCell::default();
}

/// What `compute` makes of these inputs, remembered.
pub(crate) fn once(inputs: &[&[u8]], compute: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut digest = Sha256::new();
    for input in inputs {
        digest.update(input.len().to_be_bytes());
        digest.update(input);
    }
    let digest = digest.finalize().into();
    if let Some(known) = COMPUTED.with_borrow(|computed| computed.get(&digest).cloned()) {
        return known;
    }
    let new = compute();
    COMPUTED.with_borrow_mut(|computed| {
        if computed.len() >= MAX_COMPUTED {
            computed.clear();
        }
        computed.insert(digest, new.clone());
    });
    new
}

/// More than all kinds of handshakes compute for one seed.
const MAX_COMPUTED: usize = 4096;

pub(crate) fn with_stream<T>(end: End, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
    STREAMS.with_borrow_mut(|[client, server]| {
        draw(match end {
            End::Client => client,
            End::Server => server,
        })
    })
}

#[derive(Debug)]
struct SeededRandom(End);

impl SecureRandom for SeededRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        with_stream(self.0, |stream| stream.fill_bytes(buf));
        Ok(())
    }
}

/// ECDSA with P-256 and SHA-256, by aws-lc-rs.
#[derive(Debug)]
struct Verification;

static P256_SHA256: LazyLock<&'static dyn SignatureVerificationAlgorithm> = LazyLock::new(|| {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let found = algorithms.mapping.iter().find_map(|(mapped, list)| (*mapped == scheme).then(|| list.first().copied()));
    found.flatten().expect("aws-lc-rs has P-256")
});

impl SignatureVerificationAlgorithm for Verification {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let verdict = once(&[b"verification", public_key, message, signature], || {
            vec![u8::from(P256_SHA256.verify_signature(public_key, message, signature).is_ok())]
        });
        if verdict == [1] { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        P256_SHA256.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        P256_SHA256.signature_alg_id()
    }
}

/// Loads PKCS#8 keys of P-256.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key_der: PrivateKeyDer<'static>) -> Result<Arc<dyn rustls::sign::SigningKey>, Error> {
        let key = SigningKey::from_pkcs8_der(key_der.secret_der()).map_err(|e| Error::General(e.to_string()))?;
        Ok(Arc::new(SimKey::from(key)))
    }
}

/// A P-256 key that signs the same message with the same 70 octets, always.
#[derive(Clone)]
pub(crate) struct SimKey {
    key: SigningKey,
    point: Vec<u8>,
    spki: Vec<u8>,
}

impl From<SigningKey> for SimKey {
    fn from(key: SigningKey) -> Self {
        let public = p256::PublicKey::from(key.verifying_key());
        Self {
            point: public.to_sec1_point(false).as_bytes().to_vec(),
            spki: public.to_public_key_der().expect("a public key has an encoding").into_vec(),
            key,
        }
    }
}

impl SimKey {
    /// A key by its number.
    pub(crate) fn numbered(number: u64) -> Self {
        SigningKey::generate_from_rng(&mut ChaCha8Rng::seed_from_u64(number)).into()
    }

    pub(crate) const fn secret(&self) -> &SigningKey {
        &self.key
    }

    /// RFC 6979 §3.6 lets additional data vary the nonce: the first that makes both integers of the DER signature 32 octets
    /// is taken, for a signature of one length makes flights of one length.
    fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        once(&[b"signature", &self.spki, &digest], || self.sign_digest(&digest))
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Vec<u8> {
        let mut additional = ChaCha8Rng::from_seed(*digest);
        std::iter::repeat_with(|| self.key.sign_prehash_with_rng(&mut additional, digest))
            .find_map(|signature| {
                let signature: Signature = signature.ok()?;
                let der = signature.normalize_s().to_der().as_bytes().to_vec();
                (der.len() == SIGNATURE_LEN).then_some(der)
            })
            .expect("every fourth attempt succeeds")
    }
}

/// SEQUENCE header, and two INTEGERs with a header and 32 octets each.
const SIGNATURE_LEN: usize = 2 + 2 * (2 + 32);

impl fmt::Debug for SimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimKey")
    }
}

impl rustls::sign::SigningKey for SimKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let fits = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        fits.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki.as_slice().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for SimKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.sign_fixed(message))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl rcgen::PublicKeyData for SimKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for SimKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.sign_fixed(message))
    }
}
