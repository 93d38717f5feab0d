//! The Python client: its own tests, against a coordinator and an agent that run real containers, and its wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::Cluster;

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

#[test]
fn its_tests_pass_and_none_is_skipped() {
    let cluster = Cluster::start();
    let mut tests = program("pytest");
    tests.args(["-p", "no:cacheprovider", "--durations=5"]);
    tests.env("BTCTL_COORDINATOR", cluster.address()).env("BTCTL_TEST_GATE", cluster.dir().join("gate"));
    let said = passes(&mut tests);
    assert!(said.contains(" passed") && !said.contains("skipped"), "{said}");
}

#[test]
fn it_has_the_version_of_the_program() {
    let init = std::fs::read_to_string(root().join("python/src/btctl/__init__.py")).unwrap();
    let version = format!("__version__ = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(init.contains(&version), "python/src/btctl/__init__.py should have {version}");
}
