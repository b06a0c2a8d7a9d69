//! The DTLS 1.3 ACK message (RFC 9147 §7) and the record numbers that it lists.

use super::codec::{Malformed, Reader};

/// An epoch: which keys protect a record (RFC 9147 §4.2.1). Sixteen bits suffice: message_seq ends the association
/// before an epoch beyond them (draft-ietf-tls-rfc9147bis §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u16);

impl Epoch {
    /// Unprotected records.
    pub(crate) const PLAINTEXT: Self = Self(0);

    /// The following epoch, or `None` at the last one.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// A record's place: epoch and sequence number (RFC 9147 §4). Ordered as ACKs list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordNumber {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

impl RecordNumber {
    /// Octets of a record number in an ACK.
    pub(crate) const LEN: usize = 16;

    pub(crate) fn new(epoch: Epoch, sequence: u64) -> Self {
        Self { epoch: u64::from(epoch.0), sequence }
    }
}

/// Reads an ACK's body: the record numbers, in the order listed.
///
/// # Errors
/// [`Malformed`] if the list's length is not that of the body or no multiple of a record number's.
pub(crate) fn read_ack(body: &[u8]) -> Result<AckList<'_>, Malformed> {
    let mut r = Reader::new(body);
    let list = r.vec16()?;
    r.finish()?;
    match list.as_chunks::<{ RecordNumber::LEN }>() {
        (numbers, []) => Ok(AckList { numbers }),
        _ => Err(Malformed::BadLength),
    }
}

/// A well-formed ACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckList<'a> {
    numbers: &'a [[u8; RecordNumber::LEN]],
}

impl AckList<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = RecordNumber> {
        self.numbers.iter().map(|n| {
            let n = u128::from_be_bytes(*n);
            let (epoch, sequence) = (u64::try_from(n >> 64), u64::try_from(n & u128::from(u64::MAX)));
            RecordNumber { epoch: epoch.unwrap_or(u64::MAX), sequence: sequence.unwrap_or(u64::MAX) }
        })
    }
}

/// Writes an ACK of as many of `numbers` as fit into `out`, dropping from the front; `None` if not even an empty one fits.
/// `numbers` is sorted ascending, so the newest are kept (RFC 9147 §7).
pub(crate) fn write_ack(numbers: &[RecordNumber], out: &mut [u8]) -> Option<usize> {
    let (prefix, body) = out.split_first_chunk_mut::<2>()?;
    let room = body.as_chunks_mut::<{ RecordNumber::LEN }>().0;
    let skip = numbers.len().saturating_sub(room.len());
    let kept = numbers.get(skip..)?;
    for (slot, number) in room.iter_mut().zip(kept) {
        let value = (u128::from(number.epoch) << 64) | u128::from(number.sequence);
        *slot = value.to_be_bytes();
    }
    let len = kept.len().checked_mul(RecordNumber::LEN)?;
    *prefix = u16::try_from(len).ok()?.to_be_bytes();
    len.checked_add(prefix.len())
}

/// Octets of an ACK of these.
pub(crate) const fn ack_len(numbers: &[RecordNumber]) -> usize {
    numbers.len().saturating_mul(RecordNumber::LEN).saturating_add(2)
}

/// How many record numbers an ACK of this many octets lists: at least one.
pub(crate) fn ack_capacity(octets: usize) -> usize {
    (octets.saturating_sub(2) / RecordNumber::LEN).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_round_trip_and_cut() {
        let numbers: Vec<_> = (1..=3).map(|s| RecordNumber { epoch: 2, sequence: s }).collect();
        let mut out = [0; 64];
        let n = write_ack(&numbers, &mut out).unwrap();
        assert_eq!(n, 50);
        assert_eq!(read_ack(&out[..n]).unwrap().iter().collect::<Vec<_>>(), numbers);
        let n = write_ack(&numbers, &mut out[..36]).unwrap();
        assert_eq!(read_ack(&out[..n]).unwrap().iter().collect::<Vec<_>>(), numbers[1..]);
        assert_eq!(read_ack(&[0, 1, 2]).err(), Some(Malformed::BadLength));
    }
}
