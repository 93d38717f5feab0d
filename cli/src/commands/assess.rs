//! `btctl assess`: how much of a sweep's best result is luck.

use bt_documents::Assessment;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Json, OutputArgs, OutputFormat, print, print_json, wrapped};
use crate::settings::Settings;

/// Judge a sweep: how much of its best result is luck. All trials of its family count, including failed ones and those of
/// other sweeps. Jobs report returns for it: `series.returns` or `series.equity` in their metrics, or a table that `returns` in
/// the manifest names.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl assess sma-cross\n  btctl assess sma-cross --by sharpe -o json")]
pub(crate) struct Assess {
    /// Sweep: its name, its id or the beginning of its id.
    sweep: String,
    /// Metric by which the best is chosen [default: the first of the manifest's goals, or a usual one such as sharpe].
    #[arg(long, value_name = "METRIC")]
    by: Option<String>,
    /// Job that all others are held against: does the best beat it by more than luck?
    #[arg(long, value_name = "JOB")]
    benchmark: Option<u32>,
    /// Blocks that time is split into for the probability of overfitting: an even number from 2 to 24 [default: 16, or fewer
    /// if they would be short].
    #[arg(long, value_name = "BLOCKS")]
    blocks: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Assess {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let Self { sweep, by, benchmark, blocks, output } = self;
        let client = Client::connect(settings).await?;
        let request = v1::AssessSweepRequest { sweep, by, benchmark, blocks };
        let assessment = client.assess(request).await?;
        if output.output == OutputFormat::Json {
            return print_json(&Json::of(&assessment)?);
        }
        for sentence in &assessment.words {
            print(&wrapped(sentence))?;
        }
        if assessment.best.as_ref().is_some_and(|best| best.sharpe.is_some()) {
            print("")?;
            figures(&assessment).iter().try_for_each(|line| print(line))?;
        }
        for (label, lines) in [("not estimated", &assessment.missing), ("note", &assessment.hints)] {
            for line in lines {
                print(&wrapped(&format!("{label}: {line}")))?;
            }
        }
        Ok(())
    }
}

/// The figures below each other, with what each is.
fn figures(assessment: &Assessment) -> Vec<String> {
    let figures = assessment.figures();
    let width = figures.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    figures.iter().map(|(label, value)| format!("{label:width$}  {value}")).collect()
}
