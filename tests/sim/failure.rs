//! Handshakes that must fail: both ends hear why, also if the alert is lost (RFC 8446 §6.2, RFC 9147 §5.10).

use crate::kinds::{self, Kind, Shape};
use crate::network::{Fault, Network};
use crate::pair::{PATIENCE, Pair, Stop, check};
use crate::pki::{Chain, FixedTime, Identity};
use crate::provider::{End, provider};
use std::sync::Arc;
use udtls::{AlertDescription, ClientConfig, CloseReason, Error, Event, ProtocolVersion};

/// A handshake of this version in which the client trusts somebody else.
fn distrustful(version: ProtocolVersion) -> &'static Kind {
    let mut kind = Kind::new(version, Shape::ServerAuth, 1200);
    let stranger = Identity::new(3, Chain::Short);
    let client = ClientConfig::builder_with_provider(provider(End::Client)).with_root_certificates(stranger.roots);
    let mut client = client.expect("roots").with_no_client_auth();
    client.set_versions(&[version]).expect("a version").set_time_provider(Arc::new(FixedTime));
    kind.client = Arc::new(client);
    Box::leak(Box::new(kind))
}

#[test]
fn a_certificate_of_a_stranger_ends_the_handshake_at_both_ends() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let kind = distrustful(version);
        // The alert is the third datagram; it is sent again while the server goes on, three times at most.
        for lost in 0..=3 {
            let faults: Vec<_> = (0..lost).map(|n| Fault::Lose(2 + 2 * n)).collect();
            let mut pair = Pair::new(kind, 1, Network::with_faults(&faults));
            let stop = pair.run(PATIENCE);
            check!(pair, stop == Stop::Quiet, "it comes to an end");
            let certificate = matches!(pair.client.failure, Some(Error::Certificate(_)));
            check!(pair, certificate, "the client says that the certificate is to blame");
            let reason = Error::AlertReceived(AlertDescription::UNKNOWN_CA);
            check!(pair, pair.server.failure == Some(reason.clone()), "the server hears why");
            let closed = Event::Closed(CloseReason::Failed(reason));
            check!(pair, pair.server.events == [closed], "and says so, and nothing else");
            let completed = End::BOTH.map(|end| pair.side(end).complete_at);
            check!(pair, completed == [None, None], "nobody takes it for complete");
        }
        // A server that hears nothing at all is at its end too.
        let faults: Vec<_> = (2..40).map(Fault::Lose).collect();
        let mut pair = Pair::new(kind, 1, Network::with_faults(&faults));
        pair.run(PATIENCE);
        check!(
            pair,
            pair.server.failure.is_none() && pair.deadline_of(End::Server).is_none(),
            "the server is at its end"
        );
        let gave_up = Event::Closed(CloseReason::Failed(Error::TimedOut { last_fault: None }));
        check!(pair, pair.server.events == [gave_up], "and says that nobody answered");
    }
}

#[test]
fn a_client_that_needs_a_certificate_and_has_none_is_refused() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let mut kind = Kind::new(version, Shape::MutualAuth, 1200);
        kind.client = Kind::new(version, Shape::ServerAuth, 1200).client;
        let mut pair = Pair::new(Box::leak(Box::new(kind)), 1, Network::with_faults(&[]));
        pair.run(PATIENCE);
        let alert = match version {
            ProtocolVersion::DTLS1_3 => AlertDescription::CERTIFICATE_REQUIRED,
            _ => AlertDescription::HANDSHAKE_FAILURE,
        };
        check!(pair, pair.server.failure.as_ref().and_then(Error::alert) == Some(alert), "the server refuses it");
        check!(pair, pair.client.failure == Some(Error::AlertReceived(alert)), "the client hears why");
        check!(pair, pair.server.complete_at.is_none(), "the server is not complete");
    }
}

#[test]
fn a_timer_that_is_asked_at_any_time_does_nothing_before_its_time() {
    kinds::for_all(|kind| {
        let clean = crate::pair::prove(kind, 1, Network::with_faults(&[Fault::Lose(1)]));
        let mut pair = Pair::new(kind, 1, Network::with_faults(&[Fault::Lose(1)]));
        pair.run_with(PATIENCE, &mut |pair, _, _| {
            for end in End::BOTH {
                let (now, before) = (pair.instant(), pair.deadline_of(end));
                if before.is_none_or(|deadline| deadline > pair.now) {
                    pair.side(end).connection.handle_timeout(now);
                    check!(pair, pair.deadline_of(end) == before, "the deadline stays");
                }
            }
        });
        let figures = crate::pair::prove_handshake(&mut pair);
        check!(pair, (figures.sent, figures.complete_at) == (clean.sent, clean.complete_at), "and so does the rest");
        pair.check_data();
    });
}
