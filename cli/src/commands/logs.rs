//! `btctl logs`: what a job printed, on the streams that it printed it on.

use std::collections::VecDeque;
use std::io::{self, Write, stderr};

use bt_model::log::{LogLine, Stream};
use bt_proto::v1;
use tokio_stream::StreamExt;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Out, reader_left, terminal, words};
use crate::settings::Settings;
use crate::target::Target;

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
        let mut lines = client.logs(request).await?;
        let mut out = Out::unfiltered();
        let mut last = VecDeque::new();
        while let Some(line) = lines.next().await {
            let line = LogLine::try_from(line?)?;
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
