//! Copies of volumes on a machine: made once, removed when others need the room and nobody uses them, and never a half.

use std::time::Instant;

use bt_model::id::AgentId;

use super::*;
use crate::config::{EngineKind, Options};
use crate::site::identity::Identity;
use crate::site::offer::Offer;

struct Bench {
    site: Site,
    cuts: Cuts,
    place: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let options =
            Options { engine: EngineKind::Simulated, disk_reserve: Some("0".to_owned()), ..Options::unset() };
        let offer = Offer::read(&options, &bt_engine::machine::detect(), 1 << 40).unwrap();
        let engine = options.find_engine().await.unwrap();
        let state = StateDir::open(&place.path().join("state")).unwrap();
        let identity = Identity::of(AgentId::random());
        let site = Site::new(options, identity, offer, (engine, "simulated".to_owned()), state).unwrap();
        Self { cuts: Cuts::new(&site.state), site, place }
    }

    /// A volume with a table, of which so many bytes are to be seen.
    fn volume(&self, name: &str, bytes: usize) -> PathBuf {
        let root = self.place.path().join(name);
        fs::create_dir_all(&root).unwrap();
        let row = "2011-01-01,kept\n";
        let text = format!("date,a\n{}2012-01-01,SENTINEL\n", row.repeat(bytes / row.len()));
        fs::write(root.join("a.csv"), text).unwrap();
        root
    }

    async fn copy(&self, root: &Path) -> Result<CutCopy, String> {
        let holdout = Holdout { from: "2012-01-01".parse().unwrap(), looks: 0, date: None, volumes: None };
        let wanted = Wanted { volume: "prices", root, holdout: &holdout };
        self.cuts.copy_of(&self.site, &wanted, &|_| {}).await.map_err(|error| error.to_string())
    }

    /// All that lies where copies are.
    fn entries(&self) -> usize {
        fs::read_dir(&self.cuts.dir).map_or(0, Iterator::count)
    }
}

#[tokio::test]
async fn two_at_once_make_one_and_later_ones_find_it() {
    let bench = Bench::new().await;
    let root = bench.volume("p", 1_000);
    let (one, two) = tokio::join!(bench.copy(&root), bench.copy(&root));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((&one.path, bench.entries()), (&two.path, 1));
    let kept = fs::read_to_string(one.path.join("a.csv")).unwrap();
    assert!(kept.contains("kept") && !kept.contains("SENTINEL"));
    let began = Instant::now();
    assert_eq!(bench.copy(&root).await.unwrap().path, one.path);
    assert!(began.elapsed() < SETTLES, "it is there already");
    // Another content is another copy, and the first stays for those who use it.
    bench.volume("p", 2_000);
    let other = bench.copy(&root).await.unwrap();
    assert!(other.path != one.path && bench.entries() == 2);
    // Who gives up while it is made leaves it to be made.
    let more = bench.volume("q", 500);
    assert!(
        tokio::time::timeout(SETTLES + Duration::from_millis(20), bench.copy(&more)).await.is_err()
            || bench.entries() == 3
    );
    bench.copy(&more).await.unwrap();
    assert_eq!(bench.entries(), 3);
}

#[tokio::test]
async fn the_one_used_longest_ago_goes_unless_somebody_uses_it() {
    let mut bench = Bench::new().await;
    bench.cuts.most = 2_500;
    let roots = ["a", "b", "c", "d"].map(|name| bench.volume(name, 1_000));
    let first = bench.copy(&roots[0]).await.unwrap();
    let second = bench.copy(&roots[1]).await.unwrap().path.clone();
    let third = bench.copy(&roots[2]).await.unwrap().path.clone();
    assert!(first.path.exists() && !second.exists() && third.exists(), "the first is in use");
    let kept = first.path.clone();
    drop(first);
    bench.copy(&roots[3]).await.unwrap();
    assert!(!kept.exists() && third.exists(), "it is in use no more");
    assert_eq!(bench.entries(), 2);
}

#[tokio::test]
async fn without_room_nothing_is_left_and_the_agent_says_so() {
    let mut bench = Bench::new().await;
    let root = bench.volume("p", 10_000);
    bench.cuts.most = 5_000;
    let error = bench.copy(&root).await.unwrap_err();
    assert!(
        error.starts_with("has no room for a copy of the volume prices that is cut before 2012-01-01"),
        "{error}"
    );
    assert_eq!(bench.entries(), 0);
    bench.cuts.most = 50_000;
    bench.copy(&root).await.unwrap();
}

#[tokio::test]
async fn what_an_earlier_run_left_half_made_is_not_used() {
    let mut bench = Bench::new().await;
    let root = bench.volume("p", 1_000);
    let path = bench.copy(&root).await.unwrap().path.clone();
    let place = path.parent().unwrap().to_owned();
    fs::write(place.join("facts.json"), "{").unwrap();
    fs::remove_file(path.join("a.csv")).unwrap();
    fs::create_dir(bench.cuts.dir.join(".half")).unwrap();
    bench.cuts = Cuts::new(&bench.site.state);
    assert_eq!(bench.entries(), 1, "the half is gone");
    let again = bench.copy(&root).await.unwrap();
    assert!(again.path == path && path.join("a.csv").exists(), "it is made again");
}

#[tokio::test]
async fn a_fault_of_the_data_is_remembered_and_leaves_nothing() {
    let bench = Bench::new().await;
    let root = bench.volume("p", 1_000);
    fs::write(root.join("b.csv"), "open,close\n1,2\n").unwrap();
    for _ in 0..2 {
        let error = bench.copy(&root).await.unwrap_err();
        assert!(
            error.starts_with("volume prices: b.csv can't be cut before 2012-01-01 (`holdout`): "),
            "{error}"
        );
        assert_eq!(bench.entries(), 0);
    }
    fs::remove_file(root.join("b.csv")).unwrap();
    bench.copy(&root).await.unwrap();
    // A volume that is one file.
    let file = root.join("a.csv");
    assert!(bench.copy(&file).await.unwrap().path.is_file());
    fs::write(root.join("limits.yaml"), "a: 1").unwrap();
    let error = bench.copy(&root.join("limits.yaml")).await.unwrap_err();
    assert!(error.contains("it is the whole volume, and neither a CSV nor a Parquet file"), "{error}");
}
