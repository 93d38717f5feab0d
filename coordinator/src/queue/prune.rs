//! Jobs that are given up while they run for what they have reported: as `stop_when` of their manifest says, or a search.

use std::collections::{BTreeSet, HashMap};

use bt_model::id::{AttemptId, SweepId};
use bt_model::retry::Ending;
use bt_model::state::JobState;
use serde_json::json;
use sqlx::query_file;

use super::claim::Written;
use super::progress::Said;
use super::row::{signed, unsigned};
use super::settle::{Fence, Publication, Settled, Settlement, settle_in};
use super::{Changeable, Error, Queue, measured};

/// A running attempt whose sweep says when its jobs are pruned.
#[derive(Clone, Debug)]
pub(crate) struct ToJudge {
    /// Which of those that were asked about it is.
    pub(crate) place: usize,
    pub(crate) attempt: AttemptId,
    pub(crate) sweep: SweepId,
    pub(crate) job: u32,
    /// The manifest's expression.
    pub(crate) stop_when: String,
    pub(crate) parameters: Written,
}

/// An attempt that is given up, and what its job keeps.
#[derive(Clone, Debug)]
pub(crate) struct Pruning {
    pub(crate) attempt: AttemptId,
    pub(crate) why: String,
    /// A JSON object.
    pub(crate) metrics: Option<String>,
}

/// What became of jobs that were to be pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PrunedJobs {
    pub(crate) pruned: u32,
    /// They wait, or their containers have ended and their results are on the way.
    pub(crate) queued: u32,
    /// They had ended before.
    pub(crate) ended: u32,
}

impl Queue {
    /// Those of the attempts that speak here whose metrics decide whether they go on. Of all others nothing is read but
    /// that this is not so.
    pub(crate) async fn to_judge(&self, said: &[&Said]) -> Result<Vec<ToJudge>, Error> {
        if said.is_empty() {
            return Ok(Vec::new());
        }
        let attempts: Vec<_> = said.iter().map(|said| said.attempt.uuid()).collect();
        let agents: Vec<_> = said.iter().map(|said| said.agent.uuid()).collect();
        let sessions = said.iter().map(|said| signed::<i64>(said.session)).collect::<Result<Vec<_>, _>>()?;
        let rows = query_file!("queries/prune/to_judge.sql", &attempts, &agents, &sessions);
        let rows = rows.fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                Ok(ToJudge {
                    place: unsigned::<usize>(row.place)? - 1,
                    attempt: AttemptId::from_uuid(row.id),
                    sweep: SweepId::from_uuid(row.sweep_id),
                    job: unsigned(row.job)?,
                    stop_when: row.stop_when,
                    parameters: Written::of(row.parameters, row.point, row.job)?,
                })
            })
            .collect()
    }

    /// Ends attempts whose containers run, and prunes their jobs. Those that ended in the meantime stay as they are. How
    /// many were pruned.
    pub(crate) async fn prune(&self, prunings: &[Pruning]) -> Result<u32, Error> {
        if prunings.is_empty() {
            return Ok(0);
        }
        let settlements: Vec<_> = prunings.iter().map(settlement).collect();
        let settled = self.settle(&settlements).await?;
        Ok(pruned(&settled))
    }

    /// Prunes those of these jobs whose containers run, with what they reported last.
    pub(crate) async fn prune_jobs(
        &self,
        sweep: impl Into<Changeable>,
        jobs: &[u32],
        why: &str,
    ) -> Result<PrunedJobs, Error> {
        let jobs: BTreeSet<u32> = jobs.iter().copied().collect();
        let numbers = jobs.iter().map(|job| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        let id = sweep.into().id().uuid();
        let mut tx = self.by_key.patient().begin().await?;
        query_file!("queries/cancel/lock_sweep.sql", id).fetch_one(&mut *tx).await?;
        let live = query_file!("queries/cancel/live_attempts_of_jobs.sql", id, &numbers);
        let live: Vec<_> = live.fetch_all(&mut *tx).await?.into_iter().map(|row| row.id).collect();
        let reported = query_file!("queries/prune/reported_last.sql", &live).fetch_all(&mut *tx).await?;
        let mut reported: HashMap<_, _> =
            reported.into_iter().map(|row| (row.attempt_id, row.metrics)).collect();
        let settlements: Vec<_> = live
            .into_iter()
            .map(|id| {
                let metrics = reported.remove(&id);
                settlement(&Pruning { attempt: AttemptId::from_uuid(id), why: why.to_owned(), metrics })
            })
            .collect();
        let settled = settle_in(&mut tx, &settlements).await?;
        let open = query_file!("queries/prune/count_queued.sql", id, &numbers).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        measured::ended(&settlements, &settled);
        let (pruned, queued) = (pruned(&settled), unsigned::<u32>(open.open)?);
        Ok(PrunedJobs { pruned, queued, ended: (jobs.len() as u32).saturating_sub(pruned + queued) })
    }
}

impl Pruning {
    pub(crate) fn of(attempt: AttemptId, why: String, said: &Said) -> Self {
        Self { attempt, why, metrics: Some(json!(said.progress.metrics).to_string()) }
    }
}

fn settlement(pruning: &Pruning) -> Settlement {
    let Pruning { attempt, why, metrics } = pruning;
    Settlement {
        publication: Publication { metrics: metrics.clone(), ..Publication::default() },
        ..Settlement::of(*attempt, Fence::Running, Ending::Pruned(why.clone()))
    }
}

fn pruned(settled: &[Settled]) -> u32 {
    settled.iter().filter(|answer| **answer == Settled::Now(JobState::Pruned)).count() as u32
}
