//! The addresses of `localhost` on this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

const BOTH: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Tells `localhost` from other hosts. It needs no resolver: it means this machine whatever
/// `/etc/hosts` says of it, which often leaves out one family.
pub fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// The addresses of `localhost`, in the order to try: those of the two that this machine has.
///
/// One that it lacks is left out, because what is sent there may leave by the default route and
/// never be answered, and because its error would hide that of the other one.
pub fn addresses(port: u16) -> Vec<SocketAddr> {
    let at = |ip| SocketAddr::new(ip, port);
    let here: Vec<_> = BOTH.into_iter().filter(|ip| !is_missing(*ip)).collect();
    // Whoever has neither is to get the system's own error.
    let tried = if here.is_empty() { &BOTH[..] } else { &here };
    tried.iter().copied().map(at).collect()
}

/// Tells addresses that this machine lacks. What can't be found out, connecting will.
fn is_missing(ip: IpAddr) -> bool {
    // Binding a datagram socket sends nothing.
    let bound = UdpSocket::bind((ip, 0));
    bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_somebody_else_is_missing() {
        // For documentation only (RFC 5737): nobody has it.
        assert!(is_missing(Ipv4Addr::new(192, 0, 2, 1).into()));
    }

    #[test]
    fn what_is_there_is_listened_on() {
        let found = addresses(0);
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        assert!(found.iter().all(|address| UdpSocket::bind(address).is_ok()));
    }
}
