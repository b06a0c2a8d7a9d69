//! Certificates and keys, and which of several is shown.

use crate::Failure;
use crate::arguments::{CredentialFlags, OcspCallback, Role, Settings};
use crate::checks::Offered;
use crate::pending::LaterKey;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{DistinguishedName, SignatureAlgorithm, SignatureScheme};
use std::sync::{Arc, Mutex};
use udtls::{ClientHello, Credential, ResolvesServerCert};

/// A credential, and its place as the runner counts.
#[derive(Debug)]
struct Placed {
    credential: Credential,
    place: i64,
    issuer_must_be_named: bool,
}

/// Those that the flags name, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Credentials {
    credentials: Vec<Placed>,
    offered: Arc<Mutex<Offered>>,
}

impl Credentials {
    /// The one of the first flags comes last.
    pub(crate) fn new(settings: &Settings, offered: &Arc<Mutex<Offered>>) -> Result<Self, Failure> {
        let others = (0..).zip(settings.credentials.get(1..).unwrap_or_default());
        let default = settings.credentials.first().map(|flags| (-1, flags));
        let mut credentials = Vec::new();
        if settings.role == Role::Server && settings.extensions.ocsp_callback == OcspCallback::Fails {
            // No certificate is how a resolver refuses a client.
            return Ok(Self { credentials, offered: offered.clone() });
        }
        for (place, flags) in others.chain(default) {
            if let Some(credential) = credential(flags, settings)? {
                credentials.push(Placed { credential, place, issuer_must_be_named: flags.issuer_must_be_named });
            }
        }
        Ok(Self { credentials, offered: offered.clone() })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.credentials.is_empty()
    }

    fn note(&self, chosen: &Placed) {
        self.offered.lock().expect("nobody panics while holding it").credential = Some(chosen.place);
    }
}

fn credential(flags: &CredentialFlags, settings: &Settings) -> Result<Option<Credential>, Failure> {
    let (Some(chain), Some(key)) = (chain(flags)?, private_key(flags)?) else { return Ok(None) };
    let key: Arc<dyn SigningKey> = if settings.conduct.answers_later { Arc::new(LaterKey(key)) } else { key };
    let key = match flags.schemes.is_empty() {
        true => key,
        false => Arc::new(PreferringKey { key, schemes: flags.schemes.clone() }),
    };
    let mut certified = CertifiedKey::new(chain, key);
    if settings.extensions.ocsp_callback == OcspCallback::Agrees {
        certified.ocsp = flags.ocsp_response.clone();
    }
    let mut credential = Credential::new(certified);
    if let Some(list) = &flags.timestamps {
        credential = credential.with_timestamps(timestamps(list)).map_err(Failure::failed)?;
    }
    Ok(Some(if flags.issuer_must_be_named { credential.only_if_issuer_is_named() } else { credential }))
}

fn chain(flags: &CredentialFlags) -> Result<Option<Vec<CertificateDer<'static>>>, Failure> {
    let Some(chain) = &flags.chain else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(chain).map_err(Failure::failed)?;
    chain.collect::<Result<_, _>>().map(Some).map_err(Failure::failed)
}

fn private_key(flags: &CredentialFlags) -> Result<Option<Arc<dyn SigningKey>>, Failure> {
    let Some(key) = &flags.key else { return Ok(None) };
    let key = PrivateKeyDer::from_pem_file(key).map_err(Failure::failed)?;
    aws_lc_rs::sign::any_supported_type(&key).map(Some).map_err(Failure::failed)
}

/// Keys that sign at once.
pub(crate) struct Keys(Vec<(CertificateDer<'static>, Arc<dyn SigningKey>)>);

impl Keys {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        for flags in &settings.credentials {
            if let (Some(chain), Some(key)) = (chain(flags)?, private_key(flags)?) {
                keys.extend(chain.into_iter().next().map(|end_entity| (end_entity, key)));
            }
        }
        Ok(Self(keys))
    }

    /// The key that belongs to a chain.
    pub(crate) fn of(&self, chain: &[CertificateDer<'_>]) -> Option<&dyn SigningKey> {
        let (_, key) = self.0.iter().find(|(end_entity, _)| chain.first().is_some_and(|first| first == end_entity))?;
        Some(&**key)
    }
}

/// Timestamps of a list as it stands on the wire.
fn timestamps(list: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = list.get(2..).unwrap_or_default();
    let mut timestamps = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (timestamp, after) = after.split_at(usize::from(u16::from_be_bytes(*len)).min(after.len()));
        timestamps.push(timestamp.to_vec());
        rest = after;
    }
    timestamps
}

impl ResolvesServerCert for Credentials {
    /// Chooses as the library does, and notes what the client offers.
    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Credential> {
        self.offered.lock().expect("nobody panics while holding it").note(hello);
        let all: Vec<_> = self.credentials.iter().map(|placed| placed.credential.clone()).collect();
        let chosen = hello.choose(&all)?.certified_key();
        let same = |placed: &&Placed| Arc::ptr_eq(placed.credential.certified_key(), chosen);
        let chosen = self.credentials.iter().find(same)?;
        self.note(chosen);
        Some(chosen.credential.clone())
    }
}

impl ResolvesClientCert for Credentials {
    /// The first that can sign by what the server accepts, and whose issuer it names if that must be.
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let is_named = |certified: &CertifiedKey| {
            certified.cert.iter().any(|der| {
                let issuer =
                    webpki::EndEntityCert::try_from(der).map(|read| DistinguishedName::in_sequence(read.issuer()));
                issuer.is_ok_and(|issuer| authorities.contains(&issuer.as_ref()))
            })
        };
        let chosen = self.credentials.iter().find(|placed| {
            let certified = placed.credential.certified_key();
            certified.key.choose_scheme(schemes).is_some() && (!placed.issuer_must_be_named || is_named(certified))
        })?;
        self.note(chosen);
        Some(chosen.credential.certified_key().clone())
    }

    fn has_certs(&self) -> bool {
        !self.is_empty()
    }
}

/// Signs by some schemes only, best first.
#[derive(Debug)]
struct PreferringKey {
    key: Arc<dyn SigningKey>,
    schemes: Vec<SignatureScheme>,
}

impl SigningKey for PreferringKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let mut usable = self.schemes.iter().filter(|scheme| offered.contains(scheme));
        usable.find_map(|scheme| self.key.choose_scheme(&[*scheme]))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}
