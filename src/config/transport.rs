//! How an association uses its transport: sizes, timers, bounds (RFC 6347 §4.1.1, §4.2.4; RFC 9147 §4.4, §5.8).

use super::ConfigError;
use crate::crypto::suites::AeadLimits;
use std::time::Duration;

/// Sizes, timers and memory bounds of an association. Each default is what a careful Internet client would use.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    mtu: usize,
    fall_back: FallBack,
    data: DataSize,
    timeouts: Timeouts,
    max_retransmissions: u32,
    timeout: TimeoutPolicy,
    acknowledged: Acknowledged,
    plaintext_faults: PlaintextFaults,
    max_early_records: usize,
    max_handshake_message: usize,
    max_reassembly_buffer: usize,
    max_hello_verify_requests: u8,
    aead_limits: AeadLimits,
    worn_keys: WornKeys,
    record_size_limit: u16,
}

/// What to do about malformed plaintext, which anyone on the path's edge can forge (RFC 9147 §4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PlaintextFaults {
    /// Discard it, and report it if the handshake then times out.
    #[default]
    Discard,
    /// End the handshake with the alert that the fault calls for: for transports that are hard to forge.
    Fatal,
}

/// Where the retransmission timeout starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TimeoutPolicy {
    /// From one and a half times the measured round trip, once there is a measurement (RFC 9147 §5.8.2).
    #[default]
    Adaptive,
    /// From the initial timeout, with each flight and whenever one is acknowledged.
    Fixed,
}

/// How what we sent is acknowledged.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    partly: PartialAcks,
    max_sent_records: usize,
}

/// How long is waited before a flight is sent again.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    initial: InitialTimeout,
    max: Duration,
}

/// The first retransmission timeout (RFC 9147 §5.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitialTimeout {
    /// One second.
    Usual,
    /// Less, since a call waits for it.
    Media,
    /// What the application says.
    Chosen(Duration),
}

/// Whether an association is to key media streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    None,
    Keyed,
}

/// What becomes of an association whose sending keys are worn out and cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WornKeys {
    /// The application is told.
    Reported,
    /// The application is told, and the association is closed.
    Closing,
}

/// Whether the MTU falls when a path seems too narrow (RFC 9147 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FallBack {
    /// When two expiries in a row brought nothing.
    InSteps,
    /// Only when a datagram is known to be too long.
    Pinned,
}

/// When to send again what an ACK of part of a flight leaves open (RFC 9147 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PartialAcks {
    /// At once.
    #[default]
    Retransmit,
    /// When the timer expires.
    WaitForTimer,
}

/// How long a datagram of application data may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DataSize {
    /// As long as the MTU.
    #[default]
    WithinMtu,
    /// As long as a record, 2^14 octets of data: for transports that fragment.
    WholeRecord,
}

impl TransportConfig {
    /// The least MTU: below it no handshake makes progress.
    pub const MTU_FLOOR: usize = 64;

    /// The default values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest datagram to send, in octets of UDP payload. Default 1200, which every IPv6 path takes (RFC 8200 §5).
    /// More than 65,535 means 65,535.
    ///
    /// # Errors
    /// [`ConfigError::MtuTooSmall`] under [`Self::MTU_FLOOR`].
    pub fn set_mtu(&mut self, mtu: usize) -> Result<&mut Self, ConfigError> {
        if mtu < Self::MTU_FLOOR {
            return Err(ConfigError::MtuTooSmall { floor: Self::MTU_FLOOR });
        }
        self.mtu = mtu.min(MTU_CEILING);
        Ok(self)
    }

    /// Keeps the MTU where it is set. Otherwise it falls, for flights and for data, to 1024, 576 and 256 octets in turn
    /// when a flight of longer datagrams was sent again twice and nothing came of it (RFC 9147 §4.4): on a path that eats
    /// long datagrams a handshake would never end. Datagrams that the socket refuses lower it in any case
    /// ([`Connection::datagram_too_large`](crate::Connection::datagram_too_large)).
    pub fn pin_mtu(&mut self) -> &mut Self {
        self.fall_back = FallBack::Pinned;
        self
    }

    /// How long a datagram of application data may be.
    pub fn set_data_size(&mut self, data: DataSize) -> &mut Self {
        self.data = data;
        self
    }

    /// The first retransmission timeout and the longest. Defaults: 1 s, or 400 ms where profiles of SRTP are configured
    /// (RFC 9147 §5.8.2), and 60 s.
    ///
    /// # Errors
    /// [`ConfigError::BadTimeout`] if the first is zero or longer than the longest.
    pub fn set_timeouts(&mut self, initial: Duration, max: Duration) -> Result<&mut Self, ConfigError> {
        if initial.is_zero() || initial > max {
            return Err(ConfigError::BadTimeout);
        }
        self.timeouts = Timeouts { initial: InitialTimeout::Chosen(initial), max };
        Ok(self)
    }

    /// How often a flight is sent again before the peer is given up. Default 12.
    pub fn set_max_retransmissions(&mut self, max: u32) -> &mut Self {
        self.max_retransmissions = max;
        self
    }

    /// Where the retransmission timeout starts.
    pub fn set_timeout_policy(&mut self, policy: TimeoutPolicy) -> &mut Self {
        self.timeout = policy;
        self
    }

    /// When to send again what an ACK of part of a flight leaves open.
    pub fn set_partial_acks(&mut self, policy: PartialAcks) -> &mut Self {
        self.acknowledged.partly = policy;
        self
    }

    /// How many records of a flight of ours are remembered by number, so that an ACK of them counts: the newest ones. What an
    /// ACK says of others is lost, and their content is sent again. More are of use where flights take more records, with an
    /// MTU of a few hundred octets and long chains of certificates. Default 32, as many as a usual ACK lists; less than 1
    /// means 1.
    pub fn set_max_sent_records(&mut self, records: usize) -> &mut Self {
        self.acknowledged.max_sent_records = records.max(1);
        self
    }

    pub(crate) const fn max_sent_records(&self) -> usize {
        self.acknowledged.max_sent_records
    }

    /// What to do about malformed plaintext.
    pub fn set_plaintext_faults(&mut self, policy: PlaintextFaults) -> &mut Self {
        self.plaintext_faults = policy;
        self
    }

    /// How many octets of records of the next epoch are kept until their keys are there. Default 16 KiB; 0 keeps none.
    pub fn set_max_early_records(&mut self, octets: usize) -> &mut Self {
        self.max_early_records = octets;
        self
    }

    /// The longest handshake message to accept, in octets. Default 64 KiB: longer than any certificate chain in use.
    ///
    /// # Errors
    /// [`ConfigError::LimitTooSmall`] under 4 KiB: a ClientHello with a hybrid key share must fit.
    pub fn set_max_handshake_message(&mut self, octets: usize) -> Result<&mut Self, ConfigError> {
        if octets < MESSAGE_FLOOR {
            return Err(ConfigError::LimitTooSmall { floor: MESSAGE_FLOOR });
        }
        self.max_handshake_message = octets;
        Ok(self)
    }

    /// How many octets of memory messages may take that came out of order, in fragments, or as contradictions of each
    /// other. Default 64 KiB. The message that is expected next always finds room, and takes two and a third times its length
    /// at most while octets of it are missing: what a peer can have kept is this and that.
    pub fn set_max_reassembly_buffer(&mut self, octets: usize) -> &mut Self {
        self.max_reassembly_buffer = octets;
        self
    }

    /// How many HelloVerifyRequests a client answers (RFC 6347 §4.2.1). Default 8.
    pub fn set_max_hello_verify_requests(&mut self, max: u8) -> &mut Self {
        self.max_hello_verify_requests = max;
        self
    }

    /// How many records one key may seal, and how many forgeries one may be tried with, before it is changed, or the
    /// association ends (RFC 9147 §4.5.3). These are lower than the AEAD's own limits, which hold whatever is set here:
    /// 2^24.5 records for AES-GCM and 2^36 forgeries by default. Keys are changed at seven eighths, where the version has
    /// KeyUpdate.
    ///
    /// # Errors
    /// [`ConfigError::BadAeadLimits`] if one is above those, or below 16: the change of keys itself takes records.
    pub fn set_aead_limits(&mut self, sealed: u64, forgeries: u64) -> Result<&mut Self, ConfigError> {
        const { assert!(AEAD_LIMIT_FLOOR >> 3 > 0, "there is a record between near and reached") };
        let AeadLimits { confidentiality, integrity } = AeadLimits::HIGHEST;
        let fits = |limit, ceiling| (AEAD_LIMIT_FLOOR..=ceiling).contains(&limit);
        if !(fits(sealed, confidentiality) && fits(forgeries, integrity)) {
            return Err(ConfigError::BadAeadLimits {
                floor: AEAD_LIMIT_FLOOR,
                sealed: confidentiality,
                forgeries: integrity,
            });
        }
        self.aead_limits = AeadLimits { confidentiality: sealed, integrity: forgeries };
        Ok(self)
    }

    /// Closes an association whose keys have sealed as many records as they may, where the version has no way to change
    /// them (DTLS 1.2). Default: the application is told
    /// ([`Event::ConfidentialityLimitReached`](crate::Event::ConfidentialityLimitReached)), and decides.
    pub fn close_at_confidentiality_limit(&mut self) -> &mut Self {
        self.worn_keys = WornKeys::Closing;
        self
    }

    /// The longest record to take from the peer, in octets of what it holds: for those who have no room for more. It is told
    /// the peer by record_size_limit (RFC 8449); a longer one under keys ends the association. Peers that do not know the
    /// extension may send longer ones. Default 2^14, as long as records can be.
    ///
    /// How much a record of ours may hold is the peer's to say:
    /// [`Connection::max_payload`](crate::Connection::max_payload) tells.
    ///
    /// # Errors
    /// [`ConfigError::BadRecordSizeLimit`] under 64 octets or above 2^14.
    pub fn set_record_size_limit(&mut self, octets: usize) -> Result<&mut Self, ConfigError> {
        let (floor, ceiling) = RECORD_SIZE_LIMITS;
        match u16::try_from(octets) {
            Ok(limit) if (floor..=ceiling).contains(&limit) => self.record_size_limit = limit,
            _ => return Err(ConfigError::BadRecordSizeLimit { floor: floor.into(), ceiling: ceiling.into() }),
        }
        Ok(self)
    }

    pub(crate) const fn record_size_limit(&self) -> u16 {
        self.record_size_limit
    }

    pub(crate) const fn aead_limits(&self) -> AeadLimits {
        self.aead_limits
    }

    pub(crate) const fn worn_keys(&self) -> WornKeys {
        self.worn_keys
    }

    pub(crate) const fn mtu(&self) -> usize {
        self.mtu
    }

    pub(crate) const fn fall_back(&self) -> FallBack {
        self.fall_back
    }

    pub(crate) const fn data_size(&self) -> DataSize {
        self.data
    }

    pub(crate) const fn initial_timeout(&self) -> Duration {
        match self.timeouts.initial {
            InitialTimeout::Usual => Duration::from_millis(1000),
            InitialTimeout::Media => Duration::from_millis(400),
            InitialTimeout::Chosen(timeout) => timeout,
        }
    }

    /// Whether the association keys media; a timeout that the application chose stays.
    pub(super) fn set_media(&mut self, media: Media) {
        if !matches!(self.timeouts.initial, InitialTimeout::Chosen(_)) {
            self.timeouts.initial = match media {
                Media::Keyed => InitialTimeout::Media,
                Media::None => InitialTimeout::Usual,
            };
        }
    }

    pub(crate) const fn max_timeout(&self) -> Duration {
        self.timeouts.max
    }

    pub(crate) const fn max_retransmissions(&self) -> u32 {
        self.max_retransmissions
    }

    pub(crate) const fn timeout_policy(&self) -> TimeoutPolicy {
        self.timeout
    }

    pub(crate) const fn partial_acks(&self) -> PartialAcks {
        self.acknowledged.partly
    }

    pub(crate) const fn plaintext_faults(&self) -> PlaintextFaults {
        self.plaintext_faults
    }

    pub(crate) const fn max_early_records(&self) -> usize {
        self.max_early_records
    }

    pub(crate) const fn max_handshake_message(&self) -> usize {
        self.max_handshake_message
    }

    pub(crate) const fn max_reassembly_buffer(&self) -> usize {
        self.max_reassembly_buffer
    }

    pub(crate) const fn max_hello_verify_requests(&self) -> u8 {
        self.max_hello_verify_requests
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            mtu: 1200,
            fall_back: FallBack::InSteps,
            data: DataSize::default(),
            timeouts: Timeouts { initial: InitialTimeout::Usual, max: Duration::from_secs(60) },
            max_retransmissions: 12,
            timeout: TimeoutPolicy::default(),
            acknowledged: Acknowledged { partly: PartialAcks::default(), max_sent_records: 32 },
            plaintext_faults: PlaintextFaults::default(),
            max_early_records: 16 * 1024,
            max_handshake_message: 64 * 1024,
            max_reassembly_buffer: 64 * 1024,
            max_hello_verify_requests: 8,
            // ChaCha20 bears more, and is limited by what its epoch has of numbers alone.
            aead_limits: AeadLimits::NONE,
            worn_keys: WornKeys::Reported,
            record_size_limit: RECORD_SIZE_LIMITS.1,
        }
    }
}

/// Octets (RFC 8449 §4).
const RECORD_SIZE_LIMITS: (u16, u16) = (64, 1 << 14);

/// Records, or forgeries.
const AEAD_LIMIT_FLOOR: u64 = 16;

/// Octets: the length field of UDP has 16 bits (RFC 768).
const MTU_CEILING: usize = 65_535;

/// Octets: a ClientHello with a hybrid key share and a chain of two certificates fit.
const MESSAGE_FLOOR: usize = 4 << 10;
