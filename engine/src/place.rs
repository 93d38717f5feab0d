//! A place in a container's log, by which a reader goes on where an earlier one was.

use bt_model::log::{LogLine, Stream};
use jiff::Timestamp;

/// A place in a container's log: behind so many bytes of each stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPlace {
    pub stdout: Taken,
    pub stderr: Taken,
    /// When the last line was taken.
    pub last: Timestamp,
}

/// What is known of one stream of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub bytes: u64,
    /// How it begins, up to [`HEAD`](Self::HEAD) bytes.
    pub head: Vec<u8>,
}

impl Taken {
    /// So many bytes tell whether an engine still has a log from its beginning.
    pub const HEAD: usize = 256;

    pub fn take(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        let missing = Self::HEAD.saturating_sub(self.head.len());
        // What comes after a gap is not how it begins.
        if self.head.len() as u64 + text.len() as u64 >= self.bytes {
            self.head.extend_from_slice(&text[..text.len().min(missing)]);
        }
    }
}

impl LogPlace {
    pub fn side(&mut self, stream: Stream) -> &mut Taken {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    pub fn take(&mut self, line: &LogLine) {
        self.side(line.stream).take(&line.text);
        self.last = line.time;
    }
}
