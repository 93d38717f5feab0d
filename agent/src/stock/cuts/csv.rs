//! A CSV file without the rows from a day on. What is kept stays as it is, byte for byte; the file is read in pieces.

use std::io::{Read, Write};

use super::cut::{Cut, NotCut};
use super::dates;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Bytes of the longest row.
const LONGEST_ROW: usize = 16 << 20;
/// Bytes of a date that are shown where it is none.
const SHOWN: usize = 40;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Copies the header and the rows before the day.
pub(super) fn cut(input: &mut impl Read, output: &mut impl Write, cut: &Cut<'_>) -> Result<(), NotCut> {
    let mut rows =
        Rows { splitter: Splitter::default(), row: Vec::new(), line: 1, column: None, keeps: true };
    let mut piece = vec![0; PIECE];
    let mut after_cr = false;
    let mut is_first = true;
    loop {
        if cut.end.is_cancelled() {
            return Err(NotCut::Ended);
        }
        let read = fill(input, &mut piece)?;
        if read == 0 {
            break;
        }
        let mut bytes = &piece[..read];
        if is_first && bytes.starts_with(BOM) {
            output.write_all(BOM)?;
            bytes = &bytes[BOM.len()..];
        }
        is_first = false;
        for byte in bytes.iter().copied() {
            if after_cr {
                after_cr = false;
                if byte == b'\n' {
                    // The second half of a line's end goes where the first has gone.
                    if rows.keeps {
                        output.write_all(b"\n")?;
                    }
                    continue;
                }
            }
            rows.row.push(byte);
            if rows.splitter.feed(byte) {
                rows.end(output, cut)?;
                rows.line += 1;
                after_cr = byte == b'\r';
            } else {
                rows.line += u64::from(byte == b'\n');
                if rows.row.len() > LONGEST_ROW {
                    return Err(rows.fault(format!("a row is longer than {} MiB", LONGEST_ROW >> 20)));
                }
            }
        }
    }
    if rows.splitter.state == State::Quoted {
        return Err(rows.fault("the file ends within quotes, which are closed nowhere".to_owned()));
    }
    if !rows.row.is_empty() {
        rows.splitter.end_field();
        rows.end(output, cut)?;
    }
    Ok(())
}

/// As much as there is room for, so that a piece is short only at the end of the file.
fn fill(input: &mut impl Read, piece: &mut [u8]) -> Result<usize, NotCut> {
    let mut filled = 0;
    while filled < piece.len() {
        match input.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NotCut::Unreadable(error)),
        }
    }
    Ok(filled)
}

/// The row that is being read, and what is done with it.
struct Rows {
    splitter: Splitter,
    /// Its bytes, its end included.
    row: Vec<u8>,
    /// In which line of the file.
    line: u64,
    /// The place of the dates; absent before the header.
    column: Option<Column>,
    /// Whether the last row was kept. An empty line goes the way of the row before it.
    keeps: bool,
}

struct Column {
    index: usize,
    name: String,
}

impl Rows {
    fn end(&mut self, output: &mut impl Write, cut: &Cut<'_>) -> Result<(), NotCut> {
        let is_empty = self.row.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if !is_empty {
            match &self.column {
                None => {
                    let column = self.header(cut)?;
                    self.splitter.wanted = Some(column.index);
                    self.column = Some(column);
                }
                Some(column) => self.keeps = self.time(column)? < cut.from,
            }
        }
        if self.keeps {
            output.write_all(&self.row)?;
        }
        self.row.clear();
        self.splitter.next_row();
        Ok(())
    }

    fn header(&self, cut: &Cut<'_>) -> Result<Column, NotCut> {
        let names: Vec<_> =
            self.splitter.fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        let names: Vec<_> = names.iter().map(|name| dates::name_of(name)).collect();
        let index = cut.column(&names)?;
        Ok(Column { index, name: names[index].to_owned() })
    }

    fn time(&self, column: &Column) -> Result<i64, NotCut> {
        let cell = self.splitter.fields.first().map_or(&b""[..], Vec::as_slice);
        let time = std::str::from_utf8(cell).ok().and_then(dates::of_text);
        time.ok_or_else(|| {
            let shown = String::from_utf8_lossy(&cell[..cell.len().min(SHOWN)]).into_owned();
            self.fault(format!("column {:?} has {shown:?}, which is no date; write 2012-01-03", column.name))
        })
    }

    fn fault(&self, told: String) -> NotCut {
        NotCut::Data(format!("line {}: {told}", self.line))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the beginning of a field.
    #[default]
    Start,
    Plain,
    Quoted,
    /// After quotes within quotes: their end, or the first half of a pair that stands for one.
    Quote,
}

/// Finds fields and rows as spreadsheets and pandas do: quotes count at the beginning of a field only.
#[derive(Default)]
struct Splitter {
    state: State,
    /// The field that is kept; absent: all are.
    wanted: Option<usize>,
    index: usize,
    field: Vec<u8>,
    fields: Vec<Vec<u8>>,
}

impl Splitter {
    /// Takes the next byte. True at the end of a row.
    fn feed(&mut self, byte: u8) -> bool {
        match (self.state, byte) {
            (State::Start, b'"') => self.state = State::Quoted,
            (State::Quoted, b'"') => self.state = State::Quote,
            (State::Quote, b'"') => {
                self.state = State::Quoted;
                self.keep(byte);
            }
            (State::Quoted, _) => self.keep(byte),
            (_, b',') => self.end_field(),
            (_, b'\n' | b'\r') => {
                self.end_field();
                return true;
            }
            (_, _) => {
                self.state = State::Plain;
                self.keep(byte);
            }
        }
        false
    }

    fn keep(&mut self, byte: u8) {
        if self.wanted.is_none_or(|wanted| wanted == self.index) {
            self.field.push(byte);
        }
    }

    fn end_field(&mut self) {
        if self.wanted.is_none_or(|wanted| wanted == self.index) {
            self.fields.push(std::mem::take(&mut self.field));
        }
        self.index += 1;
        self.state = State::Start;
    }

    fn next_row(&mut self) {
        self.index = 0;
        self.fields.clear();
        self.field.clear();
        self.state = State::Start;
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    const FROM: i64 = 1_325_376_000; // 2012-01-01

    fn cut_text(text: &[u8], date: Option<&str>) -> Result<Vec<u8>, String> {
        let (end, mut output) = (CancellationToken::new(), Vec::new());
        let asked = Cut { from: FROM, date, end: &end };
        match cut(&mut &text[..], &mut output, &asked) {
            Ok(()) => Ok(output),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn rows_before_the_day_stay_as_they_are() {
        for (text, kept) in [
            ("Date,a\n2011-12-31,1\n2012-01-01,2\n2011-01-01,3\n", "Date,a\n2011-12-31,1\n2011-01-01,3\n"),
            ("Date,a\r\n2011-12-31,1\r\n\r\n2012-01-01,2\r\n\r\n", "Date,a\r\n2011-12-31,1\r\n\r\n"),
            (
                "a,date\n\"x, \"\"y\"\"\n2012-05-05\",20111231\nz,20120101",
                "a,date\n\"x, \"\"y\"\"\n2012-05-05\",20111231\n",
            ),
            (
                "\u{feff}\"Date\",a\r2011-12-31T23:59:59-05:00,1\r2012-01-01 00:00,2\r",
                "\u{feff}\"Date\",a\r2011-12-31T23:59:59-05:00,1\r",
            ),
            (
                "time,a\n1325375999,1\n1325376000,2\n1325375999999,3\n1325376000000,4\n1325375999999999999,5\n1325376000000000000,6",
                "time,a\n1325375999,1\n1325375999999,3\n1325375999999999999,5\n",
            ),
            (
                "date,a\n5\" pipe",
                "line 2: column \"date\" has \"5\\\" pipe\", which is no date; write 2012-01-03",
            ),
            ("date,a\n2011-01-01,5\" pipe\n2012-01-01,6\"\n", "date,a\n2011-01-01,5\" pipe\n"),
            ("date,a\n 2011-01-01 ,1", "date,a\n 2011-01-01 ,1"),
            ("date\n", "date\n"),
            ("", ""),
        ] {
            let told = cut_text(text.as_bytes(), None);
            let told = told.map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_else(|error| error);
            assert_eq!(told, kept, "{text:?}");
        }
        let other = cut_text(b"Date,known\n2011-01-01,2012-01-05\n2011-01-01,2011-02-01\n", Some("known"));
        assert_eq!(other.unwrap(), b"Date,known\n2011-01-01,2011-02-01\n");
    }

    #[test]
    fn what_can_not_be_cut_is_named() {
        for (text, date, part) in [
            ("Open,Close\n1,2\n", None, r#"it has no column of dates: it has "Open", "Close""#),
            ("Date,Close\n1,2\n", Some("day"), r#"it has no column "day": it has "Date", "Close""#),
            ("Date;Close\n2011-01-01;2\n", None, r#"it has "Date;Close""#),
            (
                "Date,a\n2011-01-01,1\nMonday,1\n",
                None,
                r#"line 3: column "Date" has "Monday", which is no date"#,
            ),
            ("Date,a\n,1\n", None, r#"line 2: column "Date" has """#),
            ("a,Date\n1\n", None, r#"line 2: column "Date" has """#),
            // Positions in a list are no dates, however an index is called.
            (",a\n0,1\n1,1\n", None, r#"column "" has "0""#),
            ("date,a\n40911,1\n", None, r#"has "40911""#),
            ("date,a\n2011-01-01,\"1\n2012-01-01,2\n", None, "ends within quotes"),
        ] {
            let error = cut_text(text.as_bytes(), date).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    /// What an independent reader keeps of a file.
    fn by_other_reader(text: &[u8]) -> Vec<csv::ByteRecord> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text);
        let records: Vec<_> = reader.byte_records().map(Result::unwrap).collect();
        let kept = |(index, record): &(usize, csv::ByteRecord)| {
            *index == 0 || dates::of_text(std::str::from_utf8(&record[1]).unwrap()).unwrap() < FROM
        };
        records.into_iter().enumerate().filter(kept).map(|(_, record)| record).collect()
    }

    proptest::proptest! {
        /// Kept rows are those before the day, their bytes are a part of the file's, and nothing of others is left.
        #[test]
        fn an_independent_reader_finds_the_same_rows(
            rows in proptest::collection::vec(("[a-z,\"\r\n ]{0,6}", 0_i64..2_000, 0_usize..4), 0..30),
            ends in proptest::collection::vec(0_usize..3, 31),
        ) {
            let end = |row: usize| ["\n", "\r\n", "\r"][ends[row]];
            let mut text = format!("note,date{}", end(0));
            let mut expected = text.clone();
            for (index, (note, days, form)) in rows.iter().enumerate() {
                let time = FROM + (days - 1_000) * 86_400;
                let date = jiff::Timestamp::from_second(time).unwrap().strftime("%Y-%m-%d").to_string();
                let date = match form {
                    0 => date,
                    1 => date.replace('-', ""),
                    2 => format!("\"{date} 00:00:00+09:00\""),
                    _ => (time * 1_000).to_string(),
                };
                let note = note.replace('"', "\"\"");
                let row = format!("\"{note}\",{date}{}", end(index + 1));
                text += &row;
                if *days < 1_000 {
                    expected += &row;
                }
            }
            let kept = cut_text(text.as_bytes(), None).unwrap();
            proptest::prop_assert_eq!(&kept, expected.as_bytes());
            let mut other = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(&kept[..]);
            let found: Vec<_> = other.byte_records().map(Result::unwrap).collect();
            proptest::prop_assert_eq!(found, by_other_reader(text.as_bytes()));
        }
    }
}
