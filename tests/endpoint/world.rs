//! An endpoint with its application, and clients around it, in memory and in virtual time.

use super::ends::{deliver, drain, new_client, server_config};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    ClientConfig, Connection, ConnectionHandle, Endpoint, EndpointConfig, EndpointStats, Event, Incoming,
    ProtocolVersion, ServerConfig, Verdict,
};

pub(crate) const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// A server's socket and all that is behind it.
pub(crate) struct World {
    pub(crate) endpoint: Endpoint,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) connections: HashMap<ConnectionHandle, Connection>,
    pub(crate) now: Instant,
    /// Octets of replies that needed no connection.
    pub(crate) replies: usize,
}

/// A client and its address.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) connection: Connection,
}

/// What came of a datagram.
#[derive(Debug)]
pub(crate) enum Outcome {
    Dropped(udtls::DropReason),
    Kept,
    Reply(Vec<u8>),
    Incoming(Box<Incoming>),
    For(ConnectionHandle),
}

pub(crate) fn address(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 4433))
}

/// A server of these versions.
pub(crate) fn server(versions: &[ProtocolVersion]) -> ServerConfig {
    let mut config = server_config(versions[0]);
    config.set_versions(versions).expect("versions");
    config
}

impl World {
    pub(crate) fn new(config: EndpointConfig, server: ServerConfig) -> Self {
        let (now, config_of_server) = (Instant::now(), Arc::new(server));
        let endpoint = Endpoint::new(config, Some(config_of_server.clone()), now).expect("an endpoint");
        Self { endpoint, config: config_of_server, connections: HashMap::new(), now, replies: 0 }
    }

    pub(crate) fn both() -> Self {
        Self::new(EndpointConfig::new(), server(&VERSIONS))
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        self.endpoint.stats()
    }

    pub(crate) fn peer(&self, address: SocketAddr, config: ClientConfig) -> Peer {
        Peer { address, connection: new_client(&Arc::new(config), self.now) }
    }

    /// What the endpoint says, and nothing more.
    pub(crate) fn ask(&mut self, from: SocketAddr, datagram: &[u8]) -> Outcome {
        let mut reply = vec![0; 1500];
        match self.endpoint.handle(self.now, from, None, datagram, &mut reply) {
            Verdict::Drop(reason) => Outcome::Dropped(reason),
            Verdict::Kept => Outcome::Kept,
            Verdict::Reply(len) => {
                reply.truncate(len);
                self.replies += len;
                Outcome::Reply(reply)
            }
            Verdict::Incoming(incoming) => Outcome::Incoming(incoming),
            Verdict::Connection(handle) => Outcome::For(handle),
            other => panic!("{other:?}"),
        }
    }

    /// An application that accepts everyone: what goes back to the peer.
    pub(crate) fn serve(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        let handle = match self.ask(from, datagram) {
            Outcome::Dropped(_) | Outcome::Kept => return Vec::new(),
            Outcome::Reply(reply) => return vec![reply],
            Outcome::Incoming(incoming) => {
                let (handle, connection) = self.endpoint.accept(*incoming, None, self.now).expect("accepted");
                self.connections.insert(handle, connection);
                handle
            }
            Outcome::For(handle) => {
                if let Some(connection) = self.connections.get_mut(&handle) {
                    let _ = deliver(connection, self.now, &mut datagram.to_vec());
                }
                handle
            }
        };
        self.flush(handle)
    }

    pub(crate) fn flush(&mut self, handle: ConnectionHandle) -> Vec<Vec<u8>> {
        let Some(connection) = self.connections.get_mut(&handle) else { return Vec::new() };
        let datagrams = drain(connection, self.now);
        self.endpoint.update(handle, connection);
        datagrams
    }

    /// Datagrams back and forth until the client has nothing to say.
    pub(crate) fn talk(&mut self, peer: &mut Peer) {
        for _ in 0..50 {
            let out = drain(&mut peer.connection, self.now);
            if out.is_empty() {
                return;
            }
            for datagram in out {
                for mut back in self.serve(peer.address, &datagram) {
                    let _ = deliver(&mut peer.connection, self.now, &mut back);
                }
            }
        }
        panic!("they go on for ever");
    }

    /// The timers of the client and of all connections.
    pub(crate) fn pass(&mut self, peer: &mut Peer, time: Duration) {
        self.now += time;
        self.endpoint.handle_timeout(self.now).expect("cookie keys");
        peer.connection.handle_timeout(self.now);
        let handles: Vec<_> = self.connections.keys().copied().collect();
        for handle in handles {
            if let Some(connection) = self.connections.get_mut(&handle) {
                connection.handle_timeout(self.now);
            }
            for mut back in self.flush(handle) {
                let _ = deliver(&mut peer.connection, self.now, &mut back);
            }
        }
    }

    /// The one connection there is.
    pub(crate) fn only(&mut self) -> &mut Connection {
        assert_eq!(self.connections.len(), 1);
        self.connections.values_mut().next().expect("a connection")
    }
}

impl Peer {
    pub(crate) fn established(world: &mut World, address: SocketAddr, config: ClientConfig) -> Self {
        let mut peer = world.peer(address, config);
        world.talk(&mut peer);
        assert!(peer.connection.is_established());
        peer
    }

    /// Up to the second ClientHello, which is returned.
    pub(crate) fn second_hello(&mut self, world: &mut World) -> Vec<Vec<u8>> {
        for datagram in drain(&mut self.connection, world.now) {
            if let Outcome::Reply(mut reply) = world.ask(self.address, &datagram) {
                let _ = deliver(&mut self.connection, world.now, &mut reply);
            }
        }
        drain(&mut self.connection, world.now)
    }
}

pub(crate) fn events(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll_event()).collect()
}
