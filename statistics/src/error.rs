//! What is wrong with an input.

/// What is wrong with an input, and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{what} is {value}; it must be a finite number")]
    NotFinite { what: &'static str, value: f64 },
    #[error("{what} is {value}; it must be {right}")]
    OutOfRange { what: &'static str, value: f64, right: &'static str },
    #[error("there are {given} {what}; at least {least} are needed")]
    TooFew { what: &'static str, given: u64, least: u64 },
    /// No distribution has such moments: 1 - skew sharpe + (kurtosis - 1)/4 sharpe^2 is not above zero.
    #[error(
        "skewness {skew} and kurtosis {kurtosis} do not go together with a Sharpe ratio of {sharpe}: the variance of the \
         ratio would be {variance}; the kurtosis of any series is at least 1 + skewness^2 = {} (3 for a normal \
         distribution, not 0)", 1.0 + skew * skew
    )]
    Variance { sharpe: f64, skew: f64, kurtosis: f64, variance: f64 },
    #[error(
        "the Sharpe ratio {sharpe} is not above the benchmark {benchmark}; no track record is long enough, so the \
         benchmark must be below the ratio"
    )]
    NotAbove { sharpe: f64, benchmark: f64 },
    /// A value of a series.
    #[error("trial {trial}: return {place} is {value}; each must be a finite number")]
    Return { trial: u64, place: usize, value: f64 },
    #[error("trial {trial} has {given} returns and the first one had {right}; join the trials by date")]
    Length { trial: u64, given: usize, right: usize },
    #[error(
        "trial {trial}: the returns are too large to be squared; they must be simple returns, such as 0.01"
    )]
    TooLarge { trial: u64 },
    #[error("blocks is {given}; it must be an even number from 2 to {most}")]
    Blocks { given: u64, most: u64 },
    #[error(
        "{observations} observations are too few for {blocks} blocks: each half must have 2, so at least {least} are \
         needed"
    )]
    ShortBlocks { observations: u64, blocks: u64, least: u64 },
    /// What was not collected can't be computed.
    #[error("{what} was not asked of the collector")]
    NotCollected { what: &'static str },
    #[error("every series is constant; at least one must vary")]
    AllConstant,
}

/// The value, if it is a finite number.
pub(crate) fn finite(what: &'static str, value: f64) -> Result<f64, Error> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::NotFinite { what, value }),
    }
}

/// The value, if it is a probability other than 0 and 1.
pub(crate) fn confidence(value: f64) -> Result<f64, Error> {
    match value > 0.0 && value < 1.0 {
        true => Ok(value),
        false => Err(Error::OutOfRange { what: "confidence", value, right: "between 0 and 1, such as 0.95" }),
    }
}

/// The number of trials, which need not be whole if it was estimated.
pub(crate) fn trials(value: f64) -> Result<f64, Error> {
    match value.is_finite() && value >= 1.0 {
        true => Ok(value),
        false => Err(Error::OutOfRange { what: "trials", value, right: "1 or more" }),
    }
}
