//! Logs in the store: read back line by line, and parted into what a job wrote to each of its streams.

use bt_model::log::{LogLine, Stream as Source};
use bt_store::{FileEntry, Store};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};

/// The longest line that is read back.
const LONGEST_LINE: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Store(#[from] bt_store::Error),
    #[error("{path} is not a log: {why}")]
    NotALog { path: String, why: String },
}

/// A log's lines, in pieces, from its beginning.
pub(crate) async fn lines(
    store: &Store,
    path: &str,
) -> Result<BoxStream<'static, Result<Vec<LogLine>, Error>>, bt_store::Error> {
    let pieces = store.read(path).await?.map_err(Error::from).boxed();
    let state = (pieces, Vec::new(), path.to_owned());
    let lines = futures_util::stream::try_unfold(state, |(mut pieces, mut rest, path)| async move {
        loop {
            let Some(piece) = pieces.try_next().await? else { return Ok(None) };
            rest.extend_from_slice(&piece);
            let Some(end) = rest.iter().rposition(|byte: &u8| *byte == b'\n') else {
                if rest.len() > LONGEST_LINE {
                    return Err(Error::NotALog { path, why: "a line without end".to_owned() });
                }
                continue;
            };
            let whole: Vec<u8> = rest.drain(..=end).collect();
            let lines = whole.split_inclusive(|byte| *byte == b'\n').map(LogLine::decode);
            return match lines.collect::<Result<Vec<_>, _>>() {
                Ok(lines) => Ok(Some((lines, (pieces, rest, path)))),
                Err(error) => Err(Error::NotALog { path, why: error.to_string() }),
            };
        }
    });
    Ok(lines.boxed())
}

/// Writes what a job wrote to each of its streams as files of their own, named `<stem>stdout.log` and `<stem>stderr.log`;
/// a stream that nothing was written to has none. Says what was written; nothing if there is no log.
pub(crate) async fn part(store: &Store, log: &str, stem: &str) -> Result<Vec<FileEntry>, Error> {
    let mut lines = match lines(store, log).await {
        Ok(lines) => lines,
        Err(bt_store::Error::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut streams = [(Source::Stdout, "stdout.log", None), (Source::Stderr, "stderr.log", None)];
    while let Some(some) = lines.try_next().await? {
        for (source, name, upload) in &mut streams {
            let of = some.iter().filter(|line| line.stream == *source);
            let text: Vec<u8> = of.flat_map(|line| line.text.iter().copied()).collect();
            if text.is_empty() {
                continue;
            }
            let upload = match upload {
                Some(upload) => upload,
                none => none.insert(store.upload(&format!("{stem}{name}"), None).await?),
            };
            upload.write(Bytes::from(text)).await?;
        }
    }
    let mut written = Vec::new();
    for (_, name, upload) in streams {
        if let Some(upload) = upload {
            let receipt = upload.finish().await?;
            let name = receipt.path.strip_prefix(stem).unwrap_or(name);
            written.push(FileEntry::new(name, receipt.size, &receipt.sha256));
        }
    }
    Ok(written)
}
