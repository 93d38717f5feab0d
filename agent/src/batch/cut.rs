//! The log of a batch's container, cut into one for each point. What is printed after a line `::point 17` belongs to that
//! point; what is printed before the first such line belongs to all.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bt_engine::logfile::LogFile;
use bt_model::log::LogLine;

/// What a line begins with that says whose the next ones are.
const MARK: &[u8] = b"::point ";
/// Bytes that are read as one line: what is longer is a hole in a log that was too long.
const LONGEST: u64 = 1 << 20;

/// Where the log of a point goes.
#[derive(Clone, Debug)]
pub(crate) struct MemberLog {
    pub(crate) job: u32,
    pub(crate) path: PathBuf,
}

/// Cuts the log at `whole` as far as it is written; each part keeps at most `limit` bytes. What stood at the members' paths
/// is replaced. No log: nothing is done.
pub(crate) fn cut(
    whole: &Path,
    members: &[MemberLog],
    is_point: impl Fn(u32) -> bool,
    limit: u64,
) -> io::Result<()> {
    let mut file = match File::open(whole) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let parts = Parts::of(&mut file, is_point)?;
    let Some((first, others)) = members.split_first() else { return Ok(()) };
    // What all have is cut to its length once.
    let common = first.path.with_extension("common");
    remove(&common)?;
    let (mut log, _) = LogFile::open(&common, limit)?;
    append(&mut file, &mut log, &parts.common)?;
    log.finish()?;
    for member in [first].into_iter().chain(others) {
        let new = member.path.with_extension("cut");
        remove(&new)?;
        fs::copy(&common, &new)?;
        let (mut log, _) = LogFile::open(&new, limit)?;
        for range in parts.own.get(&member.job).into_iter().flatten() {
            append(&mut file, &mut log, range)?;
        }
        log.finish()?;
        fs::rename(&new, &member.path)?;
    }
    remove(&common)
}

/// Which bytes of a log are whose.
#[derive(Default)]
struct Parts {
    common: Range<u64>,
    own: HashMap<u32, Vec<Range<u64>>>,
}

impl Parts {
    fn of(file: &mut BufReader<File>, is_point: impl Fn(u32) -> bool) -> io::Result<Self> {
        let mut parts = Self::default();
        let mut owner = None;
        let (mut begin, mut at) = (0, 0);
        let mut line = Vec::new();
        loop {
            let read = read_line(file, &mut line)?;
            let mark = mark_of(&line).filter(|point| is_point(*point));
            if read == 0 || mark.is_some() {
                parts.note(owner, begin..at);
                if read == 0 {
                    return Ok(parts);
                }
                owner = mark;
                begin = at + read;
            }
            at += read;
        }
    }

    fn note(&mut self, owner: Option<u32>, range: Range<u64>) {
        match owner {
            None => self.common = range,
            Some(_) if range.is_empty() => {}
            Some(owner) => self.own.entry(owner).or_default().push(range),
        }
    }
}

/// The point that a line names, if it is a mark.
fn mark_of(line: &[u8]) -> Option<u32> {
    let line = LogLine::decode(line).ok()?;
    let name = line.text.strip_prefix(MARK)?;
    std::str::from_utf8(name.trim_ascii_end()).ok()?.parse().ok()
}

fn append(file: &mut BufReader<File>, log: &mut LogFile, range: &Range<u64>) -> io::Result<()> {
    file.seek(SeekFrom::Start(range.start))?;
    let mut at = range.start;
    let mut line = Vec::new();
    while at < range.end {
        match read_line(file, &mut line)? {
            0 => return Ok(()),
            read => at += read,
        }
        // The last line of a log that still grows may not be whole.
        if let Ok(line) = LogLine::decode(&line) {
            log.append(&line)?;
        }
    }
    Ok(())
}

fn read_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    Ok(file.by_ref().take(LONGEST).read_until(b'\n', line)? as u64)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bt_engine::logfile::last_words;
    use bt_model::log::Stream;
    use jiff::Timestamp;

    use super::*;

    fn write(path: &Path, lines: &[&str]) {
        let (mut log, _) = LogFile::open(path, 1 << 20).unwrap();
        for (second, text) in lines.iter().enumerate() {
            let time = Timestamp::from_second(second as i64).unwrap();
            log.append(&LogLine { time, stream: Stream::Stdout, text: text.as_bytes().to_vec() }).unwrap();
        }
        log.finish().unwrap();
    }

    fn parts(lines: &[&str], limit: u64) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("log");
        write(&whole, lines);
        let members = [3, 5].map(|job| MemberLog { job, path: dir.path().join(job.to_string()) });
        // As they are while the container runs.
        fs::hard_link(&whole, &members[0].path).unwrap();
        cut(&whole, &members, |point| [3, 5, 7].contains(&point), limit).unwrap();
        let all = last_words(&whole, 1 << 20);
        assert_eq!(all, lines.concat(), "the whole log stays");
        let left = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with("common")));
        members.iter().map(|member| last_words(&member.path, 1 << 20)).collect()
    }

    #[test]
    fn what_follows_a_mark_is_its_points_alone() {
        let lines = [
            "start\n",
            "::point 5\n",
            "five\n",
            "::point 7\n",
            "seven\n",
            "::point 3 \n",
            "three\n",
            "::point 9\n",
            "::point 5\n",
            "five again\n",
        ];
        assert_eq!(parts(&lines, 1 << 20), ["start\nthree\n::point 9\n", "start\nfive\nfive again\n"]);
    }

    #[test]
    fn without_marks_all_have_all_and_no_more_than_the_limit() {
        assert_eq!(parts(&["a\n", "point 3\n", "b"], 1 << 20), ["a\npoint 3\nb", "a\npoint 3\nb"]);
        let many: Vec<_> = (0..2000).map(|n| format!("line {n}\n")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let parts = parts(&many, 8 << 10);
        assert_eq!(parts[0], parts[1]);
        assert!(parts[0].starts_with("line 0\n") && parts[0].ends_with("line 1999\n"), "{}", parts[0]);
        assert!(parts[0].contains("are cut out here") && parts[0].len() < 8 << 10);
    }
}
