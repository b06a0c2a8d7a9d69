//! What a client offers: every ClientHello of one handshake is made here (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2,
//! RFC 9147 §5.3).

use super::extensions::Limit;
use super::grease::Grease;
use super::negotiate::HelloRetryRequest;
use super::schedule13::EarlySchedule;
use super::transcript::{Retention, Transcript, TranscriptBuffer, TranscriptForm};
use super::{Effect, Outbox};
use crate::config::{ClientConfig, KeyShares, Session, SessionHandle, SessionState, UnofferedProtocol};
use crate::crypto::{
    self, KeyExchange, Role,
    prf::Derivation,
    suites::{Suite, Suite13},
};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    NamedGroup, ProtocolVersion,
    ack::Epoch,
    certificate::put_certificate_authorities,
    codec::Put,
    compression::put_algorithms,
    enums::{ExtensionType, HandshakeType},
    extensions::{
        Extensions, KeyShareEntry, UNCOMPRESSED_POINT, put_extension, put_list16_after, put_protocol_names,
        put_server_name,
    },
    handshake::Message,
    hello::{ClientHelloFields, Random, ServerHello, selected_protocol},
    pre_shared_key::{PskIdentity, put_binder, put_modes, put_offered_psk, truncated},
    srtp::UseSrtp,
    stapling::put_status_request,
};
use rustls::crypto::SharedSecret;
use rustls::crypto::hash::Output;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// What the client offers and holds ready; the same in every ClientHello of one handshake but for what a retry changes.
pub(super) struct Offer {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: Option<ServerName<'static>>,
    pub(super) random: Random,
    pub(super) key_shares: OfferedShares,
    /// From a HelloVerifyRequest; empty before.
    pub(super) legacy_cookie: Vec<u8>,
    pub(super) hello_retry_request: HelloRetryRequest,
    pub(super) session: OfferedSession,
}

/// The session that a client would like to resume.
pub(super) enum OfferedSession {
    None,
    /// By session_id or session_ticket (RFC 5246 §7.4.1.2, RFC 5077 §3.2).
    Dtls12(Box<OfferedSession12>),
    /// By pre_shared_key (RFC 8446 §4.2.11).
    Dtls13(Box<OfferedPsk>),
}

/// A session of DTLS 1.2 in a ClientHello.
pub(super) struct OfferedSession12 {
    session: Session,
    /// The session's, or one of our own beside a ticket, by whose echo we know that it was taken (RFC 5077 §3.4).
    id: Vec<u8>,
}

/// A PSK in a ClientHello.
pub(super) struct OfferedPsk {
    state: SessionState,
    suite: Suite13,
    ticket: Vec<u8>,
    obfuscated_ticket_age: u32,
}

/// The messages before a ClientHello, and where it is to be added.
pub(super) enum HelloTranscript<'t> {
    First(&'t mut TranscriptBuffer),
    Retried(&'t mut Transcript),
}

/// The key shares of a ClientHello, all from one key pair.
pub(super) enum OfferedShares {
    /// A client of 1.2 alone.
    None,
    /// The share, and that of its classical half if it is a hybrid.
    WithComponent(KeyExchange),
    /// "a list containing a single KeyShareEntry from the indicated group" (RFC 8446 §4.1.2).
    Retried(KeyExchange),
}

impl Offer {
    pub(super) fn new(config: Arc<ClientConfig>, name: Option<ServerName<'static>>) -> Result<Self, Error> {
        let random = crypto::random(config.provider())?;
        let key_shares = match config.versions().contains(&ProtocolVersion::DTLS1_3) {
            true => OfferedShares::WithComponent(KeyExchange::start(first_group(&config)?)?),
            false => OfferedShares::None,
        };
        let session = OfferedSession::choose(&config, name.as_ref())?;
        let hello_retry_request = HelloRetryRequest::Unneeded;
        Ok(Self { config, name, random, key_shares, legacy_cookie: Vec::new(), hello_retry_request, session })
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

    /// The longest record that we take.
    pub(super) fn record_size_limit(&self) -> Limit {
        Limit::of_client(self.config.transport().record_size_limit(), self.config.versions())
    }

    /// Whether a share of `group` was sent.
    pub(super) fn shares(&self, group: NamedGroup) -> bool {
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
    pub(super) fn send(
        &self,
        cookie: &[u8],
        mut transcript: HelloTranscript<'_>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let mut body = Vec::with_capacity(512);
        let suites = self.config.suites().iter().filter(|suite| self.offers(suite.version())).map(Suite::id);
        let mut list = Vec::with_capacity(self.config.suites().len().saturating_add(1));
        list.extend(self.grease().map(|grease| grease.suite).into_iter().chain(suites));
        ClientHelloFields {
            random: &self.random,
            session_id: self.session.id(),
            legacy_cookie: &self.legacy_cookie,
            cipher_suites: &list,
        }
        .put(&mut body, |out| self.put_extensions(cookie, out));
        let mut message = out.number(HandshakeType::CLIENT_HELLO, body)?;
        if let OfferedSession::Dtls13(psk) = &self.session {
            let hash = transcript.hash_for_binder(&message.as_message(), psk.suite);
            put_binder(&mut message.body, psk.schedule().resumption_binder(&hash)?.as_ref());
        }
        transcript.add(&message.as_message());
        out.push(Effect::Send { epoch: Epoch::PLAINTEXT, message });
        Ok(())
    }

    /// What means nothing, if it is to be sent.
    fn grease(&self) -> Option<Grease> {
        self.config.sends_grease().then(|| Grease::new(&self.random))
    }

    fn put_extensions(&self, cookie: &[u8], out: &mut Vec<u8>) {
        if let Some(grease) = self.grease() {
            grease.put_extensions(out);
        }
        let order = self.order();
        order.into_iter().filter(|ty| self.sends(*ty)).for_each(|ty| self.put_extension(ty, cookie, out));
    }

    /// All that there may be, in the order of this handshake: "extensions MAY appear in any order, with the exception of
    /// "pre_shared_key"" (RFC 8446 §4.2). Chosen by a random that is sent anyway, and so the same in each ClientHello.
    fn order(&self) -> [ExtensionType; EXTENSIONS.len()] {
        let mut order = EXTENSIONS;
        if self.config.permutes_extensions()
            && let Some((_last, others)) = order.split_last_mut()
        {
            for (place, draw) in (1..others.len()).zip(self.random) {
                let other = usize::from(draw).checked_rem(place.saturating_add(1)).unwrap_or(place);
                others.swap(place, other);
            }
        }
        order
    }

    /// Whether a ClientHello of this handshake holds the extension, so that the server may answer it.
    pub(super) fn sends(&self, ty: ExtensionType) -> bool {
        match ty {
            ExtensionType::SERVER_NAME => self.sni().is_some(),
            ExtensionType::SUPPORTED_VERSIONS | ExtensionType::COOKIE | ExtensionType::KEY_SHARE => {
                self.offers(ProtocolVersion::DTLS1_3)
            }
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => !self.config.alpn_protocols().is_empty(),
            // Without it there are no tickets (RFC 8446 §4.2.9): who does not want them asks for none.
            ExtensionType::PSK_KEY_EXCHANGE_MODES => {
                self.offers(ProtocolVersion::DTLS1_3) && self.name.is_some() && self.config.keeps_sessions()
            }
            ExtensionType::PRE_SHARED_KEY => matches!(self.session, OfferedSession::Dtls13(_)),
            ExtensionType::STATUS_REQUEST => self.config.wants_ocsp_response(),
            ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP => self.config.wants_timestamps(),
            ExtensionType::CERTIFICATE_AUTHORITIES => {
                self.offers(ProtocolVersion::DTLS1_3) && !self.config.certificate_authorities().is_empty()
            }
            ExtensionType::COMPRESS_CERTIFICATE => {
                self.offers(ProtocolVersion::DTLS1_3) && !self.config.cert_decompressors().is_empty()
            }
            ExtensionType::USE_SRTP => !self.config.srtp_profiles().is_empty(),
            // "If the client is not prepared to receive a ticket [...] it MUST NOT include a SessionTicket extension"
            // (RFC 5077 §3.2).
            ExtensionType::SESSION_TICKET => {
                self.offers(ProtocolVersion::DTLS1_2) && self.name.is_some() && self.config.keeps_sessions()
            }
            ExtensionType::EC_POINT_FORMATS
            | ExtensionType::EXTENDED_MASTER_SECRET
            | ExtensionType::RENEGOTIATION_INFO => self.offers(ProtocolVersion::DTLS1_2),
            _ => EXTENSIONS.contains(&ty),
        }
    }

    fn put_extension(&self, ty: ExtensionType, cookie: &[u8], out: &mut Vec<u8>) {
        let (config, grease) = (&self.config, self.grease());
        match ty {
            ExtensionType::SERVER_NAME => self.sni().into_iter().for_each(|name| put_server_name(out, name)),
            ExtensionType::SUPPORTED_VERSIONS => put_extension(out, ty, |out| {
                let versions = grease.map(|grease| grease.version).into_iter().chain(config.versions().iter().copied());
                out.put_vec::<1>(|out| versions.for_each(|version| out.put_u16(version.0)));
            }),
            ExtensionType::COOKIE if cookie.is_empty() => {}
            ExtensionType::COOKIE => put_extension(out, ty, |out| out.put_vec::<2>(|out| out.put(cookie))),
            ExtensionType::KEY_SHARE => put_extension(out, ty, |out| {
                // "a list containing a single KeyShareEntry" (RFC 8446 §4.1.2).
                let retried = matches!(self.key_shares, OfferedShares::Retried(_));
                let grease = grease.filter(|_| !retried).map(|grease| grease.key_share());
                out.put_vec::<2>(|out| grease.into_iter().chain(self.entries()).for_each(|entry| entry.put(out)));
            }),
            ExtensionType::SUPPORTED_GROUPS => {
                put_list16_after(out, ty, grease.map(|grease| grease.group), config.named_groups());
            }
            ExtensionType::SIGNATURE_ALGORITHMS => {
                put_list16_after(out, ty, grease.map(|grease| grease.scheme), config.signature_schemes());
            }
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => {
                put_protocol_names(out, config.alpn_protocols().iter().map(Vec::as_slice));
            }
            ExtensionType::STATUS_REQUEST => put_status_request(out),
            ExtensionType::CERTIFICATE_AUTHORITIES => {
                put_certificate_authorities(out, config.certificate_authorities().iter().map(AsRef::as_ref));
            }
            ExtensionType::COMPRESS_CERTIFICATE => {
                put_algorithms(out, config.cert_decompressors().iter().map(|ours| ours.algorithm().into()));
            }
            ExtensionType::USE_SRTP => UseSrtp::put(out, config.srtp_profiles()),
            ExtensionType::RECORD_SIZE_LIMIT => self.record_size_limit().put(out),
            ExtensionType::EC_POINT_FORMATS => put_extension(out, ty, |out| {
                out.put_vec::<1>(|out| out.put_u8(UNCOMPRESSED_POINT));
            }),
            // RFC 5746 §3.4: the empty field, since no renegotiation ever follows.
            ExtensionType::RENEGOTIATION_INFO => put_extension(out, ty, |out| out.put_u8(0)),
            ExtensionType::PSK_KEY_EXCHANGE_MODES => put_modes(out),
            ExtensionType::SESSION_TICKET => put_extension(out, ty, |out| out.put(self.session.ticket())),
            ExtensionType::PRE_SHARED_KEY => self.session.put_psk(out),
            _ => put_extension(out, ty, |_| ()),
        }
    }

    /// Of several hashes only that of the suite counts after a HelloRetryRequest (RFC 8446 §4.1.4): a PSK of another is
    /// offered no longer.
    pub(super) fn keep_psk_of(&mut self, suite: Suite13) {
        if let OfferedSession::Dtls13(psk) = &self.session
            && !psk.fits(suite)
        {
            self.session = OfferedSession::None;
        }
    }

    /// The session of DTLS 1.2 that a ServerHello resumes: it echoes the id that came with it (RFC 5246 §7.4.1.3).
    pub(super) fn take_resumed(&mut self, hello: &ServerHello<'_>) -> Option<Box<OfferedSession12>> {
        match std::mem::replace(&mut self.session, OfferedSession::None) {
            OfferedSession::Dtls12(session) if session.id == hello.session_id => Some(session),
            _ => None,
        }
    }

    /// The PSK that a ServerHello selects: the only one there is, and with its hash (RFC 8446 §4.2.11).
    pub(super) fn accept_psk(&mut self, selected_identity: u16, suite: Suite13) -> Result<Box<OfferedPsk>, Error> {
        match std::mem::replace(&mut self.session, OfferedSession::None) {
            OfferedSession::Dtls13(psk) if selected_identity == 0 && psk.fits(suite) => Ok(psk),
            _ => Err(PeerMisbehaved::SelectedUnofferedPsk.into()),
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

impl OfferedSession {
    /// The newest session with the server that can be resumed.
    fn choose(config: &ClientConfig, name: Option<&ServerName<'static>>) -> Result<Self, Error> {
        let Some(session) = config.take_session(name) else { return Ok(Self::None) };
        let (state, ticket, age_add) = match session.handle {
            SessionHandle::Psk { ticket, age_add } => (session.state, ticket, age_add),
            SessionHandle::Id(ref id) => {
                let id = id.clone();
                return Ok(OfferedSession12 { session, id }.if_extended());
            }
            SessionHandle::Ticket(_) => {
                let id = crypto::random::<SESSION_ID_LEN>(config.provider())?.to_vec();
                return Ok(OfferedSession12 { session, id }.if_extended());
            }
        };
        let Some(Suite::Dtls13(suite)) = config.suites().iter().find(|suite| suite.id() == state.suite) else {
            return Ok(Self::None);
        };
        let suite = *suite;
        let obfuscated_ticket_age = state.times.age(config.now()).wrapping_add(age_add);
        Ok(Self::Dtls13(Box::new(OfferedPsk { state, suite, ticket, obfuscated_ticket_age })))
    }

    /// What stands in session_id. A client of both versions says it too, if it has one (RFC 9147 §5.3).
    fn id(&self) -> &[u8] {
        match self {
            Self::Dtls12(offered) => &offered.id,
            Self::None | Self::Dtls13(_) => &[],
        }
    }

    /// What stands in session_ticket; empty is the wish for one (RFC 5077 §3.2).
    fn ticket(&self) -> &[u8] {
        match self {
            Self::Dtls12(offered) => match &offered.session.handle {
                SessionHandle::Ticket(ticket) => ticket,
                SessionHandle::Id(_) | SessionHandle::Psk { .. } => &[],
            },
            Self::None | Self::Dtls13(_) => &[],
        }
    }

    fn put_psk(&self, out: &mut Vec<u8>) {
        if let Self::Dtls13(psk) = self {
            let OfferedPsk { ticket, obfuscated_ticket_age, suite, .. } = psk.as_ref();
            let psk = PskIdentity { identity: ticket, obfuscated_ticket_age: *obfuscated_ticket_age };
            put_offered_psk(out, &psk, suite.hash().output_len());
        }
    }
}

impl OfferedSession12 {
    /// "The client SHOULD NOT offer an abbreviated handshake to resume a session that does not use an extended master secret"
    /// (RFC 7627 §5.3); nor one that no id can stand for.
    fn if_extended(self) -> OfferedSession {
        match self.session.state.derivation {
            Derivation::Extended if (1..=SESSION_ID_LEN).contains(&self.id.len()) => {
                OfferedSession::Dtls12(Box::new(self))
            }
            Derivation::Extended | Derivation::Legacy => OfferedSession::None,
        }
    }

    /// The session, once the server has taken it.
    pub(super) fn into_session(self) -> Session {
        self.session
    }
}

impl OfferedPsk {
    /// "the server selected a cipher suite indicating a Hash associated with the PSK" (RFC 8446 §4.2.11).
    fn fits(&self, suite: Suite13) -> bool {
        self.suite.hash().algorithm() == suite.hash().algorithm()
    }

    pub(super) fn schedule(&self) -> EarlySchedule {
        EarlySchedule::with_psk(self.suite, &self.state.secret)
    }

    /// The session, once the server has taken it.
    pub(super) fn into_state(self) -> SessionState {
        self.state
    }
}

impl HelloTranscript<'_> {
    /// The hash that the binder of a PSK covers: of everything up to and including the identities (RFC 8446 §4.2.11.2).
    fn hash_for_binder(&self, message: &Message<'_>, suite: Suite13) -> Output {
        let covered = [&message.tls_header()[..], truncated(message.body, suite.hash().output_len())];
        match self {
            Self::First(_) => {
                Transcript::new(suite.hash(), TranscriptForm::Dtls13, Retention::HashOnly).hash_with(&covered)
            }
            Self::Retried(transcript) => transcript.hash_with(&covered),
        }
    }

    fn add(&mut self, message: &Message<'_>) {
        match self {
            Self::First(transcript) => transcript.add(message),
            Self::Retried(transcript) => transcript.add(message),
        }
    }
}

/// Octets of a session id of our own: as many as fit (RFC 5246 §7.4.1.2).
const SESSION_ID_LEN: usize = 32;

/// What a ClientHello may hold, in this order unless it is permuted.
const EXTENSIONS: [ExtensionType; 19] = [
    ExtensionType::SERVER_NAME,
    ExtensionType::SUPPORTED_VERSIONS,
    ExtensionType::COOKIE,
    ExtensionType::KEY_SHARE,
    ExtensionType::SUPPORTED_GROUPS,
    ExtensionType::SIGNATURE_ALGORITHMS,
    ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
    ExtensionType::USE_SRTP,
    ExtensionType::STATUS_REQUEST,
    ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP,
    ExtensionType::CERTIFICATE_AUTHORITIES,
    ExtensionType::COMPRESS_CERTIFICATE,
    ExtensionType::RECORD_SIZE_LIMIT,
    ExtensionType::EC_POINT_FORMATS,
    ExtensionType::EXTENDED_MASTER_SECRET,
    ExtensionType::RENEGOTIATION_INFO,
    ExtensionType::PSK_KEY_EXCHANGE_MODES,
    ExtensionType::SESSION_TICKET,
    // "MUST be the last extension in the ClientHello" (RFC 8446 §4.2.11).
    ExtensionType::PRE_SHARED_KEY,
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
