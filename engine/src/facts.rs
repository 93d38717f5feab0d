//! What an engine tells of itself and of the images that it has.

use std::collections::BTreeMap;

use crate::Error;
use crate::machine::ARCHITECTURE;
use crate::shared_paths::SharedPaths;

/// What an engine says that it can do. What it does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    pub cpus: Option<u32>,
    pub memory_bytes: Option<u64>,
    /// Names of OCI runtimes.
    pub runtimes: Vec<String>,
    /// It has the network that jobs may ask for.
    pub has_bridge: bool,
    /// It can give gpus to containers.
    pub has_gpus: bool,
    /// What it can mount of this process's files.
    pub shared: SharedPaths,
}

/// An image that is on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    pub id: String,
    /// By which registries know it: `name@sha256:...`.
    pub digests: Vec<String>,
    /// What it is made for, as `linux` and `amd64`; empty if it does not say.
    pub os: String,
    pub arch: String,
    /// What it runs by itself.
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// Where it runs it; empty if it does not say.
    pub working_dir: String,
    /// Paths where the engine mounts an empty volume, if nothing else is mounted there (`VOLUME`).
    pub volumes: Vec<String>,
    /// The variables that it sets (`ENV`).
    pub env: BTreeMap<String, String>,
    /// The user that it names, as it names it; empty if it names none (`USER`).
    pub user: String,
}

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageFile {
    Absent,
    Text(String),
    /// It is there, and is a link, too large, or no text.
    Unreadable,
}

impl ImageFacts {
    /// An image for another kind of machine would end in an `exec format error` at best.
    pub fn check_platform(&self) -> Result<(), Error> {
        let emulated =
            std::path::Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{}", self.arch)).exists();
        let runs = self.arch.is_empty() || self.arch == ARCHITECTURE || emulated;
        match runs && (self.os.is_empty() || self.os == "linux") {
            true => Ok(()),
            false => Err(Error::NoSuchImage {
                image: self.id.clone(),
                message: format!(
                    "it is made for {}/{}, and this machine is linux/{ARCHITECTURE}; with `platform: {}/{}` in the manifest \
                     its jobs wait for a machine that can run it",
                    self.os, self.arch, self.os, self.arch
                ),
            }),
        }
    }
}

impl ImageFile {
    /// What is in it, nothing if it is absent; `None` if that can't be known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Absent => Some(""),
            Self::Text(text) => Some(text),
            Self::Unreadable => None,
        }
    }
}

/// What was seen in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    pub passwd: ImageFile,
    pub group: ImageFile,
    /// It has the path that was asked for.
    pub has_path: bool,
}

/// What an image is, for people.
#[derive(Clone, Debug, Default)]
pub struct ImageDetails {
    pub id: String,
    /// Names and values.
    pub size_bytes: u64,
    pub facts: Vec<(&'static str, String)>,
    /// What a careful owner would change.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_kind_of_machine_is_refused_in_a_sentence() {
        let facts = |arch: &str| ImageFacts {
            id: "sha256:00".into(),
            digests: Vec::new(),
            os: "linux".into(),
            arch: arch.into(),
            ..ImageFacts::default()
        };
        assert!(facts(ARCHITECTURE).check_platform().is_ok());
        let told = facts("s390x").check_platform().unwrap_err().to_string();
        assert!(told.contains("made for linux/s390x"), "{told}");
    }
}
