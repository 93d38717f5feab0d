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

use crate::client::{Client, is_broken_off};
use crate::error::Error;
use crate::output::{Out, reader_left, terminal, words};
use crate::settings::Settings;
use crate::target::Target;

/// How long no coordinator may be heard of while a log is followed, and the pause between two tries.
const AWAY: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_millis(200);

/// Print a job's log, byte for byte.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl logs sma-cross/17\n  btctl logs -f sma-cross/17\n  btctl logs --attempt 1 sma-cross/17"
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
    /// Only the last so many lines.
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "follow")]
    tail: Option<usize>,
    /// Begin each line with its time.
    #[arg(short, long)]
    timestamps: bool,
}

impl Logs {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let job = match self.target.job {
            Some(job) => job,
            None => only_job(&client, &self.target.sweep).await?,
        };
        let request = v1::LogsRequest {
            sweep: self.target.sweep.clone(),
            job,
            attempt: self.attempt.unwrap_or(0),
            follow: self.follow,
        };
        tokio::select! {
            printed = self.print(&client, request) => printed,
            left = reader_left(), if self.follow => Err(left),
            pressed = tokio::signal::ctrl_c(), if self.follow => match pressed {
                Ok(()) => Err(Error::Interrupted),
                Err(error) => Err(Error::Failed(format!("Ctrl-C can't be heard: {error}"))),
            },
        }
    }

    async fn print(&self, client: &Client, request: v1::LogsRequest) -> Result<(), Error> {
        let mut lines = client.logs(request.clone()).await?;
        let mut asked = client.asked();
        let mut out = Out::unfiltered();
        let mut last = VecDeque::new();
        let mut place = Place::default();
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
            if place.has_passed(&line) {
                continue;
            }
            match self.tail {
                None => self.write(&mut out, &line)?,
                Some(0) => {}
                Some(count) => {
                    if last.len() == count {
                        last.pop_front();
                    }
                    last.push_back(line);
                }
            }
        }
        last.iter().try_for_each(|line| self.write(&mut out, line))
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
}
