//! What the association settles of its records: which keys rest, what plaintext says and bears, how much content there is.

use super::*;

/// Only the newest keys for receiving are kept ready, and none at rest; every record finds what it needs all the same, and
/// neither numbers nor windows are forgotten.
#[test]
fn keys_at_rest_are_built_again_when_they_are_needed() {
    for suite in usable_suites(&default_provider()) {
        let first = first_epoch(&suite);
        let (mut sender, mut receiver) = pair(first, &keys(&suite, 1));
        assert_eq!((sender.contexts(), receiver.contexts()), (1, 1));
        let second = Epoch(first.0 + 1);
        sender.install_write(second, &keys(&suite, 2)).unwrap();
        receiver.install_read(second, &keys(&suite, 2)).unwrap();
        assert_eq!((sender.contexts(), receiver.contexts()), (2, 1), "the older ones for receiving rest");
        for sequence in 0..3 {
            for epoch in [first, second] {
                let record = seal(&mut sender, epoch, b"data");
                assert_eq!(open_one(&mut receiver, &record), Seen::new(epoch, sequence, b"data"));
                assert_eq!(open_all(&mut receiver, &record).1, [Discard::Replayed]);
            }
            assert_eq!((sender.contexts(), receiver.contexts()), (2, 2));
            sender.rest();
            receiver.rest();
            assert_eq!((sender.contexts(), receiver.contexts()), (0, 0));
        }
    }
}

/// RFC 9147 §4: a ClientHello's record "MAY" say DTLS 1.0; it is nothing to protected records.
#[test]
fn plaintext_records_say_the_version_that_was_set() {
    for (epoch, keys) in all_keys() {
        let mut sender = pair(epoch, &keys).0;
        let protected = seal(&mut pair(epoch, &keys).0, epoch, b"data");
        for (version, octets) in [(PlaintextVersion::FirstHello, [0xfe, 0xff]), (PlaintextVersion::Usual, [0xfe, 0xfd])]
        {
            sender.set_plaintext_version(version);
            assert_eq!(seal(&mut sender, Epoch::PLAINTEXT, b"hello")[1..3], octets);
        }
        assert_eq!(seal(&mut sender, epoch, b"data"), protected);
    }
}

/// Where repeats are accepted, they are so in plaintext alone, and are still told from what is new.
#[test]
fn repeats_are_accepted_of_plaintext_and_of_nothing_else() {
    let novelty = |layer: &mut RecordLayer, record: &[u8]| {
        let mut octets = record.to_vec();
        match layer.open(&mut &mut *octets) {
            Ok(Opened::Record(record)) => Ok(record.novelty),
            Ok(Opened::Discarded(reason)) => Err(reason),
            _ => panic!("neither opened nor discarded"),
        }
    };
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        let plain = seal(&mut sender, Epoch::PLAINTEXT, b"hello");
        let protected = seal(&mut sender, epoch, b"data");
        assert_eq!(novelty(&mut receiver, &plain), Ok(Novelty::New));
        assert_eq!(novelty(&mut receiver, &plain), Err(Discard::Replayed));
        receiver.accept_plaintext_repeats();
        assert_eq!(novelty(&mut receiver, &plain), Ok(Novelty::Replayed));
        assert_eq!(novelty(&mut receiver, &protected), Ok(Novelty::New));
        assert_eq!(novelty(&mut receiver, &protected), Err(Discard::Replayed));
    }
}

/// RFC 8449 §4: what a record may hold each way, to the octet, however it is sealed.
#[test]
fn content_has_the_limits_that_were_set() {
    const SEND: u16 = 100;
    const RECEIVE: u16 = 64;
    for (epoch, keys) in all_keys() {
        let (mut sender, mut receiver) = pair(epoch, &keys);
        assert_eq!(sender.max_content(), MAX_PLAINTEXT_LEN);
        sender.limit_content(ContentLimits { send: SEND, receive: RECEIVE });
        receiver.limit_content(ContentLimits { send: SEND, receive: RECEIVE });
        assert_eq!(sender.max_content(), usize::from(SEND));

        let (front, overhead) = (sender.header_len(epoch).unwrap(), sender.overhead(epoch).unwrap());
        let mut buffer = vec![0; overhead + 200];
        let mut seal_in_place = |len: usize| {
            sender
                .seal_in_place(epoch, ContentType::APPLICATION_DATA, &mut buffer, front..front + len)
                .map(|record| record.len())
        };
        assert_eq!(seal_in_place(SEND.into()), Ok(overhead + usize::from(SEND)));
        let too_long = ApiMisuse::PayloadTooLong { max: SEND.into() };
        assert_eq!(seal_in_place(usize::from(SEND) + 1), Err(too_long.into()));
        let sealed = sender.seal(epoch, ContentType::APPLICATION_DATA, &mut buffer, |room| Some(room.len()));
        assert_eq!(sealed.unwrap().unwrap().len, overhead + usize::from(SEND), "the room ends there");

        let most = [7; RECEIVE as usize];
        assert_eq!(open_one(&mut receiver, &seal(&mut sender, epoch, &most)).payload, most);
        let record = seal(&mut sender, epoch, &[7; RECEIVE as usize + 1]);
        assert_eq!(try_all(&mut receiver, &record), Err(PeerMisbehaved::PlaintextTooLong.into()));
    }
}
