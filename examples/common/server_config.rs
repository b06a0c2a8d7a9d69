//! A server's configuration from the command line.

use super::failure::Failure;
use super::options::{Identity, Options, Verification};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::sync::Arc;
use udtls::{Fingerprint, ServerConfig};

/// Verification, certificates and protocols as the options say.
pub(crate) fn config(options: &Options) -> Result<ServerConfig, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = match (options.verification, options.roots()?) {
        (Verification::Insecure, _) => ServerConfig::builder().with_client_cert_verifier(Arc::new(Anyone(provider)))?,
        (Verification::Required, Some(roots)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            ServerConfig::builder().with_client_cert_verifier(verifier)?
        }
        (Verification::Required, None) => ServerConfig::builder().with_no_client_auth()?,
    };
    let (chain, key) = match options.identity()? {
        Some(identity) => identity,
        None => made_up(options.name.as_deref().unwrap_or("localhost"))?,
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.set_versions(&options.versions)?;
    config.set_alpn_protocols(options.alpn.clone())?;
    config.set_transport(options.transport()?);
    config.set_key_log(options.key_log()?);
    Ok(config)
}

/// A certificate that nobody knows; clients need `--insecure`, or its fingerprint.
fn made_up(name: &str) -> Result<Identity, Failure> {
    let made =
        rcgen::generate_simple_self_signed([name.to_owned()]).map_err(|error| format!("--name {name}: {error}"))?;
    let certificate = made.cert.der().clone();
    println!("no --cert: made up a certificate for {name}, fingerprint {}", Fingerprint::of(&certificate));
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![certificate], key.into()))
}

/// Takes every client certificate. The handshake still proves that the client holds its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
