//! Parameters from files and flags, CSV, and the first rows of tables that jobs left.

use bt_analysis::preview::{self, COLUMNS, ROWS};
use bt_model::manifest::{csv_rows, parse_axis_flag, parse_row_flag};
use bt_model::parameters::Parameters;
use bt_model::rfc4180::CsvReader;

use crate::refusal;

pub(crate) fn parameters(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(read) = refusal::read(Parameters::from_json(text)) {
        is_written_and_read_again(&read);
    }
    if let Some(read) = refusal::read(parse_row_flag(text)) {
        is_written_and_read_again(&read);
    }
    if let Some((name, axis)) = refusal::read(parse_axis_flag(text)) {
        assert!(axis.len() > 0, "the axis {name} has no values");
    }
}

pub(crate) fn csv(input: &[u8]) {
    let rows = refusal::read(csv_rows(input, "rows.csv")).unwrap_or_default();
    rows.iter().take(100).for_each(is_written_and_read_again);
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut reader = CsvReader::new(text);
    let mut records = Vec::new();
    loop {
        match reader.record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => break,
            Err(malformed) => return refusal::check(&malformed.message),
        }
    }
    let mut writer = csv::WriterBuilder::new();
    let mut writer = writer.quote_style(csv::QuoteStyle::Always).flexible(true).from_writer(Vec::new());
    for record in &records {
        writer.write_record(record.cells.iter().map(|cell| &cell.text)).expect("memory takes it");
    }
    let written = String::from_utf8(writer.into_inner().expect("memory takes it")).expect("it is text");
    let mut reader = CsvReader::new(&written);
    for record in &records {
        let again = reader.record().expect("it was written as it should be").expect("there are as many");
        let texts = |cells: &[bt_model::rfc4180::CsvCell]| -> Vec<String> {
            cells.iter().map(|cell| cell.text.clone()).collect()
        };
        assert_eq!(texts(&again.cells), texts(&record.cells));
    }
    assert_eq!(reader.record(), Ok(None));
}

pub(crate) fn preview(input: &[u8]) {
    for is_whole in [false, true] {
        let sample = preview::csv(input, is_whole);
        assert!(sample.rows.len() <= ROWS && sample.columns.len() <= COLUMNS);
        assert!(sample.rows.iter().all(|row| row.len() == sample.columns.len()));
        sample.remarks.iter().for_each(|remark| refusal::check(remark));
    }
}

fn is_written_and_read_again(parameters: &Parameters) {
    let written = parameters.to_json();
    let again = Parameters::from_json(&written);
    assert_eq!(again.as_ref(), Ok(parameters), "{written}");
    assert_eq!(again.map(|again| again.identity()), Ok(parameters.identity()));
}
