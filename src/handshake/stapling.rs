//! What a server sends along with its certificate to clients that ask for it: an OCSP response (RFC 6066 §8, RFC 8446
//! §4.4.2.1) and signed certificate timestamps (RFC 6962 §3.3.1).

use crate::config::Credential;
use crate::wire::{
    enums::ExtensionType,
    extensions::put_extension,
    hello::ClientHello,
    stapling::{put_certificate_status, put_timestamps},
};
use std::sync::Arc;

/// What is sent along; each empty if the client does not ask or there is none.
pub(super) struct Stapled {
    ocsp_response: Arc<[u8]>,
    timestamps: Arc<[u8]>,
}

impl Stapled {
    /// With this certificate to this client.
    pub(super) fn choose(credential: &Credential, hello: &ClientHello<'_>) -> Self {
        let ocsp_response = credential.certified_key().ocsp.as_deref().filter(|_| hello.known.certificates.status);
        let timestamps = Some(credential.timestamps()).filter(|_| hello.known.certificates.timestamps);
        Self {
            ocsp_response: ocsp_response.map_or_else(Arc::default, Into::into),
            timestamps: timestamps.map_or_else(Arc::default, Into::into),
        }
    }

    /// Appends the extensions of a CertificateEntry of DTLS 1.3.
    pub(super) fn put_entry13(&self, out: &mut Vec<u8>) {
        if !self.ocsp_response.is_empty() {
            let status = |out: &mut Vec<u8>| put_certificate_status(out, &self.ocsp_response);
            put_extension(out, ExtensionType::STATUS_REQUEST, status);
        }
        if !self.timestamps.is_empty() {
            put_timestamps(out, &self.timestamps);
        }
    }

    /// Appends the extensions of a ServerHello of DTLS 1.2: the first says that a CertificateStatus follows.
    pub(super) fn put_answers12(&self, out: &mut Vec<u8>) {
        if !self.ocsp_response.is_empty() {
            put_extension(out, ExtensionType::STATUS_REQUEST, |_| ());
        }
        if !self.timestamps.is_empty() {
            put_timestamps(out, &self.timestamps);
        }
    }

    /// The CertificateStatus of DTLS 1.2, if there is to be one.
    pub(super) fn certificate_status12(&self) -> Option<Vec<u8>> {
        (!self.ocsp_response.is_empty()).then(|| {
            let mut body = Vec::with_capacity(self.ocsp_response.len().saturating_add(4));
            put_certificate_status(&mut body, &self.ocsp_response);
            body
        })
    }
}
