//! Where a pushed image comes from: the container engine of this machine, or an archive.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use bt_agent::LocalImage;
use bt_model::hex::hex;
#[cfg(target_os = "linux")]
use futures_util::TryStreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
#[cfg(target_os = "linux")]
use tokio::io::AsyncWriteExt;

use super::archive::{LocalArchive, unreadable};
use crate::error::Error;

/// The archive's index of images.
const INDEX: &str = "manifest.json";
/// Bytes of an index, or of an image's configuration.
const LARGEST: u64 = 4 << 20;

pub(super) enum ImageSource {
    #[cfg(target_os = "linux")]
    Engine(LocalImage),
    Archive {
        path: PathBuf,
        id: String,
    },
}

impl ImageSource {
    /// An archive, and the image in it that has this name; without one of that name the only one.
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, Error> {
        let config = config_of(path, name)?;
        let text = entry(path, &config)?;
        let id = format!("sha256:{}", hex(&Sha256::digest(&text)));
        Ok(Self::Archive { path: path.to_owned(), id })
    }

    /// An image of this machine's engine.
    #[cfg(target_os = "linux")]
    pub(super) async fn of_engine(name: &str) -> Result<Self, Error> {
        Ok(Self::Engine(LocalImage::find(name).await?))
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_async, reason = "as on Linux")]
    pub(super) async fn of_engine(name: &str) -> Result<Self, Error> {
        Err(Error::Usage(format!(
            "on this system btctl pushes archives: docker save -o image.tar {name}, and then btctl image push --file image.tar {name}"
        )))
    }

    pub(super) fn id(&self) -> &str {
        match self {
            #[cfg(target_os = "linux")]
            Self::Engine(image) => &image.id,
            Self::Archive { id, .. } => id,
        }
    }

    /// The image as `docker save` writes it, on this machine's disk.
    pub(super) async fn archive(self) -> Result<LocalArchive, Error> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Engine(image) => saved(&image).await,
            Self::Archive { path, .. } => {
                let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
                Ok(LocalArchive::new(file, path))
            }
        }
    }
}

/// As `docker save` writes it, in a file without a name, so that nothing is left of it, however this ends.
#[cfg(target_os = "linux")]
async fn saved(image: &LocalImage) -> Result<LocalArchive, Error> {
    let file = tempfile::tempfile().map_err(unwritable)?;
    let mut out = tokio::fs::File::from_std(file.try_clone().map_err(unwritable)?);
    let mut data = std::pin::pin!(image.save());
    while let Some(piece) = data.try_next().await? {
        out.write_all(&piece).await.map_err(unwritable)?;
    }
    out.flush().await.map_err(unwritable)?;
    Ok(LocalArchive::new(file, PathBuf::from("the saved image")))
}

#[cfg(target_os = "linux")]
fn unwritable(error: std::io::Error) -> Error {
    let dir = std::env::temp_dir();
    Error::Failed(format!(
        "the image can't be written to {}: {error}; TMPDIR=DIR names another directory with room for it",
        dir.display()
    ))
}

/// The place of the configuration of the image with this name.
fn config_of(path: &Path, name: &str) -> Result<String, Error> {
    let text = entry(path, INDEX)?;
    let index: Value = serde_json::from_slice(&text)
        .map_err(|error| unreadable(path, &format!("its {INDEX} is not an index of images: {error}")))?;
    let images = index.as_array().map(Vec::as_slice).unwrap_or_default();
    let name = bt_model::image::tagged(name);
    let bears = |image: &&Value| {
        let names = image["RepoTags"].as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).any(|tag| tag == name || tag == format!("localhost/{name}"))
    };
    let image = match (images.iter().find(bears), images) {
        (Some(image), _) | (None, [image]) => image,
        (None, []) => return Err(unreadable(path, &"it holds no image")),
        (None, images) => {
            let names = images.iter().filter_map(|image| image["RepoTags"][0].as_str());
            let names = names.take(10).collect::<Vec<_>>().join(", ");
            let told = format!(
                "{} holds {} images ({names}), and none is called {name}",
                path.display(),
                images.len()
            );
            return Err(Error::Usage(told));
        }
    };
    let config = image["Config"].as_str();
    config.map(str::to_owned).ok_or_else(|| unreadable(path, &format!("its {INDEX} names no configuration")))
}

/// What is in one file of an archive.
fn entry(path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let broken = |error: std::io::Error| unreadable(path, &error);
    let file = File::open(path).map_err(broken)?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let place = entry.path().map_err(broken)?.into_owned();
        if place.strip_prefix(".").unwrap_or(&place) == Path::new(name) {
            let mut text = Vec::new();
            entry.take(LARGEST).read_to_end(&mut text).map_err(broken)?;
            return Ok(text);
        }
    }
    Err(unreadable(
        path,
        &format!("it has no {name}; `docker save -o {} IMAGE` writes one that has", path.display()),
    ))
}
