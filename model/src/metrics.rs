//! The numbers that a job reports about itself in its `metrics.json`.
//!
//! The text is read in one pass: besides it, only names and numbers are kept, and there is a limit to both.

mod equity;
mod import;
mod import_csv;
mod read;
mod series;
mod spellings;

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::returns::{NotReturns, Returns};

pub use equity::{Equity, SeriesPoint, equity};
pub use import::{Mapping, number_in_text, plain_number, read_json};
pub use import_csv::read_csv;
pub(crate) use spellings::without_non_finite;

/// A longer file is refused: what does not fit belongs into other outputs.
pub const MAX_TEXT: usize = 16 << 20;
/// No job has more metrics.
pub const MAX_METRICS: usize = 10_000;
/// Bytes of the longest name.
pub const MAX_NAME: usize = 256;
/// Objects within objects; no name has more parts.
const MAX_DEPTH: usize = 32;
/// What plots draw; it stands beside the numbers and is none of them.
const SERIES: &str = "series";
/// Names that an error lists.
const LISTED: usize = 20;

/// Why a file holds no metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::text::remark(.0))]
pub struct MetricsError(String);

/// What a metrics file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Finite numbers by name.
    pub numbers: Map<String, Value>,
    /// The names whose values are NaN, infinite or null: they count as not reported.
    pub left_out: Vec<String>,
    /// `series.returns`, else the differences of `series.equity`; or why these can't be used.
    pub returns: Option<Result<Returns, NotReturns>>,
}

/// Reads metrics: finite numbers by name; those in nested objects get names joined by `.`.
///
/// Programs write `NaN`, `-Infinity`, `-nan` and `inf`, which are no JSON: they are taken, and left out, as `null` is. What
/// stands under `series` at the top is none of the numbers: named lists of numbers, or of `[time, number]`. Of these, returns
/// are kept.
pub fn parse(text: &[u8]) -> Result<Metrics, MetricsError> {
    if text.len() > MAX_TEXT {
        let message = format!(
            "it is larger than {MAX_TEXT} bytes, the limit; put large series into a file of their own"
        );
        return Err(MetricsError(message));
    }
    let text = crate::text::decode(text).map_err(|error| MetricsError(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(MetricsError("it is empty; an object of numbers belongs there".to_owned()));
    }
    read::read(&text)
}

impl Metrics {
    /// Checks that these are among the numbers.
    pub fn require(&self, names: &[String]) -> Result<(), MetricsError> {
        let lacking: Vec<&String> = names.iter().filter(|name| !self.numbers.contains_key(*name)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let (left_out, missing): (Vec<_>, Vec<_>) =
            lacking.into_iter().partition(|name| self.left_out.contains(name));
        let mut told = Vec::new();
        if !missing.is_empty() {
            told.push(format!("{} missing", are(&missing)));
        }
        if !left_out.is_empty() {
            told.push(format!("{} NaN, infinite or null", are(&left_out)));
        }
        let there = match self.numbers.is_empty() {
            true => "it holds no number".to_owned(),
            false => format!("it holds {}", listed(self.numbers.keys())),
        };
        Err(MetricsError(format!("{}, which the manifest requires; {there}", told.join(" and "))))
    }
}

/// `sharpe is`, or `sharpe, cagr are`.
fn are(names: &[&String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", listed(names.iter().copied()))
}

/// Names for people; of very many the first.
pub fn listed<'n>(names: impl ExactSizeIterator<Item = &'n String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let names: Vec<&str> = names.take(LISTED).map(String::as_str).collect();
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Checks a metric's name.
pub fn check_name(name: &str) -> Result<(), MetricsError> {
    if name.is_empty() {
        return Err(MetricsError("a metric has an empty name".to_owned()));
    }
    if name.len() > MAX_NAME || name.contains('\0') {
        let short: String = name.chars().take(40).collect();
        return Err(MetricsError(format!(
            "{short:?}... is not a name for a metric; {MAX_NAME} bytes are the most"
        )));
    }
    Ok(())
}

/// Names that were met, each once.
#[derive(Debug, Default)]
struct MetricNames(HashSet<String>);

impl MetricNames {
    fn note(&mut self, name: &str) -> Result<(), MetricsError> {
        check_name(name)?;
        if self.0.len() >= MAX_METRICS {
            return Err(MetricsError(format!("more than {MAX_METRICS} names, the limit")));
        }
        match self.0.insert(name.to_owned()) {
            true => Ok(()),
            false => Err(MetricsError(format!("`{name}` is given twice"))),
        }
    }
}

fn joined(prefix: &str, key: &str) -> String {
    match prefix {
        "" => key.to_owned(),
        _ => format!("{prefix}.{key}"),
    }
}

#[cfg(test)]
mod tests;
