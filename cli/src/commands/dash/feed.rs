//! What the dashboard asks for: only what is shown, and again after a while. A page that is left is not asked for any more,
//! and one that takes long is asked for less often.

use bt_documents::SweepReport;
use bt_proto::v1;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::super::logs;
use crate::client::Client;
use crate::error::Error;
use crate::output::one_line;
use crate::progress::{self, Heard, pause_after};

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The newest sweeps, so many.
    Sweeps(u32),
    Sweep {
        id: String,
        list: JobList,
        by: Option<String>,
        limit: u32,
    },
    Agents,
    /// A job's log, as it comes.
    Log {
        sweep: String,
        job: u32,
    },
}

/// Which jobs of a sweep are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobList {
    Best,
    Running,
    Failed,
}

#[derive(Debug)]
pub(super) enum News {
    Sweeps(Vec<v1::Sweep>),
    Sweep(Box<SweepNews>),
    Agents(Vec<v1::Agent>),
    LogLine(String),
    LogEnd(String),
    /// Since when no coordinator answers.
    Away(Option<Timestamp>),
    /// Why there is no answer.
    Fault(String),
}

/// A sweep, its landscape and some of its jobs.
#[derive(Debug)]
pub(super) struct SweepNews {
    pub(super) shown: SweepReport,
    pub(super) landscape: v1::ShowLandscapeReply,
    pub(super) list: JobList,
    pub(super) jobs: Vec<v1::Job>,
}

/// Asks again and again until the screen is closed.
pub(super) async fn feed(client: Client, mut wanted: watch::Receiver<Wanted>, news: mpsc::Sender<News>) {
    let mut heard = Heard::now();
    while !news.is_closed() {
        let page = wanted.borrow_and_update().clone();
        let asked = async {
            match &page {
                Wanted::Log { sweep, job } => follow(&client, sweep, *job, &news).await,
                page => look_again(&client, page, &mut heard, &news).await,
            }
        };
        tokio::select! {
            () = asked => {}
            changed = wanted.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn look_again(client: &Client, page: &Wanted, heard: &mut Heard, news: &mpsc::Sender<News>) {
    let began = Instant::now();
    let show = |since: Option<Timestamp>| {
        if since.is_some() {
            // The screen is full of news already; it gets this one with the next.
            news.try_send(News::Away(since)).ok();
        }
        Ok(())
    };
    let told = match heard.answer(look(client, page), show).await {
        Ok(Ok(answer)) => vec![News::Away(None), answer],
        Ok(Err(_)) => Vec::new(),
        Err(error) => vec![News::Away(None), News::Fault(error.to_string())],
    };
    for one in told {
        // Nobody listens any more.
        if news.send(one).await.is_err() {
            return;
        }
    }
    sleep(pause_after(began.elapsed())).await;
}

async fn look(client: &Client, page: &Wanted) -> Result<News, Error> {
    match page {
        Wanted::Sweeps(limit) => {
            let request = v1::ListSweepsRequest { all: true, limit: Some(*limit), ..Default::default() };
            Ok(News::Sweeps(client.sweeps(request).await?.sweeps))
        }
        Wanted::Sweep { id, list, by, limit } => {
            let request =
                v1::ShowLandscapeRequest { sweep: id.clone(), metric: by.clone(), ..Default::default() };
            let (shown, landscape) = tokio::try_join!(client.show(id), client.landscape(request))?;
            let mut request =
                v1::ListJobsRequest { sweep: id.clone(), limit: Some(*limit), ..Default::default() };
            match list {
                JobList::Best if landscape.metric.is_empty() => {}
                JobList::Best => request.by = Some(landscape.metric.clone()),
                JobList::Running => request.states = vec![v1::JobState::Running.into()],
                JobList::Failed => request.states = vec![v1::JobState::Failed.into()],
            }
            let jobs = progress::list(client, request).await?;
            Ok(News::Sweep(Box::new(SweepNews { shown, landscape, list: *list, jobs })))
        }
        Wanted::Agents => Ok(News::Agents(client.agents().await?)),
        Wanted::Log { .. } => Err(Error::Failed("a log is followed, and not looked at".to_owned())),
    }
}

/// Passes a log on, to its end. A job that has not begun yet is waited for.
async fn follow(client: &Client, sweep: &str, job: u32, news: &mpsc::Sender<News>) {
    let (lines, mut read) = mpsc::unbounded_channel();
    let take = |line: bt_model::log::LogLine| lines.send(text(&line.text)).map_err(|_| Error::OutputClosed);
    let following = logs::follow(client, sweep, job, take);
    tokio::pin!(following);
    let ended = loop {
        tokio::select! {
            ended = &mut following => break ended,
            Some(line) = read.recv() => if news.send(News::LogLine(line)).await.is_err() {
                return;
            },
        }
    };
    while let Ok(line) = read.try_recv() {
        news.send(News::LogLine(line)).await.ok();
    }
    let end = match ended {
        Ok(()) => "the log ends here".to_owned(),
        Err(error) => error.to_string(),
    };
    news.send(News::LogEnd(end)).await.ok();
    // Until another page is wanted.
    std::future::pending::<()>().await;
}

/// A line as it may be shown; of a progress bar its last state.
fn text(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    one_line(line.rsplit('\r').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_is_made_harmless() {
        assert_eq!(text(b"10%\r50%\r100%\n"), "100%");
        assert_eq!(text(b"\x1b[31mred\tx\xff\r\n"), "\u{241b}[31mred x\u{fffd}");
        assert_eq!(text(b"\n"), "");
    }
}
