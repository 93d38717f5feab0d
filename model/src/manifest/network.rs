//! `network`: what a job's container can reach. Nothing, all that the engine's bridge leads to, or the addresses that are named.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde_json::{Value, json};

use super::document::{NodeKind, TextNode};
use super::error::{Error, suggestion};
use super::values::{list, map, parsed, text, unknown_key};

/// The words that stand for a network.
const NAMES: [&str; 2] = ["none", "bridge"];
const KEYS: [&str; 1] = ["allow"];
/// Addresses of one job.
const MAX_ADDRESSES: usize = 16;
/// Bytes of a host's name: an address is part of a label, which has 128 at most.
const LONGEST_NAME: usize = 100;

/// What a job's container can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    None,
    Bridge,
    /// These, and nothing else.
    Allow(Vec<HostPort>),
}

/// One port of one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    pub host: Host,
    pub port: u16,
}

/// A machine, by its address or its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    Address(Ipv4Addr),
    /// In lower case.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let shown: String = text.chars().take(LONGEST_NAME).collect();
        let wrong = |why: &str| Error::new(format!("{shown:?} {why}"));
        if text.contains('*') {
            return Err(wrong(
                "names more than one place; write one host and one port, such as 127.0.0.1:4001",
            ));
        }
        if text.contains("://") || text.contains('/') {
            return Err(wrong(
                "is a URL or a network; write the host and the port alone, such as 127.0.0.1:4001",
            ));
        }
        if text.starts_with('[') || text.matches(':').count() > 1 {
            return Err(wrong(
                "looks like an IPv6 address; write an IPv4 address or a name, such as 127.0.0.1:4001",
            ));
        }
        let (host, port) = text
            .split_once(':')
            .ok_or_else(|| wrong("has no port; write the host and the port, such as 127.0.0.1:4001"))?;
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| is_number && *port > 0);
        let port =
            port.ok_or_else(|| wrong("has no port from 1 to 65535; write one, such as 127.0.0.1:4001"))?;
        let host = self::host(host).map_err(wrong)?;
        Ok(Self { host, port })
    }
}

fn host(text: &str) -> Result<Host, &'static str> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        let is_one = !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast();
        return match is_one {
            true => Ok(Host::Address(address)),
            false => Err("is not the address of one host; write that, such as 127.0.0.1:4001"),
        };
    }
    let name = text.to_ascii_lowercase();
    if name == "localhost" {
        return Ok(Host::Address(Ipv4Addr::LOCALHOST));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // What ends in a number is meant to be an address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit());
    match is_name && name.len() <= LONGEST_NAME {
        true => Ok(Host::Name(name)),
        false => Err("has no host; write an IPv4 address or a name and a port, such as 127.0.0.1:4001"),
    }
}

impl HostPort {
    /// Where a container finds these, in their order. An address is the same in the container as outside of it; each name
    /// stands for an address of the container's own.
    pub fn inside(addresses: &[Self]) -> Vec<Ipv4Addr> {
        let mut names: Vec<&str> = Vec::new();
        let mut place = |name| {
            let known = names.iter().position(|known| *known == name);
            known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        };
        let inside = addresses.iter().map(|address| match &address.host {
            Host::Address(address) => *address,
            Host::Name(name) => {
                let last = u8::try_from(place(name.as_str()) + 1).unwrap_or(u8::MAX);
                Ipv4Addr::new(127, 77, 0, last)
            }
        });
        inside.collect()
    }
}

impl Network {
    /// The addresses that are named; none with `bridge`, which names none.
    pub fn addresses(&self) -> &[HostPort] {
        match self {
            Self::None | Self::Bridge => &[],
            Self::Allow(addresses) => addresses,
        }
    }

    /// As a manifest has it.
    pub(super) fn written(&self) -> Value {
        match self {
            Self::None => NAMES[0].into(),
            Self::Bridge => NAMES[1].into(),
            Self::Allow(addresses) => json!({ "allow": shown(addresses) }),
        }
    }

    /// The same for the same addresses, however they are ordered.
    pub(super) fn recipe(&self) -> Value {
        match self {
            Self::Allow(addresses) => {
                let mut sorted = addresses.clone();
                sorted.sort_unstable();
                json!({ "allow": shown(&sorted) })
            }
            other => other.written(),
        }
    }
}

fn shown(addresses: &[HostPort]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

impl FromStr for Network {
    type Err = Error;

    /// As a flag has it: `none`, `bridge`, or addresses separated by commas.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "bridge" => Ok(Self::Bridge),
            _ if text.contains([':', '.', ',', '*']) => {
                let addresses = text.split(',').map(|part| part.trim().parse::<HostPort>());
                let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
                check(&addresses).map_err(Error::new)?;
                Ok(Self::Allow(addresses))
            }
            _ => Err(unknown(text)),
        }
    }
}

fn unknown(text: &str) -> Error {
    let hint = suggestion(text, NAMES, "networks");
    Error::new(format!(
        "`network` has {text:?}{hint}; for one host and port write {{allow: [\"127.0.0.1:4001\"]}}"
    ))
}

/// Says what is wrong with the addresses of a job.
fn check(addresses: &[HostPort]) -> Result<(), String> {
    if addresses.is_empty() {
        return Err("`network.allow` names no address; write network: none, or name one".to_owned());
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(format!("`network.allow` has {}; {MAX_ADDRESSES} is the limit", addresses.len()));
    }
    let twice = addresses.iter().enumerate().find(|(index, one)| addresses[..*index].contains(one));
    match twice {
        Some((_, address)) => Err(format!("`network.allow` names {address} twice; leave one of them out")),
        None => Ok(()),
    }
}

pub(super) fn read(node: &TextNode) -> Result<Network, Error> {
    if !matches!(node.kind, NodeKind::Map(_)) {
        let name = text(node, "network")?;
        return parsed(node, &name, |name| match name {
            "none" => Ok(Network::None),
            "bridge" => Ok(Network::Bridge),
            _ => Err(unknown(name)),
        });
    }
    let mut addresses = None;
    for entry in map(node, "`network`")? {
        if entry.name != "allow" {
            return Err(unknown_key(entry, "network", KEYS));
        }
        let nodes = list(&entry.node, "network.allow", "a list of addresses, such as [\"127.0.0.1:4001\"]")?;
        let one = |node: &TextNode| {
            let address = text(node, "network.allow")?;
            parsed(node, &address, |address| {
                address
                    .parse()
                    .map_err(|error: Error| Error::new(format!("`network.allow`: {}", error.message)))
            })
        };
        addresses = Some(nodes.iter().map(one).collect::<Result<Vec<HostPort>, _>>()?);
    }
    let addresses = addresses.ok_or_else(|| {
        node.error("`network` has no `allow`; write {allow: [\"127.0.0.1:4001\"]}".to_owned())
    })?;
    check(&addresses).map_err(|told| node.error(told))?;
    Ok(Network::Allow(addresses))
}

pub(super) fn schema() -> Value {
    let address = json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]+:[1-9][0-9]{0,4}$"});
    let allow = json!({"type": "array", "items": address, "minItems": 1, "maxItems": MAX_ADDRESSES, "uniqueItems": true});
    json!({"anyOf": [
        {"enum": NAMES},
        {"type": "object", "properties": {"allow": allow}, "required": ["allow"], "additionalProperties": false},
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn manifest(lines: &str) -> Result<Manifest, Error> {
        Manifest::parse(format!("image: x\n{lines}\n").as_bytes(), Format::Yaml, "s.yaml")?.finish()
    }

    fn addresses(text: &[&str]) -> Vec<HostPort> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn it_travels() {
        let manifest_of = manifest("network: { allow: ['127.0.0.1:4001', GW.lan:7497] }").unwrap();
        assert_eq!(manifest_of.network, Network::Allow(addresses(&["127.0.0.1:4001", "gw.lan:7497"])));
        assert_eq!(Manifest::from_json(&manifest_of.to_json()).unwrap(), manifest_of);
        for (text, network) in [("none", Network::None), ("bridge", Network::Bridge)] {
            assert_eq!(manifest(&format!("network: {text}")).unwrap().network, network);
            assert_eq!(text.parse::<Network>().unwrap(), network);
        }
        let flag = "localhost:4001, gw.lan:7497".parse::<Network>().unwrap();
        assert_eq!(flag, manifest_of.network, "localhost is the address that it stands for");
    }

    #[test]
    fn agents_must_offer_each_address() {
        let labels = manifest("network: { allow: ['127.0.0.1:4001', 'gw:1'] }").unwrap().labels();
        assert_eq!(labels["network:127.0.0.1:4001"], "offered");
        assert_eq!(labels["network:gw:1"], "offered");
        assert!(!labels.contains_key("network"), "no bridge is asked for");
    }

    #[test]
    fn a_container_has_names_at_addresses_of_its_own() {
        let inside = HostPort::inside(&addresses(&["a:1", "10.0.0.7:2", "b:1", "a:2", "127.0.0.1:9"]));
        let inside: Vec<_> = inside.iter().map(ToString::to_string).collect();
        assert_eq!(inside, ["127.77.0.1", "10.0.0.7", "127.77.0.2", "127.77.0.1", "127.0.0.1"]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (value, words) in [
            ("host", "\"host\"; the networks are none, bridge; for one host and port write"),
            ("brige", "did you mean `bridge`?"),
            ("127.0.0.1:4001", "write {allow: [\"127.0.0.1:4001\"]}"),
            ("[127.0.0.1:4001]", "write a text"),
            ("{ allow: '127.0.0.1:4001' }", "write a list of addresses"),
            ("{ alow: ['127.0.0.1:4001'] }", "did you mean `allow`?"),
            ("{}", "has no `allow`"),
            ("{ allow: [] }", "names no address"),
            ("{ allow: ['127.0.0.1'] }", "\"127.0.0.1\" has no port"),
            ("{ allow: [4001] }", "write a text"),
            ("{ allow: ['127.0.0.1:0'] }", "no port from 1 to 65535"),
            ("{ allow: ['127.0.0.1:70000'] }", "no port from 1 to 65535"),
            ("{ allow: ['127.0.0.1:+1'] }", "no port from 1 to 65535"),
            ("{ allow: ['127.0.0.1:'] }", "no port from 1 to 65535"),
            ("{ allow: ['127.0.0.1:*'] }", "more than one place"),
            ("{ allow: ['*'] }", "more than one place"),
            ("{ allow: ['http://127.0.0.1:4001'] }", "is a URL"),
            ("{ allow: ['10.0.0.0/8:1'] }", "or a network"),
            ("{ allow: ['[::1]:4001'] }", "IPv6"),
            ("{ allow: ['::1:4001'] }", "IPv6"),
            ("{ allow: ['0.0.0.0:1'] }", "not the address of one host"),
            ("{ allow: ['300.1.1.1:1'] }", "has no host"),
            ("{ allow: [':4001'] }", "has no host"),
            ("{ allow: ['a b:1'] }", "has no host"),
            ("{ allow: ['-a:1'] }", "has no host"),
            ("{ allow: ['a:1', 'A:1'] }", "names a:1 twice"),
            ("{ allow: ['localhost:1', '127.0.0.1:1'] }", "names 127.0.0.1:1 twice"),
        ] {
            let told = manifest(&format!("network: {value}")).unwrap_err().to_string();
            assert!(told.contains(words) && told.starts_with("s.yaml:2:"), "{value}: {told}");
        }
        let many: Vec<_> = (1..=17).map(|port| format!("'a:{port}'")).collect();
        let told = manifest(&format!("network: {{ allow: [{}] }}", many.join(", "))).unwrap_err().to_string();
        assert!(told.contains("16 is the limit"), "{told}");
        for (flag, words) in
            [("brige", "did you mean `bridge`?"), ("a:1,a:1", "twice"), ("a:1,", "has no port")]
        {
            let told = flag.parse::<Network>().unwrap_err().to_string();
            assert!(told.contains(words), "{flag}: {told}");
        }
    }
}
