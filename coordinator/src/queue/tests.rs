//! The queue against a real Postgres; each test has a database of its own. `DATABASE_URL` names the server
//! (scripts/with-postgres).

use std::collections::BTreeMap;
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::manifest::Policy;
use bt_model::placement::SecretOffer;
use bt_model::reason::Reason;
use bt_model::resources::Resources;
use bt_model::retry::Ending;
use bt_model::state::{AttemptEvent, AttemptState, JobState};
use sqlx::PgPool;

use super::settle::Settled;
use super::*;

mod batches;
mod events;
mod holdouts;
mod leases;
mod open;
mod order;
mod plans;
mod progress;
mod prune;
mod quotas;
mod returns;
mod sessions;
mod upgrades;

const TERM: Duration = Duration::from_secs(60);
const SIZE: Resources =
    Resources { cpu_millis: 1000, memory_bytes: 1 << 30, gpus: 0, disk_bytes: 0, jobs: 0 };

fn submission(key: &str, jobs: u32) -> Submission {
    Submission {
        name: "s".into(),
        owner: "ann".into(),
        idempotency_key: key.into(),
        fingerprint: [7; 32],
        manifest: "{}".into(),
        jobs,
        priority: 0,
        policy: Policy::default(),
        needs: SIZE,
        labels: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: Vec::new(),
        any_secret: false,
        after: super::After::default(),
        timeout: None,
        image: "i:1".into(),
        image_pin: None,
        image_alias: None,
        recipe: [9; 32],
        reuse: false,
        batch: None,
        pinned: false,
        dev_mounts: None,
        family: "averages".to_owned(),
        held_out: HeldOut::default(),
        open: false,
        description: Description::default(),
        tests: Vec::new(),
    }
}

fn published(path: &str, size: u64, encoding: Encoding, stored_size: Option<u64>) -> PublishedFile {
    PublishedFile { path: path.to_owned(), size, sha256: [1; 32], encoding, stored_size, other_name: None }
}

fn parameters(jobs: u32) -> Jobs<'static> {
    Jobs::Written(Box::new((0..jobs).map(|job| format!(r#"{{"n":{job}}}"#))))
}

fn pulse(attempts: &[AttemptId]) -> Pulse {
    Pulse {
        attempts: attempts.to_vec(),
        unhealthy: String::new(),
        unavailable: String::new(),
        draining: false,
        notes: Vec::new(),
        fingerprints: BTreeMap::new(),
        transfer: String::new(),
    }
}

/// The queue with the sessions that a coordinator has.
fn queue(pool: &PgPool) -> Queue {
    Queue::over(Connections::new(pool.connect_options().as_ref().clone(), TERM))
}

/// A queue with one sweep and one agent in session 1.
struct Bench {
    queue: Queue,
    sweep: SweepId,
    agent: AgentId,
}

impl Bench {
    async fn new(pool: PgPool, jobs: u32) -> Self {
        Self::with(pool, submission("k", jobs)).await
    }

    async fn with(pool: PgPool, submission: Submission) -> Self {
        let queue = queue(&pool);
        let submitted = queue.submit(&submission, parameters(submission.jobs)).await.unwrap();
        let bench = Self { queue, sweep: submitted.id, agent: AgentId::random() };
        bench.hello(1).await.unwrap();
        bench
    }

    async fn hello(&self, session: u64) -> Result<(), Error> {
        let greeting = Greeting {
            agent: self.agent,
            name: "a".into(),
            session,
            capacity: SIZE,
            labels: BTreeMap::new(),
            volumes: BTreeMap::new(),
            version: String::new(),
            engine: String::new(),
            job_memory_bytes: 1 << 30,
            about: BTreeMap::default(),
            fingerprints: BTreeMap::default(),
            place: String::new(),
            protocol: 2,
            secrets: SecretOffer::default(),
            ends_in: None,
        };
        self.queue.say_hello(&greeting, Duration::from_secs(45)).await.map(drop)
    }

    async fn claim(&self, limit: u32, session: u64) -> Vec<Claimed> {
        self.claim_from(0, limit, session).await
    }

    async fn claim_from(&self, from: u32, jobs: u32, session: u64) -> Vec<Claimed> {
        let candidate = self.queue.sweep_details(self.sweep).await.unwrap().candidate;
        let want = Want { agent: self.agent, session, jobs, batch: None };
        self.queue.claim(&candidate, &[want], from, TERM).await.unwrap()
    }

    /// Leases the only job.
    async fn lease(&self) -> AttemptId {
        let claimed = self.claim(1, 1).await;
        assert_eq!(claimed.len(), 1);
        claimed[0].attempt
    }

    async fn settle(&self, fence: Fence, attempt: AttemptId, ending: Ending) -> Settled {
        self.queue.settle(&[Settlement::of(attempt, fence, ending)]).await.unwrap().remove(0)
    }

    fn me(&self) -> Fence {
        Fence::Agent(self.agent)
    }

    /// Reports in a session, all in one transaction.
    async fn report(&self, session: u64, news: impl IntoIterator<Item = (AttemptId, News)>) -> Vec<Recorded> {
        let report = |(attempt, news)| Report { agent: self.agent, session, attempt, news };
        let reports: Vec<_> = news.into_iter().map(report).collect();
        self.queue.record(&reports).await.unwrap()
    }

    async fn advance(&self, attempt: AttemptId, event: AttemptEvent) {
        let news = News::Advanced { event, image_id: None };
        assert_eq!(self.report(1, [(attempt, news)]).await, [Recorded::Done(true)]);
    }

    async fn attempt_state(&self) -> AttemptState {
        self.queue.find_attempt(self.sweep, 0, 0).await.unwrap().unwrap().state
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.queue.pool).await.unwrap();
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.queue.pool).await.unwrap()
    }

    async fn job(&self) -> JobRow {
        let jobs = self.queue.jobs(self.sweep, &JobFilter::default(), None, 1).await;
        jobs.unwrap().remove(0)
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn fifty_submits_with_one_key_make_one_sweep(pool: PgPool) {
    let queue = queue(&pool);
    let order = submission("same", 20);
    let submits = (0..50).map(|_| queue.submit(&order, parameters(20)));
    let submitted = futures_util::future::join_all(submits).await;
    let ids: Vec<_> = submitted.into_iter().map(|one| one.unwrap()).collect();
    assert!(ids.iter().all(|one| one.id == ids[0].id && one.jobs == 20));
    assert_eq!(ids.iter().filter(|one| !one.existed).count(), 1);
    let count = queue.jobs(ids[0].id, &JobFilter::default(), None, 100).await.unwrap().len();
    assert_eq!(count, 20);

    let other = Submission { fingerprint: [8; 32], ..order };
    let refused = queue.submit(&other, parameters(20)).await;
    assert!(matches!(refused, Err(Error::KeyReused(_))), "{refused:?}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_job_is_leased_twice(pool: PgPool) {
    let bench = Bench::new(pool, 100).await;
    let claims = (0..20).map(|_| bench.claim(7, 1));
    let mut jobs: Vec<_> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    // What was passed over because another claim had it locked is left for the next.
    jobs.extend(bench.claim(100, 1).await);
    let mut numbers: Vec<_> = jobs.iter().map(|claimed| claimed.job).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert!(bench.claim(1, 1).await.is_empty());
}

/// Every way to end an attempt, in every state that an attempt can be in: the statements do what the model says.
#[sqlx::test(migrator = "MIGRATOR")]
async fn the_statements_make_the_models_moves_and_no_others(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let endings = [
        Ending::Published,
        Ending::Failed(Reason::Exit(3)),
        Ending::Lost,
        Ending::Preempted,
        Ending::Returned,
        Ending::Cancelled,
        Ending::Pruned("x < 0: x is -1".to_owned()),
    ];
    for state in AttemptState::ALL {
        for ending in &endings {
            bench.execute("truncate attempts, results, result_files, returns").await;
            bench
                .execute(
                    "update jobs set state = 'queued', finished_at = null, reason = null, reason_code = null,
                 metrics = null, failures = 0, losses = 0, attempts = 0, returned = 0, ready_at = now()",
                )
                .await;
            let attempt = bench.lease().await;
            let (before, reached) = drive(&bench, attempt, state).await;
            assert_eq!(before, state);
            let settled = bench.settle(bench.me(), attempt, ending.clone()).await;
            let row = bench.queue.find_attempt(bench.sweep, 0, 0).await.unwrap().unwrap();
            match state.next(ending.event()) {
                Ok(next) => {
                    assert_eq!(row.state, next, "{state} {ending:?}");
                    assert_eq!(settled, Settled::Now(bench.job().await.state));
                }
                Err(_) => {
                    assert_eq!(settled, Settled::Before(state), "{state} {ending:?}");
                    assert_eq!(row.state, state);
                    assert_eq!(bench.job().await.state, reached);
                }
            }
        }
    }
}

/// Brings a leased attempt into a state by the calls that agents and users make.
async fn drive(bench: &Bench, attempt: AttemptId, state: AttemptState) -> (AttemptState, JobState) {
    match state {
        AttemptState::Leased => {}
        AttemptState::Preparing => bench.advance(attempt, AttemptEvent::Prepares).await,
        AttemptState::Running => bench.advance(attempt, AttemptEvent::Runs).await,
        AttemptState::Publishing => bench.advance(attempt, AttemptEvent::Publishes).await,
        ended => {
            let ending = match ended {
                AttemptState::Succeeded => Ending::Published,
                AttemptState::Failed => Ending::Failed(Reason::Oom),
                AttemptState::Cancelled => Ending::Cancelled,
                AttemptState::Returned => Ending::Returned,
                _ => Ending::Lost,
            };
            bench.settle(Fence::None, attempt, ending).await;
        }
    }
    let row = bench.queue.find_attempt(bench.sweep, 0, 0).await.unwrap().unwrap();
    (row.state, bench.job().await.state)
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_attempt_never_goes_back(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    bench.advance(attempt, AttemptEvent::Publishes).await;
    // A report that is sent again is taken, and changes nothing.
    bench.advance(attempt, AttemptEvent::Runs).await;
    assert_eq!(bench.attempt_state().await, AttemptState::Publishing);
    bench.settle(bench.me(), attempt, Ending::Published).await;
    bench.advance(attempt, AttemptEvent::Runs).await;
    assert_eq!(bench.attempt_state().await, AttemptState::Succeeded);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn all_steps_of_an_attempt_can_come_in_one_transaction(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    let advanced = |event, image: Option<&str>| News::Advanced { event, image_id: image.map(str::to_owned) };
    let ended = || News::Ended {
        ending: Ending::Published,
        publication: Publication::default(),
        image_id: None,
        measured: Measured::default(),
        given: Box::default(),
        remark: String::new(),
    };
    let steps = [
        (attempt, advanced(AttemptEvent::Prepares, None)),
        (attempt, advanced(AttemptEvent::Runs, Some("sha256:1"))),
        (attempt, advanced(AttemptEvent::Publishes, None)),
        (attempt, ended()),
        (attempt, ended()),
    ];
    assert_eq!(bench.report(1, steps).await, [Recorded::Done(true); 5]);
    assert_eq!(bench.job().await.state, JobState::Succeeded);
    assert!(bench.job().await.started.is_some(), "that its container ran is kept");
    // The same once more: done before.
    assert_eq!(bench.report(1, [(attempt, ended())]).await, [Recorded::Done(true)]);
    let failed = News::Ended {
        ending: Ending::Failed(Reason::Exit(1)),
        publication: Publication::default(),
        image_id: None,
        measured: Measured::default(),
        given: Box::default(),
        remark: String::new(),
    };
    assert_eq!(bench.report(1, [(attempt, failed)]).await, [Recorded::Done(false)]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn cancel_and_completion_have_one_winner(pool: PgPool) {
    for first_cancels in [true, false] {
        let queue = queue(&pool);
        let key = format!("race {first_cancels}");
        let sweep = queue.submit(&submission(&key, 1), parameters(1)).await.unwrap().id;
        let bench = Bench { queue, sweep, agent: AgentId::random() };
        bench.hello(1).await.unwrap();
        let attempt = bench.lease().await;
        let cancel = bench.queue.cancel(sweep, &Chosen::All);
        let complete = bench.settle(bench.me(), attempt, Ending::Published);
        let (cancelled, completed) = match first_cancels {
            true => {
                let (cancelled, completed) = tokio::join!(cancel, complete);
                (cancelled.unwrap(), completed)
            }
            false => {
                let (completed, cancelled) = tokio::join!(complete, cancel);
                (cancelled.unwrap(), completed)
            }
        };
        let won = completed == Settled::Now(JobState::Succeeded);
        assert_eq!(cancelled.cancelled, u32::from(!won));
        assert_eq!(cancelled.ended, u32::from(won));
        let state = bench.job().await.state;
        assert_eq!(state, if won { JobState::Succeeded } else { JobState::Cancelled });
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_of_a_cancelled_sweep_comes_back(pool: PgPool) {
    let bench = Bench::new(pool, 3).await;
    let attempt = bench.lease().await;
    let cancelled = bench.queue.cancel(bench.sweep, &Chosen::All).await.unwrap();
    assert_eq!((cancelled.cancelled, cancelled.stopping), (3, 1));
    assert_eq!(
        bench.settle(bench.me(), attempt, Ending::Returned).await,
        Settled::Before(AttemptState::Cancelled)
    );
    assert!(bench.claim(3, 1).await.is_empty());
    let again = bench.queue.cancel(bench.sweep, &Chosen::All).await.unwrap();
    assert_eq!((again.cancelled, again.ended), (0, 3));
    let both = [JobState::Failed, JobState::Cancelled];
    assert_eq!(bench.queue.retry(bench.sweep, &Chosen::These(vec![1]), &both, &[]).await.unwrap(), 1);
    assert_eq!(bench.claim(3, 1).await.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_failure_keeps_its_reason_and_metrics_come_with_success_only(pool: PgPool) {
    let bench = Bench::new(pool, 2).await;
    let attempt = bench.lease().await;
    let reason = Reason::Image("no such image: \0 x".into());
    bench.settle(bench.me(), attempt, Ending::Failed(reason)).await;
    let job = bench.job().await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.reason, Some(Reason::Image("no such image: \u{fffd} x".into())));

    let attempt = bench.lease().await;
    let settlement = Settlement {
        publication: Publication {
            files: vec![
                published("a/b.pck", 3, Encoding::None, None),
                published("c", 1000, Encoding::Zstd, Some(20)),
            ],
            metrics: Some(r#"{"sharpe":1.5}"#.into()),
            returns: None,
        },
        ..Settlement::of(attempt, bench.me(), Ending::Published)
    };
    bench.queue.settle(&[settlement]).await.unwrap();
    let listed = bench.queue.unwritten(None, 10).await.unwrap();
    assert!(bench.queue.unwritten(listed.last(), 10).await.unwrap().is_empty());
    let places: Vec<_> = listed.iter().map(|unwritten| unwritten.result).collect();
    let (_, unwritten) = bench.queue.published_of(&places).await.unwrap().remove(0);
    let unwritten = unwritten.unwrap();
    assert_eq!(unwritten.files.len(), 2);
    assert_eq!((unwritten.files[1].stored_as().as_str(), unwritten.files[1].size_there()), ("c.zst", 20));
    let written = Documented {
        result: Place { sweep: bench.sweep, job: 1 },
        revision: unwritten.revision,
        parameters: None,
    };
    bench.queue.mark_written(&[written]).await.unwrap();
    assert!(bench.queue.unwritten(None, 10).await.unwrap().is_empty());
    let ranked = bench.queue.ranked(bench.sweep, "sharpe", false, 10).await.unwrap();
    assert_eq!(ranked.len(), 1);
    assert_eq!(ranked[0].number, 1);
    let outputs = bench.queue.outputs(bench.sweep, None, Some((1, "a/b.pck")), 10).await.unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].file, published("c", 1000, Encoding::Zstd, Some(20)));
    let wanted = [(0, "c"), (1, "none"), (1, "c"), (1, "a/b.pck"), (1, "c")];
    let found = bench.queue.published_files(bench.sweep, &wanted).await.unwrap();
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4]);
    let (_, file) = &found[0];
    assert_eq!((file.encoding, file.size), (Encoding::Zstd, 20));
    assert!(file.place.contains("/1/") && file.place.ends_with("c.zst"), "{}", file.place);
    assert!(found[1].1.place.contains("a/b.pck"), "{}", found[1].1.place);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_sweep_is_found_by_name_id_and_prefix(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let id = bench.sweep.to_string();
    for text in ["s", &id, &id.replace('-', ""), &id[..6], &id[..4].to_uppercase()] {
        assert_eq!(bench.queue.find_sweep(text).await.unwrap().id, bench.sweep, "{text}");
    }
    for text in ["t", &id[..3], "", "%", "____"] {
        let found = bench.queue.find_sweep(text).await;
        assert!(matches!(found, Err(Error::NoSweep(_))), "{text}: {found:?}");
    }
    let newer = bench.queue.submit(&submission("newer", 1), parameters(1)).await.unwrap();
    assert_eq!(bench.queue.find_sweep("s").await.unwrap().id, newer.id);
}
