//! Floor 4, both directions: what [`Outgoing`] cuts, [`Incoming`] puts together. Seeded; the seed is in every failure.

use super::*;
use crate::wire::{
    ack::{Epoch, RecordNumber},
    codec::Reader,
    enums::{ContentType, HandshakeType},
    handshake::{Fragment, FragmentHeader, OwnedMessage},
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::HashMap;

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.next_u32() as usize % n
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Seeds to try; under Miri each takes a hundred times as long.
fn seeds(count: u64) -> std::ops::Range<u64> {
    0..if cfg!(miri) { 3 } else { count }
}

const LIMITS: IncomingLimits = IncomingLimits { max_message: 70_000, max_buffered: 200_000 };
const KEYS: Epoch = Epoch(2);

fn message(message_seq: u16, len: usize) -> OwnedMessage {
    let body = (0..len).map(|i| (i * 7 + usize::from(message_seq) * 31 + i / 256) as u8).collect();
    OwnedMessage { msg_type: HandshakeType::CERTIFICATE, message_seq, body }
}

fn number(sequence: u64) -> RecordNumber {
    RecordNumber::new(KEYS, sequence)
}

/// Everything that is pending, as records of at most `room` octets.
fn drain(outgoing: &mut Outgoing, room: usize, first: u64) -> Vec<(Epoch, ContentType, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some(pending) = outgoing.next() {
        let mut buffer = vec![0xee; room];
        let n = outgoing.fill(&mut buffer).unwrap();
        assert!(n >= pending.smallest);
        outgoing.sent(number(first + records.len() as u64));
        buffer.truncate(n);
        records.push((pending.epoch, pending.content_type, buffer));
    }
    assert!(!outgoing.has_pending());
    assert_eq!(outgoing.fill(&mut [0; 100]), None);
    records
}

fn fragments(record: &[u8]) -> Vec<FragmentHeader> {
    let mut reader = Reader::new(record);
    std::iter::from_fn(|| (!reader.is_empty()).then(|| Fragment::read(&mut reader).unwrap().header)).collect()
}

/// As by default.
const MAX_SENT_RECORDS: usize = 32;

fn flight_of(lengths: &[usize]) -> Outgoing {
    let mut outgoing = Outgoing::new(MAX_SENT_RECORDS);
    outgoing.begin();
    for (seq, len) in lengths.iter().enumerate() {
        outgoing.push_message(KEYS, message(seq as u16, *len));
    }
    outgoing
}

fn receiver() -> Incoming {
    let mut incoming = Incoming::new(LIMITS);
    incoming.advance_epoch(KEYS).unwrap();
    incoming
}

/// Takes what is complete and compares it with what was sent.
fn take_all(incoming: &mut Incoming, lengths: &[usize]) -> usize {
    while let Some(received) = incoming.next() {
        let sent = message(received.message_seq, lengths[usize::from(received.message_seq)]);
        assert_eq!(received, sent.as_message());
        incoming.consume();
    }
    incoming.next_message_seq().map_or(lengths.len(), usize::from)
}

#[test]
fn every_room_carries_the_flight_filled_to_the_last_octet() {
    let lengths = [0, 1, 300, 0, 12, 13, 29, 1];
    for room in (13..400).step_by(if cfg!(miri) { 129 } else { 1 }) {
        let mut incoming = receiver();
        let records = drain(&mut flight_of(&lengths), room, 0);
        for (i, (epoch, content_type, record)) in records.iter().enumerate() {
            assert_eq!((*epoch, *content_type), (KEYS, ContentType::HANDSHAKE));
            let headers = fragments(record);
            let (last, before) = headers.split_last().unwrap();
            let finishes = |h: &FragmentHeader| h.fragment_offset + h.fragment_length == h.length;
            assert!(before.iter().all(finishes), "room {room}");
            if !finishes(last) {
                assert_eq!(record.len(), room);
            } else if i + 1 < records.len() {
                // The next fragment did not fit: not even one octet of it, or not its header if it has none.
                let next = fragments(&records[i + 1].2)[0];
                assert!(room - record.len() < 12 + next.length.min(1), "room {room}");
            }
            incoming.receive(KEYS, Trust::Protected, record).unwrap();
            take_all(&mut incoming, &lengths);
        }
        assert_eq!(take_all(&mut incoming, &lengths), lengths.len(), "room {room}");
    }
}

/// draft-ietf-tls-rfc9147bis §5.5: "The ranges MUST NOT overlap", they "jointly contain the entire handshake message" and are
/// each in one datagram; "Senders MUST NOT change handshake message bytes upon retransmission", however it is cut.
#[test]
fn rfc9147_5_5_fragments_tile_their_message_and_never_change() {
    let lengths = [0, 1, 300, 29];
    let mut outgoing = flight_of(&lengths);
    for room in [13, 14, 25, 26, 60, 311, 312, 313, 400] {
        let mut next = [0; 4];
        for (_, _, record) in drain(&mut outgoing, room, 0) {
            assert!(record.len() <= room);
            let mut reader = Reader::new(&record);
            while !reader.is_empty() {
                let Fragment { header, body } = Fragment::read(&mut reader).unwrap();
                let seq = usize::from(header.message_seq);
                assert_eq!((header.length, header.fragment_offset), (lengths[seq], next[seq]), "room {room}");
                let end = header.fragment_offset + header.fragment_length;
                assert_eq!(body, &message(header.message_seq, lengths[seq]).body[next[seq]..end], "room {room}");
                next[seq] = end;
            }
        }
        assert_eq!(next, lengths, "room {room}");
        outgoing.rewind();
    }
}

#[test]
fn as_many_records_are_remembered_as_it_is_told() {
    for (max_sent, acknowledged) in [(1, 1), (4, 4), (5, 5), (40, 5)] {
        let mut outgoing = Outgoing::new(max_sent);
        outgoing.begin();
        outgoing.push_message(KEYS, message(0, 5));
        let records = drain(&mut outgoing, 13, 0);
        assert_eq!(records.len(), 5);
        // One after the other, the oldest first: those that are forgotten say nothing.
        let known = (0..5).map(|sequence| outgoing.acknowledge([number(sequence)]));
        assert_eq!(known.filter(|known| *known != Acknowledged::Nothing).count(), acknowledged, "of {max_sent}");
    }
}

#[test]
fn rooms_too_small_are_left_alone() {
    let mut outgoing = flight_of(&[5]);
    assert_eq!(outgoing.next().unwrap().smallest, 13);
    assert_eq!(outgoing.fill(&mut [0; 12]), None);
    assert_eq!(outgoing.fill(&mut []), None);
    assert_eq!(outgoing.fill(&mut [0; 13]), Some(13));
    let mut outgoing = flight_of(&[0, 5]);
    assert_eq!(outgoing.next().unwrap().smallest, 12);
    assert_eq!(outgoing.fill(&mut [0; 11]), None);
    assert_eq!(outgoing.fill(&mut [0; 24]), Some(12));
    assert_eq!(outgoing.fill(&mut [0; 24]), Some(17));
    // No record is longer than a record may be.
    assert_eq!(flight_of(&[40_000]).fill(&mut [0; 50_000]), Some(1 << 14));
}

#[test]
fn epochs_and_change_cipher_spec_end_a_record() {
    let mut outgoing = Outgoing::new(MAX_SENT_RECORDS);
    outgoing.push_message(Epoch(0), message(0, 5));
    outgoing.push_message(Epoch(0), message(1, 5));
    outgoing.push_change_cipher_spec(Epoch(0));
    outgoing.push_message(Epoch(1), message(2, 5));
    for _ in 0..2 {
        let records = drain(&mut outgoing, 1000, 0);
        let shapes: Vec<_> = records.iter().map(|(e, t, r)| (e.0, *t, r.len())).collect();
        assert_eq!(
            shapes,
            [(0, ContentType::HANDSHAKE, 34), (0, ContentType::CHANGE_CIPHER_SPEC, 1), (1, ContentType::HANDSHAKE, 17)]
        );
        assert_eq!(records[1].2, [1]);
        outgoing.rewind();
    }
    outgoing.acknowledge_all();
    assert!(outgoing.is_acknowledged() && !outgoing.has_pending());
    outgoing.rewind();
    assert_eq!(outgoing.next(), None);
    // Whatever the epochs are, nothing follows a ChangeCipherSpec in its record.
    outgoing.push_change_cipher_spec(Epoch(0));
    outgoing.push_message(Epoch(0), message(0, 5));
    assert_eq!(drain(&mut outgoing, 1000, 0).iter().map(|(.., record)| record.len()).collect::<Vec<_>>(), [1, 17]);
}

#[test]
fn a_flight_tells_what_it_holds_and_what_of_it_waits() {
    let mut outgoing = Outgoing::new(MAX_SENT_RECORDS);
    assert_eq!((outgoing.buffered(), outgoing.has_pending(), outgoing.first_unsent()), (0, false, None));
    outgoing.push_message(Epoch(0), message(0, 100));
    outgoing.push_change_cipher_spec(Epoch(0));
    outgoing.push_message(Epoch(1), message(1, 30));
    assert!(outgoing.buffered() >= 130);
    assert!(outgoing.has_pending());
    for unsent in [Epoch(0), Epoch(0), Epoch(1)] {
        assert_eq!(outgoing.first_unsent(), Some(unsent));
        outgoing.fill(&mut [0; 1000]).unwrap();
    }
    assert_eq!((outgoing.has_pending(), outgoing.first_unsent()), (false, None));
    outgoing.rewind();
    assert_eq!((outgoing.has_pending(), outgoing.first_unsent()), (true, None), "to be sent again");
}

#[test]
fn a_retransmission_leaves_out_what_was_acknowledged() {
    let mut outgoing = flight_of(&[100, 0, 100]);
    // 0..38 | 38..76 | 76..100, empty | 0..38 (of 2) | …
    let records = drain(&mut outgoing, 50, 0);
    assert_eq!(outgoing.acknowledge([number(1)]), Acknowledged::Some);
    assert_eq!(outgoing.acknowledge([number(1)]), Acknowledged::Nothing);
    assert!(!outgoing.has_pending());
    outgoing.rewind();
    // Cut for another room, in one record, around the hole.
    let again = drain(&mut outgoing, 1000, 100);
    let cut: Vec<_> =
        fragments(&again[0].2).iter().map(|h| (h.message_seq, h.fragment_offset, h.fragment_length)).collect();
    assert_eq!(cut, [(0, 0, 38), (0, 76, 24), (1, 0, 0), (2, 0, 100)]);
    // The old records name the same octets, though they were sent again.
    let old = (2..records.len() as u64).map(number);
    assert_eq!(outgoing.acknowledge(old), Acknowledged::Some);
    outgoing.rewind();
    let rest = drain(&mut outgoing, 1000, 200);
    assert_eq!(fragments(&rest[0].2).len(), 1);
    assert_eq!(outgoing.acknowledge([number(100)]), Acknowledged::All);
    assert!(outgoing.is_acknowledged());
    assert_eq!(outgoing.acknowledge([number(100), number(0)]), Acknowledged::Nothing);
}

#[test]
fn numbers_never_sent_and_long_forgotten_say_nothing() {
    let mut outgoing = flight_of(&[33]);
    for sequence in 0..33 {
        outgoing.fill(&mut [0; 13]).unwrap();
        outgoing.sent(number(sequence));
    }
    let never = [number(33), RecordNumber { epoch: u64::MAX, sequence: u64::MAX }, RecordNumber::new(Epoch(3), 5)];
    assert_eq!(outgoing.acknowledge(never), Acknowledged::Nothing);
    // The thirty-third record pushed the first one out.
    assert_eq!(outgoing.acknowledge([number(0)]), Acknowledged::Nothing);
    assert_eq!(outgoing.acknowledge((0..33).map(number)), Acknowledged::Some);
    outgoing.rewind();
    let rest = drain(&mut outgoing, 100, 50);
    assert_eq!(fragments(&rest[0].2)[0].fragment_length, 1);
    // A new flight knows nothing of the old one's records.
    outgoing.begin();
    outgoing.push_message(KEYS, message(1, 1));
    assert_eq!(outgoing.acknowledge([number(50)]), Acknowledged::Nothing);
    assert!(!outgoing.is_acknowledged());
}

/// A lossy path with changing room and ACKs that come late, twice or never: the flight arrives, octets that were
/// acknowledged are never sent again, and each octet acknowledged was received.
#[test]
fn flights_arrive_over_a_lossy_path() {
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let lengths: Vec<_> = (0..1 + random.below(6)).map(|_| [0, 1, 40, 700, 3000][random.below(5)]).collect();
        let (mut outgoing, mut incoming) = (flight_of(&lengths), receiver());
        let mut carried: HashMap<RecordNumber, Vec<FragmentHeader>> = HashMap::new();
        let mut known: Vec<Vec<bool>> = lengths.iter().map(|l| vec![false; (*l).max(1)]).collect();
        let (mut sequence, mut arrived) = (0, Vec::new());
        for round in 0.. {
            assert!(round < 400, "seed {seed}");
            let room = 13 + random.below(1200);
            for (_, _, record) in drain(&mut outgoing, room, sequence) {
                let headers = fragments(&record);
                for header in &headers {
                    let units = header.fragment_offset..header.fragment_offset + header.fragment_length.max(1);
                    assert!(!known[usize::from(header.message_seq)][units].contains(&true), "seed {seed}");
                }
                carried.insert(number(sequence), headers);
                if random.below(3) > 0 {
                    let received = incoming.receive(KEYS, Trust::Protected, &record).unwrap();
                    if received.may_be_acknowledged() {
                        arrived.push(number(sequence));
                    }
                    take_all(&mut incoming, &lengths);
                }
                sequence += 1;
            }
            random.shuffle(&mut arrived);
            let acknowledged: Vec<_> = arrived.iter().copied().take(random.below(arrived.len() + 1)).collect();
            // As the flight remembers them: the last 32.
            for number in acknowledged.iter().filter(|n| n.sequence + 32 >= sequence) {
                for header in &carried[number] {
                    let units = header.fragment_offset..header.fragment_offset + header.fragment_length.max(1);
                    known[usize::from(header.message_seq)][units].fill(true);
                }
            }
            let all = known.iter().flatten().all(|k| *k);
            let result = outgoing.acknowledge(acknowledged);
            assert_eq!(result == Acknowledged::All, all, "seed {seed}");
            if all {
                break;
            }
            outgoing.rewind();
        }
        assert_eq!(take_all(&mut incoming, &lengths), lengths.len(), "seed {seed}");
        assert!(incoming.next().is_none() && outgoing.is_acknowledged());
    }
}

/// What [`Incoming`] should do, as simply as it can be said: an octet is there or it is not.
struct Model {
    next: usize,
    octets: Vec<Vec<Option<u8>>>,
    opened: Vec<bool>,
}

impl Model {
    fn receive(&mut self, header: &FragmentHeader, body: &[u8]) -> (Progress, Repeated, bool) {
        let seq = usize::from(header.message_seq);
        if seq < self.next {
            let repeated = match (seq + 1 == self.next, header.fragment_offset == 0) {
                (true, true) => Repeated::LastMessage,
                (true, false) => Repeated::RestOfLastMessage,
                (false, _) => Repeated::Old,
            };
            return (Progress::Nothing, repeated, true);
        }
        if seq >= self.next + 7 {
            return (Progress::Nothing, Repeated::Nothing, false);
        }
        let mut progress = Progress::Nothing;
        if header.length == 0 && !std::mem::replace(&mut self.opened[seq], true) {
            progress = Progress::Octets;
        }
        for (slot, byte) in self.octets[seq][header.fragment_offset..].iter_mut().zip(body) {
            if slot.replace(*byte).is_none() {
                self.opened[seq] = true;
                progress = Progress::Octets;
            }
        }
        (progress, Repeated::Nothing, true)
    }

    fn complete(&self) -> bool {
        self.octets.get(self.next).is_some_and(|o| self.opened[self.next] && o.iter().all(Option::is_some))
    }
}

#[test]
fn f1_f3_reassembly_agrees_with_the_model() {
    for (seed, trust) in seeds(200).map(|seed| (seed, [Trust::Protected, Trust::Plaintext][seed as usize % 2])) {
        let mut random = Random::new(seed);
        let epoch = if trust == Trust::Protected { KEYS } else { Epoch(0) };
        // Long ones, octet by octet, take Miri hours.
        let kinds = if cfg!(miri) { 4 } else { 7 };
        let lengths: Vec<_> =
            (0..1 + random.below(10)).map(|_| [0, 1, 2, 5, 256, 257, 600][random.below(kinds)]).collect();
        let mut incoming = if trust == Trust::Protected { receiver() } else { Incoming::new(LIMITS) };
        let octets = lengths.iter().map(|l| vec![None; *l]).collect();
        let mut model = Model { next: 0, octets, opened: vec![false; lengths.len()] };
        let messages: Vec<_> = (0..).zip(&lengths).map(|(seq, length)| message(seq, *length)).collect();
        let mut rounds = 0;
        while model.next < lengths.len() {
            rounds += 1;
            assert!(rounds < 20_000, "seed {seed}");
            // Mostly near what is expected, any range, also empty and overlapping ones.
            let seq = (model.next.saturating_sub(2) + random.below(10)).min(lengths.len() - 1);
            let (sent, length) = (&messages[seq], lengths[seq]);
            let offset = random.below(length + 1) * usize::from(random.below(8) > 0);
            let most = [1, 3, 1000][random.below(3)];
            let len = random.below((length - offset).min(most) + 1);
            let header = FragmentHeader {
                msg_type: sent.msg_type,
                length,
                message_seq: seq as u16,
                fragment_offset: offset,
                fragment_length: len,
            };
            let body = &sent.body[offset..offset + len];
            let expected = model.receive(&header, body);
            let received = incoming.receive(epoch, trust, &[&header.encode()[..], body].concat()).unwrap();
            assert_eq!((received.progress, received.repeated, received.may_be_acknowledged()), expected, "seed {seed}");
            assert_eq!(received.fault, None);
            while model.complete() {
                assert_eq!(incoming.next(), Some(messages[model.next].as_message()));
                incoming.consume();
                model.next += 1;
            }
            assert_eq!(incoming.next(), None, "seed {seed}");
        }
    }
}

/// Plaintext in which every second record is forged: the message comes through as long as the peer sends again.
#[test]
fn forgeries_delay_and_do_not_prevent() {
    for seed in seeds(100) {
        let mut random = Random::new(seed);
        let lengths = [500, 60];
        let mut incoming = Incoming::new(LIMITS);
        let mut next = 0;
        let mut rounds = 0;
        while next < lengths.len() {
            rounds += 1;
            assert!(rounds < 200, "seed {seed}");
            let mut flight = flight_of(&lengths);
            for (_, _, mut record) in drain(&mut flight, 200, 0) {
                for forged in [random.below(2) == 0, false] {
                    if forged {
                        let genuine = record.clone();
                        let at = random.below(record.len());
                        record[at] ^= 1 << random.below(8);
                        incoming.receive(Epoch(0), Trust::Plaintext, &record).unwrap();
                        record = genuine;
                    } else {
                        incoming.receive(Epoch(0), Trust::Plaintext, &record).unwrap();
                    }
                }
                while let Some(received) = incoming.next() {
                    if received == message(next as u16, lengths[next]).as_message() {
                        incoming.consume();
                        next += 1;
                        if next == lengths.len() {
                            break;
                        }
                    } else {
                        incoming.reject();
                    }
                }
                if next == lengths.len() {
                    break;
                }
            }
        }
    }
}

/// One octet in each fragment, in orders that make naive reassembly quadratic: twice the octets are twice the work.
#[test]
#[cfg_attr(miri, ignore = "takes hundreds of thousands of fragments")]
fn f7_single_octets_in_adverse_order_cost_linear_work() {
    const LEN: usize = 64_000;
    let orders: [fn(usize, usize) -> usize; 3] = [
        |len, i| len - 1 - i,
        |len, i| if i < len / 2 { len - 2 - 2 * i } else { len - 1 - 2 * (i - len / 2) },
        |len, i| i * 40_503 % len,
    ];
    for order in orders {
        let [half, whole] = [LEN / 2, LEN].map(|len| work_of_single_octets(len, |i| order(len, i)));
        // Compared with what is there, counted, and written: each time one octet, its block, and the end of the fragment.
        // Then copied, once.
        assert!(whole <= (3 * 3 + 1) * LEN + LEN / 128, "{whole}");
        assert!(whole * 10 <= half * 21, "{half} {whole}");
    }
}

fn work_of_single_octets(len: usize, order: impl Fn(usize) -> usize) -> usize {
    let (sent, mut incoming) = (message(0, len), receiver());
    assembly::WORK.set(0);
    for offset in (0..len).map(order) {
        let header = FragmentHeader {
            msg_type: sent.msg_type,
            length: len,
            message_seq: 0,
            fragment_offset: offset,
            fragment_length: 1,
        };
        let fragment = [&header.encode()[..], &sent.body[offset..=offset]].concat();
        let received = incoming.receive(KEYS, Trust::Protected, &fragment).unwrap();
        assert_eq!(received.progress, Progress::Octets);
    }
    assert_eq!(incoming.next(), Some(sent.as_message()));
    assembly::WORK.get()
}
