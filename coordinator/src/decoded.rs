//! What is stored compressed, as it was before.

use std::io;

use bt_model::encoding::Encoding;
use bt_store::Decoder;
use bytes::{Buf, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Store(bt_store::Error),
    /// What is stored is not what a job's output became when it was compressed.
    #[error("can't be decompressed: {0}")]
    Broken(io::Error),
}

/// What these pieces of a stored file hold. One that breaks off is an error at its end.
pub(crate) fn decoded(
    pieces: impl Stream<Item = Result<Bytes, bt_store::Error>> + Send + 'static,
    encoding: Encoding,
) -> BoxStream<'static, Result<Bytes, Error>> {
    let pieces = pieces.map_err(Error::Store).boxed();
    let decoder = match encoding {
        Encoding::None => return pieces,
        Encoding::Zstd => Decoder::new(),
    };
    let decoder = match decoder {
        Ok(decoder) => decoder,
        Err(error) => return stream::iter([Err(Error::Broken(error))]).boxed(),
    };
    let state = (pieces, Some(decoder), Bytes::new());
    stream::try_unfold(state, |(mut pieces, mut decoder, mut left)| async move {
        loop {
            let Some(open) = &mut decoder else { return Ok(None) };
            let mut input = &left[..];
            let out = open.decode(&mut input).map_err(Error::Broken)?;
            let read = left.len() - input.len();
            left.advance(read);
            if let Some(out) = out {
                return Ok(Some((Bytes::from(out), (pieces, decoder, left))));
            }
            match pieces.try_next().await? {
                Some(piece) => left = piece,
                None => decoder.take().map_or(Ok(()), Decoder::finish).map_err(Error::Broken)?,
            }
        }
    })
    .boxed()
}
