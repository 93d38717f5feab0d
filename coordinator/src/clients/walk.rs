//! A sweep's walk-forward: what was chosen in each window, how it did out of sample, and the curve of all tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bt_documents::main_metric;
use bt_model::manifest::{Goal, Manifest};
use bt_model::parameters::{read_map, text_of};
use bt_model::state::JobState;
use bt_model::windows::{NAMES, PHASE, Stitched, Window, returns_in_test};
use bt_proto::convert::present;
use bt_proto::v1;
use serde_json::{Map, Value};
use tonic::Status;

use super::Clients;
use crate::manifests::{Known, Reader};
use crate::queue::{Chosen, Found, JobRow};
use crate::rpc::status;

/// Jobs in a page of those that are looked through.
const PAGE: u32 = 1_000;
/// Jobs that are read at once.
const BATCH: usize = 1_000;
/// Jobs whose returns are held at once: some megabytes.
const AT_ONCE: usize = 100;
const NO_RETURNS: &str = "it has not reported returns: `series.returns` or `series.equity` in its metrics, or the table that \
                          `returns` in the manifest names";
/// What jobs report of how many of their periods make a year.
const PERIODS: &str = "periods_per_year";
/// Sentences on what is missing.
const MOST_TOLD: usize = 20;

/// What is best in a window.
#[derive(Clone, Debug)]
struct Pick {
    job: u32,
    value: f64,
    /// Without the window's own.
    params: Map<String, Value>,
}

/// A window, and what is known of it so far.
struct Row {
    window: Window,
    jobs: u32,
    reported: u32,
    pick: Option<Pick>,
    /// The job that tests it.
    test: Option<u32>,
}

impl Clients {
    pub(super) async fn walk(&self, request: v1::ShowWalkRequest) -> Result<v1::ShowWalkReply, Status> {
        let found = self.find(&request.sweep).await?;
        let known = self.manifests.get(found.id).await.map_err(status::manifest)?;
        let windows = known.manifest.window_list();
        let windows = windows.map_err(|error| Status::internal(error.to_string()))?;
        if windows.is_empty() {
            return Err(Status::invalid_argument(format!(
                "sweep {} has no `windows` in its manifest, so there is no walk-forward to show",
                found.name
            )));
        }
        let asked = present(request.metric);
        let (metric, goal) = self.metric_of_walk(&found, &known.manifest, asked).await?;
        let reader = known.reader().map_err(status::manifest)?;
        let rows = match &known.manifest.select {
            Some(_) => self.selected(&found, &reader, windows, &metric).await?,
            None => self.picked(&found, &reader, windows, &metric, goal).await?,
        };
        self.reply(&found, &known, rows, metric, goal).await
    }

    /// The windows whose tests keep their parameters, though these of their training jobs are queued again.
    pub(super) async fn tests_that_stay(
        &self,
        found: &Found,
        jobs: &Chosen,
        queued: u32,
    ) -> Result<Vec<u32>, Status> {
        let jobs = match jobs {
            _ if queued == 0 => return Ok(Vec::new()),
            Chosen::All => None,
            Chosen::These(jobs) => Some(jobs.as_slice()),
        };
        self.queue.tests_that_stay(found.id, jobs).await.map_err(status::queue)
    }

    async fn metric_of_walk(
        &self,
        found: &Found,
        manifest: &Manifest,
        asked: Option<String>,
    ) -> Result<(String, Goal), Status> {
        if let Some(select) = &manifest.select
            && asked.as_ref().is_none_or(|asked| *asked == select.metric)
        {
            return Ok((select.metric.clone(), select.goal));
        }
        let names = self.queue.metric_names(found.id).await.map_err(status::queue)?;
        let metric = asked.or_else(|| main_metric(manifest.goals.keys(), &names).map(str::to_owned));
        let metric = metric.ok_or_else(|| {
            Status::invalid_argument(format!("no job of sweep {} has reported any metric yet", found.name))
        })?;
        if !names.contains(&metric) && !names.is_empty() {
            return Err(Status::invalid_argument(format!(
                "no job of sweep {} has reported {metric:?}; reported are: {}",
                found.name,
                names.join(", ")
            )));
        }
        let goal = manifest.goals.get(&metric).copied().unwrap_or_default();
        Ok((metric, goal))
    }

    /// Whose parameters the tests have.
    async fn selected(
        &self,
        found: &Found,
        reader: &Reader<'_>,
        windows: Vec<Window>,
        metric: &str,
    ) -> Result<Vec<Row>, Status> {
        let tests = self.queue.window_tests(found.id, None).await.map_err(status::queue)?;
        let chosen: Vec<u32> = tests.iter().filter_map(|test| Some(test.chosen?.job)).collect();
        let chosen = self.rows(found, &chosen).await?;
        let select = self.manifests.get(found.id).await.map_err(status::manifest)?;
        let is_select = select.manifest.select.as_ref().is_some_and(|select| select.metric == metric);
        let mut rows = Vec::with_capacity(tests.len());
        for test in tests {
            let Some(window) = windows.get(test.window as usize) else { continue };
            let pick = test.chosen.and_then(|choice| {
                let row = chosen.get(&choice.job)?;
                // What it was chosen by may have changed since.
                let value = if is_select { Some(choice.value) } else { value_of(row, metric) };
                Some((choice.job, value?, row.parameters.clone()))
            });
            let pick = pick.map(|(job, value, written)| {
                Ok::<_, Status>(Pick { job, value, params: params_of(&reader.json(written))? })
            });
            rows.push(Row {
                window: *window,
                jobs: test.last - test.first + 1,
                reported: test.chosen.map_or(0, |choice| choice.reported),
                pick: pick.transpose()?,
                test: Some(test.job),
            });
        }
        Ok(rows)
    }

    /// The best job of each window; of equals, the one with the lowest number.
    async fn picked(
        &self,
        found: &Found,
        reader: &Reader<'_>,
        windows: Vec<Window>,
        metric: &str,
        goal: Goal,
    ) -> Result<Vec<Row>, Status> {
        let row = |window| Row { window, jobs: 0, reported: 0, pick: None, test: None };
        let mut rows: Vec<Row> = windows.into_iter().map(row).collect();
        let mut after = None;
        loop {
            let page = self.queue.values_of_metric(found.id, metric, after, PAGE).await;
            let page = page.map_err(status::queue)?;
            let more = page.len() == PAGE as usize;
            after = page.last().map(|job| job.number);
            for job in page {
                let map = read_map(&reader.json(job.parameters)).map_err(unreadable)?;
                let window = map.get("window").and_then(Value::as_u64);
                let Some(row) = window.and_then(|window| rows.get_mut(window as usize)) else { continue };
                row.jobs += 1;
                let Some(value) = job.value else { continue };
                row.reported += 1;
                let is_better = row.pick.as_ref().is_none_or(|pick| match goal {
                    Goal::Maximize => value > pick.value,
                    Goal::Minimize => value < pick.value,
                });
                if is_better {
                    row.pick = Some(Pick { job: job.number, value, params: without_own(map) });
                }
            }
            if !more {
                return Ok(rows);
            }
        }
    }

    async fn reply(
        &self,
        found: &Found,
        known: &Known,
        rows: Vec<Row>,
        metric: String,
        goal: Goal,
    ) -> Result<v1::ShowWalkReply, Status> {
        let numbers: Vec<u32> = rows.iter().filter_map(tested).collect();
        let jobs = self.rows(found, &numbers).await?;
        let mut missing = Vec::new();
        let (mut curve, mut stitched, mut periods) = (Stitched::default(), 0, Vec::new());
        let mut windows = Vec::with_capacity(rows.len());
        let mut returned = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            if place % AT_ONCE == 0 {
                let next: Vec<u32> = rows[place..].iter().take(AT_ONCE).filter_map(tested).collect();
                returned = self.queue.returns_of(found.id, &next).await.map_err(status::queue)?;
            }
            let test = row.test.and_then(|job| jobs.get(&job));
            let job = tested(row).and_then(|job| jobs.get(&job));
            let mut test_return = None;
            if let Some(job) = job.filter(|job| job.state == JobState::Succeeded) {
                let returns = returned.get(&job.number).ok_or_else(|| NO_RETURNS.to_owned());
                match returns.and_then(|returns| returns_in_test(returns, &row.window)) {
                    Ok(returns) => {
                        let mut alone = Stitched::default();
                        alone.add(&returns);
                        test_return = alone.statistics().map(|found| found.total_return);
                        curve.add(&returns);
                        stitched += 1;
                        periods.push(value_of(job, PERIODS));
                    }
                    Err(why) => {
                        missing.push(format!("window {}: job {}: {why}", row.window.number, job.number))
                    }
                }
            } else if let Some(job) = job {
                missing.push(format!("window {}: job {} is {}", row.window.number, job.number, job.state));
            } else {
                missing.push(format!("window {}: no job has reported {metric}", row.window.number));
            }
            // What was pruned has reported a part.
            let test_result = test.filter(|test| test.state == JobState::Succeeded);
            let out_of_sample = test_result.and_then(|test| value_of(test, &metric));
            windows.push(wire(row, test, out_of_sample, test_return));
        }
        let more = missing.len().saturating_sub(MOST_TOLD);
        if more > 0 {
            missing.truncate(MOST_TOLD);
            missing.push(format!("and {more} more"));
        }
        let picks: Vec<&Pick> = rows.iter().filter_map(|row| row.pick.as_ref()).collect();
        Ok(v1::ShowWalkReply {
            metric,
            minimize: goal == Goal::Minimize,
            selects: known.manifest.select.is_some(),
            windows,
            parameters: stability(&picks),
            changes: changes(picks.iter().map(|pick| Some(&pick.params))),
            stitched: stitched_wire(&curve, stitched, &periods),
            missing,
        })
    }

    async fn rows(&self, found: &Found, numbers: &[u32]) -> Result<HashMap<u32, JobRow>, Status> {
        let mut rows = HashMap::with_capacity(numbers.len());
        for numbers in numbers.chunks(BATCH) {
            let page = self.queue.jobs_by_number(found.id, numbers).await.map_err(status::queue)?;
            rows.extend(page.into_iter().map(|row| (row.number, row)));
        }
        Ok(rows)
    }
}

/// The job whose series covers the window's test.
fn tested(row: &Row) -> Option<u32> {
    row.test.or(row.pick.as_ref().map(|pick| pick.job))
}

fn value_of(row: &JobRow, metric: &str) -> Option<f64> {
    let metrics: Map<String, Value> = serde_json::from_str(row.metrics.as_deref()?).ok()?;
    metrics.get(metric)?.as_f64()
}

fn params_of(text: &str) -> Result<Map<String, Value>, Status> {
    read_map(text).map(without_own).map_err(unreadable)
}

fn without_own(mut map: Map<String, Value>) -> Map<String, Value> {
    map.retain(|name, _| !NAMES.contains(&name.as_str()) && name != PHASE);
    map
}

fn unreadable(error: serde_json::Error) -> Status {
    Status::internal(format!("a job's parameters can't be read: {error}"))
}

fn wire(
    row: &Row,
    test: Option<&JobRow>,
    out_of_sample: Option<f64>,
    test_return: Option<f64>,
) -> v1::WalkWindow {
    let window = &row.window;
    v1::WalkWindow {
        window: window.number,
        train_start: window.train_start.to_string(),
        train_end: window.train_end.to_string(),
        train_last: window.train_last().to_string(),
        test_start: window.test_start.to_string(),
        test_end: window.test_end.to_string(),
        test_last: window.test_last().to_string(),
        partial: window.partial,
        jobs: row.jobs,
        reported: row.reported,
        job: row.pick.as_ref().map(|pick| pick.job),
        params: row
            .pick
            .as_ref()
            .map(|pick| Value::Object(pick.params.clone()).to_string())
            .unwrap_or_default(),
        in_sample: row.pick.as_ref().map(|pick| pick.value),
        test_job: row.test,
        test_state: test.map_or(v1::JobState::Unspecified, |test| test.state.into()).into(),
        out_of_sample,
        test_return,
    }
}

/// How often what is not the same follows.
fn changes<'p, T: PartialEq + 'p>(choices: impl Iterator<Item = Option<&'p T>>) -> u32 {
    let choices: Vec<_> = choices.collect();
    choices.windows(2).filter(|pair| pair[0] != pair[1]).count() as u32
}

fn stability(picks: &[&Pick]) -> Vec<v1::ParameterStability> {
    let mut names: Vec<&String> = Vec::new();
    for name in picks.iter().flat_map(|pick| pick.params.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |name: &String| {
        let values: Vec<_> = picks.iter().filter_map(|pick| pick.params.get(name)).collect();
        let numbers: Vec<_> = values.iter().filter_map(|value| value.as_f64()).collect();
        let numbers = if numbers.len() == values.len() { numbers } else { Vec::new() };
        v1::ParameterStability {
            parameter: name.clone(),
            changes: changes(picks.iter().map(|pick| pick.params.get(name))),
            distinct: values.iter().map(|value| text_of(value)).collect::<BTreeSet<_>>().len() as u32,
            lowest: numbers.iter().copied().reduce(f64::min),
            highest: numbers.iter().copied().reduce(f64::max),
        }
    };
    names.into_iter().map(of).collect()
}

fn stitched_wire(curve: &Stitched, windows: u32, periods: &[Option<f64>]) -> Option<v1::StitchedCurve> {
    let found = curve.statistics()?;
    let same: BTreeMap<u64, f64> = periods.iter().flatten().map(|value| (value.to_bits(), *value)).collect();
    let known = periods.iter().all(Option::is_some) && same.len() == 1;
    let periods_per_year = same.into_values().next().filter(|value| known && *value > 0.0);
    Some(v1::StitchedCurve {
        windows,
        dates: curve.returns.iter().map(|found| found.date.to_string()).collect(),
        returns: curve.returns.iter().map(|found| found.value).collect(),
        equity: curve.equity.clone(),
        total_return: found.total_return,
        sharpe: found.sharpe,
        annual_sharpe: found.sharpe.zip(periods_per_year).map(|(sharpe, periods)| sharpe * periods.sqrt()),
        periods_per_year,
        max_drawdown: found.max_drawdown,
    })
}
