//! What the set-up scripts say when a machine can't give them what they need.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs a line of bash with only these programs of a test's own, and the shell's basic ones, in the path.
fn bash(line: &str, programs: &[(&str, &str)]) -> Output {
    let dir = TempDir::new().unwrap();
    for basic in [
        "bash", "sh", "env", "sed", "cut", "sort", "head", "tail", "mktemp", "rm", "dirname", "basename",
        "id", "cat",
    ] {
        let found =
            ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(basic)).into_iter().find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), dir.path().join(basic)).unwrap();
    }
    for (name, script) in programs {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("/bin/bash");
    command.args(["-euo", "pipefail", "-c", line]).current_dir(root()).env_clear();
    command.env("PATH", dir.path()).env("HOME", dir.path()).output().unwrap()
}

#[track_caller]
fn fails(output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stdout));
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[test]
fn a_step_that_fails_names_itself_its_cause_and_the_remedy() {
    let line = ". scripts/steps.sh; remedy 'plug it in'; step 'starting it' sh -c 'echo the cause >&2; exit 3'; echo not reached";
    let output = bash(line, &[]);
    fails(&output, &["this step failed: starting it", "exited with 3", "    the cause", "plug it in"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("not reached"));
}

#[test]
fn a_remedy_belongs_to_one_step_alone() {
    let line = ". scripts/steps.sh; remedy 'plug it in'; step 'starting it' true; step 'going on' false";
    let output = bash(line, &[]);
    fails(&output, &["this step failed: going on"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("plug it in"));
}

#[test]
fn set_up_says_that_rust_is_missing_or_old() {
    fails(&bash("scripts/setup", &[]), &["Rust is missing", "https://rustup.rs"]);
    let old = [("cargo", "exit 0"), ("rustc", "echo 'rustc 1.70.0 (90c541806 2023-05-31)'")];
    fails(&bash("scripts/setup", &old), &["Rust is 1.70.0 here", "`rustup update`"]);
}

#[test]
fn set_up_says_which_packages_it_could_not_install() {
    let rust = [("cargo", "exit 0"), ("rustc", "echo 'rustc 99.0.0'")];
    let nothing = bash("scripts/setup", &rust);
    fails(&nothing, &["there is no apt-get on this machine", "gcc"]);
    let sudo = ("sudo", "exec \"$@\"");
    let broken =
        ("apt-get", "case \"$*\" in *install*) echo 'E: Unable to locate package gcc'; exit 100;; esac");
    let output = bash("scripts/setup", &[rust[0], rust[1], sudo, broken]);
    fails(
        &output,
        &[
            "this step failed: installing gcc libc6-dev",
            "E: Unable to locate package gcc",
            "install these by hand",
        ],
    );
    let offline = ("apt-get", "echo 'E: Failed to fetch'; exit 100");
    let output = bash("scripts/setup", &[rust[0], rust[1], sudo, offline]);
    fails(
        &output,
        &["this step failed: fetching the lists of packages", "E: Failed to fetch", "/etc/apt/sources.list"],
    );
}

#[test]
fn set_up_knows_only_the_set_ups_that_there_are() {
    let output = bash("scripts/setup tset", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no set-up for 'tset'"));
}
