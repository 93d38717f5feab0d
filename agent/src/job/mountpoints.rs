//! The volumes of a job: found among what the machine offers, tried as the job's user, and the places in them.
//!
//! A container's mount or its working directory may lie in a volume. An engine makes what is missing there, as root, in the
//! data of the volume's owner; so what is missing is refused before.

use std::path::PathBuf;

use bt_engine::volumes::{MountSource, User, beneath, probe};
use bt_engine::{Bind, Engine, ImageFacts};
use bt_model::manifest::Manifest;

use crate::job::container::Job;
use crate::site::identity::Identity;
use crate::site::offer::Offer;

/// Why a job can't have its volumes here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The sentence goes on after the agent's name.
    #[error("{why}")]
    NotOffered { volume: String, why: String },
    #[error("{0}")]
    Unusable(String),
    #[error(transparent)]
    Engine(#[from] bt_engine::Error),
}

/// A place that is not there. Each is a sentence for the job's owner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misplaced {
    /// In a volume of this machine.
    #[error("{0}")]
    Volume(String),
    /// The image does not fit the manifest, on every machine.
    #[error("{0}")]
    Image(String),
}

/// Finds the volumes of a job, and tries each as its user.
pub(crate) async fn find(
    engine: &dyn Engine,
    offer: &Offer,
    job: &Job,
    identity: Identity,
) -> Result<Vec<Mounted>, Error> {
    let mut mounts = Vec::new();
    for mount in &job.manifest.volumes {
        let not_offered = |why| Error::NotOffered { volume: mount.volume.clone(), why };
        let source = offer.volumes.find(mount).map_err(not_offered)?;
        let place = match &source {
            MountSource::Path(path) => Some(path.clone()),
            MountSource::Engine(name) => match engine.volume(name).await? {
                Some(place) => place,
                None => {
                    let why =
                        format!("offers {} from the engine's volume {name}, which is gone", mount.volume);
                    return Err(not_offered(why));
                }
            },
        };
        if let (Some(path), Some((uid, gid))) = (place.clone(), job.user(identity)) {
            let (groups, write) = (job.manifest.sandbox.groups.clone(), !mount.read_only);
            // A network's file system may take its time.
            let probed =
                tokio::task::spawn_blocking(move || probe(&path, &User { uid, gid, groups: &groups }, write));
            let probed = probed.await.unwrap_or_else(|error| Err(error.to_string()));
            probed.map_err(|why| Error::Unusable(format!("volume {}: {why}", mount.volume)))?;
        }
        let bind = Bind { source, target: mount.target.clone(), read_only: mount.read_only };
        mounts.push(Mounted { volume: mount.volume.clone(), bind, place });
    }
    Ok(mounts)
}

/// A volume as a job mounts it.
#[derive(Clone, Debug)]
pub(crate) struct Mounted {
    /// The name that the manifest asks for.
    pub(crate) volume: String,
    pub(crate) bind: Bind,
    /// Where it lies on this machine, if this process may look there.
    pub(crate) place: Option<PathBuf>,
}

/// What goes somewhere in the container.
struct Goes<'m> {
    what: String,
    target: &'m str,
    is_dir: bool,
    instead: &'static str,
}

/// Checks the places of a job's volumes, of its image's, and of the directory that it starts in.
pub(crate) fn check(mounts: &[Mounted], manifest: &Manifest, image: &ImageFacts) -> Result<(), Misplaced> {
    for mounted in mounts {
        check_one(
            mounts,
            &Goes {
                what: format!("the volume {}", mounted.volume),
                target: &mounted.bind.target,
                is_dir: mounted.place.as_ref().is_none_or(|place| place.is_dir()),
                instead: "mount it elsewhere",
            },
        )?;
    }
    for path in &image.volumes {
        let target = path.trim_end_matches('/');
        let is_mounted = mounts.iter().any(|mounted| mounted.bind.target == target);
        if is_mounted || manifest.results == target {
            continue;
        }
        if target.strip_prefix(manifest.results.as_str()).is_some_and(|rest| rest.starts_with('/')) {
            return Err(Misplaced::Image(format!(
                "the image has a VOLUME at {target}, in the results directory {}: what the job writes there would be lost. \
                 Make the image without it, or choose another directory as `results`",
                manifest.results
            )));
        }
        let what = format!("the image's VOLUME {target}");
        check_one(mounts, &Goes { what, target, is_dir: true, instead: "mount the volume elsewhere" })?;
    }
    let images = Some(image.working_dir.as_str()).filter(|path| path.starts_with('/'));
    match manifest.sandbox.working_dir.as_deref().or(images) {
        None => Ok(()),
        Some(target) => {
            let target = target.trim_end_matches('/');
            let what = "the working directory".to_owned();
            let instead = "set `working_dir` to one that is there";
            check_one(mounts, &Goes { what, target, is_dir: true, instead })
        }
    }
}

fn check_one(mounts: &[Mounted], goes: &Goes<'_>) -> Result<(), Misplaced> {
    let Goes { what, target, is_dir, instead } = goes;
    let rest = |outer: &Mounted| {
        let rest = target.strip_prefix(outer.bind.target.as_str())?.strip_prefix('/')?;
        Some(rest.to_owned())
    };
    let outer = mounts.iter().filter_map(|outer| Some((outer, rest(outer)?)));
    let Some((outer, rest)) = outer.max_by_key(|(outer, _)| outer.bind.target.len()) else { return Ok(()) };
    let kind = if *is_dir { "directory" } else { "file" };
    let volume = &outer.volume;
    let Some(place) = &outer.place else {
        return Err(Misplaced::Volume(format!(
            "volume {volume}: {what} is to be at {target}, in this volume, and the agent can't see whether the {kind} {rest} \
             is there; {instead}"
        )));
    };
    let why = match beneath(place, &rest) {
        Ok(found) if found.is_dir() == *is_dir => return Ok(()),
        Ok(_) => format!("{rest} is not a {kind}"),
        Err(why) => why,
    };
    Err(Misplaced::Volume(format!(
        "volume {volume}: {what} is to be at {target}, where this volume has no {kind} {rest} ({why}). Nothing is made in a \
         volume: let its owner make {}, or {instead}",
        place.join(&rest).display()
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use bt_model::manifest::Format;

    use super::*;
    use bt_engine::volumes::MountSource;

    fn mounted(volume: &str, place: &Path, target: &str) -> Mounted {
        let bind =
            Bind { source: MountSource::Path(place.to_owned()), target: target.to_owned(), read_only: true };
        Mounted { volume: volume.to_owned(), bind, place: Some(place.to_owned()) }
    }

    #[test]
    fn what_is_missing_in_a_volume_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (p, q) = (dir.path().join("p"), dir.path().join("q"));
        for path in [&p.join("there/deep"), &q] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(p.join("list.csv"), "").unwrap();
        symlink("there", p.join("link")).unwrap();
        let file = p.join("list.csv");
        let manifest = |working_dir: Option<&str>| {
            let text = b"image: x\n".as_slice();
            let draft = Manifest::parse(text, Format::Yaml, "m").unwrap();
            let mut manifest = draft.finish().unwrap();
            manifest.sandbox.working_dir = working_dir.map(str::to_owned);
            manifest
        };
        let told = |target: &str, source: &Path, working_dir: Option<&str>| {
            let mounts = [mounted("q", source, target), mounted("p", &p, "/data")];
            let found = check(&mounts, &manifest(working_dir), &ImageFacts::default());
            found.err().map(|error| error.to_string()).unwrap_or_default()
        };
        for good in ["/data/there", "/data/there/deep", "/else", "/data2"] {
            assert_eq!(told(good, &q, None), "", "{good}");
        }
        assert_eq!(told("/data/list.csv", &file, None), "");
        let missing = told("/data/cache", &q, None);
        let made = p.join("cache");
        for word in ["volume p", "the volume q", "/data/cache", "no directory cache", made.to_str().unwrap()]
        {
            assert!(missing.contains(word), "{missing}");
        }
        assert!(told("/data/list.csv", &q, None).contains("list.csv is not a directory"));
        assert!(told("/data/there", &file, None).contains("there is not a file"));
        assert!(told("/data/link", &q, None).contains("links are not followed"));
        // The innermost decides.
        assert!(told("/data/there", &q, Some("/data/there/x")).contains("volume q"));
        assert!(told("/else", &q, Some("/data/out")).contains("the working directory is to be at /data/out"));
        for good in ["/", "/data", "/data/", "/data/there", "/app"] {
            assert_eq!(told("/else", &q, Some(good)), "", "{good}");
        }
        let images = |working_dir: &str, volume: &str| {
            let image = ImageFacts {
                working_dir: working_dir.to_owned(),
                volumes: vec![volume.to_owned()],
                ..ImageFacts::default()
            };
            check(&[mounted("p", &p, "/data")], &manifest(None), &image)
        };
        images("/data/there", "/data/there/deep").unwrap();
        images("", "/results").unwrap();
        images("", "/data").unwrap();
        assert!(matches!(images("/data/out", "/cache"), Err(Misplaced::Volume(why)) if why.contains("out")));
        assert!(
            matches!(images("", "/data/cache"), Err(Misplaced::Volume(why)) if why.contains("VOLUME /data/cache"))
        );
        assert!(
            matches!(images("", "/results/plots"), Err(Misplaced::Image(why)) if why.contains("would be lost"))
        );
    }
}
