//! A client that wants in, and may come in: the application decides.

use super::listener::Validated;
use super::{ConnectionHandle, Source};
use crate::config::{ConfigError, ServerConfig};
use crate::connection::{Connection, Lease, Path};
use crate::handshake::server_name;
use crate::wire::{ProtocolVersion, hello::ClientHello};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// A client's ClientHello that made sense and, unless the endpoint is configured otherwise, carried a valid cookie.
///
/// It goes to [`Endpoint::accept`](super::Endpoint::accept), [`refuse`](super::Endpoint::refuse) or
/// [`ignore`](super::Endpoint::ignore). While it waits, it holds a place among the half-open handshakes, and what the client
/// sends again is dropped. To drop it is to ignore it.
pub struct Incoming {
    pub(super) handle: ConnectionHandle,
    pub(super) source: Source,
    pub(super) lease: Lease,
    pub(super) proof: Proof,
}

/// Why the client is let in.
pub(super) enum Proof {
    /// Its cookie was valid.
    Cookie(Validated),
    /// None was wanted.
    Unasked(Unasked),
}

/// A ClientHello without a cookie.
pub(super) struct Unasked {
    pub(super) body: Box<[u8]>,
    pub(super) record: u64,
    pub(super) version: ProtocolVersion,
    pub(super) path: Path,
}

impl Incoming {
    /// The client's address.
    pub fn remote(&self) -> SocketAddr {
        self.source.remote()
    }

    /// The local address that its datagram was sent to, if the application told.
    pub fn local(&self) -> Option<IpAddr> {
        self.source.local()
    }

    /// Whether the client has shown, by a cookie, that it receives what is sent to its address.
    pub fn is_validated(&self) -> bool {
        matches!(self.proof, Proof::Cookie(_))
    }

    /// The name that the client wants to reach (RFC 6066 §3).
    pub fn server_name(&self) -> Option<&str> {
        server_name(&self.hello()?)
    }

    /// The application protocols that the client offers, best first (RFC 7301).
    pub fn alpn_protocols(&self) -> impl Iterator<Item = &[u8]> {
        self.hello().and_then(|hello| hello.known.protocols).into_iter().flat_map(|names| names.iter())
    }

    /// The version that will be spoken.
    pub fn version(&self) -> ProtocolVersion {
        match &self.proof {
            Proof::Cookie(validated) => validated.version(),
            Proof::Unasked(unasked) => unasked.version,
        }
    }

    /// Tells what it takes of memory while it waits.
    pub(super) fn account(&self) {
        self.lease.set_memory(size_of::<Self>().saturating_add(self.body().len()));
    }

    pub(super) fn body(&self) -> &[u8] {
        match &self.proof {
            Proof::Cookie(validated) => validated.body(),
            Proof::Unasked(unasked) => &unasked.body,
        }
    }

    /// The sequence number of the record that brought the ClientHello.
    pub(super) fn record(&self) -> u64 {
        match &self.proof {
            Proof::Cookie(validated) => validated.record(),
            Proof::Unasked(unasked) => unasked.record,
        }
    }

    fn hello(&self) -> Option<ClientHello<'_>> {
        ClientHello::read(self.body()).ok()
    }

    /// The association begins.
    pub(super) fn into_connection(self, config: Arc<ServerConfig>, now: Instant) -> Result<Connection, ConfigError> {
        let mut connection = match self.proof {
            Proof::Cookie(validated) => validated.accept(config, now)?,
            Proof::Unasked(unasked) => Connection::server_of_hello(config, &unasked.body, unasked.path, now)?,
        };
        connection.settle(self.lease);
        Ok(connection)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Incoming");
        debug.field("source", &self.source).field("server_name", &self.server_name()).finish_non_exhaustive()
    }
}
