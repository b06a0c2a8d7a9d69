//! An association as its embedder and its enemies see it: two ends joined by datagrams, virtual time, and whatever else
//! arrives.

mod clauses;
mod discard;
mod ends;
mod extensions;
mod hello_versions;
mod keys;
mod patterns;
mod pending;
mod rest;
mod timers;
mod trace;

use super::{Connection, Datagram, Event};
use crate::config::{ClientConfig, ServerConfig, TransportConfig};
use crate::error::Error;
use crate::verify::Fingerprint;
use crate::wire::{
    NamedGroup, ProtocolVersion,
    enums::{ContentType, HandshakeType},
    handshake::FragmentHeader,
    post_handshake::KeyUpdateRequest,
    record::PlaintextHeader,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];
const SECOND: Duration = Duration::from_secs(1);

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Identity { certificate: made.cert.der().clone(), key }
});

/// What a test chooses.
#[derive(Clone)]
struct Setup {
    version: ProtocolVersion,
    transport: TransportConfig,
    mutual: bool,
    /// The server wants another group than the one that the client shares.
    retry: bool,
}

impl Setup {
    fn new(version: ProtocolVersion) -> Self {
        Self { version, transport: TransportConfig::new(), mutual: false, retry: false }
    }

    /// Every kind of handshake.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for version in VERSIONS {
            for mutual in [false, true] {
                for retry in [false, true] {
                    if !retry || version == ProtocolVersion::DTLS1_3 {
                        all.push(Self { mutual, retry, ..Self::new(version) });
                    }
                }
            }
        }
        all
    }

    fn pair(&self) -> Pair {
        let now = Instant::now();
        let Identity { certificate, key } = &*IDENTITY;
        let pin = || [Fingerprint::of(certificate)];
        let chain = || vec![certificate.clone()];
        let client = ClientConfig::builder().with_peer_fingerprints(pin()).unwrap();
        let mut client = match self.mutual {
            true => client.with_client_auth_cert(chain(), key.clone_key()).unwrap(),
            false => client.with_no_client_auth(),
        };
        let server = match self.mutual {
            true => ServerConfig::builder().with_client_fingerprints(pin()),
            false => ServerConfig::builder().with_no_client_auth(),
        };
        let mut server = server.unwrap().with_single_cert(chain(), key.clone_key()).unwrap();
        client.set_versions(&[self.version]).unwrap();
        client.set_groups(&[NamedGroup::X25519, NamedGroup::SECP384R1]).unwrap();
        if self.retry {
            server.set_groups(&[NamedGroup::SECP384R1]).unwrap();
        }
        client.set_transport(self.transport.clone());
        server.set_transport(self.transport.clone());
        Pair {
            client: Connection::client(Arc::new(client), None, now).unwrap(),
            server: Connection::server(Arc::new(server), now).unwrap(),
            now,
        }
    }

    fn established(&self) -> Pair {
        let mut pair = self.pair();
        pair.run();
        assert!(pair.client.is_established() && pair.server.is_established());
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(events(end), [Event::HandshakeComplete]);
            assert_eq!(end.poll_timeout(), None);
        }
        pair
    }
}

struct Pair {
    client: Connection,
    server: Connection,
    now: Instant,
}

impl Pair {
    /// Lets datagrams pass until there are none.
    fn run(&mut self) {
        loop {
            let (up, down) = (drain(&mut self.client, self.now), drain(&mut self.server, self.now));
            if up.is_empty() && down.is_empty() {
                return;
            }
            for datagram in up {
                let _ = give(&mut self.server, &datagram, self.now);
            }
            for datagram in down {
                let _ = give(&mut self.client, &datagram, self.now);
            }
        }
    }

    /// Lets time pass until the next deadline of either end.
    fn sleep(&mut self) {
        let deadlines = [self.client.poll_timeout(), self.server.poll_timeout()];
        self.now = deadlines.into_iter().flatten().min().unwrap().max(self.now);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
    }

    fn up(&mut self) -> Vec<Vec<u8>> {
        drain(&mut self.client, self.now)
    }

    fn down(&mut self) -> Vec<Vec<u8>> {
        drain(&mut self.server, self.now)
    }

    fn give_server(&mut self, datagrams: &[Vec<u8>]) {
        datagrams.iter().for_each(|datagram| assert_eq!(give(&mut self.server, datagram, self.now), Ok(vec![])));
    }

    fn give_client(&mut self, datagrams: &[Vec<u8>]) {
        datagrams.iter().for_each(|datagram| assert_eq!(give(&mut self.client, datagram, self.now), Ok(vec![])));
    }
}

/// All datagrams that wait.
fn drain(end: &mut Connection, now: Instant) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    let mut datagrams = Vec::new();
    while let Some(len) = end.poll_transmit(now, &mut buffer).unwrap() {
        assert!(len <= end.mtu());
        datagrams.push(buffer[..len].to_vec());
        assert!(datagrams.len() < 1000, "transmits for ever");
    }
    datagrams
}

/// Hands over a datagram and returns the data in it.
fn give(end: &mut Connection, datagram: &[u8], now: Instant) -> Result<Vec<Vec<u8>>, Error> {
    let mut bytes = datagram.to_vec();
    let mut datagram = Datagram::new(&mut bytes);
    let mut data = Vec::new();
    while let Some(mut record) = end.receive(now, &mut datagram)? {
        data.push(record.payload().to_vec());
    }
    Ok(data)
}

fn send(end: &mut Connection, payload: &[u8], now: Instant) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let len = end.send(now, payload, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn events(end: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| end.poll_event()).collect()
}

/// A record that anyone can make.
fn plaintext(content_type: ContentType, sequence_number: u64, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let version = ProtocolVersion::DTLS1_2;
    let header = PlaintextHeader { content_type, version, epoch: 0, sequence_number, length };
    [&header.encode()[..], payload].concat()
}

/// A whole handshake message.
fn message(msg_type: HandshakeType, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let header = FragmentHeader { msg_type, length, message_seq, fragment_offset: 0, fragment_length: length };
    [&header.encode()[..], body].concat()
}
