//! What both ends of DTLS 1.2 do alike: extended master secret, keys, ChangeCipherSpec and Finished
//! (RFC 5246 §7.1, §7.4.9, §8.1; RFC 7627 §5; RFC 6347 §4.1).

use super::authentication::{FinishedVerified, verify_finished};
use super::schedule12::{Derivation, MasterSecret, PeerShare, Randoms};
use super::transcript::Transcript;
use super::{Effect, Input, Outbox};
use crate::config::ExtendedMasterSecret;
use crate::crypto::{
    KeyExchange, Role,
    suites::{Authentication, Suite12, TrafficKeys},
};
use crate::error::{Error, PeerIncompatible};
use crate::wire::{
    ack::Epoch,
    enums::{ExtensionType, HandshakeType},
    extensions::Extensions,
    handshake::Message,
};
use rustls::SignatureAlgorithm;
use rustls::sign::SigningKey;

/// What follows the ChangeCipherSpec (RFC 6347 §4.1).
pub(super) const PROTECTED_EPOCH: Epoch = Epoch(1);

/// How the master secret is derived, by the extensions of the peer's hello. One that does without extended master
/// secret "SHOULD" be refused (RFC 7627 §5.2), unless the application puts up with it.
pub(super) fn derivation(peer: &Extensions<'_>, policy: ExtendedMasterSecret) -> Result<Derivation, Error> {
    match (peer.flag(ExtensionType::EXTENDED_MASTER_SECRET)?, policy) {
        (true, _) => Ok(Derivation::Extended),
        (false, ExtendedMasterSecret::Optional | ExtendedMasterSecret::OptionalWithExporters) => Ok(Derivation::Legacy),
        (false, ExtendedMasterSecret::Required) => Err(PeerIncompatible::ExtendedMasterSecretRequired.into()),
    }
}

/// The suites that a key can authenticate (RFC 8422 §2, §5.10), if there are any.
pub(super) fn authentication(key: &dyn SigningKey) -> Option<Authentication> {
    match key.algorithm() {
        SignatureAlgorithm::RSA => Some(Authentication::Rsa),
        SignatureAlgorithm::ECDSA | SignatureAlgorithm::ED25519 | SignatureAlgorithm::ED448 => {
            Some(Authentication::Ecdsa)
        }
        _ => None,
    }
}

/// What was agreed on for the keys.
#[derive(Clone, Copy)]
pub(super) struct KeyParameters {
    pub(super) suite: Suite12,
    pub(super) derivation: Derivation,
    pub(super) randoms: Randoms,
}

impl KeyParameters {
    /// The master secret. The transcript holds everything up to and including the ClientKeyExchange (RFC 7627 §3).
    pub(super) fn master_secret(
        self,
        key_exchange: KeyExchange,
        share: PeerShare<'_>,
        transcript: &Transcript,
    ) -> Result<MasterSecret, Error> {
        let Self { suite, derivation, randoms } = self;
        match derivation {
            Derivation::Extended => {
                MasterSecret::extended(suite, key_exchange, share, &transcript.current_hash(), randoms)
            }
            Derivation::Legacy => MasterSecret::legacy(suite, key_exchange, share, randoms),
        }
    }
}

/// The peer's ChangeCipherSpec and nothing else: no handshake message may come in its place (RFC 5246 §7.1, §7.4.9).
pub(super) fn expect_change_cipher_spec(input: Input<'_>) -> Result<(), Error> {
    match input {
        Input::ChangeCipherSpec => Ok(()),
        other => other.expect_one_of(&[]).map(drop),
    }
}

/// Our ChangeCipherSpec, and the Finished under the keys that it announces (RFC 5246 §7.1, §7.4.9).
pub(super) fn send_finished(
    role: Role,
    master: &MasterSecret,
    keys: TrafficKeys,
    transcript: &mut Transcript,
    out: &mut Outbox,
) -> Result<(), Error> {
    let verify_data = master.verify_data(role, &transcript.current_hash())?;
    out.push(Effect::SendChangeCipherSpec { epoch: Epoch::PLAINTEXT });
    out.push(Effect::InstallWrite { epoch: PROTECTED_EPOCH, keys });
    out.send(PROTECTED_EPOCH, HandshakeType::FINISHED, verify_data.to_vec(), transcript)
}

/// The peer's Finished, which confirms everything before it (RFC 5246 §7.4.9).
pub(super) fn receive_finished(
    sender: Role,
    master: &MasterSecret,
    message: &Message<'_>,
    transcript: &mut Transcript,
) -> Result<FinishedVerified, Error> {
    let expected = master.verify_data(sender, &transcript.current_hash())?;
    let verified = verify_finished(&expected, message.body)?;
    transcript.add(message);
    Ok(verified)
}
