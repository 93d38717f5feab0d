//! The first rows of a table that a job left, for people to look at. Only a bounded part of the file is read.
//!
//! The file is written by a job, so nothing in it is believed before it was checked: not how large its parts say they are,
//! nor how deep.

mod csv;
mod guard;
mod parquet;
mod thrift;

use bytes::Bytes;

pub use self::csv::csv;
pub use self::parquet::parquet;

/// Rows and columns that are shown.
pub const ROWS: usize = 20;
pub const COLUMNS: usize = 40;
/// Characters of a cell.
const CELL: usize = 120;

/// A file that can be read in parts.
pub trait Source: Send + Sync + 'static {
    /// Bytes of all of it.
    fn length(&self) -> u64;

    /// So many bytes from there on; an error, in words, if they can't be had.
    fn read(&self, from: u64, length: usize) -> Result<Bytes, String>;
}

/// The beginning of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub columns: Vec<SampleColumn>,
    /// As many cells as there are columns.
    pub rows: Vec<Vec<String>>,
    /// Rows of the whole table, where the file says it.
    pub rows_in_all: Option<u64>,
    /// What is to be said of it, one sentence each.
    pub remarks: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SampleColumn {
    pub name: String,
    /// Its type, where the file says it.
    pub kind: String,
}

fn cell(text: &str) -> String {
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
