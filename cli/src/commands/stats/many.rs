//! Many trials: what luck gives, and what is left of a ratio or a p-value after so many.

use bt_documents::{AdjustedPValues, BacktestLength, ExpectedMaximum, SharpeHaircut};
use bt_statistics::{
    adjust, annual_hint, expected_maximum, haircut, minimum_backtest_length, variance_of_maximum,
};

use super::Method;
use super::facts::{Facts, short, wrong};
use crate::error::Error;
use crate::output::{Cell, OutputArgs, OutputFormat, print};

/// Compute the expected maximum of many trials without skill, in deviations of their Sharpe ratios.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  btctl stats emax --trials 100")]
pub(crate) struct Emax {
    /// Independent trials, 1 or more; an estimate need not be whole.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    trials: f64,
    #[command(flatten)]
    output: OutputArgs,
}

impl Emax {
    pub(super) fn run(self) -> Result<(), Error> {
        let emax = expected_maximum(self.trials).map_err(wrong)?;
        let variance = variance_of_maximum(self.trials).map_err(wrong)?;
        let document = ExpectedMaximum { emax, variance, trials: self.trials };
        let meaning = format!("expected maximum of {} independent standard normals", short(self.trials));
        Facts::new(self.output.output)
            .number("emax", emax)
            .number("variance", variance)
            .words("meaning", meaning)
            .words("convention", EXPECTED)
            .print(&document, &[])
    }
}

const EXPECTED: &str = "(1 - g) Z^-1(1 - 1/N) + g Z^-1(1 - 1/(N e)), 0 for one (Bailey et al. 2014)";

/// Compute the minimum backtest length: how many years it takes so that luck alone doesn't give a Sharpe ratio.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: 45 trials need 5 years, else the best is expected to have an annual ratio of 1:\n  \
                        btctl stats minbtl --trials 45 --sharpe 1"
)]
pub(crate) struct Minbtl {
    /// Independent trials, 1 or more; an estimate need not be whole.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    trials: f64,
    /// Annual Sharpe ratio that shall not come by luck.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    sharpe: f64,
    #[command(flatten)]
    output: OutputArgs,
}

impl Minbtl {
    pub(super) fn run(self) -> Result<(), Error> {
        let years = minimum_backtest_length(self.trials, self.sharpe).map_err(wrong)?;
        let mut hints = Vec::new();
        if self.sharpe < 0.2 {
            hints.push(format!(
                "sharpe {} is low for a year; here, and only here, the ratio is annual: a day's times sqrt(252) is {}",
                self.sharpe,
                short(self.sharpe * 252f64.sqrt())
            ));
        }
        let document = BacktestLength { years, trials: self.trials, sharpe: self.sharpe, hints };
        let meaning = format!(
            "in a shorter backtest the best of {} trials without skill is expected to show an annual ratio of {}",
            short(self.trials),
            short(self.sharpe)
        );
        Facts::new(self.output.output)
            .number("years", years)
            .words("meaning", meaning)
            .words(
                "convention",
                "(emax/sharpe)^2 with an annual ratio (Bailey, Borwein, Lopez de Prado, Zhu 2014)",
            )
            .print(&document, &document.hints)
    }
}

/// Compute what is left of a Sharpe ratio as the best of many trials, by its p-value.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  btctl stats haircut --sharpe 0.1 --observations 1250 --trials 50 --method holm

Only the best trial's p-value is known here, and the others are taken for 1: then holm is bonferroni, and bhy multiplies by \
N (1 + 1/2 + .. + 1/N). Someone who has all p-values adjusts them with btctl stats adjust.")]
pub(crate) struct Haircut {
    /// Sharpe ratio per observation of the best trial, above 0.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    sharpe: f64,
    /// Returns that it was measured over.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    observations: u64,
    /// Trials, 1 or more.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    trials: f64,
    /// How the p-value is adjusted.
    #[arg(long, value_enum, value_name = "METHOD")]
    method: Method,
    #[command(flatten)]
    output: OutputArgs,
}

impl Haircut {
    pub(super) fn run(self) -> Result<(), Error> {
        let Self { sharpe, observations, trials, method, .. } = self;
        let found = haircut(sharpe, observations, trials, method.into()).map_err(wrong)?;
        let hints = annual_hint("sharpe", sharpe, Some(observations)).into_iter().collect();
        let given = (sharpe, observations, trials);
        let document = SharpeHaircut::new(found, method.name().to_owned(), given, hints);
        Facts::new(self.output.output)
            .number("sharpe", found.sharpe)
            .number("haircut", found.haircut)
            .number("p", found.p)
            .number("adjusted_p", found.adjusted_p)
            .words("meaning", format!("what is left of {} after {} tests", short(sharpe), short(trials)))
            .words("convention", "two-sided p of sharpe sqrt(observations), normal (Harvey, Liu 2015)")
            .print(&document, &document.hints)
    }
}

/// Adjust p-values for their number.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  btctl stats adjust --method holm 0.005 0.009 0.0128 0.0135 0.045 0.06")]
pub(crate) struct Adjust {
    /// How they are adjusted.
    #[arg(long, value_enum, value_name = "METHOD")]
    method: Method,
    /// p-values, 0 to 1; the adjusted ones come in the same order.
    #[arg(required = true, value_name = "P", value_delimiter = ',', allow_negative_numbers = true)]
    p: Vec<f64>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Adjust {
    pub(super) fn run(self) -> Result<(), Error> {
        let p = adjust(self.method.into(), &self.p).map_err(wrong)?;
        if self.output.output == OutputFormat::Name {
            return print(&p.iter().map(f64::to_string).collect::<Vec<_>>().join("\n"));
        }
        let shown =
            p.iter().map(|p| if self.output.output.is_for_people() { short(*p) } else { p.to_string() });
        let facts = Facts::new(self.output.output)
            .fact("p", Cell::text(shown.collect::<Vec<_>>().join(" ")))
            .words("method", self.method.name());
        facts.print(&AdjustedPValues { p, method: self.method.name().to_owned() }, &[])
    }
}
