//! What the application chose about extensions that are optional.

use crate::wire::SrtpProfile;

/// The settings of both configurations.
#[derive(Clone, Debug, Default)]
pub(super) struct ExtensionSettings {
    /// Best first; empty for an association that keys no media (RFC 5764 §4.1.1).
    pub(super) srtp_profiles: Vec<SrtpProfile>,
}
