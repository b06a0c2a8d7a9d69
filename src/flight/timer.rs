//! Floor 4: when to send a flight again, and when to give up (RFC 6347 §4.2.4.1, RFC 9147 §5.8.2).
//!
//! Instants are handed in and kept as they are: a deadline is always its start plus the timeout of the moment, so a
//! changed timeout moves it, and nothing is rounded.

use std::time::{Duration, Instant};

/// The retransmission timer of one flight after another.
#[derive(Clone, Debug)]
pub(crate) struct RetransmitTimer {
    initial: Span,
    max: Span,
    /// The timeout before the first expiry of the current flight.
    base: Span,
    retransmissions: u32,
    /// Expiries of the current flight.
    expiries: u32,
    /// Expiries since the peer last acknowledged anything.
    fruitless: u32,
    rtt_adaptation: RttAdaptation,
    running: Running,
    sample: Sample,
}

/// A timeout in half the memory of a [`Duration`]: nanoseconds, to the end of five centuries. Associations keep it for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(u64);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        match span.0 {
            // Longer than that is without end.
            u64::MAX => Self::MAX,
            nanoseconds => Self::from_nanos(nanoseconds),
        }
    }
}

/// What the application chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKnobs {
    /// The first timeout.
    pub(crate) initial: Duration,
    /// No timeout is longer.
    pub(crate) max: Duration,
    /// How often a flight is sent again before the peer is given up.
    pub(crate) retransmissions: u32,
    pub(crate) rtt_adaptation: RttAdaptation,
}

/// Whether measured round trips change the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RttAdaptation {
    /// A timeout is kept until a flight is acknowledged that was sent once; then it becomes 1.5 × the time that took.
    On,
    /// The timeout returns to its initial value with each flight and with each acknowledgement of one.
    Off,
}

/// What [`RetransmitTimer::expire`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// The deadline has not come, or there is none.
    NotYet,
    /// The flight is to be sent again; the timer runs on with twice the timeout.
    Retransmit,
    /// All retransmissions were in vain.
    GaveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Stopped,
    /// Stopped by an acknowledgement at this time.
    IdleSince(Instant),
    Since(Instant),
}

/// Whether the current flight can tell the round-trip time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    /// It was not sent yet.
    NotSent,
    /// It was sent once, at this time.
    SentOnce(Instant),
    /// It was sent again, or measured already: an answer would not tell to which copy (Karn; RFC 6298 §3).
    Useless,
}

impl RetransmitTimer {
    /// A timer that does not run.
    pub(crate) fn new(knobs: TimerKnobs) -> Self {
        let initial = knobs.initial.into();
        Self {
            initial,
            max: knobs.max.into(),
            base: initial,
            retransmissions: knobs.retransmissions,
            expiries: 0,
            fruitless: 0,
            rtt_adaptation: knobs.rtt_adaptation,
            running: Running::Stopped,
            sample: Sample::NotSent,
        }
    }

    /// A new flight is prepared: the timer stops, and the retransmissions count from zero.
    pub(crate) fn begin_flight(&mut self) {
        if let Running::Since(_) = self.running {
            self.stop();
        }
        self.reset_timeout();
        self.sample = Sample::NotSent;
    }

    /// The flight, or what had to be sent again of it, has been sent: the timer runs from `now`.
    pub(crate) fn start(&mut self, now: Instant) {
        if let Running::IdleSince(idle) = self.running {
            // RFC 9147 §5.8.2: "After a long period of idleness, no less than 10 times the current timer value,
            // implementations MAY reset the timer to the initial value."
            if now.saturating_duration_since(idle) >= self.timeout().saturating_mul(LONG_IDLENESS) {
                self.base = self.initial;
            }
        }
        self.running = Running::Since(now);
        if self.sample == Sample::NotSent {
            self.sample = Sample::SentOnce(now);
        }
    }

    /// The flight that is out gets all its time again, as if it had been sent `now`: what went by was not the peer's.
    pub(crate) fn restart(&mut self, now: Instant) {
        (self.expiries, self.fruitless) = (0, 0);
        self.base = self.base.min(self.initial);
        self.sample = Sample::Useless;
        self.running = Running::Since(now);
    }

    /// No answer is awaited (any more).
    pub(crate) fn stop(&mut self) {
        self.running = Running::Stopped;
    }

    /// The whole flight was acknowledged, explicitly or by the peer's next: the timer stops.
    pub(crate) fn acknowledged(&mut self, now: Instant) {
        self.running = Running::IdleSince(now);
        self.reset_timeout();
        if let (RttAdaptation::On, Sample::SentOnce(sent)) = (self.rtt_adaptation, self.sample) {
            self.base = self.adapted(now.saturating_duration_since(sent)).into();
        }
        self.sample = Sample::Useless;
    }

    /// Part of the flight was acknowledged. The timer is left alone: `start` it if the rest is sent again at once.
    pub(crate) fn partly_acknowledged(&mut self) {
        self.fruitless = 0;
    }

    /// The flight is sent again for another reason than an expiry: its round trip cannot be measured any more.
    pub(crate) fn resent(&mut self) {
        self.sample = Sample::Useless;
    }

    /// To be called when the deadline of [`Self::poll_timeout`] may have come. However late the call, it counts one
    /// expiry, and the next timeout begins `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Expiry {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return Expiry::NotYet;
        }
        self.expiries = self.expiries.saturating_add(1);
        self.fruitless = self.fruitless.saturating_add(1);
        self.sample = Sample::Useless;
        if self.expiries > self.retransmissions {
            self.stop();
            return Expiry::GaveUp;
        }
        self.running = Running::Since(now);
        Expiry::Retransmit
    }

    /// The deadline, if the timer runs. It may be past.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.running {
            Running::Stopped | Running::IdleSince(_) => None,
            // A timeout that no `Instant` can express never ends.
            Running::Since(start) => start.checked_add(self.timeout()),
        }
    }

    /// The timeout of the moment: doubled with every expiry, up to the maximum.
    pub(crate) fn timeout(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.expiries).unwrap_or(u32::MAX);
        Duration::from(self.base).saturating_mul(factor).min(self.max.into())
    }

    /// How long a peer is awaited that has nothing to answer: as long as a flight would be sent again, and long enough
    /// for its own timer, whatever ours is.
    pub(crate) fn patience(&self) -> Duration {
        let (mut timeout, max) = (Duration::from(self.base), Duration::from(self.max));
        let mut sum = max;
        // More doublings than a `Duration` has room for change nothing.
        for left in (0..=self.retransmissions).rev().take(128) {
            if timeout >= max {
                return sum.saturating_add(max.saturating_mul(left.saturating_add(1)));
            }
            sum = sum.saturating_add(timeout);
            timeout = timeout.saturating_mul(2);
        }
        sum
    }

    /// Expiries since the flight began or something of it was acknowledged: a sign of a path that is too narrow.
    pub(crate) fn fruitless_expiries(&self) -> u32 {
        self.fruitless
    }

    /// Another initial timeout, also for a timer that runs: its deadline is counted from its start as if the timeout
    /// had been this from the first transmission on.
    pub(crate) fn set_initial(&mut self, initial: Duration) {
        self.initial = initial.into();
        self.base = self.initial;
    }

    fn reset_timeout(&mut self) {
        self.base = match self.rtt_adaptation {
            // RFC 9147 §5.8.2: "SHOULD retain the current timer value until a message is transmitted and acknowledged
            // without having to be retransmitted"
            RttAdaptation::On => self.timeout().into(),
            RttAdaptation::Off => self.initial,
        };
        self.expiries = 0;
        self.fruitless = 0;
    }

    /// RFC 9147 §5.8.2: "the value SHOULD be adjusted to 1.5 times the measured round trip time"
    fn adapted(&self, round_trip: Duration) -> Duration {
        let half = round_trip.checked_div(2).unwrap_or_default();
        round_trip.saturating_add(half).max(ADAPTED_FLOOR.min(self.initial.into())).min(self.max.into())
    }
}

/// Measured round trips do not bring the timeout below this, unless the application began lower. A peer delays an ACK
/// by a quarter of *its* timeout, 250 ms by default (RFC 9147 §7.1), and needs time to sign or to verify a chain: a
/// shorter timeout would send again what has arrived. 400 ms is the least that RFC 9147 §5.8.2 recommends for any use.
const ADAPTED_FLOOR: Duration = Duration::from_millis(400);

/// Timeouts without a flight after which a measured timeout is worth nothing.
const LONG_IDLENESS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn knobs(initial: Duration, rtt_adaptation: RttAdaptation) -> TimerKnobs {
        TimerKnobs { initial, max: Duration::from_secs(60), retransmissions: 12, rtt_adaptation }
    }

    fn timer(initial_ms: u32, rtt_adaptation: RttAdaptation) -> RetransmitTimer {
        RetransmitTimer::new(knobs(MS * initial_ms, rtt_adaptation))
    }

    #[test]
    fn doubles_to_sixty_seconds_and_gives_up_at_the_thirteenth_expiry() {
        let mut timer = timer(400, RttAdaptation::Off);
        let mut now = Instant::now();
        assert_eq!(timer.expire(now), Expiry::NotYet);
        timer.start(now);
        let milliseconds = [400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000, 60000, 60000, 60000_u32];
        for (i, ms) in milliseconds.into_iter().enumerate() {
            assert_eq!(timer.timeout(), MS * ms);
            assert_eq!(timer.poll_timeout(), Some(now + MS * ms));
            now += MS * ms - Duration::from_nanos(1);
            assert_eq!(timer.expire(now), Expiry::NotYet);
            now += Duration::from_nanos(1);
            assert_eq!(timer.expire(now), if i < 12 { Expiry::Retransmit } else { Expiry::GaveUp });
            assert_eq!(timer.fruitless_expiries() as usize, i + 1);
        }
        assert_eq!(timer.poll_timeout(), None);
        assert_eq!(timer.expire(now + MS), Expiry::NotYet);
    }

    #[test]
    fn a_late_call_counts_one_expiry_from_now() {
        let mut timer = timer(100, RttAdaptation::Off);
        let start = Instant::now();
        timer.start(start);
        let late = start + MS * 5000;
        assert_eq!(timer.expire(late), Expiry::Retransmit);
        assert_eq!(timer.expire(late), Expiry::NotYet);
        assert_eq!(timer.poll_timeout(), Some(late + MS * 200));
        // The retransmission left later than the expiry: the timer runs from then.
        timer.start(late + MS);
        assert_eq!(timer.poll_timeout(), Some(late + MS * 201));
    }

    #[test]
    fn a_restart_gives_all_the_time_again() {
        for adaptation in [RttAdaptation::On, RttAdaptation::Off] {
            let mut timer = timer(400, adaptation);
            let mut now = Instant::now();
            timer.start(now);
            for _ in 0..13 {
                now = timer.poll_timeout().unwrap();
                timer.expire(now);
            }
            timer.restart(now);
            assert_eq!(timer.fruitless_expiries(), 0);
            for ms in [400, 800, 1600] {
                assert_eq!(timer.poll_timeout(), Some(now + MS * ms));
                now += MS * ms;
                assert_eq!(timer.expire(now), Expiry::Retransmit);
            }
            // What was sent in vain measures nothing.
            timer.acknowledged(now + MS * 50_000);
            timer.begin_flight();
            assert!(timer.timeout() <= MS * 3200);
        }
    }

    #[test]
    fn another_initial_timeout_counts_from_the_original_start() {
        let mut timer = timer(400, RttAdaptation::Off);
        let start = Instant::now();
        timer.start(start);
        let second = start + MS * 400;
        assert_eq!(timer.expire(second), Expiry::Retransmit);
        timer.set_initial(MS * 250);
        assert_eq!(timer.poll_timeout(), Some(second + MS * 500));
        timer.set_initial(Duration::from_secs(40));
        assert_eq!(timer.poll_timeout(), Some(second + Duration::from_secs(60)));
        // Past already, and still not handled before it is asked for.
        timer.set_initial(MS);
        let now = second + MS * 100;
        assert_eq!(timer.poll_timeout(), Some(second + MS * 2));
        assert_eq!(timer.expire(now), Expiry::Retransmit);
        assert_eq!(timer.poll_timeout(), Some(now + MS * 4));
        timer.begin_flight();
        assert_eq!((timer.timeout(), timer.poll_timeout()), (MS, None));
    }

    #[test]
    fn without_adaptation_each_flight_and_acknowledgement_begins_anew() {
        let now = Instant::now();
        for acknowledged in [true, false] {
            let mut timer = timer(400, RttAdaptation::Off);
            timer.start(now);
            assert_eq!(timer.expire(now + MS * 400), Expiry::Retransmit);
            if acknowledged {
                timer.acknowledged(now + MS * 410);
            } else {
                timer.begin_flight();
            }
            assert_eq!((timer.timeout(), timer.poll_timeout()), (MS * 400, None));
            assert_eq!(timer.fruitless_expiries(), 0);
        }
    }

    #[test]
    fn adapts_to_one_and_a_half_round_trips_above_a_floor() {
        let now = Instant::now();
        let measured = |initial, round_trip: u32| {
            let mut timer = timer(initial, RttAdaptation::On);
            timer.begin_flight();
            timer.start(now);
            timer.acknowledged(now + MS * round_trip);
            timer.begin_flight();
            timer.timeout()
        };
        assert_eq!(measured(1000, 500), MS * 750);
        assert_eq!(measured(1000, 3000), MS * 4500);
        assert_eq!(measured(1000, 1), ADAPTED_FLOOR);
        assert_eq!(measured(100, 1), MS * 100);
        assert_eq!(measured(100, 80), MS * 120);
        assert_eq!(measured(1000, 50_000), MS * 60_000);
    }

    #[test]
    fn a_flight_sent_twice_measures_nothing_and_keeps_its_timeout() {
        let now = Instant::now();
        let mut timer = timer(1000, RttAdaptation::On);
        timer.start(now);
        assert_eq!(timer.expire(now + MS * 1000), Expiry::Retransmit);
        timer.start(now + MS * 1000);
        timer.acknowledged(now + MS * 1500);
        timer.begin_flight();
        assert_eq!(timer.timeout(), MS * 2000);
        // Retained, and yet all retransmissions are there again.
        timer.start(now + MS * 1500);
        timer.resent();
        timer.acknowledged(now + MS * 1600);
        assert_eq!(timer.timeout(), MS * 2000);
        // An acknowledgement measures once.
        timer.begin_flight();
        timer.start(now + MS * 2000);
        timer.acknowledged(now + MS * 2600);
        timer.acknowledged(now + MS * 9000);
        assert_eq!(timer.timeout(), MS * 900);
    }

    #[test]
    fn a_measured_timeout_is_forgotten_when_idle_for_long() {
        let now = Instant::now();
        for (idle, timeout) in [(8999, 900), (9000, 1000)] {
            let mut timer = timer(1000, RttAdaptation::On);
            timer.start(now);
            timer.acknowledged(now + MS * 600);
            timer.begin_flight();
            timer.start(now + MS * (600 + idle));
            assert_eq!(timer.timeout(), MS * timeout);
        }
    }

    /// As long as it takes to give a silent peer up, and once more the longest timeout.
    #[test]
    fn patience_outlasts_every_retransmission() {
        for (initial_ms, retransmissions) in [(400, 12), (400, 3), (60_000, 12), (90_000, 2), (1, 0)] {
            let knobs = TimerKnobs { retransmissions, ..knobs(MS * initial_ms, RttAdaptation::Off) };
            let start = Instant::now();
            let mut timer = RetransmitTimer::new(knobs);
            let patience = timer.patience();
            timer.start(start);
            let mut now = start;
            while let Some(deadline) = timer.poll_timeout() {
                now = deadline;
                timer.expire(now);
            }
            assert_eq!(patience, now - start + knobs.max, "{initial_ms} ms, {retransmissions} times");
        }
    }

    #[test]
    fn what_was_acknowledged_was_not_in_vain() {
        let mut timer = timer(400, RttAdaptation::Off);
        timer.start(Instant::now());
        for fruitless in 1..4 {
            timer.expire(timer.poll_timeout().unwrap());
            assert_eq!(timer.fruitless_expiries(), fruitless);
        }
        let deadline = timer.poll_timeout();
        timer.partly_acknowledged();
        assert_eq!(timer.fruitless_expiries(), 0);
        assert_eq!(timer.poll_timeout(), deadline, "the timer is left alone");
    }

    #[test]
    fn no_deadline_overflows() {
        let mut timer = RetransmitTimer::new(TimerKnobs {
            initial: Duration::MAX,
            max: Duration::MAX,
            retransmissions: u32::MAX,
            rtt_adaptation: RttAdaptation::On,
        });
        let now = Instant::now();
        timer.start(now);
        assert_eq!(timer.poll_timeout(), None);
        assert_eq!(timer.expire(now), Expiry::NotYet);
        timer.set_initial(Duration::from_nanos(1));
        let mut now = now;
        for _ in 0..100 {
            let Some(deadline) = timer.poll_timeout() else { break };
            now = deadline;
            assert_eq!(timer.expire(now), Expiry::Retransmit);
        }
        timer.acknowledged(now);
        // A clock that went backwards is no reason to fail.
        timer.begin_flight();
        timer.start(now);
        timer.acknowledged(now - MS);
    }
}
