//! What goes in and out over HTTP by the sweep: manifests, metrics, tables, comparisons.

use bt_tests::http::{curl, get, post};
use bt_tests::{Cluster, Options};
use serde_json::{Value, json};

/// Sends a manifest as a file of this form.
#[track_caller]
fn submit(cluster: &Cluster, asked: &str, form: &str, manifest: &str) -> bt_tests::http::Answer {
    let file = cluster.dir().join("manifest");
    std::fs::write(&file, manifest).unwrap();
    let kind = format!("Content-Type: application/{form}");
    let body = format!("@{}", file.display());
    curl(cluster, &format!("/api/sweeps{asked}"), &["-H", &kind, "--data-binary", &body])
}

const YAML: &str = "\
name: sent
image: x:1
command: [run, '{{ n }}']
matrix: { n: [1.10, 2, 3] }
";

#[test]
fn a_manifest_is_queued_as_it_would_be_from_a_file() {
    let cluster = Cluster::without_agent(Options::default());
    let asked = "?owner=ann&tags=nightly,%20eu&note=by%20hand&idempotency_key=k1";
    let first = submit(&cluster, asked, "yaml", YAML).json();
    assert_eq!((&first["jobs"], &first["existed"]), (&json!(3), &json!(false)), "{first}");
    let again = submit(&cluster, asked, "yaml", YAML).json();
    assert_eq!((&again["id"], &again["existed"]), (&first["id"], &json!(true)), "{again}");
    let (status, _, message) = submit(&cluster, asked, "yaml", &YAML.replace("[1.10,", "[5,")).refused();
    assert!(status == 409 && message.contains("k1"), "{status} {message}");
    let file = cluster.dir().join("sent.yaml");
    std::fs::write(&file, YAML).unwrap();
    let by_command = cluster.json(&["submit", "-f", file.to_str().unwrap()]);
    let [sent, other] =
        [&first, &by_command].map(|sweep| cluster.json(&["show", sweep["id"].as_str().unwrap()]));
    assert_eq!(sent["manifest"], other["manifest"]);
    assert_eq!(sent["sweep"]["owner"], Value::Null, "a sweep's fields are not below a key: {sent}");
    assert_eq!(
        (&sent["owner"], &sent["tags"], &sent["note"]),
        (&json!("ann"), &json!(["eu", "nightly"]), &json!("by hand"))
    );
    let jobs = get(&cluster, "/api/sweeps/sent/jobs").json();
    assert!(
        get(&cluster, "/api/sweeps/sent/jobs").text().contains("1.10"),
        "numbers keep their spelling: {jobs}"
    );
    let toml = "name = \"t\"\nimage = \"x:1\"\ncommand = [\"x\"]\n[[params]]\na = 1\n[[params]]\na = 2\n";
    assert_eq!(submit(&cluster, "", "toml", toml).json()["jobs"], 2);
}

#[test]
fn a_manifest_that_is_wrong_queues_nothing_and_says_where() {
    let cluster = Cluster::without_agent(Options::default());
    let refused = |form: &str, asked: &str, manifest: &str, status: u16, words: &str| {
        let (got, _, message) = submit(&cluster, asked, form, manifest).refused();
        assert!(got == status && message.contains(words), "{got} {message}");
    };
    refused("yaml", "", &YAML.replace("matrix", "matrx"), 400, "the manifest:4:1");
    refused("yaml", "", "image: [", 400, "the manifest:");
    refused("yaml", "", &YAML.replace("{{ n }}", "{{ m }}"), 400, "m");
    refused(
        "yaml",
        "",
        "image: x:1\nparams_from: rows.csv\n",
        400,
        "`params_from` names a file that the coordinator does not have",
    );
    refused("yaml", "?own=ann", YAML, 400, "unknown field `own`");
    refused("x-www-form-urlencoded", "", YAML, 415, "Content-Type: application/yaml");
    refused("json", "", YAML, 400, "the manifest:1:2");
    assert_eq!(get(&cluster, "/api/sweeps?all=true").json()["sweeps"], json!([]));
}

#[test]
fn tables_and_comparisons_are_those_of_the_commands() {
    let cluster = Cluster::start();
    let sweep = |name: &str, from: u32| {
        let script = format!(r#"echo "{{\"sharpe\": $(( $BT_PARAM_N * {from} ))}}" > /results/metrics.json"#);
        let sweep = cluster.submit(
            &["--name", name, "--matrix", "n=1.10,2,3"],
            &script.replace("$BT_PARAM_N", "${BT_PARAM_N%.*}"),
        );
        cluster.wait_ended(&sweep);
        sweep
    };
    let (a, b) = (sweep("a", 1), sweep("b", 2));
    for form in ["csv", "json", "parquet"] {
        let file = cluster.dir().join(format!("a.{form}"));
        cluster.ok(&["export", &a, "--file", file.to_str().unwrap()]);
        let answer = get(&cluster, &format!("/api/sweeps/{a}/export.{form}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body == std::fs::read(&file).unwrap(), "{form}: {answer:?}");
        assert_eq!(answer.header("content-disposition"), format!("attachment; filename*=utf-8''a.{form}"));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    }
    let compared = |asked: &str| get(&cluster, &format!("/api/compare?a=a&b=b{asked}"));
    assert_eq!(compared("").json(), cluster.json(&["compare", &a, &b]));
    let by = cluster.json(&["compare", &a, &b, "--by", "sharpe", "-n", "2", "--ascending"]);
    assert_eq!(compared("&by=sharpe&limit=2&ascending=true").json(), by);
    let (status, _, message) = compared("&by=sharp").refused();
    assert!(status == 400 && message.contains("both have reported: sharpe"), "{message}");
    let (status, _, message) = get(&cluster, &format!("/api/compare?a=a&b={a}")).refused();
    assert!(status == 400 && message.contains("both name the sweep"), "{message}");
    assert_eq!(get(&cluster, "/api/sweeps/none/export.csv").status, 404);

    let path = format!("/api/sweeps/{a}/metrics");
    let (status, _, message) = post(&cluster, &path, &json!({"jobs": {"0": {"sharpe": 9}}})).refused();
    assert!(status == 409 && message.contains("other values of sharpe"), "{message}");
    let given = json!({"jobs": {"0": {"sharpe": 9}, "1": {"calmar": 2}}, "overwrite": true});
    assert_eq!(post(&cluster, &path, &given).json()["overwritten"], json!(["sharpe"]));
    let best = get(&cluster, &format!("/api/sweeps/{a}/jobs?by=sharpe&limit=1")).json();
    assert_eq!(best["jobs"][0]["metrics"]["sharpe"], 9);
    let metrics = get(&cluster, &path).json();
    assert_eq!(
        metrics["metrics"],
        json!([{"metric": "calmar", "goal": null}, {"metric": "sharpe", "goal": null}])
    );
}
