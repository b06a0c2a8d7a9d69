//! What client and server configurations have in common: provider, versions, suites, groups, protocols.

use super::extensions::ExtensionSettings;
use super::trace::MessageTrace;
use super::transport::Media;
use super::{ConfigError, KeyShares, TransportConfig};
use crate::crypto::{
    group_of,
    suites::{Suite, usable_suites},
};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{InconsistentKeys, KeyLog, NoKeyLog};
use std::sync::Arc;
use std::time::Duration;

/// Whether DTLS 1.2 is spoken without extended master secret (RFC 7627 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExtendedMasterSecret {
    /// A peer without it is refused.
    #[default]
    Required,
    /// It is used where the peer has it: for old peers. Exporters are refused without it (RFC 7627 §5.4).
    Optional,
    /// The same, and keying material is exported without it too: for DTLS-SRTP with old peers. Whoever gets both ends to
    /// shake hands with himself can give them the same keys (RFC 7627 §1), so nothing that is exported may
    /// authenticate anyone.
    ///
    /// Deviation: RFC 7627 §5.4 has exporters disabled then.
    OptionalWithExporters,
}

/// The shared part of both configurations.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) versions: Vec<ProtocolVersion>,
    pub(super) suites: Vec<Suite>,
    pub(super) groups: Vec<&'static dyn SupportedKxGroup>,
    pub(super) named_groups: Vec<NamedGroup>,
    pub(super) signature_schemes: Vec<SignatureScheme>,
    /// The client's choice; a server leaves it at the default.
    pub(super) key_shares: KeyShares,
    pub(super) alpn_protocols: Vec<Vec<u8>>,
    pub(super) extensions: ExtensionSettings,
    /// Associations share it.
    pub(super) transport: Arc<TransportConfig>,
    pub(super) extended_master_secret: ExtendedMasterSecret,
    pub(super) key_log: Arc<dyn KeyLog>,
    pub(super) message_trace: MessageTrace,
    pub(super) time_provider: Arc<dyn TimeProvider>,
}

impl Common {
    /// Everything that the provider has and udtls knows.
    ///
    /// # Errors
    /// [`ConfigError`] if that is not enough for a handshake.
    pub(super) fn new(provider: Arc<CryptoProvider>, schemes: Vec<SignatureScheme>) -> Result<Self, ConfigError> {
        if schemes.is_empty() {
            return Err(ConfigError::NoSignatureScheme);
        }
        let mut common = Self {
            versions: vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2],
            suites: usable_suites(&provider),
            groups: ordered_groups(&provider),
            named_groups: Vec::new(),
            signature_schemes: schemes,
            key_shares: KeyShares::default(),
            alpn_protocols: Vec::new(),
            extensions: ExtensionSettings::default(),
            transport: Arc::default(),
            extended_master_secret: ExtendedMasterSecret::default(),
            key_log: Arc::new(NoKeyLog),
            message_trace: MessageTrace::default(),
            time_provider: Arc::new(DefaultTimeProvider),
            provider,
        };
        // A provider without one version's suites still serves the other.
        let suites = &common.suites;
        common.versions.retain(|version| suites.iter().any(|suite| suite.version() == *version));
        if common.versions.is_empty() {
            return Err(ConfigError::NoCipherSuite);
        }
        common.check()?;
        Ok(common)
    }

    /// # Errors
    /// [`ConfigError::NoVersion`], or what is then missing.
    pub(super) fn set_versions(&mut self, versions: &[ProtocolVersion]) -> Result<(), ConfigError> {
        // The newest first, as they are offered.
        let chosen: Vec<_> = [ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2]
            .into_iter()
            .filter(|known| versions.contains(known))
            .collect();
        let all_known = versions.iter().all(|version| chosen.contains(version));
        if chosen.is_empty() || !all_known {
            return Err(ConfigError::NoVersion);
        }
        self.change(|common| common.versions = chosen)
    }

    /// # Errors
    /// [`ConfigError::NoCipherSuite`] if a version has none of them, or one is unknown.
    pub(super) fn set_cipher_suites(&mut self, ids: &[CipherSuite]) -> Result<(), ConfigError> {
        let available = usable_suites(&self.provider);
        let find = |id: &CipherSuite| available.iter().find(|suite| suite.id() == *id).copied();
        let suites = distinct(ids).map(find).collect::<Option<Vec<_>>>().ok_or(ConfigError::NoCipherSuite)?;
        self.change(|common| common.suites = suites)
    }

    /// # Errors
    /// [`ConfigError::NoGroup`] if a version has none of them, or the provider lacks one.
    pub(super) fn set_groups(&mut self, names: &[NamedGroup]) -> Result<(), ConfigError> {
        let available = ordered_groups(&self.provider);
        let find = |name: &NamedGroup| available.iter().find(|group| group_of(**group) == *name).copied();
        let groups = distinct(names).map(find).collect::<Option<Vec<_>>>().ok_or(ConfigError::NoGroup)?;
        self.change(|common| common.groups = groups)
    }

    /// # Errors
    /// [`ConfigError::BadAlpnProtocol`].
    pub(super) fn set_alpn_protocols(&mut self, protocols: Vec<Vec<u8>>) -> Result<(), ConfigError> {
        let protocols: Vec<_> = distinct(&protocols).cloned().collect();
        let lengths = protocols.iter().map(|name| name.len().saturating_add(1));
        let all_fit = protocols.iter().all(|name| (1..=255).contains(&name.len()));
        let total = lengths.fold(0, usize::saturating_add);
        if !all_fit || total > MAX_PROTOCOL_NAMES {
            return Err(ConfigError::BadAlpnProtocol);
        }
        self.alpn_protocols = protocols;
        Ok(())
    }

    /// # Errors
    /// [`ConfigError::NoHybridGroup`].
    pub(super) fn set_key_shares(&mut self, key_shares: KeyShares) -> Result<(), ConfigError> {
        self.change(|common| common.key_shares = key_shares)
    }

    /// # Errors
    /// [`ConfigError::UnknownSrtpProfile`].
    pub(super) fn set_srtp_profiles(&mut self, profiles: &[SrtpProfile]) -> Result<(), ConfigError> {
        if profiles.iter().any(|profile| profile.lengths().is_none()) {
            return Err(ConfigError::UnknownSrtpProfile);
        }
        self.extensions.srtp_profiles = distinct(profiles).copied().collect();
        self.set_transport(TransportConfig::clone(&self.transport));
        Ok(())
    }

    pub(super) fn set_transport(&mut self, mut transport: TransportConfig) {
        transport.set_media(match self.extensions.srtp_profiles.as_slice() {
            [] => Media::None,
            [_, ..] => Media::Keyed,
        });
        self.transport = Arc::new(transport);
    }

    pub(super) fn now(&self) -> UnixTime {
        // A clock that does not answer makes every certificate expired, which is the safe side.
        self.time_provider.current_time().unwrap_or(UnixTime::since_unix_epoch(AFTER_ALL_CERTIFICATES))
    }

    /// Makes a change, or leaves everything as it was if it cannot work.
    fn change(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), ConfigError> {
        let mut changed = self.clone();
        change(&mut changed);
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// Every version has a suite and a group; the lists derived from the choices are made anew.
    fn check(&mut self) -> Result<(), ConfigError> {
        for version in &self.versions {
            let tls = match *version {
                ProtocolVersion::DTLS1_3 => rustls::ProtocolVersion::TLSv1_3,
                _ => rustls::ProtocolVersion::TLSv1_2,
            };
            if !self.suites.iter().any(|suite| suite.version() == *version) {
                return Err(ConfigError::NoCipherSuite);
            }
            if !self.groups.iter().any(|group| group.usable_for_version(tls)) {
                return Err(ConfigError::NoGroup);
            }
        }
        let has_13 = self.versions.contains(&ProtocolVersion::DTLS1_3);
        // Post-quantum is a must then: nothing else may quietly take its place.
        let hybrid_first =
            self.groups.first().is_some_and(|group| !group.usable_for_version(rustls::ProtocolVersion::TLSv1_2));
        if self.key_shares == KeyShares::HybridFirst && !(has_13 && hybrid_first) {
            return Err(ConfigError::NoHybridGroup);
        }
        let usable = |group: &&&'static dyn SupportedKxGroup| {
            has_13 || group.usable_for_version(rustls::ProtocolVersion::TLSv1_2)
        };
        self.named_groups = self.groups.iter().filter(usable).map(|group| group_of(*group)).collect();
        Ok(())
    }
}

/// The year 10000: `notAfter` of a certificate has four digits for the year (RFC 5280 §4.1.2.5.2).
const AFTER_ALL_CERTIFICATES: Duration = Duration::from_secs(253_402_300_800);

/// Octets: a quarter of what the 16-bit length of the extension block could say, for the rest of a ClientHello needs
/// room too.
const MAX_PROTOCOL_NAMES: usize = 1 << 14;

/// Each value once, where it comes first.
fn distinct<T: PartialEq>(list: &[T]) -> impl Iterator<Item = &T> {
    let before = |index| list.get(..index).unwrap_or_default();
    list.iter().enumerate().filter(move |(index, value)| !before(*index).contains(value)).map(|(_, value)| value)
}

/// The provider's groups, hybrids first: they are the best, and cost nothing until a peer asks for one.
fn ordered_groups(provider: &CryptoProvider) -> Vec<&'static dyn SupportedKxGroup> {
    let classical = |group: &&'static dyn SupportedKxGroup| group.usable_for_version(rustls::ProtocolVersion::TLSv1_2);
    let mut groups: Vec<_> = provider.kx_groups.iter().copied().filter(|group| !classical(group)).collect();
    groups.extend(provider.kx_groups.iter().copied().filter(classical));
    groups
}

/// The process default if one is installed, else aws-lc-rs.
pub(super) fn default_provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(provider) => provider.clone(),
        None => Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
    }
}

/// The schemes by which the provider can verify signatures.
pub(super) fn provider_schemes(provider: &CryptoProvider) -> Vec<SignatureScheme> {
    schemes(provider, &provider.signature_verification_algorithms.supported_schemes())
}

/// Those of a verifier's schemes that the provider can verify, in the verifier's order: it is the provider who verifies
/// the handshake's signatures. SHA-1 and MD5 are never among them (RFC 9155 §2).
pub(super) fn schemes(provider: &CryptoProvider, wanted: &[rustls::SignatureScheme]) -> Vec<SignatureScheme> {
    let mapping = provider.signature_verification_algorithms.mapping;
    let can_verify = |scheme: &&rustls::SignatureScheme| {
        mapping.iter().any(|(known, algorithms)| known == *scheme && !algorithms.is_empty())
    };
    // The first octet of such a scheme is the hash: MD5, SHA-1 and SHA-224 (RFC 5246 §7.4.1.4.1).
    let is_legacy = |scheme: &SignatureScheme| scheme.0 >> 8 <= 3;
    let usable = distinct(wanted).filter(can_verify).map(|scheme| SignatureScheme::from(*scheme));
    usable.filter(|scheme| !is_legacy(scheme)).collect()
}

/// A chain that can be sent; returns what its first certificate says.
pub(super) fn check_chain<'a>(chain: &'a [CertificateDer<'_>]) -> Result<webpki::EndEntityCert<'a>, ConfigError> {
    let leaf = chain.first().ok_or(ConfigError::EmptyCertificateChain)?;
    if chain.iter().any(|certificate| certificate.is_empty()) {
        return Err(ConfigError::BadCertificate);
    }
    webpki::EndEntityCert::try_from(leaf).map_err(|_| ConfigError::BadCertificate)
}

/// A chain with its private key, which must belong to the first certificate.
pub(super) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, ConfigError> {
    // `keys_match` reads the certificate only if the key tells its public half.
    check_chain(&chain)?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| ConfigError::BadPrivateKey)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that cannot tell its public half (a security module's) is taken at its owner's word.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(ConfigError::KeyDoesNotFitCertificate),
        Err(_) => Err(ConfigError::BadCertificate),
    }
}

/// The setters and getters that both configurations have, over their field `common`.
macro_rules! common_settings {
    () => {
        /// The versions to speak. Default: DTLS 1.2 and 1.3, as far as the provider has their suites.
        ///
        /// # Errors
        /// [`ConfigError`] if one is unknown or nothing is left to speak it with.
        pub fn set_versions(&mut self, versions: &[ProtocolVersion]) -> Result<&mut Self, ConfigError> {
            self.common.set_versions(versions)?;
            Ok(self)
        }

        /// The cipher suites, best first. Default: all that the provider has, in its order.
        ///
        /// # Errors
        /// [`ConfigError::NoCipherSuite`] if one is unknown or a version is left without.
        pub fn set_cipher_suites(&mut self, suites: &[CipherSuite]) -> Result<&mut Self, ConfigError> {
            self.common.set_cipher_suites(suites)?;
            Ok(self)
        }

        /// The key exchange groups, best first. Default: all that the provider has, post-quantum hybrids first.
        ///
        /// # Errors
        /// [`ConfigError::NoGroup`] if the provider lacks one or a version is left without.
        pub fn set_groups(&mut self, groups: &[NamedGroup]) -> Result<&mut Self, ConfigError> {
            self.common.set_groups(groups)?;
            Ok(self)
        }

        /// The application protocols, best first (RFC 7301). Default: none.
        ///
        /// # Errors
        /// [`ConfigError::BadAlpnProtocol`].
        pub fn set_alpn_protocols(&mut self, protocols: Vec<Vec<u8>>) -> Result<&mut Self, ConfigError> {
            self.common.set_alpn_protocols(protocols)?;
            Ok(self)
        }

        /// The profiles of SRTP, best first: the association is to key media streams (RFC 5764). The server takes its first
        /// that the client has too; with none in common there is an association all the same, without SRTP. The first
        /// retransmission comes after 400 ms then, unless [`TransportConfig::set_timeouts`] says otherwise
        /// (RFC 9147 §5.8.2). Default: none.
        ///
        /// # Errors
        /// [`ConfigError::UnknownSrtpProfile`].
        pub fn set_srtp_profiles(&mut self, profiles: &[SrtpProfile]) -> Result<&mut Self, ConfigError> {
            self.common.set_srtp_profiles(profiles)?;
            Ok(self)
        }

        /// By which algorithms our certificate may be compressed, best first: the first that the peer understands is used, in
        /// DTLS 1.3 (RFC 8879). Default: those of the features `brotli` and `zlib`, as far as they are enabled.
        pub fn set_cert_compressors(&mut self, compressors: Vec<&'static dyn CertCompressor>) -> &mut Self {
            self.common.extensions.compressors = compressors;
            self
        }

        /// By which algorithms the peer's certificate may be compressed, best first. What comes out is never longer than
        /// [`TransportConfig::set_max_handshake_message`] says. Default: as for [`Self::set_cert_compressors`].
        pub fn set_cert_decompressors(&mut self, decompressors: Vec<&'static dyn CertDecompressor>) -> &mut Self {
            self.common.extensions.decompressors = decompressors;
            self
        }

        /// Sizes, timers and bounds.
        pub fn set_transport(&mut self, transport: TransportConfig) -> &mut Self {
            self.common.set_transport(transport);
            self
        }

        /// Whether DTLS 1.2 needs extended master secret. Default: it does.
        pub fn set_extended_master_secret(&mut self, policy: ExtendedMasterSecret) -> &mut Self {
            self.common.extended_master_secret = policy;
            self
        }

        /// Where the secrets of each association are logged, for Wireshark and the like (RFC 9850). Default: nowhere.
        pub fn set_key_log(&mut self, key_log: Arc<dyn KeyLog>) -> &mut Self {
            self.common.key_log = key_log;
            self
        }

        /// Has `observer` shown each handshake message, ChangeCipherSpec, alert and ACK of each association with this
        /// configuration, as it is sent or heeded: for debugging. It is called in the midst of
        /// [`Connection::receive`](crate::Connection::receive) and
        /// [`poll_transmit`](crate::Connection::poll_transmit), and should be quick. To tell associations apart, give each a
        /// clone of the configuration with an observer of its own. What a listener answers without keeping anything belongs
        /// to no association. Default: nobody is.
        ///
        /// ```
        /// # fn trace(config: &mut udtls::ClientConfig) {
        /// config.set_message_trace(|direction, message| eprintln!("{direction:?} {message:?}"));
        /// # }
        /// ```
        pub fn set_message_trace(
            &mut self,
            observer: impl Fn(Direction, TracedMessage<'_>) + Send + Sync + 'static,
        ) -> &mut Self {
            self.common.message_trace = MessageTrace::On(Arc::new(observer));
            self
        }

        pub(crate) fn message_trace(&self) -> &MessageTrace {
            &self.common.message_trace
        }

        /// What time it is, for the validity of certificates. Default: the system's clock.
        pub fn set_time_provider(&mut self, time_provider: Arc<dyn TimeProvider>) -> &mut Self {
            self.common.time_provider = time_provider;
            self
        }

        pub(crate) fn provider(&self) -> &CryptoProvider {
            &self.common.provider
        }

        /// The newest first.
        pub(crate) fn versions(&self) -> &[ProtocolVersion] {
            &self.common.versions
        }

        pub(crate) fn suites(&self) -> &[Suite] {
            &self.common.suites
        }

        pub(crate) fn groups(&self) -> &[&'static dyn SupportedKxGroup] {
            &self.common.groups
        }

        /// The schemes by which the peer may sign.
        pub(crate) fn signature_schemes(&self) -> &[SignatureScheme] {
            &self.common.signature_schemes
        }

        pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
            &self.common.alpn_protocols
        }

        pub(crate) fn cert_compressors(&self) -> &[&'static dyn CertCompressor] {
            &self.common.extensions.compressors
        }

        pub(crate) fn cert_decompressors(&self) -> &[&'static dyn CertDecompressor] {
            &self.common.extensions.decompressors
        }

        pub(crate) fn srtp_profiles(&self) -> &[SrtpProfile] {
            &self.common.extensions.srtp_profiles
        }

        pub(crate) fn transport(&self) -> &TransportConfig {
            &self.common.transport
        }

        pub(crate) fn shared_transport(&self) -> Arc<TransportConfig> {
            self.common.transport.clone()
        }

        pub(crate) fn extended_master_secret(&self) -> ExtendedMasterSecret {
            self.common.extended_master_secret
        }

        pub(crate) fn key_log(&self) -> &dyn KeyLog {
            &*self.common.key_log
        }

        pub(crate) fn now(&self) -> UnixTime {
            self.common.now()
        }
    };
}
pub(super) use common_settings;
