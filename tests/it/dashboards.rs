//! The dashboards of deploy/grafana: each query of each panel answers with data, asked of a real Prometheus and a real
//! Postgres as Grafana asks them. Grafana itself is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bt_tests::{Cluster, Options, Prometheus, deploy, free_port, wait_until};
use serde_json::Value;

fn grafana() -> PathBuf {
    deploy().join("grafana")
}

fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(grafana().join("dashboards")).unwrap();
    let mut found: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, dashboard)
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["fleet", "queue", "sweep"]);
    found
}

/// Every target of every panel, with the panel's name.
fn targets(source: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = format!("{name}: {}", panel["title"].as_str().unwrap());
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{title} asks nothing");
            let of_source = targets.iter().filter(|target| target["datasource"]["uid"] == source);
            found.extend(of_source.map(|target| (title.clone(), target.clone())));
        }
    }
    found
}

#[test]
fn every_panel_has_a_place_a_title_and_a_source_that_is_there() {
    let sources = fs::read_to_string(grafana().join("provisioning/datasources/btctl.yml")).unwrap();
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["uid"], format!("btctl-{name}"));
        let (mut titles, mut ids, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(titles.insert(panel["title"].to_string()), "{name}: {} is there twice", panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {} has another's id", panel["title"]);
            let place = &panel["gridPos"];
            let [x, y, width, height] = ["x", "y", "w", "h"].map(|key| place[key].as_u64().unwrap());
            assert!(x + width <= 24, "{name}: {} is too wide", panel["title"]);
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                assert!(places.insert(cell), "{name}: {} lies on another", panel["title"]);
            }
            let uid = panel["datasource"]["uid"].as_str().unwrap();
            assert!(sources.contains(&format!("uid: {uid}\n")), "{name}: there is no source {uid}");
        }
    }
}

/// Waits until what is asked for has an answer, for each of these.
#[track_caller]
fn all_answer(asked: Vec<(String, String)>, answers: impl Fn(&str) -> bool) {
    let mut left = asked;
    assert!(left.len() > 5, "{left:?}");
    let mut last = None;
    wait_until(&format!("each query answers; the last that did not: {last:?}"), || {
        left.retain(|(_, query)| !answers(query));
        last = left.first().cloned();
        if let Some(missing) = &last {
            eprintln!("no data yet: {missing:?}");
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn every_query_of_every_panel_has_an_answer() {
    let agent = format!("127.0.0.1:{}", free_port());
    let mut options = Options::default();
    options.agent.extend(["--metrics-address".to_owned(), agent.clone()]);
    let cluster = Cluster::with(options);
    let prometheus = Prometheus::start(cluster.address().trim_start_matches("http://"), &agent);
    let script = "test {{ n }} = 2 && exit 3; echo '{\"sharpe\": {{ n }}.5}' > /results/metrics.json";
    // A rate shows what happens after a series was first read, and how long a short job ran is not always known.
    let mut sweep = String::new();
    for run in 1_u32.. {
        assert!(run < 20, "no job's time was measured");
        sweep = cluster.submit(&["--name", "grid", "--matrix", "n=1:4", "--retries", "0"], script);
        cluster.wait_ended(&sweep);
        prometheus.wait_value("sum(btctl_attempts_ended_total)", f64::from(run) * 4.0);
        let measured = prometheus.value("sum(increase(btctl_job_run_seconds_count[5m]))");
        if run >= 2 && measured.is_some_and(|measured| measured > 0.0) {
            break;
        }
    }

    let promql = |(title, target): (String, Value)| {
        let query = target["expr"].as_str().unwrap();
        let query = query.replace("$__rate_interval", "5m").replace("$__range", "5m");
        assert!(!query.contains('$'), "{title}: {query}");
        (title, query)
    };
    let queries = targets("btctl-prometheus").into_iter().map(promql).collect();
    all_answer(queries, |query| {
        let series = prometheus.query(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        series.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
    });

    let role = format!("grafana_{}", &sweep[..8]);
    cluster.database.query(&format!(
        "create role {role}; grant usage on schema reports to {role}; grant select on all tables in schema reports to {role}"
    ));
    let read = |sql: &str| cluster.database.query(&format!("set role {role}; {sql}"));
    let filled = |sql: &str| {
        let mut sql = sql
            .replace("${sweep:sqlstring}", &format!("'{sweep}'"))
            .replace("${metric:sqlstring}", "'sharpe'")
            .replace("${parameter:sqlstring}", "'n'");
        let time = "finished_at between now() - interval '1 day' and now() + interval '1 hour'";
        sql = sql.replace("$__timeFilter(finished_at)", time);
        sql = sql.replace("$__timeGroup(finished_at, '1m')", "date_trunc('minute', finished_at)");
        assert!(!sql.contains('$'), "{sql}");
        sql
    };
    let rows = |(title, target): (String, Value)| (title, filled(target["rawSql"].as_str().unwrap()));
    all_answer(targets("btctl-postgres").into_iter().map(rows).collect(), |sql| !read(sql).is_empty());
    for (variable, expected) in [("sweep", sweep.as_str()), ("metric", "sharpe"), ("parameter", "n")] {
        let (_, dashboard) = dashboards().pop().unwrap();
        let variables = dashboard["templating"]["list"].as_array().unwrap().clone();
        let found = variables.iter().find(|found| found["name"] == variable).unwrap();
        let values = read(&filled(found["query"].as_str().unwrap()));
        assert!(values.iter().any(|row| row.ends_with(expected)), "{variable}: {values:?}");
    }
}

#[test]
fn grafana_starts_only_with_a_password_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("grafana");
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nenv\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let start = |env: &[(&str, &str)]| {
        let mut command = Command::new(grafana().join("start"));
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        command.env_clear().env("PATH", path).envs(env.iter().copied()).output().unwrap()
    };
    for (env, told) in [
        (vec![], "BTCTL_GRAFANA_PASSWORD is not set"),
        (vec![("BTCTL_GRAFANA_PASSWORD", "admin")], "must not be `admin`"),
        (vec![("BTCTL_GRAFANA_PASSWORD", "own")], "BTCTL_GRAFANA_POSTGRES_PASSWORD is not set"),
    ] {
        let output = start(&env);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    }
    let output = start(&[("BTCTL_GRAFANA_PASSWORD", "own"), ("BTCTL_GRAFANA_POSTGRES_PASSWORD", "reader")]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.starts_with("server --config "), "{told}");
    // Every variable that the files of Grafana name has a value.
    for file in ["grafana.ini", "provisioning/datasources/btctl.yml", "provisioning/dashboards/btctl.yml"] {
        let text = fs::read_to_string(grafana().join(file)).unwrap();
        for part in text.split("BTCTL_").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            assert!(told.contains(&format!("\nBTCTL_{name}=")), "{file} names BTCTL_{name}");
        }
    }
    let ini = fs::read_to_string(grafana().join("grafana.ini")).unwrap();
    for line in
        ["admin_password = $__env{BTCTL_GRAFANA_PASSWORD}", "allow_sign_up = false", "enabled = false"]
    {
        assert!(ini.lines().any(|found| found == line), "grafana.ini lacks {line}");
    }
}
