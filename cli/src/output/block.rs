//! Lines on a terminal that are drawn anew where they stand. None is wider than the terminal, and there are fewer than it
//! has rows, so that nothing scrolls; when it gets narrower, the rows that the lines were broken into are cleared too.

use std::io;

use crossterm::cursor::{MoveToColumn, MoveUp};
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use ratatui::backend::IntoCrossterm;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::channel::Channel;
use super::terminal;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Block {
    channel: Channel,
    /// Widths of the lines on the screen. The cursor is below them.
    widths: Vec<usize>,
}

impl Block {
    /// None where the channel is no terminal.
    pub(crate) fn on(channel: Channel) -> Option<Self> {
        channel.is_terminal().then(|| Self { channel, widths: Vec::new() })
    }

    /// Draws the lines in the place of those before; what does not fit on the screen is left out.
    pub(crate) fn draw(&mut self, lines: &[Line<'_>]) -> Result<(), Error> {
        let (columns, rows) = self.channel.size();
        let lines: Vec<_> =
            lines.iter().take(rows.saturating_sub(1)).map(|line| cut(line, columns)).collect();
        let mut bytes = Vec::new();
        self.queue(&lines, columns, &mut bytes).map_err(Error::output)?;
        self.widths = lines.iter().map(Line::width).collect();
        self.channel.write(&bytes)
    }

    /// Draws a text of several lines.
    pub(crate) fn draw_text(&mut self, text: &str) -> Result<(), Error> {
        self.draw(&text.lines().map(Line::from).collect::<Vec<_>>())
    }

    /// Takes it off the screen.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        match self.widths.is_empty() {
            true => Ok(()),
            false => self.draw(&[]),
        }
    }

    fn queue(&self, lines: &[Line<'_>], columns: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let rows: usize = self.widths.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        queue!(out, BeginSynchronizedUpdate, MoveToColumn(0))?;
        if rows > 0 {
            queue!(out, MoveUp(u16::try_from(rows).unwrap_or(u16::MAX)))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        for line in lines {
            for span in &line.spans {
                let style = line.style.patch(span.style).into_crossterm();
                out.extend(style.apply(&span.content).to_string().bytes());
            }
            // A shell may have left the terminal in raw mode.
            out.extend(b"\r\n");
        }
        queue!(out, EndSynchronizedUpdate)
    }
}

/// The line as it may reach a terminal, no wider than this, with a mark where it was cut.
fn cut(line: &Line<'_>, width: usize) -> Line<'static> {
    let spans: Vec<(String, _)> =
        line.spans.iter().map(|span| (one_line(&span.content), span.style)).collect();
    let total: usize = spans.iter().map(|(text, _)| text.width()).sum();
    let room = if total > width { width.saturating_sub(1) } else { width };
    let (mut used, mut kept, mut is_cut) = (0, Vec::new(), false);
    for (text, style) in spans {
        let mut shown = String::new();
        for c in text.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > room {
                is_cut = true;
                break;
            }
            used += wide;
            shown.push(c);
        }
        if is_cut {
            shown.push('…');
        }
        kept.push(Span::styled(shown, style));
        if is_cut {
            break;
        }
    }
    Line::from(kept).style(line.style)
}

/// On one line, with control characters shown.
pub(crate) fn one_line(text: &str) -> String {
    terminal::visible(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use ratatui::style::Stylize;

    use super::*;

    #[test]
    fn lines_are_cut_by_their_width_and_made_harmless() {
        let line = Line::from(vec!["日本語".bold(), " a\u{1b}[31mb\nc".into()]);
        assert_eq!(cut(&line, 80).to_string(), "日本語 a␛[31mb c");
        assert_eq!(cut(&line, 9).to_string(), "日本語 a…");
        assert_eq!(cut(&line, 5).to_string(), "日本…");
        assert_eq!(cut(&line, 4).to_string(), "日…");
        assert_eq!(cut(&Line::from("abc"), 1).to_string(), "…");
        assert_eq!(cut(&Line::from("abc"), 3).to_string(), "abc");
    }

    #[test]
    fn all_rows_are_cleared_that_the_lines_were_broken_into() {
        let block = Block { channel: Channel::Stderr, widths: vec![80, 0, 41] };
        let mut bytes = Vec::new();
        block.queue(&[Line::from("x")], 40, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains("\u{1b}[5A") && text.contains("\u{1b}[J") && text.contains("x\r\n"),
            "{text:?}"
        );
    }
}
