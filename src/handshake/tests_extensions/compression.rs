//! Compressed certificates (RFC 8879), by an algorithm whose output is the place in a table; and those of the features.

use super::*;
use crate::config::TransportConfig;
use crate::wire::compression::CompressedCertificate;
use rustls::CertificateCompressionAlgorithm;
use rustls::compress::{CertCompressor, CertDecompressor, CompressionFailed, CompressionLevel, DecompressionFailed};
use rustls::server::WebPkiClientVerifier;
use std::sync::Mutex;

#[derive(Debug)]
struct Table(u16);

static ENTRIES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static ONE: Table = Table(0x7f01);
static OTHER: Table = Table(0x7f02);

impl CertCompressor for Table {
    fn compress(&self, input: Vec<u8>, _: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        let mut entries = ENTRIES.lock().unwrap();
        entries.push(input);
        Ok(u32::try_from(entries.len() - 1).unwrap().to_be_bytes().to_vec())
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.0.into()
    }
}

impl CertDecompressor for Table {
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        let at = u32::from_be_bytes(input.try_into().map_err(|_| DecompressionFailed)?) as usize;
        let entries = ENTRIES.lock().unwrap();
        let found = entries.get(at).filter(|entry| entry.len() == output.len()).ok_or(DecompressionFailed)?;
        output.copy_from_slice(found);
        Ok(())
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.0.into()
    }
}

const VERSION: ProtocolVersion = ProtocolVersion::DTLS1_3;

/// Both ends show certificates, of which both understand and prefer `server`'s list.
fn mutual(client: &[&'static Table], server: &[&'static Table]) -> (ClientConfig, ServerConfig) {
    let (chain, key) = PKI.of(Kind::P256);
    let builder = ClientConfig::builder().with_root_certificates(PKI.roots()).unwrap();
    let mut ours = builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap();
    let verifier = WebPkiClientVerifier::builder(PKI.roots()).build().unwrap();
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier).unwrap();
    let mut theirs = builder.with_single_cert(chain, key).unwrap();
    ours.set_versions(&[VERSION]).unwrap();
    theirs.set_versions(&[VERSION]).unwrap();
    let compressors = |list: &[&'static Table]| list.iter().map(|table| *table as &dyn CertCompressor).collect();
    let decompressors = |list: &[&'static Table]| list.iter().map(|table| *table as &dyn CertDecompressor).collect();
    ours.set_cert_compressors(compressors(client)).set_cert_decompressors(decompressors(client));
    theirs.set_cert_compressors(compressors(server)).set_cert_decompressors(decompressors(server));
    (ours, theirs)
}

fn algorithm(pair: &Pair, role: Role) -> Option<u16> {
    let message = pair.message(role, HandshakeType::COMPRESSED_CERTIFICATE)?;
    Some(CompressedCertificate::read(&message.body).unwrap().algorithm)
}

#[test]
fn the_first_of_the_sender_that_the_peer_understands() {
    for (client, server, down, up) in [
        (&[&ONE][..], &[&ONE][..], Some(0x7f01), Some(0x7f01)),
        (&[&ONE, &OTHER], &[&OTHER, &ONE], Some(0x7f02), Some(0x7f01)),
        (&[&ONE], &[&OTHER], None, None),
        (&[], &[&ONE], None, None),
        (&[&ONE], &[], None, None),
    ] {
        let (client, server) = mutual(client, server);
        let mut pair = Pair::new(client, server);
        pair.run();
        assert_eq!((algorithm(&pair, Role::Server), algorithm(&pair, Role::Client)), (down, up));
        let plain = |role| pair.message(role, HandshakeType::CERTIFICATE).is_some();
        assert_eq!((plain(Role::Server), plain(Role::Client)), (down.is_none(), up.is_none()));
        for role in [Role::Client, Role::Server] {
            assert_eq!(pair.negotiated(role).peer_certificates(), PKI.of(Kind::P256).0);
        }
    }
}

fn altered(sender: Role, change: impl Fn(&mut OwnedMessage)) -> Result<(), (Role, Error)> {
    let (client, server) = mutual(&[&ONE], &[&ONE]);
    Pair::new(client, server).run_with(|role, message| {
        if role == sender && message.msg_type == HandshakeType::COMPRESSED_CERTIFICATE {
            change(message);
        }
    })
}

/// RFC 8879 §4 and §5.
#[test]
fn certificates_that_are_none() {
    for sender in [Role::Client, Role::Server] {
        let bad: Result<(), _> = Err((sender.peer(), PeerMisbehaved::BadCompressedCertificate.into()));
        assert_eq!(alert(&bad), Some(AlertDescription::BAD_CERTIFICATE));
        let unoffered = altered(sender, |message| message.body[1] = 2);
        assert_eq!(unoffered, Err((sender.peer(), PeerMisbehaved::SelectedUnofferedCompression.into())));
        assert_eq!(alert(&unoffered), Some(AlertDescription::ILLEGAL_PARAMETER));
        assert_eq!(altered(sender, |message| *message.body.last_mut().unwrap() = 0xff), bad, "does not decompress");
        assert_eq!(altered(sender, |message| message.body[4] ^= 1), bad, "to another length");
        // 16 MiB are not even tried.
        assert_eq!(altered(sender, |message| message.body[2..5].fill(0xff)), bad);
        let empty = altered(sender, |message| {
            message.body.truncate(5);
            message.body.extend([0; 3]);
        });
        assert_eq!(alert(&empty), Some(AlertDescription::DECODE_ERROR));
    }
}

#[test]
fn what_comes_out_is_no_longer_than_a_message_may_be() {
    let (mut client, server) = mutual(&[&ONE], &[&ONE]);
    let mut transport = TransportConfig::new();
    transport.set_max_handshake_message(4096).unwrap();
    client.set_transport(transport);
    for (len, fits) in [(4096, true), (4097, false)] {
        // A chain that cannot be read: an error of its own, found only in what was decompressed.
        let at = ONE.compress(vec![0; len], CompressionLevel::Interactive).unwrap();
        let result = Pair::new(client.clone(), server.clone()).run_with(|role, message| {
            if role == Role::Server && message.msg_type == HandshakeType::COMPRESSED_CERTIFICATE {
                message.body.clear();
                let (algorithm, uncompressed_length) = (0x7f01, len);
                CompressedCertificate { algorithm, uncompressed_length, compressed: &at }.put(&mut message.body);
            }
        });
        let expected = if fits { AlertDescription::DECODE_ERROR } else { AlertDescription::BAD_CERTIFICATE };
        assert_eq!(alert(&result), Some(expected));
    }
}

#[test]
fn nobody_asked_for_a_compressed_one() {
    for (sender, (client, server)) in [(Role::Server, mutual(&[], &[&ONE])), (Role::Client, mutual(&[&ONE], &[]))] {
        let result = Pair::new(client, server).run_with(|role, message| {
            if role == sender && message.msg_type == HandshakeType::CERTIFICATE {
                message.msg_type = HandshakeType::COMPRESSED_CERTIFICATE;
            }
        });
        assert_eq!(result, Err((sender.peer(), PeerMisbehaved::UnexpectedMessage.into())));
    }
}

#[test]
fn offers_that_are_none() {
    for data in [&[][..], &[0], &[1, 0], &[3, 0, 1, 0]] {
        let (client, server) = mutual(&[&ONE], &[&ONE]);
        let mut pair = Pair::new(client, server);
        let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
        let result = with_extension(&mut pair, offer, ExtensionType::COMPRESS_CERTIFICATE, Some(data));
        assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{data:?}");
    }
}

/// Each of rustls' algorithms that is built in, from end to end.
#[test]
fn what_the_features_bring() {
    let expected = usize::from(cfg!(feature = "zlib")) + usize::from(cfg!(feature = "brotli"));
    let all = rustls::compress::default_cert_compressors();
    assert_eq!(all.len(), expected);
    for compressor in all {
        let (mut client, mut server) = mutual(&[], &[]);
        // A long chain, which is worth it.
        client.set_cert_decompressors(rustls::compress::default_cert_decompressors().to_vec());
        server.set_cert_compressors(vec![*compressor]);
        let mut pair = Pair::new(client, server);
        pair.run();
        assert_eq!(algorithm(&pair, Role::Server), Some(compressor.algorithm().into()));
    }
    let builder = ClientConfig::builder().with_root_certificates(PKI.roots()).unwrap();
    let mut pair = Pair::new(builder.with_no_client_auth(), server_config(VERSION));
    pair.run();
    let offered = pair.extension(Role::Client, HandshakeType::CLIENT_HELLO, ExtensionType::COMPRESS_CERTIFICATE);
    assert_eq!(offered.is_some(), expected > 0);
}
