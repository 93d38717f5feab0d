//! Images that users pushed: where they are in the store, and how one is read back whole.

use std::future::ready;

use bt_proto::convert::{Malformed, timestamp};
use bt_proto::v1;
use bt_store::Store;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::queue::{ImageRow, Part};

/// Where the archive of an image is that was pushed as a single file.
pub(crate) fn place(id: &str) -> Result<String, Malformed> {
    digits(id).map(|digits| format!("images/{digits}.tar"))
}

/// The hexadecimal digits of an image's id.
pub(crate) fn digits(id: &str) -> Result<&str, Malformed> {
    let is_lower = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    let digits =
        id.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && digits.bytes().all(is_lower));
    digits.ok_or_else(|| Malformed::Value {
        field: "id",
        value: id.chars().take(80).collect(),
        expected: "an image's id, sha256:...",
    })
}

pub(crate) fn wire(row: ImageRow) -> v1::Image {
    v1::Image {
        id: row.id,
        name: row.name,
        size: row.size,
        pushed_by: row.pushed_by,
        pushed: Some(timestamp(row.pushed)),
    }
}

/// An archive that is put together again.
pub(crate) fn assembled(
    store: Store,
    parts: Vec<(String, Part)>,
) -> impl Stream<Item = Result<Bytes, bt_store::Error>> + Send + 'static {
    let mut offset = 0;
    let pieces = parts.into_iter().map(move |(file, part)| match part {
        Part::Layer(_) => (file, 0, u64::MAX),
        Part::Rest(bytes) => {
            let from = offset;
            offset += bytes;
            (file, from, bytes)
        }
    });
    let pieces = stream::iter(pieces.collect::<Vec<_>>());
    let read = pieces.then(move |(file, from, bytes)| {
        let store = store.clone();
        async move { store.read_from(&file, from).await.map(|data| first(data, bytes)) }
    });
    read.try_flatten()
}

/// The first bytes of a stream.
fn first<E>(
    data: impl Stream<Item = Result<Bytes, E>>,
    mut bytes: u64,
) -> impl Stream<Item = Result<Bytes, E>> {
    data.scan((), move |(), piece| {
        ready(match piece {
            Ok(_) if bytes == 0 => None,
            Ok(mut piece) => {
                piece.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
                bytes -= piece.len() as u64;
                Some(Ok(piece))
            }
            Err(error) => Some(Err(error)),
        })
    })
}
