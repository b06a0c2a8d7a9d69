//! Cookies: how a server has a client show that it receives at its address, and keeps nothing until it has
//! (RFC 6347 §4.2.1, RFC 8446 §4.2.2, RFC 9147 §5.1).
//!
//! ```text
//!                octets  DTLS 1.2   DTLS 1.3
//! layout and key id   1     x          x
//! time                4     x          x      seconds, see `Clock`
//! suite               2                x
//! group               2                x      that of the key exchange
//! retried share       1                x      whether the HelloRetryRequest asks for a share of it
//! ClientHello1 hash  32, 48            x      of the suite's hash
//! tag            24 / 32    x          x      HMAC-SHA256
//! ```
//!
//! The tag is over all of these, the addresses, and what of a ClientHello never changes: version, random, session id,
//! suites, compression methods (RFC 6347 §4.2.1, RFC 8446 §4.1.2). Nothing in a cookie is believed before the tag is found
//! right, but for the key id.

use super::{CookieFault, Source};
use crate::config::ConfigError;
use crate::crypto;
use crate::wire::{CipherSuite, NamedGroup, codec::Reader, hello::ClientHello};
use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The keys that cookies are made and checked with: the current one and the one before it.
///
/// Either drawn from the system's randomness, for one endpoint, or derived from a secret, for a fleet of endpoints that
/// accept each other's cookies without a message between them. Keys are wiped when they are dropped, and never printed.
pub struct CookieKeys {
    current: Key,
    previous: Key,
    /// Whole seconds, at least one.
    period: u64,
    origin: Origin,
}

/// A key for HMAC-SHA256: as long as its output, which is as long as helps (RFC 2104 §3).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Key {
    /// Of the period: what a cookie says of its key is the low bits.
    number: u64,
    octets: [u8; KEY_LEN],
}

/// Where keys come from.
enum Origin {
    Drawn {
        /// When cookie time began.
        start: Instant,
        /// When the current key is to be replaced.
        due: Instant,
        source: fn(&mut [u8]) -> Result<(), getrandom::Error>,
    },
    Derived {
        secret: Zeroizing<[u8; KEY_LEN]>,
        /// When the keys at hand are to be looked at again.
        due: Instant,
    },
}

/// What time it is, on the two clocks that cookies may go by: seconds since the keys were first drawn, or, for a fleet, unix
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: Instant,
    /// Seconds; 0 where keys do not go by it.
    pub(super) unix: u64,
}

/// What a HelloRetryRequest of ours said and was said to, all of which its cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) suite: CipherSuite,
    /// The group of the key exchange.
    pub(super) group: NamedGroup,
    pub(super) share: RetriedShare,
    pub(super) client_hello_hash: HelloHash,
}

/// Whether a HelloRetryRequest asks for another key share (RFC 8446 §4.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetriedShare {
    /// The ClientHello has the share that is wanted.
    Kept,
    Wanted,
}

/// The hash of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelloHash {
    Sha256([u8; 32]),
    Sha384([u8; 48]),
}

impl HelloHash {
    pub(super) const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(hash) => hash,
            Self::Sha384(hash) => hash,
        }
    }
}

const KEY_LEN: usize = 32;
/// SHA-256's.
const BLOCK_LEN: usize = 64;
const TIME_LEN: usize = 4;
const TAG12_LEN: usize = 24;
const TAG13_LEN: usize = 32;
/// Suite, group and whether its share was wanted.
const CHOICE_LEN: usize = 2 + 2 + 1;
const FRONT_LEN: usize = 1 + TIME_LEN;

/// Octets of a cookie of DTLS 1.2.
pub(super) const COOKIE12_LEN: usize = FRONT_LEN + TAG12_LEN;
/// The most octets of a cookie of DTLS 1.3.
pub(super) const COOKIE13_MAX: usize = FRONT_LEN + CHOICE_LEN + 48 + TAG13_LEN;

// There are clients that drop a HelloVerifyRequest with a longer cookie, whatever RFC 6347 §4.2.1 says.
const _: () = assert!(COOKIE12_LEN <= 32);
// A HelloRetryRequest stays below 180 octets.
const _: () = assert!(COOKIE13_MAX <= 96);

/// Of the first octet, the bits that tell the layout; the others are the key id.
const LAYOUT: u8 = 0b0100_0000;
const KEY_ID_MASK: u8 = 0b0011_1111;

/// What the tag is over begins with this, so that no other use of a secret can give one.
const DOMAIN: &[u8] = b"udtls cookie 1";
/// From a fleet's secret to a period's key.
const KEY_DOMAIN: &[u8] = b"udtls cookie key 1";

/// How long a key is used, if nothing else is said.
const DEFAULT_PERIOD: Duration = Duration::from_secs(90);
/// Seconds by which the clocks of a fleet may differ.
const CLOCK_SKEW: u64 = 10;
/// A source of randomness that failed is asked again after so long.
const RETRY: Duration = Duration::from_secs(1);

impl CookieKeys {
    /// Draws keys from the system. `now` is when cookie time begins.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`]: there is no key then, and no cookie.
    #[expect(clippy::disallowed_methods, reason = "cookie keys, and they alone, come from the system")]
    pub fn new(now: Instant) -> Result<Self, ConfigError> {
        Self::drawn(now, getrandom::fill)
    }

    /// The same, to be replaced after each `period`.
    pub(super) fn rotating(period: Duration, now: Instant) -> Result<Self, ConfigError> {
        let mut keys = Self::new(now)?;
        keys.set_period(now, period)?;
        Ok(keys)
    }

    /// Keys that follow from a secret of at least 32 octets and unix time, which the
    /// [`ServerConfig`](crate::ServerConfig)'s time provider tells: all who share the secret accept each other's cookies.
    ///
    /// # Errors
    /// [`ConfigError::CookieSecretTooShort`].
    pub fn derive(secret: &[u8], now: Instant) -> Result<Self, ConfigError> {
        if secret.len() < KEY_LEN {
            return Err(ConfigError::CookieSecretTooShort);
        }
        // HKDF-Extract (RFC 5869 §2.2): whatever its length, the secret becomes a key.
        let mut salt = [0; KEY_LEN];
        salt.iter_mut().zip(KEY_DOMAIN).for_each(|(to, from)| *to = *from);
        let mut derived = Zeroizing::new([0; KEY_LEN]);
        hmac_into(&salt, [secret], &mut derived);
        let secret = derived;
        let (current, previous) = (Key::derive(&secret, 0), Key::derive(&secret, 0));
        Ok(Self { current, previous, period: DEFAULT_PERIOD.as_secs(), origin: Origin::Derived { secret, due: now } })
    }

    fn drawn(now: Instant, source: fn(&mut [u8]) -> Result<(), getrandom::Error>) -> Result<Self, ConfigError> {
        let (current, previous) = (Key::draw(1, source)?, Key::draw(0, source)?);
        let due = now.checked_add(DEFAULT_PERIOD).unwrap_or(now);
        let origin = Origin::Drawn { start: now, due, source };
        Ok(Self { current, previous, period: DEFAULT_PERIOD.as_secs(), origin })
    }

    /// How long a key is used; a cookie is good for twice as long at most. All of a fleet must say the same. Default: 90
    /// seconds.
    ///
    /// # Errors
    /// [`ConfigError::BadCookiePeriod`] for less than a second or more than a day.
    pub fn set_period(&mut self, now: Instant, period: Duration) -> Result<&mut Self, ConfigError> {
        const DAY: u64 = 24 * 60 * 60;
        let seconds = period.as_secs();
        if seconds == 0 || seconds > DAY {
            return Err(ConfigError::BadCookiePeriod);
        }
        self.period = seconds;
        match &mut self.origin {
            Origin::Drawn { due, .. } => *due = now.checked_add(period).unwrap_or(now),
            Origin::Derived { due, .. } => *due = now,
        }
        Ok(self)
    }

    /// Replaces the current key at once: cookies made with it are good still, those made with the one before are not. Keys
    /// that are derived go by unix time alone, and stay.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`]: the keys at hand stay.
    pub fn rotate(&mut self, now: Instant) -> Result<(), ConfigError> {
        let period = Duration::from_secs(self.period);
        match &mut self.origin {
            Origin::Drawn { due, source, .. } => {
                let next = Key::draw(self.current.number.wrapping_add(1), *source)?;
                self.previous = std::mem::replace(&mut self.current, next);
                *due = now.checked_add(period).unwrap_or(now);
                Ok(())
            }
            Origin::Derived { .. } => Ok(()),
        }
    }

    /// Whether [`Clock::unix`] counts.
    pub(super) const fn go_by_unix_time(&self) -> bool {
        matches!(self.origin, Origin::Derived { .. })
    }

    /// When keys want to be replaced.
    pub(super) fn poll_timeout(&self) -> Instant {
        match &self.origin {
            Origin::Drawn { due, .. } | Origin::Derived { due, .. } => *due,
        }
    }

    /// Replaces keys whose time is over.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`]: the old ones do for another second, when it is tried again.
    pub(super) fn handle_timeout(&mut self, clock: Clock) -> Result<(), ConfigError> {
        if self.poll_timeout() > clock.now {
            return Ok(());
        }
        let rotated = self.rotate(clock.now);
        let number = self.period_of(clock.unix);
        match &mut self.origin {
            Origin::Drawn { due, .. } if rotated.is_err() => *due = clock.now.checked_add(RETRY).unwrap_or(clock.now),
            Origin::Drawn { .. } => {}
            Origin::Derived { secret, due } => {
                self.current = Key::derive(secret, number);
                self.previous = Key::derive(secret, number.saturating_sub(1));
                let left = self.period.saturating_sub(clock.unix.checked_rem(self.period).unwrap_or(0));
                *due = clock.now.checked_add(Duration::from_secs(left)).unwrap_or(clock.now);
            }
        }
        rotated
    }

    /// A cookie for a ClientHello of DTLS 1.2.
    pub(super) fn cookie12(&self, clock: Clock, source: &Source, hello: &ClientHello<'_>) -> [u8; COOKIE12_LEN] {
        let (key, front) = self.front(clock);
        let tag = tag(&key, source, hello, &[&front]);
        let mut cookie = [0; COOKIE12_LEN];
        let octets = front.into_iter().chain(tag);
        cookie.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
        cookie
    }

    /// Whether a cookie was made by [`Self::cookie12`] here, for this client and this ClientHello, not long ago.
    pub(super) fn check12(
        &self,
        clock: Clock,
        source: &Source,
        hello: &ClientHello<'_>,
        cookie: &[u8],
    ) -> Result<(), CookieFault> {
        let cookie: &[u8; COOKIE12_LEN] = cookie.try_into().map_err(|_| CookieFault::Length)?;
        let (front, received) = cookie.split_first_chunk().ok_or(CookieFault::Length)?;
        let key = self.key_of(clock, front)?;
        let expected = tag(&key, source, hello, &[front]);
        let expected = expected.first_chunk::<TAG12_LEN>().ok_or(CookieFault::Length)?;
        if !crypto::constant_time_eq(expected, received) {
            return Err(CookieFault::Forged);
        }
        self.check_age(clock, front)
    }

    /// A cookie for a ClientHello of DTLS 1.3, with what its HelloRetryRequest says; `put` takes the pieces in order.
    pub(super) fn cookie13(
        &self,
        clock: Clock,
        source: &Source,
        hello: &ClientHello<'_>,
        retry: &Retry,
        mut put: impl FnMut(&[u8]),
    ) {
        let (key, front) = self.front(clock);
        let choice = retry.choice();
        let hash = retry.client_hello_hash.as_bytes();
        let tag = tag(&key, source, hello, &[&front, &choice, hash]);
        for piece in [&front[..], &choice, hash, &tag] {
            put(piece);
        }
    }

    /// What the HelloRetryRequest said whose cookie this is, if it was made by [`Self::cookie13`] here, for this client and
    /// this ClientHello, not long ago.
    pub(super) fn open13(
        &self,
        clock: Clock,
        source: &Source,
        hello: &ClientHello<'_>,
        cookie: &[u8],
    ) -> Result<Retry, CookieFault> {
        let (front, rest) = cookie.split_first_chunk::<FRONT_LEN>().ok_or(CookieFault::Length)?;
        let (rest, received) = rest.split_last_chunk::<TAG13_LEN>().ok_or(CookieFault::Length)?;
        let (choice, hash) = rest.split_first_chunk::<CHOICE_LEN>().ok_or(CookieFault::Length)?;
        let client_hello_hash = match (hash.try_into(), hash.try_into()) {
            (Ok(hash), _) => HelloHash::Sha256(hash),
            (_, Ok(hash)) => HelloHash::Sha384(hash),
            _ => return Err(CookieFault::Length),
        };
        let key = self.key_of(clock, front)?;
        if !crypto::constant_time_eq(&tag(&key, source, hello, &[front, choice, hash]), received) {
            return Err(CookieFault::Forged);
        }
        self.check_age(clock, front)?;
        Retry::from_choice(choice, client_hello_hash).ok_or(CookieFault::Forged)
    }

    /// The key of the moment, and what its cookies begin with.
    fn front(&self, clock: Clock) -> (Cow<'_, Key>, [u8; FRONT_LEN]) {
        let time = self.time(clock);
        let key = match &self.origin {
            Origin::Drawn { .. } => Cow::Borrowed(&self.current),
            Origin::Derived { secret, .. } => self.derived(secret, self.period_of(time)),
        };
        let [t0, t1, t2, t3] = u32::try_from(time).unwrap_or(u32::MAX).to_be_bytes();
        let front = [LAYOUT | key.id(), t0, t1, t2, t3];
        (key, front)
    }

    /// The key that a cookie says it was made with. Of a fleet's keys the cookie's time tells which; it is believed no
    /// further than that.
    fn key_of(&self, clock: Clock, front: &[u8; FRONT_LEN]) -> Result<Cow<'_, Key>, CookieFault> {
        let [first, time @ ..] = *front;
        if first & !KEY_ID_MASK != LAYOUT {
            return Err(CookieFault::Length);
        }
        let key = match &self.origin {
            Origin::Drawn { .. } => {
                let mut keys = [&self.current, &self.previous].into_iter();
                keys.find(|key| key.id() == first & KEY_ID_MASK).map(Cow::Borrowed)
            }
            Origin::Derived { secret, .. } => {
                let number = self.period_of(u32::from_be_bytes(time).into());
                let newest = self.period_of(self.time(clock).saturating_add(CLOCK_SKEW));
                let oldest = self.period_of(self.time(clock)).saturating_sub(1);
                (oldest..=newest).contains(&number).then(|| self.derived(secret, number))
            }
        };
        key.filter(|key| key.id() == first & KEY_ID_MASK).ok_or(CookieFault::Key)
    }

    fn check_age(&self, clock: Clock, front: &[u8; FRONT_LEN]) -> Result<(), CookieFault> {
        let [_, time @ ..] = *front;
        let (made, now) = (u64::from(u32::from_be_bytes(time)), self.time(clock));
        let skew = match &self.origin {
            Origin::Drawn { .. } => 0,
            Origin::Derived { .. } => CLOCK_SKEW,
        };
        let from_the_future = made > now.saturating_add(skew);
        let old = now.saturating_sub(made) > self.period.saturating_mul(2);
        if from_the_future || old { Err(CookieFault::Age) } else { Ok(()) }
    }

    /// Cookie time, in seconds.
    fn time(&self, clock: Clock) -> u64 {
        match &self.origin {
            Origin::Drawn { start, .. } => clock.now.saturating_duration_since(*start).as_secs(),
            Origin::Derived { .. } => clock.unix,
        }
    }

    fn period_of(&self, seconds: u64) -> u64 {
        seconds.checked_div(self.period).unwrap_or(0)
    }

    /// The key of a period: one at hand, or made anew.
    fn derived(&self, secret: &[u8; KEY_LEN], number: u64) -> Cow<'_, Key> {
        let at_hand = [&self.current, &self.previous].into_iter().find(|key| key.number == number);
        at_hand.map_or_else(|| Cow::Owned(Key::derive(secret, number)), Cow::Borrowed)
    }
}

impl Key {
    fn draw(number: u64, source: fn(&mut [u8]) -> Result<(), getrandom::Error>) -> Result<Self, ConfigError> {
        let mut key = Self { number, octets: [0; KEY_LEN] };
        source(&mut key.octets).map_err(|_| ConfigError::NoRandomness)?;
        Ok(key)
    }

    fn derive(secret: &[u8; KEY_LEN], number: u64) -> Self {
        let mut key = Self { number, octets: [0; KEY_LEN] };
        hmac_into(secret, [&number.to_be_bytes()[..]], &mut key.octets);
        key
    }

    /// What a cookie says of its key.
    const fn id(&self) -> u8 {
        let [.., low] = self.number.to_be_bytes();
        low & KEY_ID_MASK
    }
}

impl Retry {
    fn choice(&self) -> [u8; CHOICE_LEN] {
        let ([s0, s1], [g0, g1]) = (u16::from(self.suite).to_be_bytes(), u16::from(self.group).to_be_bytes());
        let share = match self.share {
            RetriedShare::Kept => 0,
            RetriedShare::Wanted => 1,
        };
        [s0, s1, g0, g1, share]
    }

    fn from_choice(choice: &[u8; CHOICE_LEN], client_hello_hash: HelloHash) -> Option<Self> {
        let mut r = Reader::new(choice);
        let (suite, group) = (r.u16().ok()?.into(), r.u16().ok()?.into());
        let share = match r.u8().ok()? {
            0 => RetriedShare::Kept,
            1 => RetriedShare::Wanted,
            _ => return None,
        };
        Some(Self { suite, group, share, client_hello_hash })
    }
}

/// The tag of a cookie that begins with `cookie`.
fn tag(key: &Key, source: &Source, hello: &ClientHello<'_>, cookie: &[&[u8]]) -> [u8; KEY_LEN] {
    let lengths = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    let cookie_len = lengths(cookie.iter().fold(0, |sum, piece| sum.saturating_add(piece.len())));
    let (session_id, suites) = (hello.session_id, hello.cipher_suites.as_bytes());
    let version = u16::from(hello.legacy_version).to_be_bytes();
    let source = source.octets();
    let front = [DOMAIN, &cookie_len[..]].into_iter().chain(cookie.iter().copied());
    let hello = [
        &source[..],
        &version,
        hello.random,
        &lengths(session_id.len()),
        session_id,
        &lengths(suites.len()),
        suites,
        hello.compression_methods,
    ];
    hmac(&key.octets, front.chain(hello))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac<'p>(key: &[u8; KEY_LEN], pieces: impl IntoIterator<Item = &'p [u8]>) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    hmac_into(key, pieces, &mut out);
    out
}

/// The same, written where it is kept: a key leaves no copy behind.
fn hmac_into<'p>(key: &[u8; KEY_LEN], pieces: impl IntoIterator<Item = &'p [u8]>, out: &mut [u8; KEY_LEN]) {
    // A key that is shorter than a block is filled with zeros (RFC 2104 §2).
    let mut block = Zeroizing::new([0; BLOCK_LEN]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    pieces.into_iter().for_each(|piece| mac.update(piece));
    mac.finalize_into(out.into());
}

impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKeys").field("period", &self.period).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
