//! Compressed certificates (RFC 8879).

use super::codec::{Malformed, Put, Reader};
use super::enums::ExtensionType;
use super::extensions::{List16, put_extension};

/// The extension compress_certificate: `CertificateCompressionAlgorithm algorithms<2..2^8-2>` (RFC 8879 §3).
pub(crate) fn read_algorithms<'a>(r: &mut Reader<'a>) -> Result<List16<'a, u16>, Malformed> {
    List16::new(r.vec8()?)
}

pub(crate) fn put_algorithms(out: &mut Vec<u8>, algorithms: impl Iterator<Item = u16>) {
    put_extension(out, ExtensionType::COMPRESS_CERTIFICATE, |out| {
        out.put_vec::<1>(|out| algorithms.for_each(|algorithm| out.put_u16(algorithm)));
    });
}

/// The message CompressedCertificate (RFC 8879 §4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompressedCertificate<'a> {
    pub(crate) algorithm: u16,
    pub(crate) uncompressed_length: usize,
    pub(crate) compressed: &'a [u8],
}

impl<'a> CompressedCertificate<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let read = Self { algorithm: r.u16()?, uncompressed_length: r.u24()?, compressed: r.vec24()? };
        r.finish()?;
        if read.compressed.is_empty() { Err(Malformed::BadLength) } else { Ok(read) }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let [.., a, b, c] = self.uncompressed_length.to_be_bytes();
        out.put_u16(self.algorithm);
        out.put(&[a, b, c]);
        out.put_vec::<3>(|out| out.put(self.compressed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_messages_only() {
        let mut out = Vec::new();
        CompressedCertificate { algorithm: 1, uncompressed_length: 0x10203, compressed: b"less" }.put(&mut out);
        assert_eq!(out, b"\0\x01\x01\x02\x03\0\0\x04less");
        let read = CompressedCertificate::read(&out).unwrap();
        assert_eq!((read.algorithm, read.uncompressed_length, read.compressed), (1, 0x10203, &b"less"[..]));
        (0..out.len()).for_each(|end| assert!(CompressedCertificate::read(&out[..end]).is_err()));
        out.push(0);
        assert!(CompressedCertificate::read(&out).is_err());
        assert!(CompressedCertificate::read(&[0, 1, 0, 0, 1, 0, 0, 0]).is_err());
    }
}
