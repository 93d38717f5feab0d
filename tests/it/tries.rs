//! What users read about jobs that are tried again, and about attempts that are not counted.

use bt_proto::v1::{self, report};
use bt_tests::{Cluster, Options, ScriptedAgent, wait_until};
use serde_json::{Value, json};

#[test]
fn between_tries_the_last_failure_is_told() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "8"]));
    let flags = ["--matrix", "n=1:2", "--matrix", "m=1:2", "-e", "BT_SIM_EXIT={{ n }}", "--retries", "20"];
    let sweep = cluster.submit_simulated(&flags);
    let query = |sql: &str| cluster.database.query(sql);
    wait_until("each has failed", || (query("select min(failures) > 0 from jobs") == ["t"]).then_some(()));
    // From now on nothing starts.
    cluster.ok(&["agents", "drain", "agent"]);
    wait_until("all wait", || (cluster.count(&sweep, "queued") == 4).then_some(()));
    let [first] = &query("select max(number) from attempts where job = 0")[..] else { panic!("no attempt") };

    let told = cluster.ok(&["explain", &format!("{sweep}/0")]);
    assert!(told.contains(&format!("attempt {first} failed on agent agent: exit(1); ")), "{told}");
    let told = cluster.ok(&["show", &sweep]);
    assert!(told.contains("4 jobs wait for another try: 2 exit(1), 2 exit(2)"), "{told}");
    assert!(
        told.contains(&format!("btctl explain {sweep}/0")) || told.contains("btctl explain x/0"),
        "{told}"
    );
    let told = cluster.ok(&["show", &format!("{sweep}/0")]);
    assert!(told.contains(&format!("attempt {first}: exit(1)")), "{told}");
    let told = cluster.ok(&["jobs", &sweep]);
    assert!(told.contains(&format!("attempt {first}: exit(1)")), "{told}");

    let shown = cluster.json(&["show", &sweep]);
    let groups = shown["retrying"].as_array().unwrap();
    let told = |group: &Value| {
        json!([
            group["state"],
            group["reason"],
            group["jobs"],
            group["first_job"],
            group["next_try"].is_string()
        ])
    };
    let expected = [json!(["failed", "exit(1)", 2, 0, true]), json!(["failed", "exit(2)", 2, 2, true])];
    assert_eq!(groups.iter().map(told).collect::<Vec<_>>(), expected);
    let last = &cluster.json(&["jobs", &sweep])[3]["last_failure"];
    assert_eq!((&last["reason"], &last["agent"]), (&json!("exit(2)"), &json!("agent")), "{last}");
    assert!(last["next_try"].is_string() && last["attempt"].is_number(), "{last}");

    cluster.ok(&["cancel", &sweep]);
    assert_eq!(cluster.json(&["show", &sweep])["retrying"], json!([]));
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["last_failure"], Value::Null);
}

#[test]
fn what_is_handed_back_before_it_starts_is_no_attempt_and_is_not_lost() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&[]);
    let job = format!("{sweep}/0");
    let address = cluster.address();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = |why: &str| {
        report::Kind::Released(v1::Released { why: why.to_owned(), refused: true, ..v1::Released::default() })
    };
    let mut first = runtime.block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        let attempt = agent.assignment().await.attempt;
        agent.drain(&[&attempt]).await;
        let sent = agent.report(&attempt, refused("has no volume prices")).await;
        assert_eq!(agent.ack(sent).await, Some(true));
        agent
    });
    let shown = cluster.json(&["show", &job]);
    assert_eq!((&shown["state"], &shown["attempts"]), (&json!("queued"), &json!(0)), "{shown}");
    assert_eq!(shown["history"][0]["state"], "returned", "{shown}");
    assert_eq!(shown["last_failure"], Value::Null);
    assert_eq!(cluster.json(&["show", &sweep])["retrying"], json!([]));
    let told = cluster.ok(&["explain", &job]);
    assert!(
        told.contains("agent scripted handed it back, which is no attempt: has no volume prices"),
        "{told}"
    );
    let told = cluster.ok(&["show", &job]);
    assert!(told.contains("1 handed back by agent scripted"), "{told}");
    for text in [&told, &cluster.ok(&["show", &sweep])] {
        assert!(!text.contains("lost"), "{text}");
    }

    let log = cluster.run(&["logs", &sweep]);
    assert!(log.code == 3 && log.stderr.contains("has not started yet"), "{log:?}");

    // One that has run is an attempt, whoever ended it.
    let mut second = runtime.block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        let attempt = agent.assignment().await.attempt;
        agent.drain(&[&attempt]).await;
        agent.report(&attempt, report::Kind::Running(v1::Running { image_id: "sha256:1".into() })).await;
        let sent = agent.report(&attempt, report::Kind::Released(v1::Released::default())).await;
        assert_eq!(agent.ack(sent).await, Some(true));
        agent
    });
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["attempts"], 1);
    runtime.block_on(async {
        let mut third = ScriptedAgent::first(&address).await;
        let attempt = third.assignment().await.attempt;
        let exit = v1::Reason { kind: Some(v1::reason::Kind::Exit(3)) };
        let failed = v1::Failed { reason: Some(exit), ..v1::Failed::default() };
        let sent = third.report(&attempt, report::Kind::Failed(failed)).await;
        assert_eq!(third.ack(sent).await, Some(true));
        for agent in [&mut first, &mut second] {
            agent.drain(&[]).await;
        }
    });
    let jobs = cluster.json(&["jobs", &sweep]);
    assert_eq!((&jobs[0]["state"], &jobs[0]["attempts"]), (&json!("failed"), &json!(2)), "{jobs}");
    let told = cluster.ok(&["explain", &job]);
    assert!(told.contains("it failed after 2 attempts, the last one on agent scripted: exit(3)"), "{told}");
    assert_eq!(cluster.database.query("select attempts, returned, losses from jobs"), ["3|1|0"]);
    assert_eq!(cluster.database.query("select attempts from reports.jobs"), ["2"]);
}
