//! CSV as RFC 4180 has it, and nothing else: what other readers repair in silence is refused with its line.
//!
//! A cell keeps its text byte for byte, and whether it stood in quotes.

use std::borrow::Cow;

/// The cells of one line (of several, where a quoted cell has line breaks).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins, counted from 1.
    pub line: u32,
    pub cells: Vec<CsvCell>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvCell {
    pub text: String,
    pub quoted: bool,
}

/// What is wrong, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedCsv {
    pub line: u32,
    pub message: String,
}

/// Reads a text record by record.
pub struct CsvReader<'t> {
    rest: &'t str,
    line: u32,
}

impl CsvCell {
    /// True for an empty cell without quotes.
    pub fn is_missing(&self) -> bool {
        self.text.is_empty() && !self.quoted
    }
}

impl<'t> CsvReader<'t> {
    /// A byte order mark at the beginning is no part of the first cell.
    pub fn new(text: &'t str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
    }

    /// The next record; none at the end. Empty lines may only stand at the end.
    pub fn record(&mut self) -> Result<Option<Record>, MalformedCsv> {
        if self.rest.trim_matches(['\n', '\r']).is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut cells = Vec::new();
        loop {
            cells.push(self.cell()?);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            self.end_of_line()?;
            break;
        }
        if let [only] = &cells[..]
            && only.is_missing()
        {
            return Err(MalformedCsv { line, message: "the line is empty; take it out".to_owned() });
        }
        Ok(Some(Record { line, cells }))
    }

    fn cell(&mut self) -> Result<CsvCell, MalformedCsv> {
        match self.rest.strip_prefix('"') {
            Some(quoted) => self.quoted(quoted),
            None => {
                let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at(end);
                if text.contains('"') {
                    return self.fails("a quote stands inside of a cell; put the whole cell into quotes, and double each quote in it");
                }
                self.rest = rest;
                Ok(CsvCell { text: text.to_owned(), quoted: false })
            }
        }
    }

    fn quoted(&mut self, mut rest: &'t str) -> Result<CsvCell, MalformedCsv> {
        let mut text = String::new();
        let mut line = self.line;
        loop {
            let Some((before, after)) = rest.split_once('"') else {
                return self.fails("a quote opens a cell here, and nothing closes it");
            };
            text.push_str(before);
            line += breaks(before);
            match after.strip_prefix('"') {
                Some(more) => {
                    text.push('"');
                    rest = more;
                }
                None => {
                    rest = after;
                    break;
                }
            }
        }
        self.line = line;
        if !(rest.is_empty() || rest.starts_with([',', '\n', '\r'])) {
            return self.fails(
                "text follows the quote that closes a cell; double the quotes that belong to the cell",
            );
        }
        self.rest = rest;
        Ok(CsvCell { text, quoted: true })
    }

    fn end_of_line(&mut self) -> Result<(), MalformedCsv> {
        let rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
        match rest {
            Some(rest) => {
                self.rest = rest;
                self.line += 1;
                Ok(())
            }
            None if self.rest.is_empty() => Ok(()),
            None => self.fails("a carriage return stands without a line feed; end lines with LF or CRLF"),
        }
    }

    fn fails<T>(&self, message: &str) -> Result<T, MalformedCsv> {
        Err(MalformedCsv { line: self.line, message: message.to_owned() })
    }
}

fn breaks(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

/// A text as a cell of a table that may be opened in a spreadsheet: what a spreadsheet would compute, and what could call
/// other programs, begins with a quote there, as [OWASP advises](https://owasp.org/www-community/attacks/CSV_Injection).
/// Numbers stay as they are.
pub fn without_formula(text: &str) -> Cow<'_, str> {
    let begins = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    match text.starts_with(begins) && text.parse::<f64>().is_err() {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

/// Another separator than the comma, if the header of one cell is full of it.
pub fn other_separator(header: &str) -> Option<&'static str> {
    [(';', "`;`"), ('\t', "tabs"), ('|', "`|`")]
        .into_iter()
        .find_map(|(separator, name)| header.contains(separator).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Record>, MalformedCsv> {
        let mut reader = CsvReader::new(text);
        let mut records = Vec::new();
        while let Some(record) = reader.record()? {
            records.push(record);
        }
        Ok(records)
    }

    fn texts(text: &str) -> Vec<Vec<String>> {
        let cells = |record: Record| record.cells.into_iter().map(|cell| cell.text).collect();
        read(text).unwrap().into_iter().map(cells).collect()
    }

    #[test]
    fn cells_are_kept_byte_for_byte() {
        assert_eq!(texts("a,b\r\n1, 2\r\n"), [["a", "b"], ["1", " 2"]]);
        assert_eq!(
            texts("\u{feff}a,b\n\"x \"\"y\"\", z\",\"two\nlines\""),
            [["a", "b"], ["x \"y\", z", "two\nlines"]]
        );
        assert_eq!(texts("a,\n\n\r\n"), [["a", ""]]);
        assert!(texts("").is_empty());
        let cells = read("\"\",,x").unwrap().remove(0).cells;
        let missing: Vec<bool> = cells.iter().map(CsvCell::is_missing).collect();
        assert_eq!(missing, [false, true, false]);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in
            ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "-", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\u{ff1d}1"]
        {
            assert_eq!(without_formula(text), format!("'{text}"));
        }
        for text in ["", "a=1", "-5", "+1.5e3", "-inf", "'=1", " =1", "2020-01-01"] {
            assert_eq!(without_formula(text), text);
        }
    }

    #[test]
    fn records_know_their_line() {
        let lines: Vec<u32> = read("a\n\"1\n2\"\n3\n").unwrap().iter().map(|record| record.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn what_is_not_rfc_4180_is_refused_with_its_line() {
        for (text, line, part) in [
            ("a,b\n1,\"2\n3,4\n", 2, "nothing closes it"),
            ("a\nx\"y\n", 2, "inside of a cell"),
            ("a\n \"y\"\n", 2, "inside of a cell"),
            ("a\n\"x\"y\n", 2, "follows the quote"),
            ("a\n\"x\" ,1\n", 2, "follows the quote"),
            ("a\n\"x\ny\"z\n", 3, "follows the quote"),
            ("a\n1\n\n2\n", 3, "is empty"),
            ("\na\n1\n", 1, "is empty"),
            ("a\r1\r2\r", 1, "carriage return"),
        ] {
            let malformed = read(text).unwrap_err();
            assert_eq!(malformed.line, line, "{text:?}: {malformed:?}");
            assert!(malformed.message.contains(part), "{text:?}: {malformed:?}");
        }
    }
}
