//! A token that goes with each call.

use std::fmt;
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The variable that holds a token, and bytes of a file that may.
pub const VARIABLE: &str = "BTCTL_TOKEN";
const LARGEST: u64 = 1_000;

/// A connection whose calls say who makes them.
pub type Line = InterceptedService<Channel, Bearer>;

/// Where a token is to be found. It is read again for each new connection, so that a new token needs no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// Calls are made without one.
    #[default]
    None,
    /// [`VARIABLE`].
    Variable,
    File(PathBuf),
}

/// What goes with each call; nothing where there is no token.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer(***)" } else { "Bearer(none)" })
    }
}

impl TokenSource {
    /// A file if one is named; else the variable, if it is set.
    pub fn of(file: Option<&Path>) -> Self {
        match file {
            Some(file) => Self::File(file.to_owned()),
            None if std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty()) => Self::Variable,
            None => Self::None,
        }
    }

    pub fn is_some(&self) -> bool {
        *self != Self::None
    }

    /// Reads the token. The error says what is wrong with the file or the variable, and never what is in it.
    pub fn read(&self) -> Result<Bearer, String> {
        let (text, named) = match self {
            Self::None => return Ok(Bearer::default()),
            Self::Variable => {
                let text = std::env::var(VARIABLE).map_err(|_| format!("{VARIABLE} is not text"))?;
                (text, VARIABLE.to_owned())
            }
            Self::File(path) => {
                let named = format!("the token file {}", path.display());
                let about = std::fs::metadata(path).map_err(|error| format!("{named}: {error}"))?;
                if about.len() > LARGEST {
                    return Err(format!("{named} has {} bytes; it holds one token", about.len()));
                }
                let text = std::fs::read_to_string(path).map_err(|error| format!("{named}: {error}"))?;
                (text, named)
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{named} is empty; it holds one token, such as btctl_ID_SECRET"));
        }
        let value = MetadataValue::try_from(format!("Bearer {text}"));
        let mut value =
            value.map_err(|_| format!("{named} does not hold a token: it looks like btctl_ID_SECRET"))?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Of these addresses (`http://host:port`), those by which a token would leave this machine for all to read.
pub fn in_clear(addresses: &[String]) -> Vec<&str> {
    let leaves = |address: &&String| {
        let Some(rest) = address.strip_prefix("http://") else { return false };
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !is_loopback && host != "localhost"
    };
    addresses.iter().filter(leaves).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_token_and_it_is_never_shown() {
        let read = |name: &str, content: &str| {
            let path = std::env::temp_dir().join(format!("btctl-bearer-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            let read = TokenSource::File(path.clone()).read();
            std::fs::remove_file(path).unwrap();
            read
        };
        let mut bearer = read("good", "btctl_a_secret\n").unwrap();
        assert!(!format!("{bearer:?}").contains("secret"));
        let request = bearer.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer btctl_a_secret");
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
        for (name, content) in [("empty", " \n"), ("long", &"x".repeat(2_000)), ("lines", "a\nhunter2")] {
            let refused = read(name, content).unwrap_err();
            assert!(refused.contains("the token file") && !refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn only_what_leaves_the_machine_is_told() {
        let addresses = [
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost:1",
            "http://node7:1",
            "http://10.0.0.5:1",
        ];
        let addresses = addresses.map(str::to_owned);
        assert_eq!(in_clear(&addresses), ["http://node7:1", "http://10.0.0.5:1"]);
    }
}
