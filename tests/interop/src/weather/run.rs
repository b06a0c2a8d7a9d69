//! One association in bad weather, in virtual time.

use super::foreign::Theirs;
use super::path::Path;
use crate::feature::LABEL;
use crate::ladder::{End, What};
use crate::link::Seen;
use crate::memory::{CLIENT, SERVER};
use crate::table::Role;
use std::time::{Duration, Instant};
use udtls::{CloseReason, Connection, Datagram, Event};

pub(crate) struct Run {
    connection: Connection,
    we: End,
    theirs: Theirs,
    path: Path,
    start: Instant,
    now: Duration,
    established: bool,
    received: Vec<u8>,
    /// When data was sent last, by us and by the peer.
    said: [Option<Duration>; 2],
}

/// Neither stack has anything to wait for so long.
const PATIENCE: Duration = Duration::from_secs(900);
/// Data that has not arrived by then is sent again.
const AGAIN: Duration = Duration::from_millis(500);
const OURS: &[u8] = b"data from udtls";
const THEIRS: &[u8] = b"data from the peer";

impl Run {
    pub(crate) fn new(connection: Connection, we: Role, theirs: Theirs, start: Instant, seed: u64) -> Self {
        let we = if we == Role::Client { End::Client } else { End::Server };
        let (path, now, received) = (Path::new(seed), Duration::ZERO, Vec::new());
        Self { connection, we, theirs, path, start, now, established: false, received, said: [None; 2] }
    }

    /// Until both ends are complete, export the same, and data has arrived at both; when that was.
    pub(crate) fn hold(&mut self) -> Result<Duration, String> {
        while !self.is_done() {
            self.flush()?;
            let (path, theirs) = (self.path.next_arrival(), self.theirs.deadline(self.now));
            let ours = self.connection.poll_timeout().map(|at| at.saturating_duration_since(self.start));
            let said = self.said.iter().flatten().map(|at| *at + AGAIN).min();
            let next = [path, theirs, ours, said].into_iter().flatten().min().ok_or("both ends wait for ever")?;
            if next > PATIENCE {
                return Err(format!("in vain waited for {}", self.missing()));
            }
            // A timer that is not made to wait for something else would stop the clock.
            self.now = self.now.max(next);
            self.theirs.set_clock(self.now)?;
            self.arrive()?;
            if ours.is_some_and(|at| at <= self.now) {
                self.connection.handle_timeout(self.instant());
            }
        }
        self.compare_exporters()?;
        Ok(self.now)
    }

    fn is_done(&mut self) -> bool {
        self.missing().is_empty()
    }

    fn missing(&mut self) -> &'static str {
        let theirs = self.theirs.end();
        match (self.established, theirs.established()) {
            (false, false) => "the handshake at both ends",
            (false, true) => "the handshake at our end",
            (true, false) => "the handshake at the peer",
            (true, true) if !theirs.received().starts_with(OURS) => "our data at the peer",
            (true, true) if !self.received.starts_with(THEIRS) => "the peer's data",
            (true, true) => "",
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn arrive(&mut self) -> Result<(), String> {
        while let Some((from, mut datagram)) = self.path.arrive(self.now) {
            if from == self.we {
                self.theirs.end().receive(&datagram).map_err(|error| format!("the peer: {error}"))?;
            } else {
                self.receive(&mut datagram)?;
            }
            self.flush()?;
        }
        Ok(())
    }

    fn receive(&mut self, datagram: &mut [u8]) -> Result<(), String> {
        let (now, mut datagram) = (self.instant(), Datagram::new(datagram));
        loop {
            match self.connection.receive(now, &mut datagram) {
                Ok(Some(mut data)) => self.received.extend_from_slice(data.payload()),
                Ok(None) => return Ok(()),
                Err(error) => return Err(format!("our end: {error} ({error:?})")),
            }
        }
    }

    /// Sends what either end has to send.
    fn flush(&mut self) -> Result<(), String> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.established = true,
                Event::Closed(CloseReason::Failed(error)) => return Err(format!("our end: {error} ({error:?})")),
                _ => {}
            }
        }
        self.talk()?;
        let (now, mut out) = (self.instant(), [0; 2048]);
        while let Some(len) = self.connection.poll_transmit(now, &mut out).unwrap() {
            self.path.send(self.now, self.we, out[..len].to_vec());
        }
        for datagram in self.theirs.transmit().map_err(|error| format!("the peer: {error}"))? {
            self.path.send(self.now, self.we.other(), datagram);
        }
        Ok(())
    }

    /// Data from whoever is complete, until it has arrived.
    fn talk(&mut self) -> Result<(), String> {
        let is_due = |said: Option<Duration>, now| said.is_none_or(|at| at + AGAIN <= now);
        let [ours, theirs] = &mut self.said;
        if self.theirs.end().received().starts_with(OURS) {
            *ours = None;
        } else if self.established && is_due(*ours, self.now) {
            *ours = Some(self.now);
            let mut out = [0; 2048];
            let sent = self.connection.send(self.start + self.now, OURS, &mut out);
            let len = sent.map_err(|error| error.to_string())?;
            self.path.send(self.now, self.we, out[..len].to_vec());
        }
        if self.received.starts_with(THEIRS) {
            *theirs = None;
        } else if self.theirs.end().established() && is_due(*theirs, self.now) {
            *theirs = Some(self.now);
            self.theirs.end().send(THEIRS).map_err(|error| format!("the peer: {error}"))?;
        }
        Ok(())
    }

    fn compare_exporters(&mut self) -> Result<(), String> {
        let mut ours = [0; 32];
        let exported = self.connection.export_keying_material(LABEL.as_bytes(), None, &mut ours);
        exported.map_err(|error| error.to_string())?;
        if self.theirs.end().export(None)? == ours { Ok(()) } else { Err("the exporters differ".into()) }
    }

    /// What was sent, lost and received, and what we have counted.
    pub(crate) fn story(&self) -> String {
        format!("{}\n{:?}", self.path.ladder, self.connection.stats())
    }

    /// What was sent, lost or not.
    pub(crate) fn datagrams(&self) -> Vec<Seen> {
        let sent = self.path.ladder.rungs.iter().filter(|rung| rung.what == What::Sent);
        let seen = sent.map(|rung| {
            let (from, to) = if rung.from == End::Server { (SERVER, CLIENT) } else { (CLIENT, SERVER) };
            Seen { at: self.start + rung.at, from, to, bytes: rung.datagram.clone() }
        });
        seen.collect()
    }
}
