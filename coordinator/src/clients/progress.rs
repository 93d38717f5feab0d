//! How far running jobs are, as clients see it.

use std::collections::HashMap;

use bt_model::parameters::read_map;
use bt_model::state::JobState;
use bt_model::stop_when::StopWhen;
use bt_proto::convert::timestamp;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use crate::queue::{Found, JobRow, ProgressAt};
use crate::rpc::status;

impl Clients {
    /// What those of these jobs said last that run.
    pub(super) async fn progress_of(
        &self,
        sweep: &Found,
        jobs: &[JobRow],
    ) -> Result<HashMap<u32, ProgressAt>, Status> {
        let running = jobs.iter().filter(|job| job.state == JobState::Running);
        let running: Vec<_> = running.map(|job| job.number).collect();
        self.queue.progress_of_jobs(sweep.id, &running).await.map_err(status::queue)
    }

    /// When a running job is pruned, and how it stands; nothing where its manifest does not say it.
    pub(super) async fn pruned_when(&self, sweep: &Found, job: u32) -> Result<Option<String>, Status> {
        let known = self.manifests.get(sweep.id).await.map_err(status::manifest)?;
        let Some(source) = &known.manifest.policy.stop_when else { return Ok(None) };
        let said = self.queue.progress_of_jobs(sweep.id, &[job]).await.map_err(status::queue)?.remove(&job);
        let metrics = said.map(|said| said.progress.metrics).unwrap_or_default();
        let row = self.queue.jobs_by_number(sweep.id, &[job]).await.map_err(status::queue)?.pop();
        let Some(row) = row else { return Ok(None) };
        let parameters = known.reader().map_err(status::manifest)?.json(row.parameters);
        let unreadable = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
        let parameters = read_map(&parameters).map_err(|error| unreadable(&error))?;
        let mut rule = StopWhen::new(source).map_err(|error| unreadable(&error))?;
        Ok(Some(rule.outlook(job, &parameters, &metrics)))
    }

    pub(super) async fn progress(&self, sweep: &Found, job: u32) -> Result<v1::ShowProgressReply, Status> {
        let known = self.queue.progress_of_job(sweep.id, job).await.map_err(status::queue)?;
        let Some(known) = known else { return Ok(v1::ShowProgressReply::default()) };
        let points = known.points.into_iter().map(|point| v1::ProgressPoint {
            at: Some(timestamp(point.at)),
            done: point.progress.done,
            metrics: point.progress.metrics.into_iter().collect(),
        });
        Ok(v1::ShowProgressReply {
            attempt: Some(known.attempt),
            progress: known.latest.map(wire),
            points: points.collect(),
        })
    }
}

pub(super) fn wire(said: ProgressAt) -> v1::JobProgress {
    let ProgressAt { at, progress } = said;
    v1::JobProgress {
        fraction: progress.fraction,
        done: progress.done,
        of: progress.of,
        note: progress.note,
        metrics: progress.metrics.into_iter().collect(),
        at: Some(timestamp(at)),
    }
}
