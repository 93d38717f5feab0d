//! Addresses of coordinators, as people write them. What can't be meant, or can't be had, is refused: an address that is
//! taken for another one would send secrets to the wrong place.

use crate::text::remark;

/// Bytes of an address at most: more than a host's name of 253 bytes, a scheme and a port.
const LONGEST: usize = 300;

/// Whether what is said there is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Why an address can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error(
        "{address:?}: {}: is no way to a coordinator; write https://host:port, or http://host:port on this machine",
        remark(.scheme)
    )]
    Scheme { address: String, scheme: String },
    #[error(
        "{address:?}: a coordinator's address ends with its port, and {rest:?} follows; write {}",
        remark(.right)
    )]
    Rest { address: String, rest: String, right: String },
    #[error("{0:?}: an address holds no user and no password; write http://host:port")]
    User(String),
    #[error("{address:?}: {port:?} is not a port; write http://host:port with a port from 1 to 65535")]
    Port { address: String, port: String },
    #[error("{address:?} has no port; write http://{}:7600", remark(.host))]
    NoPort { address: String, host: String },
    #[error("{0:?} is not an address of a coordinator; write http://host:port")]
    Host(String),
    #[error("no address is given; write http://host:port")]
    None,
}

/// The coordinators that a text names, separated by commas, each as `http://host:port` or `https://host:port`. One that is
/// written without either begins with `scheme`.
pub fn coordinators(text: &str, scheme: Scheme) -> Result<Vec<String>, BadAddress> {
    let named = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let addresses: Vec<_> = named.map(|address| coordinator(address, scheme)).collect::<Result<_, _>>()?;
    if addresses.is_empty() { Err(BadAddress::None) } else { Ok(addresses) }
}

fn coordinator(address: &str, unsaid: Scheme) -> Result<String, BadAddress> {
    if address.len() > LONGEST || address.contains(char::is_control) {
        // What stands before an @ may hold a password.
        return Err(match address.rsplit_once('@') {
            Some((_, host)) => BadAddress::User(format!("...@{}", host.chars().take(80).collect::<String>())),
            None => BadAddress::Host(address.chars().take(80).collect()),
        });
    }
    let whole = || address.to_owned();
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        Some((scheme, _)) => {
            return Err(BadAddress::Scheme { address: whole(), scheme: scheme.to_owned() });
        }
        None => match address.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) && !begins_with_port(rest) => {
                return Err(BadAddress::Scheme { address: whole(), scheme: scheme.to_owned() });
            }
            _ => (unsaid, address),
        },
    };
    let scheme = scheme.name();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        // Not shown: it may hold a password.
        let host = authority.rsplit('@').next().unwrap_or_default();
        return Err(BadAddress::User(format!("...@{host}")));
    }
    let (host, port) = match authority.rfind(':').filter(|colon| !authority[*colon..].contains(']')) {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    };
    if !is_host(host) {
        return Err(BadAddress::Host(whole()));
    }
    let Some(port) = port else { return Err(BadAddress::NoPort { address: whole(), host: host.to_owned() }) };
    let number =
        port.parse::<u16>().ok().filter(|number| *number > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    let Some(number) = number else {
        return Err(BadAddress::Port { address: whole(), port: port.to_owned() });
    };
    let right = format!("{scheme}://{host}:{number}");
    match path {
        "" | "/" => Ok(right),
        rest => Err(BadAddress::Rest { address: whole(), rest: rest.to_owned(), right }),
    }
}

/// A word that could stand before `://`.
fn is_scheme(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|first| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
}

fn begins_with_port(rest: &str) -> bool {
    !rest.starts_with('/')
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // A zone may follow, as in fe80::1%eth0.
        let address = inner.split('%').next().unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '.' | '_');
    !host.is_empty() && host.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_or_holds_control_characters_is_refused_in_few_words() {
        let long = format!("http://u:hunter2@{}:1", "a".repeat(400));
        for address in
            [&long, "http://u:hunter2\u{7}@h:1", "B:\0\u{19}", "[::1%\u{1b}[2J]:7600", &"x".repeat(400)]
        {
            let said = coordinators(address, Scheme::Http).unwrap_err().to_string();
            assert!(said.len() < 600 && !said.contains("hunter2"), "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }

    #[test]
    fn addresses_are_read_as_they_are_meant() {
        let read = [
            ("http://10.0.0.5:7600", "http://10.0.0.5:7600"),
            ("http://10.0.0.5:7600/", "http://10.0.0.5:7600"),
            ("HTTP://node7:7600", "http://node7:7600"),
            ("node7:7600", "http://node7:7600"),
            ("http://[::1]:7600", "http://[::1]:7600"),
            ("a:1, b:2,", "http://a:1 http://b:2"),
            ("HTTPS://node7:7600", "https://node7:7600"),
            ("a:1,https://b:2", "http://a:1 https://b:2"),
        ];
        for (given, right) in read {
            assert_eq!(coordinators(given, Scheme::Http).unwrap().join(" "), right, "{given}");
        }
        assert_eq!(
            coordinators("node7:7600,http://b:2", Scheme::Https).unwrap(),
            ["https://node7:7600", "http://b:2"]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_would_be_right() {
        let refused = [
            ("grpc://node7:7600", "http://host:port"),
            ("unix:/run/btctl.sock", "http://host:port"),
            ("unix:///run/btctl.sock", "http://host:port"),
            ("http:/node7:7600", "http://host:port"),
            ("http://node7:7600/api", "http://node7:7600"),
            ("node7:7600?x=y", "http://node7:7600"),
            ("http://me:hush@node7:7600", "no password"),
            ("node7", "http://node7:7600"),
            ("http://node7", "http://node7:7600"),
            ("http://node7:0", "1 to 65535"),
            ("http://node7:76000", "1 to 65535"),
            ("http://node7:+80", "1 to 65535"),
            ("http://:7600", "http://host:port"),
            ("http://[::1:7600", "http://host:port"),
            ("::1:7600", "http://host:port"),
            ("no de:7600", "http://host:port"),
            ("", "http://host:port"),
        ];
        for (given, told) in refused {
            let error = coordinators(given, Scheme::Http).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hush"), "{given}: {error}");
        }
    }
}
