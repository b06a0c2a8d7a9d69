//! No secret is printed: every public type of an association is formatted, from its first message to its last, and what the key
//! log was told is looked for in it, as hexadecimal digits, as a list of numbers and as text. And no key lies in memory that is
//! not wiped, nor is compared in a time that tells how much of it was right: the sources are read for it.

#[expect(dead_code, reason = "not all is needed here")]
#[path = "common/ends.rs"]
mod ends;
#[expect(dead_code, reason = "not all is needed here")]
#[path = "common/pair.rs"]
mod pair;

use ends::{client_config, server_config};
use pair::Pair;
use rustls::KeyLog;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::time_provider::DefaultTimeProvider;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use udtls::{
    ClientConfig, ClientSessionStore, CookieKeys, Endpoint, EndpointConfig, ProtocolVersion, ServerConfig, Session,
    SrtpProfile, Ticketer,
};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// What both ends log.
#[derive(Debug, Default)]
struct Logged(Mutex<Secrets>);

/// With what they are.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of them", self.0.len())
    }
}

impl KeyLog for Logged {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().add(label, secret);
    }
}

impl Secrets {
    fn add(&mut self, what: &str, secret: &[u8]) {
        self.0.push((what.to_owned(), secret.to_vec()));
    }

    /// Which of them shows in `text`: eight octets that follow each other are enough.
    fn found_in(&self, text: &str) -> Option<String> {
        let plain = text.to_lowercase();
        let dense: String = plain.chars().filter(|c| !c.is_whitespace()).collect();
        let list = format!(",{},", dense.replace(['[', ']', '(', ')'], ","));
        for (what, secret) in &self.0 {
            for octets in secret.windows(8) {
                let numbers = |show: fn(&u8) -> String| octets.iter().map(show).collect::<Vec<_>>().join(",");
                let escaped = octets.escape_ascii().to_string().to_lowercase();
                let shown = dense.contains(&hex::encode(octets))
                    || list.contains(&format!(",{},", numbers(u8::to_string)))
                    || list.contains(&format!(",{},", numbers(|octet| format!("{octet:#x}"))))
                    || list.contains(&format!(",{},", numbers(|octet| format!("{octet:02x}"))))
                    || plain.contains(&escaped)
                    || text.contains(&*String::from_utf8_lossy(octets));
                if shown {
                    return Some(what.clone());
                }
            }
        }
        None
    }
}

/// Holds that nothing of what is secret shows in a value.
fn is_silent(secrets: &Secrets, what: &str, value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!text.is_empty(), "{what}");
        if let Some(secret) = secrets.found_in(&text) {
            panic!("{what} shows {secret}:\n{text}");
        }
    }
}

/// A client's sessions, kept for the test.
#[derive(Debug, Default)]
struct Sessions(Mutex<Vec<Session>>);

impl ClientSessionStore for Sessions {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        self.0.lock().unwrap().push(session);
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().unwrap().pop()
    }
}

#[test]
fn the_search_finds_what_is_shown() {
    let mut secrets = Secrets::default();
    let secret: Vec<u8> = (120..152).collect();
    secrets.add("it", &secret);
    let shown = [
        format!("{secret:?}"),
        format!("{:#?}", Some(&secret[3..20])),
        format!("{secret:x?}"),
        format!("{secret:#04x?}"),
        hex::encode(&secret),
        hex::encode_upper(&secret[8..16]),
        secret.escape_ascii().to_string(),
    ];
    for text in shown {
        assert_eq!(secrets.found_in(&text).as_deref(), Some("it"), "{text}");
    }
    assert_eq!(secrets.found_in(&format!("{:?}", &secret[..7])), None);
    assert_eq!(secrets.found_in("Secret(..)"), None);
}

/// The configurations of both ends, and what they are to hide.
struct World {
    log: Arc<Logged>,
    sessions: Arc<Sessions>,
    ticketer: Arc<Ticketer>,
    client: ClientConfig,
    server: ServerConfig,
}

const TICKET_SECRET: [u8; 32] = *b"\x91\xc3\x07ticket secrets are long \xee\xf0\x0b\x13\xd7";
const COOKIE_SECRET: [u8; 32] = *b"\x81\xb3\x17cookie secrets are long \xde\xe0\x1b\x23\xc7";

impl World {
    fn new(version: ProtocolVersion) -> Self {
        let (log, sessions) = (Arc::new(Logged::default()), Arc::new(Sessions::default()));
        log.0.lock().unwrap().add("the tickets' secret", &TICKET_SECRET);
        log.0.lock().unwrap().add("the cookies' secret", &COOKIE_SECRET);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let ticketer = Arc::new(Ticketer::from_secret(TICKET_SECRET, provider, Arc::new(DefaultTimeProvider)));
        let (mut client, mut server) = (client_config(version), server_config(version));
        let profiles = [SrtpProfile::SRTP_AEAD_AES_128_GCM];
        client.set_key_log(log.clone()).set_session_store(sessions.clone());
        client.set_srtp_profiles(&profiles).unwrap();
        server.set_key_log(log.clone()).set_ticketer(ticketer.clone());
        server.set_srtp_profiles(&profiles).unwrap();
        Self { log, sessions, ticketer, client, server }
    }

    fn is_silent(&self, what: &str, value: &dyn Debug) {
        is_silent(&self.log.0.lock().unwrap(), what, value);
    }

    /// An association from its beginning to its end, looked at after each pair of datagrams.
    fn associate(&self) -> Pair {
        let mut pair = Pair::with(self.client.clone(), self.server.clone());
        loop {
            let moved = pair.exchange() != (None, None);
            self.look_at(&mut pair);
            if !moved {
                break;
            }
        }
        assert!(pair.client.is_established() && pair.server.is_established());
        pair
    }

    fn look_at(&self, pair: &mut Pair) {
        let Pair { client, server, client_events, server_events, .. } = pair;
        for (who, end, events) in [("client", client, client_events), ("server", server, server_events)] {
            self.is_silent(who, end);
            self.is_silent("its numbers", &end.stats());
            self.is_silent("what it negotiated", &end.negotiated());
            events.extend(std::iter::from_fn(|| end.poll_event()));
            self.is_silent("its events", events);
        }
    }
}

#[test]
fn nothing_of_an_association_shows_its_secrets() {
    for version in VERSIONS {
        let world = World::new(version);
        // The second resumes the first.
        for round in 0..2 {
            let mut pair = world.associate();
            for end in [&pair.client, &pair.server] {
                let mut exported = [0; 32];
                end.export_keying_material(b"EXPORTER-test", None, &mut exported).unwrap();
                let srtp = end.srtp_keying_material().unwrap();
                let mut secrets = world.log.0.lock().unwrap();
                secrets.add("exported keying material", &exported);
                secrets.add("keys for SRTP", srtp.as_bytes());
                drop(secrets);
                world.is_silent("keys for SRTP", &srtp);
            }
            let mut garbage = [0x2f; 40];
            let _ = ends::deliver(&mut pair.server, pair.now, &mut garbage);
            pair.client.close(pair.now);
            pair.run();
            world.look_at(&mut pair);
            let kept = world.sessions.0.lock().unwrap().clone();
            assert!(!kept.is_empty(), "{version} {round}");
            for session in &kept {
                // A session as octets is a secret as a whole, and holds one.
                world.is_silent("a session", session);
            }
            world.is_silent("the client's configuration", &world.client);
            world.is_silent("the server's configuration", &world.server);
            world.is_silent("what seals tickets", &world.ticketer);
        }
        let secrets = world.log.0.lock().unwrap();
        assert!(secrets.0.len() > 6, "{version}: {secrets:?}");
    }
}

#[test]
fn an_endpoint_and_its_keys_show_nothing() {
    let now = Instant::now();
    let world = World::new(VERSIONS[1]);
    let keys = CookieKeys::derive(&COOKIE_SECRET, now).unwrap();
    world.is_silent("keys of cookies", &keys);
    let mut config = EndpointConfig::new();
    config.set_cookie_keys(keys);
    world.is_silent("an endpoint's configuration", &config);
    let endpoint = Endpoint::new(config, Some(Arc::new(world.server.clone())), now).unwrap();
    world.is_silent("an endpoint", &endpoint);
    world.is_silent("its numbers", &endpoint.stats());
}

/// Every way to fail says whose fault it is, and nothing of what it has seen: an alert may go to a stranger.
#[test]
fn errors_show_nothing() {
    for version in VERSIONS {
        let world = World::new(version);
        let mut pair = Pair::with(world.client.clone(), world.server.clone());
        pair.client_trusts_nobody();
        pair.run();
        let errors = [pair.client_error(), pair.server_error()];
        assert!(errors.iter().any(Option::is_some), "{version}");
        world.is_silent("errors", &errors);
        world.look_at(&mut pair);
    }
}

/// A field whose name says that it is a key, and that is octets, is wiped when it is dropped; and what has secret octets of its
/// own neither prints nor compares them by a derived implementation.
#[test]
fn no_key_is_kept_in_octets_that_nobody_wipes() {
    let (mut found, mut seen, mut wiping) = (Vec::new(), 0, Vec::new());
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let (mut derived, mut name) = ("", "");
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with("#[derive(") {
                derived = line;
            } else if let Some(declared) = line.split_once("struct ").or_else(|| line.split_once("enum ")) {
                name = declared.1.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                wiping.extend(derived.contains("ZeroizeOnDrop").then(|| name.to_owned()));
            } else if line == "}" {
                (derived, name) = ("", "");
            }
            let Some((field, ty)) = field(line) else { continue };
            let is_key = KEYS.iter().any(|word| field == *word || field.ends_with(&format!("_{word}")));
            let is_wiped = ty.contains("Zeroizing") || derived.contains("ZeroizeOnDrop");
            seen += usize::from(is_key);
            wiping.extend(ty.starts_with("Zeroizing").then(|| format!("{name}.{field}")));
            let octets = ["[u8", "Vec<u8>", "Box<[u8]>"].iter().any(|octets| ty.contains(octets));
            let shown = is_wiped && ["Debug", "PartialEq", "Hash"].iter().any(|word| derived.contains(word));
            if shown || is_key && octets && !is_wiped && !ty.starts_with('&') {
                found.push(format!("{}:{}: {derived} {line}", path.display(), number + 1));
            }
        }
    }
    assert!(seen > 10, "{seen}");
    assert!(found.is_empty(), "{found:#?}");
    wiping.sort();
    wiping.dedup();
    assert_eq!(wiping, WIPED, "these types and fields wipe themselves");
}

/// All types that are wiped as a whole, and all fields that are.
const WIPED: [&str; 8] = [
    "Key",
    "Keys.iv",
    "Origin.secret",
    "Protection12.fixed_iv",
    "RecordKeys",
    "Secret",
    "SrtpKeyingMaterial.octets",
    "Ticketer.secret",
];

/// MACs, cookies, Finished and binders: every one that is received is compared in constant time, and there is no other place
/// where octets so named are compared. The MAC of a record is the AEAD's to compare.
#[test]
fn what_authenticates_is_compared_in_constant_time() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut by_file, mut found) = (Vec::new(), Vec::new());
    for path in sources(&root.join("src")) {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        if ["tests", "vectors", "wycheproof", "fuzzing"].iter().any(|word| name.contains(word)) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let calls = code.matches("crypto::constant_time_eq(").count();
        by_file.extend((calls > 0).then(|| (name.clone(), calls)));
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            if compares(line) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    by_file.sort();
    let expected = [
        // Cookies, of DTLS 1.2 and 1.3.
        ("src/endpoint/cookie.rs", 2),
        // Finished, of both versions and ends.
        ("src/handshake/authentication.rs", 1),
        // Binders.
        ("src/handshake/resumption13.rs", 1),
    ];
    assert_eq!(by_file, expected.map(|(name, calls)| (name.to_owned(), calls)));
    assert!(found.is_empty(), "{found:#?}");
    let seam = fs::read_to_string(root.join("src/crypto/mod.rs")).unwrap();
    assert!(seam.contains("aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()"));
}

/// There is no log but rustls' `KeyLog`, which an application asks for: no logging crate, nothing printed.
#[test]
fn nothing_reaches_a_log_or_a_terminal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in sources(&root.join("src")).into_iter().filter(|path| !path.to_string_lossy().contains("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for word in ["print!(", "println!(", "eprintln!(", "dbg!(", "log::", "tracing::", "stderr()", "stdout()"] {
            let written = code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
                line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            assert!(!written, "{}: {word}", path.display());
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(!["log ", "tracing ", "defmt "].iter().any(|name| dependencies.contains(&format!("\n{name}"))));
}

#[test]
fn a_comparison_that_takes_its_time_is_caught() {
    for line in [
        "if expected == received {",
        "let same = verify_data.as_ref() != body;",
        "match finished.verify_data == *expected {",
        "tag.eq(&received)",
        "cookie.starts_with(&expected_mac)",
        "(binder[..] == *received)",
    ] {
        assert!(compares(line), "{line}");
    }
    for line in ["if binder.len() == 32 {", "key.number == number", "ty == ExtensionType::COOKIE", "tag >= 3"] {
        assert!(!compares(line), "{line}");
    }
}

/// Whether octets that authenticate something are an operand of an ordinary comparison.
fn compares(line: &str) -> bool {
    const SIGNS: [&str; 5] = [" == ", " != ", ".eq(", ".ne(", ".starts_with("];
    const NAMES: [&str; 7] = ["verify_data", "binder", "tag", "mac", "expected_mac", "received", "cookie"];
    /// What may stand behind a name without changing what it is.
    const VIEWS: [&str; 4] = ["as_ref", "as_slice", "to_vec", "octets"];
    let is_named = |operand: &str| {
        let trim = |name: &str| name.trim_matches(|c: char| "(){}[]*&;. ".contains(c)).to_owned();
        let mut name = trim(operand);
        while let Some(rest) = VIEWS.iter().find_map(|view| name.strip_suffix(view)) {
            name = trim(rest);
        }
        NAMES.contains(&name.rsplit('.').next().unwrap_or_default())
    };
    SIGNS.iter().any(|sign| {
        line.match_indices(sign).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + sign.len()..]);
            let left = before.rsplit(' ').next().unwrap_or_default();
            let right = after.split([' ', ',']).next().unwrap_or_default();
            is_named(left) || is_named(right)
        })
    })
}

/// Names of fields that hold secrets.
const KEYS: [&str; 6] = ["secret", "iv", "psk", "key", "premaster", "master"];

/// Name and type of a field of a struct; not of a function's parameter, which is a borrow as a rule.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_suffix(',')?;
    let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub(super) ")).unwrap_or(line);
    let (name, ty) = line.split_once(": ")?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (is_name && !ty.contains('(')).then_some((name, ty))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}
