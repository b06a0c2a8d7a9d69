//! The server of DTLS 1.3 (RFC 8446 §4.1.3–§4.4, RFC 9147 §5).
//!
//! ```text
//! ClientHello             -->                          (server.rs)
//!                         <--  HelloRetryRequest*      ExpectRetriedClientHello
//! ClientHello             -->
//!                         <--  ServerHello
//!                         <--  EncryptedExtensions
//!                         <--  CertificateRequest*
//!                         <--  Certificate
//!                         <--  CertificateVerify
//!                         <--  Finished                ExpectCertificate | ExpectFinished
//! [Certificate]           -->                          ExpectCertificateVerify | ExpectFinished
//! [CertificateVerify]     -->                          ExpectFinished
//! Finished                -->                          Established13
//! ```

use super::authentication::{
    Authenticated, TrustedChain, read_certificate, send_certificate, send_certificate_verify, verify_finished,
};
use super::established::{ApplicationSecrets, Established13};
use super::extensions::Settled;
use super::negotiate::{
    HandshakeKind, HelloRetryRequest, KeyShareChoice, Negotiated, Selection, Selection13, acknowledges_name, select,
    server_name,
};
use super::pending::{self, AfterSignature, AfterVerdict, OnceJudged, OnceSigned};
use super::resumption13::{AcceptedPsk, Tickets, TicketsWanted, select_psk, send_tickets};
use super::schedule13::{EarlySchedule, HandshakeSchedule, HandshakeTrafficSecret, SecretLog};
use super::signature::{self, SignatureContext};
use super::stapling::Stapled;
use super::transcript::{Retention, Transcript, TranscriptForm};
use super::{APPLICATION_EPOCH, Effect, FlightEnd, HANDSHAKE_EPOCH, Input, Outbox, State, compression13};
use crate::config::{PeerCredentials, ServerConfig, SessionState};
use crate::crypto::{self, Role, suites::Suite13};
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::verify::ClientAuth;
use crate::wire::{
    NamedGroup, ProtocolVersion, SignatureScheme,
    ack::Epoch,
    certificate::{CertificateRequest, DigitallySigned},
    codec::Put,
    enums::{ExtensionType, HandshakeType},
    extensions::{KeyShareEntry, put_extension},
    handshake::Message,
    hello::{ClientHello, HELLO_RETRY_REQUEST_RANDOM, Random, ServerHello, put_selected_version},
};
use rustls::compress::CertCompressor;
use rustls::crypto::SupportedKxGroup;
use rustls::sign::{CertifiedKey, Signer};
use std::sync::Arc;

/// The first ClientHello, DTLS 1.3 being what both have.
pub(super) fn handle_client_hello(
    config: Arc<ServerConfig>,
    selection: Selection13<'_>,
    hello: &ClientHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    // No cookie was given out (RFC 8446 §4.2.2).
    if hello.known.cookie.is_some() {
        return Err(PeerMisbehaved::UnexpectedCookie.into());
    }
    let Selection13 { suite, key_share } = selection;
    let mut transcript = Transcript::new(suite.hash(), TranscriptForm::Dtls13, Retention::HashOnly);
    out.push(Effect::ExplicitAcks);
    match key_share {
        KeyShareChoice::Offered(group, share) => {
            let psk = select_psk(&config, suite, hello, message, &transcript)?;
            transcript.add(message);
            let parameters = Parameters::choose(config, suite, group, hello, psk, HelloRetryRequest::Unneeded)?;
            send_flight(parameters, &share, hello, transcript, out)
        }
        KeyShareChoice::Retry(group) => {
            transcript.add(message);
            transcript.roll_up_for_retry();
            out.push(Effect::Flight(FlightEnd::Answer));
            let body = hello_retry_request(suite, group);
            out.send(Epoch::PLAINTEXT, HandshakeType::SERVER_HELLO, body, &mut transcript)?;
            let first = FirstClientHello::Kept(message.body.into());
            let next = ExpectRetriedClientHello { config, suite, group, transcript, first };
            Ok(State::ExpectRetriedClientHello13(Box::new(next)))
        }
    }
}

/// A HelloRetryRequest that asks for a share of `group` (RFC 8446 §4.1.4).
fn hello_retry_request(suite: Suite13, group: NamedGroup) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    ServerHello::put(&mut body, &HELLO_RETRY_REQUEST_RANDOM, &[], suite.id, |out| {
        put_selected_version(out, ProtocolVersion::DTLS1_3);
        put_extension(out, ExtensionType::KEY_SHARE, |out| out.put_u16(group.0));
    });
    body
}

/// A HelloRetryRequest was sent; the ClientHello comes again with what it asks for.
pub(super) struct ExpectRetriedClientHello {
    config: Arc<ServerConfig>,
    suite: Suite13,
    group: NamedGroup,
    /// The hash of the first ClientHello, and the HelloRetryRequest.
    transcript: Transcript,
    first: FirstClientHello,
}

/// How the second ClientHello is held against the first.
enum FirstClientHello {
    /// The body, to be compared.
    Kept(Box<[u8]>),
    /// The one who sent the HelloRetryRequest kept nothing: what must not change is part of the cookie, which was found
    /// to be genuine.
    InCookie,
}

impl ExpectRetriedClientHello {
    /// Goes on after a HelloRetryRequest that was sent, with a cookie, by one who kept nothing (RFC 9147 §5.1).
    /// `client_hello_hash` is that of the first ClientHello; `request` is the HelloRetryRequest, which asked for `group`.
    pub(super) fn after_stateless_retry(
        config: Arc<ServerConfig>,
        suite: Suite13,
        group: NamedGroup,
        client_hello_hash: &[u8],
        request: &Message<'_>,
    ) -> Self {
        let mut transcript = Transcript::after_first_client_hello(suite.hash(), client_hello_hash);
        transcript.add(request);
        Self { config, suite, group, transcript, first: FirstClientHello::InCookie }
    }

    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { config, suite, group, mut transcript, first } = self;
        let message = input.expect(HandshakeType::CLIENT_HELLO)?;
        let hello = ClientHello::read(message.body)?;
        first.check(&hello)?;
        // Version, suite and group follow from what cannot have changed; a fault in what can is found here again.
        let Selection::Dtls13(selection) = select(&hello, &config)? else {
            return Err(PeerMisbehaved::RetriedClientHelloDiffers.into());
        };
        let KeyShareChoice::Offered(kx_group, share) = selection.key_share else {
            return Err(PeerMisbehaved::RetriedClientHelloDiffers.into());
        };
        if selection.suite.id != suite.id || share.group != group {
            return Err(PeerMisbehaved::RetriedClientHelloDiffers.into());
        }
        let psk = select_psk(&config, suite, &hello, &message, &transcript)?;
        transcript.add(&message);
        // Whoever sent the HelloRetryRequest kept nothing, so nobody has said it.
        if matches!(first, FirstClientHello::InCookie) {
            out.push(Effect::ExplicitAcks);
        }
        let parameters = Parameters::choose(config, suite, kx_group, &hello, psk, HelloRetryRequest::Answered)?;
        send_flight(parameters, &share, &hello, transcript, out)
    }
}

impl FirstClientHello {
    /// RFC 8446 §4.1.2: the client sends the same ClientHello, but for what the HelloRetryRequest asks for.
    fn check(&self, second: &ClientHello<'_>) -> Result<(), Error> {
        const MAY_CHANGE: &[ExtensionType] = &[
            ExtensionType::KEY_SHARE,
            ExtensionType::COOKIE,
            ExtensionType::EARLY_DATA,
            ExtensionType::PRE_SHARED_KEY,
            ExtensionType::PADDING,
        ];
        // "Early data is not permitted after a HelloRetryRequest" (RFC 8446 §4.1.2).
        if second.extensions.has(ExtensionType::EARLY_DATA) {
            return Err(PeerMisbehaved::RetriedClientHelloDiffers.into());
        }
        let body = match (self, second.known.cookie) {
            (Self::Kept(body), None) => body,
            (Self::InCookie, Some(_)) => return Ok(()),
            (Self::Kept(_), Some(_)) => return Err(PeerMisbehaved::UnexpectedCookie.into()),
            (Self::InCookie, None) => return Err(PeerMisbehaved::MissingCookie.into()),
        };
        let first = ClientHello::read(body)?;
        // "a list containing a single KeyShareEntry from the indicated group" (RFC 8446 §4.1.2).
        let shares = second.known.key_shares.map_or(0, |shares| shares.iter().count());
        let same = shares == 1
            && first.legacy_version == second.legacy_version
            && first.random == second.random
            && first.session_id == second.session_id
            && first.cipher_suites.iter().eq(second.cipher_suites.iter())
            && first.compression_methods == second.compression_methods
            && extensions_but(MAY_CHANGE, &first) == extensions_but(MAY_CHANGE, second);
        if same { Ok(()) } else { Err(PeerMisbehaved::RetriedClientHelloDiffers.into()) }
    }
}

/// The extensions of a hello without those of some types, by type: they "MAY appear in any order" (RFC 8446 §4.2), and
/// there are clients that send them in another one the second time.
fn extensions_but<'a>(types: &[ExtensionType], hello: &ClientHello<'a>) -> Vec<(u16, &'a [u8])> {
    let others = hello.extensions.iter().filter(|(ty, _)| !types.contains(ty));
    let mut extensions: Vec<_> = others.map(|(ty, body)| (ty.0, body)).collect();
    extensions.sort_unstable_by_key(|(ty, _)| *ty);
    extensions
}

/// What the server chose, before it says anything.
struct Parameters {
    config: Arc<ServerConfig>,
    suite: Suite13,
    group: &'static dyn SupportedKxGroup,
    settled: Settled,
    proof: Proof,
    hello_retry_request: HelloRetryRequest,
}

/// A certificate, and what goes with it.
struct Certified {
    certified: Arc<CertifiedKey>,
    signer: Box<dyn Signer>,
    stapled: Stapled,
    compressor: Option<&'static dyn CertCompressor>,
}

/// How the server shows who it is.
enum Proof {
    Certificate(Box<Certified>),
    /// By the session that it resumes: no certificate, and no signature (RFC 8446 §2.2).
    Session(Box<AcceptedPsk>),
}

impl Parameters {
    fn choose(
        config: Arc<ServerConfig>,
        suite: Suite13,
        group: &'static dyn SupportedKxGroup,
        hello: &ClientHello<'_>,
        psk: Option<AcceptedPsk>,
        hello_retry_request: HelloRetryRequest,
    ) -> Result<Self, Error> {
        let settled = Settled::choose(&config, hello, ProtocolVersion::DTLS1_3)?;
        let proof = match psk {
            Some(psk) => Proof::Session(Box::new(psk)),
            None => Proof::by_certificate(&config, hello)?,
        };
        Ok(Self { config, suite, group, settled, proof, hello_retry_request })
    }
}

impl Proof {
    fn by_certificate(config: &ServerConfig, hello: &ClientHello<'_>) -> Result<Self, Error> {
        const CONTEXT: SignatureContext = SignatureContext::CertificateVerify13;
        let offered = hello.known.signature_schemes.ok_or(PeerMisbehaved::MissingSignatureAlgorithms)?;
        let mut schemes = Vec::with_capacity(offered.iter().count());
        schemes.extend(offered.iter().filter(|scheme| CONTEXT.admits(*scheme)));
        let credential = config
            .resolve_certificate(hello, &schemes, ProtocolVersion::DTLS1_3)
            .ok_or(PeerIncompatible::NoCertificateForPeer)?;
        let (certified, stapled) = (credential.certified_key().clone(), Stapled::choose(&credential, hello));
        let compressor = compression13::choose(config.cert_compressors(), hello.known.certificates.compression);
        let schemes = credential.usable_schemes(&schemes, ProtocolVersion::DTLS1_3);
        let signer = signature::choose_signer(CONTEXT, certified.key.as_ref(), &schemes)?;
        Ok(Self::Certificate(Box::new(Certified { certified, signer, stapled, compressor })))
    }

    /// Early Secret, and what is left to do.
    fn start(self, suite: Suite13) -> (EarlySchedule, ServerProof) {
        match self {
            Self::Certificate(certified) => (EarlySchedule::new(suite), ServerProof::Certificate(certified)),
            Self::Session(psk) => {
                let AcceptedPsk { schedule, session, .. } = *psk;
                (schedule, ServerProof::Session(Box::new(session)))
            }
        }
    }

    /// pre_shared_key of a ServerHello (RFC 8446 §4.2.11).
    fn put_psk(&self, out: &mut Vec<u8>) {
        if let Self::Session(psk) = self {
            put_extension(out, ExtensionType::PRE_SHARED_KEY, |out| out.put_u16(psk.selected_identity));
        }
    }
}

/// How the server shows who it is, under handshake keys.
enum ServerProof {
    Certificate(Box<Certified>),
    Session(Box<SessionState>),
}

impl ServerProof {
    fn scheme(&self) -> SignatureScheme {
        match self {
            Self::Certificate(certified) => certified.signer.scheme().into(),
            Self::Session(session) => session.signature_scheme,
        }
    }
}

/// ServerHello to Finished (RFC 8446 §4.1.3, §4.3, §4.4). The ClientHello is part of the transcript already.
fn send_flight(
    parameters: Parameters,
    share: &KeyShareEntry<'_>,
    hello: &ClientHello<'_>,
    mut transcript: Transcript,
    out: &mut Outbox,
) -> Result<State, Error> {
    let Parameters { config, suite, group, settled, proof, hello_retry_request } = parameters;
    let exchange = crypto::start_and_complete(group, share.key_exchange)?;
    let random = crypto::random(config.provider())?;

    out.push(Effect::Flight(FlightEnd::Answer));
    let mut body = Vec::with_capacity(SERVER_HELLO_LEN.saturating_add(exchange.pub_key.len()));
    // legacy_session_id_echo is empty, whatever came (draft-ietf-tls-rfc9147bis §5.4).
    ServerHello::put(&mut body, &random, &[], suite.id, |out| {
        put_selected_version(out, ProtocolVersion::DTLS1_3);
        let entry = KeyShareEntry { group: share.group, key_exchange: &exchange.pub_key };
        put_extension(out, ExtensionType::KEY_SHARE, |out| entry.put(out));
        proof.put_psk(out);
    });
    out.send(Epoch::PLAINTEXT, HandshakeType::SERVER_HELLO, body, &mut transcript)?;

    let (early, proof) = proof.start(suite);
    let log = SecretLog { key_log: config.key_log(), client_random: hello.random };
    let schedule = early.into_handshake(exchange.secret.secret_bytes())?;
    let hash = transcript.current_hash();
    let client_secret = schedule.traffic_secret(Role::Client, &hash, log)?;
    let server_secret = schedule.traffic_secret(Role::Server, &hash, log)?;
    out.push(Effect::InstallWrite { epoch: HANDSHAKE_EPOCH, keys: server_secret.keys() });
    out.push(Effect::InstallRead { epoch: HANDSHAKE_EPOCH, keys: client_secret.keys() });

    send_encrypted_extensions(&config, hello, &settled, &proof, &mut transcript, out)?;
    let negotiated = Box::new(Negotiated {
        version: ProtocolVersion::DTLS1_3,
        cipher_suite: suite.id,
        group: share.group,
        signature_scheme: proof.scheme(),
        protocol: settled.protocol,
        srtp_profile: settled.srtp_profile,
        server_name: server_name(hello).map(str::to_owned),
        peer: PeerCredentials::default(),
        hello_retry_request,
        kind: HandshakeKind::Full,
        authenticated: config.now().as_secs(),
    });
    let tickets = TicketsWanted::by(hello);
    let client = ClientFacts { random: *hello.random, tickets };
    Unsigned { config, transcript, schedule, client_secret, server_secret, client, negotiated }.prove(proof, out)
}

/// The flight up to the server's Certificate is prepared.
pub(super) struct Unsigned {
    config: Arc<ServerConfig>,
    transcript: Transcript,
    schedule: HandshakeSchedule,
    client_secret: HandshakeTrafficSecret,
    server_secret: HandshakeTrafficSecret,
    client: ClientFacts,
    negotiated: Box<Negotiated>,
}

/// What of the ClientHello is needed after it.
struct ClientFacts {
    random: Random,
    tickets: TicketsWanted,
}

impl Unsigned {
    /// The server shows who it is, and asks who the client is, unless both follow from a session (RFC 8446 §2.2).
    fn prove(mut self, proof: ServerProof, out: &mut Outbox) -> Result<State, Error> {
        match proof {
            ServerProof::Certificate(certified) => {
                let Certified { certified, signer, stapled, compressor } = *certified;
                send_certificate_request(&self.config, &mut self.transcript, out)?;
                send_certificate(
                    &certified.cert,
                    |out| stapled.put_entry13(out),
                    compressor,
                    &mut self.transcript,
                    out,
                )?;
                let content = signature::certificate_verify_content(Role::Server, &self.transcript.current_hash());
                pending::sign(certified, signer.as_ref(), content, self, out)
            }
            ServerProof::Session(session) => {
                let client = Authenticated::resumed(*session);
                let progress = self.finish(out)?;
                let client = Client::Authenticated(client);
                Ok(State::ExpectClientFinished13(Box::new(ExpectFinished { progress, client })))
            }
        }
    }

    /// The server's Finished (RFC 8446 §4.4.4).
    fn finish(self, out: &mut Outbox) -> Result<Progress, Error> {
        let Self { config, mut transcript, schedule, client_secret, server_secret, client, negotiated } = self;
        let verify_data = server_secret.verify_data(&transcript.current_hash())?.as_ref().to_vec();
        out.send(HANDSHAKE_EPOCH, HandshakeType::FINISHED, verify_data, &mut transcript)?;
        let log = SecretLog { key_log: config.key_log(), client_random: &client.random };
        let secrets = ApplicationSecrets::derive(schedule, &transcript.current_hash(), log)?;
        out.push(Effect::InstallWrite { epoch: APPLICATION_EPOCH, keys: secrets.server.keys() });
        Ok(Progress { config, transcript, client_secret, secrets, negotiated, tickets: client.tickets })
    }
}

impl AfterSignature for Unsigned {
    fn signed(mut self, signed: &DigitallySigned<'_>, out: &mut Outbox) -> Result<State, Error> {
        send_certificate_verify(signed, &mut self.transcript, out)?;
        let progress = self.finish(out)?;
        Ok(match progress.config.client_auth() {
            ClientAuth::None => {
                let client = Client::without_certificate(&progress.config)?;
                State::ExpectClientFinished13(Box::new(ExpectFinished { progress, client }))
            }
            ClientAuth::Optional | ClientAuth::Required => {
                State::ExpectClientCertificate13(Box::new(ExpectCertificate { progress }))
            }
        })
    }

    fn later(self) -> OnceSigned {
        OnceSigned::Server13(Box::new(self))
    }
}

/// Octets of a ServerHello without its share.
const SERVER_HELLO_LEN: usize = 64;

/// Octets of EncryptedExtensions without unusually long names.
const ENCRYPTED_EXTENSIONS_LEN: usize = 64;

/// RFC 8446 §4.3.1: what the extensions settle.
fn send_encrypted_extensions(
    config: &ServerConfig,
    hello: &ClientHello<'_>,
    settled: &Settled,
    proof: &ServerProof,
    transcript: &mut Transcript,
    out: &mut Outbox,
) -> Result<(), Error> {
    let mut body = Vec::with_capacity(ENCRYPTED_EXTENSIONS_LEN);
    body.put_vec::<2>(|out| {
        // RFC 6066 §3: not "when resuming a session".
        if matches!(proof, ServerProof::Certificate(..)) && acknowledges_name(hello, config) {
            put_extension(out, ExtensionType::SERVER_NAME, |_| ());
        }
        settled.put(config, ProtocolVersion::DTLS1_3, out);
    });
    settled.limit_records(out);
    out.send(HANDSHAKE_EPOCH, HandshakeType::ENCRYPTED_EXTENSIONS, body, transcript)
}

/// RFC 8446 §4.3.2, if clients are to show a certificate.
fn send_certificate_request(config: &ServerConfig, transcript: &mut Transcript, out: &mut Outbox) -> Result<(), Error> {
    if matches!(config.client_auth(), ClientAuth::None) {
        return Ok(());
    }
    let mut body = Vec::new();
    let authorities = config.client_authorities();
    let authorities = authorities.iter().map(AsRef::as_ref);
    let compression = config.cert_decompressors().iter().map(|ours| ours.algorithm().into());
    CertificateRequest::put13(&mut body, config.signature_schemes(), authorities, compression);
    out.send(HANDSHAKE_EPOCH, HandshakeType::CERTIFICATE_REQUEST, body, transcript)
}

/// What a CertificateRequest of ours holds, so that the client may answer it.
const REQUEST_EXTENSIONS: &[ExtensionType] =
    &[ExtensionType::SIGNATURE_ALGORITHMS, ExtensionType::CERTIFICATE_AUTHORITIES, ExtensionType::COMPRESS_CERTIFICATE];

/// What every state after the server's flight needs.
struct Progress {
    config: Arc<ServerConfig>,
    transcript: Transcript,
    client_secret: HandshakeTrafficSecret,
    secrets: ApplicationSecrets,
    negotiated: Box<Negotiated>,
    tickets: TicketsWanted,
}

/// The client was asked for a certificate.
pub(super) struct ExpectCertificate {
    progress: Progress,
}

impl ExpectCertificate {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut progress } = self;
        let config = &progress.config;
        let message = compression13::expect(input, config.cert_decompressors())?;
        let max = config.transport().max_handshake_message();
        let body = compression13::body(&message, config.cert_decompressors(), max)?;
        let certificate = read_certificate(&body, |ty| REQUEST_EXTENSIONS.contains(&ty))?;
        progress.transcript.add(&message);
        if certificate.chain.is_empty() {
            let client = Client::without_certificate(&progress.config)?;
            return Ok(State::ExpectClientFinished13(Box::new(ExpectFinished { progress, client })));
        }
        let judged = TrustedChain::verify(&certificate.chain, certificate.staples()?, |peer| {
            progress.config.verify_client(&peer.certificates)
        })?;
        pending::go_on(judged, Self { progress }, out)
    }
}

impl AfterVerdict for ExpectCertificate {
    fn trusted(self, trusted: TrustedChain, _: &mut Outbox) -> Result<State, Error> {
        let Self { progress } = self;
        Ok(State::ExpectClientCertificateVerify13(Box::new(ExpectCertificateVerify { progress, trusted })))
    }

    fn later(self) -> OnceJudged {
        OnceJudged::Server13(Box::new(self))
    }
}

/// The client's chain is trusted; now the client must prove that it is its own.
pub(super) struct ExpectCertificateVerify {
    progress: Progress,
    trusted: TrustedChain,
}

impl ExpectCertificateVerify {
    pub(super) fn handle(self, input: Input<'_>, _: &mut Outbox) -> Result<State, Error> {
        let Self { mut progress, trusted } = self;
        let message = input.expect(HandshakeType::CERTIFICATE_VERIFY)?;
        let (provider, offered) = (progress.config.provider(), progress.config.signature_schemes());
        let client = trusted.verify_signature(Role::Client, provider, offered, &progress.transcript, message.body)?;
        progress.transcript.add(&message);
        let client = Client::Authenticated(client);
        Ok(State::ExpectClientFinished13(Box::new(ExpectFinished { progress, client })))
    }
}

/// Who the client is, as far as the configuration wants to know.
enum Client {
    Anonymous,
    Authenticated(Authenticated),
}

impl Client {
    /// A client that was not asked, or that may refuse to tell (RFC 8446 §4.4.2.4).
    fn without_certificate(config: &ServerConfig) -> Result<Self, Error> {
        match config.client_auth() {
            ClientAuth::None | ClientAuth::Optional => Ok(Self::Anonymous),
            ClientAuth::Required => Err(Error::NoCertificate),
        }
    }
}

/// Only the client's Finished is missing.
pub(super) struct ExpectFinished {
    progress: Progress,
    client: Client,
}

impl ExpectFinished {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { progress, client } = self;
        let Progress { config, mut transcript, client_secret, secrets, mut negotiated, tickets } = progress;
        let message = input.expect(HandshakeType::FINISHED)?;
        let expected = client_secret.verify_data(&transcript.current_hash())?;
        let finished = verify_finished(expected.as_ref(), message.body)?;
        transcript.add(&message);
        if let Client::Authenticated(client) = client {
            negotiated.kind = client.kind();
            negotiated.authenticated = client.time(config.now());
            negotiated.peer = client.into_peer();
        }
        let negotiated: Arc<Negotiated> = negotiated.into();
        out.push(Effect::InstallRead { epoch: APPLICATION_EPOCH, keys: secrets.client.keys() });
        out.push(Effect::AcknowledgeNow);
        out.push(Effect::Complete(negotiated.clone()));
        let sent = match tickets {
            TicketsWanted::Yes => {
                let secret = secrets.resumption(&transcript.current_hash())?;
                send_tickets(&config, &negotiated, &secret, out)?
            }
            TicketsWanted::No => Tickets::NotSent,
        };
        Ok(State::Established13(Box::new(Established13::server(secrets, sent, finished))))
    }
}
