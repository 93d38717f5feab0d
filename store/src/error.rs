//! What can go wrong with the store, by what a caller does about it.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store's directory {} can't be used: {source}; give one that can be written to", dir.display())]
    Root { dir: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    /// Waiting may help: somebody may make room.
    #[error("the store is full: {path} can't be written: {source}")]
    Full { path: String, source: Box<object_store::Error> },
    #[error("the store has no file {path}")]
    NotFound { path: String },
    /// The name can't be stored as it is; no retry helps.
    #[error("{path:?} can't be the name of a stored file: {why}")]
    Name { path: String, why: String },
    #[error("the store failed at {path}: {source}")]
    Access { path: String, source: Box<object_store::Error> },
}

impl Error {
    pub(crate) fn of(path: &str, error: object_store::Error) -> Self {
        let path = path.to_owned();
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound { path },
            error if is_full(&error) => Self::Full { path, source: Box::new(error) },
            error => Self::Access { path, source: Box::new(error) },
        }
    }
}

fn is_full(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
            if kinds.contains(&io.kind()) {
                return true;
            }
        }
        cause = error.source();
    }
    false
}
