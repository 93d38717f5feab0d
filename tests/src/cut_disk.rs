//! A disk whose power can be cut: an ext4 file system in a file, on a loop device. What was not synced when the power went
//! is gone, as on a real machine: the file system is shut down as xfstests' `godown` does it, so that nothing of what waits
//! in memory is ever written.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::root::{as_root, run_as_root};
use crate::wait_until;

/// Bytes of the disk; the file takes what is written.
const SIZE: u64 = 2 << 30;
/// The journal of the file system is committed when somebody asks for it, and not by itself.
const OPTIONS: &str = "commit=600";
/// `FS_IOC_SHUTDOWN` (`_IOR('X', 125, u32)`) with the flag that leaves the file system's journal unwritten.
const SHUT_DOWN: &str = r#"open(my $file, "<", $ARGV[0]) or die "$!\n"; my $flag = pack("L", 2);
    ioctl($file, 0x8004587d, $flag) or die "$!\n""#;

/// The disk. It is gone when it is dropped.
#[derive(Debug)]
pub struct CutDisk {
    dir: TempDir,
    /// The loop device.
    device: String,
}

impl CutDisk {
    /// A new disk, mounted.
    ///
    /// # Panics
    /// If the machine has no loop devices, or this user may not mount; the message says what to allow.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let mut disk = Self { dir, device: String::new() };
        let image = std::fs::File::create(disk.image()).expect("make the disk's file");
        image.set_len(SIZE).expect("make the disk's file");
        std::fs::create_dir(disk.path()).expect("make a place for the disk");
        let image = disk.image().display().to_string();
        as_root(&["mkfs.ext4", "-q", "-F", &image], "install e2fsprogs");
        disk.mount();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        as_root(&["chown", &format!("{uid}:{gid}"), &disk.at()], "see why");
        std::fs::write(disk.switch(), "").expect("write to the disk");
        std::fs::File::open(disk.switch()).and_then(|file| file.sync_all()).expect("sync the disk");
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn at(&self) -> String {
        self.path().display().to_string()
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// A file by which the file system is addressed.
    fn switch(&self) -> PathBuf {
        self.path().join("switch")
    }

    fn mount(&mut self) {
        let (image, at) = (self.image().display().to_string(), self.at());
        let remedy = "this test needs loop devices (/dev/loop-control, /dev/loop0 ...) and the right to mount: run it as \
                      root, or as a user with `sudo` without a password; in a container, pass the devices in \
                      (--device /dev/loop-control --device /dev/loop0 ... --cap-add SYS_ADMIN)";
        // Another device each time: one that somebody still holds would be the file system that was shut down.
        self.device = as_root(&["losetup", "--find", "--show", &image], remedy);
        as_root(&["mount", "-t", "ext4", "-o", OPTIONS, &self.device, &at], remedy);
    }

    fn detach(&self) {
        if let Err(error) = run_as_root(&["losetup", "--detach", &self.device]) {
            eprintln!("{} is left attached: {error}", self.device);
        }
    }

    /// Cuts the power: from now on nothing reaches the disk.
    pub fn cut(&self) {
        let switch = self.switch().display().to_string();
        as_root(&["perl", "-e", SHUT_DOWN, &switch], "this test needs a kernel whose ext4 can be shut down");
    }

    /// Gives it power again. Nobody may have a file on it open.
    pub fn restore(&mut self) {
        wait_until("the disk is free", || run_as_root(&["umount", &self.at()]).ok());
        self.detach();
        self.mount();
    }
}

impl Default for CutDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for CutDisk {
    fn drop(&mut self) {
        if let Err(error) = run_as_root(&["umount", "-l", &self.at()]) {
            eprintln!("{} is left mounted: {error}", self.at());
        }
        self.detach();
    }
}
