//! A server that keeps nothing until the client has shown that it is where it says (RFC 6347 §4.2.1, RFC 9147 §5.1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use udtls::{ConfigError, Connection, ConnectionHandle, CookieKeys, Endpoint, EndpointConfig, ServerConfig, Verdict};

/// An endpoint with one client to come.
pub(crate) struct Door {
    endpoint: Endpoint,
    handle: Option<ConnectionHandle>,
    /// How often no association could be made for a client that had shown its cookie.
    pub(crate) refused: usize,
}

/// What became of a datagram.
pub(crate) enum Outcome {
    Dropped,
    /// This is sent to where it came from.
    Reply(Vec<u8>),
    /// The association begins, with the ClientHello in hand.
    Begins(Box<Connection>),
    ForConnection,
}

/// Where a datagram comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    TheClient,
    /// Something on the way has rewritten its source.
    Elsewhere,
}

impl From {
    fn address(self) -> SocketAddr {
        let host = if self == Self::TheClient { 1 } else { 2 };
        SocketAddr::from(([192, 0, 2, host], 4433))
    }
}

/// An endpoint, for clients if there is a configuration for them.
pub(crate) fn endpoint(server: Option<Arc<ServerConfig>>, now: Instant) -> Result<Endpoint, ConfigError> {
    let mut endpoint = EndpointConfig::new();
    // Cookies by the fixed time of the configuration: the same octets in every run.
    endpoint.set_cookie_keys(CookieKeys::derive(&[0x5A; 32], now).expect("a secret of some length"));
    Endpoint::new(endpoint, server, now)
}

impl Door {
    pub(crate) fn new(config: Arc<ServerConfig>, now: Instant) -> Result<Self, ConfigError> {
        Ok(Self { endpoint: endpoint(Some(config), now)?, handle: None, refused: 0 })
    }

    pub(crate) fn handle(&mut self, now: Instant, from: From, datagram: &[u8]) -> Outcome {
        self.endpoint.handle_timeout(now).expect("keys are derived");
        let mut reply = [0; 2048];
        match self.endpoint.handle(now, from.address(), None, datagram, &mut reply) {
            Verdict::Reply(len) => Outcome::Reply(reply[..len].to_vec()),
            Verdict::Incoming(incoming) => {
                let Ok((handle, connection)) = self.endpoint.accept(*incoming, None, now) else {
                    self.refused += 1;
                    return Outcome::Dropped;
                };
                self.handle = Some(handle);
                Outcome::Begins(Box::new(connection))
            }
            Verdict::Connection(handle) if Some(handle) == self.handle => Outcome::ForConnection,
            _ => Outcome::Dropped,
        }
    }

    pub(crate) fn handshake_memory(&self) -> usize {
        self.endpoint.stats().handshake_memory
    }

    /// After each use of the connection.
    pub(crate) fn update(&mut self, connection: &mut Connection) {
        if let Some(handle) = self.handle {
            self.endpoint.update(handle, connection);
        }
    }
}
