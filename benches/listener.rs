//! What it costs to answer a ClientHello and keep nothing, as a multiple of one HMAC-SHA256 over the same octets, key schedule
//! included.
//!
//! The bounds are of a ClientHello without a cookie: 2 in DTLS 1.2, and 3 in DTLS 1.3 with a suite of SHA-256, which hashes it
//! as well. Garbage looks like a ClientHello as far as its record goes.

#[path = "../tests/common/ends.rs"]
#[expect(dead_code, reason = "shared with tests, which use all of it")]
mod ends;
#[path = "common/harness.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod harness;
#[path = "../tests/common/hello.rs"]
mod hello;

use ends::server_config;
use harness::{Comparison, Harness, Table, time};
use hello::Hello;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{CookieKeys, Decision, Listener, NamedGroup, ProtocolVersion, Source};

/// What is sent to the listener, and what it may cost.
struct Case {
    name: &'static str,
    datagram: Vec<u8>,
    bound: Option<f64>,
}

/// Calls in a turn.
const CALLS: u32 = 64;

/// For each figure.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let harness = Harness::new("listener");
    let now = Instant::now();
    let listener = listener(now);
    let source = Source::new(SocketAddr::from(([192, 0, 2, 1], 40_000)), None).expect("a source");
    let mut table = Table::new(&["ClientHello", "octets", "answered"]);
    for case in cases(&listener, source, now) {
        let labels = [case.name.to_owned(), case.datagram.len().to_string()];
        let figure = harness.wants(case.name).then(|| case.measure(&harness, &listener, source, now));
        table.push(&labels, &[figure]);
    }
    harness.finish("", "A ClientHello at the listener: ours / one HMAC-SHA256 = ratio", &table);
}

impl Case {
    const fn new(name: &'static str, datagram: Vec<u8>, bound: Option<f64>) -> Self {
        Self { name, datagram, bound }
    }

    fn measure(&self, harness: &Harness, listener: &Listener, source: Source, now: Instant) -> Comparison {
        let mut reply = [0; 180];
        let comparison = harness.compare(
            TIME,
            CALLS,
            || {
                time(CALLS, || {
                    black_box(listener.handle(now, source, black_box(&self.datagram), &mut reply));
                })
            },
            || {
                time(CALLS, || {
                    let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&[7; 32])).expect("any length will do");
                    mac.update(black_box(&self.datagram));
                    black_box(mac.finalize());
                })
            },
        );
        comparison.with_bound(self.bound)
    }
}

fn listener(now: Instant) -> Listener {
    let mut config = server_config(ProtocolVersion::DTLS1_3);
    config.set_versions(&[ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3]).expect("versions");
    config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).expect("groups");
    Listener::new(Arc::new(config), CookieKeys::new(now).expect("keys"))
}

fn cases(listener: &Listener, source: Source, now: Instant) -> Vec<Case> {
    let [hello12, hello13] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3].map(Hello::new);
    let sha384 = Hello { suites: vec![0x1302], ..hello13.clone() };
    let sha256 = Hello { suites: vec![0x1301], ..hello13 };
    let with_cookie = |hello: &Hello| {
        let mut reply = [0; 180];
        let decision = listener.handle(now, source, &hello.datagram(), &mut reply);
        let Decision::Reply(answer) = decision else { panic!("{decision:?}") };
        hello.answering(&reply[..answer.len]).datagram()
    };
    let mut garbage = hello12.datagram();
    garbage.iter_mut().skip(hello::FRONT).for_each(|octet| *octet = 0xa5);
    vec![
        Case::new("1.2, no cookie", hello12.datagram(), Some(2.0)),
        Case::new("1.2, cookie", with_cookie(&hello12), None),
        Case::new("1.3 SHA-256, no cookie", sha256.datagram(), Some(3.0)),
        Case::new("1.3 SHA-256, cookie", with_cookie(&sha256), None),
        Case::new("1.3 SHA-384, no cookie", sha384.datagram(), None),
        Case::new("garbage", garbage, None),
    ]
}
