//! The schema and the first rows of a Parquet file.

use std::sync::Arc;

use parquet::basic::{Encoding, LogicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::RowGroupReader;
use parquet::file::serialized_reader::SerializedRowGroupReader;
use parquet::record::Field;
use parquet::schema::types::Type;

use super::guard::{Guarded, check_footer};
use super::{COLUMNS, ROWS, Sample, SampleColumn, Source, cell};

/// Bytes of the largest footer that is read, and the parts that it may have.
const FOOTER: usize = 8 << 20;
const PARTS: usize = 1_000_000;
/// Columns and groups of a table.
const ELEMENTS: usize = 10_000;
/// Groups in groups.
const DEEPEST: usize = 32;
const MAGIC: &[u8] = b"PAR1";

/// The first rows of a Parquet file. It reads from the source as it needs to, and panics where the library does.
pub fn parquet(source: Arc<dyn Source>) -> Result<Sample, String> {
    let file = Guarded::new(source.clone());
    let footer = footer(&file, source.length())?;
    check_footer(&footer, PARTS, ELEMENTS, DEEPEST).map_err(|why| format!("its footer: {why}"))?;
    let about = ParquetMetaDataReader::decode_metadata(&footer).map_err(told)?;
    let schema = about.file_metadata().schema();
    let mut sample =
        Sample { rows_in_all: u64::try_from(about.file_metadata().num_rows()).ok(), ..Sample::default() };
    let unread = unread(&about);
    let fields = schema.get_fields();
    if fields.len() > COLUMNS {
        sample.remarks.push(format!("It has {} columns; the first {COLUMNS} are shown.", fields.len()));
    }
    let mut shown = Vec::new();
    for field in fields.iter().take(COLUMNS) {
        sample.columns.push(SampleColumn { name: cell(field.name()), kind: kind(field) });
        let is_read = !unread.iter().any(|name| name == field.name());
        shown.push(is_read);
        if !is_read {
            sample.remarks.push(format!("The encoding of {} is not shown here.", cell(field.name())));
        }
    }
    let read = fields.iter().zip(&shown).filter(|(_, is_read)| **is_read).map(|(field, _)| field.clone());
    let read: Vec<_> = read.collect();
    if read.is_empty() {
        return Ok(sample);
    }
    let chosen = Type::group_type_builder(schema.name()).with_fields(read).build().map_err(told)?;
    for group in about.row_groups() {
        if sample.rows.len() >= ROWS {
            break;
        }
        if let Err(error) = rows(&file, group, &chosen, &shown, &mut sample.rows) {
            sample.remarks.push(format!("What follows can't be shown: {}.", told(error)));
            break;
        }
    }
    Ok(sample)
}

/// What stands at a file's end and describes the rest.
fn footer(file: &Guarded, size: u64) -> Result<bytes::Bytes, String> {
    if size < 12 {
        return Err("it is too short".to_owned());
    }
    let end = file.read(size - 8, 8).map_err(told)?;
    if &end[4..] != MAGIC {
        return Err(match &end[4..] {
            b"PARE" => "its footer is encrypted".to_owned(),
            _ => "it does not end as a Parquet file does; it may be cut off".to_owned(),
        });
    }
    let length = u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize;
    if length > FOOTER {
        return Err(format!("its footer has {length} bytes; {FOOTER} are the most that are read"));
    }
    let from =
        (size - 8).checked_sub(length as u64).ok_or("it says that its footer is longer than it is itself")?;
    file.read(from, length).map_err(told)
}

/// The columns with an encoding that can't be read without believing the file.
fn unread(about: &ParquetMetaData) -> Vec<String> {
    let columns = about.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let unread = columns.filter(|column| {
        column.encodings().any(|encoding| {
            matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
        })
    });
    let mut names: Vec<_> =
        unread.filter_map(|column| column.column_path().parts().first().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Adds the first rows of a group of rows, with an empty cell for each column that is not read.
fn rows(
    file: &Guarded,
    group: &RowGroupMetaData,
    chosen: &Type,
    shown: &[bool],
    into: &mut Vec<Vec<String>>,
) -> Result<(), ParquetError> {
    let properties = Arc::new(ReaderProperties::builder().build());
    let index = parquet::file::metadata::page_index::RowGroupPageIndex::new(0, None);
    let reader = SerializedRowGroupReader::new(Arc::new(file.clone()), group, index, properties)?;
    for row in reader.get_row_iter(Some(chosen.clone()))?.take(ROWS - into.len()) {
        let row = row?;
        let mut cells = row.get_column_iter().map(|(_, field)| text(field));
        into.push(
            shown
                .iter()
                .map(|is_read| if *is_read { cells.next() } else { None }.unwrap_or_default())
                .collect(),
        );
    }
    Ok(())
}

fn text(field: &Field) -> String {
    match field {
        Field::Str(text) => cell(text),
        Field::Bytes(bytes) => format!("{} bytes", bytes.len()),
        field => cell(&field.to_string()),
    }
}

/// A column's type in one word.
fn kind(field: &Type) -> String {
    if field.is_group() {
        return "group".to_owned();
    }
    let physical = field.get_physical_type().to_string().to_ascii_lowercase();
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::String) => "string".to_owned(),
        Some(LogicalType::Date) => "date".to_owned(),
        Some(LogicalType::Timestamp { .. }) => "timestamp".to_owned(),
        Some(LogicalType::Time { .. }) => "time".to_owned(),
        Some(LogicalType::Decimal { .. }) => "decimal".to_owned(),
        _ => physical,
    }
}

fn told(error: ParquetError) -> String {
    match error {
        ParquetError::General(told) | ParquetError::NYI(told) | ParquetError::EOF(told) => told,
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    impl Source for Vec<u8> {
        fn length(&self) -> u64 {
            self.len() as u64
        }

        fn read(&self, from: u64, length: usize) -> Result<Bytes, String> {
            let from = usize::try_from(from).unwrap();
            Ok(Bytes::copy_from_slice(&self[from..from + length]))
        }
    }

    fn written(rows: usize, compression: Compression) -> Vec<u8> {
        let schema = "message t { required double price; optional binary name (STRING); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let prices: Vec<f64> = (0..rows).map(|row| row as f64 / 2.0).collect();
        column.typed::<DoubleType>().write_batch(&prices, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let names: Vec<ByteArray> = (0..rows).map(|row| ByteArray::from(&*format!("n{}", row % 3))).collect();
        column.typed::<ByteArrayType>().write_batch(&names, Some(&vec![1; rows]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        file.into_inner().unwrap()
    }

    #[test]
    fn the_schema_and_the_first_rows_are_read() {
        let zstd = Compression::ZSTD(parquet::basic::ZstdLevel::default());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
            let sample = parquet(Arc::new(written(1_000, compression))).unwrap();
            let columns: Vec<_> =
                sample.columns.iter().map(|column| (column.name.as_str(), column.kind.as_str())).collect();
            assert_eq!(columns, [("price", "double"), ("name", "string")]);
            assert_eq!((sample.rows.len(), sample.rows_in_all), (ROWS, Some(1_000)));
            assert_eq!(sample.rows[3], ["1.5", "n0"]);
            assert!(sample.remarks.is_empty(), "{sample:?}");
        }
    }

    #[test]
    fn no_byte_that_is_changed_or_missing_takes_the_process_along() {
        let file = written(30, Compression::SNAPPY);
        for end in 0..file.len() {
            assert!(parquet(Arc::new(file[..end].to_vec())).is_err(), "cut at {end}");
        }
        // Each byte in turn is all ones; what the library panics at is caught by who calls.
        for at in 0..file.len() {
            let mut broken = file.clone();
            broken[at] = 0xff;
            let _ = std::panic::catch_unwind(|| parquet(Arc::new(broken)));
        }
    }
}
