//! What can go wrong with the store, by what a caller does about it.

use std::io;

use crate::location::{Cloud, Location};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store's directory {dir} can't be used: {why}; give one that can be written to")]
    Root { dir: String, why: String },
    /// What the environment says of it can't be right.
    #[error(
        "the store {location} can't be opened: {why}; docs/STORES.md lists what it reads from the environment"
    )]
    Settings { location: String, why: String },
    /// Waiting may help: somebody may make room.
    #[error("the store is full: {path} can't be written: {why}")]
    Full { path: String, why: String },
    #[error("the store has no file {path}")]
    NotFound { path: String },
    /// The store itself is not there: a bucket that was removed, a directory that is not mounted.
    #[error("the store {location} is gone: {why}")]
    Gone { location: String, why: String },
    #[error("the store {location} does not let this process in: {why}; {remedy}")]
    Denied { location: String, why: String, remedy: String },
    #[error("the store {location} is read-only: {why}")]
    ReadOnly { location: String, why: String },
    #[error("the store {location} can't be reached: {why}")]
    Unreachable { location: String, why: String },
    /// The name can't be stored as it is; no retry helps.
    #[error("{path:?} can't be the name of a stored file: {}", bt_model::text::remark(.why))]
    Name { path: String, why: String },
    /// Another file got the name while this one was being written. Another try gives it another name.
    #[error("{path} can't be written: {why}")]
    Taken { path: String, why: String },
    #[error("the store failed at {path}: {why}")]
    Access { path: String, why: String },
}

impl Error {
    /// True where the one who asked has no way to the store, which another may have.
    pub fn is_no_access(&self) -> bool {
        match self {
            Self::Root { .. }
            | Self::Settings { .. }
            | Self::Gone { .. }
            | Self::Denied { .. }
            | Self::ReadOnly { .. }
            | Self::Unreachable { .. } => true,
            Self::Full { .. }
            | Self::NotFound { .. }
            | Self::Name { .. }
            | Self::Taken { .. }
            | Self::Access { .. } => false,
        }
    }

    /// True where waiting may help without a change of settings.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unreachable { .. } | Self::Access { .. })
    }

    /// True where only this file is affected: another one can be read or removed all the same.
    pub fn is_one_files(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Name { .. } | Self::Taken { .. } | Self::Access { .. } => true,
            // In a directory each file has its own rights; a bucket's credentials are the same for all.
            Self::Denied { location, .. } => !location.contains("://"),
            Self::Root { .. }
            | Self::Settings { .. }
            | Self::Full { .. }
            | Self::Gone { .. }
            | Self::ReadOnly { .. }
            | Self::Unreachable { .. } => false,
        }
    }

    pub(crate) fn of(location: &Location, path: &str, error: object_store::Error) -> Self {
        match location {
            Location::Directory(_) => Self::of_directory(location, path, &error),
            Location::Bucket { cloud, .. } => Self::of_bucket(location, *cloud, path, &error),
        }
    }

    fn of_directory(location: &Location, path: &str, error: &object_store::Error) -> Self {
        let (location, path) = (location.to_string(), path.to_owned());
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Self::NotFound { path };
        }
        let why = innermost(error);
        match io_kind(error) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::Full { path, why },
            Some(io::ErrorKind::ReadOnlyFilesystem) => Self::ReadOnly { location, why },
            Some(io::ErrorKind::PermissionDenied) => {
                let remedy = format!("give the user that it runs as the right to write {path}");
                Self::Denied { location, why, remedy }
            }
            Some(io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::NotConnected) => {
                Self::Unreachable { location, why }
            }
            _ => Self::Access { path, why },
        }
    }

    fn of_bucket(location: &Location, cloud: Cloud, path: &str, error: &object_store::Error) -> Self {
        let said = told_by_server(error);
        let all = everything(error);
        let says = |words: &[&str]| words.iter().any(|word| all.contains(word));
        let (location, path) = (location.to_string(), path.to_owned());
        let why = said.unwrap_or_else(|| innermost(error));
        if says(&["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"]) {
            return Self::Gone { location, why };
        }
        if says(&["URL scheme is not allowed"]) {
            let why = "its endpoint is http://, and only https:// is allowed; set AWS_ALLOW_HTTP=true (or GOOGLE_, AZURE_) \
                       where that is meant";
            return Self::Settings { location, why: why.to_owned() };
        }
        if says(&["169.254.169.254", "metadata.google.internal"]) {
            let remedy = format!("set {}", cloud.credentials());
            let why = "no credentials were found in the environment".to_owned();
            return Self::Denied { location, why, remedy };
        }
        if says(&["KeyTooLong"]) {
            return Self::Name { path, why };
        }
        let denied = matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
        );
        if denied || says(&["ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"]) {
            let remedy = format!(
                "see to it that {} are right, and that they may read and write there",
                cloud.credentials()
            );
            return Self::Denied { location, why, remedy };
        }
        if says(&["incorrectly configured region", "AuthorizationHeaderMalformed", "PermanentRedirect"]) {
            let remedy = "set AWS_REGION to the bucket's".to_owned();
            return Self::Denied { location, why, remedy };
        }
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Self::NotFound { path };
        }
        if says(&["507 Insufficient Storage", "StorageFull", "QuotaExceeded", "InsufficientCapacity"]) {
            return Self::Full { path, why };
        }
        if is_unreachable(error) {
            return Self::Unreachable { location, why };
        }
        Self::Access { path, why }
    }
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn innermost(error: &object_store::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn everything(error: &object_store::Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn is_unreachable(error: &object_store::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
        io::ErrorKind::TimedOut,
    ];
    let by_kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| kinds.contains(&io.kind()))
    };
    causes(error).any(by_kind) || everything(error).contains("dns error")
}

/// What the server itself says, where it says it in XML: a code and a sentence.
fn told_by_server(error: &object_store::Error) -> Option<String> {
    let all = everything(error);
    let between = |open: &str, close: &str| {
        let (_, rest) = all.split_once(open)?;
        let (inner, _) = rest.split_once(close)?;
        Some(inner.trim().to_owned()).filter(|inner| !inner.is_empty())
    };
    let code = between("<Code>", "</Code>")?;
    // Azure adds a request's id and time on lines of their own.
    match between("<Message>", "</Message>").as_deref().and_then(|message| message.lines().next()) {
        Some(message) => Some(format!("{code}: {message}")),
        None => Some(code),
    }
}
