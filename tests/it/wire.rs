//! What a client made from the proto files alone may send, and what one that means harm may: no call stops the
//! coordinator, takes much memory, or keeps others waiting.

use std::fs;
use std::time::Duration;

use bt_proto::v1::sweeps_client::SweepsClient;
use bt_proto::v1::{self, submit_request};
use bt_tests::{Cluster, Options, wait_until};
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// What the coordinator may take more at its peak, for any of the hostile texts below.
const MEMORY: u64 = 100 << 20;
/// Of a processor's time in a second (100 ticks): what an idle coordinator stays below.
const IDLE_TICKS: u64 = 20;

struct Client {
    runtime: Runtime,
    sweeps: SweepsClient<Channel>,
}

impl Client {
    fn of(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().unwrap();
        let sweeps = runtime.block_on(SweepsClient::connect(cluster.address())).unwrap();
        Self { runtime, sweeps }
    }

    fn submit(&self, key: &str, manifest: &str, rows: &[&str]) -> Result<v1::SubmitReply, Status> {
        let messages = messages(key, manifest, rows);
        let mut sweeps = self.sweeps.clone();
        let reply = self.runtime.block_on(sweeps.submit(tokio_stream::iter(messages)))?;
        Ok(reply.into_inner())
    }

    fn jobs(&self, request: v1::ListJobsRequest) -> Result<Vec<v1::Job>, Status> {
        let mut sweeps = self.sweeps.clone();
        self.runtime.block_on(async {
            let mut stream = sweeps.list_jobs(request).await?.into_inner();
            let mut jobs = Vec::new();
            while let Some(job) = stream.message().await? {
                jobs.push(job);
            }
            Ok(jobs)
        })
    }
}

fn messages(key: &str, manifest: &str, rows: &[&str]) -> Vec<v1::SubmitRequest> {
    let header = v1::SubmitHeader {
        idempotency_key: key.to_owned(),
        manifest: manifest.to_owned(),
        owner: "someone".to_owned(),
        ..v1::SubmitHeader::default()
    };
    let mut messages = vec![v1::SubmitRequest { kind: Some(submit_request::Kind::Header(header)) }];
    // One piece for each row, so that pieces are joined too.
    messages.extend(rows.iter().map(|row| {
        let rows = v1::ParameterRows { rows: vec![(*row).to_owned()] };
        v1::SubmitRequest { kind: Some(submit_request::Kind::Rows(rows)) }
    }));
    messages
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, part: &str) {
    let status = answer.expect_err(part);
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains(part), "{}", status.message());
}

fn memory_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn ticks_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_client_made_from_the_proto_files_submits_every_form_of_a_list() {
    let cluster = Cluster::without_agent(Options::default());
    let client = Client::of(&cluster);
    let rows = [r#"{"fast": 5}"#, r#"{"fast": 10}"#, r#"{"fast": 20, "slow": "007"}"#];
    let bare = r#"{"name": "listed", "image": "x:1", "command": ["echo", "{{ fast }}"]}"#;
    let parameters = |id: &str| {
        let jobs = client.jobs(v1::ListJobsRequest { sweep: id.to_owned(), ..Default::default() }).unwrap();
        jobs.into_iter().map(|job| job.parameters.replace(": ", ":").replace(", ", ",")).collect::<Vec<_>>()
    };
    let sent = [r#"{"fast":5}"#, r#"{"fast":10}"#, r#"{"fast":20,"slow":"007"}"#];

    // As sweeps.proto says: without `params`, and rows follow.
    let reply = client.submit("bare", bare, &rows).unwrap();
    assert_eq!((reply.jobs, reply.name.as_str(), reply.existed), (3, "listed", false));
    assert_eq!(parameters(&reply.id), sent);
    let again = client.submit("bare", bare, &rows).unwrap();
    assert!(again.existed && again.id == reply.id);
    let other = client.submit("bare", bare, &rows[..2]).unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other:?}");

    // With `"params": "rows"`, with the list in the manifest, and where rows are chosen.
    let with = |more: &str| bare.replace("{\"name\"", &format!("{{{more}, \"name\""));
    assert_eq!(parameters(&client.submit("rows", &with(r#""params": "rows""#), &rows).unwrap().id), sent);
    let listed = with(&format!("\"params\": [{}]", rows.join(",")));
    assert_eq!(parameters(&client.submit("listed", &listed, &[]).unwrap().id), sent);
    let chosen = client.submit("chosen", &with(r#""where": "fast > 5""#), &rows).unwrap();
    assert_eq!(parameters(&chosen.id), sent[1..]);
    assert_eq!(client.submit("none", r#"{"name": "none", "image": "x:1"}"#, &[]).unwrap().jobs, 1);

    refused(
        client.submit("a", &with(r#""matrix": {"fast": [1]}"#), &rows),
        "the manifest has a `matrix` itself",
    );
    refused(client.submit("b", &listed, &rows), "the manifest lists its `params` itself");
    refused(client.submit("c", &with(r#""params": "rows""#), &[]), "there are no jobs");
    refused(client.submit("d", bare, &["[1]"]), "parameters are a JSON object");
    refused(client.submit("e", bare, &[r#"{"fast": [1]}"#]), "`fast` is a list");
    refused(client.submit("f", bare, &[r#"{"slow": 1}"#]), "uses `fast`, which is not a parameter");
    refused(client.submit("", bare, &rows), "1 to 200 characters");
    refused(client.submit(&"k".repeat(201), bare, &rows), "1 to 200 characters");
    let ranked = v1::ListJobsRequest {
        sweep: reply.id.clone(),
        by: Some("sharpe".into()),
        job: Some(1),
        ..Default::default()
    };
    refused(client.jobs(ranked), "takes no `states` and no `job`");
    let ordered = v1::ListJobsRequest { sweep: reply.id, ascending: Some(true), ..Default::default() };
    refused(client.jobs(ordered), "`ascending` is the order of a ranking");
}

#[test]
fn no_text_of_a_client_stops_the_coordinator_or_takes_much_of_its_memory() {
    let mut cluster = Cluster::without_agent(Options::default());
    let client = Client::of(&cluster);
    let manifest = |command: &str, filter: Option<&str>| {
        let mut manifest = serde_json::json!({
            "name": "hostile", "image": "x:1", "command": ["echo", command], "matrix": {"a": [1, 2], "s": ["x", "y"]},
        });
        if let Some(filter) = filter {
            manifest["where"] = filter.into();
        }
        manifest.to_string()
    };
    let good = client.submit("good", &manifest("{{ a }}", None), &[]).unwrap();
    let pid = cluster.coordinator().pid();
    let before = memory_of(pid);

    let deep = 100_000;
    let expressions = [
        "-".repeat(deep) + "1",
        "not ".repeat(deep) + "a",
        "1".to_owned() + &"+1".repeat(deep),
        "a".to_owned() + &" or a".repeat(deep),
        "(".repeat(deep) + "1" + &")".repeat(deep),
        "[".repeat(deep) + "1" + &"]".repeat(deep),
        "a".to_owned() + &"|abs".repeat(deep),
        "a".to_owned() + &".a".repeat(deep),
        "-".repeat(5_120) + "1",
        "s * 100000000 > 'a'".to_owned(),
        "(range(99999) | join('xxxxxxxxxxxxxxxxxxxxxxxxx')) > 'a'".to_owned(),
        "'x'".to_owned() + &" | replace('x', 'xxxxxxxxxx')".repeat(12),
        "('%999999999d' | format(a)) > 'a'".to_owned(),
        "range(99000) | sum > 1e18".to_owned(),
    ];
    for (number, expression) in expressions.iter().enumerate() {
        let key = format!("hostile {number}");
        refused(client.submit(&key, &manifest("x", Some(expression)), &[]), "`where`");
        refused(client.submit(&key, &manifest(&format!("{{{{ {expression} }}}}"), None), &[]), "`command");
        let list = v1::ListJobsRequest {
            sweep: good.id.clone(),
            filter: Some(expression.clone()),
            ..Default::default()
        };
        refused(client.jobs(list.clone()), "`where`");
        // Of what compiles, the ranking says that no job has the metric.
        refused(client.jobs(v1::ListJobsRequest { by: Some("m".into()), ..list }), "");
    }
    for text in ["[".repeat(deep), "{\"a\":".repeat(deep), "\"".repeat(deep), String::new()] {
        let status = client.submit("text", &text, &[]).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let status = client.submit("row", r#"{"name": "n", "image": "x:1"}"#, &[&text]).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }

    assert_eq!(client.submit("last", &manifest("{{ a }}", None), &[]).unwrap().jobs, 4);
    assert!(cluster.coordinator().is_running() && cluster.coordinator().pid() == pid);
    let more = memory_of(pid) - before;
    println!("the coordinator took {} MiB more at its peak", more >> 20);
    assert!(more < MEMORY, "{more} bytes more");
}

#[test]
fn long_calculations_keep_nobody_waiting_and_end_with_their_client() {
    let mut cluster = Cluster::without_agent(Options::default());
    let client = Client::of(&cluster);
    let axis: Vec<u32> = (0..7_000).collect();
    let heavy = serde_json::json!({
        "name": "heavy", "image": "x:1", "matrix": {"a": axis, "b": axis},
        "where": "range(1000) | sum + a + b > 1e18",
    });
    let heavy = heavy.to_string();
    let calls: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|key| {
            let (mut sweeps, messages) = (client.sweeps.clone(), messages(key, &heavy, &[]));
            client.runtime.spawn(async move { sweeps.submit(tokio_stream::iter(messages)).await })
        })
        .collect();
    let pid = cluster.coordinator().pid();
    let busy = ticks_of(pid);
    wait_until("the coordinator calculates", || (ticks_of(pid) > busy + 100).then_some(()));

    // Others are served meanwhile, with calculations of their own too.
    assert_eq!(cluster.json(&["ls"]).as_array().unwrap().len(), 0);
    let small = r#"{"name": "small", "image": "x:1", "matrix": {"a": [1, 2, 3]}, "where": "a > 1"}"#;
    assert_eq!(client.submit("small", small, &[]).unwrap().jobs, 2);
    assert!(calls.iter().all(|call| !call.is_finished()), "the calculation was too short to prove anything");

    for call in calls {
        call.abort();
    }
    drop(client);
    let mut last = (std::time::Instant::now(), ticks_of(pid));
    wait_until("the coordinator calculates no more", || {
        let (since, ticks) = last;
        if since.elapsed() < Duration::from_secs(1) {
            return None;
        }
        last = (std::time::Instant::now(), ticks_of(pid));
        (last.1 - ticks < IDLE_TICKS).then_some(())
    });
    assert!(cluster.coordinator().is_running());
}

/// A sequence that sets a terminal's title, and others that terminals obey, in what others wrote.
#[test]
fn control_characters_are_shown_wherever_they_come_from() {
    let cluster = Cluster::without_agent(Options::default());
    let client = Client::of(&cluster);
    let hostile = "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}z";
    let row = serde_json::json!({ "s": hostile }).to_string();
    let manifest = serde_json::json!({ "name": "shown", "image": "x:1", "command": ["echo", "{{ s }}"] });
    client.submit("shown", &manifest.to_string(), &[&row]).unwrap();

    let commands: [&[&str]; 8] = [
        &["jobs", "shown"],
        &["jobs", "shown", "-o", "wide"],
        &["show", "shown"],
        &["explain", "shown/0"],
        &["show", hostile],
        &["jobs", "shown", "--where", hostile],
        &["top", "shown", "--by", hostile],
        &["no-such-command", hostile],
    ];
    for command in commands {
        let finished = cluster.run(command);
        let printed = finished.stdout + &finished.stderr;
        let obeyed = printed.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(obeyed, None, "{command:?}: {printed:?}");
    }
    assert!(cluster.ok(&["jobs", "shown"]).contains("a\u{241b}]0;owned\u{2407}"));
    // For machines the value is whole.
    assert_eq!(cluster.json(&["jobs", "shown"])[0]["params"]["s"], hostile);
}
