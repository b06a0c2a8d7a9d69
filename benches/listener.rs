//! What it costs to answer a ClientHello and keep nothing, as a multiple of one HMAC-SHA256 over the same octets, key schedule
//! included, measured in the same run.
//!
//! `cargo bench --bench listener`; with `-- --quick` in a few seconds. Each case and its HMAC take turns, and the quickest
//! round of each counts, so that what else the machine does weighs little. The bounds are of a ClientHello without a cookie: 2
//! in DTLS 1.2, and 3 in DTLS 1.3 with a suite of SHA-256, which hashes it as well.

#[path = "../tests/common/ends.rs"]
#[expect(dead_code, reason = "shared with tests, which use all of it")]
mod ends;
#[path = "../tests/common/hello.rs"]
mod hello;

use criterion::Criterion;
use ends::server_config;
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
    /// The quickest rounds, in nanoseconds a call.
    listener: f64,
    hmac: f64,
}

/// Calls between two looks at the clock.
const ROUND: u32 = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let now = Instant::now();
    let listener = listener(now);
    let source = Source::new(SocketAddr::from(([192, 0, 2, 1], 40_000)), None).expect("a source");
    let mut cases = cases(&listener, source, now);
    for case in &mut cases {
        criterion.bench_function(&format!("listener/{}", case.name), |bencher| {
            bencher.iter_custom(|iterations| case.measure(&listener, source, now, iterations));
        });
    }
    criterion.final_summary();
    if cases.iter().any(|case| case.hmac.is_finite()) {
        print(&cases);
    }
}

impl Case {
    fn new(name: &'static str, datagram: Vec<u8>, bound: Option<f64>) -> Self {
        Self { name, datagram, bound, listener: f64::INFINITY, hmac: f64::INFINITY }
    }

    /// How long so many calls of the listener take; after each round of them, as many HMACs.
    fn measure(&mut self, listener: &Listener, source: Source, now: Instant, iterations: u64) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let calls = left.min(ROUND.into()) as u32;
            let mut reply = [0; 180];
            let round = time(calls, || {
                black_box(listener.handle(now, source, black_box(&self.datagram), &mut reply));
            });
            let hmac = time(calls, || {
                let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&[7; 32])).expect("any length will do");
                mac.update(black_box(&self.datagram));
                black_box(mac.finalize());
            });
            if calls == ROUND {
                self.listener = self.listener.min(round.as_nanos() as f64 / f64::from(ROUND));
                self.hmac = self.hmac.min(hmac.as_nanos() as f64 / f64::from(ROUND));
            }
            total += round;
            left -= u64::from(calls);
        }
        total
    }

    fn ratio(&self) -> f64 {
        self.listener / self.hmac
    }
}

fn time(calls: u32, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    start.elapsed()
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

fn print(cases: &[Case]) {
    println!(
        "\n{:24} {:>7} {:>12} {:>12} {:>7} {:>6}",
        "ClientHello", "octets", "listener/ns", "HMAC/ns", "ratio", "bound"
    );
    for case in cases {
        let Case { name, datagram, listener, hmac, bound, .. } = case;
        let bound = bound.map_or_else(String::new, |bound| format!("{bound:.1}"));
        println!("{name:24} {:>7} {listener:>12.0} {hmac:>12.0} {:>7.2} {bound:>6}", datagram.len(), case.ratio());
    }
    for case in cases.iter().filter(|case| case.bound.is_some_and(|bound| case.ratio() > bound)) {
        println!("{}: above its bound", case.name);
    }
}
