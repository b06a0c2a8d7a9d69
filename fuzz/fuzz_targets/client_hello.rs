//! A ClientHello of anything at all, for a listener and for servers of every kind, in one fragment or in many.
//!
//! * A naive reading of the RFCs says which are well formed; nobody here may disagree.
//! * What is not well formed is answered by nobody and hurts nobody: the genuine ClientHello that follows is.
//! * What is completes nothing by itself, and costs no more memory than it may (`subject.rs`).

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use udtls::fuzzing::{Structure, fragment};
use udtls::{
    CipherSuite, Connection, CookieKeys, Decision, DropReason, Listener, ProtocolVersion, Reply, ReplyKind,
    ServerConfig, Source,
};
use udtls_fuzz::{
    input::Input,
    kinds::{KINDS, ORIGIN, Shape},
    provider::End,
    script::{HANDSHAKE, Script},
    subject::Subject,
};

const CLIENT_HELLO: u8 = 1;

/// The longest reply (RFC 9147 §5.1 allows three times what came).
const MAX_REPLY: usize = 180;

struct Server {
    config: Arc<ServerConfig>,
    listener: Listener,
    strict: bool,
    /// A genuine ClientHello, in one datagram.
    genuine: Vec<u8>,
}

static SERVERS: LazyLock<Vec<Server>> = LazyLock::new(|| {
    let mut servers: Vec<_> = KINDS
        .iter()
        .filter(|kind| kind.shape != Shape::Hybrid)
        .map(|kind| {
            let script = Script::record(kind, End::Client);
            server(kind.server.clone(), kind.shape == Shape::Strict, &script)
        })
        .collect();
    let mut both = ServerConfig::clone(&KINDS[0].server);
    both.set_cipher_suites(&[
        CipherSuite::TLS_AES_256_GCM_SHA384,
        CipherSuite::TLS_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ])
    .expect("suites");
    both.set_versions(&[ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2]).expect("versions");
    servers.push(server(Arc::new(both), false, &Script::record(&KINDS[0], End::Client)));
    servers
});

fn server(config: Arc<ServerConfig>, strict: bool, script: &Script) -> Server {
    let keys = CookieKeys::derive(&[7; 32], *ORIGIN).expect("a secret that is long enough");
    let listener = Listener::new(config.clone(), keys);
    let fragments = script.said.iter().take_while(|said| {
        said.content_type == HANDSHAKE && said.payload[..6] == [CLIENT_HELLO, 0, said.payload[2], said.payload[3], 0, 0]
    });
    let genuine = fragments.zip(0..).flat_map(|(said, number)| record(number, &said.payload)).collect();
    Server { config, listener, strict, genuine }
}

/// A plaintext handshake record (RFC 6347 §4.1).
fn record(number: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).expect("a record's length").to_be_bytes();
    [&[HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number, high, low], payload].concat()
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let server = &SERVERS[input.below(SERVERS.len())];
    let piece = match input.u8() {
        0..=127 => usize::MAX,
        piece => usize::from(piece - 127) * 4,
    };
    let body = input.rest();
    let well_formed = is_well_formed(body);
    assert_eq!(Structure::ClientHello.rewrite(body, &mut |_| ()).is_ok(), well_formed, "the codec agrees");
    listen(server, body, well_formed);

    KINDS[0].begin();
    let connection = Connection::server(server.config.clone(), *ORIGIN).expect("a server");
    let mut subject = Subject::new(connection, *ORIGIN);
    let fragments = body.chunks(piece.min(body.len()).max(1)).map(<[u8]>::len).scan(0, |at, len| {
        let start = *at;
        *at += len;
        Some((start, len))
    });
    for (number, (at, len)) in fragments.chain(body.is_empty().then_some((0, 0))).enumerate() {
        let payload = fragment(CLIENT_HELLO, 0, body.len(), at, &body[at..at + len]);
        subject.receive(record(number as u8, &payload));
    }
    let answer = subject.transmit();
    if !well_formed && !server.strict {
        assert!(answer.is_empty() && subject.failure.is_none(), "what makes no sense is nobody's");
        subject.receive(server.genuine.clone());
        assert!(subject.failure.is_none(), "{:?}", subject.failure);
        assert!(!subject.transmit().is_empty(), "the genuine one is answered");
    }
    assert!(!subject.complete, "one message completes nothing");
    subject.finish();
});

/// A listener keeps nothing, answers briefly, and takes nobody whose cookie it has not made.
fn listen(server: &Server, body: &[u8], well_formed: bool) {
    let datagram = record(0, &fragment(CLIENT_HELLO, 0, body.len(), 0, body));
    let source = Source::new(SocketAddr::from(([192, 0, 2, 1], 4433)), None).expect("an address");
    let mut reply = [0; 2048];
    match server.listener.handle(*ORIGIN, source, &datagram, &mut reply) {
        Decision::Drop(reason) => assert_eq!(reason == DropReason::Malformed, !well_formed, "the listener agrees"),
        Decision::Reply(Reply { len, kind, .. }) => {
            assert!(well_formed, "what makes no sense is not answered");
            let most = if kind == ReplyKind::HelloRetryRequest { 2 * datagram.len() - 1 } else { datagram.len() };
            assert!(len <= most.min(MAX_REPLY), "{len} octets in answer to {}", datagram.len());
        }
        other => panic!("nobody has a cookie: {other:?}"),
    }
}

// ---- what a ClientHello is (RFC 8446 §4.1.2, RFC 6347 §4.2.1), as naively as can be

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8], octets: usize) -> Option<usize> {
    Some(take(rest, octets)?.iter().fold(0, |number, octet| number << 8 | usize::from(*octet)))
}

/// A vector whose length has so many octets.
fn vector<'a>(rest: &mut &'a [u8], octets: usize) -> Option<&'a [u8]> {
    let len = number(rest, octets)?;
    take(rest, len)
}

fn some(octets: &[u8]) -> Option<()> {
    (!octets.is_empty()).then_some(())
}

/// Something, in pieces of two octets.
fn pairs(octets: &[u8]) -> Option<()> {
    (!octets.is_empty() && octets.len().is_multiple_of(2)).then_some(())
}

/// Elements to the end.
fn all<'a>(mut list: &'a [u8], mut element: impl FnMut(&mut &'a [u8]) -> Option<()>) -> Option<()> {
    while !list.is_empty() {
        element(&mut list)?;
    }
    Some(())
}

fn is_well_formed(body: &[u8]) -> bool {
    hello(body).is_some()
}

fn hello(body: &[u8]) -> Option<()> {
    let rest = &mut &body[..];
    take(rest, 2 + 32)?;
    let session_id = vector(rest, 1)?;
    vector(rest, 1)?;
    pairs(vector(rest, 2)?)?;
    some(vector(rest, 1)?)?;
    if session_id.len() > 32 {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let block = vector(rest, 2)?;
    let mut seen = Vec::new();
    all(block, |rest| {
        let ty = number(rest, 2)?;
        let body = vector(rest, 2)?;
        // RFC 8446 §4.2: none twice; §4.2.11: pre_shared_key is the last.
        if seen.contains(&ty) || (ty == 41 && !rest.is_empty()) {
            return None;
        }
        seen.push(ty);
        extension(ty, body)
    })?;
    rest.is_empty().then_some(())
}

fn extension(ty: usize, body: &[u8]) -> Option<()> {
    let rest = &mut &body[..];
    match ty {
        0 => {
            let list = vector(rest, 2)?;
            let mut hosts = 0;
            some(list)?;
            all(list, |rest| {
                let (ty, name) = (number(rest, 1)?, vector(rest, 2)?);
                if ty == 0 {
                    hosts += 1;
                    some(name)?;
                }
                Some(())
            })?;
            (hosts < 2).then_some(())?;
        }
        1 => drop(number(rest, 1)?),
        5 if body.first()? == &1 => {
            take(rest, 1)?;
            vector(rest, 2)?;
            vector(rest, 2)?;
        }
        5 => return Some(()),
        10 | 13 | 50 => pairs(vector(rest, 2)?)?,
        11 | 45 => some(vector(rest, 1)?)?,
        14 => {
            pairs(vector(rest, 2)?)?;
            vector(rest, 1)?;
        }
        16 => {
            let list = vector(rest, 2)?;
            some(list)?;
            all(list, |rest| some(vector(rest, 1)?))?;
        }
        18 => {}
        27 | 43 => pairs(vector(rest, 1)?)?,
        28 => drop(number(rest, 2)?),
        41 => {
            let (identities, binders) = (vector(rest, 2)?, vector(rest, 2)?);
            some(identities).and(some(binders))?;
            all(identities, |rest| {
                some(vector(rest, 2)?)?;
                number(rest, 4).map(drop)
            })?;
            all(binders, |rest| vector(rest, 1).map(drop))?;
        }
        44 => some(vector(rest, 2)?)?,
        47 => {
            let list = vector(rest, 2)?;
            some(list)?;
            all(list, |rest| some(vector(rest, 2)?))?;
        }
        51 => {
            let mut groups = Vec::new();
            all(vector(rest, 2)?, |rest| {
                let group = number(rest, 2)?;
                some(vector(rest, 2)?)?;
                // More than 32 are refused, so that it stays cheap.
                let new = !groups.contains(&group) && groups.len() < 32;
                groups.push(group);
                new.then_some(())
            })?;
        }
        65281 => drop(vector(rest, 1)?),
        _ => return Some(()),
    }
    rest.is_empty().then_some(())
}
