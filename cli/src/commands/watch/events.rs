//! What happens in the whole queue, event by event, as lines or as JSON.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use bt_documents::{Event, Happening, MovedAttempt};
use bt_model::id::{AgentId, SweepId};
use bt_proto::v1;
use jiff::tz::TimeZone;
use tokio::time::sleep;
use tonic::Streaming;

use crate::client::Client;
use crate::error::{Error, is_broken_off};
use crate::output::{Out, reader_left, say};

/// The pause between two tries to be told on.
const AGAIN: Duration = Duration::from_millis(500);
/// Names that are remembered.
const NAMES: usize = 10_000;
/// Ranges of jobs that a line names.
const RANGES: usize = 8;

/// How events are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EventForm {
    /// A line for people.
    #[default]
    Lines,
    /// A JSON object on a line, as the HTTP API's /api/events gives it.
    Json,
}

/// Prints events until the reader leaves or Ctrl-C is pressed.
pub(super) async fn watch(
    client: &Client,
    after: Option<String>,
    kinds: Vec<String>,
    form: EventForm,
) -> Result<(), Error> {
    tokio::select! {
        printed = print(client, after, kinds, form) => printed,
        left = reader_left() => Err(left),
        pressed = tokio::signal::ctrl_c() => match pressed {
            Ok(()) => Err(Error::Interrupted),
            Err(error) => Err(Error::Failed(format!("Ctrl-C can't be heard: {error}"))),
        },
    }
}

async fn print(
    client: &Client,
    mut after: Option<String>,
    kinds: Vec<String>,
    form: EventForm,
) -> Result<(), Error> {
    let mut names = Names::default();
    let mut has_begun = false;
    loop {
        let request = v1::WatchEventsRequest { after: after.clone(), sweep: None, kinds: kinds.clone() };
        let mut events = begin(client, request, has_begun).await?;
        let asked = client.asked();
        has_begun = true;
        loop {
            let reply = match events.message().await {
                Ok(Some(reply)) => reply,
                // The coordinator stops, or is gone; another one, or the next one, goes on.
                Ok(None) => break,
                Err(status) if is_broken_off(&status) => break,
                Err(status) => return Err(status.into()),
            };
            let mut out = Out::stdout();
            if let Some(place) = reply.place {
                after = Some(place);
            }
            for line in &reply.events {
                let event: Event = serde_json::from_str(line)
                    .map_err(|error| Error::Failed(format!("an event can't be read: {error}: {line}")))?;
                after = Some(event.id.clone());
                match form {
                    EventForm::Json => writeln!(out, "{line}").map_err(Error::output)?,
                    EventForm::Lines => {
                        let line = names.line(client, &event).await;
                        writeln!(out, "{line}").map_err(Error::output)?;
                    }
                }
            }
            out.finish()?;
        }
        client.leave(asked);
        sleep(AGAIN).await;
    }
}

/// Asks until a coordinator answers; the first time only as long as all commands do.
async fn begin(
    client: &Client,
    request: v1::WatchEventsRequest,
    has_begun: bool,
) -> Result<Streaming<v1::WatchEventsReply>, Error> {
    let mut is_told = false;
    loop {
        match client.watch_events(request.clone()).await {
            Err(error) if has_begun && error.may_pass() => {
                if !is_told {
                    say(&format!("{error}; watching goes on when a coordinator is back"));
                    is_told = true;
                }
                sleep(AGAIN).await;
            }
            asked => return asked,
        }
    }
}

/// The names of what events tell by ids.
#[derive(Default)]
struct Names {
    sweeps: HashMap<SweepId, String>,
    agents: HashMap<AgentId, String>,
}

impl Names {
    /// `12:03:04 jobs     sma-cross: 12 running (0-11)`
    async fn line(&mut self, client: &Client, event: &Event) -> String {
        let at = event.at.to_zoned(TimeZone::system()).strftime("%H:%M:%S");
        let kind = event.what.kind();
        let text = match &event.what {
            Happening::Sweep { sweep, name, owner, change } => {
                self.sweeps.insert(*sweep, name.clone());
                format!("{name}: {change} (of {owner})")
            }
            Happening::Jobs { sweep, state, count, jobs } => {
                let name = self.sweep(client, *sweep).await;
                let which = jobs.as_deref().map(|jobs| format!(" ({})", ranges(jobs))).unwrap_or_default();
                format!("{name}: {count} {state}{which}")
            }
            Happening::Attempts { sweep, state, attempts } => {
                let name = self.sweep(client, *sweep).await;
                match attempts.as_slice() {
                    [MovedAttempt { job, attempt, agent }] => {
                        let agent = self.agent(client, *agent).await;
                        format!("{name}/{job}: attempt {attempt} {state} on {agent}")
                    }
                    attempts => {
                        let jobs: Vec<u32> = attempts.iter().map(|moved| moved.job).collect();
                        format!("{name}: {} {state} ({})", jobs.len(), ranges(&jobs))
                    }
                }
            }
            Happening::Agent { agent, name, change, why } => {
                self.agents.insert(*agent, name.clone());
                let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{name}: {change}{why}")
            }
            Happening::Gap => "events in between are not kept any more; look at all of it again".to_owned(),
        };
        format!("{at} {kind:<8} {text}  [{}]", event.id)
    }

    /// The sweep's name; its id where that can't be had now.
    async fn sweep(&mut self, client: &Client, sweep: SweepId) -> String {
        if let Some(name) = self.sweeps.get(&sweep) {
            return name.clone();
        }
        let Ok(found) = client.resolve(&sweep.to_string()).await else { return sweep.to_string() };
        if self.sweeps.len() >= NAMES {
            self.sweeps.clear();
        }
        self.sweeps.insert(sweep, found.name.clone());
        found.name
    }

    async fn agent(&mut self, client: &Client, agent: AgentId) -> String {
        if let Some(name) = self.agents.get(&agent) {
            return name.clone();
        }
        let Ok(found) = client.agent(&agent.to_string()).await else { return agent.to_string() };
        if self.agents.len() >= NAMES {
            self.agents.clear();
        }
        self.agents.insert(agent, found.name.clone());
        found.name
    }
}

/// `0-11, 15`
fn ranges(jobs: &[u32]) -> String {
    let mut jobs = jobs.to_vec();
    jobs.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for job in jobs {
        match ranges.last_mut() {
            Some((_, last)) if job <= last.saturating_add(1) => *last = job,
            _ => ranges.push((job, job)),
        }
    }
    let more = if ranges.len() > RANGES { ", ..." } else { "" };
    let ranges = ranges.into_iter().take(RANGES).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    ranges.collect::<Vec<_>>().join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_follow_each_other_are_one_range() {
        assert_eq!(ranges(&[0, 2, 1, 7, 9, 10]), "0-2, 7, 9-10");
        assert_eq!(ranges(&[]), "");
        let odd: Vec<u32> = (0..40).map(|job| job * 2).collect();
        assert_eq!(ranges(&odd), "0, 2, 4, 6, 8, 10, 12, 14, ...");
    }
}
