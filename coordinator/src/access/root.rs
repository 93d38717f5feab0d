//! The first administrator: whoever holds the token in a file of the coordinator's machine.

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};
use subtle::ConstantTimeEq;

use super::secret::{self, ROOT, Shown};
use super::token_file;
use crate::queue::Key;

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
        token_file::read_or_make(path, Some(ROOT)).with_context(named)?;
        Self::read(path).with_context(named)
    }

    /// Reads the file that [`of`](Self::of) made.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = token_file::read(path)?;
        let is_root = Shown::read(&text).is_some_and(|shown| shown.id == ROOT);
        ensure!(is_root, "it holds a token, and not an administrator's; remove it, and a new one is made");
        Ok(Self(secret::key(&text)))
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
    use super::*;

    #[test]
    fn the_administrators_token_is_known_again_and_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let made = Root::of(&path).unwrap();
        assert_eq!(Root::of(&path).unwrap().0, made.0);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(made.is(&secret::key(text.trim())) && !made.is(&secret::key("x")));
        assert!(!format!("{made:?}").contains(text.trim()));
    }

    #[test]
    fn the_token_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.token");
        token_file::read_or_make(&path, None).unwrap();
        let refused = format!("{:#}", Root::of(&path).unwrap_err());
        assert!(refused.contains("not an administrator's"), "{refused}");
    }
}
