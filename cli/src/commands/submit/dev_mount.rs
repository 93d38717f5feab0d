//! `--dev-mount DIR:TARGET`: a directory of this machine, packed, and brought into the store once.

use std::path::Path;

use bt_model::hex::hex;
use bt_model::manifest::{DevMount, Manifest, parse_dev_mount_flag};
use bt_model::resources::ByteSize;
use bt_proto::v1::{self, push_image_request::Kind};
use bt_store::overlay::{self, PackedDir};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::error::Error;
use crate::output::say;

/// Bytes that are sent at once.
const PIECE: usize = 1 << 20;

/// The directories, and where a job finds each.
pub(super) fn packed(flags: &[String]) -> Result<Vec<(String, PackedDir)>, Error> {
    let mut all: Vec<(String, PackedDir)> = Vec::new();
    for flag in flags {
        let usage = |error: &dyn std::fmt::Display| Error::Usage(format!("--dev-mount: {error}"));
        let (dir, target) = parse_dev_mount_flag(flag).map_err(|error| usage(&error))?;
        if all.iter().any(|(known, _)| *known == target) {
            return Err(usage(&format!("{target} is given twice")));
        }
        all.push((target, overlay::pack(Path::new(&dir)).map_err(|error| usage(&error))?));
    }
    Ok(all)
}

/// What a manifest says of them.
pub(super) fn read(flags: &[String]) -> Result<Vec<DevMount>, Error> {
    let all = packed(flags)?.into_iter().map(|(target, packed)| DevMount {
        target,
        sha256: hex(&packed.sha256),
        files: packed.files,
        bytes: packed.bytes,
    });
    Ok(all.collect())
}

/// Sends what is not in the store yet.
pub(super) async fn ship(flags: &[String], client: &Client, manifest: &Manifest) -> Result<(), Error> {
    for (target, packed) in packed(flags)? {
        let sha256 = hex(&packed.sha256);
        let known = |mount: &DevMount| mount.target == target && mount.sha256 == sha256;
        if !manifest.sandbox.dev_mounts.iter().any(known) {
            return Err(Error::Failed(format!(
                "the directory of the dev mount {target} has changed while it was read; submit it again"
            )));
        }
        let size = packed.archive.len() as u64;
        let layer = v1::Layer { sha256: packed.sha256.to_vec(), size, sent: false };
        let missing = client.missing_layers(vec![layer.clone()]).await?;
        let became = match missing.is_some_and(|missing| missing.is_empty()) {
            true => "is in the store already",
            false => {
                send(client, v1::Layer { sent: true, ..layer }, packed.archive).await?;
                "is sent"
            }
        };
        let (files, bytes) = (packed.files, ByteSize(packed.bytes));
        say(&format!(
            "dev mount {target} {became}: {files} files, {bytes}, sha256 {sha256}; results are not reproducible from the image alone"
        ));
    }
    Ok(())
}

async fn send(client: &Client, layer: v1::Layer, archive: Vec<u8>) -> Result<(), Error> {
    let (sender, receiver) = mpsc::channel(4);
    let sending = async move {
        let archive = bytes::Bytes::from(archive);
        let pieces = (0..archive.len()).step_by(PIECE);
        let pieces = pieces.map(|start| archive.slice(start..archive.len().min(start + PIECE)));
        for kind in std::iter::once(Kind::Layer(layer)).chain(pieces.map(Kind::Data)) {
            // The coordinator says why, if it has hung up.
            if sender.send(v1::PushImageRequest { kind: Some(kind) }).await.is_err() {
                return;
            }
        }
    };
    let ((), pushed) = tokio::join!(sending, client.push_image(receiver));
    pushed.map(|_| ()).map_err(Error::broken_off)
}
