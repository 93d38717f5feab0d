//! One Sharpe ratio: its probability, and the track record that it needs.

use bt_documents::{MeasuredSharpe, ProbabilisticSharpe, TrackRecord};
use bt_statistics::{ObservedSharpe, annual_hint};

use super::Shape;
use super::facts::{Facts, short, wrong};
use crate::error::Error;
use crate::output::OutputArgs;

/// Compute the probabilistic Sharpe ratio: how likely the true ratio is above a benchmark.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example, 24 monthly returns of a hedge fund:\n  \
                        btctl stats psr --sharpe 0.458 --observations 24 --skew -2.448 --kurtosis 10.164")]
pub(crate) struct Psr {
    /// Sharpe ratio per observation: a day's of daily returns, not a year's.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    sharpe: f64,
    /// Returns that it was measured over.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    observations: u64,
    /// Ratio per observation to compare with.
    #[arg(long, value_name = "B", default_value_t = 0.0, allow_negative_numbers = true)]
    benchmark: f64,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: OutputArgs,
}

impl Psr {
    pub(super) fn run(self) -> Result<(), Error> {
        let Shape { skew, kurtosis } = self.shape;
        let observed = ObservedSharpe::new(self.sharpe, self.observations, skew, kurtosis).map_err(wrong)?;
        let psr = observed.psr(self.benchmark).map_err(wrong)?;
        let document = ProbabilisticSharpe {
            psr,
            benchmark: self.benchmark,
            measured: MeasuredSharpe::from(&observed),
            hints: observed.hints(),
        };
        let meaning = format!("probability that the true ratio is above {}", short(self.benchmark));
        Facts::new(self.output.output)
            .number("psr", psr)
            .number("standard_error", observed.standard_error())
            .words("meaning", meaning)
            .words("convention", ONE)
            .print(&document, &document.hints)
    }
}

/// How one ratio's numbers are meant.
pub(super) const ONE: &str = "ratios per observation; deviation by n - 1, skewness and kurtosis by n, kurtosis 3 is \
                              normal (Bailey, Lopez de Prado 2012)";

/// Compute the minimum track record length: how many observations it takes to be sure of a Sharpe ratio.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example, an annual ratio of 2 against 1 with 250 days a year, so both by sqrt(250):\n  \
                        btctl stats mintrl --sharpe 0.126491 --benchmark 0.063246 --confidence 0.95"
)]
pub(crate) struct Mintrl {
    /// Sharpe ratio per observation: a day's of daily returns, not a year's.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    sharpe: f64,
    /// Ratio per observation to be above.
    #[arg(long, value_name = "B", default_value_t = 0.0, allow_negative_numbers = true)]
    benchmark: f64,
    /// How sure, between 0 and 1.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    confidence: f64,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: OutputArgs,
}

impl Mintrl {
    pub(super) fn run(self) -> Result<(), Error> {
        let Shape { skew, kurtosis } = self.shape;
        // How many there were does not matter.
        let observed = ObservedSharpe::new(self.sharpe, 2, skew, kurtosis).map_err(wrong)?;
        let length = observed.minimum_track_record(self.benchmark, self.confidence).map_err(wrong)?;
        let mut hints = observed.hints();
        hints.extend(annual_hint("sharpe", self.sharpe, None));
        let document = TrackRecord {
            observations: length,
            sharpe: self.sharpe,
            benchmark: self.benchmark,
            confidence: self.confidence,
            skew,
            kurtosis,
            hints,
        };
        let meaning = format!(
            "returns until the PSR against {} reaches {}, if all stays as it is",
            short(self.benchmark),
            short(self.confidence)
        );
        Facts::new(self.output.output)
            .number("observations", length)
            .words("meaning", meaning)
            .words("convention", ONE)
            .print(&document, &document.hints)
    }
}
