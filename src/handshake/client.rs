//! The client up to the server's choice of version: ClientHello, HelloVerifyRequest, HelloRetryRequest
//! (RFC 6347 §4.2.1, RFC 8446 §4.1.2–§4.1.4, RFC 9147 §5.3).
//!
//! ```text
//! ClientHello             -->
//!                        <--  HelloVerifyRequest     ExpectServerHello (1.2; up to a configured number of times)
//! ClientHello + cookie    -->
//!                        <--  HelloRetryRequest      ExpectServerHello (1.3; once)
//! ClientHello + changes   -->
//!                        <--  ServerHello            ExpectServerHello | ExpectServerHelloAfterRetry
//! ```

use super::negotiate::{HelloRetryRequest, check_answers};
use super::transcript::{Retention, Transcript, TranscriptBuffer, TranscriptForm};
use super::{Effect, FlightEnd, Input, Outbox, State, client12, client13};
use crate::config::{ClientConfig, KeyShares, UnofferedProtocol};
use crate::crypto::{
    self, KeyExchange, Role,
    suites::{Suite, Suite13},
};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    NamedGroup, ProtocolVersion,
    ack::Epoch,
    codec::Put,
    enums::{ExtensionType, HandshakeType},
    extensions::{
        Extensions, KeyShareEntry, UNCOMPRESSED_POINT, put_extension, put_list16, put_protocol_names, put_server_name,
    },
    handshake::Message,
    hello::{
        ClientHelloFields, DOWNGRADE_TO_1_1, DOWNGRADE_TO_1_2, NULL_COMPRESSION, Random, ServerHello,
        read_hello_verify_request, selected_protocol,
    },
};
use rustls::crypto::SharedSecret;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// Sends the first ClientHello.
pub(super) fn start(
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    out: &mut Outbox,
) -> Result<State, Error> {
    let offer = Offer::new(config, name)?;
    let mut transcript = TranscriptBuffer::new();
    out.push(Effect::Flight(FlightEnd::Answer));
    offer.send(&[], |message| transcript.add(message), out)?;
    let hello_verify_requests = HelloVerifyRequests(0);
    Ok(State::ExpectServerHello(Box::new(ExpectServerHello { offer, transcript, hello_verify_requests })))
}

/// What the client offers and holds ready; the same in every ClientHello of one handshake but for what a retry changes.
pub(super) struct Offer {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: Option<ServerName<'static>>,
    pub(super) random: Random,
    key_shares: OfferedShares,
    /// From a HelloVerifyRequest; empty before.
    legacy_cookie: Vec<u8>,
    pub(super) hello_retry_request: HelloRetryRequest,
}

/// The key shares of a ClientHello, all from one key pair.
enum OfferedShares {
    /// A client of 1.2 alone.
    None,
    /// The share, and that of its classical half if it is a hybrid.
    WithComponent(KeyExchange),
    /// "a list containing a single KeyShareEntry from the indicated group" (RFC 8446 §4.1.2).
    Retried(KeyExchange),
}

/// How many HelloVerifyRequests were answered.
#[derive(Clone, Copy)]
struct HelloVerifyRequests(u8);

impl Offer {
    fn new(config: Arc<ClientConfig>, name: Option<ServerName<'static>>) -> Result<Self, Error> {
        let random = crypto::random(config.provider())?;
        let key_shares = match config.versions().contains(&ProtocolVersion::DTLS1_3) {
            true => OfferedShares::WithComponent(KeyExchange::start(first_group(&config)?)?),
            false => OfferedShares::None,
        };
        let hello_retry_request = HelloRetryRequest::Unneeded;
        Ok(Self { config, name, random, key_shares, legacy_cookie: Vec::new(), hello_retry_request })
    }

    pub(super) fn offers(&self, version: ProtocolVersion) -> bool {
        self.config.versions().contains(&version)
    }

    /// The suite that a ServerHello names, if it was offered (RFC 8446 §4.1.3, RFC 5246 §7.4.1.3).
    pub(super) fn suite(&self, hello: &ServerHello<'_>) -> Result<&Suite, Error> {
        let offered = |suite: &&Suite| suite.id() == hello.cipher_suite && self.offers(suite.version());
        let found = self.config.suites().iter().find(offered);
        found.ok_or_else(|| PeerMisbehaved::SelectedUnofferedCipherSuite.into())
    }

    /// The name that goes into server_name: never an address, and "without a trailing dot" (RFC 6066 §3).
    pub(super) fn sni(&self) -> Option<&str> {
        match &self.name {
            Some(ServerName::DnsName(name)) if self.config.sends_server_name() => {
                let name = name.as_ref();
                Some(name.strip_suffix('.').unwrap_or(name))
            }
            _ => None,
        }
    }

    /// The application protocol that the server selected: one that was offered, or none (RFC 7301 §3.1), unless the
    /// application accepts any.
    pub(super) fn protocol(&self, answer: &Extensions<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Some(protocol) = selected_protocol(answer)? else { return Ok(None) };
        let offered = self.config.alpn_protocols().iter().any(|ours| ours == protocol);
        match offered || self.config.unoffered_protocol() == UnofferedProtocol::Accepted {
            true => Ok(Some(protocol.to_vec())),
            false => Err(PeerMisbehaved::SelectedUnofferedProtocol.into()),
        }
    }

    /// Whether a share of `group` was sent.
    fn shares(&self, group: NamedGroup) -> bool {
        self.entries().any(|entry| entry.group == group)
    }

    /// The key shares as they were sent.
    fn entries(&self) -> impl Iterator<Item = KeyShareEntry<'_>> {
        let (exchange, component) = match &self.key_shares {
            OfferedShares::None => (None, None),
            OfferedShares::WithComponent(exchange) => (Some(exchange), exchange.hybrid_component()),
            OfferedShares::Retried(exchange) => (Some(exchange), None),
        };
        let main = exchange.map(|exchange| (exchange.group(), exchange.public_key()));
        let component = component.filter(|(group, _)| self.config.named_groups().contains(group));
        main.into_iter().chain(component).map(|(group, key_exchange)| KeyShareEntry { group, key_exchange })
    }

    /// Sends a ClientHello. `cookie` is a HelloRetryRequest's, or empty.
    fn send(&self, cookie: &[u8], mut record: impl FnMut(&Message<'_>), out: &mut Outbox) -> Result<(), Error> {
        let mut body = Vec::with_capacity(512);
        let suites: Vec<_> =
            self.config.suites().iter().filter(|suite| self.offers(suite.version())).map(Suite::id).collect();
        ClientHelloFields {
            random: &self.random,
            session_id: &[],
            legacy_cookie: &self.legacy_cookie,
            cipher_suites: &suites,
        }
        .put(&mut body, |out| self.put_extensions(cookie, out));
        let message = out.number(HandshakeType::CLIENT_HELLO, body)?;
        record(&message.as_message());
        out.push(Effect::Send { epoch: Epoch::PLAINTEXT, message });
        Ok(())
    }

    fn put_extensions(&self, cookie: &[u8], out: &mut Vec<u8>) {
        EXTENSIONS.iter().filter(|ty| self.sends(**ty)).for_each(|ty| self.put_extension(*ty, cookie, out));
    }

    /// Whether a ClientHello of this handshake holds the extension, so that the server may answer it.
    pub(super) fn sends(&self, ty: ExtensionType) -> bool {
        match ty {
            ExtensionType::SERVER_NAME => self.sni().is_some(),
            ExtensionType::SUPPORTED_VERSIONS | ExtensionType::COOKIE | ExtensionType::KEY_SHARE => {
                self.offers(ProtocolVersion::DTLS1_3)
            }
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => !self.config.alpn_protocols().is_empty(),
            ExtensionType::EC_POINT_FORMATS
            | ExtensionType::EXTENDED_MASTER_SECRET
            | ExtensionType::RENEGOTIATION_INFO => self.offers(ProtocolVersion::DTLS1_2),
            _ => EXTENSIONS.contains(&ty),
        }
    }

    fn put_extension(&self, ty: ExtensionType, cookie: &[u8], out: &mut Vec<u8>) {
        let config = &self.config;
        match ty {
            ExtensionType::SERVER_NAME => self.sni().into_iter().for_each(|name| put_server_name(out, name)),
            ExtensionType::SUPPORTED_VERSIONS => put_extension(out, ty, |out| {
                out.put_vec::<1>(|out| config.versions().iter().for_each(|version| out.put_u16(version.0)));
            }),
            ExtensionType::COOKIE if cookie.is_empty() => {}
            ExtensionType::COOKIE => put_extension(out, ty, |out| out.put_vec::<2>(|out| out.put(cookie))),
            ExtensionType::KEY_SHARE => put_extension(out, ty, |out| {
                out.put_vec::<2>(|out| self.entries().for_each(|entry| entry.put(out)));
            }),
            ExtensionType::SUPPORTED_GROUPS => put_list16(out, ty, config.named_groups()),
            ExtensionType::SIGNATURE_ALGORITHMS => put_list16(out, ty, config.signature_schemes()),
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => {
                put_protocol_names(out, config.alpn_protocols().iter().map(Vec::as_slice));
            }
            ExtensionType::EC_POINT_FORMATS => put_extension(out, ty, |out| {
                out.put_vec::<1>(|out| out.put_u8(UNCOMPRESSED_POINT));
            }),
            // RFC 5746 §3.4: the empty field, since no renegotiation ever follows.
            ExtensionType::RENEGOTIATION_INFO => put_extension(out, ty, |out| out.put_u8(0)),
            _ => put_extension(out, ty, |_| ()),
        }
    }

    /// The shared secret of the running key exchange and the server's share, which must be of a group that was shared
    /// (RFC 8446 §4.2.8).
    pub(super) fn complete_key_exchange(&mut self, share: &KeyShareEntry<'_>) -> Result<SharedSecret, Error> {
        if !self.shares(share.group) {
            return Err(PeerMisbehaved::KeyShareGroupMismatch.into());
        }
        match std::mem::replace(&mut self.key_shares, OfferedShares::None) {
            OfferedShares::None => Err(PeerMisbehaved::KeyShareGroupMismatch.into()),
            OfferedShares::WithComponent(exchange) | OfferedShares::Retried(exchange) => {
                exchange.complete(share.group, Role::Server, share.key_exchange)
            }
        }
    }
}

/// What a ClientHello may hold, in this order.
const EXTENSIONS: &[ExtensionType] = &[
    ExtensionType::SERVER_NAME,
    ExtensionType::SUPPORTED_VERSIONS,
    ExtensionType::COOKIE,
    ExtensionType::KEY_SHARE,
    ExtensionType::SUPPORTED_GROUPS,
    ExtensionType::SIGNATURE_ALGORITHMS,
    ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
    ExtensionType::EC_POINT_FORMATS,
    ExtensionType::EXTENDED_MASTER_SECRET,
    ExtensionType::RENEGOTIATION_INFO,
];

/// The group of the first share: a small one, so that the hello stays one datagram and any server can take it, unless
/// the application insists on the post-quantum hybrid.
fn first_group(config: &ClientConfig) -> Result<&'static dyn rustls::crypto::SupportedKxGroup, Error> {
    let mut groups = config.groups().iter().copied();
    let classical = |group: &&'static dyn rustls::crypto::SupportedKxGroup| {
        group.usable_for_version(rustls::ProtocolVersion::TLSv1_2)
    };
    let preferred = match config.key_shares() {
        KeyShares::Classical => groups.find(classical),
        KeyShares::HybridFirst => None,
    };
    preferred.or_else(|| config.groups().first().copied()).ok_or(Error::Provider)
}

/// A ClientHello is out; a ServerHello of either version or a request to retry may come.
pub(super) struct ExpectServerHello {
    offer: Offer,
    transcript: TranscriptBuffer,
    hello_verify_requests: HelloVerifyRequests,
}

impl ExpectServerHello {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let message = input.expect_one_of(&[HandshakeType::SERVER_HELLO, HandshakeType::HELLO_VERIFY_REQUEST])?;
        if message.msg_type == HandshakeType::HELLO_VERIFY_REQUEST {
            return self.handle_hello_verify_request(&message, out);
        }
        let hello = ServerHello::read(message.body)?;
        match version_of(&hello, &self.offer)? {
            ProtocolVersion::DTLS1_3 => self.handle_server_hello13(&hello, &message, out),
            _ => {
                check_downgrade(&hello, &self.offer)?;
                client12::handle_server_hello(self.offer, self.transcript, &hello, &message, out)
            }
        }
    }

    /// RFC 6347 §4.2.1: the same ClientHello again, with the cookie. Neither the first hello nor this request enters the
    /// transcript (§4.2.6).
    fn handle_hello_verify_request(mut self, message: &Message<'_>, out: &mut Outbox) -> Result<State, Error> {
        let cookie = read_hello_verify_request(message.body)?;
        if !self.offer.offers(ProtocolVersion::DTLS1_2) {
            // Only a server that has chosen an older version sends it (RFC 9147 §5.1).
            return Err(PeerMisbehaved::SelectedUnofferedVersion.into());
        }
        let count = self.hello_verify_requests.0.saturating_add(1);
        if count > self.offer.config.transport().max_hello_verify_requests() {
            return Err(PeerMisbehaved::TooManyHelloVerifyRequests.into());
        }
        self.hello_verify_requests = HelloVerifyRequests(count);
        self.offer.legacy_cookie = cookie.to_vec();
        self.transcript.clear();
        out.push(Effect::Flight(FlightEnd::Answer));
        let Self { offer, transcript, .. } = &mut self;
        offer.send(&[], |message| transcript.add(message), out)?;
        Ok(State::ExpectServerHello(Box::new(self)))
    }

    fn handle_server_hello13(
        self,
        hello: &ServerHello<'_>,
        message: &Message<'_>,
        out: &mut Outbox,
    ) -> Result<State, Error> {
        // A server that has 1.3 sends no HelloVerifyRequest (RFC 9147 §5.1).
        if self.hello_verify_requests.0 > 0 {
            return Err(PeerMisbehaved::VersionAfterHelloVerifyRequest.into());
        }
        let suite = check_server_hello13(hello, &self.offer)?;
        out.push(Effect::ExplicitAcks);
        let transcript = self.transcript.start(suite.hash, TranscriptForm::Dtls13, Retention::HashOnly);
        if hello.is_hello_retry_request() {
            handle_hello_retry_request(self.offer, suite, transcript, hello, message, out)
        } else {
            client13::handle_server_hello(self.offer, suite, transcript, hello, message, out)
        }
    }
}

/// RFC 8446 §4.1.4, with the changes of RFC 9147 §5.1.
fn handle_hello_retry_request(
    mut offer: Offer,
    suite: Suite13,
    mut transcript: Transcript,
    hello: &ServerHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    const ALLOWED: &[ExtensionType] =
        &[ExtensionType::SUPPORTED_VERSIONS, ExtensionType::KEY_SHARE, ExtensionType::COOKIE];
    // A cookie answers nothing (RFC 8446 §4.2.2).
    check_answers(&hello.extensions, |ty| offer.sends(ty) || ty == ExtensionType::COOKIE, ALLOWED)?;
    let (group, cookie) = (hello.selected_group()?, hello.cookie()?);
    if group.is_none() && cookie.is_none() {
        return Err(PeerMisbehaved::HelloRetryRequestWithoutChange.into());
    }
    if let Some(group) = group {
        let ours = offer.config.groups().iter().find(|ours| crypto::group_of(**ours) == group);
        let ours = ours.ok_or(PeerMisbehaved::SelectedUnofferedGroup)?;
        if offer.shares(group) {
            return Err(PeerMisbehaved::HelloRetryRequestForOfferedGroup.into());
        }
        offer.key_shares = OfferedShares::Retried(KeyExchange::start(*ours)?);
    }
    offer.hello_retry_request = HelloRetryRequest::Answered;
    transcript.roll_up_for_retry();
    transcript.add(message);
    out.push(Effect::Flight(FlightEnd::Answer));
    offer.send(cookie.unwrap_or_default(), |message| transcript.add(message), out)?;
    Ok(State::ExpectServerHelloAfterRetry(Box::new(ExpectServerHelloAfterRetry { offer, suite, transcript })))
}

/// A HelloRetryRequest was answered; only a ServerHello that keeps to it may come (RFC 8446 §4.1.4).
pub(super) struct ExpectServerHelloAfterRetry {
    offer: Offer,
    suite: Suite13,
    transcript: Transcript,
}

impl ExpectServerHelloAfterRetry {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let message = input.expect(HandshakeType::SERVER_HELLO)?;
        let hello = ServerHello::read(message.body)?;
        if hello.is_hello_retry_request() {
            return Err(PeerMisbehaved::SecondHelloRetryRequest.into());
        }
        if version_of(&hello, &self.offer)? != ProtocolVersion::DTLS1_3 {
            return Err(PeerMisbehaved::VersionChangedAfterRetry.into());
        }
        if check_server_hello13(&hello, &self.offer)?.id != self.suite.id {
            return Err(PeerMisbehaved::CipherSuiteChangedAfterRetry.into());
        }
        // Known already; it is said again because this, too, answers a ClientHello.
        out.push(Effect::ExplicitAcks);
        client13::handle_server_hello(self.offer, self.suite, self.transcript, &hello, &message, out)
    }
}

/// The version that a ServerHello selects (RFC 8446 §4.2.1), which must have been offered.
fn version_of(hello: &ServerHello<'_>, offer: &Offer) -> Result<ProtocolVersion, Error> {
    let version = match hello.selected_version()? {
        // RFC 8446 §4.2.1: an older version is never selected by this extension.
        Some(version) if version != ProtocolVersion::DTLS1_3 => {
            return Err(PeerMisbehaved::SelectedUnofferedVersionInExtension.into());
        }
        Some(version) => version,
        None if hello.is_hello_retry_request() => return Err(PeerMisbehaved::SelectedUnofferedVersion.into()),
        None => hello.legacy_version,
    };
    let known = [ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2].contains(&version);
    // A legacy_version of 1.3 would be a version that only the extension may select.
    let by_extension = version == ProtocolVersion::DTLS1_3 && hello.selected_version()?.is_none();
    match known && offer.offers(version) && !by_extension {
        true => Ok(version),
        false => Err(PeerMisbehaved::SelectedUnofferedVersion.into()),
    }
}

/// What ServerHello and HelloRetryRequest of 1.3 have in common (RFC 8446 §4.1.3, RFC 9147 §5.3, §5.4).
fn check_server_hello13(hello: &ServerHello<'_>, offer: &Offer) -> Result<Suite13, Error> {
    if hello.legacy_version != ProtocolVersion::DTLS1_2 {
        return Err(PeerMisbehaved::SelectedUnofferedVersionInExtension.into());
    }
    if !hello.session_id.is_empty() {
        return Err(PeerMisbehaved::LegacySessionIdEchoed.into());
    }
    if hello.compression_method != NULL_COMPRESSION {
        return Err(PeerMisbehaved::SelectedUnofferedCompression.into());
    }
    match offer.suite(hello)? {
        Suite::Dtls13(suite) => Ok(*suite),
        Suite::Dtls12(_) => Err(PeerMisbehaved::CipherSuiteOfOtherVersion.into()),
    }
}

/// A server that has 1.3 marks an answer of 1.2; to one who offered 1.3 that betrays an attack (RFC 8446 §4.1.3).
fn check_downgrade(hello: &ServerHello<'_>, offer: &Offer) -> Result<(), Error> {
    let marked = hello.random.ends_with(&DOWNGRADE_TO_1_2) || hello.random.ends_with(&DOWNGRADE_TO_1_1);
    match marked && offer.offers(ProtocolVersion::DTLS1_3) {
        true => Err(PeerMisbehaved::DowngradeDetected.into()),
        false => Ok(()),
    }
}
