//! The runner's flags. One table names each flag that the shim knows and what it does; a flag that is not in it is "not
//! implemented".

use crate::Failure;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;
use udtls::{HelloRetryRequest, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};

/// The whole command line.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// The runner asks whether there is a split handshaker.
    pub(crate) probe: bool,
    pub(crate) port: u16,
    pub(crate) shim_id: u64,
    pub(crate) ipv6: bool,
    /// Connections after the first.
    pub(crate) resume_count: usize,
    flags: Vec<(Scope, Set)>,
}

/// The connections that a flag applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Initial,
    Resume,
}

/// What the flags say about one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    /// The default one first.
    pub(crate) credentials: Vec<CredentialFlags>,
    pub(crate) extensions: Extensions,
    pub(crate) versions: Versions,
    pub(crate) groups: Vec<NamedGroup>,
    pub(crate) srtp_profiles: Vec<SrtpProfile>,
    pub(crate) transport: Transport,
    pub(crate) verification: Verification,
    pub(crate) names: Names,
    pub(crate) conduct: Conduct,
    pub(crate) expected: Expected,
}

/// A certificate, its key, and what goes with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialFlags {
    pub(crate) chain: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) schemes: Vec<SignatureScheme>,
    pub(crate) ocsp_response: Option<Vec<u8>>,
    /// With its length in front.
    pub(crate) timestamps: Option<Vec<u8>>,
    pub(crate) issuer_must_be_named: bool,
}

/// What a client asks for, and what becomes of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) request_ocsp: bool,
    pub(crate) request_timestamps: bool,
    pub(crate) grease: bool,
    pub(crate) permuted: bool,
    pub(crate) ocsp_callback: OcspCallback,
}

/// What BoringSSL's older hook for OCSP says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OcspCallback {
    /// There is none, or it agrees.
    #[default]
    Agrees,
    Declines,
    Fails,
}

impl Settings {
    /// The credential that the flags are about.
    fn credential(&mut self) -> &mut CredentialFlags {
        if self.credentials.is_empty() {
            self.credentials.push(CredentialFlags::default());
        }
        self.credentials.last_mut().expect("there is one now")
    }

    /// Another one, which the flags that follow are about.
    fn begin_credential(&mut self) {
        self.credential();
        self.credentials.push(CredentialFlags::default());
    }

    /// The application makes the tickets, unless it is said already that it declines.
    fn begin_ticket_callback(&mut self) {
        if self.conduct.tickets == TicketCallback::None {
            self.conduct.tickets = TicketCallback::Makes;
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    #[default]
    Client,
    Server,
}

/// The versions that are not spoken.
#[derive(Clone, Debug)]
pub(crate) struct Versions {
    min: u16,
    max: u16,
    without: Vec<ProtocolVersion>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Transport {
    pub(crate) mtu: Option<usize>,
    pub(crate) initial_timeout: Option<Duration>,
    pub(crate) max_certificate_message: Option<usize>,
}

/// How the peer's certificate is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verification {
    pub(crate) verify_peer: bool,
    pub(crate) certificate_required: bool,
    pub(crate) refuse: bool,
    pub(crate) custom_callback: bool,
    pub(crate) on_resumption: bool,
    pub(crate) schemes: Vec<SignatureScheme>,
}

/// Server name and application protocols.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) host_name: Option<String>,
    pub(crate) advertised_protocols: Option<Vec<u8>>,
    pub(crate) selected_protocol: Option<Vec<u8>>,
    pub(crate) reject_protocols: bool,
    pub(crate) accept_unoffered_protocol: bool,
    pub(crate) no_name_acknowledgement: bool,
}

/// What is done once the handshake is complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    pub(crate) export_len: usize,
    pub(crate) export_label: Vec<u8>,
    pub(crate) export_context: Vec<u8>,
    pub(crate) use_export_context: bool,
    pub(crate) send_alert: bool,
    pub(crate) write_first: bool,
    pub(crate) key_update_before_read: bool,
    pub(crate) no_ticket: bool,
    pub(crate) tickets: TicketCallback,
    pub(crate) renew_tickets: bool,
    /// Neither the key nor the verification hook answers at once.
    pub(crate) answers_later: bool,
    /// How long the first signature takes.
    pub(crate) key_delay: Duration,
}

/// Who makes a server's tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TicketCallback {
    /// The library.
    #[default]
    None,
    /// The application.
    Makes,
    /// The application, which will not.
    Declines,
}

/// What must hold once the handshake is complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) session_miss: bool,
    /// That the connection resumes a session.
    pub(crate) resumed: bool,
    pub(crate) no_session: bool,
    pub(crate) ticket_renewal: bool,
    /// That a server keeps the session, and gives the client an id for it.
    pub(crate) session_id: Option<bool>,
    pub(crate) verify_result: bool,
    pub(crate) hello_retry_request: Option<HelloRetryRequest>,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) offered_protocols: Option<Vec<u8>>,
    pub(crate) server_name: Option<String>,
    pub(crate) ocsp_response: Option<Vec<u8>>,
    /// With their length in front.
    pub(crate) timestamps: Option<Vec<u8>>,
    /// The place among those after the default one, or -1 for that.
    pub(crate) credential: Option<i64>,
    /// What is said and heard, a line for each.
    pub(crate) trace: Option<String>,
}

impl Default for Versions {
    fn default() -> Self {
        Self { min: u16::from(ProtocolVersion::DTLS1_0), max: u16::from(ProtocolVersion::DTLS1_3), without: Vec::new() }
    }
}

impl Versions {
    /// Those that udtls speaks, as far as the flags leave them. A version's number falls as the version rises.
    pub(crate) fn enabled(&self) -> Vec<ProtocolVersion> {
        let mut versions = vec![ProtocolVersion::DTLS1_3, ProtocolVersion::DTLS1_2];
        versions
            .retain(|version| (self.max..=self.min).contains(&u16::from(*version)) && !self.without.contains(version));
        versions
    }
}

impl Arguments {
    pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut words = words.map(OsStringExt::into_vec);
        let (mut arguments, mut dtls) = (Self::default(), false);
        while let Some(word) = words.next() {
            let word = String::from_utf8(word).map_err(Failure::failed)?;
            let mut value = || words.next().ok_or_else(|| Failure::Failed(format!("{word} lacks its value")));
            match word.as_str() {
                "-is-handshaker-supported" => arguments.probe = true,
                "-port" => arguments.port = number(value()?)?,
                "-shim-id" => arguments.shim_id = number(value()?)?,
                "-ipv6" => arguments.ipv6 = true,
                "-dtls" => dtls = true,
                "-resume-count" => arguments.resume_count = number(value()?)?,
                flag => {
                    let (scope, name) = scope(flag);
                    let (_, action) = FLAGS
                        .iter()
                        .find(|(known, _)| *known == name)
                        .ok_or_else(|| Failure::Unimplemented(format!("the flag {flag}")))?;
                    let set = match *action {
                        Action::Ignore => continue,
                        Action::IgnoreValue => {
                            value()?;
                            continue;
                        }
                        Action::Switch(set) => Set::Switch(set),
                        Action::Value(set) => Set::Value(set, value()?),
                    };
                    arguments.flags.push((scope, set));
                }
            }
        }
        match dtls || arguments.probe {
            true => Ok(arguments),
            false => Err(Failure::Unimplemented("TLS".to_owned())),
        }
    }

    /// What holds for the connection of this index.
    pub(crate) fn settings(&self, index: usize) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        for (scope, set) in &self.flags {
            let applies = match scope {
                Scope::All => true,
                Scope::Initial => index == 0,
                Scope::Resume => index > 0,
            };
            match set {
                _ if !applies => {}
                Set::Switch(set) => set(&mut settings),
                Set::Value(set, value) => set(&mut settings, value.clone())?,
            }
        }
        settings.expected.resumed = index > 0 && !settings.expected.session_miss;
        Ok(settings)
    }
}

fn scope(flag: &str) -> (Scope, &str) {
    const SCOPES: [(&str, Scope); 3] =
        [("-on-initial-", Scope::Initial), ("-on-resume-", Scope::Resume), ("-on-shim-", Scope::All)];
    let prefixed = SCOPES.iter().find_map(|(prefix, scope)| Some((*scope, flag.strip_prefix(prefix)?)));
    prefixed.unwrap_or((Scope::All, flag.strip_prefix('-').unwrap_or(flag)))
}

/// A flag that was given.
#[derive(Debug)]
enum Set {
    Switch(fn(&mut Settings)),
    Value(fn(&mut Settings, Vec<u8>) -> Result<(), Failure>, Vec<u8>),
}

/// What a flag does.
enum Action {
    /// It means nothing here, or is what udtls does anyway.
    Ignore,
    IgnoreValue,
    Switch(fn(&mut Settings)),
    Value(fn(&mut Settings, Vec<u8>) -> Result<(), Failure>),
}

/// Every flag that the shim knows, without its dash and scope.
const FLAGS: &[(&str, Action)] = &[
    ("server", Action::Switch(|s| s.role = Role::Server)),
    ("async", Action::Switch(|s| s.conduct.answers_later = true)),
    (
        "private-key-delay-ms",
        Action::Value(|s, value| {
            s.conduct.key_delay = Duration::from_millis(number(value)?);
            Ok(())
        }),
    ),
    ("implicit-handshake", Action::Ignore),
    ("use-early-callback", Action::Ignore),
    ("use-old-client-cert-callback", Action::Ignore),
    ("quic-use-legacy-codepoint", Action::IgnoreValue),
    // Early data is never sent, which is what the runner expects of DTLS.
    ("enable-early-data", Action::Ignore),
    ("expect-ticket-supports-early-data", Action::Ignore),
    ("expect-accept-early-data", Action::Ignore),
    ("expect-early-data-reason", Action::IgnoreValue),
    ("renegotiate-freely", Action::Ignore),
    // Sessions
    ("no-ticket", Action::Switch(|s| s.conduct.no_ticket = true)),
    ("use-ticket-callback", Action::Switch(Settings::begin_ticket_callback)),
    ("use-ticket-aead-callback", Action::Switch(Settings::begin_ticket_callback)),
    ("skip-ticket", Action::Switch(|s| s.conduct.tickets = TicketCallback::Declines)),
    ("renew-ticket", Action::Switch(|s| s.conduct.renew_tickets = true)),
    ("expect-no-session", Action::Switch(|s| s.expected.no_session = true)),
    ("expect-ticket-renewal", Action::Switch(|s| s.expected.ticket_renewal = true)),
    ("reverify-on-resume", Action::Switch(|s| s.verification.on_resumption = true)),
    ("expect-no-session-id", Action::Switch(|s| s.expected.session_id = Some(false))),
    ("expect-session-id", Action::Switch(|s| s.expected.session_id = Some(true))),
    ("expect-session-miss", Action::Switch(|s| s.expected.session_miss = true)),
    // Credentials
    ("trust-cert", Action::IgnoreValue),
    ("cert-file", Action::Value(|s, value| set(&mut s.credential().chain, path(value)))),
    ("key-file", Action::Value(|s, value| set(&mut s.credential().key, path(value)))),
    ("new-x509-credential", Action::Switch(Settings::begin_credential)),
    (
        "signing-prefs",
        Action::Value(|s, value| number(value).map(|scheme: u16| s.credential().schemes.push(scheme.into()))),
    ),
    ("must-match-issuer", Action::Switch(|s| s.credential().issuer_must_be_named = true)),
    ("ocsp-response", Action::Value(|s, value| set(&mut s.credential().ocsp_response, base64(&value)))),
    ("signed-cert-timestamps", Action::Value(|s, value| set(&mut s.credential().timestamps, base64(&value)))),
    ("expect-selected-credential", Action::Value(|s, value| set(&mut s.expected.credential, number(value)))),
    // What comes along with the peer's certificate
    ("enable-ocsp-stapling", Action::Switch(|s| s.extensions.request_ocsp = true)),
    ("enable-signed-cert-timestamps", Action::Switch(|s| s.extensions.request_timestamps = true)),
    // There is no such hook; what it would do is done otherwise.
    ("use-ocsp-callback", Action::Ignore),
    ("set-ocsp-in-callback", Action::Ignore),
    ("decline-ocsp-callback", Action::Switch(|s| s.extensions.ocsp_callback = OcspCallback::Declines)),
    ("fail-ocsp-callback", Action::Switch(|s| s.extensions.ocsp_callback = OcspCallback::Fails)),
    ("expect-ocsp-response", Action::Value(|s, value| set(&mut s.expected.ocsp_response, base64(&value)))),
    ("expect-signed-cert-timestamps", Action::Value(|s, value| set(&mut s.expected.timestamps, base64(&value)))),
    ("permute-extensions", Action::Switch(|s| s.extensions.permuted = true)),
    ("enable-grease", Action::Switch(|s| s.extensions.grease = true)),
    // Versions and groups
    ("no-tls1", Action::Ignore),
    ("no-tls12", Action::Switch(|s| s.versions.without.push(ProtocolVersion::DTLS1_2))),
    ("no-tls13", Action::Switch(|s| s.versions.without.push(ProtocolVersion::DTLS1_3))),
    ("min-version", Action::Value(|s, value| number(value).map(|version| s.versions.min = version))),
    ("max-version", Action::Value(|s, value| number(value).map(|version| s.versions.max = version))),
    ("curves", Action::Value(|s, value| number(value).map(|group: u16| s.groups.push(NamedGroup::from(group))))),
    // Transport
    ("mtu", Action::Value(|s, value| set(&mut s.transport.mtu, number(value)))),
    (
        "initial-timeout-duration-ms",
        Action::Value(|s, value| set(&mut s.transport.initial_timeout, number(value).map(Duration::from_millis))),
    ),
    ("max-cert-list", Action::Value(|s, value| set(&mut s.transport.max_certificate_message, number(value)))),
    // The peer's certificate
    ("verify-peer", Action::Switch(|s| s.verification.verify_peer = true)),
    ("require-any-client-certificate", Action::Switch(|s| s.verification.certificate_required = true)),
    ("verify-fail", Action::Switch(|s| s.verification.refuse = true)),
    ("use-custom-verify-callback", Action::Switch(|s| s.verification.custom_callback = true)),
    ("expect-verify-result", Action::Switch(|s| s.expected.verify_result = true)),
    (
        "verify-prefs",
        Action::Value(|s, value| {
            number(value).map(|scheme: u16| s.verification.schemes.push(SignatureScheme::from(scheme)))
        }),
    ),
    // Names
    ("host-name", Action::Value(|s, value| set(&mut s.names.host_name, text(value)))),
    ("expect-server-name", Action::Value(|s, value| set(&mut s.expected.server_name, text(value)))),
    ("advertise-alpn", Action::Value(|s, value| set(&mut s.names.advertised_protocols, Ok(value)))),
    ("select-alpn", Action::Value(|s, value| set(&mut s.names.selected_protocol, Ok(value)))),
    ("reject-alpn", Action::Switch(|s| s.names.reject_protocols = true)),
    ("allow-unknown-alpn-protos", Action::Switch(|s| s.names.accept_unoffered_protocol = true)),
    ("no-server-name-ack", Action::Switch(|s| s.names.no_name_acknowledgement = true)),
    ("decline-alpn", Action::Ignore),
    ("expect-alpn", Action::Value(|s, value| set(&mut s.expected.protocol, Ok(value)))),
    ("expect-advertised-alpn", Action::Value(|s, value| set(&mut s.expected.offered_protocols, Ok(value)))),
    ("srtp-profiles", Action::Value(srtp_profiles)),
    ("expect-msg-callback", Action::Value(|s, value| set(&mut s.expected.trace, text(value)))),
    // What was agreed on
    ("expect-hrr", Action::Switch(|s| s.expected.hello_retry_request = Some(HelloRetryRequest::Answered))),
    ("expect-no-hrr", Action::Switch(|s| s.expected.hello_retry_request = Some(HelloRetryRequest::Unneeded))),
    // After the handshake
    ("export-keying-material", Action::Value(|s, value| number(value).map(|len| s.conduct.export_len = len))),
    ("export-label", Action::Value(|s, value| assign(&mut s.conduct.export_label, value))),
    ("export-context", Action::Value(|s, value| assign(&mut s.conduct.export_context, value))),
    ("use-export-context", Action::Switch(|s| s.conduct.use_export_context = true)),
    ("send-alert", Action::Switch(|s| s.conduct.send_alert = true)),
    ("shim-writes-first", Action::Switch(|s| s.conduct.write_first = true)),
    ("key-update-before-read", Action::Switch(|s| s.conduct.key_update_before_read = true)),
];

fn srtp_profiles(settings: &mut Settings, value: Vec<u8>) -> Result<(), Failure> {
    for name in text(value)?.split(':') {
        settings.srtp_profiles.push(match name {
            "SRTP_AES128_CM_SHA1_80" => SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_80,
            "SRTP_AES128_CM_SHA1_32" => SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_32,
            _ => return Err(Failure::Unimplemented(format!("the SRTP profile {name}"))),
        });
    }
    Ok(())
}

fn set<T>(place: &mut Option<T>, value: Result<T, Failure>) -> Result<(), Failure> {
    *place = Some(value?);
    Ok(())
}

fn assign<T>(place: &mut T, value: T) -> Result<(), Failure> {
    *place = value;
    Ok(())
}

/// RFC 4648 §4.
fn base64(text: &[u8]) -> Result<Vec<u8>, Failure> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut held) = (Vec::new(), 0, 0);
    for octet in text.iter().take_while(|octet| **octet != b'=') {
        let value = ALPHABET.iter().position(|letter| letter == octet);
        let value = value.ok_or_else(|| Failure::Failed("a value that is not base64".to_owned()))?;
        (bits, held) = (bits << 6 | value, held + 6);
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held).map_err(Failure::failed)?);
            bits &= (1 << held) - 1;
        }
    }
    Ok(out)
}

fn text(value: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(value).map_err(Failure::failed)
}

fn number<T: std::str::FromStr>(value: Vec<u8>) -> Result<T, Failure> {
    let text = text(value)?;
    text.parse().map_err(|_| Failure::Failed(format!("{text:?} is no number in range")))
}

fn path(value: Vec<u8>) -> Result<PathBuf, Failure> {
    Ok(OsString::from_vec(value).into())
}
