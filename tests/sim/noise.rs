//! What others put on the path, between honest datagrams: it changes no timer, draws no answer, ends nothing, and is counted
//! (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2).

use crate::kinds::{self, Kind};
use crate::ladder::first_record_len;
use crate::loss::Tally;
use crate::network::{Network, Weather};
use crate::pair::{PATIENCE, Pair, Stop, check, prove_handshake};
use crate::provider::End;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Makes noise out of an honest datagram that has just been delivered.
type Noise = fn(&mut ChaCha8Rng, honest: &[u8]) -> Vec<u8>;

#[test]
fn random_octets_do_not_disturb() {
    between_honest_datagrams("random octets", |rng, _| octets(rng, 1, 300));
}

#[test]
fn replays_do_not_disturb() {
    between_honest_datagrams("replays", |_, honest| honest.to_vec());
}

#[test]
fn truncated_replays_do_not_disturb() {
    between_honest_datagrams("truncated replays", |rng, honest| {
        // A datagram without its end may still be whole records: these are replays.
        honest[..below(rng, 1, honest.len())].to_vec()
    });
}

#[test]
fn damaged_replays_do_not_disturb() {
    between_honest_datagrams("damaged replays", |rng, honest| {
        let mut damaged = honest.to_vec();
        // Damaged plaintext is a forgery of its content, whatever its number.
        if !(0x20..0x40).contains(&honest[0]) && honest[3..5] == [0, 0] {
            return damaged;
        }
        let record = first_record_len(honest).unwrap_or(honest.len()).min(honest.len());
        let header = if (0x20..0x40).contains(&honest[0]) { 5 } else { 13 };
        damaged[below(rng, header, record)] ^= 1 << below(rng, 0, 8);
        damaged
    });
}

#[test]
fn r5_records_of_other_epochs_do_not_disturb() {
    between_honest_datagrams("other epochs", |rng, _| {
        let epoch = [2u16, 3, 7, 255, 0xFFFF][below(rng, 0, 5)];
        let body = octets(rng, 17, 80);
        classic(22, [0xFE, 0xFD], epoch, u64::from(rng.next_u32()), &body)
    });
}

#[test]
fn forged_ciphertexts_do_not_disturb() {
    between_honest_datagrams("forged ciphertexts", |rng, _| {
        let mut record = octets(rng, 21, 200);
        let body = u16::try_from(record.len() - 5).expect("short");
        // Epochs 2 and 3, 16 bits of number, a length (RFC 9147 §4).
        record[0] = 0x2C | (0x02 + below(rng, 0, 2) as u8);
        record[3..5].copy_from_slice(&body.to_be_bytes());
        record
    });
}

#[test]
fn forged_ciphertexts_with_full_headers_do_not_disturb() {
    between_honest_datagrams("forged 1.2 ciphertexts", |rng, _| {
        let content_type = [20, 21, 22, 23, 26][below(rng, 0, 5)];
        let body = octets(rng, 24, 200);
        classic(content_type, [0xFE, 0xFD], 1, rng.next_u64() >> 20, &body)
    });
}

#[test]
fn plaintext_that_makes_no_sense_does_not_disturb() {
    between_honest_datagrams("senseless plaintext", |rng, _| {
        let number = HIGH + u64::from(rng.next_u32());
        senseless(rng, number)
    });
}

#[test]
fn plaintext_that_uses_up_honest_numbers_only_delays() {
    // A forger who guesses the next record number makes the honest record a replay; it is sent again under another.
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for seed in crate::chaos::seeds(4) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut pair = Pair::new(kind, seed, Network::with_faults(&[]));
            let mut next = [0u64; 2];
            pair.run_with(PATIENCE, &mut |pair, to, _| {
                let next = &mut next[to as usize];
                *next += 1;
                if *next < 6 {
                    let forged = senseless(&mut rng, *next);
                    pair.network.log_noise(pair.now, to.other(), &forged);
                    pair.deliver(to, forged);
                }
            });
            tally.add(prove_handshake(&mut pair));
            pair.check_data();
        }
        tally.print(kind, "numbers used up");
    });
}

/// Handshakes with one datagram of noise after each honest one, for every kind.
fn between_honest_datagrams(class: &str, noise: Noise) {
    kinds::for_all(|kind| {
        let mut tally = Tally::default();
        for seed in crate::chaos::seeds(3) {
            tally.add(noisy(kind, seed, noise));
        }
        tally.print(kind, class);
    });
    // An endpoint answers a ClientHello that comes again, and counts what it drops itself: here the handshake matters.
    let cookies: Vec<_> = kinds::with_cookies().into_iter().filter(|kind| kind.shape.has_cookie()).collect();
    kinds::for_each(&cookies, |kind| {
        let mut tally = Tally::default();
        for seed in crate::chaos::seeds(3) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut pair = Pair::new(kind, seed, Network::with_faults(&[]));
            let stop = pair.run_with(PATIENCE, &mut |pair, to, honest| {
                let datagram = noise(&mut rng, honest);
                pair.network.log_noise(pair.now, to.other(), &datagram);
                pair.deliver(to, datagram);
            });
            check!(pair, stop == Stop::Quiet, "the handshake comes to rest");
            let figures = tally.add(prove_handshake(&mut pair));
            let clean = prove_handshake(&mut Pair::new(kind, seed, Network::with_faults(&[])));
            check!(pair, clean.complete_at == figures.complete_at, "no noise makes anyone wait");
            pair.check_data();
        }
        tally.print(kind, class);
    });
}

fn noisy(kind: &'static Kind, seed: u64, noise: Noise) -> crate::pair::Figures {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pair = Pair::new(kind, seed, Network::with_weather(Weather::default(), seed));
    let mut made = [0u64; 2];
    let stop = pair.run_with(PATIENCE, &mut |pair, to, honest| {
        let datagram = noise(&mut rng, honest);
        inject(pair, to, datagram);
        made[to as usize] += 1;
    });
    check!(pair, stop == Stop::Quiet, "the handshake comes to rest");
    let figures = prove_handshake(&mut pair);
    for end in End::BOTH {
        let stats = pair.side(end).connection.stats().clone();
        check!(pair, stats.discarded_in_all() >= made[end as usize], "all noise is counted");
        check!(pair, stats.retransmissions == 0, "no noise makes anyone repeat a flight");
    }
    let clean = crate::pair::prove(kind, seed, Network::with_faults(&[]));
    check!(pair, clean.complete_at == figures.complete_at, "no noise makes anyone wait");
    pair.check_data();
    figures
}

/// Delivers a datagram that is not the peer's: nothing may come of it but a count.
pub(crate) fn inject(pair: &mut Pair, to: End, datagram: Vec<u8>) {
    pair.transmit();
    let before = observe(pair, to);
    pair.network.log_noise(pair.now, to.other(), &datagram);
    pair.deliver(to, datagram);
    let answer = pair.poll_transmit(to);
    check!(pair, answer.is_empty(), "noise is not answered");
    let after = observe(pair, to);
    check!(pair, after == before, format!("noise changes nothing: {before:?}, {after:?}"));
}

/// What noise must not change.
#[derive(Debug, PartialEq)]
struct Observed {
    deadline: Option<std::time::Duration>,
    events: usize,
    delivered: usize,
    failure: Option<udtls::Error>,
    mtu: usize,
}

fn observe(pair: &mut Pair, end: End) -> Observed {
    let deadline = pair.deadline_of(end);
    let side = pair.side(end);
    Observed {
        deadline,
        events: side.events.len(),
        delivered: side.delivered.len(),
        failure: side.failure.clone(),
        mtu: side.connection.mtu(),
    }
}

/// A plaintext record that no peer sends.
fn senseless(rng: &mut ChaCha8Rng, number: u64) -> Vec<u8> {
    let garbage = octets(rng, 1, 40);
    let version = [[0xFE, 0xFD], [0xFE, 0xFF]][below(rng, 0, 2)];
    let (content_type, body): (u8, Vec<u8>) = match below(rng, 0, 8) {
        // An alert of three octets, and one of an unknown level.
        0 => (21, vec![2, 40, 0]),
        1 => (21, vec![7, 40]),
        // A ChangeCipherSpec that is none (RFC 5246 §7.1).
        2 => (20, vec![2]),
        // Application data without keys.
        3 => (23, garbage),
        // An unknown content type.
        4 => (24, garbage),
        // An ACK whose list is cut short.
        5 => (26, vec![0, 16, 0, 0, 0]),
        // A handshake header without its end, and a fragment beyond the end of its message (RFC 6347 §4.2.3).
        6 => (22, vec![11, 0, 0, 9, 0]),
        _ => (22, vec![11, 0, 0, 2, 0, 1, 0, 0, 1, 0, 0, 2, 0xAA, 0xBB]),
    };
    classic(content_type, version, 0, number, &body)
}

/// No honest end has sent so many records.
const HIGH: u64 = 1 << 40;

/// A record with the header of 13 octets (RFC 6347 §4.1).
pub(crate) fn classic(content_type: u8, version: [u8; 2], epoch: u16, number: u64, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type];
    record.extend(version);
    record.extend(epoch.to_be_bytes());
    record.extend(&number.to_be_bytes()[2..]);
    record.extend(u16::try_from(body.len()).expect("a record").to_be_bytes());
    record.extend(body);
    record
}

pub(crate) fn octets(rng: &mut ChaCha8Rng, from: usize, to: usize) -> Vec<u8> {
    let mut octets = vec![0; below(rng, from, to)];
    rng.fill_bytes(&mut octets);
    octets
}

pub(crate) fn below(rng: &mut ChaCha8Rng, from: usize, to: usize) -> usize {
    from + rng.next_u64() as usize % to.saturating_sub(from).max(1)
}
