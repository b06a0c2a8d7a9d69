//! Answers to ClientHellos that keep nothing: HelloVerifyRequest, HelloRetryRequest with a cookie, and alerts
//! (RFC 6347 §4.2.1, RFC 9147 §5.1, RFC 8446 §4.1.4). They are made here and nowhere else.
//!
//! | ClientHello | answer |
//! |---|---|
//! | offers 1.3, which we have: no cookie extension | HelloRetryRequest: cookie, and the group wanted |
//! | … `legacy_cookie` is not empty | `illegal_parameter` |
//! | … cookie good / not good | accepted / `illegal_parameter` |
//! | 1.2 is what both have: cookie good / none, or not good | accepted / HelloVerifyRequest |
//! | nothing in common | `protocol_version`, `handshake_failure` |
//!
//! An answer has the record sequence number and the message_seq of what it answers, and is short: an alert or a
//! HelloVerifyRequest never longer than the ClientHello, a HelloRetryRequest less than twice as long.

use super::cookie::{Clock, CookieKeys, HelloHash, RetriedShare, Retry};
use super::{CookieFault, DropReason, Source};
use crate::config::{ConfigError, ServerConfig};
use crate::connection::{Connection, FirstHello};
use crate::crypto::{group_of, suites::Suite13};
use crate::error::{Error, PeerIncompatible};
use crate::handshake::{Selection, StatelessRetry, StatelessStart, check_parameters12, select};
use crate::wire::{
    AlertDescription, ProtocolVersion,
    alert::Alert,
    codec::{Put, Reader},
    enums::{ContentType, ExtensionType, HandshakeType},
    extensions::put_extension,
    handshake::{Fragment, Message},
    hello::{ClientHello, HELLO_RETRY_REQUEST_RANDOM, ServerHello, put_hello_verify_request, put_selected_version},
    record::{PLAINTEXT_HEADER_LEN, PlaintextHeader},
};
use sha2::{Digest, Sha256, Sha384};
use std::sync::Arc;
use std::time::Instant;

/// The part of a server that comes before any association: it answers ClientHellos and keeps nothing of them.
///
/// An [`Endpoint`](crate::Endpoint) has one inside. Alone it is for whoever finds the association of a datagram by other
/// means: any number of threads may ask it at once. It takes ClientHellos of one datagram; those in fragments need an
/// endpoint.
#[derive(Debug)]
pub struct Listener {
    config: Arc<ServerConfig>,
    keys: CookieKeys,
}

/// What a [`Listener`] makes of a datagram.
#[derive(Debug)]
#[non_exhaustive]
pub enum Decision {
    /// Nothing is to be sent, and nothing was kept.
    Drop(DropReason),
    /// An answer stands in the reply buffer, to be sent to where the datagram came from. Nothing was kept.
    Reply(Reply),
    /// The client receives at its address: its cookie is good.
    Accept(Validated),
}

/// An answer without a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Octets of it.
    pub len: usize,
    /// What it is.
    pub kind: ReplyKind,
    /// What was wrong with the cookie that came, if one came.
    pub cookie: Option<CookieFault>,
}

/// The kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplyKind {
    /// Of DTLS 1.2 (RFC 6347 §4.2.1).
    HelloVerifyRequest,
    /// Of DTLS 1.3, with a cookie (RFC 9147 §5.1).
    HelloRetryRequest,
    /// A fatal alert.
    Alert(AlertDescription),
}

/// A ClientHello with a good cookie.
#[derive(Debug)]
pub struct Validated {
    pub(super) hello: FirstHello,
    /// By which the client was answered.
    config: Arc<ServerConfig>,
}

/// A whole ClientHello as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// The message's body.
    pub(super) hello: &'a [u8],
    pub(super) message_seq: u16,
    /// The record's sequence number; of several, the highest.
    pub(super) record: u64,
    /// Octets received for it: what a reply is measured by.
    pub(super) received: usize,
}

/// Octets of the longest answer.
const MAX_REPLY: usize = 180;

impl Listener {
    /// Answers for `config`, with cookies by `keys`.
    pub const fn new(config: Arc<ServerConfig>, keys: CookieKeys) -> Self {
        Self { config, keys }
    }

    /// Decides on a datagram that belongs to no association. What is to be answered is written to `reply`, which 180
    /// octets are enough for.
    pub fn handle(&self, now: Instant, source: Source, datagram: &[u8], reply: &mut [u8]) -> Decision {
        match Request::read(datagram) {
            Ok(request) => self.decide(now, &source, &request, reply),
            Err(reason) => Decision::Drop(reason),
        }
    }

    /// Replaces the current cookie key at once; see [`CookieKeys::rotate`].
    ///
    /// # Errors
    /// As there.
    pub fn rotate(&mut self, now: Instant) -> Result<(), ConfigError> {
        self.keys.rotate(now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next. With keys that are derived, that is at once, and
    /// until then each cookie costs another MAC.
    pub fn poll_timeout(&self) -> Instant {
        self.keys.poll_timeout()
    }

    /// Replaces cookie keys whose time is over. Harmless at any time.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`]: the old ones go on, and it is tried again.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConfigError> {
        let clock = self.clock(now);
        self.keys.handle_timeout(clock)
    }

    /// Decides on a whole ClientHello.
    pub(super) fn decide(&self, now: Instant, source: &Source, request: &Request<'_>, reply: &mut [u8]) -> Decision {
        let Ok(hello) = ClientHello::read(request.hello) else { return Decision::Drop(DropReason::Malformed) };
        let clock = self.clock(now);
        let decided = match select(&hello, &self.config) {
            Ok(Selection::Dtls13(selection)) => self.decide13(clock, source, request, &hello, selection.suite),
            Ok(Selection::Dtls12) => self.decide12(clock, source, request, &hello),
            Err(error) => Err(error),
        };
        match decided {
            Ok(Decided::Accept(start)) => Decision::Accept(Validated::new(request, start, &self.config)),
            Ok(Decided::Answer(answer)) => answer.write(request, reply),
            Err(error) => match error.alert() {
                Some(alert) => Answer::alert(alert, None).write(request, reply),
                None => Decision::Drop(DropReason::Malformed),
            },
        }
    }

    fn decide12(
        &self,
        clock: Clock,
        source: &Source,
        request: &Request<'_>,
        hello: &ClientHello<'_>,
    ) -> Result<Decided, Error> {
        check_parameters12(hello, &self.config)?;
        let cookie = match hello.legacy_cookie {
            [] => None,
            cookie => match self.keys.check12(clock, source, hello, cookie) {
                Ok(()) => return Ok(Decided::Accept(StatelessStart::ClientHello)),
                // "In the case of an invalid cookie, it is to be treated the same as a ClientHello with no cookie"
                // (RFC 6347 §4.2.1).
                Err(fault) => Some(fault),
            },
        };
        let mut body = Short::new();
        put_hello_verify_request(&mut body, &self.keys.cookie12(clock, source, hello));
        let message = Answer::handshake(HandshakeType::HELLO_VERIFY_REQUEST, request, &body);
        Ok(Decided::Answer(Answer { kind: ReplyKind::HelloVerifyRequest, cookie, octets: message }))
    }

    fn decide13(
        &self,
        clock: Clock,
        source: &Source,
        request: &Request<'_>,
        hello: &ClientHello<'_>,
        suite: Suite13,
    ) -> Result<Decided, Error> {
        let Some(cookie) = hello.known.cookie else {
            let retry = self.retry(request, hello, suite)?;
            let mut body = Short::new();
            put_hello_retry_request(&mut body, &retry, |out| {
                self.keys.cookie13(clock, source, hello, &retry, |piece| out.put(piece));
            });
            let message = Answer::handshake(HandshakeType::SERVER_HELLO, request, &body);
            return Ok(Decided::Answer(Answer { kind: ReplyKind::HelloRetryRequest, cookie: None, octets: message }));
        };
        let opened = self.keys.open13(clock, source, hello, cookie);
        match opened.and_then(|retry| if retry.suite == suite.id { Ok(retry) } else { Err(CookieFault::Forged) }) {
            Ok(retry) => {
                // Bit by bit what was sent: the cookie holds all that it was made of.
                let mut body = Short::new();
                put_hello_retry_request(&mut body, &retry, |out| out.put(cookie));
                let start = StatelessRetry {
                    suite,
                    group: retry.group,
                    client_hello_hash: retry.client_hello_hash.as_bytes().to_vec(),
                    request: body.as_bytes().to_vec(),
                };
                Ok(Decided::Accept(StatelessStart::RetriedClientHello(start)))
            }
            // "the server MUST terminate the handshake with an "illegal_parameter" alert" (RFC 9147 §5.1).
            Err(fault) => Ok(Decided::Answer(Answer::alert(AlertDescription::ILLEGAL_PARAMETER, Some(fault)))),
        }
    }

    /// What a first ClientHello is answered: the group is the best that both have, for the round trip is due anyway.
    fn retry(&self, request: &Request<'_>, hello: &ClientHello<'_>, suite: Suite13) -> Result<Retry, Error> {
        let groups = hello.known.supported_groups.ok_or(PeerIncompatible::NoCommonGroup)?;
        let mut ours = self.config.groups().iter().map(|group| group_of(*group));
        let group = ours.find(|group| groups.contains(group)).ok_or(PeerIncompatible::NoCommonGroup)?;
        let shares = hello.known.key_shares;
        let share = match shares.and_then(|shares| shares.find(group)) {
            Some(_) => RetriedShare::Kept,
            None => RetriedShare::Wanted,
        };
        // The message as the transcript has it (RFC 9147 §5.2).
        let message = request.message();
        let client_hello_hash = match suite.hash().output_len() {
            48 => {
                let mut hash = Sha384::new();
                hash.update(message.tls_header());
                hash.update(message.body);
                HelloHash::Sha384(hash.finalize().into())
            }
            _ => {
                let mut hash = Sha256::new();
                hash.update(message.tls_header());
                hash.update(message.body);
                HelloHash::Sha256(hash.finalize().into())
            }
        };
        Ok(Retry { suite: suite.id, group, share, client_hello_hash })
    }

    fn clock(&self, now: Instant) -> Clock {
        let unix = if self.keys.go_by_unix_time() { self.config.now().as_secs() } else { 0 };
        Clock { now, unix }
    }
}

impl Validated {
    fn new(request: &Request<'_>, start: StatelessStart, config: &Arc<ServerConfig>) -> Self {
        let hello = FirstHello {
            body: request.hello.to_vec(),
            message_seq: request.message_seq,
            sequence_number: request.record,
            start,
        };
        Self { hello, config: Arc::clone(config) }
    }

    /// The association that begins here. `config` is the listener's, or one with the same versions, suites and groups: they
    /// were chosen already.
    ///
    /// # Errors
    /// [`ConfigError::ParametersDiffer`] if it has others; [`ConfigError`] where a configuration turns out not to work. A ClientHello that is refused makes an association that
    /// has failed, with its alert to be sent.
    pub fn accept(self, config: Arc<ServerConfig>, now: Instant) -> Result<Connection, ConfigError> {
        if !self.config.negotiates_like(&config) {
            return Err(ConfigError::ParametersDiffer);
        }
        Connection::server_after_hello(config, self.hello, now)
    }
}

impl Validated {
    pub(super) const fn version(&self) -> ProtocolVersion {
        match self.hello.start {
            StatelessStart::ClientHello => ProtocolVersion::DTLS1_2,
            StatelessStart::RetriedClientHello(_) => ProtocolVersion::DTLS1_3,
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.hello.body
    }

    /// The record's sequence number; of several, the highest.
    pub(super) const fn record(&self) -> u64 {
        self.hello.sequence_number
    }
}

/// An alert in answer to a ClientHello that came in this record; its length, if there is room for it.
pub(super) fn write_alert(description: AlertDescription, record: u64, reply: &mut [u8]) -> Option<usize> {
    // Every ClientHello is longer.
    let request = Request { hello: &[], message_seq: 0, record, received: MAX_REPLY };
    match Answer::alert(description, None).write(&request, reply) {
        Decision::Reply(Reply { len, .. }) => Some(len),
        Decision::Drop(_) | Decision::Accept(_) => None,
    }
}

impl<'a> Request<'a> {
    /// The ClientHello of a datagram that holds it whole, at its beginning.
    fn read(datagram: &'a [u8]) -> Result<Self, DropReason> {
        let mut r = Reader::new(datagram);
        let header = PlaintextHeader::read(&mut r).map_err(|_| DropReason::NotForUs)?;
        if (header.content_type, header.epoch) != (ContentType::HANDSHAKE, 0)
            || u16::from(header.version) >> 8 != DTLS_MAJOR
        {
            return Err(DropReason::NotForUs);
        }
        let record = r.take(usize::from(header.length)).map_err(|_| DropReason::Malformed)?;
        let fragment = Fragment::read(&mut Reader::new(record)).map_err(|_| DropReason::Malformed)?;
        if fragment.header.msg_type != HandshakeType::CLIENT_HELLO {
            return Err(DropReason::NotForUs);
        }
        if fragment.body.len() < fragment.header.length {
            return Err(DropReason::Fragment);
        }
        Ok(Self {
            hello: fragment.body,
            message_seq: fragment.header.message_seq,
            record: header.sequence_number,
            received: datagram.len(),
        })
    }

    const fn message(&self) -> Message<'a> {
        Message { msg_type: HandshakeType::CLIENT_HELLO, message_seq: self.message_seq, body: self.hello }
    }
}

/// The first octet of every version of DTLS.
const DTLS_MAJOR: u16 = 0xfe;

/// What was decided, before it is written.
enum Decided {
    Answer(Answer),
    Accept(StatelessStart),
}

/// An answer without its record header.
struct Answer {
    kind: ReplyKind,
    cookie: Option<CookieFault>,
    octets: Short,
}

impl Answer {
    fn alert(description: AlertDescription, cookie: Option<CookieFault>) -> Self {
        let mut octets = Short::new();
        octets.put(&Alert::new(description).encode());
        Self { kind: ReplyKind::Alert(description), cookie, octets }
    }

    /// A message in one fragment, with the message_seq of the ClientHello.
    fn handshake(msg_type: HandshakeType, request: &Request<'_>, body: &Short) -> Short {
        let message = Message { msg_type, message_seq: request.message_seq, body: body.as_bytes() };
        let mut octets = Short::new();
        octets.put(&message.header());
        octets.put(message.body);
        octets
    }

    /// One record, with the sequence number of the ClientHello.
    fn write(&self, request: &Request<'_>, reply: &mut [u8]) -> Decision {
        let (content_type, version, most) = match self.kind {
            // Clients know no version yet, and those of DTLS 1.2 alone may expect the oldest (RFC 6347 §4.2.1).
            ReplyKind::HelloVerifyRequest => (ContentType::HANDSHAKE, ProtocolVersion::DTLS1_0, request.received),
            ReplyKind::HelloRetryRequest => {
                let twice = request.received.saturating_mul(2).saturating_sub(1);
                (ContentType::HANDSHAKE, ProtocolVersion::DTLS1_2, twice)
            }
            ReplyKind::Alert(_) => (ContentType::ALERT, ProtocolVersion::DTLS1_2, request.received),
        };
        let octets = self.octets.as_bytes();
        let header = PlaintextHeader {
            content_type,
            version,
            epoch: 0,
            sequence_number: request.record,
            length: u16::try_from(octets.len()).unwrap_or(u16::MAX),
        };
        let len = PLAINTEXT_HEADER_LEN.saturating_add(octets.len());
        let room = reply.get_mut(..len).filter(|_| len <= most.min(MAX_REPLY));
        let Some((front, payload)) = room.and_then(|room| room.split_first_chunk_mut()) else {
            return Decision::Drop(DropReason::ReplyTooLong);
        };
        *front = header.encode();
        payload.copy_from_slice(octets);
        Decision::Reply(Reply { len, kind: self.kind, cookie: self.cookie })
    }
}

/// RFC 8446 §4.1.4; `cookie` puts the cookie.
fn put_hello_retry_request(out: &mut Short, retry: &Retry, cookie: impl FnOnce(&mut Short)) {
    ServerHello::put(out, &HELLO_RETRY_REQUEST_RANDOM, &[], retry.suite, |out| {
        put_selected_version(out, ProtocolVersion::DTLS1_3);
        if retry.share == RetriedShare::Wanted {
            put_extension(out, ExtensionType::KEY_SHARE, |out| out.put_u16(retry.group.into()));
        }
        put_extension(out, ExtensionType::COOKIE, |out| out.put_vec::<2>(cookie));
    });
}

/// Up to [`MAX_REPLY`] octets, without an allocation. What does not fit is left out; the longest answer fits, as a test shows.
struct Short {
    octets: [u8; MAX_REPLY],
    len: usize,
}

impl Short {
    const fn new() -> Self {
        Self { octets: [0; MAX_REPLY], len: 0 }
    }

    fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl Put for Short {
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.octets.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    fn put_vec<const N: usize>(&mut self, body: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.put(&[0; N]);
        let content = self.len;
        body(self);
        let len = self.len.saturating_sub(content);
        if let (Some(prefix), Some(bytes)) = (self.octets.get_mut(start..content), len.to_be_bytes().last_chunk::<N>())
        {
            prefix.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
