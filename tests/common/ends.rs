//! Both ends: their configurations, and datagrams into and out of them.

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use udtls::{ClientConfig, Connection, Datagram, Error, ProtocolVersion, ServerConfig};

/// The server's certificate, which the clients trust.
static IDENTITY: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(identity);

pub(crate) fn identity() -> (CertificateDer<'static>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.der().clone(), made.signing_key.serialize_der())
}

pub(crate) fn server_config(version: ProtocolVersion) -> ServerConfig {
    let (certificate, key) = &*IDENTITY;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
    let builder = ServerConfig::builder().with_no_client_auth().expect("a provider");
    let mut config = builder.with_single_cert(vec![certificate.clone()], key).expect("a certificate that fits");
    config.set_versions(&[version]).expect("a version");
    config
}

pub(crate) fn client_config(version: ProtocolVersion) -> ClientConfig {
    trusting(IDENTITY.0.clone(), version)
}

pub(crate) fn trusting(root: CertificateDer<'static>, version: ProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    let mut config = ClientConfig::builder().with_root_certificates(roots).expect("roots").with_no_client_auth();
    config.set_versions(&[version]).expect("a version");
    config
}

pub(crate) fn new_client(config: &Arc<ClientConfig>, now: Instant) -> Connection {
    let name = ServerName::try_from("localhost").expect("a name");
    Connection::client(config.clone(), Some(name), now).expect("a client")
}

/// All that an end has to send.
pub(crate) fn drain(connection: &mut Connection, now: Instant) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut out = vec![0; 1500];
    while let Some(len) = connection.poll_transmit(now, &mut out).expect("room for a datagram") {
        datagrams.push(out[..len].to_vec());
    }
    datagrams
}

/// Hands over a datagram; the application data in it.
pub(crate) fn deliver(to: &mut Connection, now: Instant, datagram: &mut [u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut delivered = Vec::new();
    let mut datagram = Datagram::new(datagram);
    while let Some(mut data) = to.receive(now, &mut datagram)? {
        delivered.push(data.payload().to_vec());
    }
    Ok(delivered)
}
