//! Floor 2: who the peer is. Judges a certificate chain by the application's policy; knows no message and no state.
//!
//! A judgement in the peer's favour is a [`PeerVerified`], which the handshake's later states hold: without one there is
//! no Finished of ours.

mod fingerprint;

pub use fingerprint::{Fingerprint, InvalidFingerprint};

use crate::error::Error;
use crate::wire::AlertDescription;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DistinguishedName, OtherError};
use std::sync::Arc;

/// Proof that the policy accepts the peer's chain. Only this floor makes one.
#[derive(Debug)]
pub(crate) struct PeerVerified {
    fault: Fault,
}

/// What the policy has found wrong with a chain that it accepts all the same: the alert of a refusal.
pub(crate) type Fault = Option<AlertDescription>;

impl PeerVerified {
    pub(crate) const fn fault(&self) -> Fault {
        self.fault
    }
}

/// What came of judging a chain, where that is no refusal.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// The policy accepts it.
    Accepted(PeerVerified),
    /// The application will say later.
    Later,
}

impl Judgement {
    /// What the application makes of a chain: a verifier's answer, given at once or later.
    ///
    /// # Errors
    /// [`Error::Certificate`] with the reason, or the alert that was chosen.
    pub(crate) fn of(verdict: Result<(), rustls::Error>) -> Result<Self, Error> {
        match verdict.map_err(certificate_error) {
            Ok(()) => Ok(Self::Accepted(PeerVerified { fault: None })),
            Err(Error::AcceptedDespite(fault)) => Ok(Self::Accepted(PeerVerified { fault: Some(fault) })),
            Err(Error::AnswerLater) => Ok(Self::Later),
            Err(refusal) => Err(refusal),
        }
    }

    /// Both judgements in one: what one leaves open is open, and the first fault is the one.
    pub(crate) fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Later, _) => self,
            (_, Self::Later) => other,
            (Self::Accepted(PeerVerified { fault: None }), _) => other,
            _ => self,
        }
    }
}

/// How a client judges a server.
#[derive(Clone, Debug)]
pub(crate) enum ServerIdentity {
    /// By rustls' verifier or the application's own.
    Verifier(Arc<dyn ServerCertVerifier>),
    /// By the end-entity certificate itself (RFC 8122 §5, RFC 8827 §6.5).
    Fingerprints(Arc<[Fingerprint]>),
    /// By the application, for each association and in its own time.
    Application,
}

/// How a server judges its clients.
#[derive(Clone, Debug)]
pub(crate) enum ClientIdentity {
    /// It asks none for a certificate.
    Unasked,
    /// By rustls' verifier or the application's own, which also says whether a certificate must come.
    Verifier(Arc<dyn ClientCertVerifier>),
    /// By the end-entity certificate itself, which must come.
    Fingerprints(Arc<[Fingerprint]>),
    /// By the application, for each association and in its own time; a certificate must come.
    Application,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked and may refuse.
    Optional,
    /// They are asked and must.
    Required,
}

impl ServerIdentity {
    /// Judges the server's chain, end entity first, and the OCSP response that came along, empty if none did.
    ///
    /// # Errors
    /// [`Error::Certificate`] with the verifier's reason.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<Judgement, Error> {
        let (end_entity, intermediates) = split(chain)?;
        match (self, name) {
            (Self::Verifier(verifier), Some(name)) => {
                let verified = verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
                Judgement::of(verified.map(drop))
            }
            // A verifier judges a name; the configuration is checked for one before a connection exists.
            (Self::Verifier(_), None) => Err(Error::Certificate(CertificateError::NotValidForName)),
            (Self::Fingerprints(accepted), _) => by_fingerprint(accepted, end_entity),
            (Self::Application, _) => Ok(Judgement::Later),
        }
    }

    /// Whether the policy judges names, so that there must be one.
    pub(crate) const fn needs_name(&self) -> bool {
        matches!(self, Self::Verifier(_))
    }
}

impl ClientIdentity {
    /// Whether clients show a certificate.
    pub(crate) fn client_auth(&self) -> ClientAuth {
        match self {
            Self::Unasked => ClientAuth::None,
            // The other methods of a verifier that does not ask may panic.
            Self::Verifier(verifier) if !verifier.offer_client_auth() => ClientAuth::None,
            Self::Verifier(verifier) if !verifier.client_auth_mandatory() => ClientAuth::Optional,
            Self::Verifier(_) | Self::Fingerprints(_) | Self::Application => ClientAuth::Required,
        }
    }

    /// The distinguished names to hint at in a CertificateRequest.
    pub(crate) fn authorities(&self) -> &[DistinguishedName] {
        match self {
            Self::Verifier(verifier) if verifier.offer_client_auth() => {
                let hints = verifier.root_hint_subjects();
                if hints_fit(hints) { hints } else { &[] }
            }
            Self::Unasked | Self::Verifier(_) | Self::Fingerprints(_) | Self::Application => &[],
        }
    }

    /// Judges a client's chain, end entity first.
    ///
    /// # Errors
    /// [`Error::Certificate`] with the verifier's reason.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Judgement, Error> {
        let (end_entity, intermediates) = split(chain)?;
        match self {
            Self::Unasked => Err(Error::Certificate(CertificateError::ApplicationVerificationFailure)),
            // The other methods of a verifier that does not ask may panic.
            Self::Verifier(verifier) if !verifier.offer_client_auth() => Self::Unasked.verify(chain, now),
            Self::Verifier(verifier) => {
                let verified = verifier.verify_client_cert(end_entity, intermediates, now);
                Judgement::of(verified.map(drop))
            }
            Self::Fingerprints(accepted) => by_fingerprint(accepted, end_entity),
            Self::Application => Ok(Judgement::Later),
        }
    }
}

fn by_fingerprint(accepted: &[Fingerprint], end_entity: &CertificateDer<'_>) -> Result<Judgement, Error> {
    fingerprint::verify(accepted, end_entity).map(|()| Judgement::Accepted(PeerVerified { fault: None }))
}

fn split<'c, 'd>(chain: &'c [CertificateDer<'d>]) -> Result<(&'c CertificateDer<'d>, &'c [CertificateDer<'d>]), Error> {
    chain.split_first().ok_or(Error::NoCertificate)
}

/// A verifier may answer with any of rustls' errors; those that are no [`CertificateError`] are kept whole, and the alert
/// is certificate_unknown. One that answers with our [`Error::Application`] inside has chosen the alert itself.
fn certificate_error(error: rustls::Error) -> Error {
    match Error::inside(&error) {
        Some(own) => own,
        None => Error::Certificate(match error {
            rustls::Error::InvalidCertificate(reason) => reason,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        }),
    }
}

/// Whether the names fit in a CertificateRequest. Where they do not, none is sent: they are hints, and the list may be
/// empty (RFC 5246 §7.4.4) or left out (RFC 8446 §4.2.4).
fn hints_fit(hints: &[DistinguishedName]) -> bool {
    let octets = hints.iter().map(|name| name.as_ref().len().saturating_add(NAME_PREFIX));
    // DistinguishedName<1..2^16-1>
    hints.iter().all(|name| !name.as_ref().is_empty()) && octets.fold(0, usize::saturating_add) <= MAX_HINTS
}

/// Octets of the length before each DistinguishedName.
const NAME_PREFIX: usize = 2;

/// Octets of names in a CertificateRequest: half of what the 16-bit length around them could say, for the other
/// extensions need room too.
const MAX_HINTS: usize = 1 << 15;

#[cfg(test)]
mod tests;
