//! What owners may queue, run, submit and keep, as its users see it.

use bt_tests::http::curl;
use bt_tests::{Cluster, Finished, Options, wait_until};
use serde_json::{Value, json};

fn asking() -> Options {
    Options { tokens: true, ..Options::simulated(&["--cpus", "64"]) }
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, 4, "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
}

fn submit<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["submit", "--image", "x", "-m", "64m"], more, &["--", "x"]].concat()
}

#[track_caller]
fn quotas(told: &Finished) -> Vec<Value> {
    let all: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    all.as_array().unwrap().clone()
}

#[test]
fn operators_set_quotas_and_everybody_sees_their_own() {
    let cluster = Cluster::without_agent(asking());
    let ann = cluster.token("ann", &["--role", "submitter"]);
    let vic = cluster.token("vic", &["--role", "viewer"]);
    let olga = cluster.token("olga", &["--role", "operator"]);
    let ls = ["quota", "ls", "-o", "json"];
    let run = |token: &str, args: &[&str]| cluster.run_as(token, args);
    refused(&run(&ann, &["quota", "set", "ann", "--queued", "9"]), &["operator, admin"]);
    refused(&run(&vic, &["quota", "rm", "ann"]), &["operator, admin"]);
    assert_eq!(run(&olga, &["quota", "set", "--default", "--queued", "50", "--running", "4"]).code, 0);
    assert_eq!(
        run(&olga, &["quota", "set", "ann", "--queued", "9", "--cpus", "2.5", "--bytes", "1GiB"]).code,
        0
    );
    let said = run(&olga, &["quota", "set", "bob", "--running", "none"]);
    assert!(said.stderr.contains("bob: queued 50"), "{said:?}");

    let seen = quotas(&run(&ann, &ls));
    let owners: Vec<_> = seen.iter().map(|quota| quota["owner"].clone()).collect();
    assert_eq!(owners, [Value::Null, "ann".into()]);
    let used =
        json!({ "queued": 0, "running": 0, "cpus": 0.0, "submits": 0, "bytes": 0, "running_lately": null });
    let expected = json!({
        "owner": "ann", "set": true, "queued": 9, "running": 4, "cpus": 2.5, "submits_per_minute": null,
        "bytes": 1 << 30, "used": used,
    });
    assert_eq!(seen[1], expected);
    assert_eq!(quotas(&run(&vic, &ls)).len(), 1);
    let all = quotas(&run(&olga, &ls));
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!((&all[2]["owner"], &all[2]["running"]), (&"bob".into(), &Value::Null));
    let bearer = format!("Authorization: Bearer {ann}");
    let answer = curl(&cluster, "/api/quotas", &["-H", &bearer]).json();
    assert_eq!(answer["quotas"], json!(seen));

    let audit = cluster.json(&["audit", "--who", "olga"]);
    let entry = &audit[1];
    assert_eq!((&entry["what"], &entry["target"]), (&"Access/SetQuota".into(), &"ann".into()), "{audit}");
    assert_eq!((&entry["before"], &entry["after"]["cpu_millis"]), (&Value::Null, &json!(2500)), "{entry}");
    assert_eq!(run(&olga, &["quota", "rm", "ann"]).code, 0);
    assert_eq!(run(&olga, &["quota", "rm", "ann"]).code, 3);
    for (args, word) in [
        (&["set", "ann"][..], "give one of queued"),
        (&["set", "--queued", "4"], "--default"),
        (&["set", "ann", "--default", "--queued", "4"], "cannot be used with"),
        (&["set", "ann", "--queued", "-1"], "unexpected argument"),
        (&["set", "ann", "--queued", "many"], "a whole number, or none"),
        (&["set", "ann", "--cpus", "0"], "greater than zero"),
        (&["set", "", "--queued", "1"], "an owner's name has"),
    ] {
        let said = run(&olga, &[&["quota"], args].concat());
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert!(said.stderr.contains(word), "{args:?}: {said:?}");
    }
}

#[test]
fn a_submit_beyond_a_quota_is_refused_with_what_would_be_right() {
    let cluster = Cluster::without_agent(asking());
    let ann = cluster.token("ann", &["--role", "submitter"]);
    let bob = cluster.token("bob", &["--role", "submitter"]);
    cluster.ok(&["quota", "set", "--default", "--queued", "10", "--submits-per-minute", "3"]);
    assert_eq!(cluster.run_as(&ann, &submit(&["--matrix", "n=1:6"])).code, 0);
    let told = "ann may have 10 queued jobs: 6 are queued, and these are 6; queue 4 at most";
    refused(&cluster.run_as(&ann, &submit(&["--matrix", "n=1:6"])), &[told]);
    assert_eq!(cluster.run_as(&bob, &submit(&["--matrix", "n=1:10"])).code, 0);

    let open = cluster.run_as(&ann, &submit(&["--name", "open", "--open"]));
    assert_eq!(open.code, 0, "{open:?}");
    let add = |jobs: &[&'static str]| {
        let flags = jobs.iter().flat_map(|job| ["--params", job]);
        let args: Vec<_> = ["add", "open"].into_iter().chain(flags).collect();
        cluster.run_as(&ann, &args)
    };
    assert_eq!(add(&["n=1", "n=2", "n=3", "n=4"]).code, 0);
    refused(&add(&["n=5"]), &["10 are queued, and these are 1"]);
    assert_eq!(cluster.run_as(&ann, &["cancel", "-y", "open"]).code, 0);
    assert_eq!(cluster.run_as(&ann, &submit(&[])).code, 0);
    let told = cluster.run_as(&ann, &submit(&[]));
    refused(&told, &["ann may submit 3 sweeps a minute, and has submitted 3; try again in"]);

    let manifest = "{\"image\": \"x:1\", \"command\": [\"true\"], \"results\": \"/out\"}";
    let bearer = format!("Authorization: Bearer {ann}");
    let flags = ["-H", &bearer, "-H", "Content-Type: application/json", "-d", manifest];
    let answer = curl(&cluster, "/api/sweeps", &flags);
    let after: u32 = answer.header("retry-after").parse().unwrap_or(0);
    assert!((1..=60).contains(&after), "{answer:?}");
    let (status, code, _) = answer.refused();
    assert_eq!((status, code.as_str()), (429, "resource_exhausted"));
    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["4"]);

    let refusals = wait_until("refusals are written down", || {
        let audit = cluster.json(&["audit", "--who", "ann"]);
        let refused = |entry: &&Value| entry["outcome"].as_str().unwrap().contains("refused: ann may");
        let refusals = audit.as_array().unwrap().iter().filter(refused).count();
        (refusals >= 2).then_some(refusals)
    });
    assert!(refusals <= 5, "{refusals}");
}

#[test]
fn who_had_much_lately_lets_others_go_first_where_that_counts() {
    let more = ["--fair-share-half-life", "1h"].map(str::to_owned);
    let options = Options { tokens: true, ..Options::simulated(&["--cpus", "4"]) };
    let mut cluster = Cluster::without_agent(Options { coordinator: more.into(), ..options });
    cluster.database.query("insert into owner_shares (owner, containers) values ('ann', 2.5)");
    let gate = format!("BT_SIM_GATE={}", cluster.dir().join("opened").display());
    for owner in ["ann", "bob"] {
        let token = cluster.token(owner, &["--role", "submitter"]);
        let args = submit(&["--name", owner, "--matrix", "n=1:40", "--cpus", "1", "-e", &gate]);
        let said = cluster.run_as(&token, &args);
        assert_eq!(said.code, 0, "{said:?}");
    }
    let quotas = quotas(&cluster.run(&["quota", "ls", "-o", "json"]));
    let ann = quotas.iter().find(|quota| quota["owner"] == "ann").unwrap();
    assert!((2.0..=2.5).contains(&ann["used"]["running_lately"].as_f64().unwrap()), "{ann}");
    cluster.add_agent("agent");
    wait_until("the agent is full", || (cluster.json(&["ps"]).as_array()?.len() == 4).then_some(()));
    assert_eq!((cluster.count("ann", "running"), cluster.count("bob", "running")), (1, 3));
}

#[test]
fn jobs_wait_while_their_owner_is_at_the_quota_whichever_coordinator_starts_them() {
    let mut cluster = Cluster::without_agent(asking());
    cluster.add_coordinator();
    cluster.ok(&["quota", "set", "ann", "--running", "5"]);
    cluster.ok(&["quota", "set", "bob", "--cpus", "3"]);
    let opened = cluster.dir().join("opened");
    let gate = format!("BT_SIM_GATE={}", opened.display());
    let submit = |owner: &str, name: &str| {
        let token = cluster.token(owner, &["--role", "submitter"]);
        let args = submit(&["--name", name, "--matrix", "n=1:40", "--cpus", "1", "-e", &gate]);
        let said = cluster.run_as(&token, &args);
        assert_eq!(said.code, 0, "{said:?}");
    };
    for name in ["a1", "a2", "a3"] {
        submit("ann", name);
    }
    submit("bob", "b1");
    cluster.add_agent("first");
    cluster.add_agent("second");
    let live = "select coalesce(max(live), 0) from (
        select s.owner, count(*) as live from attempts a join sweeps s on s.id = a.sweep_id
        where a.state in ('leased', 'preparing', 'running', 'publishing') and s.owner = '{}' group by s.owner
    ) x";
    wait_until("it is explained why the others wait", || {
        let told = cluster.run(&["explain", "a3"]).stdout;
        told.contains("ann is at the quota of 5 running jobs: 5 run (btctl quota ls)").then_some(())
    });
    std::fs::write(opened, "").unwrap();
    let mut most = [0, 0];
    wait_until("all jobs have run", || {
        for (place, owner) in ["ann", "bob"].iter().enumerate() {
            let now: u64 = cluster.database.query(&live.replace("{}", owner))[0].parse().unwrap();
            most[place] = most[place].max(now);
        }
        (cluster.database.query("select count(*) from jobs where state = 'succeeded'") == ["160"])
            .then_some(())
    });
    assert!(most[0] <= 5 && most[1] <= 3 && most[0] > 0 && most[1] > 0, "{most:?}");
}
