//! Files of the coordinator's machine that hold one token each, for their owner alone.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::secret::{Made, ROOT, Shown};

/// Bytes that such a file may have.
const LARGEST: u64 = 1_000;

/// Makes a file with a token for `--known-token`, for its owner alone, unless it is there.
pub fn make_token_file(path: &Path) -> anyhow::Result<()> {
    read_or_make(path, None).map(drop).with_context(|| path.display().to_string())
}

/// Makes a file with a token for `--admin-token-file`, for its owner alone, unless it is there.
pub fn make_admin_token_file(path: &Path) -> anyhow::Result<()> {
    read_or_make(path, Some(ROOT)).map(drop).with_context(|| path.display().to_string())
}

/// The token of the file, which is made with a new one if it is not there: with this id, or with one of its own.
pub(super) fn read_or_make(path: &Path, id: Option<&str>) -> anyhow::Result<String> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let made = Made::new(id).context("the system gives no random bytes")?;
            writeln!(file, "{}", made.text).and_then(|()| file.sync_all())?;
            tracing::info!("a new token was written to {}", path.display());
            Ok(made.text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error.into()),
    }
}

/// The token of a file that is there.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
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
    if Shown::read(text).is_none() {
        bail!("it does not hold a token such as this program writes; remove it, and a new one is made");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_made_once_and_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let made = read_or_make(&path, Some("root")).unwrap();
        assert!(made.starts_with("btctl_root_"), "{made}");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path, Some("root")).unwrap(), made);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = format!("{:#}", read_or_make(&path, None).unwrap_err());
        assert!(refused.contains("chmod 600") && !refused.contains(&made), "{refused}");
    }

    #[test]
    fn a_file_with_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        for content in ["", "hunter2", "btctl_root_12"] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let refused = format!("{:#}", read_or_make(&path, None).unwrap_err());
            assert!(refused.contains("does not hold a token"), "{refused}");
            assert!(content.is_empty() || !refused.contains(content), "{refused}");
        }
    }
}
