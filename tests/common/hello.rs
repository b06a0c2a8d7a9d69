//! ClientHellos octet by octet, for what no client of ours would send.

use udtls::ProtocolVersion;

/// A ClientHello whose every field is the test's choice, in a record of its own.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    /// The record's sequence number.
    pub(crate) record: u64,
    pub(crate) message_seq: u16,
    pub(crate) legacy_version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) legacy_cookie: Vec<u8>,
    pub(crate) suites: Vec<u16>,
    pub(crate) compression: Vec<u8>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

const SUPPORTED_VERSIONS: u16 = 43;
const COOKIE: u16 = 44;
const KEY_SHARE: u16 = 51;
const X25519: u16 = 29;

/// Octets before the body of a message in a record of its own.
pub(crate) const FRONT: usize = 13 + 12;

impl Hello {
    /// What a client of one version sends first.
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        let mut hello = Self {
            record: 0,
            message_seq: 0,
            legacy_version: 0xfefd,
            random: [0x7a; 32],
            session_id: Vec::new(),
            legacy_cookie: Vec::new(),
            suites: vec![0xc02b, 0xc02c],
            compression: vec![0],
            extensions: vec![
                (0, [&[0, 12, 0, 0, 9][..], b"localhost"].concat()),
                (10, vec![0, 4, 0, 29, 0, 23]),
                (11, vec![1, 0]),
                (13, vec![0, 4, 4, 3, 8, 4]),
                (23, Vec::new()),
                (0xff01, vec![0]),
            ],
        };
        if version == ProtocolVersion::DTLS1_3 {
            hello.suites = vec![0x1301, 0x1302];
            hello.set(SUPPORTED_VERSIONS, vec![2, 0xfe, 0xfc]);
            hello.set_key_share(X25519);
        }
        hello
    }

    /// Puts an extension in the place of another of its type, or behind all others.
    pub(crate) fn set(&mut self, ty: u16, body: Vec<u8>) {
        match self.extensions.iter_mut().find(|(other, _)| *other == ty) {
            Some((_, old)) => *old = body,
            None => self.extensions.push((ty, body)),
        }
    }

    /// One share, of this group; what it holds is of no matter as long as nobody computes with it.
    pub(crate) fn set_key_share(&mut self, group: u16) {
        let [high, low] = group.to_be_bytes();
        self.set(KEY_SHARE, [&[0, 36, high, low, 0, 32][..], &[9; 32]].concat());
    }

    /// The cookie, in the place where the version has it.
    pub(crate) fn set_cookie(&mut self, cookie: &[u8]) {
        if self.extensions.iter().any(|(ty, _)| *ty == SUPPORTED_VERSIONS) {
            self.set(COOKIE, prefixed(2, cookie));
        } else {
            self.legacy_cookie = cookie.to_vec();
        }
    }

    /// The ClientHello that answers a HelloVerifyRequest or a HelloRetryRequest.
    pub(crate) fn answering(&self, reply: &[u8]) -> Self {
        let mut next = Self { record: self.record + 1, message_seq: self.message_seq + 1, ..self.clone() };
        next.set_cookie(&cookie(reply));
        next
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut block = Vec::new();
        for (ty, body) in &self.extensions {
            block.extend(ty.to_be_bytes());
            block.extend(prefixed(2, body));
        }
        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        [
            &self.legacy_version.to_be_bytes()[..],
            &self.random,
            &prefixed(1, &self.session_id),
            &prefixed(1, &self.legacy_cookie),
            &prefixed(2, &suites),
            &prefixed(1, &self.compression),
            &prefixed(2, &block),
        ]
        .concat()
    }

    pub(crate) fn datagram(&self) -> Vec<u8> {
        datagram(self.record, self.message_seq, &self.body())
    }
}

/// A ClientHello's body in one fragment and one record.
pub(crate) fn datagram(record: u64, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    let message = [&[1], &len[1..], &message_seq.to_be_bytes(), &[0; 3], &len[1..], body].concat();
    [&[22, 0xfe, 0xfd, 0, 0][..], &record.to_be_bytes()[2..], &prefixed(2, &message)].concat()
}

/// The cookie of a HelloVerifyRequest or a HelloRetryRequest.
pub(crate) fn cookie(reply: &[u8]) -> Vec<u8> {
    let body = &reply[FRONT..];
    if reply[13] == 3 {
        return body[3..][..usize::from(body[2])].to_vec();
    }
    // Version, random, session id, suite, compression, and the length of the extensions.
    let mut rest = &body[2 + 32 + 1 + 2 + 1 + 2..];
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let (ty, len) = (u16::from_be_bytes([*t0, *t1]), usize::from(u16::from_be_bytes([*l0, *l1])));
        if ty == COOKIE {
            return after[2..len].to_vec();
        }
        rest = &after[len..];
    }
    panic!("no cookie");
}

/// `bytes` after their length in so many octets.
fn prefixed(octets: usize, bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[8 - octets..], bytes].concat()
}
