//! What the application answers in its own time: the handshake waits, while records, timers and ACKs go on.
//!
//! What the peer sends meanwhile is put together as always and kept within the bounds of reassembly; the handshake gets it
//! when it goes on.

use super::{Connection, Event, Phase, Silence};
use crate::error::{ApiMisuse, Error};
use crate::handshake::{Input, Pending};
use std::time::Instant;

impl Connection {
    /// What the application owes, if anything; [`Event::AnswerWanted`] tells when that begins. A flight that waits for a
    /// signature is sent whole when it is there; otherwise everything goes on, and what the peer sends is kept within
    /// the bounds of [`TransportConfig`](crate::TransportConfig).
    ///
    /// ```no_run
    /// use std::time::Instant;
    /// use udtls::{Connection, Pending, SignatureScheme};
    ///
    /// trait Module {
    ///     fn sign(&self, scheme: SignatureScheme, message: &[u8]);
    ///     fn judge(&self, chain: &[rustls::pki_types::CertificateDer<'static>]);
    ///     fn signature(&self) -> Option<Result<Vec<u8>, rustls::Error>>;
    ///     fn verdict(&self) -> Option<Result<(), rustls::Error>>;
    /// }
    ///
    /// /// At `Event::AnswerWanted`.
    /// fn ask(connection: &Connection, module: &impl Module) {
    ///     match connection.pending() {
    ///         Some(Pending::Signature { scheme, message, .. }) => module.sign(scheme, message),
    ///         Some(Pending::Verdict { certificates, .. }) => module.judge(certificates),
    ///         _ => {}
    ///     }
    /// }
    ///
    /// /// When the module has answered; what there is to send then is in `poll_transmit`.
    /// fn answer(connection: &mut Connection, module: &impl Module) -> Result<(), udtls::ApiMisuse> {
    ///     if let Some(signature) = module.signature() {
    ///         connection.provide_signature(Instant::now(), signature)?;
    ///     }
    ///     if let Some(verdict) = module.verdict() {
    ///         connection.provide_verdict(Instant::now(), verdict)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// An application that does not answer for as long as a silent peer is waited for loses the association
    /// ([`Error::Unanswered`]).
    pub fn pending(&self) -> Option<Pending<'_>> {
        match self.phase {
            Phase::Handshaking(_) => self.handshake.pending(),
            Phase::Established(_) | Phase::Failed(_) => None,
        }
    }

    /// Answers [`Pending::Signature`]: the signature, or the key's refusal, which ends the association. An error that holds
    /// [`Error::Application`] chooses the alert; one that holds [`Error::AnswerLater`] changes nothing.
    ///
    /// The signature is sent as it is. One that is wrong is for the peer to find out.
    ///
    /// # Errors
    /// [`ApiMisuse::NotPending`] if no signature is awaited.
    pub fn provide_signature(
        &mut self,
        now: Instant,
        signature: Result<Vec<u8>, rustls::Error>,
    ) -> Result<(), ApiMisuse> {
        self.answer(Input::Signature(signature.as_deref()), now)
    }

    /// Answers [`Pending::Verdict`] as a certificate verifier would. A refusal ends the association with the alert for its
    /// reason; an error that holds [`Error::Application`] chooses the alert; one that holds [`Error::AnswerLater`] changes
    /// nothing.
    ///
    /// # Errors
    /// [`ApiMisuse::NotPending`] if no verdict is awaited.
    pub fn provide_verdict(&mut self, now: Instant, verdict: Result<(), rustls::Error>) -> Result<(), ApiMisuse> {
        self.answer(Input::Verdict(verdict.as_ref().copied()), now)
    }

    fn answer(&mut self, input: Input<'_>, now: Instant) -> Result<(), ApiMisuse> {
        if !matches!(self.phase, Phase::Handshaking(_)) {
            return Err(ApiMisuse::NotPending);
        }
        match self.go_on_with(input, now) {
            Ok(()) => Ok(()),
            Err(Error::ApiMisuse(misuse)) => Err(misuse),
            Err(error) => {
                self.fail(error);
                Ok(())
            }
        }
    }

    /// The handshake gets the answer, and then what came while it waited.
    fn go_on_with(&mut self, input: Input<'_>, now: Instant) -> Result<(), Error> {
        self.handshake.handle(input)?;
        if self.handshake.pending().is_some() {
            return Ok(());
        }
        self.await_peer_again(now);
        self.carry_out(now)?;
        self.give_change_cipher_spec(now)?;
        self.handle_messages(now)?;
        self.open_early(now)
    }

    /// Notes that it is the application's turn, once.
    pub(super) fn note_pending(&mut self, now: Instant) {
        let Phase::Handshaking(handshaking) = &mut self.phase else { return };
        let Some(pending) = self.handshake.pending() else { return };
        if matches!(handshaking.silence, Silence::Ours(_)) {
            return;
        }
        handshaking.silence = Silence::Ours(now);
        self.events.push_back(Event::AnswerWanted);
        // Only a whole flight is answered with a signature: ours has done its work (RFC 6347 §4.2.4, PREPARING).
        if let Pending::Signature { .. } = pending {
            self.outgoing.acknowledge_all();
            self.timer.acknowledged(now);
        }
    }

    /// The peer's turn again, with all the time it had before: it does not pay for ours.
    fn await_peer_again(&mut self, now: Instant) {
        let Phase::Handshaking(handshaking) = &mut self.phase else { return };
        handshaking.silence = match self.outgoing.is_acknowledged() {
            true => Silence::Since(now),
            false => Silence::NotAwaiting,
        };
        if !self.outgoing.is_acknowledged() {
            self.timer.restart(now);
        }
    }
}
