use bt_documents::SweepReport;
use bt_model::reason::Reason;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::progress::standing::Best;

fn standing() -> Standing {
    let counts = v1::Counts { queued: 70, running: 8, succeeded: 20, failed: 2, cancelled: 0, pruned: 0 };
    let sweep = v1::Sweep {
        name: "sma-cross".to_owned(),
        newest: true,
        counts: Some(counts),
        created: Some(bt_proto::convert::timestamp(Timestamp::now())),
        ..v1::Sweep::default()
    };
    let failures = vec![v1::Failures { reason: Some((&Reason::Exit(1)).into()), jobs: 2, first_job: 5 }];
    let shown = v1::ShowSweepReply { sweep: Some(sweep), failures, ..v1::ShowSweepReply::default() };
    let mut standing = Standing::first(SweepReport::try_from(shown).unwrap());
    standing.running = (30..38)
        .map(|number| v1::Job {
            number,
            agent: "node\u{1b}[31m".to_owned(),
            note: "pulls\nthe image".to_owned(),
            ..v1::Job::default()
        })
        .collect();
    standing.best = Some(Best {
        metric: "sharpe".to_owned(),
        value: "1.23456789".to_owned(),
        job: 7,
        parameters: "fast=5, slow=20".to_owned(),
    });
    standing
}

fn texts(standing: &Standing, width: usize) -> Vec<String> {
    picture(standing, width).iter().map(ToString::to_string).collect()
}

#[test]
fn it_says_how_the_sweep_stands() {
    let mut standing = standing();
    let lines = texts(&standing, 80);
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(lines[0].starts_with("sma-cross  running  "), "{lines:#?}");
    assert!(lines[1].starts_with("████████████xx▒▒▒▒▒░░") || lines[1].contains("  22 %"), "{lines:#?}");
    assert_eq!(lines[2], "22/100 finished  20 succeeded  2 failed  8 running  70 queued");
    assert!(has("running  job 30  node␛[31m  starting  pulls the image"), "{lines:#?}");
    assert!(has("         and 3 more") && has("failed   2 exit(1): btctl logs sma-cross/5"), "{lines:#?}");
    assert!(has("best     sharpe 1.23457 by job 7: fast=5, slow=20"), "{lines:#?}");
    assert!(!has("away"), "{lines:#?}");
    standing.away = Some(Timestamp::now());
    assert!(texts(&standing, 80).iter().any(|line| line.starts_with("coordinator away since ")));
}

#[test]
fn bars_and_counts_fit_any_width() {
    for width in 8..=200 {
        let lines = texts(&standing(), width);
        assert!(lines[1].width() <= width.max(8), "{width}: {:?}", lines[1]);
        let counts = lines[2..].iter().take_while(|line| !line.starts_with("running  job"));
        assert!(counts.clone().all(|line| line.width() <= width.max(15)), "{width}: {lines:#?}");
    }
}

#[test]
fn whatever_there_is_has_a_share_of_the_bar() {
    assert_eq!(shares([0; 6], 10), [0; 6]);
    assert_eq!(shares([100_000, 1, 0, 1, 0, 1], 10), [7, 1, 0, 1, 0, 1]);
    assert_eq!(shares([1; 6], 3).iter().sum::<usize>(), 3);
    assert_eq!(shares([3, 0, 0, 0, 0, 7], 60), [18, 0, 0, 0, 0, 42]);
    let almost = v1::Counts { queued: 1, succeeded: 9999, ..v1::Counts::default() };
    assert!(bar(&almost, 40).to_string().ends_with("░  99 %"));
}
