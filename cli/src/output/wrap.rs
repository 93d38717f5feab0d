//! Sentences on a terminal: broken between words, so that they fill its lines and no word is cut.

use unicode_width::UnicodeWidthStr;

use super::channel::Channel;

/// A line that is wider is hard to read.
const WIDEST: usize = 100;

/// A text as lines that fit the terminal; as it is where it goes into a file or a pipe.
pub(crate) fn wrapped(text: &str) -> String {
    let out = Channel::Stdout;
    if !out.is_terminal() {
        return text.to_owned();
    }
    at_width(text, out.size().0.min(WIDEST))
}

fn at_width(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= width) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole() {
        assert_eq!(at_width("one two three", 7), "one two\nthree");
        assert_eq!(at_width("one two three", 80), "one two three");
        assert_eq!(at_width("extraordinary a b", 4), "extraordinary\na b");
        assert_eq!(at_width("", 4), "");
    }
}
