//! Standard output, opened in this one place. Everything that a command prints goes through [`Out`], and an error in it
//! through [`Error::output`]: a reader that stops reading, such as `head -1`, ends the command quietly with exit code 0.
//! On a terminal its control characters are shown instead of obeyed.

use std::io::{self, BufWriter, Stdout, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::tcgetwinsize;
use rustix::time::Timespec;

use super::terminal::{self, Visible};
use crate::error::Error;

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 << 10;
/// How often a command that waits looks whether its reader is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Buffered standard output. Call [`Out::finish`] at the end: what is left is written then, and errors are reported.
#[derive(Debug)]
pub(crate) struct Out(Sink);

#[derive(Debug)]
enum Sink {
    Bytes(BufWriter<Stdout>),
    Terminal(Visible<BufWriter<Stdout>>),
}

impl Out {
    pub(crate) fn stdout() -> Self {
        let out = BufWriter::with_capacity(BUFFER, io::stdout());
        match terminal::is_stdout() {
            true => Self(Sink::Terminal(Visible::new(out))),
            false => Self(Sink::Bytes(out)),
        }
    }

    /// For a shell, which controls the terminal, and for logs, which are made harmless line by line.
    pub(crate) fn unfiltered() -> Self {
        Self(Sink::Bytes(BufWriter::with_capacity(BUFFER, io::stdout())))
    }

    /// Writes the document of a command.
    pub(crate) fn put(&mut self, text: &str) -> Result<(), Error> {
        self.write_all(text.as_bytes()).map_err(Error::output)
    }

    /// Writes what a job printed or left: byte for byte, but harmless on a terminal.
    pub(crate) fn put_from_job(&mut self, text: &[u8]) -> Result<(), Error> {
        match &mut self.0 {
            Sink::Bytes(out) => out.write_all(text),
            Sink::Terminal(out) => terminal::write(out.inner(), text, true),
        }
        .map_err(Error::output)
    }

    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.flush().map_err(Error::output)
    }
}

impl Write for Out {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Sink::Bytes(out) => out.write(data),
            Sink::Terminal(out) => out.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Sink::Bytes(out) => out.flush(),
            Sink::Terminal(out) => out.flush(),
        }
    }
}

/// Characters that a line of standard output holds: the terminal's width. Without a terminal there is no limit, unless
/// `COLUMNS` is in the environment.
pub(super) fn width() -> Option<usize> {
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = terminal_size().map(|(columns, _)| columns).filter(|_| terminal::is_stdout());
    width.or(given).filter(|width| *width > 0)
}

/// Columns and rows of the terminal that standard output is, as they are now.
pub(super) fn terminal_size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some((usize::from(size.ws_col), usize::from(size.ws_row)))
        .filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// For a program that draws the whole screen; see [`FullScreen`](super::FullScreen), which makes it harmless.
pub(super) fn whole_screen() -> Stdout {
    io::stdout()
}

/// Writes what is harmless already, at once.
pub(super) fn write_at_once(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::output)
}

/// Returns when the reader of standard output has left. A command that waits for more to print races it, because it
/// would not notice before its next line.
pub(crate) async fn reader_left() -> Error {
    let stdout = io::stdout();
    loop {
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let left = PollFlags::ERR | PollFlags::NVAL;
        if poll(&mut watched, Some(&now)).is_ok() && watched[0].revents().intersects(left) {
            return Error::OutputClosed;
        }
        tokio::time::sleep(LOOK).await;
    }
}
