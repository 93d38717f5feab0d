//! A group of machines that boot for 90 s, under bursts of jobs: what the rule costs against the least possible, against a rule
//! that counts queued jobs as KEDA's usual scalers do, and against machines that always run.

use std::collections::VecDeque;

use super::*;

const BOOT: f64 = 90.0;
/// How often the group is set.
const LOOK: f64 = 15.0;
const SLOTS: usize = 4;
/// Machines that the group has at most.
const MOST: usize = 60;
const WITHIN: Duration = Duration::from_secs(1_800);
const HOLD: Duration = Duration::from_secs(60);

struct Machine {
    launched: f64,
    /// When each of its slots is free.
    busy_until: [f64; SLOTS],
}

impl Machine {
    fn is_idle(&self, now: f64) -> bool {
        self.busy_until.iter().all(|until| *until <= now)
    }
}

#[derive(Debug, Default)]
struct Outcome {
    done: usize,
    machine_seconds: f64,
    /// How often the group grew after it had shrunk, or shrank after it had grown.
    turns: u32,
    last_end: f64,
}

/// Runs the bursts (when, jobs, seconds of each) with a rule that says how many machines there should be.
fn run(
    bursts: &[(f64, usize, f64)],
    mut rule: impl FnMut(f64, &VecDeque<f64>, &[Machine], Option<f64>) -> usize,
) -> Outcome {
    let (mut queue, mut machines, mut outcome) = (VecDeque::new(), Vec::<Machine>::new(), Outcome::default());
    let (mut bursts, mut grew, mut known) = (bursts.iter().peekable(), None, None);
    let mut now = 0.0;
    while now < 8.0 * 3_600.0 {
        while let Some((_, jobs, seconds)) = bursts.next_if(|(at, ..)| *at <= now) {
            queue.extend(std::iter::repeat_n(*seconds, *jobs));
        }
        for machine in machines.iter_mut().filter(|machine| machine.launched + BOOT <= now) {
            for slot in &mut machine.busy_until {
                // A slot takes one job after the other between two looks.
                *slot = slot.max(now);
                while *slot < now + 1.0
                    && let Some(seconds) = queue.pop_front()
                {
                    *slot += seconds;
                    outcome.last_end = outcome.last_end.max(*slot);
                    outcome.done += 1;
                    known = Some(seconds);
                }
            }
        }
        if now % LOOK == 0.0 {
            let wanted = rule(now, &queue, &machines, known).min(MOST);
            let before = machines.len();
            while machines.len() < wanted {
                machines.push(Machine { launched: now, busy_until: [0.0; SLOTS] });
            }
            // Only idle ones go, those that boot among them.
            let mut surplus = machines.len().saturating_sub(wanted);
            machines.retain(|machine| {
                let goes = surplus > 0 && machine.is_idle(now);
                surplus -= usize::from(goes);
                !goes
            });
            if machines.len() != before {
                let grows = machines.len() > before;
                outcome.turns += u32::from(grew.is_some_and(|grew| grew != grows));
                grew = Some(grows);
            }
        }
        outcome.machine_seconds += machines.len() as f64;
        now += 1.0;
    }
    outcome
}

fn running(machines: &[Machine], now: f64) -> u64 {
    machines.iter().flat_map(|machine| machine.busy_until).filter(|until| *until > now).count() as u64
}

#[test]
fn bursts_cost_little_more_than_their_work_and_the_group_does_not_swing() {
    let bursts = [(60.0, 2_400, 60.0), (7_200.0, 1_200, 90.0), (18_000.0, 3_600, 45.0)];
    let jobs: usize = bursts.iter().map(|(_, jobs, _)| jobs).sum();
    let work: f64 = bursts.iter().map(|(_, jobs, seconds)| *jobs as f64 * seconds).sum();
    // Whoever knew all beforehand: each burst on the machines that do it in time, which boot once and end at once.
    let boots: f64 = bursts
        .iter()
        .map(|(_, jobs, seconds)| {
            (*jobs as f64 * seconds / WITHIN.as_secs_f64() / SLOTS as f64).ceil() * BOOT
        })
        .sum();
    let least = work / SLOTS as f64 + boots;

    let kind = AgentKind {
        size: Resources {
            cpu_millis: 1_000 * SLOTS as u64,
            memory_bytes: 1,
            gpus: 0,
            disk_bytes: 0,
            jobs: 100,
        },
        labels: BTreeMap::new(),
    };
    let mut recent = Recent::default();
    let ours = run(&bursts, |now, queue, machines, seconds| {
        let wants = Wants {
            sweep: "burst".to_owned(),
            need: Resources { cpu_millis: 1_000, ..Resources::default() },
            labels: BTreeMap::new(),
            queued: queue.len() as u64,
            running: running(machines, now),
            seconds,
            at_once: None,
        };
        recent.settle(now, kind.demand(&[wants], WITHIN).agents, HOLD) as usize
    });
    // One machine for each four jobs that wait, with KEDA's cooldown of five minutes.
    let mut recent = Recent::default();
    let by_length = run(&bursts, |now, queue, _, _| {
        recent.settle(now, (queue.len().div_ceil(SLOTS)).min(MOST) as u32, Duration::from_secs(300)) as usize
    });
    let fixed = run(&bursts, |_, _, _, _| 20);

    let ratio = |outcome: &Outcome| outcome.machine_seconds / least;
    // The figures that docs/SCALING.md has.
    let figures = [&ours, &by_length, &fixed].map(|outcome| format!("{:.2}", ratio(outcome)));
    assert_eq!(figures, ["1.06", "1.49", "5.30"]);
    for outcome in [&ours, &by_length, &fixed] {
        assert_eq!(outcome.done, jobs);
    }
    assert!(ratio(&ours) <= 1.15, "{ours:?}, the least is {least}");
    // It grows and shrinks once for each burst, and turns between them; the first machine only looks how long jobs take.
    assert!(ours.turns <= 2 * bursts.len() as u32, "{ours:?}");
}
