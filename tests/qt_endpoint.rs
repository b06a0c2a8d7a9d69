//! What went wrong in Qt's DTLS classes around cookies, and goes right here. Each test bears the number of the defect in the
//! table of docs/FROM-QT.md; the others are in `qt.rs`, and that of a source of randomness that fails stands beside the
//! cookies.

mod common {
    pub(crate) mod ends;
}

use common::ends::{client_config, deliver, drain, new_client, server_config};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    Connection, ConnectionHandle, CookieFault, CookieKeys, DropReason, Endpoint, EndpointConfig, Event, KeyShares,
    ProtocolVersion, Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// An endpoint with its connections, and clients at addresses.
struct Scene {
    endpoint: Endpoint,
    connections: Vec<(ConnectionHandle, Connection)>,
    now: Instant,
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

impl Scene {
    fn new(version: ProtocolVersion) -> Self {
        Self::with(EndpointConfig::new(), version)
    }

    fn with(config: EndpointConfig, version: ProtocolVersion) -> Self {
        let now = Instant::now();
        let endpoint = Endpoint::new(config, Some(Arc::new(server_config(version))), now).unwrap();
        Self { endpoint, connections: Vec::new(), now }
    }

    fn client(&self, version: ProtocolVersion) -> Connection {
        new_client(&Arc::new(client_config(version)), self.now)
    }

    /// Gives the endpoint a datagram and the client the answers.
    fn exchange(&mut self, client: &mut Connection, from: SocketAddr, datagram: &mut [u8]) {
        let mut reply = [0; 1500];
        match self.endpoint.handle(self.now, from, None, datagram, &mut reply) {
            Verdict::Reply(len) => drop(deliver(client, self.now, &mut reply[..len]).unwrap()),
            Verdict::Incoming(incoming) => {
                let (handle, mut server) = self.endpoint.accept(*incoming, None, self.now).unwrap();
                answer(&mut self.endpoint, handle, &mut server, client, self.now);
                self.connections.push((handle, server));
            }
            Verdict::Connection(handle) => {
                let (_, server) = self.connections.iter_mut().find(|(known, _)| *known == handle).unwrap();
                deliver(server, self.now, datagram).unwrap();
                answer(&mut self.endpoint, handle, server, client, self.now);
            }
            _ => {}
        }
    }

    /// All that the client has to say, until there is nothing.
    fn run(&mut self, client: &mut Connection, from: SocketAddr) {
        loop {
            let flight = drain(client, self.now);
            if flight.is_empty() {
                return;
            }
            for mut datagram in flight {
                self.exchange(client, from, &mut datagram);
            }
        }
    }
}

fn answer(
    endpoint: &mut Endpoint,
    handle: ConnectionHandle,
    server: &mut Connection,
    client: &mut Connection,
    now: Instant,
) {
    for mut datagram in drain(server, now) {
        deliver(client, now, &mut datagram).unwrap();
    }
    endpoint.update(handle, server);
}

/// The second ClientHello of a client, with its cookie.
fn second_hello(scene: &mut Scene, client: &mut Connection, from: SocketAddr) -> Vec<Vec<u8>> {
    for mut datagram in drain(client, scene.now) {
        scene.exchange(client, from, &mut datagram);
    }
    drain(client, scene.now)
}

/// 1, 23: parameters of cookies are taken or refused, and mean what they say.
#[test]
fn q01_q23_cookie_parameters_are_taken_or_refused() {
    let now = Instant::now();
    assert!(CookieKeys::derive(b"", now).is_err());
    assert!(CookieKeys::derive(&[1; 31], now).is_err());
    let mut keys = CookieKeys::derive(&[1; 32], now).unwrap();
    assert!(keys.set_period(now, Duration::ZERO).is_err());
    assert!(keys.set_period(now, Duration::from_secs(30)).is_ok());
    for version in VERSIONS {
        let secret = || CookieKeys::derive(&[1; 32], now).unwrap();
        let scene = |keys| {
            let mut config = EndpointConfig::new();
            config.set_cookie_keys(keys);
            Scene::with(config, version)
        };
        let (mut one, mut other) = (scene(secret()), scene(secret()));
        let mut client = one.client(version);
        for mut datagram in second_hello(&mut one, &mut client, address(1)) {
            other.exchange(&mut client, address(1), &mut datagram);
        }
        other.run(&mut client, address(1));
        assert!(client.is_established(), "{version}: the same secret makes the same cookies");
    }
}

/// 2: a cookie is compared as a whole: wherever it differs, it is just as wrong.
#[test]
fn q02_a_cookie_is_wrong_wherever_it_differs() {
    for version in VERSIONS {
        let mut scene = Scene::new(version);
        let mut client = scene.client(version);
        let first = drain(&mut client, scene.now).remove(0);
        let mut reply = [0; 1500];
        let Verdict::Reply(len) = scene.endpoint.handle(scene.now, address(1), None, &first, &mut reply) else {
            panic!("{version}: no cookie");
        };
        // It is the last of the answer, its tag of 24 or 32 octets at the end.
        let cookie: [u8; 24] = reply[len - 24..len].try_into().unwrap();
        deliver(&mut client, scene.now, &mut reply[..len]).unwrap();
        let flight = drain(&mut client, scene.now);
        let (at, place) = flight
            .iter()
            .enumerate()
            .find_map(|(at, datagram)| Some((at, datagram.windows(24).position(|octets| octets == cookie)?)))
            .expect("the cookie comes back");
        for octet in place..place + 24 {
            let mut scene_flight = flight.clone();
            scene_flight[at][octet] ^= 0x10;
            for datagram in &scene_flight {
                let verdict = scene.endpoint.handle(scene.now, address(1), None, datagram, &mut reply);
                assert!(!matches!(verdict, Verdict::Incoming(_)), "{version}: accepted");
            }
        }
        assert_eq!(scene.endpoint.stats().cookies_rejected(CookieFault::Forged), 24, "{version}");
    }
}

/// 3: a cookie is bound to address, port, ClientHello and time, and to the keys of one endpoint.
#[test]
fn q03_a_cookie_is_bound_to_all_that_matters() {
    for version in VERSIONS {
        let mut scene = Scene::new(version);
        let mut client = scene.client(version);
        let second = second_hello(&mut scene, &mut client, address(1));
        let mut stranger = Scene::new(version);
        let accepted = |scene: &mut Scene, from| {
            let mut reply = [0; 1500];
            second.iter().any(|datagram| {
                matches!(scene.endpoint.handle(scene.now, from, None, datagram, &mut reply), Verdict::Incoming(_))
            })
        };
        assert!(!accepted(&mut scene, address(2)), "{version}: another port");
        assert!(!accepted(&mut scene, ([192, 0, 2, 9], 1).into()), "{version}: another address");
        assert!(!accepted(&mut stranger, address(1)), "{version}: another endpoint");
        scene.now += Duration::from_secs(181);
        assert!(!accepted(&mut scene, address(1)), "{version}: too late");
        scene.now -= Duration::from_secs(181);
        assert!(accepted(&mut scene, address(1)), "{version}: all as it was");
    }
}

/// 17: addresses that nobody can have are refused, and every family is known.
#[test]
fn q17_impossible_addresses_are_refused() {
    let mut scene = Scene::new(VERSIONS[1]);
    let mut client = scene.client(VERSIONS[1]);
    let hello = drain(&mut client, scene.now).remove(0);
    let mut reply = [0; 1500];
    for address in ["192.0.2.1:0", "0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "[::]:5", "[ff02::1]:5"] {
        let verdict = scene.endpoint.handle(scene.now, address.parse().unwrap(), None, &hello, &mut reply);
        assert!(matches!(verdict, Verdict::Drop(DropReason::Source)), "{address}: {verdict:?}");
    }
    for address in ["192.0.2.1:5", "[2001:db8::1]:5", "[fe80::1%3]:5", "[::ffff:192.0.2.1]:6"] {
        let verdict = scene.endpoint.handle(scene.now, address.parse().unwrap(), None, &hello, &mut reply);
        assert!(matches!(verdict, Verdict::Reply(_)), "{address}: {verdict:?}");
    }
}

/// 20: a ClientHello with a post-quantum share, which is in fragments, goes through the cookie exchange.
#[test]
fn q20_a_hello_in_fragments_passes_the_cookies() {
    let mut scene = Scene::new(ProtocolVersion::DTLS1_3);
    let mut config = client_config(ProtocolVersion::DTLS1_3);
    config.set_key_shares(KeyShares::HybridFirst).unwrap();
    let mut client = new_client(&Arc::new(config), scene.now);
    scene.run(&mut client, address(1));
    assert!(client.is_established());
    assert!(scene.endpoint.stats().fragments_kept > 0, "it was in fragments");
}

/// 21: a client that comes again from the same address is served, and the old association goes when the new one stands.
#[test]
fn q21_a_peer_that_begins_anew_is_served() {
    for version in VERSIONS {
        let mut scene = Scene::new(version);
        let mut first = scene.client(version);
        scene.run(&mut first, address(1));
        assert!(first.is_established(), "{version}");
        let mut second = scene.client(version);
        let hello = second_hello(&mut scene, &mut second, address(1));
        assert!(scene.connections[0].1.is_established(), "{version}: nothing is proven yet");
        for mut datagram in hello {
            scene.exchange(&mut second, address(1), &mut datagram);
        }
        scene.run(&mut second, address(1));
        assert!(second.is_established(), "{version}");
        let (old, connection) = &mut scene.connections[0];
        assert_eq!(scene.endpoint.poll_closed(), Some(*old), "{version}");
        scene.endpoint.update(*old, connection);
        let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
        assert!(events.iter().any(|event| matches!(event, Event::Closed(_))), "{version}: {events:?}");
        assert_eq!(scene.endpoint.stats().replaced, 1, "{version}");
    }
}

/// 24: what was verified stays verified: keys may change between the cookie and the decision about its client.
#[test]
fn q24_nothing_is_verified_twice() {
    for version in VERSIONS {
        let mut scene = Scene::new(version);
        let mut client = scene.client(version);
        let mut incoming = None;
        for datagram in second_hello(&mut scene, &mut client, address(1)) {
            let mut reply = [0; 1500];
            if let Verdict::Incoming(found) = scene.endpoint.handle(scene.now, address(1), None, &datagram, &mut reply)
            {
                incoming = Some(found);
            }
        }
        for _ in 0..3 {
            scene.now = scene.endpoint.poll_timeout().unwrap();
            scene.endpoint.handle_timeout(scene.now).unwrap();
        }
        let incoming = incoming.expect("a client");
        let (handle, mut server) = scene.endpoint.accept(*incoming, None, scene.now).unwrap();
        answer(&mut scene.endpoint, handle, &mut server, &mut client, scene.now);
        scene.connections.push((handle, server));
        scene.run(&mut client, address(1));
        assert!(client.is_established(), "{version}");
    }
}
