//! The page, as the server makes it: what it says, that it shows everything as text, and who may press its buttons.

use bt_tests::http::curl;
use bt_tests::{Cluster, Options, wait_until};

#[track_caller]
fn ask(cluster: &Cluster, path: &str, flags: &[&str]) -> (u16, String, String) {
    let answer = curl(cluster, path, flags);
    (answer.status, answer.headers.clone(), answer.text())
}

#[track_caller]
fn page(cluster: &Cluster, path: &str) -> String {
    let (status, headers, body) = ask(cluster, path, &[]);
    assert_eq!(status, 200, "{path}: {headers}");
    assert!(headers.contains("content-security-policy: default-src 'none'"), "{path}: {headers}");
    assert!(
        body.matches("<script").count() == 1 && !body.contains(" style="),
        "{path} needs what its policy forbids: {body}"
    );
    body
}

#[test]
fn the_pages_say_what_there_is() {
    let cluster = Cluster::start();
    let metrics = r#"n=$BT_PARAM_N; [ $n != 4 ] || exit 3; echo "job $n"; echo "{\"sharpe\": 1.$n, \"trades\": $n}" > /results/metrics.json"#;
    let sweep = cluster
        .submit(&["--name", "averages", "--matrix", "n=0:4", "--retries", "0", "--tag", "nightly"], metrics);
    cluster.wait_ended(&sweep);
    let all = page(&cluster, "/?all=true");
    for text in ["averages", "nightly", "4 succeeded, 1 failed", &format!("href=\"sweeps/{sweep}\"")] {
        assert!(all.contains(text), "{text}: {all}");
    }
    let finished = || page(&cluster, "/").contains("1 finished sweep is not listed").then_some(());
    wait_until("it counts as finished", finished);
    assert!(
        page(&cluster, "/?state=succeeded").contains("No sweep")
            || page(&cluster, "/?state=succeeded").contains("no sweep")
    );
    let shown = page(&cluster, &format!("/sweeps/{sweep}"));
    for text in [
        "4 of 5 jobs succeeded, 1 failed",
        "exit(3)",
        "<td class=\"number\">1.3000</td>",
        ">retry</button>",
        "Manifest",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let first = shown.find("jobs/3\">3<").expect("job 3 is the best");
    assert!(first < shown.find("jobs/0\">0<").unwrap(), "the best is first: {shown}");
    let lowest = page(&cluster, &format!("/sweeps/{sweep}?by=trades&order=lowest&where=n%20%3E%201"));
    assert!(
        lowest.find("jobs/2\">2<").unwrap() < lowest.find("jobs/3\">3<").unwrap()
            && !lowest.contains("jobs/1\">1<")
    );
    let wrong = page(&cluster, &format!("/sweeps/{sweep}?by=sharpe&where=shrpe%20%3E%201"));
    assert!(
        wrong.contains("role=\"alert\"") && wrong.contains("shrpe") && wrong.contains("exit(3)"),
        "{wrong}"
    );
    let job = page(&cluster, &format!("/sweeps/{sweep}/jobs/2"));
    for text in ["It succeeded on agent.", "job 2\n", "metrics.json", "btctl rerun averages/2"] {
        assert!(job.contains(text), "{text}: {job}");
    }
    let failed = page(&cluster, &format!("/sweeps/{sweep}/jobs/4"));
    assert!(failed.contains("It failed on agent: exit(3)."), "{failed}");
    assert!(page(&cluster, "/agents").contains("<td>agent</td>"));
    assert!(page(&cluster, "/queue").contains("No job waits."));
    assert!(page(&cluster, "/schedules").contains("There are no schedules."));
    let rule = ["--cron", "30 22 * * 1-5", "--zone", "Asia/Kolkata", "--", "true"];
    cluster
        .ok(&[&["schedule", "add", "nightly", "--image", "btctl-test:1", "-m", "64m"], &rule[..]].concat());
    let run = cluster.json(&["schedule", "run", "nightly", "--at", "2026-01-05T22:30:00Z"]);
    let run = format!("<a href=\"sweeps/{}\">submitted</a>", run["sweep"].as_str().unwrap());
    let schedules = page(&cluster, "/schedules");
    for text in ["nightly", "30 22 * * 1-5", "Asia/Kolkata", "Tue 2026-01-06 04:00", " 22:30</td>", &run] {
        assert!(schedules.contains(text), "{text}: {schedules}");
    }
    let (status, _, gone) = ask(&cluster, "/sweeps/nothing", &[]);
    assert!(status == 404 && gone.contains("no sweep &#34;nothing&#34;"), "{status}: {gone}");
    let style = all.split("href=\"assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (status, headers, _) = ask(&cluster, &format!("/assets/{style}"), &[]);
    assert!(status == 200 && headers.contains("text/css") && headers.contains("immutable"), "{headers}");
}

#[test]
fn the_queue_says_what_waits_and_how_many_agents_would_clear_it() {
    let cluster = Cluster::start();
    let close = cluster.submit_waiting(&["--name", "grid", "--matrix", "n=0:9", "--cpus", "1"], "true");
    wait_until("one runs", || {
        let sql = "select count(*) > 0 from attempts where state = 'running'";
        (cluster.database.query(sql) == ["t"]).then_some(())
    });
    let waits = page(&cluster, "/queue");
    for text in
        ["jobs wait", &format!("href=\"sweeps/{close}\""), "not known before a job of grid has finished"]
    {
        assert!(waits.contains(text), "{text}: {waits}");
    }
    let far = cluster.submit(&["--name", "far", "--agent-label", "zone=none"], "true");
    wait_until("it says why", || page(&cluster, "/queue").contains("zone").then_some(()));
    cluster.ok(&["cancel", &far]);
    cluster.open_gate();
    cluster.wait_ended(&close);
    let drain = |action: &str| {
        let agent = cluster.json(&["agents", "ls"])[0]["id"].as_str().unwrap().to_owned();
        let own = ["-X", "POST", "-H", "Sec-Fetch-Site: same-origin"];
        ask(&cluster, &format!("/agents/{agent}/{action}"), &own)
    };
    let (status, headers, _) = drain("drain");
    assert!(status == 303 && headers.contains("location: ../../agents"), "{headers}");
    assert!(page(&cluster, "/agents").contains("/undrain\""));
    assert_eq!(drain("undrain").0, 303);
    assert_eq!(drain("remove").0, 404);
}

#[test]
fn a_sweep_of_several_parameters_is_drawn_and_jobs_are_chosen_by_an_axis() {
    let cluster = Cluster::start();
    let metrics = r#"echo "{\"sharpe\": $(( $BT_PARAM_A * 10 + $BT_PARAM_B ))}" > /results/metrics.json"#;
    let sweep = cluster.submit(&["--matrix", "a=1:3", "--matrix", "b=1:2", "--matrix", "c=x"], metrics);
    cluster.wait_ended(&sweep);
    let shown = page(&cluster, &format!("/sweeps/{sweep}"));
    assert_eq!(shown.matches("class=\"front\"").count(), 6, "{shown}");
    assert_eq!(shown.matches("class=\"upright\"").count(), 3, "a, b and the metric; c is always the same");
    assert!(shown.contains("<title>job 5: sharpe 32</title>"), "{shown}");
    let chosen = page(&cluster, &format!("/sweeps/{sweep}?axis=a&from=2&to=2&where=b%20%3E%200"));
    assert_eq!(chosen.matches("class=\"front\"").count(), 2, "{chosen}");
    assert!(chosen.contains("(b &#62; 0) and params[&#34;a&#34;] &#62;= 2 and"), "{chosen}");
    // What changes by itself is asked for alone.
    let (_, _, update) = ask(&cluster, &format!("/sweeps/{sweep}"), &["-H", "HX-Request: true"]);
    assert!(update.contains("All 6 jobs succeeded") && !update.contains("class=\"front\""), "{update}");
}

#[test]
fn what_users_and_jobs_write_is_shown_as_text() {
    let cluster = Cluster::start();
    let hostile = "<img src=x onerror=alert(1)>\"'&</pre><script>alert(2)</script>";
    let script = r#"printf '%s\n' "$X"; printf '\033[31mred\033[0m \342\200\256evil\n'; printf '{"<b>m</b>": 1}' > /results/metrics.json; : > "/results/<i>x.txt""#;
    let flags = [
        "-e",
        &format!("X={hostile}"),
        "--note",
        hostile,
        "--matrix",
        &format!("p=\"{}\"", hostile.replace('"', "\"\"")),
    ];
    let sweep = cluster.submit(&flags, script);
    cluster.wait_ended(&sweep);
    for path in ["/?all=true".to_owned(), format!("/sweeps/{sweep}"), format!("/sweeps/{sweep}/jobs/0")] {
        let text = page(&cluster, &path);
        for raw in ["<img", "<b>", "<i>", "</pre><script"] {
            assert!(!text.contains(raw), "{path} has {raw}: {text}");
        }
    }
    assert!(
        page(&cluster, &format!("/sweeps/{sweep}/jobs/0")).contains("&#60;img src=x onerror=alert(1)&#62;")
    );
}

#[test]
fn only_the_page_itself_may_press_its_buttons() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&["--matrix", "n=0:3"]);
    let cancel = format!("/sweeps/{sweep}/cancel");
    for flags in [&[][..], &["-H", "Sec-Fetch-Site: cross-site"], &["-H", "Origin: http://evil.example"]] {
        let (status, _, text) = ask(&cluster, &cancel, &[&["-X", "POST"], flags].concat());
        assert!(
            status == 403 && text.contains("only a page of this coordinator"),
            "{flags:?}: {status}: {text}"
        );
    }
    assert_eq!(ask(&cluster, &cancel, &[]).0, 405, "a link alone does nothing");
    assert_eq!(cluster.count(&sweep, "queued"), 4);
    let press = |action: &str| {
        let path = format!("/sweeps/{sweep}/{action}");
        let (status, headers, _) = ask(&cluster, &path, &["-X", "POST", "-H", "Sec-Fetch-Site: same-origin"]);
        assert!(status == 303 && headers.contains(&format!("location: ../{sweep}")), "{action}: {headers}");
        page(&cluster, &format!("/sweeps/{sweep}"))
    };
    assert!(press("pause").contains("It is paused"));
    assert!(press("resume").contains("4 jobs wait"));
    assert!(press("cancel").contains("before it was cancelled"));
    assert!(press("retry").contains("4 jobs wait"));
    cluster.ok(&["cancel", &sweep]);
}

#[test]
fn the_map_shows_what_the_database_holds() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "16"]));
    let flags =
        ["--name", "grid", "--matrix", "fast=5:24", "--matrix", "slow=30:120:10", "--matrix", "seed=1:3"];
    let sweep = cluster.submit_simulated(&flags);
    cluster.wait_ended(&sweep);
    let nothing = page(&cluster, &format!("/sweeps/{sweep}"));
    assert!(nothing.contains("The jobs report no metrics"), "{nothing}");
    // A hill, whose top is at fast 12 and slow 70; the seed adds little.
    let mut table = "job,sharpe,flat\n".to_owned();
    for job in 0..600_i32 {
        let (fast, slow, seed) = (5 + job / 30, 30 + job / 3 % 10 * 10, 1 + job % 3);
        let sharpe = 2.0 - f64::from((fast - 12).pow(2)) / 30.0 - f64::from((slow - 70).pow(2)) / 2_000.0;
        if job % 7 != 0 {
            table += &format!("{job},{},1\n", sharpe + f64::from(seed) * 0.01);
        }
    }
    let file = cluster.dir().join("metrics.csv");
    std::fs::write(&file, table).unwrap();
    cluster.ok(&["metrics", "import", &sweep, "--table", file.to_str().unwrap()]);
    let shown = page(&cluster, &format!("/sweeps/{sweep}"));
    assert!(shown.contains("The mean sharpe of the jobs with each fast (across) and slow (down)"), "{shown}");
    let first = shown.split("<tbody>").nth(2).unwrap();
    let cells: Vec<(&str, &str)> = first
        .split("</tbody>")
        .next()
        .unwrap()
        .split("<td class=\"")
        .skip(1)
        .map(|cell| {
            cell.split_once("\">").map(|(class, rest)| (class, rest.split('<').next().unwrap())).unwrap()
        })
        .collect();
    assert_eq!(cells.len(), 200, "{first}");
    let sql = "select round(avg((metrics ->> 'sharpe')::float8)::numeric, 9) from jobs \
        group by number / 3 % 10, number / 30 order by number / 3 % 10, number / 30";
    let means = cluster.database.query(sql);
    for ((class, text), mean) in cells.iter().zip(&means) {
        let (shown, mean): (f64, f64) = (text.parse().unwrap(), mean.parse().unwrap());
        assert!((shown - mean).abs() <= 6e-5, "{shown} is not {mean}");
        assert!(class.starts_with('q'), "{class}");
    }
    let best = cells.iter().find(|(_, text)| *text == "2.0150");
    assert!(
        best.is_some_and(|(class, _)| *class == "q8"),
        "the top of the hill has the last colour: {best:?}"
    );
    for text in ["What matters", "<td>fast</td>", "514 jobs reported it, from "] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let told = page(&cluster, &format!("/sweeps/{sweep}?across=seed&down=fast&cell=highest"));
    assert!(
        told.contains("The highest sharpe of the jobs with each seed (across) and fast (down)"),
        "{told}"
    );
    let flat = page(&cluster, &format!("/sweeps/{sweep}?by=flat"));
    assert!(
        flat.contains("have the same value, 1.") && flat.contains("Too few jobs have reported different"),
        "{flat}"
    );
}
