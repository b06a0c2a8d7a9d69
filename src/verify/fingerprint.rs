//! Certificate fingerprints as WebRTC exchanges them (RFC 8122 §5, RFC 8827 §6.5).

use crate::error::Error;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The SHA-256 hash of a DER certificate. SHA-256 is what RFC 8122 §5.1 prefers and WebRTC uses; no weaker hash is taken.
///
/// ```
/// let text = "sha-256 12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD";
/// let fingerprint: udtls::Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), text);
/// # Ok::<(), udtls::InvalidFingerprint>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a hash that is at hand.
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// The hash.
    pub(crate) const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text is no SHA-256 fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidFingerprint;

impl fmt::Display for InvalidFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a fingerprint of the form `sha-256 AB:CD:…` with 32 octets")
    }
}

impl std::error::Error for InvalidFingerprint {}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    /// Reads `sha-256 AB:CD:…` as in SDP, or the hexadecimal octets alone.
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let hex = match text.trim().split_once(' ') {
            Some((hash, hex)) if hash.eq_ignore_ascii_case("sha-256") => hex.trim(),
            Some(_) => return Err(InvalidFingerprint),
            None => text.trim(),
        };
        let mut octets = [0; 32];
        let mut parts = hex.split(':');
        for octet in &mut octets {
            // `from_str_radix` alone would take a sign for a digit.
            let hex_pair = |part: &&str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let part = parts.next().filter(hex_pair).ok_or(InvalidFingerprint)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| InvalidFingerprint)?;
        }
        if parts.next().is_some() { Err(InvalidFingerprint) } else { Ok(Self(octets)) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256 ")?;
        for (index, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether the certificate is one of those accepted. Fingerprints are public, so the comparison need not hide anything.
pub(super) fn verify(accepted: &[Fingerprint], end_entity: &CertificateDer<'_>) -> Result<(), Error> {
    if accepted.contains(&Fingerprint::of(end_entity)) { Ok(()) } else { Err(Error::FingerprintMismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        let hex = ["0a"; 32].join(":");
        let fingerprint: Fingerprint = format!("sha-256 {hex}").parse().unwrap();
        assert_eq!(fingerprint, Fingerprint::from_sha256([10; 32]));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(hex.parse(), Ok(fingerprint));
        for bad in [
            "",
            "sha-1 0a:0b",
            "sha-256 0a",
            "sha-256 zz",
            &format!("{hex}:00"),
            &hex.replace(':', ""),
            &hex.replace("0a", "+a"),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(InvalidFingerprint), "{bad}");
        }
    }

    #[test]
    fn another_certificate_is_refused() {
        let certificate = CertificateDer::from(vec![1, 2, 3]);
        assert!(verify(&[Fingerprint::of(&certificate)], &certificate).is_ok());
        assert_eq!(verify(&[Fingerprint::from_sha256([0; 32])], &certificate), Err(Error::FingerprintMismatch));
    }
}
