//! The keys with few answers: network, on_disconnect, user.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, suggestion};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    None,
    Bridge,
}

/// What an agent that can't reach a coordinator does with the job's container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    #[default]
    Keep,
    Stop,
}

/// Whom the container runs as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobUser {
    /// The agent's own user, or an unprivileged one where the agent is root.
    #[default]
    Auto,
    /// The image's.
    Image,
    Ids {
        uid: u32,
        gid: u32,
    },
}

impl Network {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bridge => "bridge",
        }
    }
}

impl OnDisconnect {
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for OnDisconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for JobUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Image => f.pad("image"),
            Self::Ids { uid, gid } => write!(f, "{uid}:{gid}"),
        }
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "bridge" => Ok(Self::Bridge),
            _ => {
                let hint = suggestion(text, ["none", "bridge"], "networks");
                Err(Error::new(format!("`network` has {text:?}{hint}")))
            }
        }
    }
}

impl FromStr for OnDisconnect {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "keep" => Ok(Self::Keep),
            "stop" => Ok(Self::Stop),
            _ => {
                let hint = suggestion(text, ["keep", "stop"], "choices");
                Err(Error::new(format!("`on_disconnect` has {text:?}{hint}")))
            }
        }
    }
}

impl FromStr for JobUser {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let ids = |text: &str| {
            let (uid, gid) = text.split_once(':')?;
            let id = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
            Some(Self::Ids { uid: id(uid)?, gid: id(gid)? })
        };
        match text {
            "auto" => Ok(Self::Auto),
            "image" => Ok(Self::Image),
            _ => ids(text).ok_or_else(|| {
                Error::new(format!(
                    "`user` has {text:?}; write auto, image, or uid:gid in numbers, such as \"1000:1000\""
                ))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_come_back_as_they_were_written() {
        for text in ["auto", "image", "1000:100"] {
            assert_eq!(text.parse::<JobUser>().unwrap().to_string(), text);
        }
        for text in ["root", "1000", "1000:", ":1", "+1:2", "4294967296:1"] {
            assert!(text.parse::<JobUser>().is_err(), "{text}");
        }
        let error = "brige".parse::<Network>().unwrap_err().to_string();
        assert_eq!(error, "`network` has \"brige\"; did you mean `bridge`?");
        let error = "wait".parse::<OnDisconnect>().unwrap_err().to_string();
        assert_eq!(error, "`on_disconnect` has \"wait\"; the choices are keep, stop");
    }
}
