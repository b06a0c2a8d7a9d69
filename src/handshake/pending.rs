//! What the application answers in its own time: a signature of a key that lies elsewhere, a verdict about the peer's chain.
//!
//! The handshake stops in one of two states until the answer comes as an input. What it goes on with is the state of a
//! version's file; this one knows no version.

use super::authentication::{Judged, TrustedChain, UnjudgedChain};
use super::signature::Signing;
use super::{Handshake, Input, Outbox, State, client_finish12, client12, client13, server12, server13};
use crate::error::{ApiMisuse, Error};
use crate::verify::Judgement;
use crate::wire::{SignatureScheme, certificate::DigitallySigned};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, Signer};
use std::sync::Arc;

/// What an association waits for, from [`Connection::pending`](crate::Connection::pending).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Pending<'a> {
    /// A signature by the private key of our certificate, to be handed in by
    /// [`Connection::provide_signature`](crate::Connection::provide_signature).
    #[non_exhaustive]
    Signature {
        /// Our chain, end entity first: it tells which key is meant.
        certificates: &'a [CertificateDer<'static>],
        /// How to sign: the hash of the message is part of the scheme (RFC 8446 §4.2.3).
        scheme: SignatureScheme,
        /// What is signed, not hashed yet.
        message: &'a [u8],
    },
    /// A verdict about the peer's chain, to be handed in by
    /// [`Connection::provide_verdict`](crate::Connection::provide_verdict). That the peer holds the private key of the end
    /// entity is proven later, and is none of the application's business.
    #[non_exhaustive]
    Verdict {
        /// The peer's chain as it was sent, end entity first.
        certificates: &'a [CertificateDer<'static>],
        /// At a client: the OCSP response that the server stapled, empty if none (RFC 6066 §8).
        ocsp_response: &'a [u8],
        /// At a client: whom it wants to talk to (RFC 9525).
        server_name: Option<&'a ServerName<'static>>,
    },
}

impl Handshake {
    /// What the application owes, if anything: as long as it does, no message of the peer's may be given.
    pub(crate) fn pending(&self) -> Option<Pending<'_>> {
        match &self.state {
            State::AwaitSignature(state) => Some(state.pending()),
            State::AwaitVerdict(state) => Some(state.pending()),
            _ => None,
        }
    }

    /// Whether an input may come now, as far as answers are concerned.
    pub(super) fn check_answer(&self, input: &Input<'_>) -> Result<(), Error> {
        match (input, &self.state) {
            (Input::Signature(_), State::AwaitSignature(_)) | (Input::Verdict(_), State::AwaitVerdict(_)) => Ok(()),
            (Input::Signature(_) | Input::Verdict(_), _) => Err(ApiMisuse::NotPending.into()),
            (Input::Message(_) | Input::ChangeCipherSpec, State::AwaitSignature(_) | State::AwaitVerdict(_)) => {
                Err(ApiMisuse::HandshakeNotComplete.into())
            }
            _ => Ok(()),
        }
    }
}

/// A signature of ours is due. What was prepared of the flight before it is held back: it goes out whole.
pub(super) struct AwaitSignature {
    certified: Arc<CertifiedKey>,
    scheme: SignatureScheme,
    message: Vec<u8>,
    next: OnceSigned,
}

/// Who goes on with the signature.
pub(super) enum OnceSigned {
    Client12(Box<client12::Progress>),
    Client13(Box<client13::Unsigned>),
    Server12(Box<server12::Unsigned>),
    Server13(Box<server13::Unsigned>),
}

/// What goes on with a signature.
pub(super) trait AfterSignature {
    fn signed(self, signed: &DigitallySigned<'_>, out: &mut Outbox) -> Result<State, Error>;
    fn later(self) -> OnceSigned;
}

/// Signs and goes on, or waits for the signature.
pub(super) fn sign(
    certified: Arc<CertifiedKey>,
    signer: &dyn Signer,
    message: Vec<u8>,
    next: impl AfterSignature,
    out: &mut Outbox,
) -> Result<State, Error> {
    let scheme = signer.scheme().into();
    match Signing::ask(signer, &message)? {
        Signing::Done(signature) => next.signed(&DigitallySigned { scheme, signature: &signature }, out),
        Signing::Later => {
            let next = next.later();
            Ok(State::AwaitSignature(Box::new(AwaitSignature { certified, scheme, message, next })))
        }
    }
}

impl AwaitSignature {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Input::Signature(signature) = input else { return Err(ApiMisuse::HandshakeNotComplete.into()) };
        match Signing::of(signature.map(<[u8]>::to_vec).map_err(Clone::clone))? {
            Signing::Done(signature) => {
                let signed = DigitallySigned { scheme: self.scheme, signature: &signature };
                match self.next {
                    OnceSigned::Client12(next) => next.signed(&signed, out),
                    OnceSigned::Client13(next) => next.signed(&signed, out),
                    OnceSigned::Server12(next) => next.signed(&signed, out),
                    OnceSigned::Server13(next) => next.signed(&signed, out),
                }
            }
            Signing::Later => Ok(State::AwaitSignature(Box::new(self))),
        }
    }

    fn pending(&self) -> Pending<'_> {
        let Self { certified, scheme, message, .. } = self;
        Pending::Signature { certificates: &certified.cert, scheme: *scheme, message }
    }
}

/// The peer's chain came, and the application has yet to say what it thinks of it.
pub(super) struct AwaitVerdict {
    chain: UnjudgedChain,
    next: OnceJudged,
}

/// Who goes on with a chain that is trusted.
pub(super) enum OnceJudged {
    Client12(Box<client12::ExpectCertificate>),
    WithoutStatus12(Box<client12::WithoutStatus>),
    Client13(Box<client13::ExpectCertificate>),
    Resumption12(Box<client_finish12::Resumed>),
    Resumption13(Box<client13::Resumption>),
    Server12(Box<server12::ExpectCertificate>),
    Server13(Box<server13::ExpectCertificate>),
}

/// What goes on with a chain that is trusted.
pub(super) trait AfterVerdict {
    fn trusted(self, chain: TrustedChain, out: &mut Outbox) -> Result<State, Error>;
    fn later(self) -> OnceJudged;
}

/// Goes on with a chain that was judged, or waits for the verdict.
pub(super) fn go_on(judged: Judged, next: impl AfterVerdict, out: &mut Outbox) -> Result<State, Error> {
    match judged {
        Judged::Trusted(chain) => next.trusted(chain, out),
        Judged::Later(chain) => Ok(State::AwaitVerdict(Box::new(AwaitVerdict { chain, next: next.later() }))),
    }
}

impl AwaitVerdict {
    pub(super) fn handle(self, input: Input<'_>, out: &mut Outbox) -> Result<State, Error> {
        let Input::Verdict(verdict) = input else { return Err(ApiMisuse::HandshakeNotComplete.into()) };
        let Self { chain, next } = self;
        match chain.judged(Judgement::of(verdict.map_err(Clone::clone))?) {
            Judged::Trusted(chain) => match next {
                OnceJudged::Client12(next) => next.trusted(chain, out),
                OnceJudged::WithoutStatus12(next) => next.trusted(chain, out),
                OnceJudged::Client13(next) => next.trusted(chain, out),
                OnceJudged::Resumption12(next) => next.trusted(chain, out),
                OnceJudged::Resumption13(next) => next.trusted(chain, out),
                OnceJudged::Server12(next) => next.trusted(chain, out),
                OnceJudged::Server13(next) => next.trusted(chain, out),
            },
            Judged::Later(chain) => Ok(State::AwaitVerdict(Box::new(Self { chain, next }))),
        }
    }

    fn pending(&self) -> Pending<'_> {
        let server_name = match &self.next {
            OnceJudged::Client12(next) => next.server_name(),
            OnceJudged::WithoutStatus12(next) => next.server_name(),
            OnceJudged::Client13(next) => next.server_name(),
            OnceJudged::Resumption12(next) => next.server_name(),
            OnceJudged::Resumption13(next) => next.server_name(),
            OnceJudged::Server12(_) | OnceJudged::Server13(_) => None,
        };
        let (certificates, ocsp_response) = (self.chain.certificates(), self.chain.ocsp_response());
        Pending::Verdict { certificates, ocsp_response, server_name }
    }
}
