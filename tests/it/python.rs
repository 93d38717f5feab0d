//! The Python client: its own tests, against a coordinator and an agent that run real containers, and its wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{Cluster, Options};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A program of the environment that `scripts/tools` makes.
fn program(name: &str) -> Command {
    let path = root().join("target/tools/venv/bin").join(name);
    assert!(path.exists(), "{} is missing; `scripts/tools` makes it", path.display());
    let mut command = Command::new(path);
    command.current_dir(root().join("python")).env("PYTHONPATH", root().join("python/src"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[track_caller]
fn passes(command: &mut Command) -> String {
    let output = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Tests that search: with those of the notebook they take as long as all others.
const SEARCHES: [&str; 2] = ["tests/test_optuna.py", "tests/test_notebook.py"];

/// Runs tests of the client on a cluster of their own. None may be skipped.
#[track_caller]
fn tests_pass(which: &[String]) {
    let mut options = Options::default();
    let prices = root().join("target/prices");
    options.agent.extend(["--volume".to_owned(), format!("prices={}:ro", prices.display())]);
    let cluster = Cluster::with(options);
    let mut tests = program("pytest");
    tests.args(["-p", "no:cacheprovider", "--durations=5"]).args(which);
    tests.env("BTCTL_COORDINATOR", cluster.address()).env("BTCTL_TEST_GATE", cluster.dir().join("gate"));
    let said = passes(&mut tests);
    assert!(said.contains(" passed") && !said.contains("skipped"), "{said}");
}

#[test]
fn its_tests_pass() {
    let searches = SEARCHES.map(|file| format!("--ignore={file}"));
    tests_pass(&searches);
}

#[test]
fn its_searches_and_the_notebook_pass() {
    tests_pass(&SEARCHES.map(str::to_owned));
}

#[test]
fn it_has_the_version_of_the_program() {
    let init = std::fs::read_to_string(root().join("python/src/btctl/__init__.py")).unwrap();
    let version = format!("__version__ = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(init.contains(&version), "python/src/btctl/__init__.py should have {version}");
}
