//! Reads a log while it grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_model::log::LogLine;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::PIECE;
use super::kept::after_zeros;

/// How often a reader that has caught up looks for more. Also how late a line may reach `logs -f`.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A line of a log, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedLine {
    pub line: LogLine,
    /// Where the next one begins.
    pub end: u64,
    /// In this file, by its inode: a log that is written anew is another one.
    pub file: u64,
}

/// Where to begin: here if it is this file, at the beginning of any other one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    pub file: u64,
    pub at: u64,
}

/// The lines that a log has now. With `follow`, also the lines that come later, until the log is finished or removed; a
/// log that does not exist yet is waited for as long as its directory exists.
pub fn lines(path: &Path, start: Start, follow: bool) -> BoxStream<'static, PlacedLine> {
    let reader =
        LogReader { path: path.to_owned(), file: None, start, torn: Vec::new(), in_hole: false, follow };
    let pieces = stream::unfold(reader, |mut reader| async move {
        loop {
            // The disk may stall: it is read in a thread where that blocks no other task.
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

struct LogReader {
    path: PathBuf,
    file: Option<File>,
    start: Start,
    /// The beginning of a line that is not whole yet.
    torn: Vec<u8>,
    /// A hole was met, and the line that it cuts through is to be left out.
    in_hole: bool,
    follow: bool,
}

enum Piece {
    Lines(Vec<PlacedLine>),
    NotYet,
    End,
}

impl LogReader {
    fn piece(&mut self) -> io::Result<Piece> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match open(&self.path, self.start) {
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
        let here = file.stream_position()?;
        let mut fresh = &piece[..read];
        if self.in_hole {
            let line = fresh.iter().position(|byte| *byte == b'\n');
            let Some(line) = line else { return Ok(Piece::Lines(Vec::new())) };
            fresh = &fresh[line + 1..];
            self.in_hole = false;
        }
        self.torn.extend_from_slice(fresh);
        let lines = self.whole_lines(here, state.ino());
        // Lines begin with a time; only what was taken out is zeros.
        if self.torn.first() == Some(&0) {
            self.skip_hole(here - self.torn.len() as u64)?;
        }
        Ok(Piece::Lines(lines))
    }

    fn skip_hole(&mut self, from: u64) -> io::Result<()> {
        self.torn.clear();
        self.in_hole = true;
        if let Some(mut file) = self.file.as_ref() {
            let to = after_zeros(file, from)?;
            file.seek(SeekFrom::Start(to))?;
        }
        Ok(())
    }

    /// Takes out the lines that are whole; what was read so far ends here.
    fn whole_lines(&mut self, here: u64, file: u64) -> Vec<PlacedLine> {
        let mut end = here - self.torn.len() as u64;
        let whole = self.torn.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.torn.split_off(whole);
        let whole = std::mem::replace(&mut self.torn, rest);
        let lines = whole.split_inclusive(|byte| *byte == b'\n');
        let placed = |line: &[u8]| {
            end += line.len() as u64;
            LogLine::decode(line).ok().map(|line| PlacedLine { line, end, file })
        };
        lines.filter_map(placed).collect()
    }
}

fn open(path: &Path, start: Start) -> io::Result<File> {
    let mut file = File::open(path)?;
    if start.at > 0 && file.metadata()?.ino() == start.file {
        file.seek(SeekFrom::Start(start.at))?;
    }
    Ok(file)
}
