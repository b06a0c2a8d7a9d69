//! Floor 6: many peers on one socket. Cookies for those who have none, a place for those who have, and to whom a datagram
//! belongs.
//!
//! A datagram is looked at once (`framing.rs`) and goes to the association of its source (`routes.rs`), if there is one. A
//! ClientHello of anybody else is put together if it came in fragments (`pool.rs`) and answered statelessly, until it
//! carries a valid cookie (`listener.rs`, `cookie.rs`). Then there must be a place for it (`admission.rs`), and the
//! application decides (`incoming.rs`).

mod admission;
mod closed;
mod config;
mod cookie;
mod dispatch;
mod framing;
mod incoming;
mod listener;
mod pool;
mod routes;
mod source;
mod stats;

pub use config::{EndpointConfig, Validation};
pub use cookie::CookieKeys;
pub use incoming::Incoming;
pub use listener::{Decision, Listener, Reply, ReplyKind, Validated};
pub use routes::ConnectionHandle;
pub use source::Source;
pub use stats::{CookieFault, DropReason, EndpointStats};

use crate::config::{ClientConfig, ConfigError, ServerConfig};
use crate::connection::{Connection, Standing};
use crate::crypto;
use crate::wire::AlertDescription;
use admission::Admission;
use closed::Closed;
use config::KeySource;
use pool::FragmentPool;
use routes::{Origin, Place, Routes, Stage};
use rustls::pki_types::ServerName;
use std::fmt;
use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Many associations on one socket, of clients and with servers.
///
/// It performs no I/O and reads no clock, and the application owns its connections:
///
/// * each datagram from the socket goes to [`handle`](Self::handle), whose [`Verdict`] says what to do with it: send a reply,
///   give it to a connection, decide about a new client, or nothing;
/// * after each use of a connection, [`update`](Self::update) tells the endpoint what became of it; a connection that is
///   dropped has given its place back;
/// * [`poll_closed`](Self::poll_closed) names connections that had to end;
/// * at the deadline of [`poll_timeout`](Self::poll_timeout), [`handle_timeout`](Self::handle_timeout) wants to be called.
///
/// ```no_run
/// use std::collections::HashMap;
/// use std::{net::UdpSocket, sync::Arc, time::Instant};
/// use udtls::{Datagram, Endpoint, EndpointConfig, ServerConfig, Verdict};
///
/// # fn serve(config: Arc<ServerConfig>) -> Result<(), Box<dyn std::error::Error>> {
/// let socket = UdpSocket::bind("[::]:4433")?;
/// let mut endpoint = Endpoint::new(EndpointConfig::new(), Some(config), Instant::now())?;
/// let mut connections = HashMap::new();
/// let (mut datagram, mut out) = ([0; 2048], [0; 2048]);
/// loop {
///     let (len, remote) = socket.recv_from(&mut datagram)?;
///     let now = Instant::now();
///     let handle = match endpoint.handle(now, remote, None, &datagram[..len], &mut out) {
///         Verdict::Reply(len) => {
///             socket.send_to(&out[..len], remote)?;
///             continue;
///         }
///         Verdict::Incoming(incoming) => {
///             let (handle, connection) = endpoint.accept(*incoming, None, now)?;
///             connections.insert(handle, connection);
///             handle
///         }
///         Verdict::Connection(handle) => {
///             let Some(connection) = connections.get_mut(&handle) else { continue };
///             let mut datagram = Datagram::new(&mut datagram[..len]);
///             // An error has ended the association; its alert goes out below.
///             while let Ok(Some(mut data)) = connection.receive(now, &mut datagram) {
///                 println!("{} octets", data.payload().len());
///             }
///             handle
///         }
///         _ => continue,
///     };
///     let Some(connection) = connections.get_mut(&handle) else { continue };
///     while let Some(len) = connection.poll_transmit(now, &mut out)? {
///         socket.send_to(&out[..len], remote)?;
///     }
///     endpoint.update(handle, connection);
///     // Events, timers and connections that have ended are looked after as with one `Connection` alone.
///     while let Some(handle) = endpoint.poll_closed() {
///         connections.remove(&handle);
///     }
/// }
/// # }
/// ```
///
/// A client whose address is not proven costs neither memory nor a signature. To serve on several threads, give each an
/// endpoint and a socket of its own, and let them share cookie keys ([`EndpointConfig::set_cookie_keys`]).
pub struct Endpoint {
    config: EndpointConfig,
    server: Server,
    routes: Routes,
    admission: Admission,
    stats: EndpointStats,
    closed: Closed,
    hasher: RandomState,
}

/// Whether clients are served.
enum Server {
    No,
    Yes(Box<Serving>),
}

/// What only an endpoint with clients needs.
struct Serving {
    config: Arc<ServerConfig>,
    listener: Listener,
    pool: FragmentPool,
}

/// What to do with a datagram.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing; it is counted.
    Drop(DropReason),
    /// Nothing: it held part of a ClientHello, which is kept until the rest has come.
    Kept,
    /// Send so many octets of the reply buffer to where it came from. Nothing was kept.
    Reply(usize),
    /// Decide about a new client.
    Incoming(Box<Incoming>),
    /// Give it to this connection.
    Connection(ConnectionHandle),
}

impl Endpoint {
    /// An endpoint that serves clients by `server`, or none.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`] if no cookie key can be drawn.
    pub fn new(config: EndpointConfig, server: Option<Arc<ServerConfig>>, now: Instant) -> Result<Self, ConfigError> {
        let mut config = config;
        let admission = Admission::new(config.limits);
        let server = match server {
            None => Server::No,
            Some(server) => {
                let keys = match std::mem::replace(&mut config.cookie_keys, KeySource::Random) {
                    KeySource::Random => CookieKeys::rotating(config.cookie_rotation, now)?,
                    KeySource::Given(keys) => keys,
                };
                let seed = crypto::random(server.provider()).map_err(|_| ConfigError::Provider)?;
                let pool = FragmentPool::new(config.fragment_slots, seed);
                let mut listener = Listener::new(Arc::clone(&server), keys);
                // Keys that go by unix time hear of it here for the first time.
                listener.handle_timeout(now)?;
                Server::Yes(Box::new(Serving { config: server, listener, pool }))
            }
        };
        let (routes, stats) = (Routes::default(), EndpointStats::new());
        let (closed, hasher) = (Closed::default(), RandomState::new());
        Ok(Self { config, server, routes, admission, stats, closed, hasher })
    }

    /// Says what to do with a datagram that came from `remote`, sent to `local` if that is known. A reply is written to the
    /// front of `reply`, which should have room for a datagram.
    pub fn handle(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
        reply: &mut [u8],
    ) -> Verdict {
        let verdict = match Source::new(remote, local) {
            Ok(source) => self.handle_from(now, source, datagram, reply),
            Err(reason) => Verdict::Drop(reason),
        };
        self.stats.count(&verdict);
        verdict
    }

    /// A connection to a server at `remote`, from this socket; its first datagram waits in
    /// [`Connection::poll_transmit`]. `local` is what [`handle`](Self::handle) will be told, or `None` for any.
    ///
    /// # Errors
    /// Those of [`Connection::client`]; [`ConfigError::Address`] if nobody can be there; [`ConfigError::AddressInUse`] if there
    /// is an association with it; [`ConfigError::TooManyConnections`].
    pub fn connect(
        &mut self,
        remote: SocketAddr,
        local: Option<IpAddr>,
        config: Arc<ClientConfig>,
        name: Option<ServerName<'static>>,
        now: Instant,
    ) -> Result<(ConnectionHandle, Connection), ConfigError> {
        let source = Source::new(remote, local).map_err(|_| ConfigError::Address)?;
        if let Some(known) = self.routes.find(&source)
            && !(self.config.validation == Validation::UnderLoad && self.routes.is_unproven(&known))
        {
            return Err(ConfigError::AddressInUse);
        }
        if !self.admission.has_room() {
            return Err(ConfigError::TooManyConnections);
        }
        let mut connection = Connection::client(config, name, now)?;
        let (seat, lease) = self.admission.seat(&source, Standing::Established);
        connection.settle(lease);
        let place = Place { source, seat, origin: Origin::Ours, stage: Stage::Begun };
        // A handshake of which nobody knows whether it is that peer's makes way: or a forger could keep us from calling.
        let handle = self.routes.insert(place, Self::revoked(&mut self.stats.replaced, &mut self.closed));
        Ok((handle, connection))
    }

    /// Begins the association that a client wants, by the endpoint's configuration or, for this client, by another with the
    /// same versions, cipher suites and groups: they were chosen already. The connection's first datagrams wait in
    /// [`Connection::poll_transmit`]; if the ClientHello cannot be answered, that is an alert.
    ///
    /// # Errors
    /// [`ConfigError::ParametersDiffer`] if `config` has others; [`ConfigError::OtherEndpoint`] if `incoming` is not this
    /// endpoint's; [`ConfigError::Provider`]. The client is ignored then.
    pub fn accept(
        &mut self,
        incoming: Incoming,
        config: Option<Arc<ServerConfig>>,
        now: Instant,
    ) -> Result<(ConnectionHandle, Connection), ConfigError> {
        let Server::Yes(serving) = &self.server else { return Err(ConfigError::OtherEndpoint) };
        if !incoming.lease.is_among(self.admission.places()) {
            return Err(ConfigError::OtherEndpoint);
        }
        let config = match config {
            None => Arc::clone(&serving.config),
            Some(config) if serving.config.negotiates_like(&config) => config,
            Some(_) => return Err(ConfigError::ParametersDiffer),
        };
        let (handle, source, seat) = (incoming.handle, incoming.source, incoming.lease.seat());
        let mut connection = incoming.into_connection(config, now)?;
        match self.routes.get_mut(handle) {
            Some(place) => {
                place.stage = Stage::Begun;
                let routes = &self.routes;
                self.admission.begun(&source, handle, |handle| routes.get(handle).is_some_and(Place::is_evictable));
            }
            // While the application thought about it, the client has begun anew.
            None => {
                connection.obey();
                seat.into_iter().for_each(|seat| self.closed.push(handle, seat));
            }
        }
        stats::count(&mut self.stats.accepted);
        self.keep_memory_bounded();
        Ok((handle, connection))
    }

    /// Turns a client away with a fatal alert, of which so many octets are to be sent from the front of `reply`.
    pub fn refuse(&mut self, incoming: Incoming, description: AlertDescription, reply: &mut [u8]) -> usize {
        if incoming.lease.is_among(self.admission.places()) {
            stats::count(&mut self.stats.refused);
        }
        listener::write_alert(description, incoming.record(), reply).unwrap_or_default()
    }

    /// Turns a client away without a word. If it sends its ClientHello again, it comes again.
    pub fn ignore(&mut self, incoming: Incoming) {
        if incoming.lease.is_among(self.admission.places()) {
            stats::count(&mut self.stats.ignored);
        }
    }

    /// Tells the endpoint what became of a connection: to be called after each use of it.
    pub fn update(&mut self, handle: ConnectionHandle, connection: &mut Connection) {
        connection.obey();
        if let Some(source) = self.routes.get(handle).map(|place| place.source) {
            self.routes.promote(&source, Self::revoked(&mut self.stats.replaced, &mut self.closed));
        }
        self.keep_memory_bounded();
        self.routes.sweep(self.admission.places().left());
    }

    /// The address of a connection's peer, as long as the endpoint has it.
    pub fn remote(&self, handle: ConnectionHandle) -> Option<SocketAddr> {
        self.routes.get(handle).map(|place| place.source.remote())
    }

    /// The next connection that had to end: because another association with the same peer has replaced it, or because it was
    /// half-open and had to make way. Its own events say so when it is next used; what is left to do is to drop it. One that
    /// was dropped already is not named.
    pub fn poll_closed(&mut self) -> Option<ConnectionHandle> {
        self.closed.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next. May be past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.server {
            Server::No => None,
            Server::Yes(serving) => Some(serving.listener.poll_timeout()),
        }
    }

    /// Time has passed: cookie keys are replaced. Harmless at any time.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`] if no cookie key can be drawn; the old ones go on, and it is tried again.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConfigError> {
        self.routes.sweep(self.admission.places().left());
        match &mut self.server {
            Server::No => Ok(()),
            Server::Yes(serving) => serving.listener.handle_timeout(now),
        }
    }

    /// What the endpoint has counted, and what it has now.
    pub fn stats(&self) -> EndpointStats {
        let places = self.admission.places();
        let mut stats = self.stats.clone();
        stats.connections = places.connections();
        stats.half_open = places.half_open();
        stats.handshake_memory = places.memory();
        stats
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
