//! A CSV file with one job's parameters in each row.

use serde_json::Map;

use super::MAX_JOBS;
use super::error::Error;
use super::matrix::scalar;
use crate::parameters::{self, Parameters};

/// Reads the header row and all others. Whole numbers, floats and booleans are recognised; the rest is text.
pub fn csv_rows(text: &[u8], origin: &str) -> Result<Vec<Parameters>, Error> {
    let text = super::utf8(text, origin)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let at = |line: u64, message: String| Error {
        origin: Some(origin.to_owned()),
        line: u32::try_from(line).ok(),
        column: None,
        message,
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let names: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
        Err(error) => return Err(at(1, format!("the header row can't be read: {error}"))),
    };
    check_header(&names).map_err(|message| at(1, message))?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, csv::Position::line);
            at(line, format!("the row can't be read: {error}"))
        })?;
        let line = record.position().map_or(1, csv::Position::line);
        if record.len() != names.len() {
            let message =
                format!("the row has {}, and the header has {}", fields(record.len()), fields(names.len()));
            return Err(at(line, message));
        }
        if rows.len() >= MAX_JOBS as usize {
            return Err(at(line, format!("this row makes more than {MAX_JOBS} jobs, the limit")));
        }
        let values = record.iter().map(|field| scalar(field.trim()));
        let map: Map<_, _> = names.iter().cloned().zip(values).collect();
        let row = Parameters::new(map).map_err(|error| at(line, error.to_string()))?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(at(1, "there is no row below the header, so there are no jobs".to_owned()));
    }
    Ok(rows)
}

fn check_header(names: &[String]) -> Result<(), String> {
    if names.iter().all(String::is_empty) {
        return Err("the file is empty; its first row names the parameters".to_owned());
    }
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(format!("the header names `{name}` twice"));
        }
        parameters::check_name(name).map_err(|error| format!("in the header, {error}"))?;
    }
    parameters::check_distinct(names.iter().map(String::as_str)).map_err(|error| error.to_string())
}

fn fields(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        _ => format!("{count} fields"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &[u8], expected: &str) {
        let error = csv_rows(text, "p.csv").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn values_are_recognised() {
        let text = "fast,ratio,on,day,code\n5,0.3,true,2020-01-31,007\n-6,1.0,False,\"a, b\",\n";
        let rows = csv_rows(text.as_bytes(), "p.csv").unwrap();
        let rows: Vec<String> = rows.iter().map(Parameters::to_json).collect();
        assert_eq!(
            rows,
            [
                r#"{"fast":5,"ratio":0.3,"on":true,"day":"2020-01-31","code":"007"}"#,
                r#"{"fast":-6,"ratio":1.0,"on":false,"day":"a, b","code":""}"#,
            ]
        );
    }

    #[test]
    fn bad_files_are_refused_with_their_line() {
        refused(b"a,b\n1,2\n3\n", "p.csv:3: the row has 1 field, and the header has 2 fields");
        refused(b"a,a\n1,2\n", "p.csv:1: the header names `a` twice");
        refused(
            b"a,A\n1,2\n",
            "p.csv:1: the parameter `A` is named like another, `a`: both would be BT_PARAM_A",
        );
        refused(b"a\n", "p.csv:1: there is no row below the header, so there are no jobs");
        refused(b"", "p.csv:1: the file is empty; its first row names the parameters");
        refused(b"a,b\n1,\xff\n", "p.csv:2:3: not UTF-8: the byte 0xff at offset 6; save the file as UTF-8");
    }
}
