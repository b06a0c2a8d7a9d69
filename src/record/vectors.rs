//! Derived records and captured associations through the record layer.

use super::tests::{Seen, every_discard, open_all, open_one};
use super::*;
use crate::crypto::{
    prf,
    secret::Secret,
    suites::{Suite, Suite12},
    vectors::{captures, hex, list, load, published_captures, suite_named},
};
use serde_json::Value;
use std::collections::HashMap;

/// One record as the vectors describe it.
fn expected(record: &Value) -> Seen {
    Seen {
        content_type: content_type(&record["content_type"]),
        number: number(record),
        payload: hex(&record["content"]),
    }
}

fn number(record: &Value) -> RecordNumber {
    RecordNumber { epoch: int(&record["epoch"]), sequence: int(&record["sequence_number"]) }
}

fn epoch(record: &Value) -> Epoch {
    Epoch(int(&record["epoch"]).try_into().unwrap())
}

fn int(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn content_type(value: &Value) -> ContentType {
    match value.as_str() {
        None => ContentType(int(value).try_into().unwrap()),
        Some("change_cipher_spec") => ContentType::CHANGE_CIPHER_SPEC,
        Some("alert") => ContentType::ALERT,
        Some("handshake") => ContentType::HANDSHAKE,
        Some("application_data") => ContentType::APPLICATION_DATA,
        Some("ack") => ContentType::ACK,
        Some(other) => panic!("{other}"),
    }
}

/// Seals what `record` holds, under its number.
fn seal(keys: &TrafficKeys, record: &Value) -> Vec<u8> {
    let content = hex(&record["content"]);
    let mut layer = RecordLayer::new();
    layer.install_write(epoch(record), keys).unwrap();
    layer.write.last_mut().unwrap().skip_to(int(&record["sequence_number"]));
    let mut out = vec![0xaa; content.len() + layer.overhead(epoch(record)).unwrap()];
    let sealed = layer.seal(epoch(record), content_type(&record["content_type"]), &mut out, |room| {
        room.copy_from_slice(&content);
        Some(content.len())
    });
    assert_eq!(sealed, Ok(Some(Sealed { number: number(record), len: out.len() })));
    out
}

#[test]
fn derived_dtls12_records() {
    let (mut suites, mut sealed) = (0, 0);
    for vectors in list(&load("derived/dtls12_records.json")["suites"]) {
        let Some(Suite::Dtls12(suite)) = suite_named(vectors["cipher_suite"].as_str().unwrap()) else { continue };
        let keys = TrafficKeys::Dtls12 {
            aead: suite.aead,
            key: Secret::new(&hex(&vectors["client_write_key"])).unwrap(),
            fixed_iv: Secret::new(&hex(&vectors["client_write_iv"])).unwrap(),
        };
        for record in list(&vectors["records_sent_by_client"]) {
            let mut layer = RecordLayer::new();
            layer.install_read(epoch(record), &keys).unwrap();
            if record["cid"] != "" {
                assert_eq!(open_all(&mut layer, &hex(&record["record"])), (vec![], vec![Discard::UnknownConnectionId]));
                continue;
            }
            assert_eq!(open_one(&mut layer, &hex(&record["record"])), expected(record));
            assert_eq!(open_all(&mut layer, &hex(&record["record"])), (vec![], vec![Discard::Replayed]));
            assert_eq!(seal(&keys, record), hex(&record["record"]));
            every_discard(&mut layer, &hex(&record["record"]));
            sealed += 1;
        }
        suites += 1;
    }
    assert_eq!((suites, sealed), (3, 12));
}

#[test]
fn r7_derived_dtls13_records() {
    let (mut suites, mut opened, mut sealed) = (0, 0, 0);
    for vectors in list(&load("derived/dtls13_records.json")["suites"]) {
        let Some(Suite::Dtls13(suite)) = suite_named(vectors["cipher_suite"].as_str().unwrap()) else { continue };
        let keys = TrafficKeys::Dtls13 { suite, secret: Secret::new(&hex(&vectors["traffic_secret"])).unwrap() };
        for record in list(&vectors["records"]) {
            let layer = || {
                let mut layer = RecordLayer::new();
                layer.install_read(epoch(record), &keys).unwrap();
                layer.read.last_mut().unwrap().expect_sequence(int(&record["sequence_number"]));
                layer
            };
            let octets = hex(&record["record"]);
            if record["cid"] != "" {
                assert_eq!(open_all(&mut layer(), &octets), (vec![], vec![Discard::UnknownConnectionId]));
                continue;
            }
            assert_eq!(open_one(&mut layer(), &octets), expected(record));
            every_discard(&mut layer(), &octets);
            opened += 1;
            if record["seq_bits"] == 16 && record["length_present"] == true {
                assert_eq!(seal(&keys, record), octets);
                sealed += 1;
            }
        }
        for corrupted in list(&vectors["corrupted"]) {
            let mut layer = RecordLayer::new();
            layer.install_read(Epoch(2), &keys).unwrap();
            layer.install_read(Epoch(3), &keys).unwrap();
            assert_eq!(open_all(&mut layer, &hex(&corrupted["record"])).0, vec![]);
        }
        suites += 1;
    }
    assert_eq!((suites, opened, sealed), (3, 24, 18));
}

#[test]
fn derived_sequence_numbers() {
    for case in list(&load("derived/seq_reconstruction.json")["cases"]) {
        let low = int(&case["low_bits"]);
        let truncated = match int(&case["bits"]) {
            8 => number::TruncatedSequence::Bits8(low.try_into().unwrap()),
            _ => number::TruncatedSequence::Bits16(low.try_into().unwrap()),
        };
        assert_eq!(truncated.reconstruct(int(&case["expected_next"])), int(&case["full"]), "{case}");
    }
}

/// Client's and server's keys, by sender and epoch. What is resumed has the master secret of the first connection.
fn captured_keys(connection: &Value, master_secret: &Value) -> HashMap<(String, Epoch), TrafficKeys> {
    match suite_named(connection["cipher_suite"].as_str().unwrap()).unwrap() {
        Suite::Dtls12(suite) => keys12(&suite, connection, master_secret),
        Suite::Dtls13(suite) => {
            let secrets = connection["traffic_secrets"].as_object().unwrap().iter();
            let keys = secrets.filter_map(|(name, secret)| {
                let (sender, epoch) = name.split_once("_epoch")?;
                let secret = Secret::new(&hex(secret)).unwrap();
                Some(((sender.to_owned(), Epoch(epoch.parse().ok()?)), TrafficKeys::Dtls13 { suite, secret }))
            });
            keys.collect()
        }
    }
}

fn keys12(suite: &Suite12, connection: &Value, master_secret: &Value) -> HashMap<(String, Epoch), TrafficKeys> {
    let seed = [hex(&connection["server_random"]), hex(&connection["client_random"])].concat();
    let mut block = vec![0; prf::key_block_len(suite.aead)];
    prf::expand(suite.prf(), &hex(master_secret), b"key expansion", &seed, &mut block).unwrap();
    let (keys, ivs) = block.split_at(2 * suite.aead.key_len());
    let pair = keys.chunks(suite.aead.key_len()).zip(ivs.chunks(suite.aead.fixed_iv_len()));
    let senders = ["client", "server"].into_iter().zip(pair).map(|(sender, (key, iv))| {
        let (key, fixed_iv) = (Secret::new(key).unwrap(), Secret::new(iv).unwrap());
        ((sender.to_owned(), Epoch(1)), TrafficKeys::Dtls12 { aead: suite.aead, key, fixed_iv })
    });
    senders.collect()
}

/// Every datagram of associations between foreign peers, opened as they came, keys installed when first needed.
#[test]
fn captured_associations() {
    let protected: usize = captures().iter().map(|name| replay(name, &load(name))).sum();
    assert_eq!(protected, 244);
}

/// The same with what others have published; not part of this repository.
#[test]
fn published_associations() {
    let (mut protected, mut plain) = (0, 0);
    for (name, capture) in published_captures() {
        let keyed = !capture["connections"][0]["master_secret"].is_null();
        match list(&capture["connections"]).iter().all(|connection| keyed && suite(connection).is_some()) {
            true => protected += replay(&name, &capture),
            false => plain += replay_plaintext(&name, &capture),
        }
    }
    assert!((protected, plain) == (0, 0) || (protected, plain) == PUBLISHED, "{protected} {plain}");
}

/// Protected records opened of the captures with keys, for suites that exist; records before them of the others.
const PUBLISHED: (usize, usize) = (10, 96);

fn suite(connection: &Value) -> Option<Suite> {
    suite_named(connection["cipher_suite"].as_str()?)
}

/// Returns how many records were protected.
fn replay(name: &str, capture: &Value) -> usize {
    let mut protected = 0;
    let master_secret = &capture["connections"][0]["master_secret"];
    for connection in list(&capture["connections"]) {
        let keys = captured_keys(connection, master_secret);
        let mut layers = HashMap::new();
        for datagram in list(&connection["datagrams"]) {
            let sender = datagram["sender"].as_str().unwrap();
            let layer = layers.entry(sender).or_insert_with(RecordLayer::new);
            let records = list(&datagram["records"]);
            for record in records {
                if epoch(record) > layer.read.last().unwrap().epoch() {
                    layer.install_read(epoch(record), &keys[&(sender.to_owned(), epoch(record))]).unwrap();
                }
                protected += usize::from(record["protected"] == true);
            }
            let (seen, discarded) = open_all(layer, &hex(&datagram["datagram"]));
            assert_eq!((seen.len(), discarded), (records.len(), vec![]), "{name}");
            for (seen, record) in seen.iter().zip(records) {
                assert_eq!((seen.number, seen.content_type), (number(record), content_type(&record["content_type"])));
                match record["protected"] == true {
                    true => assert_eq!(seen.payload, hex(&record["content"])),
                    false => assert_eq!(seen.payload, hex(&record["raw"])[13..]),
                }
            }
        }
    }
    protected
}

/// What can be said without keys: records without protection are read, and no other. Returns how many.
fn replay_plaintext(name: &str, capture: &Value) -> usize {
    let mut plain = 0;
    for connection in list(&capture["connections"]) {
        let mut layers = HashMap::new();
        for datagram in list(&connection["datagrams"]) {
            let layer = layers.entry(datagram["sender"].as_str().unwrap()).or_insert_with(RecordLayer::new);
            let (seen, _) = open_all(layer, &hex(&datagram["datagram"]));
            let records = list(&datagram["records"]).iter().filter(|record| record["protected"] != true);
            let expected: Vec<_> = records.map(|record| hex(&record["raw"])[13..].to_vec()).collect();
            assert_eq!(seen.into_iter().map(|seen| seen.payload).collect::<Vec<_>>(), expected, "{name}");
            plain += expected.len();
        }
    }
    plain
}
