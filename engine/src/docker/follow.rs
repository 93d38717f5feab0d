//! Reading a container's log while it is written, without losing or doubling a byte.
//!
//! What the container writes comes through the connection that was attached before it started. Where there is none (the
//! agent was started anew), or it broke (the Engine was), the Engine's own log is read, behind the bytes that are known.
//! The end of a stream is a hint, as in `wait`: only when the container has ended too, and the Engine was there all the
//! time, or a last look at its log finds nothing new, has the log ended. A log that breaks off is opened again behind the
//! last line that was read.
//!
//! Podman leaves lines out of a stream that it still writes when the container has ended. So what comes from it is given
//! out when an inspection has shown that the container had not ended by then, and is read again otherwise.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Fault;
use bollard::query_parameters::LogsOptionsBuilder;
use bt_model::id::AttemptId;
use bt_model::log::{LogLine, Stream as Source};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::docker::fault;
use crate::docker::mend::Mender;
use crate::docker::resume::{Mark, Resume};
use crate::docker::wait::{AWAY_LIMIT, AWAY_PAUSE};
use crate::docker::{ContainerOutput, Docker, name};
use crate::{Error, LogPlace};

/// After this much silence the container is inspected: has it ended without the stream's saying so?
const QUIET_INTERVAL: Duration = Duration::from_secs(15);
/// How long, and how many of, Podman's lines may wait for an inspection.
const UNPROVED_TIME: Duration = Duration::from_millis(500);
const UNPROVED_LINES: usize = 1000;
/// How long the last look at an ended container's log may be silent.
const LAST_LOOK_DEADLINE: Duration = Duration::from_secs(30);
/// How long a container may go on after its output has ended, and how long to wait before it is looked at again.
const ENDING_LIMIT: Duration = Duration::from_secs(5);
const ENDING_PAUSE: Duration = Duration::from_millis(20);

impl Docker {
    /// The container's log behind `since`, both streams in the order in which they came, until the container has ended.
    /// An error is the last item.
    pub(crate) fn logs(
        &self,
        attempt: AttemptId,
        since: Option<LogPlace>,
    ) -> impl Stream<Item = Result<LogLine, Error>> + Send + 'static {
        let attached = self.outputs().remove(&attempt);
        let follower = Follower {
            docker: self.clone(),
            attempt,
            // What a container wrote while no one was attached is in the Engine's log alone.
            attached: attached.filter(|_| since.is_none()),
            resume: Resume::at(since),
            mender: Mender::new(self.forgets_newlines),
            mark: None,
            skip: None,
            at_mark: 0,
            lines: None,
            unproved: Vec::new(),
            unproved_since: Instant::now(),
            proved: VecDeque::new(),
            ready: VecDeque::new(),
            last_look: false,
            away_since: None,
        };
        stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|line| (line, follower)))
        })
    }
}

struct Follower {
    docker: Docker,
    attempt: AttemptId,
    attached: Option<ContainerOutput>,
    /// The bytes of the Engine's log that are known already.
    resume: Resume,
    mender: Mender,
    /// Behind the last line of the Engine's log that was given out.
    mark: Option<Mark>,
    /// What the open stream must skip up to: the Engine's `since` counts whole seconds and includes them.
    skip: Option<Mark>,
    /// How many of the lines that `skip` counts the open stream has shown.
    at_mark: u64,
    lines: Option<BoxStream<'static, Result<LogOutput, Fault>>>,
    /// Lines of a stream that may have left some out before them.
    unproved: Vec<LogLine>,
    unproved_since: Instant,
    /// Lines that are certain, and those of them that are not known yet.
    proved: VecDeque<LogLine>,
    ready: VecDeque<LogLine>,
    /// The container has ended, and the open stream only shows what was missed.
    last_look: bool,
    away_since: Option<Instant>,
}

/// What the open stream showed.
enum OutputEnd {
    Line(LogLine),
    Skipped,
    /// It ended, broke, or has been silent for long.
    Paused {
        open: bool,
        broken: Option<Error>,
    },
}

impl Follower {
    async fn next(&mut self) -> Result<Option<LogLine>, Error> {
        loop {
            if let Some(attached) = self.attached.as_mut() {
                match attached.next().await {
                    Some(Ok(line)) => {
                        self.resume.took(&line);
                        return Ok(Some(line));
                    }
                    end => {
                        self.attached = None;
                        if end.is_none() && self.has_ended().await? {
                            return Ok(None);
                        }
                        tracing::debug!(attempt = %self.attempt, "its output broke off; the engine's log is read");
                    }
                }
            }
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if let Some(line) = self.proved.pop_front() {
                self.mark = Some(Mark::after(self.mark, line.time));
                self.ready.extend(self.resume.rest_of(line));
                continue;
            }
            match self.read().await? {
                OutputEnd::Line(line) => {
                    self.away_since = None;
                    for line in self.mender.take(line).collect::<Vec<_>>() {
                        self.take(line).await?;
                    }
                }
                OutputEnd::Skipped => {}
                OutputEnd::Paused { broken: None, .. } if self.last_look => {
                    self.proved.extend(self.mender.end());
                    if self.proved.is_empty() {
                        return Ok(None);
                    }
                }
                OutputEnd::Paused { open, broken } => self.look_around(open, broken).await?,
            }
        }
    }

    /// True if the container has ended, as its output has. One that is still there after a while has closed its output
    /// or lost its connection, and an Engine that is away may have broken it.
    async fn has_ended(&mut self) -> Result<bool, Error> {
        let began = Instant::now();
        let mut pause = ENDING_PAUSE;
        loop {
            match self.docker.end_of(self.attempt).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) if began.elapsed() < ENDING_LIMIT => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Ok(None) | Err(Error::Unreachable { .. } | Error::Timeout { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    async fn take(&mut self, line: LogLine) -> Result<(), Error> {
        if !self.docker.podman || self.last_look {
            self.proved.push_back(line);
            return Ok(());
        }
        if self.unproved.is_empty() {
            self.unproved_since = Instant::now();
        }
        self.unproved.push(line);
        match self.unproved.len() >= UNPROVED_LINES || self.unproved_since.elapsed() >= UNPROVED_TIME {
            true => self.look_around(true, None).await,
            false => Ok(()),
        }
    }

    async fn read(&mut self) -> Result<OutputEnd, Error> {
        if self.lines.is_none() {
            self.lines = Some(self.open());
        }
        let Some(lines) = self.lines.as_mut() else {
            return Ok(OutputEnd::Paused { open: false, broken: None });
        };
        let deadline = match self.last_look {
            true => LAST_LOOK_DEADLINE,
            false if self.unproved.is_empty() => QUIET_INTERVAL,
            false => UNPROVED_TIME.saturating_sub(self.unproved_since.elapsed()),
        };
        match tokio::time::timeout(deadline, lines.next()).await {
            Err(_) if self.last_look => Err(Error::Timeout { call: "logs", after: deadline }),
            Err(_) => Ok(OutputEnd::Paused { open: true, broken: None }),
            Ok(None) => Ok(OutputEnd::Paused { open: false, broken: None }),
            Ok(Some(Ok(frame))) => Ok(match parse(frame) {
                Some(line) if self.is_old(&line) => {
                    self.mender.skip(&line);
                    OutputEnd::Skipped
                }
                Some(line) => OutputEnd::Line(line),
                None => OutputEnd::Paused { open: false, broken: Some(torn()) },
            }),
            Ok(Some(Err(error))) => {
                let broken = match fault::of("logs", Some(self.attempt), error) {
                    error @ (Error::Unreachable { .. } | Error::Timeout { .. }) => error,
                    error => return Err(error),
                };
                Ok(OutputEnd::Paused { open: false, broken: Some(broken) })
            }
        }
    }

    /// Decides how to go on after a pause: wait, open the stream again, or take the last look.
    async fn look_around(&mut self, open: bool, broken: Option<Error>) -> Result<(), Error> {
        let end = self.docker.end_of(self.attempt).await;
        let unproved = mem::take(&mut self.unproved);
        if matches!(end, Ok(None)) {
            self.proved.extend(unproved);
        }
        let away = match end {
            Ok(Some(_)) => {
                self.last_look = true;
                self.lines = None;
                broken
            }
            Ok(None) if open => None,
            Ok(None) => {
                self.lines = None;
                // No pause for the first time, and no spinning on an Engine that shows an empty log again and again.
                tokio::time::sleep(AWAY_PAUSE).await;
                broken
            }
            Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })) => {
                self.lines = None;
                Some(error)
            }
            Err(error) => return Err(error),
        };
        if let Some(error) = away {
            let since = *self.away_since.get_or_insert_with(Instant::now);
            if since.elapsed() > AWAY_LIMIT {
                return Err(error);
            }
            tokio::time::sleep(AWAY_PAUSE).await;
        }
        Ok(())
    }

    fn open(&mut self) -> BoxStream<'static, Result<LogOutput, Fault>> {
        self.skip = self.mark;
        self.at_mark = 0;
        self.mender = Mender::new(self.docker.forgets_newlines);
        // A second earlier, for lines whose times step back.
        let since = self.mark.map_or(0, |mark| mark.time.as_second() - 1);
        let options = LogsOptionsBuilder::new()
            .follow(!self.last_look)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(i32::try_from(since).unwrap_or(i32::MAX))
            .build();
        self.docker.client.logs(&name(self.attempt), Some(options)).boxed()
    }

    fn is_old(&mut self, line: &LogLine) -> bool {
        let Some(skip) = self.skip else { return false };
        if self.at_mark == 0 && line.time < skip.time {
            return true;
        }
        let is_old = self.at_mark < skip.seen && (self.at_mark > 0 || line.time == skip.time);
        self.at_mark = if is_old { self.at_mark + 1 } else { skip.seen };
        is_old
    }
}

fn torn() -> Error {
    Error::Unreachable { message: "the container engine broke off a log in the middle of a line".to_owned() }
}

/// A frame is `<RFC 3339 time> <text>`. `None`: the frame is not whole.
fn parse(frame: LogOutput) -> Option<LogLine> {
    let (stream, message) = match frame {
        LogOutput::StdOut { message } => (Source::Stdout, message),
        LogOutput::StdErr { message } => (Source::Stderr, message),
        LogOutput::StdIn { .. } | LogOutput::Console { .. } => return None,
    };
    let space = message.iter().position(|byte| *byte == b' ')?;
    let time: Timestamp = std::str::from_utf8(&message[..space]).ok()?.parse().ok()?;
    Some(LogLine { time, stream, text: message[space + 1..].to_vec() })
}
