//! The first administrator: whoever holds the token in a file of the coordinator's machine.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use subtle::ConstantTimeEq;

use super::secret::{self, Made, ROOT, Shown};
use crate::queue::Key;

/// Bytes that the file may have.
const LARGEST: u64 = 1_000;

/// The SHA-256 of the administrator's token. Its 256 random bits can't be guessed, so that a slow hash would add nothing.
#[derive(Clone, Copy)]
pub(crate) struct Root(Key);

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root")
    }
}

impl Root {
    /// Reads the file, or makes it with a new token.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("--admin-token-file {}", path.display());
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let made = Made::new(Some(ROOT)).context("the system gives no random bytes")?;
                writeln!(file, "{}", made.text).and_then(|()| file.sync_all()).with_context(named)?;
                tracing::info!("a token for the administrator was written to {}", path.display());
                Ok(Self(secret::key(&made.text)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Self::read(path).with_context(named)
            }
            Err(error) => Err(error).with_context(named),
        }
    }

    /// Reads the file that [`of`](Self::of) made.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let about = std::fs::metadata(path)?;
        ensure!(about.is_file(), "it is not a file");
        if about.mode() & 0o077 != 0 {
            bail!(
                "others than its owner can read or write it (mode {:03o}); run `chmod 600 {}`, and replace the token if \
                 somebody may have read it",
                about.mode() & 0o777,
                path.display()
            );
        }
        ensure!(about.len() <= LARGEST, "it has {} bytes; it holds one token", about.len());
        let text = std::fs::read_to_string(path)?;
        let text = text.trim();
        match Shown::read(text) {
            Some(shown) if shown.id == ROOT => Ok(Self(secret::key(text))),
            _ => bail!(
                "it does not hold a token such as this program writes; remove it, and a new one is made"
            ),
        }
    }

    pub(crate) fn key(self) -> Key {
        self.0
    }

    /// Whether a token, by its SHA-256, is the administrator's.
    pub(crate) fn is(self, key: &Key) -> bool {
        self.0.ct_eq(key).into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_made_once_and_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let made = Root::of(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Root::of(&path).unwrap().0, made.0);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(made.is(&secret::key(text.trim())) && !made.is(&secret::key("x")));
        assert!(!format!("{made:?}").contains(text.trim()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = format!("{:#}", Root::of(&path).unwrap_err());
        assert!(refused.contains("chmod 600") && !refused.contains(text.trim()), "{refused}");
    }

    #[test]
    fn a_file_with_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        for content in ["", "hunter2", "btctl_root_12"] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let refused = format!("{:#}", Root::of(&path).unwrap_err());
            assert!(refused.contains("does not hold a token"), "{refused}");
            assert!(content.is_empty() || !refused.contains(content), "{refused}");
        }
    }
}
