//! Fragments in every order, from honest clients and from forgers.

use super::*;
use crate::wire::{
    enums::HandshakeType,
    handshake::{Fragment, FragmentHeader},
};

const SEED: [u8; 32] = [7; 32];

fn source(n: u32) -> Source {
    let [_, a, b, c] = n.to_be_bytes();
    Source::new(std::net::SocketAddr::from(([10, a, b, c], 4433)), None).unwrap()
}

fn part(message_seq: u16, whole: &[u8], range: Range<usize>, record: u64) -> HelloFragment<'_> {
    let body = &whole[range.clone()];
    let header = FragmentHeader {
        msg_type: HandshakeType::CLIENT_HELLO,
        length: whole.len(),
        message_seq,
        fragment_offset: range.start,
        fragment_length: body.len(),
    };
    HelloFragment { fragment: Fragment { header, body }, record, received: body.len() + 25 }
}

fn hello(len: usize, tint: u8) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ tint).collect()
}

struct Scene {
    pool: FragmentPool,
    now: Instant,
}

impl Scene {
    fn new(slots: usize) -> Self {
        Self { pool: FragmentPool::new(slots, SEED), now: Instant::now() }
    }

    fn add(&mut self, from: u32, part: &HelloFragment<'_>) -> Added {
        self.pool.add(self.now, source(from), part)
    }

    fn take(&mut self, from: u32, message_seq: u16) -> Option<Vec<u8>> {
        let whole = self.pool.lend(self.now, source(from), message_seq)?;
        let body = whole.body[..whole.length].to_vec();
        self.pool.give_back(whole);
        Some(body)
    }
}

#[test]
fn fragments_come_in_any_order_overlap_and_repeat() {
    let whole = hello(1700, 0);
    let ranges = [0..600, 500..1200, 1200..1700, 100..200];
    for first in 0..4 {
        let mut scene = Scene::new(4);
        let mut order = ranges.to_vec();
        order.rotate_left(first);
        let mut added = Vec::new();
        for (record, range) in order.into_iter().enumerate() {
            added.push(scene.add(1, &part(0, &whole, range.clone(), record as u64)));
            if added.last() != Some(&Added::Whole) {
                assert_eq!(scene.add(1, &part(0, &whole, range, 9)), Added::Repeated);
            }
        }
        assert!(added.contains(&Added::Whole), "{first}");
        assert_eq!(scene.take(1, 0), Some(whole.clone()));
        assert_eq!((scene.take(1, 0), scene.take(1, 1), scene.take(2, 0)), (None, None, None));
    }
}

#[test]
fn an_answer_is_measured_by_what_came_and_numbered_by_the_highest_record() {
    let whole = hello(1000, 0);
    let mut scene = Scene::new(4);
    scene.add(1, &part(0, &whole, 500..1000, 8));
    // What repeats others lets no answer be longer.
    for _ in 0..9 {
        scene.add(1, &part(0, &whole, 600..1000, 9));
    }
    scene.add(1, &part(0, &whole, 0..500, 3));
    let taken = scene.pool.lend(scene.now, source(1), 0).unwrap();
    assert_eq!((taken.record, taken.received), (8, 1000 + 2 * 25));
}

#[test]
fn what_is_absurd_takes_no_room() {
    let mut scene = Scene::new(4);
    let long = vec![0; SLOT_LEN + 1];
    assert_eq!(scene.add(1, &part(0, &long, 0..100, 0)), Added::Refused);
    assert_eq!(scene.add(1, &part(0, &hello(100, 0), 50..50, 0)), Added::Refused);
    let mut beyond = part(0, &long[..100], 0..100, 0);
    beyond.fragment.header.fragment_offset = 90;
    beyond.fragment.header.length = 200;
    assert_eq!(scene.add(1, &beyond), Added::Kept, "within a slot");
    beyond.fragment.header.fragment_offset = usize::MAX - 10;
    assert_eq!(scene.add(1, &beyond), Added::Refused);
    assert_eq!(scene.pool.taken(scene.now), 1);
    assert_eq!(Scene::new(0).add(1, &part(0, &hello(100, 0), 0..50, 0)), Added::Refused);
}

/// Whoever speaks first with the client's address, number and length spoils nothing.
#[test]
fn a_contradiction_opens_another_candidate() {
    let (honest, forged) = (hello(1500, 0), hello(1500, 0x55));
    let mut scene = Scene::new(8);
    scene.add(1, &part(0, &forged, 0..1400, 0));
    assert_eq!(scene.add(1, &part(0, &honest, 0..1000, 0)), Added::Kept);
    assert_eq!(scene.add(1, &part(0, &honest, 1000..1500, 1)), Added::Whole);
    assert_eq!(scene.take(1, 0), Some(honest.clone()));
    // The forged half may be completed by the honest one: both are there to be judged.
    let mut scene = Scene::new(8);
    scene.add(1, &part(0, &forged, 0..1000, 0));
    scene.add(1, &part(0, &honest, 0..1000, 0));
    scene.add(1, &part(0, &honest, 1000..1500, 1));
    let both: Vec<_> = std::iter::from_fn(|| scene.take(1, 0)).collect();
    assert_eq!(both.len(), 2);
    assert!(both.contains(&honest));
}

#[test]
fn a_source_has_few_places_and_a_late_first_hello_never_takes_that_of_a_second() {
    let mut scene = Scene::new(64);
    let second = hello(1500, 1);
    scene.add(1, &part(1, &second, 0..1000, 1));
    for length in 0..100 {
        assert_eq!(scene.add(1, &part(0, &hello(1000 + length, 0), 0..900, 0)), Added::Kept);
    }
    assert_eq!(scene.pool.taken(scene.now), MAX_PER_SOURCE);
    assert_eq!(scene.add(1, &part(1, &second, 1000..1500, 2)), Added::Whole);
    // The same where the pool is full.
    let mut scene = Scene::new(2);
    scene.add(1, &part(1, &second, 0..1000, 1));
    scene.add(2, &part(0, &second, 0..1000, 1));
    for length in 0..100 {
        scene.add(1, &part(0, &hello(1000 + length, 0), 0..900, 0));
    }
    assert_eq!(scene.add(1, &part(1, &second, 1000..1500, 2)), Added::Whole);
}

#[test]
fn what_waits_too_long_is_gone_and_what_was_decided_is_forgotten() {
    let whole = hello(1500, 0);
    let mut scene = Scene::new(4);
    scene.add(1, &part(0, &whole, 0..1000, 0));
    scene.now += LIFE;
    assert_eq!(scene.pool.taken(scene.now), 0);
    assert_eq!(scene.add(1, &part(0, &whole, 1000..1500, 1)), Added::Kept);
    scene.add(1, &part(1, &whole, 0..1000, 2));
    scene.pool.forget(source(1), 0);
    assert_eq!(scene.pool.taken(scene.now), 1, "the second ClientHello stays");
}

#[test]
fn what_has_waited_for_long_makes_way_and_waits_on_while_there_is_room() {
    let whole = hello(1500, 0);
    let mut scene = Scene::new(2);
    for from in [1, 2] {
        scene.add(from, &part(0, &whole, 0..1000, 0));
        scene.now += Duration::from_nanos(1);
    }
    scene.now += CLAIM - Duration::from_nanos(2);
    // The first has waited so long, and the second not quite: no lot is drawn.
    assert_eq!(scene.add(3, &part(0, &whole, 0..1000, 0)), Added::Kept);
    assert_eq!(scene.add(2, &part(0, &whole, 1000..1500, 1)), Added::Whole);
    assert_eq!(scene.take(2, 0).as_deref(), Some(&whole[..]));
    // With room it waits for the next sending but one.
    scene.now += LIFE - Duration::from_nanos(1);
    assert_eq!(scene.add(3, &part(0, &whole, 1000..1500, 1)), Added::Whole);
}

/// 100 forged first fragments between any two datagrams of a client: at least 95 % of the clients are through after their
/// third transmission.
#[test]
fn a_flood_of_first_fragments_does_not_stop_honest_clients() {
    let (clients, honest) = (300, hello(1500, 0));
    let forged = hello(1400, 0x33);
    let mut scene = Scene::new(256);
    let mut forger = 1 << 20;
    let mut through = 0;
    for client in 0..clients {
        let mut complete = false;
        for transmission in 0..3 {
            for range in [0..1100, 1100..1500] {
                for _ in 0..100 {
                    forger += 1;
                    scene.add(forger, &part(0, &forged, 0..1100, 0));
                }
                complete |= scene.add(client, &part(0, &honest, range, 0)) == Added::Whole;
            }
            if complete {
                break;
            }
            scene.now += Duration::from_secs(1 << transmission);
        }
        through += u32::from(complete);
        while scene.take(client, 0).is_some() {}
    }
    assert!(through * 100 >= clients * 95, "{through} of {clients}");
}

#[test]
fn lots_are_even_and_follow_the_seed() {
    let draw = |seed| {
        let mut chance = Chance::new(seed);
        let mut counts = [0_u32; 16];
        for _ in 0..16_000 {
            counts[chance.below(16).unwrap()] += 1;
        }
        counts
    };
    assert!(draw(SEED).iter().all(|count| (800..1200).contains(count)));
    assert_eq!(draw(SEED), draw(SEED));
    assert_ne!(draw(SEED), draw([8; 32]));
    assert_eq!(Chance::new(SEED).below(0), None);
}

/// Later messages, as many as a source may have, do not keep an earlier one out: a forger may have sent them all.
#[test]
fn c9_later_messages_do_not_keep_an_earlier_one_out() {
    let honest = hello(1500, 0);
    let mut through = 0;
    for round in 0..100_u8 {
        let mut scene = Scene::new([8, 256][usize::from(round % 2)]);
        scene.pool.chance = Chance::new([round; 32]);
        for length in 0..10 {
            scene.add(1, &part(u16::MAX, &hello(1000 + length, 0), 0..900, 0));
        }
        assert_eq!(scene.pool.taken(scene.now), MAX_PER_SOURCE);
        assert_eq!(scene.add(1, &part(0, &honest, 0..1000, 0)), Added::Kept);
        // One more of them between the two parts of the client's.
        scene.add(1, &part(u16::MAX, &hello(2000, 0), 0..900, 0));
        through += usize::from(scene.add(1, &part(0, &honest, 1000..1500, 1)) == Added::Whole);
        assert!(scene.pool.taken(scene.now) <= MAX_PER_SOURCE);
    }
    assert!((60..90).contains(&through), "three of four: {through}");
}
