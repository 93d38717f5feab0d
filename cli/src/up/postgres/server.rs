//! Where a private Postgres has its programs and its files, and how its programs are run.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::clean;
use super::user::{self, RunAs};
use crate::error::Error;
use crate::output::words;
use crate::postgres_dirs::bin_dirs;
use crate::state_dir::UpDir;

/// A socket's path must be shorter than this, the file name included.
const LONGEST_SOCKET: usize = 107;
const SOCKET_NAME: &str = "/.s.PGSQL.5432";
/// Where Debian, Red Hat and Homebrew have the server's programs, and what stands before the version there; the newest wins.
const PLACES: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/usr", ""), ("/opt/homebrew/opt", "postgresql@")];

/// An installed Postgres and the directory it is to work in.
#[derive(Clone, Debug)]
pub(in crate::up) struct Server {
    bin: PathBuf,
    dir: PathBuf,
    socket_dir: PathBuf,
    run_as: RunAs,
}

impl Server {
    /// Finds the programs, and makes the directory for whoever is to run them.
    pub(in crate::up) fn find(bin: Option<&Path>, state_dir: &UpDir) -> Result<Self, Error> {
        let bin = match bin {
            Some(bin) if bin.join("postgres").exists() => bin.to_owned(),
            Some(bin) => {
                return Err(Error::Usage(format!("{} holds no program `postgres`", bin.display())));
            }
            None => installed().ok_or_else(|| {
                Error::Failed(
                    "no Postgres server is installed: install one (Debian, Ubuntu: apt-get install postgresql; \
                     Fedora: dnf install postgresql-server), or name a running one with --database-url"
                        .to_owned(),
                )
            })?,
        };
        let dir = state_dir.postgres_dir();
        let owner = user::unprivileged()?;
        make_dir(&dir, owner)?;
        let socket_dir = socket_dir_of(&dir);
        make_dir(&socket_dir, owner)?;
        let run_as = user::run_as(owner, &dir)?;
        Ok(Self { bin, dir, socket_dir, run_as })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn new_data(&self) -> PathBuf {
        self.dir.join("data.new")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// A path as the server's programs see it.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        match (&self.run_as, path.strip_prefix(&self.dir)) {
            (RunAs::Bound { .. }, Ok(rest)) => Path::new(user::BOUND_AT).join(rest),
            _ => path.to_owned(),
        }
    }

    /// A program that works on the cluster's files, as the user that owns them. Ctrl-C in the terminal is not for it.
    pub(super) fn program(&self, name: &str) -> Result<Command, Error> {
        let mut command = match &self.run_as {
            RunAs::Myself => clean(self.bin.join(name)),
            RunAs::User(ids) => {
                let mut command = clean(self.bin.join(name));
                command.uid(ids.0).gid(ids.1);
                command
            }
            RunAs::Bound { ids, .. } => {
                // A mount of our own: the user can't get to the directory, because one above it is closed to others.
                let mut command = clean("unshare".into());
                command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
                command.arg(format!(
                    "mount --bind \"$1\" {at} && shift && exec setpriv --reuid {} --regid {} --clear-groups -- \"$@\"",
                    ids.0,
                    ids.1,
                    at = user::BOUND_AT
                ));
                command.arg("sh").arg(&self.dir).arg(self.bin.join(name));
                command
            }
        };
        command.current_dir("/").process_group(0);
        Ok(command)
    }

    /// A client's program, which only talks to the socket.
    pub(super) fn tool(&self, name: &str) -> Command {
        let mut command = clean(self.bin.join(name));
        command.arg("-h").arg(&self.socket_dir).current_dir("/");
        command
    }
}

pub(crate) fn installed() -> Option<PathBuf> {
    let plain = PLACES.map(|(root, _)| (0, Path::new(root).join("bin")));
    let found = bin_dirs(&PLACES).into_iter().chain(plain).filter(|(_, dir)| dir.join("initdb").exists());
    found.max().map(|(_, path)| path)
}

/// Makes a directory that only its owner may enter.
fn make_dir(dir: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Failed(format!("{} can't be made: {error}", dir.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let there = fs::symlink_metadata(dir).map_err(failed)?;
    let myself = rustix::process::geteuid().as_raw();
    let wanted = owner.map_or(myself, |(uid, _)| uid);
    if !there.is_dir() || (there.uid() != wanted && there.uid() != myself) {
        return Err(Error::Failed(format!("{} belongs to somebody else", dir.display())));
    }
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(dir, Some(uid), Some(gid)).map_err(failed)?;
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Where the server of a directory has its socket.
pub(in crate::up) fn socket_dir_of(dir: &Path) -> PathBuf {
    let own_sockets = dir.join("socket");
    match own_sockets.as_os_str().len() + SOCKET_NAME.len() < LONGEST_SOCKET {
        true => own_sockets,
        false => short_socket_dir(dir),
    }
}

/// A directory for the socket where the state directory's path is too long for one.
fn short_socket_dir(dir: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let digest = words::hex(&Sha256::digest(dir.as_os_str().as_bytes())[..8]);
    let uid = rustix::process::geteuid().as_raw();
    PathBuf::from(format!("/tmp/btctl-{uid}-{digest}"))
}
