//! Two associations and the network between them, driven through virtual time.

use crate::door::{Door, From, Outcome};
use crate::keys;
use crate::kinds::Kind;
use crate::network::{Fault, Network};
use crate::pki::NAME;
use crate::provider::{End, reseed};
use rustls::pki_types::ServerName;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use udtls::{ConfigError, Connection, Datagram, Error, Event, SendError};

/// Ends the test with all that is needed to repeat it, unless `holds`. What is said is put together only then.
macro_rules! check {
    ($pair:expr, $holds:expr, $what:expr) => {{
        let holds: bool = $holds;
        if !holds {
            $pair.fail($what);
        }
    }};
}
pub(crate) use check;

/// What a run is about, for whoever has to repeat it.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) kind: &'static Kind,
    pub(crate) seed: u64,
}

/// One end and what came out of it.
pub(crate) struct Side {
    pub(crate) connection: Connection,
    /// Application data that was delivered, in the order of delivery.
    pub(crate) delivered: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    /// Set once, by the first `receive` that failed.
    pub(crate) failure: Option<Error>,
    pub(crate) complete_at: Option<Duration>,
    /// How far its clock is ahead; a jump changes it.
    pub(crate) ahead: Duration,
}

/// Why [`Pair::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing is on its way, and neither end waits for anything.
    Quiet,
    /// The time is up.
    Deadline,
}

/// Two ends and the network between them.
pub(crate) struct Pair {
    run: Run,
    pub(crate) client: Side,
    pub(crate) server: Side,
    pub(crate) network: Network,
    pub(crate) now: Duration,
    /// Longer datagrams are refused by both ends' sockets (EMSGSIZE).
    pub(crate) socket: usize,
    /// What stands before the server, in kinds that have it.
    door: Option<Door>,
    faults: Vec<Fault>,
}

/// The origin of virtual time.
pub(crate) static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A handshake that takes longer has failed: twelve retransmissions from one second on, capped at sixty, take 490 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Twice the maximum segment lifetime: then both ends have forgotten what was kept for stragglers.
pub(crate) const TWO_MSL: Duration = Duration::from_secs(240);

/// No run of a few hundred datagrams has so many events: one that does goes round in circles.
const MAX_EVENTS: usize = 20_000;

impl Pair {
    pub(crate) fn new(kind: &'static Kind, seed: u64, network: Network) -> Self {
        Self::attempt(kind, seed, network).expect("two ends")
    }

    /// The same, with whatever keeps an end from being made.
    pub(crate) fn attempt(kind: &'static Kind, seed: u64, network: Network) -> Result<Self, ConfigError> {
        reseed(seed);
        keys::forget();
        let now = *ORIGIN;
        let name = ServerName::try_from(NAME).expect("a valid name");
        let client = Connection::client(kind.client.clone(), Some(name), now)?;
        let server = Connection::server(kind.server.clone(), now)?;
        let door = if kind.shape.has_cookie() { Some(Door::new(kind.server.clone(), now)?) } else { None };
        let faults = network.faults.clone();
        Ok(Self {
            run: Run { kind, seed },
            client: Side::new(client),
            server: Side::new(server),
            network,
            now: Duration::ZERO,
            socket: usize::MAX,
            door,
            faults,
        })
    }

    /// A pair whose handshake is complete, over a path on which nothing happens.
    pub(crate) fn established(kind: &'static Kind, seed: u64) -> Self {
        let mut pair = Self::new(kind, seed, Network::with_faults(&[]));
        let stop = pair.run(PATIENCE);
        check!(pair, stop == Stop::Quiet, "the handshake comes to rest");
        pair.check_complete();
        pair
    }

    pub(crate) fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// Clients that the endpoint could not make an association for.
    pub(crate) fn refused_clients(&self) -> usize {
        self.door.as_ref().map_or(0, |door| door.refused)
    }

    /// Octets that the endpoint counts for handshakes.
    pub(crate) fn handshake_memory(&self) -> usize {
        self.door.as_ref().map_or(0, Door::handshake_memory)
    }

    /// The time as an end sees it whose clock is right.
    pub(crate) fn instant(&self) -> Instant {
        *ORIGIN + self.now
    }

    /// The time as this end sees it.
    pub(crate) fn instant_of(&mut self, end: End) -> Instant {
        let ahead = self.side(end).ahead;
        self.instant() + ahead
    }

    /// Lets time pass until nothing happens any more or `deadline` has come.
    pub(crate) fn run(&mut self, deadline: Duration) -> Stop {
        self.run_with(deadline, &mut |_, _, _| {})
    }

    /// The same; `after` is called with each datagram that was delivered, and to whom.
    pub(crate) fn run_with(&mut self, deadline: Duration, after: &mut dyn FnMut(&mut Self, End, &[u8])) -> Stop {
        for _ in 0..MAX_EVENTS {
            self.transmit();
            let timers = End::BOTH.map(|end| self.deadline_of(end));
            let Some(next) = timers.into_iter().chain([self.network.next_arrival()]).flatten().min() else {
                return Stop::Quiet;
            };
            if next > deadline {
                self.now = self.now.max(deadline);
                return Stop::Deadline;
            }
            self.now = self.now.max(next);
            if let Some(flying) = self.network.arrive(self.now) {
                let to = flying.from.other();
                match flying.source {
                    From::TheClient => self.deliver(to, flying.datagram.clone()),
                    From::Elsewhere => self.deliver_from_elsewhere(to, &flying.datagram),
                }
                after(self, to, &flying.datagram);
            } else {
                self.expire();
            }
        }
        self.fail("it goes round in circles")
    }

    /// Lets time pass though nothing may happen.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let deadline = self.now + time;
        self.run(deadline);
        self.now = deadline;
        for end in End::BOTH {
            let now = self.instant_of(end);
            self.side(end).connection.handle_timeout(now);
        }
    }

    fn expire(&mut self) {
        for end in End::BOTH {
            let now = self.instant_of(end);
            if self.deadline_of(end).is_some_and(|deadline| deadline <= self.now) {
                self.side(end).connection.handle_timeout(now);
                self.side(end).drain_events();
                let still_due = self.deadline_of(end).is_some_and(|deadline| deadline <= self.now);
                check!(self, !still_due, "a deadline is over when it was handled");
            }
        }
    }

    /// When an end wants to be called.
    pub(crate) fn deadline_of(&mut self, end: End) -> Option<Duration> {
        let deadline = self.side(end).connection.poll_timeout()?;
        let ahead = self.side(end).ahead;
        Some(deadline.saturating_duration_since(*ORIGIN + ahead))
    }

    /// Puts on the network what both ends have to say.
    pub(crate) fn transmit(&mut self) {
        for end in End::BOTH {
            let burst = self.poll_transmit(end);
            self.network.send(self.now, end, burst);
        }
    }

    /// What an end has to say.
    pub(crate) fn poll_transmit(&mut self, end: End) -> Vec<Vec<u8>> {
        let now = self.instant_of(end);
        let mut burst = self.side(end).poll_transmit(now);
        while let Some(refused) = burst.iter().map(Vec::len).find(|len| *len > self.socket) {
            burst.retain(|datagram| datagram.len() <= self.socket);
            self.side(end).connection.datagram_too_large(refused);
            burst.extend(self.side(end).poll_transmit(now));
        }
        let mtu = self.side(end).connection.mtu();
        let fit = burst.iter().all(|datagram| !datagram.is_empty() && datagram.len() <= mtu);
        check!(self, fit, "a datagram is as long as the MTU at most");
        burst
    }

    /// A datagram whose source was rewritten: who has one peer alone drops it, and what answers it goes astray.
    fn deliver_from_elsewhere(&mut self, to: End, bytes: &[u8]) {
        let now = self.instant_of(to);
        if let (End::Server, Some(door)) = (to, &mut self.door) {
            let outcome = door.handle(now, From::Elsewhere, bytes);
            check!(self, matches!(outcome, Outcome::Dropped | Outcome::Reply(_)), "it is none of the client's");
        }
    }

    /// Gives a datagram to an end.
    pub(crate) fn deliver(&mut self, to: End, bytes: Vec<u8>) {
        let (now, at) = (self.instant_of(to), self.now);
        if let (End::Server, Some(door)) = (to, &mut self.door) {
            match door.handle(now, From::TheClient, &bytes) {
                Outcome::Dropped => return,
                Outcome::Reply(reply) => return self.network.send(self.now, End::Server, vec![reply]),
                Outcome::Begins(connection) => {
                    self.server.connection = *connection;
                    return;
                }
                Outcome::ForConnection => {}
            }
        }
        self.side(to).receive(now, at, bytes);
        if let (End::Server, Some(door)) = (to, &mut self.door) {
            door.update(&mut self.server.connection);
        }
    }

    /// Sends application data: one datagram.
    pub(crate) fn send(&mut self, from: End, payload: &[u8]) -> Result<(), SendError> {
        let datagram = self.seal(from, payload)?;
        self.network.send(self.now, from, vec![datagram]);
        Ok(())
    }

    /// A datagram of application data, not sent.
    pub(crate) fn seal(&mut self, from: End, payload: &[u8]) -> Result<Vec<u8>, SendError> {
        let now = self.instant_of(from);
        let mut out = vec![0; payload.len() + 64];
        let len = self.side(from).connection.send(now, payload, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    /// Both handshakes are complete, nothing failed and nothing is to be sent again.
    pub(crate) fn check_complete(&mut self) {
        for end in End::BOTH {
            let failure = self.side(end).failure.clone();
            check!(self, failure.is_none(), format!("{end:?} goes on, not {failure:?}"));
            let side = self.side(end);
            let first = side.events.iter().find(|event| **event != Event::AnswerWanted);
            let established = side.connection.is_established() && first == Some(&Event::HandshakeComplete);
            check!(self, established, format!("{end:?} is complete"));
            let idle = self.deadline_of(end).is_none();
            check!(self, idle, format!("{end:?} waits for nothing"));
        }
        let version = Some(self.run.kind.version);
        let agreed = [&self.client, &self.server].map(|side| side.connection.negotiated().map(|n| n.version()));
        check!(self, agreed == [version; 2], "both speak the version");
        self.check_exporters();
    }

    /// Both ends say the same of what they agreed on.
    pub(crate) fn agreed(&self) -> bool {
        let said = [&self.client, &self.server].map(|side| {
            let negotiated = side.connection.negotiated()?;
            let (version, suite) = (negotiated.version(), negotiated.cipher_suite());
            Some((version, suite, negotiated.group(), negotiated.handshake_kind()))
        });
        said[0].is_some() && said[0] == said[1]
    }

    /// Both ends share their secrets.
    pub(crate) fn check_exporters(&mut self) {
        let exported = [&self.client, &self.server].map(|side| {
            let mut out = [0; 32];
            side.connection.export_keying_material(b"EXPORTER-sim", Some(b"context"), &mut out).map(|()| out)
        });
        check!(self, exported[0].is_ok() && exported[0] == exported[1], "the exporters agree");
    }

    /// Data gets through in both directions, sent again every second if lost, and nobody is the worse for it.
    pub(crate) fn check_data(&mut self) {
        for end in End::BOTH {
            let payload = format!("from {end:?}").into_bytes();
            let arrived = (0..40).any(|_| {
                let sent = self.send(end, &payload);
                check!(self, sent.is_ok(), format!("{end:?} may send: {sent:?}"));
                self.run(self.now + Duration::from_secs(1));
                self.side(end.other()).delivered.contains(&payload)
            });
            check!(self, arrived, format!("data of {end:?} arrives"));
        }
        let stop = self.run(self.now + PATIENCE);
        check!(self, stop == Stop::Quiet, "after data both ends rest");
        self.check_complete();
    }

    /// The end of a test that went wrong: everything that is needed to repeat it.
    #[track_caller]
    pub(crate) fn fail(&self, what: impl std::fmt::Display) -> ! {
        let Run { kind, seed } = self.run;
        panic!(
            "not so: {what}\nkind {kind}, seed {seed} (UDTLS_SIM_SEED={seed}), faults {:?}, now {:?}\nclient: {:?} {:?} \
             {:?}\nserver: {:?} {:?} {:?}\n{}",
            self.faults,
            self.now,
            self.client.failure,
            self.client.events,
            self.client.connection.stats(),
            self.server.failure,
            self.server.events,
            self.server.connection.stats(),
            self.network.ladder
        )
    }
}

impl Side {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            delivered: Vec::new(),
            events: Vec::new(),
            failure: None,
            complete_at: None,
            ahead: Duration::ZERO,
        }
    }

    /// Takes a datagram, at an instant of its own clock and of virtual time.
    pub(crate) fn receive(&mut self, now: Instant, at: Duration, mut bytes: Vec<u8>) {
        let mut datagram = Datagram::new(&mut bytes);
        loop {
            match self.connection.receive(now, &mut datagram) {
                Ok(Some(mut data)) => self.delivered.push(data.payload().to_vec()),
                Ok(None) => break,
                Err(error) => {
                    self.failure.get_or_insert(error);
                    break;
                }
            }
        }
        self.drain_events();
        if self.complete_at.is_none() && self.events.contains(&Event::HandshakeComplete) {
            self.complete_at = Some(at);
        }
    }

    /// What it has to say.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = [0; 2048];
        let mut burst = Vec::new();
        while let Some(len) = self.connection.poll_transmit(now, &mut out).expect("a buffer that suffices") {
            burst.push(out[..len].to_vec());
            assert!(burst.len() < 200, "a flight ends");
        }
        burst
    }

    pub(crate) fn drain_events(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.connection.poll_event()));
    }
}

/// What a run that ended well was like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Datagrams sent until both ends rested.
    pub(crate) sent: usize,
    /// When the later of the two was complete.
    pub(crate) complete_at: Duration,
    /// When both rested.
    pub(crate) quiet_at: Duration,
}

/// A whole run, which must end well: both sides complete, exporters that agree, data each way, no retransmission pending.
pub(crate) fn prove(kind: &'static Kind, seed: u64, network: Network) -> Figures {
    let mut pair = Pair::new(kind, seed, network);
    let figures = prove_handshake(&mut pair);
    pair.check_data();
    figures
}

/// The handshake of such a run.
pub(crate) fn prove_handshake(pair: &mut Pair) -> Figures {
    let stop = pair.run(PATIENCE);
    check!(pair, stop == Stop::Quiet, "the handshake comes to rest");
    pair.check_complete();
    let complete_at = [&pair.client, &pair.server].into_iter().filter_map(|side| side.complete_at).max();
    Figures { sent: pair.network.sent, complete_at: complete_at.unwrap_or_default(), quiet_at: pair.now }
}
