//! One socket, many peers: cookies, fragments, routes, places and limits, through the public interface.

#[path = "../common/ends.rs"]
mod ends;
mod hostile;
mod signing;
mod world;

use ends::{client_config, deliver, drain, new_client, server_config};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use udtls::{
    AlertDescription, ClientConfig, CloseReason, ConfigError, CookieFault, DropReason, Endpoint, EndpointConfig, Error,
    Event, KeyShares, NamedGroup, ProtocolVersion, Validation, Verdict,
};
use world::{Outcome, Peer, VERSIONS, World, address, events, server};

/// Both versions, and a share of the post-quantum hybrid in the first ClientHello: two datagrams.
fn hybrid(versions: &[ProtocolVersion]) -> ClientConfig {
    let mut config = client_config(ProtocolVersion::DTLS1_3);
    config.set_versions(versions).unwrap().set_key_shares(KeyShares::HybridFirst).unwrap();
    config
}

#[test]
fn many_clients_of_both_versions_share_a_socket() {
    let mut world = World::both();
    let mut peers = Vec::new();
    for n in 0..20 {
        peers.push(Peer::established(&mut world, address(n), client_config(VERSIONS[n as usize % 2])));
    }
    let stats = world.stats();
    assert_eq!((stats.connections, stats.half_open, stats.handshake_memory), (20, 0, 0));
    assert_eq!((stats.cookies_sent, stats.cookies_accepted, stats.incoming, stats.accepted), (20, 20, 20, 20));
    for (n, peer) in peers.iter_mut().enumerate() {
        let mut out = [0; 200];
        let len = peer.connection.send(world.now, &[n as u8], &mut out).unwrap();
        let Outcome::For(handle) = world.ask(peer.address, &out[..len]) else { panic!("a connection's") };
        let connection = world.connections.get_mut(&handle).unwrap();
        assert_eq!(deliver(connection, world.now, &mut out[..len]).unwrap(), [vec![n as u8]]);
        assert_eq!(world.endpoint.remote(handle), Some(peer.address));
    }
    world.connections.clear();
    assert_eq!(world.stats().connections, 0);
}

/// Chrome's and Firefox' ClientHellos are of this size.
#[test]
fn f10_a_hello_in_fragments_goes_through_the_cookie_exchange_in_any_order() {
    let servers: [&[_]; 3] = [&VERSIONS[..1], &VERSIONS[1..], &VERSIONS];
    for versions in servers {
        for reversed in [false, true] {
            let mut world = World::new(EndpointConfig::new(), server(versions));
            let mut peer = world.peer(address(1), hybrid(&VERSIONS));
            let mut longest = 0;
            for _ in 0..10 {
                let mut out = drain(&mut peer.connection, world.now);
                longest = longest.max(out.iter().map(Vec::len).sum());
                if reversed && longest > 1400 && world.connections.is_empty() {
                    out.reverse();
                }
                for datagram in out {
                    for mut back in world.serve(peer.address, &datagram) {
                        deliver(&mut peer.connection, world.now, &mut back).unwrap();
                    }
                }
            }
            assert!(longest > 1400, "the ClientHello takes two datagrams");
            assert!(peer.connection.is_established() && world.only().is_established(), "{versions:?} {reversed}");
            let negotiated = peer.connection.negotiated().unwrap();
            let expected = match negotiated.version() {
                ProtocolVersion::DTLS1_3 => NamedGroup::X25519MLKEM768,
                _ => NamedGroup::X25519,
            };
            assert_eq!(negotiated.group(), expected);
            let stats = world.stats();
            assert_eq!((stats.cookies_accepted, stats.accepted, stats.half_open), (1, 1, 0));
        }
    }
}

/// Our own small first ClientHello is retried for the hybrid: only the second comes in two datagrams.
#[test]
fn a_second_hello_in_fragments_is_put_together_and_signed_once() {
    let mut world = World::both();
    let mut peer = world.peer(address(1), client_config(ProtocolVersion::DTLS1_3));
    let second = peer.second_hello(&mut world);
    assert_eq!(second.len(), 2);
    assert!(world.serve(peer.address, &second[1]).is_empty());
    let flight = world.serve(peer.address, &second[0]);
    assert!(!flight.is_empty());
    // Repetitions, whole or in part, belong to the association and make it do nothing.
    for datagram in second.iter().chain(second.iter().rev()) {
        assert!(world.serve(peer.address, datagram).is_empty());
    }
    assert_eq!((world.connections.len(), world.stats().accepted), (1, 1));
    for mut datagram in flight {
        deliver(&mut peer.connection, world.now, &mut datagram).unwrap();
    }
    world.talk(&mut peer);
    assert!(peer.connection.is_established() && world.only().is_established());
}

/// 100 forged first fragments between any two datagrams of an honest client.
#[test]
fn a_flood_of_first_fragments_does_not_stop_honest_clients() {
    let mut world = World::both();
    let fragment = {
        let mut forger = new_client(&Arc::new(hybrid(&VERSIONS)), world.now);
        drain(&mut forger, world.now).remove(0)
    };
    let (clients, mut through, mut forged) = (20, 0, 1 << 20);
    for n in 0..clients {
        let mut peer = world.peer(address(n), hybrid(&VERSIONS));
        // The first and the second ClientHello may each be sent three times.
        let (mut expiries, mut accepted) = (0, world.stats().accepted);
        accepted += 1;
        while world.stats().accepted < accepted && expiries <= 4 {
            let out = drain(&mut peer.connection, world.now);
            if out.is_empty() {
                expiries += 1;
                world.pass(&mut peer, Duration::from_millis(1000));
            }
            for datagram in out {
                for _ in 0..100 {
                    forged += 1;
                    let outcome = world.ask(address(forged), &fragment);
                    assert!(matches!(outcome, Outcome::Kept));
                }
                for mut back in world.serve(peer.address, &datagram) {
                    let _ = deliver(&mut peer.connection, world.now, &mut back);
                }
            }
        }
        world.talk(&mut peer);
        through += u32::from(peer.connection.is_established());
    }
    assert!(through * 100 >= clients * 95, "{through} of {clients}");
    assert_eq!(world.stats().half_open, 0);
}

#[test]
fn an_undecided_client_is_heard_once() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut config = client_config(version);
        config.set_groups(&[NamedGroup::X25519]).unwrap();
        let mut peer = world.peer(address(1), config);
        let second = peer.second_hello(&mut world).remove(0);
        let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
        assert_eq!((incoming.remote(), incoming.server_name()), (peer.address, Some("localhost")));
        assert_eq!(incoming.version(), version);
        assert!(incoming.is_validated());
        for _ in 0..3 {
            assert!(matches!(world.ask(peer.address, &second), Outcome::Dropped(DropReason::Undecided)));
        }
        assert_eq!((world.stats().connections, world.stats().half_open), (1, 1));
        // To drop it is to ignore it: then it comes again.
        drop(incoming);
        assert_eq!((world.stats().connections, world.stats().half_open), (0, 0));
        let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
        world.endpoint.ignore(*incoming);
        let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
        let mut reply = [0; 100];
        let len = world.endpoint.refuse(*incoming, AlertDescription::ACCESS_DENIED, &mut reply);
        let refused = deliver(&mut peer.connection, world.now, &mut reply[..len]);
        assert_eq!(refused, Err(Error::AlertReceived(AlertDescription::ACCESS_DENIED)), "{version}");
        let stats = world.stats();
        assert_eq!((stats.half_open, stats.refused, stats.ignored, stats.incoming), (0, 1, 1, 3));
    }
}

#[test]
fn a_client_may_get_a_configuration_of_its_own_if_it_chooses_the_same() {
    let mut world = World::both();
    let mut peer = world.peer(address(1), client_config(ProtocolVersion::DTLS1_2));
    let second = peer.second_hello(&mut world).remove(0);
    let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
    let other = Arc::new(server_config(ProtocolVersion::DTLS1_2));
    let refused = world.endpoint.accept(*incoming, Some(other), world.now);
    assert_eq!(refused.err(), Some(ConfigError::ParametersDiffer));
    assert_eq!(world.stats().half_open, 0);

    let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
    let mut same = server(&VERSIONS);
    same.set_alpn_protocols(vec![b"coap".to_vec()]).unwrap();
    assert!(world.endpoint.accept(*incoming, Some(Arc::new(same)), world.now).is_ok());

    let Outcome::Incoming(incoming) = ({
        let mut peer = world.peer(address(2), client_config(ProtocolVersion::DTLS1_2));
        let second = peer.second_hello(&mut world).remove(0);
        world.ask(peer.address, &second)
    }) else {
        panic!("a client")
    };
    let mut elsewhere = World::both();
    let refused = elsewhere.endpoint.accept(*incoming, None, world.now);
    assert_eq!(refused.err(), Some(ConfigError::OtherEndpoint));
    assert_eq!(world.stats().half_open, 0);
}

/// RFC 6347 §4.2.8, RFC 9147 §5.11.
#[test]
fn s13_a_client_that_begins_anew_ends_its_old_association_when_it_has_proven_itself() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut old = Peer::established(&mut world, address(1), client_config(version));
        let old_handle = *world.connections.keys().next().unwrap();
        let mut out = [0; 200];

        // A forged ClientHello gets a cookie's worth of an answer, and changes nothing.
        let mut new = world.peer(address(1), client_config(version));
        let second = new.second_hello(&mut world);
        let len = old.connection.send(world.now, b"still here", &mut out).unwrap();
        assert!(matches!(world.ask(old.address, &out[..len]), Outcome::For(handle) if handle == old_handle));

        // Nor does a handshake that is not complete.
        let mut flight = Vec::new();
        for datagram in second {
            flight.extend(world.serve(new.address, &datagram));
        }
        assert_eq!(world.connections.len(), 2);
        let len = old.connection.send(world.now, b"still here", &mut out).unwrap();
        let Outcome::For(handle) = world.ask(old.address, &out[..len]) else { panic!("a connection's") };
        assert_eq!(handle, old_handle);
        let connection = world.connections.get_mut(&old_handle).unwrap();
        assert_eq!(deliver(connection, world.now, &mut out[..len]).unwrap(), [b"still here"]);
        assert_eq!(world.endpoint.poll_closed(), None);

        for mut datagram in flight {
            deliver(&mut new.connection, world.now, &mut datagram).unwrap();
        }
        world.talk(&mut new);
        assert!(new.connection.is_established(), "{version}");
        assert_eq!(world.endpoint.poll_closed(), Some(old_handle), "{version}");
        assert_eq!(world.endpoint.poll_closed(), None);
        let mut replaced = world.connections.remove(&old_handle).unwrap();
        let _ = events(&mut replaced);
        assert_eq!(deliver(&mut replaced, world.now, &mut [0; 20]), Err(Error::Replaced));
        assert_eq!(events(&mut replaced), [Event::Closed(CloseReason::Failed(Error::Replaced))]);
        assert_eq!(drain(&mut replaced, world.now), Vec::<Vec<u8>>::new());
        drop(replaced);
        let len = new.connection.send(world.now, b"anew", &mut out).unwrap();
        let Outcome::For(handle) = world.ask(new.address, &out[..len]) else { panic!("a connection's") };
        assert_ne!(handle, old_handle);
        assert_eq!((world.stats().connections, world.stats().replaced), (1, 1));
    }
}

#[test]
fn late_repetitions_of_a_hello_belong_to_the_association_it_began() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut config = client_config(version);
        config.set_groups(&[NamedGroup::X25519]).unwrap();
        let mut peer = world.peer(address(1), config);
        let second = peer.second_hello(&mut world).remove(0);
        let mut flight = world.serve(peer.address, &second);
        let before = world.replies;
        assert!(world.serve(peer.address, &second).is_empty(), "half-open");
        flight.iter_mut().for_each(|datagram| drop(deliver(&mut peer.connection, world.now, datagram)));
        world.talk(&mut peer);
        assert!(peer.connection.is_established());
        assert!(world.serve(peer.address, &second).is_empty(), "established");
        assert_eq!((world.stats().accepted, world.replies), (1, before));
        assert!(world.only().is_established());
    }
}

#[test]
fn the_oldest_half_open_handshake_makes_way_and_counters_go_down() {
    let mut config = EndpointConfig::new();
    config.set_max_half_open(4);
    let mut world = World::new(config, server(&VERSIONS));
    for n in 0..6 {
        let mut peer = world.peer(address(n), client_config(ProtocolVersion::DTLS1_2));
        let second = peer.second_hello(&mut world).remove(0);
        assert!(!world.serve(peer.address, &second).is_empty());
    }
    let stats = world.stats();
    assert_eq!((stats.half_open, stats.connections, stats.evicted, stats.accepted), (4, 4, 2, 6));
    let evicted = [world.endpoint.poll_closed().unwrap(), world.endpoint.poll_closed().unwrap()];
    assert!(evicted[0] < evicted[1], "the oldest first");
    for handle in evicted {
        let mut connection = world.connections.remove(&handle).unwrap();
        connection.handle_timeout(world.now);
        assert_eq!(events(&mut connection), [Event::Closed(CloseReason::Failed(Error::Evicted))]);
    }
    assert!(stats.handshake_memory > 4 * 1000);
    // The application just drops what it has.
    world.connections.clear();
    let stats = world.stats();
    assert_eq!((stats.half_open, stats.connections, stats.handshake_memory), (0, 0, 0));
}

#[test]
fn one_network_cannot_take_the_places_of_all() {
    let mut config = EndpointConfig::new();
    config.set_max_half_open_per_network(2);
    let mut world = World::new(config, server(&VERSIONS));
    let begin = |world: &mut World, address: &str| {
        let mut peer = world.peer(address.parse().unwrap(), client_config(ProtocolVersion::DTLS1_2));
        let second = peer.second_hello(world).remove(0);
        assert!(!world.serve(peer.address, &second).is_empty(), "{address}");
    };
    for address in ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "[2001:db8:0:ff00::1]:1", "[2001:db8:0:ffff::2]:1"] {
        begin(&mut world, address);
    }
    assert_eq!((world.stats().half_open, world.stats().evicted), (5, 0));
    begin(&mut world, "[::ffff:192.0.2.1]:3");
    assert_eq!((world.stats().half_open, world.stats().evicted), (5, 1));
    begin(&mut world, "[2001:db8:0:ff77::3]:1");
    assert_eq!((world.stats().half_open, world.stats().evicted), (5, 2));
    begin(&mut world, "[2001:db8:1::1]:1");
    assert_eq!((world.stats().half_open, world.stats().evicted), (6, 2));
}

#[test]
fn no_more_connections_than_there_may_be() {
    let mut config = EndpointConfig::new();
    config.set_max_connections(2);
    let mut world = World::new(config, server(&VERSIONS));
    let peers = [1, 2].map(|n| Peer::established(&mut world, address(n), client_config(VERSIONS[0])));
    let mut third = world.peer(address(3), client_config(VERSIONS[0]));
    let second = third.second_hello(&mut world).remove(0);
    assert!(matches!(world.ask(third.address, &second), Outcome::Dropped(DropReason::Connections)));
    let name = || Some("localhost".try_into().unwrap());
    let client = Arc::new(client_config(VERSIONS[0]));
    let refused = world.endpoint.connect(address(9), None, client.clone(), name(), world.now);
    assert_eq!(refused.err(), Some(ConfigError::TooManyConnections));
    assert_eq!(world.stats().dropped(DropReason::Connections), 1);
    let gone = *world.connections.keys().next().unwrap();
    world.connections.remove(&gone);
    assert!(matches!(world.ask(third.address, &second), Outcome::Incoming(_)));
    drop(peers);
}

#[test]
fn handshakes_take_no_more_memory_than_they_may() {
    let mut config = EndpointConfig::new();
    config.set_max_handshake_memory(64 * 1024);
    let mut world = World::new(config, server(&VERSIONS));
    for n in 0..40 {
        let mut peer = world.peer(address(n), client_config(ProtocolVersion::DTLS1_2));
        let second = peer.second_hello(&mut world).remove(0);
        assert!(!world.serve(peer.address, &second).is_empty());
        assert!(world.stats().handshake_memory <= 64 * 1024);
    }
    let stats = world.stats();
    assert!(stats.half_open >= 3 && stats.evicted >= 20, "{stats:?}");
    assert_eq!(stats.half_open as u64 + stats.evicted, 40);
}

#[test]
fn s5_a_handshake_that_fails_gives_its_place_back() {
    let mut world = World::both();
    let mut config = client_config(ProtocolVersion::DTLS1_2);
    config.set_alpn_protocols(vec![b"nobody's".to_vec()]).unwrap();
    let mut picky = server(&VERSIONS);
    picky.set_alpn_protocols(vec![b"coap".to_vec()]).unwrap();
    world.config = Arc::new(picky);
    let mut peer = world.peer(address(1), config);
    let second = peer.second_hello(&mut world).remove(0);
    let Outcome::Incoming(incoming) = world.ask(peer.address, &second) else { panic!("a client") };
    assert_eq!(incoming.alpn_protocols().collect::<Vec<_>>(), [b"nobody's"]);
    let (_, mut connection) = world.endpoint.accept(*incoming, Some(world.config.clone()), world.now).unwrap();
    assert_eq!((world.stats().connections, world.stats().half_open), (0, 0));
    let mut alert = drain(&mut connection, world.now).remove(0);
    let told = deliver(&mut peer.connection, world.now, &mut alert);
    assert_eq!(told, Err(Error::AlertReceived(AlertDescription::NO_APPLICATION_PROTOCOL)));
}

#[test]
fn two_endpoints_connect_to_each_other_over_one_socket_each() {
    let mut world = World::both();
    let mut other = Endpoint::new(EndpointConfig::new(), None, world.now).unwrap();
    let (here, there) = (address(1), address(2));
    let client = Arc::new(client_config(ProtocolVersion::DTLS1_3));
    let name = || Some("localhost".try_into().unwrap());
    let nowhere = "10.0.0.1:0".parse().unwrap();
    let refused = other.connect(nowhere, None, client.clone(), name(), world.now);
    assert_eq!(refused.err(), Some(ConfigError::Address));
    let (handle, mut connection) = other.connect(there, None, client.clone(), name(), world.now).unwrap();
    let refused = other.connect(there, None, client, name(), world.now);
    assert_eq!(refused.err(), Some(ConfigError::AddressInUse));
    for _ in 0..10 {
        for datagram in drain(&mut connection, world.now) {
            for mut back in world.serve(here, &datagram) {
                let local = Some("10.0.0.1".parse().unwrap());
                let verdict = other.handle(world.now, there, local, &back, &mut []);
                assert!(matches!(verdict, Verdict::Connection(to) if to == handle));
                deliver(&mut connection, world.now, &mut back).unwrap();
                other.update(handle, &mut connection);
            }
        }
    }
    assert!(connection.is_established() && world.only().is_established());
    assert_eq!((other.stats().connections, other.stats().half_open), (1, 0));
    drop(connection);
    assert_eq!(other.stats().connections, 0);
    let verdict = other.handle(world.now, there, None, &[22; 40], &mut []);
    assert!(matches!(verdict, Verdict::Drop(DropReason::NotForUs)));
}

#[test]
fn without_a_cookie_no_more_than_three_times_what_came_is_sent() {
    for version in VERSIONS {
        let mut config = EndpointConfig::new();
        config.set_validation(Validation::UnderLoad).set_load_threshold(2);
        let mut world = World::new(config, server(&VERSIONS));
        let mut client = client_config(version);
        client.set_groups(&[NamedGroup::X25519]).unwrap();
        let mut peer = world.peer(address(1), client.clone());
        let first = drain(&mut peer.connection, world.now).remove(0);
        let answer = world.serve(peer.address, &first);
        let sent = |datagrams: &[Vec<u8>]| datagrams.iter().map(Vec::len).sum::<usize>();
        assert!(sent(&answer) <= 3 * first.len(), "{version}");
        // In 1.2 a flight must be whole, and this one does not fit: a cookie precedes it. In 1.3 the rest waits.
        let cookies = u64::from(version == ProtocolVersion::DTLS1_2);
        assert_eq!(world.stats().cookies_sent, cookies);
        // However often the timers expire, and a forger's victim says nothing.
        let mut total = sent(&answer);
        for _ in 0..10 {
            world.now += Duration::from_secs(10);
            let handles: Vec<_> = world.connections.keys().copied().collect();
            for handle in handles {
                world.connections.get_mut(&handle).unwrap().handle_timeout(world.now);
                total += sent(&world.flush(handle));
            }
        }
        assert!(total <= 3 * first.len(), "{version}: {total} octets for {}", first.len());

        let mut peer = world.peer(address(2), client.clone());
        world.talk(&mut peer);
        for _ in 0..5 {
            world.pass(&mut peer, Duration::from_secs(1));
            world.talk(&mut peer);
        }
        assert!(peer.connection.is_established(), "{version}");
        // Under load everyone needs a cookie.
        let mut config = EndpointConfig::new();
        config.set_validation(Validation::UnderLoad).set_load_threshold(0);
        let mut world = World::new(config, server(&VERSIONS));
        let _ = Peer::established(&mut world, address(3), client);
        assert_eq!(world.stats().cookies_sent, 1);
    }
}

#[test]
fn an_application_may_vouch_for_addresses() {
    for (version, groups) in
        [(VERSIONS[0], NamedGroup::X25519), (VERSIONS[1], NamedGroup::X25519), (VERSIONS[1], NamedGroup::SECP256R1)]
    {
        let mut config = EndpointConfig::new();
        config.set_validation(Validation::Vouched);
        let mut only = server(&VERSIONS);
        only.set_groups(&[groups]).unwrap();
        let mut world = World::new(config, only);
        let mut client = client_config(version);
        client.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
        // With P-256 there is a HelloRetryRequest, which is not stateless here.
        let _ = Peer::established(&mut world, address(1), client);
        let stats = world.stats();
        assert_eq!((stats.cookies_sent, stats.accepted, stats.half_open), (0, 1, 0), "{version} {groups}");
    }
}

/// A retry that is not stateless, and a second ClientHello in fragments.
#[test]
fn a_vouched_client_retries_for_the_hybrid() {
    let mut config = EndpointConfig::new();
    config.set_validation(Validation::Vouched);
    let mut only = server(&VERSIONS[1..]);
    only.set_groups(&[NamedGroup::X25519MLKEM768]).unwrap();
    let mut world = World::new(config, only);
    let peer = Peer::established(&mut world, address(1), client_config(ProtocolVersion::DTLS1_3));
    assert_eq!(peer.connection.negotiated().unwrap().group(), NamedGroup::X25519MLKEM768);
    assert_eq!((world.stats().cookies_sent, world.stats().accepted), (0, 1));
}

#[test]
fn nonsense_is_dropped_and_counted() {
    let mut world = World::both();
    let mut peer = world.peer(address(1), client_config(ProtocolVersion::DTLS1_2));
    let hello = drain(&mut peer.connection, world.now).remove(0);
    let dropped = |world: &mut World, from: &str, datagram: &[u8]| match world.ask(from.parse().unwrap(), datagram) {
        Outcome::Dropped(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(dropped(&mut world, "10.0.0.1:0", &hello), DropReason::Source);
    assert_eq!(dropped(&mut world, "10.0.0.1:5", &[]), DropReason::NotForUs);
    assert_eq!(dropped(&mut world, "10.0.0.1:5", &[0x2e; 50]), DropReason::NotForUs);
    for cut in 14..hello.len() {
        let reason = dropped(&mut world, "10.0.0.1:5", &hello[..cut]);
        assert_eq!(reason, DropReason::Malformed, "{cut}");
    }
    let mut reply = [0; 10];
    let verdict = world.endpoint.handle(world.now, address(1), None, &hello, &mut reply);
    assert!(matches!(verdict, Verdict::Drop(DropReason::ReplyTooLong)));
    assert_eq!(world.stats().dropped(DropReason::Malformed), hello.len() as u64 - 14);
    assert_eq!((world.stats().connections, world.stats().dropped(DropReason::NotForUs)), (0, 2));
}

/// No signature and no place without a valid cookie, and one of each however often the ClientHellos come, in any order
/// (RFC 9147 §5.1).
#[test]
fn hellos_in_any_order_cost_one_signature() {
    for version in VERSIONS {
        for order in 0_u32..64 {
            let (mut config, signatures) = signing::counting_server();
            config.set_groups(&[NamedGroup::X25519]).unwrap();
            let mut world = World::new(EndpointConfig::new(), config);
            let mut peer = world.peer(address(1), client_config(version));
            let first = drain(&mut peer.connection, world.now).remove(0);
            let Outcome::Reply(mut reply) = world.ask(peer.address, &first) else { panic!("a cookie") };
            assert!(matches!(world.ask(peer.address, &first), Outcome::Reply(_)));
            deliver(&mut peer.connection, world.now, &mut reply).unwrap();
            let second = drain(&mut peer.connection, world.now).remove(0);
            assert_eq!(signatures.load(SeqCst), 0);
            for step in 0..6 {
                let datagram = if order >> step & 1 == 1 { &second } else { &first };
                world.serve(peer.address, datagram);
            }
            let came = usize::from(order != 0);
            assert_eq!((signatures.load(SeqCst), world.connections.len()), (came, came), "{version} {order:#b}");
        }
    }
}

/// A cookie is good at the address where it was given, in whatever form that is written, and nowhere else.
#[test]
fn a_cookie_is_bound_to_both_addresses() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut config = client_config(version);
        config.set_groups(&[NamedGroup::X25519]).unwrap();
        let plain = ("192.0.2.1:5".parse().unwrap(), Some("198.51.100.1".parse().unwrap()));
        let mapped = ("[::ffff:192.0.2.1]:5".parse().unwrap(), Some("::ffff:198.51.100.1".parse().unwrap()));
        let mut peer = world.peer(plain.0, config);
        let mut reply = [0; 1500];
        let mut ask = |world: &mut World, (from, to), datagram: &[u8]| {
            let verdict = world.endpoint.handle(world.now, from, to, datagram, &mut reply);
            (verdict, reply)
        };
        let first = drain(&mut peer.connection, world.now).remove(0);
        let (Verdict::Reply(len), mut answer) = ask(&mut world, plain, &first) else { panic!("a cookie") };
        deliver(&mut peer.connection, world.now, &mut answer[..len]).unwrap();
        let second = drain(&mut peer.connection, world.now).remove(0);
        let strangers = [
            ("192.0.2.2:5".parse().unwrap(), plain.1),
            ("192.0.2.1:6".parse().unwrap(), plain.1),
            (plain.0, Some("198.51.100.2".parse().unwrap())),
            (plain.0, None),
        ];
        for stranger in strangers {
            assert!(matches!(ask(&mut world, stranger, &second).0, Verdict::Reply(_)), "{version} {stranger:?}");
        }
        assert_eq!(world.stats().cookies_rejected(CookieFault::Forged), 4);
        let (Verdict::Incoming(incoming), _) = ask(&mut world, mapped, &second) else { panic!("{version}: a client") };
        assert_eq!((incoming.remote(), incoming.local()), plain);
    }
}

/// Whoever begins anew and does not go on leaves the old association as it was, and so does one that fails.
#[test]
fn s13_a_beginning_that_comes_to_nothing_leaves_the_old_association_alone() {
    for version in VERSIONS {
        let mut world = World::both();
        let mut old = Peer::established(&mut world, address(1), client_config(version));
        let old_handle = *world.connections.keys().next().unwrap();
        // One that is never heard of again, and one after it.
        for attempt in 1..=2 {
            let mut new = world.peer(address(1), client_config(version));
            for datagram in new.second_hello(&mut world) {
                world.serve(new.address, &datagram);
            }
            assert_eq!((world.stats().half_open, world.stats().replaced), (1, attempt - 1));
        }
        let gone = world.endpoint.poll_closed().unwrap();
        assert_ne!(gone, old_handle);
        world.connections.remove(&gone);
        // The handshake is given up; the application keeps what is left of it.
        for _ in 0..20 {
            world.pass(&mut old, Duration::from_secs(60));
            world.talk(&mut old);
        }
        assert_eq!((world.stats().half_open, world.stats().connections), (0, 1), "{version}");
        let mut out = [0; 200];
        let len = old.connection.send(world.now, b"still here", &mut out).unwrap();
        assert!(matches!(world.ask(old.address, &out[..len]), Outcome::For(handle) if handle == old_handle));
        // What looks like part of a handshake goes to the one that lives.
        let mut handshake = out;
        handshake[0] = if version == ProtocolVersion::DTLS1_3 { 0x2e } else { 22 };
        assert!(matches!(world.ask(old.address, &handshake[..len]), Outcome::For(handle) if handle == old_handle));
        assert_eq!(world.endpoint.poll_closed(), None);
        let _ = Peer::established(&mut world, address(1), client_config(version));
        assert_eq!(world.endpoint.poll_closed(), Some(old_handle), "{version}");
    }
}
