//! Published and derived vectors through this floor, and how the tests of all floors read `vectors/`.

use super::hkdf::{LabelPrefix, RecordKeys, expand_label, expander, record_keys};
use super::suites::{AeadAlgorithm, Suite, Suite12, Suite13};
use super::{KeyExchange, Role, aead::AeadKey, mask::MaskKey, prf, secret::Secret, start_and_complete};
use crate::wire::{CipherSuite, NamedGroup};
use aws_lc_rs::kem::{DecapsulationKey, EncapsulationKey, ML_KEM_768};
use rustls::crypto::{aws_lc_rs::kx_group, tls13::OkmBlock};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Reads `vectors/<path>`.
pub(crate) fn load(path: &str) -> Value {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(path))
}

/// Reads a file of the larger collection that may not be copied here; `None` unless `UDTLS_EXTRA_VECTORS` names its
/// folder.
pub(crate) fn load_extra(path: &str) -> Option<Value> {
    std::env::var_os("UDTLS_EXTRA_VECTORS").map(|folder| read(&PathBuf::from(folder).join(path)))
}

/// Every capture of a foreign implementation in `vectors/`, for [`load`].
pub(crate) fn captures() -> Vec<String> {
    let mut captures = Vec::new();
    for folder in ["openssl", "pion"] {
        let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        captures.extend(names.filter(|name| name.ends_with(".json")).map(|name| format!("{folder}/{name}")));
    }
    captures.sort();
    captures
}

/// Every capture of the larger collection that others have published: its name, and what it holds.
pub(crate) fn published_captures() -> Vec<(String, Value)> {
    let names = collected("published-").into_iter();
    names.map(|name| (name.clone(), load_extra(&format!("{DECODED}/{name}")).unwrap())).collect()
}

/// Where the larger collection keeps its captures.
const DECODED: &str = "captures/decoded";

/// The captures of the larger collection whose names begin so.
fn collected(prefix: &str) -> Vec<String> {
    let Some(folder) = std::env::var_os("UDTLS_EXTRA_VECTORS") else { return Vec::new() };
    let entries = std::fs::read_dir(PathBuf::from(folder).join(DECODED)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Captures of the larger collection that were made for this project and are not in `vectors/`, by what their names have in
/// common, and why. What others have published may not be copied; it is replayed from where it is.
const LEFT_OUT: [(&str, &str); 5] = [
    ("-cbc-", "CBC will never be implemented"),
    ("ecdsa-ccm", "CCM is not implemented"),
    ("-psk-", "external PSKs are not implemented"),
    ("-cid-", "connection IDs are not implemented"),
    ("-cid.", "connection IDs are not implemented"),
];

/// Everything that was captured for this project is replayed here, or it is said why not.
#[test]
fn every_capture_is_replayed_or_left_out_for_a_reason() {
    let ours = captures();
    assert_eq!(ours.len(), 19);
    let all = collected("own-");
    let mut left_out = 0;
    for name in &all {
        let here = name.replacen("own-", "", 1).replacen('-', "/", 1);
        let reason = LEFT_OUT.iter().find(|(part, _)| name.contains(part));
        assert_ne!(ours.contains(&here), reason.is_some(), "{name}");
        left_out += usize::from(reason.is_some());
    }
    assert!(all.is_empty() || left_out == 15, "{left_out}");
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The octets of a hexadecimal string.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a string")).expect("hexadecimal")
}

/// The entries of a list, which must not be empty.
pub(crate) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().expect("a list");
    assert!(!list.is_empty());
    list
}

/// The default provider's suite of that name.
pub(crate) fn suite_named(name: &str) -> Option<Suite> {
    Suite::named(name)
}

/// Any suite of DTLS 1.3 with that hash.
pub(crate) fn suite13(hash: &str) -> Option<Suite13> {
    let id = match hash {
        "sha256" => CipherSuite::TLS_AES_128_GCM_SHA256,
        "sha384" => CipherSuite::TLS_AES_256_GCM_SHA384,
        _ => return None,
    };
    suite_named(&id.to_string())?.as_13()
}

/// Any suite of DTLS 1.2 with that PRF.
pub(crate) fn suite12(hash: &str) -> Option<Suite12> {
    let id = match hash {
        "sha256" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "sha384" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        _ => return None,
    };
    suite_named(&id.to_string())?.as_12()
}

#[test]
fn hkdf_of_rfc5869() {
    let mut run = 0;
    for case in list(&load("rfc5869/hkdf.json")["cases"]) {
        let Some(suite) = suite13(case["hash"].as_str().unwrap()) else { continue };
        let expander = suite.hkdf().extract_from_secret(Some(&hex(&case["salt"])), &hex(&case["ikm"]));
        let mut okm = vec![0; usize::try_from(case["l"].as_u64().unwrap()).unwrap()];
        expander.expand_slice(&[&hex(&case["info"])], &mut okm).unwrap();
        assert_eq!(okm, hex(&case["okm"]), "case {}", case["id"]);
        run += 1;
    }
    assert_eq!(run, 3, "A.1 to A.3; the others are SHA-1");
}

#[test]
fn hmac_of_rfc4231() {
    let mut run = 0;
    for case in list(&load("rfc4231/hmac.json")["cases"]) {
        let key = hex(&case["key"]);
        if key.len() > OkmBlock::MAX_LEN {
            continue;
        }
        for hash in ["sha256", "sha384"] {
            let tag = suite13(hash).unwrap().hkdf().hmac_sign(&OkmBlock::new(&key), &hex(&case["data"]));
            let expected = hex(&case[format!("hmac_{hash}")]);
            // Case 5 is truncated.
            assert_eq!(&tag.as_ref()[..expected.len()], expected, "case {}", case["id"]);
            run += 1;
        }
    }
    assert_eq!(run, 10);
}

#[test]
fn prf_of_the_working_groups_list() {
    let mut run = 0;
    for case in list(&load("tls12-prf/prf.json")["cases"]) {
        let Some(suite) = suite12(case["hash"].as_str().unwrap()) else { continue };
        let expected = hex(&case["output"]);
        let mut out = vec![0; expected.len()];
        let label = case["label"].as_str().unwrap().as_bytes();
        prf::expand(suite.prf(), &hex(&case["secret"]), label, &hex(&case["seed"]), &mut out).unwrap();
        assert_eq!(out, expected);
        run += 1;
    }
    assert_eq!(run, 2, "no suite uses SHA-512");
}

/// RFC 5246 §5: only label and seed together count, so that an empty label is as good as any.
#[test]
fn prf_takes_an_empty_label() {
    let prf = suite12("sha384").unwrap().prf();
    let expand = |label: &[u8], seed: &[u8]| {
        let mut out = [0; 100];
        prf::expand(prf, b"secret", label, seed, &mut out).map(|()| out).unwrap()
    };
    assert_eq!(expand(b"", b"seed"), expand(b"se", b"ed"));
    assert_ne!(expand(b"", b"seed"), expand(b"", b"eed"));
}

#[test]
fn prf_survives_what_its_provider_would_panic_on() {
    let prf = suite12("sha256").unwrap().prf();
    assert!(prf::expand(prf, b"", b"label", b"seed", &mut [0; 8]).is_err());
    assert!(prf::expand(prf, b"secret", b"", b"s", &mut [0; 8]).is_err());
    assert!(prf::expand(prf, b"secret", b"", b"", &mut [0; 8]).is_err());
    assert!(prf::expand(prf, b"secret", b"label", b"", &mut [0; 8]).is_err());
    assert!(prf::expand(prf, b"secret", b"label", b"seed", &mut []).is_ok());
}

#[test]
fn expand_label_of_rfc9001() {
    let vectors = load("rfc9001/header_protection.json");
    let vectors = &vectors["expand_label"];
    let suite = suite13("sha256").unwrap();
    let expander = expander(suite.hkdf(), &Secret::new(&hex(&vectors["secret"])).unwrap());
    for (label, expected) in vectors["labels"].as_object().unwrap() {
        let expected = hex(expected);
        let mut out = vec![0; expected.len()];
        expand_label(&*expander, LabelPrefix::Tls, label.as_bytes(), &[], &mut out).unwrap();
        assert_eq!(out, expected, "{label}");
        expand_label(&*expander, LabelPrefix::Dtls, label.as_bytes(), &[], &mut out).unwrap();
        assert_ne!(out, expected, "the prefix must matter");
    }
}

/// RFC 8448: key and IV out of every traffic secret of the traces.
#[test]
fn traffic_keys_of_rfc8448() {
    let mut run = 0;
    for trace in list(&load("rfc8448/traces.json")["traces"]) {
        for step in list(&trace["steps"]) {
            let field = |name: &str| {
                let fields = step["fields"].as_array().unwrap();
                fields.iter().find(|field| field["name"] == name).map(|field| hex(&field["hex"]))
            };
            let (Some(key), Some(iv)) = (field("key expanded"), field("iv expanded")) else { continue };
            let suite = suite13("sha256").unwrap();
            let expander = expander(suite.hkdf(), &Secret::new(&field("PRK").unwrap()).unwrap());
            let (mut our_key, mut our_iv) = ([0; 16], [0; 12]);
            expand_label(&*expander, LabelPrefix::Tls, b"key", &[], &mut our_key).unwrap();
            expand_label(&*expander, LabelPrefix::Tls, b"iv", &[], &mut our_iv).unwrap();
            assert_eq!((&our_key[..], &our_iv[..]), (&key[..], &iv[..]), "{}", step["text"]);
            run += 1;
        }
    }
    assert!(run >= 20, "{run}");
}

/// OpenSSL's test vectors, each step of a key schedule by itself; not part of this repository.
#[test]
fn expand_label_of_openssl() {
    let Some(vectors) = load_extra("kdf/tls13_kdf_steps_openssl.json") else { return };
    let mut run = 0;
    for case in list(&vectors["cases"]).iter().filter(|case| case["op"] == "expand_label") {
        let suite = suite13(case["hash"].as_str().unwrap()).unwrap();
        let expander = expander(suite.hkdf(), &Secret::new(&hex(&case["secret"])).unwrap());
        let (label, expected) = (case["label"].as_str().unwrap(), hex(&case["output"]));
        assert_eq!(case["prefix"], "tls13 ");
        let mut out = vec![0; expected.len()];
        expand_label(&*expander, LabelPrefix::Tls, label.as_bytes(), &hex(&case["context"]), &mut out).unwrap();
        assert_eq!(out, expected, "{label}");
        run += 1;
    }
    assert_eq!(run, 409);
}

#[test]
fn expand_label_refuses_what_hkdf_label_cannot_hold() {
    let suite = suite13("sha256").unwrap();
    let expander = expander(suite.hkdf(), &Secret::new(&[7; 32]).unwrap());
    let expand = |label: usize, context: usize, out: usize| {
        let (label, context, mut out) = (vec![b'x'; label], vec![0; context], vec![0; out]);
        expand_label(&*expander, LabelPrefix::Dtls, &label, &context, &mut out)
    };
    assert!(expand(super::hkdf::MAX_LABEL_LEN, 255, 255 * 32).is_ok());
    assert!(expand(super::hkdf::MAX_LABEL_LEN + 1, 0, 32).is_err());
    assert!(expand(1, 256, 32).is_err());
    assert!(expand(1, 0, 255 * 32 + 1).is_err());
    assert!(expand(1, 0, 1 << 16).is_err());
}

#[test]
fn aead_of_rfc8439() {
    for case in list(&load("rfc8439/chacha20.json")["aead"]) {
        let key = AeadKey::new(AeadAlgorithm::ChaCha20Poly1305, &hex(&case["key"])).unwrap();
        let nonce: [u8; 12] = hex(&case["nonce"]).try_into().unwrap();
        let (aad, plaintext) = (hex(&case["aad"]), hex(&case["plaintext"]));
        let mut octets = plaintext.clone();
        let mut tag = [0; 16];
        key.seal(nonce, &aad, &mut octets, &mut tag).unwrap();
        assert_eq!(octets, hex(&case["ciphertext"]));
        assert_eq!(tag.to_vec(), hex(&case["tag"]));
        octets.extend_from_slice(&tag);
        assert_eq!(key.open(nonce, &aad, &mut octets), Some(plaintext.len()));
        assert_eq!(&octets[..plaintext.len()], plaintext);
    }
}

#[test]
fn whatever_is_changed_does_not_open() {
    for algorithm in [AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm, AeadAlgorithm::ChaCha20Poly1305] {
        let key = AeadKey::new(algorithm, &vec![9; algorithm.key_len()]).unwrap();
        let mut sealed = *b"plaintext\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let mut tag = [0; 16];
        key.seal([1; 12], b"header", &mut sealed[..9], &mut tag).unwrap();
        sealed[9..].copy_from_slice(&tag);
        assert_eq!(key.open([1; 12], b"header", &mut sealed.clone()), Some(9));
        for i in 0..sealed.len() {
            let mut changed = sealed;
            changed[i] ^= 1;
            assert_eq!(key.open([1; 12], b"header", &mut changed), None, "{algorithm:?} octet {i}");
        }
        assert_eq!(key.open([2; 12], b"header", &mut sealed.clone()), None);
        assert_eq!(key.open([1; 12], b"Header", &mut sealed.clone()), None);
        assert_eq!(key.open([1; 12], b"header", &mut sealed[..15]), None, "shorter than a tag");
        assert_eq!(key.open([1; 12], b"", &mut []), None);
        assert!(AeadKey::new(algorithm, &vec![9; algorithm.key_len() + 1]).is_err());
        assert!(MaskKey::new(algorithm, &vec![9; algorithm.key_len() - 1]).is_err());
    }
}

#[test]
fn masks_of_rfc9001_and_rfc8439() {
    for case in list(&load("rfc9001/header_protection.json")["masks"]) {
        let algorithm = match case["algorithm"].as_str().unwrap() {
            "AES-128-ECB" => AeadAlgorithm::Aes128Gcm,
            "ChaCha20" => AeadAlgorithm::ChaCha20Poly1305,
            other => panic!("{other}"),
        };
        let key = MaskKey::new(algorithm, &hex(&case["hp_key"])).unwrap();
        let sample = hex(&case["sample"]);
        assert_eq!(key.mask(&sample).unwrap(), hex(&case["mask"])[..2], "{}", case["id"]);
        assert_eq!(key.mask(&[&sample[..], &[1]].concat()), key.mask(&sample), "only 16 octets count");
        assert_eq!(key.mask(&sample[..15]), None);
    }
    // RFC 9147 §4.2.3: the sample is the block counter, little-endian, and the nonce.
    for case in list(&load("rfc8439/chacha20.json")["block_function"]) {
        let key = MaskKey::new(AeadAlgorithm::ChaCha20Poly1305, &hex(&case["key"])).unwrap();
        let counter = u32::try_from(case["counter"].as_u64().unwrap()).unwrap();
        let sample = [&counter.to_le_bytes()[..], &hex(&case["nonce"])].concat();
        assert_eq!(key.mask(&sample).unwrap(), hex(&case["keystream"])[..2], "{}", case["id"]);
    }
}

/// Keys, masks and the ciphertext itself of whole records; the record layer adds headers and numbers to this.
#[test]
fn derived_dtls13_records() {
    let mut suites = 0;
    for vectors in list(&load("derived/dtls13_records.json")["suites"]) {
        let Some(suite) = suite_named(vectors["cipher_suite"].as_str().unwrap()).and_then(Suite::as_13) else {
            continue;
        };
        let keys =
            record_keys(suite.hkdf(), suite.aead, &Secret::new(&hex(&vectors["traffic_secret"])).unwrap()).unwrap();
        assert_eq!(keys.key.as_ref(), hex(&vectors["key"]));
        assert_eq!(keys.iv.to_vec(), hex(&vectors["iv"]));
        assert_eq!(keys.sn_key.as_ref(), hex(&vectors["sn_key"]));
        for record in list(&vectors["records"]) {
            assert_eq!(open_record13(&suite, &keys, record), hex(&record["inner_plaintext"]));
        }
        suites += 1;
    }
    assert_eq!(suites, 3);
}

/// Opens a decoded DTLS 1.3 record, and checks its mask; the plaintext with content type and padding.
pub(crate) fn open_record13(suite: &Suite13, keys: &RecordKeys, record: &Value) -> Vec<u8> {
    let raw = hex(record.get("record").unwrap_or(&record["raw"]));
    let (header, nonce) = (hex(&record["header"]), hex(&record["nonce"]));
    let mut ciphertext = raw[header.len()..].to_vec();
    let mask = MaskKey::new(suite.aead, keys.sn_key.as_ref()).unwrap().mask(&ciphertext).unwrap();
    let expected = hex(&record["mask"]);
    assert_eq!(mask[..expected.len()], expected);
    let number = record["sequence_number"].as_u64().unwrap().to_be_bytes();
    assert_eq!(nonce[..4], keys.iv[..4]);
    assert!((0..8).all(|i| nonce[4 + i] == keys.iv[4 + i] ^ number[i]));
    let key = AeadKey::new(suite.aead, keys.key.as_ref()).unwrap();
    let len = key.open(nonce.try_into().unwrap(), &header, &mut ciphertext).expect("authentic");
    ciphertext.truncate(len);
    ciphertext
}

/// X25519MLKEM768: what was published of both halves, in the hybrid's order, and our ends against a peer made of the halves.
#[test]
fn x25519mlkem768_is_ml_kem_before_x25519() {
    let group = kx_group::X25519MLKEM768;
    let ours = || KeyExchange::start(group).unwrap();
    for case in list(&load("derived/x25519mlkem768.json")["cases"]) {
        let decapsulation_key = hex(&case["client_mlkem_decapsulation_key"]);
        let decapsulation_key = DecapsulationKey::new(&ML_KEM_768, &decapsulation_key).unwrap();
        // The client's half of each, put together.
        let complete = |share: &[u8]| {
            let (ciphertext, point) = share.split_at(share.len() - 32);
            let kem = decapsulation_key.decapsulate(ciphertext.into()).unwrap();
            [kem.as_ref(), &x25519(&case["client_x25519_private"], point)].concat()
        };
        let (share, answer) = (hex(&case["client_key_share"]), hex(&case["server_key_share"]));
        assert_eq!(complete(&answer), hex(&case["shared_secret"]));

        let server = start_and_complete(group, &share).unwrap();
        assert_eq!(server.pub_key.len(), answer.len());
        assert_eq!(complete(&server.pub_key), server.secret.secret_bytes());

        // The server's half of each, for a client of ours, whose share looks like the published one.
        let client = ours();
        assert_eq!(client.public_key().len(), share.len());
        let (encapsulation_key, point) = client.public_key().split_at(share.len() - 32);
        let (ciphertext, kem) = EncapsulationKey::new(&ML_KEM_768, encapsulation_key).unwrap().encapsulate().unwrap();
        let expected = [kem.as_ref(), &x25519(&case["server_x25519_private"], point)].concat();
        let answer = [ciphertext.as_ref(), &answer[answer.len() - 32..]].concat();
        let secret = client.complete(NamedGroup::X25519MLKEM768, Role::Server, &answer).unwrap();
        assert_eq!(secret.secret_bytes(), expected);
    }
}

fn x25519(private: &Value, point: &[u8]) -> [u8; 32] {
    let private: [u8; 32] = hex(private).try_into().unwrap();
    let point: [u8; 32] = point.try_into().unwrap();
    x25519_dalek::x25519(private, point)
}
