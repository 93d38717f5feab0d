//! What a job may leave behind, and what becomes of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn root() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.outputs.iter().map(|output| output.path.as_str()).collect()
}

fn text(root: &Path, path: &str) -> String {
    let mut text = String::new();
    open(root, path).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn regular_files_are_listed_with_their_names_as_they_are() {
    let root = root();
    let dir = root.path();
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    for name in ["z.pck", "a/b/1.txt", ".hidden", "späce and ü", "%41", "a.b", "..."] {
        fs::write(dir.join(name), name).unwrap();
    }
    fs::hard_link(dir.join("z.pck"), dir.join("y.pck")).unwrap();
    let listing = list(dir).unwrap();
    assert_eq!(
        paths(&listing),
        ["%41", "...", ".hidden", "a.b", "a/b/1.txt", "späce and ü", "y.pck", "z.pck"]
    );
    assert_eq!(listing.skipped, []);
    assert_eq!(text(dir, "a/b/1.txt"), "a/b/1.txt");
}

#[test]
fn links_pipes_and_sockets_are_left_out_and_told() {
    let root = root();
    let dir = root.path();
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("key"), "secret").unwrap();
    symlink(secret.path().join("key"), dir.join("file")).unwrap();
    symlink(secret.path(), dir.join("link")).unwrap();
    symlink("/nowhere", dir.join("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    let listing = list(dir).unwrap();
    assert_eq!(paths(&listing), Vec::<&str>::new());
    let told: Vec<_> =
        listing.skipped.iter().map(|skipped| format!("{} {:?}", skipped.path, skipped.why)).collect();
    assert_eq!(told, ["dangling Symlink", "file Symlink", "link Symlink", "pipe Pipe", "socket Socket"]);
    for path in ["file", "link/key", "dangling", "pipe", "socket"] {
        assert!(matches!(open(dir, path), Err(Error::NotRegular { .. })), "{path}: {:?}", open(dir, path));
    }
}

#[test]
fn without_openat2_no_link_is_followed_either() {
    let root = root();
    let dir = root.path();
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::write(dir.join("a/b/c"), "c").unwrap();
    symlink("b", dir.join("a/link")).unwrap();
    symlink("c", dir.join("a/b/file")).unwrap();
    let top = open_root(dir).unwrap();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
    assert!(open_by_steps(&top, "a/b/c", flags).is_ok());
    for path in ["a/link/c", "a/b/file"] {
        let refused = open_by_steps(&top, path, flags).unwrap_err();
        assert!(matches!(refused, Errno::LOOP | Errno::NOTDIR), "{path}: {refused}");
    }
}

#[test]
fn paths_that_lead_outside_are_refused() {
    let root = root();
    for path in ["../x", "/etc/passwd", "a/../../x", "", "a//b", "./a"] {
        assert!(matches!(open(root.path(), path), Err(Error::Outside { .. })), "{path}");
    }
    assert!(matches!(open(root.path(), "missing"), Err(Error::NotFound { .. })));
    assert!(matches!(open(root.path(), "missing/too"), Err(Error::NotFound { .. })));
}

#[test]
fn a_directory_is_no_output() {
    let root = root();
    fs::create_dir(root.path().join("d")).unwrap();
    assert!(matches!(open(root.path(), "d"), Err(Error::NotRegular { why: SkipReason::Directory, .. })));
}

#[test]
fn names_that_cannot_be_kept_are_refused_by_name() {
    let long = "n".repeat(200);
    for (name, expected) in [
        (&b"a\nb"[..], r"`a\nb` holds a control character"),
        (b"\x1b[31m", r"`\x1b[31m` holds a control character"),
        (b"a\xff", r"`a\xff` is not UTF-8"),
        (b"a\\b", r"`a\\b` holds a backslash"),
    ] {
        let root = root();
        fs::write(root.path().join(OsStr::from_bytes(name)), "").unwrap();
        let told = list(root.path()).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
    let root = root();
    let mut dir = root.path().to_owned();
    for _ in 0..6 {
        dir.push(&long);
    }
    fs::create_dir_all(&dir).unwrap();
    let told = list(root.path()).unwrap_err().to_string();
    assert!(told.contains("is longer than 1024 bytes"), "{told}");
}

#[test]
fn a_deep_tree_is_walked() {
    let root = root();
    let mut dir = root.path().to_owned();
    for _ in 0..500 {
        dir.push("d");
    }
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("f"), "deep").unwrap();
    let listing = list(root.path()).unwrap();
    let [output] = listing.outputs.as_slice() else { panic!("{listing:?}") };
    assert_eq!(text(root.path(), &output.path), "deep");
}

#[test]
fn too_many_files_are_refused() {
    let root = root();
    for n in 0..=MOST_ENTRIES {
        fs::write(root.path().join(n.to_string()), "").unwrap();
    }
    assert!(matches!(list(root.path()), Err(Error::TooMany { .. })));
}

#[test]
fn names_that_are_too_long_together_are_refused() {
    let root = root();
    let mut dir = root.path().to_owned();
    for _ in 0..4 {
        dir.push("d".repeat(240));
    }
    fs::create_dir_all(&dir).unwrap();
    for n in 0..9_000 {
        fs::write(dir.join(n.to_string()), "").unwrap();
    }
    let told = list(root.path()).unwrap_err().to_string();
    assert!(told.contains("longer than 8388608 bytes together"), "{told}");
}

#[test]
fn a_file_that_becomes_a_link_after_the_listing_is_not_followed() {
    let root = root();
    let dir = root.path();
    fs::create_dir(dir.join("d")).unwrap();
    fs::write(dir.join("d/f"), "mine").unwrap();
    assert_eq!(paths(&list(dir).unwrap()), ["d/f"]);
    fs::rename(dir.join("d"), dir.join("e")).unwrap();
    symlink("/etc", dir.join("d")).unwrap();
    assert!(matches!(open(dir, "d/passwd"), Err(Error::NotRegular { why: SkipReason::Symlink, .. })));
    assert_eq!(paths(&list(dir).unwrap()), ["e/f"]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_owner() {
    let root = root();
    let told = Error::Unreadable { path: "a.pck".into(), uid: 1234, mode: 0o600 }.to_string();
    assert!(told.contains("a.pck") && told.contains("uid 1234") && told.contains("0600"), "{told}");
    let file = root.path().join("a.pck");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    let is_root = rustix::process::geteuid().is_root();
    match open(root.path(), "a.pck") {
        Ok(_) => assert!(is_root),
        Err(error) => assert!(matches!(error, Error::Unreadable { mode: 0, .. }), "{error}"),
    }
}

#[test]
fn sizes_are_those_on_the_disk() {
    let root = root();
    let dir = root.path();
    let empty = size_on_disk(dir);
    fs::create_dir(dir.join("d")).unwrap();
    fs::write(dir.join("d/f"), vec![1; 1 << 20]).unwrap();
    fs::File::create(dir.join("sparse")).unwrap().set_len(1 << 30).unwrap();
    symlink("/usr", dir.join("link")).unwrap();
    let size = size_on_disk(dir) - empty;
    assert!((1 << 20..2 << 20).contains(&size), "{size}");
    assert_eq!(size_on_disk(&dir.join("missing")), 0);
}

#[test]
fn a_results_directory_is_made_for_the_jobs_user_and_removed_whatever_it_did() {
    let root = root();
    let dir = root.path().join("results");
    let owner = rustix::process::geteuid().is_root().then_some((1234, 1234));
    for _ in 0..2 {
        make_results_dir(&dir, owner).unwrap();
    }
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o777);
    fs::create_dir_all(dir.join("closed/in")).unwrap();
    symlink("/usr", dir.join("closed/link")).unwrap();
    fs::set_permissions(dir.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    remove_tree(&dir);
    assert!(!dir.exists());
    assert!(Path::new("/usr/bin").exists());
    remove_tree(&dir);
}

#[test]
fn a_tree_deeper_than_any_path_is_removed_and_hides_nothing() {
    const DEPTH: usize = 50_000;
    let root = root();
    let dir = root.path().join("results");
    fs::create_dir_all(dir.join("btctl-1/btctl-2/btctl-1")).unwrap();
    fs::write(dir.join("btctl-3"), "").unwrap();
    let mut at = rustix::fs::open(&dir, DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", DIRECTORY, Mode::empty()).unwrap();
    }
    rustix::fs::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    rustix::fs::fchmod(&at, Mode::empty()).unwrap();
    assert_eq!(size_on_disk(&dir), u64::MAX);
    remove_tree(&dir);
    assert!(!dir.exists());
}
