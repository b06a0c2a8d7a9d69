//! How much more two threads do than one, each with an `Endpoint` of its own: the work is prepared beforehand, dealt out once
//! to one endpoint and once to two, and done in memory.
//!
//! * Handshakes: ClientHellos with good cookies, of both versions by turns. The endpoint checks the cookie, accepts, and makes
//!   the server's first flight, with its key pair, agreement (1.3) and signature. That is all of a server's work that no answer
//!   of the client's must be awaited for, and nine tenths of it; what follows would depend on what the server has drawn.
//! * Records of 64 octets, of twenty associations a thread: routed, found and opened.
//!
//! * As a floor, hashing, which shares nothing at all: what the machine itself gives to a second thread.
//!
//! Tries of one and of two threads alternate. They are short, begin when all threads are seen to run, and the quickest of each
//! counts: on a machine with other work most lose a processor on the way, and only one that has both shows what the library
//! is in the way of. Beside it stands what does not depend on luck: the processor time of two threads as a multiple of one's,
//! and how often a thread waited for anything but its turn.

#[path = "common/harness.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod harness;
#[path = "common/parties.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod parties;

use harness::{Harness, Patience, Table};
use parties::{ClientAuth, Kind, Parties, Sessions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use udtls::{
    ClientConfig, Connection, ConnectionHandle, CookieKeys, Datagram, Endpoint, EndpointConfig, NamedGroup,
    ProtocolVersion, ServerConfig, Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// Associations of a thread.
const PEERS: usize = 20;

/// What two threads are to do in the time of one.
const BOUND: f64 = 1.8;

fn main() {
    let harness = Harness::new("threads");
    let (tries, hashes, hellos, records) = match harness.patience() {
        Patience::Full => (100, 1_000, 16, 6_000),
        Patience::Quick => (10, 1_000, 16, 6_000),
        Patience::Test => (1, 8, 8, 200),
    };
    let scene = Scene::new();
    let mut table = Table::new(&[
        "the same work",
        "one endpoint",
        "two, on two threads",
        "speed-up",
        "processor time",
        "waits a thousand tries",
    ]);
    for (name, count, of_this) in [
        ("SHA-256 of a kilobyte: the machine itself", hashes, &|| Box::new(hash) as Work),
        ("server's part of a handshake, up to its first flight", hellos, &|| scene.handshakes(hellos as usize) as Work),
        ("record of 64 octets, routed and opened", records, &|| scene.records(records as usize) as Work),
    ] as [(&str, i64, &(dyn Fn() -> Work + Sync)); 3]
    {
        let mut sums = [Sum::new(), Sum::new()];
        for _ in 0..tries {
            for (threads, sum) in [1, 2].into_iter().zip(&mut sums) {
                together(threads, of_this, count / threads as i64, sum);
            }
        }
        let [one, two] = sums.each_ref().map(|sum| count as f64 / sum.quickest.as_secs_f64());
        let rates = [one, two].map(|rate| format!("{rate:.0}/s"));
        let busy = sums[1].busy.as_secs_f64() / sums[0].busy.as_secs_f64();
        let waits = sums[1].waits * 1000 / (tries * ROUNDS as i64);
        let rest = [format!("{:.2} (≥ {BOUND})", two / one), format!("× {busy:.2}"), waits.to_string()];
        table.push_text(&[&[name.to_owned()], &rates[..], &rest].concat());
    }
    harness.finish("", "Two threads", &table);
}

fn hash(times: usize) {
    for _ in 0..times {
        black_box(Sha256::digest(black_box([0x5a; 1024])));
    }
}

/// Does so many pieces of work.
type Work = Box<dyn FnOnce(usize) + Send>;

/// What one thread did in a try.
struct Span {
    begun: Instant,
    ended: Instant,
    /// Processor time.
    busy: Duration,
    /// How often it gave up the processor of its own accord.
    waits: i64,
}

/// What comes of all tries with so many threads.
struct Sum {
    quickest: Duration,
    /// The least processor time of all threads together.
    busy: Duration,
    waits: i64,
}

impl Sum {
    const fn new() -> Self {
        Self { quickest: Duration::MAX, busy: Duration::MAX, waits: 0 }
    }

    fn add<'s>(&mut self, spans: impl Iterator<Item = &'s Span> + Clone) {
        let first = spans.clone().map(|span| span.begun).min().expect("a thread");
        let last = spans.clone().map(|span| span.ended).max().expect("a thread");
        self.quickest = self.quickest.min(last - first);
        self.busy = self.busy.min(spans.clone().map(|span| span.busy).sum());
        self.waits += spans.map(|span| span.waits).sum::<i64>();
    }
}

/// Lets so many threads do their share, some times over, each time begun when all of them run.
fn together(threads: usize, of_this: &(dyn Fn() -> Work + Sync), share: i64, sum: &mut Sum) {
    let (ready, running) = (&Barrier::new(threads), &AtomicUsize::new(0));
    let spans: Vec<Vec<_>> = thread::scope(|scope| {
        let work = move || {
            (1..=ROUNDS)
                .map(|round| {
                    let work = of_this();
                    ready.wait();
                    running.fetch_add(1, Ordering::SeqCst);
                    while running.load(Ordering::SeqCst) < round * threads {
                        std::hint::spin_loop();
                    }
                    let (begun, (busy, waits)) = (Instant::now(), own_use());
                    work(share as usize);
                    let (busy_then, waits_then) = own_use();
                    Span { begun, ended: Instant::now(), busy: busy_then - busy, waits: waits_then - waits }
                })
                .collect()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it works")).collect()
    });
    // In the first round a thread's heap is still to grow.
    (1..ROUNDS).for_each(|round| sum.add(spans.iter().map(|spans| &spans[round])));
}

/// Of the same threads, prepared by each for itself.
const ROUNDS: usize = 10;

/// This thread's processor time, and how often it waited.
fn own_use() -> (Duration, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the struct that it is given, and nothing else.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(done, 0);
    // SAFETY: all octets zero are a `rusage`, a struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    assert_eq!(done, 0);
    (Duration::new(time.tv_sec as u64, time.tv_nsec as u32), usage.ru_nvcsw)
}

/// What all endpoints share, and what clients say to them.
struct Scene {
    server: Arc<ServerConfig>,
    clients: [Arc<ClientConfig>; 2],
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let (parties, provider) = (Parties::new(), Arc::new(aws_lc_rs::default_provider()));
        let [kind12, kind13] = VERSIONS.map(|version| Kind {
            version,
            group: NamedGroup::X25519,
            client_auth: ClientAuth::None,
            sessions: Sessions::None,
        });
        let mut server = parties.server_config(&provider, kind12);
        server.set_versions(&VERSIONS).expect("versions");
        let clients = [kind12, kind13].map(|kind| Arc::new(parties.client_config(&provider, kind)));
        Self { server: Arc::new(server), clients, now: Instant::now() }
    }

    /// An endpoint whose cookies are good at all others.
    fn endpoint(&self) -> Endpoint {
        let mut settings = EndpointConfig::new();
        settings.set_cookie_keys(CookieKeys::derive(&[7; 32], self.now).expect("keys"));
        settings.set_max_connections(1 << 20).set_max_half_open(1 << 20).set_max_half_open_per_network(1 << 20);
        settings.set_max_handshake_memory(1 << 32);
        Endpoint::new(settings, Some(self.server.clone()), self.now).expect("an endpoint")
    }

    fn client(&self, number: usize) -> Connection {
        let name = ServerName::try_from("localhost").expect("a name");
        Connection::client(self.clients[number % 2].clone(), Some(name), self.now).expect("a client")
    }

    /// The first flight of a server for each of so many ClientHellos.
    fn handshakes(&self, count: usize) -> Box<dyn FnOnce(usize) + Send> {
        let (mut endpoint, now) = (self.endpoint(), self.now);
        let hellos: Vec<_> = (0..count)
            .map(|number| {
                let mut client = self.client(number);
                let mut reply = [0; 256];
                let Verdict::Reply(len) =
                    endpoint.handle(now, address(number), None, &said(&mut client, now), &mut reply)
                else {
                    panic!("a cookie")
                };
                assert!(receive(&mut client, now, &mut reply[..len]).is_none());
                said(&mut client, now)
            })
            .collect();
        Box::new(move |share| {
            let mut out = [0; 1500];
            for (number, mut hello) in hellos.into_iter().take(share).enumerate() {
                let verdict = endpoint.handle(now, address(number), None, &hello, &mut out);
                let Verdict::Incoming(incoming) = verdict else { panic!("{verdict:?}") };
                let (handle, mut connection) = endpoint.accept(*incoming, None, now).expect("a connection");
                assert!(receive(&mut connection, now, &mut hello).is_none());
                while connection.poll_transmit(now, &mut out).expect("room for a datagram").is_some() {}
                endpoint.update(handle, &mut connection);
            }
        })
    }

    /// So many records, by turns of all associations.
    fn records(&self, count: usize) -> Box<dyn FnOnce(usize) + Send> {
        let (mut endpoint, now) = (self.endpoint(), self.now);
        let mut connections: HashMap<ConnectionHandle, Connection> = HashMap::new();
        let mut clients: Vec<_> = (0..PEERS)
            .map(|number| {
                let mut client = self.client(number);
                let (handle, server) = open(&mut endpoint, &mut client, address(number), now);
                connections.insert(handle, server);
                client
            })
            .collect();
        let mut sealed: Vec<_> = (0..count)
            .map(|number| {
                let mut out = [0; 112];
                let len = clients[number % PEERS].send(now, &[0x5a; 64], &mut out).expect("it is sealed");
                (out, len)
            })
            .collect();
        Box::new(move |share| {
            let mut reply = [0; 256];
            for (number, (octets, len)) in sealed.iter_mut().take(share).enumerate() {
                let datagram = &mut octets[..*len];
                let verdict = endpoint.handle(now, address(number % PEERS), None, datagram, &mut reply);
                let Verdict::Connection(handle) = verdict else { panic!("{verdict:?}") };
                let connection = connections.get_mut(&handle).expect("it is there");
                black_box(receive(connection, now, datagram).expect("data"));
            }
        })
    }
}

fn address(number: usize) -> SocketAddr {
    let [.., a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 40_000))
}

/// The one datagram that an end has to send.
fn said(end: &mut Connection, now: Instant) -> Vec<u8> {
    let mut out = vec![0; 1500];
    let len = end.poll_transmit(now, &mut out).expect("room for a datagram").expect("something to say");
    out.truncate(len);
    out
}

/// Octets of the data in a datagram, if there is any.
fn receive(to: &mut Connection, now: Instant, datagram: &mut [u8]) -> Option<usize> {
    let mut datagram = Datagram::new(datagram);
    let mut data = to.receive(now, &mut datagram).expect("a datagram that is good")?;
    Some(data.payload().len())
}

/// A handshake with the endpoint, cookie and all.
fn open(
    endpoint: &mut Endpoint,
    client: &mut Connection,
    from: SocketAddr,
    now: Instant,
) -> (ConnectionHandle, Connection) {
    let (mut server, mut out): (Option<(ConnectionHandle, Connection)>, _) = (None, [0; 1500]);
    let mut datagram = [0; 1500];
    loop {
        while let Some(len) = client.poll_transmit(now, &mut datagram).expect("room for a datagram") {
            match endpoint.handle(now, from, None, &datagram[..len], &mut out) {
                Verdict::Reply(len) => assert!(receive(client, now, &mut out[..len]).is_none()),
                Verdict::Incoming(incoming) => {
                    server = Some(endpoint.accept(*incoming, None, now).expect("a connection"));
                }
                _ => {}
            }
            if let Some((_, server)) = &mut server {
                assert!(receive(server, now, &mut datagram[..len]).is_none());
            }
        }
        let Some((handle, connection)) = &mut server else { continue };
        while let Some(len) = connection.poll_transmit(now, &mut out).expect("room for a datagram") {
            assert!(receive(client, now, &mut out[..len]).is_none());
        }
        endpoint.update(*handle, connection);
        if client.is_established() && connection.is_established() {
            return server.expect("it is there");
        }
    }
}
