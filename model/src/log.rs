//! The log of an attempt as it is kept: one line of text each, in the format that Kubernetes' container runtimes
//! write (<https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>):
//!
//! ```text
//! 2026-11-21T03:33:18.123456789Z stdout F a whole line
//! 2026-11-21T03:33:18.223456789Z stderr P a piece that no newline ended
//! ```
//!
//! `F` (full) stands for the text and a newline, `P` (partial) for the text alone, so what the job wrote comes back
//! byte for byte.

use jiff::Timestamp;

/// Which of the container's two streams a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What a job wrote at once: at most one newline, and that at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub time: Timestamp,
    pub stream: Stream,
    pub text: Vec<u8>,
}

/// A line of a kept log that can't be read back.
#[derive(Debug, thiserror::Error)]
#[error("not a line of a log: {0:?}")]
pub struct MalformedLine(String);

impl LogLine {
    /// Cuts what a job wrote into lines; the last one may lack its newline.
    pub fn split(time: Timestamp, stream: Stream, text: &[u8]) -> impl Iterator<Item = Self> {
        text.split_inclusive(|byte| *byte == b'\n').map(move |piece| Self {
            time,
            stream,
            text: piece.to_vec(),
        })
    }

    /// Appends the line as it is kept, newline included.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let (tag, text) = match self.text.strip_suffix(b"\n") {
            Some(text) => ("F", text),
            None => ("P", self.text.as_slice()),
        };
        into.extend_from_slice(format!("{:.9} {stream} {tag} ", self.time).as_bytes());
        into.extend_from_slice(text);
        into.push(b'\n');
    }

    /// Reads one line as it is kept, with or without the newline that ends it.
    pub fn decode(line: &[u8]) -> Result<Self, MalformedLine> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let malformed = || MalformedLine(String::from_utf8_lossy(&line[..line.len().min(80)]).into());
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let mut part = || parts.next().ok_or_else(malformed);
        let time =
            std::str::from_utf8(part()?).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        let stream = match part()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return Err(malformed()),
        };
        let full = match part()? {
            b"F" => true,
            b"P" => false,
            _ => return Err(malformed()),
        };
        let mut text = part()?.to_vec();
        if full {
            text.push(b'\n');
        }
        Ok(Self { time, stream, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_wrote_comes_back_byte_for_byte() {
        let time: Timestamp = "2026-11-21T03:33:18.000000001Z".parse().unwrap();
        for written in [&b"a\nb\n"[..], b"", b"\n\n", b"no newline", b" \xff F \r\nx"] {
            let mut kept = Vec::new();
            for line in LogLine::split(time, Stream::Stderr, written) {
                line.encode(&mut kept);
            }
            let lines: Vec<_> = kept
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| LogLine::decode(line).unwrap())
                .collect();
            assert!(lines.iter().all(|line| line.time == time && line.stream == Stream::Stderr));
            let read: Vec<u8> = lines.into_iter().flat_map(|line| line.text).collect();
            assert_eq!(read, written);
        }
    }

    #[test]
    fn a_torn_line_is_told() {
        assert!(LogLine::decode(b"2026-11-21T03:33:18Z stdou").is_err());
        assert!(LogLine::decode(b"").is_err());
    }
}
