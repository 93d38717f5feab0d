//! Groups of machines that grow and shrink with the queue: what is wanted, and what `btctl scaler` does about it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bt_proto::externalscaler::external_scaler_client::ExternalScalerClient;
use bt_proto::externalscaler::{GetMetricsRequest, ScaledObjectRef};
use bt_tests::http::get;
use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;
use tokio::time::timeout;
use tonic::Code;

const SIZE: [&str; 6] = ["--cpus", "2", "--memory", "4GiB", "--label", "pool=spot"];

/// A group that writes down what it is told, and fails while the file `broken` is there.
fn group(cluster: &Cluster) -> (String, impl Fn() -> Vec<String> + use<>) {
    let (script, told) = (cluster.dir().join("group"), cluster.dir().join("told"));
    fs::write(&script, format!("#!/bin/sh\necho \"$@\" >>{0}\ntest ! -e {0}.broken\n", told.display()))
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let told = move || fs::read_to_string(&told).unwrap_or_default().lines().map(str::to_owned).collect();
    (script.display().to_string(), told)
}

#[test]
fn a_group_grows_with_the_queue_and_loses_only_machines_that_do_nothing() {
    let mut cluster = Cluster::without_agent(Options::default());
    let (exec, told) = group(&cluster);
    let scaler = |cluster: &Cluster, flags: &[&str]| {
        let args =
            [&["scaler", "--once", "--max", "3", "--hold", "1s", "--exec", &exec], &SIZE[..], flags].concat();
        cluster.run(&args)
    };
    assert_eq!(scaler(&cluster, &[]).code, 0);
    assert_eq!(told(), [""; 0]);
    let flags = ["--agent-label", "pool=spot", "--matrix", "x=1:6:1", "--name", "wave"];
    cluster.submit_waiting(&flags, "true");
    let broad =
        ["submit", "--image", "btctl-test:1", "--cpus", "8", "--name", "broad", "--agent-label", "pool=spot"];
    cluster.ok(&[&broad[..], &["--", "true"]].concat());

    // Nobody knows yet how long a job takes: one agent is to find out.
    let demand = get(&cluster, "/api/demand?cpus=2&memory=4GiB&labels=pool=spot&within=10m").json();
    let kind = &demand["kinds"][0];
    assert_eq!((&kind["wanted"], &kind["queued"]), (&1.into(), &6.into()), "{demand}");
    assert_eq!(
        (&kind["unknown"], &kind["too_large"]),
        (&serde_json::json!(["wave"]), &serde_json::json!(["broad"]))
    );
    assert_eq!(get(&cluster, "/api/demand").json()["kinds"], serde_json::json!([]));
    let elsewhere = get(&cluster, "/api/demand?cpus=2&memory=4GiB&labels=pool=nas").json();
    assert_eq!(elsewhere["kinds"][0]["wanted"], 0, "{elsewhere}");
    let dry = scaler(&cluster, &["--dry-run"]);
    assert!(dry.stderr.contains("grow 1"), "{dry:?}");
    assert_eq!(told(), [""; 0]);
    assert_eq!(scaler(&cluster, &[]).code, 0);
    assert_eq!(told(), ["grow 1"]);

    // It comes, and works: it is never taken, however small the group is to be.
    cluster.add_agent_with(
        "spot",
        &["--label", "pool=spot", "--cpus", "2", "--memory", "1GiB"].map(str::to_owned),
    );
    wait_until("its jobs run", || (cluster.count("wave", "running") == 6).then_some(()));
    let own = get(&cluster, "/api/demand").json();
    assert_eq!((&own["kinds"][0]["agents"], &own["kinds"][0]["idle"]), (&1.into(), &0.into()), "{own}");
    let none =
        [&["scaler", "--once", "--max", "0", "--hold", "1s", "--exec", exec.as_str()], &SIZE[..]].concat();
    assert_eq!(cluster.run(&none).code, 0);
    assert_eq!(told(), ["grow 1"]);
    cluster.open_gate();
    cluster.wait_ended("wave");
    cluster.ok(&["cancel", "broad"]);

    // A group that can't be told keeps its agent at work.
    let state = |cluster: &Cluster| cluster.json(&["agents", "ls"])[0]["state"].as_str().unwrap().to_owned();
    fs::write(cluster.dir().join("told.broken"), "").unwrap();
    wait_until("nothing is wanted any more", || {
        let failed = cluster.run(&none);
        (failed.code == 1 && failed.stderr.contains("remove spot")).then_some(())
    });
    assert_eq!(state(&cluster), "ready");
    fs::remove_file(cluster.dir().join("told.broken")).unwrap();
    assert_eq!(cluster.run(&none).code, 0);
    assert_eq!(told().last().unwrap(), "remove spot");
    assert!(state(&cluster).starts_with("draining"), "{}", state(&cluster));
    // It is on its way out, and no other is taken for it.
    let calls = told().len();
    assert_eq!(cluster.run(&none).code, 0);
    assert_eq!(told().len(), calls);
}

#[test]
fn how_long_jobs_take_says_how_many_agents_there_are_to_be() {
    let cluster = Cluster::start();
    cluster.submit(&["--name", "seen", "--matrix", "x=1,2", "--max-parallel", "1"], "sleep 2");
    cluster.wait_count("seen", "succeeded", 1);
    let wanted = |query: &str| {
        let demand = get(&cluster, &format!("/api/demand?cpus=1&memory=1GiB&{query}")).json();
        demand["kinds"][0]["wanted_now"].as_u64().unwrap()
    };
    cluster.wait_ended("seen");
    // 200 jobs like those of a sweep that has told: paused ones ask for nothing.
    let many = cluster.submit(&["--name", "many", "--matrix", "x=1:200:1", "--max-parallel", "1"], "sleep 2");
    cluster.wait_count(&many, "succeeded", 1);
    assert_eq!(wanted("within=10m"), 1, "one at once is all that it may have");
    cluster.ok(&["pause", "many"]);
    wait_until("a paused sweep asks for no more than it has", || {
        (wanted("within=10m&hold=1s") <= 1).then_some(())
    });
    cluster.ok(&["cancel", "many"]);
    wait_until("nothing is left", || (wanted("within=10m") == 0).then_some(()));
}

#[test]
fn a_wrong_question_is_answered_with_the_right_one() {
    let cluster = Cluster::without_agent(Options::default());
    for (query, named) in [
        ("cpus=2", "memory"),
        ("cpus=no&memory=1GiB", "cpus"),
        ("cpus=2&memory=lots", "memory"),
        ("cpus=2&memory=1GiB&labels=spot", "KEY=VALUE"),
        ("labels=pool=spot", "cpus"),
        ("within=soon", "within"),
        ("within=0s", "within"),
        ("within=30d", "within"),
        ("hold=-1s", "hold"),
        ("size=2", "size"),
    ] {
        let answer = get(&cluster, &format!("/api/demand?{query}"));
        let told: Value = answer.json();
        assert_eq!(answer.status, 400, "{query}: {told}");
        assert!(told.to_string().contains(named), "{query}: {told}");
    }
    let flags = ["scaler", "--once", "--exec", "true", "--cpus", "1", "--memory", "1GiB"];
    let wrong = cluster.run(&[&flags[..], &["--min", "3", "--max", "2"]].concat());
    assert!(wrong.code == 2 && wrong.stderr.contains("--min"), "{wrong:?}");
    assert_eq!(cluster.run(&[&flags[..], &["--max", "2", "--label", "spot"]].concat()).code, 2);
    assert_eq!(cluster.run(&[&flags[..], &["--max", "2", "--every", "0s"]].concat()).code, 2);
}

/// KEDA's own calls, as it makes them: the trigger's metadata in each, and no header.
#[tokio::test(flavor = "multi_thread")]
async fn keda_is_told_how_many_agents_are_wanted() {
    let cluster = Cluster::without_agent(Options { tokens: true, ..Options::default() });
    let token = |name: &str, role: &str| cluster.token(name, &["--role", role]);
    let (viewer, agent) = tokio::task::block_in_place(|| (token("keda", "viewer"), token("nas", "agent")));
    let mut keda = ExternalScalerClient::connect(cluster.address()).await.unwrap();
    let size =
        [("cpus", "2"), ("memory", "4GiB"), ("labels", "pool=spot"), ("within", "10m"), ("hold", "1s")];
    let object = |more: &[(&str, &str)]| ScaledObjectRef {
        name: "agents".to_owned(),
        namespace: "btctl".to_owned(),
        scaler_metadata: size
            .iter()
            .chain(&[("scalerAddress", "btctl:7600"), ("enableTLS", "true")])
            .chain(more)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    };
    for (more, code, why) in [
        (&[][..], Code::Unauthenticated, "tokenFromEnv"),
        (&[("tokenFromEnv", "btctl_x_y")], Code::Unauthenticated, "is not a token"),
        (&[("tokenFromEnv", agent.as_str())], Code::PermissionDenied, "viewer's will do"),
        (&[("tokenFromEnv", viewer.as_str()), ("cpus", "some")], Code::InvalidArgument, "`cpus`"),
        (&[("tokenFromEnv", viewer.as_str()), ("gpus", "1.5")], Code::InvalidArgument, "whole number"),
        (&[("tokenFromEnv", viewer.as_str()), ("lables", "a=b")], Code::InvalidArgument, "\"lables\""),
    ] {
        let refused = keda.get_metric_spec(object(more)).await.unwrap_err();
        assert!(refused.code() == code && refused.message().contains(why), "{refused:?}");
    }
    let object = object(&[("tokenFromEnv", viewer.as_str())]);
    let sizeless = ScaledObjectRef {
        scaler_metadata: HashMap::from([("token".to_owned(), viewer.clone())]),
        ..ScaledObjectRef::default()
    };
    let refused = keda.is_active(sizeless).await.unwrap_err();
    assert!(refused.message().contains("how large an agent is"), "{refused:?}");

    let spec = keda.get_metric_spec(object.clone()).await.unwrap().into_inner();
    let [metric] = &spec.metric_specs[..] else { panic!("{spec:?}") };
    assert_eq!((metric.target_size, metric.target_size_float), (1, 1.0));
    let ask = |name: &str| GetMetricsRequest {
        scaled_object_ref: Some(object.clone()),
        metric_name: name.to_owned(),
    };
    assert_eq!(keda.get_metrics(ask("else")).await.unwrap_err().code(), Code::NotFound);
    assert!(!keda.is_active(object.clone()).await.unwrap().into_inner().result);
    let mut active = keda.stream_is_active(object.clone()).await.unwrap().into_inner();
    let mut next = async || {
        let told = timeout(Duration::from_secs(60), active.message()).await;
        told.unwrap().unwrap().unwrap().result
    };
    assert!(!next().await);
    let flags = ["--agent-label", "pool=spot", "--matrix", "x=1:6:1", "--name", "wave"];
    tokio::task::block_in_place(|| cluster.submit_simulated(&flags));
    assert!(next().await);
    assert!(keda.is_active(object.clone()).await.unwrap().into_inner().result);
    // As the HTTP API says: one, to find out how long its jobs take.
    let told = keda.get_metrics(ask(&metric.metric_name)).await.unwrap().into_inner();
    let values: Vec<_> =
        told.metric_values.iter().map(|one| (one.metric_value, one.metric_value_float)).collect();
    assert_eq!(values, [(1, 1.0)]);
    tokio::task::block_in_place(|| cluster.ok(&["cancel", "wave"]));
    assert!(!next().await);
}
