//! Aliases of images: what they stand for is tested before, changes no sweep that is queued, and can be taken back.

use bt_tests::http::{get, post};
use bt_tests::{Cluster, Finished, GATE, Images, Options, Registry, WAIT_AT_GATE, docker};
use serde_json::{Value, json};

const ALIAS: &str = "prod/strategy";
const NAMED: &str = "alias://prod/strategy";

#[track_caller]
fn refused(finished: &Finished, code: i32, words: &str) {
    assert_eq!(finished.code, code, "{finished:?}");
    assert!(finished.stderr.contains(words), "{words}: {finished:?}");
}

fn promote<'a>(image: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["image", "promote", ALIAS, image], flags].concat()
}

/// A sweep of one job that writes which image it is.
fn sweep(cluster: &Cluster, image: &str, flags: &[&str], script: &str) -> String {
    let args = ["submit", "--image", image, "--cpus", "0.25", "-m", "64m"];
    let args = [&args[..], flags, &["--", "sh", "-c", script]].concat();
    cluster.json(&args)["id"].as_str().unwrap().to_owned()
}

/// What an alias stands for, and by which change.
fn stands_for(cluster: &Cluster) -> (String, u64) {
    let aliases = cluster.json(&["image", "aliases"]);
    (aliases[0]["pin"].as_str().unwrap().to_owned(), aliases[0]["number"].as_u64().unwrap())
}

fn digest(number: u32) -> String {
    format!("reg.io/strategy@sha256:{number:064x}")
}

#[test]
fn what_has_passed_its_gate_is_promoted_and_no_queued_sweep_changes() {
    let (images, registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let (one, two) = (registry.name("strategy:1"), registry.name("strategy:2"));
    images.build(&one, "ENV BYTES=one");
    let first = registry.push(&one);
    images.build(&two, "ENV BYTES=two");
    let second = registry.push(&two);

    let waits = format!("{WAIT_AT_GATE}; test $BYTES = one");
    let gate = sweep(&cluster, &one, &[&GATE[..], &["--name", "tests"]].concat(), &waits);
    refused(
        &cluster.run(&promote(&one, &["--gate", "tests"])),
        1,
        "tests has not finished: 1 of 1 jobs are left",
    );
    cluster.open_gate();
    cluster.wait_ended(&gate);
    refused(&cluster.run(&promote(&two, &["--gate", "tests"])), 1, "tests ran another image: sha256:");
    assert_eq!(cluster.json(&["image", "aliases"]), json!([]));
    let dry = cluster.json(&promote(&one, &["--gate", "tests", "--dry-run"]));
    assert_eq!((&dry["pin"], &dry["changed"], &dry["at"]), (&json!(first), &json!(false), &Value::Null));
    assert_eq!(cluster.json(&["image", "aliases"]), json!([]));
    let set = cluster.json(&promote(&one, &["--gate", "tests"]));
    assert_eq!(
        (&set["pin"], &set["gate"], &set["number"]),
        (&json!(first), &json!(gate), &json!(1)),
        "{set}"
    );

    // A sweep keeps what the alias stood for.
    cluster.close_gate();
    let writes = format!("{WAIT_AT_GATE}; echo $BYTES");
    let flags = [&GATE[..], &["--matrix", "n=1:2", "--max-parallel", "1"]].concat();
    let begun = sweep(&cluster, NAMED, &flags, &writes);
    cluster.wait_count(&begun, "running", 1);
    let tests = "image: nothing:0\nname: gate\nresources: {cpus: 0.25, memory: 64MiB}\ncommand: [sh, -c, 'test $BYTES = two']\n";
    std::fs::write(cluster.dir().join("gate.yaml"), tests).unwrap();
    let set = cluster.json(&promote(&two, &["--gate", "gate.yaml"]));
    assert_eq!((&set["pin"], &set["gate_name"]), (&json!(second), &json!("gate")), "{set}");
    assert_eq!(set["before"]["pin"], json!(first));
    cluster.open_gate();
    cluster.wait_ended(&begun);
    for job in ["0", "1"] {
        assert_eq!(cluster.ok(&["logs", &format!("{begun}/{job}")]).trim(), "one");
    }
    let after = sweep(&cluster, NAMED, &[], "echo $BYTES");
    cluster.wait_ended(&after);
    assert_eq!(cluster.ok(&["logs", &after]).trim(), "two");
    let shown = cluster.json(&["show", &after]);
    assert_eq!((&shown["image"], &shown["image_pin"]), (&json!(two), &json!(second)), "{shown}");
    assert_eq!(shown["image_alias"], ALIAS);
    assert!(cluster.ok(&["show", &after]).contains("prod/strategy, as it was at the submit"));

    // A gate that fails promotes nothing.
    docker(&["tag", &one, &registry.name("strategy:3")]);
    registry.push(&registry.name("strategy:3"));
    let failed = cluster.run(&promote(&registry.name("strategy:3"), &["--gate", "gate.yaml"]));
    refused(&failed, 1, "nothing is promoted: the gate has not succeeded");
    refused(
        &cluster.run(&promote(&one, &["--gate", "gate"])),
        1,
        "of its 1 jobs 1 did not succeed (1 failed)",
    );
    assert_eq!(stands_for(&cluster), (second, 2));

    let back = cluster.json(&["image", "rollback", ALIAS]);
    assert_eq!(
        (&back["pin"], &back["kind"], &back["promotion"]),
        (&json!(first), &json!("rollback"), &json!(1))
    );
    let old = sweep(&cluster, NAMED, &[], "echo $BYTES");
    cluster.wait_ended(&old);
    assert_eq!(cluster.ok(&["logs", &old]).trim(), "one");
    let numbers = |history: Value| -> Vec<u64> {
        history.as_array().unwrap().iter().map(|change| change["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(cluster.json(&["image", "history", ALIAS])), [3, 2, 1]);
}

#[test]
fn an_image_of_no_registry_is_promoted_by_its_id_and_stays() {
    let images = Images::new();
    let mut cluster = Cluster::without_agent(Options::default());
    let name = images.name("strategy:1");
    let id = images.build(&name, "");
    refused(&cluster.run(&promote(&name, &[])), 1, "no agent is connected");
    cluster.ok(&["image", "push", &name]);
    // Nobody but the coordinator has it now.
    images.remove(&name);
    cluster.ok(&promote(&name, &[]));
    assert_eq!(stands_for(&cluster), (id.clone(), 1));
    refused(&cluster.run(&["image", "rm", &name]), 1, "the alias prod/strategy stands for the image");
    cluster.add_agent("agent");
    let sweep = sweep(&cluster, NAMED, &[], "true");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.json(&["show", &sweep])["image_pin"], json!(id));
    let again = cluster.run(&promote(&name, &[]));
    refused(&again, 0, "stands for");
    assert!(again.stderr.contains("already"), "{again:?}");
    let missing = images.name("missing:1");
    refused(&cluster.run(&promote(&missing, &[])), 1, "no agent could tell what");
    cluster.ok(&["image", "rm", NAMED]);
    cluster.ok(&["image", "rm", &name]);
    assert_eq!(cluster.json(&["image", "aliases"]), json!([]));
}

#[test]
fn mistakes_are_told_before_anything_changes() {
    let cluster = Cluster::without_agent(Options::default());
    cluster.ok(&promote(&digest(1), &[]));
    for (args, code, words) in [
        (&["image", "promote", "Prod", "x:1"][..], 2, "such as prod/strategy"),
        (&["image", "promote", ALIAS, NAMED], 2, "is an alias itself"),
        (&["image", "promote", ALIAS, "x y"], 2, "has no spaces"),
        (&["image", "promote", ALIAS, "x:1", "--gate", "nothing"], 3, "nothing"),
        (&["image", "promote", ALIAS, "x:1", "--gate", "nothing.yaml"], 2, "nothing.yaml"),
        (&["image", "rollback", ALIAS], 1, "it has no earlier image"),
        (&["image", "rollback", ALIAS, "--to", "1"], 1, "stands for that image already"),
        (&["image", "rollback", ALIAS, "--to", "7"], 1, "it has no change 7"),
        (&["image", "rollback", ALIAS, "--to", "latest"], 2, "neither the number of a change nor a digest"),
        (&["image", "rollback", "prod/strategi"], 3, "did you mean prod/strategy?"),
        (&["image", "history", "other"], 3, "`btctl image aliases` lists them"),
        (&["image", "rm", "alias://other"], 3, "there is no alias other"),
        (&["submit", "--image", "alias://prod/strategi"], 3, "did you mean prod/strategy?"),
        (&["submit", "--image", "alias://Prod"], 2, "such as prod/strategy"),
        (&["submit", "--image", "alias:prod/strategy"], 2, "write alias://prod/strategy"),
        (&["schedule", "add", "nightly", "--image", "alias://none"], 3, "there is no alias none"),
        (&["run", "--local", "--image", NAMED], 2, "btctl image history prod/strategy"),
    ] {
        refused(&cluster.run(args), code, words);
    }
    assert_eq!(stands_for(&cluster), (digest(1), 1));
    assert_eq!(cluster.json(&["ls", "--all"]), json!([]));
    let path = "/api/aliases/prod%2Fstrategy";
    assert_eq!(post(&cluster, &format!("{path}/promote"), &json!({"image": "X"})).refused().0, 400);
    assert_eq!(post(&cluster, &format!("{path}/rollback"), &json!({"to": "9"})).refused().0, 409);
    assert_eq!(get(&cluster, "/api/aliases/none").refused().0, 404);
}

#[test]
fn an_alias_means_one_image_at_each_submit() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_coordinator();
    cluster.ok(&promote(&digest(1), &[]));
    let submit = |key: &str| {
        cluster.json(&["submit", "--image", NAMED, "-m", "64m", "--idempotency-key", key, "--", "x"])["id"]
            .clone()
    };
    let pins = || cluster.database.query("select image_pin from sweeps order by created_at");
    let first = submit("first");
    let rule = ["schedule", "add", "nightly", "--image", NAMED, "-m", "64m", "--overlap", "allow", "--", "x"];
    cluster.ok(&rule);
    cluster.ok(&["schedule", "run", "nightly"]);
    cluster.ok(&promote(&digest(2), &[]));
    // The same submit again is the same sweep.
    assert_eq!(submit("first"), first);
    cluster.ok(&["schedule", "run", "nightly"]);
    submit("second");
    assert_eq!(pins(), [1, 1, 2, 2].map(digest));
    // What the alias stands for is a digest, however the image is called.
    cluster.ok(&["image", "rollback", ALIAS, "--dry-run"]);
    assert_eq!(stands_for(&cluster), (digest(2), 2));

    // Many at once, by two coordinators: each is a change of its own, and none is lost.
    let mut all: Vec<_> = (10..22)
        .map(|number| {
            let coordinator = cluster.address_of(number as usize % 2);
            let (name, digest) = (format!("promote{number}"), digest(number));
            cluster.spawn(&name, &["--coordinator", &coordinator, "image", "promote", ALIAS, &digest])
        })
        .collect();
    for process in &mut all {
        assert_eq!(process.wait(), 0, "{}", process.log());
    }
    let known = "select count(*), count(distinct pin), max(number) from image_alias_changes";
    assert_eq!(cluster.database.query(known), ["14|14|14"]);
    cluster.ok(&["image", "rollback", ALIAS, "--to", "1"]);
    assert_eq!(stands_for(&cluster), (digest(1), 15));
}

#[test]
fn operators_promote_and_it_is_written_down() {
    let coordinator = ["--allow-image", "reg.io/*"].map(str::to_owned).into();
    let options = Options { tokens: true, coordinator, ..Options::default() };
    let cluster = Cluster::without_agent(options);
    let token = |name: &str, role: &str| cluster.token(name, &["--role", role]);
    let (ann, olga) = (token("ann", "submitter"), token("olga", "operator"));
    let (one, two) = (digest(1), digest(2));
    refused(&cluster.run_as(&ann, &promote(&one, &[])), 4, "operator");
    for image in [&one, &two] {
        assert_eq!(cluster.run_as(&olga, &promote(image, &[])).code, 0);
    }
    let other = format!("evil.io/x@sha256:{:064x}", 1);
    refused(&cluster.run_as(&olga, &promote(&other, &[])), 4, "only these are allowed: reg.io/*");
    for args in [&["image", "rollback", ALIAS][..], &["image", "rm", NAMED]] {
        refused(&cluster.run_as(&ann, args), 4, "operator");
    }
    assert!(cluster.run_as(&ann, &["image", "history", ALIAS]).stdout.contains("olga"));
    let submitted = cluster.run_as(&ann, &["submit", "--image", NAMED, "-m", "64m", "--", "x"]);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    assert_eq!(cluster.run_as(&olga, &["image", "rollback", ALIAS]).code, 0);
    let written = cluster.database.query(
        "select who, what, target, before::json ->> 'pin', after::json ->> 'pin' from audit where what like '%RollBackAlias%' \
         and outcome = 'done'",
    );
    assert_eq!(written, [format!("olga|Aliases/RollBackAlias|{ALIAS}|{two}|{one}")]);
}
