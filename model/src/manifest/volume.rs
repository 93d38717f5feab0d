//! Volumes, as docker's `-v` writes them, and paths in the container.

use std::fmt;
use std::str::FromStr;

use super::error::Error;

const MAX_PATH: usize = 4096;
/// Bytes of each part of a path.
pub(super) const MAX_NAME: usize = 255;

/// An agent's volume, or a path of its machine that its owner allows, at a path of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// The name under which the agent offers it, or an absolute path.
    pub volume: String,
    /// An absolute path in the container.
    pub target: String,
    pub read_only: bool,
}

impl FromStr for VolumeMount {
    type Err = Error;

    /// `prices:/data`, `prices:/data:ro` or `prices:/data:rw`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let fails = |why: String| {
            let short: String = text.chars().take(120).collect();
            Error::new(format!("the volume {short:?} {why}; write name:/path or name:/path:ro"))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (volume, target, read_only) = match parts[..] {
            [volume, target] => (volume, target, false),
            [volume, target, options] => (volume, target, is_read_only(options).map_err(fails)?),
            _ => return Err(fails("is not name, path and mode".to_owned())),
        };
        let target = absolute_path(target).map_err(fails)?;
        let volume = match volume.starts_with(['/', '.', '~']) {
            true => host_path(volume).map_err(fails)?,
            false if is_name(volume) => volume.to_owned(),
            false => {
                return Err(fails(format!(
                    "has the name {volume:?}, which is not made of letters, digits and `_.-`"
                )));
            }
        };
        Ok(Self { volume, target, read_only })
    }
}

/// What the options of docker and compose after the path mean here. The error completes a sentence.
fn is_read_only(options: &str) -> Result<bool, String> {
    let mut mode = None;
    for option in options.split(',') {
        match option {
            "ro" | "rw" => {
                if mode.replace(option).is_some_and(|before| before != option) {
                    return Err("is both ro and rw".to_owned());
                }
            }
            // What they ask for holds: btctl relabels nothing, copies nothing, and knows one consistency.
            "z" | "Z" | "consistent" | "cached" | "delegated" | "nocopy" | "volume-nocopy" | "private"
            | "rprivate" => {}
            "shared" | "rshared" | "slave" | "rslave" => {
                return Err(format!("has the option {option:?}; mounts are private here, so leave it out"));
            }
            "" => return Err("has an empty option".to_owned()),
            other => return Err(format!("has the option {other:?}, and there are ro and rw")),
        }
    }
    Ok(mode == Some("ro"))
}

impl fmt::Display for VolumeMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.read_only { ":ro" } else { "" };
        write!(f, "{}:{}{mode}", self.volume, self.target)
    }
}

/// A path of the agents' machines; which of them the job gets, their owners decide. The error completes a sentence.
fn host_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!(
            "starts with {path:?}, which depends on where one stands: name a volume that agents offer, or an absolute \
             path under what their owners allow"
        ));
    }
    absolute_path(path)
}

/// Checks what stands for a volume where nothing is mounted: its name, or a path of the agents' machines.
pub(super) fn check_name(volume: String) -> Result<String, Error> {
    let fails = |why: String| Error::new(format!("the volume {volume:?} {why}"));
    match volume.starts_with(['/', '.', '~']) {
        true => host_path(&volume).map_err(fails),
        false if is_name(&volume) => Ok(volume),
        false => {
            Err(fails("is no name of a volume: letters, digits and `_.-`, 63 characters at most".to_owned()))
        }
    }
}

/// `[A-Za-z0-9][A-Za-z0-9_.-]{0,62}`: names of sweeps and volumes.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Checks that the path is absolute, is not the root, and climbs nowhere; takes a trailing `/` off. The error completes
/// a sentence.
pub(super) fn absolute_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("has the path {path:?}, which does not start with `/`"));
    }
    if path.len() > MAX_PATH || path.contains(['\0', ':', '\n']) {
        return Err("has a path that no container can have".to_owned());
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(format!("has the path {path:?}, which goes up with `..`"));
    }
    if parts.is_empty() {
        return Err("has the root `/` as its path".to_owned());
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Checks that the path stays in its directory. The error completes a sentence.
pub(super) fn relative_path(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path.split('/').collect();
    let stays = parts.iter().all(|part| !["", ".", ".."].contains(part));
    if !stays || path.len() > MAX_PATH || path.contains('\0') {
        return Err(format!(
            "has {path:?}; it is a file's path below the results directory, such as metrics.json"
        ));
    }
    Ok(path.to_owned())
}

/// True when one of the paths is the other, or lies in it.
pub(super) fn overlaps(a: &str, b: &str) -> bool {
    is_within(a, b) || is_within(b, a)
}

/// True when `inner` is `outer`, or lies in it.
pub(super) fn is_within(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let error = text.parse::<VolumeMount>().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn volumes_are_names_at_paths() {
        let mount: VolumeMount = "prices:/data/:ro".parse().unwrap();
        assert_eq!(mount.to_string(), "prices:/data:ro");
        assert!(!"prices:/data".parse::<VolumeMount>().unwrap().read_only);
        assert_eq!("/srv/prices/:/data".parse::<VolumeMount>().unwrap().volume, "/srv/prices");
        refused("./prices:/data", "an absolute path");
        refused("/:/data", "the root");
        refused("/srv/../etc:/data", "goes up");
        refused("prices", "name, path and mode");
        refused("prices:data", "does not start with `/`");
        refused("prices:/", "the root");
        refused("prices:/a/../b", "goes up");
        for (options, read_only) in
            [("ro,z", true), ("Z", false), ("rw,cached", false), ("delegated,ro,nocopy,rprivate", true)]
        {
            let mount: VolumeMount = format!("prices:/data:{options}").parse().unwrap();
            assert_eq!(mount.read_only, read_only, "{options}");
        }
        refused("prices:/data:rx", "the option \"rx\"");
        refused("prices:/data:ro,rw", "both ro and rw");
        refused("prices:/data:ro,rshared", "mounts are private");
        refused("prices:/data:", "an empty option");
        refused(":/data", "the name \"\"");
    }

    #[test]
    fn paths_overlap_by_parts() {
        assert!(overlaps("/a", "/a/b") && overlaps("/a/b", "/a") && overlaps("/a", "/a"));
        assert!(!overlaps("/a", "/ab"));
    }
}
