//! A disk that is soon full: a file system in memory.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::root::{as_root, run_as_root};

/// The disk. It is gone when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// A new disk of so many KiB, mounted.
    ///
    /// # Panics
    /// If this user may not mount.
    pub fn new(kib: u32) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let disk = Self { dir };
        std::fs::create_dir(disk.path()).expect("make a place for the disk");
        let options = format!("size={kib}k,mode=0777");
        let at = disk.path().display().to_string();
        let remedy = "run the tests as root, or as a user with `sudo` without a password";
        as_root(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", &at], remedy);
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let at = self.path().display().to_string();
        if let Err(error) = run_as_root(&["umount", "-l", &at]) {
            eprintln!("{at} is left mounted: {error}");
        }
    }
}
