//! Kinds of hosts: which addresses a peer may send this client to.
//!
//! Invariant: a registry on the public network cannot direct this client to the machine itself, to private networks or to
//! the metadata service of a cloud (169.254.169.254); a registry inside such a network may stay inside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Public,
    /// RFC 1918, RFC 6598, unique local IPv6.
    Private,
    /// Including the metadata services of clouds.
    LinkLocal,
    Loopback,
    /// Unspecified, multicast, broadcast, reserved: nothing that a registry can be.
    Unusable,
}

impl Zone {
    /// The zone of a host name or literal address (without brackets). Names are public unless they say otherwise; what a
    /// name resolves to is checked by [`Zone::of_address`] when connecting.
    pub(crate) fn of_host(host: &str) -> Zone {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        match host.parse::<IpAddr>() {
            Ok(address) => Zone::of_address(address),
            Err(_) if host == "localhost" || host.ends_with(".localhost") => Zone::Loopback,
            Err(_) if host == "metadata.google.internal" => Zone::LinkLocal,
            Err(_) => Zone::Public,
        }
    }

    pub(crate) fn of_address(address: IpAddr) -> Zone {
        match address {
            IpAddr::V4(address) => Zone::of_v4(address),
            IpAddr::V6(address) => match embedded_v4(address) {
                Some(address) => Zone::of_v4(address),
                None => Zone::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Zone {
        let [a, b, ..] = address.octets();
        if address.is_loopback() {
            Zone::Loopback
        } else if address.is_link_local() {
            Zone::LinkLocal
        } else if address.is_private() || (a == 100 && (64..128).contains(&b)) {
            Zone::Private
        } else if a == 0 || a >= 224 {
            Zone::Unusable
        } else {
            Zone::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Zone {
        /// The metadata service of Amazon EC2 over IPv6, a unique local address.
        const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
        if address.is_loopback() {
            Zone::Loopback
        } else if address.is_unicast_link_local() || address == EC2_METADATA {
            Zone::LinkLocal
        } else if address.is_unique_local() {
            Zone::Private
        } else if address.is_unspecified() || address.is_multicast() {
            Zone::Unusable
        } else {
            Zone::Public
        }
    }

    /// Whether a registry in `self` may send this client to a host in `target`.
    pub(crate) fn may_send_to(self, target: Zone) -> bool {
        target == Zone::Public || (target == self && target != Zone::Unusable)
    }
}

/// IPv4-mapped, NAT64 and 6to4 addresses reach the IPv4 address inside them.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Whether a connection for `name` may go to `address`: names other than the registry's own must not resolve to the
/// machine itself or to a metadata service. Private networks are allowed, because cloud storage behind a private
/// endpoint resolves there.
pub(crate) fn may_connect(name: &str, registry: &str, address: SocketAddr) -> bool {
    if name.eq_ignore_ascii_case(registry) || name == "localhost" {
        return true;
    }
    match Zone::of_address(address.ip()) {
        Zone::Public | Zone::Private => true,
        Zone::LinkLocal | Zone::Loopback | Zone::Unusable => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_sorted_into_zones() {
        for (host, zone) in [
            ("ghcr.io", Zone::Public),
            ("8.8.8.8", Zone::Public),
            ("[2606:4700::1]", Zone::Public),
            ("localhost", Zone::Loopback),
            ("x.localhost.", Zone::Loopback),
            ("127.1.2.3", Zone::Loopback),
            ("[::1]", Zone::Loopback),
            ("::ffff:127.0.0.1", Zone::Loopback),
            ("10.0.0.1", Zone::Private),
            ("172.16.0.1", Zone::Private),
            ("192.168.1.1", Zone::Private),
            ("100.64.0.1", Zone::Private),
            ("fd12::1", Zone::Private),
            ("64:ff9b::a00:1", Zone::Private),
            ("169.254.169.254", Zone::LinkLocal),
            ("[fe80::1]", Zone::LinkLocal),
            ("fd00:ec2::254", Zone::LinkLocal),
            ("::ffff:169.254.169.254", Zone::LinkLocal),
            ("2002:a9fe:a9fe::", Zone::LinkLocal),
            ("metadata.google.internal", Zone::LinkLocal),
            ("0.0.0.0", Zone::Unusable),
            ("[::]", Zone::Unusable),
            ("255.255.255.255", Zone::Unusable),
        ] {
            assert_eq!(Zone::of_host(host), zone, "{host}");
        }
    }

    #[test]
    fn peers_may_only_send_outwards_or_stay_in_their_zone() {
        assert!(Zone::Public.may_send_to(Zone::Public));
        assert!(Zone::Private.may_send_to(Zone::Private));
        assert!(Zone::Loopback.may_send_to(Zone::Loopback));
        assert!(Zone::Loopback.may_send_to(Zone::Public));
        for target in [Zone::Private, Zone::LinkLocal, Zone::Loopback, Zone::Unusable] {
            assert!(!Zone::Public.may_send_to(target));
        }
        assert!(!Zone::Loopback.may_send_to(Zone::LinkLocal));
        assert!(!Zone::Unusable.may_send_to(Zone::Unusable));
    }

    #[test]
    fn foreign_names_do_not_resolve_to_this_machine() {
        let loopback = "127.0.0.1:443".parse().unwrap();
        let metadata = "169.254.169.254:80".parse().unwrap();
        assert!(may_connect("registry.test", "registry.test", loopback));
        assert!(!may_connect("cdn.example", "registry.test", loopback));
        assert!(!may_connect("cdn.example", "registry.test", metadata));
        assert!(may_connect("s3.example", "registry.test", "10.1.2.3:443".parse().unwrap()));
    }
}
