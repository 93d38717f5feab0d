//! What an engine tells of itself and of the images that it has.

use std::collections::BTreeMap;

/// What an engine says that it can do. What it does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    pub(crate) cpus: Option<u32>,
    pub(crate) memory_bytes: Option<u64>,
    /// Names of OCI runtimes.
    pub(crate) runtimes: Vec<String>,
    /// It has the network that jobs may ask for.
    pub(crate) has_bridge: bool,
    /// It can give gpus to containers.
    pub(crate) has_gpus: bool,
}

/// An image that is on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageFacts {
    pub(crate) id: String,
    /// By which registries know it: `name@sha256:...`.
    pub(crate) digests: Vec<String>,
    /// What it is made for, as `linux` and `amd64`; empty if it does not say.
    pub(crate) os: String,
    pub(crate) arch: String,
    /// What it runs by itself.
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    /// Where it runs it; empty if it does not say.
    pub(crate) working_dir: String,
    /// Paths where the engine mounts an empty volume, if nothing else is mounted there (`VOLUME`).
    pub(crate) volumes: Vec<String>,
    /// The variables that it sets (`ENV`).
    pub(crate) env: BTreeMap<String, String>,
    /// The user that it names, as it names it; empty if it names none (`USER`).
    pub(crate) user: String,
}

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageFile {
    Absent,
    Text(String),
    /// It is there, and is a link, too large, or no text.
    Unreadable,
}

impl ImageFile {
    /// What is in it, nothing if it is absent; `None` if that can't be known.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Absent => Some(""),
            Self::Text(text) => Some(text),
            Self::Unreadable => None,
        }
    }
}

/// What was seen in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peek {
    pub(crate) passwd: ImageFile,
    pub(crate) group: ImageFile,
    /// It has the path that was asked for.
    pub(crate) has_path: bool,
}
