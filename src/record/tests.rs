//! Properties of the record layer, with keys of every suite.

mod limits;
mod nonces;
mod plaintext;
mod settings;

use super::*;
use crate::crypto::{
    aead::AeadKey,
    hkdf::record_keys,
    mask::MaskKey,
    secret::Secret,
    suites::{AeadAlgorithm, Suite, Suite13, usable_suites},
};
use crate::error::PeerMisbehaved;
use crate::wire::record::{MAX_PLAINTEXT_LEN, MAX_SEQUENCE_48, UnifiedFlags};
use rustls::crypto::aws_lc_rs::default_provider;

/// A small source of numbers, the same on every run.
pub(super) struct Lcg(u64);

impl Lcg {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() & 0xff) as u8).collect()
    }
}

/// A record that was opened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) content_type: ContentType,
    pub(super) number: RecordNumber,
    pub(super) payload: Vec<u8>,
}

impl Seen {
    fn new(epoch: Epoch, sequence: u64, payload: &[u8]) -> Self {
        let (content_type, number) = (ContentType::APPLICATION_DATA, RecordNumber::new(epoch, sequence));
        Self { content_type, number, payload: payload.to_vec() }
    }
}

/// Everything in a datagram; each call must take something from it.
fn try_all(layer: &mut RecordLayer, datagram: &[u8]) -> Result<(Vec<Seen>, Vec<Discard>), Error> {
    let mut octets = datagram.to_vec();
    let (mut seen, mut discarded) = (Vec::new(), Vec::new());
    let mut rest = &mut *octets;
    while !rest.is_empty() {
        let before = rest.len();
        match layer.open(&mut rest)? {
            Opened::Record(Record { content_type, number, epoch, payload, .. }) => {
                assert_eq!(u64::from(epoch.0), number.epoch);
                seen.push(Seen { content_type, number, payload: payload.to_vec() });
            }
            Opened::Early(_) => discarded.push(Discard::EarlyRecord),
            Opened::Discarded(reason) => discarded.push(reason),
        }
        assert!(rest.len() < before, "no progress");
    }
    Ok((seen, discarded))
}

pub(super) fn open_all(layer: &mut RecordLayer, datagram: &[u8]) -> (Vec<Seen>, Vec<Discard>) {
    try_all(layer, datagram).unwrap()
}

pub(super) fn open_one(layer: &mut RecordLayer, datagram: &[u8]) -> Seen {
    let (mut seen, discarded) = open_all(layer, datagram);
    assert_eq!((seen.len(), &discarded), (1, &vec![]));
    seen.remove(0)
}

/// Every truncation and every changed bit of a record gives nothing, and moves no window.
pub(super) fn every_discard(layer: &mut RecordLayer, record: &[u8]) {
    let before: Vec<_> = layer.read.iter().map(ReadEpoch::expected_sequence).collect();
    let cut = (1..record.len()).map(|len| record[..len].to_vec());
    let changed = (0..record.len() * 8).map(|bit| {
        let mut changed = record.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    });
    for forged in cut.chain(changed) {
        let (seen, discarded) = open_all(layer, &forged);
        // A changed epoch makes an unprotected record of it: those who trust plaintext are told which it is.
        assert!(seen.iter().all(|seen| seen.number.epoch == 0), "{forged:02x?} gave {seen:02x?}");
        assert!(seen.len() + discarded.len() >= 1);
    }
    let after: Vec<_> = layer.read.iter().map(ReadEpoch::expected_sequence).collect();
    assert_eq!(before[1..], after[1..]);
}

/// Keys of each suite, and the first epoch that they are for.
fn all_keys() -> Vec<(Epoch, TrafficKeys)> {
    let suites = usable_suites(&default_provider());
    suites.iter().map(|suite| (first_epoch(suite), keys(suite, 1))).collect()
}

fn first_epoch(suite: &Suite) -> Epoch {
    match suite {
        Suite::Dtls12(_) => Epoch(1),
        Suite::Dtls13(_) => Epoch(3),
    }
}

fn keys(suite: &Suite, seed: u8) -> TrafficKeys {
    let secret = |len: usize| Secret::new(&vec![seed; len]).unwrap();
    match suite {
        Suite::Dtls12(suite) => TrafficKeys::Dtls12 {
            aead: suite.aead,
            key: secret(suite.aead.key_len()),
            fixed_iv: secret(suite.aead.fixed_iv_len()),
        },
        Suite::Dtls13(suite) => TrafficKeys::Dtls13 { suite: *suite, secret: secret(suite.hash().output_len()) },
    }
}

fn suites13() -> impl Iterator<Item = Suite13> {
    usable_suites(&default_provider()).into_iter().filter_map(|suite| match suite {
        Suite::Dtls13(suite) => Some(suite),
        Suite::Dtls12(_) => None,
    })
}

/// One that sends and one that receives.
fn pair(epoch: Epoch, keys: &TrafficKeys) -> (RecordLayer, RecordLayer) {
    let (mut sender, mut receiver) = (RecordLayer::new(), RecordLayer::new());
    sender.install_write(epoch, keys).unwrap();
    receiver.install_read(epoch, keys).unwrap();
    (sender, receiver)
}

fn seal(layer: &mut RecordLayer, epoch: Epoch, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + layer.overhead(epoch).unwrap()];
    let sealed = layer.seal(epoch, ContentType::APPLICATION_DATA, &mut out, |room| {
        room[..payload.len()].copy_from_slice(payload);
        Some(payload.len())
    });
    assert_eq!(sealed.unwrap().unwrap().len, out.len());
    out
}

/// A record of DTLS 1.3 as another implementation may build it: any header, any inner plaintext.
fn craft(suite: Suite13, seed: u8, flags: u8, sequence: u64, inner: &[u8]) -> Vec<u8> {
    let secret = Secret::new(&vec![seed; suite.hash().output_len()]).unwrap();
    let keys = record_keys(suite.hkdf(), suite.aead, &secret).unwrap();
    let flags = UnifiedFlags::read(flags).unwrap();
    let [.., high, low] = sequence.to_be_bytes();
    let mut record = if flags.has_sequence_16() { vec![flags.0, high, low] } else { vec![flags.0, low] };
    if flags.has_length() {
        record.extend_from_slice(&u16::try_from(inner.len() + 16).unwrap().to_be_bytes());
    }
    let mut nonce = keys.iv;
    nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()).for_each(|(octet, s)| *octet ^= s);
    let mut sealed = inner.to_vec();
    let mut tag = [0; AeadAlgorithm::TAG_LEN];
    AeadKey::new(suite.aead, keys.key.as_ref()).unwrap().seal(nonce, &record, &mut sealed, &mut tag).unwrap();
    sealed.extend_from_slice(&tag);
    let mask = MaskKey::new(suite.aead, keys.sn_key.as_ref()).unwrap().mask(&sealed).unwrap();
    record[1] ^= mask[0];
    if flags.has_sequence_16() {
        record[2] ^= mask[1];
    }
    record.extend_from_slice(&sealed);
    record
}

/// Sequence number in 8 or 16 bits, with and without length, epoch 3.
const FORMS: [u8; 4] = [0b0010_0011, 0b0010_0111, 0b0010_1011, 0b0010_1111];

// ---- round trips

#[test]
fn k1_what_is_sealed_opens_at_every_size() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let mut random = Lcg::new(2);
        let sizes = (0..300).chain([1200, 1400, MAX_PLAINTEXT_LEN - 1, MAX_PLAINTEXT_LEN]);
        for (sequence, len) in sizes.enumerate() {
            let payload = random.octets(len);
            let record = seal(&mut sender, epoch, &payload);
            assert_eq!(open_one(&mut receiver, &record), Seen::new(epoch, sequence as u64, &payload));
        }
    }
}

#[test]
fn sealing_in_place_is_the_same_as_sealing() {
    for (epoch, keys) in all_keys() {
        let (mut one, mut other) = (pair(epoch, &keys).0, pair(epoch, &keys).0);
        let header_len = one.header_len(epoch).unwrap();
        let overhead = one.overhead(epoch).unwrap();
        let mut buffer = vec![7; 3 + overhead + 100 + 5];
        let payload = 3 + header_len..3 + header_len + 100;
        let record = one.seal_in_place(epoch, ContentType::APPLICATION_DATA, &mut buffer, payload).unwrap();
        assert_eq!(record, 3..3 + overhead + 100);
        assert_eq!(buffer[record.clone()], seal(&mut other, epoch, &[7; 100]));
        assert!(buffer[..record.start].iter().chain(&buffer[record.end..]).all(|octet| *octet == 7));
    }
}

#[test]
fn every_header_form_opens() {
    for suite in suites13() {
        for flags in FORMS {
            for padding in [0, 1, 100] {
                let mut receiver = pair(Epoch(3), &keys(&Suite::Dtls13(suite), 5)).1;
                let inner = [b"data\x17".to_vec(), vec![0; padding]].concat();
                let record = craft(suite, 5, flags, 0x77, &inner);
                assert_eq!(open_one(&mut receiver, &record), Seen::new(Epoch(3), 0x77, b"data"));
                every_discard(&mut receiver, &record);
            }
        }
    }
}

// ---- splitting

#[test]
fn a_record_without_length_takes_the_rest() {
    let suite = suites13().next().unwrap();
    let mut receiver = pair(Epoch(3), &keys(&Suite::Dtls13(suite), 5)).1;
    let datagram = [craft(suite, 5, FORMS[3], 0, b"one\x17"), craft(suite, 5, FORMS[0], 1, b"two\x17")].concat();
    let seen = open_all(&mut receiver, &datagram);
    assert_eq!(seen, (vec![Seen::new(Epoch(3), 0, b"one"), Seen::new(Epoch(3), 1, b"two")], vec![]));
    let datagram = [craft(suite, 5, FORMS[0], 2, b"three\x17"), craft(suite, 5, FORMS[3], 3, b"four\x17")].concat();
    assert_eq!(open_all(&mut receiver, &datagram), (vec![], vec![Discard::Undecryptable]));
}

#[test]
fn a_bad_record_leaves_those_around_it_intact() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let mut records: Vec<_> = (0..5u8).map(|n| seal(&mut sender, epoch, &[n; 20])).collect();
        *records[1].last_mut().unwrap() ^= 1;
        records[3] = records[2].clone();
        let (seen, discarded) = open_all(&mut receiver, &records.concat());
        assert_eq!(seen, [0, 2, 4].map(|n| Seen::new(epoch, n, &[n as u8; 20])));
        assert_eq!(discarded, [Discard::Undecryptable, Discard::Replayed]);
    }
}

#[test]
fn too_long_records_cost_only_themselves() {
    let good = b"\x16\xfe\xfd\0\0\0\0\0\0\0\x09\0\x01x";
    let full = |epoch: u8, len: usize| {
        let [l0, l1] = u16::try_from(len).unwrap().to_be_bytes();
        [&[22, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, l0, l1][..], &vec![0; len], good].concat()
    };
    let unified = |len: usize| {
        let [l0, l1] = u16::try_from(len).unwrap().to_be_bytes();
        [&[0x2f, 0, 0, l0, l1][..], &vec![0; len], good].concat()
    };
    let (_, keys12) = all_keys().into_iter().find(|(epoch, _)| *epoch == Epoch(1)).unwrap();
    let (_, keys13) = all_keys().into_iter().find(|(epoch, _)| *epoch == Epoch(3)).unwrap();
    let discards = |epoch, keys, datagram: &[u8]| {
        let (seen, discarded) = open_all(&mut pair(Epoch(epoch), keys).1, datagram);
        assert_eq!(seen.last().map(|seen| &seen.payload[..]), Some(&b"x"[..]));
        discarded
    };
    assert_eq!(discards(1, &keys12, &full(0, MAX_PLAINTEXT_LEN)), []);
    assert_eq!(discards(1, &keys12, &full(0, MAX_PLAINTEXT_LEN + 1)), [Discard::RecordTooLong]);
    assert_eq!(discards(1, &keys12, &full(1, MAX_PLAINTEXT_LEN + 2048)), [Discard::Undecryptable]);
    assert_eq!(discards(1, &keys12, &full(1, MAX_PLAINTEXT_LEN + 2049)), [Discard::RecordTooLong]);
    assert_eq!(discards(3, &keys13, &unified(MAX_PLAINTEXT_LEN + 256)), [Discard::Undecryptable]);
    assert_eq!(discards(3, &keys13, &unified(MAX_PLAINTEXT_LEN + 257)), [Discard::RecordTooLong]);
}

#[test]
fn garbage_is_discarded_and_nothing_else() {
    let mut random = Lcg::new(3);
    let mut layers: Vec<_> = all_keys().iter().map(|(epoch, keys)| pair(*epoch, keys).1).collect();
    layers.push(RecordLayer::new());
    for round in 0..20_000 {
        let len = random.below(80) as usize;
        let mut datagram = random.octets(len);
        // Half of them begin well.
        let starts: [&[u8]; 4] = [b"\x16\xfe\xfd\0\0", b"\x17\xfe\xfd\0\x01", b"\x2f", b"\x23"];
        if let (0, Some(start)) = (round % 2, starts.get(round / 2 % 4)) {
            datagram.splice(..start.len().min(len), start.iter().copied());
        }
        for layer in &mut layers {
            let (seen, _) = open_all(layer, &datagram);
            assert!(seen.iter().all(|seen| seen.number.epoch == 0));
        }
    }
}

// ---- epochs

#[test]
fn several_epochs_side_by_side() {
    for suite in usable_suites(&default_provider()) {
        let Suite::Dtls13(_) = suite else { continue };
        let (mut sender, mut receiver) = (RecordLayer::new(), RecordLayer::new());
        for epoch in 2..=5 {
            sender.install_write(Epoch(epoch), &keys(&suite, epoch as u8)).unwrap();
            receiver.install_read(Epoch(epoch), &keys(&suite, epoch as u8)).unwrap();
        }
        for sequence in 0..3 {
            for epoch in [5, 0, 3, 2, 4].map(Epoch) {
                let record = seal(&mut sender, epoch, b"data");
                assert_eq!(open_one(&mut receiver, &record), Seen::new(epoch, sequence, b"data"));
            }
        }
        receiver.drop_read_below(Epoch(4));
        sender.drop_write_below(Epoch(4));
        assert_eq!(sender.overhead(Epoch(3)), None);
        assert_eq!(open_one(&mut receiver, &seal(&mut sender, Epoch(4), b"data")).number.epoch, 4);
        assert_eq!(open_all(&mut receiver, &[0x2b; 60]).1, [Discard::UnknownEpoch]);
        assert_eq!(open_all(&mut receiver, b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\0").1, [Discard::UnknownEpoch]);
    }
}

#[test]
fn of_epochs_with_the_same_bits_the_newest_is_meant() {
    let suite = Suite::Dtls13(suites13().next().unwrap());
    let (mut sender, mut receiver) = (RecordLayer::new(), RecordLayer::new());
    for epoch in 2..=300 {
        sender.install_write(Epoch(epoch), &keys(&suite, epoch as u8)).unwrap();
        receiver.install_read(Epoch(epoch), &keys(&suite, epoch as u8)).unwrap();
        for recent in (epoch.saturating_sub(3).max(2)..=epoch).map(Epoch) {
            let record = seal(&mut sender, recent, b"data");
            assert_eq!(open_one(&mut receiver, &record).number.epoch, u64::from(recent.0));
        }
        if let Some(unreachable) = epoch.checked_sub(4).filter(|epoch| *epoch >= 2) {
            let record = seal(&mut sender, Epoch(unreachable), b"data");
            assert_eq!(open_all(&mut receiver, &record), (vec![], vec![Discard::Undecryptable]));
        }
        assert!(receiver.read.len() <= 5);
    }
}

#[test]
fn epochs_only_go_forward() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        for again in [epoch, Epoch::PLAINTEXT] {
            assert_eq!(sender.install_write(again, &keys), Err(Error::NumbersExhausted));
            assert_eq!(receiver.install_read(again, &keys), Err(Error::NumbersExhausted));
        }
    }
}

#[test]
fn the_first_epoch_with_keys_may_come_early() {
    let early = |layer: &mut RecordLayer, record: &[u8]| {
        let mut octets = [record, b"\x16"].concat();
        let mut rest = &mut *octets;
        match layer.open(&mut rest) {
            Ok(Opened::Early(raw)) => {
                assert_eq!((&*raw, rest.len()), (record, 1));
                true
            }
            Ok(Opened::Discarded(Discard::UnknownEpoch)) => false,
            _ => panic!("neither early nor unknown"),
        }
    };
    for suite in usable_suites(&default_provider()) {
        let mut sender = RecordLayer::new();
        for epoch in [1, 2, 3].map(Epoch) {
            sender.install_write(epoch, &keys(&suite, 1)).unwrap();
            let record = seal(&mut sender, epoch, b"data");
            let expected = match suite {
                Suite::Dtls12(_) => Epoch(1),
                Suite::Dtls13(_) => Epoch(2),
            };
            assert_eq!(early(&mut RecordLayer::new(), &record), epoch == expected);
            let mut later = RecordLayer::new();
            later.install_read(Epoch(100), &keys(&suite, 2)).unwrap();
            if UnifiedFlags::read(record[0]).is_none_or(|flags| !flags.matches(100)) {
                assert!(!early(&mut later, &record));
            }
        }
    }
}

#[test]
fn headers_of_the_other_form_are_of_no_known_epoch() {
    for (epoch, keys) in all_keys() {
        let mut receiver = pair(epoch, &keys).1;
        let record = match epoch {
            Epoch(1) => [&[0x29][..], &[0; 40]].concat(),
            _ => [b"\x17\xfe\xfd\0\x03\0\0\0\0\0\0\0\x28".to_vec(), vec![0; 40]].concat(),
        };
        assert_eq!(open_all(&mut receiver, &record).1, [Discard::UnknownEpoch]);
    }
}

#[test]
fn sm48_a_protected_record_of_another_version_is_discarded() {
    for (epoch, keys) in all_keys().into_iter().filter(|(epoch, _)| *epoch == Epoch(1)) {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let mut record = seal(&mut sender, epoch, b"data");
        record[2] = 0xff;
        assert_eq!(open_all(&mut receiver, &record), (vec![], vec![Discard::UnknownVersion]));
    }
}

// ---- replay

#[test]
fn sm48_old_and_repeated_records_are_told_apart() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let records: Vec<_> = (0..300).map(|_| seal(&mut sender, epoch, b"data")).collect();
        open_one(&mut receiver, &records[299]);
        for (sequence, record) in records.iter().enumerate() {
            let reasons = match sequence {
                0..44 => vec![Discard::TooOld],
                44..299 => vec![],
                _ => vec![Discard::Replayed],
            };
            assert_eq!(open_all(&mut receiver, record).1, reasons, "{sequence}");
        }
        assert!(records[44..].iter().all(|record| open_all(&mut receiver, record).1 == [Discard::Replayed]));
    }
}

/// RFC 9147 §4.5.1: "This check SHOULD happen after deprotecting the record": a forgery is a forgery whatever number it bears,
/// and counts as one. RFC 6347 §4.1.2.6 would have it checked first, to save work; so it is where the number is in the clear.
#[test]
fn rfc9147_4_5_1_replay_is_told_only_of_what_authenticates() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let record = seal(&mut sender, epoch, b"data");
        let mut forged = record.clone();
        *forged.last_mut().unwrap() ^= 1;
        open_one(&mut receiver, &record);
        assert_eq!(open_all(&mut receiver, &record).1, [Discard::Replayed]);
        let expected = if epoch == Epoch(1) { Discard::Replayed } else { Discard::Undecryptable };
        assert_eq!(open_all(&mut receiver, &forged).1, [expected]);
    }
}

#[test]
fn r1_forged_records_never_move_the_window() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let first = seal(&mut sender, epoch, b"data");
        sender.write.last_mut().unwrap().skip_to(30_000);
        let mut far = seal(&mut sender, epoch, b"data");
        *far.last_mut().unwrap() ^= 1;
        for _ in 0..300 {
            assert_eq!(open_all(&mut receiver, &far).1, [Discard::Undecryptable]);
        }
        assert_eq!(open_one(&mut receiver, &first).number.sequence, 0);
    }
}

#[test]
fn truncated_numbers_follow_the_sender() {
    for suite in suites13() {
        let mut receiver = pair(Epoch(3), &keys(&Suite::Dtls13(suite), 5)).1;
        let mut sequence = 0;
        for step in [0, 1, 100, 127, 128, 1, 2, 90, 128] {
            sequence += step;
            let record = craft(suite, 5, FORMS[1], sequence, b"data\x17");
            if step == 0 && sequence != 0 {
                continue;
            }
            assert_eq!(open_one(&mut receiver, &record).number.sequence, sequence);
        }
        sequence += 0x8000;
        let record = craft(suite, 5, FORMS[3], sequence, b"data\x17");
        assert_eq!(open_one(&mut receiver, &record).number.sequence, sequence);
        // Beyond half of what sixteen bits tell, the number is lost.
        let record = craft(suite, 5, FORMS[3], sequence + 0x8002, b"data\x17");
        assert_eq!(open_all(&mut receiver, &record).1, [Discard::Undecryptable]);
    }
}

// ---- what authenticates and is wrong

#[test]
fn k1_too_long_a_plaintext_is_the_peers_fault() {
    let too_long = Err(Error::PeerMisbehaved(PeerMisbehaved::PlaintextTooLong));
    for suite in suites13() {
        let layer = || pair(Epoch(3), &keys(&Suite::Dtls13(suite), 5)).1;
        let inner = |content: usize, padding: usize| [vec![1; content], vec![23], vec![0; padding]].concat();
        for (content, padding) in [(MAX_PLAINTEXT_LEN, 0), (0, MAX_PLAINTEXT_LEN), (100, MAX_PLAINTEXT_LEN - 100)] {
            let record = craft(suite, 5, FORMS[3], 0, &inner(content, padding));
            assert_eq!(open_one(&mut layer(), &record).payload.len(), content);
            let record = craft(suite, 5, FORMS[3], 0, &inner(content, padding + 1));
            assert_eq!(try_all(&mut layer(), &record), too_long);
        }
    }
    for suite in usable_suites(&default_provider()) {
        let Suite::Dtls12(suite12) = suite else { continue };
        for len in [MAX_PLAINTEXT_LEN, MAX_PLAINTEXT_LEN + 1] {
            let record = craft12(suite12.aead, 5, len);
            match try_all(&mut pair(Epoch(1), &keys(&suite, 5)).1, &record) {
                Ok((seen, discarded)) => assert_eq!((len, seen.len(), discarded), (MAX_PLAINTEXT_LEN, 1, vec![])),
                wrong => assert_eq!((len, wrong), (MAX_PLAINTEXT_LEN + 1, too_long.clone())),
            }
        }
    }
}

/// A record of DTLS 1.2 with number 9 and `len` zeroes; its explicit nonce, if any, is not epoch and sequence number.
fn craft12(aead: AeadAlgorithm, seed: u8, len: usize) -> Vec<u8> {
    let place = [0, 1, 0, 0, 0, 0, 0, 9];
    let explicit = vec![0xee; aead.explicit_nonce_len()];
    let mut nonce = [seed; 12];
    match explicit.is_empty() {
        true => nonce.iter_mut().skip(4).zip(place).for_each(|(octet, p)| *octet ^= p),
        false => nonce[4..].copy_from_slice(&explicit),
    }
    let [l0, l1] = u16::try_from(len).unwrap().to_be_bytes();
    let aad = [&place[..], &[23, 0xfe, 0xfd, l0, l1]].concat();
    let mut sealed = vec![0; len];
    let mut tag = [0; AeadAlgorithm::TAG_LEN];
    AeadKey::new(aead, &vec![seed; aead.key_len()]).unwrap().seal(nonce, &aad, &mut sealed, &mut tag).unwrap();
    let [l0, l1] = u16::try_from(len + explicit.len() + 16).unwrap().to_be_bytes();
    [&[23, 0xfe, 0xfd][..], &place, &[l0, l1], &explicit, &sealed, &tag].concat()
}

#[test]
fn nothing_but_padding_is_the_peers_fault() {
    for suite in suites13() {
        for inner in [&[0; 1][..], &[0; 100], &[]] {
            let mut layer = pair(Epoch(3), &keys(&Suite::Dtls13(suite), 5)).1;
            let record = craft(suite, 5, FORMS[3], 0, inner);
            assert_eq!(try_all(&mut layer, &record), Err(PeerMisbehaved::NoContentType.into()));
        }
    }
}

#[test]
fn r9_the_shortest_ciphertexts_are_discarded() {
    for (epoch, keys) in all_keys() {
        let mut receiver = pair(epoch, &keys).1;
        for len in 0..40u8 {
            let record = match epoch {
                Epoch(1) => [b"\x17\xfe\xfd\0\x01\0\0\0\0\0\0\0".to_vec(), vec![len], vec![0; len.into()]].concat(),
                _ => [vec![0x2f, 0, 0, 0, len], vec![0; len.into()]].concat(),
            };
            assert_eq!(open_all(&mut receiver, &record).1, [Discard::Undecryptable], "{len}");
        }
    }
}
