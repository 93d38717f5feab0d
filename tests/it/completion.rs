//! What a real bash completes, with a coordinator and without.

use std::process::Command;

use bt_tests::{Cluster, Options, btctl_path};

/// What bash offers for the last of these words.
fn complete(coordinator: &str, home: &std::path::Path, words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(btctl completions bash) || exit 9
        COMP_WORDS=(btctl "$@"); COMP_CWORD=$#; COMP_TYPE=9
        _clap_complete_btctl btctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = std::env::var("PATH").unwrap_or_default();
    let dir = btctl_path().parent().unwrap().display().to_string();
    // A shell that hangs is ended by `timeout`, with its own exit code.
    let mut bash = Command::new("timeout");
    bash.args(["60", "bash", "--norc", "-c", script, "bash"]).args(words);
    bash.env("PATH", format!("{dir}:{path}")).env("BTCTL_COORDINATOR", coordinator).env("HOME", home);
    bash.env("XDG_CONFIG_HOME", home.join("config")).env("XDG_STATE_HOME", home.join("state"));
    let output = bash.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn names_are_completed_from_the_coordinator() {
    let mut cluster = Cluster::without_agent(Options::simulated(&[]));
    cluster.add_agent("node7");
    let id = cluster.submit_simulated(&["--name", "sma-cross", "--matrix", "n=0:11:1", "--tag", "nightly"]);
    cluster.submit_simulated(&["--name", "sma-slow"]);
    cluster.wait_ended(&id);
    let complete = |words: &[&str]| complete(&cluster.address(), cluster.dir(), words);
    assert_eq!(complete(&["show", "sma"]), ["sma-cross", "sma-slow"]);
    assert_eq!(complete(&["results", "get", &id[..6]]), [id.as_str()]);
    assert_eq!(complete(&["logs", "sma-cross/1"]), ["sma-cross/1", "sma-cross/10", "sma-cross/11"]);
    assert_eq!(complete(&["agents", "drain", "no"]), ["node7"]);
    assert_eq!(complete(&["ls", "--tag", "n"]), ["nightly"]);
    assert_eq!(complete(&["canc"]), ["cancel"]);
    cluster.database.query(&format!(
        "update jobs set metrics = '{{\"sharpe\": 1, \"dd\": 2}}' where sweep_id = '{id}' and number = 0"
    ));
    assert_eq!(complete(&["top", "sma-cross", "--by", "sh"]), ["sharpe"]);
    let misspelt = cluster.run(&["top", "sma-cross", "--by", "sharp"]);
    assert!(misspelt.code == 2 && misspelt.stderr.contains("did you mean sharpe?"), "{misspelt:?}");
}

#[test]
fn a_coordinator_that_does_not_answer_completes_nothing() {
    let home = tempfile::tempdir().unwrap();
    // One where nothing listens, and one that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for coordinator in ["http://127.0.0.1:1", &silent] {
        assert_eq!(complete(coordinator, home.path(), &["show", "sma"]), Vec::<String>::new());
        assert_eq!(complete(coordinator, home.path(), &["canc"]), ["cancel"]);
    }
}

#[test]
fn every_shell_gets_a_script() {
    let cluster = Cluster::without_agent(Options::default());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = cluster.ok(&["completions", shell]);
        assert!(script.contains("BTCTL_COMPLETE"), "{shell}: {script}");
    }
}
