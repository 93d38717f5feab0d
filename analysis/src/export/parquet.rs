//! The table as Parquet: one typed column after the other, in groups of rows that fit into memory.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::Error;
use super::columns::{ColumnKind, ExportedCell, ExportedColumn, ExportedTable};
use super::spool::JobSpool;

/// Cells of a group of rows, which are held in memory.
const CELLS: usize = 2_000_000;
/// Rows of a group, at least and at most.
const ROWS: [usize; 2] = [1_000, 100_000];

pub(super) fn write(
    exported: &ExportedTable,
    spool: JobSpool,
    out: &mut (impl std::io::Write + Send),
) -> Result<(), Error> {
    let schema = schema(&exported.columns).map_err(Error::output)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("btctl {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(Error::output)?;
    let most = (CELLS / exported.columns.len().max(1)).clamp(ROWS[0], ROWS[1]);
    let mut group: Vec<Vec<ExportedCell>> = exported.columns.iter().map(|_| Vec::new()).collect();
    let mut held = 0;
    for job in spool.jobs()? {
        for (column, cell) in group.iter_mut().zip(exported.row(job?)?) {
            column.push(cell);
        }
        held += 1;
        if held == most {
            write_group(&mut file, &exported.columns, &mut group).map_err(Error::output)?;
            held = 0;
        }
    }
    if held > 0 {
        write_group(&mut file, &exported.columns, &mut group).map_err(Error::output)?;
    }
    file.close().map_err(Error::output)?;
    Ok(())
}

fn schema(columns: &[ExportedColumn]) -> Result<Arc<Type>, ParquetError> {
    let field = |column: &ExportedColumn| {
        let (physical, logical) = match column.kind {
            ColumnKind::Int => (Physical::INT64, None),
            ColumnKind::Float => (Physical::DOUBLE, None),
            ColumnKind::Bool => (Physical::BOOLEAN, None),
            ColumnKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            ColumnKind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        };
        let field = Type::primitive_type_builder(&column.title, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()?;
        Ok(Arc::new(field))
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, ParquetError>>()?;
    Ok(Arc::new(Type::group_type_builder("jobs").with_fields(fields).build()?))
}

/// Writes what is held, and empties it.
fn write_group<W: std::io::Write + Send>(
    file: &mut SerializedFileWriter<W>,
    columns: &[ExportedColumn],
    group: &mut [Vec<ExportedCell>],
) -> Result<(), ParquetError> {
    let mut rows = file.next_row_group()?;
    for (column, cells) in columns.iter().zip(group) {
        let cells = cells.drain(..);
        match column.kind {
            ColumnKind::Int | ColumnKind::Time => {
                write_column::<Int64Type, _>(&mut rows, cells, |cell| match cell {
                    ExportedCell::Int(value) => Some(value),
                    ExportedCell::Spelled(number) => number.as_i64(),
                    ExportedCell::Time(time) => Some(time.as_microsecond()),
                    _ => None,
                })
            }
            ColumnKind::Float => write_column::<DoubleType, _>(&mut rows, cells, |cell| match cell {
                ExportedCell::Float(value) => Some(value),
                ExportedCell::Spelled(number) => number.as_f64(),
                _ => None,
            }),
            ColumnKind::Bool => write_column::<BoolType, _>(&mut rows, cells, |cell| match cell {
                ExportedCell::Bool(value) => Some(value),
                _ => None,
            }),
            ColumnKind::Text => write_column::<ByteArrayType, _>(&mut rows, cells, |cell| match cell {
                ExportedCell::Text(text) => Some(ByteArray::from(text.into_bytes())),
                _ => None,
            }),
        }?;
    }
    rows.close()?;
    Ok(())
}

fn write_column<T: DataType, W: std::io::Write + Send>(
    rows: &mut SerializedRowGroupWriter<'_, W>,
    cells: impl Iterator<Item = ExportedCell>,
    value: impl Fn(ExportedCell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let (mut values, mut there) = (Vec::new(), Vec::new());
    for cell in cells {
        let value = value(cell);
        there.push(i16::from(value.is_some()));
        values.extend(value);
    }
    let Some(mut column) = rows.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns".to_owned()));
    };
    column.typed::<T>().write_batch(&values, Some(&there), None)?;
    column.close()
}
