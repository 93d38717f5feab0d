//! Jobs that run as plain processes of this process's user, outside of any container (`driver: process`), beside an engine
//! that has the containers, if there is one.
//!
//! Nothing holds such a job in: it sees all files and networks that this user sees. What it started is found by its group,
//! its parents and a variable in its environment, and ends with its first process.
//!
//! A process does not outlive its agent's next start: what still runs of it then is killed, and its attempt is told that it
//! was interrupted.

mod job;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use bt_model::manifest::PROCESS_IMAGE;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::job::{Job, mark, unwritten};
use self::tree::Tree;
use crate::lines::lines;
use crate::{
    Abilities, ContainerProcess, ContainerSpec, Engine, Error, Exit, FoundContainer, FoundState,
    ImageDetails, ImageFacts, ImageFile, LogPlace, Peek, RunningCommand, Sample, Shell, Task,
};

/// What stands for the id of an image where there is none.
const IMAGE_ID: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// How long the end of what was killed may take.
const END: Duration = Duration::from_secs(20);

pub(crate) struct Processes {
    containers: Option<Arc<dyn Engine>>,
    /// Each job has a directory in it.
    dir: PathBuf,
    jobs: Mutex<HashMap<AttemptId, Arc<Job>>>,
    /// One watches each process.
    tasks: TaskTracker,
}

impl Processes {
    /// What still runs of an earlier run is killed.
    pub(crate) fn open(containers: Option<Arc<dyn Engine>>, dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut jobs = HashMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let attempt = entry.file_name().to_str().and_then(|name| name.parse::<AttemptId>().ok());
            let Some(attempt) = attempt else { continue };
            if !Tree::new(mark(attempt), None).kill() {
                warn!(attempt.id = %attempt, "processes that an earlier run of the agent left can't be killed");
            }
            jobs.insert(attempt, Arc::new(Job::found(attempt, entry.path())));
        }
        Ok(Self { containers, dir, jobs: Mutex::new(jobs), tasks: TaskTracker::new() })
    }

    fn job(&self, attempt: AttemptId) -> Option<Arc<Job>> {
        self.lock().get(&attempt).cloned()
    }

    fn containers(&self) -> Result<&dyn Engine, Error> {
        self.containers.as_deref().ok_or_else(|| Error::Unreachable {
            message: "this agent has no container engine (--no-engine) and runs process jobs only".to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_ours(image: &str) -> bool {
    image == PROCESS_IMAGE || image == IMAGE_ID
}

fn no_container() -> Error {
    Error::NoSuchCommand {
        message: "a job of `driver: process` has no container in which a command could run".to_owned(),
    }
}

/// Does what looks through `/proc` or waits, away from the threads that must not wait.
async fn apart(job: &Arc<Job>, action: impl FnOnce(&Job) + Send + 'static) {
    let job = job.clone();
    if let Err(error) = spawn_blocking(move || action(&job)).await {
        warn!(%error, "a process could not be dealt with");
    }
}

fn signal_of(name: &str) -> Signal {
    match name {
        "SIGINT" => Signal::INT,
        "SIGQUIT" => Signal::QUIT,
        "SIGHUP" => Signal::HUP,
        "SIGUSR1" => Signal::USR1,
        "SIGUSR2" => Signal::USR2,
        "SIGKILL" => Signal::KILL,
        _ => Signal::TERM,
    }
}

#[async_trait]
impl Engine for Processes {
    async fn version(&self) -> Result<String, Error> {
        match &self.containers {
            Some(engine) => engine.version().await,
            None => Ok("no container engine".to_owned()),
        }
    }

    fn mounts_files(&self) -> bool {
        self.containers.as_ref().is_none_or(|engine| engine.mounts_files())
    }

    async fn abilities(&self) -> Result<Option<Abilities>, Error> {
        match &self.containers {
            Some(engine) => engine.abilities().await,
            None => Ok(None),
        }
    }

    async fn images(&self) -> Result<Vec<String>, Error> {
        match &self.containers {
            Some(engine) => engine.images().await,
            None => Ok(Vec::new()),
        }
    }

    async fn image(&self, image: &str) -> Result<Option<ImageFacts>, Error> {
        match is_ours(image) {
            true => Ok(Some(ImageFacts { id: IMAGE_ID.to_owned(), ..ImageFacts::default() })),
            false => self.containers()?.image(image).await,
        }
    }

    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<(), Error> {
        self.containers()?.pull(image, platform, tell).await
    }

    async fn load(&self, image: &str, data: BoxStream<'static, io::Result<Bytes>>) -> Result<(), Error> {
        self.containers()?.load(image, data).await
    }

    async fn tag(&self, id: &str, name: &str) -> Result<(), Error> {
        self.containers()?.tag(id, name).await
    }

    async fn describe(&self, image: &str) -> Result<Option<ImageDetails>, Error> {
        match is_ours(image) {
            true => Ok(None),
            false => self.containers()?.describe(image).await,
        }
    }

    fn save(&self, image: &str) -> BoxStream<'static, Result<Bytes, Error>> {
        match self.containers() {
            Ok(engine) => engine.save(image),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn remove_image(&self, image: &str) -> Result<(), Error> {
        match is_ours(image) {
            true => Ok(()),
            false => self.containers()?.remove_image(image).await,
        }
    }

    async fn peek(
        &self,
        id: AttemptId,
        agent: AgentId,
        image: &str,
        path: Option<&str>,
    ) -> Result<Peek, Error> {
        match is_ours(image) {
            true => Ok(Peek { passwd: ImageFile::Unreadable, group: ImageFile::Unreadable, has_path: true }),
            false => self.containers()?.peek(id, agent, image, path).await,
        }
    }

    async fn volume(&self, name: &str) -> Result<Option<Option<PathBuf>>, Error> {
        self.containers()?.volume(name).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        if !spec.is_process {
            return self.containers()?.create(spec).await;
        }
        if self.job(spec.attempt).is_some_and(|job| job.has_started()) {
            return Ok(());
        }
        let made = Job::make(spec, self.dir.join(spec.attempt.to_string()));
        let made = made.map_err(|error| unwritten("create", &error))?;
        self.lock().insert(spec.attempt, Arc::new(made));
        Ok(())
    }

    async fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        let Some(job) = self.job(attempt) else { return self.containers()?.start(attempt).await };
        let count = self.lock().len();
        job.start(count, &self.tasks)
    }

    async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        let Some(job) = self.job(attempt) else { return self.containers()?.wait(attempt).await };
        if !job.has_started() {
            let message = "it was made, and nothing more".to_owned();
            return Err(Error::NotStarted { attempt, message });
        }
        let mut ended = job.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| exit.clone()).ok_or(Error::Gone { attempt })
    }

    fn logs(
        &self,
        attempt: AttemptId,
        since: Option<LogPlace>,
    ) -> BoxStream<'static, Result<LogLine, Error>> {
        let Some(job) = self.job(attempt) else {
            return match self.containers() {
                Ok(engine) => engine.logs(attempt, since),
                Err(error) => stream::iter([Err(error)]).boxed(),
            };
        };
        let Some(output) = job.output() else { return stream::empty().boxed() };
        let broken =
            |error: io::Error| Error::Engine { call: "logs", status: None, message: error.to_string() };
        lines(output.map(move |piece| piece.map_err(broken))).boxed()
    }

    async fn sample(&self, attempt: AttemptId) -> Result<Option<Sample>, Error> {
        match self.job(attempt) {
            Some(job) => Ok(job.used()),
            None => self.containers()?.sample(attempt).await,
        }
    }

    async fn stop(&self, attempt: AttemptId, grace: Duration) -> Result<(), Error> {
        let Some(job) = self.job(attempt) else { return self.containers()?.stop(attempt, grace).await };
        if job.has_ended() || !job.has_started() {
            return Ok(());
        }
        let signal = signal_of(job.stop_signal());
        apart(&job, move |job| {
            job.signal(signal);
            // What stands still hears nothing.
            job.signal(Signal::CONT);
        })
        .await;
        let mut ended = job.ended.subscribe();
        if timeout(grace, ended.wait_for(Option::is_some)).await.is_err() {
            apart(&job, Job::kill).await;
        }
        Ok(())
    }

    async fn freeze(&self, container: AttemptId) -> Result<(), Error> {
        match self.job(container) {
            Some(job) => apart(&job, |job| job.freeze(true)).await,
            None => self.containers()?.freeze(container).await?,
        }
        Ok(())
    }

    async fn thaw(&self, container: AttemptId) -> Result<(), Error> {
        match self.job(container) {
            Some(job) => apart(&job, |job| job.freeze(false)).await,
            None => self.containers()?.thaw(container).await?,
        }
        Ok(())
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), Error> {
        let Some(job) = self.job(attempt) else {
            return match &self.containers {
                Some(engine) => engine.remove(attempt).await,
                None => Ok(()),
            };
        };
        if job.has_started() && !job.has_ended() {
            apart(&job, Job::kill).await;
            let mut ended = job.ended.subscribe();
            if timeout(END, ended.wait_for(Option::is_some)).await.is_err() {
                return Err(Error::Timeout { call: "remove", after: END });
            }
        }
        let removed = job.clone();
        let removed = spawn_blocking(move || removed.remove_files()).await;
        match removed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(unwritten("remove", &error)),
            Err(error) => warn!(%error, "the directory of a process is left"),
        }
        self.lock().remove(&attempt);
        Ok(())
    }

    async fn owners(&self) -> Result<BTreeMap<String, u32>, Error> {
        let mut owners = match &self.containers {
            Some(engine) => engine.owners().await?,
            None => BTreeMap::new(),
        };
        for job in self.lock().values() {
            *owners.entry(job.agent.clone()).or_default() += 1;
        }
        Ok(owners)
    }

    async fn list(&self, agent: AgentId) -> Result<Vec<FoundContainer>, Error> {
        let mut found = match &self.containers {
            Some(engine) => engine.list(agent).await?,
            None => Vec::new(),
        };
        let jobs = self.lock();
        found.extend(jobs.values().filter(|job| job.is_of(agent)).map(|job| FoundContainer {
            attempt: Some(job.attempt),
            container: job.attempt.to_string(),
            image_id: IMAGE_ID.to_owned(),
            state: match (job.has_started(), job.has_ended()) {
                (false, _) => FoundState::Created,
                (true, false) => FoundState::Running,
                (true, true) => FoundState::Exited,
            },
            is_frozen: job.is_frozen(),
            mounts: Vec::new(),
        }));
        Ok(found)
    }

    async fn exec(&self, container: AttemptId, task: &Task) -> Result<RunningCommand, Error> {
        match self.job(container) {
            Some(_) => Err(no_container()),
            None => self.containers()?.exec(container, task).await,
        }
    }

    async fn exec_end(&self, container: AttemptId, id: &str) -> Result<Exit, Error> {
        self.containers()?.exec_end(container, id).await
    }

    async fn oom_kills(&self, container: AttemptId) -> Result<Option<u64>, Error> {
        match self.job(container) {
            Some(_) => Ok(None),
            None => self.containers()?.oom_kills(container).await,
        }
    }

    async fn process(&self, container: AttemptId) -> Result<Option<ContainerProcess>, Error> {
        match self.job(container) {
            Some(_) => Ok(None),
            None => self.containers()?.process(container).await,
        }
    }

    async fn is_at_rest(&self, container: AttemptId) -> Result<bool, Error> {
        match self.job(container) {
            Some(_) => Ok(false),
            None => self.containers()?.is_at_rest(container).await,
        }
    }

    async fn shell(&self, spec: &ContainerSpec, tty: bool) -> Result<Shell, Error> {
        match spec.is_process {
            true => Err(no_container()),
            false => self.containers()?.shell(spec, tty).await,
        }
    }

    async fn resize(&self, attempt: AttemptId, rows: u32, columns: u32) {
        if let Some(engine) = &self.containers {
            engine.resize(attempt, rows, columns).await;
        }
    }
}
