//! Many associations at once: several clients of one endpoint, and several endpoints, each of which has peers all over.

use crate::chaos;
use crate::crowd::Crowd;
use crate::kinds::{Kind, Shape};
use crate::network::{Fault, Network, Weather};
use crate::pair::{PATIENCE, Stop, check};
use crate::provider::reseed;
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use udtls::{AlertDescription, ClientConfig, Error, ProtocolVersion, ServerConfig};

/// Clients of either version, one of them with a ClientHello that fits no datagram, and a server of both.
struct World {
    clients: [Arc<ClientConfig>; 3],
    server: Arc<ServerConfig>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    const BOTH: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];
    let [old, new] = BOTH.map(|version| Kind::new(version, Shape::Cookie, 576));
    let hybrid = Kind::new(ProtocolVersion::DTLS1_3, Shape::CookieHybrid, 576);
    let mut server = ServerConfig::clone(&hybrid.server);
    let groups = [udtls::NamedGroup::X25519, udtls::NamedGroup::X25519MLKEM768];
    server.set_groups(&groups).expect("groups").set_versions(&BOTH).expect("versions");
    World { clients: [old.client, new.client, hybrid.client], server: Arc::new(server) }
});

/// Half as much is lost as in the storm: of so many handshakes in that, one in some ten thousands fails as it must.
fn storm() -> Weather {
    Weather { loss: 10, ..chaos::storm() }
}

/// So many servers, and clients that each call all of them.
fn crowd(seed: u64, servers: usize, clients: usize, weather: Weather) -> Crowd {
    let world = &*WORLD;
    let mut crowd = Crowd::new(seed);
    let servers: Vec<_> = (0..servers).map(|_| crowd.add(Some(world.server.clone()))).collect();
    for client in 0..clients {
        let host = crowd.add(None);
        for server in &servers {
            let path = Network::with_weather(weather, seed * 1000 + (host * 100 + server) as u64);
            crowd.call([host, *server], &world.clients[client % 3], path);
        }
    }
    crowd
}

fn prove(crowd: &mut Crowd) {
    let stop = crowd.run(PATIENCE);
    check!(crowd, stop == Stop::Quiet, "the handshakes come to rest");
    crowd.check_complete();
    crowd.check_data();
}

#[test]
fn many_clients_of_one_server_complete_in_a_storm() {
    for seed in chaos::seeds(6) {
        let mut crowd = crowd(seed, 1, 24, storm());
        prove(&mut crowd);
        let stats = crowd.hosts[0].endpoint.stats();
        check!(crowd, (stats.connections, stats.half_open) == (24, 0), format!("as many as there are: {stats:?}"));
        check!(crowd, stats.handshake_memory == 0, "what handshakes took is given back");
    }
}

#[test]
fn several_servers_and_clients_of_all_of_them_complete_in_a_storm() {
    for seed in chaos::seeds(4) {
        let mut crowd = crowd(seed, 3, 6, storm());
        prove(&mut crowd);
        for host in 0..9 {
            let (connections, peers) = (crowd.hosts[host].endpoint.stats().connections, if host < 3 { 6 } else { 3 });
            check!(crowd, connections == peers, format!("host {host} has {connections}"));
        }
    }
}

/// An endpoint that calls and is called.
#[test]
fn endpoints_that_call_each_other_in_a_circle_complete() {
    let world = &*WORLD;
    for seed in chaos::seeds(4) {
        let mut crowd = Crowd::new(seed);
        let hosts: Vec<_> = (0..5).map(|_| crowd.add(Some(world.server.clone()))).collect();
        for host in &hosts {
            let path = Network::with_weather(storm(), seed * 10 + *host as u64);
            crowd.call([*host, (host + 1) % hosts.len()], &world.clients[host % 3], path);
        }
        prove(&mut crowd);
    }
}

/// A datagram with the address of another client, which has an association already, is that other's as far as anyone can tell,
/// and changes nothing for it: it is lost to the one, and noise to the other.
#[test]
fn datagrams_that_seem_to_come_from_another_client_disturb_neither() {
    for client in &WORLD.clients {
        for ordinal in 0..10 {
            let mut crowd = crowd(1, 1, 3, Weather::default());
            prove(&mut crowd);
            let late = crowd.add(None);
            crowd.call([late, 0], client, Network::with_faults(&[Fault::Rewrite(ordinal)]));
            prove(&mut crowd);
            let stats = crowd.hosts[0].endpoint.stats();
            check!(crowd, (stats.connections, stats.replaced) == (4, 0), "nobody was replaced");
        }
    }
}

/// Who sends a ClientHello with another's address and a cookie that is not for it draws an alert upon that other (RFC 9147
/// §5.1). It ends a handshake that has no keys yet, and no other; the sender's own goes on.
#[test]
fn an_alert_that_somebody_else_has_drawn_ends_a_handshake_without_keys_and_no_other() {
    for server_hello_lost in [false, true] {
        let world = &*WORLD;
        let mut crowd = Crowd::new(1);
        let server = crowd.add(Some(world.server.clone()));
        let [victim, sender] = [(); 2].map(|()| crowd.add(None));
        let lost: &[Fault] = if server_hello_lost { &[Fault::Lose(3), Fault::Lose(4)] } else { &[] };
        crowd.call([victim, server], &world.clients[1], Network::with_faults(lost));
        crowd.call([sender, server], &world.clients[1], Network::with_faults(&[Fault::Rewrite(2)]));
        let stop = crowd.run(PATIENCE * 2);
        check!(crowd, stop == Stop::Quiet, "no hang");
        check!(crowd, crowd.hosts[server].endpoint.stats().alerts_sent == 1, "the cookie is not for that address");
        let [one, other] = crowd.ends([sender, server]).map(|side| side.connection.is_established());
        check!(crowd, one && other, "the sender's own handshake completes");
        let failures = crowd.ends([victim, server]).map(|side| side.failure.clone());
        let [one, other] = crowd.ends([victim, server]).map(|side| side.connection.is_established());
        check!(crowd, [one, other] == [!server_hello_lost; 2], format!("only without keys: {failures:?}"));
        let alert = Error::AlertReceived(AlertDescription::ILLEGAL_PARAMETER);
        check!(crowd, failures[0] == server_hello_lost.then_some(alert), "in an error that says why");
    }
}

/// What happens on one path changes no datagram on another but for what is drawn at random: not when it is sent, nor how long
/// it is.
#[test]
fn one_clients_losses_are_nobody_elses() {
    let sizes = |crowd: &Crowd, path: usize| -> Vec<_> {
        crowd.paths[path].network.ladder.rungs.iter().map(|rung| (rung.at, rung.what, rung.datagram.len())).collect()
    };
    let mut clean = crowd(1, 1, 6, Weather::default());
    clean.run(PATIENCE);
    for ordinal in 0..5 {
        let mut lossy = crowd(1, 1, 6, Weather::default());
        lossy.paths[0].network.faults.push(Fault::Lose(ordinal));
        lossy.run(PATIENCE);
        lossy.check_complete();
        for path in 1..6 {
            check!(lossy, sizes(&lossy, path) == sizes(&clean, path), format!("path {path} is what it was"));
        }
        check!(lossy, sizes(&lossy, 0) != sizes(&clean, 0), "the loss is seen");
    }
}

#[test]
fn a_crowd_repeats_to_the_byte() {
    for seed in chaos::seeds(2) {
        let digest = |seed| {
            let mut crowd = crowd(seed, 2, 5, storm());
            crowd.run(Duration::from_secs(60));
            let rungs = crowd.paths.iter().flat_map(|path| &path.network.ladder.rungs);
            rungs.fold(Sha256::new(), |digest, rung| digest.chain_update(&rung.datagram)).finalize()
        };
        // What is left over on this thread does not matter.
        let first = digest(seed);
        reseed(99);
        assert_eq!(first, digest(seed), "seed {seed}");
        assert_ne!(first, digest(seed + 1));
    }
}
