//! How far running jobs are, as they say themselves.

use bt_documents as documents;
use bt_proto::v1;

use super::ranking::text;
use super::{Fact, Part, Progress, ago, since};
use jiff::Timestamp;

/// Running jobs that a sweep's page lists.
pub(super) const LISTED: u32 = 20;

/// A job's own word, with a bar where it says which part is done.
pub(super) struct Said {
    pub(super) bar: Option<Progress>,
    /// `42 % (42 of 100), 2012-03`
    pub(super) text: String,
    pub(super) metrics: Vec<Fact>,
    pub(super) heard: String,
}

/// A job that runs now.
pub(super) struct Running {
    pub(super) job: u32,
    pub(super) agent: String,
    pub(super) ran: String,
    pub(super) bar: Option<Progress>,
    pub(super) text: String,
}

impl Said {
    pub(super) fn of(said: &documents::Progress) -> Self {
        let note = said.note.as_deref().map(harmless);
        let words: Vec<_> = said.amount().into_iter().chain(note).collect();
        let metrics = said.metrics.iter().map(|(name, value)| Fact::new(harmless(name), text(Some(value))));
        Self {
            bar: said.fraction.map(|fraction| bar(fraction, &words.join(", "))),
            text: words.join(", "),
            metrics: metrics.collect(),
            heard: ago(said.at),
        }
    }
}

impl Running {
    /// What is to be said of a job that runs, if it can be read.
    pub(super) fn of(job: &v1::RunningJob) -> Option<Self> {
        let job = documents::RunningJob::try_from(job).ok()?;
        let said = job.progress.as_ref().map(Said::of);
        let (bar, text) = said.map_or_else(Default::default, |said| (said.bar, said.text));
        Some(Self {
            job: job.job,
            agent: job.agent,
            ran: job.started.map(|started| since(started, Timestamp::now())).unwrap_or_default(),
            bar,
            text: job.note.filter(|_| text.is_empty()).unwrap_or(text),
        })
    }
}

fn bar(fraction: f64, text: &str) -> Progress {
    let part = Part { state: "running", from: 0.0, width: 100.0 * fraction };
    Progress { parts: vec![part], text: text.to_owned() }
}

/// What a job wrote, without what only a terminal would take for a command.
pub(super) fn harmless(text: impl AsRef<str>) -> String {
    text.as_ref().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The same of text in lines.
pub(super) fn harmless_lines(text: &str) -> String {
    let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    text.chars().map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done_and_notes_are_harmless() {
        let said = documents::Progress {
            fraction: Some(0.42),
            done: Some(42.0),
            of: Some(100.0),
            note: Some("\u{1b}[31mred".to_owned()),
            metrics: documents::Object::new(),
            at: None,
        };
        let said = Said::of(&said);
        assert_eq!(said.text, "42 % (42 of 100), \u{fffd}[31mred");
        let bar = said.bar.unwrap();
        assert_eq!((bar.parts[0].width, bar.text), (42.0, said.text));
    }
}
