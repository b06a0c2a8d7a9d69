//! How often a key may be used, and how often it may be attacked (RFC 9147 §4.5.3, RFC 8446 §5.5). The figures belong to
//! the AEAD; this file counts. Knows no record.

use super::number::SequenceCounter;
use crate::crypto::suites::AeadLimits;
use crate::error::Error;

/// How near a key is to one of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LimitState {
    /// Far from it.
    Below,
    /// Seven eighths are used: time to change the key ("before reaching this limit", RFC 9147 §4.5.3).
    Near,
    /// The limit is reached.
    Reached,
}

impl LimitState {
    /// `used` of `limit`.
    #[inline]
    fn of(used: u64, limit: u64) -> Self {
        if used >= limit {
            Self::Reached
        } else if used >= limit.saturating_sub(limit >> 3) {
            Self::Near
        } else {
            Self::Below
        }
    }
}

/// The limit on records sealed under one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealLimit(u64);

impl SealLimit {
    /// No epoch has more numbers than there are, whatever its AEAD would bear.
    pub(super) fn new(limits: AeadLimits) -> Self {
        Self(limits.confidentiality.min(SequenceCounter::CAPACITY))
    }

    /// The application wants less.
    pub(super) fn lower(&mut self, limits: AeadLimits) {
        self.0 = self.0.min(limits.confidentiality);
    }

    /// Each record takes one number, so the numbers are the count.
    #[inline]
    pub(super) fn state(self, counter: &SequenceCounter) -> LimitState {
        LimitState::of(counter.used(), self.0)
    }
}

/// The records that failed to authenticate under one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forgeries {
    failed: u64,
    limit: u64,
}

impl Forgeries {
    pub(super) const fn new(limits: AeadLimits) -> Self {
        Self { failed: 0, limit: limits.integrity }
    }

    /// The application wants less.
    pub(super) fn lower(&mut self, limits: AeadLimits) {
        self.limit = self.limit.min(limits.integrity);
    }

    /// Counts one more.
    ///
    /// # Errors
    /// [`Error::IntegrityLimitReached`] at the limit: the key must not open any further record.
    pub(super) fn count(&mut self) -> Result<(), Error> {
        self.failed = self.failed.saturating_add(1);
        match self.state() {
            LimitState::Reached => Err(Error::IntegrityLimitReached),
            LimitState::Near | LimitState::Below => Ok(()),
        }
    }

    #[inline]
    pub(super) fn state(&self) -> LimitState {
        LimitState::of(self.failed, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::suites::AeadAlgorithm;

    fn state(sealed: u64, limits: AeadLimits) -> LimitState {
        SealLimit::new(limits).state(&SequenceCounter::starting_at(sealed))
    }

    #[test]
    fn sealing_nears_and_reaches_its_limit() {
        let limits = AeadLimits { confidentiality: 800, integrity: 8 };
        assert_eq!(state(0, limits), LimitState::Below);
        assert_eq!(state(699, limits), LimitState::Below);
        assert_eq!(state(700, limits), LimitState::Near);
        assert_eq!(state(799, limits), LimitState::Near);
        assert_eq!(state(800, limits), LimitState::Reached);
        assert_eq!(state(900, limits), LimitState::Reached);
    }

    /// RFC 9147 §4.5.3: 2^24.5 for GCM; with ChaCha20 the numbers end first.
    #[test]
    fn sealing_limits_of_each_aead() {
        for gcm in [AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm] {
            assert_eq!(state(20_760_000, gcm.limits()), LimitState::Below);
            assert_eq!(state(20_761_000, gcm.limits()), LimitState::Near);
            assert_eq!(state(23_726_566, gcm.limits()), LimitState::Reached);
        }
        let chacha = AeadAlgorithm::ChaCha20Poly1305.limits();
        assert_eq!(state(1 << 47, chacha), LimitState::Below);
        assert_eq!(state((1 << 48) - 1, chacha), LimitState::Near);
        assert_eq!(state(1 << 48, chacha), LimitState::Reached);
    }

    #[test]
    fn the_last_forgery_allowed_is_an_error() {
        let mut forgeries = Forgeries::new(AeadLimits { confidentiality: 0, integrity: 8 });
        for _ in 0..6 {
            assert_eq!(forgeries.count(), Ok(()));
        }
        assert_eq!(forgeries.state(), LimitState::Below);
        assert_eq!(forgeries.count(), Ok(()));
        assert_eq!(forgeries.state(), LimitState::Near);
        assert_eq!(forgeries.count(), Err(Error::IntegrityLimitReached));
        assert_eq!(forgeries.count(), Err(Error::IntegrityLimitReached));
    }
}
