//! What two sides agree on: pure functions of a ClientHello and the configuration, used by the server and by a stateless
//! listener alike, and [`Negotiated`], the result (RFC 8446 §4.1.1, RFC 9147 §5.3, RFC 5246 §7.4.1).

use crate::config::{PeerCredentials, Preference, ServerConfig};
use crate::crypto::{
    self,
    suites::{Authentication, Suite, Suite12, Suite13},
};
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::wire::{
    AlertDescription, CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile,
    enums::ExtensionType,
    extensions::{Extensions, KeyShareEntry, UNCOMPRESSED_POINT},
    hello::{ClientHello, NULL_COMPRESSION},
    stapling::timestamps,
};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::{CertificateDer, DnsName, UnixTime};
use std::time::Duration;

/// What was agreed on, and who the peer is.
#[derive(Clone, Debug)]
pub struct Negotiated {
    pub(super) version: ProtocolVersion,
    pub(super) cipher_suite: CipherSuite,
    pub(super) group: NamedGroup,
    pub(super) signature_scheme: SignatureScheme,
    pub(super) protocol: Option<Vec<u8>>,
    pub(super) srtp_profile: Option<SrtpProfile>,
    pub(super) server_name: Option<String>,
    pub(super) peer: PeerCredentials,
    pub(super) hello_retry_request: HelloRetryRequest,
    pub(super) kind: HandshakeKind,
    /// Unix time at which the peer proved who it is, in this handshake or the one that it resumes.
    pub(super) authenticated: u64,
}

/// Whether the server asked for the ClientHello once more (RFC 8446 §4.1.4), which takes a round trip. A HelloVerifyRequest
/// is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HelloRetryRequest {
    /// The first ClientHello was as good as any.
    Unneeded,
    /// A HelloRetryRequest was sent and answered.
    Answered,
}

/// Whether the handshake stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeKind {
    /// The server proved by a signature who it is.
    Full,
    /// A session was resumed: the proof of an earlier handshake holds (RFC 8446 §2.2, RFC 5246 §7.3).
    Resumed,
}

impl Negotiated {
    /// The protocol version.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The cipher suite.
    pub fn cipher_suite(&self) -> CipherSuite {
        self.cipher_suite
    }

    /// The group of the key exchange; where a resumption had none, of that in the first handshake.
    pub fn group(&self) -> NamedGroup {
        self.group
    }

    /// The scheme of the server's signature; after a resumption, of that in the first handshake.
    pub fn signature_scheme(&self) -> SignatureScheme {
        self.signature_scheme
    }

    /// The application protocol (RFC 7301), if one was agreed on.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.protocol.as_deref()
    }

    /// The profile of SRTP (RFC 5764), if one was agreed on.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.srtp_profile
    }

    /// The server name that the client sent (RFC 6066 §3).
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The peer's certificate chain as it was sent, end entity first; empty if the peer has none. After a resumption it is that
    /// of the handshake in which the peer was authenticated.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer.certificates
    }

    /// The OCSP response that the server stapled to its certificate (RFC 6066 §8), as it came: whether it is any good is the
    /// verifier's business, who has seen it. After a resumption it is that of the handshake in which the server was
    /// authenticated. `None` at a server.
    pub fn ocsp_response(&self) -> Option<&[u8]> {
        Some(&*self.peer.ocsp_response).filter(|response| !response.is_empty())
    }

    /// The signed certificate timestamps that the server sent (RFC 6962 §3.3.1), as they came. After a resumption they are those
    /// of the handshake in which the server was authenticated.
    pub fn signed_certificate_timestamps(&self) -> impl Iterator<Item = &[u8]> {
        timestamps(&self.peer.timestamps)
    }

    /// What the application's verifier found wrong with the peer's certificate when it let the handshake go on all the same
    /// ([`Error::AcceptedDespite`]): the alert that a refusal would have sent. A session remembers it: after a resumption it is
    /// that of the handshake in which the peer was authenticated, unless the certificate was judged again.
    pub fn accepted_despite(&self) -> Option<AlertDescription> {
        self.peer.fault
    }

    /// Whether the handshake resumed a session.
    pub fn handshake_kind(&self) -> HandshakeKind {
        self.kind
    }

    /// When the peer proved who it is, by the configured time: in this handshake, or long ago in the one that began what was
    /// resumed.
    pub fn authenticated_at(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.authenticated))
    }

    /// What the peer has shown need not be told any more.
    pub(crate) fn forget_peer(&mut self) {
        let fault = self.peer.fault.take();
        self.peer = PeerCredentials { fault, ..PeerCredentials::default() };
    }

    /// Whether there was a HelloRetryRequest.
    pub fn hello_retry_request(&self) -> HelloRetryRequest {
        self.hello_retry_request
    }
}

/// What a server makes of a ClientHello, version by version.
#[derive(Debug)]
pub(crate) enum Selection<'a> {
    Dtls12,
    Dtls13(Selection13<'a>),
}

impl Selection<'_> {
    /// Whether the ClientHello must come again, with another key share (RFC 8446 §4.1.4).
    pub(crate) fn wants_retry(&self) -> bool {
        matches!(self, Self::Dtls13(Selection13 { key_share: KeyShareChoice::Retry(_), .. }))
    }
}

/// The parameters of a DTLS 1.3 handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection13<'a> {
    pub(crate) suite: Suite13,
    pub(crate) key_share: KeyShareChoice<'a>,
}

/// How the key exchange goes on (RFC 8446 §4.1.1).
#[derive(Clone, Copy)]
pub(crate) enum KeyShareChoice<'a> {
    /// The client's share of the best group that both have.
    Offered(&'static dyn SupportedKxGroup, KeyShareEntry<'a>),
    /// No share is of a group that both have; a HelloRetryRequest asks for this one.
    Retry(NamedGroup),
}

impl std::fmt::Debug for KeyShareChoice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Offered(_, entry) => write!(f, "Offered({:?})", entry.group),
            Self::Retry(group) => write!(f, "Retry({group:?})"),
        }
    }
}

/// The whole decision on a ClientHello that is not tied to the application's certificate.
pub(crate) fn select<'a>(hello: &ClientHello<'a>, config: &ServerConfig) -> Result<Selection<'a>, Error> {
    if hello.extensions.has(ExtensionType::QUIC_TRANSPORT_PARAMETERS) {
        return Err(PeerMisbehaved::QuicTransportParameters.into());
    }
    match select_version(hello, config.versions())? {
        ProtocolVersion::DTLS1_3 => select13(hello, config).map(Selection::Dtls13),
        _ => check12(hello).map(|()| Selection::Dtls12),
    }
}

/// The highest version that both have (RFC 8446 §4.2.1, RFC 9147 §5.3). Without supported_versions the hello's own version
/// counts as the highest; DTLS versions count downwards, and unknown ones above 1.2 are tolerated.
fn select_version(hello: &ClientHello<'_>, ours: &[ProtocolVersion]) -> Result<ProtocolVersion, Error> {
    let offers = |version| match &hello.known.supported_versions {
        Some(list) => list.contains(&version),
        None => version == ProtocolVersion::DTLS1_2 && hello.legacy_version <= ProtocolVersion::DTLS1_2,
    };
    [ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2]
        .into_iter()
        .find(|version| ours.contains(version) && offers(*version))
        .ok_or_else(|| PeerIncompatible::NoCommonVersion.into())
}

fn select13<'a>(hello: &ClientHello<'a>, config: &ServerConfig) -> Result<Selection13<'a>, Error> {
    // RFC 9846 §4.2.2: "MUST abort the handshake with a "protocol_version" alert".
    if hello.legacy_version != ProtocolVersion::DTLS1_2 {
        return Err(PeerIncompatible::NoCommonVersion.into());
    }
    if !hello.legacy_cookie.is_empty() {
        return Err(PeerMisbehaved::LegacyCookieNotEmpty.into());
    }
    if hello.compression_methods != [NULL_COMPRESSION] {
        return Err(PeerIncompatible::NullCompressionMissing.into());
    }
    // RFC 8446 §9.2: without PSK all three must be there.
    let groups = hello.known.supported_groups.ok_or(PeerMisbehaved::MissingSupportedGroups)?;
    let shares = hello.known.key_shares.ok_or(PeerMisbehaved::MissingKeyShare)?;
    // With one, who needs a signature finds out that nothing says how to sign.
    if hello.known.signature_schemes.is_none() && hello.known.pre_shared_key.is_none() {
        return Err(PeerMisbehaved::MissingSignatureAlgorithms.into());
    }
    // RFC 8446 §4.2.8: a share must be of a group that is offered.
    if shares.iter().any(|entry| !groups.contains(&entry.group)) {
        return Err(PeerMisbehaved::KeyShareGroupMismatch.into());
    }
    let suite = select_suite(hello, config, |suite| match suite {
        Suite::Dtls13(suite) => Some(*suite),
        Suite::Dtls12(_) => None,
    })?;
    let ours = || config.groups().iter().copied();
    let offered = ours().find_map(|group| Some((group, shares.find(crypto::group_of(group))?)));
    let key_share = match offered {
        Some((group, entry)) => KeyShareChoice::Offered(group, entry),
        None => ours()
            .map(crypto::group_of)
            .find(|name| groups.contains(name))
            .map(KeyShareChoice::Retry)
            .ok_or(PeerIncompatible::NoCommonGroup)?,
    };
    Ok(Selection13 { suite, key_share })
}

/// Whether there are a suite and a group of DTLS 1.2 for a ClientHello that [`select`] chose it for.
pub(crate) fn check_parameters12(hello: &ClientHello<'_>, config: &ServerConfig) -> Result<(), Error> {
    select_suite12(hello, config, |_| true)?;
    select_group12(hello, config).map(drop)
}

/// What DTLS 1.2 asks of a ClientHello before a certificate is chosen.
fn check12(hello: &ClientHello<'_>) -> Result<(), Error> {
    if !hello.compression_methods.contains(&NULL_COMPRESSION) {
        return Err(PeerIncompatible::NullCompressionMissing.into());
    }
    // RFC 8422 §5.1.2: a client that lists point formats must list this one.
    if hello.known.point_formats.is_some_and(|formats| !formats.contains(&UNCOMPRESSED_POINT)) {
        return Err(PeerMisbehaved::UncompressedPointFormatMissing.into());
    }
    // RFC 5746 §3.6: the first handshake's field is empty.
    if hello.known.renegotiation_info.is_some_and(|info| !info.is_empty()) {
        return Err(PeerMisbehaved::BadRenegotiationInfo.into());
    }
    Ok(())
}

/// The DTLS 1.2 suite for a certificate whose key authenticates as one of `usable` (RFC 5246 §7.4.2).
pub(super) fn select_suite12(
    hello: &ClientHello<'_>,
    config: &ServerConfig,
    usable: impl Fn(Authentication) -> bool,
) -> Result<Suite12, Error> {
    select_suite(hello, config, |suite| match suite {
        Suite::Dtls12(suite) if usable(suite.auth) => Some(*suite),
        _ => None,
    })
}

/// The group of a DTLS 1.2 key exchange. A client that lists none is taken to have them all (RFC 8422 §4).
pub(super) fn select_group12(
    hello: &ClientHello<'_>,
    config: &ServerConfig,
) -> Result<&'static dyn SupportedKxGroup, Error> {
    config
        .groups()
        .iter()
        .copied()
        .filter(|group| group.usable_for_version(rustls::ProtocolVersion::TLSv1_2))
        .find(|group| {
            let name = crypto::group_of(*group);
            hello.known.supported_groups.is_none_or(|list| list.contains(&name))
        })
        .ok_or_else(|| PeerIncompatible::NoCommonGroup.into())
}

/// The first suite of the side that is preferred which the other has too.
fn select_suite<S>(
    hello: &ClientHello<'_>,
    config: &ServerConfig,
    fits: impl Fn(&Suite) -> Option<S>,
) -> Result<S, Error> {
    let ours = config.suites();
    let found = match config.cipher_preference() {
        Preference::Client => {
            hello.cipher_suites.iter().find_map(|id| ours.iter().filter(|suite| suite.id() == id).find_map(&fits))
        }
        Preference::Server => ours.iter().filter(|suite| hello.cipher_suites.contains(&suite.id())).find_map(&fits),
    };
    found.ok_or_else(|| PeerIncompatible::NoCommonCipherSuite.into())
}

/// The application protocol: the first of the server's that the client offers (RFC 7301 §3.2). A server without
/// protocols ignores the extension.
pub(super) fn select_protocol(hello: &ClientHello<'_>, config: &ServerConfig) -> Result<Option<Vec<u8>>, Error> {
    let (Some(offered), [_, ..]) = (hello.known.protocols, config.alpn_protocols()) else { return Ok(None) };
    config
        .alpn_protocols()
        .iter()
        .find(|ours| offered.iter().any(|name| name == ours.as_slice()))
        .cloned()
        .map(Some)
        .ok_or_else(|| PeerIncompatible::NoCommonProtocol.into())
}

/// The name that the client wants to reach, if it is one (RFC 6066 §3): an address or what is no name at all is passed
/// over, as if the extension were missing.
pub(crate) fn server_name<'a>(hello: &ClientHello<'a>) -> Option<&'a str> {
    let name = std::str::from_utf8(hello.known.server_name?).ok()?;
    DnsName::try_from(name).ok().map(|_| name)
}

/// Whether the server's answer says that it knows that name (RFC 6066 §3).
pub(super) fn acknowledges_name(hello: &ClientHello<'_>, config: &ServerConfig) -> bool {
    server_name(hello).is_some() && config.acknowledges_server_name()
}

/// Extensions that answer ours: none that we did not send, none that may not stand in this message (RFC 8446 §4.2).
pub(super) fn check_answers(
    answers: &Extensions<'_>,
    sent: impl Fn(ExtensionType) -> bool,
    allowed: &[ExtensionType],
) -> Result<(), Error> {
    for (ty, _) in answers.iter() {
        if !sent(ty) {
            return Err(PeerMisbehaved::UnsolicitedExtension.into());
        }
        if !allowed.contains(&ty) {
            return Err(PeerMisbehaved::ExtensionInWrongMessage.into());
        }
    }
    Ok(())
}
