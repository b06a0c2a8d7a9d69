//! Two associations and a path between them that loses, delays, repeats, cuts and corrupts as the input says, while both ends'
//! applications send, close, update keys and change the MTU. Then the path is as good as any.
//!
//! * Both end in agreement, or one says why not: they complete with the same exporter and data passes, or there is an error.
//! * What happens to datagrams under keys, and their loss and order, is never a reason to fail.
//! * Nobody goes round in circles, and nobody holds more memory than it may.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use udtls::{Error, KeyUpdateRequest};
use udtls_fuzz::{
    input::Input,
    kinds::{KINDS, Kind, ORIGIN, Shape},
    provider::End,
    subject::Subject,
};

/// One way.
const LATENCY: Duration = Duration::from_millis(20);

/// Things that happen before all is quiet: twelve retransmissions of two ends, of flights of some datagrams.
const MAX_EVENTS: usize = 3000;

/// Octets. Far below, an ACK has room for two of the hundred records of a flight, and each ACK brings the others again: it
/// ends, after thousands of datagrams.
const MIN_MTU: usize = 200;

/// Steps of an input.
const MAX_STEPS: usize = 300;

struct World<'a> {
    ends: [Subject; 2],
    now: Instant,
    input: Input<'a>,
    steps: usize,
    /// By arrival, and among those that arrive together by the order of sending.
    flying: BTreeMap<(Instant, usize), (End, Vec<u8>)>,
    keys: usize,
    /// Something that anyone can change was changed, or an end was told to go.
    excused: bool,
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let kind = &KINDS[input.below(KINDS.len())];
    kind.begin();
    let mut world = World::new(kind, input);
    world.run(true);
    world.input = Input::new(&[]);
    world.run(false);
    world.settle(kind);
    world.ends.into_iter().for_each(Subject::finish);
});

impl<'a> World<'a> {
    fn new(kind: &Kind, input: Input<'a>) -> Self {
        let now = *ORIGIN;
        let ends = End::BOTH.map(|end| Subject::new(kind.new_end(end, now), now));
        let (steps, flying, keys, excused) = Default::default();
        Self { ends, now, input, steps, flying, keys, excused }
    }

    /// Until all is quiet, or the input is used up.
    fn run(&mut self, until_input_ends: bool) {
        for _ in 0..MAX_EVENTS {
            if until_input_ends && (self.input.is_empty() || self.steps >= MAX_STEPS) {
                return;
            }
            self.transmit();
            if !self.input.is_empty() {
                self.act();
                self.transmit();
            }
            let timers = self.ends.iter().filter_map(|end| end.connection.poll_timeout()).min();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = timers.into_iter().chain(arrival).min() else {
                if until_input_ends && !self.input.is_empty() {
                    continue;
                }
                return;
            };
            self.now = self.now.max(next);
            for end in &mut self.ends {
                let time = self.now.saturating_duration_since(end.now);
                if end.connection.poll_timeout().is_some_and(|due| due <= self.now) {
                    end.advance(time);
                } else {
                    end.now = self.now;
                }
            }
            if let Some(first) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, datagram) = first.remove();
                self.ends[from.other() as usize].receive(datagram);
            }
        }
        panic!("it goes round in circles: {:?}", self.ends.each_ref().map(|end| &end.connection));
    }

    fn transmit(&mut self) {
        for end in End::BOTH {
            for datagram in self.ends[end as usize].transmit() {
                self.send(end, datagram);
            }
        }
    }

    /// What the path does to a datagram.
    fn send(&mut self, from: End, mut datagram: Vec<u8>) {
        self.steps += 1;
        let mut arrival = self.now + LATENCY;
        let plaintext = matches!(datagram[..], [20..=26, _, _, 0, 0, ..]);
        match self.input.u8() {
            // Most get through, and all of them when the input is used up.
            0..=127 => {}
            128..=159 => return,
            160..=175 => {
                self.fly(arrival + Duration::from_millis(self.input.clone().u8().into()), from, datagram.clone())
            }
            176..=207 => arrival += Duration::from_millis(u64::from(self.input.u8()) << (self.input.u8() & 7)),
            208..=239 => {
                let at = usize::from(self.input.u16()) % datagram.len();
                let change = self.input.u8();
                self.excused |= plaintext && change != 0;
                datagram[at] ^= change;
            }
            _ => {
                let len = usize::from(self.input.u16()) % datagram.len();
                datagram.truncate(len);
            }
        }
        self.fly(arrival, from, datagram);
    }

    fn fly(&mut self, at: Instant, from: End, datagram: Vec<u8>) {
        self.flying.insert((at, self.keys), (from, datagram));
        self.keys += 1;
    }

    /// What an application does, if anything.
    fn act(&mut self) {
        self.steps += 1;
        let choice = self.input.u8();
        let from = End::BOTH[usize::from(choice & 1)];
        let end = &mut self.ends[from as usize];
        let now = self.now;
        end.now = now;
        match choice >> 1 {
            100..=107 => {
                let payload = self.input.short();
                if let Some(datagram) = end.send(payload) {
                    self.send(from, datagram);
                }
            }
            108..=111 => drop(end.connection.request_key_update(now, KeyUpdateRequest::Requested)),
            112..=113 => drop(end.connection.request_key_update(now, KeyUpdateRequest::NotRequested)),
            114..=117 => drop(end.connection.set_mtu(MIN_MTU + usize::from(self.input.u8()) * 8)),
            118 => end.advance(Duration::from_millis(u64::from(self.input.u8()) << (self.input.u8() & 15))),
            119 => {
                end.connection.close(now);
                self.excused = true;
            }
            120..=122 => {
                // A stranger's.
                let datagram = self.input.short().to_vec();
                self.excused |= matches!(datagram[..], [20..=26, _, _, 0, 0, ..]);
                self.fly(now, from, datagram);
            }
            123 => end.connection.hibernate(),
            124 => end.connection.datagram_too_large(MIN_MTU + usize::from(self.input.u8()) * 8),
            _ => {}
        }
        self.ends[from as usize].drain_events();
        let at = self.ends[from as usize].now;
        self.now = self.now.max(at);
    }

    /// The end of it all.
    fn settle(&mut self, kind: &Kind) {
        let failures: Vec<_> = self.ends.iter().filter_map(|end| end.failure.clone()).collect();
        let complete = self.ends.iter().all(|end| end.complete);
        let given_up = |end: &Subject| end.connection.stats().retransmissions >= 12;
        let patience = self.ends.iter().any(given_up);
        // Keys that bear few forgeries are worn out by them.
        let worn = kind.shape == Shape::Worn;
        if !self.excused && !patience && !worn {
            assert_eq!(failures, [], "what was lost, late or changed under keys is no reason to fail");
            assert!(complete, "both complete: {:?}", self.ends.each_ref().map(|end| &end.connection));
        }
        let established = self.ends.each_ref().map(|end| end.connection.is_established());
        if established == [true; 2] {
            let [one, other] = self.ends.each_ref().map(Subject::exported);
            assert!(one.is_some() && one == other, "the exporters agree");
            self.exchange();
        } else if !self.excused && !worn {
            let failed = !failures.is_empty() || self.ends.iter().any(Subject::is_closed);
            assert!(failed, "agreement or an error");
            let timed_out = |error: &Error| matches!(error, Error::TimedOut { .. } | Error::AlertReceived(_));
            assert!(failures.iter().all(timed_out), "{failures:?}");
        }
    }

    /// Data passes both ways.
    fn exchange(&mut self) {
        for from in End::BOTH {
            let end = &mut self.ends[from as usize];
            end.now = self.now;
            let Some(datagram) = end.send(b"the end") else { continue };
            let to = &mut self.ends[from.other() as usize];
            to.now = self.now;
            to.data.clear();
            to.receive(datagram);
            assert!(to.data == [b"the end"], "data passes");
        }
    }
}
