//! The best jobs of a sweep by one of its metrics, as a table: the metric, then what differs between the jobs.

use bt_documents::{Job, Object};
use bt_proto::v1;
use serde_json::Value;

use crate::clients::Clients;
use crate::http::jobs::listed_jobs;
use crate::http::reply::Refused;

/// Columns besides the metric.
const COLUMNS: usize = 12;
/// Characters of a value in a table of many jobs; the job's own page has all of them.
pub(super) const IN_TABLE: usize = 100;

#[derive(Default)]
pub(super) struct Ranking {
    pub(super) columns: Vec<String>,
    pub(super) jobs: Vec<Ranked>,
}

pub(super) struct Ranked {
    pub(super) number: u32,
    pub(super) value: String,
    pub(super) cells: Vec<String>,
}

impl Ranking {
    pub(super) async fn of(
        clients: &Clients,
        sweep: &str,
        by: &str,
        ascending: Option<bool>,
        filter: &str,
        rows: u32,
    ) -> Result<Self, Refused> {
        let request = v1::ListJobsRequest {
            sweep: sweep.to_owned(),
            by: Some(by.to_owned()),
            ascending,
            limit: Some(rows),
            filter: Some(filter.to_owned()).filter(|filter| !filter.is_empty()),
            ..v1::ListJobsRequest::default()
        };
        Ok(Self::table(listed_jobs(clients, request).await?, by))
    }

    fn table(jobs: Vec<Job>, by: &str) -> Self {
        let differing = |values: fn(&Job) -> &Object| {
            let mut names: Vec<String> = Vec::new();
            for name in jobs.iter().flat_map(|job| values(job).keys()) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            let first = jobs.first();
            names.retain(|name| {
                jobs.len() == 1
                    || jobs
                        .iter()
                        .any(|job| Some(values(job).get(name)) != first.map(|job| values(job).get(name)))
            });
            names
        };
        let parameters = differing(|job| &job.params);
        let metrics = differing(|job| &job.metrics).into_iter().filter(|name| name != by);
        let columns: Vec<(bool, String)> = parameters
            .into_iter()
            .map(|name| (true, name))
            .chain(metrics.map(|name| (false, name)))
            .take(COLUMNS)
            .collect();
        let values = figures(jobs.iter().map(|job| job.metrics.get(by)).collect());
        let cells: Vec<Vec<String>> = columns
            .iter()
            .map(|(is_parameter, name)| match is_parameter {
                true => jobs.iter().map(|job| cut(&plain(job.params.get(name)), IN_TABLE)).collect(),
                false => figures(jobs.iter().map(|job| job.metrics.get(name)).collect()),
            })
            .collect();
        let ranked = jobs.iter().zip(values).enumerate().map(|(row, (job, value))| Ranked {
            number: job.job,
            value,
            cells: cells.iter().map(|column| column[row].clone()).collect(),
        });
        Self { jobs: ranked.collect(), columns: columns.into_iter().map(|(_, name)| name).collect() }
    }
}

/// The metrics of a column, all with as many decimals.
fn figures(values: Vec<Option<&Value>>) -> Vec<String> {
    let decimals = Decimals::of(values.iter().flatten().filter_map(|value| value.as_f64()));
    let aligned = |value: Option<&Value>| match value.and_then(Value::as_f64) {
        Some(number) => decimals.figure(number),
        None => plain(value),
    };
    values.into_iter().map(aligned).collect()
}

/// How many decimals numbers that are compared have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decimals {
    All(usize),
    /// They are whole, or too large or too small for one number of decimals.
    Each,
}

impl Decimals {
    /// Those that give the largest of them five significant digits.
    pub(super) fn of(numbers: impl Iterator<Item = f64> + Clone) -> Self {
        let largest = numbers.clone().map(f64::abs).fold(0.0, f64::max);
        let is_whole = numbers.into_iter().all(|number| number == number.trunc());
        match is_whole || !(1e-4..1e15).contains(&largest) {
            true => Self::Each,
            false => Self::All(decimals(largest)),
        }
    }

    pub(super) fn figure(self, number: f64) -> String {
        match self {
            Self::All(decimals) => format!("{number:.decimals$}"),
            Self::Each => figure(number),
        }
    }
}

/// How many decimals give a number of this size five significant digits.
fn decimals(size: f64) -> usize {
    // A magnitude is small, so that the cast keeps it.
    usize::try_from((4 - size.log10().floor() as i64).clamp(0, 9)).unwrap_or_default()
}

/// The beginning of a text, with so many characters at most.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// A parameter as it was written.
pub(super) fn plain(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A metric with five significant digits; whole numbers with all of theirs.
pub(super) fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_f64).map_or_else(|| plain(value), figure)
}

/// A number with five significant digits; a whole one with all of its digits.
pub(super) fn figure(number: f64) -> String {
    if number == number.trunc() && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    let magnitude = number.abs().log10().floor();
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{number:.4e}");
    }
    format!("{number:.*}", decimals(number.abs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_have_five_significant_digits() {
        let cases = [
            (json!(0.5212345678), "0.52123"),
            (json!(-12.3456789), "-12.346"),
            (json!(123456.789), "123457"),
            (json!(30), "30"),
            (json!(0.0), "0"),
            (json!(0.000012345678), "0.000012346"),
            (json!(1.5e-9), "1.5000e-9"),
            (json!(1.23e300), "1.2300e300"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(Some(&value)), expected, "{value}");
        }
        assert_eq!(text(None), "");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!([cut("abcd", 4), cut("abcde", 4), cut("ääääää", 4)], ["abcd", "abc…", "äää…"]);
    }

    #[test]
    fn a_column_has_the_same_decimals_throughout() {
        let values = [json!(47.9166), json!(48.0), json!(5), Value::Null];
        assert_eq!(figures(values.iter().map(Some).collect()), ["47.917", "48.000", "5.000", "null"]);
        assert_eq!(figures(vec![Some(&json!(30)), None]), ["30", ""]);
    }
}
