//! Floor 5: one association. Composes `record`, `flight` and `handshake`, which do not know each other.
//!
//! A datagram comes in by `receive.rs`: records are opened, handshake messages put together and given to the handshake,
//! whose effects are carried out here. A datagram goes out by `transmit.rs`. Time passes in `timers.rs`. What the
//! application owes an answer to is in `pending.rs`, how it all ends in `close.rs`.

mod close;
mod events;
mod hosted;
mod lease;
mod mtu;
mod path;
mod pending;
mod receive;
mod rest;
mod stats;
#[cfg(test)]
mod tests;
mod timers;
mod transmit;

pub use events::{CloseReason, Event};
pub use receive::{ApplicationData, Datagram};
pub use stats::Stats;
pub use transmit::SendError;

pub(crate) use lease::{Lease, Order, Places, Seat, Standing};
pub(crate) use path::Path;

use crate::config::{
    ClientConfig, ConfigError, MessageTrace, PlaintextFaults, ServerConfig, TimeoutPolicy, TransportConfig,
};
use crate::crypto::suites::TrafficKeys;
use crate::error::{ApiMisuse, Error, PlaintextFault};
use crate::flight::{AckSender, Acks, Incoming, IncomingLimits, Outgoing, RetransmitTimer, RttAdaptation, TimerKnobs};
use crate::handshake::{Effect, FlightEnd, Handshake, Input, Negotiated, SrtpKeyingMaterial, StatelessStart};
use crate::record::{LimitState, PlaintextVersion, RecordLayer};
use crate::wire::{ack::Epoch, enums::HandshakeType, handshake::Message, post_handshake::KeyUpdateRequest};
use close::{Failure, HalfClose, Receiving, Sending};
use mtu::Mtu;
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One DTLS association with one peer, whose address it does not know.
///
/// It performs no I/O and reads no clock. Four kinds of calls drive it, in any order:
///
/// * **input**: [`receive`](Self::receive) for each datagram from the peer, [`handle_timeout`](Self::handle_timeout)
///   when the deadline of [`poll_timeout`](Self::poll_timeout) has come;
/// * **output**: after each input, [`poll_transmit`](Self::poll_transmit) until it returns `None`, sending each datagram;
///   then [`poll_event`](Self::poll_event) until it returns `None`; then [`poll_timeout`](Self::poll_timeout);
/// * **data**: [`send`](Self::send) seals a datagram to be sent at once; what the peer sent comes out of `receive`;
/// * **control**: [`close`](Self::close), [`set_mtu`](Self::set_mtu), [`datagram_too_large`](Self::datagram_too_large),
///   [`request_key_update`](Self::request_key_update), [`export_keying_material`](Self::export_keying_material); and, where
///   a key or a verifier of the application answers in its own time, [`pending`](Self::pending),
///   [`provide_signature`](Self::provide_signature) and [`provide_verdict`](Self::provide_verdict).
///
/// What the network does — loss, garbage, forgeries, repetition — is never an error. After an error the association is
/// over; [`poll_transmit`](Self::poll_transmit) still has the alert for the peer.
pub struct Connection {
    records: RecordLayer,
    handshake: Handshake,
    outgoing: Outgoing,
    incoming: Incoming,
    acks: AckSender,
    timer: RetransmitTimer,
    mtu: Mtu,
    transport: Arc<TransportConfig>,
    trace: MessageTrace,
    conduct: Conduct,
    phase: Phase,
    events: VecDeque<Event>,
    stats: Stats,
    clock: timers::Expiring,
    place: Place,
}

/// What an association is to an endpoint with many.
struct Place {
    lease: Lease,
    path: Path,
}

/// What the negotiated version changes in the conduct of an association, as data.
#[derive(Clone, Copy, Debug)]
struct Conduct {
    acks: Acks,
    /// How the flight that is out, if any is, ends.
    flight_end: FlightEnd,
    /// Application data comes in this epoch or a later one (RFC 6347 §4.1: the epoch after ChangeCipherSpec; RFC 9147 §6.1).
    data_epoch: Epoch,
    /// The newest epoch to send in: of alerts, ACKs and data.
    write_epoch: Epoch,
    /// How near its keys were to their end when last looked at.
    wear: LimitState,
    /// The newest epoch of which a record was opened; plaintext counts as nothing once it is above.
    heard: Epoch,
    half_close: HalfClose,
    sending: Sending,
    receiving: Receiving,
}

/// Where an association stands.
enum Phase {
    Handshaking(Box<Handshaking>),
    Established(Arc<Negotiated>),
    Failed(Box<Failure>),
}

/// A ClientHello with which a server's association begins, whole, and the numbers it came with.
#[derive(Clone, Debug)]
pub(crate) struct FirstHello {
    pub(crate) body: Vec<u8>,
    pub(crate) message_seq: u16,
    /// The highest sequence number of its records.
    pub(crate) sequence_number: u64,
    pub(crate) start: StatelessStart,
}

/// What only a running handshake needs.
struct Handshaking {
    /// Records of the next epoch that came before its keys, each whole.
    early: Vec<Box<[u8]>>,
    change_cipher_spec: ChangeCipherSpec,
    last_fault: LastFault,
    silence: Silence,
}

/// How long nothing has gone on while nothing of ours is there to be sent again, and on whom that lies.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// Nothing has come from it, or it has to answer a flight, for which there is the retransmission timer.
    NotAwaiting,
    /// It acknowledged all that we sent, or brought something on, at this time; now it is its turn.
    Since(Instant),
    /// The handshake waits for the application, from this time on: no peer is to blame.
    Ours(Instant),
}

/// The peer's ChangeCipherSpec, which has no place in the order of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeCipherSpec {
    /// Neither expected nor seen.
    Quiet,
    /// It came before it was expected.
    Seen,
    /// The handshake waits for it.
    Awaited,
    /// It came and is expected: the handshake gets it.
    Due,
}

impl ChangeCipherSpec {
    const fn seen(self) -> Self {
        match self {
            Self::Quiet | Self::Seen => Self::Seen,
            Self::Awaited | Self::Due => Self::Due,
        }
    }

    const fn awaited(self) -> Self {
        match self {
            Self::Quiet | Self::Awaited => Self::Awaited,
            Self::Seen | Self::Due => Self::Due,
        }
    }
}

/// What was last wrong with a plaintext message that was discarded.
#[derive(Clone, Copy, Debug)]
enum LastFault {
    None,
    Some(PlaintextFault),
}

impl Connection {
    /// A client's side of a new association. Its first datagram waits in [`poll_transmit`](Self::poll_transmit).
    ///
    /// `name` is sent to the server (RFC 6066 §3) if it is a DNS name, and checked against its certificate (RFC 9525).
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration needs a name and there is none, or the provider fails.
    pub fn client(
        config: Arc<ClientConfig>,
        name: Option<ServerName<'static>>,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.check_server_name(name.as_ref())?;
        let (transport, trace) = (config.shared_transport(), config.message_trace().clone());
        let handshake = Handshake::client(config, name).map_err(|_| ConfigError::Provider)?;
        let mut connection = Self::new(handshake, transport, trace, now);
        connection.carry_out(now).map_err(|_| ConfigError::Provider)?;
        connection.records.set_plaintext_version(PlaintextVersion::FirstHello);
        Ok(connection)
    }

    /// A server's side of a new association. It makes no cookie exchange: whoever embeds it vouches for the peer's
    /// address, or bears the risk that forged addresses cost memory and signatures (RFC 9147 §5.1).
    ///
    /// # Errors
    /// None today; [`ConfigError`] where a configuration turns out not to work.
    pub fn server(config: Arc<ServerConfig>, now: Instant) -> Result<Self, ConfigError> {
        let (transport, trace) = (config.shared_transport(), config.message_trace().clone());
        Ok(Self::new(Handshake::server(config), transport, trace, now))
    }

    /// A server's side of an association that begins with a ClientHello which was looked at before. What is sent goes on
    /// from the numbers of that ClientHello, and of the stateless answer before it (RFC 6347 §4.2.1, RFC 9147 §5.1). If it
    /// is refused, the association has failed already, and its alert waits.
    pub(crate) fn server_after_hello(
        config: Arc<ServerConfig>,
        hello: FirstHello,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let FirstHello { body, message_seq, sequence_number, start } = hello;
        let (transport, trace) = (config.shared_transport(), config.message_trace().clone());
        let mut connection = Self::new(Handshake::server_after(config, start, message_seq), transport, trace, now);
        connection.records.continue_at(sequence_number);
        connection.incoming.start_at(message_seq);
        connection.incoming.consume();
        let message = Message { msg_type: HandshakeType::CLIENT_HELLO, message_seq, body: &body };
        connection.trace.show_received(&message);
        if let Err(error) = connection.step(Input::Message(message), now) {
            connection.fail(error);
        }
        Ok(connection)
    }

    fn new(handshake: Handshake, transport: Arc<TransportConfig>, trace: MessageTrace, now: Instant) -> Self {
        let knobs = TimerKnobs {
            initial: transport.initial_timeout(),
            max: transport.max_timeout(),
            retransmissions: transport.max_retransmissions(),
            rtt_adaptation: match transport.timeout_policy() {
                TimeoutPolicy::Adaptive => RttAdaptation::On,
                TimeoutPolicy::Fixed => RttAdaptation::Off,
            },
        };
        let limits = IncomingLimits {
            max_message: transport.max_handshake_message(),
            max_buffered: transport.max_reassembly_buffer(),
        };
        let mut records = RecordLayer::new();
        if transport.plaintext_faults() == PlaintextFaults::Discard {
            records.accept_plaintext_repeats();
        }
        Self {
            records,
            handshake,
            outgoing: Outgoing::new(transport.max_sent_records()),
            incoming: Incoming::new(limits),
            acks: AckSender::new(),
            timer: RetransmitTimer::new(knobs),
            mtu: Mtu::new(transport.mtu(), transport.fall_back()),
            transport,
            trace,
            conduct: Conduct::new(),
            phase: Phase::Handshaking(Box::new(Handshaking::new())),
            events: VecDeque::new(),
            stats: Stats::new(),
            clock: timers::Expiring::new(now),
            place: Place { lease: Lease::Uncounted, path: Path::Validated },
        }
    }

    /// The next thing that happened, in the order in which it did.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events.shrink_to_fit();
        }
        event
    }

    /// Whether the handshake is complete and the association has neither failed nor been closed by the application.
    pub fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established(_)) && self.conduct.sending == Sending::Open
    }

    /// What was agreed on, once the handshake is complete.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::Established(negotiated) => Some(negotiated),
            Phase::Handshaking(_) | Phase::Failed(_) => None,
        }
    }

    /// What the association has counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Keying material for another protocol (RFC 5705, RFC 8446 §7.5). `context: None` and an empty context differ in
    /// DTLS 1.2 and are the same in 1.3.
    ///
    /// # Errors
    /// [`ApiMisuse::HandshakeNotComplete`]; [`ApiMisuse::ExporterUnavailable`] for a label that the protocol itself uses or
    /// a 1.2 association without extended master secret (RFC 7627 §5.4); [`ApiMisuse::ExportTooLong`].
    pub fn export_keying_material(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), ApiMisuse> {
        match self.handshake.export(label, context, out) {
            Ok(()) => Ok(()),
            Err(Error::ApiMisuse(misuse)) => Err(misuse),
            Err(_) => Err(ApiMisuse::ExportTooLong),
        }
    }

    /// Keys and salts for SRTP (RFC 5764 §4.2), once the handshake is complete.
    ///
    /// # Errors
    /// [`ApiMisuse::HandshakeNotComplete`]; [`ApiMisuse::NoSrtpProfile`] if none was agreed on;
    /// [`ApiMisuse::ExporterUnavailable`] for a 1.2 association without extended master secret (RFC 7627 §5.4).
    pub fn srtp_keying_material(&self) -> Result<SrtpKeyingMaterial, ApiMisuse> {
        let negotiated = self.negotiated().ok_or(ApiMisuse::HandshakeNotComplete)?;
        let profile = negotiated.srtp_profile().ok_or(ApiMisuse::NoSrtpProfile)?;
        match self.handshake.srtp_keying_material(profile) {
            Ok(material) => Ok(material),
            Err(Error::ApiMisuse(misuse)) => Err(misuse),
            Err(_) => Err(ApiMisuse::ExporterUnavailable),
        }
    }

    /// Changes our sending keys, and asks the peer to change its own if `request` says so (RFC 8446 §4.6.3, RFC 9147 §8).
    /// Ours change when the peer has acknowledged the message; [`Event::KeyUpdated`] tells.
    ///
    /// # Errors
    /// [`ApiMisuse::HandshakeNotComplete`]; [`ApiMisuse::NotInThisVersion`] in DTLS 1.2; [`ApiMisuse::Closed`].
    pub fn request_key_update(&mut self, now: Instant, request: KeyUpdateRequest) -> Result<(), ApiMisuse> {
        match (&self.phase, self.conduct.acks) {
            (Phase::Failed(_), _) => Err(ApiMisuse::Closed),
            _ if self.conduct.sending != Sending::Open => Err(ApiMisuse::Closed),
            (Phase::Handshaking(_), _) => Err(ApiMisuse::HandshakeNotComplete),
            (Phase::Established(_), Acks::Explicit) => {
                let step = self.step(Input::RequestKeyUpdate(request), now);
                step.map_err(|error| self.fail(error)).map_err(|_| ApiMisuse::Closed)
            }
            (Phase::Established(_), _) => Err(ApiMisuse::NotInThisVersion),
        }
    }

    /// One step of the handshake and what it wants done.
    fn step(&mut self, input: Input<'_>, now: Instant) -> Result<(), Error> {
        self.handshake.handle(input)?;
        self.carry_out(now)
    }

    /// Carries out what the handshake wants done, in its order.
    fn carry_out(&mut self, now: Instant) -> Result<(), Error> {
        let mut effects = self.handshake.take_effects();
        for effect in effects.drain(..) {
            match effect {
                Effect::ExplicitAcks => {
                    self.records.set_plaintext_version(PlaintextVersion::Usual);
                    self.conduct.acks = Acks::Explicit;
                    self.conduct.data_epoch = EXPLICIT_ACKS_DATA_EPOCH;
                    self.conduct.half_close = HalfClose::Possible;
                    // A ClientHello that is out stays so, with its timer: what told this anyone may have sent. What comes
                    // under keys answers it.
                    self.acks.set_acks(Acks::Explicit);
                }
                Effect::Flight(end) => self.begin_flight(end, now),
                Effect::Send { epoch, message } => self.outgoing.push_message(epoch, message),
                Effect::SendChangeCipherSpec { epoch } => self.outgoing.push_change_cipher_spec(epoch),
                Effect::InstallRead { epoch, keys } => self.install_read(epoch, &keys, now)?,
                Effect::InstallWrite { epoch, keys } => {
                    // Where ACKs are implicit, this is what tells that the version is agreed on.
                    self.records.set_plaintext_version(PlaintextVersion::Usual);
                    self.records.install_write(epoch, &keys)?;
                    self.records.lower_limits(self.transport.aead_limits());
                    (self.conduct.write_epoch, self.conduct.wear) = (epoch, LimitState::Below);
                    self.drop_old_sending_keys();
                }
                Effect::AwaitChangeCipherSpec => self.await_change_cipher_spec(),
                Effect::LimitRecords(limits) => self.records.limit_content(limits),
                Effect::AcknowledgeNow => self.acks.request(),
                Effect::Complete(negotiated) => self.complete(negotiated, now),
                Effect::SessionKept => self.tell_of_session(),
                Effect::KeyUpdated(direction) => self.events.push_back(Event::KeyUpdated(direction)),
            }
        }
        self.handshake.effects_done(effects);
        self.note_pending(now);
        Ok(())
    }

    /// One event stands for all sessions since the application last looked: a peer can send any number.
    fn tell_of_session(&mut self) {
        if !self.events.contains(&Event::SessionTicket) {
            self.events.push_back(Event::SessionTicket);
        }
    }

    fn begin_flight(&mut self, end: FlightEnd, now: Instant) {
        // In the handshake our flight answers what came and acknowledges it (RFC 9147 §7.1); later ones answer nothing.
        if let Phase::Handshaking(handshaking) = &mut self.phase {
            self.acks.on_flight_sent();
            handshaking.silence = Silence::NotAwaiting;
            // What came answers our last one, if that was not told before: a round trip (RFC 9147 §5.8.2).
            if !self.outgoing.is_acknowledged() {
                self.timer.acknowledged(now);
            }
        }
        self.outgoing.begin();
        self.timer.begin_flight();
        self.mtu.begin_flight();
        self.conduct.flight_end = end;
    }

    /// New keys to receive under. Only those immediately before them are kept.
    ///
    /// Deviation: for [`KEPT_AFTER_KEY_CHANGE`] at most once the new ones are in use, and not beyond the next change, though
    /// draft-ietf-tls-rfc9147bis §4.2.1 would let more be kept.
    fn install_read(&mut self, epoch: Epoch, keys: &TrafficKeys, now: Instant) -> Result<(), Error> {
        self.records.drop_read_below(self.incoming.epoch());
        self.records.install_read(epoch, keys)?;
        self.records.lower_limits(self.transport.aead_limits());
        self.incoming.advance_epoch(epoch)?;
        self.clock = match self.phase {
            // "receivers MUST retain the pre-update keying material until receipt and successful decryption of a message
            // using the new keys" (draft-ietf-tls-rfc9147bis §8).
            Phase::Established(_) => timers::Expiring::FromNewKeys,
            Phase::Handshaking(_) | Phase::Failed(_) => timers::Expiring::new(now),
        };
        Ok(())
    }

    /// What is acknowledged is never sent again, and nothing else is sent under old keys.
    fn drop_old_sending_keys(&mut self) {
        if matches!(self.phase, Phase::Established(_)) && self.outgoing.is_acknowledged() {
            self.records.drop_write_below(self.conduct.write_epoch);
        }
    }

    fn await_change_cipher_spec(&mut self) {
        if let Phase::Handshaking(handshaking) = &mut self.phase {
            handshaking.change_cipher_spec = handshaking.change_cipher_spec.awaited();
        }
    }

    /// The peer's next flight answers ours (RFC 9147 §7.1, RFC 6347 §4.2.4).
    fn answered(&mut self, now: Instant) {
        self.outgoing.acknowledge_all();
        self.timer.acknowledged(now);
        self.await_peer(now);
    }

    /// The peer's turn: if it vanishes now, no retransmission tells, and yet the handshake must end some time.
    fn await_peer(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Handshaking(handshaking) if !matches!(handshaking.silence, Silence::Ours(_)) => {
                handshaking.silence = Silence::Since(now);
            }
            _ => {}
        }
    }

    fn complete(&mut self, negotiated: Arc<Negotiated>, now: Instant) {
        if self.conduct.flight_end == FlightEnd::Answer {
            self.answered(now);
        }
        if self.conduct.acks == Acks::Undecided {
            self.conduct.acks = Acks::Implicit;
            self.acks.set_acks(Acks::Implicit);
        }
        self.tell_max_payload();
        self.phase = Phase::Established(negotiated);
        self.place.lease.established();
        self.drop_old_sending_keys();
        self.events.push_back(Event::HandshakeComplete);
    }
}

/// Application data begins in epoch 3 where handshake messages have an epoch of their own (RFC 9147 §6.1).
const EXPLICIT_ACKS_DATA_EPOCH: Epoch = Epoch(3);

/// How long what a peer may still need is kept after the keys changed: twice the maximum segment lifetime of RFC 793,
/// the time RFC 6347 §4.1 and RFC 9147 §4.2.1 go by.
const KEPT_AFTER_KEY_CHANGE: Duration = Duration::from_secs(240);

impl Conduct {
    const fn new() -> Self {
        Self {
            acks: Acks::Undecided,
            flight_end: FlightEnd::Answer,
            data_epoch: Epoch(1),
            write_epoch: Epoch::PLAINTEXT,
            wear: LimitState::Below,
            heard: Epoch::PLAINTEXT,
            half_close: HalfClose::Impossible,
            sending: Sending::Open,
            receiving: Receiving::Open,
        }
    }
}

impl fmt::Debug for Connection {
    /// Where the association stands, without any secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Handshaking(_) => "handshaking",
            Phase::Established(_) => "established",
            Phase::Failed(_) => "failed",
        };
        f.debug_struct("Connection").field("phase", &phase).field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Handshaking {
    const fn new() -> Self {
        Self {
            early: Vec::new(),
            change_cipher_spec: ChangeCipherSpec::Quiet,
            last_fault: LastFault::None,
            silence: Silence::NotAwaiting,
        }
    }
}
