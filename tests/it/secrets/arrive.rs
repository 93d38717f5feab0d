//! How secrets arrive in each kind of container, and that their values are nowhere else.

use std::path::PathBuf;

use bt_tests::{Cluster, GATE, Options, WAIT_AT_GATE, docker, wait_until};
use serde_json::{Value, json};

use super::{Keyed, dump, files_with, forms, holds, in_memory, log, value};

#[test]
fn a_secret_reaches_its_job_and_nothing_else() {
    let mut options = Options::default();
    options.coordinator.extend(["--log", "trace"].map(str::to_owned));
    options.agent.extend(["--log", "trace"].map(str::to_owned));
    let mut keyed = Keyed::with(options, true);
    let (file, env) = (value(), value());
    keyed.stored("FILE_KEY", &format!("{file}\n"), &[]);
    keyed.stored("ENV_KEY", &env, &[]);
    let cluster = &keyed.cluster;
    let script = format!(
        "echo a-marker > /results/marker; {WAIT_AT_GATE}; stat -c '%a %u' /run/secrets/FILE_KEY; id -u; \
         grep ' /run/secrets ' /proc/mounts; touch /run/secrets/x || echo read-only; ls /run/secrets; \
         [ \"$(cat /run/secrets/FILE_KEY)\" = {file} ] && echo same; echo \"file $(cat /run/secrets/FILE_KEY) env $ENV_KEY\"; \
         printf \"${{ENV_KEY%????}}\"; sleep 0.3; echo \"${{ENV_KEY#${{ENV_KEY%????}}}}\"; echo $ENV_KEY >&2",
    );
    // What the script compares with is no secret here: it stands in the manifest.
    let script = script.replace(&file, &format!("$(echo {} | rev)", file.chars().rev().collect::<String>()));
    let flags = [&GATE[..], &["--secret", "FILE_KEY", "--secret", "ENV_KEY:env"]].concat();
    let sweep = cluster.submit(&flags, &script);
    let container = wait_until("the job runs", || cluster.running_containers(&sweep).pop());
    wait_until("it has begun", || {
        (!files_with(&cluster.dir().join("agent"), b"a-marker").is_empty()).then_some(())
    });

    assert_eq!(docker(&["exec", &container, "cat", "/run/secrets/FILE_KEY"]), file, "it is there");
    let [directory] = &in_memory(cluster)[..] else { panic!("{:?}", in_memory(cluster)) };
    assert!(
        !files_with(directory, env.as_bytes()).is_empty()
            && !files_with(directory, file.as_bytes()).is_empty()
    );
    let inspected = docker(&["inspect", &container]);
    assert!(inspected.contains("/run/secrets"), "{inspected}");
    let dumped = dump(cluster);
    cluster.database.query(&format!(
        "create table control as select '{file}'::text, '{env}'::bytea, encode('{file}', 'base64')"
    ));
    let control = dump(cluster);
    cluster.database.query("drop table control");
    for (place, bytes) in [("docker inspect", inspected.as_bytes()), ("the database", &dumped)] {
        for form in [forms(&file), forms(&env)].concat() {
            assert!(!holds(bytes, &form), "{place} holds {}", String::from_utf8_lossy(&form));
        }
    }
    assert!(
        holds(&control, file.as_bytes()) && holds(&control, &forms(&env)[1]),
        "a dump shows what is there"
    );
    for value in [&file, &env] {
        // The file that the value was set from is not there.
        assert_eq!(files_with(cluster.dir(), value.as_bytes()), Vec::<PathBuf>::new());
    }

    cluster.open_gate();
    let said = log(cluster, &sweep);
    let stars = "*".repeat(file.len());
    let lines: Vec<_> = said.lines().collect();
    let [mode, user, mount, rest @ ..] = &lines[..] else { panic!("{said}") };
    assert_eq!(mode.split_once(' '), Some(("400", *user)), "{said}");
    assert!(mount.starts_with("tmpfs /run/secrets tmpfs ro,"), "{said}");
    for line in ["read-only", "FILE_KEY", "ENV_KEY", "same", &format!("file {stars} env {stars}"), &stars] {
        assert!(rest.contains(&line), "{line}: {said}");
    }
    assert!(cluster.run(&["logs", &sweep]).stderr.contains(&stars), "on the other stream too");
    wait_until("it is gone from memory", || in_memory(cluster).is_empty().then_some(()));
    let shown = [
        cluster.ok(&["show", &sweep, "-o", "json"]),
        cluster.ok(&["jobs", &sweep, "-o", "json"]),
        cluster.ok(&["results", "show", &format!("{sweep}/0"), "-o", "json"]),
        cluster.ok(&["explain", &format!("{sweep}/0")]),
        cluster.ok(&["secrets", "ls", "-o", "json"]),
        cluster.ok(&["audit", "-o", "json"]),
    ];
    assert!(
        shown[2].contains("ENV_KEY") && shown[4].contains("ENV_KEY") && shown[5].contains("SetSecret"),
        "{shown:?}"
    );
    assert_eq!(keyed.cluster.agent().terminate(), 0);
    assert_eq!(keyed.cluster.coordinator().terminate(), 0);
    let cluster = &keyed.cluster;
    assert!(!files_with(&cluster.store(), b"a-marker").is_empty(), "the store is looked through");
    assert!(!files_with(cluster.dir(), b"TRACE").is_empty(), "the logs are looked through");
    for value in [&file, &env] {
        assert!(shown.iter().all(|text| !text.contains(value.as_str())));
        assert_eq!(files_with(cluster.dir(), value.as_bytes()), Vec::<PathBuf>::new());
        assert!(!forms(value).iter().any(|form| holds(&dump(cluster), form)));
    }
}

#[test]
fn every_kind_of_container_gets_them() {
    let keyed = Keyed::start();
    let (file, env) = (value(), value());
    keyed.stored("FILE_KEY", &file, &[]);
    keyed.stored("ENV_KEY", &env, &[]);
    let cluster = &keyed.cluster;
    let told = "echo \"got $(cat /run/secrets/FILE_KEY | rev) $(echo $ENV_KEY | rev)\"";
    let expected = format!("got {} {}", reversed(&file), reversed(&env));
    let secrets = ["--secret", "FILE_KEY", "--secret", "ENV_KEY:env", "--matrix", "n=1,2,3"];
    for flags in [&[][..], &["--containers", "reuse"], &["--user", "1234:5678"], &["--user", "image"]] {
        let sweep = cluster.submit(&[&secrets[..], flags].concat(), told);
        cluster.wait_ended(&sweep);
        for job in 0..3 {
            let log = cluster.ok(&["logs", &format!("{sweep}/{job}")]);
            assert!(log.contains(&expected), "{flags:?}: {log}");
        }
    }
    let batch = format!(
        "{told}; tab=$(printf '\\t'); while IFS=$tab read -r point rest; do [ $point = job ] || echo \"$point 0\" >> $BT_STATUS; done < $BT_POINTS"
    );
    let sweep = cluster.submit(&[&secrets[..], &["--batch", "3"]].concat(), &batch);
    assert!(log_of_first(cluster, &sweep).contains(&expected));

    let code = "import os; f = open('/run/secrets/FILE_KEY').read(); print('got', f[::-1], os.environ['ENV_KEY'][::-1])";
    let manifest = json!({
        "image": "sma-cross:1", "command": ["python3", "-c", code], "params": [{"n": 1}, {"n": 2}, {"n": 3}],
        "containers": "warm", "resources": {"cpus": 1, "memory": "256MiB"}, "timeout": "60s",
        "secrets": ["FILE_KEY", {"name": "ENV_KEY", "as": "env"}],
    });
    let path = keyed.write("warm.json", &manifest.to_string());
    let sweep = cluster.json(&["submit", "-f", &path])["id"].as_str().unwrap().to_owned();
    assert!(log_of_first(cluster, &sweep).contains(&expected));
    let shown = cluster.json(&["show", &sweep]);
    assert_eq!(shown["warm"], Value::Null, "it ran warm: {shown}");
    let last = cluster.ok(&["logs", &format!("{sweep}/2")]);
    assert!(last.contains(&expected), "{last}");

    // Without a coordinator.
    let values = [("FILE_KEY", keyed.write("f", &file)), ("ENV_KEY", keyed.write("e", &env))];
    let values = values.map(|(name, path)| format!("{name}={path}"));
    let local = [
        "run",
        "--local",
        "--image",
        "btctl-test:1",
        "-m",
        "64m",
        "--secret",
        "FILE_KEY",
        "--secret",
        "ENV_KEY:env",
    ];
    let files = ["--secret-file", &values[0], "--secret-file", &values[1], "--", "sh", "-c"];
    let ran = cluster.run(&[&local[..], &files, &[&format!("{told}; echo $ENV_KEY")]].concat());
    assert_eq!(
        (ran.code, ran.stdout),
        (0, format!("{expected}\n{}\n", "*".repeat(env.len()))),
        "{}",
        ran.stderr
    );
    let missing = cluster.run(&[&local[..], &["--", "true"]].concat());
    assert!(missing.code == 1 && missing.stderr.contains("--secret-file FILE_KEY=FILE"), "{missing:?}");
    wait_until("nothing is left in memory", || in_memory(cluster).is_empty().then_some(()));
}

#[test]
fn a_shared_container_has_the_secrets_of_its_sweep_as_they_are_now() {
    let mut options = Options::default();
    options.agent[1] = "1".to_owned();
    let keyed = Keyed::with(options, true);
    let cluster = &keyed.cluster;
    keyed.stored("FIRST", "first-value", &[]);
    keyed.stored("SECOND", "second-value", &[]);
    let look = "ls /run/secrets; cat /run/secrets/* | rev; echo; hostname";
    let reuse = ["--containers", "reuse", "--cpus", "1"];
    let one = cluster.submit(&[&reuse[..], &["--secret", "FIRST"]].concat(), look);
    let two = cluster.submit(&[&reuse[..], &["--secret", "SECOND"]].concat(), look);
    assert!(log(cluster, &one).starts_with("FIRST\neulav-tsrif\n"));
    assert!(log(cluster, &two).starts_with("SECOND\neulav-dnoces\n"));
    let none = cluster.submit(&reuse, "ls -A /run/secrets 2>&1 || true");
    assert!(!log(cluster, &none).contains("FIRST"));

    // Another value counts from the next job on, in the container that is there.
    let flags = [&reuse[..], &GATE, &["--secret", "FIRST", "--matrix", "n=0,1"]].concat();
    let sweep = cluster.submit(&flags, &format!("[ {{{{ n }}}} = 1 ] || {WAIT_AT_GATE}; {look}"));
    cluster.wait_count(&sweep, "running", 1);
    wait_until("it has its secret", || (!in_memory(cluster).is_empty()).then_some(()));
    cluster.wait_attempts("running", 1);
    keyed.stored("FIRST", "another-value", &[]);
    cluster.open_gate();
    cluster.wait_ended(&sweep);
    let logs = [0, 1].map(|job| cluster.ok(&["logs", &format!("{sweep}/{job}")]));
    assert!(logs[0].contains("eulav-tsrif") && logs[1].contains("eulav-rehtona"), "{logs:?}");
    assert_eq!(logs[0].lines().last(), logs[1].lines().last(), "it was one container");
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

#[track_caller]
fn log_of_first(cluster: &Cluster, sweep: &str) -> String {
    cluster.wait_ended(sweep);
    let jobs = cluster.json(&["jobs", sweep]);
    let log = cluster.ok(&["logs", &format!("{sweep}/0")]);
    assert!(jobs.as_array().unwrap().iter().all(|job| job["state"] == "succeeded"), "{jobs}: {log}");
    log
}
