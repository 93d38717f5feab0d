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

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::{Error, is_broken_off};
use crate::output::{Out, print, reader_left, say, terminal, words};
use crate::settings::Settings;
use crate::target::Target;

/// How long no coordinator may be heard of while a log is followed, and the pause between two tries.
const AWAY: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_millis(200);

/// Print a job's log, byte for byte. What it wrote to standard error goes to standard error.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl logs sma-cross/17\n  btctl logs -f -n 20 sma-cross/17\n  btctl logs --since 10m sma-cross/17\n  \
                  btctl logs --failed -n 20 sma-cross\n  btctl logs --attempt 1 sma-cross/17"
)]
pub(crate) struct Logs {
    /// Job; the number may be left out if the sweep has one job only.
    #[arg(value_name = "SWEEP/JOB")]
    target: Target,
    /// Continue until the job has finished; wait for it if it has not started.
    #[arg(short, long)]
    follow: bool,
    /// Attempt, counted from 1; the latest if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Only the last N lines; with --follow, new lines follow them.
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// Only lines since then: a time such as 2026-11-26T08:00:00Z, or an age such as 10m.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Print the logs of all failed jobs of the sweep, one after another, each below its name and reason.
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
        let request = self.request(job, self.follow);
        tokio::select! {
            printed = self.print(&client, request) => printed,
            left = reader_left(), if self.follow => Err(left),
            pressed = tokio::signal::ctrl_c(), if self.follow => match pressed {
                Ok(()) => Err(Error::Interrupted),
                Err(error) => Err(Error::Failed(format!("Ctrl-C can't be heard: {error}"))),
            },
        }
    }

    fn request(&self, job: u32, follow: bool) -> v1::LogsRequest {
        v1::LogsRequest { sweep: self.target.sweep.clone(), job, attempt: self.attempt, follow }
    }

    async fn print(&self, client: &Client, request: v1::LogsRequest) -> Result<(), Error> {
        let mut out = Out::unfiltered();
        let mut place = LogPosition::default();
        let Some(count) = self.tail else {
            return self.print_all(client, request, place, &mut out).await;
        };
        let now = v1::LogsRequest { follow: false, ..request.clone() };
        match self.last_lines(client, now, count, &mut place).await {
            Ok(lines) => lines.iter().try_for_each(|line| self.write(&mut out, line))?,
            // A job that has not begun has no log yet: what comes is new.
            Err(Error::NotFound(_)) if request.follow => {}
            Err(error) => return Err(error),
        }
        match request.follow {
            true => self.print_all(client, request, place, &mut out).await,
            false => Ok(()),
        }
    }

    /// Prints the lines behind the place.
    async fn print_all(
        &self,
        client: &Client,
        request: v1::LogsRequest,
        mut place: LogPosition,
        out: &mut Out,
    ) -> Result<(), Error> {
        place.begin_again();
        let write = |line: LogLine| match self.is_wanted(&line) {
            true => self.write(out, &line),
            false => Ok(()),
        };
        new_lines(client, request, &mut place, write).await
    }

    /// The last lines of what is there; the place is behind them afterwards.
    async fn last_lines(
        &self,
        client: &Client,
        request: v1::LogsRequest,
        count: usize,
        place: &mut LogPosition,
    ) -> Result<VecDeque<LogLine>, Error> {
        let mut last = VecDeque::new();
        let keep = |line: LogLine| {
            if count > 0 && self.is_wanted(&line) {
                if last.len() == count {
                    last.pop_front();
                }
                last.push_back(line);
            }
            Ok(())
        };
        new_lines(client, request, place, keep).await?;
        Ok(last)
    }

    fn is_wanted(&self, line: &LogLine) -> bool {
        self.since.is_none_or(|since| line.time >= since)
    }

    /// The logs of all jobs that failed, each below a heading as `tail` writes it. One that can't be had is reported, and the
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
        let mut batch = BatchOutcome::of_named(failed.len());
        for (job, reason) in failed {
            let name = format!("{sweep}/{job}");
            print(&format!("==> {name}: {reason} <=="))?;
            batch.note(&name, self.print(client, self.request(job, false)).await)?;
        }
        batch.finish()
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

/// Takes each line of a job's latest log as it comes, until the job has finished.
pub(super) async fn follow(
    client: &Client,
    sweep: &str,
    job: u32,
    take: impl FnMut(LogLine) -> Result<(), Error>,
) -> Result<(), Error> {
    let request = v1::LogsRequest { sweep: sweep.to_owned(), job, attempt: None, follow: true };
    new_lines(client, request, &mut LogPosition::default(), take).await
}

/// Takes each line of a log that the place is not behind. One that is followed goes on where it broke off: the job goes on,
/// and another coordinator, or this one when it is back, has its log too.
async fn new_lines(
    client: &Client,
    request: v1::LogsRequest,
    place: &mut LogPosition,
    mut take: impl FnMut(LogLine) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut lines = client.logs(request.clone()).await?;
    let mut asked = client.asked();
    let mut heard = Instant::now();
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => {
                heard = Instant::now();
                let line = LogLine::try_from(line)?;
                if place.is_new(&line) {
                    take(line)?;
                }
            }
            Err(status) if request.follow && is_broken_off(&status) && heard.elapsed() < AWAY => {
                client.leave(asked);
                sleep(AGAIN).await;
                lines = ask_again(client, &request, heard).await?;
                asked = client.asked();
                place.begin_again();
            }
            Err(status) => return Err(Error::broken_off(status)),
        }
    }
    Ok(())
}

async fn ask_again(
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

/// How far a log was read. It is always sent from its beginning, so the lines that were read before are skipped.
#[derive(Clone, Debug, Default)]
struct LogPosition {
    /// The latest time that was seen, and the number of lines from the first one of that time on.
    seen: Option<(Timestamp, u64)>,
    skip: Option<Skip>,
}

/// The lines to skip: all before the first one of a time, and so many from there on.
#[derive(Clone, Debug)]
struct Skip {
    until: Timestamp,
    lines: u64,
    reached: bool,
}

impl LogPosition {
    /// The log is sent from its beginning now.
    fn begin_again(&mut self) {
        self.skip = self.seen.map(|(until, lines)| Skip { until, lines, reached: false });
    }

    /// True for a line that was not read before.
    fn is_new(&mut self, line: &LogLine) -> bool {
        if let Some(skip) = &mut self.skip {
            skip.reached |= line.time >= skip.until;
            if !skip.reached {
                return false;
            }
            if skip.lines > 0 {
                skip.lines -= 1;
                return false;
            }
            self.skip = None;
        }
        self.seen = match self.seen {
            Some((time, lines)) if line.time <= time => Some((time, lines + 1)),
            _ => Some((line.time, 1)),
        };
        true
    }
}

/// A time, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not a time; write one such as 2026-11-26T08:00:00Z, or how long ago, such as 10m"
        )
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
    fn a_log_that_is_sent_again_goes_on_behind_the_lines_that_were_read() {
        let line = |(number, second): (usize, &i64)| LogLine {
            time: Timestamp::from_second(*second).unwrap(),
            stream: Stream::Stdout,
            text: number.to_string().into(),
        };
        let log: Vec<_> = [1, 2, 2, 2, 3, 2, 3, 4].iter().enumerate().map(line).collect();
        for cut in 0..=log.len() {
            let mut place = LogPosition::default();
            let mut read: Vec<_> = log[..cut].iter().filter(|line| place.is_new(line)).collect();
            for _ in 0..2 {
                // It breaks off once more before anything new has come.
                place.begin_again();
                assert!(!log[..cut / 2].iter().any(|line| place.is_new(line)), "cut after {cut}");
            }
            place.begin_again();
            read.extend(log.iter().filter(|line| place.is_new(line)));
            assert_eq!(read, log.iter().collect::<Vec<_>>(), "cut after {cut}");
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
