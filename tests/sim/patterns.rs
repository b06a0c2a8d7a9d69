//! Everything that a path can do to the datagrams of one handshake, counted out: which of them are lost, come twice, or come
//! in which order (RFC 6347 §4.2.4, RFC 9147 §5.8).
//!
//! A loss is chosen among the datagrams that the run really sends, in the order of sending and of both ends, repetitions
//! included; so the set is finite, and a run with three losses is one with two and one later datagram lost.

use crate::kinds::Kind;
use crate::network::{Fault, Network};
use crate::pair::{Figures, PATIENCE, Pair, Stop, check, prove, prove_handshake};
use crate::provider::End;
use crate::tally::{SEED, Tally};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;
use udtls::{Direction, Event, KeyUpdateRequest, ProtocolVersion};

/// How much is counted out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What every change must pass.
    Quick,
    /// All that docs/LOSS.md tells of.
    Full,
}

impl Depth {
    /// `UDTLS_DEEP=1` in the environment asks for all.
    pub(crate) fn from_environment() -> Self {
        if std::env::var("UDTLS_DEEP").is_ok_and(|deep| deep == "1") { Self::Full } else { Self::Quick }
    }

    const fn losses(self, kind: &Kind) -> usize {
        match self {
            Self::Quick => 2,
            Self::Full => kind.shape.losses(),
        }
    }

    /// Flights of so many datagrams come in every order.
    const fn permuted(self) -> usize {
        match self {
            Self::Quick => 5,
            Self::Full => 7,
        }
    }

    const fn shuffles(self) -> u64 {
        match self {
            Self::Quick => 50,
            Self::Full => 2000,
        }
    }
}

/// What happens to the datagrams of a run.
pub(crate) type Class = &'static str;

const LOST: [Class; 4] = ["none lost", "one lost", "two lost", "three lost"];
pub(crate) const ONE_TWICE: Class = "one twice";
pub(crate) const TWO_TWICE: Class = "two twice";
pub(crate) const ORDER: Class = "order";

/// Every loss, up to so many datagrams.
pub(crate) fn losses(kind: &'static Kind, depth: Depth) -> Vec<(Class, Tally)> {
    let most = depth.losses(kind);
    let mut tallies: Vec<_> = (0..=most).map(|_| Tally::default()).collect();
    lose(&|faults| prove(kind, SEED, Network::with_faults(faults)), 0, &mut Vec::new(), &mut tallies);
    LOST.into_iter().zip(tallies).collect()
}

/// Depth-first: after `lost`, loses each datagram from `from` on that the run really sends later.
fn lose(run: &dyn Fn(&[Fault]) -> Figures, from: usize, lost: &mut Vec<Fault>, tallies: &mut [Tally]) {
    let Some(tally) = tallies.get_mut(lost.len()) else { return };
    let Some(figures) = tally.attempt(|| run(lost)) else { return };
    if lost.len() + 1 == tallies.len() {
        return;
    }
    for ordinal in from..figures.sent {
        lost.push(Fault::Lose(ordinal));
        lose(run, ordinal + 1, lost, tallies);
        lost.pop();
    }
}

/// By so little a datagram changes places with the next of its burst.
pub(crate) const A_BIT: Duration = Duration::from_nanos(1);
/// Until the answer to what it belongs to is on its way.
pub(crate) const AN_ANSWER: Duration = Duration::from_millis(60);
/// Until it was sent again.
pub(crate) const A_TIMEOUT: Duration = Duration::from_millis(1200);
/// Until all is over.
pub(crate) const LATE: Duration = Duration::from_secs(20);

/// Each datagram comes twice, and each two do.
pub(crate) fn duplications(kind: &'static Kind) -> [(Class, Tally); 2] {
    let (mut one, mut two) = (Tally::default(), Tally::default());
    let clean = prove(kind, SEED, Network::with_faults(&[]));
    let run = |faults: &[Fault]| prove(kind, SEED, Network::with_faults(faults));
    for first in 0..clean.sent {
        for later in [Duration::ZERO, A_BIT, AN_ANSWER, A_TIMEOUT, LATE] {
            one.attempt(|| run(&[Fault::Duplicate(first, later)]));
        }
        for second in first + 1..clean.sent {
            two.attempt(|| run(&[first, second].map(|ordinal| Fault::Duplicate(ordinal, AN_ANSWER))));
        }
    }
    [(ONE_TWICE, one), (TWO_TWICE, two)]
}

/// Each flight in every order. Long flights have too many: there every datagram is moved to every place, the flight is
/// reversed, and shuffled often.
pub(crate) fn orders(kind: &'static Kind, depth: Depth) -> Tally {
    let mut tally = Tally::default();
    let mut clean = Pair::new(kind, SEED, Network::with_faults(&[]));
    prove_handshake(&mut clean);
    for (burst, len) in clean.network.bursts.iter().enumerate() {
        let mut arrive = |order: Vec<usize>| {
            tally.attempt(|| prove(kind, SEED, Network::with_faults(&[Fault::Arrange(burst, order)])));
        };
        if *len <= depth.permuted() {
            permutations(*len, &mut arrive);
            continue;
        }
        arrive((0..*len).rev().collect());
        for datagram in 0..*len {
            for place in 0..*len {
                let mut order: Vec<_> = (0..*len).collect();
                let moved = order.remove(datagram);
                order.insert(place, moved);
                if place != datagram {
                    arrive(order);
                }
            }
        }
        for seed in 0..depth.shuffles() {
            arrive(shuffled(*len, seed));
        }
    }
    tally
}

/// Every order of so many but the natural one.
pub(crate) fn permutations(len: usize, give: &mut dyn FnMut(Vec<usize>)) {
    fn extend(order: &mut Vec<usize>, len: usize, give: &mut dyn FnMut(Vec<usize>)) {
        if order.len() == len {
            if !order.is_sorted() {
                give(order.clone());
            }
            return;
        }
        for next in 0..len {
            if !order.contains(&next) {
                order.push(next);
                extend(order, len, give);
                order.pop();
            }
        }
    }
    extend(&mut Vec::new(), len, give);
}

pub(crate) fn shuffled(len: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<_> = (0..len).collect();
    for end in (1..len).rev() {
        let other = usize::try_from(rng.next_u64() % (end as u64 + 1)).expect("short");
        order.swap(end, other);
    }
    order
}

/// What happens after the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Later {
    /// These ask for new keys, at once, so many times.
    Updates { by: &'static [End], times: usize },
    /// This end closes, and then the other.
    Close { first: End },
}

/// What is lost after the handshake, and what happens there.
pub(crate) const LATER: [(Class, Later); 7] = [
    ("client's KeyUpdate", Later::Updates { by: &[End::Client], times: 1 }),
    ("server's KeyUpdate", Later::Updates { by: &[End::Server], times: 1 }),
    ("both KeyUpdates", Later::Updates { by: &End::BOTH, times: 1 }),
    ("three KeyUpdates", Later::Updates { by: &[End::Client], times: 3 }),
    ("both KeyUpdates, twice", Later::Updates { by: &End::BOTH, times: 2 }),
    ("client closes first", Later::Close { first: End::Client }),
    ("server closes first", Later::Close { first: End::Server }),
];

/// Every loss, up to so many datagrams, of what follows the handshake.
pub(crate) fn afterwards(kind: &'static Kind, later: Later, depth: Depth) -> Tally {
    let mut tally = Tally::default();
    if matches!(later, Later::Updates { .. }) && kind.version != ProtocolVersion::DTLS1_3 {
        return tally;
    }
    let most = if depth == Depth::Full { 3 } else { 2 };
    let mut tallies: Vec<_> = (0..=most).map(|_| Tally::default()).collect();
    let handshake = prove(kind, SEED, Network::with_faults(&[])).sent;
    lose(&|faults| run_later(kind, later, faults), handshake, &mut Vec::new(), &mut tallies);
    for lost in tallies {
        tally.absorb(lost);
    }
    tally
}

/// What follows the handshake, each datagram of it again or late.
pub(crate) fn afterwards_again(kind: &'static Kind, later: Later) -> Tally {
    let mut tally = Tally::default();
    if matches!(later, Later::Updates { .. }) && kind.version != ProtocolVersion::DTLS1_3 {
        return tally;
    }
    let handshake = prove(kind, SEED, Network::with_faults(&[])).sent;
    let clean = run_later(kind, later, &[]).sent;
    for ordinal in handshake..clean {
        for by in [Duration::ZERO, A_BIT, AN_ANSWER, A_TIMEOUT, LATE] {
            tally.attempt(|| run_later(kind, later, &[Fault::Duplicate(ordinal, by)]));
            tally.attempt(|| run_later(kind, later, &[Fault::Delay(ordinal, by)]));
            for other in handshake..clean {
                tally.attempt(|| run_later(kind, later, &[Fault::Delay(ordinal, by), Fault::Lose(other)]));
            }
        }
    }
    tally
}

/// A handshake, then this with these faults, then data.
fn run_later(kind: &'static Kind, later: Later, faults: &[Fault]) -> Figures {
    let mut pair = Pair::new(kind, SEED, Network::with_faults(faults));
    prove_handshake(&mut pair);
    let start = pair.now;
    match later {
        Later::Updates { by, times } => update(&mut pair, by, times),
        Later::Close { first } => close(&mut pair, first),
    }
    let figures = Figures { sent: pair.network.sent, complete_at: pair.now - start, quiet_at: pair.now };
    if let Later::Updates { .. } = later {
        pair.network.clear_up();
        pair.check_data();
    }
    figures
}

fn update(pair: &mut Pair, by: &[End], times: usize) {
    for _ in 0..times {
        for end in by {
            let now = pair.instant();
            let requested = pair.side(*end).connection.request_key_update(now, KeyUpdateRequest::Requested);
            check!(pair, requested.is_ok(), "an update may be asked for");
        }
        let stop = pair.run(pair.now + PATIENCE);
        check!(pair, stop == Stop::Quiet, "updates come to rest");
    }
    for end in End::BOTH {
        pair.side(end).drain_events();
        for direction in [Direction::Sending, Direction::Receiving] {
            let event = Event::KeyUpdated(direction);
            let seen = pair.side(end).events.iter().filter(|e| **e == event).count();
            check!(pair, seen >= times, format!("{end:?} changed its keys to {direction:?}: {seen}"));
        }
    }
}

fn close(pair: &mut Pair, first: End) {
    for end in [first, first.other()] {
        let now = pair.instant();
        pair.side(end).connection.close(now);
        let stop = pair.run(pair.now + PATIENCE);
        check!(pair, stop == Stop::Quiet, "a closed association rests");
    }
    for end in End::BOTH {
        pair.side(end).drain_events();
        let failure = pair.side(end).failure.clone();
        check!(pair, failure.is_none(), format!("{end:?} has closed, not failed: {failure:?}"));
        let closed = pair.side(end).events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        check!(pair, closed == 1, format!("{end:?} is told once that all is over"));
    }
}
