//! The key schedule of DTLS 1.2: from a key exchange to a master secret, and from there to keys, `verify_data` and
//! exported keying material. Knows no message.
//!
//! RFC 5246 §6.3, §7.4.9 and §8.1; RFC 7627 §4; RFC 5705 §4.

pub(crate) use crate::crypto::prf::Derivation;

use crate::crypto::{
    KeyExchange, Role,
    prf::{self, MASTER_SECRET_LEN, MAX_KEY_BLOCK_LEN, VERIFY_DATA_LEN},
    secret::Secret,
    suites::{Suite12, TrafficKeys},
};
use crate::error::{ApiMisuse, Error};
use crate::wire::{codec::Reader, hello::Random};
use rustls::KeyLog;
use rustls::crypto::hash::Output;
use zeroize::Zeroizing;

/// `ClientHello.random` and `ServerHello.random`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Randoms {
    pub(crate) client: Random,
    pub(crate) server: Random,
}

/// The master secret of an association, with what is needed to derive from it.
#[derive(Clone, Debug)]
pub(crate) struct MasterSecret {
    suite: Suite12,
    secret: Secret,
    derivation: Derivation,
    randoms: Randoms,
}

/// The key block, split (RFC 5246 §6.3).
#[derive(Debug)]
pub(crate) struct KeyBlock {
    /// What the client writes with.
    pub(crate) client: TrafficKeys,
    /// What the server writes with.
    pub(crate) server: TrafficKeys,
}

/// The peer's half of a key exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerShare<'a> {
    /// Who sent it.
    pub(crate) sender: Role,
    pub(crate) public: &'a [u8],
}

impl MasterSecret {
    /// PRF(pre_master_secret, "extended master secret", session_hash) (RFC 7627 §4). `session_hash` covers everything
    /// up to and including the ClientKeyExchange.
    pub(crate) fn extended(
        suite: Suite12,
        key_exchange: KeyExchange,
        share: PeerShare<'_>,
        session_hash: &Output,
        randoms: Randoms,
    ) -> Result<Self, Error> {
        let seed = session_hash.as_ref();
        let secret = from_key_exchange(&suite, key_exchange, share, b"extended master secret", seed)?;
        Ok(Self { suite, secret, derivation: Derivation::Extended, randoms })
    }

    /// PRF(pre_master_secret, "master secret", ClientHello.random + ServerHello.random) (RFC 5246 §8.1).
    pub(crate) fn legacy(
        suite: Suite12,
        key_exchange: KeyExchange,
        share: PeerShare<'_>,
        randoms: Randoms,
    ) -> Result<Self, Error> {
        let seed = concat(&randoms.client, &randoms.server);
        let secret = from_key_exchange(&suite, key_exchange, share, b"master secret", &seed)?;
        Ok(Self { suite, secret, derivation: Derivation::Legacy, randoms })
    }

    /// The master secret of an earlier session, under new randoms (RFC 5246 §7.3).
    pub(crate) const fn resumed(suite: Suite12, secret: Secret, derivation: Derivation, randoms: Randoms) -> Self {
        Self { suite, secret, derivation, randoms }
    }

    /// What a session keeps.
    pub(crate) const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether extended_master_secret was negotiated: a session keeps this too (RFC 7627 §5.4).
    pub(crate) const fn derivation(&self) -> Derivation {
        self.derivation
    }

    /// Hands the secret to the application's key log (RFC 9850 §2.2).
    pub(crate) fn log(&self, key_log: &dyn KeyLog) {
        if key_log.will_log(LOG_LABEL) {
            key_log.log(LOG_LABEL, &self.randoms.client, self.secret.as_ref());
        }
    }

    /// PRF(master_secret, "key expansion", server_random + client_random), split (RFC 5246 §6.3).
    pub(crate) fn key_block(&self) -> Result<KeyBlock, Error> {
        let mut block = Zeroizing::new([0; MAX_KEY_BLOCK_LEN]);
        let block = block.get_mut(..prf::key_block_len(self.suite.aead)).ok_or(Error::Provider)?;
        let seed = concat(&self.randoms.server, &self.randoms.client);
        prf::expand(self.suite.prf(), self.secret.as_ref(), b"key expansion", &seed, block)?;

        let aead = self.suite.aead;
        let mut reader = Reader::new(block);
        let mut next = |len| Secret::new(reader.take(len).map_err(|_| Error::Provider)?);
        let client_key = next(aead.key_len())?;
        let server_key = next(aead.key_len())?;
        let client_iv = next(aead.fixed_iv_len())?;
        let server_iv = next(aead.fixed_iv_len())?;
        Ok(KeyBlock {
            client: TrafficKeys::Dtls12 { aead, key: client_key, fixed_iv: client_iv },
            server: TrafficKeys::Dtls12 { aead, key: server_key, fixed_iv: server_iv },
        })
    }

    /// PRF(master_secret, finished_label, Hash(handshake_messages))[0..11] of the Finished that `sender` sends
    /// (RFC 5246 §7.4.9).
    pub(crate) fn verify_data(&self, sender: Role, transcript: &Output) -> Result<[u8; VERIFY_DATA_LEN], Error> {
        let label: &[u8] = match sender {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let mut out = [0; VERIFY_DATA_LEN];
        prf::expand(self.suite.prf(), self.secret.as_ref(), label, transcript.as_ref(), &mut out)?;
        Ok(out)
    }

    /// Exported keying material (RFC 5705 §4). No context and an empty one give different values.
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Error> {
        // "it MUST disable [RFC5705]" (RFC 7627 §5.4).
        if self.derivation == Derivation::Legacy {
            return Err(ApiMisuse::ExporterUnavailable.into());
        }
        self.export_unbound(label, context, out)
    }

    /// The same, bound to the handshake or not: the application bears the risk.
    pub(crate) fn export_unbound(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Error> {
        if RESERVED_LABELS.contains(&label) {
            return Err(ApiMisuse::ExporterUnavailable.into());
        }
        let mut seed = concat(&self.randoms.client, &self.randoms.server).to_vec();
        if let Some(context) = context {
            let length = u16::try_from(context.len()).map_err(|_| ApiMisuse::ExportTooLong)?;
            seed.extend_from_slice(&length.to_be_bytes());
            seed.extend_from_slice(context);
        }
        let seed = Zeroizing::new(seed);
        prf::expand(self.suite.prf(), self.secret.as_ref(), label, &seed, out)
    }
}

fn from_key_exchange(
    suite: &Suite12,
    key_exchange: KeyExchange,
    share: PeerShare<'_>,
    label: &[u8],
    seed: &[u8],
) -> Result<Secret, Error> {
    let mut out = Zeroizing::new([0; MASTER_SECRET_LEN]);
    key_exchange.complete_into_prf((share.sender, share.public), suite.prf(), label, seed, &mut out)?;
    Secret::new(out.as_ref())
}

fn concat(first: &Random, second: &Random) -> [u8; 64] {
    let mut both = [0; 64];
    let (left, right) = both.split_at_mut(32);
    left.copy_from_slice(first);
    right.copy_from_slice(second);
    both
}

/// The key log's label (RFC 9850 §2.2).
const LOG_LABEL: &str = "CLIENT_RANDOM";

/// Labels that the protocol itself gives to the PRF (RFC 5705 §4, RFC 7627 §4).
const RESERVED_LABELS: &[&[u8]] =
    &[b"client finished", b"server finished", b"master secret", b"key expansion", b"extended master secret"];

#[cfg(test)]
mod tests;
