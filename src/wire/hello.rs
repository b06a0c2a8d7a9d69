//! ClientHello, ServerHello, HelloRetryRequest and HelloVerifyRequest
//! (RFC 6347 §4.2.1, RFC 5246 §7.4.1, RFC 8446 §4.1, RFC 9147 §5.3).

use super::certificate::check_certificate_authorities;
use super::codec::{Malformed, Put, Reader};
use super::compression::read_algorithms;
use super::enums::{CipherSuite, ExtensionType, NamedGroup, ProtocolVersion, SignatureScheme};
use super::extensions::{
    self, Extensions, KeyShareEntry, KeyShares, List16, ProtocolNames, read_cookie, read_list8, read_server_name,
    read_supported_versions,
};
use super::pre_shared_key::{OfferedPsks, read_modes};
use super::srtp::UseSrtp;
use super::stapling::read_status_request;

/// The 32 octets of a hello's random.
pub(crate) type Random = [u8; 32];

/// ServerHello.random of a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
pub(crate) const HELLO_RETRY_REQUEST_RANDOM: Random = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The last octets of ServerHello.random from a server that has 1.3 and answers 1.2 (RFC 8446 §4.1.3).
pub(crate) const DOWNGRADE_TO_1_2: [u8; 8] = *b"DOWNGRD\x01";

/// The same for still older versions.
pub(crate) const DOWNGRADE_TO_1_1: [u8; 8] = *b"DOWNGRD\x00";

/// The null compression method, the only one (RFC 8446 §4.1.2, RFC 9325 §3.3).
pub(crate) const NULL_COMPRESSION: u8 = 0;

/// The longest session id (RFC 5246 §7.4.1.2).
const MAX_SESSION_ID: usize = 32;

/// A client's first message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientHello<'a> {
    pub(crate) legacy_version: ProtocolVersion,
    pub(crate) random: &'a Random,
    pub(crate) session_id: &'a [u8],
    pub(crate) legacy_cookie: &'a [u8],
    pub(crate) cipher_suites: List16<'a, CipherSuite>,
    pub(crate) compression_methods: &'a [u8],
    pub(crate) extensions: Extensions<'a>,
    pub(crate) known: ClientExtensions<'a>,
}

/// The extensions of a ClientHello that udtls reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientExtensions<'a> {
    pub(crate) server_name: Option<&'a [u8]>,
    pub(crate) supported_versions: Option<List16<'a, ProtocolVersion>>,
    pub(crate) supported_groups: Option<List16<'a, NamedGroup>>,
    pub(crate) signature_schemes: Option<List16<'a, SignatureScheme>>,
    pub(crate) protocols: Option<ProtocolNames<'a>>,
    pub(crate) key_shares: Option<KeyShares<'a>>,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) point_formats: Option<&'a [u8]>,
    pub(crate) renegotiation_info: Option<&'a [u8]>,
    pub(crate) psk_modes: Option<&'a [u8]>,
    pub(crate) pre_shared_key: Option<OfferedPsks<'a>>,
    pub(crate) certificates: CertificateWishes<'a>,
    pub(crate) use_srtp: Option<UseSrtp<'a>>,
    pub(crate) record_size_limit: Option<u16>,
    pub(crate) max_fragment_length: Option<u8>,
}

impl<'a> ClientHello<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let legacy_version = ProtocolVersion(r.u16()?);
        let random = r.take(32)?.first_chunk().ok_or(Malformed::Truncated)?;
        let session_id = read_session_id(&mut r)?;
        let legacy_cookie = r.vec8()?;
        let cipher_suites = List16::read(&mut r)?;
        let compression_methods = read_list8(&mut r)?;
        let extensions = Extensions::read_optional(&mut r)?;
        r.finish()?;
        Ok(Self {
            legacy_version,
            random,
            session_id,
            legacy_cookie,
            cipher_suites,
            compression_methods,
            extensions,
            known: ClientExtensions::read(&extensions)?,
        })
    }
}

/// What a client wants to see of the server's certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CertificateWishes<'a> {
    /// An OCSP response (RFC 6066 §8).
    pub(crate) status: bool,
    /// Signed certificate timestamps (RFC 6962 §3.3.1).
    pub(crate) timestamps: bool,
    /// signature_algorithms_cert (RFC 8446 §4.2.3).
    pub(crate) schemes: Option<List16<'a, SignatureScheme>>,
    /// compress_certificate (RFC 8879 §3).
    pub(crate) compression: Option<List16<'a, u16>>,
}

impl<'a> ClientExtensions<'a> {
    const NONE: Self = Self {
        server_name: None,
        supported_versions: None,
        supported_groups: None,
        signature_schemes: None,
        protocols: None,
        key_shares: None,
        cookie: None,
        point_formats: None,
        renegotiation_info: None,
        psk_modes: None,
        pre_shared_key: None,
        certificates: CertificateWishes { status: false, timestamps: false, schemes: None, compression: None },
        use_srtp: None,
        record_size_limit: None,
        max_fragment_length: None,
    };

    /// Goes over the block once: a listener does so for whoever asks.
    fn read(block: &Extensions<'a>) -> Result<Self, Malformed> {
        let (mut known, mut extensions) = (Self::NONE, block.iter().peekable());
        while let Some((ty, body)) = extensions.next() {
            if ty == ExtensionType::PRE_SHARED_KEY && extensions.peek().is_some() {
                return Err(Malformed::PreSharedKeyNotLast);
            }
            let mut r = Reader::new(body);
            if known.read_one(ty, &mut r)? == Known::Yes {
                r.finish()?;
            }
        }
        Ok(known)
    }

    fn read_one(&mut self, ty: ExtensionType, r: &mut Reader<'a>) -> Result<Known, Malformed> {
        match ty {
            ExtensionType::SERVER_NAME => self.server_name = read_server_name(r)?,
            ExtensionType::SUPPORTED_VERSIONS => self.supported_versions = Some(read_supported_versions(r)?),
            ExtensionType::SUPPORTED_GROUPS => self.supported_groups = Some(List16::read(r)?),
            ExtensionType::SIGNATURE_ALGORITHMS => self.signature_schemes = Some(List16::read(r)?),
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => self.protocols = Some(ProtocolNames::read(r)?),
            ExtensionType::KEY_SHARE => self.key_shares = Some(KeyShares::read(r)?),
            ExtensionType::COOKIE => self.cookie = Some(read_cookie(r)?),
            ExtensionType::EC_POINT_FORMATS => self.point_formats = Some(read_list8(r)?),
            ExtensionType::RENEGOTIATION_INFO => self.renegotiation_info = Some(r.vec8()?),
            ExtensionType::PSK_KEY_EXCHANGE_MODES => self.psk_modes = Some(read_modes(r)?),
            ExtensionType::PRE_SHARED_KEY => self.pre_shared_key = Some(OfferedPsks::read(r)?),
            ExtensionType::STATUS_REQUEST => self.certificates.status = read_status_request(r)?,
            // "The "extension_data" field of this extension SHALL be empty" (RFC 6962 §3.3.1).
            ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP => self.certificates.timestamps = true,
            ExtensionType::SIGNATURE_ALGORITHMS_CERT => self.certificates.schemes = Some(List16::read(r)?),
            ExtensionType::COMPRESS_CERTIFICATE => self.certificates.compression = Some(read_algorithms(r)?),
            ExtensionType::USE_SRTP => self.use_srtp = Some(UseSrtp::read(r)?),
            ExtensionType::RECORD_SIZE_LIMIT => self.record_size_limit = Some(r.u16()?),
            ExtensionType::MAX_FRAGMENT_LENGTH => self.max_fragment_length = Some(r.u8()?),
            // Of no use here, and to be well-formed nevertheless (RFC 8446 §4.2.4).
            ExtensionType::CERTIFICATE_AUTHORITIES => check_certificate_authorities(r)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }
}

/// Whether an extension was read.
#[derive(PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

/// What a ClientHello says before its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientHelloFields<'a> {
    pub(crate) random: &'a Random,
    pub(crate) session_id: &'a [u8],
    pub(crate) legacy_cookie: &'a [u8],
    pub(crate) cipher_suites: &'a [CipherSuite],
}

impl ClientHelloFields<'_> {
    /// Appends a ClientHello; `extensions` writes the block's content.
    pub(crate) fn put(&self, out: &mut Vec<u8>, extensions: impl FnOnce(&mut Vec<u8>)) {
        // legacy_version is 1.2 in both versions (RFC 9147 §5.3).
        out.put_u16(ProtocolVersion::DTLS1_2.0);
        out.put(self.random);
        out.put_vec::<1>(|out| out.put(self.session_id));
        out.put_vec::<1>(|out| out.put(self.legacy_cookie));
        out.put_vec::<2>(|out| self.cipher_suites.iter().for_each(|suite| out.put_u16(suite.0)));
        out.put_vec::<1>(|out| out.put_u8(NULL_COMPRESSION));
        out.put_vec::<2>(extensions);
    }
}

/// A server's answer: ServerHello of either version, or HelloRetryRequest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerHello<'a> {
    pub(crate) legacy_version: ProtocolVersion,
    pub(crate) random: &'a Random,
    pub(crate) session_id: &'a [u8],
    pub(crate) cipher_suite: CipherSuite,
    pub(crate) compression_method: u8,
    pub(crate) extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let hello = Self {
            legacy_version: ProtocolVersion(r.u16()?),
            random: r.take(32)?.first_chunk().ok_or(Malformed::Truncated)?,
            session_id: read_session_id(&mut r)?,
            cipher_suite: CipherSuite(r.u16()?),
            compression_method: r.u8()?,
            extensions: Extensions::read_optional(&mut r)?,
        };
        r.finish()?;
        Ok(hello)
    }

    pub(crate) fn is_hello_retry_request(&self) -> bool {
        *self.random == HELLO_RETRY_REQUEST_RANDOM
    }

    /// supported_versions of a ServerHello (RFC 8446 §4.2.1).
    pub(crate) fn selected_version(&self) -> Result<Option<ProtocolVersion>, Malformed> {
        self.extensions.parse(ExtensionType::SUPPORTED_VERSIONS, |r| r.u16().map(ProtocolVersion))
    }

    /// key_share of a ServerHello.
    pub(crate) fn key_share(&self) -> Result<Option<KeyShareEntry<'a>>, Malformed> {
        self.extensions.parse(ExtensionType::KEY_SHARE, KeyShareEntry::read)
    }

    /// key_share of a HelloRetryRequest: a group alone (RFC 8446 §4.2.8).
    pub(crate) fn selected_group(&self) -> Result<Option<NamedGroup>, Malformed> {
        self.extensions.parse(ExtensionType::KEY_SHARE, |r| r.u16().map(NamedGroup))
    }

    /// selected_identity of a ServerHello (RFC 8446 §4.2.11).
    pub(crate) fn selected_identity(&self) -> Result<Option<u16>, Malformed> {
        self.extensions.parse(ExtensionType::PRE_SHARED_KEY, Reader::u16)
    }

    pub(crate) fn cookie(&self) -> Result<Option<&'a [u8]>, Malformed> {
        self.extensions.parse(ExtensionType::COOKIE, read_cookie)
    }

    pub(crate) fn renegotiation_info(&self) -> Result<Option<&'a [u8]>, Malformed> {
        self.extensions.parse(ExtensionType::RENEGOTIATION_INFO, Reader::vec8)
    }

    pub(crate) fn point_formats(&self) -> Result<Option<&'a [u8]>, Malformed> {
        self.extensions.parse(ExtensionType::EC_POINT_FORMATS, read_list8)
    }

    /// Appends a ServerHello; `extensions` writes the block's content.
    pub(crate) fn put<P: Put>(
        out: &mut P,
        random: &Random,
        session_id: &[u8],
        cipher_suite: CipherSuite,
        extensions: impl FnOnce(&mut P),
    ) {
        out.put_u16(ProtocolVersion::DTLS1_2.0);
        out.put(random);
        out.put_vec::<1>(|out| out.put(session_id));
        out.put_u16(cipher_suite.0);
        out.put_u8(NULL_COMPRESSION);
        out.put_vec::<2>(extensions);
    }
}

/// The protocol that a server's extension block selects (RFC 7301 §3.1).
pub(crate) fn selected_protocol<'a>(extensions: &Extensions<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    extensions.parse(ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION, ProtocolNames::read_selected)
}

/// The cookie of a HelloVerifyRequest (RFC 6347 §4.2.1). Its server_version says nothing (errata 4103).
pub(crate) fn read_hello_verify_request(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut r = Reader::new(body);
    let version = r.u16()?;
    if version != ProtocolVersion::DTLS1_0.0 && version != ProtocolVersion::DTLS1_2.0 {
        return Err(Malformed::BadValue);
    }
    let cookie = r.vec8()?;
    r.finish()?;
    Ok(cookie)
}

/// Appends a HelloVerifyRequest (RFC 6347 §4.2.1): its version is always DTLS 1.0, and says nothing.
pub(crate) fn put_hello_verify_request(out: &mut impl Put, cookie: &[u8]) {
    out.put_u16(ProtocolVersion::DTLS1_0.0);
    out.put_vec::<1>(|out| out.put(cookie));
}

/// supported_versions with the one version a ServerHello or HelloRetryRequest names.
pub(crate) fn put_selected_version(out: &mut impl Put, version: ProtocolVersion) {
    extensions::put_extension(out, ExtensionType::SUPPORTED_VERSIONS, |out| out.put_u16(version.0));
}

fn read_session_id<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let id = r.vec8()?;
    if id.len() > MAX_SESSION_ID { Err(Malformed::BadLength) } else { Ok(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(extensions: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        ClientHelloFields {
            random: &[7; 32],
            session_id: &[],
            legacy_cookie: b"crumb",
            cipher_suites: &[CipherSuite::TLS_AES_128_GCM_SHA256],
        }
        .put(&mut out, extensions);
        out
    }

    #[test]
    fn client_hello_round_trip() {
        let bytes = hello(|out| {
            extensions::put_server_name(out, "example.org");
            extensions::put_list16(out, ExtensionType::SUPPORTED_GROUPS, &[NamedGroup::X25519]);
        });
        let read = ClientHello::read(&bytes).unwrap();
        assert_eq!(read.legacy_cookie, b"crumb");
        assert_eq!(read.known.server_name, Some(&b"example.org"[..]));
        assert!(read.known.supported_groups.is_some_and(|list| list.contains(&NamedGroup::X25519)));
        for end in 0..bytes.len() {
            // Cutting the block off entirely leaves a hello without extensions (RFC 5246 §7.4.1.2).
            let whole_without_extensions = 2 + 32 + 1 + 1 + 5 + 4 + 2;
            assert_eq!(ClientHello::read(&bytes[..end]).is_ok(), end == whole_without_extensions, "cut at {end}");
        }
    }

    #[test]
    fn pre_shared_key_must_be_last() {
        let bytes = hello(|out| {
            extensions::put_extension(out, ExtensionType::PRE_SHARED_KEY, |_| ());
            extensions::put_server_name(out, "example.org");
        });
        assert_eq!(ClientHello::read(&bytes).err(), Some(Malformed::PreSharedKeyNotLast));
    }

    /// RFC 8446 §4.2.4: "DistinguishedName authorities<3..2^16-1>", each <1..2^16-1>.
    #[test]
    fn certificate_authorities_are_well_formed() {
        let read = |data: &[u8]| {
            let bytes = hello(|out| {
                extensions::put_extension(out, ExtensionType::CERTIFICATE_AUTHORITIES, |out| out.put(data));
            });
            ClientHello::read(&bytes).map(drop)
        };
        assert_eq!(read(b"\0\x08\0\x02ab\0\x02cd"), Ok(()));
        assert_eq!(read(b"\0\x08\0\x02ab\0\x02cd!"), Err(Malformed::TrailingData));
        assert!(read(b"\0\0").is_err() && read(b"").is_err() && read(b"\0\x04\0\x03ab").is_err());
    }

    #[test]
    fn hello_verify_request_tells_nothing_by_its_version() {
        assert_eq!(read_hello_verify_request(&[0xfe, 0xff, 1, 9]), Ok(&[9][..]));
        assert_eq!(read_hello_verify_request(&[0xfe, 0xfd, 0]), Ok(&[][..]));
        assert!(read_hello_verify_request(&[0xfe, 0xfd, 1]).is_err());
    }
}
