//! `btctl stats`: judges backtests by numbers alone, here, without a coordinator.

mod deflate;
mod facts;
mod many;
mod matrix;
mod one;
mod series;

use bt_statistics::Adjustment;

use crate::error::Error;

/// Judge a Sharpe ratio, a choice among many, or p-values; works without a coordinator.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Stats {
    Psr(one::Psr),
    Mintrl(one::Mintrl),
    Emax(many::Emax),
    Minbtl(many::Minbtl),
    Dsr(deflate::Dsr),
    Haircut(many::Haircut),
    Adjust(many::Adjust),
    Pbo(series::Pbo),
    Effective(series::Effective),
    Spa(series::Spa),
}

impl Stats {
    pub(crate) fn run(self) -> Result<(), Error> {
        match self {
            Self::Psr(command) => command.run(),
            Self::Mintrl(command) => command.run(),
            Self::Emax(command) => command.run(),
            Self::Minbtl(command) => command.run(),
            Self::Dsr(command) => command.run(),
            Self::Haircut(command) => command.run(),
            Self::Adjust(command) => command.run(),
            Self::Pbo(command) => command.run(),
            Self::Effective(command) => command.run(),
            Self::Spa(command) => command.run(),
        }
    }
}

/// Skewness and kurtosis of returns.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Shape {
    /// Skewness of the returns, divided by n.
    #[arg(long, value_name = "G", default_value_t = 0.0, allow_negative_numbers = true)]
    skew: f64,
    /// Kurtosis of the returns, divided by n; not excess: 3 for a normal distribution.
    #[arg(long, value_name = "K", default_value_t = 3.0, allow_negative_numbers = true)]
    kurtosis: f64,
}

/// How p-values are adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// N p.
    Bonferroni,
    /// Holm's step-down.
    Holm,
    /// Benjamini, Hochberg and Yekutieli as in Harvey and Liu (2015): the largest p-value stays as it is.
    Bhy,
    /// The same as in R and statsmodels: the largest p-value is multiplied too.
    By,
    /// 1 - (1 - p)^N, for independent tests.
    Sidak,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Bonferroni => "bonferroni",
            Self::Holm => "holm",
            Self::Bhy => "bhy",
            Self::By => "by",
            Self::Sidak => "sidak",
        }
    }
}

impl From<Method> for Adjustment {
    fn from(method: Method) -> Self {
        match method {
            Method::Bonferroni => Self::Bonferroni,
            Method::Holm => Self::Holm,
            Method::Bhy => Self::Bhy,
            Method::By => Self::By,
            Method::Sidak => Self::Sidak,
        }
    }
}
