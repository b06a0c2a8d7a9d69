//! Our ends.

use super::Row;
use crate::certificates::{Authority, Kind};
use crate::feature::{Feature, PROTOCOLS, SERVER_NAME};
use crate::table::Role;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{ClientConfig, ConfigError, Connection, ProtocolVersion, ServerConfig, TransportConfig};

/// What our ends of a row share.
pub(crate) enum Ours {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

impl Ours {
    pub(crate) fn new(row: &Row, authority: &Authority) -> Result<Self, String> {
        let ours = match row.we {
            Role::Client => client(row, authority).map(|config| Self::Client(Arc::new(config))),
            Role::Server => server(row, authority).map(|config| Self::Server(Arc::new(config))),
        };
        ours.map_err(|error| error.to_string())
    }

    pub(crate) fn end(&self) -> Result<Connection, String> {
        let now = Instant::now();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        match self {
            Self::Client(config) => Connection::client(config.clone(), Some(name), now),
            Self::Server(config) => Connection::server(config.clone(), now),
        }
        .map_err(|error| error.to_string())
    }
}

fn client(row: &Row, authority: &Authority) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::builder().with_root_certificates(authority.roots())?.with_no_client_auth();
    config.set_versions(&[version(row)])?;
    config.set_transport(transport()?);
    if row.feature == Feature::Protocol {
        config.set_alpn_protocols(PROTOCOLS.map(|name| name.as_bytes().to_vec()).to_vec())?;
    }
    Ok(config)
}

fn server(row: &Row, authority: &Authority) -> Result<ServerConfig, ConfigError> {
    let chain = authority.chain(Kind::P256);
    let builder = ServerConfig::builder().with_no_client_auth()?;
    let mut config = builder.with_single_cert(chain.certificates(), chain.key())?;
    config.set_versions(&[version(row)])?;
    config.set_transport(transport()?);
    if row.feature == Feature::Protocol {
        config.set_alpn_protocols(vec![PROTOCOLS[1].into()])?;
    }
    Ok(config)
}

const fn version(row: &Row) -> ProtocolVersion {
    row.version.wire()
}

/// Nothing is lost in memory; what is late on a busy machine is sent again.
fn transport() -> Result<TransportConfig, ConfigError> {
    let mut transport = TransportConfig::new();
    transport.set_timeouts(Duration::from_millis(400), Duration::from_secs(1))?;
    Ok(transport)
}
