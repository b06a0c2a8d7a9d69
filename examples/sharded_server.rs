//! A DTLS server for any number of peers on several threads: each has a socket, an endpoint and connections of its own, and
//! all listen on one address. Echoes what its peers send.
//!
//! ```sh
//! cargo run --release --example sharded_server -- --listen 127.0.0.1:4433
//! ```
//!
//! The kernel gives each datagram to one of the sockets (`SO_REUSEPORT`) by a hash of addresses and ports, its own and the
//! peer's. All datagrams of a peer so come to one thread, for as long as its address stays and no socket comes or goes: a
//! thread needs no lock, and no word from the others. What a peer does that sends from another port, because its NAT forgot
//! it or because it began anew, is decided as by one server:
//!
//! * a cookie is good at every shard: their keys follow from one secret and the time of day ([`CookieKeys::derive`]), so that a
//!   client may get it from one and bring it to another, as it does when a shard is added between its flights;
//! * so is a ticket: the shards' configurations are copies of one, which share its key for tickets;
//! * an association lives where it began. Records from another address find none, here as with a single endpoint.

mod common {
    pub(crate) mod batched;
    pub(crate) mod failure;
    pub(crate) mod many;
    pub(crate) mod many_options;
    pub(crate) mod one_by_one;
    pub(crate) mod options;
    pub(crate) mod server_config;
}

use common::failure::Failure;
use common::many::Many;
use common::many_options::Settings;
use common::{batched, one_by_one};
use lexopt::ValueExt;
use rustls::crypto::aws_lc_rs;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;
use udtls::CookieKeys;

const OWN_USAGE: &str = "  \
  --shards N            threads, each with a socket of its own; default: one a core
  --batch               several datagrams a system call: recvmmsg, GRO and GSO
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sharded_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut shards = thread::available_parallelism().map_or(1, usize::from);
    let mut serve: fn(_, _, &_, &_) -> _ = one_by_one::serve;
    let settings = Settings::parse("sharded_server", OWN_USAGE, |name, parser| {
        match name {
            "shards" => shards = parser.value()?.parse()?,
            "batch" => serve = batched::serve,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(settings) = settings else { return Ok(()) };
    if shards == 0 {
        return Err("--shards 0: somebody has to serve".into());
    }
    let sockets = sockets(&settings.options.address, shards)?;
    let (config, secret) = (settings.config()?, secret()?);
    let stop = settings.stop_on_ctrl_c()?;
    println!("listening on {}", sockets[0].local_addr()?);
    println!("{shards} shards");
    thread::scope(|scope| {
        let threads: Vec<_> = sockets
            .into_iter()
            .enumerate()
            .map(|(number, socket)| {
                let (settings, config, stop) = (&settings, config.clone(), &*stop);
                scope.spawn(move || {
                    let who = format!("shard {number}: ");
                    let endpoint = CookieKeys::derive(&secret, Instant::now())
                        .map_err(Failure::from)
                        .and_then(|keys| settings.endpoint(config, keys));
                    let served = endpoint.and_then(|endpoint| serve(socket, Many::new(endpoint), stop, &who));
                    // One that cannot go on ends all: its peers would find nobody.
                    served.inspect_err(|_| stop.store(true, Ordering::Relaxed))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no shard panics"))
    })
}

/// So many sockets on one address.
fn sockets(address: &str, count: usize) -> Result<Vec<UdpSocket>, Failure> {
    let failed = |error| format!("--listen {address}: {error}");
    let mut at = address.to_socket_addrs().map_err(failed)?.next().ok_or("--listen: no such address")?;
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = bind(at).map_err(failed)?;
        // If the system chose the port, the others take the same.
        at = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Other systems have no such option, and refuse the second socket.
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What the shards' cookie keys follow from. Those who serve with several processes give all of them the same.
fn secret() -> Result<[u8; 32], Failure> {
    let mut secret = [0; 32];
    aws_lc_rs::default_provider().secure_random.fill(&mut secret).map_err(|_| "no randomness")?;
    Ok(secret)
}
