//! What a protected record holds, for a network that treats messages and not only datagrams: read with the secrets that both
//! ends log (RFC 9850), by the sender's key schedule (RFC 8446 §7.1, §7.3, RFC 9147 §4, §4.2.3, §5.9).
//!
//! The secrets belong to the thread, as the runs do.

use crate::ladder::End;
use aws_lc_rs::aead::quic::{self, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::KeyLog;
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::{CipherSuite, SupportedCipherSuite};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a record may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Message(Fragment),
    ChangeCipherSpec,
    Alert,
    Data,
    Ack,
}

/// A part of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) message: u8,
    pub(crate) message_seq: usize,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Content {
    /// Those of a record's payload.
    pub(crate) fn of(content_type: u8, mut payload: &[u8]) -> Vec<Self> {
        match content_type {
            20 => vec![Self::ChangeCipherSpec],
            21 => vec![Self::Alert],
            23 => vec![Self::Data],
            26 => vec![Self::Ack],
            22 => {
                let mut messages = Vec::new();
                while let Some((header, body)) = payload.split_at_checked(12) {
                    let number = |range: &[u8]| range.iter().fold(0usize, |n, octet| n << 8 | usize::from(*octet));
                    let (message_seq, offset) = (number(&header[4..6]), number(&header[6..9]));
                    let len = number(&header[9..12]);
                    messages.push(Self::Message(Fragment { message: header[0], message_seq, offset, len }));
                    payload = body.get(len..).unwrap_or_default();
                }
                messages
            }
            _ => Vec::new(),
        }
    }
}

/// Logs for this thread's run.
#[derive(Debug)]
pub(crate) struct Log;

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        SECRETS.with_borrow_mut(|secrets| secrets.insert(label.to_owned(), secret.to_vec()));
    }
}

thread_local! {
    static SECRETS: RefCell<HashMap<String, Vec<u8>>> = RefCell::default();
}

/// Another run begins.
pub(crate) fn forget() {
    SECRETS.with_borrow_mut(HashMap::clear);
}

/// What the record of a datagram that this end has sent holds. Nothing, if nobody can tell.
pub(crate) fn contents(from: End, record: &[u8]) -> Vec<Content> {
    match record {
        [first @ 0x20..=0x3F, ..] => {
            let opened = epochs(first & 0x03).find_map(|epoch| open(from, epoch, record));
            opened.map(|(content_type, payload)| Content::of(content_type, &payload)).unwrap_or_default()
        }
        [content_type, _, _, 0, 0, ..] => Content::of(*content_type, record.get(13..).unwrap_or_default()),
        // The content type of DTLS 1.2 is not encrypted, and there is but one message under keys: Finished, of twelve octets.
        [22, _, _, _, _, ..] => vec![Content::Message(Fragment { message: 20, message_seq: 0, offset: 0, len: 12 })],
        [content_type, _, _, _, _, ..] => Content::of(*content_type, &[]),
        _ => Vec::new(),
    }
}

/// Those with these low bits that a run may come to.
fn epochs(bits: u8) -> impl Iterator<Item = usize> {
    (2..16).filter(move |epoch| epoch % 4 == usize::from(bits))
}

/// Content type and content of a record of DTLS 1.3, with 16 bits of number and a length, as both ends write them.
fn open(from: End, epoch: usize, record: &[u8]) -> Option<(u8, Vec<u8>)> {
    SUITES.iter().find_map(|suite| suite.open(&suite.secret(from, epoch)?, record))
}

/// HKDF-Expand from a secret.
type Expander = Box<dyn Fn(&[u8]) -> Box<dyn HkdfExpander> + Send + Sync>;

/// A suite of DTLS 1.3.
struct Suite {
    hash_len: usize,
    expander: Expander,
    aead: &'static Algorithm,
    mask: &'static quic::Algorithm,
}

static SUITES: LazyLock<Vec<Suite>> = LazyLock::new(|| {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.into_iter().filter_map(Suite::new).collect()
});

impl Suite {
    fn new(supported: SupportedCipherSuite) -> Option<Self> {
        let SupportedCipherSuite::Tls13(suite) = supported else { return None };
        let (aead, mask) = match suite.common.suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => (&AES_128_GCM, &quic::AES_128),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => (&AES_256_GCM, &quic::AES_256),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => (&CHACHA20_POLY1305, &quic::CHACHA20),
            _ => return None,
        };
        let expander = |secret: &[u8]| suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
        let hash_len = suite.common.hash_provider.output_len();
        Some(Self { hash_len, expander: Box::new(expander), aead, mask })
    }

    /// HKDF-Expand-Label with the prefix of RFC 9147 §5.9 and no context.
    fn expand(&self, secret: &[u8], label: &str, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let octet = |n| u8::try_from(n).expect("short");
        let info: [&[u8]; 5] = [&[0, octet(len)], &[octet(6 + label.len())], b"dtls13", label.as_bytes(), &[0]];
        (self.expander)(secret).expand_slice(&info, &mut out).expect("short");
        out
    }

    /// The traffic secret of an epoch, if it is known and may be one of this suite's.
    fn secret(&self, from: End, epoch: usize) -> Option<Vec<u8>> {
        let label = match (from, epoch) {
            (End::Client, 2) => "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            (End::Server, 2) => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            (End::Client, _) => "CLIENT_TRAFFIC_SECRET_0",
            (End::Server, _) => "SERVER_TRAFFIC_SECRET_0",
        };
        let first = SECRETS.with_borrow(|secrets| secrets.get(label).cloned())?;
        let updates = 3..epoch.max(3);
        (first.len() == self.hash_len)
            .then(|| updates.fold(first, |secret, _| self.expand(&secret, "traffic upd", self.hash_len)))
    }

    fn open(&self, secret: &[u8], record: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (head, sealed) = record.split_at_checked(5)?;
        let mask_key = self.expand(secret, "sn", self.aead.key_len());
        let mask = HeaderProtectionKey::new(self.mask, &mask_key).ok()?.new_mask(sealed.get(..16)?).ok()?;
        let number = [head[1] ^ mask[0], head[2] ^ mask[1]];
        let mut nonce: [u8; 12] = self.expand(secret, "iv", 12).try_into().ok()?;
        // No run gets beyond 2^16 records of an epoch.
        nonce[10] ^= number[0];
        nonce[11] ^= number[1];
        let key = UnboundKey::new(self.aead, &self.expand(secret, "key", self.aead.key_len())).ok()?;
        let additional = [head[0], number[0], number[1], head[3], head[4]];
        let mut inner = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let len = LessSafeKey::new(key).open_in_place(nonce, Aad::from(additional), &mut inner).ok()?.len();
        inner.truncate(len);
        while inner.last() == Some(&0) {
            inner.pop();
        }
        Some((inner.pop()?, inner))
    }
}
