//! A provider double: it does what another one does, until the call that it was told to fail (everything in rustls' traits
//! that can fail by its type, and the ticketer, which may give nothing).
//!
//! Which call that is belongs to the thread, as do the counts of calls: a test runs in one.

use crate::provider::End;
use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
};
use rustls::server::ProducesTickets;
use rustls::sign::{Signer, SigningKey};
use rustls::{
    Error, NamedGroup, ProtocolVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite, crypto::hmac,
};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// What of a provider can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `SecureRandom::fill`
    Random,
    /// `SupportedKxGroup::start`
    KeyGeneration,
    /// `ActiveKeyExchange::complete`, of a component too, and `SupportedKxGroup::start_and_complete`
    Agreement,
    /// `SigningKey::choose_scheme`
    Scheme,
    /// `Signer::sign`
    Signature,
    /// `SignatureVerificationAlgorithm::verify_signature`
    Verification,
    /// `Prf::for_key_exchange`
    MasterSecret,
    /// `HkdfExpander::expand_slice`
    Expansion,
    /// `ProducesTickets::encrypt`
    TicketSealing,
    /// `ProducesTickets::decrypt`
    TicketOpening,
}

impl Part {
    pub(crate) const ALL: [Self; 10] = [
        Self::Random,
        Self::KeyGeneration,
        Self::Agreement,
        Self::Scheme,
        Self::Signature,
        Self::Verification,
        Self::MasterSecret,
        Self::Expansion,
        Self::TicketSealing,
        Self::TicketOpening,
    ];
}

/// The call that fails, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fuse {
    pub(crate) end: End,
    pub(crate) part: Part,
    pub(crate) call: usize,
}

/// How often each part of each end was called.
pub(crate) type Calls = [[usize; Part::ALL.len()]; 2];

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static FUSE: Cell<Option<Fuse>> = const { Cell::new(None) };
    static CALLS: Cell<Calls> = const { Cell::new([[0; Part::ALL.len()]; 2]) };
}

/// From now on calls are counted, and this one fails.
pub(crate) fn arm(fuse: Option<Fuse>) {
    ARMED.set(true);
    FUSE.set(fuse);
    CALLS.set(Calls::default());
}

/// From now on nothing fails; the calls so far.
pub(crate) fn disarm() -> Calls {
    ARMED.set(false);
    CALLS.get()
}

/// Counts a call, and says whether it is the one that fails.
fn fails(end: End, part: Part) -> bool {
    if !ARMED.get() {
        return false;
    }
    let mut calls = CALLS.get();
    let call = &mut calls[end as usize][part as usize];
    *call += 1;
    let fails = FUSE.get() == Some(Fuse { end, part, call: *call });
    CALLS.set(calls);
    fails
}

/// What rustls' traits have for whatever went wrong.
fn broken() -> Error {
    Error::General("it was told to fail".into())
}

/// The double of a provider. It is never given back: the traits want what lives as long as the process.
pub(crate) fn failing(end: End, base: Arc<CryptoProvider>) -> Arc<CryptoProvider> {
    let base: &'static CryptoProvider = Box::leak(Box::new(Arc::unwrap_or_clone(base)));
    let algorithms = &base.signature_verification_algorithms;
    let mapping: Vec<_> = algorithms.mapping.iter().map(|(scheme, list)| (*scheme, verifications(end, list))).collect();
    let group = |group: &&'static dyn SupportedKxGroup| leak(Group { end, group: *group }) as &dyn SupportedKxGroup;
    Arc::new(CryptoProvider {
        cipher_suites: base.cipher_suites.iter().map(|suite| self::suite(end, *suite)).collect(),
        kx_groups: base.kx_groups.iter().map(group).collect(),
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: verifications(end, algorithms.all),
            mapping: Box::leak(mapping.into_boxed_slice()),
        },
        secure_random: leak(Random { end, random: base.secure_random }),
        key_provider: leak(Keys { end, keys: base.key_provider }),
    })
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn verifications(
    end: End,
    list: &'static [&'static dyn SignatureVerificationAlgorithm],
) -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    let each = |algorithm: &&'static dyn SignatureVerificationAlgorithm| {
        leak(Verification { end, algorithm: *algorithm }) as &'static dyn SignatureVerificationAlgorithm
    };
    Box::leak(list.iter().map(each).collect::<Box<[_]>>())
}

fn suite(end: End, suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(leak(Tls12CipherSuite {
            common: common(&suite.common),
            prf_provider: leak(MasterSecret { end, prf: suite.prf_provider }),
            ..*suite
        })),
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(leak(Tls13CipherSuite {
            common: common(&suite.common),
            hkdf_provider: leak(Expansion { end, hkdf: suite.hkdf_provider }),
            ..*suite
        })),
    }
}

const fn common(of: &rustls::CipherSuiteCommon) -> rustls::CipherSuiteCommon {
    rustls::CipherSuiteCommon { suite: of.suite, hash_provider: of.hash_provider, confidentiality_limit: 0 }
}

#[derive(Debug)]
struct Random {
    end: End,
    random: &'static dyn SecureRandom,
}

impl SecureRandom for Random {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        if fails(self.end, Part::Random) { Err(GetRandomFailed) } else { self.random.fill(buf) }
    }
}

#[derive(Debug)]
struct Group {
    end: End,
    group: &'static dyn SupportedKxGroup,
}

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        if fails(self.end, Part::KeyGeneration) {
            return Err(Error::FailedToGetRandomBytes);
        }
        Ok(Box::new(Exchange { end: self.end, exchange: self.group.start()? }))
    }

    fn start_and_complete(&self, peer_pub_key: &[u8]) -> Result<CompletedKeyExchange, Error> {
        if fails(self.end, Part::Agreement) { Err(broken()) } else { self.group.start_and_complete(peer_pub_key) }
    }

    fn name(&self) -> NamedGroup {
        self.group.name()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.group.usable_for_version(version)
    }
}

struct Exchange {
    end: End,
    exchange: Box<dyn ActiveKeyExchange>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        if fails(self.end, Part::Agreement) { Err(broken()) } else { self.exchange.complete(peer_pub_key) }
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        self.exchange.hybrid_component()
    }

    fn complete_hybrid_component(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        if fails(self.end, Part::Agreement) {
            return Err(broken());
        }
        self.exchange.complete_hybrid_component(peer_pub_key)
    }

    fn pub_key(&self) -> &[u8] {
        self.exchange.pub_key()
    }

    fn group(&self) -> NamedGroup {
        self.exchange.group()
    }
}

#[derive(Debug)]
struct Keys {
    end: End,
    keys: &'static dyn KeyProvider,
}

impl KeyProvider for Keys {
    fn load_private_key(&self, key_der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Ok(Arc::new(Key { end: self.end, key: self.keys.load_private_key(key_der)? }))
    }
}

#[derive(Debug)]
struct Key {
    end: End,
    key: Arc<dyn SigningKey>,
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if fails(self.end, Part::Scheme) {
            return None;
        }
        Some(Box::new(Pen { end: self.end, signer: self.key.choose_scheme(offered)? }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct Pen {
    end: End,
    signer: Box<dyn Signer>,
}

impl Signer for Pen {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        if fails(self.end, Part::Signature) { Err(broken()) } else { self.signer.sign(message) }
    }

    fn scheme(&self) -> SignatureScheme {
        self.signer.scheme()
    }
}

#[derive(Debug)]
struct Verification {
    end: End,
    algorithm: &'static dyn SignatureVerificationAlgorithm,
}

impl SignatureVerificationAlgorithm for Verification {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        if fails(self.end, Part::Verification) {
            return Err(InvalidSignature);
        }
        self.algorithm.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

struct MasterSecret {
    end: End,
    prf: &'static dyn Prf,
}

impl Prf for MasterSecret {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        kx: Box<dyn ActiveKeyExchange>,
        peer_pub_key: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), Error> {
        if fails(self.end, Part::MasterSecret) {
            return Err(broken());
        }
        self.prf.for_key_exchange(output, kx, peer_pub_key, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        self.prf.for_secret(output, secret, label, seed);
    }
}

struct Expansion {
    end: End,
    hkdf: &'static dyn Hkdf,
}

impl Expansion {
    fn expander(&self, expander: Box<dyn HkdfExpander>) -> Box<dyn HkdfExpander> {
        Box::new(Expander { end: self.end, expander })
    }
}

impl Hkdf for Expansion {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.expander(self.hkdf.extract_from_zero_ikm(salt))
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        self.expander(self.hkdf.extract_from_secret(salt, secret))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        self.expander(self.hkdf.expander_for_okm(okm))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> hmac::Tag {
        self.hkdf.hmac_sign(key, message)
    }
}

struct Expander {
    end: End,
    expander: Box<dyn HkdfExpander>,
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if fails(self.end, Part::Expansion) {
            return Err(OutputLengthError);
        }
        self.expander.expand_slice(info, output)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        self.expander.expand_block(info)
    }

    fn hash_len(&self) -> usize {
        self.expander.hash_len()
    }
}

/// A ticketer that fails as told, at the server.
pub(crate) struct FailingTicketer(pub(crate) udtls::Ticketer);

impl fmt::Debug for FailingTicketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingTicketer")
    }
}

impl ProducesTickets for FailingTicketer {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if fails(End::Server, Part::TicketSealing) { None } else { self.0.encrypt(plain) }
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        if fails(End::Server, Part::TicketOpening) { None } else { self.0.decrypt(cipher) }
    }
}
