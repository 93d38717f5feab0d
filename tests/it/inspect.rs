//! What loading a pickle would do, without loading it.

use bt_tests::Cluster;
use serde_json::json;

#[test]
fn a_published_pickle_is_followed_and_not_loaded() {
    let cluster = Cluster::start();
    // Protocol 0: a call of posix.system("touch /tmp/run"), and a plain list. The texts have no quotes, so that a shell writes them.
    let script = r#"cd /results; printf 'cposix\nsystem\n(Vtouch /tmp/run\ntR.' > bad.pkl; printf '(lI1\na.' > plain.pkl; echo text > t.pkl"#;
    let sweep = cluster.submit(&["--name", "left"], script);
    cluster.wait_ended(&sweep);
    let bad = cluster.json(&["results", "inspect", "left/0/bad.pkl"]);
    assert_eq!(
        bad["names"],
        json!([{"name": "posix.system", "standing": "dangerous", "used": 1, "called": 1}])
    );
    let plain = cluster.run(&["results", "inspect", "left/0/plain.pkl"]);
    assert!(plain.stderr.contains("loading it imports nothing: it is plain data"), "{plain:?}");
    for (name, part) in [
        ("left/0/t.pkl", "byte "),
        ("left/0/none.pkl", "none.pkl"),
        ("left/0", "write SWEEP/JOB/PATH"),
        ("left/9/bad.pkl", "9"),
    ] {
        let refused = cluster.run(&["results", "inspect", name]);
        assert!(refused.code != 0 && refused.stderr.contains(part), "{name}: {refused:?}");
    }
}
