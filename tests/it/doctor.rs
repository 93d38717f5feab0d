//! `btctl doctor` of a cluster: what is wrong is named, with what to do about it.

use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

/// What the doctor finds, and its exit code.
fn findings(cluster: &Cluster) -> (i32, Vec<Value>) {
    let finished = cluster.run(&["doctor", "-o", "json"]);
    let told: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    (finished.code, told["findings"].as_array().unwrap().clone())
}

/// The worst that was found of one thing, as a text.
fn of(found: &[Value], about: &str) -> String {
    let all: Vec<_> = found.iter().filter(|finding| finding["about"] == about).collect();
    let rank =
        |finding: &&Value| ["ok", "warning", "error"].iter().position(|level| finding["level"] == *level);
    all.into_iter().max_by_key(rank).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn the_doctor_names_what_is_wrong_with_a_cluster() {
    let mut cluster = Cluster::with(Options { tls: true, tokens: true, ..Options::default() });
    let (code, found) = findings(&cluster);
    assert_eq!(code, 0, "{found:?}");
    for (about, words) in [
        ("coordinator", "version "),
        ("clock", "agree"),
        ("schema", "up to date"),
        ("coordinators", "1 were there"),
        ("store", "GiB are free"),
        ("certificate", "valid for 36"),
        ("agents", "1 of 1 take jobs"),
    ] {
        let all: String = found.iter().filter(|each| each["about"] == about).map(Value::to_string).collect();
        assert!(all.contains(words), "{about}: {found:?}");
    }
    let agents = cluster.json(&["agents", "show", "agent"]);
    let ahead: f64 = agents["about"]["clock_ahead_seconds"].as_str().unwrap().parse().unwrap();
    assert!(ahead.abs() < 60.0, "{agents}");

    // Those who may only read are told no more.
    let viewer = cluster.token("viewer", &["--role", "viewer"]);
    let told = cluster.run_as(&viewer, &["doctor"]);
    assert!(told.stdout.contains("token of an operator"), "{told:?}");

    // An agent that is gone leaves a container.
    let sweep = cluster.submit_waiting(&[], "true");
    wait_until("its container runs", || (cluster.running_containers(&sweep).len() == 1).then_some(()));
    cluster.agent().kill();
    let id = cluster.json(&["agents", "ls"])[0]["id"].as_str().unwrap().to_owned();
    wait_until("the agent is offline", || {
        of(&findings(&cluster).1, "agent agent").contains("its machine").then_some(())
    });
    let (code, found) = findings(&cluster);
    assert!(code == 1 && of(&found, "agents").contains("none of 1 takes jobs"), "{found:?}");
    let left: Vec<_> =
        found.iter().filter(|each| each["about"] == "containers").map(Value::to_string).collect();
    assert!(left.iter().any(|each| each.contains(&id) && each.contains("docker rm -f")), "{found:?}");
    cluster.open_gate();
    cluster.add_agent("agent");
    cluster.wait_count(&sweep, "succeeded", 1);
    assert!(findings(&cluster).1.iter().all(|each| !each.to_string().contains(&id)));

    // A store that is not there, and a Postgres that does not answer as it should.
    let away = cluster.dir().join("away");
    std::fs::rename(cluster.store(), &away).unwrap();
    let (code, found) = findings(&cluster);
    assert!(code == 1 && of(&found, "store").contains("error"), "{found:?}");
    std::fs::rename(&away, cluster.store()).unwrap();
    assert_eq!(findings(&cluster).0, 0);
}
