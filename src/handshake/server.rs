//! The server up to its choice of version (RFC 8446 §4.1.1, RFC 6347 §4.2.1, RFC 9147 §5.3).
//!
//! A bare server makes no cookie exchange: that is the listener's, who answers before there is a connection.

use super::negotiate::{Selection, select};
use super::{Input, Outbox, State, server12, server13};
use crate::config::ServerConfig;
use crate::crypto::suites::Suite13;
use crate::error::Error;
use crate::wire::{NamedGroup, enums::HandshakeType, handshake::Message, hello::ClientHello};
use std::sync::Arc;

/// What a server that kept nothing did before the ClientHello with which an association begins.
#[derive(Clone, Debug)]
pub(crate) enum StatelessStart {
    /// Nothing that the handshake hears of: a HelloVerifyRequest is none of its messages (RFC 6347 §4.2.1).
    ClientHello,
    /// It sent a HelloRetryRequest, which the ClientHello answers.
    RetriedClientHello(StatelessRetry),
}

/// A HelloRetryRequest with a cookie, and what it was sent to (RFC 9147 §5.1).
#[derive(Clone, Debug)]
pub(crate) struct StatelessRetry {
    pub(crate) suite: Suite13,
    /// That of the key exchange.
    pub(crate) group: NamedGroup,
    /// The suite's hash of the first ClientHello.
    pub(crate) client_hello_hash: Vec<u8>,
    /// The HelloRetryRequest's body.
    pub(crate) request: Vec<u8>,
}

/// A server's first state.
pub(super) fn start(config: Arc<ServerConfig>, start: StatelessStart) -> State {
    match start {
        StatelessStart::ClientHello => State::ExpectClientHello(ExpectClientHello { config }),
        StatelessStart::RetriedClientHello(StatelessRetry { suite, group, client_hello_hash, request }) => {
            // Its number is no part of the transcript (RFC 9147 §5.2).
            let request = Message { msg_type: HandshakeType::SERVER_HELLO, message_seq: 0, body: &request };
            let next = server13::ExpectRetriedClientHello::after_stateless_retry(
                config,
                suite,
                group,
                &client_hello_hash,
                &request,
            );
            State::ExpectRetriedClientHello13(Box::new(next))
        }
    }
}

/// Nothing has come yet.
pub(super) struct ExpectClientHello {
    config: Arc<ServerConfig>,
}

impl ExpectClientHello {
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
