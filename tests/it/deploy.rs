//! deploy/ and the pages for strangers, as far as they run without a cluster and a cloud: scripts/check-deploy does it.

use std::path::Path;
use std::process::Command;

use bt_tests::btctl_path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn make(images: &[&str]) {
    let mut command = Command::new(root().join("scripts/images"));
    let made = command.args(images).env("BTCTL_BINARY", btctl_path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[track_caller]
fn check(part: &str, said: &str) {
    let mut command = Command::new(root().join("scripts/check-deploy"));
    let checked = command.arg(part).env("BTCTL_BINARY", btctl_path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{out}{err}");
    assert!(out.contains(said), "{out}");
}

/// The chart's pods, by Docker as their objects say: walls, secrets, directories, probes, a join, a sweep, an end.
#[test]
fn pods_run_as_the_chart_says() {
    make(&["test", "btctl", "services"]);
    check("pods", "3 jobs ran as the objects say");
}

/// The tutorial and the guide to images, block by block; calls of btctl in the how-tos, against its help.
#[test]
fn the_tutorial_and_the_how_tos_are_true() {
    make(&["base"]);
    check("pages", "blocks of the tutorial");
}

/// The playbook on a server with systemd: it joins, a second run changes nothing, a new program is gone on as.
#[test]
fn the_playbook_makes_an_idle_server_an_agent() {
    make(&["test", "node"]);
    check("node", "a second run changed nothing");
}

/// A part that is not there is refused, with those that are.
#[test]
fn a_wrong_part_is_refused() {
    let checked = Command::new(root().join("scripts/check-deploy")).arg("pod").output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(
        said.contains("there is no part 'pod'; there are chart, terraform, roles, pods, pages, node"),
        "{said}"
    );
}
