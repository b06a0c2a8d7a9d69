//! A `CryptoProvider` that counts what is asked of it: to hold a floor against what the library does. A floor that asks for
//! more than the library of any operation would be none.

use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{
    ActiveKeyExchange, CipherSuiteCommon, CompletedKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider,
    SecureRandom, SharedSecret, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs,
};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::{Signer, SigningKey};
use rustls::{
    Error, NamedGroup, ProtocolVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite,
};
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

/// What may be asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Random,
    KeyPair,
    Agreement,
    Signature,
    Verification,
    /// A hash of something, finished.
    Hash,
    /// Octets hashed.
    HashedOctets,
    Extract,
    /// A key made ready for HKDF-Expand.
    Expander,
    Expand,
    Hmac,
    Prf,
}

impl Operation {
    pub(crate) const ALL: [Self; 12] = [
        Self::Random,
        Self::KeyPair,
        Self::Agreement,
        Self::Signature,
        Self::Verification,
        Self::Hash,
        Self::HashedOctets,
        Self::Extract,
        Self::Expander,
        Self::Expand,
        Self::Hmac,
        Self::Prf,
    ];

    fn count(self, times: usize) {
        COUNTS.with_borrow_mut(|counts| counts[self as usize] += times);
    }
}

thread_local! {
    static COUNTS: RefCell<[usize; Operation::ALL.len()]> = const { RefCell::new([0; Operation::ALL.len()]) };
}

/// What was asked of the provider meanwhile.
pub(crate) fn counted(run: impl FnOnce()) -> [usize; Operation::ALL.len()] {
    COUNTS.take();
    run();
    COUNTS.take()
}

/// aws-lc-rs, counting.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let inner = aws_lc_rs::default_provider();
        Arc::new(CryptoProvider {
            cipher_suites: inner.cipher_suites.into_iter().map(suite).collect(),
            kx_groups: inner.kx_groups.into_iter().map(group).collect(),
            signature_verification_algorithms: algorithms(inner.signature_verification_algorithms),
            secure_random: leak(Random(inner.secure_random)),
            key_provider: leak(Keys(inner.key_provider)),
        })
    });
    PROVIDER.clone()
}

/// A provider lives as long as its process.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn suite(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: leak(CountedHash(common.hash_provider)),
        confidentiality_limit: common.confidentiality_limit,
    };
    match suite {
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(leak(Tls12CipherSuite {
            common: common(&suite.common),
            prf_provider: leak(CountedPrf(suite.prf_provider)),
            kx: suite.kx,
            sign: suite.sign,
            aead_alg: suite.aead_alg,
        })),
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(leak(Tls13CipherSuite {
            common: common(&suite.common),
            hkdf_provider: leak(CountedHkdf(suite.hkdf_provider)),
            aead_alg: suite.aead_alg,
            quic: suite.quic,
        })),
    }
}

fn algorithms(inner: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    let wrap = |inner: &[&'static dyn SignatureVerificationAlgorithm]| -> &'static [&'static dyn SignatureVerificationAlgorithm] {
        leak(inner.iter().map(|inner| verification(*inner)).collect::<Vec<_>>())
    };
    let mapping: Vec<_> = inner.mapping.iter().map(|(scheme, inner)| (*scheme, wrap(inner))).collect();
    WebPkiSupportedAlgorithms { all: wrap(inner.all), mapping: leak(mapping) }
}

fn group(inner: &'static dyn SupportedKxGroup) -> &'static dyn SupportedKxGroup {
    leak(Group(inner))
}

fn verification(inner: &'static dyn SignatureVerificationAlgorithm) -> &'static dyn SignatureVerificationAlgorithm {
    leak(Verification(inner))
}

#[derive(Debug)]
struct Random(&'static dyn SecureRandom);

impl SecureRandom for Random {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        Operation::Random.count(1);
        self.0.fill(buf)
    }
}

#[derive(Debug)]
struct Group(&'static dyn SupportedKxGroup);

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Operation::KeyPair.count(1);
        Ok(Box::new(Exchange(self.0.start()?)))
    }

    fn start_and_complete(&self, peer_pub_key: &[u8]) -> Result<CompletedKeyExchange, Error> {
        Operation::KeyPair.count(1);
        Operation::Agreement.count(1);
        self.0.start_and_complete(peer_pub_key)
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.0.usable_for_version(version)
    }
}

struct Exchange(Box<dyn ActiveKeyExchange>);

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        Operation::Agreement.count(1);
        self.0.complete(peer_pub_key)
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        self.0.hybrid_component()
    }

    fn complete_hybrid_component(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        Operation::Agreement.count(1);
        self.0.complete_hybrid_component(peer_pub_key)
    }

    fn pub_key(&self) -> &[u8] {
        self.0.pub_key()
    }

    fn group(&self) -> NamedGroup {
        self.0.group()
    }
}

#[derive(Debug)]
struct Keys(&'static dyn KeyProvider);

impl KeyProvider for Keys {
    fn load_private_key(&self, key_der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Ok(Arc::new(Key(self.0.load_private_key(key_der)?)))
    }
}

#[derive(Debug)]
struct Key(Arc<dyn SigningKey>);

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(CountedSigner(self.0.choose_scheme(offered)?)))
    }

    fn public_key(&self) -> Option<rustls::pki_types::SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct CountedSigner(Box<dyn Signer>);

impl Signer for CountedSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Operation::Signature.count(1);
        self.0.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

#[derive(Debug)]
struct Verification(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Verification {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        Operation::Verification.count(1);
        self.0.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

struct CountedHash(&'static dyn Hash);

impl Hash for CountedHash {
    fn start(&self) -> Box<dyn Context> {
        Box::new(CountedContext(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Operation::Hash.count(1);
        Operation::HashedOctets.count(data.len());
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }
}

struct CountedContext(Box<dyn Context>);

impl Context for CountedContext {
    fn fork_finish(&self) -> Output {
        Operation::Hash.count(1);
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        Operation::Hash.count(1);
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        Operation::HashedOctets.count(data.len());
        self.0.update(data);
    }
}

struct CountedHkdf(&'static dyn Hkdf);

impl Hkdf for CountedHkdf {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        Operation::Extract.count(1);
        Box::new(CountedExpander(self.0.extract_from_zero_ikm(salt)))
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        Operation::Extract.count(1);
        Box::new(CountedExpander(self.0.extract_from_secret(salt, secret)))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Operation::Expander.count(1);
        Box::new(CountedExpander(self.0.expander_for_okm(okm)))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        Operation::Hmac.count(1);
        self.0.hmac_sign(key, message)
    }
}

struct CountedExpander(Box<dyn HkdfExpander>);

impl HkdfExpander for CountedExpander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        Operation::Expand.count(1);
        self.0.expand_slice(info, output)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        Operation::Expand.count(1);
        self.0.expand_block(info)
    }

    fn hash_len(&self) -> usize {
        self.0.hash_len()
    }
}

struct CountedPrf(&'static dyn Prf);

impl Prf for CountedPrf {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        kx: Box<dyn ActiveKeyExchange>,
        peer_pub_key: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), Error> {
        // The exchange counts itself.
        Operation::Prf.count(1);
        self.0.for_key_exchange(output, kx, peer_pub_key, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        Operation::Prf.count(1);
        self.0.for_secret(output, secret, label, seed);
    }
}
