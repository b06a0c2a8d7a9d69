//! What two ends can agree on beside a handshake, and use after it.

/// One row of the feature table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Exporter,
    ExporterWithContext,
    KeyUpdateByUs,
    KeyUpdateByPeer,
    KeyUpdateByBoth,
    Protocol,
    ServerName,
}

impl Feature {
    pub(crate) const ALL: [Self; 7] = [
        Self::Exporter,
        Self::ExporterWithContext,
        Self::KeyUpdateByUs,
        Self::KeyUpdateByPeer,
        Self::KeyUpdateByBoth,
        Self::Protocol,
        Self::ServerName,
    ];

    pub(crate) const fn is_13_only(self) -> bool {
        matches!(self, Self::KeyUpdateByUs | Self::KeyUpdateByPeer | Self::KeyUpdateByBoth)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exporter => "exporter without context: equal at both ends",
            Self::ExporterWithContext => "exporter with a context: equal at both ends",
            Self::KeyUpdateByUs => "KeyUpdate by us",
            Self::KeyUpdateByPeer => "KeyUpdate by the peer",
            Self::KeyUpdateByBoth => "KeyUpdate by us, who ask for the peer's",
            Self::Protocol => "ALPN",
            Self::ServerName => "SNI",
        }
    }
}

/// Of keying material (RFC 5705, RFC 8446 §7.5).
pub(crate) const LABEL: &str = "EXPERIMENTAL-udtls";

/// What the client offers; the server has only the second.
pub(crate) const PROTOCOLS: [&str; 2] = ["udtls-other", "udtls-features"];

/// Whom the client wants to reach.
pub(crate) const SERVER_NAME: &str = "localhost";
