//! The stateless listener.

use super::{CookieFault, CookieKeys, DropReason, Source};
use crate::config::{ConfigError, ServerConfig};
use crate::connection::Connection;
use crate::wire::AlertDescription;
use std::sync::Arc;
use std::time::Instant;

/// Answers ClientHellos and keeps nothing.
#[derive(Debug)]
pub struct Listener {
    config: Arc<ServerConfig>,
}

/// A whole ClientHello.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) hello: &'a [u8],
    pub(super) message_seq: u16,
    /// The record's sequence number; of several, the highest.
    pub(super) record: u64,
    /// Octets received for it: what a reply is measured by.
    pub(super) received: usize,
}

pub(super) enum Decision {
    Drop(DropReason),
    Reply(Reply),
    Accept(Validated),
}

pub(super) struct Reply {
    pub(super) len: usize,
    pub(super) kind: ReplyKind,
}

#[derive(Clone, Copy)]
pub(super) enum ReplyKind {
    Cookie,
    /// A cookie instead of one that was no good.
    CookieAgain(CookieFault),
    Alert,
    BadCookie(CookieFault),
}

pub(super) struct Validated {
    body: Box<[u8]>,
    record: u64,
}

impl Validated {
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
    pub(super) fn record(&self) -> u64 {
        self.record
    }
    pub(super) fn into_connection(self, config: Arc<ServerConfig>, now: Instant) -> Result<Connection, ConfigError> {
        Connection::server(config, now)
    }
}

impl Listener {
    /// A listener.
    pub fn new(config: Arc<ServerConfig>, _keys: CookieKeys) -> Self {
        Self { config }
    }
    pub(super) fn decide(
        &self,
        _now: Instant,
        _source: &Source,
        _request: &Request<'_>,
        _reply: &mut [u8],
    ) -> Decision {
        Decision::Drop(DropReason::NoServer)
    }
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub(super) fn handle_timeout(&mut self, _now: Instant) -> Result<(), ConfigError> {
        Ok(())
    }
}

pub(super) fn write_alert(_description: AlertDescription, _record: u64, _out: &mut [u8]) -> Option<usize> {
    None
}
