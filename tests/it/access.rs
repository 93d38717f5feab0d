//! Who may do what: tokens that hold and those that do not, whose sweeps may be changed, and who is let in at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bt_tests::http::curl;
use bt_tests::{Cluster, Finished, Options, Process, btctl_path, free_port, wait_until};

fn asking() -> Options {
    Options { tokens: true, ..Options::simulated(&[]) }
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, 4, "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
}

/// The id of a token.
fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

#[test]
fn a_token_is_asked_for_and_says_who_one_is() {
    let cluster = Cluster::without_agent(asking());
    let root = cluster.json(&["whoami"]);
    assert_eq!((root["name"].as_str(), root["role"].as_str()), (Some("root"), Some("admin")), "{root}");
    let mode = fs::metadata(cluster.dir().join("admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let ann = cluster.token("ann", &["--role", "submitter", "--ttl", "90d", "--owners", "ann,desk"]);
    let shown: serde_json::Value =
        serde_json::from_str(&cluster.run_as(&ann, &["whoami", "-o", "json"]).stdout).unwrap();
    assert_eq!(shown["name"], "ann");
    assert_eq!(shown["role"], "submitter");
    assert_eq!(shown["owners"], serde_json::json!(["ann", "desk"]));
    assert_eq!(shown["token"], id(&ann));
    assert!(shown["expires"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");

    let empty = cluster.run(&["--token-file", "/dev/null", "ls"]);
    assert_eq!(empty.code, 2, "{empty:?}");
    assert!(empty.stderr.contains("the token file /dev/null is empty"), "{empty:?}");
}

#[test]
fn what_does_not_hold_is_refused_and_never_shown() {
    let mut options = asking();
    options.coordinator.extend(["--log".to_owned(), "trace".to_owned()]);
    let mut cluster = Cluster::without_agent(options);
    let token = |flags: &[&str]| cluster.token("ann", &[&["--role", "viewer"], flags].concat());
    let (good, short, gone) = (token(&[]), token(&["--ttl", "1s"]), token(&[]));
    assert_eq!(cluster.run_as(&good, &["ls"]).code, 0);
    assert_eq!(cluster.run_as(&gone, &["ls"]).code, 0);
    cluster.ok(&["token", "revoke", id(&gone)]);
    refused(&cluster.run_as(&gone, &["ls"]), &["of ann was revoked"]);
    let again = cluster.run(&["token", "revoke", id(&gone)]);
    assert!(again.stderr.contains("it was revoked before"), "{again:?}");
    wait_until("it has expired", || (cluster.run_as(&short, &["ls"]).code == 4).then_some(()));
    refused(&cluster.run_as(&short, &["ls"]), &["of ann expired at"]);

    let wrong =
        format!("{}{}", &good[..good.len() - 4], if good.ends_with("0000") { "1111" } else { "0000" });
    refused(&cluster.run_as(&wrong, &["ls"]), &["not known here"]);
    refused(&cluster.run_as(&format!("btctl_abcdefghijkm_{}", "a".repeat(64)), &["ls"]), &["not known here"]);
    refused(&cluster.run_as(&good[..40], &["ls"]), &["is not a token", "cut off"]);
    refused(&cluster.run_as(&good.repeat(10), &["ls"]), &["is not a token"]);
    let whole = cluster.run(&["token", "revoke", &good]);
    assert_eq!(whole.code, 3, "{whole:?}");

    let http = |value: &str| curl(&cluster, "/api/sweeps", &["-H", &format!("Authorization: {value}")]);
    let answer = http(&format!("Bearer {wrong}"));
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "bearer"), "{answer:?}");
    assert_eq!(http("Basic YTpi").refused().0, 401);
    assert_eq!(curl(&cluster, "/api/sweeps", &[]).refused().1, "unauthenticated");
    assert_eq!(http(&format!("bearer {good}")).status, 200);
    for open in ["/healthz", "/readyz"] {
        assert_eq!(curl(&cluster, open, &[]).status, 200);
    }
    assert_eq!(curl(&cluster, "/metrics", &[]).status, 401);

    // No secret is in any log, error or table.
    assert_eq!(cluster.coordinator().terminate(), 0);
    let root = fs::read_to_string(cluster.dir().join("admin.token")).unwrap();
    let log = cluster.coordinator().log();
    assert!(log.contains("TRACE") && log.contains("refused: unknown"), "the log has what it should not hold");
    let kept = cluster.database.query("select t::text from tokens t").join("\n");
    let audit = cluster.database.query("select a::text from audit a").join("\n");
    for token in [&good, &short, &gone, &wrong, root.trim()] {
        let secret = token.rsplit('_').next().unwrap();
        for (place, text) in [("log", &log), ("tokens", &kept), ("audit", &audit), ("error", &whole.stderr)] {
            assert!(!text.contains(&secret[..32]), "the {place} has the secret of {}", id(token));
        }
    }
}

#[test]
fn only_ones_own_sweeps_are_changed() {
    let cluster = Cluster::without_agent(asking());
    let ann = cluster.token("ann", &["--role", "submitter", "--owners", "ann,desk"]);
    let bob = cluster.token("bob", &["--role", "submitter"]);
    let eve = cluster.token("eve", &["--role", "viewer"]);
    let olga = cluster.token("olga", &["--role", "operator"]);
    let submit = ["submit", "--image", "x", "--name", "annas", "-o", "json", "--", "x"];
    let submitted = cluster.run_as(&ann, &submit);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let sweep: serde_json::Value = serde_json::from_str(&submitted.stdout).unwrap();
    let sweep = sweep["id"].as_str().unwrap();
    assert_eq!(cluster.database.query("select owner from sweeps"), ["ann"]);

    for named in [sweep, "annas", &sweep[..8]] {
        for command in [
            vec!["cancel", named],
            vec!["pause", named],
            vec!["resume", named],
            vec!["retry", named],
            vec!["tag", named, "x"],
            vec!["note", named, "x"],
            vec!["rm", "--yes", named],
        ] {
            refused(&cluster.run_as(&bob, &command), &["annas belongs to ann", "sweeps of bob only"]);
        }
        assert_eq!(cluster.run_as(&bob, &["show", named]).code, 0, "all may look");
        refused(&cluster.run_as(&eve, &["cancel", named]), &["eve is viewer", "submitter, operator, admin"]);
    }
    let flags = |token: &str| vec!["-H".to_owned(), format!("Authorization: Bearer {token}")];
    let json = ["-H", "Content-Type: application/json", "-d", "{}"];
    let post = |token: &str, path: &str| {
        let flags = flags(token);
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(json).collect();
        curl(&cluster, path, &flags)
    };
    assert_eq!(post(&bob, "/api/sweeps/annas/cancel").refused().0, 403);
    assert_eq!(post(&eve, "/api/sweeps/annas/cancel").refused().0, 403);
    assert_eq!(post(&bob, "/api/sweeps/annas/jobs").status, 422, "its body is looked at first");
    assert_eq!(
        cluster.database.query("select count(*) from sweeps where paused_at is null and tags = '{}'"),
        ["1"]
    );

    // The owner is the token's, whatever the client says.
    let with_owner = |token: &str, owner: &str| {
        let path = format!("/api/sweeps?owner={owner}");
        let flags = flags(token);
        let flags = flags.iter().map(String::as_str);
        let manifest = r#"{"name": "m", "image": "x", "command": ["x"]}"#;
        let flags: Vec<_> = flags.chain(["-H", "Content-Type: application/json", "-d", manifest]).collect();
        curl(&cluster, &path, &flags)
    };
    let refusal = with_owner(&ann, "bob").refused();
    assert_eq!(refusal.0, 403);
    assert!(refusal.2.contains("ann, desk"), "{refusal:?}");
    assert_eq!(with_owner(&ann, "desk").status, 200);
    assert_eq!(with_owner(&olga, "ann").status, 403, "operators submit as themselves");
    assert_eq!(with_owner(&eve, "eve").status, 403);
    assert_eq!(cluster.database.query("select owner from sweeps order by created_at"), ["ann", "desk"]);

    assert_eq!(cluster.run_as(&ann, &["pause", "m"]).code, 0, "desk's are ann's too");
    assert_eq!(cluster.run_as(&olga, &["pause", "annas"]).code, 0);
    assert_eq!(cluster.run_as(&ann, &["resume", "annas"]).code, 0);
    refused(&cluster.run_as(&olga, &["token", "ls"]), &["olga is operator", "for: admin"]);
    refused(&cluster.run_as(&bob, &["limits", "set", "nas", "4"]), &["operator, admin"]);
    assert_eq!(cluster.run_as(&olga, &["limits", "set", "nas", "4"]).code, 0);
}

#[test]
fn agents_come_with_tokens_of_their_own() {
    let mut cluster = Cluster::with(asking());
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:20:1"]);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 20);
    let agents = fs::read_to_string(cluster.dir().join("agent.token")).unwrap();
    refused(&cluster.run_as(agents.trim(), &["ls"]), &["agents is agent", "viewer, submitter"]);

    // A person's token is none for an agent: it says so and ends.
    let ann = cluster.token("ann", &["--role", "admin"]);
    let flags: Vec<_> = ["--engine", "simulated"].map(str::to_owned).into();
    let mut start = |name: &str, token: &str| {
        fs::write(cluster.dir().join(format!("{name}.token")), token).unwrap();
        let file = cluster.dir().join(format!("{name}.token")).display().to_string();
        let more: Vec<_> = flags.iter().cloned().chain(["--token-file".to_owned(), file]).collect();
        cluster.add_agent_unseen(name, &more);
        cluster.agents_so_far() - 1
    };
    let person = start("person", &ann);
    let none = start("none", "btctl_nonsense");
    for number in [person, none] {
        assert_ne!(cluster.agent_number(number).wait(), 0);
    }
    let log = cluster.agent_number(person).log();
    assert!(log.contains("ann is admin here") && log.contains("is for: agent"), "{log}");
    let log = cluster.agent_number(none).log();
    assert!(log.contains("is not a token") && !log.contains("nonsense"), "{log}");

    // A token for two agents lets two in, and each again.
    let two = cluster.token("pool", &["--role", "agent", "--uses", "2"]);
    let flags = flags.clone();
    let add = |cluster: &mut Cluster, name: &str| {
        cluster.add_agent_in(name, &flags, &[("BTCTL_TOKEN_FILE", ""), ("BTCTL_TOKEN", &two)]);
    };
    add(&mut cluster, "first");
    add(&mut cluster, "second");
    cluster.agent().kill();
    add(&mut cluster, "second");
    let third =
        cluster.run_as(&two, &["agent", "--engine", "simulated", "--state-dir", "third", "--name", "third"]);
    assert_eq!(third.code, 1, "{third:?}");
    assert!(third.stderr.contains("lets no more agents in"), "{third:?}");

    // When it is revoked, their sessions end; the agents wait for another token.
    cluster.ok(&["token", "revoke", id(&two)]);
    wait_until("they are gone", || {
        let agents = cluster.json(&["agents", "ls"]);
        let of = |name: &str| {
            let found = agents.as_array()?.iter().find(|agent| agent["name"] == name)?;
            found["state"].as_str().map(str::to_owned)
        };
        let gone = |name: &str| of(name).is_some_and(|state| state != "ready");
        (gone("first") && gone("second")).then_some(())
    });
    assert!(cluster.agent().is_running());
}

#[test]
fn open_calls_end_when_their_token_is_revoked() {
    let mut options = asking();
    options.heartbeat = "1s";
    let mut cluster = Cluster::without_agent(options);
    let ann = cluster.token("ann", &["--role", "viewer"]);
    cluster.submit_simulated(&["--name", "waits"]);
    // At another coordinator than the one that is told.
    cluster.add_coordinator();
    let mut command = Command::new(btctl_path());
    command.args(["watch"]).env("BTCTL_COORDINATOR", cluster.address_of(0)).env("BTCTL_TOKEN", &ann);
    command.env("XDG_CONFIG_HOME", cluster.dir()).current_dir(cluster.dir());
    let mut watching = Process::start("watching", cluster.dir(), &mut command);
    wait_until("it watches", || {
        cluster.submit_simulated(&["--name", "more"]);
        watching.log().contains("more").then_some(())
    });
    cluster.ok(&["--coordinator", &cluster.address_of(1), "token", "revoke", id(&ann)]);
    assert_eq!(watching.wait(), 4, "{}", watching.log());
}

#[test]
fn nobody_listens_to_others_without_asking_who_they_are() {
    let cluster = Cluster::without_agent(Options::default());
    let store = cluster.store().display().to_string();
    let port = free_port();
    let listen = format!("0.0.0.0:{port}");
    let start = |name: &str, flags: &[&str]| {
        let mut command = Command::new(btctl_path());
        command.args(["coordinator", "--listen", &listen, "--store", &store]).args(flags);
        command.env("BTCTL_DATABASE_URL", cluster.database.url());
        Process::start(name, cluster.dir(), &mut command)
    };
    let mut refused = start("refused", &[]);
    assert_eq!(refused.wait(), 2, "{}", refused.log());
    assert!(
        ["--auth tokens", "coordinator init", "--insecure"].iter().all(|part| refused.log().contains(part)),
        "{}",
        refused.log()
    );
    // A file that others can read is refused before anything is.
    let open = cluster.dir().join("open.token");
    fs::write(&open, "btctl_root_").unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let file = open.display().to_string();
    let mut readable = start("readable", &["--insecure", "--auth", "tokens", "--admin-token-file", &file]);
    assert_eq!(readable.wait(), 1, "{}", readable.log());
    assert!(readable.log().contains("chmod 600"), "{}", readable.log());

    let insecure = start("insecure", &["--insecure"]);
    let address = format!("http://127.0.0.1:{port}");
    wait_until("it serves", || insecure.log().contains("listening on").then_some(()));
    assert!(insecure.log().contains("nobody is asked who they are"), "{}", insecure.log());
    let mut agent = Command::new(btctl_path());
    agent.args([
        "agent",
        "--engine",
        "simulated",
        "--name",
        "a",
        "--coordinator",
        &address,
        "--state-dir",
        "a",
    ]);
    let _agent = Process::start("a", cluster.dir(), agent.current_dir(cluster.dir()));
    let listed = wait_until("the agent is listed", || {
        let listed = cluster.run(&["--coordinator", &address, "agents", "ls"]);
        listed.stdout.contains("ready").then_some(listed)
    });
    assert!(listed.stderr.contains("(--insecure)"), "{listed:?}");
    let json = cluster.json(&["--coordinator", &address, "agents", "ls"]);
    assert_eq!(json[0]["insecure"], true, "{json}");
    assert_eq!(cluster.json(&["agents", "ls"])[0]["insecure"], false);
}

#[test]
fn wrong_tokens_are_asked_for_in_vain() {
    let cluster = Cluster::without_agent(asking());
    for (flags, told) in [
        (&["ann", "--role", "boss"][..], "viewer, submitter, operator, admin or agent"),
        (&["", "--role", "viewer"], "1 to 100 letters"),
        (&["a,b", "--role", "viewer"], "no commas"),
        (&["root", "--role", "viewer"], "administrator's token"),
        (&["ann", "--role", "viewer", "--uses", "2"], "--role agent"),
        (&["ann", "--role", "viewer", "--labels", "a=b"], "--role agent"),
        (&["pool", "--role", "agent", "--owners", "x"], "agents submit nothing"),
        (&["pool", "--role", "agent", "--uses", "0"], "1 to 1000000"),
        (&["ann", "--role", "viewer", "--ttl", "0s"], "at least a second"),
        (&["ann", "--role", "viewer", "--ttl", "11y"], "10 years"),
    ] {
        let finished = cluster.run(&[&["token", "create"], flags].concat());
        assert_eq!(finished.code, 2, "{flags:?}: {finished:?}");
        assert!(finished.stderr.contains(told), "{flags:?}: {finished:?}");
    }
    assert!(cluster.json(&["token", "ls"]).as_array().unwrap().is_empty());
}
