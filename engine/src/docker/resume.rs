//! Where a reader of the Engine's log goes on: behind a line of this run of the agent, or behind the bytes that an earlier
//! run has kept.

use bt_model::log::{LogLine, Stream as Source};
use jiff::Timestamp;

use crate::LogPlace;
use crate::place::Taken;

/// A place in the Engine's log: behind `seen` lines, of which the first is the first one with this time, the latest that
/// came before. Pieces of one long line carry the same time, and times step back a little where two streams meet, so
/// the time of the last line alone is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) time: Timestamp,
    /// At least 1.
    pub(super) seen: u64,
}

impl Mark {
    /// The place behind a line with time `time` that follows the place `mark`.
    pub(super) fn after(mark: Option<Self>, time: Timestamp) -> Self {
        match mark {
            Some(mark) if mark.time >= time => Self { time: mark.time, seen: mark.seen + 1 },
            _ => Self { time, seen: 1 },
        }
    }
}

/// Leaves out the bytes that are known. The lines must come from the log's beginning.
///
/// An Engine that has dropped the beginning (it keeps so much of a log and no more) is noticed by how the log begins
/// now: then lines are left out by their time, and a line tells that some may be missing.
#[derive(Debug)]
pub(super) struct Resume {
    known: LogPlace,
    /// How far the Engine's log has been read.
    read: LogPlace,
    beginning_is_gone: bool,
    is_told: bool,
}

impl Resume {
    pub(super) fn at(place: Option<LogPlace>) -> Self {
        let known = place.unwrap_or_default();
        Self { known, read: LogPlace::default(), beginning_is_gone: false, is_told: false }
    }

    /// A line that came in another way than by the Engine's log.
    pub(super) fn took(&mut self, line: &LogLine) {
        self.known.take(line);
    }

    /// What is not known yet of the next line of the Engine's log.
    pub(super) fn rest_of(&mut self, mut line: LogLine) -> Vec<LogLine> {
        let known = self.known.side(line.stream).clone();
        let read = self.read.side(line.stream).bytes;
        self.read.take(&line);
        self.beginning_is_gone |= read < known.bytes && !matches_head(&known, read, &line.text);
        if self.beginning_is_gone {
            return self.later(line);
        }
        let is_known = usize::try_from(known.bytes.saturating_sub(read)).unwrap_or(usize::MAX);
        if is_known >= line.text.len() && is_known > 0 {
            return Vec::new();
        }
        line.text.drain(..is_known);
        vec![line]
    }

    fn later(&mut self, line: LogLine) -> Vec<LogLine> {
        if line.time <= self.known.last {
            return Vec::new();
        }
        if std::mem::replace(&mut self.is_told, true) {
            return vec![line];
        }
        let text = b"btctl: the engine keeps no more of the log from here; lines may be missing\n".to_vec();
        vec![LogLine { time: line.time, stream: Source::Stderr, text }, line]
    }
}

/// Whether a text at this place is what a stream begins with, if that is known. An asterisk may stand for a byte that was not
/// to be kept.
fn matches_head(known: &Taken, at: u64, text: &[u8]) -> bool {
    let head = usize::try_from(at).ok().and_then(|at| known.head.get(at..)).unwrap_or_default();
    let both = head.len().min(text.len());
    head[..both].iter().zip(text).all(|(kept, byte)| kept == byte || *kept == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, stream: Source, text: &str) -> LogLine {
        LogLine { time: Timestamp::from_second(second).unwrap(), stream, text: text.as_bytes().to_vec() }
    }

    fn out(second: i64, text: &str) -> LogLine {
        line(second, Source::Stdout, text)
    }

    fn rest(known: &[LogLine], engine: Vec<LogLine>) -> String {
        let mut place = LogPlace::default();
        known.iter().for_each(|line| place.take(line));
        let mut resume = Resume::at(Some(place));
        let lines = engine.into_iter().flat_map(|line| resume.rest_of(line));
        lines.map(|line| String::from_utf8(line.text).unwrap()).collect()
    }

    #[test]
    fn a_mark_counts_lines_of_one_time() {
        let (first, second) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let mark = Mark::after(None, first);
        assert_eq!(mark.seen, 1);
        let mark = Mark::after(Some(mark), first);
        assert_eq!(mark.seen, 2);
        assert_eq!(Mark::after(Some(mark), second), Mark { time: second, seen: 1 });
    }

    #[test]
    fn known_bytes_are_left_out_wherever_lines_were_cut() {
        let err = |text| line(1, Source::Stderr, text);
        let engine = || vec![out(1, "abc\n"), err("e\n"), out(1, "def\n"), out(1, "ghi\n")];
        assert_eq!(rest(&[], engine()), "abc\ne\ndef\nghi\n");
        assert_eq!(rest(&[out(9, "abc\nd")], engine()), "e\nef\nghi\n");
        assert_eq!(rest(&[out(9, "a**\nd")], engine()), "e\nef\nghi\n");
        assert_eq!(rest(&[out(9, "ab"), err("e\n"), out(9, "c\n")], engine()), "def\nghi\n");
        assert_eq!(rest(&[out(9, "abc\ndef\nghi\n"), err("e\n")], engine()), "");
    }

    #[test]
    fn a_log_without_its_beginning_goes_on_by_time_and_tells_so() {
        let known = [out(1, "line 1\n"), out(2, "line 2\n"), out(3, "line 3\n")];
        let engine = vec![out(2, "line 2\n"), out(3, "line 3\n"), out(4, "line 4\n")];
        let rest = rest(&known, engine);
        assert!(rest.starts_with("btctl: ") && rest.ends_with("be missing\nline 4\n"), "{rest}");
    }
}
