//! An image's archive that somebody else has written, made fit to be loaded: one image, by its id, without any name.
//!
//! A container engine gives an image each name that its archive has for it, and takes it from the image that bore it
//! before. So a peer's archive could put its own image in the place of any of this machine's. Here it is rewritten on its
//! way: of all images the one with the right id is left, names are taken out, and entries that are no plain part of an
//! archive (devices, hard links, links and paths that lead out of it) refuse the whole.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use tar::EntryType;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// The archive's index of images, and the one of the OCI layout.
const MANIFEST: &str = "manifest.json";
const INDEX: &str = "index.json";
/// An older list of names.
const REPOSITORIES: &str = "repositories";
/// Bytes of an index; an image has a few hundred layers at most.
const LARGEST_INDEX: u64 = 4 << 20;
/// Entries of an archive.
const MOST_ENTRIES: usize = 10_000;
/// Bytes of all that is in an archive, as it is written there.
pub const LARGEST_ARCHIVE: u64 = 256 << 30;
/// Bytes that are given on at once, and pieces that may wait.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// Why an archive is refused, for the one who reads it to ask when it has broken off.
#[derive(Clone, Debug, Default)]
pub struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    pub fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// The archive with the image of this id alone, and no name.
pub fn only(
    id: &str,
    data: BoxStream<'static, io::Result<Bytes>>,
) -> (BoxStream<'static, io::Result<Bytes>>, Refusal) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let reader = StreamReader::new(Box::pin(data.map_err(|error| io::Error::other(error.to_string()))));
    let id = id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    let refusal = Refusal::default();
    let told = refusal.clone();
    let bridge = SyncIoBridge::new(reader);
    // It ends with its reader or its writer, whichever is gone first.
    let rewriting = tokio::task::spawn_blocking(move || {
        let mut out = Sender { sender, piece: BytesMut::with_capacity(PIECE) };
        let rewritten = rewrite(&id, bridge, &mut out).and_then(|()| out.flush());
        if let Err(error) = rewritten {
            if error.kind() == io::ErrorKind::InvalidData {
                told.set(error.to_string());
            }
            // Whoever reads must not take what came for all of it.
            out.sender.blocking_send(Err(error)).ok();
        }
    });
    drop(rewriting);
    let pieces = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (pieces.boxed(), refusal)
}

struct Sender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl Write for Sender {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&data[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn rewrite(id: &str, from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut archive = tar::Archive::new(from.take(LARGEST_ARCHIVE));
    let mut new = tar::Builder::new(to);
    let mut is_there = false;
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count >= MOST_ENTRIES {
            return Err(refused(format!("it has more than {MOST_ENTRIES} files")));
        }
        let path = entry.path()?.into_owned();
        let Some(place) = inside(Path::new(""), &path) else {
            return Err(refused(format!("{} leads out of it", path.display())));
        };
        let mut header = entry.header().clone();
        match header.entry_type() {
            EntryType::Directory => new.append_data(&mut header, &path, io::empty())?,
            EntryType::Symlink => {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                let dir = place.parent().unwrap_or(Path::new(""));
                if inside(dir, &target).is_none() {
                    return Err(refused(format!("the link {} leads out of it", path.display())));
                }
                new.append_link(&mut header, &path, &target)?;
            }
            EntryType::Regular | EntryType::Continuous => match place.to_str() {
                Some(REPOSITORIES) => {}
                Some(name @ (MANIFEST | INDEX)) => {
                    let index = index(name, &mut entry)?;
                    let index = match name {
                        MANIFEST => {
                            let index = one_image(id, index)?;
                            is_there = true;
                            index
                        }
                        _ => without_names(index),
                    };
                    let json = index.to_string();
                    header.set_size(json.len() as u64);
                    new.append_data(&mut header, &path, json.as_bytes())?;
                }
                _ => new.append_data(&mut header, &path, &mut entry)?,
            },
            _ => return Err(refused(format!("{} is no file, directory or link", path.display()))),
        }
    }
    if !is_there {
        return Err(refused(format!("it has no {MANIFEST}, so it is not as `docker save` writes it")));
    }
    new.finish()
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Where a path leads from a directory of the archive, if that is in it.
fn inside(dir: &Path, path: &Path) -> Option<PathBuf> {
    let mut place = dir.to_owned();
    for part in path.components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !place.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(place)
}

fn index(name: &str, entry: &mut impl Read) -> io::Result<Value> {
    let mut text = Vec::new();
    entry.take(LARGEST_INDEX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_INDEX {
        return Err(refused(format!("its {name} is larger than {LARGEST_INDEX} bytes")));
    }
    serde_json::from_slice(&text).map_err(|error| refused(format!("its {name} can't be read: {error}")))
}

/// The index with the image of this id and without its names.
fn one_image(id: &str, index: Value) -> io::Result<Value> {
    let images = index.as_array().map(Vec::as_slice).unwrap_or_default();
    // `<id>.json`, or `blobs/sha256/<id>`.
    let is_it = |image: &&Value| {
        let config = image["Config"].as_str().unwrap_or_default();
        let name = config.rsplit('/').next().unwrap_or_default();
        name.strip_suffix(".json").unwrap_or(name) == id
    };
    let Some(image) = images.iter().find(is_it) else {
        return Err(refused(format!("it does not hold the image sha256:{id}")));
    };
    let mut image = image.clone();
    image["RepoTags"] = Value::Null;
    Ok(Value::Array(vec![image]))
}

/// The index of the OCI layout without names, which stand in annotations there.
fn without_names(mut index: Value) -> Value {
    let manifests = index["manifests"].as_array_mut();
    for manifest in manifests.into_iter().flatten().filter_map(Value::as_object_mut) {
        manifest.remove("annotations");
    }
    index
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "aa11";

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            // As an attacker would: the crate's own setters refuse such paths.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            let data = match kind {
                EntryType::Regular => content.as_bytes(),
                _ => {
                    header.set_link_name_literal(content).unwrap();
                    b""
                }
            };
            header.set_size(data.len() as u64);
            header.set_cksum();
            archive.append(&header, data).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn rewritten(entries: &[(&str, EntryType, &str)]) -> Result<Vec<(String, String)>, String> {
        let mut out = Vec::new();
        rewrite(ID, &archive(entries)[..], &mut out).map_err(|error| error.to_string())?;
        let mut archive = tar::Archive::new(&out[..]);
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        Ok(files.collect())
    }

    fn manifest(tags: &[&str]) -> String {
        json!([
            { "Config": "bb22.json", "RepoTags": ["victim:1"], "Layers": ["b/layer.tar"] },
            { "Config": format!("{ID}.json"), "RepoTags": tags, "Layers": ["a/layer.tar"] },
        ])
        .to_string()
    }

    #[test]
    fn one_image_is_left_and_no_name() {
        let manifest = manifest(&["mine:1", "python:3.11"]);
        let files = rewritten(&[
            ("a/layer.tar", EntryType::Regular, "data"),
            ("b/layer.tar", EntryType::Symlink, "../a/layer.tar"),
            ("manifest.json", EntryType::Regular, &manifest),
            (
                "index.json",
                EntryType::Regular,
                r#"{"manifests": [{"digest": "x", "annotations": {"n": "victim:1"}}]}"#,
            ),
            ("repositories", EntryType::Regular, r#"{"victim": {"1": "aa11"}}"#),
        ]);
        let files = files.unwrap();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a/layer.tar", "b/layer.tar", "manifest.json", "index.json"]);
        assert_eq!(files[0].1, "data");
        let index: Value = serde_json::from_str(&files[2].1).unwrap();
        assert_eq!(index, json!([{ "Config": "aa11.json", "RepoTags": null, "Layers": ["a/layer.tar"] }]));
        assert!(!files.iter().any(|(_, text)| text.contains("victim")), "{files:?}");
    }

    #[test]
    fn what_is_no_plain_archive_is_refused() {
        let good = manifest(&[]);
        let with = |path, kind, content| {
            rewritten(&[("manifest.json", EntryType::Regular, &good), (path, kind, content)]).unwrap_err()
        };
        for (path, kind, content) in [
            ("../../etc/passwd", EntryType::Regular, "x"),
            ("/etc/passwd", EntryType::Regular, "x"),
            ("a/../../x", EntryType::Regular, "x"),
            ("link", EntryType::Symlink, "/etc/passwd"),
            ("a/link", EntryType::Symlink, "../../etc"),
        ] {
            assert!(with(path, kind, content).contains("leads out of it"), "{path}");
        }
        for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo] {
            assert!(with("x", kind, "manifest.json").contains("is no file, directory or link"), "{kind:?}");
        }
        let refused =
            |manifest: &str| rewritten(&[("manifest.json", EntryType::Regular, manifest)]).unwrap_err();
        assert!(refused("[]").contains("does not hold the image sha256:aa11"));
        assert!(refused("{").contains("can't be read"));
        assert!(rewritten(&[("x", EntryType::Regular, "")]).unwrap_err().contains("has no manifest.json"));
    }
}
