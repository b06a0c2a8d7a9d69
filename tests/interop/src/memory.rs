//! An association in memory: what one end sends, the other receives at once.

use crate::link::Seen;
use crate::table::{Cell, Closer, Role};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};
use udtls::{CloseReason, Connection, ConnectionHandle, Datagram, Direction, Endpoint, EndpointStats, Event, Verdict};

/// A foreign stack without a socket.
pub(crate) trait Peer {
    fn receive(&mut self, datagram: &[u8]) -> Result<(), String>;
    /// Looks at the time, and hands out what is to be sent.
    fn transmit(&mut self) -> Result<Vec<Vec<u8>>, String>;
    fn established(&self) -> bool;
    fn send(&mut self, payload: &[u8]) -> Result<(), String>;
    /// All data so far.
    fn received(&self) -> &[u8];
    fn close(&mut self) -> Result<(), String>;
    fn peer_closed(&self) -> bool;
    /// What its exporter gives for `LABEL`, if it has one.
    fn exported(&self) -> Result<Option<[u8; 32]>, String> {
        Ok(None)
    }
}

/// Of keying material (RFC 5705, RFC 8446 §7.5).
pub(crate) const LABEL: &str = "EXPERIMENTAL-udtls-interop";

/// Both ends.
pub(crate) struct Association<P: Peer + ?Sized = dyn Peer> {
    pub(crate) connection: Connection,
    pub(crate) we: Role,
    pub(crate) theirs: Box<P>,
    established: bool,
    peer_closed: bool,
    pub(crate) received: Vec<u8>,
    /// Our keys that were updated, in the order of time.
    pub(crate) updated: Vec<Direction>,
    pub(crate) datagrams: Vec<Seen>,
    /// Who else looks at what arrives, if we serve many.
    many: Option<(Endpoint, ConnectionHandle)>,
}

/// Where the ends would be.
pub(crate) const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
pub(crate) const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4433);

const PATIENCE: Duration = Duration::from_secs(5);

impl<P: Peer + ?Sized> Association<P> {
    pub(crate) fn new(we: Role, connection: Connection, theirs: Box<P>) -> Self {
        let (established, peer_closed, updated) = (false, false, Vec::new());
        let (received, datagrams) = (Vec::new(), Vec::new());
        Self { connection, we, theirs, established, peer_closed, received, updated, datagrams, many: None }
    }

    /// The end of a client's cookie exchange with an endpoint of ours: what happened before is in `datagrams`.
    pub(crate) fn serve(mut endpoint: Endpoint, mut theirs: Box<P>) -> Result<Self, String> {
        let (mut reply, mut datagrams) = ([0; 2048], Vec::new());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for bytes in theirs.transmit()? {
                let now = Instant::now();
                let verdict = endpoint.handle(now, CLIENT, None, &bytes, &mut reply);
                datagrams.push(Seen { at: now, from: CLIENT, to: SERVER, bytes });
                match verdict {
                    Verdict::Reply(len) => {
                        datagrams.push(Seen { at: now, from: SERVER, to: CLIENT, bytes: reply[..len].to_vec() });
                        theirs.receive(&reply[..len]).map_err(|error| format!("the peer: {error}"))?;
                    }
                    Verdict::Incoming(incoming) => {
                        let accepted = endpoint.accept(*incoming, None, now).map_err(|error| error.to_string())?;
                        let (handle, connection) = accepted;
                        let mut both = Self::new(Role::Server, connection, theirs);
                        (both.datagrams, both.many) = (datagrams, Some((endpoint, handle)));
                        return Ok(both);
                    }
                    Verdict::Kept => {}
                    verdict => return Err(format!("our endpoint: {verdict:?}")),
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(format!("in vain waited for a cookie: {:?}", endpoint.stats()))
    }

    /// What the endpoint has counted.
    pub(crate) fn endpoint_stats(&self) -> Option<EndpointStats> {
        self.many.as_ref().map(|(endpoint, _)| endpoint.stats())
    }

    pub(crate) fn shake_hands(&mut self) -> Result<(), String> {
        self.until("the handshake", |both| both.established && both.theirs.established())
    }

    /// Handshake, data both ways, close. `established` is what must hold between the first two.
    pub(crate) fn hold(
        &mut self,
        cell: &Cell,
        established: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.shake_hands()?;
        established(self)?;
        self.compare_exporters()?;
        // A short one, and the longest that fits.
        let ours = [&b"data from udtls"[..], &vec![b'u'; self.connection.max_payload()]];
        for payload in ours {
            self.send(payload)?;
        }
        let ours = ours.concat();
        self.until("our data at the peer", |both| both.theirs.received() == ours)?;
        let theirs = b"data from the peer";
        self.theirs.send(theirs)?;
        self.until("the peer's data", |both| both.received == theirs)?;
        match cell.closer {
            Closer::Us => self.connection.close(Instant::now()),
            Closer::Peer => self.theirs.close()?,
        }
        match cell.closer {
            Closer::Us => self.until("our close_notify at the peer", |both| both.theirs.peer_closed()),
            Closer::Peer => self.until("the peer's close_notify", |both| both.peer_closed),
        }
    }

    fn compare_exporters(&self) -> Result<(), String> {
        let Some(theirs) = self.theirs.exported()? else { return Ok(()) };
        let mut ours = [0; 32];
        let exported = self.connection.export_keying_material(LABEL.as_bytes(), None, &mut ours);
        exported.map_err(|error| error.to_string())?;
        if ours == theirs { Ok(()) } else { Err("the exporters differ".into()) }
    }

    /// Data to the peer.
    pub(crate) fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        let mut out = [0; 2048];
        let len = self.connection.send(Instant::now(), payload, &mut out).map_err(|error| error.to_string())?;
        self.deliver(&out[..len])
    }

    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let moved = self.turn()?;
            if done(self) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("in vain waited for {what}"));
            }
            if !moved {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Hands over what either end has to send; whether there was anything.
    fn turn(&mut self) -> Result<bool, String> {
        let before = self.datagrams.len();
        let now = Instant::now();
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        self.flush()?;
        for mut datagram in self.theirs.transmit()? {
            self.note(self.we == Role::Client, &datagram);
            self.receive(&mut datagram)?;
        }
        self.events()?;
        Ok(self.datagrams.len() > before)
    }

    fn receive(&mut self, datagram: &mut [u8]) -> Result<(), String> {
        if let Some((endpoint, handle)) = &mut self.many {
            endpoint.update(*handle, &mut self.connection);
            match endpoint.handle(Instant::now(), CLIENT, None, datagram, &mut [0; 2048]) {
                Verdict::Connection(found) if found == *handle => {}
                verdict => return Err(format!("our endpoint: {verdict:?}")),
            }
        }
        let mut datagram = Datagram::new(datagram);
        loop {
            match self.connection.receive(Instant::now(), &mut datagram) {
                Ok(Some(mut data)) => self.received.extend_from_slice(data.payload()),
                Ok(None) => return self.flush(),
                Err(error) => {
                    // The peer is to hear of it; what it says then matters less.
                    let _ = self.flush();
                    return Err(format!("our end: {error} ({error:?})"));
                }
            }
        }
    }

    fn events(&mut self) -> Result<(), String> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.established = true,
                Event::PeerClosed => self.peer_closed = true,
                Event::KeyUpdated(direction) => self.updated.push(direction),
                Event::Closed(CloseReason::Failed(error)) => return Err(format!("our end: {error} ({error:?})")),
                _ => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        let mut out = [0; 2048];
        while let Some(len) = self.connection.poll_transmit(Instant::now(), &mut out).unwrap() {
            self.deliver(&out[..len])?;
        }
        Ok(())
    }

    fn deliver(&mut self, datagram: &[u8]) -> Result<(), String> {
        self.note(self.we == Role::Server, datagram);
        self.theirs.receive(datagram).map_err(|error| format!("the peer: {error}"))
    }

    fn note(&mut self, from_server: bool, bytes: &[u8]) {
        let (from, to) = if from_server { (SERVER, CLIENT) } else { (CLIENT, SERVER) };
        self.datagrams.push(Seen { at: Instant::now(), from, to, bytes: bytes.to_vec() });
    }
}
