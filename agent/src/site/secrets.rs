//! Secrets on this machine: those that its owner holds, and the directory in memory through which jobs get theirs.
//!
//! Each container that asks for secrets has a directory there, which it sees as `/run/secrets` and can't write to. It is
//! on a tmpfs, is for the agent alone, and is removed when the container has ended; what an earlier run of the agent left
//! goes when this one starts.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bt_engine::collect;
use bt_engine::volumes::MountSource;
use bt_engine::{Bind, SharedPaths};
use bt_model::id::{AgentId, AttemptId};
use bt_model::manifest::{SECRETS_DIR, SecretArrival, SecretUse, check_secret_name};
use bt_model::secret_value::{LARGEST_SECRET, SecretBytes, check_mode};
use tracing::warn;

use crate::record::masks::Masks;

/// Where a directory in memory is looked for if none is named: only root may use the first.
const MEMORY: [&str; 2] = ["/run", "/dev/shm"];
/// File systems in memory, as `statfs` tells them: tmpfs and ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
/// The file of a container's directory that sets its variables.
const ENV_FILE: &str = ".btctl-env";
/// Files that are being written.
const NEW: &str = ".btctl-new";

/// Files of this machine that hold secrets, by the secrets' names.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldSecrets(BTreeMap<String, PathBuf>);

impl HeldSecrets {
    /// Reads `NAME=FILE`, and each file once.
    pub(crate) fn read(given: &[String]) -> anyhow::Result<Self> {
        let mut held = BTreeMap::new();
        for text in given {
            let Some((name, path)) = text.split_once('=').filter(|(_, path)| !path.is_empty()) else {
                bail!("a secret is given as NAME=FILE (--secret), and its value stands in the file");
            };
            check_secret_name(name).map_err(anyhow::Error::msg).context("read --secret")?;
            let path = std::path::absolute(path).with_context(|| format!("find the secret {name}"))?;
            read_held(&path).map_err(anyhow::Error::msg).with_context(|| format!("read --secret {name}"))?;
            ensure!(
                held.insert(name.to_owned(), path).is_none(),
                "the secret {name} is given twice (--secret)"
            );
        }
        Ok(Self(held))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// The value as its file has it now; none if the machine does not hold it.
    pub(crate) fn value(&self, name: &str) -> Option<Result<SecretBytes, String>> {
        self.0.get(name).map(|path| read_held(path))
    }
}

fn read_held(path: &Path) -> Result<SecretBytes, String> {
    let told = |why: String| format!("{}: {why}", path.display());
    let file = File::open(path).map_err(|error| told(error.to_string()))?;
    let about = file.metadata().map_err(|error| told(error.to_string()))?;
    if !about.is_file() {
        return Err(told("it is not a file".to_owned()));
    }
    check_mode(path, about.mode()).map_err(told)?;
    let mut value = Vec::new();
    let read = file.take(LARGEST_SECRET as u64 + 2).read_to_end(&mut value);
    read.map_err(|error| told(error.to_string()))?;
    let value = SecretBytes::of_text(value);
    value.check().map_err(told)?;
    Ok(value)
}

/// The directory in memory.
#[derive(Debug)]
pub(crate) struct SecretsRoom {
    /// Made when it is first needed; the error says why there can be none.
    root: Result<PathBuf, String>,
}

impl SecretsRoom {
    /// Fails if a directory was named that is of no use.
    pub(crate) fn find(named: Option<&Path>, agent: AgentId, shared: &SharedPaths) -> anyhow::Result<Self> {
        let name = format!("btctl-secrets-{agent}");
        if let Some(parent) = named {
            let usable = is_usable(parent, shared).map_err(anyhow::Error::msg);
            usable.with_context(|| format!("--secrets-dir {}", parent.display()))?;
            return Ok(Self { root: Ok(std::path::absolute(parent)?.join(name)) });
        }
        let mut why = Vec::new();
        for parent in MEMORY.map(Path::new) {
            match is_usable(parent, shared) {
                Ok(()) => return Ok(Self { root: Ok(parent.join(name)) }),
                Err(told) => why.push(format!("{}: {told}", parent.display())),
            }
        }
        let why = format!(
            "there is no directory in memory for them ({}); name one with --secrets-dir",
            why.join("; ")
        );
        Ok(Self { root: Err(why) })
    }

    /// Why jobs can have no secrets here; none if they can.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.root.as_ref().err().map(String::as_str)
    }

    /// Makes the directory of a container, for this user, and fills it. What was in it before and is not asked for goes. Nobody
    /// sees half a file.
    pub(crate) fn place(
        &self,
        container: AttemptId,
        values: &[(SecretUse, SecretBytes)],
        owner: (u32, u32),
    ) -> Result<Bind, String> {
        let root = self.root.as_ref().map_err(Clone::clone)?;
        let dir = root.join(container.to_string());
        let placing = || -> io::Result<()> {
            own_dir(root)?;
            own_dir_of(&dir, owner)?;
            let env = values.iter().filter(|(secret, _)| secret.arrival == SecretArrival::Env);
            let script = script(env.map(|(secret, value)| (secret.name.as_str(), value)));
            let files = values.iter().map(|(secret, value)| (secret.name.as_str(), value));
            let files: Vec<_> = files.chain(script.as_ref().map(|script| (ENV_FILE, script))).collect();
            for (name, value) in &files {
                write_file(&dir, name, value, owner)?;
            }
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                if files.iter().all(|(name, _)| entry.file_name() != *name) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        placing().map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied if owner != own_ids() => format!(
                "it can't give secrets to the user {}:{}, since it does not run as root; leave `user` out of the manifest",
                owner.0, owner.1
            ),
            _ => format!("{}: {error}", dir.display()),
        })?;
        Ok(Bind { source: MountSource::Path(dir), target: SECRETS_DIR.to_owned(), read_only: true })
    }

    /// What is to be masked in the log of this container: the values that it was given, by this run of the agent or an earlier
    /// one.
    pub(crate) fn masks(&self, container: AttemptId) -> Masks {
        let Ok(root) = &self.root else { return Masks::default() };
        let dir = root.join(container.to_string());
        let read = || -> io::Result<Vec<SecretBytes>> {
            let mut values = Vec::new();
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                if !entry.file_name().to_string_lossy().starts_with('.') {
                    values.push(SecretBytes::new(fs::read(entry.path())?));
                }
            }
            Ok(values)
        };
        match read() {
            Ok(values) => Masks::of(&values),
            Err(error) => {
                warn!(%container, %error, "the secrets of a container can't be read again: its log is kept as it is printed");
                Masks::default()
            }
        }
    }

    /// Removes what a container was given.
    pub(crate) fn remove(&self, container: AttemptId) {
        if let Ok(root) = &self.root {
            let dir = root.join(container.to_string());
            if dir.exists() {
                collect::remove_tree(&dir);
            }
        }
    }

    /// Removes all but what these containers were given.
    pub(crate) fn remove_all_but(&self, containers: &[AttemptId]) {
        let Ok(root) = &self.root else { return };
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            if containers.iter().all(|container| entry.file_name() != *container.to_string()) {
                collect::remove_tree(&entry.path());
            }
        }
    }

    /// Removes the directory itself, if nothing is in it.
    pub(crate) fn close(&self) {
        if let Ok(root) = &self.root {
            fs::remove_dir(root).ok();
        }
    }
}

fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn is_usable(parent: &Path, shared: &SharedPaths) -> Result<(), String> {
    shared.check("the directory for secrets", parent)?;
    let found = rustix::fs::statfs(parent).map_err(|error| io::Error::from(error).to_string())?;
    if !IN_MEMORY.contains(&(found.f_type as u32)) {
        return Err("it is not in memory (a tmpfs)".to_owned());
    }
    rustix::fs::access(parent, rustix::fs::Access::WRITE_OK)
        .map_err(|error| format!("this user may not write there: {}", io::Error::from(error)))
}

/// Makes a directory for this user alone. In a directory that everybody may write to somebody else may have been faster.
fn own_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::symlink_metadata(path)?;
    match found.is_dir() && found.uid() == own_ids().0 && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(io::Error::other("it is somebody else's, or not for this user alone; remove it")),
    }
}

/// A container's directory, in one that nobody else may enter.
fn own_dir_of(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    give_to(path, owner)
}

fn give_to(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    match (found.uid(), found.gid()) == owner || owner == own_ids() && found.uid() == owner.0 {
        true => Ok(()),
        false => chown(path, Some(owner.0), Some(owner.1)),
    }
}

fn write_file(dir: &Path, name: &str, value: &SecretBytes, owner: (u32, u32)) -> io::Result<()> {
    let new = dir.join(NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&new)?;
    file.write_all(value.bytes())?;
    give_to(&new, owner)?;
    fs::rename(&new, dir.join(name))
}

/// What a shell reads to set these variables; none if there are none.
fn script<'s>(variables: impl Iterator<Item = (&'s str, &'s SecretBytes)>) -> Option<SecretBytes> {
    let mut script = Vec::new();
    for (name, value) in variables {
        script.extend_from_slice(format!("export {name}='").as_bytes());
        for byte in value.bytes() {
            match byte {
                b'\'' => script.extend_from_slice(b"'\\''"),
                byte => script.push(*byte),
            }
        }
        script.extend_from_slice(b"'\n");
    }
    (!script.is_empty()).then(|| SecretBytes::new(script))
}

/// A command that sets the variables of a container's secrets and becomes `words`. The values are in no argument and in no
/// environment that the engine knows.
pub(crate) fn wrapped(words: Vec<String>) -> Vec<String> {
    let script = format!(". {SECRETS_DIR}/{ENV_FILE} && exec \"$@\"");
    ["/bin/sh", "-c", &script, "sh"].map(str::to_owned).into_iter().chain(words).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    fn value(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    fn uses(secrets: &[(&str, &str)]) -> Vec<(SecretUse, SecretBytes)> {
        secrets.iter().map(|(secret, text)| (secret.parse().unwrap(), value(text))).collect()
    }

    fn room() -> (tempfile::TempDir, SecretsRoom) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let room = SecretsRoom::find(Some(dir.path()), AgentId::random(), &SharedPaths::default()).unwrap();
        (dir, room)
    }

    #[test]
    fn a_directory_on_a_disk_is_refused() {
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let told = format!(
            "{:#}",
            SecretsRoom::find(Some(disk.path()), AgentId::random(), &SharedPaths::default()).unwrap_err()
        );
        assert!(told.contains("not in memory"), "{told}");
    }

    #[test]
    fn files_are_for_the_jobs_user_alone_and_go_with_the_container() {
        let (_dir, room) = room();
        let container = AttemptId::random();
        let bind = room.place(container, &uses(&[("A", "one"), ("B:env", "two")]), own_ids()).unwrap();
        let MountSource::Path(dir) = &bind.source else { unreachable!() };
        assert_eq!((bind.target.as_str(), bind.read_only), ("/run/secrets", true));
        for path in [dir.clone(), dir.parent().unwrap().to_owned()] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700);
        }
        assert_eq!(fs::metadata(dir.join("A")).unwrap().mode() & 0o777, 0o400);
        assert_eq!(fs::read(dir.join("A")).unwrap(), b"one");
        room.place(container, &uses(&[("A", "three")]), own_ids()).unwrap();
        assert_eq!(fs::read(dir.join("A")).unwrap(), b"three");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "what is not asked for any more is gone");
        let other = AttemptId::random();
        room.place(other, &uses(&[("A", "one")]), own_ids()).unwrap();
        room.remove_all_but(&[other]);
        assert!(!dir.exists());
        room.remove(other);
        room.close();
        assert!(!dir.parent().unwrap().exists());
    }

    #[test]
    fn a_directory_that_others_may_enter_is_not_used() {
        let (dir, room) = room();
        let root = room.root.clone().unwrap();
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).unwrap();
        let told = room.place(AttemptId::random(), &[], own_ids()).unwrap_err();
        assert!(told.contains("not for this user alone"), "{told}");
        fs::remove_dir(&root).unwrap();
        std::os::unix::fs::symlink(dir.path(), &root).unwrap();
        assert!(room.place(AttemptId::random(), &[], own_ids()).is_err());
    }

    #[test]
    fn a_shell_sets_any_value() {
        let odd = "it's $HOME `id` \\ \"x\" \n#{ * }";
        let script = script([("KEY", &value(odd))].into_iter()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), script.bytes()).unwrap();
        let words = wrapped(["printenv", "KEY"].map(str::to_owned).into());
        let told = words[2].replace("/run/secrets/.btctl-env", &file.path().display().to_string());
        let ran = Command::new(&words[0]).args([&words[1], &told]).args(&words[3..]).output().unwrap();
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), format!("{odd}\n"));
    }

    #[test]
    fn a_machines_own_file_is_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "hunter2\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let given = format!("KEY={}", path.display());
        let held = HeldSecrets::read(std::slice::from_ref(&given)).unwrap();
        assert_eq!(held.value("KEY").unwrap().unwrap().bytes(), b"hunter2");
        assert!(held.value("OTHER").is_none());
        fs::write(&path, "new").unwrap();
        assert_eq!(held.value("KEY").unwrap().unwrap().bytes(), b"new", "it is read at each start of a job");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        for (given, words) in [
            (given.as_str(), "chmod o="),
            ("KEY=/nonexistent", "No such file"),
            ("KEY", "NAME=FILE"),
            ("3=x", "is not the name"),
        ] {
            let told = format!("{:#}", HeldSecrets::read(&[given.to_owned()]).unwrap_err());
            assert!(told.contains(words) && !told.contains("hunter2"), "{told}");
        }
    }
}
