//! wolfSSL's ends: `wolfssl-peer.c`, told over a pipe what to do.

use super::{Factory, Facts, Foreign, Row};
use crate::certificates::{Authority, Kind};
use crate::feature::{Feature, LABEL, PROTOCOLS, SERVER_NAME};
use crate::memory::Peer;
use crate::table::{Role, Version};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

/// The program. It is killed when dropped.
struct Program {
    child: Child,
    commands: ChildStdin,
    answers: ChildStdout,
}

/// What its ends share: the program has one at a time.
pub(crate) struct Ends {
    program: Rc<RefCell<Program>>,
    /// Whether an association has been: the program keeps its last session.
    held: bool,
}

/// One end.
pub(crate) struct End {
    program: Rc<RefCell<Program>>,
    leaving: Vec<Vec<u8>>,
    received: Vec<u8>,
    established: bool,
    peer_closed: bool,
}

impl Ends {
    pub(crate) fn new(row: &Row, authority: &Authority) -> Result<Self, String> {
        Self::told(row.version, row.we, authority, &words(row, authority)?)
    }

    /// `we` is our role, and `words` is what the program is told.
    pub(crate) fn told(version: Version, we: Role, authority: &Authority, words: &[String]) -> Result<Self, String> {
        let folder = std::env::var_os("UDTLS_WOLFSSL").map(PathBuf::from);
        let folder = folder.ok_or("UDTLS_WOLFSSL is not set: start tests/interop/run")?;
        let mut command = Command::new(folder.join("peer"));
        command.arg(if we == Role::Client { "server" } else { "client" });
        command.arg(if version == Version::Dtls13 { "1.3" } else { "1.2" });
        let chain = authority.chain(Kind::P256);
        command.arg(authority.root_file()).arg(&chain.certificate_file).arg(&chain.key_file);
        command.arg(format!("label={LABEL}")).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Ok(Self { program: Rc::new(RefCell::new(Program { child, commands, answers })), held: false })
    }
}

/// How the program is told what a row asks.
fn words(row: &Row, authority: &Authority) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    match (row.feature, row.we) {
        (Feature::Protocol, Role::Client) => words.push(format!("alpn={}", PROTOCOLS[1])),
        (Feature::Protocol, Role::Server) => words.push(format!("alpn={}", PROTOCOLS.join(","))),
        (Feature::TicketAfterRetry, Role::Client) => words.push(format!("group={SECP256R1}")),
        (Feature::TicketAfterRetry, Role::Server) => words.push(format!("share={X25519}")),
        (Feature::CookieForFragments, _) => words.push(format!("group={X25519MLKEM768}")),
        (Feature::Srtp(profile), Role::Client) => words.push(format!("srtp={}", profile.openssl_name())),
        (Feature::Srtp(profile), Role::Server) => words.push(format!("srtp={}", profile.openssl_names())),
        (Feature::ServerName, _) => words.push(format!("sni={SERVER_NAME}")),
        (Feature::SessionId, _) => words.push("tickets=no".into()),
        (Feature::Ticket | Feature::TicketAndCookie, _) => words.push("tickets=yes".into()),
        // Its client fails without one.
        (Feature::OcspResponse, _) => {
            words.push(format!("ocsp={}", authority.ocsp_response()?.display()));
            words.push(format!("issuer={}", authority.chain(Kind::P256).intermediate_file.display()));
        }
        // 2^9 octets (RFC 6066 §4).
        (Feature::MaxFragmentLength, _) => words.push("max_fragment=1".into()),
        _ => {}
    }
    Ok(words)
}

/// `NamedGroup`, RFC 8446 §4.2.7.
const SECP256R1: u16 = 23;
const X25519: u16 = 29;
const X25519MLKEM768: u16 = 4588;

impl Ends {
    pub(crate) fn next(&mut self) -> Result<End, String> {
        let (leaving, received, established, peer_closed) = (Vec::new(), Vec::new(), false, false);
        let mut end = End { program: self.program.clone(), leaving, received, established, peer_closed };
        end.tell(b'N', &[])?;
        self.held = true;
        Ok(end)
    }
}

impl Factory for Ends {
    fn end(&mut self) -> Result<Box<dyn Foreign>, String> {
        Ok(Box::new(self.next()?))
    }

    fn sessions(&self) -> usize {
        usize::from(self.held)
    }
}

impl Program {
    fn answer(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 3];
        self.answers.read_exact(&mut head)?;
        let [what, high, low] = head;
        let mut octets = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        self.answers.read_exact(&mut octets)?;
        Ok((what, octets))
    }

    fn command(&mut self, what: u8, octets: &[u8]) -> std::io::Result<()> {
        let [high, low] = u16::try_from(octets.len()).unwrap().to_be_bytes();
        self.commands.write_all(&[&[what, high, low], octets].concat())?;
        self.commands.flush()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    /// Has the program believe that so much time has passed since it was told of none.
    pub(crate) fn set_clock(&mut self, now: Duration) -> Result<(), String> {
        let microseconds = u64::try_from(now.as_micros()).unwrap();
        self.tell(b'K', &microseconds.to_be_bytes()).map(|_| ())
    }

    /// How long it waits for a datagram, if it does.
    pub(crate) fn patience(&mut self) -> Result<Option<Duration>, String> {
        let told = self.tell(b'I', &[])?.remove("timeout");
        Ok(told.map(|digits| Duration::from_millis(String::from_utf8_lossy(&digits).parse().unwrap())))
    }

    /// It has waited so long.
    pub(crate) fn expire(&mut self) -> Result<(), String> {
        self.tell(b'E', &[]).map(|_| ())
    }

    /// One command; the values that it is answered with, by name.
    fn tell(&mut self, what: u8, octets: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let program = self.program.clone();
        let mut program = program.borrow_mut();
        program.command(what, octets).map_err(|error| format!("wolfssl-peer: {error}"))?;
        let mut values = BTreeMap::new();
        loop {
            let (what, octets) = program.answer().map_err(|error| format!("wolfssl-peer: {error}"))?;
            match what {
                b'd' => self.leaving.push(octets),
                b'r' => self.received.extend(octets),
                b'e' => self.established = true,
                b'c' => self.peer_closed = true,
                b'f' => return Err(String::from_utf8_lossy(&octets).into_owned()),
                b'x' => {
                    let at = octets.iter().position(|octet| *octet == b'=').unwrap();
                    values.insert(String::from_utf8_lossy(&octets[..at]).into_owned(), octets[at + 1..].to_vec());
                }
                _ => return Ok(values),
            }
        }
    }
}

impl Peer for End {
    fn receive(&mut self, datagram: &[u8]) -> Result<(), String> {
        self.tell(b'D', datagram).map(|_| ())
    }

    fn transmit(&mut self) -> Result<Vec<Vec<u8>>, String> {
        Ok(std::mem::take(&mut self.leaving))
    }

    fn established(&self) -> bool {
        self.established
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        self.tell(b'W', payload).map(|_| ())
    }

    fn received(&self) -> &[u8] {
        &self.received
    }

    fn close(&mut self) -> Result<(), String> {
        self.tell(b'C', &[]).map(|_| ())
    }

    fn peer_closed(&self) -> bool {
        self.peer_closed
    }
}

impl Foreign for End {
    fn export(&mut self, context: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let with = [&[u8::from(context.is_some())], context.unwrap_or(&[])].concat();
        self.tell(b'X', &with)?.remove("exported").ok_or_else(|| "it exports nothing".into())
    }

    fn update_keys(&mut self) -> Result<(), String> {
        self.tell(b'U', &[]).map(|_| ())
    }

    fn facts(&mut self) -> Result<Facts, String> {
        let mut facts = self.tell(b'Q', &[])?;
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        let srtp = facts.remove("srtp").map(text).zip(facts.remove("srtp_keys"));
        let resumed = facts.contains_key("resumed");
        let (protocol, server_name) = (facts.remove("alpn"), facts.remove("sni").map(text));
        Ok(Facts { protocol, server_name, resumed, srtp, ..Facts::default() })
    }
}
