//! The HTTP API, asked by curl: answers against their description, pages, refusals, and what changes something.

use std::collections::BTreeSet;
use std::process::Command;

use bt_tests::http::{Answer, curl, get, post};
use bt_tests::{Cluster, Options, wait_until};
use serde_json::{Value, json};

/// A sweep of so many simulated jobs, whose parameter `n` is their number.
fn sweep(cluster: &Cluster, jobs: u32, flags: &[&str]) -> String {
    let matrix = format!("n=0:{}", jobs - 1);
    cluster.submit_simulated(&[&["--matrix", &matrix], flags].concat())
}

#[test]
fn every_call_answers_as_it_is_described() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "4"]));
    let done = sweep(&cluster, 3, &["-e", "BT_SIM_PRINT=hello"]);
    cluster.wait_ended(&done);
    let failed = sweep(&cluster, 1, &["-e", "BT_SIM_EXIT=3", "--retries", "0"]);
    cluster.wait_ended(&failed);
    let runs = sweep(&cluster, 2, &["-e", "BT_SIM_MS=600000"]);
    cluster.wait_count(&runs, "running", 2);
    cluster.ok(&["limits", "set", "feed", "3"]);
    cluster.ok(&["quota", "set", "--default", "--running", "90"]);
    let described = get(&cluster, "/api/openapi.json").json();
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json")).unwrap();
    assert_eq!(described, serde_json::from_str::<Value>(&file).unwrap(), "run `make docs`");
    let mut asked = BTreeSet::new();
    let mut check = |method: &str, path: &str, sweep: &str, body: &Value| {
        let operation = &described["paths"][path][method];
        let name =
            operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} is not described"));
        asked.insert(name.to_owned());
        let asked_of = match path {
            "/api/compare" => format!("{path}?a=sent&b={sweep}"),
            "/api/trials" => format!("{path}?family={sweep}"),
            path => path.to_owned(),
        };
        let filled = asked_of.replace("{sweep}", sweep).replace("{job}", "0").replace("{agent}", "agent");
        let filled = filled.replace("{path}", "simulated.json").replace("{schedule}", "nightly");
        let filled = filled.replace("{alias}", "prod%2Fx");
        let answer = match method {
            "get" => get(&cluster, &filled),
            _ => post(&cluster, &filled, body),
        };
        assert_eq!(answer.status, 200, "{filled}: {answer:?}");
        let content = &operation["responses"]["200"]["content"];
        if let Some(table) = ["text/csv; charset=utf-8", "application/vnd.apache.parquet"]
            .iter()
            .find(|kind| content[*kind].is_object())
        {
            assert_eq!(answer.kind(), *table, "{answer:?}");
            return Value::Null;
        }
        if content["text/plain"].is_object() {
            assert!(answer.kind().starts_with("text/plain"), "{answer:?}");
            return Value::Null;
        }
        if content["text/html"].is_object() {
            assert!(
                answer.kind().starts_with("text/html") && answer.text().contains("</html>"),
                "{answer:?}"
            );
            return Value::Null;
        }
        if content["application/octet-stream"].is_object() {
            assert_eq!(answer.text(), "{\"job\":0}\n", "{answer:?}");
            return Value::Null;
        }
        let mut schema = content["application/json"]["schema"].clone();
        schema["components"] = described["components"].clone();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let document = answer.json();
        let errors: Vec<_> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{filled}: {errors:?}: {document}");
        document
    };
    let none = json!({});
    for sweep in [&done, &failed, &runs] {
        assert_eq!(check("get", "/api/sweeps/{sweep}", sweep, &none)["id"], **sweep);
        assert_eq!(check("get", "/api/sweeps/{sweep}/jobs/{job}", sweep, &none)["job"], 0);
        for path in ["", "/explain", "/jobs", "/jobs/{job}/explain", "/jobs/{job}/progress", "/landscape"] {
            check("get", &format!("/api/sweeps/{{sweep}}{path}"), sweep, &none);
        }
    }
    let outputs = check("get", "/api/sweeps/{sweep}/jobs/{job}/outputs", &done, &none);
    assert_eq!(outputs["outputs"][0]["path"], "simulated.json", "{outputs}");
    check("get", "/api/sweeps/{sweep}/jobs/{job}/outputs/{path}", &done, &none);
    let record = check("get", "/api/sweeps/{sweep}/jobs/{job}/result", &done, &none);
    assert_eq!(record["job"], 0, "{record}");
    check("get", "/api/sweeps/{sweep}/jobs/{job}/log", &done, &none);
    for form in ["parquet", "csv", "json"] {
        check("get", &format!("/api/sweeps/{{sweep}}/export.{form}"), &done, &none);
    }
    let metrics = json!({"jobs": {"0": {"sharpe": 1.5}, "2": {"sharpe": 0.5}}});
    assert_eq!(check("post", "/api/sweeps/{sweep}/metrics", &done, &metrics)["changed"], 2);
    assert_eq!(check("get", "/api/sweeps/{sweep}/metrics", &done, &none)["metrics"][0]["metric"], "sharpe");
    assert_eq!(check("get", "/api/sweeps/{sweep}/assess", &done, &none)["trials"]["in_sweep"], 3);
    assert_eq!(check("get", "/api/trials", &done, &none)["sweeps"][0]["id"], *done);
    assert_eq!(check("get", "/api/families", "", &none)["families"][0]["sweeps"], 3);
    let manifest = json!({"name": "sent", "image": "x:1", "command": ["x"], "agents": {"zone": "none"}, "matrix": {"n": [0, 1, 2]}});
    assert_eq!(check("post", "/api/sweeps", "", &manifest)["jobs"], 3);
    let estimate = check("post", "/api/estimate", "", &manifest);
    assert_eq!(
        (&estimate["jobs"], &estimate["seconds"], &estimate["agents"]),
        (&3.into(), &Value::Null, &0.into())
    );
    assert_eq!(check("get", "/api/compare", &done, &none)["points"]["both"], 3);
    check("get", "/api/sweeps/{sweep}/report.html", &done, &none);
    let running = check("get", "/api/running", "", &none);
    assert_eq!(running["jobs"].as_array().unwrap().len(), 2, "{running}");
    assert_eq!(check("get", "/api/agents/{agent}", "", &none)["running_jobs"].as_array().unwrap().len(), 2);
    assert_eq!(check("get", "/api/limits", "", &none)["limits"][0]["name"], "feed");
    assert_eq!(check("get", "/api/quotas", "", &none)["quotas"][0]["running"], 90);
    assert_eq!(check("get", "/api/agents", "", &none)["agents"][0]["name"], "agent");
    assert_eq!(check("get", "/api/demand", "", &none)["kinds"][0]["agents"], 1);
    assert!(check("get", "/api/fleet", "", &none)["samples"].is_array());
    assert_eq!(check("get", "/api/sweeps", "", &none)["hidden"], 2);
    assert_eq!(check("post", "/api/sweeps/{sweep}/pause", &runs, &none)["changed"], true);
    assert_eq!(check("post", "/api/sweeps/{sweep}/resume", &runs, &none)["changed"], true);
    assert_eq!(check("post", "/api/sweeps/{sweep}/retry", &failed, &none)["queued"], 1);
    assert_eq!(check("post", "/api/sweeps/{sweep}/cancel", &runs, &json!({"jobs": [0]}))["stopping"], 1);
    assert_eq!(check("post", "/api/sweeps/{sweep}/prune", &runs, &json!({"jobs": [0, 1]}))["pruned"], 1);
    assert_eq!(check("post", "/api/agents/{agent}/drain", "", &none)["state"], "draining");
    assert_eq!(check("get", "/api/log", "", &none)["filter"], "info");
    assert_eq!(check("post", "/api/log", "", &json!({"filter": "warn"}))["filter"], "warn");
    let open = cluster.submit_simulated(&["--open"]);
    let added = check("post", "/api/sweeps/{sweep}/jobs", &open, &json!({"params": [{"n": 1}]}));
    assert_eq!(added["jobs"], 1);
    assert_eq!(check("post", "/api/sweeps/{sweep}/close", &open, &none)["changed"], true);
    let windows = json!({"train": "1y", "test": "1y", "from": "2005-01-01", "to": "2008-01-01"});
    let manifest =
        json!({"name": "walked", "image": "x:1", "windows": windows, "select": {"maximize": "sharpe"}});
    assert_eq!(check("post", "/api/sweeps", "", &manifest)["jobs"], 4);
    let walked = check("get", "/api/sweeps/{sweep}/walk", "walked", &none);
    assert_eq!(walked["windows"][1]["test_job"], 3, "{walked}");
    let schedule =
        json!({"name": "nightly", "manifest": {"image": "x:1"}, "cron": "30 22 * * 1-5", "overlap": "allow"});
    assert_eq!(check("post", "/api/schedules", "", &schedule)["zone"], "UTC");
    assert_eq!(check("post", "/api/schedules/{schedule}/run", "", &none)["outcome"], "submitted");
    for (call, changed) in [("pause", true), ("resume", true), ("resume", false)] {
        assert_eq!(
            check("post", &format!("/api/schedules/{{schedule}}/{call}"), "", &none)["changed"],
            changed
        );
    }
    assert_eq!(check("get", "/api/schedules/{schedule}", "", &none)["runs"][0]["outcome"], "submitted");
    assert_eq!(check("get", "/api/schedules", "", &none)["schedules"][0]["name"], "nightly");
    assert_eq!(check("post", "/api/schedules/{schedule}/remove", "", &none)["changed"], true);
    let image = |number: u32| json!({"image": format!("x@sha256:{number:064}")});
    for number in [1, 2] {
        let set = check("post", "/api/aliases/{alias}/promote", "", &image(number));
        assert_eq!((&set["alias"], &set["number"]), (&json!("prod/x"), &json!(number)));
    }
    assert_eq!(check("post", "/api/aliases/{alias}/rollback", "", &none)["promotion"], 1);
    assert_eq!(check("get", "/api/aliases/{alias}", "", &none)["changes"][0]["kind"], "rollback");
    assert_eq!(check("get", "/api/aliases", "", &none)["aliases"][0]["number"], 3);
    assert_eq!(check("post", "/api/aliases/{alias}/remove", "", &none)["changed"], true);
    // It has no end: tests/it/events.rs asks it.
    asked.insert("watch_events".to_owned());
    let all: BTreeSet<String> = described["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, all, "each call is tried here");
    cluster.ok(&["cancel", &runs]);
    cluster.agent().kill();
}

#[test]
fn answers_are_what_commands_print() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "4"]));
    let sweep = sweep(&cluster, 5, &[]);
    cluster.wait_ended(&sweep);
    assert_eq!(get(&cluster, &format!("/api/sweeps/{sweep}")).json(), cluster.json(&["show", &sweep]));
    assert_eq!(
        get(&cluster, &format!("/api/sweeps/{sweep}/jobs")).json()["jobs"],
        cluster.json(&["jobs", &sweep])
    );
    let job = format!("{sweep}/3");
    assert_eq!(get(&cluster, &format!("/api/sweeps/{sweep}/jobs/3")).json(), cluster.json(&["show", &job]));
    assert_eq!(
        get(&cluster, &format!("/api/sweeps/{sweep}/jobs/3/explain")).json(),
        cluster.json(&["explain", &job])
    );
    let record = get(&cluster, &format!("/api/sweeps/{sweep}/jobs/3/result")).json();
    assert_eq!(record, cluster.json(&["results", "show", &job]));
}

#[test]
fn pages_hold_each_job_once_also_where_jobs_are_chosen() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = sweep(&cluster, 2_345, &[]);
    let all = |question: &str| {
        let (mut numbers, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = get(&cluster, &format!("/api/sweeps/{sweep}/jobs?{question}{after}")).json();
            pages += 1;
            numbers.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_u64().unwrap()));
            match page["next"].as_u64() {
                Some(next) => after = format!("&after={next}"),
                None => return (numbers, pages),
            }
        }
    };
    assert_eq!(all("limit=1000"), ((0..2_345).collect(), 3));
    // The last page is full, so that only one more, which is empty, can say that it was the last.
    assert_eq!(all("limit=469"), ((0..2_345).collect(), 6));
    let thirds = (0..2_345).filter(|number| number % 3 == 1).collect();
    assert_eq!(all("limit=500&where=n%20%25%203%20==%201"), (thirds, 2));
    assert_eq!(all("state=succeeded,failed"), (Vec::new(), 1));
    assert_eq!(all("").0.len(), 2_345, "100 in a page if nothing is said");
}

#[test]
fn what_is_wrong_is_said_in_words_and_changes_nothing() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = sweep(&cluster, 4, &[]);
    let refused = |path: &str, status: u16, code: &str, words: &str| {
        let (got, kind, message) = get(&cluster, path).refused();
        assert_eq!((got, kind.as_str()), (status, code), "{path}: {message}");
        assert!(message.contains(words), "{path}: {message}");
    };
    refused("/api/sweeps/nothing", 404, "not_found", "no sweep \"nothing\"");
    refused(&format!("/api/sweeps/{sweep}/jobs/4"), 404, "not_found", "no job 4");
    refused(&format!("/api/sweeps/{sweep}/jobs/0/result"), 404, "not_found", "no published result");
    refused("/api/agents/nobody", 404, "not_found", "nobody");
    refused("/api/sweps", 404, "not_found", "/api/openapi.json");
    refused("/api/sweeps?stat=failed", 400, "invalid_argument", "unknown field `stat`");
    refused("/api/sweeps?state=done", 400, "invalid_argument", "\"done\" is not the state of a sweep");
    refused(
        &format!("/api/sweeps/{sweep}/jobs?state=done"),
        400,
        "invalid_argument",
        "not the state of a job",
    );
    refused(&format!("/api/sweeps/{sweep}/jobs?limit=0"), 400, "invalid_argument", "from 1 to 1000");
    refused(&format!("/api/sweeps/{sweep}/jobs?limit=1001"), 400, "invalid_argument", "from 1 to 1000");
    refused(&format!("/api/sweeps/{sweep}/jobs?after=x"), 400, "invalid_argument", "after");
    refused(&format!("/api/sweeps/{sweep}/jobs?where=n%20%3D%3D"), 400, "invalid_argument", "n ==");
    refused(&format!("/api/sweeps/{sweep}/jobs?where=m%20%3D%3D%201"), 400, "invalid_argument", "m");
    refused(&format!("/api/sweeps/{sweep}/jobs?by=sharpe"), 400, "invalid_argument", "no job has reported");
    refused(&format!("/api/sweeps/{sweep}/jobs?by=sharpe&after=3"), 400, "invalid_argument", "ranking");
    refused(
        &format!("/api/sweeps/{sweep}/jobs/0/log?stream=out"),
        400,
        "invalid_argument",
        "stdout and stderr",
    );
    refused(&format!("/api/sweeps/{sweep}/cancel"), 405, "unimplemented", "another method");
    let cancel = format!("/api/sweeps/{sweep}/cancel");
    let refused = |answer: Answer, status: u16, words: &str| {
        let (got, _, message) = answer.refused();
        assert_eq!(got, status, "{message}");
        assert!(message.contains(words), "{message}");
    };
    // As a form of another site's page would send it.
    refused(curl(&cluster, &cancel, &["-d", "jobs=1"]), 415, "Content-Type: application/json");
    refused(
        curl(&cluster, &cancel, &["-H", "Content-Type: text/plain", "-d", "{}"]),
        415,
        "application/json",
    );
    refused(post(&cluster, &cancel, &json!({"job": [1]})), 422, "unknown field `job`");
    refused(post(&cluster, &cancel, &json!({"jobs": [1, 9]})), 404, "no job 9");
    refused(
        curl(&cluster, &cancel, &["-H", "Content-Type: application/json", "-d", "{\"jobs\": ["]),
        400,
        "EOF",
    );
    let retry = format!("/api/sweeps/{sweep}/retry");
    refused(post(&cluster, &retry, &json!({"reasons": ["bad luck"]})), 400, "bad luck");
    assert_eq!(cluster.count(&sweep, "queued"), 4);
}

#[test]
fn a_log_is_followed_to_the_end_of_its_job() {
    let cluster = Cluster::start();
    let sweep = cluster.submit_waiting(&[], "echo out; echo err >&2; printf 'no newline'");
    cluster.wait_count(&sweep, "running", 1);
    let following = std::thread::scope(|scope| {
        let log = scope.spawn(|| get(&cluster, &format!("/api/sweeps/{sweep}/jobs/0/log?follow=true")));
        wait_until("the log is followed", || {
            let sql = "select count(*) from attempts where state = 'running'";
            (cluster.database.query(sql) == ["1"]).then_some(())
        });
        cluster.open_gate();
        log.join().unwrap()
    });
    assert_eq!(following.status, 200);
    let text = following.text();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "no newline", "out"]);
    let err = get(&cluster, &format!("/api/sweeps/{sweep}/jobs/0/log?stream=stderr"));
    assert_eq!(err.text(), "err\n");
}

#[test]
fn one_port_speaks_all_of_its_protocols() {
    let cluster = Cluster::without_agent(Options::default());
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&cluster, "/healthz", &[flag]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{flag}: {answer:?}");
    }
    let unknown = curl(
        &cluster,
        "/btctl.v9.Sweeps/Nothing",
        &["--http2-prior-knowledge", "-H", "Content-Type: application/grpc", "-X", "POST"],
    );
    assert!(unknown.headers.contains("grpc-status: 12"), "as gRPC's clients know it: {unknown:?}");
    // As gRPC frames a message: whether it is compressed, its length, itself.
    let call = |path: &str, message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let file = cluster.dir().join("message");
        std::fs::write(&file, [&[0], &length[..], message].concat()).unwrap();
        let body = format!("@{}", file.display());
        let output = Command::new("curl")
            .args([
                "-s",
                "--max-time",
                "20",
                "--http2-prior-knowledge",
                "-H",
                "Content-Type: application/grpc",
            ])
            .args(["-H", "TE: trailers", "--data-binary", &body])
            .arg(format!("{}{path}", cluster.address()))
            .output()
            .unwrap();
        output.stdout.get(5..).unwrap_or_default().to_vec()
    };
    assert_eq!(call("/grpc.health.v1.Health/Check", &[]), [8, 1], "SERVING");
    let listed = call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x3a\x01*");
    let listed = String::from_utf8_lossy(&listed);
    for service in ["btctl.v1.Sweeps", "btctl.v1.Agents", "grpc.health.v1.Health"] {
        assert!(listed.contains(service), "{service}: {listed}");
    }
    let page = get(&cluster, "/api");
    assert!(
        page.kind().starts_with("text/html") && page.text().contains("GET /api/sweeps/{sweep}/jobs"),
        "{page:?}"
    );
    assert!(page.header("content-security-policy").contains("default-src 'none'"), "{page:?}");
}

#[test]
fn a_coordinator_says_whether_it_can_work() {
    let cluster = Cluster::without_agent(Options::default());
    let ready = get(&cluster, "/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (200, "ok\n"), "{ready:?}");
    let (store, away) = (cluster.store(), cluster.dir().join("away"));
    std::fs::rename(&store, &away).unwrap();
    let ready = get(&cluster, "/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.text().starts_with("the store: "), "{ready:?}");
    assert_eq!(get(&cluster, "/healthz").status, 200);
    std::fs::rename(&away, &store).unwrap();
    wait_until("it can work again", || (get(&cluster, "/readyz").status == 200).then_some(()));
}

#[test]
fn files_come_whole_or_in_ranges_with_their_hash() {
    for compress in ["none", "zstd"] {
        let cluster = Cluster::with(Options {
            coordinator: vec![format!("--compress={compress}")],
            ..Options::default()
        });
        let script = "mkdir -p /results/a; seq 1 60000 > '/results/a/b c#?.txt'; : > /results/empty";
        let sweep = cluster.submit(&[], script);
        cluster.wait_count(&sweep, "succeeded", 1);
        let content: String = (1..=60_000).map(|number| format!("{number}\n")).collect();
        let outputs = format!("/api/sweeps/{sweep}/jobs/0/outputs");
        let listed = get(&cluster, &outputs).json();
        assert_eq!(listed["outputs"][0]["path"], "a/b c#?.txt", "{listed}");
        assert_eq!(listed["outputs"][0]["size"], content.len(), "{listed}");
        let path = format!("{outputs}/a/b%20c%23%3F.txt");
        assert!(get(&cluster, &path).text() == content, "{compress}: the whole file");
        for (range, from, to) in
            [("0-9", 0, 10), ("100000-100099", 100_000, 100_100), ("-5", content.len() - 5, content.len())]
        {
            let part = curl(&cluster, &path, &["-r", range]);
            assert_eq!((part.status, part.text().as_str()), (206, &content[from..to]), "{compress}: {range}");
        }
        let head = curl(&cluster, &path, &["-r", "10-19"]).headers;
        let has = |line: &str| assert!(head.contains(line), "{line}: {head}");
        has(&format!("content-range: bytes 10-19/{}", content.len()));
        has("content-length: 10\n");
        has("content-disposition: attachment; filename*=utf-8''b%20c%23%3f.txt");
        has(&format!("etag: \"{}\"", listed["outputs"][0]["sha256"].as_str().unwrap()));
        let tag = format!("If-None-Match: \"{}\"", listed["outputs"][0]["sha256"].as_str().unwrap());
        assert_eq!(curl(&cluster, &path, &["-H", &tag]).status, 304);
        assert_eq!(curl(&cluster, &path, &["-r", "0-9", "-H", "If-Range: \"another\""]).status, 200);
        assert_eq!(curl(&cluster, &path, &["-r", "999999999-"]).status, 416);
        let empty = get(&cluster, &format!("{outputs}/empty"));
        assert_eq!((empty.status, empty.text().as_str()), (200, ""));
        let (status, _, message) = get(&cluster, &format!("{outputs}/nothing")).refused();
        assert!(status == 404 && message.contains("no output 0/nothing"), "{message}");
    }
}

#[test]
fn a_metric_is_drawn_over_the_parameters_that_matter() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "16"]));
    let sweep = cluster.submit_simulated(&["--matrix", "fast=1:4", "--matrix", "slow=10:30:10"]);
    cluster.wait_ended(&sweep);
    let path = format!("/api/sweeps/{sweep}/landscape");
    let nothing = get(&cluster, &path).json();
    assert_eq!(
        (&nothing["metric"], &nothing["jobs"], &nothing["map"]),
        (&Value::Null, &json!(12), &Value::Null)
    );
    let mut table = "job,sharpe,trades\n".to_owned();
    for job in 1..12 {
        table += &format!("{job},{}.5,{}\n", (1 + job / 3) * 10 + 1 + job % 3, job % 3);
    }
    let file = cluster.dir().join("metrics.csv");
    std::fs::write(&file, table).unwrap();
    cluster.ok(&["metrics", "import", &sweep, "--table", file.to_str().unwrap()]);
    // Of before the import nothing is kept: no metric was asked for by its name.
    let found = get(&cluster, &path).json();
    assert_eq!((&found["metric"], &found["metrics"]), (&json!("sharpe"), &json!(["sharpe", "trades"])));
    assert_eq!((&found["jobs"], &found["reported"]), (&json!(12), &json!(11)));
    assert_eq!(found["importance"][0]["parameter"], "fast", "{found}");
    let map = &found["map"];
    assert_eq!((&map["across"], &map["down"]), (&json!("fast"), &json!("slow")));
    assert_eq!(map["columns"], json!(["1", "2", "3", "4"]));
    assert_eq!(map["cells"].as_array().unwrap().len(), 3, "{map}");
    assert_eq!(
        map["cells"][0][0],
        json!({"jobs": 1, "failed": 0, "pruned": 0, "reported": 0, "mean": null, "lowest": null, "highest": null})
    );
    assert_eq!((&map["cells"][2][3]["mean"], &map["cells"][2][3]["highest"]), (&json!(43.5), &json!(43.5)));
    let turned = get(&cluster, &format!("{path}?by=trades&across=slow&down=fast")).json();
    assert_eq!(
        (&turned["importance"][0]["parameter"], &turned["map"]["across"]),
        (&json!("slow"), &json!("slow"))
    );
    for (asked, hint) in [("by=sharp", "did you mean sharpe?"), ("across=fats", "those are fast, slow")] {
        let (status, _, message) = get(&cluster, &format!("{path}?{asked}")).refused();
        assert!(status == 400 && message.contains(hint), "{asked}: {message}");
    }
}
