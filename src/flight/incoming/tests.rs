//! Floor 4: one rule of reassembly a test. Properties of both directions are in `flight/tests.rs`.

use super::*;
use crate::wire::{codec::Malformed, handshake::FragmentHeader};

const LIMITS: IncomingLimits = IncomingLimits { max_message: 4096, max_buffered: 16384 };
const KEYS: Epoch = Epoch(2);

/// A fragment of message `seq`, whose body is `body`.
fn fragment(seq: u16, body: &[u8], offset: usize, len: usize) -> Vec<u8> {
    typed(HandshakeType::CERTIFICATE, seq, body, offset, len)
}

fn typed(msg_type: HandshakeType, message_seq: u16, body: &[u8], offset: usize, len: usize) -> Vec<u8> {
    let header =
        FragmentHeader { msg_type, length: body.len(), message_seq, fragment_offset: offset, fragment_length: len };
    [&header.encode()[..], &body[offset..offset + len]].concat()
}

fn plaintext(incoming: &mut Incoming, payload: &[u8]) -> Received {
    incoming.receive(Epoch(0), Trust::Plaintext, payload).unwrap()
}

fn misbehaved<T>(misbehaved: PeerMisbehaved) -> Result<T, Error> {
    Err(Error::PeerMisbehaved(misbehaved))
}

fn under_keys() -> Incoming {
    let mut incoming = Incoming::new(LIMITS);
    incoming.advance_epoch(KEYS).unwrap();
    incoming
}

fn take(incoming: &mut Incoming) -> Option<Vec<u8>> {
    let body = incoming.next()?.body.to_vec();
    incoming.consume();
    Some(body)
}

#[test]
fn messages_come_in_order_from_any_packing() {
    let mut incoming = Incoming::new(LIMITS);
    let record = [fragment(1, b"two", 0, 3), fragment(0, b"one", 1, 2)].concat();
    assert_eq!(plaintext(&mut incoming, &record), Received { progress: Progress::Octets, ..Received::NOTHING });
    assert_eq!(incoming.next(), None);
    let record = [fragment(0, b"one", 0, 1), fragment(2, b"", 0, 0)].concat();
    assert_eq!(plaintext(&mut incoming, &record), Received { progress: Progress::Octets, ..Received::NOTHING });
    assert_eq!(take(&mut incoming).as_deref(), Some(&b"one"[..]));
    assert_eq!(take(&mut incoming).as_deref(), Some(&b"two"[..]));
    assert_eq!(take(&mut incoming).as_deref(), Some(&b""[..]));
    assert_eq!(incoming.next(), None);
    assert_eq!(incoming.next_message_seq(), Some(3));
    assert_eq!((incoming.buffered(), incoming.candidates.capacity()), (0, 0));
}

#[test]
fn an_empty_record_brings_nothing() {
    assert_eq!(plaintext(&mut Incoming::new(LIMITS), &[]), Received::NOTHING);
}

#[test]
fn f1_contradictions_under_keys_are_fatal() {
    let body = [7; 20];
    let mut other = body;
    other[9] = 8;
    let contradictions = [
        typed(HandshakeType::FINISHED, 0, &body, 12, 8),
        fragment(0, &body[..19], 12, 7),
        fragment(0, &other, 0, 20),
        fragment(0, &other, 9, 1),
        // Nothing in it but the contradiction of its header.
        fragment(0, &[7; 21], 21, 0),
    ];
    for complete in [10, 20] {
        for contradiction in &contradictions {
            let mut incoming = under_keys();
            incoming.receive(KEYS, Trust::Protected, &fragment(0, &body, 0, complete)).unwrap();
            let result = incoming.receive(KEYS, Trust::Protected, contradiction);
            assert_eq!(result, misbehaved(PeerMisbehaved::FragmentMismatch));
        }
    }
    let mut incoming = under_keys();
    incoming.receive(KEYS, Trust::Protected, &fragment(0, &body, 0, 10)).unwrap();
    let result = incoming.receive(Epoch(3), Trust::Protected, &fragment(0, &body, 10, 10));
    assert_eq!(result, misbehaved(PeerMisbehaved::FragmentMismatch));
}

#[test]
fn f2_broken_fragments_are_fatal_under_keys_and_discarded_in_plaintext() {
    let whole = fragment(0, b"whole", 0, 5);
    let mut beyond = fragment(1, b"beyond", 3, 3);
    beyond[8] = 4;
    for (broken, malformed) in [
        (&whole[..11], Malformed::Truncated),
        (&whole[..16], Malformed::Truncated),
        (&beyond[..], Malformed::BadFragment),
    ] {
        let record = [&fragment(0, b"first", 0, 5), broken].concat();
        let result = under_keys().receive(KEYS, Trust::Protected, &record);
        assert_eq!(result, Err(Error::Malformed(malformed)));
        let mut incoming = Incoming::new(LIMITS);
        let received = plaintext(&mut incoming, &record);
        assert_eq!(received.fault, Some(PlaintextFault::Malformed(malformed)));
        assert_eq!(received.discarded, Some(Discard::MalformedPlaintext));
        assert_eq!(received.progress, Progress::Octets);
        assert_eq!(take(&mut incoming).as_deref(), Some(&b"first"[..]));
    }
}

#[test]
fn a_forged_fragment_does_not_spoil_the_message() {
    let (genuine, forged) = (b"the genuine message", b"the FORGED  message");
    let mut incoming = Incoming::new(LIMITS);
    plaintext(&mut incoming, &fragment(0, forged, 4, 6));
    let received = plaintext(&mut incoming, &fragment(0, genuine, 0, 10));
    assert_eq!(received.fault, Some(PlaintextFault::Misbehaved(PeerMisbehaved::FragmentMismatch)));
    assert!(!received.may_be_acknowledged());
    // The rest contradicts neither.
    let received = plaintext(&mut incoming, &fragment(0, genuine, 10, 9));
    assert!(received.may_be_acknowledged());
    assert_eq!(incoming.next().unwrap().body, genuine);
    plaintext(&mut incoming, &fragment(0, forged, 0, 10));
    assert_eq!(incoming.next().unwrap().body, b"the FORGEDe message");
    incoming.reject();
    assert_eq!(incoming.next().unwrap().body, genuine);
    incoming.reject();
    assert_eq!(incoming.next(), None);
    assert_eq!(incoming.candidates.capacity(), 0);
    incoming.reject();
    assert_eq!(incoming.next_message_seq(), Some(0));
}

#[test]
fn f1_other_types_and_lengths_are_other_candidates() {
    let mut incoming = Incoming::new(LIMITS);
    plaintext(&mut incoming, &typed(HandshakeType::FINISHED, 0, b"abc", 0, 3));
    plaintext(&mut incoming, &fragment(0, b"abcd", 0, 4));
    plaintext(&mut incoming, &fragment(0, b"abc", 0, 3));
    assert_eq!(incoming.candidates.len(), 3);
    incoming.reject();
    incoming.reject();
    assert_eq!(incoming.next().unwrap().msg_type, HandshakeType::CERTIFICATE);
    incoming.consume();
    assert_eq!(incoming.candidates.len(), 0);
}

#[test]
fn the_least_recently_extended_candidate_is_evicted() {
    let mut incoming = Incoming::new(LIMITS);
    for first in 0..4 {
        plaintext(&mut incoming, &fragment(0, &[first; 4], 0, 2));
    }
    // Extends the first; a repetition does not extend the second.
    plaintext(&mut incoming, &fragment(0, &[0; 4], 1, 2));
    plaintext(&mut incoming, &fragment(0, &[1; 4], 0, 2));
    plaintext(&mut incoming, &fragment(0, &[4; 4], 0, 2));
    let left: Vec<_> = (0..5).filter(|b| incoming.candidates.iter().any(|c| c.body.agrees(0, &[*b]))).collect();
    assert_eq!(left, [0, 2, 3, 4]);
}

/// Each contradiction opens a candidate that later fragments extend just as they do the genuine one.
#[test]
fn of_candidates_that_grow_alike_the_first_is_kept() {
    let mut incoming = Incoming::new(LIMITS);
    let genuine = [7; 12];
    for part in 0..12 {
        plaintext(&mut incoming, &fragment(0, &genuine, part, 1));
        let mut forged = genuine;
        forged[part] = 8;
        plaintext(&mut incoming, &fragment(0, &forged, part, 1));
    }
    assert_eq!(take(&mut incoming).as_deref(), Some(&genuine[..]));
}

#[test]
fn keys_outweigh_plaintext() {
    let mut incoming = Incoming::new(LIMITS);
    plaintext(&mut incoming, &fragment(0, b"forged", 0, 6));
    incoming.receive(Epoch(1), Trust::Protected, &fragment(0, b"genuine", 0, 7)).unwrap();
    // Not before its epoch's turn.
    assert_eq!(incoming.next(), None);
    let received = plaintext(&mut incoming, &fragment(0, b"forged", 0, 6));
    assert_eq!(received.discarded, Some(Discard::PlaintextAfterProtected));
    assert_eq!(received.progress, Progress::Nothing);
    incoming.advance_epoch(Epoch(1)).unwrap();
    assert_eq!(take(&mut incoming).as_deref(), Some(&b"genuine"[..]));
}

#[test]
fn f9_nothing_may_be_left_when_the_keys_change() {
    for left in [fragment(1, b"left", 0, 4), fragment(3, b"left", 1, 1)] {
        let mut incoming = under_keys();
        incoming.receive(KEYS, Trust::Protected, &fragment(0, b"", 0, 0)).unwrap();
        incoming.receive(KEYS, Trust::Protected, &left).unwrap();
        incoming.consume();
        assert_eq!(incoming.advance_epoch(Epoch(3)), misbehaved(PeerMisbehaved::ExcessHandshakeData));
    }
    let mut incoming = Incoming::new(LIMITS);
    plaintext(&mut incoming, &fragment(1, b"left", 0, 4));
    assert_eq!(incoming.advance_epoch(Epoch(1)), Ok(()));
    assert_eq!(incoming.buffered(), 0);
    // Where the application vouches for the path, plaintext is the peer's as well.
    let mut incoming = Incoming::new(LIMITS);
    incoming.receive(Epoch(0), Trust::Protected, &fragment(1, b"left", 0, 4)).unwrap();
    assert_eq!(incoming.advance_epoch(Epoch(1)), misbehaved(PeerMisbehaved::ExcessHandshakeData));
}

#[test]
fn f9_new_messages_of_an_old_epoch_are_refused_and_old_ones_are_not() {
    let mut incoming = under_keys();
    incoming.receive(KEYS, Trust::Protected, &fragment(0, b"a", 0, 1)).unwrap();
    incoming.consume();
    incoming.advance_epoch(Epoch(3)).unwrap();
    let old = incoming.receive(KEYS, Trust::Protected, &fragment(0, b"a", 0, 1)).unwrap();
    assert_eq!(old, Received { repeated: Repeated::LastMessage, ..Received::NOTHING });
    assert!(old.may_be_acknowledged());
    let result = incoming.receive(KEYS, Trust::Protected, &fragment(1, b"b", 0, 1));
    assert_eq!(result, misbehaved(PeerMisbehaved::ExcessHandshakeData));
    // Also far ahead.
    let result = incoming.receive(KEYS, Trust::Protected, &fragment(100, b"b", 0, 1));
    assert_eq!(result, misbehaved(PeerMisbehaved::ExcessHandshakeData));
    let received = plaintext(&mut incoming, &fragment(1, b"b", 0, 1));
    assert!(!received.may_be_acknowledged());
    assert_eq!(received.fault, Some(PlaintextFault::Misbehaved(PeerMisbehaved::ExcessHandshakeData)));
    assert_eq!(incoming.buffered(), 0);
}

#[test]
fn f11_the_window_is_seven_messages() {
    let mut incoming = under_keys();
    incoming.start_at(3);
    for (seq, kept) in [(9, true), (10, false), (0xffff, false), (3, true)] {
        let received = incoming.receive(KEYS, Trust::Protected, &fragment(seq, b"x", 0, 1)).unwrap();
        assert_eq!(received.may_be_acknowledged(), kept);
        assert_eq!(received.progress == Progress::Octets, kept);
    }
    // One fragment thrown away, and the whole record must not be acknowledged.
    let record = [fragment(10, b"x", 0, 1), fragment(4, b"x", 0, 1)].concat();
    let received = incoming.receive(KEYS, Trust::Protected, &record).unwrap();
    assert_eq!((received.progress, received.discarded), (Progress::Octets, Some(Discard::BeyondWindow)));
}

#[test]
fn repetitions_of_the_last_message_are_told_from_older_ones() {
    let mut incoming = under_keys();
    incoming.receive(KEYS, Trust::Protected, &fragment(0, b"old", 0, 3)).unwrap();
    incoming.consume();
    incoming.receive(KEYS, Trust::Protected, &fragment(1, b"last", 0, 4)).unwrap();
    let again =
        |incoming: &mut Incoming, record: &[u8]| incoming.receive(KEYS, Trust::Protected, record).unwrap().repeated;
    // Not handled yet: no repetition in this sense.
    assert_eq!(again(&mut incoming, &fragment(1, b"last", 0, 4)), Repeated::Nothing);
    incoming.consume();
    assert_eq!(again(&mut incoming, &fragment(0, b"old", 0, 3)), Repeated::Old);
    assert_eq!(again(&mut incoming, &fragment(1, b"last", 0, 1)), Repeated::LastMessage);
    assert_eq!(again(&mut incoming, &fragment(1, b"last", 1, 3)), Repeated::RestOfLastMessage);
    let both = [fragment(1, b"last", 0, 4), fragment(0, b"old", 0, 3)].concat();
    assert_eq!(again(&mut incoming, &both), Repeated::LastMessage);
    assert_eq!(incoming.buffered(), 0);
}

#[test]
fn after_the_last_number_everything_is_old() {
    let mut incoming = under_keys();
    incoming.start_at(0xffff);
    incoming.receive(KEYS, Trust::Protected, &fragment(0xffff, b"x", 0, 1)).unwrap();
    incoming.consume();
    assert_eq!(incoming.next_message_seq(), None);
    for (seq, repeated) in [(0xffff, Repeated::LastMessage), (0, Repeated::Old), (1, Repeated::Old)] {
        let received = incoming.receive(KEYS, Trust::Protected, &fragment(seq, b"x", 0, 1)).unwrap();
        assert_eq!(received, Received { repeated, ..Received::NOTHING });
    }
    incoming.consume();
    assert_eq!(incoming.next_message_seq(), None);
}

#[test]
fn f6_too_long_messages_are_refused_by_their_header() {
    let announced = |length: usize| {
        let header = FragmentHeader {
            msg_type: HandshakeType::CERTIFICATE,
            length,
            message_seq: 0,
            fragment_offset: 0,
            fragment_length: 1,
        };
        [&header.encode()[..], &[1]].concat()
    };
    for length in [4097, 0xff_ffff] {
        let result = under_keys().receive(KEYS, Trust::Protected, &announced(length));
        assert_eq!(result, misbehaved(PeerMisbehaved::MessageTooLong));
        let mut incoming = Incoming::new(LIMITS);
        let received = plaintext(&mut incoming, &announced(length));
        assert_eq!(received.fault, Some(PlaintextFault::Misbehaved(PeerMisbehaved::MessageTooLong)));
        assert_eq!(incoming.buffered(), 0);
    }
    // As long as allowed, the memory follows what came.
    let huge = IncomingLimits { max_message: 0xff_ffff, max_buffered: 4096 };
    let mut incoming = Incoming::new(huge);
    plaintext(&mut incoming, &announced(0xff_ffff));
    assert!(incoming.buffered() < 1000);
}

#[test]
fn f4_floods_of_empty_fragments_keep_nothing() {
    let mut incoming = Incoming::new(LIMITS);
    let fragments: u16 = if cfg!(miri) { 100 } else { 1365 };
    let flood: Vec<u8> = (0..fragments).flat_map(|i| fragment(i % 9, &[0; 50], usize::from(i) % 51, 0)).collect();
    for _ in 0..if cfg!(miri) { 1 } else { 100 } {
        assert_eq!(plaintext(&mut incoming, &flood).progress, Progress::Nothing);
    }
    assert_eq!((incoming.buffered(), incoming.candidates.capacity()), (0, 0));
    plaintext(&mut incoming, &fragment(0, &[0; 50], 0, 1));
    let held = incoming.buffered();
    assert_eq!(plaintext(&mut incoming, &flood).progress, Progress::Nothing);
    assert_eq!(incoming.buffered(), held);
}

#[test]
#[cfg_attr(miri, ignore = "takes three thousand fragments")]
fn later_messages_never_keep_the_expected_one_out() {
    let limits = IncomingLimits { max_message: 3000, max_buffered: 5000 };
    let mut incoming = Incoming::new(limits);
    incoming.advance_epoch(KEYS).unwrap();
    let mut refused = 0;
    for seq in 1..7 {
        let received = incoming.receive(KEYS, Trust::Protected, &fragment(seq, &[9; 3000], 0, 3000)).unwrap();
        refused += usize::from(!received.may_be_acknowledged());
        assert!(incoming.buffered() <= limits.max_buffered);
    }
    assert_eq!(refused, 5);
    for offset in 0..3000 {
        let received = incoming.receive(KEYS, Trust::Protected, &fragment(0, &[9; 3000], offset, 1)).unwrap();
        assert!(received.may_be_acknowledged());
    }
    assert_eq!(take(&mut incoming), Some(vec![9; 3000]));
}

#[test]
fn f5_forged_candidates_stay_within_the_bound() {
    let limits = IncomingLimits { max_message: 3000, max_buffered: 5000 };
    let mut incoming = Incoming::new(limits);
    for forged in 0..if cfg!(miri) { 10 } else { 200_u8 } {
        for offset in [0, 2999, 300, 1500, 900, 600] {
            plaintext(&mut incoming, &fragment(u16::from(forged) % 7, &[forged; 3000], offset, 1));
            // One candidate of the expected message may exceed the bound: 3000 octets are twelve blocks.
            assert!(incoming.buffered() <= limits.max_buffered + 12 * 600);
            assert!(incoming.candidates.len() <= 28);
        }
    }
    plaintext(&mut incoming, &fragment(0, &[1; 3000], 0, 3000));
    assert!(
        std::iter::from_fn(|| {
            let body = incoming.next()?.body.to_vec();
            incoming.reject();
            Some(body)
        })
        .any(|body| body == [1; 3000])
    );
}

/// The bound is what may be held, to the octet.
#[test]
fn a_message_that_waits_fills_the_bound_and_does_not_exceed_it() {
    for (max_buffered, kept) in [(CANDIDATE_COST + 9, false), (CANDIDATE_COST + 10, true)] {
        let mut incoming = Incoming::new(IncomingLimits { max_message: 100, max_buffered });
        let received = plaintext(&mut incoming, &fragment(1, &[9; 10], 0, 10));
        assert_eq!((received.may_be_acknowledged(), incoming.buffered() > 0), (kept, kept));
    }
}

/// The expected message may exceed the bound. Octets that take no more memory are welcome even then.
#[test]
fn what_costs_nothing_is_taken_beyond_the_bound() {
    let limits = IncomingLimits { max_message: 3000, max_buffered: 2000 };
    let mut incoming = Incoming::new(limits);
    incoming.advance_epoch(KEYS).unwrap();
    let mut receive = |seq, len, offset| {
        let received = incoming.receive(KEYS, Trust::Protected, &fragment(seq, &[9; 3000], offset, len)).unwrap();
        (received.progress, received.may_be_acknowledged())
    };
    assert_eq!(receive(1, 10, 0), (Progress::Octets, true));
    assert_eq!(receive(0, 2900, 0), (Progress::Octets, true));
    assert_eq!(receive(1, 10, 10), (Progress::Octets, true));
    assert_eq!(receive(1, 10, 256), (Progress::Nothing, false), "another block");
    assert_eq!(receive(2, 10, 0), (Progress::Nothing, false));
    assert!(incoming.buffered() > limits.max_buffered);
}
