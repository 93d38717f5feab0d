//! Files written to the store by the agent itself. How far a large one has come in a bucket is written down beside the
//! attempt: after a cut, or a restart of the agent, only the parts that are missing are sent.

use std::fs::File;
use std::time::Duration;

use bt_measures::AGENT_SENT;
use bt_model::encoding::Encoding;
use bt_store::{Error, Receipt, Store};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::Trouble;
use super::source::{Hashing, PieceReader, Summary};
use crate::job::holdings::Held;
use crate::line::Line;
use crate::record::ending::StoredOutput;
use crate::record::upload::UnfinishedUpload;

/// How often it is written down how far a file has come.
const NOTED: Duration = Duration::from_secs(1);
/// How long removing what nobody goes on with may take.
const REMOVAL: Duration = Duration::from_secs(10);

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Name { .. } => Self::Refused(error.to_string()),
            error if error.is_no_access() => Self::NoAccess(error.to_string()),
            error => Self::Again(error.to_string()),
        }
    }
}

/// One try to write a file to its place.
pub(super) async fn send(
    line: &Line,
    held: &Held,
    store: &Store,
    place: &str,
    path: &str,
    encoding: Encoding,
    file: File,
) -> Result<StoredOutput, Trouble> {
    let written = write(line, held, store, place, encoding, file).await;
    if matches!(written, Ok(_) | Err(Error::NotFound { .. })) {
        // What was begun is complete, or gone from there, as by a rule of the bucket's owner.
        held.dir.forget_begun(place);
    }
    let (summary, receipt) = written?;
    let (size, sha256, stored_size) = match encoding {
        Encoding::None => (receipt.size, receipt.sha256.to_vec(), 0),
        Encoding::Zstd => (summary.size, summary.sha256, receipt.size),
    };
    // The attempt's directory is what its place has before the name.
    let dir = place.len() - encoding.stored_as(path).len();
    let stored_as = match receipt.path == place {
        true => String::new(),
        false => receipt.path.get(dir..).unwrap_or_default().to_owned(),
    };
    Ok(StoredOutput {
        path: path.to_owned(),
        size,
        sha256,
        small: false,
        encoding,
        stored_size,
        stored_as,
        content: None,
    })
}

async fn write(
    line: &Line,
    held: &Held,
    store: &Store,
    place: &str,
    encoding: Encoding,
    file: File,
) -> Result<(Summary, Receipt), Error> {
    let mut upload = match held.dir.begun(place).filter(|begun| begun.place == place) {
        Some(begun) => {
            info!(attempt.id = %held.id(), "{place}: {} parts are there already", begun.progress.parts());
            store.resume(place, begun.progress).await?
        }
        None => {
            // Of an earlier run of the agent.
            store.clear(place).await?;
            store.upload(place, file.metadata().map(|file| file.len()).ok()).await?
        }
    };
    let mut source = PieceReader::open(line, file, encoding, Hashing::Taker);
    let mut noted: Option<Instant> = None;
    while let Some(piece) = source.pieces.recv().await {
        if upload.sends() {
            line.pace.wait(piece.len()).await;
            AGENT_SENT.add(["direct"], piece.len() as u64);
        }
        let written = upload.write(piece).await;
        if (written.is_err() || noted.is_none_or(|noted| noted.elapsed() > NOTED))
            && let Some(progress) = upload.progress()
        {
            held.dir.note_begun(place, &UnfinishedUpload { place: place.to_owned(), progress });
            noted = Some(Instant::now());
        }
        written?;
    }
    let unread = |error: std::io::Error| Error::Access { path: place.to_owned(), why: error.to_string() };
    let summary = source.end().await.map_err(unread)?;
    Ok((summary, upload.finish().await?))
}

/// Removes from the store what was begun for an attempt and will never be whole.
pub(crate) async fn abandon(held: &Held, store: &Store) {
    let removing = async {
        for begun in held.dir.all_begun() {
            if let Err(error) = store.abandon(&begun.place, begun.progress).await {
                warn!(attempt.id = %held.id(), error = %error, "parts of {} are left in the store", begun.place);
            }
        }
    };
    if timeout(REMOVAL, removing).await.is_err() {
        warn!(attempt.id = %held.id(), "parts of files that nobody wants are left in the store");
    }
}
