//! Which addresses may be connected to: public ones, and what the operator allows. A manifest's author must not reach through
//! the coordinator what only the coordinator's network can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use bt_model::manifest::literal_host;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

/// What the operator allows: `10.0.0.0/8`, `10.1.2.3`, or `chat.internal:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    Network(IpNet),
    Host { name: String, port: u16 },
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let wrong = || "write a network such as 10.0.0.0/8, an address, or HOST:PORT".to_owned();
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        // As addresses are read: lower case, and one way to write each address.
        let host =
            Url::parse(&format!("http://{name}/")).ok().and_then(|url| Some(url.host_str()?.to_owned()));
        match host {
            Some(name) if !name.is_empty() => Ok(Self::Host { name, port }),
            _ => Err(wrong()),
        }
    }
}

/// What may be connected to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    allowed: Arc<[AllowedHost]>,
}

impl Reach {
    pub(crate) fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { allowed: allowed.into() }
    }

    /// The operator allows this very host and port, whatever it resolves to.
    pub(super) fn is_allowed_host(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let port = url.port_or_known_default();
        self.allowed.iter().any(|allowed| match allowed {
            AllowedHost::Host { name, port: known } => name == host && Some(*known) == port,
            AllowedHost::Network(_) => false,
        })
    }

    /// Why a URL that names its host by its address can't be connected to.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), String> {
        match literal_host(url) {
            Some(address) if !self.is_allowed_host(url) => self.check(address),
            _ => Ok(()),
        }
    }

    /// Why an address may not be connected to.
    fn check(&self, address: IpAddr) -> Result<(), String> {
        let Some(what) = not_public(address) else { return Ok(()) };
        let address = address.to_canonical();
        let in_allowed = |allowed: &AllowedHost| match allowed {
            AllowedHost::Network(network) => network.contains(&address),
            AllowedHost::Host { .. } => false,
        };
        match self.allowed.iter().any(in_allowed) {
            true => Ok(()),
            false => Err(format!(
                "{address} is {what}; the coordinator's operator can allow it with --notify-allow"
            )),
        }
    }
}

/// Resolves names to the addresses that may be connected to, and no others: the connection goes to the very address that was
/// looked at.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (mut suitable, mut refused) = (Vec::new(), None);
            for address in found {
                match reach.check(address.ip()) {
                    Ok(()) => suitable.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match (suitable.is_empty(), refused) {
                (true, Some(why)) => {
                    Err(format!("{} stands for an address that is refused: {why}", name.as_str()).into())
                }
                (true, None) => Err(format!("{} stands for no address", name.as_str()).into()),
                (false, _) => Ok::<Addrs, _>(
                    Box::new(suitable.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>
                ),
            }
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(first: [u16; 3], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first[0], first[1], first[2], 0, 0, 0, 0, 0), bits)
}

/// IANA's registry of special IPv4 addresses, and what stands for several hosts.
const SPECIAL_V4: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "no address of a host"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "an address behind a carrier's NAT"),
    (v4(127, 0, 0, 0, 8), "the coordinator's own machine (loopback)"),
    (v4(169, 254, 0, 0, 16), "link-local, as clouds' metadata services are"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "an address for examples"),
    (v4(192, 88, 99, 0, 24), "reserved"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "an address for benchmarks"),
    (v4(198, 51, 100, 0, 24), "an address for examples"),
    (v4(203, 0, 113, 0, 24), "an address for examples"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// Of IPv6, only these are public, but for [`SPECIAL_V6`].
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
/// Addresses that stand for an IPv4 address, which is looked at instead.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);
const SPECIAL_V6: [(Ipv6Net, &str); 9] = [
    (v6([0x2001, 0, 0], 23), "reserved"),
    (v6([0x2001, 0xdb8, 0], 32), "an address for examples"),
    (v6([0x2002, 0, 0], 16), "reserved (6to4)"),
    (v6([0x3fff, 0, 0], 20), "an address for examples"),
    (v6([0xfc00, 0, 0], 7), "private"),
    (v6([0xfe80, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0], 10), "private"),
    (v6([0xff00, 0, 0], 8), "multicast"),
    (v6([0x64, 0xff9b, 1], 48), "private (NAT64)"),
];

/// What an address is if it is not that of a public host.
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            SPECIAL_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
        }
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            not_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some("the coordinator's own machine (loopback)"),
        IpAddr::V6(address) => {
            let special = SPECIAL_V6.iter().find(|(network, _)| network.contains(&address));
            let special = special.map(|(_, what)| *what);
            special.or_else(|| (!GLOBAL_V6.contains(&address)).then_some("reserved"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "192.167.255.255",
            "169.253.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert_eq!(not_public(public.parse().unwrap()), None, "{public}");
        }
        for inner in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(not_public(inner.parse().unwrap()).is_some(), "{inner}");
        }
    }

    #[test]
    fn the_operator_allows_networks_and_hosts() {
        let reach = Reach::new(
            ["10.0.0.0/8", "::1", "chat.Internal:8443", "[fd00::5]:80"]
                .map(|text| text.parse().unwrap())
                .into(),
        );
        let literal = |url: &str| reach.check_literal(&url.parse().unwrap());
        for allowed in [
            "http://10.1.2.3/",
            "http://[::ffff:10.1.2.3]/",
            "http://[::1]:7/",
            "http://[fd00::5]/",
            "http://8.8.8.8/",
        ] {
            assert_eq!(literal(allowed), Ok(()), "{allowed}");
        }
        for refused in
            ["http://127.0.0.1/", "http://0x7f000001/", "http://[fd00::5]:81/", "http://[fd00::6]/"]
        {
            let told = literal(refused).unwrap_err();
            assert!(told.contains("--notify-allow"), "{refused}: {told}");
        }
        let host = |url: &str| reach.is_allowed_host(&url.parse().unwrap());
        assert!(host("https://chat.internal:8443/x") && host("https://CHAT.internal.:8443/x"));
        assert!(!host("https://chat.internal/x") && !host("https://a.chat.internal:8443/x"));
        for wrong in ["", "chat", "chat:", "chat:70000", "10.0.0.0/40", ":80"] {
            assert!(wrong.parse::<AllowedHost>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_stands_for() {
        let told = Reach::default().resolve("localhost".parse().unwrap()).await.err().unwrap().to_string();
        assert!(told.contains("localhost") && told.contains("loopback"), "{told}");
        let reach = Reach::new(vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        let mut found = reach.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.all(|address| address.ip().is_loopback()));
    }
}
