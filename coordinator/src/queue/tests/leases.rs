//! Whose an attempt is: leases that are renewed, taken away or superseded, and what agents are given and told.

use bt_model::manifest::Containers;

use super::*;
use crate::queue::Sharing;

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_fenced_attempt_changes_nothing(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let lost = bench.lease().await;
    bench.advance(lost, AttemptEvent::Runs).await;
    bench.execute("update attempts set lease_expires_at = now() - interval '1 second'").await;
    let coordinator = uuid::Uuid::new_v4();
    let pass = || bench.queue.expire_leases(coordinator, Duration::from_secs(20), TERM);
    // Nobody was there to renew: the first pass grants a full term.
    assert_eq!(pass().await.unwrap(), Some(vec![]));
    bench.execute("update attempts set lease_expires_at = now() - interval '1 second'").await;
    assert_eq!(pass().await.unwrap(), Some(vec![lost]));
    assert_eq!(bench.job().await.state, JobState::Queued);

    let second = bench.lease().await;
    assert_ne!(second, lost);
    let late = bench.settle(bench.me(), lost, Ending::Published).await;
    assert_eq!(late, Settled::Before(AttemptState::Lost));
    bench.advance(lost, AttemptEvent::Runs).await;
    assert_eq!(bench.number("select count(*) from attempts where state = 'lost'").await, 1);
    let pulse = pulse(&[lost, second]);
    let gone = bench.queue.heartbeat(bench.agent, 1, &pulse, TERM).await.unwrap();
    assert_eq!(gone.gone, [lost]);
    assert_eq!(bench.number("select count(*) from results").await, 0);
    assert_eq!(bench.settle(bench.me(), second, Ending::Published).await, Settled::Now(JobState::Succeeded));
    assert_eq!(bench.number("select count(*) from results").await, 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_renewed_lease_is_not_taken_away(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    let settled = bench.settle(Fence::Expired, attempt, Ending::Lost).await;
    assert_eq!(settled, Settled::Renewed);
    assert_eq!(bench.job().await.state, JobState::Running);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_older_session_is_refused(pool: PgPool) {
    let bench = Bench::new(pool, 2).await;
    let attempt = bench.lease().await;
    bench.hello(2).await.unwrap();
    assert!(matches!(bench.hello(2).await, Err(Error::Superseded(_))));
    assert!(matches!(bench.hello(1).await, Err(Error::Superseded(_))));
    assert!(bench.claim(1, 1).await.is_empty(), "an older session gets no work");
    let ended = News::Ended {
        ending: Ending::Published,
        publication: Publication::default(),
        image_id: None,
        measured: Measured::default(),
        given: Box::default(),
        remark: String::new(),
    };
    assert_eq!(bench.report(1, [(attempt, ended)]).await, [Recorded::Superseded]);
    assert_eq!(bench.attempt_state().await, AttemptState::Leased);
    let pulse = pulse(&[attempt]);
    let refused = bench.queue.heartbeat(bench.agent, 1, &pulse, TERM).await;
    assert!(matches!(refused, Err(Error::Superseded(_))));
    assert_eq!(bench.claim(1, 2).await.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn another_agents_attempt_is_unknown(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    let thief = Bench { queue: bench.queue.clone(), sweep: bench.sweep, agent: AgentId::random() };
    thief.hello(1).await.unwrap();
    assert_eq!(thief.settle(thief.me(), attempt, Ending::Published).await, Settled::Unknown);
    assert_eq!(bench.job().await.state, JobState::Running);
}

/// What an agent holds is compared with what it was leased: what it does not know of was never received, and what is not its
/// own is not told about.
#[sqlx::test(migrator = "MIGRATOR")]
async fn an_agent_that_comes_back_is_told_what_it_holds(pool: PgPool) {
    let bench = Bench::new(pool, 3).await;
    let claimed = bench.claim(3, 1).await;
    let [held, never_received, ended] = [0, 1, 2].map(|n| claimed[n].attempt);
    bench.advance(held, AttemptEvent::Runs).await;
    bench.settle(bench.me(), ended, Ending::Published).await;
    let strange = AttemptId::random();
    let holding = bench.queue.holding(bench.agent, &[held, ended, strange]).await.unwrap();
    assert_eq!(holding.known.get(&held), Some(&AttemptState::Running));
    assert_eq!(holding.known.get(&ended), Some(&AttemptState::Succeeded));
    assert_eq!(holding.known.len(), 2);
    assert_eq!(holding.missing, [(never_received, AttemptState::Leased)]);
    let gone = bench.queue.taken_away(bench.agent, &[held, ended, strange]).await.unwrap();
    assert_eq!(gone, [ended, strange]);
    assert!(bench.queue.holding(AgentId::random(), &[held]).await.unwrap().known.is_empty());
}

/// What runs is counted once for each agent, whichever of them are asked for.
#[sqlx::test(migrator = "MIGRATOR")]
async fn what_live_attempts_take_is_counted_by_agent(pool: PgPool) {
    let bench = Bench::new(pool, 4).await;
    let claimed = bench.claim(3, 1).await;
    bench.settle(bench.me(), claimed[0].attempt, Ending::Published).await;
    let idle = AgentId::random();
    let used = bench.queue.used(&[bench.agent, idle, bench.agent]).await.unwrap();
    let usage = used.get(&bench.agent).unwrap();
    assert_eq!((used.len(), usage.running), (1, 2));
    assert_eq!((usage.resources.cpu_millis, usage.resources.memory_bytes), (2_000, 2 << 30));
    let taken = bench.queue.taken_by(&[claimed[1].attempt, AttemptId::random()]).await.unwrap();
    let (place, resources, _) = taken.get(&claimed[1].attempt).unwrap();
    assert_eq!((taken.len(), place.job, place.attempt, resources.cpu_millis), (1, 1, 1, 1_000));
    assert_eq!(bench.queue.owners_running().await.unwrap(), [("ann".to_owned(), (2, None))].into());
}

/// The first agent to resolve an image pins it for the sweep; only the session that holds the attempt may.
#[sqlx::test(migrator = "MIGRATOR")]
async fn the_first_pin_of_an_image_holds(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    let pin = async |session, image| bench.queue.pin_image(bench.agent, session, attempt, image).await;
    assert!(matches!(pin(2, "i@sha256:0").await, Err(Error::NoAttempt(_))));
    assert_eq!(pin(1, "i@sha256:1").await.unwrap(), "i@sha256:1");
    assert_eq!(pin(1, "i@sha256:2").await.unwrap(), "i@sha256:1");
    bench.queue.note_encoding(attempt, Encoding::Zstd).await.unwrap();
    let (place, state, encoding) = bench.queue.attempt_place(bench.agent, 1, attempt).await.unwrap();
    assert_eq!((place.job, state, encoding), (0, AttemptState::Leased, Encoding::Zstd));
    bench.queue.note(bench.agent, attempt, "pulls i:1").await.unwrap();
    assert_eq!(bench.queue.running_attempts(None, None, 10).await.unwrap()[0].note, "pulls i:1");
    bench.settle(bench.me(), attempt, Ending::Published).await;
    assert!(matches!(pin(1, "i@sha256:1").await, Err(Error::NoAttempt(_))));
    bench.queue.note_encoding(attempt, Encoding::None).await.unwrap();
    let (_, state, encoding) = bench.queue.attempt_place(bench.agent, 1, attempt).await.unwrap();
    assert_eq!((state, encoding), (AttemptState::Succeeded, Encoding::Zstd), "an end is not noted over");
}

/// What agents find of a sweep's warm containers adds up; a container each is the last resort, and its reason stays.
#[sqlx::test(migrator = "MIGRATOR")]
async fn how_a_sweep_shares_its_containers_is_noted_by_its_agents(pool: PgPool) {
    let bench = Bench::new(pool, 2).await;
    let attempt = bench.lease().await;
    let note = async |session, containers: Option<Containers>, why: &str, module: &str| {
        let left_out = [(module.to_owned(), "starts threads".to_owned())].into();
        let found = Sharing { containers, why: why.to_owned(), left_out };
        bench.queue.note_sharing(bench.agent, session, attempt, &found).await
    };
    assert!(matches!(note(2, Some(Containers::Each), "old", "x").await, Err(Error::NoAttempt(_))));
    for (containers, why, expected) in [
        (None, "", (None, "")),
        (Some(Containers::Reuse), "not Python", (Some(Containers::Reuse), "not Python")),
        (Some(Containers::Reuse), "again", (Some(Containers::Reuse), "not Python")),
        (Some(Containers::Each), "differs", (Some(Containers::Each), "differs")),
        (Some(Containers::Reuse), "late", (Some(Containers::Each), "differs")),
        (None, "", (Some(Containers::Each), "differs")),
    ] {
        note(1, containers, why, "polars").await.unwrap();
        let found = bench.queue.sweep(bench.sweep).await.unwrap().unwrap().sharing;
        assert_eq!((found.containers, found.why.as_str()), expected, "{containers:?} {why}");
    }
    note(1, None, "", "torch").await.unwrap();
    let found = bench.queue.sweep(bench.sweep).await.unwrap().unwrap().sharing;
    assert_eq!(found.left_out.into_keys().collect::<Vec<_>>(), ["polars", "torch"]);
    let candidates = bench.queue.candidates().await.unwrap();
    assert_eq!(
        candidates[0].1.as_ref().unwrap().containers,
        Some(Containers::Each),
        "the next jobs are sent so"
    );
    bench.settle(bench.me(), attempt, Ending::Published).await;
    assert!(matches!(note(1, None, "", "x").await, Err(Error::NoAttempt(_))));
}

/// A drained agent gets nothing more, and keeps what it has.
#[sqlx::test(migrator = "MIGRATOR")]
async fn a_drained_agent_gets_no_jobs(pool: PgPool) {
    let bench = Bench::new(pool, 2).await;
    let attempt = bench.lease().await;
    bench.queue.drain(bench.agent, true).await.unwrap();
    assert!(bench.claim(1, 1).await.is_empty());
    let beat = bench.queue.heartbeat(bench.agent, 1, &pulse(&[attempt]), TERM).await.unwrap();
    assert!(beat.drained && beat.gone.is_empty());
    bench.queue.drain(bench.agent, false).await.unwrap();
    assert_eq!(bench.claim(1, 1).await.len(), 1);
    assert!(matches!(bench.queue.drain(AgentId::random(), true).await, Err(Error::NoAgent(_))));
}

/// A few chosen jobs are cancelled, live or queued; the others stay as they are.
#[sqlx::test(migrator = "MIGRATOR")]
async fn chosen_jobs_are_cancelled_and_no_others(pool: PgPool) {
    let bench = Bench::new(pool, 5).await;
    let claimed = bench.claim(2, 1).await;
    let cancelled = bench.queue.cancel(bench.sweep, &Chosen::These(vec![1, 3, 3])).await.unwrap();
    assert_eq!((cancelled.cancelled, cancelled.stopping), (2, 1));
    let jobs = bench.queue.jobs(bench.sweep, &JobFilter::default(), None, 10).await.unwrap();
    let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
    use JobState::{Cancelled, Queued, Running};
    assert_eq!(states, [Running, Cancelled, Queued, Cancelled, Queued]);
    let one = JobFilter { job: Some(3), ..JobFilter::default() };
    let one = bench.queue.jobs(bench.sweep, &one, None, 10).await.unwrap();
    assert_eq!(one.iter().map(|job| job.number).collect::<Vec<_>>(), [3]);
    assert_eq!(
        bench.settle(bench.me(), claimed[0].attempt, Ending::Published).await,
        Settled::Now(JobState::Succeeded)
    );
}
