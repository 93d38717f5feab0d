//! Who is told when a sweep has finished: on real connections, over deaths of coordinators, and never where it must not.

use std::process::{Command, Stdio};

use bt_tests::{Cluster, Finished, Hook, MailServer, Options, Posted, btctl_path, wait_until};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the tests";

fn options(more: &[&str]) -> Options {
    let coordinator = ["--notify-allow", "127.0.0.1", "--public-url", "https://btctl.example/x/"];
    Options {
        coordinator: coordinator.iter().chain(more).map(|flag| (*flag).to_owned()).collect(),
        env: vec![("BTCTL_NOTIFY_SECRET".to_owned(), SECRET.to_owned())],
        ..Options::simulated(&["--cpus", "64"])
    }
}

/// What is said of a sweep's receivers.
fn told(cluster: &Cluster, sweep: &str) -> Vec<Value> {
    cluster.json(&["show", sweep])["notifications"].as_array().unwrap().clone()
}

#[track_caller]
fn wait_delivered(cluster: &Cluster, sweep: &str) -> Vec<Value> {
    wait_until("all are told", || {
        let told = told(cluster, sweep);
        (!told.is_empty() && told.iter().all(|told| !told["delivered"].is_null())).then_some(told)
    })
}

#[track_caller]
fn wait_posted(hook: &Hook, requests: usize) -> Vec<Posted> {
    wait_until(&format!("{requests} requests have come"), || {
        let posted = hook.posted();
        (posted.len() >= requests).then_some(posted)
    })
}

fn event_id(posted: &Posted) -> &str {
    &posted.headers["btctl-event-id"]
}

/// The signature, made by another program than btctl.
fn signature(posted: &Posted) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let signed = [posted.headers["btctl-timestamp"].as_bytes(), b".", &posted.body].concat();
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), &signed).unwrap();
    let output = openssl.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("v1={}", text.trim().rsplit(' ').next().unwrap())
}

#[test]
fn a_webhook_is_told_until_it_takes_it_and_then_never_again() {
    let mut cluster = Cluster::with(options(&[]));
    let hook = Hook::start();
    hook.answer(&["503 Service Unavailable\r\nRetry-After: 1", "500 Internal Server Error"]);
    let url = hook.url("/hook?token=s3cret");
    let sweep = cluster.submit_simulated(&["--name", "averages", "--matrix", "n=0:4", "--notify", &url]);
    let told = wait_delivered(&cluster, &sweep);
    assert_eq!(told[0]["tries"], 3, "{told:?}");
    let posted = hook.posted();
    assert_eq!(posted.len(), 3);
    for one in &posted {
        assert_eq!(one.line, "POST /hook?token=s3cret HTTP/1.1");
        assert_eq!(event_id(one), told[0]["event_id"].as_str().unwrap());
        assert_eq!(one.headers["btctl-signature"], signature(one));
        assert_eq!(one.headers["content-type"], "application/json");
    }
    let body: Value = serde_json::from_slice(&posted[2].body).unwrap();
    assert_eq!(body["event"], "sweep.finished");
    assert_eq!(body["event_id"], told[0]["event_id"]);
    assert_eq!((&body["id"], &body["name"]), (&json!(sweep), &json!("averages")));
    assert_eq!((&body["state"], &body["counts"]["succeeded"]), (&json!("succeeded"), &json!(5)));
    assert_eq!(body["page"], format!("https://btctl.example/x/sweeps/{sweep}"));
    assert_eq!(body["best"], Value::Null);
    assert!(body["seconds"].as_f64().unwrap() >= 0.0);
    crate::schemas::check("notification", &body);
    let shown = cluster.ok(&["show", &sweep]);
    let line = format!("Notify    http://127.0.0.1:{}/***: told of sweep.finished", hook.port());
    assert!(shown.contains(&line) && !shown.contains("s3cret"), "{shown}");
    assert!(!cluster.ok(&["show", &sweep, "-o", "json"]).contains("s3cret"));
    cluster.coordinator().kill();
    cluster.start_coordinator();
    let next = cluster.submit_simulated(&["--notify", &url]);
    wait_delivered(&cluster, &next);
    assert_eq!(hook.posted().len(), 4, "only the next sweep's message has come");
    assert!(!cluster.coordinator().log().contains("s3cret"), "{}", cluster.coordinator().log());
}

#[test]
fn each_finish_is_an_event_of_its_own() {
    let cluster = Cluster::without_agent(options(&[]));
    let hook = Hook::start();
    let sweep = cluster.submit_simulated(&["--matrix", "n=0:4", "--notify", &hook.url("/")]);
    cluster.ok(&["cancel", &sweep]);
    wait_posted(&hook, 1);
    cluster.ok(&["retry", &sweep]);
    cluster.wait_count(&sweep, "queued", 5);
    cluster.ok(&["cancel", &sweep]);
    let posted = wait_posted(&hook, 2);
    assert_ne!(event_id(&posted[0]), event_id(&posted[1]));
    let body: Value = serde_json::from_slice(&posted[1].body).unwrap();
    assert_eq!((&body["state"], &body["counts"]["cancelled"]), (&json!("cancelled"), &json!(5)));
    assert_eq!(wait_delivered(&cluster, &sweep).len(), 2);
}

#[test]
fn a_coordinator_that_dies_while_it_tells_leaves_a_twin_with_the_same_id() {
    let mut cluster = Cluster::with(options(&[]));
    let hook = Hook::start();
    hook.hold(true);
    let sweep = cluster.submit_simulated(&["--notify", &hook.url("/")]);
    wait_posted(&hook, 1);
    cluster.coordinator().kill();
    hook.hold(false);
    cluster.start_coordinator();
    let told = told(&cluster, &sweep);
    assert!(told[0]["delivered"].is_null() && told[0]["tries"] == 1, "it is the dead one's: {told:?}");
    // Its time is over.
    cluster.database.query("update outbox set due_at = now()");
    let told = wait_delivered(&cluster, &sweep);
    assert_eq!(told[0]["tries"], 2);
    let posted = hook.posted();
    assert_eq!(posted.len(), 2);
    assert_eq!(event_id(&posted[0]), event_id(&posted[1]));
}

#[test]
fn a_finish_that_nobody_wrote_down_is_told_by_the_next_coordinator() {
    let mut cluster = Cluster::without_agent(options(&[]));
    let hook = Hook::start();
    let sweep = cluster.submit_simulated(&["--notify", &hook.url("/")]);
    cluster.ok(&["cancel", &sweep]);
    cluster.coordinator().kill();
    // As if it had died between the cancel and the end.
    let undone = "delete from outbox; update sweeps set ended_at = null";
    undone.split("; ").for_each(|sql| drop(cluster.database.query(sql)));
    let before = hook.posted().len();
    cluster.start_coordinator();
    wait_delivered(&cluster, &sweep);
    assert_eq!(hook.posted().len(), before + 1);
}

#[test]
fn several_coordinators_tell_each_receiver_once() {
    let mut cluster = Cluster::without_agent(options(&[]));
    cluster.add_coordinator();
    cluster.add_coordinator();
    let hooks = [Hook::start(), Hook::start(), Hook::start()];
    let sweeps: Vec<_> = (0..8)
        .map(|_| {
            let [a, b, c] = hooks.each_ref().map(|hook| hook.url("/"));
            let sweep = cluster.submit_simulated(&["--notify", &a, "--notify", &b, "--notify", &c]);
            cluster.ok(&["cancel", &sweep]);
            sweep
        })
        .collect();
    for sweep in &sweeps {
        let told = wait_delivered(&cluster, sweep);
        assert!(told.len() == 3 && told.iter().all(|told| told["tries"] == 1), "{told:?}");
    }
    for hook in &hooks {
        let mut ids: Vec<_> = hook.posted().iter().map(|posted| event_id(posted).to_owned()).collect();
        ids.sort_unstable();
        let sent = ids.len();
        ids.dedup();
        assert_eq!((sent, ids.len()), (sweeps.len(), sweeps.len()));
    }
}

#[test]
fn a_slow_receiver_holds_up_no_other() {
    let cluster = Cluster::without_agent(options(&[]));
    let (slow, quick) = (Hook::start(), Hook::start());
    slow.hold(true);
    let finish = |hook: &Hook| {
        let sweep = cluster.submit_simulated(&["--notify", &hook.url("/")]);
        cluster.ok(&["cancel", &sweep]);
        sweep
    };
    let waiting: Vec<_> = (0..20).map(|_| finish(&slow)).collect();
    wait_posted(&slow, 1);
    let sweep = finish(&quick);
    wait_delivered(&cluster, &sweep);
    // Those that it has not answered within the limit are followed by the next.
    let posted = slow.posted().len();
    assert!(posted <= 5, "it has one message at a time: {posted} have come");
    slow.hold(false);
    waiting.iter().for_each(|sweep| drop(wait_delivered(&cluster, sweep)));
}

#[test]
fn a_receiver_that_refuses_is_given_up_and_the_reason_is_shown() {
    let cluster = Cluster::without_agent(options(&[]));
    let (hook, other) = (Hook::start(), Hook::start());
    let elsewhere = format!("302 Found\r\nLocation: {}", other.url("/stolen"));
    hook.answer(&["404 Not Found", "410 Gone", &elsewhere]);
    let sweep = cluster.submit_simulated(&["--notify", &hook.url("/gone")]);
    cluster.ok(&["cancel", &sweep]);
    let told = wait_until("it is given up", || {
        let told = told(&cluster, &sweep).pop()?;
        (!told["given_up"].is_null()).then_some(told)
    });
    assert_eq!(
        (&told["tries"], &told["delivered"], &told["next_try"]),
        (&json!(3), &Value::Null, &Value::Null)
    );
    let why = told["last_error"].as_str().unwrap();
    assert!(
        why.contains("302 Found") && why.contains("redirects are not followed") && why.ends_with(": hello"),
        "{why}"
    );
    assert!(other.posted().is_empty(), "a redirect was followed");
    let shown = cluster.ok(&["show", &sweep]);
    assert!(
        shown.contains("not told of sweep.finished: given up, tried 3 times: it answered 302"),
        "{shown}"
    );
    let explained = cluster.ok(&["explain", &sweep]);
    assert!(
        explained.contains("notifications:") && explained.contains("not told of sweep.finished: given up"),
        "{explained}"
    );
    assert_eq!(cluster.json(&["explain", &sweep])["notifications"][0], told);
}

#[test]
fn what_only_the_coordinator_can_reach_is_not_told() {
    let cluster = Cluster::without_agent(Options::simulated(&[]));
    let hook = Hook::start();
    let refused = |address: &str, words: &[&str]| {
        let Finished { code, stderr, .. } =
            cluster.run(&["submit", "--image", "x:1", "--notify", address, "--", "x"]);
        assert!(code == 2 && words.iter().all(|word| stderr.contains(word)), "{address}: {code} {stderr}");
    };
    refused(&hook.url("/s3cret"), &["address 1 of `notify`", "loopback", "--notify-allow", "/***"]);
    refused("http://169.254.169.254/latest/meta-data", &["link-local"]);
    refused("http://[::ffff:10.0.0.1]/", &["10.0.0.1 is private"]);
    refused("slack+http://0x7f000001/x", &["127.0.0.1", "loopback"]);
    refused("mailto:ann@quant.example", &["address 1 of `notify`", "--smtp-url"]);
    // What a name stands for is known when it is told.
    let named = format!("http://localhost:{}/", hook.port());
    let sweep = cluster.submit_simulated(&["--notify", &named]);
    cluster.ok(&["cancel", &sweep]);
    let told = wait_until("a try has failed", || {
        let told = told(&cluster, &sweep).pop()?;
        told["last_error"].is_string().then_some(told)
    });
    let why = told["last_error"].as_str().unwrap();
    assert!(why.contains("localhost stands for") && why.contains("loopback"), "{why}");
    assert!(hook.posted().is_empty());
}

#[test]
fn a_host_that_the_operator_names_is_told() {
    let hook = Hook::start();
    let allowed = format!("localhost:{}", hook.port());
    let options = Options {
        coordinator: vec!["--notify-allow".to_owned(), allowed.clone()],
        ..Options::simulated(&[])
    };
    let cluster = Cluster::without_agent(options);
    let sweep = cluster.submit_simulated(&["--notify", &format!("http://{allowed}/")]);
    cluster.ok(&["cancel", &sweep]);
    wait_delivered(&cluster, &sweep);
    let posted = hook.posted();
    assert_eq!(posted.len(), 1);
    assert!(!posted[0].headers.contains_key("btctl-signature"), "there is no secret to sign with");
}

#[test]
fn mails_and_chats_are_told_in_a_sentence() {
    let (mails, chat) = (MailServer::start(1), Hook::start());
    let cluster =
        Cluster::with(options(&["--smtp-url", &mails.url(), "--smtp-from", "btctl <btctl@quant.example>"]));
    let slack = format!("slack+{}", chat.url("/services/T/B/s3cret"));
    let sweep = cluster.submit_simulated(&[
        "--name",
        "averages",
        "--matrix",
        "n=0:4",
        "--notify",
        &slack,
        "--notify",
        "mailto:ann@quant.example",
    ]);
    let told = wait_delivered(&cluster, &sweep);
    let posted = chat.posted();
    let body: Value = serde_json::from_slice(&posted[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("Sweep averages of ") && text.contains("5 succeeded."), "{text}");
    assert!(text.ends_with(&format!("<https://btctl.example/x/sweeps/{sweep}|Open it>")), "{text}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    let mail = &mails.mails()[0];
    assert_eq!(mails.mails().len(), 1);
    assert!(mail.envelope[0].starts_with("MAIL FROM:<btctl@quant.example>"), "{mail:?}");
    assert!(
        mail.envelope[1].starts_with("RCPT TO:<ann@quant.example>") && mail.envelope.len() == 2,
        "{mail:?}"
    );
    for words in [
        "Subject: btctl: sweep averages succeeded\r\n",
        &format!("Message-ID: <{}.2@quant.example>\r\n", told[1]["event_id"].as_str().unwrap()),
        "5 succeeded",
    ] {
        assert!(mail.text.contains(words), "{words}: {mail:?}");
    }
    let why = told[1]["last_error"].as_str().unwrap();
    assert!(told[1]["tries"] == 2 && why.contains("try again later"), "{told:?}");
}

#[test]
fn a_setting_names_whom_manifests_leave_out() {
    let cluster = Cluster::without_agent(options(&[]));
    let (usual, named) = (Hook::start(), Hook::start());
    let receivers = |notify: &[&str], setting: &str| {
        let mut command = Command::new(btctl_path());
        let flags = ["submit", "--image", "x:1", "-o", "name"];
        command.args(flags).args(notify).args(["--", "x"]).current_dir(cluster.dir());
        command.env("BTCTL_COORDINATOR", cluster.address()).env("BTCTL_NOTIFY", setting);
        let output = command.env("HOME", cluster.dir()).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let sweep = String::from_utf8(output.stdout).unwrap();
        let shown = cluster.json(&["show", sweep.trim()]);
        let listed = shown["manifest"]["notify"].as_array().cloned().unwrap_or_default();
        Ok(listed.iter().map(|receiver| receiver.as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let (usual, named) = (usual.url(""), named.url(""));
    assert_eq!(receivers(&[], &usual), Ok(vec![usual.clone()]));
    assert_eq!(receivers(&["--notify", &named], &usual), Ok(vec![named]));
    std::fs::write(cluster.dir().join("none.yaml"), "image: x:1\nnotify: []\n").unwrap();
    assert_eq!(receivers(&["-f", "none.yaml"], &usual), Ok(Vec::new()));
    let told = receivers(&[], "ann@quant.example").unwrap_err();
    assert!(told.contains("BTCTL_NOTIFY") && told.contains("write https://HOST/PATH"), "{told}");
}

#[test]
fn a_canary_that_fails_and_the_best_job_are_told() {
    let hook = Hook::start();
    let cluster = Cluster::with(Options {
        coordinator: vec!["--notify-allow".to_owned(), "127.0.0.0/8".to_owned()],
        ..Options::default()
    });
    let url = hook.url("/");
    let script = "[ $BT_PARAM_N != 0 ] || [ -e /tmp/x ] || exit 3";
    let sweep = cluster.submit(&["--canary", "1", "--matrix", "n=0:4", "--notify", &url], script);
    let posted = wait_posted(&hook, 1);
    let body: Value = serde_json::from_slice(&posted[0].body).unwrap();
    assert_eq!((&body["event"], &body["state"]), (&json!("sweep.paused"), &json!("paused")));
    assert_eq!((&body["reason"], &body["counts"]["failed"]), (&json!("its canary failed"), &json!(1)));
    crate::schemas::check("notification", &body);
    cluster.ok(&["cancel", &sweep]);
    let script = r#"echo "{\"dd\": 1.$BT_PARAM_N}" > /results/metrics.json"#;
    let flags = ["--matrix", "n=0:4", "--goal", "dd=minimize", "--notify", &url];
    let sweep = cluster.submit(&flags, script);
    wait_delivered(&cluster, &sweep);
    let body: Value = serde_json::from_slice(&hook.posted().last().unwrap().body).unwrap();
    assert_eq!(body["best"], json!({"job": 0, "metric": "dd", "value": 1.0, "params": {"n": 0}}));
}
