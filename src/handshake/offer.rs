//! What a client offers: every ClientHello of one handshake is made here (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2,
//! RFC 9147 §5.3).

use super::negotiate::HelloRetryRequest;
use super::{Effect, Outbox};
use crate::config::{ClientConfig, KeyShares, UnofferedProtocol};
use crate::crypto::{self, KeyExchange, Role, suites::Suite};
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
    hello::{ClientHelloFields, Random, ServerHello, selected_protocol},
};
use rustls::crypto::SharedSecret;
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
        mut record: impl FnMut(&Message<'_>),
        out: &mut Outbox,
    ) -> Result<(), Error> {
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
