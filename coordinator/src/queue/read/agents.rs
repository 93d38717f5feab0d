//! Agents, as users see them.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use bt_model::id::AgentId;
use bt_model::placement::{Offer, SecretOffer, labels};
use bt_model::resources::Resources;
use jiff::Timestamp;
use sqlx::query_file;

use crate::queue::claim::interval;
use crate::queue::row::{from_json, resources, time, unsigned};
use crate::queue::session::Fingerprints;
use crate::queue::{Error, Queue};

#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether it is offered read-only.
    pub(crate) volumes: BTreeMap<String, bool>,
    pub(crate) version: String,
    pub(crate) engine: String,
    /// What a job gets that asks for no memory.
    pub(crate) job_memory_bytes: u64,
    /// What is only shown, by name.
    pub(crate) about: BTreeMap<String, String>,
    pub(crate) fingerprints: Fingerprints,
    pub(crate) protocol: u32,
    pub(crate) secrets: SecretOffer,
    /// When its jobs must have ended, and how long that is from now; none where that is not known.
    pub(crate) ends: Option<Timestamp>,
    pub(crate) left: Option<Duration>,
    pub(crate) unhealthy: String,
    pub(crate) unavailable: String,
    pub(crate) draining: bool,
    /// An operator has taken it out of service.
    pub(crate) drained: bool,
    pub(crate) offline: bool,
    /// How long ago its stream has ended, if it has.
    pub(crate) disconnected: Option<Duration>,
    /// Where another agent is that claimed the same id a short time ago.
    pub(crate) contested_by: Option<String>,
    /// When its own certificate ends, if it has one.
    pub(crate) certificate_expires: Option<Timestamp>,
    pub(crate) revoked: bool,
    pub(crate) last_seen: Timestamp,
}

impl AgentRow {
    /// What it offers, but for its images.
    pub(crate) fn offer(&self) -> Offer {
        Offer {
            capacity: self.capacity,
            labels: labels(self.labels.clone(), self.id),
            volumes: self.volumes.clone(),
            job_memory_bytes: self.job_memory_bytes,
            images: HashSet::new(),
            protocol: self.protocol,
            ends: self.left.map(|left| Instant::now() + left),
            secrets: self.secrets.clone(),
        }
    }
}

impl Queue {
    /// All agents that ever said hello; one is offline when it was silent for `silence`.
    pub(crate) async fn agents(&self, silence: Duration) -> Result<Vec<AgentRow>, Error> {
        let rows =
            query_file!("queries/read/list_agents.sql", interval(silence)?).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(AgentRow {
                    id: AgentId::from_uuid(row.id),
                    capacity: resources(
                        row.cpu_millis,
                        row.memory_bytes,
                        row.gpus,
                        row.disk_bytes,
                        unsigned(row.max_jobs)?,
                    )?,
                    job_memory_bytes: unsigned(row.job_memory_bytes)?,
                    about: from_json("what an agent says of itself", row.about)?,
                    fingerprints: from_json("an agent's fingerprints", row.volume_fingerprints)?,
                    protocol: unsigned(row.protocol)?,
                    secrets: SecretOffer {
                        held: row.secrets.map(|held| held.into_iter().collect()),
                        line_is_private: row.line_is_private,
                    },
                    ends: row.ends_at.map(time).transpose()?,
                    left: row.left_millis.map(unsigned).transpose()?.map(Duration::from_millis),
                    drained: row.drained,
                    labels: from_json("an agent's labels", row.labels)?,
                    volumes: from_json("an agent's volumes", row.volumes)?,
                    last_seen: time(row.last_seen_at)?,
                    name: row.name,
                    version: row.version,
                    engine: row.engine,
                    unhealthy: row.unhealthy,
                    unavailable: row.unavailable,
                    draining: row.draining,
                    offline: row.offline,
                    disconnected: row
                        .disconnected_seconds
                        .map(unsigned)
                        .transpose()?
                        .map(Duration::from_secs),
                    contested_by: row.contested_by,
                    certificate_expires: row.certificate_expires.map(time).transpose()?,
                    revoked: row.revoked,
                })
            })
            .collect()
    }
}
