//! A listener and an endpoint before anybody has proven an address: arbitrary datagrams, ClientHellos of real clients, whole,
//! changed and from elsewhere, with cookies of any age.
//!
//! * Nobody gets in without a cookie that was made for this address and this client, not long ago.
//! * An answer is short: no longer than the request or, for a HelloRetryRequest, less than twice as long, and 180 octets.
//! * A listener allocates nothing for whom it does not take; an endpoint keeps to its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use udtls::{
    AlertDescription, CipherSuite, Connection, ConnectionHandle, CookieKeys, Datagram, Decision, Endpoint,
    EndpointConfig, Listener, ProtocolVersion, Reply, ReplyKind, ServerConfig, Source, Validation, Verdict,
};
use udtls_fuzz::{
    input::Input,
    kinds::{KINDS, ORIGIN, UNIX_TIME, set_unix_time},
    memory,
    provider::End,
};

/// Octets of the longest reply.
const MAX_REPLY: usize = 180;

/// Two periods of a cookie's key, and by how much clocks may differ. Seconds.
const MAX_AGE: u64 = 2 * 90 + 10;

/// What the endpoint may have.
const MAX_CONNECTIONS: usize = 4;
const MAX_HANDSHAKE_MEMORY: usize = 64 << 10;
const FRAGMENT_SLOTS: usize = 4;

/// Beside its handshakes, an endpoint holds its pool, and places of associations with some addresses.
const MAX_HELD: usize = FRAGMENT_SLOTS * (4 << 10) + (32 << 10);

const MAX_STEPS: usize = 60;

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let mut server = ServerConfig::clone(&KINDS[0].server);
    server
        .set_cipher_suites(&[CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256])
        .expect("suites");
    server.set_versions(&[ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2]).expect("versions");
    Arc::new(server)
});

/// A cookie that was made.
struct Minted {
    source: SocketAddr,
    cookie: Vec<u8>,
    /// Of a ClientHello that came in one piece.
    random: Option<Vec<u8>>,
    at: u64,
}

struct Client {
    connection: Connection,
    /// The last that it has said.
    said: Vec<Vec<u8>>,
}

struct World {
    now: Instant,
    unix: u64,
    listener: Listener,
    endpoint: Endpoint,
    validation: Validation,
    clients: Vec<Client>,
    minted: Vec<Minted>,
    connections: HashMap<ConnectionHandle, Connection>,
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    KINDS[0].begin();
    let mut world = World::new(input.u8());
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    let World { endpoint, connections, .. } = world;
    drop(connections);
    assert_eq!((endpoint.stats().connections, endpoint.stats().half_open), (0, 0), "every place comes back");
    let held = memory::held(endpoint);
    assert!(held <= MAX_HELD, "{held} octets are held");
});

/// A few addresses.
fn address(choice: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, choice & 1], 1000 + u16::from(choice >> 1 & 3)))
}

impl World {
    fn new(choice: u8) -> Self {
        let now = *ORIGIN;
        let keys = || CookieKeys::derive(&[9; 32], now).expect("a secret that is long enough");
        let mut listener = Listener::new(SERVER.clone(), keys());
        listener.handle_timeout(now).expect("keys are derived");
        let validation = match choice & 7 {
            0 => Validation::UnderLoad,
            1 => Validation::Vouched,
            _ => Validation::Always,
        };
        let mut config = EndpointConfig::new();
        config.set_cookie_keys(keys()).set_validation(validation).set_load_threshold(2);
        config.set_max_connections(MAX_CONNECTIONS).set_max_half_open(MAX_CONNECTIONS);
        config.set_max_handshake_memory(MAX_HANDSHAKE_MEMORY).set_fragment_slots(FRAGMENT_SLOTS);
        let endpoint = Endpoint::new(config, Some(SERVER.clone()), now).expect("an endpoint");
        // DTLS 1.3, 1.2 and 1.3 with a ClientHello of two datagrams.
        let kinds = [&KINDS[0], &KINDS[7], KINDS.last().expect("some")];
        let client =
            |kind: &udtls_fuzz::kinds::Kind| Client { connection: kind.new_end(End::Client, now), said: Vec::new() };
        let clients = kinds.into_iter().map(client).collect();
        let (minted, connections) = Default::default();
        Self { now, unix: UNIX_TIME, listener, endpoint, validation, clients, minted, connections }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.u8();
        match choice & 15 {
            0 => self.pass_time(input),
            1 => {
                let datagram = input.long().to_vec();
                self.ask_listener(address(choice >> 4), &datagram, None);
                self.ask_endpoint(address(choice >> 4), &datagram, None);
            }
            2..=4 => self.changed(input, choice >> 4),
            5..=8 => self.whole(input, choice >> 4, true),
            9..=12 => self.whole(input, choice >> 4, false),
            13 => self.use_connections(input),
            14 => {
                // In fragments of its own making.
                let client = input.below(self.clients.len());
                let Some(datagram) = self.said(client).first().cloned() else { return };
                let Some((header, body)) = datagram.split_at_checked(25) else { return };
                let len = 1 + usize::from(input.u8());
                let mut at = 0;
                for piece in body.chunks(len.max(16)) {
                    let [_, l0, l1] = u24(piece.len());
                    let mut fragment = header.to_vec();
                    fragment[11..13].copy_from_slice(&u16::try_from(12 + piece.len()).unwrap_or(0).to_be_bytes());
                    fragment[19..22].copy_from_slice(&u24(at));
                    fragment[22..25].copy_from_slice(&[0, l0, l1]);
                    fragment.extend_from_slice(piece);
                    at += piece.len();
                    self.ask_endpoint(address(choice >> 4), &fragment, Some(client));
                }
            }
            _ => {
                let client = input.below(self.clients.len());
                self.clients[client].connection.handle_timeout(self.now + Duration::from_secs(1));
            }
        }
        let stats = self.endpoint.stats();
        assert!(stats.connections <= MAX_CONNECTIONS && stats.half_open <= MAX_CONNECTIONS, "{stats:?}");
    }

    fn pass_time(&mut self, input: &mut Input<'_>) {
        let seconds = u64::from(input.u8()) << (input.u8() & 3);
        self.now += Duration::from_secs(seconds);
        self.unix += seconds;
        set_unix_time(self.unix);
        self.listener.handle_timeout(self.now).expect("keys are derived");
        self.endpoint.handle_timeout(self.now).expect("keys are derived");
    }

    /// What a client says, or has said last.
    fn said(&mut self, client: usize) -> Vec<Vec<u8>> {
        let Client { connection, said } = &mut self.clients[client];
        let mut out = [0; 2048];
        let mut new = Vec::new();
        while let Some(len) = connection.poll_transmit(self.now, &mut out).expect("room enough") {
            new.push(out[..len].to_vec());
        }
        if !new.is_empty() {
            *said = new;
        }
        said.clone()
    }

    fn whole(&mut self, input: &mut Input<'_>, from: u8, to_endpoint: bool) {
        let client = input.below(self.clients.len());
        for datagram in self.said(client) {
            if to_endpoint {
                self.ask_endpoint(address(from), &datagram, Some(client));
            } else {
                self.ask_listener(address(from), &datagram, Some(client));
            }
        }
    }

    fn changed(&mut self, input: &mut Input<'_>, from: u8) {
        let client = input.below(self.clients.len());
        for mut datagram in self.said(client) {
            match input.below(3) {
                0 => {
                    let at = usize::from(input.u16()) % datagram.len();
                    datagram[at] ^= input.u8();
                }
                1 => datagram.truncate(usize::from(input.u16()) % datagram.len()),
                _ => {
                    let at = usize::from(input.u16()) % datagram.len();
                    let with = input.short();
                    let end = (at + with.len()).min(datagram.len());
                    drop(datagram.splice(at..end, with.iter().copied()));
                }
            }
            self.ask_listener(address(from), &datagram, None);
            self.ask_endpoint(address(from), &datagram, None);
        }
    }

    fn ask_listener(&mut self, from: SocketAddr, datagram: &[u8], client: Option<usize>) {
        let Ok(source) = Source::new(from, None) else { return };
        let mut reply = [0; 2048];
        let before = memory::allocations();
        match self.listener.handle(self.now, source, datagram, &mut reply) {
            Decision::Reply(Reply { len, kind, .. }) => {
                assert_eq!(memory::allocations(), before, "an answer costs no memory");
                let most = if kind == ReplyKind::HelloRetryRequest { 2 * datagram.len() - 1 } else { datagram.len() };
                assert!(len <= most.min(MAX_REPLY), "{len} octets in answer to {}", datagram.len());
                self.answered(from, datagram, &reply[..len], client);
            }
            Decision::Accept(_) => assert!(self.proven(from, Some(datagram)), "nobody gets in without a cookie"),
            _ => assert_eq!(memory::allocations(), before, "what is dropped costs no memory"),
        }
    }

    fn ask_endpoint(&mut self, from: SocketAddr, datagram: &[u8], client: Option<usize>) {
        let mut reply = [0; 2048];
        match self.endpoint.handle(self.now, from, None, datagram, &mut reply) {
            Verdict::Reply(len) => {
                assert!(len <= MAX_REPLY, "{len} octets");
                self.answered(from, datagram, &reply[..len], client);
            }
            Verdict::Incoming(incoming) => {
                if self.validation == Validation::Always {
                    assert!(self.proven(from, None), "nobody gets in without a cookie");
                }
                match datagram.last() {
                    Some(0) => drop(self.endpoint.refuse(*incoming, AlertDescription::ACCESS_DENIED, &mut reply)),
                    Some(1) => self.endpoint.ignore(*incoming),
                    _ => {
                        let (handle, connection) = self.endpoint.accept(*incoming, None, self.now).expect("its own");
                        assert!(self.connections.insert(handle, connection).is_none(), "a handle of its own");
                    }
                }
            }
            Verdict::Connection(handle) => {
                let connection = self.connections.get_mut(&handle).expect("one that is there");
                let mut octets = datagram.to_vec();
                let mut datagram = Datagram::new(&mut octets);
                while let Ok(Some(_)) = connection.receive(self.now, &mut datagram) {}
                self.endpoint.update(handle, connection);
            }
            _ => {}
        }
        while let Some(handle) = self.endpoint.poll_closed() {
            self.connections.remove(&handle);
        }
    }

    /// Remembers the cookie in a reply, and tells the client.
    fn answered(&mut self, source: SocketAddr, datagram: &[u8], reply: &[u8], client: Option<usize>) {
        // A handshake message, of which the cookie is the end, whatever its kind.
        let whole = datagram.get(14..17) == datagram.get(22..25);
        let random = datagram.get(27..59).filter(|_| whole).map(<[u8]>::to_vec);
        if let ([22, ..], Some(cookie)) = (reply, reply.len().checked_sub(29).and_then(|at| reply.get(at..))) {
            self.minted.push(Minted { source, cookie: cookie.to_vec(), random, at: self.unix });
        }
        if let Some(client) = client {
            let mut octets = reply.to_vec();
            let mut datagram = Datagram::new(&mut octets);
            while let Ok(Some(_)) = self.clients[client].connection.receive(self.now, &mut datagram) {}
        }
    }

    /// Whether a cookie was made for this address not long ago; for this client, if its ClientHello is here.
    fn proven(&self, source: SocketAddr, datagram: Option<&[u8]>) -> bool {
        self.minted.iter().any(|minted| {
            let same = |datagram: &[u8]| {
                minted.random.as_deref().is_none_or(|random| datagram.get(27..59) == Some(random))
                    && datagram.windows(minted.cookie.len()).any(|window| window == minted.cookie)
            };
            minted.source == source && self.unix - minted.at <= MAX_AGE && datagram.is_none_or(same)
        })
    }

    /// The associations speak, and their clients listen; some end.
    fn use_connections(&mut self, input: &mut Input<'_>) {
        let client = input.below(self.clients.len());
        let ends = input.u8();
        let mut out = [0; 2048];
        let mut handles: Vec<_> = self.connections.keys().copied().collect();
        handles.sort_by_key(|handle| self.endpoint.remote(*handle));
        for (place, handle) in handles.into_iter().enumerate() {
            let Some(connection) = self.connections.get_mut(&handle) else { continue };
            while let Some(len) = connection.poll_transmit(self.now, &mut out).expect("room enough") {
                let mut datagram = Datagram::new(&mut out[..len]);
                while let Ok(Some(_)) = self.clients[client].connection.receive(self.now, &mut datagram) {}
            }
            connection.handle_timeout(self.now);
            self.endpoint.update(handle, connection);
            if ends >> place & 1 == 1 {
                self.connections.remove(&handle);
            }
        }
    }
}

fn u24(value: usize) -> [u8; 3] {
    let [.., a, b, c] = value.to_be_bytes();
    [a, b, c]
}
