//! What dev mounts hold (`btctl submit --dev-mount`): each is fetched once, kept by its SHA-256, and looked at before a container
//! mounts it, so that one that was touched here is not used.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bt_engine::Bind;
use bt_engine::collect::remove_tree;
use bt_engine::volumes::MountSource;
use bt_model::manifest::DevMount;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use bt_store::overlay;
use sha2::{Digest, Sha256};
use tracing::{info, warn};
use uuid::Uuid;

use crate::job::mountpoints::Mounted;
use crate::line::Line;

/// How long one stays that no job has asked for.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The dev mounts on this machine.
pub(crate) struct Overlays {
    line: Arc<Line>,
    dir: PathBuf,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// One of them. Whoever gets or looks at it holds `seen`.
struct Known {
    used: Mutex<Instant>,
    /// How it looked when all of it was read and was right.
    seen: tokio::sync::Mutex<Option<[u8; 32]>>,
}

impl Overlays {
    pub(crate) fn new(line: &Arc<Line>) -> Self {
        Self { line: line.clone(), dir: line.site.state.overlays(), known: Mutex::default() }
    }

    fn of(&self, sha256: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new =
            || Arc::new(Known { used: Mutex::new(Instant::now()), seen: tokio::sync::Mutex::default() });
        known.entry(sha256.to_owned()).or_insert_with(new).clone()
    }

    /// The dev mounts of a job, as it mounts them.
    pub(crate) async fn mounted(&self, mounts: &[DevMount]) -> anyhow::Result<Vec<Mounted>> {
        let mut all = Vec::new();
        if !self.line.site.engine.mounts_files() {
            return Ok(all);
        }
        for mount in mounts {
            let place = self.get(mount).await.with_context(|| format!("the dev mount {}", mount.target))?;
            all.push(as_mounted(mount, place));
        }
        Ok(all)
    }

    async fn get(&self, mount: &DevMount) -> anyhow::Result<PathBuf> {
        let known = self.of(&mount.sha256);
        let mut seen = known.seen.lock().await;
        *known.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let (place, hash, before) = (self.dir.join(&mount.sha256), mount.hash(), *seen);
        let (path, sha256) = (place.clone(), mount.sha256.clone());
        let looked = tokio::task::spawn_blocking(move || {
            if !path.exists() {
                return None;
            }
            let stamp = overlay::stamp(&path).ok();
            let is_it = stamp.is_some()
                && (stamp == before || overlay::pack(&path).is_ok_and(|packed| packed.sha256 == hash));
            if !is_it {
                warn!(sha256, "what is kept of a dev mount was touched, and is fetched again");
                remove_tree(&path);
            }
            stamp.filter(|_| is_it)
        });
        *seen = looked.await?;
        if seen.is_none() {
            let archive = self.fetch(mount).await?;
            let (dir, path) = (self.dir.clone(), place.clone());
            *seen = Some(tokio::task::spawn_blocking(move || keep(&archive, &dir, &path)).await??);
        }
        Ok(place)
    }

    async fn fetch(&self, mount: &DevMount) -> anyhow::Result<Vec<u8>> {
        self.line.site.has_room_for(mount.bytes)?;
        let told = |status: tonic::Status| anyhow::anyhow!("it can't be fetched: {}", status.message());
        let connection = self.line.link.connection().await;
        let request = v1::FetchOverlayRequest { sha256: mount.hash().to_vec() };
        let mut pieces =
            AgentsClient::new(connection.channel).fetch_overlay(request).await.map_err(told)?.into_inner();
        let mut archive = Vec::new();
        while let Some(piece) = pieces.message().await.map_err(told)? {
            archive.extend_from_slice(&piece.data);
            ensure!(archive.len() as u64 <= overlay::LARGEST_ARCHIVE, "it is larger than any may be");
        }
        let is_it = Sha256::digest(&archive)[..] == mount.hash();
        ensure!(is_it, "it is damaged in the store: its SHA-256 is not {}", mount.sha256);
        info!(sha256 = mount.sha256, bytes = archive.len(), "fetched a dev mount");
        Ok(archive)
    }

    /// Removes those that no job has asked for in a day; `mounted` are those that containers have mounted.
    pub(crate) async fn sweep_out(&self, mounted: &[String]) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = self.of(&name);
            let Ok(mut seen) = known.seen.try_lock() else { continue };
            let age = known.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            if age > KEPT && !mounted.contains(&name) {
                *seen = None;
                let path = entry.path();
                if let Err(error) = tokio::task::spawn_blocking(move || remove_tree(&path)).await {
                    warn!(%error, "an unused dev mount could not be removed");
                }
                self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            }
        }
    }
}

pub(crate) fn as_mounted(mount: &DevMount, place: PathBuf) -> Mounted {
    let (source, target) = (MountSource::Path(place.clone()), mount.target.clone());
    let bind = Bind { source, target, read_only: true };
    Mounted { volume: format!("dev mount {}", mount.target), bind, place: Some(place) }
}

/// Unpacks an archive under another name, and gives it its own when it is whole. How it looks then.
pub(crate) fn keep(archive: &[u8], dir: &Path, place: &Path) -> anyhow::Result<[u8; 32]> {
    use std::os::unix::fs::PermissionsExt;
    let unpacked = dir.join(format!(".{}", Uuid::new_v4().simple()));
    let made = (|| {
        fs::create_dir_all(&unpacked).with_context(|| format!("make {}", unpacked.display()))?;
        // The container's user must get through.
        for dir in [dir, &unpacked] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        }
        overlay::unpack(archive, &unpacked)?;
        fs::rename(&unpacked, place).with_context(|| format!("make {}", place.display()))?;
        Ok(overlay::stamp(place)?)
    })();
    if made.is_err() {
        remove_tree(&unpacked);
    }
    made
}
