//! Gives long lines their newlines back.
//!
//! Docker's `local` driver keeps a line of more than 16 KiB in pieces. Before Docker 23 (API 1.42) it gives out the last
//! of them without the newline that ended the line.

use bt_model::log::{LogLine, Stream as Source};

/// Where the driver cuts a line.
const PIECE: usize = 16 << 10;

/// What one stream of a log is at.
#[derive(Debug, Default)]
struct Side {
    /// The piece before was full, so the line goes on.
    goes_on: bool,
    /// What may be the end of a long line: its newline is certain when another line follows it.
    held: Option<LogLine>,
}

#[derive(Debug, Default)]
pub(super) struct Mender {
    sides: [Side; 2],
    /// The Engine leaves these newlines out.
    engine_forgets: bool,
}

impl Mender {
    pub(super) fn new(engine_forgets: bool) -> Self {
        Self { engine_forgets, ..Self::default() }
    }

    fn side(&mut self, source: Source) -> &mut Side {
        &mut self.sides[usize::from(source == Source::Stderr)]
    }

    /// A line that was given out before.
    pub(super) fn skip(&mut self, line: &LogLine) {
        let side = self.side(line.stream);
        side.goes_on = is_full(line);
        side.held = None;
    }

    /// Takes a line, and gives out what is certain now.
    pub(super) fn take(&mut self, line: LogLine) -> impl Iterator<Item = LogLine> {
        let forgets = self.engine_forgets;
        let side = self.side(line.stream);
        let before = side.held.take().map(ended);
        let ends_long_line = side.goes_on && line.text.len() < PIECE && line.text.last() != Some(&b'\n');
        side.goes_on = is_full(&line);
        let now = match forgets && ends_long_line {
            true => {
                side.held = Some(line);
                None
            }
            false => Some(line),
        };
        before.into_iter().chain(now)
    }

    /// The log has ended. That its last line lacks a newline can't be told from a newline that was left out, and is
    /// the less likely.
    pub(super) fn end(&mut self) -> Vec<LogLine> {
        self.sides.iter_mut().filter_map(|side| side.held.take()).map(ended).collect()
    }
}

fn is_full(line: &LogLine) -> bool {
    line.text.len() == PIECE && line.text.last() != Some(&b'\n')
}

fn ended(mut line: LogLine) -> LogLine {
    line.text.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn mended(engine_forgets: bool, texts: &[&[u8]]) -> Vec<u8> {
        let mut mender = Mender::new(engine_forgets);
        let line = |text: &&[u8]| LogLine {
            time: Timestamp::UNIX_EPOCH,
            stream: Source::Stdout,
            text: text.to_vec(),
        };
        let mut lines: Vec<_> =
            texts.iter().map(line).flat_map(|line| mender.take(line).collect::<Vec<_>>()).collect();
        lines.extend(mender.end());
        lines.into_iter().flat_map(|line| line.text).collect()
    }

    #[test]
    fn long_lines_end_and_others_stay_as_they_are() {
        let full = vec![b'x'; PIECE];
        let joined = |parts: &[&[u8]]| parts.concat();
        assert_eq!(mended(true, &[&full, b"end", b"next\n"]), joined(&[&full, b"end\nnext\n"]));
        assert_eq!(mended(true, &[&full, &full, b"", b"a\n"]), joined(&[&full, &full, b"\na\n"]));
        assert_eq!(mended(true, &[&full, b"end"]), joined(&[&full, b"end\n"]));
        assert_eq!(mended(true, &[b"a\n", b"no newline"]), b"a\nno newline");
        assert_eq!(mended(true, &[&full, &full]), joined(&[&full, &full]));
        assert_eq!(mended(false, &[&full, b"end\n", b"b\n"]), joined(&[&full, b"end\nb\n"]));
        assert_eq!(mended(false, &[&full, b"end"]), joined(&[&full, b"end"]));
    }
}
