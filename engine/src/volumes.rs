//! What of the machine jobs may mount, and whether a job's user can use it.
//!
//! An owner offers directories, files and the engine's volumes under names, and trees of paths as they are. What a job
//! asks for is found in these offers and nowhere else, no link is followed below them, and nothing is ever made: an empty
//! directory where data should be is worse than an error.

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use bt_model::manifest::VolumeMount;
use bt_model::placement::covering;
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What no job ever gets: it would hand over the whole machine.
const FORBIDDEN: [&str; 4] = ["/proc", "/sys", "/dev", "/boot"];
/// Sockets of container engines: who can write to one is root on the machine.
const ENGINE_SOCKETS: [&str; 4] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
];

/// Something of the machine that jobs may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedVolume {
    pub source: MountSource,
    pub read_only: bool,
    pub fingerprint: Fingerprint,
}

/// Whether it is known what jobs have read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// Jobs wait until the volume has been read once.
    Asked,
    /// Read-only directories and files, if their owner says nothing: jobs wait for a moment only.
    Usual,
    /// Declined, or what jobs may write to.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A directory or a file, links resolved.
    Path(PathBuf),
    /// A volume of the container engine, by its name.
    Engine(String),
}

/// All that is offered: volumes by their names, and trees of paths by the absolute path that their owner wrote.
#[derive(Clone, Debug, Default)]
pub struct Volumes(BTreeMap<String, OfferedVolume>);

/// Who will use a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User<'g> {
    pub uid: u32,
    pub gid: u32,
    pub groups: &'g [u32],
}

impl Volumes {
    /// Reads the flags `--volume NAME=SOURCE[:ro[,fingerprint|,nofingerprint]]` and `--allow-host-path DIR[:ro]`.
    pub fn read(volumes: &[String], host_paths: &[String]) -> anyhow::Result<Self> {
        let mut offered = BTreeMap::new();
        for text in volumes {
            let (name, volume) = volume(text)?;
            let twice = offered.insert(name.clone(), volume).is_some();
            ensure!(!twice, "the volume {name} is offered twice");
        }
        for text in host_paths {
            let (path, Mount { read_only, fingerprint }) = mount(text);
            ensure!(path.starts_with('/'), "--allow-host-path must name an absolute directory, not {path:?}");
            ensure!(
                fingerprint != Some(true),
                "{path} can't have a fingerprint, because each job mounts another part of it; offer what jobs share with \
                 --volume NAME=DIR:ro"
            );
            let source = existing(path).with_context(|| format!("allow the host path {path}"))?;
            let path = path.trim_end_matches('/').to_owned();
            let fingerprint = Fingerprint::None;
            offered.insert(path, OfferedVolume { source: MountSource::Path(source), read_only, fingerprint });
        }
        Ok(Self(offered))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &OfferedVolume)> {
        self.0.iter()
    }

    /// What a job's mount stands for here. The error is a sentence for the job's owner, without the agent's name.
    pub fn find(&self, mount: &VolumeMount) -> Result<MountSource, String> {
        let wanted = mount.volume.as_str();
        let found = covering(self.0.keys().map(String::as_str), wanted);
        let found = found.and_then(|name| self.0.get_key_value(name));
        let (name, offered) = found.ok_or_else(|| format!("offers no volume {wanted}"))?;
        if offered.read_only && !mount.read_only {
            return Err(format!("offers {wanted} read-only; ask for {wanted}:{}:ro", mount.target));
        }
        match &offered.source {
            MountSource::Path(root) if name != wanted => {
                let rest = wanted[name.len()..].trim_start_matches('/');
                beneath(root, rest)
                    .map(MountSource::Path)
                    .map_err(|why| format!("can't give {wanted}: {why}"))
            }
            source => Ok(source.clone()),
        }
    }
}

/// Reads `NAME=SOURCE[:ro[,fingerprint|,nofingerprint]]`. A source with a slash is a path; one without is a volume of the engine, as in docker's `-v`.
fn volume(text: &str) -> anyhow::Result<(String, OfferedVolume)> {
    let form = || format!("the volume {text:?} is not of the form NAME=DIR[:ro[,nofingerprint]]");
    let (name, rest) = text.split_once('=').with_context(form)?;
    let valid = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    ensure!(!name.is_empty() && name.chars().all(valid), form());
    let (source, Mount { read_only, fingerprint }) = mount(rest);
    ensure!(!source.is_empty(), form());
    ensure!(
        read_only || fingerprint != Some(true),
        "the volume {name} can't have a fingerprint, because jobs may write to it; offer it read-only \
         ({name}={source}:ro,fingerprint)"
    );
    if !source.contains('/') {
        ensure!(source.chars().all(valid), form());
        ensure!(
            fingerprint != Some(true),
            "the volume {name} can't have a fingerprint, because it is a volume of the container engine; only directories and \
             files have one"
        );
        let (source, fingerprint) = (MountSource::Engine(source.to_owned()), Fingerprint::None);
        return Ok((name.to_owned(), OfferedVolume { source, read_only, fingerprint }));
    }
    ensure!(
        Path::new(source).is_absolute(),
        "the volume {name} must name an absolute directory or a volume of the container engine, not {source:?}"
    );
    let source = existing(source).with_context(|| format!("offer the volume {name}"))?;
    let fingerprint = match fingerprint {
        Some(true) => Fingerprint::Asked,
        None if read_only => Fingerprint::Usual,
        None | Some(false) => Fingerprint::None,
    };
    Ok((name.to_owned(), OfferedVolume { source: MountSource::Path(source), read_only, fingerprint }))
}

/// What stands behind the last colon.
#[derive(Default)]
struct Mount {
    read_only: bool,
    /// Absent: not said.
    fingerprint: Option<bool>,
}

fn mount(text: &str) -> (&str, Mount) {
    let Some((source, options)) = text.rsplit_once(':') else { return (text, Mount::default()) };
    let mut mount = Mount::default();
    for option in options.split(',') {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "fingerprint" => mount.fingerprint = Some(true),
            "nofingerprint" => mount.fingerprint = Some(false),
            // A colon of the source itself.
            _ => return (text, Mount::default()),
        }
    }
    (source, mount)
}

/// A directory or file that is there and may be offered, links resolved.
fn existing(path: &str) -> anyhow::Result<PathBuf> {
    let source = fs::canonicalize(path).with_context(|| format!("find {path}"))?;
    let kind = fs::metadata(&source).with_context(|| format!("look at {path}"))?;
    ensure!(kind.is_dir() || kind.is_file(), "{path} is neither a directory nor a file");
    if let Some(why) = forbidden(&source) {
        bail!("{path} can't be offered: {why}");
    }
    Ok(source)
}

/// Why a path, links resolved, is never given to a job.
fn forbidden(source: &Path) -> Option<String> {
    if source == Path::new("/") || FORBIDDEN.iter().any(|root| source.starts_with(root)) {
        return Some("it would hand the whole machine to jobs".to_owned());
    }
    let chosen = std::env::var("DOCKER_HOST").ok();
    let chosen = chosen.as_deref().and_then(|host| host.strip_prefix("unix://"));
    let sockets = ENGINE_SOCKETS.into_iter().chain(chosen).filter_map(|socket| fs::canonicalize(socket).ok());
    let mut held = sockets.filter(|socket| socket.starts_with(source));
    held.next().map(|socket| {
        format!("it holds {}, with which a job could do anything on the machine", socket.display())
    })
}

/// What lies at `rest` below `root`, without following any link.
pub fn beneath(root: &Path, rest: &str) -> Result<PathBuf, String> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let top = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let top = top.map_err(|errno| format!("{}: {errno}", root.display()))?;
    let opened = rustix::fs::openat2(&top, rest, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags);
    match opened {
        Ok(_) => {}
        Err(Errno::NOENT) => return Err("it is not there, and is not made".to_owned()),
        Err(Errno::LOOP | Errno::XDEV) => {
            return Err("there is a link in it, and links are not followed".to_owned());
        }
        Err(errno) => return Err(errno.to_string()),
    }
    let path = root.join(rest);
    forbidden(&path).map_or(Ok(path), Err)
}

/// Whether `user` can read, and write if asked, what is at `path`. The error names the path, the user, the mode and
/// what to do about it.
pub fn probe(path: &Path, user: &User<'_>, write: bool) -> Result<(), String> {
    if !path.exists() {
        return Err(format!("{} is not there any more, and is not made", path.display()));
    }
    if may_use(path, user, write) {
        return Ok(());
    }
    let (what, letters) = if write { ("written to", "rwx") } else { ("read", "rx") };
    let Ok(found) = fs::metadata(path) else {
        return Err(format!("{} can't be looked at", path.display()));
    };
    let (path, mode) = (path.display(), found.mode() & 0o7777);
    Err(format!(
        "{path} can't be {what} by uid {}, gid {}: it belongs to {}:{} and has mode {mode:04o}. Let the machine's owner run \
         `setfacl -m u:{}:{letters} {path}`, or set `user` or `groups` in the manifest to one that may",
        user.uid,
        user.gid,
        found.uid(),
        found.gid(),
        user.uid,
    ))
}

/// Asks the kernel as that user, where this process may; else goes by owners and modes. Only what is mounted itself counts:
/// nobody in a container passes through the directories above it.
fn may_use(path: &Path, user: &User<'_>, write: bool) -> bool {
    let is_dir = path.is_dir();
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if own == (user.uid, user.gid) {
        let mut access = Access::READ_OK;
        access.set(Access::EXEC_OK, is_dir);
        access.set(Access::WRITE_OK, write);
        return rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    }
    let bits = 0o4 | if is_dir { 0o1 } else { 0 } | if write { 0o2 } else { 0 };
    let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    if let (0, true, Ok(opened)) = (own.0, user.groups.is_empty(), opened) {
        let mut tests = vec!["-r"];
        tests.extend(is_dir.then_some("-x"));
        tests.extend(write.then_some("-w"));
        let asked = tests.into_iter().map(|test| {
            let mut command = Command::new("/usr/bin/test");
            command.args([test, "/proc/self/fd/0"]).uid(user.uid).gid(user.gid).current_dir("/");
            let opened = opened.try_clone()?;
            command.stdin(opened).stdout(Stdio::null()).stderr(Stdio::null()).status()
        });
        // Without that program, owners and modes are all there is to go by.
        if let Ok(answers) = asked.collect::<Result<Vec<_>, _>>() {
            return answers.iter().all(|answer| answer.success());
        }
    }
    by_mode(path, user, bits)
}

fn by_mode(path: &Path, user: &User<'_>, bits: u32) -> bool {
    if user.uid == 0 {
        return true;
    }
    let Ok(found) = fs::metadata(path) else { return false };
    let granted = if found.uid() == user.uid {
        found.mode() >> 6
    } else if found.gid() == user.gid || user.groups.contains(&found.gid()) {
        found.mode() >> 3
    } else {
        found.mode()
    };
    granted & bits == bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn check(text: &str, expected: &str) {
        let told = match volume(text) {
            Ok((name, volume)) => format!("{name} {:?} {}", volume.source, volume.read_only),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn volumes_are_checked_before_anything_starts() {
        check("prices=/usr:ro", "prices Path(\"/usr\") true");
        check("prices=/usr", "prices Path(\"/usr\") false");
        check("prices=nfs-prices:ro", "prices Engine(\"nfs-prices\") true");
        check("limits=/etc/passwd:ro", "Path(\"/etc/passwd\") true");
        check("prices=/usr:ro,fingerprint", "prices Path(\"/usr\") true");
        check("prices=/usr:fingerprint", "(prices=/usr:ro,fingerprint)");
        check("prices=/usr:rw,fingerprint", "because jobs may write to it");
        check("prices=nfs-prices:ro,fingerprint", "a volume of the container engine");
        check("prices=/usr:ro,fingerprnt", "find /usr:ro,fingerprnt");
        check("prices", "NAME=DIR[:ro[,nofingerprint]]");
        check("prices=", "NAME=DIR[:ro[,nofingerprint]]");
        check("=/usr", "NAME=DIR[:ro[,nofingerprint]]");
        check("p=usr/x", "absolute directory");
        check("p=/", "the whole machine");
        check("p=/usr/..", "the whole machine");
        check("p=/proc/self", "the whole machine");
        check("p=/does/not/exist", "find /does/not/exist");
        check("p=/dev/null", "neither a directory nor a file");
    }

    #[test]
    fn what_jobs_can_only_read_has_a_fingerprint_unless_it_is_declined() {
        let of = |text: &str| volume(text).unwrap().1.fingerprint;
        assert_eq!(of("prices=/usr:ro"), Fingerprint::Usual);
        assert_eq!(of("prices=/usr:ro,fingerprint"), Fingerprint::Asked);
        assert_eq!(of("prices=/usr:ro,nofingerprint"), Fingerprint::None);
        assert_eq!(of("prices=/usr"), Fingerprint::None);
        assert_eq!(of("prices=/usr:nofingerprint"), Fingerprint::None);
        assert_eq!(of("prices=nfs-prices:ro"), Fingerprint::None);
    }

    #[test]
    fn what_holds_an_engines_socket_is_never_offered() {
        if fs::canonicalize("/var/run/docker.sock").is_ok() {
            check("p=/var/run", "could do anything");
            check("p=/run", "could do anything");
        }
    }

    #[test]
    fn host_paths_are_found_below_what_is_allowed_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("/etc", dir.path().join("a/link")).unwrap();
        let volumes = Volumes::read(&[], &[format!("{root}/a:ro")]).unwrap();
        let find = |path: &str| volumes.find(&format!("{root}/{path}:/data:ro").parse().unwrap());
        assert_eq!(find("a/b"), Ok(MountSource::Path(dir.path().join("a/b"))));
        assert_eq!(find("a"), Ok(MountSource::Path(dir.path().join("a"))));
        assert!(find("a/link").unwrap_err().contains("links are not followed"));
        assert!(find("a/link/ssh").unwrap_err().contains("links are not followed"));
        assert!(find("a/none").unwrap_err().contains("not there"));
        assert!(find("ab").unwrap_err().contains("offers no volume"));
        let write = volumes.find(&format!("{root}/a/b:/data").parse().unwrap());
        assert!(write.unwrap_err().contains("read-only"));
    }

    #[test]
    fn a_probe_names_path_user_mode_and_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = User { uid: 54321, gid: 54321, groups: &[] };
        let told = probe(&closed, &stranger, false).unwrap_err();
        for part in [closed.to_str().unwrap(), "uid 54321", "mode 0700", "setfacl -m u:54321:rx"] {
            assert!(told.contains(part), "{told}");
        }
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(probe(&closed, &stranger, false), Ok(()));
        assert!(probe(&closed, &stranger, true).unwrap_err().contains("written to"));
        let group = fs::metadata(&closed).unwrap().gid();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(probe(&closed, &User { groups: &[group], ..stranger }, false), Ok(()));
        // What lies above is of no importance in a container.
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(probe(&closed, &stranger, false), Ok(()));
    }
}
