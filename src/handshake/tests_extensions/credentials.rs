//! Which of several certificates a server shows, or a client.

use super::*;
use crate::config::Credential;
use crate::error::PeerIncompatible;
use crate::wire::{CipherSuite, NamedGroup, SignatureScheme};
use rustls::DistinguishedName;
use rustls::server::WebPkiClientVerifier;
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

/// RFC 8422 §5.3, to the letter.
#[test]
fn a_certificate_may_be_for_those_alone_who_list_its_curve() {
    let ends = |version, groups: &[NamedGroup], p384: Credential| {
        let mut client = client_config(version);
        client.set_groups(groups).unwrap();
        shown(client, server(version, [p384]))
    };
    let without = [NamedGroup::X25519, NamedGroup::SECP256R1];
    let with = [NamedGroup::X25519, NamedGroup::SECP384R1];
    let strict = || credential(&PKI, Kind::P384).only_if_curve_is_listed();
    assert_eq!(ends(ProtocolVersion::DTLS1_2, &without, credential(&PKI, Kind::P384)), Ok(certificate(Kind::P384)));
    let refused = ends(ProtocolVersion::DTLS1_2, &without, strict());
    assert_eq!(refused, Err((Role::Server, PeerIncompatible::NoCertificateForPeer.into())));
    assert_eq!(ends(ProtocolVersion::DTLS1_2, &with, strict()), Ok(certificate(Kind::P384)));
    assert_eq!(ends(ProtocolVersion::DTLS1_3, &without, strict()), Ok(certificate(Kind::P384)));
}

/// RFC 8446 §4.2.3: in DTLS 1.3 the scheme says the curve, in 1.2 the hash alone (RFC 5246 §7.4.1.4.1).
#[test]
fn a_key_signs_by_the_scheme_of_its_curve_whatever_else_it_could() {
    let run = |version| {
        let schemes = [SignatureScheme::ECDSA_SECP256R1_SHA256];
        let builder = ServerConfig::builder().with_no_client_auth().unwrap();
        let mut server = builder.with_external_key(PKI.of(Kind::P384).0, &schemes).unwrap();
        server.set_versions(&[version]).unwrap();
        let mut pair = Pair::new(client_config(version), server);
        let ran = pair.run_with(|_, _| ());
        (ran, pair.ends[1].pending().is_some())
    };
    assert_eq!(run(ProtocolVersion::DTLS1_2), (Ok(()), true));
    let refused = Err((Role::Server, PeerIncompatible::NoCertificateForPeer.into()));
    assert_eq!(run(ProtocolVersion::DTLS1_3), (refused, false));
}

/// A client with these, and a server that asks for one of [`PKI`] and goes on without.
fn asked(
    version: ProtocolVersion,
    credentials: impl IntoIterator<Item = Credential>,
    change: impl FnOnce(&mut ClientConfig),
) -> Pair {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(PKI.roots(), provider);
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let (chain, key) = PKI.of(Kind::P256);
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier).unwrap();
    let mut server = builder.with_single_cert(chain, key).unwrap();
    server.set_versions(&[version]).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(PKI.roots()).unwrap();
    let mut client = builder.with_credentials(credentials).unwrap();
    client.set_versions(&[version]).unwrap();
    change(&mut client);
    Pair::new(client, server)
}

/// What the server saw, or how it ended.
fn shown_to_server(mut pair: Pair) -> Result<Option<Vec<u8>>, (Role, Error)> {
    pair.run_with(|_, _| ())?;
    Ok(pair.negotiated(Role::Server).peer_certificates().first().map(|der| der.to_vec()))
}

#[test]
fn a_client_shows_the_first_that_fits() {
    for version in VERSIONS {
        let show = |credentials: Vec<Credential>| shown_to_server(asked(version, credentials, |_| ()));
        let pki = |kind| credential(&PKI, kind);
        let strangers = |kind| credential(&super::super::testing::STRANGERS, kind);
        assert_eq!(show(vec![pki(Kind::P384), pki(Kind::Rsa)]), Ok(Some(certificate(Kind::P384))));
        let deaf = pki(Kind::P384).with_signature_schemes(&[SignatureScheme::ED25519]);
        assert_eq!(show(vec![deaf, pki(Kind::Rsa)]), Ok(Some(certificate(Kind::Rsa))));
        // The server names the authority that it trusts.
        assert_eq!(show(vec![strangers(Kind::P384), pki(Kind::Rsa)]), Ok(Some(certificate(Kind::Rsa))));
        let shy = strangers(Kind::P384).only_if_issuer_is_named();
        assert_eq!(show(vec![shy.clone()]), Ok(None));
        assert_eq!(show(vec![shy, pki(Kind::Rsa).only_if_issuer_is_named()]), Ok(Some(certificate(Kind::Rsa))));
    }
}

#[test]
fn a_client_signs_by_the_schemes_it_is_to_sign_by() {
    for version in VERSIONS {
        for scheme in [SignatureScheme::RSA_PSS_RSAE_SHA512, SignatureScheme::RSA_PSS_RSAE_SHA256] {
            let rsa = credential(&PKI, Kind::Rsa).with_signature_schemes(&[scheme]);
            let mut pair = asked(version, [rsa], |_| ());
            pair.run();
            let signed = &pair.message(Role::Client, HandshakeType::CERTIFICATE_VERIFY).unwrap().body;
            assert_eq!(signed[..2], scheme.0.to_be_bytes());
        }
    }
}

#[test]
fn a_client_may_insist_on_a_certificate() {
    for version in VERSIONS {
        let shy = || [credential(&super::super::testing::STRANGERS, Kind::P384).only_if_issuer_is_named()];
        let insist = |client: &mut ClientConfig| {
            client.give_up_without_certificate();
        };
        assert_eq!(shown_to_server(asked(version, shy(), |_| ())), Ok(None));
        let insisting = shown_to_server(asked(version, shy(), insist));
        assert_eq!(insisting, Err((Role::Client, PeerIncompatible::NoCertificateForPeer.into())));
        let fitting = shown_to_server(asked(version, [credential(&PKI, Kind::Rsa)], insist));
        assert_eq!(fitting, Ok(Some(certificate(Kind::Rsa))));
    }
    let builder = ClientConfig::builder().with_root_certificates(PKI.roots()).unwrap();
    assert!(builder.with_credentials([]).is_err());
}
