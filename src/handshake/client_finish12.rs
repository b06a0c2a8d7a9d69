//! How a handshake of DTLS 1.2 ends at the client, full or abbreviated (RFC 5246 §7.1, §7.3, §7.4.9; RFC 5077 §3.3).
//!
//! ```text
//! full                                     abbreviated
//! [ChangeCipherSpec], Finished  -->
//!    <--  [NewSessionTicket]                  <--  [NewSessionTicket]     ExpectNewSessionTicket
//!    <--  [ChangeCipherSpec]                  <--  [ChangeCipherSpec]     ExpectChangeCipherSpec
//!    <--  Finished                            <--  Finished               ExpectFinished
//!                                          [ChangeCipherSpec], Finished  -->
//! ```

use super::authentication::{FinishedVerified, TrustedChain};
use super::common12::{PROTECTED_EPOCH, expect_change_cipher_spec, receive_finished, send_finished};
use super::established::Established12;
use super::negotiate::Negotiated;
use super::pending::{self, AfterVerdict, OnceJudged};
use super::resumption12::{Keeper, TicketPromise};
use super::schedule12::MasterSecret;
use super::transcript::Transcript;
use super::{Effect, FlightEnd, Input, Outbox, State};
use crate::crypto::{Role, suites::TrafficKeys};
use crate::error::Error;
use crate::wire::enums::HandshakeType;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// What the server's last flight is checked with, and what follows it.
pub(super) struct Confirmation {
    pub(super) master: MasterSecret,
    pub(super) transcript: Transcript,
    pub(super) negotiated: Box<Negotiated>,
    pub(super) keeper: Keeper,
    pub(super) own: OwnFinished,
}

/// Who comes first.
pub(super) enum OwnFinished {
    /// We did, as in a full handshake.
    Sent,
    /// The server does, as in an abbreviated one; then we, with these keys.
    Due(TrafficKeys),
}

impl Confirmation {
    /// The server goes on; it writes with `keys` after its ChangeCipherSpec.
    pub(super) fn expect(self, keys: TrafficKeys, ticket: TicketPromise, out: &mut Outbox) -> State {
        match ticket {
            TicketPromise::Announced => {
                let next = ExpectNewSessionTicket { confirmation: self, keys };
                State::ExpectNewSessionTicket12(Box::new(next))
            }
            TicketPromise::None => self.expect_change_cipher_spec(keys, out),
        }
    }

    fn expect_change_cipher_spec(self, keys: TrafficKeys, out: &mut Outbox) -> State {
        out.push(Effect::AwaitChangeCipherSpec);
        State::ExpectServerChangeCipherSpec12(Box::new(ExpectChangeCipherSpec { confirmation: self, keys }))
    }

    /// Ours, if it is due, and the end.
    fn complete(self, finished: FinishedVerified, out: &mut Outbox) -> Result<State, Error> {
        let Self { master, mut transcript, negotiated, keeper, own } = self;
        if let OwnFinished::Due(keys) = own {
            out.push(Effect::Flight(FlightEnd::RepeatOfPeer));
            send_finished(Role::Client, &master, keys, &mut transcript, out)?;
        }
        let negotiated = Arc::from(negotiated);
        out.push(Effect::Complete(Arc::clone(&negotiated)));
        keeper.keep(&negotiated, &master, out);
        Ok(State::Established12(Box::new(Established12::new(master, finished))))
    }
}

/// "This message MUST be sent if the server included a SessionTicket extension in the ServerHello" (RFC 5077 §3.3).
pub(super) struct ExpectNewSessionTicket {
    confirmation: Confirmation,
    keys: TrafficKeys,
}

impl ExpectNewSessionTicket {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut confirmation, keys } = self;
        let message = input.expect(HandshakeType::NEW_SESSION_TICKET)?;
        confirmation.keeper.receive_ticket(&message)?;
        confirmation.transcript.add(&message);
        Ok(confirmation.expect_change_cipher_spec(keys, out))
    }
}

/// Everything that comes in plaintext has come.
pub(super) struct ExpectChangeCipherSpec {
    confirmation: Confirmation,
    /// What the server writes with.
    keys: TrafficKeys,
}

impl ExpectChangeCipherSpec {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { confirmation, keys } = self;
        expect_change_cipher_spec(input)?;
        out.push(Effect::InstallRead { epoch: PROTECTED_EPOCH, keys });
        Ok(State::ExpectServerFinished12(Box::new(ExpectFinished { confirmation })))
    }
}

/// The server's Finished confirms the handshake as a whole.
pub(super) struct ExpectFinished {
    confirmation: Confirmation,
}

impl ExpectFinished {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Self { mut confirmation } = self;
        let message = input.expect(HandshakeType::FINISHED)?;
        let Confirmation { master, transcript, negotiated, keeper, own } = &mut confirmation;
        let finished = receive_finished(Role::Server, master, &message, transcript)?;
        let judged = match own {
            OwnFinished::Sent => None,
            // Not before all of the server's flight has come: no record waits for the verdict.
            OwnFinished::Due(_) => keeper.judge_again(&negotiated.peer)?,
        };
        match judged {
            None => confirmation.complete(finished, out),
            Some(judged) => pending::go_on(judged, Resumed { confirmation, finished }, out),
        }
    }
}

/// The server has resumed a session; its certificate has to be judged once more.
pub(super) struct Resumed {
    confirmation: Confirmation,
    finished: FinishedVerified,
}

impl Resumed {
    /// Whom we want to talk to.
    pub(super) const fn server_name(&self) -> Option<&ServerName<'static>> {
        self.confirmation.keeper.server_name()
    }
}

impl AfterVerdict for Resumed {
    fn trusted(mut self, again: TrustedChain, out: &mut Outbox) -> Result<State, Error> {
        self.confirmation.negotiated.peer = again.into_resumed();
        self.confirmation.complete(self.finished, out)
    }

    fn later(self) -> OnceJudged {
        OnceJudged::Resumption12(Box::new(self))
    }
}
