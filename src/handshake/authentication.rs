//! What both ends of DTLS 1.3 do with certificates, and the witnesses that a peer is who it must be
//! (RFC 8446 §4.4.2–§4.4.4), which serve DTLS 1.2 too.

use super::negotiate::HandshakeKind;
use super::signature::{self, SignatureContext, SignatureVerified};
use super::transcript::Transcript;
use super::{HANDSHAKE_EPOCH, Outbox, compression13};
use crate::config::{PeerCredentials, SessionState};
use crate::crypto::{self, Role};
use crate::error::{Error, PeerMisbehaved};
use crate::verify::{Judgement, PeerVerified};
use crate::wire::{
    Malformed, SignatureScheme,
    certificate::{Certificate13, DigitallySigned},
    enums::{ExtensionType, HandshakeType},
    stapling::Staples,
};
use rustls::compress::CertCompressor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

/// A chain that was not judged yet.
pub(super) struct UnjudgedChain {
    peer: PeerCredentials,
}

/// What came of judging a chain.
pub(super) enum Judged {
    Trusted(TrustedChain),
    /// The application will say later.
    Later(UnjudgedChain),
}

impl UnjudgedChain {
    pub(super) fn judged(self, judgement: Judgement) -> Judged {
        match judgement {
            Judgement::Accepted(verified) => {
                let peer = PeerCredentials { fault: verified.fault(), ..self.peer };
                Judged::Trusted(TrustedChain { peer, verified })
            }
            Judgement::Later => Judged::Later(self),
        }
    }

    /// End entity first.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer.certificates
    }

    /// Empty if there is none.
    pub(super) fn ocsp_response(&self) -> &[u8] {
        &self.peer.ocsp_response
    }
}

/// A chain that the verifier trusts; whether it is the peer's own is not known yet.
pub(super) struct TrustedChain {
    peer: PeerCredentials,
    verified: PeerVerified,
}

/// Witness: the peer's chain is trusted, and it holds the end entity's private key.
pub(super) struct Authenticated {
    scheme: SignatureScheme,
    peer: PeerCredentials,
    proof: Proof,
}

/// When a peer proved who it is.
#[derive(Clone, Copy)]
enum Proof {
    InThisHandshake,
    /// In the handshake that this one resumes, at this unix time: that it has the secret of that one proves that it is the same.
    Earlier(u64),
}

impl TrustedChain {
    /// Has a chain, end entity first, judged by `verify`, with what came along.
    pub(super) fn verify(
        chain: &[&[u8]],
        staples: Staples<'_>,
        verify: impl FnOnce(&PeerCredentials) -> Result<Judgement, Error>,
    ) -> Result<Judged, Error> {
        let certificates = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let Staples { ocsp_response, timestamps } = staples;
        let shared = |octets: &[u8]| if octets.is_empty() { Arc::default() } else { octets.into() };
        let (ocsp_response, timestamps) = (shared(ocsp_response), shared(timestamps));
        let peer = PeerCredentials { certificates, ocsp_response, timestamps, fault: None };
        Self::verify_again(peer, verify)
    }

    /// Has judged what was accepted in an earlier handshake.
    pub(super) fn verify_again(
        peer: PeerCredentials,
        verify: impl FnOnce(&PeerCredentials) -> Result<Judgement, Error>,
    ) -> Result<Judged, Error> {
        let judgement = verify(&peer)?;
        Ok(UnjudgedChain { peer }.judged(judgement))
    }

    /// Of what is resumed, as it was judged now: that it is the peer's own was proven before.
    pub(super) fn into_resumed(self) -> PeerCredentials {
        self.peer
    }

    /// Reads a CertificateVerify by `signer` and checks it against the transcript before it (RFC 8446 §4.4.3).
    /// `offered` are the schemes that we told the peer.
    pub(super) fn verify_signature(
        self,
        signer: Role,
        provider: &CryptoProvider,
        offered: &[SignatureScheme],
        transcript: &Transcript,
        body: &[u8],
    ) -> Result<Authenticated, Error> {
        let signed = DigitallySigned::read_certificate_verify(body)?;
        let content = signature::certificate_verify_content(signer, &transcript.current_hash());
        self.verify_signed(provider, SignatureContext::CertificateVerify13, offered, &content, &signed)
    }

    /// Checks a signature over `content`, of either version, by the end entity's key.
    pub(super) fn verify_signed(
        self,
        provider: &CryptoProvider,
        context: SignatureContext,
        offered: &[SignatureScheme],
        content: &[u8],
        signed: &DigitallySigned<'_>,
    ) -> Result<Authenticated, Error> {
        let end_entity = self.peer.certificates.first().ok_or(Malformed::BadLength)?;
        let verified = signature::verify_signature(provider, context, offered, end_entity, content, signed)?;
        Ok(Authenticated::new(self.verified, verified, signed.scheme, self.peer))
    }
}

impl Authenticated {
    /// Takes both witnesses.
    fn new(_: PeerVerified, _: SignatureVerified, scheme: SignatureScheme, peer: PeerCredentials) -> Self {
        Self { scheme, peer, proof: Proof::InThisHandshake }
    }

    /// The peer of the handshake that is resumed. Its Finished, which is yet to come, proves that it has the secret of that one.
    pub(super) fn resumed(session: SessionState) -> Self {
        let SessionState { signature_scheme, peer, times, .. } = session;
        Self { scheme: signature_scheme, peer, proof: Proof::Earlier(times.authenticated) }
    }

    pub(super) const fn kind(&self) -> HandshakeKind {
        match self.proof {
            Proof::InThisHandshake => HandshakeKind::Full,
            Proof::Earlier(_) => HandshakeKind::Resumed,
        }
    }

    /// The unix time of the proof.
    pub(super) const fn time(&self, now: UnixTime) -> u64 {
        match self.proof {
            Proof::InThisHandshake => now.as_secs(),
            Proof::Earlier(time) => time,
        }
    }

    /// The scheme of the peer's signature.
    pub(super) const fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The chain as it was sent, and what came with it.
    pub(super) fn into_peer(self) -> PeerCredentials {
        self.peer
    }
}

/// Checks a Certificate of the handshake: no context, and no extension that was not asked for (RFC 8446 §4.4.2).
pub(super) fn read_certificate<'a>(
    body: &'a [u8],
    sent: impl Fn(ExtensionType) -> bool,
) -> Result<Certificate13<'a>, Error> {
    let certificate = Certificate13::read(body)?;
    if !certificate.context.is_empty() {
        return Err(PeerMisbehaved::NonEmptyCertificateContext.into());
    }
    const ALLOWED: &[ExtensionType] = &[ExtensionType::STATUS_REQUEST, ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP];
    let mut types = certificate.extensions.iter().flat_map(|entry| entry.iter().map(|(ty, _)| ty));
    match types.find(|ty| !(sent(*ty) && ALLOWED.contains(ty))) {
        Some(ty) if sent(ty) => Err(PeerMisbehaved::ExtensionInWrongMessage.into()),
        Some(_) => Err(PeerMisbehaved::UnsolicitedExtension.into()),
        None => Ok(certificate),
    }
}

/// Witness: the peer saw the same handshake and holds its keys.
#[derive(Debug)]
pub(super) struct FinishedVerified(());

/// Compares `verify_data` with what it must be, in constant time. One of another length is as wrong as any
/// (RFC 8446 §4.4.4, RFC 5246 §7.4.9).
pub(super) fn verify_finished(expected: &[u8], received: &[u8]) -> Result<FinishedVerified, Error> {
    match crypto::constant_time_eq(expected, received) {
        true => Ok(FinishedVerified(())),
        false => Err(PeerMisbehaved::FinishedMismatch.into()),
    }
}

/// Sends a Certificate under handshake keys; `extensions` writes those of the end entity. Its context is empty, as always in a handshake (RFC 8446 §4.4.2).
pub(super) fn send_certificate(
    chain: &[CertificateDer<'_>],
    extensions: impl FnOnce(&mut Vec<u8>),
    compressor: Option<&'static dyn CertCompressor>,
    transcript: &mut Transcript,
    out: &mut Outbox,
) -> Result<(), Error> {
    let len = chain
        .iter()
        .fold(ENTRY_LEN, |sum, certificate| sum.saturating_add(certificate.len()).saturating_add(ENTRY_LEN));
    let mut body = Vec::with_capacity(len);
    Certificate13::put(&mut body, &[], chain.iter().map(AsRef::as_ref), extensions);
    compression13::send(body, compressor, transcript, out)
}

/// Sends the CertificateVerify (RFC 8446 §4.4.3).
pub(super) fn send_certificate_verify(
    signed: &DigitallySigned<'_>,
    transcript: &mut Transcript,
    out: &mut Outbox,
) -> Result<(), Error> {
    let mut body = Vec::with_capacity(signed.signature.len().saturating_add(ENTRY_LEN));
    signed.put(&mut body);
    out.send(HANDSHAKE_EPOCH, HandshakeType::CERTIFICATE_VERIFY, body, transcript)
}

/// Octets of lengths around a certificate or a signature, at most, and of what stands before a list of certificates: room for
/// a message is made once if nothing optional is in it.
const ENTRY_LEN: usize = 5;
