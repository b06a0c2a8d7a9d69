//! An association under test, watched: what must hold of it whatever its peer does, beyond that nothing panics.
//!
//! * Nothing happens before the peer is authenticated: no completion, no data, no keying material, nothing to send by. And
//!   what completes is the genuine handshake, because both export the same.
//! * Data is only what was sealed as data under the peer's keys, and each record of it once.
//! * An end is for good: one error, one `Closed`, and nothing after it.
//! * Deadlines that were handled are over; a flight ends; datagrams are no longer than the MTU.
//! * It holds no more memory than [`MAX_HELD`](crate::memory::MAX_HELD).

use crate::memory::{MAX_HELD, held};
use crate::script::{EXPORTED, export};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use udtls::{Connection, Datagram, Error, Event, SendError};

#[derive(Debug)]
pub struct Subject {
    pub connection: Connection,
    pub now: Instant,
    pub complete: bool,
    pub failure: Option<Error>,
    closed: bool,
    /// Data by the number of its record.
    delivered: HashSet<(u64, u64)>,
    pub data: Vec<Vec<u8>>,
}

/// Datagrams of a flight, of an answer and what else is to be said at once.
const MAX_BURST: usize = 200;

impl Subject {
    pub fn new(connection: Connection, now: Instant) -> Self {
        let (delivered, data) = Default::default();
        Self { connection, now, complete: false, failure: None, closed: false, delivered, data }
    }

    /// Gives it a datagram; what it says of data is kept.
    pub fn receive(&mut self, mut octets: Vec<u8>) {
        let mut datagram = Datagram::new(&mut octets);
        loop {
            match self.connection.receive(self.now, &mut datagram) {
                Ok(Some(mut data)) => {
                    assert!(self.complete || self.connection.negotiated().is_some(), "no data before authentication");
                    assert!(data.epoch() > 0, "no plaintext is data");
                    assert!(self.delivered.insert((data.epoch(), data.sequence_number())), "no record comes twice");
                    self.data.push(data.payload().to_vec());
                }
                Ok(None) => break assert_eq!(self.failure, None, "an end is for good"),
                Err(error) => {
                    let first = self.failure.get_or_insert(error.clone());
                    // What is inside another's error may equal nothing, not even itself.
                    assert_eq!(format!("{first:?}"), format!("{error:?}"), "an end is for good");
                    break;
                }
            }
        }
        self.drain_events();
    }

    /// All that it has to say.
    pub fn transmit(&mut self) -> Vec<Vec<u8>> {
        let mut out = [0; 2048];
        let mut burst = Vec::new();
        while let Some(len) = self.connection.poll_transmit(self.now, &mut out).expect("a buffer that suffices") {
            assert!(len > 0 && len <= self.connection.mtu(), "a datagram is as long as the MTU at most");
            burst.push(out[..len].to_vec());
            assert!(burst.len() <= MAX_BURST, "a flight ends");
        }
        self.drain_events();
        burst
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
        let due = self.connection.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "a deadline is over when it was handled");
        self.drain_events();
    }

    /// Lets time pass until it wants to be called.
    pub fn expire(&mut self) {
        if let Some(due) = self.connection.poll_timeout() {
            self.advance(due.saturating_duration_since(self.now));
        }
    }

    pub fn drain_events(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::HandshakeComplete => {
                    assert!(!self.complete && !self.closed, "a handshake completes once");
                    self.complete = true;
                }
                Event::Closed(_) => {
                    assert!(!self.closed, "an association ends once");
                    self.closed = true;
                }
                Event::AnswerWanted => panic!("nobody owes an answer"),
                other => assert!(self.complete, "{other:?} before authentication"),
            }
        }
        if !self.complete {
            assert!(self.connection.negotiated().is_none(), "nothing is agreed on before authentication");
            assert!(export(&self.connection).is_none(), "nothing is exported before authentication");
        }
    }

    /// Sends data if that is possible now.
    pub fn send(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; payload.len() + 64];
        let sent = self.connection.send(self.now, payload, &mut out);
        self.drain_events();
        match sent {
            Ok(len) => {
                assert!(
                    self.complete && self.failure.is_none(),
                    "nothing is sent before authentication, or after the end"
                );
                out.truncate(len);
                Some(out)
            }
            Err(SendError::NotConnected) => {
                assert!(!self.complete, "a complete handshake is all it takes");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether the application was told of the end.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn exported(&self) -> Option<[u8; EXPORTED]> {
        export(&self.connection)
    }

    /// The end of the run.
    pub fn finish(mut self) {
        self.drain_events();
        drop(format!("{:?}", self.connection));
        let held = held(self.connection);
        assert!(held <= MAX_HELD, "{held} octets are held");
    }
}
