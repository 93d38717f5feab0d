//! Lists of jobs, by number or ranked by a metric.

use bt_model::parameters::Parameters;
use bt_model::state::JobState;
use bt_model::template::Renderer;
use bt_proto::convert::timestamp;
use bt_proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

use super::{Services, reuse, status};
use crate::manifests::Reader;
use crate::queue::{Found, JobFilter, JobRow, TwinRow};

/// Jobs in a page.
const PAGE: u32 = 1_000;
/// Jobs that a ranking holds at most.
const MOST_RANKED: u32 = 10_000;

type Jobs = mpsc::Sender<Result<v1::Job, Status>>;

impl Services {
    pub(super) async fn send_jobs(
        &self,
        sweep: &Found,
        request: &v1::ListJobsRequest,
        jobs: &Jobs,
    ) -> Result<(), Status> {
        let known = self.manifests.get(sweep.id).await.map_err(status::manifest)?;
        let encoder = Encoder {
            parameters: known.reader().map_err(status::manifest)?,
            renderer: known.manifest.renderer().map_err(unreadable)?,
        };
        if !request.by.is_empty() {
            return self.send_ranked(sweep, request, &encoder, jobs).await;
        }
        let states = request.states().map(JobState::try_from);
        let filter = JobFilter {
            states: states.collect::<Result<_, _>>().map_err(status::malformed)?,
            job: request.job,
        };
        let mut left = match request.limit {
            0 => u32::MAX,
            limit => limit,
        };
        let mut after = None;
        while left > 0 {
            let limit = left.min(PAGE);
            let page = self.queue.jobs(sweep.id, &filter, after, limit).await;
            let page = page.map_err(status::queue)?;
            let more = page.len() == limit as usize;
            after = page.last().map(|row| row.number);
            left -= page.len() as u32;
            let mut twins = self.twins(sweep, &page).await?;
            for row in page {
                let twin = twins.remove(&row.number);
                if jobs.send(Ok(encoder.job(row, twin)?)).await.is_err() {
                    return Ok(());
                }
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

    async fn send_ranked(
        &self,
        sweep: &Found,
        request: &v1::ListJobsRequest,
        encoder: &Encoder<'_>,
        jobs: &Jobs,
    ) -> Result<(), Status> {
        let limit = match request.limit {
            0 => MOST_RANKED,
            limit => limit.min(MOST_RANKED),
        };
        let ranked = self.queue.ranked(sweep.id, &request.by, request.ascending, limit);
        let ranked = ranked.await.map_err(status::queue)?;
        if ranked.is_empty() {
            let names = self.queue.metric_names(sweep.id).await.map_err(status::queue)?;
            let there = match names.is_empty() {
                true => "no job has reported any metrics yet".to_owned(),
                false => format!("reported are: {}", names.join(", ")),
            };
            let told = format!("no job of sweep {} reported {:?}; {there}", sweep.name, request.by);
            return Err(Status::invalid_argument(told));
        }
        let mut twins = self.twins(sweep, &ranked).await?;
        for row in ranked {
            let twin = twins.remove(&row.number);
            if jobs.send(Ok(encoder.job(row, twin)?)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// From a row to what clients see.
struct Encoder<'m> {
    parameters: Reader<'m>,
    renderer: Renderer<'m>,
}

impl Encoder<'_> {
    fn job(&self, row: JobRow, twin: Option<TwinRow>) -> Result<v1::Job, Status> {
        let (reused_from, attached_to) = reuse::wire(twin);
        let text = self.parameters.json(row.parameters);
        let parameters = Parameters::from_json(&text).map_err(unreadable)?;
        let rendered = self.renderer.render(&parameters).map_err(unreadable)?;
        let attempt_state = row.attempt_state.map(v1::AttemptState::from);
        Ok(v1::Job {
            number: row.number,
            state: v1::JobState::from(row.state).into(),
            parameters: text,
            metrics: row.metrics.unwrap_or_default(),
            attempts: row.attempts,
            agent: row.agent.unwrap_or_default(),
            reason: row.reason.as_ref().map(Into::into),
            started: row.started.map(timestamp),
            finished: row.finished.map(timestamp),
            note: row.note.unwrap_or_default(),
            command: rendered.command,
            attempt_state: attempt_state.unwrap_or_default().into(),
            ended: row.ended.map(timestamp),
            usage: Some(v1::Usage {
                peak_memory_bytes: row.measured.peak_memory_bytes,
                cpu_micros: row.measured.cpu_micros,
                written_bytes: row.measured.written_bytes,
                wall_millis: row.measured.wall_millis,
            }),
            image_id: row.image_id.unwrap_or_default(),
            reused_from,
            attached_to,
        })
    }
}

/// What was queued was checked, so only a newer btctl's manifest can be unreadable.
fn unreadable(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("the sweep's manifest can't be read: {error}"))
}
