//! A file as it is sent: read in pieces on a thread of its own, hashed and compressed on the way, in bounded memory.

use std::fs::File;
use std::io::{self, Read};

use bt_model::encoding::Encoding;
use bt_store::Encoder;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::line::Line;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Pieces read ahead.
const PIECES: usize = 2;

/// A file that is being read.
pub(super) struct PieceReader {
    /// What is to be sent, from the beginning.
    pub(super) pieces: mpsc::Receiver<Bytes>,
    reading: JoinHandle<io::Result<Summary>>,
}

/// What was read, and what of it there was to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Of the file itself.
    pub(super) size: u64,
    /// Nothing where it is left to whoever takes the pieces.
    pub(super) sha256: Vec<u8>,
    /// Of the pieces.
    pub(super) sent: u64,
    pub(super) sent_sha256: Vec<u8>,
}

/// Who hashes the pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hashing {
    Here,
    /// Whoever takes them.
    Taker,
}

impl PieceReader {
    pub(super) fn open(line: &Line, file: File, encoding: Encoding, hashing: Hashing) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES);
        let reading = line.site.tasks.spawn_blocking(move || read(file, encoding, hashing, &sender));
        Self { pieces, reading }
    }

    /// What was read, once all pieces have been taken.
    pub(super) async fn end(self) -> io::Result<Summary> {
        drop(self.pieces);
        self.reading.await.map_err(io::Error::other)?
    }
}

fn read(
    mut file: File,
    encoding: Encoding,
    hashing: Hashing,
    pieces: &mpsc::Sender<Bytes>,
) -> io::Result<Summary> {
    let mut encoder = match encoding {
        Encoding::None => None,
        Encoding::Zstd => Some(Encoder::new()?),
    };
    // Of a file that is sent as it is, one hash is both.
    let mut content = (encoder.is_some() || hashing == Hashing::Here).then(Sha256::new);
    let mut packed = (encoder.is_some() && hashing == Hashing::Here).then(Sha256::new);
    let mut summary = Summary::default();
    let mut send = |piece: Vec<u8>, sent: &mut u64| {
        if piece.is_empty() {
            return Ok(());
        }
        if let Some(hash) = &mut packed {
            hash.update(&piece);
        }
        *sent += piece.len() as u64;
        let gone = |_| io::Error::other("nobody takes what is read");
        pieces.blocking_send(Bytes::from(piece)).map_err(gone)
    };
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if read == 0 {
            break;
        }
        summary.size += read as u64;
        if let Some(hash) = &mut content {
            hash.update(&piece);
        }
        let piece = match &mut encoder {
            Some(encoder) => encoder.encode(&piece)?,
            None => piece,
        };
        send(piece, &mut summary.sent)?;
    }
    if let Some(encoder) = encoder {
        send(encoder.finish()?, &mut summary.sent)?;
    }
    let digest = |hash: Option<Sha256>| hash.map(|hash| hash.finalize().to_vec());
    summary.sha256 = digest(content).unwrap_or_default();
    summary.sent_sha256 = digest(packed).unwrap_or_else(|| summary.sha256.clone());
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(data: &[u8], encoding: Encoding, hashing: Hashing) -> (Summary, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(data).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let (sender, mut pieces) = mpsc::channel(1);
        let reading = std::thread::spawn(move || read(file, encoding, hashing, &sender).unwrap());
        let mut sent = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            assert!(piece.len() <= PIECE + PIECE / 8);
            sent.extend_from_slice(&piece);
        }
        (reading.join().unwrap(), sent)
    }

    #[test]
    fn hashes_are_of_the_file_and_of_what_is_sent() {
        let data = vec![7; 3_000_000];
        let hash = |data: &[u8]| Sha256::digest(data).to_vec();
        for encoding in Encoding::ALL {
            let (told, sent) = read_all(&data, encoding, Hashing::Here);
            assert_eq!((told.size, &told.sha256), (3_000_000, &hash(&data)));
            assert_eq!((told.sent, &told.sent_sha256), (sent.len() as u64, &hash(&sent)));
            let again = read_all(&data, encoding, Hashing::Here);
            assert_eq!(again, (told, sent), "the same is sent again");
        }
        let (told, _) = read_all(&data, Encoding::None, Hashing::Taker);
        assert_eq!(told.sha256, Vec::<u8>::new());
        let (told, sent) = read_all(&data, Encoding::Zstd, Hashing::Taker);
        assert_eq!(told.sha256, hash(&data));
        assert!(sent.len() < 10_000);
        let (told, sent) = read_all(b"", Encoding::Zstd, Hashing::Here);
        assert!(told.size == 0 && told.sent == sent.len() as u64 && !sent.is_empty());
    }
}
