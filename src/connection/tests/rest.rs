//! Associations that gave back what they could do without for a while.

use super::*;
use crate::error::Discard;

impl Pair {
    fn hibernate(&mut self) {
        self.client.hibernate();
        self.server.hibernate();
    }
}

/// How many keys are ready for use at an end.
fn contexts(end: &Connection) -> usize {
    end.records.contexts()
}

#[test]
fn a_handshake_goes_on_after_each_hibernation() {
    for setup in Setup::all() {
        let mut pair = setup.pair();
        for _ in 0..20 {
            pair.hibernate();
            for datagram in pair.up() {
                pair.hibernate();
                assert_eq!(give(&mut pair.server, &datagram, pair.now), Ok(vec![]));
            }
            pair.hibernate();
            for datagram in pair.down() {
                pair.hibernate();
                assert_eq!(give(&mut pair.client, &datagram, pair.now), Ok(vec![]));
            }
        }
        assert!(pair.client.is_established() && pair.server.is_established());
    }
}

#[test]
fn the_next_record_builds_what_it_needs() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        pair.hibernate();
        assert_eq!((contexts(&pair.client), contexts(&pair.server)), (0, 0));
        let data = send(&mut pair.client, b"up", pair.now);
        assert_eq!((contexts(&pair.client), contexts(&pair.server)), (1, 0));
        assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"up".to_vec()]));
        assert_eq!((contexts(&pair.client), contexts(&pair.server)), (1, 1));
        let data = send(&mut pair.server, b"down", pair.now);
        assert_eq!(give(&mut pair.client, &data, pair.now), Ok(vec![b"down".to_vec()]));
        assert_eq!((contexts(&pair.client), contexts(&pair.server)), (2, 2));
    }
}

#[test]
fn numbers_windows_and_exporters_outlast_hibernation() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        let export = |end: &Connection| {
            let mut out = [0; 32];
            end.export_keying_material(b"EXPERIMENTAL", None, &mut out).unwrap();
            out
        };
        let (exported, first) = (export(&pair.client), send(&mut pair.client, b"first", pair.now));
        let late = send(&mut pair.client, b"late", pair.now);
        assert_eq!(give(&mut pair.server, &first, pair.now), Ok(vec![b"first".to_vec()]));
        pair.hibernate();
        assert_eq!(give(&mut pair.server, &first, pair.now), Ok(vec![]));
        assert_eq!(pair.server.stats().discarded(Discard::Replayed), 1);
        let next = send(&mut pair.client, b"next", pair.now);
        assert_eq!(give(&mut pair.server, &next, pair.now), Ok(vec![b"next".to_vec()]));
        pair.hibernate();
        assert_eq!(give(&mut pair.server, &late, pair.now), Ok(vec![b"late".to_vec()]));
        assert_eq!([export(&pair.client), export(&pair.server)], [exported; 2]);
    }
}

/// RFC 9147 §4.2.1: what was sent under the old keys comes late.
#[test]
fn old_keys_are_kept_as_a_secret() {
    let mut pair = Setup::new(ProtocolVersion::DTLS1_3).established();
    let stragglers = [b"a", b"b"].map(|payload| send(&mut pair.client, payload, pair.now));
    pair.client.request_key_update(pair.now, KeyUpdateRequest::NotRequested).unwrap();
    let (updates, before) = (pair.up(), contexts(&pair.server));
    pair.hibernate();
    pair.give_server(&updates);
    // The old key opened the KeyUpdate; the new one is ready.
    assert!(contexts(&pair.server) <= before);
    pair.sleep();
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::KeyUpdated(crate::config::Direction::Sending)));
    for (n, straggler) in stragglers.iter().enumerate() {
        assert_eq!(give(&mut pair.server, straggler, pair.now), Ok(vec![[b'a' + n as u8].to_vec()]));
        pair.hibernate();
        let data = send(&mut pair.client, b"new", pair.now);
        assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"new".to_vec()]));
    }
}

#[test]
fn certificates_are_forgotten_when_the_application_says_so() {
    for version in VERSIONS {
        let mut pair = Setup { mutual: true, ..Setup::new(version) }.established();
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(end.negotiated().unwrap().peer_certificates(), std::slice::from_ref(&IDENTITY.certificate));
            end.forget_peer_certificates();
            assert!(end.negotiated().unwrap().peer_certificates().is_empty());
        }
        let data = send(&mut pair.client, b"data", pair.now);
        assert_eq!(give(&mut pair.server, &data, pair.now), Ok(vec![b"data".to_vec()]));
    }
}
