//! The filters and tests that expressions have: minijinja's, but for those that can make much out of little.
//!
//! Each is given its input only after what it will make has been counted.

use std::sync::OnceLock;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Value};

use super::ExpressionFault;
use super::evaluate::{ArgumentValues, BoundedText, Evaluation, weight};
use super::limits::MAX_BYTES;
use super::operators::{self, Number, show};
use super::tree::{Arithmetic, CompareOp};
use crate::manifest::suggestion;

const FILTERS: [&str; 33] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "max",
    "min",
    "replace",
    "reverse",
    "round",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];
const TESTS: [&str; 19] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "false",
    "float",
    "in",
    "integer",
    "iterable",
    "lower",
    "mapping",
    "none",
    "number",
    "odd",
    "startingwith",
    "string",
    "true",
    "undefined",
];
/// More digits in `format` would be a column wider than any text may be.
const MAX_WIDTH_DIGITS: usize = 2;
const MAX_INDENT: i64 = 100;
/// Digits that `round` looks at, before or after the point.
const MAX_PRECISION: i64 = 30;
/// The named arguments that keep what a filter makes within bounds.
const NAMED: [&str; 7] = ["base", "blank", "case_sensitive", "default", "first", "precision", "reverse"];

/// minijinja with its filters and tests; it renders nothing.
pub(super) fn library() -> &'static Environment<'static> {
    static LIBRARY: OnceLock<Environment<'static>> = OnceLock::new();
    LIBRARY.get_or_init(Environment::new)
}

pub(super) fn check_name(name: &str) -> Result<(), ExpressionFault> {
    match FILTERS.contains(&name) {
        true => Ok(()),
        false => Err(ExpressionFault::new(format!(
            "there is not a filter `{name}`{}",
            suggestion(name, FILTERS, "filters")
        ))),
    }
}

pub(super) fn check_test_name(name: &str) -> Result<(), ExpressionFault> {
    match TESTS.contains(&name) {
        true => Ok(()),
        false => Err(ExpressionFault::new(format!(
            "there is no test `{name}`{}",
            suggestion(name, TESTS, "tests")
        ))),
    }
}

/// What to write instead of a call.
pub(super) fn remedy(called: &str) -> String {
    match FILTERS.contains(&called) {
        true => format!("write the filter: `x | {called}`"),
        false => "only `range(...)` is called, and filters follow their value: `x | round(2)`".to_owned(),
    }
}

pub(super) fn takes_undefined(name: &str) -> bool {
    ["d", "default"].contains(&name)
}

pub(super) fn apply(
    evaluation: &mut Evaluation<'_>,
    name: &str,
    input: Value,
    values: ArgumentValues,
) -> Result<Value, ExpressionFault> {
    let ArgumentValues { placed: values, named } = values;
    if let Some((unknown, _)) = named.iter().find(|(key, _)| !NAMED.contains(&key.as_str())) {
        return Err(ExpressionFault::new(format!("the filter `{name}` takes no `{unknown}=`")));
    }
    for value in std::iter::once(&input).chain(&values) {
        evaluation.spend(weight(value))?;
    }
    let whole = |index: usize| values.get(index).and_then(Value::as_i64);
    match name {
        // minijinja orders values of different types by their types.
        "max" => return best(&input, CompareOp::Greater),
        "min" => return best(&input, CompareOp::Less),
        "sum" => return sum(&input),
        "tojson" => return json(evaluation, &input, &values),
        "string" => return evaluation.text_of(&input).map(Value::from),
        "sort" => alike(&input)?,
        "replace" => {
            let size = match (evaluation.text_of(&input)?, values.as_slice()) {
                (text, [from, to]) => {
                    let (from, to) = (evaluation.text_of(from)?, evaluation.text_of(to)?);
                    let count = text.matches(from.as_str()).count();
                    text.len().saturating_add(count.saturating_mul(to.len()))
                }
                _ => 0,
            };
            evaluation.spend(size)?;
        }
        "join" => {
            let separator = values.first().map_or(0, weight);
            for item in input.try_iter()? {
                let item = evaluation.text_of(&item)?;
                evaluation.spend(item.len() + separator)?;
            }
        }
        "indent" => {
            let width = whole(0).filter(|width| (0..=MAX_INDENT).contains(width)).ok_or_else(|| {
                ExpressionFault::new(format!("`indent` takes a number of spaces, {MAX_INDENT} at most"))
            })?;
            let lines = input.as_str().map_or(0, |text| text.lines().count() + 1);
            evaluation.spend(lines.saturating_mul(width as usize))?;
        }
        "format" => {
            let layout = input.as_str().unwrap_or_default();
            let widest = layout.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
            if widest > MAX_WIDTH_DIGITS || layout.contains('*') {
                return Err(ExpressionFault::new(
                    "a width in `format` has two digits at most, and is no `*`",
                ));
            }
        }
        "round" => {
            let precision = named.iter().find(|(key, _)| key == "precision").map(|(_, value)| value);
            let precision = precision.or(values.first()).and_then(Value::as_i64).unwrap_or(0);
            if precision.abs() > MAX_PRECISION {
                return Err(ExpressionFault::new(format!("`round` takes {MAX_PRECISION} digits at most")));
            }
        }
        _ => {}
    }
    let mut arguments = vec![input];
    arguments.extend(values);
    if !named.is_empty() {
        arguments.push(Kwargs::from_iter(named).into());
    }
    let made = evaluation.state().apply_filter(name, &arguments)?;
    evaluation.spend(weight(&made))?;
    Ok(made)
}

pub(super) fn test(
    evaluation: &mut Evaluation<'_>,
    name: &str,
    input: Value,
    values: ArgumentValues,
) -> Result<bool, ExpressionFault> {
    let ArgumentValues { placed: values, named } = values;
    if !named.is_empty() {
        return Err(ExpressionFault::new(format!("the test `{name}` takes no named arguments")));
    }
    if let ("in", [container]) = (name, values.as_slice()) {
        return operators::compare(CompareOp::In, &input, container);
    }
    let mut arguments = vec![input];
    arguments.extend(values);
    Ok(evaluation.state().perform_test(name, &arguments)?)
}

/// The least or the greatest of a list.
fn best(list: &Value, wanted: CompareOp) -> Result<Value, ExpressionFault> {
    let mut best: Option<Value> = None;
    for item in list.try_iter()? {
        let is_better = match &best {
            Some(best) => operators::compare(wanted, &item, best)?,
            None => true,
        };
        if is_better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| ExpressionFault::new("an empty list has neither a least nor a greatest value"))
}

fn alike(list: &Value) -> Result<(), ExpressionFault> {
    best(list, CompareOp::Less).map(|_| ()).or_else(|fault| match list.len() {
        Some(0) => Ok(()),
        _ => Err(fault),
    })
}

fn sum(list: &Value) -> Result<Value, ExpressionFault> {
    let mut sum = Number::Int(0);
    for item in list.try_iter()? {
        let number = Number::of(&item);
        let number =
            number.ok_or_else(|| ExpressionFault::new(format!("`sum` adds numbers, not {}", show(&item))))?;
        sum = Number::calculate(Arithmetic::Add, sum, number)
            .ok_or_else(|| ExpressionFault::new("the sum is too large"))?;
    }
    Ok(sum.value())
}

/// JSON in one line.
fn json(evaluation: &mut Evaluation<'_>, input: &Value, values: &[Value]) -> Result<Value, ExpressionFault> {
    if !values.is_empty() {
        return Err(ExpressionFault::new("`tojson` takes no arguments"));
    }
    let items = match input.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => input.len().unwrap_or(0),
        _ => 0,
    };
    evaluation.spend(items)?;
    let mut made = BoundedBytes(BoundedText(String::new()));
    match serde_json::to_writer(&mut made, input) {
        Ok(()) => {
            let text = made.0.0;
            evaluation.spend(text.len())?;
            Ok(Value::from(text))
        }
        Err(error) if error.is_io() => evaluation.spend(MAX_BYTES + 1).map(|()| Value::UNDEFINED),
        Err(error) => Err(ExpressionFault::new(format!("{} is not JSON: {error}", show(input)))),
    }
}

/// The bounded text for writers of bytes; serde_json writes UTF-8 in whole characters.
struct BoundedBytes(BoundedText);

impl std::io::Write for BoundedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
        std::fmt::Write::write_str(&mut self.0, text).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
