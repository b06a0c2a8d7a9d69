//! A server of many peers without its socket: an endpoint, the associations that the application owns, and their deadlines.

use super::failure::MAX_DATAGRAM;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;
use udtls::{CloseReason, Connection, ConnectionHandle, CookieFault, Datagram, DropReason, Endpoint, Event, Verdict};

/// Puts a datagram on the wire. One that does not go out is lost, as any may be.
pub(crate) trait Wire {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);
}

/// An echo for everybody.
pub(crate) struct Many {
    endpoint: Endpoint,
    peers: HashMap<ConnectionHandle, Peer>,
    /// When to look after which association again; entries may be out of date.
    deadlines: BinaryHeap<Reverse<(Instant, ConnectionHandle)>>,
    tally: Tally,
    out: Vec<u8>,
    /// Octets of memory before anybody came.
    resident: Option<usize>,
}

struct Peer {
    remote: SocketAddr,
    connection: Connection,
    /// The earliest deadline of it that stands in the queue.
    queued: Option<Instant>,
}

/// What the application itself counts.
#[derive(Default)]
struct Tally {
    established: u64,
    echoed: u64,
    closed: u64,
    failed: u64,
    replaced: u64,
}

impl Many {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let (peers, deadlines) = (HashMap::new(), BinaryHeap::new());
        Self { endpoint, peers, deadlines, tally: Tally::default(), out: vec![0; MAX_DATAGRAM], resident: resident() }
    }

    /// Deals with one datagram.
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8], wire: &mut impl Wire) {
        match self.endpoint.handle(now, from, None, datagram, &mut self.out) {
            Verdict::Drop(_) | Verdict::Kept => {}
            Verdict::Reply(len) => wire.send(from, &self.out[..len]),
            Verdict::Incoming(incoming) => match self.endpoint.accept(*incoming, None, now) {
                Ok((handle, connection)) => {
                    self.peers.insert(handle, Peer { remote: from, connection, queued: None });
                    self.after_input(handle, now, wire);
                }
                Err(error) => eprintln!("{from}: {error}"),
            },
            Verdict::Connection(handle) => {
                self.deliver(handle, now, datagram, wire);
                self.after_input(handle, now, wire);
            }
            _ => {}
        }
        self.forget_closed();
    }

    /// Echoes what a datagram holds.
    fn deliver(&mut self, handle: ConnectionHandle, now: Instant, datagram: &mut [u8], wire: &mut impl Wire) {
        let Some(peer) = self.peers.get_mut(&handle) else { return };
        let mut datagram = Datagram::new(datagram);
        // An error is an event, too, and counted there.
        while let Ok(Some(mut data)) = peer.connection.receive(now, &mut datagram) {
            // A peer with a larger MTU may send what does not fit back.
            if let Ok(len) = peer.connection.send(now, data.payload(), &mut self.out) {
                wire.send(peer.remote, &self.out[..len]);
                self.tally.echoed += 1;
            }
        }
    }

    /// Sends what is due, looks at what happened, and tells the endpoint.
    fn after_input(&mut self, handle: ConnectionHandle, now: Instant, wire: &mut impl Wire) {
        let Some(peer) = self.peers.get_mut(&handle) else { return };
        flush(peer, now, &mut self.out, wire);
        let mut over = false;
        while let Some(event) = peer.connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.tally.established += 1,
                Event::PeerClosed => {
                    peer.connection.close(now);
                    self.tally.closed += 1;
                    over = true;
                }
                Event::Closed(CloseReason::Failed(_)) => {
                    self.tally.failed += 1;
                    over = true;
                }
                _ => {}
            }
        }
        flush(peer, now, &mut self.out, wire);
        self.endpoint.update(handle, &mut peer.connection);
        if over {
            self.peers.remove(&handle);
            return;
        }
        let due = peer.connection.poll_timeout();
        if let Some(due) = due
            && peer.queued.is_none_or(|queued| due < queued)
        {
            peer.queued = Some(due);
            self.deadlines.push(Reverse((due, handle)));
        }
    }

    /// Drops what had to end because another took its place.
    fn forget_closed(&mut self) {
        while let Some(handle) = self.endpoint.poll_closed() {
            self.tally.replaced += u64::from(self.peers.remove(&handle).is_some());
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let first = self.deadlines.peek().map(|Reverse((due, _))| *due);
        first.into_iter().chain(self.endpoint.poll_timeout()).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, wire: &mut impl Wire) {
        if let Err(error) = self.endpoint.handle_timeout(now) {
            eprintln!("{error}");
        }
        while let Some(Reverse((due, handle))) = self.deadlines.peek().copied() {
            if due > now {
                return;
            }
            self.deadlines.pop();
            let Some(peer) = self.peers.get_mut(&handle) else { continue };
            if peer.queued == Some(due) {
                peer.queued = None;
            }
            if peer.connection.poll_timeout().is_some_and(|due| due <= now) {
                peer.connection.handle_timeout(now);
            }
            self.after_input(handle, now, wire);
        }
    }

    /// Says goodbye to everybody.
    pub(crate) fn close(&mut self, now: Instant, wire: &mut impl Wire) {
        for peer in self.peers.values_mut() {
            peer.connection.close(now);
            flush(peer, now, &mut self.out, wire);
        }
        self.peers.clear();
    }
}

impl Many {
    /// What is there and what was counted, in one line.
    pub(crate) fn statistics(&mut self) -> String {
        let stats = self.endpoint.stats();
        let Tally { established, echoed, closed, failed, replaced } = self.tally;
        let mut line = format!(
            "{} connections ({} half-open); established {established}, closed {closed}, failed {failed}, replaced {replaced}; \
             echoed {echoed}; cookies sent {}, accepted {}",
            stats.connections, stats.half_open, stats.cookies_sent, stats.cookies_accepted,
        );
        let rejected = CookieFault::ALL.iter().map(|fault| (format!("{fault:?}"), stats.cookies_rejected(*fault)));
        list(&mut line, "rejected", rejected);
        let dropped = DropReason::ALL.iter().map(|reason| (format!("{reason:?}"), stats.dropped(*reason)));
        list(&mut line, "dropped", dropped);
        if let (Some(before), Some(now)) = (self.resident, resident())
            && stats.connections > 0
        {
            let each = now.saturating_sub(before) / stats.connections;
            let _ = write!(line, "; {each} octets of memory each");
        }
        if let Some(seconds) = processor_time() {
            let _ = write!(line, "; {seconds:.2} s of processor time");
        }
        line
    }
}

/// What happened at all, by reason.
fn list(line: &mut String, what: &str, counts: impl Iterator<Item = (String, u64)>) {
    let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if !counts.is_empty() {
        let _ = write!(line, "; {what} {}", counts.join(", "));
    }
}

/// Octets of memory that the process holds, the C library's included, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Seconds that the process has been at work so far, the system's part included, where the system tells (proc(5)).
fn processor_time() -> Option<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before the parenthesis may hold anything; user and system time are the 12th and 13th after it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let times: Vec<f64> = rest.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    Some(times.iter().sum::<f64>() / TICKS)
}

fn flush(peer: &mut Peer, now: Instant, out: &mut [u8], wire: &mut impl Wire) {
    while let Ok(Some(len)) = peer.connection.poll_transmit(now, out) {
        wire.send(peer.remote, &out[..len]);
    }
}
