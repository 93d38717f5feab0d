//! What jobs print, made harmless for a terminal: an escape sequence could change its title, its colours, or what the next
//! command line does. Into a file or a pipe it goes byte for byte.

use std::io::{self, IsTerminal, Write};

pub(crate) fn is_stdout() -> bool {
    io::stdout().is_terminal()
}

pub(crate) fn is_stdin() -> bool {
    io::stdin().is_terminal()
}

pub(crate) fn is_stderr() -> bool {
    io::stderr().is_terminal()
}

/// Writes a job's text.
pub(crate) fn write(out: &mut impl Write, text: &[u8], to_terminal: bool) -> io::Result<()> {
    if !to_terminal {
        return out.write_all(text);
    }
    out.write_all(harmless(&String::from_utf8_lossy(text)).as_bytes())
}

/// Control characters but for line ends and tabs as pictures of themselves: `␛` for escape.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        // Progress bars begin their line anew; that a terminal may do.
        '\r' => c,
        '\u{7f}' => '\u{2421}',
        c if (c as u32) < 0x20 => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        // The second half of the controls, which some terminals obey as well.
        c if (0x80..0xa0).contains(&(c as u32)) => '\u{fffd}',
        // Letters that turn the direction of reading around.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_shown_and_not_obeyed() {
        let written = |text: &str, to_terminal| {
            let mut out = Vec::new();
            write(&mut out, text.as_bytes(), to_terminal).unwrap();
            String::from_utf8(out).unwrap()
        };
        let hostile = "a\u{1b}]0;owned\u{7}\tb\u{9b}31m\u{202e}c\n";
        assert_eq!(written(hostile, false), hostile);
        assert_eq!(written(hostile, true), "a\u{241b}]0;owned\u{2407}\tb\u{fffd}31m\u{fffd}c\n");
    }
}
