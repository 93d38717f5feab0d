//! The page, as the server makes it: what it says, that it shows everything as text, and who may press its buttons.

use std::process::Command;

use bt_tests::{Cluster, Options, wait_until};

/// The status, the headers and the body of what is there.
#[track_caller]
fn ask(cluster: &Cluster, path: &str, flags: &[&str]) -> (u16, String, String) {
    let mut command = Command::new("curl");
    command.args(["-s", "-i", "--max-time", "60"]).args(flags).arg(format!("{}{path}", cluster.address()));
    let output = command.output().expect("curl is installed");
    assert!(output.status.success(), "curl {path}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    (status, headers.to_ascii_lowercase(), body.to_owned())
}

#[track_caller]
fn page(cluster: &Cluster, path: &str) -> String {
    let (status, headers, body) = ask(cluster, path, &[]);
    assert_eq!(status, 200, "{path}: {headers}");
    assert!(headers.contains("content-security-policy: default-src 'none'"), "{path}: {headers}");
    assert!(
        !body.contains("<script") && !body.contains(" style="),
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
    let (status, _, gone) = ask(&cluster, "/sweeps/nothing", &[]);
    assert!(status == 404 && gone.contains("no sweep &#34;nothing&#34;"), "{status}: {gone}");
    let style = all.split("href=\"assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (status, headers, _) = ask(&cluster, &format!("/assets/{style}"), &[]);
    assert!(status == 200 && headers.contains("text/css") && headers.contains("immutable"), "{headers}");
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
