//! BoringSSL's ends.

use super::{Factory, Facts, Foreign, Row};
use crate::boring::{ALGORITHMS, Boring, identify};
use crate::certificates::{Authority, Kind};
use crate::feature::{Feature, LABEL, PROTOCOLS, SERVER_NAME, SRTP_LABEL};
use crate::table::{Role, Version};
use boring::error::ErrorStack;
use boring::ssl::{
    AlpnError, NameType, Ssl, SslContext, SslContextBuilder, SslMethod, SslRef, SslSession, SslSessionCacheMode,
    SslVerifyMode, SslVersion, select_next_proto,
};
use boring::x509::X509;
use boring::x509::store::X509StoreBuilder;
use foreign_types_shared::ForeignTypeRef;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What its ends share.
pub(crate) struct Ends {
    row: Row,
    context: SslContext,
    /// The client's, the oldest first.
    sessions: Sessions,
}

type Sessions = Arc<Mutex<VecDeque<SslSession>>>;

impl Ends {
    pub(crate) fn new(row: &Row, authority: &Authority) -> Result<Self, String> {
        let sessions = Sessions::default();
        let context = context(row, authority, &sessions).map_err(|error| error.to_string())?;
        Ok(Self { row: *row, context, sessions })
    }
}

impl Factory for Ends {
    fn end(&mut self) -> Result<Box<dyn Foreign>, String> {
        let mut ssl = Ssl::new(&self.context).map_err(|error| error.to_string())?;
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
    context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    let sessions = sessions.clone();
    context.set_new_session_callback(move |_, session| sessions.lock().unwrap().push_back(session));
    match (row.feature, row.we) {
        (Feature::TicketAfterRetry, Role::Client) => context.set_curves_list("P-256")?,
        (Feature::TicketAfterRetry, Role::Server) => context.set_curves_list("X25519:P-256")?,
        (Feature::CookieForFragments, _) => context.set_curves_list("X25519MLKEM768")?,
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

/// As on the wire (RFC 7301 §3.1).
fn protocols(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()).collect()
}

/// The second of [`PROTOCOLS`], as on the wire: the callback's answer must outlive it.
static SELECTED: [u8; 15] = *b"\x0eudtls-features";
