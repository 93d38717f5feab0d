//! The lists that pages show: sweeps with their best jobs and their rates, what the fleet gave, and the queue.

use bt_tests::http::{curl, get};
use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

fn listed(cluster: &Cluster, name: &str) -> Value {
    let sweeps = get(cluster, &format!("/api/sweeps?all=true&name={name}")).json();
    sweeps["sweeps"][0].clone()
}

/// A sweep's best job: the metric, its value and the job.
#[track_caller]
fn best(cluster: &Cluster, name: &str) -> (String, f64, u64) {
    let best = listed(cluster, name)["best"].clone();
    let metric = best["metric"].as_str().unwrap_or_else(|| panic!("{name} has no best job"));
    (metric.to_owned(), best["value"].as_f64().unwrap(), best["job"].as_u64().unwrap())
}

#[track_caller]
fn import(cluster: &Cluster, sweep: &str, table: &str) {
    let file = cluster.dir().join("table.csv");
    std::fs::write(&file, table).unwrap();
    cluster.ok(&["metrics", "import", sweep, "--overwrite", "--table", file.to_str().unwrap()]);
}

#[test]
fn a_list_has_the_best_job_of_each_sweep_by_its_goal() {
    let cluster = Cluster::start();
    let metrics =
        r#"echo "{\"sharpe\": 1.$BT_PARAM_N, \"dd\": $BT_PARAM_N, \"other\": 7}" > /results/metrics.json"#;
    let usual = cluster.submit(&["--name", "averages", "--matrix", "n=0:3"], metrics);
    let goal = cluster.submit(&["--name", "falls", "--matrix", "n=1:3", "--goal", "dd=minimize"], metrics);
    let none = cluster.submit(&["--name", "plain"], "true");
    for sweep in [&usual, &goal, &none] {
        cluster.wait_ended(sweep);
    }
    assert_eq!(best(&cluster, "averages"), ("sharpe".to_owned(), 1.3, 3));
    assert_eq!(best(&cluster, "falls"), ("dd".to_owned(), 1.0, 0));
    assert_eq!(listed(&cluster, "plain")["best"], Value::Null);
    let page = get(&cluster, "/?all=true").text();
    assert!(page.contains(&format!("sharpe <a href=\"sweeps/{usual}/jobs/3\">1.3000</a>")), "{page}");
    // What is reported later counts, and what is taken back does not.
    import(&cluster, &usual, "job,sharpe\n1,9\n");
    assert_eq!(best(&cluster, "averages"), ("sharpe".to_owned(), 9.0, 1));
    import(&cluster, &usual, "job,sharpe\n1,0.5\n");
    assert_eq!(best(&cluster, "averages"), ("sharpe".to_owned(), 1.3, 3));
    import(&cluster, &none, "job,cagr\n0,0.1\n");
    assert_eq!(best(&cluster, "plain"), ("cagr".to_owned(), 0.1, 0));
    assert_eq!(cluster.json(&["ls", "--all"])[0]["best"]["metric"], "cagr");

    // A part of a name finds it; what finds nothing says so.
    let found = get(&cluster, "/?name=vera&all=true").text();
    assert!(found.contains(">averages</a>") && !found.contains(">falls</a>"), "{found}");
    assert!(get(&cluster, "/?name=nothing").text().contains("No sweep is like that"));
}

#[test]
fn a_list_says_how_fast_a_sweep_is_and_how_long_it_still_takes() {
    let cluster = Cluster::start();
    let script = "while [ $BT_PARAM_N = 3 ] && [ ! -e /results/end ]; do sleep 0.05; done";
    let sweep = cluster.submit(&["--name", "fast", "--matrix", "n=0:3"], script);
    cluster.wait_count(&sweep, "succeeded", 3);
    wait_until("the fleet was looked at", || {
        (cluster.database.query("select count(*) > 0 from fleet_samples") == ["t"]).then_some(())
    });
    // As if it had been submitted an hour ago, and no job had ended two minutes ago.
    for sql in [
        format!("update sweeps set created_at = now() - interval '1 hour' where id = '{sweep}'"),
        "delete from sweep_samples".to_owned(),
        format!("insert into sweep_samples values ('{sweep}', now() - interval '2 minutes', 0)"),
    ] {
        cluster.database.query(&sql);
    }
    let shown = listed(&cluster, "fast");
    let rate = shown["jobs_per_minute"].as_f64().unwrap();
    assert!(rate > 0.5 && rate <= 1.5, "three in two minutes: {shown}");
    let left = shown["seconds_left"].as_f64().unwrap();
    assert!((left - 60.0 / rate).abs() < 1e-6, "one is left: {shown}");
    cluster.touch(&sweep, "/results/end");
    cluster.wait_ended(&sweep);
    let shown = listed(&cluster, "fast");
    assert_eq!((&shown["jobs_per_minute"], &shown["seconds_left"]), (&Value::Null, &Value::Null), "{shown}");
}

#[test]
fn the_load_of_the_fleet_is_kept_once_a_minute_and_drawn() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "8", "--label", "zone=a"]));
    wait_until("the fleet was looked at", || {
        (cluster.database.query("select count(*) > 0 from fleet_samples") == ["t"]).then_some(())
    });
    let past = "insert into fleet_samples
        select date_trunc('minute', now()) - i * interval '1 minute', 1, 2, 3, 8000, 4000, 1 << 30, 1 << 29, 0, 0
        from generate_series(1, 1500) i on conflict do nothing";
    cluster.database.query(past);
    let fleet = get(&cluster, "/api/fleet").json();
    let samples = fleet["samples"].as_array().unwrap();
    let past = &samples[samples.len() - 10];
    assert_eq!((&past["ready"], &past["connected"], &past["running"]), (&1.into(), &2.into(), &3.into()));
    assert_eq!((&past["offered"]["cpus"], &past["used"]["cpus"]), (&8.0.into(), &4.0.into()), "{past}");
    assert_eq!(past["used"]["memory_bytes"], 1 << 29, "{past}");
    let page = get(&cluster, "/agents").text();
    for text in [
        "Cpus used, of those that are offered",
        "class=\"used\"",
        "class=\"offered\"",
        "now</text>",
        "<div>zone=a</div>",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    // What is older than a day goes with the next one.
    wait_until("a minute is over", || {
        let sql = "select count(*), count(*) filter (where at < now() - interval '24 hours 1 minute') from fleet_samples";
        let counted = cluster.database.query(sql);
        let (all, old) = counted[0].split_once('|').unwrap();
        (old == "0").then(|| assert!(all.parse::<u32>().unwrap() <= 1_442, "{all}"))
    });
}

#[test]
fn an_address_that_there_is_not_helps_people_and_answers_programs_in_json() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&["--name", "averages"]);
    let browser = ["-H", "Accept: text/html,application/xhtml+xml,*/*;q=0.8"];
    let lost = curl(&cluster, "/nothing/at/all", &browser);
    assert_eq!((lost.status, lost.kind()), (404, "text/html; charset=utf-8"));
    assert!(
        lost.text().contains("There is no page /nothing/at/all")
            && lost.text().contains("href=\"../../../\"")
            || lost.text().contains("href=\"../.././\""),
        "{lost:?}"
    );
    assert_eq!(get(&cluster, "/nothing/at/all").refused().1, "not_found");
    assert_eq!(curl(&cluster, "/api/nothing", &browser).refused().1, "not_found");
    let near = get(&cluster, "/sweeps/averagse");
    assert!(near.status == 404 && near.text().contains("href=\"../sweeps/averages\">averages"), "{near:?}");
    for job in ["99", "first"] {
        let no_job = get(&cluster, &format!("/sweeps/averages/jobs/{job}"));
        let there = format!("href=\"../../../sweeps/{sweep}\">averages");
        assert!(no_job.status == 404 && no_job.text().contains(&there), "{no_job:?}");
    }
    cluster.ok(&["cancel", &sweep]);
}
