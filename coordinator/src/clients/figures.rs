//! Figures of a job that are computed of its whole sweep. They stand among its metrics where a list names them, unless jobs
//! have reported metrics of these names.

use std::collections::HashMap;

use bt_model::selection::Selection;
use serde_json::{Map, Value};
use tonic::Status;

use super::Clients;
use crate::assess::Question;
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
            let missing = judged.assessment.missing.join("; ");
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
        let finished = row.map_or(0, |row| row.counts[2..].iter().sum());
        let landscape = self.landscapes.get(sweep.id, metric, finished).await.map_err(status::landscape)?;
        let points = tokio::task::block_in_place(|| landscape.ranked_robust(minimize, limit as usize));
        if points.is_empty() && landscape.reported() > 0 {
            return Err(Status::failed_precondition(format!(
                "no job of sweep {} with {metric:?} has neighbours, which differ from it by one step of one numeric parameter; \
                 a robust ranking needs a matrix of numbers",
                sweep.name
            )));
        }
        Ok(Figures {
            of: points.iter().map(|point| (point.job as u32, vec![(ROBUST, point.median)])).collect(),
            robust: Some(points.iter().map(|point| point.job as u32).collect()),
        })
    }
}
