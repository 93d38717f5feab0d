//! Which of the published files are fetched: all of a sweep, those of a job, one file, or what patterns match.

use std::str::FromStr;

use bt_model::manifest::suggestion;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::File;
use crate::error::Error;
use crate::target::Target;

/// `SWEEP`, `SWEEP/17` or `SWEEP/17/stats.pkl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultPath {
    pub(super) target: Target,
    /// A file of the job, or a directory of it.
    pub(super) path: Option<String>,
}

impl FromStr for ResultPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/');
        let (sweep, job, path) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let target = job.map_or_else(|| sweep.to_owned(), |job| format!("{sweep}/{job}"));
        match path {
            Some("") => {
                Err(format!("the path is missing behind {target}/; write {target}, or {target}/FILE"))
            }
            path => Ok(Self { target: target.parse()?, path: path.map(str::to_owned) }),
        }
    }
}

/// Patterns of paths.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Patterns {
    /// Fetch only files that match, e.g. '*.csv' or 'plots/*'; may be repeated. A pattern without / matches names in
    /// all directories.
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave out files that match, even if --include takes them; may be repeated.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
}

/// The files that are wanted; an error says what there is if no file is.
pub(super) fn choose(
    all: Vec<File>,
    path: Option<&str>,
    patterns: &Patterns,
    sweep: &str,
) -> Result<Vec<File>, Error> {
    let (include, exclude) =
        (globs("--include", &patterns.include, true)?, globs("--exclude", &patterns.exclude, true)?);
    if path.is_none() && patterns.include.is_empty() && patterns.exclude.is_empty() {
        return Ok(all);
    }
    let is_wanted = |file: &File| {
        let rest = path.map_or(Some(""), |path| file.path.strip_prefix(path));
        let is_named = rest.is_some_and(|rest| path.is_none() || rest.is_empty() || rest.starts_with('/'));
        let is_included = patterns.include.is_empty() || include.is_match(&file.path);
        is_named && is_included && !exclude.is_match(&file.path)
    };
    let (wanted, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_wanted);
    if !wanted.is_empty() || others.is_empty() {
        return Ok(wanted);
    }
    let mut names: Vec<&str> = others.iter().map(|file| file.path.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(LISTED);
    let hint = suggestion(path.unwrap_or_default(), names, "first of its files");
    let what = path.map_or_else(
        || "no file matches --include and --exclude".to_owned(),
        |path| format!("there is no file {path:?}"),
    );
    Err(Error::NotFound(format!("{what}{hint}. btctl results ls {sweep} lists all")))
}

/// Files that a hint chooses from.
const LISTED: usize = 200;

/// A set of patterns. With `anywhere`, a pattern without / matches names in all directories.
pub(crate) fn globs(flag: &str, patterns: &[String], anywhere: bool) -> Result<GlobSet, Error> {
    let unusable = |pattern: &str, error: globset::Error| {
        Error::Usage(format!("{flag} {pattern:?} is not a pattern of paths: {}", error.kind()))
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let place = if anywhere && !pattern.contains('/') { "**/" } else { "" };
        let glob = GlobBuilder::new(&format!("{place}{pattern}")).literal_separator(true).build();
        set.add(glob.map_err(|error| unusable(pattern, error))?);
    }
    set.build().map_err(|error| unusable(&patterns.join(" "), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_can_be_named() {
        let wanted = |text: &str| text.parse::<ResultPath>();
        let target = Target { sweep: "sma".into(), job: Some(17) };
        assert_eq!(wanted("sma/17"), Ok(ResultPath { target: target.clone(), path: None }));
        assert_eq!(wanted("sma/17/a/b.pkl"), Ok(ResultPath { target, path: Some("a/b.pkl".into()) }));
        for wrong in ["sma/17/", "sma/x/a.pkl", "", "/1/a"] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_choose_by_name_or_by_path() {
        let file = |path: &str| File::called(0, path);
        let chosen = |path: Option<&str>, include: &[&str], exclude: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            let patterns = Patterns { include: texts(include), exclude: texts(exclude) };
            let all = ["a.csv", "plots/b.csv", "plots/c.png", "stats.pkl"].map(file).into();
            choose(all, path, &patterns, "s")
                .map(|files| files.into_iter().map(|file| file.path).collect::<Vec<_>>())
        };
        assert_eq!(chosen(None, &["*.csv"], &[]).unwrap(), ["a.csv", "plots/b.csv"]);
        assert_eq!(chosen(None, &["*.csv"], &["plots/*"]).unwrap(), ["a.csv"]);
        assert_eq!(chosen(None, &[], &["*.csv", "*.pkl"]).unwrap(), ["plots/c.png"]);
        assert_eq!(chosen(Some("plots"), &[], &[]).unwrap(), ["plots/b.csv", "plots/c.png"]);
        assert_eq!(chosen(Some("stats.pkl"), &[], &[]).unwrap(), ["stats.pkl"]);
        let missing = chosen(Some("stat.pkl"), &[], &[]).unwrap_err().to_string();
        assert!(missing.contains("no file \"stat.pkl\"; did you mean `stats.pkl`?"), "{missing}");
        assert!(chosen(None, &["["], &[]).unwrap_err().to_string().contains("not a pattern of paths"));
    }
}
