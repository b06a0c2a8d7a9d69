//! Limits of keys and numbers, misuse, and size.

use super::*;
use crate::crypto::suites::AeadLimits;

#[test]
fn forgeries_are_counted_for_each_key() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        receiver.lower_limits(AeadLimits { integrity: 8, ..AeadLimits::NONE });
        let mut forged = seal(&mut sender, epoch, b"data");
        *forged.last_mut().unwrap() ^= 1;
        for _ in 0..7 {
            assert_eq!(receiver.read_limit_state(), LimitState::Below);
            open_one(&mut receiver, &seal(&mut sender, epoch, b"data"));
            assert_eq!(open_all(&mut receiver, &forged).1, [Discard::Undecryptable]);
        }
        assert_eq!(receiver.read_limit_state(), LimitState::Near);
        assert_eq!(try_all(&mut receiver, &forged), Err(Error::IntegrityLimitReached));
        assert_eq!(receiver.read_limit_state(), LimitState::Reached);
    }
}

/// RFC 9147 §4.5.3: "the previous keys can be dropped when the limit is reached".
#[test]
fn at_the_limit_older_keys_are_dropped_instead() {
    let suite = Suite::Dtls13(suites13().next().unwrap());
    let (mut sender, mut receiver) = pair(Epoch(3), &keys(&suite, 3));
    receiver.lower_limits(AeadLimits { integrity: 1, ..AeadLimits::NONE });
    sender.install_write(Epoch(4), &keys(&suite, 4)).unwrap();
    receiver.install_read(Epoch(4), &keys(&suite, 4)).unwrap();
    let mut forged = seal(&mut sender, Epoch(3), b"data");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(open_all(&mut receiver, &forged).1, [Discard::Undecryptable]);
    assert_eq!(open_all(&mut receiver, &seal(&mut sender, Epoch(3), b"data")).1, [Discard::UnknownEpoch]);
    open_one(&mut receiver, &seal(&mut sender, Epoch(4), b"data"));
    assert_eq!(receiver.read_limit_state(), LimitState::Below);
}

#[test]
fn sealing_reports_its_limit_and_goes_on() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        assert_eq!(sender.write_limit_state(epoch), LimitState::Below);
        assert_eq!(sender.write_limit_state(Epoch(9)), LimitState::Below);
        sender.lower_limits(AeadLimits { confidentiality: 16, integrity: 1 });
        // What was lowered is not raised again.
        sender.lower_limits(AeadLimits::NONE);
        for sealed in 0..20 {
            let expected = match sealed {
                0..14 => LimitState::Below,
                14..16 => LimitState::Near,
                _ => LimitState::Reached,
            };
            assert_eq!(sender.write_limit_state(epoch), expected, "{sealed}");
            open_one(&mut receiver, &seal(&mut sender, epoch, b"data"));
        }
    }
}

#[test]
fn k2_the_last_number_is_used_once() {
    for (epoch, keys) in
        all_keys().into_iter().chain([(Epoch::PLAINTEXT, keys(&usable_suites(&default_provider())[0], 0))])
    {
        let (mut sender, mut receiver) = match epoch {
            Epoch::PLAINTEXT => (RecordLayer::new(), RecordLayer::new()),
            _ => pair(epoch, &keys),
        };
        sender.write.last_mut().unwrap().skip_to(MAX_SEQUENCE_48);
        receiver.read.last_mut().unwrap().expect_sequence(MAX_SEQUENCE_48);
        assert_eq!(open_one(&mut receiver, &seal(&mut sender, epoch, b"last")).number.sequence, MAX_SEQUENCE_48);
        let refused = sender.seal(epoch, ContentType::ALERT, &mut [0; 100], |_| panic!("asked for a payload"));
        assert_eq!(refused, Err(Error::NumbersExhausted));
        let refused = sender.seal_in_place(epoch, ContentType::ALERT, &mut [0; 100], 30..40);
        assert_eq!(refused, Err(Error::NumbersExhausted));
    }
}

#[test]
fn nothing_to_send_uses_no_number() {
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let mut out = [0; 100];
        assert_eq!(sender.seal(epoch, ContentType::ALERT, &mut out, |_| None), Ok(None));
        assert_eq!(open_one(&mut receiver, &seal(&mut sender, epoch, b"data")).number.sequence, 0);
    }
}

#[test]
fn the_room_is_all_there_is() {
    for (epoch, keys) in all_keys() {
        let mut sender = pair(epoch, &keys).0;
        let overhead = sender.overhead(epoch).unwrap();
        for (len, expected) in [(overhead, 0), (overhead + 9, 9), (20_000, MAX_PLAINTEXT_LEN)] {
            let sealed = sender.seal(epoch, ContentType::ALERT, &mut vec![0; len], |room| Some(room.len()));
            assert_eq!(sealed.unwrap().unwrap().len, expected + overhead);
        }
    }
}

#[test]
fn misuse_is_told_and_harms_nothing() {
    let misuse = |misuse| Err(Error::ApiMisuse(misuse));
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let needed = sender.overhead(epoch).unwrap();
        let mut small = vec![0; needed - 1];
        let asked = |_: &mut [u8]| -> Option<usize> { panic!("asked for a payload") };
        assert_eq!(
            sender.seal(epoch, ContentType::ALERT, &mut small, asked),
            misuse(ApiMisuse::BufferTooSmall { needed }).map(|()| None)
        );
        for claim in [11, usize::MAX] {
            let sealed = sender.seal(epoch, ContentType::ALERT, &mut vec![0; needed + 10], |_| Some(claim));
            assert!(matches!(sealed, Err(Error::ApiMisuse(ApiMisuse::BufferTooSmall { .. }))));
        }
        assert_eq!(
            sender.seal(Epoch(7), ContentType::ALERT, &mut [0; 99], asked),
            misuse(ApiMisuse::HandshakeNotComplete).map(|()| None)
        );
        let header_len = sender.header_len(epoch).unwrap();
        let mut buffer = vec![0; needed + 10];
        for payload in [header_len - 1..header_len + 9, header_len..header_len + 11, usize::MAX..usize::MAX, 0..0] {
            let sealed = sender.seal_in_place(epoch, ContentType::ALERT, &mut buffer, payload);
            assert!(matches!(sealed, Err(Error::ApiMisuse(ApiMisuse::BufferTooSmall { .. }))));
        }
        let sealed = sender.seal_in_place(epoch, ContentType::ALERT, &mut vec![0; 20_000], 100..16_485);
        assert_eq!(sealed, misuse(ApiMisuse::PayloadTooLong { max: MAX_PLAINTEXT_LEN }).map(|()| 0..0));
        assert_eq!(open_one(&mut receiver, &seal(&mut sender, epoch, b"data")).number.sequence, 0);
    }
}

/// 10⁵ peers have one each.
#[test]
fn an_established_record_layer_is_small() {
    assert!(size_of::<RecordLayer>() <= 56);
    // With the secret from which the contexts can be built again.
    assert!(size_of::<ReadEpoch>() <= 176, "{}", size_of::<ReadEpoch>());
    assert!(size_of::<WriteEpoch>() <= 120, "{}", size_of::<WriteEpoch>());
    let (epoch, keys) = all_keys().remove(0);
    let (mut sender, mut receiver) = pair(epoch, &keys);
    receiver.drop_read_below(epoch);
    sender.drop_write_below(epoch);
    sender.give_back();
    receiver.give_back();
    assert_eq!((receiver.read.capacity(), sender.write.capacity()), (1, 1));
}
