//! pre_shared_key and psk_key_exchange_modes (RFC 8446 §4.2.9, §4.2.11).

use super::codec::{Malformed, Put, Reader};
use super::enums::ExtensionType;
use super::extensions::{put_extension, read_list8};

/// `psk_dhe_ke`: a PSK together with a key exchange (RFC 8446 §4.2.9). The other mode is not used here.
pub(crate) const PSK_DHE_KE: u8 = 1;

/// The PSKs that a client offers (RFC 8446 §4.2.11). Identities and binders are well formed; that there are as many of the
/// one as of the other is not checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfferedPsks<'a> {
    identities: &'a [u8],
    binders: &'a [u8],
}

/// One PSK that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PskIdentity<'a> {
    pub(crate) identity: &'a [u8],
    pub(crate) obfuscated_ticket_age: u32,
}

impl<'a> OfferedPsks<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let psks = Self { identities: r.vec16()?, binders: r.vec16()? };
        let mut identities = Reader::new(psks.identities);
        let mut binders = Reader::new(psks.binders);
        // PskIdentity identities<7..2^16-1>; PskBinderEntry binders<33..2^16-1>;
        if identities.is_empty() || binders.is_empty() {
            return Err(Malformed::BadLength);
        }
        while !identities.is_empty() {
            PskIdentity::read(&mut identities)?;
        }
        while !binders.is_empty() {
            // `opaque PskBinderEntry<32..255>`; how long one must be follows from the PSK's hash, and only the binder of the
            // PSK that is taken is looked at (RFC 8446 §4.2.11).
            binders.vec8()?;
        }
        Ok(psks)
    }

    pub(crate) fn identities(&self) -> impl Iterator<Item = PskIdentity<'a>> + use<'a> {
        let mut r = Reader::new(self.identities);
        std::iter::from_fn(move || PskIdentity::read(&mut r).ok())
    }

    pub(crate) fn binders(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::new(self.binders);
        std::iter::from_fn(move || r.vec8().ok())
    }

    /// Octets from the end of the identities to the end of the ClientHello: what its binders do not cover.
    pub(crate) const fn binders_len(&self) -> usize {
        self.binders.len().saturating_add(2)
    }
}

impl<'a> PskIdentity<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let identity = r.vec16()?;
        // opaque identity<1..2^16-1>;
        if identity.is_empty() {
            return Err(Malformed::BadLength);
        }
        Ok(Self { identity, obfuscated_ticket_age: r.u32()? })
    }
}

/// psk_key_exchange_modes: which uses of a PSK the client has.
pub(crate) fn read_modes<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    read_list8(r)
}

/// psk_key_exchange_modes with `psk_dhe_ke` alone.
pub(crate) fn put_modes(out: &mut Vec<u8>) {
    put_extension(out, ExtensionType::PSK_KEY_EXCHANGE_MODES, |out| out.put_vec::<1>(|out| out.put_u8(PSK_DHE_KE)));
}

/// pre_shared_key of a ClientHello with one PSK; its binder is zero octets, to be filled in by [`put_binder`].
pub(crate) fn put_offered_psk(out: &mut Vec<u8>, psk: &PskIdentity<'_>, binder_len: usize) {
    put_extension(out, ExtensionType::PRE_SHARED_KEY, |out| {
        out.put_vec::<2>(|out| {
            out.put_vec::<2>(|out| out.put(psk.identity));
            out.put(&psk.obfuscated_ticket_age.to_be_bytes());
        });
        out.put_vec::<2>(|out| {
            out.put_vec::<1>(|out| out.resize(out.len().saturating_add(binder_len), 0));
        });
    });
}

/// The ClientHello up to its identities, of a body that ends with one zero binder (RFC 8446 §4.2.11.2).
pub(crate) fn truncated(body: &[u8], binder_len: usize) -> &[u8] {
    // Behind it stand the lengths of all binders and of the one.
    let end = body.len().saturating_sub(binder_len.saturating_add(3));
    body.get(..end).unwrap_or_default()
}

/// Fills in the binder that ends the body.
pub(crate) fn put_binder(body: &mut [u8], binder: &[u8]) {
    let start = body.len().saturating_sub(binder.len());
    if let Some(place) = body.get_mut(start..).filter(|place| place.len() == binder.len()) {
        place.copy_from_slice(binder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(identities: &[u8], binders: &[u8]) -> Result<(usize, usize), Malformed> {
        let mut body = Vec::new();
        body.put_vec::<2>(|out| out.put(identities));
        body.put_vec::<2>(|out| out.put(binders));
        let mut r = Reader::new(&body);
        let psks = OfferedPsks::read(&mut r)?;
        r.finish()?;
        Ok((psks.identities().count(), psks.binders().count()))
    }

    const IDENTITY: &[u8] = b"\0\x03a\0b\x01\x02\x03\x04";

    fn binder(len: u8) -> Vec<u8> {
        [&[len][..], &vec![7; len.into()]].concat()
    }

    /// Z1, Z2: identities are octets of any length but none, NUL inside and all.
    #[test]
    fn z1_z2_identities_of_all_sizes() {
        assert_eq!(read(IDENTITY, &binder(32)), Ok((1, 1)));
        assert_eq!(read(&[IDENTITY, IDENTITY].concat(), &[binder(48), binder(255)].concat()), Ok((2, 2)));
        for len in [1usize, 2, 255, 256, 65_529] {
            let mut identity = Vec::new();
            identity.put_vec::<2>(|out| out.resize(out.len() + len, 0));
            identity.put(&[0; 4]);
            assert_eq!(read(&identity, &binder(32)), Ok((1, 1)), "{len}");
            let mut r = Reader::new(&identity);
            assert_eq!(PskIdentity::read(&mut r).unwrap().identity.len(), len);
        }
        assert_eq!(read(b"\0\0\0\0\0\0", &binder(32)), Err(Malformed::BadLength));
    }

    #[test]
    fn nothing_is_empty_or_cut() {
        assert_eq!(read(b"", &binder(32)), Err(Malformed::BadLength));
        assert_eq!(read(IDENTITY, b""), Err(Malformed::BadLength));
        // Of a hash that no suite here has: the binder of a PSK that will not be taken.
        assert!(read(IDENTITY, &binder(12)).is_ok());
        for end in 1..IDENTITY.len() {
            assert_eq!(read(&IDENTITY[..end], &binder(32)), Err(Malformed::Truncated), "cut at {end}");
        }
        assert_eq!(read(IDENTITY, &binder(32)[..32]), Err(Malformed::Truncated));
    }

    #[test]
    fn a_binder_is_filled_in_behind_what_it_covers() {
        let mut body = b"hello".to_vec();
        put_offered_psk(&mut body, &PskIdentity { identity: b"ticket", obfuscated_ticket_age: 9 }, 32);
        let covered = truncated(&body, 32).to_vec();
        put_binder(&mut body, &[5; 32]);
        assert_eq!(body, [&covered[..], &[0, 33, 32], &[5; 32]].concat());
        let mut r = Reader::new(&body[5 + 4..]);
        let psks = OfferedPsks::read(&mut r).unwrap();
        assert_eq!(psks.identities().next(), Some(PskIdentity { identity: b"ticket", obfuscated_ticket_age: 9 }));
        assert_eq!(psks.binders().next(), Some(&[5; 32][..]));
        assert_eq!(body.len() - psks.binders_len(), covered.len());
    }
}
