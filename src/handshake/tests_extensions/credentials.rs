//! Which of several certificates a server shows.

use super::*;
use crate::config::Credential;
use crate::wire::{CipherSuite, NamedGroup, SignatureScheme};
use rustls::DistinguishedName;
use rustls::sign::CertifiedKey;

fn credential(pki: &'static super::super::testing::Pki, kind: Kind) -> Credential {
    let (chain, key) = pki.of(kind);
    Credential::new(CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).unwrap())
}

fn server(version: ProtocolVersion, credentials: impl IntoIterator<Item = Credential>) -> ServerConfig {
    let mut server = ServerConfig::builder().with_no_client_auth().unwrap().with_credentials(credentials).unwrap();
    server.set_versions(&[version]).unwrap();
    server
}

/// What the client saw, or how it ended.
fn shown(client: ClientConfig, server: ServerConfig) -> Result<Vec<u8>, (Role, Error)> {
    let mut pair = Pair::new(client, server);
    pair.run_with(|_, _| ())?;
    Ok(pair.negotiated(Role::Client).peer_certificates()[0].to_vec())
}

fn certificate(kind: Kind) -> Vec<u8> {
    PKI.of(kind).0[0].to_vec()
}

fn authority() -> DistinguishedName {
    let read = webpki::EndEntityCert::try_from(&PKI.of(Kind::P256).0[0]).unwrap().issuer().to_vec();
    DistinguishedName::in_sequence(&read)
}

#[test]
fn one_whose_issuer_the_client_names_comes_first() {
    let named = || {
        let mut client = client_config(ProtocolVersion::DTLS1_3);
        client.set_certificate_authorities(vec![DistinguishedName::in_sequence(b"unknown"), authority()]).unwrap();
        client
    };
    let both = || {
        let strangers = &super::super::testing::STRANGERS;
        server(ProtocolVersion::DTLS1_3, [credential(strangers, Kind::P384), credential(&PKI, Kind::P256)])
    };
    assert_eq!(shown(named(), both()), Ok(certificate(Kind::P256)));
    // One that does not say gets the first, which it does not trust.
    let unnamed = shown(client_config(ProtocolVersion::DTLS1_3), both());
    assert_eq!(alert(&unnamed.map(drop)), Some(AlertDescription::UNKNOWN_CA));
    // "only if": it is no certificate for others.
    let shy = || server(ProtocolVersion::DTLS1_3, [credential(&PKI, Kind::P256).only_if_issuer_is_named()]);
    assert_eq!(shown(named(), shy()), Ok(certificate(Kind::P256)));
    let refused = shown(client_config(ProtocolVersion::DTLS1_3), shy()).map(drop);
    assert_eq!(alert(&refused), Some(AlertDescription::HANDSHAKE_FAILURE));
}

#[test]
fn authorities_are_never_empty_and_not_too_many() {
    let mut client = client_config(ProtocolVersion::DTLS1_3);
    let many: Vec<_> = (0..2000).map(|_| authority()).collect();
    assert!(client.set_certificate_authorities(many).is_err());
    assert!(client.set_certificate_authorities(vec![]).is_ok());
}

/// RFC 8422 §5.3: in DTLS 1.2 the curve of an ECDSA certificate is one that the client has.
#[test]
fn the_client_knows_the_curve_of_the_certificate() {
    for (version, expected) in [(ProtocolVersion::DTLS1_2, Kind::Rsa), (ProtocolVersion::DTLS1_3, Kind::P384)] {
        let mut client = client_config(version);
        client.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
        let server = server(version, [credential(&PKI, Kind::P384), credential(&PKI, Kind::Rsa)]);
        assert_eq!(shown(client, server), Ok(certificate(expected)), "{version:?}");
    }
}

#[test]
fn keys_sign_by_the_schemes_they_are_to_sign_by() {
    for version in VERSIONS {
        for scheme in [SignatureScheme::RSA_PSS_RSAE_SHA512, SignatureScheme::RSA_PSS_RSAE_SHA256] {
            let rsa = credential(&PKI, Kind::Rsa).with_signature_schemes(&[SignatureScheme::ED25519, scheme]);
            let mut pair = Pair::new(client_config(version), server(version, [rsa]));
            pair.run();
            assert_eq!(pair.negotiated(Role::Client).signature_scheme(), scheme);
        }
        let none = credential(&PKI, Kind::Rsa).with_signature_schemes(&[SignatureScheme::ED25519]);
        let next = server(version, [none, credential(&PKI, Kind::Ed25519)]);
        assert_eq!(shown(client_config(version), next), Ok(certificate(Kind::Ed25519)));
    }
}

#[test]
fn the_suites_decide_too() {
    let mut client = client_config(ProtocolVersion::DTLS1_2);
    client.set_cipher_suites(&[CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]).unwrap();
    let server = server(ProtocolVersion::DTLS1_2, [credential(&PKI, Kind::P256), credential(&PKI, Kind::Rsa)]);
    assert_eq!(shown(client, server), Ok(certificate(Kind::Rsa)));
}

#[test]
fn credentials_that_are_none() {
    let builder = || ServerConfig::builder().with_no_client_auth().unwrap();
    assert!(builder().with_credentials([]).is_err());
    assert!(credential(&PKI, Kind::P256).with_timestamps([b""]).is_err());
    assert!(credential(&PKI, Kind::P256).with_timestamps([vec![0; 40_000]]).is_err());
    assert!(credential(&PKI, Kind::P256).with_timestamps([vec![0; 20_000], vec![0; 20_000]]).is_err());
}
