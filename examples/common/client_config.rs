//! A client's configuration from the command line.

use super::failure::Failure;
use super::options::{Options, Verification};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use udtls::ClientConfig;

/// Verification, certificates and protocols as the options say.
pub(crate) fn config(options: &Options) -> Result<ClientConfig, Failure> {
    let builder = match (options.verification, options.roots()?) {
        (Verification::Insecure, _) => {
            let anyone = Arc::new(Anyone(Arc::new(aws_lc_rs::default_provider())));
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(anyone)?
        }
        (Verification::Required, Some(roots)) => ClientConfig::builder().with_root_certificates(roots)?,
        (Verification::Required, None) => {
            return Err("give --ca FILE, the certificates to trust in PEM, or --insecure to trust any".into());
        }
    };
    let mut config = match options.identity()? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.set_versions(&options.versions)?;
    config.set_alpn_protocols(options.alpn.clone())?;
    config.set_transport(options.transport()?);
    config.set_key_log(options.key_log()?);
    Ok(config)
}

/// The name to send and to look for: that of the option, else that of the address.
pub(crate) fn server_name(options: &Options) -> Result<ServerName<'static>, Failure> {
    let host = options.address.rsplit_once(':').map_or(options.address.as_str(), |(host, _)| host);
    let name = options.name.as_deref().unwrap_or(host.trim_matches(['[', ']']));
    let name = ServerName::try_from(name.to_owned());
    Ok(name.map_err(|_| "--name: give a DNS name or an IP address".to_owned())?)
}

/// The first address that stands for HOST:PORT.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let mut found = address.to_socket_addrs().map_err(|error| format!("--connect {address}: {error}"))?;
    Ok(found.next().ok_or_else(|| format!("--connect {address}: no such address"))?)
}

/// Trusts every certificate. The handshake still proves that the server holds its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // udtls checks signatures itself and calls neither of these.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("not for TLS".into()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("not for TLS".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
