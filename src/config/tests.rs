//! Configurations that work, and those that are refused.

use super::common::schemes;
use super::*;
use crate::crypto::group_of;
use crate::verify::{ClientAuth, Fingerprint};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{DigitallySignedStruct, Error as RustlsError, SignatureScheme as RustlsScheme};
use std::sync::Arc;

const V12: ProtocolVersion = ProtocolVersion::DTLS1_2;
const V13: ProtocolVersion = ProtocolVersion::DTLS1_3;
const HYBRID: NamedGroup = NamedGroup::X25519MLKEM768;

type Chain = Vec<CertificateDer<'static>>;

fn certificate_of(algorithm: &'static SignatureAlgorithm) -> (Chain, PrivateKeyDer<'static>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::new(["localhost".into()]).unwrap().self_signed(&key).unwrap();
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn certificate() -> (Chain, PrivateKeyDer<'static>) {
    certificate_of(&PKCS_ECDSA_P256_SHA256)
}

fn fingerprint() -> Fingerprint {
    Fingerprint::from_sha256([1; 32])
}

fn client() -> ClientConfig {
    ClientConfig::builder().with_peer_fingerprints([fingerprint()]).unwrap().with_no_client_auth()
}

fn server() -> ServerConfig {
    let (chain, key) = certificate();
    ServerConfig::builder().with_no_client_auth().unwrap().with_single_cert(chain, key).unwrap()
}

/// A verifier with the given schemes, of which nothing else is used.
#[derive(Debug)]
struct Verifier {
    schemes: Vec<RustlsScheme>,
    raw_public_keys: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        panic!("never called")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        panic!("never called")
    }

    fn supported_verify_schemes(&self) -> Vec<RustlsScheme> {
        self.schemes.clone()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw_public_keys
    }
}

fn with_schemes(schemes: &[RustlsScheme], raw_public_keys: bool) -> Result<ClientConfig, ConfigError> {
    let verifier = Verifier { schemes: schemes.to_vec(), raw_public_keys };
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(verifier))?;
    Ok(builder.with_no_client_auth())
}

#[test]
fn default_is_both_versions_and_the_hybrid_first() {
    let client = client();
    assert_eq!(client.versions(), [V13, V12]);
    assert_eq!(client.named_groups(), [HYBRID, NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1]);
    assert_eq!(client.key_shares(), KeyShares::Classical);
    assert_eq!(client.extended_master_secret(), ExtendedMasterSecret::Required);
    assert_eq!(client.suites().len(), 9);
    assert!(client.alpn_protocols().is_empty());
    assert!(client.sends_server_name());
    assert!(!client.has_client_certificate());
    let server = server();
    assert_eq!(server.versions(), [V13, V12]);
    assert_eq!(client.unoffered_protocol(), UnofferedProtocol::Refused);
    assert!(server.acknowledges_server_name());
    assert_eq!(server.cipher_preference(), Preference::Client);
    assert_eq!(server.client_auth(), ClientAuth::None);
}

#[test]
fn the_hybrid_is_not_offered_without_dtls13() {
    let mut client = client();
    client.set_versions(&[V12]).unwrap();
    assert_eq!(client.named_groups(), [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1]);
}

#[test]
fn versions_that_cannot_be_spoken_are_refused() {
    let mut client = client();
    assert_eq!(client.set_versions(&[]).map(drop), Err(ConfigError::NoVersion));
    let old = [V12, ProtocolVersion::DTLS1_0];
    assert_eq!(client.set_versions(&old).map(drop), Err(ConfigError::NoVersion));
    assert_eq!(client.versions(), [V13, V12]);
    client.set_versions(&[V12, V13, V12]).unwrap();
    assert_eq!(client.versions(), [V13, V12], "the newest first, each once");
}

#[test]
fn suites_that_leave_a_version_without_are_refused() {
    let mut server = server();
    let only_13 = [CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_AES_128_GCM_SHA256];
    let unknown = [CipherSuite(0x1337)];
    assert_eq!(server.set_cipher_suites(&[]).map(drop), Err(ConfigError::NoCipherSuite));
    assert_eq!(server.set_cipher_suites(&unknown).map(drop), Err(ConfigError::NoCipherSuite));
    assert_eq!(server.set_cipher_suites(&only_13).map(drop), Err(ConfigError::NoCipherSuite));
    assert_eq!(server.suites().len(), 9, "a refused change changes nothing");
    server.set_versions(&[V13]).unwrap().set_cipher_suites(&only_13).unwrap();
    assert_eq!(server.suites().len(), 1, "each once");
    assert_eq!(server.set_versions(&[V12]).map(drop), Err(ConfigError::NoCipherSuite));
}

#[test]
fn groups_that_leave_a_version_without_are_refused() {
    let mut client = client();
    assert_eq!(client.set_groups(&[]).map(drop), Err(ConfigError::NoGroup));
    assert_eq!(client.set_groups(&[NamedGroup(0x0100)]).map(drop), Err(ConfigError::NoGroup));
    assert_eq!(client.set_groups(&[HYBRID]).map(drop), Err(ConfigError::NoGroup), "nothing for DTLS 1.2");
    client.set_groups(&[NamedGroup::SECP384R1, NamedGroup::X25519, NamedGroup::SECP384R1]).unwrap();
    assert_eq!(client.named_groups(), [NamedGroup::SECP384R1, NamedGroup::X25519], "the order given, each once");
    client.set_versions(&[V13]).unwrap().set_groups(&[HYBRID]).unwrap();
    assert_eq!(client.groups().iter().map(|group| group_of(*group)).collect::<Vec<_>>(), [HYBRID]);
    assert_eq!(client.set_versions(&[V12]).map(drop), Err(ConfigError::NoGroup));
}

#[test]
fn a_post_quantum_must_is_not_quietly_dropped() {
    let mut client = client();
    client.set_key_shares(KeyShares::HybridFirst).unwrap();
    assert_eq!(client.set_versions(&[V12]).map(drop), Err(ConfigError::NoHybridGroup));
    let classical_first = [NamedGroup::X25519, HYBRID];
    assert_eq!(client.set_groups(&classical_first).map(drop), Err(ConfigError::NoHybridGroup));
    client.set_key_shares(KeyShares::Classical).unwrap().set_groups(&classical_first).unwrap();
    assert_eq!(client.set_key_shares(KeyShares::HybridFirst).map(drop), Err(ConfigError::NoHybridGroup));
    assert_eq!(client.key_shares(), KeyShares::Classical);
}

#[test]
fn providers_without_what_is_needed_are_refused() {
    let build = |provider: CryptoProvider| {
        ClientConfig::builder_with_provider(Arc::new(provider)).with_peer_fingerprints([fingerprint()]).map(drop)
    };
    let without = |change: fn(&mut CryptoProvider)| {
        let mut provider = default_provider();
        change(&mut provider);
        build(provider)
    };
    assert_eq!(without(|provider| provider.cipher_suites.clear()), Err(ConfigError::NoCipherSuite));
    assert_eq!(without(|provider| provider.kx_groups.clear()), Err(ConfigError::NoGroup));
    let deaf = without(|provider| {
        provider.signature_verification_algorithms =
            rustls::crypto::WebPkiSupportedAlgorithms { all: &[], mapping: &[] };
    });
    assert_eq!(deaf, Err(ConfigError::NoSignatureScheme));
    assert_eq!(without(|_| ()), Ok(()));
}

#[test]
fn schemes_are_those_that_verifier_and_provider_have() {
    let wanted = [
        RustlsScheme::ED25519,
        RustlsScheme::ECDSA_SHA1_Legacy,
        RustlsScheme::Unknown(0xfefe),
        RustlsScheme::RSA_PKCS1_SHA256,
        RustlsScheme::ED25519,
    ];
    let expected = [SignatureScheme::ED25519, SignatureScheme::RSA_PKCS1_SHA256];
    assert_eq!(schemes(&default_provider(), &wanted), expected);
    assert_eq!(with_schemes(&wanted, false).unwrap().signature_schemes(), expected);
    assert_eq!(with_schemes(&[], false).map(drop), Err(ConfigError::NoSignatureScheme));
    assert_eq!(with_schemes(&wanted[1..3], false).map(drop), Err(ConfigError::NoSignatureScheme));
}

#[test]
fn a3_raw_public_keys_are_refused() {
    assert_eq!(with_schemes(&[RustlsScheme::ED25519], true).map(drop), Err(ConfigError::RawPublicKey));
}

#[test]
fn nobody_to_trust_is_refused() {
    let no_roots = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    assert_eq!(no_roots.map(drop), Err(ConfigError::EmptyRootStore));
    assert_eq!(ClientConfig::builder().with_peer_fingerprints([]).map(drop), Err(ConfigError::NoFingerprint));
    assert_eq!(ServerConfig::builder().with_client_fingerprints([]).map(drop), Err(ConfigError::NoFingerprint));
}

#[test]
fn a_name_is_needed_where_it_is_verified() {
    let mut roots = RootCertStore::empty();
    roots.add(certificate().0.remove(0)).unwrap();
    let by_name = ClientConfig::builder().with_root_certificates(roots).unwrap().with_no_client_auth();
    assert_eq!(by_name.check_server_name(None), Err(ConfigError::ServerNameRequired));
    for name in ["server.example", "2001:db8::1"] {
        assert_eq!(by_name.check_server_name(Some(&ServerName::try_from(name).unwrap())), Ok(()));
    }
    assert_eq!(client().check_server_name(None), Ok(()));
}

#[test]
fn keys_of_every_kind_are_taken() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let (chain, key) = certificate_of(algorithm);
        let client = ClientConfig::builder().with_peer_fingerprints([fingerprint()]).unwrap();
        let client = client.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap();
        assert!(client.has_client_certificate());
        let schemes =
            [SignatureScheme::ECDSA_SECP256R1_SHA256, SignatureScheme::ED25519, SignatureScheme::RSA_PSS_RSAE_SHA256];
        for version in [V12, V13] {
            let credential = client.client_certificate(&[], &schemes, version).unwrap().unwrap();
            assert_eq!(credential.certified_key().cert, chain);
        }
        ServerConfig::builder().with_no_client_auth().unwrap().with_single_cert(chain, key).unwrap();
    }
}

#[test]
fn certificates_that_cannot_serve_are_refused() {
    let refuse = |chain: Chain, key: PrivateKeyDer<'static>| {
        let client = ClientConfig::builder().with_peer_fingerprints([fingerprint()]).unwrap();
        let by_client = client.with_client_auth_cert(chain.clone(), key.clone_key()).map(drop).unwrap_err();
        let server = ServerConfig::builder().with_no_client_auth().unwrap();
        let by_server = server.with_single_cert(chain, key).map(drop).unwrap_err();
        assert_eq!(by_client, by_server);
        by_client
    };
    let (chain, key) = certificate();
    let (other_chain, other_key) = certificate_of(&PKCS_RSA_SHA256);
    let (end_entity, empty) = (chain[0].clone(), CertificateDer::from(Vec::new()));
    assert_eq!(refuse(Vec::new(), key.clone_key()), ConfigError::EmptyCertificateChain);
    assert_eq!(refuse(vec![CertificateDer::from(vec![1, 2, 3])], key.clone_key()), ConfigError::BadCertificate);
    assert_eq!(refuse(vec![empty.clone()], key.clone_key()), ConfigError::BadCertificate);
    assert_eq!(refuse(vec![end_entity, empty], key.clone_key()), ConfigError::BadCertificate);
    let garbage = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(vec![1, 2, 3]));
    assert_eq!(refuse(chain.clone(), garbage), ConfigError::BadPrivateKey);
    assert_eq!(refuse(chain, other_key), ConfigError::KeyDoesNotFitCertificate);
    assert_eq!(refuse(other_chain, key), ConfigError::KeyDoesNotFitCertificate);
    let no_certificates = ServerConfig::builder().with_no_client_auth().unwrap().with_certs([]);
    assert_eq!(no_certificates.map(drop), Err(ConfigError::EmptyCertificateChain));
}

#[test]
fn application_protocols_have_names_that_fit() {
    let mut client = client();
    let mut set = |names: &[&[u8]]| {
        let names = names.iter().map(|name| name.to_vec()).collect();
        client.set_alpn_protocols(names).map(|client| client.alpn_protocols().len())
    };
    let longest = [b'x'; 255];
    assert_eq!(set(&[b"coap", &longest, b"coap"]), Ok(2), "each once");
    assert_eq!(set(&[b"coap", b""]), Err(ConfigError::BadAlpnProtocol));
    assert_eq!(set(&[&[b'x'; 256]]), Err(ConfigError::BadAlpnProtocol));
    let many: Vec<_> = (0..65_u8).map(|n| [n; 255]).collect();
    let many: Vec<_> = many.iter().map(|name| &name[..]).collect();
    assert_eq!(set(&many[..64]), Ok(64));
    assert_eq!(set(&many), Err(ConfigError::BadAlpnProtocol));
    assert_eq!(set(&[]), Ok(0), "none is fine");
}

#[test]
fn clients_verified_by_fingerprint_are_asked_for_a_certificate() {
    let (chain, key) = certificate();
    let builder = ServerConfig::builder().with_client_fingerprints([Fingerprint::of(&chain[0])]).unwrap();
    let server = builder.with_single_cert(chain.clone(), key).unwrap();
    assert_eq!(server.client_auth(), ClientAuth::Required);
    assert!(!server.signature_schemes().is_empty());
    assert!(server.verify_client(&chain).is_ok());
    let stranger = server.verify_client(&certificate().0).map(drop);
    assert_eq!(stranger, Err(crate::error::Error::FingerprintMismatch));
}

#[test]
fn a_verifier_that_asks_nothing_is_like_none() {
    // Its other methods panic.
    let (chain, key) = certificate();
    let builder = ServerConfig::builder().with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()).unwrap();
    let server = builder.with_single_cert(chain, key).unwrap();
    assert_eq!(server.client_auth(), ClientAuth::None);
    assert!(server.client_authorities().is_empty());
}

#[test]
fn transport_limits_are_checked_and_a_refused_change_changes_nothing() {
    let mut transport = TransportConfig::new();
    assert_eq!(transport.set_mtu(63).map(drop), Err(ConfigError::MtuTooSmall { floor: 64 }));
    assert_eq!(transport.mtu(), 1200);
    assert_eq!(transport.set_mtu(64).unwrap().mtu(), 64);
    assert_eq!(transport.set_mtu(usize::MAX).unwrap().mtu(), 65_535);
    let second = std::time::Duration::from_secs(1);
    assert_eq!(transport.set_timeouts(std::time::Duration::ZERO, second).map(drop), Err(ConfigError::BadTimeout));
    assert_eq!(transport.set_timeouts(second * 2, second).map(drop), Err(ConfigError::BadTimeout));
    assert_eq!((transport.initial_timeout(), transport.max_timeout()), (second, second * 60));
    let too_small = transport.set_max_handshake_message(4095).map(drop);
    assert_eq!(too_small, Err(ConfigError::LimitTooSmall { floor: 4096 }));
    assert_eq!(transport.set_max_handshake_message(4096).unwrap().max_handshake_message(), 4096);
}

/// A clock that does not answer.
#[derive(Debug)]
struct Stopped;

impl rustls::time_provider::TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        None
    }
}

#[test]
fn without_a_clock_no_certificate_is_valid() {
    let mut params = CertificateParams::new(["localhost".into()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(1970, 1, 1), rcgen::date_time_ymd(2000, 1, 1));
    let long_expired = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(1970, 1, 1), rcgen::date_time_ymd(9999, 12, 31));
    let everlasting = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    for certificate in [long_expired, everlasting] {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let mut client = ClientConfig::builder().with_root_certificates(roots).unwrap().with_no_client_auth();
        client.set_time_provider(Arc::new(Stopped));
        let name = ServerName::try_from("localhost").unwrap();
        let certificates = Arc::new([certificate.der().clone()]);
        let peer = PeerCredentials { certificates, ..PeerCredentials::default() };
        let refused = client.verify_server(&peer, Some(&name)).map(drop).unwrap_err();
        let crate::error::Error::Certificate(reason) = refused else { panic!("{refused:?}") };
        assert!(matches!(reason, rustls::CertificateError::ExpiredContext { .. }), "{reason:?}");
    }
}
