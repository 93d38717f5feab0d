//! A CSV file of return series: a column a trial, a row a period.

use std::path::Path;

use crate::error::Error;
use crate::files;

/// Series of the same periods.
pub(super) struct Matrix {
    /// What the header calls the trials, else their numbers, from 1.
    pub(super) names: Vec<String>,
    /// Of each trial, its returns in the order of the rows.
    pub(super) series: Vec<Vec<f64>>,
    /// What was made of the first column, if it was left out.
    pub(super) remark: Option<String>,
}

/// What a first column is called that holds dates, or pandas' row numbers.
const INDEX_NAMES: [&str; 8] = ["", "date", "dates", "datetime", "time", "timestamp", "day", "index"];

impl Matrix {
    /// Reads a file. A first line with anything but numbers is a header. A first column that holds no numbers, or that the
    /// header calls a date or an index, is left out.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let called = files::called(path);
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(files::open(path)?);
        let mut names: Option<Vec<String>> = None;
        let mut series: Vec<Vec<f64>> = Vec::new();
        let (mut is_first, mut first_column) = (true, None);
        for record in reader.records() {
            let record = record.map_err(|error| unreadable(&called, &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let is_number = |field: &str| field.parse::<f64>().is_ok();
            if std::mem::take(&mut is_first) && is_header(&record) {
                names = Some(record.iter().map(str::to_owned).collect());
                continue;
            }
            // The first line of values decides about the first column.
            let skipped = *first_column.get_or_insert_with(|| {
                let heading = names.as_ref().and_then(|names| names.first()).map(|name| name.to_lowercase());
                let is_index = heading.is_some_and(|name| INDEX_NAMES.contains(&name.as_str()));
                let is_date = record.get(0).is_some_and(|field| !field.is_empty() && !is_number(field));
                usize::from(record.len() > 1 && (is_index || is_date))
            });
            series.resize_with(record.len() - skipped, Vec::new);
            for (place, field) in record.iter().enumerate().skip(skipped) {
                let value = field.parse::<f64>().ok().filter(|value| value.is_finite());
                let Some(value) = value else {
                    let column = names.as_ref().and_then(|names| names.get(place)).cloned();
                    let column = column.unwrap_or_else(|| (place + 1).to_string());
                    return Err(Error::Usage(format!(
                        "{called}: line {line}, column {column}: {field:?} is no finite number; each trial needs a \
                         return in each period"
                    )));
                };
                series[place - skipped].push(value);
            }
        }
        if series.is_empty() {
            return Err(Error::Usage(format!(
                "{called} has no returns; it must have a column for each trial and a row for each period"
            )));
        }
        let skipped = first_column.unwrap_or(0);
        let numbers = || (1..=series.len()).map(|number| number.to_string()).collect();
        let remark = (skipped == 1).then(|| match names.as_ref().and_then(|names| names.first()) {
            Some(name) if !name.is_empty() => format!("the first column, {name}, is taken for dates"),
            _ => "the first column is taken for dates".to_owned(),
        });
        let names = names.map(|names| names.into_iter().skip(skipped).collect());
        Ok(Self { names: names.unwrap_or_else(numbers), series, remark })
    }

    /// Returns of each trial.
    pub(super) fn observations(&self) -> usize {
        self.series.first().map_or(0, Vec::len)
    }

    /// A trial's name, or its number.
    pub(super) fn name(&self, trial: usize) -> &str {
        self.names.get(trial).map_or("", String::as_str)
    }
}

/// True if a first line names columns: by more than a date before numbers, or by what a column of dates is called.
fn is_header(record: &csv::StringRecord) -> bool {
    let is_name = |field: &str| !field.is_empty() && field.parse::<f64>().is_err();
    let first = record.get(0).unwrap_or_default();
    // Without a name it is a gap, unless pandas numbered the trials.
    let are_numbered = || record.iter().skip(1).enumerate().all(|(n, field)| field == n.to_string());
    let is_index = record.len() > 1
        && match first {
            "" => are_numbered(),
            first => INDEX_NAMES.contains(&first.to_lowercase().as_str()),
        };
    is_index || record.iter().skip(1).any(is_name) || (record.len() == 1 && is_name(first))
}

fn unreadable(called: &str, error: &csv::Error) -> Error {
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!(
                "{called}: line {line} has {len} columns and the first one {expected_len}; all must have the same"
            )
        }
        _ => format!("{called} can't be read: {error}"),
    };
    Error::Usage(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Matrix, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        Matrix::read(file.path())
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn a_header_and_dates_are_recognised() {
        for (text, names, remark) in [
            ("0.1,0.2\n0.3,0.4\n", vec!["1", "2"], None),
            ("a,b\n0.1,0.2\n0.3,0.4\n", vec!["a", "b"], None),
            (
                "date,a,b\n20040102,0.1,0.2\n20040103,0.3,0.4\n",
                vec!["a", "b"],
                Some("the first column, date, is taken for dates"),
            ),
            (
                "2004-01-02,0.1,0.2\n2004-01-03,0.3,0.4\n",
                vec!["1", "2"],
                Some("the first column is taken for dates"),
            ),
            (",a,b\n0,0.1,0.2\n1,0.3,0.4\n", vec!["a", "b"], Some("the first column is taken for dates")),
            (
                "Day;,a,b\n2004-01-02, 0.1 ,0.2\nx,3e-1,+0.4\n",
                vec!["a", "b"],
                Some("the first column, Day;, is taken for dates"),
            ),
            (
                "date,0,1\nd1,0.1,0.2\nd2,0.3,0.4\n",
                vec!["0", "1"],
                Some("the first column, date, is taken for dates"),
            ),
            (",0,1\n0,0.1,0.2\n1,0.3,0.4\n", vec!["0", "1"], Some("the first column is taken for dates")),
            ("2004,7\n0.1,0.2\n0.3,0.4\n", vec!["1", "2"], None),
        ] {
            let matrix = read(text).unwrap();
            assert_eq!(matrix.names, names, "{text}");
            assert_eq!(matrix.remark.as_deref(), remark, "{text}");
            let end = matrix.observations() - 2;
            assert_eq!(
                matrix.series.iter().map(|series| &series[end..]).collect::<Vec<_>>(),
                [[0.1, 0.3], [0.2, 0.4]]
            );
        }
        let one = read("a\n0.1\n0.2\n").unwrap();
        assert_eq!((one.names, one.series), (vec!["a".to_owned()], vec![vec![0.1, 0.2]]));
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let wrong = |text| read(text).err().unwrap();
        assert_eq!(
            wrong("a,b\n0.1,\n"),
            "FILE: line 2, column b: \"\" is no finite number; each trial needs a return in each period"
        );
        assert!(wrong(",0.2\n0.1,0.2\n").contains("line 1, column 1: \"\" is no finite number"));
        assert!(wrong("0.1,0.2\nnan,0.2\n").contains("line 2, column 1: \"nan\" is no finite number"));
        assert!(wrong("0.1,0.2\n0.1\n").contains("line 2 has 1 columns and the first one 2"));
        assert!(wrong("a,b\n").contains("FILE has no returns"));
        assert!(wrong("").contains("FILE has no returns"));
    }
}
