//! What an earlier run left in a log, and how many bytes of the job's that is.
//!
//! A log that lost its middle has not all the bytes that were taken. So before anything is taken out, a file beside the
//! log (`log.taken`) notes how many bytes of each stream had been taken when the log had a certain size; what follows is
//! counted in the log itself.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bt_model::log::LogLine;
use rustix::io::Errno;

use super::{GROWING, Hole, LONGEST_LINE, PIECE, cut_line};
use crate::LogPlace;

/// Bytes of notes that are kept.
const MOST_NOTES: u64 = 16 << 10;

/// What an earlier run left in a log.
pub(super) struct Kept {
    /// Bytes up to the end of the last whole line.
    pub(super) size: u64,
    pub(super) place: Option<LogPlace>,
    pub(super) hole: Option<Hole>,
    pub(super) cut: bool,
}

impl Kept {
    pub(super) fn read(path: &Path, mut file: &File, limit: u64) -> io::Result<Self> {
        let noted = Note::find(path, file)?;
        let mut kept = Self { size: 0, place: None, hole: None, cut: false };
        let mut reader = BufReader::with_capacity(PIECE, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
            if kept.hole.is_none() && line.first() == Some(&0) {
                let to = after_zeros(file, kept.size)?;
                kept.hole = Some(Hole { from: kept.size, to });
                file.seek(SeekFrom::Start(to))?;
                reader = BufReader::with_capacity(PIECE, file);
                line.clear();
                kept.size = to + reader.read_until(b'\n', &mut line)? as u64;
                continue;
            }
            if read == 0 || line.last() != Some(&b'\n') {
                kept.take_note(noted.as_ref());
                return Ok(kept);
            }
            // What follows a line that can't be read, as a power cut may leave it, can't be trusted either.
            let Ok(decoded) = LogLine::decode(&line) else {
                return Ok(kept);
            };
            kept.cut = decoded == cut_line(decoded.time, limit);
            if !kept.cut {
                kept.take_note(noted.as_ref());
                kept.place.get_or_insert_default().take(&decoded);
            }
            kept.size += read as u64;
        }
    }

    /// Counts what had been taken when the log had the size that was noted, once the reader is there.
    fn take_note(&mut self, note: Option<&Note>) {
        let Some(note) = note.filter(|note| self.size >= note.size) else { return };
        let Some(place) = &mut self.place else { return };
        if place.stdout.bytes + place.stderr.bytes < note.stdout + note.stderr {
            (place.stdout.bytes, place.stderr.bytes) = (note.stdout, note.stderr);
        }
    }
}

/// So many bytes had been taken when a log had this size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// A log is another file when it was written anew.
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) stdout: u64,
    pub(super) stderr: u64,
}

impl Note {
    fn path(log: &Path) -> PathBuf {
        log.with_extension("taken")
    }

    /// The last one that was made of this file.
    fn find(log: &Path, file: &File) -> io::Result<Option<Self>> {
        let found = file.metadata()?;
        let notes = match std::fs::read_to_string(Self::path(log)) {
            Ok(notes) => notes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut notes = notes.lines().filter_map(Self::parse);
        Ok(notes.rfind(|note| note.inode == found.ino() && note.size <= found.len()))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.strip_suffix(" .")?.split(' ').map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { inode: next()?, size: next()?, stdout: next()?, stderr: next()? })
    }

    pub(super) fn write(&self, log: &Path) -> io::Result<()> {
        let path = Self::path(log);
        // A log without end makes notes without end, and the last ones are all that is needed.
        let begin_anew = std::fs::metadata(&path).is_ok_and(|notes| notes.len() > MOST_NOTES);
        let mut notes = match begin_anew {
            true => OpenOptions::new().write(true).truncate(true).open(&path)?,
            false => OpenOptions::new().append(true).create(true).mode(GROWING).open(&path)?,
        };
        let Self { inode, size, stdout, stderr } = self;
        // The dot tells that a death left it whole.
        notes.write_all(format!("{inode} {size} {stdout} {stderr} .\n").as_bytes())
    }
}

/// The place of the first byte at or behind `from` that is no zero; the file's end if there is none.
pub(super) fn after_zeros(mut file: &File, from: u64) -> io::Result<u64> {
    let mut at = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(at) => at,
        Err(Errno::NXIO) => return Ok(file.metadata()?.len()),
        // Not every file system knows of holes; zeros are read then.
        Err(_) => from,
    };
    let mut piece = vec![0; PIECE];
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut piece)?;
        match piece[..read].iter().position(|byte| *byte != 0) {
            Some(place) => return Ok(at + place as u64),
            None if read == 0 => return Ok(at),
            None => at += read as u64,
        }
    }
}
