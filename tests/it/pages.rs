//! The pages that people read: every link leads somewhere, and every page of docs/ is in its index.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate lies in the workspace").to_owned()
}

/// All pages, by their paths from the root.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                dirs.push(path);
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found
}

/// The lines of a page that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What `[text](target)` names, on one line; what stands between backquotes is code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for part in outside.split("](").skip(1) {
            found.extend(part.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// The anchors that a page's headings have: lower case, spaces as hyphens, without punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut checked = 0;
    for page in &pages {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root().join(page),
                path => root().join(page).with_file_name("").join(path),
            };
            assert!(target.exists(), "{}: there is no {link}", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{}: {link} is none of {there:?}", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} links were found in {pages:?}");
}

#[test]
fn every_page_of_docs_is_in_the_index_once() {
    let index = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut named: Vec<PathBuf> = links(&index).iter().map(|link| Path::new("docs").join(link)).collect();
    named.sort();
    let mut there = pages();
    there.retain(|page| page.starts_with("docs") && page != Path::new("docs/SUMMARY.md"));
    there.sort();
    assert_eq!(named, there);
}

#[test]
fn what_is_said_to_hold_names_the_tests_that_show_it() {
    let text = fs::read_to_string(root().join("docs/THREATS.md")).unwrap();
    let (_, holds) = text.split_once("## What holds\n").unwrap();
    let (holds, _) = holds.split_once("\n## ").unwrap();
    let named = holds.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    for (file, test) in named {
        let source = fs::read_to_string(root().join(format!("tests/it/{file}.rs"))).unwrap_or_default();
        assert!(source.contains(&format!("#[test]\nfn {test}(")), "there is no test {file}::{test}");
    }
    let lines: Vec<_> = holds.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(lines.len() > 20 && lines.iter().all(|line| line.contains("::")), "{lines:?}");
}
