//! The hook that judges the peer's certificate: it accepts any, or none, as the flags say.

use crate::arguments::{OcspCallback, Role, Settings};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use std::sync::Arc;
use udtls::AlertDescription;

#[derive(Debug)]
pub(crate) struct Hook {
    verdict: Verdict,
    certificate_required: bool,
    schemes: Vec<SignatureScheme>,
    answers_later: bool,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Accept,
    /// The handshake goes on, and the application is told.
    AcceptDespite(AlertDescription),
    Refuse(AlertDescription),
}

impl Hook {
    pub(crate) fn new(settings: &Settings) -> Self {
        let verification = &settings.verification;
        let alert = match verification.custom_callback {
            true => AlertDescription::CERTIFICATE_UNKNOWN,
            false => AlertDescription::HANDSHAKE_FAILURE,
        };
        let failing = settings.extensions.ocsp_callback == OcspCallback::Fails;
        let verdict = match (verification.refuse, settings.role) {
            (false, Role::Client) if failing => Verdict::Refuse(AlertDescription::BAD_CERTIFICATE_STATUS_RESPONSE),
            (false, _) => Verdict::Accept,
            (true, Role::Client) if !verification.verify_peer => Verdict::AcceptDespite(alert),
            (true, _) => Verdict::Refuse(alert),
        };
        let schemes = match verification.schemes.as_slice() {
            [] => aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes(),
            schemes => schemes.iter().map(|scheme| SignatureScheme::from(u16::from(*scheme))).collect(),
        };
        Self {
            verdict,
            certificate_required: verification.certificate_required,
            schemes,
            answers_later: settings.conduct.answers_later,
        }
    }

    fn asked(&self) -> Result<(), Error> {
        match self.answers_later {
            true => Err(udtls::Error::AnswerLater.into()),
            false => self.judge(),
        }
    }

    pub(crate) fn judge(&self) -> Result<(), Error> {
        match self.verdict {
            Verdict::Accept => Ok(()),
            Verdict::AcceptDespite(alert) => Err(udtls::Error::AcceptedDespite(alert).into()),
            Verdict::Refuse(alert) => {
                let reason = OtherError(Arc::new(udtls::Error::Application(alert)));
                Err(Error::InvalidCertificate(CertificateError::Other(reason)))
            }
        }
    }
}

impl ServerCertVerifier for Hook {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.asked().map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("udtls checks signatures itself")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("udtls checks signatures itself")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ClientCertVerifier for Hook {
    fn client_auth_mandatory(&self) -> bool {
        self.certificate_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.asked().map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("udtls checks signatures itself")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("udtls checks signatures itself")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
