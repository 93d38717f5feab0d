//! What jobs returned: kept with their results, shared with those who reuse them, gone with them.

use bt_model::returns::{Returns, SeriesKind};

use super::*;

const DAY: i64 = 86_400;

fn settlement(bench: &Bench, attempt: AttemptId, returns: Option<Vec<(i64, f64)>>) -> Settlement {
    let returns = returns.map(|periods| Returns::of(SeriesKind::Returns, periods).unwrap().into());
    let publication = Publication { files: Vec::new(), metrics: Some(r#"{"sharpe":1}"#.into()), returns };
    Settlement { publication, ..Settlement::of(attempt, bench.me(), Ending::Published) }
}

/// Four jobs, of which two share a calendar, one has another and one reported nothing.
async fn judged(pool: PgPool) -> Bench {
    let bench = Bench::new(pool, 4).await;
    let claimed = bench.claim(4, 1).await;
    let reported = [
        Some(vec![(DAY, 0.5), (2 * DAY, f64::NAN)]),
        None,
        Some(vec![(DAY, -0.25), (2 * DAY, 0.125)]),
        Some(vec![(7 * DAY, 1.0)]),
    ];
    let settlements = claimed.iter().zip(reported);
    let settlements: Vec<_> =
        settlements.map(|(claimed, returns)| settlement(&bench, claimed.attempt, returns)).collect();
    bench.queue.settle(&settlements).await.unwrap();
    bench
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn they_are_read_as_they_were_reported(pool: PgPool) {
    let bench = judged(pool).await;
    let calendars = bench.queue.calendars(bench.sweep, 10).await.unwrap();
    let seen: Vec<_> = calendars.iter().map(|calendar| calendar.times.as_slice()).collect();
    assert_eq!(seen, [&[DAY, 2 * DAY][..], &[7 * DAY]], "that of most jobs first");
    let first = bench.queue.returns(bench.sweep, None, 3).await.unwrap();
    let jobs: Vec<_> = first.iter().map(|job| job.job).collect();
    assert_eq!(jobs, [0, 1, 2]);
    let (calendar, values) = first[0].returns.clone().unwrap();
    assert_eq!(calendar, calendars[0].id);
    assert!(values[0] == 0.5 && values[1].is_nan());
    assert!(first[1].returns.is_none());
    assert_eq!(first[2].returns, Some((calendars[0].id, vec![-0.25, 0.125])));
    let chosen = bench.queue.returns_of(bench.sweep, &[2, 1, 9]).await.unwrap();
    assert_eq!(chosen.keys().collect::<Vec<_>>(), [&2], "job 1 reported nothing, and there is no job 9");
    assert_eq!((chosen[&2].times(), chosen[&2].values()), (&[DAY, 2 * DAY][..], &[-0.25, 0.125][..]));
    let rest = bench.queue.returns(bench.sweep, Some(2), 3).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].returns, Some((calendars[1].id, vec![1.0])));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn they_stay_for_who_reuses_them_and_go_with_the_results(pool: PgPool) {
    let bench = judged(pool).await;
    let other = Submission { idempotency_key: "other".into(), ..submission("other", 4) };
    let other = bench.queue.submit(&other, parameters(4)).await.unwrap().id;
    // Job 2 of the other sweep takes the result of the first one's job 2.
    let taken = "insert into results (sweep_id, job, attempt_id, reused)
        select $1, job, attempt_id, true from results where sweep_id = $2 and job = 2";
    sqlx::query(taken).bind(other.uuid()).bind(bench.sweep.uuid()).execute(&bench.queue.pool).await.unwrap();
    let reused = bench.queue.returns(other, None, 9).await.unwrap();
    assert_eq!(reused[0].returns.as_ref().unwrap().1, [-0.25, 0.125]);
    assert_eq!(bench.queue.calendars(other, 9).await.unwrap().len(), 1);

    bench.queue.mark_collected(bench.sweep).await.unwrap();
    assert_eq!(bench.number("select count(*) from returns").await, 3, "its results are kept");
    sqlx::query("update sweeps set removed_at = now(), expired_at = now() where id = $1")
        .bind(bench.sweep.uuid())
        .execute(&bench.queue.pool)
        .await
        .unwrap();
    bench.queue.mark_collected(bench.sweep).await.unwrap();
    assert_eq!(bench.number("select count(*) from returns").await, 1, "the one that is reused");
    assert_eq!(bench.number("select count(*) from calendars").await, 1);
    assert_eq!(bench.queue.returns(other, None, 9).await.unwrap()[0].returns, reused[0].returns);
    bench.execute("update sweeps set removed_at = now(), expired_at = now()").await;
    bench.queue.mark_collected(bench.sweep).await.unwrap();
    assert_eq!(bench.number("select count(*) from returns").await, 0);
    assert_eq!(bench.number("select count(*) from calendars").await, 0);
}
