//! Floor 0: bytes to values and back, for both versions. Knows nothing of keys, time or state.
//!
//! Everything here is a value read from a [`codec::Reader`] or appended to a `Vec<u8>`. A value of one of
//! these types *is* the proof that the bytes were well formed (RFC 6347 §4, RFC 9147 §4, RFC 8446 §4).

pub(crate) mod ack;
pub(crate) mod alert;
pub(crate) mod certificate;
pub(crate) mod codec;
pub(crate) mod compression;
pub(crate) mod enums;
pub(crate) mod extensions;
pub(crate) mod handshake;
pub(crate) mod hello;
pub(crate) mod key_exchange;
pub(crate) mod post_handshake;
pub(crate) mod pre_shared_key;
pub(crate) mod record;
pub(crate) mod srtp;
pub(crate) mod stapling;

pub use alert::AlertDescription;
pub use codec::Malformed;
pub use enums::{CipherSuite, HandshakeType, NamedGroup, ProtocolVersion, SignatureScheme};
pub use post_handshake::KeyUpdateRequest;
pub use srtp::SrtpProfile;
