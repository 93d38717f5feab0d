//! Running containers on one machine: the engines, what they share, and what a machine has to give.
//!
//! [`Engine`] is what runs containers; `docker` is the only module that knows Docker's words, `process` runs
//! jobs outside of any container, and `simulated` runs nothing, for scale and fault tests. Beside them lies what is known of a machine without any coordinator: its size and capacity
//! ([`machine`], [`sizing`], [`capacity`]), what of it jobs may mount ([`volumes`]), and the files that containers leave
//! ([`collect`], [`logfile`]). Nothing here knows the wire or the queue.
//!
//! An attempt has at most one container, and a container that has run is never started again.

pub mod archive;
pub mod capacity;
pub mod collect;
mod command;
mod docker;
mod error;
mod exit;
mod facts;
mod found;
pub mod lines;
pub mod logfile;
pub mod login;
pub mod machine;
mod measured;
mod place;
mod process;
mod shared_paths;
mod simulated;
pub mod sizing;
mod spec;
pub mod volumes;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use command::{RunningCommand, Shell, ShellOutput, Task};
pub use error::Error;
pub use exit::{Exit, classify};
pub use facts::{Abilities, ImageDetails, ImageFacts, ImageFile, Peek};
pub use found::{ContainerProcess, FoundContainer, FoundState, Sample};
use measured::Measured;
pub use place::LogPlace;
pub use shared_paths::SharedPaths;
pub use spec::{Bind, ContainerSpec, Network, Stop};

/// Finds the container engine of this machine. Of its containers `starts_at_once` are made or started at once, and each
/// such call may take `deadline`.
///
/// The error is a sentence for the machine's owner: what to install, to start or to allow.
pub async fn connect(starts_at_once: u32, deadline: Duration) -> Result<Arc<dyn Engine>, Error> {
    Ok(Arc::new(Measured(docker::Docker::connect(starts_at_once, deadline).await?)))
}

/// An engine that runs no container, for scale and fault tests.
pub fn simulated() -> Arc<dyn Engine> {
    Arc::new(Measured(simulated::Simulated::default()))
}

/// The same engine, and beside it jobs that run as plain processes, each with a directory in `dir`. Without an engine it
/// runs such jobs only.
pub fn with_processes(containers: Option<Arc<dyn Engine>>, dir: PathBuf) -> io::Result<Arc<dyn Engine>> {
    Ok(Arc::new(process::Processes::open(containers, dir)?))
}

/// What runs containers.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Its name and version, e.g. `docker 20.10.24`.
    async fn version(&self) -> Result<String, Error>;

    /// False where containers see no files of this machine: then only what they leave needs a directory.
    fn mounts_files(&self) -> bool {
        true
    }

    /// What it can do; nothing where containers are only simulated.
    async fn abilities(&self) -> Result<Option<Abilities>, Error>;

    /// Ids and registry digests of the images that are here.
    async fn images(&self) -> Result<Vec<String>, Error>;

    /// An image that is on this machine, by its name, digest or id.
    async fn image(&self, image: &str) -> Result<Option<ImageFacts>, Error>;

    /// Pulls an image from its registry, and says how far it is.
    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<(), Error>;

    /// Loads an image as `docker save` writes it.
    async fn load(&self, image: &str, data: BoxStream<'static, io::Result<Bytes>>) -> Result<(), Error>;

    /// Gives an image a name.
    async fn tag(&self, id: &str, name: &str) -> Result<(), Error>;

    /// What an image of this machine is, for people.
    async fn describe(&self, image: &str) -> Result<Option<ImageDetails>, Error>;

    /// An image as `docker save` writes it.
    fn save(&self, image: &str) -> BoxStream<'static, Result<Bytes, Error>>;

    /// Removes an image, unless a container needs it. Fine if it is gone.
    async fn remove_image(&self, image: &str) -> Result<(), Error>;

    /// Looks into an image: at its users, and whether it has a path. The container that is made for it is left to the
    /// caller to remove.
    async fn peek(
        &self,
        id: AttemptId,
        agent: AgentId,
        image: &str,
        path: Option<&str>,
    ) -> Result<Peek, Error>;

    /// Where a volume of the engine lies on this machine, if it tells and this process may look there; nothing if there
    /// is no such volume.
    async fn volume(&self, name: &str) -> Result<Option<Option<PathBuf>>, Error>;

    /// Makes the attempt's container. One that is there already is fine.
    async fn create(&self, spec: &ContainerSpec) -> Result<(), Error>;

    /// Starts the attempt's container. One that runs, or has run, is left as it is: no job runs twice in it.
    async fn start(&self, attempt: AttemptId) -> Result<(), Error>;

    /// Waits until the container has ended.
    async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error>;

    /// The container's log behind `since`, both streams in the order in which they came, until the container has ended.
    /// An error is the last item.
    fn logs(&self, attempt: AttemptId, since: Option<LogPlace>)
    -> BoxStream<'static, Result<LogLine, Error>>;

    /// What the container uses now; nothing if it does not run.
    async fn sample(&self, attempt: AttemptId) -> Result<Option<Sample>, Error>;

    /// Ends the container: SIGTERM, and SIGKILL if it still runs after `grace`. Fine if it has ended or is gone.
    async fn stop(&self, attempt: AttemptId, grace: Duration) -> Result<(), Error>;

    /// Lets all processes of a container stand still, as they are. Fine if they do already, if it has ended or is gone.
    async fn freeze(&self, container: AttemptId) -> Result<(), Error>;

    /// Lets a container that was frozen go on. Fine if it runs, has ended or is gone.
    async fn thaw(&self, container: AttemptId) -> Result<(), Error>;

    /// Removes the container, killing it first if it runs. Fine if it is gone.
    async fn remove(&self, attempt: AttemptId) -> Result<(), Error>;

    /// How many containers there are of each agent, by its id as their label has it.
    async fn owners(&self) -> Result<BTreeMap<String, u32>, Error>;

    /// All containers that carry this agent's label, running or not.
    async fn list(&self, agent: AgentId) -> Result<Vec<FoundContainer>, Error>;

    /// Starts a command in a container that runs.
    async fn exec(&self, container: AttemptId, task: &Task) -> Result<RunningCommand, Error>;

    /// How a command whose output has ended has ended itself.
    async fn exec_end(&self, container: AttemptId, id: &str) -> Result<Exit, Error>;

    /// Processes of a running container that the kernel has killed for memory; nothing if that can't be told here.
    async fn oom_kills(&self, container: AttemptId) -> Result<Option<u64>, Error>;

    /// The first process of a container; nothing if it does not run.
    async fn process(&self, container: AttemptId) -> Result<Option<ContainerProcess>, Error>;

    /// True if nothing but what keeps it alive runs in a container.
    async fn is_at_rest(&self, container: AttemptId) -> Result<bool, Error>;

    /// Makes and starts a container with a user at its keyboard.
    async fn shell(&self, spec: &ContainerSpec, tty: bool) -> Result<Shell, Error>;

    /// Tells a shell how large its user's terminal is.
    async fn resize(&self, attempt: AttemptId, rows: u32, columns: u32);
}
