//! `btctl debug`: a shell in a job's container, on its agent.

mod forward;

use std::io::{self, Read, Write, stderr, stdin};

use bt_proto::v1::{self, debug_input, debug_output};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::forward::Forwards;
pub(crate) use self::forward::{Forward, listen};
use crate::client::Client;
use crate::error::Error;
use crate::output::{Out, say, terminal};
use crate::settings::Settings;
use crate::target::Target;

/// What is typed and not sent yet.
const MESSAGES: usize = 64;

/// Open a shell with a job's image, mounts, environment and limits, on the agent that ran it last. What you write to
/// the results directory is thrown away.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl debug sma-cross/17\n  echo 'env; ls -l /data' | btctl debug sma-cross/17"
)]
pub(crate) struct Debug {
    /// Job; the sweep's first one if only a sweep is given.
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
}

impl Debug {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let job = self.target.job.unwrap_or(0);
        let start = v1::DebugStart { sweep: self.target.sweep, job, ..v1::DebugStart::default() };
        session(&Client::connect(settings).await?, start, Vec::new()).await
    }
}

/// A user's end of a program in a job's container: passes on what is typed and what is printed until the program ends, and
/// fails if it does.
pub(crate) async fn session(
    client: &Client,
    start: v1::DebugStart,
    forwarded: Vec<(TcpListener, u16)>,
) -> Result<(), Error> {
    let tty = terminal::is_stdin() && terminal::is_stdout();
    let (rows, columns) = size();
    let start = v1::DebugStart { tty, rows, columns, ..start };
    let (typed, messages) = mpsc::channel(MESSAGES);
    send(&typed, debug_input::Kind::Start(start)).await;
    let mut printed = client.debug(messages).await?;
    let _raw = if tty { RawMode::enter() } else { None };
    // Reading a terminal can't be interrupted, so this thread is not waited for.
    std::thread::spawn({
        let typed = typed.clone();
        move || read_input(&typed)
    });
    let mut forwards = Forwards::new(forwarded, typed.clone());
    let mut resized = signal(SignalKind::window_change())
        .map_err(|error| Error::Failed(format!("signals can't be listened for: {error}")))?;
    loop {
        let message = tokio::select! {
            message = printed.message() => message?,
            _ = resized.recv(), if tty => {
                let (rows, columns) = size();
                send(&typed, debug_input::Kind::Size(v1::DebugSize { rows, columns })).await;
                continue;
            }
            (stream, port) = forwards.next() => {
                forwards.open(stream, port);
                continue;
            }
        };
        let kind = message.and_then(|message| message.kind);
        match kind {
            Some(debug_output::Kind::Stdout(data)) => write(&mut Out::unfiltered(), &data)?,
            Some(debug_output::Kind::Stderr(data)) => write(&mut stderr().lock(), &data)?,
            Some(debug_output::Kind::Note(note)) => say(&format!("{note}\r")),
            Some(debug_output::Kind::Exit(0)) => return Ok(()),
            Some(debug_output::Kind::Exit(code)) => {
                return Err(Error::JobFailed(format!("the session ended with exit code {code}")));
            }
            Some(debug_output::Kind::Failed(why)) => return Err(Error::Failed(why)),
            Some(debug_output::Kind::Pipe(pipe)) => forwards.take(pipe).await,
            Some(debug_output::Kind::Request(_)) => {}
            None => return Err(Error::Failed("the line to the shell broke".to_owned())),
        }
    }
}

fn write(out: &mut impl Write, data: &[u8]) -> Result<(), Error> {
    out.write_all(data).and_then(|()| out.flush()).map_err(Error::output)
}

async fn send(typed: &mpsc::Sender<v1::DebugInput>, kind: debug_input::Kind) {
    // Whoever does not listen any more says why on his own.
    drop(typed.send(v1::DebugInput { kind: Some(kind) }).await);
}

fn read_input(typed: &mpsc::Sender<v1::DebugInput>) {
    let mut piece = [0; 4096];
    loop {
        let kind = match stdin().lock().read(&mut piece) {
            Ok(0) | Err(_) => debug_input::Kind::End(true),
            Ok(read) => debug_input::Kind::Data(piece[..read].to_vec()),
        };
        let ended = matches!(kind, debug_input::Kind::End(_));
        if typed.blocking_send(v1::DebugInput { kind: Some(kind) }).is_err() || ended {
            return;
        }
    }
}

/// Rows and columns of this terminal.
fn size() -> (u32, u32) {
    termios::tcgetwinsize(io::stdout()).map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()))
}

/// Every key goes to the shell as it is; given back when dropped.
struct RawMode(Termios);

impl RawMode {
    fn enter() -> Option<Self> {
        let before = termios::tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone needs no mode.
        termios::tcsetattr(stdin(), OptionalActions::Now, &self.0).ok();
    }
}
