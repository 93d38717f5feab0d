//! Who may watch, and for how long what happened is kept.

use bt_documents::Happening;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::events::{Error, Events, WATCHERS, Wanted};
use crate::queue::EventPlace;

#[sqlx::test(migrations = "../migrations")]
async fn no_more_may_watch_than_a_coordinator_has_places_for(pool: PgPool) {
    let events = Events::new(queue(&pool), CancellationToken::new());
    let mut watching = Vec::new();
    for _ in 0..WATCHERS {
        watching.push(events.watch(None, Wanted::default()).await.unwrap());
    }
    let refused = events.watch(None, Wanted::default()).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    watching.pop();
    events.watch(None, Wanted::default()).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn those_who_watch_are_told_that_the_coordinator_stops(pool: PgPool) {
    let shutdown = CancellationToken::new();
    let events = Events::new(queue(&pool), shutdown.clone());
    let mut watcher = events.watch(None, Wanted::default()).await.unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(events.run());
    shutdown.cancel();
    assert!(matches!(watcher.next().await, Err(Error::Stopping)));
    tasks.close();
    tasks.wait().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_watcher_that_is_behind_gets_all_and_one_that_is_too_late_hears_of_a_gap(pool: PgPool) {
    let queue = queue(&pool);
    let note = async |number: u32| {
        let body = format!(r#"{{"change": "queued", "name": "s{number}", "owner": "o"}}"#);
        let insert =
            "insert into events (kind, sweep_id, body) values ('sweep', gen_random_uuid(), $1::json)";
        sqlx::query(insert).bind(body).execute(&pool).await.unwrap();
    };
    note(0).await;
    // An event can be read once no older transaction is open, of other tests on the same server too.
    let first = loop {
        let newest = queue.newest_event().await.unwrap();
        if newest != EventPlace::default() {
            break newest;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    for number in 1..=700 {
        note(number).await;
    }
    let shutdown = CancellationToken::new();
    let events = Events::new(queue.clone(), shutdown.clone());
    let mut watcher = events.watch(Some(first), Wanted::default()).await.unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(events.clone().run());
    let mut names = Vec::new();
    while names.len() < 700 {
        for known in watcher.next().await.unwrap() {
            if let Happening::Sweep { name, .. } = &known.event.what {
                names.push(name.clone());
            }
        }
    }
    assert_eq!(names, (1..=700).map(|number| format!("s{number}")).collect::<Vec<_>>());
    sqlx::query("update events set at = at - interval '2 hours'").execute(&pool).await.unwrap();
    while queue.forget_events().await.unwrap() {}
    let kept: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 1, "the latest stays");
    let mut late = events.watch(Some(first), Wanted::default()).await.unwrap();
    assert_eq!(late.next().await.unwrap()[0].event.what, Happening::Gap);
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
}
