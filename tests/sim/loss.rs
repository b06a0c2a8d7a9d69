//! Every loss of one datagram and of two, retransmissions included (RFC 6347 §4.2.4, RFC 9147 §5.8).

use crate::kinds::{self, Shape};
use crate::network::{Fault, Network, Weather};
use crate::pair::{check, prove};
use crate::patterns::{self, Depth};
pub(crate) use crate::tally::{SEED, Tally};
use std::time::Duration;
use udtls::{Event, HandshakeKind};

#[test]
fn clean_runs_complete_without_retransmission() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        let mut pair = crate::pair::Pair::new(kind, SEED, Network::with_faults(&[]));
        let figures = crate::pair::prove_handshake(&mut pair);
        for side in [&pair.client, &pair.server] {
            check!(pair, side.connection.stats().retransmissions == 0, "nothing is sent again");
            check!(pair, side.connection.stats().discarded_in_all() == 0, "nothing is discarded");
        }
        // 1.2: two round trips; 1.3: one and a half until the server has the client's Finished, with a retry one more.
        let one_way = Weather::default().latency;
        let ways = match (kind.version, kind.shape) {
            (udtls::ProtocolVersion::DTLS1_2, Shape::Resumed) => 3,
            (udtls::ProtocolVersion::DTLS1_2, Shape::Cookie) => 6,
            (udtls::ProtocolVersion::DTLS1_2, _) => 4,
            (_, shape) if shape.is_retried() => 5,
            _ => 3,
        };
        check!(pair, figures.complete_at == one_way * ways, "no time is wasted");
        // RFC 9147 §5.8.1: the client's last flight is acknowledged at once. In 1.2 it is the server's, and nothing is.
        let acknowledged = if kind.version == udtls::ProtocolVersion::DTLS1_2 { ways } else { ways + 1 };
        // An ACK of fifteen records is longer than 256 octets: the first are sent and acknowledged again.
        let acknowledged = match (kind.version, kind.shape, kind.mtu) {
            (udtls::ProtocolVersion::DTLS1_3, Shape::LongChains, 256) => acknowledged + 6,
            _ => acknowledged,
        };
        // Tickets come last, and their ACK is in no hurry: a quarter of the retransmission timeout, if the path has not taught
        // a shorter one (RFC 9147 §5.8.2, §7.1).
        if kind.shape == Shape::Resumed {
            check!(
                pair,
                figures.quiet_at <= one_way * acknowledged + Duration::from_millis(300),
                "tickets are acknowledged"
            );
        } else {
            check!(pair, figures.quiet_at == one_way * acknowledged, "the last flight is acknowledged at once");
        }
        let kinds = [&pair.client, &pair.server].map(|side| side.connection.negotiated().map(|n| n.handshake_kind()));
        let resumed = kinds == [Some(HandshakeKind::Resumed); 2];
        check!(pair, resumed == (kind.shape == Shape::Resumed), "what is to be resumed is");
        pair.check_data();
        let sizes: Vec<_> = pair.network.ladder.rungs.iter().filter(|r| r.what == crate::ladder::What::Sent).collect();
        println!(
            "{:<32} {} datagrams, {} octets",
            kind.to_string(),
            figures.sent,
            sizes.iter().map(|r| r.datagram.len()).sum::<usize>()
        );
    });
}

/// Up to two, and with `UDTLS_DEEP=1` up to three.
#[test]
fn t1_every_loss_of_a_few_datagrams() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        for (class, tally) in patterns::losses(kind, Depth::from_environment()) {
            tally.check(kind, class);
        }
    });
}

/// RFC 5077 §3.3: where the server gives a ticket, its last flight has one message more, and the client awaits it.
#[test]
fn t1_every_loss_of_a_few_datagrams_around_a_ticket_of_dtls_1_2() {
    kinds::for_each(&kinds::with_tickets(), |kind| {
        let pair = &mut crate::pair::Pair::new(kind, SEED, Network::with_faults(&[]));
        crate::pair::prove_handshake(pair);
        pair.client.drain_events();
        check!(pair, pair.client.events.contains(&Event::SessionTicket), "there is a ticket");
        for (class, tally) in patterns::losses(kind, Depth::Full) {
            tally.check(kind, class);
        }
    });
}

#[test]
fn t1_every_loss_of_three_datagrams_of_a_short_handshake() {
    let short: Vec<_> = kinds::all().iter().filter(|kind| kind.shape.losses() == 3 && kind.mtu == 1200).collect();
    kinds::for_each(&short, |kind| {
        for (class, tally) in patterns::losses(kind, Depth::Full) {
            tally.check(kind, class);
        }
    });
}

/// A server that keeps nothing keeps the fragments of a ClientHello for so long that another sending brings what the one
/// before has lost, however late: here each loses a datagram, and those before them all of theirs.
#[test]
fn t1_what_one_sending_of_a_client_hello_has_lost_the_next_brings() {
    let fragmented = |kind: &&&kinds::Kind| kind.shape == Shape::CookieHybrid;
    let kinds = kinds::with_cookies();
    let kinds: Vec<_> = kinds.iter().filter(fragmented).copied().collect();
    kinds::for_each(&kinds, |kind| {
        // How many datagrams it has: more and more, for the MTU falls.
        let mut alone = crate::pair::Pair::new(kind, SEED, Network::with_faults(&[]));
        alone.network.lose_all(crate::provider::End::Client, true);
        alone.run(crate::pair::PATIENCE);
        let bursts = alone.network.bursts;
        assert!(bursts.len() == 13 && bursts.iter().all(|datagrams| *datagrams > 1), "{kind}: {bursts:?}");
        for wholly in 2..12 {
            let all = (0..wholly).flat_map(|burst| (0..bursts[burst]).map(move |place| Fault::LoseOf(burst, place)));
            // The beginning of one, and the end of the other.
            let one = [Fault::LoseOf(wholly, 0), Fault::LoseOf(wholly + 1, bursts[wholly + 1] - 1)];
            let faults: Vec<_> = all.chain(one).collect();
            let mut pair = crate::pair::Pair::new(kind, SEED, Network::with_faults(&faults));
            while pair.client.connection.stats().datagrams_received == 0 {
                pair.run(pair.now + Duration::from_secs(1));
                check!(pair, pair.now < crate::pair::PATIENCE, "the server answers");
            }
            let sendings = pair.client.connection.stats().retransmissions + 1;
            let needed = u64::try_from(wholly + 2).expect("few");
            check!(pair, sendings == needed, format!("{sendings} sendings for {needed}"));
            prove(kind, SEED, Network::with_faults(&faults));
        }
    });
}

/// With the cryptography that applications use.
#[test]
fn every_loss_of_one_datagram_with_aws_lc() {
    kinds::for_each(&kinds::with_aws_lc().iter().collect::<Vec<_>>(), |kind| {
        let mut tally = Tally::default();
        let Some(clean) = tally.attempt(|| prove(kind, SEED, Network::with_faults(&[]))) else {
            return tally.check(kind, "aws-lc, none lost");
        };
        for ordinal in 0..clean.sent {
            tally.attempt(|| prove(kind, SEED, Network::with_faults(&[Fault::Lose(ordinal)])));
        }
        tally.check(kind, "aws-lc, one lost");
    });
}

#[test]
fn t9_a_path_that_eats_large_datagrams_is_found_out() {
    kinds::for_each(&kinds::with_cookies(), |kind| {
        // RFC 9147 §4.4: after two expiries without an answer datagrams get shorter.
        let hole = Weather { mtu: 600, ..Weather::default() };
        let mut tally = Tally::default();
        let mut pair = crate::pair::Pair::new(kind, SEED, Network::with_weather(hole, SEED));
        tally.add(crate::pair::prove_handshake(&mut pair));
        pair.check_data();
        tally.print(kind, "black hole at 600");
    });
}
