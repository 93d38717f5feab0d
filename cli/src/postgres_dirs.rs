//! Where packages put Postgres's programs: a directory for each version.

use std::fs;
use std::path::PathBuf;

/// The `bin` directories below these places, each with its version; what stands before the version in a directory's name is
/// given with each place.
pub(crate) fn bin_dirs(places: &[(&str, &str)]) -> Vec<(u32, PathBuf)> {
    let mut dirs = Vec::new();
    for (root, prefix) in places {
        for entry in fs::read_dir(root).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = name.strip_prefix(prefix).and_then(|rest| rest.parse().ok()) {
                dirs.push((version, entry.path().join("bin")));
            }
        }
    }
    dirs
}
