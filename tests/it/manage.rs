//! Looking at sweeps, and changing one's mind.

use bt_tests::{Cluster, Options, wait_until};

#[test]
fn a_cancelled_sweep_stops_and_stays_cancelled() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=1:20"], "sleep 100");
    wait_until("containers run", || (cluster.containers(&sweep).len() >= 4).then_some(()));
    cluster.ok(&["cancel", &sweep]);
    assert_eq!(cluster.count(&sweep, "cancelled"), 20);
    wait_until("containers are gone", || cluster.containers(&sweep).is_empty().then_some(()));
    assert_eq!(cluster.count(&sweep, "cancelled"), 20);
}

#[test]
fn one_job_can_be_cancelled_and_retried() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:2"], "[ {{ n }} != 1 ] || sleep 100");
    wait_until("the others have ended", || (cluster.count(&sweep, "succeeded") == 2).then_some(()));
    cluster.ok(&["cancel", &format!("{sweep}/1")]);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "cancelled"), 1);
    cluster.ok(&["retry", &format!("{sweep}/1")]);
    cluster.wait_count(&sweep, "running", 1);
    let missing = cluster.run(&["cancel", &format!("{sweep}/3")]);
    assert_eq!(missing.code, 3, "{missing:?}");
}

#[test]
fn failed_jobs_are_tried_as_often_as_asked_and_again_on_demand() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--retries", "2"], "echo $BT_ATTEMPT; exit 1");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.database.query("select attempts, failures from jobs"), ["3|3"]);
    assert_eq!(cluster.ok(&["logs", &sweep]), "3\n");
    assert_eq!(cluster.ok(&["logs", "--attempt", "1", &sweep]), "1\n");
    cluster.ok(&["retry", &sweep]);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.database.query("select attempts, failures from jobs"), ["6|3"]);
}

#[test]
fn one_poisoned_job_does_not_stop_the_others() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:49", "--cpus", "0.1"], "[ {{ n }} != 17 ]");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 49);
    assert_eq!(cluster.json(&["jobs", &sweep, "--state", "failed"])[0]["job"], 17);
}

#[test]
fn a_sweep_that_no_agent_can_run_says_why() {
    let cluster = Cluster::start();
    let shown = |flags: &[&str]| {
        let sweep = cluster.submit(flags, "true");
        cluster.ok(&["show", &sweep])
    };
    let told = shown(&["--cpus", "64"]);
    assert!(told.contains("64 cpus"), "{told}");
    let told = shown(&["--agent-label", "pool=spot"]);
    assert!(told.contains("pool=spot"), "{told}");
    let lonely = Cluster::without_agent(Options::default());
    let sweep = lonely.submit(&[], "true");
    let told = lonely.ok(&["show", &sweep]);
    assert!(told.contains("btctl agent"), "{told}");
}

#[test]
fn the_agent_never_runs_more_than_its_capacity() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=1:12", "--cpus", "0.6"], "sleep 0.5");
    let mut most = 0;
    wait_until("the sweep has ended", || {
        most = most.max(cluster.running_containers(&sweep).len());
        (cluster.count(&sweep, "succeeded") == 12).then_some(())
    });
    assert!((1..=3).contains(&most), "{most} containers at once, and 2 cpus hold 3 of 0.6");
}

#[test]
fn outputs_of_commands_have_their_stable_forms() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--name", "forms"], "true");
    cluster.wait_ended(&sweep);
    let shown = cluster.json(&["show", "forms"]);
    assert_eq!(shown["id"], sweep);
    assert_eq!(shown["state"], "succeeded");
    let counts = serde_json::json!({"queued": 0, "running": 0, "succeeded": 1, "failed": 0, "cancelled": 0, "pruned": 0});
    assert_eq!(shown["counts"], counts);
    let agents = cluster.json(&["agents", "ls"]);
    assert_eq!(agents[0]["name"], "agent");
    assert_eq!(agents[0]["running"], 0);
    assert!(agents[0]["capacity"].is_object() && agents[0]["free"].is_object());
    assert_eq!(cluster.ok(&["ls", "--all", "-o", "name"]).trim(), "forms");
    let jobs = cluster.json(&["jobs", "forms"]);
    assert_eq!(jobs[0]["state"], "succeeded");
    assert_eq!(jobs[0]["agent"], "agent");
    assert!(jobs[0]["reason"].is_null());
}
