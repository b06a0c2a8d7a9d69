//! BoringSSL, through the crate `boring`: a stream that is fed datagram by datagram.

use crate::certificates::{Authority, Chain};
use crate::memory::{LABEL, Peer};
use crate::table::{Cell, Group, Retry, Role, Suite, Version};
use boring::pkey::PKey;
use boring::ssl::{
    ErrorCode, HandshakeError, MidHandshakeSslStream, Ssl, SslContextBuilder, SslMethod, SslOptions,
    SslSignatureAlgorithm, SslStream, SslVerifyMode, SslVersion,
};
use boring::x509::X509;
use boring::x509::store::X509StoreBuilder;
use foreign_types_shared::ForeignTypeRef;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) struct Boring {
    wire: Rc<RefCell<Wire>>,
    state: State,
    peer_closed: bool,
    received: Vec<u8>,
}

enum State {
    Handshake(MidHandshakeSslStream<Datagrams>),
    Established(SslStream<Datagrams>),
    Failed,
}

/// Datagrams on their way.
#[derive(Default)]
struct Wire {
    arriving: VecDeque<Vec<u8>>,
    leaving: Vec<Vec<u8>>,
}

/// One read is a datagram, and one write.
pub(crate) struct Datagrams(Rc<RefCell<Wire>>);

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.0.borrow_mut().arriving.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().leaving.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Boring {
    pub(crate) fn new(cell: &Cell, authority: &Authority) -> Result<Self, String> {
        let ssl = context(cell, authority).and_then(|context| Ssl::new(&context)).map_err(|e| e.to_string())?;
        Self::start(ssl, cell.grid.we, cell.mtu)
    }

    /// With the time of [`set_clock`] instead of the machine's.
    pub(crate) fn in_virtual_time(cell: &Cell, authority: &Authority) -> Result<Self, String> {
        let ssl = context(cell, authority).and_then(|context| {
            // SAFETY: the context is not used elsewhere, and the function is one for ever.
            unsafe { boring_sys::SSL_CTX_set_current_time_cb(context.as_ptr(), Some(current_time)) };
            Ssl::new(&context)
        });
        Self::start(ssl.map_err(|error| error.to_string())?, cell.grid.we, cell.mtu)
    }

    /// The end that we are not.
    pub(crate) fn start(mut ssl: Ssl, we: Role, mtu: usize) -> Result<Self, String> {
        ssl.set_options(SslOptions::NO_QUERY_MTU);
        ssl.set_mtu(u32::try_from(mtu).unwrap()).map_err(|error| error.to_string())?;
        let wire = Rc::new(RefCell::new(Wire::default()));
        let datagrams = Datagrams(wire.clone());
        let handshake = match we {
            Role::Client => ssl.setup_accept(datagrams),
            Role::Server => {
                ssl.param_mut().set_host("localhost").map_err(|error| error.to_string())?;
                ssl.setup_connect(datagrams)
            }
        };
        let state = State::Handshake(handshake);
        Ok(Self { wire, state, peer_closed: false, received: Vec::new() })
    }

    fn proceed(&mut self) -> Result<(), String> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Handshake(handshake) => match handshake.handshake() {
                Ok(stream) => {
                    self.state = State::Established(stream);
                    self.proceed()
                }
                Err(HandshakeError::WouldBlock(handshake)) => {
                    self.state = State::Handshake(handshake);
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            State::Established(mut stream) => {
                let outcome = self.read(&mut stream);
                self.state = State::Established(stream);
                outcome
            }
            State::Failed => Err("it failed before".into()),
        }
    }

    fn read(&mut self, stream: &mut SslStream<Datagrams>) -> Result<(), String> {
        let mut buffer = [0; 4096];
        loop {
            match stream.ssl_read(&mut buffer) {
                Ok(len) => self.received.extend_from_slice(&buffer[..len]),
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(()),
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    self.peer_closed = true;
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Its timers, without that for ACKs a KeyUpdate of ours is never acknowledged.
    fn handle_timeout(&mut self) {
        if let (Some(ssl), Some(Duration::ZERO)) = (self.ssl(), self.timeout()) {
            // SAFETY: the stream has the SSL, and nothing else uses it meanwhile.
            unsafe { boring_sys::DTLSv1_handle_timeout(ssl) };
        }
    }

    /// When it wants to be asked again, if it does.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let mut left = boring_sys::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: the stream has the SSL, and nothing else uses it meanwhile.
        let running = unsafe { boring_sys::DTLSv1_get_timeout(self.ssl()?, &raw mut left) } == 1;
        let seconds = Duration::from_secs(u64::try_from(left.tv_sec).unwrap());
        running.then_some(seconds + Duration::from_micros(u64::try_from(left.tv_usec).unwrap()))
    }

    fn ssl(&self) -> Option<*mut boring_sys::SSL> {
        match &self.state {
            State::Handshake(stream) => Some(stream.ssl().as_ptr()),
            State::Established(stream) => Some(stream.ssl().as_ptr()),
            State::Failed => None,
        }
    }

    pub(crate) fn stream(&mut self) -> Result<&mut SslStream<Datagrams>, String> {
        match &mut self.state {
            State::Established(stream) => Ok(stream),
            State::Handshake(_) | State::Failed => Err("not established".into()),
        }
    }
}

impl Peer for Boring {
    fn receive(&mut self, datagram: &[u8]) -> Result<(), String> {
        self.wire.borrow_mut().arriving.push_back(datagram.to_vec());
        self.proceed()
    }

    fn transmit(&mut self) -> Result<Vec<Vec<u8>>, String> {
        self.handle_timeout();
        if !self.peer_closed {
            self.proceed()?;
        }
        Ok(std::mem::take(&mut self.wire.borrow_mut().leaving))
    }

    fn established(&self) -> bool {
        matches!(self.state, State::Established(_))
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        self.stream()?.ssl_write(payload).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn received(&self) -> &[u8] {
        &self.received
    }

    fn close(&mut self) -> Result<(), String> {
        self.stream()?.shutdown().map_err(|error| error.to_string())?;
        Ok(())
    }

    fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    fn exported(&self) -> Result<Option<[u8; 32]>, String> {
        let State::Established(stream) = &self.state else { return Ok(None) };
        let mut out = [0; 32];
        stream.ssl().export_keying_material(&mut out, LABEL, None).map_err(|error| error.to_string())?;
        Ok(Some(out))
    }
}

fn context(cell: &Cell, authority: &Authority) -> Result<boring::ssl::SslContext, boring::error::ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::dtls())?;
    let version = match cell.grid.version {
        Version::Dtls12 => SslVersion::DTLS1_2,
        Version::Dtls13 => SslVersion::DTLS1_3,
    };
    context.set_min_proto_version(Some(version))?;
    context.set_max_proto_version(Some(version))?;
    context.set_curves_list(&groups(cell))?;
    context.set_verify_algorithm_prefs(&ALGORITHMS)?;
    if cell.grid.version == Version::Dtls12 {
        context.set_cipher_list(suite(cell))?;
    }
    let mut roots = X509StoreBuilder::new()?;
    roots.add_cert(&X509::from_pem(&std::fs::read(authority.root_file()).unwrap())?)?;
    context.set_cert_store_builder(roots);
    let verify = match (cell.grid.we, cell.client_auth.kind()) {
        (Role::Client, None) => SslVerifyMode::NONE,
        (Role::Client, Some(_)) => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        (Role::Server, _) => SslVerifyMode::PEER,
    };
    context.set_verify(verify);
    let own = match cell.grid.we {
        Role::Client => Some(cell.certificate),
        Role::Server => cell.client_auth.kind(),
    };
    if let Some(kind) = own {
        identify(&mut context, authority.chain(kind))?;
    }
    Ok(context.build())
}

pub(crate) fn identify(context: &mut SslContextBuilder, chain: &Chain) -> Result<(), boring::error::ErrorStack> {
    context.set_certificate_chain_file(&chain.certificate_file)?;
    let key = PKey::private_key_from_pem(&std::fs::read(&chain.key_file).unwrap())?;
    context.set_private_key(&key)
}

thread_local! {
    static CLOCK: RefCell<Duration> = const { RefCell::new(Duration::ZERO) };
}

/// What time it is in this thread for ends in virtual time.
pub(crate) fn set_clock(since_start: Duration) {
    CLOCK.set(since_start);
}

extern "C" fn current_time(_: *const boring_sys::SSL, out: *mut boring_sys::timeval) {
    // Of today, for the certificates' sake.
    static START: LazyLock<Duration> = LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    let now = Duration::from_secs(START.as_secs()) + CLOCK.with_borrow(|now| *now);
    let (tv_sec, tv_usec) = (now.as_secs().try_into().unwrap(), now.subsec_micros().into());
    // SAFETY: BoringSSL hands over a place for the time.
    unsafe { out.write(boring_sys::timeval { tv_sec, tv_usec }) };
}

/// Ed25519 is not among the defaults.
pub(crate) const ALGORITHMS: [SslSignatureAlgorithm; 8] = [
    SslSignatureAlgorithm::ECDSA_SECP256R1_SHA256,
    SslSignatureAlgorithm::ECDSA_SECP384R1_SHA384,
    SslSignatureAlgorithm::ED25519,
    SslSignatureAlgorithm::RSA_PSS_RSAE_SHA256,
    SslSignatureAlgorithm::RSA_PSS_RSAE_SHA384,
    SslSignatureAlgorithm::RSA_PSS_RSAE_SHA512,
    SslSignatureAlgorithm::RSA_PKCS1_SHA256,
    SslSignatureAlgorithm::RSA_PKCS1_SHA384,
];

/// A client has a share of its first group.
fn groups(cell: &Cell) -> String {
    let groups = match (cell.grid.version, cell.grid.we, cell.retry) {
        (Version::Dtls12, ..) => vec![cell.group, Group::X25519, Group::Secp256r1, Group::Secp384r1],
        (Version::Dtls13, Role::Server, Retry::ForGroup) => vec![cell.group.another(), cell.group],
        (Version::Dtls13, ..) => vec![cell.group],
    };
    let mut names: Vec<_> = groups.into_iter().map(Group::name).collect();
    let first = names.remove(0);
    names.retain(|name| *name != first);
    names.insert(0, first);
    names.join(":")
}

const fn suite(cell: &Cell) -> &'static str {
    match (cell.suite, cell.certificate) {
        (Suite::Aes128Gcm, crate::certificates::Kind::Rsa) => "ECDHE-RSA-AES128-GCM-SHA256",
        (Suite::Aes256Gcm, crate::certificates::Kind::Rsa) => "ECDHE-RSA-AES256-GCM-SHA384",
        (Suite::ChaCha20, crate::certificates::Kind::Rsa) => "ECDHE-RSA-CHACHA20-POLY1305",
        (Suite::Aes128Gcm, _) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        (Suite::Aes256Gcm, _) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        (Suite::ChaCha20, _) => "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
}
