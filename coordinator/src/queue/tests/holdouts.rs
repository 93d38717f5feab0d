//! What a family's jobs see no data of: set once, the same for all of the family, with looks that are counted and never
//! forgotten.

use bt_model::manifest::Holdout;

use super::*;

fn holdout(from: &str, looks: u32) -> Holdout {
    Holdout { from: from.parse().unwrap(), looks, date: None, volumes: Some(vec!["prices".to_owned()]) }
}

fn asked(key: &str, held: Option<Holdout>, look: Option<&str>) -> Submission {
    let held_out = HeldOut { holdout: held, look: look.map(str::to_owned) };
    Submission { held_out, ..submission(key, 1) }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_first_sweep_sets_it_and_others_keep_to_it(pool: PgPool) {
    let queue = queue(&pool);
    let submit = async |order: &Submission| queue.submit(order, parameters(1)).await;
    let before = submit(&asked("before", None, None)).await.unwrap();
    assert_eq!(before.cut_before, None);
    let first = submit(&asked("first", Some(holdout("2012-01-01", 2)), None)).await.unwrap();
    assert_eq!((first.cut_before.as_deref(), first.look), (Some("2012-01-01"), None));
    let row = queue.holdout("averages").await.unwrap().unwrap();
    assert_eq!((row.holdout, row.spent), (holdout("2012-01-01", 2), 0));
    assert_eq!((row.sweep, row.owner.as_str()), (first.id, "ann"));
    submit(&asked("same", Some(holdout("2012-01-01", 2)), None)).await.unwrap();
    // Found before somebody else had set another one.
    for stale in [None, Some(holdout("2013-01-01", 2)), Some(holdout("2012-01-01", 9))] {
        let error = submit(&asked("stale", stale, None)).await.unwrap_err();
        assert!(
            error.to_string().contains("has got another holdout meanwhile, {from: 2012-01-01, looks: 2"),
            "{error}"
        );
    }
    assert_eq!(queue.find_submitted("stale", &[7; 32]).await.unwrap().map(|found| found.id), None);
    let cut: Vec<_> = queue
        .sweeps_of_family("averages", None, 9)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.cut_before)
        .collect();
    assert_eq!(cut.iter().flatten().count(), 2, "{cut:?}");
    let of_sweep = queue.sweep_details(first.id).await.unwrap().candidate;
    assert_eq!((of_sweep.is_cut, of_sweep.need().protocol), (true, 2));
    let other = Submission { family: "other".to_owned(), ..asked("other", None, None) };
    submit(&other).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn looks_are_spent_once_each_and_never_forgotten(pool: PgPool) {
    let queue = queue(&pool);
    let look = |key: &str| asked(key, Some(holdout("2012-01-01", 2)), Some("before it is traded"));
    let submit = async |order: &Submission| queue.submit(order, parameters(1)).await;
    let first = submit(&look("one")).await.unwrap();
    assert_eq!(first.look, Some(SpentLook { number: 1, of: 2 }));
    assert_eq!(first.cut_before, None, "it sees all data");
    let again = submit(&look("one")).await.unwrap();
    assert!(again.existed && again.id == first.id, "the same submit");
    assert_eq!(again.look, first.look);
    // Two at once for the last one.
    let (two, three) = (look("two"), look("three"));
    let (two, three) = tokio::join!(submit(&two), submit(&three));
    let error = [&two, &three].into_iter().find_map(|done| done.as_ref().err()).expect("one look was left");
    assert!(error.to_string().contains("has no look left: 2 of 2 are spent"), "{error}");
    assert!(two.is_ok() || three.is_ok());
    let again = submit(&look("one")).await.unwrap();
    assert!(again.existed, "a repeated submit needs none");
    let sweep = queue.sweep(first.id).await.unwrap().unwrap();
    assert_eq!(sweep.look, Some(SpentLook { number: 1, of: 2 }));

    sqlx::query("update sweeps set removed_at = now(), expired_at = now() where id = $1")
        .bind(first.id.uuid())
        .execute(&queue.pool)
        .await
        .unwrap();
    queue.mark_collected(first.id).await.unwrap();
    let looks = queue.looks("averages").await.unwrap();
    let seen: Vec<_> = looks
        .iter()
        .map(|look| (look.number, look.owner.as_str(), look.why.as_str(), look.removed))
        .collect();
    assert_eq!(seen, [(1, "ann", "before it is traded", true), (2, "ann", "before it is traded", false)]);
    assert!(submit(&look("four")).await.is_err(), "a removed sweep gives no look back");
    let none = asked("none", Some(holdout("2012-01-01", 0)), Some("why"));
    let none = Submission { family: "none".to_owned(), ..none };
    let error = submit(&none).await.unwrap_err().to_string();
    assert!(error.contains("0 of 0 are spent"), "{error}");
    assert!(queue.holdout("none").await.unwrap().is_none(), "nothing of it is queued");
}
