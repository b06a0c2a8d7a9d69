//! Records without protection. Everything here is Rust: Miri runs it.

use super::*;

#[test]
fn plaintext_round_trip_and_its_header() {
    let (mut sender, mut receiver) = (RecordLayer::continuing(0x0102_0304_0506), RecordLayer::new());
    let record = seal(&mut sender, Epoch::PLAINTEXT, b"hello");
    assert_eq!(record, *b"\x17\xfe\xfd\0\0\x01\x02\x03\x04\x05\x06\0\x05hello");
    assert_eq!(open_one(&mut receiver, &record), Seen::new(Epoch(0), 0x0102_0304_0506, b"hello"));
    // The version's second octet means nothing in plaintext (RFC 9147 §4).
    let next = *b"\x16\xfe\xff\0\0\0\0\0\0\0\x09\0\0";
    assert_eq!(open_one(&mut receiver, &next).content_type, ContentType::HANDSHAKE);
}

#[test]
fn a_header_that_cannot_be_relied_on_ends_the_datagram() {
    let good = b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x01x";
    let cases: [(&[u8], Discard); 9] = [
        (b"\x16\xfe\xfd\0\0\0\0\0\0\0\x01\xff\xff", Discard::TruncatedRecord),
        (b"\x16\x03\x03\0\0\0\0\0\0\0\x01\0\0", Discard::UnknownVersion),
        (b"\x80\x00\x00\0\0\0\0\0\0\0\x01\0\0", Discard::InvalidHeader),
        (b"\x00\x01\x00\0\0\0\0\0\0\0\x01\0\0", Discard::InvalidHeader),
        (b"\x19\xfe\xfd\0\x01\0\0\0\0\0\x01\0\0", Discard::UnknownConnectionId),
        (b"\x3f\x01\x02\x03\x04\x05", Discard::UnknownConnectionId),
        (b"\x2f\x00\x00\xff\xff", Discard::TruncatedRecord),
        (b"\x2b\x00\x00", Discard::UnknownEpoch),
        (b"\x20", Discard::UnknownEpoch),
    ];
    for (bad, reason) in cases {
        let mut layer = RecordLayer::new();
        let (seen, discarded) = open_all(&mut layer, &[&good[..], bad, good].concat());
        assert_eq!((seen.len(), discarded), (1, vec![reason]), "{bad:02x?}");
    }
    for len in 1..13 {
        assert_eq!(open_all(&mut RecordLayer::new(), &good[..len]).1, [Discard::TruncatedRecord]);
    }
    for len in 1..5 {
        assert_eq!(open_all(&mut RecordLayer::new(), &b"\x2f\x00\x00\x00\x00"[..len]).1, [Discard::TruncatedRecord]);
    }
    assert!(matches!(RecordLayer::new().open(&mut &mut [][..]), Ok(Opened::Discarded(Discard::TruncatedRecord))));
}

#[test]
fn a_plaintext_record_of_a_high_number_shuts_nobody_out() {
    let mut receiver = RecordLayer::new();
    let plaintext = |sequence: u64| seal(&mut RecordLayer::continuing(sequence), Epoch::PLAINTEXT, b"data");
    open_one(&mut receiver, &plaintext(MAX_SEQUENCE_48));
    for sequence in 0..10 {
        assert_eq!(open_one(&mut receiver, &plaintext(sequence)).number.sequence, sequence);
    }
    assert_eq!(open_all(&mut receiver, &plaintext(MAX_SEQUENCE_48)).1, [Discard::Replayed]);
}
