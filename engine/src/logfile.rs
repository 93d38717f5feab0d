//! An attempt's log on this machine's disk: written by one, read by any number while it grows, and taken up again
//! after a restart of the agent without losing or doubling a line.
//!
//! All that is known about a log is in its file, so a reader needs nothing but the path. A file that its owner may not
//! write is finished; one that has been removed is too.

mod kept;
mod read;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bt_model::log::{LogLine, Stream as Source};
use bt_model::resources::ByteSize;
use jiff::Timestamp;
use kept::{Kept, Note};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::LogPlace;

pub use read::{PlacedLine, Start, lines};

/// Bytes that a reader takes at once.
const PIECE: usize = 256 << 10;
/// The longest line that is read back. Docker cuts lines at 16 KiB, so a longer one is no line of ours.
const LONGEST_LINE: usize = 1 << 20;

/// A hole grows by such a part of the limit at a time.
const HOLE_PART: u64 = 16;

const GROWING: u32 = 0o600;
const FINISHED: u32 = 0o400;

/// The one that writes a log.
///
/// Of a log that outgrows its limit the first and the last half are kept: what lies between is taken out of the file as it
/// grows (a hole, where the file system can make one), and what was cut is told when the log ends.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    hole: Option<Hole>,
    /// No hole can be made here: the limit was reached and told, and nothing more is kept.
    cut: bool,
    /// What was taken so far, whatever of it is kept.
    taken: LogPlace,
    encoded: Vec<u8>,
}

/// What was taken out of a log. It begins and ends anywhere; the line that it cuts through is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    /// The end of a line.
    from: u64,
    to: u64,
}

impl LogFile {
    /// Opens the log, or begins it. The place is behind its last line; a line that was only half written is cut off
    /// before.
    pub fn open(path: &Path, limit: u64) -> io::Result<(Self, Option<LogPlace>)> {
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
        let kept = Kept::read(path, &file, limit)?;
        file.set_len(kept.size)?;
        let Kept { size, place, hole, cut } = kept;
        let taken = place.clone().unwrap_or_default();
        Ok((Self { path: path.to_owned(), file, size, limit, hole, cut, taken, encoded: Vec::new() }, place))
    }

    /// Keeps a line; readers see it at once.
    pub fn append(&mut self, line: &LogLine) -> io::Result<()> {
        if self.cut {
            return Ok(());
        }
        self.encoded.clear();
        line.encode(&mut self.encoded);
        // The hole begins with the line that would make the first half too long.
        if self.hole.is_none() && self.size + self.encoded.len() as u64 > self.limit / 2 {
            self.hole = Some(Hole { from: self.size, to: self.size });
        }
        if let Err(error) = self.file.write_all(&self.encoded) {
            // A line of which only a part fitted on the disk would spoil the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += self.encoded.len() as u64;
        self.taken.take(line);
        self.make_hole(line.time)
    }

    /// Takes out what lies between the first and the last half, not for every line but in pieces.
    fn make_hole(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(hole) = self.hole else { return Ok(()) };
        let piece = self.limit / HOLE_PART;
        let to = self.size.saturating_sub(self.limit / 2 - piece);
        if to < hole.to + piece {
            return Ok(());
        }
        self.note(&self.file, self.size)?;
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, punch, hole.from, to - hole.from) {
            Ok(()) => {
                self.hole = Some(Hole { to, ..hole });
                Ok(())
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.cut = true;
                self.encoded.clear();
                cut_line(now, self.limit).encode(&mut self.encoded);
                self.file.write_all(&self.encoded)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn note(&self, file: &File, size: u64) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        Note { inode, size, stdout: self.taken.stdout.bytes, stderr: self.taken.stderr.bytes }
            .write(&self.path)
    }

    /// Ends the log: readers that have read it all end too. One with a hole is written anew without it.
    pub fn finish(self) -> io::Result<()> {
        if let Some(hole) = self.hole.filter(|hole| hole.to > hole.from) {
            self.close_hole(hole)?;
        }
        self.file.set_permissions(Permissions::from_mode(FINISHED))
    }

    fn close_hole(&self, hole: Hole) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut whole =
            OpenOptions::new().write(true).create(true).truncate(true).mode(GROWING).open(&new)?;
        let mut old = File::open(&self.path)?;
        io::copy(&mut (&mut old).take(hole.from), &mut whole)?;
        old.seek(SeekFrom::Start(hole.to))?;
        let mut rest = BufReader::with_capacity(PIECE, old);
        let mut line = Vec::new();
        // What is left of the line that the hole cuts through.
        let torn = rest.read_until(b'\n', &mut line)? as u64;
        line.clear();
        rest.read_until(b'\n', &mut line)?;
        let time = LogLine::decode(&line).map_or(Timestamp::UNIX_EPOCH, |line| line.time);
        let mut told = Vec::new();
        left_out(time, hole.to + torn - hole.from, self.limit).encode(&mut told);
        whole.write_all(&told)?;
        whole.write_all(&line)?;
        io::copy(&mut rest, &mut whole)?;
        whole.set_permissions(Permissions::from_mode(FINISHED))?;
        self.note(&whole, whole.metadata()?.len())?;
        fs::rename(&new, &self.path)
    }
}

fn cut_line(time: Timestamp, limit: u64) -> LogLine {
    let text = format!("btctl: log cut at {}\n", ByteSize(limit)).into_bytes();
    LogLine { time, stream: Source::Stderr, text }
}

/// Stands for what was taken out of the middle of a log.
fn left_out(time: Timestamp, bytes: u64, limit: u64) -> LogLine {
    let (bytes, limit) = (ByteSize(bytes), ByteSize(limit));
    let text = format!("btctl: {bytes} of the log are cut out here; log_limit is {limit}\n").into_bytes();
    LogLine { time, stream: Source::Stderr, text }
}

/// What the job said last: the texts of the lines in the last `bytes` of its log.
pub fn last_words(path: &Path, bytes: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
        let mut text = Vec::new();
        file.take(bytes).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| LogLine::decode(line).ok());
    let words: Vec<u8> = lines.flat_map(|line| line.text).collect();
    String::from_utf8_lossy(&words).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream::{BoxStream, StreamExt};

    use super::*;

    fn read(path: &Path) -> BoxStream<'static, LogLine> {
        lines(path, Start::default(), false).map(|placed| placed.line).boxed()
    }

    fn follow(path: &Path) -> BoxStream<'static, LogLine> {
        lines(path, Start::default(), true).map(|placed| placed.line).boxed()
    }

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
        let (mut log, place) = LogFile::open(&path, LIMIT).unwrap();
        assert_eq!(place, None);
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
        let (mut log, found) = LogFile::open(&path, LIMIT).unwrap();
        let found = found.unwrap();
        assert_eq!((found.stdout.bytes, found.stderr.bytes, found.last.as_second()), (12, 0, 2));
        assert_eq!(found.stdout.head, b"a\npiecepiece");
        log.append(&line(3, "whole\n")).unwrap();
        log.finish().unwrap();
        assert_eq!(all(follow(&path)).await, ["a\n", "piece", "piece", "whole\n"]);
        let (_, found) = LogFile::open(&path, LIMIT).unwrap();
        assert_eq!(found.unwrap().stdout.bytes, 18);
    }

    /// Lines that tell their number, and how many bytes of disk they may take.
    const NUMBERED: i64 = 50_000;

    fn numbered(log: &mut LogFile, range: std::ops::Range<i64>) {
        for number in range {
            log.append(&line(number, &format!("line {number}\n"))).unwrap();
        }
    }

    #[tokio::test]
    async fn of_a_log_past_its_limit_head_and_tail_are_kept_and_what_was_cut_is_told() {
        let (_dir, path) = place();
        let limit = 256 << 10;
        let (mut log, _) = LogFile::open(&path, limit).unwrap();
        numbered(&mut log, 0..NUMBERED / 2);
        let on_disk = fs::metadata(&path).unwrap().blocks() * 512;
        assert!(on_disk < limit + limit / 4, "{on_disk} bytes on the disk");
        // An agent that restarts finds its place behind the hole.
        drop(log);
        let (mut log, found) = LogFile::open(&path, limit).unwrap();
        let bytes =
            |lines: i64| (0..lines).map(|number| format!("line {number}\n").len() as u64).sum::<u64>();
        let found = found.unwrap();
        assert_eq!(found.last, Timestamp::from_second(NUMBERED / 2 - 1).unwrap());
        assert_eq!(found.stdout.bytes, bytes(NUMBERED / 2), "what was cut out counts");
        numbered(&mut log, NUMBERED / 2..NUMBERED);
        let live = all(read(&path)).await;
        assert_eq!(live.last().unwrap(), &format!("line {}\n", NUMBERED - 1));
        log.finish().unwrap();
        let lines = all(follow(&path)).await;
        assert!(fs::metadata(&path).unwrap().len() <= limit + 4096);
        assert_eq!(lines.first().unwrap(), "line 0\n");
        assert_eq!(lines.last().unwrap(), &format!("line {}\n", NUMBERED - 1));
        let cuts: Vec<_> = lines.iter().filter(|text| text.starts_with("btctl: ")).collect();
        assert!(matches!(&cuts[..], [cut] if cut.contains("cut out here; log_limit is 256 KiB")), "{cuts:?}");
        let whole = |text: &&String| text.starts_with("line ") || text.starts_with("btctl: ");
        assert!(lines.iter().all(|text| whole(&text)));
        assert_eq!(lines.len() - 1, live.len(), "a reader of the growing log sees the same lines");
        let (_, found) = LogFile::open(&path, limit).unwrap();
        assert_eq!(found.unwrap().stdout.bytes, bytes(NUMBERED), "so it does when the log was written anew");
    }

    #[tokio::test]
    async fn a_follower_that_is_overtaken_goes_on_behind_the_hole() {
        let (_dir, path) = place();
        let (mut log, _) = LogFile::open(&path, 64 << 10).unwrap();
        let mut slow = follow(&path);
        numbered(&mut log, 0..10);
        assert_eq!(slow.next().await.unwrap(), line(0, "line 0\n"));
        numbered(&mut log, 10..NUMBERED);
        log.finish().unwrap();
        let rest = all(slow).await;
        assert_eq!(rest.last().unwrap(), &format!("line {}\n", NUMBERED - 1));
        assert!(rest.iter().all(|text| text.starts_with("line ")));
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_another_one_was() {
        let (_dir, path) = place();
        let (mut log, _) = LogFile::open(&path, 256 << 10).unwrap();
        numbered(&mut log, 0..NUMBERED);
        let all: Vec<_> = lines(&path, Start::default(), false).collect().await;
        // Before the hole, at the line behind it, and at the end.
        let behind =
            all.windows(2).position(|two| two[1].line.time.as_second() > two[0].line.time.as_second() + 1);
        for index in [0, 10, behind.unwrap(), behind.unwrap() + 1, all.len() - 1] {
            let start = Start { file: all[index].file, at: all[index].end };
            let rest: Vec<_> = lines(&path, start, false).collect().await;
            assert_eq!(rest, all[index + 1..], "from line {index}");
        }
        // The file that is written anew is another one, and read from its beginning.
        let start = Start { file: all[10].file, at: all[10].end };
        log.finish().unwrap();
        let anew: Vec<_> = lines(&path, start, true).collect().await;
        assert_eq!(anew[0].line.text, b"line 0\n");
        assert_ne!(anew[0].file, start.file);
    }

    #[test]
    fn last_words_are_the_last() {
        let (_dir, path) = place();
        let (mut log, _) = LogFile::open(&path, LIMIT).unwrap();
        numbered(&mut log, 0..1000);
        log.append(&line(1000, "can't start new thread")).unwrap();
        let words = last_words(&path, 1024);
        assert!(words.ends_with("line 999\ncan't start new thread") && words.len() < 1024);
        assert_eq!(last_words(&path.with_extension("none"), 1024), "");
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
