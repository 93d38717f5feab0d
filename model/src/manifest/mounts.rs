//! Which paths of a job's container are taken already: one table of what btctl, the container engine and its init mount
//! there themselves. Nothing that a manifest mounts is one of them, lies in one, or covers one. The working directory may
//! be a directory of the table, but does not lie in one that begins empty.

use super::definition::Manifest;
use super::error::Error;
use super::secrets::SECRETS_DIR;
use super::volume::{is_within, overlaps};

/// Holds the job's input file, and what else btctl shows to a job.
pub const INPUT_DIR: &str = "/btctl";
/// Where a job finds the caches that its sweep shares on its machine.
pub const SHARED_CACHE: &str = "/btctl/cache";
/// Holds time zones, where a manifest names one: the place that C libraries and Python look at last.
pub const ZONES_DIR: &str = "/etc/zoneinfo";

/// A path that is taken.
struct ReservedPath {
    path: &'static str,
    /// Completes "which ...".
    why: &'static str,
    is_dir: bool,
}

const fn dir(path: &'static str, why: &'static str) -> ReservedPath {
    ReservedPath { path, why, is_dir: true }
}

const fn file(path: &'static str, why: &'static str) -> ReservedPath {
    ReservedPath { path, why, is_dir: false }
}

const KERNELS: &str = "the container engine fills with the kernel's files";
const HOSTS: &str = "the container engine writes for each container";
const INIT: &str = "is the container engine's init";
const ENGINES: &str = "the container engine mounts";

const TAKEN: &[ReservedPath] = &[
    dir("/tmp", "btctl mounts as each job's own directory in memory"),
    dir(INPUT_DIR, "btctl mounts for the job's input"),
    dir(ZONES_DIR, "btctl mounts for time zones"),
    dir("/dev/shm", "the container engine mounts; `resources.shm` sets its size"),
    dir("/dev", KERNELS),
    dir("/proc", KERNELS),
    dir("/sys", KERNELS),
    file("/etc/hosts", HOSTS),
    file("/etc/hostname", HOSTS),
    file("/etc/resolv.conf", HOSTS),
    file("/etc/mtab", HOSTS),
    file("/etc/passwd", "btctl mounts with an entry for the job's user"),
    file("/etc/group", "btctl mounts with an entry for the job's group"),
    file("/.dockerenv", ENGINES),
    file("/sbin/docker-init", INIT),
    file("/usr/sbin/docker-init", INIT),
    // Podman's.
    file("/run/podman-init", INIT),
    file("/run/.containerenv", ENGINES),
    dir(SECRETS_DIR, "holds the job's secrets"),
    file("/var/run/podman-init", INIT),
    file("/var/run/.containerenv", ENGINES),
    dir("/var/run/secrets", ENGINES),
];

/// What a manifest puts at a path.
struct MountedPath<'m> {
    /// The manifest's key, with the number of the item where it is a list.
    key: String,
    /// As an error names it.
    what: String,
    path: &'m str,
    /// A path that is free.
    instead: &'static str,
    kind: MountKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MountKind {
    Volume,
    Memory,
    /// Begins empty, and is the job's or its sweep's.
    Own,
    /// A directory that was laid over the image.
    Laid,
}

/// Checks all that the manifest mounts, and its working directory. The error comes with the key that it belongs to.
pub(super) fn check(manifest: &Manifest) -> Result<(), (String, Error)> {
    let placed = placed(manifest);
    for one in &placed {
        if let Some((taken, how)) = TAKEN.iter().find_map(|taken| Some((taken, meets(one, taken)?))) {
            let MountedPath { key, what, path, instead, .. } = one;
            let told = match how {
                Meets::Is => format!("{what} is at {path}, which {}", taken.why),
                Meets::LiesIn => {
                    format!("{what} is at {path}, which lies in {}, which {}", taken.path, taken.why)
                }
                Meets::Covers => {
                    format!("{what} is at {path}, which covers {}, which {}", taken.path, taken.why)
                }
            };
            return Err((key.clone(), Error::new(format!("{told}; choose another path, such as {instead}"))));
        }
    }
    overlapping(&placed)?;
    working_dir(manifest, &placed)
}

enum Meets {
    Is,
    LiesIn,
    Covers,
}

fn meets(placed: &MountedPath<'_>, taken: &ReservedPath) -> Option<Meets> {
    let path = placed.path;
    match (is_within(taken.path, path), is_within(path, taken.path)) {
        // A size of its own for a directory in memory.
        (true, true) if placed.kind == MountKind::Memory && path == "/tmp" => None,
        (true, true) => Some(Meets::Is),
        (true, false) => Some(Meets::LiesIn),
        // Other directories in memory may cover what an engine mounts below them: it makes the place there.
        (false, true) if placed.kind == MountKind::Memory && is_run(path) => None,
        (false, true) => Some(Meets::Covers),
        (false, false) => None,
    }
}

/// The directories of running programs, which programs want to write to.
fn is_run(path: &str) -> bool {
    ["/run", "/var/run"].contains(&path)
}

fn placed(manifest: &Manifest) -> Vec<MountedPath<'_>> {
    let sandbox = &manifest.sandbox;
    let results = MountedPath {
        key: "results".to_owned(),
        what: "`results`".to_owned(),
        path: &manifest.results,
        instead: super::DEFAULT_RESULTS,
        kind: MountKind::Own,
    };
    let volumes = manifest.volumes.iter().enumerate().map(|(index, mount)| MountedPath {
        key: format!("volumes.{index}"),
        what: format!("the volume `{}`", mount.volume),
        path: &mount.target,
        instead: "/data",
        kind: MountKind::Volume,
    });
    let tmpfs = sandbox.tmpfs.iter().map(|tmpfs| MountedPath {
        key: "tmpfs".to_owned(),
        what: "the `tmpfs`".to_owned(),
        path: &tmpfs.path,
        instead: "/scratch",
        kind: MountKind::Memory,
    });
    let cache = sandbox.cache.iter().map(|path| MountedPath {
        key: "cache".to_owned(),
        what: "`cache`".to_owned(),
        path,
        instead: "/cache",
        kind: MountKind::Own,
    });
    let dev_mounts = sandbox.dev_mounts.iter().map(|mount| MountedPath {
        key: "dev_mount".to_owned(),
        what: "the `dev_mount`".to_owned(),
        path: &mount.target,
        instead: "/pkg",
        kind: MountKind::Laid,
    });
    [results].into_iter().chain(volumes).chain(tmpfs).chain(cache).chain(dev_mounts).collect()
}

/// Only a volume may lie in another volume, where the agent then looks for the place.
fn overlapping(placed: &[MountedPath<'_>]) -> Result<(), (String, Error)> {
    for (index, one) in placed.iter().enumerate() {
        let met = placed[..index].iter().find(|other| {
            overlaps(one.path, other.path) && (one.kind, other.kind) != (MountKind::Volume, MountKind::Volume)
        });
        if let Some(other) = met {
            let told = format!(
                "{} at {} overlaps with {} at {}; give one of them another path",
                one.what, one.path, other.what, other.path
            );
            return Err((one.key.clone(), Error::new(told)));
        }
    }
    Ok(())
}

/// The engine makes a working directory that is not there, as root. So it must be there before, which no directory is in
/// what begins empty.
fn working_dir(manifest: &Manifest, placed: &[MountedPath<'_>]) -> Result<(), (String, Error)> {
    let Some(path) = manifest.sandbox.working_dir.as_deref() else { return Ok(()) };
    let refused = |told: String| Err(("working_dir".to_owned(), Error::new(told)));
    let inside = |outer: &str| outer != path && is_within(outer, path);
    let taken = TAKEN.iter().find(|taken| match taken.is_dir {
        true => inside(taken.path) && TAKEN.iter().all(|exact| exact.path != path),
        false => is_within(taken.path, path),
    });
    if let Some(ReservedPath { path: outer, why, is_dir }) = taken {
        let place = match outer == &path {
            true => format!("is {path}, which {why}"),
            false => format!("is {path}, which lies in {outer}, which {why}"),
        };
        let remedy = match is_dir {
            true => format!("take {outer} itself, or a directory of the image such as /app"),
            false => "take a directory of the image such as /app".to_owned(),
        };
        return refused(format!("`working_dir` {place}; {remedy}"));
    }
    let begins_empty =
        |one: &&MountedPath<'_>| matches!(one.kind, MountKind::Memory | MountKind::Own) && inside(one.path);
    if let Some(outer) = placed.iter().find(begins_empty) {
        return refused(format!(
            "`working_dir` is {path}, which lies in {} at {}, where no directory is yet when the job starts; take {} itself",
            outer.what, outer.path, outer.path
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Manifest};

    #[track_caller]
    fn told(lines: &str) -> String {
        let text = format!("image: x\n{lines}\n");
        let read = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml").and_then(|draft| draft.finish());
        read.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[track_caller]
    fn refused(lines: &str, words: &[&str]) {
        let told = told(lines);
        assert!(words.iter().all(|word| told.contains(word)), "{lines}: {told:?}");
    }

    #[test]
    fn no_mount_is_lies_in_or_covers_what_is_taken() {
        for path in
            ["/tmp", "/tmp/x", "/proc", "/proc/self", "/sys", "/dev", "/dev/shm", "/dev/shm/x", "/btctl"]
        {
            refused(&format!("results: {path}"), &["s.yaml:2:", "`results`", path, "such as /results"]);
            refused(&format!("volumes: ['p:{path}']"), &["s.yaml:2:", "`p`", path, "such as /data"]);
            refused(&format!("cache: {path}"), &["s.yaml:2:", "`cache`", path]);
            if path != "/tmp" {
                refused(&format!("tmpfs: ['{path}']"), &["s.yaml:2:", "`tmpfs`", path]);
            }
        }
        for (path, covered) in [
            ("/etc", "/etc/"),
            ("/etc/hosts", "/etc/hosts"),
            ("/etc/resolv.conf", "writes for each container"),
            ("/etc/hostname/x", "/etc/hostname"),
            ("/etc/passwd", "the job's user"),
            ("/sbin", "/sbin/docker-init"),
            ("/usr", "/usr/sbin/docker-init"),
            ("/sbin/docker-init", "init"),
            ("/run", "/run/"),
            ("/run/secrets", "the job's secrets"),
            ("/run/secrets/token", "/run/secrets"),
            ("/var/run", "/var/run/"),
        ] {
            refused(&format!("results: {path}"), &["`results`", path, covered]);
            refused(&format!("volumes: ['p:{path}:ro']"), &["`p`", path, covered]);
            refused(&format!("cache: {path}"), &["`cache`", path, covered]);
        }
        refused("tmpfs: ['/etc']", &["covers /etc/"]);
        refused("tmpfs: ['/dev/shm:1GiB']", &["`resources.shm`"]);
    }

    #[test]
    fn free_paths_are_taken() {
        for lines in [
            "results: /out",
            "results: /tmpdir/x",
            "results: /var/tmp/out",
            "volumes: ['p:/etc/app:ro']",
            "volumes: ['p:/data:ro', 'q:/data/cache']",
            "volumes: ['q:/data/cache', 'p:/data:ro']",
            "tmpfs: ['/tmp:2GiB', '/run', '/scratch']",
            "tmpfs: [/var/run]",
            "working_dir: /",
            "working_dir: /tmp",
            "working_dir: /dev/shm",
            "working_dir: /results",
            "working_dir: /etc",
            "volumes: ['p:/data:ro']\nworking_dir: /data/src",
            "tmpfs: [/scratch]\nworking_dir: /scratch",
        ] {
            assert_eq!(told(lines), "", "{lines}");
        }
    }

    #[test]
    fn only_volumes_lie_in_each_other() {
        refused("volumes: ['p:/results/x']", &["`p`", "/results/x", "`results`"]);
        refused("volumes: ['p:/data']\nresults: /data/out", &["`p`", "/data/out"]);
        refused("volumes: ['p:/data']\ncache: /data/c", &["`cache`", "/data/c", "`p`"]);
        refused("tmpfs: [/scratch]\nresults: /scratch/x", &["`tmpfs`", "/scratch", "/scratch/x"]);
        refused("tmpfs: [/a, /a/b]", &["/a/b"]);
    }

    #[test]
    fn a_working_directory_is_there_before_the_job() {
        for (lines, words) in [
            ("working_dir: /tmp/x", "take /tmp itself"),
            ("working_dir: /proc/x", "/proc"),
            ("working_dir: /etc/hosts", "/etc/hosts"),
            ("working_dir: /etc/passwd/x", "/etc/passwd"),
            ("working_dir: /results/x", "take /results itself"),
            ("tmpfs: [/scratch]\nworking_dir: /scratch/x", "take /scratch itself"),
            ("cache: /cache\nworking_dir: /cache/x", "take /cache itself"),
        ] {
            refused(lines, &["`working_dir`", words]);
        }
    }

    #[test]
    fn what_was_queued_before_is_still_read() {
        let manifest = Manifest::parse(b"image: x\n", Format::Yaml, "s.yaml").unwrap().finish().unwrap();
        let old = Manifest { results: "/tmp".to_owned(), ..manifest };
        let read = Manifest::from_json(&old.to_json()).unwrap();
        assert_eq!(read, old);
        assert!(read.admit().unwrap_err().to_string().contains("/tmp"));
    }
}
