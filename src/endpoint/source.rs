//! Where a datagram came from, in the one form in which addresses are compared, counted and bound into cookies.

use super::DropReason;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// The path of a datagram: the peer's address and port and, where the application knows it, the local address that it was
/// sent to.
///
/// An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) equals the IPv4 address; a scope id counts (RFC 4007 §6), flow
/// information does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    remote: SocketAddr,
    local: Option<IpAddr>,
}

/// Octets of [`Source::octets`].
pub(super) const SOURCE_LEN: usize = 16 + 2 + 4 + 1 + 16;

impl Source {
    /// The source of a datagram that came from `remote`, sent to `local` if that is known.
    ///
    /// # Errors
    /// [`DropReason::Source`] for what no peer sends from: port 0, a multicast, broadcast or unspecified address
    /// (RFC 1122 §3.2.1.3, RFC 4291 §2.5.2, §2.7).
    pub fn new(remote: SocketAddr, local: Option<IpAddr>) -> Result<Self, DropReason> {
        let remote = canonical(remote);
        let ip = remote.ip();
        let impossible = remote.port() == 0
            || ip.is_unspecified()
            || ip.is_multicast()
            || matches!(ip, IpAddr::V4(ip) if ip == Ipv4Addr::BROADCAST);
        if impossible {
            return Err(DropReason::Source);
        }
        Ok(Self { remote, local: local.map(|local| local.to_canonical()) })
    }

    /// The peer's address, in its one form.
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The local address that the datagram was sent to, if the application told.
    pub const fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// The same for one who did not look at the local address.
    pub(super) const fn anywhere(&self) -> Self {
        Self { remote: self.remote, local: None }
    }

    /// All of it in a fixed form, the same on every machine; no two sources share one.
    pub(super) fn octets(&self) -> [u8; SOURCE_LEN] {
        let scope = match self.remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(remote) => remote.scope_id(),
        };
        let (known, local) = match self.local {
            Some(local) => (1, sixteen(local)),
            None => (0, [0; 16]),
        };
        let mut octets = [0; SOURCE_LEN];
        let pieces =
            [&sixteen(self.remote.ip())[..], &self.remote.port().to_be_bytes(), &scope.to_be_bytes(), &[known], &local];
        let mut rest = &mut octets[..];
        for piece in pieces {
            let Some((room, after)) = rest.split_at_mut_checked(piece.len()) else { break };
            room.copy_from_slice(piece);
            rest = after;
        }
        octets
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        },
    }
}

fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(remote: &str) -> Result<Source, DropReason> {
        Source::new(remote.parse().unwrap(), None)
    }

    #[test]
    fn a_mapped_address_equals_the_ipv4_address() {
        let plain = source("192.0.2.7:4433").unwrap();
        let mapped = source("[::ffff:192.0.2.7]:4433").unwrap();
        assert_eq!(plain, mapped);
        assert_eq!(plain.octets(), mapped.octets());
        let local = |ip: &str| Source::new(plain.remote(), Some(ip.parse().unwrap())).unwrap();
        assert_eq!(local("198.51.100.1"), local("::ffff:198.51.100.1"));
    }

    #[test]
    fn each_part_counts_but_flow_information() {
        let v6 = |flow, scope| SocketAddrV6::new("fe80::1".parse().unwrap(), 5, flow, scope);
        let of = |address: SocketAddrV6| Source::new(address.into(), None).unwrap();
        assert_eq!(of(v6(1, 2)), of(v6(9, 2)));
        let local = |ip: &str| Source::new("192.0.2.7:5".parse().unwrap(), Some(ip.parse().unwrap())).unwrap();
        let different = [
            source("192.0.2.7:5").unwrap(),
            source("192.0.2.8:5").unwrap(),
            source("192.0.2.7:6").unwrap(),
            of(v6(0, 1)),
            of(v6(0, 2)),
            local("198.51.100.1"),
            local("198.51.100.2"),
        ];
        for (i, one) in different.iter().enumerate() {
            for other in different.iter().skip(i + 1) {
                assert_ne!(one, other);
                assert_ne!(one.octets(), other.octets());
            }
        }
    }

    #[test]
    fn what_no_peer_sends_from_is_refused() {
        for address in [
            "192.0.2.7:0",
            "0.0.0.0:5",
            "224.0.0.1:5",
            "255.255.255.255:5",
            "[::]:5",
            "[ff02::1]:5",
            "[2001:db8::1]:0",
            "[::ffff:0.0.0.0]:5",
            "[::ffff:224.0.0.1]:5",
            "[::ffff:255.255.255.255]:5",
        ] {
            assert_eq!(source(address), Err(DropReason::Source), "{address}");
        }
    }
}
