//! What can be proved of the source itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::modules;

/// Lines that a file may have.
const CAP: usize = 450;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate lies in the workspace").to_owned()
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root(), "rs", &mut found);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

#[test]
fn files_are_short_and_say_what_they_hold() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= CAP, "{} has {lines} lines; split it by what it holds", path.display());
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        assert!(is_test || text.starts_with("//!"), "{} does not open with what it holds", path.display());
    }
}

#[test]
fn names_say_something() {
    for (path, _) in sources() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let empty = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "types"];
        assert!(!empty.contains(&stem.as_str()), "{}", path.display());
    }
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    for (path, text) in sources() {
        if path.starts_with("tests") && !path.ends_with("tidy.rs") {
            assert!(!text.contains("thread::sleep("), "{}", path.display());
        }
        assert!(!text.contains("#[ignore") || path.ends_with("tidy.rs"), "{}", path.display());
    }
}

#[test]
fn each_statement_is_used_once_and_by_the_queue_alone() {
    let mut statements = Vec::new();
    files(&root().join("coordinator/queries"), "sql", &mut statements);
    let named = |path: &Path| {
        let below = path.strip_prefix(root().join("coordinator")).unwrap_or(path);
        below.to_string_lossy().into_owned()
    };
    for statement in &statements {
        let folder = statement.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let module = root().join("coordinator/src/queue").join(&*folder);
        let is_module = module.is_dir() || module.with_extension("rs").is_file();
        assert!(is_module, "{} is in no folder of a module of the queue", named(statement));
    }
    let mut seen = BTreeSet::new();
    for (path, text) in sources() {
        for statement in &statements {
            let uses = text.matches(&format!("\"{}\"", named(statement))).count();
            if uses > 0 {
                let in_queue = path.starts_with("coordinator/src/queue");
                assert!(in_queue, "{} runs {}", path.display(), named(statement));
                seen.insert(statement.clone());
            }
        }
    }
    for statement in &statements {
        assert!(seen.contains(statement), "nobody runs {}", named(statement));
    }
}

#[test]
fn standard_output_is_opened_in_one_place() {
    let doors = ["cli/src/output/out.rs", "cli/src/output/terminal.rs"];
    for (path, text) in sources() {
        let is_client = path.starts_with("cli/src") && !doors.iter().any(|door| path.ends_with(door));
        let opens = ["stdout().lock()", "io::stdout()", "println!(", "print!("];
        let asks_for_size = path.ends_with("cli/src/commands/debug.rs");
        let opened = opens.iter().find(|open| text.contains(*open));
        assert!(!is_client || asks_for_size || opened.is_none(), "{} has {opened:?}", path.display());
    }
}

#[test]
fn libraries_stay_behind_their_doors() {
    let check = |crate_name: &str, doors: &[&str]| {
        for (path, text) in sources() {
            let names = text.contains(&format!("{crate_name}::"));
            let door = doors.iter().any(|door| path.starts_with(door)) || path.starts_with("tests");
            assert!(!names || door, "{} names {crate_name}; only {doors:?} may", path.display());
        }
    };
    check("sqlx", &["coordinator/src/queue", "coordinator/build.rs"]);
    check("bollard", &["engine/src/docker.rs", "engine/src/docker"]);
    check("object_store", &["store"]);
    check(
        "Status",
        &[
            "coordinator/src/access/service.rs",
            "coordinator/src/access/quotas.rs",
            "coordinator/src/access/sign_in.rs",
            "coordinator/src/agents",
            "coordinator/src/clients",
            "coordinator/src/guard.rs",
            "coordinator/src/http",
            "coordinator/src/relay",
            "coordinator/src/results.rs",
            "coordinator/src/rpc",
            "coordinator/src/secrets",
            "coordinator/src/sessions.rs",
            "agent/src/session.rs",
            "agent/src/session",
            "agent/src/upload.rs",
            "agent/src/upload",
            "cli/src",
        ],
    );
    check("bt_agent", &["cli/src"]);
    check("bt_coordinator", &["cli/src"]);
}

/// The modules of a crate from the bottom up. Each names only modules on lines above its own; `lib` and what is not listed
/// may name all.
const RANKS: [(&str, &[&[&str]]); 1] = [(
    "agent",
    &[
        &["batch", "journal", "preempt", "record", "store_choice", "warm"],
        &["config"],
        &["site"],
        &["job"],
        &["away", "gateway", "line", "runner"],
        &["progress", "slots", "stock"],
        &["assembly"],
        &["agent"],
        &["attempt", "leave"],
        &["availability", "debug", "local", "reconcile"],
        &["session"],
    ],
)];

#[test]
fn modules_name_only_modules_below_them() {
    for (crate_name, ranks) in RANKS {
        let rank = |module: &str| ranks.iter().position(|rank| rank.contains(&module));
        for file in modules::of(&root().join(crate_name).join("src")) {
            let Some(own) = file.path.first().filter(|module| *module != "lib") else { continue };
            let place = rank(own);
            assert!(place.is_some(), "{crate_name}/src/{own} has no rank; give it one in tests/it/tidy.rs");
            for named in file.names.iter().filter_map(|name| name.first()).filter(|named| *named != own) {
                assert!(rank(named) < place, "{crate_name}: {} names {named}", file.path.join("/"));
            }
        }
    }
}

#[test]
fn no_more_than_two_files_name_each_other_in_a_circle() {
    for crate_name in [
        "agent",
        "analysis",
        "cli",
        "coordinator",
        "documents",
        "engine",
        "measures",
        "model",
        "proto",
        "statistics",
        "pickles",
        "trust",
        "hostile",
        "store",
        "traces",
    ] {
        let files = modules::of(&root().join(crate_name).join("src"));
        // Two may be two halves of one recursion.
        let mut circles = modules::circles(&files);
        circles.retain(|circle| circle.len() > 2);
        assert!(circles.is_empty(), "{crate_name}: these files name each other: {circles:?}");
    }
}

/// What others wrote reaches a terminal through one printer, which shows control characters.
#[test]
fn nothing_is_printed_past_the_printer() {
    let prints = ["print!(", "println!(", "dbg!("];
    for (path, text) in sources() {
        if path.starts_with("tests") || path.ends_with("build.rs") {
            continue;
        }
        let found = prints.iter().find(|print| text.contains(*print));
        assert!(found.is_none(), "{} has {found:?}; print by cli/src/output", path.display());
        if !path.starts_with("cli/src") || path.starts_with("cli/src/output") {
            continue;
        }
        // A shell has the terminal for itself; whatever else jobs write is made harmless in the same line.
        let is_shell = path.ends_with("commands/debug.rs");
        for line in
            text.lines().filter(|line| line.contains("stderr()") && !line.contains("terminal::is_stderr())"))
        {
            assert!(is_shell || !line.contains("stderr().lock()"), "{}: {line}", path.display());
        }
        let is_logs = path.ends_with("commands/logs.rs");
        assert!(is_shell || is_logs || !text.contains("Out::unfiltered()"), "{}", path.display());
    }
}

#[test]
fn the_page_shows_nothing_that_is_not_escaped() {
    let mut templates = Vec::new();
    files(&root().join("coordinator/templates"), "html", &mut templates);
    assert!(templates.len() > 5, "{templates:?}");
    for path in templates {
        let text = fs::read_to_string(&path).unwrap();
        for forbidden in ["|safe", "| safe", "escape(", "style=", "javascript:", "hx-on", "hx-vals"] {
            assert!(!text.contains(forbidden), "{} has {forbidden:?}", path.display());
        }
        let text = text.replace(r#"<script src="{{ frame.root }}{{ frame.script }}" defer></script>"#, "");
        assert!(!text.contains("<script"), "{} has another script", path.display());
    }
}
