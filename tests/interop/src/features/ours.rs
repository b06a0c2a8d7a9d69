//! Our ends.

use super::{Row, TIMESTAMP};
use crate::certificates::{Authority, Kind};
use crate::feature::{Compression, Feature, PROTOCOLS, SERVER_NAME};
use crate::table::Role;
use rustls::compress;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use udtls::{
    ClientConfig, ClientSessionStore, ConfigError, Connection, Credential, Endpoint, EndpointConfig, NamedGroup,
    ProtocolVersion, ServerConfig, Session, TransportConfig,
};

/// What our ends of a row share.
pub(crate) enum Ours {
    Client(Arc<ClientConfig>, Arc<Sessions>),
    Server(Arc<ServerConfig>),
}

/// A client's sessions, the newest taken first.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sessions: Vec<Session>,
    closed: bool,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().sessions.len()
    }

    /// Keeps no more.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap().closed = true;
    }
}

impl ClientSessionStore for Sessions {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        let mut kept = self.0.lock().unwrap();
        if !kept.closed {
            kept.sessions.push(session);
        }
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().unwrap().sessions.pop()
    }
}

impl Ours {
    pub(crate) fn new(row: &Row, authority: &Authority) -> Result<Self, String> {
        let ours = match row.we {
            Role::Client => {
                let sessions = Arc::new(Sessions::default());
                client(row, authority, sessions.clone()).map(|config| Self::Client(Arc::new(config), sessions))
            }
            Role::Server => server(row, authority).map(|config| Self::Server(Arc::new(config))),
        };
        ours.map_err(|error| error.to_string())
    }

    pub(crate) fn end(&self) -> Result<Connection, String> {
        let now = Instant::now();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        match self {
            Self::Client(config, _) => Connection::client(config.clone(), Some(name), now),
            Self::Server(config) => Connection::server(config.clone(), now),
        }
        .map_err(|error| error.to_string())
    }

    /// For many clients, of whom one will come.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, String> {
        let Self::Server(config) = self else { return Err("an endpoint for clients, of a client".into()) };
        let endpoint = Endpoint::new(EndpointConfig::new(), Some(config.clone()), Instant::now());
        endpoint.map_err(|error| error.to_string())
    }
}

fn client(row: &Row, authority: &Authority, sessions: Arc<Sessions>) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::builder().with_root_certificates(authority.roots())?.with_no_client_auth();
    config.set_versions(&[version(row)])?;
    config.set_transport(transport()?);
    if row.feature == Feature::Protocol {
        config.set_alpn_protocols(PROTOCOLS.map(Vec::from).to_vec())?;
    }
    match row.feature {
        Feature::TicketAfterRetry => _ = config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1])?,
        Feature::Srtp(profile) => _ = config.set_srtp_profiles(&profile.offered())?,
        Feature::OcspResponse => _ = config.request_ocsp_response(),
        Feature::Timestamps => _ = config.request_timestamps(),
        Feature::CompressedCertificate(Compression::Zlib) => {
            config.set_cert_decompressors(vec![compress::ZLIB_DECOMPRESSOR]);
        }
        Feature::CompressedCertificate(Compression::Brotli) => {
            config.set_cert_decompressors(vec![compress::BROTLI_DECOMPRESSOR]);
        }
        Feature::Grease => _ = config.send_grease(),
        _ => {}
    }
    config.set_session_store(sessions);
    Ok(config)
}

fn server(row: &Row, authority: &Authority) -> Result<ServerConfig, ConfigError> {
    let chain = authority.chain(Kind::P256);
    let builder = ServerConfig::builder().with_no_client_auth()?;
    let mut config = match row.feature {
        Feature::OcspResponse | Feature::Timestamps => builder.with_credentials([credential(row, authority)?])?,
        _ => builder.with_single_cert(chain.certificates(), chain.key())?,
    };
    config.set_versions(&[version(row)])?;
    config.set_transport(transport()?);
    if row.feature == Feature::Protocol {
        config.set_alpn_protocols(vec![PROTOCOLS[1].into()])?;
    }
    match row.feature {
        Feature::TicketAfterRetry => _ = config.set_groups(&[NamedGroup::SECP256R1])?,
        Feature::CookieForFragments => _ = config.set_groups(&[NamedGroup::X25519MLKEM768])?,
        Feature::Srtp(profile) => _ = config.set_srtp_profiles(&[profile.wire()])?,
        Feature::CompressedCertificate(Compression::Zlib) => {
            config.set_cert_compressors(vec![compress::ZLIB_COMPRESSOR]);
        }
        Feature::CompressedCertificate(Compression::Brotli) => {
            config.set_cert_compressors(vec![compress::BROTLI_COMPRESSOR]);
        }
        _ => {}
    }
    Ok(config)
}

/// The P-256 chain with an OCSP response and a timestamp.
fn credential(row: &Row, authority: &Authority) -> Result<Credential, ConfigError> {
    let chain = authority.chain(Kind::P256);
    let key = aws_lc_rs::sign::any_ecdsa_type(&chain.key()).unwrap();
    let mut certified = CertifiedKey::new(chain.certificates(), key);
    if row.feature == Feature::OcspResponse {
        certified.ocsp = Some(std::fs::read(authority.ocsp_response().unwrap()).unwrap());
    }
    Credential::new(certified).with_timestamps([TIMESTAMP])
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
