//! The directory of a `btctl up`, and what lies where in it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};

use crate::error::Error;

/// Holds the settings that make clients find the coordinator.
pub(crate) const CLIENT_FILE: &str = "client.toml";

/// Holds the token that clients of the same user call with.
pub(crate) const TOKEN_FILE: &str = "up.token";

/// Where a `btctl up` keeps everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpDir {
    dir: PathBuf,
}

impl UpDir {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory that was asked for, made absolute, or the default one.
    pub(crate) fn of(asked: Option<PathBuf>) -> Result<Self, Error> {
        let dir = match asked {
            Some(dir) => std::path::absolute(&dir)
                .map_err(|error| Error::Usage(format!("{} is not a directory: {error}", dir.display())))?,
            None => Self::default_dir()?,
        };
        Ok(Self::new(dir))
    }

    /// `$XDG_STATE_HOME/btctl`; for root `/var/lib/btctl`, which other users' programs can be let into.
    pub(crate) fn default_dir() -> Result<PathBuf, Error> {
        if rustix::process::geteuid().is_root() {
            return Ok("/var/lib/btctl".into());
        }
        let dirs = choose_base_strategy()
            .map_err(|error| Error::Usage(format!("no home directory: {error}; use --state-dir")))?;
        let state = dirs.state_dir().unwrap_or_else(|| dirs.data_dir());
        Ok(state.join("btctl"))
    }

    pub(crate) fn is_default(&self) -> bool {
        Self::default_dir().is_ok_and(|dir| dir == self.dir)
    }

    /// The command that ends what runs here.
    pub(crate) fn down_command(&self) -> String {
        match self.is_default() {
            true => "btctl down".to_owned(),
            false => format!("btctl down --state-dir {}", self.dir.display()),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.dir.join("up.lock")
    }

    pub(crate) fn client_file(&self) -> PathBuf {
        self.dir.join(CLIENT_FILE)
    }

    /// The token of whoever runs this.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.dir.join(TOKEN_FILE)
    }

    /// The token of the agent that runs beside.
    pub(crate) fn agent_token_file(&self) -> PathBuf {
        self.dir.join("agent.token")
    }

    /// Certificates, where other machines are let in.
    pub(crate) fn tls_dir(&self) -> PathBuf {
        self.dir.join("tls")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.join("up.log")
    }

    /// The key of secrets, if no other is given.
    pub(crate) fn secrets_key(&self) -> PathBuf {
        self.dir.join("secrets.key")
    }

    pub(crate) fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(crate) fn agent_dir(&self) -> PathBuf {
        self.dir.join("agent")
    }

    pub(crate) fn postgres_dir(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    /// Makes the directory. As root it lets others through, not in: Postgres runs as somebody else.
    pub(crate) fn create(&self) -> Result<(), Error> {
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        let failed = |error| Error::Failed(format!("{} can't be made: {error}", self.dir.display()));
        if self.dir.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.dir).map_err(failed)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(mode)).map_err(failed)
    }

    /// Writes a file of settings, whole or not at all.
    pub(crate) fn write_toml(&self, name: &str, settings: &impl serde::Serialize) -> Result<(), Error> {
        let path = self.dir.join(name);
        let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("{}: {error}", path.display()));
        let text = toml::to_string(settings).map_err(|error| failed(&error))?;
        let new = self.dir.join(format!("{name}.new"));
        fs::write(&new, text).map_err(|error| failed(&error))?;
        fs::rename(&new, &path).map_err(|error| failed(&error))
    }
}
