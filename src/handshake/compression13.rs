//! Certificates that travel compressed (RFC 8879), in DTLS 1.3 only.

use super::transcript::Transcript;
use super::{HANDSHAKE_EPOCH, Input, Outbox};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{compression::CompressedCertificate, enums::HandshakeType, extensions::List16, handshake::Message};
use rustls::compress::{CertCompressor, CertDecompressor, CompressionLevel};
use std::borrow::Cow;

/// The first compressor of ours that the peer understands.
pub(super) fn choose(
    ours: &[&'static dyn CertCompressor],
    theirs: Option<List16<'_, u16>>,
) -> Option<&'static dyn CertCompressor> {
    let theirs = theirs?;
    ours.iter().copied().find(|ours| theirs.contains(&u16::from(ours.algorithm())))
}

/// Sends a Certificate, compressed if that makes it shorter.
pub(super) fn send(
    body: Vec<u8>,
    compressor: Option<&'static dyn CertCompressor>,
    transcript: &mut Transcript,
    out: &mut Outbox,
) -> Result<(), Error> {
    let compressed = compressor.and_then(|compressor| {
        let compressed = compressor.compress(body.clone(), CompressionLevel::Interactive).ok()?;
        let (algorithm, uncompressed_length) = (compressor.algorithm().into(), body.len());
        let mut message = Vec::with_capacity(compressed.len().saturating_add(8));
        CompressedCertificate { algorithm, uncompressed_length, compressed: &compressed }.put(&mut message);
        (message.len() < body.len()).then_some(message)
    });
    match compressed {
        Some(message) => out.send(HANDSHAKE_EPOCH, HandshakeType::COMPRESSED_CERTIFICATE, message, transcript),
        None => out.send(HANDSHAKE_EPOCH, HandshakeType::CERTIFICATE, body, transcript),
    }
}

/// What may come where a Certificate is due: a compressed one only if we said that we understand it.
pub(super) fn expected(decompressors: &[&'static dyn CertDecompressor]) -> &'static [HandshakeType] {
    match decompressors {
        [] => &[HandshakeType::CERTIFICATE],
        [_, ..] => &[HandshakeType::CERTIFICATE, HandshakeType::COMPRESSED_CERTIFICATE],
    }
}

/// The same where a CertificateRequest may come before it.
pub(super) fn expected_or_request(decompressors: &[&'static dyn CertDecompressor]) -> &'static [HandshakeType] {
    const REQUEST: HandshakeType = HandshakeType::CERTIFICATE_REQUEST;
    match decompressors {
        [] => &[REQUEST, HandshakeType::CERTIFICATE],
        [_, ..] => &[REQUEST, HandshakeType::CERTIFICATE, HandshakeType::COMPRESSED_CERTIFICATE],
    }
}

/// The message where a Certificate is due.
pub(super) fn expect<'a>(
    input: Input<'a>,
    decompressors: &[&'static dyn CertDecompressor],
) -> Result<Message<'a>, Error> {
    input.expect_one_of(expected(decompressors))
}

/// The body of the Certificate in a message of either kind, no longer than `max` octets: the length is looked at before any
/// memory is taken (RFC 8879 §5).
pub(super) fn body<'m>(
    message: &Message<'m>,
    decompressors: &[&'static dyn CertDecompressor],
    max: usize,
) -> Result<Cow<'m, [u8]>, Error> {
    if message.msg_type != HandshakeType::COMPRESSED_CERTIFICATE {
        return Ok(Cow::Borrowed(message.body));
    }
    let CompressedCertificate { algorithm, uncompressed_length, compressed } =
        CompressedCertificate::read(message.body)?;
    let decompressor = decompressors.iter().find(|ours| u16::from(ours.algorithm()) == algorithm);
    // RFC 8879 §4: "illegal_parameter" for an algorithm that was not offered, "bad_certificate" for the rest.
    let decompressor = decompressor.ok_or(PeerMisbehaved::SelectedUnofferedCompression)?;
    if uncompressed_length > max {
        return Err(PeerMisbehaved::BadCompressedCertificate.into());
    }
    let mut body = vec![0; uncompressed_length];
    decompressor.decompress(compressed, &mut body).map_err(|_| PeerMisbehaved::BadCompressedCertificate)?;
    Ok(Cow::Owned(body))
}
