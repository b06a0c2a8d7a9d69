//! The cryptography of a handshake, by the provider and aws-lc-rs alone: what no implementation can do without.
//!
//! Derived from the standards, step by step, for both ends together:
//!
//! * a random of 32 octets each, key pairs, agreement, the signatures and their verification, and one verification more for
//!   each chain: a certificate below a trust anchor;
//! * the transcript, each message hashed once at each end, and finished where the standard wants its hash: RFC 8446 §4.4.1 and
//!   §7.1, RFC 7627 §3 and RFC 5246 §7.4.9;
//! * the key schedule: RFC 8446 §7.1 with one key for each secret that is expanded from, `key`, `iv` and `sn` of four traffic
//!   secrets (RFC 9147 §4.2.3, §5.9), two Finished; or the PRF of RFC 5246 §5 for the master secret, the key block and two
//!   Finished;
//! * contexts of AEAD and mask for both directions of each epoch under keys, and one record sealed and opened for each flight
//!   under keys: in DTLS 1.3 the server's, the client's and the ACK, in DTLS 1.2 the two Finished;
//! * for a resumption the ticket opened, and in DTLS 1.3 the next one sealed, under a key that is ready, and the binder made
//!   and checked (RFC 8446 §4.2.11.2).
//!
//! Not counted: X.509 and names, encoding, copies, memory, the clock. [`check`](Floor::check) holds the counts against what the
//! library asks of the same provider: a floor that asked for more of anything would be none.

use super::bare::{BareKey, BareSuite};
use super::counting::{Operation, counted};
use super::parties::{ClientAuth, Kind, Parties, private_key};
use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::SignatureVerificationAlgorithm;
use rustls::sign::SigningKey;
use rustls::{SignatureScheme, SupportedCipherSuite, Tls13CipherSuite};
use std::hint::black_box;
use std::sync::Arc;
use udtls::ProtocolVersion;

/// Whether keys are agreed upon with certificates or follow from a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Certificates,
    Session,
}

/// The bare cryptography of one kind of handshake.
pub(crate) struct Floor {
    kind: Kind,
    proof: Proof,
    provider: Arc<CryptoProvider>,
    suite: SupportedCipherSuite,
    bare: BareSuite,
    group: &'static dyn SupportedKxGroup,
    signing_key: Arc<dyn SigningKey>,
    verification: &'static dyn SignatureVerificationAlgorithm,
    /// The end entity's point.
    public_key: Vec<u8>,
    chain: SignedCertificate,
    messages: Messages,
    /// For tickets.
    ticket_key: aws_lc_rs::aead::LessSafeKey,
    noise: Vec<u8>,
}

/// What an authority signed, and its signature.
struct SignedCertificate {
    authority: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

/// Octets of the messages of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages {
    pub(crate) client_hello: usize,
    pub(crate) server_hello: usize,
    pub(crate) certificate: usize,
}

/// A message in the transcript, and whether the hash up to it is wanted.
#[derive(Clone, Copy)]
enum Said {
    Message(usize),
    Hashed(usize),
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
/// Octets of an ECDSA signature by P-256, as most are.
const SIGNATURE: usize = 71;
/// Octets of EncryptedExtensions, and of a CertificateRequest, about.
const SMALL: usize = 16;
const REQUEST: usize = 48;
/// Octets of a list of one binder (RFC 8446 §4.2.11).
const BINDERS: usize = 2 + 1 + 32;
/// Octets of a ticket.
const TICKET: usize = 160;

impl Floor {
    pub(crate) fn new(
        provider: Arc<CryptoProvider>,
        parties: &Parties,
        kind: Kind,
        proof: Proof,
        messages: Messages,
    ) -> Self {
        let suite_name = match kind.version {
            ProtocolVersion::DTLS1_3 => udtls::CipherSuite::TLS_AES_128_GCM_SHA256,
            _ => udtls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        };
        let suite = provider.cipher_suites.iter().find(|suite| u16::from(suite.suite()) == u16::from(suite_name));
        let group = provider.kx_groups.iter().find(|group| u16::from(group.name()) == u16::from(kind.group));
        let mapping = provider.signature_verification_algorithms.mapping;
        let verification = mapping.iter().find_map(|(scheme, all)| (*scheme == SCHEME).then(|| all[0]));
        let load = |key| provider.key_provider.load_private_key(private_key(key)).expect("a key");
        let signed = vec![3; parties.certificate_len() - 80];
        let signature = load(parties.authority()).choose_scheme(&[SCHEME]).expect("ECDSA").sign(&signed);
        let chain = SignedCertificate {
            authority: parties.authority().public_key_raw().to_vec(),
            signature: signature.expect("a signature"),
            signed,
        };
        let ticket_key = aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, &[1; 32]).expect("a key");
        Self {
            kind,
            proof,
            suite: *suite.expect("the suite"),
            bare: BareSuite::new(kind.version, suite_name),
            group: *group.expect("the group"),
            signing_key: load(parties.server_key()),
            verification: verification.expect("P-256"),
            public_key: parties.server_key().public_key_raw().to_vec(),
            chain,
            messages,
            ticket_key: aws_lc_rs::aead::LessSafeKey::new(ticket_key),
            noise: vec![9; 4096],
            provider,
        }
    }

    /// Holds the counts of this floor, which must be over the counting provider, against those of the library's handshake.
    pub(crate) fn check(&self, name: &str, library: [usize; Operation::ALL.len()]) -> [usize; Operation::ALL.len()] {
        let floor = counted(|| self.run());
        for (operation, (floor, library)) in Operation::ALL.iter().zip(floor.iter().zip(library)) {
            assert!(
                *floor <= library,
                "{name}: {operation:?}: the floor's {floor} are more than the library's {library}"
            );
        }
        floor
    }

    /// The public-key operations of a full handshake alone.
    pub(crate) fn public_keys(&self) {
        let exchange = self.group.start().expect("a key pair");
        let completed = self.group.start_and_complete(exchange.pub_key()).expect("a key exchange");
        black_box(exchange.complete(&completed.pub_key).expect("a shared secret").secret_bytes());
        self.authenticate(&self.noise[..64 + 34 + 32]);
    }

    /// All of it, once.
    pub(crate) fn run(&self) {
        self.random();
        self.random();
        match (self.suite, self.proof) {
            (SupportedCipherSuite::Tls13(suite), _) => self.run13(suite),
            (SupportedCipherSuite::Tls12(suite), Proof::Certificates) => self.full12(suite.prf_provider),
            (SupportedCipherSuite::Tls12(suite), Proof::Session) => self.abbreviated12(suite.prf_provider),
        }
    }

    fn run13(&self, suite: &Tls13CipherSuite) {
        let exchange = self.group.start().expect("a key pair");
        let completed = self.group.start_and_complete(exchange.pub_key()).expect("a key exchange");
        let shared = exchange.complete(&completed.pub_key).expect("a shared secret");
        let (transcript, flights) = self.said13(suite.common.hash_provider.output_len());
        for secret in [shared.secret_bytes(), completed.secret.secret_bytes()] {
            self.end13(suite, secret, &transcript);
        }
        if self.proof == Proof::Certificates {
            // 64 octets of padding, the context string, and a hash (RFC 8446 §4.4.3).
            self.authenticate(&self.noise[..64 + 34 + 32]);
        } else {
            self.tickets(2);
        }
        flights.iter().for_each(|len| self.record(*len));
    }

    /// The messages of DTLS 1.3, where their hash is wanted, and the octets of each flight under keys (RFC 8446 §2).
    fn said13(&self, hash: usize) -> (Vec<Said>, Vec<usize>) {
        use Said::{Hashed, Message};
        let Messages { client_hello, server_hello, certificate } = self.messages;
        let (finished, verify) = (4 + hash, 4 + 4 + SIGNATURE);
        let client_shows = self.kind.client_auth == ClientAuth::Required;
        let mut said = Vec::new();
        match self.proof {
            Proof::Session => {
                // The binder covers what is before it; then the hash is for the secrets of the handshake, for the server's
                // Finished, for the client's and the secrets of the data, and for the next ticket.
                said.extend([Hashed(client_hello - BINDERS), Message(BINDERS), Hashed(server_hello)]);
                said.extend([Hashed(SMALL), Hashed(finished), Hashed(finished)]);
            }
            Proof::Certificates => {
                said.extend([Message(client_hello), Hashed(server_hello), Message(SMALL)]);
                said.extend(client_shows.then_some(Message(REQUEST)));
                said.extend([Hashed(certificate), Hashed(verify), Hashed(finished)]);
                if client_shows {
                    said.extend([Hashed(certificate), Hashed(verify)]);
                }
            }
        }
        let shown = if self.proof == Proof::Certificates { certificate + verify } else { 0 };
        let mut flights = vec![SMALL + shown + finished, finished, 2 + 16];
        if client_shows {
            flights[1] += certificate + verify;
        }
        if self.proof == Proof::Session {
            flights.push(TICKET);
        }
        (said, flights)
    }

    /// What one end derives.
    fn end13(&self, suite: &Tls13CipherSuite, shared: &[u8], transcript: &[Said]) {
        let (hkdf, len) = (suite.hkdf_provider, suite.common.hash_provider.output_len());
        let expand = |expander: &dyn HkdfExpander, context: &[u8], out: &mut [u8]| {
            // Length, label with its prefix, context (RFC 8446 §7.1).
            let info: [&[u8]; 4] = [&[0, 32, 18], b"dtls13c hs traffic", &[32], context];
            expander.expand_slice(&info, out).expect("as long as a hash");
        };
        let secret = |expander: &dyn HkdfExpander, context: &[u8]| {
            let mut secret = [0; 64];
            expand(expander, context, &mut secret[..len]);
            OkmBlock::new(&secret[..len])
        };
        let hashes = self.transcript(suite.common.hash_provider.start(), transcript);
        let early = match self.proof {
            Proof::Certificates => hkdf.extract_from_zero_ikm(None),
            Proof::Session => {
                let early = hkdf.extract_from_secret(None, &self.noise[..len]);
                let binder_key = hkdf.expander_for_okm(&secret(&*early, &hashes[..len]));
                black_box(hkdf.hmac_sign(&secret(&*binder_key, &[]), &hashes[..len]));
                early
            }
        };
        let handshake = hkdf.extract_from_secret(Some(secret(&*early, &hashes[..len]).as_ref()), shared);
        // Client's and server's: the keys of a direction, and its Finished.
        for _ in 0..2 {
            let traffic = hkdf.expander_for_okm(&secret(&*handshake, &hashes[..len]));
            self.epoch13(&*traffic, &expand);
            black_box(hkdf.hmac_sign(&secret(&*traffic, &[]), &hashes[..len]));
        }
        let master = hkdf.extract_from_zero_ikm(Some(secret(&*handshake, &hashes[..len]).as_ref()));
        for _ in 0..2 {
            let traffic = hkdf.expander_for_okm(&secret(&*master, &hashes[..len]));
            self.epoch13(&*traffic, &expand);
        }
        // For exporters.
        black_box(secret(&*master, &hashes[..len]));
        if self.proof == Proof::Session {
            let resumption = hkdf.expander_for_okm(&secret(&*master, &hashes[..len]));
            black_box(secret(&*resumption, &[0]));
        }
    }

    /// Key, IV and key for record numbers, and the contexts (RFC 9147 §4.2.3).
    fn epoch13(&self, traffic: &dyn HkdfExpander, expand: &impl Fn(&dyn HkdfExpander, &[u8], &mut [u8])) {
        let (mut key, mut iv, mut sn_key) = ([0; 32], [0; 12], [0; 32]);
        let len = self.bare.key_len();
        expand(traffic, &[], &mut key[..len]);
        expand(traffic, &[], &mut iv);
        expand(traffic, &[], &mut sn_key[..len]);
        black_box(iv);
        black_box(self.bare.key(&key[..len], &sn_key[..len]));
    }

    fn full12(&self, prf: &dyn Prf) {
        use Said::{Hashed, Message};
        let [server, client] = [self.group.start().expect("a key pair"), self.group.start().expect("a key pair")];
        let [server_share, client_share] = [server.pub_key().to_vec(), client.pub_key().to_vec()];
        let Messages { client_hello, server_hello, certificate } = self.messages;
        let header = 12;
        let key_exchange = header + 4 + client_share.len();
        let mut said = vec![Message(client_hello), Message(server_hello), Message(certificate)];
        said.push(Message(key_exchange + 4 + SIGNATURE));
        let shows = self.kind.client_auth == ClientAuth::Required;
        if shows {
            said.extend([Message(REQUEST), Message(header), Message(certificate), Hashed(key_exchange)]);
            said.push(Hashed(header + 4 + SIGNATURE));
        } else {
            // The session hash is that of the client's Finished.
            said.extend([Message(header), Hashed(key_exchange)]);
        }
        // The client's Finished.
        said.push(Hashed(header + 12));
        for (exchange, share) in [(client, &server_share), (server, &client_share)] {
            let hashes = self.transcript(self.suite_hash().start(), &said);
            let mut master = [0; 48];
            prf.for_key_exchange(&mut master, exchange, share, b"extended master secret", &hashes[..32])
                .expect("a secret");
            self.keys12(prf, &master, &hashes);
        }
        // Two randoms and the parameters (RFC 8422 §5.4).
        self.authenticate(&self.noise[..64 + 4 + server_share.len()]);
        self.record(header + 12);
        self.record(header + 12);
    }

    /// RFC 5246 §7.3, RFC 5077 §3.1.
    fn abbreviated12(&self, prf: &dyn Prf) {
        use Said::{Hashed, Message};
        let said = [Message(self.messages.client_hello), Hashed(self.messages.server_hello), Hashed(12 + 12)];
        for _ in 0..2 {
            let hashes = self.transcript(self.suite_hash().start(), &said);
            self.keys12(prf, &[5; 48], &hashes);
        }
        self.tickets(1);
        self.record(12 + 12);
        self.record(12 + 12);
    }

    /// The key block, the contexts, and both Finished, at one end.
    fn keys12(&self, prf: &dyn Prf, master: &[u8; 48], hashes: &[u8]) {
        let (mut block, mut verify_data) = ([0; 40], [0; 12]);
        prf.for_secret(&mut block, master, b"key expansion", &self.noise[..64]);
        let len = self.bare.key_len();
        black_box([&block[..len], &block[len..2 * len]].map(|key| self.bare.key(key, &[])));
        for label in [b"client finished", b"server finished"] {
            prf.for_secret(&mut verify_data, master, label, &hashes[..32]);
            black_box(verify_data);
        }
    }

    fn suite_hash(&self) -> &'static dyn rustls::crypto::hash::Hash {
        match self.suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        }
    }

    /// All that is said, hashed; the last hash.
    fn transcript(&self, context: Box<dyn rustls::crypto::hash::Context>, said: &[Said]) -> [u8; 64] {
        let (mut context, mut last) = (context, [0; 64]);
        for said in said {
            match said {
                Said::Message(len) => context.update(&self.noise[..*len]),
                Said::Hashed(len) => {
                    context.update(&self.noise[..*len]);
                    let hash = context.fork_finish();
                    last[..hash.as_ref().len()].copy_from_slice(hash.as_ref());
                }
            }
        }
        last
    }

    /// The server's proof and, if the client must show who it is, the client's.
    fn authenticate(&self, content: &[u8]) {
        let proofs = if self.kind.client_auth == ClientAuth::Required { 2 } else { 1 };
        for _ in 0..proofs {
            let signature =
                self.signing_key.choose_scheme(&[SCHEME]).expect("ECDSA").sign(content).expect("a signature");
            let SignedCertificate { authority, signed, signature: by_authority } = &self.chain;
            self.verification.verify_signature(authority, signed, by_authority).expect("it is good");
            self.verification.verify_signature(&self.public_key, content, &signature).expect("it is good");
        }
    }

    fn random(&self) {
        let mut random = [0; 32];
        self.provider.secure_random.fill(&mut random).expect("randomness");
        black_box(random);
    }

    /// One record under keys, at both ends; the contexts are built already.
    fn record(&self, len: usize) {
        thread_local! {
            static KEYS: std::cell::RefCell<Vec<(usize, [BareKey; 2])>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        let which = self.bare.inner_len();
        KEYS.with_borrow_mut(|keys| {
            if !keys.iter().any(|(inner, _)| *inner == which) {
                keys.push((which, std::array::from_fn(|_| self.bare.key(&[1; 16], &[2; 16]))));
            }
            let (_, [seal, open]) = keys.iter_mut().find(|(inner, _)| *inner == which).expect("it was put there");
            let mut record = [0; 2048];
            let record = &mut record[..len + which + BareKey::TAG_LEN];
            seal.seal(self.bare, record);
            open.open(self.bare, record);
        });
    }

    /// So many times a ticket is sealed or opened.
    fn tickets(&self, times: usize) {
        let mut ticket = [0; TICKET];
        for _ in 0..times {
            let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key([4; 12]);
            let additional = aws_lc_rs::aead::Aad::from([0; 36]);
            let tag = self.ticket_key.seal_in_place_separate_tag(nonce, additional, &mut ticket).expect("room");
            black_box(tag.as_ref());
        }
    }
}
