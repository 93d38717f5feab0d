//! The key `notify`: who is told when a sweep has finished.
//!
//! An address may hold a secret in its path, as those of chats do. So it is shown without it, by [`fmt::Display`] and by
//! [`fmt::Debug`]; [`Receiver::written`] alone has all of it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use super::document::TextNode;
use super::error::{Error, suggestion};
use super::values::{list, parsed, text};

/// Most receivers of a sweep.
pub(super) const MAX_RECEIVERS: usize = 10;
/// Most characters of an address.
const MAX_ADDRESS: usize = 2048;
/// What SMTP takes before the `@`.
const MAX_MAILBOX: usize = 64;
const SLACK: &str = "slack+";
const SCHEMES: [&str; 5] = ["https", "http", "slack+https", "slack+http", "mailto"];

/// Someone who is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Receiver {
    written: String,
    channel: Channel,
}

/// How a receiver is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum Channel {
    /// A JSON document is posted there.
    Webhook(Url),
    /// A sentence is posted there, as Slack and Mattermost take it.
    Slack(Url),
    /// A mail goes to `NAME@HOST`.
    Mail(String),
}

impl Receiver {
    /// With all of its secrets.
    pub fn written(&self) -> &str {
        &self.written
    }

    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}

impl Channel {
    /// Where to connect to; none for a mail, which goes to the coordinator's own server.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Webhook(url) | Self::Slack(url) => Some(url),
            Self::Mail(_) => None,
        }
    }
}

impl FromStr for Receiver {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self, Error> {
        let length = written.chars().count();
        if length > MAX_ADDRESS {
            return Err(Error::new(format!(
                "an address in `notify` has {length} characters; {MAX_ADDRESS} are the most"
            )));
        }
        let Some((scheme, rest)) = written.split_once(':') else { return Err(no_address(written)) };
        if written.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(Error::new(format!(
                "{:?} has a space or a control character in it; write it as %20, or leave it out",
                mask_address(written)
            )));
        }
        let scheme = scheme.to_ascii_lowercase();
        let channel = match scheme.as_str() {
            "https" | "http" => Channel::Webhook(url(written)?),
            "slack+https" | "slack+http" => Channel::Slack(url(&written[SLACK.len()..])?),
            "mailto" => Channel::Mail(mail(rest)?),
            _ => {
                let hint = suggestion(&scheme, SCHEMES, "kinds of addresses");
                let told = format!("`notify` does not know {scheme:?}{hint}");
                return Err(Error::new(told));
            }
        };
        Ok(Self { written: written.to_owned(), channel })
    }
}

fn no_address(written: &str) -> Error {
    let short: String = written.chars().take(40).collect();
    Error::new(format!(
        "{short:?} is not an address; write https://HOST/PATH, slack+https://HOST/PATH or mailto:NAME@HOST"
    ))
}

fn url(text: &str) -> Result<Url, Error> {
    let fails = |why: &str| Error::new(format!("{:?} is not an address: {why}", mask_address(text)));
    let has_host = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with(['/', '?', '#', '\\']));
    if !has_host {
        return Err(fails("it has no host; write https://HOST/PATH"));
    }
    let mut url = Url::parse(text).map_err(|error| fails(&error.to_string()))?;
    url.set_fragment(None);
    match url.host() {
        Some(Host::Domain(name)) if name.trim_matches('.').is_empty() => Err(fails("it has no host")),
        Some(_) => Ok(url),
        None => Err(fails("it has no host")),
    }
}

/// `NAME@HOST`, of what no mail server takes for anything else.
fn mail(address: &str) -> Result<String, Error> {
    let short: String = address.chars().take(80).collect();
    let fails = |why: &str| {
        Error::new(format!(
            "{short:?} is not a mail address: {why}; write mailto:NAME@HOST, one address in each"
        ))
    };
    let Some((name, host)) = address.split_once('@') else { return Err(fails("it has no @")) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&'*+-/=^_`{|}~.".contains(c);
    let dots = |text: &str| text.starts_with('.') || text.ends_with('.') || text.contains("..");
    if name.is_empty() || name.len() > MAX_MAILBOX || !name.chars().all(plain) || dots(name) {
        return Err(fails("what stands before the @ has 1 to 64 letters, digits and signs such as . _ + -"));
    }
    let label = |label: &str| {
        let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(fails("what stands behind the @ is not the name of a host"));
    }
    Ok(address.to_owned())
}

/// An address without what may be secret in it: a user, a path, a query. Whatever it is, a part of it is shown.
pub fn mask_address(written: &str) -> String {
    let Some((scheme, rest)) = written.split_once("://") else {
        return written.chars().take(80).collect();
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let hidden = if path.len() > 1 { "/***" } else { path };
    let host: String = host.chars().take(80).collect();
    format!("{scheme}://{host}{hidden}")
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_address(&self.written))
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({self})")
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Webhook(_) => "Webhook",
            Self::Slack(_) => "Slack",
            Self::Mail(_) => "Mail",
        })
    }
}

/// The address of the host that a URL names by its address.
pub fn literal_host(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }
}

pub(super) fn read(node: &TextNode) -> Result<Vec<Receiver>, Error> {
    let mut receivers: Vec<Receiver> = Vec::new();
    let items = list(node, "notify", "a list of addresses, such as [https://ci.example/hook]")?;
    for item in items {
        let receiver: Receiver = parsed(item, &text(item, "notify")?, str::parse)?;
        receivers.push(receiver);
        check(&receivers).map_err(|told| Error::new(told).or_at(Some(&item.place)))?;
    }
    Ok(receivers)
}

/// Reads what a flag or a setting lists: addresses, separated by spaces.
pub fn parse_receivers(text: &str) -> Result<Vec<Receiver>, Error> {
    let receivers = text.split_whitespace().map(str::parse).collect::<Result<Vec<Receiver>, _>>()?;
    check(&receivers).map_err(Error::new)?;
    Ok(receivers)
}

pub(super) fn check(receivers: &[Receiver]) -> Result<(), String> {
    if receivers.len() > MAX_RECEIVERS {
        return Err(format!("`notify` has {} addresses; {MAX_RECEIVERS} is the limit", receivers.len()));
    }
    for (index, receiver) in receivers.iter().enumerate() {
        if receivers[..index].contains(receiver) {
            return Err(format!("`notify` has {receiver} twice; give it once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn read(lines: &str) -> Result<Manifest, String> {
        let text = format!("image: x\n{lines}\n");
        let draft = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml");
        draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_survives_the_wire() {
        let written = [
            "https://ci.example/hook?token=s3cret",
            "http://[2001:db8::1]:8080/x",
            "slack+https://hooks.slack.com/services/T0/B0/s3cret",
            "mailto:ann.o'neill+runs@quant.example",
        ];
        let manifest = read(&format!("notify: [\"{}\"]", written.join("\", \""))).unwrap();
        let sent = Manifest::from_json(&manifest.to_json()).unwrap();
        let read: Vec<_> = sent.policy.receivers().iter().map(Receiver::written).collect();
        assert_eq!(read, written);
        let told = format!("{:?} {:?}", sent.policy, sent.policy.receivers()[2].channel());
        assert!(!told.contains("s3cret"), "{told}");
        assert_eq!(sent.policy.receivers()[2].to_string(), "slack+https://hooks.slack.com/***");
        assert_eq!(mask_address("https://u:pw@h:1"), "https://h:1");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let many: Vec<_> = (0..11).map(|n| format!("http://h/{n}")).collect();
        let many = format!("[{}]", many.join(", "));
        let long = format!("['http://h/{}']", "a".repeat(2040));
        for (list, column, words) in [
            ("https://x.example", 9, "write a list of addresses"),
            ("[ann@x.example]", 10, "write https://HOST/PATH"),
            ("['ftp://x.example/a']", 10, "does not know \"ftp\""),
            ("['htps://x.example/a']", 10, "did you mean `https`?"),
            ("['https:///x']", 10, "it has no host"),
            ("['https://a b/s3cret']", 10, "a space or a control character"),
            ("[\"https://a/x\\ny\"]", 10, "a space or a control character"),
            ("['https://a:99999/s3cret']", 10, "invalid port"),
            ("['mailto:ann']", 10, "it has no @"),
            ("['mailto:a@x.example,b@x.example']", 10, "name of a host"),
            ("['mailto:a@x.example?cc=b@x.example']", 10, "name of a host"),
            ("['mailto:\"a b\"@x.example']", 10, "a space"),
            ("['mailto:a%0d%0aBcc:b@x.example']", 10, "before the @"),
            ("[7]", 10, "write a text"),
            ("['http://h/1', 'http://h/1']", 24, "twice"),
            (&many, 130, "`notify` has 11 addresses; 10 is the limit"),
            (&long, 10, "2048 are the most"),
        ] {
            let told = read(&format!("notify: {list}")).unwrap_err();
            assert!(told.starts_with(&format!("s.yaml:2:{column}")), "{list}: {told}");
            assert!(told.contains(words), "{list}: {told}");
            assert!(!told.contains("s3cret"), "{list}: {told}");
        }
    }

    #[test]
    fn an_empty_list_is_not_the_same_as_none() {
        assert_eq!(read("notify: []").unwrap().policy.notify, Some(Vec::new()));
        assert_eq!(read("").unwrap().policy.notify, None);
        assert_eq!(parse_receivers(" http://a/1  mailto:b@c ").unwrap().len(), 2);
        assert!(parse_receivers("http://a/1 nothing").is_err());
    }

    #[test]
    fn a_host_that_is_an_address_is_seen_however_it_is_written() {
        for (url, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
        ] {
            let receiver: Receiver = url.parse().unwrap();
            let host = literal_host(receiver.channel().url().unwrap());
            assert_eq!(host.map(|host| host.to_string()).as_deref(), Some(address), "{url}");
        }
    }
}
