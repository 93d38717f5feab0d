//! Output cut into lines: byte for byte, each line as soon as it is whole.

use std::collections::VecDeque;
use std::time::Duration;

use bt_model::log::{LogLine, Stream as Source};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant;

/// A line longer than this is kept in pieces.
const LONGEST_PIECE: usize = 16 << 10;
/// How long the beginning of a line waits for the rest of it.
const UNFINISHED_WAIT: Duration = Duration::from_millis(100);

/// Cuts output into lines, each as soon as it is whole. The beginning of a line is given out without its rest when that
/// does not come soon, or is long.
pub fn lines<E: Send + 'static>(
    output: impl Stream<Item = Result<(Source, Bytes), E>> + Send + 'static,
) -> impl Stream<Item = Result<LogLine, E>> + Send + 'static {
    let cutter = Cutter {
        output: Some(output.boxed()),
        unfinished: [Vec::new(), Vec::new()],
        due: Instant::now(),
        whole: VecDeque::new(),
        broken: None,
    };
    stream::unfold(cutter, |mut cutter| async move { cutter.next().await.map(|line| (line, cutter)) })
}

struct Cutter<E> {
    output: Option<BoxStream<'static, Result<(Source, Bytes), E>>>,
    /// Of standard output and standard error: the beginning of a line.
    unfinished: [Vec<u8>; 2],
    /// When the unfinished lines are given out as they are.
    due: Instant,
    whole: VecDeque<LogLine>,
    broken: Option<E>,
}

impl<E> Cutter<E> {
    async fn next(&mut self) -> Option<Result<LogLine, E>> {
        loop {
            if let Some(line) = self.whole.pop_front() {
                return Some(Ok(line));
            }
            let Some(output) = self.output.as_mut() else {
                return self.broken.take().map(Err);
            };
            let piece = match self.unfinished.iter().all(Vec::is_empty) {
                true => Ok(output.next().await),
                false => tokio::time::timeout_at(self.due, output.next()).await,
            };
            match piece {
                Ok(Some(Ok((source, bytes)))) => self.cut(source, &bytes),
                Ok(None) => {
                    self.output = None;
                    self.give_out_unfinished();
                }
                Ok(Some(Err(error))) => {
                    self.output = None;
                    self.broken = Some(error);
                    self.give_out_unfinished();
                }
                Err(_) => self.give_out_unfinished(),
            }
        }
    }

    fn cut(&mut self, source: Source, bytes: &Bytes) {
        if self.unfinished.iter().all(Vec::is_empty) {
            self.due = Instant::now() + UNFINISHED_WAIT;
        }
        let time = Timestamp::now();
        let line = &mut self.unfinished[usize::from(source == Source::Stderr)];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = part;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(LONGEST_PIECE - line.len()));
                line.extend_from_slice(now);
                rest = later;
                if line.len() == LONGEST_PIECE || line.last() == Some(&b'\n') {
                    self.whole.push_back(LogLine { time, stream: source, text: std::mem::take(line) });
                }
            }
        }
    }

    fn give_out_unfinished(&mut self) {
        let time = Timestamp::now();
        for (source, text) in [Source::Stdout, Source::Stderr].into_iter().zip(&mut self.unfinished) {
            if !text.is_empty() {
                self.whole.push_back(LogLine { time, stream: source, text: std::mem::take(text) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Piece = Result<(Source, Bytes), &'static str>;

    fn out(text: &[u8]) -> Piece {
        Ok((Source::Stdout, Bytes::copy_from_slice(text)))
    }

    fn err(text: &[u8]) -> Piece {
        Ok((Source::Stderr, Bytes::copy_from_slice(text)))
    }

    async fn cut(pieces: Vec<Piece>) -> Vec<(Source, Vec<u8>)> {
        let lines =
            lines(stream::iter(pieces)).map(|line| line.map(|line| (line.stream, line.text)).unwrap());
        lines.collect().await
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_were_written() {
        let pieces = vec![out(b"a"), err(b"e1"), out(b"b\nc\xff"), err(b"\n"), out(b"\0\r\n\n"), out(b"end")];
        let expected = [
            (Source::Stdout, b"ab\n".to_vec()),
            (Source::Stderr, b"e1\n".to_vec()),
            (Source::Stdout, b"c\xff\0\r\n".to_vec()),
            (Source::Stdout, b"\n".to_vec()),
            (Source::Stdout, b"end".to_vec()),
        ];
        assert_eq!(cut(pieces).await, expected);
    }

    #[tokio::test]
    async fn a_long_line_comes_in_pieces_that_are_its_bytes() {
        let long: Vec<u8> = (0..100_000_u32).map(|n| [b'x', 0xc3, 0xa9, 0][n as usize % 4]).collect();
        for end in [&b""[..], b"\n", b"\nnext\n"] {
            let written = [&long, end].concat();
            let pieces = written.chunks(30_001).map(out).collect();
            let pieces: Vec<_> = cut(pieces).await.into_iter().map(|(_, text)| text).collect();
            assert!(pieces.iter().all(|piece| piece.len() <= LONGEST_PIECE));
            assert_eq!(pieces.concat(), written);
        }
    }

    #[tokio::test]
    async fn a_prompt_does_not_wait_for_its_newline() {
        let pieces = stream::iter([out(b"50 %\r")]).chain(stream::pending());
        let mut lines = Box::pin(lines(pieces));
        let first = tokio::time::timeout(Duration::from_secs(20), lines.next()).await.unwrap();
        assert_eq!(first.unwrap().unwrap().text, b"50 %\r");
    }

    #[tokio::test]
    async fn what_came_before_a_break_is_given_out_first() {
        let broken = Err("broken");
        let mut lines = Box::pin(lines(stream::iter([out(b"half"), broken])));
        assert_eq!(lines.next().await.unwrap().unwrap().text, b"half");
        assert!(lines.next().await.unwrap().is_err());
        assert!(lines.next().await.is_none());
    }
}
