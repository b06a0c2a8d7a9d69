//! The transcript hash: the only place that knows what each version hashes of a message's header. Knows no key and no
//! meaning of a message.
//!
//! RFC 6347 §4.2.6 and RFC 5246 §7.4.9; RFC 9147 §5.2 and RFC 8446 §4.4.1; RFC 7627 §3.

use crate::wire::{
    codec::{Put, Reader},
    enums::HandshakeType,
    handshake::{Fragment, HANDSHAKE_HEADER_LEN, Message},
};
use rustls::crypto::hash::{Context, Hash, Output};
use std::fmt;

/// What of the header is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TranscriptForm {
    /// All 12 octets, as if the message had been sent in one fragment (RFC 6347 §4.2.6).
    Dtls12,
    /// Type and length only (RFC 9147 §5.2).
    Dtls13,
}

/// Whether the messages themselves are kept beside their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// Only the hash.
    HashOnly,
    /// All messages: a client's CertificateVerify of DTLS 1.2 signs them with a hash of its own choice
    /// (RFC 5246 §7.4.8).
    Messages,
}

/// The messages before version and hash are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct TranscriptBuffer {
    /// Each with its header of 12 octets.
    messages: Vec<u8>,
}

impl TranscriptBuffer {
    /// Nothing said yet.
    pub(crate) const fn new() -> Self {
        Self { messages: Vec::new() }
    }

    /// Appends a message, sent or received.
    pub(crate) fn add(&mut self, message: &Message<'_>) {
        put_message(&mut self.messages, TranscriptForm::Dtls12, message);
    }

    /// Forgets everything: a HelloVerifyRequest and the ClientHello it answers are not part of the transcript
    /// (RFC 6347 §4.2.6).
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Version and suite are known now.
    pub(crate) fn start(self, hash: &'static dyn Hash, form: TranscriptForm, retention: Retention) -> Transcript {
        let mut transcript = Transcript::new(hash, form, retention);
        let mut reader = Reader::new(&self.messages);
        // `add` has written whole messages, so the loop ends with the last of them.
        while let Ok(fragment) = Fragment::read(&mut reader) {
            let header = fragment.header;
            transcript.add(&Message {
                msg_type: header.msg_type,
                message_seq: header.message_seq,
                body: fragment.body,
            });
        }
        transcript
    }
}

/// The running hash of all handshake messages.
pub(crate) struct Transcript {
    hash: &'static dyn Hash,
    context: Box<dyn Context>,
    form: TranscriptForm,
    kept: Kept,
}

enum Kept {
    Nothing,
    Messages(Vec<u8>),
}

impl Transcript {
    /// Nothing said yet, but version and suite known.
    pub(crate) fn new(hash: &'static dyn Hash, form: TranscriptForm, retention: Retention) -> Self {
        let kept = match retention {
            Retention::HashOnly => Kept::Nothing,
            Retention::Messages => Kept::Messages(Vec::new()),
        };
        Self { hash, context: hash.start(), form, kept }
    }

    /// The transcript of DTLS 1.3 after a HelloRetryRequest made without state: all that is left of the first
    /// ClientHello is its hash, out of the cookie (RFC 8446 §4.4.1). The HelloRetryRequest is to be added next.
    pub(crate) fn after_first_client_hello(hash: &'static dyn Hash, client_hello_hash: &[u8]) -> Self {
        let mut context = hash.start();
        let mut message_hash = Vec::with_capacity(client_hello_hash.len().saturating_add(4));
        let message = Message { msg_type: HandshakeType::MESSAGE_HASH, message_seq: 0, body: client_hello_hash };
        put_message(&mut message_hash, TranscriptForm::Dtls13, &message);
        context.update(&message_hash);
        Self { hash, context, form: TranscriptForm::Dtls13, kept: Kept::Nothing }
    }

    /// Appends a message, sent or received.
    pub(crate) fn add(&mut self, message: &Message<'_>) {
        match self.form {
            TranscriptForm::Dtls12 => self.context.update(&message.header()),
            TranscriptForm::Dtls13 => self.context.update(&message.tls_header()),
        }
        self.context.update(message.body);
        if let Kept::Messages(messages) = &mut self.kept {
            put_message(messages, self.form, message);
        }
    }

    /// The hash of everything so far.
    pub(crate) fn current_hash(&self) -> Output {
        self.context.fork_finish()
    }

    /// The hash of everything so far and `bytes`, which are not added: a truncated ClientHello, for its binders
    /// (RFC 8446 §4.2.11.2).
    pub(crate) fn hash_with(&self, bytes: &[&[u8]]) -> Output {
        let mut context = self.context.fork();
        bytes.iter().for_each(|bytes| context.update(bytes));
        context.finish()
    }

    /// Replaces the first ClientHello by `message_hash` with its hash, when a HelloRetryRequest follows
    /// (RFC 8446 §4.4.1).
    pub(crate) fn roll_up_for_retry(&mut self) {
        *self = Self::after_first_client_hello(self.hash, self.current_hash().as_ref());
    }

    /// All messages so far, if they are kept.
    pub(crate) fn messages(&self) -> Option<&[u8]> {
        match &self.kept {
            Kept::Nothing => None,
            Kept::Messages(messages) => Some(messages),
        }
    }

    /// From here on only the hash is needed: no client certificate will be asked for, or it was verified.
    pub(crate) fn forget_messages(&mut self) {
        self.kept = Kept::Nothing;
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").field("form", &self.form).finish_non_exhaustive()
    }
}

fn put_message(out: &mut Vec<u8>, form: TranscriptForm, message: &Message<'_>) {
    out.reserve(HANDSHAKE_HEADER_LEN.saturating_add(message.body.len()));
    match form {
        TranscriptForm::Dtls12 => out.put(&message.header()),
        TranscriptForm::Dtls13 => out.put(&message.tls_header()),
    }
    out.put(message.body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::suites::usable_suites;

    fn sha256() -> &'static dyn Hash {
        let suites = usable_suites(&rustls::crypto::aws_lc_rs::default_provider());
        suites.iter().map(|suite| suite.hash()).find(|hash| hash.output_len() == 32).unwrap()
    }

    const HELLO: Message<'static> = Message { msg_type: HandshakeType::CLIENT_HELLO, message_seq: 1, body: b"hello" };
    const DONE: Message<'static> = Message { msg_type: HandshakeType::SERVER_HELLO_DONE, message_seq: 4, body: b"" };

    #[test]
    fn dtls12_hashes_twelve_octets_of_header() {
        let mut buffer = TranscriptBuffer::new();
        buffer.add(&HELLO);
        let mut transcript = buffer.start(sha256(), TranscriptForm::Dtls12, Retention::Messages);
        transcript.add(&DONE);
        let expected = b"\x01\0\0\x05\0\x01\0\0\0\0\0\x05hello\x0e\0\0\0\0\x04\0\0\0\0\0\0";
        assert_eq!(transcript.messages(), Some(&expected[..]));
        assert_eq!(transcript.current_hash().as_ref(), sha256().hash(expected).as_ref());
    }

    #[test]
    fn dtls13_hashes_the_tls_header() {
        let mut buffer = TranscriptBuffer::new();
        buffer.add(&DONE);
        buffer.add(&HELLO);
        let transcript = buffer.start(sha256(), TranscriptForm::Dtls13, Retention::HashOnly);
        assert_eq!(transcript.messages(), None);
        assert_eq!(transcript.current_hash().as_ref(), sha256().hash(b"\x0e\0\0\0\x01\0\0\x05hello").as_ref());
        assert_eq!(
            transcript.hash_with(&[b"mo", b"re"]).as_ref(),
            sha256().hash(b"\x0e\0\0\0\x01\0\0\x05hellomore").as_ref()
        );
    }

    #[test]
    fn a_hello_verify_request_leaves_no_trace() {
        let mut buffer = TranscriptBuffer::new();
        buffer.add(&HELLO);
        buffer.clear();
        buffer.add(&DONE);
        let mut fresh = Transcript::new(sha256(), TranscriptForm::Dtls12, Retention::HashOnly);
        fresh.add(&DONE);
        let transcript = buffer.start(sha256(), TranscriptForm::Dtls12, Retention::HashOnly);
        assert_eq!(transcript.current_hash().as_ref(), fresh.current_hash().as_ref());
    }

    #[test]
    fn a_retry_replaces_the_first_client_hello_by_its_hash() {
        let mut transcript = Transcript::new(sha256(), TranscriptForm::Dtls13, Retention::HashOnly);
        transcript.add(&HELLO);
        transcript.roll_up_for_retry();
        let first = sha256().hash(b"\x01\0\0\x05hello");
        let expected = [&b"\xfe\0\0\x20"[..], first.as_ref()].concat();
        assert_eq!(transcript.current_hash().as_ref(), sha256().hash(&expected).as_ref());
        let stateless = Transcript::after_first_client_hello(sha256(), first.as_ref());
        assert_eq!(stateless.current_hash().as_ref(), transcript.current_hash().as_ref());
    }

    #[test]
    fn messages_can_be_forgotten_without_touching_the_hash() {
        let mut transcript = Transcript::new(sha256(), TranscriptForm::Dtls12, Retention::Messages);
        transcript.add(&HELLO);
        let before = transcript.current_hash();
        transcript.forget_messages();
        assert_eq!(transcript.messages(), None);
        assert_eq!(transcript.current_hash().as_ref(), before.as_ref());
    }
}
