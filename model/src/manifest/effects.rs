//! Entries of `exclude` and `include` that would change nothing, or not what was meant: refused when a sweep is submitted.
//!
//! Manifests that were queued before are read without this check, so that no rule that comes later makes them unreadable.

use serde_json::Value;

use super::error::{Error, suggestion};
use super::matrix::{Axis, Matrix};
use crate::parameters::{Parameters, text_of};

/// Values of an axis that an error lists, or looks through for a similar one.
const SHOWN: usize = 20;
const LOOKED_THROUGH: u64 = 10_000;
/// Shorter names are alike by chance.
const LEAST_NAME: usize = 3;

/// Refuses the first entry that names what is not there. The path says which it is.
pub(crate) fn check(matrix: &Matrix) -> Result<(), (String, Error)> {
    for (index, entry) in matrix.exclude.iter().enumerate() {
        let fails = |message| (format!("matrix.exclude.{index}"), Error::new(message));
        for (name, axis, value) in on_axes(matrix, entry) {
            if axis.index_of(value).is_none() {
                let hint = similar(axis, value).unwrap_or_else(|| values_of(axis, value));
                return Err(fails(format!(
                    "`exclude` has {value} for `{name}`, which is not a value of that axis, so nothing would be \
                     excluded{hint}"
                )));
            }
        }
    }
    for (index, entry) in matrix.include.iter().enumerate() {
        let fails = |message| (format!("matrix.include.{index}"), Error::new(message));
        if entry.is_empty() {
            return Err(fails("`include` has an empty entry, which adds nothing; take it out".to_owned()));
        }
        for (name, axis, value) in on_axes(matrix, entry) {
            if axis.index_of(value).is_none()
                && let Some(hint) = similar(axis, value)
            {
                return Err(fails(format!(
                    "`include` has {value} for `{name}`, which is not a value of that axis{hint}"
                )));
            }
        }
        if let Some((name, axis)) = misspelt(matrix, entry) {
            return Err(fails(format!("`include` names `{name}`; did you mean the axis `{axis}`?")));
        }
    }
    Ok(())
}

/// What an error says of an entry whose combinations are all there, and which adds no parameter to them.
pub(crate) fn adds_nothing(index: usize, entry: &Parameters) -> (String, Error) {
    let message = format!(
        "`include` has {}, which is among the combinations already, so nothing would be added; take it out",
        entry.to_json()
    );
    (format!("matrix.include.{index}"), Error::new(message))
}

fn on_axes<'m>(
    matrix: &'m Matrix,
    entry: &'m Parameters,
) -> impl Iterator<Item = (&'m str, &'m Axis, &'m Value)> {
    entry.iter().filter_map(|(name, value)| {
        let (_, axis) = matrix.axes.iter().find(|(axis, _)| axis == name)?;
        Some((name, axis, value))
    })
}

/// The value of the axis that is written the same, but is of another kind: 1 and "1".
fn similar(axis: &Axis, value: &Value) -> Option<String> {
    let text = text_of(value);
    let mut values = (0..axis.len().min(LOOKED_THROUGH)).map(|index| axis.at(index));
    let alike = values.find(|known| {
        text_of(known) == text || number_in(known) == number_in(value) && number_in(value).is_some()
    })?;
    let kind = match alike {
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        _ => "a text",
    };
    Some(format!("; did you mean {alike}, {kind}?"))
}

/// The number that a value is, or that its text has.
fn number_in(value: &Value) -> Option<f64> {
    text_of(value).parse::<f64>().ok().filter(|number| number.is_finite())
}

fn values_of(axis: &Axis, value: &Value) -> String {
    match axis {
        Axis::Range(range) => {
            let [from, to, step] = range.parts();
            format!("; the axis goes from {from} to {to} in steps of {step}")
        }
        Axis::Values(values) | Axis::Files(_, values) => {
            let texts: Vec<String> = values.iter().take(SHOWN).map(text_of).collect();
            match value {
                Value::String(text) => suggestion(text, texts.iter().map(String::as_str), "values"),
                _ => {
                    let more = if values.len() > SHOWN { ", ..." } else { "" };
                    format!("; the values are {}{more}", texts.join(", "))
                }
            }
        }
    }
}

/// A name of an entry that is the name of an axis but for one letter.
fn misspelt<'m>(matrix: &'m Matrix, entry: &'m Parameters) -> Option<(&'m str, &'m str)> {
    let is_axis = |name: &str| matrix.axes.iter().any(|(axis, _)| axis == name);
    // `lag1` and `lag2` are two names, not one of them misspelt.
    let letters = |name: &str| name.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    entry.names().filter(|name| !is_axis(name) && name.len() >= LEAST_NAME).find_map(|name| {
        let mut absent =
            matrix.axes.iter().map(|(axis, _)| axis.as_str()).filter(|axis| entry.get(axis).is_none());
        let axis = absent.find(|axis| {
            axis.len() >= LEAST_NAME
                && strsim::damerau_levenshtein(name, axis) == 1
                && letters(name) != letters(axis)
        })?;
        Some((name, axis))
    })
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Draft, Error, Format, Manifest, Matrix, parse_axis_flag};

    fn draft(matrix: &str) -> Result<Draft, Error> {
        Manifest::parse(format!("image: x\nmatrix:\n{matrix}").as_bytes(), Format::Yaml, "s.yaml")
    }

    fn jobs(matrix: &str) -> Result<u32, String> {
        let manifest = draft(matrix).and_then(Draft::finish);
        let count = manifest.and_then(|manifest| manifest.expand().map(|jobs| jobs.len()));
        count.map_err(|error| error.to_string())
    }

    #[test]
    fn entries_that_change_something_are_taken() {
        for (matrix, count) in [
            ("  a: [1, 2]\n  exclude: [{a: 1}]\n", 1),
            ("  a: [1, 2]\n  exclude: [{a: 1.0}]\n", 1),
            ("  a: [1, 2]\n  include: [{a: 1, label: x}]\n", 2),
            ("  a: [1, 2]\n  include: [{label: x}]\n", 2),
            ("  a: [1, 2]\n  include: [{a: 3}]\n", 3),
            ("  a: [1, 2]\n  exclude: [{a: 1}]\n  include: [{a: 1}]\n", 2),
            ("  lag1: [1, 2]\n  include: [{lag2: 5}]\n", 2),
            ("  fast: [1, 2]\n  exclude: [{fast: 2}]\n", 1),
        ] {
            assert_eq!(jobs(matrix), Ok(count), "{matrix}");
        }
    }

    #[test]
    fn entries_that_change_nothing_are_refused_where_they_stand() {
        for (matrix, place, part) in [
            ("  a: [1, 2]\n  exclude:\n    - {a: \"1\"}\n", "s.yaml:5:7", "did you mean 1, a number?"),
            ("  a: [\"1\", \"2\"]\n  exclude:\n    - {a: 1}\n", "s.yaml:5:7", "did you mean \"1\", a text?"),
            ("  a: [1, 2]\n  exclude:\n    - {a: 3}\n", "s.yaml:5:7", "the values are 1, 2"),
            ("  a: [spy, qqq]\n  exclude:\n    - {a: spx}\n", "s.yaml:5:7", "did you mean `spy`?"),
            (
                "  a: {from: 1, to: 9, step: 2}\n  exclude:\n    - {a: 2}\n",
                "s.yaml:5:7",
                "from 1 to 9 in steps of 2",
            ),
            (
                "  a: [true, false]\n  exclude:\n    - {a: \"true\"}\n",
                "s.yaml:5:7",
                "did you mean true, a boolean?",
            ),
            (
                "  a: [2024-01-01]\n  exclude:\n    - {a: 20240101}\n",
                "s.yaml:5:7",
                "is not a value of that axis",
            ),
            ("  a: [1, 2]\n  include:\n    - {a: \"1\", b: 2}\n", "s.yaml:5:7", "did you mean 1, a number?"),
            ("  a: [1.5, 2]\n  include:\n    - {a: \"1.50\"}\n", "s.yaml:5:7", "did you mean 1.5, a number?"),
            ("  a: [1, 2]\n  include:\n    - {a: 1}\n", "s.yaml:5:7", "among the combinations already"),
            ("  a: [1, 2]\n  include:\n    - {}\n", "s.yaml:5:7", "empty entry"),
            ("  fast: [1, 2]\n  include:\n    - {fsat: 3}\n", "s.yaml:5:7", "did you mean the axis `fast`?"),
            ("  fast: [1, 2]\n  exclude:\n    - {fsat: 1}\n", "s.yaml:5:7", "did you mean `fast`?"),
        ] {
            let error = jobs(matrix).unwrap_err();
            assert!(error.starts_with(place) && error.contains(part), "{matrix}: {error}");
        }
    }

    #[test]
    fn an_axis_that_a_flag_narrows_takes_its_exclusions_along() {
        let file = draft("  a: [1, 2]\n  b: [1, 2]\n  exclude: [{a: 2, b: 1}, {a: 1, b: 2}]\n").unwrap();
        let axis = parse_axis_flag("a=1").unwrap();
        let flags =
            Draft { matrix: Some(Matrix { axes: vec![axis], ..Matrix::default() }), ..Draft::default() };
        let manifest = file.merge(flags).finish().unwrap();
        assert_eq!(manifest.expand().unwrap().len(), 1);
    }
}
