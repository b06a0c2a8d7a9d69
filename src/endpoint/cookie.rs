//! Cookie keys.

use crate::config::ConfigError;
use std::time::{Duration, Instant};

/// The keys that cookies are made and checked with.
#[derive(Debug)]
pub struct CookieKeys {}

impl CookieKeys {
    pub(super) fn random(_period: Duration, _now: Instant) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}
