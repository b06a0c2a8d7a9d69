//! What attackers can make either end keep, measured at malloc: what the C library has handed out to aws-lc counts as much as
//! what Rust has. Both versions, an endpoint and a bare association. Each test runs alone in a process of its own, because
//! `mallinfo2` counts for all threads, and with a malloc that puts nothing aside, because what it puts aside counts as handed
//! out. The bounds hold to the octet.
//!
//! This is glibc's malloc, so these tests are for Linux with glibc: elsewhere there are none in this file.
//! `tests/endpoint_memory.rs` counts what Rust allocates, everywhere.
//!
//! Some floods are shorter than an attacker's would be; with `UDTLS_DEEP=1` they are not.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "common/ends.rs"]
mod ends;
#[path = "common/hello.rs"]
mod hello;

use ends::{client_config, deliver, drain, identity, new_client, server_config};
use hello::Hello;
use std::any::type_name;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use udtls::{
    ClientConfig, Connection, DropReason, Endpoint, EndpointConfig, ProtocolVersion, ServerConfig, TransportConfig,
    Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];
const KIB: usize = 1024;
/// Octets that a half-open handshake takes at most beside the chain of certificates.
const HALF_OPEN: usize = 24 * KIB;
/// Octets for messages that are not whole, not their turn's, or contradict others: the default of
/// `TransportConfig::set_max_reassembly_buffer`.
const REASSEMBLY: usize = 64 * KIB;
/// Octets of the longest message: the default of `TransportConfig::set_max_handshake_message`.
const LONGEST: usize = 64 * KIB;
/// Octets that the message expected next takes at most beside that, until it is whole: a stretch of 256 takes 584.
const EXPECTED: usize = LONGEST / 256 * 584;
/// Octets of the list of such messages: four of each of seven, and room for as many when it grows.
const LIST: usize = 4 * KIB;
/// Octets of records that come before their keys: the default of `TransportConfig::set_max_early_records`.
const EARLY: usize = 16 * KIB;
/// Octets that malloc puts in front of a piece and behind it, to round it up.
const ROUNDING: usize = 24;

/// Runs a test in a process of its own, in its only thread.
fn alone<F: FnOnce()>(test: F) {
    const ALONE: &str = "UDTLS_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    // `memory::` and the name of the test, which has no closure before this one.
    let name = type_name::<F>().split("::").nth(1).expect("a function's closure");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1")
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    println!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Whether floods are as long as they can be.
fn is_deep() -> bool {
    std::env::var_os("UDTLS_DEEP").is_some_and(|value| value == "1")
}

/// Octets that malloc has handed out and not got back, those that it has mapped for one piece alone included.
fn live() -> usize {
    // SAFETY: it reads malloc's own counters.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// By how much `attack` lets the heap grow.
fn growth<T>(attack: impl FnOnce() -> T) -> (usize, T) {
    let before = live();
    let kept = attack();
    (live().saturating_sub(before), kept)
}

fn address(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 4433))
}

fn both_versions() -> Arc<ServerConfig> {
    let mut config = server_config(VERSIONS[0]);
    config.set_versions(&VERSIONS).unwrap();
    Arc::new(config)
}

#[test]
fn the_measure_sees_rust_and_c() {
    alone(|| {
        let (grown, kept) = growth(|| black_box(vec![1_u8; 10 * KIB]));
        assert!((10 * KIB..=10 * KIB + ROUNDING).contains(&grown), "{grown}");
        drop(kept);
        // SAFETY: asked for and given back.
        let (grown, piece) = growth(|| black_box(unsafe { libc::malloc(300 * KIB) }));
        assert!((300 * KIB..310 * KIB).contains(&grown), "{grown}");
        // SAFETY: as above.
        unsafe { libc::free(black_box(piece)) };
    });
}

#[test]
fn c1_a_hundred_thousand_forged_hellos_leave_nothing() {
    alone(|| {
        let now = Instant::now();
        let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(both_versions()), now).unwrap();
        let mut reply = [0; 1500];
        for version in VERSIONS {
            let hello = Hello::new(version).datagram();
            endpoint.handle(now, address(0), None, &hello, &mut reply);
            let (grown, ()) = growth(|| {
                for n in 0..100_000 {
                    let verdict = endpoint.handle(now, address(n), None, &hello, &mut reply);
                    assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?}");
                }
            });
            assert_eq!(grown, 0, "{version}");
        }
    });
}

#[test]
fn c9_ten_thousand_half_open_handshakes_keep_what_is_promised() {
    const PEERS: u32 = 10_000;
    alone(|| {
        let now = Instant::now();
        let all = PEERS as usize;
        let chain = identity().0.len() + 200;
        for version in VERSIONS {
            let mut config = EndpointConfig::new();
            config.set_max_half_open(all).set_max_half_open_per_network(all).set_max_handshake_memory(usize::MAX);
            let mut endpoint = Endpoint::new(config, Some(both_versions()), now).unwrap();
            let (grown, servers) = growth(|| {
                let mut servers = Vec::with_capacity(all);
                servers.extend((0..PEERS).map(|n| half_open(&mut endpoint, version, n, now)));
                servers
            });
            assert_eq!(endpoint.stats().half_open, all, "{version}");
            let (each, said) = (grown / servers.len(), endpoint.stats().handshake_memory / servers.len());
            println!("{version}: {each} octets a half-open handshake, the endpoint says {said}");
            // By which it bounds them all.
            assert!(each <= said, "{version}: {each} {said}");
            assert!(each <= HALF_OPEN + chain, "{version}: {each}");
            // And nothing of it stays.
            let before = live();
            drop((servers, endpoint));
            assert!(before - live() + all * 16 >= grown, "{version}: {} of {grown} came back", before - live());
        }
    });
}

/// A server that has sent its first flight and hears no more.
fn half_open(endpoint: &mut Endpoint, version: ProtocolVersion, n: u32, now: Instant) -> Connection {
    let mut reply = [0; 1500];
    let first = Hello::new(version);
    let Verdict::Reply(len) = endpoint.handle(now, address(n), None, &first.datagram(), &mut reply) else {
        panic!("no cookie")
    };
    let hello = first.answering(&reply[..len]).datagram();
    let Verdict::Incoming(incoming) = endpoint.handle(now, address(n), None, &hello, &mut reply) else {
        panic!("a cookie of no use")
    };
    let (handle, mut server) = endpoint.accept(*incoming, None, now).unwrap();
    assert!(!drain(&mut server, now).is_empty());
    endpoint.update(handle, &mut server);
    server
}

/// A record of fragments of one octet each, of messages that are announced as long as can be. `first` is the first one's
/// number: the numbers decide which message, and which octet of it.
fn fragments(record: u64, first: u32, message_type: u8, version: [u8; 2]) -> Vec<u8> {
    let mut payload = Vec::new();
    for n in first..first + FRAGMENTS {
        let [.., seq] = (n % 9).to_be_bytes();
        let [_, o0, o1, o2] = (n.wrapping_mul(0x9e_3779) & 0xff_ffff).to_be_bytes();
        payload.extend([message_type, 0xff, 0xff, 0xff, 0, seq, o0, o1, o2, 0, 0, 1, 7]);
    }
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[22][..], &version, &[0, 0], &record.to_be_bytes()[2..], &length, &payload].concat()
}

/// Of one record.
const FRAGMENTS: u32 = 80;
const ALL_FRAGMENTS: u32 = 1_000_000;

/// Both ends of a handshake that has begun: a client that has sent its first ClientHello, a server that has sent its flight.
fn begun(version: ProtocolVersion, now: Instant) -> [(&'static str, Connection); 2] {
    let mut client = new_client(&Arc::new(client_config(version)), now);
    let mut server = Connection::server(Arc::new(server_config(version)), now).unwrap();
    for mut datagram in drain(&mut client, now) {
        deliver(&mut server, now, &mut datagram).unwrap();
    }
    drain(&mut server, now);
    [("client", client), ("server", server)]
}

#[test]
fn f6_a_million_fragments_of_endless_messages_keep_nothing() {
    alone(|| {
        let now = Instant::now();
        for version in VERSIONS {
            for message_type in [1, 2, 11] {
                for (who, mut end) in begun(version, now) {
                    let (grown, ()) = growth(|| {
                        for n in 0..ALL_FRAGMENTS / FRAGMENTS {
                            let mut datagram = fragments(u64::from(n) + 1, n * FRAGMENTS, message_type, [0xfe, 0xfd]);
                            deliver(&mut end, now, &mut datagram).unwrap();
                            drain(&mut end, now);
                        }
                    });
                    assert_eq!(grown, 0, "{version} {who} type {message_type}");
                }
            }
        }
    });
}

/// Fragments that contradict each other, of messages that could be whole one day: they share the bound, and the one that is
/// expected next has a place of its own.
#[test]
fn f5_fragments_that_contradict_each_other_keep_what_the_reassembly_may() {
    alone(|| {
        let all: u32 = if is_deep() { 1_000_000 } else { 100_000 };
        let now = Instant::now();
        for version in VERSIONS {
            for (who, mut end) in begun(version, now) {
                let before = live();
                let mut most = 0;
                for n in 0..all {
                    let [lot, seq, o0, o1, ..] = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                    // Four lengths, so that what follows agrees with one that has come: each grows.
                    let (length, octet) = ([0, 0xff, 0xf0 | lot & 3], lot & 3);
                    let fragment = [&[2][..], &length, &[0, seq % 9], &[0, o0 & 0x7f, o1], &[0, 0, 1, octet]].concat();
                    let record = (u64::from(n) + 1).to_be_bytes();
                    let mut datagram = [&[22, 0xfe, 0xfd, 0, 0][..], &record[2..], &[0, 13], &fragment].concat();
                    deliver(&mut end, now, &mut datagram).unwrap();
                    most = most.max(live().saturating_sub(before));
                }
                println!("{version} {who}: {most} octets at most");
                assert!(most <= REASSEMBLY + EXPECTED + LIST, "{version} {who}: {most}");
            }
        }
    });
}

/// Who lets messages be as long as they can be announced has them cost what arrived of them.
#[test]
fn f6_memory_follows_the_octets_and_not_the_announced_length() {
    alone(|| {
        let now = Instant::now();
        for version in VERSIONS {
            let mut transport = TransportConfig::default();
            transport.set_max_handshake_message(0xff_ffff).unwrap();
            let mut config: ClientConfig = client_config(version);
            config.set_transport(transport);
            let mut client = new_client(&Arc::new(config), now);
            drain(&mut client, now);
            let mut previous = 0;
            for octets in 1..=100 {
                let (grown, ()) = growth(|| {
                    let fragment = [2, 0xff, 0xff, 0xff, 0, 0, octets, 0, 0, 0, 0, 1, 7];
                    let mut datagram = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, octets, 0, 13][..], &fragment].concat();
                    deliver(&mut client, now, &mut datagram).unwrap();
                });
                previous += grown;
                assert!(previous <= usize::from(octets) * 584 + LIST, "{version}: {previous} for {octets}");
            }
        }
    });
}

/// The longest that is accepted is not refused for its length, so its octets are kept: as many as the bound allows.
#[test]
fn octets_of_the_longest_message_in_the_worst_order_keep_what_the_reassembly_may() {
    const LONGEST: u32 = 64 * 1024;
    alone(|| {
        let now = Instant::now();
        for version in VERSIONS {
            let [(_, mut client), _] = begun(version, now);
            let mut most = 0;
            let before = live();
            // Every 256th octet first, so that each opens memory of its own; then what lies between.
            for n in 0..LONGEST {
                let at = (n % 256) * 256 + n / 256;
                let [_, o0, o1, o2] = at.to_be_bytes();
                let fragment = [2, 1, 0, 0, 0, 0, o0, o1, o2, 0, 0, 1, 7];
                let record = (u64::from(n) + 1).to_be_bytes();
                let mut datagram = [&[22, 0xfe, 0xfd, 0, 0][..], &record[2..], &[0, 13], &fragment].concat();
                deliver(&mut client, now, &mut datagram).unwrap();
                if n % 64 == 0 {
                    most = most.max(live().saturating_sub(before));
                }
            }
            println!("{version}: {most} octets at most");
            assert!(most <= EXPECTED + LIST, "{version}: {most}");
        }
    });
}

#[test]
fn f4_fragments_of_nothing_keep_nothing() {
    alone(|| {
        let now = Instant::now();
        for version in VERSIONS {
            for (who, mut end) in begun(version, now) {
                let (grown, ()) = growth(|| {
                    for n in 0..100_000_u64 {
                        let [s0, s1] = (n as u16).to_be_bytes();
                        let fragment = [2, 0, 0xff, 0xff, s0, s1, 0, 0, s1, 0, 0, 0];
                        let record = (n + 1).to_be_bytes();
                        let mut datagram = [&[22, 0xfe, 0xfd, 0, 0][..], &record[2..], &[0, 12], &fragment].concat();
                        deliver(&mut end, now, &mut datagram).unwrap();
                    }
                });
                assert_eq!(grown, 0, "{version} {who}");
            }
        }
    });
}

/// Records that claim keys which are not there yet: of epoch 1 in DTLS 1.2, of epoch 2 in 1.3.
#[test]
fn r2_a_hundred_thousand_records_before_their_keys_keep_what_may_be_early() {
    alone(|| {
        let now = Instant::now();
        for version in VERSIONS {
            for len in [32, 1000] {
                for (who, mut end) in begun(version, now) {
                    let (grown, ()) = growth(|| {
                        for n in 0..100_000_u64 {
                            let [.., n0, n1] = n.to_be_bytes();
                            let mut datagram = match version {
                                ProtocolVersion::DTLS1_2 => {
                                    [&[22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0][..], &[n0, n1]].concat()
                                }
                                _ => vec![0x2e, n0, n1],
                            };
                            datagram.extend(u16::try_from(len).unwrap().to_be_bytes());
                            datagram.extend(vec![n1; len]);
                            deliver(&mut end, now, &mut datagram).unwrap();
                        }
                    });
                    println!("{version} {who}, {len} octets each: {grown}");
                    assert!(grown <= EARLY, "{version} {who}, {len} octets each: {grown}");
                    assert!(end.stats().discarded_in_all() > 99_000, "{version} {who}: {:?}", end.stats());
                }
            }
        }
    });
}

#[test]
fn fragments_of_forged_addresses_share_one_pool() {
    alone(|| {
        let now = Instant::now();
        let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(both_versions()), now).unwrap();
        let mut reply = [0; 1500];
        let (grown, ()) = growth(|| {
            for n in 0..ALL_FRAGMENTS / FRAGMENTS {
                let datagram = fragments(0, n * FRAGMENTS, 1, [0xfe, 0xff]);
                let verdict = endpoint.handle(now, address(n), None, &datagram, &mut reply);
                assert!(
                    matches!(
                        verdict,
                        Verdict::Drop(DropReason::FragmentRefused | DropReason::Fragment | DropReason::Malformed)
                    ),
                    "{verdict:?}"
                );
            }
        });
        assert_eq!(grown, 0);
    });
}
