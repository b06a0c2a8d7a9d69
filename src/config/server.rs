//! A server's configuration and its builder.

use super::common::{
    Common, ExtendedMasterSecret, certified_key, common_settings, default_provider, provider_schemes, schemes,
};
use super::credential::{self, Condition, Credential};
use super::external_key::ExternalKey;
use super::resumption::ServerResumption;
use super::session::SessionContext;
use super::trace::{Direction, MessageTrace, TracedMessage};
use super::{ConfigError, TransportConfig};
use crate::crypto::{group_of, suites::Suite};
use crate::error::Error;
use crate::verify::{ClientAuth, ClientIdentity, Fingerprint, Judgement};
use crate::wire::{
    CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile, certificate::read_certificate_authorities,
    enums::ExtensionType, extensions::List16, hello::ClientHello as WireClientHello,
};
use rustls::compress::{CertCompressor, CertDecompressor};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{DistinguishedName, KeyLog};
use std::fmt;
use std::sync::Arc;

/// What a server offers and whom it trusts; shared by any number of associations.
///
/// Built in two steps, neither of which can be left out: whether and how clients are verified, and the server's own
/// certificate.
///
/// ```no_run
/// use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
/// use std::sync::Arc;
/// use udtls::{ProtocolVersion, ServerConfig};
///
/// // What comes as PEM is read with rustls' own `pki_types`.
/// let chain = CertificateDer::pem_file_iter("chain.pem")?.collect::<Result<Vec<_>, _>>()?;
/// let key = PrivateKeyDer::from_pem_file("key.pem")?;
///
/// let mut config = ServerConfig::builder().with_no_client_auth()?.with_single_cert(chain, key)?;
/// config.set_versions(&[ProtocolVersion::DTLS1_3])?;
/// let config = Arc::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerConfig {
    common: Common,
    identity: ClientIdentity,
    certificates: Arc<dyn ResolvesServerCert>,
    preference: Preference,
    server_name: ServerNameAcknowledgement,
    pub(super) resumption: ServerResumption,
}

/// Whether a server tells a client that it made use of the name that the client wants (RFC 6066 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerNameAcknowledgement {
    /// By an empty extension, as RFC 6066 has it.
    #[default]
    Sent,
    /// Not at all: for a server to which names mean nothing.
    Omitted,
}

/// Whose order decides among the cipher suites that both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Preference {
    /// The client's, who knows whether its processor has AES.
    #[default]
    Client,
    /// The server's.
    Server,
}

/// Chooses the server's certificate for a client.
pub trait ResolvesServerCert: fmt::Debug + Send + Sync {
    /// The chain and key for this client, or `None` to refuse it with `handshake_failure`.
    fn resolve(&self, client_hello: &ClientHello<'_>) -> Option<Credential>;
}

/// What a client says of itself before anything is decided.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    hello: &'a WireClientHello<'a>,
    schemes: &'a [SignatureScheme],
    version: ProtocolVersion,
}

impl<'a> ClientHello<'a> {
    /// The name of the server that the client wants, if it says one and if that is a DNS name (RFC 6066 §3).
    pub fn server_name(&self) -> Option<&'a str> {
        let name = self.hello.known.server_name.and_then(|name| std::str::from_utf8(name).ok())?;
        DnsName::try_from(name).ok().map(|_| name)
    }

    /// The signature schemes that the client verifies, best first, as far as they may be used in the version chosen.
    pub fn signature_schemes(&self) -> &'a [SignatureScheme] {
        self.schemes
    }

    /// The application protocols that the client offers, best first (RFC 7301).
    pub fn alpn_protocols(&self) -> impl Iterator<Item = &'a [u8]> {
        self.hello.known.protocols.into_iter().flat_map(|names| names.iter())
    }

    /// The cipher suites that the client offers, best first.
    pub fn cipher_suites(&self) -> impl Iterator<Item = CipherSuite> {
        self.hello.cipher_suites.iter()
    }

    /// The groups that the client offers, best first.
    pub fn named_groups(&self) -> impl Iterator<Item = NamedGroup> {
        self.hello.known.supported_groups.into_iter().flat_map(|list: List16<'a, NamedGroup>| list.iter())
    }

    /// The names of the authorities by whom the client wants to see the server certified, in DER; none if it does not say
    /// (RFC 8446 §4.2.4).
    pub fn certificate_authorities(&self) -> impl Iterator<Item = &'a [u8]> {
        let names = self.hello.extensions.parse(ExtensionType::CERTIFICATE_AUTHORITIES, read_certificate_authorities);
        names.ok().flatten().unwrap_or_default().into_iter()
    }

    /// The signature schemes that the client verifies in certificates, best first: where it does not tell them apart, those
    /// of all signatures (RFC 8446 §4.2.3).
    pub fn certificate_signature_schemes(&self) -> impl Iterator<Item = SignatureScheme> {
        let known = &self.hello.known;
        known.certificates.schemes.or(known.signature_schemes).into_iter().flat_map(|list| list.iter())
    }

    /// The first of these, best first, that fits this client: whose key can sign for it and, if possible, whose issuer it names
    /// and whose curve it has.
    pub fn choose<'c>(&self, credentials: &'c [Credential]) -> Option<&'c Credential> {
        let authorities: Vec<_> = self.certificate_authorities().collect();
        let candidates = credential::candidates(credentials, &authorities, self.schemes, self.version);
        let known = candidates.iter().find(|credential| self.knows_curve_of(credential));
        // Deviation: one of a curve that the client does not list is better than none, though RFC 8422 §5.3 forbids it, unless
        // the credential says otherwise. Clients that have no more than X25519 for the key exchange, and verify signatures by
        // P-256 all the same, are many.
        let unknown = || candidates.iter().find(|credential| credential.curve_condition() == Condition::Preferred);
        known.or_else(unknown).copied()
    }

    /// Whether the client has the curve of the certificate (RFC 8422 §5.3).
    fn knows_curve_of(&self, credential: &Credential) -> bool {
        let curve = match self.version {
            // There the curve is part of the scheme (RFC 8446 §4.2.3).
            ProtocolVersion::DTLS1_3 => None,
            _ => credential.curve(),
        };
        let groups = self.hello.known.supported_groups;
        let knows = |(curve, _)| groups.is_none_or(|list: List16<'_, NamedGroup>| list.contains(&curve));
        curve.is_none_or(knows)
    }
}

impl ServerConfig {
    /// Starts with the process' default provider, or aws-lc-rs if there is none.
    pub fn builder() -> ServerConfigBuilder {
        Self::builder_with_provider(default_provider())
    }

    /// Starts with this provider of cryptography.
    pub fn builder_with_provider(provider: Arc<CryptoProvider>) -> ServerConfigBuilder {
        ServerConfigBuilder { provider }
    }

    common_settings!();

    /// Whose order decides among cipher suites.
    pub fn set_cipher_preference(&mut self, preference: Preference) -> &mut Self {
        self.preference = preference;
        self
    }

    pub(crate) const fn cipher_preference(&self) -> Preference {
        self.preference
    }

    /// Whether the name that a client wants is acknowledged.
    pub fn set_server_name_acknowledgement(&mut self, acknowledgement: ServerNameAcknowledgement) -> &mut Self {
        self.server_name = acknowledgement;
        self
    }

    pub(crate) fn acknowledges_server_name(&self) -> bool {
        self.server_name == ServerNameAcknowledgement::Sent
    }

    /// Whether the other configuration comes to the same choice of version, suite and group, whatever the ClientHello.
    pub(crate) fn negotiates_like(&self, other: &Self) -> bool {
        let suites = |config: &Self| config.suites().iter().map(Suite::id).collect::<Vec<_>>();
        let groups = |config: &Self| config.groups().iter().map(|group| group_of(*group)).collect::<Vec<_>>();
        self.versions() == other.versions()
            && suites(self) == suites(other)
            && groups(self) == groups(other)
            && self.preference == other.preference
    }

    /// Whether clients show a certificate.
    pub(crate) fn client_auth(&self) -> ClientAuth {
        self.identity.client_auth()
    }

    /// Judges a client's chain.
    pub(crate) fn verify_client(&self, chain: &[CertificateDer<'_>]) -> Result<Judgement, Error> {
        self.identity.verify(chain, self.now())
    }

    /// The distinguished names to hint at in a CertificateRequest.
    pub(crate) fn client_authorities(&self) -> &[DistinguishedName] {
        self.identity.authorities()
    }

    /// The certificate for a client that can verify these schemes in the version chosen.
    pub(crate) fn resolve_certificate(
        &self,
        hello: &WireClientHello<'_>,
        schemes: &[SignatureScheme],
        version: ProtocolVersion,
    ) -> Option<Credential> {
        let credential = self.certificates.resolve(&ClientHello { hello, schemes, version });
        credential.filter(|credential| !credential.certified_key().cert.is_empty())
    }
}

/// First step: whether and how clients are verified.
#[derive(Clone, Debug)]
pub struct ServerConfigBuilder {
    provider: Arc<CryptoProvider>,
}

impl ServerConfigBuilder {
    /// Clients are not asked for a certificate.
    ///
    /// # Errors
    /// [`ConfigError`] if the provider lacks what a handshake needs.
    pub fn with_no_client_auth(self) -> Result<WantsServerCert, ConfigError> {
        let schemes = provider_schemes(&self.provider);
        self.build(ClientIdentity::Unasked, schemes, SessionContext::of([&b"unasked"[..]]))
    }

    /// By this verifier, which also says whether a certificate must come: rustls' `WebPkiClientVerifier`, or one's own, of which
    /// only `verify_client_cert`, the hints and `supported_verify_schemes` are called.
    ///
    /// # Errors
    /// [`ConfigError::NoSignatureScheme`] if the verifier asks for certificates and supports none.
    pub fn with_client_cert_verifier(
        self,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<WantsServerCert, ConfigError> {
        // A verifier that does not ask may panic when asked for more.
        if !verifier.offer_client_auth() {
            return self.with_no_client_auth();
        }
        if verifier.requires_raw_public_keys() {
            return Err(ConfigError::RawPublicKey);
        }
        let schemes = schemes(&self.provider, &verifier.supported_verify_schemes());
        // What it goes by cannot be seen.
        let trust = SessionContext::unique(&self.provider).map_err(|_| ConfigError::Provider)?;
        self.build(ClientIdentity::Verifier(verifier), schemes, trust)
    }

    /// By the end-entity certificate itself, which must come and be one of these (RFC 8122 §5).
    ///
    /// # Errors
    /// [`ConfigError::NoFingerprint`].
    pub fn with_client_fingerprints(
        self,
        fingerprints: impl IntoIterator<Item = Fingerprint>,
    ) -> Result<WantsServerCert, ConfigError> {
        let fingerprints: Arc<[_]> = fingerprints.into_iter().collect();
        if fingerprints.is_empty() {
            return Err(ConfigError::NoFingerprint);
        }
        let schemes = provider_schemes(&self.provider);
        let trust = SessionContext::of_fingerprints(&fingerprints);
        self.build(ClientIdentity::Fingerprints(fingerprints), schemes, trust)
    }

    /// By the application, in its own time; a certificate must come. [`Connection::pending`](crate::Connection::pending) shows
    /// the client's chain, and the handshake goes on when
    /// [`Connection::provide_verdict`](crate::Connection::provide_verdict) says so. To judge some chains at once, or to let
    /// clients do without, give [`with_client_cert_verifier`](Self::with_client_cert_verifier) a verifier that answers
    /// [`Error::AnswerLater`] to the others.
    ///
    /// # Errors
    /// [`ConfigError`] if the provider lacks what a handshake needs.
    pub fn with_pending_verification(self) -> Result<WantsServerCert, ConfigError> {
        let schemes = provider_schemes(&self.provider);
        // Whom the application trusts cannot be seen.
        let trust = SessionContext::unique(&self.provider).map_err(|_| ConfigError::Provider)?;
        self.build(ClientIdentity::Application, schemes, trust)
    }

    fn build(
        self,
        identity: ClientIdentity,
        schemes: Vec<SignatureScheme>,
        trust: SessionContext,
    ) -> Result<WantsServerCert, ConfigError> {
        let resumption = ServerResumption::new(&self.provider, trust)?;
        Ok(WantsServerCert { common: Common::new(self.provider, schemes)?, identity, resumption })
    }
}

/// Second step: the server's own certificate.
#[derive(Clone, Debug)]
pub struct WantsServerCert {
    common: Common,
    identity: ClientIdentity,
    resumption: ServerResumption,
}

impl WantsServerCert {
    /// One chain for all clients, end entity first.
    ///
    /// # Errors
    /// [`ConfigError`] if the chain is empty, the key cannot be used or is another certificate's.
    pub fn with_single_cert(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, ConfigError> {
        self.with_certs([(chain, key)])
    }

    /// Several chains, of different kinds of keys: the first that a client's signature schemes allow is used.
    ///
    /// # Errors
    /// As [`Self::with_single_cert`].
    pub fn with_certs(
        self,
        chains: impl IntoIterator<Item = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<ServerConfig, ConfigError> {
        let certified = |(chain, key)| certified_key(chain, key, &self.common.provider);
        let keys = chains.into_iter().map(certified).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(ConfigError::EmptyCertificateChain);
        }
        let credentials = keys.into_iter().map(Credential::new).collect();
        Ok(self.with_cert_resolver(Arc::new(FirstFitting { credentials })))
    }

    /// Several certificates with what goes with them, best first: the first that fits a client is used, if possible one whose
    /// issuer the client names.
    ///
    /// # Errors
    /// [`ConfigError`] if there is none, or one's chain is empty or cannot be read.
    pub fn with_credentials(
        self,
        credentials: impl IntoIterator<Item = Credential>,
    ) -> Result<ServerConfig, ConfigError> {
        let credentials: Vec<_> = credentials.into_iter().collect();
        if credentials.is_empty() {
            return Err(ConfigError::EmptyCertificateChain);
        }
        credentials.iter().try_for_each(Credential::check)?;
        Ok(self.with_cert_resolver(Arc::new(FirstFitting { credentials })))
    }

    /// One chain for all clients, end entity first, whose private key lies elsewhere and signs by these schemes, best first.
    /// What to sign is in [`Connection::pending`](crate::Connection::pending).
    ///
    /// # Errors
    /// [`ConfigError`] if the chain is empty or cannot be read, or a scheme is not one of its key's.
    pub fn with_external_key(
        self,
        chain: Vec<CertificateDer<'static>>,
        schemes: &[SignatureScheme],
    ) -> Result<ServerConfig, ConfigError> {
        let certified = ExternalKey::certified(chain, schemes, &self.common.provider)?;
        Ok(self.with_cert_resolver(Arc::new(FirstFitting { credentials: vec![Credential::new(certified)] })))
    }

    /// Chosen for each client. A key of the application's may answer [`Error::AnswerLater`]
    /// instead of a signature.
    pub fn with_cert_resolver(self, certificates: Arc<dyn ResolvesServerCert>) -> ServerConfig {
        let Self { common, identity, resumption } = self;
        let (preference, server_name) = (Preference::default(), ServerNameAcknowledgement::default());
        ServerConfig { common, identity, certificates, preference, server_name, resumption }
    }
}

/// The first certificate whose key can sign for the client, if possible of an issuer that it names.
#[derive(Debug)]
struct FirstFitting {
    credentials: Vec<Credential>,
}

impl ResolvesServerCert for FirstFitting {
    fn resolve(&self, client_hello: &ClientHello<'_>) -> Option<Credential> {
        client_hello.choose(&self.credentials).cloned()
    }
}
