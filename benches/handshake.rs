//! What a handshake costs, both ends together in one thread, as a multiple of the bare cryptography (`handshake_floor.rs`).
//!
//! From two configurations to two established associations and back to nothing: full, with certificates of both ends, and
//! resumed, for the groups of both versions; P-256 certificates below a trust anchor, AES-128-GCM, no cookie. Only what is
//! resumed has tickets. At the end stands what was asked of the provider, and of malloc, beside what the floor asks.

#[path = "common/bare.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod bare;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/handshake_floor.rs"]
mod handshake_floor;
#[path = "common/harness.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod harness;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "common/mallocs.rs"]
mod mallocs;
#[path = "common/parties.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod parties;

use counting::{Operation, counted};
use handshake_floor::{Floor, Messages, Proof};
use harness::{Comparison, Harness, Table, time};
use parties::{ClientAuth, Kind, Parties, Sessions, ends, shake_hands};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{CipherSuite, ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

const GROUPS: [NamedGroup; 3] = [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::X25519MLKEM768];

/// For each figure.
const TIME: Duration = Duration::from_secs(6);

/// What a full handshake may cost, as a multiple of its floor.
const BOUND: f64 = 1.15;

/// The same, of its public-key operations alone, by version.
const PUBLIC_KEY_BOUNDS: [f64; 2] = [1.20, 1.35];

/// How many allocations more than the bare cryptography a full handshake may take.
const MALLOCS: usize = 70;

fn main() {
    let harness = Harness::new("handshake");
    let parties = Parties::new();
    let mut times = Table::new(&["version", "handshake", "X25519", "P-256", "X25519MLKEM768"]);
    let mut headings = vec!["version".to_owned(), "handshake".to_owned()];
    headings.extend(Operation::ALL.iter().map(|operation| format!("{operation:?}")));
    let mut counts = Table::new(&headings);
    for (version, public_keys) in VERSIONS.into_iter().zip(PUBLIC_KEY_BOUNDS) {
        for (what, client_auth, proof, against) in [
            ("full", ClientAuth::None, Proof::Certificates, Against::All(Some(BOUND))),
            ("full / public-key operations", ClientAuth::None, Proof::Certificates, Against::PublicKeys(public_keys)),
            ("mutual", ClientAuth::Required, Proof::Certificates, Against::All(Some(BOUND))),
            ("resumed", ClientAuth::None, Proof::Session, Against::All(None)),
        ] {
            let labels = [version.to_string(), what.to_owned()];
            let figures = GROUPS.map(|group| {
                // DTLS 1.2 has no hybrid group, and a resumption no group at all.
                let exists = version == ProtocolVersion::DTLS1_3
                    || group == NamedGroup::X25519
                    || (group == NamedGroup::SECP256R1 && proof == Proof::Certificates);
                let name = format!("{}/{group}", labels.join("/"));
                (exists && harness.wants(&name)).then(|| {
                    let sessions = if proof == Proof::Session { Sessions::Ticket } else { Sessions::None };
                    let kind = Kind { version, group, client_auth, sessions };
                    let messages = messages(&parties, kind);
                    if group == NamedGroup::X25519 && matches!(against, Against::All(_)) {
                        let (library, floor) = count(&name, &parties, kind, proof, messages);
                        let text = library.iter().zip(floor).map(|(library, floor)| format!("{library} / {floor}"));
                        counts.push_text(&labels.iter().cloned().chain(text).collect::<Vec<_>>());
                    }
                    measure(&harness, &parties, kind, proof, messages, against)
                })
            });
            times.push(&labels, &figures);
        }
    }
    harness.finish("", "A handshake, both ends: ours / bare cryptography = ratio", &times);
    harness.finish("-counts", "Operations of the provider, X25519: ours / floor", &counts);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    harness.finish("-mallocs", "Allocations by Rust and C, X25519", &count_mallocs(&parties));
}

/// What is asked of malloc, by Rust and by C, in a full handshake and in the bare calls.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn count_mallocs(parties: &Parties) -> Table {
    let mut table = Table::new(&["version", "ours", "bare cryptography", "more"]);
    for version in VERSIONS {
        let kind = Kind { version, group: NamedGroup::X25519, client_auth: ClientAuth::None, sessions: Sessions::None };
        let (provider, proof) = (Arc::new(aws_lc_rs::default_provider()), Proof::Certificates);
        let acquaintance = Acquaintance::new(&provider, parties, kind, proof);
        let floor = Floor::new(provider, parties, kind, proof, messages(parties, kind));
        floor.run();
        let library = mallocs::mallocs(|| acquaintance.meet_again());
        let bare = mallocs::mallocs(|| floor.run());
        let more = format!("{} (≤ {MALLOCS})", library.saturating_sub(bare));
        table.push_text(&[version.to_string(), library.to_string(), bare.to_string(), more]);
    }
    table
}

/// What a handshake is held against, and how much more it may take.
#[derive(Clone, Copy)]
enum Against {
    /// All its cryptography.
    All(Option<f64>),
    /// Key pairs, agreement, signatures and their verification.
    PublicKeys(f64),
}

/// A client and a server that have met before, if they are to resume.
struct Acquaintance {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    proof: Proof,
    now: Instant,
}

impl Acquaintance {
    fn new(provider: &Arc<CryptoProvider>, parties: &Parties, kind: Kind, proof: Proof) -> Self {
        let suite = match kind.version {
            ProtocolVersion::DTLS1_3 => CipherSuite::TLS_AES_128_GCM_SHA256,
            _ => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        };
        let mut client = parties.client_config(provider, kind);
        client.set_cipher_suites(&[suite]).expect("a suite");
        let server = Arc::new(parties.server_config(provider, kind));
        let acquaintance = Self { client: Arc::new(client), server, proof, now: Instant::now() };
        // The first handshake brings the ticket.
        acquaintance.meet(|_| ());
        acquaintance
    }

    fn meet(&self, see: impl FnMut(&[u8])) -> HandshakeKind {
        let (mut client, mut server) = ends(&self.client, &self.server, self.now);
        shake_hands(&mut client, &mut server, self.now, see);
        black_box(client.negotiated().expect("an association").handshake_kind())
    }

    /// A handshake of the kind that is measured.
    fn meet_again(&self) {
        let expected = if self.proof == Proof::Session { HandshakeKind::Resumed } else { HandshakeKind::Full };
        assert_eq!(self.meet(|_| ()), expected);
    }
}

fn measure(
    harness: &Harness,
    parties: &Parties,
    kind: Kind,
    proof: Proof,
    messages: Messages,
    against: Against,
) -> Comparison {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let acquaintance = Acquaintance::new(&provider, parties, kind, proof);
    let floor = Floor::new(provider, parties, kind, proof, messages);
    let subject = || time(1, || acquaintance.meet_again());
    match against {
        Against::All(bound) => harness.compare(TIME, 1, subject, || time(1, || floor.run())).with_bound(bound),
        Against::PublicKeys(bound) => {
            harness.compare(TIME, 1, subject, || time(1, || floor.public_keys())).with_bound(Some(bound))
        }
    }
}

/// What is asked of the provider in a handshake, by the library and by the floor.
fn count(
    name: &str,
    parties: &Parties,
    kind: Kind,
    proof: Proof,
    messages: Messages,
) -> ([usize; Operation::ALL.len()], [usize; Operation::ALL.len()]) {
    let provider = counting::provider();
    let acquaintance = Acquaintance::new(&provider, parties, kind, proof);
    let library = counted(|| acquaintance.meet_again());
    let floor = Floor::new(provider, parties, kind, proof, messages);
    (library, floor.check(name, library))
}

/// How long the messages are, from what can be read on the wire.
fn messages(parties: &Parties, kind: Kind) -> Messages {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let acquaintance = Acquaintance::new(&provider, parties, kind, Proof::Certificates);
    let mut hellos = [0; 3];
    acquaintance.meet(|datagram| {
        let mut rest = datagram;
        // Plaintext records of handshake messages: header of 13 octets, whose last two are the length (RFC 6347 §4.1).
        while let [22, 0xfe, _, 0, 0, ..] = rest {
            let len = usize::from(u16::from_be_bytes([rest[11], rest[12]]));
            let (record, after) = rest[13..].split_at(len);
            rest = after;
            let mut fragments = record;
            // Type, length of 24 bits, number, offset and length of the fragment (RFC 6347 §4.2.2).
            while let [ty, _, high, low, _, _, offset @ ..] = fragments
                && let [_, o1, o0, _, f1, f0, ..] = offset
            {
                let (length, fragment) = (u16::from_be_bytes([*high, *low]), u16::from_be_bytes([*f1, *f0]));
                if [*o1, *o0] == [0, 0] && (1..=2).contains(ty) {
                    hellos[usize::from(*ty)] = usize::from(length);
                }
                fragments = &fragments[12 + usize::from(fragment)..];
            }
        }
    });
    let header = if kind.version == ProtocolVersion::DTLS1_3 { 4 } else { 12 };
    let [_, client_hello, server_hello] = hellos.map(|len| header + len);
    // A list of one certificate: lengths of the list and of the certificate, and in DTLS 1.3 no context and no extensions.
    Messages { client_hello, server_hello, certificate: header + 6 + parties.certificate_len() }
}
