//! A client and a server in memory, and what one end sends the other.

use super::ends::{client_config, deliver, identity, new_client, server_config, trusting};
use std::sync::Arc;
use std::time::Instant;
use udtls::{ClientConfig, CloseReason, Connection, Error, Event, ProtocolVersion, ServerConfig};

/// Two ends, and what they said of themselves.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) now: Instant,
    pub(crate) client_events: Vec<Event>,
    pub(crate) server_events: Vec<Event>,
}

impl Pair {
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        Self::with(client_config(version), server_config(version))
    }

    pub(crate) fn with(client: ClientConfig, server: ServerConfig) -> Self {
        let now = Instant::now();
        let client = new_client(&Arc::new(client), now);
        let server = Connection::server(Arc::new(server), now).expect("a server");
        Self { client, server, now, client_events: Vec::new(), server_events: Vec::new() }
    }

    pub(crate) fn established(version: ProtocolVersion) -> Self {
        let mut pair = Self::new(version);
        pair.run();
        assert!(pair.client.is_established() && pair.server.is_established(), "{version}");
        pair
    }

    /// Another client in the place of the first: its only root is not the server's.
    pub(crate) fn client_trusts_nobody(&mut self) {
        self.client = new_client(&Arc::new(stranger()), self.now);
    }

    /// One datagram each way, the client's first; what they were.
    pub(crate) fn exchange(&mut self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let now = self.now;
        let step = |from: &mut Connection, to: &mut Connection| {
            let mut out = vec![0; 1500];
            let len = from.poll_transmit(now, &mut out).expect("room for a datagram")?;
            out.truncate(len);
            let _ = deliver(to, now, &mut out.clone());
            Some(out)
        };
        let from_client = step(&mut self.client, &mut self.server);
        let from_server = step(&mut self.server, &mut self.client);
        (from_client, from_server)
    }

    /// Until neither end has anything to send.
    pub(crate) fn run(&mut self) {
        for _ in 0..1000 {
            if self.exchange() == (None, None) {
                self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
                self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
                return;
            }
        }
        panic!("they go on for ever");
    }

    pub(crate) fn client_error(&mut self) -> Option<Error> {
        self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
        error(&self.client_events)
    }

    pub(crate) fn server_error(&mut self) -> Option<Error> {
        self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
        error(&self.server_events)
    }
}

fn error(events: &[Event]) -> Option<Error> {
    events.iter().find_map(|event| match event {
        Event::Closed(CloseReason::Failed(error)) => Some(error.clone()),
        _ => None,
    })
}

/// A client that trusts another server.
fn stranger() -> ClientConfig {
    let versions = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];
    let mut config = trusting(identity().0, versions[0]);
    config.set_versions(&versions).expect("versions");
    config
}
