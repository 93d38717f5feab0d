//! The beginning of a CSV file.

use csv::{ByteRecord, ReaderBuilder};

use super::{COLUMNS, ROWS, Sample, SampleColumn, cell};

/// What may stand between the cells of a line.
const BETWEEN: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The first rows of a CSV file, from its first bytes or from all of them.
pub fn csv(mut bytes: &[u8], is_whole: bool) -> Sample {
    if !is_whole {
        // The last line may be cut.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes = &bytes[..end];
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut sample = Sample::default();
    let mut reader =
        ReaderBuilder::new().delimiter(between(bytes)).flexible(true).has_headers(false).from_reader(bytes);
    let mut line = ByteRecord::new();
    let (mut cut, mut uneven, mut foreign) = (false, false, false);
    for number in 0..=ROWS {
        match reader.read_byte_record(&mut line) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                sample.remarks.push(format!("What follows can't be read: {error}."));
                break;
            }
        }
        cut |= line.len() > COLUMNS;
        let cells = line.iter().take(COLUMNS).map(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            foreign |= text.contains('\u{fffd}');
            cell(&text)
        });
        if number == 0 {
            sample.columns = cells.map(|name| SampleColumn { name, kind: String::new() }).collect();
        } else {
            let mut cells: Vec<_> = cells.collect();
            uneven |= cells.len() != sample.columns.len();
            cells.resize(sample.columns.len(), String::new());
            sample.rows.push(cells);
        }
    }
    let mut remark = |is_so: bool, text: &str| {
        if is_so {
            sample.remarks.push(text.to_owned());
        }
    };
    remark(cut, &format!("Only the first {COLUMNS} columns are shown."));
    remark(uneven, "Not all lines have as many cells as the first.");
    remark(foreign, "It is not written in UTF-8: what can't be read is shown as \u{fffd}.");
    sample
}

/// The separator: of the usual ones, the one that is most frequent in the first line.
fn between(bytes: &[u8]) -> u8 {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |between: &u8| first.iter().filter(|byte| *byte == between).count();
    // Of equally many, the one that comes first.
    BETWEEN.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_are_read_whatever_stands_between_the_cells() {
        let text: String = (0..50).map(|row| format!("{row};\"a;{row}\"\n")).collect();
        let sample = csv(format!("\u{feff}n;text\n{text}99;cut of").as_bytes(), false);
        let names: Vec<_> = sample.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["n", "text"]);
        assert_eq!(sample.rows.len(), ROWS);
        assert_eq!(sample.rows[19], ["19", "a;19"]);
        assert!(sample.remarks.is_empty(), "{sample:?}");
    }

    #[test]
    fn what_is_odd_is_said() {
        let sample = csv(b"a,b\n1\n2,\xff,3\n", true);
        assert_eq!(sample.rows, [["1", ""], ["2", "\u{fffd}"]]);
        assert_eq!(sample.remarks.len(), 2, "{sample:?}");
        let wide = csv(vec!["x"; 100].join(",").as_bytes(), true);
        assert_eq!((wide.columns.len(), wide.remarks.len()), (COLUMNS, 1));
        assert_eq!(csv(b"", true), Sample::default());
    }
}
