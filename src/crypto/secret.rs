//! A short secret kept inline and wiped when dropped. Knows nothing of what the secret is for.

use crate::error::Error;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// At most 48 octets: a key, an IV, a traffic secret (one hash output) or a master secret. `Debug` prints nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret {
    octets: [u8; Self::MAX_LEN],
    len: u8,
}

impl Secret {
    /// The longest hash output of any suite (SHA-384), and of a master secret of DTLS 1.2 (RFC 5246 §8.1).
    pub(crate) const MAX_LEN: usize = 48;

    /// Copies `bytes`; fails if they are longer than [`Self::MAX_LEN`].
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Error> {
        Self::derive(bytes.len(), |out| {
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// A secret of `len` octets, written in place by `fill`: no copy is left behind on the stack.
    pub(crate) fn derive(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), Error>) -> Result<Self, Error> {
        let mut secret = Self { octets: [0; Self::MAX_LEN], len: u8::try_from(len).map_err(|_| Error::Provider)? };
        fill(secret.octets.get_mut(..len).ok_or(Error::Provider)?)?;
        Ok(secret)
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        // `derive` has checked the length.
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_was_given_and_prints_nothing() {
        let secret = Secret::new(&[0xab; 48]).unwrap();
        assert_eq!(secret.as_ref(), [0xab; 48]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(Secret::new(&[]).unwrap().as_ref().is_empty());
    }

    #[test]
    fn longer_than_any_hash_is_refused() {
        assert!(Secret::new(&[1; 48]).is_ok());
        assert_eq!(Secret::new(&[1; 49]).err(), Some(Error::Provider));
    }

    #[test]
    fn zeroize_wipes_it() {
        let mut secret = Secret::new(&[7; 32]).unwrap();
        secret.zeroize();
        assert_eq!((secret.octets, secret.len), ([0; Secret::MAX_LEN], 0));
    }
}
