//! Tickets that need no memory at the server: sealed with AES-256-GCM, under a key for each period that follows from one
//! secret (RFC 5077 §4, RFC 8446 §4.6.1).
//!
//! ```text
//! period secret = HMAC-SHA256(secret, "udtls ticket" || period)        period = unix time / length
//! ticket        = period (8) || salt (16) || nonce (12) || AES-256-GCM(HMAC-SHA256(period secret, salt), nonce, plaintext)
//! ```
//!
//! Every node that has the secret opens every other's tickets, with no message between them. A key of its own for each salt
//! lets any number of tickets be made under one secret, however many nodes draw at random.

use super::ConfigError;
use super::session::MAX_LIFETIME;
use crate::crypto::{self, aead::AeadKey, suites::AeadAlgorithm};
use crate::wire::codec::Reader;
use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// Seals and opens tickets, for [`ServerConfig::set_ticketer`](crate::ServerConfig::set_ticketer). A server has one of its
/// own by default; one that is made [`from_secret`](Self::from_secret) may be shared by a fleet.
///
/// A ticket opens for as long as it lives, and up to twice as long, after which its key is gone. Whoever learns the secret can
/// open all tickets: change it as often as forward secrecy demands.
#[derive(Clone)]
pub struct Ticketer {
    secret: Zeroizing<[u8; 32]>,
    provider: Arc<CryptoProvider>,
    time_provider: Arc<dyn TimeProvider>,
    lifetime: u32,
}

impl Ticketer {
    /// With a secret drawn from the provider: only this process opens its tickets.
    ///
    /// # Errors
    /// [`ConfigError::Provider`] if there is no randomness.
    pub fn new(provider: Arc<CryptoProvider>, time_provider: Arc<dyn TimeProvider>) -> Result<Self, ConfigError> {
        let secret = crypto::random_secret(&provider).map_err(|_| ConfigError::Provider)?;
        Ok(Self { secret, provider, time_provider, lifetime: DEFAULT_LIFETIME })
    }

    /// With this secret, which must be random: whoever has it opens the tickets, if its clock is right and the lifetime the
    /// same.
    pub fn from_secret(
        mut secret: [u8; 32],
        provider: Arc<CryptoProvider>,
        time_provider: Arc<dyn TimeProvider>,
    ) -> Self {
        let kept = Zeroizing::new(secret);
        // What was handed over is a copy.
        secret.zeroize();
        Self { secret: kept, provider, time_provider, lifetime: DEFAULT_LIFETIME }
    }

    /// How long tickets live, in whole seconds, one at least and seven days at most (RFC 8446 §4.6.1). Default: 12 hours.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(MAX_LIFETIME).clamp(1, MAX_LIFETIME);
        self
    }

    /// Seals `plain` at this time.
    pub(super) fn seal(&self, plain: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        let period = self.period(now);
        let random: [u8; SALT_LEN + AeadAlgorithm::NONCE_LEN] = crypto::random(&self.provider).ok()?;
        let (salt, nonce) = random.split_first_chunk::<SALT_LEN>()?;
        let mut ticket = Vec::with_capacity(plain.len().checked_add(OVERHEAD)?);
        ticket.extend_from_slice(&period.to_be_bytes());
        ticket.extend_from_slice(&random);
        let mut body = Zeroizing::new(plain.to_vec());
        let mut tag = [0; AeadAlgorithm::TAG_LEN];
        self.key(period, salt)?.seal(nonce.try_into().ok()?, &ticket, &mut body, &mut tag).ok()?;
        ticket.extend_from_slice(&body);
        ticket.extend_from_slice(&tag);
        Some(ticket)
    }

    /// Opens a ticket sealed in this period, the one before, or, by a node whose clock is ahead, the next.
    pub(super) fn open(&self, ticket: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        let mut r = Reader::new(ticket);
        let period = u64::from_be_bytes(r.array().ok()?);
        if period.abs_diff(self.period(now)) > 1 {
            return None;
        }
        let (salt, nonce) = (r.array::<SALT_LEN>().ok()?, r.array().ok()?);
        let head = ticket.get(..HEAD_LEN)?;
        let mut body = r.take(r.remaining()).ok()?.to_vec();
        let length = self.key(period, &salt)?.open(nonce, head, &mut body)?;
        body.truncate(length);
        Some(body)
    }

    /// Whether the ticket was sealed in an earlier period, so that its key is forgotten with this one.
    pub(super) fn is_stale(&self, ticket: &[u8], now: UnixTime) -> bool {
        Reader::new(ticket).array().is_ok_and(|period| u64::from_be_bytes(period) < self.period(now))
    }

    fn period(&self, now: UnixTime) -> u64 {
        now.as_secs().checked_div(u64::from(self.lifetime)).unwrap_or_default()
    }

    fn key(&self, period: u64, salt: &[u8; SALT_LEN]) -> Option<AeadKey> {
        let period = mac(&*self.secret, &[LABEL, &period.to_be_bytes()])?;
        let key = mac(&*period, &[salt])?;
        AeadKey::new(AeadAlgorithm::Aes256Gcm, &*key).ok()
    }
}

/// HMAC-SHA256 of all parts together: a key, written where it is kept.
fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Zeroizing<[u8; 32]>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    let mut out = Zeroizing::new([0; 32]);
    mac.finalize_into((&mut *out).into());
    Some(out)
}

/// What the key is for.
const LABEL: &[u8] = b"udtls ticket";
/// So many octets are never drawn twice in a period.
const SALT_LEN: usize = 16;
/// Period, salt and nonce.
const HEAD_LEN: usize = 8 + SALT_LEN + AeadAlgorithm::NONCE_LEN;
/// By how much a ticket is longer than what it holds.
const OVERHEAD: usize = HEAD_LEN + AeadAlgorithm::TAG_LEN;
/// Seconds: half a day.
pub(super) const DEFAULT_LIFETIME: u32 = 43_200;

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, self.time_provider.current_time()?)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, self.time_provider.current_time()?)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::time_provider::DefaultTimeProvider;

    fn ticketer(secret: u8) -> Ticketer {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ticketer::from_secret([secret; 32], provider, Arc::new(DefaultTimeProvider))
            .with_lifetime(Duration::from_secs(1000))
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_fleet_with_one_secret_opens_each_others_tickets() {
        let ticket = ticketer(1).seal(b"session", at(5_000)).unwrap();
        assert_eq!(ticketer(1).open(&ticket, at(5_000)).as_deref(), Some(&b"session"[..]));
        assert_eq!(ticketer(2).open(&ticket, at(5_000)), None);
        assert_eq!(ticket.len(), OVERHEAD + 7);
    }

    #[test]
    fn a_ticket_opens_in_its_period_and_those_beside_it() {
        let ticket = ticketer(1).seal(b"session", at(5_999)).unwrap();
        for (now, opens) in [(3_999, false), (4_000, true), (6_999, true), (7_000, false), (u64::MAX, false)] {
            assert_eq!(ticketer(1).open(&ticket, at(now)).is_some(), opens, "at {now}");
        }
    }

    /// Nothing forged, truncated or swapped opens.
    #[test]
    fn m1_no_changed_ticket_opens() {
        let ticketer = ticketer(1);
        let ticket = ticketer.seal(b"session", at(5_000)).unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut forged = ticket.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ticketer.open(&forged, at(5_000)), None, "bit {bit}");
        }
        for length in 0..ticket.len() {
            assert_eq!(ticketer.open(&ticket[..length], at(5_000)), None, "cut at {length}");
        }
        assert_eq!(ticketer.open(&[&ticket[..], b"!"].concat(), at(5_000)), None);
    }

    #[test]
    fn nothing_secret_shows() {
        assert_eq!(format!("{:?}", ticketer(1)), "Ticketer { lifetime: 1000, .. }");
        let ticket = ticketer(1).seal(b"session", at(0)).unwrap();
        assert!(!ticket.windows(7).any(|window| window == b"session"));
        assert_ne!(ticket, ticketer(1).seal(b"session", at(0)).unwrap());
    }
}
