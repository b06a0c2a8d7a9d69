//! The IANA registries as open newtypes: unknown values are kept, never an error by themselves.

use std::fmt;

/// Defines one registry: a transparent integer with named constants, whose `Debug` prints the name.
macro_rules! registry {
    (
        $(#[$meta:meta])*
        $vis:vis $name:ident($int:ty) { $( $(#[$vmeta:meta])* $konst:ident = $value:expr, )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis struct $name(pub(crate) $int);

        impl $name {
            $( $(#[$vmeta])* $vis const $konst: Self = Self($value); )*
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $( Self::$konst => f.write_str(stringify!($konst)), )*
                    Self(other) => write!(f, concat!(stringify!($name), "({:#06x})"), other),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $int {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}
pub(crate) use registry;

registry! {
    /// A DTLS version as it stands on the wire: the ones' complement of the TLS version (RFC 6347 §4.1).
    pub ProtocolVersion(u16) {
        /// DTLS 1.0 (RFC 4347): recognised, so that it can be refused.
        DTLS1_0 = 0xfeff,
        /// DTLS 1.2 (RFC 6347).
        DTLS1_2 = 0xfefd,
        /// DTLS 1.3 (RFC 9147).
        DTLS1_3 = 0xfefc,
    }
}

registry! {
    /// Record content types (RFC 5246 §6.2.1, RFC 8446 §5.1, RFC 9147 §4, RFC 9146 §4).
    pub(crate) ContentType(u8) {
        CHANGE_CIPHER_SPEC = 20,
        ALERT = 21,
        HANDSHAKE = 22,
        APPLICATION_DATA = 23,
        TLS12_CID = 25,
        ACK = 26,
    }
}

registry! {
    /// Handshake message types (RFC 5246 §7.4, RFC 6347 §4.3.2, RFC 8446 §4).
    pub HandshakeType(u8) {
        /// RFC 5246 §7.4.1.1.
        HELLO_REQUEST = 0,
        /// RFC 8446 §4.1.2, RFC 5246 §7.4.1.2.
        CLIENT_HELLO = 1,
        /// RFC 8446 §4.1.3, RFC 5246 §7.4.1.3; in DTLS 1.3 a HelloRetryRequest too (RFC 8446 §4.1.4).
        SERVER_HELLO = 2,
        /// RFC 6347 §4.2.1.
        HELLO_VERIFY_REQUEST = 3,
        /// RFC 8446 §4.6.1, RFC 5077 §3.3.
        NEW_SESSION_TICKET = 4,
        /// RFC 8446 §4.3.1.
        ENCRYPTED_EXTENSIONS = 8,
        /// RFC 8446 §4.4.2, RFC 5246 §7.4.2.
        CERTIFICATE = 11,
        /// RFC 5246 §7.4.3.
        SERVER_KEY_EXCHANGE = 12,
        /// RFC 8446 §4.3.2, RFC 5246 §7.4.4.
        CERTIFICATE_REQUEST = 13,
        /// RFC 5246 §7.4.5.
        SERVER_HELLO_DONE = 14,
        /// RFC 8446 §4.4.3, RFC 5246 §7.4.8.
        CERTIFICATE_VERIFY = 15,
        /// RFC 5246 §7.4.7.
        CLIENT_KEY_EXCHANGE = 16,
        /// RFC 8446 §4.4.4, RFC 5246 §7.4.9.
        FINISHED = 20,
        /// RFC 6066 §8.
        CERTIFICATE_STATUS = 22,
        /// RFC 8446 §4.6.3.
        KEY_UPDATE = 24,
        /// RFC 8879 §4.
        COMPRESSED_CERTIFICATE = 25,
        /// RFC 8446 §4.4.1: it stands in transcripts, and is never sent.
        MESSAGE_HASH = 254,
    }
}

registry! {
    /// Cipher suites (IANA "TLS Cipher Suites"): those that udtls knows by name.
    pub CipherSuite(u16) {
        /// RFC 8446 §B.4.
        TLS_AES_128_GCM_SHA256 = 0x1301,
        /// RFC 8446 §B.4.
        TLS_AES_256_GCM_SHA384 = 0x1302,
        /// RFC 8446 §B.4.
        TLS_CHACHA20_POLY1305_SHA256 = 0x1303,
        /// RFC 5289 §3.2.
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xc02b,
        /// RFC 5289 §3.2.
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xc02c,
        /// RFC 5289 §3.2.
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xc02f,
        /// RFC 5289 §3.2.
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xc030,
        /// RFC 7905 §2.
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca8,
        /// RFC 7905 §2.
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca9,
        /// Signals secure renegotiation in a ClientHello (RFC 5746 §3.3); never negotiated.
        TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00ff,
    }
}

registry! {
    /// Named groups for key exchange (RFC 8446 §4.2.7, draft-ietf-tls-ecdhe-mlkem).
    pub NamedGroup(u16) {
        /// NIST P-256.
        SECP256R1 = 0x0017,
        /// NIST P-384.
        SECP384R1 = 0x0018,
        /// NIST P-521.
        SECP521R1 = 0x0019,
        /// Curve25519 (RFC 7748).
        X25519 = 0x001d,
        /// ML-KEM-768 with P-256.
        SECP256R1MLKEM768 = 0x11eb,
        /// ML-KEM-768 with X25519: the post-quantum hybrid of the browsers. DTLS 1.3 only.
        X25519MLKEM768 = 0x11ec,
    }
}

registry! {
    /// Signature schemes (RFC 8446 §4.2.3; in 1.2 the same pairs of octets, RFC 5246 §7.4.1.4.1).
    pub SignatureScheme(u16) {
        /// RSASSA-PKCS1-v1_5 with SHA-256: 1.2 and certificates only.
        RSA_PKCS1_SHA256 = 0x0401,
        /// RSASSA-PKCS1-v1_5 with SHA-384: 1.2 and certificates only.
        RSA_PKCS1_SHA384 = 0x0501,
        /// RSASSA-PKCS1-v1_5 with SHA-512: 1.2 and certificates only.
        RSA_PKCS1_SHA512 = 0x0601,
        /// ECDSA, SHA-256; in 1.3 with P-256 only.
        ECDSA_SECP256R1_SHA256 = 0x0403,
        /// ECDSA, SHA-384; in 1.3 with P-384 only.
        ECDSA_SECP384R1_SHA384 = 0x0503,
        /// ECDSA, SHA-512; in 1.3 with P-521 only.
        ECDSA_SECP521R1_SHA512 = 0x0603,
        /// RSASSA-PSS with an rsaEncryption key, SHA-256.
        RSA_PSS_RSAE_SHA256 = 0x0804,
        /// RSASSA-PSS with an rsaEncryption key, SHA-384.
        RSA_PSS_RSAE_SHA384 = 0x0805,
        /// RSASSA-PSS with an rsaEncryption key, SHA-512.
        RSA_PSS_RSAE_SHA512 = 0x0806,
        /// Ed25519 (RFC 8032).
        ED25519 = 0x0807,
        /// Ed448 (RFC 8032).
        ED448 = 0x0808,
        /// RSASSA-PSS with an RSASSA-PSS key, SHA-256.
        RSA_PSS_PSS_SHA256 = 0x0809,
        /// RSASSA-PSS with an RSASSA-PSS key, SHA-384.
        RSA_PSS_PSS_SHA384 = 0x080a,
        /// RSASSA-PSS with an RSASSA-PSS key, SHA-512.
        RSA_PSS_PSS_SHA512 = 0x080b,
    }
}

registry! {
    /// Extension types (RFC 8446 §4.2 and the IANA registry).
    pub(crate) ExtensionType(u16) {
        SERVER_NAME = 0,
        MAX_FRAGMENT_LENGTH = 1,
        STATUS_REQUEST = 5,
        SUPPORTED_GROUPS = 10,
        EC_POINT_FORMATS = 11,
        SIGNATURE_ALGORITHMS = 13,
        USE_SRTP = 14,
        APPLICATION_LAYER_PROTOCOL_NEGOTIATION = 16,
        SIGNED_CERTIFICATE_TIMESTAMP = 18,
        CLIENT_CERTIFICATE_TYPE = 19,
        SERVER_CERTIFICATE_TYPE = 20,
        PADDING = 21,
        EXTENDED_MASTER_SECRET = 23,
        COMPRESS_CERTIFICATE = 27,
        RECORD_SIZE_LIMIT = 28,
        SESSION_TICKET = 35,
        PRE_SHARED_KEY = 41,
        EARLY_DATA = 42,
        SUPPORTED_VERSIONS = 43,
        COOKIE = 44,
        PSK_KEY_EXCHANGE_MODES = 45,
        CERTIFICATE_AUTHORITIES = 47,
        OID_FILTERS = 48,
        POST_HANDSHAKE_AUTH = 49,
        SIGNATURE_ALGORITHMS_CERT = 50,
        KEY_SHARE = 51,
        CONNECTION_ID = 54,
        QUIC_TRANSPORT_PARAMETERS = 57,
        RENEGOTIATION_INFO = 0xff01,
    }
}
