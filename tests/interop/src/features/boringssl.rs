//! BoringSSL's ends.

use super::{Factory, Facts, Foreign, Row, TIMESTAMPS};
use crate::boring::{ALGORITHMS, Boring, identify};
use crate::certificates::{Authority, Kind};
use crate::feature::{Compression, Feature, LABEL, PROTOCOLS, SERVER_NAME, SRTP_LABEL};
use crate::table::{Role, Version};
use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{
    AlpnError, CertificateCompressionAlgorithm, CertificateCompressor, NameType, Ssl, SslContext, SslContextBuilder,
    SslMethod, SslOptions, SslRef, SslSession, SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};
use boring::x509::X509;
use boring::x509::store::X509StoreBuilder;
use foreign_types_shared::ForeignTypeRef;
use rustls::compress::{self, CertCompressor, CertDecompressor, CompressionLevel};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

/// What its ends share.
pub(crate) struct Ends {
    row: Row,
    context: SslContext,
    /// The client's, the oldest first.
    sessions: Sessions,
    /// What its server staples.
    ocsp_response: Vec<u8>,
}

type Sessions = Arc<Mutex<VecDeque<SslSession>>>;

impl Ends {
    pub(crate) fn new(row: &Row, authority: &Authority) -> Result<Self, String> {
        let sessions = Sessions::default();
        let context = context(row, authority, &sessions).map_err(|error| error.to_string())?;
        let ocsp_response = match row.feature {
            Feature::OcspResponse => std::fs::read(authority.ocsp_response()?).unwrap(),
            _ => Vec::new(),
        };
        Ok(Self { row: *row, context, sessions, ocsp_response })
    }
}

impl Factory for Ends {
    fn end(&mut self) -> Result<Box<dyn Foreign>, String> {
        let mut ssl = Ssl::new(&self.context).map_err(|error| error.to_string())?;
        if !self.ocsp_response.is_empty() && self.row.we == Role::Client {
            ssl.set_ocsp_status(&self.ocsp_response).map_err(|error| error.to_string())?;
        }
        if self.row.we == Role::Server {
            ssl.set_hostname(SERVER_NAME).map_err(|error| error.to_string())?;
            if let Some(session) = self.sessions.lock().unwrap().pop_front() {
                // SAFETY: the session is of this context.
                unsafe { ssl.set_session(&session) }.map_err(|error| error.to_string())?;
            }
        }
        Ok(Box::new(Boring::start(ssl, self.row.we, 1200)?))
    }

    fn sessions(&self) -> usize {
        self.sessions.lock().unwrap().len()
    }
}

impl Foreign for Boring {
    fn export(&mut self, context: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let mut out = vec![0; 32];
        let exported = self.stream()?.ssl().export_keying_material(&mut out, LABEL, context);
        exported.map_err(|error| error.to_string())?;
        Ok(out)
    }

    fn update_keys(&mut self) -> Result<(), String> {
        /// `SSL_KEY_UPDATE_NOT_REQUESTED`.
        const NOT_REQUESTED: i32 = 0;
        let ssl = self.stream()?.ssl().as_ptr();
        // SAFETY: the stream has the SSL and is borrowed.
        let updated = unsafe { boring_sys::SSL_key_update(ssl, NOT_REQUESTED) };
        if updated == 1 { Ok(()) } else { Err(ErrorStack::get().to_string()) }
    }

    fn facts(&mut self) -> Result<Facts, String> {
        let ssl: &SslRef = self.stream()?.ssl();
        let srtp = match ssl.selected_srtp_profile() {
            None => None,
            Some(profile) => {
                // RFC 5764 §4.1.2, RFC 7714 §14.2: a key and a salt for each direction.
                let mut keys = match profile.name() {
                    "SRTP_AEAD_AES_256_GCM" => vec![0; 2 * (32 + 12)],
                    "SRTP_AEAD_AES_128_GCM" => vec![0; 2 * (16 + 12)],
                    _ => vec![0; 2 * (16 + 14)],
                };
                let exported = ssl.export_keying_material(&mut keys, SRTP_LABEL, None);
                exported.map_err(|error| error.to_string())?;
                Some((profile.name().to_owned(), keys))
            }
        };
        Ok(Facts {
            srtp,
            ocsp_response: ssl.ocsp_status().map(Vec::from),
            timestamps: timestamps(ssl),
            compressions: ssl.ssl_context().ex_data(*COMPRESSIONS).map_or(0, |count| count.load(Ordering::Relaxed)),
            resumed: ssl.session_reused(),
            protocol: ssl.selected_alpn_protocol().map(Vec::from),
            server_name: ssl.servername(NameType::HOST_NAME).map(String::from),
        })
    }
}

fn context(row: &Row, authority: &Authority, sessions: &Sessions) -> Result<SslContext, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::dtls())?;
    let version = match row.version {
        Version::Dtls12 => SslVersion::DTLS1_2,
        Version::Dtls13 => SslVersion::DTLS1_3,
    };
    context.set_min_proto_version(Some(version))?;
    context.set_max_proto_version(Some(version))?;
    context.set_verify_algorithm_prefs(&ALGORITHMS)?;
    let mut roots = X509StoreBuilder::new()?;
    roots.add_cert(&X509::from_pem(&std::fs::read(authority.root_file()).unwrap())?)?;
    context.set_cert_store_builder(roots);
    match row.we {
        Role::Client => identify(&mut context, authority.chain(Kind::P256))?,
        Role::Server => context.set_verify(SslVerifyMode::PEER),
    }
    match row.we {
        Role::Client => context.set_session_cache_mode(SslSessionCacheMode::SERVER),
        Role::Server => context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL),
    };
    context.set_session_id_context(b"udtls")?;
    let sessions = sessions.clone();
    context.set_new_session_callback(move |_, session| sessions.lock().unwrap().push_back(session));
    match (row.feature, row.we) {
        (Feature::TicketAfterRetry, Role::Client) => context.set_curves_list("P-256")?,
        (Feature::TicketAfterRetry, Role::Server) => context.set_curves_list("X25519:P-256")?,
        (Feature::CookieForFragments, _) => context.set_curves_list("X25519MLKEM768")?,
        (Feature::OcspResponse, Role::Server) => context.enable_ocsp_stapling(),
        (Feature::Timestamps, Role::Server) => context.enable_signed_cert_timestamps(),
        (Feature::Timestamps, Role::Client) => set_timestamps(&mut context),
        (Feature::SessionId, _) => _ = context.set_options(SslOptions::NO_TICKET),
        (Feature::Grease, _) => context.set_grease_enabled(true),
        (Feature::CompressedCertificate(compression), _) => compress(&mut context, compression)?,
        (Feature::Srtp(profile), Role::Client) => context.set_tlsext_use_srtp(profile.openssl_name())?,
        (Feature::Srtp(profile), Role::Server) => context.set_tlsext_use_srtp(&profile.openssl_names())?,
        _ => {}
    }
    if row.feature == Feature::Protocol {
        match row.we {
            Role::Client => context.set_alpn_select_callback(|_, offered| {
                select_next_proto(&SELECTED, offered).ok_or(AlpnError::ALERT_FATAL)
            }),
            Role::Server => context.set_alpn_protos(&protocols(&PROTOCOLS))?,
        }
    }
    Ok(context.build())
}

fn set_timestamps(context: &mut SslContextBuilder) {
    // SAFETY: the context copies the list.
    let set = unsafe {
        boring_sys::SSL_CTX_set_signed_cert_timestamp_list(context.as_ptr(), TIMESTAMPS.as_ptr(), TIMESTAMPS.len())
    };
    assert_eq!(set, 1, "the list is well-formed");
}

fn timestamps(ssl: &SslRef) -> Option<Vec<u8>> {
    let (mut list, mut len) = (std::ptr::null(), 0);
    // SAFETY: what is found belongs to the SSL, and is copied while that is borrowed.
    unsafe {
        boring_sys::SSL_get0_signed_cert_timestamp_list(ssl.as_ptr(), &raw mut list, &raw mut len);
        (len > 0).then(|| std::slice::from_raw_parts(list, len).to_vec())
    }
}

/// How many certificates were compressed or decompressed with a context.
static COMPRESSIONS: LazyLock<Index<SslContext, Arc<AtomicUsize>>> =
    LazyLock::new(|| SslContext::new_ex_index().unwrap());

fn compress(context: &mut SslContextBuilder, compression: Compression) -> Result<(), ErrorStack> {
    let count = Arc::new(AtomicUsize::new(0));
    context.set_ex_data(*COMPRESSIONS, count.clone());
    match compression {
        Compression::Zlib => context.add_certificate_compression_algorithm(Zlib(count)),
        Compression::Brotli => context.add_certificate_compression_algorithm(Brotli(count)),
    }
}

struct Zlib(Arc<AtomicUsize>);
struct Brotli(Arc<AtomicUsize>);

impl CertificateCompressor for Zlib {
    const ALGORITHM: CertificateCompressionAlgorithm = CertificateCompressionAlgorithm::ZLIB;
    const CAN_COMPRESS: bool = true;
    const CAN_DECOMPRESS: bool = true;

    fn compress<W: Write>(&self, input: &[u8], output: &mut W) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        compress_by(compress::ZLIB_COMPRESSOR, input, output)
    }

    fn decompress<W: Write>(&self, input: &[u8], output: &mut W) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        decompress_by(compress::ZLIB_DECOMPRESSOR, input, output)
    }
}

impl CertificateCompressor for Brotli {
    const ALGORITHM: CertificateCompressionAlgorithm = CertificateCompressionAlgorithm::BROTLI;
    const CAN_COMPRESS: bool = true;
    const CAN_DECOMPRESS: bool = true;

    fn compress<W: Write>(&self, input: &[u8], output: &mut W) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        compress_by(compress::BROTLI_COMPRESSOR, input, output)
    }

    fn decompress<W: Write>(&self, input: &[u8], output: &mut W) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        decompress_by(compress::BROTLI_DECOMPRESSOR, input, output)
    }
}

fn compress_by(by: &dyn CertCompressor, input: &[u8], output: &mut impl Write) -> io::Result<()> {
    let compressed = by.compress(input.to_vec(), CompressionLevel::Interactive);
    output.write_all(&compressed.map_err(|_| io::ErrorKind::InvalidData)?)
}

/// How long it must become, nobody says here: it is tried until it fits.
fn decompress_by(by: &dyn CertDecompressor, input: &[u8], output: &mut impl Write) -> io::Result<()> {
    let fits = |len: &usize| by.decompress(input, &mut vec![0; *len]).is_ok();
    let len = (1..8192).find(fits).ok_or(io::ErrorKind::InvalidData)?;
    let mut decompressed = vec![0; len];
    by.decompress(input, &mut decompressed).map_err(|_| io::ErrorKind::InvalidData)?;
    output.write_all(&decompressed)
}

/// As on the wire (RFC 7301 §3.1).
fn protocols(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()).collect()
}

/// The second of [`PROTOCOLS`], as on the wire: the callback's answer must outlive it.
static SELECTED: [u8; 15] = *b"\x0eudtls-features";
