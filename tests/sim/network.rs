//! The path between two ends: what it does to the datagrams it is told to, and, in bad weather, to any.

use crate::door::From;
use crate::keys::{Content, contents};
use crate::ladder::{Ladder, Rung, What, split_records};
use crate::provider::End;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// What happens to any datagram, by chance. The default is a path on which nothing happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// From one end to the other.
    pub(crate) latency: Duration,
    /// Up to so much more, by chance.
    pub(crate) jitter: Duration,
    /// Percent of the datagrams that are lost.
    pub(crate) loss: u32,
    /// Percent that arrive twice.
    pub(crate) duplication: u32,
    /// Percent that later ones overtake.
    pub(crate) reordering: u32,
    /// Percent in which a bit falls over, somewhere in what is protected.
    pub(crate) corruption: u32,
    /// Percent that lose their end.
    pub(crate) truncation: u32,
    /// Longer datagrams vanish.
    pub(crate) mtu: usize,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(25),
            jitter: Duration::ZERO,
            loss: 0,
            duplication: 0,
            reordering: 0,
            corruption: 0,
            truncation: 0,
            mtu: usize::MAX,
        }
    }
}

/// What happens to one datagram, named by its place in the order in which both ends sent, or to one burst of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Lose(usize),
    /// The copy comes so much later.
    Duplicate(usize, Duration),
    Delay(usize, Duration),
    /// The datagrams that an end sends at once, in place of each other.
    Reverse(usize),
    /// The same in this order.
    Arrange(usize, Vec<usize>),
    /// Of such a burst the one at this place.
    LoseOf(usize, usize),
    /// It comes from another address than its sender's.
    Rewrite(usize),
    /// One record of it, by its place in the datagram.
    Record(usize, usize, Act),
    /// A bit of this octet falls over, another one in each octet.
    Corrupt(usize, usize),
    /// So many octets are left.
    Truncate(usize, usize),
    /// Every record with a part of this handshake message, in plaintext or under keys, the first so many times that it is sent.
    Message(u8, usize, Act),
    /// The ACK that one end sends at this place among its ACKs.
    Ack(End, usize, Act),
}

/// What happens to a record, which leaves the others of its datagram alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Lose,
    /// It comes again, alone, so much later.
    Duplicate(Duration),
    /// It comes alone, so much later.
    Delay(Duration),
    /// A bit in its middle falls over.
    Corrupt,
    /// Half of its payload is left, and its length says so.
    Truncate,
}

/// Datagrams on their way, in virtual time.
pub(crate) struct Network {
    /// By who sends.
    weather: [Weather; 2],
    pub(crate) faults: Vec<Fault>,
    rng: ChaCha8Rng,
    /// By arrival, and among those that arrive together by the order of sending.
    flying: BTreeMap<(Duration, usize), Flying>,
    keys: usize,
    pub(crate) ladder: Ladder,
    /// Datagrams sent so far.
    pub(crate) sent: usize,
    /// The lengths of the bursts sent so far: what one end had to say when it was asked.
    pub(crate) bursts: Vec<usize>,
    /// How often a handshake message was sent, as far as anybody has asked for that.
    messages: BTreeMap<u8, usize>,
    /// ACKs sent, likewise.
    acks: [usize; 2],
}

#[derive(Clone)]
pub(crate) struct Flying {
    pub(crate) from: End,
    pub(crate) source: From,
    ordinal: Option<usize>,
    pub(crate) datagram: Vec<u8>,
}

impl Network {
    /// A path with these faults and nothing else.
    pub(crate) fn with_faults(faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..Self::with_weather(Weather::default(), 0) }
    }

    pub(crate) fn with_weather(weather: Weather, seed: u64) -> Self {
        Self::asymmetric([weather; 2], seed)
    }

    /// What happens to the client's datagrams and what to the server's.
    pub(crate) fn asymmetric(weather: [Weather; 2], seed: u64) -> Self {
        Self {
            weather,
            faults: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            flying: BTreeMap::new(),
            keys: 0,
            ladder: Ladder::default(),
            sent: 0,
            bursts: Vec::new(),
            messages: BTreeMap::new(),
            acks: [0; 2],
        }
    }

    /// From now on nothing happens to anything.
    pub(crate) fn clear_up(&mut self) {
        self.weather = self.weather.map(|weather| Weather { latency: weather.latency, ..Weather::default() });
        self.faults.clear();
    }

    /// From now on nothing that this end sends arrives, or all of it.
    pub(crate) fn lose_all(&mut self, from: End, lost: bool) {
        self.weather[from as usize].loss = if lost { 100 } else { 0 };
    }

    /// From now on longer datagrams vanish, both ways.
    pub(crate) fn narrow(&mut self, mtu: usize) {
        for weather in &mut self.weather {
            weather.mtu = mtu;
        }
    }

    /// Takes what one end sends at once.
    pub(crate) fn send(&mut self, now: Duration, from: End, burst: Vec<Vec<u8>>) {
        if burst.is_empty() {
            return;
        }
        let (first, len) = (self.sent, burst.len());
        let mut arrivals = Vec::new();
        for (place, datagram) in burst.into_iter().enumerate() {
            if self.faults.contains(&Fault::LoseOf(self.bursts.len(), place)) {
                self.faults.push(Fault::Lose(self.sent));
            }
            self.log(now, from, Some(self.sent), What::Sent, &datagram);
            arrivals.extend(self.fate(now, from, self.sent, datagram));
            self.sent += 1;
        }
        let this = self.bursts.len();
        if self.faults.contains(&Fault::Reverse(this)) {
            arrivals.reverse();
        }
        let order = self.faults.iter().find_map(|fault| match fault {
            Fault::Arrange(which, order) if *which == this => Some(order),
            _ => None,
        });
        if let Some(order) = order {
            let place = |ordinal: Option<usize>| order.iter().position(|p| ordinal == Some(first + p));
            arrivals.sort_by_key(|(_, flying)| place(flying.ordinal));
        }
        self.bursts.push(len);
        debug_assert!(first < self.sent);
        for (at, flying) in arrivals {
            self.fly(at, flying);
        }
    }

    fn fly(&mut self, at: Duration, flying: Flying) {
        self.flying.insert((at, self.keys), flying);
        self.keys += 1;
    }

    /// When and how a datagram arrives: not at all, once, or more often.
    fn fate(&mut self, now: Duration, from: End, ordinal: usize, datagram: Vec<u8>) -> Vec<(Duration, Flying)> {
        let weather = self.weather[from as usize];
        if datagram.len() > weather.mtu {
            self.log(now, from, Some(ordinal), What::TooLong, &datagram);
            return Vec::new();
        }
        if self.faults.contains(&Fault::Lose(ordinal)) || self.chance(weather.loss) {
            self.log(now, from, Some(ordinal), What::Lost, &datagram);
            return Vec::new();
        }
        let mut arrival = now + weather.latency + self.up_to(weather.jitter);
        if self.chance(weather.reordering) {
            arrival += self.up_to(3 * weather.latency);
        }
        let mut copies = Vec::new();
        for fault in &self.faults {
            match *fault {
                Fault::Delay(which, by) if which == ordinal => arrival += by,
                Fault::Duplicate(which, later) if which == ordinal => copies.push(later),
                _ => {}
            }
        }
        if self.chance(weather.duplication) {
            copies.push(self.up_to(2 * weather.latency));
        }
        let (rest, alone) = self.act(from, ordinal, &datagram);
        let altered = self.alter(weather, ordinal, rest);
        if altered != datagram {
            self.log(now, from, Some(ordinal), What::Altered, &altered);
        }
        let rewritten = self.faults.contains(&Fault::Rewrite(ordinal));
        let source = if rewritten { From::Elsewhere } else { From::TheClient };
        let flying = |datagram: &[u8]| Flying { from, source, ordinal: Some(ordinal), datagram: datagram.to_vec() };
        let first = (arrival, flying(&altered));
        let alone = alone.iter().map(|(later, record)| (arrival + *later, flying(record)));
        // A copy is of what was sent: faults happen on the way.
        let copies = copies.into_iter().map(|later| (arrival + later, flying(&datagram)));
        std::iter::once(first).chain(alone).chain(copies).collect()
    }

    /// Corruption spares plaintext: UDP's checksum is all that protects it, and no handshake survives another random.
    fn alter(&mut self, weather: Weather, ordinal: usize, datagram: Vec<u8>) -> Vec<u8> {
        let mut altered = datagram;
        for fault in &self.faults {
            match fault {
                Fault::Corrupt(which, at) if *which == ordinal => {
                    if let Some(octet) = altered.get_mut(*at) {
                        *octet ^= 1 << (at % 8);
                    }
                }
                Fault::Truncate(which, len) if *which == ordinal => altered.truncate(*len),
                _ => {}
            }
        }
        let protected = !matches!(altered[..], [20..=26, _, _, 0, 0, ..]);
        if protected && self.chance(weather.corruption) && !altered.is_empty() {
            let at = self.below(altered.len());
            altered[at] ^= 1 << self.below(8);
        }
        if self.chance(weather.truncation) {
            let len = self.below(altered.len());
            altered.truncate(len);
        }
        altered
    }

    /// What is left of a datagram when single records are taken out of it, and those that come alone, how much later.
    fn act(&mut self, from: End, ordinal: usize, datagram: &[u8]) -> (Vec<u8>, Vec<(Duration, Vec<u8>)>) {
        let of_records = |fault: &Fault| matches!(fault, Fault::Record(..) | Fault::Message(..) | Fault::Ack(..));
        let (mut rest, mut alone) = (Vec::new(), Vec::new());
        if !self.faults.iter().any(of_records) {
            return (datagram.to_vec(), alone);
        }
        for (place, record) in split_records(datagram).into_iter().enumerate() {
            let contents = contents(from, record);
            self.count(from, &contents);
            let mut record = Some(record.to_vec());
            let hits = |fault: &&Fault| match fault {
                Fault::Record(which, at, _) => (*which, *at) == (ordinal, place),
                Fault::Message(message, times, _) => {
                    let holds = contents
                        .iter()
                        .any(|content| matches!(content, Content::Message(fragment) if fragment.message == *message));
                    holds && self.messages.get(message).is_some_and(|sent| sent <= times)
                }
                Fault::Ack(end, at, _) => {
                    *end == from && contents.contains(&Content::Ack) && self.acks[from as usize] == at + 1
                }
                _ => false,
            };
            for fault in self.faults.iter().filter(hits) {
                let (Fault::Record(.., act) | Fault::Message(.., act) | Fault::Ack(.., act)) = fault else { continue };
                match (act, &mut record) {
                    (Act::Lose, _) => record = None,
                    (Act::Duplicate(later), Some(record)) => alone.push((*later, record.clone())),
                    (Act::Delay(later), held @ Some(_)) => alone.extend(held.take().map(|record| (*later, record))),
                    (Act::Corrupt, Some(record)) => {
                        let middle = record.len() / 2;
                        record[middle] ^= 0x10;
                    }
                    (Act::Truncate, Some(record)) => crate::ladder::halve(record),
                    (_, None) => {}
                }
            }
            rest.extend(record.into_iter().flatten());
        }
        (rest, alone)
    }

    /// A message is sent again when its beginning is.
    fn count(&mut self, from: End, contents: &[Content]) {
        for content in contents {
            match content {
                Content::Message(fragment) if fragment.offset == 0 => {
                    *self.messages.entry(fragment.message).or_default() += 1;
                }
                Content::Ack => self.acks[from as usize] += 1,
                _ => {}
            }
        }
    }

    /// When the next datagram arrives.
    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next datagram that has arrived.
    pub(crate) fn arrive(&mut self, now: Duration) -> Option<Flying> {
        let entry = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        let flying = entry.remove();
        self.log(now, flying.from, flying.ordinal, What::Received, &flying.datagram);
        Some(flying)
    }

    /// Notes a datagram that someone else put on the path.
    pub(crate) fn log_noise(&mut self, now: Duration, from: End, datagram: &[u8]) {
        self.log(now, from, None, What::Received, datagram);
    }

    fn log(&mut self, at: Duration, from: End, ordinal: Option<usize>, what: What, datagram: &[u8]) {
        self.ladder.rungs.push(Rung { at, from, ordinal, what, datagram: datagram.to_vec() });
    }

    /// No number is drawn for what cannot happen.
    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.next_u64() % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        Duration::from_nanos(self.rng.next_u64() % (most.as_nanos() as u64))
    }
}
