//! What plaintext records say of the version (RFC 9147 §4, RFC 6347 §4.2.1): a ClientHello is for old eyes too, until the
//! version is agreed on.

use super::*;

/// What each record says that begins a datagram.
fn versions(datagrams: &[Vec<u8>]) -> Vec<u16> {
    datagrams.iter().map(|datagram| u16::from_be_bytes([datagram[1], datagram[2]])).collect()
}

const OLD: u16 = 0xfeff;
const USUAL: u16 = 0xfefd;

#[test]
fn a_first_client_hello_says_the_oldest_version_however_often_it_is_sent() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).pair();
        let mut said = versions(&pair.up());
        for _ in 0..3 {
            pair.now = pair.client.poll_timeout().unwrap();
            pair.client.handle_timeout(pair.now);
            said.extend(versions(&pair.up()));
        }
        assert_eq!(said, [OLD; 4], "{version}");
    }
}

#[test]
fn so_does_one_with_the_cookie_of_a_hello_verify_request() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_2).pair();
    pair.up();
    let request = message(HandshakeType::HELLO_VERIFY_REQUEST, 0, &[0xfe, 0xff, 3, 1, 2, 3]);
    pair.give_client(&[plaintext(ContentType::HANDSHAKE, 0, &request)]);
    let second = pair.up();
    assert_eq!(versions(&second), [OLD]);
    pair.give_server(&second);
    let down = pair.down();
    assert!(versions(&down).iter().all(|version| *version == USUAL));
    pair.give_client(&down);
    assert!(versions(&pair.up()).iter().all(|version| *version == USUAL));
}

#[test]
fn after_a_hello_retry_request_the_version_is_agreed_on() {
    let setup = Setup { retry: true, ..Setup::new(ProtocolVersion::DTLS1_3) };
    let mut pair = setup.pair();
    let first = pair.up();
    pair.give_server(&first);
    let request = pair.down();
    pair.give_client(&request);
    assert_eq!((versions(&first), versions(&request)), (vec![OLD], vec![USUAL]));
    assert_eq!(versions(&pair.up()), [USUAL]);
}

/// Randoms are drawn anew for each handshake, by both ends, and are not what memory is before anyone writes to it. A hello that
/// is sent again is the same one (RFC 6347 §4.2.1, RFC 8446 §4.1.2).
#[test]
fn k4_no_two_handshakes_have_the_same_random() {
    // Behind the headers of record and message, and the version.
    const RANDOM: std::ops::Range<usize> = 13 + 12 + 2..13 + 12 + 2 + 32;
    for setup in Setup::all() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20 {
            let mut pair = setup.pair();
            let mut own = Vec::new();
            for _ in 0..2 {
                let up = pair.up();
                pair.give_server(&up);
                let down = pair.down();
                pair.give_client(&down);
                own.extend(
                    [up, down]
                        .iter()
                        .filter(|flight| !flight.is_empty() && flight[0][0] == 22)
                        .map(|flight| (flight[0][13], flight[0][RANDOM].to_vec())),
                );
            }
            let of = |msg_type: u8| own.iter().filter(move |(ty, _)| *ty == msg_type).map(|(_, random)| random);
            let (client, server) = (of(1).next().unwrap(), of(2).next_back().unwrap());
            assert!(of(1).all(|random| random == client));
            for random in [client, server] {
                let mut octets = random[..24].to_vec();
                octets.sort_unstable();
                octets.dedup();
                assert!(octets.len() > 12, "{random:02x?}");
                assert!(seen.insert(random.clone()));
            }
        }
    }
}
