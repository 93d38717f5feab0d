//! An image's archive, layer by layer: what is in the store already is not sent again.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bt_proto::v1;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::error::Error;

/// Entries of an archive from this size on are layers, in bytes: smaller ones are not worth the asking.
const SMALLEST: u64 = 64 << 10;
/// Layers of an archive at most: an image has no more than 127.
const MOST: usize = 500;
/// Bytes that are read and sent at once.
const PIECE: usize = 1 << 20;

/// The content of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Where in the archive it begins.
    from: u64,
    size: u64,
    sha256: [u8; 32],
}

impl From<&Layer> for v1::Layer {
    fn from(layer: &Layer) -> Self {
        Self { sha256: layer.sha256.to_vec(), size: layer.size, sent: true }
    }
}

/// A message of a push, after the first.
pub(super) enum ArchivePiece {
    /// Here the archive has a layer; its content comes next, if it is sent.
    Layer(v1::Layer),
    Data(Bytes),
}

/// An image's archive on this machine's disk.
#[derive(Debug)]
pub(super) struct LocalArchive {
    file: File,
    /// What it is called, for messages.
    name: PathBuf,
}

impl LocalArchive {
    pub(super) fn new(file: File, name: PathBuf) -> Self {
        Self { file, name }
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        unreadable(&self.name, error)
    }

    /// The layers, in their order in it.
    pub(super) fn layers(&self) -> Result<Vec<Layer>, Error> {
        self.read_layers().map_err(|error| self.broken(&error))
    }

    fn read_layers(&self) -> io::Result<Vec<Layer>> {
        (&self.file).seek(SeekFrom::Start(0))?;
        let mut archive = tar::Archive::new(BufReader::with_capacity(PIECE, &self.file));
        let mut layers = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() || entry.size() < SMALLEST || layers.len() == MOST {
                continue;
            }
            let (from, size) = (entry.raw_file_position(), entry.size());
            let mut hash = Sha256::new();
            let mut piece = vec![0; PIECE];
            let mut come = 0;
            loop {
                match entry.read(&mut piece)? {
                    0 => break,
                    read => {
                        hash.update(&piece[..read]);
                        come += read as u64;
                    }
                }
            }
            if come != size {
                return Err(io::Error::other("it is cut off"));
            }
            layers.push(Layer { from, size, sha256: hash.finalize().into() });
        }
        Ok(layers)
    }

    /// Sends the archive without the layers that the store has. Stops early when the receiver has gone.
    pub(super) fn send(
        &self,
        layers: &[Layer],
        missing: &HashSet<Vec<u8>>,
        pieces: &mpsc::Sender<ArchivePiece>,
    ) -> Result<(), Error> {
        self.send_parts(layers, missing, pieces).map(drop).map_err(|error| self.broken(&error))
    }

    /// False if the receiver has gone.
    fn send_parts(
        &self,
        layers: &[Layer],
        missing: &HashSet<Vec<u8>>,
        pieces: &mpsc::Sender<ArchivePiece>,
    ) -> io::Result<bool> {
        let mut sent = HashSet::new();
        let mut at = (&self.file).seek(SeekFrom::Start(0))?;
        for layer in layers {
            if !self.copy(layer.from - at, pieces)? {
                return Ok(false);
            }
            // An archive may have one twice.
            let is_sent = missing.contains(&layer.sha256[..]) && sent.insert(layer.sha256);
            let told = v1::Layer { sent: is_sent, ..layer.into() };
            if pieces.blocking_send(ArchivePiece::Layer(told)).is_err() {
                return Ok(false);
            }
            at = layer.from + layer.size;
            if !is_sent {
                (&self.file).seek(SeekFrom::Start(at))?;
            } else if !self.copy(layer.size, pieces)? {
                return Ok(false);
            }
        }
        self.copy(u64::MAX, pieces)
    }

    /// Sends this many bytes, or all that are left. False if the receiver has gone.
    fn copy(&self, bytes: u64, pieces: &mpsc::Sender<ArchivePiece>) -> io::Result<bool> {
        let mut left = bytes;
        while left > 0 {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&self.file).take(left.min(PIECE as u64)).read_to_end(&mut piece)?;
            if read == 0 {
                break;
            }
            left -= read as u64;
            if pieces.blocking_send(ArchivePiece::Data(piece.into())).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Usage(format!("{} can't be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(layers: &[&[u8]]) -> (LocalArchive, Vec<u8>) {
        let mut builder = tar::Builder::new(Vec::new());
        for (number, content) in layers.iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{number}/layer.tar"), *content).unwrap();
        }
        let whole = builder.into_inner().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole).unwrap();
        (LocalArchive::new(file, PathBuf::from("image.tar")), whole)
    }

    /// The archive that a coordinator with these layers receives, and how many bytes were sent to it.
    fn received(archive: &LocalArchive, held: &[&[u8]]) -> (Vec<u8>, usize) {
        let layers = archive.layers().unwrap();
        let of = |content: &[u8]| Sha256::digest(content).to_vec();
        let missing: HashSet<_> = layers.iter().map(|layer| layer.sha256.to_vec()).collect();
        let missing = missing.into_iter().filter(|id| !held.iter().any(|held| of(held) == *id)).collect();
        let (pieces, mut taken) = mpsc::channel(1000);
        archive.send(&layers, &missing, &pieces).unwrap();
        drop(pieces);
        let mut known: Vec<(Vec<u8>, Vec<u8>)> = held.iter().map(|held| (of(held), held.to_vec())).collect();
        let (mut whole, mut sent) = (Vec::new(), 0);
        while let Some(piece) = taken.blocking_recv() {
            match piece {
                ArchivePiece::Data(data) => {
                    sent += data.len();
                    whole.extend(data);
                }
                ArchivePiece::Layer(layer) if layer.sent => {
                    let mut content = Vec::new();
                    while (content.len() as u64) < layer.size {
                        let Some(ArchivePiece::Data(data)) = taken.blocking_recv() else { panic!("no data") };
                        content.extend(data);
                    }
                    assert_eq!((content.len() as u64, of(&content)), (layer.size, layer.sha256.clone()));
                    sent += content.len();
                    whole.extend(&content);
                    known.push((layer.sha256, content));
                }
                ArchivePiece::Layer(layer) => {
                    let (_, content) = known.iter().find(|(id, _)| *id == layer.sha256).unwrap();
                    whole.extend(content);
                }
            }
        }
        (whole, sent)
    }

    #[test]
    fn what_is_sent_and_what_is_held_make_the_archive() {
        let (one, two, small) = (vec![1; 3 << 20], vec![2; 70_000], vec![3; 100]);
        let (archive, whole) = archive(&[&one, &small, &two, &one]);
        assert_eq!(archive.layers().unwrap().len(), 3, "small files are no layers");
        for held in [&[][..], &[&one[..]], &[&two[..]], &[&one[..], &two[..]]] {
            let (made, sent) = received(&archive, held);
            assert!(made == whole, "{} are held", held.len());
            let saved: usize = held.iter().map(|held| held.len()).sum();
            assert!(sent + saved < whole.len(), "{sent}: a layer that is there twice is sent once");
        }
        assert_eq!(received(&archive, &[&one, &two]).1, whole.len() - 2 * one.len() - two.len());
    }

    #[test]
    fn an_archive_that_is_cut_off_is_refused() {
        let (archive, whole) = archive(&[&vec![1; 3 << 20]]);
        archive.file.set_len(whole.len() as u64 / 2).unwrap();
        let error = archive.layers().unwrap_err().to_string();
        assert!(error.contains("image.tar can't be read"), "{error}");
    }
}
