//! What a server sends along with its certificate: a stapled OCSP response (RFC 6066 §8, RFC 8446 §4.4.2.1) and signed
//! certificate timestamps (RFC 6962 §3.3.1).

use super::codec::{Malformed, Put, Reader};
use super::enums::ExtensionType;
use super::extensions::put_extension;

/// CertificateStatusType `ocsp`, the only one (RFC 6066 §8).
const OCSP: u8 = 1;

/// What came along with the end entity's certificate, as it was sent; empty where there was nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Staples<'a> {
    pub(crate) ocsp_response: &'a [u8],
    /// `SignedCertificateTimestampList` without its length.
    pub(crate) timestamps: &'a [u8],
}

/// A client's status_request: whether it is for OCSP. Which responders it trusts is of no use here.
pub(crate) fn read_status_request(r: &mut Reader<'_>) -> Result<bool, Malformed> {
    if r.u8()? != OCSP {
        r.take(r.remaining())?;
        return Ok(false);
    }
    r.vec16()?;
    r.vec16()?;
    Ok(true)
}

/// Asks for an OCSP response, from any responder.
pub(crate) fn put_status_request(out: &mut Vec<u8>) {
    put_extension(out, ExtensionType::STATUS_REQUEST, |out| {
        out.put_u8(OCSP);
        out.put_u16(0);
        out.put_u16(0);
    });
}

/// `CertificateStatus`: a message in DTLS 1.2, an extension of a CertificateEntry in 1.3.
pub(crate) fn read_certificate_status<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    if r.u8()? != OCSP {
        return Err(Malformed::BadValue);
    }
    let response = r.vec24()?;
    if response.is_empty() { Err(Malformed::BadLength) } else { Ok(response) }
}

/// The message of DTLS 1.2.
pub(crate) fn read_certificate_status_message(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut r = Reader::new(body);
    let response = read_certificate_status(&mut r)?;
    r.finish().map(|()| response)
}

pub(crate) fn put_certificate_status(out: &mut Vec<u8>, response: &[u8]) {
    out.put_u8(OCSP);
    out.put_vec::<3>(|out| out.put(response));
}

/// `SignedCertificateTimestampList`, whole and not empty, without its length.
pub(crate) fn read_timestamps<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let list = r.vec16()?;
    let mut entries = Reader::new(list);
    if list.is_empty() {
        return Err(Malformed::BadLength);
    }
    while !entries.is_empty() {
        if entries.vec16()?.is_empty() {
            return Err(Malformed::BadLength);
        }
    }
    Ok(list)
}

/// The timestamps of a list that was read.
pub(crate) fn timestamps(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut r = Reader::new(list);
    std::iter::from_fn(move || r.vec16().ok())
}

/// Appends the extension with a list that is not empty.
pub(crate) fn put_timestamps(out: &mut Vec<u8>, list: &[u8]) {
    put_extension(out, ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, |out| out.put_vec::<2>(|out| out.put(list)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_status() {
        let mut out = Vec::new();
        put_status_request(&mut out);
        assert_eq!(out, [0, 5, 0, 5, 1, 0, 0, 0, 0]);
        let read = |data: &[u8]| {
            let mut r = Reader::new(data);
            read_status_request(&mut r).and_then(|ocsp| r.finish().map(|()| ocsp))
        };
        assert_eq!(read(&out[4..]), Ok(true));
        assert_eq!(read(&[1, 0, 2, 9, 9, 0, 1, 7]), Ok(true));
        assert_eq!(read(&[7, 1, 2, 3]), Ok(false), "of another type");
        assert!(read(&[]).is_err() && read(&[1, 0, 1]).is_err() && read(&[1, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn statuses_are_never_empty() {
        let mut out = Vec::new();
        put_certificate_status(&mut out, b"response");
        assert_eq!(read_certificate_status_message(&out), Ok(&b"response"[..]));
        out.push(0);
        assert_eq!(read_certificate_status_message(&out), Err(Malformed::TrailingData));
        assert_eq!(read_certificate_status_message(&[1, 0, 0, 0]), Err(Malformed::BadLength));
        assert_eq!(read_certificate_status_message(&[2, 0, 0, 1, 9]), Err(Malformed::BadValue));
    }

    #[test]
    fn timestamps_are_never_empty() {
        let read = |data: &'static [u8]| read_timestamps(&mut Reader::new(data));
        assert_eq!(
            read(&[0, 7, 0, 1, 9, 0, 2, 8, 8]).map(|list| timestamps(list).collect()),
            Ok(vec![&[9][..], &[8, 8]])
        );
        for data in [&[0, 0][..], &[0, 2, 0, 0], &[0, 3, 0, 2, 9], &[0, 5, 0, 1, 9]] {
            assert!(read(data).is_err(), "{data:?}");
        }
    }
}
