//! The numbers that a job reports about itself in its `metrics.json`.

use serde_json::{Map, Value};

/// A longer file is refused: metrics are few, and series belong into other outputs.
pub const MAX_TEXT: usize = 1 << 20;
/// No job has more metrics.
pub const MAX_METRICS: usize = 10_000;
const MAX_NAME: usize = 256;
/// What plots draw; it stands beside the numbers and is none of them.
const SERIES: &str = "series";

/// Why a file holds no metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MetricsError(String);

/// Reads metrics: finite numbers by name; those in nested objects get names joined by `.`.
///
/// Python writes `NaN`, `Infinity` and `-Infinity`, which are no JSON: they are taken, and left out, as `null` is. The
/// key `series` at the top is left out too.
pub fn parse(text: &[u8]) -> Result<Map<String, Value>, MetricsError> {
    if text.len() > MAX_TEXT {
        let message = format!("{} bytes of metrics; {MAX_TEXT} are the most", text.len());
        return Err(MetricsError(message));
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| MetricsError(format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
    let value: Value = serde_json::from_str(&without_non_finite(text))
        .map_err(|error| MetricsError(format!("not JSON: {error}")))?;
    let Value::Object(mut top) = value else {
        return Err(MetricsError(format!("{} where an object of numbers belongs", kind(&value))));
    };
    top.shift_remove(SERIES);
    let mut metrics = Map::new();
    collect("", top, &mut metrics)?;
    Ok(metrics)
}

fn collect(
    prefix: &str,
    object: Map<String, Value>,
    metrics: &mut Map<String, Value>,
) -> Result<(), MetricsError> {
    for (key, value) in object {
        let name = match prefix {
            "" => key,
            _ => format!("{prefix}.{key}"),
        };
        if name.len() > MAX_NAME || name.contains('\0') {
            let short: String = name.chars().take(40).collect();
            return Err(MetricsError(format!(
                "{short:?}... is no name for a metric; {MAX_NAME} bytes are the most"
            )));
        }
        match value {
            Value::Null => {}
            Value::Object(inner) => collect(&name, inner, metrics)?,
            Value::Number(_) => {
                metrics.insert(name, value);
            }
            Value::Bool(_) | Value::String(_) | Value::Array(_) => {
                return Err(MetricsError(format!(
                    "the metric `{name}` is {}; a metric is a number",
                    kind(&value)
                )));
            }
        }
        if metrics.len() > MAX_METRICS {
            return Err(MetricsError(format!("more than {MAX_METRICS} metrics, the limit")));
        }
    }
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The text with `null` for Python's non-finite numbers; what stands in quotes stays. Lines and columns may shift only
/// within the replaced token's line.
fn without_non_finite(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_text = false;
    while let Some(c) = rest.chars().next() {
        let token =
            ["NaN", "-Infinity", "Infinity"].into_iter().find(|token| !in_text && rest.starts_with(token));
        let taken = match (token, c) {
            (Some(token), _) => token.len(),
            // A backslash takes the next character with it, so that an escaped quote does not end the text.
            (None, '\\') if in_text => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, _) => c.len_utf8(),
        };
        if c == '"' {
            in_text = !in_text;
        }
        json.push_str(if token.is_some() { "null" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str, expected: &str) {
        let metrics = parse(text.as_bytes()).unwrap();
        assert_eq!(Value::Object(metrics).to_string(), expected);
    }

    #[track_caller]
    fn refused(text: &[u8], part: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn numbers_are_taken_by_name() {
        read(r#"{"sharpe": 1.25, "trades": 12}"#, r#"{"sharpe":1.25,"trades":12}"#);
        read(r#"{"dd": {"max": -0.3, "days": {"mean": 4}}}"#, r#"{"dd.max":-0.3,"dd.days.mean":4}"#);
        read(r#"{"series": {"equity": [1, 2]}, "a": 1}"#, r#"{"a":1}"#);
        read("{}", "{}");
    }

    #[test]
    fn pythons_non_finite_numbers_are_left_out() {
        let text = r#"{"a": NaN, "b": Infinity, "c": -Infinity, "d": null, "NaN \"NaN": 1, "e": -1}"#;
        read(text, r#"{"NaN \"NaN":1,"e":-1}"#);
        read(r#"{"a\\": NaN, "b": 2}"#, r#"{"b":2}"#);
    }

    #[test]
    fn what_is_no_metrics_is_refused() {
        refused(b"[1]", "a list where an object of numbers belongs");
        refused(br#"{"a": {"b": "x"}}"#, "the metric `a.b` is a text; a metric is a number");
        refused(br#"{"a": true}"#, "`a` is a boolean");
        refused(br#"{"a": [1]}"#, "`a` is a list");
        refused(b"{\"a\": 1", "not JSON");
        refused(b"{\"a\": \xff}", "not UTF-8 from byte 6");
        refused(&vec![b' '; MAX_TEXT + 1], "1048576 are the most");
        let many: Vec<String> = (0..=MAX_METRICS).map(|n| format!("\"m{n}\": 1")).collect();
        refused(format!("{{{}}}", many.join(",")).as_bytes(), "more than 10000 metrics");
    }
}
