//! What the application chose about extensions that are optional.

use crate::wire::{SrtpProfile, stapling::timestamps};
use rustls::DistinguishedName;
use rustls::compress::{CertCompressor, CertDecompressor, default_cert_compressors, default_cert_decompressors};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::sync::Arc;

/// The settings of both configurations.
#[derive(Clone, Debug)]
pub(super) struct ExtensionSettings {
    /// Best first; empty for an association that keys no media (RFC 5764 §4.1.1).
    pub(super) srtp_profiles: Vec<SrtpProfile>,
    /// Best first (RFC 8879).
    pub(super) compressors: Vec<&'static dyn CertCompressor>,
    pub(super) decompressors: Vec<&'static dyn CertDecompressor>,
}

impl Default for ExtensionSettings {
    fn default() -> Self {
        Self {
            srtp_profiles: Vec::new(),
            compressors: default_cert_compressors().to_vec(),
            decompressors: default_cert_decompressors().to_vec(),
        }
    }
}

/// The settings of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientExtensionSettings {
    pub(super) ocsp_response: Wanted,
    pub(super) timestamps: Wanted,
    pub(super) grease: Wanted,
    pub(super) permutation: Wanted,
    pub(super) timestamp_check: TimestampCheck,
    /// In the order of the application; empty for none.
    pub(super) authorities: Vec<DistinguishedName>,
}

/// Whether something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Wanted {
    #[default]
    No,
    Yes,
}

/// What the application thinks of a server's chain and of the timestamps that came along.
pub(super) type TimestampVerifier =
    dyn Fn(&[CertificateDer<'_>], &[&[u8]], UnixTime) -> Result<(), rustls::Error> + Send + Sync;

/// The application's own check of signed certificate timestamps, if it has one.
#[derive(Clone, Default)]
pub(super) enum TimestampCheck {
    #[default]
    None,
    Own(Arc<TimestampVerifier>),
}

impl TimestampCheck {
    /// # Errors
    /// What the check says, as a verifier's.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>], list: &[u8], now: UnixTime) -> Result<(), rustls::Error> {
        match self {
            Self::None => Ok(()),
            Self::Own(check) => check(chain, &timestamps(list).collect::<Vec<_>>(), now),
        }
    }
}

impl fmt::Debug for TimestampCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Own(_) => "Own(..)",
        })
    }
}
