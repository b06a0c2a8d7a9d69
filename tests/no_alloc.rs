//! An established association allocates nothing for a record of application data, in either direction.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;
use udtls::{CipherSuite, ClientConfig, Connection, Datagram, Fingerprint, ProtocolVersion, ServerConfig};

/// The system's allocator, counting for the thread that asks.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is being torn down has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RECORDS: usize = 1_000;

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
        for _ in 0..RECORDS {
            exchange(&mut client, &mut server, now);
            exchange(&mut server, &mut client, now);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{version} {suite}");
    }
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
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let mut client =
        ClientConfig::builder().with_peer_fingerprints([Fingerprint::of(&certificate)]).unwrap().with_no_client_auth();
    client.set_versions(&[version]).unwrap().set_cipher_suites(&[suite]).unwrap();
    let server =
        ServerConfig::builder().with_no_client_auth().unwrap().with_single_cert(vec![certificate], private).unwrap();
    let mut client = Connection::client(Arc::new(client), None, now).unwrap();
    let mut server = Connection::server(Arc::new(server), now).unwrap();
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
