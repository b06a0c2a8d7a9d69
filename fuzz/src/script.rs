//! What one end of a handshake says when nothing happens to it: recorded once for each kind, and opened with the keys that
//! the run has logged. A target plays it again, changed as it likes, under the same keys.

use crate::kinds::{Kind, ORIGIN, client_random, logged};
use crate::provider::{End, provider};
use rustls::SupportedCipherSuite;
use rustls::crypto::tls13::OkmBlock;
use std::sync::Arc;
use std::time::Duration;
use udtls::fuzzing::{Keys, Opening, Records};
use udtls::{Connection, Datagram, Event, ProtocolVersion};

/// Record content types (RFC 9147 §4).
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;
pub const ACK: u8 = 26;

/// Handshake types (RFC 8446 §4).
pub const FINISHED: u8 = 20;

/// A record of the recorded end, without its protection.
#[derive(Clone, Debug)]
pub struct Said {
    pub epoch: u16,
    pub content_type: u8,
    pub payload: Vec<u8>,
    /// Whether it is the last of its datagram.
    pub ends_datagram: bool,
}

/// What is known of a handshake before it is played.
pub struct Script {
    pub kind: &'static Kind,
    /// The end that is recorded.
    pub end: End,
    pub said: Vec<Said>,
    /// The record with the end of its Finished.
    pub finished: usize,
    /// What both export.
    pub exported: [u8; EXPORTED],
    /// By what the other end knows the recorded one.
    pub certificates: usize,
    /// Keys to send by, and to read what the other end sends by, from the first epoch with keys on.
    pub write: Vec<(u16, Keys)>,
    pub read: Vec<(u16, Keys)>,
}

pub const EXPORTED: usize = 32;

/// As many epochs after the first of application data as there are keys for.
const UPDATES: u16 = 4;

impl Script {
    pub fn record(kind: &'static Kind, end: End) -> Self {
        kind.begin();
        let (mut now, mut out) = (*ORIGIN, [0; 2048]);
        let mut ends = End::BOTH.map(|end| kind.new_end(end, now));
        let mut datagrams = Vec::new();
        let mut server_random = Vec::new();
        loop {
            let mut quiet = true;
            for from in End::BOTH {
                while let Some(len) = ends[from as usize].poll_transmit(now, &mut out).expect("room enough") {
                    quiet = false;
                    let mut datagram = out[..len].to_vec();
                    // The random of the last ServerHello that comes whole in plaintext (RFC 5246 §7.4.1.3).
                    if from == End::Server && datagram[0] == HANDSHAKE && datagram[13] == 2 {
                        server_random = datagram[27..59].to_vec();
                    }
                    if from == end {
                        datagrams.push(datagram.clone());
                    }
                    let mut datagram = Datagram::new(&mut datagram);
                    while ends[from.other() as usize].receive(now, &mut datagram).expect("nothing is wrong").is_some() {
                    }
                }
            }
            if !quiet {
                continue;
            }
            let Some(due) = ends.iter().filter_map(Connection::poll_timeout).min() else { break };
            now = now.max(due) + Duration::from_millis(1);
            ends.iter_mut().for_each(|end| end.handle_timeout(now));
        }
        let [one, other] = [0, 1].map(|end| export(&ends[end]).expect("the handshake is complete"));
        assert_eq!(one, other, "the exporters agree");
        ends.iter_mut().for_each(|end| assert_eq!(end.poll_event(), Some(Event::HandshakeComplete)));
        let certificates = ends[end.other() as usize].negotiated().map_or(0, |n| n.peer_certificates().len());
        let suite = ends[0].negotiated().expect("it is complete").cipher_suite();
        let keys = |end| match kind.version {
            ProtocolVersion::DTLS1_3 => keys13(end, suite),
            _ => keys12(end, suite, &server_random),
        };
        let (write, read) = (keys(end), keys(end.other()));
        let said = open(datagrams, &write);
        let finished = said.iter().rposition(|said| said.epoch > 0 && finishes(said));
        let finished = finished.expect("a Finished");
        Self { kind, end, said, finished, exported: one, certificates, write, read }
    }
}

/// Whether a record holds the end of a Finished.
fn finishes(said: &Said) -> bool {
    let mut rest = &said.payload[..];
    while said.content_type == HANDSHAKE
        && let Some((header, after)) = rest.split_at_checked(12)
    {
        if header[0] == FINISHED {
            return true;
        }
        let len = usize::from(header[9]) << 16 | usize::from(header[10]) << 8 | usize::from(header[11]);
        rest = after.get(len..).unwrap_or_default();
    }
    false
}

fn open(datagrams: Vec<Vec<u8>>, keys: &[(u16, Keys)]) -> Vec<Said> {
    let mut records = Records::default();
    // Beyond the fifth they would share bits with earlier ones (RFC 9147 §4.2.2).
    keys.iter().take(2).for_each(|(epoch, keys)| records.install_read(*epoch, keys).expect("later epochs"));
    let mut said = Vec::new();
    for mut datagram in datagrams {
        let mut rest = &mut *datagram;
        while !rest.is_empty() {
            match records.open(&mut rest).expect("its own records") {
                Opening::Record { content_type, epoch, payload, .. } => said.push(Said {
                    epoch: epoch.try_into().expect("an epoch of a handshake"),
                    content_type,
                    payload: payload.to_vec(),
                    ends_datagram: rest.is_empty(),
                }),
                other => panic!("every record opens: {other:?}"),
            }
        }
    }
    said
}

/// What an association exports.
pub fn export(connection: &Connection) -> Option<[u8; EXPORTED]> {
    let mut out = [0; EXPORTED];
    connection.export_keying_material(b"EXPORTER-fuzz", Some(b"context"), &mut out).ok().map(|()| out)
}

// ---- keys, from what was logged (RFC 9850)

fn suite_of(suite: udtls::CipherSuite) -> SupportedCipherSuite {
    let suites = &provider(End::Client).cipher_suites;
    *suites.iter().find(|known| u16::from(known.suite()) == u16::from(suite)).expect("a suite of the provider's")
}

fn keys(suite: udtls::CipherSuite, secret: &[u8], iv: &[u8]) -> Keys {
    let provider: Arc<_> = provider(End::Client);
    Keys::new(&provider, suite, secret, iv).expect("keys of the right lengths")
}

/// RFC 5246 §6.3.
fn keys12(end: End, suite: udtls::CipherSuite, server_random: &[u8]) -> Vec<(u16, Keys)> {
    let SupportedCipherSuite::Tls12(with_prf) = suite_of(suite) else { panic!("a suite of DTLS 1.2") };
    let (key, iv) = match suite {
        udtls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => (16, 4),
        _ => (32, 12),
    };
    let client_random = client_random();
    let seed = [server_random, &client_random].concat();
    let mut block = vec![0; 2 * (key + iv)];
    let master = logged("CLIENT_RANDOM").expect("a master secret");
    with_prf.prf_provider.for_secret(&mut block, &master, b"key expansion", &seed);
    let (client, rest) = block.split_at(key);
    let (server, ivs) = rest.split_at(key);
    let (client_iv, server_iv) = ivs.split_at(iv);
    let (secret, iv) = if end == End::Client { (client, client_iv) } else { (server, server_iv) };
    vec![(1, keys(suite, secret, iv))]
}

/// RFC 8446 §7.2, with the label prefix of RFC 9147 §5.9.
fn keys13(end: End, suite: udtls::CipherSuite) -> Vec<(u16, Keys)> {
    let SupportedCipherSuite::Tls13(with_hkdf) = suite_of(suite) else { panic!("a suite of DTLS 1.3") };
    let labels = match end {
        End::Client => ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"],
        End::Server => ["SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"],
    };
    let [handshake, mut secret] = labels.map(|label| logged(label).expect("a secret"));
    let mut all = vec![(2, keys(suite, &handshake, &[]))];
    for epoch in 3..=3 + UPDATES {
        all.push((epoch, keys(suite, &secret, &[])));
        let expander = with_hkdf.hkdf_provider.expander_for_okm(&OkmBlock::new(&secret));
        let mut next = vec![0; secret.len()];
        let [high, low] = u16::try_from(next.len()).expect("a hash's length").to_be_bytes();
        expander.expand_slice(&[&[high, low, 17], b"dtls13traffic upd", &[0]], &mut next).expect("a hash's length");
        secret = next;
    }
    all
}
