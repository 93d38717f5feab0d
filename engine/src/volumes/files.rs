//! The files of an offered volume, by their paths. As with mounts, no link is followed, so nothing is named that lies
//! elsewhere.

use std::io;
use std::path::Path;

use bt_model::manifest::VolumeMount;
use globset::{GlobBuilder, GlobMatcher};

use super::{MountSource, Volumes};

/// Files that are named at most.
const MOST_FILES: usize = 100_000;
/// Files that are looked at, at most.
const MOST_LOOKED_AT: usize = 5_000_000;
/// Bytes of all names together.
const MOST_BYTES: usize = 8 << 20;

impl Volumes {
    /// The files of a volume whose paths below its root match a pattern, sorted. `*` and `?` match no slash, `**` does. A
    /// volume that is one file has that file. The error is a sentence for whoever asks, without the agent's name.
    pub fn files(&self, volume: &str, glob: &str) -> Result<Vec<String>, String> {
        let pattern = GlobBuilder::new(glob).literal_separator(true).build();
        let pattern = pattern.map_err(|error| format!("can't match {glob:?}: {}", error.kind()))?;
        let mount = VolumeMount { volume: volume.to_owned(), target: "/".to_owned(), read_only: true };
        match self.find(&mount)? {
            MountSource::Path(root) => matching(&root, &pattern.compile_matcher())
                .map_err(|why| format!("can't list {volume}: {why}")),
            MountSource::Engine(_) => Err(format!(
                "offers {volume} as a volume of the container engine, which can't be listed; only directories can"
            )),
        }
    }
}

fn matching(root: &Path, pattern: &GlobMatcher) -> Result<Vec<String>, String> {
    if root.is_file() {
        let name = root.file_name().and_then(|name| name.to_str());
        return Ok(name.filter(|name| pattern.is_match(name)).map(str::to_owned).into_iter().collect());
    }
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (looked_at, entry) in walkdir::WalkDir::new(root).follow_links(false).into_iter().enumerate() {
        let entry = entry.map_err(|error| io::Error::from(error).to_string())?;
        if looked_at > MOST_LOOKED_AT {
            return Err(format!("it has more than {MOST_LOOKED_AT} files"));
        }
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        if !pattern.is_match(path) {
            continue;
        }
        let name = path.to_str().ok_or_else(|| format!("the name of {} is not UTF-8", path.display()))?;
        bytes += name.len();
        if found.len() >= MOST_FILES || bytes > MOST_BYTES {
            return Err(format!(
                "more than {MOST_FILES} files match, or their names are longer than 8 MiB; narrow the pattern"
            ));
        }
        found.push(name.to_owned());
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_named_by_their_paths_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("prices");
        fs::create_dir_all(root.join("us")).unwrap();
        for name in ["GOOG.csv", "MSFT.csv", "README.md", "us/AAPL.csv"] {
            fs::write(root.join(name), "x").unwrap();
        }
        fs::write(dir.path().join("SECRET.csv"), "x").unwrap();
        symlink(dir.path().join("SECRET.csv"), root.join("LINK.csv")).unwrap();
        symlink(dir.path(), root.join("up")).unwrap();
        let offers = [format!("prices={}:ro", root.display()), "nfs=nfs-prices:ro".to_owned()];
        let volumes = Volumes::read(&offers, &[dir.path().display().to_string()]).unwrap();
        let files = |volume: &str, glob: &str| volumes.files(volume, glob);
        assert_eq!(files("prices", "*.csv").unwrap(), ["GOOG.csv", "MSFT.csv"]);
        assert_eq!(files("prices", "**/*.csv").unwrap(), ["GOOG.csv", "MSFT.csv", "us/AAPL.csv"]);
        assert_eq!(files("prices", "*/*.csv").unwrap(), ["us/AAPL.csv"]);
        assert!(files("prices", "*.parquet").unwrap().is_empty());
        let below = root.join("us").display().to_string();
        assert_eq!(files(&below, "*").unwrap(), ["AAPL.csv"]);
        assert_eq!(files(&root.join("GOOG.csv").display().to_string(), "*").unwrap(), ["GOOG.csv"]);
        for (volume, glob, part) in [
            ("pricse", "*", "offers no volume pricse"),
            ("nfs", "*", "which can't be listed"),
            ("prices", "[", "can't match \"[\""),
        ] {
            let error = files(volume, glob).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
