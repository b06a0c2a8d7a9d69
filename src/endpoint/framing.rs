//! What a datagram is at first sight, before anything of it is believed: a ClientHello in plaintext, whole or in fragments,
//! or something for an association (RFC 6347 §4.1, §4.2.3, RFC 9147 §4).

use crate::wire::{
    ack::Epoch,
    codec::Reader,
    enums::{ContentType, HandshakeType},
    handshake::{Fragment, HANDSHAKE_HEADER_LEN},
    record::{PLAINTEXT_HEADER_LEN, PlaintextHeader, UnifiedFlags},
};

/// What the first record of a datagram is. An association has to make sense of all the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstRecord {
    /// A fragment of a ClientHello in plaintext, or a whole one.
    ClientHello,
    /// Belongs to a handshake if it belongs to any association: plaintext, or a handshake message of epoch 1, or anything
    /// of epoch 2.
    Handshake,
    /// Anything else.
    Other,
}

impl FirstRecord {
    pub(super) fn of(datagram: &[u8]) -> Self {
        let Some(first) = datagram.first() else { return Self::Other };
        if let Some(flags) = UnifiedFlags::read(*first) {
            return if flags.matches(HANDSHAKE_EPOCH) { Self::Handshake } else { Self::Other };
        }
        let mut r = Reader::new(datagram);
        let Ok(header) = PlaintextHeader::read(&mut r) else { return Self::Other };
        match (Epoch(header.epoch), header.content_type) {
            _ if !is_dtls(&header) => Self::Other,
            (Epoch::PLAINTEXT, ContentType::HANDSHAKE) if r.u8() == Ok(HandshakeType::CLIENT_HELLO.0) => {
                Self::ClientHello
            }
            (Epoch::PLAINTEXT, _) | (_, ContentType::HANDSHAKE) => Self::Handshake,
            _ => Self::Other,
        }
    }
}

/// Of whatever version: all begin alike, and a plaintext record's own is of no interest (RFC 9147 §4).
fn is_dtls(header: &PlaintextHeader) -> bool {
    let [major, _] = header.version.0.to_be_bytes();
    major == 0xfe
}

/// Where DTLS 1.3 has the handshake's records (RFC 9147 §6.1).
const HANDSHAKE_EPOCH: u16 = 2;

/// One fragment of a ClientHello, and the record that it came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct HelloFragment<'a> {
    pub(super) fragment: Fragment<'a>,
    /// The record's sequence number.
    pub(super) record: u64,
    /// Octets received for it: the fragment and its header, and with the first of a record the record's header.
    pub(super) received: usize,
}

/// The fragments of ClientHellos in a datagram's plaintext records, one after the other. It ends where something else
/// begins, or something that makes no sense.
#[derive(Debug)]
pub(super) struct HelloFragments<'a> {
    datagram: Reader<'a>,
    payload: Reader<'a>,
    record: u64,
}

impl<'a> HelloFragments<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        Self { datagram: Reader::new(datagram), payload: Reader::new(&[]), record: 0 }
    }

    fn next_record(&mut self) -> Option<usize> {
        let header = PlaintextHeader::read(&mut self.datagram).ok()?;
        let handshake = header.content_type == ContentType::HANDSHAKE && Epoch(header.epoch) == Epoch::PLAINTEXT;
        if !handshake || !is_dtls(&header) {
            return None;
        }
        self.payload = Reader::new(self.datagram.take(usize::from(header.length)).ok()?);
        self.record = header.sequence_number;
        Some(PLAINTEXT_HEADER_LEN)
    }
}

impl<'a> Iterator for HelloFragments<'a> {
    type Item = HelloFragment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let record_header = if self.payload.is_empty() { self.next_record()? } else { 0 };
        let fragment = Fragment::read(&mut self.payload).ok()?;
        if fragment.header.msg_type != HandshakeType::CLIENT_HELLO {
            return None;
        }
        let received = record_header.saturating_add(HANDSHAKE_HEADER_LEN).saturating_add(fragment.body.len());
        Some(HelloFragment { fragment, record: self.record, received })
    }
}
