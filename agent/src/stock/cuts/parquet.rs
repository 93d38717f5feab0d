//! A Parquet file without the rows from a day on: written anew with the same schema and compression, so that neither
//! statistics nor dictionaries know of what is left out. A few thousand rows of a column are in memory at once.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::{LogicalType, TimeUnit, TimestampType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::cut::{Cut, NotCut};
use super::dates;

/// Rows of a column that are copied at once.
const ROWS: usize = 8_192;
/// What is said of a file beside its rows, and is kept: how its columns are typed. Anything else may speak of rows.
const KEPT_NOTES: [&str; 2] = ["ARROW:schema", "pandas"];

impl From<ParquetError> for NotCut {
    fn from(error: ParquetError) -> Self {
        let error = match error {
            // The file system's trouble, not the file's.
            ParquetError::External(error) => return Self::Unreadable(std::io::Error::other(error)),
            error => error,
        };
        let hint = match &error {
            ParquetError::General(why) if why.contains("feature") => {
                " (files compressed by snappy, by zstd or not at all can be read)"
            }
            _ => "",
        };
        Self::Data(format!("it can't be read: {error}{hint}"))
    }
}

/// Copies the rows before the day.
pub(super) fn cut(input: File, output: &mut (impl Write + Send), cut: &Cut<'_>) -> Result<(), NotCut> {
    let reader = SerializedFileReader::new(input)?;
    let metadata = reader.metadata().file_metadata();
    let schema = metadata.schema_descr().root_schema_ptr();
    let fields = schema.get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let dates = &fields[cut.column(&names)?];
    if !dates.is_primitive() {
        return Err(NotCut::Data(format!(
            "column {:?} has several values in each row; name one with dates",
            dates.name()
        )));
    }
    let mut properties = WriterProperties::builder();
    if reader.num_row_groups() > 0 {
        for column in reader.metadata().row_group(0).columns() {
            properties =
                properties.set_column_compression(column.column_path().clone(), column.compression());
        }
    }
    let notes = metadata.key_value_metadata().into_iter().flatten();
    let notes = notes.filter(|note| KEPT_NOTES.contains(&note.key.as_str())).cloned().collect();
    let properties = properties.set_key_value_metadata(Some(notes)).build();
    let mut writer = SerializedFileWriter::new(output, schema.clone(), Arc::new(properties))?;
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index)?;
        let kept = kept_rows(&*group, &schema, dates, cut)?;
        if !kept.contains(&true) {
            continue;
        }
        let mut out = writer.next_row_group()?;
        for column in 0..group.num_columns() {
            let from = group.get_column_reader(column)?;
            let Some(mut to) = out.next_column()? else {
                return Err(NotCut::Data("it has more columns than its schema".to_owned()));
            };
            copy_column(from, to.untyped(), &kept, cut)?;
            to.close()?;
        }
        out.close()?;
    }
    writer.close()?;
    Ok(())
}

/// Which rows of a group are before the day.
fn kept_rows(
    group: &dyn RowGroupReader,
    schema: &Type,
    dates: &Arc<Type>,
    cut: &Cut<'_>,
) -> Result<Vec<bool>, NotCut> {
    let nanos = matches!(
        dates.get_basic_info().logical_type_ref(),
        Some(LogicalType::Timestamp(TimestampType { unit: TimeUnit::NANOS, .. }))
    );
    let projection = Type::group_type_builder(schema.name())
        .with_fields(vec![dates.clone()])
        .build()
        .map_err(NotCut::from)?;
    let mut kept = Vec::new();
    for row in group.get_row_iter(Some(projection))? {
        if kept.len().is_multiple_of(ROWS) && cut.end.is_cancelled() {
            return Err(NotCut::Ended);
        }
        let row = row?;
        let time = row.get_column_iter().next().map(|(_, field)| (dates::of_field(field, nanos), field));
        match time {
            Some((Some(time), _)) => kept.push(time < cut.from),
            Some((None, field)) => {
                let told = format!(
                    "row {} of a group: column {:?} has {field}, which is no date",
                    kept.len() + 1,
                    dates.name()
                );
                return Err(NotCut::Data(told));
            }
            None => return Err(NotCut::Data(format!("column {:?} has no values", dates.name()))),
        }
    }
    Ok(kept)
}

fn copy_column(
    from: ColumnReader,
    to: &mut ColumnWriter<'_>,
    kept: &[bool],
    cut: &Cut<'_>,
) -> Result<(), NotCut> {
    use {ColumnReader as From, ColumnWriter as To};
    match (from, to) {
        (From::BoolColumnReader(from), To::BoolColumnWriter(to)) => copy_values(from, to, kept, cut),
        (From::Int32ColumnReader(from), To::Int32ColumnWriter(to)) => copy_values(from, to, kept, cut),
        (From::Int64ColumnReader(from), To::Int64ColumnWriter(to)) => copy_values(from, to, kept, cut),
        (From::Int96ColumnReader(from), To::Int96ColumnWriter(to)) => copy_values(from, to, kept, cut),
        (From::FloatColumnReader(from), To::FloatColumnWriter(to)) => copy_values(from, to, kept, cut),
        (From::DoubleColumnReader(from), To::DoubleColumnWriter(to)) => copy_values(from, to, kept, cut),
        (From::ByteArrayColumnReader(from), To::ByteArrayColumnWriter(to)) => {
            copy_values(from, to, kept, cut)
        }
        (From::FixedLenByteArrayColumnReader(from), To::FixedLenByteArrayColumnWriter(to)) => {
            copy_values(from, to, kept, cut)
        }
        _ => Err(NotCut::Data("a column has another type than its schema says".to_owned())),
    }
}

/// Copies the values of kept rows, with what says to which row each belongs and where there is none.
fn copy_values<T: DataType>(
    mut from: ColumnReaderImpl<T>,
    to: &mut ColumnWriterImpl<'_, T>,
    kept: &[bool],
    cut: &Cut<'_>,
) -> Result<(), NotCut> {
    let (most_defined, most_repeated) = {
        let column = to.get_descriptor();
        (column.max_def_level(), column.max_rep_level())
    };
    // Rows that have begun.
    let mut begun = 0;
    loop {
        if cut.end.is_cancelled() {
            return Err(NotCut::Ended);
        }
        let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (rows, _, levels) =
            from.read_records(ROWS, Some(&mut defined), Some(&mut repeated), &mut values)?;
        if rows == 0 {
            break;
        }
        let (mut kept_defined, mut kept_repeated, mut kept_values) = (Vec::new(), Vec::new(), Vec::new());
        let mut values = values.into_iter();
        for level in 0..levels {
            begun += usize::from(most_repeated == 0 || repeated[level] == 0);
            let value =
                if most_defined == 0 || defined[level] == most_defined { values.next() } else { None };
            if !kept.get(begun.wrapping_sub(1)).copied().unwrap_or(false) {
                continue;
            }
            kept_values.extend(value);
            if most_defined > 0 {
                kept_defined.push(defined[level]);
            }
            if most_repeated > 0 {
                kept_repeated.push(repeated[level]);
            }
        }
        let defined = (most_defined > 0).then_some(&kept_defined[..]);
        let repeated = (most_repeated > 0).then_some(&kept_repeated[..]);
        to.write_batch(&kept_values, defined, repeated)?;
    }
    match begun == kept.len() {
        true => Ok(()),
        false => Err(NotCut::Data(format!("a column has {begun} rows, and its dates have {}", kept.len()))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::ByteArray;
    use parquet::file::metadata::KeyValue;
    use parquet::schema::parser::parse_message_type;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const FROM: i64 = 1_325_376_000; // 2012-01-01
    const DAY: i64 = 86_400;

    /// A file of the dates, each row with a text, a list of numbers and a number that may be missing.
    fn table(kind: &str, dates: &[Option<i64>], group: usize) -> tempfile::NamedTempFile {
        let schema = format!(
            "message schema {{ optional {kind}; required binary word (STRING); \
             optional group many (LIST) {{ repeated group list {{ optional int32 element; }} }} optional double number; }}"
        );
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let notes = ["pandas", "last_day"].map(|key| KeyValue::new(key.to_owned(), "2013-01-01".to_owned()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(notes.to_vec()))
            .build();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer =
            SerializedFileWriter::new(file.reopen().unwrap(), schema, Arc::new(properties)).unwrap();
        for (index, dates) in dates.chunks(group).enumerate() {
            let first = index * group;
            let mut group = writer.next_row_group().unwrap();
            for place in 0.. {
                let Some(mut column) = group.next_column().unwrap() else { break };
                let rows = first..first + dates.len();
                match (place, column.untyped()) {
                    (0, ColumnWriter::Int64ColumnWriter(to)) => {
                        let defined: Vec<_> = dates.iter().map(|date| i16::from(date.is_some())).collect();
                        let values: Vec<_> = dates.iter().flatten().copied().collect();
                        to.write_batch(&values, Some(&defined), None).unwrap();
                    }
                    (1, ColumnWriter::ByteArrayColumnWriter(to)) => {
                        let words: Vec<_> = rows.map(|row| ByteArray::from(word(row).as_str())).collect();
                        to.write_batch(&words, None, None).unwrap();
                    }
                    // Each row has its number once for each digit, and an empty place.
                    (2, ColumnWriter::Int32ColumnWriter(to)) => {
                        let (mut defined, mut repeated, mut values) = (vec![], vec![], vec![]);
                        for row in rows {
                            for again in 0..=row % 3 {
                                repeated.push(i16::from(again > 0));
                                defined.push(if again == 2 { 2 } else { 3 });
                                values.extend((again != 2).then_some(row as i32));
                            }
                        }
                        to.write_batch(&values, Some(&defined), Some(&repeated)).unwrap();
                    }
                    (3, ColumnWriter::DoubleColumnWriter(to)) => {
                        let defined: Vec<_> =
                            rows.clone().map(|row| i16::from(row.is_multiple_of(2))).collect();
                        let values: Vec<_> =
                            rows.filter(|row| row.is_multiple_of(2)).map(|row| row as f64).collect();
                        to.write_batch(&values, Some(&defined), None).unwrap();
                    }
                    (place, _) => panic!("column {place} has another type"),
                }
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.close().unwrap();
        file
    }

    fn word(row: usize) -> String {
        format!("word-{row:05}-{}", if row.is_multiple_of(7) { "SENTINEL" } else { "x" })
    }

    fn cut_file(file: &tempfile::NamedTempFile, date: Option<&str>) -> Result<Vec<u8>, String> {
        let (end, mut output) = (CancellationToken::new(), Vec::new());
        let asked = Cut { from: FROM, date, end: &end };
        let done = cut(file.reopen().unwrap(), &mut output, &asked);
        done.map(|()| output).map_err(|error| error.to_string())
    }

    fn rows(reader: &dyn FileReader) -> Vec<String> {
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
    }

    #[test]
    fn rows_before_the_day_stay_with_all_their_values() {
        // Days go back and forth across the date.
        let dates: Vec<_> = (0..500_i64).map(|row| Some(FROM + (row * 37 % 101 - 60) * DAY)).collect();
        for (kind, scale) in [
            ("int64 Date (TIMESTAMP(MILLIS, false))", 1_000),
            ("int64 Date (TIMESTAMP(MICROS, true))", 1_000_000),
            ("int64 Date (TIMESTAMP(NANOS, true))", 1_000_000_000),
            ("int64 Date", 1),
        ] {
            let scaled: Vec<_> = dates.iter().map(|date| date.map(|date| date * scale)).collect();
            let file = table(kind, &scaled, 64);
            let all = rows(&SerializedFileReader::new(file.reopen().unwrap()).unwrap());
            let expected: Vec<_> = all
                .into_iter()
                .zip(&dates)
                .filter(|(_, date)| date.unwrap() < FROM)
                .map(|(row, _)| row)
                .collect();
            let bytes = cut_file(&file, None).unwrap();
            let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
            assert_eq!(rows(&reader), expected, "{kind}");
            let column = reader.metadata().row_group(0).column(1);
            assert!(matches!(column.compression(), Compression::ZSTD(_)));
            let notes = reader.metadata().file_metadata().key_value_metadata().unwrap();
            assert_eq!(notes.iter().map(|note| note.key.as_str()).collect::<Vec<_>>(), ["pandas"]);
        }
    }

    #[test]
    fn nothing_of_other_rows_is_left_anywhere_in_the_file() {
        let dates: Vec<_> =
            (0..50_i64).map(|row| Some(FROM + if row % 7 == 0 { DAY } else { -DAY })).collect();
        let file = table("int64 Date", &dates, 20);
        let holds = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"SENTINEL");
        let bytes = cut_file(&file, Some("Date")).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
        assert_eq!(rows(&reader).len(), 42);
        assert!(!holds(&bytes), "in pages, dictionaries and statistics");
        let none = cut_file(&table("int64 Date", &[Some(FROM); 3], 2), None).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(none)).unwrap();
        assert_eq!((rows(&reader).len(), reader.num_row_groups()), (0, 0));
    }

    #[test]
    fn what_can_not_be_cut_is_named() {
        let dates = [Some(FROM), None];
        for (kind, date, part) in [
            ("int64 Date", None, r#"row 2 of a group: column "Date" has null, which is no date"#),
            ("int64 day_of_trade", None, r#"it has no column of dates: it has "day_of_trade", "word""#),
            ("int64 Date", Some("day"), r#"it has no column "day""#),
            ("int64 Date", Some("many"), r#"column "many" has several values"#),
            ("int64 Date", Some("word"), r#"which is no date"#),
            ("int64 Date", Some("number"), r#"column "number" has 0"#),
        ] {
            let error = cut_file(&table(kind, &dates, 9), date).unwrap_err();
            assert!(error.contains(part), "{kind} {date:?}: {error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "PAR1 no table PAR1").unwrap();
        assert!(cut_file(&file, None).unwrap_err().starts_with("it can't be read: "));
    }
}
