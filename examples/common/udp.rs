//! The event loop of one association over a UDP socket: everything that udtls leaves to the program.

use super::failure::{Failure, MAX_DATAGRAM};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use udtls::{CloseReason, Connection, Datagram, Direction, Event, HandshakeKind, Negotiated, SendError};

/// An association and the socket it lives on.
pub(crate) struct Link<'s> {
    pub(crate) outlet: Outlet<'s>,
    /// How often our sending keys were updated.
    pub(crate) keys_updated: u32,
    buffer: Vec<u8>,
    state: State,
}

/// The sending half, which is free while received data is still at hand.
pub(crate) struct Outlet<'s> {
    pub(crate) connection: Connection,
    socket: &'s UdpSocket,
    /// Where datagrams go and must come from; `None` if the socket is connected and the system sees to that.
    peer: Option<SocketAddr>,
    datagram: Vec<u8>,
}

/// How far the association has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Handshaking,
    Established,
    /// The peer said that it is done.
    PeerClosed,
}

impl<'s> Link<'s> {
    pub(crate) fn new(socket: &'s UdpSocket, peer: Option<SocketAddr>, connection: Connection) -> Self {
        let outlet = Outlet { connection, socket, peer, datagram: vec![0; MAX_DATAGRAM] };
        Self { outlet, keys_updated: 0, buffer: vec![0; MAX_DATAGRAM], state: State::Handshaking }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.outlet.connection
    }

    /// Turns the loop until the peer is known. The association itself would try for minutes.
    pub(crate) fn complete_handshake(&mut self, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        while self.state == State::Handshaking {
            if Instant::now() > deadline {
                return Err(format!("no handshake within {patience:?}").into());
            }
            self.turn(deadline, |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// One turn of the loop: sends what is due, waits for a datagram until the association's deadline or `until`, whichever
    /// comes first, and deals with either. Data that came is handed to `deliver`, which may answer.
    pub(crate) fn turn(
        &mut self,
        until: Instant,
        deliver: impl FnMut(&mut Outlet<'s>, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.outlet.flush()?;
        let deadline = self.connection().poll_timeout().map_or(until, |due| due.min(until));
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = match self.wait(&mut buffer, deadline) {
            Ok(Some(datagram)) => self.receive(datagram, deliver),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.buffer = buffer;
        outcome?;
        let now = Instant::now();
        if self.connection().poll_timeout().is_some_and(|due| due <= now) {
            self.outlet.connection.handle_timeout(now);
        }
        self.outlet.flush()?;
        self.events()
    }

    /// Deals with one datagram from the peer.
    pub(crate) fn receive(
        &mut self,
        datagram: &mut [u8],
        mut deliver: impl FnMut(&mut Outlet<'s>, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut datagram = Datagram::new(datagram);
        loop {
            match self.outlet.connection.receive(Instant::now(), &mut datagram) {
                Ok(Some(mut data)) => deliver(&mut self.outlet, data.payload())?,
                Ok(None) => break,
                Err(error) => {
                    // The peer learns why.
                    self.outlet.flush()?;
                    return Err(error.into());
                }
            }
        }
        self.events()
    }

    fn events(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.outlet.connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.state = State::Established,
                Event::PeerClosed => self.state = State::PeerClosed,
                Event::KeyUpdated(Direction::Sending) => self.keys_updated += 1,
                Event::Closed(CloseReason::Failed(error)) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for a datagram from the peer until `deadline`.
    fn wait<'b>(&self, buffer: &'b mut [u8], deadline: Instant) -> io::Result<Option<&'b mut [u8]>> {
        let patience = deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return Ok(None);
        }
        self.outlet.socket.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        match self.outlet.socket.recv_from(buffer) {
            Ok((len, from)) => Ok(self.outlet.peer.is_none_or(|peer| peer == from).then(|| &mut buffer[..len])),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Says that no more data will come.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        self.outlet.connection.close(Instant::now());
        self.outlet.flush()?;
        Ok(())
    }
}

impl Outlet<'_> {
    /// Seals `payload` and sends it at once.
    pub(crate) fn send(&mut self, payload: &[u8]) -> Result<(), Failure> {
        match self.connection.send(Instant::now(), payload, &mut self.datagram) {
            Ok(len) => self.transmit(len).map_err(Failure::from),
            Err(SendError::TooLarge { max }) => {
                let len = payload.len();
                Err(format!("{len} octets do not fit one datagram: send {max} at most, or raise the MTU").into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends all that the association itself has to say.
    fn flush(&mut self) -> Result<(), Failure> {
        while let Some(len) = self.connection.poll_transmit(Instant::now(), &mut self.datagram)? {
            self.transmit(len)?;
        }
        Ok(())
    }

    fn transmit(&self, len: usize) -> io::Result<()> {
        let datagram = &self.datagram[..len];
        let sent = match self.peer {
            None => self.socket.send(datagram),
            Some(peer) => self.socket.send_to(datagram, peer),
        };
        match sent {
            // A full buffer is the loss of a datagram.
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// What was agreed on, in one line.
pub(crate) fn describe(negotiated: &Negotiated) -> String {
    let alpn = negotiated.alpn_protocol().map_or("none".into(), String::from_utf8_lossy);
    format!(
        "{} {} {} {}, ALPN {alpn}, server name {}, {} peer certificates{}",
        negotiated.version(),
        negotiated.cipher_suite(),
        negotiated.group(),
        negotiated.signature_scheme(),
        negotiated.server_name().unwrap_or("none"),
        negotiated.peer_certificates().len(),
        if negotiated.handshake_kind() == HandshakeKind::Resumed { ", resumed" } else { "" },
    )
}
