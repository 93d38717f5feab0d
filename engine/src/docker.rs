//! Docker, and what speaks its Engine API. This module and those under it are the only ones that name bollard.
//!
//! Every call has a deadline, since an Engine can wedge so that it answers `version` and starts nothing. Containers are
//! named after their attempt, so each call can be repeated safely after an answer was lost.

mod abilities;
mod body;
mod cgroup;
mod describe;
mod engine;
mod exec;
mod fault;
mod follow;
mod freeze;
mod image;
mod kernel_log;
mod memory;
mod mend;
mod oom;
mod output;
mod peek;
mod podman;
mod resume;
mod shell;
#[cfg(test)]
mod tests;
mod usage;
mod wait;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummaryStateEnum,
    SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, ListImagesOptions,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use crate::docker::cgroup::{Group, GroupLook};
use crate::docker::fault::{HEAD_DEADLINE, within};
use crate::docker::memory::Memory;
use crate::{ContainerProcess, ContainerSpec, Error, FoundContainer, FoundState};

/// How long a call that only reads may take.
const READ_DEADLINE: Duration = Duration::from_secs(30);

const LABEL_ATTEMPT: &str = "btctl.attempt";
const LABEL_AGENT: &str = "btctl.agent";
const LABEL_SWEEP: &str = "btctl.sweep";
const LABEL_JOB: &str = "btctl.job";

/// The output of a container that was attached to before it started.
type ContainerOutput = BoxStream<'static, Result<LogLine, bollard::errors::Error>>;

/// A Docker Engine, or Podman behind its Docker-compatible socket. Clones share one connection's settings and limits.
#[derive(Clone)]
pub(crate) struct Docker {
    client: bollard::Docker,
    /// It is Podman, which answers otherwise in places.
    podman: bool,
    /// Containers that may be made or started at once; an Engine that is asked for dozens has been seen to wedge.
    starts: Arc<Semaphore>,
    /// How long making, starting, stopping or removing one container may take; a busy disk makes these slow.
    deadline: Duration,
    /// Control groups of containers that run, where they can be seen from here.
    groups: Arc<Mutex<HashMap<AttemptId, Group>>>,
    memory: Arc<Memory>,
    /// What containers write whose log is not read yet.
    outputs: Arc<Mutex<HashMap<AttemptId, ContainerOutput>>>,
    /// Its log driver leaves out the newline of a line that it keeps in pieces.
    forgets_newlines: bool,
}

impl Docker {
    /// Finds the Engine by `DOCKER_HOST` (`unix://` or `tcp://`) or at its usual socket, and agrees on an API version.
    ///
    /// The error is a sentence for the machine's owner: what to install, to start or to allow.
    pub(crate) async fn connect(starts_at_once: u32, deadline: Duration) -> Result<Self, Error> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self::connect_to(host.as_deref().unwrap_or(fault::USUAL_HOST), starts_at_once, deadline).await
    }

    /// As [`connect`](Self::connect), to the Engine at `host`.
    pub(crate) async fn connect_to(
        host: &str,
        starts_at_once: u32,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let client = if host.starts_with("unix://") {
            bollard::Docker::connect_with_unix(host, HEAD_DEADLINE.as_secs(), bollard::API_DEFAULT_VERSION)
        } else if host.starts_with("tcp://") || host.starts_with("http://") {
            bollard::Docker::connect_with_http(host, HEAD_DEADLINE.as_secs(), bollard::API_DEFAULT_VERSION)
        } else {
            return Err(Error::Unreachable {
                message: format!(
                    "DOCKER_HOST is `{host}`, which btctl can't use; it must begin with unix:// or tcp://"
                ),
            });
        };
        let client = client.map_err(|error| fault::connecting(host, &error))?;
        let client = tokio::time::timeout(READ_DEADLINE, client.negotiate_version())
            .await
            .map_err(|_| Error::Timeout { call: "version", after: READ_DEADLINE })?
            .map_err(|error| fault::connecting(host, &error))?;
        let version = within("version", READ_DEADLINE, None, client.version()).await?;
        let podman = podman::is(&version);
        if podman {
            podman::warn(&version);
        }
        let info = within("info", READ_DEADLINE, None, client.info()).await?;
        let is_watched = !podman
            && info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::CGROUPFS)
            && info.cgroup_version != Some(SystemInfoCgroupVersionEnum::_2);
        Ok(Self {
            client,
            podman,
            starts: Arc::new(Semaphore::new(starts_at_once as usize)),
            deadline,
            groups: Arc::default(),
            memory: Arc::new(Memory::new(is_watched)),
            outputs: Arc::default(),
            forgets_newlines: !podman && version.api_version.as_deref().is_some_and(is_before_docker_23),
        })
    }

    /// The engine's name and version, e.g. `docker 20.10.24`.
    pub(crate) async fn version(&self) -> Result<String, Error> {
        let version = within("version", READ_DEADLINE, None, self.client.version()).await?;
        let name = if podman::is(&version) { "podman" } else { "docker" };
        Ok(format!("{name} {}", version.version.as_deref().unwrap_or("of unknown version")))
    }

    /// Ids and registry digests of the images that are here.
    pub(crate) async fn images(&self) -> Result<Vec<String>, Error> {
        let options = None::<ListImagesOptions>;
        let images = within("images", READ_DEADLINE, None, self.client.list_images(options)).await?;
        Ok(images.into_iter().flat_map(|image| image.repo_digests.into_iter().chain([image.id])).collect())
    }

    /// Makes the attempt's container. One that is there already is fine.
    pub(crate) async fn create(&self, spec: &ContainerSpec) -> Result<(), Error> {
        self.create_with(spec, body::of(spec)).await
    }

    async fn create_with(&self, spec: &ContainerSpec, mut body: ContainerCreateBody) -> Result<(), Error> {
        if self.podman {
            podman::check(spec).await?;
            podman::adapt(&mut body);
        }
        let _turn = self.turn().await;
        let options = CreateContainerOptionsBuilder::new().name(&name(spec.attempt));
        let options = match &spec.platform {
            Some(platform) => options.platform(platform).build(),
            None => options.build(),
        };
        let call = self.client.create_container(Some(options), body);
        match within("create", self.deadline, None, call).await {
            Ok(created) => {
                for warning in created.warnings {
                    tracing::debug!(attempt = %spec.attempt, "the engine warns: {warning}");
                }
                Ok(())
            }
            Err(Error::Engine { status: Some(409), message, .. }) => self
                .inspect(spec.attempt)
                .await
                .map(drop)
                .map_err(|_| Error::Engine { call: "create", status: Some(409), message }),
            Err(Error::Engine { status: Some(404), message, .. }) => {
                Err(Error::NoSuchImage { image: spec.image.clone(), message })
            }
            Err(error) => Err(error),
        }
    }

    /// Starts the attempt's container. One that runs, or has run, is left as it is: no job runs twice in it.
    ///
    /// Must not race with [`stop`](Self::stop) for the same attempt: a stop that comes first finds nothing to stop.
    pub(crate) async fn start(&self, attempt: AttemptId) -> Result<(), Error> {
        let found = self.inspect(attempt).await?;
        if found.state.unwrap_or_default().status != Some(ContainerStateStatusEnum::CREATED) {
            return Ok(());
        }
        let _turn = self.turn().await;
        self.memory.watch(attempt, &found.id.unwrap_or_default());
        // Podman's log is as exact, and its attached readers can miss lines.
        if !self.podman {
            match self.attach(attempt).await {
                Ok(output) => {
                    self.outputs().insert(attempt, output);
                }
                Err(error) => {
                    tracing::warn!(%attempt, %error, "the log is read from the engine's copy");
                }
            }
        }
        self.start_unattached(attempt).await
    }

    async fn start_unattached(&self, attempt: AttemptId) -> Result<(), Error> {
        let name = name(attempt);
        let call = self.client.start_container(&name, None::<StartContainerOptions>);
        within("start", self.deadline, Some(attempt), call).await
    }

    fn outputs(&self) -> MutexGuard<'_, HashMap<AttemptId, ContainerOutput>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the container by the signal that it was made with, and SIGKILL if it still runs after `grace`. Fine if it has
    /// ended or is gone.
    pub(crate) async fn stop(&self, attempt: AttemptId, grace: Duration) -> Result<(), Error> {
        // The Engine counts whole seconds; a part of one is given, not taken.
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let name = name(attempt);
        let call = self.client.stop_container(&name, Some(options));
        match within("stop", grace + self.deadline, Some(attempt), call).await {
            Err(Error::Gone { .. }) => Ok(()),
            other => other,
        }
    }

    /// Removes the container, killing it first if it runs, and its anonymous volumes. Fine if it is gone.
    pub(crate) async fn remove(&self, attempt: AttemptId) -> Result<(), Error> {
        self.groups().remove(&attempt);
        self.outputs().remove(&attempt);
        self.memory.forget(attempt);
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let name = name(attempt);
        let call = self.client.remove_container(&name, Some(options));
        match within("remove", self.deadline, Some(attempt), call).await {
            Err(Error::Gone { .. }) => Ok(()),
            // Another remove is under way and will end it.
            Err(Error::Engine { status: Some(409), message, .. }) if message.contains("in progress") => {
                Ok(())
            }
            other => other,
        }
    }

    /// How many containers carry each agent's label, running or not.
    pub(crate) async fn owners(&self) -> Result<BTreeMap<String, u32>, Error> {
        let filters = HashMap::from([("label", vec![LABEL_AGENT.to_owned()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let call = async { podman::in_dockers_words(self.client.list_containers(Some(options)).await) };
        let mut owners = BTreeMap::new();
        for container in within("list", READ_DEADLINE, None, call).await? {
            if let Some(agent) = container.labels.and_then(|mut labels| labels.remove(LABEL_AGENT)) {
                *owners.entry(agent).or_default() += 1;
            }
        }
        Ok(owners)
    }

    /// All containers that carry this agent's label, running or not.
    pub(crate) async fn list(&self, agent: AgentId) -> Result<Vec<FoundContainer>, Error> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_AGENT}={agent}")])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let call = async { podman::in_dockers_words(self.client.list_containers(Some(options)).await) };
        let listed = within("list", READ_DEADLINE, None, call).await?;
        let found = listed.into_iter().filter_map(|container| {
            let labels = container.labels.unwrap_or_default();
            Some(FoundContainer {
                attempt: labels.get(LABEL_ATTEMPT).and_then(|id| id.parse().ok()),
                container: container.id?,
                image_id: container.image_id.unwrap_or_default(),
                state: match container.state {
                    Some(ContainerSummaryStateEnum::CREATED) => FoundState::Created,
                    Some(
                        ContainerSummaryStateEnum::EXITED
                        | ContainerSummaryStateEnum::DEAD
                        | ContainerSummaryStateEnum::REMOVING,
                    ) => FoundState::Exited,
                    _ => FoundState::Running,
                },
                is_frozen: container.state == Some(ContainerSummaryStateEnum::PAUSED),
                mounts: container
                    .mounts
                    .into_iter()
                    .flatten()
                    .filter_map(|mount| Some(PathBuf::from(mount.source?)))
                    .collect(),
            })
        });
        Ok(found.collect())
    }

    /// Where a volume of the Engine lies, if this process may look there; nothing if there is no such volume.
    pub(crate) async fn volume(&self, name: &str) -> Result<Option<Option<PathBuf>>, Error> {
        match within("inspect volume", READ_DEADLINE, None, self.client.inspect_volume(name)).await {
            Ok(found) => {
                let is_plain = found.driver == "local" && found.options.is_empty();
                let place = PathBuf::from(found.mountpoint);
                Ok(Some(Some(place).filter(|place| is_plain && place.exists())))
            }
            Err(Error::Engine { status: Some(404), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The control group of a container that runs.
    async fn group(&self, attempt: AttemptId) -> Result<GroupLook, Error> {
        let known = self.groups().get(&attempt).cloned();
        if let Some(group) = known {
            return Ok(GroupLook::Group(group));
        }
        let found = self.inspect(attempt).await?;
        let pid = found.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        let Some(pid) = pid else { return Ok(GroupLook::NotYet) };
        let seen = Group::of(pid, &found.id.unwrap_or_default());
        if let GroupLook::Group(group) = &seen {
            self.groups().insert(attempt, group.clone());
        }
        Ok(seen)
    }

    async fn process(&self, attempt: AttemptId) -> Result<Option<ContainerProcess>, Error> {
        let found = self.inspect(attempt).await?;
        let pid = found.state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.filter(|pid| *pid > 0);
        Ok(pid.zip(found.id).map(|(pid, id)| ContainerProcess { pid, id }))
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<AttemptId, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn inspect(&self, attempt: AttemptId) -> Result<ContainerInspectResponse, Error> {
        let name = name(attempt);
        let call = self.client.inspect_container(&name, None::<InspectContainerOptions>);
        let call = async { podman::in_dockers_words(call.await) };
        within("inspect", READ_DEADLINE, Some(attempt), call).await
    }

    async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // Never closed, so an error can't be.
        self.starts.acquire().await.ok()
    }
}

/// The name of an attempt's container. It is what makes `create` idempotent.
fn name(attempt: AttemptId) -> String {
    format!("btctl-{attempt}")
}

/// True of an API version before 1.42, that of Docker 23.
fn is_before_docker_23(api: &str) -> bool {
    let minor = api.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| minor < 42)
}
