//! The server up to its choice of version (RFC 8446 §4.1.1, RFC 6347 §4.2.1, RFC 9147 §5.3).
//!
//! A bare server makes no cookie exchange: that is the listener's, who answers before there is a connection.

use super::negotiate::{Selection, select};
use super::{Input, Outbox, State, server12, server13};
use crate::config::ServerConfig;
use crate::error::Error;
use crate::wire::{enums::HandshakeType, hello::ClientHello};
use std::sync::Arc;

/// Nothing has come yet.
pub(super) struct ExpectClientHello {
    config: Arc<ServerConfig>,
}

impl ExpectClientHello {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self { config }
    }

    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let message = input.expect(HandshakeType::CLIENT_HELLO)?;
        let hello = ClientHello::read(message.body)?;
        match select(&hello, &self.config)? {
            Selection::Dtls12 => server12::handle_client_hello(self.config, &hello, &message, out),
            Selection::Dtls13(selection) => {
                server13::handle_client_hello(self.config, selection, &hello, &message, out)
            }
        }
    }
}
