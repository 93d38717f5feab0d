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

use super::copy::{Cut, NotCut};
use super::dates;

/// Rows of a column that are copied at once.
const ROWS: usize = 8_192;
/// What is said of a file beside its rows, and is kept: how its columns are typed. Anything else may speak of rows.
const KEPT_NOTES: [&str; 2] = ["ARROW:schema", "pandas"];

impl From<ParquetError> for NotCut {
    fn from(error: ParquetError) -> Self {
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
    let projection =
        Type::group_type_builder(schema.name()).with_fields(vec![dates.clone()]).build().map_err(NotCut::from)?;
    let mut kept = Vec::new();
    for row in group.get_row_iter(Some(projection))? {
        if kept.len() % ROWS == 0 && cut.end.is_cancelled() {
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
            let value = if most_defined == 0 || defined[level] == most_defined { values.next() } else { None };
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
