//! Those who write other people's addresses on what they send, and applications that take their time.

use super::ends::{client_config, deliver, drain};
use super::hybrid;
use super::world::{Outcome, Peer, VERSIONS, World, address, events, server};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use udtls::{
    CloseReason, ConfigError, DropReason, Endpoint, EndpointConfig, Error, Event, NamedGroup, ProtocolVersion,
    Validation,
};

/// An endpoint that wants cookies only when there is much to do.
fn trusting() -> World {
    let mut config = EndpointConfig::new();
    config.set_validation(Validation::UnderLoad);
    World::new(config, server(&VERSIONS))
}

/// A forger's ClientHello, whole and acceptable, that comes "from" `victim`.
fn forge(world: &mut World, victim: SocketAddr, groups: &[NamedGroup]) -> Outcome {
    let mut config = client_config(ProtocolVersion::DTLS1_3);
    config.set_groups(groups).unwrap();
    let mut forger = world.peer(victim, config);
    let hello = drain(&mut forger.connection, world.now).remove(0);
    world.ask(victim, &hello)
}

/// The beginning of a forged ClientHello that will never be whole.
fn first_part(message_seq: u16, length: u16, tint: u8) -> Vec<u8> {
    let ([l0, l1], [s0, s1]) = (length.to_be_bytes(), message_seq.to_be_bytes());
    let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 12 + 60];
    datagram.extend([1, 0, l0, l1, s0, s1, 0, 0, 0, 0, 0, 60]);
    datagram.extend([tint; 60]);
    datagram
}

/// A datagram with one whole handshake message, cut in two at this octet of its body.
fn halves(datagram: &[u8], at: usize) -> [Vec<u8>; 2] {
    let (record, header, body) = (&datagram[..11], &datagram[13..25], &datagram[25..]);
    let three = |n: usize| n.to_be_bytes()[5..].to_vec();
    let half = |offset: usize, body: &[u8]| {
        let len = (12 + body.len()) as u16;
        [record, &len.to_be_bytes(), &header[..6], &three(offset), &three(body.len()), body].concat()
    };
    [half(0, &body[..at]), half(at, &body[at..])]
}

/// Without a cookie anyone can begin an association at another's address. The genuine client must get in all the same, and
/// its second ClientHello, which comes in parts, must not go to the forger's.
#[test]
fn c1_a_forged_beginning_does_not_keep_the_genuine_client_out() {
    for groups in [&[NamedGroup::X25519][..], &[NamedGroup::SECP384R1]] {
        let mut world = trusting();
        let victim = address(1);
        let outcome = forge(&mut world, victim, groups);
        let forged = match outcome {
            Outcome::Incoming(incoming) => {
                let (handle, connection) = world.endpoint.accept(*incoming, None, world.now).unwrap();
                world.connections.insert(handle, connection);
                1
            }
            // Nothing that waits for a second ClientHello begins without a cookie.
            Outcome::Reply(_) => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(world.stats().half_open, forged);
        let mut peer = world.peer(victim, hybrid(&VERSIONS[1..]));
        for _ in 0..3 {
            world.talk(&mut peer);
            world.pass(&mut peer, Duration::from_secs(1));
        }
        assert!(peer.connection.is_established(), "{groups:?}");
        let mut small = world.peer(address(2), client_config(ProtocolVersion::DTLS1_3));
        let _ = forge(&mut world, address(2), groups);
        for _ in 0..3 {
            world.talk(&mut small);
            world.pass(&mut small, Duration::from_secs(1));
        }
        assert!(small.connection.is_established(), "{groups:?}");
    }
}

/// A retry costs the round trip that a cookie costs: the one comes with the other.
#[test]
fn c1_a_retry_comes_with_a_cookie() {
    let mut world = trusting();
    let mut config = client_config(ProtocolVersion::DTLS1_3);
    config.set_groups(&[NamedGroup::SECP384R1, NamedGroup::X25519]).unwrap();
    let mut only = server(&VERSIONS);
    only.set_groups(&[NamedGroup::X25519]).unwrap();
    let mut endpoint = EndpointConfig::new();
    endpoint.set_validation(Validation::UnderLoad);
    let mut retrying = World::new(endpoint, only);
    let peer = Peer::established(&mut retrying, address(1), config.clone());
    assert_eq!(peer.connection.negotiated().unwrap().group(), NamedGroup::X25519);
    assert_eq!((retrying.stats().cookies_sent, retrying.stats().cookies_accepted), (1, 1));
    let _ = Peer::established(&mut world, address(1), config);
    assert_eq!(world.stats().cookies_sent, 0);
}

/// Parts of later ClientHellos, as many as a source may have, forged faster than the client sends.
#[test]
fn c9_forged_later_parts_do_not_keep_an_earlier_hello_out() {
    let mut world = World::both();
    let mut peer = world.peer(address(1), hybrid(&VERSIONS));
    for _ in 0..6 {
        for datagram in drain(&mut peer.connection, world.now) {
            for tint in 0..8 {
                let forged = first_part(u16::MAX - u16::from(tint), 1300 + u16::from(tint), tint);
                assert!(matches!(
                    world.ask(peer.address, &forged),
                    Outcome::Kept | Outcome::Dropped(DropReason::Fragment)
                ));
            }
            for mut back in world.serve(peer.address, &datagram) {
                let _ = deliver(&mut peer.connection, world.now, &mut back);
            }
        }
        if peer.connection.is_established() {
            return;
        }
        world.pass(&mut peer, Duration::from_secs(1));
        world.talk(&mut peer);
    }
    // So many that its part is mostly drawn before the other comes: it gets in when the forger pauses.
    world.talk(&mut peer);
    for _ in 0..3 {
        world.pass(&mut peer, Duration::from_secs(3));
        world.talk(&mut peer);
    }
    assert!(peer.connection.is_established());
}

/// A forger may have a whole ClientHello of its own answered at another's address; the parts that wait there stay.
#[test]
fn c9_an_answer_to_a_forged_hello_forgets_no_genuine_part() {
    let mut world = World::both();
    let victim = address(1);
    let mut peer = world.peer(victim, hybrid(&VERSIONS));
    let genuine = drain(&mut peer.connection, world.now);
    assert_eq!(genuine.len(), 2);
    assert!(matches!(world.ask(victim, &genuine[0]), Outcome::Kept));
    let mut forger = world.peer(victim, client_config(ProtocolVersion::DTLS1_3));
    let mut forged = drain(&mut forger.connection, world.now).remove(0);
    // A later number, so that it could be a second ClientHello.
    forged[17..19].copy_from_slice(&7_u16.to_be_bytes());
    let [one, two] = halves(&forged, 100);
    assert!(matches!(world.ask(victim, &one), Outcome::Kept));
    assert!(matches!(world.ask(victim, &two), Outcome::Reply(_)));
    assert!(matches!(world.ask(victim, &genuine[1]), Outcome::Reply(_)), "the genuine one is whole");
}

/// What is kept is no drop; what brings nothing new is one.
#[test]
fn parts_that_are_kept_are_not_counted_as_dropped() {
    let mut world = World::both();
    let mut peer = world.peer(address(1), hybrid(&VERSIONS));
    let parts = drain(&mut peer.connection, world.now);
    assert!(matches!(world.ask(peer.address, &parts[0]), Outcome::Kept));
    assert_eq!((world.stats().fragments_kept, world.stats().dropped(DropReason::Fragment)), (1, 0));
    assert!(matches!(world.ask(peer.address, &parts[0]), Outcome::Dropped(DropReason::Fragment)));
    assert_eq!((world.stats().fragments_kept, world.stats().dropped(DropReason::Fragment)), (1, 1));
    // One that is kept and one that is of no use, in a datagram.
    let both = [&first_part(0, 2000, 1)[..], &first_part(0, 60_000, 1)].concat();
    assert!(matches!(world.ask(address(2), &both), Outcome::Kept));
    assert!(matches!(world.ask(address(2), &first_part(0, 60_000, 1)), Outcome::Dropped(DropReason::FragmentRefused)));
    let in_all: u64 = DropReason::ALL.iter().map(|reason| world.stats().dropped(*reason)).sum();
    assert_eq!((world.stats().fragments_kept, in_all), (2, 2));
}

/// The client begins anew while the application is deciding about it: the older decision comes to nothing, is told of, and
/// sends nothing.
#[test]
fn a_client_that_begins_anew_while_it_is_undecided_is_served_once() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut config = client_config(version);
        config.set_groups(&[NamedGroup::X25519]).unwrap();
        let hello = |world: &mut World| {
            let mut peer = world.peer(address(1), config.clone());
            let second = peer.second_hello(world).remove(0);
            let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
            (peer, incoming)
        };
        let (_, older) = hello(&mut world);
        let (mut peer, newer) = hello(&mut world);
        assert_eq!((world.stats().connections, world.stats().half_open, world.stats().replaced), (1, 1, 1));
        let (handle, mut connection) = world.endpoint.accept(*older, None, world.now).unwrap();
        assert_eq!(drain(&mut connection, world.now), Vec::<Vec<u8>>::new(), "{version}");
        assert_eq!(events(&mut connection), [Event::Closed(CloseReason::Failed(Error::Replaced))]);
        assert_eq!(world.endpoint.poll_closed(), Some(handle));
        world.endpoint.update(handle, &mut connection);
        assert_eq!((world.stats().connections, world.stats().half_open), (1, 1));
        let (handle, connection) = world.endpoint.accept(*newer, None, world.now).unwrap();
        world.connections.insert(handle, connection);
        for mut datagram in world.flush(handle) {
            deliver(&mut peer.connection, world.now, &mut datagram).unwrap();
        }
        world.talk(&mut peer);
        assert!(peer.connection.is_established() && world.only().is_established(), "{version}");
        assert_eq!(world.endpoint.poll_closed(), None);
        drop(connection_of(&mut world));
        assert_eq!((world.stats().connections, world.stats().half_open), (0, 0));
    }
}

fn connection_of(world: &mut World) -> udtls::Connection {
    let handle = *world.connections.keys().next().unwrap();
    world.connections.remove(&handle).unwrap()
}

/// What has ended and was dropped is not named; the handle of what is gone names nothing else, ever.
#[test]
fn handles_of_the_past_do_no_harm() {
    let mut world = World::both();
    let mut seen = Vec::new();
    for round in 0..5 {
        let _ = Peer::established(&mut world, address(1), client_config(VERSIONS[round % 2]));
        let new = *world.connections.keys().max().unwrap();
        assert!(!seen.contains(&new));
        // The application drops the old one without asking whether it had to.
        for old in &seen {
            world.connections.remove(old);
            assert_eq!(world.endpoint.remote(*old), None);
        }
        let mut stranger = Endpoint::new(EndpointConfig::new(), None, world.now).unwrap();
        let connection = world.connections.get_mut(&new).unwrap();
        // With another's handle, and with one of the past: nothing happens to this one.
        for handle in &seen {
            world.endpoint.update(*handle, connection);
            stranger.update(*handle, connection);
        }
        assert!(connection.is_established());
        seen.push(new);
        assert_eq!((world.stats().connections, world.endpoint.poll_closed()), (1, None), "{round}");
    }
}

/// A forger at the address of a server cannot keep us from calling it; who has shown a cookie, or has answered, can.
#[test]
fn a_forged_beginning_does_not_keep_us_from_calling() {
    let mut world = trusting();
    let called = address(9);
    let Outcome::Incoming(incoming) = forge(&mut world, called, &[NamedGroup::X25519]) else { panic!("a client") };
    let (forged, mut connection) = world.endpoint.accept(*incoming, None, world.now).unwrap();
    let client = Arc::new(client_config(ProtocolVersion::DTLS1_3));
    let name = || Some("localhost".try_into().unwrap());
    let (handle, mut ours) = world.endpoint.connect(called, None, client.clone(), name(), world.now).unwrap();
    assert_eq!(world.endpoint.poll_closed(), Some(forged));
    world.endpoint.update(forged, &mut connection);
    assert_eq!(events(&mut connection), [Event::Closed(CloseReason::Failed(Error::Replaced))]);
    // What comes from there is for our own connection.
    let mut other = World::both();
    for _ in 0..10 {
        for datagram in drain(&mut ours, world.now) {
            for mut back in other.serve(address(3), &datagram) {
                assert!(matches!(world.ask(called, &back), Outcome::For(to) if to == handle));
                deliver(&mut ours, world.now, &mut back).unwrap();
            }
        }
    }
    assert!(ours.is_established() && other.only().is_established());
    let again = world.endpoint.connect(called, None, client.clone(), name(), world.now);
    assert_eq!(again.err(), Some(ConfigError::AddressInUse));
    // A half-open handshake whose client has shown its cookie stays.
    let mut config = EndpointConfig::new();
    config.set_validation(Validation::Always);
    let mut world = World::new(config, server(&VERSIONS));
    let mut peer = world.peer(called, client_config(ProtocolVersion::DTLS1_2));
    let second = peer.second_hello(&mut world).remove(0);
    assert!(!world.serve(called, &second).is_empty());
    let refused = world.endpoint.connect(called, None, client, name(), world.now);
    assert_eq!(refused.err(), Some(ConfigError::AddressInUse));
}

/// The failure of one association is its own (a listener that was stuck for all after one failed handshake has been seen).
#[test]
fn s5_one_failure_leaves_everyone_else_alone() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut other = Peer::established(&mut world, address(2), client_config(version));
        for n in 0..20 {
            let mut peer = world.peer(address(1), client_config(version));
            let second = peer.second_hello(&mut world);
            let mut flight = Vec::new();
            for datagram in second {
                flight.extend(world.serve(peer.address, &datagram));
            }
            // The client fails in another way each time, or says nothing any more.
            for mut datagram in flight {
                let at = datagram.len() * (n + 1) / 21;
                datagram[at] ^= 0x41;
                let _ = deliver(&mut peer.connection, world.now, &mut datagram);
            }
            for mut datagram in drain(&mut peer.connection, world.now) {
                let at = datagram.len() - 1;
                datagram[at] ^= (n % 2) as u8;
                world.serve(peer.address, &datagram);
            }
        }
        let _ = Peer::established(&mut world, address(1), client_config(version));
        let mut out = [0; 200];
        let len = other.connection.send(world.now, b"still here", &mut out).unwrap();
        assert!(matches!(world.ask(other.address, &out[..len]), Outcome::For(_)), "{version}");
    }
}
