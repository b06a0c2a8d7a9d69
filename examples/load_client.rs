//! Opens any number of associations with one server from one process, each from a socket of its own, and says how fast that
//! went and what failed.
//!
//! ```sh
//! cargo run --release --example load_client -- --connect 127.0.0.1:4433 --insecure --clients 10000 --rate 1000 --hold 30
//! ```

mod common {
    pub(crate) mod client_config;
    pub(crate) mod failure;
    pub(crate) mod options;
}

use common::client_config::{config, resolve, server_name};
use common::failure::{Failure, MAX_DATAGRAM};
use common::options::Options;

use lexopt::ValueExt;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{ClientConfig, CloseReason, Connection, Datagram, Event, ProtocolVersion};

const USAGE: &str = "\
Opens many DTLS associations with one server and measures how it goes.

usage: load_client --connect HOST:PORT (--ca FILE | --insecure) [options]

  --connect HOST:PORT   the server
  --clients N           associations to open; default 1000
  --rate R              associations to begin in a second; default 500
  --hold SECONDS        keep all of them open so long; default 0
  --echoes N            datagrams that each one sends to be echoed; default 1
  --burst N             so many of them at once, and the next when all have come back; default 1
  --payload OCTETS      in each of them; default 4
  --patience SECONDS    a handshake or an echo that takes longer has failed; default 30
  --mixed               every second one speaks DTLS 1.2 only, the others 1.3 only
  --ca FILE             certificates to trust, PEM
  --insecure            trust any certificate: for experiments only
  --version VERSION     1.2, 1.3 or auto (default)
  --name NAME           the server's name, sent to it and looked for in its certificate; default HOST
  --cert FILE           the clients' certificate chain, PEM
  --key FILE            its private key, PEM
  --alpn NAME[,NAME]    application protocols, the best first
  --mtu OCTETS          longest datagram to send, UDP payload; default 1200
  --help                this text

It fails unless every handshake and every echo succeeded.
";

/// What only this program's command line says.
struct Load {
    clients: usize,
    rate: u32,
    hold: Duration,
    echoes: u32,
    burst: u32,
    payload: usize,
    patience: Duration,
    mixed: bool,
}

fn main() -> ExitCode {
    match parse().and_then(|parsed| parsed.map_or(Ok(true), |(options, load)| run(&options, &load))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<(Options, Load)>, Failure> {
    let mut load = Load {
        clients: 1000,
        rate: 500,
        hold: Duration::ZERO,
        echoes: 1,
        burst: 1,
        payload: 4,
        patience: Duration::from_secs(30),
        mixed: false,
    };
    let options = Options::parse("connect", |name, parser| {
        match name {
            "clients" => load.clients = parser.value()?.parse()?,
            "rate" => load.rate = parser.value()?.parse()?,
            "hold" => load.hold = Duration::from_secs(parser.value()?.parse()?),
            "echoes" => load.echoes = parser.value()?.parse()?,
            "burst" => load.burst = parser.value()?.parse::<u32>()?.max(1),
            "payload" => load.payload = parser.value()?.parse()?,
            "patience" => load.patience = Duration::from_secs(parser.value()?.parse()?),
            "mixed" => load.mixed = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match options {
        Some(options) => Ok(Some((options, load))),
        None => {
            print!("{USAGE}");
            Ok(None)
        }
    }
}

/// Whether all went well.
fn run(options: &Options, load: &Load) -> Result<bool, Failure> {
    let configs = match load.mixed {
        false => vec![Arc::new(config(options)?)],
        true => [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3]
            .into_iter()
            .map(|version| {
                let mut config = config(options)?;
                config.set_versions(&[version])?;
                Ok(Arc::new(config))
            })
            .collect::<Result<_, Failure>>()?,
    };
    let mut fleet = Fleet {
        poll: Poll::new()?,
        remote: resolve(&options.address)?,
        name: server_name(options)?,
        configs,
        clients: Vec::with_capacity(load.clients),
        deadlines: BinaryHeap::new(),
        echoes: load.echoes,
        burst: load.burst,
        payload: vec![b'u'; load.payload],
        patience: load.patience,
        tally: Tally::default(),
        out: vec![0; MAX_DATAGRAM],
    };
    fleet.drive(load)?;
    Ok(fleet.tally.report(load))
}

/// All associations, in one thread.
struct Fleet {
    poll: Poll,
    remote: SocketAddr,
    name: ServerName<'static>,
    /// The clients take them in turn.
    configs: Vec<Arc<ClientConfig>>,
    clients: Vec<Client>,
    /// When to look after which client again; entries may be out of date.
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    echoes: u32,
    burst: u32,
    payload: Vec<u8>,
    patience: Duration,
    tally: Tally,
    out: Vec<u8>,
}

struct Client {
    socket: UdpSocket,
    connection: Connection,
    stage: Stage,
}

/// What a client is busy with, and since when.
#[derive(Clone, Copy)]
enum Stage {
    Handshaking(Instant),
    /// So many echoes are still to come.
    Echoing(Instant, u32),
    Idle,
    Over,
}

#[derive(Default)]
struct Tally {
    handshakes: Vec<Duration>,
    echoes: Vec<Duration>,
    failures: BTreeMap<String, usize>,
    opening: Duration,
    idle: usize,
    over: usize,
    retransmissions: u64,
}

impl Fleet {
    fn drive(&mut self, load: &Load) -> Result<(), Failure> {
        let started = Instant::now();
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut events = Events::with_capacity(1024);
        let mut said = started;
        while self.clients.len() < load.clients || self.tally.idle + self.tally.over < load.clients {
            self.begin_due(load, started)?;
            self.turn(&mut events, &mut buffer, Duration::from_millis(5))?;
            if said.elapsed() >= Duration::from_secs(1) {
                said = Instant::now();
                let Tally { idle, over, .. } = self.tally;
                eprintln!("{} begun, {idle} established, {over} failed", self.clients.len());
            }
        }
        self.tally.opening = started.elapsed();
        let until = Instant::now() + load.hold;
        if !load.hold.is_zero() {
            eprintln!("holding {} associations for {:?}", self.tally.idle, load.hold);
        }
        while Instant::now() < until {
            self.turn(&mut events, &mut buffer, Duration::from_millis(100))?;
        }
        // Not all at once: what overflows the server's socket is lost.
        for index in 0..self.clients.len() {
            self.close(index);
            if index % 64 == 63 {
                self.turn(&mut events, &mut buffer, Duration::from_millis(2))?;
            }
        }
        Ok(())
    }

    /// Begins as many associations as the rate asks for by now.
    fn begin_due(&mut self, load: &Load, started: Instant) -> Result<(), Failure> {
        let due = started.elapsed().as_secs_f64() * f64::from(load.rate);
        while self.clients.len() < load.clients && (self.clients.len() as f64) < due {
            let index = self.clients.len();
            let now = Instant::now();
            let any: SocketAddr = if self.remote.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
            let mut socket = UdpSocket::bind(any)
                .map_err(|error| format!("socket {index}: {error}; \"ulimit -n\" says how many a process may open"))?;
            socket.connect(self.remote)?;
            self.poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            let config = self.configs[index % self.configs.len()].clone();
            let connection = Connection::client(config, Some(self.name.clone()), now)?;
            self.clients.push(Client { socket, connection, stage: Stage::Handshaking(now) });
            self.after_input(index, now);
        }
        Ok(())
    }

    /// Waits for datagrams and deadlines and deals with them.
    fn turn(&mut self, events: &mut Events, buffer: &mut [u8], at_most: Duration) -> Result<(), Failure> {
        let now = Instant::now();
        let next = self.deadlines.peek().map_or(at_most, |Reverse((due, _))| due.saturating_duration_since(now));
        match self.poll.poll(events, Some(next.min(at_most))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in events.iter() {
            self.receive(event.token().0, buffer);
        }
        let now = Instant::now();
        while let Some(Reverse((due, index))) = self.deadlines.peek().copied() {
            if due > now {
                break;
            }
            self.deadlines.pop();
            self.expire(index, now);
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, buffer: &mut [u8]) {
        loop {
            let client = &mut self.clients[index];
            match client.socket.recv(buffer) {
                Ok(len) => {
                    let now = Instant::now();
                    let mut datagram = Datagram::new(&mut buffer[..len]);
                    loop {
                        match self.clients[index].connection.receive(now, &mut datagram) {
                            Ok(Some(_)) => self.echoed(index, now),
                            Ok(None) => break,
                            Err(error) => {
                                self.fail(index, error.to_string());
                                break;
                            }
                        }
                    }
                    self.after_input(index, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(index, error.to_string()),
            }
        }
    }

    fn expire(&mut self, index: usize, now: Instant) {
        let client = &mut self.clients[index];
        if client.connection.poll_timeout().is_some_and(|due| due <= now) {
            client.connection.handle_timeout(now);
        }
        let what = match client.stage {
            Stage::Handshaking(since) if now.duration_since(since) >= self.patience => "no handshake in time",
            Stage::Echoing(since, _) if now.duration_since(since) >= self.patience => "no echo in time",
            _ => return self.after_input(index, now),
        };
        self.fail(index, what.to_owned());
    }

    /// Sends what is due and looks at what happened.
    fn after_input(&mut self, index: usize, now: Instant) {
        self.flush(index, now);
        while let Some(event) = self.clients[index].connection.poll_event() {
            match event {
                Event::HandshakeComplete => self.established(index, now),
                Event::PeerClosed if self.clients[index].connection.is_established() => {
                    self.fail(index, "closed by the server".to_owned());
                }
                Event::Closed(CloseReason::Failed(error)) => self.fail(index, error.to_string()),
                _ => {}
            }
        }
        let client = &self.clients[index];
        let given_up = match client.stage {
            Stage::Handshaking(since) | Stage::Echoing(since, _) => Some(since + self.patience),
            Stage::Idle => None,
            Stage::Over => return,
        };
        if let Some(due) = client.connection.poll_timeout().into_iter().chain(given_up).min() {
            self.deadlines.push(Reverse((due, index)));
        }
    }

    fn flush(&mut self, index: usize, now: Instant) {
        let client = &mut self.clients[index];
        while let Ok(Some(len)) = client.connection.poll_transmit(now, &mut self.out) {
            // What does not go out is lost, as any datagram may be.
            let _: io::Result<usize> = client.socket.send(&self.out[..len]);
        }
    }

    fn established(&mut self, index: usize, now: Instant) {
        if let Stage::Handshaking(since) = self.clients[index].stage {
            self.tally.handshakes.push(now.duration_since(since));
            self.next_burst(index, now, self.echoes);
        }
    }

    fn echoed(&mut self, index: usize, now: Instant) {
        if let Stage::Echoing(since, left) = self.clients[index].stage {
            self.tally.echoes.push(now.duration_since(since));
            let left = left - 1;
            if (self.echoes - left).is_multiple_of(self.burst) || left == 0 {
                self.next_burst(index, now, left);
            } else {
                self.clients[index].stage = Stage::Echoing(since, left);
            }
        }
    }

    /// Sends the next datagrams of those that are left.
    fn next_burst(&mut self, index: usize, now: Instant, left: u32) {
        let client = &mut self.clients[index];
        if left == 0 {
            client.stage = Stage::Idle;
            self.tally.idle += 1;
            return;
        }
        client.stage = Stage::Echoing(now, left);
        for _ in 0..left.min(self.burst) {
            match client.connection.send(now, &self.payload, &mut self.out) {
                Ok(len) => {
                    let _: io::Result<usize> = client.socket.send(&self.out[..len]);
                }
                Err(error) => return self.fail(index, error.to_string()),
            }
        }
    }

    fn fail(&mut self, index: usize, reason: String) {
        self.flush(index, Instant::now());
        let client = &mut self.clients[index];
        match client.stage {
            Stage::Over => return,
            Stage::Idle => self.tally.idle -= 1,
            Stage::Handshaking(_) | Stage::Echoing(..) => {}
        }
        client.stage = Stage::Over;
        self.tally.over += 1;
        *self.tally.failures.entry(reason).or_default() += 1;
    }

    fn close(&mut self, index: usize) {
        let now = Instant::now();
        self.tally.retransmissions += self.clients[index].connection.stats().retransmissions;
        self.clients[index].connection.close(now);
        self.flush(index, now);
    }
}

impl Tally {
    /// Prints the figures; whether all went well.
    fn report(&mut self, load: &Load) -> bool {
        let rate = self.handshakes.len() as f64 / self.opening.as_secs_f64();
        println!("{} of {} handshakes in {:.1?}: {rate:.0}/s", self.handshakes.len(), load.clients, self.opening);
        println!("handshake latency  {}", percentiles(&mut self.handshakes));
        println!("echo latency       {}", percentiles(&mut self.echoes));
        println!("echoes             {}", self.echoes.len());
        println!("retransmissions    {}", self.retransmissions);
        println!("failures           {}", self.over);
        for (reason, count) in &self.failures {
            println!("  {count:>6}  {reason}");
        }
        self.over == 0
    }
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let Some(last) = times.last() else { return "none".to_owned() };
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:.2?}  p90 {:.2?}  p99 {:.2?}  max {last:.2?}", at(50), at(90), at(99))
}
