//! Whom a private Postgres runs as: ourselves, or where we are root somebody without privileges.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// Where a cluster that its user can't get to is mounted, for its own processes only.
pub(super) const BOUND_AT: &str = "/mnt";

type Ids = (u32, u32);

#[derive(Clone, Debug)]
pub(super) enum RunAs {
    Myself,
    User(Ids),
    /// As a user who can't get to the directory otherwise than by a mount.
    Bound {
        ids: Ids,
    },
}

/// The uid and gid of the user to run as where we are root: `postgres`, which the packages make, or `nobody`.
pub(super) fn unprivileged() -> Result<Option<Ids>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")
        .map_err(|error| Error::Failed(format!("/etc/passwd can't be read: {error}")))?;
    let ids = |wanted: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            match fields[..] {
                [name, _, uid, gid, ..] if name == wanted => Some((uid.parse().ok()?, gid.parse().ok()?)),
                _ => None,
            }
        })
    };
    match ids("postgres").or_else(|| ids("nobody")) {
        Some(ids) => Ok(Some(ids)),
        None => Err(Error::Failed(
            "Postgres refuses to run as root, and there is neither a user `postgres` nor `nobody`; run btctl up as \
             another user, or name a running server with --database-url"
                .to_owned(),
        )),
    }
}

/// How to run as the owner of the directory. A directory above it may be closed to him, as root's home is.
pub(super) fn run_as(owner: Option<Ids>, dir: &Path) -> Result<RunAs, Error> {
    use std::os::unix::process::CommandExt;
    let Some(ids) = owner else { return Ok(RunAs::Myself) };
    // The only sure way to know whether somebody gets somewhere is to let him go.
    let tried = Command::new("/bin/true").uid(ids.0).gid(ids.1).current_dir(dir).status();
    if tried.is_ok_and(|status| status.success()) {
        return Ok(RunAs::User(ids));
    }
    let mount = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "mount", "--bind"])
        .arg(dir)
        .arg(BOUND_AT)
        .stdin(Stdio::null())
        .output();
    match mount {
        Ok(output) if output.status.success() => Ok(RunAs::Bound { ids }),
        _ => Err(Error::Failed(format!(
            "Postgres refuses to run as root, and uid {} can't get to {}: give others the right to pass through the \
             directories above it (chmod o+x), or choose another --state-dir, such as /var/lib/btctl",
            ids.0,
            dir.display()
        ))),
    }
}
