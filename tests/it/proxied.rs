//! A reverse proxy that says whom it calls for.

use bt_tests::http::curl;
use bt_tests::{Cluster, Options};

fn behind(proxy: &str, role: &[&str]) -> Cluster {
    let flags = ["--proxy-user-header", "X-Forwarded-User", "--proxy-from", proxy];
    let mut options = Options { tokens: true, ..Options::simulated(&[]) };
    options.coordinator.extend(flags.iter().chain(role).map(|flag| (*flag).to_owned()));
    Cluster::without_agent(options)
}

const ANN: [&str; 2] = ["-H", "X-Forwarded-User: ann"];

#[test]
fn whom_the_proxy_names_has_the_role_of_its_users_and_sweeps_of_their_own() {
    let cluster = behind("127.0.0.0/8", &["--proxy-role", "submitter"]);
    let token = cluster.token("ann", &["--role", "submitter"]);
    let submitted = cluster.run_as(&token, &["submit", "--image", "x", "--name", "anns", "--", "x"]);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    assert_eq!(curl(&cluster, "/api/sweeps", &ANN).status, 200);
    let page = curl(&cluster, "/", &ANN);
    assert!(page.status == 200 && !page.text().contains("Log out"), "{page:?}");
    let json = ["-X", "POST", "-H", "Content-Type: application/json", "-d", "{}"];
    let cancel = |who: &[&str]| curl(&cluster, "/api/sweeps/anns/cancel", &[who, &json].concat()).status;
    assert_eq!(cancel(&["-H", "X-Forwarded-User: bob"]), 403, "it is ann's");
    assert_eq!(cancel(&["-H", "X-Forwarded-User: root"]), 401);
    assert_eq!(cancel(&ANN), 200);
    let audit = cluster.json(&["audit", "--who", "ann"]);
    let cancelled =
        |entry: &serde_json::Value| entry["what"].as_str().is_some_and(|what| what.contains("cancel"));
    assert!(audit.as_array().unwrap().iter().any(cancelled), "{audit}");
    // Another site's page in ann's browser.
    let foreign = [&ANN[..], &["-H", "Origin: https://evil.example"], &json].concat();
    assert_eq!(curl(&cluster, "/api/sweeps/none/cancel", &foreign).status, 403);
    // Two names, a name that is none, and none at all.
    assert_eq!(
        curl(&cluster, "/api/sweeps", &[&ANN[..], &["-H", "X-Forwarded-User: bob"]].concat()).status,
        401
    );
    for name in ["a,b", &"x".repeat(200)] {
        let header = format!("X-Forwarded-User: {name}");
        assert_eq!(curl(&cluster, "/api/sweeps", &["-H", &header]).status, 401, "{name}");
    }
    assert_eq!(curl(&cluster, "/api/sweeps", &[]).status, 401);
    // A token says more than the proxy.
    let viewer = cluster.token("vic", &["--role", "viewer"]);
    let header = format!("Authorization: Bearer {viewer}");
    assert_eq!(cancel(&[&["-H", &*header], &ANN[..]].concat()), 403);
}

#[test]
fn nobody_else_is_believed() {
    let cluster = behind("10.0.0.7", &[]);
    assert_eq!(curl(&cluster, "/api/sweeps", &ANN).status, 401);
    let told = |flags: &[&str], part: &str| {
        let all = [&["coordinator", "--store", "s", "--database-url", "postgres://x"], flags].concat();
        let told = cluster.run(&all);
        assert!(told.code == 2 && told.stderr.contains(part), "{flags:?}: {told:?}");
    };
    told(&["--proxy-user-header", "X-User"], "--proxy-from");
    told(&["--proxy-user-header", "X-User", "--proxy-from", "10.0.0.7"], "add --auth tokens");
    told(&["--proxy-user-header", "X-User", "--proxy-from", "here"], "no address or network");
    told(
        &["--proxy-user-header", "X-User", "--proxy-from", "10.0.0.7", "--proxy-role", "agent"],
        "agents come with tokens",
    );
}
