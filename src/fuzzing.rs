//! The door for the fuzz targets in `fuzz/`, there under cargo-fuzz alone (`cfg(fuzzing)`): the codec, the record layer and
//! the reassembly, by types that anyone can name. It forwards and converts, and no more: what has to hold is the targets'
//! business. All else they reach through the public API.

use crate::config::SessionState;
use crate::crypto::{
    secret::Secret,
    suites::{Suite, TrafficKeys, usable_suites},
};
use crate::error::{Discard, Error};
use crate::flight::{Incoming, IncomingLimits, Progress, Trust};
use crate::record::{Opened, Record, RecordLayer};
use crate::wire::{
    CipherSuite, KeyUpdateRequest, Malformed,
    ack::{Epoch, ack_len, read_ack, write_ack},
    alert::Alert,
    certificate::{
        Certificate13, CertificateRequest, DigitallySigned, put_certificate12, read_certificate_authorities,
        read_certificate12,
    },
    codec::{Put, Reader},
    compression::CompressedCertificate,
    enums::ContentType,
    extensions::{Extensions, KeyShares, ProtocolNames, put_protocol_names, put_server_name, read_server_name},
    handshake::{Fragment, FragmentHeader, Message, check_plaintext},
    hello::{ClientHello, ClientHelloFields, ServerHello, put_hello_verify_request, read_hello_verify_request},
    key_exchange::{ServerKeyExchange, put_client_key_exchange, read_client_key_exchange},
    post_handshake::{NewSessionTicket12, NewSessionTicket13},
    pre_shared_key::{OfferedPsks, put_binder, put_offered_psk},
    record::PlaintextHeader,
    srtp::UseSrtp,
    stapling::{put_certificate_status, put_timestamps, read_certificate_status_message, read_timestamps},
};
use rustls::crypto::CryptoProvider;
use std::fmt::Debug;

// ---- wire

/// What can be read from octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the RFCs'")]
pub enum Structure {
    PlaintextHeader,
    Fragment,
    Ack,
    Alert,
    ClientHello,
    ServerHello,
    HelloVerifyRequest,
    EncryptedExtensions,
    Certificate12,
    Certificate13,
    CompressedCertificate,
    CertificateStatus,
    CertificateRequest12,
    CertificateRequest13,
    CertificateVerify,
    ServerKeyExchange,
    ClientKeyExchange,
    NewSessionTicket12,
    NewSessionTicket13,
    KeyUpdate,
    SessionState,
    /// The extensions, each without type and length.
    ServerName,
    ProtocolNames,
    KeyShares,
    OfferedPsks,
    UseSrtp,
    Timestamps,
    CertificateAuthorities,
}

impl Structure {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::PlaintextHeader,
        Self::Fragment,
        Self::Ack,
        Self::Alert,
        Self::ClientHello,
        Self::ServerHello,
        Self::HelloVerifyRequest,
        Self::EncryptedExtensions,
        Self::Certificate12,
        Self::Certificate13,
        Self::CompressedCertificate,
        Self::CertificateStatus,
        Self::CertificateRequest12,
        Self::CertificateRequest13,
        Self::CertificateVerify,
        Self::ServerKeyExchange,
        Self::ClientKeyExchange,
        Self::NewSessionTicket12,
        Self::NewSessionTicket13,
        Self::KeyUpdate,
        Self::SessionState,
        Self::ServerName,
        Self::ProtocolNames,
        Self::KeyShares,
        Self::OfferedPsks,
        Self::UseSrtp,
        Self::Timestamps,
        Self::CertificateAuthorities,
    ];

    /// Reads one that takes up all of `bytes`, shows it to `see`, and writes it with the crate's own writer; `None` where
    /// that cannot write this value.
    ///
    /// # Errors
    /// Those of the structure's reader.
    pub fn rewrite(self, bytes: &[u8], see: &mut dyn FnMut(&dyn Debug)) -> Result<Option<Vec<u8>>, Malformed> {
        let mut r = Reader::new(bytes);
        let mut out = Vec::new();
        let written = match self {
            Self::PlaintextHeader => {
                let header = PlaintextHeader::read(&mut r)?;
                see(&header);
                out.put(&header.encode());
                true
            }
            Self::Fragment => {
                let fragment = Fragment::read(&mut r)?;
                see(&fragment);
                out.put(&fragment.header.encode());
                out.put(fragment.body);
                true
            }
            Self::Ack => {
                let numbers: Vec<_> = read_ack(bytes)?.iter().collect();
                see(&numbers);
                out.resize(ack_len(&numbers), 0);
                r.take(r.remaining())?;
                write_ack(&numbers, &mut out).is_some()
            }
            Self::Alert => {
                let alert = Alert::read(r.take(r.remaining())?)?;
                see(&alert);
                out.put(&alert.encode());
                true
            }
            Self::SessionState => {
                SessionState::read(&mut r)?.put(&mut out);
                true
            }
            _ => self.rewrite_message(&mut r, see, &mut out)?,
        };
        r.finish()?;
        Ok(written.then_some(out))
    }

    fn rewrite_message(
        self,
        r: &mut Reader<'_>,
        see: &mut dyn FnMut(&dyn Debug),
        out: &mut Vec<u8>,
    ) -> Result<bool, Malformed> {
        match self {
            Self::ClientHello => {
                let hello = ClientHello::read(r.take(r.remaining())?)?;
                see(&hello);
                let cipher_suites: Vec<_> = hello.cipher_suites.iter().collect();
                let ClientHello { random, session_id, legacy_cookie, extensions, .. } = hello;
                ClientHelloFields { random, session_id, legacy_cookie, cipher_suites: &cipher_suites }
                    .put(out, |out| put_extensions(out, &extensions));
            }
            Self::ServerHello => {
                let hello = ServerHello::read(r.take(r.remaining())?)?;
                see(&hello);
                see(&(hello.selected_version(), hello.key_share(), hello.selected_group(), hello.cookie()));
                ServerHello::put(out, hello.random, hello.session_id, hello.cipher_suite, |out| {
                    put_extensions(out, &hello.extensions);
                });
            }
            Self::HelloVerifyRequest => {
                let cookie = read_hello_verify_request(r.take(r.remaining())?)?;
                see(&cookie);
                put_hello_verify_request(out, cookie);
            }
            Self::EncryptedExtensions => {
                let extensions = Extensions::read(r)?;
                see(&extensions);
                out.put_vec::<2>(|out| put_extensions(out, &extensions));
            }
            Self::ServerKeyExchange => {
                let exchange = ServerKeyExchange::read(r.take(r.remaining())?)?;
                see(&exchange);
                ServerKeyExchange::put_params(out, exchange.group, exchange.public);
                exchange.signed.put(out);
            }
            Self::ClientKeyExchange => {
                let public = read_client_key_exchange(r.take(r.remaining())?)?;
                see(&public);
                put_client_key_exchange(out, public);
            }
            Self::NewSessionTicket12 => {
                let ticket = NewSessionTicket12::read(r.take(r.remaining())?)?;
                see(&ticket);
                *out = ticket.encode();
            }
            Self::NewSessionTicket13 => {
                let ticket = NewSessionTicket13::read(r.take(r.remaining())?)?;
                see(&ticket);
                *out = ticket.encode();
            }
            Self::KeyUpdate => {
                let Some(request) = KeyUpdateRequest::read(r.take(r.remaining())?)? else { return Ok(false) };
                see(&request);
                out.put(&request.encode());
            }
            _ => return self.rewrite_certificates(r, see, out),
        }
        Ok(true)
    }

    fn rewrite_certificates(
        self,
        r: &mut Reader<'_>,
        see: &mut dyn FnMut(&dyn Debug),
        out: &mut Vec<u8>,
    ) -> Result<bool, Malformed> {
        match self {
            Self::Certificate12 => {
                let chain = read_certificate12(r.take(r.remaining())?)?;
                see(&chain);
                put_certificate12(out, chain.into_iter());
            }
            Self::Certificate13 => {
                let certificate = Certificate13::read(r.take(r.remaining())?)?;
                see(&certificate);
                see(&certificate.staples());
                let Certificate13 { context, chain, extensions } = certificate;
                // Only the end entity's extensions are ever written.
                let writable = extensions.iter().skip(1).all(|extensions| extensions.iter().next().is_none());
                Certificate13::put(out, context, chain.into_iter(), |out| {
                    extensions.iter().take(1).for_each(|extensions| put_extensions(out, extensions));
                });
                return Ok(writable);
            }
            Self::CompressedCertificate => {
                let certificate = CompressedCertificate::read(r.take(r.remaining())?)?;
                see(&certificate);
                certificate.put(out);
            }
            Self::CertificateStatus => {
                let response = read_certificate_status_message(r.take(r.remaining())?)?;
                see(&response);
                put_certificate_status(out, response);
            }
            Self::CertificateRequest12 => {
                let request = CertificateRequest::read12(r.take(r.remaining())?)?;
                see(&request);
                let schemes: Vec<_> = request.signature_schemes.iter().collect();
                CertificateRequest::put12(out, &schemes, request.authorities.into_iter());
            }
            Self::CertificateRequest13 => {
                let Some(request) = CertificateRequest::read13(r.take(r.remaining())?)? else { return Ok(false) };
                see(&request);
                let schemes: Vec<_> = request.signature_schemes.iter().collect();
                let compression: Vec<_> = request.compression.iter().flat_map(|list| list.iter()).collect();
                CertificateRequest::put13(out, &schemes, request.authorities.into_iter(), compression.into_iter());
                return Ok(request.context.is_empty());
            }
            Self::CertificateVerify => {
                let signed = DigitallySigned::read_certificate_verify(r.take(r.remaining())?)?;
                see(&signed);
                signed.put(out);
            }
            _ => return self.rewrite_extension(r, see, out),
        }
        Ok(true)
    }

    fn rewrite_extension(
        self,
        r: &mut Reader<'_>,
        see: &mut dyn FnMut(&dyn Debug),
        out: &mut Vec<u8>,
    ) -> Result<bool, Malformed> {
        match self {
            Self::ServerName => {
                let name = read_server_name(r)?;
                see(&name);
                let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else { return Ok(false) };
                put_server_name(out, name);
            }
            Self::ProtocolNames => {
                let names = ProtocolNames::read(r)?;
                see(&names);
                put_protocol_names(out, names.iter());
            }
            Self::KeyShares => {
                let shares = KeyShares::read(r)?;
                see(&shares);
                out.put_vec::<2>(|out| shares.iter().for_each(|share| share.put(out)));
                return Ok(true);
            }
            Self::OfferedPsks => {
                let psks = OfferedPsks::read(r)?;
                see(&psks);
                let (mut identities, mut binders) = (psks.identities(), psks.binders());
                let (Some(identity), None) = (identities.next(), identities.next()) else { return Ok(false) };
                let (Some(binder), None) = (binders.next(), binders.next()) else { return Ok(false) };
                put_offered_psk(out, &identity, binder.len());
                put_binder(out, binder);
            }
            Self::UseSrtp => {
                let srtp = UseSrtp::read(r)?;
                see(&srtp);
                UseSrtp::put(out, &srtp.profiles.iter().collect::<Vec<_>>());
                strip_extension_header(out);
                return Ok(srtp.mki.is_empty());
            }
            Self::Timestamps => {
                let list = read_timestamps(r)?;
                see(&list);
                put_timestamps(out, list);
            }
            _ => {
                see(&read_certificate_authorities(r)?);
                return Ok(false);
            }
        }
        strip_extension_header(out);
        Ok(true)
    }
}

fn put_extensions(out: &mut Vec<u8>, extensions: &Extensions<'_>) {
    for (ty, body) in extensions.iter() {
        out.put_u16(ty.into());
        out.put_vec::<2>(|out| out.put(body));
    }
}

/// The writers put type and length in front, which the readers do not see.
fn strip_extension_header(out: &mut Vec<u8>) {
    *out = out.split_off(out.len().min(4));
}

/// Whether a plaintext handshake message decodes, as it is asked before the handshake sees it.
///
/// # Errors
/// Those of the message's reader.
pub fn check_plaintext_message(msg_type: u8, body: &[u8]) -> Result<(), Malformed> {
    check_plaintext(&Message { msg_type: msg_type.into(), message_seq: 0, body })
}

/// A handshake fragment with this header.
pub fn fragment(msg_type: u8, message_seq: u16, length: usize, fragment_offset: usize, body: &[u8]) -> Vec<u8> {
    let header =
        FragmentHeader { msg_type: msg_type.into(), length, message_seq, fragment_offset, fragment_length: body.len() };
    [&header.encode()[..], body].concat()
}

// ---- record

/// Keys of one direction.
#[derive(Clone, Debug)]
pub struct Keys(TrafficKeys);

impl Keys {
    /// For a suite of DTLS 1.2, from its part of the key block; for one of DTLS 1.3 from a traffic secret, and no IV.
    /// `None` if the provider has no such suite, or these are no keys for it.
    pub fn new(provider: &CryptoProvider, suite: CipherSuite, secret: &[u8], fixed_iv: &[u8]) -> Option<Self> {
        let suite = usable_suites(provider).into_iter().find(|usable| usable.id() == suite)?;
        let secret = Secret::new(secret).ok()?;
        Some(Self(match suite {
            Suite::Dtls12(suite) => {
                TrafficKeys::Dtls12 { aead: suite.aead, key: secret, fixed_iv: Secret::new(fixed_iv).ok()? }
            }
            Suite::Dtls13(suite) => TrafficKeys::Dtls13 { suite, secret },
        }))
    }
}

/// The record layer of one association.
pub struct Records(RecordLayer);

/// What became of the first record of a datagram.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as in the record layer")]
pub enum Opening<'d> {
    #[non_exhaustive]
    Record {
        content_type: u8,
        epoch: u64,
        sequence_number: u64,
        payload: &'d mut [u8],
    },
    Early(&'d mut [u8]),
    Discarded(Discard),
}

impl Default for Records {
    fn default() -> Self {
        Self(RecordLayer::new())
    }
}

impl Records {
    /// Opens records of this epoch from now on.
    ///
    /// # Errors
    /// Those of the record layer.
    pub fn install_read(&mut self, epoch: u16, keys: &Keys) -> Result<(), Error> {
        self.0.install_read(Epoch(epoch), &keys.0)
    }

    /// Seals records of this epoch from now on.
    ///
    /// # Errors
    /// Those of the record layer.
    pub fn install_write(&mut self, epoch: u16, keys: &Keys) -> Result<(), Error> {
        self.0.install_write(Epoch(epoch), &keys.0)
    }

    /// Forgets the keys of receiving in epochs before this.
    pub fn drop_read_below(&mut self, epoch: u16) {
        self.0.drop_read_below(Epoch(epoch));
    }

    /// Opens the first record of a datagram and cuts it off.
    ///
    /// # Errors
    /// Those of the record layer.
    pub fn open<'d>(&mut self, datagram: &mut &'d mut [u8]) -> Result<Opening<'d>, Error> {
        Ok(match self.0.open(datagram)? {
            Opened::Record(Record { content_type, number, payload, .. }) => Opening::Record {
                content_type: content_type.into(),
                epoch: number.epoch,
                sequence_number: number.sequence,
                payload,
            },
            Opened::Early(raw) => Opening::Early(raw),
            Opened::Discarded(reason) => Opening::Discarded(reason),
        })
    }

    /// One record.
    ///
    /// # Errors
    /// Those of the record layer.
    pub fn seal(&mut self, epoch: u16, content_type: u8, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let overhead = self.0.overhead(Epoch(epoch)).unwrap_or_default();
        let mut out = vec![0; overhead.saturating_add(payload.len())];
        let sealed = self.0.seal(Epoch(epoch), ContentType::from(content_type), &mut out, |room| {
            room.get_mut(..payload.len())?.copy_from_slice(payload);
            Some(payload.len())
        })?;
        out.truncate(sealed.map_or(0, |sealed| sealed.len));
        Ok(out)
    }
}

// ---- flight

/// The peer's handshake messages, put together from fragments.
pub struct Reassembly(Incoming);

/// What became of a record of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Whether it brought octets that were not there.
    pub progress: bool,
    /// Why part of it was not kept, or is in doubt.
    pub discarded: Option<Discard>,
}

impl Reassembly {
    /// With these limits.
    pub fn new(max_message: usize, max_buffered: usize) -> Self {
        Self(Incoming::new(IncomingLimits { max_message, max_buffered }))
    }

    /// Takes the payload of a handshake record, which anyone may have sent in epoch 0.
    ///
    /// # Errors
    /// Those of the reassembly.
    pub fn receive(&mut self, epoch: u16, payload: &[u8]) -> Result<Taken, Error> {
        let trust = if epoch == 0 { Trust::Plaintext } else { Trust::Protected };
        let received = self.0.receive(Epoch(epoch), trust, payload)?;
        Ok(Taken { progress: received.progress == Progress::Octets, discarded: received.discarded })
    }

    /// Type, number and body of the next message.
    pub fn next(&self) -> Option<(u8, u16, &[u8])> {
        let Message { msg_type, message_seq, body } = self.0.next()?;
        Some((msg_type.into(), message_seq, body))
    }

    /// The message was handled.
    pub fn consume(&mut self) {
        self.0.consume();
    }

    /// The message is not the peer's.
    pub fn reject(&mut self) {
        self.0.reject();
    }

    /// The keys changed.
    ///
    /// # Errors
    /// Those of the reassembly.
    pub fn advance_epoch(&mut self, epoch: u16) -> Result<(), Error> {
        self.0.advance_epoch(Epoch(epoch))
    }

    /// Octets of memory held, by its own account.
    pub fn buffered(&self) -> usize {
        self.0.buffered()
    }
}
