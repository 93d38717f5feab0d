//! How a published result came about, from what Postgres says of it: what `result.json` holds.

use std::collections::BTreeMap;

use bt_model::encoding::Encoding;
use bt_model::id::AttemptId;
use bt_model::layout::AttemptPlace;
use bt_model::manifest::{DevMount, Driver, Manifest, VolumeMount};
use bt_model::parameters::read_map;
use bt_model::secret;
use bt_model::template::Renderer;
use bt_store::{
    FileEntry, GivenEntry, MachineEntry, ResultDocument, ReusedEntry, UsageEntry, VersionsEntry, VolumeEntry,
    WarmEntry,
};
use serde_json::Value;

use crate::manifests::{self, Known, Reader};
use crate::queue::{Published, PublishedFile};

/// What stands in place of a fingerprint for a volume that changed while the job ran.
pub(crate) const CHANGED: &str = "changed";
/// The parameter that seeds a job's own random numbers, by convention.
const SEED: &str = "seed";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Manifest(#[from] manifests::Error),
    #[error("attempt {0} was published with parameters or metrics that are not JSON: {1}")]
    Json(AttemptId, #[source] serde_json::Error),
}

/// Writes the documents of one sweep.
pub(crate) struct Writer<'k> {
    manifest: &'k Manifest,
    reader: Reader<'k>,
    /// None: the manifest is an older btctl's that this one can't render any more.
    renderer: Option<Renderer<'k>>,
}

impl<'k> Writer<'k> {
    pub(crate) fn new(known: &'k Known) -> Result<Self, Error> {
        let manifest = &known.manifest;
        Ok(Self { manifest, reader: known.reader()?, renderer: manifest.renderer().ok() })
    }

    /// All but the logs.
    pub(crate) fn document(&self, result: &Published) -> Result<ResultDocument, Error> {
        let json =
            |text: &str| serde_json::from_str(text).map_err(|error| Error::Json(result.attempt, error));
        // Those of a matrix need no reading: they are made from its checked values.
        let checked = self.reader.parameters(result.parameters.clone()).ok();
        let parameters = match &checked {
            Some(checked) => checked.as_map().clone(),
            None => {
                let text = self.reader.json(result.parameters.clone());
                read_map(&text).map_err(|error| Error::Json(result.attempt, error))?
            }
        };
        let parameters = Value::Object(parameters);
        let rendered = checked.and_then(|parameters| {
            let renderer = self.renderer.as_ref()?;
            renderer.render(&parameters).ok()
        });
        let (command, env) = rendered.map(|job| (job.command, job.env)).unwrap_or_default();
        let given = Given(result.given.as_ref());
        Ok(ResultDocument {
            sweep: result.place.sweep,
            sweep_name: result.place.sweep_name.clone(),
            job: result.place.job,
            // Of its own, a job that has another's result has none.
            attempt: if result.reused_from.is_some() { 0 } else { result.place.attempt },
            reused_from: result.reused_from.as_ref().map(origin),
            attempt_id: result.attempt,
            agent: result.agent,
            machine: MachineEntry {
                name: Some(result.agent_name.clone()),
                os: given.text("os"),
                arch: given.text("arch"),
            },
            published: result.published,
            image: result.image.clone(),
            image_pin: result.image_pin.clone(),
            image_id: result.image_id.clone(),
            started: result.started,
            ended: result.ended,
            seed: parameters.get(SEED).cloned(),
            sample_seed: self.manifest.sample.map(|sample| sample.seed),
            parameters,
            command,
            entrypoint: self.manifest.sandbox.entrypoint.clone(),
            env: secret::redact(env),
            volumes: self.manifest.volumes.iter().map(|mount| volume(mount, &result.fingerprints)).collect(),
            dev_mount: self.manifest.sandbox.dev_mounts.iter().map(Into::into).collect(),
            not_reproducible: DevMount::words(&self.manifest.sandbox.dev_mounts),
            given: GivenEntry {
                driver: self.manifest.is_process().then(|| Driver::Process.name().to_owned()),
                ..given.entry()
            },
            versions: VersionsEntry {
                agent: given.text("version"),
                coordinator: Some(env!("CARGO_PKG_VERSION").to_owned()),
                engine: given.text("engine"),
            },
            software: result.software.clone(),
            metrics: result.metrics.as_deref().map(json).transpose()?,
            usage: UsageEntry {
                peak_memory_bytes: result.measured.peak_memory_bytes,
                cpu_seconds: result.measured.cpu_micros.map(|micros| micros as f64 / 1e6),
                written_bytes: result.measured.written_bytes,
                wall_seconds: result.measured.wall_millis.map(|millis| millis as f64 / 1e3),
            },
            logs: Vec::new(),
            files: result.files.iter().map(entry).collect(),
        })
    }
}

fn origin(place: &AttemptPlace) -> ReusedEntry {
    ReusedEntry {
        sweep: place.sweep,
        sweep_name: place.sweep_name.clone(),
        job: place.job,
        attempt: place.attempt,
        dir: place.dir(),
    }
}

/// What is said of a file.
pub(crate) fn entry(file: &PublishedFile) -> FileEntry {
    let entry = FileEntry::new(&file.path, file.size, &file.sha256);
    match file.encoding {
        Encoding::None if file.other_name.is_none() => entry,
        encoding => entry.stored(&file.stored_as(), file.size_there(), encoding.name()),
    }
}

fn volume(mount: &VolumeMount, fingerprints: &BTreeMap<String, String>) -> VolumeEntry {
    let told = fingerprints.get(&mount.volume);
    VolumeEntry {
        volume: mount.volume.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
        fingerprint: told.filter(|word| *word != CHANGED).cloned(),
        changed: told.is_some_and(|word| word == CHANGED),
    }
}

/// What an agent said that it gave the attempt.
struct Given<'g>(Option<&'g Value>);

impl Given<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.0?.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.0?.get(key)?.as_u64()
    }

    fn warm(&self) -> Option<WarmEntry> {
        let preloaded = self.0?.get("preloaded")?.as_array()?;
        let names = preloaded.iter().filter_map(Value::as_str);
        Some(WarmEntry { preloaded: names.map(str::to_owned).collect() })
    }

    fn entry(&self) -> GivenEntry {
        GivenEntry {
            threads: self.number("threads"),
            cpus: self.number("cpu_millis").map(|millis| millis as f64 / 1e3),
            memory_bytes: self.number("memory_bytes"),
            shm_bytes: self.number("shm_bytes"),
            gpus: self.number("gpus"),
            timezone: self.text("timezone"),
            user: self.text("user"),
            driver: None,
            warm: self.warm(),
        }
    }
}
