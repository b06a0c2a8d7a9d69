//! A DTLS server for any number of peers on one UDP socket, on the standard library alone: echoes what they send. With
//! `--batch` it takes and sends several datagrams a system call, by `quinn-udp`.
//!
//! ```sh
//! cargo run --release --example echo_server -- --listen 127.0.0.1:4433
//! ```

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
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Instant;
use udtls::CookieKeys;

const OWN_USAGE: &str = "  \
  --batch               several datagrams a system call: recvmmsg, GRO and GSO
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut serve: fn(_, _, &_, &_) -> _ = one_by_one::serve;
    let settings = Settings::parse("echo_server", OWN_USAGE, |name, _| {
        if name == "batch" {
            serve = batched::serve;
        }
        Ok(name == "batch")
    })?;
    let Some(settings) = settings else { return Ok(()) };
    let address = &settings.options.address;
    let socket = UdpSocket::bind(address).map_err(|error| format!("--listen {address}: {error}"))?;
    println!("listening on {}", socket.local_addr()?);
    let many = Many::new(settings.endpoint(settings.config()?, CookieKeys::new(Instant::now())?)?);
    serve(socket, many, &*settings.stop_on_ctrl_c()?, "")
}
