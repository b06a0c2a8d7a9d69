//! Key exchange with seeded key pairs, whose arithmetic is done once for each pair of numbers.

use crate::provider::{End, once, with_stream};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::ToSec1Point;
use rand_core::Rng;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use sha2::{Digest, Sha512};

const BAD_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// RFC 7748, by x25519-dalek.
#[derive(Debug)]
pub(crate) struct X25519(pub(crate) End);

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = with_stream(self.0, x25519_dalek::StaticSecret::random_from_rng);
        let public =
            once(&[b"X25519", secret.as_bytes()], || x25519_dalek::PublicKey::from(&secret).to_bytes().to_vec());
        Ok(Box::new(X25519Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct X25519Exchange {
    secret: x25519_dalek::StaticSecret,
    public: Vec<u8>,
}

impl ActiveKeyExchange for X25519Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer_pub_key.try_into().map_err(|_| BAD_SHARE)?;
        let shared = once(&[b"X25519", self.secret.as_bytes(), &peer], || {
            let shared = self.secret.diffie_hellman(&peer.into());
            if shared.was_contributory() { shared.as_bytes().to_vec() } else { Vec::new() }
        });
        if shared.is_empty() { Err(BAD_SHARE) } else { Ok(shared.as_slice().into()) }
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The group that a HelloRetryRequest asks for.
#[derive(Debug)]
pub(crate) struct P256(pub(crate) End);

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = with_stream(self.0, p256::NonZeroScalar::generate_from_rng);
        let public = once(&[b"P-256", &secret.to_bytes()], || {
            p256::PublicKey::from_secret_scalar(&secret).to_sec1_point(false).as_bytes().to_vec()
        });
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
        let shared = once(&[b"P-256", &self.secret.to_bytes(), peer_pub_key], || {
            (peer.to_projective() * *self.secret).to_affine().x().to_vec()
        });
        Ok(shared.as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

/// What X25519MLKEM768 looks like from outside (draft-ietf-tls-ecdhe-mlkem §4): shares of its lengths, which is all that the
/// network cares for. The secret is a digest of the shares.
#[derive(Debug)]
pub(crate) struct Hybrid(pub(crate) End);

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(HybridExchange { public: self.draw(CLIENT_SHARE) }))
    }

    fn start_and_complete(&self, peer_pub_key: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let pub_key = self.draw(SERVER_SHARE);
        let secret = hybrid_secret(peer_pub_key, &pub_key);
        Ok(CompletedKeyExchange { group: NamedGroup::X25519MLKEM768, pub_key, secret })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

impl Hybrid {
    fn draw(&self, len: usize) -> Vec<u8> {
        let mut share = vec![0; len];
        with_stream(self.0, |stream| stream.fill_bytes(&mut share));
        share
    }
}

struct HybridExchange {
    public: Vec<u8>,
}

impl ActiveKeyExchange for HybridExchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        Ok(hybrid_secret(&self.public, peer_pub_key))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

fn hybrid_secret(client: &[u8], server: &[u8]) -> SharedSecret {
    Sha512::new().chain_update(client).chain_update(server).finalize().as_slice().into()
}

/// Octets: an encapsulation key and an X25519 share.
const CLIENT_SHARE: usize = 1184 + 32;

/// Octets: a ciphertext and an X25519 share.
const SERVER_SHARE: usize = 1088 + 32;
