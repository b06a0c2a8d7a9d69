//! The suite table: what each cipher suite of either version consists of. Knows no key, no epoch and no handshake state.
//!
//! TLS 1.3 suites: RFC 8446 §B.4. DTLS 1.2 suites: RFC 5289 §3.2, RFC 7905 §2. AEAD limits: RFC 9147 §4.5.3.

use super::secret::Secret;
use crate::wire::{CipherSuite, ProtocolVersion};
use rustls::crypto::hash::Hash;
use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::Hkdf;
use rustls::crypto::{CryptoProvider, KeyExchangeAlgorithm};
use rustls::{SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use std::fmt;

/// A suite that is in our table and that the provider can run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Suite {
    /// An ECDHE suite of DTLS 1.2.
    Dtls12(Suite12),
    /// A suite of DTLS 1.3.
    Dtls13(Suite13),
}

/// A DTLS 1.2 suite: ECDHE key exchange, always.
#[derive(Clone, Copy)]
pub(crate) struct Suite12 {
    pub(crate) id: CipherSuite,
    pub(crate) aead: AeadAlgorithm,
    pub(crate) auth: Authentication,
    /// The provider's; associations keep the suite, and a reference is short.
    provider: &'static Tls12CipherSuite,
}

impl Suite12 {
    pub(crate) const fn hash(&self) -> &'static dyn Hash {
        self.provider.common.hash_provider
    }

    pub(crate) const fn prf(&self) -> &'static dyn Prf {
        self.provider.prf_provider
    }
}

/// A DTLS 1.3 suite.
#[derive(Clone, Copy)]
pub(crate) struct Suite13 {
    pub(crate) id: CipherSuite,
    pub(crate) aead: AeadAlgorithm,
    /// The provider's; associations keep the suite, and a reference is short.
    provider: &'static Tls13CipherSuite,
}

impl Suite13 {
    pub(crate) const fn hash(&self) -> &'static dyn Hash {
        self.provider.common.hash_provider
    }

    pub(crate) const fn hkdf(&self) -> &'static dyn Hkdf {
        self.provider.hkdf_provider
    }
}

/// Which certificate keys a DTLS 1.2 suite admits (RFC 8422 §2; `ECDHE_ECDSA` includes EdDSA, §5.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// ECDSA or EdDSA keys.
    Ecdsa,
    /// RSA keys.
    Rsa,
}

/// The AEAD of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AeadAlgorithm {
    /// AEAD_AES_128_GCM (RFC 5116 §5.1).
    Aes128Gcm,
    /// AEAD_AES_256_GCM (RFC 5116 §5.2).
    Aes256Gcm,
    /// AEAD_CHACHA20_POLY1305 (RFC 8439 §2.8).
    ChaCha20Poly1305,
}

/// How often one key may be used (RFC 9147 §4.5.3, RFC 9325 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AeadLimits {
    /// Records that may be sealed.
    pub(crate) confidentiality: u64,
    /// Records that may fail to open.
    pub(crate) integrity: u64,
}

impl AeadLimits {
    /// Nothing wears out.
    pub(crate) const NONE: Self = Self { confidentiality: u64::MAX, integrity: u64::MAX };
    /// Those of the AEADs that bear most, as far as an AEAD sets them.
    pub(crate) const HIGHEST: Self = Self { confidentiality: GCM_CONFIDENTIALITY_LIMIT, integrity: INTEGRITY_LIMIT };
}

/// What the record layer needs to protect one direction of one epoch.
#[derive(Clone, Debug)]
pub(crate) enum TrafficKeys {
    /// Straight from the key block (RFC 5246 §6.3).
    Dtls12 {
        /// The suite's AEAD.
        aead: AeadAlgorithm,
        /// `client_write_key` or `server_write_key`.
        key: Secret,
        /// `client_write_IV` or `server_write_IV`: 4 octets for GCM (RFC 5288 §3), 12 for ChaCha20 (RFC 7905 §2).
        fixed_iv: Secret,
    },
    /// A traffic secret, from which the keys follow (RFC 8446 §7.3, RFC 9147 §4.2.3): see
    /// [`record_keys`](crate::crypto::hkdf::record_keys).
    Dtls13 {
        /// The suite.
        suite: Suite13,
        /// `[sender]_handshake_traffic_secret` or `[sender]_application_traffic_secret_N`.
        secret: Secret,
    },
}

/// The provider's suites that udtls knows, in the provider's order.
pub(crate) fn usable_suites(provider: &CryptoProvider) -> Vec<Suite> {
    provider.cipher_suites.iter().filter_map(usable_suite).collect()
}

fn usable_suite(supported: &SupportedCipherSuite) -> Option<Suite> {
    let id = CipherSuite(u16::from(supported.suite()));
    match supported {
        SupportedCipherSuite::Tls12(suite) => {
            let (_, aead, auth) = *SUITES_12.iter().find(|(known, ..)| *known == id)?;
            if suite.kx != KeyExchangeAlgorithm::ECDHE {
                return None;
            }
            Some(Suite::Dtls12(Suite12 { id, aead, auth, provider: suite }))
        }
        SupportedCipherSuite::Tls13(suite) => {
            let (_, aead) = *SUITES_13.iter().find(|(known, _)| *known == id)?;
            Some(Suite::Dtls13(Suite13 { id, aead, provider: suite }))
        }
    }
}

impl Suite {
    /// As it stands in the hellos.
    pub(crate) const fn id(&self) -> CipherSuite {
        match self {
            Self::Dtls12(suite) => suite.id,
            Self::Dtls13(suite) => suite.id,
        }
    }

    /// The one version that has this suite (RFC 8446 §B.4).
    pub(crate) const fn version(&self) -> ProtocolVersion {
        match self {
            Self::Dtls12(_) => ProtocolVersion::DTLS1_2,
            Self::Dtls13(_) => ProtocolVersion::DTLS1_3,
        }
    }

    /// What protects its records.
    #[cfg(test)]
    pub(crate) const fn aead(&self) -> AeadAlgorithm {
        match self {
            Self::Dtls12(suite) => suite.aead,
            Self::Dtls13(suite) => suite.aead,
        }
    }

    /// The hash of the transcript and of the key schedule.
    pub(crate) const fn hash(&self) -> &'static dyn Hash {
        match self {
            Self::Dtls12(suite) => suite.hash(),
            Self::Dtls13(suite) => suite.hash(),
        }
    }
}

#[cfg(test)]
impl Suite {
    /// For vectors: the default provider's suite of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let suites = usable_suites(&rustls::crypto::aws_lc_rs::default_provider());
        suites.into_iter().find(|suite| suite.id().to_string() == name)
    }

    pub(crate) fn as_12(self) -> Option<Suite12> {
        if let Self::Dtls12(suite) = self { Some(suite) } else { None }
    }

    pub(crate) fn as_13(self) -> Option<Suite13> {
        if let Self::Dtls13(suite) = self { Some(suite) } else { None }
    }
}

impl AeadAlgorithm {
    /// Octets of the authentication tag; the same for all.
    pub(crate) const TAG_LEN: usize = 16;

    /// Octets of the nonce; the same for all.
    pub(crate) const NONCE_LEN: usize = 12;

    /// Octets of the key, and in DTLS 1.3 of the key that masks record numbers (RFC 9147 §4.2.3).
    pub(crate) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Octets of the nonce that DTLS 1.2 takes from the key block: RFC 5288 §3, RFC 7905 §2.
    pub(crate) const fn fixed_iv_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 4,
            Self::ChaCha20Poly1305 => Self::NONCE_LEN,
        }
    }

    /// Octets of the nonce that DTLS 1.2 sends with each record: RFC 5288 §3, RFC 7905 §2.
    pub(crate) const fn explicit_nonce_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 8,
            Self::ChaCha20Poly1305 => 0,
        }
    }

    /// How often one key of this algorithm may be used (RFC 9147 §4.5.3).
    pub(crate) const fn limits(self) -> AeadLimits {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => AeadLimits::HIGHEST,
            // "the record sequence number would wrap before the safety limit is reached" (RFC 8446 §5.5).
            Self::ChaCha20Poly1305 => AeadLimits { confidentiality: u64::MAX, integrity: INTEGRITY_LIMIT },
        }
    }
}

/// 2^24.5 records of full size, rounded down (RFC 9147 §4.5.3).
const GCM_CONFIDENTIALITY_LIMIT: u64 = 23_726_566;

/// 2^36 forgeries (RFC 9147 §4.5.3).
const INTEGRITY_LIMIT: u64 = 1 << 36;

/// RFC 8446 §B.4.
const SUITES_13: &[(CipherSuite, AeadAlgorithm)] = &[
    (CipherSuite::TLS_AES_128_GCM_SHA256, AeadAlgorithm::Aes128Gcm),
    (CipherSuite::TLS_AES_256_GCM_SHA384, AeadAlgorithm::Aes256Gcm),
    (CipherSuite::TLS_CHACHA20_POLY1305_SHA256, AeadAlgorithm::ChaCha20Poly1305),
];

/// RFC 5289 §3.2, RFC 7905 §2.
#[rustfmt::skip]
const SUITES_12: &[(CipherSuite, AeadAlgorithm, Authentication)] = &[
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, AeadAlgorithm::Aes128Gcm, Authentication::Ecdsa),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, AeadAlgorithm::Aes256Gcm, Authentication::Ecdsa),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, AeadAlgorithm::ChaCha20Poly1305, Authentication::Ecdsa),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, AeadAlgorithm::Aes128Gcm, Authentication::Rsa),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, AeadAlgorithm::Aes256Gcm, Authentication::Rsa),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, AeadAlgorithm::ChaCha20Poly1305, Authentication::Rsa),
];

impl fmt::Debug for Suite12 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl fmt::Debug for Suite13 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_table_is_usable_with_the_default_provider() {
        let suites = usable_suites(&rustls::crypto::aws_lc_rs::default_provider());
        for id in SUITES_12.iter().map(|entry| entry.0).chain(SUITES_13.iter().map(|entry| entry.0)) {
            assert_eq!(suites.iter().filter(|suite| suite.id() == id).count(), 1, "{id}");
        }
        assert_eq!(suites.len(), SUITES_12.len() + SUITES_13.len());
    }

    #[test]
    fn the_name_of_a_suite_says_what_it_consists_of() {
        for suite in usable_suites(&rustls::crypto::aws_lc_rs::default_provider()) {
            let name = format!("{}", suite.id());
            assert_eq!(name.contains("AES_128_GCM"), suite.aead() == AeadAlgorithm::Aes128Gcm, "{name}");
            assert_eq!(name.contains("AES_256_GCM"), suite.aead() == AeadAlgorithm::Aes256Gcm, "{name}");
            assert_eq!(name.contains("CHACHA20"), suite.aead() == AeadAlgorithm::ChaCha20Poly1305, "{name}");
            assert_eq!(name.contains("SHA384"), suite.hash().output_len() == 48, "{name}");
            assert_eq!(name.contains("_WITH_"), suite.version() == ProtocolVersion::DTLS1_2, "{name}");
            if let Suite::Dtls12(suite) = suite {
                assert_eq!(name.contains("_RSA_"), suite.auth == Authentication::Rsa, "{name}");
            }
        }
    }

    #[test]
    fn limits_of_rfc9147_section_4_5_3() {
        let gcm = AeadAlgorithm::Aes128Gcm.limits();
        assert_eq!(gcm.confidentiality, 2f64.powf(24.5).floor() as u64);
        assert_eq!(gcm.integrity, 2u64.pow(36));
        assert_eq!(AeadAlgorithm::ChaCha20Poly1305.limits().integrity, 2u64.pow(36));
    }
}
