//! A sweep's page as one file: it needs nothing else, nothing in it does anything, and it is there whole or not at all.

use std::fs;
use std::process::Command;

use bt_tests::Cluster;

/// What makes a browser fetch, run or send something, or go elsewhere.
const DOES_SOMETHING: [&str; 14] = [
    "<script", "<form", "<button", "<input", "<select", "<a ", "<link", "<img", "<iframe", "<object",
    " href=", " src=", "url(", "@import",
];

#[test]
fn a_report_holds_all_of_the_page_and_does_nothing() {
    let cluster = Cluster::start();
    let script = r#"n=$BT_PARAM_N; echo "<img src=x> of $n"; [ $n != 4 ] || exit 3; echo "{\"sharpe\": 1.$n$BT_PARAM_M, \"a</pre><script>\": $n}" > /results/metrics.json"#;
    let hostile = "'<script>alert(1)</script><!--later-->";
    let sweep = cluster.submit(
        &[
            "--name",
            "averages",
            "--matrix",
            "n=0:4",
            "--matrix",
            "m=0:2",
            "--matrix",
            &format!("x={hostile}"),
            "--note",
            hostile,
            "-e",
            "API_KEY=s3cret",
            "--retries",
            "0",
        ],
        script,
    );
    cluster.wait_ended(&sweep);
    let file = cluster.dir().join("report.html");
    fs::write(&file, "an older one").unwrap();
    let missing = cluster.run(&["report", "nothing", "-o", "report.html"]);
    assert_eq!(
        (missing.code, fs::read_to_string(&file).unwrap().as_str()),
        (3, "an older one"),
        "{missing:?}"
    );
    cluster.ok(&["report", "averages", "-o", "report.html"]);
    let report = fs::read_to_string(&file).unwrap();
    for text in [
        "12 of 15 jobs succeeded, 3 failed",
        "made on 20",
        &format!("by btctl {}", env!("CARGO_PKG_VERSION")),
        "<h2>The best jobs</h2>",
        "<td class=\"number\">11</td>",
        "<h2>The map</h2>",
        "<h2>What matters</h2>",
        "<h2>How sharpe is distributed</h2>",
        "ended: exit(3)</h3>",
        "&#60;img src=x&#62; of 4",
        "<dt>Command</dt><dd>sh -c n=$BT_PARAM_N",
        "btctl-test:1",
        "&#60;script&#62;alert(1)",
        "&#34;API_KEY&#34;: &#34;***&#34;",
        "table.heat td",
    ] {
        assert!(report.contains(text), "{text}: {report}");
    }
    assert!(
        report.trim_end().ends_with("</html>") && !report.contains("s3cret") && !report.contains("-->"),
        "{report}"
    );
    // Tags and styles alone: what users wrote may say anything, and has no `<`.
    let (style, rest) = report.split_once("</style>").unwrap();
    let tags: Vec<_> =
        rest.split('<').skip(1).map(|tag| format!("<{}", tag.split('>').next().unwrap())).collect();
    for forbidden in DOES_SOMETHING {
        assert!(!style.contains(forbidden), "its style has {forbidden:?}: {style}");
        let found = tags.iter().find(|tag| tag.contains(forbidden));
        assert!(found.is_none(), "it has {found:?}");
    }
    assert!(!tags.iter().any(|tag| tag.contains(" on") && tag.contains("=\"")), "{tags:?}");
    let leftovers: Vec<_> = fs::read_dir(cluster.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("btctl-part"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    same_by_every_way(&cluster, &report);
}

/// But for the time.
#[track_caller]
fn same_by_every_way(cluster: &Cluster, report: &str) {
    let timeless = |report: &str| {
        let (before, after) = report.split_once(", made on ").unwrap();
        format!("{before}{}", after.split_once(" by btctl").unwrap().1)
    };
    assert_eq!(timeless(&cluster.ok(&["report", "averages", "-o", "-"])), timeless(report));
    let address = format!("{}/api/sweeps/averages/report.html", cluster.address());
    let output = Command::new("curl").args(["-s", "-i", "--max-time", "60", &address]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(timeless(body), timeless(report));
    let headers = headers.to_ascii_lowercase();
    for header in
        ["content-type: text/html; charset=utf-8", "default-src 'none'", "x-content-type-options: nosniff"]
    {
        assert!(headers.contains(header), "{header}: {headers}");
    }
    let none = format!("{}/api/sweeps/nothing/report.html", cluster.address());
    let output = Command::new("curl").args(["-s", "-w", "%{http_code}", &none]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("404") && text.contains("\"not_found\""), "{text}");
}

#[test]
fn a_report_that_can_not_be_written_says_where_and_leaves_nothing() {
    let cluster = Cluster::without_agent(bt_tests::Options::simulated(&[]));
    cluster.submit_simulated(&["--name", "one"]);
    for (file, words) in
        [("no/such/report.html", "there is no directory no/such"), (".", "is a directory; name a file in it")]
    {
        let refused = cluster.run(&["report", "one", "-o", file]);
        assert!(refused.code == 1 && refused.stderr.contains(words), "{file}: {refused:?}");
    }
    let unasked = cluster.run(&["report", "one"]);
    assert!(unasked.code == 2 && unasked.stderr.contains("--output <FILE>"), "{unasked:?}");
    let unfinished = cluster.ok(&["report", "one", "-o", "-"]);
    assert!(
        unfinished.contains("No job has finished yet.") && !unfinished.contains("<button"),
        "{unfinished}"
    );
}
