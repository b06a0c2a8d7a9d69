//! dimpl, in Rust like ourselves. It verifies no certificate: it hands it out.

use crate::certificates::Authority;
use crate::memory::Peer;
use crate::table::{Cell, Cookie, Retry, Role, Version};
use dimpl::crypto::{Dtls12CipherSuite, Dtls13CipherSuite, rust_crypto};
use dimpl::{Config, Dtls, DtlsCertificate, NamedGroup, Output};
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct Dimpl {
    dtls: Dtls,
    to_send: Vec<Vec<u8>>,
    established: bool,
    peer_closed: bool,
    received: Vec<u8>,
}

impl Dimpl {
    pub(crate) fn new(cell: &Cell, authority: &Authority, now: Instant) -> Result<Self, String> {
        let kind = match cell.grid.we {
            Role::Client => cell.certificate,
            // It must have one; it is asked for it or not.
            Role::Server => cell.client_auth.kind().unwrap_or(crate::certificates::Kind::P256),
        };
        let chain = authority.chain(kind);
        let certificate = DtlsCertificate {
            certificate: chain.certificates()[0].to_vec(),
            private_key: chain.key().secret_der().to_vec(),
        };
        let suite = cell.cipher_suite().into();
        let builder = Config::builder()
            .mtu(cell.mtu)
            .max_queue_rx(200)
            .max_queue_tx(200)
            .use_server_cookie(cell.cookie == Cookie::Demanded)
            .require_client_certificate(cell.client_auth.kind().is_some())
            .kx_groups(&groups(cell))
            .with_crypto_provider(rust_crypto::default_provider());
        let builder = match cell.grid.version {
            Version::Dtls12 => builder.dtls12_cipher_suites(&[Dtls12CipherSuite::from_u16(suite)]),
            Version::Dtls13 => builder.dtls13_cipher_suites(&[Dtls13CipherSuite::from_u16(suite)]),
        };
        let config = Arc::new(builder.build().map_err(|error| error.to_string())?);
        let mut dtls = match cell.grid.version {
            Version::Dtls12 => Dtls::new_12(config, certificate, now),
            Version::Dtls13 => Dtls::new_13(config, certificate, now),
        };
        dtls.set_active(cell.grid.we == Role::Server);
        // It must have been told the time before anything else; its server panics otherwise.
        dtls.handle_timeout(now).map_err(|error| error.to_string())?;
        Ok(Self { dtls, to_send: Vec::new(), established: false, peer_closed: false, received: Vec::new() })
    }

    /// Takes all that it has to say.
    fn poll(&mut self) -> Result<(), String> {
        let mut buffer = vec![0; 4096];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(datagram) => self.to_send.push(datagram.to_vec()),
                Output::Timeout(_) => return Ok(()),
                Output::Connected => self.established = true,
                Output::ApplicationData(data) => self.received.extend_from_slice(data),
                Output::CloseNotify => self.peer_closed = true,
                Output::BufferTooSmall { needed } => return Err(format!("{needed} octets in a datagram")),
                _ => {}
            }
        }
    }
}

impl Peer for Dimpl {
    fn receive(&mut self, datagram: &[u8]) -> Result<(), String> {
        self.dtls.handle_packet(datagram).map_err(|error| error.to_string())?;
        self.poll()
    }

    fn transmit(&mut self) -> Result<Vec<Vec<u8>>, String> {
        self.dtls.handle_timeout(Instant::now()).map_err(|error| error.to_string())?;
        self.poll()?;
        Ok(std::mem::take(&mut self.to_send))
    }

    fn established(&self) -> bool {
        self.established
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        self.dtls.send_application_data(payload).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn received(&self) -> &[u8] {
        &self.received
    }

    fn close(&mut self) -> Result<(), String> {
        self.dtls.close().map_err(|error| error.to_string())
    }

    fn peer_closed(&self) -> bool {
        self.peer_closed
    }
}

/// A client has a share of the first, in an order of its own: X25519, P-256, P-384.
fn groups(cell: &Cell) -> Vec<NamedGroup> {
    let groups = match (cell.grid.we, cell.retry) {
        (Role::Server, Retry::ForGroup) => vec![cell.group.another(), cell.group],
        (Role::Server, Retry::No) | (Role::Client, _) => vec![cell.group],
    };
    groups.into_iter().map(|group| NamedGroup::from_u16(group.wire().into())).collect()
}
