//! Logging in to the page: with a token, by a form that needs no script, into a cookie that no script and no other site gets.

use std::fs;

use bt_tests::http::{Answer, curl};
use bt_tests::{Cluster, Nginx, Options, wait_until};

const HTML: [&str; 2] = ["-H", "Accept: text/html"];
const OWN: [&str; 2] = ["-H", "Sec-Fetch-Site: same-origin"];

fn cluster() -> Cluster {
    let mut options = Options { tokens: true, ..Options::simulated(&[]) };
    options.heartbeat = "1s";
    Cluster::without_agent(options)
}

fn log_in(cluster: &Cluster, token: &str, next: &str, flags: &[&str]) -> Answer {
    let (token, next) = (format!("token={token}"), format!("next={next}"));
    let form = ["--data-urlencode", &token, "--data-urlencode", &next];
    curl(cluster, "/login", &[&form, flags].concat())
}

/// The cookie of somebody who has logged in.
#[track_caller]
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    assert!(set.contains("httponly") && set.contains("samesite=strict"), "{answer:?}");
    format!("Cookie: {}", set.split(';').next().unwrap())
}

#[test]
fn a_browser_is_asked_to_log_in_and_comes_to_the_page_that_it_wanted() {
    let cluster = cluster();
    let ann = cluster.token("ann", &["--role", "submitter"]);
    cluster.submit_simulated(&["--name", "roots"]);
    assert_eq!(cluster.run_as(&ann, &["submit", "--image", "x", "--name", "annas", "--", "x"]).code, 0);

    let asked = curl(&cluster, "/sweeps/roots?by=sharpe", &HTML);
    assert_eq!((asked.status, asked.header("www-authenticate")), (401, "bearer"), "{asked:?}");
    let text = asked.text();
    assert!(text.contains(r#"action="../login""#) && text.contains("sweeps/roots?by=sharpe"), "{text}");
    assert!(!text.contains("role=\"alert\""), "nothing is wrong yet: {text}");

    let answer = log_in(&cluster, &ann, "sweeps/roots?by=sharpe", &OWN);
    assert_eq!((answer.status, answer.header("location")), (303, "./sweeps/roots?by=sharpe"), "{answer:?}");
    assert!(!answer.header("set-cookie").contains("secure"), "it came by http");
    assert!(!answer.header("set-cookie").contains("path="), "a proxy's path is the browser's to know");
    let own = cookie(&answer);
    let see = |path: &str| curl(&cluster, path, &["-H", &own, HTML[0], HTML[1]]);
    let page = see("/sweeps/roots");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ann (submitter)") && page.text().contains("Log out"), "{}", page.text());
    assert!(!page.text().contains(">cancel<"), "the sweep is another's: {}", page.text());
    assert!(see("/sweeps/annas").text().contains(">cancel<"));
    assert!(!see("/agents").text().contains(">drain<"));

    // Where nothing says that it is a page of this coordinator, the cookie changes nothing.
    let press = |sweep: &str, flags: &[&str]| {
        let flags = [&["-X", "POST", "-H", own.as_str()][..], flags].concat();
        curl(&cluster, &format!("/sweeps/{sweep}/pause"), &flags)
    };
    assert_eq!(press("annas", &[]).status, 403);
    assert_eq!(press("annas", &["-H", "Sec-Fetch-Site: cross-site"]).status, 403);
    assert_eq!(press("roots", &OWN).status, 403);
    assert_eq!(press("annas", &OWN).status, 303);
    let json = ["-H", &own, "-H", "Content-Type: application/json", "-d", "{}"];
    assert_eq!(curl(&cluster, "/api/sweeps/annas/resume", &json).status, 403);

    let out = curl(&cluster, "/logout", &["-X", "POST", "-H", &own, OWN[0], OWN[1]]);
    assert_eq!((out.status, out.header("location")), (303, "login"), "{out:?}");
    assert!(out.header("set-cookie").contains("max-age=0"), "{out:?}");
    let after = see("/sweeps/roots");
    assert_eq!(after.status, 401, "the cookie that was kept is worth nothing");
    assert!(after.text().contains("has ended"), "{}", after.text());
}

#[test]
fn a_session_is_kept_by_its_hash_and_ends_with_its_token() {
    let mut cluster = cluster();
    let ann = cluster.token("ann", &["--role", "viewer"]);
    let root = fs::read_to_string(cluster.dir().join("admin.token")).unwrap();
    let (own, roots) =
        (cookie(&log_in(&cluster, &ann, "", &OWN)), cookie(&log_in(&cluster, root.trim(), "", &OWN)));
    let kept = cluster.database.query("select s::text from page_sessions s").join("\n");
    assert!(!kept.contains(own.rsplit('=').next().unwrap()), "{kept}");
    let see = |cluster: &Cluster, cookie: &str| curl(cluster, "/api/sweeps", &["-H", cookie]).status;
    assert_eq!((see(&cluster, &own), see(&cluster, &roots)), (200, 200));
    // Another coordinator, and the same one after a restart, know it too.
    assert_eq!(cluster.coordinator().terminate(), 0);
    cluster.start_coordinator();
    assert_eq!((see(&cluster, &own), see(&cluster, &roots)), (200, 200));
    cluster.ok(&["token", "revoke", ann.split('_').nth(1).unwrap()]);
    wait_until("it has ended", || (see(&cluster, &own) == 401).then_some(()));
    // The administrator's ends when the file has another token.
    assert_eq!(cluster.coordinator().terminate(), 0);
    fs::remove_file(cluster.dir().join("admin.token")).unwrap();
    cluster.start_coordinator();
    assert_eq!(see(&cluster, &roots), 401);
    cluster.database.query("update page_sessions set expires_at = now()");
}

#[test]
fn what_can_not_log_in_is_told_why() {
    let cluster = cluster();
    let agent = cluster.token("pool", &["--role", "agent"]);
    let ann = cluster.token("ann", &["--role", "viewer"]);
    for (token, told) in [
        ("", "is not a token"),
        ("btctl_nonsense", "is not a token"),
        (&*"x".repeat(9_000), "too long"),
        (&agent, "agent&#39;s token is not for the page"),
    ] {
        let answer = log_in(&cluster, token, "", &OWN);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.text().contains(told), "{told}: {}", answer.text());
        assert!(answer.header("set-cookie").is_empty() && !answer.text().contains("nonsense"));
    }
    // Another site's page can't log anybody in, and none is sent to another site.
    assert_eq!(log_in(&cluster, &ann, "", &["-H", "Sec-Fetch-Site: cross-site"]).status, 403);
    for next in ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"] {
        assert_eq!(log_in(&cluster, &ann, next, &OWN).header("location"), "./", "{next}");
    }
    let secure = log_in(&cluster, &ann, "", &[OWN[0], OWN[1], "-H", "X-Forwarded-Proto: https"]);
    assert!(secure.header("set-cookie").contains("; secure"), "{secure:?}");
}

#[test]
fn below_a_proxys_path_a_browser_logs_in_too() {
    let cluster = cluster();
    let ann = cluster.token("ann", &["--role", "viewer"]);
    cluster.submit_simulated(&["--name", "roots"]);
    let nginx = Nginx::start(&cluster.address());
    let jar = cluster.dir().join("jar").display().to_string();
    let below = format!("http://127.0.0.1:{}/btctl/", nginx.port());
    let browse = |path: &str, flags: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["-s", "-L", "-b", &jar, "-c", &jar, HTML[0], HTML[1], OWN[0], OWN[1]]).args(flags);
        let output = command.arg(format!("{below}{path}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(browse("sweeps/roots", &[]).contains("Log in"));
    let token = format!("token={ann}");
    let page = browse("login", &["--data-urlencode", &token, "--data-urlencode", "next=sweeps/roots"]);
    assert!(page.contains("ann (viewer)") && page.contains("roots"), "{page}");
    let kept = fs::read_to_string(&jar).unwrap();
    assert!(kept.contains("\t/btctl") && kept.contains("#HttpOnly_"), "{kept}");
    assert!(browse("queue", &[]).contains("ann (viewer)"));
    browse("logout", &["-X", "POST"]);
    assert!(browse("queue", &[]).contains("Log in"));
}
