//! `btctl logs`: what a job printed, on the streams that it printed it on.

use std::collections::VecDeque;
use std::io::{self, Write, stderr};
use std::time::Duration;

use bt_model::log::{LogLine, Stream};
use bt_proto::v1;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tonic::Streaming;

use crate::batch::Batch;
use crate::client::{Client, is_broken_off};
use crate::error::Error;
use crate::output::{Out, print, reader_left, say, terminal, words};
use crate::settings::Settings;
use crate::target::Target;

/// How long no coordinator may be heard of while a log is followed, and the pause between two tries.
const AWAY: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_millis(200);

/// Print a job's log, byte for byte: what it wrote to standard error on standard error.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl logs sma-cross/17\n  btctl logs -f -n 20 sma-cross/17\n  btctl logs --since 10m sma-cross/17\n  \
                  btctl logs --failed -n 20 sma-cross\n  btctl logs --attempt 1 sma-cross/17"
)]
pub(crate) struct Logs {
    /// Job; the number may be left out if the sweep has one job only.
    #[arg(value_name = "SWEEP/JOB")]
    target: Target,
    /// Go on until the job has ended; wait for it if it has not started.
    #[arg(short, long)]
    follow: bool,
    /// Attempt, counted from 1; the latest if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Only the last so many lines of what is there; with --follow, and then what comes.
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// Only lines from then on: a time such as 2026-11-26T08:00:00Z, or how long ago, such as 10m.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// The logs of all failed jobs of the sweep, one after the other, each below its name and reason.
    #[arg(long, conflicts_with_all = ["follow", "attempt"])]
    failed: bool,
    /// Begin each line with its time.
    #[arg(short, long)]
    timestamps: bool,
}

impl Logs {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        if self.failed {
            return self.print_failed(&client).await;
        }
        let job = match self.target.job {
            Some(job) => job,
            None => only_job(&client, &self.target.sweep).await?,
        };
        let request = self.request(job);
        tokio::select! {
            printed = self.print(&client, request) => printed,
            left = reader_left(), if self.follow => Err(left),
            pressed = tokio::signal::ctrl_c(), if self.follow => match pressed {
                Ok(()) => Err(Error::Interrupted),
                Err(error) => Err(Error::Failed(format!("Ctrl-C can't be heard: {error}"))),
            },
        }
    }

    fn request(&self, job: u32) -> v1::LogsRequest {
        let (attempt, follow) = (self.attempt.unwrap_or(0), self.follow);
        v1::LogsRequest { sweep: self.target.sweep.clone(), job, attempt, follow }
    }

    async fn print(&self, client: &Client, request: v1::LogsRequest) -> Result<(), Error> {
        let mut out = Out::unfiltered();
        let mut place = Place::default();
        if let Some(count) = self.tail {
            let now = v1::LogsRequest { follow: false, ..request.clone() };
            let mut last = VecDeque::new();
            let read = self.each(client, now, &mut place, |line| {
                if last.len() == count {
                    last.pop_front();
                }
                // None at all are wanted of what is there.
                if count > 0 {
                    last.push_back(line);
                }
                Ok(())
            });
            match read.await {
                // It is waited for, and then all that comes is new.
                Err(Error::NotFound(_)) if self.follow => {}
                read => read?,
            }
            last.iter().try_for_each(|line| self.write(&mut out, line))?;
            if !self.follow {
                return Ok(());
            }
            place.begin_again();
        }
        self.each(client, request, &mut place, |line| self.write(&mut out, &line)).await
    }

    /// Takes each line that is wanted and lies behind the place, to the end of the log.
    async fn each(
        &self,
        client: &Client,
        request: v1::LogsRequest,
        place: &mut Place,
        mut take: impl FnMut(LogLine) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut lines = client.logs(request.clone()).await?;
        let mut asked = client.asked();
        let mut heard = Instant::now();
        while let Some(line) = lines.next().await {
            let line = match line {
                Ok(line) => LogLine::try_from(line)?,
                // The job goes on, and another coordinator, or this one when it is back, has its log too.
                Err(status) if self.follow && is_broken_off(&status) && heard.elapsed() < AWAY => {
                    client.leave(asked);
                    sleep(AGAIN).await;
                    lines = self.ask_again(client, &request, heard).await?;
                    asked = client.asked();
                    place.begin_again();
                    continue;
                }
                Err(status) => return Err(Error::broken_off(status)),
            };
            heard = Instant::now();
            if !place.has_passed(&line) && self.since.is_none_or(|since| line.time >= since) {
                take(line)?;
            }
        }
        Ok(())
    }

    /// The logs of all jobs that failed, each below a heading as `tail` writes it. One that can't be had is told, and the
    /// others follow.
    async fn print_failed(&self, client: &Client) -> Result<(), Error> {
        let sweep = &self.target.sweep;
        let request = v1::ListJobsRequest {
            sweep: sweep.clone(),
            states: vec![v1::JobState::Failed.into()],
            job: self.target.job,
            ..v1::ListJobsRequest::default()
        };
        let mut jobs = client.jobs(request).await?;
        let mut failed = Vec::new();
        while let Some(job) = jobs.message().await? {
            failed.push((job.number, words::reason(job.reason)?.unwrap_or_default()));
        }
        if failed.is_empty() {
            say(&format!("no job of {sweep} has failed"));
        }
        let mut batch = Batch::of_named(failed.len());
        for (job, reason) in failed {
            let name = format!("{sweep}/{job}");
            print(&format!("==> {name}: {reason} <=="))?;
            batch.note(&name, self.print(client, self.request(job)).await)?;
        }
        batch.finish()
    }

    async fn ask_again(
        &self,
        client: &Client,
        request: &v1::LogsRequest,
        heard: Instant,
    ) -> Result<Streaming<v1::LogLine>, Error> {
        loop {
            match client.logs(request.clone()).await {
                Err(error) if error.may_pass() && heard.elapsed() < AWAY => sleep(AGAIN).await,
                asked => return asked,
            }
        }
    }

    fn write(&self, out: &mut Out, line: &LogLine) -> Result<(), Error> {
        let written = match line.stream {
            Stream::Stdout => self.write_to(out, line, terminal::is_stdout()),
            Stream::Stderr => self.write_to(&mut stderr().lock(), line, terminal::is_stderr()),
        };
        written.map_err(Error::output)
    }

    fn write_to(&self, out: &mut impl Write, line: &LogLine, to_terminal: bool) -> io::Result<()> {
        if self.timestamps {
            write!(out, "{} ", line.time)?;
        }
        terminal::write(out, &line.text, to_terminal)?;
        out.flush()
    }
}

/// How far a log was printed, so that it is gone on with where it broke off. A log is always sent from its beginning.
#[derive(Debug, Default)]
struct Place {
    /// The time of the latest line, and how many lines of that time were printed.
    time: Option<Timestamp>,
    lines: u64,
    /// Lines of that time that came again.
    again: Option<u64>,
}

impl Place {
    fn begin_again(&mut self) {
        self.again = Some(0);
    }

    /// True for a line that was printed before; the others are counted.
    fn has_passed(&mut self, line: &LogLine) -> bool {
        if let (Some(again), Some(time)) = (&mut self.again, self.time) {
            if line.time < time {
                return true;
            }
            if line.time == time && *again < self.lines {
                *again += 1;
                return true;
            }
            self.again = None;
        }
        self.lines = if self.time == Some(line.time) { self.lines + 1 } else { 1 };
        self.time = Some(line.time);
        false
    }
}

/// A time, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    text.parse().map_err(|_| {
        format!("{text:?} is no time; write one such as 2026-11-26T08:00:00Z, or how long ago, such as 10m")
    })
}

async fn only_job(client: &Client, sweep: &str) -> Result<u32, Error> {
    let shown = client.show(sweep).await?;
    match words::total(&shown.counts) {
        1 => Ok(0),
        jobs => Err(Error::Usage(format!(
            "sweep {} has {jobs} jobs; say which one's log you want, e.g. btctl logs {}/0",
            shown.sweep.name,
            words::address(&shown.sweep)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_broke_off_is_gone_on_with_where_it_was() {
        let line = |second: i64, text: &str| LogLine {
            time: Timestamp::from_second(second).unwrap(),
            stream: Stream::Stdout,
            text: text.into(),
        };
        let log = [line(1, "a"), line(2, "b"), line(2, "b"), line(2, "c"), line(3, "d")];
        for cut in 0..=log.len() {
            let mut place = Place::default();
            let mut printed: Vec<_> = log[..cut].iter().filter(|line| !place.has_passed(line)).collect();
            for _ in 0..2 {
                // It breaks off once more before anything new has come.
                place.begin_again();
                assert!(log[..cut / 2].iter().all(|line| place.has_passed(line)));
            }
            place.begin_again();
            printed.extend(log.iter().filter(|line| !place.has_passed(line)));
            assert_eq!(printed, log.iter().collect::<Vec<_>>(), "cut after {cut}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:07Z"), Ok(Timestamp::from_second(7).unwrap()));
        let ago = moment("10m").unwrap();
        assert!(ago < Timestamp::now() && moment("1h").unwrap() < ago);
        assert!(moment("yesterday").unwrap_err().contains("10m"));
    }
}
