//! The page in a real browser: everybody can use every page of it, with scripts and without, and it shows what Postgres
//! holds.

use std::fs;

use bt_tests::{Cluster, GATE, Options, WAIT_AT_GATE, browse, wait_until};
use serde_json::{Value, json};

/// With a slash, as the scripts expect it.
fn address(cluster: &Cluster) -> String {
    format!("{}/", cluster.address())
}

#[track_caller]
fn read(cluster: &Cluster, paths: &[&str], with_scripts: bool) -> Vec<Value> {
    let given = json!({"address": address(cluster), "paths": paths, "scripts": with_scripts});
    browse("read.mjs", &given).as_array().unwrap().clone()
}

/// The rows of a query, each split into its columns.
fn table(cluster: &Cluster, sql: &str) -> Vec<Vec<String>> {
    let rows = cluster.database.query(sql);
    rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect()
}

/// A sweep that has finished with one failure, and one whose jobs run until the gate is opened.
fn sweeps(cluster: &Cluster) -> (String, String) {
    let script = r#"f=$BT_PARAM_FAST; s=$BT_PARAM_SLOW; echo "fast $f, slow $s"; [ $f-$s != 20-40 ] || exit 3
        echo "{\"sharpe\": 0.$f$s, \"cagr\": $(( s - f )), \"trades\": $s}" > /results/metrics.json"#;
    let finished = cluster.submit(
        &[
            "--name",
            "sma-cross",
            "--matrix",
            "fast=5:20:5",
            "--matrix",
            "slow=40:80:20",
            "--retries",
            "0",
            "--tag",
            "nightly",
            "--note",
            "the usual windows",
        ],
        script,
    );
    cluster.wait_ended(&finished);
    let script = format!(
        "echo 0.42 > /results/.next; mv /results/.next /results/progress; echo waits; {WAIT_AT_GATE}; echo over"
    );
    let running =
        cluster.submit(&[&GATE[..], &["--name", "sma-slow", "--matrix", "n=0:11"]].concat(), &script);
    wait_until("a job says how far it is", || {
        let jobs = cluster.json(&["jobs", &running]);
        jobs.as_array()?.iter().any(|job| job["progress"]["fraction"] == 0.42).then_some(())
    });
    (finished, running)
}

#[test]
fn everybody_can_use_every_page() {
    let cluster = Cluster::start();
    let (finished, running) = sweeps(&cluster);
    let given = json!({
        "address": address(&cluster),
        "pages": {
            "sweeps": "/?all=true", "none": "/?name=nothing", "sweep": format!("/sweeps/{finished}"),
            "running": format!("/sweeps/{running}"), "job": format!("/sweeps/{finished}/jobs/3"),
            "failed": format!("/sweeps/{finished}/jobs/9"), "waits": format!("/sweeps/{running}/jobs/11"),
            "runs": format!("/sweeps/{running}/jobs/0"), "luck": format!("/sweeps/{finished}/assess"), "queue": "/queue", "agents": "/agents", "api": "/api",
            "missing": "/sweeps/nothing",
        },
        "refused": ["/sweeps/nothing"],
        "shots": std::env::var("BTCTL_SHOTS").ok(),
    });
    let wrong = browse("tour.mjs", &given);
    assert_eq!(wrong, json!({}), "{wrong:#}");
}

#[test]
fn every_page_can_be_read_without_scripts() {
    let cluster = Cluster::start();
    let (finished, running) = sweeps(&cluster);
    let paths = [
        "/?all=true",
        &format!("/sweeps/{finished}"),
        &format!("/sweeps/{finished}/jobs/3"),
        &format!("/sweeps/{running}/jobs/0"),
        "/queue",
        "/agents",
    ];
    let without = read(&cluster, &paths, false);
    let with = read(&cluster, &paths, true);
    for (path, (one, other)) in paths.iter().zip(without.iter().zip(&with)) {
        assert_eq!(one["heading"], other["heading"], "{path}");
        let count = |read: &Value| read["tables"].as_array().unwrap().len();
        assert_eq!(count(one), count(other), "{path}");
    }
    let names: Vec<_> =
        without[0]["tables"][0].as_array().unwrap().iter().map(|row| row[0].clone()).collect();
    let listed = cluster.json(&["ls", "-a"]);
    let expected: Vec<_> = listed.as_array().unwrap().iter().map(|sweep| sweep["name"].clone()).collect();
    assert_eq!(names, expected);
    let best = cluster.json(&["top", "sma-cross", "--by", "sharpe", "-n", "20"]);
    let best: Vec<_> = best.as_array().unwrap().iter().map(|job| job["job"].to_string()).collect();
    let shown = without[1]["tables"].as_array().unwrap();
    let ranked = shown.iter().find(|table| table[0].as_array().is_some_and(|row| row.len() > 4)).unwrap();
    let ranked: Vec<_> = ranked.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(ranked, best);
    for (number, text) in
        [(2, "fast 10, slow 40"), (3, "42 %"), (4, "jobs wait"), (5, "agent"), (1, "11 of 12 jobs succeeded")]
    {
        let shown = without[number]["text"].as_str().unwrap();
        assert!(shown.contains(text), "{text}: {shown}");
    }
    cluster.ok(&["cancel", &running]);
}

/// A sweep of 100,000 jobs, as if all had run: a hill over two parameters, and a third that adds little.
fn hill(cluster: &Cluster) -> String {
    let sweep = cluster.submit_simulated(&[
        "--name",
        "hill",
        "--matrix",
        "fast=1:20",
        "--matrix",
        "slow=1:25",
        "--matrix",
        "seed=1:200",
    ]);
    let sql = format!(
        "update jobs set state = 'succeeded', finished_at = now(), metrics = jsonb_build_object(
            'sharpe', 2 - (fast - 7)^2 / 40.0 - (slow - 15)^2 / 900.0 + seed / 10000.0, 'trades', fast * slow)
        from (select number n, 1 + number / 5000 as fast, 1 + number / 200 % 25 as slow, 1 + number % 200 as seed
            from jobs where sweep_id = '{sweep}') as p
        where sweep_id = '{sweep}' and number = n"
    );
    cluster.database.query(&sql);
    cluster.wait_ended(&sweep);
    sweep
}

/// Each of these numbers as the page shows it, within what it leaves out of it.
#[track_caller]
fn same(shown: &Value, expected: &str) {
    let (shown, expected): (f64, f64) = (shown.as_str().unwrap().parse().unwrap(), expected.parse().unwrap());
    assert!((shown - expected).abs() <= 6e-5, "{shown} is shown, and it is {expected}");
}

#[test]
fn a_sweep_of_100_000_jobs_shows_what_postgres_holds() {
    let cluster = Cluster::without_agent(Options::simulated(&[]));
    let sweep = hill(&cluster);
    let path = format!("/sweeps/{sweep}");
    let given = json!({
        "address": address(&cluster), "path": path, "by": "trades", "where": "sharpe > 1 and seed == 3",
        "axis": "fast", "from": "5", "to": "6.5", "across": "seed", "down": "fast", "cell": "highest",
    });
    let read = browse("choose.mjs", &given);
    let heat = &read["first"]["heat"];
    assert_eq!(heat["columns"].as_array().unwrap().len(), 25, "{}", heat["columns"]);
    assert_eq!(heat["rows"].as_array().unwrap().len(), 20, "{}", heat["rows"]);
    let sql = "select avg((metrics ->> 'sharpe')::float8) from jobs \
        group by number / 5000, number / 200 % 25 order by number / 5000, number / 200 % 25";
    let cells: Vec<&Value> =
        heat["cells"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap()).collect();
    let means = cluster.database.query(sql);
    assert_eq!((cells.len(), means.len()), (500, 500));
    for (cell, mean) in cells.iter().zip(&means) {
        same(&cell["text"], mean);
    }
    let value = |cell: &Value| cell["text"].as_str().unwrap().parse::<f64>().unwrap();
    let top = cells.iter().max_by(|one, other| value(one).total_cmp(&value(other))).unwrap();
    assert_eq!(top["colour"], "rgb(253, 231, 37)", "the highest has the last colour");
    assert_eq!(read["first"]["lines"], 20);

    let by = |metric: &str, filter: &str| {
        let sql = format!(
            "select number, metrics ->> '{metric}' from jobs where {filter} \
            order by (metrics ->> '{metric}')::float8 desc, number limit 20"
        );
        table(&cluster, &sql)
    };
    let sharp = "(metrics ->> 'sharpe')::float8 > 1 and number % 200 = 2";
    for (shown, expected) in [
        (&read["first"]["best"], by("sharpe", "true")),
        (&read["ranked"]["best"], by("trades", sharp)),
        (&read["chosen"]["best"], by("trades", &format!("{sharp} and number / 5000 in (4, 5)"))),
    ] {
        let shown = shown.as_array().unwrap();
        assert_eq!(shown.len(), expected.len(), "{shown:?}");
        for (row, expected) in shown.iter().zip(expected) {
            assert_eq!(row[0], expected[0].as_str(), "{row} {expected:?}");
            same(&row[1], &expected[1]);
        }
    }
    assert_eq!(read["ranked"]["where"], "sharpe > 1 and seed == 3");
    let where_ = read["chosen"]["where"].as_str().unwrap();
    assert!(where_.contains("(sharpe > 1 and seed == 3) and params[\"fast\"] >= 5"), "{where_}");

    let drawn = &read["drawn"];
    let caption = drawn["caption"].as_str().unwrap();
    assert!(caption.contains("The highest trades of the jobs with each seed (across) and fast"), "{caption}");
    assert_eq!(
        (drawn["columns"].as_array().unwrap().len(), drawn["rows"].as_array().unwrap().len()),
        (40, 20)
    );
    let sql = "select max((metrics ->> 'trades')::float8) from jobs \
        group by number / 5000, number % 200 / 5 order by number / 5000, number % 200 / 5";
    let cells = drawn["cells"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    for (cell, highest) in cells.zip(cluster.database.query(sql)) {
        same(&cell["text"], &highest);
    }
    let mistake = read["mistake"].as_str().unwrap();
    assert!(mistake.contains("shrpe"), "{mistake}");

    let pages = browse("read.mjs", &json!({"address": address(&cluster), "paths": [path, "/?all=true"]}));
    for page in pages.as_array().unwrap() {
        assert!(page["bytes"].as_u64().unwrap() < 150_000, "{} has {} bytes", page["title"], page["bytes"]);
    }
}

#[test]
fn a_report_opens_from_its_file_without_network() {
    let cluster = Cluster::start();
    let (finished, running) = sweeps(&cluster);
    cluster.ok(&["cancel", &running]);
    cluster.ok(&["report", &finished, "-o", "report.html"]);
    let file = cluster.dir().join("report.html");
    let read = browse("report.mjs", &json!({"address": format!("file://{}", file.display())}));
    assert_eq!(read["wrong"], json!([]), "{read:#}");
    assert_eq!((&read["doing"], &read["heat"]), (&json!(0), &json!(12)), "{read:#}");
    let text = read["text"].as_str().unwrap();
    assert!(text.contains("11 of 12 jobs succeeded") && text.contains("ended: exit(3)"), "{text}");
    assert!(read["printed"].as_u64().unwrap() > 1_000, "{read:#}");
    assert!(fs::metadata(&file).unwrap().len() < 150_000);
}

/// Markup, commands of a terminal, and marks that turn the direction of what follows.
const HOSTILE: &str =
    "<img src=x onerror=alert(1)></td><script>alert(2)</script>\u{1b}[31m\u{202e}live\u{2066}";

#[test]
fn what_others_wrote_is_shown_as_text_and_bursts_no_page() {
    let cluster = Cluster::without_agent(Options::simulated(&[]));
    let parameters = |job: u32| {
        let mut all = serde_json::Map::new();
        all.insert("hostile".to_owned(), json!(format!("{job} {HOSTILE}")));
        all.insert("long".to_owned(), json!(format!("{job}{}", "x".repeat(8_000))));
        all.insert("n".repeat(64), json!(job));
        all.extend((0..297).map(|n| (format!("parameter_{n}"), json!(job * n))));
        Value::Object(all)
    };
    let manifest = json!({
        "name": "hostile", "image": "x", "command": ["x", HOSTILE],
        "resources": {"memory": "64MiB"}, "params": (0..25).map(parameters).collect::<Vec<_>>(),
    });
    fs::write(cluster.dir().join("hostile.json"), manifest.to_string()).unwrap();
    let submitted = cluster.json(&["submit", "-f", "hostile.json", "--note", &HOSTILE.replace('\u{1b}', "")]);
    let sweep = submitted["id"].as_str().unwrap();
    let sql = format!(
        "update jobs set state = 'succeeded', finished_at = now(), metrics = (
            select jsonb_object_agg('$$' || n || '{HOSTILE}', number * n) from generate_series(1, 1000) n)
        where number < 24;
        update jobs set state = 'failed', finished_at = now(), reason = 'image', reason_message = '{HOSTILE}'
        where number = 24"
    );
    cluster.database.query(&sql);
    cluster.wait_ended(sweep);
    let given = |phone: bool| {
        json!({
            "address": address(&cluster), "phone": phone, "barriers": !phone,
            "paths": ["/?all=true", format!("/sweeps/{sweep}"), format!("/sweeps/{sweep}/jobs/3"),
                format!("/sweeps/{sweep}/jobs/24"), "/queue"],
        })
    };
    for phone in [false, true] {
        let pages = browse("read.mjs", &given(phone)).as_array().unwrap().clone();
        for page in &pages {
            assert_eq!((&page["foreign"], &page["excess"]), (&json!(0), &Value::Null), "{}", page["title"]);
            assert_eq!(page["barriers"], json!([]), "{}", page["title"]);
            let bytes = page["bytes"].as_u64().unwrap();
            assert!(bytes < 200_000, "{} has {bytes} bytes", page["title"]);
        }
        for page in &pages[1..4] {
            let text = page["text"].as_str().unwrap();
            assert!(text.contains("<img src=x onerror=alert(1)></td><script>"), "{text}");
        }
    }
}
