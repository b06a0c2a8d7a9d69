//! Cookies, from outside: each that is not good ends in the verdict and the counter that its documentation names, and nothing
//! is kept of it. Tests that bear a number, as in `c2_…`, are named after what went wrong in other implementations.

mod common {
    pub(crate) mod ends;
    pub(crate) mod hello;
}

use common::ends::{client_config, deliver, drain, new_client, server_config};
use common::hello::{FRONT, Hello, cookie, datagram};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use udtls::{
    AlertDescription, CloseReason, Connection, CookieFault, CookieKeys, Decision, DropReason, Endpoint, EndpointConfig,
    Event, Listener, NamedGroup, ProtocolVersion, ServerConfig, Source, Verdict,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];
const CLIENT: &str = "192.0.2.1:40000";

/// What a ClientHello came to, and what was wrong with its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    HelloVerifyRequest(Option<CookieFault>),
    HelloRetryRequest(Option<CookieFault>),
    Alert(AlertDescription, Option<CookieFault>),
    Dropped(DropReason),
    LetIn,
}

struct Scene {
    endpoint: Endpoint,
    now: Instant,
    local: Option<IpAddr>,
}

impl Scene {
    fn new() -> Self {
        Self::with(EndpointConfig::new(), both(), Instant::now())
    }

    fn with(config: EndpointConfig, server: ServerConfig, now: Instant) -> Self {
        Self { endpoint: Endpoint::new(config, Some(Arc::new(server)), now).unwrap(), now, local: None }
    }

    /// What comes of a datagram, in the answer and in the counters; a client that is let in is ignored.
    fn ask(&mut self, from: &str, datagram: &[u8]) -> (Answer, Vec<u8>) {
        let before = self.endpoint.stats();
        let mut reply = vec![0; 200];
        let remote: SocketAddr = from.parse().unwrap();
        let verdict = self.endpoint.handle(self.now, remote, self.local, datagram, &mut reply);
        let len = if let Verdict::Reply(len) = &verdict { *len } else { 0 };
        reply.truncate(len);
        let (let_in, dropped) = match &verdict {
            Verdict::Incoming(_) => (1, None),
            Verdict::Drop(reason) => (0, Some(*reason)),
            _ => (0, None),
        };
        drop(verdict);
        let after = self.endpoint.stats();
        let fault =
            CookieFault::ALL.iter().find(|f| after.cookies_rejected(**f) > before.cookies_rejected(**f)).copied();
        assert_eq!(after.cookies_accepted - before.cookies_accepted, let_in);
        for reason in DropReason::ALL {
            let count = after.dropped(*reason) - before.dropped(*reason);
            assert_eq!(count, u64::from(dropped == Some(*reason)), "{reason}");
        }
        let answer = match (dropped, &reply[..]) {
            (Some(reason), _) => Answer::Dropped(reason),
            (None, []) => Answer::LetIn,
            (None, [21, ..]) => Answer::Alert(reply[14].into(), fault),
            (None, _) if reply[13] == 3 => Answer::HelloVerifyRequest(fault),
            (None, _) => Answer::HelloRetryRequest(fault),
        };
        let sent = |counter: bool| u64::from(counter);
        assert_eq!(after.alerts_sent - before.alerts_sent, sent(matches!(answer, Answer::Alert(..))));
        let cookie = matches!(answer, Answer::HelloVerifyRequest(_) | Answer::HelloRetryRequest(_));
        assert_eq!(after.cookies_sent - before.cookies_sent, sent(cookie));
        self.nothing_is_kept();
        (answer, reply)
    }

    fn answer(&mut self, hello: &Hello) -> Answer {
        self.ask(CLIENT, &hello.datagram()).0
    }

    /// A second ClientHello with a good cookie.
    fn second(&mut self, version: ProtocolVersion) -> Hello {
        let first = Hello::new(version);
        let (_, reply) = self.ask(CLIENT, &first.datagram());
        let second = first.answering(&reply);
        assert_eq!(self.answer(&second), Answer::LetIn, "{version}");
        second
    }

    fn nothing_is_kept(&self) {
        let stats = self.endpoint.stats();
        assert_eq!((stats.connections, stats.half_open, stats.handshake_memory), (0, 0, 0));
    }
}

/// A server of both versions, without the hybrid group, whose share would make the second ClientHello two datagrams.
fn both() -> ServerConfig {
    let mut config = server_config(VERSIONS[1]);
    config.set_versions(&VERSIONS).unwrap().set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
    config
}

/// How each version answers a bad cookie (RFC 6347 §4.2.1, RFC 9147 §5.1).
fn refusal(version: ProtocolVersion, fault: CookieFault) -> Answer {
    match version {
        ProtocolVersion::DTLS1_3 => Answer::Alert(AlertDescription::ILLEGAL_PARAMETER, Some(fault)),
        _ => Answer::HelloVerifyRequest(Some(fault)),
    }
}

#[test]
fn c2_cookies_of_every_length() {
    for version in VERSIONS {
        let mut scene = Scene::new();
        let second = scene.second(version);
        let (_, reply) = scene.ask(CLIENT, &Hello::new(version).datagram());
        let good = cookie(&reply);
        for len in 0..=255 {
            let mut hello = second.clone();
            let mut octets = good.clone();
            octets.resize(len, 0);
            hello.set_cookie(&octets);
            let expected = match (version, len) {
                _ if len == good.len() => Answer::LetIn,
                (ProtocolVersion::DTLS1_2, 0) => Answer::HelloVerifyRequest(None),
                // "opaque cookie<1..2^16-1>" (RFC 8446 §4.2.2).
                (_, 0) => Answer::Dropped(DropReason::Malformed),
                // As long as that of a suite of SHA-384.
                (ProtocolVersion::DTLS1_3, 90) => refusal(version, CookieFault::Forged),
                _ => refusal(version, CookieFault::Length),
            };
            assert_eq!(scene.answer(&hello), expected, "{version}: {len} octets");
        }
    }
}

/// RFC 6347 §4.2.1: "DTLS 1.2 server implementations SHOULD use DTLS version 1.0" there, whatever is negotiated.
#[test]
fn rfc6347_4_2_1_a_hello_verify_request_says_dtls10() {
    let (answer, reply) = Scene::new().ask(CLIENT, &Hello::new(ProtocolVersion::DTLS1_2).datagram());
    assert_eq!(answer, Answer::HelloVerifyRequest(None));
    assert_eq!(reply[FRONT..FRONT + 2], [0xfe, 0xff]);
}

/// Every field that says how long something is says that it ends here.
#[test]
fn c2_truncated_hellos() {
    for version in VERSIONS {
        let mut scene = Scene::new();
        let second = scene.second(version);
        let body = second.body();
        let without_extensions = Hello { extensions: Vec::new(), ..second.clone() }.body().len() - 2;
        for cut in 0..body.len() {
            let (answer, _) = scene.ask(CLIENT, &datagram(1, 1, &body[..cut]));
            match version {
                // RFC 5246 §7.4.1.2: extensions may be missing altogether.
                ProtocolVersion::DTLS1_2 if cut == without_extensions => assert_eq!(answer, Answer::LetIn),
                _ if cut == without_extensions => assert!(matches!(answer, Answer::Alert(_, None)), "{answer:?}"),
                _ => assert_eq!(answer, Answer::Dropped(DropReason::Malformed), "{version}: cut at {cut}"),
            }
            let (answer, _) = scene.ask(CLIENT, &second.datagram()[..FRONT + cut]);
            assert!(matches!(answer, Answer::Dropped(_)), "{version}: {answer:?}");
        }
    }
}

/// Whatever lengths claim, no octet is read that is not there.
#[test]
fn p1_p2_absurd_lengths_and_repetitions_are_malformed() {
    let malformed = Answer::Dropped(DropReason::Malformed);
    for version in VERSIONS {
        let mut scene = Scene::new();
        let second = scene.second(version);
        let body = second.body();
        // Session id, cookie, suites, compression, extensions: where each says how long it is.
        let mut at = 2 + 32;
        for width in [1, 1, 2, 1, 2] {
            let mut changed = body.clone();
            changed[at..at + width].fill(0xff);
            assert_eq!(scene.ask(CLIENT, &datagram(1, 1, &changed)).0, malformed, "{version}: {at}");
            let len = body[at..at + width].iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
            at += width + len;
        }
        assert_eq!(at, body.len());
        for ty in second.extensions.iter().map(|(ty, _)| *ty) {
            let mut twice = second.clone();
            let body = twice.extensions.iter().find(|(other, _)| *other == ty).unwrap().1.clone();
            twice.extensions.push((ty, body));
            assert_eq!(scene.answer(&twice), malformed, "{version}: extension {ty}");
            let mut longer = second.clone();
            longer.extensions.iter_mut().filter(|(other, _)| *other == ty).for_each(|(_, body)| body.push(0));
            // The body of extended_master_secret, which is empty, is nobody's business.
            if ty != 23 {
                assert_eq!(scene.answer(&longer), malformed, "{version}: extension {ty}");
            }
        }
    }
}

/// Our client gives back what it was given, to the octet, however much it is.
#[test]
fn c2_a_client_echoes_exactly() {
    let now = Instant::now();
    let handshake = |ty: u8, body: &[u8]| {
        let mut reply = datagram(0, 0, body);
        reply[13] = ty;
        reply
    };
    for len in 1..=255 {
        let octets: Vec<u8> = (0..len).map(|n| n ^ 0x5a).collect();
        let mut client = new_client(&Arc::new(client_config(ProtocolVersion::DTLS1_2)), now);
        drain(&mut client, now);
        let body = [&[0xfe, 0xff, len][..], &octets].concat();
        deliver(&mut client, now, &mut handshake(3, &body)).unwrap();
        let second = drain(&mut client, now).concat();
        assert_eq!(second[FRONT + 34..][..2 + octets.len()], [&[0, len][..], &octets].concat());

        let mut client = new_client(&Arc::new(client_config(ProtocolVersion::DTLS1_3)), now);
        drain(&mut client, now);
        let random = [
            0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
            0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
        ];
        let cookie = [&[0, 44, 0, 0, 0, len][..], &octets].concat();
        let mut extensions = [&[0, 43, 0, 2, 0xfe, 0xfc][..], &cookie].concat();
        extensions[8..10].copy_from_slice(&(u16::from(len) + 2).to_be_bytes());
        let block = (extensions.len() as u16).to_be_bytes();
        let body = [&[0xfe, 0xfd][..], &random, &[0, 0x13, 0x01, 0], &block, &extensions].concat();
        deliver(&mut client, now, &mut handshake(2, &body)).unwrap();
        let second = drain(&mut client, now).concat();
        assert!(second.windows(cookie.len()).any(|octets| *octets == extensions[6..]), "{len} octets");
    }
}

/// A cookie is good for the client that it was made for, at its address, for its ClientHello, for a while.
#[test]
fn sm12_a_cookie_is_good_for_one_client_and_one_hello() {
    let forged = |version| refusal(version, CookieFault::Forged);
    for version in VERSIONS {
        let mut scene = Scene::new();
        let second = scene.second(version);
        for from in ["192.0.2.2:40000", "192.0.2.1:40001", "[2001:db8::1]:40000"] {
            assert_eq!(scene.ask(from, &second.datagram()).0, forged(version), "{version}: {from}");
        }
        assert_eq!(scene.ask("[::ffff:192.0.2.1]:40000", &second.datagram()).0, Answer::LetIn, "the same address");
        scene.local = Some([198, 51, 100, 1].into());
        assert_eq!(scene.answer(&second), forged(version), "{version}: to another address of ours");
        scene.local = None;
        assert_eq!(Scene::new().answer(&second), forged(version), "{version}: another server's");

        let changes: [&dyn Fn(&mut Hello); 4] = [
            &|hello| hello.random[31] ^= 1,
            &|hello| hello.session_id = vec![0],
            &|hello| hello.suites.reverse(),
            &|hello| hello.suites.push(0x00ff),
        ];
        for (n, change) in changes.iter().enumerate() {
            let mut hello = second.clone();
            change(&mut hello);
            assert_eq!(scene.answer(&hello), forged(version), "{version}: change {n}");
        }
    }
    let mut scene = Scene::new();
    let mut hello = scene.second(VERSIONS[0]);
    hello.compression.push(1);
    assert_eq!(scene.answer(&hello), forged(VERSIONS[0]));
    // RFC 6347 §4.2.1 does not name extensions, and there are clients that change them.
    let mut hello = scene.second(VERSIONS[0]);
    hello.set(0x5555, vec![1]);
    assert_eq!(scene.answer(&hello), Answer::LetIn);
}

/// The cookie of one version is none in the other, even from the same client.
#[test]
fn a_cookie_of_the_other_version_is_none() {
    let mut scene = Scene::new();
    let [mut hello12, mut hello13] = VERSIONS.map(Hello::new);
    let [cookie12, cookie13] = [&hello12, &hello13].map(|hello| cookie(&scene.ask(CLIENT, &hello.datagram()).1));
    hello12.set_cookie(&cookie13);
    hello13.set_cookie(&cookie12);
    assert_eq!(scene.answer(&hello12), refusal(VERSIONS[0], CookieFault::Length));
    assert_eq!(scene.answer(&hello13), refusal(VERSIONS[1], CookieFault::Length));
}

#[test]
fn a_cookie_is_good_for_a_while() {
    for version in VERSIONS {
        let mut scene = Scene::new();
        let start = scene.now;
        scene.now += Duration::from_secs(10);
        let second = scene.second(version);
        let mut at = |seconds, expected| {
            scene.now = start + Duration::from_secs(seconds);
            assert_eq!(scene.answer(&second), expected, "{version}: after {seconds} s");
        };
        at(9, refusal(version, CookieFault::Age));
        at(190, Answer::LetIn);
        at(191, refusal(version, CookieFault::Age));

        // With new keys, made in time: those that are two periods old are gone.
        let mut scene = Scene::new();
        let second = scene.second(version);
        for (rotation, expected) in [(1, Answer::LetIn), (2, refusal(version, CookieFault::Key))] {
            scene.now = scene.endpoint.poll_timeout().expect("keys that age");
            scene.endpoint.handle_timeout(scene.now).unwrap();
            assert_eq!(scene.answer(&second), expected, "{version}: rotation {rotation}");
        }
    }
}

/// Unix time as the test says.
#[derive(Clone, Debug)]
struct Clock(Arc<AtomicU64>);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(SeqCst))))
    }
}

/// Two servers that have nothing in common but a secret and, nearly, the time.
#[test]
fn a_fleet_accepts_each_others_cookies() {
    let now = Instant::now();
    let member = |unix| {
        let clock = Clock(Arc::new(AtomicU64::new(unix)));
        let (mut config, mut server) = (EndpointConfig::new(), both());
        config.set_cookie_keys(CookieKeys::derive(&[0x5e; 32], now).unwrap());
        server.set_time_provider(Arc::new(clock.clone()));
        (Scene::with(config, server, now), clock)
    };
    for version in VERSIONS {
        // At the beginning of a period.
        let ((mut one, clock1), (mut other, clock2)) = (member(1_800_000_000), member(1_800_000_000));
        let second = one.second(version);
        assert_eq!(other.answer(&second), Answer::LetIn, "{version}");
        let mut at = |seconds: u64, expected| {
            clock2.0.store(1_800_000_000 + seconds, SeqCst);
            assert_eq!(other.answer(&second), expected, "{version}: {seconds}");
            other.endpoint.handle_timeout(now).unwrap();
            assert_eq!(other.answer(&second), expected, "{version}: {seconds}");
        };
        at(179, Answer::LetIn);
        at(180, refusal(version, CookieFault::Key));
        clock1.0.store(1_800_000_050, SeqCst);
        let ahead = one.second(version);
        clock2.0.store(1_800_000_040, SeqCst);
        assert_eq!(other.answer(&ahead), Answer::LetIn, "{version}: clocks differ a little");
        clock2.0.store(1_800_000_039, SeqCst);
        assert_eq!(other.answer(&ahead), refusal(version, CookieFault::Age), "{version}: from the future");
    }
}

/// No cookie, good as it may be, lets in what nobody could talk to; and none is looked at where the rest is nonsense.
#[test]
fn c3_order_of_checks() {
    use AlertDescription as Alert;
    for version in VERSIONS {
        let mut scene = Scene::new();
        let second = scene.second(version);
        let mut check = |change: &dyn Fn(&mut Hello), alert| {
            let mut hello = second.clone();
            change(&mut hello);
            assert_eq!(scene.answer(&hello), Answer::Alert(alert, None), "{version}");
            hello.set_cookie(&[0x5a; 29]);
            assert_eq!(scene.answer(&hello), Answer::Alert(alert, None), "{version}: with a bad cookie");
        };
        check(&|hello| hello.legacy_version = 0xfeff, Alert::PROTOCOL_VERSION);
        check(&|hello| hello.set(43, vec![2, 0x03, 0x04]), Alert::PROTOCOL_VERSION);
        check(&|hello| hello.suites = vec![0x0005], Alert::HANDSHAKE_FAILURE);
        check(&|hello| hello.compression = vec![1], Alert::ILLEGAL_PARAMETER);
        if version == ProtocolVersion::DTLS1_3 {
            check(&|hello| hello.legacy_cookie = vec![1], Alert::ILLEGAL_PARAMETER);
            check(&|hello| hello.extensions.retain(|(ty, _)| *ty != 51), Alert::MISSING_EXTENSION);
        }
    }
}

/// A client that shows its cookie and then does not send the share that was asked for is not served.
#[test]
fn a_good_cookie_with_another_share_ends_the_handshake() {
    let mut server = both();
    server.set_groups(&[NamedGroup::SECP256R1, NamedGroup::X25519]).unwrap();
    let mut scene = Scene::with(EndpointConfig::new(), server, Instant::now());
    let second = scene.second(ProtocolVersion::DTLS1_3);
    let mut reply = [0; 200];
    let verdict = scene.endpoint.handle(scene.now, CLIENT.parse().unwrap(), None, &second.datagram(), &mut reply);
    let Verdict::Incoming(incoming) = verdict else { panic!("{verdict:?}") };
    let (_, mut connection) = scene.endpoint.accept(*incoming, None, scene.now).unwrap();
    let Some(Event::Closed(CloseReason::Failed(error))) = connection.poll_event() else { panic!("it goes on") };
    assert_eq!(error.alert(), Some(AlertDescription::ILLEGAL_PARAMETER));
    assert_eq!(drain(&mut connection, scene.now).len(), 1, "the alert");
    scene.nothing_is_kept();
}

/// Each ClientHello sent twice, in every order: one association, which goes on from the numbers of the one that began it.
#[test]
fn c5_the_server_goes_on_from_the_numbers_of_the_hello_in_every_order() {
    for version in VERSIONS {
        for order in permutations(&[0, 1, 2, 3]) {
            let mut scene = Scene::new();
            let mut client = new_client(&Arc::new(client_config(version)), scene.now);
            let mut hellos = vec![one(drain(&mut client, scene.now)), again(&mut client, &mut scene.now)];
            let (_, mut reply) = scene.ask(CLIENT, &hellos[0]);
            deliver(&mut client, scene.now, &mut reply).unwrap();
            hellos.extend([one(drain(&mut client, scene.now)), again(&mut client, &mut scene.now)]);

            let (mut server, mut flight, mut reply) = (None, Vec::new(), [0; 200]);
            for n in &order {
                let hello = &hellos[*n];
                match scene.endpoint.handle(scene.now, CLIENT.parse().unwrap(), None, hello, &mut reply) {
                    Verdict::Reply(len) => {
                        assert!(*n < 2 && server.is_none(), "{order:?}");
                        assert_eq!((reply[5..11] == hello[5..11], len < 200), (true, true), "{order:?}");
                    }
                    Verdict::Incoming(incoming) => {
                        assert!(server.is_none(), "{order:?}");
                        let mut connection = scene.endpoint.accept(*incoming, None, scene.now).unwrap().1;
                        flight = drain(&mut connection, scene.now);
                        // The record's sequence number and the message_seq.
                        assert_eq!((&flight[0][5..11], &flight[0][17..19]), (&hello[5..11], &hello[17..19]));
                        server = Some(connection);
                    }
                    Verdict::Connection(_) => {
                        deliver(server.as_mut().unwrap(), scene.now, &mut hello.clone()).unwrap();
                    }
                    other => panic!("{version} {order:?}: {other:?}"),
                }
            }
            let mut server = server.unwrap();
            for _ in 0..4 {
                flight.iter_mut().for_each(|datagram| drop(deliver(&mut client, scene.now, datagram).unwrap()));
                for mut datagram in drain(&mut client, scene.now) {
                    deliver(&mut server, scene.now, &mut datagram).unwrap();
                }
                flight = drain(&mut server, scene.now);
            }
            assert!(client.is_established() && server.is_established(), "{version} {order:?}");
            assert_eq!(scene.endpoint.stats().accepted, 1);
        }
    }
}

fn one(mut datagrams: Vec<Vec<u8>>) -> Vec<u8> {
    assert_eq!(datagrams.len(), 1);
    datagrams.remove(0)
}

/// What a client sends when it has heard nothing.
fn again(client: &mut Connection, now: &mut Instant) -> Vec<u8> {
    *now = client.poll_timeout().expect("a timer");
    client.handle_timeout(*now);
    one(drain(client, *now))
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in items {
        let rest: Vec<_> = items.iter().copied().filter(|item| item != first).collect();
        all.extend(permutations(&rest).into_iter().map(|tail| [&[*first], &tail[..]].concat()));
    }
    all
}

/// A listener that has answered a million ClientHellos answers the next as it did the first, whatever came between.
#[test]
fn c8_a_listener_is_used_again_and_again() {
    let now = Instant::now();
    let listener = Listener::new(Arc::new(both()), CookieKeys::new(now).unwrap());
    let source = Source::new(CLIENT.parse().unwrap(), None).unwrap();
    let ask = |hello: &[u8]| {
        let mut reply = [0; 200];
        let decision = listener.handle(now, source, hello, &mut reply);
        (matches!(decision, Decision::Accept(_)), reply)
    };
    let firsts = VERSIONS.map(Hello::new);
    let seconds = firsts.clone().map(|hello| hello.answering(&ask(&hello.datagram()).1));
    let mut garbage = firsts[0].datagram();
    garbage[FRONT..].fill(0xa5);
    let mut forged = seconds[1].clone();
    forged.random[0] ^= 1;
    let hellos: Vec<_> = firsts.iter().chain(&seconds).chain([&forged]).map(Hello::datagram).chain([garbage]).collect();
    let expected: Vec<_> = hellos.iter().map(|hello| ask(hello)).collect();
    assert_eq!(expected.iter().filter(|(accepted, _)| *accepted).count(), 2);
    let mut at = 0;
    for n in 0..1_000_000 {
        assert_eq!(ask(&hellos[at]), expected[at], "call {n}");
        // Every one of them comes after every other.
        at = (at + 1 + n / hellos.len() % hellos.len()) % hellos.len();
    }
}
