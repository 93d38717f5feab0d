//! What a sweep has of identical jobs, in words and as JSON.

use std::time::Duration;

use bt_proto::v1;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::output::say;

/// How long a submit waits for what is found. It goes on being looked for.
const FIRST_LOOK: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// What is known of a sweep a moment after its submit; nothing if the coordinator can't say it now. The sweep is queued
/// all the same.
pub(crate) async fn known(client: &Client, id: &str) -> Option<v1::Reuse> {
    let until = Instant::now() + FIRST_LOOK;
    loop {
        let reuse = client.show(id).await.ok()?.reuse;
        let is_pending = reuse.as_ref().is_some_and(|reuse| reuse.state() == v1::ReuseState::Pending);
        if !is_pending || Instant::now() > until {
            return reuse;
        }
        sleep(LOOK).await;
    }
}

/// Says what is known of a sweep a moment after its submit.
pub(crate) async fn tell(client: &Client, submitted: &v1::SubmitReply) {
    if let Some(reuse) = known(client, &submitted.id).await {
        say(&words(&reuse, submitted.jobs));
    }
}

/// Sweeps that a sentence names.
const NAMED: usize = 5;

/// `of 24 jobs, 10 have results of identical jobs (sma-1a2b3c4d: 10); 4 wait for identical jobs (sma-1a2b3c4d: 4)`
pub(crate) fn words(reuse: &v1::Reuse, jobs: u32) -> String {
    let note = match reuse.note.as_str() {
        "" => String::new(),
        note => format!(": {note}"),
    };
    match reuse.state() {
        v1::ReuseState::Pending => format!("it is not known yet whose results its jobs can take{note}"),
        v1::ReuseState::Declined => format!("no results are taken{note}"),
        v1::ReuseState::Settled | v1::ReuseState::Unspecified => {
            let parts = [
                (reuse.taken, "have results of identical jobs", from(reuse, |source| source.taken)),
                (reuse.attached, "wait for identical jobs", from(reuse, |source| source.attached)),
                (
                    reuse.differing,
                    "were run before with different metrics; the latest are taken",
                    String::new(),
                ),
            ];
            let parts = parts.into_iter().filter(|(count, _, _)| *count > 0);
            let parts: Vec<_> = parts.map(|(count, what, from)| format!("{count} {what}{from}")).collect();
            match parts.is_empty() {
                true => format!("of {jobs} jobs, none has an identical one"),
                false => format!("of {jobs} jobs, {}", parts.join("; ")),
            }
        }
    }
}

/// ` (sma-1a2b3c4d: 10)`
fn from(reuse: &v1::Reuse, count: impl Fn(&v1::ReuseSource) -> u32) -> String {
    let sources: Vec<_> = reuse.sources.iter().filter(|source| count(source) > 0).collect();
    let named = sources.iter().take(NAMED).map(|source| {
        let short: String = source.sweep.chars().take(8).collect();
        format!("{}-{short}: {}", source.name, count(source))
    });
    let more = if sources.len() > NAMED { ", ..." } else { "" };
    format!(" ({}{more})", named.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reuse(taken: u32, attached: u32, differing: u32) -> v1::Reuse {
        let source = v1::ReuseSource {
            sweep: "1a2b3c4d-0000-0000-0000-000000000000".to_owned(),
            name: "sma".to_owned(),
            taken,
            attached,
        };
        let state = v1::ReuseState::Settled.into();
        v1::Reuse { state, note: String::new(), taken, attached, differing, sources: vec![source] }
    }

    #[test]
    fn what_is_taken_is_told_in_a_sentence() {
        let told = words(&reuse(10, 4, 2), 24);
        assert_eq!(
            told,
            "of 24 jobs, 10 have results of identical jobs (sma-1a2b3c4d: 10); 4 wait for identical jobs \
             (sma-1a2b3c4d: 4); 2 were run before with different metrics; the latest are taken"
        );
        assert_eq!(words(&reuse(0, 0, 0), 24), "of 24 jobs, none has an identical one");
        let declined = v1::Reuse {
            state: v1::ReuseState::Declined.into(),
            note: "the volume is unknown".to_owned(),
            ..v1::Reuse::default()
        };
        assert_eq!(words(&declined, 24), "no results are taken: the volume is unknown");
    }
}
