//! The record layer of one end against what the other has sealed: plaintext, DTLS 1.2 and DTLS 1.3, every cipher.
//!
//! * What opens in an epoch with keys is what was sealed there, octet by octet, once, and within the window of 256.
//! * What was sealed and comes unchanged, new and within the window, opens.
//! * Every call takes something from the datagram, whatever it holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::sync::LazyLock;
use udtls::CipherSuite;
use udtls::fuzzing::{Keys, Opening, Records};
use udtls_fuzz::{
    input::Input,
    provider::{End, provider},
};

/// Records that a receiver remembers in an epoch.
const WINDOW: u64 = 256;

/// Suites with the length of the secret and of the IV.
const SUITES: [(CipherSuite, usize, usize); 6] = [
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 16, 4),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 32, 4),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 32, 12),
    (CipherSuite::TLS_AES_128_GCM_SHA256, 32, 0),
    (CipherSuite::TLS_AES_256_GCM_SHA384, 48, 0),
    (CipherSuite::TLS_CHACHA20_POLY1305_SHA256, 32, 0),
];

/// Two epochs of each suite.
static KEYS: LazyLock<Vec<[Keys; 2]>> = LazyLock::new(|| {
    let provider = provider(End::Client);
    let keys = |(suite, secret, iv), octet| {
        Keys::new(&provider, suite, &vec![octet; secret], &vec![octet; iv]).expect("keys of the right lengths")
    };
    SUITES.iter().map(|suite| [1, 2].map(|octet| keys(*suite, octet))).collect()
});

/// A record of the sender's.
struct Sealed {
    epoch: u16,
    number: u64,
    content_type: u8,
    payload: Vec<u8>,
    record: Vec<u8>,
}

struct World {
    sender: Records,
    receiver: Records,
    /// 0 and those with keys.
    epochs: Vec<u16>,
    dtls13: bool,
    sealed: Vec<Sealed>,
    /// The number that the next record gets.
    next: HashMap<u16, u64>,
    /// The highest number opened, and all that were.
    opened: HashMap<u64, (u64, Vec<u64>)>,
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mode = input.below(SUITES.len() + 1);
    let mut world = World::new(mode.checked_sub(1));
    // Numbers far from the first are reached by sealing; a step of the input may take many.
    while !input.is_empty() {
        match input.below(8) {
            0..=2 => world.seal(&mut input),
            3 => world.skip(input.u16() % 600),
            _ => world.deliver(&mut input),
        }
    }
});

impl World {
    fn new(suite: Option<usize>) -> Self {
        let (mut sender, mut receiver, mut epochs) = (Records::default(), Records::default(), vec![0]);
        let dtls13 = suite.is_some_and(|suite| suite >= 3);
        if let Some(suite) = suite {
            let first = if dtls13 { 2 } else { 1 };
            for (epoch, keys) in (first..).zip(&KEYS[suite]) {
                sender.install_write(epoch, keys).expect("a later epoch");
                receiver.install_read(epoch, keys).expect("a later epoch");
                epochs.push(epoch);
            }
        }
        let (sealed, next, opened) = Default::default();
        Self { sender, receiver, epochs, dtls13, sealed, next, opened }
    }

    fn seal(&mut self, input: &mut Input<'_>) {
        let epoch = self.epochs[input.below(self.epochs.len())];
        let content_type = 20 + input.u8() % 7;
        // TLS12_CID has another header, which this does not write.
        let content_type = if content_type == 25 { 26 } else { content_type };
        let payload = input.short().to_vec();
        self.push(epoch, content_type, payload);
    }

    fn push(&mut self, epoch: u16, content_type: u8, payload: Vec<u8>) {
        let record = self.sender.seal(epoch, content_type, &payload).expect("numbers and room enough");
        let next = self.next.entry(epoch).or_default();
        let number = *next;
        *next += 1;
        self.sealed.push(Sealed { epoch, number, content_type, payload, record });
    }

    /// Uses up numbers of the newest epoch.
    fn skip(&mut self, count: u16) {
        let Some(epoch) = self.epochs.last().copied() else { return };
        (0..count).for_each(|_| drop(self.sender.seal(epoch, 23, b"")));
        *self.next.entry(epoch).or_default() += u64::from(count);
    }

    /// Records of the sender's, one behind the other, changed or not, with anything behind them.
    fn deliver(&mut self, input: &mut Input<'_>) {
        let mut datagram = Vec::new();
        let mut genuine = Vec::new();
        for _ in 0..=input.below(3) {
            let back = input.below(64) + 1;
            let Some(at) = self.sealed.len().checked_sub(back) else { continue };
            genuine.push(at);
            datagram.extend_from_slice(&self.sealed[at].record);
        }
        match input.below(5) {
            0 => {
                let at = usize::from(input.u16());
                let change = input.u8();
                if let Some(octet) = datagram.get_mut(at) {
                    *octet ^= change;
                    if change != 0 {
                        genuine.clear();
                    }
                }
            }
            1 => {
                let len = usize::from(input.u16());
                if len < datagram.len() {
                    datagram.truncate(len);
                    genuine.clear();
                }
            }
            2 => datagram.extend_from_slice(input.short()),
            3 => {
                genuine.clear();
                datagram = input.long().to_vec();
            }
            _ => {}
        }
        self.open(datagram, genuine);
    }

    fn open(&mut self, mut datagram: Vec<u8>, genuine: Vec<usize>) {
        let mut genuine = genuine.into_iter();
        let mut rest = &mut *datagram;
        while !rest.is_empty() {
            let before = rest.len();
            let expected = genuine.next();
            let opening = self.receiver.open(&mut rest);
            assert!(rest.len() < before, "each call takes something");
            match opening {
                Ok(Opening::Record { content_type, epoch, sequence_number, payload, .. }) => {
                    let sealed = self.sealed.iter().find(|sealed| {
                        (u64::from(sealed.epoch), sealed.number) == (epoch, sequence_number)
                            && (epoch != 0 || sealed.payload == payload)
                    });
                    if epoch == 0 {
                        assert!(content_type != 25, "a header that nobody agreed on");
                    } else {
                        let sealed = sealed.expect("only what was sealed opens");
                        assert_eq!((content_type, &*payload), (sealed.content_type, &*sealed.payload));
                        let (highest, seen) = self.opened.entry(epoch).or_insert((sequence_number, Vec::new()));
                        assert!(!seen.contains(&sequence_number), "nothing opens twice");
                        assert!(sequence_number + WINDOW > *highest, "what is too old does not open");
                        *highest = sequence_number.max(*highest);
                        seen.push(sequence_number);
                    }
                }
                Ok(Opening::Early(_)) => assert_eq!(self.epochs, [0], "the keys are there"),
                Ok(_) => {
                    let Some(sealed) = expected.map(|at| &self.sealed[at]) else { continue };
                    assert!(!self.must_open(sealed), "{} of epoch {} opens", sealed.number, sealed.epoch);
                }
                // Sealed with a type that no record has, by one who has the keys; the rest of the datagram is lost.
                Err(error) => panic!("nothing that was sealed is wrong: {error:?}"),
            }
        }
    }

    /// Unchanged, new, and its number can be told from what is on the wire.
    fn must_open(&self, sealed: &Sealed) -> bool {
        if sealed.epoch == 0 {
            return false;
        }
        match self.opened.get(&sealed.epoch.into()) {
            None => !self.dtls13 || sealed.number < 1 << 15,
            Some((highest, seen)) => {
                let near = !self.dtls13 || sealed.number.abs_diff(*highest) < 1 << 15;
                near && sealed.number + WINDOW > *highest && !seen.contains(&sealed.number)
            }
        }
    }
}
