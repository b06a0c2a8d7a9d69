//! A table of datagrams that no peer sends, and the counter that each one moves; and calls that are wrong.

use crate::kinds::{self, Kind};
use crate::network::Network;
use crate::noise::{classic, inject};
use crate::pair::{PATIENCE, Pair, check};
use crate::provider::End;
use udtls::{ApiMisuse, Datagram, Discard, KeyUpdateRequest, ProtocolVersion, SendError};

/// When in the life of an association a datagram comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// At a server that has answered, and a client that has not heard.
    Handshaking,
    Established,
}

/// Bad datagrams, by what is wrong with them.
fn table(version: ProtocolVersion, when: When) -> Vec<(&'static str, Vec<u8>, Discard)> {
    const V12: [u8; 2] = [0xFE, 0xFD];
    let number = 1 << 30;
    let body = [0xA5; 40];
    let mut bad = vec![
        ("one octet", vec![22], Discard::TruncatedRecord),
        ("half a header", classic(22, V12, 0, number, &[])[..9].to_vec(), Discard::TruncatedRecord),
        ("longer than the datagram", classic(22, V12, 0, number, &body)[..40].to_vec(), Discard::TruncatedRecord),
        ("half a unified header", vec![0x2E, 0, 1], Discard::TruncatedRecord),
        ("longer than the datagram, unified", vec![0x2E, 0, 1, 0, 200, 1, 2, 3], Discard::TruncatedRecord),
        ("not DTLS at all", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Discard::InvalidHeader),
        ("STUN", vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Discard::InvalidHeader),
        ("TLS 1.2", classic(22, [3, 3], 0, number, &body), Discard::UnknownVersion),
        ("an unknown major version", classic(22, [0xFD, 0xFD], 0, number, &body), Discard::UnknownVersion),
        ("a connection ID", vec![0x3E, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], Discard::UnknownConnectionId),
        ("a connection ID of 1.2", classic(25, V12, 1, number, &body), Discard::UnknownConnectionId),
        ("epoch 7", classic(22, V12, 7, number, &body), Discard::UnknownEpoch),
        ("the last epoch", classic(23, V12, 0xFFFF, number, &body), Discard::UnknownEpoch),
        ("2^14 + 1 octets of plaintext", classic(22, V12, 0, number, &vec![0; (1 << 14) + 1]), Discard::RecordTooLong),
        ("2^14 + 2049 octets", classic(23, V12, 1, number, &vec![0; (1 << 14) + 2049]), Discard::RecordTooLong),
    ];
    if when == When::Established {
        let unified: Vec<_> = [0x2F, 0x12, 0x34, 0, 32].into_iter().chain([0x5A; 32]).collect();
        let full = classic(23, V12, 1, number, &body);
        let plaintext = classic(22, V12, 0, number, &body);
        bad.extend(if version == ProtocolVersion::DTLS1_3 {
            [
                ("a forgery", unified, Discard::Undecryptable),
                ("a header of the other version", full, Discard::UnknownEpoch),
                ("plaintext", plaintext, Discard::UnknownEpoch),
            ]
        } else {
            [
                ("a forgery", full, Discard::Undecryptable),
                ("a header of the other version", unified, Discard::UnknownEpoch),
                ("plaintext", plaintext, Discard::PlaintextAfterProtected),
            ]
        });
    }
    bad
}

#[test]
fn bad_datagrams_are_dropped_and_counted() {
    kinds::for_all(|kind| {
        for when in [When::Handshaking, When::Established] {
            for (name, datagram, reason) in table(kind.version, when) {
                // Alone, and behind an honest record in the same datagram.
                for end in End::BOTH {
                    bad_datagram(kind, when, end, (name, &datagram, reason));
                }
            }
        }
    });
}

fn bad_datagram(kind: &'static Kind, when: When, end: End, row: (&str, &[u8], Discard)) {
    let (name, datagram, reason) = row;
    let mut pair = match when {
        When::Established => Pair::established(kind, 1),
        When::Handshaking => {
            let mut pair = Pair::new(kind, 1, Network::with_faults(&[]));
            // The ClientHello has come, the answer is on its way.
            pair.run(std::time::Duration::from_millis(26));
            pair
        }
    };
    let before = pair.side(end).connection.stats().clone();
    inject(&mut pair, end, datagram.to_vec());
    let after = pair.side(end).connection.stats().clone();
    let counted = Discard::ALL.iter().filter(|r| after.discarded(**r) != before.discarded(**r)).collect::<Vec<_>>();
    check!(pair, counted == [&reason], format!("{when:?} {end:?}: {name} counts as {reason:?}, not {counted:?}"));
    check!(pair, after.discarded(reason) == before.discarded(reason) + 1, "it counts once");
    check!(pair, after.datagrams_received == before.datagrams_received + 1, "and so does the datagram");
    pair.run(PATIENCE);
    pair.check_complete();
    let retransmitted = End::BOTH.map(|end| pair.side(end).connection.stats().retransmissions);
    check!(pair, retransmitted == [0, 0], "nobody had to repeat anything");
    pair.check_data();
}

#[test]
fn honest_records_count_whatever_comes_before_them_in_the_datagram() {
    for kind in kinds::plain() {
        let mut pair = Pair::established(kind, 1);
        let forged: Vec<_> = [0x2F, 0x12, 0x34, 0, 32].into_iter().chain([0x5A; 32]).collect();
        let stale = classic(23, [0xFE, 0xFD], 9, 1, &[0xA5; 40]);
        for end in End::BOTH {
            let honest = pair.seal(end, b"honest").expect("an established association");
            let second = pair.seal(end, b"second").expect("an established association");
            let datagram = [forged.clone(), stale.clone(), honest.clone(), honest, stale.clone(), second].concat();
            pair.deliver(end.other(), datagram);
            let delivered = std::mem::take(&mut pair.side(end.other()).delivered);
            check!(pair, delivered == [b"honest".to_vec(), b"second".to_vec()], "two of six records are honest");
            check!(pair, pair.side(end.other()).connection.stats().discarded_in_all() == 4, "the others are counted");
        }
        pair.check_data();
    }
}

#[test]
fn wrong_calls_leave_the_association_unharmed() {
    kinds::for_all(|kind| {
        let mut pair = Pair::new(kind, 1, Network::with_faults(&[]));
        let now = pair.instant();
        let mut out = [0; 64];
        for end in End::BOTH {
            check!(pair, pair.seal(end, b"x") == Err(SendError::NotConnected), "no data before the handshake");
            let side = pair.side(end);
            let exported = side.connection.export_keying_material(b"EXPORTER-sim", None, &mut out);
            assert_eq!(exported, Err(ApiMisuse::HandshakeNotComplete));
            assert_eq!(
                side.connection.request_key_update(now, KeyUpdateRequest::Requested),
                Err(ApiMisuse::HandshakeNotComplete)
            );
            assert!(matches!(side.connection.set_mtu(10), Err(ApiMisuse::MtuTooSmall { .. })));
            // Neither a timeout that is not due nor an empty datagram is anything.
            side.connection.handle_timeout(now);
            assert!(matches!(side.connection.receive(now, &mut Datagram::new(&mut [])), Ok(None)));
        }
        let small = pair.client.connection.poll_transmit(now, &mut out[..20]);
        check!(pair, matches!(small, Err(ApiMisuse::BufferTooSmall { needed: 64.. })), "no room for the ClientHello");
        pair.run(PATIENCE);
        pair.check_complete();
        for end in End::BOTH {
            let now = pair.instant();
            let side = pair.side(end);
            let short = side.connection.send(now, b"payload", &mut out[..20]);
            assert!(matches!(short, Err(SendError::BufferTooSmall { needed: 21.. })), "{short:?}");
            let update =
                if kind.version == ProtocolVersion::DTLS1_2 { Err(ApiMisuse::NotInThisVersion) } else { Ok(()) };
            assert_eq!(side.connection.request_key_update(now, KeyUpdateRequest::Requested), update);
            let label = side.connection.export_keying_material(b"master secret", None, &mut out);
            check!(pair, kind.version == ProtocolVersion::DTLS1_3 || label.is_err(), "a label of the protocol's own");
        }
        pair.check_data();
    });
}
