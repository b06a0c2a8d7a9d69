//! The ECDHE key exchange messages of DTLS 1.2 (RFC 8422 §5.4, §5.7).

use super::certificate::DigitallySigned;
use super::codec::{Malformed, Put, Reader};
use super::enums::NamedGroup;

/// ECCurveType named_curve: the only one left (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;

/// A signed ECDHE ServerKeyExchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerKeyExchange<'a> {
    pub(crate) group: NamedGroup,
    pub(crate) public: &'a [u8],
    /// The octets that the signature covers after both randoms.
    pub(crate) params: &'a [u8],
    pub(crate) signed: DigitallySigned<'a>,
}

impl<'a> ServerKeyExchange<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        if r.u8()? != NAMED_CURVE {
            return Err(Malformed::BadValue);
        }
        let group = NamedGroup(r.u16()?);
        let public = super::extensions::read_list8(&mut r)?;
        let params_len = body.len().saturating_sub(r.remaining());
        let params = body.get(..params_len).ok_or(Malformed::Truncated)?;
        let signed = DigitallySigned::read(&mut r)?;
        r.finish()?;
        Ok(Self { group, public, params, signed })
    }

    /// Appends ServerECDHParams: what is signed, and what a ServerKeyExchange begins with.
    pub(crate) fn put_params(out: &mut Vec<u8>, group: NamedGroup, public: &[u8]) {
        out.put_u8(NAMED_CURVE);
        out.put_u16(group.0);
        out.put_vec::<1>(|out| out.put(public));
    }
}

/// Reads ClientKeyExchange: the client's public key (RFC 8422 §5.7).
pub(crate) fn read_client_key_exchange(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut r = Reader::new(body);
    let public = super::extensions::read_list8(&mut r)?;
    r.finish()?;
    Ok(public)
}

pub(crate) fn put_client_key_exchange(out: &mut Vec<u8>, public: &[u8]) {
    out.put_vec::<1>(|out| out.put(public));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SignatureScheme;

    #[test]
    fn server_key_exchange_round_trip() {
        let mut out = Vec::new();
        ServerKeyExchange::put_params(&mut out, NamedGroup::X25519, &[5; 32]);
        let params = out.clone();
        DigitallySigned { scheme: SignatureScheme::ED25519, signature: &[1, 2] }.put(&mut out);
        let read = ServerKeyExchange::read(&out).unwrap();
        assert_eq!((read.group, read.params), (NamedGroup::X25519, &params[..]));
        assert_eq!(read.signed.signature, [1, 2]);
        out[0] = 1;
        assert_eq!(ServerKeyExchange::read(&out).err(), Some(Malformed::BadValue));
    }
}
