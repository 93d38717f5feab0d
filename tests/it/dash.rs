//! The dashboard, on a real terminal: its pages, its keys, and how it leaves the terminal.

use bt_tests::{Cluster, Options, Terminal};

#[track_caller]
fn assert_restored(dash: &Terminal) {
    assert!(!dash.is_full_screen() && !dash.hides_cursor() && !dash.is_raw());
}

#[test]
fn all_pages_are_reached_by_keys() {
    let cluster = Cluster::start();
    let script = "printf 'hello \\033[31m%s\\n' {{ fast }}; echo '{\"sharpe\": {{ fast }}.{{ slow }}, \"trades\": {{ slow }}}' \
                  > /results/metrics.json";
    let sweep = cluster.submit(&["--name", "seen", "--matrix", "fast=1,2", "--matrix", "slow=30,40"], script);
    cluster.wait_ended(&sweep);
    let mut dash = cluster.terminal(&["dash"], 80, 24);
    dash.wait_until("the sweep", |screen| screen.contains("seen") && screen.contains("4/4"));
    assert!(dash.is_full_screen() && dash.is_raw());
    dash.type_keys("\r");
    dash.wait_until("the best jobs and the map", |screen| {
        let has = |text: &str| screen.contains(text);
        has("best jobs by sharpe") && has("3    2.4") && has("sharpe over") && has(" succeeded, 0 failed")
    });
    dash.type_keys("m");
    dash.wait_for("best jobs by trades");
    dash.type_keys("f");
    dash.wait_for("no job has failed");
    dash.type_keys("bM");
    dash.wait_for("best jobs by sharpe");
    dash.wait_for("3    2.4");
    for (columns, rows) in [(40, 12), (10, 5), (200, 50), (80, 24)] {
        dash.resize(columns, rows);
        // Narrow ones show either.
        dash.wait_until("another size", |screen| {
            screen.contains("btctl  swe") && (columns < 76 || screen.contains("sharpe over"))
        });
    }
    dash.type_keys("\r");
    dash.wait_for("hello \u{241b}[31m2");
    dash.wait_for("the log ends here");
    dash.type_keys("\u{1b}");
    dash.wait_for("best jobs by sharpe");
    dash.type_keys("?");
    dash.wait_for("this help");
    dash.type_keys("xa");
    dash.wait_until("the agents", |screen| screen.contains("agent  ready") && screen.contains("0 of 2"));
    dash.type_keys("q");
    assert_eq!(dash.wait(), 0);
    assert_restored(&dash);
}

#[test]
fn a_log_is_followed_as_it_grows() {
    let cluster = Cluster::start();
    let sweep =
        cluster.submit(&bt_tests::GATE, &format!("echo begun; {}; echo done", bt_tests::WAIT_AT_GATE));
    let mut dash = cluster.terminal(&["dash", &sweep], 80, 24);
    dash.type_keys("r");
    dash.wait_until("the job", |screen| screen.contains("running jobs") && screen.contains("\n0    agent "));
    dash.type_keys("\r");
    dash.wait_for("begun");
    assert!(!dash.screen().contains("done"));
    cluster.open_gate();
    dash.wait_for("the log ends here");
    assert!(dash.screen().contains("begun\ndone\nthe log ends here"), "{}", dash.screen());
}

#[test]
fn the_terminal_is_as_it_was_however_it_ends() {
    let cluster = Cluster::without_agent(Options::default());
    let mut dash = cluster.terminal(&["dash"], 80, 24);
    dash.wait_for("there are no sweeps yet");
    dash.type_keys("\u{3}");
    assert_eq!(dash.wait(), 130);
    assert_restored(&dash);
    for signal in ["TERM", "INT", "HUP"] {
        let mut dash = cluster.terminal(&["dash"], 80, 24);
        dash.wait_for("there are no sweeps yet");
        dash.signal(signal);
        assert_eq!(dash.wait(), 130, "{signal}");
        assert_restored(&dash);
    }
    let piped = cluster.run(&["dash"]);
    assert!(piped.code == 2 && piped.stderr.contains("draws on a terminal"), "{piped:?}");
    let mut wrong = cluster.terminal(&["dash", "nosuch"], 80, 24);
    assert_eq!(wrong.wait(), 3);
    assert!(wrong.screen().contains("nosuch"), "{}", wrong.screen());
    assert_restored(&wrong);
}

#[test]
fn a_coordinator_that_is_away_is_seen_and_waited_for() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.submit_simulated(&["--name", "kept", "--matrix", "n=1:3"]);
    let mut dash = cluster.terminal(&["dash"], 80, 24);
    dash.wait_for("kept");
    cluster.coordinator().kill();
    dash.wait_for("coordinator away since ");
    assert!(dash.screen().contains("kept"), "what was known stays: {}", dash.screen());
    cluster.start_coordinator();
    dash.wait_until("it is back", |screen| screen.contains("kept") && !screen.contains("away"));
    cluster.submit_simulated(&["--name", "later"]);
    dash.wait_for("later");
    dash.type_keys("q");
    assert_eq!(dash.wait(), 0);
}
