//! Runs one container, or one command in a container that jobs share, from its start to its end: its output is kept, its
//! use is measured, and it is stopped when it must be. Attempts, `btctl run --local` and looks into images all come here.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bt_engine::{Engine, Error, Exit, Sample};
use bt_model::id::AttemptId;
use bt_model::log::LogLine;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::record::ending::Halt;
use crate::record::usage::Limits;
use crate::warm::Fork;

/// How long the output may go on after the end.
const OUTPUT_END: Duration = Duration::from_secs(30);
/// The first look at what it uses comes early, for jobs of a second.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// What runs.
#[derive(Clone, Debug)]
pub(crate) enum Running {
    /// A container of its own, by its attempt's id.
    Container(AttemptId),
    /// A command in a container that was there before, by the engine's id of it.
    Command { container: AttemptId, id: String },
    /// A fork of an interpreter in such a container.
    Fork(Fork),
}

/// How it ended, and why it was stopped, if it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) exit: Exit,
    pub(crate) halt: Option<Halt>,
}

impl Running {
    pub(crate) fn container(&self) -> AttemptId {
        match self {
            Self::Container(id) | Self::Command { container: id, .. } => *id,
            Self::Fork(fork) => fork.container,
        }
    }

    /// Waits for its end while `keeping` keeps its output and `measuring` measures it. When `halt` says why it must stop, the
    /// container, or the fork alone, is stopped, and may take `grace` to end by itself.
    ///
    /// Returns only after the output has ended, too.
    pub(crate) async fn to_its_end(
        &self,
        engine: &dyn Engine,
        keeping: impl Future<Output = ()>,
        measuring: impl Future<Output = Infallible>,
        halt: impl Future<Output = Halt>,
        grace: Duration,
    ) -> Result<Finished, Error> {
        let (kept, all_kept) = oneshot::channel();
        let keeping = async {
            keeping.await;
            // Only a command's end waits for it.
            kept.send(()).ok();
        };
        let end = async {
            match self {
                Self::Container(id) => engine.wait(*id).await,
                Self::Command { container, id } => {
                    all_kept.await.ok();
                    engine.exec_end(*container, id).await
                }
                Self::Fork(fork) => fork.end().await,
            }
        };
        let waiting = async {
            tokio::select! {
                exit = end => Ok(Finished { exit: exit?, halt: None }),
                halt = halt => {
                    info!(container = %self.container(), "stopping what runs in the container: {halt:?}");
                    let exit = self.stop(engine, grace).await?;
                    Ok(Finished { exit, halt: Some(halt) })
                }
                never = measuring => match never {},
            }
        };
        tokio::pin!(keeping, waiting);
        tokio::select! {
            finished = &mut waiting => {
                if timeout(OUTPUT_END, &mut keeping).await.is_err() {
                    warn!(container = %self.container(), "the output has no end; its last lines may be missing");
                }
                finished
            }
            () = &mut keeping => waiting.await,
        }
    }
}

impl Running {
    async fn stop(&self, engine: &dyn Engine, grace: Duration) -> Result<Exit, Error> {
        match self {
            Self::Container(id) => {
                engine.stop(*id, grace).await?;
                engine.wait(*id).await
            }
            Self::Command { container, .. } => {
                engine.stop(*container, grace).await?;
                Ok(Exit::stopped())
            }
            Self::Fork(fork) => fork.stop(grace).await,
        }
    }
}

/// Hands over lines as they come, until there are no more or one can't be kept; says why then.
pub(crate) async fn keep_lines(
    lines: impl Stream<Item = Result<LogLine, Error>>,
    mut keep: impl FnMut(LogLine) -> io::Result<()>,
) -> Result<(), String> {
    tokio::pin!(lines);
    while let Some(line) = lines.next().await {
        // What prints without end must not keep its own end, and its timeout, from being heard.
        tokio::task::consume_budget().await;
        let line = line.map_err(|error| error.to_string())?;
        keep(line).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What may be used, and since when it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    pub(crate) limits: Limits,
    pub(crate) began: Timestamp,
    /// What the container had used before.
    pub(crate) before: Sample,
}

impl Meter {
    /// Measures a container until it is dropped, with a pause after each look. What the container can't have used itself is
    /// left out.
    pub(crate) async fn measure(
        &self,
        engine: &dyn Engine,
        container: AttemptId,
        pause: impl Fn() -> Duration,
        used: impl Fn(&Sample),
    ) -> Infallible {
        sleep(FIRST_LOOK).await;
        loop {
            match engine.sample(container).await {
                Ok(Some(sample)) => {
                    let ran = Timestamp::now().duration_since(self.began);
                    let own = Sample {
                        memory_bytes: sample.memory_bytes,
                        cpu_micros: sample.cpu_micros.saturating_sub(self.before.cpu_micros),
                        written_bytes: sample.written_bytes.saturating_sub(self.before.written_bytes),
                    };
                    match self.limits.check(own, Duration::try_from(ran).unwrap_or_default()) {
                        Some(own) => used(&own),
                        None => debug!(container = %container, ?own, "more than the container can have used"),
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    debug!(container = %container, error = %error, "what the container uses is not known");
                }
            }
            sleep(pause()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::sync::Arc;

    use bt_engine::ContainerSpec;
    use bt_model::id::AgentId;
    use tokio::time::Instant;

    use super::*;

    /// A simulated container that runs for so long and exits with this code; it prints one line.
    async fn started(millis: u64, exit: i64) -> (Arc<dyn Engine>, Running) {
        let engine = bt_engine::simulated();
        let id = AttemptId::random();
        let mut spec = ContainerSpec::of_nothing(id, AgentId::random(), "x:1");
        let env = [
            ("BT_SIM_MS", millis.to_string()),
            ("BT_SIM_EXIT", exit.to_string()),
            ("BT_SIM_PRINT", "x".into()),
        ];
        spec.env = env.map(|(name, value)| (name.to_owned(), value)).into();
        engine.create(&spec).await.unwrap();
        engine.start(id).await.unwrap();
        (engine, Running::Container(id))
    }

    async fn kept(engine: &dyn Engine, running: &Running, lines: &RefCell<Vec<String>>) {
        let keep = |line: LogLine| {
            lines.borrow_mut().push(String::from_utf8_lossy(&line.text).into_owned());
            Ok(())
        };
        keep_lines(engine.logs(running.container(), None), keep).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_by_itself_has_its_exit_code_and_all_its_output() {
        let (engine, running) = started(500, 3).await;
        let lines = RefCell::default();
        let finished = running
            .to_its_end(&*engine, kept(&*engine, &running, &lines), pending(), pending(), Duration::ZERO)
            .await
            .unwrap();
        assert_eq!((finished.exit.code, finished.halt), (3, None));
        assert_eq!(lines.into_inner(), ["x\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_stop_is_stopped_and_says_why() {
        let (engine, running) = started(3_600_000, 0).await;
        let lines = RefCell::default();
        let halt = async {
            sleep(Duration::from_secs(5)).await;
            Halt::Timeout
        };
        let began = Instant::now();
        let keeping = kept(&*engine, &running, &lines);
        let finished = running.to_its_end(&*engine, keeping, pending(), halt, Duration::ZERO).await.unwrap();
        assert_eq!(finished, Finished { exit: Exit::stopped(), halt: Some(Halt::Timeout) });
        assert_eq!(began.elapsed().as_secs(), 5);
        assert_eq!(lines.into_inner(), ["x\n"], "what it printed last is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_without_an_end_holds_up_the_end_for_a_while_only() {
        let (engine, running) = started(0, 0).await;
        let began = Instant::now();
        let finished = running.to_its_end(&*engine, pending(), pending(), pending(), Duration::ZERO).await;
        assert_eq!(finished.unwrap().exit.code, 0);
        assert!(began.elapsed() >= OUTPUT_END && began.elapsed() < OUTPUT_END * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_that_is_gone_is_an_error() {
        let (engine, running) = started(1_000, 0).await;
        engine.remove(running.container()).await.unwrap();
        let finished = running.to_its_end(&*engine, async {}, pending(), pending(), Duration::ZERO).await;
        assert!(matches!(finished, Err(Error::Gone { .. })), "{finished:?}");
    }

    #[tokio::test]
    async fn lines_end_at_the_first_that_can_not_be_kept() {
        let line = || LogLine {
            stream: bt_model::log::Stream::Stdout,
            time: Timestamp::now(),
            text: b"x\n".to_vec(),
        };
        let lines = futures_util::stream::iter([Ok(line()), Ok(line()), Ok(line())]);
        let mut kept = 0;
        let told = keep_lines(lines, |_| {
            kept += 1;
            if kept == 2 { Err(io::Error::other("no space left")) } else { Ok(()) }
        });
        assert_eq!(told.await, Err("no space left".to_owned()));
        assert_eq!(kept, 2);
    }
}
