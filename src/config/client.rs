//! A client's configuration and its builder.

use super::common::{
    Common, ExtendedMasterSecret, certified_key, common_settings, default_provider, provider_schemes, schemes,
};
use super::credential::{self, Credential};
use super::extensions::{ClientExtensionSettings, TimestampCheck, Wanted};
use super::external_key::ExternalKey;
use super::resumption::ClientResumption;
use super::session::SessionContext;
use super::trace::{Direction, MessageTrace, TracedMessage};
use super::{ConfigError, PeerCredentials, TransportConfig};
use crate::crypto::suites::Suite;
use crate::error::{Error, PeerIncompatible};
use crate::verify::{Fingerprint, Judgement, ServerIdentity};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::compress::{CertCompressor, CertDecompressor};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{DistinguishedName, KeyLog, RootCertStore};
use std::sync::Arc;

/// What a client offers and whom it trusts; shared by any number of associations.
///
/// Built in two steps, neither of which can be left out: how the server is verified, and whether the client has a
/// certificate of its own.
///
/// ```no_run
/// use rustls::RootCertStore;
/// use rustls::pki_types::{CertificateDer, pem::PemObject};
/// use std::sync::Arc;
/// use udtls::ClientConfig;
///
/// // What comes as PEM is read with rustls' own `pki_types`.
/// let mut roots = RootCertStore::empty();
/// roots.add(CertificateDer::from_pem_file("ca.pem")?)?;
///
/// let mut config = ClientConfig::builder().with_root_certificates(roots)?.with_no_client_auth();
/// config.set_alpn_protocols(vec![b"coap".to_vec()])?;
/// let config = Arc::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientConfig {
    common: Common,
    identity: ServerIdentity,
    certificate: OwnCertificate,
    missing_certificate: MissingCertificate,
    server_name: ServerNameIndication,
    unoffered_protocol: UnofferedProtocol,
    extensions: ClientExtensionSettings,
    pub(super) resumption: ClientResumption,
}

/// What a client does with an application protocol that the server selects without its having been offered
/// (RFC 7301 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnofferedProtocol {
    /// It ends the handshake with illegal_parameter.
    #[default]
    Refused,
    /// It takes it, and the application sees what to make of it: for servers that only know one protocol and always name it.
    Accepted,
}

/// Which key shares the first ClientHello brings (RFC 8446 §4.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyShares {
    /// One of the best classical group: a small ClientHello that fits any datagram. A server that prefers a post-quantum
    /// hybrid, and asks again anyway for its cookie, asks for that.
    #[default]
    Classical,
    /// One of the best group of all, with its classical half, so that the hybrid costs no round trip with any server. The
    /// ClientHello takes two datagrams. Where post-quantum is a must, leave only hybrids in
    /// [`set_groups`](ClientConfig::set_groups): a server may otherwise choose the classical half.
    HybridFirst,
}

/// Whether the server's name is sent (RFC 6066 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerNameIndication {
    Sent,
    Withheld,
}

/// The client's own certificate.
#[derive(Clone, Debug)]
enum OwnCertificate {
    None,
    /// Best first.
    Credentials(Arc<[Credential]>),
    Resolver(Arc<dyn ResolvesClientCert>),
}

/// What becomes of a handshake whose server asks for a certificate when none fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingCertificate {
    /// The server is told so, and decides.
    Told,
    /// It ends.
    Fatal,
}

impl ClientConfig {
    /// Starts with the process' default provider, or aws-lc-rs if there is none.
    pub fn builder() -> ClientConfigBuilder {
        Self::builder_with_provider(default_provider())
    }

    /// Starts with this provider of cryptography.
    pub fn builder_with_provider(provider: Arc<CryptoProvider>) -> ClientConfigBuilder {
        ClientConfigBuilder { provider }
    }

    common_settings!();

    /// Which key shares the first ClientHello brings.
    ///
    /// # Errors
    /// [`ConfigError::NoHybridGroup`] if a hybrid share is wanted, and DTLS 1.3 is not spoken or the first group is no
    /// hybrid; so do [`Self::set_groups`] and [`Self::set_versions`] from then on.
    pub fn set_key_shares(&mut self, key_shares: KeyShares) -> Result<&mut Self, ConfigError> {
        self.common.set_key_shares(key_shares)?;
        Ok(self)
    }

    /// Withholds the server's name from the ClientHello. It is still checked against the certificate.
    pub fn withhold_server_name(&mut self) -> &mut Self {
        self.server_name = ServerNameIndication::Withheld;
        self
    }

    /// What becomes of an application protocol that was not offered. A client that offers none refuses any answer.
    pub fn set_unoffered_protocol(&mut self, unoffered: UnofferedProtocol) -> &mut Self {
        self.unoffered_protocol = unoffered;
        self
    }

    /// Whether an association with a server of this name can be verified.
    pub(crate) fn check_server_name(&self, name: Option<&ServerName<'_>>) -> Result<(), ConfigError> {
        match name {
            None if self.identity.needs_name() => Err(ConfigError::ServerNameRequired),
            _ => Ok(()),
        }
    }

    /// Asks the server to staple an OCSP response (RFC 6066 §8). What comes is given to the verifier, and is in
    /// [`Negotiated::ocsp_response`](crate::Negotiated::ocsp_response). Default: it is not asked, since rustls' own verifiers
    /// do not look at it and it makes the handshake longer.
    pub fn request_ocsp_response(&mut self) -> &mut Self {
        self.extensions.ocsp_response = Wanted::Yes;
        self
    }

    /// Asks the server for signed certificate timestamps (RFC 6962 §3.3.1). What comes is in
    /// [`Negotiated::signed_certificate_timestamps`](crate::Negotiated::signed_certificate_timestamps). Default: it is not
    /// asked.
    pub fn request_timestamps(&mut self) -> &mut Self {
        self.extensions.timestamps = Wanted::Yes;
        self
    }

    /// Asks for timestamps, and has a check of the application's own decide after the verifier: it sees the server's chain,
    /// end entity first, each timestamp that came, and the time. What it refuses ends the handshake, with an alert of its
    /// choice if the error holds [`Error::Application`].
    pub fn set_timestamp_check(
        &mut self,
        check: impl Fn(&[CertificateDer<'_>], &[&[u8]], UnixTime) -> Result<(), rustls::Error> + Send + Sync + 'static,
    ) -> &mut Self {
        self.extensions.timestamp_check = TimestampCheck::Own(Arc::new(check));
        self.request_timestamps()
    }

    /// Sends values that mean nothing (RFC 8701), lest servers forget to tolerate what they do not know. Default: none is sent.
    pub fn send_grease(&mut self) -> &mut Self {
        self.extensions.grease = Wanted::Yes;
        self
    }

    pub(crate) fn sends_grease(&self) -> bool {
        self.extensions.grease == Wanted::Yes
    }

    /// Puts the extensions of each handshake's ClientHello in an order of its own, lest servers and what is on the way to them
    /// rely on one. Default: they are always in the same order.
    pub fn permute_extensions(&mut self) -> &mut Self {
        self.extensions.permutation = Wanted::Yes;
        self
    }

    pub(crate) fn permutes_extensions(&self) -> bool {
        self.extensions.permutation == Wanted::Yes
    }

    /// Tells servers of DTLS 1.3 whose certificates are of use (RFC 8446 §4.2.4), so that one with several can choose. Default:
    /// none.
    ///
    /// # Errors
    /// [`ConfigError::BadAuthorities`] if a name is empty, or all together are more than 16 KiB.
    pub fn set_certificate_authorities(
        &mut self,
        authorities: Vec<DistinguishedName>,
    ) -> Result<&mut Self, ConfigError> {
        let lengths = authorities.iter().map(|name| name.as_ref().len().saturating_add(2));
        let total = lengths.fold(0, usize::saturating_add);
        if total > MAX_AUTHORITIES || authorities.iter().any(|name| name.as_ref().is_empty()) {
            return Err(ConfigError::BadAuthorities);
        }
        self.extensions.authorities = authorities;
        Ok(self)
    }

    pub(crate) fn wants_ocsp_response(&self) -> bool {
        self.extensions.ocsp_response == Wanted::Yes
    }

    pub(crate) fn wants_timestamps(&self) -> bool {
        self.extensions.timestamps == Wanted::Yes
    }

    pub(crate) fn certificate_authorities(&self) -> &[DistinguishedName] {
        &self.extensions.authorities
    }

    /// Judges the server's chain and what came along.
    pub(crate) fn verify_server(
        &self,
        peer: &PeerCredentials,
        name: Option<&ServerName<'_>>,
    ) -> Result<Judgement, Error> {
        let (chain, now) = (&peer.certificates, self.now());
        let judgement = self.identity.verify(chain, name, &peer.ocsp_response, now)?;
        let of_timestamps = Judgement::of(self.extensions.timestamp_check.check(chain, &peer.timestamps, now))?;
        Ok(judgement.and(of_timestamps))
    }

    pub(crate) fn named_groups(&self) -> &[NamedGroup] {
        &self.common.named_groups
    }

    pub(crate) const fn key_shares(&self) -> KeyShares {
        self.common.key_shares
    }

    pub(crate) const fn unoffered_protocol(&self) -> UnofferedProtocol {
        self.unoffered_protocol
    }

    pub(crate) fn sends_server_name(&self) -> bool {
        self.server_name == ServerNameIndication::Sent
    }

    /// Gives up, with the alert handshake_failure, where the server asks for a certificate and none of ours fits, in schemes or
    /// issuer: for clients that would not be served without. Default: the server is told that there is none, and decides
    /// (RFC 8446 §4.4.2.3, RFC 5246 §7.4.6).
    pub fn give_up_without_certificate(&mut self) -> &mut Self {
        self.missing_certificate = MissingCertificate::Fatal;
        self
    }

    /// The client's certificate for a server that names these authorities and accepts these schemes; `None` if the server is to
    /// be told that there is none.
    ///
    /// # Errors
    /// [`PeerIncompatible::NoCertificateForPeer`], if that is to end the handshake.
    pub(crate) fn client_certificate(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
        version: ProtocolVersion,
    ) -> Result<Option<Credential>, Error> {
        let found = match &self.certificate {
            OwnCertificate::None => None,
            OwnCertificate::Credentials(own) => {
                credential::candidates(own, authorities, schemes, version).first().copied().cloned()
            }
            OwnCertificate::Resolver(resolver) => {
                let schemes: Vec<_> = schemes.iter().map(|scheme| (*scheme).into()).collect();
                resolver.resolve(authorities, &schemes).map(Credential::new)
            }
        };
        // An empty chain would look like a refusal, and be followed by a signature.
        let fits = |credential: &Credential| {
            !credential.certified_key().cert.is_empty() && credential.can_sign(schemes, version)
        };
        match found.filter(fits) {
            None if self.missing_certificate == MissingCertificate::Fatal => {
                Err(PeerIncompatible::NoCertificateForPeer.into())
            }
            found => Ok(found),
        }
    }

    /// Whether there may be a client certificate at all.
    pub(crate) fn has_client_certificate(&self) -> bool {
        match &self.certificate {
            OwnCertificate::None => false,
            OwnCertificate::Credentials(_) => true,
            OwnCertificate::Resolver(resolver) => resolver.has_certs(),
        }
    }
}

/// First step: how the server is verified.
#[derive(Clone, Debug)]
pub struct ClientConfigBuilder {
    provider: Arc<CryptoProvider>,
}

impl ClientConfigBuilder {
    /// By a chain to one of these roots and by its name (RFC 5280, RFC 9525).
    ///
    /// # Errors
    /// [`ConfigError::EmptyRootStore`].
    pub fn with_root_certificates(self, roots: impl Into<Arc<RootCertStore>>) -> Result<WantsClientAuth, ConfigError> {
        let roots = roots.into();
        if roots.is_empty() {
            return Err(ConfigError::EmptyRootStore);
        }
        let anchors = roots.roots.iter().flat_map(|anchor| {
            let constraints = anchor.name_constraints.as_ref().map_or(&[][..], AsRef::as_ref);
            [anchor.subject.as_ref(), anchor.subject_public_key_info.as_ref(), constraints]
        });
        let trust = SessionContext::of(std::iter::once(&b"roots"[..]).chain(anchors));
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone())
            .build()
            .map_err(|_| ConfigError::BadVerifier)?;
        self.with_verifier(verifier, trust)
    }

    /// By rustls' verifier, with revocation lists for instance.
    ///
    /// # Errors
    /// [`ConfigError`] if the provider lacks what a handshake needs.
    pub fn with_webpki_verifier(self, verifier: Arc<WebPkiServerVerifier>) -> Result<WantsClientAuth, ConfigError> {
        let trust = self.unknown_trust()?;
        self.with_verifier(verifier, trust)
    }

    /// By the end-entity certificate itself, which must be one of these: what WebRTC does (RFC 8122 §5).
    ///
    /// # Errors
    /// [`ConfigError::NoFingerprint`].
    pub fn with_peer_fingerprints(
        self,
        fingerprints: impl IntoIterator<Item = Fingerprint>,
    ) -> Result<WantsClientAuth, ConfigError> {
        let fingerprints: Arc<[_]> = fingerprints.into_iter().collect();
        if fingerprints.is_empty() {
            return Err(ConfigError::NoFingerprint);
        }
        let trust = SessionContext::of_fingerprints(&fingerprints);
        let schemes = provider_schemes(&self.provider);
        let common = Common::new(self.provider, schemes)?;
        Ok(WantsClientAuth { common, identity: ServerIdentity::Fingerprints(fingerprints), trust })
    }

    /// Ways to verify that are easily got wrong.
    pub fn dangerous(self) -> DangerousClientConfigBuilder {
        DangerousClientConfigBuilder { builder: self }
    }

    /// What a verifier goes by cannot be seen: its sessions are resumed with clones of this configuration only.
    fn unknown_trust(&self) -> Result<SessionContext, ConfigError> {
        SessionContext::unique(&self.provider).map_err(|_| ConfigError::Provider)
    }

    fn with_verifier(
        self,
        verifier: Arc<dyn ServerCertVerifier>,
        trust: SessionContext,
    ) -> Result<WantsClientAuth, ConfigError> {
        if verifier.requires_raw_public_keys() {
            return Err(ConfigError::RawPublicKey);
        }
        let schemes = schemes(&self.provider, &verifier.supported_verify_schemes());
        let common = Common::new(self.provider, schemes)?;
        Ok(WantsClientAuth { common, identity: ServerIdentity::Verifier(verifier), trust })
    }
}

/// Verification by the application's own code.
#[derive(Clone, Debug)]
pub struct DangerousClientConfigBuilder {
    builder: ClientConfigBuilder,
}

impl DangerousClientConfigBuilder {
    /// By this verifier. Only `verify_server_cert` and `supported_verify_schemes` are called: signatures of the handshake are
    /// checked by udtls against the key in the certificate, with the provider's algorithms.
    ///
    /// # Errors
    /// [`ConfigError::NoSignatureScheme`] if the verifier supports none.
    pub fn with_custom_certificate_verifier(
        self,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<WantsClientAuth, ConfigError> {
        let trust = self.builder.unknown_trust()?;
        self.builder.with_verifier(verifier, trust)
    }

    /// By the application, in its own time: [`Connection::pending`](crate::Connection::pending) shows the server's chain, and
    /// the handshake goes on when [`Connection::provide_verdict`](crate::Connection::provide_verdict) says so. To judge some
    /// chains at once, give [`with_custom_certificate_verifier`](Self::with_custom_certificate_verifier) a verifier that
    /// answers [`Error::AnswerLater`] to the others.
    ///
    /// # Errors
    /// [`ConfigError`] if the provider lacks what a handshake needs.
    pub fn with_pending_verification(self) -> Result<WantsClientAuth, ConfigError> {
        let trust = self.builder.unknown_trust()?;
        let provider = self.builder.provider;
        let schemes = provider_schemes(&provider);
        Ok(WantsClientAuth { common: Common::new(provider, schemes)?, identity: ServerIdentity::Application, trust })
    }
}

/// Second step: whether the client has a certificate of its own.
#[derive(Clone, Debug)]
pub struct WantsClientAuth {
    common: Common,
    identity: ServerIdentity,
    trust: SessionContext,
}

impl WantsClientAuth {
    /// It has none.
    pub fn with_no_client_auth(self) -> ClientConfig {
        let context = self.trust.and(b"no certificate");
        self.build(OwnCertificate::None, context)
    }

    /// It has this one, end entity first.
    ///
    /// # Errors
    /// [`ConfigError`] if the chain is empty, the key cannot be used or is another certificate's.
    pub fn with_client_auth_cert(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ClientConfig, ConfigError> {
        let certified = certified_key(chain, key, &self.common.provider)?;
        Ok(self.build_with(certified))
    }

    /// It has this one, end entity first, whose private key lies elsewhere and signs by these schemes, best first. What to
    /// sign is in [`Connection::pending`](crate::Connection::pending).
    ///
    /// # Errors
    /// [`ConfigError`] if the chain is empty or cannot be read, or a scheme is not one of its key's.
    pub fn with_external_key(
        self,
        chain: Vec<CertificateDer<'static>>,
        schemes: &[SignatureScheme],
    ) -> Result<ClientConfig, ConfigError> {
        let certified = ExternalKey::certified(chain, schemes, &self.common.provider)?;
        Ok(self.build_with(certified))
    }

    /// It has several, with what goes with them, best first: the first that fits a server that asks is shown, if possible one
    /// whose issuer the server names. OCSP responses and timestamps are not sent.
    ///
    /// # Errors
    /// [`ConfigError`] if there is none, or one's chain is empty or cannot be read.
    pub fn with_credentials(
        self,
        credentials: impl IntoIterator<Item = Credential>,
    ) -> Result<ClientConfig, ConfigError> {
        let credentials: Arc<[_]> = credentials.into_iter().collect();
        if credentials.is_empty() {
            return Err(ConfigError::EmptyCertificateChain);
        }
        credentials.iter().try_for_each(Credential::check)?;
        let end_entities = credentials.iter().filter_map(|credential| credential.certified_key().cert.first());
        let context = end_entities.fold(self.trust, |trust, end_entity| trust.and(end_entity));
        Ok(self.build(OwnCertificate::Credentials(credentials), context))
    }

    /// It chooses one when a server asks. A key of the application's may answer
    /// [`Error::AnswerLater`] instead of a signature.
    pub fn with_client_cert_resolver(self, resolver: Arc<dyn ResolvesClientCert>) -> ClientConfig {
        // The same resolver in another process has another address: its sessions are not resumed there.
        let address = Arc::as_ptr(&resolver).cast::<()>().addr();
        let context = self.trust.and(&address.to_be_bytes());
        self.build(OwnCertificate::Resolver(resolver), context)
    }

    fn build_with(self, certified: Arc<CertifiedKey>) -> ClientConfig {
        let context = self.trust.and(certified.cert.first().map_or(&[][..], AsRef::as_ref));
        self.build(OwnCertificate::Credentials(Arc::new([Credential::new(certified)])), context)
    }

    fn build(self, certificate: OwnCertificate, context: SessionContext) -> ClientConfig {
        ClientConfig {
            common: self.common,
            identity: self.identity,
            certificate,
            missing_certificate: MissingCertificate::Told,
            server_name: ServerNameIndication::Sent,
            unoffered_protocol: UnofferedProtocol::default(),
            extensions: ClientExtensionSettings::default(),
            resumption: ClientResumption::new(context),
        }
    }
}

/// Octets of names in a ClientHello, which should fit where servers keep the fragments of those whom they do not know.
const MAX_AUTHORITIES: usize = 1 << 14;
