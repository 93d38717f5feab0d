//! Figures of a job that are computed of its whole sweep. They stand among its metrics where a list names them, unless jobs
//! have reported metrics of these names.

use std::collections::HashMap;

use bt_model::selection::Selection;
use serde_json::{Map, Value};
use tonic::Status;

use super::Clients;
use crate::answers::Standing;
use crate::assess::{Question, rank};
use crate::queue::Found;
use crate::rpc::status;

/// The probabilities that a job's Sharpe ratio is above 0, and above what luck is expected to show.
const PSR: &str = "psr";
const DSR: &str = "dsr";
/// The median of a job's metric and those of its neighbours.
const ROBUST: &str = "robust";

/// Of jobs by their numbers.
#[derive(Debug)]
pub(super) struct Figures {
    of: HashMap<u32, Vec<(&'static str, f64)>>,
    /// The jobs in the order of a robust ranking.
    robust: Option<Vec<u32>>,
}

impl Figures {
    /// Adds those of a job to its metrics.
    pub(super) fn add_to(&self, job: u32, metrics: &mut Map<String, Value>) {
        for (name, value) in self.of.get(&job).into_iter().flatten() {
            if let Some(number) = serde_json::Number::from_f64(*value) {
                metrics.insert((*name).to_owned(), Value::Number(number));
            }
        }
    }

    /// The jobs by one of these figures, the best first; none if the list has another order.
    pub(super) fn ranking(&self, by: &str, ascending: bool) -> Option<Vec<u32>> {
        if let Some(robust) = &self.robust {
            return Some(robust.clone());
        }
        let value =
            |figures: &[(&str, f64)]| figures.iter().find(|(name, _)| *name == by).map(|(_, value)| *value);
        let mut ranked: Vec<(f64, u32)> =
            self.of.iter().filter_map(|(job, figures)| Some((value(figures)?, *job))).collect();
        if ranked.is_empty() {
            return None;
        }
        ranked.sort_by(|a, b| {
            let order = a.0.total_cmp(&b.0);
            if ascending { order } else { order.reverse() }.then(a.1.cmp(&b.1))
        });
        Some(ranked.into_iter().map(|(_, job)| job).collect())
    }
}

impl Clients {
    /// The figures that a list names in its order or in its filter; none if it names none.
    pub(super) async fn figures(
        &self,
        sweep: &Found,
        by: Option<&str>,
        filter: Option<&Selection>,
    ) -> Result<Option<Figures>, Status> {
        let is_named = |figure| by == Some(figure) || filter.is_some_and(|filter| filter.names(figure));
        if ![PSR, DSR].into_iter().any(is_named) {
            return Ok(None);
        }
        let reported = self.queue.metric_names(sweep.id).await.map_err(status::queue)?;
        if [PSR, DSR].iter().any(|figure| reported.iter().any(|name| name == figure)) {
            return Ok(None);
        }
        let chosen_by = by.filter(|by| ![PSR, DSR].contains(by)).map(str::to_owned);
        let question = Question { by: chosen_by, ..Question::default() };
        let judged = self.assessor.assess(sweep, question).await.map_err(status::assess)?;
        if judged.jobs.is_empty() {
            let missing = &judged.assessment.missing;
            let why = missing.iter().filter(|why| why.starts_with("psr") || why.starts_with("best"));
            let missing = why.map(String::as_str).collect::<Vec<_>>().join("; ");
            return Err(Status::failed_precondition(format!("psr and dsr can't be estimated: {missing}")));
        }
        let of = judged.jobs.iter().map(|one| (one.job, vec![(PSR, one.psr), (DSR, one.dsr)])).collect();
        Ok(Some(Figures { of, robust: None }))
    }

    /// The jobs that are best together with their neighbours.
    pub(super) async fn robust(
        &self,
        sweep: &Found,
        metric: &str,
        minimize: bool,
        limit: u32,
    ) -> Result<Figures, Status> {
        let row = self.queue.sweep(sweep.id).await.map_err(status::queue)?;
        let standing = Standing::of(row.map_or([0; 6], |row| row.counts));
        let landscape = self.landscapes.get(sweep.id, metric, standing).await.map_err(status::landscape)?;
        if landscape.reported() == 0 {
            return Ok(Figures { of: HashMap::new(), robust: None });
        }
        let ranked = tokio::task::block_in_place(|| rank(&landscape, minimize));
        let ranked = ranked.and_then(|found| match found.why {
            Some(why) => Err(why.to_owned()),
            None => Ok(found.ranked),
        });
        let points = ranked.map_err(|why| {
            Status::failed_precondition(format!(
                "there is no robust ranking of sweep {} by {metric:?}: {why}",
                sweep.name
            ))
        })?;
        let points: Vec<_> = points
            .into_iter()
            .take(limit as usize)
            .filter_map(|point| Some((u32::try_from(point.job).ok()?, point.median)))
            .collect();
        Ok(Figures {
            of: points.iter().map(|(job, median)| (*job, vec![(ROBUST, *median)])).collect(),
            robust: Some(points.iter().map(|(job, _)| *job).collect()),
        })
    }
}
