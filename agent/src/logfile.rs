//! An attempt's log on this machine's disk: written by one, read by any number while it grows, and taken up again
//! after a restart of the agent without losing or doubling a line.
//!
//! All that is known about a log is in its file, so a reader needs nothing but the path. A file that its owner may not
//! write is finished; one that has been removed is too.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_model::log::{LogLine, Stream as Source};
use bt_model::resources::ByteSize;
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use crate::engine::LogMark;

/// How often a reader that has caught up looks for more. Also how late a line may reach `logs -f`.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes that a reader takes at once.
const PIECE: usize = 256 << 10;
/// The longest line that is read back. Docker cuts lines at 16 KiB, so a longer one is no line of ours.
const LONGEST_LINE: usize = 1 << 20;

const GROWING: u32 = 0o600;
const FINISHED: u32 = 0o400;

/// The one that writes a log.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    size: u64,
    limit: u64,
    /// The limit was reached and told; nothing more is kept.
    cut: bool,
    encoded: Vec<u8>,
}

impl LogFile {
    /// Opens the log, or begins it. The mark is the place behind its last line; a line that was only half written is
    /// cut off before. Past `limit` bytes the log says that it was cut, and keeps no more.
    pub(crate) fn open(path: &Path, limit: u64) -> io::Result<(Self, Option<LogMark>)> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(GROWING).open(path);
        let file = match file {
            // It was finished before the agent restarted, and is now to be compared with what the engine has.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::set_permissions(path, Permissions::from_mode(GROWING))?;
                OpenOptions::new().read(true).append(true).open(path)?
            }
            file => file?,
        };
        file.set_permissions(Permissions::from_mode(GROWING))?;
        let kept = Kept::read(&file, limit)?;
        file.set_len(kept.size)?;
        let log = Self { file, size: kept.size, limit, cut: kept.cut, encoded: Vec::new() };
        Ok((log, kept.mark))
    }

    /// Keeps a line; readers see it at once. Past the limit it is dropped.
    pub(crate) fn append(&mut self, line: &LogLine) -> io::Result<()> {
        if self.cut {
            return Ok(());
        }
        self.encoded.clear();
        line.encode(&mut self.encoded);
        if self.size + self.encoded.len() as u64 > self.limit {
            self.cut = true;
            self.encoded.clear();
            cut_line(line.time, self.limit).encode(&mut self.encoded);
        }
        if let Err(error) = self.file.write_all(&self.encoded) {
            // A line of which only a part fitted on the disk would spoil the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += self.encoded.len() as u64;
        Ok(())
    }

    /// Ends the log: readers that have read it all end too.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(FINISHED))
    }
}

fn cut_line(time: Timestamp, limit: u64) -> LogLine {
    let text = format!("btctl: log cut at {}\n", ByteSize(limit)).into_bytes();
    LogLine { time, stream: Source::Stderr, text }
}

/// What an earlier run left in a log.
struct Kept {
    /// Bytes of whole lines.
    size: u64,
    mark: Option<LogMark>,
    cut: bool,
}

impl Kept {
    fn read(file: &File, limit: u64) -> io::Result<Self> {
        let mut kept = Self { size: 0, mark: None, cut: false };
        let mut reader = BufReader::with_capacity(PIECE, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
            if read == 0 || line.last() != Some(&b'\n') {
                return Ok(kept);
            }
            // What follows a line that can't be read, as a power cut may leave it, can't be trusted either.
            let Ok(decoded) = LogLine::decode(&line) else {
                return Ok(kept);
            };
            kept.size += read as u64;
            kept.cut = decoded == cut_line(decoded.time, limit);
            if !kept.cut {
                kept.mark = Some(LogMark::after(kept.mark, decoded.time));
            }
        }
    }
}

/// The log from its beginning, as far as it is written now.
pub(crate) fn read(path: &Path) -> BoxStream<'static, LogLine> {
    lines(path, false)
}

/// The log from its beginning, and what comes, until it is finished or removed. Waits for a log that is not begun, as
/// long as its directory is there.
pub(crate) fn follow(path: &Path) -> BoxStream<'static, LogLine> {
    lines(path, true)
}

fn lines(path: &Path, follow: bool) -> BoxStream<'static, LogLine> {
    let reader = Reader { path: path.to_owned(), file: None, torn: Vec::new(), follow };
    let pieces = stream::unfold(reader, |mut reader| async move {
        loop {
            // The disk may stall, so it is read where that blocks nobody.
            let (back, piece) = tokio::task::spawn_blocking(move || {
                let piece = reader.piece();
                (reader, piece)
            })
            .await
            .ok()?;
            reader = back;
            match piece {
                Ok(Piece::Lines(lines)) => return Some((stream::iter(lines), reader)),
                Ok(Piece::NotYet) => tokio::time::sleep(LOOK_INTERVAL).await,
                Ok(Piece::End) => return None,
                Err(error) => {
                    tracing::warn!(log = %reader.path.display(), %error, "a log can't be read");
                    return None;
                }
            }
        }
    });
    pieces.flatten().boxed()
}

struct Reader {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line that is not whole yet.
    torn: Vec<u8>,
    follow: bool,
}

enum Piece {
    Lines(Vec<LogLine>),
    NotYet,
    End,
}

impl Reader {
    fn piece(&mut self) -> io::Result<Piece> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(&self.path) {
                Ok(file) => none.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let awaited = self.follow && self.path.parent().is_some_and(Path::exists);
                    return Ok(if awaited { Piece::NotYet } else { Piece::End });
                }
                Err(error) => return Err(error),
            },
        };
        // Looked at before reading, so that nothing written before the end is missed.
        let state = file.metadata()?;
        let ended = !self.follow || state.mode() & 0o200 == 0 || state.nlink() == 0;
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(if ended { Piece::End } else { Piece::NotYet });
        }
        self.torn.extend_from_slice(&piece[..read]);
        Ok(Piece::Lines(self.whole_lines()))
    }

    fn whole_lines(&mut self) -> Vec<LogLine> {
        let end = self.torn.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.torn.split_off(end);
        let whole = std::mem::replace(&mut self.torn, rest);
        let lines = whole.split_inclusive(|byte| *byte == b'\n');
        lines.filter_map(|line| LogLine::decode(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn line(second: i64, text: &str) -> LogLine {
        let time = Timestamp::from_second(second).unwrap();
        LogLine { time, stream: Source::Stdout, text: text.as_bytes().to_vec() }
    }

    async fn all(lines: BoxStream<'static, LogLine>) -> Vec<String> {
        let lines = tokio::time::timeout(Duration::from_secs(20), lines.collect::<Vec<_>>()).await.unwrap();
        lines.into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        (dir, path)
    }

    #[tokio::test]
    async fn a_follower_sees_what_is_written_before_and_after_it_came() {
        let (_dir, path) = place();
        let early = tokio::task::JoinSet::from_iter([all(follow(&path))]);
        let (mut log, mark) = LogFile::open(&path, LIMIT).unwrap();
        assert_eq!(mark, None);
        log.append(&line(1, "a\n")).unwrap();
        assert_eq!(all(read(&path)).await, ["a\n"]);
        let mut late = follow(&path);
        assert_eq!(late.next().await.unwrap(), line(1, "a\n"));
        log.append(&line(2, "no newline")).unwrap();
        assert_eq!(late.next().await.unwrap(), line(2, "no newline"));
        log.finish().unwrap();
        assert_eq!(late.next().await, None);
        assert_eq!(early.join_all().await, [["a\n", "no newline"]]);
    }

    #[tokio::test]
    async fn a_log_is_taken_up_where_it_was_left() {
        let (_dir, path) = place();
        let (mut log, _) = LogFile::open(&path, LIMIT).unwrap();
        for text in ["a\n", "piece", "piece"] {
            log.append(&line(if text == "a\n" { 1 } else { 2 }, text)).unwrap();
        }
        drop(log);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"1970-01-01T00:00:03.000000000Z stdout F tor").unwrap();
        let (mut log, mark) = LogFile::open(&path, LIMIT).unwrap();
        let two = Timestamp::from_second(2).unwrap();
        assert_eq!(mark, Some(LogMark { time: two, seen: 2 }));
        log.append(&line(3, "whole\n")).unwrap();
        log.finish().unwrap();
        assert_eq!(all(follow(&path)).await, ["a\n", "piece", "piece", "whole\n"]);
        let (_, mark) = LogFile::open(&path, LIMIT).unwrap();
        assert_eq!(mark, Some(LogMark { time: Timestamp::from_second(3).unwrap(), seen: 1 }));
    }

    #[tokio::test]
    async fn a_log_past_its_limit_says_so_once() {
        let (_dir, path) = place();
        for round in 0..2 {
            let (mut log, _) = LogFile::open(&path, 1024).unwrap();
            for second in 0..100 {
                log.append(&line(round * 100 + second, "0123456789\n")).unwrap();
            }
            log.finish().unwrap();
        }
        let lines = all(follow(&path)).await;
        let (last, kept) = lines.split_last().unwrap();
        assert_eq!(last, "btctl: log cut at 1 KiB\n");
        assert!(!kept.is_empty() && kept.iter().all(|text| text == "0123456789\n"));
        assert!(fs::metadata(&path).unwrap().len() < 1200);
    }

    #[tokio::test]
    async fn a_follower_ends_when_the_log_is_removed() {
        let (dir, path) = place();
        let (_log, _) = LogFile::open(&path, LIMIT).unwrap();
        let following =
            tokio::task::JoinSet::from_iter([all(follow(&path)), all(follow(&dir.path().join("none")))]);
        dir.close().unwrap();
        assert_eq!(following.join_all().await, [Vec::<String>::new(), Vec::new()]);
    }

    #[tokio::test]
    async fn many_lines_come_whole() {
        let (_dir, path) = place();
        let (mut log, _) = LogFile::open(&path, 64 << 20).unwrap();
        let following = tokio::task::JoinSet::from_iter([all(follow(&path))]);
        let text = "x".repeat(100);
        for second in 0..20_000 {
            log.append(&line(second, &text)).unwrap();
        }
        log.finish().unwrap();
        let read = following.join_all().await.remove(0);
        assert_eq!(read.len(), 20_000);
        assert!(read.iter().all(|read| *read == text));
    }
}
