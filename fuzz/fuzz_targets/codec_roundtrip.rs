//! decode → encode → decode: what was read can be written, what was written is read as the same, and is then a fixed point.

#![no_main]

use libfuzzer_sys::fuzz_target;
use udtls::fuzzing::Structure;
use udtls_fuzz as _;

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let structure = Structure::ALL[usize::from(*first) % Structure::ALL.len()];
    let mut seen = String::new();
    let Ok(written) = structure.rewrite(bytes, &mut |value| seen += &format!("{value:?}")) else { return };
    let Some(written) = written else { return };
    let mut seen_again = String::new();
    let again = structure.rewrite(&written, &mut |value| seen_again += &format!("{value:?}"));
    let again = again.expect("what was written can be read").expect("and written again");
    assert_eq!(again, written, "{structure:?}: writing is stable");
    if is_whole(structure, bytes) {
        assert_eq!(seen_again, seen, "{structure:?}: nothing is lost");
        assert_eq!(written, bytes, "{structure:?}: one value has one form");
    }
});

/// Whether the crate writes all that such a message can say. Hellos it writes with the version and the compression method of
/// its own; what it does not use of a ticket, a request or a list of names it leaves out.
fn is_whole(structure: Structure, bytes: &[u8]) -> bool {
    match structure {
        Structure::ClientHello => {
            // Version; null compression alone; and extensions, which may be missing altogether.
            let compression = || {
                let session_id = usize::from(*bytes.get(34)?);
                let cookie = usize::from(*bytes.get(35 + session_id)?);
                let at = 36 + session_id + cookie;
                let suites = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
                bytes.get(at + 2 + suites..)
            };
            bytes.starts_with(&[0xfe, 0xfd]) && matches!(compression(), Some([1, 0, _, ..]))
        }
        Structure::ServerHello => {
            let compression = || bytes.get(37 + usize::from(*bytes.get(34)?)..);
            bytes.starts_with(&[0xfe, 0xfd]) && matches!(compression(), Some([0, _, ..]))
        }
        Structure::HelloVerifyRequest => bytes.starts_with(&[0xfe, 0xff]),
        Structure::NewSessionTicket13 => bytes.ends_with(&[0, 0]) && !has_extensions(bytes),
        Structure::CertificateRequest12 => bytes.starts_with(&[2, 64, 1]),
        Structure::CertificateRequest13 | Structure::ServerName => false,
        _ => true,
    }
}

/// Of a NewSessionTicket of DTLS 1.3.
fn has_extensions(bytes: &[u8]) -> bool {
    let ticket = || {
        let nonce = usize::from(*bytes.get(8)?);
        let at = 9 + nonce;
        let ticket = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        Some(bytes.len() != at + 2 + ticket + 2)
    };
    ticket().unwrap_or(true)
}
