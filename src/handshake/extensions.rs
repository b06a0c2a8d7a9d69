//! What the extensions of the hellos settle, alike in both versions: the server's answers stand in its ServerHello
//! (DTLS 1.2) or in its EncryptedExtensions (1.3). Application protocol (RFC 7301), profile of
//! SRTP (RFC 5764 §4.1), sizes of records (RFC 8449; RFC 6066 §4).
//!
//! All of it is settled anew when a session is resumed.

use super::negotiate::select_protocol;
use super::offer::Offer;
use super::{Effect, Outbox};
use crate::config::ServerConfig;
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ProtocolVersion, SrtpProfile,
    codec::{Put, Reader},
    enums::ExtensionType,
    extensions::{Extensions, put_extension, put_protocol_names},
    hello::ClientHello,
    record::ContentLimits,
    srtp::UseSrtp,
};

/// What was settled, the same at both ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    pub(super) protocol: Option<Vec<u8>>,
    pub(super) srtp_profile: Option<SrtpProfile>,
    record_sizes: RecordSizes,
}

/// How the sizes of records were settled.
#[derive(Clone, Copy, Debug, Default)]
enum RecordSizes {
    /// As the protocol has it.
    #[default]
    Usual,
    /// Each end has told its own (RFC 8449 §4).
    Limited(ContentLimits),
    /// The client's wish, by its code, for both directions (RFC 6066 §4).
    MaxFragmentLength(u8, ContentLimits),
}

impl Settled {
    /// The server's choice. The application protocol is the one thing whose lack is an error (RFC 7301 §3.2).
    pub(super) fn choose(
        config: &ServerConfig,
        hello: &ClientHello<'_>,
        version: ProtocolVersion,
    ) -> Result<Self, Error> {
        let offered = hello.known.use_srtp;
        // "one that the server finds acceptable" (RFC 5764 §4.1.1): the best of ours.
        let srtp_profile =
            config.srtp_profiles().iter().find(|ours| offered.is_some_and(|srtp| srtp.profiles.contains(ours)));
        let own = Limit::of_server(config.transport().record_size_limit(), version);
        Ok(Self {
            protocol: select_protocol(hello, config)?,
            srtp_profile: srtp_profile.copied(),
            record_sizes: RecordSizes::choose(own, hello, version)?,
        })
    }

    /// Appends the server's answers but for server_name's; none where nothing was asked.
    pub(super) fn put(&self, config: &ServerConfig, version: ProtocolVersion, out: &mut Vec<u8>) {
        if let Some(profile) = self.srtp_profile {
            // An MKI that the client offers is not made use of, which the empty one says (RFC 5764 §4.1.3).
            UseSrtp::put(out, &[profile]);
        }
        match self.record_sizes {
            RecordSizes::Usual => {}
            RecordSizes::Limited(_) => {
                Limit::of_server(config.transport().record_size_limit(), version).put(out);
            }
            RecordSizes::MaxFragmentLength(code, _) => {
                put_extension(out, ExtensionType::MAX_FRAGMENT_LENGTH, |out| out.put_u8(code));
            }
        }
        if let Some(protocol) = &self.protocol {
            put_protocol_names(out, std::iter::once(protocol.as_slice()));
        }
    }

    /// The server's answers as a client finds them; that they answer something, in the right message, was checked.
    pub(super) fn read(offer: &Offer, answers: &Extensions<'_>, version: ProtocolVersion) -> Result<Self, Error> {
        // RFC 6066 §3: "The "extension_data" field of this extension SHALL be empty."
        answers.flag(ExtensionType::SERVER_NAME)?;
        let record_sizes = match answers.parse(ExtensionType::RECORD_SIZE_LIMIT, Reader::u16)? {
            None => RecordSizes::Usual,
            Some(theirs) => RecordSizes::Limited(ContentLimits {
                send: Limit::of_peer(theirs)?.content(version),
                receive: offer.record_size_limit().content(version),
            }),
        };
        let (protocol, srtp_profile) = (offer.protocol(answers)?, selected_profile(offer, answers)?);
        Ok(Self { protocol, srtp_profile, record_sizes })
    }

    /// Has the sizes of records kept to, if they are not as usual.
    pub(super) fn limit_records(&self, out: &mut Outbox) {
        match self.record_sizes {
            RecordSizes::Usual => {}
            RecordSizes::Limited(limits) | RecordSizes::MaxFragmentLength(_, limits) => {
                if limits != ContentLimits::USUAL {
                    out.push(Effect::LimitRecords(limits));
                }
            }
        }
    }
}

/// RFC 5764 §4.1.1: one profile, which was offered; §4.1.3: no MKI, since none was.
fn selected_profile(offer: &Offer, answers: &Extensions<'_>) -> Result<Option<SrtpProfile>, Error> {
    let Some(srtp) = answers.parse(ExtensionType::USE_SRTP, UseSrtp::read)? else { return Ok(None) };
    let mut selected = srtp.profiles.iter();
    let profile = match (selected.next(), selected.next()) {
        (Some(profile), None) if offer.config.srtp_profiles().contains(&profile) => profile,
        _ => return Err(PeerMisbehaved::BadSrtpProfile.into()),
    };
    match srtp.mki.is_empty() {
        true => Ok(Some(profile)),
        false => Err(PeerMisbehaved::UnexpectedMki.into()),
    }
}

impl RecordSizes {
    fn choose(own: Limit, hello: &ClientHello<'_>, version: ProtocolVersion) -> Result<Self, Error> {
        // max_fragment_length is ignored beside record_size_limit (RFC 8449 §5).
        match (hello.known.record_size_limit, hello.known.max_fragment_length) {
            (Some(theirs), _) => {
                let send = Limit::of_peer(theirs)?.content(version);
                Ok(Self::Limited(ContentLimits { send, receive: own.content(version) }))
            }
            (None, Some(code @ 1..=4)) => {
                let len = MAX_FRAGMENT_LENGTH_BASE << code;
                Ok(Self::MaxFragmentLength(code, ContentLimits { send: len, receive: len }))
            }
            // RFC 6066 §4: "it MUST abort the handshake with an "illegal_parameter" alert".
            (None, Some(_)) => Err(PeerMisbehaved::BadMaxFragmentLength.into()),
            (None, None) => Ok(Self::Usual),
        }
    }
}

/// A RecordSizeLimit: octets of what is protected, which in DTLS 1.3 includes the content type (RFC 8449 §4).
#[derive(Clone, Copy)]
pub(super) struct Limit(u16);

impl Limit {
    /// What a peer's limit must not be below (RFC 8449 §4).
    const FLOOR: u16 = 64;

    /// Of a client that offers these versions. The one number must do for both: it is the newer one's, in which a record is
    /// an octet longer.
    pub(super) fn of_client(content: u16, versions: &[ProtocolVersion]) -> Self {
        match versions.contains(&ProtocolVersion::DTLS1_3) {
            true => Self(content.saturating_add(TYPE_LEN)),
            false => Self(content),
        }
    }

    fn of_server(content: u16, version: ProtocolVersion) -> Self {
        Self::of_client(content, &[version])
    }

    fn of_peer(value: u16) -> Result<Self, Error> {
        match value < Self::FLOOR {
            true => Err(PeerMisbehaved::BadRecordSizeLimit.into()),
            false => Ok(Self(value)),
        }
    }

    /// Octets of content that a record may have. However much more than the protocol allows a peer would take, it gets no
    /// more (RFC 8449 §4).
    fn content(self, version: ProtocolVersion) -> u16 {
        let type_len = if version == ProtocolVersion::DTLS1_3 { TYPE_LEN } else { 0 };
        self.0.saturating_sub(type_len).min(ContentLimits::USUAL.send)
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_extension(out, ExtensionType::RECORD_SIZE_LIMIT, |out| out.put_u16(self.0));
    }
}

/// Octets of the content type that is protected with the content (RFC 8446 §5.2).
const TYPE_LEN: u16 = 1;

/// The codes 1 to 4 mean 2^9 to 2^12 octets (RFC 6066 §4).
const MAX_FRAGMENT_LENGTH_BASE: u16 = 1 << 8;
