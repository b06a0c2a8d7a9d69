//! A recorded end played against the other one, which is real: with the keys of the genuine peer, in any order, changed in any
//! way. What has to hold is in `subject.rs`, and here: only the genuine handshake completes, and only by its Finished.

use crate::input::Input;
use crate::kinds::{KINDS, ORIGIN, UNIX_TIME, set_unix_time};
use crate::provider::End;
use crate::script::{ACK, APPLICATION_DATA, HANDSHAKE, Said, Script};
use crate::subject::Subject;
use std::collections::HashMap;
use std::time::Duration;
use udtls::fuzzing::{Opening, Records, fragment};
use udtls::{AlertDescription, Event, KeyUpdateRequest, ProtocolVersion};

/// One run.
struct Play<'s> {
    script: &'s Script,
    subject: Subject,
    writer: Records,
    reader: Records,
    /// The next record of the script.
    next: usize,
    /// Whether anything of the record with the Finished was ever played.
    finished: bool,
    /// What was sealed as data, and how often.
    data: HashMap<Vec<u8>, usize>,
    /// Every datagram that was sent.
    sent: Vec<Vec<u8>>,
    /// What the subject has sent under keys, as an ACK lists it (RFC 9147 §7).
    heard: Vec<u8>,
    /// The message_seq after that of the last genuine message.
    message_seq: u16,
    /// The application wants to know no more of the peer's certificates.
    forgotten: bool,
}

/// Plays `data` against an end.
pub fn play(scripts: &[Script], data: &[u8]) {
    let mut input = Input::new(data);
    let script = &scripts[input.below(KINDS.len())];
    let mut play = Play::new(script);
    play.listen();
    // So many records come as they are.
    for _ in 0..input.below(script.said.len() + 1) {
        play.genuine(1);
    }
    while !input.is_empty() {
        play.step(&mut input);
        play.listen();
        play.check();
    }
    play.subject.finish();
}

/// What each kind is to this end.
pub fn scripts(recorded: End) -> Vec<Script> {
    KINDS.iter().map(|kind| Script::record(kind, recorded)).collect()
}

impl<'s> Play<'s> {
    fn new(script: &'s Script) -> Self {
        script.kind.begin();
        let subject = Subject::new(script.kind.new_end(script.end.other(), *ORIGIN), *ORIGIN);
        let (mut writer, mut reader) = (Records::default(), Records::default());
        script.write.iter().for_each(|(epoch, keys)| writer.install_write(*epoch, keys).expect("later epochs"));
        script.read.iter().take(2).for_each(|(epoch, keys)| reader.install_read(*epoch, keys).expect("later epochs"));
        let (data, sent, heard) = Default::default();
        let (next, message_seq, finished, forgotten) = Default::default();
        Self { script, subject, writer, reader, next, finished, data, sent, heard, message_seq, forgotten }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 20 {
            0 => self.genuine(1 + input.below(4)),
            1 => self.next = (self.next + 1).min(self.script.said.len()),
            2 => self.next = self.next.saturating_sub(1 + input.below(4)),
            3..=5 => self.mutated(input),
            6 | 7 => self.crafted(input),
            8 | 9 => self.crafted_message(input),
            10 => self.raw(input),
            11 => self.again(input),
            12 => self.acknowledge(input),
            13 => self.subject.advance(Duration::from_millis(u64::from(input.u16()) << (input.u8() & 7))),
            14 => self.subject.expire(),
            15 => drop(self.subject.send(input.short())),
            16 => self.command(input),
            17 => self.honest_data(input),
            18 => self.early(input),
            _ => set_unix_time(UNIX_TIME + u64::from(input.u16())),
        }
    }

    /// The next records as they are, in one datagram.
    fn genuine(&mut self, count: usize) {
        let mut datagram = Vec::new();
        for _ in 0..count {
            let Some(said) = self.script.said.get(self.next) else { break };
            self.finished |= self.next == self.script.finished;
            self.note(said);
            datagram.extend(self.seal(said.epoch, said.content_type, &said.payload));
            self.next += 1;
        }
        self.deliver(datagram);
    }

    fn note(&mut self, said: &Said) {
        if let (HANDSHAKE, Some([high, low])) = (said.content_type, said.payload.get(4..6)) {
            self.message_seq = self.message_seq.max(u16::from_be_bytes([*high, *low]).saturating_add(1));
        }
    }

    /// The next record, changed before it is sealed.
    fn mutated(&mut self, input: &mut Input<'_>) {
        let Some(said) = self.script.said.get(self.next) else { return };
        let (mut epoch, mut content_type, mut payload) = (said.epoch, said.content_type, said.payload.clone());
        self.finished |= self.next == self.script.finished;
        let choice = input.u8();
        match choice & 7 {
            0..=2 => {
                let at = usize::from(input.u16()) % payload.len().max(1);
                let change = input.u8();
                if let Some(octet) = payload.get_mut(at) {
                    *octet ^= change;
                }
            }
            3 => payload.truncate(usize::from(input.u16())),
            4 => payload.extend_from_slice(input.short()),
            5 => {
                let at = usize::from(input.u16()) % (payload.len() + 1);
                let with = input.short();
                let end = (at + with.len()).min(payload.len());
                payload.splice(at..end, with.iter().copied());
            }
            6 => content_type = input.u8(),
            _ => epoch = self.epoch(input),
        }
        if choice & 8 == 0 {
            self.next += 1;
        }
        let datagram = self.seal(epoch, content_type, &payload);
        self.deliver(datagram);
    }

    /// A record of anything.
    fn crafted(&mut self, input: &mut Input<'_>) {
        let epoch = self.epoch(input);
        let content_type = match input.u8() {
            choice @ 0..8 => 20 + choice,
            other => other,
        };
        let payload = input.short();
        let datagram = self.seal(epoch, content_type, payload);
        self.deliver(datagram);
    }

    /// A message of anything, in one fragment or two.
    fn crafted_message(&mut self, input: &mut Input<'_>) {
        let epoch = self.epoch(input);
        let (msg_type, ahead) = (input.u8() % 28, u16::from(input.u8() % 8));
        let body = input.short();
        let message_seq = self.message_seq.wrapping_add(ahead);
        let cut = usize::from(input.u8()).min(body.len());
        let (first, second) = body.split_at(cut);
        let mut payload = fragment(msg_type, message_seq, body.len(), 0, first);
        if !second.is_empty() {
            payload.extend(fragment(msg_type, message_seq, body.len(), cut, second));
        }
        if ahead == 0 {
            self.message_seq = message_seq.wrapping_add(1);
        }
        let datagram = self.seal(epoch, HANDSHAKE, &payload);
        self.deliver(datagram);
    }

    /// A datagram of anything.
    fn raw(&mut self, input: &mut Input<'_>) {
        let datagram = input.short().to_vec();
        self.subject.receive(datagram);
    }

    /// One that was sent before, changed or not.
    fn again(&mut self, input: &mut Input<'_>) {
        let back = 1 + input.below(16);
        let Some(mut datagram) = self.sent.len().checked_sub(back).map(|at| self.sent[at].clone()) else { return };
        let at = usize::from(input.u16());
        let change = input.u8();
        if let Some(octet) = datagram.get_mut(at) {
            *octet ^= change;
        }
        self.subject.receive(datagram);
    }

    /// An ACK of what the subject has sent.
    fn acknowledge(&mut self, input: &mut Input<'_>) {
        let epoch = self.epoch(input);
        let newest = self.heard.len().saturating_sub(16 * usize::from(input.u8() % 33));
        let numbers = self.heard.split_off(newest);
        let mut payload = u16::try_from(numbers.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        payload.extend(numbers);
        let datagram = self.seal(epoch, ACK, &payload);
        self.deliver(datagram);
    }

    fn command(&mut self, input: &mut Input<'_>) {
        let (connection, now) = (&mut self.subject.connection, self.subject.now);
        match input.u8() % 9 {
            0 => connection.close(now),
            1 => drop(connection.request_key_update(now, KeyUpdateRequest::Requested)),
            2 => drop(connection.request_key_update(now, KeyUpdateRequest::NotRequested)),
            3 => drop(connection.set_mtu(usize::from(input.u16() % 2048))),
            4 => connection.abort(AlertDescription::from(input.u8())),
            5 => connection.hibernate(),
            6 => connection.datagram_too_large(usize::from(input.u16() % 2048)),
            7 => {
                connection.forget_peer_certificates();
                self.forgotten |= connection.negotiated().is_some();
            }
            _ => connection.set_initial_timeout(Duration::from_millis(input.u16().into())),
        }
        self.subject.drain_events();
    }

    /// Data, as the genuine peer would send it: if all is well it arrives.
    fn honest_data(&mut self, input: &mut Input<'_>) {
        let epoch = if self.script.kind.version == ProtocolVersion::DTLS1_3 { 3 } else { 1 };
        let datagram = self.seal(epoch, APPLICATION_DATA, input.short());
        self.deliver(datagram);
    }

    /// Records of the script from further on, before their turn.
    fn early(&mut self, input: &mut Input<'_>) {
        let at = self.next + input.below(8);
        let Some(said) = self.script.said.get(at) else { return };
        self.finished |= at == self.script.finished;
        let datagram = self.seal(said.epoch, said.content_type, &said.payload);
        self.deliver(datagram);
    }

    /// One that there are keys for: often that of the next record.
    fn epoch(&self, input: &mut Input<'_>) -> u16 {
        let keys = &self.script.write;
        match input.below(keys.len() + 4) {
            0 => 0,
            choice if choice <= keys.len() => keys[choice - 1].0,
            _ => self.script.said.get(self.next).or(self.script.said.last()).map_or(0, |said| said.epoch),
        }
    }

    fn seal(&mut self, epoch: u16, content_type: u8, payload: &[u8]) -> Vec<u8> {
        if content_type == APPLICATION_DATA && epoch > 0 {
            *self.data.entry(payload.to_vec()).or_default() += 1;
        }
        self.writer.seal(epoch, content_type, payload).unwrap_or_default()
    }

    fn deliver(&mut self, datagram: Vec<u8>) {
        self.subject.receive(datagram.clone());
        self.sent.push(datagram);
    }

    /// Reads all that the subject has to say.
    fn listen(&mut self) {
        for mut datagram in self.subject.transmit() {
            let mut rest = &mut *datagram;
            while !rest.is_empty() {
                if let Ok(Opening::Record { content_type, epoch, sequence_number, .. }) = self.reader.open(&mut rest) {
                    assert!(epoch > 0 || content_type != APPLICATION_DATA, "no data in plaintext");
                    if epoch > 0 {
                        self.heard.extend(epoch.to_be_bytes());
                        self.heard.extend(sequence_number.to_be_bytes());
                    }
                }
            }
        }
    }

    fn check(&mut self) {
        let subject = &mut self.subject;
        for data in subject.data.drain(..) {
            let left = self.data.get_mut(&data).filter(|left| **left > 0).expect("what was sealed as data");
            *left -= 1;
        }
        if subject.complete {
            assert!(self.finished, "no handshake completes without its Finished");
            if let Some(exported) = subject.exported() {
                assert_eq!(exported, self.script.exported, "it is the genuine handshake that completes");
            }
            if let Some(negotiated) = subject.connection.negotiated().filter(|_| !self.forgotten) {
                assert_eq!(negotiated.peer_certificates().len(), self.script.certificates, "by the genuine peer");
            }
        }
        debug_assert!(!matches!(subject.connection.poll_event(), Some(Event::HandshakeComplete)));
    }
}
