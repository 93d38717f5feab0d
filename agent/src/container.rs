//! From an assignment to the container that runs it. Pure.

use std::sync::Arc;

use bt_model::id::AgentId;
use bt_model::manifest::{JobUser, Manifest, Network};
use bt_model::parameters::Parameters;
use bt_model::reason::Reason;
use serde_json::json;

use crate::assignment::{Assignment, Manifests};
use crate::engine::{Bind, ContainerSpec};
use crate::offer::Offer;
use crate::workdir::AttemptDir;

/// Where the container finds the file that `ALGORITHM_INPUT_PATH` names.
const INPUT: &str = "/btctl/input.json";
/// Bytes of a job's log that are kept.
pub(crate) const LOG_LIMIT: u64 = 64 << 20;
/// What a job runs as when it is to run as the agent, and the agent is root: nobody.
const UNPRIVILEGED: (u32, u32) = (65534, 65534);
/// Variables that tell numeric libraries how many threads to start. They would otherwise start one for each cpu of
/// the machine, whatever the container's quota is.
const THREAD_VARIABLES: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
];

/// Who the agent is, as far as a container is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) agent: AgentId,
    /// The agent's own uid and gid.
    pub(crate) ids: (u32, u32),
}

/// A job, read and rendered.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) parameters: Parameters,
}

impl Job {
    pub(crate) fn read(assignment: &Assignment, manifests: &Manifests) -> Result<Self, Reason> {
        let unreadable =
            |error: &dyn std::fmt::Display| Reason::Agent(format!("the manifest can't be read: {error}"));
        Ok(Self {
            manifest: manifests.of(assignment).map_err(|error| unreadable(&error))?,
            parameters: assignment.parameters().map_err(|error| unreadable(&error))?,
        })
    }

    /// The uid and gid to run as; none for the image's own.
    pub(crate) fn user(&self, identity: Identity) -> Option<(u32, u32)> {
        match self.manifest.user {
            JobUser::Image => None,
            JobUser::Ids { uid, gid } => Some((uid, gid)),
            JobUser::Auto if identity.ids.0 == 0 => Some(UNPRIVILEGED),
            JobUser::Auto => Some(identity.ids),
        }
    }

    /// What `ALGORITHM_INPUT_PATH` names, as JSON.
    pub(crate) fn input(&self) -> Vec<u8> {
        let data = self.manifest.volumes.first();
        let input = json!({
            "version": "1.0",
            "input_data_path": data.map_or("", |mount| mount.target.as_str()),
            "output_path": self.manifest.results,
            "config": { "parameters": self.parameters.as_map() },
            "input_data": [],
        });
        input.to_string().into_bytes()
    }

    /// The container of this attempt.
    pub(crate) fn container(
        &self,
        assignment: &Assignment,
        image: String,
        identity: Identity,
        offer: &Offer,
        dir: &AttemptDir,
    ) -> Result<ContainerSpec, Reason> {
        let rendered = self.manifest.render(&self.parameters);
        let rendered = rendered.map_err(|error| Reason::Agent(error.to_string()))?;
        let mut env = self.environment(assignment);
        // The user's own come last, and win.
        env.extend(rendered.env);
        let needs = &self.manifest.needs;
        let resources = self.manifest.resources();
        Ok(ContainerSpec {
            attempt: assignment.attempt,
            agent: identity.agent,
            sweep: assignment.sweep,
            job: assignment.job,
            image,
            command: rendered.command,
            env,
            user: self.user(identity),
            cpu_millis: resources.cpu_millis,
            memory_bytes: resources.memory_bytes,
            gpus: resources.gpus,
            shm_bytes: needs.shm_bytes,
            binds: self.binds(offer, dir)?,
            network: match self.manifest.network {
                Network::None => crate::engine::Network::None,
                Network::Bridge => crate::engine::Network::Bridge,
            },
            log_limit: LOG_LIMIT,
        })
    }

    fn environment(&self, assignment: &Assignment) -> Vec<(String, String)> {
        let mut env = vec![
            ("BT_SWEEP".to_owned(), assignment.sweep.to_string()),
            ("BT_JOB".to_owned(), assignment.job.to_string()),
            ("BT_ATTEMPT".to_owned(), assignment.number.to_string()),
            ("ALGORITHM_INPUT_PATH".to_owned(), INPUT.to_owned()),
            ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
            // Any uid may run the job, and only /tmp and the results can be written to.
            ("HOME".to_owned(), "/tmp".to_owned()),
        ];
        let zone = self.manifest.timezone.as_deref().unwrap_or("UTC");
        env.push(("TZ".to_owned(), zone.to_owned()));
        let threads = self.manifest.thread_count().to_string();
        for name in THREAD_VARIABLES {
            env.push((name.to_owned(), threads.clone()));
        }
        env
    }

    fn binds(&self, offer: &Offer, dir: &AttemptDir) -> Result<Vec<Bind>, Reason> {
        let mut binds = vec![
            Bind { source: dir.results(), target: self.manifest.results.clone(), read_only: false },
            Bind { source: dir.input(), target: INPUT.to_owned(), read_only: true },
        ];
        for mount in &self.manifest.volumes {
            let Some(offered) = offer.volumes.get(&mount.volume) else {
                let told = format!("agent {} offers no volume {}", offer.name, mount.volume);
                return Err(Reason::Volume(told));
            };
            if offered.read_only && !mount.read_only {
                let told = format!("agent {} offers {} read-only", offer.name, mount.volume);
                return Err(Reason::Volume(told));
            }
            binds.push(Bind {
                source: offered.source.clone(),
                target: mount.target.clone(),
                read_only: mount.read_only,
            });
        }
        Ok(binds)
    }
}
