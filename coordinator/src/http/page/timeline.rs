//! A job's attempts as bars over time: how long each waited, was prepared, ran, and sent its outputs.

use bt_documents::Attempt;
use bt_model::span;
use bt_model::state::AttemptState;
use jiff::Timestamp;

use super::plot::{LEFT, Mark, WIDTH, round};
use super::since;

/// Attempts that are drawn: the last ones.
const SHOWN: usize = 20;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const ABOVE: f64 = 6.0;
/// Room for a state's name behind a bar.
const RIGHT: f64 = 84.0;
/// What the wait before the first attempt takes of the picture at most, as a part of all that follows.
const WAIT: f64 = 0.4;

pub(super) struct Timeline {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) bottom: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) times: Vec<Mark>,
    /// How long it waited, where that does not fit into the picture.
    pub(super) cut: Option<String>,
}

pub(super) struct Bar {
    pub(super) number: u32,
    pub(super) top: f64,
    /// Where the attempt's number and its state are written.
    pub(super) text: f64,
    pub(super) end: f64,
    pub(super) state: &'static str,
    pub(super) phases: Vec<Phase>,
}

pub(super) struct Phase {
    /// queued, pulling, running or publishing.
    pub(super) name: &'static str,
    pub(super) from: f64,
    pub(super) width: f64,
    /// `attempt 2 on node7: running for 5m 3s`
    pub(super) about: String,
}

/// How long an attempt was at what.
pub(super) struct Spans {
    pub(super) queued: Option<(Timestamp, Timestamp)>,
    pub(super) pulling: Option<(Timestamp, Timestamp)>,
    pub(super) running: Option<(Timestamp, Timestamp)>,
    pub(super) publishing: Option<(Timestamp, Timestamp)>,
}

impl Spans {
    /// Of an attempt whose job could be given to an agent from then on.
    pub(super) fn of(attempt: &Attempt, ready: Option<Timestamp>, now: Timestamp) -> Self {
        let end = attempt.ended.unwrap_or(now);
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| {
            let (from, to) = (from?, to.unwrap_or(end).min(end));
            (from < to).then_some((from, to))
        };
        Self {
            queued: between(ready, attempt.leased),
            pulling: between(attempt.leased, attempt.started.or(attempt.stopped)),
            running: between(attempt.started, attempt.stopped),
            publishing: between(attempt.stopped, None),
        }
    }

    fn all(&self) -> [(&'static str, Option<(Timestamp, Timestamp)>); 4] {
        [
            ("queued", self.queued),
            ("pulling", self.pulling),
            ("running", self.running),
            ("publishing", self.publishing),
        ]
    }
}

/// When the job could be given to an agent before each of its attempts.
pub(super) fn ready(attempts: &[Attempt], submitted: Option<Timestamp>) -> Vec<Option<Timestamp>> {
    let before = attempts.iter().map(|attempt| attempt.ended);
    std::iter::once(submitted).chain(before).take(attempts.len()).collect()
}

impl Timeline {
    /// None without an attempt.
    pub(super) fn of(attempts: &[Attempt], submitted: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let ready = ready(attempts, submitted);
        let left_out = attempts.len().saturating_sub(SHOWN);
        let (attempts, ready) = (&attempts[left_out..], &ready[left_out..]);
        let first = attempts.first()?.leased?;
        let end = attempts.iter().map(|attempt| attempt.ended.unwrap_or(now)).max()?;
        let work = end.duration_since(first).as_secs_f64().max(0.001);
        let waited = ready[0].map_or(0.0, |ready| first.duration_since(ready).as_secs_f64().max(0.0));
        let cut = (waited > WAIT * work).then(|| span::of_seconds(waited));
        let shown_wait = waited.min(WAIT * work);
        let whole = shown_wait + work;
        // Seconds from the picture's left edge, which is zero.
        let at = |time: Timestamp| (time.duration_since(first).as_secs_f64() + shown_wait).clamp(0.0, whole);
        let across = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / whole;
        let bars = attempts.iter().zip(ready).enumerate().map(|(row, (attempt, ready))| {
            let top = ABOVE + ROW * row as f64;
            let phases = Spans::of(attempt, *ready, now).all().into_iter().filter_map(|(name, span)| {
                let (from, to) = span?;
                let (left, right) = (across(at(from)), across(at(to)));
                Some(Phase {
                    name,
                    from: left,
                    // What was so short is still seen.
                    width: (right - left).max(1.0),
                    about: format!(
                        "attempt {} on {}: {name} for {}",
                        attempt.attempt,
                        attempt.agent,
                        since(from, to)
                    ),
                })
            });
            Bar {
                number: attempt.attempt,
                top,
                text: top + BAR - 4.0,
                end: across(at(attempt.ended.unwrap_or(now))) + 6.0,
                state: attempt.state.name(),
                phases: phases.collect(),
            }
        });
        let bars: Vec<_> = bars.collect();
        let bottom = ABOVE + ROW * bars.len() as f64;
        // Where the wait is cut, times count from the first lease.
        let from = if cut.is_some() { shown_wait } else { 0.0 };
        let times = round(0.0, whole - from).into_iter();
        let times = times.map(|seconds| Mark { at: across(seconds + from), text: span::of_seconds(seconds) });
        Some(Self { width: WIDTH, height: bottom + 22.0, bottom, bars, times: times.collect(), cut })
    }
}

/// How long, in words; empty where it is not known.
pub(super) fn length(span: Option<(Timestamp, Timestamp)>) -> String {
    span.map_or_else(String::new, |(from, to)| since(from, to))
}

/// Whether an attempt goes on.
pub(super) fn is_live(attempts: &[Attempt]) -> bool {
    let live =
        [AttemptState::Leased, AttemptState::Preparing, AttemptState::Running, AttemptState::Publishing];
    attempts.iter().any(|attempt| live.contains(&attempt.state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32, state: AttemptState, times: [Option<i64>; 4]) -> Attempt {
        let [leased, started, stopped, ended] =
            times.map(|time| time.map(|second| Timestamp::from_second(second).unwrap()));
        let agent = "node7".to_owned();
        Attempt {
            attempt: number,
            state,
            agent,
            memory_bytes: None,
            reason: None,
            note: None,
            leased,
            started,
            stopped,
            ended,
        }
    }

    #[test]
    fn each_phase_is_as_long_as_it_took() {
        let attempts = [
            attempt(1, AttemptState::Failed, [Some(20), Some(40), Some(60), Some(70)]),
            attempt(2, AttemptState::Running, [Some(80), Some(90), None, None]),
        ];
        let submitted = Timestamp::from_second(0).ok();
        let now = Timestamp::from_second(120).unwrap();
        let drawn = Timeline::of(&attempts, submitted, now).unwrap();
        let phases = |bar: usize| -> Vec<(&str, f64, f64)> {
            drawn.bars[bar].phases.iter().map(|p| (p.name, p.from.round(), p.width.round())).collect()
        };
        // 492 are 120 s.
        let first = [
            ("queued", 64.0, 82.0),
            ("pulling", 146.0, 82.0),
            ("running", 228.0, 82.0),
            ("publishing", 310.0, 41.0),
        ];
        assert_eq!(phases(0), first);
        assert_eq!(phases(1), [("queued", 351.0, 41.0), ("pulling", 392.0, 41.0), ("running", 433.0, 123.0)]);
        assert_eq!(drawn.bars[1].phases[2].about, "attempt 2 on node7: running for 30s");
        assert!(drawn.cut.is_none() && is_live(&attempts));
    }

    #[test]
    fn a_long_wait_does_not_hide_the_work() {
        let attempts =
            [attempt(1, AttemptState::Succeeded, [Some(86_400), Some(86_401), Some(86_409), Some(86_410)])];
        let drawn = Timeline::of(&attempts, Timestamp::from_second(0).ok(), Timestamp::now()).unwrap();
        assert_eq!(drawn.cut.as_deref(), Some("1d 0h"));
        let widths: Vec<_> = drawn.bars[0].phases.iter().map(|phase| phase.width.round()).collect();
        assert_eq!(widths, [141.0, 35.0, 281.0, 35.0]);
        assert!(Timeline::of(&[], None, Timestamp::now()).is_none());
    }

    #[test]
    fn an_attempt_of_an_older_agent_has_the_phases_that_are_known() {
        let attempts = [attempt(1, AttemptState::Failed, [Some(5), Some(10), None, Some(20)])];
        let drawn = Timeline::of(&attempts, Timestamp::from_second(4).ok(), Timestamp::now()).unwrap();
        let names: Vec<_> = drawn.bars[0].phases.iter().map(|phase| phase.name).collect();
        assert_eq!(names, ["queued", "pulling", "running"]);
    }
}
