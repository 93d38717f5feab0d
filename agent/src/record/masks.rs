//! Keeps the values of secrets out of logs: where a job prints one that it was given, as many asterisks are kept instead.
//!
//! There are as many of them as the value has bytes: a restarted agent goes on in a log by how many bytes of it it has. A
//! value is found wherever the engine cuts what is printed, and each line of a value of several is looked for by itself. What
//! is printed in another form (as base64, say) is not known for what it is.

use bt_model::log::{LogLine, Stream as Source};
use bt_model::secret_value::SecretBytes;
use futures_util::{Stream, StreamExt, future, stream};
use memchr::memmem::Finder;

/// Bytes of the shortest value, or line of one, that is looked for: shorter ones are in many texts by chance.
const SHORTEST: usize = 8;

/// What is masked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks {
    patterns: Vec<SecretBytes>,
}

impl Masks {
    pub(crate) fn of(values: &[SecretBytes]) -> Self {
        let lines = values.iter().flat_map(|value| value.bytes().split(|byte| *byte == b'\n'));
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let long = lines.filter(|line| line.len() >= SHORTEST);
        Self { patterns: long.map(|line| SecretBytes::new(line.to_vec())).collect() }
    }

    /// The same lines, masked.
    pub(crate) fn mask<E>(
        self,
        lines: impl Stream<Item = Result<LogLine, E>>,
    ) -> impl Stream<Item = Result<LogLine, E>> {
        let mut masker = Masker { patterns: self.patterns, stdout: Held::default(), stderr: Held::default() };
        // The end is an item too: what was held back follows it.
        lines.map(Some).chain(stream::once(future::ready(None))).flat_map(move |line| {
            stream::iter(match line {
                Some(Ok(line)) => masker.take(line).into_iter().map(Ok).collect::<Vec<_>>(),
                Some(Err(error)) => {
                    let held = masker.end().into_iter().map(Ok);
                    held.chain([Err(error)]).collect()
                }
                None => masker.end().into_iter().map(Ok).collect(),
            })
        })
    }
}

struct Masker {
    patterns: Vec<SecretBytes>,
    stdout: Held,
    stderr: Held,
}

/// What a stream has printed last and may be the beginning of a value.
#[derive(Default)]
struct Held {
    text: Vec<u8>,
    /// Whether each byte of it is part of a value that was found.
    masked: Vec<bool>,
    line: Option<LogLine>,
}

impl Masker {
    fn take(&mut self, mut line: LogLine) -> Option<LogLine> {
        if self.patterns.is_empty() {
            return Some(line);
        }
        let held = match line.stream {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        };
        let (mut text, mut masked) = (std::mem::take(&mut held.text), std::mem::take(&mut held.masked));
        text.append(&mut line.text);
        masked.resize(text.len(), false);
        for pattern in &self.patterns {
            find_all(&text, pattern.bytes(), &mut masked);
        }
        let kept = match text.ends_with(b"\n") {
            // No line of a value has a newline in it.
            true => text.len(),
            false => text.len() - longest_beginning(&text, &self.patterns),
        };
        held.text = text.split_off(kept);
        held.masked = masked.split_off(kept);
        held.line = (!held.text.is_empty()).then(|| line.clone());
        hide(&mut text, &masked);
        line.text = text;
        (!line.text.is_empty()).then_some(line)
    }

    /// What is still held back: no more follows.
    fn end(&mut self) -> Vec<LogLine> {
        let rest = [&mut self.stdout, &mut self.stderr].into_iter().filter_map(|held| {
            let mut line = held.line.take()?;
            line.text = std::mem::take(&mut held.text);
            hide(&mut line.text, &std::mem::take(&mut held.masked));
            Some(line)
        });
        rest.collect()
    }
}

/// Marks each place where the pattern stands, also where one overlaps with another.
fn find_all(text: &[u8], pattern: &[u8], masked: &mut [bool]) {
    let finder = Finder::new(pattern);
    let mut from = 0;
    while let Some(at) = finder.find(&text[from..]) {
        masked[from + at..from + at + pattern.len()].fill(true);
        from += at + 1;
    }
}

/// Bytes at the end of a text with which one of the patterns may begin.
fn longest_beginning(text: &[u8], patterns: &[SecretBytes]) -> usize {
    let of = |pattern: &SecretBytes| {
        let pattern = pattern.bytes();
        let most = (pattern.len() - 1).min(text.len());
        (1..=most).rev().find(|size| text.ends_with(&pattern[..*size])).unwrap_or(0)
    };
    patterns.iter().map(of).max().unwrap_or(0)
}

fn hide(text: &mut [u8], masked: &[bool]) {
    text.iter_mut().zip(masked).filter(|(_, masked)| **masked).for_each(|(byte, _)| *byte = b'*');
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn line(stream: Source, text: &[u8]) -> LogLine {
        LogLine { time: Timestamp::UNIX_EPOCH, stream, text: text.to_vec() }
    }

    fn masked(values: &[&str], lines: &[(Source, &str)]) -> (String, String) {
        let values: Vec<_> = values.iter().map(|value| SecretBytes::new(value.as_bytes().to_vec())).collect();
        let lines = lines.iter().map(|(source, text)| Ok::<_, ()>(line(*source, text.as_bytes())));
        let lines: Vec<_> = stream::iter(lines.collect::<Vec<_>>()).collect().now_or_never().unwrap();
        let all: Vec<_> = Masks::of(&values).mask(stream::iter(lines)).collect().now_or_never().unwrap();
        let of = |source| {
            let own = all.iter().map(|line| line.as_ref().unwrap()).filter(|line| line.stream == source);
            own.map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
        };
        (of(Source::Stdout), of(Source::Stderr))
    }

    fn out(values: &[&str], pieces: &[&str]) -> String {
        let lines: Vec<_> = pieces.iter().map(|piece| (Source::Stdout, *piece)).collect();
        masked(values, &lines).0
    }

    #[test]
    fn a_value_is_masked_wherever_it_was_cut() {
        let key = "hunter2-hunter2";
        let stars = "*".repeat(key.len());
        assert_eq!(out(&[key], &["key=hunter2-hunter2\n", "x\n"]), format!("key={stars}\nx\n"));
        assert_eq!(out(&[key], &["key=hunter2-h", "unter2", "!\n"]), format!("key={stars}!\n"));
        assert_eq!(out(&[key], &["hunter2-hunter", "3\n", "hunter2-"]), "hunter2-hunter3\nhunter2-");
        let one_by_one: Vec<_> = key.split("").filter(|letter| !letter.is_empty()).collect();
        assert_eq!(out(&[key], &one_by_one), stars);
        // It overlaps with itself, and with another.
        assert_eq!(out(&["abcabcabc"], &["abcabcab", "cabc\n"]), format!("{}\n", "*".repeat(12)));
        assert_eq!(out(&["12345678", "56789abc"], &["1234567", "89abc\n"]), format!("{}\n", "*".repeat(12)));
    }

    #[test]
    fn streams_are_apart_and_short_values_stay() {
        let lines = [
            (Source::Stdout, "secret-"),
            (Source::Stderr, "one\n"),
            (Source::Stdout, "one\n"),
            (Source::Stderr, "secret-one"),
        ];
        let (stdout, stderr) = masked(&["secret-one", "one"], &lines);
        assert_eq!((stdout.as_str(), stderr.as_str()), ("**********\n", "one\n**********"));
    }

    #[test]
    fn each_line_of_a_value_is_masked() {
        let pem = "-----BEGIN KEY-----\r\nAAAABBBBCCCC\nxx\n";
        assert_eq!(
            out(&[pem], &["AAAABBBBCCCC\n", "xx\n", "a -----BEGIN KEY-----\n"]),
            format!("{}\nxx\na {}\n", "*".repeat(12), "*".repeat(19))
        );
    }

    proptest! {
        #[test]
        fn no_cut_lets_a_value_through_and_no_byte_is_lost(text in "[ab\n]{0,80}", cuts in proptest::collection::vec(0usize..80, 0..12)) {
            let key = "abbaabba";
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).flat_map(|pair| text[pair[0]..pair[1]].split_inclusive('\n')).collect();
            let shown = out(&[key], &pieces);
            prop_assert_eq!(shown.len(), text.len());
            prop_assert!(!shown.contains(key));
            for (shown, written) in shown.bytes().zip(text.bytes()) {
                prop_assert!(shown == written || shown == b'*');
            }
            if !text.contains(key) {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
