//! The client of DTLS 1.2 from ServerHello to Finished (RFC 5246 §7.3, §7.4; RFC 8422 §5; RFC 6347 §4.2).
//!
//! ```text
//!                           <--  ServerHello             (client.rs)
//!                           <--  Certificate             ExpectCertificate
//!                           <--  ServerKeyExchange       ExpectServerKeyExchange
//!                           <--  CertificateRequest*     ExpectServerHelloDone
//!                           <--  ServerHelloDone         ExpectServerHelloDone
//! [Certificate]             -->
//! ClientKeyExchange         -->
//! [CertificateVerify]       -->
//! [ChangeCipherSpec]        -->
//! Finished                  -->
//!                           <--  [NewSessionTicket]      (client_finish12.rs)
//!                           <--  [ChangeCipherSpec]
//!                           <--  Finished                Established12
//! ```

use super::authentication::{Authenticated, Judged, TrustedChain};
use super::client_finish12::{Confirmation, OwnFinished};
use super::common12::{KeyParameters, authentication, derivation, send_finished};
use super::extensions::Settled;
use super::negotiate::{HandshakeKind, HelloRetryRequest, Negotiated, check_answers};
use super::offer::Offer;
use super::pending::{self, AfterSignature, AfterVerdict, OnceJudged, OnceSigned};
use super::resumption12::{Keeper, TicketPromise};
use super::schedule12::{MasterSecret, PeerShare, Randoms};
use super::signature::{self, SignatureContext};
use super::transcript::{Retention, Transcript, TranscriptBuffer, TranscriptForm};
use super::{Effect, FlightEnd, Input, Outbox, State, abbreviated12};
use crate::config::ClientConfig;
use crate::crypto::{
    KeyExchange, Role, check_share, group_of,
    suites::{Authentication, Suite, Suite12},
};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    Malformed, NamedGroup, ProtocolVersion, SignatureScheme,
    ack::Epoch,
    certificate::{CertificateRequest, DigitallySigned, ECDSA_SIGN, RSA_SIGN, put_certificate12, read_certificate12},
    enums::{ExtensionType, HandshakeType},
    extensions::{Extensions, UNCOMPRESSED_POINT},
    handshake::{Message, OwnedMessage},
    hello::{NULL_COMPRESSION, ServerHello},
    key_exchange::{ServerKeyExchange, put_client_key_exchange},
    stapling::{Staples, read_certificate_status_message, read_timestamps},
};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, Signer};
use std::sync::Arc;

/// What the ServerHello settled.
struct Agreed {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    parameters: KeyParameters,
    settled: Settled,
    stapling: Stapling,
    server_name: Option<String>,
    transcript: Transcript,
    keeper: Keeper,
    ticket: TicketPromise,
}

/// What the server's hello says of what comes along with its certificate.
struct Stapling {
    /// `SignedCertificateTimestampList` without its length (RFC 6962 §3.3.1); empty if there is none.
    timestamps: Vec<u8>,
    status: Status,
}

/// Whether a CertificateStatus may come (RFC 6066 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unannounced,
    Announced,
}

impl Stapling {
    fn read(answers: &Extensions<'_>) -> Result<Self, Error> {
        let timestamps = answers.parse(ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, read_timestamps)?;
        let status = match answers.flag(ExtensionType::STATUS_REQUEST)? {
            true => Status::Announced,
            false => Status::Unannounced,
        };
        Ok(Self { timestamps: timestamps.unwrap_or_default().to_vec(), status })
    }
}

/// A ServerHello of DTLS 1.2; its version and random were checked (RFC 5246 §7.4.1.3).
pub(super) fn handle_server_hello(
    mut offer: Offer,
    transcript: TranscriptBuffer,
    hello: &ServerHello<'_>,
    message: &Message<'_>,
    out: &mut Outbox,
) -> Result<State, Error> {
    if let Some(session) = offer.take_resumed(hello) {
        return abbreviated12::handle_server_hello(offer, *session, transcript, hello, message, out);
    }
    let suite = check_server_hello(&offer, hello)?;
    let derivation = derivation(&hello.extensions, offer.config.extended_master_secret())?;
    let settled = Settled::read(&offer, &hello.extensions, ProtocolVersion::DTLS1_2)?;
    settled.limit_records(out);
    let stapling = Stapling::read(&hello.extensions)?;
    let ticket = TicketPromise::of_server(&hello.extensions)?;
    // Only a client certificate's signature needs the messages themselves (RFC 5246 §7.4.8).
    let retention = if offer.config.has_client_certificate() { Retention::Messages } else { Retention::HashOnly };
    let mut transcript = transcript.start(suite.hash(), TranscriptForm::Dtls12, retention);
    transcript.add(message);
    let randoms = Randoms { client: offer.random, server: *hello.random };
    let server_name = offer.sni().map(str::to_owned);
    let Offer { config, name, .. } = offer;
    let parameters = KeyParameters { suite, derivation, randoms };
    let keeper = Keeper::of_full(config.clone(), name.clone(), hello);
    let agreed = Agreed { config, name, parameters, settled, stapling, server_name, transcript, keeper, ticket };
    Ok(State::ExpectServerCertificate12(Box::new(ExpectCertificate { agreed })))
}

/// RFC 5246 §7.4.1.3 and §7.4.1.4: only what was offered is selected, only what was asked is answered.
pub(super) fn check_server_hello(offer: &Offer, hello: &ServerHello<'_>) -> Result<Suite12, Error> {
    const ALLOWED: &[ExtensionType] = &[
        ExtensionType::SERVER_NAME,
        ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
        ExtensionType::USE_SRTP,
        ExtensionType::STATUS_REQUEST,
        ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP,
        ExtensionType::RECORD_SIZE_LIMIT,
        ExtensionType::EC_POINT_FORMATS,
        ExtensionType::EXTENDED_MASTER_SECRET,
        ExtensionType::RENEGOTIATION_INFO,
        ExtensionType::SESSION_TICKET,
        // Some servers answer it although only a client may send it in 1.2 (RFC 8422 §4).
        ExtensionType::SUPPORTED_GROUPS,
    ];
    let Suite::Dtls12(suite) = *offer.suite(hello)? else {
        return Err(PeerMisbehaved::CipherSuiteOfOtherVersion.into());
    };
    if hello.compression_method != NULL_COMPRESSION {
        return Err(PeerMisbehaved::SelectedUnofferedCompression.into());
    }
    check_answers(&hello.extensions, |ty| offer.sends(ty), ALLOWED)?;
    // RFC 8422 §5.1.2: a list without the uncompressed format is answered with illegal_parameter.
    if hello.point_formats()?.is_some_and(|formats| !formats.contains(&UNCOMPRESSED_POINT)) {
        return Err(PeerMisbehaved::UncompressedPointFormatMissing.into());
    }
    // RFC 5746 §3.4: the length of renegotiated_connection is zero in a first handshake. A server without the
    // extension is no danger to a client that never renegotiates (§4.1).
    if hello.renegotiation_info()?.is_some_and(|info| !info.is_empty()) {
        return Err(PeerMisbehaved::BadRenegotiationInfo.into());
    }
    Ok(suite)
}

/// All suites of ours are authenticated by a certificate (RFC 5246 §7.4.2).
pub(super) struct ExpectCertificate {
    agreed: Agreed,
}

impl ExpectCertificate {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut agreed } = self;
        let message = input.expect(HandshakeType::CERTIFICATE)?;
        let chain = read_certificate12(message.body)?;
        // A server's certificate_list is not empty (RFC 5246 §7.4.2).
        if chain.is_empty() {
            return Err(Malformed::BadLength.into());
        }
        agreed.transcript.add(&message);
        match agreed.stapling.status {
            Status::Unannounced => {
                let judged = agreed.judge(&chain, &[])?;
                pending::go_on(judged, Self { agreed }, out)
            }
            Status::Announced => {
                let chain = chain.into_iter().map(<[u8]>::to_vec).collect();
                Ok(State::ExpectServerCertificateStatus12(Box::new(ExpectCertificateStatus { agreed, chain })))
            }
        }
    }

    /// Whom we want to talk to.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.agreed.name.as_ref()
    }
}

impl AfterVerdict for ExpectCertificate {
    fn trusted(self, chain: TrustedChain, _: &mut Outbox) -> Result<State, Error> {
        let Self { agreed } = self;
        Ok(State::ExpectServerKeyExchange12(Box::new(ExpectServerKeyExchange { agreed, chain })))
    }

    fn later(self) -> OnceJudged {
        OnceJudged::Client12(Box::new(self))
    }
}

impl Agreed {
    /// Has the server's chain judged.
    fn judge(&self, chain: &[&[u8]], ocsp_response: &[u8]) -> Result<Judged, Error> {
        let staples = Staples { ocsp_response, timestamps: &self.stapling.timestamps };
        TrustedChain::verify(chain, staples, |peer| self.config.verify_server(peer, self.name.as_ref()))
    }
}

/// The chain came, and the server has said that it may send its status; it "MAY choose not to" (RFC 6066 §8).
pub(super) struct ExpectCertificateStatus {
    agreed: Agreed,
    chain: Vec<Vec<u8>>,
}

impl ExpectCertificateStatus {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut agreed, chain } = self;
        let message = input.expect_one_of(&[HandshakeType::CERTIFICATE_STATUS, HandshakeType::SERVER_KEY_EXCHANGE])?;
        let chain: Vec<_> = chain.iter().map(Vec::as_slice).collect();
        if message.msg_type == HandshakeType::CERTIFICATE_STATUS {
            let judged = agreed.judge(&chain, read_certificate_status_message(message.body)?)?;
            agreed.transcript.add(&message);
            return pending::go_on(judged, ExpectCertificate { agreed }, out);
        }
        let judged = agreed.judge(&chain, &[])?;
        let server_key_exchange =
            OwnedMessage { msg_type: message.msg_type, message_seq: message.message_seq, body: message.body.to_vec() };
        pending::go_on(judged, WithoutStatus { agreed, server_key_exchange }, out)
    }
}

/// There is no status after all: the message that came instead waits for the chain to be judged.
pub(super) struct WithoutStatus {
    agreed: Agreed,
    server_key_exchange: OwnedMessage,
}

impl WithoutStatus {
    /// Whom we want to talk to.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.agreed.name.as_ref()
    }
}

impl AfterVerdict for WithoutStatus {
    fn trusted(self, chain: TrustedChain, _: &mut Outbox) -> Result<State, Error> {
        let Self { agreed, server_key_exchange } = self;
        ExpectServerKeyExchange { agreed, chain }.handle_message(&server_key_exchange.as_message())
    }

    fn later(self) -> OnceJudged {
        OnceJudged::WithoutStatus12(Box::new(self))
    }
}

#[cfg(test)]
impl ExpectCertificate {
    /// As if the messages so far had been others: for a test that makes a peer of another kind out of ours.
    pub(super) fn replace_transcript(&mut self, messages: &[Message<'_>]) {
        let hash = self.agreed.parameters.suite.hash();
        self.agreed.transcript = Transcript::new(hash, TranscriptForm::Dtls12, Retention::HashOnly);
        messages.iter().for_each(|message| self.agreed.transcript.add(message));
    }
}

/// The chain is trusted; the ephemeral key must be signed by its owner (RFC 8422 §5.4).
pub(super) struct ExpectServerKeyExchange {
    agreed: Agreed,
    chain: TrustedChain,
}

impl ExpectServerKeyExchange {
    pub(super) fn handle(self, input: Input<'_>, _: &mut Outbox) -> Result<State, Error> {
        self.handle_message(&input.expect(HandshakeType::SERVER_KEY_EXCHANGE)?)
    }

    fn handle_message(self, message: &Message<'_>) -> Result<State, Error> {
        let Self { mut agreed, chain } = self;
        let exchange = ServerKeyExchange::read(message.body)?;
        let group = offered_group(&agreed.config, exchange.group)?;
        check_share(exchange.group, Role::Server, exchange.public)?;
        // RFC 5246 §7.4.3: the scheme was offered and fits the certificate's key, and the suite (RFC 8422 §2).
        let KeyParameters { suite, randoms, .. } = agreed.parameters;
        let server = chain.verify_signed(
            agreed.config.provider(),
            SignatureContext::ServerKeyExchange12(suite.auth),
            agreed.config.signature_schemes(),
            &signature::server_key_exchange_content(&randoms, exchange.params),
            &exchange.signed,
        )?;
        agreed.transcript.add(message);
        let share = exchange.public.to_vec();
        let own = OwnCertificate::NotRequested;
        Ok(State::ExpectServerHelloDone12(Box::new(ExpectServerHelloDone { agreed, server, group, share, own })))
    }
}

/// A group that was offered and that DTLS 1.2 has (RFC 8422 §5.4).
fn offered_group(config: &ClientConfig, selected: NamedGroup) -> Result<&'static dyn SupportedKxGroup, Error> {
    config
        .groups()
        .iter()
        .copied()
        .filter(|group| group.usable_for_version(rustls::ProtocolVersion::TLSv1_2))
        .find(|group| group_of(*group) == selected)
        .ok_or_else(|| PeerMisbehaved::SelectedUnofferedGroup.into())
}

/// The server is authenticated; it may ask the same of us, once, before it is done (RFC 5246 §7.4.4, §7.4.5).
pub(super) struct ExpectServerHelloDone {
    agreed: Agreed,
    server: Authenticated,
    group: &'static dyn SupportedKxGroup,
    /// The server's ephemeral public key.
    share: Vec<u8>,
    own: OwnCertificate,
}

/// What the server asked of us, and what we answer (RFC 5246 §7.4.6).
enum OwnCertificate {
    NotRequested,
    /// Requested, and there is none that fits: an empty chain tells so.
    None,
    Certified(Arc<CertifiedKey>, Box<dyn Signer>),
}

impl ExpectServerHelloDone {
    pub(super) fn handle(mut self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let message = match self.own {
            OwnCertificate::NotRequested => {
                input.expect_one_of(&[HandshakeType::CERTIFICATE_REQUEST, HandshakeType::SERVER_HELLO_DONE])?
            }
            OwnCertificate::None | OwnCertificate::Certified(..) => input.expect(HandshakeType::SERVER_HELLO_DONE)?,
        };
        if message.msg_type == HandshakeType::CERTIFICATE_REQUEST {
            let request = CertificateRequest::read12(message.body)?;
            self.own = OwnCertificate::choose(&request, &self.agreed.config)?;
            self.agreed.transcript.add(&message);
            return Ok(State::ExpectServerHelloDone12(Box::new(self)));
        }
        // "struct { } ServerHelloDone" (RFC 5246 §7.4.5).
        if !message.body.is_empty() {
            return Err(Malformed::TrailingData.into());
        }
        self.agreed.transcript.add(&message);
        self.answer(out)
    }

    /// The client's flight, from Certificate to Finished (RFC 5246 §7.3).
    fn answer(self, out: &mut Outbox) -> Result<State, Error> {
        let Self { agreed, server, group, share, own } = self;
        let Agreed { config, parameters, settled, server_name, mut transcript, keeper, ticket, .. } = agreed;
        if !matches!(own, OwnCertificate::Certified(..)) {
            transcript.forget_messages();
        }
        let key_exchange = KeyExchange::start(group)?;
        out.push(Effect::Flight(FlightEnd::Answer));
        own.send_certificate(&mut transcript, out)?;
        let mut body = Vec::with_capacity(key_exchange.public_key().len().saturating_add(1));
        put_client_key_exchange(&mut body, key_exchange.public_key());
        out.send(Epoch::PLAINTEXT, HandshakeType::CLIENT_KEY_EXCHANGE, body, &mut transcript)?;

        let share = PeerShare { sender: Role::Server, public: &share };
        let master = parameters.master_secret(key_exchange, share, &transcript)?;
        master.log(config.key_log());
        let negotiated = Box::new(Negotiated {
            version: ProtocolVersion::DTLS1_2,
            cipher_suite: parameters.suite.id,
            group: group_of(group),
            signature_scheme: server.scheme(),
            protocol: settled.protocol,
            srtp_profile: settled.srtp_profile,
            server_name,
            peer: server.into_peer(),
            hello_retry_request: HelloRetryRequest::Unneeded,
            kind: HandshakeKind::Full,
            authenticated: config.now().as_secs(),
        });
        let progress = Progress { master, transcript, negotiated, keeper, ticket };
        match own {
            OwnCertificate::NotRequested | OwnCertificate::None => progress.finish(out),
            OwnCertificate::Certified(certified, signer) => {
                // All messages so far (RFC 5246 §7.4.8).
                let content = progress.transcript.messages().ok_or(Error::Signing)?.to_vec();
                pending::sign(certified, signer.as_ref(), content, progress, out)
            }
        }
    }
}

impl OwnCertificate {
    /// Our certificate and the scheme to sign with; a key that nothing of what is requested fits is as good as none
    /// (RFC 5246 §7.4.4, §7.4.6).
    fn choose(request: &CertificateRequest<'_>, config: &ClientConfig) -> Result<Self, Error> {
        const CONTEXT: SignatureContext = SignatureContext::CertificateVerify12;
        // An RSA key needs rsa_sign, an ECDSA or EdDSA key ecdsa_sign (RFC 8422 §5.5).
        let has_type = |auth| {
            request.certificate_types.contains(match auth {
                Authentication::Rsa => &RSA_SIGN,
                Authentication::Ecdsa => &ECDSA_SIGN,
            })
        };
        let fits = |scheme: &SignatureScheme| {
            [Authentication::Rsa, Authentication::Ecdsa]
                .into_iter()
                .any(|auth| has_type(auth) && SignatureContext::ServerKeyExchange12(auth).admits(*scheme))
        };
        let schemes: Vec<_> = request.signature_schemes.iter().filter(fits).collect();
        let credential = config.client_certificate(&request.authorities, &schemes, ProtocolVersion::DTLS1_2)?;
        let Some(credential) = credential else { return Ok(Self::None) };
        let certified = credential.certified_key();
        let schemes = credential.usable_schemes(&schemes, ProtocolVersion::DTLS1_2);
        Ok(match signature::choose_signer(CONTEXT, certified.key.as_ref(), &schemes) {
            Ok(signer) if authentication(certified.key.as_ref()).is_some() => {
                Self::Certified(certified.clone(), signer)
            }
            _ => Self::None,
        })
    }

    /// Sent if it was asked for, even if there is none (RFC 5246 §7.4.6).
    fn send_certificate(&self, transcript: &mut Transcript, out: &mut Outbox) -> Result<(), Error> {
        let chain = match self {
            Self::NotRequested => return Ok(()),
            Self::None => &[][..],
            Self::Certified(certified, _) => &certified.cert,
        };
        let mut body = Vec::new();
        put_certificate12(&mut body, chain.iter().map(AsRef::as_ref));
        out.send(Epoch::PLAINTEXT, HandshakeType::CERTIFICATE, body, transcript)
    }
}

/// What the server's last flight is checked with.
pub(super) struct Progress {
    master: MasterSecret,
    transcript: Transcript,
    negotiated: Box<Negotiated>,
    keeper: Keeper,
    ticket: TicketPromise,
}

impl Progress {
    /// The end of the client's flight (RFC 5246 §7.1, §7.4.9).
    fn finish(self, out: &mut Outbox) -> Result<State, Error> {
        let Self { master, mut transcript, negotiated, keeper, ticket } = self;
        let keys = master.key_block()?;
        send_finished(Role::Client, &master, keys.client, &mut transcript, out)?;
        let confirmation = Confirmation { master, transcript, negotiated, keeper, own: OwnFinished::Sent };
        Ok(confirmation.expect(keys.server, ticket, out))
    }
}

impl AfterSignature for Progress {
    /// The CertificateVerify (RFC 5246 §7.4.8).
    fn signed(mut self, signed: &DigitallySigned<'_>, out: &mut Outbox) -> Result<State, Error> {
        self.transcript.forget_messages();
        let mut body = Vec::new();
        signed.put(&mut body);
        out.send(Epoch::PLAINTEXT, HandshakeType::CERTIFICATE_VERIFY, body, &mut self.transcript)?;
        self.finish(out)
    }

    fn later(self) -> OnceSigned {
        OnceSigned::Client12(Box::new(self))
    }
}
