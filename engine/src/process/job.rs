//! One job that runs as a process, and its directory: what is known of it after the agent has died.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::id::{AgentId, AttemptId};
use bt_model::log::Stream as Source;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::io::ReaderStream;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::tree::Tree;
use crate::{ContainerSpec, Error, Exit, Sample};

/// The variable by which the processes of a job are known from all others.
pub(super) const MARK: &str = "BTCTL_PROCESS_OF";
/// How often it is looked at what a job uses, where few run.
const LOOK: Duration = Duration::from_millis(250);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is kept on disk of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) agent: String,
    pub(super) has_started: bool,
    /// Exit code, and whether it used too much memory.
    pub(super) ended: Option<(i64, bool)>,
}

type Output = BoxStream<'static, io::Result<(Source, Bytes)>>;

/// A job, from its making until it is removed.
pub(super) struct Job {
    pub(super) attempt: AttemptId,
    pub(super) agent: String,
    dir: PathBuf,
    spec: Option<ContainerSpec>,
    state: Mutex<State>,
    pub(super) ended: watch::Sender<Option<Exit>>,
}

#[derive(Default)]
struct State {
    has_started: bool,
    is_frozen: bool,
    is_out_of_memory: bool,
    tree: Tree,
    used: Sample,
    output: Option<Output>,
}

pub(super) fn mark(attempt: AttemptId) -> String {
    format!("{MARK}={attempt}")
}

impl Job {
    pub(super) fn make(spec: &ContainerSpec, dir: PathBuf) -> io::Result<Self> {
        for part in ["work", "tmp"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let job = Self {
            attempt: spec.attempt,
            agent: spec.agent.to_string(),
            dir,
            spec: Some(spec.clone()),
            state: Mutex::default(),
            ended: watch::Sender::new(None),
        };
        job.note(false, None)?;
        Ok(job)
    }

    /// One of an earlier run of the agent. What still ran of it has been killed.
    pub(super) fn found(attempt: AttemptId, dir: PathBuf) -> Self {
        let text = fs::read(dir.join("note.json")).unwrap_or_default();
        let note: Option<Note> = serde_json::from_slice(&text).ok();
        let has_started = note.as_ref().is_none_or(|note| note.has_started);
        let state = State { has_started, ..State::default() };
        let exit = match note.as_ref().and_then(|note| note.ended) {
            Some((code, oom)) => Exit { oom, ..Exit::with_code(code) },
            // Nobody heard how it ended.
            None => Exit { interrupted: true, ..Exit::with_code(128 + 9) },
        };
        let ended = has_started.then_some(exit);
        Self {
            attempt,
            agent: note.map(|note| note.agent).unwrap_or_default(),
            dir,
            spec: None,
            state: Mutex::new(state),
            ended: watch::Sender::new(ended),
        }
    }

    pub(super) fn is_of(&self, agent: AgentId) -> bool {
        self.agent == agent.to_string()
    }

    pub(super) fn has_started(&self) -> bool {
        self.lock().has_started
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.lock().is_frozen
    }

    pub(super) fn used(&self) -> Option<Sample> {
        (self.has_started() && !self.has_ended()).then(|| self.lock().used)
    }

    /// What it prints; once.
    pub(super) fn output(&self) -> Option<Output> {
        self.lock().output.take()
    }

    /// Its program, as it is about to be started.
    fn command(&self, spec: &ContainerSpec) -> Result<Command, Error> {
        let refused = |message: String| Error::NoSuchCommand { message };
        let words: Vec<&String> = spec.entrypoint.iter().flatten().chain(&spec.command).collect();
        let Some((program, arguments)) = words.split_first() else {
            return Err(refused("there is no command to run".to_owned()));
        };
        let cwd = spec.working_dir.as_ref().map_or_else(|| self.dir.join("work"), PathBuf::from);
        if !cwd.is_dir() {
            return Err(refused(format!("the working directory {} is not there", cwd.display())));
        }
        let tmp = self.dir.join("tmp").display().to_string();
        let path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), self.dir.join("work").display().to_string()),
            ("TMPDIR".to_owned(), tmp),
        ]);
        env.extend(spec.env.iter().cloned());
        env.insert(MARK.to_owned(), self.attempt.to_string());
        let mut command = Command::new(program);
        // A name without a slash is looked for in the job's own PATH.
        command.args(arguments).env_clear().envs(env).current_dir(cwd).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Starts it; one that has been started is left as it is.
    pub(super) fn start(self: &Arc<Self>, count: usize, tasks: &TaskTracker) -> Result<(), Error> {
        let (attempt, Some(spec)) = (self.attempt, &self.spec) else { return Ok(()) };
        let mut state = self.lock();
        if state.has_started {
            return Ok(());
        }
        let mut command = self.command(spec)?;
        // A later run of the agent must not take it for one that never ran.
        let noted = self.note(true, None);
        noted.map_err(|error| unwritten("start", &error))?;
        let mut child = command.spawn().map_err(|error| {
            self.note(false, None).ok();
            let program = spec.entrypoint.iter().flatten().chain(&spec.command).next();
            let message = format!("{:?} can't be started: {error}", program.map_or("", String::as_str));
            match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ArgumentListTooLong => Error::NoSuchCommand { message },
                _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                    Error::NoSuchCommand { message }
                }
                _ => Error::Engine { call: "start", status: None, message },
            }
        })?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        state.tree = Tree::new(mark(attempt), leader);
        state.has_started = true;
        state.output = Some(output(&mut child));
        drop(state);
        tasks.spawn(self.clone().follow(child, spec.memory_bytes, LOOK * (1 + count as u32 / 8)));
        Ok(())
    }

    /// Watches it until it has ended; whatever it leaves running is killed then, as with a container.
    async fn follow(self: Arc<Self>, mut child: Child, memory: u64, pause: Duration) {
        let began = Instant::now();
        let watching = async {
            loop {
                let job = self.clone();
                let looked = spawn_blocking(move || job.look(memory)).await;
                if let Err(error) = looked {
                    warn!(attempt.id = %self.attempt, %error, "what a process uses is not known");
                }
                sleep(pause).await;
            }
        };
        let status = tokio::select! {
            status = child.wait() => status,
            () = watching => return,
        };
        let ran = began.elapsed();
        let rest = self.clone();
        spawn_blocking(move || rest.kill()).await.ok();
        let exit = match status {
            Ok(status) => Exit { oom: self.lock().is_out_of_memory, ..Exit::with_code(code(status)) },
            Err(error) => Exit { error: error.to_string(), ..Exit::with_code(0) },
        };
        if let Err(error) = self.note(true, Some((exit.code, exit.oom))) {
            warn!(attempt.id = %self.attempt, %error, "how a process ended is not kept on disk");
        }
        self.ended.send_replace(Some(Exit { ran: Some(ran), ..exit }));
    }

    /// Measures it, and kills it if it uses more memory than it may.
    fn look(&self, memory: u64) {
        let mut state = self.lock();
        let now = state.tree.sample();
        state.used = Sample {
            memory_bytes: now.memory_bytes,
            cpu_micros: now.cpu_micros.max(state.used.cpu_micros),
            written_bytes: now.written_bytes.max(state.used.written_bytes),
        };
        if memory > 0 && now.memory_bytes > memory {
            state.is_out_of_memory = true;
            state.tree.kill();
        }
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        self.lock().tree.signal(signal);
    }

    /// Lets all its processes stand still, or go on.
    pub(super) fn freeze(&self, is_frozen: bool) {
        use rustix::process::Signal;
        let mut state = self.lock();
        state.is_frozen = is_frozen;
        state.tree.signal(if is_frozen { Signal::STOP } else { Signal::CONT });
    }

    pub(super) fn kill(&self) {
        if !self.lock().tree.kill() {
            warn!(attempt.id = %self.attempt, "processes of a job can't be killed");
        }
    }

    pub(super) fn stop_signal(&self) -> &str {
        self.spec.as_ref().map_or("SIGTERM", |spec| spec.stop.signal.as_str())
    }

    pub(super) fn remove_files(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn note(&self, has_started: bool, ended: Option<(i64, bool)>) -> io::Result<()> {
        let note = Note { agent: self.agent.clone(), has_started, ended };
        write_whole(&self.dir.join("note.json"), &serde_json::to_vec(&note)?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn unwritten(call: &'static str, error: &io::Error) -> Error {
    let message = format!("the directory of a process can't be written: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull => Error::DiskFull { message },
        _ => Error::Engine { call, status: None, message },
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let other = path.with_extension("new");
    fs::write(&other, bytes)?;
    fs::rename(other, path)
}

fn code(status: ExitStatus) -> i64 {
    let signal = || status.signal().map_or(255, |signal| 128 + signal);
    status.code().unwrap_or_else(signal).into()
}

fn output(child: &mut Child) -> Output {
    let named = |source: Source| move |piece: io::Result<Bytes>| piece.map(|bytes| (source, bytes));
    let stdout = child.stdout.take().map(|pipe| ReaderStream::new(pipe).map(named(Source::Stdout)));
    let stderr = child.stderr.take().map(|pipe| ReaderStream::new(pipe).map(named(Source::Stderr)));
    let stdout = stdout.map_or_else(|| stream::empty().boxed(), StreamExt::boxed);
    let stderr = stderr.map_or_else(|| stream::empty().boxed(), StreamExt::boxed);
    stream::select(stdout, stderr).boxed()
}
