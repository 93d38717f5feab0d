//! A sweep's walk-forward.

use bt_proto::v1;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Object, Unreadable};
use crate::from_wire::parameters;

/// A walk-forward: its windows, how stable the choice is, and what the tests make together.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Walk {
    /// What the best of each window is chosen by.
    pub metric: String,
    /// maximize or minimize.
    pub goal: &'static str,
    /// True: the jobs of a window train, and one job tests the best. False: each job gets both ranges of dates, and the best is
    /// only picked out here.
    pub selects: bool,
    pub windows: Vec<WalkWindow>,
    /// Of those that are chosen, in the order of the manifest.
    pub parameters: Vec<ParameterStability>,
    /// How often the choice differs from that of the window before.
    pub changes: u32,
    /// Null where no test has a series to stitch; `missing` says why.
    pub stitched: Option<StitchedCurve>,
    /// What is not there, and why: sentences for people.
    pub missing: Vec<String>,
}

/// A window: its dates, and what is chosen in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WalkWindow {
    pub window: u32,
    pub train_start: String,
    /// The day after the last one, as `test_end`.
    pub train_end: String,
    pub train_last: String,
    pub test_start: String,
    pub test_end: String,
    pub test_last: String,
    /// The test was cut where the dates end.
    pub partial: bool,
    /// How many jobs the choice is among, and how many of these have reported the metric.
    pub jobs: u32,
    pub reported: u32,
    /// The job that is the best; null: none is yet.
    pub job: Option<u32>,
    /// Its parameters, without the window's own.
    pub params: Object,
    /// Its metric.
    pub in_sample: Option<f64>,
    /// The job that tests it, where one does, and that job's state.
    pub test_job: Option<u32>,
    pub test_state: Option<&'static str>,
    /// The metric in the test: what the test job reported.
    pub out_of_sample: Option<f64>,
    /// What the series of its test makes of one unit, less one.
    pub test_return: Option<f64>,
}

/// How a parameter is chosen over the windows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ParameterStability {
    pub parameter: String,
    /// How often it differs from the window before.
    pub changes: u32,
    /// How many values it has.
    pub distinct: u32,
    /// Of numbers.
    pub lowest: Option<f64>,
    pub highest: Option<f64>,
}

/// The returns of all tests, one after the other, and what they make.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StitchedCurve {
    /// Windows that are part of it.
    pub windows: u32,
    pub observations: u32,
    pub total_return: f64,
    /// Mean over deviation (n - 1) of the returns, per period; null where nothing varies.
    pub sharpe: Option<f64>,
    /// The same times the root of `periods_per_year`.
    pub annual_sharpe: Option<f64>,
    /// As the tests report it, if they all report the same.
    pub periods_per_year: Option<f64>,
    /// The largest loss from a peak, as a part of it: 0 or less.
    pub max_drawdown: f64,
    /// Date, return, and what one unit has become.
    pub curve: Vec<(String, f64, f64)>,
}

impl TryFrom<v1::ShowWalkReply> for Walk {
    type Error = Unreadable;

    fn try_from(reply: v1::ShowWalkReply) -> Result<Self, Unreadable> {
        let stability = |one: v1::ParameterStability| ParameterStability {
            parameter: one.parameter,
            changes: one.changes,
            distinct: one.distinct,
            lowest: one.lowest,
            highest: one.highest,
        };
        Ok(Self {
            metric: reply.metric,
            goal: if reply.minimize { "minimize" } else { "maximize" },
            selects: reply.selects,
            windows: reply.windows.into_iter().map(WalkWindow::try_from).collect::<Result<_, _>>()?,
            parameters: reply.parameters.into_iter().map(stability).collect(),
            changes: reply.changes,
            stitched: reply.stitched.map(StitchedCurve::from),
            missing: reply.missing,
        })
    }
}

impl TryFrom<v1::WalkWindow> for WalkWindow {
    type Error = Unreadable;

    fn try_from(window: v1::WalkWindow) -> Result<Self, Unreadable> {
        let test_state = window.test_job.map(|_| window.test_state());
        let test_state = test_state.map(bt_model::state::JobState::try_from).transpose()?;
        Ok(Self {
            params: if window.params.is_empty() { Object::new() } else { parameters(&window.params)? },
            window: window.window,
            train_start: window.train_start,
            train_end: window.train_end,
            train_last: window.train_last,
            test_start: window.test_start,
            test_end: window.test_end,
            test_last: window.test_last,
            partial: window.partial,
            jobs: window.jobs,
            reported: window.reported,
            job: window.job,
            in_sample: window.in_sample,
            test_job: window.test_job,
            test_state: test_state.map(bt_model::state::JobState::name),
            out_of_sample: window.out_of_sample,
            test_return: window.test_return,
        })
    }
}

impl From<v1::StitchedCurve> for StitchedCurve {
    fn from(curve: v1::StitchedCurve) -> Self {
        let points = curve.dates.into_iter().zip(curve.returns).zip(curve.equity);
        let curve_points: Vec<_> = points.map(|((date, value), equity)| (date, value, equity)).collect();
        Self {
            windows: curve.windows,
            observations: curve_points.len() as u32,
            total_return: curve.total_return,
            sharpe: curve.sharpe,
            annual_sharpe: curve.annual_sharpe,
            periods_per_year: curve.periods_per_year,
            max_drawdown: curve.max_drawdown,
            curve: curve_points,
        }
    }
}
