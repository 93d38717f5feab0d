//! Whole lives of attempts, without a cluster: the agent's own parts, the simulated engine, and a test in the place of the
//! coordinator.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bt_engine::ContainerSpec;
use bt_model::id::{AgentId, AttemptId, BatchId, SweepId};
use bt_model::manifest::{Format, Manifest};
use bt_model::parameters::Parameters;
use bt_model::reason::Reason;
use bt_proto::v1::{self, report};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::live;
use crate::agent::Agent;
use crate::config::{EngineKind, Options};
use crate::job::holdings::Held;
use crate::record::assignment::Assignment;
use crate::record::ending::{Ended, Ending, Halt};
use crate::record::usage::Usage;
use crate::site::Site;
use crate::site::identity::Identity;
use crate::site::offer::Offer;
use crate::site::workdir::StateDir;
use crate::slots::Slot;
use crate::store_choice::StoreChoice;

/// An agent with one cpu, whose containers are simulated.
async fn agent(dir: &Path) -> Arc<Agent> {
    let options = Options {
        engine: EngineKind::Simulated,
        cpus: Some(1.0),
        memory: Some("1GiB".to_owned()),
        disk_reserve: Some("0".to_owned()),
        ..Options::unset()
    };
    let offer = Offer::read(&options, &bt_engine::machine::detect(), 1 << 40).unwrap();
    let engine = options.find_engine().await.unwrap();
    let state = StateDir::open(dir).unwrap();
    let identity = Identity::of(AgentId::random());
    let site = Site::new(options, identity, offer, (engine, "simulated".to_owned()), state).unwrap();
    let agent = Agent::new(Arc::new(site), StoreChoice::Relay, CancellationToken::new());
    let agent = Arc::new(agent);
    let line = agent.line.clone();
    let welcome = v1::Welcome::default();
    agent.site.tasks.spawn(async move { line.reach.decide(&welcome).await });
    agent
}

fn assignment_that_prints() -> Assignment {
    assignment_with("BT_SIM_PRINT: printed", "")
}

/// An attempt at a job that lasts so long and exits with this code.
fn assignment(millis: u32, exit: i32, more: &str) -> Assignment {
    assignment_with(&format!("BT_SIM_MS: \"{millis}\", BT_SIM_EXIT: \"{exit}\""), more)
}

fn assignment_with(env: &str, more: &str) -> Assignment {
    let yaml = format!("name: x\nimage: x:1\ncommand: [run]\nenv: {{{env}}}\nresources: {{cpus: 1}}\n{more}");
    let draft = Manifest::parse(yaml.as_bytes(), Format::Yaml, "x.yaml").unwrap();
    let manifest = draft.finish().unwrap();
    let mut assignment =
        Assignment::local(AttemptId::random(), SweepId::random(), 0, &manifest, &Parameters::default());
    assignment.image_pin = Some("x:1".to_owned());
    assignment
}

async fn begin(agent: &Arc<Agent>, assignment: Assignment) -> (Arc<Held>, JoinHandle<()>) {
    let dir = agent.site.state.attempt(assignment.attempt);
    dir.hold(&assignment).await.unwrap();
    let held = agent.holdings.add(assignment, dir, false).unwrap();
    (held.clone(), agent.site.tasks.spawn(live(agent.clone(), held, None)))
}

/// The reports of an attempt until its end, each acknowledged; nothing if it ends without one.
async fn reports(agent: &Agent, life: JoinHandle<()>) -> Vec<v1::Report> {
    let all = reports_until(agent, || life.is_finished()).await;
    life.await.unwrap();
    all
}

/// What is reported until then, each acknowledged.
async fn reports_until(agent: &Agent, is_over: impl Fn() -> bool) -> Vec<v1::Report> {
    let mut all = Vec::new();
    while !is_over() {
        for report in agent.line.outbox.take(true) {
            agent.line.outbox.acknowledge(report.sequence);
            all.push(report);
        }
        sleep(Duration::from_millis(5)).await;
    }
    all
}

fn kinds(reports: &[v1::Report]) -> Vec<&'static str> {
    let kind = |report: &v1::Report| match report.kind {
        Some(report::Kind::Preparing(_)) => "preparing",
        Some(report::Kind::Running(_)) => "running",
        Some(report::Kind::Publishing(_)) => "publishing",
        Some(report::Kind::Succeeded(_)) => "succeeded",
        Some(report::Kind::Failed(_)) => "failed",
        Some(report::Kind::Released(_)) => "released",
        None => "nothing",
    };
    reports.iter().map(kind).collect()
}

async fn nothing_is_left(agent: &Agent, held: &Held) {
    assert_eq!(agent.holdings.count(), 0);
    assert!(agent.site.engine.list(agent.site.identity.agent).await.unwrap().is_empty());
    while held.dir.results().exists() {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(!held.dir.has_notes(), "the journal has forgotten it");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_succeeds_is_published_once_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let (held, life) = begin(&agent, assignment(0, 0, "")).await;
    let reports = reports(&agent, life).await;
    assert_eq!(kinds(&reports).last(), Some(&"succeeded"));
    assert_eq!(kinds(&reports).iter().filter(|kind| **kind == "succeeded").count(), 1);
    let last = reports.last().unwrap();
    assert_eq!(last.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["simulated.json"]);
    assert_eq!(last.files[0].data, b"{\"job\":0}\n");
    nothing_is_left(&agent, &held).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_says_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let (held, life) = begin(&agent, assignment(0, 3, "")).await;
    let reports = reports(&agent, life).await;
    let reason = Some(v1::Reason { kind: Some(v1::reason::Kind::Exit(3)) });
    let failed = report::Kind::Failed(v1::Failed { reason, ..v1::Failed::default() });
    assert_eq!(reports.last().unwrap().kind, Some(failed));
    nothing_is_left(&agent, &held).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_too_long_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let (held, life) = begin(&agent, assignment(600_000, 0, "timeout: 1s\n")).await;
    let reports = reports(&agent, life).await;
    assert_eq!(kinds(&reports).last(), Some(&"failed"));
    nothing_is_left(&agent, &held).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_taken_away_reports_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let (held, life) = begin(&agent, assignment(600_000, 0, "")).await;
    while !held.dir.has_started() {
        sleep(Duration::from_millis(5)).await;
    }
    held.halt(Halt::TakenAway);
    let reports = reports(&agent, life).await;
    assert!(kinds(&reports).iter().all(|kind| ["preparing", "running"].contains(kind)), "{reports:?}");
    nothing_is_left(&agent, &held).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_room_is_handed_back_by_an_agent_that_drains() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let (first, running) = begin(&agent, assignment(600_000, 0, "")).await;
    while !first.dir.has_started() {
        sleep(Duration::from_millis(5)).await;
    }
    let (second, waiting) = begin(&agent, assignment(0, 0, "")).await;
    agent.leaving.draining.cancel();
    let all = reports(&agent, waiting).await;
    let second = all.iter().filter(|report| report.attempt == second.id().to_string()).cloned();
    assert_eq!(kinds(&second.collect::<Vec<_>>()), ["released"], "it never began");
    assert!(!running.is_finished(), "what runs may finish");
    first.halt(Halt::Release("the agent stops".to_owned()));
    let last = reports(&agent, running).await;
    assert_eq!(kinds(&last).last(), Some(&"released"));
    nothing_is_left(&agent, &first).await;
}

/// The agent was killed while the job ran in a shared container: it can't go on, and leaves the container that waits for
/// its sweep's next job alone.
#[tokio::test(start_paused = true)]
async fn a_job_that_lost_its_shared_container_takes_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let assignment = assignment(0, 0, "containers: reuse\n");
    let sweep = assignment.sweep;
    agent.slots.give_back(sweep, Slot::new(&agent.site));
    let dir = agent.site.state.attempt(assignment.attempt);
    dir.hold(&assignment).await.unwrap();
    dir.write_starting().await.unwrap();
    dir.note_started();
    let held = agent.holdings.add(assignment, dir, true).unwrap();
    let life = agent.site.tasks.spawn(live(agent.clone(), held, None));
    let reports = reports(&agent, life).await;
    assert!(matches!(
        reports.last().unwrap().kind,
        Some(report::Kind::Failed(v1::Failed { for_now: true, .. }))
    ));
    assert!(agent.slots.take(sweep, false).is_some(), "the container still waits");
}

/// An agent that finds on its disk what the one before had committed, and nothing else.
async fn restarted(before: &Path, dir: &Path) -> Arc<Agent> {
    std::fs::copy(before.join("journal"), dir.join("journal")).unwrap();
    agent(dir).await
}

/// The machine lost its power while a job ran, or right before: whether it ran can't be known, and it does not run again in
/// this attempt. Nor do outputs count that a container left which another boot of the machine had started.
#[tokio::test(start_paused = true)]
async fn what_may_have_run_before_a_power_cut_does_not_run_again() {
    for earlier_boot in [false, true] {
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = agent(before.path()).await;
        let assignment = assignment(0, 0, "");
        let attempt = first.site.state.attempt(assignment.attempt);
        attempt.hold(&assignment).await.unwrap();
        match earlier_boot {
            true => attempt.write_starting_of("another boot").await.unwrap(),
            false => attempt.write_starting().await.unwrap(),
        }
        let agent = restarted(before.path(), after.path()).await;
        let (assignment, dir) = agent.site.state.held().unwrap().remove(0);
        if earlier_boot {
            // Its container is there, has ended well and left something.
            let mut spec = ContainerSpec::of_nothing(assignment.attempt, agent.site.identity.agent, "x:1");
            spec.env = vec![("BT_SIM_BYTES".to_owned(), "0".to_owned())];
            agent.site.engine.create(&spec).await.unwrap();
            agent.site.engine.start(assignment.attempt).await.unwrap();
            agent.site.engine.wait(assignment.attempt).await.unwrap();
            std::fs::create_dir_all(dir.results()).unwrap();
            std::fs::write(dir.results().join("half"), "").unwrap();
        }
        let held = agent.holdings.add(assignment, dir, true).unwrap();
        let life = agent.site.tasks.spawn(live(agent.clone(), held.clone(), None));
        let reports = reports(&agent, life).await;
        let Some(report::Kind::Failed(failed)) = &reports.last().unwrap().kind else { panic!("{reports:?}") };
        let reason = failed.reason.as_ref().unwrap();
        assert!(matches!(reason.kind, Some(v1::reason::Kind::Agent(_))), "{reason:?}");
        nothing_is_left(&agent, &held).await;
    }
}

/// The machine lost its power after the ending was written down, and with it what the job had left: the report has all of
/// it.
#[tokio::test(start_paused = true)]
async fn an_ending_is_reported_without_the_attempts_directory() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = agent(before.path()).await;
    let (held, life) = begin(&first, assignment_that_prints()).await;
    while !matches!(held.dir.ended(), Ok(Some(_))) {
        sleep(Duration::from_millis(5)).await;
    }
    life.abort();
    life.await.unwrap_err();
    let agent = restarted(before.path(), after.path()).await;
    let (assignment, dir) = agent.site.state.held().unwrap().remove(0);
    let held = agent.holdings.add(assignment, dir, true).unwrap();
    let life = agent.site.tasks.spawn(live(agent.clone(), held.clone(), None));
    let reports = reports(&agent, life).await;
    assert_eq!(kinds(&reports), ["succeeded"]);
    assert_eq!(reports[0].files[0].data, b"{\"job\":0}\n");
    assert!(String::from_utf8_lossy(reports[0].log()).contains("printed"), "{reports:?}");
    nothing_is_left(&agent, &held).await;
}

/// The agent was killed between the ending and the acknowledgement: the ending stands, and nothing runs again.
#[tokio::test(start_paused = true)]
async fn an_ending_that_was_written_down_is_reported_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let (held, life) = begin(&agent, assignment(0, 7, "")).await;
    while !matches!(held.dir.ended(), Ok(Some(_))) {
        sleep(Duration::from_millis(5)).await;
    }
    life.abort();
    life.await.unwrap_err();
    agent.holdings.remove(held.id());
    agent.line.outbox.forget(held.id());
    let held = agent.holdings.add(held.assignment.clone(), held.dir.clone(), true).unwrap();
    let life = agent.site.tasks.spawn(live(agent.clone(), held.clone(), None));
    let reports = reports(&agent, life).await;
    assert_eq!(kinds(&reports), ["failed"]);
    nothing_is_left(&agent, &held).await;
}

/// One attempt of a batch is over before the others, without having been asked to stop: they alone decide how long their
/// container is needed.
#[tokio::test(start_paused = true)]
async fn a_batch_is_stopped_when_all_whose_lives_go_on_are_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path()).await;
    let mut held = Vec::new();
    let batch = Some(BatchId::random());
    for job in 0..3 {
        let mut assignment = assignment(600_000, 0, "batch: 3\n");
        (assignment.job, assignment.batch) = (job, batch);
        let dir = agent.site.state.attempt(assignment.attempt);
        dir.hold(&assignment).await.unwrap();
        held.push(agent.holdings.add(assignment, dir, false).unwrap());
    }
    // The first one's end was decided by an earlier run of the agent.
    let ending = Ending::failed(&Reason::Exit(3));
    let ended = Ended { ending, usage: Usage::default(), remark: String::new() };
    held[0].dir.write_ended(&ended, &[], &Bytes::new()).await.unwrap();
    super::begin(&agent, held.clone());
    let mut all = reports_until(&agent, || held[1..].iter().all(|held| held.dir.has_started())).await;
    all.extend(reports_until(&agent, || agent.holdings.count() == 2).await);
    let begun = tokio::time::Instant::now();
    held[1].halt(Halt::TakenAway);
    all.extend(reports_until(&agent, || agent.holdings.count() == 1).await);
    let containers = async || agent.site.engine.list(agent.site.identity.agent).await.unwrap().len();
    assert_eq!(containers().await, 1, "the last one goes on in it");
    held[2].halt(Halt::TakenAway);
    all.extend(reports_until(&agent, || agent.batches.load(Ordering::Relaxed) == 0).await);
    assert!(begun.elapsed() < Duration::from_secs(60), "it was stopped, and did not end by itself");
    let ends =
        all.iter().filter(|report| !["preparing", "running"].contains(&kinds(&[(*report).clone()])[0]));
    let ends: Vec<_> = ends.map(|report| report.attempt.clone()).collect();
    assert_eq!(ends, [held[0].id().to_string()]);
    assert_eq!(containers().await, 0);
    for held in &held {
        nothing_is_left(&agent, held).await;
    }
}
