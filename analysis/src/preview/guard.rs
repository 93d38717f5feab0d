//! A Parquet file for its library, which believes what it reads: each page's head is looked at before the library sees it,
//! and no more of the file is read than may be.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::Source;
use super::thrift::{self, Value};

/// Bytes that are read of a file in all.
const BUDGET: u64 = 48 << 20;
/// Bytes in which a page's head ends.
const HEAD: usize = 64 << 10;
/// Bytes of a page, as it is stored and as it is used.
const PAGE: i64 = 16 << 20;
/// Values of a dictionary, which is made for all of them at once.
const DICTIONARY: i64 = 1 << 20;
/// Values of a page.
const VALUES: i64 = 1 << 24;
/// Encodings whose decoder makes room for as many values as the page says that it has: `DELTA_LENGTH_BYTE_ARRAY` and
/// `DELTA_BYTE_ARRAY`.
const UNBOUNDED: [i64; 2] = [6, 7];

/// A file and what may still be read of it. After its footer was read, only heads of pages that can be believed are given.
#[derive(Clone)]
pub(super) struct Guarded {
    source: Arc<dyn Source>,
    left: Arc<AtomicU64>,
}

impl Guarded {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, left: Arc::new(AtomicU64::new(BUDGET)) }
    }

    pub(super) fn read(&self, from: u64, length: usize) -> Result<Bytes> {
        let end = u64::try_from(length).ok().and_then(|length| from.checked_add(length));
        if end.is_none_or(|end| end > self.source.length()) {
            return Err(ParquetError::EOF("it names a part of itself that it does not have".to_owned()));
        }
        let take = |left: u64| left.checked_sub(length as u64);
        if self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let told = format!("more than {} MiB would have to be read", BUDGET >> 20);
            return Err(ParquetError::General(told));
        }
        self.source.read(from, length).map_err(ParquetError::General)
    }
}

impl Length for Guarded {
    fn len(&self) -> u64 {
        self.source.length()
    }
}

impl ChunkReader for Guarded {
    type T = Cursor<Bytes>;

    /// The library reads heads of pages in this way.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let there = self.source.length().saturating_sub(start);
        let head = self.read(start, HEAD.min(usize::try_from(there).unwrap_or(HEAD)))?;
        check(&head).map_err(|why| ParquetError::General(format!("a page's head: {why}")))?;
        Ok(Cursor::new(head))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.read(start, length)
    }
}

/// Whether a page is as large as is believed.
fn check(head: &[u8]) -> std::result::Result<(), String> {
    let head = thrift::read(head, 10_000).map_err(|wrong| wrong.to_string())?;
    for (id, what) in [(2, "unpacked"), (3, "stored")] {
        let size = head.number(id).ok_or("it says no size")?;
        if !(0..=PAGE).contains(&size) {
            return Err(format!("the page has {size} bytes {what}; {PAGE} are the most that are shown"));
        }
    }
    for (id, most) in [(5, VALUES), (7, DICTIONARY), (8, VALUES)] {
        let Some(page) = head.field(id) else { continue };
        let values = page.number(1).ok_or("it says no number of values")?;
        if !(0..=most).contains(&values) {
            return Err(format!("the page has {values} values; {most} are the most that are shown"));
        }
        // Where the encoding stands depends on the kind of the page.
        let encoding = page.number(if id == 8 { 4 } else { 2 });
        if encoding.is_some_and(|encoding| UNBOUNDED.contains(&encoding)) {
            return Err("its encoding is not shown here".to_owned());
        }
    }
    Ok(())
}

/// Whether the footer of a file describes a table with at most this many columns, none of them too deep.
pub(super) fn check_footer(
    footer: &[u8],
    parts: usize,
    columns: usize,
    deepest: usize,
) -> std::result::Result<(), String> {
    let footer = thrift::read(footer, parts).map_err(|wrong| wrong.to_string())?;
    let Some(Value::List(schema)) = footer.field(2) else { return Err("it has no schema".to_owned()) };
    if schema.len() > columns {
        return Err(format!(
            "it has {} columns and groups; {columns} are the most that are shown",
            schema.len()
        ));
    }
    // How many children the groups above still have.
    let mut open: Vec<i64> = Vec::new();
    for element in schema {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        match element.number(5).unwrap_or(0) {
            0 => {}
            children if children > 0 => open.push(children),
            _ => return Err("a group has fewer than no columns".to_owned()),
        }
        if open.len() > deepest {
            return Err(format!("groups lie more than {deepest} deep"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 1 to 3 (kind, unpacked, stored) and one structure, with the numbers as they are written.
    fn head(unpacked: &[u8], structure: u8, inner: &[u8]) -> Vec<u8> {
        [&[0x15, 0][..], &[0x15], unpacked, &[0x15, 20], &[structure], inner, &[0, 0]].concat()
    }

    #[test]
    fn a_page_that_says_too_much_is_refused() {
        // A data page of 10 values, encoding 0.
        assert_eq!(check(&head(&[20], 0x2c, &[0x15, 20, 0x15, 0])), Ok(()));
        let refused = |head: Vec<u8>| check(&head).unwrap_err();
        let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];
        assert!(refused(head(&huge, 0x2c, &[0x15, 20])).contains("2147483647 bytes unpacked"));
        // A dictionary (field 7) of 2^31 values.
        let inner = [&[0x15][..], &huge].concat();
        assert!(refused(head(&[20], 0x4c, &inner)).contains("2147483647 values"));
        assert!(refused(head(&[20], 0x2c, &[0x15, 20, 0x15, 12])).contains("encoding"));
        assert_eq!(refused(vec![0x15]), "it breaks off");
    }

    #[test]
    fn a_footer_that_would_lead_too_deep_is_refused() {
        // Field 2: a list of groups with one child each; the last has none.
        let of = |deep: u8| {
            let mut bytes = vec![0x29, 0xfc, deep];
            for at in 0..deep {
                bytes.extend(if at + 1 == deep { &[0][..] } else { &[0x55, 2, 0] });
            }
            bytes.push(0);
            check_footer(&bytes, 1_000, 100, 32)
        };
        assert_eq!(of(33), Ok(()));
        assert_eq!(of(34), Err("groups lie more than 32 deep".to_owned()));
        assert!(of(101).unwrap_err().contains("101 columns"));
    }
}
