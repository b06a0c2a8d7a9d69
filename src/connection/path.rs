//! How much may be sent to an address that has proven nothing (RFC 9147 §5.1, RFC 9147 §11.1; three times what came, as
//! RFC 9000 §8.1 has it).

/// What is known of the peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// It answered, by a cookie or under keys, or the application vouches for it.
    Validated,
    /// Anyone may have written it: so many more octets may be sent there.
    Unvalidated { allowance: usize },
}

/// Octets sent for each octet received.
const AMPLIFICATION: usize = 3;

impl Path {
    /// An address from which `octets` have come.
    pub(crate) const fn unvalidated(octets: usize) -> Self {
        Self::Unvalidated { allowance: octets.saturating_mul(AMPLIFICATION) }
    }

    pub(super) const fn received(&mut self, octets: usize) {
        if let Self::Unvalidated { allowance } = self {
            *allowance = allowance.saturating_add(octets.saturating_mul(AMPLIFICATION));
        }
    }

    pub(super) const fn sent(&mut self, octets: usize) {
        if let Self::Unvalidated { allowance } = self {
            *allowance = allowance.saturating_sub(octets);
        }
    }

    /// The longest datagram that may be sent now.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Validated => usize::MAX,
            Self::Unvalidated { allowance } => allowance,
        }
    }
}
