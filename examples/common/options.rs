//! The command line of `client` and `server`, and the files it names.

use super::failure::Failure;
use lexopt::{Arg, ValueExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{KeyLog, KeyLogFile, RootCertStore};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use udtls::{ProtocolVersion, TransportConfig};

/// What the command line says.
pub(crate) struct Options {
    /// HOST:PORT, as it was given.
    pub(crate) address: String,
    pub(crate) versions: Vec<ProtocolVersion>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) name: Option<String>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) verification: Verification,
    mtu: Option<usize>,
    key_log: Option<PathBuf>,
}

/// Whether the peer's certificate is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    Required,
    Insecure,
}

impl Options {
    /// Reads the command line; `address_option` is the name of the option that takes the address. `None` if it asks for help.
    /// `own` is asked about every other option: it takes the value of one that it knows, and says whether it does.
    pub(crate) fn parse(
        address_option: &str,
        mut own: impl FnMut(&str, &mut lexopt::Parser) -> Result<bool, Failure>,
    ) -> Result<Option<Self>, Failure> {
        let mut address = None;
        let mut options = Self {
            address: String::new(),
            versions: vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2],
            ca: None,
            cert: None,
            key: None,
            name: None,
            alpn: Vec::new(),
            verification: Verification::Required,
            mtu: None,
            key_log: None,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long(name) if name == address_option => address = Some(parser.value()?.string()?),
                Arg::Long("version") => options.versions = versions(&parser.value()?.string()?)?,
                Arg::Long("ca") => options.ca = Some(parser.value()?.into()),
                Arg::Long("cert") => options.cert = Some(parser.value()?.into()),
                Arg::Long("key") => options.key = Some(parser.value()?.into()),
                Arg::Long("name") => options.name = Some(parser.value()?.string()?),
                Arg::Long("alpn") => options.alpn.extend(parser.value()?.string()?.split(',').map(Vec::from)),
                Arg::Long("mtu") => options.mtu = Some(parser.value()?.parse()?),
                Arg::Long("keylog") => options.key_log = Some(parser.value()?.into()),
                Arg::Long("insecure") => options.verification = Verification::Insecure,
                Arg::Long(name) => {
                    let name = name.to_owned();
                    if !own(&name, &mut parser)? {
                        return Err(format!("invalid option '--{name}'; --help lists the options").into());
                    }
                }
                _ => return Err(format!("{}; --help lists the options", arg.unexpected()).into()),
            }
        }
        options.address =
            address.ok_or_else(|| format!("give --{address_option} HOST:PORT; --help lists the options"))?;
        Ok(Some(options))
    }

    /// The program's own certificates and key, if the command line names any.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Failure> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Ok(Some((certificates(cert)?, private_key(key)?))),
            (None, None) => Ok(None),
            (Some(_), None) => Err("--cert needs --key FILE, the certificate's private key in PEM".into()),
            (None, Some(_)) => Err("--key needs --cert FILE, the certificate chain in PEM".into()),
        }
    }

    /// The certificates of `--ca`, if it was given.
    pub(crate) fn roots(&self) -> Result<Option<RootCertStore>, Failure> {
        let Some(path) = &self.ca else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| format!("{}: not usable as a CA: {error}", path.display()))?;
        }
        Ok(Some(roots))
    }

    pub(crate) fn transport(&self) -> Result<TransportConfig, Failure> {
        let mut transport = TransportConfig::new();
        if let Some(mtu) = self.mtu {
            transport.set_mtu(mtu).map_err(|error| format!("--mtu {mtu}: {error}"))?;
        }
        Ok(transport)
    }

    /// The file of `--keylog`, or else the one that the environment variable SSLKEYLOGFILE names, if any.
    pub(crate) fn key_log(&self) -> Result<Arc<dyn KeyLog>, Failure> {
        let Some(path) = &self.key_log else { return Ok(Arc::new(KeyLogFile::new())) };
        let file = File::options().create(true).append(true).open(path).map_err(|error| read_error(path, &error))?;
        Ok(Arc::new(KeyLogTo(Mutex::new(file))))
    }
}

/// A certificate chain, end entity first, and its key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn versions(text: &str) -> Result<Vec<ProtocolVersion>, Failure> {
    match text {
        "1.2" => Ok(vec![ProtocolVersion::DTLS1_2]),
        "1.3" => Ok(vec![ProtocolVersion::DTLS1_3]),
        "auto" => Ok(vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2]),
        _ => Err(format!("--version {text}: choose 1.2, 1.3 or auto").into()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = |error| read_error(path, &error);
    let chain = CertificateDer::pem_file_iter(path).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
    if chain.is_empty() {
        return Err(format!("{}: no certificate in it; give PEM (-----BEGIN CERTIFICATE-----)", path.display()).into());
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| read_error(path, &error))
}

fn read_error(path: &Path, error: &dyn fmt::Display) -> Failure {
    format!("{}: {error}", path.display()).into()
}

/// Writes secrets in the NSS key log format, which Wireshark reads (RFC 9850).
#[derive(Debug)]
struct KeyLogTo(Mutex<File>);

impl KeyLog for KeyLogTo {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        // A log that cannot be written must not end the association.
        if let Err(error) = self.0.lock().expect("no writer panics").write_all(line.as_bytes()) {
            eprintln!("key log: {error}");
        }
    }
}
