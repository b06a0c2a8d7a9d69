//! A `CryptoProvider` for speed: key exchange and signatures are digests, of the lengths and forms that real ones have. They
//! keep no secret, and still nothing but the right octets passes: no key pair, share or message can change without another
//! outcome. What protects records and derives keys is aws-lc-rs'.
//!
//! Both ends draw from streams of their own, which belong to the thread.

use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};
use rustls::sign::Signer;
use rustls::{Error, NamedGroup, ProtocolVersion, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::sync::Arc;

/// One of the two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Client,
    Server,
}

impl End {
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

thread_local! {
    static STREAMS: [Cell<u64>; 2] = const { [Cell::new(1), Cell::new(2)] };
}

/// Begins both streams anew.
pub fn reseed(seed: u64) {
    STREAMS.with(|streams| streams.iter().zip(0..).for_each(|(stream, end)| stream.set(seed << 1 | end)));
}

/// splitmix64.
fn draw(end: End) -> u64 {
    STREAMS.with(|streams| {
        let stream = &streams[end as usize];
        let state = stream.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        stream.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

fn fill(end: End, buf: &mut [u8]) {
    buf.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&draw(end).to_be_bytes()[..chunk.len()]));
}

/// The provider of one end.
pub fn provider(end: End) -> Arc<CryptoProvider> {
    let (secure_random, kx_groups): (_, [&'static dyn SupportedKxGroup; 3]) = match end {
        End::Client => (
            &Random(End::Client),
            [&Group(End::Client, X25519), &Group(End::Client, P256), &Group(End::Client, HYBRID)],
        ),
        End::Server => (
            &Random(End::Server),
            [&Group(End::Server, X25519), &Group(End::Server, P256), &Group(End::Server, HYBRID)],
        ),
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

#[derive(Debug)]
struct Random(End);

impl SecureRandom for Random {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(self.0, buf);
        Ok(())
    }
}

// ---- key exchange

/// What a group looks like on the wire.
#[derive(Clone, Copy, Debug)]
struct Shape {
    name: NamedGroup,
    /// Octets of a client's and a server's share.
    shares: [usize; 2],
    /// What a share begins with.
    first: Option<u8>,
}

const X25519: Shape = Shape { name: NamedGroup::X25519, shares: [32, 32], first: None };
const P256: Shape = Shape { name: NamedGroup::secp256r1, shares: [65, 65], first: Some(4) };
const HYBRID: Shape = Shape { name: NamedGroup::X25519MLKEM768, shares: [1216, 1120], first: None };

#[derive(Debug)]
struct Group(End, Shape);

impl Group {
    fn share(&self) -> Vec<u8> {
        let mut share = vec![0; self.1.shares[self.0 as usize]];
        fill(self.0, &mut share);
        if let Some(first) = self.1.first {
            share[0] = first;
        }
        share
    }
}

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Exchange { group: self.1.name, share: self.share() }))
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let share = self.share();
        let secret = agree(&share, peer);
        Ok(CompletedKeyExchange { group: self.1.name, pub_key: share, secret })
    }

    fn name(&self) -> NamedGroup {
        self.1.name
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3 || self.1.name != NamedGroup::X25519MLKEM768
    }
}

struct Exchange {
    group: NamedGroup,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        Ok(agree(&self.share, peer))
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        self.group
    }
}

/// A digest of both shares, whichever is whose.
fn agree(one: &[u8], other: &[u8]) -> SharedSecret {
    let mut digest = Sha256::new();
    digest.update(one.min(other));
    digest.update(one.max(other));
    digest.finalize().as_slice().into()
}

// ---- signatures

#[derive(Debug)]
struct Verification;

impl SignatureVerificationAlgorithm for Verification {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        if signature == signed(public_key, message) { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

fn signed(public_key: &[u8], message: &[u8]) -> Vec<u8> {
    let digest: [u8; 32] = Sha256::new().chain_update(public_key).chain_update(message).finalize().into();
    digest.repeat(2)
}

/// Loads keys of [`Key::private`].
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key_der: PrivateKeyDer<'static>) -> Result<Arc<dyn rustls::sign::SigningKey>, Error> {
        match key_der.secret_der() {
            [number] => Ok(Arc::new(Key::numbered(*number))),
            _ => Err(Error::General("no key of this provider's".into())),
        }
    }
}

/// A signing key by its number.
#[derive(Clone, Debug)]
pub struct Key {
    number: u8,
    point: Vec<u8>,
    spki: Vec<u8>,
}

impl Key {
    pub fn numbered(number: u8) -> Self {
        let digest: [u8; 32] = Sha256::digest([number]).into();
        let point = [&[4][..], &digest, &digest].concat();
        // SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING } (RFC 5480 §2).
        let mut spki = vec![0x30, 89, 0x30, 19];
        spki.extend_from_slice(alg_id::ECDSA_P256.as_ref());
        spki.extend_from_slice(&[0x03, 66, 0]);
        spki.extend_from_slice(&point);
        Self { number, point, spki }
    }

    /// What [`Keys`] loads.
    pub fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(vec![self.number].into())
    }
}

impl rustls::sign::SigningKey for Key {
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

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(signed(&self.point, message))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(signed(&self.point, message))
    }
}
