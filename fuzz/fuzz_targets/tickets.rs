//! Sessions on their way through tickets and through octets.
//!
//! * A ticket opens where its secret is, in its period and those beside it, as what was sealed; changed it opens nowhere.
//! * A session that can be read from octets is written as the same octets.
//! * Whatever comes out of a ticket or of a client's store, what completes agrees at both ends, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::pki_types::ServerName;
use rustls::server::ProducesTickets;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use udtls::{ClientConfig, ClientSessionStore, Connection, ServerConfig, Session, Ticketer};
use udtls_fuzz::{
    input::Input,
    kinds::{Clock, KINDS, Kind, ORIGIN, Shape, UNIX_TIME, server_name, set_unix_time},
    provider::{End, provider},
    subject::Subject,
};

fuzz_target!(|data: &[u8]| {
    KINDS[0].begin();
    let mut input = Input::new(data);
    match input.below(4) {
        0 => sealing(&mut input),
        1 => octets(&mut input),
        2 => from_ticket(&mut input),
        _ => from_store(&mut input),
    }
});

// ---- what seals

/// Seconds.
const LIFETIMES: [u64; 3] = [1, 1000, 604_800];

/// Period, salt and nonce, before what is sealed.
const HEAD_LEN: usize = 8 + 16 + 12;

const MAX_STEPS: usize = 50;

/// Of datagrams both ways, or of time that passes.
const MAX_ROUNDS: usize = 100;

/// Its time, by whom and what.
struct Sealed {
    period: u64,
    by: usize,
    plain: Vec<u8>,
    ticket: Vec<u8>,
}

fn sealing(input: &mut Input<'_>) {
    let lifetime = LIFETIMES[input.below(LIFETIMES.len())];
    let ticketer = |secret| {
        Ticketer::from_secret([secret; 32], provider(End::Server), Arc::new(Clock))
            .with_lifetime(Duration::from_secs(lifetime))
    };
    // Two of a fleet, and a stranger.
    let ticketers = [1, 1, 2].map(ticketer);
    let secret = |which: usize| which / 2;
    let (mut now, mut all) = (UNIX_TIME, Vec::<Sealed>::new());
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        set_unix_time(now);
        match input.below(4) {
            0 => {
                let (by, plain) = (input.below(3), input.short().to_vec());
                let ticket = ticketers[by].encrypt(&plain).expect("a ticket");
                let body = &ticket[HEAD_LEN..];
                assert!(plain.len() < 16 || !body.windows(plain.len()).any(|window| window == plain), "sealed");
                all.push(Sealed { period: now / lifetime, by, plain, ticket });
            }
            1 => now = now.saturating_add_signed((i64::from(input.u16()) - 0x4000) << (input.u8() & 7)),
            2 => {
                let Some(sealed) = all.len().checked_sub(1 + input.below(8)).map(|at| &all[at]) else { continue };
                let by = input.below(3);
                let opened = ticketers[by].decrypt(&sealed.ticket);
                let opens = secret(by) == secret(sealed.by) && sealed.period.abs_diff(now / lifetime) <= 1;
                assert_eq!(opened.as_ref(), opens.then_some(&sealed.plain));
            }
            _ => {
                let Some(sealed) = all.last() else { continue };
                let mut ticket = sealed.ticket.clone();
                match input.below(3) {
                    0 => {
                        let at = usize::from(input.u16()) % ticket.len();
                        ticket[at] ^= input.u8();
                    }
                    1 => ticket.truncate(usize::from(input.u16()) % ticket.len()),
                    _ => ticket.extend_from_slice(input.short()),
                }
                if ticket != sealed.ticket {
                    ticketers.iter().for_each(|ticketer| assert_eq!(ticketer.decrypt(&ticket), None, "changed"));
                }
            }
        }
    }
}

fn octets(input: &mut Input<'_>) {
    let octets = input.rest();
    let Ok(session) = Session::from_bytes(octets) else { return };
    assert_eq!(session.to_bytes(), octets, "one session has one form");
    drop(format!("{session:?}"));
}

// ---- what was sealed, or kept, and is something else now

thread_local! {
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Remembers what it seals, and opens every ticket as what it is told to.
#[derive(Debug)]
struct Told;

impl ProducesTickets for Told {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        43_200
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        // What comes later in a run is of no use.
        PLAIN.with_borrow_mut(|kept| kept.is_empty().then(|| kept.extend_from_slice(plain)));
        Some(b"a ticket".to_vec())
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(PLAIN.with_borrow(Vec::clone))
    }
}

#[derive(Debug, Default)]
struct Kept(Mutex<Option<Session>>);

impl ClientSessionStore for Kept {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        self.0.lock().expect("nobody panics").get_or_insert(session);
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().expect("nobody panics").clone()
    }
}

struct Resumption {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    store: Arc<Kept>,
    /// What the server's ticket holds, and the client's session as octets.
    plain: Vec<u8>,
    session: Vec<u8>,
}

static RESUMPTIONS: LazyLock<Vec<Resumption>> = LazyLock::new(|| {
    let plain = |kind: &&Kind| matches!(kind.shape, Shape::Plain | Shape::Mutual);
    KINDS.iter().filter(plain).map(Resumption::new).collect()
});

impl Resumption {
    fn new(kind: &Kind) -> Self {
        kind.begin();
        PLAIN.with_borrow_mut(Vec::clear);
        let store = Arc::new(Kept::default());
        let (mut client, mut server) = (ClientConfig::clone(&kind.client), ServerConfig::clone(&kind.server));
        client.set_session_store(store.clone());
        server.set_ticketer(Arc::new(Told));
        let (client, server) = (Arc::new(client), Arc::new(server));
        let new = Self { client, server, store, plain: Vec::new(), session: Vec::new() };
        let ends = new.run();
        assert!(ends.iter().all(|end| end.complete), "nothing is in its way");
        let session = new.store.0.lock().expect("nobody panics").clone().expect("the server gives a session");
        Self { plain: PLAIN.with_borrow(Vec::clone), session: session.to_bytes(), ..new }
    }

    /// A handshake, as far as it goes.
    fn run(&self) -> [Subject; 2] {
        let client = Connection::client(self.client.clone(), Some(server_name()), *ORIGIN).expect("a client");
        let server = Connection::server(self.server.clone(), *ORIGIN).expect("a server");
        let mut ends = [client, server].map(|connection| Subject::new(connection, *ORIGIN));
        let over = |ends: &[Subject; 2]| {
            ends.iter().all(|end| end.complete) || ends.iter().any(|end| end.failure.is_some() || end.is_closed())
        };
        // Long enough for the last retransmission of one whose peer has other keys.
        for _ in 0..MAX_ROUNDS {
            let mut quiet = true;
            for from in End::BOTH {
                for datagram in ends[from as usize].transmit() {
                    quiet = false;
                    ends[from.other() as usize].receive(datagram);
                }
            }
            if quiet && over(&ends) {
                break;
            }
            if quiet {
                ends.iter_mut().for_each(Subject::expire);
            }
        }
        ends
    }

    fn check(&self) {
        let ends = self.run();
        let [one, other] = ends.each_ref().map(|end| end.exported());
        if let (Some(one), Some(other)) = (one, other) {
            assert_eq!(one, other, "both agree");
            let [mut client, mut server] = ends;
            let datagram = client.send(b"data").expect("it is complete");
            server.receive(datagram);
            assert!(server.data == [b"data"], "data passes");
            client.finish();
            server.finish();
        } else {
            assert!(ends.iter().any(|end| end.failure.is_some() || end.is_closed()), "agreement or an error: {ends:?}");
            ends.into_iter().for_each(Subject::finish);
        }
    }
}

/// Octets of the genuine ones, changed as the input says, or others.
fn changed(genuine: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut octets = genuine.to_vec();
    if input.below(8) == 0 {
        return input.rest().to_vec();
    }
    for _ in 0..input.below(4) {
        let at = usize::from(input.u16()) % (octets.len() + 1);
        match input.below(3) {
            0 => octets.iter_mut().skip(at).take(1).for_each(|octet| *octet ^= input.u8()),
            1 => octets.truncate(at),
            _ => {
                let with = input.short();
                let end = (at + input.below(64)).min(octets.len());
                drop(octets.splice(at..end, with.iter().copied()));
            }
        }
    }
    octets
}

fn from_ticket(input: &mut Input<'_>) {
    let resumption = &RESUMPTIONS[input.below(RESUMPTIONS.len())];
    set_unix_time(UNIX_TIME + u64::from(input.u16()));
    let plain = changed(&resumption.plain, input);
    PLAIN.set(plain);
    *resumption.store.0.lock().expect("nobody panics") = Session::from_bytes(&resumption.session).ok();
    resumption.check();
}

fn from_store(input: &mut Input<'_>) {
    let resumption = &RESUMPTIONS[input.below(RESUMPTIONS.len())];
    set_unix_time(UNIX_TIME + u64::from(input.u16()));
    PLAIN.set(resumption.plain.clone());
    let session = Session::from_bytes(&changed(&resumption.session, input));
    *resumption.store.0.lock().expect("nobody panics") = session.ok();
    resumption.check();
}
