//! Plaintext messages of anything at all for clients of every kind, between the genuine ones: what a forger on the way can do.
//!
//! * What does not decode, or never comes in plaintext, hurts nobody: the genuine handshake completes.
//! * What does may end it, and never completes another: what completes exports what the genuine handshake does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use udtls::fuzzing::{Records, check_plaintext_message, fragment};
use udtls_fuzz::{
    input::Input,
    kinds::{KINDS, ORIGIN, Shape},
    play::scripts,
    provider::End,
    script::{HANDSHAKE, Script},
    subject::Subject,
};

static SCRIPTS: LazyLock<Vec<Script>> = LazyLock::new(|| scripts(End::Server));

/// Messages of a server's, in plaintext or not, and some of nobody's.
const TYPES: [u8; 16] = [2, 2, 3, 4, 8, 11, 11, 12, 12, 13, 14, 15, 20, 22, 24, 25];

/// What a server sends in plaintext (RFC 5246 §7.4, RFC 6347 §4.3.2); the client's own types decode as such.
const PLAINTEXT: [u8; 11] = [1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 22];

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let script = &SCRIPTS[input.below(KINDS.len())];
    script.kind.begin();
    let mut subject = Subject::new(script.kind.new_end(End::Client, *ORIGIN), *ORIGIN);
    subject.transmit();
    let mut writer = Records::default();
    script.write.iter().for_each(|(epoch, keys)| writer.install_write(*epoch, keys).expect("later epochs"));
    let mut said = script.said.iter();
    let mut harmless = script.kind.shape != Shape::Strict;
    let mut next = 0;
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let choice = input.u8();
        if choice & 7 == 0 {
            let Some(said) = said.next() else { break };
            if let (HANDSHAKE, Some([high, low])) = (said.content_type, said.payload.get(4..6)) {
                next = u16::from_be_bytes([*high, *low]).saturating_add(1);
            }
            subject.receive(writer.seal(said.epoch, said.content_type, &said.payload).expect("room enough"));
        } else {
            let (msg_type, ahead) = (TYPES[usize::from(choice >> 4)], u16::from(input.u8() % 7));
            let body = input.long();
            let message_seq = next + ahead;
            harmless &= check_plaintext_message(msg_type, body).is_err() || !PLAINTEXT.contains(&msg_type);
            let cut = if choice & 8 == 0 { body.len() } else { input.below(body.len() + 1) };
            let (first, second) = body.split_at(cut);
            let mut payload = fragment(msg_type, message_seq, body.len(), 0, first);
            if !second.is_empty() {
                // Halves of two that make no sense may be a whole that does.
                harmless = false;
                payload.extend(fragment(msg_type, message_seq, body.len(), cut, second));
            }
            subject.receive(writer.seal(0, HANDSHAKE, &payload).expect("room enough"));
        }
        subject.transmit();
    }
    for said in said {
        subject.receive(writer.seal(said.epoch, said.content_type, &said.payload).expect("room enough"));
        subject.transmit();
    }
    if harmless {
        assert!(
            subject.complete && subject.failure.is_none(),
            "nothing that makes no sense ends it: {:?}",
            subject.failure
        );
    }
    if let Some(exported) = subject.exported() {
        assert_eq!(exported, script.exported, "it is the genuine handshake that completes");
    }
    subject.finish();
});

const MAX_STEPS: usize = 60;
