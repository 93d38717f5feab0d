//! A clean cut at every step of an attempt's life, of the line and of the coordinator: what is expected, and what is
//! seen. The agent is scripted, the coordinator and Postgres are real.

use bt_proto::v1::{Preparing, Publishing, Running};
use bt_proto::v1::{Ruling, coordinator_message, report};
use bt_tests::{Cluster, Options, ScriptedAgent, wait_until};
use sha2::{Digest, Sha256};

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Line,
    Coordinator,
}

/// When it is cut: before or after a message has had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// The lease is committed, and its assignment is never read.
    BeforeAssignment,
    AfterAssignment,
    AfterPreparing,
    AfterRunning,
    AfterPublishing,
    /// The report of success is sent, and its answer is not waited for.
    BeforeAck,
    /// The answer has come, and the agent has not forgotten the attempt yet.
    AfterAck,
}

/// What must be seen after the agent has come back.
struct Expected {
    /// Whether the attempt, if it is named, may go on.
    ruling: &'static [Ruling],
    /// Attempts that the job took in all.
    attempts: u32,
}

fn expected(when: When) -> Expected {
    match when {
        When::BeforeAssignment => Expected { ruling: &[Ruling::Unspecified], attempts: 2 },
        When::AfterAssignment | When::AfterPreparing | When::AfterRunning | When::AfterPublishing => {
            Expected { ruling: &[Ruling::Keep], attempts: 1 }
        }
        // The commit may be before or after the cut; both end the same.
        When::BeforeAck => Expected { ruling: &[Ruling::Keep, Ruling::Stop], attempts: 1 },
        When::AfterAck => Expected { ruling: &[Ruling::Stop], attempts: 1 },
    }
}

const DATA: &[u8] = b"whole";

fn sha256() -> Vec<u8> {
    Sha256::digest(DATA).to_vec()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn queue_one(cluster: &Cluster) -> String {
    cluster.submit_simulated(&[])
}

#[test]
fn a_cut_at_any_step_loses_nothing_and_doubles_nothing() {
    let steps = [
        When::BeforeAssignment,
        When::AfterAssignment,
        When::AfterPreparing,
        When::AfterRunning,
        When::AfterPublishing,
        When::BeforeAck,
        When::AfterAck,
    ];
    let mut cluster = Cluster::without_agent(Options::default());
    for cut in [Cut::Line, Cut::Coordinator] {
        for when in steps {
            let told = format!("{cut:?} {when:?}");
            let sweep = queue_one(&cluster);
            let (ruling, attempt) = runtime().block_on(live(&mut cluster, cut, when));
            let Expected { ruling: allowed, attempts } = expected(when);
            assert!(allowed.contains(&ruling), "{told}: {ruling:?}");
            let sql = format!(
                "select j.state, j.attempts, j.losses, j.failures, r.attempt_id = a.id
                 from jobs j join attempts a on a.sweep_id = j.sweep_id and a.job = j.number and a.number = j.attempts
                 join results r on r.sweep_id = j.sweep_id and r.job = j.number where j.sweep_id = '{sweep}'"
            );
            assert_eq!(cluster.database.query(&sql), [format!("succeeded|{attempts}|0|0|t")], "{told}");
            wait_until("result.json is written", || {
                let sql = "select count(*) from results where not written";
                (cluster.database.query(sql) == ["0"]).then_some(())
            });
            let number = if attempts == 1 { "1" } else { "2" };
            let stored = cluster.store().join(format!("x-{}/0/{number}/out", &sweep[..8]));
            assert_eq!(std::fs::read(stored).unwrap(), DATA, "{told}");
            assert!(!attempt.is_empty());
        }
    }
}

/// Lives one attempt with a cut in it, and then to its end. Says how the coordinator ruled on what was held.
async fn live(cluster: &mut Cluster, cut: Cut, when: When) -> (Ruling, String) {
    let address = cluster.address();
    let mut agent = ScriptedAgent::first(&address).await;
    if when == When::BeforeAssignment {
        cluster.wait_attempts("leased", 1);
    }
    let mut held = String::new();
    if when != When::BeforeAssignment {
        held = agent.assignment().await.attempt;
    }
    let steps = [
        (When::AfterPreparing, report::Kind::Preparing(Preparing {})),
        (When::AfterRunning, report::Kind::Running(Running { image_id: "sha256:1".into() })),
        (When::AfterPublishing, report::Kind::Publishing(Publishing {})),
    ];
    if ![When::BeforeAssignment, When::AfterAssignment].contains(&when) {
        for (step, kind) in steps {
            agent.report(&held, kind).await;
            if step == when {
                break;
            }
        }
    }
    if [When::BeforeAck, When::AfterAck].contains(&when) {
        let sent = agent.succeed(&held, DATA, sha256()).await;
        if when == When::AfterAck {
            assert_eq!(agent.ack(sent).await, Some(true));
        }
    }
    if cut == Cut::Coordinator {
        cluster.coordinator().kill();
        cluster.start_coordinator();
    }
    let named: Vec<_> = [held.as_str()].into_iter().filter(|attempt| !attempt.is_empty()).collect();
    let mut agent = agent.again(&address, &named).await;
    let ruling = agent.verdict(&held);
    if held.is_empty() {
        held = agent.assignment().await.attempt;
    }
    // What was not acknowledged is sent again, and is harmless when it was taken before.
    let sent = agent.succeed(&held, DATA, sha256()).await;
    assert_eq!(agent.ack(sent).await, Some(true), "{cut:?} {when:?}");
    (ruling, held)
}

#[test]
fn what_comes_too_late_is_refused() {
    let cluster = Cluster::without_agent(Options { lease: "4s", heartbeat: "1s", ..Options::default() });
    let sweep = queue_one(&cluster);
    let address = cluster.address();
    runtime().block_on(async {
        let mut silent = ScriptedAgent::first(&address).await;
        let lost = silent.assignment().await.attempt;
        // The job is to go to somebody else.
        silent.drain(&[&lost]).await;
        let running =
            silent.report(&lost, report::Kind::Running(Running { image_id: "sha256:1".into() })).await;
        assert_eq!(silent.ack(running).await, Some(true));
        cluster.wait_attempts("lost", 1);
        // Somebody else makes it; then the first one speaks.
        let mut other = ScriptedAgent::first(&address).await;
        let second = other.assignment().await.attempt;
        assert_ne!(second, lost);
        let mut silent = silent.again(&address, &[&lost]).await;
        assert_eq!(silent.verdict(&lost), Ruling::Stop);
        let late = silent.succeed(&lost, DATA, sha256()).await;
        assert_eq!(silent.ack(late).await, Some(false));
        assert_eq!(cluster.count(&sweep, "succeeded"), 0);
        other.beat(&[&second]).await;
        let done = other.succeed(&second, DATA, sha256()).await;
        assert_eq!(other.ack(done).await, Some(true));
        let late = silent.succeed(&lost, DATA, sha256()).await;
        assert_eq!(silent.ack(late).await, Some(false));
    });
    assert_eq!(cluster.database.query("select attempts, losses from jobs"), ["2|1"]);
    assert_eq!(cluster.database.query("select count(*) from results"), ["1"]);
}

#[test]
fn an_older_session_is_not_listened_to() {
    let cluster = Cluster::without_agent(Options::default());
    queue_one(&cluster);
    let address = cluster.address();
    runtime().block_on(async {
        let mut old = ScriptedAgent::first(&address).await;
        let held = old.assignment().await.attempt;
        let mut new = ScriptedAgent::connect(&address, &old.id, 2, &[&held]).await.unwrap();
        assert_eq!(new.verdict(&held), Ruling::Keep);
        let refused = old.succeed(&held, DATA, sha256()).await;
        assert_eq!(old.ack(refused).await, None);
        assert!(ScriptedAgent::connect(&address, &old.id, 1, &[]).await.is_err(), "a copied state directory");
        let done = new.succeed(&held, DATA, sha256()).await;
        assert_eq!(new.ack(done).await, Some(true));
    });
    assert_eq!(cluster.database.query("select attempts from jobs"), ["1"]);
}

#[test]
fn an_attempt_that_is_not_named_goes_back_to_the_queue() {
    let cluster = Cluster::without_agent(Options::default());
    queue_one(&cluster);
    let address = cluster.address();
    runtime().block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        let first = agent.assignment().await.attempt;
        // It never got through: three heartbeats do not name it.
        for _ in 0..3 {
            agent.beat(&[]).await;
        }
        let second = agent.assignment().await.attempt;
        assert_ne!(second, first);
        // It was on its way, and the agent has forgotten it: that is a loss.
        let sent = agent.report(&second, report::Kind::Preparing(Preparing {})).await;
        assert_eq!(agent.ack(sent).await, Some(true));
        let mut agent = agent.again(&address, &["00000000-0000-4000-8000-000000000000"]).await;
        assert_eq!(agent.verdict("00000000-0000-4000-8000-000000000000"), Ruling::Unknown);
        let third = agent.assignment().await.attempt;
        let done = agent.succeed(&third, DATA, sha256()).await;
        assert_eq!(agent.ack(done).await, Some(true));
    });
    assert_eq!(cluster.database.query("select attempts, losses from jobs"), ["3|1"]);
}

#[test]
fn a_cancel_while_the_line_is_cut_is_heard_of_later() {
    let cluster = Cluster::without_agent(Options::default());
    let sweep = queue_one(&cluster);
    let address = cluster.address();
    runtime().block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        let held = agent.assignment().await.attempt;
        let (id, session) = (agent.id.clone(), agent.session);
        drop(agent);
        cluster.ok(&["cancel", &sweep]);
        let agent = ScriptedAgent::connect(&address, &id, session + 1, &[&held]).await.unwrap();
        assert_eq!(agent.verdict(&held), Ruling::Stop);
    });
    // And while it is whole, at once.
    let sweep = queue_one(&cluster);
    runtime().block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        let held = agent.assignment().await.attempt;
        cluster.ok(&["cancel", &sweep]);
        let Some(coordinator_message::Kind::Stop(stop)) = agent.next().await else {
            panic!("no Stop came");
        };
        assert_eq!(stop.attempt, held);
    });
}
