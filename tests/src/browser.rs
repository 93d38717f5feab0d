//! A real Chromium, driven by the scripts of tests/browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{btctl_path, tool};

/// Runs a script of tests/browser with what it is given, and returns its answer.
///
/// # Panics
/// If the script fails, or the page did what no page may: an error, a request to elsewhere, what its policy forbids.
#[track_caller]
pub fn browse(script: &str, given: &Value) -> Value {
    let (answer, problems) = browse_with_problems(script, given);
    assert!(problems.is_empty(), "{script}: {problems:#?}");
    answer
}

/// As [`browse`], and returns what the page did that no page may.
#[track_caller]
pub fn browse_with_problems(script: &str, given: &Value) -> (Value, Vec<String>) {
    let tools =
        btctl_path().ancestors().nth(2).map(|target| target.join("tools/browser")).unwrap_or_default();
    for part in ["playwright-core/index.mjs", "axe-core/axe.min.js"] {
        assert!(tools.join(part).is_file(), "{part} is missing; `scripts/setup tests` fetches it");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(script);
    let mut command = Command::new(node());
    command
        .arg(file)
        .arg(given.to_string())
        .env("CHROMIUM", fetched_or_installed(&tools.join("chrome"), "Chromium", "chromium"))
        .env("BROWSER_TOOLS", &tools);
    let output = command.output().expect("run node");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {given}: {said}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a script prints JSON");
    let problems = answer["problems"].as_array().expect("a script notes problems");
    let problems = problems.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    (answer["answer"].clone(), problems)
}

/// Node.js.
pub(crate) fn node() -> PathBuf {
    let tools = btctl_path().ancestors().nth(2).map(|target| target.join("tools/browser"));
    fetched_or_installed(&tools.unwrap_or_default().join("node"), "Node.js", "node")
}

/// The one that set-up has fetched goes before the machine's, which was not good enough then.
fn fetched_or_installed(fetched: &Path, what: &str, name: &str) -> PathBuf {
    if fetched.exists() { fetched.to_owned() } else { tool(what, &[name]) }
}
