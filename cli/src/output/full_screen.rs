//! The whole terminal for one program. However that ends, the terminal is as it was before: at a signal, at an error and at
//! a panic too.

use std::io::Stdout;
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::{Frame, Terminal};

use super::{out, terminal};
use crate::error::Error;

pub(crate) struct FullScreen(Terminal<CrosstermBackend<Stdout>>);

impl FullScreen {
    /// Fails where standard input or output is no terminal.
    pub(crate) fn check(command: &str) -> Result<(), Error> {
        match terminal::is_stdout() && terminal::is_stdin() {
            true => Ok(()),
            false => Err(Error::Usage(format!(
                "{command} draws on a terminal, and this is none; scripts use btctl ls, show, top and agents ls with -o json"
            ))),
        }
    }

    pub(crate) fn enter() -> Result<Self, Error> {
        restore_at_panic();
        let failed = |error| Error::Failed(format!("the terminal can't be drawn on: {error}"));
        enable_raw_mode().map_err(failed)?;
        let entered = execute!(out::whole_screen(), EnterAlternateScreen);
        let opened = entered.and_then(|()| Terminal::new(CrosstermBackend::new(out::whole_screen())));
        opened.map(Self).map_err(|error| {
            restore();
            failed(error)
        })
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Error> {
        let drawn = self.0.draw(|frame| {
            draw(frame);
            make_harmless(frame.buffer_mut());
        });
        drawn.map(drop).map_err(Error::output)
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // A terminal that has gone needs no mode.
    disable_raw_mode().ok();
    execute!(out::whole_screen(), LeaveAlternateScreen, Show).ok();
}

/// What the panic says is seen, and on the screen that stays.
fn restore_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

/// Whatever wrote a name or a log: no control character reaches the terminal, and none that turns the direction of reading.
fn make_harmless(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().chars().any(|c| terminal::shown(c) != c || c == '\n' || c == '\t') {
            cell.set_symbol("\u{fffd}");
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_in_a_buffer() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        for (index, symbol) in ["a", "\u{1b}", "b\u{202e}", "\n", "日", " "].iter().enumerate() {
            buffer.content[index].set_symbol(symbol);
        }
        make_harmless(&mut buffer);
        let symbols: Vec<_> = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(symbols, ["a", "\u{fffd}", "\u{fffd}", "\u{fffd}", "日", " "]);
    }
}
