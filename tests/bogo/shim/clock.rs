//! The virtual clock: one for the whole process, moved by the runner alone.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
}

/// BoringSSL takes a timer for expired when less than this is left of it, and the runner expects the same of us.
const FUDGE: Duration = Duration::from_millis(15);

impl Clock {
    pub(crate) fn new() -> Self {
        Self { now: Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    /// What is left until `deadline`; nothing if that is next to nothing.
    pub(crate) fn left(&self, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(self.now);
        if left < FUDGE { Duration::ZERO } else { left }
    }
}
