//! A sweep's walk-forward: what was chosen in each window, how it did out of sample, and the curve of all tests.

use askama::Template;
use bt_documents::{ShownSweep, StitchedCurve, Walk, WalkWindow};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use serde_json::Value;
use tonic::Request;

use super::plot::{LineOf, Lines, Plot};
use super::ranking::figure;
use super::text;
use crate::clients::Clients;
use crate::http::reply::Refused;

/// Windows in the table; of more, `btctl walk` shows all.
const ROWS: usize = 200;
/// The curve's height, and that of the drawdown below it.
const CURVE: f64 = 180.0;
const DRAWDOWN: f64 = 60.0;

#[derive(Template)]
#[template(path = "walk.html")]
struct Part {
    id: String,
    is_report: bool,
    sentence: String,
    metric: String,
    /// Of the parameters that are chosen.
    names: Vec<String>,
    rows: Vec<Row>,
    missing: Vec<String>,
    curve: Option<Plot>,
}

struct Row {
    window: u32,
    trained: String,
    tested: String,
    job: Option<u32>,
    values: Vec<String>,
    in_sample: String,
    test_job: Option<u32>,
    out_of_sample: String,
    made: String,
}

/// As text; empty for a sweep that has no windows.
pub(super) async fn walk(clients: &Clients, shown: &ShownSweep, is_report: bool) -> Result<String, Refused> {
    if !shown.manifest["windows"].is_object() {
        return Ok(String::new());
    }
    let id = shown.sweep.id.clone();
    let request = v1::ShowWalkRequest { sweep: id.clone(), metric: None };
    let walk = Walk::try_from(clients.show_walk(Request::new(request)).await?.into_inner())?;
    let names: Vec<String> = walk.parameters.iter().map(|one| one.parameter.clone()).collect();
    let mut missing = walk.missing.clone();
    if walk.windows.len() > ROWS {
        missing.push(format!(
            "Of {} windows the first {ROWS} are shown; btctl walk has all.",
            walk.windows.len()
        ));
    }
    text(&Part {
        id,
        is_report,
        sentence: sentence(&walk),
        rows: walk.windows.iter().take(ROWS).map(|window| Row::of(window, &names)).collect(),
        curve: walk.stitched.as_ref().and_then(drawn),
        metric: walk.metric,
        names,
        missing,
    })
}

impl Row {
    fn of(window: &WalkWindow, names: &[String]) -> Self {
        let number = |value: Option<f64>| value.map(figure).unwrap_or_default();
        let value = |name: &String| match window.params.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Self {
            window: window.window,
            trained: format!("{} to {}", window.train_start, window.train_last),
            tested: format!("{} to {}", window.test_start, window.test_last),
            job: window.job,
            values: names.iter().map(value).collect(),
            in_sample: number(window.in_sample),
            test_job: window.test_job,
            out_of_sample: number(window.out_of_sample),
            made: window.test_return.map(percent).unwrap_or_default(),
        }
    }
}

fn sentence(walk: &Walk) -> String {
    let windows = walk.windows.len();
    let chosen = walk.windows.iter().filter(|window| window.job.is_some()).count();
    let changes = match walk.changes {
        0 => "it never changed".to_owned(),
        1 => "it changed once".to_owned(),
        changes => format!("it changed {changes} times"),
    };
    let curve = match &walk.stitched {
        None => String::new(),
        Some(curve) => {
            let annual =
                curve.annual_sharpe.map(|sharpe| format!(", a Sharpe ratio of {} a year", figure(sharpe)));
            format!(
                " Out of sample, {} windows made {} over {} periods{}, with a drawdown of {}.",
                curve.windows,
                percent(curve.total_return),
                curve.observations,
                annual.unwrap_or_default(),
                percent(-curve.max_drawdown)
            )
        }
    };
    format!("In {chosen} of {windows} windows a best job was chosen by {}; {changes}.{curve}", walk.metric)
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// What one unit became out of sample, and its drawdown.
fn drawn(curve: &StitchedCurve) -> Option<Plot> {
    let mut peak = 1.0_f64;
    let (mut worth, mut under) = (Vec::new(), Vec::new());
    for (place, (_, _, value)) in curve.curve.iter().enumerate() {
        peak = peak.max(*value);
        worth.push((place as f64, *value));
        under.push((place as f64, value / peak - 1.0));
    }
    let panel = |title: &str, height, class, points, write| Lines {
        title: title.to_owned(),
        height,
        from_zero: false,
        write,
        lines: vec![LineOf { class, points }],
    };
    let panels = [
        panel("What one unit became out of sample", CURVE, "line", worth, figure as fn(f64) -> String),
        panel("Drawdown", DRAWDOWN, "under", under, percent),
    ];
    let about = format!(
        "What one unit became over {} periods out of sample: {}",
        curve.observations,
        figure(1.0 + curve.total_return)
    );
    let when =
        |at: f64| curve.curve.get(at.round() as usize).map(|(date, ..)| date.clone()).unwrap_or_default();
    Plot::of(about, &panels, when)
}
