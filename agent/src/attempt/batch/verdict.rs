//! What becomes of a point, by what was said of it and how its container ended. Pure.

use bt_engine::{Exit, classify};
use bt_model::manifest::STATUS_FILE;
use bt_model::reason::Reason;

use crate::batch::{PointReport, below};
use crate::record::ending::{Ending, Halt, Outcome, outcome};

/// How the container ended.
pub(crate) struct Told<'e> {
    pub(crate) exit: &'e Exit,
    pub(crate) halt: Option<&'e Halt>,
    /// It was given more points than one, so that its end may be another point's doing.
    pub(crate) several: bool,
}

/// Decides. A point that was reported ends as it was reported, however its container ended, unless a process of that was
/// killed for memory: then none of its reports can be trusted.
pub(crate) fn verdict(told: &Told<'_>, report: Option<PointReport>, results: &str) -> Outcome {
    let status = || below(results, STATUS_FILE);
    match report {
        Some(PointReport::Ended(code)) if !told.exit.oom => match classify(&Exit::with_code(code)) {
            None => Outcome::Publish,
            Some(reason) => Outcome::End(Ending::failed(&reason)),
        },
        Some(PointReport::Contradicted(one, other)) if !told.exit.oom => {
            let why = format!("{} reports it with {one} and with {other}", status());
            Outcome::End(Ending::failed(&Reason::Outputs(why)))
        }
        _ => match outcome(told.exit, told.halt) {
            Outcome::Discard => Outcome::Discard,
            Outcome::End(ending) => match ending.reason() {
                Some(reason) if told.several => Outcome::End(Ending::unreported(&reason)),
                _ => Outcome::End(ending),
            },
            Outcome::Publish => {
                let why =
                    format!("its container ended with exit code 0 and did not report it in {}", status());
                let reason = Reason::Outputs(why);
                Outcome::End(match told.several {
                    true => Ending::unreported(&reason),
                    false => Ending::failed(&reason),
                })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the container ended, whether it had several points, what was said of this one, and what becomes of it.
    #[test]
    fn the_table_of_ends_and_reports() {
        use PointReport::{Contradicted, Ended};
        let failed = |reason| Outcome::End(Ending::failed(&reason));
        let again = |reason| Outcome::End(Ending::unreported(&reason));
        let released = || Halt::Release("it drains".into());
        let handed_back =
            || Outcome::End(Ending::Released { why: "it drains".into(), preempted: false, refused: false });
        let silent = || {
            Reason::Outputs(
                "its container ended with exit code 0 and did not report it in /out/status".to_owned(),
            )
        };
        let contradicted = || Reason::Outputs("/out/status reports it with 0 and with 3".to_owned());
        let oom = || Exit { oom: true, ..Exit::with_code(0) };
        let code = Exit::with_code;
        let table = [
            (code(0), None, true, Some(Ended(0)), Outcome::Publish),
            (code(1), None, true, Some(Ended(0)), Outcome::Publish),
            (code(143), Some(Halt::Timeout), true, Some(Ended(0)), Outcome::Publish),
            (code(143), Some(released()), true, Some(Ended(0)), Outcome::Publish),
            (code(0), None, true, Some(Ended(3)), failed(Reason::Exit(3))),
            (code(0), None, false, Some(Ended(139)), failed(Reason::Signal(11))),
            (code(0), None, true, Some(Contradicted(0, 3)), failed(contradicted())),
            (code(0), None, true, None, again(silent())),
            (code(0), None, false, None, failed(silent())),
            (code(1), None, true, None, again(Reason::Exit(1))),
            (code(1), None, false, None, failed(Reason::Exit(1))),
            (code(139), None, true, None, again(Reason::Signal(11))),
            (code(143), Some(Halt::Timeout), true, None, again(Reason::Timeout)),
            (code(143), Some(Halt::Timeout), false, None, failed(Reason::Timeout)),
            (code(143), Some(released()), true, None, handed_back()),
            (code(143), Some(Halt::TakenAway), true, None, Outcome::Discard),
            (oom(), None, true, Some(Ended(0)), again(Reason::Oom)),
            (oom(), None, true, Some(Ended(137)), again(Reason::Oom)),
            (oom(), None, true, Some(Contradicted(0, 3)), again(Reason::Oom)),
            (oom(), None, false, Some(Ended(0)), failed(Reason::Oom)),
        ];
        for (exit, halt, several, report, expected) in table {
            let told = Told { exit: &exit, halt: halt.as_ref(), several };
            let case = format!("{exit:?} {halt:?} {several} {report:?}");
            assert_eq!(verdict(&told, report, "/out"), expected, "{case}");
        }
    }
}
