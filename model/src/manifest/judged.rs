//! The keys `returns` and `family` (`holdout` is beside this): by what a sweep is judged, and with which others.

use serde_json::{Value, json};

use super::check;
use super::choice::words;
use super::document::{NodeKind, TextNode};
use super::error::{Error, suggestion};
use super::holdout::Holdout;
use super::values::{map, text};
use crate::returns::SeriesKind;

/// Characters of the longest family.
const MAX_FAMILY: usize = 200;
/// Bytes of the longest name of a column.
const MAX_COLUMN: usize = 256;

/// By what a sweep is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Where a job's returns are; absent: under `series` in its metrics.
    pub returns: Option<ReturnsFile>,
    /// The name that sweeps of the same idea share; absent: by image and command, as [`Manifest::family`] says.
    ///
    /// [`Manifest::family`]: super::Manifest::family
    pub family: Option<String>,
    /// What its jobs see no data of; absent: what its family says.
    pub holdout: Option<Holdout>,
}

/// A table among a job's outputs that holds its returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnsFile {
    /// A CSV or Parquet file: a relative path.
    pub path: String,
    pub column: String,
    /// The column of the dates; absent: it is looked for.
    pub date: Option<String>,
    pub kind: SeriesKind,
}

words!(SeriesKind, "returns.kind", "kinds": Returns => "returns", Equity => "equity");

const KEYS: [&str; 4] = ["path", "column", "date", "kind"];

/// Reads `{path: equity.csv, column: Equity, kind: equity}`.
pub(super) fn read_returns(node: &TextNode) -> Result<ReturnsFile, Error> {
    if !matches!(node.kind, NodeKind::Map(_)) {
        return Err(node.error(format!(
            "`returns` is {}; write a map such as {{path: returns.csv, column: ret}}",
            node.describe()
        )));
    }
    let (mut path, mut column, mut date, mut kind) = (None, None, None, SeriesKind::default());
    for entry in map(node, "`returns`")? {
        let at = |error: Error| error.or_at(Some(&entry.node.place));
        match entry.name.as_str() {
            "path" => path = Some(check::returns(text(&entry.node, "returns.path")?).map_err(at)?),
            "column" => {
                column =
                    Some(check_column("returns.column", text(&entry.node, "returns.column")?).map_err(at)?)
            }
            "date" => {
                date = Some(check_column("returns.date", text(&entry.node, "returns.date")?).map_err(at)?)
            }
            "kind" => kind = text(&entry.node, "returns.kind")?.parse().map_err(at)?,
            unknown => {
                let hint = suggestion(unknown, KEYS, "keys of `returns`");
                let message = format!("unknown key `{unknown}` in `returns`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    let (Some(path), Some(column)) = (path, column) else {
        return Err(node
            .error("`returns` needs a `path` and a `column`: {path: returns.csv, column: ret}".to_owned()));
    };
    Ok(ReturnsFile { path, column, date, kind })
}

/// What [`read_returns`] reads.
pub(super) fn write_returns(file: &ReturnsFile) -> Value {
    let ReturnsFile { path, column, date, kind } = file;
    let mut written = json!({"path": path, "column": column});
    if let Some(date) = date {
        written["date"] = json!(date);
    }
    if *kind != SeriesKind::default() {
        written["kind"] = json!(kind.name());
    }
    written
}

pub(super) fn check_column(key: &str, name: String) -> Result<String, Error> {
    match name.len() {
        // An index without a name has an empty one, where pandas writes it.
        0 if key == "returns.column" => {
            Err(Error::new("`returns.column` is empty; name the column of the returns"))
        }
        0..=MAX_COLUMN => Ok(name),
        length => Err(Error::new(format!("`{key}` has {length} bytes; {MAX_COLUMN} are the most"))),
    }
}

/// Checks a family's name, wherever it comes from.
pub(super) fn check_family(name: String) -> Result<String, Error> {
    let length = name.chars().count();
    if length == 0 || length > MAX_FAMILY {
        return Err(Error::new(format!("`family` has {length} characters; 1 to {MAX_FAMILY} are right")));
    }
    match name.trim() == name && !name.chars().any(char::is_control) {
        true => Ok(name),
        false => Err(Error::new("`family` has a control character, or a space at an end; leave them out")),
    }
}

/// The family of a sweep that names none: the repository of its image and its command as it is written.
pub(super) fn default_family(image: &str, command: &[String]) -> String {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    let mut words = vec![repository];
    words.extend(command.iter().map(String::as_str));
    // The migration that gives earlier sweeps their families makes the same of them.
    let line: String = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().chars().take(MAX_FAMILY).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn manifest(line: &str) -> Result<Manifest, String> {
        let text = format!("image: x\n{line}\n");
        let draft = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml");
        let manifest = draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())?;
        let sent = Manifest::from_json(&manifest.to_json()).map_err(|error| error.to_string())?;
        assert_eq!(sent.judged, manifest.judged);
        Ok(manifest)
    }

    #[test]
    fn a_table_of_returns_is_named_with_its_column() {
        let returns = |line: &str| manifest(line).unwrap().judged.returns.unwrap();
        let equity = returns("returns: {path: out/equity.parquet, column: Equity, kind: equity, date: ''}");
        assert_eq!(equity.kind, SeriesKind::Equity);
        assert_eq!(equity.date.as_deref(), Some(""));
        let plain = returns("returns: {path: r.csv, column: ret}");
        assert_eq!(
            (plain.path.as_str(), plain.column.as_str(), plain.kind),
            ("r.csv", "ret", SeriesKind::Returns)
        );
        for (line, part) in [
            ("returns: r.csv", "write a map such as {path: returns.csv, column: ret}"),
            ("returns: {path: r.csv}", "needs a `path` and a `column`"),
            ("returns: {path: ../r.csv, column: a}", "a file's path below the results directory"),
            ("returns: {path: r.xlsx, column: a}", "ends in .csv or .parquet"),
            ("returns: {path: r.csv, column: ''}", "name the column"),
            ("returns: {path: r.csv, column: a, kind: price}", "returns, equity"),
            ("returns: {file: r.csv}", "unknown key `file`"),
        ] {
            let error = manifest(line).unwrap_err();
            assert!(error.starts_with("s.yaml:2:") && error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn a_family_is_named_or_made_of_image_and_command() {
        assert_eq!(manifest("family: moving averages").unwrap().family(), "moving averages");
        for (image, command, family) in [
            ("sma-cross:1", vec!["--fast", "{{ fast }}"], "sma-cross --fast {{ fast }}"),
            ("registry:5000/team/sma@sha256:00", vec![], "registry:5000/team/sma"),
            ("registry:5000/team/sma:1.2@sha256:00", vec!["a\nb"], "registry:5000/team/sma a b"),
        ] {
            let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
            assert_eq!(default_family(image, &command), family);
        }
        assert_eq!(default_family("x", &["é".repeat(500)]).chars().count(), MAX_FAMILY);
        for (line, part) in [
            ("family: ''", "0 characters"),
            ("family: ' a'", "a space at an end"),
            ("family: 7", "write a text"),
            (&format!("family: {}", "x".repeat(201)), "201 characters"),
        ] {
            let error = manifest(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
