//! The agent's end of an interpreter in a container (`runner.py`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bt_engine::{Exit, lines};
use bt_model::id::AttemptId;
use bt_model::log::{LogLine, Stream as Source};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::command::{Kind, PythonCommand};
use super::link::{Link, Listener};

/// How long a job whose processes are all killed may take to be heard of.
const LAST_WORD: Duration = Duration::from_secs(15);
const KILL: i32 = 9;

/// What an interpreter is told when it has connected.
#[derive(Clone, Serialize)]
pub(crate) struct Hello {
    /// The words that start it.
    pub(crate) python: Vec<String>,
    pub(crate) preload: Vec<String>,
    pub(crate) learned: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) left_out: BTreeMap<String, String>,
    /// Directories in memory, which it empties after each job.
    pub(crate) empty: Vec<String>,
    /// The first job, whose text says what it will import.
    pub(crate) job: JobToRun,
}

/// A job, as an interpreter is told of it. It may hold secrets, and is never printed.
#[derive(Clone, Serialize)]
pub(crate) struct JobToRun {
    python: Vec<String>,
    command: Vec<String>,
    kind: Kind,
    target: String,
    args: Vec<String>,
    cwd: Option<String>,
    env: BTreeMap<String, String>,
}

impl JobToRun {
    /// A command that can't run in a fork runs in an interpreter, or whatever else it names, of its own.
    pub(crate) fn new(
        command: Vec<String>,
        parsed: Option<PythonCommand>,
        cwd: Option<String>,
        env: Vec<(String, String)>,
    ) -> Self {
        let env = env.into_iter().collect();
        match parsed {
            Some(PythonCommand { interpreter, kind, target, args }) => {
                Self { python: interpreter, command, kind, target, args, cwd, env }
            }
            None => {
                let (target, args) = (command.first().cloned().unwrap_or_default(), Vec::new());
                Self { python: Vec::new(), command, kind: Kind::Other, target, args, cwd, env }
            }
        }
    }
}

/// What an interpreter says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Ready(Ready),
    /// A module of `preload` can't be imported.
    Missing(String),
    Ended(Ended),
}

/// What it has imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Ready {
    pub(crate) preloaded: Vec<String>,
    pub(crate) left_out: BTreeMap<String, String>,
}

/// How a job ended.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ended {
    /// As `wait4` tells it.
    status: i32,
    pub(crate) cpu_micros: u64,
    pub(crate) memory_bytes: u64,
    /// Modules that it imported itself.
    pub(crate) learned: Vec<String>,
    /// Why it ran in an interpreter of its own, if it did.
    pub(crate) fresh: Option<String>,
    /// What of it is left in the container and can't be removed.
    pub(crate) left: Option<String>,
}

impl Ended {
    /// As a shell and the container's init tell it: 128 and the signal for what a signal has ended.
    pub(crate) fn exit(&self) -> Exit {
        let (code, signal) = ((self.status >> 8) & 0xff, self.status & 0x7f);
        Exit::with_code(if signal == 0 { code } else { 128 + signal }.into())
    }
}

/// Why an interpreter does not serve.
#[derive(Debug)]
pub(crate) enum StartFailure {
    /// The manifest's `warm.preload` names what the image does not have.
    Missing(String),
    Broken(io::Error),
}

/// An interpreter that forks.
#[derive(Debug)]
pub(crate) struct Runner {
    link: Link,
    ready: Mutex<Ready>,
}

impl Runner {
    /// Waits until it has connected and imported what it is to import.
    pub(crate) async fn start(listener: Listener, hello: &Hello) -> Result<Self, StartFailure> {
        let connecting = async {
            let link = listener.accept().await?;
            link.tell(hello, &[]).await?;
            let told = link.hear::<Told>().await?;
            Ok((link, told))
        };
        match connecting.await.map_err(StartFailure::Broken)? {
            (link, Told::Ready(ready)) => Ok(Self { link, ready: Mutex::new(ready) }),
            (_, Told::Missing(why)) => Err(StartFailure::Missing(why)),
            (_, Told::Ended(_)) => {
                Err(StartFailure::Broken(io::Error::other("it tells of a job before there is one")))
            }
        }
    }

    pub(crate) fn ready(&self) -> Ready {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a job. What it prints comes out of the stream, which ends with it.
    pub(crate) async fn run(
        &self,
        job: &JobToRun,
    ) -> io::Result<impl Stream<Item = Result<LogLine, bt_engine::Error>> + Send + 'static> {
        let (out, out_end) = output(Source::Stdout)?;
        let (err, err_end) = output(Source::Stderr)?;
        let message = serde_json::json!({ "job": job });
        self.link.tell(&message, &[out_end.as_fd(), err_end.as_fd()]).await?;
        Ok(lines::lines(stream::select(out, err)))
    }

    /// How the job that runs has ended.
    async fn ended(&self) -> io::Result<Ended> {
        loop {
            match self.link.hear::<Told>().await? {
                Told::Ended(ended) => return Ok(ended),
                Told::Ready(ready) => *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready,
                Told::Missing(why) => return Err(io::Error::other(why)),
            }
        }
    }

    async fn signal(&self, number: i32) -> io::Result<()> {
        self.link.tell(&serde_json::json!({ "signal": number }), &[]).await
    }
}

type Printed = Result<(Source, Bytes), bt_engine::Error>;

/// A pipe for what a job prints: what comes out of it, and the job's end.
fn output(source: Source) -> io::Result<(impl Stream<Item = Printed> + Send, OwnedFd)> {
    let (sender, receiver) = pipe::pipe()?;
    let pieces = ReaderStream::new(receiver).map(move |piece| match piece {
        Ok(bytes) => Ok((source, bytes)),
        Err(error) => {
            let message = format!("what the job prints can't be read: {error}");
            Err(bt_engine::Error::Unreachable { message })
        }
    });
    Ok((pieces, sender.into_blocking_fd()?))
}

/// A job that runs in a fork.
#[derive(Clone, Debug)]
pub(crate) struct Fork {
    pub(crate) container: AttemptId,
    runner: Arc<Runner>,
    stop_signal: i32,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl Fork {
    pub(crate) fn new(container: AttemptId, runner: Arc<Runner>, stop_signal: i32) -> Self {
        Self { container, runner, stop_signal, ended: Arc::default() }
    }

    /// Waits for its end.
    pub(crate) async fn end(&self) -> Result<Exit, bt_engine::Error> {
        let ended = self.runner.ended().await.map_err(|error| broken(&error))?;
        let exit = ended.exit();
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        Ok(exit)
    }

    /// Stops the job alone: its stop signal, and SIGKILL to all that is left of it after `grace`.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<Exit, bt_engine::Error> {
        let told = |signal| async move { self.runner.signal(signal).await.map_err(|error| broken(&error)) };
        if !grace.is_zero() {
            told(self.stop_signal).await?;
            if let Ok(exit) = timeout(grace, self.end()).await {
                return exit;
            }
        }
        told(KILL).await?;
        let silent = |_| broken(&io::Error::other("it does not say that the job has ended"));
        timeout(LAST_WORD, self.end()).await.map_err(silent)?
    }

    /// What is known of its end.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn broken(error: &io::Error) -> bt_engine::Error {
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            "the interpreter that the job was a fork of has ended".to_owned()
        }
        _ => format!("the interpreter that the job was a fork of does not serve: {error}"),
    };
    bt_engine::Error::Unreachable { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_wait_tells_it() {
        let exit = |status| {
            let ended = Ended {
                status,
                cpu_micros: 0,
                memory_bytes: 0,
                learned: Vec::new(),
                fresh: None,
                left: None,
            };
            ended.exit().code
        };
        assert_eq!([exit(0), exit(3 << 8), exit(255 << 8), exit(9), exit(11 | 0x80)], [0, 3, 255, 137, 139]);
    }
}
