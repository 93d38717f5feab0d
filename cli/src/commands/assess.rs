//! `btctl assess`: how much of a sweep's best result is luck.

use bt_documents::{Assessment, BestTrial};
use bt_proto::v1;

use super::trials::read;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Json, OutputArgs, OutputFormat, print, print_json, wrapped};
use crate::settings::Settings;

/// Judge a sweep: how much of its best result is luck. All trials of its family count, also those of other sweeps and those
/// that failed. Jobs report returns for it: `series.returns` or `series.equity` in their metrics, or a table that `returns` in
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
        let assessment: Assessment = read(&client.assess(request).await?.document)?;
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
    let best = assessment.best.clone().unwrap_or_default();
    let BestTrial { sharpe, sharpe_annual, psr, dsr, dsr_trials, dsr_null, dsr_effective, .. } = best;
    let trials = &assessment.trials;
    let pbo = assessment.pbo.as_ref();
    let haircut = best.haircut.as_ref();
    let lines = [
        ("Sharpe ratio a period", sharpe),
        ("Sharpe ratio a year", sharpe_annual),
        ("skewness", best.skew),
        ("kurtosis (normal: 3)", best.kurtosis),
        ("PSR: ratio above 0, as the only trial", psr),
        ("DSR: as the best of all trials", dsr),
        ("DSR by the variance of the trials", dsr_trials),
        ("DSR by the variance of luck alone", dsr_null),
        ("DSR as the best of the clusters", dsr_effective),
        ("luck: ratio a period of the best without skill", best.luck),
        ("trials counted", Some(trials.counted as f64)),
        ("trials effective (clusters)", trials.effective),
        ("break-even number of trials", trials.break_even.map(|number| number as f64)),
        ("minimum track record, periods", best.minimum_track_record),
        ("minimum backtest length, years", best.minimum_backtest_years),
        ("haircut by Bonferroni", haircut.map(|cut| cut.bonferroni.haircut)),
        ("haircut by Holm", haircut.map(|cut| cut.holm.haircut)),
        ("haircut by Benjamini, Hochberg, Yekutieli", haircut.map(|cut| cut.bhy.haircut)),
        ("PBO", pbo.map(|pbo| pbo.pbo)),
        ("probability of loss", pbo.map(|pbo| pbo.probability_of_loss)),
        ("slope, out of sample on in sample", pbo.and_then(|pbo| pbo.slope)),
        ("p against the benchmark (SPA)", assessment.benchmark.as_ref().map(|found| found.p)),
    ];
    let known = lines.into_iter().filter_map(|(label, value)| Some((label, value?)));
    let known: Vec<(&str, String)> = known.map(|(label, value)| (label, digits(value))).collect();
    let width = known.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    known.iter().map(|(label, value)| format!("{label:width$}  {value}")).collect()
}

/// Five digits, whole numbers as they are.
fn digits(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => format!("{value}"),
        false if value.abs() >= 1e-4 => {
            let places = (4 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
            format!("{value:.places$}")
        }
        false => format!("{value:.4e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_five_digits() {
        for (value, text) in [
            (312.0, "312"),
            (0.052_344_9, "0.052345"),
            (1.5, "1.5000"),
            (12_345.678, "12346"),
            (1e-7, "1.0000e-7"),
        ] {
            assert_eq!(digits(value), text);
        }
    }
}
