//! What a sweep would take, before it is queued.

use bt_proto::v1;
use schemars::JsonSchema;
use serde::Serialize;

/// How long a sweep would take, and what it would cost.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Estimate {
    pub jobs: u32,
    /// Null before a job of its family has succeeded.
    pub job_time: Option<JobTime>,
    /// That could run its jobs.
    pub agents: u32,
    /// Jobs of it side by side, at most.
    pub at_once: u64,
    /// Until all are done, if nothing else ran. Null if that is not known, or no agent could run them.
    pub seconds: Option<f64>,
    /// For how long what waits with the same or a higher priority keeps all agents busy, as far as it is known.
    pub ahead_seconds: f64,
    /// Sweeps among that of which it is not known.
    pub ahead_unknown: u32,
    pub cpu_hours: Option<f64>,
    /// In the currency of the agents' prices. Null if no agent that could run its jobs has one.
    pub cost: Option<f64>,
    /// Agents that could run its jobs and have no price.
    pub unpriced: u32,
    /// Where no agent could run its jobs: why.
    pub why: Vec<String>,
}

/// How long a job takes, what was tried in vain included.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobTime {
    /// Of a job that succeeded, on average.
    pub seconds: f64,
    /// How many were looked at, the latest.
    pub jobs: u32,
    /// The sweep that they are of, the newest of the family that has any.
    pub sweep: String,
}

impl From<v1::EstimateSweepReply> for Estimate {
    fn from(reply: v1::EstimateSweepReply) -> Self {
        let time = |v1::JobTime { seconds, jobs, sweep }| JobTime { seconds, jobs, sweep };
        Self {
            jobs: reply.jobs,
            job_time: reply.job_time.map(time),
            agents: reply.agents,
            at_once: reply.at_once,
            seconds: reply.seconds,
            ahead_seconds: reply.ahead_seconds,
            ahead_unknown: reply.ahead_unknown,
            cpu_hours: reply.cpu_hours,
            cost: reply.cost,
            unpriced: reply.unpriced,
            why: reply.why,
        }
    }
}
