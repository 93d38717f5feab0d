//! Return series in a file: is choosing among them overfit, how many different ones are they, does the best beat a
//! benchmark.

use std::path::{Path, PathBuf};

use bt_documents::{BacktestOverfitting, EffectiveNumber, PredictiveAbility};
use bt_statistics::{
    Bootstrap, Collected, Collector, Metric, Overfitting, Wanted, effective_trials, overfitting,
    superior_ability,
};

use super::facts::{Facts, short, wrong};
use super::matrix::Matrix;
use crate::error::Error;
use crate::output::{Cell, OutputArgs, say};

/// Compute the probability of backtest overfitting of the trials in a CSV file.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example, a column for each trial and a row for each day; a header and a first column of dates are recognised:
  btctl stats pbo returns.csv --blocks 16

The periods are cut into blocks of the same length; what is left over is dropped at the start. Each half of the blocks is in \
sample once. The PBO is the share of splits in which the best trial in sample is at or below the median out of sample. One \
sweep of noise may have any PBO from 0.2 to 0.8; only near 0 or near 1 does it say much.")]
pub(crate) struct Pbo {
    /// CSV file; - is standard input.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Blocks that the periods are cut into, an even number from 2 to 24.
    #[arg(long, value_name = "S", default_value_t = 16, allow_negative_numbers = true)]
    blocks: usize,
    /// What the best trial is chosen by.
    #[arg(long, value_enum, default_value_t, value_name = "METRIC")]
    metric: ChosenBy,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ChosenBy {
    #[default]
    Sharpe,
    Mean,
}

impl From<ChosenBy> for Metric {
    fn from(metric: ChosenBy) -> Self {
        match metric {
            ChosenBy::Sharpe => Self::Sharpe,
            ChosenBy::Mean => Self::Mean,
        }
    }
}

/// Collects the series, naming trials as the file does.
fn collect(matrix: &Matrix, wanted: Wanted) -> Result<Collected, Error> {
    let mut collector = Collector::new(matrix.observations(), wanted).map_err(wrong)?;
    for (trial, series) in matrix.series.iter().enumerate() {
        collector.push(trial as u64, series).map_err(|error| named(matrix, trial, error))?;
    }
    Ok(collector.finish())
}

fn named(matrix: &Matrix, trial: usize, error: bt_statistics::Error) -> Error {
    Error::Usage(format!("column {}: {error}", matrix.name(trial)))
}

fn read(file: &Path) -> Result<Matrix, Error> {
    let matrix = Matrix::read(file)?;
    matrix.remark.iter().for_each(|remark| say(remark));
    Ok(matrix)
}

impl Pbo {
    pub(super) fn run(self) -> Result<(), Error> {
        let matrix = read(&self.file)?;
        let collected = collect(&matrix, Wanted { blocks: Some(self.blocks), sample: 0 })?;
        let found = overfitting(collected.blocks().map_err(wrong)?, self.metric.into()).map_err(wrong)?;
        let document = BacktestOverfitting::new(&found, hints(&found, &collected));
        let splits = found.splits.len();
        let shape = format!(
            "{} trials of {} returns: {} blocks of {}, {splits} splits",
            found.trials, collected.observations, found.blocks, found.block_length
        );
        let spread = found.out_of_sample;
        let out = [spread.low, spread.median, spread.high].map(short).join(", ");
        Facts::new(self.output.output)
            .number("pbo", found.pbo)
            .number("probability_of_loss", found.probability_of_loss)
            .number_or("slope", found.slope, "none: the metric in sample is the same in all splits")
            .number("in_sample", found.in_sample.median)
            .number("out_of_sample", found.out_of_sample.median)
            .words("out_of_sample_5_50_95", out)
            .words("series", shape)
            .words(
                "meaning",
                "share of splits whose best trial in sample is at or below the median out of sample",
            )
            .words("reading", reading(found.pbo, splits))
            .words("convention", CONVENTION)
            .print(&document, &document.hints)
    }
}

const CONVENTION: &str = "rank r of N, ties averaged; w = r/(N + 1); PBO = share of ln(w/(1 - w)) <= 0; slope of out of \
                          sample on in sample (Bailey et al. 2015)";

/// Splits of 6 blocks are 20, of 8 are 70.
const FEW_SPLITS: usize = 70;

/// What a number of one sweep can say, by the spread of that of noise: mean 0.5, standard deviation 0.15.
fn reading(pbo: f64, splits: usize) -> &'static str {
    match pbo {
        _ if splits < FEW_SPLITS => "too few splits to read much from; 8 blocks or more say more",
        _ if pbo <= 0.1 => "low: what is best in sample tends to stay above the median out of sample",
        _ if pbo <= 0.8 => {
            "no evidence: trials without skill have 0.5 on average, and 0.2 to 0.8 in one sweep"
        }
        _ => "high: what looks best in sample does worse than others out of sample",
    }
}

fn hints(found: &Overfitting, collected: &Collected) -> Vec<String> {
    let mut hints = Vec::new();
    if found.dropped > 0 {
        hints.push(format!(
            "{} of {} returns are dropped at the start, so that all blocks have {}",
            found.dropped, collected.observations, found.block_length
        ));
    }
    if found.block_length < 5 {
        hints.push(format!(
            "a block has {} returns; fewer blocks, or more returns, make the ranks steadier",
            found.block_length
        ));
    }
    let constant = collected.trials.iter().filter(|trial| trial.moments.sharpe().is_none()).count();
    if constant > 0 {
        hints.push(format!(
            "{constant} trials do not vary; their Sharpe ratio is 0 if all returns are 0, else infinite"
        ));
    }
    if found.splits.iter().all(|split| split.logit == 0.0) {
        hints.push("all logits are 0: the trials are the same, and a tie counts as overfit".to_owned());
    }
    hints
}

/// Estimate how many independent trials the trials in a CSV file are worth.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  btctl stats effective returns.csv

The estimates differ by orders of magnitude, so no verdict should rest on one of them; btctl stats dsr prints the \
break-even number of trials, which needs none.")]
pub(crate) struct Effective {
    /// CSV file with a column for each trial and a row for each period; - is standard input.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl Effective {
    pub(super) fn run(self) -> Result<(), Error> {
        let matrix = read(&self.file)?;
        let collected = collect(&matrix, Wanted { blocks: None, ..Wanted::default() })?;
        let found = EffectiveNumber::from(effective_trials(&collected).map_err(wrong)?);
        let sizes: Vec<_> = found.cluster_sizes.iter().take(10).map(u64::to_string).collect();
        let more = if found.cluster_sizes.len() > sizes.len() { " .." } else { "" };
        let absent = "none: there is one trial";
        let mut facts = Facts::new(self.output.output)
            .fact("trials", Cell::number(found.trials))
            .fact("clusters", Cell::number(found.clusters))
            .words("cluster_sizes", sizes.join(" ") + more)
            .number_or("mean_correlation", found.mean_correlation, absent)
            .number_or("linear", found.linear, absent)
            .number_or("kish", found.kish, absent)
            .number("participation", found.participation)
            .number("effective_rank", found.effective_rank);
        if found.sampled < found.trials {
            let text =
                format!("clusters of {} trials, chosen evenly over the ranks of the ratio", found.sampled);
            facts = facts.words("sample", text);
        }
        facts
            .words(
                "convention",
                "average linkage on sqrt((1 - C)/2), cut where the silhouettes' mean by deviation is highest",
            )
            .print(&found, &[])
    }
}

/// Test whether the best trial in a CSV file beats a benchmark by more than luck (Hansen's SPA).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example, where the column index holds the benchmark's returns:
  btctl stats spa returns.csv --benchmark index")]
pub(crate) struct Spa {
    /// CSV file with a column for each trial and a row for each period; - is standard input.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Column of the benchmark's returns: its name in the header, or its number, from 1.
    #[arg(long, value_name = "COLUMN")]
    benchmark: String,
    /// Mean length of the blocks that are drawn, in periods: longer than returns depend on each other [default: the square
    /// root of the number of periods].
    #[arg(long, value_name = "LENGTH", allow_negative_numbers = true)]
    block: Option<f64>,
    /// How often returns are drawn again.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    draws: u64,
    /// The same seed draws the same.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputArgs,
}

impl Spa {
    pub(super) fn run(self) -> Result<(), Error> {
        let mut matrix = read(&self.file)?;
        let number = self.benchmark.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let by_name = matrix.names.iter().position(|name| *name == self.benchmark);
        let place = by_name.or(number.filter(|place| *place < matrix.series.len()));
        let Some(place) = place else {
            let known = matrix.names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::Usage(format!(
                "there is no column {}; the first of {} are {known}",
                self.benchmark,
                matrix.names.len()
            )));
        };
        let mean_block = self.block.unwrap_or((matrix.observations() as f64).sqrt());
        let benchmark = matrix.series.remove(place);
        let name = matrix.names.remove(place);
        for series in &mut matrix.series {
            series.iter_mut().zip(&benchmark).for_each(|(value, benchmark)| *value -= benchmark);
        }
        let bootstrap = Bootstrap { draws: self.draws, mean_block, seed: self.seed };
        let found = superior_ability(&matrix.series, bootstrap).map_err(wrong)?;
        let document = PredictiveAbility::new(&found, matrix.name(found.best).to_owned(), name);
        let meaning = format!(
            "probability of a best trial as good as column {}, if none of {} is better than column {}",
            document.best, document.trials, document.benchmark
        );
        Facts::new(self.output.output)
            .number("p", found.consistent)
            .number("p_lower", found.lower)
            .number("p_upper", found.upper)
            .number("statistic", found.statistic)
            .words("best", &document.best)
            .words("meaning", meaning)
            .words(
                "bootstrap",
                format!(
                    "{} draws, blocks of {} on average, seed {}",
                    self.draws,
                    short(mean_block),
                    self.seed
                ),
            )
            .words("convention", "studentised, recentred as `consistent`; stationary bootstrap (Hansen 2005)")
            .print(&document, &[])
    }
}
