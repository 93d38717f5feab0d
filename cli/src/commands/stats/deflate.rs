//! The deflated Sharpe ratio: the best of many trials.

use bt_documents::{DeflatedSharpe, GivenTrials};
use bt_statistics::{ObservedSharpe, annual_hint, break_even, deflate, variance_of_null};

use super::Shape;
use super::facts::{Facts, short, wrong};
use crate::error::Error;
use crate::output::{Cell, OutputArgs};

/// Compute the deflated Sharpe ratio: how likely the best of many trials has skill.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example, the paper's: annual ratio 2.5 of 250 days a year, 5 years, 100 trials with an annual variance of 1/2:
  btctl stats dsr --sharpe 0.158114 --observations 1250 --trials 100 --variance 0.002 --skew -3 --kurtosis 10

A variance of annual ratios is divided by the observations in a year. The break-even number needs no guess of how many \
trials were independent: up to so many, the ratio is still above what luck gives.")]
pub(crate) struct Dsr {
    /// Sharpe ratio per observation of the best trial.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    sharpe: f64,
    /// Returns that it was measured over.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    observations: u64,
    /// Independent trials, 1 or more; an estimate need not be whole.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    trials: f64,
    /// Variance of the trials' Sharpe ratios per observation.
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    variance: f64,
    /// What counts as sure for the break-even number, between 0 and 1.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    confidence: f64,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: OutputArgs,
}

impl Dsr {
    pub(super) fn run(self) -> Result<(), Error> {
        let Shape { skew, kurtosis } = self.shape;
        let best = ObservedSharpe::new(self.sharpe, self.observations, skew, kurtosis).map_err(wrong)?;
        let found = deflate(&best, self.trials, self.variance).map_err(wrong)?;
        let null = variance_of_null(self.observations).map_err(wrong)?;
        let null = deflate(&best, self.trials, null).map_err(wrong)?;
        let given = GivenTrials {
            trials: self.trials,
            variance: self.variance,
            confidence: self.confidence,
            break_even: break_even(&best, self.variance, self.confidence).map_err(wrong)?,
            psr: best.psr(0.0).map_err(wrong)?,
        };
        let mut document = DeflatedSharpe::new(found, null, &best, given);
        document.hints.extend(annual_hint(
            "the trials' deviation",
            self.variance.sqrt(),
            Some(self.observations),
        ));
        let still = match document.break_even_trials {
            None => Cell::text("more than 2^53"),
            Some(0) => Cell::text("0: not even one trial is enough"),
            Some(trials) => Cell::number(trials),
        };
        let meaning = format!(
            "probability that the true ratio is above {}, which the best of {} trials without skill is expected to show",
            short(found.sr0),
            short(self.trials)
        );
        Facts::new(self.output.output)
            .number("dsr", found.dsr)
            .number("sr0", found.sr0)
            .fact("break_even_trials", still)
            .number("psr", document.psr)
            .number("dsr_null", null.dsr)
            .number("sr0_null", null.sr0)
            .words("meaning", meaning)
            .words(
                "null",
                "with 1/(observations - 1), the variance of trials without skill, as their variance",
            )
            .words("convention", CONVENTION)
            .print(&document, &document.hints)
    }
}

const CONVENTION: &str =
    "ratios and variance per observation; kurtosis 3 is normal (Bailey, Lopez de Prado 2014)";
