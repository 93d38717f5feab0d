//! Sweeps: lists of them, and what one consists of, waits for and failed of.

use std::time::Duration;

use bt_model::id::SweepId;
use bt_model::manifest::DevMount;
use bt_model::reason::{Reason, ReasonKind};
use bt_model::state::AttemptState;
use jiff::Timestamp;
use sqlx::query_file;

use crate::queue::claim::candidate_row;
use crate::queue::row::{Pg, from_json, offset, time, unsigned};
use crate::queue::sharing::containers;
use crate::queue::{Candidate, Error, Queue, Sharing, SpentLook};

/// Which sweeps a list is to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct SweepFilter {
    /// List finished sweeps too.
    pub(crate) all: bool,
    /// Names of states; empty: all.
    pub(crate) states: Vec<String>,
    pub(crate) owner: Option<String>,
    /// A pattern of names, for `like`.
    pub(crate) name: Option<String>,
    /// Submitted at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// All of these tags.
    pub(crate) tags: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct SweepRow {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) image: String,
    pub(crate) image_pin: Option<String>,
    /// The alias that it named its image by.
    pub(crate) image_alias: Option<String>,
    pub(crate) dev_mounts: Vec<DevMount>,
    pub(crate) sharing: Sharing,
    pub(crate) created: Timestamp,
    pub(crate) priority: i32,
    pub(crate) cancelled: bool,
    /// It takes more jobs.
    pub(crate) open: bool,
    pub(crate) paused: bool,
    /// Why it was paused, where no user asked for it.
    pub(crate) pause_reason: String,
    /// Why it was cancelled, where no user asked for it.
    pub(crate) cancel_reason: String,
    /// The sweeps that it waits for, until it may start.
    pub(crate) waits_for: Vec<String>,
    /// Its first jobs, which run before the others, and whether they have succeeded.
    pub(crate) canary: Option<(u32, bool)>,
    /// Jobs in each state, in the order of `JobState::ALL`.
    pub(crate) counts: [u32; 6],
    /// When the last job ended so far.
    pub(crate) finished: Option<Timestamp>,
    /// When its results are given up, if that is known, and whether they have been.
    pub(crate) kept_until: Option<Timestamp>,
    pub(crate) expired: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) note: String,
    /// Its name means this one.
    pub(crate) is_newest: bool,
    /// Sweeps of its name.
    pub(crate) same_name: u32,
    pub(crate) best: Option<BestJob>,
    /// The first day that its jobs do not see.
    pub(crate) cut_before: Option<String>,
    /// The look that it has spent.
    pub(crate) look: Option<SpentLook>,
    /// Jobs that end in a minute, by the last minutes; none where that is not known.
    pub(crate) per_minute: Option<f64>,
}

/// The best job of a sweep so far.
#[derive(Clone, Debug)]
pub(crate) struct BestJob {
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) job: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct SweepDetails {
    pub(crate) manifest: String,
    /// The sweep as the dispatcher sees it, but for the counts.
    pub(crate) candidate: Candidate,
    pub(crate) paused: bool,
    pub(crate) pause_reason: String,
    pub(crate) cancelled: bool,
    /// Why it was cancelled, where no user asked for it.
    pub(crate) cancel_reason: String,
    /// The sweeps that it waits for and that have not ended, if it waits for any.
    pub(crate) waits_after: Option<Vec<String>>,
    /// What it waits for before it is known whose results it can take.
    pub(crate) waits_for_reuse: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) jobs: u32,
    pub(crate) first_job: u32,
}

/// What a live attempt waits for.
#[derive(Clone, Debug)]
pub(crate) struct Progressing {
    pub(crate) job: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: String,
    pub(crate) note: String,
}

impl Queue {
    /// One sweep; none if it was removed.
    pub(crate) async fn sweep(&self, sweep: SweepId) -> Result<Option<SweepRow>, Error> {
        let filter = SweepFilter { all: true, ..SweepFilter::default() };
        Ok(self.list_sweeps(Some(sweep), &filter, 1).await?.pop())
    }

    /// Sweeps, newest first.
    pub(crate) async fn sweeps(&self, filter: &SweepFilter, limit: u32) -> Result<Vec<SweepRow>, Error> {
        self.list_sweeps(None, filter, limit).await
    }

    /// How many finished sweeps a list without them leaves out.
    pub(crate) async fn finished_sweeps(&self, filter: &SweepFilter) -> Result<u32, Error> {
        let SweepFilter { owner, name, since, tags, .. } = filter;
        let row = query_file!(
            "queries/read/count_finished.sql",
            owner.as_deref(),
            name.as_deref(),
            since.as_ref().map(offset).transpose()?,
            tags
        )
        .fetch_one(&self.pool)
        .await?;
        unsigned(row.finished)
    }

    async fn list_sweeps(
        &self,
        only: Option<SweepId>,
        filter: &SweepFilter,
        limit: u32,
    ) -> Result<Vec<SweepRow>, Error> {
        let SweepFilter { all, states, owner, name, since, tags } = filter;
        let rows = query_file!(
            "queries/read/list_sweeps.sql",
            only.map(SweepId::uuid),
            all,
            i64::from(limit),
            states,
            owner.as_deref(),
            name.as_deref(),
            since.as_ref().map(offset).transpose()?,
            tags
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(SweepRow {
                    id: SweepId::from_uuid(row.id),
                    created: time(row.created_at)?,
                    counts: [
                        unsigned(row.queued)?,
                        unsigned(row.running)?,
                        unsigned(row.succeeded)?,
                        unsigned(row.failed)?,
                        unsigned(row.cancelled_jobs)?,
                        unsigned(row.pruned)?,
                    ],
                    finished: row.finished_at.map(time).transpose()?,
                    kept_until: row.kept_until.map(time).transpose()?,
                    expired: row.expired,
                    tags: row.tags,
                    note: row.note,
                    is_newest: row.is_newest,
                    same_name: unsigned(row.same_name)?,
                    best: match (row.best_metric, row.best_value, row.best_job) {
                        (Some(metric), Some(value), Some(job)) => {
                            Some(BestJob { metric, value, job: unsigned(job)? })
                        }
                        _ => None,
                    },
                    cut_before: row.cut_before,
                    look: match (row.look, row.looks) {
                        (Some(number), Some(of)) => {
                            Some(SpentLook { number: unsigned(number)?, of: unsigned(of)? })
                        }
                        _ => None,
                    },
                    per_minute: per_minute(
                        row.succeeded + row.failed + row.pruned,
                        row.ended.map(i64::from),
                        row.seconds,
                    ),
                    name: row.name,
                    owner: row.owner,
                    image: row.image,
                    image_pin: row.image_pin,
                    image_alias: row.image_alias,
                    dev_mounts: row.dev_mounts.as_ref().map(DevMount::of_json).unwrap_or_default(),
                    sharing: Sharing {
                        containers: containers(row.containers),
                        why: row.containers_why,
                        left_out: from_json("the modules that are left out", row.left_out)?,
                    },
                    priority: row.priority,
                    cancelled: row.cancelled,
                    open: row.open,
                    paused: row.paused,
                    pause_reason: row.pause_reason,
                    cancel_reason: row.cancel_reason,
                    waits_for: row.waits_for,
                    canary: match row.canary {
                        0 => None,
                        jobs => Some((unsigned(jobs)?, row.canary_passed)),
                    },
                })
            })
            .collect()
    }

    pub(crate) async fn sweep_details(&self, sweep: SweepId) -> Result<SweepDetails, Error> {
        let row = query_file!("queries/read/sweep_details.sql", sweep.uuid()).fetch_one(&self.by_key).await?;
        Ok(SweepDetails {
            candidate: candidate_row!(row, sweep, 0, 0),
            manifest: row.manifest,
            paused: row.paused,
            pause_reason: row.pause_reason,
            cancelled: row.cancelled,
            cancel_reason: row.cancel_reason,
            waits_after: row.waits_after,
            waits_for_reuse: row.waits_for_reuse.unwrap_or(false).then_some(row.reuse_note),
        })
    }

    /// How many jobs have succeeded lately, at most 200, the mean time that one of them ran, and the most memory that
    /// one took.
    pub(crate) async fn pace(&self, sweep: SweepId) -> Result<(u32, Duration, Option<u64>), Error> {
        let row = query_file!("queries/read/pace_of_sweep.sql", sweep.uuid()).fetch_one(&self.pool).await?;
        let seconds = Duration::try_from_secs_f64(row.seconds).unwrap_or_default();
        Ok((unsigned(row.jobs)?, seconds, row.peak_memory_bytes.map(unsigned).transpose()?))
    }

    /// The commonest failures of a sweep's jobs.
    pub(crate) async fn failures(&self, sweep: SweepId) -> Result<Vec<Failure>, Error> {
        let rows =
            query_file!("queries/read/failures.sql", sweep.uuid()).fetch_all(&self.pool.patient()).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Failure {
                    reason: Reason::from_parts(row.reason.0, row.reason_code, row.reason_message),
                    jobs: unsigned(row.jobs)?,
                    first_job: unsigned(row.first_job)?,
                })
            })
            .collect()
    }

    pub(crate) async fn manifest(&self, sweep: SweepId) -> Result<String, Error> {
        let row =
            query_file!("queries/read/manifest_of_sweep.sql", sweep.uuid()).fetch_one(&self.by_key).await?;
        Ok(row.manifest)
    }

    /// What live attempts of a sweep wait for.
    pub(crate) async fn progressing(&self, sweep: SweepId) -> Result<Vec<Progressing>, Error> {
        let rows = query_file!("queries/read/progressing.sql", sweep.uuid()).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Progressing {
                    job: unsigned(row.job)?,
                    state: row.state.0,
                    agent: row.agent,
                    note: row.note,
                })
            })
            .collect()
    }
}

/// How many jobs end in a minute, where so many had ended so many seconds ago.
fn per_minute(now: i64, before: Option<i64>, seconds: Option<f64>) -> Option<f64> {
    let (before, seconds) = (before?, seconds.filter(|seconds| *seconds > 1.0)?);
    Some((now - before).max(0) as f64 * 60.0 / seconds)
}
