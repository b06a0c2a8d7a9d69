//! What is asked of the allocator: nothing for a record of application data, in either direction, nor for a ClientHello
//! without a cookie; always the same for a KeyUpdate, and for a handshake no more than a bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    CipherSuite, ClientConfig, Connection, CookieKeys, Datagram, Decision, Direction, Event, Fingerprint,
    KeyUpdateRequest, Listener, NamedGroup, ProtocolVersion, ServerConfig, Source,
};

/// The system's allocator, counting for the thread that asks.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Octets.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

fn live(change: i64) {
    let _ = LIVE.try_with(|live| live.set(live.get() + change));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is being torn down has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        live(layout.size() as i64);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        live(-(layout.size() as i64));
        // SAFETY: `pointer` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Datagrams each way, with three records each.
const DATAGRAMS: usize = 10_000;

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get(), before + 1);
}

#[test]
fn data_is_sent_and_received_without_an_allocation() {
    let suites = [
        (ProtocolVersion::DTLS1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (ProtocolVersion::DTLS1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        (ProtocolVersion::DTLS1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        (ProtocolVersion::DTLS1_3, CipherSuite::TLS_AES_128_GCM_SHA256),
        (ProtocolVersion::DTLS1_3, CipherSuite::TLS_AES_256_GCM_SHA384),
        (ProtocolVersion::DTLS1_3, CipherSuite::TLS_CHACHA20_POLY1305_SHA256),
    ];
    for (version, suite) in suites {
        let now = Instant::now();
        let (mut client, mut server) = established(version, suite, now);
        // The first record may fill caches of the provider.
        exchange(&mut client, &mut server, now);
        let before = ALLOCATIONS.get();
        for _ in 0..DATAGRAMS {
            exchange(&mut client, &mut server, now);
            exchange(&mut server, &mut client, now);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{version} {suite}");
    }
}

/// A stranger's datagram, and the answer to it.
#[test]
fn a_client_hello_without_a_cookie_is_answered_without_an_allocation() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let now = Instant::now();
        let (client, server) = configs(version, &[]);
        let listener = Listener::new(server, CookieKeys::new(now).unwrap());
        let source = Source::new("192.0.2.1:40000".parse().unwrap(), None).unwrap();
        let (mut hello, mut reply) = ([0; 1500], [0; 1500]);
        let len = Connection::client(client, None, now).unwrap().poll_transmit(now, &mut hello).unwrap().unwrap();
        let mut answer = || match listener.handle(now, source, &hello[..len], &mut reply) {
            Decision::Reply(reply) => assert_eq!(reply.cookie, None),
            other => panic!("{other:?}"),
        };
        answer();
        let (before, kept) = (ALLOCATIONS.get(), LIVE.get());
        for _ in 0..1_000 {
            answer();
        }
        assert_eq!((ALLOCATIONS.get() - before, LIVE.get() - kept), (0, 0), "{version}");
    }
}

/// Both ends together: X25519, ECDSA on P-256, a chain of one certificate, no sessions. About half of it is the provider's
/// own, which returns keys and signers in boxes.
#[test]
fn a_full_handshake_takes_few_allocations() {
    for (version, bound) in [(ProtocolVersion::DTLS1_2, 120), (ProtocolVersion::DTLS1_3, 127)] {
        let now = Instant::now();
        let (client, server) = configs(version, &[]);
        let allocations = || {
            let before = ALLOCATIONS.get();
            let pair = shake_hands(&client, &server, now);
            let after = ALLOCATIONS.get();
            drop(pair);
            after - before
        };
        // The first one fills caches.
        allocations();
        let counted = allocations();
        assert!(counted <= bound, "{version}: {counted}");
    }
}

/// As many updates as there may be (draft-ietf-tls-rfc9147bis §8: epochs have 16 bits here): the last costs what the first
/// did, and leaves nothing behind.
#[test]
fn every_key_update_costs_the_same() {
    const UPDATES: usize = 65_000;
    /// By then the handshake's keys are forgotten (RFC 9147 §4.2.1), and the list of ACKs is full.
    /// By then the list of what is acknowledged has its full length (RFC 9147 §7).
    const FIRST: usize = 300;
    let mut now = Instant::now();
    let (mut client, mut server) = established(ProtocolVersion::DTLS1_3, CipherSuite::TLS_AES_128_GCM_SHA256, now);
    let mut usual = (0, 0);
    for n in 0..UPDATES {
        let (before, kept) = (ALLOCATIONS.get(), LIVE.get());
        update(&mut client, &mut server, &mut now);
        let cost = (ALLOCATIONS.get() - before, LIVE.get() - kept);
        match n {
            0..FIRST => {}
            FIRST => usual = cost,
            _ => assert_eq!(cost, usual, "update {n}"),
        }
    }
    assert_eq!(usual.1, 0);
    exchange(&mut client, &mut server, now);
}

/// New keys for what `from` sends; the ACK takes its time.
fn update(from: &mut Connection, to: &mut Connection, now: &mut Instant) {
    from.request_key_update(*now, KeyUpdateRequest::NotRequested).unwrap();
    carry(from, to, *now);
    *now += Duration::from_secs(1);
    to.handle_timeout(*now);
    carry(to, from, *now);
    let changes = [from, to].map(|end| std::iter::from_fn(|| end.poll_event()).last());
    let expected = [Direction::Sending, Direction::Receiving].map(|direction| Some(Event::KeyUpdated(direction)));
    assert_eq!(changes, expected);
}

/// Three records in one datagram.
fn exchange(from: &mut Connection, to: &mut Connection, now: Instant) {
    let mut buffer = [0; 1024];
    let mut len = 0;
    for payload in [&b"one"[..], &[2; 200], &[]] {
        len += from.send(now, payload, &mut buffer[len..]).unwrap();
    }
    let mut datagram = Datagram::new(&mut buffer[..len]);
    for expected in [&b"one"[..], &[2; 200], &[]] {
        let mut data = to.receive(now, &mut datagram).unwrap().unwrap();
        assert_eq!(data.payload(), expected);
    }
    assert!(to.receive(now, &mut datagram).unwrap().is_none());
}

fn established(version: ProtocolVersion, suite: CipherSuite, now: Instant) -> (Connection, Connection) {
    let (client, server) = configs(version, &[suite]);
    shake_hands(&client, &server, now)
}

/// Of this version, and with these suites, or all.
fn configs(version: ProtocolVersion, suites: &[CipherSuite]) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let mut client =
        ClientConfig::builder().with_peer_fingerprints([Fingerprint::of(&certificate)]).unwrap().with_no_client_auth();
    client.set_versions(&[version]).unwrap().set_groups(&[NamedGroup::X25519]).unwrap();
    if !suites.is_empty() {
        client.set_cipher_suites(suites).unwrap();
    }
    let mut server =
        ServerConfig::builder().with_no_client_auth().unwrap().with_single_cert(vec![certificate], private).unwrap();
    server.set_groups(&[NamedGroup::X25519]).unwrap().set_ticket_count(0);
    (Arc::new(client), Arc::new(server))
}

fn shake_hands(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, now: Instant) -> (Connection, Connection) {
    let mut client = Connection::client(client.clone(), None, now).unwrap();
    let mut server = Connection::server(server.clone(), now).unwrap();
    while !(client.is_established() && server.is_established()) {
        carry(&mut client, &mut server, now);
        carry(&mut server, &mut client, now);
    }
    (client, server)
}

fn carry(from: &mut Connection, to: &mut Connection, now: Instant) {
    let mut buffer = [0; 1500];
    while let Some(len) = from.poll_transmit(now, &mut buffer).unwrap() {
        assert!(to.receive(now, &mut Datagram::new(&mut buffer[..len])).unwrap().is_none());
    }
}
