//! The content of a published file as it comes: decoded, in bounded memory, whatever it is stored as.

use bt_proto::v1;
use bt_store::Decoder;
use tonic::{Status, Streaming};

use crate::error::Error;

/// Why no more of a file comes.
pub(super) enum DownloadError {
    /// The disk.
    Disk(Error),
    /// The coordinator, or the way to it.
    Coordinator(Box<Status>),
}

impl From<Status> for DownloadError {
    fn from(status: Status) -> Self {
        Self::Coordinator(Box::new(status))
    }
}

impl From<Error> for DownloadError {
    fn from(error: Error) -> Self {
        Self::Disk(error)
    }
}

/// A file's content.
pub(super) struct FileContent {
    /// What it is called, for people.
    name: String,
    replies: Streaming<v1::DownloadReply>,
    /// What was received last and is not decoded yet.
    rest: Vec<u8>,
    taken: usize,
    /// None where it is stored as it is.
    decoder: Option<Decoder>,
    /// Where in the file it begins, once that is known.
    offset: Option<u64>,
}

impl FileContent {
    pub(super) fn new(name: String, replies: Streaming<v1::DownloadReply>) -> Self {
        Self { name, replies, rest: Vec::new(), taken: 0, decoder: None, offset: None }
    }

    /// Where in the file the first piece begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset.unwrap_or_default()
    }

    /// The next piece; none at the end. Data that is not what it says is an error.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, DownloadError> {
        let name = &self.name;
        let damaged =
            |error| DownloadError::Disk(Error::Failed(format!("{name} is damaged in the store: {error}")));
        loop {
            if let Some(decoder) = &mut self.decoder {
                let mut input = &self.rest[self.taken..];
                let piece = decoder.decode(&mut input).map_err(damaged)?;
                self.taken = self.rest.len() - input.len();
                if piece.is_some() {
                    return Ok(piece);
                }
            }
            let Some(reply) = self.replies.message().await? else {
                let whole = self.decoder.take().map_or(Ok(()), Decoder::finish);
                return whole.map(|()| None).map_err(damaged);
            };
            self.offset.get_or_insert(reply.offset);
            if reply.encoding() == v1::Encoding::Zstd {
                self.decoder = Some(Decoder::new().map_err(damaged)?);
            }
            match self.decoder {
                None if reply.data.is_empty() => {}
                None => return Ok(Some(reply.data.into())),
                Some(_) => (self.rest, self.taken) = (reply.data.into(), 0),
            }
        }
    }
}
