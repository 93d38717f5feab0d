//! Results read again: every file's bytes against the SHA-256 that it was published with, and each `result.json` against
//! Postgres.

use bt_proto::convert::present;
use bt_proto::v1;
use bt_store::{Error, ResultDocument, Store};
use futures_util::{Stream, StreamExt, stream};
use sha2::{Digest, Sha256};

use crate::decoded::{self, decoded};
use crate::document::entry;
use crate::queue::{PublishedFile, ResultRow};

/// Files that are read at once.
const AT_ONCE: usize = 4;

enum Check {
    /// The `result.json` at this place.
    Document(ResultRow),
    /// A file of a job, and where it stands.
    File { job: u32, at: String, file: PublishedFile },
}

/// Looks at these results' documents and files, in their order. An error is the store's, which can't be read now.
pub(crate) fn check(
    store: &Store,
    results: Vec<ResultRow>,
) -> impl Stream<Item = Result<v1::Verified, Error>> + use<> {
    let checks = results.into_iter().flat_map(|result| {
        let (job, made_by) = (result.place.job, result.made_by.clone());
        let files = result.files.clone().into_iter();
        let files = files.map(move |file| Check::File { job, at: made_by.output(&file.stored_as()), file });
        std::iter::once(Check::Document(result)).chain(files)
    });
    let store = store.clone();
    stream::iter(checks).map(move |check| run(store.clone(), check)).buffered(AT_ONCE)
}

async fn run(store: Store, check: Check) -> Result<v1::Verified, Error> {
    match check {
        Check::Document(result) => {
            let fault = document(&store, &result).await?;
            Ok(v1::Verified { job: result.place.job, path: None, size: 0, fault: present(Some(fault)) })
        }
        Check::File { job, at, file } => {
            let fault = content(&store, &at, &file).await?;
            Ok(v1::Verified { job, path: Some(file.path), size: file.size, fault: present(Some(fault)) })
        }
    }
}

/// What is wrong with a file; empty if nothing is.
async fn content(store: &Store, at: &str, file: &PublishedFile) -> Result<String, Error> {
    let pieces = match store.read(at).await {
        Ok(pieces) => pieces,
        Err(Error::NotFound { .. }) => return Ok("is missing".to_owned()),
        Err(error) => return unreadable(error),
    };
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut pieces = decoded(pieces, file.encoding);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                size += piece.len() as u64;
                hash.update(&piece);
            }
            Err(decoded::Error::Store(error)) => return unreadable(error),
            Err(broken @ decoded::Error::Broken(_)) => return Ok(broken.to_string()),
        }
    }
    if size != file.size {
        return Ok(format!("has {size} bytes, where {} were published", file.size));
    }
    match hash.finalize()[..] == file.sha256[..] {
        true => Ok(String::new()),
        false => Ok("has another content than was published".to_owned()),
    }
}

/// A file that can't be read is at fault; the others are looked at all the same. An error is the whole store's.
fn unreadable(error: Error) -> Result<String, Error> {
    match error.is_one_files() {
        true => Ok(format!("can't be read: {error}")),
        false => Err(error),
    }
}

/// What is wrong with a result's document; empty if nothing is.
async fn document(store: &Store, result: &ResultRow) -> Result<String, Error> {
    let mut pieces = match store.read(&result.place.result()).await {
        Ok(pieces) => pieces,
        Err(Error::NotFound { .. }) if result.written => return Ok("is missing".to_owned()),
        Err(Error::NotFound { .. }) => return Ok("is not written yet".to_owned()),
        Err(error) => return unreadable(error),
    };
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => text.extend_from_slice(&piece),
            Err(error) => return unreadable(error),
        }
    }
    let document: ResultDocument = match serde_json::from_slice(&text) {
        Ok(document) => document,
        Err(error) => return Ok(format!("can't be read: {error}")),
    };
    let published: Vec<_> = result.files.iter().map(entry).collect();
    if document.attempt_id != result.attempt || document.files != published {
        return Ok("names something else than was published".to_owned());
    }
    Ok(String::new())
}
