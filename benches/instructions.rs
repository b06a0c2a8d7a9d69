//! How many instructions the library takes, under callgrind: the same number each time, so that a small loss is seen before
//! any clock shows it.
//!
//! Collected inside the measured function only; what is prepared is not counted, nor what is dropped afterwards. Valgrind hides
//! SHA-NI and AVX-512, so the cryptography runs other code than usual: these are figures to compare with each other, and
//! benches/count_instructions does so.
//!
//! A handshake is that of the simulated network's provider, seeded, whose key exchange and signatures were computed once
//! before and are remembered: what is left is the library, the key schedule, and records.

#![expect(missing_docs, unused_qualifications, reason = "what the harness's macros make of a function")]

#[path = "../tests/common/ends.rs"]
#[expect(dead_code, reason = "shared with tests, which use all of it")]
mod ends;
#[path = "../tests/sim/exchange.rs"]
mod exchange;
#[path = "../tests/common/hello.rs"]
#[expect(dead_code, reason = "shared with tests, which use all of it")]
mod hello;
#[path = "../tests/sim/keys.rs"]
#[expect(dead_code, reason = "the network's, of which only the names of the ends are needed")]
mod keys;
#[path = "../tests/sim/ladder.rs"]
#[expect(dead_code, reason = "the network's, of which only the names of the ends are needed")]
mod ladder;
#[path = "common/parties.rs"]
#[expect(dead_code, reason = "shared with other benches, which use all of it")]
mod parties;
#[path = "../tests/sim/pki.rs"]
#[expect(dead_code, reason = "shared with tests, which use all of it")]
mod pki;
#[path = "../tests/sim/provider.rs"]
mod provider;

use ends::server_config;
use gungraun::{library_benchmark, library_benchmark_group, main};
use hello::Hello;
use parties::{ClientAuth, Kind, Parties, Sessions, shake_hands};
use pki::{Chain, FixedTime, Identity, NAME};
use provider::{End, provider, reseed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use udtls::ProtocolVersion as Version;
use udtls::{
    CipherSuite as Suite, ClientConfig, Connection, CookieKeys, Datagram, Listener, NamedGroup, ServerConfig, Source,
};

/// An established association, and a buffer in which a record is or will be.
struct Association {
    from: Connection,
    to: Connection,
    now: Instant,
    buffer: [u8; 160],
    len: usize,
}

const PAYLOAD: [u8; 64] = [0x5a; 64];

/// Two ends that have exchanged a record already.
fn established(version: Version, suite: Suite) -> Box<Association> {
    let (parties, provider) = (Parties::new(), Arc::new(aws_lc_rs::default_provider()));
    let kind = Kind { version, group: NamedGroup::X25519, client_auth: ClientAuth::None, sessions: Sessions::None };
    let (mut client, server) = (parties.client_config(&provider, kind), parties.server_config(&provider, kind));
    client.set_cipher_suites(&[suite]).expect("a suite");
    let now = Instant::now();
    let (mut from, mut to) = parties::ends(&Arc::new(client), &Arc::new(server), now);
    shake_hands(&mut from, &mut to, now, |_| ());
    receive(seal(Box::new(Association { from, to, now, buffer: [0; 160], len: 0 })))
}

/// The same, and a record that is on its way.
fn sealed(version: Version, suite: Suite) -> Box<Association> {
    seal(established(version, suite))
}

#[inline(never)]
fn seal(mut association: Box<Association>) -> Box<Association> {
    let Association { from, now, buffer, len, .. } = &mut *association;
    *len = from.send(*now, black_box(&PAYLOAD), buffer).expect("it is sealed");
    association
}

#[inline(never)]
fn receive(mut association: Box<Association>) -> Box<Association> {
    let Association { to, now, buffer, len, .. } = &mut *association;
    let mut datagram = Datagram::new(&mut buffer[..*len]);
    black_box(to.receive(*now, &mut datagram).expect("a record that is good").expect("data").payload());
    association
}

#[library_benchmark(setup = established)]
#[bench::aes_128_gcm_12(Version::DTLS1_2, Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)]
#[bench::aes_256_gcm_12(Version::DTLS1_2, Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)]
#[bench::chacha20_12(Version::DTLS1_2, Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)]
#[bench::aes_128_gcm_13(Version::DTLS1_3, Suite::TLS_AES_128_GCM_SHA256)]
#[bench::aes_256_gcm_13(Version::DTLS1_3, Suite::TLS_AES_256_GCM_SHA384)]
#[bench::chacha20_13(Version::DTLS1_3, Suite::TLS_CHACHA20_POLY1305_SHA256)]
fn seal_record(association: Box<Association>) -> Box<Association> {
    seal(association)
}

#[library_benchmark(setup = sealed)]
#[bench::aes_128_gcm_12(Version::DTLS1_2, Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)]
#[bench::aes_256_gcm_12(Version::DTLS1_2, Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)]
#[bench::chacha20_12(Version::DTLS1_2, Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)]
#[bench::aes_128_gcm_13(Version::DTLS1_3, Suite::TLS_AES_128_GCM_SHA256)]
#[bench::aes_256_gcm_13(Version::DTLS1_3, Suite::TLS_AES_256_GCM_SHA384)]
#[bench::chacha20_13(Version::DTLS1_3, Suite::TLS_CHACHA20_POLY1305_SHA256)]
fn open_record(association: Box<Association>) -> Box<Association> {
    receive(association)
}

/// A listener, and a ClientHello without a cookie.
struct Question {
    listener: Listener,
    datagram: Vec<u8>,
    source: Source,
    now: Instant,
    reply: [u8; 180],
}

fn question(version: Version) -> Box<Question> {
    let now = Instant::now();
    let mut config = server_config(version);
    config.set_versions(&[Version::DTLS1_2, Version::DTLS1_3]).expect("versions");
    config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).expect("groups");
    let listener = Listener::new(Arc::new(config), CookieKeys::new(now).expect("keys"));
    let source = Source::new(SocketAddr::from(([192, 0, 2, 1], 40_000)), None).expect("a source");
    let mut hello = Hello::new(version);
    if version == Version::DTLS1_3 {
        hello.suites = vec![0x1301];
    }
    answer(Box::new(Question { listener, datagram: hello.datagram(), source, now, reply: [0; 180] }))
}

#[inline(never)]
fn answer(mut question: Box<Question>) -> Box<Question> {
    let Question { listener, datagram, source, now, reply } = &mut *question;
    black_box(listener.handle(*now, *source, black_box(datagram), reply));
    question
}

#[library_benchmark(setup = question)]
#[bench::hello_verify_request_12(Version::DTLS1_2)]
#[bench::hello_retry_request_13(Version::DTLS1_3)]
fn cookieless_client_hello(question: Box<Question>) -> Box<Question> {
    answer(question)
}

/// Both ends' configurations, with the simulated network's provider.
struct Strangers {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    now: Instant,
}

fn strangers(version: Version) -> Strangers {
    let identity = Identity::new(1, Chain::Short);
    let server = ServerConfig::builder_with_provider(provider(End::Server)).with_no_client_auth().expect("a provider");
    let mut server = server.with_single_cert(identity.chain.clone(), identity.key()).expect("a certificate that fits");
    let client = ClientConfig::builder_with_provider(provider(End::Client));
    let mut client = client.with_root_certificates(identity.roots.clone()).expect("roots").with_no_client_auth();
    server.set_versions(&[version]).expect("a version").set_ticket_count(0).set_time_provider(Arc::new(FixedTime));
    client.set_versions(&[version]).expect("a version").set_session_capacity(0).set_time_provider(Arc::new(FixedTime));
    let strangers = Strangers { client: Arc::new(client), server: Arc::new(server), now: Instant::now() };
    // What is computed now is remembered.
    reseed(SEED);
    let (strangers, ..) = meet(strangers);
    reseed(SEED);
    strangers
}

const SEED: u64 = 7;

#[inline(never)]
fn meet(strangers: Strangers) -> (Strangers, Connection, Connection) {
    let Strangers { client, server, now } = &strangers;
    let name = ServerName::try_from(NAME).expect("a name");
    let mut client = Connection::client(client.clone(), Some(name), *now).expect("a client");
    let mut server = Connection::server(server.clone(), *now).expect("a server");
    shake_hands(&mut client, &mut server, *now, |_| ());
    (strangers, client, server)
}

#[library_benchmark(setup = strangers)]
#[bench::full_12(Version::DTLS1_2)]
#[bench::full_13(Version::DTLS1_3)]
fn handshake(strangers: Strangers) -> (Strangers, Connection, Connection) {
    meet(strangers)
}

library_benchmark_group!(name = library, benchmarks = [seal_record, open_record, cookieless_client_hello, handshake]);

main!(library_benchmark_groups = library);
