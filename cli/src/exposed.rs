//! What is said when a coordinator listens on more than this machine: it knows no users, so whoever reaches its port owns
//! the cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The warning, and the address to give to others; nothing if only this machine can reach it.
#[cfg(target_os = "linux")]
pub(crate) fn warning(address: SocketAddr) -> Option<String> {
    if address.ip().is_loopback() {
        return None;
    }
    Some(format!(
        "warning: the coordinator listens on {address} and asks nobody who they are: anyone who reaches this port can run \
         containers on all agents, and read and remove all results. Let only trusted machines reach it (firewall, VPN)\n  \
         others connect with --coordinator http://{}, or BTCTL_COORDINATOR",
        for_others(address)
    ))
}

/// The address by which other machines reach a server that listens here.
pub(crate) fn for_others(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    match outward(address.is_ipv6()) {
        Some(ip) => SocketAddr::new(ip, address.port()).to_string(),
        None => format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), address.port()),
    }
}

/// The address that this machine has on its way out: the kernel chooses it when a datagram socket is connected, and sends
/// nothing. The targets are reserved for documentation.
fn outward(ipv6: bool) -> Option<IpAddr> {
    let v4 = (SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from(([192, 0, 2, 1], 9)));
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = (SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), SocketAddr::from((documentation, 9)));
    // A server on [::] takes IPv4 as well.
    let ways = if ipv6 { vec![v4, v6] } else { vec![v4] };
    ways.into_iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_others_reach_is_warned_of() {
        let warning = |address: &str| warning(address.parse().unwrap());
        assert_eq!(warning("127.0.0.1:7600"), None);
        assert_eq!(warning("[::1]:7600"), None);
        let told = warning("10.0.0.5:7600").unwrap();
        assert!(
            told.contains("anyone who reaches this port") && told.contains("http://10.0.0.5:7600"),
            "{told}"
        );
        for all in ["0.0.0.0:7600", "[::]:7600"] {
            let told = warning(all).unwrap();
            let (_, given) = told.split_once("--coordinator http://").unwrap();
            assert!(!given.starts_with("0.0.0.0") && !given.starts_with("127."), "{told}");
            assert!(given.contains(":7600"), "{told}");
        }
    }
}
