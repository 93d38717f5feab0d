//! Jobs that are given up for what they have reported: who is judged, what is kept, and what comes too late.

use std::collections::BTreeMap;

use bt_model::manifest::{Goal, Select};
use bt_model::progress::Progress;
use bt_model::reason::ReasonKind;

use super::*;

fn of(metrics: &[(&str, f64)]) -> Progress {
    let metrics: BTreeMap<_, _> = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Progress { metrics, ..Progress::default() }
}

fn said(agent: AgentId, session: u64, attempt: AttemptId) -> Said {
    Said { agent, session, attempt, progress: of(&[("drawdown", -0.6), ("sharpe", 1.0)]) }
}

/// A sweep that says when its jobs are pruned.
async fn bench(pool: PgPool, jobs: u32) -> Bench {
    let manifest = r#"{"stop_when": "drawdown < -0.5", "goals": {"sharpe": "maximize"}}"#.to_owned();
    Bench::with(pool, Submission { manifest, ..submission("k", jobs) }).await
}

fn pruning(bench: &Bench, attempt: AttemptId) -> Pruning {
    Pruning::of(attempt, "drawdown < -0.5: drawdown is -0.6".to_owned(), &said(bench.agent, 1, attempt))
}

async fn counts(bench: &Bench) -> [u32; 6] {
    bench.queue.sweep(bench.sweep).await.unwrap().unwrap().counts
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_running_attempts_of_sweeps_that_prune_are_judged(pool: PgPool) {
    let bench = bench(pool, 2).await;
    let attempt = bench.lease().await;
    let judged = async |agent, session| {
        let said = said(agent, session, attempt);
        bench.queue.to_judge(&[&said]).await.unwrap()
    };
    let found = judged(bench.agent, 1).await;
    assert_eq!((found.len(), found[0].place, found[0].job), (1, 0, 0));
    assert_eq!(found[0].stop_when, "drawdown < -0.5");
    assert_eq!(found[0].parameters, Written::Out(r#"{"n":0}"#.to_owned()));
    assert!(judged(AgentId::random(), 1).await.is_empty(), "another agent's");
    assert!(judged(bench.agent, 0).await.is_empty(), "a session that was superseded");
    bench.advance(attempt, AttemptEvent::Publishes).await;
    assert!(judged(bench.agent, 1).await.is_empty(), "its container has ended");

    let plain = bench.queue.submit(&submission("plain", 1), parameters(1)).await.unwrap();
    let plain = Bench { queue: bench.queue.clone(), sweep: plain.id, agent: bench.agent };
    let attempt = plain.lease().await;
    assert!(bench.queue.to_judge(&[&said(bench.agent, 1, attempt)]).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_pruned_job_keeps_what_it_reported_and_does_not_compete(pool: PgPool) {
    let bench = bench(pool, 3).await;
    let claimed = bench.claim(3, 1).await;
    let [pruned, good, _] = [0, 1, 2].map(|job| claimed[job].attempt);
    assert_eq!(bench.queue.prune(&[pruning(&bench, pruned)]).await.unwrap(), 1);
    let publication =
        Publication { metrics: Some(r#"{"sharpe": 0.5}"#.to_owned()), ..Publication::default() };
    let ending = Settlement { publication, ..Settlement::of(good, bench.me(), Ending::Published) };
    bench.queue.settle(&[ending]).await.unwrap();

    let jobs = bench.queue.jobs(bench.sweep, &JobFilter::default(), None, 9).await.unwrap();
    let job = &jobs[0];
    assert_eq!(job.state, JobState::Pruned);
    assert_eq!(job.metrics.as_deref(), Some(r#"{"sharpe": 1.0, "drawdown": -0.6}"#));
    assert_eq!(job.reason, Some(Reason::Pruned("drawdown < -0.5: drawdown is -0.6".to_owned())));
    assert!(job.finished.is_some() && job.attempt_state == Some(AttemptState::Cancelled));
    let history = bench.queue.attempts_of_job(bench.sweep, 0, 9).await.unwrap();
    assert_eq!(history[0].reason.as_ref().map(Reason::kind), Some(ReasonKind::Pruned));
    assert_eq!(counts(&bench).await, [0, 1, 1, 0, 0, 1]);

    // The better metric is the pruned job's.
    let ranked = bench.queue.ranked(bench.sweep, "sharpe", false, 9).await.unwrap();
    assert_eq!(ranked.iter().map(|job| job.number).collect::<Vec<_>>(), [1]);
    assert_eq!(bench.queue.sweep(bench.sweep).await.unwrap().unwrap().best.unwrap().job, 1);
    let values = bench.queue.values_of_metric(bench.sweep, "sharpe", None, 9).await.unwrap();
    let values: Vec<_> = values.iter().map(|job| (job.value, job.failed, job.pruned)).collect();
    assert_eq!(values, [(None, false, true), (Some(0.5), false, false), (None, false, false)]);
    assert_eq!(bench.queue.metric_names(bench.sweep).await.unwrap(), ["sharpe"]);
    let both = [JobState::Succeeded, JobState::Pruned];
    let reported = bench.queue.reported(bench.sweep, "sharpe", &both, None, 9).await.unwrap();
    let states: Vec<_> = reported.iter().map(|job| (job.number, job.state)).collect();
    assert_eq!(states, [(0, JobState::Pruned), (1, JobState::Succeeded)]);
    let tried = bench.queue.tried(bench.sweep, None, 9).await.unwrap();
    assert_eq!(tried.iter().map(|job| (job.number, job.pruned)).collect::<Vec<_>>(), [(0, true), (1, false)]);
    assert_eq!(bench.queue.tried_in_family(bench.sweep, "averages").await.unwrap(), 2);
    assert_eq!(bench.number("select count(*) from reports.metrics").await, 1);
    assert_eq!(bench.number("select pruned::bigint from reports.sweeps").await, 1);

    // It starts anew when it is wanted again, and only then.
    let retry = async |states: &[JobState]| {
        bench.queue.retry(bench.sweep, &Chosen::These(vec![0]), states, &[]).await.unwrap()
    };
    assert_eq!(retry(&[JobState::Failed, JobState::Cancelled]).await, 0);
    assert_eq!(retry(&[JobState::Pruned]).await, 1);
    let job = bench.job().await;
    assert_eq!((job.state, job.metrics, job.reason), (JobState::Queued, None, None));
    assert_eq!(counts(&bench).await, [1, 1, 1, 0, 0, 0]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn whoever_comes_first_wins(pool: PgPool) {
    let bench = bench(pool, 3).await;
    let claimed = bench.claim(3, 1).await;
    let [pruned, succeeded, publishing] = [0, 1, 2].map(|job| claimed[job].attempt);
    let prune = async |attempt| bench.queue.prune(&[pruning(&bench, attempt)]).await.unwrap();
    // Two coordinators at once, and again.
    let both = futures_util::future::join(prune(pruned), prune(pruned)).await;
    assert_eq!(both.0 + both.1, 1);
    assert_eq!(prune(pruned).await, 0);
    // What its agent says late changes nothing.
    let late = bench.settle(bench.me(), pruned, Ending::Published).await;
    assert_eq!(late, Settled::Before(AttemptState::Cancelled));
    bench.settle(bench.me(), succeeded, Ending::Published).await;
    assert_eq!(prune(succeeded).await, 0);
    bench.advance(publishing, AttemptEvent::Publishes).await;
    assert_eq!(prune(publishing).await, 0, "its container has ended");
    assert_eq!(counts(&bench).await, [0, 1, 1, 0, 0, 1]);
    bench.settle(bench.me(), publishing, Ending::Published).await;
    bench.queue.tend_sweeps().await.unwrap();
    let swept = "select count(*) from sweeps where ended_at is not null";
    assert_eq!(bench.number(swept).await, 1, "pruned jobs have ended");
    assert_eq!(counts(&bench).await, [0, 0, 2, 0, 0, 1], "also when they are folded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_search_prunes_what_runs_with_what_was_noted_last(pool: PgPool) {
    let bench = Bench::new(pool, 4).await;
    let claimed = bench.claim(3, 1).await;
    bench.queue.note_progress(&[said(bench.agent, 1, claimed[0].attempt)]).await.unwrap();
    bench.settle(bench.me(), claimed[2].attempt, Ending::Published).await;
    let prune = async || bench.queue.prune_jobs(bench.sweep, &[0, 1, 2, 3, 0], "worse").await.unwrap();
    let done = prune().await;
    assert_eq!((done.pruned, done.queued, done.ended), (2, 1, 1));
    let again = prune().await;
    assert_eq!((again.pruned, again.queued, again.ended), (0, 1, 3));
    let jobs = bench.queue.jobs(bench.sweep, &JobFilter::default(), None, 9).await.unwrap();
    let metrics: Vec<_> = jobs.iter().map(|job| job.metrics.as_deref()).collect();
    assert_eq!(metrics, [Some(r#"{"sharpe": 1.0, "drawdown": -0.6}"#), None, None, None]);
    let reasons: Vec<_> = jobs.iter().map(|job| job.reason.clone().map(|why| why.to_string())).collect();
    assert_eq!(reasons, [Some("pruned(worse)".to_owned()), Some("pruned(worse)".to_owned()), None, None]);
}

/// A window whose training jobs are all final goes on, and the best of those that succeeded is tested.
#[sqlx::test(migrator = "MIGRATOR")]
async fn a_window_goes_on_without_its_pruned_jobs(pool: PgPool) {
    let bench = bench(pool, 3).await;
    bench
        .execute(
            "with test as (
                 update jobs set waits_for = 0, ready_at = 'infinity' where number = 2 returning sweep_id
             )
             insert into window_tests (sweep_id, job, window_number, first_job, last_job)
             select sweep_id, 2, 0, 0, 1 from test",
        )
        .await;
    let claimed = bench.claim(3, 1).await;
    assert_eq!(claimed.len(), 2);
    let publication =
        Publication { metrics: Some(r#"{"sharpe": 0.5}"#.to_owned()), ..Publication::default() };
    let ending =
        Settlement { publication, ..Settlement::of(claimed[1].attempt, bench.me(), Ending::Published) };
    bench.queue.settle(&[ending]).await.unwrap();
    assert!(bench.queue.due_tests().await.unwrap().is_empty(), "one trains still");
    bench.queue.prune(&[pruning(&bench, claimed[0].attempt)]).await.unwrap();
    let due = bench.queue.due_tests().await.unwrap();
    assert_eq!(due.len(), 1);
    let select = Select { metric: "sharpe".to_owned(), goal: Goal::Maximize };
    let choice = bench.queue.begin_choice(due[0], &select).await.unwrap().unwrap();
    assert_eq!(choice.best.as_ref().map(|best| best.job), Some(1), "the pruned one is not chosen");
    drop(choice);
    let test = bench.queue.window_tests(bench.sweep, None).await.unwrap().remove(0);
    assert_eq!(test.ended, 2);
}
