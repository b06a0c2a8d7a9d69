//! What users rely on beyond the calls: what may cross threads, and what may be printed.

use std::fmt::Debug;
use udtls::{
    ApiMisuse, CipherSuite, ClientConfig, ConfigError, Connection, Datagram, Discard, Endpoint, EndpointStats, Error,
    Event, Fingerprint, Incoming, Listener, NamedGroup, Negotiated, Pending, ProtocolVersion, SendError, ServerConfig,
    SignatureScheme, Stats, TransportConfig, Verdict,
};

const fn crosses_threads<T: Send>() {}
const fn is_shared_by_threads<T: Send + Sync>() {}
const fn is_printed<T: Debug>() {}
const fn is_an_error<T: std::error::Error + Send + Sync + 'static>() {}

/// Compiling is passing.
const _: () = {
    crosses_threads::<Connection>();
    crosses_threads::<Datagram<'static>>();
    crosses_threads::<Endpoint>();
    crosses_threads::<Incoming>();
    is_shared_by_threads::<Listener>();
    is_printed::<Endpoint>();
    is_printed::<EndpointStats>();
    is_printed::<Verdict>();
    is_shared_by_threads::<ClientConfig>();
    is_shared_by_threads::<ServerConfig>();
    is_shared_by_threads::<TransportConfig>();
    is_shared_by_threads::<Negotiated>();
    is_shared_by_threads::<Event>();
    is_printed::<Connection>();
    crosses_threads::<Pending<'static>>();
    is_printed::<Pending<'static>>();
    is_printed::<Stats>();
    is_printed::<Discard>();
    is_printed::<Fingerprint>();
    is_an_error::<Error>();
    is_an_error::<ApiMisuse>();
    is_an_error::<ConfigError>();
    is_an_error::<SendError>();
};

#[test]
fn registries_print_their_names_and_keep_what_they_do_not_know() {
    assert_eq!(format!("{:?}", ProtocolVersion::DTLS1_3), "DTLS1_3");
    assert_eq!(CipherSuite::TLS_AES_128_GCM_SHA256.to_string(), "TLS_AES_128_GCM_SHA256");
    assert_eq!(NamedGroup::from(0x0a0a).to_string(), "NamedGroup(0x0a0a)");
    assert_eq!(u16::from(SignatureScheme::from(0x0807)), 0x0807);
}
