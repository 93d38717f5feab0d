//! How many agents the queue wants, of each kind that there is or of one that is asked for: what groups of machines are sized by.
//! What was wanted lately counts too, as this coordinator was asked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_measures::{DEMAND_CPUS, DEMAND_GPUS, DEMAND_JOBS, DEMAND_MEMORY};
use bt_model::demand::{AgentKind, Recent, Wants};
use bt_model::manifest::{parse_cpus, parse_size};
use bt_model::placement::Misfit;
use bt_model::resources::Resources;
use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::shown::agent;
use super::{Clients, WaitingSweep};
use crate::queue::{AgentRow, Usage};

/// Sweeps that are looked at, the newest that have not finished.
const MOST: u32 = 1_000;
/// In what time the queue is to be done, and for how long more agents than are wanted now are wanted, if nothing is said.
const WITHIN: Duration = Duration::from_secs(15 * 60);
const HOLD: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Kinds whose recent demand is remembered.
const KINDS: usize = 256;
/// How often the figures for Prometheus are made.
const EVERY: Duration = Duration::from_secs(15);
/// Labels that each agent makes for itself.
const OWN_LABELS: [&str; 3] = ["os", "arch", "network"];

/// A kind of agents; without `cpus` and `memory`, the kinds that are connected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskDemand {
    /// Cpus that such an agent offers, e.g. 16.
    pub(crate) cpus: Option<String>,
    /// Memory that it offers, e.g. 64GiB.
    pub(crate) memory: Option<String>,
    pub(crate) gpus: Option<u32>,
    /// Jobs that it runs at once, at most.
    pub(crate) jobs: Option<u32>,
    /// Its labels, separated by commas: pool=spot,zone=a.
    pub(crate) labels: Option<String>,
    /// In what time the queue is to be done; 15m if it is not given.
    pub(crate) within: Option<String>,
    /// For how long more agents than are wanted now count; 5m if it is not given.
    pub(crate) hold: Option<String>,
}

impl AskDemand {
    /// What it asks for.
    pub(crate) fn request(self) -> Result<v1::GetDemandRequest, Status> {
        let wrong = |what: &str, error: &dyn Display| Status::invalid_argument(format!("`{what}`: {error}"));
        let size = match (self.cpus.as_deref(), self.memory.as_deref()) {
            (Some(cpus), Some(memory)) => Some(v1::Resources {
                cpu_millis: parse_cpus(cpus).map_err(|error| wrong("cpus", &error))?,
                memory_bytes: parse_size(memory).map_err(|error| wrong("memory", &error))?,
                gpus: self.gpus.unwrap_or(0),
                disk_bytes: u64::MAX,
                jobs: self.jobs.unwrap_or(u32::MAX),
            }),
            (None, None) if self.gpus.is_none() && self.jobs.is_none() => None,
            _ => return Err(Status::invalid_argument("the size of an agent is `cpus` and `memory`, both")),
        };
        let mut labels = HashMap::new();
        let listed = self.labels.as_deref().unwrap_or_default().split(',').map(str::trim);
        for text in listed.filter(|text| !text.is_empty()) {
            let Some((key, value)) = text.split_once('=') else {
                return Err(wrong("labels", &format!("{text:?} is not of the form KEY=VALUE")));
            };
            labels.insert(key.to_owned(), value.to_owned());
        }
        let seconds = |what: &str, text: Option<&str>| match text {
            None => Ok(0),
            Some(text) => match humantime::parse_duration(text) {
                Ok(span) if span.as_secs() > 0 => Ok(span.as_secs()),
                Ok(_) => Err(wrong(what, &"it is at least a second")),
                Err(error) => Err(wrong(what, &format!("{error}; write 15m or 90s"))),
            },
        };
        Ok(v1::GetDemandRequest {
            size,
            labels,
            within_seconds: seconds("within", self.within.as_deref())?,
            hold_seconds: seconds("hold", self.hold.as_deref())?,
        })
    }
}

/// What was wanted lately, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentDemand(Arc<Mutex<BTreeMap<String, Recent>>>);

impl RecentDemand {
    fn settle(&self, kind: String, wanted: u32, hold: Duration) -> u32 {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
            kinds.clear();
        }
        kinds.entry(kind).or_default().settle(BEGAN.elapsed().as_secs_f64(), wanted, hold)
    }
}

impl Clients {
    /// How many agents are wanted.
    pub(crate) async fn demand(&self, request: v1::GetDemandRequest) -> Result<v1::GetDemandReply, Status> {
        let within = span("within", request.within_seconds, WITHIN)?;
        let hold = span("hold", request.hold_seconds, HOLD)?;
        let (sweeps, cut) = self.waiting_sweeps(MOST).await?;
        let wants: Vec<Wants> = sweeps.iter().map(wants).collect();
        let waits = sweeps.iter().filter(|one| !one.held).filter_map(|one| one.sweep.created).min();
        let waiting_seconds =
            waits.map_or(0.0, |since| Timestamp::now().duration_since(since).as_secs_f64().max(0.0));
        let rows = self.agents().await?;
        let ending = ending(&rows, &sweeps);
        let agents = rows.into_iter().map(|(row, used)| agent(row, used, self.is_insecure));
        let agents: Vec<_> = agents.filter(counts).collect();
        let kinds = match request.size {
            Some(size) => {
                let size = Resources::from(size);
                if size.cpu_millis == 0 || size.memory_bytes == 0 || size.jobs == 0 {
                    return Err(Status::invalid_argument("an agent has cpus, memory, and room for jobs"));
                }
                vec![AgentKind { size, labels: request.labels.into_iter().collect() }]
            }
            None if request.labels.is_empty() => kinds_of(&agents),
            None => {
                return Err(Status::invalid_argument(
                    "labels are those of an agent of some size: name its cpus and memory",
                ));
            }
        };
        let asked = request.size.is_some();
        let told = |kind: AgentKind| {
            let demand = kind.demand(&wants, within);
            let key = format!("{kind:?} {within:?} {hold:?}");
            let alike = agents.iter().filter(|agent| match asked {
                true => kind.labels.iter().all(|(key, value)| agent.labels.get(key) == Some(value)),
                false => kind_of(agent) == kind,
            });
            let (mut there, mut idle, mut useless) = (0, 0, 0);
            for agent in alike {
                there += 1;
                idle += u32::from(agent.running == 0);
                useless += u32::from(agent.running == 0 && ending.contains(&agent.id));
            }
            // One that works is wanted, whatever else could be. For one that ends too soon another one is wanted; for at most as
            // many of them as are wanted in all, since new ones may have as short a life.
            let wanted = (demand.agents + useless.min(demand.agents)).max(there - idle);
            v1::KindDemand {
                size: Some(kind.size.into()),
                labels: kind.labels.into_iter().collect(),
                agents: there,
                idle,
                wanted: self.recent_demand.settle(key, wanted, hold),
                wanted_now: wanted,
                queued: demand.queued,
                running: demand.running,
                work_seconds: demand.work_seconds,
                unknown: demand.unknown,
                too_large: demand.too_large,
            }
        };
        let kinds = kinds.into_iter().map(told).collect();
        Ok(v1::GetDemandReply {
            kinds,
            within_seconds: within.as_secs(),
            hold_seconds: hold.as_secs(),
            waiting_seconds,
            cut,
        })
    }

    /// Tells Prometheus what is wanted, until `shutdown`.
    pub(crate) async fn measure_demand(self, shutdown: CancellationToken) {
        loop {
            // While Postgres is away the last figures stand; `btctl_postgres_up` tells.
            if let Ok((sweeps, _)) = self.waiting_sweeps(MOST).await {
                let (mut jobs, mut all) = (0, Resources::default());
                for want in sweeps.iter().map(wants) {
                    let side_by_side = want.side_by_side(WITHIN);
                    jobs += side_by_side;
                    all.cpu_millis += side_by_side * want.need.cpu_millis;
                    all.memory_bytes += side_by_side * want.need.memory_bytes;
                    all.gpus +=
                        u32::try_from(side_by_side).unwrap_or(u32::MAX).saturating_mul(want.need.gpus);
                }
                DEMAND_JOBS.set([], jobs as f64);
                DEMAND_CPUS.set([], all.cpu_millis as f64 / 1_000.0);
                DEMAND_MEMORY.set([], all.memory_bytes as f64);
                DEMAND_GPUS.set([], all.gpus.into());
            }
            if timeout(EVERY, shutdown.cancelled()).await.is_ok() {
                return;
            }
        }
    }
}

/// The agents that end too soon for each of these sweeps that waits for room and could run there otherwise.
fn ending(agents: &[(AgentRow, Usage)], sweeps: &[WaitingSweep]) -> HashSet<String> {
    let mut ending = HashSet::new();
    for (row, _) in agents.iter().filter(|(row, _)| row.left.is_some()) {
        let offer = row.offer();
        let waits = sweeps.iter().filter(|one| !one.held && one.sweep.counts.queued > 0);
        let misfits = waits.map(|one| offer.lasting_misfit(&one.wanted.need()));
        // Those that could never run there say nothing of its end.
        let mut of_it =
            misfits.filter(|misfit| matches!(misfit, None | Some(Misfit::TooLate { .. }))).peekable();
        if of_it.peek().is_some() && of_it.all(|misfit| misfit.is_some()) {
            ending.insert(row.id.to_string());
        }
    }
    ending
}

/// One that drains has left the group as far as its size goes.
fn counts(agent: &v1::Agent) -> bool {
    matches!(agent.state(), v1::AgentState::Ready | v1::AgentState::Unhealthy)
}

fn span(what: &str, seconds: u64, default: Duration) -> Result<Duration, Status> {
    match Duration::from_secs(seconds) {
        Duration::ZERO => Ok(default),
        span if span <= LONGEST => Ok(span),
        _ => Err(Status::invalid_argument(format!("`{what}` is at most 7 days"))),
    }
}

/// Jobs that wait for something else than room are not counted.
fn wants(waits: &WaitingSweep) -> Wants {
    Wants {
        sweep: waits.sweep.name.clone(),
        need: waits.wanted.needs,
        labels: waits.wanted.labels.clone(),
        queued: if waits.held { 0 } else { waits.sweep.counts.queued.into() },
        running: waits.sweep.counts.running.into(),
        seconds: waits.seconds,
        at_once: waits.wanted.max_parallel.map(u64::from),
    }
}

/// The kinds of the agents that are connected.
fn kinds_of(agents: &[v1::Agent]) -> Vec<AgentKind> {
    let mut kinds: Vec<AgentKind> = Vec::new();
    for kind in agents.iter().map(kind_of) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Agents of one kind have the same size, but for what is free on their disks, and the same labels.
fn kind_of(agent: &v1::Agent) -> AgentKind {
    let size = Resources::from(agent.capacity.unwrap_or_default());
    let labels = agent.labels.iter().filter(|(key, _)| !OWN_LABELS.contains(&key.as_str()));
    let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    AgentKind { size: Resources { disk_bytes: u64::MAX, ..size }, labels }
}
