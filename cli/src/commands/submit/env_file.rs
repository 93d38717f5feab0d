//! `--env-file`, as docker reads it: a variable on each line, nothing unquoted, nothing expanded.

use std::collections::BTreeMap;
use std::path::Path;

use bt_model::template::literal;

use crate::error::Error;

/// A longer file holds no variables.
const MAX_FILE: u64 = 16 << 20;

/// The variables of a file; their values are text, whatever they hold.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let fails = |why: String| Error::Usage(format!("--env-file {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| fails(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(fails(format!("it has {size} bytes, and {MAX_FILE} are the most")));
    }
    let text = std::fs::read(path).map_err(|error| fails(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|_| fails("it is not UTF-8".to_owned()))?;
    parse(&text).map_err(|(line, why)| Error::Usage(format!("{}:{line}: {why}", path.display())))
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, String)> {
    let mut variables = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let at = |why: String| (index + 1, why);
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), literal(value)),
            None => passed_on(line.trim_end()).map_err(at)?,
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(at(format!("{name:?} is not a name for a variable; write NAME=VALUE")));
        }
        if variables.insert(name.clone(), value).is_some() {
            return Err(at(format!("{name} is given twice; give it once")));
        }
    }
    Ok(variables)
}

/// A variable of the client's own, as docker passes it on; its value is text, whatever it holds.
pub(super) fn passed_on(name: &str) -> Result<(String, String), String> {
    let value =
        std::env::var(name).map_err(|_| format!("there is no such variable here; write {name}=VALUE"))?;
    Ok((name.to_owned(), literal(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let text = "\u{feff}# comment\n\nA=1\n  B=two words # no comment\nC=\"quoted\"\nD=a=b\nE=\r\nF={{ x }}\nG= x \n";
        let read = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words # no comment"),
            ("C", "\"quoted\""),
            ("D", "a=b"),
            ("E", ""),
            ("F", "{{ '{{' }} x }}"),
            ("G", " x "),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(parse("A=1\nA=2").unwrap_err().0, 2);
        assert!(parse("A B=1").unwrap_err().1.contains("not a name"));
        assert!(parse("BTCTL_TEST_NO_SUCH").unwrap_err().1.contains("no such variable here"));
    }
}
