//! Who may name a secret, where it may be sent, and what is refused.

use std::process::Command;

use bt_tests::{Cluster, Options, Process, btctl_path, free_port, wait_until};
use serde_json::json;

use super::{Keyed, log, private, shown};

#[test]
fn who_may_name_a_secret_is_said_by_operators() {
    let keyed = Keyed::with(Options { tokens: true, ..Options::simulated(&[]) }, true);
    let cluster = &keyed.cluster;
    let token = |name: &str, role: &str| cluster.token(name, &["--role", role]);
    let (ann, bob, eve, olga) = (
        token("ann", "submitter"),
        token("bob", "submitter"),
        token("eve", "viewer"),
        token("olga", "operator"),
    );
    keyed.stored("ANNS", "a-value", &["--for", "ann"]);
    keyed.stored("OPS", "a-value", &[]);
    keyed.stored("ALL", "a-value", &["--for", "*"]);
    let submit = |token: &str, secret: &str| {
        cluster.run_as(token, &["submit", "--image", "x", "--secret", secret, "-o", "json", "--", "x"])
    };
    let code = |token: &str, secret: &str| submit(token, secret).code;
    assert_eq!(["ANNS", "ALL", "OPS"].map(|name| code(&ann, name)), [0, 0, 2]);
    assert_eq!(["ANNS", "ALL", "OPS"].map(|name| code(&bob, name)), [2, 0, 2]);
    assert_eq!(["ANNS", "ALL", "OPS"].map(|name| code(&olga, name)), [0, 0, 0]);
    let refused = |name: &str| submit(&bob, name).stderr.replace(name, "NAME");
    assert_eq!(
        refused("ANNS"),
        refused("NONE"),
        "one that is not there and another's are refused in the same words"
    );
    assert!(
        refused("ANNS").contains("there is no secret NAME that sweeps of bob may name"),
        "{}",
        refused("ANNS")
    );

    let names = |token: &str| cluster.run_as(token, &["secrets", "ls", "-o", "name"]).stdout;
    assert_eq!(
        [&ann, &bob, &eve, &olga].map(|token| names(token)),
        ["ALL\nANNS\n", "ALL\n", "", "ALL\nANNS\nOPS\n"]
    );
    for (token, what) in [(&ann, "set"), (&bob, "rm"), (&eve, "set")] {
        let value = keyed.write("v", "x");
        let args = if what == "set" {
            vec!["secrets", "set", "MINE", "--file", &value]
        } else {
            vec!["secrets", "rm", "ALL"]
        };
        assert_eq!(cluster.run_as(token, &args).code, 4, "{args:?}");
    }
    // The same owners where nobody is named; and nobody's again.
    keyed.stored("ANNS", "another", &[]);
    assert_eq!(cluster.json(&["secrets", "ls"])[1]["owners"], json!(["ann"]));
    cluster.ok(&["secrets", "rm", "ANNS"]);
    assert_eq!(code(&ann, "ANNS"), 2);
    assert_eq!(cluster.run(&["secrets", "rm", "ANNS"]).code, 3);
    // Entries are written beside the answers' way.
    let audit = cluster.ok(&["audit", "-o", "json"]);
    for what in ["Secrets/SetSecret", "Secrets/RemoveSecret"] {
        assert!(audit.contains(what), "{audit}");
    }
    assert!(!audit.contains("a-value"), "{audit}");
}

#[test]
fn mistakes_are_told_before_anything_is_stored() {
    let keyed = Keyed::with(Options::simulated(&[]), false);
    let long = "x".repeat((64 << 10) + 1);
    for (name, value, words) in [
        ("3X", "v", "is not the name of a secret"),
        ("X", "", "it is empty"),
        ("X", "\n", "it is empty"),
        ("X", &long, "65536 are the most"),
    ] {
        let set = keyed.set(name, value, &[]);
        assert!(set.code == 2 && set.stderr.contains(words), "{set:?}");
    }
    let missing = keyed.cluster.run(&["secrets", "set", "X", "--file", "/nonexistent"]);
    assert!(missing.code != 0 && missing.stderr.contains("/nonexistent"), "{missing:?}");
    let owner = keyed.set("X", "v", &["--for", " "]);
    assert!(owner.code == 2 && owner.stderr.contains("an owner"), "{owner:?}");
    assert_eq!(keyed.cluster.json(&["secrets", "ls"]), json!([]));

    // Without a key.
    let cluster = Cluster::without_agent(Options::simulated(&[]));
    let refused = cluster.run(&["secrets", "set", "X", "--file", &keyed.write("v", "v")]);
    assert!(refused.code == 4 || refused.code == 1, "{refused:?}");
    assert!(
        refused.stderr.contains("openssl rand -hex 32") && refused.stderr.contains("--secrets-key-file"),
        "{refused:?}"
    );
    private(&keyed.file("key"), "hunter2");
    let refused = keyed.set("X", "v", &[]);
    assert!(refused.stderr.contains("it is no key") && !refused.stderr.contains("hunter2"), "{refused:?}");
}

#[test]
fn a_machine_can_hold_its_own() {
    let mut keyed = Keyed::with(Options::default(), false);
    let (path, path_of_both) = (keyed.write("host", "from-host\n"), keyed.write("both", "from-host\n"));
    let held = [
        "--secret".to_owned(),
        format!("HOST={path}"),
        "--secret".to_owned(),
        format!("BOTH={path_of_both}"),
    ];
    let plain: Vec<_> = Options::default().agent;
    keyed.cluster.add_agent_with("plain", &plain);
    let refused = keyed.cluster.run(&["submit", "--image", "btctl-test:1", "--secret", "HOST", "--", "true"]);
    assert!(refused.code == 2 && refused.stderr.contains("there is no secret HOST"), "{refused:?}");
    keyed.cluster.add_agent_with("holder", &[&plain[..], &held].concat());
    keyed.stored("BOTH", "from-coordinator", &[]);
    let cluster = &keyed.cluster;
    let shows = |name: &str| format!("rev < /run/secrets/{name}; echo");
    let sweep = cluster.submit(&["--secret", "HOST", "--matrix", "n=1,2,3,4"], &shows("HOST"));
    cluster.wait_ended(&sweep);
    for job in cluster.json(&["jobs", &sweep]).as_array().unwrap() {
        assert_eq!((&job["state"], &job["agent"]), (&json!("succeeded"), &json!("holder")), "{job}");
    }
    assert_eq!(cluster.ok(&["logs", &format!("{sweep}/0")]), "tsoh-morf\n");
    let both = cluster.submit(&["--secret", "BOTH"], &shows("BOTH"));
    assert_eq!(log(cluster, &both), "rotanidrooc-morf\n", "the coordinator's counts");
    cluster.ok(&["secrets", "rm", "BOTH"]);
    let both = cluster.submit(&["--secret", "BOTH"], &shows("BOTH"));
    assert_eq!(log(cluster, &both), "tsoh-morf\n");
    // Another value counts from the next job on.
    keyed.write("host", "another\n");
    let sweep = cluster.submit(&["--secret", "HOST"], &shows("HOST"));
    assert_eq!(log(cluster, &sweep), "rehtona\n");

    // The one that holds it goes, and the job waits for it.
    assert_eq!(keyed.cluster.agent().terminate(), 0);
    let cluster = &keyed.cluster;
    let sweep = cluster.submit(&["--secret", "HOST"], &shows("HOST"));
    wait_until("it says what it waits for", || {
        let explained = cluster.ok(&["explain", &format!("{sweep}/0")]);
        explained.contains("it holds no secret HOST (btctl agent --secret HOST=FILE)").then_some(())
    });
    keyed.cluster.add_agent_with("holder", &[&plain[..], &held].concat());
    assert_eq!(log(&keyed.cluster, &sweep), "rehtona\n");
}

#[test]
fn no_secret_is_sent_over_a_line_that_others_can_read() {
    let keyed = Keyed::start();
    let cluster = &keyed.cluster;
    keyed.stored("KEY", "a-value-of-8", &[]);
    // An address of this machine by which other machines reach it.
    let own = Command::new("hostname").arg("-I").output().unwrap();
    let own = String::from_utf8_lossy(&own.stdout).split_whitespace().next().unwrap().to_owned();
    let port = free_port();
    let address = format!("http://{own}:{port}");
    let mut open = Command::new(btctl_path());
    open.args([
        "coordinator",
        "--insecure",
        "--lease",
        "6s",
        "--heartbeat",
        "500ms",
        "--listen",
        &format!("0.0.0.0:{port}"),
    ])
    .args(["--secrets-key-file", &shown(&keyed.file("key")), "--store", &shown(&cluster.store())])
    .env("BTCTL_DATABASE_URL", cluster.database.url());
    let open = Process::start("open", cluster.dir(), &mut open);
    wait_until("it serves", || open.log().contains("listening on").then_some(()));
    let refused =
        cluster.run(&["--coordinator", &address, "secrets", "set", "KEY", "--file", &keyed.write("v", "x")]);
    assert!(refused.code == 4 && refused.stderr.contains("is not encrypted"), "{refused:?}");

    let mut cluster = keyed.cluster;
    assert_eq!(cluster.agent().terminate(), 0);
    cluster.add_agent_of("far", &address, &Options::default().agent);
    let sweep = cluster.submit(&["--secret", "KEY"], "true");
    wait_until("it says why it waits", || {
        let explained = cluster.ok(&["explain", &format!("{sweep}/0")]);
        explained.contains("its line to the coordinator is not encrypted").then_some(())
    });
    assert_eq!(cluster.database.query("select count(*) from attempts"), ["0"]);
}
