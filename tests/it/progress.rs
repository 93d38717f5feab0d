//! What running jobs say of how far they are: where it is shown, while it is true, and what of it is not believed.

use std::fs;
use std::process::Command;

use bt_proto::v1;
use bt_tests::{Cluster, Options, ScriptedAgent, wait_until};
use serde_json::{Value, json};

/// Writes its second word into the progress file as a whole.
const SAY: &str = r#"say() { echo "$1" > /results/.next; mv /results/.next /results/progress; }"#;

#[track_caller]
fn page(cluster: &Cluster, path: &str) -> String {
    let address = format!("{}{path}", cluster.address());
    let output = Command::new("curl").args(["-s", "--fail", "--max-time", "60", &address]).output().unwrap();
    assert!(output.status.success(), "{address}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn asked(cluster: &Cluster, path: &str) -> Value {
    serde_json::from_str(&page(cluster, path)).unwrap()
}

fn job(cluster: &Cluster, sweep: &str, job: usize) -> Value {
    cluster.json(&["jobs", sweep])[job].clone()
}

/// Waits until a job says that it has got so far, and returns what is shown of it.
#[track_caller]
fn wait_fraction(cluster: &Cluster, sweep: &str, number: usize, fraction: f64) -> Value {
    wait_until(&format!("job {number} is at {fraction}"), || {
        let said = job(cluster, sweep, number)["progress"].clone();
        (said["fraction"] == fraction).then_some(said)
    })
}

#[test]
fn how_far_a_job_is_shows_everywhere_while_it_runs() {
    let cluster = Cluster::start();
    let script = format!(
        r#"{SAY}; say '{{"done": 42, "of": 100, "note": "\u001b[31m<b>2012-03", "metrics": {{"sharpe": 0.4, "dd": {{"max": -0.1}}, "x": NaN}}}}'
        until [ -e /results/more ]; do sleep 0.05; done
        say '{{"done": 50, "of": 100, "metrics": {{"sharpe": 0.5}}}}'; {wait}
        echo '{{"sharpe": 1.5}}' > /results/metrics.json"#,
        wait = "while [ ! -e /results/end ]; do sleep 0.05; done",
    );
    let sweep = cluster.submit(&["--name", "far"], &script);
    let said = wait_fraction(&cluster, &sweep, 0, 0.42);
    assert_eq!((&said["done"], &said["of"]), (&42.0.into(), &100.0.into()), "{said}");
    assert_eq!(said["note"], "\u{1b}[31m<b>2012-03", "{said}");
    assert_eq!(said["metrics"], json!({"dd.max": -0.1, "sharpe": 0.4}), "{said}");
    assert!(said["at"].is_string(), "{said}");
    assert_eq!(job(&cluster, &sweep, 0)["metrics"], json!({}), "they are none of the job's metrics");

    let shown = cluster.ok(&["show", "far/0"]);
    for text in ["42 % (42 of 100)", "<b>2012-03", "dd.max -0.1", "sharpe 0.4"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let (listed, running) = (cluster.ok(&["jobs", "far"]), cluster.ok(&["ps"]));
    for text in [&shown, &listed, &running] {
        assert!(text.contains("42 %") && text.contains("\u{241b}[31m<b>2012-03"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert_eq!(cluster.json(&["ps"])[0]["progress"], said);
    assert_eq!(cluster.json(&["show", "far/0"])["progress"], said);
    assert!(cluster.ok(&["jobs", "far", "-o", "csv"]).contains(",0.42,"));
    assert_eq!(asked(&cluster, "/api/sweeps/far/jobs/0")["progress"], said);
    assert_eq!(asked(&cluster, "/api/sweeps/far/jobs")["jobs"][0]["progress"], said);
    assert_eq!(asked(&cluster, "/api/running")["jobs"][0]["progress"], said);
    for path in ["/sweeps/far", "/sweeps/far/jobs/0"] {
        let page = page(&cluster, path);
        for text in
            ["42 % (42 of 100), \u{fffd}[31m&#60;b&#62;2012-03", "class=\"running\" x=\"0\" width=\"42\""]
        {
            assert!(page.contains(text), "{text}: {page}");
        }
    }

    cluster.touch(&sweep, "/results/more");
    wait_fraction(&cluster, &sweep, 0, 0.5);
    let series = asked(&cluster, "/api/sweeps/far/jobs/0/progress");
    assert_eq!((&series["attempt"], &series["progress"]["fraction"]), (&1.into(), &0.5.into()), "{series}");
    let points: Vec<_> = series["points"].as_array().unwrap().iter().map(|point| &point["metrics"]).collect();
    assert_eq!(points, [&json!({"dd.max": -0.1, "sharpe": 0.4}), &json!({"sharpe": 0.5})]);
    assert!(cluster.ok(&["show", "far/0"]).contains("sharpe 0.5 ▁█"), "the way of a metric");
    cluster.touch(&sweep, "/results/end");
    cluster.wait_count(&sweep, "succeeded", 1);
    let ended = job(&cluster, &sweep, 0);
    assert_eq!((&ended["progress"], &ended["metrics"]), (&Value::Null, &json!({"sharpe": 1.5})), "{ended}");
    assert!(!page(&cluster, "/sweeps/far/jobs/0").contains("Progress"));
    // The file is an output like any other.
    let listed = cluster.ok(&["results", "ls", &sweep, "-o", "name"]);
    assert!(listed.lines().any(|line| line == "0/progress"), "{listed}");
}

#[test]
fn what_is_no_progress_is_left_out_with_one_remark_and_the_job_succeeds() {
    let cluster = Cluster::start();
    let cases = [
        ("head -c 10485760 /dev/zero > progress", "progress: it is larger than 16 KiB", "0/progress"),
        ("mkfifo progress", "progress is a named pipe", ""),
        ("ln -s /etc/shadow progress", "progress is a symbolic link", ""),
        ("mkdir progress", "progress is a directory", ""),
        (r"printf '\177ELF\377\376' > progress", "progress: not UTF-8 from byte 4 on", "0/progress"),
        (r#"printf '{"done": 4' > progress"#, "progress: it is no whole JSON", "0/progress"),
        ("echo 42 > progress", "progress: 42 is not from 0 to 1", "0/progress"),
        ("echo running > progress", "progress: it is neither a number nor JSON", "0/progress"),
    ];
    // It goes on when the agent has looked often enough, and so has made its remark.
    let wait = "n=0; while [ $n -lt 90 ]; do sleep 0.1; n=$((n + 1)); done";
    let sweeps: Vec<_> = cases
        .iter()
        .map(|(make, _, _)| cluster.submit(&[], &format!("cd /results; {make}; {wait}")))
        .collect();
    for (sweep, (make, remark, output)) in sweeps.iter().zip(cases) {
        cluster.wait_ended(sweep);
        let shown = cluster.json(&["show", &format!("{sweep}/0")]);
        let note = shown["history"][0]["note"].as_str().unwrap_or_default();
        assert_eq!(shown["state"], "succeeded", "{make}: {shown}");
        assert_eq!(note.matches("its progress is not shown").count(), 1, "{make}: {shown}");
        assert!(note.contains(remark), "{make}: {shown}");
        let listed = cluster.ok(&["results", "ls", sweep, "-o", "name"]);
        assert_eq!(listed.trim(), output, "{make}");
        assert_eq!(cluster.database.query("select count(*) from progress"), ["0"], "{make}");
    }
}

#[test]
fn it_goes_on_when_the_agent_comes_back_and_begins_anew_with_another_attempt() {
    let mut cluster = Cluster::start();
    let script = format!(
        r#"{SAY}; say '{{"done": '$BT_ATTEMPT', "of": 4, "metrics": {{"sharpe": 1}}}}'
        while [ ! -e /results/more ]; do sleep 0.05; done
        [ $BT_ATTEMPT = 2 ] || say 0.75; while [ ! -e /results/end ]; do sleep 0.05; done; exit 3"#
    );
    let sweep = cluster.submit(&["--retries", "1", "--progress", "progress"], &script);
    wait_fraction(&cluster, &sweep, 0, 0.25);
    cluster.agent().kill();
    // What was known outlasts neither the tables nor the session: the agent says it again.
    cluster.database.query("truncate progress, progress_points");
    cluster.touch(&sweep, "/results/more");
    cluster.forget_agents();
    cluster.add_agent("agent");
    wait_fraction(&cluster, &sweep, 0, 0.75);
    assert_eq!(job(&cluster, &sweep, 0)["attempts"], 1, "it is the same attempt");
    cluster.coordinator().kill();
    cluster.database.query("truncate progress, progress_points");
    cluster.start_coordinator();
    wait_fraction(&cluster, &sweep, 0, 0.75);
    cluster.touch(&sweep, "/results/end");
    wait_until("the job is tried again", || {
        let job = job(&cluster, &sweep, 0);
        assert!(job["attempts"] != 2 || job["progress"]["fraction"] != 0.75, "{job}");
        (job["attempts"] == 2 && job["progress"]["fraction"] == 0.5).then_some(())
    });
    let series = asked(&cluster, &format!("/api/sweeps/{sweep}/jobs/0/progress"));
    let points = series["points"].as_array().unwrap();
    assert_eq!((&series["attempt"], points.len()), (&2.into(), 1), "{series}");
    cluster.touch(&sweep, "/results/more");
    cluster.touch(&sweep, "/results/end");
    cluster.wait_count(&sweep, "failed", 1);
}

#[test]
fn points_of_a_batch_and_jobs_of_a_shared_container_speak_for_themselves() {
    let cluster = Cluster::start();
    let script = r#"
        results=${BT_STATUS%/*}; n=0
        { read -r _; while read -r point _; do n=$((n + 1)); echo "{\"done\": $n, \"of\": 4}" > $results/$point/at.json; done; } < $BT_POINTS
        while [ ! -e /results/end ]; do sleep 0.05; done
        { read -r _; while read -r point _; do echo "$point 0" >> $BT_STATUS; done; } < $BT_POINTS"#;
    let flags = ["--batch", "3", "--matrix", "n=0:2", "--progress", "at.json"];
    let sweep = cluster.submit(&flags, script);
    for (number, fraction) in [(0, 0.25), (1, 0.5), (2, 0.75)] {
        wait_fraction(&cluster, &sweep, number, fraction);
    }
    let containers = cluster.database.query("select count(distinct batch) from attempts");
    assert_eq!(containers, ["1"]);
    cluster.touch(&sweep, "/results/end");
    cluster.wait_count(&sweep, "succeeded", 3);

    let script = format!(
        "{SAY}; test ! -e /results/progress || exit 5; say 0.$((BT_PARAM_N + 1)); while [ ! -e /results/end ]; do sleep 0.05; done"
    );
    let flags = ["--containers", "reuse", "--matrix", "n=0:1", "--max-parallel", "1"];
    let sweep = cluster.submit(&flags, &script);
    for (number, fraction) in [(0, 0.1), (1, 0.2)] {
        wait_fraction(&cluster, &sweep, number, fraction);
        cluster.touch(&sweep, "/results/end");
        cluster.wait_count(&sweep, "succeeded", number as u64 + 1);
    }
}

/// The statements that have written what jobs say.
fn count_statements(cluster: &Cluster) {
    let counting = "create sequence told;
        create function count_told() returns trigger language plpgsql as 'begin perform nextval(''told''); return null; end';
        create trigger told after insert on progress for each statement execute function count_told()";
    cluster.database.query(counting);
}

#[test]
fn what_two_hundred_jobs_say_is_one_statement() {
    let mut cluster = Cluster::without_agent(Options::simulated(&["--cpus", "400", "--max-jobs", "400"]));
    count_statements(&cluster);
    cluster.add_agent("agent");
    let gate = cluster.dir().join("gate/open").display().to_string();
    let said = r#"BT_SIM_PROGRESS={"done": {{ n }}, "of": 400, "metrics": {"sharpe": {{ n }}}}"#;
    let gate = format!("BT_SIM_GATE={gate}");
    let sweep = cluster.submit_simulated(&["--cpus", "1", "--matrix", "n=1:200", "-e", said, "-e", &gate]);
    let heard = "select count(*) from progress where fraction is not null";
    wait_until("all have said it", || (cluster.database.query(heard) == ["200"]).then_some(()));
    let statements: u32 = cluster.database.query("select last_value from told")[0].parse().unwrap();
    // They start within a second or so, and what one look of the agent finds comes together.
    assert!(statements <= 8, "{statements} statements");
    let running = cluster.json(&["ps"]);
    let running = running.as_array().unwrap();
    assert_eq!(running.len(), 200);
    for one in running {
        let part = (one["job"].as_f64().unwrap() + 1.0) / 400.0;
        assert_eq!(one["progress"]["fraction"], part, "{one}");
    }
    let page = page(&cluster, &format!("/sweeps/{sweep}"));
    assert!(page.contains("180 more run."), "{page}");
    // What has not changed is not said again: when another job is heard, it has been looked at again.
    let begun = cluster.database.query("select max(at) from progress");
    let other = cluster.submit_simulated(&["--cpus", "1", "-e", "BT_SIM_PROGRESS=0.5", "-e", &gate]);
    wait_fraction(&cluster, &other, 0, 0.5);
    let since: u32 = cluster.database.query("select last_value from told")[0].parse().unwrap();
    // One for that job; and once a minute all is said again, also together.
    assert!((1..=2).contains(&(since - statements)), "{since} after {statements}");
    assert_eq!(
        cluster.database.query("select max(at) from progress where fraction <> 0.5 or done = 200"),
        begun
    );
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 200);
}

fn say(attempt: &str, fraction: f64, note: &str) -> v1::AttemptProgress {
    let progress = v1::JobProgress {
        fraction: Some(fraction),
        note: Some(note.to_owned()),
        ..v1::JobProgress::default()
    };
    v1::AttemptProgress { attempt: attempt.to_owned(), progress: Some(progress) }
}

/// An agent is believed no more than a job, and one of a release before this says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_says_is_bounded_and_its_session_goes_on() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:2"]);
    let mut agent = ScriptedAgent::first(&cluster.address()).await;
    let first = agent.assignment().await.attempt;
    agent
        .say(vec![
            say("no id", 0.5, "x"),
            say(&uuid::Uuid::new_v4().to_string(), 0.5, "nobody's"),
            say(&first, f64::NAN, &"\0é".repeat(500)),
            v1::AttemptProgress { attempt: first.clone(), progress: None },
        ])
        .await;
    let sweep = sweep.as_str();
    let said = tokio::task::block_in_place(|| {
        wait_until("it is heard", || {
            let jobs = cluster.json(&["jobs", sweep]);
            let said = jobs[0]["progress"].clone();
            said.is_object().then_some(said)
        })
    });
    let note = said["note"].as_str().unwrap();
    assert!(note.starts_with("\u{fffd}é") && note.chars().count() == 200, "{said}");
    assert_eq!(said["fraction"], Value::Null);
    agent.say(vec![say(&first, 7.0, "too far"), say(&first, 0.75, "then")]).await;
    agent.beat(&[&first]).await;
    assert!(agent.renewed().await);
    let said = tokio::task::block_in_place(|| wait_fraction(&cluster, sweep, 0, 0.75));
    assert_eq!(said["note"], "then");
    assert_eq!(cluster.database.query("select count(*) from progress"), ["1"]);
    assert_eq!(cluster.database.query("select count(*) from progress_points"), ["0"]);
}

#[test]
fn jobs_of_a_warm_container_speak_for_themselves() {
    let cluster = Cluster::with(crate::example::with_prices());
    let program = r#"
import json, os, sys, time
number = int(sys.argv[1])
assert not os.path.exists("/results/progress")
with open("/results/next", "w") as file:
    json.dump({"done": number, "of": 4, "note": "forked", "metrics": {"sharpe": float("nan"), "n": number}}, file)
os.replace("/results/next", "/results/progress")
while not os.path.exists("/gate/open%d" % number):
    time.sleep(0.05)
"#;
    fs::write(cluster.dir().join("gate/job.py"), program).unwrap();
    let manifest = json!({
        "image": "sma-cross:1", "command": ["python3", "/gate/job.py", "{{ n }}"], "matrix": {"n": [1, 2]},
        "containers": "warm", "warm": {"verify": 0}, "max_parallel": 1, "volumes": ["gate:/gate:ro"],
        "resources": {"cpus": 1, "memory": "256MiB"}, "timeout": "120s",
    });
    let path = cluster.dir().join("sweep.json");
    fs::write(&path, manifest.to_string()).unwrap();
    let submitted = cluster.json(&["submit", "-f", &path.display().to_string()]);
    let sweep = submitted["id"].as_str().unwrap();
    for (number, fraction) in [(0, 0.25), (1, 0.5)] {
        let said = wait_fraction(&cluster, sweep, number, fraction);
        assert_eq!((&said["note"], &said["metrics"]), (&"forked".into(), &json!({"n": fraction * 4.0})));
        fs::write(cluster.dir().join(format!("gate/open{}", number + 1)), "").unwrap();
        cluster.wait_count(sweep, "succeeded", number as u64 + 1);
    }
    assert_eq!(cluster.json(&["show", sweep])["warm"], Value::Null, "they ran warm");
}
