//! All that an engine does, in one list; how Docker does it is in the files beside this one.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::Docker;
use crate::{
    Abilities, ContainerProcess, ContainerSpec, Engine, Error, Exit, FoundContainer, ImageDetails,
    ImageFacts, LogPlace, Peek, RunningCommand, Sample, Shell, Task,
};

#[async_trait]
impl Engine for Docker {
    async fn version(&self) -> Result<String, Error> {
        self.version().await
    }

    async fn abilities(&self) -> Result<Option<Abilities>, Error> {
        self.abilities().await.map(Some)
    }

    async fn images(&self) -> Result<Vec<String>, Error> {
        self.images().await
    }

    async fn image(&self, image: &str) -> Result<Option<ImageFacts>, Error> {
        self.image(image).await
    }

    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<(), Error> {
        self.pull(image, platform, tell).await
    }

    async fn load(&self, image: &str, data: BoxStream<'static, io::Result<Bytes>>) -> Result<(), Error> {
        self.load(image, data).await
    }

    async fn tag(&self, id: &str, name: &str) -> Result<(), Error> {
        self.tag(id, name).await
    }

    async fn describe(&self, image: &str) -> Result<Option<ImageDetails>, Error> {
        self.describe(image).await
    }

    fn save(&self, image: &str) -> BoxStream<'static, Result<Bytes, Error>> {
        self.save(image)
    }

    async fn remove_image(&self, image: &str) -> Result<(), Error> {
        self.remove_image(image).await
    }

    async fn peek(
        &self,
        id: AttemptId,
        agent: AgentId,
        image: &str,
        path: Option<&str>,
    ) -> Result<Peek, Error> {
        self.peek(id, agent, image, path).await
    }

    async fn volume(&self, name: &str) -> Result<Option<Option<PathBuf>>, Error> {
        self.volume(name).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        self.create(spec).await
    }

    async fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        self.start(attempt).await
    }

    async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        self.wait(attempt).await
    }

    fn logs(
        &self,
        attempt: AttemptId,
        since: Option<LogPlace>,
    ) -> BoxStream<'static, Result<LogLine, Error>> {
        self.logs(attempt, since).boxed()
    }

    async fn sample(&self, attempt: AttemptId) -> Result<Option<Sample>, Error> {
        self.sample(attempt).await
    }

    async fn stop(&self, attempt: AttemptId, grace: Duration) -> Result<(), Error> {
        self.stop(attempt, grace).await
    }

    async fn freeze(&self, container: AttemptId) -> Result<(), Error> {
        self.freeze(container).await
    }

    async fn thaw(&self, container: AttemptId) -> Result<(), Error> {
        self.thaw(container).await
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), Error> {
        self.remove(attempt).await
    }

    async fn owners(&self) -> Result<BTreeMap<String, u32>, Error> {
        self.owners().await
    }

    async fn list(&self, agent: AgentId) -> Result<Vec<FoundContainer>, Error> {
        self.list(agent).await
    }

    async fn exec(&self, container: AttemptId, task: &Task) -> Result<RunningCommand, Error> {
        self.exec(container, task).await
    }

    async fn exec_end(&self, container: AttemptId, id: &str) -> Result<Exit, Error> {
        self.exec_end(container, id).await
    }

    async fn oom_kills(&self, container: AttemptId) -> Result<Option<u64>, Error> {
        self.oom_kills(container).await
    }

    async fn process(&self, container: AttemptId) -> Result<Option<ContainerProcess>, Error> {
        self.process(container).await
    }

    async fn is_at_rest(&self, container: AttemptId) -> Result<bool, Error> {
        self.is_at_rest(container).await
    }

    async fn shell(&self, spec: &ContainerSpec, tty: bool) -> Result<Shell, Error> {
        self.shell(spec, tty).await
    }

    async fn resize(&self, attempt: AttemptId, rows: u32, columns: u32) {
        self.resize(attempt, rows, columns).await;
    }
}
