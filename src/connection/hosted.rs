//! An association that lives at an endpoint with many others: how it begins, what it takes, and when it must go.

use super::{Connection, Lease, Path, Phase, receive::memory_of_early};
use crate::config::{ConfigError, ServerConfig};
use crate::flight::Trust;
use crate::wire::{ack::Epoch, enums::HandshakeType, handshake::Message};
use std::sync::Arc;
use std::time::Instant;

impl Connection {
    /// A server's side of an association whose ClientHello is there, and was answered by nobody before.
    pub(crate) fn server_of_hello(
        config: Arc<ServerConfig>,
        body: &[u8],
        path: Path,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let mut connection = Self::server(config, now)?;
        connection.place.path = path;
        let message = Message { msg_type: HandshakeType::CLIENT_HELLO, message_seq: 0, body };
        let fragment = [&message.header()[..], body].concat();
        let received = connection.incoming.receive(Epoch::PLAINTEXT, Trust::Plaintext, &fragment);
        if let Err(error) = received.and_then(|_| connection.handle_messages(now)) {
            connection.fail(error);
        }
        Ok(connection)
    }

    /// Takes the place that was kept for it.
    pub(crate) fn settle(&mut self, lease: Lease) {
        self.place.lease = lease;
        self.account();
        match self.phase {
            Phase::Handshaking(_) => {}
            Phase::Established(_) => self.place.lease.established(),
            Phase::Failed(_) => self.place.lease.over(),
        }
    }

    /// Ends if whoever counts wants the place for another. The peer is told nothing: it has gone, or never proved that it
    /// is there.
    #[inline]
    pub(crate) fn obey(&mut self) {
        if let Some(order) = self.place.lease.order() {
            self.fail(order);
        }
    }

    /// Tells what the handshake takes of memory.
    #[inline]
    pub(super) fn account(&self) {
        if self.place.lease.is_counted()
            && let Phase::Handshaking(handshaking) = &self.phase
        {
            let octets = HANDSHAKE_COST
                .saturating_add(memory_of_early(handshaking.early.iter().map(AsRef::as_ref)))
                .saturating_add(self.incoming.buffered())
                .saturating_add(self.outgoing.buffered());
            self.place.lease.set_memory(octets);
        }
    }
}

/// Octets that a handshake takes beside the messages it keeps: its state, its keys, and the association itself, by
/// estimate.
const HANDSHAKE_COST: usize = 10 * 1024;
