//! What writers that were killed left in a directory: files that never got their names. In a bucket there are none; parts of
//! unfinished uploads are the provider's to remove.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Location, Store, Stored};

impl Store {
    /// The files below a directory that were begun and have no name yet. Each is named as the file would be.
    pub async fn half_written(&self, dir: &str) -> Result<Vec<HalfWritten>, Error> {
        let Location::Directory(root) = self.location() else { return Ok(Vec::new()) };
        let (root, below, named) = (root.clone(), dir.to_owned(), dir.to_owned());
        let found = tokio::task::spawn_blocking(move || find(&root, &below)).await;
        let failed = |why: String| Error::Access { path: named.clone(), why };
        found.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }

    /// Removes one. Fine if it is gone, or whole by now.
    pub async fn remove_half_written(&self, file: &HalfWritten) -> Result<(), Error> {
        match tokio::fs::remove_file(&file.at).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Access { path: file.file.path.clone(), why: error.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// A file that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfWritten {
    at: PathBuf,
    /// As it would be, and as much of it as there is.
    pub file: Stored,
}

fn find(root: &Path, below: &str) -> io::Result<Vec<HalfWritten>> {
    let mut found = Vec::new();
    let mut dirs = vec![root.join(below)];
    while let Some(dir) = dirs.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // Of a link this is the link itself; one that is gone meanwhile has got its name.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let at = entry.path();
            let Some(path) = at.strip_prefix(root).ok().and_then(|path| path.to_str()).and_then(begun) else {
                continue;
            };
            let (path, size, modified) = (path.to_owned(), metadata.len(), metadata.modified()?);
            found.push(HalfWritten { at, file: Stored { path, size, modified } });
        }
    }
    Ok(found)
}

/// The name without the `#` and the number that mark a file that is being written; long names, which are
/// written aside, keep what they have.
fn begun(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some((whole, number)) = path.rsplit_once('#')
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(whole);
    }
    let digits = name.strip_prefix(crate::create::ASIDE)?;
    (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_their_names_are_told() {
        assert_eq!(begun("s/0/1/a.pck#1"), Some("s/0/1/a.pck"));
        assert_eq!(begun("s/0/1/.btctl-0123456789abcdef"), Some("s/0/1/.btctl-0123456789abcdef"));
        assert_eq!(begun("s/0/1/.btctl-0123456789abcdef#2"), Some("s/0/1/.btctl-0123456789abcdef"));
        for whole in ["s/0/1/a.pck", "s/0/1/a#b", "s/0#1/x", "s/0/1/a#", "s/0/1/.btctl-notes"] {
            assert_eq!(begun(whole), None, "{whole}");
        }
    }
}
