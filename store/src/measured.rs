//! Counts and times what is asked of the store.

use std::time::Instant;

use crate::Error;

/// Does it, and notes how long it took and how it ended.
pub(crate) async fn measured<T>(
    operation: &'static str,
    doing: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let began = Instant::now();
    let done = doing.await;
    bt_measures::STORE_TIME.record([operation], began.elapsed());
    bt_measures::STORE.add([operation, outcome(&done)], 1);
    done
}

fn outcome<T>(done: &Result<T, Error>) -> &'static str {
    let Err(error) = done else { return "ok" };
    match error {
        Error::NotFound { .. } => "not_found",
        Error::Full { .. } => "full",
        Error::Gone { .. } | Error::Root { .. } => "gone",
        Error::Denied { .. } | Error::ReadOnly { .. } => "denied",
        Error::Unreachable { .. } => "unreachable",
        Error::Name { .. } | Error::Taken { .. } => "name",
        Error::Settings { .. } | Error::Access { .. } => "failed",
    }
}
