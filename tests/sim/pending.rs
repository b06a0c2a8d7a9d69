//! Keys and verifiers that answer in their own time, whatever the network does meanwhile.

use crate::kinds::{Kind, Shape};
use crate::loss::{SEED, Tally};
use crate::network::{Fault, Network};
use crate::pair::{Figures, PATIENCE, Pair, Stop, check};
use crate::pki::{Chain, FixedTime, Identity};
use crate::provider::{End, provider};
use rustls::pki_types::PrivateKeyDer;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use udtls::{ClientConfig, Event, Pending, ProtocolVersion, ServerConfig, SignatureScheme, TransportConfig};

const STEP: Duration = Duration::from_millis(5);
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3];

/// Both ends sign and verify elsewhere.
struct Slow {
    kind: Kind,
    keys: [PrivateKeyDer<'static>; 2],
}

static SLOW: LazyLock<Vec<Slow>> =
    LazyLock::new(|| VERSIONS.into_iter().flat_map(|version| [256, 1200].map(|mtu| Slow::new(version, mtu))).collect());

impl Slow {
    fn new(version: ProtocolVersion, mtu: usize) -> Self {
        const SCHEMES: &[SignatureScheme] = &[SignatureScheme::ECDSA_SECP256R1_SHA256];
        let mut kind = Kind::new(version, Shape::MutualAuth, mtu);
        let (servers, clients) = (Identity::new(1, Chain::Short), Identity::new(2, Chain::Short));
        let mut transport = TransportConfig::new();
        transport.set_mtu(mtu).expect("an MTU above the floor");
        let client = ClientConfig::builder_with_provider(provider(End::Client)).dangerous();
        let client = client.with_pending_verification().expect("a provider");
        let mut client = client.with_external_key(clients.chain.clone(), SCHEMES).expect("a key of that kind");
        client.set_versions(&[version]).expect("a version").set_transport(transport.clone());
        client.set_time_provider(Arc::new(FixedTime)).set_session_capacity(0);
        let server = ServerConfig::builder_with_provider(provider(End::Server)).with_pending_verification();
        let server = server.expect("a provider").with_external_key(servers.chain.clone(), SCHEMES);
        let mut server = server.expect("a key of that kind");
        server.set_versions(&[version]).expect("a version").set_transport(transport);
        server.set_time_provider(Arc::new(FixedTime));
        (kind.client, kind.server) = (Arc::new(client), Arc::new(server));
        Self { kind, keys: [clients.key(), servers.key()] }
    }

    /// The answer to what is pending at this end.
    fn answer(&self, pair: &mut Pair, end: End) {
        let now = pair.instant();
        let key = match end {
            End::Client => &self.keys[0],
            End::Server => &self.keys[1],
        };
        let connection = &mut pair.side(end).connection;
        let answered = match connection.pending() {
            Some(Pending::Signature { scheme, message, .. }) => {
                let key = provider(end).key_provider.load_private_key(key.clone_key()).expect("a key");
                let signature = key.choose_scheme(&[scheme.into()]).expect("its scheme").sign(message);
                connection.provide_signature(now, signature)
            }
            Some(Pending::Verdict { .. }) => connection.provide_verdict(now, Ok(())),
            _ => Ok(()),
        };
        pair.side(end).drain_events();
        check!(pair, answered.is_ok(), format!("what is pending may be answered: {answered:?}"));
    }

    /// A handshake in which each answer takes so long.
    fn prove(&'static self, delay: Duration, faults: &[Fault]) -> Figures {
        let mut pair = Pair::new(&self.kind, SEED, Network::with_faults(faults));
        let mut due: [Option<Duration>; 2] = [None; 2];
        while pair.now < PATIENCE {
            for (end, due) in End::BOTH.into_iter().zip(&mut due) {
                let pending = pair.side(end).connection.pending().is_some();
                match *due {
                    None if pending => *due = Some(pair.now + delay),
                    Some(at) if at <= pair.now => {
                        *due = None;
                        self.answer(&mut pair, end);
                    }
                    _ => {}
                }
            }
            // In small steps: something may be pending before the next deadline.
            let step = due.into_iter().flatten().fold(pair.now + STEP, Duration::min);
            let asked = due.iter().any(Option::is_some);
            let stop = pair.run(step);
            let pending = End::BOTH.into_iter().any(|end| pair.side(end).connection.pending().is_some());
            if stop == Stop::Quiet && !asked && !pending {
                break;
            }
            pair.now = step;
        }
        pair.check_complete();
        for end in End::BOTH {
            let wanted = pair.side(end).events.iter().filter(|event| **event == Event::AnswerWanted).count();
            check!(pair, wanted == 2, format!("{end:?} was asked for a signature and a verdict: {wanted}"));
        }
        Figures { sent: pair.network.sent, complete_at: pair.now, quiet_at: pair.now }
    }
}

#[test]
fn every_loss_of_one_datagram_while_answers_are_slow() {
    for delay in [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(3), Duration::from_secs(30)] {
        for slow in SLOW.iter() {
            let mut tally = Tally::default();
            let clean = tally.add(slow.prove(delay, &[]));
            for lost in 0..clean.sent {
                tally.add(slow.prove(delay, &[Fault::Lose(lost)]));
            }
            tally.print(&slow.kind, &format!("answers after {delay:?}, one lost"));
        }
    }
}

#[test]
fn every_repetition_and_overtaking_while_answers_are_slow() {
    let delay = Duration::from_millis(200);
    for slow in SLOW.iter() {
        let clean = slow.prove(delay, &[]);
        for place in 0..clean.sent {
            slow.prove(delay, &[Fault::Duplicate(place, delay / 2)]);
            slow.prove(delay, &[Fault::Delay(place, delay / 2)]);
            slow.prove(delay, &[Fault::Delay(place, delay * 2)]);
        }
    }
}
