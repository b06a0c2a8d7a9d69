//! What strangers send to an endpoint costs no memory: nothing is allocated, be it 100,000 ClientHellos of forged addresses or
//! fragments of them, and nothing is left of peers that came and went.

#[path = "common/ends.rs"]
mod ends;
#[path = "common/hello.rs"]
mod hello;

use ends::{client_config, deliver, drain, new_client, server_config};
use hello::Hello;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use udtls::{
    Connection, DropReason, Endpoint, EndpointConfig, KeyShares, NamedGroup, ProtocolVersion, ServerConfig, Verdict,
};

/// The system's allocator, counting for the thread that asks.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

fn count(allocations: u64, octets: i64) {
    // A thread that is being torn down has no counters any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _ = LIVE.try_with(|live| live.set(live.get() + octets));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: `pointer` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STRANGERS: u32 = 100_000;
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

fn address(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 4433))
}

fn server() -> Arc<ServerConfig> {
    let mut config = server_config(ProtocolVersion::DTLS1_2);
    config.set_versions(&VERSIONS).unwrap();
    Arc::new(config)
}

/// Allocations, and live octets.
fn memory() -> (u64, i64) {
    (ALLOCATIONS.get(), LIVE.get())
}

#[test]
fn the_counters_count() {
    let before = memory();
    let boxed = std::hint::black_box(Box::new([0_u8; 100]));
    assert_eq!(memory(), (before.0 + 1, before.1 + 100));
    drop(boxed);
    assert_eq!(memory(), (before.0 + 1, before.1));
}

#[test]
fn forged_hellos_leave_the_heap_as_it_was() {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(server()), now).unwrap();
    let mut reply = [0; 1500];
    for version in VERSIONS {
        let hello = drain(&mut new_client(&Arc::new(client_config(version)), now), now).remove(0);
        let before = memory();
        for n in 0..STRANGERS {
            assert!(matches!(endpoint.handle(now, address(n), None, &hello, &mut reply), Verdict::Reply(_)));
        }
        assert_eq!(memory(), before, "{version}");
    }
    assert_eq!(endpoint.stats().cookies_sent, 2 * u64::from(STRANGERS));
}

/// Whatever a ClientHello asks for and whatever is wrong with it, nothing is allocated to say so.
#[test]
fn no_hello_without_a_good_cookie_allocates() {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(server()), now).unwrap();
    let (mut hellos, mut reply) = (Vec::new(), [0; 1500]);
    for version in VERSIONS {
        let usual = Hello::new(version);
        let mut extended = usual.clone();
        // certificate_authorities, application protocols, and more than anybody has heard of.
        extended.set(47, [&[0, 40][..], &[0, 2, b'a', b'b'].repeat(10)].concat());
        extended.set(16, b"\0\x05\x04coap".to_vec());
        (1000..1100).for_each(|ty| extended.set(ty, vec![0; 3]));
        endpoint.handle(now, address(1 << 20), None, &usual.datagram(), &mut reply);
        let stolen = usual.answering(&reply);
        let mut repeated = usual.clone();
        repeated.extensions.push((0, Vec::new()));
        let sha384 = Hello { suites: vec![0x1302, 0xc02c], ..usual.clone() };
        let nothing_in_common = Hello { suites: vec![0x0005], ..usual.clone() };
        let unknown_version = Hello { legacy_version: 0xfeff, ..usual.clone() };
        hellos.extend([usual, extended, stolen, repeated, sha384, nothing_in_common, unknown_version]);
    }
    let hellos: Vec<_> = hellos.iter().map(Hello::datagram).collect();
    let before = memory();
    let (mut replies, mut dropped) = (0, 0);
    for (n, hello) in hellos.iter().cycle().take(1400).enumerate() {
        match endpoint.handle(now, address(n as u32 + 1), None, hello, &mut reply) {
            Verdict::Reply(_) => replies += 1,
            Verdict::Drop(DropReason::Malformed) => dropped += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(memory(), before);
    assert_eq!((replies, dropped), (1200, 200));
}

#[test]
fn forged_fragments_leave_the_heap_as_it_was() {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(server()), now).unwrap();
    let mut config = client_config(ProtocolVersion::DTLS1_3);
    config.set_key_shares(KeyShares::HybridFirst).unwrap();
    let hello = drain(&mut new_client(&Arc::new(config), now), now);
    assert_eq!(hello.len(), 2);
    let mut reply = [0; 1500];
    let before = memory();
    for n in 0..STRANGERS / 4 {
        let verdict = endpoint.handle(now, address(n), None, &hello[0], &mut reply);
        assert!(matches!(verdict, Verdict::Kept));
    }
    for n in STRANGERS / 4..STRANGERS / 4 + 1000 {
        endpoint.handle(now, address(n), None, &hello[0], &mut reply);
        assert!(matches!(endpoint.handle(now, address(n), None, &hello[1], &mut reply), Verdict::Reply(_)));
    }
    assert_eq!(memory(), before);
}

/// Accepts whoever comes, up to the server's first flight.
fn begin(endpoint: &mut Endpoint, n: u32, now: Instant) -> Connection {
    let mut config = client_config(VERSIONS[n as usize % 2]);
    config.set_groups(&[NamedGroup::X25519]).unwrap();
    let mut client = new_client(&Arc::new(config), now);
    let mut reply = [0; 1500];
    loop {
        let hello = drain(&mut client, now).remove(0);
        match endpoint.handle(now, address(n), None, &hello, &mut reply) {
            Verdict::Reply(len) => drop(deliver(&mut client, now, &mut reply[..len]).unwrap()),
            Verdict::Incoming(incoming) => return endpoint.accept(*incoming, None, now).unwrap().1,
            other => panic!("{other:?}"),
        }
    }
}

/// Even of an application that never says that a connection is gone.
#[test]
fn what_came_and_went_leaves_no_more_behind_the_more_there_was() {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(server()), now).unwrap();
    let mut after = Vec::new();
    for round in 0..4 {
        for n in 0..500 {
            drop(begin(&mut endpoint, round * 500 + n, now));
        }
        after.push(LIVE.get());
        assert_eq!((endpoint.stats().connections, endpoint.stats().half_open), (0, 0));
    }
    // Tables have room for what may come next, so it goes up and down.
    let growth = after.iter().max().unwrap() - after[0];
    assert!(growth < 1500 * 20, "{after:?}");
}

/// A datagram of an association costs nothing to route, and one of nobody's neither.
#[test]
fn data_is_routed_without_an_allocation() {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(server()), now).unwrap();
    let mut reply = [0; 1500];
    let mut client = new_client(&Arc::new(client_config(ProtocolVersion::DTLS1_2)), now);
    let mut server = None;
    while !client.is_established() {
        for mut datagram in drain(&mut client, now) {
            match endpoint.handle(now, address(1), None, &datagram, &mut reply) {
                Verdict::Reply(len) => drop(deliver(&mut client, now, &mut reply[..len]).unwrap()),
                Verdict::Incoming(incoming) => server = Some(endpoint.accept(*incoming, None, now).unwrap().1),
                _ => drop(deliver(server.as_mut().unwrap(), now, &mut datagram).unwrap()),
            }
        }
        for mut datagram in server.as_mut().map(|server| drain(server, now)).unwrap_or_default() {
            deliver(&mut client, now, &mut datagram).unwrap();
        }
    }
    let len = client.send(now, b"data", &mut reply).unwrap();
    let datagram = reply[..len].to_vec();
    let before = memory();
    for n in 1..1000 {
        match endpoint.handle(now, address(n), None, &datagram, &mut reply) {
            Verdict::Connection(_) => assert_eq!(n, 1),
            verdict => assert!(matches!(verdict, Verdict::Drop(DropReason::NotForUs))),
        }
    }
    assert_eq!(memory(), before);
}
