//! Our end: an association over a UDP socket in this thread, which remembers every datagram.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use udtls::{CloseReason, Connection, Datagram, Event};

/// Our end of an association.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    socket: UdpSocket,
    /// A server learns it from the first datagram.
    peer: Option<SocketAddr>,
    echo: Echo,
    pub(crate) established: bool,
    pub(crate) peer_closed: bool,
    pub(crate) received: Vec<u8>,
    pub(crate) datagrams: Vec<Seen>,
}

/// Whether data is sent back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Off,
    On,
}

/// A datagram on the wire.
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Link {
    pub(crate) fn new(connection: Connection, socket: UdpSocket, peer: Option<SocketAddr>, echo: Echo) -> Self {
        Self {
            connection,
            socket,
            peer,
            echo,
            established: false,
            peer_closed: false,
            received: Vec::new(),
            datagrams: Vec::new(),
        }
    }

    /// Turns the loop until `done`, or until `deadline`.
    pub(crate) fn drive(
        &mut self,
        what: &str,
        deadline: Instant,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), String> {
        while !done(self) {
            if Instant::now() > deadline {
                return Err(format!("in vain waited for {what}"));
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Sends what is due, waits a little for a datagram, and deals with it or with the timer.
    fn turn(&mut self) -> Result<(), String> {
        self.flush();
        let now = Instant::now();
        let due = self.connection.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now));
        self.socket.set_read_timeout(Some(due.clamp(Duration::from_millis(1), TICK))).unwrap();
        let mut buffer = [0; 65_535];
        // An error is a timeout, or the system's news that nobody listens yet.
        if let Ok((len, from)) = self.socket.recv_from(&mut buffer)
            && *self.peer.get_or_insert(from) == from
        {
            self.note(from, self.socket.local_addr().unwrap(), &buffer[..len]);
            self.receive(&mut buffer[..len])?;
        }
        let now = Instant::now();
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        self.flush();
        self.events()
    }

    fn receive(&mut self, datagram: &mut [u8]) -> Result<(), String> {
        let mut datagram = Datagram::new(datagram);
        loop {
            match self.connection.receive(Instant::now(), &mut datagram) {
                Ok(Some(mut data)) => {
                    let payload = data.payload();
                    self.received.extend_from_slice(payload);
                    if self.echo == Echo::On {
                        let payload = payload.to_vec();
                        self.send(&payload)?;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.flush();
                    return Err(format!("our end: {error} ({error:?})"));
                }
            }
        }
        self.events()
    }

    fn events(&mut self) -> Result<(), String> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.established = true,
                Event::PeerClosed => self.peer_closed = true,
                Event::Closed(CloseReason::Failed(error)) => return Err(format!("our end: {error} ({error:?})")),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        let mut out = [0; 2048];
        let len = self.connection.send(Instant::now(), payload, &mut out).map_err(|error| error.to_string())?;
        self.transmit(&out[..len]);
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.connection.close(Instant::now());
        self.flush();
    }

    fn flush(&mut self) {
        let mut out = [0; 2048];
        while let Some(len) = self.connection.poll_transmit(Instant::now(), &mut out).unwrap() {
            self.transmit(&out[..len]);
        }
    }

    fn transmit(&mut self, datagram: &[u8]) {
        if let Some(peer) = self.peer {
            self.note(self.socket.local_addr().unwrap(), peer, datagram);
            // As above: what cannot be sent is lost.
            let _ = self.socket.send_to(datagram, peer);
        }
    }

    fn note(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.datagrams.push(Seen { at: Instant::now(), from, to, bytes: bytes.to_vec() });
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Another handle of the same.
    pub(crate) fn socket(&self) -> UdpSocket {
        self.socket.try_clone().unwrap()
    }

    /// Ours.
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// The longest datagram that we sent.
    pub(crate) fn longest_sent(&self) -> usize {
        let ours = self.socket.local_addr().unwrap();
        self.datagrams.iter().filter(|seen| seen.from == ours).map(|seen| seen.bytes.len()).max().unwrap_or(0)
    }

    /// Whether the peer sent a HelloVerifyRequest.
    pub(crate) fn saw_hello_verify_request(&self) -> bool {
        self.datagrams.iter().any(|seen| Some(seen.from) == self.peer && is_hello_verify_request(&seen.bytes))
    }
}

/// Whether a datagram begins with a HelloVerifyRequest (RFC 6347 §4.2.1). Only in epoch 0 a message can be seen: an octet of
/// ciphertext may have any value.
pub(crate) fn is_hello_verify_request(datagram: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const HELLO_VERIFY_REQUEST: u8 = 3;
    matches!(datagram, [HANDSHAKE, _, _, 0, 0, _, _, _, _, _, _, _, _, HELLO_VERIFY_REQUEST, ..])
}

/// Whether there is a NewSessionTicket of DTLS 1.2 in a datagram; it comes before the keys (RFC 5077 §3.3).
pub(crate) fn has_new_session_ticket(datagram: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const NEW_SESSION_TICKET: u8 = 4;
    let mut records = datagram;
    while let [kind, _, _, epoch_high, epoch_low, _, _, _, _, _, _, high, low, fragment @ ..] = records {
        if (*epoch_high, *epoch_low) != (0, 0) {
            return false;
        }
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(fragment.len());
        let (mut messages, rest) = fragment.split_at(len);
        // The length of the fragment is in the last octets of a message's header (RFC 6347 §4.2.2).
        while let [message, _, _, _, _, _, _, _, _, a, b, c, body @ ..] = messages {
            if (*kind, *message) == (HANDSHAKE, NEW_SESSION_TICKET) {
                return true;
            }
            let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
            messages = body.get(len..).unwrap_or_default();
        }
        records = rest;
    }
    false
}

/// A socket on loopback.
pub(crate) fn loopback() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// How often a condition outside the socket is looked at.
const TICK: Duration = Duration::from_millis(5);
