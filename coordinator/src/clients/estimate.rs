//! What a sweep would take, before it is queued: by how long jobs of its family have taken, the agents that there are, and what
//! waits before it.

use std::collections::HashMap;

use bt_model::demand::jobs_at_once;
use bt_model::estimate::{Machine, PRICE_LABEL, estimate, price};
use bt_model::placement::Offer;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use super::explain::{AgentState, answers, state};
use super::queued::grouped;
use crate::queue::{AgentRow, Candidate};
use crate::rpc::incoming::Incoming;
use crate::rpc::status;

/// Sweeps that are looked at for what waits.
const MOST: u32 = 1_000;

impl Clients {
    pub(crate) async fn estimate(
        &self,
        incoming: Incoming<v1::SubmitRequest>,
    ) -> Result<v1::EstimateSweepReply, Status> {
        let submission = self.check_submit(incoming).await?;
        let time = self.queue.time_of_family(&submission.family).await.map_err(status::queue)?;
        let wanted = submission.candidate();
        let agents = self.agents().await?;
        let ready: Vec<_> = agents
            .iter()
            .filter(|(row, _)| matches!(state(row), AgentState::Ready))
            .map(|(row, _)| ReadyAgent::of(row))
            .collect();
        let machines = ready.iter().map(|agent| Machine { jobs: agent.jobs(&wanted), price: agent.price });
        let machines: Vec<_> = machines.filter(|machine| machine.jobs > 0).collect();
        let seconds = time.as_ref().map(|time| time.seconds);
        let told = estimate(
            submission.jobs.into(),
            seconds.unwrap_or(0.0),
            submission.policy.max_parallel.map(u64::from),
            &machines,
        );
        let (ahead_seconds, ahead_unknown) = self.ahead_of(submission.priority, &ready).await?;
        let why = match machines.is_empty() {
            true => grouped(answers(&agents, &HashMap::new(), &wanted)),
            false => Vec::new(),
        };
        let cpus = wanted.needs.cpu_millis as f64 / 1_000.0;
        Ok(v1::EstimateSweepReply {
            jobs: submission.jobs,
            job_time: time.map(|time| v1::JobTime {
                seconds: time.seconds,
                jobs: time.jobs,
                sweep: time.sweep,
            }),
            agents: machines.len() as u32,
            at_once: told.map_or(0, |told| told.at_once),
            seconds: told.and_then(|told| seconds.map(|_| told.seconds)),
            ahead_seconds,
            ahead_unknown,
            cpu_hours: seconds.map(|seconds| f64::from(submission.jobs) * seconds * cpus / 3_600.0),
            cost: told.and_then(|told| seconds.and(told.cost)),
            unpriced: machines.iter().filter(|machine| machine.price.is_none()).count() as u32,
            why,
        })
    }

    /// How long the agents that are ready need for the jobs that wait with this priority or a higher one, and for how many sweeps
    /// among these it is not known.
    async fn ahead_of(&self, priority: i32, ready: &[ReadyAgent]) -> Result<(f64, u32), Status> {
        let (waiting, _) = self.waiting_sweeps(MOST).await?;
        let (mut seconds, mut unknown) = (0.0, 0);
        for one in waiting.iter().filter(|one| !one.held && one.wanted.priority >= priority) {
            let places: u64 = ready.iter().map(|agent| agent.jobs(&one.wanted)).sum();
            match one.seconds {
                Some(each) if places > 0 => {
                    seconds += f64::from(one.sweep.counts.queued) * each / places as f64;
                }
                Some(_) => {}
                None => unknown += 1,
            }
        }
        Ok((seconds, unknown))
    }
}

/// An agent that takes jobs.
struct ReadyAgent {
    offer: Offer,
    /// What an hour of it costs, where that is known.
    price: Option<f64>,
}

impl ReadyAgent {
    fn of(row: &AgentRow) -> Self {
        Self { offer: row.offer(), price: row.labels.get(PRICE_LABEL).and_then(|label| price(label)) }
    }

    /// How many of these jobs it runs at once, if it does nothing else.
    fn jobs(&self, wanted: &Candidate) -> u64 {
        match self.offer.lasting_misfit(&wanted.need()) {
            None => jobs_at_once(&self.offer.needs(&wanted.needs), &self.offer.capacity),
            Some(_) => 0,
        }
    }
}
