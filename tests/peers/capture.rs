//! Datagrams as a pcap file, which needs no privilege: each in an IPv4 and a UDP header that tshark takes for real.

use crate::link::Seen;
use std::net::SocketAddr;

/// The file: a header, then each packet with its own.
pub(crate) fn pcap(datagrams: &[Seen]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [MAGIC, VERSION, 0, 0, SNAPLEN, LINKTYPE_IPV4] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    let Some(first) = datagrams.first() else { return out };
    for seen in datagrams {
        let packet = packet(seen);
        let len = u32::try_from(packet.len()).unwrap();
        let at = seen.at.saturating_duration_since(first.at);
        for field in [u32::try_from(at.as_secs()).unwrap(), at.subsec_micros(), len, len] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&packet);
    }
    out
}

/// RFC 791 and RFC 768, without checksums.
fn packet(seen: &Seen) -> Vec<u8> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (seen.from, seen.to) else { panic!("the tests use IPv4") };
    let udp_len = u16::try_from(seen.bytes.len() + 8).unwrap();
    let mut out = vec![0x45, 0];
    out.extend_from_slice(&(udp_len + 20).to_be_bytes());
    // Identification, flags, time to live, UDP, header checksum.
    out.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
    out.extend_from_slice(&from.ip().octets());
    out.extend_from_slice(&to.ip().octets());
    for field in [from.port(), to.port(), udp_len, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(&seen.bytes);
    out
}

/// Microseconds, in our byte order.
const MAGIC: u32 = 0xa1b2_c3d4;
/// 2.4, the minor number in the upper half.
const VERSION: u32 = 4 << 16 | 2;
const SNAPLEN: u32 = 65_535;
/// Packets begin with an IPv4 header.
const LINKTYPE_IPV4: u32 = 228;
