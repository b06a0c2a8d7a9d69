//! DTLS 1.2 and DTLS 1.3 for programs that own their event loop: datagrams and the time go in,
//! datagrams, events and the next deadline come out. No socket, no thread, no clock, no system TLS library.
//!
//! * [`ClientConfig`] and [`ServerConfig`] hold what the application chose, in rustls' types; verification of the peer cannot
//!   be forgotten.
//! * [`Connection`] is one association. Its documentation tells the order of calls.
//! * [`Endpoint`] is many associations on one socket: cookies before there is any memory for a client, routing, admission.
//!
//! Whoever comes from Qt's `QDtls` finds every call's counterpart in [`from_qt`].
//!
//! # The house
//!
//! A module imports only what is drawn below it:
//!
//! ```text
//!                endpoint                 6  many peers, one socket
//!               connection                5  one association; composes the three below
//!    record      flight      handshake    4  siblings: no arrow between them
//!         \        |        /   |
//!          \       |   config / verify    3, 2  what the application chose; who the peer is
//!           \      |   /
//!              crypto                     1  what the protocol needs from cryptography
//!              wire   error               0  bytes <-> values; errors by blame
//! ```
//!
//! * `record` protects one record at a time: it knows keys, epochs and replay, and no handshake message.
//! * `flight` delivers handshake messages reliably: it fragments, reassembles, acknowledges and retransmits, and knows no
//!   key and no version.
//! * `handshake` is pure, *state × input → next state + effects*: it sees whole messages, and no record, timer or datagram.
//!
//! Both versions share `record`, `flight` and `connection`; what differs is data, or stands in files whose names end in
//! `12` or `13`.
//!
//! # Standards
//!
//! DTLS 1.3 is RFC 9147 as corrected by draft-ietf-tls-rfc9147bis, over RFC 8446; DTLS 1.2 is RFC 6347, over RFC 5246 with
//! RFC 7627, and as BCP 195 (RFC 9325) restricts it: ECDHE with AEAD only, no renegotiation, no compression.
//!
//! Deviations, each with its reason where it is made:
//!
//! * In DTLS 1.2 a peer's repeated messages make us send our flight again only after the handshake (RFC 6347 §4.2.4 would do it
//!   during the handshake too): the timer does the work, and a forger cannot make us send.
//! * Only the receive keys immediately before the current ones are kept, for four minutes at most; those of the handshake,
//!   once the peer was heard to repeat its last flight, for as long as its timer may take to repeat it again
//!   (draft-ietf-tls-rfc9147bis §4.2.1 would let more be kept).
//! * A KeyUpdate of ours that is on its way answers a peer's request for one (RFC 9846 §4.7.3 would send another when two
//!   cross): either way both ends have new keys.
//! * Keying material is exported for an empty label too, in DTLS 1.3 though `HkdfLabel` would want one octet more of it
//!   (RFC 8446 §7.1; the prefix "dtls13" has six).
//! * Where it has no other, a server of DTLS 1.2 shows a certificate of a curve that the client does not list (RFC 8422 §5.3
//!   forbids it): clients may limit their groups to X25519 and verify ECDSA with P-256 all the same.
//!   [`Credential::only_if_curve_is_listed`] keeps one to the letter.
//! * The key usage of the peer's certificate is its verifier's business: rustls' do not look at it (RFC 8446 §4.4.2.2 and
//!   RFC 5246 §7.4.2, §7.4.6 want digitalSignature where the extension is present), and nothing here does.
//! * An application that asks for it may export keying material of a DTLS 1.2 association without extended master secret
//!   (RFC 7627 §5.4 has that disabled).
//! * A session of DTLS 1.2 outlives an association of its that ends with a fatal alert (RFC 5246 §7.2.2 has it forgotten): no
//!   server can take back a ticket.
//! * A flight is sent in one burst, however long (RFC 9147 §5.8.3 suggests ten records).
//! * A record whose version does not begin with 254 is discarded (RFC 9147 §4 and RFC 8446 §5.1, §D and §D.2 have the field
//!   ignored): it is none of DTLS.
//! * A plaintext ACK that names records of a higher epoch is discarded, unless `PlaintextFaults::Fatal` is set (RFC 9147 §7.2
//!   ends the connection): anyone can send one. After the handshake the epochs of the two directions have nothing to do with
//!   each other, and are not compared.
//! * A client does not offer connection IDs (RFC 9147 §5.1 has it offer them even if it wants to receive none): there are none
//!   yet.
//! * A HelloVerifyRequest says DTLS 1.0, and clients do not compare that with anything (RFC 6347 §4.2.1 contradicts itself).
//! * With [`KeyShares::HybridFirst`] the share of X25519 is the one that is half of the hybrid's (RFC 8446 §4.2.8 wants each
//!   made independently): both are of one handshake, and one of them at most is used.
//! * A HelloRequest in the middle of a handshake is like any message that does not belong there (RFC 5246 §7.4.1.1, §7.4 has it
//!   ignored): without renegotiation no server sends one.
//! * A client of DTLS 1.2 that sends no signature_algorithms is refused (RFC 5246 §7.4.1.4.1 would have SHA-1 sign for it).

#![forbid(unsafe_code)]
// No panic on any input, configuration or order of calls. Test modules may panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::dbg_macro,
        clippy::disallowed_methods
    )
)]

mod config;
mod connection;
mod crypto;
mod endpoint;
mod error;
mod flight;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod record;
mod verify;
mod wire;

pub use config::{
    ClientConfig, ClientConfigBuilder, ClientHello, ClientSessionStore, ConfigError, Credential,
    DangerousClientConfigBuilder, DataSize, Direction, ExtendedMasterSecret, KeyShares, PartialAcks, PlaintextFaults,
    Preference, ResolvesServerCert, ServerConfig, ServerConfigBuilder, ServerNameAcknowledgement, Session, Ticketer,
    TimeoutPolicy, TracedMessage, TransportConfig, UnofferedProtocol, WantsClientAuth, WantsServerCert,
};
pub use connection::{ApplicationData, CloseReason, Connection, Datagram, Event, SendError, Stats};
pub use endpoint::{
    ConnectionHandle, CookieFault, CookieKeys, Decision, DropReason, Endpoint, EndpointConfig, EndpointStats, Incoming,
    Listener, Reply, ReplyKind, Source, Validated, Validation, Verdict,
};
pub use error::{ApiMisuse, Discard, Error, PeerIncompatible, PeerMisbehaved, PlaintextFault};
pub use handshake::{HandshakeKind, HelloRetryRequest, Negotiated, Pending, SrtpKeyingMaterial};
pub use verify::{Fingerprint, InvalidFingerprint};
pub use wire::{
    AlertDescription, CipherSuite, HandshakeType, KeyUpdateRequest, Malformed, NamedGroup, ProtocolVersion,
    SignatureScheme, SrtpProfile,
};

#[cfg(doc)]
#[doc = include_str!("../docs/FROM-QT.md")]
pub mod from_qt {}

/// The code in README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
