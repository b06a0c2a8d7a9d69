//! Messages put together from fragments, against a naive model.
//!
//! * Under keys the model says exactly what happens: octets that are new, contradictions that are fatal, the message that
//!   comes next.
//! * In plaintext, where anyone sends, every octet of a message that is handed on was sent for that message, in that place;
//!   and as long as nobody contradicts, the model says exactly what happens there too.
//! * The octets held keep to their bound, by the account of the reassembly and by the allocator's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, HashMap};
use udtls::fuzzing::{Reassembly, fragment};
use udtls_fuzz::{input::Input, memory};

/// Octets of the longest message, and for all but the next one.
const LIMITS: (usize, usize) = (4096, 8192);

/// The next message as fragments, which take twice its length and more; the others; and what the list of candidates has in
/// reserve.
const MAX_HELD: usize = 3 * LIMITS.0 + LIMITS.1 + (8 << 10);

/// Steps of an input: more find no more, and take longer.
const MAX_STEPS: usize = 100;

/// Messages that are kept: the next and six after it.
const WINDOW: u16 = 7;

/// A message in the model: its type and its octets, as far as they have come.
struct Model {
    msg_type: u8,
    octets: Vec<Option<u8>>,
}

impl Model {
    fn is_complete(&self) -> bool {
        self.octets.iter().all(Option::is_some)
    }

    fn agrees(&self, piece: &Piece) -> bool {
        let place = self.octets.get(piece.offset..piece.offset + piece.body.len());
        self.msg_type == piece.msg_type
            && self.octets.len() == piece.length
            && place.is_some_and(|place| place.iter().zip(&piece.body).all(|(a, b)| a.is_none_or(|a| a == *b)))
    }
}

struct Piece {
    msg_type: u8,
    message_seq: u16,
    length: usize,
    offset: usize,
    body: Vec<u8>,
}

impl Piece {
    /// Of one of a few messages, most of which agree with each other.
    fn read(input: &mut Input<'_>, next: u16) -> Self {
        let choice = input.u8();
        let message_seq = next.wrapping_add(u16::from(choice & 7)).wrapping_sub(u16::from(choice >> 7));
        let length = match choice >> 3 & 3 {
            0 => usize::from(message_seq % 5),
            1 => 40,
            2 => 700 + usize::from(message_seq),
            _ => usize::from(input.u16()) % (LIMITS.0 + 16),
        };
        let offset = usize::from(input.u16()) % (length + 1);
        let len = (usize::from(input.u8()) << (input.u8() & 3)).min(length - offset);
        let lie = input.u8();
        let msg_type = if lie == 1 { 2 } else { 11 };
        let octet = |at: usize| (at as u8).wrapping_mul(7) ^ (message_seq as u8) ^ u8::from(lie == 2);
        Self { msg_type, message_seq, length, offset, body: (offset..offset + len).map(octet).collect() }
    }

    fn encode(&self) -> Vec<u8> {
        fragment(self.msg_type, self.message_seq, self.length, self.offset, &self.body)
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let protected = input.u8() & 1 == 1;
    let epoch = u16::from(protected) * 2;
    let mut reassembly = Reassembly::new(LIMITS.0, LIMITS.1);
    if protected {
        reassembly.advance_epoch(epoch).expect("nothing is left over");
    }
    let mut world = World { next: 0, models: BTreeMap::new(), sent: HashMap::new(), told_apart: protected };
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        match input.below(6) {
            0 if reassembly.next().is_some() => {
                world.check_next(&reassembly);
                reassembly.consume();
                world.consume();
            }
            1 if !protected && reassembly.next().is_some() => {
                reassembly.reject();
                world.told_apart = false;
                world.contradicted();
            }
            2 => {
                // Anything at all: it may be cut off, or beyond its message.
                let octets = input.short();
                let received = reassembly.receive(epoch, octets);
                if protected && received.is_err() {
                    return;
                }
                world.learn(octets);
            }
            _ => {
                let piece = Piece::read(&mut input, world.next);
                let received = reassembly.receive(epoch, &piece.encode());
                world.remember(&piece);
                match (world.expect(&piece, protected), received) {
                    (Expected::Fatal, received) => {
                        assert!(received.is_err(), "a contradiction under keys is fatal");
                        return;
                    }
                    (Expected::Progress(progress), received) => {
                        let received = received.expect("nothing is wrong with it");
                        assert_eq!(received.progress, progress, "what is new");
                        assert!(!progress || received.discarded.is_none(), "what is kept may be acknowledged");
                    }
                    (Expected::Anything, _) => {}
                }
            }
        }
        world.check_next(&reassembly);
    }
    let own = reassembly.buffered();
    let held = memory::held(reassembly);
    assert!(held <= MAX_HELD, "{held} octets are held, {own} by its own account");
});

enum Expected {
    Fatal,
    Progress(bool),
    Anything,
}

/// The octets that were sent for one place of a message.
#[derive(Clone, Copy, Default)]
struct Sent {
    octets: [u8; 4],
    /// Of so many only these are known.
    count: usize,
}

impl Sent {
    fn insert(&mut self, octet: u8) {
        if !self.contains(octet) {
            self.octets[self.count] = octet;
            self.count += 1;
        }
    }

    fn contains(&self, octet: u8) -> bool {
        self.count >= self.octets.len() || self.octets[..self.count].contains(&octet)
    }
}

struct World {
    next: u16,
    models: BTreeMap<u16, Model>,
    /// Every octet that was sent for a message, with its type and length.
    sent: HashMap<(u16, u8, usize), Vec<Sent>>,
    /// Whether the models say exactly what happens.
    told_apart: bool,
}

impl World {
    fn remember(&mut self, piece: &Piece) {
        let places = self.sent.entry((piece.message_seq, piece.msg_type, piece.length));
        let places = places.or_insert_with(|| vec![Sent::default(); piece.length]);
        places.iter_mut().skip(piece.offset).zip(&piece.body).for_each(|(place, octet)| place.insert(*octet));
    }

    /// Fragments that were not made by the model: from here on it knows only which octets were sent.
    fn learn(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some((header, after)) = rest.split_at_checked(12) {
            let u24 = |at: usize| {
                usize::from(header[at]) << 16 | usize::from(header[at + 1]) << 8 | usize::from(header[at + 2])
            };
            let (length, offset, len) = (u24(1), u24(6), u24(9));
            let Some((body, after)) = after.split_at_checked(len).filter(|_| offset + len <= length) else { break };
            let message_seq = u16::from_be_bytes([header[4], header[5]]);
            if length <= LIMITS.0 {
                self.remember(&Piece { msg_type: header[0], message_seq, length, offset, body: body.to_vec() });
            }
            self.contradicted();
            rest = after;
        }
    }

    fn contradicted(&mut self) {
        self.told_apart = false;
        self.models.clear();
    }

    /// What is to happen, as long as there is room enough for everything.
    fn expect(&mut self, piece: &Piece, protected: bool) -> Expected {
        let room =
            self.models.values().map(|model| 3 * model.octets.len() + 1024).sum::<usize>() + 2 * piece.length + 2048;
        if room > LIMITS.1 {
            self.contradicted();
        }
        let Some(ahead) = piece.message_seq.checked_sub(self.next) else { return Expected::Progress(false) };
        if ahead >= WINDOW {
            return Expected::Progress(false);
        }
        if piece.length > LIMITS.0 {
            return if protected { Expected::Fatal } else { Expected::Progress(false) };
        }
        if !self.told_apart {
            return Expected::Anything;
        }
        match self.models.get_mut(&piece.message_seq) {
            Some(model) if !model.agrees(piece) && protected => Expected::Fatal,
            Some(model) if !model.agrees(piece) => {
                self.contradicted();
                Expected::Anything
            }
            // An empty fragment of a message that is not empty says nothing.
            None if piece.body.is_empty() && piece.length > 0 => Expected::Progress(false),
            None => {
                let mut octets = vec![None; piece.length];
                octets[piece.offset..piece.offset + piece.body.len()]
                    .iter_mut()
                    .zip(&piece.body)
                    .for_each(|(o, b)| *o = Some(*b));
                self.models.insert(piece.message_seq, Model { msg_type: piece.msg_type, octets });
                Expected::Progress(true)
            }
            Some(model) => {
                let place = &mut model.octets[piece.offset..piece.offset + piece.body.len()];
                let new = place
                    .iter_mut()
                    .zip(&piece.body)
                    .filter_map(|(o, b)| o.replace(*b).is_none().then_some(()))
                    .count();
                Expected::Progress(new > 0)
            }
        }
    }

    fn check_next(&self, reassembly: &Reassembly) {
        let next = reassembly.next();
        if let Some((msg_type, message_seq, body)) = next {
            assert_eq!(message_seq, self.next, "in order");
            let sent = self.sent.get(&(message_seq, msg_type, body.len()));
            let sent = sent.expect("of a type and length that were sent");
            assert!(sent.iter().zip(body).all(|(place, octet)| place.contains(*octet)), "of octets that were sent");
        }
        if self.told_apart {
            let expected = self.models.get(&self.next).filter(|model| model.is_complete());
            assert_eq!(next.is_some(), expected.is_some(), "the next message is there when it is complete");
        }
    }

    fn consume(&mut self) {
        self.models.remove(&self.next);
        self.next += 1;
    }
}
