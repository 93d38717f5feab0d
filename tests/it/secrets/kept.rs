//! What is kept when keys change and agents die.

use std::fs;

use bt_tests::{GATE, WAIT_AT_GATE, wait_until};

use super::{Keyed, in_memory, log, new_key, value};

#[test]
fn a_rotation_in_mid_sweep_loses_nothing() {
    let keyed = Keyed::start();
    let cluster = &keyed.cluster;
    let secret = value();
    for name in ["A", "B", "C"] {
        keyed.stored(name, &secret, &[]);
    }
    let keys = || cluster.database.query("select distinct key_id from secrets");
    let first = keys();
    let rows: Vec<_> = (0..12).map(|n| n.to_string()).collect();
    let flags = ["--secret", "A", "--secret", "B:env", "--matrix", &format!("n={}", rows.join(","))];
    let sweep = cluster.submit(&flags, "sleep 0.5; [ \"$(cat /run/secrets/A)\" = \"$B\" ]");
    for round in 0..3 {
        cluster.wait_count(&sweep, "succeeded", round * 3 + 1);
        fs::rename(keyed.file("key"), keyed.file("old")).unwrap();
        new_key(&keyed.file("key"));
        let rotated = cluster.run(&["secrets", "rotate"]);
        assert!(rotated.code == 0 && rotated.stderr.contains("3 secrets are encrypted anew"), "{rotated:?}");
        let again = cluster.run(&["secrets", "rotate"]);
        assert!(again.code == 0 && again.stderr.contains("0 secrets are encrypted anew"), "{again:?}");
    }
    assert_eq!(keys().len(), 1);
    assert_ne!(keys(), first);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 12, "{}", cluster.json(&["jobs", &sweep]));
    assert_eq!(
        cluster.database.query(&format!("select count(*) from attempts where sweep_id = '{sweep}'")),
        ["12"]
    );

    // A key that opens nothing: nothing is changed, and jobs wait until the right one is back.
    let before = cluster.database.query("select s::text from secrets s order by name");
    fs::rename(keyed.file("key"), keyed.file("kept")).unwrap();
    new_key(&keyed.file("key"));
    let refused = cluster.run(&["secrets", "rotate"]);
    assert!(refused.code != 0 && refused.stderr.contains("nothing is rotated"), "{refused:?}");
    assert_eq!(cluster.database.query("select s::text from secrets s order by name"), before);
    let waits = cluster.submit(&["--secret", "A"], "[ -s /run/secrets/A ]");
    wait_until("it says what it waits for", || {
        cluster
            .ok(&["explain", &format!("{waits}/0")])
            .contains("this coordinator lacks the key")
            .then_some(())
    });
    fs::rename(keyed.file("kept"), keyed.file("key")).unwrap();
    cluster.wait_ended(&waits);
    assert_eq!(cluster.count(&waits, "succeeded"), 1);

    // A row that somebody changed in Postgres is not believed.
    keyed.stored("OTHER", "other-value", &[]);
    cluster.database.query(
        "update secrets s set sealed = o.sealed, nonce = o.nonce, key_id = o.key_id from secrets o where s.name = 'A' and o.name = 'OTHER'",
    );
    let swapped = cluster.submit(&["--secret", "A"], "true");
    cluster.wait_count(&swapped, "failed", 1);
    let reason = cluster.json(&["jobs", &swapped])[0]["reason"].to_string();
    assert!(reason.contains("is not as it was stored"), "{reason}");
}

#[test]
fn an_agent_that_starts_anew_needs_no_secret_again_and_still_masks_it() {
    let mut keyed = Keyed::start();
    let secret = value();
    keyed.stored("KEY", &secret, &[]);
    let flags = [&GATE[..], &["--secret", "KEY", "--secret", "KEY2:env"]].concat();
    keyed.stored("KEY2", &secret, &[]);
    let script = format!("echo before $KEY2; {WAIT_AT_GATE}; echo after $KEY2; cat /run/secrets/KEY");
    let sweep = keyed.cluster.submit(&flags, &script);
    let gone = keyed
        .cluster
        .submit(&[&GATE[..], &["--containers", "reuse", "--secret", "KEY"]].concat(), WAIT_AT_GATE);
    keyed.cluster.wait_attempts("running", 2);
    wait_until("it has printed", || keyed.cluster.ok(&["logs", &sweep]).contains("before").then_some(()));
    assert_eq!(in_memory(&keyed.cluster).len(), 2);
    keyed.cluster.agent().kill();
    keyed.cluster.ok(&["secrets", "rm", "KEY", "KEY2"]);
    keyed.cluster.add_agent("agent");
    let cluster = &keyed.cluster;
    wait_until("what no container sees any more is removed", || {
        (in_memory(cluster).len() == 1).then_some(())
    });
    cluster.ok(&["cancel", &gone]);
    cluster.open_gate();
    let stars = "*".repeat(secret.len());
    assert_eq!(log(cluster, &sweep), format!("before {stars}\nafter {stars}\n{stars}"));
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["attempts"], 1);
    wait_until("it is gone from memory", || in_memory(cluster).is_empty().then_some(()));
}
