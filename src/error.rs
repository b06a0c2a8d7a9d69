//! Floor 0: what can go wrong, sorted by who is to blame, and the one table from error to alert.
//!
//! Three kinds of trouble are told apart by type: what the network or a forger may do is *discarded* and counted
//! ([`Discard`]); what ends the association is an [`Error`]; what the caller did wrong is an [`ApiMisuse`].

use crate::wire::{AlertDescription, Malformed};
use rustls::OtherError;
use std::fmt;
use std::sync::Arc;

/// Why an association ended, or could not begin. Carries no octet of the peer's.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent a message that cannot be decoded.
    Malformed(Malformed),
    /// The peer broke the protocol.
    PeerMisbehaved(PeerMisbehaved),
    /// The peer speaks the protocol, and nothing it offers is acceptable here.
    PeerIncompatible(PeerIncompatible),
    /// The peer's certificate was refused. The reason is the verifier's.
    Certificate(rustls::CertificateError),
    /// The peer must send a certificate and did not (RFC 8446 §4.4.2.4).
    NoCertificate,
    /// The peer's certificate has none of the configured fingerprints (RFC 8122 §6.2).
    FingerprintMismatch,
    /// The peer ended the association with this fatal alert.
    AlertReceived(AlertDescription),
    /// The handshake was given up: no answer to the last retransmission. `last_fault` is the last thing discarded
    /// in plaintext that would have been fatal from a peer known to be genuine (RFC 9147 §4.5.2).
    TimedOut {
        /// What was wrong with the last plaintext message that was discarded, if any was.
        last_fault: Option<PlaintextFault>,
    },
    /// As many records failed to authenticate as the keys allow (RFC 9147 §4.5.3).
    IntegrityLimitReached,
    /// The record numbers or message numbers are used up (RFC 9147 §4.2.1, draft-ietf-tls-rfc9147bis §5.2).
    NumbersExhausted,
    /// The cryptography provider failed: no randomness, no key, no signature.
    Provider,
    /// A key's owner refused or failed to sign.
    Signing,
    /// The application ended the association with an alert of its own: by
    /// [`Connection::abort`](crate::Connection::abort), or by a certificate verifier or a private key that answers with
    /// this error inside a [`rustls::Error`], as `Err(Error::Application(alert).into())` does.
    Application(AlertDescription),
    /// The application owed an answer ([`Connection::pending`](crate::Connection::pending)) for longer than a silent peer
    /// is waited for.
    Unanswered,
    /// Another association with the same peer has taken the place of this one (RFC 6347 §4.2.8, RFC 9147 §5.11).
    Replaced,
    /// A half-open handshake that had to make way for others: an endpoint keeps no more than it may.
    Evicted,
    /// Never ends an association. A certificate verifier or a private key of the application that cannot answer at once
    /// answers with this error inside a [`rustls::Error`], as `Err(Error::AnswerLater.into())` does, and
    /// [`Connection::pending`](crate::Connection::pending) says what it owes.
    AnswerLater,
    /// Never ends an association. A certificate verifier of the application that finds fault with a chain, and would have the
    /// handshake go on all the same, answers with this error inside a [`rustls::Error`], as
    /// `Err(Error::AcceptedDespite(AlertDescription::UNKNOWN_CA).into())` does: with the alert that a refusal would have sent.
    /// [`Negotiated::accepted_despite`](crate::Negotiated::accepted_despite) tells the application.
    AcceptedDespite(AlertDescription),
    /// The call was wrong; the association is unharmed.
    ApiMisuse(ApiMisuse),
}

/// How the peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub enum PeerMisbehaved {
    UnexpectedMessage,
    UnexpectedRecord,
    ApplicationDataInWrongEpoch,
    BadChangeCipherSpec,
    BadAlert,
    UnknownAlertLevel,
    RenegotiationAttempted,
    /// Handshake data was left over, or came under old keys, when the keys changed (RFC 8446 §5.1).
    ExcessHandshakeData,
    /// Fragments of one message disagree (RFC 6347 §4.2.3).
    FragmentMismatch,
    /// A message is longer than the configured limit.
    MessageTooLong,
    PlaintextTooLong,
    /// A protected record held nothing but padding (RFC 8446 §5.4).
    NoContentType,
    UnknownContentType,
    /// An ACK named a record that its own epoch cannot vouch for (draft-ietf-tls-rfc9147bis §7.2).
    AckOfHigherEpoch,
    FinishedMismatch,
    BadSignature,
    SelectedUnofferedVersion,
    SelectedUnofferedVersionInExtension,
    VersionChangedAfterRetry,
    /// A DTLS 1.3 ServerHello after a HelloVerifyRequest.
    VersionAfterHelloVerifyRequest,
    TooManyHelloVerifyRequests,
    SelectedUnofferedCipherSuite,
    CipherSuiteOfOtherVersion,
    CipherSuiteChangedAfterRetry,
    CipherSuiteChangedOnResumption,
    SelectedUnofferedCompression,
    SelectedUnofferedGroup,
    SelectedUnofferedProtocol,
    SelectedUnofferedPsk,
    /// A PSK was selected and no key_share was sent, though only both together were offered (RFC 8446 §4.2.11).
    PskWithoutKeyShare,
    SelectedUnofferedSignatureScheme,
    SignatureSchemeOfOtherVersion,
    SignatureSchemeDoesNotFitKey,
    UnsolicitedExtension,
    ExtensionInWrongMessage,
    MissingKeyShare,
    MissingSupportedGroups,
    MissingSignatureAlgorithms,
    MissingPskKeyExchangeModes,
    MissingExtendedMasterSecret,
    KeyShareGroupMismatch,
    BadKeyShare,
    SecondHelloRetryRequest,
    HelloRetryRequestWithoutChange,
    HelloRetryRequestForOfferedGroup,
    RetriedClientHelloDiffers,
    MissingCookie,
    UnexpectedCookie,
    LegacyCookieNotEmpty,
    LegacySessionIdEchoed,
    DowngradeDetected,
    BadRenegotiationInfo,
    UnexpectedExtendedMasterSecret,
    NonEmptyCertificateContext,
    CertificateKeyUnsuitable,
    UncompressedPointFormatMissing,
    QuicTransportParameters,
    BadSrtpProfile,
    /// The binder of a PSK is wrong (RFC 8446 §4.2.11.2).
    BinderMismatch,
    /// Not as many binders as PSKs (RFC 8446 §4.2.11).
    BinderCountMismatch,
    /// An MKI in the answer to ours, which had none (RFC 5764 §4.1.3).
    UnexpectedMki,
    /// A record size limit under 64 octets, or above what the version allows (RFC 8449 §4).
    BadRecordSizeLimit,
    /// A length that max_fragment_length has no code for (RFC 6066 §4).
    BadMaxFragmentLength,
    /// A certificate that does not decompress to what it should, or to too much (RFC 8879 §4).
    BadCompressedCertificate,
    TooManyKeyUpdates,
    BadKeyUpdate,
    BadTicket,
}

/// What the peer offers and what is acceptable here have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub enum PeerIncompatible {
    NoCommonVersion,
    NoCommonCipherSuite,
    NoCommonGroup,
    NoCommonSignatureScheme,
    NoCommonProtocol,
    NoCertificateForPeer,
    ExtendedMasterSecretRequired,
    /// A client without a certificate, where one is demanded: in DTLS 1.2, where the alert is `handshake_failure`
    /// (RFC 5246 §7.4.6).
    NoClientCertificate,
    NullCompressionMissing,
}

/// A message in plaintext that would have been fatal, had its sender been authenticated. Anyone on the path's edge can
/// forge one, so it is discarded by default and remembered (RFC 9147 §4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlaintextFault {
    /// It did not parse.
    Malformed(Malformed),
    /// It parsed and broke the protocol.
    Misbehaved(PeerMisbehaved),
}

/// What the caller did wrong. The association goes on unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// The output buffer cannot hold even the smallest record.
    BufferTooSmall {
        /// Octets it must have at least.
        needed: usize,
    },
    /// More payload than a record holds.
    PayloadTooLong {
        /// The most that one holds.
        max: usize,
    },
    /// An MTU below the floor of the negotiated records.
    MtuTooSmall {
        /// The least that works.
        floor: usize,
    },
    /// The handshake is not complete.
    HandshakeNotComplete,
    /// More keying material was asked for than can be exported.
    ExportTooLong,
    /// An exporter label that the protocol itself uses, or an exporter that this version does not offer.
    ExporterUnavailable,
    /// The protocol version negotiated has no such thing.
    NotInThisVersion,
    /// No profile of SRTP was agreed on.
    NoSrtpProfile,
    /// The association is closed.
    Closed,
    /// An answer was given to something that is not, or no longer, pending.
    NotPending,
}

/// Why a datagram, a record or a fragment was discarded: not an error, but counted
/// (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Discard {
    /// The record header is incomplete, or its length exceeds the datagram.
    TruncatedRecord,
    /// The first octet begins no known record, or a header field has an impossible value.
    InvalidHeader,
    /// The record's version is not one of DTLS.
    UnknownVersion,
    /// No keys for that epoch, now or ever.
    UnknownEpoch,
    /// The next epoch's keys are not there yet and the buffer for such records is full or switched off.
    EarlyRecord,
    /// A connection ID that was not negotiated.
    UnknownConnectionId,
    /// The record was longer than the protocol allows.
    RecordTooLong,
    /// The record did not authenticate.
    Undecryptable,
    /// The record number was seen before. In plaintext, where anyone may have used it up, such a record is counted, and
    /// looked at all the same.
    Replayed,
    /// The record number is older than the replay window.
    TooOld,
    /// Application data before the handshake is complete, or in an epoch that may not carry it.
    ApplicationData,
    /// A plaintext record after protected ones were opened.
    PlaintextAfterProtected,
    /// A plaintext handshake message that does not parse or contradicts others.
    MalformedPlaintext,
    /// A plaintext alert that is malformed or came too late.
    PlaintextAlert,
    /// A ChangeCipherSpec where it means nothing.
    ChangeCipherSpec,
    /// A handshake message ahead of the reassembly window or its byte bound.
    BeyondWindow,
    /// An ACK that is not understood or came before the version is known.
    Ack,
    /// An unknown content type in plaintext.
    UnknownContentType,
    /// A datagram that came after the association ended.
    AfterClose,
}

impl Discard {
    /// Every reason, in the order of the counters.
    pub const ALL: &'static [Self] = &[
        Self::TruncatedRecord,
        Self::InvalidHeader,
        Self::UnknownVersion,
        Self::UnknownEpoch,
        Self::EarlyRecord,
        Self::UnknownConnectionId,
        Self::RecordTooLong,
        Self::Undecryptable,
        Self::Replayed,
        Self::TooOld,
        Self::ApplicationData,
        Self::PlaintextAfterProtected,
        Self::MalformedPlaintext,
        Self::PlaintextAlert,
        Self::ChangeCipherSpec,
        Self::BeyondWindow,
        Self::Ack,
        Self::UnknownContentType,
        Self::AfterClose,
    ];
}

impl Error {
    /// The alert that tells the peer, or `None` where nothing is to be said (RFC 8446 §6.2, RFC 5246 §7.2.2).
    pub fn alert(&self) -> Option<AlertDescription> {
        Some(match self {
            Self::Malformed(malformed) => malformed_alert(*malformed),
            Self::PeerMisbehaved(misbehaved) => misbehaved_alert(*misbehaved),
            Self::PeerIncompatible(incompatible) => incompatible_alert(*incompatible),
            Self::Certificate(reason) => certificate_alert(reason),
            Self::NoCertificate => AlertDescription::CERTIFICATE_REQUIRED,
            // "MUST terminate the media connection with a bad_certificate error" (RFC 8122 §6.2).
            Self::FingerprintMismatch => AlertDescription::BAD_CERTIFICATE,
            Self::Provider | Self::Signing | Self::NumbersExhausted | Self::Unanswered => {
                AlertDescription::INTERNAL_ERROR
            }
            Self::IntegrityLimitReached => AlertDescription::BAD_RECORD_MAC,
            Self::Application(description) => *description,
            Self::TimedOut { last_fault: Some(fault) } => return Self::from(*fault).alert(),
            Self::AlertReceived(_)
            | Self::TimedOut { last_fault: None }
            | Self::Replaced
            | Self::Evicted
            | Self::AnswerLater
            | Self::AcceptedDespite(_)
            | Self::ApiMisuse(_) => return None,
        })
    }

    /// What the application's own code said by one of rustls' errors, if it is one of the three things that it may say so.
    pub(crate) fn inside(error: &rustls::Error) -> Option<Self> {
        use rustls::CertificateError as C;
        let (rustls::Error::Other(OtherError(inner)) | rustls::Error::InvalidCertificate(C::Other(OtherError(inner)))) =
            error
        else {
            return None;
        };
        match inner.downcast_ref()? {
            own @ (Self::Application(_) | Self::AnswerLater | Self::AcceptedDespite(_)) => Some(own.clone()),
            _ => None,
        }
    }
}

/// For verifiers and private keys of the application, whose traits want one of rustls' errors.
impl From<Error> for rustls::Error {
    fn from(error: Error) -> Self {
        Self::Other(OtherError(Arc::new(error)))
    }
}

const fn malformed_alert(malformed: Malformed) -> AlertDescription {
    match malformed {
        Malformed::DuplicateEntry | Malformed::PreSharedKeyNotLast => AlertDescription::ILLEGAL_PARAMETER,
        _ => AlertDescription::DECODE_ERROR,
    }
}

const fn misbehaved_alert(misbehaved: PeerMisbehaved) -> AlertDescription {
    use PeerMisbehaved as P;
    match misbehaved {
        P::UnexpectedMessage
        | P::UnexpectedRecord
        | P::ApplicationDataInWrongEpoch
        | P::RenegotiationAttempted
        | P::ExcessHandshakeData
        | P::NoContentType
        | P::UnknownContentType
        | P::TooManyHelloVerifyRequests
        | P::SecondHelloRetryRequest
        | P::TooManyKeyUpdates => AlertDescription::UNEXPECTED_MESSAGE,
        P::BadAlert => AlertDescription::DECODE_ERROR,
        P::PlaintextTooLong => AlertDescription::RECORD_OVERFLOW,
        P::FinishedMismatch | P::BadSignature | P::BinderMismatch => AlertDescription::DECRYPT_ERROR,
        P::SelectedUnofferedVersion => AlertDescription::PROTOCOL_VERSION,
        P::UnsolicitedExtension | P::QuicTransportParameters => AlertDescription::UNSUPPORTED_EXTENSION,
        P::MissingKeyShare
        | P::MissingSupportedGroups
        | P::MissingSignatureAlgorithms
        | P::MissingCookie
        | P::MissingPskKeyExchangeModes => AlertDescription::MISSING_EXTENSION,
        P::MissingExtendedMasterSecret | P::BadRenegotiationInfo | P::UnexpectedExtendedMasterSecret => {
            AlertDescription::HANDSHAKE_FAILURE
        }
        P::BadCompressedCertificate => AlertDescription::BAD_CERTIFICATE,
        P::CertificateKeyUnsuitable => AlertDescription::UNSUPPORTED_CERTIFICATE,
        _ => AlertDescription::ILLEGAL_PARAMETER,
    }
}

const fn incompatible_alert(incompatible: PeerIncompatible) -> AlertDescription {
    match incompatible {
        PeerIncompatible::NoCommonVersion => AlertDescription::PROTOCOL_VERSION,
        PeerIncompatible::NoCommonProtocol => AlertDescription::NO_APPLICATION_PROTOCOL,
        PeerIncompatible::NullCompressionMissing => AlertDescription::ILLEGAL_PARAMETER,
        _ => AlertDescription::HANDSHAKE_FAILURE,
    }
}

/// rustls' own table, which follows RFC 8446 §6.2.
fn certificate_alert(reason: &rustls::CertificateError) -> AlertDescription {
    AlertDescription(u8::from(rustls::AlertDescription::from(reason.clone())))
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<PeerMisbehaved> for Error {
    fn from(misbehaved: PeerMisbehaved) -> Self {
        Self::PeerMisbehaved(misbehaved)
    }
}

impl From<PeerIncompatible> for Error {
    fn from(incompatible: PeerIncompatible) -> Self {
        Self::PeerIncompatible(incompatible)
    }
}

impl From<PlaintextFault> for Error {
    fn from(fault: PlaintextFault) -> Self {
        match fault {
            PlaintextFault::Malformed(malformed) => Self::Malformed(malformed),
            PlaintextFault::Misbehaved(misbehaved) => Self::PeerMisbehaved(misbehaved),
        }
    }
}

impl From<ApiMisuse> for Error {
    fn from(misuse: ApiMisuse) -> Self {
        Self::ApiMisuse(misuse)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "the peer sent a malformed message: {malformed}"),
            Self::PeerMisbehaved(misbehaved) => write!(f, "the peer broke the protocol: {misbehaved:?}"),
            Self::PeerIncompatible(incompatible) => write!(f, "nothing in common with the peer: {incompatible:?}"),
            Self::Certificate(reason) => write!(f, "the peer's certificate was refused: {reason}"),
            Self::NoCertificate => f.write_str("the peer sent no certificate"),
            Self::FingerprintMismatch => f.write_str("the peer's certificate has none of the expected fingerprints"),
            Self::AlertReceived(description) => write!(f, "the peer sent the fatal alert {description}"),
            Self::TimedOut { last_fault: None } => f.write_str("the peer did not answer"),
            Self::TimedOut { last_fault: Some(fault) } => {
                write!(f, "the handshake timed out; the last plaintext message was discarded: {fault:?}")
            }
            Self::IntegrityLimitReached => f.write_str("too many records failed to authenticate"),
            Self::NumbersExhausted => f.write_str("record or message numbers are used up"),
            Self::Provider => f.write_str("the cryptography provider failed"),
            Self::Signing => f.write_str("the private key could not sign"),
            Self::Application(description) => write!(f, "ended by the application with the alert {description}"),
            Self::Unanswered => f.write_str("the application did not answer what was pending"),
            Self::Replaced => f.write_str("another association with the same peer has replaced this one"),
            Self::Evicted => f.write_str("the handshake had to make way for others"),
            Self::AnswerLater => f.write_str("the answer will be given later"),
            Self::AcceptedDespite(description) => {
                write!(f, "accepted, though {description} would have been said of it")
            }
            Self::ApiMisuse(misuse) => misuse.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => write!(f, "the output buffer needs at least {needed} octets"),
            Self::PayloadTooLong { max } => write!(f, "a record holds no more than {max} octets"),
            Self::MtuTooSmall { floor } => write!(f, "the MTU must be at least {floor} octets"),
            Self::HandshakeNotComplete => f.write_str("the handshake is not complete"),
            Self::ExportTooLong => f.write_str("more keying material was asked for than can be exported"),
            Self::ExporterUnavailable => f.write_str("this label, or this association, has no exporter"),
            Self::NoSrtpProfile => f.write_str("no profile of SRTP was agreed on"),
            Self::NotInThisVersion => f.write_str("the negotiated version has no such thing"),
            Self::Closed => f.write_str("the association is closed"),
            Self::NotPending => f.write_str("nothing is pending that this could answer"),
        }
    }
}

impl std::error::Error for ApiMisuse {}
