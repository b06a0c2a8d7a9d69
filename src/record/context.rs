//! What is built of a secret for use: most of the memory that an association takes, and nothing that could not be built
//! again. Knows no key.

use crate::error::Error;

/// What is built of a secret, or nothing while no record needs it.
pub(super) enum Context<T> {
    Ready(T),
    Dropped,
}

impl<T> Context<T> {
    /// For use; built first if it is not there.
    #[inline]
    pub(super) fn ready(&mut self, build: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
        if let Self::Dropped = self {
            *self = Self::Ready(build()?);
        }
        match self {
            Self::Ready(context) => Ok(context),
            Self::Dropped => Err(Error::Provider),
        }
    }

    /// Gives the memory back.
    pub(super) fn discard(&mut self) {
        *self = Self::Dropped;
    }
}
