//! One association, from its first datagram to its end: the runner's items in, one by one, each dealt with completely
//! before the next.

use crate::Failure;
use crate::arguments::{Arguments, Settings};
use crate::checks;
use crate::clock::Clock;
use crate::configuration;
use crate::credentials::Keys;
use crate::framing::{Framing, Item};
use crate::notes::Notes;
use crate::sessions::Kept;
use crate::verification::Hook;
use std::sync::Arc;
use std::time::Duration;
use udtls::{AlertDescription, CloseReason, Connection, Datagram, Event, KeyUpdateRequest, Pending};

/// Runs one association. Whatever happens, all that it has to say is sent first.
pub(crate) fn run(arguments: &Arguments, settings: &Settings, kept: &Kept, clock: &mut Clock) -> Result<(), Failure> {
    let hook = Arc::new(Hook::new(settings));
    let notes = Notes::default();
    let connection = configuration::connection(settings, kept, &hook, &notes, clock.now())?;
    let framing = Framing::connect(arguments.ipv6, arguments.port, arguments.shim_id)?;
    let mut session = Session {
        settings,
        kept,
        clock,
        connection,
        framing,
        hook,
        keys: Keys::new(settings)?,
        key_delay: settings.conduct.key_delay,
        notes,
        out: vec![0; MAX_DATAGRAM],
        end: End::NotYet,
    };
    let ran = session.run().and_then(|()| session.check_end());
    let flushed = session.flush();
    session.framing.finish();
    ran.and(flushed)
}

/// More than a record of the greatest length takes.
const MAX_DATAGRAM: usize = 17_000;

/// The longest retransmission timeout, whatever the flags.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

struct Session<'s> {
    settings: &'s Settings,
    kept: &'s Kept,
    clock: &'s mut Clock,
    connection: Connection,
    framing: Framing,
    hook: Arc<Hook>,
    keys: Keys,
    /// How long the next signature takes.
    key_delay: Duration,
    notes: Notes,
    out: Vec<u8>,
    end: End,
}

/// Whether the association has done its part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    Reached,
}

impl Session<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        self.flush()?;
        while self.end == End::NotYet {
            match self.framing.read()? {
                Item::Datagram(mut datagram) => self.deliver(&mut datagram)?,
                Item::TimePasses(time) => self.time_passes(time)?,
                Item::ExpectTimer(expected) => self.check_timer(expected)?,
                Item::SetMtu(mtu) => self.connection.set_mtu(mtu).map_err(Failure::failed)?,
                Item::SetInitialTimeout(timeout) => self.connection.set_initial_timeout(timeout),
                Item::End if self.connection.is_established() => return Ok(()),
                Item::End => return Err(Failure::Failed("the runner left during the handshake".to_owned())),
            }
            self.answer()?;
            self.flush()?;
            self.handle_events()?;
        }
        Ok(())
    }

    /// Gives the answers that the key and the hook owe, one after the other.
    fn answer(&mut self) -> Result<(), Failure> {
        while let Some(pending) = self.connection.pending() {
            let answered = match pending {
                Pending::Signature { certificates, scheme, message, .. } => {
                    let signature = self.keys.sign(certificates, scheme, message);
                    let delay = std::mem::take(&mut self.key_delay);
                    self.clock.advance(delay);
                    if delay > Duration::ZERO {
                        self.connection.handle_timeout(self.clock.now());
                        self.flush()?;
                    }
                    self.connection.provide_signature(self.clock.now(), signature)
                }
                Pending::Verdict { .. } => self.connection.provide_verdict(self.clock.now(), self.hook.judge()),
                _ => return Err(Failure::Unimplemented("what is pending".to_owned())),
            };
            answered.map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// What was said, and what is left of it; nothing is where an alert ended it.
    fn check_end(&self) -> Result<(), Failure> {
        if let Some(expected) = &self.settings.expected.trace {
            checks::equal("the trace", &self.notes.trace(), expected)?;
        }
        match self.connection.negotiated() {
            Some(negotiated) => self.kept.check(self.settings, negotiated),
            None => Ok(()),
        }
    }

    fn deliver(&mut self, datagram: &mut [u8]) -> Result<(), Failure> {
        let mut datagram = Datagram::new(datagram);
        while let Some(data) = self.connection.receive(self.clock.now(), &mut datagram).map_err(Failure::failed)? {
            let payload = data.into_payload();
            // The handshake may have been completed by the same datagram.
            self.handle_events()?;
            if !payload.is_empty() {
                payload.iter_mut().for_each(|octet| *octet ^= 0xff);
                self.send(payload)?;
                self.before_read()?;
            }
        }
        Ok(())
    }

    fn time_passes(&mut self, time: Duration) -> Result<(), Failure> {
        // What is sent before this the runner takes for premature.
        self.framing.acknowledge_time()?;
        self.clock.advance(time);
        if let Some(deadline) = self.connection.poll_timeout().filter(|at| self.clock.left(*at) == Duration::ZERO) {
            self.connection.handle_timeout(deadline.max(self.clock.now()));
        }
        Ok(())
    }

    /// The runner knows our timers to the microsecond.
    fn check_timer(&mut self, expected: Option<Duration>) -> Result<(), Failure> {
        let left = self.connection.poll_timeout().map(|deadline| self.clock.left(deadline));
        // No retransmission waits longer than that: it is the end of our patience, which sends nothing.
        let left = left.filter(|left| *left <= LONGEST_TIMEOUT);
        let [found, wanted] = [left, expected].map(|time| time.map(|time| time.as_micros()));
        if found == wanted {
            return Ok(());
        }
        Err(Failure::Failed(format!("check of the timer: expected {expected:?}, found {left:?}")))
    }

    fn handle_events(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.handshake_complete()?,
                Event::PeerClosed => self.end = End::Reached,
                Event::Closed(CloseReason::Failed(error)) if self.end == End::NotYet => {
                    return Err(Failure::failed(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn handshake_complete(&mut self) -> Result<(), Failure> {
        if let Some(negotiated) = self.connection.negotiated() {
            checks::check(self.settings, negotiated, &self.notes)?;
        }
        let conduct = &self.settings.conduct;
        if conduct.export_len > 0 {
            let mut material = vec![0; conduct.export_len];
            let context = conduct.use_export_context.then_some(conduct.export_context.as_slice());
            let exported = self.connection.export_keying_material(&conduct.export_label, context, &mut material);
            exported.map_err(Failure::failed)?;
            self.send(&material)?;
        }
        if conduct.send_alert {
            self.flush()?;
            self.connection.abort(AlertDescription::from(DECOMPRESSION_FAILURE));
            self.end = End::Reached;
            return Ok(());
        }
        if conduct.write_first {
            self.send(b"hello")?;
        }
        self.before_read()
    }

    /// The beginning of each round of the echo loop.
    fn before_read(&mut self) -> Result<(), Failure> {
        if self.settings.conduct.key_update_before_read {
            let request = KeyUpdateRequest::NotRequested;
            let requested = self.connection.request_key_update(self.clock.now(), request);
            // If that ended the association, the reason is in its events.
            self.handle_events()?;
            requested.map_err(Failure::failed)?;
            self.flush()?;
        }
        Ok(())
    }

    fn send(&mut self, data: &[u8]) -> Result<(), Failure> {
        // A flight that is due goes first, or the data could not be opened.
        self.flush()?;
        let len = self.connection.send(self.clock.now(), data, &mut self.out).map_err(Failure::failed)?;
        Ok(self.framing.write_datagram(&self.out[..len])?)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        while let Some(len) = self.connection.poll_transmit(self.clock.now(), &mut self.out).map_err(Failure::failed)? {
            self.framing.write_datagram(&self.out[..len])?;
        }
        Ok(())
    }
}

/// The alert that the runner takes for the application's.
const DECOMPRESSION_FAILURE: u8 = 30;
