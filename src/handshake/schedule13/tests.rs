//! RFC 8448 and others through the same code, with the prefix of TLS; DTLS vectors with that of DTLS.

use super::*;
use crate::crypto::vectors::{hex, list, load, load_extra, suite13};
use crate::handshake::transcript::{Retention, Transcript, TranscriptForm};
use crate::wire::{
    enums::HandshakeType, handshake::Message, hello::HELLO_RETRY_REQUEST_RANDOM, post_handshake::NewSessionTicket13,
};
use serde_json::Value;
use std::sync::Mutex;

/// A key log that remembers.
#[derive(Debug, Default)]
pub(crate) struct Remember(Mutex<Vec<Line>>);

/// Label, client random, secret.
pub(crate) type Line = (String, Vec<u8>, Vec<u8>);

impl KeyLog for Remember {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.into(), client_random.into(), secret.into()));
    }
}

impl Remember {
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }
}

impl HandshakeTrafficSecret {
    pub(crate) fn from_secret(suite: Suite13, secret: &[u8]) -> Self {
        Self(TrafficSecret::new(suite, LabelPrefix::Dtls, secret))
    }
}

impl ApplicationTrafficSecret {
    pub(crate) fn from_secret(suite: Suite13, secret: &[u8]) -> Self {
        Self(TrafficSecret::new(suite, LabelPrefix::Dtls, secret))
    }

    pub(crate) fn octets(&self) -> &[u8] {
        self.0.secret.as_ref()
    }
}

impl TrafficSecret {
    fn new(suite: Suite13, prefix: LabelPrefix, secret: &[u8]) -> Self {
        Self { labels: Labels { suite, prefix }, secret: Secret::new(secret).unwrap() }
    }
}

const NO_LOG: SecretLog<'static> = SecretLog { key_log: &rustls::NoKeyLog {}, client_random: &[0; 32] };

/// The value of a field in the first step of a trace that begins so and has it.
fn field(trace: &Value, party: &str, step: &str, name: &str) -> Vec<u8> {
    list(&trace["steps"])
        .iter()
        .filter(|candidate| candidate["party"] == party && candidate["text"].as_str().unwrap().starts_with(step))
        .flat_map(|candidate| candidate["fields"].as_array().unwrap())
        .find(|field| field["name"] == name)
        .map(|field| hex(&field["hex"]))
        .unwrap_or_else(|| panic!("{party}: {step}: {name}"))
}

/// Where a trace stands.
enum Stage {
    Hello(EarlySchedule),
    Handshake(HandshakeSchedule, HandshakeTrafficSecret, HandshakeTrafficSecret),
    Application(MasterSchedule, HandshakeTrafficSecret),
    Done(ResumptionSecret),
}

/// The Early Secret of a trace; of a resumption (§4), its binder is compared, too.
fn early_schedule(trace: &Value, suite: Suite13) -> EarlySchedule {
    if trace["section"] != 4 {
        return EarlySchedule::with_prefix(suite, LabelPrefix::Tls);
    }
    let psk = Secret::new(&field(trace, "client", "extract secret \"early\"", "IKM")).unwrap();
    let schedule = EarlySchedule::with_psk_and_prefix(suite, &psk, LabelPrefix::Tls);
    let value = |name| field(trace, "client", "calculate PSK binder", name);
    let covered = suite.hash().hash(&value("ClientHello prefix"));
    assert_eq!(covered.as_ref(), value("binder hash"));
    assert_eq!(schedule.resumption_binder(&covered).unwrap().as_ref(), value("finished"));
    // The binder ends the hello.
    assert!(field(trace, "client", "send handshake record", "payload").ends_with(&value("finished")));
    schedule
}

/// All messages of a trace through transcript and schedule; every secret is compared.
fn run_trace(trace: &Value) {
    let suite = suite13("sha256").unwrap();
    let expanded =
        |party: &str, label: &str| field(trace, party, &format!("derive secret \"tls13 {label}\""), "expanded");
    let mut transcript = Transcript::new(suite.hash(), TranscriptForm::Dtls13, Retention::HashOnly);
    let mut stage = Stage::Hello(early_schedule(trace, suite));

    for step in list(&trace["steps"]) {
        let Some(name) = step["text"].as_str().unwrap().strip_prefix("construct a") else { continue };
        let mut bytes = hex(&step["fields"][0]["hex"]);
        if trace["section"] == 4 && bytes[0] == HandshakeType::CLIENT_HELLO.0 {
            // What was constructed lacks the binders.
            bytes = field(trace, "client", "send handshake record", "payload");
        }
        let message = Message { msg_type: HandshakeType(bytes[0]), message_seq: 0, body: &bytes[4..] };
        assert_eq!(message.tls_header(), bytes[..4], "{name}");
        let sender = if step["party"] == "client" { Role::Client } else { Role::Server };
        if message.msg_type == HandshakeType::NEW_SESSION_TICKET {
            let Stage::Done(resumption) = &stage else { panic!("a ticket before the end of the handshake") };
            let ticket = NewSessionTicket13::read(message.body).unwrap();
            let psk = field(trace, "server", "generate resumption secret", "expanded");
            assert_eq!(resumption.psk(ticket.nonce).unwrap().as_ref(), psk);
            continue;
        }
        let before = transcript.current_hash();
        let retry = message.msg_type == HandshakeType::SERVER_HELLO && bytes[6..38] == HELLO_RETRY_REQUEST_RANDOM;
        if retry {
            transcript.roll_up_for_retry();
        }
        transcript.add(&message);
        let now = transcript.current_hash();
        stage = match (stage, message.msg_type, sender) {
            (Stage::Hello(early), HandshakeType::SERVER_HELLO, _) if !retry => {
                let schedule =
                    early.into_handshake(&field(trace, "server", "extract secret \"handshake\"", "IKM")).unwrap();
                let client = schedule.traffic_secret(Role::Client, &now, NO_LOG).unwrap();
                let server = schedule.traffic_secret(Role::Server, &now, NO_LOG).unwrap();
                assert_eq!(client.0.secret.as_ref(), expanded("server", "c hs traffic"));
                assert_eq!(server.0.secret.as_ref(), expanded("server", "s hs traffic"));
                Stage::Handshake(schedule, client, server)
            }
            (Stage::Handshake(schedule, client, server), HandshakeType::FINISHED, Role::Server) => {
                assert_eq!(server.verify_data(&before).unwrap().as_ref(), message.body);
                let master = schedule.into_master().unwrap();
                let secret = |role| master.traffic_secret(role, &now, NO_LOG).unwrap();
                assert_eq!(secret(Role::Client).octets(), expanded("server", "c ap traffic"));
                assert_eq!(secret(Role::Server).octets(), expanded("server", "s ap traffic"));
                let exporter = master.exporter(&now, NO_LOG).unwrap();
                assert_eq!(exporter.0.secret.as_ref(), expanded("server", "exp master"));
                Stage::Application(master, client)
            }
            (Stage::Application(master, client), HandshakeType::FINISHED, Role::Client) => {
                assert_eq!(client.verify_data(&before).unwrap().as_ref(), message.body);
                let resumption = master.resumption_master_secret(&now).unwrap();
                assert_eq!(resumption.0.secret.as_ref(), expanded("client", "res master"));
                Stage::Done(resumption)
            }
            (stage, ..) => stage,
        };
    }
    assert!(matches!(stage, Stage::Done(_)));
}

#[test]
fn rfc8448_traces() {
    let mut run = 0;
    for trace in list(&load("rfc8448/traces.json")["traces"]) {
        run_trace(trace);
        run += 1;
    }
    assert_eq!(run, 5);
}

#[test]
fn derived_dtls13_exporter() {
    let vectors = load("derived/dtls13_exporter.json");
    let secret = hex(&vectors["exporter_master_secret"]);
    let exporter = Exporter(TrafficSecret::new(suite13("sha256").unwrap(), LabelPrefix::Dtls, &secret));
    for case in list(&vectors["cases"]) {
        let expected = hex(&case["value"]);
        let context = hex(&case["context"]);
        let label = case["label"].as_str().unwrap().as_bytes();
        let mut out = vec![0; expected.len()];
        exporter.export(label, Some(&context), &mut out).unwrap();
        assert_eq!(out, expected);
        if context.is_empty() {
            out.fill(0);
            exporter.export(label, None, &mut out).unwrap();
            assert_eq!(out, expected, "no context is an empty one");
        }
    }
}

/// RFC 8446 §7.5: no label, no length and no context makes it panic.
#[test]
fn exporter_refuses_what_it_cannot_give() {
    let exporter = Exporter(TrafficSecret::new(suite13("sha384").unwrap(), LabelPrefix::Dtls, &[1; 48]));
    let export = |label: usize, len: usize| exporter.export(&vec![b'x'; label], Some(&[0; 70_000]), &mut vec![0; len]);
    assert_eq!(export(MAX_LABEL_LEN + 1, 32), Err(ApiMisuse::ExporterUnavailable.into()));
    assert_eq!(export(MAX_LABEL_LEN, 255 * 48), Ok(()));
    assert_eq!(export(1, 255 * 48 + 1), Err(ApiMisuse::ExportTooLong.into()));
    assert_eq!(export(1, 0), Ok(()));
    assert_eq!(export(0, 32), Ok(()));
}

#[test]
fn derived_key_updates() {
    for vectors in list(&load("derived/dtls13_records.json")["suites"]) {
        let suite = suite13(vectors["hash"].as_str().unwrap()).unwrap();
        let secret = ApplicationTrafficSecret::from_secret(suite, &hex(&vectors["traffic_secret"]));
        assert_eq!(secret.next().unwrap().octets(), hex(&vectors["next_traffic_secret"]));
    }
}

#[test]
fn every_secret_is_logged_under_its_name_and_printed_nowhere() {
    let suite = suite13("sha384").unwrap();
    let hash = suite.hash().hash(b"transcript");
    let remember = Remember::default();
    let log = SecretLog { key_log: &remember, client_random: &[5; 32] };
    let schedule = EarlySchedule::new(suite).into_handshake(b"shared").unwrap();
    let secret = schedule.traffic_secret(Role::Client, &hash, log).unwrap();
    schedule.traffic_secret(Role::Server, &hash, log).unwrap();
    let master = schedule.into_master().unwrap();
    master.traffic_secret(Role::Client, &hash, log).unwrap();
    master.traffic_secret(Role::Server, &hash, log).unwrap();
    master.exporter(&hash, log).unwrap();
    let lines = remember.lines();
    let labels: Vec<_> = lines.iter().map(|line| line.0.as_str()).collect();
    assert_eq!(
        labels,
        [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_0",
            "EXPORTER_SECRET"
        ]
    );
    assert!(lines.iter().all(|line| line.1 == [5; 32] && line.2.len() == 48));
    assert_eq!(lines[0].2, secret.0.secret.as_ref());
    let mut distinct: Vec<_> = lines.into_iter().map(|line| line.2).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 5);
    assert_eq!(format!("{secret:?}"), "HandshakeTrafficSecret(TLS_AES_256_GCM_SHA384(..))");
}

/// NIST ACVP, (EC)DHE without a PSK; not part of this repository.
#[test]
fn acvp_tls13_key_schedule() {
    let Some(vectors) = load_extra("kdf/tls13_kdf_acvp.json") else { return };
    let mut run = 0;
    for case in list(&vectors["cases"]).iter().filter(|case| case["mode"] == "DHE") {
        let suite = suite13(case["hash"].as_str().unwrap()).unwrap();
        let hash =
            |names: &[&str]| suite.hash().hash(&names.iter().flat_map(|name| hex(&case[*name])).collect::<Vec<_>>());
        let hellos = hash(&["helloClientRandom", "helloServerRandom"]);
        let server_finished = hash(&["helloClientRandom", "helloServerRandom", "finishedServerRandom"]);
        let all = hash(&["helloClientRandom", "helloServerRandom", "finishedServerRandom", "finishedClientRandom"]);
        let early = EarlySchedule::with_prefix(suite, LabelPrefix::Tls);
        let schedule = early.into_handshake(&hex(&case["dhe"])).unwrap();
        let secret = |role| schedule.traffic_secret(role, &hellos, NO_LOG).unwrap().0.secret;
        assert_eq!(secret(Role::Client).as_ref(), hex(&case["clientHandshakeTrafficSecret"]));
        assert_eq!(secret(Role::Server).as_ref(), hex(&case["serverHandshakeTrafficSecret"]));
        let master = schedule.into_master().unwrap();
        let secret = |role| master.traffic_secret(role, &server_finished, NO_LOG).unwrap().0.secret;
        assert_eq!(secret(Role::Client).as_ref(), hex(&case["clientApplicationTrafficSecret"]));
        assert_eq!(secret(Role::Server).as_ref(), hex(&case["serverApplicationTrafficSecret"]));
        let exporter = master.exporter(&server_finished, NO_LOG).unwrap();
        assert_eq!(exporter.0.secret.as_ref(), hex(&case["exporterMasterSecret"]));
        let resumption = master.resumption_master_secret(&all).unwrap();
        assert_eq!(resumption.0.secret.as_ref(), hex(&case["resumptionMasterSecret"]));
        run += 1;
    }
    assert!(run > 0);
}
