//! The key schedule of DTLS 1.3, one type for each stage, so that the wrong secret cannot be asked for. Knows no
//! message: transcript hashes are handed in.
//!
//! RFC 8446 §7.1, §7.2, §7.5 and §4.4.4, with the label prefix of RFC 9147 §5.9.
//!
//! ```text
//! EarlySchedule --shared secret--> HandshakeSchedule ----------> MasterSchedule
//!                                    | traffic_secret(role)        | traffic_secret(role)
//!                                    v                             | exporter(), resumption_master_secret()
//!                               HandshakeTrafficSecret             v
//!                                 keys(), verify_data()        ApplicationTrafficSecret: keys(), next()
//! ```

use crate::crypto::{
    Role,
    hkdf::{self, LabelPrefix, MAX_LABEL_LEN},
    secret::Secret,
    suites::{Suite13, TrafficKeys},
};
use crate::error::{ApiMisuse, Error};
use crate::wire::hello::Random;
use rustls::KeyLog;
use rustls::crypto::hash::Output;
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use std::fmt;

/// Where secrets are logged, and under which name.
#[derive(Clone, Copy)]
pub(crate) struct SecretLog<'a> {
    pub(crate) key_log: &'a dyn KeyLog,
    /// Of the ClientHello that was answered with a ServerHello: RFC 8446 §4.1.2 lets a retry change nothing about it.
    pub(crate) client_random: &'a Random,
}

/// Suite and label prefix: what every derivation needs.
#[derive(Clone, Copy)]
struct Labels {
    suite: Suite13,
    prefix: LabelPrefix,
}

/// Early Secret. Without a PSK it is the same for all handshakes of a suite; with one it binds the ClientHello to it.
pub(crate) struct EarlySchedule {
    labels: Labels,
    early: Box<dyn HkdfExpander>,
}

/// Handshake Secret.
pub(crate) struct HandshakeSchedule {
    labels: Labels,
    handshake: Box<dyn HkdfExpander>,
}

/// Master Secret.
pub(crate) struct MasterSchedule {
    labels: Labels,
    master: Box<dyn HkdfExpander>,
}

/// `[sender]_handshake_traffic_secret`
#[derive(Clone, Debug)]
pub(crate) struct HandshakeTrafficSecret(TrafficSecret);

/// `[sender]_application_traffic_secret_N`
#[derive(Clone, Debug)]
pub(crate) struct ApplicationTrafficSecret(TrafficSecret);

/// `resumption_master_secret`
#[derive(Clone, Debug)]
pub(crate) struct ResumptionSecret(TrafficSecret);

/// `exporter_master_secret`
#[derive(Clone, Debug)]
pub(crate) struct Exporter(TrafficSecret);

#[derive(Clone)]
struct TrafficSecret {
    labels: Labels,
    secret: Secret,
}

impl EarlySchedule {
    /// HKDF-Extract(0, 0): no PSK.
    pub(crate) fn new(suite: Suite13) -> Self {
        Self::with_prefix(suite, LabelPrefix::Dtls)
    }

    fn with_prefix(suite: Suite13, prefix: LabelPrefix) -> Self {
        Self { labels: Labels { suite, prefix }, early: suite.hkdf().extract_from_zero_ikm(None) }
    }

    /// HKDF-Extract(0, PSK).
    pub(crate) fn with_psk(suite: Suite13, psk: &Secret) -> Self {
        Self::with_psk_and_prefix(suite, psk, LabelPrefix::Dtls)
    }

    fn with_psk_and_prefix(suite: Suite13, psk: &Secret, prefix: LabelPrefix) -> Self {
        Self { labels: Labels { suite, prefix }, early: suite.hkdf().extract_from_secret(None, psk.as_ref()) }
    }

    /// The binder of a PSK that came of an earlier handshake, given the hash of everything up to and including the
    /// identities (RFC 8446 §4.2.11.2).
    pub(crate) fn resumption_binder(&self, transcript: &Output) -> Result<Tag, Error> {
        let empty = self.labels.suite.hash().hash(&[]);
        let secret = self.labels.derive_secret(&*self.early, b"res binder", empty.as_ref())?;
        TrafficSecret { labels: self.labels, secret }.verify_data(transcript)
    }

    /// HKDF-Extract(Derive-Secret(., "derived", ""), (EC)DHE).
    pub(crate) fn into_handshake(self, shared_secret: &[u8]) -> Result<HandshakeSchedule, Error> {
        let salt = self.labels.salt(&*self.early)?;
        let handshake = self.labels.suite.hkdf().extract_from_secret(Some(salt.as_ref()), shared_secret);
        Ok(HandshakeSchedule { labels: self.labels, handshake })
    }
}

impl HandshakeSchedule {
    /// Derive-Secret(., "c hs traffic" | "s hs traffic", ClientHello...ServerHello) of what `sender` writes with.
    pub(crate) fn traffic_secret(
        &self,
        sender: Role,
        transcript: &Output,
        log: SecretLog<'_>,
    ) -> Result<HandshakeTrafficSecret, Error> {
        let (label, log_label): (&[u8], _) = match sender {
            Role::Client => (b"c hs traffic", "CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
            Role::Server => (b"s hs traffic", "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
        };
        let secret = self.labels.derive_secret(&*self.handshake, label, transcript.as_ref())?;
        log.log(log_label, &secret);
        Ok(HandshakeTrafficSecret(TrafficSecret { labels: self.labels, secret }))
    }

    /// HKDF-Extract(Derive-Secret(., "derived", ""), 0).
    pub(crate) fn into_master(self) -> Result<MasterSchedule, Error> {
        let salt = self.labels.salt(&*self.handshake)?;
        let master = self.labels.suite.hkdf().extract_from_zero_ikm(Some(salt.as_ref()));
        Ok(MasterSchedule { labels: self.labels, master })
    }
}

impl HandshakeTrafficSecret {
    /// For the record layer.
    pub(crate) fn keys(&self) -> TrafficKeys {
        self.0.keys()
    }

    /// HMAC(finished_key, Transcript-Hash(Handshake Context, Certificate*, CertificateVerify*)) (RFC 8446 §4.4.4): the
    /// `verify_data` of the Finished sent under this secret.
    pub(crate) fn verify_data(&self, transcript: &Output) -> Result<Tag, Error> {
        self.0.verify_data(transcript)
    }
}

impl MasterSchedule {
    /// Derive-Secret(., "c ap traffic" | "s ap traffic", ClientHello...server Finished) of what `sender` writes with.
    pub(crate) fn traffic_secret(
        &self,
        sender: Role,
        transcript: &Output,
        log: SecretLog<'_>,
    ) -> Result<ApplicationTrafficSecret, Error> {
        let (label, log_label): (&[u8], _) = match sender {
            Role::Client => (b"c ap traffic", "CLIENT_TRAFFIC_SECRET_0"),
            Role::Server => (b"s ap traffic", "SERVER_TRAFFIC_SECRET_0"),
        };
        let secret = self.labels.derive_secret(&*self.master, label, transcript.as_ref())?;
        log.log(log_label, &secret);
        Ok(ApplicationTrafficSecret(TrafficSecret { labels: self.labels, secret }))
    }

    /// Derive-Secret(., "exp master", ClientHello...server Finished).
    pub(crate) fn exporter(&self, transcript: &Output, log: SecretLog<'_>) -> Result<Exporter, Error> {
        let secret = self.labels.derive_secret(&*self.master, b"exp master", transcript.as_ref())?;
        log.log("EXPORTER_SECRET", &secret);
        Ok(Exporter(TrafficSecret { labels: self.labels, secret }))
    }

    /// Derive-Secret(., "res master", ClientHello...client Finished).
    pub(crate) fn resumption_master_secret(&self, transcript: &Output) -> Result<ResumptionSecret, Error> {
        let secret = self.labels.derive_secret(&*self.master, b"res master", transcript.as_ref())?;
        Ok(ResumptionSecret(TrafficSecret { labels: self.labels, secret }))
    }
}

impl ResumptionSecret {
    /// HKDF-Expand-Label(resumption_master_secret, "resumption", ticket_nonce, Hash.length) (RFC 8446 §4.6.1).
    pub(crate) fn psk(&self, ticket_nonce: &[u8]) -> Result<Secret, Error> {
        let TrafficSecret { labels, secret } = &self.0;
        let expander = hkdf::expander(labels.suite.hkdf(), secret);
        labels.expand(&*expander, b"resumption", ticket_nonce)
    }
}

impl ApplicationTrafficSecret {
    /// For the record layer.
    pub(crate) fn keys(&self) -> TrafficKeys {
        self.0.keys()
    }

    /// application_traffic_secret_N+1, after a KeyUpdate (RFC 8446 §7.2).
    pub(crate) fn next(&self) -> Result<Self, Error> {
        let TrafficSecret { labels, secret } = &self.0;
        let expander = hkdf::expander(labels.suite.hkdf(), secret);
        let secret = labels.expand(&*expander, b"traffic upd", &[])?;
        Ok(Self(TrafficSecret { labels: *labels, secret }))
    }
}

impl Exporter {
    /// TLS-Exporter(label, context_value, key_length) (RFC 8446 §7.5). No context is the same as an empty one.
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Error> {
        let TrafficSecret { labels, secret } = &self.0;
        let hash = labels.suite.hash();
        // `HkdfLabel.label` is <7..255>, prefix included (RFC 8446 §7.1). Deviation: that leaves no room for an empty label
        // behind a prefix of six octets, which other implementations take as well.
        if label.len() > MAX_LABEL_LEN {
            return Err(ApiMisuse::ExporterUnavailable.into());
        }
        if out.len() > MAX_EXPORT_BLOCKS.saturating_mul(hash.output_len()) {
            return Err(ApiMisuse::ExportTooLong.into());
        }
        let expander = hkdf::expander(labels.suite.hkdf(), secret);
        let derived = labels.derive_secret(&*expander, label, hash.hash(&[]).as_ref())?;
        let expander = hkdf::expander(labels.suite.hkdf(), &derived);
        let context = hash.hash(context.unwrap_or_default());
        hkdf::expand_label(&*expander, labels.prefix, b"exporter", context.as_ref(), out)
    }
}

impl TrafficSecret {
    /// HMAC(finished_key, transcript): a Finished or a binder (RFC 8446 §4.4.4).
    fn verify_data(&self, transcript: &Output) -> Result<Tag, Error> {
        let Self { labels, secret } = self;
        let expander = hkdf::expander(labels.suite.hkdf(), secret);
        let finished_key = labels.expand(&*expander, b"finished", &[])?;
        Ok(labels.suite.hkdf().hmac_sign(&OkmBlock::new(finished_key.as_ref()), transcript.as_ref()))
    }

    fn keys(&self) -> TrafficKeys {
        TrafficKeys::Dtls13 { suite: self.labels.suite, secret: self.secret.clone() }
    }
}

impl Labels {
    /// Derive-Secret(., "derived", ""), the salt of the next HKDF-Extract.
    fn salt(&self, expander: &dyn HkdfExpander) -> Result<Secret, Error> {
        self.derive_secret(expander, b"derived", self.suite.hash().hash(&[]).as_ref())
    }

    /// Derive-Secret(expander, label, Messages), given the hash of the messages.
    fn derive_secret(&self, expander: &dyn HkdfExpander, label: &[u8], transcript: &[u8]) -> Result<Secret, Error> {
        self.expand(expander, label, transcript)
    }

    /// HKDF-Expand-Label(expander, label, context, Hash.length).
    fn expand(&self, expander: &dyn HkdfExpander, label: &[u8], context: &[u8]) -> Result<Secret, Error> {
        Secret::derive(self.suite.hash().output_len(), |out| {
            hkdf::expand_label(expander, self.prefix, label, context, out)
        })
    }
}

impl SecretLog<'_> {
    fn log(&self, label: &str, secret: &Secret) {
        if self.key_log.will_log(label) {
            self.key_log.log(label, self.client_random, secret.as_ref());
        }
    }
}

impl fmt::Debug for TrafficSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(..)", self.labels.suite)
    }
}

/// HKDF-Expand ends after this many blocks of Hash.length (RFC 5869 §2.3).
const MAX_EXPORT_BLOCKS: usize = 255;

#[cfg(test)]
pub(crate) mod tests;
