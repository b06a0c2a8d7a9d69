//! Extension blocks and the extensions that udtls knows (RFC 8446 §4.2, RFC 6066, RFC 7301, RFC 7627, RFC 5746).

use super::codec::{Malformed, Put, Reader};
use super::enums::{ExtensionType, NamedGroup, ProtocolVersion};
use std::marker::PhantomData;

/// A well-formed extension block without repetitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extensions<'a> {
    block: &'a [u8],
}

/// So many extensions of a type above 63 are remembered one by one.
const FEW: usize = 8;

impl<'a> Extensions<'a> {
    /// A message that ends before its extensions has none (RFC 5246 §7.4.1.2).
    pub(crate) const NONE: Self = Self { block: &[] };

    /// Reads `Extension extensions<0..2^16-1>` and checks that no type stands twice (RFC 8446 §4.2).
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let block = r.vec16()?;
        let (mut low, mut others, mut count) = (0_u64, [0; FEW], 0_usize);
        let mut entries = Reader::new(block);
        while !entries.is_empty() {
            let ty = entries.u16()?;
            entries.vec16()?;
            let repeated = if let Some(bit) = 1_u64.checked_shl(ty.into()) {
                let repeated = low & bit != 0;
                low |= bit;
                repeated
            } else {
                let repeated = others.get(..count).is_some_and(|seen| seen.contains(&ty));
                let Some(slot) = others.get_mut(count) else { return Self::of_many(block) };
                *slot = ty;
                count = count.saturating_add(1);
                repeated
            };
            if repeated {
                return Err(Malformed::DuplicateExtension);
            }
        }
        Ok(Self { block })
    }

    /// The same for a block with many extensions that are seldom seen.
    #[cold]
    fn of_many(block: &'a [u8]) -> Result<Self, Malformed> {
        // One bit for each of the 2^16 types: linear however many extensions a peer invents.
        let mut seen = [0u64; 1024];
        let mut entries = Reader::new(block);
        while !entries.is_empty() {
            let ty = entries.u16()?;
            entries.vec16()?;
            let bit = 1u64 << (ty & 63);
            let word = seen.get_mut(usize::from(ty >> 6)).ok_or(Malformed::BadValue)?;
            if *word & bit != 0 {
                return Err(Malformed::DuplicateExtension);
            }
            *word |= bit;
        }
        Ok(Self { block })
    }

    /// Reads a block that may be missing altogether, as in the hellos of DTLS 1.2.
    pub(crate) fn read_optional(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        if r.is_empty() { Ok(Self::NONE) } else { Self::read(r) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExtensionType, &'a [u8])> + use<'a> {
        let mut r = Reader::new(self.block);
        std::iter::from_fn(move || Some((ExtensionType(r.u16().ok()?), r.vec16().ok()?)))
    }

    /// The body of one extension.
    pub(crate) fn find(&self, ty: ExtensionType) -> Option<&'a [u8]> {
        self.iter().find_map(|(t, data)| (t == ty).then_some(data))
    }

    pub(crate) fn has(&self, ty: ExtensionType) -> bool {
        self.find(ty).is_some()
    }

    /// The body of one extension, read to its end by `read`.
    pub(crate) fn parse<T>(
        &self,
        ty: ExtensionType,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let Some(data) = self.find(ty) else { return Ok(None) };
        let mut r = Reader::new(data);
        let value = read(&mut r)?;
        r.finish()?;
        Ok(Some(value))
    }

    /// An extension whose body must be empty: whether it is there.
    pub(crate) fn flag(&self, ty: ExtensionType) -> Result<bool, Malformed> {
        self.parse(ty, |_| Ok(())).map(|found| found.is_some())
    }
}

/// A list of 16-bit registry values, checked to be whole and not empty.
#[derive(Debug)]
pub(crate) struct List16<'a, T> {
    entries: &'a [[u8; 2]],
    of: PhantomData<T>,
}

// Derived `Clone` and `Copy` would ask the same of `T`.
impl<T> Clone for List16<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for List16<'_, T> {}

impl<'a, T: From<u16> + PartialEq> List16<'a, T> {
    /// From the octets of the list without its length.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.as_chunks() {
            ([], _) | (_, [_, ..]) => Err(Malformed::BadLength),
            (entries, []) => Ok(Self { entries, of: PhantomData }),
        }
    }

    /// With a 16-bit length, as most lists have.
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Self::new(r.vec16()?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.entries.iter().map(|bytes| T::from(u16::from_be_bytes(*bytes)))
    }

    pub(crate) fn contains(&self, value: &T) -> bool {
        self.iter().any(|entry| entry == *value)
    }

    /// The list as it stands in the message, without its length.
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.entries.as_flattened()
    }
}

/// The `host_name` of a client's server_name extension (RFC 6066 §3). Other name types are passed over.
pub(crate) fn read_server_name<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    const HOST_NAME: u8 = 0;
    let mut list = Reader::new(r.vec16()?);
    if list.is_empty() {
        return Err(Malformed::BadLength);
    }
    let mut host = None;
    while !list.is_empty() {
        let name_type = list.u8()?;
        let name = list.vec16()?;
        if name_type == HOST_NAME {
            if name.is_empty() {
                return Err(Malformed::BadLength);
            }
            if host.replace(name).is_some() {
                return Err(Malformed::DuplicateEntry);
            }
        }
    }
    Ok(host)
}

pub(crate) fn put_server_name(out: &mut Vec<u8>, name: &str) {
    put_extension(out, ExtensionType::SERVER_NAME, |out| {
        out.put_vec::<2>(|out| {
            out.put_u8(0);
            out.put_vec::<2>(|out| out.put(name.as_bytes()));
        });
    });
}

/// A client's list of protocol names (RFC 7301 §3.1): not empty, no name empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolNames<'a> {
    list: &'a [u8],
}

impl<'a> ProtocolNames<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let list = r.vec16()?;
        let mut names = Reader::new(list);
        if names.is_empty() {
            return Err(Malformed::BadLength);
        }
        while !names.is_empty() {
            if names.vec8()?.is_empty() {
                return Err(Malformed::BadLength);
            }
        }
        Ok(Self { list })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::new(self.list);
        std::iter::from_fn(move || r.vec8().ok())
    }

    /// A server's answer: exactly one name (RFC 7301 §3.1).
    pub(crate) fn read_selected(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
        let names = Self::read(r)?;
        let mut iter = names.iter();
        match (iter.next(), iter.next()) {
            (Some(name), None) => Ok(name),
            _ => Err(Malformed::BadLength),
        }
    }
}

pub(crate) fn put_protocol_names<'n>(out: &mut Vec<u8>, names: impl Iterator<Item = &'n [u8]>) {
    put_extension(out, ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION, |out| {
        out.put_vec::<2>(|out| names.for_each(|name| out.put_vec::<1>(|out| out.put(name))));
    });
}

/// One key share (RFC 8446 §4.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyShareEntry<'a> {
    pub(crate) group: NamedGroup,
    pub(crate) key_exchange: &'a [u8],
}

impl<'a> KeyShareEntry<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let entry = Self { group: NamedGroup(r.u16()?), key_exchange: r.vec16()? };
        if entry.key_exchange.is_empty() {
            return Err(Malformed::BadLength);
        }
        Ok(entry)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(self.group.0);
        out.put_vec::<2>(|out| out.put(self.key_exchange));
    }
}

/// A client's key shares: possibly none, no group twice (RFC 8446 §4.2.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyShares<'a> {
    list: &'a [u8],
}

impl<'a> KeyShares<'a> {
    /// More shares than this are refused, so that looking for repetitions stays cheap.
    const MAX: usize = 32;

    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let list = r.vec16()?;
        let mut seen = [NamedGroup(0); Self::MAX];
        let mut entries = Reader::new(list);
        let mut slots = 0usize;
        while !entries.is_empty() {
            let entry = KeyShareEntry::read(&mut entries)?;
            if seen.iter().take(slots).any(|group| *group == entry.group) {
                return Err(Malformed::DuplicateEntry);
            }
            *seen.get_mut(slots).ok_or(Malformed::BadLength)? = entry.group;
            slots = slots.saturating_add(1);
        }
        Ok(Self { list })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = KeyShareEntry<'a>> + use<'a> {
        let mut r = Reader::new(self.list);
        std::iter::from_fn(move || KeyShareEntry::read(&mut r).ok())
    }

    pub(crate) fn find(&self, group: NamedGroup) -> Option<KeyShareEntry<'a>> {
        self.iter().find(|entry| entry.group == group)
    }
}

/// `opaque cookie<1..2^16-1>` (RFC 8446 §4.2.2).
pub(crate) fn read_cookie<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let cookie = r.vec16()?;
    if cookie.is_empty() { Err(Malformed::BadLength) } else { Ok(cookie) }
}

/// A client's supported_versions (RFC 8446 §4.2.1).
pub(crate) fn read_supported_versions<'a>(r: &mut Reader<'a>) -> Result<List16<'a, ProtocolVersion>, Malformed> {
    List16::new(r.vec8()?)
}

/// `opaque list<1..2^8-1>`: point formats (RFC 8422 §5.1.2), PSK modes.
pub(crate) fn read_list8<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let list = r.vec8()?;
    if list.is_empty() { Err(Malformed::BadLength) } else { Ok(list) }
}

/// Appends one extension.
pub(crate) fn put_extension<P: Put>(out: &mut P, ty: ExtensionType, body: impl FnOnce(&mut P)) {
    out.put_u16(ty.0);
    out.put_vec::<2>(body);
}

/// Appends an extension whose body is one list of 16-bit values with a 16-bit length.
pub(crate) fn put_list16<T: Copy + Into<u16>>(out: &mut Vec<u8>, ty: ExtensionType, values: &[T]) {
    put_list16_after(out, ty, None, values);
}

/// The same with one more value in front.
pub(crate) fn put_list16_after<T: Copy + Into<u16>>(
    out: &mut Vec<u8>,
    ty: ExtensionType,
    first: Option<T>,
    values: &[T],
) {
    put_extension(out, ty, |out| {
        out.put_vec::<2>(|out| first.iter().chain(values).for_each(|value| out.put_u16((*value).into())));
    });
}

/// The only point format of this protocol (RFC 8422 §5.1.2).
pub(crate) const UNCOMPRESSED_POINT: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_a_repeated_extension_is_refused() {
        let block = [0, 10, 0xff, 1, 0, 1, 0, 0xff, 1, 0, 1, 0];
        assert_eq!(Extensions::read(&mut Reader::new(&block)).err(), Some(Malformed::DuplicateExtension));
    }

    #[test]
    fn p1_lists_must_be_whole_and_not_empty() {
        assert!(List16::<NamedGroup>::new(&[]).is_err());
        assert!(List16::<NamedGroup>::new(&[0, 1, 2]).is_err());
        assert!(List16::new(&[0, 29]).is_ok_and(|list| list.contains(&NamedGroup::X25519)));
    }

    #[test]
    fn p2_key_shares_refuse_repetition_and_empty_keys() {
        let twice = [0, 10, 0, 29, 0, 1, 9, 0, 29, 0, 1, 9];
        assert_eq!(KeyShares::read(&mut Reader::new(&twice)).err(), Some(Malformed::DuplicateEntry));
        let empty = [0, 4, 0, 29, 0, 0];
        assert_eq!(KeyShares::read(&mut Reader::new(&empty)).err(), Some(Malformed::BadLength));
        assert!(KeyShares::read(&mut Reader::new(&[0, 0])).is_ok());
    }

    #[test]
    fn protocol_names_are_never_empty() {
        assert!(ProtocolNames::read(&mut Reader::new(&[0, 0])).is_err());
        assert!(ProtocolNames::read(&mut Reader::new(&[0, 1, 0])).is_err());
        assert_eq!(ProtocolNames::read_selected(&mut Reader::new(&[0, 3, 2, b'h', b'2'])), Ok(&b"h2"[..]));
        assert!(ProtocolNames::read_selected(&mut Reader::new(&[0, 4, 1, b'a', 1, b'b'])).is_err());
    }
}
