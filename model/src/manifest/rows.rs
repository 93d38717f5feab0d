//! A CSV file with one job's parameters in each row.

use serde_json::{Map, Value};

use super::definition::MAX_JOBS;
use super::error::Error;
use super::format::utf8;
use crate::parameters::{self, Parameters};
use crate::rfc4180::{self, CsvCell, CsvReader, MalformedCsv, Record};
use crate::scalar;

/// Reads the header row and all others. A cell in quotes is text; one without is a number or a boolean where it is
/// written like one, and keeps its digits.
pub fn csv_rows(text: &[u8], origin: &str) -> Result<Vec<Parameters>, Error> {
    let text = utf8(text, origin)?;
    let at = |line: u32, message: String| Error {
        origin: Some(origin.to_owned()),
        line: Some(line),
        column: None,
        message,
    };
    let malformed = |MalformedCsv { line, message }: MalformedCsv| at(line, message);
    let mut reader = CsvReader::new(text);
    let Some(header) = reader.record().map_err(malformed)? else {
        return Err(at(1, "the file is empty; its first row names the parameters".to_owned()));
    };
    let names: Vec<String> = header.cells.into_iter().map(|cell| cell.text).collect();
    check_header(&names).map_err(|message| at(1, message))?;
    let mut rows = Vec::new();
    while let Some(Record { line, cells }) = reader.record().map_err(malformed)? {
        if cells.len() != names.len() {
            let message =
                format!("the row has {}, and the header has {}", fields(cells.len()), fields(names.len()));
            return Err(at(line, message));
        }
        if rows.len() >= MAX_JOBS as usize {
            return Err(at(line, format!("this row makes more than {MAX_JOBS} jobs, the limit")));
        }
        let mut map = Map::with_capacity(names.len());
        for (name, cell) in names.iter().zip(cells) {
            let value = value(cell).map_err(|message| at(line, format!("`{name}` {message}")))?;
            map.insert(name.clone(), value);
        }
        rows.push(Parameters::new(map).map_err(|error| at(line, error.to_string()))?);
    }
    if rows.is_empty() {
        return Err(at(1, "there is no row below the header, so there are no jobs".to_owned()));
    }
    Ok(rows)
}

/// Reads the parameters of one job: `fast=7,slow=40`. A value with a comma is put into quotes.
pub fn parse_row_flag(text: &str) -> Result<Parameters, Error> {
    let wrong = |message: String| Error::new(format!("{text:?} {message}; write name=value,name=value"));
    let mut map = Map::new();
    let mut rest = text;
    loop {
        let (name, after) =
            rest.split_once('=').ok_or_else(|| wrong("does not give parameters".to_owned()))?;
        parameters::check_name(name).map_err(|error| wrong(error.to_string()))?;
        let end = end_of_value(after);
        let (written, next) = after.split_at(end);
        let record = CsvReader::new(written).record().map_err(|malformed| wrong(malformed.message))?;
        let cell = record.and_then(|record| record.cells.into_iter().next());
        let cell = cell.ok_or_else(|| wrong(format!("gives `{name}` no value")))?;
        let value = value(cell).map_err(|message| wrong(format!("gives a `{name}` that {message}")))?;
        if map.insert(name.to_owned(), value).is_some() {
            return Err(wrong(format!("gives `{name}` twice")));
        }
        match next.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    Parameters::new(map).map_err(|error| wrong(error.to_string()))
}

/// Where a value ends that may be in quotes.
fn end_of_value(text: &str) -> usize {
    let mut quoted = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return index,
            _ => {}
        }
    }
    text.len()
}

/// What a cell of a CSV file, or of the list in a flag, says. What is not clearly meant is refused.
pub(super) fn value(cell: CsvCell) -> Result<Value, String> {
    if cell.quoted {
        return Ok(cell.text.into());
    }
    if cell.is_missing() {
        return Err("has no value; write \"\" if an empty text is meant".to_owned());
    }
    let value = scalar::value(&cell.text);
    let trimmed = cell.text.trim();
    if trimmed.len() < cell.text.len() && (trimmed.is_empty() || !scalar::value(trimmed).is_string()) {
        return Err(format!(
            "is {:?}; write {trimmed} without the space, or put it into quotes for a text",
            cell.text
        ));
    }
    Ok(value)
}

fn check_header(names: &[String]) -> Result<(), String> {
    if let [only] = names
        && let Some(separator) = rfc4180::other_separator(only)
    {
        return Err(format!(
            "the columns are separated by {separator}; write the file with commas (in pandas: to_csv(sep=\",\"))"
        ));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || (name.starts_with("Unnamed: ") && index == 0) {
            return Err(format!(
                "column {} has no name; write one. If it is the index of a pandas table, leave it out: \
                 to_csv(index=False)",
                index + 1
            ));
        }
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

    fn rows(text: &str) -> Vec<String> {
        csv_rows(text.as_bytes(), "p.csv").unwrap().iter().map(Parameters::to_json).collect()
    }

    #[test]
    fn values_are_recognised_and_keep_their_digits() {
        let text = "fast,ratio,on,day,code\n5,0.3,true,2020-01-31,007\n-6,1.10,False,\"a, b\",+5\n";
        assert_eq!(
            rows(text),
            [
                r#"{"fast":5,"ratio":0.3,"on":true,"day":"2020-01-31","code":"007"}"#,
                r#"{"fast":-6,"ratio":1.10,"on":"False","day":"a, b","code":"+5"}"#,
            ]
        );
    }

    #[test]
    fn a_cell_in_quotes_is_text_as_it_is() {
        let text = "a,b,c,d,e\r\n\" lead\",\"1e5\",\"+5\",\"true\",\"\"\r\n lead,1e5,5,x ,z";
        assert_eq!(
            rows(text),
            [
                r#"{"a":" lead","b":"1e5","c":"+5","d":"true","e":""}"#,
                r#"{"a":" lead","b":1e5,"c":5,"d":"x ","e":"z"}"#
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
        refused(b"a,b\n1,\"2\n3,4\n5,6\n", "p.csv:2: a quote opens a cell here, and nothing closes it");
        refused(b"a,b\n1,2\n,\n", "p.csv:3: `a` has no value; write \"\" if an empty text is meant");
        refused(
            b"a,b\n1, 2\n",
            "p.csv:2: `b` is \" 2\"; write 2 without the space, or put it into quotes for a text",
        );
        let error = csv_rows(b"a;b\n1;2\n", "p.csv").unwrap_err().to_string();
        assert!(error.contains("separated by `;`") && error.contains("commas"), "{error}");
        let error = csv_rows(b"a\tb\n1\t2\n", "p.csv").unwrap_err().to_string();
        assert!(error.contains("separated by tabs"), "{error}");
        let error = csv_rows(b",a,b\n0,1,2\n", "p.csv").unwrap_err().to_string();
        assert!(error.contains("column 1 has no name") && error.contains("index=False"), "{error}");
    }
}
