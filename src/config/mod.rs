//! Floor 3: what the application chose, checked when it is chosen. Shared by `Arc` among all associations.

mod client;
mod common;
mod credential;
mod extensions;
mod external_key;
mod resumption;
mod server;
mod session;
mod ticketer;
mod trace;
mod transport;

pub use client::{
    ClientConfig, ClientConfigBuilder, DangerousClientConfigBuilder, KeyShares, UnofferedProtocol, WantsClientAuth,
};
pub use common::ExtendedMasterSecret;
pub use credential::Credential;
pub use server::{
    ClientHello, Preference, ResolvesServerCert, ServerConfig, ServerConfigBuilder, ServerNameAcknowledgement,
    WantsServerCert,
};
pub use session::{ClientSessionStore, Session};
pub use ticketer::Ticketer;
pub use trace::{Direction, TracedMessage};
pub use transport::{DataSize, PartialAcks, PlaintextFaults, TimeoutPolicy, TransportConfig};

pub(crate) use session::{
    MAX_LIFETIME, PeerCredentials, SessionContext, SessionHandle, SessionState, SessionTimes, session_bytes,
};
use std::fmt;
pub(crate) use trace::MessageTrace;
pub(crate) use transport::{FallBack, WornKeys};

/// Why a configuration cannot work. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No cipher suite is left for the versions chosen.
    NoCipherSuite,
    /// No key exchange group is left for the versions chosen.
    NoGroup,
    /// No protocol version was chosen, or an unknown one.
    NoVersion,
    /// No signature scheme to accept the peer by, or to sign by.
    NoSignatureScheme,
    /// No certificate to present.
    EmptyCertificateChain,
    /// No root certificate to trust.
    EmptyRootStore,
    /// No fingerprint to accept.
    NoFingerprint,
    /// The private key cannot be read, or is of a kind that the provider lacks.
    BadPrivateKey,
    /// The certificate cannot be read.
    BadCertificate,
    /// The private key is not that of the first certificate, or a key of its kind does not sign by a scheme given.
    KeyDoesNotFitCertificate,
    /// The verifier could not be built of these roots and revocation lists.
    BadVerifier,
    /// The verifier works with raw public keys (RFC 7250), which are not supported.
    RawPublicKey,
    /// The first key share must be a post-quantum hybrid's, and DTLS 1.3 is not spoken or the first group is none.
    NoHybridGroup,
    /// A memory bound below what a handshake needs.
    LimitTooSmall {
        /// The least that works, in octets.
        floor: usize,
    },
    /// An application protocol's name is empty or longer than 255 octets, or there are too many.
    BadAlpnProtocol,
    /// A signed certificate timestamp is empty, or there are too many.
    BadTimestamps,
    /// The names of certificate authorities are too long for a ClientHello, or one is empty.
    BadAuthorities,
    /// A profile of SRTP that is not known.
    UnknownSrtpProfile,
    /// A record size limit that the protocol does not allow.
    BadRecordSizeLimit {
        /// The least that works.
        floor: usize,
        /// The most.
        ceiling: usize,
    },
    /// The MTU is under the floor.
    MtuTooSmall {
        /// The least that works.
        floor: usize,
    },
    /// The initial timeout is zero or longer than the longest.
    BadTimeout,
    /// AEAD limits may be lowered, as far as a change of keys still works, and never raised.
    BadAeadLimits {
        /// The least that works.
        floor: u64,
        /// The most records that one key may seal.
        sealed: u64,
        /// The most forgeries that one key bears.
        forgeries: u64,
    },
    /// The server's certificate is judged by name, and no name was given.
    ServerNameRequired,
    /// Nobody can be reached at the address.
    Address,
    /// There is an association with the address.
    AddressInUse,
    /// The endpoint has as many connections as it may have.
    TooManyConnections,
    /// A configuration for one client has other versions, cipher suites or groups than the endpoint's.
    ParametersDiffer,
    /// A client wanted in at another endpoint.
    OtherEndpoint,
    /// The provider could not give randomness or a key.
    Provider,
    /// The system could not give randomness for cookie keys.
    NoRandomness,
    /// The secret that cookie keys are to be derived from is too short.
    CookieSecretTooShort,
    /// A cookie key's period is shorter than a second or longer than a day.
    BadCookiePeriod,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoCipherSuite => "no cipher suite is left: enable one that the chosen versions have",
            Self::NoGroup => "no key exchange group is left: enable one that the chosen versions have",
            Self::NoVersion => "choose DTLS 1.2, DTLS 1.3 or both",
            Self::NoSignatureScheme => "no signature scheme is left: the verifier or the provider must support one",
            Self::EmptyCertificateChain => "give at least one certificate",
            Self::EmptyRootStore => "give at least one root certificate",
            Self::NoFingerprint => "give at least one fingerprint",
            Self::BadPrivateKey => "the private key cannot be used: give PKCS#8, PKCS#1 or SEC 1 of a supported kind",
            Self::BadCertificate => "the first certificate cannot be read: give X.509 in DER",
            Self::KeyDoesNotFitCertificate => "the private key does not belong to the first certificate of the chain",
            Self::NoRandomness => "the system gives no randomness for cookie keys",
            Self::CookieSecretTooShort => "give a secret of at least 32 octets for cookie keys",
            Self::BadCookiePeriod => "a cookie key is used for a second at least and a day at most",
            Self::BadVerifier => "no verifier can be built of these roots and revocation lists",
            Self::RawPublicKey => "raw public keys are not supported: use a verifier of certificates",
            Self::NoHybridGroup => "for a post-quantum key share speak DTLS 1.3 and put a hybrid group first",
            Self::LimitTooSmall { floor } => return write!(f, "the limit must be at least {floor} octets"),
            Self::BadAlpnProtocol => "protocol names have 1 to 255 octets, and all of them together 16 KiB at most",
            Self::BadTimestamps => "timestamps are never empty, and 32 KiB at most all together",
            Self::BadAuthorities => "names of authorities are never empty, and 16 KiB at most all together",
            Self::UnknownSrtpProfile => "choose among the profiles of SRTP that have names here",
            Self::BadRecordSizeLimit { floor, ceiling } => {
                return write!(f, "a limit of record sizes has {floor} to {ceiling} octets");
            }
            Self::MtuTooSmall { floor } => return write!(f, "the MTU must be at least {floor} octets"),
            Self::BadTimeout => "the initial timeout must be above zero and no longer than the longest",
            Self::BadAeadLimits { floor, sealed, forgeries } => {
                return write!(
                    f,
                    "one key may seal {floor} to {sealed} records and bear {floor} to {forgeries} forgeries"
                );
            }
            Self::ServerNameRequired => "give the server's name, by which its certificate is judged",
            Self::Address => "give an address and a port that a peer can have",
            Self::AddressInUse => "there is an association with this address",
            Self::TooManyConnections => "there are as many connections as there may be",
            Self::ParametersDiffer => "give it the versions, cipher suites and groups of the endpoint",
            Self::OtherEndpoint => "it came to another endpoint",
            Self::Provider => "the cryptography provider failed: no randomness or no key",
        };
        f.write_str(text)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
