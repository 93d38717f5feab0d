//! When a running job is pruned: the manifest's `stop_when`, an expression over the metrics that it reports on the way and
//! over its parameters, in the language of [`crate::selection`]. It does not hold for a job that has not reported all that it
//! names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::manifest::Error;
use crate::selection::{Fault, Selection};
use crate::text::remark;

pub const KEY: &str = "stop_when";
/// What metrics are taken for to find out whether the expression can be true or false.
const TRIED: [f64; 3] = [0.5, -2.0, 3.0];
/// Characters of an expression in what is said of a job, and metrics that are named with it.
const LONGEST: usize = 200;
const MOST_NAMED: usize = 5;

/// A compiled `stop_when`.
#[derive(Debug)]
pub struct StopWhen {
    source: String,
    selection: Selection,
}

impl StopWhen {
    pub fn new(source: &str) -> Result<Self, Error> {
        Ok(Self { source: source.to_owned(), selection: Selection::of_key(KEY, source)? })
    }

    /// Why a job is pruned that has reported this; nothing if it is to go on.
    pub fn holds(
        &mut self,
        job: u32,
        parameters: &Map<String, Value>,
        metrics: &BTreeMap<String, f64>,
    ) -> Result<Option<String>, Error> {
        let reported = metrics.iter().map(|(name, value)| (name.clone(), Value::from(*value)));
        let is_true = self.selection.takes(job, parameters, reported.collect())?;
        Ok(is_true.then(|| self.why(metrics)))
    }

    /// `drawdown < -0.5: drawdown is -0.53`
    fn why(&self, metrics: &BTreeMap<String, f64>) -> String {
        let named = self.named(metrics);
        let named = named.iter().take(MOST_NAMED).map(|(name, value)| format!("{name} is {value}"));
        let named = named.collect::<Vec<_>>().join(", ");
        let source: String = self.source.chars().take(LONGEST).collect();
        let why = match named.is_empty() {
            true => source,
            false => format!("{source}: {named}"),
        };
        remark(&why).into_owned()
    }

    /// The metrics that it names, of those that were reported.
    fn named<'m>(&self, metrics: &'m BTreeMap<String, f64>) -> Vec<(&'m str, f64)> {
        let named = metrics.iter().filter(|(name, _)| self.selection.names(name));
        named.map(|(name, value)| (name.as_str(), *value)).collect()
    }

    /// How a job stands that has reported this and goes on, in words; what it lacks is named with what was meant.
    pub fn outlook(
        &mut self,
        job: u32,
        parameters: &Map<String, Value>,
        metrics: &BTreeMap<String, f64>,
    ) -> String {
        remark(&self.standing(job, parameters, metrics)).into_owned()
    }

    fn standing(
        &mut self,
        job: u32,
        parameters: &Map<String, Value>,
        metrics: &BTreeMap<String, f64>,
    ) -> String {
        let source: String = self.source.chars().take(LONGEST).collect();
        let rule = format!("it is pruned when {source}");
        if metrics.is_empty() {
            return format!("{rule}; it has reported no metrics so far");
        }
        if let Err(error) = self.holds(job, parameters, metrics) {
            return error.to_string();
        }
        let known = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>();
        let (reported, given) = (known(&mut metrics.keys()), known(&mut parameters.keys()));
        match self.selection.unknown(&reported, &given) {
            Some(error) => format!("so far it can't be pruned: {error}"),
            None => {
                let named = self.named(metrics);
                let named = named.iter().take(MOST_NAMED).map(|(name, value)| format!("{name} {value}"));
                format!("{rule}; it last reported {}", named.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Checks an expression as far as that can be done without jobs.
pub(crate) fn check(source: &str) -> Result<(), Error> {
    check_with(source, &BTreeSet::new())
}

/// Checks an expression that stands beside these parameters.
pub(crate) fn check_with(source: &str, parameters: &BTreeSet<&str>) -> Result<(), Error> {
    let mut stop_when = StopWhen::new(source)?;
    let of_parameters = |name: &str| {
        name.starts_with("params.") || parameters.contains(name.split('.').next().unwrap_or(name))
    };
    let selection = &mut stop_when.selection;
    let metrics: Vec<String> =
        selection.written_names().filter(|name| !of_parameters(name)).map(str::to_owned).collect();
    if metrics.is_empty() && !selection.indexes_metrics() {
        return Err(Error::new(format!(
            "`{KEY}` ({source:?}) names no metric, and so is decided before a job runs; name one that running jobs report, as \
             in drawdown < -0.5 (`where` leaves jobs out by their parameters)"
        )));
    }
    // With parameters, a job decides.
    if metrics.len() < selection.written_names().count() || selection.indexes_metrics() {
        return Ok(());
    }
    let mut faults = Vec::new();
    for value in TRIED {
        let values = metrics.iter().map(|name| (name.clone(), Value::from(value))).collect();
        match selection.judge(&Map::new(), values) {
            Ok(_) => return Ok(()),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.pop() {
        Some(Fault::NoTruth(_)) => Err(Error::new(format!(
            "`{KEY}` ({source:?}) gives a value; it must be true or false, as in drawdown < -0.5"
        ))),
        Some(Fault::Fails(fault)) => Err(Error::new(format!("`{KEY}` ({source:?}) fails: {fault}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metrics(of: &[(&str, f64)]) -> BTreeMap<String, f64> {
        of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn parameters() -> Map<String, Value> {
        json!({"fast": 5, "kind": "a"}).as_object().cloned().unwrap()
    }

    fn why(source: &str, reported: &[(&str, f64)]) -> Result<Option<String>, String> {
        let mut stop_when = StopWhen::new(source).unwrap();
        stop_when.holds(7, &parameters(), &metrics(reported)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_is_pruned_for_what_it_has_reported() {
        assert_eq!(why("drawdown < -0.5", &[("drawdown", -0.4)]), Ok(None));
        assert_eq!(why("drawdown < -0.5", &[]), Ok(None), "it has not said it yet");
        assert_eq!(why("drawdown < -0.5 or sharpe < 0", &[("drawdown", -0.6)]), Ok(None), "nor all of it");
        let said = why("drawdown < -0.5", &[("drawdown", -0.53), ("sharpe", 1.0)]);
        assert_eq!(said.unwrap().unwrap(), "drawdown < -0.5: drawdown is -0.53");
        let said = why("dd.max < -0.1 * fast", &[("dd.max", -0.75)]);
        assert_eq!(said.unwrap().unwrap(), "dd.max < -0.1 * fast: dd.max is -0.75");
        let said = why("metrics['Max DD'] < 0", &[("Max DD", -1.0)]);
        assert_eq!(said.unwrap().unwrap(), "metrics['Max DD'] < 0");
        let error = why("drawdown + kind < 1", &[("drawdown", 1.0)]).unwrap_err();
        assert!(error.starts_with("`stop_when` (\"drawdown + kind < 1\") fails for job 7"), "{error}");
    }

    #[test]
    fn what_can_never_be_decided_by_metrics_is_refused() {
        let refused = |source: &str| {
            let parameters = BTreeSet::from(["fast", "slow"]);
            check_with(source, &parameters).map_err(|error| error.to_string())
        };
        for right in [
            "drawdown < -0.5",
            "drawdown < -0.5 and fast < 3",
            "metrics['Max DD'] < -1",
            "log_loss > 3 or steps == 0",
            "1 / (x - 0.5) > 3",
            "metrics.fast > 1",
        ] {
            assert_eq!(refused(right), Ok(()), "{right}");
        }
        for (wrong, part) in [
            ("drawdown <", "is not an expression"),
            ("drawdown = 1", "write == to compare"),
            ("fast < slow", "names no metric"),
            ("params.fast < 3", "names no metric"),
            ("true", "names no metric"),
            ("drawdown", "gives a value; it must be true or false"),
            ("drawdown - 1", "gives a value"),
            ("drawdown + 'a' < 1", "fails: "),
        ] {
            let error = refused(wrong).unwrap_err();
            assert!(error.starts_with("`stop_when` (") && error.contains(part), "{wrong}: {error}");
        }
        assert!(check("fast < slow").is_ok(), "without jobs, these may be metrics");
    }

    #[test]
    fn how_a_job_stands_is_said_with_what_was_meant() {
        let outlook = |source: &str, reported: &[(&str, f64)]| {
            StopWhen::new(source).unwrap().outlook(7, &parameters(), &metrics(reported))
        };
        let rule = "it is pruned when drawdown < -0.5";
        assert_eq!(outlook("drawdown < -0.5", &[]), format!("{rule}; it has reported no metrics so far"));
        let said = outlook("drawdown < -0.5", &[("drawdown", -0.25)]);
        assert_eq!(said, format!("{rule}; it last reported drawdown -0.25"));
        let said = outlook("drawdwn < -0.5", &[("drawdown", -0.25)]);
        assert!(
            said.contains("uses `drawdwn`, which this job has not reported; did you mean `drawdown`?"),
            "{said}"
        );
        let said = outlook("drawdown + kind < 1", &[("drawdown", -0.25)]);
        assert!(said.contains("fails for job 7"), "{said}");
    }
}
