//! What runs containers, and the words that every engine shares: the spec of a container, how it ended, what went wrong.
//!
//! `docker` is the only module that knows Docker's words; `simulated` runs nothing, for scale and fault tests. An attempt
//! has at most one container, and a container that has run is never started again.

mod docker;
mod error;
mod exit;
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
pub(crate) use error::Error;
pub(crate) use exit::{Exit, classify};
pub(crate) use facts::{Abilities, ImageFacts, ImageFile, Peek};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
pub(crate) use place::LogPlace;
use simulated::Simulated;
pub(crate) use spec::{Bind, ContainerSpec, Network, Stop};

use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
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

fn shared_by_none() -> Error {
    Error::NoSuchCommand { message: "the simulated engine has no containers to share".to_owned() }
}
