//! The loop of a server of many peers with several datagrams a system call, by `quinn-udp`: `recvmmsg` fills up to 32 buffers,
//! each of them with several datagrams of one peer if the system puts them together (GRO), and what goes to one peer in a row,
//! of one length but for the last, leaves in one call (GSO). Where the system has none of it, it is as the plain loop.

use super::failure::Failure;
use super::many::{Many, Wire};
use super::one_by_one::{TICK, is_nothing};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Serves until `stop` is set, and says each second how it goes. `who` stands before what it says.
pub(crate) fn serve(socket: std::net::UdpSocket, mut many: Many, stop: &AtomicBool, who: &str) -> Result<(), Failure> {
    let mut wire = Batch::new(socket)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut wire.socket, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(8);
    let mut buffers = vec![0; BATCH_SIZE * BUFFER];
    let mut said = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let due = many.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now));
        match poll.poll(&mut events, Some(due.min(TICK))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        // Readiness is told once: read until there is nothing left.
        while wire.receive(&mut buffers, &mut many)? {}
        let now = Instant::now();
        many.handle_timeout(now, &mut wire);
        wire.flush();
        if now.duration_since(said) >= Duration::from_secs(1) {
            said = now;
            println!("{who}{}", many.statistics());
        }
    }
    println!("{who}stopping: close_notify to all");
    many.close(Instant::now(), &mut wire);
    wire.flush();
    println!("{who}{}", many.statistics());
    Ok(())
}

/// Octets of a buffer: what the system puts together for one peer is no longer than a datagram may be.
const BUFFER: usize = 65_536;

/// A socket, and what waits to leave it in one call.
struct Batch {
    socket: UdpSocket,
    state: UdpSocketState,
    to: SocketAddr,
    /// One datagram after the other, all of one length but for the last.
    waiting: Vec<u8>,
    segment: usize,
}

impl Batch {
    fn new(socket: std::net::UdpSocket) -> Result<Self, Failure> {
        // This makes the socket non-blocking, too.
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = UdpSocket::from_std(socket);
        let to = SocketAddr::from(([0; 4], 0));
        Ok(Self { socket, state, to, waiting: Vec::with_capacity(BUFFER), segment: 0 })
    }

    /// Deals with as many datagrams as one call brings; whether there may be more.
    fn receive(&mut self, buffers: &mut [u8], many: &mut Many) -> Result<bool, Failure> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<_> = buffers.chunks_mut(BUFFER).map(IoSliceMut::new).collect();
        let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if is_nothing(error.kind()) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        for (meta, buffer) in metas.iter().zip(&mut slices).take(count) {
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                many.receive(now, meta.addr, datagram, self);
            }
        }
        self.flush();
        Ok(true)
    }

    /// Sends what waits.
    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let segment_size = (self.waiting.len() > self.segment).then_some(self.segment);
        let transmit =
            Transmit { destination: self.to, ecn: None, contents: &self.waiting, segment_size, src_ip: None };
        // What does not go out is lost, as any datagram may be.
        let _ = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        self.waiting.clear();
    }

    /// Whether a datagram of this length may leave together with those that wait.
    fn takes(&self, to: SocketAddr, len: usize) -> bool {
        let whole = self.segment > 0 && self.waiting.len().is_multiple_of(self.segment);
        let room = self.waiting.len() / self.segment.max(1) < self.state.max_gso_segments();
        // The system's limit is that of a datagram, headers included.
        let fits = self.waiting.len() + len <= 65_000;
        to == self.to && whole && len <= self.segment && room && fits
    }
}

impl Wire for Batch {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        if !self.waiting.is_empty() && !self.takes(to, datagram.len()) {
            self.flush();
        }
        if self.waiting.is_empty() {
            (self.to, self.segment) = (to, datagram.len());
        }
        self.waiting.extend_from_slice(datagram);
    }
}
