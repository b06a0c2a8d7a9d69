//! GREASE (RFC 8701): values that mean nothing, sent by a client that is told so, lest servers forget to tolerate what they do
//! not know. A server that selects one has selected what was not offered.

use crate::wire::{
    CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme,
    enums::ExtensionType,
    extensions::{KeyShareEntry, put_extension},
    hello::Random,
};

/// The values of one handshake: the same in each of its ClientHellos (RFC 8446 §4.1.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Grease {
    pub(super) suite: CipherSuite,
    pub(super) version: ProtocolVersion,
    pub(super) group: NamedGroup,
    pub(super) scheme: SignatureScheme,
    extensions: [ExtensionType; 2],
}

impl Grease {
    /// Chosen by a random that is sent anyway (RFC 8701 §5).
    pub(super) fn new(random: &Random) -> Self {
        let [a, b, c, d, e, ..] = random.map(value);
        // The extensions differ (RFC 8446 §4.2): by one bit of what varies.
        let extensions = [ExtensionType(e), ExtensionType(e ^ 0x1010)];
        let (suite, version) = (CipherSuite(a), ProtocolVersion(b));
        Self { suite, version, group: NamedGroup(c), scheme: SignatureScheme(d), extensions }
    }

    /// "clients MAY also send […] a KeyShareEntry for each" (RFC 8701 §3.1), with any content.
    pub(super) fn key_share(&self) -> KeyShareEntry<'static> {
        KeyShareEntry { group: self.group, key_exchange: &[0] }
    }

    /// One extension without content and one with.
    pub(super) fn put_extensions(&self, out: &mut Vec<u8>) {
        let [empty, other] = self.extensions;
        put_extension(out, empty, |_| ());
        put_extension(out, other, |out| out.push(0));
    }
}

/// One of the sixteen values 0x0A0A, 0x1A1A, … 0xFAFA (RFC 8701 §2).
fn value(octet: u8) -> u16 {
    let octet = octet & 0xf0 | 0x0a;
    u16::from_be_bytes([octet, octet])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_the_sixteen_and_extensions_differ() {
        for octet in 0..=255u8 {
            let grease = Grease::new(&[octet; 32]);
            let [one, other] = grease.extensions.map(|ty| ty.0);
            for value in [grease.suite.0, grease.version.0, grease.group.0, grease.scheme.0, one, other] {
                assert_eq!((value & 0x0f0f, value >> 8), (0x0a0a, value & 0xff));
            }
            assert_ne!(one, other);
        }
    }
}
