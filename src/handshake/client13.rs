//! The client of DTLS 1.3 from ServerHello to Finished (RFC 8446 §4.2.8–§4.4, RFC 9147 §5).
//!
//! ```text
//!                         <--  ServerHello             (client.rs)
//!                         <--  EncryptedExtensions     ExpectEncryptedExtensions
//!                         <--  CertificateRequest*     ExpectCertificateOrRequest
//!                         <--  Certificate             ExpectCertificateOrRequest | ExpectCertificate
//!                         <--  CertificateVerify       ExpectCertificateVerify
//!                         <--  Finished                ExpectFinished (of a resumption: after EncryptedExtensions)
//! [Certificate]           -->
//! [CertificateVerify]     -->
//! Finished                -->                          Established13
//! ```

use super::authentication::{
    Authenticated, FinishedVerified, TrustedChain, read_certificate, send_certificate, send_certificate_verify,
    verify_finished,
};
use super::established::{ApplicationSecrets, Established13, ReceivedTickets};
use super::extensions::Settled;
use super::negotiate::{Negotiated, check_answers};
use super::offer::Offer;
use super::pending::{self, AfterSignature, AfterVerdict, OnceJudged, OnceSigned};
use super::resumption13::TicketKeeper;
use super::schedule13::{EarlySchedule, HandshakeSchedule, HandshakeTrafficSecret, SecretLog};
use super::signature::{self, SignatureContext};
use super::transcript::Transcript;
use super::{APPLICATION_EPOCH, Effect, FlightEnd, HANDSHAKE_EPOCH, Input, Outbox, State, compression13};
use crate::config::{ClientConfig, SessionState};
use crate::crypto::{Role, suites::Suite13};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    Malformed, NamedGroup, ProtocolVersion, SignatureScheme,
    certificate::{CertificateRequest, DigitallySigned},
    codec::Reader,
    enums::{ExtensionType, HandshakeType},
    extensions::{Extensions, List16},
    handshake::Message,
    hello::ServerHello,
};
use rustls::compress::CertCompressor;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, Signer};
use std::sync::Arc;

/// What every state from ServerHello to the server's Finished needs.
struct Progress {
    offer: Offer,
    suite: Suite13,
    group: NamedGroup,
    transcript: Transcript,
    schedule: HandshakeSchedule,
    client_secret: HandshakeTrafficSecret,
    server_secret: HandshakeTrafficSecret,
}

/// A ServerHello that is no HelloRetryRequest; version and suite were checked (RFC 8446 §4.1.3).
pub(super) fn handle_server_hello(
    mut offer: Offer,
    suite: Suite13,
    mut transcript: Transcript,
    hello: &ServerHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    const ALLOWED: &[ExtensionType] =
        &[ExtensionType::SUPPORTED_VERSIONS, ExtensionType::KEY_SHARE, ExtensionType::PRE_SHARED_KEY];
    check_answers(&hello.extensions, |ty| offer.sends(ty), ALLOWED)?;
    let (schedule, proof) = match hello.selected_identity()? {
        None => (EarlySchedule::new(suite), ServerProof::Certificate),
        Some(selected) => {
            let psk = offer.accept_psk(selected, suite)?;
            // "a server "key_share" extension is present if required": we offer no PSK without (RFC 8446 §4.2.11).
            hello.key_share()?.ok_or(PeerMisbehaved::PskWithoutKeyShare)?;
            (psk.schedule(), ServerProof::Session(Box::new(psk.into_state())))
        }
    };
    let share = hello.key_share()?.ok_or(PeerMisbehaved::MissingKeyShare)?;
    let shared_secret = offer.complete_key_exchange(&share)?;

    transcript.add(message);
    let schedule = schedule.into_handshake(shared_secret.secret_bytes())?;
    let log = SecretLog { key_log: offer.config.key_log(), client_random: &offer.random };
    let hash = transcript.current_hash();
    let client_secret = schedule.traffic_secret(Role::Client, &hash, log)?;
    let server_secret = schedule.traffic_secret(Role::Server, &hash, log)?;

    out.push(Effect::InstallRead { epoch: HANDSHAKE_EPOCH, keys: server_secret.keys() });
    out.push(Effect::InstallWrite { epoch: HANDSHAKE_EPOCH, keys: client_secret.keys() });
    let progress = Progress { offer, suite, group: share.group, transcript, schedule, client_secret, server_secret };
    Ok(State::ExpectEncryptedExtensions13(Box::new(ExpectEncryptedExtensions { progress, proof })))
}

/// How the server shows who it is.
enum ServerProof {
    Certificate,
    /// By the session that it resumes (RFC 8446 §2.2).
    Session(Box<SessionState>),
}

/// The keys of the handshake are in use.
pub(super) struct ExpectEncryptedExtensions {
    progress: Progress,
    proof: ServerProof,
}

impl ExpectEncryptedExtensions {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut progress, proof } = self;
        let message = input.expect(HandshakeType::ENCRYPTED_EXTENSIONS)?;
        let settled = read_encrypted_extensions(message.body, &progress.offer)?;
        settled.limit_records(out);
        progress.transcript.add(&message);
        match proof {
            ServerProof::Certificate => {
                let next = ExpectCertificateOrRequest { progress, settled };
                Ok(State::ExpectServerCertificateOrRequest13(Box::new(next)))
            }
            ServerProof::Session(session) => Resumption { progress, settled, session }.judge(out),
        }
    }
}

/// The server resumes a session; its certificate may have to be judged once more.
pub(super) struct Resumption {
    progress: Progress,
    settled: Settled,
    session: Box<SessionState>,
}

impl Resumption {
    fn judge(self, out: &mut Outbox) -> Result<State, Error> {
        let offer = &self.progress.offer;
        if !offer.config.reverifies_on_resumption() {
            return Ok(self.expect_finished());
        }
        let judged = TrustedChain::verify_again(self.session.peer.clone(), |peer| {
            offer.config.verify_server(peer, offer.name.as_ref())
        })?;
        pending::go_on(judged, self, out)
    }

    /// RFC 8446 §2.2: no CertificateRequest, Certificate or CertificateVerify.
    fn expect_finished(self) -> State {
        let Self { progress, settled, session } = self;
        let (own, server) = (OwnCertificate::NotRequested, Authenticated::resumed(*session));
        State::ExpectServerFinished13(Box::new(ExpectFinished { progress, settled, own, server }))
    }

    /// Whom we want to talk to.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.progress.offer.name.as_ref()
    }
}

impl AfterVerdict for Resumption {
    fn trusted(mut self, again: TrustedChain, _: &mut Outbox) -> Result<State, Error> {
        self.session.peer = again.into_resumed();
        Ok(self.expect_finished())
    }

    fn later(self) -> OnceJudged {
        OnceJudged::Resumption13(Box::new(self))
    }
}

/// Checks EncryptedExtensions and finds what they settle (RFC 8446 §4.3.1).
fn read_encrypted_extensions(body: &[u8], offer: &Offer) -> Result<Settled, Error> {
    const ALLOWED: &[ExtensionType] = &[
        ExtensionType::SERVER_NAME,
        ExtensionType::SUPPORTED_GROUPS,
        ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
        ExtensionType::USE_SRTP,
        ExtensionType::RECORD_SIZE_LIMIT,
    ];
    let mut r = Reader::new(body);
    let extensions = Extensions::read(&mut r)?;
    r.finish()?;
    check_answers(&extensions, |ty| offer.sends(ty), ALLOWED)?;
    // The server's preferences are of no use before the next handshake (RFC 8446 §4.2.7).
    extensions.parse(ExtensionType::SUPPORTED_GROUPS, List16::<NamedGroup>::read)?;
    Settled::read(offer, &extensions, ProtocolVersion::DTLS1_3)
}

/// The server may ask for a certificate before it sends its own.
pub(super) struct ExpectCertificateOrRequest {
    progress: Progress,
    settled: Settled,
}

/// What the server asked of us, and what we answer (RFC 8446 §4.4.2, §4.4.3).
enum OwnCertificate {
    NotRequested,
    /// Requested, and there is none that fits: an empty chain tells so.
    None,
    Certified(Arc<CertifiedKey>, Box<dyn Signer>, Option<&'static dyn CertCompressor>),
}

impl ExpectCertificateOrRequest {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut progress, settled } = self;
        let expected = compression13::expected_or_request(progress.offer.config.cert_decompressors());
        let message = input.expect_one_of(expected)?;
        if message.msg_type != HandshakeType::CERTIFICATE_REQUEST {
            let own = OwnCertificate::NotRequested;
            return ExpectCertificate { progress, settled, own }.handle_certificate(&message, out);
        }
        let request = CertificateRequest::read13(message.body)?.ok_or(PeerMisbehaved::MissingSignatureAlgorithms)?;
        if !request.context.is_empty() {
            return Err(PeerMisbehaved::NonEmptyCertificateContext.into());
        }
        let own = choose_certificate(&request, &progress.offer)?;
        progress.transcript.add(&message);
        Ok(State::ExpectServerCertificate13(Box::new(ExpectCertificate { progress, settled, own })))
    }
}

/// Our certificate and the scheme to sign with; a key that no requested scheme fits is as good as none
/// (RFC 8446 §4.4.2.3).
fn choose_certificate(request: &CertificateRequest<'_>, offer: &Offer) -> Result<OwnCertificate, Error> {
    const CONTEXT: SignatureContext = SignatureContext::CertificateVerify13;
    const VERSION: ProtocolVersion = ProtocolVersion::DTLS1_3;
    let schemes: Vec<SignatureScheme> =
        request.signature_schemes.iter().filter(|scheme| CONTEXT.admits(*scheme)).collect();
    let Some(credential) = offer.config.client_certificate(&request.authorities, &schemes, VERSION)? else {
        return Ok(OwnCertificate::None);
    };
    let compressor = compression13::choose(offer.config.cert_compressors(), request.compression);
    let certified = credential.certified_key();
    let signer =
        signature::choose_signer(CONTEXT, certified.key.as_ref(), &credential.usable_schemes(&schemes, VERSION));
    Ok(match signer {
        Ok(signer) => OwnCertificate::Certified(certified.clone(), signer, compressor),
        Err(_) => OwnCertificate::None,
    })
}

/// The server's certificate is due.
pub(super) struct ExpectCertificate {
    progress: Progress,
    settled: Settled,
    own: OwnCertificate,
}

impl ExpectCertificate {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let message = compression13::expect(input, self.progress.offer.config.cert_decompressors())?;
        self.handle_certificate(&message, out)
    }

    fn handle_certificate(mut self, message: &Message<'_>, out: &mut Outbox) -> Result<State, Error> {
        let progress = &mut self.progress;
        let config = &progress.offer.config;
        let max = config.transport().max_handshake_message();
        let body = compression13::body(message, config.cert_decompressors(), max)?;
        let certificate = read_certificate(&body, |ty| progress.offer.sends(ty))?;
        // RFC 8446 §4.4.2.4: "the client MUST abort the handshake with a "decode_error" alert".
        if certificate.chain.is_empty() {
            return Err(Malformed::BadLength.into());
        }
        let offer = &progress.offer;
        let judged = TrustedChain::verify(&certificate.chain, certificate.staples()?, |peer| {
            offer.config.verify_server(peer, offer.name.as_ref())
        })?;
        progress.transcript.add(message);
        pending::go_on(judged, self, out)
    }

    /// Whom we want to talk to.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.progress.offer.name.as_ref()
    }
}

impl AfterVerdict for ExpectCertificate {
    fn trusted(self, trusted: TrustedChain, _: &mut Outbox) -> Result<State, Error> {
        let Self { progress, settled, own } = self;
        let next = ExpectCertificateVerify { progress, settled, own, trusted };
        Ok(State::ExpectServerCertificateVerify13(Box::new(next)))
    }

    fn later(self) -> OnceJudged {
        OnceJudged::Client13(Box::new(self))
    }
}

/// The chain is trusted; now the server must prove that it is its own.
pub(super) struct ExpectCertificateVerify {
    progress: Progress,
    settled: Settled,
    own: OwnCertificate,
    trusted: TrustedChain,
}

impl ExpectCertificateVerify {
    pub(super) fn handle(self, input: Input<'_>, _: &mut Outbox) -> Result<State, Error> {
        let Self { mut progress, settled, own, trusted } = self;
        let message = input.expect(HandshakeType::CERTIFICATE_VERIFY)?;
        let config = &progress.offer.config;
        let (provider, offered) = (config.provider(), config.signature_schemes());
        let server = trusted.verify_signature(Role::Server, provider, offered, &progress.transcript, message.body)?;
        progress.transcript.add(&message);
        Ok(State::ExpectServerFinished13(Box::new(ExpectFinished { progress, settled, own, server })))
    }
}

/// The server is authenticated; its Finished confirms the handshake as a whole.
pub(super) struct ExpectFinished {
    progress: Progress,
    settled: Settled,
    own: OwnCertificate,
    server: Authenticated,
}

impl ExpectFinished {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { progress, settled, own, server } = self;
        let Progress { offer, suite, group, mut transcript, schedule, client_secret, server_secret } = progress;
        let message = input.expect(HandshakeType::FINISHED)?;
        let expected = server_secret.verify_data(&transcript.current_hash())?;
        let finished = verify_finished(expected.as_ref(), message.body)?;
        transcript.add(&message);
        let log = SecretLog { key_log: offer.config.key_log(), client_random: &offer.random };
        let secrets = ApplicationSecrets::derive(schedule, &transcript.current_hash(), log)?;

        let negotiated = Box::new(Negotiated {
            version: ProtocolVersion::DTLS1_3,
            cipher_suite: suite.id,
            group,
            signature_scheme: server.scheme(),
            protocol: settled.protocol,
            srtp_profile: settled.srtp_profile,
            server_name: offer.sni().map(str::to_owned),
            hello_retry_request: offer.hello_retry_request,
            kind: server.kind(),
            authenticated: server.time(offer.config.now()),
            peer: server.into_peer(),
        });
        out.push(Effect::Flight(FlightEnd::Acknowledgement));
        let Offer { config, name, .. } = offer;
        Unsigned { config, name, transcript, client_secret, secrets, negotiated, finished }.answer(own, out)
    }
}

/// The server's flight is confirmed; ours is on its way to its Finished.
pub(super) struct Unsigned {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    transcript: Transcript,
    client_secret: HandshakeTrafficSecret,
    secrets: ApplicationSecrets,
    negotiated: Box<Negotiated>,
    finished: FinishedVerified,
}

impl Unsigned {
    /// Sends Certificate, and CertificateVerify unless the chain is empty (RFC 8446 §4.4.2, §4.4.3).
    fn answer(mut self, own: OwnCertificate, out: &mut Outbox) -> Result<State, Error> {
        match own {
            OwnCertificate::NotRequested => self.finish(out),
            OwnCertificate::None => {
                send_certificate(&[], |_| (), None, &mut self.transcript, out)?;
                self.finish(out)
            }
            OwnCertificate::Certified(certified, signer, compressor) => {
                send_certificate(&certified.cert, |_| (), compressor, &mut self.transcript, out)?;
                let content = signature::certificate_verify_content(Role::Client, &self.transcript.current_hash());
                pending::sign(certified, signer.as_ref(), content, self, out)
            }
        }
    }

    fn finish(self, out: &mut Outbox) -> Result<State, Error> {
        let Self { config, name, mut transcript, client_secret, secrets, negotiated, finished } = self;
        let negotiated: Arc<Negotiated> = negotiated.into();
        let verify_data = client_secret.verify_data(&transcript.current_hash())?.as_ref().to_vec();
        out.send(HANDSHAKE_EPOCH, HandshakeType::FINISHED, verify_data, &mut transcript)?;
        out.push(Effect::InstallRead { epoch: APPLICATION_EPOCH, keys: secrets.server.keys() });
        out.push(Effect::InstallWrite { epoch: APPLICATION_EPOCH, keys: secrets.client.keys() });
        out.push(Effect::Complete(negotiated.clone()));
        let received = match name {
            Some(server) if config.keeps_sessions() => {
                let secret = secrets.resumption(&transcript.current_hash())?;
                ReceivedTickets::Kept(Box::new(TicketKeeper { config, server, secret, negotiated }))
            }
            _ => ReceivedTickets::Ignored,
        };
        Ok(State::Established13(Box::new(Established13::client(secrets, received, finished))))
    }
}

impl AfterSignature for Unsigned {
    fn signed(mut self, signed: &DigitallySigned<'_>, out: &mut Outbox) -> Result<State, Error> {
        send_certificate_verify(signed, &mut self.transcript, out)?;
        self.finish(out)
    }

    fn later(self) -> OnceSigned {
        OnceSigned::Client13(Box::new(self))
    }
}
