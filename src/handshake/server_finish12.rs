//! How a handshake of DTLS 1.2 ends at the server, full or abbreviated (RFC 5246 §7.1, §7.3, §7.4.9; RFC 5077 §3.3).
//!
//! ```text
//! full                                     abbreviated
//!                                             <--  [NewSessionTicket], [ChangeCipherSpec], Finished
//! [ChangeCipherSpec]  -->                  [ChangeCipherSpec]  -->        ExpectChangeCipherSpec
//! Finished            -->                  Finished            -->        ExpectFinished
//!    <--  [NewSessionTicket], [ChangeCipherSpec], Finished
//! ```

use super::common12::{PROTECTED_EPOCH, expect_change_cipher_spec, receive_finished, send_finished};
use super::established::Established12;
use super::negotiate::Negotiated;
use super::resumption12::Promise;
use super::schedule12::MasterSecret;
use super::transcript::Transcript;
use super::{Effect, FlightEnd, Input, Outbox, State};
use crate::config::ServerConfig;
use crate::crypto::{Role, suites::TrafficKeys};
use crate::error::Error;
use crate::wire::enums::HandshakeType;
use std::sync::Arc;

/// What the client's Finished is checked with, and what follows it.
pub(super) struct Confirmation {
    pub(super) master: MasterSecret,
    pub(super) transcript: Transcript,
    pub(super) negotiated: Box<Negotiated>,
    pub(super) own: OwnFinished,
}

/// Who comes first.
pub(super) enum OwnFinished {
    /// We did, as in an abbreviated handshake.
    Sent,
    /// The client does, as in a full one.
    Due(Box<LastFlight>),
}

/// What the server's last flight is made of.
pub(super) struct LastFlight {
    pub(super) config: Arc<ServerConfig>,
    /// What we write with.
    pub(super) keys: TrafficKeys,
    pub(super) promise: Promise,
}

impl Confirmation {
    /// The client goes on; it writes with `keys` after its ChangeCipherSpec.
    pub(super) fn expect(self, keys: TrafficKeys, out: &mut Outbox) -> State {
        out.push(Effect::AwaitChangeCipherSpec);
        State::ExpectClientChangeCipherSpec12(Box::new(ExpectChangeCipherSpec { confirmation: self, keys }))
    }
}

/// Everything in plaintext has come.
pub(super) struct ExpectChangeCipherSpec {
    confirmation: Confirmation,
    /// What the client writes with.
    keys: TrafficKeys,
}

impl ExpectChangeCipherSpec {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { confirmation, keys } = self;
        expect_change_cipher_spec(input)?;
        out.push(Effect::InstallRead { epoch: PROTECTED_EPOCH, keys });
        Ok(State::ExpectClientFinished12(Box::new(ExpectFinished { confirmation })))
    }
}

/// The client's Finished confirms the handshake as a whole.
pub(super) struct ExpectFinished {
    confirmation: Confirmation,
}

impl ExpectFinished {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Confirmation { master, mut transcript, negotiated, own } = self.confirmation;
        let message = input.expect(HandshakeType::FINISHED)?;
        let finished = receive_finished(Role::Client, &master, &message, &mut transcript)?;
        if let OwnFinished::Due(flight) = own {
            let LastFlight { config, keys, promise } = *flight;
            out.push(Effect::Flight(FlightEnd::RepeatOfPeer));
            promise.keep(&config, &negotiated, &master, &mut transcript, out)?;
            send_finished(Role::Server, &master, keys, &mut transcript, out)?;
        }
        out.push(Effect::Complete(Arc::from(negotiated)));
        Ok(State::Established12(Box::new(Established12::new(master, finished))))
    }
}
