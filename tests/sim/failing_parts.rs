//! A part of the provider fails, once, at every place of a handshake and of what follows it: the end is an error and an alert,
//! never a panic, a hang, an association that is half of something, or a handshake that is complete although what failed
//! mattered. And what a path makes of any single record.

use crate::failing::{self, Calls, FailingTicketer, Fuse, Part};
use crate::kinds::{self, Kind, Shape};
use crate::knobs::clean_datagrams;
use crate::ladder::split_records;
use crate::loss::SEED;
use crate::network::{Fault, Network};
use crate::pair::{PATIENCE, Pair, Stop, check};
use crate::pki::FixedTime;
use crate::provider::{End, provider};
use crate::sessions::{resume, want_tickets};
use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};
use udtls::{
    ClientConfig, CloseReason, ConfigError, Error, Event, KeyUpdateRequest, ProtocolVersion, SendError, ServerConfig,
    Ticketer,
};

type Base = fn(End) -> Arc<CryptoProvider>;

/// Both the simulator's provider, whose calls are cheap, and the one that applications use.
const BASES: [Base; 2] = [provider, |_| Arc::new(rustls::crypto::aws_lc_rs::default_provider())];

/// Every shape of both versions.
const SHAPES: [(ProtocolVersion, &[Shape]); 2] = [
    (
        ProtocolVersion::DTLS1_2,
        &[Shape::ServerAuth, Shape::MutualAuth, Shape::LongChains, Shape::Resumed, Shape::Cookie],
    ),
    (
        ProtocolVersion::DTLS1_3,
        &[
            Shape::ServerAuth,
            Shape::MutualAuth,
            Shape::LongChains,
            Shape::Retry,
            Shape::Hybrid,
            Shape::RetryHybrid,
            Shape::Resumed,
            Shape::Cookie,
            Shape::CookieHybrid,
        ],
    ),
];

static FAILING: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let mut kinds = Vec::new();
    failing::disarm();
    for base in BASES {
        for (version, shapes) in SHAPES {
            kinds.extend(shapes.iter().map(|shape| failing_kind(version, *shape, base)));
        }
    }
    kinds
});

/// Such a handshake, in which the server gives tickets of a ticketer that can fail too.
fn failing_kind(version: ProtocolVersion, shape: Shape, base: Base) -> Kind {
    // A session that is resumed has to be one of that ticketer's.
    let full = if shape == Shape::Resumed { Shape::ServerAuth } else { shape };
    let kind = Kind::with_provider(version, full, 1200, |end| failing::failing(end, base(end)), |_| {});
    let (mut client, mut server) = (ClientConfig::clone(&kind.client), ServerConfig::clone(&kind.server));
    let ticketer = Ticketer::from_secret([7; 32], provider(End::Server), Arc::new(FixedTime));
    server.set_ticketer(Arc::new(FailingTicketer(ticketer)));
    let server = Arc::new(server);
    match shape {
        Shape::Resumed => resume(&mut client, &server),
        _ => want_tickets(&mut client),
    }
    Kind { shape, client: Arc::new(client), server, ..kind }
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The application was refused what it asked for, and no association was there to be harmed.
    Refused,
    /// An error at the end whose part failed, and an alert.
    Failed,
    /// Nothing but that it went without what failed.
    Went,
}

#[test]
fn a5_k4_a_part_that_fails_ends_the_handshake_in_an_error_and_an_alert() {
    let kinds: Vec<_> = FAILING.iter().collect();
    kinds::for_each(&kinds, |kind| {
        let (clean, went) = run(kind, None);
        assert_eq!(went, Ending::Went);
        let mut counts = [0; 3];
        for end in End::BOTH {
            for part in Part::ALL {
                for call in 1..=clean[end as usize][part as usize] {
                    let fuse = Fuse { end, part, call };
                    let (calls, went) = run(kind, Some(fuse));
                    assert!(calls[end as usize][part as usize] >= call, "{kind}: {fuse:?} was not reached");
                    // What is only of use to a later handshake, or has another way round, may go missing: these answer "not so"
                    // rather than fail.
                    let dispensable = matches!(part, Part::Scheme | Part::TicketSealing | Part::TicketOpening);
                    assert!(dispensable || went != Ending::Went, "{kind}: {fuse:?} did not matter");
                    counts[went as usize] += 1;
                }
            }
        }
        println!("{:<32} {} refused, {} failed, {} went", kind.to_string(), counts[0], counts[1], counts[2]);
    });
}

/// A handshake, new keys where the version has them, keying material, data and the end, with this call failing.
fn run(kind: &'static Kind, fuse: Option<Fuse>) -> (Calls, Ending) {
    failing::arm(fuse);
    let ending = live(kind, fuse);
    (failing::disarm(), ending)
}

fn live(kind: &'static Kind, fuse: Option<Fuse>) -> Ending {
    let mut pair = match Pair::attempt(kind, SEED, Network::with_faults(&[])) {
        Ok(pair) => pair,
        Err(error) => {
            assert_eq!(error, ConfigError::Provider, "{kind}: {fuse:?}");
            return Ending::Refused;
        }
    };
    let stop = pair.run(PATIENCE);
    check!(pair, stop == Stop::Quiet, format!("{fuse:?}: no hang"));
    let mut refused = pair.refused_clients();
    if End::BOTH.into_iter().all(|end| pair.side(end).connection.is_established()) {
        refused += afterwards(&mut pair, fuse);
    }
    let failures = End::BOTH.map(|end| failure(&mut pair, end));
    match failures {
        [None, None] if refused > 0 => Ending::Refused,
        [None, None] => Ending::Went,
        _ => {
            check_failure(&mut pair, fuse.expect("nothing was to fail"), &failures);
            Ending::Failed
        }
    }
}

/// What an established association does; how often the application was refused.
fn afterwards(pair: &mut Pair, fuse: Option<Fuse>) -> usize {
    let version = pair.client.connection.negotiated().map(|n| n.version());
    if version == Some(ProtocolVersion::DTLS1_3) {
        for end in End::BOTH {
            let now = pair.instant();
            let requested = pair.side(end).connection.request_key_update(now, KeyUpdateRequest::Requested);
            check!(pair, requested.is_ok(), format!("{fuse:?}: new keys may be asked for"));
        }
        let stop = pair.run(pair.now + PATIENCE);
        check!(pair, stop == Stop::Quiet, format!("{fuse:?}: no hang of an update"));
    }
    let mut refused = 0;
    let exported = End::BOTH.map(|end| {
        let mut out = [0; 32];
        let exported = pair.side(end).connection.export_keying_material(b"EXPORTER-sim", None, &mut out);
        refused += usize::from(exported.is_err());
        exported.map(|()| out)
    });
    check!(
        pair,
        exported.iter().any(Result::is_err) || exported[0] == exported[1],
        format!("{fuse:?}: the exporters agree")
    );
    // What was not called by now is not: from here on the test asks for the same again.
    failing::disarm();
    let both = |pair: &mut Pair| End::BOTH.into_iter().all(|end| failure(pair, end).is_none());
    if both(pair) {
        pair.check_data();
        for end in End::BOTH {
            let now = pair.instant();
            pair.side(end).connection.close(now);
            let stop = pair.run(pair.now + PATIENCE);
            check!(pair, stop == Stop::Quiet, format!("{fuse:?}: no hang of the end"));
        }
        check!(pair, both(pair), format!("{fuse:?}: closed, not failed"));
    } else {
        // An export that was refused along with it is no refusal of a live association.
        refused = 0;
    }
    refused
}

/// The error that an end ended by.
fn failure(pair: &mut Pair, end: End) -> Option<Error> {
    pair.side(end).drain_events();
    let mut failures = pair.side(end).events.iter().filter_map(|event| match event {
        Event::Closed(CloseReason::Failed(error)) => Some(error.clone()),
        _ => None,
    });
    let failure = failures.next();
    let more = failures.count();
    check!(pair, more == 0, format!("{end:?} fails once"));
    failure
}

/// The one failed for its part's sake and sent an alert, the other has heard it, and neither is anything any more.
fn check_failure(pair: &mut Pair, fuse: Fuse, failures: &[Option<Error>; 2]) {
    let told = |of: usize| match (&failures[of], &failures[1 - of]) {
        (Some(error), Some(Error::AlertReceived(heard))) => error.alert() == Some(*heard),
        _ => false,
    };
    check!(pair, told(0) || told(1), format!("{fuse:?}: an alert says why: {failures:?}"));
    // A part that says nothing else has the peer find out: a certificate that is not sent, a key that fits nothing.
    let indirect = matches!(fuse.part, Part::Scheme | Part::TicketOpening);
    check!(pair, indirect || told(fuse.end as usize), format!("{fuse:?}: whose part failed says so: {failures:?}"));
    for end in End::BOTH {
        let received = pair.side(end).failure.clone();
        check!(pair, received.is_none() || received == failures[end as usize], format!("{fuse:?}: one reason"));
        check!(pair, pair.deadline_of(end).is_none(), format!("{fuse:?}: {end:?} waits for nothing"));
        check!(pair, pair.poll_transmit(end).is_empty(), format!("{fuse:?}: {end:?} has nothing left to say"));
        check!(pair, !pair.side(end).connection.is_established(), format!("{fuse:?}: {end:?} is nothing any more"));
        let sent = pair.seal(end, b"data");
        let refused = matches!(sent, Err(SendError::Closed | SendError::NotConnected));
        check!(pair, refused, format!("{fuse:?}: {end:?} sends no data: {sent:?}"));
        let mut out = [0; 32];
        let exported = pair.side(end).connection.export_keying_material(b"EXPORTER-sim", None, &mut out);
        // Who was complete may still want to know what it had in common with the peer.
        let was_complete = pair.side(end).events.contains(&Event::HandshakeComplete);
        let nothing = exported.is_err() && out == [0; 32];
        check!(pair, was_complete || nothing, format!("{fuse:?}: {end:?} exports nothing"));
    }
}

/// A provider that is broken from the beginning makes no configuration, or one that makes no association.
#[test]
fn a_provider_that_is_broken_from_the_beginning_is_a_callers_error() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let kind: &'static Kind = Box::leak(Box::new(failing_kind(version, Shape::ServerAuth, provider)));
        for part in [Part::Random, Part::KeyGeneration] {
            failing::arm(Some(Fuse { end: End::Client, part, call: 1 }));
            let attempt = Pair::attempt(kind, SEED, Network::with_faults(&[]));
            let calls = failing::disarm()[End::Client as usize][part as usize];
            // DTLS 1.2 draws its key pair when the server has chosen the group.
            assert_eq!(attempt.is_err(), calls > 0, "{kind}: {part:?}");
            assert_eq!(attempt.err(), (calls > 0).then_some(ConfigError::Provider));
        }
    }
}

/// One bit of each record falls over, at each of these places. UDP's checksum would have caught it; nothing else protects
/// plaintext until the Finished, and that it does.
#[test]
fn a_record_damaged_once_is_sent_again_or_ends_the_handshake_at_both_ends() {
    let kinds: Vec<_> = kinds::with_cookies().into_iter().filter(|kind| kind.mtu == 1200).collect();
    kinds::for_each(&kinds, |kind| {
        let (mut completed, mut ended) = (0, 0);
        for (ordinal, datagram) in clean_datagrams(kind).iter().enumerate() {
            let mut start = 0;
            for record in split_records(datagram) {
                let plaintext = matches!(record, [20..=26, _, _, 0, 0, ..]);
                for at in places(record.len()) {
                    let mut pair = Pair::new(kind, SEED, Network::with_faults(&[Fault::Corrupt(ordinal, start + at)]));
                    let stop = pair.run(PATIENCE * 6);
                    check!(pair, stop == Stop::Quiet, "no hang");
                    let failures = End::BOTH.map(|end| failure(&mut pair, end));
                    let established = End::BOTH.map(|end| pair.side(end).connection.is_established());
                    if established == [true; 2] {
                        completed += 1;
                        pair.check_complete();
                        check!(pair, pair.agreed(), "both agreed on the same");
                        pair.check_data();
                        continue;
                    }
                    ended += 1;
                    check!(pair, plaintext, "what is protected and does not open leaves no trace");
                    check!(pair, established == [false; 2], format!("neither is complete: {failures:?}"));
                    // An endpoint that has not seen a cookie has nothing to fail.
                    let unheard = pair.server.connection.stats().datagrams_received == 0;
                    check!(pair, failures[0].is_some() && (failures[1].is_some() || unheard), "both say so");
                }
                start += record.len();
            }
        }
        println!("{:<32} {completed} completed, {ended} ended", kind.to_string());
        assert!(completed > 0 && ended > 0, "{kind}");
    });
}

/// All of the headers, and the rest in steps.
fn places(len: usize) -> impl Iterator<Item = usize> {
    const HEADERS: usize = 13 + 12;
    (0..len.min(HEADERS)).chain((HEADERS..len).step_by(len / 16 + 1)).chain(len.checked_sub(1))
}
