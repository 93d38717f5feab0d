//! An engine that runs no container, for scale and fault tests only: everything else of the agent is the real one.
//!
//! A job lasts `BT_SIM_MS` milliseconds (0 if not given), exits with `BT_SIM_EXIT` (0), prints `BT_SIM_PRINT` if given, and leaves one
//! small file, `simulated.json`, in its results directory. Its containers die with the agent, as if with their machine.
//! When the agent's own `BTCTL_SIM_LOG` names a file, each start and each end of a container is a line of JSON in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::id::{AgentId, AttemptId};
use bt_model::log::{LogLine, Stream as Source};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::volumes;

use super::{ContainerSpec, Error, Exit, Found, FoundState, LogPlace};

/// The image that every image is.
const IMAGE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// Exit code of a process that SIGTERM ended.
const TERMINATED: i64 = 143;

#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    containers: Arc<Mutex<HashMap<AttemptId, Container>>>,
}

#[derive(Debug)]
struct Container {
    agent: AgentId,
    cpu_millis: u64,
    runs: Duration,
    exit: i64,
    /// Where it leaves its file, and what is in it.
    output: (PathBuf, String),
    prints: Option<Vec<u8>>,
    started: Option<(Instant, Timestamp)>,
    ended: watch::Sender<Option<Exit>>,
}

/// Where starts and ends are written, if anywhere.
static LOG: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("BTCTL_SIM_LOG")?;
    File::options().create(true).append(true).open(path).ok()
});

impl Container {
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

impl Simulated {
    pub(crate) fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        let variable = |wanted: &str| spec.env.iter().rev().find(|(name, _)| name == wanted);
        let number = |wanted: &str| match variable(wanted) {
            None => Ok(0),
            Some((_, text)) => text.trim().parse::<u32>().map_err(|_| Error::NoSuchCommand {
                message: format!("{wanted} is {text:?}; a whole number belongs there"),
            }),
        };
        let results = spec.binds.first().and_then(|bind| match &bind.source {
            volumes::Source::Path(path) => Some(path.clone()),
            volumes::Source::Engine(_) => None,
        });
        let results = results.unwrap_or_default();
        let container = Container {
            agent: spec.agent,
            cpu_millis: spec.cpu_millis,
            runs: Duration::from_millis(number("BT_SIM_MS")?.into()),
            exit: number("BT_SIM_EXIT")?.into(),
            output: (results.join("simulated.json"), format!("{{\"job\":{}}}\n", spec.job)),
            prints: variable("BT_SIM_PRINT").map(|(_, text)| format!("{text}\n").into_bytes()),
            started: None,
            ended: watch::Sender::new(None),
        };
        self.lock().entry(spec.attempt).or_insert(container);
        Ok(())
    }

    pub(crate) fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        let mut containers = self.lock();
        let container = containers.get_mut(&attempt).ok_or(Error::Gone { attempt })?;
        if container.started.is_none() {
            container.started = Some((Instant::now(), Timestamp::now()));
            container.note("start", attempt);
        }
        Ok(())
    }

    pub(crate) async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        let (mut ended, due) = {
            let containers = self.lock();
            let container = containers.get(&attempt).ok_or(Error::Gone { attempt })?;
            let (started, _) = container.started.ok_or_else(|| Error::NotStarted {
                attempt,
                message: "it was made, and nothing more".to_owned(),
            })?;
            (container.ended.subscribe(), started + container.runs)
        };
        tokio::select! {
            biased;
            stopped = ended.wait_for(Option::is_some) => match stopped {
                Ok(exit) => exit.clone().ok_or(Error::Gone { attempt }),
                Err(_) => Err(Error::Gone { attempt }),
            },
            () = sleep_until(due) => self.finish(attempt),
        }
    }

    fn finish(&self, attempt: AttemptId) -> Result<Exit, Error> {
        let containers = self.lock();
        let container = containers.get(&attempt).ok_or(Error::Gone { attempt })?;
        let (path, text) = &container.output;
        let written = std::fs::write(path, text);
        let error = written.err().map(|error| error.to_string()).unwrap_or_default();
        let exit = Exit { code: container.exit, oom: false, error, interrupted: false, ran: None };
        container.note("end", attempt);
        container.ended.send_replace(Some(exit.clone()));
        Ok(exit)
    }

    pub(crate) fn stop(&self, attempt: AttemptId) {
        if let Some(container) = self.lock().get(&attempt) {
            let exit =
                Exit { code: TERMINATED, oom: false, error: String::new(), interrupted: false, ran: None };
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

    pub(crate) fn remove(&self, attempt: AttemptId) {
        self.stop(attempt);
        self.lock().remove(&attempt);
    }

    pub(crate) fn list(&self, agent: AgentId) -> Vec<Found> {
        let containers = self.lock();
        let ours = containers.iter().filter(|(_, container)| container.agent == agent);
        ours.map(|(attempt, container)| Found {
            attempt: Some(*attempt),
            container: attempt.to_string(),
            image_id: IMAGE.to_owned(),
            state: match (container.started, &*container.ended.borrow()) {
                (None, _) => FoundState::Created,
                (Some(_), None) => FoundState::Running,
                (Some(_), Some(_)) => FoundState::Exited,
            },
        })
        .collect()
    }

    /// The one line that the container prints when it starts, if it prints any; nothing if it was read before.
    pub(crate) async fn log(&self, attempt: AttemptId, since: Option<LogPlace>) -> Option<LogLine> {
        let (time, mut ended, text) = {
            let containers = self.lock();
            let container = containers.get(&attempt)?;
            (container.started?.1, container.ended.subscribe(), container.prints.clone())
        };
        // A log ends with its container.
        drop(ended.wait_for(Option::is_some).await);
        let text = text.filter(|_| since.is_none())?;
        Some(LogLine { stream: Source::Stdout, time, text })
    }

    pub(crate) fn image() -> String {
        IMAGE.to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
