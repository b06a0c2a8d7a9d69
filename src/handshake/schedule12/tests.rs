//! Both derivations, both ends; ACVP where it is at hand.

use super::*;
use crate::crypto::vectors::{hex, list, load, load_extra, suite_named, suite12};
use crate::crypto::{find_group, suites::Suite};
use crate::handshake::schedule13::tests::Remember;
use crate::wire::NamedGroup;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{ActiveKeyExchange, SharedSecret};
use serde_json::Value;

/// A key exchange whose outcome is known.
struct Known(Vec<u8>);

impl ActiveKeyExchange for Known {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, rustls::Error> {
        Ok(SharedSecret::from(&self.0[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &[]
    }

    fn group(&self) -> rustls::NamedGroup {
        rustls::NamedGroup::Unknown(0xfe00)
    }
}

fn known(secret: &Value) -> KeyExchange {
    KeyExchange::from_active(Box::new(Known(hex(secret))))
}

const SHARE: PeerShare<'static> = PeerShare { sender: Role::Server, public: &[] };

fn randoms(case: &Value, client: &str, server: &str) -> Randoms {
    Randoms { client: hex(&case[client]).try_into().unwrap(), server: hex(&case[server]).try_into().unwrap() }
}

/// The key block's octets in the order of RFC 5246 §6.3, as far as the suite needs them.
fn octets(block: &KeyBlock) -> Vec<u8> {
    let (
        TrafficKeys::Dtls12 { key: client_key, fixed_iv: client_iv, .. },
        TrafficKeys::Dtls12 { key: server_key, fixed_iv: server_iv, .. },
    ) = (&block.client, &block.server)
    else {
        panic!("not of DTLS 1.2")
    };
    [client_key, server_key, client_iv, server_iv].iter().flat_map(|secret| secret.as_ref().to_vec()).collect()
}

#[test]
fn derived_key_blocks() {
    let mut run = 0;
    for vectors in list(&load("derived/dtls12_records.json")["suites"]) {
        let Some(Suite::Dtls12(suite)) = suite_named(vectors["cipher_suite"].as_str().unwrap()) else { continue };
        let secret = Secret::new(&hex(&vectors["master_secret"])).unwrap();
        let randoms = randoms(vectors, "client_random", "server_random");
        let block = MasterSecret::resumed(suite, secret, Derivation::Extended, randoms).key_block().unwrap();
        let expected: Vec<_> = ["client_write_key", "server_write_key", "client_write_iv", "server_write_iv"]
            .iter()
            .flat_map(|name| hex(&vectors[*name]))
            .collect();
        assert_eq!(octets(&block), expected);
        run += 1;
    }
    assert!(run >= 3, "{run}");
}

#[test]
fn both_ends_derive_the_same_and_the_other_derivation_differs() {
    let suite = suite12("sha384").unwrap();
    let group = find_group(&default_provider(), NamedGroup::SECP384R1).unwrap();
    let randoms = Randoms { client: [1; 32], server: [2; 32] };
    let session_hash = suite.hash().hash(b"messages");
    let pair = || {
        let (client, server) = (KeyExchange::start(group).unwrap(), KeyExchange::start(group).unwrap());
        let (client_public, server_public) = (client.public_key().to_vec(), server.public_key().to_vec());
        (client, server, client_public, server_public)
    };
    let (client, server, client_public, server_public) = pair();
    let from_server = PeerShare { sender: Role::Server, public: &server_public };
    let from_client = PeerShare { sender: Role::Client, public: &client_public };
    let ours = MasterSecret::extended(suite, client, from_server, &session_hash, randoms).unwrap();
    let theirs = MasterSecret::extended(suite, server, from_client, &session_hash, randoms).unwrap();
    assert_eq!(ours.secret().as_ref(), theirs.secret().as_ref());
    assert_eq!(ours.secret().as_ref().len(), 48);
    assert_eq!(ours.derivation(), Derivation::Extended);

    let (client, server, client_public, server_public) = pair();
    let from_server = PeerShare { sender: Role::Server, public: &server_public };
    let from_client = PeerShare { sender: Role::Client, public: &client_public };
    let ours = MasterSecret::legacy(suite, client, from_server, randoms).unwrap();
    let theirs = MasterSecret::extended(suite, server, from_client, &session_hash, randoms).unwrap();
    assert_ne!(ours.secret().as_ref(), theirs.secret().as_ref());
}

/// RFC 7627 §4 and RFC 5246 §8.1, spelled out: label and seed of either derivation.
#[test]
fn master_secrets_are_the_prf_of_the_rfcs() {
    let suite = suite12("sha256").unwrap();
    let randoms = Randoms { client: [1; 32], server: [2; 32] };
    let session_hash = suite.hash().hash(b"messages");
    let pre_master = || KeyExchange::from_active(Box::new(Known(vec![9; 32])));
    let prf = |label: &[u8], seed: &[u8]| {
        let mut out = [0; MASTER_SECRET_LEN];
        prf::expand(suite.prf(), &[9; 32], label, seed, &mut out).unwrap();
        out
    };
    let extended = MasterSecret::extended(suite, pre_master(), SHARE, &session_hash, randoms).unwrap();
    assert_eq!(extended.secret().as_ref(), prf(b"extended master secret", session_hash.as_ref()));
    let legacy = MasterSecret::legacy(suite, pre_master(), SHARE, randoms).unwrap();
    assert_eq!(legacy.secret().as_ref(), prf(b"master secret", &[[1; 32], [2; 32]].concat()));
}

#[test]
fn a_bad_share_is_the_peers_fault() {
    let suite = suite12("sha256").unwrap();
    let group = find_group(&default_provider(), NamedGroup::X25519).unwrap();
    let share = PeerShare { sender: Role::Client, public: &[0; 32] };
    let result = MasterSecret::legacy(
        suite,
        KeyExchange::start(group).unwrap(),
        share,
        Randoms { client: [1; 32], server: [2; 32] },
    );
    assert_eq!(result.err(), Some(crate::error::PeerMisbehaved::BadKeyShare.into()));
}

fn master(derivation: Derivation) -> MasterSecret {
    let randoms = Randoms { client: [1; 32], server: [2; 32] };
    MasterSecret::resumed(suite12("sha256").unwrap(), Secret::new(&[3; 48]).unwrap(), derivation, randoms)
}

/// RFC 7627 §5.4.
#[test]
fn nothing_is_exported_without_extended_master_secret() {
    let mut out = [0; 16];
    let unavailable = Err(ApiMisuse::ExporterUnavailable.into());
    assert_eq!(master(Derivation::Legacy).export(b"EXPERIMENTAL-test", None, &mut out), unavailable);
    assert_eq!(master(Derivation::Extended).export(b"EXPERIMENTAL-test", None, &mut out), Ok(()));
    // Only an application that wants it so gets the same, and no label of the protocol's even then.
    let mut unbound = [0; 16];
    assert_eq!(master(Derivation::Legacy).export_unbound(b"EXPERIMENTAL-test", None, &mut unbound), Ok(()));
    assert_eq!(out, unbound);
    assert_eq!(master(Derivation::Legacy).export_unbound(b"key expansion", None, &mut unbound), unavailable);
}

/// RFC 5705 §4.
#[test]
fn exporter_tells_labels_and_contexts_apart_and_refuses_the_protocols_own() {
    let master = master(Derivation::Extended);
    let export = |label: &[u8], context: Option<&[u8]>| {
        let mut out = [0; 32];
        master.export(label, context, &mut out).map(|()| out)
    };
    let plain = export(b"EXPERIMENTAL-a", None).unwrap();
    assert_ne!(plain, export(b"EXPERIMENTAL-b", None).unwrap());
    assert_ne!(plain, export(b"EXPERIMENTAL-a", Some(b"")).unwrap());
    assert_ne!(export(b"EXPERIMENTAL-a", Some(b"")).unwrap(), export(b"EXPERIMENTAL-a", Some(b"c")).unwrap());
    for label in RESERVED_LABELS {
        assert_eq!(export(label, None), Err(ApiMisuse::ExporterUnavailable.into()));
    }
    assert_ne!(export(b"", None).unwrap(), export(b"", Some(b"")).unwrap());
    assert!(export(b"EXPERIMENTAL-a", Some(&[0; 65_535])).is_ok());
    assert_eq!(export(b"EXPERIMENTAL-a", Some(&[0; 65_536])), Err(ApiMisuse::ExportTooLong.into()));
    assert_eq!(master.export(b"EXPERIMENTAL-a", None, &mut []), Ok(()));
}

/// RFC 5705 §4: PRF(master_secret, label, client_random + server_random + context_value_length + context_value)[length].
#[test]
fn exporter_of_rfc5705() {
    let master = master(Derivation::Extended);
    for (context, tail) in [(None, &b""[..]), (Some(&b""[..]), b"\0\0"), (Some(b"con"), b"\0\x03con")] {
        let seed = [&[1; 32][..], &[2; 32], tail].concat();
        let (mut exported, mut expected) = ([0; 99], [0; 99]);
        prf::expand(master.suite.prf(), &[3; 48], b"EXPERIMENTAL-a", &seed, &mut expected).unwrap();
        master.export(b"EXPERIMENTAL-a", context, &mut exported).unwrap();
        assert_eq!(exported, expected, "{context:?}");
    }
}

#[test]
fn finished_of_client_and_server_differ() {
    let master = master(Derivation::Extended);
    let hash = suite12("sha256").unwrap().hash().hash(b"messages");
    assert_ne!(master.verify_data(Role::Client, &hash).unwrap(), master.verify_data(Role::Server, &hash).unwrap());
}

#[test]
fn the_key_log_names_the_client_random() {
    let remember = Remember::default();
    master(Derivation::Extended).log(&remember);
    assert_eq!(remember.lines(), [("CLIENT_RANDOM".into(), vec![1; 32], vec![3; 48])]);
    assert!(!format!("{:?}", master(Derivation::Extended)).contains("3, 3"));
}

/// NIST ACVP; not part of this repository.
#[test]
fn acvp_extended_master_secret() {
    let Some(vectors) = load_extra("kdf/tls12_ems_acvp.json") else { return };
    let mut run = 0;
    for case in list(&vectors["cases"]) {
        let Some(suite) = suite12(case["hash"].as_str().unwrap()) else { continue };
        let session_hash = Output::new(&hex(&case["session_hash"]));
        let randoms = randoms(case, "client_random", "server_random");
        let exchange = known(&case["pre_master_secret"]);
        let master = MasterSecret::extended(suite, exchange, SHARE, &session_hash, randoms).unwrap();
        assert_eq!(master.secret().as_ref(), hex(&case["master_secret"]));
        let block = octets(&master.key_block().unwrap());
        assert_eq!(block, hex(&case["key_block"])[..block.len()]);
        run += 1;
    }
    assert!(run > 0);
}

/// NIST ACVP, without extended_master_secret; not part of this repository. Its key blocks have randoms of their own.
#[test]
fn acvp_master_secret() {
    let Some(vectors) = load_extra("kdf/tls12_kdf_acvp.json") else { return };
    let mut run = 0;
    for case in list(&vectors["cases"]) {
        let Some(suite) = suite12(case["hash"].as_str().unwrap()) else { continue };
        let hello = randoms(case, "client_hello_random", "server_hello_random");
        let legacy = MasterSecret::legacy(suite, known(&case["pre_master_secret"]), SHARE, hello).unwrap();
        assert_eq!(legacy.secret().as_ref(), hex(&case["master_secret"]));
        let randoms = randoms(case, "client_random", "server_random");
        let resumed = MasterSecret::resumed(suite, legacy.secret().clone(), Derivation::Legacy, randoms);
        let block = octets(&resumed.key_block().unwrap());
        assert_eq!(block, hex(&case["key_block"])[..block.len()]);
        run += 1;
    }
    assert!(run > 0);
}
