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
