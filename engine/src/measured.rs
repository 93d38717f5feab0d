//! An engine whose calls are counted and timed.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bt_measures::{ENGINE, ENGINE_TIME};
use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{
    Abilities, ContainerProcess, ContainerSpec, Engine, Error, Exit, FoundContainer, ImageDetails,
    ImageFacts, LogPlace, Peek, RunningCommand, Sample, Shell, Task,
};

/// What is asked of it goes to the engine within.
pub(crate) struct Measured<E>(pub(crate) E);

async fn timed<T>(
    operation: &'static str,
    calling: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let began = Instant::now();
    let answer = counted(operation, calling).await;
    ENGINE_TIME.record([operation], began.elapsed());
    answer
}

/// Of a call that lasts as long as a job, only how it ended is noted.
async fn counted<T>(
    operation: &'static str,
    calling: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = calling.await;
    ENGINE.add([operation, outcome(&answer)], 1);
    answer
}

fn outcome<T>(answer: &Result<T, Error>) -> &'static str {
    let Err(error) = answer else { return "ok" };
    match error {
        Error::Timeout { .. } => "timeout",
        Error::Unreachable { .. } => "unreachable",
        Error::NoSuchImage { .. } | Error::ImageRefused { .. } => "image",
        Error::DiskFull { .. } => "disk_full",
        Error::Gone { .. } | Error::NotStarted { .. } => "gone",
        Error::NoSuchCommand { .. } | Error::Unmountable { .. } | Error::Volume { .. } => "refused",
        Error::Engine { .. } => "failed",
    }
}

#[async_trait]
impl<E: Engine> Engine for Measured<E> {
    async fn version(&self) -> Result<String, Error> {
        timed("version", self.0.version()).await
    }

    fn mounts_files(&self) -> bool {
        self.0.mounts_files()
    }

    async fn abilities(&self) -> Result<Option<Abilities>, Error> {
        timed("abilities", self.0.abilities()).await
    }

    async fn images(&self) -> Result<Vec<String>, Error> {
        timed("images", self.0.images()).await
    }

    async fn image(&self, image: &str) -> Result<Option<ImageFacts>, Error> {
        timed("image", self.0.image(image)).await
    }

    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<(), Error> {
        timed("pull", self.0.pull(image, platform, tell)).await
    }

    async fn load(&self, image: &str, data: BoxStream<'static, io::Result<Bytes>>) -> Result<(), Error> {
        timed("load", self.0.load(image, data)).await
    }

    async fn tag(&self, id: &str, name: &str) -> Result<(), Error> {
        timed("tag", self.0.tag(id, name)).await
    }

    async fn describe(&self, image: &str) -> Result<Option<ImageDetails>, Error> {
        timed("describe", self.0.describe(image)).await
    }

    fn save(&self, image: &str) -> BoxStream<'static, Result<Bytes, Error>> {
        self.0.save(image)
    }

    async fn remove_image(&self, image: &str) -> Result<(), Error> {
        timed("remove_image", self.0.remove_image(image)).await
    }

    async fn peek(
        &self,
        id: AttemptId,
        agent: AgentId,
        image: &str,
        path: Option<&str>,
    ) -> Result<Peek, Error> {
        timed("peek", self.0.peek(id, agent, image, path)).await
    }

    async fn volume(&self, name: &str) -> Result<Option<Option<PathBuf>>, Error> {
        timed("volume", self.0.volume(name)).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        timed("create", self.0.create(spec)).await
    }

    async fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        timed("start", self.0.start(attempt)).await
    }

    async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        counted("wait", self.0.wait(attempt)).await
    }

    fn logs(
        &self,
        attempt: AttemptId,
        since: Option<LogPlace>,
    ) -> BoxStream<'static, Result<LogLine, Error>> {
        self.0.logs(attempt, since)
    }

    async fn sample(&self, attempt: AttemptId) -> Result<Option<Sample>, Error> {
        timed("sample", self.0.sample(attempt)).await
    }

    async fn stop(&self, attempt: AttemptId, grace: Duration) -> Result<(), Error> {
        // It lasts as long as the job takes to stop.
        counted("stop", self.0.stop(attempt, grace)).await
    }

    async fn freeze(&self, container: AttemptId) -> Result<(), Error> {
        timed("freeze", self.0.freeze(container)).await
    }

    async fn thaw(&self, container: AttemptId) -> Result<(), Error> {
        timed("thaw", self.0.thaw(container)).await
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), Error> {
        timed("remove", self.0.remove(attempt)).await
    }

    async fn owners(&self) -> Result<BTreeMap<String, u32>, Error> {
        timed("owners", self.0.owners()).await
    }

    async fn list(&self, agent: AgentId) -> Result<Vec<FoundContainer>, Error> {
        timed("list", self.0.list(agent)).await
    }

    async fn exec(&self, container: AttemptId, task: &Task) -> Result<RunningCommand, Error> {
        timed("exec", self.0.exec(container, task)).await
    }

    async fn exec_end(&self, container: AttemptId, id: &str) -> Result<Exit, Error> {
        timed("exec_end", self.0.exec_end(container, id)).await
    }

    async fn oom_kills(&self, container: AttemptId) -> Result<Option<u64>, Error> {
        timed("oom_kills", self.0.oom_kills(container)).await
    }

    async fn process(&self, container: AttemptId) -> Result<Option<ContainerProcess>, Error> {
        timed("process", self.0.process(container)).await
    }

    async fn is_at_rest(&self, container: AttemptId) -> Result<bool, Error> {
        timed("is_at_rest", self.0.is_at_rest(container)).await
    }

    async fn shell(&self, spec: &ContainerSpec, tty: bool) -> Result<Shell, Error> {
        timed("shell", self.0.shell(spec, tty)).await
    }

    async fn resize(&self, attempt: AttemptId, rows: u32, columns: u32) {
        self.0.resize(attempt, rows, columns).await;
    }
}
