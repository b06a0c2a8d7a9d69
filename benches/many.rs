//! A hundred thousand associations in one process, half of each version, behind one `Endpoint` that demands cookies: what
//! each of them takes of memory, how fast they come, and what a record costs at random among them.
//!
//! * Memory is what malloc has handed out, the C library's heap included (`mallinfo2` of glibc), four virtual minutes after
//!   the last handshake, when the last flights and the keys of the handshake are gone, and once more when all of them
//!   hibernate. The share of each version, and that of the endpoint, is what becomes free when its connections are dropped,
//!   or stays until then; the structs themselves are counted. Clients are dropped as soon as they have sealed their data.
//! * Handshakes are of both ends in one thread.
//! * A record of 64 octets is routed by its source, found among the application's connections, and opened. Its datagrams lie
//!   in memory in the order of their arrival. Of each association drawn at random two records arrive, the second when its
//!   state is in the caches: what the first costs more are cache and TLB misses, and what the second costs is held against
//!   a record of an association that is the endpoint's only one. What a miss costs is told by loads of which each waits for the
//!   one before it, all over as much memory as the associations have. The middle turn of each counts here, not the quickest:
//!   every turn of the first kind has its own misses.

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
use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    CipherSuite, ClientConfig, Connection, ConnectionHandle, Datagram, Endpoint, EndpointConfig, NamedGroup,
    ProtocolVersion, ServerConfig, Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// Octets of memory that a connection may take, by version, and hibernating.
const BOUNDS: [usize; 2] = [1_900, 3_200];
const HIBERNATED: usize = 900;

/// Octets of a record's payload.
const PAYLOAD: usize = 64;
/// Octets of such a datagram, at most.
const DATAGRAM: usize = PAYLOAD + 48;
/// Associations of which records arrive in a turn: few enough for all their state to stay in the caches.
const TURN: usize = 16;

fn main() {
    let harness = Harness::new("many");
    let count = match harness.patience() {
        Patience::Full => 100_000,
        Patience::Quick => 4_000,
        Patience::Test => 64,
    };
    let mut crowd = Crowd::new(count);
    let rates = VERSIONS.map(|version| crowd.open(version, count / VERSIONS.len()));
    crowd.wait();
    let mut records = crowd.records();
    let memory = crowd.memory();
    let headings = [
        "version",
        "associations",
        "handshakes/s",
        "octets each",
        "hibernated",
        "the struct in them",
        "endpoint, each",
    ];
    let mut table = Table::new(&headings);
    for (number, (version, rate)) in VERSIONS.iter().zip(rates).enumerate() {
        let [awake, asleep] = [&memory.awake, &memory.asleep].map(|octets| octets[number]);
        let awake = format!("{awake} (≤ {})", BOUNDS[number]);
        let asleep = format!("{asleep} (≤ {HIBERNATED})");
        let [count, rate] = [(count / 2).to_string(), format!("{rate:.0}")];
        let [inline, endpoint] = [size_of::<Connection>(), memory.endpoint].map(|octets| octets.to_string());
        table.push_text(&[version.to_string(), count, rate, awake, asleep, inline, endpoint]);
    }
    harness.finish("", "Many associations", &table);
    records.report(&harness);
}

/// An endpoint and its connections, which the application owns.
struct Crowd {
    configs: [Arc<ClientConfig>; 2],
    endpoint: Endpoint,
    connections: Vec<Connection>,
    /// The application's own, and not counted.
    places: HashMap<ConnectionHandle, usize>,
    /// Three datagrams of each association.
    sealed: Vec<[Sealed; 3]>,
    now: Instant,
    /// Octets of heap before anybody came.
    before: usize,
}

/// A datagram with one record.
#[derive(Clone, Copy)]
struct Sealed {
    octets: [u8; DATAGRAM],
    len: usize,
}

/// Octets.
struct Memory {
    /// Each, by version.
    awake: [usize; 2],
    /// The same, hibernating.
    asleep: [usize; 2],
    endpoint: usize,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let parties = Parties::new();
        let now = Instant::now();
        let mut settings = EndpointConfig::new();
        settings.set_max_connections(count + 1);
        let endpoint = Endpoint::new(settings, Some(Arc::new(server(&parties))), now).expect("an endpoint");
        let configs = VERSIONS.map(|version| Arc::new(client(&parties, version)));
        let places = HashMap::with_capacity(count);
        let sealed = Vec::with_capacity(count);
        let mut crowd = Self { configs, endpoint, connections: Vec::new(), places, sealed, now, before: 0 };
        // The first handshake fills caches of the provider.
        for config in &crowd.configs {
            drop(open(&mut crowd.endpoint, config, address(0), now));
        }
        crowd.before = heap();
        crowd.connections = Vec::with_capacity(count);
        crowd
    }

    /// Opens so many associations; handshakes in a second.
    fn open(&mut self, version: ProtocolVersion, count: usize) -> f64 {
        let which = usize::from(version == VERSIONS[1]);
        let mut time = Duration::ZERO;
        for _ in 0..count {
            let number = self.connections.len();
            let start = Instant::now();
            let (handle, connection, mut client) =
                open(&mut self.endpoint, &self.configs[which], address(number + 1), self.now);
            time += start.elapsed();
            self.places.insert(handle, number);
            self.connections.push(connection);
            self.sealed.push(std::array::from_fn(|_| Sealed::by(&mut client, self.now)));
        }
        count as f64 / time.as_secs_f64()
    }

    /// Lets four minutes pass, and does all that falls due.
    fn wait(&mut self) {
        let end = self.now + Duration::from_secs(241);
        let mut out = [0; 1500];
        for connection in &mut self.connections {
            while let Some(due) = connection.poll_timeout().filter(|due| *due <= end) {
                connection.handle_timeout(due.max(self.now));
                while connection.poll_transmit(due, &mut out).expect("room for a datagram").is_some() {}
            }
            connection.handle_timeout(end);
            while connection.poll_event().is_some() {}
        }
        self.now = end;
    }

    /// What each connection has, and the endpoint; nothing is left of the connections.
    fn memory(&mut self) -> Memory {
        let each = self.connections.len() / VERSIONS.len();
        let (mut awake, mut asleep) = ([0; 2], [0; 2]);
        let struct_len = size_of::<Connection>();
        for (awake, asleep) in awake.iter_mut().zip(&mut asleep).rev() {
            let full = heap();
            let kept = self.connections.len() - each;
            self.connections[kept..].iter_mut().for_each(Connection::hibernate);
            let without_contexts = heap();
            self.connections.truncate(kept);
            let without = heap();
            *awake = (full - without) / each + struct_len;
            *asleep = (without_contexts - without) / each + struct_len;
        }
        let spine = self.connections.capacity() * struct_len;
        let endpoint = (heap().saturating_sub(self.before + spine)) / (2 * each);
        Memory { awake, asleep, endpoint }
    }

    /// Records at random among all, and of one that is alone.
    fn records(&mut self) -> Records {
        let order = shuffled(self.connections.len());
        let (mut first, mut second, mut woken) = (Vec::new(), Vec::new(), Vec::new());
        let mut lone = Lone::new(self);
        for turn in order.chunks_exact(TURN) {
            // In the order of their arrival, as a socket's buffer would have them.
            let mut arrivals: [Vec<_>; 3] =
                std::array::from_fn(|which| turn.iter().map(|number| (*number, self.sealed[*number][which])).collect());
            let [cold, warm, waking] = &mut arrivals;
            first.push(self.receive(cold));
            second.push(self.receive(warm));
            turn.iter().for_each(|number| self.connections[*number].hibernate());
            woken.push(self.receive(waking));
            lone.turn();
        }
        let miss = chase(heap() - self.before);
        Records { first, second, woken, lone: lone.turns, miss }
    }

    /// So long a turn takes, a record.
    fn receive(&mut self, arrivals: &mut [(usize, Sealed)]) -> Duration {
        let mut reply = [0; 256];
        let start = Instant::now();
        for (number, sealed) in &mut *arrivals {
            let datagram = &mut sealed.octets[..sealed.len];
            let verdict = self.endpoint.handle(self.now, address(*number + 1), None, datagram, &mut reply);
            let Verdict::Connection(handle) = verdict else { panic!("{verdict:?}") };
            let connection = &mut self.connections[self.places[&handle]];
            receive(connection, self.now, datagram);
        }
        start.elapsed() / TURN as u32
    }
}

/// An association that is the only one of its endpoint.
struct Lone {
    endpoint: Endpoint,
    places: HashMap<ConnectionHandle, usize>,
    connections: Vec<Connection>,
    client: Connection,
    now: Instant,
    turns: Vec<Duration>,
}

impl Lone {
    fn new(crowd: &Crowd) -> Self {
        let parties = Parties::new();
        let now = crowd.now;
        let server = Some(Arc::new(server(&parties)));
        let mut endpoint = Endpoint::new(EndpointConfig::new(), server, now).expect("an endpoint");
        let config = Arc::new(client(&parties, ProtocolVersion::DTLS1_3));
        let (handle, connection, client) = open(&mut endpoint, &config, address(1), now);
        Self { endpoint, places: [(handle, 0)].into(), connections: vec![connection], client, now, turns: Vec::new() }
    }

    fn turn(&mut self) {
        let mut arrivals: [Sealed; TURN] = std::array::from_fn(|_| Sealed::by(&mut self.client, self.now));
        let mut reply = [0; 256];
        let start = Instant::now();
        for sealed in &mut arrivals {
            let datagram = &mut sealed.octets[..sealed.len];
            let verdict = self.endpoint.handle(self.now, address(1), None, datagram, &mut reply);
            let Verdict::Connection(handle) = verdict else { panic!("{verdict:?}") };
            receive(&mut self.connections[self.places[&handle]], self.now, datagram);
        }
        self.turns.push(start.elapsed() / TURN as u32);
    }
}

/// Turns of records, a record each.
struct Records {
    first: Vec<Duration>,
    second: Vec<Duration>,
    woken: Vec<Duration>,
    lone: Vec<Duration>,
    /// Nanoseconds of a load that misses the caches.
    miss: f64,
}

impl Records {
    fn report(&mut self, harness: &Harness) {
        let Self { first, second, woken, lone, miss } = self;
        let [first, second, woken, lone] = [first, second, woken, lone].map(|turns| middle(turns));
        let mut table = Table::new(&["a record routed and opened", "ns", "× the only one"]);
        for (name, time) in [
            ("of the only association", lone),
            ("at random among all, its state in the caches (≤ 1.5)", second),
            ("at random among all", first),
            ("of one that hibernated, its state in the caches", woken),
        ] {
            let ratio = time.as_secs_f64() / lone.as_secs_f64();
            table.push_text(&[name.to_owned(), time.as_nanos().to_string(), format!("{ratio:.2}")]);
        }
        let misses = (first.as_secs_f64() - second.as_secs_f64()) * 1e9 / *miss;
        let of_that = format!("a load that waits for memory: {misses:.0} of them make the difference");
        table.push_text(&[of_that, format!("{miss:.0}"), String::new()]);
        harness.finish("-records", "Records among many", &table);
    }
}

impl Sealed {
    fn by(client: &mut Connection, now: Instant) -> Self {
        let mut octets = [0; DATAGRAM];
        let len = client.send(now, &[0x5a; PAYLOAD], &mut octets).expect("it is sealed");
        Self { octets, len }
    }
}

fn receive(connection: &mut Connection, now: Instant, datagram: &mut [u8]) {
    let mut datagram = Datagram::new(datagram);
    let mut data = connection.receive(now, &mut datagram).expect("a record that is good").expect("data");
    black_box(data.payload());
}

fn server(parties: &Parties) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = parties.server_config(&provider, kind(VERSIONS[0]));
    config.set_versions(&VERSIONS).expect("versions");
    config
}

fn client(parties: &Parties, version: ProtocolVersion) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let suite = match version {
        ProtocolVersion::DTLS1_3 => CipherSuite::TLS_AES_128_GCM_SHA256,
        _ => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    };
    let mut config = parties.client_config(&provider, kind(version));
    config.set_cipher_suites(&[suite]).expect("a suite");
    config
}

const fn kind(version: ProtocolVersion) -> Kind {
    Kind { version, group: NamedGroup::X25519, client_auth: ClientAuth::None, sessions: Sessions::None }
}

fn address(number: usize) -> SocketAddr {
    let [.., a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 40_000))
}

/// A handshake with the endpoint, cookie and all.
fn open(
    endpoint: &mut Endpoint,
    config: &Arc<ClientConfig>,
    from: SocketAddr,
    now: Instant,
) -> (ConnectionHandle, Connection, Connection) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = Connection::client(config.clone(), Some(name), now).expect("a client");
    let mut server: Option<(ConnectionHandle, Connection)> = None;
    let (mut up, mut down) = ([0; 1500], [0; 1500]);
    loop {
        let mut quiet = true;
        while let Some(len) = client.poll_transmit(now, &mut up).expect("room for a datagram") {
            quiet = false;
            match endpoint.handle(now, from, None, &up[..len], &mut down) {
                Verdict::Reply(len) => hand_over(&mut client, now, &mut down[..len]),
                Verdict::Incoming(incoming) => {
                    server = Some(endpoint.accept(*incoming, None, now).expect("a connection"));
                }
                Verdict::Connection(_) => {}
                verdict => panic!("{verdict:?}"),
            }
            if let Some((handle, server)) = &mut server {
                hand_over(server, now, &mut up[..len]);
                endpoint.update(*handle, server);
            }
        }
        if let Some((handle, server)) = &mut server {
            while let Some(len) = server.poll_transmit(now, &mut down).expect("room for a datagram") {
                quiet = false;
                hand_over(&mut client, now, &mut down[..len]);
            }
            endpoint.update(*handle, server);
        }
        if quiet {
            break;
        }
    }
    let (handle, server) = server.expect("a server");
    assert!(client.is_established() && server.is_established());
    (handle, server, client)
}

fn hand_over(to: &mut Connection, now: Instant, datagram: &mut [u8]) {
    assert!(to.receive(now, &mut Datagram::new(datagram)).expect("a datagram that is good").is_none());
}

/// Octets that malloc has handed out, to Rust and to C.
fn heap() -> usize {
    // SAFETY: it takes nothing and gives a struct of numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Nanoseconds of a load at random from so many octets, of which each says where the next one is.
fn chase(octets: usize) -> f64 {
    const LINE: usize = 64 / size_of::<usize>();
    const LOADS: usize = 1_000_000;
    let mut memory = vec![0; octets / size_of::<usize>()];
    let order = shuffled(memory.len() / LINE);
    for (here, next) in order.iter().zip(order.iter().cycle().skip(1)) {
        memory[here * LINE] = next * LINE;
    }
    let start = Instant::now();
    let mut place = 0;
    (0..LOADS).for_each(|_| place = memory[place]);
    black_box(place);
    start.elapsed().as_secs_f64() * 1e9 / LOADS as f64
}

fn middle(turns: &mut [Duration]) -> Duration {
    turns.sort_unstable();
    turns[turns.len() / 2]
}

/// All numbers below `count`, in an order that is the same each time (xorshift).
fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<_> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for index in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(index, (state % (index as u64 + 1)) as usize);
    }
    numbers
}
