//! Traces: one of each job, from its submit to its result, over the three processes that work on it.

use std::collections::BTreeSet;

use bt_tests::{Cluster, Options, SentSpan, SpanCollector, wait_until};

/// Spans that came, once there are these of each of so many jobs.
fn spans_of(collector: &SpanCollector, sweep: &str, jobs: usize, names: &[&str]) -> Vec<SentSpan> {
    wait_until(&format!("{names:?} of {jobs} jobs have come"), || {
        let spans = collector.spans();
        let firsts = spans.iter().filter(|sent| sent.span.name == "submit" && sent.said("sweep.id") == sweep);
        let traces: BTreeSet<_> = firsts.map(|sent| sent.span.trace_id.clone()).collect();
        let has = |trace: &Vec<u8>, name: &&str| {
            spans.iter().any(|sent| sent.span.trace_id == *trace && sent.span.name == **name)
        };
        let whole = traces.iter().filter(|trace| names.iter().all(|name| has(trace, name))).count();
        (whole == jobs)
            .then(|| spans.into_iter().filter(|sent| traces.contains(&sent.span.trace_id)).collect())
    })
}

/// In the order in which they begin.
const STEPS: [(&str, &str); 7] = [
    ("submit", "btctl"),
    ("queue", "btctl-coordinator"),
    ("claim", "btctl-coordinator"),
    ("prepare", "btctl-agent"),
    ("container", "btctl-agent"),
    ("publish", "btctl-agent"),
    ("commit", "btctl-coordinator"),
];

#[test]
fn a_jobs_trace_goes_from_its_submit_to_its_commit_over_three_processes() {
    let collector = SpanCollector::start();
    let url = collector.url();
    let options =
        Options { coordinator: ["--otlp-endpoint", &url].map(str::to_owned).into(), ..Options::default() };
    let agent = [options.agent.clone(), ["--otlp-endpoint", &url].map(str::to_owned).into()].concat();
    let cluster = Cluster::with(Options { agent, ..options });
    let sweep =
        cluster.submit(&["--otlp-endpoint", &url, "--matrix", "n=1:2"], "echo hello > /results/out.txt");
    cluster.wait_ended(&sweep);
    let spans = spans_of(&collector, &sweep, 2, &STEPS.map(|(name, _)| name));
    let agent = cluster.json(&["agents", "ls"])[0]["id"].as_str().unwrap().to_owned();
    for job in ["0", "1"] {
        let is_of_job = |sent: &&SentSpan| sent.span.name == "submit" && sent.said("job") == job;
        let first = spans.iter().find(is_of_job).unwrap();
        assert!(first.span.parent_span_id.is_empty(), "{first:?}");
        let mut before = 0;
        for (name, service) in STEPS {
            let found: Vec<_> = spans
                .iter()
                .filter(|sent| sent.span.trace_id == first.span.trace_id && sent.span.name == name)
                .collect();
            let [sent] = found.as_slice() else { panic!("job {job} has {} of {name}", found.len()) };
            assert_eq!(sent.service, service, "{sent:?}");
            if name != "submit" {
                assert_eq!(sent.span.parent_span_id, first.span.span_id, "{sent:?}");
            }
            if service == "btctl-agent" {
                assert_eq!(sent.said("agent.id"), agent, "{sent:?}");
            }
            assert!(sent.span.start_time_unix_nano <= sent.span.end_time_unix_nano, "{sent:?}");
            if name != "queue" {
                assert!(
                    sent.span.start_time_unix_nano >= before,
                    "{name} begins before what comes before it"
                );
                before = sent.span.start_time_unix_nano;
            }
        }
        // The client's own trace is linked, and the coordinator says in it that it took the sweep.
        let [link] = first.span.links.as_slice() else { panic!("{first:?}") };
        let own = collector.spans();
        let own: Vec<_> = own.iter().filter(|sent| sent.span.trace_id == link.trace_id).collect();
        let command = own.iter().find(|sent| sent.span.name == "btctl submit").unwrap();
        assert_eq!(command.span.span_id, link.span_id, "{own:?}");
        wait_until("the coordinator has said that it took the sweep", || {
            collector.spans().into_iter().find(|sent| {
                let span = &sent.span;
                span.name == "accept"
                    && (&span.trace_id, &span.parent_span_id) == (&link.trace_id, &link.span_id)
            })
        });
    }
}

#[test]
fn each_try_of_a_job_is_in_its_trace() {
    let collector = SpanCollector::start();
    let env = vec![("BTCTL_OTLP_ENDPOINT".to_owned(), collector.url())];
    let cluster = Cluster::with(Options { env, ..Options::simulated(&[]) });
    let url = collector.url();
    let flags = ["--otlp-endpoint", &url, "-e", "BT_SIM_EXIT=3", "--retries", "1"];
    let sweep = cluster.submit_simulated(&flags);
    cluster.wait_ended(&sweep);
    let numbers = wait_until("both containers' spans have come", || {
        let spans = spans_of(&collector, &sweep, 1, &["container", "commit"]);
        let containers = spans.iter().filter(|sent| sent.span.name == "container");
        let numbers: BTreeSet<_> = containers.map(|sent| sent.said("attempt.number")).collect();
        (numbers.len() == 2).then_some(numbers)
    });
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_collector_that_is_away_costs_no_job_and_a_wrong_address_is_refused() {
    let env = vec![("BTCTL_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned())];
    let cluster = Cluster::with(Options { env, ..Options::simulated(&[]) });
    let sweep = cluster.submit_simulated(&["--otlp-endpoint", "http://127.0.0.1:1"]);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1);
    for wrong in ["127.0.0.1:4317", "https://traces.example", "no address"] {
        let refused = cluster.run(&["ls", "--otlp-endpoint", wrong]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("is not the address of a collector"), "{refused:?}");
    }
}
