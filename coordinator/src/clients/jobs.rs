//! Lists of jobs, by number or ranked by a metric.

use std::collections::{BTreeSet, BinaryHeap};

use bt_model::manifest::Goal;
use bt_model::parameters::{Parameters, read_map};
use bt_model::selection::Selection;
use bt_model::state::JobState;
use bt_model::template::Renderer;
use bt_proto::convert::{present, timestamp};
use bt_proto::v1;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tonic::Status;

use super::figures::Figures;
use super::landscape::not_reported;
use super::{Clients, attempts, progress, reuse};
use crate::calculations::Calculation;
use crate::manifests::Reader;
use crate::queue::{Found, JobFilter, JobRow, LastFailure, ProgressAt, Reported, TwinRow};
use crate::rpc::status;

/// Jobs in a page.
const PAGE: u32 = 1_000;
/// What an expression calls the state of a job, unless the job has a metric or a parameter of that name.
const STATE: &str = "state";
/// Jobs that a ranking holds at most.
const MOST_RANKED: u32 = 10_000;

type Jobs = mpsc::Sender<Result<v1::Job, Status>>;

impl Clients {
    pub(super) async fn send_jobs(
        &self,
        sweep: &Found,
        request: &v1::ListJobsRequest,
        jobs: &Jobs,
    ) -> Result<(), Status> {
        let by = request.by.as_deref().filter(|by| !by.is_empty());
        let known = self.manifests.get(sweep.id).await.map_err(status::manifest)?;
        let mut encoder = Encoder {
            figures: None,
            parameters: known.reader().map_err(status::manifest)?,
            renderer: known.manifest.renderer().map_err(unreadable)?,
            ascending: request.ascending.unwrap_or_else(|| {
                by.and_then(|by| known.manifest.goals.get(by)).is_some_and(|goal| *goal == Goal::Minimize)
            }),
        };
        let mut wanted = present(request.filter.clone()).map(|source| Wanted::new(&source)).transpose()?;
        encoder.figures = match (by, request.robust) {
            (Some(by), true) => Some(self.robust(sweep, by, encoder.ascending, MOST_RANKED).await?),
            (None, true) => {
                return Err(Status::invalid_argument(
                    "`robust` is the order of a ranking; name its metric in `by`",
                ));
            }
            (by, false) => self.figures(sweep, by, wanted.as_ref().map(|wanted| &wanted.selection)).await?,
        };
        if let Some(by) = by {
            if !request.states.is_empty() || request.job.is_some() || request.after.is_some() {
                return Err(Status::invalid_argument(
                    "a ranking (`by`) takes no `states` and no `job`, and no `after`; use `filter`",
                ));
            }
            return self.send_ranked(sweep, by, request.limit, &encoder, wanted, jobs).await;
        }
        if request.ascending.is_some() {
            return Err(Status::invalid_argument(
                "`ascending` is the order of a ranking; name the metric in `by`",
            ));
        }
        let states = request.states().map(JobState::try_from);
        let filter = JobFilter {
            states: states.collect::<Result<_, _>>().map_err(status::malformed)?,
            job: request.job,
        };
        let mut left = present(request.limit).unwrap_or(u32::MAX);
        let mut after = request.after;
        let mut calculation = self.begin_list(sweep).await?;
        while left > 0 {
            // Of those that are looked through, few may be wanted.
            let limit = if wanted.is_some() { PAGE } else { left.min(PAGE) };
            let page = self.queue.jobs(sweep.id, &filter, after, limit).await;
            let page = page.map_err(status::queue)?;
            let more = page.len() == limit as usize;
            after = page.last().map(|row| row.number);
            let mut twins = self.twins(sweep, &page).await?;
            let mut failures = self.last_failures(sweep, &page).await?;
            let mut said = self.progress_of(sweep, &page).await?;
            let mut rows = page.into_iter();
            let mut found = Vec::new();
            let step = || -> Option<Result<(), Status>> {
                let Some(row) = rows.next().filter(|_| left > 0) else { return Some(Ok(())) };
                match wanted.as_mut().map_or(Ok(true), |wanted| wanted.takes_row(&encoder, &row)) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                }
                left -= 1;
                let beside = Beside {
                    twin: twins.remove(&row.number),
                    failure: failures.remove(&row.number),
                    progress: said.remove(&row.number),
                };
                encoder.job(row, beside).map(|job| found.push(job)).err().map(Err)
            };
            calculation.run(step).await.map_err(status::calculation)??;
            for job in found {
                if jobs.send(Ok(job)).await.is_err() {
                    return Ok(());
                }
            }
            if !more {
                break;
            }
        }
        match wanted {
            // A list that was cut short has not seen all names.
            Some(wanted) if left > 0 && request.job.is_none() && request.after.is_none() => {
                self.check_names(sweep, wanted).await
            }
            _ => Ok(()),
        }
    }

    async fn send_ranked(
        &self,
        sweep: &Found,
        by: &str,
        limit: Option<u32>,
        encoder: &Encoder<'_>,
        wanted: Option<Wanted>,
        jobs: &Jobs,
    ) -> Result<(), Status> {
        let limit = present(limit).unwrap_or(MOST_RANKED).min(MOST_RANKED);
        let ranking = encoder.figures.as_ref().and_then(|figures| figures.ranking(by, encoder.ascending));
        let ranked = match (wanted, ranking) {
            (wanted, Some(ranking)) => Some(self.take_ranked(sweep, &ranking, encoder, wanted, limit).await?),
            (None, None) => {
                let ranked = self.queue.ranked(sweep.id, by, encoder.ascending, limit);
                let ranked = ranked.await.map_err(status::queue)?;
                (!ranked.is_empty()).then_some(ranked)
            }
            (Some(wanted), None) => self.rank_wanted(sweep, by, encoder, wanted, limit).await?,
        };
        let Some(ranked) = ranked else {
            let names = self.queue.metric_names(sweep.id).await.map_err(status::queue)?;
            return Err(not_reported(&sweep.name, by, &names));
        };
        let mut twins = self.twins(sweep, &ranked).await?;
        for row in ranked {
            let beside = Beside { twin: twins.remove(&row.number), ..Beside::default() };
            if jobs.send(Ok(encoder.job(row, beside)?)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The first jobs of a ranking that are wanted.
    async fn take_ranked(
        &self,
        sweep: &Found,
        ranking: &[u32],
        encoder: &Encoder<'_>,
        mut wanted: Option<Wanted>,
        limit: u32,
    ) -> Result<Vec<JobRow>, Status> {
        let mut taken = Vec::new();
        for page in ranking.chunks(PAGE as usize) {
            for row in self.queue.jobs_by_number(sweep.id, page).await.map_err(status::queue)? {
                if taken.len() < limit as usize
                    && wanted.as_mut().map_or(Ok(true), |wanted| wanted.takes_row(encoder, &row))?
                {
                    taken.push(row);
                }
            }
            if taken.len() >= limit as usize {
                return Ok(taken);
            }
        }
        if let Some(wanted) = wanted {
            self.check_names(sweep, wanted).await?;
        }
        Ok(taken)
    }

    /// The best of those that are wanted; none if no job at all has reported the metric. Only the best so far are held,
    /// however many there are.
    async fn rank_wanted(
        &self,
        sweep: &Found,
        by: &str,
        encoder: &Encoder<'_>,
        mut wanted: Wanted,
        limit: u32,
    ) -> Result<Option<Vec<JobRow>>, Status> {
        let mut best = BinaryHeap::new();
        let mut after = None;
        let states = wanted.states();
        let mut calculation = self.begin_list(sweep).await?;
        loop {
            let page = self.queue.reported(sweep.id, by, states, after, PAGE).await;
            let page = page.map_err(status::queue)?;
            if after.is_none() && page.is_empty() {
                return Ok(None);
            }
            let more = page.len() == PAGE as usize;
            after = page.last().map(|row| row.number);
            let mut rows = page.into_iter();
            let step = || -> Option<Result<(), Status>> {
                let Some(row) = rows.next() else { return Some(Ok(())) };
                let number = row.number;
                match wanted.rank(row, by, encoder) {
                    Ok(None) => {}
                    Ok(Some(value)) => {
                        let value = if encoder.ascending { value } else { -value };
                        best.push(Rank { value, number });
                        if best.len() > limit as usize {
                            best.pop();
                        }
                    }
                    Err(error) => return Some(Err(error)),
                }
                None
            };
            calculation.run(step).await.map_err(status::calculation)??;
            if !more {
                break;
            }
        }
        self.check_names(sweep, wanted).await?;
        let numbers: Vec<u32> = best.into_sorted_vec().into_iter().map(|rank| rank.number).collect();
        self.queue.jobs_by_number(sweep.id, &numbers).await.map(Some).map_err(status::queue)
    }

    /// Lists of one sweep take turns.
    async fn begin_list(&self, sweep: &Found) -> Result<Calculation, Status> {
        self.calculations.begin(&format!("jobs of {}", sweep.id)).await.map_err(status::calculation)
    }

    /// Fails if the expression names what no job has.
    async fn check_names(&self, sweep: &Found, wanted: Wanted) -> Result<(), Status> {
        // Only to find out whether it is worth the look at all names.
        if wanted.selection.unknown(&[], &[]).is_none() {
            return Ok(());
        }
        let metrics = self.queue.metric_names(sweep.id).await.map_err(status::queue)?;
        let parameters: Vec<String> = wanted.parameters.into_iter().collect();
        match wanted.selection.unknown(&metrics, &parameters) {
            Some(error) => Err(Status::invalid_argument(error.to_string())),
            None => Ok(()),
        }
    }
}

/// What jobs must fulfil, and the parameters that they were seen to have.
struct Wanted {
    selection: Selection,
    names_state: bool,
    parameters: BTreeSet<String>,
}

impl Wanted {
    fn new(source: &str) -> Result<Self, Status> {
        let selection = Selection::new(source);
        let selection = selection.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let names_state = selection.names(STATE);
        Ok(Self { selection, names_state, parameters: BTreeSet::new() })
    }

    /// The states whose jobs can be ranked: pruned ones only where the expression decides over them.
    fn states(&self) -> &'static [JobState] {
        match self.names_state {
            true => &[JobState::Succeeded, JobState::Pruned],
            false => &[JobState::Succeeded],
        }
    }

    fn takes(
        &mut self,
        job: u32,
        state: JobState,
        parameters: &Map<String, Value>,
        mut metrics: Map<String, Value>,
    ) -> Result<bool, Status> {
        if self.names_state && !parameters.contains_key(STATE) && !metrics.contains_key(STATE) {
            metrics.insert(STATE.to_owned(), state.name().into());
        }
        for name in parameters.keys() {
            if !self.parameters.contains(name) {
                self.parameters.insert(name.clone());
            }
        }
        let taken = self.selection.takes(job, parameters, metrics);
        taken.map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// The metric by which the job is ranked, if it is wanted and has it.
    fn rank(&mut self, row: Reported, by: &str, encoder: &Encoder<'_>) -> Result<Option<f64>, Status> {
        let mut metrics = object(&row.metrics)?;
        encoder.add_figures(row.number, &mut metrics);
        let Some(value) = metrics.get(by).and_then(Value::as_f64) else { return Ok(None) };
        let parameters = read_map(&encoder.parameters.json(row.parameters)).map_err(unreadable)?;
        Ok(self.takes(row.number, row.state, &parameters, metrics)?.then_some(value))
    }

    fn takes_row(&mut self, encoder: &Encoder<'_>, row: &JobRow) -> Result<bool, Status> {
        let parameters = read_map(&encoder.parameters.json(row.parameters.clone())).map_err(unreadable)?;
        let mut metrics = row.metrics.as_deref().map(object).transpose()?.unwrap_or_default();
        encoder.add_figures(row.number, &mut metrics);
        self.takes(row.number, row.state, &parameters, metrics)
    }
}

/// A job's place in a ranking; the least is the best.
#[derive(Clone, Copy, Debug)]
struct Rank {
    value: f64,
    number: u32,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Finite, so that only equal ones are equal; 0.0 takes the sign from zero.
        let (a, b) = (self.value + 0.0, other.value + 0.0);
        a.total_cmp(&b).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

fn object(text: &str) -> Result<Map<String, Value>, Status> {
    serde_json::from_str(text).map_err(unreadable)
}

/// From a row to what clients see.
struct Encoder<'m> {
    /// What is computed of jobs beside what they report, if that is asked for.
    figures: Option<Figures>,
    parameters: Reader<'m>,
    renderer: Renderer<'m>,
    /// The lowest metric is the best.
    ascending: bool,
}

/// What is known of a job besides its row.
#[derive(Default)]
struct Beside {
    twin: Option<TwinRow>,
    failure: Option<LastFailure>,
    progress: Option<ProgressAt>,
}

impl Encoder<'_> {
    fn add_figures(&self, job: u32, metrics: &mut Map<String, Value>) {
        if let Some(figures) = &self.figures {
            figures.add_to(job, metrics);
        }
    }

    /// The metrics with the figures among them.
    fn metrics(&self, job: u32, reported: Option<String>) -> Result<Option<String>, Status> {
        let (Some(_), Some(text)) = (&self.figures, &reported) else { return Ok(reported) };
        let mut metrics = object(text)?;
        self.add_figures(job, &mut metrics);
        Ok(Some(Value::Object(metrics).to_string()))
    }

    fn job(&self, row: JobRow, beside: Beside) -> Result<v1::Job, Status> {
        let (reused_from, attached_to) = reuse::wire(beside.twin);
        let text = self.parameters.json(row.parameters);
        let parameters = Parameters::from_json(&text).map_err(unreadable)?;
        let (command, note) = match row.waits_for {
            Some(window) if row.state == JobState::Queued => {
                (Vec::new(), format!("waits for the training of window {window}"))
            }
            // It has none.
            Some(_) => (Vec::new(), String::new()),
            None => self.command(&parameters, row.note),
        };
        let attempt_state = row.attempt_state.map(v1::AttemptState::from);
        Ok(v1::Job {
            number: row.number,
            state: v1::JobState::from(row.state).into(),
            parameters: text,
            metrics: present(self.metrics(row.number, row.metrics)?),
            attempts: row.attempts,
            agent: row.agent.unwrap_or_default(),
            reason: row.reason.as_ref().map(Into::into),
            started: row.started.map(timestamp),
            finished: row.finished.map(timestamp),
            note,
            command,
            attempt_state: attempt_state.unwrap_or_default().into(),
            ended: row.ended.map(timestamp),
            usage: Some(v1::Usage {
                peak_memory_bytes: row.measured.peak_memory_bytes,
                cpu_micros: row.measured.cpu_micros,
                written_bytes: row.measured.written_bytes,
                wall_millis: row.measured.wall_millis,
            }),
            image_id: row.image_id.unwrap_or_default(),
            memory_bytes: row.memory_bytes,
            reused_from,
            attached_to,
            last_failure: beside.failure.map(attempts::last_failure),
            progress: beside.progress.map(progress::wire),
            waits_for: row.waits_for.filter(|_| row.state == JobState::Queued),
        })
    }

    /// Its command, and what is to be said of it. One job whose command can't be rendered must not keep the others from
    /// being listed.
    fn command(&self, parameters: &Parameters, note: Option<String>) -> (Vec<String>, String) {
        match self.renderer.render(parameters) {
            Ok(rendered) => (rendered.command, note.unwrap_or_default()),
            Err(error) => (Vec::new(), format!("its command can't be rendered: {error}")),
        }
    }
}

/// What was queued was checked, so only a newer btctl's manifest can be unreadable.
fn unreadable(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("the sweep's manifest can't be read: {error}"))
}
