//! How sweeps and agents are named on the command line: what is ambiguous is refused, what is misspelt is mended, and hints
//! name what was meant.

use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

fn with_name(cluster: &Cluster, name: &str) -> String {
    let args = ["submit", "--name", name, "--image", "btctl-test:1", "-m", "64m", "--", "false"];
    cluster.json(&args)["id"].as_str().unwrap().to_owned()
}

fn agent_ids(cluster: &Cluster, name: &str) -> Vec<String> {
    let agents = cluster.json(&["agents", "ls"]);
    let named = agents.as_array().unwrap().iter().filter(|agent| agent["name"] == name);
    named.map(|agent| agent["id"].as_str().unwrap().to_owned()).collect()
}

fn states(cluster: &Cluster, ids: &[String]) -> Vec<String> {
    let agents = cluster.json(&["agents", "ls"]);
    let of = |id: &String| agents.as_array().unwrap().iter().find(|agent| agent["id"] == **id).cloned();
    ids.iter().map(|id| of(id).unwrap()["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_agents_name_that_two_have_is_refused() {
    let mut cluster = Cluster::without_agent(Options::simulated(&[]));
    cluster.add_agent("dup");
    let state = cluster.dir().join("second").display().to_string();
    let second =
        ["agent", "--name", "dup", "--engine", "simulated", "--memory", "1GiB", "--state-dir", &state];
    let mut second = cluster.spawn("second", &second);
    wait_until("both are there", || (agent_ids(&cluster, "dup").len() == 2).then_some(()));
    let ids = agent_ids(&cluster, "dup");
    for command in ["drain", "undrain", "show"] {
        let refused = cluster.run(&["agents", command, "dup"]);
        assert_eq!(refused.code, 2, "{command}: {refused:?}");
        assert!(ids.iter().all(|id| refused.stderr.contains(id.as_str())), "{command}: {refused:?}");
    }
    cluster.ok(&["agents", "drain", &ids[0]]);
    assert_eq!(states(&cluster, &ids), ["draining", "ready"]);
    // A name that only one connected agent has means that one.
    second.kill();
    wait_until("one is offline", || states(&cluster, &ids).contains(&"offline".to_owned()).then_some(()));
    cluster.ok(&["agents", "undrain", "dup"]);
    let connected = ids.iter().find(|id| cluster.json(&["agents", "show", id])["state"] != "offline");
    assert_eq!(cluster.json(&["agents", "show", "dup"])["id"], connected.unwrap().as_str());
    let misspelt = cluster.run(&["agents", "drain", "dupp"]);
    assert!(misspelt.code == 3 && misspelt.stderr.contains("did you mean dup?"), "{misspelt:?}");
}

#[test]
fn a_sweeps_name_means_the_newest_and_hints_name_the_older_by_its_id() {
    let cluster = Cluster::start();
    let old = with_name(&cluster, "sma-cross");
    cluster.wait_ended(&old);
    let shown = cluster.ok(&["show", "sma-cross"]);
    assert!(shown.contains("btctl logs sma-cross/0"), "{shown}");
    let new = with_name(&cluster, "sma-cross");
    cluster.wait_ended(&new);
    let shown = cluster.ok(&["show", &old]);
    assert!(shown.contains(&format!("btctl logs {old}/0")) && !shown.contains("sma-cross/0"), "{shown}");
    assert!(shown.contains(&format!("btctl results get {old} -d DIR")), "{shown}");
    let waited = cluster.run(&["wait", &old]);
    assert!(waited.code == 1 && waited.stderr.contains(&format!("btctl logs {old}/0")), "{waited:?}");
    let explained = cluster.ok(&["explain", &old]);
    assert!(explained.contains(&format!("btctl retry {old}/0")), "{explained}");
    let none = cluster.run(&["results", "get", &old, "-d", "got"]);
    assert!(none.stderr.contains(&format!("btctl show {old}")), "{none:?}");
    assert_eq!(cluster.ok(&["ls", "--all", "-o", "name"]), format!("sma-cross\n{old}\n"));
    // The older one stays addressed by its id, also in a list without the newer.
    cluster.ok(&["retry", "sma-cross"]);
    let retried = cluster.run(&["retry", "sma-cross"]);
    assert!(retried.stderr.contains("the newest of 2 sweeps of that name") && retried.stderr.contains(&new));
    let misspelt = cluster.run(&["show", "sma-crss"]);
    assert!(misspelt.code == 3 && misspelt.stderr.contains("did you mean sma-cross?"), "{misspelt:?}");
    let unknown = cluster.run(&["cancel", "momentum"]);
    assert!(unknown.code == 3 && unknown.stderr.contains("btctl ls --all"), "{unknown:?}");
}

#[test]
fn the_beginning_of_several_ids_is_refused_with_the_ids() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = with_name(&cluster, "one");
    let twins = ["abcdef00-0000-4000-8000-000000000001", "abcdef00-0000-4000-8000-000000000002"];
    for (id, name) in twins.iter().zip(["two", "three"]) {
        cluster.database.query(&format!(
            "insert into sweeps select (jsonb_populate_record(s, jsonb_build_object(
                 'id', '{id}', 'name', '{name}', 'idempotency_key', '{id}'))).*
             from sweeps s where id = '{sweep}'"
        ));
    }
    for command in [&["show", "abcdef"][..], &["cancel", "ABCDEF00"], &["jobs", "abcdef"]] {
        let refused = cluster.run(command);
        assert_eq!(refused.code, 2, "{command:?}: {refused:?}");
        assert!(twins.iter().all(|id| refused.stderr.contains(id)), "{command:?}: {refused:?}");
    }
    assert_eq!(cluster.json(&["show", twins[1]])["name"], "three");
}

#[test]
fn explain_takes_the_job_that_waits_and_says_what_to_do_about_one_that_failed() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:3", "--cpus", "2"], "[ {{ n }} = 0 ] || sleep 100");
    cluster.wait_count(&sweep, "running", 1);
    wait_until("the first has succeeded", || (cluster.count(&sweep, "succeeded") == 1).then_some(()));
    cluster.wait_count(&sweep, "running", 1);
    let explained = cluster.json(&["explain", &sweep]);
    assert_eq!(
        (&explained["state"], &explained["job"]),
        (&Value::from("queued"), &Value::from(2)),
        "{explained}"
    );
    cluster.ok(&["cancel", &sweep]);
    let failing = cluster.submit(&[], "exit 7");
    cluster.wait_ended(&failing);
    let explained = cluster.ok(&["explain", &failing]);
    for part in ["it failed after 1 attempt", "exit(7)", "btctl logs", "btctl retry", "btctl debug"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let cancelled = cluster.ok(&["explain", &format!("{sweep}/3")]);
    assert!(cancelled.contains("it was cancelled") && cancelled.contains("btctl retry"), "{cancelled}");
}
