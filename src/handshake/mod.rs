//! Floor 4: the handshake, pure. *State × input → next state + effects*: whole messages go in, effects come out.
//! It knows no record, no timer and no datagram (RFC 5246 §7.3, RFC 6347 §4.2, RFC 8446 §2, RFC 9147 §5).
//!
//! One struct stands for each thing awaited; its `handle` takes it by value and returns the next, so that a handler that
//! fails leaves nothing half-updated. Checks that matter return a witness that the next state holds.

mod abbreviated12;
mod authentication;
mod client;
mod client12;
mod client13;
mod client_finish12;
mod common12;
mod compression13;
mod established;
mod extensions;
mod grease;
mod negotiate;
mod offer;
mod pending;
mod resumption12;
mod resumption13;
mod schedule12;
mod schedule13;
mod server;
mod server12;
mod server13;
mod server_finish12;
mod session;
mod signature;
mod srtp;
mod stapling;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests12;
#[cfg(test)]
mod tests13;
#[cfg(test)]
mod tests_extensions;
#[cfg(test)]
mod tests_patterns;
mod transcript;
#[cfg(test)]
mod vectors;

pub use negotiate::{HandshakeKind, HelloRetryRequest, Negotiated};
pub use pending::Pending;
pub(crate) use server::{StatelessRetry, StatelessStart};

pub(crate) use negotiate::{Selection, check_parameters12, select, server_name};
pub(crate) use server12::estimated_flight as estimated_flight12;
pub use srtp::SrtpKeyingMaterial;

use crate::config::{ClientConfig, Direction, ExtendedMasterSecret, ServerConfig};
use crate::crypto::suites::TrafficKeys;
use crate::error::{ApiMisuse, Error, PeerMisbehaved};
use crate::wire::{
    ack::Epoch,
    enums::HandshakeType,
    handshake::{Message, OwnedMessage},
    post_handshake::KeyUpdateRequest,
    record::ContentLimits,
};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use transcript::Transcript;

/// One endpoint's side of a handshake, and what remains of it afterwards.
pub(crate) struct Handshake {
    state: State,
    outbox: Outbox,
    /// Whether a DTLS 1.2 association without extended master secret exports.
    exporters: ExtendedMasterSecret,
}

/// What may happen to a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// The next whole message in order, read under the newest epoch installed.
    Message(Message<'a>),
    /// DTLS 1.2: the peer's ChangeCipherSpec, seen while the state awaits it.
    ChangeCipherSpec,
    /// DTLS 1.3: everything that was sent has been acknowledged.
    FlightAcknowledged,
    /// The application or a limit wants new keys.
    RequestKeyUpdate(KeyUpdateRequest),
    /// The signature that was pending, or why there is none.
    Signature(Result<&'a [u8], &'a rustls::Error>),
    /// What the application thinks of the chain that was pending.
    Verdict(Result<(), &'a rustls::Error>),
}

/// What a step of the handshake wants done, in this order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// DTLS 1.3 was chosen: the peer understands ACKs (draft-ietf-tls-rfc9147bis §7.1).
    ExplicitAcks,
    /// A new flight begins; the messages that follow belong to it. The old flight is answered.
    Flight(FlightEnd),
    /// The next message of the flight.
    Send { epoch: Epoch, message: OwnedMessage },
    /// A ChangeCipherSpec at this place of the flight, sent in `epoch`.
    SendChangeCipherSpec { epoch: Epoch },
    /// From here on handshake messages are read in `epoch`; a message left over from an older one is a fault
    /// (RFC 8446 §5.1).
    InstallRead { epoch: Epoch, keys: TrafficKeys },
    /// From here on alerts and, once complete, application data are sent in `epoch`.
    InstallWrite { epoch: Epoch, keys: TrafficKeys },
    /// DTLS 1.2: the peer's ChangeCipherSpec is due; an earlier one that was remembered may be given now.
    AwaitChangeCipherSpec,
    /// From here on records are no longer than this; protected ones of the peer either.
    LimitRecords(ContentLimits),
    /// Acknowledge without delay (RFC 9147 §5.8.3, §7.1).
    AcknowledgeNow,
    /// The peer is authenticated and application data may flow.
    Complete(Arc<Negotiated>),
    /// A client has kept a session for its next association with the server.
    SessionKept,
    /// The keys of one direction, or of both, were updated (RFC 8446 §4.6.3).
    KeyUpdated(Direction),
}

/// How a flight of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlightEnd {
    /// The peer's next flight answers it; until then it is retransmitted by timer.
    Answer,
    /// It is the last flight of a DTLS 1.2 handshake: sent again only when the peer repeats its own last message
    /// (RFC 6347 §4.2.4).
    RepeatOfPeer,
    /// Only ACKs end it (RFC 9147 §5.8.1).
    Acknowledgement,
}

impl Handshake {
    /// A client; its ClientHello is among the effects.
    pub(crate) fn client(config: Arc<ClientConfig>, name: Option<ServerName<'static>>) -> Result<Self, Error> {
        let (mut outbox, exporters) = (Outbox::new(), config.extended_master_secret());
        let state = client::start(config, name, &mut outbox)?;
        Ok(Self { state, outbox, exporters })
    }

    /// A server that awaits a ClientHello.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Self {
        Self::server_after(config, StatelessStart::ClientHello, 0)
    }

    /// A server that awaits the ClientHello of this number after a stateless answer. Its messages are numbered from there
    /// on (RFC 6347 §4.2.2).
    pub(crate) fn server_after(config: Arc<ServerConfig>, start: StatelessStart, message_seq: u16) -> Self {
        let (mut outbox, exporters) = (Outbox::new(), config.extended_master_secret());
        outbox.next_message_seq = message_seq.into();
        Self { state: server::start(config, start), outbox, exporters }
    }

    /// One step. After an error the handshake is over, and nothing of what the failed step wanted is done; only
    /// [`Error::ApiMisuse`] leaves it unharmed.
    pub(crate) fn handle(&mut self, input: Input<'_>) -> Result<(), Error> {
        self.check_answer(&input)?;
        match (input, &self.state) {
            (Input::Message(_) | Input::ChangeCipherSpec | Input::Signature(_) | Input::Verdict(_), _)
            | (_, State::Established13(_)) => {}
            // A flight may be acknowledged before its answer comes (RFC 9147 §7.1).
            (Input::FlightAcknowledged, _) => return Ok(()),
            (Input::RequestKeyUpdate(_), State::Established12(_)) => return Err(ApiMisuse::NotInThisVersion.into()),
            (Input::RequestKeyUpdate(_), _) => return Err(ApiMisuse::HandshakeNotComplete.into()),
        }
        let state = std::mem::replace(&mut self.state, State::Failed);
        let next = state.handle(input, &mut self.outbox);
        if next.is_err() {
            self.outbox.effects.clear();
        }
        self.state = next?;
        Ok(())
    }

    /// What the steps since the last call want done. A flight that a signature is missing in is held back.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        match self.state {
            State::AwaitSignature(_) => Vec::new(),
            _ => std::mem::take(&mut self.outbox.effects),
        }
    }

    /// The association ends before the handshake was complete: whatever step came last, it does not count.
    pub(crate) fn abandon(&mut self) {
        self.state = State::Failed;
        self.outbox.effects.clear();
    }

    /// Takes back the list of effects when all are carried out: the next step need not make one. After the handshake there are
    /// few.
    pub(crate) fn effects_done(&mut self, effects: Vec<Effect>) {
        let over = matches!(self.state, State::Established12(_) | State::Established13(_) | State::Failed);
        if self.outbox.effects.is_empty() && !over {
            self.outbox.effects = effects;
        }
    }

    /// Exports keying material of a completed handshake (RFC 5705, RFC 8446 §7.5).
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Error> {
        match &self.state {
            State::Established12(state) => state.export(label, context, out, self.exporters),
            State::Established13(state) => state.export(label, context, out),
            _ => Err(ApiMisuse::HandshakeNotComplete.into()),
        }
    }
}

/// DTLS 1.3: what follows the hellos (RFC 9147 §6.1).
const HANDSHAKE_EPOCH: Epoch = Epoch(2);
/// DTLS 1.3: application data, before any KeyUpdate.
const APPLICATION_EPOCH: Epoch = Epoch(3);

/// Everything that can be awaited, in the order of the protocol.
enum State {
    ExpectServerHello(Box<client::ExpectServerHello>),
    ExpectServerHelloAfterRetry(Box<client::ExpectServerHelloAfterRetry>),
    ExpectServerCertificate12(Box<client12::ExpectCertificate>),
    ExpectServerCertificateStatus12(Box<client12::ExpectCertificateStatus>),
    ExpectServerKeyExchange12(Box<client12::ExpectServerKeyExchange>),
    ExpectServerHelloDone12(Box<client12::ExpectServerHelloDone>),
    ExpectNewSessionTicket12(Box<client_finish12::ExpectNewSessionTicket>),
    ExpectServerChangeCipherSpec12(Box<client_finish12::ExpectChangeCipherSpec>),
    ExpectServerFinished12(Box<client_finish12::ExpectFinished>),
    ExpectEncryptedExtensions13(Box<client13::ExpectEncryptedExtensions>),
    ExpectServerCertificateOrRequest13(Box<client13::ExpectCertificateOrRequest>),
    ExpectServerCertificate13(Box<client13::ExpectCertificate>),
    ExpectServerCertificateVerify13(Box<client13::ExpectCertificateVerify>),
    ExpectServerFinished13(Box<client13::ExpectFinished>),
    ExpectClientHello(server::ExpectClientHello),
    ExpectClientCertificate12(Box<server12::ExpectCertificate>),
    ExpectClientKeyExchange12(Box<server12::ExpectClientKeyExchange>),
    ExpectClientCertificateVerify12(Box<server12::ExpectCertificateVerify>),
    ExpectClientChangeCipherSpec12(Box<server_finish12::ExpectChangeCipherSpec>),
    ExpectClientFinished12(Box<server_finish12::ExpectFinished>),
    ExpectRetriedClientHello13(Box<server13::ExpectRetriedClientHello>),
    ExpectClientCertificate13(Box<server13::ExpectCertificate>),
    ExpectClientCertificateVerify13(Box<server13::ExpectCertificateVerify>),
    ExpectClientFinished13(Box<server13::ExpectFinished>),
    /// Of either role and version: a signature of ours is due.
    AwaitSignature(Box<pending::AwaitSignature>),
    /// Of either role and version: a verdict about the peer's chain is due.
    AwaitVerdict(Box<pending::AwaitVerdict>),
    Established12(Box<established::Established12>),
    Established13(Box<established::Established13>),
    /// An earlier step failed; the connection does not come back.
    Failed,
}

impl State {
    fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<Self, Error> {
        match self {
            Self::ExpectServerHello(state) => state.handle(input, out),
            Self::ExpectServerHelloAfterRetry(state) => state.handle(input, out),
            Self::ExpectServerCertificate12(state) => state.handle(input, out),
            Self::ExpectServerCertificateStatus12(state) => state.handle(input, out),
            Self::ExpectServerKeyExchange12(state) => state.handle(input, out),
            Self::ExpectServerHelloDone12(state) => state.handle(input, out),
            Self::ExpectNewSessionTicket12(state) => state.handle(input, out),
            Self::ExpectServerChangeCipherSpec12(state) => state.handle(input, out),
            Self::ExpectServerFinished12(state) => state.handle(input, out),
            Self::ExpectEncryptedExtensions13(state) => state.handle(input, out),
            Self::ExpectServerCertificateOrRequest13(state) => state.handle(input, out),
            Self::ExpectServerCertificate13(state) => state.handle(input, out),
            Self::ExpectServerCertificateVerify13(state) => state.handle(input, out),
            Self::ExpectServerFinished13(state) => state.handle(input, out),
            Self::ExpectClientHello(state) => state.handle(input, out),
            Self::ExpectClientCertificate12(state) => state.handle(input, out),
            Self::ExpectClientKeyExchange12(state) => state.handle(input, out),
            Self::ExpectClientCertificateVerify12(state) => state.handle(input, out),
            Self::ExpectClientChangeCipherSpec12(state) => state.handle(input, out),
            Self::ExpectClientFinished12(state) => state.handle(input, out),
            Self::ExpectRetriedClientHello13(state) => state.handle(input, out),
            Self::ExpectClientCertificate13(state) => state.handle(input, out),
            Self::ExpectClientCertificateVerify13(state) => state.handle(input, out),
            Self::ExpectClientFinished13(state) => state.handle(input, out),
            Self::AwaitSignature(state) => state.handle(input, out),
            Self::AwaitVerdict(state) => state.handle(input, out),
            Self::Established12(state) => state.handle(input),
            Self::Established13(state) => state.handle(input, out),
            Self::Failed => Ok(Self::Failed),
        }
    }
}

impl<'a> Input<'a> {
    /// The message, if it is of the one type that may come now (RFC 8446 §4, RFC 5246 §7.3).
    fn expect(self, msg_type: HandshakeType) -> Result<Message<'a>, Error> {
        self.expect_one_of(&[msg_type])
    }

    /// The message, if it is of one of the types that may come now.
    fn expect_one_of(self, types: &[HandshakeType]) -> Result<Message<'a>, Error> {
        match self {
            Self::Message(message) if types.contains(&message.msg_type) => Ok(message),
            Self::Message(_) | Self::ChangeCipherSpec => Err(PeerMisbehaved::UnexpectedMessage.into()),
            Self::FlightAcknowledged | Self::RequestKeyUpdate(_) | Self::Signature(_) | Self::Verdict(_) => {
                Err(ApiMisuse::HandshakeNotComplete.into())
            }
        }
    }
}

/// Numbers our messages and collects effects.
struct Outbox {
    effects: Vec<Effect>,
    /// The next message's number; beyond 16 bits the association ends (draft-ietf-tls-rfc9147bis §5.2).
    next_message_seq: u32,
}

impl Outbox {
    /// More than any flight has effects, so that collecting them allocates once.
    const EFFECTS: usize = 12;

    fn new() -> Self {
        Self { effects: Vec::with_capacity(Self::EFFECTS), next_message_seq: 0 }
    }

    fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Whether no message can be sent any more.
    fn is_exhausted(&self) -> bool {
        self.next_message_seq > u32::from(u16::MAX)
    }

    /// Gives a message its number.
    fn number(&mut self, msg_type: HandshakeType, body: Vec<u8>) -> Result<OwnedMessage, Error> {
        let message_seq = u16::try_from(self.next_message_seq).map_err(|_| Error::NumbersExhausted)?;
        self.next_message_seq = self.next_message_seq.saturating_add(1);
        Ok(OwnedMessage { msg_type, message_seq, body })
    }

    /// Numbers a message, adds it to the transcript and to the flight.
    fn send(
        &mut self,
        epoch: Epoch,
        msg_type: HandshakeType,
        body: Vec<u8>,
        transcript: &mut Transcript,
    ) -> Result<(), Error> {
        let message = self.number(msg_type, body)?;
        transcript.add(&message.as_message());
        self.push(Effect::Send { epoch, message });
        Ok(())
    }
}
