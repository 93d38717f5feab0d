//! Metrics out of CSV files, of two forms: a metric on each line (`sharpe,1.5`), or a header of names above one line of
//! numbers. Which of them a file has is seen from where its numbers stand, never guessed; other forms are refused.

use serde_json::{Map, Value};

use super::import::{ImportedNumbers, Mapping, decoded, plain_number};
use super::{MAX_METRICS, MetricsError};
use crate::rfc4180::{self, CsvCell, CsvReader, Record};

/// Takes numbers out of CSV of either form.
pub fn read_csv(text: &[u8], mappings: &[Mapping]) -> Result<Map<String, Value>, MetricsError> {
    let text = decoded(text)?;
    let records = records(&text)?;
    let mut found = ImportedNumbers::new(mappings);
    let Some((first, rest)) = records.split_first() else {
        return found.finish();
    };
    if let [only] = &first.cells[..]
        && let Some(separator) = rfc4180::other_separator(&only.text)
    {
        return Err(MetricsError(format!(
            "the columns are separated by {separator}; write the file with commas"
        )));
    }
    match rest {
        [values] if is_wide(first, values) => wide(first, values, &mut found)?,
        _ => tall(first, &records, &mut found)?,
    }
    found.finish()
}

fn records(text: &str) -> Result<Vec<Record>, MetricsError> {
    let mut reader = CsvReader::new(text);
    let mut records = Vec::new();
    loop {
        let next = reader.record();
        match next.map_err(|wrong| MetricsError(format!("line {}: {}", wrong.line, wrong.message)))? {
            Some(_) if records.len() > MAX_METRICS => {
                let message = format!("it has more than {MAX_METRICS} lines, the limit");
                return Err(MetricsError(message));
            }
            Some(record) => records.push(record),
            None => return Ok(records),
        }
    }
}

fn is_number(cell: &CsvCell) -> bool {
    plain_number(&cell.text).is_some()
}

/// True for names above numbers: no name is a number, and at least one value is. Two lines of a name and a number each are
/// no such table, and neither are `metric,value` and what follows it.
fn is_wide(names: &Record, values: &Record) -> bool {
    let [first, ..] = &values.cells[..] else { return false };
    let starts_with_value = is_number(first) || is_not_finite(first);
    names.cells.len() == values.cells.len() && !names.cells.iter().any(is_number) && starts_with_value
}

/// What programs write where a number is missing.
fn is_not_finite(cell: &CsvCell) -> bool {
    let text = cell.text.trim().to_ascii_lowercase();
    ["nan", "-nan", "inf", "-inf", "infinity", "-infinity", ""].contains(&text.as_str())
}

fn wide(names: &Record, values: &Record, found: &mut ImportedNumbers<'_>) -> Result<(), MetricsError> {
    for (index, (name, value)) in names.cells.iter().zip(&values.cells).enumerate() {
        let is_index = index == 0 && (name.text.trim().is_empty() || name.text.starts_with("Unnamed: "));
        if !is_index {
            put(&name.text, value, found)?;
        }
    }
    Ok(())
}

fn tall(first: &Record, records: &[Record], found: &mut ImportedNumbers<'_>) -> Result<(), MetricsError> {
    for record in records {
        let line = record.line;
        let [name, value] = &record.cells[..] else {
            let wide = records.len() > 2 && record.cells.len() > 2;
            let what = match wide {
                true => format!("{} lines of {} columns", records.len(), record.cells.len()),
                false => format!("{} columns on line {line}", record.cells.len()),
            };
            return Err(MetricsError(format!(
                "it has {what}; write a name and a number on each line, or a header of names above one line of numbers"
            )));
        };
        // A heading: no name of a metric, or no number beside it.
        if line == first.line && (name.text.trim().is_empty() || !is_number(value)) && records.len() > 1 {
            continue;
        }
        if is_number(name) {
            return Err(MetricsError(format!(
                "line {line} has the number {} where a metric's name belongs; write a name and a number on each line, or \
                 a header of names above one line of numbers",
                name.text
            )));
        }
        put(&name.text, value, found)?;
    }
    Ok(())
}

fn put(name: &str, value: &CsvCell, found: &mut ImportedNumbers<'_>) -> Result<(), MetricsError> {
    match plain_number(&value.text) {
        Some(number) => found.number(name.trim(), Some(number)),
        None => found.text(name.trim(), &value.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let numbers = read_csv(text.as_bytes(), &[]).map_err(|error| error.to_string())?;
        Ok(Value::Object(numbers).to_string())
    }

    #[test]
    fn a_metric_on_each_line() {
        for text in [
            "sharpe,1.5\ntrades,41\n",
            "metric,value\nsharpe,1.5\ntrades,41\n",
            ",0\nsharpe,1.5\ntrades,41\n",
            "sharpe,1.5\r\nlabel,x\r\ntrades,41\r\n",
        ] {
            assert_eq!(read(text).as_deref(), Ok(r#"{"sharpe":1.5,"trades":41}"#), "{text:?}");
        }
        assert_eq!(read("metric,value\nsharpe,1.5\n").as_deref(), Ok(r#"{"sharpe":1.5}"#));
        assert_eq!(read("sharpe,1.5\n").as_deref(), Ok(r#"{"sharpe":1.5}"#));
    }

    #[test]
    fn a_header_above_one_line_of_numbers() {
        for text in ["sharpe,trades\n1.5,41\n", ",sharpe,trades\n0,1.5,41\n", "sharpe,trades,x\n1.5,41,nan\n"]
        {
            assert_eq!(read(text).as_deref(), Ok(r#"{"sharpe":1.5,"trades":41}"#), "{text:?}");
        }
        assert_eq!(read("sharpe\n1.5\n").as_deref(), Ok(r#"{"sharpe":1.5}"#));
        assert_eq!(read("x,sharpe\n,1.5\n").as_deref(), Ok(r#"{"sharpe":1.5}"#));
        let mapping = ["s=Sharpe Ratio".parse().unwrap()];
        let mapped = read_csv(b"Sharpe Ratio,Return\n1.5,12%\n", &mapping).unwrap();
        assert_eq!(Value::Object(mapped).to_string(), r#"{"s":1.5}"#);
    }

    #[test]
    fn other_forms_are_refused() {
        for (text, part) in [
            ("sharpe,trades,cagr\n1.5,41,0.1\n1.6,42,0.2\n", "3 lines of 3 columns"),
            ("sharpe,trades\n1.5,41\n1.6,42\n", "the number 1.5 where a metric's name belongs"),
            ("a,b,c\n", "3 columns on line 1"),
            ("1,2\n3,4\n", "the number 1 where"),
            ("sharpe;trades\n1.5;41\n", "separated by `;`"),
            ("sharpe,\"1.5\ntrades,41\n", "line 1: a quote opens"),
            ("a,1\n\nb,2\n", "line 2: the line is empty"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
