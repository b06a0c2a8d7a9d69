//! Certificate, CertificateRequest and CertificateVerify of both versions
//! (RFC 5246 §7.4.2, §7.4.4, §7.4.8; RFC 8446 §4.3.2, §4.4.2, §4.4.3).

use super::codec::{Malformed, Put, Reader};
use super::compression::{put_algorithms, read_algorithms};
use super::enums::{ExtensionType, SignatureScheme};
use super::extensions::{Extensions, List16, put_extension};
use super::stapling::{Staples, read_certificate_status, read_timestamps};

/// More certificates than this in one chain are refused: no path is that long.
const MAX_CHAIN: usize = 64;

/// Reads the Certificate message of DTLS 1.2: the chain, end entity first, possibly empty.
pub(crate) fn read_certificate12(body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut r = Reader::new(body);
    let mut list = Reader::new(r.vec24()?);
    r.finish()?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        push_certificate(&mut chain, list.vec24()?)?;
    }
    Ok(chain)
}

pub(crate) fn put_certificate12<'c>(out: &mut Vec<u8>, chain: impl Iterator<Item = &'c [u8]>) {
    out.put_vec::<3>(|out| chain.for_each(|certificate| out.put_vec::<3>(|out| out.put(certificate))));
}

/// The Certificate message of DTLS 1.3.
#[derive(Clone, Debug)]
pub(crate) struct Certificate13<'a> {
    pub(crate) context: &'a [u8],
    pub(crate) chain: Vec<&'a [u8]>,
    /// Of each entry: none may appear that was not asked for (RFC 8446 §4.4.2).
    pub(crate) extensions: Vec<Extensions<'a>>,
}

impl<'a> Certificate13<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let context = r.vec8()?;
        let mut list = Reader::new(r.vec24()?);
        r.finish()?;
        let (mut chain, mut extensions) = (Vec::new(), Vec::new());
        while !list.is_empty() {
            push_certificate(&mut chain, list.vec24()?)?;
            extensions.push(Extensions::read(&mut list)?);
        }
        Ok(Self { context, chain, extensions })
    }

    /// What came along with the end entity's certificate. What came along with an issuer's is of no use here, and to be
    /// well-formed nevertheless (RFC 8446 §4.4.2.1).
    pub(crate) fn staples(&self) -> Result<Staples<'a>, Malformed> {
        let mut of_end_entity = Staples::default();
        for entry in self.extensions.iter().rev() {
            let ocsp_response = entry.parse(ExtensionType::STATUS_REQUEST, read_certificate_status)?;
            let timestamps = entry.parse(ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, read_timestamps)?;
            let (ocsp_response, timestamps) = (ocsp_response.unwrap_or_default(), timestamps.unwrap_or_default());
            of_end_entity = Staples { ocsp_response, timestamps };
        }
        Ok(of_end_entity)
    }

    /// Appends a Certificate; `extensions` writes those of the end entity's entry.
    pub(crate) fn put<'c>(
        out: &mut Vec<u8>,
        context: &[u8],
        mut chain: impl Iterator<Item = &'c [u8]>,
        extensions: impl FnOnce(&mut Vec<u8>),
    ) {
        out.put_vec::<1>(|out| out.put(context));
        out.put_vec::<3>(|out| {
            if let Some(end_entity) = chain.next() {
                out.put_vec::<3>(|out| out.put(end_entity));
                out.put_vec::<2>(extensions);
            }
            chain.for_each(|certificate| {
                out.put_vec::<3>(|out| out.put(certificate));
                out.put_u16(0);
            });
        });
    }
}

fn push_certificate<'a>(chain: &mut Vec<&'a [u8]>, certificate: &'a [u8]) -> Result<(), Malformed> {
    if certificate.is_empty() || chain.len() >= MAX_CHAIN {
        return Err(Malformed::BadLength);
    }
    chain.push(certificate);
    Ok(())
}

/// What a CertificateRequest of either version asks for.
#[derive(Clone, Debug)]
pub(crate) struct CertificateRequest<'a> {
    /// certificate_request_context; empty in the handshake, absent in 1.2.
    pub(crate) context: &'a [u8],
    /// ClientCertificateType values; 1.2 only.
    pub(crate) certificate_types: &'a [u8],
    pub(crate) signature_schemes: List16<'a, SignatureScheme>,
    /// DER distinguished names.
    pub(crate) authorities: Vec<&'a [u8]>,
    /// How our Certificate may be compressed; 1.3 only (RFC 8879 §3).
    pub(crate) compression: Option<List16<'a, u16>>,
}

/// ClientCertificateType rsa_sign (RFC 5246 §7.4.4).
pub(crate) const RSA_SIGN: u8 = 1;
/// ClientCertificateType ecdsa_sign (RFC 8422 §5.5), also for Ed25519.
pub(crate) const ECDSA_SIGN: u8 = 64;

impl<'a> CertificateRequest<'a> {
    /// RFC 5246 §7.4.4.
    pub(crate) fn read12(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let certificate_types = super::extensions::read_list8(&mut r)?;
        let signature_schemes = List16::read(&mut r)?;
        let authorities = read_authorities(r.vec16()?)?;
        r.finish()?;
        Ok(Self { context: &[], certificate_types, signature_schemes, authorities, compression: None })
    }

    /// RFC 8446 §4.3.2. `Ok(None)` where signature_algorithms, which must be there, is missing.
    pub(crate) fn read13(body: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut r = Reader::new(body);
        let context = r.vec8()?;
        let extensions = Extensions::read(&mut r)?;
        r.finish()?;
        let authorities = extensions.parse(ExtensionType::CERTIFICATE_AUTHORITIES, read_certificate_authorities)?;
        let schemes = extensions.parse(ExtensionType::SIGNATURE_ALGORITHMS, List16::read)?;
        let compression = extensions.parse(ExtensionType::COMPRESS_CERTIFICATE, read_algorithms)?;
        Ok(schemes.map(|signature_schemes| Self {
            context,
            certificate_types: &[],
            signature_schemes,
            authorities: authorities.unwrap_or_default(),
            compression,
        }))
    }

    pub(crate) fn put12<'n>(
        out: &mut Vec<u8>,
        schemes: &[SignatureScheme],
        authorities: impl Iterator<Item = &'n [u8]>,
    ) {
        out.put_vec::<1>(|out| out.put(&[ECDSA_SIGN, RSA_SIGN]));
        out.put_vec::<2>(|out| schemes.iter().for_each(|scheme| out.put_u16(scheme.0)));
        out.put_vec::<2>(|out| put_authorities(out, authorities));
    }

    pub(crate) fn put13<'n>(
        out: &mut Vec<u8>,
        schemes: &[SignatureScheme],
        authorities: impl ExactSizeIterator<Item = &'n [u8]>,
        compression: impl ExactSizeIterator<Item = u16>,
    ) {
        out.put_u8(0);
        out.put_vec::<2>(|out| {
            super::extensions::put_list16(out, ExtensionType::SIGNATURE_ALGORITHMS, schemes);
            if authorities.len() > 0 {
                put_certificate_authorities(out, authorities);
            }
            if compression.len() > 0 {
                put_algorithms(out, compression);
            }
        });
    }
}

/// Appends the extension certificate_authorities.
pub(crate) fn put_certificate_authorities<'n>(out: &mut Vec<u8>, names: impl Iterator<Item = &'n [u8]>) {
    put_extension(out, ExtensionType::CERTIFICATE_AUTHORITIES, |out| {
        out.put_vec::<2>(|out| put_authorities(out, names));
    });
}

/// The extension certificate_authorities, which is not empty (RFC 8446 §4.2.4).
pub(crate) fn read_certificate_authorities<'a>(r: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let names = read_authorities(r.vec16()?)?;
    if names.is_empty() { Err(Malformed::BadLength) } else { Ok(names) }
}

/// The same, without keeping anything of it.
pub(crate) fn check_certificate_authorities(r: &mut Reader<'_>) -> Result<(), Malformed> {
    let list = r.vec16()?;
    if list.is_empty() {
        return Err(Malformed::BadLength);
    }
    authorities(list).try_for_each(|name| name.map(drop))
}

fn read_authorities(list: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    authorities(list).collect()
}

/// `DistinguishedName authorities`, each with something in it; ends with the first that is wrong.
fn authorities(list: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    let mut r = Reader::new(list);
    std::iter::from_fn(move || match r.is_empty() {
        true => None,
        false => Some(r.vec16().and_then(|name| if name.is_empty() { Err(Malformed::BadLength) } else { Ok(name) })),
    })
}

fn put_authorities<'n>(out: &mut Vec<u8>, names: impl Iterator<Item = &'n [u8]>) {
    names.for_each(|name| out.put_vec::<2>(|out| out.put(name)));
}

/// A signature with its scheme: CertificateVerify of both versions, and the end of a ServerKeyExchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigitallySigned<'a> {
    pub(crate) scheme: SignatureScheme,
    pub(crate) signature: &'a [u8],
}

impl<'a> DigitallySigned<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { scheme: SignatureScheme(r.u16()?), signature: r.vec16()? })
    }

    /// A whole CertificateVerify.
    pub(crate) fn read_certificate_verify(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let signed = Self::read(&mut r)?;
        r.finish()?;
        Ok(signed)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(self.scheme.0);
        out.put_vec::<2>(|out| out.put(self.signature));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_both_versions() {
        let mut out = Vec::new();
        put_certificate12(&mut out, [&b"leaf"[..], b"ca"].into_iter());
        assert_eq!(read_certificate12(&out).unwrap(), [&b"leaf"[..], b"ca"]);
        assert_eq!(read_certificate12(&[0, 0, 3, 0, 0, 0]).err(), Some(Malformed::BadLength));
        let mut out = Vec::new();
        Certificate13::put(&mut out, b"", [&b"leaf"[..]].into_iter(), |_| ());
        assert_eq!(Certificate13::read(&out).unwrap().chain, [b"leaf"]);
        out.push(0);
        assert_eq!(Certificate13::read(&out).err(), Some(Malformed::TrailingData));
    }

    /// Long chains exist, and yet nothing is gained by reading one without end.
    #[test]
    fn chains_of_up_to_64_are_read() {
        for (len, expected) in [(MAX_CHAIN, Ok(64)), (MAX_CHAIN + 1, Err(Malformed::BadLength))] {
            let chain = || std::iter::repeat_n(&b"certificate"[..], len);
            let (mut old, mut new) = (Vec::new(), Vec::new());
            put_certificate12(&mut old, chain());
            assert_eq!(read_certificate12(&old).map(|chain| chain.len()), expected);
            Certificate13::put(&mut new, b"", chain(), |_| ());
            assert_eq!(Certificate13::read(&new).map(|certificate| certificate.chain.len()), expected);
        }
    }

    #[test]
    fn certificate_requests_of_both_versions() {
        let schemes = [SignatureScheme::ED25519];
        let mut out = Vec::new();
        CertificateRequest::put12(&mut out, &schemes, [&b"name"[..]].into_iter());
        let read = CertificateRequest::read12(&out).unwrap();
        assert_eq!(read.authorities, [b"name"]);
        let mut out = Vec::new();
        CertificateRequest::put13(&mut out, &schemes, [&b"name"[..]].into_iter(), [1].into_iter());
        let read = CertificateRequest::read13(&out).unwrap().unwrap();
        assert!(read.signature_schemes.contains(&SignatureScheme::ED25519));
        assert_eq!(read.authorities, [b"name"]);
        assert!(CertificateRequest::read13(&[0, 0, 0]).unwrap().is_none());
    }
}
