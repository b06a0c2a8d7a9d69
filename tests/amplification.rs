//! What strangers can make a server do: little, and nothing that lasts. Tests are named after what went wrong in other
//! implementations.

#[path = "common/ends.rs"]
mod ends;
#[path = "common/hello.rs"]
mod hello;
#[path = "endpoint/signing.rs"]
mod signing;

use ends::{client_config, deliver, drain, new_client, server_config};
use hello::{FRONT, Hello};
use signing::counting_server;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use udtls::{
    AlertDescription, ClientConfig, Connection, ConnectionHandle, Endpoint, EndpointConfig, HandshakeKind, Incoming,
    NamedGroup, ProtocolVersion, ServerConfig, Validation, Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

struct Scene {
    endpoint: Endpoint,
    now: Instant,
}

impl Scene {
    fn new(config: EndpointConfig, server: ServerConfig) -> Self {
        let now = Instant::now();
        Self { endpoint: Endpoint::new(config, Some(Arc::new(server)), now).unwrap(), now }
    }

    fn ask(&mut self, from: SocketAddr, datagram: &[u8]) -> (Verdict, Vec<u8>) {
        let mut reply = vec![0; 1500];
        let verdict = self.endpoint.handle(self.now, from, None, datagram, &mut reply);
        reply.truncate(if let Verdict::Reply(len) = &verdict { *len } else { 0 });
        (verdict, reply)
    }

    /// A client that has shown its cookie, built by hand.
    fn arrival(&mut self, version: ProtocolVersion, from: SocketAddr) -> (Incoming, Hello) {
        let first = Hello::new(version);
        let (_, reply) = self.ask(from, &first.datagram());
        let second = first.answering(&reply);
        match self.ask(from, &second.datagram()) {
            (Verdict::Incoming(incoming), _) => (*incoming, second),
            (other, _) => panic!("{other:?}"),
        }
    }

    fn accept(&mut self, incoming: Incoming) -> (ConnectionHandle, Connection) {
        self.endpoint.accept(incoming, None, self.now).unwrap()
    }

    /// A whole handshake; what the first ClientHello was answered with.
    fn handshake(&mut self, config: &Arc<ClientConfig>, from: SocketAddr) -> (Connection, Connection, Vec<u8>) {
        let mut client = new_client(config, self.now);
        let (mut server, mut answer): (Option<(ConnectionHandle, Connection)>, _) = (None, Vec::new());
        for _ in 0..8 {
            for mut datagram in drain(&mut client, self.now) {
                match self.ask(from, &datagram) {
                    (Verdict::Reply(_), mut reply) => {
                        answer.clone_from(&reply);
                        deliver(&mut client, self.now, &mut reply).unwrap();
                    }
                    (Verdict::Incoming(incoming), _) => server = Some(self.accept(*incoming)),
                    (Verdict::Connection(_), _) => {
                        deliver(&mut server.as_mut().unwrap().1, self.now, &mut datagram).map(drop).unwrap();
                    }
                    _ => {}
                }
            }
            if let Some((handle, server)) = &mut server {
                for mut datagram in drain(server, self.now) {
                    deliver(&mut client, self.now, &mut datagram).unwrap();
                }
                self.endpoint.update(*handle, server);
            }
        }
        let server = server.expect("an association").1;
        assert!(client.is_established() && server.is_established());
        (client, server, answer)
    }

    fn nothing_is_kept(&self, after: &str) {
        let stats = self.endpoint.stats();
        assert_eq!((stats.connections, stats.half_open, stats.handshake_memory), (0, 0, 0), "{after}");
    }
}

fn address(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 4433))
}

/// Without the hybrid group, whose share would make the second ClientHello two datagrams.
fn both(config: &mut ServerConfig) {
    config.set_versions(&VERSIONS).unwrap().set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
}

fn server() -> ServerConfig {
    let mut config = server_config(VERSIONS[1]);
    both(&mut config);
    config
}

/// ClientHellos of every size, with and without faults: no answer is longer than what it answers, but a HelloRetryRequest, which is
/// shorter than twice that and no longer than 180 octets. Nobody has a place, and nothing was signed.
#[test]
fn c1_sm14_without_a_cookie_nothing_is_kept_and_little_is_sent() {
    let (mut config, signatures) = counting_server();
    both(&mut config);
    let mut scene = Scene::new(EndpointConfig::new(), config);
    let mut hellos = Vec::new();
    for version in VERSIONS {
        let usual = Hello::new(version);
        // The least that can be read: nothing in common with anybody.
        hellos.push(Hello { suites: vec![0x00ff], extensions: Vec::new(), ..usual.clone() });
        for padding in (0..1100).step_by(50) {
            let mut hello = usual.clone();
            hello.set(21, vec![0; padding]);
            for suites in [vec![0xc02b], vec![0x1301], vec![0x1302], vec![0x0005]] {
                let hello = Hello { suites, ..hello.clone() };
                let mut guessed = hello.clone();
                guessed.set_cookie(&[0x41; 29]);
                hellos.extend([hello, guessed]);
            }
        }
    }
    // Without extensions, in DTLS 1.2: the shortest that gets a HelloVerifyRequest.
    hellos.push(Hello { suites: vec![0xc02b], extensions: Vec::new(), ..Hello::new(VERSIONS[0]) });
    let (mut verify, mut retry, mut alerts) = (0, 0, 0);
    for hello in &hellos {
        let datagram = hello.datagram();
        let (verdict, reply) = scene.ask(address(1), &datagram);
        assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?}");
        assert_eq!(reply[5..11], datagram[5..11], "the record's number");
        let (kind, most) = match (reply[0], reply[13]) {
            (22, 3) => (&mut verify, datagram.len()),
            (22, _) => (&mut retry, 180.min(2 * datagram.len() - 1)),
            _ => (&mut alerts, datagram.len()),
        };
        *kind += 1;
        assert!(reply.len() <= most, "{} for {}", reply.len(), datagram.len());
    }
    assert!(verify > 20 && retry > 20 && alerts > 20, "{verify} {retry} {alerts}");
    scene.nothing_is_kept("strangers");
    let stats = scene.endpoint.stats();
    assert_eq!((stats.cookies_sent, stats.alerts_sent, stats.incoming), (verify + retry, alerts, 0));
    assert_eq!(signatures.load(SeqCst), 0);
}

/// A session is no proof of an address, whether or not the server still has it.
#[test]
fn c4_a_resumption_pays_with_a_cookie_too() {
    for version in VERSIONS {
        let mut config = client_config(version);
        config.set_groups(&[NamedGroup::X25519]).unwrap();
        let config = Arc::new(config);
        let mut loaded = EndpointConfig::new();
        loaded.set_validation(Validation::UnderLoad).set_load_threshold(0);
        let mut resumed = Vec::new();
        // The third does not know the sessions of the others.
        let shared = Arc::new(server());
        let now = Instant::now();
        for (n, (endpoint, server)) in
            [(EndpointConfig::new(), shared.clone()), (loaded, shared), (EndpointConfig::new(), Arc::new(server()))]
                .into_iter()
                .enumerate()
        {
            let mut scene = Scene { endpoint: Endpoint::new(endpoint, Some(server), now).unwrap(), now };
            let (client, _server, answer) = scene.handshake(&config, address(1));
            let kind = if version == ProtocolVersion::DTLS1_2 { 3 } else { 2 };
            assert_eq!((answer[0], answer[13]), (22, kind), "{version} {n}: a cookie first");
            assert_eq!((scene.endpoint.stats().cookies_sent, scene.endpoint.stats().cookies_accepted), (1, 1));
            resumed.push(client.negotiated().unwrap().handshake_kind());
        }
        assert_eq!(resumed, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Full], "{version}");
    }
}

/// However an association ends, its place is free.
#[test]
fn c6_counters_go_down_on_every_way_out() {
    for version in VERSIONS {
        let mut scene = Scene::new(EndpointConfig::new(), server());
        let client = Arc::new(client_config(version));
        let taken = |scene: &Scene| (scene.endpoint.stats().connections, scene.endpoint.stats().half_open);

        let (incoming, _) = scene.arrival(version, address(1));
        assert_eq!(taken(&scene), (1, 1));
        drop(incoming);
        scene.nothing_is_kept("dropped");
        let (incoming, _) = scene.arrival(version, address(1));
        scene.endpoint.ignore(incoming);
        scene.nothing_is_kept("ignored");
        let (incoming, _) = scene.arrival(version, address(1));
        assert!(scene.endpoint.refuse(incoming, AlertDescription::ACCESS_DENIED, &mut [0; 100]) > 0);
        scene.nothing_is_kept("refused");

        let (incoming, _) = scene.arrival(version, address(1));
        let (_, connection) = scene.accept(incoming);
        assert_eq!(taken(&scene), (1, 1));
        drop(connection);
        scene.nothing_is_kept("dropped in the handshake");

        let (incoming, _) = scene.arrival(version, address(1));
        let (handle, mut connection) = scene.accept(incoming);
        drain(&mut connection, scene.now);
        while let Some(deadline) = connection.poll_timeout() {
            scene.now = deadline;
            connection.handle_timeout(scene.now);
            drain(&mut connection, scene.now);
            scene.endpoint.update(handle, &mut connection);
        }
        scene.nothing_is_kept("timed out, and still in the application's hands");
        drop(connection);
        scene.endpoint.handle_timeout(scene.now).unwrap();

        let (_, server, _) = scene.handshake(&client, address(2));
        assert_eq!(taken(&scene), (1, 0));
        drop(server);
        scene.nothing_is_kept("dropped when it was established");

        let (mut peer, mut server, _) = scene.handshake(&client, address(3));
        peer.close(scene.now);
        for _ in 0..2 {
            drain(&mut peer, scene.now).iter_mut().for_each(|d| drop(deliver(&mut server, scene.now, d)));
            server.close(scene.now);
            drain(&mut server, scene.now).iter_mut().for_each(|d| drop(deliver(&mut peer, scene.now, d)));
        }
        drop(server);
        scene.nothing_is_kept("closed");
    }
}

/// A ClientHello that comes again and again, and a client that never answers: one signature.
#[test]
fn c7_one_signature_however_often_the_hello_comes() {
    for version in VERSIONS {
        let (mut config, signatures) = counting_server();
        both(&mut config);
        let mut scene = Scene::new(EndpointConfig::new(), config);
        let mut client = new_client(&Arc::new(client_config(version)), scene.now);
        let first = drain(&mut client, scene.now).remove(0);
        let (_, mut reply) = scene.ask(address(1), &first);
        deliver(&mut client, scene.now, &mut reply).unwrap();
        let second = drain(&mut client, scene.now).remove(0);
        let (Verdict::Incoming(incoming), _) = scene.ask(address(1), &second) else { panic!("a client") };
        for _ in 0..10 {
            assert!(matches!(scene.ask(address(1), &second).0, Verdict::Drop(_)), "the application has not decided");
        }
        assert_eq!(signatures.load(SeqCst), 0, "{version}");
        let (_, mut connection) = scene.accept(*incoming);
        drain(&mut connection, scene.now);
        for n in 0..30 {
            for hello in [&first, &second] {
                if let (Verdict::Connection(_), _) = scene.ask(address(1), hello) {
                    deliver(&mut connection, scene.now, &mut hello.clone()).unwrap();
                }
            }
            if n % 10 == 0 {
                scene.now += Duration::from_secs(20);
                connection.handle_timeout(scene.now);
                assert!(!drain(&mut connection, scene.now).is_empty(), "{version}: the flight, again");
            }
        }
        assert_eq!((signatures.load(SeqCst), scene.endpoint.stats().accepted), (1, 1), "{version}");
    }
}

/// Clients that show cookies and then say no more: so many, and no more, and honest ones get through.
#[test]
fn c9_half_open_handshakes_are_limited() {
    const MOST: usize = 8;
    for version in VERSIONS {
        let mut config = EndpointConfig::new();
        config.set_max_half_open(MOST).set_max_half_open_per_network(MOST / 2);
        let mut scene = Scene::new(config, server());
        let mut connections = Vec::new();
        for n in 0..40 {
            let (incoming, _) = scene.arrival(version, address(n));
            connections.push(scene.accept(incoming));
            assert!(scene.endpoint.stats().half_open <= MOST, "{version}");
        }
        assert_eq!((scene.endpoint.stats().half_open, scene.endpoint.stats().evicted), (MOST, 40 - MOST as u64));
        // From one address, on many ports.
        for port in 0..40 {
            let (incoming, _) = scene.arrival(version, SocketAddr::from(([192, 0, 2, 1], 1024 + port)));
            connections.push(scene.accept(incoming));
        }
        // The others may be evicted by those of one network, but not the other way round for ever.
        assert_eq!(scene.endpoint.stats().half_open, MOST);
        scene.handshake(&Arc::new(client_config(version)), address(1000));
        let stats = scene.endpoint.stats();
        assert_eq!((stats.accepted, stats.evicted), (81, 81 - MOST as u64), "{version}");
        drop(connections);
        scene.nothing_is_kept("all are gone");
    }
}

/// A datagram that says it is longer than it is, or is no ClientHello, gets no answer: what is not read costs nothing. One
/// whose message is said to be a little longer is a first fragment: it waits for its rest in the pool, without an answer.
#[test]
fn what_cannot_be_read_is_not_answered() {
    let mut scene = Scene::new(EndpointConfig::new(), server());
    let datagram = Hello::new(VERSIONS[1]).datagram();
    let length_low = 16;
    for at in [11, 12, 14, 15, length_low, 19, 22, 23, 24] {
        let mut changed = datagram.clone();
        changed[at] = 0xff;
        match scene.ask(address(1), &changed).0 {
            Verdict::Kept if at == length_low => {}
            Verdict::Drop(_) if at != length_low => {}
            other => panic!("octet {at}: {other:?}"),
        }
    }
    for len in 0..FRONT {
        assert!(matches!(scene.ask(address(1), &datagram[..len]).0, Verdict::Drop(_)), "{len} octets");
    }
    scene.nothing_is_kept("nonsense");
    assert_eq!((scene.endpoint.stats().cookies_sent, scene.endpoint.stats().alerts_sent), (0, 0));
}
