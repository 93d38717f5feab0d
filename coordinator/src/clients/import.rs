//! Takes metrics that were computed after the jobs had ended, for all jobs that are named or for none.

use std::collections::{BTreeSet, HashSet};

use bt_model::metrics::{MAX_METRICS, listed, parse};
use bt_proto::convert::Malformed;
use bt_proto::v1::{self, import_metrics_request};
use tonic::Status;
use tracing::info;

use super::Clients;
use super::spool::Spool;
use crate::access::call;
use crate::queue::{Change, Error, Found, Import, JobMetrics};
use crate::rpc::incoming::{self as stream, Incoming};
use crate::rpc::status;

/// What was found out while metrics came in.
#[derive(Default)]
struct Account {
    seen: HashSet<u32>,
    changed: u32,
    unchanged: u32,
    added: BTreeSet<String>,
    overwritten: BTreeSet<String>,
    /// The first job of which something is overwritten.
    first: Option<u32>,
}

impl Clients {
    pub(crate) async fn receive_metrics(
        &self,
        mut incoming: Incoming<v1::ImportMetricsRequest>,
    ) -> Result<v1::ImportMetricsReply, Status> {
        let first = stream::next(&mut incoming).await?.and_then(|message| message.kind);
        let Some(import_metrics_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("an ImportMetricsHeader"));
        };
        let (sweep, changeable) = self.find_to_change(&header.sweep).await?;
        if header.dry_run {
            call::changes_nothing();
        }
        let mut account = Account::default();
        let mut spool = Spool::default();
        let unkept = |error: serde_json::Error| Status::internal(format!("metrics can't be kept: {error}"));
        while let Some(message) = stream::next(&mut incoming).await? {
            let Some(import_metrics_request::Kind::Jobs(piece)) = message.kind else {
                return Err(status::malformed(Malformed::Missing("jobs")));
            };
            let given = account.read(&sweep, piece)?;
            spool.push(&serde_json::to_vec(&given).map_err(unkept)?).await?;
        }
        let mut spooled = spool.finish().await?;
        let mut import = self.queue.begin_import(changeable).await.map_err(status::queue)?;
        while let Some(given) = spooled.next().await? {
            let given: Vec<JobMetrics> = serde_json::from_slice(&given).map_err(unkept)?;
            let changed = account.take(&mut import, given).await?;
            import.write(&changed).await.map_err(status::queue)?;
        }
        if let Some(job) = account.first.filter(|_| !header.overwrite) {
            let names: Vec<String> = account.overwritten.into_iter().collect();
            return Err(Status::already_exists(format!(
                "jobs of sweep {} have reported other values of {} (job {job} is the first); nothing was changed. \
                 --overwrite replaces them",
                sweep.name,
                listed(names.iter())
            )));
        }
        let ended = match header.dry_run {
            true => import.roll_back().await,
            false => import.commit().await,
        };
        ended.map_err(status::queue)?;
        if !header.dry_run {
            self.landscapes.forget(sweep.id);
            self.assessor.forget(sweep.id);
            self.parts.forget(|(kept, _)| *kept == sweep.id);
            info!(sweep.id = %sweep.id, jobs = account.changed, "metrics were added to jobs of sweep {}", sweep.name);
        }
        Ok(v1::ImportMetricsReply {
            changed: account.changed,
            unchanged: account.unchanged,
            added: account.added.into_iter().collect(),
            overwritten: account.overwritten.into_iter().collect(),
        })
    }
}

impl Account {
    /// Checks what a client has sent.
    fn read(&mut self, sweep: &Found, piece: v1::JobsMetrics) -> Result<Vec<JobMetrics>, Status> {
        let mut given = Vec::with_capacity(piece.jobs.len());
        for v1::JobMetrics { job, metrics } in piece.jobs {
            if job >= sweep.known {
                let error =
                    Error::NoJob { sweep: sweep.name.clone(), job, highest: sweep.known.checked_sub(1) };
                return Err(status::queue(error));
            }
            if !self.seen.insert(job) {
                return Err(Status::invalid_argument(format!("job {job} is given twice")));
            }
            let wrong = |error| Status::invalid_argument(format!("the metrics of job {job}: {error}"));
            given.push((job, parse(metrics.as_bytes()).map_err(wrong)?.numbers));
        }
        Ok(given)
    }

    /// The jobs that change, with all of their metrics.
    async fn take(&mut self, import: &mut Import, given: Vec<JobMetrics>) -> Result<Vec<JobMetrics>, Status> {
        let changes = import.compare(&given).await.map_err(status::queue)?;
        let mut changed = Vec::new();
        for ((job, _), change) in given.into_iter().zip(changes) {
            match change {
                Change::None => self.unchanged += 1,
                Change::NotSucceeded(state) => {
                    return Err(Status::invalid_argument(format!(
                        "job {job} is {state}; only jobs that have succeeded have metrics. Nothing was changed"
                    )));
                }
                Change::Merged { metrics, added, overwritten } => {
                    if metrics.len() > MAX_METRICS {
                        return Err(Status::invalid_argument(format!(
                            "job {job} would have {} metrics; {MAX_METRICS} are the most. Nothing was changed",
                            metrics.len()
                        )));
                    }
                    if !overwritten.is_empty() {
                        self.first = Some(self.first.map_or(job, |first| first.min(job)));
                    }
                    self.changed += 1;
                    self.added.extend(added);
                    self.overwritten.extend(overwritten);
                    changed.push((job, metrics));
                }
            }
        }
        Ok(changed)
    }
}
