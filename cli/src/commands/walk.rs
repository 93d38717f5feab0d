//! `btctl walk`: a sweep's walk-forward.

use bt_documents::{StitchedCurve, Walk as Walked, WalkWindow};
use bt_model::parameters::text_of;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, OutputFormat, Row, View, print_json, say};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl walk sma-cross
  btctl walk sma-cross --by sortino
  btctl walk sma-cross -o json | jq '.stitched.curve'

Each line is a window: the best job of its training, that job's metric, and the metric of the job that tested it. With \
`select` in the manifest that job is chosen by the coordinator; else the best of each window is only picked out here. The \
stitched curve is made of the series `returns` (or `equity`) in the tests' metrics files; docs/WALKFORWARD.md says how.";

/// Show a walk-forward: what was chosen in each window, and how it did out of sample.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Walk {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    /// Metric to show; that of `select` in the manifest, or else a usual one, if it is not given.
    #[arg(long, value_name = "METRIC")]
    by: Option<String>,
    #[command(flatten)]
    output: ListArgs,
}

impl Walk {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let walked = Walked::try_from(client.walk(&self.sweep, self.by).await?)?;
        let format = self.output.format();
        if format == OutputFormat::Json {
            return print_json(&Json::of(&walked)?);
        }
        view(&walked).print(&self.output)?;
        if format == OutputFormat::Table || format == OutputFormat::Wide {
            tell(&walked);
        }
        Ok(())
    }
}

fn view(walked: &Walked) -> View {
    let mut columns = vec![Column::always("window").rank(0)];
    columns.extend(
        ["train_start", "train_last", "test_start", "test_last"].map(|name| Column::always(name).rank(2)),
    );
    columns.extend(["job", "in_sample", "out_of_sample"].map(|name| Column::always(name).rank(0)));
    columns.push(Column::always("test_return").optional().rank(1));
    columns.extend(
        walked.parameters.iter().map(|one| {
            Column::always(one.parameter.clone()).alias(format!("params.{}", one.parameter)).rank(1)
        }),
    );
    columns.push(Column::always("test_job").optional().rank(2));
    columns.push(Column::always("test_state").optional().rank(3));
    columns.extend(["jobs", "reported"].map(Column::wide));
    let rows = walked.windows.iter().map(|window| row(walked, window));
    View { columns, rows: rows.collect() }
}

fn row(walked: &Walked, window: &WalkWindow) -> Row {
    let number = |value: Option<f64>| value.map(Cell::number).unwrap_or_default();
    let count = |value: Option<u32>| value.map(Cell::number).unwrap_or_default();
    let mut cells = vec![Cell::number(window.window)];
    let dates = [&window.train_start, &window.train_last, &window.test_start, &window.test_last];
    cells.extend(dates.map(Cell::text));
    cells.extend([count(window.job), number(window.in_sample), number(window.out_of_sample)]);
    cells.push(number(window.test_return));
    let values = walked.parameters.iter().map(|one| window.params.get(&one.parameter));
    cells.extend(values.map(|value| value.map(|value| Cell::text(text_of(value))).unwrap_or_default()));
    cells.extend([count(window.test_job), window.test_state.map(Cell::text).unwrap_or_default()]);
    cells.extend([Cell::number(window.jobs), Cell::number(window.reported)]);
    Row { cells, json: Json::none(), name: window.window.to_string() }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn tell(walked: &Walked) {
    let chosen = walked.windows.iter().filter(|window| window.job.is_some()).count();
    if chosen > 1 {
        say(&format!("the choice changed {} in {chosen} windows", times(walked.changes)));
    }
    for one in walked.parameters.iter().filter(|_| chosen > 1) {
        let range = match (one.lowest, one.highest) {
            (Some(lowest), Some(highest)) => format!(", from {lowest} to {highest}"),
            _ => String::new(),
        };
        say(&format!("{}: {} values{range}; it changed {}", one.parameter, one.distinct, times(one.changes)));
    }
    if let Some(stitched) = &walked.stitched {
        say(&curve(stitched));
    }
    walked.missing.iter().for_each(|why| say(&format!("not in the curve: {why}")));
}

fn curve(stitched: &StitchedCurve) -> String {
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    let sharpe = match (stitched.sharpe, stitched.annual_sharpe) {
        (_, Some(annual)) => format!(", Sharpe ratio {annual:.3} a year"),
        (Some(sharpe), None) => format!(", Sharpe ratio {sharpe:.4} a period"),
        (None, None) => String::new(),
    };
    format!(
        "out of sample, {} periods of {} windows: total return {}{sharpe}, largest drawdown {}",
        stitched.observations,
        stitched.windows,
        percent(stitched.total_return),
        percent(stitched.max_drawdown)
    )
}
