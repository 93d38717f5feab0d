//! Waits until a rerun has its result, or until it is plain that it won't have one.

use std::time::Duration;

use bt_documents::SweepReport;
use bt_proto::v1;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::Error;
use crate::output::{say, words};

/// How often the coordinator is asked.
const LOOK: Duration = Duration::from_millis(250);
/// How long no agent may be able to run it before it is given up: one that was started anew is back by then, and one that
/// could not start it has tried again.
const GIVE_UP: Duration = Duration::from_secs(15);

/// Ctrl-C ends the waiting, not the rerun. A job that did not succeed is an error of its own.
pub(super) async fn until_published(client: &Client, submitted: &v1::SubmitReply) -> Result<(), Error> {
    tokio::select! {
        ended = watch(client, submitted) => ended,
        pressed = tokio::signal::ctrl_c() => {
            if let Err(error) = pressed {
                return Err(Error::Failed(format!("Ctrl-C can't be heard: {error}")));
            }
            say(&format!("\nit goes on: btctl wait {0} shows its progress, btctl cancel {0} stops it", submitted.id));
            Err(Error::Interrupted)
        }
    }
}

async fn watch(client: &Client, submitted: &v1::SubmitReply) -> Result<(), Error> {
    let mut told = String::new();
    let mut stuck = None;
    loop {
        let shown = client.show(&submitted.id).await?;
        let v1::Counts { queued, running, succeeded, .. } = shown.counts;
        match (queued + running, succeeded) {
            (0, 1..) => return Ok(()),
            (0, 0) => return Err(Error::JobFailed(failure(&shown)?)),
            _ => {}
        }
        let why = reasons(&shown);
        if !why.is_empty() && why != told {
            say(&format!("waiting: {why}"));
            told.clone_from(&why);
        }
        // Every agent has said that it can't, and that this won't pass by itself.
        let is_stuck =
            queued > 0 && !shown.waiting.is_empty() && shown.waiting.iter().all(|waiting| waiting.lasting);
        if !is_stuck {
            stuck = None;
        } else if stuck.get_or_insert_with(Instant::now).elapsed() > GIVE_UP {
            let request = v1::CancelRequest { sweep: submitted.id.clone(), jobs: Vec::new() };
            client.cancel(request).await?;
            return Err(Error::JobFailed(format!("it can't be run again now: {why}")));
        }
        sleep(LOOK).await;
    }
}

fn failure(shown: &SweepReport) -> Result<String, Error> {
    let reason = shown.failures.first().map(|failures| words::reason(failures.reason.clone())).transpose()?;
    Ok(match reason.flatten() {
        Some(reason) => format!("it failed: {reason}; see btctl logs {}", shown.sweep.id),
        None => "it was cancelled".to_owned(),
    })
}

fn reasons(shown: &SweepReport) -> String {
    let noted = shown.progressing.iter().filter(|attempt| !attempt.note.is_empty());
    let noted = noted.map(|attempt| format!("agent {}: {}", attempt.agent, attempt.note));
    // Skip agents that were not requested.
    let waiting = shown.waiting.iter().filter(|waiting| waiting.obstacle() != v1::Obstacle::OtherAgent);
    let waiting = waiting.map(|waiting| match &waiting.agent {
        None => waiting.why.clone(),
        Some(agent) => format!("agent {agent}: {}", waiting.why),
    });
    waiting.chain(noted).collect::<Vec<_>>().join("; ")
}
