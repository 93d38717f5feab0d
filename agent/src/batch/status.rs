//! The status file of a batch: a line `<point> <exit code>` for each point that has ended.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use bt_engine::collect;
use bt_model::manifest::STATUS_FILE;
use bt_model::resources::ByteSize;

/// The largest status file: 10,000 points take 150 KB.
const MOST: u64 = 4 << 20;
/// Lines that are named to the owner of those that are no reports.
const NAMED: usize = 3;
/// Letters of such a line that are shown.
const SHOWN: usize = 40;

/// What the file says of one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointReport {
    /// Its exit code, from 0 to 255.
    Ended(i64),
    /// It is reported with one code and with another.
    Contradicted(i64, i64),
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reports {
    /// By the point's number.
    pub(crate) of: HashMap<u32, PointReport>,
    /// What is wrong with the file, for people.
    pub(crate) trouble: Option<String>,
}

/// Reads the file in the results directory of a container that has ended. `is_point` knows the points that it was given.
pub(crate) fn read(results: &Path, is_point: impl Fn(u32) -> bool) -> Reports {
    let unusable =
        |why: String| Reports { of: HashMap::new(), trouble: Some(format!("{STATUS_FILE}: {why}")) };
    let file = match collect::open(results, STATUS_FILE) {
        Ok(file) => file,
        Err(collect::Error::NotFound { .. }) => return Reports::default(),
        Err(error) => return unusable(error.to_string()),
    };
    let mut text = Vec::new();
    match file.take(MOST + 1).read_to_end(&mut text) {
        Ok(_) if text.len() as u64 <= MOST => parse(&text, is_point),
        Ok(_) => unusable(format!("it has more than {}, the most of a status file", ByteSize(MOST))),
        Err(error) => unusable(error.to_string()),
    }
}

fn parse(text: &[u8], is_point: impl Fn(u32) -> bool) -> Reports {
    let mut reports = Reports::default();
    let mut wrong = Vec::new();
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    // A line counts when its end is there.
    if lines.pop().is_some_and(|rest| !rest.is_empty()) {
        wrong.push("its last line is not whole".to_owned());
    }
    for line in lines {
        match report(line) {
            Some((point, code)) if is_point(point) => {
                let known = reports.of.entry(point).or_insert(PointReport::Ended(code));
                if let PointReport::Ended(before) = *known
                    && before != code
                {
                    *known = PointReport::Contradicted(before, code);
                }
            }
            Some((point, _)) => wrong.push(format!("{point} is no point of this container")),
            None if line.trim_ascii().is_empty() => {}
            None => wrong.push(format!("{:?} is no `<point> <exit code>`", shown(line))),
        }
    }
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(NAMED);
        wrong.truncate(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        reports.trouble = Some(format!("{STATUS_FILE}: {}{more}", wrong.join(", ")));
    }
    reports
}

/// A number of a job and an exit code, and nothing else.
fn report(line: &[u8]) -> Option<(u32, i64)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (point, code, None) = (words.next()?, words.next()?, words.next()) else { return None };
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(point) || !is_number(code) || (point.len() > 1 && point.starts_with('0')) {
        return None;
    }
    Some((point.parse().ok()?, code.parse::<u8>().ok()?.into()))
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn parsed(text: &str) -> (Vec<(u32, PointReport)>, String) {
        let reports = parse(text.as_bytes(), |point| point < 10);
        let mut of: Vec<_> = reports.of.into_iter().collect();
        of.sort_unstable_by_key(|(point, _)| *point);
        (of, reports.trouble.unwrap_or_default())
    }

    #[test]
    fn honest_reports_are_taken() {
        use PointReport::Ended;
        let expected = vec![(1, Ended(0)), (3, Ended(255)), (9, Ended(137))];
        assert_eq!(parsed("3 255\n1 0\r\n\n9\t137 \n1 0\n"), (expected, String::new()));
        assert_eq!(parsed(""), (vec![], String::new()));
    }

    #[test]
    fn lies_are_left_out_and_told() {
        use PointReport::{Contradicted, Ended};
        let one = |report| vec![(1, report)];
        for (text, of, told) in [
            ("1 0\n2 0", one(Ended(0)), "its last line is not whole"),
            ("1 0\n1 3\n1 0\n", one(Contradicted(0, 3)), ""),
            ("1 0\n77 0\n", one(Ended(0)), "77 is no point of this container"),
            ("1 0\n../1 0\n", one(Ended(0)), "\"../1 0\" is no `<point> <exit code>`"),
            ("1 0\n2 256\n3 -1\n+4 0\n", one(Ended(0)), "\"2 256\" is no"),
            ("1 0\n02 0\n3\n4 0 0\n5 x\n", one(Ended(0)), ", and 1 more"),
            ("1 0\n\u{0}\n99999999999 0\n", one(Ended(0)), "is no `<point> <exit code>`"),
        ] {
            let (found, trouble) = parsed(text);
            assert_eq!(found, of, "{text:?}");
            assert!(trouble.contains(told) && trouble.is_empty() == told.is_empty(), "{text:?}: {trouble}");
        }
    }

    #[test]
    fn only_a_regular_file_of_a_bearable_size_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STATUS_FILE);
        let trouble = || {
            let reports = read(dir.path(), |_| true);
            assert!(reports.of.is_empty());
            reports.trouble.unwrap_or_default()
        };
        assert_eq!(trouble(), "");
        fs::create_dir(&path).unwrap();
        assert!(trouble().contains("directory"), "{}", trouble());
        fs::remove_dir(&path).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("s"), "1 0\n").unwrap();
        symlink(elsewhere.path().join("s"), &path).unwrap();
        assert!(trouble().contains("link"), "{}", trouble());
        fs::remove_file(&path).unwrap();
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 30).unwrap();
        assert!(trouble().contains("more than 4 MiB"), "{}", trouble());
        fs::write(&path, "1 0\n").unwrap();
        assert_eq!(read(dir.path(), |_| true).of.len(), 1);
    }
}
