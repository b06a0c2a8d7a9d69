//! Several endpoints that serve one address: what a client got from one is good at every other.

mod common {
    pub(crate) mod ends;
}

use common::ends::{client_config, deliver, drain, new_client, server_config};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use udtls::{
    ClientConfig, Connection, ConnectionHandle, CookieKeys, Endpoint, EndpointConfig, HandshakeKind, ProtocolVersion,
    ServerConfig, Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// An endpoint and its connections, with the configuration of all shards and keys from the secret of all.
struct Shard {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
}

impl Shard {
    fn new(config: &ServerConfig, now: Instant) -> Self {
        let mut settings = EndpointConfig::new();
        settings.set_cookie_keys(CookieKeys::derive(&[7; 32], now).unwrap());
        let endpoint = Endpoint::new(settings, Some(Arc::new(config.clone())), now).unwrap();
        Self { endpoint, connection: None }
    }

    /// Takes all that the client has to say, and answers; whether there was anything.
    fn exchange(&mut self, client: &mut Connection, from: SocketAddr, now: Instant) -> bool {
        let (said, mut reply) = (drain(client, now), [0; 1500]);
        for mut datagram in said.clone() {
            match self.endpoint.handle(now, from, None, &datagram, &mut reply) {
                Verdict::Reply(len) => drop(deliver(client, now, &mut reply[..len]).unwrap()),
                Verdict::Incoming(incoming) => {
                    self.connection = Some(self.endpoint.accept(*incoming, None, now).unwrap());
                }
                _ => {}
            }
            if let Some((_, server)) = &mut self.connection {
                deliver(server, now, &mut datagram).unwrap();
            }
        }
        let Some((handle, server)) = &mut self.connection else { return !said.is_empty() };
        let answers = drain(server, now);
        self.endpoint.update(*handle, server);
        let quiet = said.is_empty() && answers.is_empty();
        answers.into_iter().for_each(|mut datagram| drop(deliver(client, now, &mut datagram).unwrap()));
        !quiet
    }
}

/// A client that gets its cookie at one shard and goes on at another, as when a shard is added meanwhile.
fn handshake(config: &Arc<ClientConfig>, shards: [&mut Shard; 2], now: Instant) -> HandshakeKind {
    let from = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let mut client = new_client(config, now);
    let [first, second] = shards;
    assert!(first.exchange(&mut client, from, now));
    assert!(first.connection.is_none());
    while second.exchange(&mut client, from, now) {}
    assert!(client.is_established());
    let (handle, mut server) = second.connection.take().unwrap();
    assert!(server.is_established());
    assert_eq!(second.endpoint.stats().accepted, 1);
    server.close(now);
    second.endpoint.update(handle, &mut server);
    client.negotiated().unwrap().handshake_kind()
}

#[test]
fn cookies_and_tickets_of_one_shard_are_good_at_another() {
    for version in VERSIONS {
        let now = Instant::now();
        let (client, server) = (Arc::new(client_config(version)), server_config(version));
        let [mut a, mut b] = [(); 2].map(|()| Shard::new(&server, now));
        assert_eq!(handshake(&client, [&mut a, &mut b], now), HandshakeKind::Full, "{version}");
        let [mut c, mut d] = [(); 2].map(|()| Shard::new(&server, now));
        assert_eq!(handshake(&client, [&mut c, &mut d], now), HandshakeKind::Resumed, "{version}");
        assert_eq!(c.endpoint.stats().cookies_sent, 1);
        assert_eq!(d.endpoint.stats().cookies_sent, 0);
    }
}

#[test]
fn each_shard_lives_in_a_thread_of_its_own() {
    let server = server_config(VERSIONS[1]);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let now = Instant::now();
                let (mut a, mut b) = (Shard::new(&server, now), Shard::new(&server, now));
                handshake(&Arc::new(client_config(VERSIONS[1])), [&mut a, &mut b], now);
            });
        }
    });
}
