//! The end of an association: close_notify both ways, lost or not, and fatal alerts with their reason on both sides
//! (RFC 5246 §7.2, RFC 8446 §6, RFC 9147 §5.10).

use crate::kinds;
use crate::network::{Fault, Network};
use crate::pair::{PATIENCE, Pair, Stop, check};
use crate::provider::End;
use std::time::Duration;
use udtls::{AlertDescription, CloseReason, Error, Event, ProtocolVersion, SendError};

const LOCAL: Event = Event::Closed(CloseReason::Local);
const PEER: Event = Event::Closed(CloseReason::Peer);

fn close(pair: &mut Pair, end: End) {
    let now = pair.instant();
    pair.side(end).connection.close(now);
    pair.side(end).connection.close(now);
    let stop = pair.run(pair.now + PATIENCE);
    pair.client.drain_events();
    pair.server.drain_events();
    check!(pair, stop == Stop::Quiet, "a closed association rests");
}

/// How often an event came.
fn count(pair: &mut Pair, end: End, event: &Event) -> usize {
    pair.side(end).events.iter().filter(|e| *e == event).count()
}

fn check_closed(pair: &mut Pair) {
    for end in End::BOTH {
        check!(pair, count(pair, end, &Event::PeerClosed) == 1, "each end hears of it once");
        check!(pair, count(pair, end, &LOCAL) + count(pair, end, &PEER) == 1, "and of its own end");
        check!(pair, pair.side(end).connection.is_peer_closed(), "it stays told");
        check!(pair, pair.deadline_of(end).is_none(), "nothing is waited for");
        check!(pair, pair.poll_transmit(end).is_empty(), "nothing is left to say");
        check!(pair, pair.seal(end, b"more") == Err(SendError::Closed), "nothing more is sent");
    }
}

/// RFC 8446 §6.1: "This does not have any effect on its read side of the connection."
#[test]
fn one_side_closes_and_the_other_goes_on_where_the_version_has_it() {
    kinds::for_all(|kind| {
        if kind.version != ProtocolVersion::DTLS1_3 {
            return;
        }
        for first in End::BOTH {
            let mut pair = Pair::established(kind, 1);
            let second = first.other();
            // Sent before the close_notify, overtaken by it: it counts (RFC 9147 §5.10).
            let straggler = pair.seal(first, b"straggler").expect("an established association");
            close(&mut pair, first);
            check!(pair, count(&mut pair, second, &Event::PeerClosed) == 1, "the other end hears of it");
            check!(pair, !pair.side(first).connection.is_peer_closed(), "and has not closed");
            pair.deliver(second, straggler);
            check!(pair, pair.side(second).delivered.contains(&b"straggler".to_vec()), "what was sent before counts");
            check!(pair, pair.seal(first, b"more") == Err(SendError::Closed), "who closed says no more");
            // The other may still talk, and is heard; it may change its keys for that.
            pair.send(second, b"last words").expect("the other end may still send");
            pair.run(pair.now + PATIENCE);
            check!(pair, pair.side(first).delivered.contains(&b"last words".to_vec()), "the other end may still talk");
            close(&mut pair, second);
            check!(pair, End::BOTH.map(|end| count(&mut pair, end, &LOCAL)) == [1, 1], "both closed of themselves");
            check_closed(&mut pair);
        }
    });
}

/// RFC 5246 §7.2.1: "MUST respond with a close_notify alert of its own and close down the connection immediately".
#[test]
fn one_side_closes_both_where_the_version_wants_it() {
    kinds::for_all(|kind| {
        if kind.version != ProtocolVersion::DTLS1_2 {
            return;
        }
        for first in End::BOTH {
            let mut pair = Pair::established(kind, 1);
            let second = first.other();
            let straggler = pair.seal(first, b"straggler").expect("an established association");
            close(&mut pair, first);
            check!(
                pair,
                [count(&mut pair, first, &LOCAL), count(&mut pair, second, &PEER)] == [1, 1],
                "who closed whom"
            );
            check_closed(&mut pair);
            pair.deliver(second, straggler);
            check!(pair, pair.side(second).delivered.contains(&b"straggler".to_vec()), "what was sent before counts");
            // The application need not know that it is closed already.
            close(&mut pair, second);
            check_closed(&mut pair);
        }
    });
}

/// An alert is sent once; data that comes a while after it shows that it was lost, and it is sent again.
#[test]
fn a_close_notify_that_was_lost_is_repeated_to_a_peer_that_goes_on() {
    kinds::for_all(|kind| {
        for end in End::BOTH {
            for lost in 0..=5 {
                let mut pair = Pair::established(kind, 1);
                let other = end.other();
                let now = pair.instant();
                pair.side(end).connection.close(now);
                let mut sent = 0;
                for second in 0..10 {
                    for datagram in pair.poll_transmit(end) {
                        sent += 1;
                        if sent > lost {
                            pair.deliver(other, datagram);
                        }
                    }
                    if pair.side(other).connection.is_peer_closed() {
                        break;
                    }
                    // Data in a burst is answered once.
                    for n in 0..3 {
                        let data = pair.seal(other, &[second, n]).expect("an end that heard nothing");
                        pair.deliver(end, data);
                        check!(pair, pair.side(end).delivered.contains(&vec![second, n]), "what comes is heard");
                    }
                    pair.now += Duration::from_secs(1);
                }
                check!(pair, sent == (lost + 1).min(4), format!("{sent} times with {lost} lost"));
                check!(pair, pair.side(other).connection.is_peer_closed() == (lost < 4), "within bounds");
                if lost < 4 {
                    close(&mut pair, other);
                    check_closed(&mut pair);
                }
            }
        }
    });
}

/// Whatever is lost, nobody waits for an answer that may not come.
#[test]
fn closing_waits_for_nobody() {
    kinds::for_all(|kind| {
        for end in End::BOTH {
            let sent = Pair::established(kind, 1).network.sent;
            let mut pair = Pair::new(kind, 1, Network::with_faults(&[Fault::Lose(sent), Fault::Lose(sent + 1)]));
            pair.run(PATIENCE);
            close(&mut pair, end);
            check!(pair, pair.side(end).events.last() == Some(&LOCAL), "it is closed");
            check!(pair, !pair.side(end.other()).connection.is_peer_closed(), "unknown to the other");
        }
    });
}

/// An association without a close_notify is not a complete one: a network that cuts it off leaves no other trace.
#[test]
fn truncation_shows() {
    kinds::for_all(|kind| {
        for end in End::BOTH {
            let mut pair = Pair::established(kind, 1);
            pair.send(end, b"first").expect("an established association");
            pair.run(pair.now + PATIENCE);
            // The network keeps back the rest, and the close_notify.
            pair.seal(end, b"second").expect("an established association");
            let now = pair.instant();
            pair.side(end).connection.close(now);
            pair.poll_transmit(end);
            pair.run_for(PATIENCE);
            let other = end.other();
            check!(pair, pair.side(other).delivered == [b"first".to_vec()], "only the first came");
            check!(pair, !pair.side(other).connection.is_peer_closed(), "nobody said that it was all");
            check!(pair, count(&mut pair, other, &Event::PeerClosed) == 0, "nobody said that it was all");
        }
    });
}

#[test]
fn a_fatal_alert_ends_both_sides() {
    kinds::for_all(|kind| {
        for end in End::BOTH {
            let mut pair = Pair::established(kind, 1);
            pair.side(end).connection.abort(AlertDescription::INTERNAL_ERROR);
            pair.run(pair.now + PATIENCE);
            pair.side(end).drain_events();
            let reason = Error::AlertReceived(AlertDescription::INTERNAL_ERROR);
            check!(pair, pair.side(end.other()).failure == Some(reason.clone()), "the other end gets the alert");
            let closed = Event::Closed(CloseReason::Failed(reason));
            check!(pair, pair.side(end.other()).events.contains(&closed), "and says so");
            check!(pair, pair.seal(end, b"x") == Err(SendError::Closed), "nothing more is sent");
            check!(pair, pair.seal(end.other(), b"x") == Err(SendError::Closed), "by neither");
        }
    });
}
