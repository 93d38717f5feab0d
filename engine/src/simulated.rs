//! An engine that runs no container, for scale and fault tests only: everything else of the agent is the real one.
//!
//! A job lasts `BT_SIM_MS` milliseconds (0 if not given), and until the file `BT_SIM_GATE` is there, if that is given. It exits
//! with `BT_SIM_EXIT` (0), prints `BT_SIM_PRINT` if given, and leaves one small file, `simulated.json`, in its results
//! directory. With `BT_SIM_BYTES` it leaves one of so many bytes as well, `simulated.bin`, in which the job's number is
//! repeated; with `BT_SIM_BYTES=0` it leaves nothing. `BT_SIM_PROGRESS` is what it writes into the file `progress` when it
//! starts. Its containers die with the agent, as if with their machine.
//! When the agent's own `BTCTL_SIM_LOG` names a file, each start and each end of a container is a line of JSON in it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bt_model::id::{AgentId, AttemptId};
use bt_model::log::{LogLine, Stream};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::volumes::MountSource;
use crate::{
    Abilities, ContainerProcess, ContainerSpec, Engine, Error, Exit, FoundContainer, FoundState,
    ImageDetails, ImageFacts, ImageFile, LogPlace, Peek, RunningCommand, Sample, Shell, Task,
};

/// How often it is looked whether a gate is open.
const GATE_LOOK: Duration = Duration::from_millis(20);
/// The image that every image is.
const IMAGE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    containers: Arc<Mutex<HashMap<AttemptId, Container>>>,
}

#[derive(Debug)]
struct Container {
    agent: AgentId,
    cpu_millis: u64,
    runs: Duration,
    gate: Option<PathBuf>,
    exit: i64,
    /// Where it leaves files, if it has a results directory and leaves any.
    results: Option<PathBuf>,
    job: u32,
    /// Bytes of the larger file, if there is one.
    bytes: Option<u32>,
    prints: Option<Vec<u8>>,
    progress: Option<String>,
    started: Option<(Instant, Timestamp)>,
    ended: watch::Sender<Option<Exit>>,
}

/// Where starts and ends are written, if anywhere.
static LOG: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("BTCTL_SIM_LOG")?;
    File::options().create(true).append(true).open(path).ok()
});

impl Container {
    fn leave_outputs(&self) -> io::Result<()> {
        let Some(results) = &self.results else { return Ok(()) };
        std::fs::create_dir_all(results)?;
        std::fs::write(results.join("simulated.json"), format!("{{\"job\":{}}}\n", self.job))?;
        let Some(bytes) = self.bytes else { return Ok(()) };
        let line = format!("{}\n", self.job);
        let content: Vec<u8> = line.bytes().cycle().take(bytes as usize).collect();
        std::fs::write(results.join("simulated.bin"), content)
    }

    fn say_progress(&self) -> io::Result<()> {
        let (Some(results), Some(said)) = (&self.results, &self.progress) else { return Ok(()) };
        std::fs::create_dir_all(results)?;
        std::fs::write(results.join("progress"), said)
    }

    fn note(&self, event: &str, attempt: AttemptId) {
        let Some(mut log) = LOG.as_ref() else { return };
        let line = serde_json::json!({
            "event": event,
            "at": Timestamp::now().as_microsecond(),
            "agent": self.agent.to_string(),
            "attempt": attempt.to_string(),
            "cpu_millis": self.cpu_millis,
        });
        // One write, so that lines of several processes do not mix.
        if let Err(error) = log.write_all(format!("{line}\n").as_bytes()) {
            tracing::warn!(error = %error, "a line of the run log is lost");
        }
    }
}

#[async_trait]
impl Engine for Simulated {
    async fn version(&self) -> Result<String, Error> {
        Ok("simulated".to_owned())
    }

    fn mounts_files(&self) -> bool {
        false
    }

    async fn abilities(&self) -> Result<Option<Abilities>, Error> {
        Ok(None)
    }

    async fn images(&self) -> Result<Vec<String>, Error> {
        Ok(vec![IMAGE.to_owned()])
    }

    async fn image(&self, _: &str) -> Result<Option<ImageFacts>, Error> {
        Ok(Some(ImageFacts { id: IMAGE.to_owned(), ..ImageFacts::default() }))
    }

    async fn pull(&self, _: &str, _: Option<&str>, _: &(dyn Fn(String) + Sync)) -> Result<(), Error> {
        Ok(())
    }

    async fn load(&self, _: &str, _: BoxStream<'static, io::Result<Bytes>>) -> Result<(), Error> {
        Ok(())
    }

    async fn tag(&self, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn describe(&self, _: &str) -> Result<Option<ImageDetails>, Error> {
        Ok(None)
    }

    fn save(&self, _: &str) -> BoxStream<'static, Result<Bytes, Error>> {
        futures_util::stream::empty().boxed()
    }

    async fn remove_image(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn peek(&self, _: AttemptId, _: AgentId, _: &str, _: Option<&str>) -> Result<Peek, Error> {
        Ok(Peek { passwd: ImageFile::Unreadable, group: ImageFile::Unreadable, has_path: true })
    }

    async fn volume(&self, _: &str) -> Result<Option<Option<PathBuf>>, Error> {
        Ok(Some(None))
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        let variable = |wanted: &str| spec.env.iter().rev().find(|(name, _)| name == wanted);
        let number = |wanted: &str| match variable(wanted) {
            None => Ok(0),
            Some((_, text)) => text.trim().parse::<u32>().map_err(|_| Error::NoSuchCommand {
                message: format!("{wanted} is {text:?}; a whole number belongs there"),
            }),
        };
        let results = spec.binds.first().and_then(|bind| match &bind.source {
            MountSource::Path(path) => Some(path.clone()),
            MountSource::Engine(_) => None,
        });
        let bytes = variable("BT_SIM_BYTES").map(|_| number("BT_SIM_BYTES")).transpose()?;
        let container = Container {
            agent: spec.agent,
            cpu_millis: spec.cpu_millis,
            runs: Duration::from_millis(number("BT_SIM_MS")?.into()),
            gate: variable("BT_SIM_GATE").map(|(_, path)| PathBuf::from(path)),
            exit: number("BT_SIM_EXIT")?.into(),
            results: results.filter(|_| bytes != Some(0)),
            job: spec.job,
            bytes,
            prints: variable("BT_SIM_PRINT").map(|(_, text)| format!("{text}\n").into_bytes()),
            progress: variable("BT_SIM_PROGRESS").map(|(_, text)| text.clone()),
            started: None,
            ended: watch::Sender::new(None),
        };
        self.lock().entry(spec.attempt).or_insert(container);
        Ok(())
    }

    async fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        let mut containers = self.lock();
        let container = containers.get_mut(&attempt).ok_or(Error::Gone { attempt })?;
        if container.started.is_none() {
            container.started = Some((Instant::now(), Timestamp::now()));
            container.note("start", attempt);
            if let Err(error) = container.say_progress() {
                tracing::warn!(attempt.id = %attempt, error = %error, "it does not say how far it is");
            }
        }
        Ok(())
    }

    async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        let (mut ended, due, gate) = {
            let containers = self.lock();
            let container = containers.get(&attempt).ok_or(Error::Gone { attempt })?;
            let (started, _) = container.started.ok_or_else(|| Error::NotStarted {
                attempt,
                message: "it was made, and nothing more".to_owned(),
            })?;
            (container.ended.subscribe(), started + container.runs, container.gate.clone())
        };
        tokio::select! {
            biased;
            stopped = ended.wait_for(Option::is_some) => match stopped {
                Ok(exit) => exit.clone().ok_or(Error::Gone { attempt }),
                Err(_) => Err(Error::Gone { attempt }),
            },
            () = opened(due, gate) => self.finish(attempt),
        }
    }

    fn logs(
        &self,
        attempt: AttemptId,
        since: Option<LogPlace>,
    ) -> BoxStream<'static, Result<LogLine, Error>> {
        let line = self.clone().log(attempt, since);
        line.into_stream().filter_map(|line| async { line.map(Ok) }).boxed()
    }

    async fn sample(&self, _: AttemptId) -> Result<Option<Sample>, Error> {
        Ok(None)
    }

    async fn stop(&self, attempt: AttemptId, _: Duration) -> Result<(), Error> {
        self.end(attempt);
        Ok(())
    }

    async fn freeze(&self, _: AttemptId) -> Result<(), Error> {
        let message = "nothing runs that could stand still".to_owned();
        Err(Error::Engine { call: "freeze", status: None, message })
    }

    async fn thaw(&self, _: AttemptId) -> Result<(), Error> {
        Ok(())
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), Error> {
        self.end(attempt);
        self.lock().remove(&attempt);
        Ok(())
    }

    async fn owners(&self) -> Result<BTreeMap<String, u32>, Error> {
        let mut owners = BTreeMap::new();
        for container in self.lock().values() {
            *owners.entry(container.agent.to_string()).or_default() += 1;
        }
        Ok(owners)
    }

    async fn list(&self, agent: AgentId) -> Result<Vec<FoundContainer>, Error> {
        let containers = self.lock();
        let ours = containers.iter().filter(|(_, container)| container.agent == agent);
        let found = ours.map(|(attempt, container)| FoundContainer {
            attempt: Some(*attempt),
            container: attempt.to_string(),
            image_id: IMAGE.to_owned(),
            state: match (container.started, &*container.ended.borrow()) {
                (None, _) => FoundState::Created,
                (Some(_), None) => FoundState::Running,
                (Some(_), Some(_)) => FoundState::Exited,
            },
            is_frozen: false,
            mounts: Vec::new(),
        });
        Ok(found.collect())
    }

    async fn exec(&self, _: AttemptId, _: &Task) -> Result<RunningCommand, Error> {
        Err(no_commands())
    }

    async fn exec_end(&self, _: AttemptId, _: &str) -> Result<Exit, Error> {
        Err(no_commands())
    }

    async fn oom_kills(&self, _: AttemptId) -> Result<Option<u64>, Error> {
        Err(no_commands())
    }

    async fn process(&self, _: AttemptId) -> Result<Option<ContainerProcess>, Error> {
        Ok(None)
    }

    async fn is_at_rest(&self, _: AttemptId) -> Result<bool, Error> {
        Ok(false)
    }

    async fn shell(&self, _: &ContainerSpec, _: bool) -> Result<Shell, Error> {
        Err(no_shell())
    }

    async fn resize(&self, _: AttemptId, _: u32, _: u32) {}
}

impl Simulated {
    fn finish(&self, attempt: AttemptId) -> Result<Exit, Error> {
        let containers = self.lock();
        let container = containers.get(&attempt).ok_or(Error::Gone { attempt })?;
        let written = container.leave_outputs();
        let error = written.err().map(|error| error.to_string()).unwrap_or_default();
        let exit = Exit { error, ..Exit::with_code(container.exit) };
        container.note("end", attempt);
        container.ended.send_replace(Some(exit.clone()));
        Ok(exit)
    }

    fn end(&self, attempt: AttemptId) {
        if let Some(container) = self.lock().get(&attempt) {
            let exit = Exit::stopped();
            container.ended.send_if_modified(|ended| {
                let runs = ended.is_none();
                if runs {
                    container.note("end", attempt);
                    *ended = Some(exit);
                }
                runs
            });
        }
    }

    /// The one line that the container prints when it starts, if it prints any; nothing if it was read before.
    async fn log(self, attempt: AttemptId, since: Option<LogPlace>) -> Option<LogLine> {
        let (time, mut ended, text) = {
            let containers = self.lock();
            let container = containers.get(&attempt)?;
            (container.started?.1, container.ended.subscribe(), container.prints.clone())
        };
        // A log ends with its container.
        drop(ended.wait_for(Option::is_some).await);
        let text = text.filter(|_| since.is_none())?;
        Some(LogLine { stream: Stream::Stdout, time, text })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the time, and then for the file.
async fn opened(due: Instant, gate: Option<PathBuf>) {
    sleep_until(due).await;
    while gate.as_ref().is_some_and(|gate| !gate.exists()) {
        sleep(GATE_LOOK).await;
    }
}

fn no_shell() -> Error {
    Error::NoSuchCommand { message: "the simulated engine has no shell".to_owned() }
}

fn no_commands() -> Error {
    Error::NoSuchCommand { message: "the simulated engine has no containers to share".to_owned() }
}
