//! Puts together the container of a job: its image, its volumes, its cache, and what of the image decides what is added.
//! One way for attempts, shells and `btctl run --local`.

use std::path::PathBuf;

use bt_engine::volumes::MountSource;
use bt_engine::{Bind, ContainerSpec, ImageFacts, collect};
use bt_model::manifest::{INPUT_DIR, SHARED_CACHE};
use bt_model::reason::Reason;

use crate::batch;
use crate::job::container::{Host, Job};
use crate::job::inside::Inside;
use crate::job::mountpoints::{self, Misplaced, Mounted};
use crate::record::assignment::Assignment;
use crate::site::Site;
use crate::site::workdir::{AttemptDir, POINTS};
use crate::stock::cuts::CutCopy;
use crate::stock::looks::Looks;

/// What a container needs of the machine, and that is there.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// The image by which it is made.
    pub(crate) pin: String,
    pub(crate) facts: ImageFacts,
    pub(crate) inside: Inside,
    mounts: Vec<Bind>,
    /// Copies among the mounts, which stay at least until the container is made.
    _copies: Vec<CutCopy>,
}

impl Assembly {
    /// Fails if a place in a volume is missing, or the image does not fit the manifest.
    pub(crate) async fn new(
        site: &Site,
        looks: &Looks,
        job: &Job,
        (pin, facts): (String, ImageFacts),
        (volumes, copies): (Vec<Mounted>, Vec<CutCopy>),
        cache: PathBuf,
    ) -> Result<Self, Misplaced> {
        mountpoints::check(&volumes, &job.manifest, &facts)?;
        let mut mounts: Vec<_> = volumes.into_iter().map(|mounted| mounted.bind).collect();
        let target = job.manifest.sandbox.cache.clone().unwrap_or_else(|| SHARED_CACHE.to_owned());
        mounts.push(Bind { source: MountSource::Path(cache), target, read_only: false });
        let inside = match job.manifest.is_process() {
            true => Inside::default(),
            false => looks.look(site, job, &facts).await,
        };
        Ok(Self { pin, facts, inside, mounts, _copies: copies })
    }

    /// Makes the directories that the container sees, and says how it is to be made.
    pub(crate) fn spec(
        &self,
        site: &Site,
        assignment: &Assignment,
        job: &Job,
        dir: &AttemptDir,
        gpus: &[u32],
    ) -> Result<ContainerSpec, Reason> {
        let mut mounts = self.mounts.clone();
        if site.engine.mounts_files() {
            dir.make().map_err(agents_fault)?;
            let owner = job.user(site.identity).filter(|ids| *ids != site.identity.ids);
            let made = collect::make_results_dir(&dir.results(), owner);
            made.map_err(|error| Reason::Agent(format!("the results directory can't be made: {error}")))?;
            let input = match job.manifest.is_process() {
                true => job.input_at(|path| job.on_machine(dir, &mounts, path)),
                false => job.input(),
            };
            dir.write_input(&input).map_err(agents_fault)?;
            mounts.extend(show_points(job, dir, owner)?);
            mounts.extend(self.inside.write(dir).map_err(agents_fault)?);
        }
        let host = host(site, gpus, &mounts, &self.inside);
        job.container(assignment, self.pin.clone(), site.identity, &host, dir)
    }
}

/// Makes the directories of a batch's points, and the table in which the container finds them.
fn show_points(job: &Job, dir: &AttemptDir, owner: Option<(u32, u32)>) -> Result<Option<Bind>, Reason> {
    if job.points.is_empty() {
        return Ok(None);
    }
    for point in &job.points {
        let made = collect::make_results_dir(&dir.results().join(point.name()), owner);
        made.map_err(|error| Reason::Agent(format!("a results directory can't be made: {error}")))?;
    }
    let table = dir.write_shown(POINTS, &batch::as_table(&job.points)).map_err(agents_fault)?;
    let target = format!("{INPUT_DIR}/{POINTS}");
    Ok(Some(Bind { source: MountSource::Path(table), target, read_only: true }))
}

/// What the machine adds to a container.
pub(crate) fn host<'h>(site: &'h Site, gpus: &'h [u32], mounts: &'h [Bind], inside: &'h Inside) -> Host<'h> {
    Host {
        offer: &site.offer,
        runtime: site.options.oci_runtime.as_deref(),
        stop_grace: site.options.stop_grace,
        gpus,
        mounts,
        inside,
    }
}

/// The agent's own trouble, as the attempt's reason.
pub(crate) fn agents_fault(error: anyhow::Error) -> Reason {
    Reason::Agent(format!("{error:#}"))
}
