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
use super::offer::{HelloTranscript, Offer, OfferedShares};
use super::transcript::{Retention, Transcript, TranscriptBuffer, TranscriptForm};
use super::{Effect, FlightEnd, Input, Outbox, State, client12, client13};
use crate::config::ClientConfig;
use crate::crypto::{
    self, KeyExchange,
    suites::{Suite, Suite13},
};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ProtocolVersion,
    enums::{ExtensionType, HandshakeType},
    handshake::Message,
    hello::{DOWNGRADE_TO_1_1, DOWNGRADE_TO_1_2, NULL_COMPRESSION, ServerHello, read_hello_verify_request},
};
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
    offer.send(&[], HelloTranscript::First(&mut transcript), out)?;
    let hello_verify_requests = HelloVerifyRequests(0);
    Ok(State::ExpectServerHello(Box::new(ExpectServerHello { offer, transcript, hello_verify_requests })))
}

/// How many HelloVerifyRequests were answered.
#[derive(Clone, Copy)]
struct HelloVerifyRequests(u8);

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
        offer.send(&[], HelloTranscript::First(transcript), out)?;
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
        let transcript = self.transcript.start(suite.hash(), TranscriptForm::Dtls13, Retention::HashOnly);
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
    offer.keep_psk_of(suite);
    transcript.roll_up_for_retry();
    transcript.add(message);
    out.push(Effect::Flight(FlightEnd::Answer));
    offer.send(cookie.unwrap_or_default(), HelloTranscript::Retried(&mut transcript), out)?;
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
