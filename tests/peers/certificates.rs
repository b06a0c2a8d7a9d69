//! A certificate authority and chains of every kind of key, as files for the peers and as values for us.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The kind of key in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    P256,
    P384,
    Rsa,
    Ed25519,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Rsa, Self::Ed25519];

    fn generate(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        }
        .unwrap()
    }
}

/// The files live as long as this value.
pub(crate) struct Authority {
    folder: PathBuf,
    root: CertificateDer<'static>,
    chains: Vec<(Kind, Chain)>,
    ocsp_response: OnceLock<Result<PathBuf, String>>,
}

/// An end entity for `localhost` and 127.0.0.1 under an intermediate, and its key.
pub(crate) struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    key: KeyPair,
    /// Both certificates, PEM.
    pub(crate) certificate_file: PathBuf,
    pub(crate) intermediate_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peers-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();

        let root_key = Kind::P256.generate();
        let root_params = authority_params("root");
        let root = root_params.self_signed(&root_key).unwrap();
        fs::write(folder.join("ca.pem"), root.pem()).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let intermediate_key = Kind::P256.generate();
        let intermediate_params = authority_params("intermediate");
        let intermediate = intermediate_params.signed_by(&intermediate_key, &root_issuer).unwrap();
        fs::write(folder.join("intermediate.pem"), intermediate.pem()).unwrap();
        fs::write(folder.join("intermediate.key"), intermediate_key.serialize_pem()).unwrap();
        let issuer = Issuer::new(intermediate_params, intermediate_key);

        let chain = |kind: Kind| {
            let key = kind.generate();
            let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
            params.distinguished_name = name("localhost");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, &issuer).unwrap();
            let certificate_file = folder.join(format!("{kind:?}.pem"));
            let key_file = folder.join(format!("{kind:?}.key"));
            fs::write(&certificate_file, format!("{}{}", certificate.pem(), intermediate.pem())).unwrap();
            fs::write(&key_file, private_key_pem(kind, &key)).unwrap();
            let certificates = vec![certificate.der().clone(), intermediate.der().clone()];
            let intermediate_file = folder.join("intermediate.pem");
            (kind, Chain { certificates, key, certificate_file, intermediate_file, key_file })
        };
        let chains = Kind::ALL.into_iter().map(chain).collect();
        let root = root.der().clone();
        Self { folder, root, chains, ocsp_response: OnceLock::new() }
    }

    /// The root, PEM.
    pub(crate) fn root_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A place for another file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        roots
    }

    /// The file with what the intermediate says of the P-256 certificate, DER: that it is good. `openssl` makes it.
    pub(crate) fn ocsp_response(&self) -> Result<PathBuf, String> {
        self.ocsp_response.get_or_init(|| self.make_ocsp_response()).clone()
    }

    fn make_ocsp_response(&self) -> Result<PathBuf, String> {
        let certificate = &self.chain(Kind::P256).certificate_file;
        let serial = openssl(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(certificate))?;
        let serial = serial.trim().trim_start_matches("serial=");
        let (index, response) = (self.file("index.txt"), self.file("ocsp.der"));
        fs::write(&index, format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=localhost\n")).unwrap();
        let (issuer, key) = (self.file("intermediate.pem"), self.file("intermediate.key"));
        let mut command = Command::new("openssl");
        command.arg("ocsp").arg("-index").arg(index).arg("-CA").arg(&issuer).arg("-rsigner").arg(&issuer);
        command.arg("-rkey").arg(key).arg("-issuer").arg(&issuer).arg("-cert").arg(certificate);
        openssl(command.args(["-ndays", "1", "-noverify", "-respout"]).arg(&response))?;
        Ok(response)
    }

    pub(crate) fn chain(&self, kind: Kind) -> &Chain {
        &self.chains.iter().find(|(found, _)| *found == kind).unwrap().1
    }
}

impl Chain {
    pub(crate) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a command prints.
fn openssl(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// PKCS#8, PEM. rcgen writes an Ed25519 key with its public half (RFC 8410 §7, version 2), which OpenSSL 3.0 and GnuTLS do
/// not read: here it is without.
fn private_key_pem(kind: Kind, key: &KeyPair) -> String {
    if kind != Kind::Ed25519 {
        return key.serialize_pem();
    }
    /// Version 0, the algorithm, and the seed's octet string in an octet string.
    const PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let der = key.serialize_der();
    let seed = &der[PREFIX.len()..PREFIX.len() + 32];
    let base64 = base64(&[PREFIX.as_slice(), seed].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n")
}

/// RFC 4648 §4, of a multiple of three octets.
fn base64(octets: &[u8]) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let four = |three: &[u8]| {
        let bits = three.iter().fold(0, |bits, octet| bits << 8 | usize::from(*octet));
        [18, 12, 6, 0].map(|shift| alphabet[bits >> shift & 0x3f])
    };
    octets.chunks_exact(3).flat_map(four).collect()
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
