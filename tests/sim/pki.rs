//! Certificates of the two ends, the same octets in every process.

use crate::provider::SimKey;
use p256::pkcs8::EncodePrivateKey;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyUsagePurpose, SerialNumber};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::time::Duration;

/// The server's name in its certificate.
pub(crate) const NAME: &str = "sim.example";

/// How long a chain is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    /// One certificate of 0.4 kB.
    Short,
    /// One of 1.2 kB: as long as those of the public authorities.
    Usual,
    /// Two of 1.5 kB: more than two datagrams at any MTU in use.
    Long,
    /// Two of 6 kB.
    VeryLong,
}

impl Chain {
    /// Octets that each certificate has more than it needs.
    const fn padding(self) -> usize {
        match self {
            Self::Short => 0,
            Self::Usual => 800,
            Self::Long => 1200,
            Self::VeryLong => 5600,
        }
    }
}

/// A chain with its key and what it is verified by.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: SimKey,
    pub(crate) roots: Arc<RootCertStore>,
}

impl Identity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        let der = self.key.secret().to_pkcs8_der().expect("a key has an encoding");
        PrivatePkcs8KeyDer::from(der.as_bytes().to_vec()).into()
    }

    /// Every number gives another root, intermediate and end entity.
    pub(crate) fn new(number: u64, length: Chain) -> Self {
        let [root_key, middle_key, key] = [1, 2, 3].map(|n| SimKey::numbered(number * 10 + n));
        let root_params = authority(&format!("sim root {number}"), Chain::Short);
        let root = root_params.self_signed(&root_key).expect("root");
        let root_issuer = Issuer::new(root_params, root_key);
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root that parses");

        let end = end_entity(length);
        let chain = match length {
            Chain::Short | Chain::Usual => vec![end.signed_by(&key, &root_issuer).expect("end entity").der().clone()],
            Chain::Long | Chain::VeryLong => {
                let middle_params = authority(&format!("sim intermediate {number}"), length);
                let middle = middle_params.signed_by(&middle_key, &root_issuer).expect("intermediate");
                let middle_issuer = Issuer::new(middle_params, middle_key);
                let end = end.signed_by(&key, &middle_issuer).expect("end entity");
                vec![end.der().clone(), middle.der().clone()]
            }
        };
        Self { chain, key, roots: Arc::new(roots) }
    }
}

fn authority(name: &str, length: Chain) -> CertificateParams {
    let mut params = params(name, length);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn end_entity(length: Chain) -> CertificateParams {
    params(NAME, length)
}

fn params(name: &str, length: Chain) -> CertificateParams {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("a valid name");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(1));
    if length != Chain::Short {
        // An extension of nobody's that verifiers skip.
        let padding = vec![0x5A; length.padding()];
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], padding));
    }
    params
}

/// It is always the same second.
#[derive(Debug)]
pub(crate) struct FixedTime;

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
    }
}
