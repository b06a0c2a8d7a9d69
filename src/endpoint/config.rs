//! What an endpoint may take, and whom it believes.

use super::cookie::CookieKeys;
use std::time::Duration;

/// When a client must show by a cookie that its address is its own (RFC 6347 §4.2.1, RFC 9147 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Validation {
    /// Always: a round trip for every client, and forged addresses cost neither memory nor a signature.
    #[default]
    Always,
    /// When there are many half-open handshakes. While there are few, a client saves the round trip; until it has answered
    /// under keys, no more than three times as many octets are sent as have come.
    UnderLoad,
    /// Never: the application knows that addresses are genuine (RFC 8445, say). Nothing limits what is sent there.
    Vouched,
}

/// The limits of an [`Endpoint`](super::Endpoint), and how it treats clients. `EndpointConfig::new()` has the defaults.
#[derive(Debug)]
pub struct EndpointConfig {
    pub(super) validation: Validation,
    pub(super) load_threshold: usize,
    pub(super) limits: Limits,
    pub(super) fragment_slots: usize,
    pub(super) cookie_rotation: Duration,
    pub(super) cookie_keys: KeySource,
}

/// How many of everything there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) half_open: usize,
    pub(super) half_open_per_network: usize,
    pub(super) handshake_memory: usize,
}

/// Where cookie keys come from.
#[derive(Debug)]
pub(super) enum KeySource {
    /// Drawn when the endpoint is made.
    Random,
    /// The application's, which other endpoints may share.
    Given(CookieKeys),
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            validation: Validation::Always,
            load_threshold: 256,
            limits: Limits {
                connections: 100_000,
                half_open: 4096,
                half_open_per_network: 1024,
                handshake_memory: 64 << 20,
            },
            fragment_slots: 256,
            cookie_rotation: Duration::from_secs(90),
            cookie_keys: KeySource::Random,
        }
    }

    /// When clients must show a cookie. Default: always.
    pub fn set_validation(&mut self, validation: Validation) -> &mut Self {
        self.validation = validation;
        self
    }

    /// From how many half-open handshakes on [`Validation::UnderLoad`] wants cookies. Default: 256.
    pub fn set_load_threshold(&mut self, half_open: usize) -> &mut Self {
        self.load_threshold = half_open;
        self
    }

    /// The most connections, of all kinds. Default: 100,000.
    pub fn set_max_connections(&mut self, connections: usize) -> &mut Self {
        self.limits.connections = connections;
        self
    }

    /// The most handshakes of clients that are not complete. A new one takes the place of the oldest. Default: 4096.
    pub fn set_max_half_open(&mut self, half_open: usize) -> &mut Self {
        self.limits.half_open = half_open;
        self
    }

    /// The same for clients of one network: one IPv4 address, or an IPv6 prefix of 56 bits. Default: 1024.
    pub fn set_max_half_open_per_network(&mut self, half_open: usize) -> &mut Self {
        self.limits.half_open_per_network = half_open;
        self
    }

    /// The most memory that half-open handshakes may take, in octets, by estimate. Default: 64 MiB.
    pub fn set_max_handshake_memory(&mut self, octets: usize) -> &mut Self {
        self.limits.handshake_memory = octets;
        self
    }

    /// For how many ClientHellos that come in fragments there is room, of 4 KiB each, before their senders have shown a
    /// cookie. It is allocated at once. 0: such ClientHellos are dropped. Default: 256.
    pub fn set_fragment_slots(&mut self, slots: usize) -> &mut Self {
        self.fragment_slots = slots;
        self
    }

    /// How long a cookie key makes cookies; they are accepted for as long again. Default: 90 s.
    pub fn set_cookie_rotation(&mut self, period: Duration) -> &mut Self {
        self.cookie_rotation = period;
        self
    }

    /// The cookie keys, such as other endpoints share. Default: drawn at random.
    pub fn set_cookie_keys(&mut self, keys: CookieKeys) -> &mut Self {
        self.cookie_keys = KeySource::Given(keys);
        self
    }
}
