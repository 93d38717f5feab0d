//! Results read again: every file's bytes against the SHA-256 that it was published with, and each `result.json` against
//! Postgres.

use bt_proto::v1;
use bt_store::{Error, FileEntry, ResultDocument, Store};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use crate::queue::{ResultFile, ResultRow};

/// Files that are read at once.
const AT_ONCE: usize = 4;

enum Check {
    /// The `result.json` at this place.
    Document(ResultRow),
    /// A file of a job, and where it stands.
    File { job: u32, at: String, file: ResultFile },
}

/// Looks at these results' documents and files, in their order. An error is the store's, which can't be read now.
pub(crate) fn check(
    store: &Store,
    results: Vec<ResultRow>,
) -> impl Stream<Item = Result<v1::Verified, Error>> + use<> {
    let checks = results.into_iter().flat_map(|result| {
        let (job, made_by) = (result.place.job, result.made_by.clone());
        let files = result.files.clone().into_iter();
        let files = files.map(move |file| Check::File { job, at: made_by.output(&file.path), file });
        std::iter::once(Check::Document(result)).chain(files)
    });
    let store = store.clone();
    stream::iter(checks).map(move |check| run(store.clone(), check)).buffered(AT_ONCE)
}

async fn run(store: Store, check: Check) -> Result<v1::Verified, Error> {
    match check {
        Check::Document(result) => {
            let fault = document(&store, &result).await?;
            Ok(v1::Verified { job: result.place.job, path: String::new(), size: 0, fault })
        }
        Check::File { job, at, file } => {
            let fault = content(&store, &at, &file).await?;
            Ok(v1::Verified { job, path: file.path, size: file.size, fault })
        }
    }
}

/// What is wrong with a file; empty if nothing is.
async fn content(store: &Store, at: &str, file: &ResultFile) -> Result<String, Error> {
    let mut pieces = match store.read(at).await {
        Ok(pieces) => pieces,
        Err(Error::NotFound { .. }) => return Ok("is missing".to_owned()),
        Err(error) => return Err(error),
    };
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(piece) = pieces.try_next().await? {
        size += piece.len() as u64;
        hash.update(&piece);
    }
    if size != file.size {
        return Ok(format!("has {size} bytes, where {} were published", file.size));
    }
    match hash.finalize()[..] == file.sha256[..] {
        true => Ok(String::new()),
        false => Ok("has another content than was published".to_owned()),
    }
}

/// What is wrong with a result's document; empty if nothing is.
async fn document(store: &Store, result: &ResultRow) -> Result<String, Error> {
    let mut pieces = match store.read(&result.place.result()).await {
        Ok(pieces) => pieces,
        Err(Error::NotFound { .. }) if result.written => return Ok("is missing".to_owned()),
        Err(Error::NotFound { .. }) => return Ok("is not written yet".to_owned()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        text.extend_from_slice(&piece);
    }
    let document: ResultDocument = match serde_json::from_slice(&text) {
        Ok(document) => document,
        Err(error) => return Ok(format!("can't be read: {error}")),
    };
    let published = result
        .files
        .iter()
        .map(|file| FileEntry::new(&file.path, file.size, &file.sha256))
        .collect::<Vec<_>>();
    if document.attempt_id != result.attempt || document.files != published {
        return Ok("names something else than was published".to_owned());
    }
    Ok(String::new())
}
