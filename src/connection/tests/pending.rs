//! Keys and verifiers that answer in their own time, in both roles and versions.

use super::*;
use crate::config::{ClientConfigBuilder, ConfigError, ServerConfigBuilder};
use crate::connection::CloseReason;
use crate::error::ApiMisuse;
use crate::handshake::{HandshakeKind, Pending};
use crate::wire::{AlertDescription, SignatureScheme};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{CertificateError, SignatureAlgorithm};

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn clients() -> ClientConfigBuilder {
    ClientConfig::builder_with_provider(provider())
}

fn servers() -> ServerConfigBuilder {
    ServerConfig::builder_with_provider(provider())
}

fn chain() -> Vec<CertificateDer<'static>> {
    vec![IDENTITY.certificate.clone()]
}

fn pin() -> [Fingerprint; 1] {
    [Fingerprint::of(&IDENTITY.certificate)]
}

/// What the four places where something may be pending do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    ServerSignature,
    ServerChain,
    ClientSignature,
    ClientChain,
}

const WAITS: [Wait; 4] = [Wait::ServerSignature, Wait::ServerChain, Wait::ClientChain, Wait::ClientSignature];

/// A handshake with certificates of both ends, in which these are pending.
fn pair(version: ProtocolVersion, waits: &[Wait], transport: &TransportConfig) -> Pair {
    let (client, server) = configs(version, waits, transport);
    connect(&Arc::new(client), &Arc::new(server))
}

fn configs(version: ProtocolVersion, waits: &[Wait], transport: &TransportConfig) -> (ClientConfig, ServerConfig) {
    let key = || IDENTITY.key.clone_key();
    let client = match waits.contains(&Wait::ServerChain) {
        true => clients().dangerous().with_pending_verification().unwrap(),
        false => clients().with_peer_fingerprints(pin()).unwrap(),
    };
    let mut client = match waits.contains(&Wait::ClientSignature) {
        true => client.with_external_key(chain(), &[SCHEME]).unwrap(),
        false => client.with_client_auth_cert(chain(), key()).unwrap(),
    };
    let server = match waits.contains(&Wait::ClientChain) {
        true => servers().with_pending_verification().unwrap(),
        false => servers().with_client_fingerprints(pin()).unwrap(),
    };
    let mut server = match waits.contains(&Wait::ServerSignature) {
        true => server.with_external_key(chain(), &[SCHEME]).unwrap(),
        false => server.with_single_cert(chain(), key()).unwrap(),
    };
    client.set_versions(&[version]).unwrap().set_transport(transport.clone());
    server.set_versions(&[version]).unwrap().set_transport(transport.clone());
    (client, server)
}

fn connect(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Pair {
    let (now, name) = (Instant::now(), ServerName::try_from("server.example").unwrap());
    Pair {
        client: Connection::client(client.clone(), Some(name), now).unwrap(),
        server: Connection::server(server.clone(), now).unwrap(),
        now,
    }
}

fn usual(version: ProtocolVersion, waits: &[Wait]) -> Pair {
    pair(version, waits, &TransportConfig::new())
}

/// Signs as a security module would.
fn sign(scheme: SignatureScheme, message: &[u8]) -> Vec<u8> {
    let key = provider().key_provider.load_private_key(IDENTITY.key.clone_key()).unwrap();
    key.choose_scheme(&[scheme.into()]).unwrap().sign(message).unwrap()
}

/// Answers what is pending, if anything is.
fn answer(end: &mut Connection, now: Instant) -> bool {
    match end.pending() {
        None => return false,
        Some(Pending::Signature { certificates, scheme, message }) => {
            assert_eq!((certificates, scheme), (&chain()[..], SCHEME));
            let signature = sign(scheme, message);
            end.provide_signature(now, Ok(signature)).unwrap();
        }
        Some(Pending::Verdict { certificates, server_name, .. }) => {
            assert_eq!(certificates, chain());
            assert!(server_name.is_none_or(|name| name.to_str() == "server.example"));
            end.provide_verdict(now, Ok(())).unwrap();
        }
    }
    assert_eq!(end.provide_verdict(now, Ok(())), Err(ApiMisuse::NotPending));
    true
}

impl Wait {
    fn end(self, pair: &mut Pair) -> &mut Connection {
        match self {
            Self::ServerSignature | Self::ClientChain => &mut pair.server,
            Self::ServerChain | Self::ClientSignature => &mut pair.client,
        }
    }

    fn peer(self, pair: &mut Pair) -> &mut Connection {
        match self {
            Self::ServerSignature | Self::ClientChain => &mut pair.client,
            Self::ServerChain | Self::ClientSignature => &mut pair.server,
        }
    }
}

/// Runs until what is to be pending is.
fn waiting(version: ProtocolVersion, wait: Wait) -> Pair {
    let mut pair = usual(version, &[wait]);
    pair.run();
    assert!(wait.end(&mut pair).pending().is_some(), "{wait:?}");
    assert_eq!(events(wait.end(&mut pair)), [Event::AnswerWanted]);
    assert!(wait.peer(&mut pair).pending().is_none());
    pair
}

fn is_done(pair: &mut Pair) -> bool {
    pair.client.is_established() && pair.server.is_established()
}

#[test]
fn each_answer_lets_the_handshake_go_on() {
    for version in VERSIONS {
        for wait in WAITS {
            let mut pair = waiting(version, wait);
            let now = pair.now;
            assert!(answer(wait.end(&mut pair), now));
            assert!(wait.end(&mut pair).pending().is_none());
            pair.run();
            assert!(is_done(&mut pair), "{version:?} {wait:?}");
            assert_eq!(events(wait.end(&mut pair)).first(), Some(&Event::HandshakeComplete));
            let data = send(&mut pair.client, b"data", now);
            assert_eq!(give(&mut pair.server, &data, now), Ok(vec![b"data".to_vec()]));
        }
    }
}

#[test]
fn all_four_in_one_handshake() {
    for version in VERSIONS {
        let mut pair = usual(version, &WAITS);
        let mut answers = 0;
        while !is_done(&mut pair) {
            pair.run();
            let now = pair.now;
            let answered = [&mut pair.client, &mut pair.server].map(|end| answer(end, now));
            answers += answered.iter().filter(|answered| **answered).count();
            assert!(answers <= 4);
        }
        assert_eq!(answers, 4);
        let wanted = |end| events(end).iter().filter(|event| **event == Event::AnswerWanted).count();
        assert_eq!((wanted(&mut pair.client), wanted(&mut pair.server)), (2, 2));
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.negotiated().unwrap().peer_certificates(), chain());
        }
    }
}

/// What was answered holds as long as the session (RFC 8446 §2.2), unless the application wants to be asked again.
#[test]
fn a_resumption_asks_for_nothing_that_was_answered() {
    for (version, again) in VERSIONS.into_iter().flat_map(|version| [(version, false), (version, true)]) {
        let (mut client, server) = configs(version, &WAITS, &TransportConfig::new());
        if again {
            client.reverify_on_resumption();
        }
        // The server's flight comes as a whole, and none of it waits for the verdict.
        let mut forgetful = TransportConfig::new();
        forgetful.set_max_early_records(0);
        client.set_transport(forgetful);
        let (client, server) = (Arc::new(client), Arc::new(server));
        let mut asked = Vec::new();
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut pair = connect(&client, &server);
            let mut answers = [0, 0];
            while !is_done(&mut pair) {
                pair.run();
                let now = pair.now;
                let answered = [&mut pair.client, &mut pair.server].map(|end| answer(end, now));
                assert!(is_done(&mut pair) || answered.contains(&true), "{version:?} {again} {kind:?}");
                answers.iter_mut().zip(answered).for_each(|(sum, answered)| *sum += usize::from(answered));
            }
            pair.run();
            assert_eq!(pair.client.negotiated().unwrap().handshake_kind(), kind);
            assert_eq!(pair.server.negotiated().unwrap().peer_certificates(), chain());
            asked.push(answers);
        }
        assert_eq!(asked, [[2, 2], [usize::from(again), 0]]);
    }
}

/// The answer takes longer than any single timeout, and still the peer is there.
#[test]
fn a_slow_answer_is_no_fault_of_the_peers() {
    for version in VERSIONS {
        for wait in WAITS {
            let mut pair = waiting(version, wait);
            for _ in 0..100 {
                pair.now += SECOND;
                pair.client.handle_timeout(pair.now);
                pair.server.handle_timeout(pair.now);
                pair.run();
            }
            let now = pair.now;
            assert_eq!(wait.end(&mut pair).mtu(), 1200, "the path is not to blame");
            assert!(answer(wait.end(&mut pair), now), "{version:?} {wait:?}");
            // What was repeated meanwhile does not lengthen the timer of what goes out now.
            let flight = drain(wait.end(&mut pair), now);
            let next = wait.end(&mut pair).poll_timeout().unwrap_or(now);
            assert!(next <= now + SECOND, "{version:?} {wait:?}");
            for datagram in flight {
                give(wait.peer(&mut pair), &datagram, now).unwrap();
            }
            pair.run();
            for _ in 0..4 {
                if !is_done(&mut pair) {
                    pair.sleep();
                    pair.run();
                }
            }
            assert!(is_done(&mut pair), "{version:?} {wait:?}");
        }
    }
}

/// The timer of our own flight may run out meanwhile: it is not the peer who is late.
#[test]
fn an_answer_that_comes_late_finds_the_peer_given_its_time_again() {
    let mut patient = TransportConfig::new();
    patient.set_max_retransmissions(0);
    let mut pair = pair(ProtocolVersion::DTLS1_2, &[Wait::ServerChain], &patient);
    let hello = pair.up();
    pair.give_server(&hello);
    // Of the server's flight, all but its last datagram arrives.
    let mut flight = pair.down();
    let last = flight.pop().unwrap();
    assert!(!flight.is_empty() || pair.client.pending().is_none());
    pair.give_client(&flight);
    if pair.client.pending().is_none() {
        pair.give_client(std::slice::from_ref(&last));
    }
    assert!(pair.client.pending().is_some());
    pair.now += 2 * SECOND;
    pair.client.handle_timeout(pair.now);
    assert!(pair.client.pending().is_some(), "our only flight has expired");
    assert!(answer(&mut pair.client, pair.now));
    pair.give_client(&[last]);
    assert!(!pair.up().is_empty());
}

/// RFC 6347 §4.2.4: a flight that was answered in full is not sent again, however long our own takes.
#[test]
fn nothing_is_repeated_while_a_signature_is_made() {
    for version in VERSIONS {
        for wait in [Wait::ServerSignature, Wait::ClientSignature] {
            let mut pair = waiting(version, wait);
            let end = wait.end(&mut pair);
            let before = end.stats().retransmissions;
            for _ in 0..100 {
                pair.now += SECOND;
                let now = pair.now;
                wait.end(&mut pair).handle_timeout(now);
                drain(wait.end(&mut pair), now);
            }
            assert_eq!(wait.end(&mut pair).stats().retransmissions, before, "{version:?} {wait:?}");
        }
    }
}

/// RFC 9147 §7.1: what came is acknowledged, whoever has to answer.
#[test]
fn what_comes_meanwhile_is_acknowledged_and_kept() {
    for wait in [Wait::ServerChain, Wait::ClientChain, Wait::ClientSignature] {
        let mut pair = waiting(ProtocolVersion::DTLS1_3, wait);
        let before = wait.end(&mut pair).stats().acks_sent;
        let now = pair.now + SECOND;
        wait.end(&mut pair).handle_timeout(now);
        let acks = drain(wait.end(&mut pair), now);
        assert_eq!(acks.len(), 1, "{wait:?}");
        assert_eq!(wait.end(&mut pair).stats().acks_sent, before + 1);
        pair.now = now;
        assert_eq!(give(wait.peer(&mut pair), &acks[0], now), Ok(vec![]));
        // All of the peer's flight was acknowledged: it sends nothing again.
        wait.peer(&mut pair).handle_timeout(now + 2 * SECOND);
        assert!(drain(wait.peer(&mut pair), now + 2 * SECOND).is_empty(), "{wait:?}");
        assert!(answer(wait.end(&mut pair), now));
        pair.run();
        assert!(is_done(&mut pair), "{wait:?}");
    }
}

#[test]
fn an_application_that_never_answers_loses_the_association() {
    for version in VERSIONS {
        for wait in WAITS {
            let mut pair = waiting(version, wait);
            let end = wait.end(&mut pair);
            let deadline = std::iter::from_fn(|| {
                let next = end.poll_timeout()?;
                end.handle_timeout(next);
                drain(end, next);
                Some(next)
            });
            assert!(deadline.take(100).count() < 100, "it ends");
            assert_eq!(events(end), [Event::Closed(CloseReason::Failed(Error::Unanswered))]);
            assert!(end.pending().is_none());
            assert_eq!(end.provide_verdict(Instant::now(), Ok(())), Err(ApiMisuse::NotPending));
        }
    }
}

#[test]
fn a_refusal_chooses_the_alert() {
    let own = Error::Application(AlertDescription::ACCESS_DENIED);
    let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
    let cases = [
        (expired, Error::Certificate(CertificateError::Expired), AlertDescription::CERTIFICATE_EXPIRED),
        (own.clone().into(), own, AlertDescription::ACCESS_DENIED),
    ];
    for version in VERSIONS {
        for wait in [Wait::ServerChain, Wait::ClientChain] {
            for (answer, error, alert) in &cases {
                let mut pair = waiting(version, wait);
                let now = pair.now;
                wait.end(&mut pair).provide_verdict(now, Err(answer.clone())).unwrap();
                refused(&mut pair, wait, error, *alert);
            }
        }
    }
}

#[test]
fn a_key_that_refuses_ends_the_handshake() {
    let own = Error::Application(AlertDescription::ACCESS_DENIED);
    let failed = rustls::Error::General(String::new());
    for version in VERSIONS {
        for wait in [Wait::ServerSignature, Wait::ClientSignature] {
            for (answer, error, alert) in [
                (Err(failed.clone()), Error::Signing, AlertDescription::INTERNAL_ERROR),
                (Ok(vec![]), Error::Signing, AlertDescription::INTERNAL_ERROR),
                (Ok(vec![0; 1 << 16]), Error::Signing, AlertDescription::INTERNAL_ERROR),
                (Err(own.clone().into()), own.clone(), AlertDescription::ACCESS_DENIED),
            ] {
                let mut pair = waiting(version, wait);
                let now = pair.now;
                wait.end(&mut pair).provide_signature(now, answer).unwrap();
                refused(&mut pair, wait, &error, alert);
            }
        }
    }
}

fn refused(pair: &mut Pair, wait: Wait, error: &Error, alert: AlertDescription) {
    assert_eq!(events(wait.end(pair)), [Event::Closed(CloseReason::Failed(error.clone()))]);
    pair.run();
    let told = events(wait.peer(pair)).pop();
    assert_eq!(told, Some(Event::Closed(CloseReason::Failed(Error::AlertReceived(alert)))), "{wait:?}");
}

/// RFC 8446 §4.4.3: a wrong signature is sent as it is, and the peer says so.
#[test]
fn a_wrong_signature_is_the_peers_to_find() {
    for version in VERSIONS {
        for wait in [Wait::ServerSignature, Wait::ClientSignature] {
            let mut pair = waiting(version, wait);
            let now = pair.now;
            wait.end(&mut pair).provide_signature(now, Ok(sign(SCHEME, b"something else"))).unwrap();
            pair.run();
            let told = events(wait.end(&mut pair)).pop();
            let alert = Error::AlertReceived(AlertDescription::DECRYPT_ERROR);
            assert_eq!(told, Some(Event::Closed(CloseReason::Failed(alert))), "{wait:?}");
        }
    }
}

#[test]
fn answers_at_the_wrong_time_harm_nothing() {
    let misuse = Err(ApiMisuse::NotPending);
    for version in VERSIONS {
        for wait in WAITS {
            let mut pair = usual(version, &[wait]);
            let now = pair.now;
            loop {
                for end in [&mut pair.client, &mut pair.server] {
                    // Not this one, not now.
                    if !matches!(end.pending(), Some(Pending::Signature { .. })) {
                        assert_eq!(end.provide_signature(now, Ok(vec![1])), misuse);
                        assert_eq!(end.provide_signature(now, Err(Error::AnswerLater.into())), misuse);
                    }
                    if !matches!(end.pending(), Some(Pending::Verdict { .. })) {
                        assert_eq!(end.provide_verdict(now, Ok(())), misuse);
                        assert_eq!(end.provide_verdict(now, Err(CertificateError::Expired.into())), misuse);
                    }
                }
                if is_done(&mut pair) {
                    break;
                }
                let up = pair.up();
                pair.give_server(&up);
                let down = pair.down();
                pair.give_client(&down);
                answer(&mut pair.client, now);
                answer(&mut pair.server, now);
            }
            pair.client.close(now);
            assert_eq!(pair.client.provide_verdict(now, Ok(())), misuse);
        }
    }
}

#[test]
fn an_answer_that_asks_for_more_time_gets_it() {
    for version in VERSIONS {
        for wait in WAITS {
            let mut pair = waiting(version, wait);
            let (now, later) = (pair.now, || Error::AnswerLater.into());
            let end = wait.end(&mut pair);
            let deadline = end.poll_timeout();
            match wait {
                Wait::ServerSignature | Wait::ClientSignature => end.provide_signature(now + SECOND, Err(later())),
                Wait::ServerChain | Wait::ClientChain => end.provide_verdict(now + SECOND, Err(later())),
            }
            .unwrap();
            assert!(end.pending().is_some() && end.poll_event().is_none());
            assert_eq!(end.poll_timeout(), deadline, "and no more of it than at once");
            assert!(answer(end, now));
            pair.run();
            assert!(is_done(&mut pair));
        }
    }
}

#[test]
fn closing_or_aborting_ends_the_wait() {
    for version in VERSIONS {
        for wait in WAITS {
            for abort in [false, true] {
                let mut pair = waiting(version, wait);
                let now = pair.now;
                let end = wait.end(&mut pair);
                if abort {
                    end.abort(AlertDescription::USER_CANCELED)
                } else {
                    end.close(now)
                }
                assert!(end.pending().is_none());
                assert_eq!(end.provide_verdict(now, Ok(())), Err(ApiMisuse::NotPending));
                assert_eq!(end.provide_signature(now, Ok(vec![1])), Err(ApiMisuse::NotPending));
                assert!(matches!(events(end)[..], [Event::Closed(_)]));
                assert!(end.poll_timeout().is_none());
            }
        }
    }
}

/// A peer that fails is heard while we wait, or when we go on.
#[test]
fn the_peers_end_ends_the_wait() {
    for version in VERSIONS {
        for wait in WAITS {
            let mut pair = waiting(version, wait);
            let now = pair.now;
            wait.peer(&mut pair).abort(AlertDescription::INTERNAL_ERROR);
            pair.run();
            if wait.end(&mut pair).pending().is_some() {
                // The alert is under keys that follow from what was not looked at yet.
                assert!(answer(wait.end(&mut pair), now));
                pair.run();
            }
            assert!(wait.end(&mut pair).pending().is_none(), "{version:?} {wait:?}");
            let told = events(wait.end(&mut pair)).pop();
            let alert = Error::AlertReceived(AlertDescription::INTERNAL_ERROR);
            assert_eq!(told, Some(Event::Closed(CloseReason::Failed(alert))));
            assert_eq!(wait.end(&mut pair).provide_verdict(now, Ok(())), Err(ApiMisuse::NotPending));
        }
    }
}

/// A peer that repeats itself while we wait gets no more out of us, and needs no more memory.
#[test]
fn repetitions_meanwhile_cost_nothing() {
    for version in VERSIONS {
        let mut pair = usual(version, &[Wait::ServerSignature]);
        let hello = pair.up();
        pair.give_server(&hello);
        assert!(pair.server.pending().is_some());
        let message = format!("{:?}", pair.server.pending());
        for _ in 0..1000 {
            pair.give_server(&hello);
        }
        assert_eq!(format!("{:?}", pair.server.pending()), message);
        assert!(pair.down().is_empty());
        assert_eq!(events(&mut pair.server), [Event::AnswerWanted], "one signature a handshake");
    }
}

#[test]
fn an_external_key_fits_its_certificate() {
    let with = |chain: Vec<CertificateDer<'static>>, schemes: &[SignatureScheme]| {
        servers().with_no_client_auth().unwrap().with_external_key(chain, schemes).map(drop)
    };
    assert_eq!(with(chain(), &[SCHEME]), Ok(()));
    assert_eq!(with(vec![], &[SCHEME]), Err(ConfigError::EmptyCertificateChain));
    assert_eq!(with(vec![vec![1].into()], &[SCHEME]), Err(ConfigError::BadCertificate));
    assert_eq!(with(chain(), &[]), Err(ConfigError::NoSignatureScheme));
    for other in [SignatureScheme::ED25519, SignatureScheme::RSA_PSS_RSAE_SHA256, SignatureScheme(0xffff)] {
        assert_eq!(with(chain(), &[SCHEME, other]), Err(ConfigError::KeyDoesNotFitCertificate), "{other}");
    }
}

/// A key of the application's own may answer at once or later, as it likes.
#[test]
fn a_signing_key_may_answer_later() {
    #[derive(Debug)]
    struct Module;
    impl SigningKey for Module {
        fn choose_scheme(&self, _: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
            Some(Box::new(Self))
        }
        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::ECDSA
        }
    }
    impl Signer for Module {
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
            Err(Error::AnswerLater.into())
        }
        fn scheme(&self) -> rustls::SignatureScheme {
            SCHEME.into()
        }
    }
    let certified = Arc::new(CertifiedKey::new(chain(), Arc::new(Module)));
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    for version in VERSIONS {
        let mut pair = usual(version, &[]);
        let client = clients().with_peer_fingerprints(pin()).unwrap();
        let mut client = client.with_client_cert_resolver(resolver.clone());
        client.set_versions(&[version]).unwrap();
        pair.client = Connection::client(Arc::new(client), None, pair.now).unwrap();
        pair.run();
        assert!(answer(&mut pair.client, pair.now));
        pair.run();
        assert!(is_done(&mut pair));
    }
}
