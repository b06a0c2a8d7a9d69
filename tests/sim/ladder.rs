//! What was sent, lost and received, in the order of virtual time: compared when a run is repeated, printed when one fails.

use crate::keys::{Content, contents};
use std::fmt;
use std::time::Duration;

/// One of the two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Client,
    Server,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One event on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    pub(crate) at: Duration,
    /// Who sent the datagram.
    pub(crate) from: End,
    /// The datagram's place in the order in which both ends sent; noise has none.
    pub(crate) ordinal: Option<usize>,
    pub(crate) what: What,
    pub(crate) datagram: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Sent,
    Lost,
    TooLong,
    Altered,
    Received,
}

/// All events of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ladder {
    pub(crate) rungs: Vec<Rung>,
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  time [ms]      client         server")?;
        for rung in &self.rungs {
            let arrow = match (rung.from, rung.what) {
                (End::Client, What::Sent) => "|--->       ",
                (End::Client, What::Lost) => "|---x       ",
                (End::Client, What::TooLong) => "|---] (MTU) ",
                (End::Client, What::Altered) => "|-~-        ",
                (End::Client, What::Received) => "       --->|",
                (End::Server, What::Sent) => "       <---|",
                (End::Server, What::Lost) => "       x---|",
                (End::Server, What::TooLong) => " (MTU) [---|",
                (End::Server, What::Altered) => "        -~-|",
                (End::Server, What::Received) => "|<---       ",
            };
            let ordinal = rung.ordinal.map_or_else(|| "noise".into(), |n| format!("#{n}"));
            let (ms, len) = (rung.at.as_secs_f64() * 1e3, rung.datagram.len());
            writeln!(f, "{ms:>14.6} {arrow} {ordinal:>5} {len:>5} B  {}", describe(rung.from, &rung.datagram))?;
        }
        Ok(())
    }
}

/// The length of the first record of a datagram, as its header says (RFC 9147 §4, §4.1).
pub(crate) fn first_record_len(datagram: &[u8]) -> Option<usize> {
    let field = |at: usize| Some(usize::from(u16::from_be_bytes([*datagram.get(at)?, *datagram.get(at + 1)?])));
    match datagram.first()? {
        0x20..=0x3F => {
            let header = unified_header_len(datagram[0]);
            let has_length = datagram[0] & 0x04 != 0;
            Some(if has_length { header + field(header - 2)? } else { datagram.len() })
        }
        _ => Some(13 + field(11)?),
    }
}

/// RFC 9147 §4: first octet, sequence number, length; connection IDs are not used here.
fn unified_header_len(first: u8) -> usize {
    1 + if first & 0x08 == 0 { 1 } else { 2 } + if first & 0x04 == 0 { 0 } else { 2 }
}

/// Leaves half of a record's payload.
pub(crate) fn halve(record: &mut Vec<u8>) {
    let header = match record.first() {
        Some(first @ 0x20..=0x3F) => unified_header_len(*first),
        _ => 13,
    };
    let half = record.len().saturating_sub(header) / 2;
    record.truncate(header + half);
    // Unified headers have no length but where both ends write one, as they do here.
    if let (Some(field), Ok(half)) = (record.get_mut(header - 2..header), u16::try_from(half)) {
        field.copy_from_slice(&half.to_be_bytes());
    }
}

/// The records of a datagram; what is none stays with the last.
pub(crate) fn split_records(datagram: &[u8]) -> Vec<&[u8]> {
    let mut rest = datagram;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, after) = first_record_len(rest).and_then(|len| rest.split_at_checked(len)).unwrap_or((rest, &[]));
        records.push(record);
        rest = after;
    }
    records
}

/// The records of a datagram, as far as one sees them, with the keys of the run that was the thread's last.
fn describe(from: End, datagram: &[u8]) -> String {
    let mut rest = datagram;
    let mut records = Vec::new();
    while let Some(first) = rest.first() {
        let Some((record, after)) = first_record_len(rest).and_then(|len| rest.split_at_checked(len)) else {
            records.push(format!("({} octets that are no record)", rest.len()));
            break;
        };
        records.push(match first {
            0x20..=0x3F => format!("epoch ..{} {}", first & 0x03, protected(from, record)),
            _ if record.len() < 13 => "(short)".into(),
            _ => describe_classic(record),
        });
        rest = after;
    }
    records.join(" | ")
}

fn protected(from: End, record: &[u8]) -> String {
    let contents: Vec<_> = contents(from, record)
        .into_iter()
        .map(|content| match content {
            Content::Message(fragment) => {
                format!(
                    "{}({}) {}+{}",
                    message_name(fragment.message),
                    fragment.message_seq,
                    fragment.offset,
                    fragment.len
                )
            }
            other => format!("{other:?}"),
        })
        .collect();
    if contents.is_empty() { "protected".into() } else { contents.join(", ") }
}

fn describe_classic(record: &[u8]) -> String {
    let (header, mut payload) = record.split_at(13);
    let epoch = u16::from_be_bytes([header[3], header[4]]);
    let sequence = header[5..11].iter().fold(0u64, |n, octet| n << 8 | u64::from(*octet));
    let content = match header[0] {
        _ if epoch > 0 => "protected".into(),
        20 => "ChangeCipherSpec".into(),
        21 => format!("Alert {payload:?}"),
        26 => "ACK".into(),
        22 => {
            let mut fragments = Vec::new();
            while let Some((header, body)) = payload.split_at_checked(12) {
                let number = |range: &[u8]| range.iter().fold(0usize, |n, octet| n << 8 | usize::from(*octet));
                let (from, len, of) = (number(&header[6..9]), number(&header[9..12]), number(&header[1..4]));
                let name = message_name(header[0]);
                fragments.push(format!("{name}({}) {from}+{len}/{of}", number(&header[4..6])));
                payload = body.get(len..).unwrap_or_default();
            }
            fragments.join(", ")
        }
        other => format!("type {other}"),
    };
    format!("{epoch}.{sequence} {content}")
}

fn message_name(message_type: u8) -> String {
    match message_type {
        1 => "ClientHello".into(),
        2 => "ServerHello".into(),
        3 => "HelloVerifyRequest".into(),
        4 => "NewSessionTicket".into(),
        8 => "EncryptedExtensions".into(),
        11 => "Certificate".into(),
        12 => "ServerKeyExchange".into(),
        13 => "CertificateRequest".into(),
        14 => "ServerHelloDone".into(),
        15 => "CertificateVerify".into(),
        16 => "ClientKeyExchange".into(),
        20 => "Finished".into(),
        24 => "KeyUpdate".into(),
        other => format!("message {other}"),
    }
}
