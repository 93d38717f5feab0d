//! What runs containers, and the words that every engine shares: the spec of a container, how it ended, what went wrong.
//!
//! `docker` is the only module that knows Docker's words; `simulated` runs nothing, for scale and fault tests. An attempt
//! has at most one container, and a container that has run is never started again.

mod docker;
mod facts;
mod place;
mod simulated;
mod spec;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use docker::Docker;
pub(crate) use facts::{Abilities, ImageFacts, ImageFile, Peek};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
pub(crate) use place::LogPlace;
use simulated::Simulated;
pub(crate) use spec::{Bind, ContainerSpec, Network, Stop};

use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use bt_model::reason::Reason;
use tokio::io::AsyncWrite;

use crate::config::Options;

/// What runs containers. Clones share one connection's settings and limits.
#[derive(Clone)]
pub(crate) enum Engine {
    Docker(Docker),
    Simulated(Simulated),
}

impl Engine {
    /// Finds the container engine of this machine.
    pub(crate) async fn connect(options: &Options) -> Result<Self, Error> {
        Docker::connect(options.starts_at_once, options.engine_deadline).await.map(Self::Docker)
    }

    pub(crate) fn simulated() -> Self {
        Self::Simulated(Simulated::default())
    }

    /// Its name and version, e.g. `docker 20.10.24`.
    pub(crate) async fn version(&self) -> Result<String, Error> {
        match self {
            Self::Docker(docker) => docker.version().await,
            Self::Simulated(_) => Ok("simulated".to_owned()),
        }
    }

    /// What it can do; nothing where containers are only simulated.
    pub(crate) async fn abilities(&self) -> Result<Option<Abilities>, Error> {
        match self {
            Self::Docker(docker) => docker.abilities().await.map(Some),
            Self::Simulated(_) => Ok(None),
        }
    }

    /// Ids and registry digests of the images that are here.
    pub(crate) async fn images(&self) -> Result<Vec<String>, Error> {
        match self {
            Self::Docker(docker) => docker.images().await,
            Self::Simulated(_) => Ok(vec![Simulated::image()]),
        }
    }

    /// An image that is on this machine, by its name, digest or id.
    pub(crate) async fn image(&self, image: &str) -> Result<Option<ImageFacts>, Error> {
        match self {
            Self::Docker(docker) => docker.image(image).await,
            Self::Simulated(_) => Ok(Some(ImageFacts { id: Simulated::image(), ..ImageFacts::default() })),
        }
    }

    /// Pulls an image from its registry, and says how far it is.
    pub(crate) async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        tell: &(impl Fn(String) + Sync),
    ) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.pull(image, platform, tell).await,
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Loads an image as `docker save` writes it.
    pub(crate) async fn load(
        &self,
        image: &str,
        data: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.load(image, data).await,
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Gives an image a name.
    pub(crate) async fn tag(&self, id: &str, name: &str) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.tag(id, name).await,
            Self::Simulated(_) => Ok(()),
        }
    }

    /// What an image of this machine is, for people.
    pub(crate) async fn describe(&self, image: &str) -> Result<Option<ImageDetails>, Error> {
        match self {
            Self::Docker(docker) => docker.describe(image).await,
            Self::Simulated(_) => Ok(None),
        }
    }

    /// An image as `docker save` writes it.
    pub(crate) fn save(&self, image: &str) -> BoxStream<'static, Result<Bytes, Error>> {
        match self {
            Self::Docker(docker) => docker.save(image),
            Self::Simulated(_) => futures_util::stream::empty().boxed(),
        }
    }

    /// Looks into an image: at its users, and whether it has a path. The container that is made for it is left to the
    /// caller to remove.
    pub(crate) async fn peek(
        &self,
        id: AttemptId,
        agent: AgentId,
        image: &str,
        path: Option<&str>,
    ) -> Result<Peek, Error> {
        let unreadable = || ImageFile::Unreadable;
        match self {
            Self::Docker(docker) => {
                docker.create(&ContainerSpec::of_nothing(id, agent, image)).await?;
                Ok(Peek {
                    passwd: docker.file(id, "/etc/passwd").await?,
                    group: docker.file(id, "/etc/group").await?,
                    has_path: match path {
                        Some(path) => docker.has_path(id, path).await?,
                        None => false,
                    },
                })
            }
            Self::Simulated(_) => Ok(Peek { passwd: unreadable(), group: unreadable(), has_path: true }),
        }
    }

    /// Starts a command in a container that runs.
    pub(crate) async fn exec(&self, container: AttemptId, task: &Task) -> Result<Running, Error> {
        match self {
            Self::Docker(docker) => docker.exec(container, task).await,
            Self::Simulated(_) => Err(shared_by_none()),
        }
    }

    /// How a command whose output has ended has ended itself.
    pub(crate) async fn exec_end(&self, container: AttemptId, id: &str) -> Result<Exit, Error> {
        match self {
            Self::Docker(docker) => docker.exec_end(container, id).await,
            Self::Simulated(_) => Err(shared_by_none()),
        }
    }

    /// Processes of a running container that the kernel has killed for memory; nothing if that can't be told here.
    pub(crate) async fn oom_kills(&self, container: AttemptId) -> Result<Option<u64>, Error> {
        match self {
            Self::Docker(docker) => docker.oom_kills(container).await,
            Self::Simulated(_) => Err(shared_by_none()),
        }
    }

    /// True if nothing but what keeps it alive runs in a container.
    pub(crate) async fn is_at_rest(&self, container: AttemptId) -> Result<bool, Error> {
        match self {
            Self::Docker(docker) => docker.is_at_rest(container).await,
            Self::Simulated(_) => Ok(false),
        }
    }

    /// Makes and starts a container with a user at its keyboard.
    pub(crate) async fn shell(&self, spec: &ContainerSpec, tty: bool) -> Result<Shell, Error> {
        match self {
            Self::Docker(docker) => docker.shell(spec, tty).await,
            Self::Simulated(_) => {
                Err(Error::NoSuchCommand { message: "the simulated engine has no shell".to_owned() })
            }
        }
    }

    /// Tells a shell how large its user's terminal is.
    pub(crate) async fn resize(&self, attempt: AttemptId, rows: u32, columns: u32) {
        if let Self::Docker(docker) = self {
            docker.resize(attempt, rows, columns).await;
        }
    }

    /// Removes an image, unless a container needs it. Fine if it is gone.
    pub(crate) async fn remove_image(&self, image: &str) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.remove_image(image).await,
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Where a volume of the engine lies on this machine, if it tells and this process may look there; nothing if there
    /// is no such volume.
    pub(crate) async fn volume(&self, name: &str) -> Result<Option<Option<PathBuf>>, Error> {
        match self {
            Self::Docker(docker) => docker.volume(name).await,
            Self::Simulated(_) => Ok(Some(None)),
        }
    }

    /// What the container uses now; nothing if it does not run.
    pub(crate) async fn sample(&self, attempt: AttemptId) -> Result<Option<Sample>, Error> {
        match self {
            Self::Docker(docker) => docker.sample(attempt).await,
            Self::Simulated(_) => Ok(None),
        }
    }

    /// Makes the attempt's container. One that is there already is fine.
    pub(crate) async fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.create(spec).await,
            Self::Simulated(simulated) => simulated.create(spec),
        }
    }

    /// Starts the attempt's container. One that runs, or has run, is left as it is: no job runs twice in it.
    pub(crate) async fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.start(attempt).await,
            Self::Simulated(simulated) => simulated.start(attempt),
        }
    }

    /// Waits until the container has ended.
    pub(crate) async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        match self {
            Self::Docker(docker) => docker.wait(attempt).await,
            Self::Simulated(simulated) => simulated.wait(attempt).await,
        }
    }

    /// The container's log behind `since`, until the container has ended.
    pub(crate) fn logs(
        &self,
        attempt: AttemptId,
        since: Option<LogPlace>,
    ) -> impl Stream<Item = Result<LogLine, Error>> + Send + 'static {
        match self {
            Self::Docker(docker) => docker.logs(attempt, since).boxed(),
            Self::Simulated(simulated) => {
                let simulated = simulated.clone();
                let line = async move { simulated.log(attempt, since).await };
                line.into_stream().filter_map(|line| async { line.map(Ok) }).boxed()
            }
        }
    }

    /// Ends the container: SIGTERM, and SIGKILL if it still runs after `grace`. Fine if it has ended or is gone.
    pub(crate) async fn stop(&self, attempt: AttemptId, grace: Duration) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.stop(attempt, grace).await,
            Self::Simulated(simulated) => {
                simulated.stop(attempt);
                Ok(())
            }
        }
    }

    /// Removes the container, killing it first if it runs. Fine if it is gone.
    pub(crate) async fn remove(&self, attempt: AttemptId) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.remove(attempt).await,
            Self::Simulated(simulated) => {
                simulated.remove(attempt);
                Ok(())
            }
        }
    }

    /// All containers of this agent, running or not.
    pub(crate) async fn list(&self, agent: AgentId) -> Result<Vec<Found>, Error> {
        match self {
            Self::Docker(docker) => docker.list(agent).await,
            Self::Simulated(simulated) => Ok(simulated.list(agent)),
        }
    }
}

/// A command for a container that is there already.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Uid and gid; the image's user when absent.
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) working_dir: Option<String>,
}

/// A command that runs.
pub(crate) struct Running {
    /// The engine's id of it.
    pub(crate) id: String,
    /// What it prints, until it ends.
    pub(crate) lines: BoxStream<'static, Result<LogLine, Error>>,
}

/// A container's first process, for a user.
pub(crate) struct Shell {
    pub(crate) output: BoxStream<'static, Result<ShellOutput, Error>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// What it prints; with a terminal all is standard output.
pub(crate) enum ShellOutput {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}

/// What an image is, for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageDetails {
    pub(crate) id: String,
    /// Names and values.
    pub(crate) size_bytes: u64,
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What a careful owner would change.
    pub(crate) warnings: Vec<String>,
}

/// What a container uses at one moment; the sums are since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) memory_bytes: u64,
    /// Millionths of a second.
    pub(crate) cpu_micros: u64,
    pub(crate) written_bytes: u64,
}

/// How a container ended, as the engine tells it; [`classify`] says what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i64,
    /// The kernel killed a process of the container for exceeding its memory; not always the first process.
    pub(crate) oom: bool,
    /// The engine's own words about a failure; mostly empty.
    pub(crate) error: String,
    /// The engine, or the machine, was stopped while it ran, and may have ended it.
    pub(crate) interrupted: bool,
    /// How long it ran, by the engine's clock, if it tells.
    pub(crate) ran: Option<Duration>,
}

/// A container of this agent, met on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Absent when its label holds no attempt's id; such a container is a stranger's.
    pub(crate) attempt: Option<AttemptId>,
    /// The engine's id of it.
    pub(crate) container: String,
    /// The engine's id of what it runs.
    pub(crate) image_id: String,
    pub(crate) state: FoundState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundState {
    /// Made, and never started.
    Created,
    Running,
    Exited,
}

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the container engine did not answer `{call}` within {}", humantime::format_duration(*.after))]
    Timeout { call: &'static str, after: Duration },
    /// The engine is not there, or hung up. It may come back.
    #[error("{message}")]
    Unreachable { message: String },
    /// The image is not on this machine and its registry does not have it either.
    #[error("no such image: {image}: {message}")]
    NoSuchImage { image: String, message: String },
    /// The registry did not give the image; perhaps it would later, or to another agent.
    #[error("image {image} can't be pulled: {message}")]
    ImageRefused { image: String, message: String },
    /// The image has nothing to run, or the command is not in it or is not executable.
    #[error("{message}")]
    NoSuchCommand { message: String },
    /// The image has a file where a directory is to be mounted, or a directory where a file is.
    #[error("{message}")]
    Unmountable { message: String },
    #[error("{message}")]
    Volume { message: String },
    #[error("the disk of the container engine is full: {message}")]
    DiskFull { message: String },
    /// The container is not there any more; someone else removed it.
    #[error("the container of attempt {attempt} is gone; something other than this agent removed it")]
    Gone { attempt: AttemptId },
    /// The container was never started, so it can't be waited for.
    #[error("the container of attempt {attempt} was never started: {message}")]
    NotStarted { attempt: AttemptId, message: String },
    /// Anything else that the engine refused, in its own words.
    #[error("the container engine refused `{call}`: {message}")]
    Engine { call: &'static str, status: Option<u16>, message: String },
}

impl Error {
    /// True when the engine, not the request, is at fault, so that the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::DiskFull { .. } => true,
            Self::ImageRefused { .. } => true,
            Self::Engine { status, .. } => status.is_none_or(|status| status >= 500),
            Self::NoSuchImage { .. }
            | Self::NoSuchCommand { .. }
            | Self::Unmountable { .. }
            | Self::Volume { .. }
            | Self::Gone { .. }
            | Self::NotStarted { .. } => false,
        }
    }

    /// What an attempt that ends by this error failed of.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NoSuchImage { .. }
            | Self::ImageRefused { .. }
            | Self::NoSuchCommand { .. }
            | Self::Unmountable { .. } => Reason::Image(self.to_string()),
            Self::Volume { .. } => Reason::Volume(self.to_string()),
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::DiskFull { .. }
            | Self::Gone { .. }
            | Self::NotStarted { .. }
            | Self::Engine { .. } => Reason::Agent(self.to_string()),
        }
    }
}

fn shared_by_none() -> Error {
    Error::NoSuchCommand { message: "the simulated engine has no containers to share".to_owned() }
}

/// The highest signal of Linux (`SIGRTMAX`).
const SIGNAL_MAX: i64 = 64;

/// What a container's end means; `None` is success.
///
/// A process that the kernel killed for memory makes the attempt `oom` whatever the exit code says, 0 included: a
/// worker of a pool was lost, so what the rest computed can't be trusted. An exit code of 128+n stands for signal n,
/// as shells and the container's init pass it on; 137 without the kernel's word is a kill, not `oom`.
pub(crate) fn classify(exit: &Exit) -> Option<Reason> {
    if exit.oom {
        return Some(Reason::Oom);
    }
    match exit.code {
        1.. if exit.interrupted => {
            let told = "the container engine or the machine was stopped while the job ran";
            Some(Reason::Agent(told.to_owned()))
        }
        0 if exit.error.is_empty() => None,
        0 => Some(Reason::Agent(exit.error.clone())),
        code @ 129.. if code - 128 <= SIGNAL_MAX => Some(Reason::Signal((code - 128) as i32)),
        code => Some(Reason::Exit(i32::try_from(code).unwrap_or(i32::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i64, oom: bool) -> Option<String> {
        classify(&Exit { code, oom, error: String::new(), interrupted: false, ran: None })
            .map(|reason| reason.to_string())
    }

    #[test]
    fn an_end_is_told_by_code_and_memory() {
        assert_eq!(ended(0, false), None);
        assert_eq!(ended(1, false).as_deref(), Some("exit(1)"));
        assert_eq!(ended(127, false).as_deref(), Some("exit(127)"));
        assert_eq!(ended(128, false).as_deref(), Some("exit(128)"));
        assert_eq!(ended(129, false).as_deref(), Some("signal(1)"));
        assert_eq!(ended(137, false).as_deref(), Some("signal(9)"));
        assert_eq!(ended(143, false).as_deref(), Some("signal(15)"));
        assert_eq!(ended(192, false).as_deref(), Some("signal(64)"));
        assert_eq!(ended(193, false).as_deref(), Some("exit(193)"));
        assert_eq!(ended(255, false).as_deref(), Some("exit(255)"));
        assert_eq!(ended(137, true).as_deref(), Some("oom"));
        assert_eq!(ended(0, true).as_deref(), Some("oom"));
    }

    #[test]
    fn an_end_that_the_machine_may_have_made_is_its_fault() {
        let exit = |code| Exit { code, oom: false, error: String::new(), interrupted: true, ran: None };
        assert!(matches!(classify(&exit(143)), Some(Reason::Agent(_))));
        assert_eq!(classify(&exit(0)), None);
    }

    #[test]
    fn an_end_that_the_engine_complains_of_is_no_success() {
        let exit = Exit { code: 0, oom: false, error: "shim died".to_owned(), interrupted: false, ran: None };
        assert_eq!(classify(&exit), Some(Reason::Agent("shim died".to_owned())));
    }
}
