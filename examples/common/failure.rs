//! What every program here shares.

/// Why an example stops.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The longest UDP payload.
pub(crate) const MAX_DATAGRAM: usize = 65_535;
