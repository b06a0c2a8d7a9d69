//! After the handshake: exporters, KeyUpdate, tickets (RFC 8446 §4.6, §7.5; RFC 9147 §8).

use super::authentication::FinishedVerified;
use super::resumption13::{TicketKeeper, Tickets};
use super::schedule12::MasterSecret;
use super::schedule13::{
    ApplicationTrafficSecret, Exporter, HandshakeSchedule, MasterSchedule, ResumptionSecret, SecretLog,
};
use super::{APPLICATION_EPOCH, Effect, FlightEnd, Input, Outbox, State};
use crate::config::{Direction, ExtendedMasterSecret};
use crate::crypto::Role;
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{
    ack::Epoch,
    enums::HandshakeType,
    handshake::Message,
    post_handshake::{KeyUpdateRequest, NewSessionTicket13},
};
use rustls::crypto::hash::Output;

/// A completed DTLS 1.2 handshake: what is left to do is to export, and to refuse another one.
pub(super) struct Established12 {
    master: MasterSecret,
}

impl Established12 {
    pub(super) fn new(master: MasterSecret, _: FinishedVerified) -> Self {
        Self { master }
    }

    /// There is no renegotiation, whoever asks for it and however: no message may follow a Finished (RFC 5246 §7.4.1.1,
    /// §7.4.1.2; RFC 9325 §3.5).
    pub(super) fn handle(self, input: Input<'_>) -> Result<State, Error> {
        match input {
            Input::Message(_) => Err(PeerMisbehaved::RenegotiationAttempted.into()),
            Input::ChangeCipherSpec => Err(PeerMisbehaved::UnexpectedMessage.into()),
            // Nothing is ever acknowledged, and there is no KeyUpdate.
            Input::FlightAcknowledged | Input::RequestKeyUpdate(_) | Input::Signature(_) | Input::Verdict(_) => {
                Ok(State::Established12(Box::new(self)))
            }
        }
    }

    /// RFC 5705 §4.
    pub(super) fn export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
        policy: ExtendedMasterSecret,
    ) -> Result<(), Error> {
        match policy {
            ExtendedMasterSecret::OptionalWithExporters => self.master.export_unbound(label, context, out),
            ExtendedMasterSecret::Required | ExtendedMasterSecret::Optional => self.master.export(label, context, out),
        }
    }
}

/// What the handshake of DTLS 1.3 leaves behind (RFC 8446 §7.1).
pub(super) struct ApplicationSecrets {
    pub(super) client: ApplicationTrafficSecret,
    pub(super) server: ApplicationTrafficSecret,
    exporter: Exporter,
    master: MasterSchedule,
}

impl ApplicationSecrets {
    /// From the transcript up to and including the server's Finished. Everything older is dropped here.
    pub(super) fn derive(schedule: HandshakeSchedule, transcript: &Output, log: SecretLog<'_>) -> Result<Self, Error> {
        let schedule = schedule.into_master()?;
        Ok(Self {
            client: schedule.traffic_secret(Role::Client, transcript, log)?,
            server: schedule.traffic_secret(Role::Server, transcript, log)?,
            exporter: schedule.exporter(transcript, log)?,
            master: schedule,
        })
    }

    /// From which the PSKs of tickets follow; the transcript goes up to and including the client's Finished.
    pub(super) fn resumption(&self, transcript: &Output) -> Result<ResumptionSecret, Error> {
        self.master.resumption_master_secret(transcript)
    }
}

/// A completed DTLS 1.3 handshake.
pub(super) struct Established13 {
    received: ReceivedTickets,
    read: Generation,
    write: Generation,
    outstanding: Outstanding,
    exporter: Exporter,
}

/// What becomes of the peer's NewSessionTickets.
pub(super) enum ReceivedTickets {
    /// A client may send none (RFC 8446 §4.6.1).
    Refused,
    /// "Clients which receive a NewSessionTicket message but do not support resumption MUST silently ignore this message"
    /// (RFC 9846 §4.7.1).
    Ignored,
    /// They become sessions.
    Kept(Box<TicketKeeper>),
}

/// The keys of one direction: the epoch, and the secret from which the next one follows.
struct Generation {
    epoch: Epoch,
    secret: ApplicationTrafficSecret,
}

/// What of ours the peer has not acknowledged: one flight at most (RFC 9147 §5.8.4).
#[derive(Clone, Copy)]
enum Outstanding {
    Nothing,
    /// Something other than a KeyUpdate; one that was asked for meanwhile waits, so that it is acknowledged only with
    /// everything before it (draft-ietf-tls-rfc9147bis §8).
    Flight(Deferred),
    /// A KeyUpdate. Until it is acknowledged we send under the old keys, and no other one.
    KeyUpdate,
}

/// The KeyUpdate that follows the flight.
#[derive(Clone, Copy)]
enum Deferred {
    Nothing,
    KeyUpdate(KeyUpdateRequest),
}

impl Established13 {
    /// A client: its Finished is not acknowledged yet (RFC 9147 §5.8.1).
    pub(super) fn client(secrets: ApplicationSecrets, received: ReceivedTickets, _: FinishedVerified) -> Self {
        let ApplicationSecrets { client, server, exporter, .. } = secrets;
        Self {
            received,
            read: Generation::first(server),
            write: Generation::first(client),
            outstanding: Outstanding::Flight(Deferred::Nothing),
            exporter,
        }
    }

    /// A server: the client's Finished has acknowledged its flight, and tickets may be on their way.
    pub(super) fn server(secrets: ApplicationSecrets, sent: Tickets, _: FinishedVerified) -> Self {
        let ApplicationSecrets { client, server, exporter, .. } = secrets;
        Self {
            received: ReceivedTickets::Refused,
            read: Generation::first(client),
            write: Generation::first(server),
            outstanding: match sent {
                Tickets::Sent => Outstanding::Flight(Deferred::Nothing),
                Tickets::NotSent => Outstanding::Nothing,
            },
            exporter,
        }
    }

    pub(super) fn handle(mut self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        match input {
            Input::Message(message) => self.handle_message(&message, out)?,
            Input::FlightAcknowledged => self.handle_acknowledgement(out)?,
            Input::RequestKeyUpdate(request) => self.handle_request(request, out)?,
            Input::ChangeCipherSpec => return Err(PeerMisbehaved::UnexpectedMessage.into()),
            Input::Signature(_) | Input::Verdict(_) => {}
        }
        Ok(State::Established13(Box::new(self)))
    }

    /// RFC 8446 §7.5.
    pub(super) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Error> {
        self.exporter.export(label, context, out)
    }

    fn handle_message(&mut self, message: &Message<'_>, out: &mut Outbox) -> Result<(), Error> {
        match (message.msg_type, &self.received) {
            (HandshakeType::KEY_UPDATE, _) => self.handle_key_update(message, out),
            (HandshakeType::NEW_SESSION_TICKET, ReceivedTickets::Kept(keeper)) => {
                keeper.keep(&NewSessionTicket13::read(message.body)?, out)
            }
            (HandshakeType::NEW_SESSION_TICKET, ReceivedTickets::Ignored) => {
                Ok(NewSessionTicket13::read(message.body).map(drop)?)
            }
            _ => Err(PeerMisbehaved::UnexpectedMessage.into()),
        }
    }

    /// The peer's KeyUpdate: what it sends from now on is under its next keys (RFC 8446 §4.6.3).
    fn handle_key_update(&mut self, message: &Message<'_>, out: &mut Outbox) -> Result<(), Error> {
        let request = KeyUpdateRequest::read(message.body)?.ok_or(PeerMisbehaved::BadKeyUpdate)?;
        // Epochs have 16 bits here (draft-ietf-tls-rfc9147bis §8).
        self.read = self.read.next()?.ok_or(PeerMisbehaved::TooManyKeyUpdates)?;
        out.push(Effect::InstallRead { epoch: self.read.epoch, keys: self.read.secret.keys() });
        out.push(Effect::KeyUpdated(Direction::Receiving));
        match request {
            // "MUST NOT send its own KeyUpdate if that would cause it to exceed these limits".
            KeyUpdateRequest::Requested if self.write.is_last() || out.is_exhausted() => Ok(()),
            KeyUpdateRequest::Requested => self.handle_request(KeyUpdateRequest::NotRequested, out),
            KeyUpdateRequest::NotRequested => Ok(()),
        }
    }

    /// New keys are wanted, by the application or by the peer. One KeyUpdate at a time (RFC 9147 §5.8.4); one that is on
    /// its way already brings them, to a peer too that asked after it was sent: it answers however many requests.
    fn handle_request(&mut self, request: KeyUpdateRequest, out: &mut Outbox) -> Result<(), Error> {
        match self.outstanding {
            Outstanding::Nothing => self.send_key_update(request, out),
            Outstanding::KeyUpdate => Ok(()),
            Outstanding::Flight(deferred) => {
                self.outstanding = Outstanding::Flight(deferred.or(request));
                Ok(())
            }
        }
    }

    fn send_key_update(&mut self, request: KeyUpdateRequest, out: &mut Outbox) -> Result<(), Error> {
        if self.write.is_last() {
            return Err(Error::NumbersExhausted);
        }
        let message = out.number(HandshakeType::KEY_UPDATE, request.encode().to_vec())?;
        out.push(Effect::Flight(FlightEnd::Acknowledgement));
        out.push(Effect::Send { epoch: self.write.epoch, message });
        self.outstanding = Outstanding::KeyUpdate;
        Ok(())
    }

    /// All that we sent has arrived: the moment for new keys, or for the KeyUpdate that waited
    /// (draft-ietf-tls-rfc9147bis §8).
    fn handle_acknowledgement(&mut self, out: &mut Outbox) -> Result<(), Error> {
        match std::mem::replace(&mut self.outstanding, Outstanding::Nothing) {
            Outstanding::Nothing | Outstanding::Flight(Deferred::Nothing) => Ok(()),
            Outstanding::Flight(Deferred::KeyUpdate(request)) => self.send_key_update(request, out),
            Outstanding::KeyUpdate => {
                self.write = self.write.next()?.ok_or(Error::NumbersExhausted)?;
                out.push(Effect::InstallWrite { epoch: self.write.epoch, keys: self.write.secret.keys() });
                out.push(Effect::KeyUpdated(Direction::Sending));
                Ok(())
            }
        }
    }
}

impl Generation {
    const fn first(secret: ApplicationTrafficSecret) -> Self {
        Self { epoch: APPLICATION_EPOCH, secret }
    }

    fn is_last(&self) -> bool {
        self.epoch.next().is_none()
    }

    /// application_traffic_secret_N+1 and its epoch, if there is one more (RFC 8446 §7.2).
    fn next(&self) -> Result<Option<Self>, Error> {
        let Some(epoch) = self.epoch.next() else { return Ok(None) };
        Ok(Some(Self { epoch, secret: self.secret.next()? }))
    }
}

impl Deferred {
    /// Remembers a request; one that wants an answer is never forgotten over one that wants none.
    const fn or(self, request: KeyUpdateRequest) -> Self {
        match self {
            Self::KeyUpdate(KeyUpdateRequest::Requested) => self,
            Self::Nothing | Self::KeyUpdate(KeyUpdateRequest::NotRequested) => Self::KeyUpdate(request),
        }
    }
}
