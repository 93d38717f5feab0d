//! What a running job says of how far it is, in a file among its outputs: `0.42`, or
//! `{"done": 42, "of": 100, "note": "2012-03", "metrics": {"sharpe": 0.4}}`.
//!
//! The file is read while the job writes it, so that it may be half of itself, and it may be anything: nothing in it makes
//! a job fail.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::metrics::without_non_finite;
use crate::text;

/// Bytes of a file that is read; a larger one says nothing.
pub const MAX_TEXT: usize = 16 << 10;
/// Metrics that a job may report while it runs, and bytes of the longest of their names.
pub const MAX_METRICS: usize = 32;
pub const MAX_NAME: usize = 64;
/// Characters of a note; the rest is cut off.
pub const MAX_NOTE: usize = 200;
/// Objects within the object of the metrics.
const MAX_DEPTH: usize = 8;
/// What a sum of fractions may be off by.
const ROUNDING: f64 = 1e-6;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: Option<f64>,
    /// So many of `of`, in the job's own unit.
    pub done: Option<f64>,
    pub of: Option<f64>,
    /// May hold any characters but NUL.
    pub note: Option<String>,
    /// Finite numbers by name.
    pub metrics: BTreeMap<String, f64>,
}

/// Why a file says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// It ends too early: it may be being written.
    #[error("it is no whole JSON")]
    NotWhole,
    #[error("{}", text::remark(.0))]
    Wrong(String),
}

impl ProgressError {
    fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }
}

/// A fraction for people; only what is all of it is 100 %.
pub fn percent(fraction: f64) -> String {
    format!("{} %", (fraction * 100.0 + ROUNDING).floor())
}

/// Reads what a job has written.
pub fn parse(bytes: &[u8]) -> Result<Progress, ProgressError> {
    if bytes.len() > MAX_TEXT {
        return Err(ProgressError::wrong(format!("it is larger than {} KiB, the limit", MAX_TEXT >> 10)));
    }
    let cut = std::str::from_utf8(bytes).err().is_some_and(|error| error.error_len().is_none());
    let text = text::decode(bytes);
    let text = text.map_err(|error| match cut {
        true => ProgressError::NotWhole,
        false => ProgressError::wrong(error.to_string()),
    })?;
    if text.trim().is_empty() {
        return Err(ProgressError::NotWhole);
    }
    let json = serde_json::from_str::<Value>(&without_non_finite(&text));
    match json {
        Ok(Value::Number(number)) => Progress::from_parts(number.as_f64(), None, None),
        Ok(Value::Object(said)) => Progress::read(said),
        Ok(_) => Err(ProgressError::wrong("it is neither a number nor an object")),
        Err(error) if error.is_eof() => Err(ProgressError::NotWhole),
        Err(error) => Err(ProgressError::wrong(format!("it is neither a number nor JSON: {error}"))),
    }
}

impl Progress {
    /// From what a job or an agent says; numbers that are not finite count as not said.
    pub fn from_parts(
        fraction: Option<f64>,
        done: Option<f64>,
        of: Option<f64>,
    ) -> Result<Self, ProgressError> {
        let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
        let (fraction, done) = (finite(fraction), finite(done));
        let of = finite(of).filter(|of| *of != 0.0);
        if let Some(number) = [done, of].into_iter().flatten().find(|number| *number < 0.0) {
            return Err(ProgressError::wrong(format!("{number} is less than 0")));
        }
        if let Some(fraction) = fraction.filter(|part| !(-ROUNDING..=1.0 + ROUNDING).contains(part)) {
            return Err(ProgressError::wrong(format!(
                "{fraction} is not from 0 to 1; write 0.42, or {{\"done\": 42, \"of\": 100}}"
            )));
        }
        let fraction = fraction.or_else(|| Some(done? / of?));
        Ok(Self { fraction: fraction.map(|part| part.clamp(0.0, 1.0)), done, of, ..Self::default() })
    }

    fn read(said: Map<String, Value>) -> Result<Self, ProgressError> {
        let number = |name: &str| match said.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(ProgressError::wrong(format!("`{name}` is no number"))),
        };
        let mut read = Self::from_parts(number("fraction")?, number("done")?, number("of")?)?;
        read.note = match said.get("note") {
            None | Some(Value::Null) => None,
            Some(Value::String(note)) => Some(note.clone()),
            Some(Value::Number(note)) => Some(note.to_string()),
            Some(_) => return Err(ProgressError::wrong("`note` is no text")),
        };
        match said.get("metrics") {
            None | Some(Value::Null) => {}
            Some(Value::Object(metrics)) => take_metrics(metrics, "", 1, &mut read.metrics)?,
            Some(_) => return Err(ProgressError::wrong("`metrics` is no object of numbers")),
        }
        if read == Self::default() {
            return Err(ProgressError::wrong(
                "it has none of `fraction`, `done`, `of`, `note` and `metrics`",
            ));
        }
        Ok(read.bounded())
    }

    /// Within the bounds that hold for all, whoever says it.
    pub fn bounded(mut self) -> Self {
        self.note =
            self.note.map(|note| note.chars().take(MAX_NOTE).collect::<String>().replace('\0', "\u{fffd}"));
        self.note = self.note.filter(|note| !note.trim().is_empty());
        self.metrics.retain(|name, value| is_name(name) && value.is_finite());
        while self.metrics.len() > MAX_METRICS {
            self.metrics.pop_last();
        }
        self
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains('\0')
}

/// Numbers by name; those in nested objects get names joined by `.`, as in `metrics.json`.
fn take_metrics(
    from: &Map<String, Value>,
    prefix: &str,
    depth: usize,
    into: &mut BTreeMap<String, f64>,
) -> Result<(), ProgressError> {
    for (key, value) in from {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if !is_name(&name) {
            return Err(ProgressError::wrong(format!(
                "a metric's name has 1 to {MAX_NAME} bytes, and is {:?}...",
                name.chars().take(20).collect::<String>()
            )));
        }
        match value {
            // Also what was NaN: it is not known yet.
            Value::Null => {}
            Value::Number(number) => {
                into.extend(number.as_f64().filter(|number| number.is_finite()).map(|number| (name, number)));
            }
            Value::Object(inner) if depth < MAX_DEPTH => take_metrics(inner, &name, depth + 1, into)?,
            _ => return Err(ProgressError::wrong(format!("the metric `{name}` is no number"))),
        }
        if into.len() > MAX_METRICS {
            return Err(ProgressError::wrong(format!("it has more than {MAX_METRICS} metrics, the limit")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(text: &str) -> Option<f64> {
        parse(text.as_bytes()).unwrap().fraction
    }

    #[test]
    fn a_number_or_an_object_says_how_far_a_job_is() {
        assert_eq!(fraction("0.42\n"), Some(0.42));
        assert_eq!(fraction(" 1 "), Some(1.0));
        assert_eq!(fraction("0"), Some(0.0));
        assert_eq!(fraction("1.0000000002"), Some(1.0), "a sum that was rounded");
        assert_eq!(fraction(r#"{"done": 42, "of": 100}"#), Some(0.42));
        assert_eq!(fraction(r#"{"done": 101, "of": 100}"#), Some(1.0));
        assert_eq!(fraction(r#"{"done": 42, "of": 0}"#), None);
        assert_eq!(fraction(r#"{"done": 42}"#), None);
        assert_eq!(fraction(r#"{"fraction": 0.5, "done": 1, "of": 100}"#), Some(0.5));
        let text = r#"{"done": 3, "of": 12, "note": "2012-03", "metrics": {"sharpe": 0.4, "dd": {"max": -1e-1}, "x": NaN}, "more": []}"#;
        let said = parse(text.as_bytes()).unwrap();
        let metrics = [("dd.max", -0.1), ("sharpe", 0.4)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(
            said,
            Progress {
                fraction: Some(0.25),
                done: Some(3.0),
                of: Some(12.0),
                note: Some("2012-03".to_owned()),
                metrics: metrics.into(),
            }
        );
        assert_eq!(parse(br#"{"done": NaN, "note": "x"}"#).unwrap().done, None);
        let note = format!(r#"{{"note": "\u001b[31m\u0000{}"}}"#, "é".repeat(300));
        let note = parse(note.as_bytes()).unwrap().note.unwrap();
        assert!(note.starts_with("\u{1b}[31m\u{fffd}é") && note.chars().count() == MAX_NOTE, "{note:?}");
    }

    #[test]
    fn all_of_it_is_a_hundred_percent() {
        assert_eq!([0.0, 0.29, 0.425, 0.9999, 1.0].map(percent), ["0 %", "29 %", "42 %", "99 %", "100 %"]);
    }

    #[test]
    fn half_of_a_file_is_told_from_a_wrong_one() {
        let whole = r#"{"done": 3, "of": 12, "note": "é", "metrics": {"sharpe": 0.4}}"#;
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..cut]), Err(ProgressError::NotWhole), "{cut}");
        }
        let wrong = |text: &[u8], part: &str| match parse(text) {
            Err(ProgressError::Wrong(why)) => assert!(why.contains(part), "{why}"),
            other => panic!("{:?}: {other:?}", text.escape_ascii().to_string()),
        };
        wrong(b"42", "42 is not from 0 to 1");
        wrong(b"-0.5", "-0.5 is not from 0 to 1");
        wrong(br#"{"done": -1, "of": 3}"#, "-1 is less than 0");
        wrong(b"inf", "neither a number nor an object");
        wrong(b"half of it", "neither a number nor JSON");
        wrong(b"[0.5]", "neither a number nor an object");
        wrong(b"0.5\n0.6\n", "trailing characters");
        wrong(b"\x7fELF\x02\x01\x01\x00\xff\xfe", "UTF-8");
        wrong(b"{}", "it has none of");
        wrong(br#"{"loss": 0.3}"#, "it has none of");
        wrong(br#"{"metrics": {"a": "b"}}"#, "`a` is no number");
        wrong(br#"{"metrics": [1]}"#, "no object of numbers");
        wrong(br#"{"done": "3"}"#, "`done` is no number");
        wrong(&vec![b' '; MAX_TEXT + 1], "larger than 16 KiB");
        wrong(format!(r#"{{"metrics": {{"{}": 1}}}}"#, "n".repeat(65)).as_bytes(), "1 to 64 bytes");
        let many: Vec<_> = (0..33).map(|n| format!(r#""m{n}": {n}"#)).collect();
        wrong(format!(r#"{{"metrics": {{{}}}}}"#, many.join(",")).as_bytes(), "more than 32 metrics");
        wrong(&[b'['; 4000], "recursion limit");
        let deep = format!(r#"{{"metrics": {}1{}}}"#, r#"{"a": "#.repeat(20), "}".repeat(20));
        wrong(deep.as_bytes(), "is no number");
    }
}
