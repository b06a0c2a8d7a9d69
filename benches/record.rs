//! What a record of application data costs, to seal, to open, and both, as a multiple of the bare cryptography (`bare.rs`).
//!
//! `send` and `receive` of an established association, of payloads of 64 to 16,384 octets, for every suite of both versions.
//! RSA suites protect records as their ECDSA brothers do. Sealed records lie in buffers of their own before they are opened,
//! those of the floor as well.

#[path = "common/bare.rs"]
mod bare;
#[path = "common/harness.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod harness;
#[path = "common/parties.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod parties;

use bare::{BareKey, BareSuite};
use harness::{Comparison, Harness, Table, time};
use parties::{ClientAuth, Kind, Parties, Sessions, ends, shake_hands, whole_records};
use rustls::crypto::aws_lc_rs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{CipherSuite, Connection, Datagram, NamedGroup, ProtocolVersion};

const SUITES: [(ProtocolVersion, CipherSuite); 6] = [
    (ProtocolVersion::DTLS1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    (ProtocolVersion::DTLS1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (ProtocolVersion::DTLS1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    (ProtocolVersion::DTLS1_3, CipherSuite::TLS_AES_128_GCM_SHA256),
    (ProtocolVersion::DTLS1_3, CipherSuite::TLS_AES_256_GCM_SHA384),
    (ProtocolVersion::DTLS1_3, CipherSuite::TLS_CHACHA20_POLY1305_SHA256),
];

const SIZES: [usize; 5] = [64, 256, 1200, 1400, 16_384];

/// For each figure.
const TIME: Duration = Duration::from_millis(1200);

fn main() {
    let harness = Harness::new("record");
    let parties = Parties::new();
    let mut table = Table::new(&["version", "suite", "octets", "seal", "open", "seal and open"]);
    for (version, suite) in SUITES {
        for size in SIZES {
            let labels = [version.to_string(), suite.to_string(), size.to_string()];
            let figures = ["seal", "open", "both"].map(|what| {
                let name = format!("{}/{what}", labels.join("/"));
                harness.wants(&name).then(|| {
                    let mut case = Case::new(&parties, version, suite, size);
                    match what {
                        "seal" => case.seal(&harness),
                        "open" => case.open(&harness),
                        _ => case.both(&harness).with_bound(bound(size)),
                    }
                })
            });
            table.push(&labels, &figures);
        }
    }
    harness.finish("", "A record: ours / bare cryptography = ratio", &table);
}

/// What a record may cost, sealed and opened.
const fn bound(size: usize) -> Option<f64> {
    match size {
        64 => Some(1.35),
        1200 => Some(1.10),
        _ => None,
    }
}

/// An established association, and keys of no association for the floor.
struct Case {
    from: Connection,
    to: Connection,
    now: Instant,
    suite: BareSuite,
    bare: [BareKey; 2],
    payload: Vec<u8>,
    calls: u32,
}

impl Case {
    fn new(parties: &Parties, version: ProtocolVersion, suite: CipherSuite, size: usize) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let kind = Kind { version, group: NamedGroup::X25519, client_auth: ClientAuth::None, sessions: Sessions::None };
        let (mut client, mut server) = (parties.client_config(&provider, kind), parties.server_config(&provider, kind));
        client.set_cipher_suites(&[suite]).expect("a suite").set_transport(whole_records());
        server.set_transport(whole_records());
        let now = Instant::now();
        let (mut from, mut to) = ends(&Arc::new(client), &Arc::new(server), now);
        shake_hands(&mut from, &mut to, now, |_| ());
        let suite = BareSuite::new(version, suite);
        let key = || suite.key(&[1; 32][..suite.key_len()], &[2; 32][..suite.key_len()]);
        // A turn takes some dozens of microseconds, whatever the size.
        let calls = if size < 1000 { 64 } else { 16 };
        Self { from, to, now, suite, bare: [key(), key()], payload: vec![0x5a; size], calls }
    }

    /// Room for a record, header and tag included.
    fn room(&self) -> Vec<u8> {
        vec![0; self.payload.len() + 64]
    }

    /// A record of the floor before it is sealed.
    fn bare_record(&self) -> Vec<u8> {
        vec![0x5a; self.payload.len() + self.suite.inner_len() + BareKey::TAG_LEN]
    }

    fn seal(&mut self, harness: &Harness) -> Comparison {
        let (mut out, mut record) = (self.room(), self.bare_record());
        let Self { from, now, suite, bare: [bare, _], payload, calls, .. } = self;
        harness.compare(
            TIME,
            *calls,
            || {
                time(*calls, || {
                    black_box(from.send(*now, black_box(payload), &mut out).expect("it is sealed"));
                })
            },
            || time(*calls, || bare.seal(*suite, black_box(&mut record))),
        )
    }

    fn open(&mut self, harness: &Harness) -> Comparison {
        let mut outs = vec![self.room(); self.calls as usize];
        let mut records = vec![self.bare_record(); self.calls as usize];
        let Self { from, to, now, suite, bare: [seal, open], payload, calls } = self;
        harness.compare(
            TIME,
            *calls,
            || {
                let lens: Vec<_> =
                    outs.iter_mut().map(|out| from.send(*now, payload, out).expect("it is sealed")).collect();
                let mut sealed = outs.iter_mut().zip(lens);
                time(*calls, || {
                    let (out, len) = sealed.next().expect("one for each call");
                    receive(to, *now, &mut out[..len]);
                })
            },
            || {
                seal.rewind();
                open.rewind();
                records.iter_mut().for_each(|record| seal.seal(*suite, record));
                let mut sealed = records.iter_mut();
                time(*calls, || open.open(*suite, sealed.next().expect("one for each call")))
            },
        )
    }

    fn both(&mut self, harness: &Harness) -> Comparison {
        let (mut out, mut record) = (self.room(), self.bare_record());
        let Self { from, to, now, suite, bare: [seal, open], payload, calls } = self;
        harness.compare(
            TIME,
            *calls,
            || {
                time(*calls, || {
                    let len = from.send(*now, black_box(payload), &mut out).expect("it is sealed");
                    receive(to, *now, &mut out[..len]);
                })
            },
            || {
                time(*calls, || {
                    seal.seal(*suite, black_box(&mut record));
                    open.open(*suite, &mut record);
                })
            },
        )
    }
}

/// One datagram with one record.
fn receive(to: &mut Connection, now: Instant, datagram: &mut [u8]) {
    let mut datagram = Datagram::new(datagram);
    black_box(to.receive(now, &mut datagram).expect("a record that is good").expect("data").payload());
    assert!(to.receive(now, &mut datagram).expect("nothing more").is_none());
}
