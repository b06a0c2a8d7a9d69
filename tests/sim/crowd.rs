//! Any number of endpoints, each with any number of associations, and a path of its own between any two that talk.

use crate::door::{From, endpoint};
use crate::network::Network;
use crate::pair::{ORIGIN, Side, Stop, check};
use crate::pki::NAME;
use crate::provider::{End, reseed};
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{ClientConfig, ConnectionHandle, Endpoint, ServerConfig, Verdict};

/// All of them, and the paths between them.
pub(crate) struct Crowd {
    seed: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) paths: Vec<Path>,
    pub(crate) now: Duration,
}

/// An endpoint with an address.
pub(crate) struct Host {
    address: SocketAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) associations: BTreeMap<ConnectionHandle, Association>,
}

/// One end of an association.
pub(crate) struct Association {
    pub(crate) side: Side,
    /// The other end's host.
    pub(crate) peer: usize,
}

/// From the host that calls to the one that is called.
pub(crate) struct Path {
    pub(crate) hosts: [usize; 2],
    pub(crate) network: Network,
}

impl Crowd {
    pub(crate) fn new(seed: u64) -> Self {
        reseed(seed);
        Self { seed, hosts: Vec::new(), paths: Vec::new(), now: Duration::ZERO }
    }

    /// A host more, which takes clients if there is a configuration for them; returns its place.
    pub(crate) fn add(&mut self, server: Option<Arc<ServerConfig>>) -> usize {
        let number = self.hosts.len();
        let octet = |n| u8::try_from(n).expect("not so many");
        // Networks of their own: an endpoint counts handshakes by network too.
        let address = SocketAddr::from(([10, octet(number / 200), octet(number % 200), 1], 4433));
        let endpoint = endpoint(server, *ORIGIN).expect("an endpoint");
        self.hosts.push(Host { address, endpoint, associations: BTreeMap::new() });
        number
    }

    /// One host calls another, over a path that is theirs alone.
    pub(crate) fn call(&mut self, hosts: [usize; 2], client: &Arc<ClientConfig>, network: Network) {
        let [from, to] = hosts;
        let (now, remote) = (self.instant(), self.hosts[to].address);
        let name = ServerName::try_from(NAME).expect("a valid name");
        let called = self.hosts[from].endpoint.connect(remote, None, client.clone(), Some(name), now);
        let (handle, connection) = called.expect("a client");
        self.hosts[from].associations.insert(handle, Association { side: Side::new(connection), peer: to });
        self.paths.push(Path { hosts, network });
    }

    pub(crate) fn instant(&self) -> Instant {
        *ORIGIN + self.now
    }

    /// Lets time pass until nothing happens any more or `deadline` has come.
    pub(crate) fn run(&mut self, deadline: Duration) -> Stop {
        for _ in 0..MAX_EVENTS {
            self.transmit();
            let arrivals = self.paths.iter().map(|path| path.network.next_arrival());
            let associations = self.hosts.iter().flat_map(|host| host.associations.values());
            let timers = associations.map(|association| association.side.connection.poll_timeout());
            let timers = timers.map(|timer| Some(timer?.saturating_duration_since(*ORIGIN)));
            let Some(next) = arrivals.chain(timers).flatten().min() else { return Stop::Quiet };
            if next > deadline {
                self.now = self.now.max(deadline);
                return Stop::Deadline;
            }
            self.now = self.now.max(next);
            if !self.arrive() {
                self.expire();
            }
        }
        self.fail("it goes round in circles")
    }

    fn expire(&mut self) {
        let now = self.instant();
        for host in &mut self.hosts {
            host.endpoint.handle_timeout(now).expect("keys are derived");
            for (handle, association) in &mut host.associations {
                association.side.connection.handle_timeout(now);
                association.side.drain_events();
                host.endpoint.update(*handle, &mut association.side.connection);
            }
        }
    }

    fn transmit(&mut self) {
        let now = self.instant();
        for number in 0..self.hosts.len() {
            let bursts: Vec<_> = self.hosts[number]
                .associations
                .values_mut()
                .map(|association| (association.peer, association.side.poll_transmit(now)))
                .collect();
            for (peer, burst) in bursts {
                self.send(number, peer, burst);
            }
        }
    }

    /// What one host has for another goes onto their path, if there is one.
    fn send(&mut self, from: usize, to: usize, burst: Vec<Vec<u8>>) {
        let now = self.now;
        for path in &mut self.paths {
            if path.hosts == [from, to] {
                return path.network.send(now, End::Client, burst);
            } else if path.hosts == [to, from] {
                return path.network.send(now, End::Server, burst);
            }
        }
    }

    /// The next datagram that has arrived anywhere.
    fn arrive(&mut self) -> bool {
        let now = self.now;
        for number in 0..self.paths.len() {
            let Path { hosts, network } = &mut self.paths[number];
            let Some(flying) = network.arrive(now) else { continue };
            let (from, to) = match flying.from {
                End::Client => (hosts[0], hosts[1]),
                End::Server => (hosts[1], hosts[0]),
            };
            // What has another source seems to come from the host before.
            let others = self.hosts.len();
            let source = if flying.source == From::TheClient { from } else { (from + others - 1) % others };
            self.deliver(source, to, flying.datagram);
            return true;
        }
        false
    }

    /// Gives a datagram to a host, as if it came from this one.
    pub(crate) fn deliver(&mut self, source: usize, to: usize, datagram: Vec<u8>) {
        let (now, at, remote) = (self.instant(), self.now, self.hosts[source].address);
        let host = &mut self.hosts[to];
        let mut reply = [0; 2048];
        match host.endpoint.handle(now, remote, None, &datagram, &mut reply) {
            Verdict::Reply(len) => self.send(to, source, vec![reply[..len].to_vec()]),
            Verdict::Incoming(incoming) => {
                let (handle, connection) = host.endpoint.accept(*incoming, None, now).expect("its own client");
                host.associations.insert(handle, Association { side: Side::new(connection), peer: source });
            }
            Verdict::Connection(handle) => {
                if let Some(association) = host.associations.get_mut(&handle) {
                    association.side.receive(now, at, datagram);
                    host.endpoint.update(handle, &mut association.side.connection);
                }
            }
            _ => {}
        }
    }

    /// The two ends of what one host has begun with another.
    pub(crate) fn ends(&mut self, hosts: [usize; 2]) -> [&mut Side; 2] {
        let [from, to] = hosts;
        let hosts = self.hosts.get_disjoint_mut([from, to]).expect("two hosts");
        let mut peers = [to, from].into_iter();
        hosts.map(|host| {
            let peer = peers.next();
            let mut associations = host.associations.values_mut().filter(|association| Some(association.peer) == peer);
            &mut associations.next().unwrap_or_else(|| panic!("no association {from} {to}")).side
        })
    }

    /// Every association is complete, at rest, and shared by its two ends alone.
    pub(crate) fn check_complete(&mut self) {
        let mut secrets = Vec::new();
        for hosts in self.paths.iter().map(|path| path.hosts).collect::<Vec<_>>() {
            let has = |from: usize, to| self.hosts[from].associations.values().any(|known| known.peer == to);
            check!(self, has(hosts[0], hosts[1]) && has(hosts[1], hosts[0]), format!("{hosts:?} know each other"));
            let said = self.ends(hosts).map(|side| {
                let mut out = [0; 32];
                let exported = side.connection.export_keying_material(b"EXPORTER-sim", None, &mut out);
                (side.failure.clone(), side.connection.poll_timeout(), exported.map(|()| out))
            });
            check!(self, said[0].2.is_ok() && said[0] == said[1], format!("{hosts:?} are complete: {said:?}"));
            check!(self, said[0].0.is_none() && said[0].1.is_none(), format!("{hosts:?} are at rest: {said:?}"));
            secrets.extend(said[0].2);
        }
        let all = secrets.len();
        secrets.sort_unstable();
        secrets.dedup();
        check!(self, secrets.len() == all, "no two associations have the same secret");
    }

    /// Data gets through each association, both ways, to nobody else.
    pub(crate) fn check_data(&mut self) {
        let all: Vec<_> = self.paths.iter().map(|path| path.hosts).collect();
        let patience = self.now + Duration::from_secs(60);
        while self.now < patience {
            let now = self.instant();
            for hosts in &all {
                let [one, other] = self.ends(*hosts);
                let mut datagrams = Vec::new();
                for (side, peer, name) in [(one, 1, "there"), (other, 0, "back")] {
                    let mut out = [0; 256];
                    let payload = format!("{hosts:?} {name}");
                    let len = side.connection.send(now, payload.as_bytes(), &mut out).expect("established");
                    datagrams.push((hosts[1 - peer], hosts[peer], out[..len].to_vec()));
                }
                for (from, to, datagram) in datagrams {
                    self.send(from, to, vec![datagram]);
                }
            }
            self.run(self.now + Duration::from_secs(1));
            if all.iter().all(|hosts| self.ends(*hosts).iter().all(|side| !side.delivered.is_empty())) {
                break;
            }
        }
        for hosts in all {
            let [one, other] = self.ends(hosts);
            let own = [(one, "back"), (other, "there")].map(|(side, name)| {
                let own = format!("{hosts:?} {name}").into_bytes();
                !side.delivered.is_empty() && side.delivered.iter().all(|data| *data == own)
            });
            check!(self, own == [true; 2], format!("{hosts:?}: its own data, and nobody else's"));
        }
    }

    #[track_caller]
    pub(crate) fn fail(&self, what: impl std::fmt::Display) -> ! {
        let ladders: Vec<_> =
            self.paths.iter().map(|path| format!("{:?}\n{}", path.hosts, path.network.ladder)).collect();
        panic!("not so: {what}\nseed {} (UDTLS_SIM_SEED={0}), now {:?}\n{}", self.seed, self.now, ladders.join("\n"))
    }
}

/// A run that has more goes round in circles.
const MAX_EVENTS: usize = 200_000;
