//! The cryptography of a record, by aws-lc-rs alone: no implementation can do without it.
//!
//! A record is sealed or opened by the AEAD, with the additional data of its version (RFC 6347 §4.1.2.1 by way of RFC 5246
//! §6.2.3.3; RFC 9147 §4), and in DTLS 1.3 its number is masked with a key that is ready (RFC 9147 §4.2.3). Nothing is
//! copied, no header is written and no window is kept.

use aws_lc_rs::aead::quic::{self, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::hint::black_box;
use udtls::{CipherSuite, ProtocolVersion};

/// One direction of one epoch.
pub(crate) struct BareKey {
    aead: LessSafeKey,
    mask: Mask,
    sequence_number: u64,
}

enum Mask {
    /// DTLS 1.2 hides no record number.
    None,
    Key(Box<HeaderProtectionKey>),
}

/// What a suite consists of, for a record.
#[derive(Clone, Copy)]
pub(crate) struct BareSuite {
    aead: &'static Algorithm,
    mask: Option<&'static quic::Algorithm>,
}

impl BareSuite {
    pub(crate) fn new(version: ProtocolVersion, suite: CipherSuite) -> Self {
        let name = suite.to_string();
        let (aead, mask) = match name {
            name if name.contains("AES_128_GCM") => (&AES_128_GCM, &quic::AES_128),
            name if name.contains("AES_256_GCM") => (&AES_256_GCM, &quic::AES_256),
            name if name.contains("CHACHA20") => (&CHACHA20_POLY1305, &quic::CHACHA20),
            name => panic!("{name}"),
        };
        Self { aead, mask: (version == ProtocolVersion::DTLS1_3).then_some(mask) }
    }

    pub(crate) fn key_len(self) -> usize {
        self.aead.key_len()
    }

    /// Octets of the additional data, the header with the record number (RFC 9147 §4) or what stands for it.
    fn additional_len(self) -> usize {
        if self.mask.is_some() { 5 } else { 13 }
    }

    /// Octets after the payload that are sealed with it: the content type (RFC 9147 §4).
    pub(crate) fn inner_len(self) -> usize {
        usize::from(self.mask.is_some())
    }

    /// Contexts for one direction of one epoch.
    pub(crate) fn key(self, key: &[u8], sn_key: &[u8]) -> BareKey {
        let aead = LessSafeKey::new(UnboundKey::new(self.aead, key).expect("a key"));
        let mask = match self.mask {
            None => Mask::None,
            Some(mask) => Mask::Key(Box::new(HeaderProtectionKey::new(mask, sn_key).expect("a key"))),
        };
        BareKey { aead, mask, sequence_number: 0 }
    }
}

impl BareKey {
    pub(crate) const TAG_LEN: usize = 16;

    /// Seals what stands before the tag, in place.
    pub(crate) fn seal(&mut self, suite: BareSuite, record: &mut [u8]) {
        let nonce = self.nonce();
        let (plain, tag) = record.split_last_chunk_mut::<{ Self::TAG_LEN }>().expect("room for a tag");
        let additional = &[0x2c; 13][..suite.additional_len()];
        let made = self.aead.seal_in_place_separate_tag(nonce, Aad::from(additional), plain).expect("room");
        tag.copy_from_slice(made.as_ref());
        self.mask(record);
    }

    /// Opens a record that [`Self::seal`] made with the same number, in place.
    pub(crate) fn open(&mut self, suite: BareSuite, record: &mut [u8]) {
        self.mask(record);
        let nonce = self.nonce();
        let additional = &[0x2c; 13][..suite.additional_len()];
        black_box(self.aead.open_in_place(nonce, Aad::from(additional), record).expect("it authenticates"));
    }

    /// Begins with the first number again.
    pub(crate) const fn rewind(&mut self) {
        self.sequence_number = 0;
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [7; 12];
        let (_, number) = nonce.split_last_chunk_mut::<8>().expect("twelve octets");
        *number = self.sequence_number.to_be_bytes();
        self.sequence_number += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn mask(&self, record: &[u8]) {
        if let Mask::Key(key) = &self.mask {
            // The sample is the first 16 octets of the ciphertext (RFC 9147 §4.2.3).
            black_box(key.new_mask(&record[..16]).expect("a sample"));
        }
    }
}
