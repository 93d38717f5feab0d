//! Errors as gRPC statuses: one exhaustive map for each kind of error.

use bt_proto::convert::Malformed;
use tonic::{Code, Status};
use tracing::{error, warn};

use crate::access::call;
use crate::calculations::Refused;
use crate::{assess, collector, decoded, document, events, landscapes, manifests, queue};

pub(crate) fn queue(error: queue::Error) -> Status {
    shared(&error)
}

/// The status of an error that several calls share.
pub(crate) fn shared(error: &queue::Error) -> Status {
    use queue::Error;
    let code = match error {
        Error::NoSweep(_) | Error::NoAgent(_) | Error::NoJob { .. } | Error::NoAttempt(_) => Code::NotFound,
        Error::Ambiguous(_) => Code::InvalidArgument,
        Error::NotYours { .. } => Code::PermissionDenied,
        Error::Expired { .. } | Error::Refused(_) | Error::Contested { .. } => Code::FailedPrecondition,
        Error::OverQuota { .. } => Code::ResourceExhausted,
        Error::KeyReused(_) | Error::Superseded(_) => Code::AlreadyExists,
        Error::Unreachable(_) | Error::ReadOnly(_) | Error::Busy(_) => Code::Unavailable,
        Error::NoStart(_) | Error::Corrupt(_) | Error::Database(_) => Code::Internal,
    };
    match code {
        Code::Internal => error!(error = %error, "a call failed"),
        Code::Unavailable => warn!(error = %error, "a call could not use Postgres"),
        _ => {}
    }
    match error {
        Error::OverQuota { wait, .. } => over_quota(error, *wait),
        _ => Status::new(code, error.to_string()),
    }
}

/// The name of what says in how many seconds the same may be asked again: of HTTP, and of gRPC's metadata. `never`: time alone
/// does not help.
pub(crate) const RETRY_AFTER: &str = "retry-after";

fn over_quota(error: &queue::Error, wait: Option<u64>) -> Status {
    // It is written down as a refusal: nothing was changed.
    call::changes_nothing();
    let mut status = Status::resource_exhausted(error.to_string());
    let after = wait.map_or("never".to_owned(), |seconds| seconds.to_string());
    if let Ok(after) = after.parse() {
        status.metadata_mut().insert(RETRY_AFTER, after);
    }
    status
}

pub(crate) fn manifest(error: manifests::Error) -> Status {
    match error {
        manifests::Error::Queue(error) => queue(error),
        manifests::Error::Unreadable(..) => Status::internal(error.to_string()),
    }
}

pub(crate) fn document(error: document::Error) -> Status {
    match error {
        document::Error::Manifest(error) => manifest(error),
        document::Error::Json(..) => Status::internal(error.to_string()),
    }
}

pub(crate) fn store(error: bt_store::Error) -> Status {
    use bt_store::Error;
    let code = match &error {
        Error::Full { .. } => Code::ResourceExhausted,
        Error::NotFound { .. } => Code::NotFound,
        Error::Name { .. } => Code::InvalidArgument,
        // Asking again does not help, and other files can be read.
        Error::Denied { .. } if error.is_one_files() => Code::FailedPrecondition,
        Error::Root { .. }
        | Error::Settings { .. }
        | Error::Gone { .. }
        | Error::Denied { .. }
        | Error::ReadOnly { .. }
        | Error::Unreachable { .. }
        | Error::Taken { .. }
        | Error::Access { .. } => Code::Unavailable,
    };
    if code != Code::InvalidArgument {
        warn!(error = %error, "the store failed");
    }
    Status::new(code, error.to_string())
}

pub(crate) fn decoded(error: decoded::Error) -> Status {
    match error {
        decoded::Error::Store(error) => store(error),
        decoded::Error::Broken(_) => Status::data_loss(format!("the file {error}")),
    }
}

pub(crate) fn collector(error: collector::Error) -> Status {
    match error {
        collector::Error::Queue(error) => queue(error),
        collector::Error::Store(error) => store(error),
    }
}

pub(crate) fn calculation(error: Refused) -> Status {
    match error {
        Refused::TooLong => Status::invalid_argument(error.to_string()),
        Refused::Stopping(_) => Status::unavailable(error.to_string()),
    }
}

pub(crate) fn landscape(error: landscapes::Error) -> Status {
    match error {
        landscapes::Error::Queue(error) => queue(error),
        landscapes::Error::Manifest(error) => manifest(error),
        landscapes::Error::Refused(error) => calculation(error),
        landscapes::Error::Parameters { .. } => Status::internal(error.to_string()),
    }
}

pub(crate) fn assess(error: assess::Error) -> Status {
    match error {
        assess::Error::Queue(error) => queue(error),
        assess::Error::Landscape(error) => landscape(error),
        assess::Error::Refused(_) => Status::invalid_argument(error.to_string()),
        assess::Error::Stopping => Status::unavailable(error.to_string()),
    }
}

pub(crate) fn events(error: events::Error) -> Status {
    match error {
        events::Error::Queue(error) => queue(error),
        events::Error::Full | events::Error::Stopping => Status::unavailable(error.to_string()),
        events::Error::Unwritable(_) => Status::internal(error.to_string()),
    }
}

pub(crate) fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A stream of messages that did not begin as the protocol says.
pub(crate) fn out_of_order(expected: &str) -> Status {
    Status::invalid_argument(format!("the stream must begin with {expected}"))
}
