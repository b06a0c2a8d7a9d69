//! What two ends can agree on beside a handshake, and use after it.

use udtls::{Connection, ProtocolVersion, SrtpProfile};

/// One row of the feature table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Exporter,
    ExporterWithContext,
    KeyUpdateByUs,
    KeyUpdateByPeer,
    KeyUpdateByBoth,
    Protocol,
    ServerName,
    SessionId,
    Ticket,
    TicketAfterRetry,
    SeveralTickets,
    TicketAndCookie,
    Srtp(Profile),
    OcspResponse,
    Timestamps,
    CompressedCertificate(Compression),
    Grease,
    RecordSizeLimit,
    MaxFragmentLength,
    Cookie,
    CookieForFragments,
}

/// What SRTP is to use (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Aes128CmSha1Tag80,
    Aes128CmSha1Tag32,
    Aes128Gcm,
    Aes256Gcm,
}

/// How a certificate is compressed (RFC 8879 §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Zlib,
    Brotli,
}

impl Feature {
    pub(crate) const ALL: [Self; 25] = [
        Self::Exporter,
        Self::ExporterWithContext,
        Self::KeyUpdateByUs,
        Self::KeyUpdateByPeer,
        Self::KeyUpdateByBoth,
        Self::Protocol,
        Self::ServerName,
        Self::SessionId,
        Self::Ticket,
        Self::TicketAfterRetry,
        Self::SeveralTickets,
        Self::TicketAndCookie,
        Self::Srtp(Profile::Aes128CmSha1Tag80),
        Self::Srtp(Profile::Aes128CmSha1Tag32),
        Self::Srtp(Profile::Aes128Gcm),
        Self::Srtp(Profile::Aes256Gcm),
        Self::OcspResponse,
        Self::Timestamps,
        Self::CompressedCertificate(Compression::Zlib),
        Self::CompressedCertificate(Compression::Brotli),
        Self::Grease,
        Self::RecordSizeLimit,
        Self::MaxFragmentLength,
        Self::Cookie,
        Self::CookieForFragments,
    ];

    /// Whether a version has it.
    pub(crate) const fn is_of(self, version: ProtocolVersion) -> bool {
        match self {
            Self::KeyUpdateByUs
            | Self::KeyUpdateByPeer
            | Self::KeyUpdateByBoth
            | Self::TicketAfterRetry
            | Self::SeveralTickets
            | Self::CompressedCertificate(_)
            | Self::CookieForFragments => matches!(version, ProtocolVersion::DTLS1_3),
            Self::SessionId => matches!(version, ProtocolVersion::DTLS1_2),
            _ => true,
        }
    }

    /// Whether our server is an `Endpoint`, which wants a cookie.
    pub(crate) const fn has_cookie(self) -> bool {
        matches!(self, Self::Cookie | Self::CookieForFragments | Self::TicketAndCookie)
    }

    /// Whether it is ours as a server only.
    pub(crate) const fn is_servers_only(self) -> bool {
        self.has_cookie() || matches!(self, Self::MaxFragmentLength)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exporter => "exporter without context: equal at both ends",
            Self::ExporterWithContext => "exporter with a context: equal at both ends",
            Self::KeyUpdateByUs => "KeyUpdate by us",
            Self::KeyUpdateByPeer => "KeyUpdate by the peer",
            Self::KeyUpdateByBoth => "KeyUpdate by us, who ask for the peer's",
            Self::Protocol => "ALPN",
            Self::ServerName => "SNI",
            Self::SessionId => "resumption by a session id",
            Self::Ticket => "resumption by a ticket",
            Self::TicketAfterRetry => "resumption by a ticket, after a HelloRetryRequest",
            Self::SeveralTickets => "two resumptions by the tickets of one association",
            Self::TicketAndCookie => "resumption by a ticket, through the cookie exchange with our `Endpoint`",
            Self::Srtp(Profile::Aes128CmSha1Tag80) => "SRTP_AES128_CM_HMAC_SHA1_80: equal keys",
            Self::Srtp(Profile::Aes128CmSha1Tag32) => "SRTP_AES128_CM_HMAC_SHA1_32: equal keys",
            Self::Srtp(Profile::Aes128Gcm) => "SRTP_AEAD_AES_128_GCM: equal keys",
            Self::Srtp(Profile::Aes256Gcm) => "SRTP_AEAD_AES_256_GCM: equal keys",
            Self::OcspResponse => "OCSP response, stapled",
            Self::Timestamps => "signed certificate timestamps",
            Self::CompressedCertificate(Compression::Zlib) => "certificate compressed with zlib",
            Self::CompressedCertificate(Compression::Brotli) => "certificate compressed with brotli",
            Self::Grease => "GREASE by the client",
            Self::RecordSizeLimit => "record_size_limit by the peer",
            Self::MaxFragmentLength => "max_fragment_length by the peer",
            Self::Cookie => "cookie exchange with our `Endpoint`",
            Self::CookieForFragments => "the same with X25519MLKEM768, the ClientHello in fragments",
        }
    }
}

impl Profile {
    pub(crate) const ALL: [Self; 4] =
        [Self::Aes128CmSha1Tag80, Self::Aes128CmSha1Tag32, Self::Aes128Gcm, Self::Aes256Gcm];

    pub(crate) const fn wire(self) -> SrtpProfile {
        match self {
            Self::Aes128CmSha1Tag80 => SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_80,
            Self::Aes128CmSha1Tag32 => SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_32,
            Self::Aes128Gcm => SrtpProfile::SRTP_AEAD_AES_128_GCM,
            Self::Aes256Gcm => SrtpProfile::SRTP_AEAD_AES_256_GCM,
        }
    }

    /// As OpenSSL and what descends from it call it.
    pub(crate) const fn openssl_name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1Tag80 => "SRTP_AES128_CM_SHA1_80",
            Self::Aes128CmSha1Tag32 => "SRTP_AES128_CM_SHA1_32",
            Self::Aes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    /// All, as OpenSSL wants a list, this one last.
    pub(crate) fn openssl_names(self) -> String {
        let others = Self::ALL.into_iter().filter(|profile| *profile != self);
        let names: Vec<_> = others.chain([self]).map(Self::openssl_name).collect();
        names.join(":")
    }

    /// What a client offers: all, this one last.
    pub(crate) fn offered(self) -> Vec<SrtpProfile> {
        let others = Self::ALL.into_iter().filter(|profile| *profile != self);
        others.chain([self]).map(Self::wire).collect()
    }

    /// What SRTP gets at our end, in the order of RFC 5764 §4.2, and its label there.
    pub(crate) fn keys(connection: &Connection) -> Result<Vec<u8>, String> {
        let material = connection.srtp_keying_material().map_err(|error| error.to_string())?;
        let (keys, salts) =
            ([material.client_key(), material.server_key()], [material.client_salt(), material.server_salt()]);
        Ok([keys, salts].concat().concat())
    }
}

/// RFC 5764 §4.2.
pub(crate) const SRTP_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Of keying material (RFC 5705, RFC 8446 §7.5).
pub(crate) const LABEL: &str = "EXPERIMENTAL-udtls";

/// What the client offers; the server has only the second.
pub(crate) const PROTOCOLS: [&str; 2] = ["udtls-other", "udtls-features"];

/// Whom the client wants to reach.
pub(crate) const SERVER_NAME: &str = "localhost";

/// The longest record that the peer takes, in octets.
pub(crate) const RECORD_LIMIT: usize = 512;
