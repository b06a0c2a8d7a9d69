//! A `CryptoProvider` that gives the same octets for the same seed: X25519 and P-256 with seeded key pairs, and ECDSA with
//! deterministic nonces (RFC 6979) and signatures of one length. What is deterministic by nature is aws-lc-rs'.
//!
//! Each end draws from a stream of its own, so that what the network does to one does not change what the other draws.
//! The streams belong to the thread: a test runs in one.

use p256::ecdsa::signature::hazmat::RandomizedPrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret, SupportedKxGroup,
    aws_lc_rs,
};
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::Signer;
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// One of the two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Client,
    Server,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

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
    let (secure_random, kx_groups): (_, [&'static dyn SupportedKxGroup; 2]) = match end {
        End::Client => (&SeededRandom(End::Client), [&X25519(End::Client), &P256(End::Client)]),
        End::Server => (&SeededRandom(End::Server), [&X25519(End::Server), &P256(End::Server)]),
    };
    Arc::new(CryptoProvider {
        kx_groups: kx_groups.to_vec(),
        secure_random,
        key_provider: &Keys,
        ..aws_lc_rs::default_provider()
    })
}

thread_local! {
    static STREAMS: RefCell<[ChaCha8Rng; 2]> = RefCell::new(std::array::from_fn(|_| ChaCha8Rng::seed_from_u64(0)));
    /// Signatures already made: the same octets come again in thousands of runs of one seed.
    static SIGNATURES: RefCell<HashMap<[u8; 32], Vec<u8>>> = RefCell::default();
}

fn with_stream<T>(end: End, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
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

/// RFC 7748, by x25519-dalek.
#[derive(Debug)]
struct X25519(End);

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = with_stream(self.0, x25519_dalek::StaticSecret::random_from_rng);
        let public = x25519_dalek::PublicKey::from(&secret);
        Ok(Box::new(X25519Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct X25519Exchange {
    secret: x25519_dalek::StaticSecret,
    public: x25519_dalek::PublicKey,
}

impl ActiveKeyExchange for X25519Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer_pub_key.try_into().map_err(|_| BAD_SHARE)?;
        let shared = self.secret.diffie_hellman(&peer.into());
        if shared.was_contributory() { Ok(shared.as_bytes().as_slice().into()) } else { Err(BAD_SHARE) }
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The group that a HelloRetryRequest asks for.
#[derive(Debug)]
struct P256(End);

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = with_stream(self.0, p256::NonZeroScalar::generate_from_rng);
        let public = p256::PublicKey::from_secret_scalar(&secret).to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(P256Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct P256Exchange {
    secret: p256::NonZeroScalar,
    public: Vec<u8>,
}

impl ActiveKeyExchange for P256Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        let peer = p256::PublicKey::from_sec1_bytes(peer_pub_key).map_err(|_| BAD_SHARE)?;
        let shared = (peer.to_projective() * *self.secret).to_affine();
        Ok(shared.x().as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

const BAD_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

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
        let mut memo = Sha256::new();
        memo.update(&self.spki);
        memo.update(digest);
        let memo: [u8; 32] = memo.finalize().into();
        SIGNATURES.with_borrow_mut(|known| known.entry(memo).or_insert_with(|| self.sign_digest(&digest)).clone())
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
