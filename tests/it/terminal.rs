//! What people see on a terminal: a sweep that is watched, redrawn in place.

use bt_tests::{Cluster, Options};

/// How often a text is on the screen.
fn count(screen: &str, text: &str) -> usize {
    screen.matches(text).count()
}

#[test]
fn a_sweep_is_watched_in_place_to_its_end() {
    let cluster = Cluster::start();
    let script = "[ {{ n }} != 1 ] || exit 3; echo '{\"sharpe\": {{ n }}.5}' > /results/metrics.json";
    let sweep = cluster.submit_waiting(&["--name", "seen", "--matrix", "n=0,1,2"], script);
    let mut watch = cluster.terminal(&["watch", "seen"], 80, 24);
    watch.wait_for("0/3 finished  0 succeeded  0 failed  ");
    watch.wait_for("running  job 0  agent  ");
    for (columns, rows) in [(40, 24), (10, 24), (200, 50), (80, 5)] {
        watch.resize(columns, rows);
        let width = usize::from(columns);
        watch.wait_until("what fits", |screen| {
            let fits = screen.lines().all(|line| line.chars().count() <= width);
            fits && count(screen, "seen  ru") == 1 && count(screen, " 0 %") == 1
        });
    }
    watch.resize(80, 24);
    cluster.open_gate();
    assert_eq!(watch.wait(), 1);
    let screen = watch.screen();
    assert!(
        screen.contains("sweep seen finished in ") && screen.contains(": 2 succeeded, 1 failed"),
        "{screen}"
    );
    assert!(screen.contains("1: exit(3); see btctl logs seen/1"), "{screen}");
    assert!(screen.contains("best: sharpe 2.5 by job 2: n=2"), "{screen}");
    assert!(!screen.contains("% ") && !screen.contains("0/3 finished"), "the picture is gone: {screen}");
    assert_eq!(cluster.count(&sweep, "succeeded"), 2);
}

#[test]
fn ctrl_c_leaves_the_sweep_running_and_says_how_to_go_on() {
    let cluster = Cluster::start();
    let sweep = cluster.submit_waiting(&["--name", "left"], "true");
    for command in ["watch", "wait"] {
        let mut watch = cluster.terminal(&[command, "left"], 80, 24);
        watch.wait_for("0/1 finished");
        watch.type_keys("\u{3}");
        assert_eq!(watch.wait(), 130);
        watch.wait_for(&format!("the sweep goes on: btctl {command} left shows its progress again"));
        assert!(!watch.is_raw() && !watch.hides_cursor());
    }
    cluster.wait_count(&sweep, "running", 1);
    let mut watch = cluster.terminal(&["watch", &sweep[..8]], 80, 24);
    watch.wait_for("0/1 finished");
    cluster.open_gate();
    assert_eq!(watch.wait(), 0);
    assert!(watch.screen().contains(": 1 succeeded"), "{}", watch.screen());
}

#[test]
fn a_coordinator_that_goes_and_comes_back_ends_no_watching() {
    let mut cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&["--name", "kept", "--matrix", "n=1:3"]);
    let mut watch = cluster.terminal(&["watch", "kept"], 80, 24);
    let mut plain = cluster.spawn("plain", &["watch", "kept"]);
    watch.wait_for("0/3 finished");
    bt_tests::wait_until("a line is printed", || plain.log().contains("0/3 finished").then_some(()));
    cluster.coordinator().kill();
    watch.wait_for("coordinator away since ");
    bt_tests::wait_until("it is said", || plain.log().contains("coordinator away since ").then_some(()));
    assert!(watch.screen().contains("0/3 finished"), "what was known stays: {}", watch.screen());
    cluster.start_coordinator();
    watch.wait_until("it is back", |screen| screen.contains("0/3") && !screen.contains("away"));
    bt_tests::wait_until("it is said", || plain.log().contains("the coordinator is back\n").then_some(()));
    cluster.ok(&["cancel", &sweep]);
    assert_eq!((watch.wait(), plain.wait()), (1, 1));
    assert!(watch.screen().contains("3 were cancelled"), "{}", watch.screen());
    let log = plain.log();
    assert!(log.contains("3 were cancelled") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn a_ranking_is_drawn_again_until_the_sweep_has_finished() {
    let cluster = Cluster::start();
    let script = "echo '{\"sharpe\": {{ n }}.5}' > /results/metrics.json";
    let sweep = cluster.submit(&["--name", "ranked", "--matrix", "n=1", "--matrix", "fee=7"], script);
    cluster.wait_ended(&sweep);
    let held = "[ {{ n }} = 2 ] || until [ -e /gate/open ]; do sleep 0.1; done; ".to_owned() + script;
    let flags =
        [&bt_tests::GATE[..], &["--name", "ranking", "--matrix", "n=1,2,3", "--matrix", "fee=7"]].concat();
    cluster.submit(&flags, &held);
    let mut top = cluster.terminal(&["top", "ranking", "--by", "sharpe", "-w"], 80, 24);
    top.wait_until("the first result", |screen| {
        screen.contains("  33 %") && screen.contains("  1     2.5  succeeded")
    });
    let mut left = cluster.terminal(&["show", "ranking", "-w"], 80, 24);
    left.wait_for("1 succeeded");
    left.type_keys("\u{3}");
    assert_eq!(left.wait(), 130);
    assert!(!left.screen().contains('␛'), "{}", left.screen());
    cluster.open_gate();
    assert_eq!(top.wait(), 0);
    let screen = top.screen();
    let rows: Vec<_> = screen.lines().filter(|line| line.contains("succeeded")).collect();
    assert!(rows.len() == 3 && rows[0].trim_start().starts_with("2     3.5"), "{screen}");
    assert!(!screen.contains(" %"), "{screen}");
    let piped = cluster.run(&["top", "ranking", "--by", "sharpe", "-w"]);
    assert!(piped.code == 2 && piped.stderr.contains("terminal"), "{piped:?}");
    let wrong = cluster.terminal(&["top", "ranked", "--by", "sharp", "-w"], 80, 24).wait();
    assert_eq!(wrong, cluster.run(&["top", "ranked", "--by", "sharp"]).code);
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest() {
    let cluster = Cluster::without_agent(Options::default());
    cluster.submit_simulated(&["--name", "momentum"]);
    let wrong = cluster.run(&["watch", "momentun"]);
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(wrong.stderr.contains("momentum") && wrong.stdout.is_empty(), "{wrong:?}");
}
