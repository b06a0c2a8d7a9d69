//! A bounds-checked reader and the length-prefixed writers. No index, no panic.

use std::fmt;

/// Why bytes could not be read. Carries no octet of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// The structure ended before a field did.
    Truncated,
    /// Octets remained after the structure's end.
    TrailingData,
    /// A vector that must hold something was empty, or one had an impossible length.
    BadLength,
    /// A field held a value that its structure does not allow.
    BadValue,
    /// The same extension appeared twice in one block (RFC 8446 §4.2).
    DuplicateExtension,
    /// A list that must not repeat an entry did (RFC 8446 §4.2.8).
    DuplicateEntry,
    /// pre_shared_key was not the last extension of a ClientHello (RFC 8446 §4.2.11).
    PreSharedKeyNotLast,
    /// A handshake header and its fragment disagree (RFC 6347 §4.2.2).
    BadFragment,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a structure ended early",
            Self::TrailingData => "octets left over after a structure",
            Self::BadLength => "a vector had an impossible length",
            Self::BadValue => "a field had a value that is not allowed there",
            Self::DuplicateExtension => "an extension appeared twice",
            Self::DuplicateEntry => "a list repeated an entry",
            Self::PreSharedKeyNotLast => "pre_shared_key was not the last extension",
            Self::BadFragment => "a handshake fragment contradicted its own header",
        })
    }
}

/// Reads network-order values off the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The structure must end here.
    pub(crate) const fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::TrailingData) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 24-bit length or offset.
    pub(crate) fn u24(&mut self) -> Result<usize, Malformed> {
        let [a, b, c] = self.array()?;
        usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(|_| Malformed::BadLength)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 48-bit sequence number.
    pub(crate) fn u48(&mut self) -> Result<u64, Malformed> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// `opaque<0..2^8-1>`
    pub(crate) fn vec8(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// `opaque<0..2^16-1>`
    pub(crate) fn vec16(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// `opaque<0..2^24-1>`
    pub(crate) fn vec24(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u24()?;
        self.take(len)
    }
}

/// Appends to the end of a message under construction.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put(&mut self, bytes: &[u8]);
    /// Appends what `body` writes, preceded by its length in `N` octets. A body too long for its prefix, which
    /// a checked configuration cannot produce, is cut.
    fn put_vec<const N: usize>(&mut self, body: impl FnOnce(&mut Self));
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_vec<const N: usize>(&mut self, body: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.extend_from_slice(&[0; N]);
        let content = self.len();
        body(self);
        let max = match N {
            1 => usize::from(u8::MAX),
            2 => usize::from(u16::MAX),
            _ => U24_MAX,
        };
        self.truncate(content.saturating_add(max));
        let len = self.len().saturating_sub(content);
        if let (Some(prefix), Some(bytes)) = (self.get_mut(start..content), len.to_be_bytes().last_chunk::<N>()) {
            prefix.copy_from_slice(bytes);
        }
    }
}

/// The longest vector with a 24-bit length.
const U24_MAX: usize = 0x00ff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_never_reads_past_the_end() {
        let mut r = Reader::new(&[0, 3, 1, 2]);
        assert_eq!(r.vec16(), Err(Malformed::Truncated));
        let mut r = Reader::new(&[2, 1, 2, 9]);
        assert_eq!(r.vec8(), Ok(&[1, 2][..]));
        assert_eq!(r.finish(), Err(Malformed::TrailingData));
    }

    #[test]
    fn vectors_carry_their_length() {
        let mut out = Vec::new();
        out.put_vec::<2>(|v| {
            v.put_vec::<1>(|v| v.put(b"ab"));
            v.put(&[1, 2, 3]);
        });
        assert_eq!(out, [0, 6, 2, b'a', b'b', 1, 2, 3]);
    }

    #[test]
    fn a_body_too_long_for_its_prefix_is_cut() {
        let mut out = Vec::new();
        out.put_vec::<1>(|v| v.put(&[7; 300]));
        assert_eq!(out.len(), 256);
        assert_eq!(out.first(), Some(&255));
    }
}
