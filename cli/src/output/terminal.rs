//! What reaches a terminal, made harmless: a control character in a name, a reason or a log could change the terminal's
//! title, its colours, or what the next command line does. Into a file or a pipe a job's text goes byte for byte.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

pub(crate) fn is_stdout() -> bool {
    io::stdout().is_terminal()
}

pub(crate) fn is_stdin() -> bool {
    io::stdin().is_terminal()
}

pub(crate) fn is_stderr() -> bool {
    io::stderr().is_terminal()
}

/// Columns and rows of the terminal that standard error is, as they are now.
pub(super) fn stderr_size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stderr()).ok()?;
    Some((usize::from(size.ws_col), usize::from(size.ws_row)))
        .filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Writes a job's text.
pub(crate) fn write(out: &mut impl Write, text: &[u8], to_terminal: bool) -> io::Result<()> {
    match to_terminal {
        // Progress bars begin their line anew; that a terminal may do.
        true => out.write_all(show(&String::from_utf8_lossy(text), |c| c == '\r').as_bytes()),
        false => out.write_all(text),
    }
}

/// The text with its control characters shown instead of obeyed; lines and tabs stay.
pub(crate) fn visible(text: &str) -> String {
    show(text, |_| false)
}

fn show(text: &str, allows: fn(char) -> bool) -> String {
    text.chars().map(|c| if allows(c) { c } else { shown(c) }).collect()
}

/// A control character as a picture of itself, `␛` for escape; the letters that turn the direction of reading around,
/// and the controls between 0x80 and 0x9f, have none.
pub(super) fn shown(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\u{7f}' => '\u{2421}',
        c if (c as u32) < 0x20 => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

/// Writes text with its control characters shown.
#[derive(Debug)]
pub(crate) struct Visible<W> {
    out: W,
    /// The beginning of a character that the next piece goes on with.
    begun: Vec<u8>,
}

impl<W: Write> Visible<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: Vec::new() }
    }

    pub(crate) fn inner(&mut self) -> &mut W {
        &mut self.out
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(text);
        if let Some(last) = all.utf8_chunks().last().map(|chunk| chunk.invalid().len())
            && std::str::from_utf8(&all[all.len() - last..]).is_err_and(|error| error.error_len().is_none())
        {
            self.begun = all.split_off(all.len() - last);
        }
        self.out.write_all(visible(&String::from_utf8_lossy(&all)).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Where a server logs to. tracing shows the control characters of what it logs; only its own colours pass here.
pub(crate) fn log() -> TerminalLog {
    TerminalLog(io::stderr())
}

pub(crate) struct TerminalLog(io::Stderr);

impl Write for TerminalLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut visible = String::with_capacity(text.len());
        let mut rest = text.as_ref();
        while let Some(escape) = rest.find("\u{1b}[") {
            let (before, after) = rest.split_at(escape);
            visible.extend(before.chars().map(shown));
            let digits = after[2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            rest = match digits.strip_prefix('m') {
                Some(after_colour) => {
                    visible.push_str(&after[..after.len() - after_colour.len()]);
                    after_colour
                }
                None => {
                    visible.push(shown('\u{1b}'));
                    &after[1..]
                }
            };
        }
        visible.extend(rest.chars().map(shown));
        self.0.write_all(visible.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]0;owned\u{7}\tb\u{9b}31m\u{202e}c\u{200f}\u{7f}\n";

    #[test]
    fn escapes_are_shown_and_not_obeyed() {
        let written = |text: &str, to_terminal| {
            let mut out = Vec::new();
            write(&mut out, text.as_bytes(), to_terminal).unwrap();
            String::from_utf8(out).unwrap()
        };
        let shown = "a\u{241b}]0;owned\u{2407}\tb\u{fffd}31m\u{fffd}c\u{fffd}\u{2421}\n";
        assert_eq!(written(HOSTILE, false), HOSTILE);
        assert_eq!(written(HOSTILE, true), shown);
        assert_eq!(visible(HOSTILE), shown);
        assert_eq!(written("10%\r20%", true), "10%\r20%");
        assert_eq!(visible("10%\r20%"), "10%\u{240d}20%");
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let mut out = Visible::new(Vec::new());
        for byte in "é\u{9b}\u{202e}€😀".bytes() {
            out.write_all(&[byte]).unwrap();
        }
        out.write_all(b"\xffx").unwrap();
        assert_eq!(String::from_utf8(out.out).unwrap(), "é\u{fffd}\u{fffd}€😀\u{fffd}x");
    }

    #[test]
    fn every_control_character_is_shown() {
        for c in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32).filter(|c| !"\n\t".contains(*c)) {
            assert!(!visible(&c.to_string()).contains(c), "{c:?}");
        }
    }
}
