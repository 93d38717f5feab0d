//! A metric of a sweep over its parameters.

use bt_proto::v1;
use schemars::JsonSchema;
use serde::Serialize;

/// A metric of a sweep over its parameters. Its size does not depend on the number of jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SweepLandscape {
    /// All that jobs of the sweep have reported.
    pub metrics: Vec<String>,
    /// The metric; null: none was reported yet.
    pub metric: Option<String>,
    pub jobs: u32,
    /// Jobs that have reported the metric.
    pub reported: u32,
    /// Names of the parameters that differ between jobs.
    pub parameters: Vec<String>,
    /// How much each parameter matters, the most important first; empty: too few jobs have reported the metric.
    pub importance: Vec<Importance>,
    /// Null where fewer than two parameters differ.
    pub map: Option<HeatMap>,
}

/// How much a parameter matters to a metric.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Importance {
    pub parameter: String,
    /// The share of the variance of the metric's ranks that it explains, 0 to 1.
    pub share: f64,
    /// Of the ranks, -1 to 1, where its values are numbers.
    pub correlation: Option<f64>,
}

/// The metric over two parameters, in 40 by 40 cells at most.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HeatMap {
    /// The parameter of the columns.
    pub across: String,
    /// The parameter of the rows.
    pub down: String,
    /// What each stands for: a value, or `10 to 19`.
    pub columns: Vec<String>,
    pub rows: Vec<String>,
    /// Rows of cells.
    pub cells: Vec<Vec<HeatCell>>,
}

/// Jobs with the values of one column and one row.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HeatCell {
    pub jobs: u32,
    pub failed: u32,
    pub pruned: u32,
    /// Jobs that have reported the metric.
    pub reported: u32,
    /// Null where none has, as the others.
    pub mean: Option<f64>,
    pub lowest: Option<f64>,
    pub highest: Option<f64>,
}

impl From<v1::ShowLandscapeReply> for SweepLandscape {
    fn from(reply: v1::ShowLandscapeReply) -> Self {
        let weight = |one: v1::Importance| Importance {
            parameter: one.parameter,
            share: one.share,
            correlation: one.correlation,
        };
        Self {
            metrics: reply.metrics,
            metric: Some(reply.metric).filter(|metric| !metric.is_empty()),
            jobs: reply.jobs,
            reported: reply.reported,
            parameters: reply.parameters,
            importance: reply.importance.into_iter().map(weight).collect(),
            map: reply.map.map(HeatMap::from),
        }
    }
}

impl From<v1::HeatMap> for HeatMap {
    fn from(map: v1::HeatMap) -> Self {
        let cell = |cell: &v1::HeatCell| HeatCell {
            jobs: cell.jobs,
            failed: cell.failed,
            pruned: cell.pruned,
            reported: cell.reported,
            mean: cell.mean,
            lowest: cell.lowest,
            highest: cell.highest,
        };
        let rows = map.cells.chunks(map.columns.len().max(1));
        Self {
            cells: rows.map(|row| row.iter().map(cell).collect()).collect(),
            across: map.across,
            down: map.down,
            columns: map.columns,
            rows: map.rows,
        }
    }
}
