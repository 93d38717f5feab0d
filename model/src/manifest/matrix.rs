//! A matrix: axes, and what is included and excluded.

use super::error::{Error, suggestion};
use super::range::Range;
use crate::parameters::{self, Parameters, same_value};
use serde_json::Value;

/// An axis has no more written-out values than this; a range may be longer.
pub const MAX_VALUES: usize = 1_000_000;
/// A matrix has no more axes than this, and no more `include` or `exclude` entries than [`MAX_ENTRIES`].
pub const MAX_AXES: usize = 64;
pub const MAX_ENTRIES: usize = 10_000;

/// All combinations of the axes' values, less `exclude`, plus `include`: as in GitHub Actions' matrices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// In the manifest's order; the last one turns fastest.
    pub axes: Vec<(String, Axis)>,
    pub include: Vec<Parameters>,
    pub exclude: Vec<Parameters>,
}

/// The values of one parameter, none of them twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Axis {
    Values(Vec<Value>),
    Range(Range),
}

impl Axis {
    /// A list of values.
    pub fn values(name: &str, values: Vec<Value>) -> Result<Self, Error> {
        if values.is_empty() {
            return Err(Error::new(format!("the axis `{name}` is empty; a list needs a value at least")));
        }
        if values.len() > MAX_VALUES {
            return Err(Error::new(format!(
                "the axis `{name}` has {} values; {MAX_VALUES} are the most",
                values.len()
            )));
        }
        let mut seen = std::collections::HashSet::new();
        for value in &values {
            parameters::check_value(name, value).map_err(|error| Error::new(error.to_string()))?;
            // 5 and 5.0 are one value, and print alike as floats.
            let key = match value {
                Value::Number(number) if number.is_f64() => match number.as_f64() {
                    Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => {
                        format!("{}", float as i64)
                    }
                    _ => number.to_string(),
                },
                other => other.to_string(),
            };
            if !seen.insert(key) {
                return Err(Error::new(format!(
                    "the axis `{name}` has the value {value} twice; its jobs would be the same"
                )));
            }
        }
        Ok(Self::Values(values))
    }

    /// How many values there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an axis is never empty")]
    pub fn len(&self) -> u64 {
        match self {
            Self::Values(values) => values.len() as u64,
            Self::Range(range) => range.len(),
        }
    }

    /// The value at an index below [`Self::len`].
    pub(crate) fn at(&self, index: u64) -> Value {
        match self {
            Self::Values(values) => usize::try_from(index)
                .ok()
                .and_then(|index| values.get(index).cloned())
                .unwrap_or(Value::Null),
            Self::Range(range) => range.at(index),
        }
    }

    /// Where the value stands, if it is one of the axis.
    pub(crate) fn index_of(&self, value: &Value) -> Option<u64> {
        match self {
            Self::Values(values) => {
                values.iter().position(|known| same_value(known, value)).map(|index| index as u64)
            }
            Self::Range(range) => range.index_of(value),
        }
    }
}

impl Matrix {
    /// The same matrix with the axes of `other`, which win by name, and its entries added.
    pub(super) fn merge(mut self, other: Self) -> Self {
        for (name, axis) in other.axes {
            match self.axes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = axis,
                None => self.axes.push((name, axis)),
            }
        }
        self.include.extend(other.include);
        self.exclude.extend(other.exclude);
        self
    }

    /// Checks names and bounds. The path in the error says where the mistake is.
    pub(super) fn check(&self) -> Result<(), (String, Error)> {
        let fail = |path: String, message: String| Err((path, Error::new(message)));
        if self.axes.is_empty() && self.include.is_empty() {
            let message = "the matrix is empty; it needs an axis, such as `fast: [5, 10]`, or `include`";
            return fail("matrix".into(), message.into());
        }
        if self.axes.len() > MAX_AXES {
            return fail(
                "matrix".into(),
                format!("{} axes; a matrix has {MAX_AXES} at most", self.axes.len()),
            );
        }
        for (index, (name, axis)) in self.axes.iter().enumerate() {
            let path = format!("matrix.{name}");
            if let Err(error) = parameters::check_name(name) {
                return fail(path, error.to_string());
            }
            if name == "include" || name == "exclude" {
                return fail(path, format!("`{name}` is no name for an axis"));
            }
            if self.axes[..index].iter().any(|(other, _)| other == name) {
                return fail(path, format!("the axis `{name}` is given twice"));
            }
            if matches!(axis, Axis::Values(values) if values.is_empty()) {
                return fail(path, format!("the axis `{name}` is empty; a list needs a value at least"));
            }
        }
        for (key, entries) in [("include", &self.include), ("exclude", &self.exclude)] {
            if entries.len() > MAX_ENTRIES {
                let message = format!("{} entries; {MAX_ENTRIES} are the most", entries.len());
                return fail(format!("matrix.{key}"), message);
            }
        }
        self.check_exclude()?;
        let names = self.axes.iter().map(|(name, _)| name.as_str());
        let names = names.chain(self.include.iter().flat_map(Parameters::names));
        parameters::check_distinct(names).map_err(|error| ("matrix".into(), Error::new(error.to_string())))
    }

    fn check_exclude(&self) -> Result<(), (String, Error)> {
        for (index, entry) in self.exclude.iter().enumerate() {
            let path = format!("matrix.exclude.{index}");
            if entry.is_empty() {
                let message = "an empty entry would exclude every combination";
                return Err((path, Error::new(message)));
            }
            for name in entry.names() {
                if !self.axes.iter().any(|(axis, _)| axis == name) {
                    let axes = self.axes.iter().map(|(axis, _)| axis.as_str());
                    let hint = suggestion(name, axes, "axes");
                    let message = format!("`exclude` names `{name}`, which is no axis of the matrix{hint}");
                    return Err((path, Error::new(message)));
                }
            }
        }
        Ok(())
    }
}

/// `slow=20:200:20`, `fast=5,10,20` or `start=2020-01-01:2020-12-01:1mo`.
pub fn parse_axis_flag(text: &str) -> Result<(String, Axis), Error> {
    let usage = "write name=value,value or name=from:to or name=from:to:step";
    let (name, values) =
        text.split_once('=').ok_or_else(|| Error::new(format!("{text:?} is no axis; {usage}")))?;
    let name = name.trim();
    parameters::check_name(name).map_err(|error| Error::new(error.to_string()))?;
    if name == "include" || name == "exclude" {
        return Err(Error::new(format!("`{name}` is no name for an axis")));
    }
    if values.trim().is_empty() {
        return Err(Error::new(format!("the axis `{name}` is empty; {usage}")));
    }
    if values.split(':').any(|part| part.trim().is_empty()) {
        return Err(Error::new(format!("{values:?} is half a range; {usage}")));
    }
    let axis = match range_parts(values) {
        Some((from, to, step)) => Axis::Range(Range::parse(name, &from, &to, step.as_ref())?),
        None => Axis::values(name, values.split(',').map(|word| scalar(word.trim())).collect())?,
    };
    Ok((name.to_owned(), axis))
}

/// The parts of `from:to` and `from:to:step`, when the ends are numbers or dates; `12:30` is no range of anything else.
fn range_parts(text: &str) -> Option<(Value, Value, Option<Value>)> {
    let parts: Vec<&str> = text.split(':').map(str::trim).collect();
    let (from, to, step) = match parts[..] {
        [from, to] => (from, to, None),
        [from, to, step] => (from, to, Some(scalar(step))),
        _ => return None,
    };
    let (from, to) = (scalar(from), scalar(to));
    let is_end = |value: &Value| value.is_number() || value.as_str().is_some_and(Range::is_date);
    (is_end(&from) && is_end(&to)).then_some((from, to, step))
}

/// A word as the value that it looks like: a whole number, a float, a boolean, else a text.
pub(super) fn scalar(word: &str) -> Value {
    let is_numeric = word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && word.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
        && word.contains(|c: char| c.is_ascii_digit());
    match word {
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ if !is_numeric || has_leading_zero(word) => return word.into(),
        _ => {}
    }
    if let Ok(int) = word.parse::<i64>() {
        return int.into();
    }
    match word.parse::<f64>() {
        Ok(float) if float.is_finite() && word.contains(['.', 'e', 'E']) => float.into(),
        _ => word.into(),
    }
}

/// `007` is a code, not a number.
fn has_leading_zero(word: &str) -> bool {
    let digits = word.trim_start_matches(['+', '-']).as_bytes();
    matches!(digits, [b'0', next, ..] if next.is_ascii_digit())
}
