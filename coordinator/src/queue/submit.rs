//! Queues sweeps: all of one, or nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use bt_model::expansion::WindowTest;
use bt_model::hex::hex;
use bt_model::id::SweepId;
use bt_model::manifest::{MAX_JOBS, Policy, Receiver};
use bt_model::resources::Resources;
use bt_model::state::ReuseState;
use serde::Serialize;
use serde_json::json;
use sqlx::query_file;
use uuid::Uuid;

use super::after::After;
use super::connections::{Connection, Transaction};
use super::describe::{Description, describe};
use super::holdouts::{self, HeldOut, SpentLook};
use super::row::{Named, signed, unsigned};
use super::{Candidate, Error, Queue, READY, notify, quotas};

/// Jobs that one statement inserts; bounds the memory of a submit.
pub(crate) const BATCH: usize = 5_000;
/// Jobs that Postgres makes in one statement.
const WHOLE_BATCH: i32 = 100_000;

/// A sweep to be queued, without its jobs.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) idempotency_key: String,
    /// SHA-256 of all that the client sent.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) manifest: String,
    pub(crate) jobs: u32,
    pub(crate) priority: i32,
    pub(crate) policy: Policy,
    /// How long each job may take.
    pub(crate) timeout: Option<Duration>,
    pub(crate) needs: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether read-only is enough.
    pub(crate) volumes: BTreeMap<String, bool>,
    /// The secrets that its jobs ask for, and whether it may name any.
    pub(crate) secrets: Vec<String>,
    pub(crate) any_secret: bool,
    pub(crate) image: String,
    /// What the image stands for, where that is known.
    pub(crate) image_pin: Option<String>,
    /// The alias that the image was named by.
    pub(crate) image_alias: Option<String>,
    /// SHA-256 of all that makes its jobs identical to others, but for image and parameters.
    pub(crate) recipe: [u8; 32],
    /// Results of identical jobs are to be taken.
    pub(crate) reuse: bool,
    /// So many of its jobs take the place of one, in one container.
    pub(crate) batch: Option<u32>,
    /// Its jobs have cpus of their own, or dev mounts: not every agent can do either.
    pub(crate) pinned: bool,
    /// A list, where it has any.
    pub(crate) dev_mounts: Option<serde_json::Value>,
    /// Whose trials its own are counted with.
    pub(crate) family: String,
    /// What its jobs see no data of.
    pub(crate) held_out: HeldOut,
    /// It takes more jobs until it is closed.
    pub(crate) open: bool,
    /// The sweeps that it waits for.
    pub(crate) after: After,
    pub(crate) description: Description,
    /// Of its jobs, those that wait for their windows' training.
    pub(crate) tests: Vec<WindowTest>,
}

impl Submission {
    /// As it would stand in the queue. Whether the coordinator has its secrets is not looked at: it may name them.
    pub(crate) fn candidate(&self) -> Candidate {
        let Self { name, owner, labels, volumes, policy, image_pin, .. } = self.clone();
        Candidate {
            sweep: SweepId::random(),
            name,
            jobs: self.jobs,
            owner,
            priority: self.priority,
            needs: self.needs,
            labels,
            volumes,
            limits: policy.limits,
            max_parallel: policy.max_parallel,
            canary: None,
            image_pin,
            containers: None,
            batch: self.batch,
            is_pinned: self.pinned,
            is_laid: self.dev_mounts.is_some(),
            grows: false,
            grown: None,
            is_cut: self.held_out.cut_before().is_some(),
            has_quota: false,
            secrets: self.secrets.iter().map(|name| (name.clone(), true)).collect(),
            timeout: self.timeout,
            preempts: self.policy.preempt,
            running: 0,
            queued: self.jobs,
        }
    }
}

/// The parameters of a sweep's jobs, in the order of their numbers.
pub(crate) enum Jobs<'j> {
    /// The matrix as it is: nothing but numbers is written.
    Whole,
    /// Points of the matrix.
    Points(Box<dyn Iterator<Item = u64> + Send + 'j>),
    /// JSON objects.
    Written(Box<dyn Iterator<Item = String> + Send + 'j>),
}

/// A sweep that is queued.
#[derive(Clone, Debug)]
pub(crate) struct Submitted {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) jobs: u32,
    /// An earlier submit with the same key had queued it.
    pub(crate) existed: bool,
    /// The first day that its jobs do not see.
    pub(crate) cut_before: Option<String>,
    /// The look that it has spent.
    pub(crate) look: Option<SpentLook>,
}

/// A sweep that is being queued; nobody sees it before it is finished, and it is gone if it is dropped.
pub(crate) struct OpenSubmit<'s> {
    tx: Transaction,
    id: SweepId,
    sweep: &'s Submission,
    jobs: i32,
}

impl Queue {
    /// Queues a sweep. When this returns, it is committed.
    pub(crate) async fn submit(&self, sweep: &Submission, jobs: Jobs<'_>) -> Result<Submitted, Error> {
        let Some(mut open) = self.begin_submit(sweep).await? else {
            return self.submitted_before(&sweep.idempotency_key, &sweep.fingerprint).await;
        };
        match jobs {
            Jobs::Whole => open.add_whole(sweep.jobs).await?,
            Jobs::Points(mut points) => loop {
                let batch: Vec<_> = points.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                open.add_points(batch).await?;
            },
            Jobs::Written(mut parameters) => loop {
                let batch: Vec<_> = parameters.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                open.add_written(&batch).await?;
            },
        }
        for tests in sweep.tests.chunks(BATCH) {
            open.add_tests(tests).await?;
        }
        open.finish(&sweep.fingerprint).await
    }

    /// Begins to queue a sweep whose jobs are added as they come. None if there is one with its key.
    pub(crate) async fn begin_submit<'s>(
        &self,
        sweep: &'s Submission,
    ) -> Result<Option<OpenSubmit<'s>>, Error> {
        self.count_results(&sweep.owner).await?;
        let mut tx = self.by_key.patient().begin().await?;
        let id = insert_sweep(&mut tx, sweep).await?;
        if id.is_some() {
            let jobs = if sweep.open { 0 } else { sweep.jobs };
            quotas::admit_submit(&mut tx, &sweep.owner, jobs.into()).await?;
        }
        Ok(id.map(|id| OpenSubmit { tx, id, sweep, jobs: 0 }))
    }

    /// What an earlier submit with this key queued, if it was the same one.
    pub(crate) async fn submitted_before(&self, key: &str, fingerprint: &[u8]) -> Result<Submitted, Error> {
        let before = self.find_submitted(key, fingerprint).await?;
        before.ok_or_else(|| Error::Corrupt(format!("there is no sweep of the idempotency key {key:?}")))
    }

    /// As [`submitted_before`](Self::submitted_before), where there may be none.
    pub(crate) async fn find_submitted(
        &self,
        key: &str,
        fingerprint: &[u8],
    ) -> Result<Option<Submitted>, Error> {
        let row = query_file!("queries/submit/sweep_by_key.sql", key).fetch_optional(&self.by_key).await?;
        let Some(row) = row else { return Ok(None) };
        if row.fingerprint != fingerprint {
            return Err(Error::KeyReused(key.to_owned()));
        }
        let id = SweepId::from_uuid(row.id);
        Ok(Some(Submitted {
            id,
            name: row.name,
            jobs: unsigned(row.jobs)?,
            existed: true,
            cut_before: row.cut_before,
            look: self.look_of(id).await?,
        }))
    }
}

impl OpenSubmit<'_> {
    /// Adds jobs whose parameters are JSON objects.
    pub(crate) async fn add_written(&mut self, parameters: &[String]) -> Result<(), Error> {
        insert_written(&mut self.tx, self.id, self.jobs, parameters).await?;
        self.jobs += signed::<i32>(parameters.len() as u64)?;
        Ok(())
    }

    async fn add_points(&mut self, points: Vec<u64>) -> Result<(), Error> {
        let points = points.into_iter().map(signed::<i64>).collect::<Result<Vec<_>, _>>()?;
        query_file!("queries/submit/insert_points.sql", self.id.uuid(), self.jobs, &points)
            .execute(&mut *self.tx)
            .await?;
        self.jobs += signed::<i32>(points.len() as u64)?;
        Ok(())
    }

    async fn add_whole(&mut self, jobs: u32) -> Result<(), Error> {
        let all = signed::<i32>(jobs)?;
        while self.jobs < all {
            let to = all.min(self.jobs.saturating_add(WHOLE_BATCH));
            query_file!("queries/submit/insert_all_points.sql", self.id.uuid(), self.jobs, to)
                .execute(&mut *self.tx)
                .await?;
            self.jobs = to;
        }
        Ok(())
    }

    /// Has jobs that were added wait for their windows.
    async fn add_tests(&mut self, tests: &[WindowTest]) -> Result<(), Error> {
        let column = |of: fn(&WindowTest) -> u32| {
            tests.iter().map(|test| signed::<i32>(of(test))).collect::<Result<Vec<_>, _>>()
        };
        let (jobs, windows) = (column(|test| test.job)?, column(|test| test.window)?);
        let (first, last) = (column(|test| test.first)?, column(|test| test.last)?);
        query_file!("queries/submit/insert_tests.sql", self.id.uuid(), &jobs, &windows, &first, &last)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Commits it.
    pub(crate) async fn finish(mut self, fingerprint: &[u8]) -> Result<Submitted, Error> {
        let Self { tx, id, sweep, jobs } = &mut self;
        query_file!("queries/submit/size_sweep.sql", id.uuid(), *jobs, fingerprint)
            .execute(&mut **tx)
            .await?;
        count_queued(tx, *id, *jobs).await?;
        quotas::admit_submitted(tx, &sweep.owner, unsigned(*jobs)?).await?;
        notify(tx, READY).await?;
        let look = holdouts::settle(tx, *id, sweep).await?;
        self.tx.commit().await?;
        let (name, cut_before) = (self.sweep.name.clone(), self.sweep.held_out.cut_before());
        Ok(Submitted { id: self.id, name, jobs: unsigned(self.jobs)?, existed: false, cut_before, look })
    }
}

/// Inserts jobs whose parameters are JSON objects, with numbers from this one on.
pub(super) async fn insert_written(
    tx: &mut Connection,
    sweep: SweepId,
    from: i32,
    parameters: &[String],
) -> Result<(), Error> {
    query_file!("queries/submit/insert_jobs.sql", sweep.uuid(), from, parameters).execute(tx).await?;
    Ok(())
}

/// Counts so many more queued jobs.
pub(super) async fn count_queued(tx: &mut Connection, sweep: SweepId, jobs: i32) -> Result<(), Error> {
    query_file!("queries/submit/insert_counts.sql", sweep.uuid(), jobs).execute(tx).await?;
    Ok(())
}

/// The columns of a sweep that is submitted, by their names.
#[derive(Serialize)]
struct SweepColumns<'s> {
    id: Uuid,
    name: &'s str,
    owner: &'s str,
    idempotency_key: &'s str,
    fingerprint: String,
    jobs: i32,
    priority: i32,
    cpu_millis: i64,
    memory_bytes: Option<i64>,
    gpus: i32,
    disk_bytes: i64,
    labels: &'s BTreeMap<String, String>,
    volumes: &'s BTreeMap<String, bool>,
    secrets: &'s [String],
    any_secret: bool,
    image: &'s str,
    image_alias: Option<&'s str>,
    retries: i32,
    oom_retries: i32,
    oom_factor: Option<f64>,
    oom_max_bytes: Option<i64>,
    pinned: bool,
    dev_mounts: Option<&'s serde_json::Value>,
    loss_retries: i32,
    preemption_retries: i32,
    retry_on: Vec<&'static str>,
    max_parallel: Option<i32>,
    limits: &'s BTreeMap<String, u32>,
    canary: i32,
    keep_seconds: Option<i64>,
    recipe: String,
    reuse: Option<&'static str>,
    batch: Option<i32>,
    /// With their secrets.
    notify: Vec<&'s str>,
    family: &'s str,
    open_jobs: Option<i32>,
    cut_before: Option<String>,
    after: Vec<Uuid>,
    after_any: Vec<Uuid>,
    timeout_millis: Option<i64>,
    preempt: bool,
}

impl<'s> SweepColumns<'s> {
    fn of(id: SweepId, sweep: &'s Submission) -> Result<Self, Error> {
        let policy = &sweep.policy;
        let (after, after_any) = sweep.after.uuids();
        Ok(Self {
            id: id.uuid(),
            name: &sweep.name,
            owner: &sweep.owner,
            idempotency_key: &sweep.idempotency_key,
            fingerprint: bytea(&sweep.fingerprint),
            // The rest is known when all jobs are there.
            jobs: signed(if sweep.open { MAX_JOBS } else { sweep.jobs })?,
            priority: sweep.priority,
            cpu_millis: signed(sweep.needs.cpu_millis)?,
            memory_bytes: Some(signed(sweep.needs.memory_bytes)?).filter(|bytes| *bytes > 0),
            gpus: signed(sweep.needs.gpus)?,
            disk_bytes: signed(sweep.needs.disk_bytes)?,
            labels: &sweep.labels,
            volumes: &sweep.volumes,
            secrets: &sweep.secrets,
            any_secret: sweep.any_secret,
            image: &sweep.image,
            image_alias: sweep.image_alias.as_deref(),
            retries: signed(policy.failure_retries())?,
            oom_retries: signed(policy.oom_retries())?,
            oom_factor: policy.retries.growth.map(|growth| growth.factor),
            oom_max_bytes: policy
                .retries
                .growth
                .and_then(|growth| growth.max_bytes)
                .map(signed)
                .transpose()?,
            pinned: sweep.pinned,
            dev_mounts: sweep.dev_mounts.as_ref(),
            loss_retries: signed(policy.loss_limit())?,
            preemption_retries: signed(policy.preemption_limit())?,
            retry_on: policy.retried().into_iter().map(Named::label).collect(),
            max_parallel: policy.max_parallel.map(signed).transpose()?,
            limits: &policy.limits,
            canary: signed(policy.canary.unwrap_or(0))?,
            keep_seconds: policy.kept_for().map(|time| signed(time.as_secs())).transpose()?,
            recipe: bytea(&sweep.recipe),
            reuse: sweep.reuse.then(|| ReuseState::Pending.label()),
            batch: sweep.batch.map(signed).transpose()?,
            notify: policy.receivers().iter().map(Receiver::written).collect(),
            family: &sweep.family,
            open_jobs: sweep.open.then_some(0),
            cut_before: sweep.held_out.cut_before(),
            after,
            after_any,
            preempt: policy.preempt,
            timeout_millis: sweep
                .timeout
                .map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)),
        })
    }
}

/// Bytes as Postgres reads them from a text.
fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", hex(bytes))
}

/// Inserts the sweep's row, unless one with its key is there.
async fn insert_sweep(tx: &mut Connection, sweep: &Submission) -> Result<Option<SweepId>, Error> {
    let id = SweepId::random();
    let columns = json!(SweepColumns::of(id, sweep)?);
    let inserted = query_file!("queries/submit/insert_sweep.sql", columns, sweep.manifest)
        .fetch_optional(&mut *tx)
        .await?;
    if let (Some(_), Some(pin)) = (&inserted, &sweep.image_pin) {
        query_file!("queries/submit/pin_new_sweep.sql", id.uuid(), pin).execute(&mut *tx).await?;
    }
    let Description { tags, note } = &sweep.description;
    if inserted.is_some() && (!tags.is_empty() || !note.is_empty()) {
        describe(tx, id, tags, &[], Some(note)).await?;
    }
    Ok(inserted.map(|_| id))
}
