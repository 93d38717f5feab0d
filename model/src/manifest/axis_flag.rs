//! An axis of the matrix as a flag: `fast=5,10,20`, `slow=20:200:20`, `start=2020-01-01:2020-12-01:1mo`.
//!
//! A list is a row of CSV, by the same rules as in a file. What is not clearly a list or a range is refused.

use serde_json::Value;

use super::error::Error;
use super::matrix::Axis;
use super::range::Range;
use super::rows;
use crate::parameters;
use crate::rfc4180::CsvReader;
use crate::scalar;

const USAGE: &str = "write name=value,value or name=from:to or name=from:to:step";

/// Reads an axis and its name.
pub fn parse_axis_flag(text: &str) -> Result<(String, Axis), Error> {
    let (name, values) =
        text.split_once('=').ok_or_else(|| Error::new(format!("{text:?} is not an axis; {USAGE}")))?;
    parameters::check_name(name).map_err(|error| Error::new(error.to_string()))?;
    if name == "include" || name == "exclude" {
        return Err(Error::new(format!("`{name}` is not a name for an axis")));
    }
    if values.trim().is_empty() {
        return Err(Error::new(format!("the axis `{name}` is empty; {USAGE}")));
    }
    let axis = match range_of(name, values)? {
        Some(range) => Axis::Range(range),
        None => Axis::values(name, list_of(name, values)?)?,
    };
    Ok((name.to_owned(), axis))
}

/// The range, if the parts between colons are numbers or dates; `EUR:USD` and `12:30:00Z` are texts.
fn range_of(name: &str, text: &str) -> Result<Option<Range>, Error> {
    if text.contains([',', '"']) || !text.contains(':') {
        return Ok(None);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let ends: Vec<Option<Value>> = parts.iter().take(2).map(|part| end_of(part)).collect();
    let refused = |what: &str| {
        Err(Error::new(format!(
            "the axis `{name}` is {text:?}, {what}; {USAGE}, or put a text into quotes: {name}='\"{text}\"'"
        )))
    };
    match (&parts[..], &ends[..]) {
        ([_, _], [Some(from), Some(to)]) => Range::parse(name, from, to, None).map(Some),
        ([_, _, step], [Some(from), Some(to)]) if !step.is_empty() => {
            let step = scalar::range_number(step).map_or_else(|| Value::from(*step), Value::Number);
            Range::parse(name, from, to, Some(&step)).map(Some)
        }
        _ if parts.iter().all(|part| part.is_empty() || looks_like_end(part)) => {
            let is_half = parts.iter().any(|part| part.is_empty());
            refused(if is_half { "half a range" } else { "which is not a range" })
        }
        _ => Ok(None),
    }
}

fn end_of(part: &str) -> Option<Value> {
    match scalar::range_number(part) {
        Some(number) => Some(Value::Number(number)),
        None => Range::is_date(part).then(|| part.into()),
    }
}

/// True for what was surely meant as a number or a date, though it may be none.
fn looks_like_end(part: &str) -> bool {
    let part = part.trim();
    let bare = part.strip_prefix(['+', '-']).unwrap_or(part);
    let bare = bare.strip_prefix('.').unwrap_or(bare);
    bare.starts_with(|c: char| c.is_ascii_digit())
        && bare.chars().all(|c| c.is_ascii_digit() || "._+-eE".contains(c))
}

fn list_of(name: &str, text: &str) -> Result<Vec<Value>, Error> {
    let fails = |message: String| Error::new(format!("the axis `{name}` {message}"));
    let is_bracketed = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    if is_bracketed("[", "]") || is_bracketed("(", ")") || is_bracketed("{", "}") {
        let inside = &text[1..text.len() - 1];
        return Err(fails(format!("is {text:?}; write {name}={inside} without the brackets")));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() > 1 && words.iter().all(|word| scalar::number(word).is_some()) {
        return Err(fails(format!("is {text:?}; separate the values by commas: {name}={}", words.join(","))));
    }
    if let Some((from, to)) = text.split_once("..")
        && let (Some(from), Some(to)) = (end_of(from), end_of(to))
    {
        return Err(fails(format!("is {text:?}; write a range as {name}={from}:{to}")));
    }
    let mut reader = CsvReader::new(text);
    let record = reader.record().map_err(|malformed| fails(format!("is {text:?}: {}", malformed.message)))?;
    let cells = record.map(|record| record.cells).unwrap_or_default();
    if reader.record().is_ok_and(|more| more.is_some()) {
        return Err(fails("has a line break outside of quotes; put the value into quotes".to_owned()));
    }
    let mut values = Vec::with_capacity(cells.len());
    for (index, cell) in cells.into_iter().enumerate() {
        let parts: Vec<_> = cell.text.split(':').map(end_of).collect();
        if !cell.quoted && (2..=3).contains(&parts.len()) && parts.iter().all(Option::is_some) {
            return Err(fails(format!(
                "has {:?} in a list; write a range alone, or put a text into quotes: \"{0}\"",
                cell.text
            )));
        }
        let place = |message: String| fails(format!("{message} (value {})", index + 1));
        values.push(rows::value(cell).map_err(place)?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let (_, axis) = parse_axis_flag(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (0..axis.len()).map(|index| axis.at(index).to_string()).collect()
    }

    #[test]
    fn lists_are_rows_of_csv() {
        assert_eq!(values("x=5,10,20"), ["5", "10", "20"]);
        assert_eq!(values("x=1.10,1e5,-0"), ["1.10", "1e5", "-0"]);
        assert_eq!(values("x=5,5.0"), ["5", "5.0"]);
        assert_eq!(values("x=000001,+5,.5"), ["\"000001\"", "\"+5\"", "\".5\""]);
        assert_eq!(values("x=1,2,\"\""), ["1", "2", "\"\""]);
        assert_eq!(values("x=\"a,b\",\"5\",true,\"true\""), ["\"a,b\"", "\"5\"", "true", "\"true\""]);
        assert_eq!(values("x=  a"), ["\"  a\""]);
        assert_eq!(values("x=EUR:USD,a=b"), ["\"EUR:USD\"", "\"a=b\""]);
        assert_eq!(values("x=\"1:3\""), ["\"1:3\""]);
        assert_eq!(values("x=12:30:00,09:00"), ["\"12:30:00\"", "\"09:00\""]);
        assert_eq!(values("t=http://host:80/x"), ["\"http://host:80/x\""]);
    }

    #[test]
    fn ranges_have_numbers_or_dates_as_ends() {
        assert_eq!(values("x=1:3"), ["1", "2", "3"]);
        assert_eq!(values("x=.1:.3:.1"), ["0.1", "0.2", "0.3"]);
        assert_eq!(values("x=2024-01-31:2024-03-31:1mo").len(), 3);
    }

    #[test]
    fn what_is_not_clearly_meant_is_refused() {
        for (text, part) in [
            ("x", "is not an axis"),
            ("x=", "is empty"),
            ("x= ", "is empty"),
            ("x=1,2,", "write \"\" if an empty text is meant"),
            ("x=,1", "has no value"),
            ("x=1,,2", "(value 2)"),
            ("x=5, 10", "without the space"),
            ("x=1:3,7", "in a list"),
            ("x=1:", "half a range"),
            ("x=:3", "half a range"),
            ("x=1::2", "half a range"),
            ("x=1:2:3:4", "not a range"),
            ("x=001:010", "not a range"),
            ("x=1: 3", "not a range"),
            ("x=1:3:x", "step"),
            ("x=12:30:00", "step"),
            ("x=[1,2]", "without the brackets"),
            ("x=1 2 3", "x=1,2,3"),
            ("x=1..5", "x=1:5"),
            ("x=a\"b", "quote"),
            ("x=\"a", "nothing closes it"),
            ("x=1,1", "twice"),
            (" x=1", "is not a name"),
            ("x=a\nb", "line break"),
        ] {
            let error = parse_axis_flag(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
