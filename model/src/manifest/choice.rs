//! The keys with few answers: on_disconnect, pull, driver, containers, user.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, suggestion};

/// What an agent that can't reach a coordinator does with the job's container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    #[default]
    Keep,
    Stop,
}

/// When an agent asks the registry for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// When it does not have it.
    #[default]
    Missing,
    /// The first agent of a sweep always asks what the name stands for now.
    Always,
    Never,
}

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    #[default]
    Maximize,
    Minimize,
}

/// How many containers a sweep's jobs get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Containers {
    /// Each job one of its own.
    #[default]
    Each,
    /// Jobs that follow each other on an agent share one.
    Reuse,
    /// As with `Reuse`; each is a fork of a Python interpreter that has imported their libraries.
    Warm,
}

/// What a sweep's jobs run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    #[default]
    Container,
    /// Nothing: a plain process of the agent's user.
    Process,
}

/// How the jobs of a `sample` are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SampleMethod {
    /// Each as likely as any other.
    #[default]
    Random,
    /// Low-discrepancy sequences: evenly over all axes together.
    Sobol,
    Halton,
    /// A Latin hypercube: evenly over each axis.
    Lhs,
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

/// The words that a key's answers are written in.
macro_rules! words {
    ($choice:ident, $key:literal, $plural:literal: $($variant:ident => $word:literal),+) => {
        impl $choice {
            const ALL: &[Self] = &[$(Self::$variant),+];
            pub(in crate::manifest) const NAMES: &[&str] = &[$($word),+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $choice {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::ALL.iter().find(|choice| choice.name() == text).copied().ok_or_else(|| {
                    let hint = suggestion(text, Self::NAMES.iter().copied(), $plural);
                    Error::new(format!("`{}` has {text:?}{hint}", $key))
                })
            }
        }
    };
}

pub(super) use words;

words!(OnDisconnect, "on_disconnect", "choices": Keep => "keep", Stop => "stop");
words!(SampleMethod, "sample.method", "methods": Random => "random", Sobol => "sobol", Halton => "halton", Lhs => "lhs");
words!(Goal, "goals", "goals": Maximize => "maximize", Minimize => "minimize");
words!(Pull, "pull", "policies": Missing => "missing", Always => "always", Never => "never");
words!(Driver, "driver", "drivers": Container => "container", Process => "process");
words!(Containers, "containers", "choices": Each => "each", Reuse => "reuse", Warm => "warm");

impl fmt::Display for JobUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Image => f.pad("image"),
            Self::Ids { uid, gid } => write!(f, "{uid}:{gid}"),
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
        let error = "wait".parse::<OnDisconnect>().unwrap_err().to_string();
        assert_eq!(error, "`on_disconnect` has \"wait\"; the choices are keep, stop");
    }
}
