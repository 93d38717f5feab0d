//! The modules of a crate, and which of them each names, read from the source as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file, by the path of its module: `["job", "container"]`; `["lib"]` is the crate itself.
pub(crate) struct Module {
    pub(crate) path: Vec<String>,
    /// Modules of the same crate that its code names outside its tests.
    pub(crate) names: BTreeSet<Vec<String>>,
}

/// All files of a crate's `src`.
pub(crate) fn of(src: &Path) -> Vec<Module> {
    let mut texts = BTreeMap::new();
    read(src, &mut Vec::new(), &mut texts);
    let is_tests = |path: &[String]| path.last().is_some_and(|name| name == "tests");
    let known: BTreeSet<_> = texts.keys().cloned().collect();
    let modules =
        texts.iter().filter(|(path, _)| !is_tests(path) && !path.iter().any(|part| part == "tests"));
    let modules = modules.map(|(path, text)| {
        let mut names: BTreeSet<_> =
            paths(text, path).into_iter().filter_map(|named| module(named, &known)).collect();
        names.remove(path);
        Module { path: path.clone(), names }
    });
    modules.collect()
}

fn read(dir: &Path, above: &mut Vec<String>, texts: &mut BTreeMap<Vec<String>, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            above.push(name);
            read(&path, above, texts);
            above.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut module = above.clone();
            if name != "mod" {
                module.push(name);
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            texts.insert(module, code.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Every path that a file names from `crate` or `super`, with those in one level of braces.
fn paths(text: &str, own: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (index, word) in ["crate::", "super::"].into_iter().flat_map(|word| text.match_indices(word)) {
        let before = text[..index].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"' || c == '(') {
            continue;
        }
        let mut base = match word {
            "crate::" => Vec::new(),
            _ => own[..own.len() - 1].to_vec(),
        };
        let mut rest = &text[index + word.len()..];
        while let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
        }
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        loop {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            if end > 0 {
                base.push(rest[..end].to_owned());
            }
            match rest[end..].strip_prefix("::") {
                Some(more) => rest = more,
                None => {
                    rest = &rest[end..];
                    break;
                }
            }
        }
        let inner = rest.strip_prefix('{').and_then(|list| list.split_once('}'));
        for item in inner.map_or("", |(list, _)| list).split(',') {
            let item = item.split_whitespace().next().unwrap_or_default();
            let parts = item.split("::").filter(|part| !part.is_empty() && *part != "self");
            found.push(base.iter().cloned().chain(parts.map(str::to_owned)).collect());
        }
    }
    found
}

/// The module that a path leads to: the longest beginning of it that is one.
fn module(mut path: Vec<String>, known: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    while !path.is_empty() {
        if known.contains(&path) {
            return Some(path);
        }
        path.pop();
    }
    None
}

/// Groups of files each of which leads to all others of its group.
pub(crate) fn circles(files: &[Module]) -> Vec<Vec<String>> {
    let named: BTreeMap<_, _> = files.iter().map(|file| (&file.path, &file.names)).collect();
    let reached = |from: &Vec<String>| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.clone()];
        while let Some(path) = open.pop() {
            for next in named.get(&path).into_iter().flat_map(|names| names.iter()) {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<_, _> = files.iter().map(|file| (file.path.clone(), reached(&file.path))).collect();
    let mut circles = BTreeSet::new();
    for (path, seen) in &reach {
        let circle = seen.iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(path)));
        let circle: Vec<_> = circle.map(|path| path.join("/")).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let file = |name: &str, names: &[&str]| Module {
        path: vec![name.to_owned()],
        names: names.iter().map(|name| vec![(*name).to_owned()]).collect(),
    };
    let chain = [file("a", &["b"]), file("b", &["c"]), file("c", &[])];
    assert!(circles(&chain).is_empty());
    let circle = [file("a", &["b"]), file("b", &["c"]), file("c", &["a"]), file("d", &["a"])];
    assert_eq!(circles(&circle), [["a", "b", "c"]]);
}

#[test]
fn paths_are_read_from_uses_and_from_code() {
    let own = ["job".to_owned(), "container".to_owned()];
    let text =
        "use crate::site::{Site, offer::Offer};\nuse super::inside::Inside;\nlet x = crate::config::X;";
    let read: Vec<_> = paths(text, &own).into_iter().map(|path| path.join("/")).collect();
    assert_eq!(read, ["site/Site", "site/offer/Offer", "config/X", "job/inside/Inside"]);
}
