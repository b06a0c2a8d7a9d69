//! Key exchange and the seam, with the default provider.

use super::*;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

#[test]
fn both_ends_of_every_group_agree() {
    for group in [
        kx_group::X25519,
        kx_group::SECP256R1,
        kx_group::SECP384R1,
        kx_group::X25519MLKEM768,
        kx_group::SECP256R1MLKEM768,
    ] {
        let client = KeyExchange::start(group).unwrap();
        assert_eq!(client.group(), group_of(group));
        let server = start_and_complete(group, client.public_key()).unwrap();
        let secret = client.complete(group_of(group), Role::Server, &server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
    }
}

#[test]
fn half_of_a_hybrid_serves_as_a_share_of_its_own() {
    let client = KeyExchange::start(kx_group::X25519MLKEM768).unwrap();
    let (group, share) = client.hybrid_component().unwrap();
    assert_eq!(group, NamedGroup::X25519);
    let server = start_and_complete(kx_group::X25519, share).unwrap();
    let secret = client.complete(NamedGroup::X25519, Role::Server, &server.pub_key).unwrap();
    assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
}

#[test]
fn a_share_of_another_group_is_refused() {
    let client = KeyExchange::start(kx_group::X25519).unwrap();
    let other = KeyExchange::start(kx_group::SECP256R1).unwrap();
    assert_eq!(
        client.complete(NamedGroup::SECP256R1, Role::Server, other.public_key()).err(),
        Some(PeerMisbehaved::KeyShareGroupMismatch.into())
    );
}

#[test]
fn malformed_shares_are_the_peers_fault() {
    let bad = Some(Error::from(PeerMisbehaved::BadKeyShare));
    for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768] {
        let name = group_of(group);
        let good = KeyExchange::start(group).unwrap().public_key().to_vec();
        assert!(start_and_complete(group, &good).is_ok());
        for share in [&good[..good.len() - 1], &[&good[..], &[0]].concat(), &[]] {
            assert_eq!(start_and_complete(group, share).err(), bad, "{name}");
            assert_eq!(KeyExchange::start(group).unwrap().complete(name, Role::Server, share).err(), bad, "{name}");
        }
    }
}

#[test]
fn a_point_off_its_curve_or_compressed_is_refused() {
    let bad = Some(Error::from(PeerMisbehaved::BadKeyShare));
    let mut share = KeyExchange::start(kx_group::SECP256R1).unwrap().public_key().to_vec();
    share[64] ^= 1;
    assert_eq!(start_and_complete(kx_group::SECP256R1, &share).err(), bad);
    share[64] ^= 1;
    share[0] = 2;
    assert_eq!(start_and_complete(kx_group::SECP256R1, &share).err(), bad);
    assert_eq!(start_and_complete(kx_group::SECP256R1, &share[..33]).err(), bad);
}

/// RFC 8446 §4.2.8.2: whatever the provider makes of it, only the uncompressed form is admitted.
#[test]
fn only_uncompressed_points_have_the_right_form() {
    for (group, len) in [
        (NamedGroup::SECP256R1, 65),
        (NamedGroup::SECP384R1, 97),
        (NamedGroup::SECP521R1, 133),
        (NamedGroup::SECP256R1MLKEM768, 1249),
    ] {
        let mut share = vec![0; len];
        for form in 0..=u8::MAX {
            share[0] = form;
            assert_eq!(check_share(group, Role::Client, &share).is_ok(), form == 4, "{group} {form}");
        }
    }
}

/// RFC 8446 §7.4.2: the all-zero output must be refused.
#[test]
fn x25519_points_of_small_order_are_refused() {
    let bad = Some(Error::from(PeerMisbehaved::BadKeyShare));
    assert_eq!(start_and_complete(kx_group::X25519, &[0; 32]).err(), bad);
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(start_and_complete(kx_group::X25519, &one).err(), bad);
}

/// RFC 8446 §4.2.8: a hybrid's shares differ in length by direction.
#[test]
fn hybrid_share_lengths_depend_on_the_sender() {
    let group = NamedGroup::X25519MLKEM768;
    assert!(check_share(group, Role::Client, &[0; 1216]).is_ok());
    assert!(check_share(group, Role::Server, &[0; 1120]).is_ok());
    assert!(check_share(group, Role::Client, &[0; 1120]).is_err());
    assert!(check_share(group, Role::Server, &[0; 1216]).is_err());
}

#[test]
fn random_octets_differ_and_groups_are_found() {
    let provider = default_provider();
    assert_ne!(random::<32>(&provider).unwrap(), random::<32>(&provider).unwrap());
    assert_eq!(find_group(&provider, NamedGroup::X25519).map(group_of), Some(NamedGroup::X25519));
    assert!(find_group(&provider, NamedGroup(0x0a0a)).is_none());
}

#[test]
fn registries_are_the_same_on_both_sides() {
    assert_eq!(NamedGroup::from(rustls::NamedGroup::X25519MLKEM768), NamedGroup::X25519MLKEM768);
    assert_eq!(rustls::SignatureScheme::from(SignatureScheme::ED25519), rustls::SignatureScheme::ED25519);
    assert_eq!(CipherSuite::from(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256), CipherSuite::TLS_AES_128_GCM_SHA256);
}
