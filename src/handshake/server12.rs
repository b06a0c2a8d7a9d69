//! The server of DTLS 1.2 from ClientHello to Finished (RFC 5246 §7.3, §7.4; RFC 8422 §5; RFC 6347 §4.2).
//!
//! ```text
//! ClientHello               -->                          (server.rs)
//!                           <--  ServerHello
//!                           <--  Certificate
//!                           <--  ServerKeyExchange
//!                           <--  [CertificateRequest]
//!                           <--  ServerHelloDone
//! Certificate*              -->                          ExpectCertificate
//! ClientKeyExchange         -->                          ExpectClientKeyExchange
//! CertificateVerify*        -->                          ExpectCertificateVerify
//! [ChangeCipherSpec]        -->                          (server_finish12.rs)
//! Finished                  -->
//!                           <--  [NewSessionTicket]
//!                           <--  [ChangeCipherSpec]
//!                           <--  Finished                Established12
//! ```

use super::authentication::TrustedChain;
use super::common12::{KeyParameters, authentication, derivation};
use super::extensions::Settled;
use super::negotiate::{
    HandshakeKind, HelloRetryRequest, Negotiated, acknowledges_name, select_group12, select_suite12, server_name,
};
use super::pending::{self, AfterSignature, AfterVerdict, OnceJudged, OnceSigned};
use super::resumption12::{AcceptedSession, Promise};
use super::schedule12::{Derivation, KeyBlock, MasterSecret, PeerShare, Randoms};
use super::server_finish12::{Confirmation, LastFlight, OwnFinished};
use super::signature::{self, SignatureContext};
use super::stapling::Stapled;
use super::transcript::{Retention, Transcript, TranscriptForm};
use super::{Effect, FlightEnd, Input, Outbox, State, abbreviated12};
use crate::config::{PeerCredentials, ServerConfig};
use crate::crypto::{
    self, KeyExchange, Role,
    suites::{Authentication, Suite12},
};
use crate::error::{Error, PeerIncompatible};
use crate::verify::ClientAuth;
use crate::wire::{
    CipherSuite, ProtocolVersion, SignatureScheme,
    ack::Epoch,
    certificate::{CertificateRequest, DigitallySigned, put_certificate12, read_certificate12},
    codec::Put,
    enums::{ExtensionType, HandshakeType},
    extensions::{UNCOMPRESSED_POINT, put_extension},
    handshake::Message,
    hello::{ClientHello, DOWNGRADE_TO_1_2, Random, ServerHello},
    key_exchange::{ServerKeyExchange, read_client_key_exchange},
    stapling::Staples,
};
use rustls::crypto::SupportedKxGroup;
use rustls::sign::{CertifiedKey, Signer};
use std::sync::Arc;

/// Answers a ClientHello for which DTLS 1.2 was selected.
pub(super) fn handle_client_hello(
    config: Arc<ServerConfig>,
    hello: &ClientHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    if let Some(session) = AcceptedSession::find(&config, hello)? {
        return abbreviated12::resume(&config, session, hello, message, out);
    }
    let choice = Choice::make(&config, hello)?;
    // Only a client certificate's signature needs the messages themselves (RFC 5246 §7.4.8).
    let retention = match config.client_auth() {
        ClientAuth::None => Retention::HashOnly,
        ClientAuth::Optional | ClientAuth::Required => Retention::Messages,
    };
    let mut transcript = Transcript::new(choice.suite.hash(), TranscriptForm::Dtls12, retention);
    transcript.add(message);
    choice.send_flight(config, hello, transcript, out)
}

/// About how many octets the flight will have that answers the ClientHello, if it can be answered: a little more rather than
/// less.
pub(crate) fn estimated_flight(config: &ServerConfig, hello: &ClientHello<'_>) -> Option<usize> {
    let choice = Choice::make(config, hello).ok()?;
    let chain = choice.certified.cert.iter().map(|certificate| certificate.len());
    let authorities = config.client_authorities().iter().map(|name| name.as_ref().len().saturating_add(2));
    // A resumption has no chain, and perhaps a new ticket about as long as the old one.
    let ticket = hello.extensions.find(ExtensionType::SESSION_TICKET).map(<[u8]>::len);
    Some(chain.chain(authorities).chain(ticket).fold(FLIGHT_WITHOUT_CHAIN, usize::saturating_add))
}

/// Octets of all messages of the flight but the certificates and the names of authorities, and of the headers of their
/// records, with the largest signature there is.
const FLIGHT_WITHOUT_CHAIN: usize = 1100;

/// What the server chose, before it says anything.
struct Choice {
    suite: Suite12,
    group: &'static dyn SupportedKxGroup,
    derivation: Derivation,
    settled: Settled,
    certified: Arc<CertifiedKey>,
    stapled: Stapled,
    signer: Box<dyn Signer>,
}

impl Choice {
    fn make(config: &ServerConfig, hello: &ClientHello<'_>) -> Result<Self, Error> {
        let derivation = derivation(&hello.extensions, config.extended_master_secret())?;
        let group = select_group12(hello, config)?;
        let schemes = usable_schemes(hello, config)?;
        let credential = config
            .resolve_certificate(hello, &schemes, ProtocolVersion::DTLS1_2)
            .ok_or(PeerIncompatible::NoCertificateForPeer)?;
        let (certified, stapled) = (credential.certified_key().clone(), Stapled::choose(&credential, hello));
        // The certificate's key decides which suites are left (RFC 5246 §7.4.2).
        let auth = authentication(certified.key.as_ref()).ok_or(PeerIncompatible::NoCertificateForPeer)?;
        let context = SignatureContext::ServerKeyExchange12(auth);
        let schemes = credential.usable_schemes(&schemes, ProtocolVersion::DTLS1_2);
        let signer = signature::choose_signer(context, certified.key.as_ref(), &schemes)?;
        let suite = select_suite12(hello, config, |other| other == auth)?;
        let settled = Settled::choose(config, hello, ProtocolVersion::DTLS1_2)?;
        Ok(Self { suite, group, derivation, settled, certified, stapled, signer })
    }

    /// ServerHello to ServerHelloDone (RFC 5246 §7.3). The ClientHello is part of the transcript already.
    fn send_flight(
        self,
        config: Arc<ServerConfig>,
        hello: &ClientHello<'_>,
        mut transcript: Transcript,
        out: &mut Outbox,
    ) -> Result<State, Error> {
        let randoms = Randoms { client: *hello.random, server: server_random(&config)? };
        let parameters = KeyParameters { suite: self.suite, derivation: self.derivation, randoms };
        let key_exchange = KeyExchange::start(self.group)?;
        out.push(Effect::Flight(FlightEnd::Answer));
        self.settled.limit_records(out);
        let promise = Promise::of_full(&config, hello, self.derivation)?;
        let body = self.server_hello(&config, hello, &promise, &randoms.server);
        out.send(Epoch::PLAINTEXT, HandshakeType::SERVER_HELLO, body, &mut transcript)?;
        let len = self.certified.cert.iter().map(|certificate| certificate.len());
        let mut body = Vec::with_capacity(len.fold(3, |sum, len| sum.saturating_add(len).saturating_add(3)));
        put_certificate12(&mut body, self.certified.cert.iter().map(AsRef::as_ref));
        out.send(Epoch::PLAINTEXT, HandshakeType::CERTIFICATE, body, &mut transcript)?;
        // RFC 6066 §8: "MUST send the CertificateStatus message immediately after the Certificate message".
        if let Some(body) = self.stapled.certificate_status12() {
            out.send(Epoch::PLAINTEXT, HandshakeType::CERTIFICATE_STATUS, body, &mut transcript)?;
        }
        // RFC 8422 §5.4.
        let mut params = Vec::with_capacity(512);
        ServerKeyExchange::put_params(&mut params, key_exchange.group(), key_exchange.public_key());
        let content = signature::server_key_exchange_content(&randoms, &params);
        let negotiated = Box::new(Negotiated {
            version: ProtocolVersion::DTLS1_2,
            cipher_suite: self.suite.id,
            group: key_exchange.group(),
            signature_scheme: self.signer.scheme().into(),
            protocol: self.settled.protocol,
            srtp_profile: self.settled.srtp_profile,
            server_name: server_name(hello).map(str::to_owned),
            peer: PeerCredentials::default(),
            hello_retry_request: HelloRetryRequest::Unneeded,
            kind: HandshakeKind::Full,
            authenticated: config.now().as_secs(),
        });
        let exchange = Exchange { config, parameters, key_exchange, transcript, negotiated, promise };
        pending::sign(self.certified, self.signer.as_ref(), content, Unsigned { exchange, params }, out)
    }

    /// RFC 5246 §7.4.1.3. An empty session id says that the session is not kept.
    fn server_hello(
        &self,
        config: &ServerConfig,
        hello: &ClientHello<'_>,
        promise: &Promise,
        random: &Random,
    ) -> Vec<u8> {
        let mut body = Vec::with_capacity(SERVER_HELLO_LEN);
        ServerHello::put(&mut body, random, promise.session_id(), self.suite.id, |out| {
            self.put_extensions(config, hello, promise, out);
        });
        body
    }

    /// Answers to the client's extensions, and nothing else (RFC 5246 §7.4.1.4).
    fn put_extensions(&self, config: &ServerConfig, hello: &ClientHello<'_>, promise: &Promise, out: &mut Vec<u8>) {
        if acknowledges_name(hello, config) {
            // RFC 6066 §3: it "SHALL be empty".
            put_extension(out, ExtensionType::SERVER_NAME, |_| ());
        }
        // RFC 8422 §5.2.
        if hello.known.point_formats.is_some() {
            put_extension(out, ExtensionType::EC_POINT_FORMATS, |out| {
                out.put_vec::<1>(|out| out.put_u8(UNCOMPRESSED_POINT));
            });
        }
        self.stapled.put_answers12(out);
        put_session_extensions(config, hello, self.derivation, promise, &self.settled, out);
    }
}

/// The answers that a resumed session has too.
pub(super) fn put_session_extensions(
    config: &ServerConfig,
    hello: &ClientHello<'_>,
    derivation: Derivation,
    promise: &Promise,
    settled: &Settled,
    out: &mut Vec<u8>,
) {
    // RFC 5746 §3.6: an answer to the signalling suite too.
    let scsv = hello.cipher_suites.contains(&CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV);
    if scsv || hello.known.renegotiation_info.is_some() {
        put_extension(out, ExtensionType::RENEGOTIATION_INFO, |out| out.put_u8(0));
    }
    if derivation == Derivation::Extended {
        put_extension(out, ExtensionType::EXTENDED_MASTER_SECRET, |_| ());
    }
    if promise.announces_ticket() {
        put_extension(out, ExtensionType::SESSION_TICKET, |_| ());
    }
    settled.put(config, ProtocolVersion::DTLS1_2, out);
}

/// The flight up to the server's Certificate is prepared.
pub(super) struct Unsigned {
    exchange: Exchange,
    /// What a ServerKeyExchange holds before its signature.
    params: Vec<u8>,
}

impl AfterSignature for Unsigned {
    /// ServerKeyExchange to ServerHelloDone.
    fn signed(self, signed: &DigitallySigned<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut exchange, params: mut body } = self;
        let (config, transcript) = (&exchange.config, &mut exchange.transcript);
        signed.put(&mut body);
        out.send(Epoch::PLAINTEXT, HandshakeType::SERVER_KEY_EXCHANGE, body, transcript)?;
        if config.client_auth() != ClientAuth::None {
            let body = certificate_request(config)?;
            out.send(Epoch::PLAINTEXT, HandshakeType::CERTIFICATE_REQUEST, body, transcript)?;
        }
        out.send(Epoch::PLAINTEXT, HandshakeType::SERVER_HELLO_DONE, Vec::new(), transcript)?;
        Ok(match exchange.config.client_auth() {
            ClientAuth::None => exchange.expect_client_key_exchange(Client::Anonymous),
            ClientAuth::Optional | ClientAuth::Required => {
                State::ExpectClientCertificate12(Box::new(ExpectCertificate { exchange }))
            }
        })
    }

    fn later(self) -> OnceSigned {
        OnceSigned::Server12(Box::new(self))
    }
}

/// More octets than a ServerHello of ours has without a protocol name.
const SERVER_HELLO_LEN: usize = 96;

/// The client's schemes by which a certificate of ours may sign under a suite that both have. A client that lists none
/// means SHA-1 (RFC 5246 §7.4.1.4.1), with which nothing is signed any more (RFC 9155 §3).
fn usable_schemes(hello: &ClientHello<'_>, config: &ServerConfig) -> Result<Vec<SignatureScheme>, Error> {
    // Fails if there is no suite at all.
    select_suite12(hello, config, |_| true)?;
    let usable = |auth| select_suite12(hello, config, |other| other == auth).is_ok();
    let contexts = [Authentication::Ecdsa, Authentication::Rsa]
        .map(|auth| usable(auth).then_some(SignatureContext::ServerKeyExchange12(auth)));
    let offered = hello.known.signature_schemes.ok_or(PeerIncompatible::NoCommonSignatureScheme)?;
    let mut schemes = Vec::with_capacity(offered.iter().count());
    schemes.extend(offered.iter().filter(|scheme| contexts.iter().flatten().any(|context| context.admits(*scheme))));
    Ok(schemes)
}

/// A server that has 1.3 marks its answer of 1.2 (RFC 8446 §4.1.3).
pub(super) fn server_random(config: &ServerConfig) -> Result<Random, Error> {
    let mut random: Random = crypto::random(config.provider())?;
    if config.versions().contains(&ProtocolVersion::DTLS1_3)
        && let Some(mark) = random.last_chunk_mut()
    {
        *mark = DOWNGRADE_TO_1_2;
    }
    Ok(random)
}

/// RFC 5246 §7.4.4: the schemes by which the client may sign.
fn certificate_request(config: &ServerConfig) -> Result<Vec<u8>, Error> {
    let ours = config.signature_schemes().iter().copied();
    let schemes: Vec<_> = ours.filter(|scheme| SignatureContext::CertificateVerify12.admits(*scheme)).collect();
    if schemes.is_empty() {
        return Err(PeerIncompatible::NoCommonSignatureScheme.into());
    }
    let mut body = Vec::new();
    let authorities = config.client_authorities().iter();
    CertificateRequest::put12(&mut body, &schemes, authorities.map(AsRef::as_ref));
    Ok(body)
}

/// What is needed until the client's share is there.
struct Exchange {
    config: Arc<ServerConfig>,
    parameters: KeyParameters,
    key_exchange: KeyExchange,
    transcript: Transcript,
    negotiated: Box<Negotiated>,
    promise: Promise,
}

/// Who the client says it is.
enum Client {
    /// It was not asked, or has no certificate and need not have one.
    Anonymous,
    /// Its chain is trusted; that it is its own is not proven yet.
    Certified(TrustedChain),
}

impl Exchange {
    fn expect_client_key_exchange(mut self, client: Client) -> State {
        if matches!(client, Client::Anonymous) {
            self.transcript.forget_messages();
        }
        State::ExpectClientKeyExchange12(Box::new(ExpectClientKeyExchange { exchange: self, client }))
    }
}

/// A client that was asked sends a Certificate, even if it has none (RFC 5246 §7.4.6).
pub(super) struct ExpectCertificate {
    exchange: Exchange,
}

impl ExpectCertificate {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut exchange } = self;
        let message = input.expect(HandshakeType::CERTIFICATE)?;
        let chain = read_certificate12(message.body)?;
        exchange.transcript.add(&message);
        if chain.is_empty() {
            // RFC 5246 §7.4.6: either to go on, or "a fatal handshake_failure alert".
            return match exchange.config.client_auth() {
                ClientAuth::Required => Err(PeerIncompatible::NoClientCertificate.into()),
                ClientAuth::Optional | ClientAuth::None => Ok(exchange.expect_client_key_exchange(Client::Anonymous)),
            };
        }
        let judged =
            TrustedChain::verify(&chain, Staples::default(), |peer| exchange.config.verify_client(&peer.certificates))?;
        pending::go_on(judged, Self { exchange }, out)
    }
}

impl AfterVerdict for ExpectCertificate {
    fn trusted(self, chain: TrustedChain, _: &mut Outbox) -> Result<State, Error> {
        Ok(self.exchange.expect_client_key_exchange(Client::Certified(chain)))
    }

    fn later(self) -> OnceJudged {
        OnceJudged::Server12(Box::new(self))
    }
}

/// The client's share is due (RFC 8422 §5.7).
pub(super) struct ExpectClientKeyExchange {
    exchange: Exchange,
    client: Client,
}

impl ExpectClientKeyExchange {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { exchange, client } = self;
        let Exchange { config, parameters, key_exchange, mut transcript, negotiated, promise } = exchange;
        let message = input.expect(HandshakeType::CLIENT_KEY_EXCHANGE)?;
        let public = read_client_key_exchange(message.body)?;
        transcript.add(&message);
        let share = PeerShare { sender: Role::Client, public };
        let master = parameters.master_secret(key_exchange, share, &transcript)?;
        master.log(config.key_log());
        let keys = master.key_block()?;
        let progress = Progress { config, master, keys, transcript, negotiated, promise };
        Ok(match client {
            Client::Anonymous => progress.expect_change_cipher_spec(out),
            // A certificate of a kind that can sign, as those that are asked for, is followed by a signature
            // (RFC 5246 §7.4.8).
            Client::Certified(chain) => {
                State::ExpectClientCertificateVerify12(Box::new(ExpectCertificateVerify { progress, chain }))
            }
        })
    }
}

/// What is needed once the keys are known.
struct Progress {
    config: Arc<ServerConfig>,
    master: MasterSecret,
    keys: KeyBlock,
    transcript: Transcript,
    negotiated: Box<Negotiated>,
    promise: Promise,
}

impl Progress {
    fn expect_change_cipher_spec(self, out: &mut Outbox) -> State {
        let Self { config, master, keys, transcript, negotiated, promise } = self;
        let own = OwnFinished::Due(Box::new(LastFlight { config, keys: keys.server, promise }));
        Confirmation { master, transcript, negotiated, own }.expect(keys.client, out)
    }
}

/// The client's chain is trusted; now the client must prove that it is its own.
pub(super) struct ExpectCertificateVerify {
    progress: Progress,
    chain: TrustedChain,
}

impl ExpectCertificateVerify {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut progress, chain } = self;
        let message = input.expect(HandshakeType::CERTIFICATE_VERIFY)?;
        let signed = DigitallySigned::read_certificate_verify(message.body)?;
        // "all handshake messages sent or received, starting at client hello and up to, but not including, this
        // message" (RFC 5246 §7.4.8); the scheme is one of those requested.
        let client = chain.verify_signed(
            progress.config.provider(),
            SignatureContext::CertificateVerify12,
            progress.config.signature_schemes(),
            progress.transcript.messages().ok_or(Error::Provider)?,
            &signed,
        )?;
        progress.transcript.forget_messages();
        progress.transcript.add(&message);
        progress.negotiated.peer = client.into_peer();
        Ok(progress.expect_change_cipher_spec(out))
    }
}
