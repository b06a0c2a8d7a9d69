//! use_srtp (RFC 5764 §4.1).

use super::*;
use crate::wire::SrtpProfile;

const ALL: [SrtpProfile; 4] = [
    SrtpProfile::SRTP_AEAD_AES_256_GCM,
    SrtpProfile::SRTP_AEAD_AES_128_GCM,
    SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_80,
    SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_32,
];

fn pair(version: ProtocolVersion, client: &[SrtpProfile], server: &[SrtpProfile]) -> Pair {
    let (mut ours, mut theirs) = (client_config(version), server_config(version));
    ours.set_srtp_profiles(client).unwrap();
    theirs.set_srtp_profiles(server).unwrap();
    Pair::new(ours, theirs)
}

#[test]
fn the_servers_first_profile_that_the_client_offers() {
    let [a, b, c, d] = ALL;
    for version in VERSIONS {
        for (client, server, expected) in [
            (&[d, a, b][..], &[c, b, a][..], Some(b)),
            (&[c], &[c, d], Some(c)),
            (&[c], &[d], None),
            (&[], &[a], None),
            (&[a], &[], None),
        ] {
            let mut pair = pair(version, client, server);
            pair.run();
            for role in [Role::Client, Role::Server] {
                assert_eq!(pair.negotiated(role).srtp_profile(), expected, "{version:?}");
            }
            let answer = pair.extension(Role::Server, answers(version), ExtensionType::USE_SRTP);
            assert_eq!(answer.is_some(), expected.is_some());
        }
    }
}

/// RFC 5764 §4.2: key of the client, key of the server, salts; alike at both ends, and what the exporter gives.
#[test]
fn keys_and_salts() {
    for version in VERSIONS {
        for (profile, key, salt) in
            ALL.into_iter().zip([(32, 12), (16, 12), (16, 14), (16, 14)]).map(|(p, (k, s))| (p, k, s))
        {
            let mut pair = pair(version, &ALL, &[profile]);
            pair.run();
            let [ours, theirs] = [0, 1].map(|end| pair.ends[end].srtp_keying_material(profile).unwrap());
            assert_eq!(ours.as_bytes(), theirs.as_bytes());
            let mut exported = vec![0; 2 * (key + salt)];
            pair.ends[0].export(b"EXTRACTOR-dtls_srtp", None, &mut exported).unwrap();
            assert_eq!(ours.as_bytes(), exported);
            let parts = [ours.client_key(), ours.server_key(), ours.client_salt(), ours.server_salt()];
            assert_eq!(parts.map(<[u8]>::len), [key, key, salt, salt]);
            assert_eq!(parts.concat(), exported);
            assert_eq!(format!("{ours:?}"), format!("SrtpKeyingMaterial {{ profile: {profile:?}, .. }}"));
        }
    }
}

#[test]
fn an_mki_is_not_made_use_of() {
    for version in VERSIONS {
        // The hash of the transcript breaks, as late as the server's answer has been made.
        let mut pair = pair(version, &[ALL[2]], &[ALL[2]]);
        let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
        let _ = with_extension(&mut pair, offer, ExtensionType::USE_SRTP, Some(&[0, 2, 0, 1, 2, 7, 7]));
        let answer = pair.extension(Role::Server, answers(version), ExtensionType::USE_SRTP);
        assert_eq!(answer.as_deref(), Some(&[0, 2, 0, 1, 0][..]));
    }
}

#[test]
fn answers_that_are_none() {
    let failed = |error: Error| Err((Role::Client, error));
    for version in VERSIONS {
        let answer = |data: &[u8]| {
            let mut pair = pair(version, &ALL[2..], &[ALL[2]]);
            with_extension(&mut pair, (Role::Server, answers(version)), ExtensionType::USE_SRTP, Some(data))
        };
        // Not offered, more than one, with an MKI: illegal_parameter; none at all: decode_error.
        for data in [&[0, 2, 0, 7, 0][..], &[0, 4, 0, 1, 0, 2, 0]] {
            assert_eq!(answer(data), failed(PeerMisbehaved::BadSrtpProfile.into()));
            assert_eq!(alert(&answer(data)), Some(AlertDescription::ILLEGAL_PARAMETER));
        }
        let mki = answer(&[0, 2, 0, 1, 1, 9]);
        assert_eq!(mki, failed(PeerMisbehaved::UnexpectedMki.into()));
        assert_eq!(alert(&mki), Some(AlertDescription::ILLEGAL_PARAMETER));
        assert_eq!(answer(&[0, 0, 0]), failed(Malformed::BadLength.into()));
        assert_eq!(answer(&[0, 2, 0, 1]), failed(Malformed::Truncated.into()));
        assert_eq!(answer(&[0, 2, 0, 1, 0, 0]), failed(Malformed::TrailingData.into()));
        let mut unasked = pair(version, &[], &[ALL[2]]);
        let answer = (Role::Server, answers(version));
        let unasked = with_extension(&mut unasked, answer, ExtensionType::USE_SRTP, Some(&[0, 2, 0, 1, 0]));
        assert_eq!(unasked, failed(PeerMisbehaved::UnsolicitedExtension.into()));
        assert_eq!(alert(&unasked), Some(AlertDescription::UNSUPPORTED_EXTENSION));
    }
}

#[test]
fn offers_that_are_none() {
    for version in VERSIONS {
        for data in [&[][..], &[0, 0, 0], &[0, 1, 0, 0], &[0, 2, 0, 1], &[0, 2, 0, 1, 0, 0]] {
            let mut pair = pair(version, &[ALL[2]], &[ALL[2]]);
            let offer = (Role::Client, HandshakeType::CLIENT_HELLO);
            let result = with_extension(&mut pair, offer, ExtensionType::USE_SRTP, Some(data));
            assert_eq!(alert(&result), Some(AlertDescription::DECODE_ERROR), "{data:?}");
        }
    }
}
