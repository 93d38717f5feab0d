//! Which jobs are wanted: an expression over their metrics and parameters, as in `trades > 30 and fast < 20`.
//!
//! Names mean what the job's metrics and parameters are called; a metric's dots are written as they are. `metrics.x` and
//! `params.x` tell two of one name apart, `metrics["Sharpe Ratio"]` is for names that are none in the expression. A job
//! that lacks what the expression names is not wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value;
use minijinja::value::{Object, ValueKind};
use serde_json::Map;

use crate::condition;
use crate::expression::{Expression, ExpressionFault, Scope};
use crate::manifest::Error;
use crate::metrics::listed;
use crate::nearest::nearest;
use crate::template::value_of;

type JsonValue = serde_json::Value;

/// Names that are kept of those that were looked for in vain.
const KEPT: usize = 100;
const METRICS: &str = "metrics";
const PARAMS: &str = "params";

/// A compiled expression, and what it has found so far.
#[derive(Debug)]
pub struct Selection {
    /// Where it stands: `where`, or a key of the manifest.
    key: &'static str,
    source: String,
    expression: Expression,
    names: Vec<Name>,
    names_metrics: bool,
    names_params: bool,
    looked: Arc<Mutex<LookedUpNames>>,
}

/// A name that stands in the expression, and whether a job had it.
#[derive(Debug)]
struct Name {
    /// With its dots, and with `metrics` or `params` before it where they are written.
    text: String,
    found: bool,
}

/// What was looked up in `metrics[...]` and `params[...]`.
#[derive(Debug, Default)]
struct LookedUpNames {
    found: BTreeSet<String>,
    missed: BTreeSet<String>,
    /// Of this job, something was missing.
    misses: bool,
}

impl Selection {
    /// Compiles a `where`.
    pub fn new(source: &str) -> Result<Self, Error> {
        Self::of_key("where", source)
    }

    pub(crate) fn of_key(key: &'static str, source: &str) -> Result<Self, Error> {
        let expression = condition::compile(key, source)?;
        let roots = expression.names();
        let (names_metrics, names_params) = (roots.contains(METRICS), roots.contains(PARAMS));
        let used = expression.paths().iter().filter(|name| ![METRICS, PARAMS].contains(&name.as_str()));
        let names = used.map(|text| Name { text: text.clone(), found: false }).collect();
        Ok(Self {
            key,
            source: source.to_owned(),
            names,
            names_metrics,
            names_params,
            expression,
            looked: Arc::default(),
        })
    }

    /// True if the expression names this metric.
    pub fn names(&self, metric: &str) -> bool {
        self.names.iter().any(|name| match name.text.split_once('.') {
            Some((METRICS, rest)) => rest == metric,
            _ => name.text == metric,
        })
    }

    /// True if the job is wanted.
    pub fn takes(
        &mut self,
        job: u32,
        parameters: &Map<String, JsonValue>,
        metrics: Map<String, JsonValue>,
    ) -> Result<bool, Error> {
        self.judge(parameters, metrics).map_err(|fault| {
            let (key, source) = (self.key, &self.source);
            Error::new(match fault {
                Fault::Ambiguous(text) => format!(
                    "`{key}` ({source:?}): `{text}` is a metric and a parameter; write metrics.{text} or params.{text}"
                ),
                Fault::Overlap(name) => format!(
                    "`{key}` ({source:?}) names `{name}` and a part of it; write metrics[{name:?}] for it"
                ),
                Fault::Fails(fault) => format!("`{key}` ({source:?}) fails for job {job}: {fault}"),
                Fault::NoTruth(value) => format!(
                    "`{key}` ({source:?}) gives {value} for job {job}; it must be true or false, as in trades > 30"
                ),
            })
        })
    }

    pub(crate) fn judge(
        &mut self,
        parameters: &Map<String, JsonValue>,
        metrics: Map<String, JsonValue>,
    ) -> Result<bool, Fault> {
        let mut tree = BTreeMap::new();
        let mut lacks = false;
        for name in &mut self.names {
            let text = name.text.as_str();
            let value = match text.split_once('.') {
                Some((METRICS, rest)) => metrics.get(rest).map(|_| None),
                Some((PARAMS, rest)) => parameters.get(rest).map(|_| None),
                _ => match (metrics.get(text), parameters.get(text)) {
                    (Some(_), Some(_)) => {
                        return Err(Fault::Ambiguous(text.to_owned()));
                    }
                    (Some(value), None) | (None, Some(value)) => Some(Some(value_of(value))),
                    (None, None) => None,
                },
            };
            match value {
                Some(value) => {
                    name.found = true;
                    if let Some(value) = value {
                        grow(&mut tree, text, value).map_err(|()| Fault::Overlap(text.to_owned()))?;
                    }
                }
                // The other names are looked at all the same: some job must have each.
                None => lacks = true,
            }
        }
        if lacks {
            return Ok(false);
        }
        self.looked().misses = false;
        let mut root: BTreeMap<String, Value> =
            tree.into_iter().map(|(name, node)| (name, node.value())).collect();
        let all = |values: Map<String, JsonValue>, kind| {
            let (values, looked) = (Arc::new(values), self.looked.clone());
            Value::from_object(ReportedValues { values, kind, prefix: String::new(), looked })
        };
        if self.names_metrics {
            root.insert(METRICS.to_owned(), all(metrics, METRICS));
        }
        if self.names_params {
            root.insert(PARAMS.to_owned(), all(parameters.clone(), PARAMS));
        }
        let evaluated = self.expression.evaluate(&ValuesOfJob(root));
        if self.looked().misses {
            return Ok(false);
        }
        let value = evaluated.map_err(Fault::Fails)?;
        match value.kind() {
            ValueKind::Bool => Ok(value.is_true()),
            _ => Err(Fault::NoTruth(format!("{value:?}"))),
        }
    }

    /// The names that stand in the expression, with `metrics` or `params` before them where they are written.
    pub(crate) fn written_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| name.text.as_str())
    }

    /// True if it looks at metrics by names that are no words: `metrics["Sharpe Ratio"]`.
    pub(crate) fn indexes_metrics(&self) -> bool {
        self.names_metrics
    }

    /// What is wrong if the expression names what no job has had.
    pub fn unknown(&self, metrics: &[String], parameters: &[String]) -> Option<Error> {
        let looked = self.looked();
        let static_name = self.names.iter().find(|name| !name.found).map(|name| name.text.as_str());
        let name =
            static_name.or_else(|| looked.missed.difference(&looked.found).next().map(String::as_str))?;
        let (bare, known): (&str, Vec<&str>) = match name.split_once('.') {
            Some((METRICS, rest)) => (rest, metrics.iter().map(String::as_str).collect()),
            Some((PARAMS, rest)) => (rest, parameters.iter().map(String::as_str).collect()),
            _ => (name, metrics.iter().chain(parameters).map(String::as_str).collect()),
        };
        let meant = nearest(bare, known.iter().copied());
        let hint = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let who = if self.key == "where" { "no job has" } else { "this job has not reported" };
        let list = |names: &[String]| match names.is_empty() {
            true => "none".to_owned(),
            false => listed(names.iter()),
        };
        Some(Error::new(format!(
            "`{}` ({:?}) uses `{name}`, which {who}{hint} (metrics: {}; parameters: {}; a name that is no word \
             is written metrics[\"Sharpe Ratio\"])",
            self.key,
            self.source,
            list(metrics),
            list(parameters)
        )))
    }

    fn looked(&self) -> std::sync::MutexGuard<'_, LookedUpNames> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why it can't be said whether a job is wanted.
pub(crate) enum Fault {
    /// It is a metric and a parameter.
    Ambiguous(String),
    /// A part of this name has a value too.
    Overlap(String),
    Fails(ExpressionFault),
    /// It gives this, which is neither true nor false.
    NoTruth(String),
}

/// What the expression's names stand for.
struct ValuesOfJob(BTreeMap<String, Value>);

impl Scope for ValuesOfJob {
    fn value(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
}

/// Names with dots as the objects that the expression takes them for.
enum NameTree {
    Value(Value),
    Branch(BTreeMap<String, NameTree>),
}

impl NameTree {
    fn value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Branch(branch) => {
                let branch = branch.into_iter().map(|(name, node)| (name, node.value()));
                Value::from(branch.collect::<BTreeMap<String, Value>>())
            }
        }
    }
}

/// Puts a value under its name; fails if a part of the name has a value, or it is a part of another.
fn grow(tree: &mut BTreeMap<String, NameTree>, name: &str, value: Value) -> Result<(), ()> {
    match name.split_once('.') {
        None => match tree.insert(name.to_owned(), NameTree::Value(value)) {
            None => Ok(()),
            Some(_) => Err(()),
        },
        Some((first, rest)) => {
            let branch = tree.entry(first.to_owned()).or_insert_with(|| NameTree::Branch(BTreeMap::new()));
            match branch {
                NameTree::Branch(branch) => grow(branch, rest, value),
                NameTree::Value(_) => Err(()),
            }
        }
    }
}

/// A job's metrics or parameters, by name or, name for name, by its parts.
#[derive(Debug)]
struct ReportedValues {
    values: Arc<Map<String, JsonValue>>,
    kind: &'static str,
    /// The parts that were named before, with a dot after each.
    prefix: String,
    looked: Arc<Mutex<LookedUpNames>>,
}

impl Object for ReportedValues {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = format!("{}{}", self.prefix, key.as_str()?);
        let told = format!("{}.{name}", self.kind);
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.values.get(&name) {
            if looked.missed.contains(&told) || looked.found.len() < KEPT {
                looked.found.insert(told);
            }
            return Some(value_of(value));
        }
        let prefix = format!("{name}.");
        if self.values.keys().any(|name| name.starts_with(&prefix)) {
            let (values, looked) = (self.values.clone(), self.looked.clone());
            return Some(Value::from_object(Self { values, kind: self.kind, prefix, looked }));
        }
        looked.misses = true;
        if looked.missed.len() < KEPT {
            looked.missed.insert(told);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(json: &JsonValue) -> Map<String, JsonValue> {
        json.as_object().cloned().unwrap()
    }

    #[track_caller]
    fn takes(source: &str, parameters: JsonValue, metrics: JsonValue) -> Result<bool, String> {
        let mut selection = Selection::new(source).map_err(|error| error.to_string())?;
        let taken = selection.takes(7, &map(&parameters), map(&metrics));
        taken.map_err(|error| error.to_string())
    }

    #[track_caller]
    fn taken(source: &str, expected: bool) {
        let parameters = json!({"fast": 5, "slow-ma": 20, "mode": "x", "both": 1});
        let metrics = json!({"sharpe": 1.5, "dd.max": -0.3, "dd.days.mean": 4, "Sharpe Ratio": 2, "both": 2});
        assert_eq!(takes(source, parameters, metrics), Ok(expected), "{source}");
    }

    #[test]
    fn names_are_metrics_and_parameters() {
        taken("sharpe > 1 and fast == 5", true);
        taken("dd.max < -0.2 and dd.days.mean == 4", true);
        taken("metrics[\"Sharpe Ratio\"] > 2", false);
        taken("metrics.dd.max < 0 and metrics['dd.max'] < 0", true);
        taken("params['slow-ma'] == 20", true);
        taken("metrics.both > params.both", true);
        taken("mode in ['x', 'y'] and sharpe | round == 2", true);
        taken("sharpe > 1 or range(3) | length == 3", true);
    }

    #[test]
    fn a_job_that_lacks_a_name_is_not_wanted() {
        taken("trades > 3", false);
        taken("sharpe > 1 or trades > 3", false);
        taken("metrics['Sortino'] > 3", false);
        taken("metrics['Sortino'] is not defined", false);
        taken("metrics.x.y > 3", false);
        taken("params.x == 3", false);
    }

    #[test]
    fn what_is_no_selection_is_refused() {
        let fails = |source: &str, part: &str| {
            let error =
                takes(source, json!({"mode": "x", "a": 1}), json!({"a": 2, "b": 1, "b.c": 2})).unwrap_err();
            assert!(error.contains(part), "{source}: {error}");
        };
        fails("a >", "is not an expression");
        fails("a = 3", "write == to compare");
        fails("b && mode", "write `and`");
        fails("b + 1", "gives 2 for job 7; it must be true or false");
        fails("a > 1", "`a` is a metric and a parameter; write metrics.a or params.a");
        fails("b + mode > 1", "fails for job 7");
        fails("b > 0 and b.c > 1", "write metrics[\"b.c\"]");
    }

    #[test]
    fn a_name_that_no_job_has_is_told_with_those_there_are() {
        let names = (["sharpe".to_owned(), "trades".to_owned()], ["fast".to_owned()]);
        let unknown = |source: &str| {
            let mut selection = Selection::new(source).unwrap();
            selection.takes(0, &map(&json!({"fast": 1})), map(&json!({"sharpe": 1}))).unwrap();
            selection.takes(1, &map(&json!({"fast": 1})), map(&json!({"trades": 1}))).unwrap();
            selection.unknown(&names.0, &names.1).map(|error| error.to_string())
        };
        assert_eq!(unknown("sharpe > trades or fast > 3"), None);
        assert_eq!(unknown("metrics['trades'] > 3"), None);
        let told = unknown("sharp > 3").unwrap();
        assert!(told.contains("`sharp`, which no job has; did you mean `sharpe`?"), "{told}");
        assert!(told.contains("metrics: sharpe, trades; parameters: fast"), "{told}");
        assert!(unknown("metrics['x'] > 3").unwrap().contains("`metrics.x`, which no job has"));
        assert!(unknown("params.sharpe > 3").is_some());
    }
}
