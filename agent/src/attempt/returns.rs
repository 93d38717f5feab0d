//! Returns out of a table among a job's outputs, where its manifest names one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bt_engine::collect;
use bt_model::manifest::ReturnsFile;
use bt_model::returns::{MAX_PERIODS, NotReturns, Returns, time_of_number};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use crate::stock::cuts::dates;

/// A longer CSV file is refused: periods and their numbers are far smaller.
const MAX_CSV: u64 = 64 << 20;

/// Reads the returns that a job has left. An error says what is wrong with its table.
pub(super) fn read(root: &Path, table: &ReturnsFile) -> Result<Returns, NotReturns> {
    let named = |error: NotReturns| NotReturns::new(format!("{}: {error}", table.path));
    let file = collect::open(root, &table.path).map_err(failed).map_err(named)?;
    let periods = match table.path.ends_with(".parquet") {
        true => of_parquet(file, table),
        false => of_csv(file, table),
    };
    periods.and_then(|periods| Returns::of(table.kind, periods)).map_err(named)
}

fn failed(error: impl std::fmt::Display) -> NotReturns {
    NotReturns::new(error.to_string())
}

/// The places of the column that the manifest names and of the dates, if there are any.
fn columns(names: &[&str], table: &ReturnsFile) -> Result<(usize, Option<usize>), NotReturns> {
    let find = |wanted: &str| {
        names.iter().position(|name| *name == wanted).ok_or_else(|| {
            NotReturns::new(format!("it has no column {wanted:?}; it has {}", dates::listed(names)))
        })
    };
    let value = find(&table.column)?;
    let date = match &table.date {
        Some(name) => Some(find(name)?),
        None => dates::find(names, Some(value)),
    };
    Ok((value, date))
}

type Periods = Vec<(i64, f64)>;

/// Adds a row. Rows without a column of dates count from 0.
fn push(periods: &mut Periods, time: Option<i64>, value: f64) -> Result<(), NotReturns> {
    if periods.len() > MAX_PERIODS {
        return Err(NotReturns::new(format!("it has more than {MAX_PERIODS} rows, the limit")));
    }
    periods.push((time.unwrap_or(periods.len() as i64), value));
    Ok(())
}

fn of_csv(file: File, table: &ReturnsFile) -> Result<Periods, NotReturns> {
    let length = file.metadata().map_err(failed)?.len();
    if length > MAX_CSV {
        return Err(NotReturns::new(format!("it has {length} bytes; {MAX_CSV} is the limit")));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file.take(MAX_CSV));
    let header = reader.headers().map_err(failed)?.clone();
    let names: Vec<&str> = header.iter().map(dates::name_of).collect();
    let (value, date) = columns(&names, table)?;
    let mut periods = Periods::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |index: usize| record.get(index).unwrap_or_default().trim();
        let time = date.map(|index| {
            let text = cell(index);
            // Positions in a list will do as well.
            let number = || text.parse::<f64>().ok().and_then(time_of_number);
            let time = dates::of_text(text).or_else(number);
            time.ok_or_else(|| NotReturns::new(format!("line {line}: {text:?} is no date; write 2012-01-03")))
        });
        let value = match cell(value) {
            "" => f64::NAN,
            text if text.eq_ignore_ascii_case("null") || text.eq_ignore_ascii_case("n/a") => f64::NAN,
            text => {
                text.parse().map_err(|_| NotReturns::new(format!("line {line}: {text:?} is no number")))?
            }
        };
        push(&mut periods, time.transpose()?, value)?;
    }
    Ok(periods)
}

fn of_parquet(file: File, table: &ReturnsFile) -> Result<Periods, NotReturns> {
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let fields = schema.get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let (value, date) = columns(&names, table)?;
    let mut wanted = vec![fields[value].clone()];
    wanted.extend(date.map(|index| fields[index].clone()));
    let projection = Type::group_type_builder(schema.name()).with_fields(wanted).build().map_err(failed)?;
    let mut periods = Periods::new();
    for row in reader.get_row_iter(Some(projection)).map_err(failed)? {
        let row = row.map_err(failed)?;
        let (mut number, mut time) = (None, None);
        for (name, field) in row.get_column_iter() {
            if *name == table.column {
                number = Some(number_of(field, name)?);
            } else {
                time = Some(time_of(field, name)?);
            }
        }
        push(&mut periods, time, number.unwrap_or(f64::NAN))?;
    }
    Ok(periods)
}

fn number_of(field: &Field, column: &str) -> Result<f64, NotReturns> {
    match field {
        Field::Null => Ok(f64::NAN),
        Field::Double(number) => Ok(*number),
        Field::Float(number) => Ok(f64::from(*number)),
        Field::Int(number) => Ok(f64::from(*number)),
        Field::Long(number) => Ok(*number as f64),
        other => Err(NotReturns::new(format!("column {column:?} has {other}, which is no number"))),
    }
}

fn time_of(field: &Field, column: &str) -> Result<i64, NotReturns> {
    // Positions in a list will do as well.
    let number = || number_of(field, column).ok().and_then(time_of_number);
    let time = dates::of_field(field, false).or_else(number);
    time.ok_or_else(|| NotReturns::new(format!("column {column:?} has {field}, which is no date")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bt_model::returns::SeriesKind;
    use parquet::column::writer::ColumnWriter;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    const DAY: i64 = 1_325_548_800; // 2012-01-03

    fn table(path: &str, column: &str) -> ReturnsFile {
        let (path, column) = (path.to_owned(), column.to_owned());
        ReturnsFile { path, column, date: None, kind: SeriesKind::Returns }
    }

    fn csv_of(text: &str, table: &ReturnsFile) -> Result<Returns, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("r.csv"), text).unwrap();
        read(dir.path(), table).map_err(|error| error.to_string())
    }

    #[test]
    fn a_csv_file_has_returns_by_date() {
        let ret = table("r.csv", "ret");
        let read = csv_of("\u{feff}Date,close,ret\n2012-01-04,1,-0.5\n2012-01-03 00:00:00,1,0.25\n", &ret);
        let read = read.unwrap();
        assert_eq!((read.times(), read.values()), (&[DAY, DAY + 86_400][..], &[0.25, -0.5][..]));
        let unnamed = csv_of(",ret\n2012-01-03,\n2012-01-04,nan\n", &ret).unwrap();
        assert_eq!(unnamed.times(), [DAY, DAY + 86_400]);
        assert!(unnamed.values().iter().all(|value| value.is_nan()));
        let counted = csv_of("ret\n0.1\n0.2\n", &ret).unwrap();
        assert_eq!(counted.times(), [0, 1]);
        let equity = ReturnsFile { kind: SeriesKind::Equity, ..table("r.csv", "Equity") };
        assert_eq!(csv_of("time,Equity\n2012-01-03,100\n2012-01-04,150\n", &equity).unwrap().values(), [0.5]);
    }

    #[test]
    fn what_is_wrong_with_a_csv_file_is_told_with_its_line() {
        let ret = table("r.csv", "ret");
        for (text, part) in [
            ("Date,close\n", r#"r.csv: it has no column "ret"; it has "Date", "close""#),
            ("Date,ret\n2012-01-03,a\n", r#"line 2: "a" is no number"#),
            ("Date,ret\nMonday,1\n", r#"line 2: "Monday" is no date"#),
            ("Date,ret\n2012-01-03,1\n2012-01-03,1\n", "2012-01-03 stands twice"),
            ("", r#"no column "ret""#),
        ] {
            let error = csv_of(text, &ret).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let nowhere = read(tempfile::tempdir().unwrap().path(), &ret).unwrap_err();
        assert!(nowhere.to_string().starts_with("r.csv: "), "{nowhere}");
        let other = ReturnsFile { date: Some("when".to_owned()), ..ret };
        assert!(csv_of("Date,ret\n", &other).unwrap_err().contains(r#"no column "when""#));
    }

    #[test]
    fn a_parquet_file_has_returns_by_date() {
        let dir = tempfile::tempdir().unwrap();
        let schema =
            "message schema { optional double ret; optional int64 Date (TIMESTAMP(MICROS, false)); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = File::create(dir.path().join("r.parquet")).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::DoubleColumnWriter(column) => {
                    column.write_batch(&[0.25], Some(&[1, 0]), None).unwrap();
                }
                ColumnWriter::Int64ColumnWriter(column) => {
                    let times = [DAY * 1_000_000, (DAY + 86_400) * 1_000_000];
                    column.write_batch(&times, Some(&[1, 1]), None).unwrap();
                }
                _ => panic!("another column"),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        let read_it = |column: &str| read(dir.path(), &table("r.parquet", column));
        let returns = read_it("ret").unwrap();
        assert_eq!(returns.times(), [DAY, DAY + 86_400]);
        assert_eq!(returns.values()[0], 0.25);
        assert!(returns.values()[1].is_nan());
        assert!(read_it("Date").unwrap_err().to_string().contains("which is no number"));
        std::fs::write(dir.path().join("r.parquet"), "no table").unwrap();
        assert!(read_it("ret").unwrap_err().to_string().starts_with("r.parquet: "));
    }
}
