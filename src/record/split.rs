//! Cuts records off the front of a datagram by their headers alone: the 13-octet header (RFC 6347 §4.1) and the unified
//! header (RFC 9147 §4, figure 3; demultiplexing: §4.1). Knows no key and no epoch's state, and changes no octet.

use super::number::TruncatedSequence;
use crate::error::Discard;
use crate::wire::{
    ack::Epoch,
    codec::{Malformed, Reader},
    enums::ContentType,
    record::{MAX_PLAINTEXT_LEN, PLAINTEXT_HEADER_LEN, PlaintextHeader, UnifiedFlags},
};

/// One record, cut off and otherwise untouched. `raw` is all of it, header included.
pub(super) enum Framed<'d> {
    /// With the 13-octet header.
    Full { header: PlaintextHeader, raw: &'d mut [u8] },
    /// With a unified header.
    Unified { header: UnifiedHeader, raw: &'d mut [u8] },
}

/// Which of the two headers a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderForm {
    /// 13 octets: everything is on the wire.
    Full,
    /// Of variable length: low bits only, and these masked.
    Unified,
}

/// A unified header without connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnifiedHeader {
    pub(super) flags: UnifiedFlags,
    /// Octets of the header.
    pub(super) len: usize,
}

impl UnifiedHeader {
    #[inline]
    fn new(flags: UnifiedFlags) -> Self {
        let sequence_len = if flags.has_sequence_16() { 2 } else { 1 };
        let length_len = if flags.has_length() { 2 } else { 0 };
        Self { flags, len: 1usize.saturating_add(sequence_len).saturating_add(length_len) }
    }

    /// Removes (or puts on) `mask` from the number in `header`, and reads it (RFC 9147 §4.2.3).
    #[inline]
    pub(super) fn unmask(self, header: &mut [u8], mask: [u8; 2]) -> Option<TruncatedSequence> {
        let (_, number) = header.split_first_mut()?;
        if self.flags.has_sequence_16() {
            let number = number.first_chunk_mut::<2>()?;
            *number = (u16::from_be_bytes(*number) ^ u16::from_be_bytes(mask)).to_be_bytes();
            Some(TruncatedSequence::Bits16(u16::from_be_bytes(*number)))
        } else {
            let ([number], [mask, _]) = (number.first_chunk_mut::<1>()?, mask);
            *number ^= mask;
            Some(TruncatedSequence::Bits8(*number))
        }
    }
}

/// Cuts the first record off `datagram`. What follows stays there if it can be found; with a header that cannot be
/// relied on it is lost, because records are not self-delimiting (RFC 9147 §4.3). So each call makes progress.
#[inline]
pub(super) fn split<'d>(datagram: &mut &'d mut [u8]) -> Result<Framed<'d>, Discard> {
    let whole = std::mem::take(datagram);
    let first = *whole.first().ok_or(Discard::TruncatedRecord)?;
    match UnifiedFlags::read(first) {
        Some(flags) => {
            let header = UnifiedHeader::new(flags);
            let body_len = unified_body_len(whole, header)?;
            let (raw, rest) = cut(whole, header.len, body_len)?;
            *datagram = rest;
            if body_len > MAX_UNIFIED_LEN { Err(Discard::RecordTooLong) } else { Ok(Framed::Unified { header, raw }) }
        }
        None => {
            let header = full_header(whole, first)?;
            let body_len = usize::from(header.length);
            let (raw, rest) = cut(whole, PLAINTEXT_HEADER_LEN, body_len)?;
            *datagram = rest;
            let max = if Epoch(header.epoch) == Epoch::PLAINTEXT { MAX_PLAINTEXT_LEN } else { MAX_FULL_LEN };
            if body_len > max { Err(Discard::RecordTooLong) } else { Ok(Framed::Full { header, raw }) }
        }
    }
}

/// Octets after the unified header of the first record in `whole`.
#[inline]
fn unified_body_len(whole: &[u8], header: UnifiedHeader) -> Result<usize, Discard> {
    // Where the number and the length stand depends on the connection ID's length, and none was negotiated.
    if header.flags.has_cid() {
        return Err(Discard::UnknownConnectionId);
    }
    let (head, rest) = whole.split_at_checked(header.len).ok_or(Discard::TruncatedRecord)?;
    match head.last_chunk::<2>() {
        Some(length) if header.flags.has_length() => Ok(usize::from(u16::from_be_bytes(*length))),
        // "the record consumes the entire rest of the datagram" (RFC 9147 §4).
        _ => Ok(rest.len()),
    }
}

#[inline]
fn full_header(whole: &[u8], first: u8) -> Result<PlaintextHeader, Discard> {
    let header = PlaintextHeader::read(&mut Reader::new(whole)).map_err(|_: Malformed| Discard::TruncatedRecord)?;
    let [major, _] = header.version.0.to_be_bytes();
    match header.content_type {
        _ if major != DTLS_MAJOR && !DTLS_CONTENT_TYPES.contains(&first) => Err(Discard::InvalidHeader),
        _ if major != DTLS_MAJOR => Err(Discard::UnknownVersion),
        // The length stands behind a connection ID that was not negotiated (RFC 9146 §4).
        ContentType::TLS12_CID => Err(Discard::UnknownConnectionId),
        _ => Ok(header),
    }
}

/// The record of `header_len + body_len` octets, and the rest.
#[inline]
fn cut(whole: &mut [u8], header_len: usize, body_len: usize) -> Result<(&mut [u8], &mut [u8]), Discard> {
    whole.split_at_mut_checked(header_len.saturating_add(body_len)).ok_or(Discard::TruncatedRecord)
}

/// The first octet of every version's number (RFC 6347 §4.1). The second is ignored in plaintext (RFC 9147 §4).
const DTLS_MAJOR: u8 = 0xfe;

/// Where content types may lie beside other protocols on one port (RFC 7983 §7), short of unified headers.
const DTLS_CONTENT_TYPES: std::ops::Range<u8> = 20..32;

/// `2^14 + 2048` octets (RFC 5246 §6.2.3).
const MAX_FULL_LEN: usize = MAX_PLAINTEXT_LEN + 2048;

/// `2^14 + 256` octets (RFC 8446 §5.2).
const MAX_UNIFIED_LEN: usize = MAX_PLAINTEXT_LEN + 256;
