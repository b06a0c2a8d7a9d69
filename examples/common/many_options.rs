//! The command line of the servers with many peers.

use super::failure::Failure;
use super::options::Options;
use super::server_config::config;
use lexopt::ValueExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use udtls::{CookieKeys, Endpoint, EndpointConfig, ServerConfig, Validation};

/// What the command line says.
pub(crate) struct Settings {
    pub(crate) options: Options,
    max_connections: usize,
    cookie_period: Duration,
    validation: Validation,
}

const USAGE: &str = "\
Echoes what its peers send over DTLS: any number of them on one UDP socket.

usage: NAME --listen ADDRESS:PORT [options]

  --listen ADDRESS:PORT where to listen
  --max-connections N   associations at the same time; default 100000
  --cookie-rotate SECS  so long a cookie key is used; a cookie is good for twice as long at most; default 90
  --no-cookies          take ClientHellos without a cookie: only where nobody can forge addresses
  --cert FILE           the server's certificate chain, PEM; without it one is made up
  --key FILE            its private key, PEM
  --name NAME           the name in a certificate that is made up; default localhost
  --ca FILE             demand a client certificate by one of these, PEM
  --insecure            demand a client certificate, and take any: for experiments only
  --version VERSION     1.2, 1.3 or auto (default)
  --alpn NAME[,NAME]    application protocols, the best first
  --mtu OCTETS          longest datagram to send, UDP payload; default 1200
  --keylog FILE         append secrets for Wireshark; SSLKEYLOGFILE works too
OWN  --help                this text

Each second it prints a line of what it counts. Ctrl-C closes every association and ends it.
";

impl Settings {
    /// `None` if the command line asks for help. `own_usage` is about the options that only this program has; `own` is asked
    /// about each that is not known here, takes its value, and says whether it knows it.
    pub(crate) fn parse(
        program: &str,
        own_usage: &str,
        mut own: impl FnMut(&str, &mut lexopt::Parser) -> Result<bool, Failure>,
    ) -> Result<Option<Self>, Failure> {
        let mut max_connections = 100_000;
        let mut cookie_period = Duration::from_secs(90);
        let mut validation = Validation::Always;
        let options = Options::parse("listen", |name, parser| {
            match name {
                "max-connections" => max_connections = parser.value()?.parse()?,
                "cookie-rotate" => cookie_period = Duration::from_secs(parser.value()?.parse()?),
                "no-cookies" => validation = Validation::Vouched,
                _ => return own(name, parser),
            }
            Ok(true)
        })?;
        match options {
            Some(options) => Ok(Some(Self { options, max_connections, cookie_period, validation })),
            None => {
                print!("{}", USAGE.replace("NAME", program).replace("OWN", own_usage));
                Ok(None)
            }
        }
    }

    pub(crate) fn config(&self) -> Result<ServerConfig, Failure> {
        config(&self.options)
    }

    /// An endpoint with these cookie keys.
    pub(crate) fn endpoint(&self, config: ServerConfig, mut keys: CookieKeys) -> Result<Endpoint, Failure> {
        let now = Instant::now();
        keys.set_period(now, self.cookie_period)?;
        let mut settings = EndpointConfig::new();
        settings.set_max_connections(self.max_connections);
        settings.set_validation(self.validation);
        settings.set_cookie_keys(keys);
        Ok(Endpoint::new(settings, Some(Arc::new(config)), now)?)
    }

    /// A flag that Ctrl-C sets; a second one ends the program at once.
    pub(crate) fn stop_on_ctrl_c(&self) -> Result<Arc<AtomicBool>, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        })?;
        Ok(stop)
    }
}
